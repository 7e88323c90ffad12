/* driver_kubernetes - the class of the driver: instances are pods of a Deployment, or of any
 * workload with a scale subresource.  The driver sets the replicas, the cluster's controllers
 * create and delete the pods, and watches show which pods there are.  A workload that the conf
 * file names no more keeps its replicas, and so do all when the autoscaler ends.
 * kube_workload.h has the map of the files.
 * Thread: the autoscaler's only loop. */
#include "autoscaler/driver.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/knative.h"
#include "autoscaler/kube/kube_config.h"
#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_namespaces.h"
#include "autoscaler/kube/kube_recorder.h"
#include "autoscaler/kube/kube_watch.h"
#include "autoscaler/kubernetes/kube_collection.h"
#include "autoscaler/kubernetes/kube_facts.h"
#include "autoscaler/kubernetes/kube_found.h"
#include "autoscaler/kubernetes/kube_kind.h"
#include "autoscaler/kubernetes/kube_pod.h"
#include "autoscaler/kubernetes/kube_pods.h"
#include "autoscaler/kubernetes/kube_report.h"
#include "autoscaler/kubernetes/kube_scale.h"
#include "autoscaler/kubernetes/kube_services.h"
#include "autoscaler/kubernetes/kube_view.h"
#include "autoscaler/kubernetes/kube_workload.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/text.h"

/* Watches on pods begin when all workloads are listed, so that one watch serves many of them, or
 * after this time, where a kind cannot be listed. */
#define LIST_PATIENCE CLK_S

struct kube_driver {
	struct driver driver;
	struct kube_config config;
	struct kube_http *http;
	struct kube_watch_shared shared;
	struct kube_kinds *kinds;
	struct kube_recorder *recorder;
	struct kube_workloads workloads;
	struct kube_collections *collections;
	struct kube_pods *pods;
	struct kube_namespaces *namespaces;
	struct kube_services *services; /* NULL: annotations are not read */
	struct kn_controllers *knative; /* NULL: Knative's objects are not served */
	struct kube_found found;	/* the services of both */
	bool is_closing;
};

static struct kube_driver *
of(struct driver *d)
{
	return container_of(d, struct kube_driver, driver);
}

/* --- the end of a round --- */

/* The workload's controller counts more pods than are known, or fewer than those that are not
 * being deleted.  Whether it counts the others depends on the kind. */
static bool
are_pods_missing(const struct kube_workload *w)
{
	struct list_node *node, *tmp;
	size_t active = 0;

	if (!w->are_pods_complete || w->counted_n < 0)
		return false;
	LIST_FOREACH(&w->pods, node, tmp)
		active += !container_of(node, struct kube_pod, node)->is_deleting;
	return (uint64_t)w->counted_n > w->pods.n || (uint64_t)w->counted_n < active;
}

/* Returns in how many ns to call it again; 0: once the workload has changed. */
static int64_t
expect_echoes(struct kube_driver *d, struct kube_workload *w)
{
	int64_t now = clk_now();
	bool is_due = kube_echo_update(&w->scale_echo, w->replicas.is_unconfirmed, now);

	if (is_due)
		kube_collection_suspect(w->collection, w->scale_echo.since_ns);
	if (kube_echo_update(&w->pods_echo, are_pods_missing(w), now))
		kube_pods_suspect(d->pods, w, w->pods_echo.since_ns);
	else if (is_due) /* what silences the one watch is likely to silence the other */
		kube_pods_suspect(d->pods, w, w->scale_echo.since_ns);
	return kube_workload_sooner(kube_echo_wait(&w->scale_echo, now),
				    kube_echo_wait(&w->pods_echo, now));
}

static void
reconcile(struct kube_driver *d, struct kube_workload *w)
{
	int64_t wait;

	kube_pod_free_gone(w);
	list_remove(&d->workloads.changed, &w->changed);
	wait = kube_scale_step(w);
	wait = kube_workload_sooner(wait, kube_view_show(w, d->pods));
	wait = kube_workload_sooner(wait, kube_report_step(w));
	wait = kube_workload_sooner(wait, expect_echoes(d, w));
	if (d->knative != NULL && strcmp(w->kind->name, "Deployment") == 0 &&
	    kube_facts_have_changed(w))
		knative_deployment_changed(d->knative, w->ns, w->name);
	if (wait != 0)
		loop_timer_set(&w->timer, wait);
	else
		loop_timer_clear(&w->timer);
}

