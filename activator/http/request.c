#include "activator/http/request.h"

#include <string.h>
#include <strings.h>

#include "activator/http/grpc.h"
#include "activator/http/knative.h"
#include "activator/http/put.h"
#include "common/text.h"

static bool
is_method(const struct h1_head *h, const char *method)
{
	return text_is(h->method, h->method_n, method);
}

static bool
is_idempotent(const struct h1_head *h)
{
	return is_method(h, "GET") || is_method(h, "HEAD") || is_method(h, "PUT") ||
	       is_method(h, "DELETE") || is_method(h, "OPTIONS") || is_method(h, "TRACE");
}

/* --- reading --- */

/* What the fields say, until all are read. */
struct framing_fields {
	const struct h1_field *length, *encoding, *host, *timeout;
	unsigned lengths, encodings, hosts, upgrades, timeouts;
	size_t connection_n, trailer_n; /* bytes of all fields of the name */
	bool is_close, is_h2c, is_unknown_expected;
};

static enum outcome
read_field(struct request *r, struct framing_fields *ff, const struct h1_field *f)
{
	switch (f->id) {
	case FIELD_HOST:
		ff->host = f;
		ff->hosts++;
		break;
	case FIELD_CONTENT_LENGTH:
		ff->length = f;
		ff->lengths++;
		break;
	case FIELD_CONTENT_TYPE:
		r->is_grpc |= grpc_is_content_type(f->value, f->value_n);
		break;
	case FIELD_GRPC_TIMEOUT:
		ff->timeout = f;
		ff->timeouts++;
		break;
	case FIELD_TRANSFER_ENCODING:
		ff->encoding = f;
		ff->encodings++;
		break;
	case FIELD_CONNECTION:
		r->connections++;
		r->connection = r->connections == 1 ? f->value : NULL;
		r->connection_n = f->value_n;
		ff->connection_n += f->value_n;
		if (field_list_has(f->value, f->value_n, "close"))
			ff->is_close = true; /* wins: RFC 9112 9.3 */
		else if (r->is_http10 && field_list_has(f->value, f->value_n, "keep-alive"))
			r->is_persistent = true;
		if (field_list_has(f->value, f->value_n, "upgrade"))
			r->is_upgrade = true;
		break;
	case FIELD_TRAILER:
		ff->trailer_n += f->value_n;
		break;
	case FIELD_UPGRADE:
		ff->upgrades++;
		/* Requests in a tunnel to HTTP/2 would escape routing and limits. */
		if (field_list_has(f->value, f->value_n, "h2c"))
			ff->is_h2c = true;
		break;
	case FIELD_EXPECT:
		if (!field_is(f->value, f->value_n, "100-continue"))
			ff->is_unknown_expected = true;
		r->is_expecting = !r->is_http10; /* RFC 9110 10.1.1: ignored from 1.0 */
		break;
	case FIELD_ACCEPT:
		r->wants_json |= memmem(f->value, f->value_n, "application/json", 16) != NULL;
		break;
	case FIELD_TE:
		r->takes_trailers |= field_list_has(f->value, f->value_n, "trailers");
		break;
	case FIELD_MAX_FORWARDS: /* of these two methods only: RFC 9110 7.6.2 */
		if (!is_method(r->head, "OPTIONS") && !is_method(r->head, "TRACE"))
			break;
		if (r->has_max_forwards || field_number(f->value, f->value_n, &r->max_forwards) < 0)
			return OUT_BAD_REQUEST;
		r->has_max_forwards = true;
		break;
	default:
		break;
	}
	return OUT_OK;
}

/* A timeout that is malformed or repeated passes as it came, and its instance judges it: Envoy does
 * the same, and grpc-go refuses such a call as a server. */
static void
read_grpc(struct request *r, const struct framing_fields *ff)
{
	if (!r->is_grpc)
		return;
	r->takes_trailers = true; /* the status of each call is there */
	if (ff->timeouts == 1)
		r->timeout_ns = grpc_timeout(ff->timeout->value, ff->timeout->value_n);
}

