/* exemplars - examples of requests for the buckets of histograms: the newest request of a bucket
 * whose trace is recorded.  A scrape in the form of OpenMetrics shows them, so that a slow bucket
 * leads to a trace.
 *
 * A table of one size for each worker, in which a later example takes the place of another one
 * whose key has the same place: memory is bounded, whatever the number of revisions.  Only requests
 * whose trace is recorded cost anything. Thread: the worker puts, any thread finds. */
#ifndef ACTIVATOR_EXEMPLARS_H
#define ACTIVATOR_EXEMPLARS_H

#include "common/metric.h"

struct exemplars; /* opaque */

struct exemplars *exemplars_new(void);
void exemplars_free(struct exemplars **);

/* The histogram of a revision that has this number among its histograms. */
enum { EXEMPLAR_DURATION, EXEMPLAR_PARKED_FOR, EXEMPLAR_COLD /* and one for each further phase */ };
uint64_t exemplars_series(const char *revision, unsigned histogram);

/* A request of this trace (32 hexadecimal digits) has taken so long. */
void exemplars_put(struct exemplars *, uint64_t series, const char *trace, int64_t took_ns,
		   int64_t wall_ns);
/* Set out, for each bucket, to the example of it if that is newer than the one in out. */
void exemplars_collect(const struct exemplars *, uint64_t series,
		       struct metric_exemplar out[METRIC_BUCKETS + 1]);

#endif