static void
watch_pods_if_due(struct kube_driver *d)
{
	struct kube_workloads *all = &d->workloads;

	if (!all->is_pod_watch_due || (!kube_collections_are_synced(d->collections) &&
				       clk_now() - all->pod_watch_due_ns < LIST_PATIENCE))
		return;
	all->is_pod_watch_due = false;
	kube_pods_watch(d->pods);
}

static void finish_close(struct kube_driver *);

static void
on_reconcile(void *arg)
{
	struct kube_driver *d = arg;
	struct kube_workloads *all = &d->workloads;
	struct list_node *node;

	if (d->is_closing) {
		finish_close(d);
		return;
	}
	watch_pods_if_due(d);
	while ((node = list_first(&all->changed)) != NULL)
		reconcile(d, container_of(node, struct kube_workload, changed));
	if (all->is_pod_watch_due && !loop_timer_pending(&all->reconcile))
		loop_timer_set(&all->reconcile, all->pod_watch_due_ns + LIST_PATIENCE - clk_now());
}

/* --- revisions --- */

static void
drop_workload(struct kube_workload *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->pods, node, tmp)
		kube_pod_free(container_of(node, struct kube_pod, node));
	kube_scale_cancel(w);
	kube_report_cancel(w);
	kube_workload_free(w);
}

/* The settings of a revision, which may have changed: pods that were read by the old settings are
 * listed again. */
static void
take_conf(struct kube_workload *w, const struct revision_conf *conf)
{
	if (!text_equal(w->port, conf->launch.port) || w->probe != conf->limits.probe) {
		w->is_selector_used = false;
		kube_workloads_watch_pods(w->all);
	}
	text_replace(&w->port, conf->launch.port);
	w->probe = conf->limits.probe;
	w->conf = conf;
	w->replicas.is_overruling = conf->launch.foreign_scale == FOREIGN_OVERRULE;
	if (w->replicas.is_overruling)
		w->replicas.is_held = false;
}

static void
drop_others(struct kube_driver *d, const struct revision_conf *const *v, size_t n)
{
	struct list_node *node, *tmp;
	size_t i;

	LIST_FOREACH(&d->workloads.all, node, tmp)
		container_of(node, struct kube_workload, node)->is_configured = false;
	for (i = 0; i < n; i++) {
		struct kube_workload *w = hmap_find(&d->workloads.by_revision, v[i]->full_name);

		if (w != NULL)
			w->is_configured = kube_workload_is(w, &v[i]->launch);
	}
	LIST_FOREACH(&d->workloads.all, node, tmp) {
		struct kube_workload *w = container_of(node, struct kube_workload, node);

		if (!w->is_configured)
			drop_workload(w);
	}
}

static void
kubernetes_set_revisions(struct driver *driver, const struct revision_conf *const *v, size_t n)
{
	struct kube_driver *d = of(driver);
	size_t i;

	drop_others(d, v, n);
	kube_collections_begin(d->collections);
	for (i = 0; i < n; i++) {
		struct kube_workload *w = hmap_find(&d->workloads.by_revision, v[i]->full_name);
		bool is_new = w == NULL;

		if (is_new)
			w = kube_workload_new(&d->workloads, v[i]);
		take_conf(w, v[i]);
		w->collection = kube_collection_need(d->collections, w->kind, w->ns, false);
		if (is_new)
			kube_collection_relist(w->collection);
		kube_workload_changed(w);
	}
	if (d->services != NULL)
		kube_services_need(d->services);
	kube_collections_end(d->collections);
	kube_workloads_watch_pods(&d->workloads);
}

static void
set_victims(struct kube_workload *w, const char *const *victims, size_t n)
{
	struct list_node *node, *tmp;
	size_t i;

	LIST_FOREACH(&w->pods, node, tmp) {
		struct kube_pod *pod = container_of(node, struct kube_pod, node);

		pod->is_victim = pod->cost.is_mark_refused = false;
		pod->cost.is_mark_sent = pod->cost.is_marking;
	}
	for (i = 0; i < n; i++) {
		struct kube_pod *pod = hmap_find(&w->all->pods, victims[i]);

		if (pod != NULL)
			pod->is_victim = true;
	}
}

