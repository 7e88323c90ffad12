/* limiter: slots and the queue: order, hand-over, pacing, connections that are passed on, and
 * threads that race for one slot.  Promises 3 and 4; t_limiter_crowd.c has many threads. */
#include "test/unit/revision.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>

#include "activator/failure.h"
#include "activator/limiter.h"
#include "common/clk.h"
#include "common/shares.h"

struct world {
	struct loop *control, *loop;
	struct revision *rev;
	struct instance *a, *b;
	struct inbox here, there; /* two workers */
};

static void
publish(struct world *w, uint32_t limit, uint32_t wanted, uint32_t pace)
{
	struct instance *v[] = {w->a, w->b};

	limiter_update(w->rev, instance_set_new(v, 2),
		       &(struct limiter_update){
			       .wanted = wanted, .container_concurrency = limit, .pace = pace});
}

static int
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

static int
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

/* Queue a waiter; no slot is free. */
static void
wait_for_slot(struct world *w, struct waiter *waiter, struct inbox *in, bool at_head)
{
	struct failure *failed;

	*waiter = (struct waiter){.fd = -1, .inbox = in};
	assert_null(limiter_take_or_wait(w->rev, waiter, at_head, 0, &failed));
	assert_null(failed);
}

static struct instance *
take(struct world *w)
{
	return limiter_try_take(w->rev, w->rev->set, 0);
}

static uint32_t
queued(struct world *w)
{
	struct limiter_count n;

	limiter_count(w->rev, &n);
	assert_true(n.queued == 0 || n.free_slots == 0);
	return n.queued;
}

/* First come, first served, over two workers; no newcomer overtakes. */
static void
test_order(void **state)
{
	struct world *w = *state;
	struct waiter v[4];
	struct instance *inst;
	int i;

	limiter_open(w->a, SLOTS_UNREADY);
	inst = take(w);
	assert_ptr_equal(inst, w->a);
	for (i = 0; i < 3; i++)
		wait_for_slot(w, &v[i], i % 2 == 0 ? &w->here : &w->there, false);
	wait_for_slot(w, &v[3], &w->there, true); /* its connect failed: before all others */
	assert_null(take(w));
	for (i = 0; i < 4; i++) {
		static const int order[] = {3, 0, 1, 2};
		struct waiter *next = &v[order[i]];
		struct inbox *in = next->inbox, *other = in == &w->here ? &w->there : &w->here;

		assert_int_equal(queued(w), 4 - i);
		limiter_give_back(w->a);
		assert_null(take(w)); /* never free for a newcomer */
		assert_null(inbox_next(other));
		assert_ptr_equal(inbox_next(in), next);
		assert_ptr_equal(next->inst, w->a);
		instance_unref(&next->inst);
	}
	limiter_give_back(w->a);
	assert_int_equal(queued(w), 0);
	assert_true(v[0].is_first && !v[1].is_first);
}

static void
expect_next(struct world *w, struct waiter *v)
{
	limiter_give_back(w->a);
	assert_ptr_equal(inbox_next(&w->here), v);
	assert_null(inbox_next(&w->here));
	instance_unref(&v->inst);
}

/* Waiters whose connects failed come before all others, in the order in which they first came,
 * whichever failed first, and however often. */
static void
test_returned(void **state)
{
	struct world *w = *state;
	struct waiter v[5], direct;
	struct failure *failed;
	int i;

	limiter_open(w->a, SLOTS_UNREADY);
	assert_non_null(take(w));
	for (i = 0; i < 5; i++)
		wait_for_slot(w, &v[i], &w->here, false);
	for (i = 0; i < 4; i++)
		expect_next(w, &v[i]);
	for (i = 3; i >= 0; i--)
		assert_null(limiter_take_or_wait(w->rev, &v[i], true, 0, &failed));
	wait_for_slot(w, &direct, &w->here, true); /* it had found a slot free */
	expect_next(w, &v[0]);
	assert_null(limiter_take_or_wait(w->rev, &v[0], true, 0,
					 &failed)); /* its connect failed again */
	limiter_cancel(&v[2]);
	expect_next(w, &v[0]);
	expect_next(w, &v[1]);
	limiter_cancel(&direct); /* the last of them: the next one queues behind v[3] */
	wait_for_slot(w, &direct, &w->here, true);
	expect_next(w, &v[3]);
	expect_next(w, &direct);
	wait_for_slot(w, &direct, &w->here, true); /* no slot was free */
	expect_next(w, &direct);
	expect_next(w, &v[4]);
	limiter_give_back(w->a);
	assert_int_equal(queued(w), 0);
}

