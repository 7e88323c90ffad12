#include "activator/access/access_span.h"

#include <stdio.h>

#include "activator/access/access_put.h"

#define ROOM_FIXED ((size_t)2048) /* of the request's span, without texts */
#define ROOM_BELOW ((size_t)512)  /* of one below it */
#define ROOM_LINK ((size_t)128)
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15) /* makes unlike numbers of a row of them */

enum { KIND_INTERNAL = 1, KIND_SERVER = 2, STATUS_ERROR = 2 };

void
access_span_id(char out[SPAN_ID_SIZE], uint64_t id)
{
	size_t i;

	if (id == 0)
		id = 1;
	for (i = 0; i < SPAN_ID_SIZE; i++, id >>= 4)
		out[i] = "0123456789abcdef"[id & 15];
}

/* --- parts --- */

static char *
put_id(char *out, const char *name, const char *id, size_t n)
{
	out = put(PUT_LITERAL(out, ",\""), name, strlen(name));
	out = put(PUT_LITERAL(out, "\":\""), id, n);
	return PUT_LITERAL(out, "\"");
}

static char *
put_time(char *out, const char *name, int64_t ns)
{
	out = put(PUT_LITERAL(out, ",\""), name, strlen(name));
	out = put_number(PUT_LITERAL(out, "\":\""), (uint64_t)MAX(ns, 0));
	return PUT_LITERAL(out, "\"");
}

/* All of a span up to its times and attributes. */
static char *
put_begin(char *out, const char *trace, const char *span, const char *parent,
	  const struct access_text *name, int kind)
{
	out = PUT_LITERAL(access_put_json(PUT_LITERAL(out, "{\"name\":\""), name), "\"");
	out = put_id(out, "traceId", trace, SPAN_TRACE_SIZE);
	out = put_id(out, "spanId", span, SPAN_ID_SIZE);
	if (parent != NULL)
		out = put_id(out, "parentSpanId", parent, SPAN_ID_SIZE);
	return put_number(PUT_LITERAL(out, ",\"kind\":"), (uint64_t)kind);
}

static char *
put_times(char *out, int64_t from_ns, int64_t upto_ns)
{
	out = put_time(out, "startTimeUnixNano", from_ns);
	return put_time(out, "endTimeUnixNano", upto_ns);
}

static char *
put_key(char *out, const char *key, bool *is_first)
{
	if (!*is_first)
		*out++ = ',';
	*is_first = false;
	out = put(PUT_LITERAL(out, "{\"key\":\""), key, strlen(key));
	return PUT_LITERAL(out, "\",\"value\":{");
}

static char *
put_text(char *out, const char *key, const struct access_text *t, bool *is_first)
{
	if (t->s == NULL)
		return out;
	out = PUT_LITERAL(put_key(out, key, is_first), "\"stringValue\":\"");
	return PUT_LITERAL(access_put_json(out, t), "\"}}");
}

static char *
put_int(char *out, const char *key, uint64_t n, bool *is_first)
{
	out = PUT_LITERAL(put_key(out, key, is_first), "\"intValue\":\"");
	return PUT_LITERAL(put_number(out, n), "\"}}");
}

static char *
put_links(char *out, const struct access_span_ref *links, size_t n)
{
	size_t i;

	out = PUT_LITERAL(out, ",\"links\":[");
	for (i = 0; i < n; i++) {
		if (i > 0)
			*out++ = ',';
		out = put(PUT_LITERAL(out, "{\"traceId\":\""), links[i].trace, SPAN_TRACE_SIZE);
		out = put(PUT_LITERAL(out, "\",\"spanId\":\""), links[i].span, SPAN_ID_SIZE);
		out = PUT_LITERAL(out, "\"}");
	}
	return PUT_LITERAL(out, "]");
}

/* --- the span of the request --- */

static struct access_text
path_of(const struct access_text *target)
{
	struct access_text path = *target;
	const char *mark = path.s == NULL ? NULL : memchr(path.s, '?', path.n);

	if (mark != NULL)
		path.n = (size_t)(mark - path.s);
	return path;
}

/* Up to the attributes that are known when the request is routed.  The names are those of
 * OpenTelemetry's semantic conventions, and our own behind "activator.". */
