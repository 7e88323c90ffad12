/* Activators come and go; while one is not heard, nothing is scaled down. */
#include <stdlib.h>
#include <string.h>

#include "autoscaler/reconcile/reconcile_impl.h"
#include "autoscaler/reconcile/scaledown.h"
#include "common/clk.h"
#include "common/log.h"

#define GHOSTS_MOST 64
#define SILENCE (5 * CLK_S) /* that many seconds' reports are missing */

/* --- those that vanished --- */

static bool
has_ghost(const struct reconcile *r, const struct scaled_revision *rev, int64_t now)
{
	size_t i;

	for (i = 0; i < r->ghosts_n; i++)
		if (now - r->ghosts[i].gone_ns < rev->conf->scaling.stable_window)
			return true;
	return false;
}

static void
lay_ghost(struct reconcile *r, size_t i)
{
	struct scaled_revision *rev;
	size_t at = 0;

	while ((rev = reconcile_next(r, &at)) != NULL)
		reports_drop(&rev->reports, r->ghosts[i].serial);
	free(r->ghosts[i].id);
	r->ghosts[i] = r->ghosts[--r->ghosts_n];
}

static void
lay_ghosts_named(struct reconcile *r, const char *id)
{
	size_t i;

	for (i = r->ghosts_n; i-- > 0;)
		if (strcmp(r->ghosts[i].id, id) == 0)
			lay_ghost(r, i);
}

/* It will not come back to say whether its leases hold. */
static void
keep_leases(struct reconcile *r, const struct reconcile_ghost *ghost)
{
	struct scaled_revision *rev;
	size_t at = 0;

	while ((rev = reconcile_next(r, &at)) != NULL)
		scaled_keep_leases(rev, ghost->serial);
}

static void
lay_old_ghosts(struct reconcile *r, int64_t now)
{
	size_t i;

	for (i = r->ghosts_n; i-- > 0;)
		if (now - r->ghosts[i].gone_ns >= r->longest_window) {
			keep_leases(r, &r->ghosts[i]);
			lay_ghost(r, i);
		}
}

/* --- those that are there --- */

/* Something that concerns all of them has changed. */
static void
mark_active(struct reconcile *r)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&r->active, node, tmp)
		reconcile_mark(r, container_of(node, struct scaled_revision, active), true);
}

struct reconcile_peer *
reconcile_find_peer(struct reconcile *r, uint64_t serial)
{
	size_t i;

	for (i = 0; i < r->peers_n; i++)
		if (r->peers[i].serial == serial)
			return &r->peers[i];
	return NULL;
}

void
reconcile_peer_up(struct reconcile *r, uint64_t serial, const char *id)
{
	struct list_node *node, *tmp;

	CHECK(reconcile_find_peer(r, serial) == NULL);
	lay_ghosts_named(r, id);
	r->peers = xrealloc(r->peers, (r->peers_n + 1) * sizeof *r->peers);
	r->peers[r->peers_n++] = (struct reconcile_peer){
		.serial = serial, .id = xstrdup(id), .report = 1, .since_ns = clk_now()};
	LIST_FOREACH(&r->active, node, tmp)
		scaledown_peer_up(r, container_of(node, struct scaled_revision, active), serial);
	mark_active(r);
}

static bool
is_connected(const struct reconcile *r, const char *id)
{
	size_t i;

	for (i = 0; i < r->peers_n; i++)
		if (strcmp(r->peers[i].id, id) == 0)
			return true;
	return false;
}

/* p is out of the table; its id becomes the ghost's. */
static void
add_ghost(struct reconcile *r, struct reconcile_peer *p)
{
	if (r->ghosts_n == GHOSTS_MOST)
		lay_ghost(r, 0); /* one is enough to hold all; this is only about memory */
	r->ghosts = xrealloc(r->ghosts, (r->ghosts_n + 1) * sizeof *r->ghosts);
	r->ghosts[r->ghosts_n++] = (struct reconcile_ghost){
		.serial = p->serial, .id = p->id, .gone_ns = clk_now()};
}

void
reconcile_peer_down(struct reconcile *r, uint64_t serial)
{
	struct reconcile_peer *p = reconcile_find_peer(r, serial), gone;
	struct list_node *node, *tmp;
	bool is_back;

	CHECK(p != NULL);
	gone = *p;
	*p = r->peers[--r->peers_n];
	is_back = is_connected(r, gone.id); /* by a newer link */
	LIST_FOREACH(&r->active, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, active);

		scaledown_peer_down(r, rev, serial);
		if (is_back)
			reports_drop(&rev->reports, serial);
		else
			reports_vanish(&rev->reports, serial);
	}
	if (is_back)
		free(gone.id);
	else
		add_ghost(r, &gone);
	mark_active(r); /* drains are taken back: see may_shrink() */
}

/* --- silence --- */

/* Connected, but without a word: what it has in flight is not known. */
static bool
is_silent(const struct reconcile_peer *p, int64_t now)
{
	return now - MAX(p->reported_ns, p->since_ns) > SILENCE;
}

static bool
is_someone_silent(const struct reconcile *r, int64_t now)
{
	size_t i;

	for (i = 0; i < r->peers_n; i++)
		if (is_silent(&r->peers[i], now))
			return true;
	return false;
}

/* Silence is not idleness. */
bool
reconcile_may_shrink(const struct reconcile *r, const struct scaled_revision *rev, int64_t now)
{
	return r->peers_n > 0 && !is_someone_silent(r, now) && !has_ghost(r, rev, now);
}

void
reconcile_watch_peers(struct reconcile *r, int64_t now)
{
	size_t i;

	lay_old_ghosts(r, now);
	for (i = 0; i < r->peers_n; i++) {
		struct reconcile_peer *p = &r->peers[i];

		if (p->is_silence_told || !is_silent(p, now))
			continue;
		p->is_silence_told = true;
		log_warn(NULL, "activator is connected but reports nothing, no scale-down",
			 "activator=%s", p->id);
	}
}
