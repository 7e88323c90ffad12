#include "activator/http/h1.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

/* --- where a head ends --- */

/* Checks the beginning and end of each line as it comes, so that a head which cannot become
 * valid is refused at once, not after head_timeout. */
ssize_t
h1_scan(const char *buf, size_t n, size_t *seen)
{
	size_t at = *seen;

	if (at == 0) {
		/* RFC 9112 2.2: empty lines before the request are ignored; two at most. */
		while (n - at >= 2 && buf[at] == '\r' && buf[at + 1] == '\n' && at < 4)
			at += 2;
		if (at < n && !(buf[at] == '\r' && n - at == 1) && !field_is_token(buf + at, 1))
			return -1;
	}
	while (at < n) {
		const char *lf;
		size_t end;

		if (buf[at] == ' ' || buf[at] == '\t')
			return -1; /* obs-fold, or blanks before the first field */
		lf = memchr(buf + at, '\n', n - at);
		if (lf == NULL)
			return 0;
		end = (size_t)(lf - buf);
		if (end == 0 || buf[end - 1] != '\r')
			return -1;	     /* bare LF */
		if (end - 1 == at && at > 4) /* the shortest request line is longer */
			return (ssize_t)end + 1;
		at = end + 1;
		*seen = at;
	}
	return 0;
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
	/* llhttp accepts an empty name, and a bare CR as the end of the line before. */
	if (n == 0 || at[-1] != '\n' || at[-2] != '\r')
		return HPE_USER;
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

static llhttp_settings_t head_settings; /* filled by h1_prepare() */

/* end: of the head, as h1_scan() found it. */
static enum h1_result
result_of(const llhttp_t *p, const struct parse *parse, llhttp_errno_t e, const char *end)
{
	if (parse->is_too_many)
		return H1_FIELDS;
	if (e == HPE_INVALID_VERSION || e == HPE_PAUSED_H2_UPGRADE)
		return H1_VERSION;
	if (e != HPE_PAUSED || llhttp_get_error_pos(p) != end)
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

/* llhttp accepts several blanks where RFC 9112 3 has one. */
static bool
is_request_line(const struct h1_head *h, const char *space)
{
	return h->target == space + 1 &&
	       memcmp(h->target + h->target_n, " HTTP/1.", strlen(" HTTP/1.")) == 0;
}

enum h1_result
h1_parse_request(struct h1_head *h, const char *buf, size_t n, uint32_t max_fields)
{
	struct parse parse = {.head = h, .max_fields = MIN(max_fields, H1_FIELDS_MAX)};
	const char *end = buf + n, *space, *as;
	enum h1_result result;
	llhttp_t p;

	while (buf < end && (*buf == '\r' || *buf == '\n'))
		buf++;
	space = memchr(buf, ' ', (size_t)(end - buf));
	if (space == NULL || !field_is_token(buf, (size_t)(space - buf)))
		return H1_MALFORMED;
	begin(h);
	h->method = buf;
	h->method_n = (uint32_t)(space - buf);
	/* llhttp knows a fixed set of methods; a proxy passes on any token (RFC 9110 9.1).  So
	 * llhttp is given GET, or CONNECT, whose target has a syntax of its own. */
	as = h->method_n == 7 && memcmp(h->method, "CONNECT", 7) == 0 ? "CONNECT" : "GET";
	llhttp_init(&p, HTTP_REQUEST, &head_settings);
	p.data = &parse;
	if (llhttp_execute(&p, as, strlen(as)) != HPE_OK)
		return H1_MALFORMED;
	result = result_of(&p, &parse, llhttp_execute(&p, space, (size_t)(end - space)), end);
	return result == H1_OK && !is_request_line(h, space) ? H1_MALFORMED : result;
}

/* llhttp accepts empty lines before it, and any number of digits. */
static bool
is_status_line(const char *buf, size_t n)
{
	uint64_t status;

	return n > 12 && memcmp(buf, "HTTP/", 5) == 0 && buf[8] == ' ' &&
	       field_number(buf + 9, 3, &status) == 0 && (buf[12] == ' ' || buf[12] == '\r');
}

enum h1_result
h1_parse_response(struct h1_head *h, const char *buf, size_t n, uint32_t max_fields)
{
	struct parse parse = {.head = h, .max_fields = MIN(max_fields, H1_FIELDS_MAX)};
	enum h1_result result;
	llhttp_t p;

	begin(h);
	if (!is_status_line(buf, n))
		return H1_MALFORMED;
	llhttp_init(&p, HTTP_RESPONSE, &head_settings);
	p.data = &parse;
	result = result_of(&p, &parse, llhttp_execute(&p, buf, n), buf + n);
	/* llhttp accepts any byte in a reason phrase, RFC 9112 4 does not. */
	return result == H1_OK && !field_is_text(h->reason, h->reason_n) ? H1_MALFORMED : result;
}

bool
h1_is_connection_option(const struct h1_head *h, const struct h1_field *f)
{
	uint32_t i;

	for (i = 0; i < h->n; i++)
		if (h->fields[i].id == FIELD_CONNECTION &&
		    field_list_names(h->fields[i].value, h->fields[i].value_n, f->name, f->name_n))
			return true;
	return false;
}

/* --- heads of our own --- */

/* The lines from `at` on, and the empty line behind them.  *past: where that ends. */
static enum h1_result
split_fields(struct h1_head *h, const char *at, const char *end, uint32_t max_fields,
	     const char **past)
{
	uint32_t most = MIN(max_fields, H1_FIELDS_MAX);

	for (;;) {
		const char *stop = memchr(at, '\r', (size_t)(end - at));
		const char *colon, *value;
		struct h1_field *f;

		if (stop == NULL || end - stop < 2)
			return H1_MALFORMED;
		*past = stop + 2;
		if (stop == at)
			return H1_OK;
		if (h->n == most)
			return H1_FIELDS;
		colon = memchr(at, ':', (size_t)(stop - at));
		if (colon == NULL)
			return H1_MALFORMED;
		for (value = colon + 1; value < stop && (*value == ' ' || *value == '\t');)
			value++;
		while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
		f = &h->fields[h->n++];
		f->name = at;
		f->name_n = (uint32_t)(colon - at);
		f->value = value;
		f->value_n = (uint32_t)(stop - value);
		f->id = field_id(at, f->name_n);
		at = *past;
	}
}

/* Is the target in origin-form, in the characters that llhttp accepts there? */
static bool
is_plain_target(const char *target, size_t n)
{
	unsigned others = 0;
	size_t i;

	for (i = 0; i < n; i++)
		others |= (unsigned char)(target[i] - '!') > '~' - '!';
	return n > 0 && target[0] == '/' && others == 0;
}

/* All but the usual targets are for llhttp to judge: fields are known to be valid, the target is
 * not. */
enum h1_result
h1_split_request(struct h1_head *h, const char *buf, size_t n, uint32_t max_fields)
{
	static const char version[] = " HTTP/1.1";
	const char *eol = memchr(buf, '\r', n), *space = memchr(buf, ' ', n), *past;
	size_t method_n = space == NULL ? 0 : (size_t)(space - buf), target_n;

	if (space == NULL || eol == NULL || (size_t)(eol - space) < sizeof version ||
	    (size_t)(buf + n - eol) < 2)
		return H1_MALFORMED;
	target_n = (size_t)(eol - space) - sizeof version;
	if (!is_plain_target(space + 1, target_n) ||
	    (method_n == 7 && memcmp(buf, "CONNECT", 7) == 0))
		return h1_parse_request(h, buf, n, max_fields);
	if (!field_is_token(buf, method_n) ||
	    memcmp(space + 1 + target_n, version, sizeof version - 1) != 0)
		return H1_MALFORMED;
	begin(h);
	h->method = buf;
	h->method_n = (uint32_t)method_n;
	h->target = space + 1;
	h->target_n = (uint32_t)target_n;
	h->minor = 1;
	h->status = 0;
	return split_fields(h, eol + 2, buf + n, max_fields, &past);
}

enum h1_result
h1_split_response(struct h1_head *h, const char *buf, size_t n, uint32_t max_fields, size_t *head_n)
{
	const char *eol = memchr(buf, '\r', n), *past;
	enum h1_result result;
	uint64_t status;

	begin(h);
	/* "HTTP/1.1 200 OK" */
	if (eol == NULL || eol - buf < 13 || buf + n - eol < 2 || !is_status_line(buf, n) ||
	    field_number(buf + 9, 3, &status) < 0)
		return H1_MALFORMED;
	h->minor = 1;
	h->status = (uint16_t)status;
	h->reason = buf + 13;
	h->reason_n = (uint32_t)(eol - h->reason);
	result = split_fields(h, eol + 2, buf + n, max_fields, &past);
	*head_n = (size_t)(past - buf);
	return result;
}

/* Runs before main(), so that no thread fills it; constant from then on. */
__attribute__((constructor)) static void
h1_prepare(void)
{
	llhttp_settings_init(&head_settings);
	head_settings.on_url = on_url;
	head_settings.on_status = on_status;
	head_settings.on_header_field = on_field;
	head_settings.on_header_value = on_value;
	head_settings.on_header_value_complete = on_value_complete;
	head_settings.on_headers_complete = on_head_complete;
}
