/* libFuzzer: an instance that sends any frames of HTTP/2, with requests of clients on their way to
 * it: the sessions, calls and connections to instances (upstream_h2.c, call_h2.c, h2_client.c) in a
 * whole worker, on real sockets, with a clock that the input sets.
 *
 * The input is a list of steps: a byte for the action, a byte for what of it, and for some actions
 * the bytes of a frame.  The clients speak HTTP/1.1, and break no rule.  At the end:
 *
 *   client    has got whole responses to its requests in their order, or a connection that was
 *             visibly cut, and has got an answer to each request once all instances are gone
 *   instance  has got requests that are what the client has sent, none with an end that its client
 *             did not send, and no POST twice unless it said that it had not processed it
 *   worker    holds no connection, slot, stream byte or parked request
 *
 * At any time the worker has turns and sends frames only because of what peers do. */
#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "common/clk.h"
#include "test/fuzz/h2_instance.h"
#include "test/fuzz/path_seen.h"
#include "test/fuzz/path_world.h"

#define ACTIONS 16
#define UPLOAD 100000
#define BREAKS_MOST 500 /* of connections, until each request has had its tries */

/* Bytes that the worker sends to instances, beside bodies: for a connection, for a request, and
 * for each byte that they send. */
#define SENT_CONNECTION (4096 + 16384) /* a frame that is not whole yet, too */
#define SENT_REQUEST 4096
#define SENT_BYTE 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_raw; /* a frame of the input's was sent, which may imitate a mark */
static struct h2_instance ends[PEERS];
static size_t ends_n;
static enum { NO_BODY, LENGTH, CHUNKED } bodies[CLIENTS]; /* that a client goes on with */
static size_t lacking[CLIENTS];				  /* LENGTH: bytes still to be sent */

/* --- clients --- */

