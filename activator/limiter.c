/* How slots are taken without a mutex, and yet no request overtakes another and no waiter is
 * forgotten.
 *
 * Two numbers are read without the mutex: the word `slots` of each instance, and `waiting` of
 * the revision, which is the length of its queue, plus 1 while a request looks for a slot under the
 * mutex.  Every thread does these two steps, in this order (a giver may read waiting before them,
 * too; see below):
 *
 *   newcomer  takes a slot (compare-and-swap)     then reads waiting
 *   giver     gives its slot back (slots - 1)     then reads waiting
 *   waiter    raises waiting                      then tries to take a slot, under the mutex
 *
 * All these steps are seq_cst: all threads see them in one and the same order.  It follows:
 *
 * (a) No newcomer overtakes a waiter.  A newcomer keeps its slot only if it reads
 *     waiting == 0.  Its read then came before the waiter raised waiting, so the newcomer had
 *     its slot before the other request began to wait.  If it reads anything else, it gives
 *     the slot back under the mutex, where the head of the queue gets it.
 * (b) No waiter is forgotten.  If the giver reads waiting == 0, its read came before the
 *     waiter raised waiting.  So did the giver's first step, and the waiter, which looks at
 *     the slots later, finds the slot free.  If the giver reads anything else, it takes the
 *     mutex and grants what is free.  The waiter holds the mutex from its first step until it
 *     has a slot or is in the queue, so the giver finds it served or queued.
 *
 * A giver that reads waiting != 0 before its first step locks the mutex first.  It hands its
 * slot to the head of the queue, and the slot never shows as free.  If the slot may not go to
 * the head (the instance is closed or over its limit, or waiters are paced), the giver gives it
 * back and grants what is free.
 *
 * Shares (share.h).  While this activator owes slots to others, WAITING_WATCHED is set in
 * `waiting`.  It has the effect of a request at the head of the queue: every giver locks the mutex,
 * and calls share_freed() before a waiter gets the slot.  The flag is set before share looks at
 * what is in use, so that by (b) no slot that falls free is missed. A giver also reports where more
 * was in use than the share: the word that it has changed had the limit, too.  So requests at other
 * instances pay nothing while one instance is above its share.
 *
 * Uses.  With max_requests WAITING_COUNTED is set in `waiting`, for good.  It, too, has the effect
 * of a request that waits, so that slots are taken and given back under the mutex alone, and a slot
 * and a use are one step.
 *
 * Lock order: a revision's mutex, then an inbox's.  Functions named _locked are called with
 * the revision's mutex held. */
#include "activator/limiter.h"

#include <sys/socket.h>
#include <unistd.h>

#include "activator/balance.h"
#include "activator/failure.h"
#include "activator/limiter_impl.h"
#include "activator/share.h"

/* --- news of demand and shares, to the main thread --- */

/* On the control loop.  The flag is cleared first, so that a change while on_demand runs
 * leads to one more call. */
static void
on_demand_mail(struct loop_mail *mail)
{
	struct revision *rev = container_of(mail, struct revision, demand_mail);

	atomic_store_explicit(&rev->is_demand_posted, false, memory_order_release);
	if (rev->on_demand != NULL)
		rev->on_demand(rev, rev->arg);
	revision_unref(&rev);
}

void
limiter_post_news(struct revision *rev, _Atomic bool *news)
{
	atomic_store_explicit(news, true, memory_order_relaxed);
	if (atomic_exchange_explicit(&rev->is_demand_posted, true, memory_order_acq_rel))
		return;
	rev->demand_mail.fn = on_demand_mail;
	loop_post(rev->control_loop, &revision_ref(rev)->demand_mail);
}

static void
post_demand(struct revision *rev)
{
	limiter_post_news(rev, &rev->is_demand_news);
}

/* share may have something to send. */
static void
post_share_locked(struct revision *rev)
{
	if (rev->is_counted)
		limiter_post_news(rev, &rev->is_share_news);
}

/* --- shares --- */

static bool
is_watched(const struct revision *rev)
{
	return (atomic_load_explicit(&rev->waiting, memory_order_relaxed) & WAITING_WATCHED) != 0;
}

