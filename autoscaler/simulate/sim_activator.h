/* sim_activator - a model of the activator in front of the modelled instances, as far as an
 * autoscaler notices it: it reports what is parked and in flight at the same times as the
 * real one, by the same code (common/demand_report), and answers drains as the real one does.
 * It has one revision, and is connected from the start.
 * Pure: no I/O; the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_SIMULATE_SIM_ACTIVATOR_H
#define AUTOSCALER_SIMULATE_SIM_ACTIVATOR_H

#include "common/base.h"

struct msg;
struct sim_activator; /* opaque */
struct sim_fleet;

/* Receives a message of the activator's, borrowed for the call.  It may call
 * sim_activator_receive(). */
typedef void sim_activator_send_fn(const struct msg *, void *arg);

/* fleet and revision (full name) are borrowed. */
NODISCARD struct sim_activator *sim_activator_new(struct sim_fleet *, char *revision,
						  sim_activator_send_fn *, void *arg,
						  int64_t now_ns);
/* As when the link is lost: instances that are drained take requests again. */
void sim_activator_free(struct sim_activator **);

/* Handle a message of the autoscaler's. */
void sim_activator_receive(struct sim_activator *, const struct msg *);

/* Send what is to be sent by now.  To be called at sim_activator_next_ns(), and when
 * instances changed or requests began or ceased to be parked. */
void sim_activator_step(struct sim_activator *, int64_t now_ns);
int64_t sim_activator_next_ns(const struct sim_activator *);

/* Answer one of the drains that can be answered now.  False: there is none. */
bool sim_activator_answer_drain(struct sim_activator *);

#endif
