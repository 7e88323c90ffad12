/* Slots and the queue: order, hand-over, pacing, what is passed on; and many threads with
 * many requests that come, leave and give back at random, whose counts are held against
 * each other whenever all of them stand still.  Promises 3 and 4. */
#include "test/unit/unit.h"

#include <stdatomic.h>

#include "activator/revision.h"
#include "common/clk.h"

struct world {
	struct loop *control, *loop;
	struct revision *rev;
	struct instance *a, *b;
	struct inbox here, there; /* two workers */
};

static void
on_demand(struct loop_mail *mail)
{
	struct revision *rev = revision_demand_taken(mail);

	revision_unref(&rev);
}

static struct instance *
make_instance(struct revision *rev, const char *id)
{
	struct addr addr;

	assert_int_equal(addr_set(&addr, "127.0.0.1", 1, NULL), 0);
	return instance_new(rev, id, &addr);
}

static void
publish(struct world *w, uint32_t limit, uint32_t wanted, uint32_t pace)
{
	struct instance *v[] = {w->a, w->b};

	revision_publish(w->rev, instance_set_new(v, 2),
			 &(struct revision_wish){
				 .wanted = wanted, .container_concurrency = limit, .pace = pace});
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct err e;

	w->control = loop_new(&e);
	w->loop = loop_new(&e);
	w->rev = revision_new("s/v1", 1, w->control, on_demand);
	w->a = make_instance(w->rev, "a");
	w->b = make_instance(w->rev, "b");
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
	revision_publish(w->rev, instance_set_new(NULL, 0), &(struct revision_wish){.wanted = 0});
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

/* Queue a waiter; there must be no slot for it. */
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
	assert_true(n.queued == 0 || n.open_free == 0);
	return n.queued;
}

/* First come, first served, over two workers; no newcomer gets in between. */
static void
test_order(void **state)
{
	struct world *w = *state;
	struct waiter v[4];
	struct instance *inst;
	int i;

	instance_open_slots(w->a, SLOTS_UNREADY);
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
		assert_null(take(w)); /* it never shows as free */
		assert_null(inbox_next(other));
		assert_ptr_equal(inbox_next(in), next);
		assert_ptr_equal(next->inst, w->a);
		instance_unref(&next->inst);
	}
	limiter_give_back(w->a);
	assert_int_equal(queued(w), 0);
	assert_true(v[0].is_first && !v[1].is_first);
}

/* What was granted to who left goes to the next, wherever it was by then. */
static void
test_leaving(void **state)
{
	struct world *w = *state;
	struct waiter v[4];
	int i;

	instance_open_slots(w->a, SLOTS_UNREADY);
	assert_non_null(take(w));
	for (i = 0; i < 4; i++)
		wait_for_slot(w, &v[i], &w->here, false);
	limiter_cancel(&v[0]); /* in the queue */
	limiter_give_back(w->a);
	limiter_cancel(&v[1]); /* granted, in the inbox */
	assert_ptr_equal(inbox_next(&w->here), &v[2]);
	limiter_decline(&v[2]); /* seen, and of no use */
	assert_ptr_equal(inbox_next(&w->here), &v[3]);
	assert_null(inbox_next(&w->here));
	assert_int_equal(queued(w), 0);
	instance_unref(&v[3].inst);
	limiter_give_back(w->a);
	assert_int_equal(instance_in_flight(w->a), 0);
}

