/* gradient - the slow brain: proposes the target that the fast brain should use, by what it
 * sees of latency against concurrency, CPU and memory.
 *
 * An instance answers a certain number of requests at once without delay: its knee.  By
 * Little's law the knee is throughput x unloaded latency; so, where latency has risen, it is
 * concurrency x unloaded latency / latency.  That is the gradient of Netflix's
 * concurrency-limits (Gradient2Limit), and the bandwidth-delay product of TCP Vegas and BBR.
 * As there, a concurrency that is far below the limit teaches nothing, and steps are bounded.
 * Unlike a limiter, which works at its limit and varies around it, the fast brain keeps
 * instances below the target (at 70 % of it).  So what was seen is kept by concurrency, and
 * the proposal stays at the knee instead of growing until latency rises again.
 *
 * There is one step in each stable window: down by a fifth at most, up by a tenth (back
 * towards the configured target by a quarter).
 *
 * Requests that take longer by themselves raise concurrency, too, so they look like a knee.
 * Therefore a step down below the configured target is a trial.  It is made only if the knee is
 * a quarter below the configured target, and, where work varies much at one concurrency, only if
 * latency has risen with throughput, as load makes it and work does not.  It stays only if
 * latency falls with it, by more than chance explains; else it is taken back, and the next
 * one comes later and later.  Once two trials had an effect, the knee is believed.
 * A target above the configured one is tried only where work is even from one window to the next,
 * and only while latency has risen nowhere by more than chance explains, or up to a concurrency at
 * which latency was seen not to rise; it falls back when requests wait for instances.
 * Pure: the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_GRADIENT_H
#define AUTOSCALER_BRAIN_GRADIENT_H

#include "common/base.h"

struct strbuf;
struct gradient; /* opaque, one per revision */

NODISCARD struct gradient *gradient_new(void);
void gradient_free(struct gradient **);

/* What holds now. */
struct gradient_facts {
	double configured;     /* the target of the conf file */
	double most;	       /* container_concurrency; 0: none */
	bool is_applied;       /* the proposal is used, so its effect can be seen */
	int64_t step_ns;       /* the stable window */
	uint32_t ready;	       /* instances that answer */
	uint32_t reporters;    /* activators whose reports are passed to gradient_report() */
	double cpu_cores;      /* used by one instance, mean; < 0: unknown */
	double memory_bytes;   /* of one instance, mean; 0: unknown */
	double machine_cores;  /* that all instances share; 0: unknown */
	double machine_used;   /* cores that all instances use */
	double machine_memory; /* 0: unknown */
};

/* A report of one activator: average concurrency over period_s, the part of it that was parked,
 * and how many responses were completed, with their mean latency. */
void gradient_report(struct gradient *, double concurrency, double waiting, double completed,
		     double latency_s, double period_s);
/* To be called each second. */
void gradient_tick(struct gradient *, const struct gradient_facts *, int64_t now_ns);

/* The proposed target; 0: none, the configured one holds. */
double gradient_target(const struct gradient *);
/* The reason, as one sentence. */
void gradient_explain(const struct gradient *, struct strbuf *);

/* --- kept over a restart (reconcile/learned.h) --- */
struct gradient_data {
	double target, knee, unloaded_s;
	int64_t age_ns; /* since the knee was seen last */
};
void gradient_export(const struct gradient *, struct gradient_data *, int64_t now_ns);
void gradient_import(struct gradient *, const struct gradient_data *, int64_t now_ns);

#endif
