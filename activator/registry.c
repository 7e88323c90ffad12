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
#include "common/ref.h"
#include "common/text.h"

#define PAGE_MOST ((size_t)256 << 10)	/* bytes of a waiting page */
#define COUNTED_PAST (SIZE_MAX / 2 + 1) /* in the place of registry_next_counted() */
#define RETIRED_RETRY_MS 1000		/* for a request that was in flight, and has failed */

struct registry {
	struct loop *loop;
	struct worker *const *workers;
	unsigned workers_n;
	struct prober *prober;
	void (*on_demand)(struct revision *, void *arg);
	void *arg;
	struct hmap revisions; /* name → struct revision, a reference; retired ones, too */
	/* What removed revisions of services have counted: name → struct revision, a reference,
	 * that no worker uses; while the service is described */
	struct hmap past;
	struct hmap instances; /* id → struct instance, borrowed from a list of its revision */
	struct list contested; /* of struct contested */
	struct msg_service *services; /* that came since `begin` */
	size_t services_n;
	bool is_between;				   /* `begin` has come, its `end` has not */
	bool is_described;				   /* an `end` has come */
	int64_t generation;				   /* of the newest `end` */
	struct list swaps;				   /* of struct swap, the oldest first */
	void (*on_swapped)(int64_t generation, void *arg); /* NULL: it is not asked for */
	void *on_swapped_arg;
	bool is_counting; /* the autoscaler counts shares */
};

/* A route table that not all workers use yet. */
struct swap {
	struct list_node node;
	struct registry *r;
	int64_t generation; /* SWAP_FORGOTTEN: it is not reported */
	int64_t since_ns;
	unsigned left; /* workers */
};
#define SWAP_FORGOTTEN INT64_C(-1)

/* An instance that a revision lists while another one has its id.  The revision gets it when the
 * other one has no use for it any more. */
struct contested {
	struct list_node node;
	struct revision *rev; /* a reference */
	char *id, *address, *alternate, *probe;
	uint16_t port;
	enum instance_state state;
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
	hmap_init(&r->past);
	hmap_init(&r->instances);
	list_init(&r->contested);
	list_init(&r->swaps);
	return r;
}

struct revision *
registry_find_known_revision(const struct registry *r, const char *name)
{
	return hmap_find(&r->revisions, name);
}

struct revision *
registry_find_revision(const struct registry *r, const char *name)
{
	struct revision *rev = registry_find_known_revision(r, name);

	return rev != NULL && rev->is_described ? rev : NULL;
}

struct instance *
registry_find_instance(const struct registry *r, const char *id)
{
	return hmap_find(&r->instances, id);
}

static struct revision *
next_known(const struct registry *r, size_t *at)
{
	const char *name;
	void *rev;

	return hmap_next(&r->revisions, at, &name, &rev) ? rev : NULL;
}

struct revision *
registry_next_revision(const struct registry *r, size_t *at)
{
	struct revision *rev;

	do
		rev = next_known(r, at);
	while (rev != NULL && !rev->is_described);
	return rev;
}

struct revision *
registry_next_counted(const struct registry *r, size_t *at)
{
	struct revision *rev;
	size_t past;
	void *value;

	while ((*at & COUNTED_PAST) == 0) {
		rev = next_known(r, at);
		if (rev == NULL)
			*at = COUNTED_PAST;
		else if (rev->is_described || rev->has_service)
			return rev;
	}
	past = *at & ~COUNTED_PAST;
	if (!hmap_next(&r->past, &past, NULL, &value))
		return NULL;
	*at = past | COUNTED_PAST;
	return value;
}