/* A limit that was lowered: what is above it is not handed on. */
static void
test_lower_limit(void **state)
{
	struct world *w = *state;
	struct waiter v;
	int i;

	publish(w, 3, 1, 0);
	instance_open_slots(w->a, SLOTS_UNREADY);
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

/* It ends when as many as are wanted have been there from one tick to the next. */
static void
test_pace_ends(void **state)
{
	struct world *w = *state;
	struct waiter v[MANY], *last = NULL;
	int i;

	publish(w, 0, 2, 3);
	for (i = 0; i < MANY; i++)
		wait_for_slot(w, &v[i], &w->here, false);
	instance_open_slots(w->a, SLOTS_UNREADY);
	assert_int_equal(granted(&w->here, &last), 3);
	revision_tick(w->rev);
	revision_tick(w->rev); /* one of two: that is not all */
	assert_int_equal(granted(&w->here, &last), 0);
	instance_open_slots(w->b, SLOTS_UNREADY);
	assert_int_equal(granted(&w->here, &last), 3);
	revision_tick(w->rev);
	publish(w, 0, 3, 3); /* one more is wanted after all */
	revision_tick(w->rev);
	revision_tick(w->rev);
	assert_int_equal(granted(&w->here, &last), 0);
	publish(w, 0, 2, 3);
	revision_tick(w->rev);
	assert_int_equal(granted(&w->here, &last), 0);
	revision_tick(w->rev);
	assert_int_equal(granted(&w->here, &last), MANY - 6);
	assert_false(last->is_paced);
	assert_int_equal(queued(w), 0);
	for (i = 0; i < MANY; i++)
		limiter_give_back(v[i].inst);
	for (i = 0; i < MANY; i++)
		instance_unref(&v[i].inst);
}

/* Without a limit: as many as the pace for each instance, one more for each response head,
 * until nobody waits any more. */
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
	instance_open_slots(w->a, SLOTS_UNREADY);
	assert_int_equal(granted(&w->here, &last), 3);
	assert_ptr_equal(last, &v[2]);
	assert_true(last->is_paced);
	assert_null(take(w));	 /* newcomers are held, too */
	limiter_give_back(w->a); /* one is gone; its head is what counts */
	assert_int_equal(granted(&w->here, &last), 0);
	limiter_head_seen(w->a);
	assert_int_equal(granted(&w->here, &last), 1);
	limiter_cancel(&v[4]);
	assert_int_equal(queued(w), MANY - 5);
	instance_open_slots(w->b, SLOTS_UNREADY);
	assert_int_equal(granted(&w->here, &last), 3);
	assert_ptr_equal(last, &v[MANY - 3]);
	limiter_head_seen(w->a);
	limiter_head_seen(w->b);
	assert_int_equal(granted(&w->here, &last), 2);
	assert_true(last->is_paced);
	assert_int_equal(queued(w), 0);
	inst = take(w); /* now newcomers are free */
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

/* The prober's connection goes to the first who waits; who left passes it on. */
static void
test_descriptor(void **state)
{
	struct world *w = *state;
	struct waiter v[3], *last;
	int i;

	for (i = 0; i < 3; i++)
		wait_for_slot(w, &v[i], i == 1 ? &w->there : &w->here, false);
	assert_true(instance_try_permit(w->a));
	assert_false(instance_try_permit(w->a)); /* one connection at most */
	assert_true(revision_offer_fd(w->a, 42));
	limiter_cancel(&v[0]);
	assert_int_equal(v[0].fd, -1);
	assert_int_equal(granted(&w->there, &last), 1);
	assert_ptr_equal(last, &v[1]);
	assert_int_equal(v[1].fd, 42);
	assert_true(v[1].has_permit);
	limiter_cancel(&v[2]);
	limiter_decline(&v[1]);	       /* nobody is left */
	assert_int_equal(v[1].fd, 42); /* the caller's to close */
	assert_false(revision_offer_fd(w->b, 43));
	assert_int_equal(w->a->conns, 0);
	assert_int_equal(queued(w), 0);
}

/* Connections to an instance: as many as its limit, whoever has them; who waits for one
 * gets the next that is closed, or that a higher limit allows. */
static void
test_permits(void **state)
{
	struct world *w = *state;
	struct waiter v[3] = {0}, *last;
	int i;

	publish(w, 2, 1, 0);
	instance_open_slots(w->a, SLOTS_UNREADY);
	assert_true(instance_try_permit(w->a) && instance_try_permit(w->a));
	for (i = 0; i < 2; i++) {
		v[i] = (struct waiter){.fd = -1, .inbox = &w->here, .inst = take(w)};
		assert_ptr_equal(v[i].inst, w->a);
		instance_ref(w->a);
		assert_true(limiter_may_idle(w->a) == (i == 0));
		assert_false(limiter_permit(&v[i]));
	}
	limiter_permit_back(w->a);
	assert_int_equal(granted(&w->here, &last), 1);
	assert_ptr_equal(last, &v[0]);
	assert_true(v[0].has_permit && !v[1].has_permit);
	publish(w, 3, 1, 0);
	assert_int_equal(granted(&w->here, &last), 1);
	assert_true(v[1].has_permit);
	assert_int_equal(w->a->conns, 3);
	for (i = 0; i < 2; i++)
		limiter_decline(&v[i]); /* slot and permit */
	limiter_permit_back(w->a);
	assert_int_equal(w->a->conns, 0);
	assert_int_equal(instance_in_flight(w->a), 0);
}

/* Who wakes nobody is no demand, before or behind others. */
static void
test_unseen(void **state)
{
	struct world *w = *state;
	struct waiter unseen = {.fd = -1, .inbox = &w->here, .is_unseen = true}, v;
	struct failure *failed;

	assert_null(limiter_take_or_wait(w->rev, &unseen, false, 0, &failed));
	assert_false(atomic_load(&w->rev->is_demand_posted));
	assert_int_equal(revision_wakers(w->rev), 0);
	wait_for_slot(w, &v, &w->here, false);
	assert_true(atomic_load(&w->rev->is_demand_posted));
	assert_int_equal(revision_wakers(w->rev), 1);
	limiter_cancel(&v);
	assert_int_equal(revision_wakers(w->rev), 0);
	limiter_cancel(&unseen);
	assert_int_equal(revision_parked(w->rev), 0);
}

static const struct msg_failure crash = {
	.reason = (char[]){"crash"}, .message = (char[]){"it exits"}, .retry_after_ms = 1};

/* The driver's word reaches who waits and who comes, until its time is over; not while an
 * instance is open. */
static void
test_failure(void **state)
{
	struct world *w = *state;
	struct waiter v, late = {.fd = -1, .inbox = &w->here};
	struct failure *failed;

	wait_for_slot(w, &v, &w->here, false);
	revision_set_failure(w->rev, &crash, 0);
	assert_ptr_equal(inbox_next(&w->here), &v);
	assert_true(v.is_failed);
	assert_null(limiter_take_or_wait(w->rev, &late, false, CLK_MS - 1, &failed));
	assert_string_equal(failed->message, "it exits");
	failure_unref(&failed);
	assert_null(limiter_take_or_wait(w->rev, &late, false, CLK_MS, &failed));
	assert_null(failed);
	instance_open_slots(w->a, SLOTS_UNREADY);
	assert_ptr_equal(inbox_next(&w->here), &late);
	wait_for_slot(w, &v, &w->here, false);
	revision_set_failure(w->rev, &crash, 0);
	assert_null(inbox_next(&w->here));
	limiter_cancel(&v);
	limiter_decline(&late);
	assert_int_equal(instance_in_flight(w->a), 0);
}

/* One that may pass refuses nobody, and is there for who has waited in vain. */
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
	revision_set_failure(w->rev, &full, 0);
	assert_null(inbox_next(&w->here));
	assert_int_equal(revision_parked(w->rev), 1);
	limiter_cancel(&v);
	wait_for_slot(w, &v, &w->here, false);
	f = limiter_failure(w->rev);
	assert_string_equal(f->message, "all are in use");
	failure_unref(&f);
	limiter_cancel(&v);
	revision_set_failure(w->rev, NULL, 0);
	assert_null(limiter_failure(w->rev));
}

