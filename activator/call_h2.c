/* Calls of HTTP/2: each is a stream of its connection. */
#include "activator/call_h2.h"

#include <stdlib.h>
#include <string.h>

#include "activator/bounds.h"
#include "activator/codec.h"
#include "activator/http/chunked.h"
#include "activator/http/response.h"
#include "activator/http/websocket.h"
#include "activator/limiter.h"
#include "activator/shard.h"
#include "activator/worker_impl.h"
#include "activator/xfer.h"
#include "common/clk.h"

/* Bytes of a request that a call keeps for its instance: then its client is not read on … */
#define OUT_MOST ((size_t)128 << 10)
#define OUT_LOW ((size_t)32 << 10) /* … until only so many are left */

static void on_timer(struct timeq_entry *, int64_t now);

static struct h2_call *
h2_call_of(struct call *call)
{
	return container_of(call, struct h2_call, call);
}

static struct relay_result
result(enum relay_end end)
{
	return (struct relay_result){.end = end};
}

static struct relay_result
bad_response(const char *why)
{
	return (struct relay_result){.end = RELAY_BAD_RESPONSE, .why = why};
}

/* --- what it keeps --- */

bool
call_h2_count(struct h2_call *hc, size_t n)
{
	struct upstream_h2 *h2 = hc->h2;
	struct bounds *b = h2->u->w->bounds;

	h2->bytes += n;
	return bounds_add_stream_bytes(b, n) && bounds_may_keep_stream_bytes(b, h2->bytes);
}

static void
uncount(struct h2_call *hc, size_t n)
{
	hc->h2->bytes -= n;
	bounds_drop_stream_bytes(hc->h2->u->w->bounds, n);
}

bool
call_h2_add(struct h2_call *hc, struct outbuf *to, const char *data, size_t n)
{
	struct iovec iov = {.iov_len = n};

	if (n == 0)
		return true;
	memcpy(&iov.iov_base, &data, sizeof data);
	outbuf_append(to, &iov, 1, 0);
	return call_h2_count(hc, n);
}

static void
take(struct h2_call *hc, struct outbuf *from, size_t n)
{
	if (n == 0)
		return;
	uncount(hc, n);
	outbuf_consume(from, n);
	if (from->n == 0)
		outbuf_clear(from);
}

static void
drop_text(struct h2_call *hc, char **text)
{
	if (*text == NULL)
		return;
	uncount(hc, strlen(*text));
	free(*text);
	*text = NULL;
}

static void
drop_heads(struct h2_call *hc)
{
	uncount(hc, hc->heads.len);
	strbuf_fini(&hc->heads);
	hc->heads_at = 0;
	hc->heads_n = 0;
}

void
call_h2_forget_sent(struct h2_call *hc)
{
	size_t n = hc->sent_n;

	hc->call.keeps_body = false;
	hc->sent_n = 0;
	take(hc, &hc->out, n);
}

static void
drop_out(struct h2_call *hc)
{
	hc->sent_n = 0;
	take(hc, &hc->out, hc->out.n);
}

/* The instance has not processed the request: give its body back, if it is whole and still here. */
static void
give_body_back(struct h2_call *hc)
{
	struct xfer *x = hc->call.xfer;

	if (!x->has_given_body || !x->is_sent_whole || !hc->call.keeps_body)
		return;
	hc->h2->bytes -= hc->out.n + (hc->out_trailers == NULL ? 0 : strlen(hc->out_trailers));
	hc->sent_n = 0;
	xfer_take_body_back(x, &hc->out, &hc->out_trailers);
}

/* --- from its beginning to its end --- */

struct h2_call *
call_h2_new(struct upstream_h2 *h2)
{
	struct worker *w = h2->u->w;
	struct h2_call *hc = slab_get(&w->call_slab);

	hc->w = w;
	hc->call.codec = &call_h2_codec;
	hc->call.upstream = h2->u;
	hc->call.is_persistent = true;
	hc->call.keeps_body = true;
	hc->h2 = h2;
	hc->timer.fn = on_timer;
	strbuf_init(&hc->heads, 0);
	list_push(&h2->calls, &hc->node);
	return hc;
}

static void
put_call(void *arg)
{
	struct h2_call *hc = arg;

	slab_put(&hc->w->call_slab, hc);
}