void
registry_set_counting(struct registry *r, bool is_counting)
{
	r->is_counting = is_counting;
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

static void
post_shed(struct registry *r, struct instance *inst)
{
	unsigned i;

	for (i = 0; i < r->workers_n; i++)
		worker_post_shed(r->workers[i], inst);
}

/* The autoscaler does not list it any more.  No new request goes there.  The object stays while
 * anything uses it: requests in flight count against its limit if it comes back. */
static void
unlist(struct registry *r, struct instance *inst)
{
	inst->is_listed = false;
	inst->is_unlisted = true;
	inst->state = INSTANCE_STOPPING;
	prober_forget(r->prober, inst);
	limiter_close(inst, SLOTS_STOPPING);
	list_remove(&inst->rev->instances, &inst->node);
	list_push(&inst->rev->unlisted, &inst->node);
}

/* It is listed again.  An answer from before proves nothing now: the prober asks it again. */
static void
relist(struct instance *inst)
{
	limiter_close(inst, SLOTS_UNREADY);
	inst->is_answering = inst->is_unlisted = false;
	list_remove(&inst->rev->unlisted, &inst->node);
	list_push(&inst->rev->instances, &inst->node);
}

static void
forget(struct registry *r, struct instance *inst)
{
	hmap_remove(&r->instances, inst->id);
	list_remove(&inst->rev->unlisted, &inst->node);
	instance_unref(&inst);
}

static void
set_state(struct registry *r, struct instance *inst, enum instance_state state)
{
	if (inst->state == INSTANCE_READY && state == INSTANCE_STARTING) {
		/* The platform does not show it as ready any more.  A probe needs a permit, and
		 * idle connections may have them all. */
		limiter_close(inst, SLOTS_UNREADY);
		inst->is_answering = false;
		post_shed(r, inst);
	}
	if (state == INSTANCE_STOPPING)
		limiter_close(inst, SLOTS_STOPPING);
	else if (inst->state == INSTANCE_STOPPING)
		limiter_open(inst, SLOTS_STOPPING);
	inst->state = state;
}

static struct instance *
add_instance(struct registry *r, struct revision *rev, const char *id, const struct addr *addr)
{
	struct instance *inst = instance_new(rev, id, addr);

	list_push(&rev->instances, &inst->node);
	hmap_put(&r->instances, id, inst);
	activation_stamp(&rev->activation.addressed_ns);
	return inst;
}

/* A pod got a new sandbox: it is the same instance, and may still work on requests that it got at
 * its old address. */
static void
move(struct registry *r, struct instance *inst, const struct addr *addr)
{
	char to[ADDR_TEXT];

	log_warn(&inst->tag, "instance has a new address", "from=%s to=%s",
		 instance_address(inst)->text, addr_format(addr, true, to));
	prober_forget(r->prober, inst);
	limiter_close(inst, SLOTS_UNREADY);
	inst->is_answering = false;
	inst->is_set_aside = false;
	instance_move(inst, addr);
	post_shed(r, inst); /* idle connections to the old address */
}

static void
contest(struct registry *r, struct revision *rev, const struct msg_instance *m)
{
	struct contested *c = xcalloc(1, sizeof *c);

	c->rev = revision_ref(rev);
	c->id = xstrdup(m->id);
	c->address = xstrdup(m->address);
	c->alternate = text_copy(m->alternate);
	c->probe = text_copy(m->probe);
	c->port = m->port;
	c->state = m->state;
	list_push(&r->contested, &c->node);
}

static void
contested_free(struct registry *r, struct contested *c)
{
	list_remove(&r->contested, &c->node);
	revision_unref(&c->rev);
	free(c->id);
	free(c->address);
	free(c->alternate);
	free(c->probe);
	free(c);
}

/* Of rev; NULL: of all. */
static void
drop_contested(struct registry *r, const struct revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&r->contested, node, tmp) {
		struct contested *c = container_of(node, struct contested, node);

		if (rev == NULL || c->rev == rev)
			contested_free(r, c);
	}
}

/* Is addr one of the two places where it may listen?  The prober finds the right one. */
static bool
has_place(const struct instance *inst, const struct addr *addr)
{
	return addr_equal(addr, &instance_address(inst)->addr) ||
	       (inst->alternate != NULL && addr_equal(addr, inst->alternate));
}

static void
set_alternate(struct instance *inst, const struct msg_instance *m)
{
	struct addr addr;

	free(inst->alternate);
	inst->alternate = NULL;
	if (m->alternate == NULL || addr_set(&addr, m->alternate, m->port, NULL) < 0)
		return;
	inst->alternate = xmalloc(sizeof *inst->alternate);
	*inst->alternate = addr;
}

