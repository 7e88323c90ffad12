/* idleness - learned idleness (`keep_warm = learned`): how long the last instance stays after
 * the last request, and when one is started ahead of the next request.
 *
 * An idle time, once it is over, shows what every plan (idle_plan.h) would have cost, whichever
 * was followed: this is learning with full information.  Seven experts each make a plan:
 *   - one by the fixed keys (stable_window, scale_to_zero_grace, retention);
 *   - one that stays until idling has cost as much as a start and its waiting do, but no longer
 *     than by the fixed keys: whatever comes, that costs at most twice the best (Karlin and
 *     others, "Competitive Snoopy Caching", Algorithmica 3, 1988).  It is followed while no
 *     idle time is known;
 *   - four by the plan that costs least over the earlier idle times: over the last few hundred
 *     or over the last ten or so, each with the idle times blurred by a little or by much;
 *   - one likewise, that takes those of about the length of the newest one for a timer's: the
 *     next one follows Student's t distribution, which allows for how little a few of them
 *     tell.
 * The plan of the expert is followed whose plans, made before each idle time, have cost least
 * since ("follow the leader"; de Rooij and others, "Follow the Leader If You Can, Hedge If You
 * Must", JMLR 15, 2014: where idle times follow a law, its cost exceeds that of the best
 * expert by a constant, and in any case by no more than one idle time for each change of
 * the leader).  So in the long run it costs no more than the fixed keys.  Older costs count
 * less, so that what no longer holds is forgotten.  Experts that allow little for what was not
 * seen yet begin with the cost of a surprise or two.
 *
 * Idle times are kept as they were measured, not in bins: a timer of hours with seconds of
 * jitter needs seconds.  There is room for IDLENESS_SAMPLES; from those of about the same
 * length (a factor of two) that there are most of, the oldest makes room, and the rest of them
 * stand for it.  So a thousand idle times of seconds do not push out one of a day.
 * An idle time is blurred (a kernel density estimate) by the distance to its nearest neighbours:
 * by seconds for a timer, by hours where there are few.
 *
 * Pure: the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_IDLENESS_H
#define AUTOSCALER_BRAIN_IDLENESS_H

#include "autoscaler/brain/idle_plan.h"

struct strbuf;

#define IDLENESS_SAMPLES 224
#define IDLENESS_STRATA 22 /* the last one begins with 2^20 s, 12 days */

enum idleness_expert {
	IDLENESS_FIXED, /* by the fixed keys */
	IDLENESS_LONG,	/* by many idle times */
	IDLENESS_LONG_WIDE,
	IDLENESS_SHORT, /* by the newest */
	IDLENESS_SHORT_WIDE,
	IDLENESS_TIMER,	     /* by those of about the length of the newest one */
	IDLENESS_BREAK_EVEN, /* as long as an instance that idles costs less than a start */
	IDLENESS_EXPERTS
};

struct idleness; /* opaque, one per revision; below 4 KiB */

NODISCARD struct idleness *idleness_new(void);
void idleness_free(struct idleness **);

/* What things cost from now on (start_s < 0: unknown; followers are learned here), and how long
 * the fixed keys keep the last instance. */
void idleness_set_price(struct idleness *, const struct idle_price *, double fixed_s);

/* There were so many new requests, or some are still in progress (0); the first of them came at
 * about from_ns, the last was over at about upto_ns. */
void idleness_used(struct idleness *, uint64_t requests, int64_t from_ns, int64_t upto_ns);
/* There have been no requests since: an idle time has begun. */
void idleness_unused(struct idleness *);

/* Plans are made by themselves, since that takes up to half a millisecond: the owner spreads it
 * over time where there are many revisions.  Until then the older plans apply. */
bool idleness_is_plan_due(const struct idleness *);
void idleness_make_plans(struct idleness *);

struct idleness_advice {
	bool is_learned; /* it replaces the fixed keys */
	bool is_warm;	 /* there is to be an instance now, although it is idle */
	double stay_s;	 /* how long the last instance stays after the last request */
};
struct idleness_advice idleness_advise(const struct idleness *, int64_t now_ns);
/* The plan that is followed; until the next call. */
const struct idle_plan *idleness_plan(const struct idleness *);

/* The same in words. */
void idleness_explain(const struct idleness *, struct strbuf *);

/* --- kept over a restart (reconcile/learned.h) --- */
struct idleness_sample {
	float idle_s;
	uint32_t number; /* idle times are numbered from 1 */
};
struct idleness_data {
	struct idleness_sample v[IDLENESS_SAMPLES];
	size_t n;
	uint32_t number;	       /* of the last idle time */
	float strata[IDLENESS_STRATA]; /* how many of about each length, newer ones counting more */
	float costs[IDLENESS_EXPERTS]; /* of what they advised, likewise */
	float followers;	       /* requests within a start after the first one */
	int64_t idle_ns; /* how long it has been idle; < 0: it is not, or that is unknown */
};
void idleness_export(const struct idleness *, struct idleness_data *, int64_t now_ns);
/* d->idle_ns is as of now_ns; < 0: the idle time of now is not counted. */
void idleness_import(struct idleness *, const struct idleness_data *, int64_t now_ns);

#endif