/* --- two threads and one slot --- */

#ifdef __SANITIZE_THREAD__
#define RACES 200000
#else
#define RACES 3000000
#endif

struct race {
	struct world *w;
	atomic_bool is_over;
};

/* As a request that always asks the slow way: what it waits for comes. */
static void *
wait_and_give_back(void *arg)
{
	struct race *race = arg;
	struct world *w = race->w;
	int i;

	for (i = 0; i < RACES; i++) {
		struct waiter v = {.fd = -1, .inbox = &w->here};
		struct failure *failed;
		struct instance *inst = limiter_take_or_wait(w->rev, &v, false, 0, &failed);
		int64_t end = clk_now() + 20 * CLK_S;

		while (inst == NULL && inbox_next(&w->here) == NULL)
			CHECK(clk_now() < end || !"a wake-up was lost");
		if (inst == NULL)
			inst = v.inst;
		limiter_give_back(inst);
		instance_unref(&inst);
	}
	atomic_store(&race->is_over, true);
	return NULL;
}

/* ((b) in limiter.c) The giver and the waiter do not miss each other. */
static void
test_no_wake_up_is_lost(void **state)
{
	struct world *w = *state;
	struct race race = {.w = w};
	pthread_t thread;

	instance_open_slots(w->a, SLOTS_UNREADY);
	assert_int_equal(pthread_create(&thread, NULL, wait_and_give_back, &race), 0);
	while (!atomic_load(&race.is_over)) {
		struct instance *inst = take(w);

		if (inst != NULL)
			limiter_give_back(inst);
	}
	pthread_join(thread, NULL);
	assert_int_equal(instance_in_flight(w->a), 0);
}

