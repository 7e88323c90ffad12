/* kube_collection - which workloads are watched, and what they show. */
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_impl.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/random.h"
#include "common/text.h"

#define DISCOVERY_FIRST (500 * CLK_MS)
#define DISCOVERY_MOST (30 * CLK_S)

char *
kube_object_key(const char *group, const char *kind, const char *ns, const char *name)
{
	return xasprintf("%s/%s/%s/%s", group, kind, ns, name);
}

/* --- workloads of a collection --- */

static void
touch_all(struct kube_collection *p)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&p->d->workloads, node, tmp) {
		struct kube_workload *f = container_of(node, struct kube_workload, node);

		if (f->collection == p)
			kube_touch(f);
	}
}

static struct kube_workload *
workload_of(struct kube_collection *p, const char *name)
{
	char *key = kube_object_key(p->kind->group, p->kind->name, p->ns, name);
	struct kube_workload *f = hmap_find(&p->d->by_object, key);

	free(key);
	return f;
}

static void
take_selector(struct kube_workload *f, const char *text)
{
	struct err e;

	if (text == NULL ||
	    (f->selector != NULL && strcmp(kube_selector_text(f->selector), text) == 0))
		return;
	kube_selector_free(&f->selector);
	f->selector = kube_selector_parse(text, &e);
	if (f->selector == NULL)
		log_warn(NULL, "selector not understood", "revision=%s err=%s", f->revision,
			 e.text);
	f->is_planned = false;
	kube_plan_later(f->d);
}

static void
take_replicas(struct kube_workload *f, int64_t replicas, const char *rv, const char *manager)
{
	uint32_t before = kube_replicas_current(&f->replicas);
	uint32_t n = (uint32_t)MIN(MAX(replicas, 0), UINT32_MAX);

	if (!kube_replicas_observe(&f->replicas, n, rv, clk_now(), random_u32()))
		return;
	f->d->foreign_n++;
	log_warn(NULL, "someone else has scaled the workload",
		 "revision=%s workload=%s/%s from=%u to=%u ours=%u by=%s foreign_scale=%s",
		 f->revision, f->ns, f->name, before, n, f->replicas.wanted,
		 manager == NULL ? "unknown" : manager,
		 f->replicas.is_overruling ? "overrule" : "respect");
}

static void
take_gone(struct kube_workload *f)
{
	kube_replicas_gone(&f->replicas);
	f->trouble = (struct kube_trouble){.reason = ""};
	kube_touch(f);
}

static void
take_object(struct kube_workload *f, const struct kube_event *ev)
{
	struct kube_workload_fields w;

	f->epoch = f->collection->epoch;
	if (!f->collection->kind->is_plain) {
		f->is_get_due = true; /* where its replicas stand is for the server to say */
		kube_touch(f);
		return;
	}
	kube_workload_decode(ev, &w);
	if (!kube_failure_of_workload(&w, &f->trouble))
		f->trouble = (struct kube_trouble){.reason = ""};
	take_selector(f, w.selector);
	take_replicas(f, w.replicas, ev->rv, w.manager);
	kube_workload_fini(&w);
	kube_touch(f);
}

/* --- the watch of a collection --- */

static void
on_sync(void *arg)
{
	struct kube_collection *p = arg;
	struct list_node *node, *tmp;

	p->epoch++;
	LIST_FOREACH(&p->d->workloads, node, tmp) {
		struct kube_workload *f = container_of(node, struct kube_workload, node);

		if (f->collection == p)
			kube_replicas_list_begin(&f->replicas);
	}
	if (p->ops != NULL)
		p->ops->on_sync(p->arg);
}

static void
on_event(const struct kube_event *ev, void *arg)
{
	struct kube_collection *p = arg;
	struct kube_workload *f = workload_of(p, ev->name);

	if (f != NULL && ev->type == KUBE_DELETED)
		take_gone(f);
	else if (f != NULL)
		take_object(f, ev);
	if (p->ops != NULL)
		p->ops->on_event(ev, p->arg);
}

static void
on_synced(void *arg)
{
	struct kube_collection *p = arg;
	struct list_node *node, *tmp;

	p->is_synced = true;
	LIST_FOREACH(&p->d->workloads, node, tmp) {
		struct kube_workload *f = container_of(node, struct kube_workload, node);

		if (f->collection != p)
			continue;
		if (f->epoch != p->epoch)
			take_gone(f);
		kube_replicas_list_end(&f->replicas);
	}
	if (p->ops != NULL)
		p->ops->on_synced(p->arg);
	touch_all(p);
	kube_plan_later(p->d);
}

