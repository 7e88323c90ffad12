/* limiter_world - a revision with two instances, and the inboxes of two workers. */
#ifndef TEST_UNIT_LIMITER_WORLD_H
#define TEST_UNIT_LIMITER_WORLD_H

#include "test/unit/revision.h"

#include "activator/limiter.h"

struct world {
	struct loop *control, *loop;
	struct revision *rev;
	struct instance *a, *b;
	struct inbox here, there; /* two workers */
};

/* Of each instance: limit; 0: none. */
void publish(struct world *w, uint32_t limit, uint32_t wanted, uint32_t pace);
int setup(void **state);
int teardown(void **state);
/* Queue a waiter; no slot is free. */
void wait_for_slot(struct world *w, struct waiter *waiter, struct inbox *in, bool at_head);
/* A slot at once, or NULL. */
struct instance *take(struct world *w);
/* How many wait; no slot is free then. */
uint32_t queued(struct world *w);

#endif