/* A slot that was granted to a waiter that left goes to the next, at any stage. */
static void
test_leaving(void **state)
{
	struct world *w = *state;
	struct waiter v[4];
	int i;

	limiter_open(w->a, SLOTS_UNREADY);
	assert_non_null(take(w));
	for (i = 0; i < 4; i++)
		wait_for_slot(w, &v[i], &w->here, false);
	limiter_cancel(&v[0]); /* in the queue */
	limiter_give_back(w->a);
	limiter_cancel(&v[1]); /* granted, in the inbox */
	assert_ptr_equal(inbox_next(&w->here), &v[2]);
	limiter_decline(&v[2]); /* taken from the inbox, but not used */
	assert_ptr_equal(inbox_next(&w->here), &v[3]);
	assert_null(inbox_next(&w->here));
	assert_int_equal(queued(w), 0);
	instance_unref(&v[3].inst);
	limiter_give_back(w->a);
	assert_int_equal(instance_in_flight(w->a), 0);
}

/* After a limit was lowered, slots above it are not handed on. */
static void
test_lower_limit(void **state)
{
	struct world *w = *state;
	struct waiter v;
	int i;

	publish(w, 3, 1, 0);
	limiter_open(w->a, SLOTS_UNREADY);
	for (i = 0; i < 3; i++)
		assert_non_null(take(w));
	wait_for_slot(w, &v, &w->here, false);
	publish(w, 1, 1, 0);
	limiter_give_back(w->a);
	limiter_give_back(w->a);
	assert_null(inbox_next(&w->here));
	limiter_give_back(w->a);
	assert_ptr_equal(inbox_next(&w->here), &v);
	instance_unref(&v.inst);
	limiter_give_back(w->a);
}

/* Raising a limit grants as many more slots, to the oldest waiters, before it returns. */
static void
test_raised_limit(void **state)
{
	struct world *w = *state;
	struct waiter v[4];
	int i;

	limiter_open(w->a, SLOTS_UNREADY);
	assert_non_null(take(w));
	for (i = 0; i < 4; i++)
		wait_for_slot(w, &v[i], i % 2 == 0 ? &w->here : &w->there, false);
	publish(w, 3, 1, 0);
	assert_ptr_equal(inbox_next(&w->here), &v[0]);
	assert_ptr_equal(inbox_next(&w->there), &v[1]);
	assert_null(inbox_next(&w->here));
	assert_int_equal(queued(w), 2);
	publish(w, 0, 1, 0); /* no limit */
	assert_ptr_equal(inbox_next(&w->here), &v[2]);
	assert_ptr_equal(inbox_next(&w->there), &v[3]);
	assert_int_equal(instance_in_flight(w->a), 5);
	assert_non_null(take(w));
	for (i = 0; i < 6; i++)
		limiter_give_back(w->a);
	for (i = 0; i < 4; i++)
		instance_unref(&v[i].inst);
}

/* An instance gets no request before its limit is known. */
static void
test_no_limit_yet(void **state)
{
	struct world *w = *state;
	struct instance *c = unit_instance(w->rev, "c");
	struct instance_set *set = instance_set_new(&c, 1);

	limiter_open(c, SLOTS_UNREADY);
	assert_null(limiter_try_take(w->rev, set, 0));
	limiter_update(w->rev, instance_set_ref(set),
		       &(struct limiter_update){.wanted = 1, .container_concurrency = 1});
	assert_ptr_equal(limiter_try_take(w->rev, set, 0), c);
	limiter_give_back(c);
	instance_set_unref(&set);
	instance_unref(&c);
}

static uint32_t
granted(struct inbox *in, struct waiter **last)
{
	struct waiter *next;
	uint32_t n = 0;

	while ((next = inbox_next(in)) != NULL) {
		*last = next;
		n++;
	}
	return n;
}

#define MANY 10

/* Pacing ends when the wanted number of instances has been there for a tick. */
static void
test_pace_ends(void **state)
{
	struct world *w = *state;
	struct waiter v[MANY], *last = NULL;
	int i;

	publish(w, 0, 2, 3);
	for (i = 0; i < MANY; i++)
		wait_for_slot(w, &v[i], &w->here, false);
	limiter_open(w->a, SLOTS_UNREADY);
	assert_int_equal(granted(&w->here, &last), 3);
	limiter_tick(w->rev);
	limiter_tick(w->rev); /* one of two instances */
	assert_int_equal(granted(&w->here, &last), 0);
	limiter_open(w->b, SLOTS_UNREADY);
	assert_int_equal(granted(&w->here, &last), 3);
	limiter_tick(w->rev);
	publish(w, 0, 3, 3); /* one more is wanted */
	limiter_tick(w->rev);
	limiter_tick(w->rev);
	assert_int_equal(granted(&w->here, &last), 0);
	publish(w, 0, 2, 3);
	limiter_tick(w->rev);
	assert_int_equal(granted(&w->here, &last), 0);
	limiter_tick(w->rev);
	assert_int_equal(granted(&w->here, &last), MANY - 6);
	assert_false(last->is_paced);
	assert_int_equal(queued(w), 0);
	for (i = 0; i < MANY; i++)
		limiter_give_back(v[i].inst);
	for (i = 0; i < MANY; i++)
		instance_unref(&v[i].inst);
}

