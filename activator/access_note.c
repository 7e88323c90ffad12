#include "activator/access_note.h"

#include <string.h>

#include "activator/access/access_conf.h"
#include "activator/access/access_log.h"
#include "activator/activation_span.h"
#include "activator/cold.h"
#include "activator/conn.h"
#include "activator/exemplars.h"
#include "activator/http/grpc.h"
#include "activator/http/request.h"
#include "activator/worker_impl.h"
#include "common/clk.h"
#include "common/metric.h"

/* In x->note. */
struct access_note {
	struct access_conf *conf; /* whose form the line has; NULL: there is none */
	bool has_conf_ref;	  /* else the route of the request holds conf */
	bool is_traced, has_phases;
	uint32_t size;
	uint32_t line_n, span_n; /* of the early parts of both */
	struct instance *inst;	 /* a reference, or NULL */
	int64_t phases[COLD_PHASES_N];
	char bytes[]; /* the early part of the line; is_traced: the trace, that of the span */
};

static struct access_note *
note_of(const struct xfer *x)
{
	return (struct access_note *)(void *)x->note.data;
}

/* --- making it --- */

/* Both early parts are in `early`, the one behind the other. */
static void
keep(struct xfer *x, struct access_conf *conf, const char *early, size_t line_n, size_t span_n)
{
	const struct worker *w = x->w;
	size_t trace_n = w->is_traced ? sizeof w->trace : 0;
	size_t size = sizeof(struct access_note) + line_n + trace_n + span_n;
	struct access_note *note = (void *)headbuf_reserve(&x->note, &x->w->heads, size);

	note->conf = conf;
	note->has_conf_ref = false;
	note->is_traced = w->is_traced;
	note->has_phases = false;
	note->size = (uint32_t)size;
	note->line_n = (uint32_t)line_n;
	note->span_n = (uint32_t)span_n;
	note->inst = NULL;
	memcpy(note->bytes, early, line_n);
	if (!w->is_traced)
		return;
	memcpy(note->bytes + line_n, &w->trace, trace_n);
	memcpy(note->bytes + line_n + trace_n, early + line_n, span_n);
}

static void
write_note(struct xfer *x, struct access_conf *conf, const struct access_request *q)
{
	const struct access_format *format = conf == NULL ? NULL : conf->format;
	bool is_traced = x->w->is_traced;
	size_t room = (conf != NULL ? access_line_early_room(q, format) : 0) +
		      (is_traced ? access_span_early_room(q) : 0);
	char *early = worker_write_buf(x->w, room), *line_end = early, *end;

	access_note_drop(x);
	if (conf != NULL)
		line_end = access_line_put_early(early, q, format);
	end = is_traced ? access_span_put_early(line_end, q, &x->w->trace) : line_end;
	keep(x, conf, early, (size_t)(line_end - early), (size_t)(end - line_end));
}

/* The route of a request without one holds no conf. */
static void
keep_conf(struct access_note *note)
{
	if (note->conf == NULL || note->has_conf_ref)
		return;
	note->conf = access_conf_ref(note->conf);
	note->has_conf_ref = true;
}

static void
cut_query(struct access_text *t)
{
	const char *mark = t->n == 0 ? NULL : memchr(t->s, '?', t->n);

	if (mark != NULL)
		t->n = (size_t)(mark - t->s);
}

static struct access_text
protocol_of(const struct xfer *x)
{
	static const char names[][sizeof "HTTP/1.1"] = {"HTTP/2.0", "HTTP/1.0", "HTTP/1.1"};

	return (struct access_text){names[x->stream != NULL ? 0
					  : x->is_http10    ? 1
							    : 2],
				    sizeof "HTTP/1.1" - 1};
}

/* What is no text of the request. */
static void
init_request(struct access_request *q, const struct xfer *x)
{
	*q = (struct access_request){
		.peer = {x->conn->peer_text, x->conn->peer_text_n},
		.protocol = protocol_of(x),
		.is_encrypted = io_is_encrypted(&x->conn->io) || x->conn->is_tls_at_proxy,
		.connection_requests = x->conn->requests,
		.worker = x->w->index,
		.pid = x->w->access.pid,
	};
	q->client = q->peer;
}

