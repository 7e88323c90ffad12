#include "activator/access/access_line.h"

#include <stddef.h>

#include "activator/access/access_put.h"

/* What the numbers, names and punctuation of a line, or of its early part, take at most, without
 * any text. */
#define ROOM_FIXED ((size_t)1536)
#define ROOM_VALUE ((size_t)64) /* of a variable that is no text */

/* The early part is a row of runs, each behind its size.  The rest of the line stands between
 * them. */
typedef uint32_t run_size;

static inline char *
begin_run(char *out)
{
	return out + sizeof(run_size);
}

/* The run that began at `start` is over. */
static inline char *
end_run(char *start, char *out)
{
	const run_size n = (run_size)(out - start - (ptrdiff_t)sizeof n);

	memcpy(start, &n, sizeof n);
	return out;
}

/* Copy the run at *early, which moves behind it. */
static inline char *
put_run(char *out, const char **early)
{
	run_size n;

	memcpy(&n, *early, sizeof n);
	out = put(out, *early + sizeof n, n);
	*early += sizeof n + n;
	return out;
}

static inline char *
put_whole(char *out, const struct access_text *t)
{
	return put(out, t->s, t->n);
}

/* --- JSON --- */

/* A member with a text, if there is one. */
#define MEMBER(out, name, t)                                                                       \
	((t)->s == NULL                                                                            \
		 ? (out)                                                                           \
		 : PUT_LITERAL(access_put_json(PUT_LITERAL(out, ",\"" name "\":\""), t), "\""))
#define NUMBER(out, name, n) put_number(PUT_LITERAL(out, ",\"" name "\":"), n)
#define MS(out, name, ns) put_ms(PUT_LITERAL(out, ",\"" name "\":"), ns)

static char *
put_json_early(char *out, const struct access_request *r)
{
	char *start = out;

	out = PUT_LITERAL(begin_run(out), ",\"client\":\"");
	out = PUT_LITERAL(put_whole(out, &r->client), "\"");
	out = MEMBER(out, "request", &r->raw);
	out = MEMBER(out, "method", &r->method);
	out = MEMBER(out, "host", &r->host);
	out = MEMBER(out, "target", &r->target);
	out = put_whole(PUT_LITERAL(out, ",\"protocol\":\""), &r->protocol);
	out = PUT_LITERAL(out, "\"");
	if (r->is_encrypted)
		out = PUT_LITERAL(out, ",\"tls\":true");
	out = end_run(start, PUT_LITERAL(out, ",\"status\":"));
	start = out;
	out = MEMBER(begin_run(out), "request_id", &r->request_id);
	out = MEMBER(out, "trace_id", &r->trace_id);
	out = MEMBER(out, "user_agent", &r->user_agent);
	out = MEMBER(out, "referer", &r->referer);
	return end_run(start, PUT_LITERAL(out, "}\n"));
}

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
put_json_rare(char *out, const struct access_end *v)
{
	out = MEMBER(out, "reason", &v->reason);
	if (v->grpc_status >= 0)
		out = NUMBER(out, "grpc_status", (uint64_t)v->grpc_status);
	if (v->parked_ns >= 0)
		out = MS(out, "parked_ms", v->parked_ns);
	if (v->is_cold)
		out = PUT_LITERAL(out, ",\"cold\":true");
	if (v->phases != NULL)
		out = put_phases(out, v->phases);
	if (v->tries > 0)
		out = NUMBER(out, "failed_tries", v->tries);
	if (v->sample > 1)
		out = NUMBER(out, "sample", v->sample);
	return out;
}

static char *
put_json_line(char *out, const struct access_end *v, const char *early, struct access_clock *c)
{
	out = PUT_LITERAL(out, "{\"time\":\"");
	out = PUT_LITERAL(access_put_iso(out, v->wall_ns, c), "\"");
	out = put_run(out, &early);
	out = put_number(out, v->status);
	out = put_whole(PUT_LITERAL(out, ",\"outcome\":\""), &v->outcome);
	*out++ = '"';
	if (v->route.s != NULL)
		out = put_whole(out, &v->route);
	else
		out = MEMBER(out, "service", &v->service);
	out = MEMBER(out, "instance", &v->instance);
	out = NUMBER(out, "bytes_in", v->bytes_in);
	out = NUMBER(out, "bytes_out", v->bytes_out);
	out = MS(out, "duration_ms", v->duration_ns);
	if (v->response_ns >= 0)
		out = MS(out, "response_ms", v->response_ns);
	if (v->reason.s != NULL || v->grpc_status >= 0 || v->parked_ns >= 0 || v->is_cold ||
	    v->tries > 0 || v->sample > 1)
		out = put_json_rare(out, v);
	return put_run(out, &early);
}

/* --- formats --- */

