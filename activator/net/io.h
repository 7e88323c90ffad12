/* io - a byte stream over a non-blocking socket of the data plane: plain, or through a stream
 * that encrypts (io_stream.h).
 *
 * Each socket has one persistent edge-triggered event, registered once.  Readiness is
 * remembered in flags.  Reads go to the caller's buffer, which all sockets share; writes are
 * made at once, and only what a short write leaves is copied.  (libevent's bufferevents
 * would double the cost of a request.)
 *
 * A socket that becomes ready is not handled in its event.  It gets its turn at the end of
 * the loop's round, with all others that became ready in that round: so small reads and
 * small writes of many sockets can share a system call (io_round.h).
 * Thread: the loop's.
 *
 * Room: activator/net is sockets: reading, writing, accepting, sharing system calls between
 * sockets, claiming an address, and the header by which a proxy names the other end.  Its files
 * carry bytes.  They may use common/ and the kernel, and never know what the bytes of a client
 * mean or whose connection it is. */
#ifndef ACTIVATOR_NET_IO_H
#define ACTIVATOR_NET_IO_H

#include <event2/event_struct.h>

#include "activator/net/outbuf.h"
#include "common/list.h"

struct loop;
struct io;
struct io_round;  /* opaque; io_round.h.  The sockets of one loop */
struct io_stream; /* io_stream.h */

struct io_ops {
	/* A turn: a flag below has changed, or io_yield() was called. */
	void (*on_ready)(struct io *);
	/* True: what can be read begins new work, and has its turn after all work that is in
	 * progress. */
	bool (*is_new_work)(struct io *);
	/* True: the next read is expected to give fewer than IO_AHEAD bytes, and may be made
	 * before the turn. */
	bool (*is_small_read_next)(struct io *);
	/* A write that was deferred was not made in whole; token: what the caller of
	 * io_write_deferred() named it.  error: errno; nothing of it was written, and the peer is
	 * gone.  0: what is left waits for room, as after io_write(). */
	void (*on_unsent)(struct io *, uint32_t token, int error);
};

struct io {
	struct event ev;
	const struct io_ops *ops;
	struct io_round *round;
	struct io_stream *stream; /* NULL: plain */
	struct outbuf out;	  /* what the socket has not taken yet */
	int fd;			  /* -1: closed */
	/* A read may find something: an edge came, and no read drained the socket; or bytes are
	 * pending in the stream.  No other turn tells of it. */
	bool can_read;
	bool can_write; /* no write was short since the last edge */
	bool is_hup;	/* the peer has closed its side, or all of it */
	bool is_connecting;
	bool is_yielding;    /* between io_yield() and the turn that it asked for */
	bool is_cut;	     /* bytes of a write were lost: dropped, or the write failed */
	bool closes_at_once; /* set by its user: io_close() as tcp_close() or tcp_abort() */
	bool must_shut;	     /* FIN follows what waits for room: io_shutdown() */

	/* io_round.c */
	bool is_new;	       /* queued as new work, not as work in progress */
	bool has_more;	       /* the socket may hold more than what was read ahead */
	uint8_t deferred_at;   /* its place among the deferred writes, from 1 on; 0: none */
	uint8_t ahead_at;      /* its place among the bytes read ahead, from 1 on; 0: none */
	struct list_node node; /* in a queue of the round */
	/* What was read ahead of its turn; NULL: nothing was.  Points into the round's buffer,
	 * or to the heap where ahead_at is 0. */
	char *ahead;
	int32_t ahead_n; /* bytes; 0: the end of the stream; < 0: -errno */
	uint32_t token;	 /* of the deferred write */
};

#define IO_AHEAD 2048 /* bytes that are read ahead of a turn, at most */

/* use_aio: reads and writes share system calls where the kernel can (batch.h). */
struct io_round *io_round_new(struct loop *, bool use_aio);
void io_round_free(struct io_round **); /* all its sockets are closed */
/* At the end of a round: give each socket that became ready its turn. */
void io_round_run(struct io_round *);
/* After it: make the writes that were deferred.  True: on_unsent() was called.  It deferred
 * nothing itself, but may have given slots back: take the grants, then call this again. */
