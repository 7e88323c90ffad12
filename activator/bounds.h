/* bounds - what all workers together hold, and the most that they may (promise 9, README).
 *
 * The bounds hold over the processes that an upgrade puts beside each other, too: each of them
 * counts in its own part of a memory that all of them share, and compares the sum of all parts.
 * When a process has ended, the newest one clears its part.
 *
 * Each worker looks at the counters and then adds to its own, so that a bound can be passed by
 * as many as there are workers: it limits memory and descriptors, it is not a ledger.
 * Thread: any, where nothing else is said; limits and counters are atomic and relaxed. */
#ifndef ACTIVATOR_BOUNDS_H
#define ACTIVATOR_BOUNDS_H

#include <stdatomic.h>
#include <sys/types.h>

#include "common/err.h"

#define BOUNDS_OLD_MOST 2		       /* older processes beside the newest one */
#define BOUNDS_PROCESSES (BOUNDS_OLD_MOST + 1) /* parts of the shared memory */

/* One process's part; cache lines of its own. */
struct bounds_part {
	_Alignas(128) _Atomic uint32_t connections; /* of clients */
	_Atomic uint32_t upstreams;		    /* connections to instances */
	_Atomic uint32_t parked;		    /* requests */
	_Atomic uint64_t parked_bytes;
	_Atomic uint64_t stream_bytes; /* of connections of HTTP/2, and bodies that their streams
					  keep */
	_Atomic int32_t pid;	       /* 0: the part is free; -1: it will be assigned */
	/* The process that has given way to its successor, and that one; 0: none.  They stay when
	 * the part is cleared. */
	_Atomic int32_t replaced_pid, successor_pid;
};

struct bounds {
	/* set by main: at the start, and by a reload */
	_Atomic uint32_t max_connections; /* of clients */
	_Atomic uint32_t max_sockets;	  /* connections of clients and to instances */
	_Atomic uint32_t max_parked;	  /* requests */
	_Atomic uint64_t max_parked_bytes;
	/* of connections of HTTP/2, and bodies that their streams keep */
	_Atomic uint64_t max_stream_bytes;
	/* immutable once the first worker is made */
	struct bounds_part *own;
	struct bounds_part *parts; /* BOUNDS_PROCESSES of them, own is one */
	int fd;			   /* of the shared memory */
};

/* --- the shared memory; thread: main --- */
/* Make one.  The limits are the caller's to set. */
NODISCARD int bounds_open(struct bounds *, struct err *);
/* Use that of an older process, which has reserved the part for this one.  fd becomes ours if 0
 * is returned. */
NODISCARD int bounds_join(struct bounds *, int fd, uint32_t part, struct err *);
void bounds_close(struct bounds *); /* one that was never opened: does nothing */

/* A part for a new process.  False: all parts are in use. */
NODISCARD bool bounds_reserve(struct bounds *, uint32_t *part);
/* The new process will not use it. */
void bounds_unreserve(struct bounds *, uint32_t part);
/* The process has ended: its part is free.  Several processes may call it for the same one. */
void bounds_clear(struct bounds *, pid_t);

/* This process has given way to its successor. */
void bounds_give_way(struct bounds *, pid_t successor);
/* To which process that one has given way, also once it has ended.  0: to none. */
pid_t bounds_successor(const struct bounds *, pid_t);

/* What this process holds. */
uint64_t bounds_parked(const struct bounds *);
uint64_t bounds_parked_bytes(const struct bounds *);
uint64_t bounds_stream_bytes(const struct bounds *);
/* Connections of clients at older processes. */
uint64_t bounds_connections_elsewhere(const struct bounds *);

/* --- counting --- */

/* Over all processes. */
#define BOUNDS_SUM(b, member)                                                                      \
	(atomic_load_explicit(&(b)->parts[0].member, memory_order_relaxed) +                       \
	 atomic_load_explicit(&(b)->parts[1].member, memory_order_relaxed) +                       \
	 atomic_load_explicit(&(b)->parts[2].member, memory_order_relaxed))
_Static_assert(BOUNDS_PROCESSES == 3, "BOUNDS_SUM() names each");

/* One connection of a client more. */
static inline void
bounds_connected(struct bounds *b)
{
	atomic_fetch_add_explicit(&b->own->connections, 1, memory_order_relaxed);
}

static inline void
bounds_disconnected(struct bounds *b)
{
	atomic_fetch_sub_explicit(&b->own->connections, 1, memory_order_relaxed);
}

static inline bool
bounds_may_accept(const struct bounds *b)
{
	return BOUNDS_SUM(b, connections) <
	       atomic_load_explicit(&b->max_connections, memory_order_relaxed);
}

/* One connection to an instance more. */
static inline void
bounds_upstream_opened(struct bounds *b)
{
	atomic_fetch_add_explicit(&b->own->upstreams, 1, memory_order_relaxed);
}

static inline void
bounds_upstream_closed(struct bounds *b)
{
	atomic_fetch_sub_explicit(&b->own->upstreams, 1, memory_order_relaxed);
}

static inline bool
bounds_may_connect(const struct bounds *b)
{
	return BOUNDS_SUM(b, connections) + BOUNDS_SUM(b, upstreams) <
	       atomic_load_explicit(&b->max_sockets, memory_order_relaxed);
}

static inline bool
bounds_may_park(const struct bounds *b, uint32_t bytes)
{
	return BOUNDS_SUM(b, parked) < atomic_load_explicit(&b->max_parked, memory_order_relaxed) &&
	       BOUNDS_SUM(b, parked_bytes) + bytes <=
		       atomic_load_explicit(&b->max_parked_bytes, memory_order_relaxed);
}

/* One parked request more, or less, of so many bytes. */
static inline void
bounds_park(struct bounds *b, uint32_t bytes)
{
	atomic_fetch_add_explicit(&b->own->parked, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&b->own->parked_bytes, bytes, memory_order_relaxed);
}

static inline void
bounds_unpark(struct bounds *b, uint32_t bytes)
{
	atomic_fetch_sub_explicit(&b->own->parked, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&b->own->parked_bytes, bytes, memory_order_relaxed);
}

/* HTTP/2 keeps n more bytes.  False: that is more than it may keep. */
static inline bool
bounds_add_stream_bytes(struct bounds *b, size_t n)
{
	atomic_fetch_add_explicit(&b->own->stream_bytes, n, memory_order_relaxed);
	return BOUNDS_SUM(b, stream_bytes) <=
	       atomic_load_explicit(&b->max_stream_bytes, memory_order_relaxed);
}

/* Is max_stream_bytes not reached? */
static inline bool
bounds_may_add_stream_bytes(const struct bounds *b)
{
	return BOUNDS_SUM(b, stream_bytes) <
	       atomic_load_explicit(&b->max_stream_bytes, memory_order_relaxed);
}

/* A connection of HTTP/2 keeps n bytes.  False: half of max_stream_bytes is used, and its part is
 * more than a sixteenth: it leaves the rest to others. */
static inline bool
bounds_may_keep_stream_bytes(const struct bounds *b, uint64_t n)
{
	uint64_t most = atomic_load_explicit(&b->max_stream_bytes, memory_order_relaxed);

	return n <= most / 16 || BOUNDS_SUM(b, stream_bytes) <= most / 2;
}

static inline void
bounds_drop_stream_bytes(struct bounds *b, size_t n)
{
	atomic_fetch_sub_explicit(&b->own->stream_bytes, n, memory_order_relaxed);
}

#endif