/* RFC 9112 6.3.  Repeated, conflicting and unknown framing is refused, not repaired. */
static enum outcome
read_framing(struct request *r, const struct framing_fields *ff)
{
	r->framing = FRAMING_NONE;
	if (ff->encodings > 1 || ff->lengths > 1 || (ff->encodings > 0 && ff->lengths > 0))
		return OUT_BAD_REQUEST;
	if (ff->encodings == 1) {
		if (r->is_http10 ||
		    !field_is(ff->encoding->value, ff->encoding->value_n, "chunked"))
			return OUT_BAD_REQUEST;
		r->framing = FRAMING_CHUNKED;
	} else if (ff->lengths == 1) {
		if (field_number(ff->length->value, ff->length->value_n, &r->length) < 0)
			return OUT_BAD_REQUEST;
		r->framing = FRAMING_LENGTH;
	}
	return OUT_OK;
}

static bool
has_prefix(const char *s, size_t n, const char *lower)
{
	size_t len = strlen(lower);

	return n >= len && field_is(s, len, lower);
}

/* RFC 9112 3.2: origin-form, absolute-form, asterisk-form.  Only CONNECT, which is refused, has
 * authority-form. */
static enum outcome
read_target(struct request *r)
{
	const struct h1_head *h = r->head;
	const char *t = h->target, *end = t + h->target_n, *slash;

	if (h->target_n == 0 || memchr(t, '#', h->target_n) != NULL)
		return OUT_BAD_REQUEST;
	r->path = t;
	if (t[0] == '*') {
		if (h->target_n != 1 || !is_method(h, "OPTIONS"))
			return OUT_BAD_REQUEST;
	} else if (t[0] != '/') {
		size_t skip = has_prefix(t, h->target_n, "http://")    ? 7
			      : has_prefix(t, h->target_n, "https://") ? 8
								       : 0;

		if (skip == 0)
			return OUT_BAD_REQUEST;
		slash = t + skip + strcspn(t + skip, "/? ");
		slash = MIN(slash, end);
		r->authority = t + skip; /* goes before Host: RFC 9112 3.2.2 */
		r->authority_n = (uint32_t)(slash - r->authority);
		r->path = slash;
	}
	r->target_n = (uint32_t)(end - r->path);
	{
		const char *query = memchr(r->path, '?', r->target_n);

		r->path_n = query == NULL ? r->target_n : (uint32_t)(query - r->path);
	}
	return OUT_OK;
}

static enum outcome
read_host(struct request *r, const struct framing_fields *ff)
{
	size_t host_n = 0;

	if (ff->hosts > 1 || (ff->hosts == 0 && !r->is_http10))
		return OUT_BAD_REQUEST;
	if (ff->hosts == 1 && ff->host->value_n > 0 &&
	    !field_authority(ff->host->value, ff->host->value_n, &host_n))
		return OUT_BAD_REQUEST;
	if (r->authority == NULL && ff->hosts == 1) {
		r->authority = ff->host->value;
		r->authority_n = ff->host->value_n;
	} else if (r->authority == NULL) {
		r->authority = "";
	} else if (!field_authority(r->authority, r->authority_n, &host_n)) {
		return OUT_BAD_REQUEST;
	}
	r->host_n = (uint32_t)host_n;
	return OUT_OK;
}

enum outcome
request_read(struct request *r, const struct h1_head *h)
{
	struct framing_fields ff = {0};
	enum outcome out;
	uint32_t i;

	*r = (struct request){.head = h,
			      .is_http10 = h->minor == 0,
			      .is_persistent = h->minor == 1,
			      .timeout_ns = -1};
	r->is_trace = is_method(h, "TRACE");
	r->is_connect = is_method(h, "CONNECT");
	r->is_head_method = is_method(h, "HEAD");
	r->is_idempotent = is_idempotent(h);
	for (i = 0; i < h->n; i++) {
		out = h->fields[i].id == FIELD_OTHER ? OUT_OK : read_field(r, &ff, &h->fields[i]);
		if (out != OUT_OK)
			return out;
	}
	read_grpc(r, &ff);
	out = ff.connection_n > H1_LISTED_MAX || ff.trailer_n > H1_LISTED_MAX
		      ? OUT_BAD_REQUEST
		      : read_framing(r, &ff);
	if (r->is_trace && r->framing != FRAMING_NONE) /* RFC 9110 9.3.8 */
		out = OUT_BAD_REQUEST;
	/* The framing is read before anything is refused, so that the end of the refused request
	 * is known; if it is not known, the connection is closed. */
	if (out == OUT_OK && r->is_connect)
		out = OUT_METHOD;
	if (out == OUT_OK)
		out = read_target(r);
	if (out == OUT_OK)
		out = read_host(r, &ff);
	if (out == OUT_OK && ff.is_unknown_expected)
		out = OUT_EXPECTATION;
	r->is_persistent = r->is_persistent && !ff.is_close;
	r->has_upgrade = ff.upgrades > 0;
	r->is_upgrade = r->is_upgrade && r->has_upgrade && !ff.is_h2c && !r->is_http10;
	if (out == OUT_OK && r->has_max_forwards && r->max_forwards == 0)
		return OUT_MAX_FORWARDS;
	return out;
}

