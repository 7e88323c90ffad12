/* timeq - the time limits of many connections on one timer of the loop.
 *
 * A hashed timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", scheme
 * 6).  An entry is moved only when its limit comes closer.  A limit that moves away, as after
 * each byte of a body, costs nothing: the entry fires too early, and its callback then sets the
 * limit that holds.  No system call and no allocation for a limit.  Resolution: TIMEQ_TICK.
 * Thread: the loop's. */
#ifndef ACTIVATOR_TIMEQ_H
#define ACTIVATOR_TIMEQ_H

#include "common/list.h"
#include "common/loop.h"

#define TIMEQ_TICK (INT64_C(16) * 1000 * 1000) /* ns */
#define TIMEQ_SLOTS 1024		       /* of the wheel; one turn is 16 s */

struct timeq {
	struct list slots[TIMEQ_SLOTS];
	uint64_t used[TIMEQ_SLOTS / 64]; /* a bit for each slot: it is not empty */
	int64_t tick;			 /* the last one that was run */
	int64_t armed_tick;		 /* for which the timer is set; 0: it is not */
	size_t n;
	int64_t fired_ns; /* when the timer fired; timeq_run() makes it 0 */
	struct loop_timer timer;
};

struct timeq_entry {
	struct list_node node;
	int64_t tick;  /* gives its slot in the wheel */
	int64_t at_ns; /* the limit that it was put there for */
	/* Called when a limit may have come; may set the entry again, or free it. */
	void (*fn)(struct timeq_entry *, int64_t now_ns);
};

void timeq_init(struct timeq *, struct loop *);
void timeq_fini(struct timeq *); /* it must be empty */

/* Call it at the end of each round of the loop, after the events of the round: a response that
 * comes in the same round as the limit is in time.  Limits that come after the timer has fired wait
 * for the next round, and its events, even if this one took long: a thread that did not run for a
 * while finds in time what has come meanwhile. */
void timeq_run(struct timeq *);

/* Call fn within one tick after at_ns; or before, if an earlier limit was set and has not
 * fired.  So fn must check whether its limit has come. */
void timeq_move(struct timeq *, struct timeq_entry *, int64_t at_ns);
static inline void
timeq_set(struct timeq *q, struct timeq_entry *e, int64_t at_ns)
{
	if (!list_linked(&e->node) || at_ns < e->at_ns) /* else it fires in time as it is */
		timeq_move(q, e, at_ns);
}
void timeq_clear(struct timeq *, struct timeq_entry *);

#endif
