#include "autoscaler/process/fleet.h"

#include <stdlib.h>
#include <string.h>

/* Some programs listen at the second one only: "localhost" may mean it to them. */
static char loopback[] = "127.0.0.1", loopback_too[] = "::1";

struct fleet *
fleet_new(const char *revision)
{
	struct fleet *f = xcalloc(1, sizeof *f);

	f->revision = xstrdup(revision);
	crash_init(&f->crash);
	list_init(&f->members);
	return f;
}

void
fleet_free(struct fleet **fp)
{
	struct fleet *f = *fp;
	struct list_node *node, *tmp;

	*fp = NULL;
	if (f == NULL)
		return;
	CHECK(!list_linked(&f->node));
	LIST_FOREACH(&f->members, node, tmp) {
		struct member *m = container_of(node, struct member, node);

		fleet_remove(f, &m);
	}
	str_list_fini(&f->victims);
	free(f->view);
	free(f->launch);
	free(f->revision);
	free(f);
}

void
fleet_set_scale(struct fleet *f, uint32_t n, const char *const *victims, size_t victims_n)
{
	f->scale = n;
	f->has_scale = true;
	/* str_list_set() copies: it does not write to what victims points to */
	str_list_set(&f->victims, (char *const *)(uintptr_t)victims, victims_n);
}

struct member *
fleet_add(struct fleet *f, const char *id, uint16_t port)
{
	struct member *m = xcalloc(1, sizeof *m);

	m->fleet = f;
	m->id = xstrdup(id);
	m->port = port;
	m->cpu_s = -1;
	log_tag_set(&m->tag, "instance=%s", id);
	list_push(&f->members, &m->node);
	f->is_dirty = true;
	return m;
}

void
fleet_remove(struct fleet *f, struct member **mp)
{
	struct member *m = *mp;

	*mp = NULL;
	list_remove(&f->members, &m->node);
	CHECK(m->liveness == NULL && m->refusal == NULL);
	free(m->launch);
	free(m->id);
	free(m);
	f->is_dirty = true;
}

struct member *
fleet_find(const struct fleet *f, const char *id)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->members, node, tmp) {
		struct member *m = container_of(node, struct member, node);

		if (strcmp(m->id, id) == 0)
			return m;
	}
	return NULL;
}

static bool
is_live(const struct member *m)
{
	return (m->phase == MEMBER_STARTING || m->phase == MEMBER_RUNNING) && !m->is_retired;
}

static bool
is_outdated(const struct member *m)
{
	return m->launch != NULL && m->fleet->launch != NULL &&
	       strcmp(m->launch, m->fleet->launch) != 0;
}

static bool
is_current(const struct member *m)
{
	return is_live(m) && !is_outdated(m);
}

uint32_t
fleet_current(const struct fleet *f)
{
	struct list_node *node, *tmp;
	uint32_t n = 0;

	LIST_FOREACH(&f->members, node, tmp)
		n += is_current(container_of(node, struct member, node));
	return n;
}

uint32_t
fleet_outdated(const struct fleet *f)
{
	struct list_node *node, *tmp;
	uint32_t n = 0;

	LIST_FOREACH(&f->members, node, tmp) {
		const struct member *m = container_of(node, struct member, node);

		n += is_live(m) && is_outdated(m);
	}
	return n;
}

uint32_t
fleet_excess(const struct fleet *f)
{
	uint32_t outdated = fleet_outdated(f), ready = 0, kept;
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->members, node, tmp) {
		const struct member *m = container_of(node, struct member, node);

		ready += is_current(m) && m->is_ready;
	}
	kept = f->scale > ready ? f->scale - ready : 0;
	return outdated > kept ? outdated - kept : 0;
}

bool
fleet_has_ready(const struct fleet *f)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->members, node, tmp) {
		const struct member *m = container_of(node, struct member, node);

		if (is_live(m) && m->is_ready)
			return true;
	}
	return false;
}

enum crash_stage
fleet_stage(const struct member *m, int64_t now_ns)
{
	if (m->has_served)
		return CRASH_PROVEN;
	if (m->ready_ns == 0)
		return CRASH_STARTING;
	return now_ns - m->ready_ns >= CRASH_CALM_NS ? CRASH_PROVEN : CRASH_UNPROVEN;
}

bool
fleet_has_proven(const struct fleet *f, int64_t now_ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->members, node, tmp) {
		const struct member *m = container_of(node, struct member, node);

		if (is_current(m) && m->is_ready && fleet_stage(m, now_ns) == CRASH_PROVEN)
			return true;
	}
	return false;
}