/* --- many threads --- */

#define THREADS 4
#define TURNS 20000 /* of each, for the one slot */

/* Whoever has the one slot writes here: nothing else guards it. */
struct turns {
	struct world *w;
	uint64_t last_seq, waited;
};

struct turn {
	struct turns *all;
	struct inbox *inbox;
	pthread_t thread;
};

/* Its slot came through the queue, and no later than that of who came after it. */
static void
note_turn(struct turns *t, const struct waiter *v)
{
	CHECK(t->waited == 0 || v->seq > t->last_seq);
	t->last_seq = v->seq;
	t->waited++;
}

static void *
take_turns(void *arg)
{
	struct turn *me = arg;
	int i;

	inbox_set_current(me->inbox);
	for (i = 0; i < TURNS; i++) {
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
		limiter_give_back(inst);
		instance_unref(&inst);
	}
	inbox_set_current(NULL);
	return NULL;
}

/* One slot and many threads: it goes round in the order in which they entered the queue. */
static void
test_order_over_threads(void **state)
{
	struct world *w = *state;
	struct turns all = {.w = w};
	struct turn v[THREADS];
	struct inbox in[THREADS];
	int i;

	instance_open_slots(w->a, SLOTS_UNREADY);
	for (i = 0; i < THREADS; i++) {
		inbox_init(&in[i], w->loop);
		v[i] = (struct turn){.all = &all, .inbox = &in[i]};
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&v[i].thread, NULL, take_turns, &v[i]), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(v[i].thread, NULL);
	assert_true(all.waited > 0);
	assert_int_equal(instance_in_flight(w->a), 0);
	loop_once(w->loop, true);
	for (i = 0; i < THREADS; i++)
		inbox_fini(&in[i]);
}

#define REQUESTS 40 /* of each */
#define INSTANCES 3
#define LIMIT 2
#define ROUNDS 30
#define STEPS 4000

enum what { IDLE, WAITING, PERMIT, HOLDING };

struct request {
	struct waiter waiter;
	enum what what;
	struct instance *inst; /* HOLDING: with a reference, a slot and a connection */
};

struct crowd {
	struct loop *control;
	struct revision *rev;
	struct instance *v[INSTANCES];
	struct instance_set *set;
	pthread_barrier_t barrier;
	pthread_mutex_t quiet; /* held: nobody disturbs */
	atomic_bool has_moved;
	_Atomic uint32_t holding, with_slot, idle, ended;
	_Atomic uint32_t overlap[INSTANCES], conns[INSTANCES], sheds[INSTANCES];
	_Atomic uint64_t served, parked, left, declined;
};

