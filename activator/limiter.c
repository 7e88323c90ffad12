/* limiter - slots and the queue of parked requests of one revision.
 *
 * Why no wake-up is lost and nobody is overtaken.  Two words matter: `slots` of an
 * instance, and `waiting` of the revision (the length of its queue).
 *
 *   newcomer:  slots += 1 (CAS)         waiter:  waiting += 1
 *              read waiting                      look at slots (CAS), under the lock
 *   giver:     slots -= 1
 *              read waiting
 *
 * All of these are seq_cst, so there is one total order S of them.
 * (a) Newcomer against waiter.  If the newcomer reads waiting == 0, its read comes
 *     before the waiter's increment in S, so it took its slot before that request began
 *     to wait: no overtaking.  If it reads waiting != 0 it gives the slot back the slow
 *     way, under the lock, where the head of the queue gets it.
 * (b) Giver against waiter.  If the giver's read sees 0, it precedes the waiter's
 *     increment in S, hence so does the decrement, and the waiter's look at the slots,
 *     which comes later still, sees the slot free.  If it sees 1, the giver takes the
 *     lock and grants whatever is free: either the waiter has taken it already, or it is
 *     queued by now (it holds the lock from increment to enqueueing).
 * A slot that is given back while waiting != 0 was already seen is not decremented at
 * all: it is handed to the head under the lock and never shows as free.
 *
 * Lock order: revision, then inbox.  Nothing here calls back, logs, or does I/O but
 * the eventfd of a mailbox that was empty. */
#include "activator/limiter.h"

#include "activator/balance.h"
#include "activator/failure.h"

/* --- under rev->lock --- */

static void
waiting_add(struct revision *rev, int n)
{
	atomic_fetch_add_explicit(&rev->waiting, (uint32_t)n, memory_order_seq_cst);
}

static uint32_t
open_instances_locked(const struct revision *rev)
{
	uint32_t i, n = 0;

	for (i = 0; i < rev->set->n; i++)
		n += instance_is_open(rev->set->v[i]);
	return n;
}

/* What was parked goes out at the pace that response heads come back (or instances join):
 * all at once would run over the first ones, and leave nothing to those that the autoscaler
 * starts once it knows how long an answer takes.  It has had its time when as many as it
 * wants have been there for a second: who still waits then has nobody else to wait for. */
static bool
is_pacing_locked(const struct revision *rev)
{
	return rev->pace != 0 && !rev->is_pace_over && !rev->is_external &&
	       !list_empty(&rev->queue);
}

static struct instance *
take_paced_locked(struct revision *rev)
{
	struct instance *best = NULL;
	uint32_t i;

	for (i = 0; i < rev->set->n; i++) {
		struct instance *inst = rev->set->v[i];

		if (instance_is_open(inst) && inst->paced < rev->pace &&
		    (best == NULL || inst->paced < best->paced))
			best = inst;
	}
	if (best == NULL || !slots_try_take(&best->slots))
		return NULL;
	best->paced++;
	return best;
}

static struct instance *
take_locked(struct revision *rev, bool *is_paced)
{
	rev->rotor = rev->rotor * 1664525 + 1013904223; /* LCG, Numerical Recipes */
	*is_paced = is_pacing_locked(rev);
	if (*is_paced)
		return take_paced_locked(rev);
	return balance_take(rev->set, rev->rotor ^ rev->rotor >> 15);
}

static struct waiter *
head_locked(const struct revision *rev)
{
	struct list_node *node = list_first(&rev->queue);

	return node == NULL ? NULL : container_of(node, struct waiter, node);
}

/* Waiters that may wake the revision. */
static uint32_t
wakers_locked(const struct revision *rev)
{
	return (uint32_t)rev->queue.n -
	       atomic_load_explicit(&rev->waiting_unseen, memory_order_relaxed);
}

/* On the control loop.  From here on the mail may be posted again: what changes while the
 * callback runs is told once more. */
static void
on_demand_mail(struct loop_mail *mail)
{
	struct revision *rev = container_of(mail, struct revision, demand_mail);

	atomic_store_explicit(&rev->is_demand_posted, false, memory_order_release);
	if (rev->on_demand != NULL)
		rev->on_demand(rev, rev->arg);
	revision_unref(&rev);
}

