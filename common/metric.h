/* metric - counters, gauges and histograms, written in Prometheus' text format (exposition
 * format 0.0.4).  Each program has a table of them, metrics.def.
 * Thread: each value has one thread that writes it; any thread may read it. */
#ifndef COMMON_METRIC_H
#define COMMON_METRIC_H

#include <stdatomic.h>

#include "common/base.h"

struct strbuf;

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* One row of metrics.def: METRIC(id, type, "name", "label,label", "help"). */
struct metric_def {
	enum metric_type type;
	const char *name;
	const char *labels; /* the names, with commas between them; "": none */
	const char *help;
};

/* Append the HELP and TYPE lines of a metric, which stand before its samples. */
void metric_head(struct strbuf *, const struct metric_def *);
/* Append a sample of a counter or gauge.  labels: the values, not escaped, in the order of
 * def->labels. */
void metric_sample(struct strbuf *, const struct metric_def *, const char *const *labels,
		   double value);

/* Histograms.  Their bounds are the same for all: 1 ms to 600 s, for cold starts too. */
#define METRIC_BUCKETS 20

struct metric_hist {
	_Atomic uint64_t bucket[METRIC_BUCKETS + 1]; /* each without those below; last: +Inf */
	_Atomic uint64_t sum_us;
};
/* Count a duration.  Only for the one thread that writes the histogram. */
void metric_hist_add(struct metric_hist *, int64_t ns);
/* The sum of several histograms. */
struct metric_hist_sum {
	uint64_t bucket[METRIC_BUCKETS + 1];
	uint64_t sum_us;
};
/* Add `from` to `into`; any thread. */
void metric_hist_collect(struct metric_hist_sum *into, const struct metric_hist *from);
void metric_hist_sample(struct strbuf *, const struct metric_def *, const char *const *labels,
			const struct metric_hist_sum *);

/* Add n to a counter that only this thread writes, which needs no locked instruction. */
static inline void
metric_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

#endif
