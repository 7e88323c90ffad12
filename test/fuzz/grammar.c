/* libFuzzer: our parser compared with a slow, literal one, which follows the grammars of
 * RFC 9110, 9112 and 3986 and shares no idea with ours.  Both read the same message from the
 * same bytes, or both refuse them.
 *
 * Where the grammar leaves a choice, the literal parser takes the strict one: repeated lengths
 * and codings other than chunked are refused, not repaired.  It accepts more than the grammar
 * in two cases: bytes of a request target that common clients do not escape, and a status
 * line without the blank before an empty reason phrase. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "activator/http/chunked.h"
#include "activator/http/h1.h"
#include "activator/http/request.h"
#include "activator/http/response.h"

#define FIELDS_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct span {
	const char *at;
	size_t n;
};

struct cursor {
	const char *at, *end;
};

/* --- RFC 5234 B.1, RFC 9110 5.6 --- */

static int
peek(const struct cursor *c)
{
	return c->at < c->end ? (unsigned char)*c->at : -1;
}

static bool
eat(struct cursor *c, int ch)
{
	if (peek(c) != ch)
		return false;
	c->at++;
	return true;
}

static bool
eat_crlf(struct cursor *c)
{
	struct cursor try = *c;

	if (!eat(&try, '\r') || !eat(&try, '\n'))
		return false;
	*c = try;
	return true;
}

static bool
is_digit(int ch)
{
	return ch >= '0' && ch <= '9';
}

