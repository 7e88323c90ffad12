/* admin_stream - an answer of the admin endpoint that does not end: a page sends pieces of it for
 * as long as its client listens (server-sent events).  What a client does not read is bounded by
 * the page, which asks admin_stream_queued() before it sends more.  What a client sends is not
 * read.  A client that takes nothing of what is queued for 10 s is cut off.
 * Thread: the loop's. */
#ifndef COMMON_ADMIN_STREAM_H
#define COMMON_ADMIN_STREAM_H

#include "common/base.h"

struct admin_stream; /* opaque */

struct admin_stream_ops {
	/* All that was sent is with the kernel now; may call admin_stream_send(). */
	void (*on_drained)(struct admin_stream *, void *arg);
	/* The client has gone, or admin_close() ends the stream, which is freed after this.  Never
	 * called within admin_stream_send(). */
	void (*on_closed)(void *arg);
};

/* Queue n bytes for the client. */
void admin_stream_send(struct admin_stream *, const void *data, size_t n);
/* How many bytes are queued here still. */
size_t admin_stream_queued(const struct admin_stream *);

/* For admin.c: begin to answer the request, whose fields are set.  ops and arg are borrowed. */
struct evhttp_request;
NODISCARD struct admin_stream *admin_stream_open(struct evhttp_request *,
						 const struct admin_stream_ops *, void *arg);

#endif
