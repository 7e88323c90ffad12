#include "autoscaler/kubernetes/kube_collection.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_watch.h"
#include "autoscaler/kubernetes/kube_kind.h"
#include "autoscaler/kubernetes/kube_workload.h"
#include "common/log.h"
#include "common/text.h"

struct kube_collections {
	struct kube_watch_shared *shared;
	struct kube_workloads *workloads;
	struct list all;
};

struct kube_collection {
	struct list_node node;
	struct kube_collections *all;
	const struct kube_kind *kind;
	char *ns;
	bool is_needed; /* named since kube_collections_begin() */
	bool is_whole;	/* all objects are needed */
	bool is_relist_due;
	struct kube_watch *watch; /* NULL: the plural of its kind is not known yet */
	bool is_synced;
	uint64_t list_seq; /* counts the lists that were begun */
	char *error;
	const struct kube_watch_ops *observer; /* NULL: none */
	void *arg;			       /* the observer's */
};

/* --- its workloads --- */

static void
mark_all(struct kube_collection *c)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&c->all->workloads->all, node, tmp) {
		struct kube_workload *w = container_of(node, struct kube_workload, node);

		if (w->collection == c)
			kube_workload_changed(w);
	}
}

/* The name of its only object that is needed; NULL: several are needed, or all. */
static const char *
only_name(const struct kube_collection *c)
{
	const char *name = NULL;
	struct list_node *node, *tmp;
	size_t n = 0;

	LIST_FOREACH(&c->all->workloads->all, node, tmp) {
		const struct kube_workload *w = container_of(node, struct kube_workload, node);

		if (w->collection == c && n++ == 0)
			name = w->name;
	}
	return n == 1 && !c->is_whole ? name : NULL;
}

/* --- its watch --- */

static void
on_list_begin(void *arg)
{
	struct kube_collection *c = arg;
	struct list_node *node, *tmp;

	c->list_seq++;
	LIST_FOREACH(&c->all->workloads->all, node, tmp) {
		struct kube_workload *w = container_of(node, struct kube_workload, node);

		if (w->collection == c)
			kube_replicas_list_begin(&w->replicas);
	}
	if (c->observer != NULL)
		c->observer->on_list_begin(c->arg);
}

static void
on_event(const struct kube_event *ev, void *arg)
{
	struct kube_collection *c = arg;
	struct kube_workload *w = kube_workloads_find(c->all->workloads, c->kind->group,
						      c->kind->name, c->ns, ev->name);

	if (w != NULL && ev->type == KUBE_DELETED) {
		kube_workload_gone(w);
	} else if (w != NULL) {
		w->list_seq = c->list_seq;
		kube_workload_observe(w, ev);
	}
	if (c->observer != NULL)
		c->observer->on_event(ev, c->arg);
}

static void
on_list_end(void *arg)
{
	struct kube_collection *c = arg;
	struct list_node *node, *tmp;

	c->is_synced = true;
	LIST_FOREACH(&c->all->workloads->all, node, tmp) {
		struct kube_workload *w = container_of(node, struct kube_workload, node);

		if (w->collection != c)
			continue;
		if (w->list_seq != c->list_seq)
			kube_workload_gone(w);
		kube_replicas_list_end(&w->replicas);
	}
	if (c->observer != NULL)
		c->observer->on_list_end(c->arg);
	mark_all(c);
	kube_workloads_watch_pods(c->all->workloads);
}

static void
on_error(const char *why, void *arg)
{
	struct kube_collection *c = arg;

	/* An observer logs it with what else of the namespace it cannot read. */
	if (why != NULL && c->error == NULL && c->observer == NULL)
		log_warn(NULL, "cannot watch workloads", "kind=%s namespace=%s err=%s",
			 c->kind->name, c->ns, why);
	text_replace(&c->error, why);
	if (c->observer != NULL)
		c->observer->on_error(why, c->arg);
	mark_all(c);
}

static const struct kube_watch_ops watch_ops = {on_list_begin, on_event, on_list_end, on_error};

