#include "test/unit/limiter_world.h"

#include <stdlib.h>

#include "common/loop.h"

void
publish(struct world *w, uint32_t limit, uint32_t wanted, uint32_t pace)
{
	struct instance *v[] = {w->a, w->b};

	limiter_update(w->rev, instance_set_new(v, 2),
		       &(struct limiter_update){
			       .wanted = wanted, .container_concurrency = limit, .pace = pace});
}

int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct err e;

	w->control = loop_new(&e);
	w->loop = loop_new(&e);
	w->rev = unit_revision(w->control);
	w->a = unit_instance(w->rev, "a");
	w->b = unit_instance(w->rev, "b");
	inbox_init(&w->here, w->loop);
	inbox_init(&w->there, w->loop);
	publish(w, 1, 2, 0);
	*state = w;
	return 0;
}

int
teardown(void **state)
{
	struct world *w = *state;

	loop_once(w->control, true);
	loop_once(w->loop, true);
	limiter_update(w->rev, instance_set_new(NULL, 0), &(struct limiter_update){.wanted = 0});
	inbox_fini(&w->here);
	inbox_fini(&w->there);
	instance_unref(&w->a);
	instance_unref(&w->b);
	revision_unref(&w->rev);
	loop_free(&w->loop);
	loop_free(&w->control);
	free(w);
	return 0;
}

void
wait_for_slot(struct world *w, struct waiter *waiter, struct inbox *in, bool at_head)
{
	struct failure *failed;

	*waiter = (struct waiter){.fd = -1, .inbox = in};
	assert_null(limiter_take_or_wait(w->rev, waiter, at_head, 0, &failed));
	assert_null(failed);
}

struct instance *
take(struct world *w)
{
	return limiter_try_take(w->rev, w->rev->set, 0);
}

uint32_t
queued(struct world *w)
{
	struct limiter_count n;

	limiter_count(w->rev, &n);
	assert_true(n.queued == 0 || n.free_slots == 0);
	return n.queued;
}
