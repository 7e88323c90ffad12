#include "autoscaler/reconcile/quota.h"

#include <stdlib.h>

#include "autoscaler/brain/ceiling.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/text.h"

void
quota_set(struct quota *q, uint32_t max_instances)
{
	q->max_instances = max_instances;
	q->is_due = true;
}

static bool
fits(const struct quota *q)
{
	return q->max_instances == 0 || q->claimed <= q->max_instances;
}

/* --- claims and shares --- */

void
quota_claim(struct quota *q, const struct scaled_revision *rev, const struct wanted *before)
{
	q->is_due |= rev->wanted.claim != before->claim || rev->wanted.need != before->need;
	q->claimed += (uint64_t)rev->wanted.claim - before->claim;
}

uint32_t
quota_allotted(const struct quota *q, const struct scaled_revision *rev)
{
	if (fits(q) && !q->is_tight)
		return WANTED_ALL;
	return MIN(rev->wanted.allotted, rev->wanted.n);
}

static void
note_tightness(struct quota *q)
{
	bool is_tight = !fits(q);

	if (is_tight && !q->is_tight)
		log_warn(NULL, "more instances are wanted than max_instances allows",
			 "claimed=%llu max_instances=%u", (unsigned long long)q->claimed,
			 q->max_instances);
	else if (!is_tight && q->is_tight)
		log_info(NULL, "all instances that are wanted fit under max_instances again",
			 "claimed=%llu", (unsigned long long)q->claimed);
	q->is_tight = is_tight;
}

/* As ceiling_item.since_ns. */
static int64_t
since(const struct scaled_revision *rev, int64_t now_ns)
{
	return rev->scale_sent == 0 ? rev->woken_ns : now_ns - (int64_t)(rev->view.idle_s * CLK_S);
}

static struct ceiling_item *
claims_of(struct scaled_set *set, int64_t now_ns, size_t *n)
{
	struct ceiling_item *v = xcalloc(set->active.n + 1, sizeof *v);
	struct list_node *node, *tmp;

	*n = 0;
	LIST_FOREACH(&set->active, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, active);

		if (!rev->is_external)
			v[(*n)++] = (struct ceiling_item){.owner = rev,
							  .claim = rev->wanted.claim,
							  .need = rev->wanted.need,
							  .has = rev->scale_sent,
							  .since_ns = since(rev, now_ns)};
	}
	return v;
}

void
quota_share(struct quota *q, struct scaled_set *set, const struct peers *peers, int64_t now_ns)
{
	struct ceiling_item *v;
	size_t n, i;

	if (!q->is_due || (fits(q) && !q->is_tight))
		return;
	q->is_due = false;
	note_tightness(q);
	v = claims_of(set, now_ns, &n);
	ceiling_share(v, n, q->max_instances == 0 ? UINT64_MAX : q->max_instances);
	for (i = 0; i < n; i++)
		if (scaled_allot(v[i].owner, v[i].share, peers, now_ns))
			scaled_set_mark_to_act(set, v[i].owner);
	free(v);
}

/* --- room --- */

void
quota_sent(struct quota *q, uint32_t before, uint32_t now)
{
	q->sent += (uint64_t)now - before;
}

uint32_t
quota_headroom(const struct quota *q, const struct scaled_revision *rev)
{
	uint64_t others = q->sent - rev->scale_sent;

	if (q->max_instances == 0)
		return UINT32_MAX;
	return others >= q->max_instances ? 0 : (uint32_t)(q->max_instances - others);
}

void
quota_mark_waiting(const struct quota *q, struct scaled_set *set)
{
	struct list_node *node, *tmp;

	if (q->max_instances == 0)
		return;
	LIST_FOREACH(&set->active, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, active);

		if (rev->scale_sent < rev->wanted.n)
			scaled_set_mark_to_act(set, rev);
	}
}

/* Why max_instances lets nothing be started for requests that wait, as part of a sentence, the
 * caller's; NULL: it does, or none wait. */
static char *
obstacle(const struct quota *q, const struct scaled_revision *rev)
{
	bool is_waited_for = rev->view.parked > 0 || rev->view.is_activation_pending;

	if (!is_waited_for || rev->wanted.claim == 0 || !rev->is_adopted || rev->scale_sent > 0 ||
	    MIN(quota_headroom(q, rev), rev->wanted.n) > 0)
		return NULL;
	return xasprintf("max_instances = %u is reached, and %s", q->max_instances,
			 rev->wanted.n == 0
				 ? "all instances of other revisions are in use or must stay"
				 : "an instance of another revision must be stopped first");
}

static void
log_held_back(const struct scaled_revision *rev)
{
	if (rev->held_back == NULL)
		log_info(NULL, "not held back by max_instances any more", "revision=%s wanted=%u",
			 scaled_name(rev), rev->wanted.n);
	else if (rev->wanted.n > 0)
		log_info(NULL, "held back until another instance stops",
			 "revision=%s parked=%u why=%s", scaled_name(rev), rev->view.parked,
			 rev->held_back);
	else
		log_warn(NULL, "held back: requests wait, and no instance may be started",
			 "revision=%s parked=%u why=%s", scaled_name(rev), rev->view.parked,
			 rev->held_back);
}

void
quota_note_held_back(const struct quota *q, struct scaled_revision *rev)
{
	char *why = obstacle(q, rev);

	if (text_equal(why, rev->held_back)) {
		free(why);
		return;
	}
	rev->is_changed = true;
	rev->held_backs += rev->held_back == NULL;
	free(rev->held_back);
	rev->held_back = why;
	log_held_back(rev);
}
