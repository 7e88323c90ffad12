#include "autoscaler/brain/timing.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"

/* A report can tell that answers are missing only this long after an instance began to
 * answer: before, they were on their way. */
#define OVERDUE_AFTER (40 * CLK_MS)
#define LATENCY_KEEP 0.9 /* of the weight of older reports, with each new one */

void
timing_answering(struct timing *t, int64_t now_ns)
{
	if (t->answering_ns != 0)
		return;
	t->answering_ns = t->outstanding_ns = now_ns;
	t->is_overdue = false;
	t->outstanding_most = 0;
}

void
timing_not_answering(struct timing *t)
{
	t->answering_ns = 0;
}

void
timing_started(struct timing *t, int64_t took_ns)
{
	t->start_s[t->starts++ % TIMING_STARTS] = (double)took_ns / CLK_S;
}

void
timing_completed(struct timing *t, double latency_s, uint64_t completed)
{
	t->latency_sum_s = t->latency_sum_s * LATENCY_KEEP + latency_s * (double)completed;
	t->latency_n = t->latency_n * LATENCY_KEEP + (double)completed;
}

void
timing_outstanding(struct timing *t, uint32_t outstanding, bool is_waiting, int64_t now_ns)
{
	if (t->latency_n > 0 || t->answering_ns == 0)
		return;
	t->outstanding_most = MAX(t->outstanding_most, outstanding);
	if (outstanding < t->outstanding_most)
		return; /* one has ended: an answer is known before its report comes */
	t->outstanding_ns = now_ns;
	t->is_overdue |= is_waiting && now_ns - t->answering_ns >= OVERDUE_AFTER;
}

double
timing_latency_s(const struct timing *t)
{
	return t->latency_n > 0 ? t->latency_sum_s / t->latency_n : -1;
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
timing_start_s(const struct timing *t)
{
	double sorted[TIMING_STARTS];
	size_t n = MIN(t->starts, TIMING_STARTS);

	if (n == 0)
		return -1;
	memcpy(sorted, t->start_s, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, compare_doubles);
	return sorted[n / 2];
}

double
timing_waited_s(const struct timing *t)
{
	if (t->latency_n > 0 || t->answering_ns == 0 || !t->is_overdue)
		return 0;
	return (double)(t->outstanding_ns - t->answering_ns) / CLK_S;
}

void
timing_import(struct timing *t, double latency_s, double start_s)
{
	if (latency_s >= 0 && t->latency_n <= 0) {
		t->latency_sum_s = latency_s;
		t->latency_n = 1;
	}
	if (start_s >= 0 && t->starts == 0)
		t->start_s[t->starts++] = start_s;
}
