/* limiter: its interleavings under a model checker.  The limiter's own code runs here, but its
 * threads are fibers, and before each atomic operation and each lock of a mutex the seed decides
 * which fiber goes on.  So windows of some nanoseconds, between which the proof at the top of
 * limiter.c decides, are as wide as any others.
 *
 * A seed is one interleaving of WORKERS workers, whose requests come, get slots and connections,
 * end and leave, and of the main thread, which closes and opens instances, drains the revision, and
 * moves slots to another activator and back.  Checked are:
 *  - No instance has more requests or connections than its limit, the other activator's included.
 *  - No newcomer takes a slot while an older request waits.
 *  - When all is still: no request waits while a slot is free, and none for a connection for which
 *    there is a permit.
 *  - In the end nothing is taken.
 * So that the checker is known to look, each planted fault must be found within FAULT_SEEDS.
 * LIMITER_SEED=N runs seed N alone, LIMITER_SEEDS=N runs N seeds.  Promises 3 and 4. */
#include "test/unit/unit.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "common/list.h"
#include "common/loop.h"
#include "common/ref.h"

#define WORKERS 3
#define FIBERS (WORKERS + 1) /* the last one is the main thread */
#define REQUESTS 2	     /* of each worker */
#define INSTANCES 2
#define LIMIT 2
#define ROUNDS 20 /* after each all is still, and looked at */
#define STEPS 6	  /* of each fiber in a round, at most */
#define MUTEXES 32
#define STACK ((size_t)256 << 10)
#define SEEDS 5000
#define FAULT_SEEDS 1000

/* --- the scheduler --- */

enum fault {
	FAULT_NONE,
	FAULT_GIVER_LOOKS_ONCE,	   /* a giver does not read `waiting` again */
	FAULT_NEWCOMER_LOOKS_ONCE, /* nor does a newcomer that has taken a slot */
	FAULT_PERMIT_FORGOTTEN,	   /* who gives a permit back does not look who waits for one */
	FAULT_GIVER_NEVER_LOOKS,   /* a giver reads that no request waits, and one does */
	FAULT_N
};

static const char *const fault_names[FAULT_N] = {
	[FAULT_NONE] = "none",
	[FAULT_GIVER_LOOKS_ONCE] = "a giver does not look a second time",
	[FAULT_NEWCOMER_LOOKS_ONCE] = "a newcomer does not look a second time",
	[FAULT_PERMIT_FORGOTTEN] = "a permit that is given back wakes no waiter",
	[FAULT_GIVER_NEVER_LOOKS] = "a giver never looks whether a request waits",
};

struct fiber {
	ucontext_t context;
	char *stack;
	bool is_over;
	const void *awaited;   /* a mutex; NULL: none */
	uint64_t last_waiting; /* what it read of rev->waiting last */
	enum { OTHER, GIVING, GIVING_PERMIT, TAKING } call;
	bool has_changed;    /* in this call: a slot was taken, or given back … */
	uint64_t changed_at; /* … then */
	uint64_t *raised_at; /* when the request that it is about to park has raised `waiting` */
};

static struct {
	struct fiber v[FIBERS];
	ucontext_t outside;
	int running;		   /* -1: outside */
	const void *held[MUTEXES]; /* mutexes */
	uint64_t random;
	uint64_t now;  /* counts the changes */
	uint32_t calm; /* 1 in so many turns goes on with another fiber */
	enum fault fault;
	const void *waiting; /* rev->waiting */
	char failure[200];
} world;

static uint32_t
chance(uint32_t n)
{
	world.random = world.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((world.random >> 33) % n);
}

PRINTF_LIKE(1, 2) static void wrong(const char *fmt, ...)
{
	va_list args;

	if (world.failure[0] != '\0')
		return;
	va_start(args, fmt);
	vsnprintf(world.failure, sizeof world.failure, fmt, args);
	va_end(args);
}

static bool
is_held(const void *mutex)
{
	int i;

	for (i = 0; i < MUTEXES; i++)
		if (world.held[i] == mutex)
			return true;
	return false;
}

static bool
can_run(const struct fiber *f)
{
	return !f->is_over && (f->awaited == NULL || !is_held(f->awaited));
}

