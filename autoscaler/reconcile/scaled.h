/* scaled - a revision as the autoscaler scales it: its settings, what the
 * activators say of it, what its driver says of it, and what was decided.  Turns that
 * into the view that decide() wants and into the state that activators are told.
 * No I/O; the time is an argument.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_SCALED_H
#define AUTOSCALER_RECONCILE_SCALED_H

#include "autoscaler/brain/brain.h"
#include "autoscaler/brain/dryrun.h"
#include "autoscaler/brain/timing.h"
#include "autoscaler/brain/why.h"
#include "autoscaler/reconcile/instances.h"
#include "autoscaler/reconcile/wanted.h"
#include "common/list.h"
#include "common/metric.h"

struct peers;
struct strbuf;
struct window;

struct scaled_revision {
	char *name;			  /* full; ours, since it outlives conf in a reload */
	const struct revision_conf *conf; /* borrowed; swapped by a reload */
	struct driver *driver;		  /* borrowed */
	bool is_external;		  /* `addresses`: always there, never scaled */
	bool is_stale;			  /* not in the new set of a reload */
	bool is_leaving;		  /* to be emptied and stopped */
	int64_t leaving_ns;		  /* since when */

	/* of scaled_set.h */
	struct list_node active; /* linked: looked at each second */
	struct list_node marked; /* linked: looked at at the end of the round */
	bool is_undecided;	 /* decide() at the tail, before acting */

	/* observed */
	struct reports reports;
	struct window *window;
	unsigned window_s;
	struct timing timing;
	struct brain *brain; /* learned, and the calendar */
	bool is_taught;	     /* what the autoscaler before us had learned */

	/* from the driver */
	bool is_known; /* the driver has seen the world */
	struct instances instances;
	struct msg_failure *failure; /* NULL: none */
	int64_t failed_ns;	     /* when it was said */
	bool has_scale;		     /* the platform keeps the number itself: */
	uint32_t scale;		     /* this one */
	bool is_foreign;	     /* somebody else has set it, and holds it */
	bool is_used_since_foreign;  /* requests have come since */

	/* decided and done */
	struct decide_state *decide;
	struct decide_view view; /* that was decided on … */
	struct decide_out decided;
	struct wanted wanted; /* the same as bounded: the number that is wanted now */
	bool is_note_due;     /* … and is not in `why` and the log yet */
	struct why why;
	struct dryrun dryrun; /* with dry_run = yes: in place of all that follows */
	int64_t dry_until_ns; /* clients are told that nothing will be started, if nothing runs */
	char *held_back;      /* why requests wait and nothing may be started; NULL: may be */
	bool is_adopted;      /* the driver has shown what was there before us, and … */
	uint32_t adopted;     /* … there were so many instances */
	uint32_t scale_sent;  /* what the driver was asked for last, once is_adopted */
	struct list drains;   /* struct drain_request */
	int64_t no_zero_before_ns; /* an activator was busy: not asked again at once */
	bool is_woken; /* asked while nothing ran; until an instance answers, or nobody waits */
	int64_t woken_ns;
	bool is_changed; /* what activators have is out of date */

	/* counted */
	uint64_t activations, failures, decisions[DECIDE_RULES_N], drains_done, drains_taken_back;
	uint64_t held_backs;
	struct metric_hist cold_starts;
};

NODISCARD struct scaled_revision *scaled_new(const struct revision_conf *, struct driver *,
					     bool is_external);
void scaled_free(struct scaled_revision **); /* drains must be gone */
/* A reload: same name, new settings. */
void scaled_reload(struct scaled_revision *, const struct revision_conf *);
const char *scaled_name(const struct scaled_revision *); /* full */

/* Whether activators would see no difference if the view were taken. */
bool scaled_shows(const struct scaled_revision *, const struct driver_view *);
/* Take the driver's view.  Instances are the same by id; what we know of them stays. */
void scaled_take_view(struct scaled_revision *, const struct driver_view *, int64_t now_ns);
/* dry_run = yes: nothing is told to its driver. */
bool scaled_is_dry(const struct scaled_revision *);
/* Do we scale it: its driver has shown it, it is not external, and it is no dry run. */
bool scaled_is_ours(const struct scaled_revision *);
/* Somebody waits: in a dry run there is nothing to wait for. */
void scaled_refuse_dry(struct scaled_revision *, int64_t now_ns);
/* Is there anything to decide: not of `addresses`, unless it is a dry run. */
bool scaled_is_decided(const struct scaled_revision *);
/* How many instances are wanted, or would be in a dry run. */
uint32_t scaled_wanted(const struct scaled_revision *);
/* If it is ready now, an instance answers; and if it was not measured before, note how long
 * its start took.  The time in ns, 0 where it cannot be known; -1: not ready, or not for
 * the first time. */
int64_t scaled_time_start(struct scaled_revision *, struct scaled_instance *, int64_t now_ns);

/* Add what a report says.  period_ns 0: of the moment, no averages. */
void scaled_report(struct scaled_revision *, const struct msg_stat *, int64_t period_ns,
		   int64_t now_ns);
/* Requests in flight and parked, by the newest reports. */
uint32_t scaled_demand_now(const struct scaled_revision *);
/* What all of them share. */
struct scaled_machine {
	double cores, memory_bytes; /* 0: unknown */
	double used_cores;
	uint32_t activators;
};
/* Each second: what it uses, and what is learned of it. */
void scaled_tick(struct scaled_revision *, const struct scaled_machine *, int64_t now_ns);

/* Bound what was decided (wanted.h).  Returns what the book of a dry run takes. */
uint32_t scaled_claim(struct scaled_revision *, const struct peers *, int64_t now_ns);
/* It may have so many of max_instances.  True: another number is wanted than before. */
bool scaled_allot(struct scaled_revision *, uint32_t allotted, const struct peers *,
		  int64_t now_ns);
/* Ask the driver for n instances; the victims (ids) are drained and go first. */
void scaled_send_scale(struct scaled_revision *, uint32_t n, const char *const *victims,
		       size_t victims_n);

void scaled_fill_view(const struct scaled_revision *, struct decide_view *, bool is_restarting,
		      int64_t now_ns);

/* Is there a reason to look at it each second? */
bool scaled_is_active(const struct scaled_revision *);

#endif