static void
demand(struct revision *rev)
{
	if (atomic_exchange_explicit(&rev->is_demand_posted, true, memory_order_acq_rel))
		return;
	rev->demand_mail.fn = on_demand_mail;
	loop_post(rev->control_loop, &revision_ref(rev)->demand_mail);
}

static void
dequeue_locked(struct revision *rev, struct waiter *w)
{
	if (rev->last_returned == &w->node)
		rev->last_returned = w->node.prev == &rev->queue.head ? NULL : w->node.prev;
	list_remove(&rev->queue, &w->node);
	waiting_add(rev, -1);
	if (w->is_unseen)
		atomic_fetch_sub_explicit(&rev->waiting_unseen, 1, memory_order_relaxed);
	if (list_empty(&rev->queue) && atomic_load(&rev->must_notify_when_empty) &&
	    atomic_exchange(&rev->must_notify_when_empty, false))
		demand(rev);
}

/* w leaves the queue with inst (a slot of it is w's now), or failed where NULL. */
static void
grant_locked(struct revision *rev, struct waiter *w, struct instance *inst, bool is_paced)
{
	dequeue_locked(rev, w);
	w->inst = inst == NULL ? NULL : instance_ref(inst);
	w->is_failed = inst == NULL;
	w->is_paced = is_paced;
	inbox_put(w->inbox, w);
}

static void
grant_all_locked(struct revision *rev)
{
	struct waiter *w;

	while ((w = head_locked(rev)) != NULL) {
		bool is_paced;
		struct instance *inst = take_locked(rev, &is_paced);

		if (inst == NULL)
			return;
		grant_locked(rev, w, inst, is_paced);
	}
}

/* May a slot of inst that is given back go to another request?  Not if inst is closed, or
 * more are in flight there than its limit allows since that was lowered. */
static bool
may_hand_over(const struct instance *inst)
{
	uint64_t slots = slots_read(&inst->slots);

	return slots_is_open(slots) && slots_count(slots) <= slots_limit(slots);
}

/* A slot of inst is free again: the head has it, if it may. */
static void
give_back_locked(struct revision *rev, struct instance *inst)
{
	struct waiter *w = head_locked(rev);

	if (w != NULL && may_hand_over(inst) && !is_pacing_locked(rev)) {
		grant_locked(rev, w, inst, false);
		return;
	}
	slots_give_back(&inst->slots);
	grant_all_locked(rev);
}

static void
permit_back_locked(struct instance *inst)
{
	struct list_node *node = list_pop(&inst->permit_queue);
	struct waiter *w;

	if (node == NULL) {
		CHECK(inst->conns > 0);
		inst->conns--;
		return;
	}
	atomic_fetch_sub_explicit(&inst->permits_waited, 1, memory_order_seq_cst);
	w = container_of(node, struct waiter, node);
	w->has_permit = true;
	inbox_put(w->inbox, w);
}

/* --- requests --- */

struct instance *
limiter_try_take(struct revision *rev, const struct instance_set *set, uint32_t random)
{
	struct instance *inst;

	if (set == NULL || atomic_load_explicit(&rev->waiting, memory_order_relaxed) != 0)
		return NULL;
	inst = balance_take(set, random);
	if (inst == NULL)
		return NULL;
	if (__builtin_expect(atomic_load_explicit(&rev->waiting, memory_order_seq_cst) == 0, 1))
		return inst;
	pthread_mutex_lock(&rev->lock);
	give_back_locked(rev, inst);
	pthread_mutex_unlock(&rev->lock);
	return NULL;
}

void
limiter_request_wake(struct revision *rev)
{
	atomic_store_explicit(&rev->is_wake_requested, true, memory_order_release);
	demand(rev);
}

void
limiter_notify_when_empty(struct revision *rev)
{
	atomic_store(&rev->must_notify_when_empty, true);
}

/* Before all that have not been sent anywhere yet, in the order in which those that have
 * entered the queue: who is sent in vain more than once, or fails before another, keeps its
 * place. */
static void
return_locked(struct revision *rev, struct waiter *w)
{
	struct list_node *at = rev->last_returned;

	while (at != NULL && container_of(at, struct waiter, node)->seq > w->seq)
		at = at->prev == &rev->queue.head ? NULL : at->prev;
	if (at == rev->last_returned)
		rev->last_returned = &w->node;
	list_insert_before(&rev->queue, at == NULL ? rev->queue.head.next : at->next, &w->node);
}

