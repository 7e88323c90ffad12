#include "autoscaler/kubernetes/kube_services.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_annotated.h"
#include "autoscaler/kubernetes/kube_impl.h"
#include "autoscaler/kubernetes/kube_json.h"
#include "autoscaler/kubernetes/kube_object.h"
#include "autoscaler/kubernetes/kube_recorder.h"
#include "common/clk.h"
#include "common/log.h"

#define NEWS_DELAY (20 * CLK_MS) /* what comes together is looked at together */

/* One namespace whose annotations are looked at. */
struct noted_space {
	struct list_node node;
	struct kube_services *s;
	char *ns;
	struct kube_collection *collection; /* its Deployments */
	struct kube_watch *services;
	bool is_seen[2]; /* by enum kube_object_kind: told whole once, or cannot be read */
	bool is_wanted;
};

struct kube_services {
	struct kube_driver *d;
	struct kube_annotated *annotated;
	struct kube_recorder *recorder;
	struct list spaces;
	struct kube_watch *namespaces; /* NULL: there is no selector */
	struct hmap selected;	       /* names, while they match it */
	struct hmap told;	       /* those that were told since on_sync */
	bool are_namespaces_seen;
	bool is_known; /* all has been seen once: what is told from then on is whole */
	bool is_news;
	struct loop_timer later;
};

static void
news(struct kube_services *s)
{
	s->is_news = true;
	if (!loop_timer_pending(&s->later))
		loop_timer_set(&s->later, NEWS_DELAY);
}

/* --- objects --- */

static void
take(struct noted_space *n, enum kube_object_kind kind, const struct kube_event *ev)
{
	struct kube_object o;
	bool is_news;

	if (ev->type == KUBE_DELETED) {
		is_news = kube_annotated_remove(n->s->annotated, kind, n->ns, ev->name);
	} else {
		kube_object_decode(ev, kind, &o);
		is_news = kube_annotated_put(n->s->annotated, &o);
	}
	if (is_news)
		news(n->s);
}

static void
seen(struct noted_space *n, enum kube_object_kind kind)
{
	if (!n->is_seen[kind])
		news(n->s);
	n->is_seen[kind] = true;
}

static void
synced(struct noted_space *n, enum kube_object_kind kind)
{
	if (kube_annotated_list_end(n->s->annotated, kind, n->ns))
		news(n->s);
	seen(n, kind);
}

static void
on_deployments_sync(void *arg)
{
	struct noted_space *n = arg;

	kube_annotated_list_begin(n->s->annotated, KUBE_DEPLOYMENT, n->ns);
}

static void
on_deployment(const struct kube_event *ev, void *arg)
{
	take(arg, KUBE_DEPLOYMENT, ev);
}

static void
on_deployments_synced(void *arg)
{
	synced(arg, KUBE_DEPLOYMENT);
}

static void
on_deployments_trouble(void *arg)
{
	seen(arg, KUBE_DEPLOYMENT);
}

static const struct kube_collection_ops deployment_ops = {
	on_deployment, on_deployments_sync, on_deployments_synced, on_deployments_trouble};

static void
on_services_sync(void *arg)
{
	struct noted_space *n = arg;

	kube_annotated_list_begin(n->s->annotated, KUBE_SERVICE, n->ns);
}

static void
on_service(const struct kube_event *ev, void *arg)
{
	take(arg, KUBE_SERVICE, ev);
}

static void
on_services_synced(void *arg)
{
	synced(arg, KUBE_SERVICE);
}

static void
on_services_trouble(const char *why, void *arg)
{
	struct noted_space *n = arg;

	if (why == NULL)
		return;
	log_warn(NULL, "annotations of Services cannot be read", "namespace=%s err=%s", n->ns, why);
	seen(n, KUBE_SERVICE);
}

static const struct kube_watch_ops service_ops = {on_services_sync, on_service, on_services_synced,
						  on_services_trouble};

/* --- namespaces --- */

