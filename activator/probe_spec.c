#include "activator/probe_spec.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clk.h"
#include "common/grpc_health.h"
#include "common/settings.h"
#include "common/strbuf.h"

#define TIMEOUT_FIELD "x-activator-timeout"
#define TIMEOUT_MAX_MS 86400000L /* a day */

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

/* The line behind this one; end: there is none. */
static const char *
next_line(const char *line, const char *end)
{
	line += strcspn(line, "\n");
	return line < end ? line + 1 : end;
}

static bool
is_field(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncasecmp(line, name, n) == 0 && line[n] == ':';
}

static void
take_timeout(struct probe_spec *s)
{
	const char *line = s->fields, *end = line + s->fields_n;

	for (; line < end; line = next_line(line, end))
		if (is_field(line, TIMEOUT_FIELD)) {
			long ms = strtol(line + strlen(TIMEOUT_FIELD) + 1, NULL, 10);

			s->timeout_ns = MIN(MAX(ms, 0L), TIMEOUT_MAX_MS) * CLK_MS;
		}
}

/* The lines behind the first one, which ends at `at`.  end: of this probe's text. */
static void
take_fields(struct probe_spec *s, const char *at, const char *end)
{
	if (at >= end)
		return;
	s->fields = at + 1;
	s->fields_n = (size_t)(end - s->fields);
	take_timeout(s);
}

static void
take_http(struct probe_spec *s, const char *at, const char *end)
{
	size_t n = strcspn(at, "\n");

	if (at[0] != '/' || memchr(at, ' ', n) != NULL)
		return;
	s->kind = PROBE_HTTP;
	s->path = at;
	s->path_n = n;
	take_fields(s, at + n, end);
}

/* at: the name of the service. */
static void
take_grpc(struct probe_spec *s, const char *at, const char *end)
{
	size_t n = strcspn(at, "\n");

	if (n > GRPC_HEALTH_NAME_MOST)
		return;
	s->kind = PROBE_GRPC;
	s->service = at;
	s->service_n = n;
	take_fields(s, at + n, end);
}

/* With a port: "http://:9000/healthz". */
static void
take_at_port(struct probe_spec *s, const char *text, const char *port, const char *end)
{
	char *rest;
	unsigned long n = strtoul(port, &rest, 10);

	if (n == 0 || n > UINT16_MAX)
		return;
	s->port = (uint16_t)n;
	if (strncmp(text, "http://", 7) == 0)
		take_http(s, rest, end);
	else if (strncmp(text, "grpc://", 7) == 0 && strchr("/\n", *rest) != NULL)
		take_grpc(s, rest + (*rest == '/'), end);
}

void
probe_spec_parse(struct probe_spec *s, const char *text)
{
	const char *port = strstr(text, "://:"), *empty = strstr(text, "\n\n");
	const char *end = empty == NULL ? text + strlen(text) : empty;

	*s = (struct probe_spec){.kind = PROBE_TCP, .fields = ""};
	if (!is_clean(text))
		return;
	s->next = empty == NULL ? NULL : empty + 2;
	if (strcmp(text, "ready") == 0)
		s->kind = PROBE_READINESS;
	else if (text[0] == '/')
		take_http(s, text, end);
	else if (strncmp(text, "grpc://:", 8) != 0 && strncmp(text, "grpc:", 5) == 0)
		take_grpc(s, text + 5, end);
	else if (strncmp(text, "grpc", 4) == 0 && strchr("\n", text[4]) != NULL)
		take_grpc(s, text + 4, end);
	else if (port != NULL && port < end)
		take_at_port(s, text, port + 4, end);
}

static bool
has_field(const struct probe_spec *s, const char *name)
{
	const char *line = s->fields, *end = line + s->fields_n;

	for (; line < end; line = next_line(line, end))
		if (is_field(line, name))
			return true;
	return false;
}

static void
add_default(struct strbuf *out, const struct probe_spec *s, const char *name, const char *value)
{
	if (!has_field(s, name))
		strbuf_addf(out, "%s: %s\r\n", name, value);
}

char *
probe_spec_head(const struct probe_spec *s, const char *authority)
{
	const char *line = s->fields, *end = line + s->fields_n;
	struct strbuf out;

	strbuf_init(&out, 0);
	strbuf_addf(&out, "GET %.*s HTTP/1.1\r\n", (int)s->path_n, s->path);
	add_default(&out, s, "Host", authority);
	add_default(&out, s, "User-Agent", "activator-probe");
	add_default(&out, s, "Accept", "*/*");
	for (; line < end; line = next_line(line, end))
		if (!is_field(line, TIMEOUT_FIELD))
			strbuf_addf(&out, "%.*s\r\n", (int)strcspn(line, "\n"), line);
	strbuf_adds(&out, "Connection: close\r\n\r\n");
	return strbuf_take(&out);
}
