#include "activator/probe_spec.h"

#include <stdlib.h>
#include <string.h>

#include "common/settings.h"
#include "common/strbuf.h"

/* No byte that could add to the request: a control character, or the end of a line that is not
 * one of a field. */
static bool
is_clean(const char *text)
{
	for (; *text != '\0'; text++)
		if (((unsigned char)*text < 0x20 && *text != '\n') || *text == 0x7f)
			return false;
	return true;
}

static void
take_http(struct probe_spec *s, const char *at)
{
	size_t n = strcspn(at, "\n");

	if (at[0] != '/' || memchr(at, ' ', n) != NULL)
		return;
	s->kind = PROBE_HTTP;
	s->path = at;
	s->path_n = n;
	if (at[n] == '\n')
		s->fields = at + n + 1;
}

void
probe_spec_parse(struct probe_spec *s, const char *text)
{
	const char *port = strstr(text, "://:");
	char *rest;
	unsigned long n;

	*s = (struct probe_spec){.kind = PROBE_TCP, .fields = ""};
	if (!is_clean(text))
		return;
	if (strcmp(text, "ready") == 0)
		s->kind = PROBE_READINESS;
	else if (text[0] == '/')
		take_http(s, text);
	if (text[0] == '/' || port == NULL)
		return;
	n = strtoul(port + 4, &rest, 10);
	if (n == 0 || n > UINT16_MAX)
		return;
	s->port = (uint16_t)n;
	if (strncmp(text, "http://", 7) == 0)
		take_http(s, rest);
}

static bool
has_field(const char *fields, const char *name)
{
	size_t n = strlen(name);

	for (; *fields != '\0'; fields += strcspn(fields, "\n") + (strchr(fields, '\n') != NULL))
		if (strncasecmp(fields, name, n) == 0 && fields[n] == ':')
			return true;
	return false;
}

static void
add_default(struct strbuf *out, const char *fields, const char *name, const char *value)
{
	if (!has_field(fields, name))
		strbuf_addf(out, "%s: %s\r\n", name, value);
}

char *
probe_spec_head(const struct probe_spec *s, const char *authority)
{
	const char *at;
	struct strbuf out;

	strbuf_init(&out, 0);
	strbuf_addf(&out, "GET %.*s HTTP/1.1\r\n", (int)s->path_n, s->path);
	add_default(&out, s->fields, "Host", authority);
	add_default(&out, s->fields, "User-Agent", "activator-probe");
	add_default(&out, s->fields, "Accept", "*/*");
	for (at = s->fields; *at != '\0'; at += strcspn(at, "\n") + (strchr(at, '\n') != NULL))
		strbuf_addf(&out, "%.*s\r\n", (int)strcspn(at, "\n"), at);
	strbuf_adds(&out, "Connection: close\r\n\r\n");
	return strbuf_take(&out);
}
