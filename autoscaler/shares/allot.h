/* allot - the policy of the leader: which activator gets which slots of a revision, and which
 * activator gives some up.  holdings.h keeps every decision safe; this policy makes it useful.
 *
 *  1. An activator that is alone gets all slots of all instances, before it asks.
 *  2. Free slots go to activators that have parked requests, the oldest parked request first; as a
 *     whole instance where enough are wanted.
 *  3. Free slots that no parked request wants go where an activator has most of that instance
 *     already, so that instances stay whole, or to the activator with the fewest slots.
 *  4. Where parked requests lack slots, every other activator is asked for that many idle ones
 *     (recall_idle): it alone knows which are idle.  So an idle slot moves within two round trips.
 *     An activator that is leaving is asked for all of its idle ones, and gets only slots that it
 *     wants.
 *  5. If others have more slots than an activator whose requests are parked, they are asked for
 *     busy ones too (recall_due), down to an even split; each at most once in a quantum.
 *  6. Where all have the same, one slot moves in each quantum in which requests stay parked: the
 *     slots of one activator may all be held by tunnels.
 *
 * With max_requests whole instances move alone: what is asked for is rounded up to them.
 *
 * Pure: no clock, no I/O.  Thread: the owner. */
#ifndef AUTOSCALER_SHARES_ALLOT_H
#define AUTOSCALER_SHARES_ALLOT_H

#include "autoscaler/shares/holdings.h"

/* Raise, lower and recall.  Holders that something changes for have is_offer_due afterwards. */
void allot(struct holdings *, int64_t quantum_ns, int64_t now_ns);
/* When must allot() be called again, if nothing else changes?  INT64_MAX: never. */
int64_t allot_next_ns(const struct holdings *, int64_t quantum_ns, int64_t now_ns);

#endif
