#include "autoscaler/knative/kn_watches.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_cache.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_watch.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/str_list.h"
#include "common/text.h"

/* The watch on one kind, in one namespace or in all. */
struct kn_watch {
	struct list_node node;
	struct kn_watches *all;
	enum kn_kind kind;
	char *ns; /* NULL: all */
	struct kube_watch *watch;
	bool is_listed;
	char *error;
	bool is_needed;
};

struct kn_watches {
	struct kube_watch_shared *shared;
	struct kn_cache *cache;
	struct list v;
	void (*on_listed)(void *);
	void *arg;
	struct loop_timer listed; /* on_listed is due */
};

/* --- upcalls of a watch, also from within libcurl --- */

static void
on_list_begin(void *arg)
{
	struct kn_watch *w = arg;

	kn_cache_list_begin(w->all->cache, w->kind, w->ns);
}

static void
on_event(const struct kube_event *ev, void *arg)
{
	struct kn_watch *w = arg;

	if (ev->type == KUBE_DELETED)
		kn_cache_remove(w->all->cache, w->kind, ev->ns, ev->name, ev->uid);
	else
		kn_cache_put(w->all->cache, w->kind, ev->object);
}

static void
on_list_end(void *arg)
{
	struct kn_watch *w = arg;

	kn_cache_list_end(w->all->cache, w->kind, w->ns);
	if (!w->is_listed)
		loop_timer_set(&w->all->listed, 0);
	w->is_listed = true;
}

static bool
is_any_refused(const struct kn_watches *all)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->v, node, tmp)
		if (container_of(node, struct kn_watch, node)->error != NULL)
			return true;
	return false;
}

/* One line for all: where the CRDs are missing, none of their kinds can be watched. */
static void
on_error(const char *why, void *arg)
{
	struct kn_watch *w = arg;
	const struct kn_kind_names *k = kn_kind_names(w->kind);

	if (why != NULL && !is_any_refused(w->all))
		log_warn(NULL, "cannot watch Knative's objects",
			 "kind=%s group=%s namespace=%s err=%s", k->kind, k->group,
			 w->ns == NULL ? "" : w->ns, why);
	if (why != NULL && w->error == NULL)
		loop_timer_set(&w->all->listed, 0);
	text_replace(&w->error, why);
}

static const struct kube_watch_ops watch_ops = {on_list_begin, on_event, on_list_end, on_error};

/* --- the set --- */

static struct kn_watch *
find(const struct kn_watches *all, enum kn_kind kind, const char *ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->v, node, tmp) {
		struct kn_watch *w = container_of(node, struct kn_watch, node);

		if (w->kind == kind && text_equal(w->ns, ns))
			return w;
	}
	return NULL;
}

static struct kn_watch *
watch_new(struct kn_watches *all, enum kn_kind kind, const char *ns)
{
	const struct kn_kind_names *k = kn_kind_names(kind);
	char *path = xasprintf("/%s/%s", k->group[0] == '\0' ? "api" : "apis", k->api_version);
	const struct kube_watch_conf conf = {.group_path = path,
					     .group = k->group,
					     .plural = k->plural,
					     .ns = ns,
					     .labels = k->label};
	struct kn_watch *w = xcalloc(1, sizeof *w);

	w->all = all;
	w->kind = kind;
	w->ns = text_copy(ns);
	w->watch = kube_watch_new(all->shared, &conf, &watch_ops, w);
	list_push(&all->v, &w->node);
	free(path);
	return w;
}

static void
watch_free(struct kn_watch *w)
{
	list_remove(&w->all->v, &w->node);
	kube_watch_free(&w->watch);
	free(w->error);
	free(w->ns);
	free(w);
}

static void
need(struct kn_watches *all, enum kn_kind kind, const char *ns)
{
	struct kn_watch *w = find(all, kind, ns);

	if (w == NULL)
		w = watch_new(all, kind, ns);
	w->is_needed = true;
}

/* Objects that another watch shows come back with its list. */
static void
drop_others(struct kn_watches *all)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->v, node, tmp) {
		struct kn_watch *w = container_of(node, struct kn_watch, node);

		if (w->is_needed)
			continue;
		kn_cache_clear(all->cache, w->kind, w->ns);
		watch_free(w);
	}
}

void
kn_watches_use(struct kn_watches *all, const struct str_list *namespaces)
{
	struct list_node *node, *tmp;
	enum kn_kind kind;
	size_t i;

	LIST_FOREACH(&all->v, node, tmp)
		container_of(node, struct kn_watch, node)->is_needed = false;
	for (kind = 0; kind < KN_KINDS_N; kind++) {
		const char *only = kn_kind_names(kind)->ns;

		if (only != NULL || namespaces == NULL) {
			need(all, kind, only);
			continue;
		}
		for (i = 0; i < namespaces->n; i++)
			need(all, kind, namespaces->v[i]);
	}
	drop_others(all);
}

bool
kn_watches_are_listed(const struct kn_watches *all)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->v, node, tmp) {
		const struct kn_watch *w = container_of(node, struct kn_watch, node);

		/* Without ConfigMaps Knative's defaults hold. */
		if (!w->is_listed && (w->error == NULL || w->kind != KN_CONFIG_MAP))
			return false;
	}
	return true;
}

const char *
kn_watches_missing(const struct kn_watches *all)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->v, node, tmp) {
		const struct kn_watch *w = container_of(node, struct kn_watch, node);

		if (!w->is_listed && kube_watch_is_missing(w->watch))
			return w->error;
	}
	return NULL;
}

const char *
kn_watches_refusal(const struct kn_watches *all)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->v, node, tmp) {
		const struct kn_watch *w = container_of(node, struct kn_watch, node);

		if (!w->is_listed && w->error != NULL && w->kind != KN_CONFIG_MAP)
			return w->error;
	}
	return NULL;
}

void
kn_watches_reconnect(struct kn_watches *all, int64_t since_ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->v, node, tmp)
		kube_watch_reconnect(container_of(node, struct kn_watch, node)->watch, since_ns);
}

/* --- life --- */

static void
on_listed_due(void *arg)
{
	struct kn_watches *all = arg;

	all->on_listed(all->arg);
}

struct kn_watches *
kn_watches_new(struct kube_watch_shared *shared, struct kn_cache *cache,
	       const struct str_list *namespaces, void (*on_listed)(void *), void *arg)
{
	struct kn_watches *all = xcalloc(1, sizeof *all);

	all->shared = shared;
	all->cache = cache;
	all->on_listed = on_listed;
	all->arg = arg;
	list_init(&all->v);
	loop_timer_init(&all->listed, shared->loop, on_listed_due, all);
	kn_watches_use(all, namespaces);
	return all;
}

void
kn_watches_free(struct kn_watches **ap)
{
	struct kn_watches *all = *ap;
	struct list_node *node, *tmp;

	*ap = NULL;
	if (all == NULL)
		return;
	LIST_FOREACH(&all->v, node, tmp)
		watch_free(container_of(node, struct kn_watch, node));
	loop_timer_fini(&all->listed);
	free(all);
}
