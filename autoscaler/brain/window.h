/* window - what was observed of one revision: one-second buckets, summed over the
 * activators that reported that second, and the averages over spans of them.
 * Missing data is missing, not zero (promise 6): a second that nobody reported is not in
 * an average if it is the newest, or if nothing was reported for a whole span before it.
 * A second within that nobody reported had nothing: who has nothing says nothing of it.
 * Pure: the time is an argument,
 * monotonic ns.  Thread: the caller's. */
#ifndef AUTOSCALER_BRAIN_WINDOW_H
#define AUTOSCALER_BRAIN_WINDOW_H

#include "common/base.h"

struct window; /* opaque */

/* span_s: the longest average that will be asked for, in seconds. */
NODISCARD struct window *window_new(unsigned span_s);
void window_free(struct window **);
void window_resize(struct window *, unsigned span_s); /* keeps what fits */

/* Add one activator's report that covers (now - period, now]: `concurrency` is its
 * time-weighted average over that period, `requests` how many arrived in it. */
void window_add(struct window *, int64_t now_ns, int64_t period_ns, double concurrency,
		double requests);

/* Somebody is served or waits, or did until now: it is idle from here on.  The caller's to
 * say: the averages may be given less than all that was there. */
void window_touch(struct window *, int64_t now_ns);

struct window_mean {
	bool is_known; /* false: no report within the span */
	double concurrency;
	double rps;
	unsigned seconds; /* that had data */
};
enum window_weighting { WINDOW_LINEAR, WINDOW_EXPONENTIAL };
/* How long ago that was said last, or else the first report began, ns; 0: nothing is known. */
int64_t window_idle_ns(const struct window *, int64_t now_ns);
/* Average over the last span_s seconds as knative.md 2.2 has it. */
struct window_mean window_mean(const struct window *, int64_t now_ns, unsigned span_s,
			       enum window_weighting);

#endif