/* Without a limit: as many requests for each instance as the pace allows, and one more for
 * each response head, until none waits. */
static void
test_pace(void **state)
{
	struct world *w = *state;
	struct waiter v[MANY], *last = NULL;
	struct instance *inst;
	int i;

	publish(w, 0, 2, 3);
	for (i = 0; i < MANY; i++)
		wait_for_slot(w, &v[i], &w->here, false);
	limiter_open(w->a, SLOTS_UNREADY);
	assert_int_equal(granted(&w->here, &last), 3);
	assert_ptr_equal(last, &v[2]);
	assert_true(last->is_paced);
	assert_null(take(w));	 /* newcomers have to wait too */
	limiter_give_back(w->a); /* a request has ended; its response head counts */
	assert_int_equal(granted(&w->here, &last), 0);
	limiter_head_seen(w->a);
	assert_int_equal(granted(&w->here, &last), 1);
	limiter_cancel(&v[4]);
	assert_int_equal(queued(w), MANY - 5);
	limiter_open(w->b, SLOTS_UNREADY);
	assert_int_equal(granted(&w->here, &last), 3);
	assert_ptr_equal(last, &v[MANY - 3]);
	limiter_head_seen(w->a);
	limiter_head_seen(w->b);
	assert_int_equal(granted(&w->here, &last), 2);
	assert_true(last->is_paced);
	assert_int_equal(queued(w), 0);
	inst = take(w); /* newcomers need not wait any more */
	assert_non_null(inst);
	limiter_give_back(inst);
	assert_int_equal(instance_in_flight(w->a) + instance_in_flight(w->b), MANY - 2);
	for (i = 0; i < MANY; i++) {
		bool has_slot = i != 0 && i != 4;

		if (has_slot)
			limiter_give_back(v[i].inst);
		instance_unref(&v[i].inst);
	}
}

