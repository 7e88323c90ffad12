/* io_round - what the sockets of one event loop do together, once in each round of it.
 *
 * The loop works in rounds: epoll_wait(2) reports the sockets that became ready, their events
 * run, then the tail of the round.  If each socket read and wrote by itself, a small HTTP
 * request would cost four system calls.  Instead:
 *
 *  1. The event of a socket only puts it into a queue (io_round_add()).  There are two: new work
 *     (is_new_work(): what is read next begins a request), and work in progress (all else).
 *  2. At the tail, io_round_run() takes sockets from the queues.  Those that expect a small
 *     read (the head of a request or response) are read together, at most BATCH_MAX in one
 *     system call, each into a place of IO_AHEAD bytes: they are read ahead of their turns.  A
 *     single one is read in its turn.
 *  3. Then each socket has its turn: on_ready(), in which io_read() first gives what was read
 *     ahead.
 *  4. A write by io_write_deferred() is not made in the turn: io_round_defer() copies its bytes,
 *     if they are few and the socket has no other write waiting.  io_round_write() makes all
 *     deferred writes in one system call.  io_write() writes at once.
 *
 * Whoever uses an io sees no difference: bytes keep their order, an error or the end of the
 * stream is found by the read that would have found it, and a deferred write that fails or
 * falls short is reported (on_unsent()).  Without AIO (the kernel has none, or use_aio is
 * false) nothing is read ahead and nothing deferred.  io_close() first makes the socket's deferred
 * write; with abort it drops that write.
 * Thread: that of the event loop.
 *
 * Only io.c includes this header: what others call stands in io.h. */
#ifndef ACTIVATOR_NET_IO_ROUND_H
#define ACTIVATOR_NET_IO_ROUND_H

#include "activator/net/batch.h"
#include "activator/net/io.h"

#define DEFERRED_MOST 2048		   /* bytes of one write that is deferred */
#define DEFERRED_BYTES ((size_t)128 << 10) /* of all deferred writes of a round */

struct io_round {
	struct loop *loop;
	struct batch *batch;
	uint64_t turns; /* since the start */
	/* Sockets whose turn is to come, in the order of their events. */
	struct list in_progress, new_work;
	/* Sockets that are to be read ahead next. */
	struct io *to_read[BATCH_MAX];
	size_t to_read_n;
	struct batch_op reads[BATCH_MAX];
	/* BATCH_MAX places of IO_AHEAD bytes, and the socket whose bytes lie in each; NULL:
	 * the place is free. */
	char *ahead;
	struct io *ahead_of[BATCH_MAX];
	size_t ahead_n; /* places in use, from the first on */
	/* Deferred writes, and the socket of each; NULL: io_round_undefer() took it back. */
	struct batch_op writes[BATCH_MAX];
	struct io *write_of[BATCH_MAX];
	size_t writes_n, flushed_n;
	char *write_data; /* DEFERRED_BYTES: a copy of what they write */
	size_t write_data_n;
	bool is_writing; /* on_unsent() runs: defer nothing, as io_round_write() reads writes[] */
};

/* The socket is ready: queue it for a turn.  Only the socket's event calls this, never a turn: so
 * no queue grows while turns run, and io_round_run() leaves no work in progress behind. */
void io_round_add(struct io *);
/* The socket is being closed: it gets no turn, and what was read ahead is dropped. */
void io_round_leave(struct io *);
/* What was read ahead has been used. */
void io_round_drop_ahead(struct io *);

/* Copy iov[0..n), to be written at the end of the round.  False: the caller is to write it
 * now. */
NODISCARD bool io_round_defer(struct io *, const struct iovec *iov, int n, uint32_t token);
/* Take back the deferred write of a socket.  The caller writes it now, or drops it.  False: there
 * is none.  *out is valid until the end of the round. */
NODISCARD bool io_round_undefer(struct io *, struct iovec *out);

#endif
