#include "activator/http/h2.h"

#include <stdlib.h>
#include <string.h>

#include "activator/http/h2_block.h"
#include "activator/http/h2_memory.h"

/* A WINDOW_UPDATE that opens less is a glitch: clients in use wait for a good part of the window.
 */
#define WINDOW_LEAST 1024

/* Fields of responses that both ends of a connection remember (RFC 7541 2.3.2): none, as with nginx
 * and HAProxy.  Each would be an entry of 200 bytes here, in a table of a kibibyte, for as long as
 * the connection lasts; a response is larger by the fields that it repeats, and takes 6 % more
 * instructions, since they are compressed anew. */
#define SEND_TABLE 0

#define SHUTDOWN_PING "shutdown" /* eight bytes: RFC 9113 6.7 */

#define FRAME_HEAD 9 /* RFC 9113 4.1 */

/* Where the frames begin that the client sends: nghttp2 reports none that it ignores. */
struct frame_scan {
	size_t skip; /* bytes up to the next frame: of the preface, or of a payload */
	size_t head_n;
	unsigned char head[FRAME_HEAD];
	uint64_t n; /* frames that have begun */
};

struct h2 {
	nghttp2_session *session;
	const struct h2_ops *ops;
	void *arg;
	uint32_t header_list;
	uint32_t error;
	bool is_pinged;		 /* SHUTDOWN_PING was sent, and not answered */
	int32_t last_id;	 /* the last stream that is served, once a GOAWAY says so */
	uint32_t counted_resets; /* of requests: a glitch already, and not written yet */
	uint32_t peer_window;	 /* SETTINGS_INITIAL_WINDOW_SIZE of the client */
	bool is_peer_window_up;	 /* it has grown since all frames were written */
	struct h2_shared *shared;
	void *table;		/* h2_memory_end() */
	struct h2_block *block; /* that is being read: there is one at a time (RFC 9113 6.10); or
				   NULL */
	struct frame_scan scan;
	/* h2_write(): where it writes, how many bytes stand there, and how many may. */
	char *out;
	size_t out_n, out_room;
};

/* --- heads that come --- */

static void
end_block(struct h2 *h)
{
	h2_memory_put_block(h->shared, &h->block);
}

/* Sixteen random bytes (RFC 6455 4.1) in base64. */
static void
make_ws_key(struct h2 *h, char key[25])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char raw[18] = {0};
	uint64_t random[2];
	size_t i;

	random[0] = h->ops->random(h->arg);
	random[1] = h->ops->random(h->arg);
	memcpy(raw, random, sizeof random);
	for (i = 0; i < 6; i++) {
		const unsigned char *in = raw + 3 * i;
		char *out = key + 4 * i;

		out[0] = digits[in[0] >> 2];
		out[1] = digits[(in[0] & 3) << 4 | in[1] >> 4];
		out[2] = digits[(in[1] & 15) << 2 | in[2] >> 6];
		out[3] = digits[in[2] & 63];
	}
	key[22] = key[23] = '=';
	key[24] = '\0';
}

static void
request_came(struct h2 *h, int32_t id, bool is_end)
{
	struct h2_head head = {.is_end = is_end};
	void *stream;

	if (id > h->last_id) { /* its client will send it again: RFC 9113 6.8 */
		h2_reset(h, id, H2_REFUSED_STREAM);
		return;
	}
	if (h->block->is_contradicted) {
		h->ops->on_glitch(h->arg);
		h2_reset(h, id, H2_PROTOCOL_ERROR);
		return;
	}
	if (h->block->is_websocket)
		make_ws_key(h, head.ws_key);
	if (!h->block->is_too_large)
		h2_block_make_head(h->block, &head);
	stream = h->ops->on_head(h->arg, id, &head);
	if (stream != NULL)
		nghttp2_session_set_stream_user_data(h->session, id, stream);
}

/* --- what nghttp2 reports --- */

static void *
stream_of(struct h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->session, id);
}

static int
on_begin_headers(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct h2 *h = arg;

	(void)s;
	if (h->block == NULL)
		h->block = h2_memory_get_block(h->shared);
	h2_block_begin(h->block, f->headers.cat == NGHTTP2_HCAT_REQUEST);
	return 0;
}

