/* crash - what the ends of a revision's instances mean for its next start.
 *  - The first end before it was ever ready: once more, at once (its port may have
 *    been taken between our try and its own).
 *  - The second in a row, or a start that failed: a failure, which holds for a
 *    back-off; then the next start is allowed.
 *  - An end after it was ready is no failure.  If it comes soon after the start
 *    again and again, starts wait for a back-off without a failure, so that a
 *    program that dies on its first request does not take a core.
 * Pure: the time (monotonic ns) and the random number are arguments. */
#ifndef AUTOSCALER_KEEPER_CRASH_H
#define AUTOSCALER_KEEPER_CRASH_H

#include "common/backoff.h"

#define CRASH_BACKOFF_FIRST_NS (INT64_C(1) * 1000000000)
#define CRASH_BACKOFF_MOST_NS (INT64_C(60) * 1000000000)
/* One that lived as long as this has shown that it works. */
#define CRASH_CALM_NS (INT64_C(10) * 1000000000)

struct crash {
	struct backoff backoff;
	unsigned early_ends; /* before ready, in a row */
	unsigned quick_ends; /* after ready, within CRASH_CALM_NS, in a row */
	int64_t until_ns;    /* no start before; 0: at once */
	bool is_failed;	     /* until until_ns */
	char reason[32];     /* of the failure: one word */
	char message[500];
};

void crash_init(struct crash *);

/* An instance has answered: what was before is forgiven. */
void crash_answered(struct crash *);

/* An instance has ended by itself.  how: "exited with status 3". */
void crash_ended(struct crash *, bool was_ready, int64_t lived_ns, const char *how, int64_t now_ns,
		 uint32_t random);

/* It could not even be started; why is the whole message. */
void crash_start_failed(struct crash *, const char *why, int64_t now_ns, uint32_t random);

/* Nanoseconds until a start is allowed; 0: now.  Forgets a failure that is over. */
int64_t crash_wait(struct crash *, int64_t now_ns);

/* How a wait(2) status reads: "exited with status 3", "was ended by SIGSEGV". */
void crash_describe(int wait_status, char *text, size_t size);

#endif
