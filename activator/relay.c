#include "activator/relay.h"

#include "activator/codec.h"
#include "activator/conn.h"
#include "activator/http/grpc.h"
#include "activator/http/response.h"
#include "activator/notice.h"
#include "activator/upstream.h"

#define READS_A_TURN 4 /* so that the other connections of the worker have their turn */

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

/* --- request bodies --- */

void
relay_note_request(struct xfer *x, const struct piece *piece)
{
	if (x->framing == FRAMING_LENGTH)
		x->remaining -= piece->n;
	x->is_sent_whole = piece->is_last;
	x->has_given_body |= piece->n > 0 || piece->is_last;
	x->is_expecting = false;
	metric_add(&x->shard->bytes_in, piece->n);
	x->bytes_in += piece->n;
}

struct relay_result
relay_request(struct xfer *x)
{
	const struct codec *codec = x->conn->codec;
	struct call *call = x->call;
	int turn = 0;

	while (!x->is_sent_whole && !call_is_blocked(call) && !call->is_broken) {
		struct piece piece;
		enum next next;

		if (turn++ == READS_A_TURN) {
			codec->yield(x);
			break;
		}
		next = codec->next(x, call->upstream->read_size, &piece);
		if (next == NEXT_GONE)
			return result(RELAY_CLIENT_GONE);
		if (next == NEXT_NONE)
			break;
		x->since_ns = x->progress_ns = x->w->now;
		if (next == NEXT_MALFORMED)
			return (struct relay_result){.end = RELAY_BAD_REQUEST,
						     .why = "the chunked body is malformed"};
		relay_note_request(x, &piece);
		call->codec->write(call, &piece);
		codec->took(x, &piece);
	}
	codec->keep(x); /* the response is read into the same buffer next */
	return result(RELAY_GOES_ON);
}

/* --- responses --- */

/* It stands among the trailers, or, if the response is nothing else, in the head. */
static void
note_grpc_status(struct xfer *x, const struct response *head, const char *trailers)
{
	const char *value;
	size_t n;
	int status;

	if (head != NULL && (value = request_field(head->head, "grpc-status", &n)) != NULL)
		x->grpc_status = (int8_t)grpc_status_read(value, n);
	if (trailers != NULL && (status = grpc_status_of_fields(trailers)) >= 0)
		x->grpc_status = (int8_t)status;
}

int
relay_pass(struct xfer *x, const struct response *head, const char *data, size_t n,
	   const char *trailers)
{
	metric_add(&x->shard->bytes_out, n);
	x->bytes_out += n;
	if (head != NULL)
		x->status = head->status;
	if (x->is_grpc)
		note_grpc_status(x, head, trailers);
	if (x->conn->codec->pass(x, head, data, n, trailers) < 0)
		return -1;
	if (x->is_client_blocked)
		x->since_ns = x->w->now;
	return 0;
}

static void
note_served(struct upstream *u)
{
	if (!atomic_load_explicit(&u->inst->has_served, memory_order_relaxed))
		notice_served(u->w, u->inst);
}

struct relay_result
relay_judge(struct xfer *x, const struct response *r)
{
	switch (x->conn->codec->judge(x, r)) {
	case OUT_OK:
		return result(RELAY_GOES_ON);
	case OUT_METHOD:
		return result(RELAY_NO_UPGRADE);
	default:
		return bad_response("it does not accept the WebSocket's key");
	}
}

int
relay_interim(struct xfer *x, const struct response *r)
{
	xfer_interim_seen(x, r->status);
	return x->conn->codec->interim(x, r);
}

void
relay_final(struct call *call, const struct response *r)
{
	note_served(call->upstream);
	xfer_head_seen(call->xfer, r->status);
}

