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
/* n requests more (or less, n < 0) are in flight, or parked. */
void shard_in_flight(struct shard *, int64_t now, int n);
void shard_parked(struct shard *, int64_t now, int n);
/* The figures since the last call, of all shards with any. */
void shard_collect(struct worker *, struct worker_period *, int64_t now);
/* Replace what the fast path looks through by set.  Returns what was there, with its
 * reference, or NULL. */
NODISCARD struct instance_set *shard_set(struct worker *, struct revision *,
					 struct instance_set *set);

#endif