/* Is it the field of that name?  As browsers write it is compared first. */
#define IS_FIELD(f, usual, lower)                                                                  \
	((f)->name_n == sizeof(lower) - 1 && (memcmp((f)->name, usual, sizeof(usual) - 1) == 0 ||  \
					      memcmp((f)->name, lower, sizeof(lower) - 1) == 0 ||  \
					      field_is((f)->name, (f)->name_n, lower)))

/* The fields of a head that JSON and spans show.  A valid traceparent, and an id of a request, are
 * looked for only if there is a field as long as their names. */
static void
read_fields(struct access_request *q, const struct worker *w, const struct h1_head *h)
{
	bool has_trace = false, has_id = false;
	const char *trace;
	uint32_t i;

	for (i = 0; i < h->n; i++) {
		const struct h1_field *f = &h->fields[i];

		if (f->id != FIELD_OTHER)
			continue;
		if (IS_FIELD(f, "User-Agent", "user-agent") && q->user_agent.s == NULL)
			q->user_agent = (struct access_text){f->value, f->value_n};
		else if (IS_FIELD(f, "Referer", "referer") && q->referer.s == NULL)
			q->referer = (struct access_text){f->value, f->value_n};
		has_trace |= f->name_n == sizeof "traceparent" - 1;
		has_id |= f->name_n == sizeof "x-request-id" - 1;
	}
	if (w->is_request_id_new)
		q->request_id = (struct access_text){w->request_id, w->request_id_n};
	else if (has_id)
		q->request_id.s = request_id_sent(h, &q->request_id.n);
	trace = !w->is_traced && has_trace ? request_traceparent(h) : NULL;
	if (w->is_traced)
		q->trace_id = (struct access_text){w->trace.trace, TRACE_ID_SIZE};
	else if (trace != NULL)
		q->trace_id = (struct access_text){trace + TRACE_ID_AT, TRACE_ID_SIZE};
}

/* Those that a format names; q has what read_fields() has found. */
static void
read_named_fields(struct access_text *fields, const struct access_request *q,
		  const struct access_conf *conf, const struct h1_head *h)
{
	const struct str_list *names = &conf->format->fields;
	size_t i;

	for (i = 0; i < names->n; i++)
		switch (conf->fields[i]) {
		case ACCESS_FIELD_REFERER:
			fields[i] = q->referer;
			break;
		case ACCESS_FIELD_USER_AGENT:
			fields[i] = q->user_agent;
			break;
		case ACCESS_FIELD_OTHER:
			fields[i].n = 0;
			fields[i].s = request_field(h, names->v[i], &fields[i].n);
			break;
		}
}

void
access_note_begin(struct xfer *x, const struct request *r, struct access_conf *conf,
		  const struct addr *client)
{
	struct access_text fields[ACCESS_FIELDS_MAX];
	const struct h1_head *h = r->head;
	char address[ADDR_IP_TEXT];
	struct access_request q;

	if (x->w->access.log == NULL)
		conf = NULL;
	if (conf == NULL && !x->w->is_traced)
		return;
	init_request(&q, x);
	q.method = (struct access_text){h->method, h->method_n};
	q.target = r->target_n > 0 ? (struct access_text){r->path, r->target_n}
				   : (struct access_text){h->target, h->target_n};
	q.host = (struct access_text){r->authority, r->authority_n};
	if (client != NULL && client != &x->conn->peer)
		q.client = access_text_of(addr_format_host(client, address));
	read_fields(&q, x->w, h);
	if (conf != NULL && !conf->has_query) {
		cut_query(&q.target);
		cut_query(&q.referer);
	}
	if (conf != NULL && conf->format != NULL && !conf->format->is_combined) {
		read_named_fields(fields, &q, conf, h);
		q.fields = fields;
	}
	write_note(x, conf, &q);
	if (conf != NULL && conf == x->w->conf_ref->access)
		keep_conf(note_of(x));
}

void
access_note_raw(struct xfer *x, const char *bytes, size_t n)
{
	struct access_conf *conf = x->w->conf_ref->access;
	struct access_request q;
	size_t line_n = 0;

	if (conf == NULL || x->w->access.log == NULL)
		return;
	while (line_n < n && bytes[line_n] != '\r' && bytes[line_n] != '\n')
		line_n++;
	init_request(&q, x);
	q.raw = (struct access_text){bytes, line_n};
	if (!conf->has_query)
		cut_query(&q.raw);
	x->w->is_traced = false; /* what it says is of the request before */
	write_note(x, conf, &q);
	keep_conf(note_of(x));
}