static void
take_instance(struct registry *r, struct revision *rev, const struct msg_instance *m)
{
	struct instance *inst = registry_find_instance(r, m->id);
	struct addr addr;
	struct err e;

	if (m->address == NULL)
		return; /* the autoscaler sends it again, with its address */
	if (inst != NULL && inst->rev != rev) {
		log_warn(&rev->tag, "instance not used yet: another revision has it",
			 "instance=%s other=%s in_flight=%u", m->id, inst->rev->name,
			 instance_in_flight(inst));
		contest(r, rev, m);
		return;
	}
	if (addr_set_any(&addr, m->address, m->port, &e) < 0) {
		log_warn(&rev->tag, "instance ignored: no usable address", "instance=%s err=%s",
			 m->id, e.text);
		return;
	}
	if (inst == NULL)
		inst = add_instance(r, rev, m->id, &addr);
	else if (inst->is_unlisted)
		relist(inst);
	if (!has_place(inst, &addr)) {
		move(r, inst, &addr);
		set_alternate(inst, m);
	} else if (inst->alternate == NULL) {
		set_alternate(inst, m);
	}
	inst->is_listed = true;
	free(inst->probe_spec);
	inst->probe_spec = text_copy(m->probe);
	set_state(r, inst, m->state);
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

	drop_contested(r, rev);
	LIST_FOREACH(&rev->instances, node, tmp)
		container_of(node, struct instance, node)->is_listed = false;
	for (i = 0; i < m->n; i++)
		take_instance(r, rev, &m->v[i]);
	LIST_FOREACH(&rev->instances, node, tmp) {
		struct instance *inst = container_of(node, struct instance, node);

		if (!inst->is_listed)
			unlist(r, inst);
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

/* Close idle connections above the share where it has fallen. */
static void
shed_excess(struct registry *r, struct revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->instances, node, tmp) {
		struct instance *inst = container_of(node, struct instance, node);

		if (atomic_exchange(&inst->has_share_fallen, false) && !limiter_may_idle(inst))
			post_shed(r, inst);
	}
}

void
registry_shares_fell(struct registry *r, struct revision *rev)
{
	struct list_node *node, *tmp;

	shed_excess(r, rev);
	LIST_FOREACH(&rev->instances, node, tmp) {
		struct instance *inst = container_of(node, struct instance, node);

		if (!instance_has_share(inst))
			prober_forget(r->prober, inst);
	}
}

/* The offer in m, whose items are the instances that are not stopping.  items has room for
 * m->n. */
static struct share_offer
offer_of(const struct msg_instances *m, struct share_item *items)
{
	const struct msg_offer *from = m->offer;
	struct share_offer o = {.term = from->term,
				.epoch = from->epoch,
				.limit = from->limit,
				.recall_idle = from->recall_idle,
				.recall_due = from->recall_due,
				.is_shared = from->is_shared,
				.is_asking = from->is_asking,
				.v = items};
	size_t i;

	for (i = 0; i < m->n; i++)
		if (m->v[i].state != INSTANCE_STOPPING)
			items[o.n++] = (struct share_item){.id = m->v[i].id,
							   .slots = m->v[i].slots,
							   .is_at_most = m->v[i].is_at_most,
							   .uses = m->v[i].uses};
	return o;
}

static void
apply_instances(struct registry *r, struct revision *rev, const struct msg_instances *m)
{
	struct instance_set *set;
	struct limiter_update update = {
		.wanted = m->wanted,
		.container_concurrency = rev->limits->v.container_concurrency,
		.max_requests = m->is_external ? 0 : rev->limits->v.max_requests,
		.pace = pace_of(m->target, rev->limits->v.release_burst),
		.is_external = m->is_external,
		.is_counted = r->is_counting && rev->is_described,
	};
	struct share_item *items = NULL;
	struct share_offer offer;

	if (m->offer != NULL) {
		items = xcalloc(m->n + 1, sizeof *items);
		offer = offer_of(m, items);
		update.offer = &offer;
	}
	if (m->is_known)
		take_list(r, rev, m);
	if (m->cold_start_ms > 0)
		atomic_store_explicit(&rev->cold_start_ms, (uint32_t)m->cold_start_ms,
				      memory_order_relaxed);
	set = set_of(rev);
	if (!is_same(set, rev->set)) /* no lock: only this thread writes rev->set */
		post_sets(r, rev, set);
	limiter_update(rev, set, &update);
	free(items);
	shed_excess(r, rev);
	watch_all(r, rev);
	limiter_set_failure(rev, m->failure, clk_now());
}

/* Instances of rev have been added that another revision had listed, too, until now. */
static void
set_instances(struct registry *r, struct revision *rev)
{
	struct instance_set *set = set_of(rev);

	post_sets(r, rev, set);
	limiter_set_instances(rev, set, rev->limits->v.container_concurrency,
			      rev->limits->v.max_requests);
	watch_all(r, rev);
}

static void
take_contested(struct registry *r)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&r->contested, node, tmp) {
		struct contested *c = container_of(node, struct contested, node);
		const struct msg_instance m = {.id = c->id,
					       .address = c->address,
					       .alternate = c->alternate,
					       .port = c->port,
					       .probe = c->probe,
					       .state = c->state};

		if (registry_find_instance(r, c->id) != NULL)
			continue;
		take_instance(r, c->rev, &m);
		set_instances(r, c->rev);
		contested_free(r, c);
	}
}

