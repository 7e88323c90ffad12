/* The ceiling over all revisions (max_instances): while the wishes do not fit, each gets
 * its share of it (ceiling.h), and is told of more only as others are told of less. */
#include <stdlib.h>
#include <string.h>

#include "autoscaler/brain/ceiling.h"
#include "autoscaler/reconcile/reconcile_impl.h"
#include "common/clk.h"
#include "common/log.h"

static bool
fits(const struct reconcile *r)
{
	return r->conf.max_instances == 0 || r->claim_total <= r->conf.max_instances;
}

void
reconcile_note_claim(struct reconcile *r, const struct scaled_revision *rev,
		     const struct wanted *before)
{
	r->is_share_due |= rev->wanted.claim != before->claim || rev->wanted.need != before->need;
	r->claim_total += (uint64_t)rev->wanted.claim - before->claim;
}

/* Until the tail shares out, no more than before. */
uint32_t
reconcile_allotted(const struct reconcile *r, const struct scaled_revision *rev)
{
	if (fits(r) && !r->is_tight)
		return WANTED_ALL;
	return MIN(rev->wanted.allotted, rev->wanted.n);
}

static void
allot(struct reconcile *r, struct scaled_revision *rev, uint32_t share)
{
	const struct wanted_facts f = reconcile_facts(r, rev, clk_now());

	if (!wanted_allot(&rev->wanted, share, &f))
		return;
	rev->is_changed = true;
	reconcile_mark(r, rev, false);
}

static void
note_tightness(struct reconcile *r)
{
	bool is_tight = !fits(r);

	if (is_tight && !r->is_tight)
		log_warn(NULL, "more instances are wanted than max_instances allows",
			 "claimed=%llu max_instances=%u", (unsigned long long)r->claim_total,
			 r->conf.max_instances);
	else if (!is_tight && r->is_tight)
		log_info(NULL, "all instances that are wanted fit under max_instances again",
			 "claimed=%llu", (unsigned long long)r->claim_total);
	r->is_tight = is_tight;
}

/* When it was asked for an instance first, or used last. */
static int64_t
since(const struct scaled_revision *rev, int64_t now)
{
	return rev->scale_sent == 0 ? rev->woken_ns : now - (int64_t)(rev->view.idle_s * CLK_S);
}

void
reconcile_share(struct reconcile *r)
{
	int64_t now = clk_now();
	struct ceiling_item *v;
	struct list_node *node, *tmp;
	size_t n = 0, i;

	if (!r->is_share_due || (fits(r) && !r->is_tight))
		return;
	r->is_share_due = false;
	note_tightness(r);
	v = xcalloc(r->active.n + 1, sizeof *v);
	LIST_FOREACH(&r->active, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, active);

		if (!rev->is_external)
			v[n++] = (struct ceiling_item){.owner = rev,
						       .wish = rev->wanted.claim,
						       .need = rev->wanted.need,
						       .has = rev->scale_sent,
						       .since_ns = since(rev, now)};
	}
	ceiling_share(v, n, r->conf.max_instances == 0 ? UINT64_MAX : r->conf.max_instances);
	for (i = 0; i < n; i++)
		allot(r, v[i].owner, v[i].share);
	free(v);
}

uint32_t
reconcile_room(const struct reconcile *r, const struct scaled_revision *rev)
{
	uint64_t others = r->sent_total - rev->scale_sent;

	if (r->conf.max_instances == 0)
		return rev->wanted.n;
	if (others >= r->conf.max_instances)
		return 0;
	return (uint32_t)MIN((uint64_t)rev->wanted.n, r->conf.max_instances - others);
}

/* What holds rev back, for people; NULL: nothing does.  The caller's. */
static char *
hindrance(const struct reconcile *r, const struct scaled_revision *rev)
{
	bool is_waited_for = rev->view.parked > 0 || rev->view.is_asked;

	if (!is_waited_for || rev->wanted.claim == 0 || !rev->is_adopted || rev->scale_sent > 0 ||
	    reconcile_room(r, rev) > 0)
		return NULL;
	return xasprintf("max_instances = %u is reached, and %s", r->conf.max_instances,
			 rev->wanted.n == 0
				 ? "all instances of other revisions are in use or have to stay"
				 : "an instance of another revision has to leave first");
}

void
reconcile_note_held_back(const struct reconcile *r, struct scaled_revision *rev)
{
	char *why = hindrance(r, rev), *past = rev->held_back;

	rev->held_back = why;
	if (why == NULL ? past == NULL : past != NULL && strcmp(why, past) == 0) {
		free(past);
		return;
	}
	rev->is_changed = true;
	rev->held_backs += past == NULL;
	free(past);
	if (why == NULL)
		log_info(NULL, "held back no longer", "revision=%s wanted=%u", scaled_name(rev),
			 rev->wanted.n);
	else if (rev->wanted.n > 0)
		log_info(NULL, "held back for a moment", "revision=%s parked=%u why=%s",
			 scaled_name(rev), rev->view.parked, why);
	else
		log_warn(NULL, "held back: requests wait, and nothing may be started",
			 "revision=%s parked=%u why=%s", scaled_name(rev), rev->view.parked, why);
}

void
reconcile_room_made(struct reconcile *r)
{
	struct list_node *node, *tmp;

	if (r->conf.max_instances == 0)
		return;
	LIST_FOREACH(&r->active, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, active);

		if (rev->scale_sent < rev->wanted.n)
			reconcile_mark(r, rev, false);
	}
}
