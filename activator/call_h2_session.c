/* What the session of a connection to an instance reports of the calls on it.  Nothing moves here:
 * each report is noted in its call, which is looked at when the session has returned
 * (upstream_h2.h). */
#include <stdlib.h>
#include <string.h>

#include "activator/call_h2.h"
#include "activator/worker_impl.h"
#include "activator/xfer.h"

/* A body may be so large to be sent again where the instance refuses the request. */
#define REPEAT_MOST ((size_t)16 << 10)
/* Response heads, nearly all interim, that a call keeps for a client that takes none. */
#define HEADS_MOST 64
#define HEADS_BYTES ((size_t)128 << 10)

static void
on_head(void *arg, void *stream, struct strbuf *text)
{
	struct h2_call *hc = stream;
	bool is_interim = text != NULL && text->data[9] == '1';
	size_t n = text == NULL ? 0 : text->len;

	(void)arg;
	if (hc->call.xfer == NULL) {
		if (!is_interim && !hc->is_reset) /* abort_timeout begins */
			call_h2_wait_until(hc, hc->call.upstream->w->now + hc->call.abort_ns);
		return;
	}
	if (text == NULL || hc->heads_n == HEADS_MOST || hc->heads.len + n > HEADS_BYTES) {
		hc->is_too_large = true;
	} else {
		if (!is_interim)
			call_h2_forget_sent(hc);
		if (hc->heads.len == 0)
			strbuf_move(&hc->heads, text);
		else
			strbuf_add(&hc->heads, text->data, n);
		hc->heads_n++;
		if (!call_h2_count(hc, n))
			hc->is_over = true;
	}
	upstream_h2_note(hc);
}

static void
on_data(void *arg, void *stream, const char *data, size_t n)
{
	struct upstream_h2 *h2 = arg;
	struct h2_call *hc = stream;

	if (hc->call.xfer == NULL) {
		h2_client_consumed(h2->session, hc->id, n);
		return;
	}
	if (!call_h2_add(hc, &hc->in, data, n))
		hc->is_over = true;
	upstream_h2_note(hc);
}

static void
on_end(void *arg, void *stream, char *trailers)
{
	struct h2_call *hc = stream;

	(void)arg;
	hc->is_in_ended = true;
	if (hc->call.xfer == NULL) {
		free(trailers);
	} else if (trailers != NULL) {
		hc->in_trailers = trailers;
		if (!call_h2_count(hc, strlen(trailers)))
			hc->is_over = true;
	}
	upstream_h2_note(hc);
}

static void
on_closed(void *arg, void *stream, uint32_t code)
{
	struct h2_call *hc = stream;

	(void)arg;
	hc->is_closed = true;
	hc->code = code;
	if (hc->is_websocket) /* a tunnel, or about to be one */
		hc->call.is_broken = !hc->is_in_ended;
	else
		hc->call.is_broken = !hc->is_out_ended || call_h2_unsent_n(hc) > 0;
	upstream_h2_note(hc);
}

static size_t
on_read(void *arg, void *stream, char *buf, size_t n, enum h2_left *left)
{
	struct upstream_h2 *h2 = arg;
	struct h2_call *hc = stream;
	size_t got = MIN(call_h2_unsent_n(hc), n);

	if (got > 0) {
		memcpy(buf, hc->out.data + hc->out.at + hc->sent_n, got);
		hc->sent_n += (uint32_t)got;
		if (!hc->call.keeps_body || hc->sent_n > REPEAT_MOST)
			call_h2_forget_sent(hc);
	}
	if (hc->call.is_blocked && call_h2_is_drained(hc))
		upstream_h2_note(hc);
	if (call_h2_unsent_n(hc) > 0 || !hc->is_out_ended)
		return got;
	*left = hc->out_trailers == NULL ? H2_END : H2_END_TRAILERS;
	if (hc->out_trailers != NULL)
		h2_client_trailers(h2->session, hc->id, hc->out_trailers, strlen(hc->out_trailers));
	return got;
}

