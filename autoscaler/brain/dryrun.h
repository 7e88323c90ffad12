/* dryrun - what would have become of a revision with `dry_run = yes`.  It keeps count of
 * virtual instances: decide() sees them in place of the real ones, so that its rules go by
 * what its own decisions would have led to.  What they would have cost is counted beside
 * what the real instances cost.
 * Pure: the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_DRYRUN_H
#define AUTOSCALER_BRAIN_DRYRUN_H

#include "autoscaler/brain/decide.h"

struct dryrun {
	bool is_begun;
	uint32_t n;	    /* virtual instances */
	uint32_t older;	    /* those that were ready when the newest were started */
	int64_t ready_ns;   /* when the newest are ready */
	uint32_t real;	    /* real instances since counted_ns */
	int64_t counted_ns; /* up to when instance-seconds are counted */
	bool was_used;	    /* requests have arrived since the last decision */
	/* counted */
	uint64_t started, stopped, cold_starts;
	double real_s, virtual_s; /* instance-seconds */
};

/* It begins with as many virtual instances as there are real ones. */
void dryrun_begin(struct dryrun *, uint32_t real, int64_t now_ns);
/* Make the view what it would be. */
void dryrun_fill(const struct dryrun *, struct decide_view *, int64_t now_ns);
/* On that view so many instances are wanted: start or stop virtual ones. */
void dryrun_take(struct dryrun *, const struct decide_view *, uint32_t wanted, int64_t now_ns);
/* There are so many real instances now.  To be called each second. */
void dryrun_count(struct dryrun *, uint32_t real, int64_t now_ns);

#endif
