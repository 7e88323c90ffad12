#include "autoscaler/kubernetes/kube_services.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_namespaces.h"
#include "autoscaler/kube/kube_recorder.h"
#include "autoscaler/kube/kube_watch.h"
#include "autoscaler/kubernetes/kube_annotated.h"
#include "autoscaler/kubernetes/kube_collection.h"
#include "autoscaler/kubernetes/kube_kind.h"
#include "autoscaler/kubernetes/kube_object.h"
#include "common/clk.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/text.h"

#define CHANGE_DELAY (20 * CLK_MS) /* changes within it are one call of on_change */

/* All Deployments, or all Services, of one namespace. */
struct services_collection {
	struct services_namespace *ns;
	enum kube_object_kind kind;
	bool is_listed; /* once, or it is not readable */
	char *error;	/* why it is not readable; NULL: it is */
	bool is_error_logged;
};

/* A namespace whose annotations are read. */
struct services_namespace {
	struct list_node node;
	struct kube_services *s;
	char *name;
	struct services_collection by_kind[KUBE_SERVICE + 1];
	struct kube_collection *deployments; /* whose observer is by_kind[KUBE_DEPLOYMENT] */
	struct kube_watch *services;
	bool is_needed;
};

struct kube_services {
	struct kube_services_conf c;
	void (*on_change)(void *);
	void *arg;
	struct kube_annotated *annotated;
	struct list namespaces;
	bool is_known; /* everything was listed once: the services are complete */
	bool is_changed;
	struct loop_timer timer;
};

static void
changed(struct kube_services *s)
{
	s->is_changed = true;
	if (!loop_timer_pending(&s->timer))
		loop_timer_set(&s->timer, CHANGE_DELAY);
}

static void
on_timer(void *arg)
{
	struct kube_services *s = arg;

	if (!s->is_changed)
		return;
	s->is_changed = false;
	s->on_change(s->arg);
}

/* --- Deployments and Services: upcalls of a watch --- */

static void
on_list_begin(void *arg)
{
	struct services_collection *c = arg;

	kube_annotated_list_begin(c->ns->s->annotated, c->kind, c->ns->name);
}

static void
on_event(const struct kube_event *ev, void *arg)
{
	struct services_collection *c = arg;
	struct kube_annotated *annotated = c->ns->s->annotated;
	struct kube_object o;
	bool is_change;

	if (ev->type == KUBE_DELETED) {
		is_change = kube_annotated_remove(annotated, c->kind, c->ns->name, ev->name);
	} else {
		kube_object_decode(ev, c->kind, &o);
		is_change = kube_annotated_put(annotated, &o);
	}
	if (is_change)
		changed(c->ns->s);
}

static void
set_listed(struct services_collection *c)
{
	if (!c->is_listed)
		changed(c->ns->s);
	c->is_listed = true;
}

static void
on_list_end(void *arg)
{
	struct services_collection *c = arg;

	if (kube_annotated_list_end(c->ns->s->annotated, c->kind, c->ns->name))
		changed(c->ns->s);
	set_listed(c);
}

/* One line for a namespace: where it does not exist, neither of the two can be read. */
static void
log_unreadable(struct services_namespace *ns)
{
	struct services_collection *c = NULL;
	enum kube_object_kind kind;

	for (kind = KUBE_DEPLOYMENT; kind <= KUBE_SERVICE; kind++) {
		ns->by_kind[kind].is_error_logged &= ns->by_kind[kind].error != NULL;
		if (ns->by_kind[kind].is_error_logged)
			return;
		if (c == NULL && ns->by_kind[kind].error != NULL)
			c = &ns->by_kind[kind];
	}
	if (c == NULL)
		return;
	c->is_error_logged = true;
	log_warn(NULL, "cannot watch a namespace for annotations", "namespace=%s kind=%s err=%s",
		 ns->name, kube_object_kind_name(c->kind), c->error);
}

static void
on_error(const char *why, void *arg)
{
	struct services_collection *c = arg;

	text_replace(&c->error, why);
	log_unreadable(c->ns);
	if (why != NULL)
		set_listed(c);
}

static const struct kube_watch_ops collection_ops = {on_list_begin, on_event, on_list_end,
						     on_error};

/* --- namespaces --- */

static struct services_namespace *
find_namespace(struct kube_services *s, const char *name)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->namespaces, node, tmp) {
		struct services_namespace *ns = container_of(node, struct services_namespace, node);

		if (strcmp(ns->name, name) == 0)
			return ns;
	}
	return NULL;
}

static struct services_namespace *
namespace_new(struct kube_services *s, const char *name)
{
	const struct kube_watch_conf conf = {
		.group_path = "/api/v1", .group = "", .plural = "services", .ns = name};
	struct services_namespace *ns = xcalloc(1, sizeof *ns);
	enum kube_object_kind kind;

	ns->s = s;
	ns->name = xstrdup(name);
	for (kind = KUBE_DEPLOYMENT; kind <= KUBE_SERVICE; kind++)
		ns->by_kind[kind] = (struct services_collection){.ns = ns, .kind = kind};
	ns->services = kube_watch_new(s->c.shared, &conf, &collection_ops,
				      &ns->by_kind[KUBE_SERVICE]);
	list_push(&s->namespaces, &ns->node);
	return ns;
}