const char *
request_field_next(const struct h1_head *h, const char *lower, uint32_t *at, size_t *n)
{
	while (*at < h->n) {
		const struct h1_field *f = &h->fields[(*at)++];

		if (field_is(f->name, f->name_n, lower)) {
			*n = f->value_n;
			return f->value;
		}
	}
	return NULL;
}

const char *
request_field(const struct h1_head *h, const char *lower, size_t *n)
{
	uint32_t at = 0;

	return request_field_next(h, lower, &at, n);
}

/* A CGI program cannot tell x_request_id from it. */
static bool
is_request_id(const struct h1_field *f)
{
	return f->id == FIELD_OTHER && f->name_n == 12 && (f->name[0] | 32) == 'x' &&
	       strncasecmp(f->name + 2, "request", 7) == 0 &&
	       strncasecmp(f->name + 10, "id", 2) == 0 && strchr("-_", f->name[1]) != NULL &&
	       strchr("-_", f->name[9]) != NULL;
}

const char *
request_id_sent(const struct h1_head *h, size_t *n)
{
	const struct h1_field *found = NULL;
	uint32_t i;

	for (i = 0; i < h->n; i++) {
		if (!is_request_id(&h->fields[i]))
			continue;
		if (found != NULL)
			return NULL;
		found = &h->fields[i];
	}
	if (found == NULL || found->value_n == 0 || found->value_n > REQUEST_ID_MAX)
		return NULL;
	for (i = 0; i < found->value_n; i++)
		if (found->value[i] <= ' ' || found->value[i] >= 0x7f)
			return NULL;
	*n = found->value_n;
	return found->value;
}

/* Are the n bytes at s hexadecimal digits in lower case, and not all 0? */
static bool
is_trace_number(const char *s, size_t n)
{
	bool is_zero = true;
	size_t i;

	for (i = 0; i < n; i++) {
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			return false;
		is_zero &= s[i] == '0';
	}
	return !is_zero;
}

/* Later versions may have more behind it. */
const char *
request_traceparent(const struct h1_head *h)
{
	static const size_t size = TRACEPARENT_SIZE;
	size_t n;
	const char *s = request_field(h, "traceparent", &n);

	if (s == NULL || n < size || memcmp(s, "ff", 2) == 0 || s[2] != '-' || s[35] != '-' ||
	    s[52] != '-' || (n > size && (memcmp(s, "00", 2) == 0 || s[size] != '-')))
		return NULL;
	return is_trace_number(s + 3, TRACE_ID_SIZE) && is_trace_number(s + 36, 16) ? s : NULL;
}

/* --- writing --- */

/* Is it a field of the trace context in whose place another one stands? */
static bool
is_of_trace(const struct h1_field *f, const struct request_hop *hop)
{
	return field_is(f->name, f->name_n, "traceparent") ||
	       (hop->is_trace_new && field_is(f->name, f->name_n, "tracestate"));
}

static char *
put_number(char *out, uint64_t n)
{
	return PUT_LITERAL(put_decimal(out, n), "\r\n");
}

/* Does Connection name fields?  "close" and "keep-alive" alone, its usual values, are none. */
static bool
names_fields(const struct request *r)
{
	return r->connections > 1 ||
	       (r->connections == 1 && !field_is(r->connection, r->connection_n, "keep-alive") &&
		!field_is(r->connection, r->connection_n, "close"));
}