static int
on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
	  const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
	struct h2 *h = arg;
	struct h2_block *b = h->block;

	(void)s;
	(void)f;
	(void)flags;
	if (b == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	b->size += name_n + n + H2_FIELD_OVERHEAD;
	if (b->size > h->header_list)
		b->is_too_large = true;
	/* A byte of a block may stand for a field of 4 KiB, which nghttp2 checks again. */
	if (b->size / 2 > h->header_list) {
		h->error = H2_ENHANCE_YOUR_CALM;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	if (b->is_too_large)
		return 0;
	if (!h2_is_safe((const char *)name, name_n, (const char *)value, n)) {
		end_block(h);
		h->ops->on_glitch(h->arg);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
	}
	h2_block_add(b, (const char *)name, name_n, (const char *)value, n);
	return 0;
}

/* nghttp2 would leave the field out; a request that is not what its client sent is none. */
static int
on_invalid_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
		  const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
	struct h2 *h = arg;

	(void)s;
	(void)f;
	(void)name;
	(void)name_n;
	(void)value;
	(void)n;
	(void)flags;
	end_block(h);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream: on_invalid_frame() */
}

static void
headers_came(struct h2 *h, const nghttp2_frame *f)
{
	bool is_end = (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	void *stream;

	if (h->block == NULL)
		return;
	if (f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		request_came(h, f->hd.stream_id, is_end);
		end_block(h);
		return;
	}
	stream = stream_of(h, f->hd.stream_id);
	if (h->block->is_too_large) {
		h2_reset(h, f->hd.stream_id, H2_ENHANCE_YOUR_CALM);
		h->ops->on_glitch(h->arg);
	} else if (stream != NULL && is_end) { /* nghttp2 has refused trailers that do not end it */
		h->ops->on_end(h->arg, stream, h2_block_take_trailers(h->block));
	}
	end_block(h);
}

static void
data_came(struct h2 *h, const nghttp2_frame *f)
{
	void *stream = stream_of(h, f->hd.stream_id);

	if (f->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		if (stream != NULL)
			h->ops->on_end(h->arg, stream, NULL);
	} else if (f->hd.length == 0 || f->hd.length == f->data.padlen) {
		h->ops->on_glitch(h->arg);
	}
}

static void
settings_came(struct h2 *h)
{
	uint32_t window = nghttp2_session_get_remote_settings(h->session,
							      NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);

	h->is_peer_window_up |= window > h->peer_window;
	h->peer_window = window;
	h->ops->on_glitch(h->arg);
}

/* An answer that we did not ask for is a glitch. */
static void
pong_came(struct h2 *h, const nghttp2_frame *f)
{
	if (!h->is_pinged ||
	    memcmp(f->ping.opaque_data, SHUTDOWN_PING, sizeof f->ping.opaque_data) != 0) {
		h->ops->on_glitch(h->arg);
		return;
	}
	h->is_pinged = false;
	h->ops->on_pong(h->arg);
}

static int
on_frame_recv(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct h2 *h = arg;

	(void)s;
	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		headers_came(h, f);
		break;
	case NGHTTP2_DATA:
		data_came(h, f);
		break;
	case NGHTTP2_PING:
		if (f->hd.flags & NGHTTP2_FLAG_ACK)
			pong_came(h, f);
		else
			h->ops->on_glitch(h->arg);
		break;
	case NGHTTP2_SETTINGS:
		if ((f->hd.flags & NGHTTP2_FLAG_ACK) == 0)
			settings_came(h);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		if (f->window_update.window_size_increment < WINDOW_LEAST)
			h->ops->on_glitch(h->arg);
		break;
	default:
		break;
	}
	return 0;
}

static int
on_data_chunk(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
	      void *arg)
{
	struct h2 *h = arg;
	void *stream = stream_of(h, id);

	(void)flags;
	/* The connection's window never closes: a stream that is not read blocks no other. */
	if (nghttp2_session_consume_connection(s, n) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (stream == NULL)
		h2_consumed(h, id, n);
	else
		h->ops->on_data(h->arg, stream, (const char *)data, n);
	return 0;
}

static int
on_stream_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
	struct h2 *h = arg;
	void *stream = stream_of(h, id);

	(void)s;
	if (stream != NULL)
		h->ops->on_closed(h->arg, stream, code);
	return 0;
}

