#include "activator/arrive.h"

#include <stdio.h>
#include <string.h>

#include "activator/access_note.h"
#include "activator/conn.h"
#include "activator/dispatch.h"
#include "activator/failure.h"
#include "activator/http/chunked.h"
#include "activator/http/knative.h"
#include "activator/limiter.h"
#include "activator/net/tls.h"
#include "activator/park.h"
#include "activator/refuse.h"
#include "activator/route_query.h"
#include "activator/shard.h"
#include "activator/waitpage.h"
#include "common/clk.h"
#include "common/strbuf.h"

static const char *
field_of_head(void *ctx, const char *name, size_t *n)
{
	return request_field(ctx, name, n);
}

static const char *
next_field_of_head(void *ctx, const char *name, uint32_t *at, size_t *n)
{
	return request_field_next(ctx, name, at, n);
}

/* Take the last address off the list value[0..*n): *n becomes the size of what is before it.
 * False: it is no address. */
static bool
last_address(const char *value, size_t *n, struct addr *out)
{
	size_t end = *n, at;
	char ip[ADDR_TEXT];

	for (at = end; at > 0 && value[at - 1] != ','; at--)
		;
	*n = at;
	while (at < end && (value[at] == ' ' || value[at] == '\t'))
		at++;
	if (end - at >= sizeof ip)
		return false;
	memcpy(ip, value + at, end - at);
	ip[end - at] = '\0';
	return addr_set(out, ip, 0, NULL) == 0;
}

/* The size of the list value[0..n) without empty elements and blanks at its end. */
static size_t
without_empty(const char *value, size_t n)
{
	while (n > 0 && (value[n - 1] == ',' || value[n - 1] == ' ' || value[n - 1] == '\t'))
		n--;
	return n;
}

/* The client's address: the peer, or, where the peer is a trusted proxy, the last address in
 * X-Forwarded-For that is not a trusted proxy itself.  Several such fields are one list, in
 * their order: some proxies add a field where others append to it.  The result may point to
 * *forwarded. */
static const struct addr *
client_of(const struct xfer *x, const struct h1_head *head, struct addr *forwarded)
{
	const struct addr *client = &x->conn->peer;
	struct addr next;
	uint32_t i;

	if (!worker_trusts(x->w, client))
		return client;
	for (i = head->n; i-- > 0;) {
		const struct h1_field *f = &head->fields[i];
		size_t n = f->id == FIELD_X_FORWARDED_FOR ? f->value_n : 0;

		while ((n = without_empty(f->value, n)) > 0) {
			if (!last_address(f->value, &n, &next))
				return client;
			*forwarded = next;
			client = forwarded;
			if (!worker_trusts(x->w, client))
				return client;
		}
	}
	return client;
}

static void
find_route(struct xfer *x, const struct request *r, const struct addr *client,
	   struct route_match *match)
{
	struct worker *w = x->w;
	struct route_query q = {
		.host = r->authority,
		.host_n = r->host_n,
		.path = r->path,
		.path_n = r->path_n,
		.method = r->head->method,
		.method_n = r->head->method_n,
		.field = next_field_of_head,
		.is_local = x->conn->is_local,
		.client = client,
		.random = worker_random(w),
	};

	memcpy(&q.ctx, &r->head, sizeof q.ctx);
	routes_find(w->snapshot->routes, &q, match);
}

static void
take_request(struct xfer *x, const struct request *r)
{
	x->framing = r->framing;
	x->remaining = r->length;
	x->is_head_method = r->is_head_method;
	x->is_http10 = r->is_http10;
	x->is_persistent = r->is_persistent;
	x->says_keep_alive = r->is_http10 && r->is_persistent;
	x->is_idempotent = r->is_idempotent;
	x->is_expecting = r->is_expecting;
	x->has_upgrade = r->has_upgrade;
	x->is_upgrade = r->is_upgrade;
	x->takes_trailers = r->takes_trailers;
	x->is_sent_whole = r->framing == FRAMING_NONE ||
			   (r->framing == FRAMING_LENGTH && r->length == 0);
	x->wants_json = r->wants_json;
	x->is_grpc = r->is_grpc;
	x->has_grpc_timeout = r->timeout_ns >= 0;
	x->client_deadline_ns = r->timeout_ns < 0 || r->timeout_ns > INT64_MAX - x->start_ns
					? INT64_MAX
					: x->start_ns + r->timeout_ns;
}

