/* metric - counters, gauges and histograms, written in Prometheus' text format (exposition
 * format 0.0.4), or in that of OpenMetrics 1.0.0.  Each program has a table of them, metrics.def.
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

/* The form of what the calling thread writes from now on; at first it is that of Prometheus. */
enum metric_form { METRIC_PROMETHEUS, METRIC_OPENMETRICS };
void metric_set_form(enum metric_form);
enum metric_form metric_form(void);
/* Append what ends the text: in the form of OpenMetrics, a line. */
void metric_end(struct strbuf *);

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
/* Where a duration counts, up to METRIC_BUCKETS. */
size_t metric_hist_bucket(int64_t ns);
/* Count a duration.  Only for the one thread that writes the histogram. */
void metric_hist_add(struct metric_hist *, int64_t ns);
/* The sum of several histograms. */
struct metric_hist_sum {
	uint64_t bucket[METRIC_BUCKETS + 1];
	uint64_t sum_us;
};
/* Add `from` to `into`; any thread. */
void metric_hist_collect(struct metric_hist_sum *into, const struct metric_hist *from);
/* Add `from` to `into`, which only this thread writes. */
void metric_hist_merge(struct metric_hist *into, const struct metric_hist *from);
/* An example of a bucket: a request whose trace is recorded. */
#define METRIC_TRACE 32 /* hexadecimal digits, not terminated */
struct metric_exemplar {
	char trace[METRIC_TRACE]; /* all zero: there is none */
	double value, wall_s;	  /* its duration, and when that was, in seconds */
};
/* exemplars: one for each bucket, and for +Inf; NULL: none.  Prometheus' own form has no place for
 * them. */
void metric_hist_sample(struct strbuf *, const struct metric_def *, const char *const *labels,
			const struct metric_hist_sum *, const struct metric_exemplar *exemplars);

/* Add n to a counter that only this thread writes, which needs no locked instruction. */
static inline void
metric_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

#endif