void
access_note_rerouted(struct xfer *x)
{
	keep_conf(note_of(x));
}

void
access_note_instance(struct xfer *x, struct instance *inst)
{
	struct access_note *note = note_of(x);

	if (note->inst == inst)
		return;
	if (note->inst != NULL)
		instance_unref(&note->inst);
	note->inst = instance_ref(inst);
}

static int64_t
wall_now(struct worker *w)
{
	struct access_port *p = &w->access;

	if (w->now >= p->until_ns) {
		p->wall_minus_now_ns = clk_wall() - clk_now();
		p->until_ns = w->now + CLK_S;
	}
	return w->now + p->wall_minus_now_ns;
}

void
access_note_example(const struct xfer *x, unsigned histogram, int64_t took_ns)
{
	const struct access_note *note = note_of(x);

	if (!note->is_traced)
		return;
	exemplars_put(
		x->w->exemplars, exemplars_series(x->shard->rev->name, histogram),
		((const struct access_trace *)(const void *)(note->bytes + note->line_n))->trace,
		took_ns, wall_now(x->w));
}

void
access_note_asks(struct xfer *x)
{
	const struct access_note *note = note_of(x);
	char *at = x->note.data + offsetof(struct access_note, bytes) + note->line_n;
	struct worker *w = x->w;
	struct access_span_ref self, fresh;
	struct access_trace t;

	if (!note->is_traced || x->is_serve_only ||
	    atomic_load_explicit(&x->route->rev->is_external, memory_order_relaxed))
		return;
	memcpy(&t, at, sizeof t);
	if (t.has_activation) /* it was tried in vain, and comes back */
		return;
	memcpy(self.trace, t.trace, sizeof self.trace);
	memcpy(self.span, t.span, sizeof self.span);
	access_span_id(fresh.trace, w->id_seeds[0] ^ worker_random(w));
	access_span_id(fresh.trace + SPAN_ID_SIZE, w->id_seeds[1] ^ worker_random(w));
	access_span_id(fresh.span, w->id_seeds[1] ^ worker_random(w));
	t.has_activation = activation_span_join(x->route->rev, &self, &fresh, x->parked_ns,
						&t.activation);
	memcpy(at, &t, sizeof t);
}

void
access_note_answered(struct xfer *x)
{
	struct access_note *note = note_of(x);

	note->has_phases = true;
	cold_phases(x, note->phases);
}

size_t
access_note_bytes(const struct xfer *x)
{
	const struct access_note *note = note_of(x);

	return note == NULL ? 0 : MAX((size_t)note->size, (size_t)HEADBUF_SIZE);
}

void
access_note_drop(struct xfer *x)
{
	struct access_note *note = note_of(x);

	if (note == NULL)
		return;
	if (note->inst != NULL)
		instance_unref(&note->inst);
	if (note->has_conf_ref)
		access_conf_unref(&note->conf);
	headbuf_clear(&x->note, &x->w->heads);
}

/* --- the line --- */

static bool
is_error(const struct xfer *x, enum outcome out)
{
	switch (out) {
	case OUT_OK:
	case OUT_UPGRADED:
	case OUT_ANSWERED:
	case OUT_PROBED:
	case OUT_REDIRECTED:
	case OUT_WAITING_PAGE:
	case OUT_MAX_FORWARDS:
		return x->status >= 400 || x->grpc_status > 0;
	default:
		return true;
	}
}

/* How many requests the line stands for; 0: it is left out. */
static uint32_t
draw(const struct xfer *x, enum outcome out, uint32_t sample)
{
	if (sample == 1 || x->is_cold || is_error(x, out))
		return 1;
	return worker_random(x->w) % sample == 0 ? sample : 0;
}

static void
set_times(struct access_end *v, const struct xfer *x)
{
	int64_t now = x->w->now;

	v->duration_ns = now - x->start_ns;
	v->parked_ns = x->parked_ns == 0 ? -1 : (x->sent_ns != 0 ? x->sent_ns : now) - x->parked_ns;
	v->parked_after_ns = x->parked_ns - x->start_ns;
	v->response_ns = x->sent_ns != 0 && x->answered_ns != 0 ? x->answered_ns - x->sent_ns : -1;
}

/* What the client saw: as nginx has it, 499 says that it had left before. */
static uint16_t
status_of(const struct xfer *x, enum outcome out)
{
	return x->status == 0 && out == OUT_CLIENT_GONE ? 499 : x->status;
}