/* Has the client sent it over TLS, to this activator or to a proxy that passes bytes on? */
static bool
is_encrypted(const struct conn *c)
{
	return io_is_encrypted(&c->io) || c->is_tls_at_proxy;
}

static void
make_request_id(struct worker *w)
{
	uint64_t words[2] = {w->id_seeds[0] ^ worker_random(w), w->id_seeds[1] ^ worker_random(w)};
	size_t i;

	for (i = 0; i < 32; i++)
		w->request_id[i] = "0123456789abcdef"[words[i / 16] >> (i % 16 * 4) & 15];
	w->request_id_n = 32;
	w->is_request_id_new = true;
}

/* Choose what the instance gets as X-Request-Id, in w->request_id. */
static void
choose_request_id(struct xfer *x, const struct request *r, int how)
{
	struct worker *w = x->w;
	const char *sent = NULL;
	size_t n;

	w->request_id_n = 0;
	w->is_request_id_new = false;
	if (how == REQUEST_ID_PASS)
		return;
	if (how == REQUEST_ID_KEEP ||
	    (how == REQUEST_ID_TRUSTED && worker_trusts(w, &x->conn->peer)))
		sent = request_id_sent(r->head, &n);
	if (sent == NULL) {
		make_request_id(w);
	} else {
		memcpy(w->request_id, sent, n);
		w->request_id_n = n;
	}
}

/* Does the client's traceparent say whether its trace is recorded? */
static bool
is_followed(const struct xfer *x, const struct limits *l)
{
	return l->trace_follow == TRACE_ALL ||
	       (l->trace_follow == TRACE_TRUSTED && worker_trusts(x->w, &x->conn->peer));
}

/* Is the request recorded, and as what?  In w->trace.  A client whose traceparent does not decide
 * that has its trace continued all the same. */
static void
choose_trace(struct xfer *x, const struct request *r, const struct limits *l)
{
	struct worker *w = x->w;
	struct access_trace *t = &w->trace;
	const char *sent;

	w->is_traced = false;
	if (w->traces.log == NULL)
		return;
	sent = request_traceparent(r->head);
	if (sent != NULL && is_followed(x, l)
		    ? (strchr("13579bdf", sent[TRACE_FLAGS_AT + 1]) == NULL)
		    : (double)(worker_random(w) >> 11) * 0x1p-53 * 100 >= l->trace_sample)
		return;
	w->is_traced = true;
	t->has_parent = sent != NULL;
	if (sent != NULL) {
		memcpy(t->trace, sent + TRACE_ID_AT, sizeof t->trace);
		memcpy(t->parent, sent + TRACE_PARENT_AT, sizeof t->parent);
	} else {
		access_span_id(t->trace, w->id_seeds[0] ^ worker_random(w));
		access_span_id(t->trace + SPAN_ID_SIZE, w->id_seeds[1] ^ worker_random(w));
	}
	access_span_id(t->span, w->id_seeds[1] ^ worker_random(w));
}

/* The traceparent of the instance: its parent is the span of this request. */
static const char *
make_traceparent(const struct worker *w, char out[TRACEPARENT_SIZE + 1])
{
	if (!w->is_traced)
		return NULL;
	snprintf(out, TRACEPARENT_SIZE + 1, "00-%.32s-%.16s-01", w->trace.trace, w->trace.span);
	return out;
}