/* The client makes us reset a stream (RFC 9113 5.4.2): counted now, since the reset is written only
 * when the client reads. */
static int
on_invalid_frame(nghttp2_session *s, const nghttp2_frame *f, int code, void *arg)
{
	struct h2 *h = arg;

	(void)s;
	(void)code;
	end_block(h);
	h->ops->on_glitch(h->arg);
	h->counted_resets += stream_of(h, f->hd.stream_id) != NULL;
	return 0;
}

/* nghttp2 resets a request without a call of on_invalid_frame() if its body is longer or shorter
 * than was said, or overruns its window.  We reset no request with these codes. */
static void
reset_sent(struct h2 *h, const nghttp2_frame *f)
{
	uint32_t code = f->rst_stream.error_code;

	if (stream_of(h, f->hd.stream_id) == NULL ||
	    (code != NGHTTP2_PROTOCOL_ERROR && code != NGHTTP2_FLOW_CONTROL_ERROR))
		return;
	if (h->counted_resets > 0) {
		h->counted_resets--;
		return;
	}
	h->ops->on_glitch(h->arg);
	/* RFC 9113 6.9.2: SETTINGS that make a window overflow break the connection.  nghttp2
	 * resets the streams. */
	if (code == NGHTTP2_FLOW_CONTROL_ERROR && h->is_peer_window_up)
		h2_terminate(h, H2_FLOW_CONTROL_ERROR);
}

static int
on_frame_send(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct h2 *h = arg;
	int32_t id = f->hd.stream_id;
	void *stream;

	switch (f->hd.type) {
	case NGHTTP2_GOAWAY:
		if (f->goaway.error_code != NGHTTP2_NO_ERROR)
			h->error = f->goaway.error_code;
		/* Not before: nghttp2 would write the PING first. */
		if (f->goaway.last_stream_id == INT32_MAX) {
			nghttp2_submit_ping(s, NGHTTP2_FLAG_NONE, (const uint8_t *)SHUTDOWN_PING);
			h->is_pinged = true;
		}
		return 0;
	case NGHTTP2_DATA:
		if (f->hd.length > 0)
			h->ops->on_progress(h->arg);
		break;
	case NGHTTP2_RST_STREAM:
		reset_sent(h, f);
		return 0;
	case NGHTTP2_HEADERS:
		stream = stream_of(h, id);
		if (stream != NULL)
			h->ops->on_head_sent(h->arg, stream);
		if ((f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
			h->ops->on_progress(h->arg);
		break;
	default:
		return 0;
	}
	/* The response is whole, and the client is still sending: RFC 9113 8.1. */
	if ((f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
	    nghttp2_session_get_stream_remote_close(s, id) == 0) {
		stream = stream_of(h, id);
		if (stream == NULL || !h->ops->may_send_on(h->arg, stream))
			h2_reset(h, id, H2_NO_ERROR);
	}
	return 0;
}

static ssize_t
on_read(nghttp2_session *s, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
	nghttp2_data_source *source, void *arg)
{
	struct h2 *h = arg;
	void *stream = stream_of(h, id);
	enum h2_left left = H2_MORE;
	size_t got;

	(void)s;
	(void)buf;
	(void)source;
	if (stream == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	got = h->ops->ready(h->arg, stream, n, &left);
	if (got > 0) /* on_send_data() follows: nghttp2 keeps no copy */
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (left == H2_END)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (left == H2_END_TRAILERS)
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	else if (got == 0)
		return NGHTTP2_ERR_DEFERRED;
	return (ssize_t)got;
}

/* A frame of a body.  There is room for it, since h2_write() and this function stop before there is
 * none. */
static int
on_send_data(nghttp2_session *s, nghttp2_frame *f, const uint8_t *head, size_t n,
	     nghttp2_data_source *source, void *arg)
{
	struct h2 *h = arg;
	void *stream = stream_of(h, f->hd.stream_id);
	char *to = h->out + h->out_n;

	(void)s;
	(void)source;
	if (stream == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	CHECK(FRAME_HEAD + n <= h->out_room - h->out_n && f->data.padlen == 0);
	memcpy(to, head, FRAME_HEAD);
	h->ops->read(h->arg, stream, to + FRAME_HEAD, n);
	h->out_n += FRAME_HEAD + n;
	return h->out_room - h->out_n < H2_WRITE_LEAST ? NGHTTP2_ERR_PAUSE : 0;
}

/* --- the connection --- */

static nghttp2_session_callbacks *callbacks; /* filled by h2_prepare() */
static nghttp2_option *options;

/* Runs before main(), so that no thread fills them; constant from then on. */
__attribute__((constructor)) static void
h2_prepare(void)
{
	if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&options) != 0)
		abort();
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
	nghttp2_option_set_no_auto_window_update(options, 1);
	nghttp2_option_set_no_closed_streams(options, 1);
	nghttp2_option_set_max_send_header_block_length(options, H2_SEND_HEADERS_MOST);
	nghttp2_option_set_max_deflate_dynamic_table_size(options, SEND_TABLE);
}

struct h2 *
h2_new(const struct h2_conf *conf, struct h2_shared *shared, const struct h2_ops *ops, void *arg)
{
	nghttp2_mem memory = h2_memory_begin(shared, SEND_TABLE > 0);
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, conf->streams},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, conf->window},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, conf->header_list},
		{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};
	struct h2 *h = xcalloc(1, sizeof *h);

	h->ops = ops;
	h->arg = arg;
	h->shared = shared;
	h->header_list = conf->header_list;
	h->peer_window = NGHTTP2_INITIAL_WINDOW_SIZE;
	h->last_id = INT32_MAX;
	h->scan.skip = strlen(H2_PREFACE);
	/* These fail only where memory ends, and that ends the program as elsewhere. */
	if (nghttp2_session_server_new3(&h->session, callbacks, h, options, &memory) != 0 ||
	    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) !=
		    0 ||
	    nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
						  (int32_t)conf->conn_window) != 0)
		abort();
	h->table = h2_memory_end(shared);
	return h;
}

