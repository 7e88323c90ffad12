/* slots - the atomic words of an instance: how many requests are in flight there, how many may
 * be, and why it takes no new one; and how many connections there are, and may be.
 *
 * A slot is the right to have one request in flight at one instance.  Limit and count are
 * one word, so that a slot is taken only under the limit that holds at that very moment:
 * when the limit is lowered, the compare-and-swap of a thread that has read the higher one
 * fails, and the thread looks again (promise 3, README).
 *
 *	63 … 59      58 … 32   31 … 0
 *	SLOTS_*      limit     count
 *	(closed by)
 *
 * The word of permits (connections) has the same limit, and a count:
 *
 *	63 … 32      31 … 0
 *	limit        count
 *
 * Every change is seq_cst: limiter.c builds its order of arrival on that.
 * Pure.  Thread: any; lock-free. */
#ifndef ACTIVATOR_SLOTS_H
#define ACTIVATOR_SLOTS_H

#include <stdatomic.h>

#include "common/base.h"

/* Why an instance takes no new request: any of these closes it. */
#define SLOTS_UNREADY (UINT64_C(1) << 63)   /* has not answered yet, or refused a connection */
#define SLOTS_STOPPING (UINT64_C(1) << 62)  /* the autoscaler stops it, or lists it no more */
#define SLOTS_DRAIN (UINT64_C(1) << 61)	    /* a drain of the instance */
#define SLOTS_REV_DRAIN (UINT64_C(1) << 60) /* a drain of its revision */
#define SLOTS_SPENT (UINT64_C(1) << 59)	    /* it has had max_requests */
#define SLOTS_CLOSED (SLOTS_UNREADY | SLOTS_STOPPING | SLOTS_DRAIN | SLOTS_REV_DRAIN | SLOTS_SPENT)

#define SLOTS_LIMIT_SHIFT 32
#define SLOTS_NO_LIMIT UINT32_C(0x07ffffff) /* as a limit: more than can be in flight */
#define SLOTS_LIMIT ((uint64_t)SLOTS_NO_LIMIT << SLOTS_LIMIT_SHIFT)

static inline uint32_t
slots_count(uint64_t word)
{
	return (uint32_t)word;
}

static inline uint32_t
slots_limit(uint64_t word)
{
	return (uint32_t)((word & SLOTS_LIMIT) >> SLOTS_LIMIT_SHIFT);
}

static inline bool
slots_is_open(uint64_t word)
{
	return (word & SLOTS_CLOSED) == 0;
}

/* Could one more be taken? */
static inline bool
slots_has_free(uint64_t word)
{
	return slots_is_open(word) && slots_count(word) < slots_limit(word);
}

static inline uint64_t
slots_read(const _Atomic uint64_t *slots)
{
	return atomic_load_explicit(slots, memory_order_relaxed);
}

/* Take a slot.  False: it is closed, or full. */
NODISCARD static inline bool
slots_try_take(_Atomic uint64_t *slots)
{
	uint64_t word = slots_read(slots);

	do {
		if (!slots_has_free(word))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		slots, &word, word + 1, memory_order_seq_cst, memory_order_relaxed));
	return true;
}

/* True: more were taken than the limit allows. */
static inline bool
slots_give_back(_Atomic uint64_t *slots)
{
	uint64_t word = atomic_fetch_sub_explicit(slots, 1, memory_order_seq_cst);

	CHECK(slots_count(word) > 0);
	return slots_count(word) > slots_limit(word);
}

/* From here on no slot above the limit is taken.  If more are taken already, they stay so, and
 * none is free until the count has fallen below the limit. */
static inline void
slots_set_limit(_Atomic uint64_t *slots, uint32_t limit)
{
	uint64_t word = slots_read(slots), with;

	do
		with = (word & ~SLOTS_LIMIT) | (uint64_t)MIN(limit, SLOTS_NO_LIMIT)
						       << SLOTS_LIMIT_SHIFT;
	while (!atomic_compare_exchange_weak_explicit(slots, &word, with, memory_order_seq_cst,
						      memory_order_relaxed));
}

/* --- permits --- */

static inline uint32_t
permits_count(uint64_t word)
{
	return (uint32_t)word;
}

static inline uint32_t
permits_limit(uint64_t word)
{
	return (uint32_t)(word >> SLOTS_LIMIT_SHIFT);
}

/* Take a permit.  False: there are as many as the limit, or as `least` if that is more. */
NODISCARD static inline bool
permits_try_take(_Atomic uint64_t *permits, uint32_t least)
{
	uint64_t word = slots_read(permits);

	do {
		if (permits_count(word) >= MAX(permits_limit(word), least))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		permits, &word, word + 1, memory_order_seq_cst, memory_order_relaxed));
	return true;
}

/* True: there were more than the limit allows. */
static inline bool
permits_give_back(_Atomic uint64_t *permits)
{
	uint64_t word = atomic_fetch_sub_explicit(permits, 1, memory_order_seq_cst);

	CHECK(permits_count(word) > 0);
	return permits_count(word) > permits_limit(word);
}

/* As slots_set_limit(). */
static inline void
permits_set_limit(_Atomic uint64_t *permits, uint32_t limit)
{
	uint64_t word = slots_read(permits), with;

	do
		with = (uint64_t)limit << SLOTS_LIMIT_SHIFT | permits_count(word);
	while (!atomic_compare_exchange_weak_explicit(permits, &word, with, memory_order_seq_cst,
						      memory_order_relaxed));
}

/* --- why an instance is closed --- */

/* Close it for these reasons.  Returns the word as it was before. */
static inline uint64_t
slots_close(_Atomic uint64_t *slots, uint64_t why)
{
	CHECK((why & ~SLOTS_CLOSED) == 0);
	return atomic_fetch_or_explicit(slots, why, memory_order_seq_cst);
}

/* These reasons are over; any other keeps it closed. */
static inline void
slots_open(_Atomic uint64_t *slots, uint64_t why)
{
	CHECK((why & ~SLOTS_CLOSED) == 0);
	atomic_fetch_and_explicit(slots, ~why, memory_order_seq_cst);
}

#endif