static void
build_head(struct xfer *x, const struct request *r, const struct route_match *match)
{
	const struct conn *c = x->conn;
	char traceparent[TRACEPARENT_SIZE + 1];
	bool has_tag = match->service->has_knative_tag;
	const struct request_knative knative = {.drops_inner = x->route->limits->v.knative_headers,
						.tag = has_tag ? match->tag : NULL,
						.is_default_route = has_tag && match->is_default};
	struct request_hop hop = {
		.peer = c->is_peer_ip ? c->peer_text : NULL,
		.is_peer_v6 = c->is_peer_v6,
		.is_peer_trusted = worker_trusts(c->w, &c->peer),
		.has_via = x->route->limits->v.via,
		.is_encrypted = is_encrypted(c),
		.subject = io_is_encrypted(&c->io) ? tls_client_subject(&c->io) : NULL,
		.is_h2 = x->stream != NULL,
		.request_id = c->w->request_id_n > 0 ? c->w->request_id : NULL,
		.request_id_n = c->w->request_id_n,
		.traceparent = make_traceparent(c->w, traceparent),
		.is_trace_new = !c->w->trace.has_parent,
		.knative = knative.drops_inner || has_tag ? &knative : NULL,
	};
	size_t room = request_size(r, &hop);

	x->head_n = (uint32_t)request_write(r, &hop, worker_write_buf(x->w, room), room);
}

/* A browser that would have to wait for a start gets the waiting page instead, at once.
 * Where the revision cannot be started it gets the refusal that all clients get. */
static bool
is_for_page(const struct xfer *x, const struct request *r)
{
	struct failure *f;
	bool has_failed;
	void *head;

	if (x->service->waiting_page == NULL || x->is_serve_only || x->is_grpc ||
	    shard_has_open(x->shard))
		return false;
	memcpy(&head, &r->head, sizeof head);
	if (!waitpage_is_wanted(r->head->method, r->head->method_n, field_of_head, head))
		return false;
	f = limiter_failure(x->route->rev);
	has_failed = failure_is_refusing(f, x->w->now);
	failure_unref(&f);
	return !has_failed;
}

static void
give_page(struct xfer *x, const struct request *r)
{
	struct revision *rev = x->route->rev;
	int64_t began = atomic_load_explicit(&rev->activation.signalled_ns, memory_order_relaxed);
	bool is_under_way = began != 0 && atomic_load_explicit(&rev->activation.connected_ns,
							       memory_order_relaxed) == 0;
	struct failure *f = limiter_failure(rev);
	const struct waitpage_view view = {
		.service = x->service->name,
		.host = r->authority,
		.host_n = r->host_n,
		.expected_ms = atomic_load_explicit(&rev->cold_start_ms, memory_order_relaxed),
		.elapsed_ms = is_under_way ? MAX(x->w->now - began, 0) / CLK_MS : 0,
		.retry_s = (uint32_t)refuse_retry_after(x, OUT_WAITING_PAGE),
		.held_back = f != NULL && f->is_parking ? f->message : NULL,
	};

	limiter_request_wake(rev);
	refuse_page(x, &view);
	failure_unref(&f);
	xfer_end(x, OUT_WAITING_PAGE);
}

/* As is_encrypted(), or has it said so itself, being a trusted proxy? */
static bool
is_https(const struct xfer *x, const struct request *r)
{
	const struct conn *c = x->conn;
	const char *proto;
	size_t n;

	if (is_encrypted(c))
		return true;
	if (!worker_trusts(x->w, &c->peer))
		return false;
	proto = request_field(r->head, "x-forwarded-proto", &n);
	return proto != NULL && field_is(proto, n, "https");
}

/* Authorities that issue certificates ask for these by plain HTTP (RFC 8555 8.3). */
static bool
is_challenge(const struct request *r)
{
	static const char prefix[] = "/.well-known/acme-challenge/";

	return r->path_n >= sizeof prefix - 1 && memcmp(r->path, prefix, sizeof prefix - 1) == 0 &&
	       memmem(r->path, r->path_n, "..", 2) == NULL;
}

