#include "common/tally.h"

int64_t
tally_bucket_ns(unsigned bucket)
{
	unsigned top = bucket / 4 + 1;

	if (bucket < 4)
		return (int64_t)bucket << TALLY_UNIT_SHIFT;
	return (int64_t)(4 + bucket % 4) << (top - 2) << TALLY_UNIT_SHIFT;
}

void
tally_join(struct tally *into, const struct tally *from)
{
	size_t i;

	for (i = 0; i < TALLY_ENDS_N; i++)
		into->ends[i] += from->ends[i];
	for (i = 0; i < TALLY_BUCKETS; i++)
		into->durations[i] += from->durations[i];
}

void
tally_subtract(struct tally *from, const struct tally *what)
{
	size_t i;

	for (i = 0; i < TALLY_ENDS_N; i++)
		from->ends[i] -= what->ends[i];
	for (i = 0; i < TALLY_BUCKETS; i++)
		from->durations[i] -= what->durations[i];
}

bool
tally_is_below(const struct tally *t, const struct tally *other)
{
	size_t i;

	for (i = 0; i < TALLY_ENDS_N; i++)
		if (t->ends[i] < other->ends[i])
			return true;
	for (i = 0; i < TALLY_BUCKETS; i++)
		if (t->durations[i] < other->durations[i])
			return true;
	return false;
}

uint64_t
tally_all(const struct tally *t)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < TALLY_ENDS_N; i++)
		n += t->ends[i];
	return n;
}

uint64_t
tally_answered(const struct tally *t)
{
	return tally_all(t) - t->ends[TALLY_ABANDONED] - t->ends[TALLY_OTHER];
}

uint64_t
tally_errors(const struct tally *t)
{
	return t->ends[TALLY_5XX] + t->ends[TALLY_FAILED];
}

uint64_t
tally_counted(const struct tally *t)
{
	return tally_all(t) - t->ends[TALLY_OTHER];
}

uint64_t
tally_timed(const struct tally *t)
{
	return tally_counted(t) - t->ends[TALLY_1XX];
}

double
tally_slower(const struct tally *t, int64_t ns)
{
	unsigned at = tally_bucket(ns), i;
	double n = 0, begin = (double)tally_bucket_ns(at), end = (double)tally_bucket_ns(at + 1);

	for (i = at + 1; i < TALLY_BUCKETS; i++)
		n += (double)t->durations[i];
	return n + (double)t->durations[at] * (1 - MIN(((double)ns - begin) / (end - begin), 1.0));
}

int64_t
tally_quantile(const struct tally *t, double part)
{
	double n = 0, before = 0;
	unsigned i;

	for (i = 0; i < TALLY_BUCKETS; i++)
		n += (double)t->durations[i];
	if (n <= 0)
		return 0;
	for (i = 0; i < TALLY_BUCKETS - 1; i++) {
		double here = (double)t->durations[i];

		if (here > 0 && before + here >= part * n)
			break;
		before += here;
	}
	if (t->durations[i] == 0)
		return tally_bucket_ns(i);
	return tally_bucket_ns(i) +
	       (int64_t)((double)(tally_bucket_ns(i + 1) - tally_bucket_ns(i)) *
			 MIN((part * n - before) / (double)t->durations[i], 1.0));
}