struct member {
	struct crowd *c;
	pthread_t thread;
	struct loop *loop;
	struct inbox inbox;
	struct request v[REQUESTS];
	uint32_t idle[INSTANCES], sheds[INSTANCES];
	uint64_t last_seq;
	uint32_t random;
};

static uint32_t
chance(struct member *m, uint32_t n)
{
	m->random = m->random * 1664525 + 1013904223;
	return (m->random >> 8) % n;
}

static int
index_of(const struct crowd *c, const struct instance *inst)
{
	int i = 0;

	while (c->v[i] != inst)
		i++;
	return i;
}

/* It has a slot and a connection: never more than the limit of either. */
static void
hold(struct member *m, struct request *r)
{
	int i = index_of(m->c, r->inst);

	CHECK(atomic_fetch_add(&m->c->overlap[i], 1) < LIMIT);
	r->what = HOLDING;
}

static void
open_conn(struct member *m, struct request *r)
{
	CHECK(atomic_fetch_add(&m->c->conns[index_of(m->c, r->inst)], 1) < LIMIT);
	r->waiter.has_permit = false;
	hold(m, r);
}

static void
close_conn(struct member *m, struct instance *inst)
{
	atomic_fetch_sub(&m->c->conns[index_of(m->c, inst)], 1);
	limiter_permit_back(inst);
}

/* r has a slot of r->inst: an idle connection, a new one, or waiting for one. */
static void
connect_(struct member *m, struct request *r)
{
	int i = index_of(m->c, r->inst);

	if (m->idle[i] > 0) {
		m->idle[i]--;
		hold(m, r);
		return;
	}
	r->waiter.inst = instance_ref(r->inst);
	if (!limiter_permit(&r->waiter)) {
		r->what = PERMIT;
		atomic_fetch_add(&m->c->sheds[i], 1);
		return;
	}
	instance_unref(&r->waiter.inst);
	open_conn(m, r);
}

static void
begin(struct member *m, struct request *r)
{
	struct failure *failed;

	r->waiter = (struct waiter){.fd = -1, .inbox = &m->inbox};
	r->inst = limiter_try_take(m->c->rev, m->c->set, chance(m, 1 << 24));
	if (r->inst != NULL) {
		instance_ref(r->inst);
	} else {
		r->inst = limiter_take_or_wait(m->c->rev, &r->waiter, false, 0, &failed);
	}
	if (r->inst != NULL) {
		connect_(m, r);
		return;
	}
	r->what = WAITING;
	atomic_fetch_add(&m->c->parked, 1);
}

static void
finish(struct member *m, struct request *r)
{
	struct instance *inst = r->inst;
	int i = index_of(m->c, inst);

	atomic_fetch_sub(&m->c->overlap[i], 1);
	if (limiter_may_idle(inst) && chance(m, 4) > 0) {
		m->idle[i]++;
		limiter_give_back(inst);
		if (!limiter_may_idle(inst) && m->idle[i] > 0) {
			m->idle[i]--;
			close_conn(m, inst);
		}
	} else {
		close_conn(m, inst);
		limiter_give_back(inst);
	}
	instance_unref(&r->inst);
	r->what = IDLE;
	atomic_fetch_add(&m->c->served, 1);
}

static void
leave(struct member *m, struct request *r)
{
	limiter_cancel(&r->waiter);
	if (r->what == PERMIT)
		instance_unref(&r->inst);
	CHECK(r->waiter.fd < 0);
	r->what = IDLE;
	atomic_fetch_add(&m->c->left, 1);
}

static void
take_grant(struct member *m, struct waiter *w)
{
	struct request *r = container_of(w, struct request, waiter);

	atomic_store(&m->c->has_moved, true);
	if (r->what == WAITING) {
		CHECK(w->seq >= m->last_seq); /* no overtaking */
		m->last_seq = w->seq;
		r->inst = w->inst;
		if (chance(m, 10) == 0) {
			limiter_decline(w);
			r->inst = NULL;
			r->what = IDLE;
			atomic_fetch_add(&m->c->declined, 1);
			return;
		}
		w->inst = NULL;
		connect_(m, r);
	} else {
		CHECK(r->what == PERMIT && w->has_permit);
		instance_unref(&w->inst);
		open_conn(m, r);
	}
}

