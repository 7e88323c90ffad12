#include "activator/world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activator/limiter.h"
#include "activator/probe.h"
#include "activator/route.h"
#include "activator/waitpage.h"
#include "activator/worker.h"
#include "common/clk.h"
#include "common/file.h"
#include "common/hmap.h"
#include "common/text.h"

#define PAGE_MOST ((size_t)256 << 10) /* bytes of a waiting page */
#define GONE_MS 1000		      /* until the client may ask again, and hear 404 */

struct world {
	struct loop *loop;
	struct worker *const *workers;
	unsigned workers_n;
	struct prober *prober;
	void (*on_demand)(struct revision *, void *arg);
	void *arg;
	struct hmap revisions; /* name → struct revision, a reference */
	struct hmap instances; /* id → struct instance, borrowed from its revision's list */
	struct msg_service *services; /* between begin and end */
	size_t services_n;
	bool is_building, is_described;
	int64_t generation;
};

struct world *
world_new(struct loop *loop, struct worker *const *workers, unsigned workers_n,
	  struct prober *prober, void (*on_demand)(struct revision *, void *arg), void *arg)
{
	struct world *w = xcalloc(1, sizeof *w);

	w->loop = loop;
	w->workers = workers;
	w->workers_n = workers_n;
	w->prober = prober;
	w->on_demand = on_demand;
	w->arg = arg;
	hmap_init(&w->revisions);
	hmap_init(&w->instances);
	return w;
}

struct revision *
world_revision(const struct world *w, const char *name)
{
	return hmap_find(&w->revisions, name);
}

struct instance *
world_instance(const struct world *w, const char *id)
{
	return hmap_find(&w->instances, id);
}

struct revision *
world_next(const struct world *w, size_t *at)
{
	const char *name;
	void *rev;

	return hmap_next(&w->revisions, at, &name, &rev) ? rev : NULL;
}

bool
world_is_described(const struct world *w)
{
	return w->is_described;
}

int64_t
world_generation(const struct world *w)
{
	return w->generation;
}

/* --- instances --- */

static void
post_sets(struct world *w, struct revision *rev, struct instance_set *set)
{
	unsigned i;

	for (i = 0; i < w->workers_n; i++)
		worker_post_set(w->workers[i], rev, set);
}

/* It is gone from the list: nothing new goes there; what is in flight keeps it. */
static void
forget_instance(struct world *w, struct instance *inst)
{
	inst->is_listed = false;
	prober_forget(w->prober, inst);
	limiter_close(inst, SLOTS_STOPPING);
	hmap_remove(&w->instances, inst->id);
	list_remove(&inst->rev->instances, &inst->node);
	instance_unref(&inst);
}

static void
set_state(struct instance *inst, enum instance_state state)
{
	if (inst->state == INSTANCE_READY && state == INSTANCE_STARTING) {
		/* The platform takes its word back. */
		limiter_close(inst, SLOTS_UNREADY);
		inst->is_answering = false;
	}
	if (state == INSTANCE_STOPPING)
		limiter_close(inst, SLOTS_STOPPING);
	else if (inst->state == INSTANCE_STOPPING)
		limiter_open(inst, SLOTS_STOPPING);
	inst->state = state;
}

static struct instance *
add_instance(struct world *w, struct revision *rev, const struct msg_instance *m)
{
	struct instance *inst;
	struct addr addr;
	struct err e;

	if (addr_set(&addr, m->address, m->port, &e) < 0) {
		log_warn(&rev->tag, "instance has no address that can be used",
			 "instance=%s err=%s", m->id, e.text);
		return NULL;
	}
	inst = instance_new(rev, m->id, &addr);
	list_push(&rev->instances, &inst->node);
	hmap_put(&w->instances, m->id, inst);
	activation_stamp(&rev->activation.addressed_ns);
	return inst;
}

static bool
is_at(const struct instance *inst, const struct msg_instance *m)
{
	struct addr addr;

	return addr_set(&addr, m->address, m->port, NULL) == 0 && addr_equal(&addr, &inst->addr);
}