static void
redirect(struct xfer *x, const struct request *r)
{
	if (x->is_grpc) { /* its clients follow no redirect */
		xfer_refuse(x, OUT_REDIRECTED, NULL);
		return;
	}
	if (r->host_n == 0) {
		xfer_refuse(x, OUT_BAD_REQUEST, "a redirect to https needs the field Host");
		return;
	}
	refuse_redirect(x, r);
	xfer_end(x, OUT_REDIRECTED);
}

/* Has the client proven in its handshake what clients of the host must prove?  False: the request
 * is refused.  The connection ends where another one would do better. */
static bool
is_directed(struct xfer *x, const char *host, size_t n)
{
	enum tls_fit fit = tls_fit(&x->conn->io, host, n);

	if (fit != TLS_FITS)
		x->is_persistent = false;
	if (fit == TLS_MISDIRECTED)
		xfer_refuse(x, OUT_MISDIRECTED, NULL);
	return fit != TLS_MISDIRECTED;
}

/* Answer a probe of Knative or of a kubelet: it is not passed on, wakes nothing and counts as no
 * request of the revision.  False: it is none. */
static bool
answer_probe(struct xfer *x, const struct request *r, const struct route_match *match)
{
	const char *value;
	size_t n;
	enum knative_probe probe = knative_probe_of(r->head, r->is_grpc, &value, &n);
	struct strbuf text;

	if (probe == KNATIVE_NO_PROBE)
		return false;
	if (io_is_encrypted(&x->conn->io) && !is_directed(x, r->authority, r->host_n))
		return true;
	strbuf_init(&text, 0);
	switch (probe) {
	case KNATIVE_NO_PROBE:
	case KNATIVE_PROBE_ROUTE:
		if (value != NULL)
			strbuf_addf(&text, KNATIVE_HASH_FIELD ": %.*s\r\n", (int)n, value);
		refuse_probe(x, value == NULL ? 400 : 200, strbuf_str(&text),
			     value == NULL ? "a probe needs the field " KNATIVE_HASH_FIELD "\n"
					   : "");
		break;
	case KNATIVE_PROBE_QUEUE:
		if (shard_has_open(shard_of(x->w, match->revision->rev)))
			refuse_probe(x, 200, "", "queue");
		else
			refuse_probe(x, 503, "", "no instance answers\n");
		break;
	case KNATIVE_PROBE_ACTIVATOR:
		refuse_probe(x, 200, "", "activator");
		break;
	case KNATIVE_PROBE_KUBELET:
		refuse_probe(x, 200, "", "");
		break;
	case KNATIVE_PROBE_UNKNOWN:
		strbuf_addf(&text, "unexpected value of K-Network-Probe: %.*s\n", (int)n, value);
		refuse_probe(x, 400, "", strbuf_str(&text));
		break;
	}
	strbuf_fini(&text);
	xfer_end(x, OUT_PROBED);
	return true;
}

/* For the access log of its revision, or that of the conf file if it has none. */
static void
note_request(struct xfer *x, const struct request *r, const struct route_match *match,
	     const struct addr *client)
{
	struct access_conf *conf = match->revision != NULL ? match->revision->limits->access
							   : x->w->conf_ref->access;

	if (match->revision != NULL)
		choose_trace(x, r, &match->revision->limits->v);
	if (conf == NULL && !x->w->is_traced)
		return;
	access_note_begin(x, r, conf, client);
	if (match->service != NULL) {
		x->service = match->service;
		x->snapshot = snapshot_ref(x->w->snapshot);
	}
}

