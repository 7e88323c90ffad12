/* clk - the only place that reads a clock.  Everything that measures or waits
 * uses monotonic nanoseconds; wall time is for log lines and cron alone.
 * Tests and simulations put a clock of their own in its place.  Thread: any. */
#ifndef COMMON_CLK_H
#define COMMON_CLK_H

#include "common/base.h"

#define CLK_US INT64_C(1000)
#define CLK_MS INT64_C(1000000)
#define CLK_S INT64_C(1000000000)

/* Monotonic nanoseconds (CLOCK_MONOTONIC). */
int64_t clk_now(void);

/* Wall clock: nanoseconds since the epoch, UTC. */
int64_t clk_wall(void);

/* For tests and simulations: both clocks answer what `fn` does; NULL puts the real ones
 * back. */
void clk_replace(int64_t (*fn)(void));

#endif