static void set_current(int i);

/* Go on with any fiber that can run; outside, if none is left. */
static void
switch_fiber(void)
{
	int from = world.running, to = (int)chance(FIBERS), i;

	for (i = 0; i < FIBERS && !can_run(&world.v[to]); i++)
		to = (to + 1) % FIBERS;
	if (i == FIBERS) {
		CHECK(world.v[from].is_over); /* else all wait for each other */
		world.running = -1;
		swapcontext(&world.v[from].context, &world.outside);
		return;
	}
	if (to == from)
		return;
	world.running = to;
	set_current(to);
	swapcontext(&world.v[from].context, &world.v[to].context);
}

static void
turn(void)
{
	if (world.running >= 0 && chance(world.calm) == 0)
		switch_fiber();
}

static void
model_lock(const void *mutex)
{
	int i;

	turn();
	if (world.running >= 0) {
		struct fiber *f = &world.v[world.running];

		while (is_held(mutex)) {
			f->awaited = mutex;
			switch_fiber();
		}
		f->awaited = NULL;
	}
	CHECK(!is_held(mutex));
	for (i = 0; world.held[i] != NULL; i++)
		CHECK(i + 1 < MUTEXES);
	world.held[i] = mutex;
}

static void
model_unlock(const void *mutex)
{
	int i;

	for (i = 0; world.held[i] != mutex; i++)
		CHECK(i + 1 < MUTEXES);
	world.held[i] = NULL;
	turn();
}

/* What a fiber reads there; a fault may hide it. */
static uint64_t
seen(const volatile void *at, uint64_t value)
{
	struct fiber *f;

	if (world.running < 0)
		return value;
	f = &world.v[world.running];
	if (world.fault == FAULT_PERMIT_FORGOTTEN && f->call == GIVING_PERMIT && f->has_changed)
		return 0;
	if (at != world.waiting)
		return value;
	if (world.fault == FAULT_GIVER_LOOKS_ONCE && f->call == GIVING && f->has_changed)
		return f->last_waiting;
	if (world.fault == FAULT_NEWCOMER_LOOKS_ONCE && f->call == TAKING && f->has_changed)
		return f->last_waiting;
	if (world.fault == FAULT_GIVER_NEVER_LOOKS && f->call == GIVING)
		return 0;
	f->last_waiting = value;
	return value;
}

static void
changed(const volatile void *at)
{
	struct fiber *f = &world.v[MAX(world.running, 0)];

	world.now++;
	if (world.running < 0)
		return;
	if (at != world.waiting) {
		f->has_changed = true;
		f->changed_at = world.now;
	} else if (f->raised_at != NULL) {
		*f->raised_at = world.now;
		f->raised_at = NULL;
	}
}

/* --- the limiter, with these in place of atomic operations and mutexes --- */

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_weak_explicit
#define SEQ __ATOMIC_SEQ_CST
#define atomic_load(p)                                                                             \
	(turn(), (__typeof__(*(p) + 0))seen((p), (uint64_t)__atomic_load_n((p), SEQ)))
#define atomic_load_explicit(p, order) atomic_load(p)
#define atomic_store(p, v) (turn(), __atomic_store_n((p), (v), SEQ))
#define atomic_store_explicit(p, v, order) atomic_store(p, v)
#define atomic_exchange(p, v) (turn(), __atomic_exchange_n((p), (v), SEQ))
#define atomic_exchange_explicit(p, v, order) atomic_exchange(p, v)
#define atomic_fetch_add_explicit(p, v, order)                                                     \
	(turn(), changed(p), __atomic_fetch_add((p), (v), SEQ))
#define atomic_fetch_sub_explicit(p, v, order)                                                     \
	(turn(), changed(p), __atomic_fetch_sub((p), (v), SEQ))
#define atomic_fetch_or_explicit(p, v, order) (turn(), __atomic_fetch_or((p), (v), SEQ))
#define atomic_fetch_and_explicit(p, v, order) (turn(), __atomic_fetch_and((p), (v), SEQ))
#define atomic_compare_exchange_weak_explicit(p, old, v, order, or_else)                           \
	(turn(), changed(p), __atomic_compare_exchange_n((p), (old), (v), true, SEQ, SEQ))
