/* shares - what the autoscaler and its activators say to each other about shares:
 * how many slots of each instance one activator may use while several are connected.
 *
 *	offer	S→A, in `instances`	what the activator may use from now on
 *	report	A→S, in `hello` and `shares_held`	what it holds
 *	want	A→S, `want`		how many slots its parked requests lack
 *
 * Each is about one revision.  (term, epoch) orders the offers that an activator gets: term
 * numbers the autoscalers that lead one after another, epoch the offers of one leader to one
 * activator about one revision.  An activator obeys an offer only if its (term, epoch) is
 * higher than that of all before, so an offer that is late, or arrives twice, changes nothing.
 * A report and a want carry the (term, epoch) that was obeyed last, so the leader knows which of
 * its offers they come after.
 *
 * What an activator holds of an instance is the larger of its share and of what it uses there:
 * requests in flight or open connections (busy, idle and the prober's), whichever are more.
 *
 * With max_requests an activator holds an instance alone, or not at all, and with it the right to
 * send so many requests there: its uses.  An instance is offered with all of the uses that are
 * left.  A report says how many requests the activator has sent there, so when an activator has
 * given the instance up, the leader knows what is left for the next one.
 * Data only.  Strings and arrays are borrowed for the call that they are passed to. */
#ifndef COMMON_SHARES_H
#define COMMON_SHARES_H

#include "common/base.h"

#define SHARE_ALL UINT32_MAX	    /* slots, limit: no limit */
#define SHARE_KEEP (UINT32_MAX - 1) /* slots in an offer: the share stays as it is */
#define SHARE_NO_USES UINT32_MAX    /* uses: not counted, or (in an offer) as they are */

struct share_item {
	const char *id; /* of the instance */
	uint32_t slots; /* offer: its share, or SHARE_KEEP; report: what is held there */
	/* offer: lower the share to `slots` if it is higher, and leave it if it is not.  It may be
	 * lower by then, and others may have what was given up. */
	bool is_at_most;
	/* With max_requests.  Offer: so many requests it may send from now on, or SHARE_NO_USES;
	 * report: so many it may still send. */
	uint32_t uses;
	uint32_t used; /* report: requests that it has sent there, in all */
};

/* S→A.  The instances that an activator may use: at one that is not among them its share is 0. */
struct share_offer {
	uint64_t term, epoch;
	uint32_t limit; /* container_concurrency; SHARE_ALL: none, and all else means nothing */
	/* How many slots the activator is asked to give up; it chooses where.  Both replace what
	 * an earlier offer asked for and was not given up yet. */
	uint32_t recall_idle; /* only slots that no parked request of its own can use */
	uint32_t recall_due;  /* any: also one that a request of its own has just freed */
	bool is_shared;	      /* there are several activators: send `want` */
	bool is_asking;	      /* answer with a complete report */
	const struct share_item *v;
	size_t n;
};

/* A→S */
struct share_report {
	uint64_t term, epoch;
	bool is_complete; /* at instances that are not listed nothing is held; else: no change */
	uint32_t owed_idle, owed_due; /* what is left of recall_idle and recall_due */
	const struct share_item *v;
	size_t n;
};

/* A→S */
struct share_want {
	uint64_t term, epoch;
	uint32_t slots;	   /* that parked requests lack */
	int64_t oldest_ns; /* how long the oldest parked request has waited */
};

#endif
