/* dryrun - what would have become of a revision with `dry_run = yes`: instances that there
 * are only in a book.  decide() is shown them in place of the real ones, so that its rules
 * go by what its own decisions would have led to; what they would have cost is counted
 * beside what the real ones did.
 * Pure: the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_DRYRUN_H
#define AUTOSCALER_BRAIN_DRYRUN_H

#include "autoscaler/brain/decide.h"

struct dryrun {
	bool is_begun;
	uint32_t has;	  /* instances in the book */
	uint32_t had;	  /* … that were there before the last were started */
	int64_t ready_ns; /* when those answer */
	int64_t counted_ns;
	uint32_t real;	/* since counted_ns */
	bool was_asked; /* requests came since the last decision */
	/* counted */
	uint64_t started, stopped, cold_starts;
	double real_s, book_s; /* instance-seconds */
};

/* Real instances: as many as the book begins with. */
void dryrun_begin(struct dryrun *, uint32_t real, int64_t now_ns);
/* The view as it would be. */
void dryrun_fill(const struct dryrun *, struct decide_view *, int64_t now_ns);
/* Decided on that view: so many are wanted. */
void dryrun_take(struct dryrun *, const struct decide_view *, uint32_t wanted, int64_t now_ns);
/* So many are real now; each second, and when it changes. */
void dryrun_count(struct dryrun *, uint32_t real, int64_t now_ns);

#endif
