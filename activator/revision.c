#include "activator/revision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activator/access/access_conf.h"
#include "activator/failure.h"
#include "activator/net/tls_session.h"
#include "activator/net/tls_trust.h"
#include "activator/share.h"
#include "common/ref.h"
#include "common/text.h"

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
	struct tls_trust *trust;

	*lp = NULL;
	if (l == NULL || !ref_drop(&l->refs))
		return;
	trust = atomic_load(&l->trust);
	tls_trust_unref(&trust);
	pthread_mutex_destroy(&l->trust_lock);
	access_conf_unref(&l->access);
	limits_fini(&l->v);
	free(l);
}

static bool
names_same_files(const struct limits *a, const struct limits *b)
{
	return text_equal(a->upstream_name, b->upstream_name) &&
	       text_equal(a->upstream_ca, b->upstream_ca) &&
	       text_equal(a->upstream_certificate, b->upstream_certificate) &&
	       text_equal(a->upstream_key, b->upstream_key);
}

/* Without it no request reaches an instance, and each is told so.  before may be NULL.  What is in
 * use is not read again here: its files may be replaced just now, one after the other. */
static void
set_trust(struct revision *rev, const struct revision_limits *before)
{
	struct tls_trust *trust = before == NULL ? NULL : atomic_load(&before->trust);
	const char *key;
	struct err e;

	if (trust != NULL && names_same_files(&before->v, &rev->limits->v)) {
		atomic_init(&rev->limits->trust, tls_trust_ref(trust));
		return;
	}
	trust = tls_trust_load(&rev->limits->v, &key, &e);
	atomic_init(&rev->limits->trust, trust);
	if (trust == NULL)
		log_error(&rev->tag, "instances cannot be asked by TLS", "key=%s err=%s", key,
			  e.text);
}

void
revision_set_limits(struct revision *rev, const struct limits *limits)
{
	struct revision_limits *before = rev->limits;

	rev->limits = xcalloc(1, sizeof *rev->limits);
	ref_init(&rev->limits->refs);
	CHECK(pthread_mutex_init(&rev->limits->trust_lock, NULL) == 0);
	limits_copy(&rev->limits->v, limits);
	if (limits->response_start_timeout > 0) /* a wait for a start is part of it */
		rev->limits->v.activation_timeout = MIN(limits->activation_timeout,
							limits->response_start_timeout);
	rev->limits->access = access_conf_new(limits, rev->name);
	if (limits->upstream_tls)
		set_trust(rev, before);
	revision_limits_unref(&before);
}

struct tls_trust *
revision_limits_trust_ref(const struct revision_limits *l)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&l->trust_lock;
	struct tls_trust *trust;

	if (atomic_load(&l->trust) == NULL)
		return NULL;
	pthread_mutex_lock(lock);
	trust = tls_trust_ref(atomic_load(&l->trust)); /* never NULL again */
	pthread_mutex_unlock(lock);
	return trust;
}

bool
revision_check_trust(struct revision *rev)
{
	char *source;
	bool is_whole = false;

	if (rev->limits == NULL || !rev->limits->v.upstream_tls)
		return false;
	source = tls_trust_source(&rev->limits->v);
	if (tls_trust_is_from(atomic_load(&rev->limits->trust), source)) {
		free(rev->trust_seen);
		rev->trust_seen = NULL;
	} else if (rev->trust_seen == NULL || strcmp(rev->trust_seen, source) != 0) {
		free(rev->trust_seen);
		rev->trust_seen = source;
		rev->is_trust_tried = false;
		return false;
	} else {
		is_whole = !rev->is_trust_tried;
		rev->is_trust_tried = true;
	}
	free(source);
	return is_whole;
}

int
revision_use_changed_trust(struct revision *rev, struct err *e)
{
	struct revision_limits *l = rev->limits;
	struct tls_trust *before, *trust;
	const char *key;

	trust = tls_trust_load(&l->v, &key, e);
	if (trust == NULL) {
		log_error(&rev->tag,
			  "changed files for TLS with instances cannot be used; those before stay "
			  "in use",
			  "key=%s err=%s", key, e->text);
		return -1;
	}
	pthread_mutex_lock(&l->trust_lock);
	before = atomic_exchange(&l->trust, trust);
	pthread_mutex_unlock(&l->trust_lock);
	tls_trust_unref(&before);
	log_info(&rev->tag, "changed files for TLS with instances are used", "");
	return 0;
}

/* --- what probes find --- */

static void
add_counters(struct shard *into, const struct shard *from)
{
	unsigned i;

	metric_add(&into->requests, atomic_load_explicit(&from->requests, memory_order_relaxed));
	metric_add(&into->cold_starts,
		   atomic_load_explicit(&from->cold_starts, memory_order_relaxed));
	metric_add(&into->retries, atomic_load_explicit(&from->retries, memory_order_relaxed));
	metric_add(&into->bytes_in, atomic_load_explicit(&from->bytes_in, memory_order_relaxed));
	metric_add(&into->bytes_out, atomic_load_explicit(&from->bytes_out, memory_order_relaxed));
	metric_hist_merge(&into->duration, &from->duration);
	metric_hist_merge(&into->parked_for, &from->parked_for);
	for (i = 0; i < COLD_PHASES_N; i++)
		metric_hist_merge(&into->cold[i], &from->cold[i]);
}