static void
need(struct kube_services *s, const char *name)
{
	struct services_namespace *ns = find_namespace(s, name);

	if (ns == NULL)
		ns = namespace_new(s, name);
	ns->is_needed = true;
	ns->deployments = kube_collection_need(
		s->c.collections, kube_kinds_get(s->c.kinds, "apps", "v1", "Deployment"), name,
		true);
	kube_collection_observe(ns->deployments, &collection_ops, &ns->by_kind[KUBE_DEPLOYMENT]);
}

static void
namespace_free(struct services_namespace *ns)
{
	if (kube_collection_is_observed_by(ns->deployments, &ns->by_kind[KUBE_DEPLOYMENT]))
		kube_collection_observe(ns->deployments, NULL, NULL);
	list_remove(&ns->s->namespaces, &ns->node);
	kube_watch_free(&ns->services);
	free(ns->by_kind[KUBE_DEPLOYMENT].error);
	free(ns->by_kind[KUBE_SERVICE].error);
	free(ns->name);
	free(ns);
}

/* Its services end with it. */
static void
drop(struct services_namespace *ns)
{
	enum kube_object_kind kind;
	bool is_change = false;

	for (kind = KUBE_DEPLOYMENT; kind <= KUBE_SERVICE; kind++) {
		on_list_begin(&ns->by_kind[kind]); /* an empty list */
		is_change |= kube_annotated_list_end(ns->s->annotated, kind, ns->name);
	}
	if (is_change)
		changed(ns->s);
	namespace_free(ns);
}

void
kube_services_need(struct kube_services *s)
{
	const struct str_list *names = kube_namespaces_get(s->c.namespaces);
	struct list_node *node, *tmp;
	size_t i;

	LIST_FOREACH(&s->namespaces, node, tmp)
		container_of(node, struct services_namespace, node)->is_needed = false;
	for (i = 0; names != NULL && i < names->n; i++)
		need(s, names->v[i]);
	LIST_FOREACH(&s->namespaces, node, tmp) {
		struct services_namespace *ns = container_of(node, struct services_namespace, node);

		if (!ns->is_needed)
			drop(ns);
	}
}

/* --- the services --- */

/* kube_services_need() was called since the last namespace was selected. */
static bool
has_all_namespaces(struct kube_services *s)
{
	const struct str_list *names = kube_namespaces_get(s->c.namespaces);
	size_t i;

	for (i = 0; names != NULL && i < names->n; i++)
		if (find_namespace(s, names->v[i]) == NULL)
			return false;
	return true;
}

static bool
is_all_listed(struct kube_services *s)
{
	struct list_node *node, *tmp;

	if ((!kube_namespaces_are_listed(s->c.namespaces) &&
	     kube_namespaces_error(s->c.namespaces) == NULL) ||
	    !has_all_namespaces(s))
		return false;
	LIST_FOREACH(&s->namespaces, node, tmp) {
		const struct services_namespace *ns = container_of(node, struct services_namespace,
								   node);

		if (!ns->by_kind[KUBE_DEPLOYMENT].is_listed || !ns->by_kind[KUBE_SERVICE].is_listed)
			return false;
	}
	return true;
}

static void
record_refusal(struct kube_services *s, const struct kube_refusal *r)
{
	const struct kube_object *o = r->object;
	const struct kube_involved involved = {.group = o->kind == KUBE_DEPLOYMENT ? "apps" : "",
					       .version = "v1",
					       .kind = kube_object_kind_name(o->kind),
					       .ns = o->ns,
					       .name = o->name,
					       .uid = o->uid};

	kube_recorder_add(s->c.recorder, &involved, true, "ServiceRefused", r->why);
}

static void
report_refusals(struct kube_services *s)
{
	struct kube_refusal r;

	while (kube_annotated_next_refusal(s->annotated, &r)) {
		log_warn(NULL, "annotations refused", "object=%s/%s/%s err=%s",
			 kube_object_kind_name(r.object->kind), r.object->ns, r.object->name,
			 r.why);
		record_refusal(s, &r);
	}
}

const struct service_conf *
kube_services_get(struct kube_services *s, const struct settings *settings, size_t *n)
{
	const struct service_conf *v;

	*n = 0;
	s->is_known = s->is_known || is_all_listed(s);
	if (!s->is_known)
		return NULL;
	v = kube_annotated_services(s->annotated, settings, n);
	report_refusals(s);
	return v;
}

void
kube_services_reconnect(struct kube_services *s, int64_t since_ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->namespaces, node, tmp)
		kube_watch_reconnect(container_of(node, struct services_namespace, node)->services,
				     since_ns);
}

/* --- life --- */

struct kube_services *
kube_services_new(const struct kube_services_conf *c, void (*on_change)(void *), void *arg)
{
	struct kube_services *s = xcalloc(1, sizeof *s);

	s->c = *c;
	s->is_known = c->is_known;
	s->on_change = on_change;
	s->arg = arg;
	s->annotated = kube_annotated_new();
	list_init(&s->namespaces);
	loop_timer_init(&s->timer, c->shared->loop, on_timer, s);
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
	loop_timer_fini(&s->timer);
	LIST_FOREACH(&s->namespaces, node, tmp)
		namespace_free(container_of(node, struct services_namespace, node));
	kube_annotated_free(&s->annotated);
	free(s);
}
