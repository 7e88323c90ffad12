/* timeq - the time limits of many connections on one timer.  A hashed wheel (Varghese
 * and Lauck, "Hashed and Hierarchical Timing Wheels", scheme 6) whose entries are only
 * ever moved when a limit comes closer: a limit that moves away costs nothing, since the
 * entry asks for the real one as it fires.  No system call, no allocation per limit.
 * Resolution TIMEQ_TICK.  Thread: the loop's. */
#ifndef ACTIVATOR_TIMEQ_H
#define ACTIVATOR_TIMEQ_H

#include "common/list.h"
#include "common/loop.h"

#define TIMEQ_TICK (INT64_C(16) * 1000 * 1000) /* ns */
#define TIMEQ_SLOTS 1024		       /* one turn: 16 s */

struct timeq {
	struct list slots[TIMEQ_SLOTS];
	uint64_t used[TIMEQ_SLOTS / 64]; /* bit: slot is not empty */
	int64_t tick;			 /* the last that was run */
	int64_t armed_tick;		 /* what the timer is set for; 0: not set */
	size_t n;
	bool is_time; /* the timer has fired: timeq_run() is to come */
	struct loop_timer timer;
};

struct timeq_entry {
	struct list_node node;
	int64_t tick;  /* where it is in the wheel */
	int64_t at_ns; /* the limit that it was put there for */
	/* Called at or after the limit that was set; may set again, or free itself. */
	void (*fn)(struct timeq_entry *, int64_t now_ns);
};

void timeq_init(struct timeq *, struct loop *);
void timeq_fini(struct timeq *); /* must be empty */

/* At the end of each round of the loop, behind what came in it: who has its answer in the
 * round in which its limit is over has it in time. */
void timeq_run(struct timeq *);

/* Call fn no later than one tick after at_ns, and perhaps earlier, if an earlier limit
 * was set before and has not fired: fn looks whether its time has come. */
void timeq_move(struct timeq *, struct timeq_entry *, int64_t at_ns);
static inline void
timeq_set(struct timeq *q, struct timeq_entry *e, int64_t at_ns)
{
	if (!list_linked(&e->node) || at_ns < e->at_ns) /* else it fires in time as it is */
		timeq_move(q, e, at_ns);
}
void timeq_clear(struct timeq *, struct timeq_entry *);

#endif