void
revision_add_counters(struct revision *into, const struct revision *from)
{
	unsigned i;

	for (i = 0; i < from->workers_n; i++)
		add_counters(&into->shards[0], &from->shards[i]);
}

const struct instance *
revision_first_open(const struct revision *rev)
{
	struct list_node *node = rev->instances.head.next;

	for (; node != &rev->instances.head; node = node->next) {
		const struct instance *inst = container_of(node, struct instance, node);

		if (instance_is_open(inst))
			return inst;
	}
	return NULL;
}

void
revision_set_probe_trouble(struct revision *rev, const char *trouble)
{
	pthread_mutex_lock(&rev->lock);
	snprintf(rev->probe_trouble, sizeof rev->probe_trouble, "%s",
		 trouble == NULL ? "" : trouble);
	pthread_mutex_unlock(&rev->lock);
}

bool
revision_probe_trouble(struct revision *rev, char out[REVISION_TROUBLE])
{
	pthread_mutex_lock(&rev->lock);
	memcpy(out, rev->probe_trouble, REVISION_TROUBLE);
	pthread_mutex_unlock(&rev->lock);
	return out[0] != '\0';
}

/* --- shares --- */

void
instance_set_share_locked(struct instance *inst, uint32_t slots)
{
	uint32_t limit = inst->rev->has_limit ? MIN(slots, SLOTS_NO_LIMIT) : SLOTS_NO_LIMIT;
	uint32_t before = slots_limit(slots_read(&inst->slots)); /* only this function changes it */

	if (limit == before)
		return;
	permits_set_limit(&inst->conns, limit);
	slots_set_limit(&inst->slots, limit);
	if (limit < before)
		atomic_store(&inst->has_share_fallen, true);
}

static void
on_set_share(const char *id, uint32_t slots, void *arg)
{
	struct revision *rev = arg;
	struct instance *inst = hmap_find(&rev->by_id, id);

	if (inst != NULL)
		instance_set_share_locked(inst, slots);
}

/* An instance that has no address yet is starting. */
static struct share_use
on_use(const char *id, void *arg)
{
	const struct revision *rev = arg;
	const struct instance *inst = hmap_find(&rev->by_id, id);

	if (inst == NULL)
		return (struct share_use){.is_usable = true};
	return (struct share_use){
		.requests = instance_in_flight(inst),
		.conns = permits_count(atomic_load(&inst->conns)),
		.is_known = true,
		.is_usable = !instance_is_closed_by(inst,
						    SLOTS_STOPPING | SLOTS_DRAIN | SLOTS_SPENT) &&
			     !atomic_load_explicit(&inst->is_set_aside, memory_order_relaxed)};
}

static const struct share_ops share_ops = {.set_share = on_set_share, .use = on_use};

/* --- revisions --- */

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
	hmap_init(&rev->by_id);
	rev->share = share_new(&share_ops, rev);
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
	CHECK(rev->by_id.n == 0);
	for (i = 0; i < rev->workers_n; i++) {
		CHECK(list_empty(&rev->shards[i].parked));
		CHECK(rev->shards[i].set == NULL && !rev->shards[i].has_timer);
		free(rev->shards[i].tally);
		free(rev->shards[i].counts);
		free(rev->shards[i].cold_start);
	}
	free(rev->shards);
	free(rev->tally);
	revision_limits_unref(&rev->limits);
	failure_unref(&rev->failure);
	instance_set_unref(&rev->set);
	share_free(&rev->share);
	hmap_fini(&rev->by_id);
	pthread_mutex_destroy(&rev->lock);
	free(rev->trust_seen);
	free(atomic_load_explicit(&rev->activation_span, memory_order_relaxed));
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
	inst->id_n = (uint32_t)strlen(id);
	atomic_init(&inst->address, NULL);
	instance_move(inst, addr);
	log_tag_set(&inst->tag, "instance=%.60s", id);
	ref_init(&inst->refs);
	atomic_init(&inst->slots, SLOTS_UNREADY); /* its share is 0 until limiter_update() */
	list_init(&inst->permit_queue);
	inst->pools = xaligned(64, rev->workers_n * sizeof *inst->pools);
	for (i = 0; i < rev->workers_n; i++) {
		list_init(&inst->pools[i].idle);
		list_init(&inst->pools[i].open);
		inst->pools[i].knows_streams = false;
		inst->pools[i].streams_most = 0;
		inst->pools[i].tls_session = NULL;
	}
	pthread_mutex_lock(&rev->lock);
	hmap_put(&rev->by_id, inst->id, inst);
	pthread_mutex_unlock(&rev->lock);
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
	pthread_mutex_lock(&inst->rev->lock);
	if (hmap_find(&inst->rev->by_id, inst->id) == inst)
		hmap_remove(&inst->rev->by_id, inst->id);
	pthread_mutex_unlock(&inst->rev->lock);
	for (i = 0; i < inst->rev->workers_n; i++) {
		CHECK(list_empty(&inst->pools[i].idle) && list_empty(&inst->pools[i].open));
		tls_session_free(&inst->pools[i].tls_session);
	}
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

bool
instance_has_share(const struct instance *inst)
{
	return permits_limit(slots_read(&inst->conns)) > 0;
}