static bool
is_alpha(int ch)
{
	return (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z');
}

static int
hex_value(int ch)
{
	if (is_digit(ch))
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

static bool
is_tchar(int ch)
{
	return is_digit(ch) || is_alpha(ch) || (ch > 0 && strchr("!#$%&'*+-.^_`|~", ch) != NULL);
}

static bool
is_vchar(int ch)
{
	return ch >= 0x21 && ch <= 0x7e;
}

/* field-vchar, SP or HTAB */
static bool
is_text(int ch)
{
	return ch == ' ' || ch == '\t' || is_vchar(ch) || ch >= 0x80;
}

/* request-target, extended: any visible byte but "#" */
static bool
is_target(int ch)
{
	return is_vchar(ch) && ch != '#';
}

/* 1*class */
static bool
eat_many(struct cursor *c, bool (*class)(int), struct span *out)
{
	out->at = c->at;
	while (class(peek(c)))
		c->at++;
	out->n = (size_t)(c->at - out->at);
	return out->n > 0;
}

static void
eat_blanks(struct cursor *c)
{
	while (eat(c, ' ') || eat(c, '\t'))
		;
}

static bool
is(struct span s, const char *word)
{
	return s.n == strlen(word) && strncasecmp(s.at, word, s.n) == 0;
}

static bool
is_exactly(struct span s, const char *word)
{
	return s.n == strlen(word) && memcmp(s.at, word, s.n) == 0;
}

static struct span
trim(struct span s)
{
	while (s.n > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
		s.at++, s.n--;
	while (s.n > 0 && (s.at[s.n - 1] == ' ' || s.at[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static bool
list_has(struct span list, const char *word)
{
	size_t from = 0, i;

	for (i = 0; i <= list.n; i++)
		if (i == list.n || list.at[i] == ',') {
			if (is(trim((struct span){list.at + from, i - from}), word))
				return true;
			from = i + 1;
		}
	return false;
}

/* 1*DIGIT that fits */
static bool
number(struct span s, uint64_t *out)
{
	unsigned __int128 v = 0;
	size_t i;

	for (i = 0; i < s.n; i++) {
		if (!is_digit((unsigned char)s.at[i]))
			return false;
		v = v * 10 + (unsigned)(s.at[i] - '0');
		if (v > UINT64_MAX)
			return false;
	}
	*out = (uint64_t)v;
	return s.n > 0;
}

/* --- RFC 9112: heads --- */

struct message {
	struct span method, target, reason;
	unsigned status;
	int minor;
	size_t fields_n;
	struct {
		struct span name, value;
	} fields[FIELDS_MAX];
	const char *end;
};

static bool
eat_version(struct cursor *c, struct message *m)
{
	static const char name[] = "HTTP/1.";
	size_t i;

	for (i = 0; name[i] != '\0'; i++)
		if (!eat(c, name[i]))
			return false;
	m->minor = peek(c) - '0';
	return eat(c, '0') || eat(c, '1');
}

static bool
eat_request_line(struct cursor *c, struct message *m)
{
	return eat_many(c, is_tchar, &m->method) && eat(c, ' ') &&
	       eat_many(c, is_target, &m->target) && eat(c, ' ') && eat_version(c, m) &&
	       eat_crlf(c);
}

static bool
eat_status_line(struct cursor *c, struct message *m)
{
	int i;

	if (!eat_version(c, m) || !eat(c, ' '))
		return false;
	for (i = 0; i < 3; i++, c->at++) {
		if (!is_digit(peek(c)))
			return false;
		m->status = m->status * 10 + (unsigned)(peek(c) - '0');
	}
	if (eat(c, ' '))
		(void)eat_many(c, is_text, &m->reason);
	return eat_crlf(c);
}

static bool
eat_field(struct cursor *c, struct span *name, struct span *value)
{
	if (!eat_many(c, is_tchar, name) || !eat(c, ':'))
		return false;
	(void)eat_many(c, is_text, value);
	*value = trim(*value);
	return eat_crlf(c);
}

static bool
eat_head(struct cursor *c, struct message *m, bool is_request)
{
	*m = (struct message){.status = 0};
	if (is_request && eat_crlf(c)) /* RFC 9112 2.2: an empty line; up to two are accepted */
		(void)eat_crlf(c);
	if (!(is_request ? eat_request_line(c, m) : eat_status_line(c, m)))
		return false;
	for (; !eat_crlf(c); m->fields_n++)
		if (m->fields_n == FIELDS_MAX ||
		    !eat_field(c, &m->fields[m->fields_n].name, &m->fields[m->fields_n].value))
			return false;
	m->end = c->at;
	return true;
}

/* The number of fields of this name; *value: that of the last one. */
static unsigned
find(const struct message *m, const char *name, struct span *value)
{
	unsigned found = 0;
	size_t i;

	*value = (struct span){"", 0};
	for (i = 0; i < m->fields_n; i++)
		if (is(m->fields[i].name, name)) {
			*value = m->fields[i].value;
			found++;
		}
	return found;
}

/* Does the list in any field of this name contain the word? */
static bool
any_lists(const struct message *m, const char *name, const char *word)
{
	size_t i;

	for (i = 0; i < m->fields_n; i++)
		if (is(m->fields[i].name, name) && list_has(m->fields[i].value, word))
			return true;
	return false;
}

/* RFC 9112 6.1 to 6.3, without repairs. */
static bool
framing_of(const struct message *m, enum framing *framing, uint64_t *length)
{
	struct span encoding, size;
	unsigned encodings = find(m, "transfer-encoding", &encoding);
	unsigned sizes = find(m, "content-length", &size);

	*framing = FRAMING_NONE;
	*length = 0;
	if (encodings + sizes > 1)
		return false;
	if (encodings == 1) {
		*framing = FRAMING_CHUNKED;
		return is(encoding, "chunked") && m->minor == 1;
	}
	if (sizes == 1) {
		*framing = FRAMING_LENGTH;
		while (size.at[size.n] == ' ')
			size.n++;
		if (size.at[size.n] == '\t') /* as llhttp: no HTAB after the size */
			return false;
		size = trim(size);
		return number(size, length);
	}
	return true;
}

/* Of all fields of that name together.  Not a rule of the RFC: such lists are bounded. */
static size_t
bytes_of(const struct message *m, const char *name)
{
	size_t i, n = 0;

	for (i = 0; i < m->fields_n; i++)
		if (is(m->fields[i].name, name))
			n += m->fields[i].value.n;
	return n;
}

static bool
has_short_lists(const struct message *m)
{
	return bytes_of(m, "connection") <= H1_LISTED_MAX &&
	       bytes_of(m, "trailer") <= H1_LISTED_MAX;
}

static bool
is_persistent(const struct message *m)
{
	if (any_lists(m, "connection", "close"))
		return false;
	return m->minor == 1 || any_lists(m, "connection", "keep-alive");
}

/* --- RFC 9110 7.2, RFC 3986 3.2: authority --- */

static bool
is_reg_name(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		int ch = (unsigned char)s.at[i];

		if (ch == '%' && s.n - i > 2 && hex_value((unsigned char)s.at[i + 1]) >= 0 &&
		    hex_value((unsigned char)s.at[i + 2]) >= 0)
			i += 2;
		else if (!is_alpha(ch) && !is_digit(ch) && strchr("-._~!$&'()*+,;=", ch) == NULL)
			return false;
	}
	return s.n > 0;
}

static bool
is_host(struct span s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr v6;

	if (s.n == 0 || s.at[0] != '[')
		return memchr(s.at, '\0', s.n) == NULL && is_reg_name(s);
	if (s.n < 2 || s.at[s.n - 1] != ']' || s.n - 2 >= sizeof text)
		return false;
	memcpy(text, s.at + 1, s.n - 2);
	text[s.n - 2] = '\0';
	return strlen(text) == s.n - 2 && inet_pton(AF_INET6, text, &v6) == 1;
}

/* host [ ":" port ] */
static bool
is_authority(struct span s)
{
	size_t i = s.n;
	uint64_t port;

	while (i > 0 && is_digit((unsigned char)s.at[i - 1]))
		i--;
	if (i > 0 && s.at[i - 1] == ':') {
		if (i < s.n && (!number((struct span){s.at + i, s.n - i}, &port) || port > 65535))
			return false;
		s.n = i - 1;
	}
	return is_host(s);
}

/* --- RFC 9112 3.2: the target of a request --- */

struct meaning {
	struct span authority, path; /* the path includes the query */
	enum framing framing;
	uint64_t length;
};

static bool
starts_with(struct span s, const char *word)
{
	return s.n >= strlen(word) && strncasecmp(s.at, word, strlen(word)) == 0;
}

static bool
read_target(const struct message *m, struct meaning *out)
{
	struct span t = m->target;
	size_t i = starts_with(t, "http://") ? 7 : starts_with(t, "https://") ? 8 : 0;

	out->path = t;
	if (t.at[0] == '/')
		return true;
	if (is_exactly(t, "*"))
		return is_exactly(m->method, "OPTIONS");
	if (i == 0)
		return false;
	out->authority.at = t.at + i;
	while (i < t.n && t.at[i] != '/' && t.at[i] != '?')
		i++;
	out->authority.n = (size_t)(t.at + i - out->authority.at);
	out->path = (struct span){t.at + i, t.n - i};
	return is_authority(out->authority);
}

static bool
read_host(const struct message *m, struct meaning *out)
{
	struct span host;
	unsigned hosts = find(m, "host", &host);

	if (hosts > 1 || (hosts == 0 && m->minor == 1))
		return false;
	if (host.n > 0 && !is_authority(host))
		return false;
	if (out->authority.at == NULL)
		out->authority = host;
	return true;
}

static bool
read_request(const struct message *m, struct meaning *out)
{
	struct span value;
	uint64_t hops;
	size_t i;

	*out = (struct meaning){.framing = FRAMING_NONE};
	if (is_exactly(m->method, "CONNECT"))
		return false;
	for (i = 0; i < m->fields_n; i++)
		if (is(m->fields[i].name, "expect") && !is(m->fields[i].value, "100-continue"))
			return false;
	if (is_exactly(m->method, "OPTIONS") || is_exactly(m->method, "TRACE")) {
		unsigned n = find(m, "max-forwards", &value);

		if (n > 1 || (n == 1 && (!number(value, &hops) || hops == 0)))
			return false;
	}
	if (!framing_of(m, &out->framing, &out->length))
		return false;
	if (is_exactly(m->method, "TRACE") && out->framing != FRAMING_NONE)
		return false; /* RFC 9110 9.3.8 */
	return read_target(m, out) && read_host(m, out);
}

/* --- RFC 9112 7.1: chunked --- */

static bool
eat_quoted(struct cursor *c)
{
	if (!eat(c, '"'))
		return false;
	while (!eat(c, '"')) {
		(void)eat(c, '\\');
		if (!is_text(peek(c)))
			return false;
		c->at++;
	}
	return true;
}

/* *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ) */
static bool
eat_extensions(struct cursor *c)
{
	struct span word;

	for (;;) {
		struct cursor try = *c;

		eat_blanks(&try);
		if (!eat(&try, ';'))
			return true;
		eat_blanks(&try);
		if (!eat_many(&try, is_tchar, &word))
			return false;
		*c = try;
		eat_blanks(&try);
		if (!eat(&try, '='))
			continue;
		eat_blanks(&try);
		if (peek(&try) == '"' ? !eat_quoted(&try) : !eat_many(&try, is_tchar, &word))
			return false;
		*c = try;
	}
}

static bool
eat_size(struct cursor *c, uint64_t *size)
{
	unsigned __int128 v = 0;
	const char *start = c->at;

	for (; hex_value(peek(c)) >= 0; c->at++) {
		v = v * 16 + (unsigned)hex_value(peek(c));
		if (v > UINT64_MAX)
			return false;
	}
	*size = (uint64_t)v;
	return c->at > start && eat_extensions(c) && eat_crlf(c);
}

struct body {
	char *data, *trailers; /* each as large as the input */
	size_t data_n, trailers_n;
};

static void
put(char *to, size_t *n, struct span s)
{
	memcpy(to + *n, s.at, s.n);
	*n += s.n;
}

static bool
eat_trailers(struct cursor *c, struct body *b, const char *announced)
{
	while (!eat_crlf(c)) {
		struct span name, value;

		if (!eat_field(c, &name, &value))
			return false;
		if (field_id(name.at, name.n) != FIELD_OTHER) /* RFC 9110 6.5.1 */
			return false;
		if (!is(name, announced))
			continue;
		put(b->trailers, &b->trailers_n, name);
		put(b->trailers, &b->trailers_n, (struct span){": ", 2});
		put(b->trailers, &b->trailers_n, value);
		put(b->trailers, &b->trailers_n, (struct span){"\r\n", 2});
	}
	return true;
}

static bool
eat_chunked(struct cursor *c, struct body *b, const char *announced)
{
	uint64_t size;

	for (;;) {
		if (!eat_size(c, &size))
			return false;
		if (size == 0)
			return eat_trailers(c, b, announced);
		if (size > (uint64_t)(c->end - c->at))
			return false;
		put(b->data, &b->data_n, (struct span){c->at, (size_t)size});
		c->at += size;
		if (!eat_crlf(c))
			return false;
	}
}

/* --- comparison --- */

static struct h1_head head;

static bool
same(struct span a, const char *s, size_t n)
{
	return a.n == n && (n == 0 || memcmp(a.at, s, n) == 0);
}

static void
check_fields(const struct message *m)
{
	size_t i;

	CHECK(head.n == m->fields_n && head.minor == m->minor);
	for (i = 0; i < head.n; i++) {
		const struct h1_field *f = &head.fields[i];

		CHECK(same(m->fields[i].name, f->name, f->name_n));
		CHECK(same(m->fields[i].value, f->value, f->value_n));
	}
}

/* llhttp checks some of the framing while it parses: compare only the results. */
static void
request(const char *buf, size_t n)
{
	struct cursor c = {buf, buf + n};
	struct message m;
	struct meaning meaning;
	struct request r;
	size_t seen = 0;
	ssize_t size = h1_scan(buf, n, &seen);
	bool is_taken = eat_head(&c, &m, true) && has_short_lists(&m) && read_request(&m, &meaning);

	if (size <= 0 || h1_parse_request(&head, buf, (size_t)size, FIELDS_MAX) != H1_OK ||
	    request_read(&r, &head) != OUT_OK) {
		CHECK(!is_taken);
		return;
	}
	CHECK(is_taken && buf + size == m.end);
	CHECK(same(m.method, head.method, head.method_n));
	CHECK(same(m.target, head.target, head.target_n));
	check_fields(&m);
	CHECK(meaning.framing == r.framing && meaning.length == r.length);
	CHECK(same(meaning.authority, r.authority, r.authority_n));
	CHECK(same(meaning.path, r.path, r.target_n));
	CHECK(r.is_persistent == is_persistent(&m));
}

/* RFC 9112 6.3, without what depends on the request. */
static bool
read_response(const struct message *m, enum framing *framing, uint64_t *length)
{
	if (m->status < 100 || m->status == 101 || !framing_of(m, framing, length))
		return false;
	if (m->status < 200 || m->status == 204 || m->status == 304)
		*framing = FRAMING_NONE;
	else if (*framing == FRAMING_NONE)
		*framing = FRAMING_CLOSE;
	return true;
}

static void
response(const char *buf, size_t n)
{
	struct cursor c = {buf, buf + n};
	struct message m;
	enum framing framing;
	uint64_t length;
	struct response r;
	size_t seen = 0;
	ssize_t size = h1_scan(buf, n, &seen);
	bool is_taken = eat_head(&c, &m, false) && has_short_lists(&m) &&
			read_response(&m, &framing, &length);

	if (size <= 0 || h1_parse_response(&head, buf, (size_t)size, FIELDS_MAX) != H1_OK ||
	    response_read(&r, &head, false, false) < 0) {
		CHECK(!is_taken);
		return;
	}
	CHECK(is_taken && buf + size == m.end);
	CHECK(m.status == head.status && same(m.reason, head.reason, head.reason_n));
	check_fields(&m);
	CHECK(r.framing == framing && (framing != FRAMING_LENGTH || r.length == length));
	CHECK(framing == FRAMING_CLOSE || !r.is_persistent || is_persistent(&m));
}

static void
chunked(const char *buf, size_t n)
{
	struct cursor c = {buf, buf + n};
	struct body b = {.data = xmalloc(n + 1), .trailers = xmalloc(2 * n + 1)};
	struct chunked *ours;
	bool is_done = eat_chunked(&c, &b, "x-sum");
	size_t data_n = 0;
	ssize_t used;
	char *copy = xmalloc(n + 1);

	head = (struct h1_head){.n = 1,
				.fields = {{.value = "x-sum", .value_n = 5, .id = FIELD_TRAILER}}};
	ours = chunked_new(&head, (size_t)1 << 20, UINT32_MAX);
	memcpy(copy, buf, n);
	used = chunked_feed(ours, copy, n, &data_n);
	CHECK((used >= 0 && chunked_done(ours)) == is_done);
	if (is_done) {
		CHECK(buf + used == c.at);
		CHECK(same((struct span){b.data, b.data_n}, copy, data_n));
		CHECK(same((struct span){b.trailers, b.trailers_n}, chunked_trailers(ours),
			   strlen(chunked_trailers(ours))));
	}
	chunked_free(&ours);
	free(copy);
	free(b.data);
	free(b.trailers);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *buf = (const char *)data + 1;

	if (size == 0 || size > 20000)
		return 0;
	/* As in h1.c, so that both can use the same corpus. */
	if (data[0] % 8 < 3)
		request(buf, size - 1);
	else if (data[0] % 8 < 6)
		response(buf, size - 1);
	else
		chunked(buf, size - 1);
	return 0;
}
