/* share_model - a model checker for the share protocol: activator/share.h and
 * autoscaler/shares/shares.h in a world where everything goes wrong that may.
 *
 * A seed is one interleaving.  Up to three activators with simulated requests, connections and
 * tunnels are linked to a leader, on simulated time.  Each step is drawn from: a client comes or
 * leaves, a request ends, a connection closes or a probe opens one, a message is read (links keep
 * their order, and no two links share a pace), a link breaks (each side notices in its own time;
 * what was on its way is lost, or is read late), an activator starts, stops, is killed, is
 * found to be dead, the leader restarts, or is followed by another while it still speaks (even
 * decides, which is more than leaders that lead one after another do), the limit changes or goes,
 * an instance leaves the list or returns, time passes.
 *
 * After each step:
 *  - What activators may use of an instance (shares, requests, connections, also those of killed
 *    activators that an instance still serves) never rises above the limit.
 *  - It is never more than the leader's account says.
 *  - No instance has had more than max_requests, which half of the interleavings have.
 * Every few hundred steps all messages are delivered, and then:
 *  - No slot is idle while a request is parked.
 *  - Of each listed instance all slots are given out, and of no instance more.
 * Towards the end every activator has more requests than slots, and each is served.  Then all
 * requests end, all parked ones are served, and the activator that outlives the
 * others has all slots.  Tests only.  Thread: one. */
#ifndef TEST_UNIT_SHARE_MODEL_H
#define TEST_UNIT_SHARE_MODEL_H

#include "common/base.h"

/* A fault that is planted between a state machine and the world. */
enum share_fault {
	FAULT_NONE,
	/* of the leader */
	FAULT_LOWERED_WHEN_SENT,  /* counts a share as lowered when the offer is sent */
	FAULT_DEAD_AT_ONCE,	  /* frees the slots of a dead activator at once */
	FAULT_UNHEARD_FORGOTTEN,  /* after a restart does not wait for those it has not heard */
	FAULT_REPORT_TOO_NEW,	  /* takes each report for one after its newest offer */
	FAULT_UNLISTED_FORGOTTEN, /* forgets what is held of an instance that has left */
	FAULT_NO_RECALL,	  /* never recalls */
	FAULT_NO_RECALL_DUE,	  /* recalls idle slots alone */
	FAULT_DEAD_FOREVER,	  /* never frees the slots of a dead activator */
	/* of the activator */
	FAULT_OLD_OFFER,	 /* obeys an offer however old */
	FAULT_SHARE_REPORTED,	 /* reports its share, not what it uses above */
	FAULT_EMPTY_HELLO,	 /* reports nothing on a new link */
	FAULT_CONNS_UNCOUNTED,	 /* reports requests alone */
	FAULT_TERM_NOT_ADOPTED,	 /* reports under a new term, and obeys the old one */
	FAULT_USES_WHAT_IT_GAVE, /* goes on using a slot that it gave up */
	FAULT_FALL_UNREPORTED,	 /* does not report that its use has fallen */
	FAULT_NO_WANT,		 /* never says what it wants */
	/* with max_requests */
	FAULT_USES_RENEWED, /* the leader offers each instance with all its uses */
	FAULT_USED_HIDDEN,  /* an activator reports that it has used nothing */
	FAULT_N
};

struct share_model_result {
	char failure[256]; /* "": none */
	uint64_t steps;
};

/* Run the interleaving of a seed.  Its steps are written to trace (a FILE), if it is not NULL. */
void share_model_run(uint64_t seed, enum share_fault, void *trace, struct share_model_result *);
const char *share_fault_name(enum share_fault);

#endif
