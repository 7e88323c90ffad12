#include "activator/revision.h"

#include <stdlib.h>
#include <string.h>

#include "activator/failure.h"
#include "common/ref.h"

struct revision_limits *
revision_limits_ref(struct revision_limits *l)
{
	ref_add(&l->refs);
	return l;
}

void
revision_limits_unref(struct revision_limits **lp)
{
	struct revision_limits *l = *lp;

	*lp = NULL;
	if (l == NULL || !ref_drop(&l->refs))
		return;
	limits_fini(&l->v);
	free(l);
}

void
revision_set_limits(struct revision *rev, const struct limits *limits)
{
	revision_limits_unref(&rev->limits);
	rev->limits = xcalloc(1, sizeof *rev->limits);
	ref_init(&rev->limits->refs);
	limits_copy(&rev->limits->v, limits);
}

struct revision *
revision_new(const char *name, unsigned workers_n, struct loop *control_loop,
	     void (*on_demand)(struct revision *, void *arg), void *arg)
{
	struct revision *rev = xcalloc(1, sizeof *rev);
	struct limits limits;
	unsigned i;

	rev->name = xstrdup(name);
	log_tag_set(&rev->tag, "revision=%.60s", name);
	rev->workers_n = workers_n;
	rev->control_loop = control_loop;
	rev->on_demand = on_demand;
	rev->arg = arg;
	ref_init(&rev->refs);
	CHECK(pthread_mutex_init(&rev->lock, NULL) == 0);
	list_init(&rev->queue);
	list_init(&rev->instances);
	list_init(&rev->unlisted);
	rev->set = instance_set_new(NULL, 0);
	limits_default(&limits);
	revision_set_limits(rev, &limits);
	limits_fini(&limits);
	rev->shards = xaligned(64, workers_n * sizeof *rev->shards);
	memset(rev->shards, 0, workers_n * sizeof *rev->shards);
	for (i = 0; i < workers_n; i++) {
		list_init(&rev->shards[i].parked);
		rev->shards[i].rev = rev;
	}
	return rev;
}

struct revision *
revision_ref(struct revision *rev)
{
	ref_add(&rev->refs);
	return rev;
}

static void
revision_free(struct revision *rev)
{
	unsigned i;

	CHECK(list_empty(&rev->queue));
	CHECK(list_empty(&rev->instances) && list_empty(&rev->unlisted));
	for (i = 0; i < rev->workers_n; i++) {
		CHECK(list_empty(&rev->shards[i].parked));
		CHECK(rev->shards[i].set == NULL && !rev->shards[i].has_timer);
	}
	free(rev->shards);
	revision_limits_unref(&rev->limits);
	failure_unref(&rev->failure);
	instance_set_unref(&rev->set);
	pthread_mutex_destroy(&rev->lock);
	free(rev->name);
	free(rev);
}

void
revision_unref(struct revision **rp)
{
	struct revision *rev = *rp;

	*rp = NULL;
	if (rev != NULL && ref_drop(&rev->refs))
		revision_free(rev);
}

struct instance *
instance_new(struct revision *rev, const char *id, const struct addr *addr)
{
	struct instance *inst = xcalloc(1, sizeof *inst);
	unsigned i;

	inst->rev = revision_ref(rev);
	inst->id = xstrdup(id);
	atomic_init(&inst->address, NULL);
	instance_move(inst, addr);
	log_tag_set(&inst->tag, "instance=%.60s", id);
	ref_init(&inst->refs);
	atomic_init(&inst->slots, SLOTS_UNREADY); /* limit 0 until limiter_update() */
	list_init(&inst->permit_queue);
	inst->pools = xaligned(64, rev->workers_n * sizeof *inst->pools);
	for (i = 0; i < rev->workers_n; i++)
		list_init(&inst->pools[i].idle);
	return inst;
}

/* If it had the address before, the old struct is used again, so that their number is bounded by
 * the number of its addresses. */
void
instance_move(struct instance *inst, const struct addr *addr)
{
	struct instance_address *newest = atomic_load(&inst->address), *a, **link = &newest;

	while ((a = *link) != NULL && !addr_equal(&a->addr, addr))
		link = &a->older;
	if (a == newest && a != NULL)
		return;
	if (a != NULL) {
		*link = a->older;
	} else {
		a = xcalloc(1, sizeof *a);
		a->addr = *addr;
		addr_format(addr, true, a->text);
	}
	a->older = newest;
	atomic_store_explicit(&inst->address, a, memory_order_release);
}

struct instance *
instance_ref(struct instance *inst)
{
	ref_add(&inst->refs);
	return inst;
}

static void
instance_free(struct instance *inst)
{
	struct instance_address *a, *older;
	unsigned i;

	CHECK(instance_in_flight(inst) == 0);
	CHECK(list_empty(&inst->permit_queue) && inst->probe == NULL);
	for (i = 0; i < inst->rev->workers_n; i++)
		CHECK(list_empty(&inst->pools[i].idle));
	for (a = atomic_load(&inst->address); a != NULL; a = older) {
		older = a->older;
		free(a);
	}
	free(inst->pools);
	free(inst->probe_spec);
	free(inst->alternate);
	free(inst->id);
	revision_unref(&inst->rev);
	free(inst);
}

void
instance_unref(struct instance **ip)
{
	struct instance *inst = *ip;

	*ip = NULL;
	if (inst != NULL && ref_drop(&inst->refs))
		instance_free(inst);
}

struct instance_set *
instance_set_new(struct instance *const *v, uint32_t n)
{
	struct instance_set *set = xmalloc(sizeof *set + n * sizeof set->v[0]);
	uint32_t i;

	ref_init(&set->refs);
	set->n = n;
	for (i = 0; i < n; i++)
		set->v[i] = instance_ref(v[i]);
	return set;
}

struct instance_set *
instance_set_ref(struct instance_set *set)
{
	ref_add(&set->refs);
	return set;
}

void
instance_set_unref(struct instance_set **sp)
{
	struct instance_set *set = *sp;
	uint32_t i;

	*sp = NULL;
	if (set == NULL || !ref_drop(&set->refs))
		return;
	for (i = 0; i < set->n; i++)
		instance_unref(&set->v[i]);
	free(set);
}

bool
instance_set_holds(const struct instance_set *set, const struct instance *inst)
{
	uint32_t i;

	for (i = 0; i < set->n; i++)
		if (set->v[i] == inst)
			return true;
	return false;
}

uint32_t
instance_in_flight(const struct instance *inst)
{
	return slots_count(slots_read(&inst->slots));
}

bool
instance_is_open(const struct instance *inst)
{
	return slots_is_open(slots_read(&inst->slots));
}

bool
instance_is_closed_by(const struct instance *inst, uint64_t why)
{
	return (slots_read(&inst->slots) & why) != 0;
}

bool
instance_has_limit(const struct instance *inst)
{
	return slots_limit(slots_read(&inst->slots)) != SLOTS_NO_LIMIT;
}
