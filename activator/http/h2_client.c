#include "activator/http/h2_client.h"

#include <stdlib.h>
#include <string.h>

#include "activator/http/fields.h"
#include "activator/http/h2_memory.h"
#include "activator/http/put.h"
#include "activator/http/reason.h"

/* How many streams a server takes before it has said so: as nghttp2 and gRPC have it. */
#define STREAMS_UNKNOWN 100

struct h2_client {
	nghttp2_session *session;
	const struct h2_client_ops *ops;
	void *arg;
	uint32_t header_list;
	uint32_t error;
	bool has_settings;
	bool is_preface_sent;
	/* The header block that is being read: there is one at a time (RFC 9113 6.10). */
	struct strbuf block; /* a head of HTTP/1.1, or "name: value" CRLF … of trailers */
	size_t block_size;   /* as RFC 9113 6.5.2 counts it */
	unsigned status;
	bool is_too_large;
};

static void *
stream_of(struct h2_client *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->session, id);
}

/* --- heads that come --- */

static int
on_begin_headers(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct h2_client *h = arg;

	(void)s;
	(void)f;
	strbuf_clear(&h->block);
	h->block_size = 0;
	h->status = 0;
	h->is_too_large = false;
	return 0;
}

/* status: three digits, which nghttp2 has checked.  It is the first of the fields: no other
 * pseudo-field is known here. */
static void
begin_head(struct h2_client *h, const char *status)
{
	const char *reason;
	char *out;

	h->status = (unsigned)(status[0] - '0') * 100 + (unsigned)(status[1] - '0') * 10 +
		    (unsigned)(status[2] - '0');
	reason = reason_of(h->status);
	out = strbuf_reserve(&h->block, H2_HEAD_EXPECTED + strlen(reason));
	out = PUT_LITERAL(out, "HTTP/1.1 ");
	out = put(out, status, 3);
	*out++ = ' ';
	out = put(out, reason, strlen(reason));
	out = PUT_LITERAL(out, "\r\n");
	*out = '\0';
	h->block.len = (size_t)(out - h->block.data);
}

static int
on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name_bytes, size_t name_n,
	  const uint8_t *value_bytes, size_t n, uint8_t flags, void *arg)
{
	struct h2_client *h = arg;
	const char *name = (const char *)name_bytes, *value = (const char *)value_bytes;

	(void)s;
	(void)f;
	(void)flags;
	h->block_size += name_n + n + H2_FIELD_OVERHEAD;
	if (h->block_size > h->header_list)
		h->is_too_large = true;
	if (h->is_too_large)
		return 0;
	if (!h2_is_safe(name, name_n, value, n))
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
	if (name[0] != ':')
		h2_add_line(&h->block, name, name_n, value, n);
	else if (name_n == 7 && memcmp(name, ":status", 7) == 0)
		begin_head(h, value);
	return 0;
}

/* nghttp2 would leave the field out; a response that is not what its server sent is none. */
static int
on_invalid_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
		  const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
	(void)s;
	(void)f;
	(void)name;
	(void)name_n;
	(void)value;
	(void)n;
	(void)flags;
	(void)arg;
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
}

/* --- what nghttp2 reports --- */

/* We have said before the first request that we take no pushes (RFC 9113 6.6).  Until the server
 * has acknowledged that, nghttp2 would answer each with a reset, and keep these for a server that
 * does not read. */