#define pthread_mutex_lock(m) model_lock(m)
#define pthread_mutex_unlock(m) model_unlock(m)

#include "activator/balance.c"
#include "activator/inbox.c"
#include "activator/limiter.c"
#include "activator/limiter_control.c"
#include "activator/limiter_uses.c"

#include "test/unit/revision.h"

/* --- requests --- */

enum what { IDLE, WAITING, PERMIT, HOLDING };

struct request {
	struct waiter waiter;
	enum what what;
	struct instance *inst; /* HOLDING: with a reference, a slot and a connection */
	uint64_t raised_at;    /* WAITING: when it began to */
};

struct member {
	struct loop *loop;
	struct inbox inbox;
	struct request v[REQUESTS];
	uint32_t idle[INSTANCES], sheds[INSTANCES];
};

static const char *const names[INSTANCES] = {"a", "b"};

static struct crowd {
	struct loop *control;
	struct revision *rev;
	struct instance *v[INSTANCES];
	struct instance_set *set;
	struct member members[WORKERS];
	uint32_t requests[INSTANCES], conns[INSTANCES], sheds[INSTANCES];
	bool has_moved;
	/* the autoscaler, and another activator */
	bool is_counted;
	uint64_t epoch;
	uint32_t share[INSTANCES], bound[INSTANCES], others[INSTANCES];
} crowd;

static void
set_current(int i)
{
	inbox_set_current(i < WORKERS ? &crowd.members[i].inbox : NULL);
}

static void
begin_call(int call)
{
	if (world.running < 0)
		return;
	world.v[world.running].call = call;
	world.v[world.running].has_changed = false;
}

static int
index_of(const struct instance *inst)
{
	int i = 0;

	while (crowd.v[i] != inst)
		i++;
	return i;
}

static void
add(uint32_t *counts, int i, const char *what)
{
	if (++counts[i] > LIMIT)
		wrong("instance %s has %u %s of %d", names[i], counts[i], what, LIMIT);
}

static void
hold(struct request *r)
{
	add(crowd.requests, index_of(r->inst), "requests");
	r->what = HOLDING;
}

static void
open_conn(struct request *r)
{
	add(crowd.conns, index_of(r->inst), "connections");
	r->waiter.has_permit = false;
	hold(r);
}

static void
close_conn(int i)
{
	crowd.conns[i]--;
	begin_call(GIVING_PERMIT);
	limiter_permit_back(crowd.v[i]);
	begin_call(OTHER);
}

/* r has a slot of r->inst: take an idle connection, a new one, or wait for one. */
static void
connect_(struct member *m, struct request *r)
{
	int i = index_of(r->inst);

	if (m->idle[i] > 0) {
		m->idle[i]--;
		hold(r);
		return;
	}
	r->waiter.inst = instance_ref(r->inst);
	r->what = PERMIT;
	if (!limiter_permit_or_wait(&r->waiter)) {
		crowd.sheds[i]++;
		return;
	}
	instance_unref(&r->waiter.inst);
	open_conn(r);
}

static struct waiter *
oldest(void)
{
	return limiter_head_locked(crowd.rev);
}

/* A newcomer keeps the slot that it took then. */
static void
check_order(uint64_t taken_at)
{
	struct waiter *w = oldest();

	if (w != NULL && container_of(w, struct request, waiter)->raised_at < taken_at)
		wrong("a newcomer got a slot before an older request");
}

static void
begin(struct member *m, struct request *r)
{
	struct fiber *f = &world.v[world.running];
	struct failure *failed;

	r->waiter = (struct waiter){.fd = -1, .inbox = &m->inbox};
	begin_call(TAKING);
	r->inst = limiter_try_take(crowd.rev, crowd.set, chance(1 << 24));
	begin_call(OTHER);
	if (r->inst != NULL) {
		check_order(f->changed_at);
		instance_ref(r->inst);
	} else {
		r->what = WAITING;
		f->raised_at = &r->raised_at;
		r->inst = limiter_take_or_wait(crowd.rev, &r->waiter, false, 0, &failed);
	}
	if (r->inst != NULL)
		connect_(m, r);
}

