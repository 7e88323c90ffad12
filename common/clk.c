#include "common/clk.h"

#include <time.h>

/* set before any thread starts; NULL: none */
static int64_t (*replacement)(void), (*wall_replacement)(void);

static int64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * CLK_S + ts.tv_nsec;
}

int64_t
clk_now(void)
{
	if (__builtin_expect(replacement != NULL, 0))
		return replacement();
	return read_clock(CLOCK_MONOTONIC);
}

int64_t
clk_boot(void)
{
	return replacement != NULL ? replacement() : read_clock(CLOCK_BOOTTIME);
}

int64_t
clk_wall(void)
{
	if (__builtin_expect(wall_replacement != NULL, 0))
		return wall_replacement();
	return read_clock(CLOCK_REALTIME);
}

int64_t
clk_cpu(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void
clk_replace(int64_t (*fn)(void))
{
	replacement = wall_replacement = fn;
}

void
clk_replace_wall(int64_t (*fn)(void))
{
	wall_replacement = fn;
}
