/* gradient - the slow brain: proposes the target that the fast brain should use, from
 * what it sees of latency against concurrency, CPU and memory.
 *
 * What one instance carries at once, its knee, is throughput times unloaded latency, as
 * Little's law has it: concurrency x unloaded latency / latency, wherever latency has
 * risen.  That is the gradient of Netflix's concurrency-limits (Gradient2Limit), and the
 * bandwidth-delay product of TCP Vegas and BBR.  From those are also: nothing is learned
 * of a limit that is not reached, and steps are bounded.  Unlike a limiter, which works at
 * the limit and moves about it, the fast brain keeps instances below the target (70 % of
 * it): so what was seen is kept, by concurrency, and the proposal stays where the knee is
 * instead of growing until latency rises again.
 *
 * One step for each stable window, at most a fifth down and a tenth up (back to the
 * configured target: a quarter).  A step down must show: if latency does not follow
 * concurrency, what was known of lower latencies is out of date and is forgotten.
 * Pure: the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_GRADIENT_H
#define AUTOSCALER_BRAIN_GRADIENT_H

#include "common/base.h"

struct strbuf;
struct gradient; /* opaque, one per revision */

NODISCARD struct gradient *gradient_new(void);
void gradient_free(struct gradient **);

/* What holds now; looked at each second. */
struct gradient_facts {
	double configured;     /* the target without us */
	double most;	       /* container_concurrency; 0: none */
	bool is_applied;       /* the proposal is used: it may be tried out */
	int64_t step_ns;       /* the stable window */
	uint32_t ready;	       /* instances that answer */
	uint32_t reporters;    /* activators whose reports are passed to gradient_report() */
	double cpu_cores;      /* used by one instance, mean; < 0: unknown */
	double memory_bytes;   /* of one instance, mean; 0: unknown */
	double machine_cores;  /* that all instances share; 0: unknown */
	double machine_used;   /* of them, by all instances */
	double machine_memory; /* 0: unknown */
};

/* A report of one activator: in flight and parked on average over period_s, and how many
 * responses were completed, with their mean latency. */
void gradient_report(struct gradient *, double concurrency, double completed, double latency_s,
		     double period_s);
void gradient_tick(struct gradient *, const struct gradient_facts *, int64_t now_ns);

/* The proposal; 0: none, the configured target holds. */
double gradient_target(const struct gradient *);
/* Why, as one sentence. */
void gradient_explain(const struct gradient *, struct strbuf *);

/* --- to be kept over a restart --- */
struct gradient_data {
	double target, knee, unloaded_s;
	int64_t age_ns; /* of the knee */
};
void gradient_export(const struct gradient *, struct gradient_data *, int64_t now_ns);
void gradient_import(struct gradient *, const struct gradient_data *, int64_t now_ns);

#endif
