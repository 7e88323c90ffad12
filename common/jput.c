#include "common/jput.h"

#include <math.h>
#include <string.h>

#include "common/str_list.h"
#include "common/strbuf.h"
#include "common/text.h"

void
jput_init(struct jput *j, struct strbuf *out)
{
	*j = (struct jput){.out = out};
}

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Write the character at s, which is_plain() refused.  Returns its length. */
static size_t
add_special(struct strbuf *b, const unsigned char *s)
{
	size_t n;

	switch (*s) {
	case '"':
	case '\\':
		strbuf_addf(b, "\\%c", *s);
		return 1;
	case '\n':
		strbuf_adds(b, "\\n");
		return 1;
	case '\t':
		strbuf_adds(b, "\\t");
		return 1;
	default:
		break;
	}
	if (*s < 0x20 || *s == 0x7f) {
		strbuf_addf(b, "\\u%04x", *s);
		return 1;
	}
	n = text_utf8_length((const char *)s, SIZE_MAX); /* stops at the NUL */
	if (n == 0) {
		strbuf_adds(b, "\xef\xbf\xbd");
		return 1;
	}
	strbuf_add(b, s, n);
	return n;
}

static void
add_string(struct strbuf *b, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	strbuf_adds(b, "\"");
	while (*s != '\0') {
		size_t n = 0;

		while (is_plain(s[n]))
			n++;
		strbuf_add(b, s, n);
		s += n;
		if (*s != '\0')
			s += add_special(b, s);
	}
	strbuf_adds(b, "\"");
}

/* Write what comes before a value: a comma, and its name. */
static void
begin_value(struct jput *j, const char *key)
{
	if (j->is_comma_due)
		strbuf_adds(j->out, ",");
	j->is_comma_due = true;
	if (key != NULL) {
		add_string(j->out, key);
		strbuf_adds(j->out, ":");
	}
}

static void
begin_container(struct jput *j, const char *key, const char *bracket)
{
	begin_value(j, key);
	strbuf_adds(j->out, bracket);
	j->is_comma_due = false;
}

static void
end_container(struct jput *j, const char *bracket)
{
	strbuf_adds(j->out, bracket);
	j->is_comma_due = true;
}

void
jput_object(struct jput *j, const char *key)
{
	begin_container(j, key, "{");
}

void
jput_object_end(struct jput *j)
{
	end_container(j, "}");
}

void
jput_array(struct jput *j, const char *key)
{
	begin_container(j, key, "[");
}

void
jput_array_end(struct jput *j)
{
	end_container(j, "]");
}

void
jput_string(struct jput *j, const char *key, const char *value)
{
	if (value == NULL) {
		jput_null(j, key);
		return;
	}
	begin_value(j, key);
	add_string(j->out, value);
}

void
jput_string_if(struct jput *j, const char *key, const char *value)
{
	if (value != NULL)
		jput_string(j, key, value);
}

void
jput_i64(struct jput *j, const char *key, int64_t value)
{
	begin_value(j, key);
	strbuf_addf(j->out, "%lld", (long long)value);
}

void
jput_u64(struct jput *j, const char *key, uint64_t value)
{
	begin_value(j, key);
	strbuf_addf(j->out, "%llu", (unsigned long long)value);
}

void
jput_double(struct jput *j, const char *key, double value)
{
	if (!isfinite(value)) {
		jput_null(j, key);
		return;
	}
	begin_value(j, key);
	strbuf_add_number(j->out, value);
}

void
jput_bool(struct jput *j, const char *key, bool value)
{
	begin_value(j, key);
	strbuf_adds(j->out, value ? "true" : "false");
}

void
jput_null(struct jput *j, const char *key)
{
	begin_value(j, key);
	strbuf_adds(j->out, "null");
}

void
jput_strings(struct jput *j, const char *key, const struct str_list *l)
{
	size_t i;

	jput_array(j, key);
	for (i = 0; i < l->n; i++)
		jput_string(j, NULL, l->v[i]);
	jput_array_end(j);
}

void
jput_strings_if(struct jput *j, const char *key, const struct str_list *l)
{
	if (l->n > 0)
		jput_strings(j, key, l);
}
