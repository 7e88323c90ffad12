/* limiter: slots and the queue: order, hand-over, pacing, connections that are passed on, and
 * max_requests.  Promises 3 and 4; t_limiter_race.c and t_limiter_crowd.c have threads. */
#include "test/unit/limiter_world.h"

#include <fcntl.h>
#include <stdatomic.h>

#include "activator/failure.h"
#include "activator/limiter.h"
#include "common/clk.h"
#include "common/shares.h"

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