static bool
is_passed(const struct request *r, const struct h1_field *f, const struct request_hop *hop)
{
	switch (f->id) {
	case FIELD_OTHER:
	case FIELD_NOT_IN_TRAILERS:
	case FIELD_ACCEPT:
	case FIELD_CONTENT_TYPE:
	case FIELD_DATE:
	case FIELD_VIA:
		return true;
	case FIELD_GRPC_TIMEOUT:
		return r->timeout_ns < 0;
	case FIELD_TRAILER:
		return r->framing == FRAMING_CHUNKED;
	case FIELD_EXPECT:
		return r->is_expecting;
	case FIELD_X_FORWARDED:
	case FIELD_X_FORWARDED_HOST:
	case FIELD_X_FORWARDED_PROTO:
		return hop->is_peer_trusted;
	case FIELD_MAX_FORWARDS:
		return !r->has_max_forwards;
	default:
		return false;
	}
}

/* The value of a list field that a trusted peer has sent; ours follows. */
static char *
put_received(char *out, const struct request *r, enum field_id id, bool is_kept)
{
	uint32_t i;

	for (i = 0; is_kept && i < r->head->n; i++) {
		const struct h1_field *f = &r->head->fields[i];

		if (f->id != id || f->value_n == 0)
			continue;
		out = put(out, f->value, f->value_n);
		out = PUT_LITERAL(out, ", ");
	}
	return out;
}

static bool
has_field(const struct request *r, enum field_id id)
{
	uint32_t i;

	for (i = 0; i < r->head->n; i++)
		if (r->head->fields[i].id == id)
			return true;
	return false;
}

/* A peer without an address adds nothing to the list: programs take every element for an
 * address.  HAProxy does the same. */
static char *
put_forwarded_for(char *start, const struct request *r, const struct request_hop *hop)
{
	char *list = PUT_LITERAL(start, "X-Forwarded-For: ");
	char *out = put_received(list, r, FIELD_X_FORWARDED_FOR, hop->is_peer_trusted);

	if (hop->peer != NULL)
		out = put(out, hop->peer, strlen(hop->peer));
	else if (out == list)
		return start;
	else
		out -= 2; /* the comma and the blank behind the last element */
	return PUT_LITERAL(out, "\r\n");
}

/* One element of X-Forwarded-For as one of Forwarded.  What is no address says nothing. */
static char *
put_forwarded_node(char *out, const char *s, size_t n)
{
	char text[ADDR_TEXT];
	struct addr addr;
	bool is_v6 = memchr(s, ':', n) != NULL, is_ip = n < sizeof text;

	if (is_ip) {
		memcpy(text, s, n);
		text[n] = '\0';
		is_ip = addr_set(&addr, text, 0, NULL) == 0 && addr_is_ip(&addr);
	}
	if (!is_ip)
		return PUT_LITERAL(out, "for=unknown");
	out = is_v6 ? PUT_LITERAL(out, "for=\"[") : PUT_LITERAL(out, "for=");
	out = put(out, s, n);
	return is_v6 ? PUT_LITERAL(out, "]\"") : out;
}

/* The elements of Forwarded that a trusted peer has left out, though it has sent the older fields:
 * RFC 7239 7.4.  The first one is of the client, with the host and the protocol that it used. */
static char *
put_forwarded_of_older(char *out, const struct request *r)
{
	const char *s, *host, *proto, *element;
	size_t n, host_n = 0, proto_n = 0, at, len, authority_n;
	uint32_t field_at = 0;
	bool is_first = true;

	host = request_field(r->head, "x-forwarded-host", &host_n);
	proto = request_field(r->head, "x-forwarded-proto", &proto_n);
	while ((s = request_field_next(r->head, "x-forwarded-for", &field_at, &n)) != NULL) {
		at = 0;
		while (field_list_next(s, n, &at, &element, &len)) {
			out = put_forwarded_node(out, element, len);
			if (is_first && host != NULL &&
			    field_authority(host, host_n, &authority_n)) {
				out = PUT_LITERAL(out, ";host=\"");
				out = PUT_LITERAL(put(out, host, host_n), "\"");
			}
			if (is_first && proto != NULL && field_is_token(proto, proto_n))
				out = put(PUT_LITERAL(out, ";proto="), proto, proto_n);
			out = PUT_LITERAL(out, ", ");
			is_first = false;
		}
	}
	return out;
}

static bool
has_older_forwarded_only(const struct request *r, const struct request_hop *hop)
{
	return hop->knative != NULL && hop->knative->drops_inner && hop->is_peer_trusted &&
	       !has_field(r, FIELD_FORWARDED);
}