static void
route(struct xfer *x, const struct request *r, size_t head_n)
{
	const struct limits *limits;
	struct route_match match;
	struct addr forwarded;
	const struct addr *client = client_of(x, r->head, &forwarded);

	find_route(x, r, client, &match);
	if (match.revision != NULL && match.revision->limits->v.knative_headers &&
	    answer_probe(x, r, &match))
		return;
	choose_request_id(x, r,
			  match.revision != NULL ? match.revision->limits->v.request_id
						 : x->w->conf->limits.request_id);
	note_request(x, r, &match, client);
	if (io_is_encrypted(&x->conn->io) && !is_directed(x, r->authority, r->host_n))
		return;
	if (match.is_ambiguous) {
		xfer_refuse(x, OUT_BAD_REQUEST, "the path can be read in more than one way");
		return;
	}
	if (match.service == NULL) {
		xfer_refuse(x, OUT_NO_ROUTE, NULL);
		return;
	}
	/* The host of a tag leads to the service of another host: its clients must prove the same.
	 */
	if (match.tag_n > 0 && io_is_encrypted(&x->conn->io) &&
	    !is_directed(x, r->authority + match.tag_n, r->host_n - match.tag_n))
		return;
	if (match.service->redirect_https && !is_challenge(r) && !is_https(x, r)) {
		redirect(x, r);
		return;
	}
	if (match.action == RULE_ANSWER) {
		refuse_rule(x, match.rule);
		xfer_end(x, OUT_ANSWERED);
		return;
	}
	xfer_set_state(x, XFER_ROUTED);
	if (x->snapshot == NULL)
		x->snapshot = snapshot_ref(x->w->snapshot);
	x->service = match.service;
	x->route = match.revision;
	limits = &x->route->limits->v;
	x->shard = shard_of(x->w, match.revision->rev);
	x->is_serve_only = match.action == RULE_SERVE_ONLY;
	x->deadline_ns = x->start_ns + limits->activation_timeout;
	x->conn->idle_timeout = limits->idle_timeout;
	x->conn->body_timeout = limits->body_timeout;
	metric_add(&x->shard->requests, 1);
	x->shard->period_requests += !x->is_serve_only;
	if (limits->requests_per_connection > 0 &&
	    x->conn->requests >= limits->requests_per_connection)
		x->is_persistent = false;
	if (head_n > limits->max_head || r->head->n > limits->max_fields) {
		x->is_persistent = false;
		xfer_refuse(x, OUT_HEAD_TOO_LARGE, NULL);
		return;
	}
	if (x->framing == FRAMING_CHUNKED)
		x->chunked = chunked_new(r->head, limits->max_head, limits->max_fields);
	if (is_for_page(x, r)) {
		give_page(x, r);
		return;
	}
	build_head(x, r, &match);
	dispatch_admit(x, false);
}

void
arrive_request(struct xfer *x, char *buf, size_t head_n)
{
	struct request r;
	enum outcome out = request_read(&r, &x->w->head);

	take_request(x, &r);
	if (r.is_trace && !x->w->conf->trace && out != OUT_BAD_REQUEST)
		out = OUT_METHOD;
	x->w->is_traced = false;
	if (out != OUT_OK || x->w->snapshot == NULL) { /* else route() does both */
		choose_request_id(x, &r, x->w->conf->limits.request_id);
		access_note_begin(x, &r, x->w->conf_ref->access, NULL);
	}
	if (out == OUT_MAX_FORWARDS && r.is_trace) {
		refuse_trace(x, &x->w->head);
		xfer_end(x, OUT_MAX_FORWARDS);
	} else if (out != OUT_OK) {
		/* Where the next request begins cannot be told; behind a CONNECT there may be bytes
		 * for the tunnel that its client hopes for. */
		if (out == OUT_BAD_REQUEST || r.is_connect)
			x->is_persistent = x->is_sent_whole = false;
		xfer_refuse(x, out, NULL);
	} else if (x->w->snapshot == NULL) {
		park_unrouted(x, buf, head_n);
	} else {
		route(x, &r, head_n);
	}
}
