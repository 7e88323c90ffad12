/* shard - one worker's counting of one revision: requests in flight and parked, integrated
 * over time, so that the autoscaler gets averages and not samples.
 * Thread: the worker's. */
#ifndef ACTIVATOR_SHARD_H
#define ACTIVATOR_SHARD_H

#include "activator/revision.h"

struct worker;
struct worker_period;

/* The worker's part of the revision, in w->shards from now on. */
struct shard *shard_of(struct worker *, struct revision *);
bool shard_has_open(const struct shard *); /* an instance that takes requests */
/* What the reporting period adds, besides what counters of the shard have: see revision.h. */
struct request_counts *shard_counts(struct shard *);
/* n more requests are in flight, or parked; n < 0: fewer. */
void shard_in_flight(struct shard *, int64_t now, int n);
void shard_parked(struct shard *, int64_t now, int n);
/* Take it out of w->shards, and drop its reference to the revision: it has no instances and no
 * requests.  shard_of() puts it back. */
void shard_forget(struct worker *, struct shard *);
/* The figures since the last call, of all shards with any; shards of no use are forgotten. */
void shard_collect(struct worker *, struct worker_period *, int64_t now);
/* Use these instances from now on.  Returns those that were used so far, with a reference, or
 * NULL. */
NODISCARD struct instance_set *shard_set(struct worker *, struct revision *,
					 struct instance_set *set);

#endif
