#include "activator/access/access_line.h"

#include <stdio.h>
#include <time.h>

#include "activator/http/put.h"
#include "common/clk.h"
#include "common/text.h"

/* What the numbers, names and punctuation of a line take at most, without any text. */
#define ROOM_FIXED ((size_t)1536)
#define ROOM_ESCAPED 6 /* bytes that one byte of a text takes at most: \u00XX */
#define CUT "..."

/* --- time --- */

static void
set_second(struct access_clock *c, int64_t second)
{
	time_t t = (time_t)second;
	struct tm tm;

	c->second = second;
	gmtime_r(&t, &tm);
	strftime(c->iso, sizeof c->iso, "%Y-%m-%dT%H:%M:%S", &tm);
	localtime_r(&t, &tm);
	strftime(c->local, sizeof c->local, "%d/%b/%Y:%H:%M:%S %z", &tm);
}

/* Most numbers are small. */
static inline char *
put_number(char *out, uint64_t n)
{
	if (n >= 10)
		return put_decimal(out, n);
	*out = (char)('0' + n);
	return out + 1;
}

static char *
put_3_digits(char *out, unsigned n)
{
	out[0] = (char)('0' + n / 100 % 10);
	out[1] = (char)('0' + n / 10 % 10);
	out[2] = (char)('0' + n % 10);
	return out + 3;
}

static char *
put_iso(char *out, int64_t wall_ns, struct access_clock *c)
{
	if (wall_ns / CLK_S != c->second || c->iso[0] == '\0')
		set_second(c, wall_ns / CLK_S);
	out = put(out, c->iso, sizeof "2026-11-30T16:11:44" - 1);
	*out++ = '.';
	out = put_3_digits(out, (unsigned)(wall_ns % CLK_S / CLK_MS));
	*out++ = 'Z';
	return out;
}

static char *
put_local(char *out, int64_t wall_ns, struct access_clock *c)
{
	if (wall_ns / CLK_S != c->second || c->iso[0] == '\0')
		set_second(c, wall_ns / CLK_S);
	return put(out, c->local, strlen(c->local));
}

/* Thousandths of a unit, as "1.234". */
static char *
put_thousandths(char *out, uint64_t n)
{
	out = put_number(out, n / 1000);
	*out++ = '.';
	return put_3_digits(out, (unsigned)(n % 1000));
}

static char *
put_ms(char *out, int64_t ns)
{
	return put_thousandths(out, (uint64_t)MAX(ns, 0) / CLK_US);
}

static char *
put_s(char *out, int64_t ns)
{
	return put_thousandths(out, (uint64_t)MAX(ns, 0) / CLK_MS);
}

/* --- text --- */

#define ONES UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)
/* The high bit is set in each byte of w that is 0; above the first such byte it may be set in
 * others, too. */
#define ZERO_BYTES(w) (((w)-ONES) & ~(w)&HIGH)

/* Do the eight bytes at s stand for themselves: ASCII from the blank to the tilde, without quotes
 * and backslashes? */
static inline bool
are_plain(uint64_t w)
{
	uint64_t odd = w & HIGH; /* not ASCII */

	odd |= (w - 0x20 * ONES) & ~w & HIGH; /* below the blank */
	odd |= ZERO_BYTES(w ^ ONES * '"');
	odd |= ZERO_BYTES(w ^ ONES * '\\');
	odd |= ZERO_BYTES(w ^ ONES * 0x7f);
	return odd == 0;
}

static char *
put_hex_byte(char *out, unsigned char c)
{
	out[0] = "0123456789abcdef"[c >> 4];
	out[1] = "0123456789abcdef"[c & 15];
	return out + 2;
}

/* In a format: \xHH, as nginx and Apache write it. */
static char *
put_odd_text(char *out, const char **s, size_t n)
{
	(void)n;
	return put_hex_byte(PUT_LITERAL(out, "\\x"), (unsigned char)*(*s)++);
}

/* In JSON: characters that are not ASCII stand for themselves, except for the control characters
 * U+0080 to U+009F. */
