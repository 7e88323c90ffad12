/* backoff - the delay before the next try: it doubles from first_ns to max_ns, and a random
 * part of up to one half is taken off ("equal jitter": AWS Architecture Blog, "Exponential
 * Backoff And Jitter").  Pure: the caller passes the random number. */
#ifndef COMMON_BACKOFF_H
#define COMMON_BACKOFF_H

#include "common/base.h"

struct backoff {
	int64_t first_ns, max_ns;
	unsigned tries; /* since the last reset */
};

void backoff_init(struct backoff *, int64_t first_ns, int64_t max_ns);
/* Count a try and return the delay before it in ns, from half the step to all of it. */
int64_t backoff_next(struct backoff *, uint32_t random);
void backoff_reset(struct backoff *);

#endif
