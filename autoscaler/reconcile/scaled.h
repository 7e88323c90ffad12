/* scaled - a revision as the autoscaler scales it: its settings, what activators and its driver
 * report of it, what was decided, and what was asked for.  It makes of the reports what
 * decide() sees, and of decide()'s answer what is wanted (wanted.h).
 * No I/O but the log; the time is an argument.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_SCALED_H
#define AUTOSCALER_RECONCILE_SCALED_H

#include "autoscaler/brain/brain.h"
#include "autoscaler/brain/dryrun.h"
#include "autoscaler/brain/starts.h"
#include "autoscaler/brain/timing.h"
#include "autoscaler/brain/why.h"
#include "autoscaler/reconcile/hold.h"
#include "autoscaler/reconcile/instances.h"
#include "autoscaler/reconcile/scale_audit.h"
#include "autoscaler/reconcile/wanted.h"
#include "common/list.h"
#include "common/metric.h"

struct peers;
struct quota_owner;
struct strbuf;
struct window;

/* Why instances have ended. */
enum ended_reason {
	ENDED_SCALE_DOWN,
	ENDED_REPLACED, /* the driver has replaced it, or it did not get ready (ENDING_UNREADY) */
	ENDED_MAX_LIFETIME,
	ENDED_MAX_REQUESTS,
	ENDED_BY_ITSELF, /* nothing has stopped it, as far as is known here */
	ENDED_N
};
const char *ended_reason_name(enum ended_reason); /* "scale_down", … */

/* What was counted of a revision since the autoscaler started. */
struct scaled_counts {
	uint64_t activations, failures, drains_done, drains_taken_back;
	uint64_t held_backs, ended[ENDED_N];
	struct metric_hist cold_starts;
};
void scaled_counts_add(struct scaled_counts *into, const struct scaled_counts *from);

struct scaled_revision {
	char *name;			  /* full; a copy, as it outlives conf in a reload */
	const struct revision_conf *conf; /* borrowed; a reload replaces it */
	struct driver *driver;		  /* borrowed */
	struct quota_owner *owner;	  /* quota.h's; NULL: no owner bounds it */
	bool is_external;   /* `addresses`: its instances run elsewhere and are not scaled */
	bool is_stale;	    /* within reconcile_set(): not seen in the new set yet */
	bool is_leaving;    /* the conf file does not name it any more: to be drained and stopped */
	int64_t leaving_ns; /* since when */

	/* scaled_set.h */
	struct list_node active;   /* linked: it is marked each second */
	struct list_node marked;   /* linked: it is acted on at the end of the round */
	bool is_undecided;	   /* … and decided on before that */
	struct list_node planning; /* linked: its brain is to plan anew */

	/* reported by activators */
	struct reports reports;
	struct window *window;
	unsigned window_s; /* its span: the stable window, rounded up */
	struct timing timing;
	struct brain *brain; /* what is learned, and schedules */
	/* how its starts slow each other down, and what starts beside them: its own instances, or
	 * those of all revisions if they share a machine (borrowed) */
	struct starts starts;
	struct starts_load own_load, *load;
	uint32_t load_part; /* its part of load->n */
	uint32_t starts_trusted;
	bool is_taught; /* what learned.h had of it was handed to brain and timing */
	/* Requests began to wait while there was no instance, at woken_ns; until an instance
	 * answers, or no request waits any more.  is_woken keeps the instance that starts
	 * (awaited_s()); woken_ns says which revision gets max_instances first (quota.c). */
	bool is_woken;
	int64_t woken_ns;
	int64_t awaited_ns; /* when an instance that requests waited for was ready; 0: never */

	/* asked for by an operator (activatorctl) */
	int64_t wake_ns; /* an instance is wanted since then, until one is ready; 0: no */
	bool is_asleep;	 /* no instance is wanted, until a request comes or it is woken */
	uint32_t warm;	 /* a rollout keeps so many at least (rollouts.h); 0: it keeps none */

	/* shown by the driver */
	bool is_known; /* the driver has shown it */
	struct instances instances;
	struct msg_failure *failure; /* why instances cannot be started; NULL: they can */
	int64_t failed_ns;	     /* when the driver said so */
	bool has_scale;		     /* the platform stores the number of instances: … */
	uint32_t scale;		     /* … this one */
	struct hold hold;	     /* another client has set it, and that is respected */
	uint64_t overruled_n;	     /* as driver_view has it */

	/* decided */
	struct decide_state *decide;
	struct decide_view view;   /* what decide() saw last … */
	struct decide_out decided; /* … and answered */
	struct wanted wanted;	   /* the same with all bounds */
	bool is_note_due;	   /* it is not in `why` and the log yet */
	struct why why;
	struct dryrun dryrun; /* with dry_run: the virtual instances */
	int64_t dry_until_ns; /* until then clients hear that dry_run starts nothing for them */
	char *held_back;      /* why max_instances lets nothing be started for the requests that
			       * wait; NULL: something may be, or none wait */