/* Forwarded (RFC 7239), and the older fields that most programs read. */
static char *
put_forwarded(char *out, const struct request *r, const struct request_hop *hop)
{
	const char *node = hop->peer != NULL ? hop->peer : "unknown"; /* RFC 7239 6.2 */

	out = put_forwarded_for(out, r, hop);
	if (!hop->is_peer_trusted || !has_field(r, FIELD_X_FORWARDED_PROTO))
		out = hop->is_encrypted ? PUT_LITERAL(out, "X-Forwarded-Proto: https\r\n")
					: PUT_LITERAL(out, "X-Forwarded-Proto: http\r\n");
	/* A trusted proxy names its client by this field, or by none if it has shown nothing: the
	 * proxy's own certificate says nothing of the client. */
	if (hop->subject != NULL && !hop->is_peer_trusted) {
		out = PUT_LITERAL(out, "X-Forwarded-Client-Subject: ");
		out = put(out, hop->subject, strlen(hop->subject));
		out = PUT_LITERAL(out, "\r\n");
	}
	if (r->authority_n > 0 &&
	    (!hop->is_peer_trusted || !has_field(r, FIELD_X_FORWARDED_HOST))) {
		out = PUT_LITERAL(out, "X-Forwarded-Host: ");
		out = put(out, r->authority, r->authority_n);
		out = PUT_LITERAL(out, "\r\n");
	}
	out = PUT_LITERAL(out, "Forwarded: ");
	if (has_older_forwarded_only(r, hop))
		out = put_forwarded_of_older(out, r);
	else
		out = put_received(out, r, FIELD_FORWARDED, hop->is_peer_trusted);
	out = hop->is_peer_v6 ? PUT_LITERAL(out, "for=\"[") : PUT_LITERAL(out, "for=");
	out = put(out, node, strlen(node));
	if (hop->is_peer_v6)
		out = PUT_LITERAL(out, "]\"");
	if (r->authority_n > 0) {
		out = PUT_LITERAL(out, ";host=\"");
		out = put(out, r->authority, r->authority_n);
		out = PUT_LITERAL(out, "\"");
	}
	return hop->is_encrypted ? PUT_LITERAL(out, ";proto=https\r\n")
				 : PUT_LITERAL(out, ";proto=http\r\n");
}

static char *
put_connection(char *out, const struct request *r)
{
	if (r->is_upgrade) {
		out = r->takes_trailers ? PUT_LITERAL(out, "Connection: Upgrade, TE\r\n")
					: PUT_LITERAL(out, "Connection: Upgrade\r\n");
		for (uint32_t i = 0; i < r->head->n; i++)
			if (r->head->fields[i].id == FIELD_UPGRADE)
				out = put_field(out, &r->head->fields[i]);
	} else if (r->takes_trailers) {
		out = PUT_LITERAL(out, "Connection: TE\r\n");
	}
	if (r->takes_trailers)
		out = PUT_LITERAL(out, "TE: trailers\r\n");
	return out;
}

static char *
put_framing(char *out, const struct request *r)
{
	if (r->framing == FRAMING_CHUNKED)
		return PUT_LITERAL(out, "Transfer-Encoding: chunked\r\n");
	if (r->framing == FRAMING_LENGTH)
		out = put_number(PUT_LITERAL(out, "Content-Length: "), r->length);
	return out;
}

static char *
put_request_line(char *out, const struct request *r)
{
	out = put(out, r->head->method, r->head->method_n);
	*out++ = ' ';
	if (r->target_n == 0 || r->path[0] == '?') {
		/* absolute-form without a path: RFC 9112 3.2.1, 3.2.4 */
		bool is_options = is_method(r->head, "OPTIONS") && r->target_n == 0;

		*out++ = is_options ? '*' : '/';
	}
	out = put(out, r->path, r->target_n);
	out = PUT_LITERAL(out, " HTTP/1.1\r\nHost: ");
	out = put(out, r->authority, r->authority_n);
	return PUT_LITERAL(out, "\r\n");
}

/* Does Knative have the field from going on? */
static bool
is_kept_by_knative(const struct h1_field *f, const struct request_knative *k)
{
	return (k->drops_inner && knative_is_inner(f->name, f->name_n)) ||
	       (k->tag != NULL && knative_is_tag(f->name, f->name_n));
}

