/* io - the non-blocking sockets of the data plane.  One persistent edge-triggered event
 * per descriptor, registered once; readiness is remembered in flags, reads go to the
 * caller's (shared) buffer, writes go out in the same wake-up and only what a short
 * write leaves is copied.  (Why: bufferevents double the cost of a request.)
 *
 * What becomes ready in one round of the loop is dealt with at its end, all together, so
 * that small reads (of heads) and small writes (of heads, with what little body there is)
 * of many sockets take one system call each: batch.h.
 * Thread: the loop's.
 *
 * Room: activator/net is sockets: reading, writing, sharing system calls between sockets,
 * taking over a socket's path.  Its files carry bytes.  They may use common/ and the
 * kernel, and never know what the bytes mean or whose connection it is. */
#ifndef ACTIVATOR_NET_IO_H
#define ACTIVATOR_NET_IO_H

#include <event2/event_struct.h>

#include "activator/net/outbuf.h"
#include "common/list.h"

struct loop;
struct io;

struct io_ops {
	/* Something of the flags below has changed. */
	void (*on_ready)(struct io *);
	/* Does what comes begin something new?  Its turn is behind those of all others. */
	bool (*may_wait)(struct io *);
	/* Will its next turn read a head, that is IO_AHEAD bytes or fewer as a rule? */
	bool (*is_head_next)(struct io *);
	/* What io_send() put off did not go out.  error: errno, none of data[0..n) did and
	 * the peer is gone; 0: it waits for room, as after io_write(). */
	void (*on_unsent)(struct io *, const char *data, size_t n, int error);
};

/* The sockets of one loop. */
struct io_round;

struct io {
	struct event ev;
	const struct io_ops *ops;
	struct io_round *round;
	struct outbuf out; /* what is still to be written */
	int fd;		   /* -1: closed */
	bool can_read;	   /* a read may find something (edge seen, not drained yet) */
	bool can_write;	   /* the last write was not short */
	bool is_hup;	   /* the peer has closed its side, or all of it */
	bool is_connecting;
	bool is_yielding;   /* io_yield(), until its turn comes */
	bool is_ahead_full; /* there may be more than what was read ahead */
	bool is_waiting;    /* node is in the round's waiting, not in its ready */
	/* Places in the round's tables, from 1 on; 0: in none. */
	uint8_t send_at, ahead_at;
	struct list_node node;
	/* Read already, for the next io_read(); NULL: nothing.  On the heap where ahead_at is
	 * 0.  ahead_n: 0: the end, < 0: an error. */
	char *ahead;
	int32_t ahead_n;
};

#define IO_AHEAD 2048 /* bytes that are read ahead of a turn, at most */

#define IO_NOTHING 0
#define IO_EOF (-1)
#define IO_ERROR (-2) /* errno says which */

/* is_plain: each read and write is a call of its own. */
struct io_round *io_round_new(struct loop *, bool is_plain);
void io_round_free(struct io_round **); /* all its sockets are closed */
/* At the end of a round: whoever became ready has its turn. */
void io_round_turns(struct io_round *);
/* Then: what was put off by io_send() is sent.  True: it did not all go, and somebody was
 * told. */
bool io_round_send(struct io_round *);

/* Its turn is still to come. */
static inline bool
io_is_due(const struct io *io)
{
	return list_linked(&io->node);
}

/* Take over fd (non-blocking) and watch it.  is_connecting: connect(2) is under way. */
void io_open(struct io *, struct io_round *, int fd, bool is_connecting, const struct io_ops *);
static inline bool
io_is_open(const struct io *io)
{
	return io->fd >= 0;
}
/* Close; abort: with a reset, so that the peer cannot take it for a clean end. */
void io_close(struct io *, bool abort);

/* Bytes read (> 0), IO_NOTHING, IO_EOF or IO_ERROR. */
ssize_t io_read(struct io *, void *buf, size_t n);

/* Write all of iov, now or later: what the socket does not take is copied.  0, or -1
 * where the peer is gone. */
NODISCARD int io_write(struct io *, const struct iovec *iov, int n);
/* As io_write(), for what is small and complete: it is put off to the end of the round if
 * that is cheaper, and ops->on_unsent() tells what became of it where it did not go. */
NODISCARD int io_send(struct io *, const struct iovec *iov, int n);
/* What io_send() put off goes now: io_is_blocked() is true to the word after it.  -1: the
 * peer is gone. */
int io_settle(struct io *);
/* Write what is waiting.  1: nothing waits any more, 0: some does, -1: the peer is gone. */
NODISCARD int io_flush(struct io *);
/* Something is still to be written: do not read what would be written here. */
static inline bool
io_is_blocked(const struct io *io)
{
	return io->out.n > 0;
}

/* What can be read is left for later: on_ready is called again when all others of the
 * loop have had their turn. */
void io_yield(struct io *);

/* A connect that was under way: 0 done, 1 not yet, -1 failed (errno). */
NODISCARD int io_connected(struct io *);

/* Has the peer reset it?  libevent tells of a reset as of something to read: only who is
 * not reading has to ask. */
bool io_is_reset(const struct io *);
/* What was read was not all that is to come: a reset that came right behind it has told
 * of itself already, and only the next read will find it. */
static inline void
io_expect(struct io *io)
{
	io->can_read = true;
}

/* Say that no more is coming; the peer sees the end of the stream. */
void io_shutdown(struct io *);

#endif