static void
kubernetes_set_scale(struct driver *driver, const char *revision, uint32_t n,
		     const char *const *victims, size_t victims_n)
{
	struct kube_driver *d = of(driver);
	struct kube_workload *w = hmap_find(&d->workloads.by_revision, revision);

	if (w == NULL)
		return;
	kube_replicas_want(&w->replicas, n);
	set_victims(w, victims, victims_n);
	w->is_staying_written = false;
	/* Requests wait for a scale-up: send it at once, not at the end of the round. */
	if (n > kube_replicas_current(&w->replicas))
		kube_scale_step(w);
	kube_workload_changed(w);
}

static void
kubernetes_instance_answers(struct driver *driver, const char *id)
{
	struct kube_pod *pod = hmap_find(&of(driver)->workloads.pods, id);

	/* Of a pod that is not Ready any more the report is out of date. */
	if (pod == NULL || pod->is_answering || pod->is_unready)
		return;
	pod->is_answering = true;
	pod->refused_ns = 0;
	kube_workload_changed(pod->workload);
}

/* Restarting its container is the kubelet's part, and that of its livenessProbe.  The driver says
 * that it does not answer, and if that lasts, the owner of the workload is told. */
static void
kubernetes_instance_refuses(struct driver *driver, const char *id)
{
	struct kube_pod *pod = hmap_find(&of(driver)->workloads.pods, id);

	if (pod == NULL || pod->refused_ns != 0 || pod->is_unready || pod->is_deleting)
		return;
	pod->is_answering = pod->is_refusal_seen = false;
	pod->refused_ns = clk_now();
	kube_workload_changed(pod->workload);
}

static const struct service_conf *
kubernetes_services(struct driver *driver, const struct settings *settings, size_t *n)
{
	struct kube_driver *d = of(driver);

	return kube_found_get(&d->found, d->services, d->knative, settings, n);
}

static uint64_t
kubernetes_services_serial(struct driver *driver)
{
	return of(driver)->found.serial;
}

static void
kubernetes_routed(struct driver *driver, uint64_t serial)
{
	struct kube_driver *d = of(driver);

	if (d->knative != NULL)
		knative_routed(d->knative, serial);
}

/* --- callbacks --- */

/* The server answers again.  A server that shuts down keeps its watches open, but sends nothing
 * more over them: those that have been silent are begun again.  PATCHes that were not answered
 * are sent again. */
static void
on_back(int64_t since_ns, void *arg)
{
	struct kube_driver *d = arg;
	struct list_node *node, *tmp;

	log_info(NULL, "API server answers again", "away_ms=%lld",
		 (long long)((clk_now() - since_ns) / CLK_MS));
	kube_namespaces_reconnect(d->namespaces, since_ns);
	if (d->services != NULL)
		kube_services_reconnect(d->services, since_ns);
	if (d->knative != NULL)
		knative_reconnect(d->knative, since_ns);
	kube_collections_reconnect(d->collections, since_ns);
	kube_pods_reconnect(d->pods, since_ns);
	LIST_FOREACH(&d->workloads.all, node, tmp) {
		struct kube_workload *w = container_of(node, struct kube_workload, node);

		if (!w->is_patch_unanswered)
			continue;
		kube_replicas_retry_now(&w->replicas);
		kube_workload_changed(w);
	}
}

static const char *
withhold(void *arg)
{
	const struct kube_driver *d = arg;

	return d->driver.ops->withhold == NULL ? NULL : d->driver.ops->withhold(d->driver.arg);
}

static const struct kube_http_ops http_ops = {.on_back = on_back, .withhold = withhold};

static void
on_kind_change(const struct kube_kind *kind, void *arg)
{
	struct kube_driver *d = arg;

	kube_collections_kind_changed(d->collections, kind);
}

static void
on_services_change(void *arg)
{
	struct kube_driver *d = arg;

	d->driver.ops->on_services(d->driver.arg);
}

static void
on_namespaces_change(void *arg)
{
	struct kube_driver *d = arg;

	if (d->knative != NULL)
		knative_use_namespaces(d->knative);
	on_services_change(d);
}

/* --- life --- */

/* is_reload: the services are described already. */
static void
watch_annotations(struct kube_driver *d, bool is_reload)
{
	if (d->services == NULL && kube_namespaces_get(d->namespaces) != NULL)
		d->services = kube_services_new(
			&(struct kube_services_conf){.shared = &d->shared,
						     .kinds = d->kinds,
						     .collections = d->collections,
						     .recorder = d->recorder,
						     .namespaces = d->namespaces,
						     .is_known = is_reload},
			on_services_change, d);
}

