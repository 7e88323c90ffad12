/* io - one non-blocking socket of the data plane.  One persistent edge-triggered event
 * per descriptor, registered once; readiness is remembered in flags, reads go to the
 * caller's (shared) buffer, writes go out in the same wake-up and only what a short
 * write leaves is copied.  (Why: bufferevents double the cost of a request.)
 * Thread: the loop's. */
#ifndef ACTIVATOR_IO_H
#define ACTIVATOR_IO_H

#include <event2/event_struct.h>
#include <sys/uio.h>

#include "common/base.h"

struct loop;

struct io {
	struct event ev;
	void (*on_ready)(struct io *); /* something of the flags below has changed */
	char *out;		       /* what is still to be written, or NULL */
	uint32_t out_at, out_n, out_cap;
	int fd;		/* -1: closed */
	bool can_read;	/* a read may find something (edge seen, not drained yet) */
	bool can_write; /* the last write was not short */
	bool is_hup;	/* the peer has closed its side, or all of it */
	bool is_connecting;
	bool is_yielding; /* io_yield(), until its turn comes */
};

#define IO_NOTHING 0
#define IO_EOF (-1)
#define IO_ERROR (-2) /* errno says which */

/* Take over fd (non-blocking) and watch it.  is_connecting: connect(2) is under way. */
void io_open(struct io *, struct loop *, int fd, bool is_connecting, void (*on_ready)(struct io *));
bool io_is_open(const struct io *);
/* Close; abort: with a reset, so that the peer cannot take it for a clean end. */
void io_close(struct io *, bool abort);

/* Bytes read (> 0), IO_NOTHING, IO_EOF or IO_ERROR. */
ssize_t io_read(struct io *, void *buf, size_t n);

/* Write all of iov, now or later: what the socket does not take is copied.  0, or -1
 * where the peer is gone. */
NODISCARD int io_write(struct io *, const struct iovec *iov, int n);
/* Write what is waiting.  1: nothing waits any more, 0: some does, -1: the peer is gone. */
NODISCARD int io_flush(struct io *);
/* Something is still to be written: do not read what would be written here. */
static inline bool
io_is_blocked(const struct io *io)
{
	return io->out_n > 0;
}

/* What can be read is left for later: on_ready is called again when all others of the
 * loop have had their turn. */
void io_yield(struct io *, struct loop *);

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