void
limiter_flag_locked(struct revision *rev, uint32_t flag, bool is_set)
{
	if (is_set)
		atomic_fetch_or_explicit(&rev->waiting, flag, memory_order_seq_cst);
	else
		atomic_fetch_and_explicit(&rev->waiting, ~flag, memory_order_seq_cst);
}

void
limiter_watch_locked(struct revision *rev, bool is_watched_now)
{
	limiter_flag_locked(rev, WAITING_WATCHED, is_watched_now);
}

/* A slot or a connection of inst has been given back, and no waiter has the slot yet.  was_over:
 * more were in use than the share. */
static void
freed_locked(struct revision *rev, struct instance *inst, bool was_over)
{
	if (is_watched(rev))
		share_freed(rev->share, inst->id);
	else if (!was_over)
		return;
	post_share_locked(rev);
}

/* --- the queue ---
 *
 * First the requests that come back (limiter.h), then the others; each part in the order in
 * which its requests first entered the queue.  rev->last_retry is the end of
 * the first part. */

static void
waiting_add(struct revision *rev, int n)
{
	atomic_fetch_add_explicit(&rev->waiting, (uint32_t)n, memory_order_seq_cst);
}

struct waiter *
limiter_head_locked(const struct revision *rev)
{
	struct list_node *node = list_first(&rev->queue);

	return node == NULL ? NULL : container_of(node, struct waiter, node);
}

void
limiter_count_parked_locked(struct revision *rev)
{
	const struct waiter *head = limiter_head_locked(rev);

	share_set_parked(rev->share, (uint32_t)rev->queue.n, head == NULL ? 0 : head->since_ns);
}

static void
parked_changed_locked(struct revision *rev)
{
	if (!share_needs_parked(rev->share))
		return;
	limiter_count_parked_locked(rev);
	post_share_locked(rev);
}

/* A request that fails a second time, or whose connect fails before that of an older one,
 * still stands where it first stood. */
static void
enqueue_retry_locked(struct revision *rev, struct waiter *w)
{
	struct list_node *at = rev->last_retry;

	while (at != NULL && container_of(at, struct waiter, node)->seq > w->seq)
		at = at->prev == &rev->queue.head ? NULL : at->prev;
	if (at == rev->last_retry)
		rev->last_retry = &w->node;
	list_insert_before(&rev->queue, at == NULL ? rev->queue.head.next : at->next, &w->node);
}

static void
enqueue_locked(struct revision *rev, struct waiter *w, bool is_retry, int64_t now_ns)
{
	w->rev = rev;
	w->state = WAITER_QUEUED;
	if (!is_retry || w->seq == 0) {
		w->seq = ++rev->last_seq;
		w->since_ns = now_ns;
	}
	w->is_first = list_empty(&rev->queue);
	if (w->is_serve_only)
		atomic_fetch_add_explicit(&rev->waiting_serve_only, 1, memory_order_relaxed);
	if (is_retry)
		enqueue_retry_locked(rev, w);
	else
		list_push(&rev->queue, &w->node);
	parked_changed_locked(rev);
}

static void
dequeue_locked(struct revision *rev, struct waiter *w)
{
	if (rev->last_retry == &w->node)
		rev->last_retry = w->node.prev == &rev->queue.head ? NULL : w->node.prev;
	list_remove(&rev->queue, &w->node);
	waiting_add(rev, -1);
	if (w->is_serve_only)
		atomic_fetch_sub_explicit(&rev->waiting_serve_only, 1, memory_order_relaxed);
	if (list_empty(&rev->queue) && atomic_load(&rev->must_notify_when_empty) &&
	    atomic_exchange(&rev->must_notify_when_empty, false))
		post_demand(rev);
	parked_changed_locked(rev);
}

static uint32_t
queued_waking_locked(const struct revision *rev)
{
	return (uint32_t)rev->queue.n -
	       atomic_load_explicit(&rev->waiting_serve_only, memory_order_relaxed);
}

/* --- pacing ---
 *
 * Without a limit, the first instance that answers could be given all that a start left
 * parked.  That would overrun it, and leave nothing to the instances that the autoscaler
 * starts as soon as it knows how long a response takes.  So each instance gets no more than
 * rev->pace of them before their response heads have come back, and then one for each head.
 * Nothing is paced while the queue is empty.  Pacing stops when as many instances as wanted were
 * open at two calls of limiter_tick() in a row: no more instances are coming.  It begins again when
 * fewer are open. */

