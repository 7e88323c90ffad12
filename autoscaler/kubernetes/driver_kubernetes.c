/* driver_kubernetes - instances are pods of a Deployment, or of any workload that has a
 * scale subresource.  We set the number; the cluster's controllers make the pods; our own
 * watches tell which there are.  Nothing of it is ours to end: what the conf file names
 * no more, and everything when we leave, stays as it is. */
#include "autoscaler/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_impl.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/random.h"
#include "common/text.h"

/* Workloads that are seen together have their pods watched together; one kind that cannot
 * be read is not waited for any longer. */
#define PLAN_PATIENCE CLK_S

static struct kube_driver *
of(struct driver *d)
{
	return container_of(d, struct kube_driver, driver);
}

void
kube_touch(struct kube_workload *f)
{
	if (list_linked(&f->dirty))
		return;
	list_push(&f->d->dirty, &f->dirty);
	loop_timer_set(&f->d->flush, 0);
}

void
kube_plan_later(struct kube_driver *d)
{
	if (!d->is_plan_due)
		d->plan_due_ns = clk_now();
	d->is_plan_due = true;
	loop_timer_set(&d->flush, 0);
}

/* --- trouble --- */

static void
say(struct kube_trouble *t, const char *reason, const char *message)
{
	snprintf(t->reason, sizeof t->reason, "%s", reason);
	snprintf(t->message, sizeof t->message, "%s", message);
}

/* What keeps us from seeing or setting it. */
static bool
find_own_trouble(struct kube_workload *f, struct kube_trouble *t)
{
	const char *pods = kube_space_trouble(f);
	char *text;

	if (f->collection->kind->trouble != NULL)
		say(t, "NoSuchKind", f->collection->kind->trouble);
	else if (f->collection->trouble != NULL)
		say(t, "NotReadable", f->collection->trouble);
	else if (pods != NULL)
		say(t, "NotReadable", pods);
	else if (f->collection->is_synced && !f->replicas.exists && f->get == NULL &&
		 !f->is_get_due) {
		text = xasprintf("there is no %s %s in namespace %s", f->kind, f->name, f->ns);
		say(t, "NotFound", text);
		free(text);
	} else if (f->patch_trouble.reason[0] != '\0')
		*t = f->patch_trouble;
	else
		return false;
	return true;
}

static bool
find_trouble(struct kube_workload *f, struct kube_trouble *t)
{
	struct list_node *node, *tmp;

	if (find_own_trouble(f, t))
		return true;
	if (kube_replicas_current(&f->replicas) == 0)
		return false;
	if (f->trouble.reason[0] != '\0') {
		*t = f->trouble;
		return true;
	}
	LIST_FOREACH(&f->pods, node, tmp) {
		const struct kube_pod *m = container_of(node, struct kube_pod, node);

		if (m->trouble == NULL || m->is_deleting)
			continue;
		*t = *m->trouble;
		return true;
	}
	return false;
}

static bool
is_answering(const struct kube_workload *f)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->pods, node, tmp)
		if (kube_pod_is_serving(container_of(node, struct kube_pod, node)))
			return true;
	return false;
}

/* Nanoseconds until the failure is to be looked at again; 0: not for the time's sake. */
static int64_t
update_failure(struct kube_workload *f)
{
	int64_t now = clk_now(), patience = f->conf->launch.failure_patience, due;
	struct kube_trouble t;
	bool is_in_trouble = find_trouble(f, &t);

	kube_failure_update(&f->failure, is_in_trouble ? &t : NULL, is_answering(f), patience, now,
			    random_u32());
	due = kube_failure_due(&f->failure, patience);
	return due == 0 ? 0 : MAX(due - now, CLK_MS);
}

/* --- views --- */

static bool
is_known(const struct kube_workload *f)
{
	if (!f->collection->is_synced || f->is_get_due || f->get != NULL)
		return f->is_known_once;
	return !f->replicas.exists || f->is_pods_known;
}

static enum instance_state
state_of(const struct kube_pod *m)
{
	if (m->is_deleting)
		return INSTANCE_STOPPING;
	/* Ready means that a container runs, not that it listens, where nothing was asked. */
	return m->is_ready && (m->has_probe || m->is_answering) ? INSTANCE_READY
								: INSTANCE_STARTING;
}

static void
fill_view(struct kube_workload *f)
{
	struct list_node *node, *tmp;
	size_t n = 0;

	f->view = xrealloc(f->view, (f->pods.n + 1) * sizeof *f->view);
	LIST_FOREACH(&f->pods, node, tmp) {
		struct kube_pod *m = container_of(node, struct kube_pod, node);

		f->view[n++] = (struct driver_instance){
			.id = m->uid,
			.address = m->port == 0 ? NULL : m->ip,
			.port = m->port,
			.probe = m->probe,
			.state = state_of(m),
			.started_ns = m->started_ns,
			.goes_first = strcmp(f->kind, "StatefulSet") == 0 ? m->ordinal + 1 : 0,
			.cpu_s = -1,
		};
	}
}

