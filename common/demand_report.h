/* demand_report - when an activator tells the autoscaler how many requests of one revision
 * are parked.  Both programs need it: the activator follows it, the simulator models an
 * activator with it.
 *
 * No instance is open: send `activate`.  Repeat it after 100 ms, doubling to 1 s, until it
 * is acknowledged, and at once on a new link: so nothing that is lost on the way strands a
 * parked request.  Once it is acknowledged, send the count while it grows: after 20, 40 and
 * 80 ms (a burst is complete within some 10 ms, and is sized by the count), then each 100 ms.
 * If the autoscaler says that it wants no instance, repeat `activate` each second.
 *
 * An instance is open and requests are parked all the same: send the count at the same
 * times; in the first second after a wake also if it has not grown, because how fast it
 * falls says how many more instances are needed.
 *
 * Pure: no clock, no I/O.  Thread: the owner. */
#ifndef COMMON_DEMAND_REPORT_H
#define COMMON_DEMAND_REPORT_H

#include "common/clk.h"

/* After a wake whole reports are sent early, before their second is over: this long after
 * the first instance opened, and after twice as long each time, up to the last. */
#define DEMAND_REPORT_EARLY_NS (45 * CLK_MS)
#define DEMAND_REPORT_EARLY_LAST_NS (16 * DEMAND_REPORT_EARLY_NS)
/* One more, this long after the last parked request got its slot, if that is before the
 * last of the early ones. */
#define DEMAND_REPORT_CLEARED_NS (5 * CLK_MS)

struct demand_report {
	bool is_waking;	    /* requests are parked, no instance is open */
	bool is_acked;	    /* the autoscaler that is connected has acknowledged `activate` */
	uint64_t seq;	    /* of the newest `activate`; 0: none yet */
	unsigned tries;	    /* `activate` messages since the last acknowledgement */
	uint32_t reported;  /* the count that was sent last */
	int64_t sent_ns;    /* when the newest `activate` was sent */
	int64_t report_gap; /* between two looks at whether the count has grown */
	bool is_reporting;  /* requests are parked although an instance is open */
	int64_t open_ns;    /* since when an instance is open, after a wake */
	int64_t next_ns;    /* when demand_report_step() has something to do; INT64_MAX: when a
			     * fact changes */
};

struct demand_report_facts {
	bool is_link_up;
	bool is_open;	/* an instance is open: a slot will come */
	bool is_wanted; /* by the autoscaler's newest message it wants an instance */
	uint32_t parked;
};

enum demand_report_act {
	DEMAND_REPORT_NOTHING,
	DEMAND_REPORT_ACTIVATE, /* send `activate` with d->seq */
	DEMAND_REPORT_COUNT	/* send how many requests are parked now */
};

/* What to do now.  Call it when a fact changed (a lost link is a fact), and while the link
 * is up at d->next_ns. */
NODISCARD enum demand_report_act demand_report_step(struct demand_report *d,
						    const struct demand_report_facts *,
						    int64_t now);
/* The queue was empty and is not any more.  The autoscaler may have read in between that
 * nothing is parked, so an earlier acknowledgement no longer counts. */
void demand_report_restart(struct demand_report *d);
/* `activating` has come.  True: it answers the newest `activate`. */
bool demand_report_acked(struct demand_report *d, uint64_t seq, int64_t now);

#endif
