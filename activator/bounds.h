/* bounds - what all workers together hold, and the most that they may (promise 9, README).
 *
 * Each worker looks at a counter and then adds to it, so that a bound can be passed by as
 * many as there are workers: it limits memory and descriptors, it is not a ledger.
 * Thread: any; counters are atomic and relaxed. */
#ifndef ACTIVATOR_BOUNDS_H
#define ACTIVATOR_BOUNDS_H

#include <stdatomic.h>

#include "common/base.h"

struct bounds {
	/* immutable once the first worker is made */
	uint32_t max_connections; /* of clients */
	uint32_t max_sockets;	  /* connections of clients and to instances */
	uint32_t max_parked;	  /* requests */
	uint64_t max_parked_bytes;
	uint64_t
		max_stream_bytes; /* of connections of HTTP/2, and bodies that their streams keep */
	/* atomics */
	_Atomic uint32_t connections, upstreams;
	_Atomic uint32_t parked;
	_Atomic uint64_t parked_bytes;
	_Atomic uint64_t stream_bytes;
};

static inline bool
bounds_may_accept(const struct bounds *b)
{
	return atomic_load_explicit(&b->connections, memory_order_relaxed) < b->max_connections;
}

static inline bool
bounds_may_connect(const struct bounds *b)
{
	return atomic_load_explicit(&b->connections, memory_order_relaxed) +
		       atomic_load_explicit(&b->upstreams, memory_order_relaxed) <
	       b->max_sockets;
}

static inline bool
bounds_may_park(const struct bounds *b, uint32_t bytes)
{
	return atomic_load_explicit(&b->parked, memory_order_relaxed) < b->max_parked &&
	       atomic_load_explicit(&b->parked_bytes, memory_order_relaxed) + bytes <=
		       b->max_parked_bytes;
}

/* One parked request more, or less, of so many bytes. */
static inline void
bounds_park(struct bounds *b, uint32_t bytes)
{
	atomic_fetch_add_explicit(&b->parked, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&b->parked_bytes, bytes, memory_order_relaxed);
}

static inline void
bounds_unpark(struct bounds *b, uint32_t bytes)
{
	atomic_fetch_sub_explicit(&b->parked, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&b->parked_bytes, bytes, memory_order_relaxed);
}

/* HTTP/2 keeps n more bytes.  False: that is more than it may keep. */
static inline bool
bounds_add_stream_bytes(struct bounds *b, size_t n)
{
	return atomic_fetch_add_explicit(&b->stream_bytes, n, memory_order_relaxed) + n <=
	       b->max_stream_bytes;
}

/* A connection of HTTP/2 keeps n bytes.  False: half of max_stream_bytes is used, and its part is
 * more than a sixteenth: it leaves the rest to others. */
static inline bool
bounds_may_keep_stream_bytes(const struct bounds *b, uint64_t n)
{
	return n <= b->max_stream_bytes / 16 ||
	       atomic_load_explicit(&b->stream_bytes, memory_order_relaxed) <=
		       b->max_stream_bytes / 2;
}

static inline void
bounds_drop_stream_bytes(struct bounds *b, size_t n)
{
	atomic_fetch_sub_explicit(&b->stream_bytes, n, memory_order_relaxed);
}

#endif
