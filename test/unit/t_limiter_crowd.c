/* limiter: many threads with many requests that come, leave and give slots back at random,
 * while instances come and go, or while slots are moved to another activator and back.  Whenever
 * all threads pause, the counts of slots, connections and waiters must agree.  Promise 3. */
#include "test/unit/revision.h"

#include <sched.h>
#include <stdatomic.h>

#include "activator/limiter.h"
#include "activator/share.h"

#define THREADS 4
#define REQUESTS 40 /* of each thread */
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
	pthread_mutex_t quiet; /* while it is held, disturb() does nothing */
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

/* The request has a slot and a connection; neither may exceed the limit. */
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

/* r has a slot of r->inst: take an idle connection, a new one, or wait for one. */
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
	if (!limiter_permit_or_wait(&r->waiter)) {
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

/* Handle the messages of other threads. */
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

	for (i = 0; i < n && r->what != HOLDING; i++) /* most end with an answer */
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

/* Wait until no message is under way. */
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

/* All threads pause: compare the counts of the limiter with those of the requests. */
static void
check(struct crowd *c)
{
	struct limiter_count n;

	limiter_count(c->rev, &n);
	CHECK(n.slots == atomic_load(&c->with_slot));
	CHECK(n.slots - n.permits_queued == atomic_load(&c->holding));
	CHECK(n.conns == atomic_load(&c->holding) + atomic_load(&c->idle));
	CHECK(n.slots_most <= LIMIT && n.conns_most <= LIMIT);
	CHECK(n.queued == 0 || n.free_slots == 0);
	/* Under a lowered share a request may wait for the connection of another one. */
	CHECK(n.permits_queued == 0 || atomic_load(&c->holding) > 0);
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
		for (i = 0; i < STEPS; i++) /* in turns: few wait, then most do */
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

/* Meanwhile add and remove instances, and try drains. */
static void
disturb(struct crowd *c)
{
	uint32_t random = 7;

	while (atomic_load(&c->ended) < THREADS) {
		struct instance *inst = c->v[random % INSTANCES];

		random = (random * 1664525 + 1013904223) & 0xffffff;
		pthread_mutex_lock(&c->quiet);
		limiter_close(inst, SLOTS_DRAIN);
		sched_yield();
		limiter_open(inst, SLOTS_DRAIN);
		if (limiter_try_drain(c->rev))
			limiter_resume(c->rev, c->rev->set);
		pthread_mutex_unlock(&c->quiet);
		sched_yield();
		loop_once(c->control, true);
	}
}

/* --- another activator, and the autoscaler between the two --- */

static const char *const names[INSTANCES] = {"a", "b", "c"};

struct leader {
	struct crowd *c;
	uint64_t epoch;
	uint32_t random;
	uint32_t share[INSTANCES];  /* as last offered to the crowd */
	uint32_t bound[INSTANCES];  /* what the crowd may hold, by its reports */
	uint32_t others[INSTANCES]; /* what the other activator uses */
	uint64_t taken, given, recalled;
};

static uint32_t
draw_lot(struct leader *l, uint32_t n)
{
	l->random = l->random * 1664525 + 1013904223;
	return (l->random >> 8) % n;
}

static void
hear(struct share *s, void *arg)
{
	struct leader *l = arg;
	struct share_report r;
	size_t i, k;

	while (share_next_report(s, &r)) {
		for (i = 0; i < INSTANCES && r.is_complete; i++)
			l->bound[i] = 0;
		for (k = 0; k < r.n; k++)
			l->bound[r.v[k].id[0] - 'a'] = r.v[k].slots;
	}
	for (i = 0; i < INSTANCES; i++)
		l->share[i] = MIN(l->share[i], l->bound[i]);
}

static void
offer(struct leader *l, uint32_t recall_idle, uint32_t recall_due)
{
	struct share_item items[INSTANCES];
	struct share_offer o = {.term = 1,
				.epoch = ++l->epoch,
				.limit = LIMIT,
				.recall_idle = recall_idle,
				.recall_due = recall_due,
				.is_shared = true,
				.is_asking = true,
				.v = items,
				.n = INSTANCES};
	size_t i;

	for (i = 0; i < INSTANCES; i++)
		items[i] = (struct share_item){.id = names[i], .slots = l->share[i]};
	limiter_update(l->c->rev, instance_set_ref(l->c->set),
		       &(struct limiter_update){.wanted = INSTANCES,
						.container_concurrency = LIMIT,
						.is_counted = true,
						.offer = &o});
	for (i = 0; i < INSTANCES; i++)
		if (!limiter_may_idle(l->c->v[i]))
			atomic_fetch_add(&l->c->sheds[i], 1);
	limiter_with_share(l->c->rev, hear, l);
}

/* The other activator uses all that the crowd does not hold. */
static void
take_rest(struct leader *l, size_t i)
{
	for (; l->bound[i] + l->others[i] < LIMIT; l->others[i]++) {
		CHECK(atomic_fetch_add(&l->c->overlap[i], 1) < LIMIT);
		CHECK(atomic_fetch_add(&l->c->conns[i], 1) < LIMIT);
		l->taken++;
	}
}

static void
give(struct leader *l, size_t i)
{
	if (l->others[i] == 0)
		return;
	atomic_fetch_sub(&l->c->overlap[i], 1);
	atomic_fetch_sub(&l->c->conns[i], 1);
	l->others[i]--;
	l->share[i] = ++l->bound[i];
	l->given++;
	offer(l, 0, 0);
}

static void
lead(struct leader *l)
{
	size_t i = draw_lot(l, INSTANCES);

	switch (draw_lot(l, 4)) {
	case 0:
		l->share[i] -= MIN(l->share[i], 1u);
		offer(l, 0, 0);
		break;
	case 1:
		offer(l, draw_lot(l, 3), draw_lot(l, 3));
		l->recalled++;
		break;
	case 2:
		limiter_with_share(l->c->rev, hear, l);
		take_rest(l, i);
		break;
	case 3:
		give(l, i);
		break;
	}
}

static void
give_all(struct leader *l)
{
	size_t i;

	limiter_with_share(l->c->rev, hear, l);
	for (i = 0; i < INSTANCES; i++)
		while (l->others[i] > 0)
			give(l, i);
}

static void
begin_sharing(struct share *s, void *arg)
{
	(void)arg;
	share_connected(s, 1);
}

/* Meanwhile move slots. */
static void
share_out(struct crowd *c)
{
	struct leader l = {.c = c, .random = 7};
	size_t i;

	pthread_mutex_lock(&c->quiet);
	limiter_with_share(c->rev, begin_sharing, NULL);
	for (i = 0; i < INSTANCES; i++)
		l.share[i] = l.bound[i] = LIMIT;
	offer(&l, 0, 0);
	pthread_mutex_unlock(&c->quiet);
	while (atomic_load(&c->ended) < THREADS) {
		pthread_mutex_lock(&c->quiet);
		lead(&l);
		pthread_mutex_unlock(&c->quiet);
		sched_yield();
		loop_once(c->control, true);
	}
	give_all(&l);
	printf("slots: %llu taken, %llu given, %llu recalls\n", (unsigned long long)l.taken,
	       (unsigned long long)l.given, (unsigned long long)l.recalled);
	assert_true(l.taken > 0 && l.given > 0 && l.recalled > 0);
}

static void
start_crowd(struct crowd *c, struct member *m)
{
	struct err e;
	int i;

	c->control = loop_new(&e);
	c->rev = unit_revision(c->control);
	for (i = 0; i < INSTANCES; i++)
		c->v[i] = unit_instance(c->rev, names[i]);
	c->set = instance_set_new(c->v, INSTANCES);
	limiter_update(
		c->rev, instance_set_ref(c->set),
		&(struct limiter_update){.wanted = INSTANCES, .container_concurrency = LIMIT});
	for (i = 0; i < INSTANCES; i++)
		limiter_open(c->v[i], SLOTS_UNREADY);
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
run_crowd(void (*meanwhile)(struct crowd *))
{
	struct crowd *c = xcalloc(1, sizeof *c);
	struct member *m = xcalloc(THREADS, sizeof *m);
	struct limiter_count n;
	int i;

	start_crowd(c, m);
	meanwhile(c);
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
	limiter_update(c->rev, instance_set_new(NULL, 0), &(struct limiter_update){.wanted = 0});
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

static void
test_crowd(void **state)
{
	(void)state;
	run_crowd(disturb);
}

static void
test_shares(void **state)
{
	(void)state;
	run_crowd(share_out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