void
call_h2_free(struct h2_call *hc)
{
	struct upstream_h2 *h2 = hc->h2;
	struct worker *w = h2->u->w;

	CHECK(hc->call.xfer == NULL);
	if (hc->id > 0 && !hc->is_closed)
		h2_client_forget(h2->session, hc->id);
	call_forget_abandoned(&hc->call);
	take(hc, &hc->in, hc->in.n);
	drop_out(hc);
	drop_heads(hc);
	drop_text(hc, &hc->in_trailers);
	drop_text(hc, &hc->out_trailers);
	free(hc->ws_key);
	timeq_clear(&w->timeq, &hc->timer);
	if (list_linked(&hc->event))
		list_remove(&h2->events, &hc->event);
	list_remove(&h2->calls, &hc->node);
	/* The caller may hold it still. */
	loop_defer(w->loop, hc, put_call);
}

void
call_h2_end(struct h2_call *hc)
{
	struct upstream *u = hc->call.upstream;
	bool has_slot = hc->has_slot;

	call_h2_free(hc);
	upstream_h2_settle(u->h2);
	if (!has_slot)
		return;
	limiter_give_back(u->inst);
	if (io_is_open(&u->io))
		upstream_shed_waited(u);
}

/* End the stream, as its request is over.  wants_ping: learn when the instance knows of it. */
static void
reset(struct h2_call *hc, bool wants_ping)
{
	hc->is_reset = true;
	hc->wants_ping = wants_ping;
	drop_out(hc);
	if (!hc->is_head_sent)
		hc->h2->cancelled_n++;
	h2_client_reset(hc->h2->session, hc->id, H2_CANCEL);
	upstream_h2_want_write(hc->h2);
}

void
call_h2_wait_until(struct h2_call *hc, int64_t at)
{
	hc->until_ns = at;
	timeq_set(&hc->call.upstream->w->timeq, &hc->timer, at);
}

/* There is no stream, or it is over on both sides. */
static bool
is_over(const struct h2_call *hc)
{
	return hc->id == 0 || hc->is_closed;
}

/* Its xfer has let go of it, and the instance may be at work. */
static void
reset_and_wait(struct h2_call *hc)
{
	if (is_over(hc) || !hc->is_head_sent) {
		if (!is_over(hc))
			reset(hc, false);
		call_h2_end(hc);
		return;
	}
	reset(hc, true);
	call_h2_wait_until(hc, hc->call.upstream->w->now + hc->call.abort_ns);
}

/* Its time is over: end the stream; or, if that was done, wait no longer for the instance. */
static void
on_timer(struct timeq_entry *e, int64_t now)
{
	struct h2_call *hc = container_of(e, struct h2_call, timer);
	struct upstream *u = hc->call.upstream;

	worker_limit_fired(u->w, now);
	if (hc->call.xfer != NULL) {
		/* It has waited for SETTINGS. */
		if (hc->call.xfer->state == XFER_CONNECTING &&
		    hc->h2->reached == UPSTREAM_CONNECTED) {
			upstream_h2_note(hc);
			io_yield(&u->io);
		}
		return;
	}
	if (now < hc->until_ns) {
		timeq_set(&u->w->timeq, &hc->timer, hc->until_ns);
		return;
	}
	if (!hc->is_reset && !is_over(hc)) {
		reset_and_wait(hc);
		return;
	}
	if (hc->wants_ping && !hc->is_acked) {
		log_warn_limited(&u->inst->tag,
				 "an instance does not answer a PING: its connection takes no more "
				 "requests",
				 "address=%s", u->address->text);
		upstream_h2_retire(hc->h2, UPSTREAM_ENDED_SILENT);
	}
	call_h2_end(hc);
}

/* --- the request --- */

/* The value of a field of the head of a request, by its name in lower case; NULL: there is
 * none. */
static const char *
field_of(const char *head, size_t n, const char *lower, size_t *value_n)
{
	size_t name_n = strlen(lower);
	const char *end = head + n, *at = memchr(head, '\n', n);

	while (at != NULL && ++at < end) {
		const char *stop = memchr(at, '\r', (size_t)(end - at));

		if (stop == NULL)
			break;
		if ((size_t)(stop - at) > name_n && at[name_n] == ':' &&
		    field_is(at, name_n, lower)) {
			for (at += name_n + 1; at < stop && *at == ' '; at++)
				;
			*value_n = (size_t)(stop - at);
			return at;
		}
		at = memchr(at, '\n', (size_t)(end - at));
	}
	return NULL;
}