static void
enqueue_locked(struct revision *rev, struct waiter *w, bool is_returned)
{
	w->rev = rev;
	w->state = WAITER_QUEUED;
	if (!is_returned || w->seq == 0)
		w->seq = ++rev->last_seq;
	w->is_first = list_empty(&rev->queue);
	if (w->is_unseen)
		atomic_fetch_add_explicit(&rev->waiting_unseen, 1, memory_order_relaxed);
	if (is_returned)
		return_locked(rev, w);
	else
		list_push(&rev->queue, &w->node);
}

struct instance *
limiter_take_or_wait(struct revision *rev, struct waiter *w, bool at_head, int64_t now_ns,
		     struct failure **failed)
{
	struct instance *inst = NULL;
	bool is_paced = false;

	CHECK(w->state == WAITER_IDLE);
	w->inst = NULL;
	w->fd = -1;
	w->is_failed = w->is_paced = w->has_permit = false;
	*failed = NULL;
	pthread_mutex_lock(&rev->lock);
	waiting_add(rev, 1); /* before the look: (b) above */
	if (at_head || list_empty(&rev->queue))
		inst = take_locked(rev, &is_paced);
	if (inst != NULL) {
		waiting_add(rev, -1);
		instance_ref(inst);
		w->is_paced = is_paced;
	} else if (failure_is_refusing(rev->failure, now_ns) && open_instances_locked(rev) == 0) {
		waiting_add(rev, -1);
		*failed = failure_ref(rev->failure);
	} else {
		if (!w->is_unseen && wakers_locked(rev) == 0)
			demand(rev);
		enqueue_locked(rev, w, at_head);
	}
	pthread_mutex_unlock(&rev->lock);
	return inst;
}

void
limiter_give_back(struct instance *inst)
{
	struct revision *rev = inst->rev;

	if (atomic_load_explicit(&rev->waiting, memory_order_seq_cst) == 0) {
		slots_give_back(&inst->slots);
		if (atomic_load_explicit(&rev->waiting, memory_order_seq_cst) == 0)
			return;
		pthread_mutex_lock(&rev->lock);
		grant_all_locked(rev);
	} else {
		pthread_mutex_lock(&rev->lock);
		give_back_locked(rev, inst);
	}
	pthread_mutex_unlock(&rev->lock);
}

/* The prober's connection, with all that w was granted, to who waits next. */
static bool
pass_on_locked(struct waiter *w)
{
	struct revision *rev = w->rev;
	struct waiter *next = head_locked(rev);

	if (w->fd < 0 || next == NULL || !may_hand_over(w->inst))
		return false;
	next->fd = w->fd;
	next->has_permit = true;
	grant_locked(rev, next, w->inst, w->is_paced);
	w->fd = -1;
	return true;
}

/* What a grant carried goes back, since nobody makes use of it. */
static void
ungrant_locked(struct waiter *w)
{
	if (w->inst == NULL || pass_on_locked(w))
		return;
	if (w->has_permit)
		permit_back_locked(w->inst);
	if (w->is_paced && w->inst->paced > 0)
		w->inst->paced--;
	give_back_locked(w->rev, w->inst);
}

void
limiter_decline(struct waiter *w)
{
	CHECK(w->state == WAITER_IDLE);
	pthread_mutex_lock(&w->rev->lock);
	ungrant_locked(w);
	pthread_mutex_unlock(&w->rev->lock);
	w->has_permit = w->is_paced = false;
	instance_unref(&w->inst);
}

void
limiter_cancel(struct waiter *w)
{
	struct revision *rev = w->rev;

	pthread_mutex_lock(&rev->lock);
	switch (w->state) {
	case WAITER_QUEUED:
		dequeue_locked(rev, w);
		break;
	case WAITER_PERMIT:
		list_remove(&w->inst->permit_queue, &w->node);
		atomic_fetch_sub_explicit(&w->inst->permits_waited, 1, memory_order_seq_cst);
		ungrant_locked(w);
		break;
	case WAITER_GRANTED:
	case WAITER_TAKEN:
		inbox_remove(w->inbox, w);
		ungrant_locked(w);
		break;
	case WAITER_IDLE:
		CHECK(!"it waits");
	}
	w->state = WAITER_IDLE;
	w->has_permit = w->is_paced = false;
	pthread_mutex_unlock(&rev->lock);
	instance_unref(&w->inst);
}