static char *
put_knative(char *out, const struct request_knative *k)
{
	if (k->tag != NULL) {
		out = put(PUT_LITERAL(out, KNATIVE_TAG_FIELD ": "), k->tag, strlen(k->tag));
		out = PUT_LITERAL(out, "\r\n");
	}
	return k->is_default_route ? PUT_LITERAL(out, KNATIVE_DEFAULT_ROUTE_FIELD ": true\r\n")
				   : out;
}

/* An element of Forwarded is at most so many times as long as one of X-Forwarded-For ("::", and a
 * comma), and once there are host and proto. */
#define FORWARDED_GROWTH 8

static size_t
forwarded_growth(const struct h1_field *f)
{
	switch (f->id) {
	case FIELD_X_FORWARDED_FOR:
		return FORWARDED_GROWTH * (size_t)f->value_n + 32;
	case FIELD_X_FORWARDED_HOST:
	case FIELD_X_FORWARDED_PROTO:
		return f->value_n;
	default:
		return 0;
	}
}

size_t
request_size(const struct request *r, const struct request_hop *hop)
{
	size_t n = r->head->method_n + r->target_n + 3 * (size_t)r->authority_n + 512;
	uint32_t i;

	if (hop->subject != NULL)
		n += strlen(hop->subject) + 64;
	n += hop->request_id_n + 32 + TRACEPARENT_SIZE + 32;
	if (hop->knative != NULL && hop->knative->tag != NULL)
		n += strlen(hop->knative->tag) + 32;
	for (i = 0; i < r->head->n; i++)
		n += r->head->fields[i].name_n + r->head->fields[i].value_n + 4;
	if (hop->knative != NULL)
		for (i = 0; i < r->head->n; i++)
			n += forwarded_growth(&r->head->fields[i]);
	return n;
}

size_t
request_write(const struct request *r, const struct request_hop *hop, char *start, size_t room)
{
	bool has_options = names_fields(r);
	char *out = put_request_line(start, r);
	uint32_t i;

	for (i = 0; i < r->head->n; i++) {
		const struct h1_field *f = &r->head->fields[i];

		if (is_passed(r, f, hop) && !(has_options && h1_is_connection_option(r->head, f)) &&
		    !(hop->request_id != NULL && is_request_id(f)) &&
		    !(hop->traceparent != NULL && is_of_trace(f, hop)) &&
		    !(hop->knative != NULL && is_kept_by_knative(f, hop->knative)))
			out = put_field(out, f);
	}
	if (hop->traceparent != NULL) {
		out = put(PUT_LITERAL(out, "traceparent: "), hop->traceparent, TRACEPARENT_SIZE);
		out = PUT_LITERAL(out, "\r\n");
	}
	if (hop->request_id != NULL) {
		out = PUT_LITERAL(out, "X-Request-Id: ");
		out = PUT_LITERAL(put(out, hop->request_id, hop->request_id_n), "\r\n");
	}
	if (hop->knative != NULL)
		out = put_knative(out, hop->knative);
	out = put_framing(out, r);
	out = put_connection(out, r);
	if (r->has_max_forwards)
		out = put_number(PUT_LITERAL(out, "Max-Forwards: "), r->max_forwards - 1);
	if (hop->has_via)
		out = hop->is_h2     ? PUT_LITERAL(out, "Via: 2.0 activator\r\n")
		      : r->is_http10 ? PUT_LITERAL(out, "Via: 1.0 activator\r\n")
				     : PUT_LITERAL(out, "Via: 1.1 activator\r\n");
	out = put_forwarded(out, r, hop);
	if (r->timeout_ns >= 0) { /* the last field: request_set_timeout() */
		out = PUT_LITERAL(out, "Grpc-Timeout: ");
		grpc_put_timeout(out, r->timeout_ns);
		out = PUT_LITERAL(out + GRPC_TIMEOUT_SIZE, "\r\n");
	}
	out = PUT_LITERAL(out, "\r\n");
	CHECK((size_t)(out - start) <= room);
	return (size_t)(out - start);
}

void
request_set_timeout(char *head, size_t n, int64_t left_ns)
{
	size_t rest = GRPC_TIMEOUT_SIZE + strlen("\r\n\r\n");

	CHECK(n > rest);
	grpc_put_timeout(head + n - rest, left_ns);
}