/* Does it ask for a WebSocket?  Any other Upgrade is not for HTTP/2, and may be ignored (RFC 9110
 * 7.8). */
static void
note_websocket(struct h2_call *hc, const char *head, size_t n)
{
	size_t value_n;
	const char *value = field_of(head, n, "upgrade", &value_n);

	hc->call.is_upgrade = hc->is_websocket = value != NULL &&
						 field_is(value, value_n, "websocket");
	hc->call.keeps_body = !hc->is_websocket;
	value = hc->is_websocket ? field_of(head, n, "sec-websocket-key", &value_n) : NULL;
	if (value != NULL && value_n <= WEBSOCKET_KEY_MOST)
		hc->ws_key = xstrndup(value, value_n);
}

static int
send_request(struct call *call, const char *head, size_t n, const struct piece *piece)
{
	struct h2_call *hc = h2_call_of(call);
	struct upstream_h2 *h2 = hc->h2;
	struct xfer *x = call->xfer;
	bool has_body = !x->is_sent_whole || x->kept_body != NULL;

	if (x->is_upgrade)
		note_websocket(hc, head, n);
	if (hc->is_websocket && !h2_client_takes_connect(h2->session)) {
		hc->is_refused_upgrade = true;
		upstream_h2_note(hc);
		io_yield(&call->upstream->io);
		return 0;
	}
	hc->id = h2->is_ending ? -1
			       : h2_client_request(h2->session, head, n,
						   io_is_encrypted(&call->upstream->io),
						   hc->is_websocket, has_body, hc);
	if (hc->id < 0) {
		hc->id = 0;
		hc->is_closed = call->is_broken = true;
		hc->code = H2_REFUSED_STREAM;
		upstream_h2_retire(h2, UPSTREAM_ENDED_GOAWAY);
		upstream_h2_note(hc);
		io_yield(&call->upstream->io);
		return -1;
	}
	h2->has_sent = true;
	if (piece->n > 0) {
		if (!call_h2_add(hc, &hc->out, piece->data, piece->n))
			call->is_blocked = true;
		hc->is_out_ended = piece->is_last;
	} else if (!has_body && !hc->is_websocket) {
		hc->is_out_ended = true;
	}
	upstream_h2_want_write(h2);
	return 0;
}

/* More is in out, or its end is known. */
static void
added(struct h2_call *hc, bool is_below_bound)
{
	h2_client_resume(hc->h2->session, hc->id);
	upstream_h2_want_write(hc->h2);
	if (!is_below_bound)
		call_h2_forget_sent(hc);
	hc->call.is_blocked = call_h2_unsent_n(hc) >= OUT_MOST ||
			      (call_h2_unsent_n(hc) > 0 && !is_below_bound);
}

static void
write_piece(struct call *call, const struct piece *piece)
{
	struct h2_call *hc = h2_call_of(call);
	bool is_below_bound;

	if (call->is_broken || is_over(hc))
		return;
	is_below_bound = call_h2_add(hc, &hc->out, piece->data, piece->n);
	hc->is_out_ended = piece->is_last;
	if (piece->is_last && piece->trailers != NULL && *piece->trailers != '\0') {
		hc->out_trailers = xstrdup(piece->trailers);
		is_below_bound &= call_h2_count(hc, strlen(hc->out_trailers));
	}
	added(hc, is_below_bound);
}

bool
call_h2_is_drained(const struct h2_call *hc)
{
	return call_h2_unsent_n(hc) <= (hc->is_out_ended ? 0 : OUT_LOW);
}

static bool
flush(struct call *call)
{
	struct h2_call *hc = h2_call_of(call);

	if (!call_h2_is_drained(hc) && !is_over(hc))
		return false;
	call->is_blocked = false;
	return true;
}

/* --- the response --- */