static void
set_watch(struct kube_collection *c)
{
	const char *only = only_name(c);
	char *fields = only == NULL ? NULL : xasprintf("metadata.name=%s", only);
	const struct kube_watch_conf conf = {.group_path = c->kind->path,
					     .group = c->kind->group,
					     .plural = c->kind->plural,
					     .ns = c->ns,
					     .fields = fields};

	if (c->watch != NULL && (c->is_relist_due || !kube_watch_matches(c->watch, &conf)))
		kube_watch_free(&c->watch);
	c->is_relist_due = false;
	if (c->watch == NULL && c->kind->plural != NULL)
		c->watch = kube_watch_new(c->all->shared, &conf, &watch_ops, c);
	free(fields);
}

void
kube_collection_relist(struct kube_collection *c)
{
	c->is_relist_due = true;
}

void
kube_collection_observe(struct kube_collection *c, const struct kube_watch_ops *ops, void *arg)
{
	c->is_relist_due |= ops != NULL && c->arg != arg;
	c->observer = ops;
	c->arg = arg;
}

bool
kube_collection_is_observed_by(const struct kube_collection *c, const void *arg)
{
	return c->arg == arg;
}

void
kube_collection_suspect(struct kube_collection *c, int64_t since_ns)
{
	if (c->watch != NULL)
		kube_watch_suspect(c->watch, since_ns);
}

bool
kube_collection_is_synced(const struct kube_collection *c)
{
	return c->is_synced;
}

const char *
kube_collection_error(const struct kube_collection *c)
{
	return c->error;
}

/* --- all of them --- */

struct kube_collection *
kube_collection_need(struct kube_collections *all, const struct kube_kind *kind, const char *ns,
		     bool is_whole)
{
	struct list_node *node, *tmp;
	struct kube_collection *c = NULL;

	LIST_FOREACH(&all->all, node, tmp) {
		c = container_of(node, struct kube_collection, node);
		if (c->kind == kind && strcmp(c->ns, ns) == 0)
			break;
		c = NULL;
	}
	if (c == NULL) {
		c = xcalloc(1, sizeof *c);
		c->all = all;
		c->kind = kind;
		c->ns = xstrdup(ns);
		list_push(&all->all, &c->node);
	}
	c->is_needed = true;
	c->is_whole |= is_whole;
	return c;
}

void
kube_collections_begin(struct kube_collections *all)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->all, node, tmp) {
		struct kube_collection *c = container_of(node, struct kube_collection, node);

		c->is_needed = c->is_whole = false;
	}
}

static void
collection_free(struct kube_collection *c)
{
	list_remove(&c->all->all, &c->node);
	kube_watch_free(&c->watch);
	free(c->error);
	free(c->ns);
	free(c);
}

void
kube_collections_end(struct kube_collections *all)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->all, node, tmp) {
		struct kube_collection *c = container_of(node, struct kube_collection, node);

		if (c->is_needed)
			set_watch(c);
		else
			collection_free(c);
	}
}

bool
kube_collections_are_synced(const struct kube_collections *all)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->all, node, tmp) {
		const struct kube_collection *c = container_of(node, struct kube_collection, node);

		if (c->watch != NULL && !c->is_synced && c->error == NULL)
			return false;
	}
	return true;
}

void
kube_collections_kind_changed(struct kube_collections *all, const struct kube_kind *kind)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->all, node, tmp) {
		struct kube_collection *c = container_of(node, struct kube_collection, node);

		if (c->kind != kind)
			continue;
		set_watch(c);
		mark_all(c);
	}
}

void
kube_collections_reconnect(struct kube_collections *all, int64_t since_ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->all, node, tmp) {
		struct kube_collection *c = container_of(node, struct kube_collection, node);

		if (c->watch != NULL)
			kube_watch_reconnect(c->watch, since_ns);
	}
}

struct kube_collections *
kube_collections_new(struct kube_watch_shared *shared, struct kube_workloads *workloads)
{
	struct kube_collections *all = xcalloc(1, sizeof *all);

	all->shared = shared;
	all->workloads = workloads;
	list_init(&all->all);
	return all;
}

void
kube_collections_free(struct kube_collections **ap)
{
	struct kube_collections *all = *ap;
	struct list_node *node, *tmp;

	*ap = NULL;
	if (all == NULL)
		return;
	LIST_FOREACH(&all->all, node, tmp)
		collection_free(container_of(node, struct kube_collection, node));
	free(all);
}