static void
finish(struct member *m, struct request *r)
{
	struct instance *inst = r->inst;
	int i = index_of(inst);
	bool is_kept = limiter_may_idle(inst) && chance(4) > 0;

	crowd.requests[i]--;
	if (is_kept)
		m->idle[i]++;
	else
		close_conn(i);
	begin_call(GIVING);
	limiter_give_back(inst);
	begin_call(OTHER);
	if (is_kept && m->idle[i] > 0 && !limiter_may_idle(inst)) {
		m->idle[i]--;
		close_conn(i);
	}
	instance_unref(&r->inst);
	r->what = IDLE;
}

static void
leave(struct request *r)
{
	limiter_cancel(&r->waiter);
	if (r->what == PERMIT)
		instance_unref(&r->inst);
	r->what = IDLE;
}

static void
take_grant(struct member *m, struct waiter *w)
{
	struct request *r = container_of(w, struct request, waiter);

	crowd.has_moved = true;
	if (r->what == PERMIT) {
		instance_unref(&w->inst);
		open_conn(r);
		return;
	}
	CHECK(r->what == WAITING);
	r->inst = w->inst;
	if (chance(10) == 0) {
		limiter_decline(w);
		r->inst = NULL;
		r->what = IDLE;
		return;
	}
	w->inst = NULL;
	connect_(m, r);
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
		if (m->sheds[i] == crowd.sheds[i])
			continue;
		m->sheds[i] = crowd.sheds[i];
		crowd.has_moved = true;
		while (m->idle[i] > 0) {
			m->idle[i]--;
			close_conn(i);
		}
	}
}

static void
step_worker(struct member *m)
{
	struct request *r = &m->v[chance(REQUESTS)];

	if (r->what == IDLE)
		begin(m, r);
	else if (r->what == HOLDING)
		finish(m, r);
	else if (chance(8) == 0)
		leave(r);
	look(m);
}

/* --- the main thread --- */

static void
hear(struct share *s, void *arg)
{
	struct share_report r;
	size_t i, k;

	(void)arg;
	while (share_next_report(s, &r)) {
		for (i = 0; i < INSTANCES && r.is_complete; i++)
			crowd.bound[i] = 0;
		for (k = 0; k < r.n; k++)
			crowd.bound[r.v[k].id[0] - 'a'] = r.v[k].slots;
	}
	for (i = 0; i < INSTANCES; i++)
		crowd.share[i] = MIN(crowd.share[i], crowd.bound[i]);
}

static void
shed_excess(void)
{
	int i;

	for (i = 0; i < INSTANCES; i++)
		crowd.sheds[i] += !limiter_may_idle(crowd.v[i]);
}

static void
offer(uint32_t recall_idle, uint32_t recall_due)
{
	struct share_item items[INSTANCES];
	struct share_offer o = {.term = 1,
				.epoch = ++crowd.epoch,
				.limit = LIMIT,
				.recall_idle = recall_idle,
				.recall_due = recall_due,
				.is_shared = true,
				.is_asking = true,
				.v = items,
				.n = INSTANCES};
	size_t i;

	for (i = 0; i < INSTANCES; i++)
		items[i] = (struct share_item){.id = names[i], .slots = crowd.share[i]};
	limiter_update(crowd.rev, instance_set_ref(crowd.set),
		       &(struct limiter_update){.wanted = INSTANCES,
						.container_concurrency = LIMIT,
						.is_counted = true,
						.offer = &o});
	shed_excess();
	limiter_with_share(crowd.rev, hear, NULL);
	shed_excess();
}

/* The other activator takes all that the crowd does not hold, or gives up what it has. */
static void
move_slots(int i)
{
	limiter_with_share(crowd.rev, hear, NULL);
	shed_excess();
	for (; crowd.bound[i] + crowd.others[i] < LIMIT; crowd.others[i]++) {
		add(crowd.requests, i, "requests");
		add(crowd.conns, i, "connections");
	}
}