/* The stream has ended before the response has. */
static struct relay_result
ended_early(struct h2_call *hc)
{
	struct xfer *x = hc->call.xfer;

	if (hc->is_malformed)
		return bad_response(NULL);
	if (hc->call.is_head_read)
		return result(RELAY_BROKEN);
	if (hc->code == H2_REFUSED_STREAM || !hc->is_head_sent)
		give_body_back(hc);
	if (hc->code == H2_REFUSED_STREAM)
		return result(hc->is_withdrawn ? RELAY_UNSENT : RELAY_REFUSED);
	if (!hc->is_head_sent && !x->has_given_body)
		xfer_unsent(x);
	return result(RELAY_NO_RESPONSE);
}

/* Pass on what has come of the body, behind its head (NULL: that was passed on already). */
static struct relay_result
pass_body(struct h2_call *hc, const struct response *head)
{
	struct call *call = &hc->call;
	struct xfer *x = call->xfer;
	size_t n = hc->in.n;
	const char *trailers = NULL;
	char *judged = NULL;
	int rc;

	if (head == NULL && n == 0 && !hc->is_in_ended)
		return hc->is_closed ? ended_early(hc) : result(RELAY_GOES_ON);
	if (hc->is_in_ended && hc->in_trailers != NULL) {
		judged = chunked_judge_trailers(hc->in_trailers, call->max_head, call->max_fields);
		if (judged == NULL)
			return bad_response("its trailers are malformed");
	}
	if (hc->is_in_ended)
		trailers = judged != NULL && x->takes_trailers ? judged : "";
	call->is_done = hc->is_in_ended;
	x->is_head_written = true;
	if (n > 0)
		x->progress_ns = x->w->now;
	rc = relay_pass(x, head, hc->in.data == NULL ? "" : hc->in.data + hc->in.at, n, trailers);
	free(judged);
	take(hc, &hc->in, n);
	if (n > 0 && !hc->is_closed) {
		h2_client_consumed(hc->h2->session, hc->id, n);
		upstream_h2_want_write(hc->h2);
	}
	if (rc < 0)
		return result(RELAY_CLIENT_GONE);
	if (call->is_done)
		return result(RELAY_DONE);
	/* The end has come with what was passed on: no event follows that could tell of it.  A
	 * client that takes no more for now gets it when it goes on. */
	if (hc->is_closed && !x->is_client_blocked)
		return ended_early(hc);
	return result(RELAY_GOES_ON);
}

/* A body without a length is one that the codec has to end: as a chunked one of HTTP/1. */
static struct relay_result
pass_final(struct h2_call *hc, struct response *r)
{
	struct call *call = &hc->call;
	struct upstream *u = call->upstream;
	struct relay_result passed;

	if (r->busy_s >= 0)
		atomic_store_explicit(&u->inst->busy_until, u->w->now + r->busy_s * CLK_S,
				      memory_order_relaxed);
	if (r->framing == FRAMING_CLOSE) {
		r->framing = FRAMING_CHUNKED;
		r->is_chunked = true;
	}
	r->is_h2 = true;
	call->framing = r->framing;
	call->is_head_read = true;
	relay_final(call, r);
	passed = pass_body(hc, r);
	drop_heads(hc);
	return passed;
}

/* RFC 8441 5: a 2xx opens the tunnel.  To the rest of the program it is the 101 that HTTP/1 has in
 * its place, with the answer to the key of the client. */
static void
accept_websocket(const struct h2_call *hc, struct response *r, char accept[WEBSOCKET_ACCEPT])
{
	static const char upgrade[] = "upgrade", websocket[] = "websocket",
			  name[] = "sec-websocket-accept", reason[] = "Switching Protocols";
	struct h1_head *h = &hc->call.upstream->w->head;

	r->status = 101;
	r->framing = FRAMING_NONE;
	r->length_field = NULL;
	r->is_chunked = false;
	r->has_upgrade = true;
	h->reason = reason;
	h->reason_n = sizeof reason - 1;
	h->fields[h->n++] = (struct h1_field){upgrade, websocket, sizeof upgrade - 1,
					      sizeof websocket - 1, FIELD_UPGRADE};
	if (hc->ws_key == NULL)
		return;
	websocket_make_accept(hc->ws_key, accept);
	h->fields[h->n++] = (struct h1_field){name, accept, sizeof name - 1, WEBSOCKET_ACCEPT,
					      FIELD_OTHER};
}