bool io_round_write(struct io_round *);
/* Turns since the start.  A socket without news has none: else it would keep a core busy. */
uint64_t io_round_turns(const struct io_round *);

/* Take over fd, which does not block, and watch it.  is_connecting: connect(2) is under
 * way.  -1 with errno: the kernel does not watch it (ENOSPC: fs.epoll.max_user_watches is
 * reached); fd is still the caller's, and the io is closed. */
NODISCARD int io_open(struct io *, struct io_round *, int fd, bool is_connecting,
		      const struct io_ops *);
/* Close; abort: with a reset, so that the peer cannot take it for a clean end. */
void io_close(struct io *, bool abort);

static inline bool
io_is_open(const struct io *io)
{
	return io->fd >= 0;
}

/* Its turn is still to come. */
static inline bool
io_is_queued(const struct io *io)
{
	return list_linked(&io->node);
}

#define IO_NOTHING 0
#define IO_EOF (-1)
#define IO_ERROR (-2) /* errno says which */
/* Bytes read (> 0), IO_NOTHING, IO_EOF or IO_ERROR. */
ssize_t io_read(struct io *, void *buf, size_t n);
/* Has nothing come that was not read, neither bytes nor an end?  It may take a byte: where one
 * comes unasked, the connection is of no use. */
static inline bool
io_is_quiet(struct io *io)
{
	char byte;

	return !io->is_hup && (!io->can_read || io_read(io, &byte, 1) == IO_NOTHING);
}
/* The caller waits for more: the next io_read() asks the kernel, even though the last one
 * seems to have drained the socket.  A reset that came right behind the bytes of that read
 * had its edge already, and no other edge will tell of it. */
static inline void
io_expect_more(struct io *io)
{
	io->can_read = true;
}

/* Write all of iov: now, or what the socket does not take as soon as it has room.  0, or -1:
 * the peer is gone. */
NODISCARD int io_write(struct io *, const struct iovec *iov, int n);
/* As io_write(), for what is small and complete: the write may be deferred to the end of the
 * round.  If it fails then, on_unsent() gets the token, which means nothing to io.  The caller
 * keeps what it may have to write again, until the end of the round. */
NODISCARD int io_write_deferred(struct io *, const struct iovec *iov, int n, uint32_t token);
/* Is a write deferred? */
static inline bool
io_is_deferred(const struct io *io)
{
	return io->deferred_at > 0;
}
/* Make the write that was deferred, if there is one, so that io_is_blocked() tells of it.
 * -1: the peer is gone. */
int io_flush_deferred(struct io *);
/* Forget what waits for room or was deferred: the peer gets no more. */
void io_drop_unsent(struct io *);
/* Write what waits for room.  1: all of it, 0: not all, -1: the peer is gone. */
NODISCARD int io_flush(struct io *);
/* Something waits for room: do not read what would have to be written here. */
static inline bool
io_is_blocked(const struct io *io)
{
	return io->out.n > 0;
}

/* There is more to read, and others are to have their turn first: on_ready() is called again
 * in a later round. */
void io_yield(struct io *);

/* Of a connect that was under way.  0: connected, 1: not yet, -1: it failed (errno). */
NODISCARD int io_finish_connect(struct io *);

/* Has the peer reset the connection?  For those that do not read: libevent reports a reset
 * as something to be read. */
bool io_is_reset(const struct io *);

/* Send FIN: the peer sees the end of the stream behind what was written.  What waits for room
 * goes first: then io_flush() sends FIN. */
void io_shutdown(struct io *);

/* Is there a stream between the socket and its user? */
static inline bool
io_is_encrypted(const struct io *io)
{
	return io->stream != NULL;
}
/* Is the handshake of the stream still under way?  No byte can be read or written then. */
bool io_is_handshaking(const struct io *);
/* Is it under way, and has the peer sent the first bytes of it? */
bool io_has_begun_handshake(const struct io *);
/* The protocol that the handshake has agreed on (ALPN), such as "h2"; NULL: none, or there was
 * no handshake.  Constant once the first byte was read. */
const char *io_protocol(const struct io *);

#endif