static void
give_slot(int i)
{
	if (crowd.others[i] == 0)
		return;
	crowd.requests[i]--;
	crowd.conns[i]--;
	crowd.others[i]--;
	crowd.share[i] = ++crowd.bound[i];
	offer(0, 0);
}

static void
close_and_open(int i)
{
	limiter_close(crowd.v[i], SLOTS_DRAIN);
	limiter_open(crowd.v[i], SLOTS_DRAIN);
	if (chance(2) == 0 && limiter_try_drain(crowd.rev))
		limiter_resume(crowd.rev, crowd.rev->set);
}

static void
step_main(void)
{
	int i = (int)chance(INSTANCES);

	loop_once(crowd.control, true);
	if (!crowd.is_counted) {
		close_and_open(i);
		return;
	}
	switch (chance(4)) {
	case 0:
		crowd.share[i] -= MIN(crowd.share[i], 1u);
		offer(0, 0);
		break;
	case 1:
		offer(chance(3), chance(3));
		break;
	case 2:
		move_slots(i);
		break;
	case 3:
		give_slot(i);
		break;
	}
}

/* --- an interleaving --- */

static void
run_fiber(int i)
{
	uint32_t n;

	for (n = chance(STEPS) + 1; n > 0; n--)
		if (i < WORKERS)
			step_worker(&crowd.members[i]);
		else
			step_main();
	world.v[i].is_over = true;
	switch_fiber();
	CHECK(!"a fiber goes on that is over");
}

static void
begin_sharing(struct share *s, void *arg)
{
	(void)arg;
	share_connected(s, 1);
}

static void
set_up(void)
{
	struct err e;
	int i;

	crowd = (struct crowd){.is_counted = chance(2) == 0};
	crowd.control = loop_new(&e);
	crowd.rev = unit_revision(crowd.control);
	world.waiting = &crowd.rev->waiting;
	for (i = 0; i < INSTANCES; i++)
		crowd.v[i] = unit_instance(crowd.rev, names[i]);
	crowd.set = instance_set_new(crowd.v, 1 + chance(INSTANCES));
	limiter_update(
		crowd.rev, instance_set_ref(crowd.set),
		&(struct limiter_update){.wanted = INSTANCES, .container_concurrency = LIMIT});
	for (i = 0; i < INSTANCES; i++)
		limiter_open(crowd.v[i], SLOTS_UNREADY);
	for (i = 0; i < WORKERS; i++) {
		crowd.members[i].loop = loop_new(&e);
		inbox_init(&crowd.members[i].inbox, crowd.members[i].loop);
	}
	if (!crowd.is_counted)
		return;
	limiter_with_share(crowd.rev, begin_sharing, NULL);
	for (i = 0; i < INSTANCES; i++)
		crowd.share[i] = crowd.bound[i] = (uint32_t)i < crowd.set->n ? LIMIT : 0;
	offer(0, 0);
}

/* Nobody moves but by what has come. */
static void
settle(void)
{
	int i;

	do {
		crowd.has_moved = false;
		loop_once(crowd.control, true);
		for (i = 0; i < WORKERS; i++) {
			set_current(i);
			look(&crowd.members[i]);
		}
		set_current(WORKERS);
	} while (crowd.has_moved);
}

static uint32_t
count(enum what what)
{
	uint32_t n = 0;
	int i, k;

	for (i = 0; i < WORKERS; i++)
		for (k = 0; k < REQUESTS; k++)
			n += crowd.members[i].v[k].what == what;
	return n;
}

static void
check_still(void)
{
	struct limiter_count n;

	limiter_count(crowd.rev, &n);
	if (n.queued != count(WAITING) || n.permits_queued != count(PERMIT) ||
	    n.slots != count(HOLDING) + count(PERMIT))
		wrong("the counts do not agree");
	if (n.queued > 0 && n.free_slots > 0)
		wrong("%u requests wait, and %u slots are free", n.queued, n.free_slots);
	if (n.permits_queued > 0 && count(HOLDING) == 0)
		wrong("%u requests wait for a connection, and none is open", n.permits_queued);
}

