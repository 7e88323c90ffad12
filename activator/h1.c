#include "activator/h1.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

/* --- where a head ends --- */

/* Line by line: what can be told from the ends and beginnings of lines is told here,
 * before the head is complete, so that rubbish is refused when it is read and not when
 * the client's time is over. */
ssize_t
h1_scan(const char *buf, size_t n, size_t *seen)
{
	size_t at = *seen;

	if (at == 0) {
		/* RFC 9112 2.2: at least one empty line before the request is borne. */
		while (n - at >= 2 && buf[at] == '\r' && buf[at + 1] == '\n' && at < 4)
			at += 2;
		if (at < n && !(buf[at] == '\r' && n - at == 1) && !field_is_token(buf + at, 1))
			return -1;
	}
	for (;;) {
		const char *lf;
		size_t end;

		if (at > 0 && at < n && (buf[at] == ' ' || buf[at] == '\t'))
			return -1; /* obs-fold, or blanks before the first field */
		lf = at < n ? memchr(buf + at, '\n', n - at) : NULL;
		if (lf == NULL)
			return 0;
		end = (size_t)(lf - buf);
		if (end == 0 || buf[end - 1] != '\r')
			return -1; /* bare LF */
		if (end - 1 == at && at > 4) /* the shortest request line is longer */
			return (ssize_t)end + 1;
		at = end + 1;
		*seen = at;
	}
}

/* --- heads --- */

struct parse {
	struct h1_head *head;
	uint32_t max_fields;
	bool is_too_many, is_value_due;
};

static int
on_url(llhttp_t *p, const char *at, size_t n)
{
	struct h1_head *h = ((struct parse *)p->data)->head;

	h->target = at;
	h->target_n = (uint32_t)n;
	return 0;
}

static int
on_status(llhttp_t *p, const char *at, size_t n)
{
	struct h1_head *h = ((struct parse *)p->data)->head;

	h->reason = at;
	h->reason_n = (uint32_t)n;
	return 0;
}

static int
on_field(llhttp_t *p, const char *at, size_t n)
{
	struct parse *parse = p->data;
	struct h1_head *h = parse->head;

	if (h->n == parse->max_fields) {
		parse->is_too_many = true;
		return HPE_USER;
	}
	h->fields[h->n] = (struct h1_field){.name = at, .name_n = (uint32_t)n};
	parse->is_value_due = true;
	return 0;
}

static int
on_value(llhttp_t *p, const char *at, size_t n)
{
	struct parse *parse = p->data;
	struct h1_field *f = &parse->head->fields[parse->head->n];

	if (!parse->is_value_due)
		return HPE_USER;
	f->value = at;
	f->value_n = (uint32_t)n;
	parse->is_value_due = false;
	return 0;
}

static int
on_value_complete(llhttp_t *p)
{
	struct parse *parse = p->data;
	struct h1_field *f = &parse->head->fields[parse->head->n];

	if (f->value == NULL)
		f->value = f->name + f->name_n;
	while (f->value_n > 0 &&
	       (f->value[f->value_n - 1] == ' ' || f->value[f->value_n - 1] == '\t'))
		f->value_n--;
	f->id = field_id(f->name, f->name_n);
	parse->head->n++;
	return 0;
}

static int
on_head_complete(llhttp_t *p)
{
	(void)p;
	return HPE_PAUSED;
}

static llhttp_settings_t head_settings, chunk_settings; /* constant once filled */
static llhttp_t chunk_start; /* a parser that has just read a head with chunked framing */

static enum h1_result
result_of(const llhttp_t *p, const struct parse *parse, llhttp_errno_t e)
{
	if (parse->is_too_many)
		return H1_FIELDS;
	if (e == HPE_INVALID_VERSION || e == HPE_PAUSED_H2_UPGRADE)
		return H1_VERSION;
	if (e != HPE_PAUSED)
		return H1_MALFORMED;
	if (p->http_major != 1 || p->http_minor > 1)
		return H1_VERSION;
	parse->head->minor = p->http_minor;
	parse->head->status = p->status_code;
	return H1_OK;
}

