/* brain - what is learned of one revision, and what its calendar says: the slow brain
 * (gradient.h), learned idleness (idleness.h) and schedule entries (schedule.h), each only if
 * the conf file asks for it.  Its answers are inputs of decide().
 * Pure but for the log and the opening of time zones: both clocks are arguments.
 * Thread: the owner.
 *
 * Room: autoscaler/brain decides how many instances are wanted, and why.  Everything here is
 * pure: settings, observations and times are arguments, so that the simulator and the
 * tests run the same code on simulated time.  It may use common/ alone, and never acts:
 * it knows no driver, no activator and no instance's address. */
#ifndef AUTOSCALER_BRAIN_BRAIN_H
#define AUTOSCALER_BRAIN_BRAIN_H

#include "autoscaler/brain/decide.h"
#include "common/msg.h"

struct brain; /* opaque */

/* conf is borrowed until brain_set_conf() or brain_free(). */
NODISCARD struct brain *brain_new(const struct revision_conf *);
/* After a reload: what was learned stays, if the new settings still ask for it. */
void brain_set_conf(struct brain *, const struct revision_conf *);
void brain_free(struct brain **);

/* What one activator reports of a period (0: of this instant) that ends now. */
void brain_report(struct brain *, const struct msg_stat *, int64_t period_ns, int64_t now_ns);

/* What is known from elsewhere. */
struct brain_facts {
	uint32_t ready;	      /* instances that answer */
	uint32_t reporters;   /* activators that report */
	double cpu_cores;     /* that all instances together use; < 0: unknown */
	double memory_bytes;  /* that all instances together use; 0: unknown */
	double machine_cores; /* of the machine that all revisions share; 0: unknown */
	double machine_used;  /* cores that the instances of all revisions use */
	double machine_memory;
	double start_s; /* start-up time of an instance; < 0: unknown */
};
void brain_tick(struct brain *, const struct brain_facts *, int64_t now_ns); /* each second */

/* Learned idleness is to plan anew (idleness.h); to do so takes up to half a millisecond. */
bool brain_is_plan_due(const struct brain *);
void brain_plan(struct brain *);

/* Fill in its part of what decide() sees; view->start_s is set before. */
void brain_fill(const struct brain *, struct decide_view *, int64_t now_ns, int64_t wall_ns);

/* decide() has answered: what the load needs.  To be called each second. */
void brain_decided(struct brain *, const struct decide_view *, const struct decide_out *,
		   int64_t now_ns);

/* --- for people: each appends a sentence, or nothing if it is not in use --- */
double brain_proposal(const struct brain *); /* target of the slow brain; 0: none */
void brain_explain_target(const struct brain *, struct strbuf *);
void brain_explain_idleness(const struct brain *, struct strbuf *);
void brain_explain_schedule(const struct brain *, int64_t wall_ns, struct strbuf *);

/* --- kept over a restart (reconcile/learned.h) --- */
struct idleness_data;
struct gradient_data;
/* The numbers of surplus.h; false: it is not in use. */
bool brain_export_surplus(const struct brain *, float *);
void brain_import_surplus(struct brain *, const float *);
/* False: it is not in use. */
bool brain_export_idleness(const struct brain *, struct idleness_data *, int64_t now_ns);
bool brain_export_target(const struct brain *, struct gradient_data *, int64_t now_ns);
void brain_import_idleness(struct brain *, const struct idleness_data *, int64_t now_ns);
void brain_import_target(struct brain *, const struct gradient_data *, int64_t now_ns);

#endif