static void
show(struct kube_workload *f)
{
	int64_t left = f->failure.until_ns - clk_now();
	struct msg_failure failure = {.reason = f->failure.what.reason,
				      .message = f->failure.what.message,
				      .retry_after_ms = (MAX(left, 0) + CLK_MS - 1) / CLK_MS};
	struct driver_view v = {.revision = f->revision,
				.n = f->pods.n,
				.has_scale = f->replicas.exists,
				.scale = kube_replicas_current(&f->replicas),
				.is_held = f->replicas.is_held};

	fill_view(f);
	v.v = f->view;
	v.is_known = f->is_known_once = is_known(f);
	v.failure = kube_failure_is_failed(&f->failure) ? &failure : NULL;
	f->d->driver.ops->on_view(&v, f->d->driver.arg);
}

/* --- the end of a round --- */

static void
drop_gone(struct kube_workload *f)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->pods, node, tmp) {
		struct kube_pod *m = container_of(node, struct kube_pod, node);

		if (m->is_gone)
			kube_pod_free(m);
	}
}

static void
look_after(struct kube_workload *f)
{
	int64_t failure, act;

	drop_gone(f);
	list_remove(&f->d->dirty, &f->dirty);
	act = kube_act(f);
	failure = update_failure(f);
	show(f);
	if (failure != 0 && (act == 0 || failure < act))
		act = failure;
	if (act != 0)
		loop_timer_set(&f->timer, act);
	else
		loop_timer_clear(&f->timer);
}

/* All workloads have been seen, as far as they can be. */
static bool
are_collections_synced(const struct kube_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->collections, node, tmp) {
		const struct kube_collection *p = container_of(node, struct kube_collection, node);

		if (p->watch != NULL && !p->is_synced && p->trouble == NULL)
			return false;
	}
	return true;
}

static void
plan_if_due(struct kube_driver *d)
{
	if (!d->is_plan_due ||
	    (!are_collections_synced(d) && clk_now() - d->plan_due_ns < PLAN_PATIENCE))
		return;
	d->is_plan_due = false;
	kube_spaces_plan(d);
}

static void finish_close(struct kube_driver *);

static void
on_flush(void *arg)
{
	struct kube_driver *d = arg;
	struct list_node *node;

	if (d->is_closing) {
		finish_close(d);
		return;
	}
	plan_if_due(d);
	while ((node = list_first(&d->dirty)) != NULL)
		look_after(container_of(node, struct kube_workload, dirty));
	if (d->is_plan_due && !loop_timer_pending(&d->flush))
		loop_timer_set(&d->flush, d->plan_due_ns + PLAN_PATIENCE - clk_now());
}

static void
on_workload_timer(void *arg)
{
	kube_touch(arg);
}

/* --- workloads --- */

static void
set_victims(struct kube_workload *f, const char *const *victims, size_t n)
{
	struct list_node *node, *tmp;
	size_t i;

	LIST_FOREACH(&f->pods, node, tmp) {
		struct kube_pod *m = container_of(node, struct kube_pod, node);

		m->is_victim = m->is_cost_refused = false;
		m->is_cost_asked = m->is_marking;
	}
	for (i = 0; i < n; i++) {
		struct kube_pod *m = hmap_find(&f->d->by_uid, victims[i]);

		if (m != NULL)
			m->is_victim = true;
	}
}

static void
workload_free(struct kube_workload *f)
{
	struct kube_driver *d = f->d;
	char *key = kube_object_key(f->group, f->kind, f->ns, f->name);
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->pods, node, tmp)
		kube_pod_free(container_of(node, struct kube_pod, node));
	kube_act_stop(f);
	loop_timer_fini(&f->timer);
	if (list_linked(&f->dirty))
		list_remove(&d->dirty, &f->dirty);
	list_remove(&d->workloads, &f->node);
	hmap_remove(&d->by_name, f->revision);
	hmap_remove(&d->by_object, key);
	free(key);
	kube_selector_free(&f->selector);
	free(f->view);
	free(f->port);
	free(f->name);
	free(f->ns);
	free(f->kind);
	free(f->version);
	free(f->group);
	free(f->revision);
	free(f);
}