static void
on_trouble(const char *why, void *arg)
{
	struct kube_collection *p = arg;

	if (why != NULL && p->trouble == NULL)
		log_warn(NULL, "workloads cannot be watched", "kind=%s namespace=%s err=%s",
			 p->kind->name, p->ns, why);
	text_replace(&p->trouble, why);
	if (p->ops != NULL && why != NULL)
		p->ops->on_trouble(p->arg);
	touch_all(p);
}

static const struct kube_watch_ops watch_ops = {on_sync, on_event, on_synced, on_trouble};

/* The only name that is wanted of a collection; NULL: several, or all. */
static const char *
only_name(const struct kube_collection *p)
{
	const char *name = NULL;
	struct list_node *node, *tmp;
	size_t n = 0;

	LIST_FOREACH(&p->d->workloads, node, tmp) {
		const struct kube_workload *f = container_of(node, struct kube_workload, node);

		if (f->collection == p && n++ == 0)
			name = f->name;
	}
	return n == 1 && !p->is_whole ? name : NULL;
}

static void
set_watch(struct kube_collection *p)
{
	const char *only = only_name(p);
	char *fields = only == NULL ? NULL : xasprintf("metadata.name=%s", only);
	const struct kube_watch_conf conf = {.group_path = p->kind->path,
					     .group = p->kind->group,
					     .plural = p->kind->plural,
					     .ns = p->ns,
					     .fields = fields};

	if (p->watch != NULL && (p->is_stale || !kube_watch_is(p->watch, &conf)))
		kube_watch_free(&p->watch);
	p->is_stale = false;
	if (p->watch == NULL && p->kind->plural != NULL)
		p->watch = kube_watch_new(&p->d->shared, &conf, &watch_ops, p);
	free(fields);
}

/* --- kinds --- */

/* Those that everybody has, and that show all in the object itself. */
static const struct {
	const char *group, *version, *name, *plural;
} plain[] = {
	{"apps", "v1", "Deployment", "deployments"},
	{"apps", "v1", "StatefulSet", "statefulsets"},
	{"apps", "v1", "ReplicaSet", "replicasets"},
};

static void ask_kind(struct kube_kind *);

static void
kind_known(struct kube_kind *k)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&k->d->collections, node, tmp) {
		struct kube_collection *p = container_of(node, struct kube_collection, node);

		if (p->kind != k)
			continue;
		set_watch(p);
		touch_all(p);
	}
}

static void
on_kind_answer(const struct kube_answer *a, void *arg)
{
	struct kube_kind *k = arg;
	bool is_scaled = false;
	char why[600];

	k->request = NULL;
	if (a->status == 200)
		k->plural = kube_plural_decode(a->body, a->n, k->name, &is_scaled);
	if (k->plural != NULL && is_scaled) {
		text_replace(&k->trouble, NULL);
		kind_known(k);
		return;
	}
	text_replace(&k->plural, NULL);
	loop_timer_set(&k->again, kube_http_delay(&k->backoff, a));
	if (a->status == 0 || a->status == 429 || a->status >= 500)
		return;
	if (a->status == 200 || a->status == 404)
		snprintf(why, sizeof why, "the server has no kind %s with a scale in %s%s%s",
			 k->name, k->group, k->group[0] == '\0' ? "" : "/", k->version);
	else
		kube_http_explain(a, "get", k->path, k->group, "", why, sizeof why);
	text_replace(&k->trouble, why);
	kind_known(k);
}

static const struct kube_call_ops kind_ops = {.on_done = on_kind_answer};

static void
ask_kind(struct kube_kind *k)
{
	const struct kube_call call = {.method = "GET",
				       .path = k->path,
				       .priority = KUBE_NORMAL,
				       .timeout = KUBE_CALL_TIMEOUT};

	k->request = kube_http_call(k->d->http, &call, &kind_ops, k);
}

static void
on_kind_again(void *arg)
{
	ask_kind(arg);
}

static struct kube_kind *
kind_new(struct kube_driver *d, const char *group, const char *version, const char *name)
{
	struct kube_kind *k = xcalloc(1, sizeof *k);
	size_t i;

	k->d = d;
	k->group = xstrdup(group);
	k->version = xstrdup(version);
	k->name = xstrdup(name);
	k->path = group[0] == '\0' ? xasprintf("/api/%s", version)
				   : xasprintf("/apis/%s/%s", group, version);
	backoff_init(&k->backoff, DISCOVERY_FIRST, DISCOVERY_MOST);
	loop_timer_init(&k->again, d->loop, on_kind_again, k);
	list_push(&d->kinds, &k->node);
	for (i = 0; i < ARRAY_LEN(plain); i++)
		if (strcmp(plain[i].group, group) == 0 && strcmp(plain[i].version, version) == 0 &&
		    strcmp(plain[i].name, name) == 0) {
			k->is_plain = true;
			k->plural = xstrdup(plain[i].plural);
		}
	if (k->plural == NULL)
		ask_kind(k);
	return k;
}

