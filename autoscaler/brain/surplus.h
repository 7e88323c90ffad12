/* surplus - learned stays of the instances beyond the last one (`keep_warm = learned`): how long an
 * instance stays that the load does not need any more.
 *
 * Each number of instances (a level) has gaps of its own: from when the load does not need so many
 * any more to when it needs them again.  When a gap is over it shows what each stay of a list would
 * have cost, whichever was followed (learning with full information, as in idleness.h): the
 * instance-seconds of the stay and, where the gap was longer, a start and the waiting of those that
 * the missing instance would have answered.  Each level follows the stay that has cost least, older
 * gaps counting less ("follow the leader").  The mean of all levels counts as one gap of each: so a
 * level that is seldom needed begins with what was learned of the others.  While almost nothing is
 * known, an instance stays for as long as a start takes.
 *
 * The last instance is the affair of idleness.h.
 * Pure: the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_SURPLUS_H
#define AUTOSCALER_BRAIN_SURPLUS_H

#include "common/base.h"

struct strbuf;

#define SURPLUS_STAYS 10
#define SURPLUS_LEVELS 35 /* 2 to 8 instances, then four to each doubling, up to 1024 */

struct surplus; /* opaque, one per revision; below 2 KiB */

NODISCARD struct surplus *surplus_new(void);
void surplus_free(struct surplus **);

/* What a missing instance costs, now. */
struct surplus_price {
	double start_s;	  /* what a start takes; < 0: unknown */
	double wait_cost; /* instance-seconds that a second of one request's waiting is worth */
	double each;	  /* requests at once that an instance is meant to carry */
	double requests;  /* that there are now */
	double latency_s; /* of a request; < 0: unknown */
};
/* The load needs so many instances now.  To be called each second. */
void surplus_needed(struct surplus *, uint32_t instances, const struct surplus_price *,
		    int64_t now_ns);
/* So many of those that there are are worth keeping; 0: learned nothing that keeps any. */
uint32_t surplus_kept(const struct surplus *, int64_t now_ns);

/* Append a sentence, or nothing. */
void surplus_explain(const struct surplus *, struct strbuf *);

/* --- kept over a restart (reconcile/learned.h) --- */
#define SURPLUS_NUMBERS (1 + SURPLUS_STAYS * (1 + SURPLUS_LEVELS))
void surplus_export(const struct surplus *, float out[SURPLUS_NUMBERS]);
void surplus_import(struct surplus *, const float in[SURPLUS_NUMBERS]);

#endif
