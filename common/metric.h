/* metric - counters, gauges and histograms from one table per program
 * (metrics.def), kept in shards so that no two threads write one cache line, and
 * rendered as Prometheus text (exposition format 0.0.4).
 * Thread: a shard belongs to one thread; rendering reads all shards relaxed. */
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
	const char *labels; /* comma-joined label names, "" for none */
	const char *help;
};

/* A family and its samples are written by the program's own collect function: */
void metric_head(struct strbuf *, const struct metric_def *);
/* value of one sample; labels are values in the order of def->labels, escaped here. */
void metric_sample(struct strbuf *, const struct metric_def *, const char *const *labels,
		   double value);

/* Histograms: fixed buckets in seconds, 1 ms … 600 s (a cold start has to fit). */
#define METRIC_BUCKETS 20
extern const double metric_bucket_le[METRIC_BUCKETS];

struct metric_hist {
	_Atomic uint64_t bucket[METRIC_BUCKETS + 1]; /* last: +Inf; not cumulative */
	_Atomic uint64_t sum_us;
};
/* Owner thread only. */
void metric_hist_add(struct metric_hist *, int64_t ns);
/* Add `from` to the plain sums in `into` (owner: the renderer). */
struct metric_hist_sum {
	uint64_t bucket[METRIC_BUCKETS + 1];
	uint64_t sum_us;
};
void metric_hist_collect(struct metric_hist_sum *into, const struct metric_hist *from);
void metric_hist_sample(struct strbuf *, const struct metric_def *, const char *const *labels,
			const struct metric_hist_sum *);

/* A counter of one writer: no locked instruction. */
static inline void
metric_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

#endif
