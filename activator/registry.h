/* registry - what the autoscaler has described: revisions by name, instances by id, and the
 * route table.
 *
 * New descriptions replace old ones, never state: requests in flight, the queue and
 * idle connections belong to objects that stay the same, a revision by its name and an
 * instance by its id.  An object that is not described any more stays while anything but the
 * registry refers to it, so that there is never a second one with the same name or id.
 * Thread: main. */
#ifndef ACTIVATOR_REGISTRY_H
#define ACTIVATOR_REGISTRY_H

#include "common/err.h"

struct instance;
struct loop;
struct msg_instances;
struct msg_service;
struct prober;
struct revision;
struct registry; /* opaque */
struct worker;

/* workers and prober are borrowed.  on_demand: see revision_new(). */
NODISCARD struct registry *registry_new(struct loop *, struct worker *const *workers,
					unsigned workers_n, struct prober *,
					void (*on_demand)(struct revision *, void *arg), void *arg);
/* After the workers have stopped. */
void registry_free(struct registry **);

/* This autoscaler counts shares (is_counting), from the next message on. */
void registry_set_counting(struct registry *, bool is_counting);

/* The messages `begin`, `service` …, `end`.  registry_add_service() takes what s holds. */
void registry_begin(struct registry *);
void registry_add_service(struct registry *, struct msg_service *s);
/* All that is described between `begin` and `end` takes effect at once.  -1: not `services`
 * services have come, and nothing changes. */
NODISCARD int registry_end(struct registry *, int64_t generation, uint32_t services, struct err *);
/* fn(generation, arg) once all workers route by what was described up to that `end`. */
void registry_on_swapped(struct registry *, void (*fn)(int64_t generation, void *arg), void *arg);
/* The autoscaler that has sent these generations is gone: report none of them. */
void registry_forget_swaps(struct registry *);
/* Since when (clk_now()) a worker has not made the oldest swap that is under way; 0: none is. */
int64_t registry_swapping_since(const struct registry *);
bool registry_is_described(const struct registry *);  /* an `end` has come */
int64_t registry_generation(const struct registry *); /* of the newest `end`; 0: none */

/* The message `instances`. */
void registry_update_instances(struct registry *, const struct msg_instances *);
/* Shares of rev may have become less: probe no instance without a share, and close the idle
 * connections above a share. */
void registry_shares_fell(struct registry *, struct revision *rev);

/* Each second: forget what is not described any more and has no user left. */
void registry_forget_unused(struct registry *);

/* NULL: it is not described. */
struct revision *registry_find_revision(const struct registry *, const char *name);
/* The same, and what is not described any more but still in use. */
struct revision *registry_find_known_revision(const struct registry *, const char *name);
struct instance *registry_find_instance(const struct registry *, const char *id);

/* The next of all described revisions, or NULL; *at starts at 0. */
struct revision *registry_next_revision(const struct registry *, size_t *at);
/* Likewise all that belong to the sums over the services that are described: revisions that are not
 * described any more, but still in use, and what those have counted that are gone, as one more
 * "revision" of each such service. */
struct revision *registry_next_counted(const struct registry *, size_t *at);

#endif
