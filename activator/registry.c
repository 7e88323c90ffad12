#include "activator/registry.h"

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
#define RETIRED_RETRY_MS 1000	      /* after it the new route table answers, with 404 */

struct registry {
	struct loop *loop;
	struct worker *const *workers;
	unsigned workers_n;
	struct prober *prober;
	void (*on_demand)(struct revision *, void *arg);
	void *arg;
	struct hmap revisions; /* name → struct revision, a reference */
	struct hmap instances; /* id → struct instance, borrowed from its revision's list */
	struct msg_service *services; /* that came since `begin` */
	size_t services_n;
	bool is_between;    /* `begin` has come, its `end` has not */
	bool is_described;  /* an `end` has come */
	int64_t generation; /* of the newest `end` */
};

struct registry *
registry_new(struct loop *loop, struct worker *const *workers, unsigned workers_n,
	     struct prober *prober, void (*on_demand)(struct revision *, void *arg), void *arg)
{
	struct registry *r = xcalloc(1, sizeof *r);

	r->loop = loop;
	r->workers = workers;
	r->workers_n = workers_n;
	r->prober = prober;
	r->on_demand = on_demand;
	r->arg = arg;
	hmap_init(&r->revisions);
	hmap_init(&r->instances);
	return r;
}

struct revision *
registry_find_revision(const struct registry *r, const char *name)
{
	return hmap_find(&r->revisions, name);
}

struct instance *
registry_find_instance(const struct registry *r, const char *id)
{
	return hmap_find(&r->instances, id);
}

struct revision *
registry_next_revision(const struct registry *r, size_t *at)
{
	const char *name;
	void *rev;

	return hmap_next(&r->revisions, at, &name, &rev) ? rev : NULL;
}

bool
registry_is_described(const struct registry *r)
{
	return r->is_described;
}

int64_t
registry_generation(const struct registry *r)
{
	return r->generation;
}

/* --- instances --- */

static void
post_sets(struct registry *r, struct revision *rev, struct instance_set *set)
{
	unsigned i;

	for (i = 0; i < r->workers_n; i++)
		worker_post_set(r->workers[i], rev, set);
}

/* The autoscaler lists it no more.  No new request goes there; those in flight keep it. */
static void
forget_instance(struct registry *r, struct instance *inst)
{
	inst->is_listed = false;
	prober_forget(r->prober, inst);
	limiter_close(inst, SLOTS_STOPPING);
	hmap_remove(&r->instances, inst->id);
	list_remove(&inst->rev->instances, &inst->node);
	instance_unref(&inst);
}

