/* stats - the figures of which the autoscaler makes its decisions.  Each second the workers'
 * figures of the period are collected, added up for each revision, and sent.  When a revision
 * wakes, its figures of that moment are sent as well.  While there is no link, the requests are
 * counted, and the next report has them.
 * Thread: main. */
#ifndef ACTIVATOR_STATS_H
#define ACTIVATOR_STATS_H

#include "common/base.h"

struct msg;
struct revision;
struct stats;
struct worker;
struct registry;

struct stats_ops {
	/* Is there an autoscaler to report to? */
	bool (*is_up)(void *arg);
	/* Send this message.  A report may take several, so that none is too long. */
	void (*send)(const struct msg *, void *arg);
	/* The report of a stats_collect() was sent. */
	void (*on_reported)(void *arg);
};

/* registry, workers, ops are borrowed. */
NODISCARD struct stats *stats_new(struct registry *, struct worker *const *workers,
				  unsigned workers_n, const struct stats_ops *, void *arg);
/* Each worker that stats_collect() has asked has answered. */
void stats_free(struct stats **);

/* Ask all workers; the report is sent when the last one has answered.  Does nothing while an
 * earlier collection runs. */
void stats_collect(struct stats *);
bool stats_is_collecting(const struct stats *);
/* The link is a new one: the next report has the tallies of all revisions (common/tally.h), later
 * ones those of revisions that they list for another reason. */
void stats_renew(struct stats *);
/* The workers are about to end: ask them no more.  What they were asked is answered still. */
void stats_stop(struct stats *);
/* Send how many requests are parked and in flight for rev at this moment. */
void stats_report_now(struct stats *, struct revision *rev);

#endif