static void
begin(struct h1_head *h)
{
	h->method = h->target = h->reason = "";
	h->method_n = h->target_n = h->reason_n = 0;
	h->n = 0;
}

enum h1_result
h1_parse_request(struct h1_head *h, const char *buf, size_t n, uint32_t max_fields)
{
	struct parse parse = {.head = h, .max_fields = MIN(max_fields, H1_FIELDS_MAX)};
	const char *end = buf + n, *space, *as;
	llhttp_t p;

	while (buf < end && (*buf == '\r' || *buf == '\n'))
		buf++;
	space = memchr(buf, ' ', (size_t)(end - buf));
	if (space == NULL || !field_is_token(buf, (size_t)(space - buf)))
		return H1_MALFORMED;
	begin(h);
	h->method = buf;
	h->method_n = (uint32_t)(space - buf);
	/* llhttp knows a fixed set of methods; a proxy passes on any token (RFC 9110 9.1).
	 * Of all methods only CONNECT touches the rest of the head's syntax: its target. */
	as = h->method_n == 7 && memcmp(h->method, "CONNECT", 7) == 0 ? "CONNECT" : "GET";
	llhttp_init(&p, HTTP_REQUEST, &head_settings);
	p.data = &parse;
	if (llhttp_execute(&p, as, strlen(as)) != HPE_OK)
		return H1_MALFORMED;
	return result_of(&p, &parse, llhttp_execute(&p, space, (size_t)(end - space)));
}

/* llhttp takes any byte in a reason phrase; it is passed on, so it is held to RFC 9112 4. */
static bool
is_reason(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
			return false;
	return true;
}

enum h1_result
h1_parse_response(struct h1_head *h, const char *buf, size_t n, uint32_t max_fields)
{
	struct parse parse = {.head = h, .max_fields = MIN(max_fields, H1_FIELDS_MAX)};
	enum h1_result result;
	llhttp_t p;

	begin(h);
	llhttp_init(&p, HTTP_RESPONSE, &head_settings);
	p.data = &parse;
	result = result_of(&p, &parse, llhttp_execute(&p, buf, n));
	return result == H1_OK && !is_reason(h->reason, h->reason_n) ? H1_MALFORMED : result;
}

bool
h1_is_connection_option(const struct h1_head *h, const struct h1_field *f)
{
	char lower[64];
	uint32_t i;

	if (f->name_n >= sizeof lower)
		return false;
	for (i = 0; i < f->name_n; i++)
		lower[i] = f->name[i] >= 'A' && f->name[i] <= 'Z' ? (char)(f->name[i] | 32)
								  : f->name[i];
	lower[f->name_n] = '\0';
	for (i = 0; i < h->n; i++)
		if (h->fields[i].id == FIELD_CONNECTION &&
		    field_list_has(h->fields[i].value, h->fields[i].value_n, lower))
			return true;
	return false;
}

/* --- chunked bodies --- */

#define TRAILER_NONE 0
#define TRAILER_NAME 1
#define TRAILER_VALUE 2

struct h1_chunked {
	llhttp_t p;
	char *out; /* where the next data goes, in the buffer that is being fed */
	size_t overhead, max_overhead;
	bool is_done;
	int trailer; /* TRAILER_*: what of the line has come */
	struct strbuf line, trailers;
	char *announced; /* NULL: none */
};

static int
on_data(llhttp_t *p, const char *at, size_t n)
{
	struct h1_chunked *c = p->data;

	memmove(c->out, at, n);
	c->out += n;
	return 0;
}

static int
on_trailer_name(llhttp_t *p, const char *at, size_t n)
{
	struct h1_chunked *c = p->data;

	c->trailer = TRAILER_NAME;
	return strbuf_add(&c->line, at, n) < 0 ? HPE_USER : 0;
}

static int
on_trailer_value(llhttp_t *p, const char *at, size_t n)
{
	struct h1_chunked *c = p->data;

	if (c->trailer == TRAILER_NONE) /* a folded line */
		return HPE_USER;
	if (c->trailer == TRAILER_NAME && strbuf_adds(&c->line, ": ") < 0)
		return HPE_USER;
	c->trailer = TRAILER_VALUE;
	return strbuf_add(&c->line, at, n) < 0 ? HPE_USER : 0;
}