static void
take_instance(struct world *w, struct revision *rev, const struct msg_instance *m)
{
	struct instance *inst = world_instance(w, m->id);

	if (m->address == NULL)
		return; /* it will be told again, with one */
	if (inst != NULL && inst->rev != rev) {
		log_warn(&rev->tag, "instance belongs to another revision", "instance=%s other=%s",
			 m->id, inst->rev->name);
		return;
	}
	if (inst != NULL && !is_at(inst, m)) {
		log_warn(&inst->tag, "instance has moved", "from=%s to=%s port=%u",
			 inst->address_text, m->address, m->port);
		forget_instance(w, inst);
		inst = NULL;
	}
	if (inst == NULL)
		inst = add_instance(w, rev, m);
	if (inst == NULL)
		return;
	inst->is_listed = true;
	free(inst->probe_spec);
	inst->probe_spec = text_copy(m->probe);
	set_state(inst, m->state);
}

/* Probing begins when the set is published: whoever answers can be given work. */
static void
watch_all(struct world *w, struct revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->instances, node, tmp)
		prober_watch(w->prober, container_of(node, struct instance, node));
}

static void
take_list(struct world *w, struct revision *rev, const struct msg_instances *m)
{
	struct list_node *node, *tmp;
	size_t i;

	LIST_FOREACH(&rev->instances, node, tmp)
		container_of(node, struct instance, node)->is_listed = false;
	for (i = 0; i < m->n; i++)
		take_instance(w, rev, &m->v[i]);
	LIST_FOREACH(&rev->instances, node, tmp) {
		struct instance *inst = container_of(node, struct instance, node);

		if (!inst->is_listed)
			forget_instance(w, inst);
	}
}

static struct instance_set *
set_of(const struct revision *rev)
{
	struct instance **v = xcalloc(rev->instances.n, sizeof(struct instance *));
	struct instance_set *set;
	struct list_node *node, *tmp;
	uint32_t n = 0;

	LIST_FOREACH(&rev->instances, node, tmp)
		v[n++] = container_of(node, struct instance, node);
	set = instance_set_new(v, n);
	free(v);
	return set;
}

static bool
is_same(const struct instance_set *a, const struct instance_set *b)
{
	return a->n == b->n && memcmp(a->v, b->v, a->n * sizeof(struct instance *)) == 0;
}

/* What one instance is given at once of what was parked; 0: all of it. */
static uint32_t
pace_of(double target, uint32_t burst)
{
	return target > 0 ? (uint32_t)MIN(ceil(target * burst), (double)UINT32_MAX) : 0;
}

static void
apply_instances(struct world *w, struct revision *rev, const struct msg_instances *m)
{
	struct instance_set *set;
	struct limiter_update wish = {
		.wanted = m->wanted,
		.container_concurrency = rev->limits->v.container_concurrency,
		.pace = pace_of(m->target, rev->limits->v.release_burst),
		.is_external = m->is_external,
	};

	if (m->is_known)
		take_list(w, rev, m);
	if (m->cold_start_ms > 0)
		atomic_store_explicit(&rev->cold_start_ms, (uint32_t)m->cold_start_ms,
				      memory_order_relaxed);
	set = set_of(rev);
	if (!is_same(set, rev->set)) /* only this thread writes it */
		post_sets(w, rev, set);
	limiter_update(rev, set, &wish);
	watch_all(w, rev);
	limiter_set_failure(rev, m->failure, clk_now());
}

void
world_instances(struct world *w, const struct msg_instances *m)
{
	struct revision *rev = world_revision(w, m->revision);

	if (rev == NULL)
		log_debug(NULL, "instances of an unknown revision", "revision=%s", m->revision);
	else
		apply_instances(w, rev, m);
}

/* --- the table --- */

static void
drop_services(struct world *w)
{
	size_t i;

	for (i = 0; i < w->services_n; i++) {
		struct msg m = {.type = MSG_SERVICE, .u.service = w->services[i]};

		msg_fini(&m);
	}
	free(w->services);
	w->services = NULL;
	w->services_n = 0;
}

void
world_begin(struct world *w)
{
	drop_services(w);
	w->is_building = true;
}

