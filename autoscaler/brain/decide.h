/* decide - how many instances a revision should have, and why: the fast brain.
 *
 * A pure function of settings, observations, state and time: no clock, no I/O, no globals, no
 * allocation.  So the simulator decides a day of traffic in milliseconds, by this code.
 * Rules and defaults are those of Knative's KPA (pkg/autoscaler/scaling), except where the
 * comments of decide.c say what is done differently, and why.
 *
 * What is wanted follows from demand and from the settings.  What is there only bounds how fast it
 * moves: it is never read as what is wanted, since it may be there for reasons of others (a
 * rollout, another controller, a pod that is replaced), who would then answer to what we want.
 * What "stays" is what was asked for.
 *
 * It decides for one revision by itself.  What bounds its answer afterwards (an activator that
 * does not report, max_instances, …) is in reconcile/wanted.h.
 * Thread: the caller's. */
#ifndef AUTOSCALER_BRAIN_DECIDE_H
#define AUTOSCALER_BRAIN_DECIDE_H

#include "autoscaler/brain/starts.h"
#include "common/settings.h"

/* The rule that made the number what it is: its name for programs, and the reason in words.
 * WOKEN, ASLEEP, HELD, UNHEARD, LEAVING, OWNER and MAX_INSTANCES are not decide()'s: they bound its
 * answer (wanted.h). */
#define DECIDE_RULES(X)                                                                            \
	X(NO_DATA, "no activator has reported within the stable window: the number stays")         \
	X(IDLE, "idle: no requests within the stable window")                                      \
	X(GRACE, "idle, but for less than scale_to_zero_grace")                                    \
	X(RETENTION, "idle, but retention keeps the last instance")                                \
	X(AWAITED, "idle, but requests waited for an instance that is starting or new")            \
	X(BUSY_LEASE, "idle, but an instance holds a busy lease")                                  \
	X(STABLE, "average load over the stable window, divided by the target")                    \
	X(IN_USE, "requests are in flight or parked: at least one instance")                       \
	X(PANIC, "panic: average load over the panic window, divided by the target")               \
	X(BACKLOG, "parked requests: enough instances to clear them in about one start-up time")   \
	X(ACTIVATION, "requests are parked, and no response time is known yet")                    \
	X(ACTIVATION_SCALE, "activation_scale: the least above zero")                              \
	X(INITIAL_SCALE, "initial_scale: a new revision starts with so many")                      \
	X(MIN_SCALE, "min_scale")                                                                  \
	X(MAX_SCALE, "max_scale")                                                                  \
	X(MAX_INSTANCES, "max_instances over all revisions: those in use come first")              \
	X(OWNER, "max_instances of its owner: revisions of the owner that are in use come first")  \
	X(FADING, "the average load needs more, but by the newest reports it is falling")          \
	X(RISING, "the average load needs fewer, but that of the newest second needs these")       \
	X(WAITED_FOR, "requests are parked: no instance is stopped")                               \
	X(UP_RATE, "max_scale_up_rate")                                                            \
	X(STARTS, "more starts at once would slow each other down: the others follow")             \
	X(DOWN_RATE, "max_scale_down_rate")                                                        \
	X(DOWN_DELAY, "scale_down_delay: a lower number has not held for long enough")             \
	X(SCHEDULE, "min_scale of a schedule")                                                     \
	X(LEARNED, "learned idleness (keep_warm) wants an instance")                               \
	X(SURPLUS, "the load needs fewer, but by what was learned (keep_warm) it will need these " \
		   "again before they have cost more than a start and its waiting")                \
	X(RELEASED, "idle, and by learned idleness (keep_warm) none is worth its price now")       \
	X(ZERO_DISABLED, "idle, but enable_scale_to_zero = no")                                    \
	X(WOKEN, "an operator has asked for an instance (activatorctl wake)")                      \
	X(ASLEEP, "an operator has put it to sleep (activatorctl sleep), until a request comes")   \
	X(ROLLOUT,                                                                                 \
	  "a rollout keeps instances for the percent that the revision gets (activatorctl)")       \
	X(HELD, "another client has set the number, and foreign_scale says to respect it")         \
	X(UNHEARD, "an activator does not report: no instance is stopped on missing data")         \
	X(LEAVING,                                                                                 \
	  "no traffic or tag leads to it any more, or it is gone: it ends when it is empty")       \
	X(RESTARTED, "the autoscaler has just started: what runs stays for a stable window")