static int
on_begin_frame(nghttp2_session *s, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2_client *h = arg;

	(void)s;
	if (hd->type != NGHTTP2_PUSH_PROMISE)
		return 0;
	h->error = H2_PROTOCOL_ERROR;
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void
head_came(struct h2_client *h, void *stream)
{
	if (h->is_too_large) {
		h->ops->on_head(h->arg, stream, NULL);
		return;
	}
	strbuf_adds(&h->block, "\r\n");
	h->ops->on_head(h->arg, stream, &h->block);
}

static void
headers_came(struct h2_client *h, const nghttp2_frame *f)
{
	bool is_end = (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	bool is_head = h->status != 0;
	void *stream = stream_of(h, f->hd.stream_id);

	if (stream != NULL && is_head)
		head_came(h, stream);
	if (stream != NULL && h->is_too_large && !is_head)
		h2_client_reset(h, f->hd.stream_id, H2_ENHANCE_YOUR_CALM);
	else if (stream != NULL && is_end) /* nghttp2 has refused trailers that do not end it */
		h->ops->on_end(h->arg, stream,
			       is_head || h->block.len == 0 ? NULL : strbuf_take(&h->block));
	strbuf_fini(&h->block); /* what a large head has allocated is not kept */
	strbuf_init(&h->block, 0);
}

static void
pong_came(struct h2_client *h, const nghttp2_frame *f)
{
	uint64_t token;

	memcpy(&token, f->ping.opaque_data, sizeof token);
	h->ops->on_pong(h->arg, token);
}

static int
on_frame_recv(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct h2_client *h = arg;
	void *stream;

	(void)s;
	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		headers_came(h, f);
		break;
	case NGHTTP2_DATA:
		stream = stream_of(h, f->hd.stream_id);
		if (stream != NULL && (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
			h->ops->on_end(h->arg, stream, NULL);
		break;
	case NGHTTP2_PING:
		if (f->hd.flags & NGHTTP2_FLAG_ACK)
			pong_came(h, f);
		break;
	case NGHTTP2_SETTINGS:
		if ((f->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
			h->has_settings = true;
			h->ops->on_settings(h->arg);
		}
		break;
	case NGHTTP2_GOAWAY:
		if (f->goaway.error_code != NGHTTP2_NO_ERROR && h->error == H2_NO_ERROR)
			h->error = f->goaway.error_code;
		h->ops->on_goaway(h->arg);
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
	struct h2_client *h = arg;
	void *stream = stream_of(h, id);

	(void)flags;
	/* The connection's window never closes: a stream that is not read blocks no other. */
	if (nghttp2_session_consume_connection(s, n) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (stream == NULL)
		h2_client_consumed(h, id, n);
	else
		h->ops->on_data(h->arg, stream, (const char *)data, n);
	return 0;
}

static int
on_stream_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
	struct h2_client *h = arg;
	void *stream = stream_of(h, id);

	(void)s;
	if (stream != NULL)
		h->ops->on_closed(h->arg, stream, code);
	return 0;
}

static int
on_frame_send(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct h2_client *h = arg;
	void *stream;

	(void)s;
	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		stream = stream_of(h, f->hd.stream_id);
		if (stream != NULL && f->headers.cat == NGHTTP2_HCAT_REQUEST)
			h->ops->on_head_sent(h->arg, stream);
		break;
	case NGHTTP2_RST_STREAM:
		stream = stream_of(h, f->hd.stream_id);
		if (stream != NULL)
			h->ops->on_reset_sent(h->arg, stream);
		break;
	case NGHTTP2_GOAWAY:
		if (f->goaway.error_code != NGHTTP2_NO_ERROR && h->error == H2_NO_ERROR)
			h->error = f->goaway.error_code;
		break;
	default:
		break;
	}
	return 0;
}

static ssize_t
on_read(nghttp2_session *s, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
	nghttp2_data_source *source, void *arg)
{
	struct h2_client *h = arg;
	void *stream = stream_of(h, id);
	enum h2_left left = H2_MORE;
	size_t got;

	(void)s;
	(void)source;
	if (stream == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	got = h->ops->read(h->arg, stream, (char *)buf, n, &left);
	if (left == H2_END)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (left == H2_END_TRAILERS)
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	else if (got == 0)
		return NGHTTP2_ERR_DEFERRED;
	return (ssize_t)got;
}

/* --- the connection --- */

static nghttp2_session_callbacks *callbacks; /* filled by h2_client_prepare() */
static nghttp2_option *options;

/* Runs before main(), so that no thread fills them; constant from then on. */
__attribute__((constructor)) static void
h2_client_prepare(void)
{
	if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&options) != 0)
		abort();
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_option_set_no_auto_window_update(options, 1);
	nghttp2_option_set_no_closed_streams(options, 1);
	nghttp2_option_set_peer_max_concurrent_streams(options, STREAMS_UNKNOWN);
	nghttp2_option_set_max_send_header_block_length(options, H2_SEND_HEADERS_MOST);
}

/* A new session has its preface in the buffer that it shares with others: take the preface out.
 * h2_client_write() sends another. */
static void
take_preface(struct h2_client *h)
{
	const uint8_t *preface;
	ssize_t n = nghttp2_session_mem_send(h->session, &preface);

	CHECK(n == (ssize_t)strlen(H2_PREFACE) && memcmp(preface, H2_PREFACE, (size_t)n) == 0);
}

struct h2_client *
h2_client_new(const struct h2_client_conf *conf, struct h2_shared *shared,
	      const struct h2_client_ops *ops, void *arg)
{
	nghttp2_mem memory = h2_memory_begin(shared, true);
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, conf->window},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, conf->header_list},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};
	struct h2_client *h = xcalloc(1, sizeof *h);

	h->ops = ops;
	h->arg = arg;
	h->header_list = conf->header_list;
	strbuf_init(&h->block, 0);
	/* These fail only where memory ends, and that ends the program as elsewhere. */
	if (nghttp2_session_client_new3(&h->session, callbacks, h, options, &memory) != 0)
		abort();
	(void)h2_memory_end(shared); /* connections to instances are few */
	take_preface(h);
	if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) !=
		    0 ||
	    nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
						  (int32_t)conf->conn_window) != 0)
		abort();
	return h;
}