/* The head that comes next in heads.  False: it is malformed. */
static bool
read_head(struct h2_call *hc, struct response *r)
{
	struct call *call = &hc->call;
	struct h1_head *h = &call->upstream->w->head;
	const char *text = hc->heads.data + hc->heads_at;
	size_t n;

	if (h1_split_response(h, text, hc->heads.len - hc->heads_at, call->max_fields, &n) !=
		    H1_OK ||
	    response_read(r, h, call->is_head_method, false) < 0)
		return false;
	hc->heads_at += n;
	hc->heads_n--;
	if (n > call->max_head)
		hc->is_too_large = true;
	return true;
}

static struct relay_result
pass_heads(struct h2_call *hc)
{
	struct call *call = &hc->call;
	struct xfer *x = call->xfer;

	while (hc->heads_at < hc->heads.len && !x->is_client_blocked) {
		char accept[WEBSOCKET_ACCEPT];
		struct relay_result judged;
		struct response r;

		if (!read_head(hc, &r))
			return bad_response(NULL);
		if (hc->is_too_large)
			break;
		x->progress_ns = x->w->now;
		if (hc->is_websocket && r.status / 100 == 2 &&
		    call->upstream->w->head.n + 2 <= H1_FIELDS_MAX)
			accept_websocket(hc, &r, accept);
		if (call->is_upgrade && (judged = relay_judge(x, &r)).end != RELAY_GOES_ON)
			return judged;
		if (r.status == 101) {
			call->is_head_read = true;
			judged = relay_upgrade(call, &r, "", 0);
			drop_heads(hc);
			return judged;
		}
		if (r.status >= 200)
			return pass_final(hc, &r);
		if (relay_interim(x, &r) < 0)
			return result(RELAY_CLIENT_GONE);
		if (x->is_client_blocked)
			x->since_ns = x->w->now;
	}
	if (hc->is_too_large)
		return bad_response("its response head is larger than max_head");
	if (hc->heads_at == hc->heads.len)
		drop_heads(hc);
	return result(RELAY_GOES_ON);
}

static struct relay_result
read_response(struct call *call)
{
	struct h2_call *hc = h2_call_of(call);
	struct xfer *x = call->xfer;

	if (hc->is_refused_upgrade)
		return result(RELAY_NO_UPGRADE);
	if (x->is_client_blocked) /* no more may be kept for it */
		return hc->is_over ? result(RELAY_BROKEN) : result(RELAY_GOES_ON);
	hc->is_over = false;
	if (!call->is_head_read) {
		struct relay_result r = pass_heads(hc);

		if (r.end != RELAY_GOES_ON || call->is_head_read)
			return r;
		if (hc->heads.len == 0 && hc->is_closed)
			return ended_early(hc);
		return r;
	}
	return pass_body(hc, NULL);
}

static void
skip(struct call *call)
{
	(void)call;
}

/* --- tunnels --- */

static int
write_tunnel(struct call *call, const char *data, size_t n)
{
	struct h2_call *hc = h2_call_of(call);

	if (is_over(hc)) /* in order: the instance wants no more */
		return hc->is_in_ended ? 0 : -1;
	if (n == 0)
		hc->is_out_ended = true;
	added(hc, call_h2_add(hc, &hc->out, data, n));
	if (n == 0 && call_h2_unsent_n(hc) > 0)
		call->is_blocked = true;
	return 0;
}

static ssize_t
read_tunnel(struct call *call)
{
	struct h2_call *hc = h2_call_of(call);
	size_t n = MIN((size_t)hc->in.n, WORKER_BUFFER);

	if (n == 0 && hc->is_in_ended)
		return IO_EOF;
	if (n == 0)
		return hc->is_closed ? IO_ERROR : IO_NOTHING;
	hc->is_over = false;
	memcpy(call->upstream->w->read_buf, hc->in.data + hc->in.at, n);
	take(hc, &hc->in, n);
	if (!hc->is_closed) {
		h2_client_consumed(hc->h2->session, hc->id, n);
		upstream_h2_want_write(hc->h2);
	}
	return (ssize_t)n;
}

static bool
is_reset(const struct call *call)
{
	const struct h2_call *hc = container_of((void *)(uintptr_t)call, struct h2_call, call);

	return (hc->is_closed && !hc->is_in_ended) || hc->is_over;
}

static bool
is_closed(const struct call *call)
{
	return is_over(container_of((void *)(uintptr_t)call, struct h2_call, call));
}