enum decide_rule {
#define X(id, text) DECIDE_##id,
	DECIDE_RULES(X)
#undef X
		DECIDE_RULES_N
};
const char *decide_rule_name(enum decide_rule); /* "stable", "down_delay", … */
const char *decide_rule_text(enum decide_rule);

/* What is known at `now`. */
struct decide_view {
	/* average load over the two windows: concurrency, or requests per second where
	 * scaling->metric says so */
	bool has_stable, has_panic; /* is there an average */
	double stable, panic;
	double newest; /* likewise over the newest second; 0: unknown */
	/* Instances that start at any time in place of those that have had max_requests, by the
	 * averages over the two windows */
	double renewals, panic_renewals;
	double idle_s; /* since the last use; 0: it is in use, or that is not known */
	/* What there is: ready and starting.  Some of it may be there for reasons of others (the
	 * surge of a rollout, a pod that is being replaced, …). */
	uint32_t ready;	   /* instances that answer */
	uint32_t starting; /* instances that do not answer yet */
	/* What was asked for last, by us or by another client; before that: what the platform
	 * stores, or what was there at first. */
	uint32_t scale;
	bool is_held; /* another client has set `held`, and that is respected (hold.h) */
	uint32_t held;
	bool is_replacing; /* the platform replaces instances that are lost */
	uint32_t parked;   /* requests, by the newest reports */
	uint32_t in_flight;
	uint32_t container_concurrency;
	double arrivals;	/* requests per second, by the newest reports; < 0: unknown */
	double steady_arrivals; /* likewise, by the newest reports of whole periods */
	double latency_s;	/* response time; < 0: unknown */
	double waited_s;	/* while it is unknown: how long the first answer is awaited */
	double start_s;		/* start-up time; < 0: unknown */
	/* How starts slow each other down.  starts_trusted 0: that does not matter. */
	struct starts_model starts;
	uint32_t starts_trusted;     /* at once, as in starts_worth() */
	uint32_t starting_elsewhere; /* instances of other revisions, on the same machine */
	double target_override;	     /* the slow brain's target; 0: none */
	/* What is left of the time for which an instance is kept that requests have waited for,
	 * also if they left before it was ready; 0: nothing */
	double awaited_s;
	double busy_lease_s;   /* what is left of the longest busy lease */
	uint32_t schedule_min; /* min_scale of the schedule entry that holds now; 0: none */
	/* learned idleness: how long the last instance stays after the last request; < 0: the fixed
	 * keys say so */
	double learned_keep_s;
	bool is_learned_prewarm;    /* learned idleness wants an instance now */
	uint32_t learned_surplus;   /* instances that are worth keeping (surplus.h); 0: none */
	bool is_activation_pending; /* an activator asks for an instance, and none answers */
	/* The autoscaler runs for less than a stable window.  Until it knows one stable window it
	 * stops none of the `adopted` instances that it found. */
	bool has_just_started;
	uint32_t adopted;
};

struct decide_state; /* opaque, one per revision; survives between calls */
NODISCARD struct decide_state *decide_state_new(void);
void decide_state_free(struct decide_state **);
/* initial_scale is for a new revision: once it has been reached it does not apply again, nor
 * after a restart if the state is told so. */
bool decide_was_initial(const struct decide_state *);
void decide_set_initial(struct decide_state *);

struct decide_out {
	uint32_t wanted;
	bool is_known;	       /* false: there is nothing to decide on, and wanted does not count */
	enum decide_rule rule; /* that made wanted what it is */
	uint32_t raw;	       /* what the stable average alone needs */
	uint32_t needed;       /* what the load needs, before what keeps or bounds it */
	bool is_panicking;
	double target; /* load per instance that is aimed for: target_utilization of … */
	double total;  /* … what one instance is meant to carry */
};

/* What one instance is meant to carry.  override: the slow brain's target; 0: none. */
double decide_total(const struct scaling *, uint32_t container_concurrency, double override);

/* To be called each second, and at once on an `activate` or when an instance comes or goes. */
struct decide_out decide(const struct scaling *, const struct decide_view *, struct decide_state *,
			 int64_t now_ns);

#endif