static bool
on_facts(const char *ns, const char *deployment, struct kn_revision_facts *out, void *arg)
{
	const struct kube_driver *d = arg;

	return kube_facts_get(&d->workloads, ns, deployment, out);
}

static enum rollout_verdict
on_judge(const struct rollout_question *q, char **why, void *arg)
{
	const struct kube_driver *d = arg;

	return d->driver.ops->judge(q, why, d->driver.arg);
}

static void
open_knative(struct kube_driver *d, const struct settings *s)
{
	const struct knative_conf conf = {.shared = &d->shared,
					  .recorder = d->recorder,
					  .namespaces = d->namespaces,
					  .settings = s,
					  .revision = on_facts,
					  .judge = d->driver.ops->judge == NULL ? NULL : on_judge,
					  .on_services = on_services_change,
					  .arg = d};

	d->knative = knative_open(&conf);
}

static void
kubernetes_use_settings(struct driver *driver, const struct settings *s)
{
	struct kube_driver *d = of(driver);

	kube_namespaces_use(d->namespaces, s);
	watch_annotations(d, true);
	if (d->knative != NULL)
		knative_use(d->knative, s);
}

static struct driver *
kubernetes_open(struct loop *loop, const struct settings *s, const struct driver_ops *ops,
		void *arg, struct err *e)
{
	struct kube_driver *d = xcalloc(1, sizeof *d);

	d->driver = (struct driver){.class = &driver_kubernetes, .ops = ops, .arg = arg};
	if (kube_config_load(&d->config, s->autoscaler.kubeconfig, e) == 0)
		d->http = kube_http_open(loop, &d->config, &http_ops, d, e);
	if (d->http == NULL) {
		kube_config_fini(&d->config);
		free(d);
		return NULL;
	}
	log_info(NULL, "kubernetes driver started", "server=%s credentials=%s", d->config.server,
		 d->config.origin);
	d->shared = (struct kube_watch_shared){.loop = loop, .http = d->http};
	d->kinds = kube_kinds_new(loop, d->http, on_kind_change, d);
	d->recorder = kube_recorder_new(loop, d->http);
	kube_workloads_init(&d->workloads, loop, d->http, d->kinds, d->recorder, &d->driver,
			    on_reconcile, d);
	d->collections = kube_collections_new(&d->shared, &d->workloads);
	d->pods = kube_pods_new(&d->shared, &d->workloads);
	d->namespaces = kube_namespaces_new(&d->shared, s, on_namespaces_change, d);
	watch_annotations(d, false);
	if (s->autoscaler.knative)
		open_knative(d, s);
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
				      .watches = d->shared.counts.watches,
				      .foreign = d->workloads.replicas_by_others_n};
}

static void
kubernetes_close(struct driver *driver, bool stop_all)
{
	struct kube_driver *d = of(driver);

	(void)stop_all; /* pods go on serving while the autoscaler is replaced */
	d->is_closing = true;
	loop_timer_set(&d->workloads.reconcile, 0);
}

static void
finish_close(struct kube_driver *d)
{
	struct list_node *node, *tmp;

	d->driver.ops->on_closed(d->driver.arg);
	LIST_FOREACH(&d->workloads.all, node, tmp)
		drop_workload(container_of(node, struct kube_workload, node));
	kube_pods_free(&d->pods);
	knative_close(&d->knative);
	kube_services_free(&d->services);
	kube_namespaces_free(&d->namespaces);
	kube_found_fini(&d->found);
	kube_collections_free(&d->collections);
	kube_workloads_fini(&d->workloads);
	kube_recorder_free(&d->recorder);
	kube_kinds_free(&d->kinds);
	kube_http_close(&d->http);
	kube_config_fini(&d->config);
	free(d);
}

const struct driver_class driver_kubernetes = {
	.name = "kubernetes",
	.open = kubernetes_open,
	.use_settings = kubernetes_use_settings,
	.set_revisions = kubernetes_set_revisions,
	.set_scale = kubernetes_set_scale,
	.instance_answers = kubernetes_instance_answers,
	.instance_refuses = kubernetes_instance_refuses,
	.close = kubernetes_close,
	.counts = kubernetes_counts,
	.services = kubernetes_services,
	.services_serial = kubernetes_services_serial,
	.routed = kubernetes_routed,
};