static void
yield(struct call *call)
{
	upstream_h2_note(h2_call_of(call));
	io_yield(&call->upstream->io);
}

/* --- the end of the call --- */

/* A stream whose both sides are at their end, but for frames that are still to be written, is left
 * to close in order. */
static void
release(struct call *call, bool may_pool)
{
	struct h2_call *hc = h2_call_of(call);
	struct upstream *u = call->upstream;
	struct instance *inst = u->inst;

	call->xfer = NULL;
	hc->has_slot = false;
	if (!may_pool && u->h2->calls.n == 1)
		upstream_h2_retire(u->h2, UPSTREAM_ENDED_IDLE);
	if (!is_over(hc) && hc->is_in_ended && hc->is_out_ended) {
		call_h2_wait_until(hc, u->w->now + call->abort_ns);
	} else {
		if (!is_over(hc))
			reset(hc, false);
		call_h2_end(hc);
	}
	limiter_give_back(inst);
	if (io_is_open(&u->io))
		upstream_shed_waited(u);
}

/* Is it unknown whether the instance still reads?  Some servers end a connection that has many
 * PINGs, so that none is sent while bytes come, or while the answer to one is awaited. */
static bool
is_silent(const struct h2_call *hc)
{
	const struct upstream_h2 *h2 = hc->h2;

	return !h2->is_asked &&
	       (h2->read_ns <= hc->head_sent_ns || hc->w->now - h2->read_ns >= hc->call.abort_ns);
}

/* Without a limit the slot is given back now; a PING finds out whether the connection is dead. */
static void
reset_and_ask(struct h2_call *hc)
{
	struct upstream *u = hc->call.upstream;
	struct instance *inst = u->inst;

	hc->has_slot = false;
	hc->h2->is_asked = true;
	reset_and_wait(hc);
	limiter_give_back(inst);
	if (io_is_open(&u->io))
		upstream_shed_waited(u);
}

/* With a limit, the slot stays taken until the instance knows that the request is over. */
static void
close_call(struct call *call, bool abort)
{
	struct h2_call *hc = h2_call_of(call);

	(void)abort;
	call->xfer = NULL;
	if (!is_over(hc) && hc->is_head_sent) {
		if (instance_has_limit(call->upstream->inst)) {
			reset_and_wait(hc);
			return;
		}
		if (hc->has_slot && is_silent(hc)) {
			reset_and_ask(hc);
			return;
		}
	}
	if (!is_over(hc))
		reset(hc, false);
	call_h2_end(hc);
}

/* Nothing waits for the client any more: throw away what it did not get. */
static void
throw_away(struct h2_call *hc)
{
	if (hc->in.n > 0 && !hc->is_closed) {
		h2_client_consumed(hc->h2->session, hc->id, hc->in.n);
		upstream_h2_want_write(hc->h2);
	}
	take(hc, &hc->in, hc->in.n);
	call_h2_forget_sent(hc);
}

static bool
abandon(struct call *call, const struct limits *l, struct shard *shard, int64_t sent_ns)
{
	struct h2_call *hc = h2_call_of(call);
	struct upstream_h2 *h2 = hc->h2;
	const struct xfer *x = call->xfer;
	bool is_complete = x->state == XFER_EXCHANGE && x->is_sent_whole && !x->is_grpc;
	bool has_head = call->is_head_read || hc->heads.len > 0;
	int64_t now = call->upstream->w->now;
	size_t before = h2->calls.n;

	call->xfer = NULL;
	call->shard = shard;
	call->abort_ns = l->abort_timeout;
	if (is_over(hc)) {
		call_h2_end(hc);
		return false;
	}
	if (is_complete) {
		throw_away(hc);
		call_h2_wait_until(hc, has_head ? now + l->abort_timeout
						: sent_ns + l->response_timeout);
		return true;
	}
	reset_and_wait(hc);
	return h2->calls.n == before;
}

const struct call_codec call_h2_codec = {
	.send = send_request,
	.write = write_piece,
	.flush = flush,
	.read = read_response,
	.skip = skip,
	.write_tunnel = write_tunnel,
	.read_tunnel = read_tunnel,
	.is_reset = is_reset,
	.is_closed = is_closed,
	.yield = yield,
	.release = release,
	.close = close_call,
	.abandon = abandon,
};