static void
on_head_sent(void *arg, void *stream)
{
	struct h2_call *hc = stream;

	(void)arg;
	hc->is_head_sent = true;
	hc->head_sent_ns = hc->w->now;
}

/* A reset that is not ours is that of the session: the instance has broken the rules. */
static void
on_reset_sent(void *arg, void *stream)
{
	struct upstream_h2 *h2 = arg;
	struct h2_call *hc = stream;

	if (!hc->is_reset)
		hc->is_malformed = true;
	if (!hc->wants_ping)
		return;
	hc->ping = ++h2->pings;
	h2_client_ping(h2->session, hc->ping);
}

/* The head of the call was not sent: take the request from the session, for another connection. */
static void
withdraw(struct h2_call *hc, bool is_refused)
{
	hc->is_closed = true;
	hc->is_withdrawn = !is_refused;
	hc->code = H2_REFUSED_STREAM;
	hc->h2->cancelled_n++;
	h2_client_forget(hc->h2->session, hc->id);
	h2_client_reset(hc->h2->session, hc->id, H2_CANCEL);
}

/* Its body has not begun, or can be given back. */
static bool
can_go_elsewhere(const struct h2_call *hc)
{
	const struct xfer *x = hc->call.xfer;

	return x != NULL && (!x->has_given_body || (x->is_sent_whole && hc->call.keeps_body));
}

/* The instance allows so many streams.  Requests of which no byte was sent yet, and that are beyond
 * that, would wait in the session for the end of others. */
static void
withdraw_surplus(struct upstream_h2 *h2, uint32_t most)
{
	struct list_node *node, *tmp;
	uint32_t n = 0;

	LIST_FOREACH(&h2->calls, node, tmp) {
		const struct h2_call *hc = container_of(node, struct h2_call, node);

		n += hc->id > 0 && !hc->is_closed && !h2_client_is_queued(h2->session, hc->id);
	}
	LIST_FOREACH(&h2->calls, node, tmp) {
		struct h2_call *hc = container_of(node, struct h2_call, node);

		if (hc->id > 0 && !hc->is_closed && h2_client_is_queued(h2->session, hc->id) &&
		    n++ >= most && can_go_elsewhere(hc))
			withdraw(hc, most == 0);
	}
}

static void
on_settings(void *arg)
{
	struct upstream_h2 *h2 = arg;
	struct instance_pool *pool = &h2->u->inst->pools[h2->u->w->index];
	struct list_node *node, *tmp;

	h2->has_settings = true;
	pool->knows_streams = true;
	pool->streams_most = h2_client_streams_most(h2->session);
	if (h2->calls.n > pool->streams_most)
		withdraw_surplus(h2, pool->streams_most);
	LIST_FOREACH(&h2->calls, node, tmp)
		upstream_h2_note(
			container_of(node, struct h2_call, node)); /* it may wait for them */
}

static void
on_goaway(void *arg)
{
	upstream_h2_retire(arg, UPSTREAM_ENDED_GOAWAY);
}

static void
on_pong(void *arg, uint64_t token)
{
	struct upstream_h2 *h2 = arg;
	struct list_node *node, *tmp;

	if (token <= h2->acked || token > h2->pings) /* not asked for */
		return;
	h2->acked = token;
	LIST_FOREACH(&h2->calls, node, tmp) {
		struct h2_call *hc = container_of(node, struct h2_call, node);

		if (hc->ping == 0 || hc->ping > token)
			continue;
		hc->is_acked = true;
		upstream_h2_note(hc);
	}
}

const struct h2_client_ops call_h2_session_ops = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_closed = on_closed,
	.read = on_read,
	.on_head_sent = on_head_sent,
	.on_reset_sent = on_reset_sent,
	.on_settings = on_settings,
	.on_goaway = on_goaway,
	.on_pong = on_pong,
};
