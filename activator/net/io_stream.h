/* io_stream - what may stand between a socket and the bytes that its user reads and writes:
 * encryption.
 *
 * An io without a stream is plain: its user's bytes are the socket's, and io_read() and
 * io_write() go to the socket without a call through a table.  With a stream they go to the
 * functions below.  The stream reads and writes the socket by io_socket_read() and
 * io_socket_write(), and so shares system calls with other sockets as a plain io does.  Above
 * io.h nothing knows which of the two an io is.
 *
 * What the user of an io may rely on is what a stream has to keep:
 *  - io->can_read says whether a read may find something.  A short read means that the socket
 *    is drained, not that the stream is: io_read() asks has_pending() after each read.
 *  - All bytes of a write are taken.  What the socket does not take waits in io->out, in the
 *    form in which it goes to the socket: io_is_blocked() and io_flush() need no stream.
 *  - A deferred write that failed has lost whole writes, named by the token of the last one.
 *  - IO_EOF is an end that the peer meant.  An end that the peer's stream did not announce is
 *    IO_ERROR.
 * A stream never closes the socket and never calls back.
 * Thread: the loop's. */
#ifndef ACTIVATOR_NET_IO_STREAM_H
#define ACTIVATOR_NET_IO_STREAM_H

#include "activator/net/io.h"

struct io_stream_ops {
	/* As io_read().  A handshake that is not over is IO_NOTHING. */
	ssize_t (*read)(struct io *, void *buf, size_t n);
	/* May read() find bytes or an end without asking the socket?  Never after a read() that
	 * found nothing: the user of the io would be called again and again. */
	bool (*has_pending)(const struct io *);
	/* As io_write(), or, if may_defer, as io_write_deferred() with this token. */
	int (*write)(struct io *, const struct iovec *iov, int n, bool may_defer, uint32_t token);
	/* As io_finish_connect(), once connect(2) has succeeded: called again after 1. */
	int (*finish_connect)(struct io *);
	/* Write what tells the peer that no more bytes follow: before FIN, and before a close that
	 * is a clean end.  Never called after a write was lost.  May be called more than once. */
	void (*shutdown)(struct io *);
	/* The socket is being closed: free the stream. */
	void (*free)(struct io_stream *);
};

/* The first member of what a stream keeps. */
struct io_stream {
	const struct io_stream_ops *ops;
	const char *protocol; /* io_protocol() */
	bool is_handshaking;
	bool has_begun; /* a byte of the peer has been read */
};

/* From now on io is read and written through the stream, which is the io's until io_close().
 * Nothing was read or written yet. */
void io_set_stream(struct io *, struct io_stream *);

/* --- for streams: the socket --- */
/* As io_read(), io_write() and io_write_deferred() of a plain io. */
ssize_t io_socket_read(struct io *, void *buf, size_t n);
NODISCARD int io_socket_write(struct io *, const struct iovec *iov, int n);
NODISCARD int io_socket_write_deferred(struct io *, const struct iovec *iov, int n, uint32_t token);

#endif
