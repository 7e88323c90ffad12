/* h2 - HTTP/2 as a server speaks it (RFC 9113): frames, header compression, flow control and the
 * states of streams.  nghttp2 does that; this file gives it what a proxy needs and no more.
 * h2_client.h is the other end.
 *
 * The head of a request becomes the text of an HTTP/1.1 head that means the same, so that
 * h1_parse_request() and request.c judge it like any other: Host is :authority, a body without
 * content-length is chunked, cookie crumbs are one field, an extended CONNECT (RFC 8441) is an
 * Upgrade.  The way back: "name: value" lines become fields.
 * Pure: bytes in, callbacks and bytes out.  Thread: a struct belongs to one thread. */
#ifndef ACTIVATOR_HTTP_H2_H
#define ACTIVATOR_HTTP_H2_H

#include "common/base.h"

struct h2;	  /* opaque, heap: one connection */
struct h2_shared; /* opaque, heap: memory that all connections of a thread use, h2_client too */

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" /* RFC 9113 3.4 */
#define H2_PREFACE_HEAD 18 /* its first bytes, up to the empty line, look like a head of HTTP/1 */
/* Memory of a connection (h2_client too) and of a stream, about: what nghttp2 keeps of them. */
#define H2_CONN_BYTES ((size_t)10 << 10)
#define H2_STREAM_BYTES ((size_t)384)
#define H2_WRITE_LEAST ((size_t)17 << 10) /* of h2_write(): any frame of ours fits */

/* Codes of RST_STREAM and GOAWAY: RFC 9113 7. */
enum h2_code {
	H2_NO_ERROR = 0,
	H2_PROTOCOL_ERROR = 1,
	H2_INTERNAL_ERROR = 2,
	H2_FLOW_CONTROL_ERROR = 3,
	H2_STREAM_CLOSED = 5,
	H2_FRAME_SIZE_ERROR = 6,
	H2_REFUSED_STREAM = 7,
	H2_CANCEL = 8,
	H2_ENHANCE_YOUR_CALM = 11,
};

struct h2_head {
	char *text; /* of HTTP/1.1; the callee's to free.  NULL: larger than header_list */
	size_t n;
	bool is_end;	 /* the stream ends with it: no body */
	char ws_key[25]; /* extended CONNECT: the Sec-WebSocket-Key in the text; else "" */
};

/* What is left of a response's body: returned by ready(). */
enum h2_left {
	H2_MORE,	 /* nothing is there now; h2_resume() follows */
	H2_END,		 /* the body ends here */
	H2_END_TRAILERS, /* likewise, and h2_trailers() was called */
};

/* None of these may call h2_feed(), h2_write() or h2_free().  stream: what on_head() returned. */
struct h2_ops {
	/* A request has begun.  NULL: the callee has no use for the stream. */
	void *(*on_head)(void *arg, int32_t id, const struct h2_head *);
	void (*on_data)(void *arg, void *stream, const char *data, size_t n);
	/* The request is whole.  trailers: "name: value" CRLF …, or NULL; the callee's to free. */
	void (*on_end)(void *arg, void *stream, char *trailers);
	/* The stream is closed, by either side: no call has it from now on. */
	void (*on_closed)(void *arg, void *stream, uint32_t code);
	/* How many bytes of the response's body may be sent now, n at most?  *left: if fewer than
	 * n. */
	size_t (*ready)(void *arg, void *stream, size_t n, enum h2_left *left);
	/* Put the next n bytes of the body into buf; ready() has returned n just before. */
	void (*read)(void *arg, void *stream, char *buf, size_t n);
	/* The client has sent something that is legal and useless, or has made us reset a
	 * stream. */
	void (*on_glitch)(void *arg);
	/* A head was sent, interim or final, or trailers. */
	void (*on_head_sent)(void *arg, void *stream);
	/* The response is whole, and the client still sends.  True: it may go on. */
	bool (*may_send_on)(void *arg, void *stream);
	/* A frame with bytes of a body, or a head or trailers that end a response, was sent. */
	void (*on_progress)(void *arg);
	/* The client has seen the GOAWAY of h2_begin_goaway(). */
	void (*on_pong)(void *arg);
	uint64_t (*random)(void *arg);
};

struct h2_conf {
	uint32_t streams;     /* that may be open at once */
	uint32_t window;      /* of a stream, until h2_set_window() */
	uint32_t conn_window; /* of the connection */
	uint32_t header_list; /* bytes of a head as RFC 9113 6.5.2 counts them; a larger one is told
				 by h2_head.text = NULL */
};

struct h2_shared *h2_shared_new(void);
void h2_shared_free(struct h2_shared **); /* all connections that use it are freed */

/* Our SETTINGS are the first to be written.  shared, ops and arg are borrowed. */
NODISCARD struct h2 *h2_new(const struct h2_conf *, struct h2_shared *, const struct h2_ops *,
			    void *arg);
void h2_free(struct h2 **); /* without on_closed() */

/* Bytes of the client, the preface included.  -1: the connection cannot go on: write what
 * h2_write() gives, then close. */
NODISCARD int h2_feed(struct h2 *, const char *data, size_t n);
/* Frames of the client that have begun so far. */
uint64_t h2_frames(const struct h2 *);
/* Frames to be sent, into buf; room: at least H2_WRITE_LEAST.  Returns their bytes, 0: there are
 * none now; -1: the connection cannot go on. */
NODISCARD ssize_t h2_write(struct h2 *, char *buf, size_t room);
/* Is nothing more to be read or written: the connection has come to its end? */
bool h2_is_over(struct h2 *);
/* It has no streams, and is not expected to have any soon: give memory back. */
void h2_trim(struct h2 *);
/* Is a head on its way, of which not all has come? */
bool h2_is_in_head(const struct h2 *);
/* The code of the GOAWAY that was sent because of an error; H2_NO_ERROR: there was none. */
uint32_t h2_error(const struct h2 *);

/* fields: "name: value" CRLF, any number of them, with names in any case.
 * -1: the stream is closed. */
NODISCARD int h2_interim(struct h2 *, int32_t id, unsigned status, const char *fields, size_t n);
/* has_body: ready() is asked for it. */
NODISCARD int h2_respond(struct h2 *, int32_t id, unsigned status, const char *fields, size_t n,
			 bool has_body);
/* From ready() alone. */
void h2_trailers(struct h2 *, int32_t id, const char *fields, size_t n);
/* ready() has something again. */
void h2_resume(struct h2 *, int32_t id);
/* Is its response sent, to the end? */
bool h2_has_ended(const struct h2 *, int32_t id);
/* End the stream without a whole response.  on_closed() follows. */
void h2_reset(struct h2 *, int32_t id, enum h2_code);

/* n bytes of the body of the request were passed on, or thrown away: the client may send as many
 * more.  (The connection's own window is opened as soon as bytes have come.) */
void h2_consumed(struct h2 *, int32_t id, size_t n);
/* The stream may have so many bytes under way from now on. */
void h2_set_window(struct h2 *, int32_t id, uint32_t window);

/* Ask the client to open no more streams.  Those that it has opened before it sees that have come
 * when on_pong() is called. */
void h2_begin_goaway(struct h2 *);
/* Refuse streams that are opened from now on: the GOAWAY says which was the last. */
void h2_goaway(struct h2 *);
/* End the connection: streams too.  None that is opened from now on is served. */
void h2_terminate(struct h2 *, enum h2_code);

#endif
