/* Uses: with max_requests each slot is taken together with the right to send one request more. */
#include "activator/limiter_impl.h"
#include "activator/share.h"

void
limiter_use_locked(struct revision *rev, struct instance *inst)
{
	uint32_t left;

	if (rev->max_requests == 0)
		return;
	left = share_use(rev->share, inst->id);
	if (left == 0)
		slots_close(&inst->slots, SLOTS_SPENT);
	if (left == 0 || left == rev->max_requests / LIMITER_LAST_USES)
		limiter_post_news(rev, &rev->is_spent_news);
}

void
limiter_unuse_locked(struct revision *rev, struct instance *inst)
{
	if (rev->max_requests == 0)
		return;
	share_unuse(rev->share, inst->id);
	if (share_uses(rev->share, inst->id) != 0)
		slots_open(&inst->slots, SLOTS_SPENT);
	if (share_uses(rev->share, inst->id) == 1) /* it was spent */
		limiter_post_news(rev, &rev->is_spent_news);
}

void
limiter_unuse(struct instance *inst)
{
	if ((atomic_load(&inst->rev->waiting) & WAITING_COUNTED) == 0)
		return;
	pthread_mutex_lock(&inst->rev->lock);
	limiter_unuse_locked(inst->rev, inst);
	pthread_mutex_unlock(&inst->rev->lock);
}

uint32_t
limiter_uses(struct instance *inst)
{
	uint32_t uses;

	pthread_mutex_lock(&inst->rev->lock);
	uses = share_uses(inst->rev->share, inst->id);
	pthread_mutex_unlock(&inst->rev->lock);
	return uses;
}

void
limiter_apply_uses_locked(struct revision *rev)
{
	uint32_t i;

	for (i = 0; i < rev->set->n; i++) {
		struct instance *inst = rev->set->v[i];

		if (share_uses(rev->share, inst->id) == 0) {
			if ((slots_close(&inst->slots, SLOTS_SPENT) & SLOTS_SPENT) == 0)
				limiter_post_news(rev, &rev->is_spent_news);
		} else {
			slots_open(&inst->slots, SLOTS_SPENT);
		}
	}
}