/* What others have sent. */
static void
look(struct member *m)
{
	struct waiter *w;
	int i;

	loop_once(m->loop, true);
	while ((w = inbox_next(&m->inbox)) != NULL)
		take_grant(m, w);
	for (i = 0; i < INSTANCES; i++) {
		uint32_t n = atomic_load(&m->c->sheds[i]);

		if (n == m->sheds[i])
			continue;
		m->sheds[i] = n;
		atomic_store(&m->c->has_moved, true);
		for (; m->idle[i] > 0; m->idle[i]--)
			close_conn(m, m->c->v[i]);
	}
}

static void
step(struct member *m, uint32_t n)
{
	struct request *r = &m->v[chance(m, n)];
	uint32_t i;

	for (i = 0; i < n && r->what != HOLDING; i++) /* most leave with an answer */
		r = &m->v[chance(m, n)];
	switch (r->what) {
	case IDLE:
		begin(m, r);
		break;
	case WAITING:
	case PERMIT:
		if (chance(m, 50) == 0)
			leave(m, r);
		break;
	case HOLDING:
		finish(m, r);
		break;
	}
	look(m);
}

/* Until nothing is on its way any more. */
static void
settle(struct member *m, bool is_first)
{
	bool goes_on;

	do {
		pthread_barrier_wait(&m->c->barrier);
		if (is_first)
			atomic_store(&m->c->has_moved, false);
		pthread_barrier_wait(&m->c->barrier);
		look(m);
		pthread_barrier_wait(&m->c->barrier);
		goes_on = atomic_load(&m->c->has_moved);
	} while (goes_on);
}

static void
count_mine(struct member *m)
{
	int i;

	for (i = 0; i < REQUESTS; i++) {
		atomic_fetch_add(&m->c->holding, m->v[i].what == HOLDING);
		atomic_fetch_add(&m->c->with_slot,
				 m->v[i].what == HOLDING || m->v[i].what == PERMIT);
	}
	for (i = 0; i < INSTANCES; i++)
		atomic_fetch_add(&m->c->idle, m->idle[i]);
}

/* All stand still: the counts of the limiter against those of the requests. */
static void
check(struct crowd *c)
{
	struct limiter_count n;

	limiter_count(c->rev, &n);
	CHECK(n.slots == atomic_load(&c->with_slot));
	CHECK(n.slots - n.permits_queued == atomic_load(&c->holding));
	CHECK(n.conns == atomic_load(&c->holding) + atomic_load(&c->idle));
	CHECK(n.slots_most <= LIMIT && n.conns_most <= LIMIT);
	CHECK(n.queued == 0 || n.open_free == 0);
	CHECK(n.permits_queued == 0);
	atomic_store(&c->holding, 0);
	atomic_store(&c->with_slot, 0);
	atomic_store(&c->idle, 0);
}

static void
stand_still(struct member *m, bool is_first)
{
	if (is_first)
		pthread_mutex_lock(&m->c->quiet);
	settle(m, is_first);
	count_mine(m);
	pthread_barrier_wait(&m->c->barrier);
	if (is_first) {
		check(m->c);
		pthread_mutex_unlock(&m->c->quiet);
	}
	pthread_barrier_wait(&m->c->barrier);
}

static void
end_all(struct member *m)
{
	int i;

	for (i = 0; i < REQUESTS; i++)
		if (m->v[i].what == HOLDING)
			finish(m, &m->v[i]);
		else if (m->v[i].what != IDLE)
			leave(m, &m->v[i]);
	look(m);
}

