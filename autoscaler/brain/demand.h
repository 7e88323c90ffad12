/* demand - what the activators last said of one revision, one entry for each of them,
 * and the sums: parked, in flight, in flight at one instance, busy leases.  An
 * activator that vanished keeps its entry (silence is not idleness) until its owner
 * drops it; only what it had parked no longer counts.
 * Pure: no clock, no I/O.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_DEMAND_H
#define AUTOSCALER_BRAIN_DEMAND_H

#include "common/list.h"
#include "common/msg.h"

struct demand {
	struct list entries; /* one for each activator that has something to say */
};

void demand_init(struct demand *);
void demand_fini(struct demand *);

/* The peer's word on this revision; report: its number of the report that it is in. */
void demand_report(struct demand *, uint64_t peer, uint64_t report, const struct msg_stat *,
		   int64_t period_ns, int64_t now_ns);
/* `activate`: that many are parked at the peer, now. */
void demand_activate(struct demand *, uint64_t peer, uint32_t parked, int64_t now_ns);
/* The peer's report is complete: if this revision was not in it, there is nothing.
 * True: it was not in it. */
bool demand_complete(struct demand *, uint64_t peer, uint64_t report);
/* The peer vanished / is to be forgotten. */
void demand_vanish(struct demand *, uint64_t peer);
void demand_drop(struct demand *, uint64_t peer);

uint32_t demand_parked(const struct demand *);
uint32_t demand_in_flight(const struct demand *);
/* Requests that came in, a second, by the newest words; < 0: somebody has not said enough. */
double demand_arrivals(const struct demand *);
/* Someone has sent `activate` and not reported since. */
bool demand_is_asked(const struct demand *);
uint32_t demand_at_instance(const struct demand *, const char *id);
/* Until when the instance holds a lease by the peer's word, or (0) by anybody's; 0: it
 * holds none. */
int64_t demand_lease_ns(const struct demand *, uint64_t peer, const char *id);
/* Seconds that are left of the longest busy lease; 0: none. */
double demand_busy_s(const struct demand *, int64_t now_ns);

#endif