uint32_t
fleet_permitted(const struct fleet *f, int64_t now_ns)
{
	bool is_doubtful = f->crash.early_ends > 0 && !fleet_has_proven(f, now_ns);
	uint32_t outdated = fleet_outdated(f), n = f->scale;
	uint32_t most = f->scale + MAX(f->scale / 4, 1u);

	if (outdated > 0)
		n = MIN(n, most > outdated ? most - outdated : 0);
	return is_doubtful ? MIN(n, 1) : n;
}

/* When the member is proven if it lives on; 0: it is, or it is not ready. */
static int64_t
calm_ns(const struct member *m)
{
	return is_live(m) && m->is_ready && !m->has_served ? m->ready_ns + CRASH_CALM_NS : 0;
}

static int64_t
earlier(int64_t a_ns, int64_t b_ns)
{
	return a_ns == 0 || (b_ns != 0 && b_ns < a_ns) ? b_ns : a_ns;
}

int64_t
fleet_start_deadline(const struct member *m, int64_t heard_ns)
{
	const struct revision_conf *conf = m->fleet->conf;

	if (!is_live(m) || m->ready_ns != 0 || heard_ns == 0 || conf == NULL ||
	    conf->launch.start_timeout == 0)
		return 0;
	return MAX(m->added_ns, heard_ns) + conf->launch.start_timeout;
}

int64_t
fleet_due_ns(const struct fleet *f, int64_t heard_ns)
{
	int64_t due = f->crash.until_ns;
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->members, node, tmp) {
		const struct member *m = container_of(node, struct member, node);

		if (f->crash.early_ends > 0)
			due = earlier(due, calm_ns(m));
		due = earlier(due, fleet_start_deadline(m, heard_ns));
		due = earlier(due, m->verdict_ns);
	}
	return due;
}

bool
fleet_is_victim(const struct member *m)
{
	const struct str_list *l = &m->fleet->victims;
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->v[i], m->id) == 0)
			return true;
	return false;
}

/* The list is in the order of the starts: the last one found is the youngest. */
struct member *
fleet_next_victim(const struct fleet *f, bool want_outdated)
{
	struct list_node *node, *tmp;
	struct member *best = NULL;
	size_t i;

	for (i = 0; i < f->victims.n; i++) {
		struct member *m = fleet_find(f, f->victims.v[i]);

		if (m != NULL && is_live(m) && is_outdated(m) == want_outdated)
			return m;
	}
	LIST_FOREACH(&f->members, node, tmp) {
		struct member *m = container_of(node, struct member, node);

		if (is_live(m) && is_outdated(m) == want_outdated &&
		    (best == NULL || !m->is_ready || best->is_ready))
			best = m;
	}
	return best;
}

static enum instance_state
state_of(const struct member *m)
{
	if (m->phase == MEMBER_STOPPING)
		return INSTANCE_STOPPING;
	return m->is_ready ? INSTANCE_READY : INSTANCE_STARTING;
}

/* The youngest members that start beyond the scale do so in place of outdated ones. */
static void
mark_spares(struct fleet *f)
{
	uint32_t n = fleet_current(f) + fleet_outdated(f);
	size_t i;

	for (i = f->view_n; i-- > 0 && n > f->scale;)
		if (f->view[i].state == INSTANCE_STARTING && !f->view[i].is_retired &&
		    !is_outdated(fleet_find(f, f->view[i].id))) {
			f->view[i].is_spare = true;
			n--;
		}
}

struct driver_view
fleet_view(struct fleet *f, bool is_known)
{
	struct list_node *node, *tmp;

	f->view = xrealloc(f->view, (f->members.n + 1) * sizeof *f->view);
	f->view_n = 0;
	LIST_FOREACH(&f->members, node, tmp) {
		const struct member *m = container_of(node, struct member, node);

		if (m->phase == MEMBER_ENDED)
			continue;
		f->view[f->view_n++] = (struct driver_instance){
			.id = m->id,
			.address = loopback,
			.port = m->port,
			.alternate = loopback_too,
			.state = state_of(m),
			.is_retired = m->is_retired,
			.started_ns = m->started_ns,
			.cpu_s = m->cpu_s,
			.memory_bytes = m->memory_bytes,
		};
	}
	if (fleet_outdated(f) > 0)
		mark_spares(f);
	return (struct driver_view){
		.revision = f->revision, .is_known = is_known, .v = f->view, .n = f->view_n};
}
