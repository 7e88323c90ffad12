/* crash - when a revision may start its next instance, after one has ended by itself.
 *  - It ended before it was ready, for the first time: start again at once.  Its port may
 *    have been taken between the check that it was free and its own bind().
 *  - The second such end in a row, or an exec that failed: the revision has failed.  The
 *    failure holds for a back-off; then the next start is allowed.
 *  - It ended within CRASH_CALM_NS of becoming ready, and had answered no request: the same.
 *    A connection that was accepted proves that a program listens, and no more: it may be
 *    about to find that it cannot work.
 *  - It ended after it had answered a request, or later: no failure.  If instances end
 *    within CRASH_CALM_NS of their start again and again, starts wait for a back-off,
 *    without a failure: a program that dies on its first request would otherwise take a core.
 * Pure: the time (monotonic ns) and the random number are arguments. */
#ifndef AUTOSCALER_KEEPER_CRASH_H
#define AUTOSCALER_KEEPER_CRASH_H

#include "common/backoff.h"

#define CRASH_BACKOFF_FIRST_NS (INT64_C(1) * 1000000000)
#define CRASH_BACKOFF_MOST_NS (INT64_C(60) * 1000000000)
/* An instance that has been ready for this long works. */
#define CRASH_CALM_NS (INT64_C(10) * 1000000000)

/* How far an instance had come when it ended. */
enum crash_stage {
	CRASH_STARTING, /* it was not ready */
	CRASH_UNPROVEN, /* ready for less than CRASH_CALM_NS, and it had answered no request */
	CRASH_PROVEN
};

struct crash {
	struct backoff backoff;
	unsigned early_ends; /* before they were proven, in a row */
	unsigned quick_ends; /* proven, within CRASH_CALM_NS, in a row */
	int64_t until_ns;    /* no start before this time; 0: at once */
	bool is_failed;	     /* holds until until_ns */
	char reason[32];     /* of the failure, one word, as msg_failure has it */
	char message[500];
};

void crash_init(struct crash *);

/* An instance has proven that the revision works: earlier failures no longer count. */
void crash_proven(struct crash *);

/* An instance has ended by itself.  how: see crash_describe(). */
void crash_ended(struct crash *, enum crash_stage, int64_t lived_ns, const char *how,
		 int64_t now_ns, uint32_t random);

/* fork or exec has failed; why: the message for people. */
void crash_start_failed(struct crash *, const char *why, int64_t now_ns, uint32_t random);

/* Nanoseconds until a start is allowed; 0: now.  Clears a failure whose time is over. */
int64_t crash_wait(struct crash *, int64_t now_ns);

/* A wait(2) status in words: "exited with status 3", "was ended by SIGSEGV". */
void crash_describe(int wait_status, char *text, size_t size);

#endif
