#include "activator/net/io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/net/io_round.h"
#include "activator/net/io_stream.h"
#include "activator/net/tcp.h"
#include "common/loop.h"

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;

	(void)fd;
	if (what & (EV_READ | EV_CLOSED)) /* an edge: more came than what was read ahead */
		io->can_read = io->has_more = true;
	if (what & EV_CLOSED)
		io->is_hup = true;
	if (what & EV_WRITE)
		io->can_write = true;
	io_round_add(io);
}

int
io_open(struct io *io, struct io_round *round, int fd, bool is_connecting, const struct io_ops *ops)
{
	*io = (struct io){.fd = fd,
			  .ops = ops,
			  .round = round,
			  .is_connecting = is_connecting,
			  .can_write = !is_connecting};
	event_assign(&io->ev, loop_base(round->loop), fd,
		     EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, io);
	if (event_add(&io->ev, NULL) == 0)
		return 0;
	io->fd = -1;
	return -1;
}

void
io_set_stream(struct io *io, struct io_stream *stream)
{
	CHECK(io->stream == NULL);
	io->stream = stream;
}

bool
io_is_handshaking(const struct io *io)
{
	return io->stream != NULL && io->stream->is_handshaking;
}

bool
io_has_begun_handshake(const struct io *io)
{
	char byte;

	if (!io_is_handshaking(io))
		return false;
	return io->stream->has_begun || io->ahead_n > 0 ||
	       recv(io->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

const char *
io_protocol(const struct io *io)
{
	return io->stream == NULL ? NULL : io->stream->protocol;
}

/* The peer is to know that all bytes have come; not if some were lost. */
static void
end_stream(struct io *io)
{
	if (io->stream != NULL && !io->is_cut)
		io->stream->ops->shutdown(io);
}

static void
close_or_reset(int fd, bool is_reset)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (is_reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(fd);
}

void
io_close(struct io *io, bool abort)
{
	if (io->fd < 0)
		return;
	if (abort)
		io_drop_unsent(io);
	else if (io_flush_deferred(io) == 0 && !io_is_blocked(io))
		end_stream(io);
	io_round_leave(io);
	if (io->stream != NULL)
		io->stream->ops->free(io->stream);
	io->stream = NULL;
	event_del(&io->ev);
	if (io->closes_at_once && abort)
		tcp_abort(io->fd);
	else if (io->closes_at_once)
		tcp_close(io->fd);
	else
		close_or_reset(io->fd, abort);
	io->fd = -1;
	outbuf_clear(&io->out);
	io->can_read = io->can_write = false;
}

/* --- reading --- */

/* From the bytes that were read ahead, as recv(2) would have given them. */
static ssize_t
take_ahead(struct io *io, void *buf, size_t n)
{
	size_t most = MIN((size_t)io->ahead_n, n);

	memcpy(buf, io->ahead, most);
	io->ahead_n -= (int32_t)most;
	if (io->ahead_n > 0) {
		memmove(io->ahead, io->ahead + most, (size_t)io->ahead_n);
		return (ssize_t)most;
	}
	io_round_drop_ahead(io);
	if (!io->has_more && !io->is_hup)
		io->can_read = false;
	return (ssize_t)most;
}

/* From the socket; or the end or error that reading ahead has found. */
static ssize_t
receive(struct io *io, void *buf, size_t n)
{
	ssize_t got;

	if (io->ahead != NULL) {
		errno = -io->ahead_n;
		io_round_drop_ahead(io);
		return errno == 0 ? 0 : -1;
	}
	do
		got = recv(io->fd, buf, n, 0);
	while (got < 0 && errno == EINTR);
	return got;
}

ssize_t
io_socket_read(struct io *io, void *buf, size_t n)
{
	ssize_t got;

	if (!io->can_read || n == 0)
		return IO_NOTHING;
	if (io->ahead != NULL && io->ahead_n > 0)
		return take_ahead(io, buf, n);
	got = receive(io, buf, n);
	if (got > 0) {
		/* Fewer than asked for: the socket is drained, and the next bytes are an edge.
		 * Not so where the peer has closed: no edge comes after that of the close. */
		if ((size_t)got < n && !io->is_hup)
			io->can_read = false;
		return got;
	}
	io->can_read = false;
	if (got == 0) {
		io->is_hup = true;
		return IO_EOF;
	}
	return errno == EAGAIN ? IO_NOTHING : IO_ERROR;
}

ssize_t
io_read(struct io *io, void *buf, size_t n)
{
	ssize_t got;

	if (__builtin_expect(io->stream == NULL, 1))
		return io_socket_read(io, buf, n);
	if (!io->can_read || n == 0)
		return IO_NOTHING;
	got = io->stream->ops->read(io, buf, n);
	if (io->stream->ops->has_pending(io))
		io->can_read = true;
	else if (got < 0)
		io->can_read = false;
	if (got == IO_EOF)
		io->is_hup = true;
	return got;
}

/* --- writing --- */

/* As send(2); -1 with EAGAIN: no room. */
static ssize_t
send_some(struct io *io, const struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iovlen = (size_t)n};
	ssize_t sent;

	/* sendmsg(2) does not change the vector: const is lost in its type alone. */
	memcpy(&msg.msg_iov, &iov, sizeof iov);
	do
		sent = n == 1 ? send(io->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
			      : sendmsg(io->fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno != EAGAIN)
		io->is_cut = true;
	return sent;
}

int
io_socket_write(struct io *io, const struct iovec *iov, int n)
{
	size_t size = iovec_size(iov, n);
	ssize_t sent = 0;

	if (size == 0)
		return 0;
	if (io_flush_deferred(io) < 0)
		return -1;
	if (!io_is_blocked(io) && !io->is_connecting) {
		sent = send_some(io, iov, n);
		if (sent < 0) {
			if (errno != EAGAIN)
				return -1;
			sent = 0;
		}
		if ((size_t)sent == size)
			return 0;
		io->can_write = false;
	}
	outbuf_append(&io->out, iov, n, (size_t)sent);
	return 0;
}

int
io_socket_write_deferred(struct io *io, const struct iovec *iov, int n, uint32_t token)
{
	return io_round_defer(io, iov, n, token) ? 0 : io_socket_write(io, iov, n);
}

int
io_write(struct io *io, const struct iovec *iov, int n)
{
	if (__builtin_expect(io->stream == NULL, 1))
		return io_socket_write(io, iov, n);
	return io->stream->ops->write(io, iov, n, false, 0);
}

int
io_write_deferred(struct io *io, const struct iovec *iov, int n, uint32_t token)
{
	if (__builtin_expect(io->stream == NULL, 1))
		return io_socket_write_deferred(io, iov, n, token);
	return io->stream->ops->write(io, iov, n, true, token);
}

int
io_flush_deferred(struct io *io)
{
	struct iovec iov;

	return io_round_undefer(io, &iov) ? io_socket_write(io, &iov, 1) : 0;
}

void
io_drop_unsent(struct io *io)
{
	struct iovec iov;

	if (io_round_undefer(io, &iov) || io_is_blocked(io))
		io->is_cut = true;
	io->must_shut = false;
	outbuf_clear(&io->out);
}

int
io_flush(struct io *io)
{
	while (io_is_blocked(io)) {
		struct iovec iov = {.iov_base = io->out.data + io->out.at, .iov_len = io->out.n};
		ssize_t sent;

		if (io->is_connecting || !io->can_write)
			return 0;
		sent = send_some(io, &iov, 1);
		if (sent < 0) {
			if (errno != EAGAIN)
				return -1;
			io->can_write = false;
			return 0;
		}
		if ((size_t)sent < iov.iov_len)
			io->can_write = false;
		outbuf_consume(&io->out, (size_t)sent);
	}
	outbuf_clear(&io->out);
	if (io->must_shut) {
		io->must_shut = false;
		shutdown(io->fd, SHUT_WR);
	}
	return 1;
}

/* --- turns, connecting, ending --- */

/* At the tail of a round, since an event that is made active within a round still runs in
 * it.  A socket that was closed meanwhile is still there: its freeing was deferred later. */
static void
on_yield_over(void *arg)
{
	struct io *io = arg;

	io->is_yielding = false;
	if (io_is_open(io))
		event_active(&io->ev, EV_READ, 1);
}

void
io_yield(struct io *io)
{
	CHECK(io_is_open(io)); /* its owner may be freed before the turn */
	if (!io->is_yielding)
		loop_defer(io->round->loop, io, on_yield_over);
	io->is_yielding = true;
}

/* The socket is connected; what came with the end of the handshake may be pending in the stream. */
static int
finish_stream(struct io *io)
{
	int rc = io->stream == NULL ? 0 : io->stream->ops->finish_connect(io);

	if (rc == 0 && io->stream != NULL && io->stream->ops->has_pending(io))
		io->can_read = true;
	return rc;
}

int
io_finish_connect(struct io *io)
{
	int code = 0;
	socklen_t size = sizeof code;

	if (!io->is_connecting)
		return finish_stream(io);
	if (!io->can_write && !io->is_hup)
		return 1;
	if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
		code = errno;
	errno = code;
	if (code != 0)
		return -1;
	io->is_connecting = false;
	return finish_stream(io);
}

bool
io_is_reset(const struct io *io)
{
	int code = 0;
	socklen_t size = sizeof code;

	if (io->ahead != NULL && io->ahead_n < 0)
		return true;
	return getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0 || code != 0;
}

void
io_shutdown(struct io *io)
{
	end_stream(io);
	if (io_flush_deferred(io) == 0 && io_is_blocked(io))
		io->must_shut = true;
	else
		shutdown(io->fd, SHUT_WR);
}
