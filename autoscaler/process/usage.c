#include "autoscaler/process/usage.h"

#include <stdlib.h>

#include "autoscaler/keeper/proctab.h"
#include "common/clk.h"

#define EVERY_NS CLK_S
#define REST_FACTOR 100 /* wait this many times as long as the reading took */

static int
by_pid(const void *a, const void *b)
{
	pid_t x = ((const struct usage_sample *)a)->pid;
	pid_t y = ((const struct usage_sample *)b)->pid;

	return (x > y) - (x < y);
}

static struct usage_sample *
find(struct usage_sample *v, size_t n, pid_t pid)
{
	struct usage_sample key = {.pid = pid};

	return bsearch(&key, v, n, sizeof *v, by_pid);
}

static void
add(struct usage_sample *s, const struct proctab_entry *p)
{
	s->cpu_s = MAX(s->cpu_s, 0) + p->cpu_s;
	s->memory_bytes += p->memory_bytes;
}

int64_t
usage_read(struct usage_sample *v, size_t n, pid_t keeper)
{
	int64_t began = clk_now();
	struct proctab t;
	size_t i;

	qsort(v, n, sizeof *v, by_pid);
	for (i = 0; i < n; i++) {
		v[i].cpu_s = -1;
		v[i].memory_bytes = 0;
	}
	proctab_read(&t);
	proctab_root(&t, keeper);
	for (i = 0; i < t.n; i++) {
		struct usage_sample *s = find(v, n, t.v[i].root);

		s = s != NULL ? s : find(v, n, t.v[i].session);
		if (s != NULL)
			add(s, &t.v[i]);
	}
	proctab_fini(&t);
	return MAX(EVERY_NS, (clk_now() - began) * REST_FACTOR);
}