char *
access_span_put_early(char *out, const struct access_request *r, const struct access_trace *t)
{
	const struct access_text path = path_of(&r->target), unknown = access_text_of("unknown");
	const struct access_text scheme = access_text_of(r->is_encrypted ? "https" : "http");
	const struct access_text version = access_text_of(strchr(r->protocol.s, '/') + 1);
	bool is_first = true;

	out = put_begin(out, t->trace, t->span, t->has_parent ? t->parent : NULL,
			r->method.s == NULL ? &unknown : &r->method, KIND_SERVER);
	out = PUT_LITERAL(out, ",\"attributes\":[");
	out = put_text(out, "http.request.method", &r->method, &is_first);
	out = put_text(out, "url.scheme", &scheme, &is_first);
	out = put_text(out, "url.path", &path, &is_first);
	out = put_text(out, "server.address", &r->host, &is_first);
	out = put_text(out, "client.address", &r->client, &is_first);
	out = put_text(out, "network.protocol.version", &version, &is_first);
	out = put_text(out, "user_agent.original", &r->user_agent, &is_first);
	return put_text(out, "activator.request_id", &r->request_id, &is_first);
}

static char *
put_late_attributes(char *out, const struct access_end *v)
{
	bool is_first = false;

	if (v->status != 0)
		out = put_int(out, "http.response.status_code", v->status, &is_first);
	if (v->grpc_status >= 0)
		out = put_int(out, "rpc.grpc.status_code", (uint64_t)v->grpc_status, &is_first);
	out = put_int(out, "http.request.body.size", v->bytes_in, &is_first);
	out = put_int(out, "http.response.body.size", v->bytes_out, &is_first);
	out = put_text(out, "activator.service", &v->service, &is_first);
	out = put_text(out, "activator.revision", &v->revision, &is_first);
	out = put_text(out, "activator.instance", &v->instance, &is_first);
	out = put_text(out, "activator.outcome", &v->outcome, &is_first);
	if (v->tries > 0)
		out = put_int(out, "activator.failed_tries", v->tries, &is_first);
	if (v->is_cold)
		out = PUT_LITERAL(put_key(out, "activator.cold_start", &is_first),
				  "\"boolValue\":true}}");
	return PUT_LITERAL(out, "]");
}

static char *
put_status(char *out, bool has_failed, const struct access_text *reason)
{
	if (!has_failed)
		return out;
	out = put_number(PUT_LITERAL(out, ",\"status\":{\"code\":"), STATUS_ERROR);
	if (reason->s != NULL) {
		out = access_put_json(PUT_LITERAL(out, ",\"message\":\""), reason);
		out = PUT_LITERAL(out, "\"");
	}
	return PUT_LITERAL(out, "}");
}

/* --- the spans below it --- */

static const char *const phase_names[] = {
#define X(id, name) [COLD_##id] = "cold start: " name,
	COLD_PHASES(X)
#undef X
};

static char *
put_below(char *out, const struct access_trace *t, const char *name, uint64_t random,
	  int64_t from_ns, int64_t upto_ns)
{
	const struct access_text text = access_text_of(name);
	char span[SPAN_ID_SIZE];

	access_span_id(span, random);
	out = put_begin(out, t->trace, span, t->span, &text, KIND_INTERNAL);
	return PUT_LITERAL(put_times(out, from_ns, upto_ns), "}\n");
}

static char *
put_phases(char *out, const struct access_end *v, const struct access_trace *t, uint64_t random,
	   int64_t from_ns)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(phase_names); i++) {
		out = put_below(out, t, phase_names[i], random + (i + 2) * GOLDEN, from_ns,
				from_ns + v->phases[i]);
		from_ns += v->phases[i];
	}
	return out;
}

char *
access_span_put(char *out, const struct access_end *v, const struct access_trace *t,
		const char *early, size_t early_n, uint64_t random)
{
	int64_t from_ns = v->wall_ns - v->duration_ns;

	out = put_late_attributes(put(out, early, early_n), v);
	out = put_times(out, from_ns, v->wall_ns);
	if (t->has_activation)
		out = put_links(out, &t->activation, 1);
	out = PUT_LITERAL(put_status(out, v->has_failed, &v->reason), "}\n");
	if (v->parked_ns < 0)
		return out;
	from_ns += v->parked_after_ns;
	out = put_below(out, t, "parked", random + GOLDEN, from_ns, from_ns + v->parked_ns);
	return v->phases == NULL ? out : put_phases(out, v, t, random, from_ns);
}

size_t
access_span_early_room(const struct access_request *r)
{
	return ROOM_FIXED + 2 * access_text_room(&r->method) + access_text_room(&r->target) +
	       access_text_room(&r->host) + access_text_room(&r->client) +
	       access_text_room(&r->user_agent) + access_text_room(&r->request_id);
}

size_t
access_span_room(const struct access_end *v, size_t early_n)
{
	return ROOM_FIXED + (1 + COLD_PHASES_N) * ROOM_BELOW + early_n +
	       access_text_room(&v->service) + access_text_room(&v->revision) +
	       access_text_room(&v->instance) + access_text_room(&v->reason);
}

