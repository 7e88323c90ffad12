/* What the autoscaler, the prober and drains say of a revision and its instances. */
#include <stdlib.h>

#include "activator/balance.h"
#include "activator/failure.h"
#include "activator/limiter_impl.h"
#include "activator/share.h"

/* The shares of all instances may have changed, or there are other instances. */
static void
apply_shares_locked(struct revision *rev)
{
	uint32_t i;

	for (i = 0; i < rev->set->n; i++) {
		struct instance *inst = rev->set->v[i];

		instance_set_share_locked(inst, share_of(rev->share, inst->id));
		limiter_grant_permits_locked(inst);
	}
	limiter_apply_uses_locked(rev);
	limiter_watch_locked(rev, rev->is_counted && share_is_watching(rev->share));
	limiter_grant_all_locked(rev);
}

/* No autoscaler counts what is held. */
static void
share_nothing_locked(struct revision *rev, uint32_t limit)
{
	const char **ids = xcalloc(rev->set->n + 1, sizeof *ids);
	uint32_t i;

	for (i = 0; i < rev->set->n; i++)
		ids[i] = rev->set->v[i]->id;
	share_unshared(rev->share, limit, ids, rev->set->n);
	free(ids);
}

static void
set_shares_locked(struct revision *rev, const struct limiter_update *update)
{
	uint32_t limit = update->container_concurrency;

	rev->has_limit = limit > 0;
	atomic_store_explicit(&rev->is_packed, limit > 0 && limit <= BALANCE_PACKED_MOST,
			      memory_order_relaxed);
	rev->is_counted = update->is_counted && limit > 0;
	rev->max_requests = update->max_requests;
	limiter_flag_locked(rev, WAITING_COUNTED, rev->max_requests > 0);
	share_set_max_requests(rev->share, update->max_requests);
	limiter_watch_locked(rev, true);
	limiter_count_parked_locked(rev);
	if (!rev->is_counted)
		share_nothing_locked(rev, limit == 0 ? SHARE_ALL : limit);
	else if (update->offer != NULL)
		share_obey(rev->share, update->offer); /* if it is not new, nothing changes */
	apply_shares_locked(rev);
}

void
limiter_with_share(struct revision *rev, void (*fn)(struct share *, void *arg), void *arg)
{
	uint32_t i;

	pthread_mutex_lock(&rev->lock);
	limiter_watch_locked(rev, true);
	limiter_count_parked_locked(rev);
	fn(rev->share, arg);
	for (i = 0; i < rev->set->n; i++)
		limiter_grant_permits_locked(rev->set->v[i]);
	limiter_watch_locked(rev, rev->is_counted && share_is_watching(rev->share));
	limiter_grant_all_locked(rev);
	pthread_mutex_unlock(&rev->lock);
}

void
limiter_update(struct revision *rev, struct instance_set *set, const struct limiter_update *update)
{
	bool may_pace = update->container_concurrency == 0 && !update->is_external;
	struct instance_set *old;

	pthread_mutex_lock(&rev->lock);
	old = rev->set;
	rev->set = set;
	rev->wanted = update->wanted;
	rev->pace = may_pace ? update->pace : 0;
	if (limiter_open_instances_locked(rev) < rev->wanted)
		rev->had_all_wanted = rev->is_pacing_over = false;
	atomic_store_explicit(&rev->is_external, update->is_external, memory_order_relaxed);
	set_shares_locked(rev, update);
	pthread_mutex_unlock(&rev->lock);
	instance_set_unref(&old);
}

void
limiter_set_instances(struct revision *rev, struct instance_set *set,
		      uint32_t container_concurrency, uint32_t max_requests)
{
	struct instance_set *old;

	pthread_mutex_lock(&rev->lock);
	old = rev->set;
	rev->set = set;
	set_shares_locked(rev,
			  &(struct limiter_update){.container_concurrency = container_concurrency,
						   .max_requests = max_requests,
						   .is_counted = rev->is_counted});
	pthread_mutex_unlock(&rev->lock);
	instance_set_unref(&old);
}

void
limiter_tick(struct revision *rev)
{
	bool had_all_wanted;

	pthread_mutex_lock(&rev->lock);
	had_all_wanted = rev->had_all_wanted;
	rev->had_all_wanted = rev->wanted > 0 && limiter_open_instances_locked(rev) >= rev->wanted;
	rev->is_pacing_over = had_all_wanted && rev->had_all_wanted;
	if (rev->is_pacing_over)
		limiter_grant_all_locked(rev);
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
	limiter_grant_all_locked(inst->rev);
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
	w = limiter_head_locked(rev);
	if (w != NULL) {
		is_paced = limiter_is_pacing_locked(rev);
		is_taken = (!is_paced || inst->paced < rev->pace) && slots_try_take(&inst->slots);
	}
	if (is_taken) {
		limiter_use_locked(rev, inst);
		inst->paced += is_paced;
		w->fd = fd;
		w->has_permit = true;
		limiter_grant_locked(rev, w, inst, is_paced);
	}
	limiter_grant_all_locked(rev);
	pthread_mutex_unlock(&rev->lock);
	return is_taken;
}

static void
resume_locked(struct revision *rev, struct instance *const *v, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		slots_open(&v[i]->slots, SLOTS_REV_DRAIN);
	limiter_grant_all_locked(rev);
}

/* Main thread only.  No other thread changes rev->unlisted, so no lock is needed. */
static bool
is_unlisted_busy(const struct revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->unlisted, node, tmp)
		if (instance_in_flight(container_of(node, struct instance, node)) > 0)
			return true;
	return false;
}

bool
limiter_try_drain(struct revision *rev)
{
	/* Those that this call closes, not an earlier drain.  Only this thread changes rev->set. */
	struct instance **closed = xcalloc(rev->set->n, sizeof(struct instance *));
	bool is_idle = !is_unlisted_busy(rev);
	uint32_t i, n = 0;

	pthread_mutex_lock(&rev->lock);
	is_idle = is_idle && list_empty(&rev->queue);
	for (i = 0; is_idle && i < rev->set->n; i++) {
		struct instance *inst = rev->set->v[i];
		uint64_t before = slots_close(&inst->slots, SLOTS_REV_DRAIN);

		if ((before & SLOTS_REV_DRAIN) == 0)
			closed[n++] = inst;
		is_idle = slots_count(before) == 0;
	}
	if (!is_idle)
		resume_locked(rev, closed, n);
	pthread_mutex_unlock(&rev->lock);
	free(closed);
	return is_idle;
}

void
limiter_resume(struct revision *rev, const struct instance_set *set)
{
	pthread_mutex_lock(&rev->lock);
	resume_locked(rev, set->v, set->n);
	pthread_mutex_unlock(&rev->lock);
}

void
limiter_set_failure(struct revision *rev, const struct msg_failure *from, int64_t now_ns)
{
	struct failure *old, *f = from == NULL ? NULL : failure_new(from, now_ns);
	struct waiter *w;

	pthread_mutex_lock(&rev->lock);
	old = rev->failure;
	rev->failure = f;
	if (f != NULL && !f->is_parking && limiter_open_instances_locked(rev) == 0)
		while ((w = limiter_head_locked(rev)) != NULL)
			limiter_grant_locked(rev, w, NULL, false);
	pthread_mutex_unlock(&rev->lock);
	failure_unref(&old);
}