static const struct request_text {
	const char *before, *after; /* the mark */
	size_t given, length;	    /* of a body with a length */
	bool is_chunked, is_post;
} requests[] = {
	{"GET /", " HTTP/1.1\r\nHost: any\r\n\r\n", 0, 0, false, false},
	{"GET /", " HTTP/1.1\r\nHost: one\r\n\r\n", 0, 0, false, false},
	{"POST /", " HTTP/1.1\r\nHost: any\r\nContent-Length: 5\r\n\r\n", 5, 5, false, true},
	{"POST /", " HTTP/1.1\r\nHost: one\r\nContent-Length: 5\r\n\r\n", 3, 5, false, true},
	{"POST /", " HTTP/1.1\r\nHost: any\r\nTransfer-Encoding: chunked\r\nTrailer: x-a\r\n\r\n",
	 0, 0, true, true},
	{"HEAD /", " HTTP/1.1\r\nHost: any\r\n\r\n", 0, 0, false, false},
	{"GET /",
	 " HTTP/1.1\r\nHost: any\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	 0, 0, false, false},
	{"GET /",
	 " HTTP/1.1\r\nHost: one\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	 0, 0, false, false},
	{"PUT /", " HTTP/1.1\r\nHost: one\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", 0,
	 5, false, false},
	{"GET /", " HTTP/1.1\r\nHost: any\r\nTE: trailers\r\nConnection: TE\r\n\r\n", 0, 0, false,
	 false},
	{"POST /",
	 " HTTP/1.1\r\nHost: any\r\nTE: trailers\r\nConnection: TE\r\n"
	 "Content-Type: application/grpc\r\ngrpc-timeout: 5S\r\n"
	 "Transfer-Encoding: chunked\r\n\r\n",
	 0, 0, true, true},
	{"POST /", " HTTP/1.1\r\nHost: any\r\nContent-Length: 100000\r\n\r\n", UPLOAD / 2, UPLOAD,
	 false, true},
	{"POST /", " HTTP/1.1\r\nHost: one\r\nContent-Length: 100000\r\n\r\n", UPLOAD, UPLOAD,
	 false, true},
	{"OPTIONS /", " HTTP/1.1\r\nHost: any\r\nContent-Length: 0\r\n\r\n", 0, 0, false, false},
};

static struct asked_h1 *
last_asked(const struct peer *c)
{
	return &asked[c - clients][c->asked_n - 1];
}

/* A part of a body, of which `lacking` bytes are to come. */
static void
send_body(struct peer *c, size_t n)
{
	static char bytes[UPLOAD];
	size_t i = (size_t)(c - clients);

	memset(bytes, 'x', sizeof bytes);
	peer_send(c, bytes, n);
	lacking[i] -= n;
	last_asked(c)->body_n += n;
	if (lacking[i] > 0)
		return;
	bodies[i] = NO_BODY;
	last_asked(c)->is_whole = true;
}

/* How it goes on: with a chunk, or its end. */
static void
go_on(struct peer *c, unsigned how)
{
	size_t i = (size_t)(c - clients);

	if (bodies[i] == LENGTH) {
		send_body(c, how % 2 == 0 ? lacking[i] : 1);
	} else if (how % 4 != 0) {
		peer_send(c, "3\r\nabc\r\n", 8);
		last_asked(c)->body_n += 3;
	} else {
		peer_send(c, how % 8 == 0 ? "0\r\n\r\n" : "0\r\nX-A: 1\r\n\r\n",
			  how % 8 == 0 ? 5 : 13);
		bodies[i] = NO_BODY;
		last_asked(c)->is_whole = true;
	}
}

static void
ask(struct peer *c, unsigned how)
{
	const struct request_text *r = &requests[how % ARRAY_LEN(requests)];
	size_t i = (size_t)(c - clients);
	const char mark[MARK] = {(char)('0' + i), h2_marks[c->asked_n]};

	if (c->fd < 0 || c->has_left || c->asked_n == ASKS)
		return;
	if (bodies[i] != NO_BODY) {
		go_on(c, how);
		return;
	}
	peer_send(c, r->before, strlen(r->before));
	peer_send(c, mark, MARK);
	peer_send(c, r->after, strlen(r->after));
	asked[i][c->asked_n++] = (struct asked_h1){.is_post = r->is_post};
	bodies[i] = r->is_chunked ? CHUNKED : LENGTH;
	lacking[i] = r->length;
	if (!r->is_chunked)
		send_body(c, r->given);
}

/* --- the instance --- */

static const struct response_text {
	const char *fields;
	bool has_mark, is_end;
} responses[] = {
	{":status: 200\ncontent-length: 5\n", true, false},
	{":status: 200\n", true, false},
	{":status: 204\n", true, true},
	{":status: 304\ncontent-length: 5\n", true, true},
	{":status: 103\nlink: a\n", false, false},
	{":status: 100\n", false, false},
	{":status: 500\ncontent-length: 0\n", true, true},
	{"x-a: 1\n", false, true}, /* trailers */
	{":status: 200\ncontent-type: application/grpc\ngrpc-status: 0\n", true, true},
	{":status: 200\ntrailer: x-a\ncontent-type: application/grpc\n", true, false},
	{":status: 200\nX-Upper: 1\n", true, false},
	{":status: 200\nconnection: close\n", true, true},
	{":status: 101\n", true, false},
	{":status: 200\nx-a: a\x01z\n", true, false},
	{":status: 200\ncontent-length: 5\n", true, true},
	{":status: 503\nretry-after: 1\ncontent-length: 0\n", true, true},
};

/* A stream of the instance: the one `back` before its last one; NULL: it has none. */
static const struct h2_got *
pick(const struct h2_instance *in, unsigned back)
{
	return in->n == 0 ? NULL : &in->streams[in->n - 1 - back % in->n];
}

static int32_t
pick_id(const struct h2_instance *in, unsigned back)
{
	const struct h2_got *got = pick(in, back);

	return got == NULL ? 1 : got->id;
}

static void
respond(struct h2_instance *in, unsigned how)
{
	const struct response_text *r = &responses[how % ARRAY_LEN(responses)];
	const struct h2_got *got = pick(in, how / ARRAY_LEN(responses));

	h2_instance_head(in, pick_id(in, how / ARRAY_LEN(responses)), r->fields,
			 r->has_mark && got != NULL ? got->mark : NULL, r->is_end);
}

/* RFC 9113 6.5: identifier and value. */
static const struct setting {
	uint16_t id;
	uint32_t value;
} settings[] = {
	{0, 0}, /* none: an empty frame */
	{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0},
	{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1},
	{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2},
	{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, UINT32_MAX},
	{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0},
	{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1},
	{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, INT32_MAX},
	{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UINT32_MAX},
	{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
	{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 0},
	{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0},
	{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 4096},
	{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 10},
	{NGHTTP2_SETTINGS_ENABLE_PUSH, 1},
	{0xffff, 7},
};

static void
set(struct h2_instance *in, unsigned how)
{
	const struct setting *s = &settings[how % ARRAY_LEN(settings)];
	uint16_t id = htons(s->id);
	uint32_t value = htonl(s->value);
	uint8_t payload[6];

	memcpy(payload, &id, sizeof id);
	memcpy(payload + 2, &value, sizeof value);
	h2_instance_frame(in, NGHTTP2_SETTINGS, 0, 0, payload, s->id == 0 ? 0 : sizeof payload);
	if (how / ARRAY_LEN(settings) % 2 == 1)
		h2_instance_frame(in, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
}

static void
send_data(struct h2_instance *in, unsigned how)
{
	static const char bytes[16384];
	static const size_t sizes[] = {0, 5, 3, 2, 1000, sizeof bytes, 1, 5};

	h2_instance_frame(in, NGHTTP2_DATA, how / 8 % 2 == 1 ? NGHTTP2_FLAG_END_STREAM : 0,
			  pick_id(in, how / 16), bytes, sizes[how % 8]);
}

/* A frame whose payload is one word, and perhaps another. */
static void
send_words(struct h2_instance *in, uint8_t type, int32_t id, uint32_t first, uint32_t second,
	   size_t n)
{
	const uint32_t words[2] = {htonl(first), htonl(second)};

	h2_instance_frame(in, type, 0, id, words, n * sizeof words[0]);
}

static void
go_away(struct h2_instance *in, unsigned how)
{
	const int32_t last[] = {0, pick_id(in, 0), pick_id(in, 1), INT32_MAX};

	send_words(in, NGHTTP2_GOAWAY, 0, (uint32_t)last[how % 4],
		   how / 4 % 4 == 0 ? NGHTTP2_NO_ERROR : how / 4 % 14, 2);
}

static void
open_window(struct h2_instance *in, unsigned how)
{
	static const uint32_t sizes[] = {0, 1, 1000, 65535, UPLOAD, INT32_MAX};

	send_words(in, NGHTTP2_WINDOW_UPDATE, how / 8 % 2 == 0 ? 0 : pick_id(in, how / 16),
		   sizes[how % ARRAY_LEN(sizes)], 0, 1);
}

static void
pong(struct h2_instance *in, unsigned how)
{
	uint8_t other[8] = {0, 0, 0, 0, 0, 0, 0, (uint8_t)how};

	h2_instance_frame(in, NGHTTP2_PING, how % 4 == 3 ? 0 : NGHTTP2_FLAG_ACK, 0,
			  how % 4 < 2 ? in->ping : other, sizeof other);
}

/* --- steps --- */

/* Any type and flags, of one of its streams or another, with a payload from the input. */
static size_t
send_any(struct h2_instance *in, const uint8_t *data, size_t size)
{
	uint8_t type = size > 1 ? data[1] : 0, flags = size > 2 ? data[2] : 0;
	unsigned of = size > 3 ? data[3] : 0;
	size_t n = size > 4 ? MIN((size_t)data[4], size - 5) : 0;
	int32_t id = of % 4 == 0 ? 0 : of % 4 == 1 ? (int32_t)of : pick_id(in, of / 4);

	is_raw = true;
	h2_instance_frame(in, type, flags, id, data + MIN(size, 5), n);
	return 5 + n;
}

static size_t
send_raw(struct h2_instance *in, const uint8_t *data, size_t size)
{
	size_t n = size > 1 ? MIN((size_t)data[1], size - 2) : 0;

	is_raw = true;
	peer_send(in->peer, data + MIN(size, 2), n);
	return 2 + n;
}

static void
instance_does(struct h2_instance *in, unsigned what, unsigned how)
{
	switch (what) {
	case 5:
	case 6:
		respond(in, how);
		break;
	case 7:
		send_data(in, how);
		break;
	case 8:
		set(in, how);
		break;
	case 9:
		send_words(in, NGHTTP2_RST_STREAM, pick_id(in, how / 14), how % 14, 0, 1);
		break;
	case 10:
		go_away(in, how);
		break;
	case 11:
		open_window(in, how);
		break;
	case 12:
		pong(in, how);
		break;
	default:
		leave(in->peer, how);
		break;
	}
}

/* Do one step from data[0..size).  Returns how many bytes it used. */
static size_t
step(const uint8_t *data, size_t size)
{
	unsigned what = data[0] % ACTIONS, of = data[0] / ACTIONS % 8, how = size > 1 ? data[1] : 0;
	struct peer *c = &clients[of % CLIENTS];
	struct h2_instance *in = ends_n == 0 ? NULL : &ends[ends_n - 1 - of % MIN(ends_n, 4)];

	switch (what) {
	case 0:
	case 1:
		if (c->fd < 0 && !c->has_left)
			client_open(c);
		ask(c, how);
		break;
	case 2:
		if (how % 4 < 2 && c->fd >= 0)
			leave(c, how);
		else if (in != NULL && how % 4 > 1)
			in->peer->is_deaf = !in->peer->is_deaf;
		break;
	case 3:
		return in == NULL ? 2 : send_any(in, data, size);
	case 4:
		return in == NULL ? 2 : send_raw(in, data, size);
	case 14:
		pass_time(CLK_MS << how % 18);
		break;
	case 15:
		if (how % 2 == 0) {
			set_world(how / 2);
		} else {
			c->is_deaf = !c->is_deaf;
		}
		break;
	default:
		if (in != NULL)
			instance_does(in, what, how);
	}
	return 2;
}

/* --- a run --- */

static void
read_all(void)
{
	size_t i;

	settle();
	while (ends_n < peers_n) {
		h2_instance_init(&ends[ends_n], &peers[ends_n]);
		ends_n++;
	}
	for (i = 0; i < ends_n; i++)
		h2_instance_read(&ends[i]);
}

static void
check_sent(void)
{
	size_t may = 0, got = 0, i, k;

	for (i = 0; i < ends_n; i++) {
		may += SENT_CONNECTION + SENT_BYTE * ends[i].peer->sent.len +
		       SENT_REQUEST * ends[i].n;
		for (k = 0; k < ends[i].n; k++)
			may += 12 * ends[i].streams[k].body_n; /* frames of one byte */
		got += ends[i].peer->got.len;
	}
	CHECK(got <= may);
}

static void
break_connections(void)
{
	check_sent();
	while (ends_n > 0)
		h2_instance_fini(&ends[--ends_n]);
	close_peers();
}

/* End all connections to instances, until no request is tried again: then each has its answer. */
static void
finish(void)
{
	int breaks = 0;
	size_t i;

	for (i = 0; i < CLIENTS; i++)
		clients[i].is_deaf = false;
	for (i = 0; i < peers_n; i++)
		peers[i].is_deaf = false;
	restore_world();
	read_all();
	do {
		CHECK(breaks++ < BREAKS_MOST);
		break_connections();
		restore_world();
		pass_time(CLK_MS * 10); /* those that wait to be sent again */
		read_all();
	} while (peers_n > 0 || has_parked());
}

static void
check_client(const struct peer *c)
{
	struct seen seen;

	seen_by_client(&seen, &c->sent, &c->got, c->is_eof, is_raw);
	if (c->fd < 0 || c->is_eof || c->is_reset || seen.is_tunnel)
		return;
	CHECK(seen.answered_n >= seen.whole_n || is_arriving(c));
}

static void
check_seen(void)
{
	size_t i, k;

	for (i = 0; i < CLIENTS; i++) {
		check_client(&clients[i]);
		for (k = 0; k < clients[i].asked_n; k++)
			CHECK(!asked[i][k].is_post || asked[i][k].given <= 1);
	}
}

static void
forget(void)
{
	clean_up();
	check_work();
	forget_peers();
	memset(asked, 0, sizeof asked);
	memset(bodies, 0, sizeof bodies);
	memset(lacking, 0, sizeof lacking);
	is_raw = false;
}

/* Check that requests reach instances, without which the fuzzing would find nothing. */
static void
check_world(void)
{
	static const char wanted[] = "HTTP/1.1 200 OK\r\n";

	client_open(&clients[0]);
	ask(&clients[0], 0);
	read_all();
	CHECK(ends_n == 1 && ends[0].n == 1 && ends[0].streams[0].is_ended);
	set(&ends[0], 0);
	respond(&ends[0], 0);
	send_data(&ends[0], 9); /* all five bytes, and the end */
	read_all();
	CHECK(clients[0].got.len > strlen(wanted) &&
	      memcmp(clients[0].got.data, wanted, strlen(wanted)) == 0);
	finish();
	CHECK(asked[0][0].given == 1);
	forget();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t i;

	for (i = 0; i < CLIENTS; i++)
		clients[i] = (struct peer){.fd = -1};
	if (world.w == NULL) {
		make_world("log_level = \"error\"\n"
			   "activator { max_head = 2KiB max_fields = 20 protocol = h2c\n"
			   "            idle_timeout = 1h }\n",
			   1 << 20);
		check_world();
	}
	run_steps(data, size, &(struct run){100, 128, step, read_all});
	finish();
	check_seen();
	forget();
	return 0;
}
