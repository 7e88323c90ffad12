#include "activator/access_note.h"

#include <string.h>

#include "activator/access/access_conf.h"
#include "activator/access/access_log.h"
#include "activator/cold.h"
#include "activator/conn.h"
#include "activator/http/grpc.h"
#include "activator/http/request.h"
#include "activator/worker_impl.h"
#include "common/clk.h"
#include "common/metric.h"

enum note_text {
	NOTE_CLIENT,
	NOTE_RAW,
	NOTE_METHOD,
	NOTE_TARGET,
	NOTE_HOST,
	NOTE_REQUEST_ID,
	NOTE_TRACE_ID,
	NOTE_REFERER,
	NOTE_USER_AGENT,
	NOTE_FIELDS, /* those of the format, from here on */
	NOTE_TEXTS_MAX = NOTE_FIELDS + ACCESS_FIELDS_MAX
};

/* In x->note. */
struct access_note {
	uint32_t serial; /* of the access_conf to which the fields belong */
	uint32_t size;
	const struct access_conf *conf; /* until it has a route; NULL: that of the worker's conf */
	struct instance *inst;		/* a reference, or NULL */
	bool has_line, is_traced, has_phases;
	uint8_t texts_n;
	struct access_trace trace;			/* is_traced */
	uint16_t at[NOTE_TEXTS_MAX], n[NOTE_TEXTS_MAX]; /* where each text is in bytes; n 0: none */
	int64_t phases[COLD_PHASES_N];
	char bytes[];
};

/* A head of so many bytes is copied as a whole: that is faster than its parts one by one. */
#define WHOLE_MOST (HEADBUF_SIZE - sizeof(struct access_note))

static struct access_note *
note_of(const struct xfer *x)
{
	return (struct access_note *)(void *)x->note.data;
}

/* --- making it --- */

/* Of a request that has spans, and no line. */
static const struct access_conf for_spans = {.sample = 1, .has_query = true};

static struct access_note *
new_note(struct xfer *x, size_t bytes, unsigned texts_n, const struct access_conf *conf)
{
	size_t size = sizeof(struct access_note) + bytes;
	struct access_note *note = (void *)headbuf_reserve(&x->note, &x->w->heads, size);

	note->serial = conf->serial;
	note->size = (uint32_t)size;
	note->conf = conf == x->w->conf_ref->access ? NULL : conf;
	note->inst = NULL;
	note->has_phases = false;
	note->has_line = conf != &for_spans;
	note->is_traced = x->w->is_traced;
	if (note->is_traced)
		note->trace = x->w->trace;
	note->texts_n = (uint8_t)texts_n;
	return note;
}

/* All texts point into head[0..head_n). */
static void
copy_head(struct xfer *x, const struct access_text *texts, unsigned texts_n,
	  const struct access_conf *conf, const char *head, size_t head_n)
{
	struct access_note *note = new_note(x, head_n, texts_n, conf);
	unsigned i;

	memcpy(note->bytes, head, head_n);
	for (i = 0; i < texts_n; i++) {
		note->n[i] = (uint16_t)texts[i].n;
		note->at[i] = texts[i].n == 0 ? 0 : (uint16_t)(texts[i].s - head);
	}
}

static void
copy_texts(struct xfer *x, const struct access_text *texts, unsigned texts_n,
	   const struct access_conf *conf)
{
	struct access_note *note;
	size_t bytes = 0;
	unsigned i;

	for (i = 0; i < texts_n; i++)
		bytes += MIN(texts[i].n, ACCESS_TEXT_MAX + 1); /* one more: the line is cut */
	note = new_note(x, bytes, texts_n, conf);
	for (i = 0, bytes = 0; i < texts_n; bytes += note->n[i++]) {
		note->n[i] = (uint16_t)MIN(texts[i].n, ACCESS_TEXT_MAX + 1);
		note->at[i] = (uint16_t)bytes;
		if (note->n[i] > 0)
			memcpy(note->bytes + bytes, texts[i].s, note->n[i]);
	}
}

