/* rollout - moving the traffic of a stored service to one of its revisions in steps: what was
 * asked for, and how far it is.  It is a part of the service's document, so that it goes on after a
 * restart.  rollout_judge.h says when a step is over, and when the rollout goes back.
 *
 * A step gives the revision its percent; the revisions that had the traffic before share the rest
 * in their old proportions.
 * Pure: no clock, no I/O.  Thread: the owner. */
#ifndef AUTOSCALER_VERSIONS_ROLLOUT_H
#define AUTOSCALER_VERSIONS_ROLLOUT_H

#include "common/err.h"

struct jget;
struct jput;

#define ROLLOUT_STEPS_MAX 100
#define ROLLOUT_BOUNDS_MAX 16
#define ROLLOUT_MIN_REQUESTS 20 /* with a bound, unless another number is given */

/* --- what is asked for --- */

/* "errors>1%", "p99>500ms", "errors>2x": more than this, and the rollout goes back. */
struct rollout_bound {
	char *text;	  /* as it was given */
	unsigned ends;	  /* 1 << enum tally_end: which requests are bad; 0: slow ones */
	double part;	  /* !is_relative: of the requests that may be bad; of slow ones always */
	double factor;	  /* is_relative: … this many times the old revisions' */
	int64_t limit_ns; /* of slow ones, !is_relative: what takes longer is slow */
	bool is_relative;
};
/* 0, or -1 with err. */
NODISCARD int rollout_bound_parse(struct rollout_bound *, const char *text, struct err *);

struct rollout_plan {
	int64_t over_ns;		   /* all steps together, each has an equal part of it */
	uint32_t steps[ROLLOUT_STEPS_MAX]; /* percents, rising to 100 */
	size_t steps_n;
	uint64_t min_requests; /* that the new revision answers in each step */
	struct rollout_bound bounds[ROLLOUT_BOUNDS_MAX];
	size_t bounds_n;
};
/* "1,10,50,100" */
NODISCARD int rollout_steps_parse(struct rollout_plan *, const char *text, struct err *);
NODISCARD int rollout_bound_add(struct rollout_plan *, const char *text, struct err *);

/* --- how far it is --- */

#define ROLLOUT_STATES(X)                                                                          \
	X(RUNNING, running)                                                                        \
	X(PAUSED, paused)   /* by an operator: no step follows */                                  \
	X(DONE, done)	    /* the revision has all traffic, and has kept it for its last step */  \
	X(ABORTED, aborted) /* the percents are back as they were before */                        \
	X(REPLACED, replaced) /* another command has set the percents */
enum rollout_state {
#define X(id, name) ROLLOUT_##id,
	ROLLOUT_STATES(X)
#undef X
		ROLLOUT_STATES_N
};
const char *rollout_state_name(enum rollout_state);

struct rollout_share {
	char *revision;
	uint32_t percent;
	uint32_t latest; /* of percent: followed `latest` (model.h) */
};

struct rollout {
	struct rollout_plan plan;
	uint64_t id; /* differs from that of each earlier rollout of the service */
	char *to;
	struct rollout_share *before; /* the percents when it began, of those that had any */
	size_t before_n;
	enum rollout_state state;
	size_t step;	  /* steps in effect, plan.steps[step - 1] is the percent; 0: none yet */
	int64_t spent_ns; /* of the step, before since_s */
	int64_t since_s;  /* wall clock: since then the time of the step runs */
	int64_t began_s, ended_s;
	char *reason; /* why it has ended; NULL: it runs, or is done */
};

NODISCARD struct rollout *rollout_new(const char *to);
NODISCARD struct rollout *rollout_copy(const struct rollout *); /* of NULL: NULL */
void rollout_free(struct rollout **);

/* Is it under way, paused or not? */
bool rollout_is_active(const struct rollout *); /* false for NULL */
/* The time of one step. */
int64_t rollout_step_ns(const struct rollout *);
/* The percent that the revision had from the rollout, and what the next step gives it; 0: there is
 * none. */
uint32_t rollout_percent(const struct rollout *);
uint32_t rollout_next_percent(const struct rollout *);
/* Does it need the revision: as the new one, or to go back to? */
bool rollout_names(const struct rollout *, const char *revision);
/* What a revision weighs beside the others at the step in effect: at most 10,000.
 * The percents are whole numbers; the weights keep the proportions of the old ones exactly. */
uint32_t rollout_weight(const struct rollout *, const char *revision);
/* The percent of each revision in `before` while the new one has `percent`: shares[before_n]. */
void rollout_split(const struct rollout *, uint32_t percent, uint32_t *shares);

/* Its members, in the object that is open; and back.  -1 with err. */
void rollout_put(const struct rollout *, struct jput *);
NODISCARD struct rollout *rollout_get(const struct jget *, struct err *);

#endif
