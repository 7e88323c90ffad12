/* window - what was observed of one revision over time: one bucket for each second, the sum of
 * what all activators reported of it, and averages over the last buckets.
 *
 * Missing data is not zero (promise 6, README).  The newest seconds are left out of an average
 * while no report of them has come, and nothing is known if none came for a whole span.  An
 * earlier second without a report counts as zero, since an activator does not report a revision
 * of which it has no requests.
 * Pure: the time is an argument, monotonic ns.  Thread: the caller's. */
#ifndef AUTOSCALER_BRAIN_WINDOW_H
#define AUTOSCALER_BRAIN_WINDOW_H

#include "common/base.h"

struct window; /* opaque */

/* span_s: the longest span of an average, in seconds. */
NODISCARD struct window *window_new(unsigned span_s);
void window_free(struct window **);
void window_resize(struct window *, unsigned span_s); /* keeps the buckets that fit */

/* Add one activator's report of the time from now - period to now: the average concurrency of
 * that time, and how many requests arrived in it. */
void window_add(struct window *, int64_t now_ns, int64_t period_ns, double concurrency,
		double requests);

/* The revision is in use, or was until now: its idle time begins anew.  The caller says so, as
 * the concurrency of the reports may leave out requests (parked ones). */
void window_touch(struct window *, int64_t now_ns);

struct window_mean {
	bool is_known; /* false: no report within the span */
	double concurrency;
	double rps;
	unsigned seconds; /* how many it is the average of */
};
enum window_weighting { WINDOW_LINEAR, WINDOW_EXPONENTIAL };
/* The time since the last window_touch(), or else since the first report began, ns; 0: nothing
 * is known. */
int64_t window_idle_ns(const struct window *, int64_t now_ns);
/* The average over the last span_s seconds, as Knative has it (knative.md 2.2). */
struct window_mean window_mean(const struct window *, int64_t now_ns, unsigned span_s,
			       enum window_weighting);

#endif