void
h2_client_free(struct h2_client **hp)
{
	struct h2_client *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	nghttp2_session_del(h->session);
	strbuf_fini(&h->block);
	free(h);
}

int
h2_client_feed(struct h2_client *h, const char *data, size_t n)
{
	ssize_t used = nghttp2_session_mem_recv(h->session, (const uint8_t *)data, n);

	if (used < 0 && h->error == H2_NO_ERROR)
		h->error = used == NGHTTP2_ERR_FLOODED ? H2_ENHANCE_YOUR_CALM : H2_PROTOCOL_ERROR;
	return used < 0 ? -1 : 0;
}

ssize_t
h2_client_write(struct h2_client *h, char *buf, size_t room)
{
	size_t n = 0;

	CHECK(room >= H2_WRITE_LEAST);
	if (!h->is_preface_sent) {
		n = strlen(H2_PREFACE);
		memcpy(buf, H2_PREFACE, n);
		h->is_preface_sent = true;
	}
	while (room - n >= H2_WRITE_LEAST) {
		const uint8_t *frame;
		ssize_t got = nghttp2_session_mem_send(h->session, &frame);

		if (got < 0)
			return -1;
		if (got == 0)
			break;
		CHECK((size_t)got <= room - n);
		memcpy(buf + n, frame, (size_t)got);
		n += (size_t)got;
	}
	return (ssize_t)n;
}

bool
h2_client_is_over(struct h2_client *h)
{
	return nghttp2_session_want_read(h->session) == 0 &&
	       nghttp2_session_want_write(h->session) == 0;
}

uint32_t
h2_client_error(const struct h2_client *h)
{
	return h->error;
}