static struct noted_space *
find_space(struct kube_services *s, const char *ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->spaces, node, tmp) {
		struct noted_space *n = container_of(node, struct noted_space, node);

		if (strcmp(n->ns, ns) == 0)
			return n;
	}
	return NULL;
}

static void
want(struct kube_services *s, const char *ns)
{
	const struct kube_watch_conf conf = {
		.group_path = "/api/v1", .group = "", .plural = "services", .ns = ns};
	struct noted_space *n = find_space(s, ns);

	if (n == NULL) {
		n = xcalloc(1, sizeof *n);
		n->s = s;
		n->ns = xstrdup(ns);
		n->services = kube_watch_new(&s->d->shared, &conf, &service_ops, n);
		list_push(&s->spaces, &n->node);
	}
	n->is_wanted = true;
	n->collection = kube_collection_need(s->d, "apps", "v1", "Deployment", ns, true);
	/* Whoever watched it before has been told what we have not. */
	n->collection->is_stale |= n->collection->arg != n;
	n->collection->ops = &deployment_ops;
	n->collection->arg = n;
}

static void
space_free(struct noted_space *n)
{
	if (n->collection->arg == n) {
		n->collection->ops = NULL;
		n->collection->arg = NULL;
	}
	list_remove(&n->s->spaces, &n->node);
	kube_watch_free(&n->services);
	free(n->ns);
	free(n);
}

/* Its services go with it. */
static void
space_drop(struct noted_space *n)
{
	enum kube_object_kind kind;
	bool is_news = false;

	for (kind = KUBE_DEPLOYMENT; kind <= KUBE_SERVICE; kind++) {
		kube_annotated_list_begin(n->s->annotated, kind, n->ns);
		is_news |= kube_annotated_list_end(n->s->annotated, kind, n->ns);
	}
	if (is_news)
		news(n->s);
	space_free(n);
}

void
kube_services_need(struct kube_services *s)
{
	const struct str_list *named = &s->d->settings->autoscaler.namespaces;
	struct list_node *node, *tmp;
	const char *ns;
	void *unused;
	size_t i, at = 0;

	LIST_FOREACH(&s->spaces, node, tmp)
		container_of(node, struct noted_space, node)->is_wanted = false;
	for (i = 0; i < named->n; i++)
		want(s, named->v[i]);
	while (hmap_next(&s->selected, &at, &ns, &unused))
		want(s, ns);
	LIST_FOREACH(&s->spaces, node, tmp) {
		struct noted_space *n = container_of(node, struct noted_space, node);

		if (!n->is_wanted)
			space_drop(n);
	}
}

static void
on_namespaces_sync(void *arg)
{
	struct kube_services *s = arg;

	hmap_fini(&s->told);
	hmap_init(&s->told);
}

static void
on_namespace(const struct kube_event *ev, void *arg)
{
	struct kube_services *s = arg;
	bool is_gone = ev->type == KUBE_DELETED;

	if (is_gone != (hmap_find(&s->selected, ev->name) == NULL))
		news(s);
	if (is_gone) {
		hmap_remove(&s->selected, ev->name);
		hmap_remove(&s->told, ev->name);
	} else {
		hmap_put(&s->selected, ev->name, s);
		hmap_put(&s->told, ev->name, s);
	}
}

static void
on_namespaces_synced(void *arg)
{
	struct kube_services *s = arg;
	const char *ns;
	void *unused;
	size_t at = 0;

	while (hmap_next(&s->selected, &at, &ns, &unused))
		if (hmap_find(&s->told, ns) == NULL) {
			hmap_remove(&s->selected, ns);
			at = 0;
		}
	s->are_namespaces_seen = true;
	news(s);
}

static void
on_namespaces_trouble(const char *why, void *arg)
{
	struct kube_services *s = arg;

	if (why == NULL)
		return;
	log_warn(NULL, "namespaces cannot be selected", "namespace_selector=%s err=%s",
		 s->d->settings->autoscaler.namespace_selector, why);
	s->are_namespaces_seen = true;
	news(s);
}