static void
cut_query(struct access_text *t)
{
	const char *mark = t->n == 0 ? NULL : memchr(t->s, '?', t->n);

	if (mark != NULL)
		t->n = (size_t)(mark - t->s);
}

static struct access_text
field_text(const struct h1_head *h, const char *name)
{
	struct access_text t;

	t.s = request_field(h, name, &t.n);
	if (t.s == NULL)
		t.n = 0;
	return t;
}

static void
add_json_fields(struct access_text *texts, const struct h1_head *h)
{
	uint32_t i;

	for (i = 0; i < h->n; i++) {
		const struct h1_field *f = &h->fields[i];
		struct access_text *to = f->name_n == 10  ? &texts[NOTE_USER_AGENT]
					 : f->name_n == 7 ? &texts[NOTE_REFERER]
							  : NULL;

		if (to != NULL && f->id == FIELD_OTHER && to->s == NULL &&
		    field_is(f->name, f->name_n, f->name_n == 7 ? "referer" : "user-agent"))
			*to = (struct access_text){f->value, f->value_n};
	}
}

/* The fields of a head that a line shows.  Returns how many texts there are. */
static unsigned
add_fields(struct access_text *texts, const struct h1_head *h, const struct access_format *f)
{
	unsigned i;

	if (f == NULL) {
		add_json_fields(texts, h);
		return NOTE_FIELDS;
	}
	for (i = 0; i < f->fields.n; i++)
		texts[NOTE_FIELDS + i] = field_text(h, f->fields.v[i]);
	return NOTE_FIELDS + i;
}

/* Returns whether all of it points into the head. */
static bool
add_ids(struct access_text *texts, const struct worker *w, const struct h1_head *h)
{
	struct access_text *id = &texts[NOTE_REQUEST_ID];

	const char *trace = request_traceparent(h);

	if (trace != NULL)
		texts[NOTE_TRACE_ID] = (struct access_text){trace + TRACE_ID_AT, TRACE_ID_SIZE};
	if (w->is_request_id_new) {
		*id = (struct access_text){w->request_id, w->request_id_n};
		return false;
	}
	id->s = request_id_sent(h, &id->n);
	if (id->s == NULL)
		id->n = 0;
	return true;
}

static void
cut_queries(struct access_text *texts, const struct access_format *f)
{
	unsigned i;

	cut_query(&texts[NOTE_TARGET]);
	cut_query(&texts[NOTE_REFERER]);
	for (i = 0; f != NULL && i < f->fields.n; i++)
		if (strcmp(f->fields.v[i], "referer") == 0)
			cut_query(&texts[NOTE_FIELDS + i]);
}

/* From its method up to its last value. */
static size_t
size_of_head(const struct h1_head *h)
{
	const struct h1_field *last = h->n == 0 ? NULL : &h->fields[h->n - 1];
	const char *end = last == NULL ? h->target + h->target_n : last->value + last->value_n;

	return (size_t)(end - h->method);
}

void
access_note_begin(struct xfer *x, const struct request *r, const struct access_conf *conf,
		  const struct addr *client)
{
	const struct h1_head *h = r->head;
	struct access_text texts[NOTE_TEXTS_MAX];
	char address[ADDR_IP_TEXT];
	size_t head_n = size_of_head(h);
	bool is_in_head;
	unsigned n;

	if (!x->w->is_traced && (conf == NULL || x->w->access.log == NULL))
		return;
	if (conf == NULL)
		conf = &for_spans;
	access_note_drop(x);
	for (n = 0; n < NOTE_FIELDS; n++)
		texts[n] = (struct access_text){NULL, 0};
	texts[NOTE_METHOD] = (struct access_text){h->method, h->method_n};
	texts[NOTE_TARGET] = r->target_n > 0 ? (struct access_text){r->path, r->target_n}
					     : (struct access_text){h->target, h->target_n};
	texts[NOTE_HOST] = (struct access_text){r->authority, r->authority_n};
	if (client != NULL && client != &x->conn->peer) {
		texts[NOTE_CLIENT].s = addr_format_host(client, address);
		texts[NOTE_CLIENT].n = strlen(address);
	}
	n = add_fields(texts, h, conf->format);
	if (!conf->has_query)
		cut_queries(texts, conf->format);
	is_in_head = add_ids(texts, x->w, h) && texts[NOTE_CLIENT].s == NULL;
	if (head_n <= WHOLE_MOST && is_in_head)
		copy_head(x, texts, n, conf, h->method, head_n);
	else
		copy_texts(x, texts, n, conf);
}