	/* done */
	bool is_adopted;     /* the instances that the driver showed first were adopted … */
	uint32_t adopted;    /* … so many */
	uint32_t scale_sent; /* what the driver was asked for last; once is_adopted … */
	int32_t scale_extra; /* … so much more than was wanted (a surge), or less for a moment, as
			      * an instance has ended that is about to be replaced */
	uint32_t surge;	     /* what renewal_surge() said last */
	int64_t ended_ns;    /* when scaled_end() was called last; 0: never */
	uint32_t ended_unstarted; /* … it lowered the scale by so many that were not there */
	int64_t held_back_ns; /* ending instances are drained and may not end (scaledown.c), since
			       * then; 0: there are none */
	bool is_short_end;    /* they may end, although fewer instances are there than asked for */
	enum decide_rule sent_rule; /* … by this rule */
	int64_t raised_ns;	    /* when it was asked for more than before; 0: never */
	int64_t short_ns;	    /* when instances were asked for, and waited for, last */
	bool is_clearing;	    /* requests have waited since then without a break */
	uint32_t short_demand;	    /* requests when that began; 0: no instance was ready */
	struct list drains;	    /* struct drain_request */
	int64_t no_zero_before_ns;  /* no drain of the whole revision: an activator was busy */
	bool is_changed;	    /* to be sent to the activators (announce.h) */
	struct scale_audit audit;

	struct scaled_counts counts;
};

NODISCARD struct scaled_revision *scaled_new(const struct revision_conf *, struct driver *,
					     bool is_external);
void scaled_free(struct scaled_revision **); /* drains must be gone */
/* A reload: same name, new settings. */
void scaled_reload(struct scaled_revision *, const struct revision_conf *);
const char *scaled_name(const struct scaled_revision *); /* full */
/* Its instances start on a machine that has so many cores, together with those of all revisions
 * in load (borrowed).  NULL: beside its own instances alone. */
void scaled_start_on(struct scaled_revision *, struct starts_load *load, double cores,
		     int64_t now_ns);

/* --- kinds --- */
bool scaled_is_dry(const struct scaled_revision *); /* dry_run = yes: its driver is asked nothing */
/* Is its driver asked for instances: it is known, not external, and no dry run. */
bool scaled_is_driven(const struct scaled_revision *);
/* Is it decided on: it is not external, or a dry run. */
bool scaled_is_decided(const struct scaled_revision *);
/* What it is doing: awake, starting, stopping, asleep, failing, external or unknown. */
const char *scaled_state_name(const struct scaled_revision *);
/* Is there a reason to decide on it each second? */
bool scaled_is_active(const struct scaled_revision *);

/* --- what is reported --- */

/* Would activators see no difference if the view were taken? */
bool scaled_shows(const struct scaled_revision *, const struct driver_view *);
void scaled_take_view(struct scaled_revision *, const struct driver_view *, int64_t now_ns);
/* What is known of its instances is about to change: note if requests still wait for some of
 * them to start. */
void scaled_note_short(struct scaled_revision *, int64_t now_ns);
/* If the instance is ready and its start was not timed before, note how long it took.  Returns
 * that time in ns; 0: it is unknown; -1: not ready, or timed before. */
int64_t scaled_time_start(struct scaled_revision *, struct scaled_instance *, int64_t now_ns);
/* Add what an activator reports.  period_ns 0: a state of this instant, which enters no
 * average. */
void scaled_report(struct scaled_revision *, const struct msg_stat *, int64_t period_ns,
		   int64_t now_ns);
/* Requests in flight and parked, by the newest reports. */
uint32_t scaled_demand_now(const struct scaled_revision *);

/* What concerns all revisions. */
struct scaled_machine {
	double cores, memory_bytes; /* 0: unknown */
	double used_cores;
	uint32_t activators; /* connected */
};
/* Each second: measure what its instances use, and learn. */
void scaled_tick(struct scaled_revision *, const struct scaled_machine *, int64_t now_ns);

/* --- what is decided --- */

/* What decide() sees.  has_just_started: the autoscaler runs for less than a stable window. */
void scaled_fill_view(const struct scaled_revision *, struct decide_view *, bool has_just_started,
		      int64_t now_ns);
/* An operator asks for an instance, or (scaled_sleep()) for none until a request comes. */
void scaled_wake(struct scaled_revision *, int64_t now_ns);
void scaled_sleep(struct scaled_revision *);
/* End what an operator has asked for, if it is fulfilled or has failed, or if requests have come.
 */
void scaled_expire_request(struct scaled_revision *, int64_t now_ns);
/* End the hold of another client's scale, if foreign_hold has passed. */
void scaled_expire_hold(struct scaled_revision *, int64_t now_ns);
/* Bound rev->decided, up to the claim (wanted.h).  Returns what is wanted of a dry run. */
uint32_t scaled_claim(struct scaled_revision *, const struct peers *, int64_t now_ns);
/* It is allotted so many of max_instances.  True: another number is wanted than before. */
bool scaled_allot(struct scaled_revision *, uint32_t allotted, const struct peers *,
		  int64_t now_ns);
/* The number that is wanted; of a dry run: that would be. */
uint32_t scaled_wanted(const struct scaled_revision *);
/* Who holds its scale: a name for people; NULL: no other client. */
const char *scaled_holder(const struct scaled_revision *);

/* --- what is done --- */

/* Ask the driver for n instances.  If fewer, it stops the victims first (ids; drained). */
void scaled_send_scale(struct scaled_revision *, uint32_t n, const char *const *victims,
		       size_t victims_n);
/* These instances (ids, drained) are to be stopped, and others are to be started in their place:
 * ask the driver for `less` fewer, until it is asked for more as they are wanted. */
void scaled_end(struct scaled_revision *, const char *const *ids, size_t n, uint32_t less);
/* scale_sent without the surge, and with those that are being replaced. */
uint32_t scaled_scale(const struct scaled_revision *);
/* Requests wait: if it is a dry run, let clients hear that nothing is started for them. */
void scaled_refuse_dry(struct scaled_revision *, int64_t now_ns);

#endif
