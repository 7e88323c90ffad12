/* reports - what each activator last reported of one revision, and the sums over all
 * activators: parked, in flight, in flight at one instance, busy leases.  The report of an
 * activator that vanished stays (silence is not idleness) until the owner drops it; only
 * the requests that it had parked no longer count.
 * Pure: no clock, no I/O.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_REPORTS_H
#define AUTOSCALER_BRAIN_REPORTS_H

#include "common/list.h"
#include "common/msg.h"

struct reports {
	struct list all; /* one for each activator that has reported the revision */
};

void reports_init(struct reports *);
void reports_fini(struct reports *);

/* Replace what the peer reported before.  number: of its stats message. */
void reports_report(struct reports *, uint64_t peer, uint64_t number, const struct msg_stat *,
		    int64_t period_ns, int64_t now_ns);
/* `activate`: so many requests are parked at the peer now. */
void reports_activate(struct reports *, uint64_t peer, uint32_t parked, int64_t now_ns);
/* The peer's stats message `number` is complete: if it did not name this revision, the peer
 * has no requests of it.  True: it did not. */
bool reports_complete(struct reports *, uint64_t peer, uint64_t number);
/* The peer has vanished: it parks nothing any more, but may have requests in flight. */
void reports_vanish(struct reports *, uint64_t peer);
/* Forget what the peer has reported. */
void reports_drop(struct reports *, uint64_t peer);

uint32_t reports_parked(const struct reports *);
uint32_t reports_in_flight(const struct reports *);
/* Requests that arrive per second, by the newest reports; < 0: unknown, as one peer has not
 * reported enough. */
double reports_arrivals(const struct reports *);
/* The same by reports of whole periods alone: a burst that began a moment ago does not show. */
double reports_steady_arrivals(const struct reports *);
/* Has a peer sent `activate`, and not reported since? */
bool reports_activation_pending(const struct reports *);
/* Are requests parked at the peer, by its newest report? */
bool reports_is_asking(const struct reports *, uint64_t peer);
/* In flight at one instance. */
uint32_t reports_at_instance(const struct reports *, const char *id);
/* Until when the instance holds a busy lease, as the peer (0: any peer) reported; 0: it holds
 * none. */
int64_t reports_lease_ns(const struct reports *, uint64_t peer, const char *id);
/* Seconds that are left of the longest busy lease of all instances; 0: none. */
double reports_busy_s(const struct reports *, int64_t now_ns);

#endif
