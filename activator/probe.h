/* probe - is an instance there yet?  Tried at once, again after 1 ms, doubling to 100 ms:
 * an instance is used as soon as it answers, not when a platform says so.  Answers are
 * a TCP connect, or a GET of the path that the limits (or the platform) name.
 * Thread: main. */
#ifndef ACTIVATOR_PROBE_H
#define ACTIVATOR_PROBE_H

#include "activator/revision.h"

struct prober;

struct prober_ops {
	/* The instance has begun to answer (its slots are open), or to refuse. */
	void (*on_answers)(struct instance *, void *arg);
	void (*on_refuses)(struct instance *, void *arg);
};

NODISCARD struct prober *prober_new(struct loop *, const struct prober_ops *, void *arg);
void prober_free(struct prober **); /* all instances have been forgotten */

/* Probe inst until it answers; then open its slots, and hand the connection to the head
 * of the queue.  Nothing where that is under way. */
void prober_watch(struct prober *, struct instance *inst);
/* Stop, whatever is under way. */
void prober_forget(struct prober *, struct instance *inst);

#endif
