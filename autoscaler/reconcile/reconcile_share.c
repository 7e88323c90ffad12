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
	return r->conf.max_instances == 0 || r->wish_total <= r->conf.max_instances;
}

static void
set_wanted(struct scaled_revision *rev, uint32_t wanted)
{
	if (wanted == rev->wanted)
		return;
	rev->wanted = wanted;
	rev->is_changed = true;
}

void
reconcile_wish(struct reconcile *r, struct scaled_revision *rev, uint32_t wish, uint32_t need)
{
	r->is_share_due |= wish != rev->wish || need != rev->need;
	r->wish_total += (uint64_t)wish - rev->wish;
	rev->wish = wish;
	rev->need = need;
	if (fits(r) && !r->is_tight)
		set_wanted(rev, wish);
	else if (rev->wanted < wish)
		rev->out.rule = DECIDE_MAX_INSTANCES;
}

/* Silence holds here as well: what may not shrink keeps what it has. */
static void
take_share(struct reconcile *r, struct scaled_revision *rev, uint32_t share)
{
	if (!reconcile_may_shrink(r, rev, clk_now()))
		share = MAX(share, rev->told);
	rev->out.rule = share < rev->wish ? DECIDE_MAX_INSTANCES : rev->rule;
	if (share == rev->wanted)
		return;
	set_wanted(rev, share);
	reconcile_mark(r, rev, false);
}

static void
note_tightness(struct reconcile *r)
{
	bool is_tight = !fits(r);

	if (is_tight && !r->is_tight)
		log_warn(NULL, "more instances are wished for than max_instances lets be",
			 "wished=%llu max_instances=%u", (unsigned long long)r->wish_total,
			 r->conf.max_instances);
	else if (!is_tight && r->is_tight)
		log_info(NULL, "all wishes fit under max_instances again", "wished=%llu",
			 (unsigned long long)r->wish_total);
	r->is_tight = is_tight;
}

/* When it was asked for an instance first, or used last. */
static int64_t
since(const struct scaled_revision *rev, int64_t now)
{
	return rev->told == 0 ? rev->woken_ns : now - (int64_t)(rev->view.idle_s * CLK_S);
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
						       .wish = rev->wish,
						       .need = rev->need,
						       .has = rev->told,
						       .since_ns = since(rev, now)};
	}
	ceiling_share(v, n, r->conf.max_instances == 0 ? UINT64_MAX : r->conf.max_instances);
	for (i = 0; i < n; i++)
		take_share(r, v[i].owner, v[i].share);
	free(v);
}

uint32_t
reconcile_room(const struct reconcile *r, const struct scaled_revision *rev)
{
	uint64_t others = r->told_total - rev->told;

	if (r->conf.max_instances == 0)
		return rev->wanted;
	if (others >= r->conf.max_instances)
		return 0;
	return (uint32_t)MIN((uint64_t)rev->wanted, r->conf.max_instances - others);
}

/* What holds rev back, for people; NULL: nothing does.  The caller's. */
static char *
hindrance(const struct reconcile *r, const struct scaled_revision *rev)
{
	bool is_waited_for = rev->view.parked > 0 || rev->view.is_asked;

	if (!is_waited_for || rev->wish == 0 || !rev->is_told || rev->told > 0 ||
	    reconcile_room(r, rev) > 0)
		return NULL;
	return xasprintf("max_instances = %u is reached, and %s", r->conf.max_instances,
			 rev->wanted == 0
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
			 rev->wanted);
	else if (rev->wanted > 0)
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

		if (rev->told < rev->wanted)
			reconcile_mark(r, rev, false);
	}
}