/* --- the span of an activation --- */

/* revision: "service/revision". */
static char *
put_names(char *out, const struct access_text *revision, bool *is_first)
{
	const char *slash = memchr(revision->s, '/', revision->n);
	const struct access_text service = {
		revision->s, slash == NULL ? revision->n : (size_t)(slash - revision->s)};

	out = put_text(out, "activator.service", &service, is_first);
	return put_text(out, "activator.revision", revision, is_first);
}

static char *
put_activation_attributes(char *out, const struct access_activation *v)
{
	bool is_first = true;

	out = put_names(PUT_LITERAL(out, ",\"attributes\":["), &v->revision, &is_first);
	out = put_text(out, "activator.outcome", &v->outcome, &is_first);
	out = put_text(out, "activator.instance", &v->instance, &is_first);
	out = put_int(out, "activator.wanted", v->wanted, &is_first);
	out = put_int(out, "activator.recorded_requests", v->requests, &is_first);
	return PUT_LITERAL(out, "]");
}

/* When its phases ended. */
static char *
put_events(char *out, const struct access_activation *v)
{
	bool is_first = true;
	size_t i;

	out = PUT_LITERAL(out, ",\"events\":[");
	for (i = 0; i < ARRAY_LEN(v->ends_ns); i++) {
		if (v->ends_ns[i] < v->from_ns || v->ends_ns[i] > v->upto_ns)
			continue;
		if (!is_first)
			*out++ = ',';
		is_first = false;
		out = put_number(PUT_LITERAL(out, "{\"timeUnixNano\":\""), (uint64_t)v->ends_ns[i]);
		out = PUT_LITERAL(out, "\",\"name\":\"");
		out = PUT_LITERAL(put(out, phase_names[i], strlen(phase_names[i])), "\"}");
	}
	return PUT_LITERAL(out, "]");
}

/* The name of a span: what happens, and to which revision. */
static struct access_text
name_of(char name[ACCESS_TEXT_MAX], const char *what, const struct access_text *revision)
{
	int n = snprintf(name, ACCESS_TEXT_MAX, "%s %.*s", what,
			 (int)MIN(revision->n, (size_t)1024), revision->s);

	return (struct access_text){name, (size_t)n};
}

char *
access_span_put_activation(char *out, const struct access_activation *v)
{
	char name[ACCESS_TEXT_MAX];
	struct access_text text = name_of(name, "activation", &v->revision);

	out = put_begin(out, v->self.trace, v->self.span, NULL, &text, KIND_INTERNAL);
	out = put_activation_attributes(out, v);
	out = put_events(put_times(out, v->from_ns, v->upto_ns), v);
	out = put_links(out, v->links, v->links_n);
	return PUT_LITERAL(put_status(out, v->has_failed, &v->reason), "}\n");
}

size_t
access_span_activation_room(const struct access_activation *v)
{
	return ROOM_FIXED + v->links_n * ROOM_LINK + 3 * access_text_room(&v->revision) +
	       access_text_room(&v->outcome) + access_text_room(&v->instance) +
	       access_text_room(&v->reason);
}

/* --- the span of a decision --- */

static char *
put_decision_attributes(char *out, const struct access_decision *v)
{
	bool is_first = true;

	out = put_names(PUT_LITERAL(out, ",\"attributes\":["), &v->revision, &is_first);
	out = put_text(out, "activator.rule", &v->rule, &is_first);
	out = put_text(out, "activator.why", &v->why, &is_first);
	out = put_int(out, "activator.instances.from", v->from, &is_first);
	out = put_int(out, "activator.instances.to", v->to, &is_first);
	out = put_int(out, "activator.instances.answering", v->answering, &is_first);
	out = put_text(out, "activator.outcome", &v->outcome, &is_first);
	return PUT_LITERAL(out, "]");
}

char *
access_span_put_decision(char *out, const struct access_decision *v)
{
	char name[ACCESS_TEXT_MAX];
	struct access_text text = name_of(name, "scale up", &v->revision);

	out = put_begin(out, v->self.trace, v->self.span, v->has_parent ? v->parent : NULL, &text,
			KIND_INTERNAL);
	out = put_times(put_decision_attributes(out, v), v->from_ns, v->upto_ns);
	out = put_links(out, v->links, v->links_n);
	return PUT_LITERAL(put_status(out, v->has_failed, &v->reason), "}\n");
}

size_t
access_span_decision_room(const struct access_decision *v)
{
	return ROOM_FIXED + v->links_n * ROOM_LINK + 3 * access_text_room(&v->revision) +
	       access_text_room(&v->rule) + access_text_room(&v->why) +
	       access_text_room(&v->outcome) + access_text_room(&v->reason);
}
