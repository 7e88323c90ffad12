/* limiter: threads that race for one slot: no wake-up is lost, no newcomer overtakes a waiter, and
 * no limit is exceeded.  Promises 3 and 4; t_limiter_crowd.c has many requests. */
#include "test/unit/limiter_world.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "activator/limiter.h"
#include "common/clk.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_limit_is_never_overtaken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_wake_up_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_newcomer_overtakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order_over_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
