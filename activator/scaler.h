/* scaler - our end of the link to the autoscaler: what it says becomes the world
 * (world.h), what our clients ask for becomes `activate`, `stats` and `instance`, and
 * drains are tested and closed.  A lost link changes nothing but that (promise 5): all
 * is told anew when it returns.
 * Thread: main. */
#ifndef ACTIVATOR_SCALER_H
#define ACTIVATOR_SCALER_H

#include "common/msg.h"

struct instance;
struct loop;
struct revision;
struct scaler;
struct worker;
struct world;

struct scaler_ops {
	/* The first `end` has come: what is parked has been routed. */
	void (*on_described)(void *arg);
};

/* Dial the socket at path and keep at it.  world, workers, ops are borrowed. */
NODISCARD struct scaler *scaler_new(struct loop *, const char *path, struct world *,
				    struct worker *const *workers, unsigned workers_n,
				    const struct scaler_ops *, void *arg);
void scaler_free(struct scaler **);

/* Requests began to wait for rev (its demand mail has been taken). */
void scaler_on_demand(struct scaler *, struct revision *rev);
/* A probe, or a request, has learned it. */
void scaler_on_instance(struct scaler *, struct instance *, enum instance_health);

bool scaler_is_up(const struct scaler *);

#endif
