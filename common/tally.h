/* tally - what the requests of one revision came to: how many ended in which way, and how long they
 * took.  Activators count it and send it in `stats`; rollouts are judged by it.
 *
 * A duration is counted from the request's arrival to its end, so it includes the time that the
 * request was parked.  That of a request whose client left is the least that it would have taken.
 * A request that was upgraded has none: its client and its instance decide how long it lasts.
 * Each power of two of the durations has four buckets: a bucket ends at most a quarter above its
 * beginning.
 * Pure.  Thread: the owner. */
#ifndef COMMON_TALLY_H
#define COMMON_TALLY_H

#include "common/base.h"

/* How a request ended, in the order of `stats`.  An answer's number is the first digit of its
 * status.
 */
#define TALLY_ENDS(X)                                                                              \
	X(OTHER) /* for a reason that lies with its client, a rule or the activator */             \
	X(1XX)	 /* answered by an instance: upgraded to another protocol, or a CONNECT */         \
	X(2XX)                                                                                     \
	X(3XX)                                                                                     \
	X(4XX)                                                                                     \
	X(5XX)                                                                                     \
	X(FAILED)    /* refused or cut off for a reason that lies with its instances */            \
	X(ABANDONED) /* its client left before the response was complete */
enum tally_end {
#define X(id) TALLY_##id,
	TALLY_ENDS(X)
#undef X
		TALLY_ENDS_N
};

#define TALLY_BUCKETS 84 /* the last one begins at 16 minutes, and has all that is longer */

struct tally {
	uint64_t ends[TALLY_ENDS_N];
	uint64_t durations[TALLY_BUCKETS];
};

#define TALLY_UNIT_SHIFT 18 /* the first buckets are 2^18 ns wide, 0.26 ms */

static inline unsigned
tally_bucket(int64_t ns)
{
	uint64_t units = (uint64_t)ns >> TALLY_UNIT_SHIFT;
	unsigned top, bucket;

	if (units < 4)
		return (unsigned)units;
	top = 63 - (unsigned)__builtin_clzll(units);
	bucket = 4 * (top - 1) + (unsigned)(units >> (top - 2) & 3);
	return MIN(bucket, (unsigned)TALLY_BUCKETS - 1);
}

/* Where the bucket begins. */
int64_t tally_bucket_ns(unsigned bucket);

/* Of an answer with this status. */
static inline uint8_t
tally_end_of(uint32_t status)
{
	return (uint8_t)MIN(status / 100, (uint32_t)TALLY_FAILED);
}

/* Count a request that took ns, or 0 if ns < 0.  What ended for another reason has no duration. */
static inline void
tally_add(struct tally *t, enum tally_end end, int64_t ns)
{
	t->ends[end]++;
	if (end != TALLY_OTHER && end != TALLY_1XX)
		t->durations[tally_bucket(MAX(ns, INT64_C(0)))]++;
}

/* Add `from` to `into`, or take it away; no count of it may be higher. */
void tally_join(struct tally *into, const struct tally *from);
void tally_subtract(struct tally *from, const struct tally *what);
/* Has it a count that is lower than the other's? */
bool tally_is_below(const struct tally *, const struct tally *other);

/* All requests; those that were answered or failed; those answered 5xx or failed. */
uint64_t tally_all(const struct tally *);
uint64_t tally_answered(const struct tally *);
uint64_t tally_errors(const struct tally *);
/* All but those that ended for another reason; of these, those that have a duration: the upgraded
 * ones have none. */
uint64_t tally_counted(const struct tally *);
uint64_t tally_timed(const struct tally *);
/* Requests that took longer than ns.  Of the bucket that has ns in it, the part above ns counts as
 * if durations were spread evenly. */
double tally_slower(const struct tally *, int64_t ns);
/* The duration that `part` (0.99) of the requests do not exceed, ns; 0: there are none. */
int64_t tally_quantile(const struct tally *, double part);

#endif
