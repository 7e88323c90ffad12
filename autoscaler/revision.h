/* revision - what the autoscaler knows of one revision: its settings, what the
 * activators say of it, what its driver says of it, and what was decided.  Turns that
 * into the view that decide() wants and into the state that activators are told.
 * No I/O; the time is an argument.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_REVISION_H
#define AUTOSCALER_REVISION_H

#include "autoscaler/decide.h"
#include "autoscaler/demand.h"
#include "autoscaler/driver.h"
#include "common/list.h"
#include "common/metric.h"

struct strbuf;
struct window;

struct revision_instance {
	char *id, *address, *probe; /* address, probe: NULL where there is none */
	uint16_t port;
	enum instance_state state; /* the driver's word */
	bool is_answering;	   /* the newest word of an activator */
	bool is_timed;		   /* its start has been measured, or cannot be */
	int64_t seen_ns;	   /* when it was first in a view */
	int64_t started_ns;	   /* 0: unknown (adopted) */
	uint32_t goes_first;	   /* as driver_instance.goes_first */
	double cpu_s;		   /* < 0: unknown */
	uint64_t memory_bytes;	   /* 0: unknown */
};

#define REVISION_STARTS 8 /* start-up times that are kept */

struct revision {
	char *name;			  /* full; ours, since it outlives conf in a reload */
	const struct revision_conf *conf; /* borrowed; swapped by a reload */
	struct driver *driver;		  /* borrowed */
	bool is_external;		  /* `addresses`: always there, never scaled */
	bool is_stale;			  /* not in the new set of a reload */
	bool is_leaving;		  /* to be emptied and stopped */
	int64_t leaving_ns;		  /* since when */

	struct list_node active; /* linked: looked at each second */
	struct list_node dirty;	 /* linked: acted on at the tail of the round */
	bool is_undecided;	 /* decide() at the tail, before acting */

	/* observed */
	struct demand demand;
	struct window *window;
	unsigned window_s;
	double latency_sum_s, latency_n; /* weighted towards the newest reports */
	double start_s[REVISION_STARTS]; /* a ring */
	size_t starts;			 /* measured in all */
	int64_t answering_ns;		 /* when the first instance answered; 0: none has */

	/* from the driver */
	bool is_known; /* the driver has seen the world */
	struct revision_instance *v;
	size_t n;
	struct msg_failure *failure;	 /* NULL: none */
	int64_t failed_ns;		 /* when it was said */
	struct msg_failure failure_left; /* revision_state(): the same with what is left to wait */
	bool has_scale;			 /* the platform keeps the number itself: */
	uint32_t scale;			 /* this one */
	bool is_held;			 /* somebody else has set it, and holds it */
	bool is_used_in_hold;		 /* requests have come since */

	/* decided and done */
	struct decide_state *decide;
	struct decide_out out;
	uint32_t wish;	 /* out.wanted with what holds beside it: silence, leaving */
	uint32_t wanted; /* its share of max_instances, else the wish */
	bool is_told;
	uint32_t told;		   /* what the driver was told last, once is_told */
	struct list drains;	   /* struct drain */
	int64_t no_zero_before_ns; /* an activator was busy: not asked again at once */
	bool is_woken; /* `activate` came while nothing ran; until an instance answers */
	int64_t woken_ns;
	bool is_changed; /* what activators have is out of date */

	/* counted */
	uint64_t activations, failures, decisions[DECIDE_RULES_N], drains_done, drains_taken_back;
	struct metric_hist cold_starts;
};

NODISCARD struct revision *revision_new(const struct revision_conf *, struct driver *,
					bool is_external);
void revision_free(struct revision **); /* drains must be gone */
/* A reload: same name, new settings. */
void revision_set_conf(struct revision *, const struct revision_conf *);
const char *revision_name(const struct revision *); /* full */

/* Whether activators would see no difference if the view were taken. */
bool revision_shows(const struct revision *, const struct driver_view *);
/* Take the driver's view.  Instances are the same by id; what we know of them stays. */
void revision_set_view(struct revision *, const struct driver_view *, int64_t now_ns);
struct revision_instance *revision_find(const struct revision *, const char *id); /* or NULL */
/* Does it answer: says the driver, or an activator. */
bool revision_is_ready(const struct revision_instance *);
uint32_t revision_ready(const struct revision *);
uint32_t revision_starting(const struct revision *);
uint32_t revision_live(const struct revision *); /* ready or starting */
/* Ready now and not measured before: note how long its start took.  The time in ns, 0
 * where it cannot be known; -1: not for the first time. */
int64_t revision_time_start(struct revision *, struct revision_instance *, int64_t now_ns);

/* Add what a report says.  period_ns 0: of the moment, no averages. */
void revision_report(struct revision *, const struct msg_stat *, int64_t period_ns, int64_t now_ns);
double revision_latency_s(const struct revision *); /* < 0: unknown */
double revision_start_s(const struct revision *);   /* median of the last; < 0: unknown */

void revision_fill_view(const struct revision *, struct decide_view *, bool is_restarting,
			int64_t now_ns);

/* Is there a reason to look at it each second? */
bool revision_is_active(const struct revision *);

/* What activators are told, borrowed until the next call, but for the array m->v,
 * which is for revision_state_fini(). */
void revision_state(struct revision *, struct msg_instances *m, int64_t now_ns);
void revision_state_fini(struct msg_instances *m);

#endif
