/* backoff - how long to wait before the next try: doubles from `first` to `most`,
 * with full jitter on the upper half (AWS Architecture Blog, "Exponential Backoff
 * And Jitter", equal jitter).  Pure: the random number is the caller's. */
#ifndef COMMON_BACKOFF_H
#define COMMON_BACKOFF_H

#include "common/base.h"

struct backoff {
	int64_t first_ns, most_ns;
	unsigned tries; /* failures in a row */
};

void backoff_init(struct backoff *, int64_t first_ns, int64_t most_ns);
/* The next delay in ns, between half of and the whole of the step; counts the try. */
int64_t backoff_next(struct backoff *, uint32_t random);
void backoff_reset(struct backoff *);

#endif
