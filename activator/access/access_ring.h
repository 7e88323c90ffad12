/* access_ring - lines on their way from a worker to the thread that writes them: bytes in a ring,
 * without a lock.  A line stands in one piece.  Where the ring has no room for a line, the caller
 * drops the line and counts it: a worker never waits for the thread.
 *
 * Thread: the worker that fills it calls the first part, the thread that empties it the second;
 * the figures are for any. */
#ifndef ACTIVATOR_ACCESS_ACCESS_RING_H
#define ACTIVATOR_ACCESS_ACCESS_RING_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "common/base.h"

/* Positions count all bytes that were ever put; a position modulo size is a place in data. */
struct access_ring {
	/* immutable */
	char *data; /* memory that was never written to costs none */
	size_t size;

	/* the worker's */
	size_t seen_tail __attribute__((aligned(64))); /* tail, as last read */
	size_t reserved;			       /* where the line begins that is being put */
	bool is_dirty;	  /* lines were put since access_log_announce() */
	bool is_hurrying; /* the thread was woken because the ring fills up */
	_Atomic size_t head;
	size_t end; /* of the lap before that of head: what follows there holds nothing */
	_Atomic uint64_t lines, lost, left_out;

	/* the thread's */
	_Atomic size_t tail __attribute__((aligned(64)));
};

void access_ring_init(struct access_ring *, size_t size);
void access_ring_fini(struct access_ring *);

/* --- the worker --- */
/* Room for a line of n bytes at most, or NULL: there is none. */
NODISCARD char *access_ring_reserve(struct access_ring *, size_t n);
/* The line has n bytes. */
void access_ring_commit(struct access_ring *, size_t n);
/* Bytes that wait, as far as the worker knows; never too few. */
static inline size_t
access_ring_waiting(const struct access_ring *r)
{
	return atomic_load_explicit(&r->head, memory_order_relaxed) - r->seen_tail;
}

/* --- the thread --- */
/* Whole lines that wait, in up to two pieces.  Returns how many pieces. */
int access_ring_peek(struct access_ring *, struct iovec out[2]);
/* The first n bytes of what access_ring_peek() gave were written. */
void access_ring_drop(struct access_ring *, size_t n);

#endif