static void *
run(void *arg)
{
	struct member *m = arg;
	bool is_first = m->random == 0;
	int i, round;

	inbox_set_current(&m->inbox);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < STEPS; i++) /* by turns: hardly any wait, most do */
			step(m, round % 2 == 0 ? 2 : REQUESTS);
		stand_still(m, is_first);
	}
	for (round = 0; round < 4; round++) {
		end_all(m);
		settle(m, is_first);
	}
	for (i = 0; i < INSTANCES; i++)
		for (; m->idle[i] > 0; m->idle[i]--)
			close_conn(m, m->c->v[i]);
	inbox_set_current(NULL);
	atomic_fetch_add(&m->c->ended, 1);
	return NULL;
}

/* Meanwhile instances come and go, and drains are tried. */
static void
disturb(struct crowd *c)
{
	uint32_t random = 7;

	while (atomic_load(&c->ended) < THREADS) {
		struct instance *inst = c->v[random % INSTANCES];

		random = (random * 1664525 + 1013904223) & 0xffffff;
		pthread_mutex_lock(&c->quiet);
		instance_close_slots(inst, SLOTS_DRAIN);
		sched_yield();
		instance_open_slots(inst, SLOTS_DRAIN);
		if (revision_try_close(c->rev))
			revision_reopen(c->rev);
		pthread_mutex_unlock(&c->quiet);
		sched_yield();
		loop_once(c->control, true);
	}
}

static void
start_crowd(struct crowd *c, struct member *m)
{
	struct err e;
	int i;

	c->control = loop_new(&e);
	c->rev = revision_new("s/v1", 1, c->control, on_demand);
	for (i = 0; i < INSTANCES; i++)
		c->v[i] = make_instance(c->rev, (char[]){(char)('a' + i), '\0'});
	c->set = instance_set_new(c->v, INSTANCES);
	revision_publish(
		c->rev, instance_set_ref(c->set),
		&(struct revision_wish){.wanted = INSTANCES, .container_concurrency = LIMIT});
	for (i = 0; i < INSTANCES; i++)
		instance_open_slots(c->v[i], SLOTS_UNREADY);
	pthread_barrier_init(&c->barrier, NULL, THREADS);
	pthread_mutex_init(&c->quiet, NULL);
	for (i = 0; i < THREADS; i++) {
		m[i].c = c;
		m[i].random = (uint32_t)i;
		m[i].loop = loop_new(&e);
		inbox_init(&m[i].inbox, m[i].loop);
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&m[i].thread, NULL, run, &m[i]), 0);
}

static void
test_crowd(void **state)
{
	struct crowd *c = xcalloc(1, sizeof *c);
	struct member *m = xcalloc(THREADS, sizeof *m);
	struct limiter_count n;
	int i;

	(void)state;
	start_crowd(c, m);
	disturb(c);
	for (i = 0; i < THREADS; i++)
		pthread_join(m[i].thread, NULL);
	limiter_count(c->rev, &n);
	assert_int_equal(n.slots + n.conns + n.queued, 0);
	assert_true(c->parked > 0 && c->left > 0 && c->declined > 0);
	printf("served %llu, of %llu parked %llu left and %llu declined\n",
	       (unsigned long long)c->served, (unsigned long long)c->parked,
	       (unsigned long long)c->left, (unsigned long long)c->declined);
	for (i = 0; i < THREADS; i++) {
		loop_once(m[i].loop, true);
		inbox_fini(&m[i].inbox);
		loop_free(&m[i].loop);
	}
	revision_publish(c->rev, instance_set_new(NULL, 0), &(struct revision_wish){.wanted = 0});
	instance_set_unref(&c->set);
	for (i = 0; i < INSTANCES; i++)
		instance_unref(&c->v[i]);
	loop_once(c->control, true);
	revision_unref(&c->rev);
	loop_free(&c->control);
	pthread_barrier_destroy(&c->barrier);
	pthread_mutex_destroy(&c->quiet);
	free(m);
	free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaving, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lower_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pace_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_permits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unseen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_that_may_pass, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_wake_up_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order_over_threads, setup, teardown),
		cmocka_unit_test(test_crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