bool
limiter_is_pacing_locked(const struct revision *rev)
{
	return rev->pace != 0 && !rev->is_pacing_over && !list_empty(&rev->queue);
}

/* The instance with the fewest response heads outstanding. */
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
	limiter_use_locked(rev, best);
	best->paced++;
	return best;
}

static void
unpace_locked(struct instance *inst)
{
	if (inst->paced > 0)
		inst->paced--;
}

/* --- granting slots --- */

uint32_t
limiter_open_instances_locked(const struct revision *rev)
{
	uint32_t i, n = 0;

	for (i = 0; i < rev->set->n; i++)
		n += instance_is_open(rev->set->v[i]);
	return n;
}

static struct instance *
take_locked(struct revision *rev, bool *is_paced)
{
	struct instance *inst;

	rev->random = rev->random * 1664525 + 1013904223; /* LCG, Numerical Recipes */
	*is_paced = limiter_is_pacing_locked(rev);
	if (*is_paced)
		return take_paced_locked(rev);
	inst = balance_take(rev->set, rev->random ^ rev->random >> 15);
	if (inst != NULL)
		limiter_use_locked(rev, inst);
	return inst;
}

void
limiter_grant_locked(struct revision *rev, struct waiter *w, struct instance *inst, bool is_paced)
{
	dequeue_locked(rev, w);
	w->inst = inst == NULL ? NULL : instance_ref(inst);
	w->is_failed = inst == NULL;
	w->is_paced = is_paced;
	inbox_put(w->inbox, w);
}

void
limiter_grant_all_locked(struct revision *rev)
{
	struct waiter *w;

	while ((w = limiter_head_locked(rev)) != NULL) {
		bool is_paced;
		struct instance *inst = take_locked(rev, &is_paced);

		if (inst == NULL)
			return;
		limiter_grant_locked(rev, w, inst, is_paced);
	}
}

/* May a slot of inst that is given back go to another request?  Not if inst is closed, or if
 * its limit was lowered and more requests than that are in flight. */
static bool
may_hand_over(const struct instance *inst)
{
	uint64_t slots = slots_read(&inst->slots);

	return slots_is_open(slots) && slots_count(slots) <= slots_limit(slots);
}

static void
give_back_locked(struct revision *rev, struct instance *inst)
{
	struct waiter *w = limiter_head_locked(rev);

	if (w != NULL && may_hand_over(inst) && !limiter_is_pacing_locked(rev) &&
	    !is_watched(rev)) {
		limiter_use_locked(rev, inst);
		limiter_grant_locked(rev, w, inst, false);
		return;
	}
	freed_locked(rev, inst, slots_give_back(&inst->slots));
	if (instance_is_closed_by(inst, SLOTS_SPENT) && instance_in_flight(inst) == 0)
		limiter_post_news(rev, &rev->is_spent_news);
	limiter_grant_all_locked(rev);
}

/* --- permits --- */

/* Permits work as slots do: one atomic word, inst->conns, counts and bounds them, and a waiter
 * raises permits_waited before it looks for a free one under the mutex.  So no waiter is forgotten
 * (see (b) at the top).
 *
 * If the share has become 0, the requests that have slots may still have one connection, one after
 * another.  What the activator holds of the instance (share.h) does not grow by it. */
static bool
take_permit_locked(struct instance *inst)
{
	return permits_try_take(&inst->conns, MIN(instance_in_flight(inst), 1u));
}

static void
leave_permit_queue_locked(struct waiter *w)
{
	list_remove(&w->inst->permit_queue, &w->node);
	atomic_fetch_sub_explicit(&w->inst->permits_waited, 1, memory_order_seq_cst);
}

void
limiter_grant_permits_locked(struct instance *inst)
{
	struct list_node *node;

	while ((node = list_first(&inst->permit_queue)) != NULL && take_permit_locked(inst)) {
		struct waiter *w = container_of(node, struct waiter, node);

		leave_permit_queue_locked(w);
		w->has_permit = true;
		inbox_put(w->inbox, w);
	}
}

bool
limiter_is_permit_waited(const struct instance *inst)
{
	return atomic_load_explicit(&inst->permits_waited, memory_order_seq_cst) != 0;
}