/* The prober's connection goes to the first waiter; one that has left passes it on. */
static void
test_descriptor(void **state)
{
	struct world *w = *state;
	struct waiter v[3], *last;
	int i, fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	for (i = 0; i < 3; i++)
		wait_for_slot(w, &v[i], i == 1 ? &w->there : &w->here, false);
	assert_true(limiter_try_permit(w->a));
	assert_false(limiter_try_permit(w->a)); /* one connection at most */
	assert_true(limiter_open_with_fd(w->a, fd));
	limiter_cancel(&v[0]);
	assert_int_equal(v[0].fd, -1);
	assert_int_equal(granted(&w->there, &last), 1);
	assert_ptr_equal(last, &v[1]);
	assert_int_equal(v[1].fd, fd);
	assert_true(v[1].has_permit);
	limiter_cancel(&v[2]);
	limiter_decline(&v[1]); /* no waiter is left */
	assert_int_equal(v[1].fd, -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed, before its permit is free */
	assert_false(limiter_open_with_fd(w->b, 43));
	assert_int_equal(permits_count(w->a->conns), 0);
	assert_int_equal(queued(w), 0);
}

/* There are as many connections to an instance as its limit, over all workers.  A waiter for
 * one gets the next that is closed, or that a higher limit allows. */
static void
test_permits(void **state)
{
	struct world *w = *state;
	struct waiter v[3] = {0}, *last;
	int i;

	publish(w, 2, 1, 0);
	limiter_open(w->a, SLOTS_UNREADY);
	assert_true(limiter_try_permit(w->a) && limiter_try_permit(w->a));
	for (i = 0; i < 2; i++) {
		v[i] = (struct waiter){.fd = -1, .inbox = &w->here, .inst = take(w)};
		assert_ptr_equal(v[i].inst, w->a);
		instance_ref(w->a);
		assert_true(limiter_may_idle(w->a) == (i == 0));
		assert_false(limiter_permit_or_wait(&v[i]));
	}
	limiter_permit_back(w->a);
	assert_int_equal(granted(&w->here, &last), 1);
	assert_ptr_equal(last, &v[0]);
	assert_true(v[0].has_permit && !v[1].has_permit);
	publish(w, 3, 1, 0);
	assert_int_equal(granted(&w->here, &last), 1);
	assert_true(v[1].has_permit);
	assert_int_equal(permits_count(w->a->conns), 3);
	for (i = 0; i < 2; i++)
		limiter_decline(&v[i]); /* both the slot and the permit */
	limiter_permit_back(w->a);
	assert_int_equal(permits_count(w->a->conns), 0);
	assert_int_equal(instance_in_flight(w->a), 0);
}

/* While more is in use at one instance than its share, this is reported as it falls, and requests
 * elsewhere are not. */
static void
test_above_the_share(void **state)
{
	struct world *w = *state;
	struct share_item items[] = {{.id = "a", .slots = 2}, {.id = "b", .slots = 2}};
	struct share_offer offer = {.term = 1, .epoch = 1, .limit = 4, .v = items, .n = 2};
	struct limiter_update update = {
		.wanted = 2, .container_concurrency = 4, .is_counted = true, .offer = &offer};
	struct instance *v[] = {w->a, w->b}, *taken[4];
	int i;

	limiter_update(w->rev, instance_set_new(v, 2), &update);
	limiter_open(w->a, SLOTS_UNREADY);
	limiter_open(w->b, SLOTS_UNREADY);
	for (i = 0; i < 4; i++)
		assert_non_null(taken[i] = take(w));
	assert_null(take(w));
	offer.epoch = 2;
	items[0].slots = 1;
	limiter_update(w->rev, instance_set_new(v, 2), &update);
	assert_int_equal(atomic_load(&w->rev->waiting), 0);
	atomic_store(&w->rev->is_share_news, false);
	limiter_give_back(w->b);
	assert_false(atomic_load(&w->rev->is_share_news));
	limiter_give_back(w->a);
	assert_true(atomic_load(&w->rev->is_share_news));
	atomic_store(&w->rev->is_share_news, false);
	limiter_give_back(w->a);
	assert_false(atomic_load(&w->rev->is_share_news));
	limiter_give_back(w->b);
}

/* Instances are filled one by one or evenly by container_concurrency, not by the share of it. */
static void
test_balance_by_the_limit(void **state)
{
	struct world *w = *state;
	struct share_item items[] = {{.id = "a", .slots = 0}, {.id = "b", .slots = 2}};
	struct share_offer offer = {.term = 1, .epoch = 1, .limit = 10, .v = items, .n = 2};
	struct limiter_update update = {
		.wanted = 2, .container_concurrency = 10, .is_counted = true, .offer = &offer};
	struct instance *v[] = {w->a, w->b};

	limiter_update(w->rev, instance_set_new(v, 2), &update);
	limiter_open(w->a, SLOTS_UNREADY);
	limiter_open(w->b, SLOTS_UNREADY);
	assert_ptr_equal(take(w), w->b); /* whatever instance is looked at first */
	offer.epoch = 2;
	items[0].slots = 2;
	limiter_update(w->rev, instance_set_new(v, 2), &update);
	assert_ptr_equal(take(w), w->a);
	assert_ptr_equal(limiter_try_take(w->rev, w->rev->set, 1), w->b); /* not the first */
	limiter_give_back(w->a);
	limiter_give_back(w->b);
	limiter_give_back(w->b);
}

/* Connections count without a limit, too: above one that is set later no connection stays idle,
 * and none is opened. */
static void
test_permits_before_a_limit(void **state)
{
	struct world *w = *state;

	publish(w, 0, 1, 0);
	assert_true(limiter_try_permit(w->a) && limiter_try_permit(w->a));
	assert_true(limiter_may_idle(w->a));
	publish(w, 1, 1, 0);
	assert_false(limiter_may_idle(w->a));
	limiter_permit_back(w->a);
	assert_true(limiter_may_idle(w->a));
	assert_false(limiter_try_permit(w->a));
	limiter_permit_back(w->a);
	assert_int_equal(permits_count(w->a->conns), 0);
}

/* A connection above a limit that was lowered makes room for none when it is closed. */
static void
test_permits_under_a_lower_limit(void **state)
{
	struct world *w = *state;
	struct waiter v[2], *last;
	int i;

	publish(w, 2, 1, 0);
	limiter_open(w->a, SLOTS_UNREADY);
	assert_true(limiter_try_permit(w->a) && limiter_try_permit(w->a));
	for (i = 0; i < 2; i++) {
		v[i] = (struct waiter){.fd = -1, .inbox = &w->here, .inst = take(w)};
		instance_ref(v[i].inst);
		assert_false(limiter_permit_or_wait(&v[i]));
	}
	publish(w, 1, 1, 0);
	limiter_permit_back(w->a);
	assert_int_equal(granted(&w->here, &last), 0);
	limiter_permit_back(w->a);
	assert_int_equal(granted(&w->here, &last), 1);
	assert_ptr_equal(last, &v[0]);
	assert_int_equal(permits_count(w->a->conns), 1);
	limiter_decline(&v[0]);
	assert_int_equal(granted(&w->here, &last), 1);
	limiter_decline(&v[1]);
	assert_int_equal(permits_count(w->a->conns), 0);
	assert_int_equal(instance_in_flight(w->a), 0);
}

/* A request that may not wake the revision is no demand, before or behind others. */
static void
test_serve_only(void **state)
{
	struct world *w = *state;
	struct waiter serve_only = {.fd = -1, .inbox = &w->here, .is_serve_only = true}, v;
	struct failure *failed;

	assert_null(limiter_take_or_wait(w->rev, &serve_only, false, 0, &failed));
	assert_false(atomic_load(&w->rev->is_demand_posted));
	assert_int_equal(limiter_parked_waking(w->rev), 0);
	wait_for_slot(w, &v, &w->here, false);
	assert_true(atomic_load(&w->rev->is_demand_posted));
	assert_int_equal(limiter_parked_waking(w->rev), 1);
	limiter_cancel(&v);
	assert_int_equal(limiter_parked_waking(w->rev), 0);
	limiter_cancel(&serve_only);
	assert_int_equal(limiter_parked(w->rev), 0);
}

/* A subscriber is notified once when the last waiter has left the queue, however it left. */
static void
test_end_of_waiting(void **state)
{
	struct world *w = *state;
	struct waiter v[2];
	int i;

	for (i = 0; i < 2; i++)
		wait_for_slot(w, &v[i], &w->here, false);
	limiter_notify_when_empty(w->rev);
	loop_once(w->control, true); /* the report that waiters have come */
	assert_false(atomic_load(&w->rev->is_demand_posted));
	limiter_open(w->a, SLOTS_UNREADY);
	assert_false(atomic_load(&w->rev->is_demand_posted));
	limiter_cancel(&v[1]);
	assert_true(atomic_load(&w->rev->is_demand_posted));
	loop_once(w->control, true);
	assert_ptr_equal(inbox_next(&w->here), &v[0]);
	wait_for_slot(w, &v[1], &w->here, false);
	loop_once(w->control, true);
	limiter_cancel(&v[1]);
	assert_false(atomic_load(&w->rev->is_demand_posted));
	limiter_decline(&v[0]);
}

static const struct msg_failure crash = {
	.reason = (char[]){"crash"}, .message = (char[]){"it exits"}, .retry_after_ms = 1};

/* The driver's failure refuses waiters and newcomers until its time is over, unless an
 * instance is open. */
static void
test_failure(void **state)
{
	struct world *w = *state;
	struct waiter v, late = {.fd = -1, .inbox = &w->here};
	struct failure *failed;

	wait_for_slot(w, &v, &w->here, false);
	limiter_set_failure(w->rev, &crash, 0);
	assert_ptr_equal(inbox_next(&w->here), &v);
	assert_true(v.is_failed);
	assert_null(limiter_take_or_wait(w->rev, &late, false, CLK_MS - 1, &failed));
	assert_string_equal(failed->message, "it exits");
	failure_unref(&failed);
	assert_null(limiter_take_or_wait(w->rev, &late, false, CLK_MS, &failed));
	assert_null(failed);
	limiter_open(w->a, SLOTS_UNREADY);
	assert_ptr_equal(inbox_next(&w->here), &late);
	wait_for_slot(w, &v, &w->here, false);
	limiter_set_failure(w->rev, &crash, 0);
	assert_null(inbox_next(&w->here));
	limiter_cancel(&v);
	limiter_decline(&late);
	assert_int_equal(instance_in_flight(w->a), 0);
}

/* A failure that may pass refuses none; waiters that time out are answered with it. */
static void
test_failure_that_may_pass(void **state)
{
	const struct msg_failure full = {.reason = (char[]){"max_instances"},
					 .message = (char[]){"all are in use"},
					 .retry_after_ms = 1000,
					 .is_parking = true};
	struct world *w = *state;
	struct waiter v;
	struct failure *f;

	wait_for_slot(w, &v, &w->here, false);
	limiter_set_failure(w->rev, &full, 0);
	assert_null(inbox_next(&w->here));
	assert_int_equal(limiter_parked(w->rev), 1);
	limiter_cancel(&v);
	wait_for_slot(w, &v, &w->here, false);
	f = limiter_failure(w->rev);
	assert_string_equal(f->message, "all are in use");
	failure_unref(&f);
	limiter_cancel(&v);
	limiter_set_failure(w->rev, NULL, 0);
	assert_null(limiter_failure(w->rev));
}

/* --- two threads and one slot ---
 *
 * The race would be between two steps of one thread.  A long list of instances between these
 * steps gives the other thread the time for it. */

#define LISTED 1000

#ifdef __SANITIZE_THREAD__
#define RACES 500
#else
#define RACES 2000
#endif

/* All instances are closed, but for a, at this index. */
static void
list(struct world *w, struct instance *v[LISTED], int at)
{
	int i;

	for (i = 0; i < LISTED; i++)
		v[i] = i == at ? instance_ref(w->a) : unit_instance(w->rev, "closed");
	limiter_update(w->rev, instance_set_new(v, LISTED),
		       &(struct limiter_update){.wanted = 1, .container_concurrency = 1});
}

static void
drop_list(struct instance *v[LISTED])
{
	int i;

	for (i = 0; i < LISTED; i++)
		instance_unref(&v[i]);
}

/* Wait until the other thread has come so far.  It works with one processor too, slowly. */
static void
await(const atomic_int *at, int n)
{
	int64_t end = clk_now() + 20 * CLK_S;
	unsigned i;

	for (i = 1; atomic_load(at) < n; i++)
		if (i % 128 == 0) {
			CHECK(clk_now() < end || !"it does not come");
			sched_yield();
		}
}

struct race {
	struct world *w;
	atomic_int taken, asked,
		served; /* the turns: how often the slot was taken, waited for and granted */
};

/* A request that always takes the slow path gets its slot. */
static void *
wait_and_give_back(void *arg)
{
	struct race *race = arg;
	struct world *w = race->w;
	int i;

	for (i = 1; i <= RACES; i++) {
		struct waiter v = {.fd = -1, .inbox = &w->here};
		struct failure *failed;
		struct instance *inst;
		int64_t end = clk_now() + 20 * CLK_S;

		await(&race->taken, i);
		atomic_store(&race->asked, i);
		inst = limiter_take_or_wait(w->rev, &v, false, 0, &failed);
		while (inst == NULL && inbox_next(&w->here) == NULL)
			CHECK(clk_now() < end || !"a wake-up was lost");
		if (inst == NULL)
			inst = v.inst;
		limiter_give_back(inst);
		instance_unref(&inst);
		atomic_store(&race->served, i);
	}
	return NULL;
}

/* ((b) in limiter.c) No wake-up is lost: the slot is the first that a new waiter looks at, and
 * becomes free while the waiter looks at the rest. */
static void
test_no_wake_up_is_lost(void **state)
{
	struct world *w = *state;
	struct race race = {.w = w};
	struct instance *v[LISTED];
	volatile int pause;
	pthread_t thread;
	int i;

	list(w, v, 0);
	limiter_open(w->a, SLOTS_UNREADY);
	assert_int_equal(pthread_create(&thread, NULL, wait_and_give_back, &race), 0);
	for (i = 1; i <= RACES; i++) {
		assert_ptr_equal(take(w), w->a);
		atomic_store(&race.taken, i);
		await(&race.asked, i);
		for (pause = i % 1000; pause > 0; pause--)
			;
		limiter_give_back(w->a);
		await(&race.served, i);
	}
	pthread_join(thread, NULL);
	assert_int_equal(instance_in_flight(w->a), 0);
	drop_list(v);
}

/* --- a newcomer and a waiter --- */

#define IN_BETWEEN 10	 /* times that the newcomer found the slot */
#define TURNS_MOST 20000 /* the most turns that this may take */

struct newcomer {
	struct world *w;
	struct instance_set *set;
	atomic_int tries;
	atomic_bool is_over;
};

/* The only slot is open only while there is a waiter for it. */
static void *
come_again_and_again(void *arg)
{
	struct newcomer *n = arg;

	while (!atomic_load(&n->is_over)) {
		CHECK(limiter_try_take(n->w->rev, n->set, 0) == NULL || !"a waiter is overtaken");
		atomic_fetch_add(&n->tries, 1);
	}
	return NULL;
}

/* A waiter comes while a newcomer, which saw none, walks through the list; a slot at its end
 * opens before the newcomer is there: the first half of limiter_open(), whose second half
 * follows when the newcomer has been there.  True: the newcomer took the slot, and gave it
 * back to the waiter. */
static bool
wait_and_open(struct newcomer *n)
{
	struct world *w = n->w;
	struct waiter v;
	bool was_given;

	sched_yield(); /* let the newcomer walk */
	wait_for_slot(w, &v, &w->here, false);
	atomic_fetch_and(&w->a->slots, ~SLOTS_UNREADY);
	await(&n->tries, atomic_load(&n->tries) + 1);
	was_given = inbox_next(&w->here) == &v;
	limiter_open(w->a, SLOTS_UNREADY);
	assert_true(was_given || inbox_next(&w->here) == &v);
	limiter_close(w->a, SLOTS_UNREADY); /* before the slot is free */
	limiter_give_back(v.inst);
	instance_unref(&v.inst);
	return was_given;
}

/* ((a) in limiter.c) */
static void
test_no_newcomer_overtakes(void **state)
{
	struct world *w = *state;
	struct instance *v[LISTED];
	struct newcomer n = {.w = w};
	pthread_t thread;
	int i, in_between = 0;

	list(w, v, LISTED - 1);
	n.set = instance_set_ref(w->rev->set);
	inbox_set_current(&w->here);
	assert_int_equal(pthread_create(&thread, NULL, come_again_and_again, &n), 0);
	for (i = 0; i < TURNS_MOST && in_between < IN_BETWEEN; i++)
		in_between += wait_and_open(&n);
	atomic_store(&n.is_over, true);
	pthread_join(thread, NULL);
	inbox_set_current(NULL);
	assert_true(in_between > 0);
	assert_int_equal(instance_in_flight(w->a), 0);
	instance_set_unref(&n.set);
	drop_list(v);
}

/* --- a limit that is lowered while workers take slots --- */

#define TAKERS 2
#define LIMIT_CHANGES 300 /* from the number of takers to 1, and back */
#define LIMIT_LOOKS 10	  /* at the count, after each change */

struct takers {
	struct world *w;
	struct instance_set *set;
	atomic_int turns;
	atomic_bool is_over;
};

static void *
take_and_give_back(void *arg)
{
	struct takers *t = arg;

	while (!atomic_load(&t->is_over)) {
		struct instance *inst = limiter_try_take(t->w->rev, t->set, 0);

		atomic_fetch_add(&t->turns, 1);
		if (inst == NULL)
			continue;
		sched_yield();
		limiter_give_back(inst);
	}
	return NULL;
}

/* Once no more requests are in flight than the lower limit allows, there never are more: a
 * thread that walked through the list when the limit was lowered takes no slot that only the
 * higher limit had. */
static void
expect_limit(const struct takers *t, uint32_t limit)
{
	int64_t end = clk_now() + 20 * CLK_S;
	int i;

	while (instance_in_flight(t->w->a) > limit) {
		CHECK(clk_now() < end || !"those above the limit do not end");
		sched_yield();
	}
	for (i = 0; i < LIMIT_LOOKS; i++) {
		assert_true(instance_in_flight(t->w->a) <= limit);
		sched_yield();
	}
}

static void
set_limit(struct takers *t, uint32_t limit)
{
	limiter_update(t->w->rev, instance_set_ref(t->set),
		       &(struct limiter_update){.wanted = 1, .container_concurrency = limit});
}

static void
test_limit_is_never_overtaken(void **state)
{
	struct world *w = *state;
	struct instance *v[LISTED];
	struct takers t = {.w = w};
	pthread_t threads[TAKERS];
	int i;

	list(w, v, LISTED - 1);
	t.set = instance_set_ref(w->rev->set);
	limiter_open(w->a, SLOTS_UNREADY);
	for (i = 0; i < TAKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_give_back, &t), 0);
	for (i = 0; i < LIMIT_CHANGES; i++) {
		set_limit(&t, TAKERS);
		await(&t.turns, atomic_load(&t.turns) + 2 * TAKERS);
		set_limit(&t, 1);
		expect_limit(&t, 1);
	}
	atomic_store(&t.is_over, true);
	for (i = 0; i < TAKERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(instance_in_flight(w->a), 0);
	instance_set_unref(&t.set);
	drop_list(v);
}

/* --- many threads --- */

#define THREADS 4
#define TURNS 5000 /* of all threads, that had to wait for the one slot */

struct turns {
	struct world *w;
	atomic_bool is_over;
	uint64_t last_seq, waited; /* only the thread that has the slot writes these */
};

struct turn {
	struct turns *all;
	struct inbox *inbox;
	pthread_t thread;
};

/* The slot came through the queue, after those of all earlier waiters. */
static void
note_turn(struct turns *t, const struct waiter *v)
{
	CHECK(t->waited == 0 || v->seq > t->last_seq);
	t->last_seq = v->seq;
	if (++t->waited == TURNS)
		atomic_store(&t->is_over, true);
}

static void *
take_turns(void *arg)
{
	struct turn *me = arg;

	inbox_set_current(me->inbox);
	while (!atomic_load(&me->all->is_over)) {
		struct waiter v = {.fd = -1, .inbox = me->inbox};
		struct failure *failed;
		struct instance *inst = limiter_take_or_wait(me->all->w->rev, &v, false, 0,
							     &failed);

		if (inst == NULL) {
			while (inbox_next(me->inbox) == NULL)
				sched_yield();
			inst = v.inst;
			note_turn(me->all, &v);
		}
		sched_yield(); /* let others come */
		limiter_give_back(inst);
		instance_unref(&inst);
	}
	inbox_set_current(NULL);
	return NULL;
}

/* One slot and many threads: they get it in the order in which they entered the queue. */
static void
test_order_over_threads(void **state)
{
	struct world *w = *state;
	struct turns all = {.w = w};
	struct turn v[THREADS];
	struct inbox in[THREADS];
	int i;

	limiter_open(w->a, SLOTS_UNREADY);
	for (i = 0; i < THREADS; i++) {
		inbox_init(&in[i], w->loop);
		v[i] = (struct turn){.all = &all, .inbox = &in[i]};
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&v[i].thread, NULL, take_turns, &v[i]), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(v[i].thread, NULL);
	assert_true(all.waited >= TURNS);
	assert_int_equal(instance_in_flight(w->a), 0);
	loop_once(w->loop, true);
	for (i = 0; i < THREADS; i++)
		inbox_fini(&in[i]);
}

/* --- max_requests --- */

static void
count_requests(struct world *w, uint32_t max_requests)
{
	struct instance *v[] = {w->a, w->b};

	limiter_update(w->rev, instance_set_new(v, 2),
		       &(struct limiter_update){.wanted = 2,
						.container_concurrency = 1,
						.max_requests = max_requests});
	limiter_open(w->a, SLOTS_UNREADY);
	limiter_open(w->b, SLOTS_UNREADY);
}

static void
an_instance_gets_no_more_than_its_requests(void **state)
{
	struct world *w = *state;
	struct waiter waiter;
	struct instance *inst;
	int i;

	count_requests(w, 3);
	for (i = 0; i < 6; i++) {
		inst = take(w);
		assert_non_null(inst);
		limiter_give_back(inst);
	}
	assert_true(instance_is_closed_by(w->a, SLOTS_SPENT));
	assert_true(instance_is_closed_by(w->b, SLOTS_SPENT));
	assert_int_equal(limiter_uses(w->a), 0);
	wait_for_slot(w, &waiter, &w->here, false);
	limiter_cancel(&waiter);
	assert_int_equal(limiter_parked(w->rev), 0);
}

/* A parked request that gets the slot of another one takes a use, too. */
static void
a_slot_that_is_handed_over_is_used(void **state)
{
	struct world *w = *state;
	struct instance *one, *two;
	struct waiter waiter;

	count_requests(w, 2);
	one = take(w);
	two = take(w);
	assert_int_equal(limiter_uses(one), 1);
	wait_for_slot(w, &waiter, &w->here, false);
	limiter_give_back(one);
	assert_ptr_equal(inbox_next(&w->here), &waiter);
	assert_ptr_equal(waiter.inst, one);
	assert_int_equal(limiter_uses(one), 0);
	assert_true(instance_is_closed_by(one, SLOTS_SPENT));
	limiter_give_back(waiter.inst);
	limiter_give_back(two);
	instance_unref(&waiter.inst);
}

/* What was not sent does not count. */
static void
a_use_that_was_not_needed_comes_back(void **state)
{
	struct world *w = *state;
	struct waiter waiter;
	struct instance *one, *two;

	count_requests(w, 1);
	one = take(w);
	two = take(w);
	wait_for_slot(w, &waiter, &w->here, false);
	limiter_unuse(one); /* its connect failed */
	assert_false(instance_is_closed_by(one, SLOTS_SPENT));
	limiter_give_back(one);
	assert_ptr_equal(inbox_next(&w->here), &waiter);
	assert_true(instance_is_closed_by(one, SLOTS_SPENT));
	limiter_decline(&waiter);
	assert_false(instance_is_closed_by(one, SLOTS_SPENT));
	assert_int_equal(limiter_uses(one), 1);
	limiter_give_back(two);
}

static void
without_a_bound_nothing_is_counted(void **state)
{
	struct world *w = *state;
	struct instance *inst;
	int i;

	count_requests(w, 1);
	count_requests(w, 0);
	for (i = 0; i < 5; i++) {
		inst = take(w);
		assert_non_null(inst);
		limiter_give_back(inst);
	}
	assert_int_equal(limiter_uses(w->a), SHARE_NO_USES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_returned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaving, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lower_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_raised_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_limit_yet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit_is_never_overtaken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pace_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_above_the_share, setup, teardown),
		cmocka_unit_test_setup_teardown(test_balance_by_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_permits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_permits_before_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_permits_under_a_lower_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_serve_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_that_may_pass, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_wake_up_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_newcomer_overtakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order_over_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(an_instance_gets_no_more_than_its_requests, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_slot_that_is_handed_over_is_used, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_use_that_was_not_needed_comes_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(without_a_bound_nothing_is_counted, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