static char *
put_text(char *out, const struct access_text *t)
{
	if (t->s == NULL || t->n == 0)
		return PUT_LITERAL(out, "-");
	return access_put_text(out, t);
}

static char *
put_duration(char *out, int64_t ns)
{
	return ns < 0 ? PUT_LITERAL(out, "-") : put_s(out, ns);
}

static char *
put_request(char *out, const struct access_request *r)
{
	if (r->method.s == NULL)
		return put_text(out, &r->raw);
	out = put_text(out, &r->method);
	*out++ = ' ';
	out = put_text(out, &r->target);
	*out++ = ' ';
	return put_whole(out, &r->protocol);
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

/* Where the texts are that variables are, one behind their place; 0: the variable is none. */
#define PLACE(variable, type, member) [ACCESS_##variable] = offsetof(struct type, member) + 1
static const uint16_t early_places[ACCESS_VARIABLES_N] = {
	PLACE(REMOTE_ADDR, access_request, client),
	PLACE(PEER_ADDR, access_request, peer),
	PLACE(REQUEST_METHOD, access_request, method),
	PLACE(REQUEST_URI, access_request, target),
	PLACE(HOST, access_request, host),
	PLACE(SERVER_PROTOCOL, access_request, protocol),
	PLACE(REQUEST_ID, access_request, request_id),
	PLACE(TRACE_ID, access_request, trace_id),
};
static const uint16_t late_places[ACCESS_VARIABLES_N] = {
	PLACE(UPSTREAM_ADDR, access_end, upstream), PLACE(SERVICE, access_end, service),
	PLACE(REVISION, access_end, revision),	    PLACE(INSTANCE, access_end, instance),
	PLACE(OUTCOME, access_end, outcome),	    PLACE(REASON, access_end, reason),
};

static inline const struct access_text *
text_at(const void *values, uint16_t place)
{
	return (const struct access_text *)(const void *)((const char *)values + place - 1);
}

static char *
put_early_value(char *out, const struct access_request *r, const struct access_piece *p)
{
	switch (p->variable) {
	case ACCESS_REQUEST:
		return put_request(out, r);
	case ACCESS_PATH:
		return put_target_part(out, &r->target, false);
	case ACCESS_ARGS:
		return put_target_part(out, &r->target, true);
	case ACCESS_SCHEME:
		return r->is_encrypted ? PUT_LITERAL(out, "https") : PUT_LITERAL(out, "http");
	case ACCESS_CONNECTION_REQUESTS:
		return put_number(out, r->connection_requests);
	case ACCESS_WORKER:
		return put_number(out, r->worker);
	case ACCESS_PID:
		return put_number(out, (uint64_t)r->pid);
	default: /* remote_user: clients do not authenticate themselves here */
		return PUT_LITERAL(out, "-");
	}
}

static inline char *
put_early_piece(char *out, const struct access_request *r, const struct access_piece *p)
{
	uint16_t place = early_places[p->variable];

	if (p->variable == ACCESS_LITERAL)
		return put(out, p->text, p->n);
	if (p->variable == ACCESS_FIELD)
		return put_text(out, &r->fields[p->field]);
	return place != 0 ? put_text(out, text_at(r, place)) : put_early_value(out, r, p);
}

static char *
put_format_early(char *out, const struct access_request *r, const struct access_format *f)
{
	const struct access_piece *p = f->pieces, *end = p + f->n, *run_end;

	while (p < end) {
		char *start = out;

		if (p->early_n == 0) {
			p++;
			continue;
		}
		out = begin_run(out);
		for (run_end = p + p->early_n; p < run_end; p++)
			out = put_early_piece(out, r, p);
		out = end_run(start, out);
	}
	return out;
}

static char *
put_late_value(char *out, const struct access_end *v, const struct access_piece *p,
	       struct access_clock *c)
{
	switch (p->variable) {
	case ACCESS_TIME_LOCAL:
		return access_put_local(out, v->wall_ns, c);
	case ACCESS_TIME_ISO8601:
		return access_put_iso(out, v->wall_ns, c);
	case ACCESS_MSEC:
		return put_s(out, v->wall_ns);
	case ACCESS_STATUS:
		return put_3_digits(out, v->status);
	case ACCESS_GRPC_STATUS:
		return v->grpc_status < 0 ? PUT_LITERAL(out, "-")
					  : put_number(out, (uint64_t)v->grpc_status);
	case ACCESS_BODY_BYTES_SENT:
		return put_number(out, v->bytes_out);
	case ACCESS_BODY_BYTES_RECEIVED:
		return put_number(out, v->bytes_in);
	case ACCESS_REQUEST_TIME:
		return put_s(out, v->duration_ns);
	case ACCESS_PARKED_TIME:
		return put_duration(out, v->parked_ns);
	case ACCESS_UPSTREAM_RESPONSE_TIME:
		return put_duration(out, v->response_ns);
	case ACCESS_TRIES:
		return put_number(out, v->tries);
	case ACCESS_COLD:
		return put_number(out, v->is_cold);
	case ACCESS_COLD_SIGNAL:
	case ACCESS_COLD_ACK:
	case ACCESS_COLD_ADDRESS:
	case ACCESS_COLD_CONNECT:
	case ACCESS_COLD_SEND:
	case ACCESS_COLD_FIRST_BYTE:
		return put_duration(
			out, v->phases != NULL ? v->phases[p->variable - ACCESS_COLD_SIGNAL] : -1);
	case ACCESS_SAMPLE:
		return put_number(out, v->sample);
	default: /* the others are known early */
		return PUT_LITERAL(out, "-");
	}
}

static inline char *
put_late_piece(char *out, const struct access_end *v, const struct access_piece *p,
	       struct access_clock *c)
{
	uint16_t place = late_places[p->variable];

	if (p->variable == ACCESS_LITERAL)
		return put(out, p->text, p->n);
	return place != 0 ? put_text(out, text_at(v, place)) : put_late_value(out, v, p, c);
}

_Static_assert(ACCESS_COLD_FIRST_BYTE - ACCESS_COLD_SIGNAL == COLD_FIRST_BYTE - COLD_SIGNAL,
	       "a variable for each phase, in their order");

/* --- combined --- */

/* The same lines as by the pieces of access_format_combined. */

static char *
put_combined_early(char *out, const struct access_request *r)
{
	char *start = out;

	out = put_whole(begin_run(out), &r->client);
	out = end_run(start, PUT_LITERAL(out, " - - ["));
	start = out;
	out = put_request(PUT_LITERAL(begin_run(out), "] \""), r);
	out = end_run(start, PUT_LITERAL(out, "\" "));
	start = out;
	out = put_text(PUT_LITERAL(begin_run(out), " \""), &r->referer);
	out = put_text(PUT_LITERAL(out, "\" \""), &r->user_agent);
	return end_run(start, PUT_LITERAL(out, "\"\n"));
}

static char *
put_combined_line(char *out, const struct access_end *v, const char *early, struct access_clock *c)
{
	out = access_put_local(put_run(out, &early), v->wall_ns, c);
	out = put_3_digits(put_run(out, &early), v->status);
	*out++ = ' ';
	return put_run(put_number(out, v->bytes_out), &early);
}

/* --- all --- */

/* Of n pieces whose texts have no more bytes than that. */
static inline size_t
pieces_room(const struct access_format *f, size_t text_n)
{
	return f->literals_n + f->n * (ROOM_VALUE + ACCESS_ESCAPED * text_n);
}

size_t
access_line_early_room(const struct access_request *r, const struct access_format *f)
{
	size_t all = r->client.n + r->raw.n + r->method.n + r->target.n + r->host.n + r->referer.n +
		     r->user_agent.n + r->request_id.n + r->trace_id.n;
	size_t i;

	if (f == NULL || f->is_combined)
		return ROOM_FIXED + ACCESS_ESCAPED * all;
	for (i = 0; i < f->fields.n; i++)
		all += r->fields[i].n;
	/* The texts of $request are the most that one variable has. */
	return pieces_room(f, MIN(all, 3 * (ACCESS_TEXT_MAX + 1)));
}

char *
access_line_put_early(char *out, const struct access_request *r, const struct access_format *f)
{
	if (f == NULL)
		return put_json_early(out, r);
	return f->is_combined ? put_combined_early(out, r) : put_format_early(out, r, f);
}

size_t
access_line_room(const struct access_end *v, const struct access_format *f, size_t early_n)
{
	size_t all = v->service.n + v->instance.n + v->reason.n;

	if (f == NULL || f->is_combined)
		return ROOM_FIXED + early_n + v->route.n + ACCESS_ESCAPED * all;
	return ROOM_FIXED + early_n + pieces_room(f, all + v->revision.n + v->upstream.n);
}

static char *
put_format_line(char *out, const struct access_end *v, const struct access_format *f,
		const char *early, struct access_clock *c)
{
	const struct access_piece *p = f->pieces, *end = p + f->n;

	while (p < end)
		if (p->early_n > 0) {
			out = put_run(out, &early);
			p += p->early_n;
		} else {
			out = put_late_piece(out, v, p++, c);
		}
	*out++ = '\n';
	return out;
}

char *
access_line_put(char *out, const struct access_end *v, const struct access_format *f,
		const char *early, struct access_clock *c)
{
	if (f == NULL)
		return put_json_line(out, v, early, c);
	return f->is_combined ? put_combined_line(out, v, early, c)
			      : put_format_line(out, v, f, early, c);
}