bool
limiter_try_permit(struct instance *inst)
{
	return !limiter_is_permit_waited(inst) && permits_try_take(&inst->conns, 0);
}

bool
limiter_permit_or_wait(struct waiter *w)
{
	struct instance *inst = w->inst;
	struct revision *rev = inst->rev;
	bool is_free;

	CHECK(w->state == WAITER_IDLE);
	w->rev = rev;
	pthread_mutex_lock(&rev->lock);
	atomic_fetch_add_explicit(&inst->permits_waited, 1, memory_order_seq_cst);
	is_free = list_empty(&inst->permit_queue) && take_permit_locked(inst);
	if (is_free) {
		w->has_permit = true;
		atomic_fetch_sub_explicit(&inst->permits_waited, 1, memory_order_seq_cst);
	} else {
		w->state = WAITER_PERMIT;
		list_push(&inst->permit_queue, &w->node);
	}
	pthread_mutex_unlock(&rev->lock);
	return is_free; /* do not read w here: if it waits, another thread may grant it already */
}

static void
permit_freed_locked(struct instance *inst, bool was_over)
{
	freed_locked(inst->rev, inst, was_over); /* it may lower the share */
	limiter_grant_permits_locked(inst);
}

void
limiter_permit_back(struct instance *inst)
{
	bool was_over = permits_give_back(&inst->conns);

	if (!was_over && !limiter_is_permit_waited(inst))
		return;
	pthread_mutex_lock(&inst->rev->lock);
	permit_freed_locked(inst, was_over);
	pthread_mutex_unlock(&inst->rev->lock);
}

bool
limiter_may_idle(const struct instance *inst)
{
	uint64_t conns = atomic_load_explicit(&inst->conns, memory_order_seq_cst);

	return !limiter_is_permit_waited(inst) && permits_count(conns) <= permits_limit(conns) &&
	       !instance_is_closed_by(inst, SLOTS_SPENT);
}

/* --- requests --- */

/* As limiter_try_take() with max_requests: if no request waits. */
static struct instance *
take_counted(struct revision *rev, const struct instance_set *set, uint32_t random)
{
	struct instance *inst = NULL;

	pthread_mutex_lock(&rev->lock);
	if (list_empty(&rev->queue))
		inst = balance_take(set, random);
	if (inst != NULL)
		limiter_use_locked(rev, inst);
	pthread_mutex_unlock(&rev->lock);
	return inst;
}