static void
forget_unused_of(struct registry *r, struct revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->unlisted, node, tmp) {
		struct instance *inst = container_of(node, struct instance, node);

		if (ref_is_single(&inst->refs))
			forget(r, inst);
	}
}

/* The sums over a service do not fall. */
static void
keep_counters(struct registry *r, const struct revision *rev)
{
	char *service = xstrndup(rev->name, strcspn(rev->name, "/"));
	struct revision *past = hmap_find(&r->past, service);

	if (past == NULL) {
		past = revision_new(service, 1, r->loop, NULL, NULL);
		hmap_put(&r->past, past->name, past);
	}
	revision_add_counters(past, rev);
	free(service);
}

void
registry_forget_unused(struct registry *r)
{
	struct revision *rev;
	size_t at = 0;

	while ((rev = next_known(r, &at)) != NULL) {
		forget_unused_of(r, rev);
		if (rev->is_described || !ref_is_single(&rev->refs))
			continue;
		hmap_remove(&r->revisions, rev->name);
		if (rev->has_service)
			keep_counters(r, rev);
		revision_unref(&rev);
	}
	take_contested(r);
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

	return rev == NULL || !rev->is_described ? NULL : revision_ref(rev);
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
	struct revision *rev = registry_find_known_revision(r, m->instances.revision);

	if (rev == NULL) {
		rev = revision_new(m->instances.revision, r->workers_n, r->loop, r->on_demand,
				   r->arg);
		hmap_put(&r->revisions, rev->name, rev);
	}
	rev->is_described = true;
	revision_set_limits(rev, &m->limits);
	apply_instances(r, rev, &m->instances);
}

static bool
has_service_of(const struct registry *r, const struct revision *rev)
{
	size_t i, n = strcspn(rev->name, "/");

	for (i = 0; i < r->services_n; i++)
		if (strncmp(r->services[i].name, rev->name, n) == 0 &&
		    r->services[i].name[n] == '\0')
			return true;
	return false;
}

/* No service has the revision any more, and no worker routes to it: what was parked at it is
 * parked elsewhere, or was refused (reroute.h).  Its instances go.  Requests in flight that fail
 * are refused: with 404 if the service is gone, too; else they may come again, and go to another
 * revision.  The object stays while anything uses it, for the case that it is described again. */
static void
retire(struct registry *r, struct revision *rev)
{
	static char reason[] = "gone", service[] = "the service was removed",
		    revision[] = "this revision of the service was removed";
	bool has_service = rev->has_service;
	struct msg_failure gone = {.reason = reason,
				   .message = has_service ? revision : service,
				   .retry_after_ms = RETIRED_RETRY_MS,
				   .is_gone = !has_service};
	const struct msg_instances none = {
		.revision = rev->name, .is_known = true, .failure = &gone};

	apply_instances(r, rev, &none);
}

static void
retire_undescribed(struct registry *r)
{
	struct revision *rev;
	size_t at = 0;

	while ((rev = next_known(r, &at)) != NULL)
		if (!rev->is_described)
			retire(r, rev);
}

/* The autoscaler forgets what was reported of a revision that is described no more: if the next
 * description has it again, it reports anew what it holds (share_link.h), even if it was not
 * retired in between.  has_service is for retire(), which may come when r->services are gone. */