static int
on_trailer_complete(llhttp_t *p)
{
	struct h1_chunked *c = p->data;
	const char *line = strbuf_str(&c->line);
	size_t name_n = strcspn(line, ":");
	char *name;
	int rc = 0;

	c->trailer = TRAILER_NONE;
	if (name_n == 0 || field_id(line, name_n) != FIELD_OTHER)
		return HPE_USER; /* may not stand here: RFC 9110 6.5.1 */
	name = xstrndup(line, name_n);
	for (char *ch = name; *ch != '\0'; ch++)
		if (*ch >= 'A' && *ch <= 'Z')
			*ch = (char)(*ch | 32);
	if (c->announced != NULL && field_list_has(c->announced, strlen(c->announced), name))
		rc = strbuf_addf(&c->trailers, "%s\r\n", line) < 0 ? HPE_USER : 0;
	free(name);
	strbuf_clear(&c->line);
	return rc;
}

static int
on_body_complete(llhttp_t *p)
{
	((struct h1_chunked *)p->data)->is_done = true;
	return HPE_PAUSED;
}

struct h1_chunked *
h1_chunked_new(const char *announced, size_t announced_n, size_t max_overhead)
{
	struct h1_chunked *c = xcalloc(1, sizeof *c);

	c->p = chunk_start;
	c->p.data = c;
	c->max_overhead = max_overhead;
	strbuf_init(&c->line, max_overhead);
	strbuf_init(&c->trailers, max_overhead);
	if (announced != NULL)
		c->announced = xstrndup(announced, announced_n);
	return c;
}

void
h1_chunked_free(struct h1_chunked **cp)
{
	struct h1_chunked *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	strbuf_fini(&c->line);
	strbuf_fini(&c->trailers);
	free(c->announced);
	free(c);
}

ssize_t
h1_chunked_feed(struct h1_chunked *c, char *buf, size_t n, size_t *data_n)
{
	llhttp_errno_t e;
	size_t used;

	CHECK(!c->is_done);
	c->out = buf;
	e = llhttp_execute(&c->p, buf, n);
	used = e == HPE_PAUSED ? (size_t)(llhttp_get_error_pos(&c->p) - buf) : n;
	if (e != HPE_OK && !(e == HPE_PAUSED && c->is_done))
		return -1;
	*data_n = (size_t)(c->out - buf);
	/* What is not data is chunk sizes, extensions and trailers.  A chunk's own two CRLF
	 * and size are paid for by its data; all else counts. */
	c->overhead += used - *data_n;
	c->overhead -= MIN(c->overhead, *data_n * 8);
	if (c->overhead > c->max_overhead)
		return -1;
	return (ssize_t)used;
}

bool
h1_chunked_done(const struct h1_chunked *c)
{
	return c->is_done;
}

const char *
h1_chunked_trailers(const struct h1_chunked *c)
{
	return strbuf_str(&c->trailers);
}

/* Before main(): tables that are constant ever after, so that no thread has to. */
__attribute__((constructor)) static void
h1_prepare(void)
{
	static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

	llhttp_settings_init(&head_settings);
	head_settings.on_url = on_url;
	head_settings.on_status = on_status;
	head_settings.on_header_field = on_field;
	head_settings.on_header_value = on_value;
	head_settings.on_header_value_complete = on_value_complete;
	head_settings.on_headers_complete = on_head_complete;
	llhttp_settings_init(&chunk_settings);
	llhttp_init(&chunk_start, HTTP_REQUEST, &chunk_settings);
	CHECK(llhttp_execute(&chunk_start, head, sizeof head - 1) == HPE_OK);
	chunk_settings.on_body = on_data;
	chunk_settings.on_header_field = on_trailer_name;
	chunk_settings.on_header_value = on_trailer_value;
	chunk_settings.on_header_value_complete = on_trailer_complete;
	chunk_settings.on_message_complete = on_body_complete;
}