static const struct access_text outcome_names[] = {
#define OUTCOME(id, status, grpc, reason, text) {reason, sizeof(reason) - 1},
#include "activator/outcome.def"
#undef OUTCOME
};

/* What lines and spans have in common. */
static void
set_end(struct access_end *v, struct xfer *x, enum outcome out)
{
	const struct access_note *note = note_of(x);

	*v = (struct access_end){
		.wall_ns = wall_now(x->w),
		.reason = access_text_of(x->why),
		.outcome = outcome_names[out],
		.is_cold = x->is_cold,
		.status = status_of(x, out),
		.grpc_status = x->is_grpc ? x->grpc_status : -1,
		.bytes_in = x->bytes_in,
		.bytes_out = x->bytes_out,
		.phases = note->has_phases ? note->phases : NULL,
		.tries = x->tries,
	};
	set_times(v, x);
	if (note->inst != NULL)
		v->instance = (struct access_text){note->inst->id, note->inst->id_n};
}

/* The names of service and revision, where `route` of JSON does not stand for both. */
static void
set_names(struct access_end *v, const struct xfer *x)
{
	if (x->service != NULL)
		v->service = access_text_of(x->service->name);
	if (x->route != NULL)
		v->revision = access_text_of(x->route->rev->name);
}

/* conf: of the route, which a reload may have changed since the note was made. */
static void
write_line(struct xfer *x, enum outcome out, const struct access_conf *conf, uint32_t sample)
{
	const struct access_note *note = note_of(x);
	const struct access_format *format = note->conf->format;
	struct access_port *p = &x->w->access;
	struct access_end v;
	char *line;

	set_end(&v, x, out);
	v.sample = sample;
	if (x->route != NULL && format == NULL)
		v.route = conf->route;
	else
		set_names(&v, x);
	if (format != NULL && note->inst != NULL)
		v.upstream = access_text_of(instance_address(note->inst)->text);
	line = access_ring_reserve(p->ring, access_line_room(&v, format, note->line_n));
	if (line == NULL)
		metric_add(&p->ring->lost, 1);
	else
		access_ring_commit(
			p->ring,
			(size_t)(access_line_put(line, &v, format, note->bytes, &p->clock) - line));
}

/* --- spans --- */

/* By the fault of this side, as OpenTelemetry's conventions have it: a client that leaves, or asks
 * for what is not there, is none. */
static bool
has_failed(const struct access_end *v, enum outcome out)
{
	return v->status >= 500 || out == OUT_UPSTREAM_BROKEN || out == OUT_STALLED ||
	       (v->grpc_status > 0 && grpc_http_status(v->grpc_status) >= 500);
}

static void
write_spans(struct xfer *x, enum outcome out)
{
	const struct access_note *note = note_of(x);
	const char *early = note->bytes + note->line_n + sizeof(struct access_trace);
	struct access_ring *ring = x->w->traces.ring;
	struct access_trace trace;
	struct access_end v;
	unsigned n;
	char *spans;

	memcpy(&trace, note->bytes + note->line_n, sizeof trace);
	set_end(&v, x, out);
	set_names(&v, x);
	v.has_failed = has_failed(&v, out);
	n = 1 + (v.parked_ns >= 0) + (v.parked_ns >= 0 && v.phases != NULL ? COLD_PHASES_N : 0);
	spans = access_ring_reserve(ring, access_span_room(&v, note->span_n));
	if (spans == NULL) {
		metric_add(&ring->lost, n);
		return;
	}
	access_ring_commit(ring, (size_t)(access_span_put(spans, &v, &trace, early, note->span_n,
							  worker_random(x->w)) -
					  spans));
	metric_add(&ring->lines, n - 1); /* commit counts one */
}

void
access_note_end(struct xfer *x, enum outcome out)
{
	struct worker *w = x->w;
	const struct access_note *note = note_of(x);
	const struct access_conf *conf = note->conf;
	uint32_t sample;

	if (conf != NULL && x->route != NULL)
		conf = x->route->limits->access;
	if (conf != NULL) { /* else a reload has turned the log off meanwhile */
		sample = draw(x, out, conf->sample);
		if (sample > 0)
			write_line(x, out, conf, sample);
		else
			metric_add(&w->access.ring->left_out, 1);
	}
	if (note->is_traced)
		write_spans(x, out);
	access_note_drop(x);
}