void
h2_free(struct h2 **hp)
{
	struct h2 *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	nghttp2_session_del(h->session);
	end_block(h);
	free(h);
}

/* A frame begins.  PRIORITY, and types that we do not know, do nothing here. */
static void
frame_begins(struct h2 *h, const unsigned char head[FRAME_HEAD])
{
	uint32_t id = (uint32_t)(head[5] & 127) << 24 | (uint32_t)head[6] << 16 |
		      (uint32_t)head[7] << 8 | head[8];

	h->scan.n++;
	if (head[3] == NGHTTP2_PRIORITY || head[3] > NGHTTP2_CONTINUATION)
		h->ops->on_glitch(h->arg);
	if (head[3] == NGHTTP2_PRIORITY && id == 0) /* RFC 9113 6.3 */
		h2_terminate(h, H2_PROTOCOL_ERROR);
}

static void
scan_frames(struct h2 *h, const char *data, size_t n)
{
	struct frame_scan *f = &h->scan;

	while (n > 0) {
		size_t step = f->skip > 0 ? MIN(f->skip, n) : MIN(FRAME_HEAD - f->head_n, n);

		if (f->skip > 0) {
			f->skip -= step;
		} else {
			memcpy(f->head + f->head_n, data, step);
			f->head_n += step;
		}
		data += step;
		n -= step;
		if (f->head_n < FRAME_HEAD)
			continue;
		f->head_n = 0;
		f->skip = (size_t)f->head[0] << 16 | (size_t)f->head[1] << 8 | f->head[2];
		frame_begins(h, f->head);
	}
}