void
access_note_raw(struct xfer *x, const char *bytes, size_t n)
{
	const struct access_conf *conf = x->w->conf_ref->access;
	struct access_text texts[NOTE_RAW + 1] = {{NULL, 0}};
	size_t line_n = 0;

	if (conf == NULL || x->w->access.log == NULL)
		return;
	while (line_n < n && bytes[line_n] != '\r' && bytes[line_n] != '\n')
		line_n++;
	texts[NOTE_RAW] = (struct access_text){bytes, line_n};
	if (!conf->has_query)
		cut_query(&texts[NOTE_RAW]);
	access_note_drop(x);
	x->w->is_traced = false; /* what it says is of the request before */
	copy_texts(x, texts, NOTE_RAW + 1, conf);
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
	headbuf_clear(&x->note, &x->w->heads);
}

/* --- the line --- */

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

static bool
is_error(const struct xfer *x, enum outcome out)
{
	switch (out) {
	case OUT_OK:
	case OUT_UPGRADED:
	case OUT_ANSWERED:
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

static struct access_text
text_of(const char *s)
{
	return (struct access_text){s, s == NULL ? 0 : strlen(s)};
}

static struct access_text
noted(const struct access_note *note, unsigned i)
{
	if (i >= note->texts_n || note->n[i] == 0)
		return (struct access_text){NULL, 0};
	return (struct access_text){note->bytes + note->at[i], note->n[i]};
}

static void
set_texts(struct access_values *v, const struct access_note *note)
{
	v->raw = noted(note, NOTE_RAW);
	v->method = noted(note, NOTE_METHOD);
	v->target = noted(note, NOTE_TARGET);
	v->host = noted(note, NOTE_HOST);
	v->client = noted(note, NOTE_CLIENT);
	v->request_id = noted(note, NOTE_REQUEST_ID);
	v->trace_id = note->is_traced ? (struct access_text){note->trace.trace, TRACE_ID_SIZE}
				      : noted(note, NOTE_TRACE_ID);
	if (v->client.s == NULL)
		v->client = v->peer;
	if (note->inst != NULL)
		v->instance = text_of(note->inst->id);
}

static void
set_json(struct access_values *v, const struct xfer *x, const struct access_note *note,
	 const struct access_conf *conf)
{
	v->referer = noted(note, NOTE_REFERER);
	v->user_agent = noted(note, NOTE_USER_AGENT);
	if (x->route != NULL)
		v->route = conf->route;
	else if (x->service != NULL)
		v->service = text_of(x->service->name);
}

/* What only formats show. */
static void
set_format(struct access_values *v, const struct xfer *x, const struct access_note *note,
	   struct access_text *fields, const struct access_conf *conf)
{
	unsigned i;

	if (note->serial == conf->serial && note->texts_n > NOTE_FIELDS)
		v->fields_n = note->texts_n - NOTE_FIELDS;
	for (i = 0; i < v->fields_n; i++)
		fields[i] = noted(note, NOTE_FIELDS + i);
	v->fields = fields;
	if (x->service != NULL)
		v->service = text_of(x->service->name);
	if (x->route != NULL)
		v->revision = text_of(x->route->rev->name);
	if (note->inst != NULL)
		v->upstream = text_of(instance_address(note->inst)->text);
}

static const char *
protocol_of(const struct xfer *x)
{
	if (x->stream != NULL)
		return "HTTP/2.0";
	return x->is_http10 ? "HTTP/1.0" : "HTTP/1.1";
}

static void
set_times(struct access_values *v, const struct xfer *x)
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

/* What lines and spans have in common. */
static void
set_values(struct access_values *v, struct xfer *x, enum outcome out)
{
	const struct access_note *note = note_of(x);

	*v = (struct access_values){
		.wall_ns = wall_now(x->w),
		.peer = text_of(x->conn->peer_text),
		.reason = text_of(x->why),
		.protocol = protocol_of(x),
		.outcome = outcome_reason(out),
		.is_encrypted = io_is_encrypted(&x->conn->io) || x->conn->is_tls_at_proxy,
		.is_cold = x->is_cold,
		.status = status_of(x, out),
		.grpc_status = x->is_grpc ? x->grpc_status : -1,
		.bytes_in = x->bytes_in,
		.bytes_out = x->bytes_out,
		.has_phases = note->has_phases,
		.phases = note->phases,
		.tries = x->tries,
		.connection_requests = x->conn->requests,
		.worker = x->w->index,
		.pid = x->w->access.pid,
	};
	set_texts(v, note);
	set_times(v, x);
}

static void
write_line(struct xfer *x, enum outcome out, const struct access_conf *conf, uint32_t sample)
{
	const struct access_note *note = note_of(x);
	struct access_port *p = &x->w->access;
	struct access_text fields[ACCESS_FIELDS_MAX];
	struct access_values v;
	char *line;

	set_values(&v, x, out);
	v.sample = sample;
	if (conf->format == NULL)
		set_json(&v, x, note, conf);
	else
		set_format(&v, x, note, fields, conf);
	line = access_ring_reserve(p->ring, access_line_room(&v, conf->format));
	if (line == NULL)
		metric_add(&p->ring->lost, 1);
	else
		access_ring_commit(
			p->ring,
			(size_t)(access_line_put(line, &v, conf->format, &p->clock) - line));
}

/* --- spans --- */

/* By the fault of this side, as OpenTelemetry's conventions have it: a client that leaves, or asks
 * for what is not there, is none. */
static bool
has_failed(const struct access_values *v, enum outcome out)
{
	return v->status >= 500 || out == OUT_UPSTREAM_BROKEN || out == OUT_STALLED ||
	       (v->grpc_status > 0 && grpc_http_status(v->grpc_status) >= 500);
}

static void
write_spans(struct xfer *x, enum outcome out)
{
	const struct access_note *note = note_of(x);
	struct access_ring *ring = x->w->traces.ring;
	struct access_values v;
	unsigned n;
	char *spans;

	set_values(&v, x, out);
	v.user_agent = noted(note, NOTE_USER_AGENT);
	v.has_failed = has_failed(&v, out);
	if (x->service != NULL)
		v.service = text_of(x->service->name);
	if (x->route != NULL)
		v.revision = text_of(x->route->rev->name);
	n = 1 + (v.parked_ns >= 0) + (v.has_phases ? COLD_PHASES_N : 0);
	spans = access_ring_reserve(ring, access_span_room(&v));
	if (spans == NULL) {
		metric_add(&ring->lost, n);
		return;
	}
	access_ring_commit(
		ring,
		(size_t)(access_span_put(spans, &v, &note->trace, worker_random(x->w)) - spans));
	metric_add(&ring->lines, n - 1); /* commit counts one */
}

static const struct access_conf *
conf_of(const struct xfer *x)
{
	const struct access_note *note = note_of(x);

	if (x->route != NULL)
		return x->route->limits->access;
	return note->conf != NULL ? note->conf : x->w->conf_ref->access;
}

void
access_note_end(struct xfer *x, enum outcome out)
{
	struct worker *w = x->w;
	const struct access_note *note = note_of(x);
	const struct access_conf *conf = note->has_line ? conf_of(x) : NULL;
	uint32_t sample;

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