/* "group/version/Kind/namespace/name", or, of the core group, four of these. */
static void
name_workload(struct kube_workload *f, const struct launch *l)
{
	char *text = l->workload != NULL ? xstrdup(l->workload)
					 : xasprintf("apps/v1/Deployment/%s", l->deployment);
	char *parts[5] = {NULL}, *at = text;
	size_t n = 0;

	while (at != NULL && n < ARRAY_LEN(parts))
		parts[n++] = strsep(&at, "/");
	CHECK(n >= 4 && at == NULL); /* settings_form has seen to it */
	f->group = xstrdup(n == 5 ? parts[0] : "");
	f->version = xstrdup(parts[n - 4]);
	f->kind = xstrdup(parts[n - 3]);
	f->ns = xstrdup(parts[n - 2]);
	f->name = xstrdup(parts[n - 1]);
	free(text);
}

static struct kube_workload *
workload_new(struct kube_driver *d, const struct revision_conf *conf)
{
	struct kube_workload *f = xcalloc(1, sizeof *f);
	char *key;

	f->d = d;
	f->revision = xstrdup(conf->full_name);
	f->conf = conf;
	name_workload(f, &conf->launch);
	kube_replicas_init(&f->replicas, conf->launch.foreign_scale == FOREIGN_OVERRULE);
	kube_failure_init(&f->failure);
	list_init(&f->pods);
	loop_timer_init(&f->timer, d->loop, on_workload_timer, f);
	list_push(&d->workloads, &f->node);
	hmap_put(&d->by_name, f->revision, f);
	key = kube_object_key(f->group, f->kind, f->ns, f->name);
	hmap_put(&d->by_object, key, f);
	free(key);
	return f;
}

static bool
is_same_workload(const struct kube_workload *f, const struct launch *l)
{
	struct kube_workload other = {.d = NULL};
	bool is_same;

	name_workload(&other, l);
	is_same = strcmp(f->group, other.group) == 0 && strcmp(f->version, other.version) == 0 &&
		  strcmp(f->kind, other.kind) == 0 && strcmp(f->ns, other.ns) == 0 &&
		  strcmp(f->name, other.name) == 0;
	free(other.name);
	free(other.ns);
	free(other.kind);
	free(other.version);
	free(other.group);
	return is_same;
}

/* What is new in its settings holds from now on; what is taken from pods by them is taken
 * anew. */
static void
take_conf(struct kube_workload *f, const struct revision_conf *conf)
{
	if (!text_equal(f->port, conf->launch.port) || f->probe != conf->limits.probe) {
		f->is_planned = false;
		kube_plan_later(f->d);
	}
	text_replace(&f->port, conf->launch.port);
	f->probe = conf->limits.probe;
	f->conf = conf;
	f->replicas.is_overruling = conf->launch.foreign_scale == FOREIGN_OVERRULE;
	if (f->replicas.is_overruling)
		f->replicas.is_held = false;
}

/* --- the class --- */

static void
kubernetes_set_revisions(struct driver *driver, const struct revision_conf *const *v, size_t n)
{
	struct kube_driver *d = of(driver);
	struct list_node *node, *tmp;
	size_t i;

	LIST_FOREACH(&d->workloads, node, tmp)
		container_of(node, struct kube_workload, node)->is_named = false;
	for (i = 0; i < n; i++) {
		struct kube_workload *f = hmap_find(&d->by_name, v[i]->full_name);

		if (f != NULL)
			f->is_named = is_same_workload(f, &v[i]->launch);
	}
	LIST_FOREACH(&d->workloads, node, tmp) {
		struct kube_workload *f = container_of(node, struct kube_workload, node);

		if (!f->is_named)
			workload_free(f);
	}
	kube_collections_begin(d);
	for (i = 0; i < n; i++) {
		struct kube_workload *f = hmap_find(&d->by_name, v[i]->full_name);
		bool is_new = f == NULL;

		if (is_new)
			f = workload_new(d, v[i]);
		take_conf(f, v[i]);
		f->collection = kube_collection_need(d, f->group, f->version, f->kind, f->ns,
						     false);
		f->collection->is_stale |= is_new;
		kube_touch(f);
	}
	if (d->services != NULL)
		kube_services_need(d->services);
	kube_collections_end(d);
	kube_plan_later(d);
}

static void
kubernetes_set_scale(struct driver *driver, const char *revision, uint32_t n,
		     const char *const *victims, size_t victims_n)
{
	struct kube_driver *d = of(driver);
	struct kube_workload *f = hmap_find(&d->by_name, revision);

	if (f == NULL)
		return;
	kube_replicas_want(&f->replicas, n);
	set_victims(f, victims, victims_n);
	f->is_weighed = false;
	/* At once, not at the end of a round: somebody waits. */
	if (n > kube_replicas_current(&f->replicas))
		kube_act(f);
	kube_touch(f);
}

static void
kubernetes_instance_answers(struct driver *driver, const char *id)
{
	struct kube_pod *m = hmap_find(&of(driver)->by_uid, id);

	if (m == NULL || m->is_answering)
		return;
	m->is_answering = true;
	kube_touch(m->workload);
}