void
world_service(struct world *w, struct msg_service *s)
{
	if (!w->is_building)
		return;
	w->services = xrealloc(w->services, (w->services_n + 1) * sizeof *w->services);
	w->services[w->services_n++] = *s;
	*s = (struct msg_service){0};
}

static struct revision *
find(void *ctx, const char *name)
{
	struct revision *rev = world_revision(ctx, name);

	CHECK(rev != NULL); /* world_end() has made them all */
	return revision_ref(rev);
}

/* A page that cannot be read is replaced by the default one: people still see why they
 * wait. */
static char *
page(void *ctx, const struct msg_service *s)
{
	struct err e;
	char *text;
	size_t n;

	(void)ctx;
	if (strcmp(s->waiting_page, "default") == 0)
		return xstrdup(waitpage_default);
	text = file_read(s->waiting_page, PAGE_MOST, &n, &e);
	if (text != NULL && n > 0)
		return text;
	if (text != NULL)
		err_set(&e, 0, "%s is empty", s->waiting_page);
	free(text);
	log_warn(NULL, "no waiting page, using the default one", "service=%s err=%s", s->name,
		 e.text);
	return xstrdup(waitpage_default);
}

static void
describe(struct world *w, const struct msg_revision *m)
{
	struct revision *rev = world_revision(w, m->instances.revision);

	if (rev == NULL) {
		rev = revision_new(m->instances.revision, w->workers_n, w->loop, w->on_demand,
				   w->arg);
		hmap_put(&w->revisions, rev->name, rev);
	}
	rev->is_described = true;
	revision_set_limits(rev, &m->limits);
	apply_instances(w, rev, &m->instances);
}

/* A revision that no service has any more: its instances go, and nobody waits for one; the
 * object stays while requests hold it. */
static void
retire(struct world *w, struct revision *rev)
{
	static char reason[] = "gone", message[] = "it has been taken away";
	struct msg_failure gone = {.reason = reason, .message = message, .retry_after_ms = GONE_MS};
	const struct msg_instances none = {
		.revision = rev->name, .is_known = true, .failure = &gone};

	apply_instances(w, rev, &none);
	hmap_remove(&w->revisions, rev->name);
	revision_unref(&rev);
}

static void
retire_undescribed(struct world *w)
{
	struct revision *rev;
	size_t at = 0;

	while ((rev = world_next(w, &at)) != NULL)
		if (!rev->is_described)
			retire(w, rev);
}

int
world_end(struct world *w, int64_t generation, uint32_t services, struct err *e)
{
	const struct route_source source = {.find = find, .page = page, .ctx = w};
	struct routes *routes;
	struct revision *rev;
	size_t at = 0, i, j;
	unsigned k;

	if (!w->is_building || services != w->services_n) {
		drop_services(w);
		w->is_building = false;
		return err_set(e, 0, "end says %u services, %zu came", services, w->services_n);
	}
	while ((rev = world_next(w, &at)) != NULL)
		rev->is_described = false;
	for (i = 0; i < w->services_n; i++)
		for (j = 0; j < w->services[i].revisions_n; j++)
			describe(w, &w->services[i].revisions[j]);
	routes = routes_new(w->services, w->services_n, &source);
	for (k = 0; k < w->workers_n; k++)
		worker_post_routes(w->workers[k], routes);
	routes_unref(&routes);
	retire_undescribed(w);
	drop_services(w);
	w->is_building = false;
	w->is_described = true;
	w->generation = generation;
	return 0;
}

void
world_free(struct world **wp)
{
	struct world *w = *wp;
	struct revision *rev;
	size_t at = 0;

	*wp = NULL;
	if (w == NULL)
		return;
	drop_services(w);
	while ((rev = world_next(w, &at)) != NULL) {
		struct list_node *node, *tmp;

		const struct limiter_update nothing = {.wanted = 0};

		LIST_FOREACH(&rev->instances, node, tmp)
			forget_instance(w, container_of(node, struct instance, node));
		limiter_update(rev, instance_set_new(NULL, 0), &nothing);
		hmap_remove(&w->revisions, rev->name);
		revision_unref(&rev);
	}
	hmap_fini(&w->revisions);
	hmap_fini(&w->instances);
	free(w);
}
