/* The ceiling over all revisions (max_instances): while the wishes do not fit, each gets
 * its share of it (ceiling.h), and is told of more only as others are told of less. */
#include <stdlib.h>

#include "autoscaler/ceiling.h"
#include "autoscaler/reconcile_impl.h"
#include "common/clk.h"
#include "common/log.h"

static bool
fits(const struct reconcile *r)
{
	return r->conf.max_instances == 0 || r->wish_total <= r->conf.max_instances;
}

static void
set_wanted(struct revision *rev, uint32_t wanted)
{
	if (wanted == rev->wanted)
		return;
	rev->wanted = wanted;
	rev->is_changed = true;
}

void
reconcile_wish(struct reconcile *r, struct revision *rev, uint32_t wish)
{
	r->is_share_due |= wish != rev->wish;
	r->wish_total += (uint64_t)wish - rev->wish;
	rev->wish = wish;
	if (fits(r) && !r->is_tight)
		set_wanted(rev, wish);
	else if (rev->wanted < wish)
		rev->out.rule = DECIDE_MAX_INSTANCES;
}

/* Silence holds here as well: what may not shrink keeps what it has. */
static void
take_share(struct reconcile *r, struct revision *rev, uint32_t share)
{
	if (!reconcile_may_shrink(r, rev, clk_now()))
		share = MAX(share, rev->told);
	if (share < rev->wish)
		rev->out.rule = DECIDE_MAX_INSTANCES;
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

void
reconcile_share(struct reconcile *r)
{
	struct ceiling_item *v;
	struct list_node *node, *tmp;
	size_t n = 0, i;

	if (!r->is_share_due || (fits(r) && !r->is_tight))
		return;
	r->is_share_due = false;
	note_tightness(r);
	v = xcalloc(r->active.n + 1, sizeof *v);
	LIST_FOREACH(&r->active, node, tmp) {
		struct revision *rev = container_of(node, struct revision, active);

		if (!rev->is_external)
			v[n++] = (struct ceiling_item){
				.owner = rev, .wish = rev->wish, .has = rev->told};
	}
	ceiling_share(v, n, r->conf.max_instances == 0 ? UINT64_MAX : r->conf.max_instances);
	for (i = 0; i < n; i++)
		take_share(r, v[i].owner, v[i].share);
	free(v);
}

uint32_t
reconcile_room(const struct reconcile *r, const struct revision *rev)
{
	uint64_t others = r->told_total - rev->told;

	if (r->conf.max_instances == 0)
		return rev->wanted;
	if (others >= r->conf.max_instances)
		return 0;
	return (uint32_t)MIN((uint64_t)rev->wanted, r->conf.max_instances - others);
}

void
reconcile_room_made(struct reconcile *r)
{
	struct list_node *node, *tmp;

	if (r->conf.max_instances == 0)
		return;
	LIST_FOREACH(&r->active, node, tmp) {
		struct revision *rev = container_of(node, struct revision, active);

		if (rev->told < rev->wanted)
			reconcile_mark(r, rev, false);
	}
}