struct instance *
limiter_try_take(struct revision *rev, const struct instance_set *set, uint32_t random)
{
	uint32_t waiting = atomic_load_explicit(&rev->waiting, memory_order_relaxed);
	struct instance *inst;

	if (set == NULL || waiting != 0)
		return set != NULL && waiting == WAITING_COUNTED ? take_counted(rev, set, random)
								 : NULL;
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

struct instance *
limiter_take_or_wait(struct revision *rev, struct waiter *w, bool is_retry, int64_t now_ns,
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
	waiting_add(rev, 1); /* the waiter's first step; the second follows */
	if (is_retry || list_empty(&rev->queue))
		inst = take_locked(rev, &is_paced);
	if (inst != NULL) {
		waiting_add(rev, -1);
		instance_ref(inst);
		w->is_paced = is_paced;
	} else if (failure_is_refusing(rev->failure, now_ns) &&
		   limiter_open_instances_locked(rev) == 0) {
		waiting_add(rev, -1);
		*failed = failure_ref(rev->failure);
	} else {
		if (!w->is_serve_only && queued_waking_locked(rev) == 0)
			post_demand(rev);
		enqueue_locked(rev, w, is_retry, now_ns);
	}
	pthread_mutex_unlock(&rev->lock);
	return inst;
}

void
limiter_give_back(struct instance *inst)
{
	struct revision *rev = inst->rev;

	if (atomic_load_explicit(&rev->waiting, memory_order_seq_cst) == 0) {
		bool was_over = slots_give_back(&inst->slots);

		if (!was_over && atomic_load_explicit(&rev->waiting, memory_order_seq_cst) == 0)
			return;
		pthread_mutex_lock(&rev->lock);
		freed_locked(rev, inst, was_over);
		limiter_grant_all_locked(rev);
	} else {
		pthread_mutex_lock(&rev->lock);
		give_back_locked(rev, inst);
	}
	pthread_mutex_unlock(&rev->lock);
}

/* If w was granted the prober's connection, the next waiter gets that, with slot and permit.
 * False: it was not, or no waiter may have it. */
static bool
hand_over_fd_locked(struct waiter *w)
{
	struct revision *rev = w->rev;
	struct waiter *next = limiter_head_locked(rev);

	if (w->fd < 0 || next == NULL || !may_hand_over(w->inst) || is_watched(rev))
		return false;
	next->fd = w->fd;
	next->has_permit = true;
	limiter_grant_locked(rev, next, w->inst, w->is_paced);
	w->fd = -1;
	return true;
}

/* All that w was granted goes back: connection, permit, pace and slot.  The connection is closed
 * before its permit goes back: then another one may be opened. */
static void
ungrant_locked(struct waiter *w)
{
	if (w->inst == NULL || hand_over_fd_locked(w))
		return;
	if (w->fd >= 0) {
		shutdown(w->fd, SHUT_RDWR); /* as tcp_close() */
		close(w->fd);
	}
	w->fd = -1;
	if (w->has_permit)
		permit_freed_locked(w->inst, permits_give_back(&w->inst->conns));
	if (w->is_paced)
		unpace_locked(w->inst);
	limiter_unuse_locked(w->rev, w->inst);
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
		leave_permit_queue_locked(w);
		ungrant_locked(w);
		break;
	case WAITER_GRANTED:
	case WAITER_TAKEN:
		inbox_remove(w->inbox, w);
		ungrant_locked(w);
		break;
	case WAITER_IDLE:
		CHECK(!"w does not wait");
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
	unpace_locked(inst);
	limiter_grant_all_locked(rev);
	pthread_mutex_unlock(&rev->lock);
}

/* --- what others ask --- */

struct failure *
limiter_failure(struct revision *rev)
{
	struct failure *f;

	pthread_mutex_lock(&rev->lock);
	f = failure_ref(rev->failure);
	pthread_mutex_unlock(&rev->lock);
	return f;
}

uint32_t
limiter_parked(const struct revision *rev)
{
	return atomic_load_explicit(&rev->waiting, memory_order_relaxed) & ~WAITING_FLAGS;
}

uint32_t
limiter_parked_waking(const struct revision *rev)
{
	uint32_t others = atomic_load_explicit(&rev->waiting_serve_only, memory_order_relaxed);
	uint32_t all = limiter_parked(rev);

	return all > others ? all - others : 0; /* two reads: they need not agree */
}

void
limiter_request_wake(struct revision *rev)
{
	atomic_store_explicit(&rev->is_wake_requested, true, memory_order_release);
	post_demand(rev);
}

void
limiter_notify_when_empty(struct revision *rev)
{
	atomic_store(&rev->must_notify_when_empty, true);
}

static void
count_instance_locked(const struct revision *rev, const struct instance *inst, bool is_pacing,
		      struct limiter_count *c)
{
	uint64_t slots = slots_read(&inst->slots);
	uint32_t n = slots_count(slots), limit = slots_limit(slots);
	uint32_t conns = permits_count(slots_read(&inst->conns));

	c->slots += n;
	c->slots_most = MAX(c->slots_most, n);
	c->conns += conns;
	c->conns_most = MAX(c->conns_most, conns);
	c->permits_queued += (uint32_t)inst->permit_queue.n;
	c->paced += inst->paced;
	if (!slots_has_free(slots) || (is_pacing && inst->paced >= rev->pace))
		return;
	c->free_slots += limit == SLOTS_NO_LIMIT ? 1 : limit - n;
}

void
limiter_count(struct revision *rev, struct limiter_count *c)
{
	bool is_pacing;
	uint32_t i;

	*c = (struct limiter_count){0};
	pthread_mutex_lock(&rev->lock);
	is_pacing = limiter_is_pacing_locked(rev);
	c->queued = (uint32_t)rev->queue.n;
	CHECK(c->queued == limiter_parked(rev));
	for (i = 0; i < rev->set->n; i++)
		count_instance_locked(rev, rev->set->v[i], is_pacing, c);
	pthread_mutex_unlock(&rev->lock);
}