void
limiter_head_seen(struct instance *inst)
{
	struct revision *rev = inst->rev;

	pthread_mutex_lock(&rev->lock);
	if (inst->paced > 0)
		inst->paced--;
	grant_all_locked(rev);
	pthread_mutex_unlock(&rev->lock);
}

/* A connection more to inst: does its limit allow for it? */
static bool
may_connect_locked(const struct instance *inst)
{
	return inst->conns < slots_limit(slots_read(&inst->slots));
}

bool
limiter_permit(struct waiter *w)
{
	struct instance *inst = w->inst;
	struct revision *rev = inst->rev;
	bool is_free;

	CHECK(w->state == WAITER_IDLE);
	w->rev = rev;
	pthread_mutex_lock(&rev->lock);
	is_free = may_connect_locked(inst);
	if (is_free) {
		inst->conns++;
		w->has_permit = true;
	} else {
		atomic_fetch_add_explicit(&inst->permits_waited, 1, memory_order_seq_cst);
		w->state = WAITER_PERMIT;
		list_push(&inst->permit_queue, &w->node);
	}
	pthread_mutex_unlock(&rev->lock);
	return is_free;
}

void
limiter_permit_back(struct instance *inst)
{
	pthread_mutex_lock(&inst->rev->lock);
	permit_back_locked(inst);
	pthread_mutex_unlock(&inst->rev->lock);
}

bool
limiter_may_idle(const struct instance *inst)
{
	return atomic_load_explicit(&inst->permits_waited, memory_order_seq_cst) == 0;
}

/* --- control --- */

uint32_t
limiter_parked(const struct revision *rev)
{
	return atomic_load_explicit(&rev->waiting, memory_order_relaxed);
}

uint32_t
limiter_parked_waking(const struct revision *rev)
{
	uint32_t unseen = atomic_load_explicit(&rev->waiting_unseen, memory_order_relaxed);
	uint32_t all = limiter_parked(rev);

	return all > unseen ? all - unseen : 0;
}

/* The limit was raised: so many connections more. */
static void
grant_permits_locked(struct revision *rev)
{
	uint32_t i;

	for (i = 0; i < rev->set->n; i++) {
		struct instance *inst = rev->set->v[i];

		while (!list_empty(&inst->permit_queue) && may_connect_locked(inst)) {
			inst->conns++;
			permit_back_locked(inst);
		}
	}
}

static void
set_limit_locked(struct revision *rev, uint32_t container_concurrency)
{
	uint32_t limit = container_concurrency == 0 ? SLOTS_NO_LIMIT : container_concurrency;
	uint32_t i;

	for (i = 0; i < rev->set->n; i++)
		slots_set_limit(&rev->set->v[i]->slots, limit);
}

void
limiter_update(struct revision *rev, struct instance_set *set, const struct limiter_update *wish)
{
	struct instance_set *old;

	pthread_mutex_lock(&rev->lock);
	old = rev->set;
	rev->set = set;
	rev->wanted = wish->wanted;
	rev->pace = wish->container_concurrency == 0 ? wish->pace : 0;
	if (open_instances_locked(rev) < rev->wanted)
		rev->has_all = rev->is_pace_over = false;
	atomic_store_explicit(&rev->is_external, wish->is_external, memory_order_relaxed);
	set_limit_locked(rev, wish->container_concurrency);
	grant_permits_locked(rev);
	grant_all_locked(rev);
	pthread_mutex_unlock(&rev->lock);
	instance_set_unref(&old);
}

void
limiter_tick(struct revision *rev)
{
	bool had_all;

	pthread_mutex_lock(&rev->lock);
	had_all = rev->has_all;
	rev->has_all = rev->wanted > 0 && open_instances_locked(rev) >= rev->wanted;
	rev->is_pace_over = had_all && rev->has_all;
	if (rev->is_pace_over)
		grant_all_locked(rev);
	pthread_mutex_unlock(&rev->lock);
}

void
limiter_close(struct instance *inst, uint64_t why)
{
	slots_close(&inst->slots, why);
}

void
limiter_open(struct instance *inst, uint64_t why)
{
	pthread_mutex_lock(&inst->rev->lock);
	slots_open(&inst->slots, why);
	grant_all_locked(inst->rev);
	pthread_mutex_unlock(&inst->rev->lock);
}

