/* world - what the autoscaler has told us, as shared objects: revisions by name,
 * instances by id, the route table.  A swap replaces descriptions, not state (DESIGN 7):
 * what is in flight, parked or idle belongs to objects that survive it.
 * Thread: main. */
#ifndef ACTIVATOR_WORLD_H
#define ACTIVATOR_WORLD_H

#include "common/err.h"

struct instance;
struct loop;
struct msg_instances;
struct msg_service;
struct prober;
struct revision;
struct worker;
struct world;

/* workers and prober are borrowed.  on_demand: see revision_new(). */
NODISCARD struct world *world_new(struct loop *, struct worker *const *workers, unsigned workers_n,
				  struct prober *, void (*on_demand)(struct revision *, void *arg),
				  void *arg);
/* The workers have stopped, or are gone: nothing is posted any more. */
void world_free(struct world **);

/* begin; service …; end.  world_service() takes over what s holds. */
void world_begin(struct world *);
void world_service(struct world *, struct msg_service *s);
/* Swap the table.  -1: `services` is not what came; the old one stays. */
NODISCARD int world_end(struct world *, int64_t generation, uint32_t services, struct err *);
bool world_is_described(const struct world *);	/* an `end` has come */
int64_t world_generation(const struct world *); /* of the table that holds; 0: none */

void world_instances(struct world *, const struct msg_instances *);

struct revision *world_revision(const struct world *, const char *name); /* NULL: unknown */
struct instance *world_instance(const struct world *, const char *id);

/* Walk all revisions: at starts at 0. */
struct revision *world_next(const struct world *, size_t *at);

#endif
