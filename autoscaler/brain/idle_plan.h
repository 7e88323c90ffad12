/* idle_plan - when an idle revision is to have an instance: spans of time since the last
 * request, what they cost over an idle time of a given length, and the spans that cost least
 * over a set of such lengths.
 * The cost is in instance-seconds: an instance costs 1 for each second, its start included; a
 * request that finds none, or finds it starting, costs wait_cost for each second that it waits,
 * and so do those that follow it meanwhile.
 * Pure.  Thread: the caller's. */
#ifndef AUTOSCALER_BRAIN_IDLE_PLAN_H
#define AUTOSCALER_BRAIN_IDLE_PLAN_H

#include "common/base.h"

#define IDLE_PLAN_SPANS 4

struct idle_plan {
	/* in order, disjoint; an instance answers from the begin of a span to its end */
	struct {
		float from_s, upto_s;
	} spans[IDLE_PLAN_SPANS];
	uint32_t n;
};

struct idle_price {
	double start_s;	  /* what a start takes */
	double followers; /* requests that come within start_s after the first one */
	double wait_cost; /* instance-seconds that a second of waiting is worth */
	double least_s;	  /* the last instance stays for so long at least */
};

/* What an idle time of this length costs by the plan. */
double idle_plan_cost(const struct idle_plan *, const struct idle_price *, double idle_s);

/* What an idle time costs beside that if there is no instance when it ends: a start, and the
 * waiting for it. */
double idle_plan_miss(const struct idle_price *);

/* Is an instance to run, or to start, so long after the last request? */
bool idle_plan_is_warm(const struct idle_plan *, const struct idle_price *, double idle_s);

/* How long the last instance stays after the last request. */
double idle_plan_stay_s(const struct idle_plan *);

/* How likely which length is: a density, in steps.  At idle_s it changes by so much. */
struct idle_step {
	double idle_s, change;
};
/* The plan that costs least by that density, of all plans whose spans begin and end at steps.
 * Sorts v.  n <= IDLE_STEPS_MOST. */
#define IDLE_STEPS_MOST 2048
struct idle_plan idle_plan_best(struct idle_step *v, size_t n, const struct idle_price *);

#endif