static struct kube_kind *
find_kind(struct kube_driver *d, const char *group, const char *version, const char *name)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->kinds, node, tmp) {
		struct kube_kind *k = container_of(node, struct kube_kind, node);

		if (strcmp(k->group, group) == 0 && strcmp(k->version, version) == 0 &&
		    strcmp(k->name, name) == 0)
			return k;
	}
	return kind_new(d, group, version, name);
}

/* --- a scale that the object does not show --- */

static void
on_scale_answer(const struct kube_answer *a, void *arg)
{
	struct kube_workload *f = arg;
	struct kube_scale_answer scale;
	struct err e;

	f->get = NULL;
	if (a->status == 200 && kube_scale_decode(&scale, a->body, a->n, &e) == 0) {
		take_selector(f, scale.selector);
		take_replicas(f, scale.replicas, scale.rv == NULL ? "" : scale.rv, NULL);
		f->patch_trouble.reason[0] = '\0';
		kube_scale_answer_fini(&scale);
	} else if (a->status == 404) {
		take_gone(f);
	} else {
		f->is_get_due = true;
		f->get_ns = clk_now() + CLK_S;
		if (a->status == 403) {
			snprintf(f->patch_trouble.reason, sizeof f->patch_trouble.reason,
				 "Forbidden");
			kube_http_explain(a, "get", "scale", f->group, f->ns,
					  f->patch_trouble.message,
					  sizeof f->patch_trouble.message);
		}
	}
	kube_touch(f);
}

static const struct kube_call_ops scale_ops = {.on_done = on_scale_answer};

int64_t
kube_collection_get_scale(struct kube_workload *f)
{
	struct kube_kind *k = f->collection->kind;
	struct kube_call call = {.method = "GET", .priority = KUBE_NORMAL};
	int64_t wait = f->get_ns - clk_now();
	char *path;

	if (!f->is_get_due || f->get != NULL || k->plural == NULL)
		return 0;
	if (wait > 0)
		return wait;
	f->is_get_due = false;
	path = xasprintf("%s/namespaces/%s/%s/%s/scale", k->path, f->ns, k->plural, f->name);
	call.path = path;
	call.timeout = KUBE_CALL_TIMEOUT;
	f->get = kube_http_call(f->d->http, &call, &scale_ops, f);
	free(path);
	return 0;
}

/* --- needs --- */

struct kube_collection *
kube_collection_need(struct kube_driver *d, const char *group, const char *version,
		     const char *kind, const char *ns, bool is_whole)
{
	struct kube_kind *k = find_kind(d, group, version, kind);
	struct list_node *node, *tmp;
	struct kube_collection *p = NULL;

	LIST_FOREACH(&d->collections, node, tmp) {
		p = container_of(node, struct kube_collection, node);
		if (p->kind == k && strcmp(p->ns, ns) == 0)
			break;
		p = NULL;
	}
	if (p == NULL) {
		p = xcalloc(1, sizeof *p);
		p->d = d;
		p->kind = k;
		p->ns = xstrdup(ns);
		list_push(&d->collections, &p->node);
	}
	p->is_needed = true;
	p->is_whole |= is_whole;
	return p;
}

void
kube_collections_begin(struct kube_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->collections, node, tmp) {
		struct kube_collection *p = container_of(node, struct kube_collection, node);

		p->is_needed = p->is_whole = false;
	}
}

static void
collection_free(struct kube_collection *p)
{
	list_remove(&p->d->collections, &p->node);
	kube_watch_free(&p->watch);
	free(p->trouble);
	free(p->ns);
	free(p);
}

void
kube_collections_end(struct kube_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->collections, node, tmp) {
		struct kube_collection *p = container_of(node, struct kube_collection, node);

		if (p->is_needed)
			set_watch(p);
		else
			collection_free(p);
	}
}

void
kube_collections_free(struct kube_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->collections, node, tmp)
		collection_free(container_of(node, struct kube_collection, node));
	LIST_FOREACH(&d->kinds, node, tmp) {
		struct kube_kind *k = container_of(node, struct kube_kind, node);

		list_remove(&d->kinds, &k->node);
		kube_http_cancel(&k->request);
		loop_timer_fini(&k->again);
		free(k->trouble);
		free(k->plural);
		free(k->path);
		free(k->name);
		free(k->version);
		free(k->group);
		free(k);
	}
}