static const struct kube_watch_ops namespace_ops = {on_namespaces_sync, on_namespace,
						    on_namespaces_synced, on_namespaces_trouble};

/* --- what comes of it --- */

/* Each namespace that is named or selected has its space. */
static bool
has_all_spaces(struct kube_services *s)
{
	const struct str_list *named = &s->d->settings->autoscaler.namespaces;
	const char *ns;
	void *unused;
	size_t i, at = 0;

	for (i = 0; i < named->n; i++)
		if (find_space(s, named->v[i]) == NULL)
			return false;
	while (hmap_next(&s->selected, &at, &ns, &unused))
		if (find_space(s, ns) == NULL)
			return false;
	return true;
}

static bool
is_all_seen(struct kube_services *s)
{
	struct list_node *node, *tmp;

	if ((s->namespaces != NULL && !s->are_namespaces_seen) || !has_all_spaces(s))
		return false;
	LIST_FOREACH(&s->spaces, node, tmp) {
		const struct noted_space *n = container_of(node, struct noted_space, node);

		if (!n->is_seen[KUBE_DEPLOYMENT] || !n->is_seen[KUBE_SERVICE])
			return false;
	}
	return true;
}

static void
tell_refusals(struct kube_services *s)
{
	struct kube_refusal r;

	while (kube_annotated_next_refusal(s->annotated, &r)) {
		log_warn(NULL, "annotated object refused", "object=%s/%s/%s why=%s",
			 kube_object_kind_name(r.object->kind), r.object->ns, r.object->name,
			 r.why);
		kube_recorder_warn(s->recorder, r.object, "ServiceRefused", r.why);
	}
}

const struct service_conf *
kube_services_get(struct kube_services *s, const struct settings *settings, size_t *n)
{
	const struct service_conf *v;

	*n = 0;
	s->is_known = s->is_known || is_all_seen(s);
	if (!s->is_known)
		return NULL;
	v = kube_annotated_services(s->annotated, settings, n);
	tell_refusals(s);
	return v;
}

static void
on_later(void *arg)
{
	struct kube_services *s = arg;

	if (!s->is_news)
		return;
	s->is_news = false;
	s->d->driver.ops->on_services(s->d->driver.arg);
}

void
kube_services_check(struct kube_services *s, int64_t since_ns)
{
	struct list_node *node, *tmp;

	if (s->namespaces != NULL)
		kube_watch_check(s->namespaces, since_ns);
	LIST_FOREACH(&s->spaces, node, tmp)
		kube_watch_check(container_of(node, struct noted_space, node)->services, since_ns);
}

/* --- life --- */

struct kube_services *
kube_services_new(struct kube_driver *d)
{
	const char *selector = d->settings->autoscaler.namespace_selector;
	const struct kube_watch_conf conf = {
		.group_path = "/api/v1", .group = "", .plural = "namespaces", .labels = selector};
	struct kube_services *s = xcalloc(1, sizeof *s);

	s->d = d;
	s->annotated = kube_annotated_new();
	s->recorder = kube_recorder_new(d->loop, d->http);
	list_init(&s->spaces);
	hmap_init(&s->selected);
	hmap_init(&s->told);
	loop_timer_init(&s->later, d->loop, on_later, s);
	if (selector != NULL)
		s->namespaces = kube_watch_new(&d->shared, &conf, &namespace_ops, s);
	return s;
}

void
kube_services_free(struct kube_services **sp)
{
	struct kube_services *s = *sp;
	struct list_node *node, *tmp;

	*sp = NULL;
	if (s == NULL)
		return;
	loop_timer_fini(&s->later);
	LIST_FOREACH(&s->spaces, node, tmp)
		space_free(container_of(node, struct noted_space, node));
	kube_watch_free(&s->namespaces);
	hmap_fini(&s->told);
	hmap_fini(&s->selected);
	kube_recorder_free(&s->recorder);
	kube_annotated_free(&s->annotated);
	free(s);
}
