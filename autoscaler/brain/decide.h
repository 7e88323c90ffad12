/* decide - how many instances a revision should have, and why: the fast brain.
 * A pure function of (settings, what was observed, state, now): no clock, no I/O,
 * no globals, no allocation; a day of traffic is simulated in milliseconds.
 * Rules and defaults: Knative's KPA (pkg/autoscaler/scaling), except where the
 * comments of decide.c say what is done better and why.
 *
 * After a restart (is_restarting, one stable window long) nothing that was found running is
 * scaled down: it is wanted until a whole window is known.  Up it decides at once, and what
 * it starts itself it may stop.
 * Who gets what where the wishes of all revisions pass max_instances: ceiling.h.
 * Thread: the caller's. */
#ifndef AUTOSCALER_BRAIN_DECIDE_H
#define AUTOSCALER_BRAIN_DECIDE_H

#include "common/settings.h"

/* Which rule had the last word; spelled out for people in decide.c. */
#define DECIDE_RULES(X)                                                                            \
	X(NO_DATA, "no data: nothing is decided on silence")                                       \
	X(IDLE, "idle: nothing asked within the stable window")                                    \
	X(GRACE, "idle, but within the grace before zero")                                         \
	X(RETENTION, "idle, but the last instance is retained")                                    \
	X(BUSY_LEASE, "idle, but an instance holds a busy lease")                                  \
	X(STABLE, "stable window average over target")                                             \
	X(IN_USE, "somebody is served or waits: one at least")                                     \
	X(PANIC, "panic window average over target")                                               \
	X(BACKLOG, "parked requests, sized to clear in about one start-up time")                   \
	X(ACTIVATION, "requests are parked and nothing is known yet")                              \
	X(ACTIVATION_SCALE, "activation_scale")                                                    \
	X(INITIAL_SCALE, "initial_scale")                                                          \
	X(MIN_SCALE, "min_scale")                                                                  \
	X(MAX_SCALE, "max_scale")                                                                  \
	X(MAX_INSTANCES, "max_instances over all revisions: those in use come first")              \
	X(FADING, "the averages would want more, but the load is fading")                          \
	X(WAITED_FOR, "requests are parked: nothing is taken away")                                \
	X(UP_RATE, "max_scale_up_rate")                                                            \
	X(DOWN_RATE, "max_scale_down_rate")                                                        \
	X(DOWN_DELAY, "scale_down_delay")                                                          \
	X(SCHEDULE, "a schedule entry")                                                            \
	X(LEARNED, "learned idleness")                                                             \
	X(ZERO_DISABLED, "enable_scale_to_zero = no")                                              \
	X(UNHEARD, "an activator is not heard: nothing is taken away on silence")                  \
	X(LEAVING, "not in the conf file any more")                                                \
	X(RESTARTED, "just started: no scale-down until a stable window is known")
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
	bool has_stable, has_panic; /* is there an average at all */
	double stable, panic;	    /* concurrency or rps, as scaling->metric says */
	double idle_s;		    /* since when nothing is asked; 0: it is, or not known */
	uint32_t ready;		    /* instances that answer */
	uint32_t starting;	    /* started, not answering yet */
	uint32_t parked;	    /* requests parked now */
	uint32_t in_flight;	    /* requests in flight now */
	uint32_t container_concurrency;
	double arrivals;	 /* requests a second, by the newest word; < 0: unknown */
	double latency_s;	 /* known response time; < 0: unknown */
	double waited_s;	 /* unknown: for how long the first answer is awaited; 0: not */
	double start_s;		 /* known start-up time; < 0: unknown */
	double target_override;	 /* the slow brain's, 0: none */
	double busy_lease_s;	 /* longest lease that is left */
	uint32_t schedule_min;	 /* min_scale of a schedule entry that holds now */
	double learned_keep_s;	 /* stay warm that long since idle; < 0: not learned */
	bool is_learned_prewarm; /* the learned policy wants one instance now */
	bool is_asked;		 /* an activator sent `activate` and nothing answers */
	bool is_restarting; /* the autoscaler has not seen a stable window since its start … */
	uint32_t adopted;   /* … when so many were running */
};

struct decide_state; /* opaque, one per revision; survives between calls */
NODISCARD struct decide_state *decide_state_new(void);
void decide_state_free(struct decide_state **);
/* initial_scale has been reached: it is for a revision that is new, so it does not apply
 * again, nor after a restart of ours to whoever is told so. */
bool decide_was_initial(const struct decide_state *);
void decide_set_initial(struct decide_state *);

struct decide_out {
	uint32_t wanted;
	bool is_known;	       /* false: leave everything as it is */
	enum decide_rule rule; /* had the last word */
	uint32_t raw;	       /* what the averages alone would want */
	bool is_panicking;
	double target; /* the effective target per instance, utilisation applied */
	double total;  /* the same without: what one instance is for */
};

/* What one instance is for: the target, utilisation not applied.  override: the slow
 * brain's; 0: none. */
double decide_total(const struct scaling *, uint32_t container_concurrency, double override);

/* Called each second, and at once when an `activate` or a change of instances
 * comes in.  Never allocates. */
struct decide_out decide(const struct scaling *, const struct decide_view *, struct decide_state *,
			 int64_t now_ns);

#endif
