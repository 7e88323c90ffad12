#include "common/conf_errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
conf_error(struct conf_errors *errors, unsigned line, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	if (errors->n == CONF_ERRORS_MAX) {
		errors->not_stored++;
		return;
	}
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	errors->v = xrealloc(errors->v, (errors->n + 1) * sizeof *errors->v);
	errors->v[errors->n++] = (struct conf_mistake){.line = line, .text = xstrdup(text)};
}

void
conf_errors_cut(struct conf_errors *errors, size_t n)
{
	while (errors->n > n)
		free(errors->v[--errors->n].text);
	errors->not_stored = 0;
}

/* Mistakes of one line keep their order. */
static void
sort_by_line(struct conf_mistake *v, size_t n)
{
	size_t i, j;

	for (i = 1; i < n; i++) {
		struct conf_mistake m = v[i];

		for (j = i; j > 0 && v[j - 1].line > m.line; j--)
			v[j] = v[j - 1];
		v[j] = m;
	}
}

static char *
line_text(const char *file, const struct conf_mistake *m)
{
	if (m->line == 0)
		return xasprintf("%s: %s", file, m->text);
	return xasprintf("%s:%u: %s", file, m->line, m->text);
}

void
conf_errors_move(struct conf_errors *errors, struct settings_errors *to)
{
	size_t shown = MIN(errors->n, (size_t)CONF_ERRORS_SHOWN), i;
	size_t more = errors->n - shown + errors->not_stored;

	sort_by_line(errors->v, errors->n);
	*to = (struct settings_errors){0};
	if (shown > 0)
		to->lines = xcalloc(shown + 1, sizeof *to->lines);
	for (i = 0; i < shown; i++)
		to->lines[to->n++] = line_text(errors->file, &errors->v[i]);
	if (more > 0)
		to->lines[to->n++] = xasprintf("%s: and %zu more mistake%s", errors->file, more,
					       more == 1 ? "" : "s");
	conf_errors_cut(errors, 0);
	free(errors->v);
	errors->v = NULL;
}

/* The character as it would be written in a conf file. */
static const char *
escape_of(unsigned char ch, char out[5])
{
	static const char plain[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
	const char *at = ch == '\0' ? NULL : strchr(plain, ch);

	if (at != NULL)
		snprintf(out, 5, "\\%c", letters[at - plain]);
	else
		snprintf(out, 5, ch < 0x20 || ch == 0x7f ? "\\x%02x" : "%c", ch);
	return out;
}

const char *
conf_quote(const char *text, char out[CONF_QUOTE_MAX])
{
	static const char cut[] = "...";
	size_t room = CONF_QUOTE_MAX - sizeof cut - 1, n = 0;
	char one[5];

	out[n++] = '"';
	for (; *text != '\0'; text++) {
		const char *escape = escape_of((unsigned char)*text, one);

		if (n + strlen(escape) > room)
			break;
		n += (size_t)snprintf(out + n, CONF_QUOTE_MAX - n, "%s", escape);
	}
	/* If the text is cut within a UTF-8 character, go back to the beginning of it. */
	while (((unsigned char)*text & 0xc0) == 0x80 && n > 1 &&
	       ((unsigned char)out[n - 1] & 0x80) != 0)
		text--, n--;
	snprintf(out + n, CONF_QUOTE_MAX - n, "%s\"", *text != '\0' ? cut : "");
	return out;
}
