/* stats - what the autoscaler decides by: once a second the workers' periods are
 * collected, summed by revision and told; and what holds at this moment, when a
 * revision wakes.
 * Thread: main. */
#ifndef ACTIVATOR_STATS_H
#define ACTIVATOR_STATS_H

#include "common/base.h"

struct msg;
struct revision;
struct stats;
struct worker;
struct world;

struct stats_ops {
	/* A line to send: a report may take several. */
	void (*send)(const struct msg *, void *arg);
};

/* world, workers, ops are borrowed. */
NODISCARD struct stats *stats_new(struct world *, struct worker *const *workers, unsigned workers_n,
				  const struct stats_ops *, void *arg);
/* Nothing is being collected. */
void stats_free(struct stats **);

/* Ask all workers; the report is sent when the last has answered.  Nothing while an
 * earlier round is under way. */
void stats_collect(struct stats *);
bool stats_is_collecting(const struct stats *);
/* How many are parked and in flight for rev now. */
void stats_tell(struct stats *, struct revision *rev);

#endif
