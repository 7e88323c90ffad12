/* h2_client - HTTP/2 as a client speaks it (RFC 9113): frames, header compression, flow control
 * and the states of streams, by nghttp2; h2.h is the other end.
 *
 * The head of a request is given as the text of an HTTP/1.1 head; the head of a response becomes
 * such a text, so that h1_parse_response() and response.c judge it like any other.
 * Pure: bytes in, callbacks and bytes out.  Thread: a struct belongs to one thread. */
#ifndef ACTIVATOR_HTTP_H2_CLIENT_H
#define ACTIVATOR_HTTP_H2_CLIENT_H

#include "activator/http/h2.h"
#include "common/strbuf.h"

struct h2_client; /* opaque, heap: one connection */

/* None of these may call h2_client_feed(), h2_client_write() or h2_client_free().  stream: that of
 * h2_client_request(). */
struct h2_client_ops {
	/* A head, interim or final: the text of HTTP/1.1, which the callee may move away
	 * (strbuf_move()).  NULL: it is larger than header_list. */
	void (*on_head)(void *arg, void *stream, struct strbuf *text);
	void (*on_data)(void *arg, void *stream, const char *data, size_t n);
	/* The response is whole.  trailers: "name: value" CRLF …, or NULL; the callee's to free. */
	void (*on_end)(void *arg, void *stream, char *trailers);
	/* The stream is closed, by either side: no call has it from now on.  H2_REFUSED_STREAM: the
	 * server has not processed it (RFC 9113 8.7), and may never have got it. */
	void (*on_closed)(void *arg, void *stream, uint32_t code);
	/* Put at most n bytes of the request's body into buf.  Returns how many.  *left: if fewer
	 * than n. */
	size_t (*read)(void *arg, void *stream, char *buf, size_t n, enum h2_left *left);
	/* The head of the request was sent. */
	void (*on_head_sent)(void *arg, void *stream);
	/* A reset of the stream was sent; on_closed() follows. */
	void (*on_reset_sent)(void *arg, void *stream);
	/* The server's settings have come, or have changed. */
	void (*on_settings)(void *arg);
	/* The server takes no more streams. */
	void (*on_goaway)(void *arg);
	/* All that was sent before this h2_client_ping() has been read. */
	void (*on_pong)(void *arg, uint64_t token);
};

struct h2_client_conf {
	uint32_t window;      /* of a stream */
	uint32_t conn_window; /* of the connection */
	uint32_t header_list; /* bytes of a head as RFC 9113 6.5.2 counts them */
};

/* The preface and our SETTINGS are the first to be written.  shared, ops and arg are borrowed. */
NODISCARD struct h2_client *h2_client_new(const struct h2_client_conf *, struct h2_shared *,
					  const struct h2_client_ops *, void *arg);
void h2_client_free(struct h2_client **); /* without on_closed() */

/* Bytes of the server.  -1: the connection cannot go on: write what h2_client_write() gives, then
 * close. */
NODISCARD int h2_client_feed(struct h2_client *, const char *data, size_t n);
/* Frames to be sent, into buf; room: at least H2_WRITE_LEAST.  Returns their bytes, 0: there are
 * none now; -1: the connection cannot go on. */
NODISCARD ssize_t h2_client_write(struct h2_client *, char *buf, size_t room);
/* Is nothing more to be read or written: the connection has come to its end? */
bool h2_client_is_over(struct h2_client *);
/* The code of a GOAWAY, ours or the server's; H2_NO_ERROR: there was none, or it tells of no
 * error. */
uint32_t h2_client_error(const struct h2_client *);

/* How many streams the server lets be open at once; it may say so at any time. */
uint32_t h2_client_streams_most(struct h2_client *);
/* Has it said that extended CONNECT (RFC 8441) may be used? */
bool h2_client_takes_connect(struct h2_client *);

/* Begin a request.  head[0..n): as HTTP/1.1 has it; what frames the body there, or is for the
 * connection, is left out.  is_encrypted: for :scheme.  is_websocket: its Upgrade becomes an
 * extended CONNECT.  has_body: read() is asked for it.  Returns the id of the stream; -1: there are
 * no more. */
NODISCARD int32_t h2_client_request(struct h2_client *, const char *head, size_t n,
				    bool is_encrypted, bool is_websocket, bool has_body,
				    void *stream);
/* From read() alone. */
void h2_client_trailers(struct h2_client *, int32_t id, const char *fields, size_t n);
/* read() has something again. */
void h2_client_resume(struct h2_client *, int32_t id);
/* Is no byte of its head written yet?  It may be withdrawn then: h2_client_forget(), and
 * h2_client_reset().  The stream has not ended. */
bool h2_client_is_queued(const struct h2_client *, int32_t id);
/* End the stream.  on_closed() follows. */
void h2_client_reset(struct h2_client *, int32_t id, enum h2_code);
/* No call has the stream from now on. */
void h2_client_forget(struct h2_client *, int32_t id);
/* n bytes of the response's body were passed on, or thrown away: as many more may come.  (The
 * connection's own window is opened as soon as bytes have come.) */
void h2_client_consumed(struct h2_client *, int32_t id, size_t n);
/* Ask the server for an answer, behind what was sent: from on_reset_sent(), or between calls. */
void h2_client_ping(struct h2_client *, uint64_t token);
/* Tell the server that the connection ends. */
void h2_client_goaway(struct h2_client *, enum h2_code);

#endif
