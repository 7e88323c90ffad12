#include "common/admin_stream.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>
#include <sys/socket.h>

#define KERNEL_QUEUE (64 << 10) /* of the socket */
#define UNREAD_MAX 1024		/* bytes that a client has sent meanwhile */
#define WRITE_TIMEOUT_S 10	/* nothing of what is queued was taken for so long */

struct admin_stream {
	struct evhttp_request *http;
	const struct admin_stream_ops *ops;
	void *arg;
};

/* evhttp leaves a request that it has not answered in full to whoever answers it, and takes its
 * connection from it; where the endpoint closes, evhttp frees both. */
static void
on_closed(struct evhttp_connection *c, void *arg)
{
	struct admin_stream *s = arg;

	(void)c;
	s->ops->on_closed(s->arg);
	if (evhttp_request_get_connection(s->http) == NULL)
		evhttp_request_free(s->http);
	free(s);
}

static void
on_drained(struct evhttp_connection *c, void *arg)
{
	struct admin_stream *s = arg;

	(void)c;
	s->ops->on_drained(s, s->arg);
}

/* Reading goes on, as it shows that a client has gone, but what comes is bounded.  A client that
 * sends nothing is not cut off for it.  The kernel would queue megabytes for a client that does not
 * read. */
static void
set_bounds(struct evhttp_connection *c)
{
	struct bufferevent *b = evhttp_connection_get_bufferevent(c);
	const struct timeval timeout = {.tv_sec = WRITE_TIMEOUT_S};
	int queue = KERNEL_QUEUE;

	setsockopt(bufferevent_getfd(b), SOL_SOCKET, SO_SNDBUF, &queue, sizeof queue);
	bufferevent_setwatermark(b, EV_READ, 0, UNREAD_MAX);
	bufferevent_set_timeouts(b, NULL, &timeout);
}

struct admin_stream *
admin_stream_open(struct evhttp_request *http, const struct admin_stream_ops *ops, void *arg)
{
	struct evhttp_connection *c = evhttp_request_get_connection(http);
	struct admin_stream *s = xcalloc(1, sizeof *s);

	s->http = http;
	s->ops = ops;
	s->arg = arg;
	evhttp_connection_set_closecb(c, on_closed, s);
	evhttp_send_reply_start(http, HTTP_OK, NULL);
	set_bounds(c);
	return s;
}

void
admin_stream_send(struct admin_stream *s, const void *data, size_t n)
{
	struct evbuffer *piece = evbuffer_new();

	CHECK(piece != NULL && n > 0);
	evbuffer_add(piece, data, n);
	evhttp_send_reply_chunk_with_cb(s->http, piece, on_drained, s);
	evbuffer_free(piece);
}

size_t
admin_stream_queued(const struct admin_stream *s)
{
	struct evhttp_connection *c = evhttp_request_get_connection(s->http);

	return evbuffer_get_length(bufferevent_get_output(evhttp_connection_get_bufferevent(c)));
}