struct relay_result
relay_upgrade(struct call *call, const struct response *r, const char *early, size_t n)
{
	struct xfer *x = call->xfer;

	if (!x->is_sent_whole) /* body and tunnel could not be told apart */
		return bad_response("it switched protocols before it had read the request body");
	relay_final(call, r);
	metric_add(&x->shard->bytes_out, n);
	x->bytes_out += n;
	x->status = r->status;
	if (x->conn->codec->upgrade(x, r, early, n) < 0)
		return result(RELAY_CLIENT_GONE);
	x->is_head_written = true;
	return result(RELAY_UPGRADED);
}

struct relay_result
relay_response(struct xfer *x)
{
	return x->call->codec->read(x->call);
}

/* --- tunnels --- */

enum copy_result {
	COPY_OK,
	COPY_SOURCE_BROKEN, /* the side that is read */
	COPY_SINK_BROKEN,   /* the side that is written to */
};

/* What the client has sent, for as long as bytes come and the instance takes them.  (The client's
 * codec notices a reset while the instance takes none.) */
static enum copy_result
copy_to_instance(struct xfer *x)
{
	const struct codec *codec = x->conn->codec;
	struct call *call = x->call;
	int turn = 0;

	while (!x->is_eof_read && !call_is_blocked(call)) {
		struct piece piece;
		enum next next;

		if (turn++ == READS_A_TURN) {
			codec->yield(x);
			break;
		}
		next = codec->next(x, WORKER_BUFFER, &piece);
		if (next == NEXT_NONE)
			break;
		if (next != NEXT_PIECE)
			return COPY_SOURCE_BROKEN;
		x->is_eof_read = piece.is_last;
		if (piece.n > 0)
			x->since_ns = x->w->now;
		metric_add(&x->shard->bytes_in, piece.n);
		x->bytes_in += piece.n;
		if (piece.n > 0 && call->codec->write_tunnel(call, piece.data, piece.n) < 0)
			return COPY_SINK_BROKEN;
		codec->took(x, &piece);
		if (piece.is_last && call->codec->write_tunnel(call, NULL, 0) < 0)
			return COPY_SINK_BROKEN;
	}
	return COPY_OK;
}

static enum copy_result
copy_to_client(struct xfer *x)
{
	const struct codec *codec = x->conn->codec;
	struct call *call = x->call;
	int turn = 0;

	if (x->is_client_blocked && call->codec->is_reset(call))
		return COPY_SOURCE_BROKEN;
	while (!call->is_eof_read && !x->is_client_blocked) {
		ssize_t got;

		if (turn++ == READS_A_TURN) {
			call->codec->yield(call);
			break;
		}
		got = call->codec->read_tunnel(call);
		if (got == IO_NOTHING)
			break;
		if (got == IO_ERROR)
			return COPY_SOURCE_BROKEN;
		if (got == IO_EOF) {
			call->is_eof_read = true;
			return codec->tunnel(x, NULL, 0) < 0 ? COPY_SINK_BROKEN : COPY_OK;
		}
		x->since_ns = x->w->now;
		metric_add(&x->shard->bytes_out, (uint64_t)got);
		x->bytes_out += (uint64_t)got;
		if (codec->tunnel(x, x->w->read_buf, (size_t)got) < 0)
			return COPY_SINK_BROKEN;
	}
	return COPY_OK;
}

struct relay_result
relay_tunnel(struct xfer *x)
{
	struct call *call = x->call;
	enum copy_result to_instance, to_client;

	if (call->is_broken)
		return result(RELAY_BROKEN);
	to_instance = copy_to_instance(x);
	to_client = copy_to_client(x);
	if (to_client == COPY_SOURCE_BROKEN)
		return result(RELAY_BROKEN);
	/* Also where the instance takes no more: its end, or its error, is read then. */
	if (to_client == COPY_SINK_BROKEN || to_instance == COPY_SOURCE_BROKEN ||
	    to_instance == COPY_SINK_BROKEN)
		return result(RELAY_CLIENT_GONE);
	if (!call->is_eof_read || x->is_client_blocked)
		return result(RELAY_GOES_ON);
	if ((!x->is_eof_read || call_is_blocked(call)) && !call->codec->is_closed(call))
		return result(RELAY_GOES_ON);
	return result(RELAY_DONE);
}