static void
set_state(struct instance *inst, enum instance_state state)
{
	if (inst->state == INSTANCE_READY && state == INSTANCE_STARTING) {
		/* The platform had found it ready, and does not any more. */
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
add_instance(struct registry *r, struct revision *rev, const struct msg_instance *m)
{
	struct instance *inst;
	struct addr addr;
	struct err e;

	if (addr_set(&addr, m->address, m->port, &e) < 0) {
		log_warn(&rev->tag, "instance ignored: no usable address", "instance=%s err=%s",
			 m->id, e.text);
		return NULL;
	}
	inst = instance_new(rev, m->id, &addr);
	list_push(&rev->instances, &inst->node);
	hmap_put(&r->instances, m->id, inst);
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
take_instance(struct registry *r, struct revision *rev, const struct msg_instance *m)
{
	struct instance *inst = registry_find_instance(r, m->id);

	if (m->address == NULL)
		return; /* the autoscaler sends it again, with its address */
	if (inst != NULL && inst->rev != rev) {
		log_warn(&rev->tag, "instance ignored: it is another revision's",
			 "instance=%s other=%s", m->id, inst->rev->name);
		return;
	}
	if (inst != NULL && !is_at(inst, m)) {
		log_warn(&inst->tag, "instance has a new address", "from=%s to=%s port=%u",
			 inst->address_text, m->address, m->port);
		forget_instance(r, inst);
		inst = NULL;
	}
	if (inst == NULL)
		inst = add_instance(r, rev, m);
	if (inst == NULL)
		return;
	inst->is_listed = true;
	free(inst->probe_spec);
	inst->probe_spec = text_copy(m->probe);
	set_state(inst, m->state);
}

/* After limiter_update(): an instance that a probe finds answering can take requests then. */
static void
watch_all(struct registry *r, struct revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->instances, node, tmp)
		prober_watch(r->prober, container_of(node, struct instance, node));
}

static void
take_list(struct registry *r, struct revision *rev, const struct msg_instances *m)
{
	struct list_node *node, *tmp;
	size_t i;

	LIST_FOREACH(&rev->instances, node, tmp)
		container_of(node, struct instance, node)->is_listed = false;
	for (i = 0; i < m->n; i++)
		take_instance(r, rev, &m->v[i]);
	LIST_FOREACH(&rev->instances, node, tmp) {
		struct instance *inst = container_of(node, struct instance, node);

		if (!inst->is_listed)
			forget_instance(r, inst);
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

/* How many parked requests one instance is given before response heads come; 0: all. */
static uint32_t
pace_of(double target, uint32_t burst)
{
	return target > 0 ? (uint32_t)MIN(ceil(target * burst), (double)UINT32_MAX) : 0;
}

static void
apply_instances(struct registry *r, struct revision *rev, const struct msg_instances *m)
{
	struct instance_set *set;
	struct limiter_update update = {
		.wanted = m->wanted,
		.container_concurrency = rev->limits->v.container_concurrency,
		.pace = pace_of(m->target, rev->limits->v.release_burst),
		.is_external = m->is_external,
	};

	if (m->is_known)
		take_list(r, rev, m);
	if (m->cold_start_ms > 0)
		atomic_store_explicit(&rev->cold_start_ms, (uint32_t)m->cold_start_ms,
				      memory_order_relaxed);
	set = set_of(rev);
	if (!is_same(set, rev->set)) /* no lock: only this thread writes rev->set */
		post_sets(r, rev, set);
	limiter_update(rev, set, &update);
	watch_all(r, rev);
	limiter_set_failure(rev, m->failure, clk_now());
}

void
registry_update_instances(struct registry *r, const struct msg_instances *m)
{
	struct revision *rev = registry_find_revision(r, m->revision);

	if (rev == NULL)
		log_debug(NULL, "instances of an unknown revision ignored", "revision=%s",
			  m->revision);
	else
		apply_instances(r, rev, m);
}

/* --- the table --- */

static void
drop_services(struct registry *r)
{
	size_t i;

	for (i = 0; i < r->services_n; i++) {
		struct msg m = {.type = MSG_SERVICE, .u.service = r->services[i]};

		msg_fini(&m);
	}
	free(r->services);
	r->services = NULL;
	r->services_n = 0;
}

void
registry_begin(struct registry *r)
{
	drop_services(r);
	r->is_between = true;
}

void
registry_add_service(struct registry *r, struct msg_service *s)
{
	if (!r->is_between)
		return;
	r->services = xrealloc(r->services, (r->services_n + 1) * sizeof *r->services);
	r->services[r->services_n++] = *s;
	*s = (struct msg_service){0};
}

static struct revision *
find(void *ctx, const char *name)
{
	struct revision *rev = registry_find_revision(ctx, name);

	CHECK(rev != NULL); /* registry_end() has described it */
	return revision_ref(rev);
}

/* If the page cannot be read, the default one takes its place: people still see why they
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
	log_warn(NULL, "cannot use the waiting page; the default one is shown", "service=%s err=%s",
		 s->name, e.text);
	return xstrdup(waitpage_default);
}

static void
describe(struct registry *r, const struct msg_revision *m)
{
	struct revision *rev = registry_find_revision(r, m->instances.revision);

	if (rev == NULL) {
		rev = revision_new(m->instances.revision, r->workers_n, r->loop, r->on_demand,
				   r->arg);
		hmap_put(&r->revisions, rev->name, rev);
	}
	rev->is_described = true;
	revision_set_limits(rev, &m->limits);
	apply_instances(r, rev, &m->instances);
}

/* No service has the revision any more.  Its instances go, and its parked requests are
 * refused; the object lives while requests in flight hold it. */
static void
retire(struct registry *r, struct revision *rev)
{
	static char reason[] = "gone", message[] = "the service was removed";
	struct msg_failure gone = {
		.reason = reason, .message = message, .retry_after_ms = RETIRED_RETRY_MS};
	const struct msg_instances none = {
		.revision = rev->name, .is_known = true, .failure = &gone};

	apply_instances(r, rev, &none);
	hmap_remove(&r->revisions, rev->name);
	revision_unref(&rev);
}

static void
retire_undescribed(struct registry *r)
{
	struct revision *rev;
	size_t at = 0;

	while ((rev = registry_next_revision(r, &at)) != NULL)
		if (!rev->is_described)
			retire(r, rev);
}

int
registry_end(struct registry *r, int64_t generation, uint32_t services, struct err *e)
{
	const struct route_source source = {.find = find, .page = page, .ctx = r};
	struct routes *routes;
	struct revision *rev;
	size_t at = 0, i, j;
	unsigned k;

	if (!r->is_between || services != r->services_n) {
		size_t came = r->services_n;

		drop_services(r);
		r->is_between = false;
		return err_set(e, 0, "`end` says %u services, %zu came since `begin`", services,
			       came);
	}
	while ((rev = registry_next_revision(r, &at)) != NULL)
		rev->is_described = false;
	for (i = 0; i < r->services_n; i++)
		for (j = 0; j < r->services[i].revisions_n; j++)
			describe(r, &r->services[i].revisions[j]);
	routes = routes_new(r->services, r->services_n, &source);
	for (k = 0; k < r->workers_n; k++)
		worker_post_routes(r->workers[k], routes);
	routes_unref(&routes);
	retire_undescribed(r);
	drop_services(r);
	r->is_between = false;
	r->is_described = true;
	r->generation = generation;
	return 0;
}

void
registry_free(struct registry **rp)
{
	struct registry *r = *rp;
	struct revision *rev;
	size_t at = 0;

	*rp = NULL;
	if (r == NULL)
		return;
	drop_services(r);
	while ((rev = registry_next_revision(r, &at)) != NULL) {
		struct list_node *node, *tmp;

		const struct limiter_update nothing = {.wanted = 0};

		LIST_FOREACH(&rev->instances, node, tmp)
			forget_instance(r, container_of(node, struct instance, node));
		limiter_update(rev, instance_set_new(NULL, 0), &nothing);
		hmap_remove(&r->revisions, rev->name);
		revision_unref(&rev);
	}
	hmap_fini(&r->revisions);
	hmap_fini(&r->instances);
	free(r);
}