static void
note_undescribed(const struct registry *r)
{
	struct revision *rev;
	size_t at = 0;

	while ((rev = next_known(r, &at)) != NULL) {
		rev->has_service = rev->is_described || has_service_of(r, rev);
		rev->is_share_reported &= rev->is_described;
	}
}

/* Of services that are not described any more (is_all: of all). */
static void
drop_past(struct registry *r, bool is_all)
{
	size_t at = 0;
	void *value;

	while (hmap_next(&r->past, &at, NULL, &value)) {
		struct revision *past = value;

		if (!is_all && has_service_of(r, past))
			continue;
		hmap_remove(&r->past, past->name);
		revision_unref(&past);
	}
}

/* All workers route by the table. */
static void
swap_end(struct swap *s)
{
	struct registry *r = s->r;

	list_remove(&r->swaps, &s->node);
	if (list_empty(&r->swaps))
		retire_undescribed(r);
	if (s->generation != SWAP_FORGOTTEN && r->on_swapped != NULL)
		r->on_swapped(s->generation, r->on_swapped_arg);
	free(s);
}

static void
on_swapped(void *arg)
{
	struct swap *s = arg;

	if (--s->left == 0)
		swap_end(s);
}

static void
swap(struct registry *r, int64_t generation, struct routes *routes)
{
	struct swap *s = xmalloc(sizeof *s);
	unsigned i;

	*s = (struct swap){
		.r = r, .generation = generation, .since_ns = clk_now(), .left = r->workers_n};
	list_push(&r->swaps, &s->node);
	for (i = 0; i < r->workers_n; i++)
		worker_post_routes(r->workers[i], routes, on_swapped, s);
	if (r->workers_n == 0)
		swap_end(s);
}

void
registry_on_swapped(struct registry *r, void (*fn)(int64_t generation, void *arg), void *arg)
{
	r->on_swapped = fn;
	r->on_swapped_arg = arg;
}

void
registry_forget_swaps(struct registry *r)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&r->swaps, node, tmp)
		container_of(node, struct swap, node)->generation = SWAP_FORGOTTEN;
}

int64_t
registry_swapping_since(const struct registry *r)
{
	struct list_node *node = list_first(&r->swaps);

	return node == NULL ? 0 : container_of(node, struct swap, node)->since_ns;
}

int
registry_end(struct registry *r, int64_t generation, uint32_t services, struct err *e)
{
	const struct route_source source = {.find = find, .page = page, .ctx = r};
	struct routes *routes;
	struct revision *rev;
	size_t at = 0, i, j;

	if (!r->is_between || services != r->services_n) {
		size_t came = r->services_n;

		drop_services(r);
		r->is_between = false;
		return err_set(e, 0, "`end` says %u services, %zu came since `begin`", services,
			       came);
	}
	while ((rev = next_known(r, &at)) != NULL)
		rev->is_described = false;
	for (i = 0; i < r->services_n; i++)
		for (j = 0; j < r->services[i].revisions_n; j++)
			describe(r, &r->services[i].revisions[j]);
	note_undescribed(r);
	drop_past(r, false);
	routes = routes_new(r->services, r->services_n, &source);
	drop_services(r);
	r->is_between = false;
	r->is_described = true;
	r->generation = generation;
	swap(r, generation, routes);
	routes_unref(&routes);
	return 0;
}

void
registry_free(struct registry **rp)
{
	struct registry *r = *rp;
	struct list_node *node, *tmp;
	struct revision *rev;
	size_t at = 0;

	*rp = NULL;
	if (r == NULL)
		return;
	drop_services(r);
	drop_contested(r, NULL);
	while ((node = list_pop(&r->swaps)) != NULL) /* the workers have ended */
		free(container_of(node, struct swap, node));
	while ((rev = next_known(r, &at)) != NULL) {
		const struct limiter_update nothing = {.wanted = 0};

		LIST_FOREACH(&rev->instances, node, tmp)
			unlist(r, container_of(node, struct instance, node));
		LIST_FOREACH(&rev->unlisted, node, tmp)
			forget(r, container_of(node, struct instance, node));
		limiter_update(rev, instance_set_new(NULL, 0), &nothing);
		hmap_remove(&r->revisions, rev->name);
		revision_unref(&rev);
	}
	drop_past(r, true);
	hmap_fini(&r->past);
	hmap_fini(&r->revisions);
	hmap_fini(&r->instances);
	free(r);
}