static void
end_all(void)
{
	int i, k;

	for (i = 0; i < WORKERS; i++) {
		struct member *m = &crowd.members[i];

		set_current(i);
		for (k = 0; k < REQUESTS; k++)
			if (m->v[k].what == HOLDING)
				finish(m, &m->v[k]);
			else if (m->v[k].what != IDLE)
				leave(&m->v[k]);
		for (k = 0; k < INSTANCES; k++)
			while (m->idle[k] > 0) {
				m->idle[k]--;
				close_conn(k);
			}
	}
	settle();
}

static void
tear_down(void)
{
	struct limiter_count n;
	int i;

	for (i = 0; i < 2 + REQUESTS && count(IDLE) < WORKERS * REQUESTS; i++)
		end_all();
	end_all(); /* idle connections */
	limiter_count(crowd.rev, &n);
	if (n.slots + n.conns + n.queued > 0)
		wrong("%u slots and %u permits stay taken", n.slots, n.conns);
	for (i = 0; i < WORKERS; i++) {
		loop_once(crowd.members[i].loop, true);
		inbox_fini(&crowd.members[i].inbox);
		loop_free(&crowd.members[i].loop);
	}
	limiter_update(crowd.rev, instance_set_new(NULL, 0), &(struct limiter_update){.wanted = 0});
	instance_set_unref(&crowd.set);
	for (i = 0; i < INSTANCES; i++)
		instance_unref(&crowd.v[i]);
	loop_once(crowd.control, true);
	revision_unref(&crowd.rev);
	loop_free(&crowd.control);
}

static void
start_fiber(int i)
{
	struct fiber *f = &world.v[i];

	*f = (struct fiber){.stack = f->stack, .call = OTHER};
	CHECK(getcontext(&f->context) == 0);
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = STACK;
	f->context.uc_link = NULL;
	makecontext(&f->context, (void (*)(void))run_fiber, 1, i);
}

static void
run_round(void)
{
	int i;

	for (i = 0; i < FIBERS; i++)
		start_fiber(i);
	world.running = 0;
	set_current(0);
	swapcontext(&world.outside, &world.v[0].context);
	settle();
	check_still();
}

static void
run_seed(uint64_t seed, enum fault fault)
{
	int i;

	world.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	world.running = -1;
	world.calm = 1 + chance(6);
	world.failure[0] = '\0';
	world.fault = FAULT_NONE;
	set_up();
	world.fault = fault;
	for (i = 0; i < ROUNDS && world.failure[0] == '\0'; i++)
		run_round();
	world.fault = FAULT_NONE;
	settle();
	tear_down();
}

static uint64_t
from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void
interleavings(void **state)
{
	uint64_t alone = from_environment("LIMITER_SEED", 0);
	uint64_t seed = alone > 0 ? alone : 1, seeds = from_environment("LIMITER_SEEDS", SEEDS);

	(void)state;
	for (seeds = alone > 0 ? alone : seeds; seed <= seeds; seed++) {
		run_seed(seed, FAULT_NONE);
		if (world.failure[0] != '\0')
			fail_msg("seed %llu: %s", (unsigned long long)seed, world.failure);
	}
}

static void
planted_faults(void **state)
{
	int fault;

	(void)state;
	for (fault = FAULT_NONE + 1; fault < FAULT_N; fault++) {
		uint64_t seed = 0;

		do
			run_seed(++seed, (enum fault)fault);
		while (world.failure[0] == '\0' && seed < FAULT_SEEDS);
		if (world.failure[0] == '\0')
			fail_msg("not found in %d seeds: %s", FAULT_SEEDS, fault_names[fault]);
		print_message("seed %llu: %s: %s\n", (unsigned long long)seed, fault_names[fault],
			      world.failure);
	}
}

static int
setup(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < FIBERS; i++)
		world.v[i].stack = xmalloc(STACK);
	return 0;
}

static int
teardown(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < FIBERS; i++)
		free(world.v[i].stack);
	return 0;
}

int
main(void)
{
#ifdef __SANITIZE_THREAD__
	return 0; /* all runs in one thread, on stacks that ThreadSanitizer does not know */
#endif
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interleavings),
		cmocka_unit_test(planted_faults),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
