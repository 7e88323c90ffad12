#include "activator/codec.h"

#include <string.h>

#include "activator/cold.h"
#include "activator/conn.h"
#include "activator/http/framed.h"
#include "activator/http/response.h"
#include "common/strbuf.h"

#define COPY_MOST 2048 /* bytes of a body copied behind the head: one write */

/* --- heads --- */

/* The head that the client gets, into w->write_buf.  Returns its size. */
static size_t
make_head(struct xfer *x, const struct response *r)
{
	struct worker *w = x->w;
	char timing[COLD_TIMING];
	struct response_hop hop = {
		.is_http10 = x->is_http10,
		.is_persistent = conn_may_persist(x),
		.says_keep_alive = x->says_keep_alive,
		.takes_trailers = x->takes_trailers,
		.has_via = xfer_limits(x)->via,
		.date = date_text(&w->date, w->now),
		.server_timing = cold_timing(x, timing),
	};
	size_t room;

	if (r->status >= 200) {
		x->framing_out = response_framing(r, &hop);
		x->is_persistent = hop.is_persistent && x->framing_out != FRAMING_CLOSE;
	}
	room = response_size(r, &hop);
	return response_write(r, &hop, worker_write_buf(w, room + COPY_MOST), room);
}

/* To the client; what it does not take at once, the io keeps. */
static int
send_out(struct xfer *x, const struct iovec *iov, int n)
{
	struct io *io = &x->conn->io;

	if (io_write(io, iov, n) < 0)
		return -1;
	x->is_client_blocked = io_is_blocked(io);
	return 0;
}

static int
interim(struct xfer *x, const struct response *r)
{
	struct iovec iov;

	if (x->is_http10) /* does not know interim responses (RFC 9110 15.2) */
		return 0;
	iov.iov_len = make_head(x, r);
	iov.iov_base = x->w->write_buf;
	return send_out(x, &iov, 1);
}

/* --- an instance's response --- */

static int
pass(struct xfer *x, const struct response *head, const char *data, size_t n, const char *trailers)
{
	struct io *io = &x->conn->io;
	struct framed f;
	bool is_last = trailers != NULL;

	framed_init(&f);
	if (head != NULL) {
		size_t head_n = make_head(x, head);

		if (n <= COPY_MOST && x->framing_out != FRAMING_CHUNKED) {
			put(x->w->write_buf + head_n, data, n);
			head_n += n;
			n = 0;
		}
		framed_add(&f, x->w->write_buf, head_n);
	}
	if (x->framing_out == FRAMING_CHUNKED) {
		framed_chunk(&f, data, n);
		if (is_last)
			framed_last_chunk(&f, trailers);
	} else {
		framed_add(&f, data, n);
	}
	if (!is_last)
		return send_out(x, f.iov, f.n);
	if (io_write_deferred(io, f.iov, f.n, 0) < 0)
		return -1;
	x->is_client_blocked = io_is_blocked(io);
	return 0;
}

/* --- tunnels --- */

static int
upgrade(struct xfer *x, const struct response *r, const char *data, size_t n)
{
	struct framed f;
	size_t head_n = make_head(x, r);

	framed_init(&f);
	framed_add(&f, x->w->write_buf, head_n);
	framed_add(&f, data, n);
	return send_out(x, f.iov, f.n);
}

static int
tunnel(struct xfer *x, const char *data, size_t n)
{
	struct framed f;

	if (n == 0) {
		io_shutdown(&x->conn->io);
		return 0;
	}
	framed_init(&f);
	framed_add(&f, data, n);
	return send_out(x, f.iov, f.n);
}

/* --- our own responses --- */

static const char *
status_text(uint32_t status)
{
	static const struct {
		uint32_t status;
		const char *text;
	} texts[] = {
		{200, "OK"},
		{204, "No Content"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{408, "Request Timeout"},
		{410, "Gone"},
		{414, "URI Too Long"},
		{417, "Expectation Failed"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "";
}

static int
answer(struct xfer *x, const struct answer *a)
{
	struct strbuf b;
	struct iovec iov;
	int rc;

	strbuf_init(&b, 0);
	strbuf_addf(&b, "HTTP/1.1 %u %s\r\n%s", a->status, status_text(a->status), a->fields);
	if (a->body != NULL)
		strbuf_addf(&b, "Content-Length: %zu\r\n", a->body_n);
	strbuf_addf(&b, "Date: %s\r\n", date_text(&x->w->date, x->w->now));
	if (!conn_may_persist(x))
		strbuf_adds(&b, "Connection: close\r\n");
	else if (x->says_keep_alive)
		strbuf_adds(&b, "Connection: keep-alive\r\n");
	strbuf_adds(&b, "\r\n");
	if (a->body != NULL && !x->is_head_method)
		strbuf_add(&b, a->body, a->body_n);
	iov = (struct iovec){.iov_base = b.data, .iov_len = b.len};
	rc = send_out(x, &iov, 1);
	strbuf_fini(&b);
	return rc;
}

const struct codec codec_h1 = {
	.interim = interim,
	.upgrade = upgrade,
	.tunnel = tunnel,
	.pass = pass,
	.answer = answer,
};