int
h2_feed(struct h2 *h, const char *data, size_t n)
{
	ssize_t used;

	scan_frames(h, data, n);
	used = nghttp2_session_mem_recv(h->session, (const uint8_t *)data, n);
	if (used >= 0)
		return 0;
	if (used == NGHTTP2_ERR_FLOODED || used == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
		h->error = H2_ENHANCE_YOUR_CALM;
	else if (h->error == H2_NO_ERROR)
		h->error = H2_PROTOCOL_ERROR;
	if (used != NGHTTP2_ERR_BAD_CLIENT_MAGIC) /* RFC 9113 5.4.1 */
		h2_terminate(h, h->error);
	return -1;
}

uint64_t
h2_frames(const struct h2 *h)
{
	return h->scan.n;
}

ssize_t
h2_write(struct h2 *h, char *buf, size_t room)
{
	CHECK(room >= H2_WRITE_LEAST);
	h->out = buf;
	h->out_n = 0;
	h->out_room = room;
	while (room - h->out_n >= H2_WRITE_LEAST) {
		const uint8_t *frame;
		ssize_t got = nghttp2_session_mem_send(h->session, &frame);

		if (got < 0)
			return -1;
		if (got == 0) {
			if (room - h->out_n >= H2_WRITE_LEAST) /* else frames may be left */
				h->is_peer_window_up = false;
			break;
		}
		CHECK((size_t)got <= room - h->out_n);
		memcpy(buf + h->out_n, frame, (size_t)got);
		h->out_n += (size_t)got;
	}
	return (ssize_t)h->out_n;
}

bool
h2_is_over(struct h2 *h)
{
	return nghttp2_session_want_read(h->session) == 0 &&
	       nghttp2_session_want_write(h->session) == 0;
}

void
h2_trim(struct h2 *h)
{
	h2_memory_trim(h->table);
}

bool
h2_is_in_head(const struct h2 *h)
{
	return h->block != NULL;
}

uint32_t
h2_error(const struct h2 *h)
{
	return h->error;
}

/* --- responses --- */

/* The fields of a head, behind :status, whose digits are the caller's. */
static void
head_fields(struct h2_fields *f, unsigned status, char digits[3], const char *text, size_t n)
{
	digits[0] = (char)('0' + status / 100 % 10);
	digits[1] = (char)('0' + status / 10 % 10);
	digits[2] = (char)('0' + status % 10);
	h2_fields_init(f);
	h2_fields_add(f, ":status", 7, digits, 3);
	h2_fields_add_text(f, text, n);
}

int
h2_interim(struct h2 *h, int32_t id, unsigned status, const char *fields, size_t n)
{
	struct h2_fields f;
	char digits[3];
	int rc;

	head_fields(&f, status, digits, fields, n);
	rc = nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, id, NULL, f.v, f.n, NULL);
	h2_fields_fini(&f);
	return rc == 0 ? 0 : -1;
}

int
h2_respond(struct h2 *h, int32_t id, unsigned status, const char *fields, size_t n, bool has_body)
{
	const nghttp2_data_provider body = {.read_callback = on_read};
	struct h2_fields f;
	char digits[3];
	int rc;

	head_fields(&f, status, digits, fields, n);
	rc = nghttp2_submit_response(h->session, id, f.v, f.n, has_body ? &body : NULL);
	h2_fields_fini(&f);
	return rc == 0 ? 0 : -1;
}

void
h2_trailers(struct h2 *h, int32_t id, const char *fields, size_t n)
{
	struct h2_fields f;

	h2_fields_init(&f);
	h2_fields_add_text(&f, fields, n);
	nghttp2_submit_trailer(h->session, id, f.v, f.n);
	h2_fields_fini(&f);
}

void
h2_resume(struct h2 *h, int32_t id)
{
	nghttp2_session_resume_data(h->session, id);
}

bool
h2_has_ended(const struct h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_local_close(h->session, id) == 1;
}

void
h2_reset(struct h2 *h, int32_t id, enum h2_code code)
{
	nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, (uint32_t)code);
}

void
h2_consumed(struct h2 *h, int32_t id, size_t n)
{
	nghttp2_session_consume_stream(h->session, id, n);
}

void
h2_set_window(struct h2 *h, int32_t id, uint32_t window)
{
	nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, id, (int32_t)window);
}

void
h2_begin_goaway(struct h2 *h)
{
	nghttp2_submit_shutdown_notice(h->session);
}

void
h2_goaway(struct h2 *h)
{
	h->last_id = nghttp2_session_get_last_proc_stream_id(h->session);
	nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, h->last_id, NGHTTP2_NO_ERROR, NULL, 0);
}

void
h2_terminate(struct h2 *h, enum h2_code code)
{
	h->last_id = nghttp2_session_get_last_proc_stream_id(h->session);
	nghttp2_session_terminate_session(h->session, (uint32_t)code);
}