static char *
put_odd_json(char *out, const char **s, size_t n)
{
	unsigned char c = (unsigned char)**s;
	size_t length = c < 0x80 ? 1 : text_utf8_length(*s, n);

	if (length == 0 || c == '\0') { /* not UTF-8, or what many readers of JSON do not take */
		++*s;
		return PUT_LITERAL(out, "\\ufffd");
	}
	if (c == '"' || c == '\\') {
		*out++ = '\\';
		*out++ = (char)c;
	} else if (length == 1 || (length == 2 && c == 0xc2 && (unsigned char)(*s)[1] < 0xa0)) {
		out = PUT_LITERAL(out, "\\u00");
		out = put_hex_byte(out, length == 1 ? c : (unsigned char)(*s)[1]);
	} else {
		out = put(out, *s, length);
	}
	*s += length;
	return out;
}

/* Each byte that stands for itself. */
static const bool is_plain[256] = {
	[' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};

typedef char *put_odd_fn(char *out, const char **s, size_t n);

static inline char *
put_byte(char *out, const char **s, const char *end, put_odd_fn *put_odd)
{
	if (!is_plain[(unsigned char)**s])
		return put_odd(out, s, (size_t)(end - *s));
	*out = *(*s)++;
	return out + 1;
}

static inline char *
put_escaped(char *out, const struct access_text *t, put_odd_fn *put_odd)
{
	size_t n = MIN(t->n, ACCESS_TEXT_MAX);
	const char *s = t->s, *end = s + n, *start = out;
	uint64_t w;

	while ((size_t)(end - s) >= sizeof w) {
		memcpy(&w, s, sizeof w);
		if (are_plain(w)) {
			memcpy(out, &w, sizeof w);
			out += sizeof w;
			s += sizeof w;
		} else {
			out = put_byte(out, &s, end, put_odd);
		}
	}
	if (n >= sizeof w && out - start == s - t->s) { /* the last eight, some of them again */
		memcpy(&w, end - sizeof w, sizeof w);
		if (are_plain(w)) {
			out += end - s;
			s = end;
			memcpy(out - sizeof w, &w, sizeof w);
		}
	}
	while (s < end)
		out = put_byte(out, &s, end, put_odd);
	return n < t->n ? PUT_LITERAL(out, CUT) : out;
}

/* --- JSON --- */

static char *
put_json(char *out, const struct access_text *t)
{
	return put_escaped(out, t, put_odd_json);
}

char *
access_line_put_text(char *out, const struct access_text *t)
{
	return put_json(out, t);
}

/* A member with a text, if there is one. */
#define MEMBER(out, name, t)                                                                       \
	((t)->s == NULL ? (out)                                                                    \
			: PUT_LITERAL(put_json(PUT_LITERAL(out, ",\"" name "\":\""), t), "\""))
#define NUMBER(out, name, n) put_number(PUT_LITERAL(out, ",\"" name "\":"), n)
#define MS(out, name, ns) put_ms(PUT_LITERAL(out, ",\"" name "\":"), ns)

static char *
put_phases(char *out, const int64_t *phases)
{
	static const char *const names[] = {
#define X(id, name) [COLD_##id] = "\"" name "_ms\":",
		COLD_PHASES(X)
#undef X
	};
	size_t i;

	out = PUT_LITERAL(out, ",\"cold_start\":{");
	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (i > 0)
			*out++ = ',';
		out = put_ms(put(out, names[i], strlen(names[i])), phases[i]);
	}
	*out++ = '}';
	return out;
}

/* What only some requests have. */
static char *
put_json_rare(char *out, const struct access_values *v)
{
	out = MEMBER(out, "reason", &v->reason);
	out = MEMBER(out, "request", &v->raw);
	if (v->is_encrypted)
		out = PUT_LITERAL(out, ",\"tls\":true");
	if (v->grpc_status >= 0)
		out = NUMBER(out, "grpc_status", (uint64_t)v->grpc_status);
	if (v->parked_ns >= 0)
		out = MS(out, "parked_ms", v->parked_ns);
	if (v->is_cold)
		out = PUT_LITERAL(out, ",\"cold\":true");
	if (v->has_phases)
		out = put_phases(out, v->phases);
	if (v->tries > 0)
		out = NUMBER(out, "failed_tries", v->tries);
	if (v->sample > 1)
		out = NUMBER(out, "sample", v->sample);
	return out;
}

static char *
put_json_line(char *out, const struct access_values *v, struct access_clock *c)
{
	out = PUT_LITERAL(put_iso(PUT_LITERAL(out, "{\"time\":\""), v->wall_ns, c), "\"");
	out = PUT_LITERAL(out, ",\"client\":\"");
	out = PUT_LITERAL(put(out, v->client.s, v->client.n), "\"");
	out = MEMBER(out, "method", &v->method);
	out = MEMBER(out, "host", &v->host);
	out = MEMBER(out, "target", &v->target);
	out = PUT_LITERAL(out, ",\"protocol\":\"");
	out = put(out, v->protocol, strlen(v->protocol));
	out = put_3_digits(PUT_LITERAL(out, "\",\"status\":"), v->status);
	if (v->status < 100) /* a number of JSON has no leading zeros */
		out = PUT_LITERAL(out - 3, "0");
	out = PUT_LITERAL(out, ",\"outcome\":\"");
	out = put(out, v->outcome, strlen(v->outcome));
	*out++ = '"';
	if (v->route.s != NULL)
		out = put(out, v->route.s, v->route.n);
	else
		out = MEMBER(out, "service", &v->service);
	out = MEMBER(out, "instance", &v->instance);
	out = NUMBER(out, "bytes_in", v->bytes_in);
	out = NUMBER(out, "bytes_out", v->bytes_out);
	out = MS(out, "duration_ms", v->duration_ns);
	if (v->response_ns >= 0)
		out = MS(out, "response_ms", v->response_ns);
	out = put_json_rare(out, v);
	out = MEMBER(out, "request_id", &v->request_id);
	out = MEMBER(out, "trace_id", &v->trace_id);
	out = MEMBER(out, "user_agent", &v->user_agent);
	out = MEMBER(out, "referer", &v->referer);
	return PUT_LITERAL(out, "}\n");
}

/* --- formats --- */

static char *
put_text(char *out, const struct access_text *t)
{
	if (t->s == NULL || t->n == 0)
		return PUT_LITERAL(out, "-");
	return put_escaped(out, t, put_odd_text);
}

static char *
put_duration(char *out, int64_t ns)
{
	return ns < 0 ? PUT_LITERAL(out, "-") : put_s(out, ns);
}

static char *
put_request(char *out, const struct access_values *v)
{
	if (v->method.s == NULL)
		return put_text(out, &v->raw);
	out = put_text(out, &v->method);
	*out++ = ' ';
	out = put_text(out, &v->target);
	*out++ = ' ';
	return put(out, v->protocol, strlen(v->protocol));
}

/* The target up to its query, or the query. */
static char *
put_target_part(char *out, const struct access_text *target, bool is_query)
{
	const char *mark = target->s == NULL ? NULL : memchr(target->s, '?', target->n);
	struct access_text part = *target;

	if (mark == NULL && is_query)
		part.s = NULL;
	else if (mark != NULL && !is_query)
		part.n = (size_t)(mark - target->s);
	else if (mark != NULL)
		part = (struct access_text){mark + 1, (size_t)(target->s + target->n - (mark + 1))};
	return put_text(out, &part);
}

static char *
put_string(char *out, const char *s)
{
	return put(out, s, strlen(s));
}

/* The text that a variable is, or NULL: it is none, or is not known. */
static const struct access_text *
text_of(const struct access_values *v, const struct access_piece *p)
{
	switch (p->variable) {
	case ACCESS_REMOTE_ADDR:
		return &v->client;
	case ACCESS_PEER_ADDR:
		return &v->peer;
	case ACCESS_REQUEST_METHOD:
		return &v->method;
	case ACCESS_REQUEST_URI:
		return &v->target;
	case ACCESS_HOST:
		return &v->host;
	case ACCESS_UPSTREAM_ADDR:
		return &v->upstream;
	case ACCESS_SERVICE:
		return &v->service;
	case ACCESS_REVISION:
		return &v->revision;
	case ACCESS_INSTANCE:
		return &v->instance;
	case ACCESS_REASON:
		return &v->reason;
	case ACCESS_REQUEST_ID:
		return &v->request_id;
	case ACCESS_TRACE_ID:
		return &v->trace_id;
	case ACCESS_FIELD:
		return p->field < v->fields_n ? &v->fields[p->field] : NULL;
	default:
		return NULL;
	}
}

static char *
put_variable(char *out, const struct access_values *v, const struct access_piece *p,
	     struct access_clock *c)
{
	const struct access_text *text = text_of(v, p);

	if (text != NULL)
		return put_text(out, text);
	switch (p->variable) {
	case ACCESS_TIME_LOCAL:
		return put_local(out, v->wall_ns, c);
	case ACCESS_TIME_ISO8601:
		return put_iso(out, v->wall_ns, c);
	case ACCESS_MSEC:
		return put_s(out, v->wall_ns);
	case ACCESS_REQUEST:
		return put_request(out, v);
	case ACCESS_PATH:
		return put_target_part(out, &v->target, false);
	case ACCESS_ARGS:
		return put_target_part(out, &v->target, true);
	case ACCESS_SCHEME:
		return put_string(out, v->is_encrypted ? "https" : "http");
	case ACCESS_SERVER_PROTOCOL:
		return put_string(out, v->protocol);
	case ACCESS_STATUS:
		return put_3_digits(out, v->status);
	case ACCESS_GRPC_STATUS:
		return v->grpc_status < 0 ? PUT_LITERAL(out, "-")
					  : put_decimal(out, (uint64_t)v->grpc_status);
	case ACCESS_BODY_BYTES_SENT:
		return put_decimal(out, v->bytes_out);
	case ACCESS_BODY_BYTES_RECEIVED:
		return put_decimal(out, v->bytes_in);
	case ACCESS_REQUEST_TIME:
		return put_s(out, v->duration_ns);
	case ACCESS_PARKED_TIME:
		return put_duration(out, v->parked_ns);
	case ACCESS_UPSTREAM_RESPONSE_TIME:
		return put_duration(out, v->response_ns);
	case ACCESS_OUTCOME:
		return put_string(out, v->outcome);
	case ACCESS_TRIES:
		return put_decimal(out, v->tries);
	case ACCESS_COLD:
		return put_decimal(out, v->is_cold);
	case ACCESS_COLD_SIGNAL:
	case ACCESS_COLD_ACK:
	case ACCESS_COLD_ADDRESS:
	case ACCESS_COLD_CONNECT:
	case ACCESS_COLD_SEND:
	case ACCESS_COLD_FIRST_BYTE:
		return put_duration(out, v->has_phases ? v->phases[p->variable - ACCESS_COLD_SIGNAL]
						       : -1);
	case ACCESS_CONNECTION_REQUESTS:
		return put_decimal(out, v->connection_requests);
	case ACCESS_WORKER:
		return put_decimal(out, v->worker);
	case ACCESS_PID:
		return put_decimal(out, (uint64_t)v->pid);
	case ACCESS_SAMPLE:
		return put_decimal(out, v->sample);
	default: /* remote_user: clients do not authenticate themselves here */
		return PUT_LITERAL(out, "-");
	}
}

_Static_assert(ACCESS_COLD_FIRST_BYTE - ACCESS_COLD_SIGNAL == COLD_FIRST_BYTE - COLD_SIGNAL,
	       "a variable for each phase, in their order");

/* --- both --- */

static size_t
text_room(const struct access_text *t)
{
	return ROOM_ESCAPED * MIN(t->n, ACCESS_TEXT_MAX) + sizeof CUT;
}

size_t
access_line_text_room(const struct access_text *t)
{
	return text_room(t);
}

static size_t
piece_room(const struct access_values *v, const struct access_piece *p)
{
	const struct access_text *text = text_of(v, p);

	switch (p->variable) {
	case ACCESS_LITERAL:
		return p->n;
	case ACCESS_REQUEST:
		return text_room(&v->method) + text_room(&v->target) + text_room(&v->raw) + 64;
	case ACCESS_PATH:
	case ACCESS_ARGS:
		return text_room(&v->target);
	default:
		return text == NULL ? 64 : text_room(text);
	}
}

size_t
access_line_room(const struct access_values *v, const struct access_format *f)
{
	size_t n = ROOM_FIXED, i;

	if (f == NULL)
		return n + text_room(&v->client) + text_room(&v->raw) + text_room(&v->method) +
		       text_room(&v->target) + text_room(&v->host) + text_room(&v->referer) +
		       text_room(&v->user_agent) + text_room(&v->request_id) +
		       text_room(&v->trace_id) + text_room(&v->reason) + text_room(&v->service) +
		       v->route.n + text_room(&v->instance);
	for (i = 0; i < f->n; i++)
		n += piece_room(v, &f->pieces[i]);
	return n;
}

char *
access_line_put(char *out, const struct access_values *v, const struct access_format *f,
		struct access_clock *c)
{
	size_t i;

	if (f == NULL)
		return put_json_line(out, v, c);
	for (i = 0; i < f->n; i++)
		out = f->pieces[i].variable == ACCESS_LITERAL
			      ? put(out, f->pieces[i].text, f->pieces[i].n)
			      : put_variable(out, v, &f->pieces[i], c);
	*out++ = '\n';
	return out;
}
