#include "autoscaler/reconcile/quota.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/brain/ceiling.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/text.h"

void
quota_fini(struct quota *q)
{
	free(q->owners);
	q->owners = NULL;
	q->owners_n = 0;
}

/* --- owners --- */

static struct quota_owner *
find_owner(struct quota_owner *v, size_t n, const char *name)
{
	size_t i;

	for (i = 0; name != NULL && i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return &v[i];
	return NULL;
}

void
quota_set(struct quota *q, uint32_t max_instances, const struct owner_conf *owners, size_t owners_n,
	  struct scaled_set *set)
{
	struct quota_owner *v = xcalloc(MAX(owners_n, (size_t)1), sizeof *v);
	const struct quota_owner *old;
	struct scaled_revision *rev;
	size_t n = 0, i, at = 0;

	for (i = 0; i < owners_n; i++) {
		if (owners[i].max_instances == 0)
			continue;
		old = find_owner(q->owners, q->owners_n, owners[i].name);
		v[n++] = (struct quota_owner){.name = owners[i].name,
					      .max_instances = owners[i].max_instances,
					      .is_tight = old != NULL && old->is_tight};
	}
	while ((rev = scaled_set_next(set, &at)) != NULL)
		rev->owner = NULL;
	free(q->owners);
	q->owners = v;
	q->owners_n = n;
	q->max_instances = max_instances;
	q->is_due = true;
}

void
quota_join(struct quota *q, struct scaled_revision *rev, const char *owner)
{
	rev->owner = find_owner(q->owners, q->owners_n, owner);
	if (rev->owner == NULL)
		return;
	rev->owner->claimed += rev->wanted.claim;
	rev->owner->sent += rev->scale_sent;
}

static bool
owner_fits(const struct quota_owner *o)
{
	return o == NULL || o->claimed <= o->max_instances;
}

/* What all revisions together claim, as far as their owners may have it. */
static uint64_t
claimed_of(const struct quota *q)
{
	uint64_t claimed = q->claimed;
	size_t i;

	for (i = 0; i < q->owners_n; i++)
		if (!owner_fits(&q->owners[i]))
			claimed -= q->owners[i].claimed - q->owners[i].max_instances;
	return claimed;
}

static bool
fits(const struct quota *q)
{
	return q->max_instances == 0 || claimed_of(q) <= q->max_instances;
}

/* Does each claim fit, and did it when last shared out? */
static bool
is_ample(const struct quota *q)
{
	size_t i;

	for (i = 0; i < q->owners_n; i++)
		if (q->owners[i].is_tight || !owner_fits(&q->owners[i]))
			return false;
	return fits(q) && !q->is_tight;
}

/* --- claims and shares --- */

void
quota_claim(struct quota *q, const struct scaled_revision *rev, const struct wanted *before)
{
	uint64_t more = (uint64_t)rev->wanted.claim - before->claim;

	q->is_due |= rev->wanted.claim != before->claim || rev->wanted.need != before->need;
	q->claimed += more;
	if (rev->owner != NULL)
		rev->owner->claimed += more;
}

uint32_t
quota_allotted(const struct quota *q, const struct scaled_revision *rev)
{
	bool is_owner_ample = rev->owner == NULL ||
			      (owner_fits(rev->owner) && !rev->owner->is_tight);

	if (fits(q) && !q->is_tight && is_owner_ample)
		return WANTED_ALL;
	return MIN(rev->wanted.allotted, rev->wanted.n);
}

static void
note_owner_tightness(struct quota_owner *o)
{
	bool is_tight = !owner_fits(o);

	if (is_tight && !o->is_tight)
		log_warn(NULL, "more instances are wanted than max_instances of an owner allows",
			 "owner=%s claimed=%llu max_instances=%u", o->name,
			 (unsigned long long)o->claimed, o->max_instances);
	else if (!is_tight && o->is_tight)
		log_info(NULL,
			 "all instances that are wanted fit under max_instances of an owner again",
			 "owner=%s claimed=%llu", o->name, (unsigned long long)o->claimed);
	o->is_tight = is_tight;
}

static void
note_tightness(struct quota *q)
{
	bool is_tight = !fits(q);
	size_t i;

	if (is_tight && !q->is_tight)
		log_warn(NULL, "more instances are wanted than max_instances allows",
			 "claimed=%llu max_instances=%u", (unsigned long long)claimed_of(q),
			 q->max_instances);
	else if (!is_tight && q->is_tight)
		log_info(NULL, "all instances that are wanted fit under max_instances again",
			 "claimed=%llu", (unsigned long long)claimed_of(q));
	q->is_tight = is_tight;
	for (i = 0; i < q->owners_n; i++)
		note_owner_tightness(&q->owners[i]);
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

/* Let the owner's revisions claim no more than it may have. */
static void
share_of_owner(const struct quota_owner *o, struct ceiling_item *v, size_t n)
{
	struct ceiling_item *own = xcalloc(n + 1, sizeof *own);
	size_t own_n = 0, i;

	for (i = 0; i < n; i++) {
		const struct scaled_revision *rev = v[i].owner;

		if (rev->owner != o)
			continue;
		own[own_n] = v[i];
		own[own_n++].owner = &v[i];
	}
	ceiling_share(own, own_n, o->max_instances);
	for (i = 0; i < own_n; i++) {
		struct ceiling_item *item = own[i].owner;

		item->claim = own[i].share;
		item->need = MIN(item->need, item->claim);
	}
	free(own);
}

void
quota_share(struct quota *q, struct scaled_set *set, const struct peers *peers, int64_t now_ns)
{
	struct ceiling_item *v;
	size_t n, i;

	if (!q->is_due || is_ample(q))
		return;
	q->is_due = false;
	note_tightness(q);
	v = claims_of(set, now_ns, &n);
	for (i = 0; i < q->owners_n; i++)
		if (q->owners[i].is_tight)
			share_of_owner(&q->owners[i], v, n);
	ceiling_share(v, n, q->max_instances == 0 ? UINT64_MAX : q->max_instances);
	for (i = 0; i < n; i++) {
		struct scaled_revision *rev = v[i].owner;

		rev->wanted.is_owner_bound = v[i].share == v[i].claim;
		if (scaled_allot(rev, v[i].share, peers, now_ns))
			scaled_set_mark_to_act(set, rev);
	}
	free(v);
}

/* --- room --- */

void
quota_sent(struct quota *q, const struct scaled_revision *rev, uint32_t before, uint32_t now)
{
	q->sent += (uint64_t)now - before;
	if (rev->owner != NULL)
		rev->owner->sent += (uint64_t)now - before;
}

/* sent: by all that share the bound, the revision included. */
static uint32_t
room(uint32_t max_instances, uint64_t sent, const struct scaled_revision *rev)
{
	uint64_t others = sent - rev->scale_sent;

	return others >= max_instances ? 0 : (uint32_t)(max_instances - others);
}

static uint32_t
owner_headroom(const struct scaled_revision *rev)
{
	const struct quota_owner *o = rev->owner;

	return o == NULL ? UINT32_MAX : room(o->max_instances, o->sent, rev);
}

static uint32_t
total_headroom(const struct quota *q, const struct scaled_revision *rev)
{
	return q->max_instances == 0 ? UINT32_MAX : room(q->max_instances, q->sent, rev);
}

uint32_t
quota_headroom(const struct quota *q, const struct scaled_revision *rev)
{
	return MIN(total_headroom(q, rev), owner_headroom(rev));
}

void
quota_mark_waiting(const struct quota *q, struct scaled_set *set)
{
	struct list_node *node, *tmp;

	if (q->max_instances == 0 && q->owners_n == 0)
		return;
	LIST_FOREACH(&set->active, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, active);

		if (rev->scale_sent < rev->wanted.n)
			scaled_set_mark_to_act(set, rev);
	}
}

/* Is it the bound of its owner that holds the revision back? */
static bool
is_owners(const struct quota *q, const struct scaled_revision *rev)
{
	if (rev->owner == NULL)
		return false;
	return rev->wanted.n == 0 ? rev->wanted.is_owner_bound : total_headroom(q, rev) > 0;
}

/* Why max_instances lets nothing be started for requests that wait, as part of a sentence, the
 * caller's; NULL: it does, or none wait. */
static char *
obstacle(const struct quota *q, const struct scaled_revision *rev)
{
	bool is_waited_for = rev->view.parked > 0 || rev->view.is_activation_pending;
	const char *rest = rev->wanted.n == 0
				   ? "all instances of other revisions are in use or must stay"
				   : "an instance of another revision must be stopped first";

	if (!is_waited_for || rev->wanted.claim == 0 || !rev->is_adopted || rev->scale_sent > 0 ||
	    MIN(quota_headroom(q, rev), rev->wanted.n) > 0)
		return NULL;
	if (is_owners(q, rev))
		return xasprintf("max_instances = %u of the owner %s is reached, and %s",
				 rev->owner->max_instances, rev->owner->name, rest);
	return xasprintf("max_instances = %u is reached, and %s", q->max_instances, rest);
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
	rev->counts.held_backs += rev->held_back == NULL;
	free(rev->held_back);
	rev->held_back = why;
	log_held_back(rev);
}