bool
limiter_open_with_fd(struct instance *inst, int fd)
{
	struct revision *rev = inst->rev;
	struct waiter *w;
	bool is_paced = false, is_taken = false;

	pthread_mutex_lock(&rev->lock);
	slots_open(&inst->slots, SLOTS_UNREADY);
	w = head_locked(rev);
	if (w != NULL) {
		is_paced = is_pacing_locked(rev);
		is_taken = (!is_paced || inst->paced < rev->pace) && slots_try_take(&inst->slots);
	}
	if (is_taken) {
		inst->paced += is_paced;
		w->fd = fd;
		w->has_permit = true; /* the prober's */
		grant_locked(rev, w, inst, is_paced);
	}
	grant_all_locked(rev);
	pthread_mutex_unlock(&rev->lock);
	return is_taken;
}

bool
limiter_try_permit(struct instance *inst)
{
	struct revision *rev = inst->rev;
	bool is_free;

	pthread_mutex_lock(&rev->lock);
	is_free = may_connect_locked(inst);
	if (is_free)
		inst->conns++;
	pthread_mutex_unlock(&rev->lock);
	return is_free;
}

static void
reopen_locked(struct revision *rev, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		slots_open(&rev->set->v[i]->slots, SLOTS_REV_DRAIN);
	grant_all_locked(rev);
}

bool
limiter_try_drain(struct revision *rev)
{
	bool is_idle;
	uint32_t i;

	pthread_mutex_lock(&rev->lock);
	is_idle = list_empty(&rev->queue);
	for (i = 0; is_idle && i < rev->set->n; i++) {
		uint64_t before = slots_close(&rev->set->v[i]->slots, SLOTS_REV_DRAIN);

		is_idle = slots_count(before) == 0;
	}
	if (!is_idle)
		reopen_locked(rev, i);
	pthread_mutex_unlock(&rev->lock);
	return is_idle;
}

void
limiter_resume(struct revision *rev)
{
	pthread_mutex_lock(&rev->lock);
	reopen_locked(rev, rev->set->n);
	pthread_mutex_unlock(&rev->lock);
}

void
limiter_set_failure(struct revision *rev, const struct msg_failure *said, int64_t now_ns)
{
	struct failure *old, *f = said == NULL ? NULL : failure_new(said, now_ns);
	struct waiter *w;

	pthread_mutex_lock(&rev->lock);
	old = rev->failure;
	rev->failure = f;
	if (f != NULL && !f->is_parking && open_instances_locked(rev) == 0)
		while ((w = head_locked(rev)) != NULL)
			grant_locked(rev, w, NULL, false);
	pthread_mutex_unlock(&rev->lock);
	failure_unref(&old);
}

struct failure *
limiter_failure(struct revision *rev)
{
	struct failure *f;

	pthread_mutex_lock(&rev->lock);
	f = failure_ref(rev->failure);
	pthread_mutex_unlock(&rev->lock);
	return f;
}

static void
count_instance_locked(const struct revision *rev, const struct instance *inst, bool is_pacing,
		      struct limiter_count *c)
{
	uint64_t slots = slots_read(&inst->slots);
	uint32_t n = slots_count(slots), limit = slots_limit(slots);

	c->slots += n;
	c->slots_most = MAX(c->slots_most, n);
	c->conns_most = MAX(c->conns_most, inst->conns);
	c->permits_queued += (uint32_t)inst->permit_queue.n;
	c->conns += inst->conns;
	c->paced += inst->paced;
	if (!slots_has_free(slots) || (is_pacing && inst->paced >= rev->pace))
		return;
	c->open_free += limit == SLOTS_NO_LIMIT ? 1 : limit - n;
}

void
limiter_count(struct revision *rev, struct limiter_count *c)
{
	bool is_pacing;
	uint32_t i;

	*c = (struct limiter_count){0};
	pthread_mutex_lock(&rev->lock);
	is_pacing = is_pacing_locked(rev);
	c->queued = (uint32_t)rev->queue.n;
	CHECK(c->queued == atomic_load(&rev->waiting));
	for (i = 0; i < rev->set->n; i++)
		count_instance_locked(rev, rev->set->v[i], is_pacing, c);
	pthread_mutex_unlock(&rev->lock);
}
