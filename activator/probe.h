/* probe - finds out when an instance answers: a TCP connect, or a GET of a path, tried
 * at once and again until it succeeds, without waiting for the platform's slower word.
 *
 * How often: while requests wait for the revision, after 1/256 of the time that it has
 * been tried already (so that finding out adds less than half a percent to what starting
 * takes), else after 1 ms, doubling; at most 100 ms, and never so often that all probes
 * together pass 5,000 a second.  A handshake that is slow is waited for, up to
 * connect_timeout, and no second one is opened beside it.  Of the 512 connections that may
 * be open at a time a quarter is kept for instances that do not hang.
 * Thread: main. */
#ifndef ACTIVATOR_PROBE_H
#define ACTIVATOR_PROBE_H

#include "common/base.h"

struct instance;
struct loop;

struct prober; /* opaque */

struct prober_ops {
	/* It has begun to answer: its slots are open already.  Never from inside a call
	 * of ours. */
	void (*on_answers)(struct instance *, void *arg);
};

NODISCARD struct prober *prober_new(struct loop *, const struct prober_ops *, void *arg);
void prober_free(struct prober **);

/* What the platform says of inst (inst->state, inst->probe_spec) is new: begin to probe
 * it, open it on the platform's word, or leave it alone. */
void prober_watch(struct prober *, struct instance *);
/* It refused a connection (SLOTS_UNREADY is set): probe it until it is back, whatever the
 * platform says. */
void prober_refused(struct prober *, struct instance *);
/* It is gone, or stopping: no more probes. */
void prober_forget(struct prober *, struct instance *);

/* Delay before the next try (pure): tries so far, time since the first, how many
 * instances are being probed. */
int64_t prober_delay(unsigned tries, int64_t elapsed_ns, size_t probed, bool is_awaited);

size_t prober_probed(const struct prober *);   /* instances that are being probed */
uint64_t prober_probes(const struct prober *); /* connections that were tried, for ever */

#endif
