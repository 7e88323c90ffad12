/* clk - the clocks; no other file reads one.  Whatever measures or waits uses monotonic
 * nanoseconds; only log lines and schedules use wall time.
 * Tests and simulations replace the clocks by one of their own.  Thread: any. */
#ifndef COMMON_CLK_H
#define COMMON_CLK_H

#include "common/base.h"

#define CLK_US INT64_C(1000)
#define CLK_MS INT64_C(1000000)
#define CLK_S INT64_C(1000000000)

/* Monotonic nanoseconds (CLOCK_MONOTONIC). */
int64_t clk_now(void);

/* Nanoseconds of CLOCK_BOOTTIME: monotonic, and runs on while the machine sleeps. */
int64_t clk_boot(void);

/* Wall clock: nanoseconds since the epoch, UTC. */
int64_t clk_wall(void);

/* How long the calling thread has run on a CPU, in nanoseconds. */
int64_t clk_cpu(void);

/* For tests and simulations: both clocks return what fn returns; NULL restores the real
 * clocks. */
void clk_replace(int64_t (*fn)(void));
/* The same for the wall clock alone, which may step. */
void clk_replace_wall(int64_t (*fn)(void));

#endif