uint32_t
h2_client_streams_most(struct h2_client *h)
{
	return h->has_settings ? nghttp2_session_get_remote_settings(
					 h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
			       : STREAMS_UNKNOWN;
}

bool
h2_client_takes_connect(struct h2_client *h)
{
	return nghttp2_session_get_remote_settings(h->session,
						   NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

/* --- requests --- */

/* Pseudo-fields of a request, at most: they stand before the others (RFC 9113 8.3). */
#define PSEUDO_MOST 5

/* The fields that frame the body or are for the connection: RFC 9113 8.2.2.  Those of a WebSocket
 * that HTTP/2 does without: RFC 8441 5. */
static bool
is_left_out(const char *name, size_t n, bool is_websocket)
{
	switch (n) {
	case 4:
		return field_is(name, n, "host");
	case 7:
		return field_is(name, n, "upgrade");
	case 10:
		return field_is(name, n, "connection");
	case 17:
		return field_is(name, n, "transfer-encoding") ||
		       (is_websocket && field_is(name, n, "sec-websocket-key"));
	default:
		return false;
	}
}

/* Set the field at `at`, where there is room. */
static void
put_pseudo(struct h2_fields *f, size_t at, const char *name, const char *value, size_t n)
{
	f->n = at;
	h2_fields_add(f, name, strlen(name), value, n);
}

/* The lines of fields head[0..n) that HTTP/2 has; *host: where the value of Host is. */
static void
add_lines(struct h2_fields *f, const char *head, size_t n, bool is_websocket, const char **host,
	  size_t *host_n)
{
	const char *at = head, *end = head + n;

	while (at < end && *at != '\r') {
		const char *name, *value;
		size_t name_n, value_n;

		h2_next_line(&at, end, &name, &name_n, &value, &value_n);
		if (!is_left_out(name, name_n, is_websocket)) {
			h2_fields_add(f, name, name_n, value, value_n);
		} else if (name_n == 4) { /* "host" */
			*host = value;
			*host_n = value_n;
		}
	}
}

/* The fields of a request, whose head is head[0..n).  Returns where they begin in f. */
static size_t
request_fields(struct h2_fields *f, const char *head, size_t n, bool is_encrypted,
	       bool is_websocket)
{
	const char *blank = memchr(head, ' ', n), *eol = memchr(head, '\r', n), *host = "";
	size_t host_n = 0, all, at = PSEUDO_MOST;

	CHECK(blank != NULL && eol != NULL && eol - blank > 10); /* "GET /path HTTP/1.1" */
	h2_fields_init(f);
	f->n = PSEUDO_MOST; /* filled from the last to the first */
	add_lines(f, eol + 2, n - (size_t)(eol + 2 - head), is_websocket, &host, &host_n);
	all = f->n;
	if (host_n > 0)
		put_pseudo(f, --at, ":authority", host, host_n);
	put_pseudo(f, --at, ":path", blank + 1, (size_t)(eol - blank) - sizeof " HTTP/1.1");
	put_pseudo(f, --at, ":scheme", is_encrypted ? "https" : "http", is_encrypted ? 5 : 4);
	if (is_websocket)
		put_pseudo(f, --at, ":protocol", "websocket", 9);
	if (is_websocket)
		put_pseudo(f, --at, ":method", "CONNECT", 7);
	else
		put_pseudo(f, --at, ":method", head, (size_t)(blank - head));
	f->n = all;
	return at;
}

int32_t
h2_client_request(struct h2_client *h, const char *head, size_t n, bool is_encrypted,
		  bool is_websocket, bool has_body, void *stream)
{
	const nghttp2_data_provider body = {.read_callback = on_read};
	struct h2_fields f;
	size_t first = request_fields(&f, head, n, is_encrypted, is_websocket);
	int32_t id = nghttp2_submit_request(h->session, NULL, f.v + first, f.n - first,
					    has_body || is_websocket ? &body : NULL, stream);

	h2_fields_fini(&f);
	return id > 0 ? id : -1;
}

void
h2_client_trailers(struct h2_client *h, int32_t id, const char *fields, size_t n)
{
	struct h2_fields f;

	h2_fields_init(&f);
	h2_fields_add_text(&f, fields, n);
	nghttp2_submit_trailer(h->session, id, f.v, f.n);
	h2_fields_fini(&f);
}

void
h2_client_resume(struct h2_client *h, int32_t id)
{
	nghttp2_session_resume_data(h->session, id);
}

bool
h2_client_is_queued(const struct h2_client *h, int32_t id)
{
	/* The session opens the stream when it writes the first byte of the head. */
	return nghttp2_session_get_stream_local_close(h->session, id) == -1;
}

void
h2_client_reset(struct h2_client *h, int32_t id, enum h2_code code)
{
	nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, (uint32_t)code);
}

void
h2_client_forget(struct h2_client *h, int32_t id)
{
	nghttp2_session_set_stream_user_data(h->session, id, NULL);
}

void
h2_client_consumed(struct h2_client *h, int32_t id, size_t n)
{
	nghttp2_session_consume_stream(h->session, id, n);
}

void
h2_client_ping(struct h2_client *h, uint64_t token)
{
	uint8_t data[8];

	memcpy(data, &token, sizeof data);
	nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, data);
}

void
h2_client_goaway(struct h2_client *h, enum h2_code code)
{
	nghttp2_session_terminate_session(h->session, (uint32_t)code);
}