/* The server answers again: watches that were silent meanwhile may hang on one that is
 * gone (a server that is told to end keeps them open), and what it did not answer is asked
 * again. */
static void
on_back(int64_t since_ns, void *arg)
{
	struct kube_driver *d = arg;
	struct list_node *node, *tmp;
	size_t i;

	log_info(NULL, "API server answers again", "away_ms=%lld",
		 (long long)((clk_now() - since_ns) / CLK_MS));
	if (d->services != NULL)
		kube_services_check(d->services, since_ns);
	LIST_FOREACH(&d->collections, node, tmp) {
		struct kube_collection *p = container_of(node, struct kube_collection, node);

		if (p->watch != NULL)
			kube_watch_check(p->watch, since_ns);
	}
	LIST_FOREACH(&d->spaces, node, tmp) {
		struct kube_space *s = container_of(node, struct kube_space, node);

		for (i = 0; i < s->n; i++)
			kube_watch_check(s->streams[i]->watch, since_ns);
	}
	LIST_FOREACH(&d->workloads, node, tmp) {
		struct kube_workload *f = container_of(node, struct kube_workload, node);

		if (!f->is_unanswered)
			continue;
		kube_replicas_retry_now(&f->replicas);
		kube_touch(f);
	}
}

static const struct kube_http_ops http_ops = {.on_back = on_back};

static struct driver *
kubernetes_open(struct loop *loop, const struct settings *s, const struct driver_ops *ops,
		void *arg, struct err *e)
{
	struct kube_driver *d = xcalloc(1, sizeof *d);

	d->driver = (struct driver){.class = &driver_kubernetes, .ops = ops, .arg = arg};
	d->loop = loop;
	d->settings = s;
	if (kube_config_load(&d->config, s->autoscaler.kubeconfig, e) == 0)
		d->http = kube_http_open(loop, &d->config, &http_ops, d, e);
	if (d->http == NULL) {
		kube_config_fini(&d->config);
		free(d);
		return NULL;
	}
	log_info(NULL, "cluster", "server=%s by=%s", d->config.server, d->config.origin);
	d->shared = (struct kube_watch_shared){.loop = loop, .http = d->http};
	list_init(&d->workloads);
	list_init(&d->kinds);
	list_init(&d->collections);
	list_init(&d->spaces);
	list_init(&d->dirty);
	hmap_init(&d->by_name);
	hmap_init(&d->by_object);
	hmap_init(&d->by_uid);
	loop_timer_init(&d->flush, loop, on_flush, d);
	if (s->autoscaler.namespaces.n > 0 || s->autoscaler.namespace_selector != NULL)
		d->services = kube_services_new(d);
	return &d->driver;
}

static void
kubernetes_counts(struct driver *driver, struct driver_counts *out)
{
	const struct kube_driver *d = of(driver);
	const struct kube_http_counts *http = kube_http_counts(d->http);

	*out = (struct driver_counts){.requests = http->requests,
				      .errors = http->errors,
				      .refusals = http->refused,
				      .events = d->shared.counts.events,
				      .lists = d->shared.counts.lists,
				      .watches = d->shared.counts.restarts,
				      .foreign = d->foreign_n};
}

static void
kubernetes_close(struct driver *driver, bool stop_all)
{
	struct kube_driver *d = of(driver);

	(void)stop_all; /* pods are the cluster's: they serve on while we are replaced */
	d->is_closing = true;
	loop_timer_set(&d->flush, 0);
}

static const struct service_conf *
kubernetes_services(struct driver *driver, const struct settings *settings, size_t *n)
{
	static const struct service_conf none;
	struct kube_driver *d = of(driver);

	*n = 0;
	return d->services == NULL ? &none : kube_services_get(d->services, settings, n);
}

static void
finish_close(struct kube_driver *d)
{
	struct list_node *node, *tmp;

	d->driver.ops->on_closed(d->driver.arg);
	LIST_FOREACH(&d->workloads, node, tmp)
		workload_free(container_of(node, struct kube_workload, node));
	kube_spaces_free(d);
	kube_services_free(&d->services);
	kube_collections_free(d);
	loop_timer_fini(&d->flush);
	kube_http_close(&d->http);
	hmap_fini(&d->by_uid);
	hmap_fini(&d->by_object);
	hmap_fini(&d->by_name);
	kube_config_fini(&d->config);
	free(d);
}

const struct driver_class driver_kubernetes = {
	.name = "kubernetes",
	.open = kubernetes_open,
	.set_revisions = kubernetes_set_revisions,
	.set_scale = kubernetes_set_scale,
	.instance_answers = kubernetes_instance_answers,
	.close = kubernetes_close,
	.counts = kubernetes_counts,
	.services = kubernetes_services,
};
