#include "autoscaler/kubernetes/kube_pod.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kubernetes/kube_kind.h"
#include "autoscaler/kubernetes/kube_pod_json.h"
#include "autoscaler/kubernetes/kube_workload.h"
#include "common/clk.h"
#include "common/settings.h"
#include "common/text.h"

#define TEXT_LONGEST 253     /* bytes kept of a name or an annotation */
#define MESSAGE_LONGEST 1024 /* of what the status says of its trouble */

static void
set_text(char **to, const char *text)
{
	if (text_equal(*to, text))
		return;
	free(*to);
	*to = text == NULL ? NULL : xstrndup(text, TEXT_LONGEST);
}

/* --- life --- */

static uint32_t
ordinal_of(const struct kube_workload *w, const char *name)
{
	const char *dash = strrchr(name, '-');

	return w->kind->has_ordinals && dash != NULL ? (uint32_t)strtoul(dash + 1, NULL, 10) : 0;
}

struct kube_pod *
kube_pod_new(struct kube_workload *w, const struct kube_event *ev)
{
	struct kube_pod *pod = xcalloc(1, sizeof *pod);

	pod->workload = w;
	pod->uid = xstrndup(ev->uid, TEXT_LONGEST);
	pod->name = xstrndup(ev->name, TEXT_LONGEST);
	pod->ordinal = ordinal_of(w, ev->name);
	/* The start of a pod that existed before the driver is not known. */
	pod->started_ns = w->are_pods_complete ? clk_now() : 0;
	list_push(&w->pods, &pod->node);
	hmap_put(&w->all->pods, pod->uid, pod);
	return pod;
}

static void
trouble_free(struct kube_pod *pod)
{
	struct kube_pod_trouble *t = pod->trouble;

	if (t == NULL)
		return;
	free(t->ended_message);
	free(t->ended_reason);
	free(t->waiting_message);
	free(t->waiting_reason);
	free(t->unscheduled);
	free(t);
	pod->trouble = NULL;
}

void
kube_pod_free(struct kube_pod *pod)
{
	kube_workload_changed(pod->workload);
	list_remove(&pod->workload->pods, &pod->node);
	hmap_remove(&pod->workload->all->pods, pod->uid);
	kube_http_cancel(&pod->cost.request);
	trouble_free(pod);
	free(pod->problem);
	free(pod->cost.before);
	free(pod->cost.ours);
	free(pod->cost.shown);
	free(pod->probe);
	free(pod->ip);
	free(pod->name);
	free(pod->uid);
	free(pod);
}

void
kube_pod_gone(struct kube_pod *pod)
{
	pod->is_gone = true;
	kube_workload_changed(pod->workload);
}

void
kube_pod_free_gone(struct kube_workload *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->pods, node, tmp) {
		struct kube_pod *pod = container_of(node, struct kube_pod, node);

		if (pod->is_gone)
			kube_pod_free(pod);
	}
}

/* --- what the object says --- */

/* After a restart of a container, or a change from Ready to not Ready, an earlier answer to an
 * activator says nothing.  A container that was restarted is starting again, and is probed.  A
 * pod that is no longer Ready is not starting: the kubelet says when it is Ready again. */
static void
take_health(struct kube_pod *pod, const struct kube_pod_fields *f)
{
	bool is_restarted = f->restarts != pod->restarts;
	bool was_ready = f->was_ready || (!is_restarted && (pod->is_ready || pod->is_unready));

	pod->is_unready = !f->is_ready && was_ready;
	if (is_restarted || pod->is_unready) {
		pod->is_answering = false;
		pod->refused_ns = 0;
	}
	pod->restarts = f->restarts;
	pod->is_ready = f->is_ready;
	pod->is_deleting |= f->is_deleting;
}

static void
take_address(struct kube_pod *pod, const struct kube_event *ev, const struct kube_pod_fields *f)
{
	const struct revision_conf *conf = pod->workload->conf;
	bool is_asked = conf->limits.probe == PROBE_READINESS || conf->limits.probe == PROBE_AUTO;

	set_text(&pod->ip, f->ip);
	pod->port = kube_event_port(ev, conf->launch.port);
	pod->has_probe = kube_event_has_probe(ev, conf->launch.port);
	free(pod->probe);
	if (pod->is_unready)
		pod->probe = xstrdup("ready");
	else
		pod->probe = is_asked ? kube_event_probe(ev, conf->launch.port) : NULL;
}

static void
take_problem(struct kube_pod *pod, const struct kube_event *ev, const struct kube_pod_fields *f)
{
	const char *port = pod->workload->conf->launch.port;
	struct kube_problem p = {.age_ns = 0};

	if (pod->port == 0 && !f->is_deleting) {
		p.kind = KUBE_PROBLEM_MISTAKE;
		snprintf(p.reason, sizeof p.reason, "NoPort");
		snprintf(p.message, sizeof p.message,
			 "pod %s: which port serves? Set port (%s), or declare one containerPort",
			 pod->name, port == NULL ? "not set" : port);
	} else if (!kube_problem_of_pod(f, pod->name, &p)) {
		free(pod->problem);
		pod->problem = NULL;
		return;
	}
	if (pod->problem == NULL)
		pod->problem = xmalloc(sizeof *pod->problem);
	*pod->problem = p;
	pod->problem->age_ns = kube_time_age(kube_event_unready_time(ev), clk_wall());
}

/* At most MESSAGE_LONGEST bytes of it; NULL of NULL. */
static char *
message_of(const char *text)
{
	return text == NULL ? NULL : xstrndup(text, MESSAGE_LONGEST);
}

static void
take_trouble(struct kube_pod *pod, const struct kube_pod_fields *f)
{
	struct kube_pod_trouble *t;

	trouble_free(pod);
	if (f->is_ready || (f->trouble_container == NULL && f->unscheduled_message == NULL))
		return;
	t = pod->trouble = xcalloc(1, sizeof *t);
	t->unscheduled = message_of(f->unscheduled_message);
	if (f->trouble_container == NULL)
		return;
	t->waiting_reason = message_of(f->waiting_reason);
	t->waiting_message = message_of(f->waiting_message);
	t->ended_reason = message_of(f->ended_reason);
	t->ended_message = message_of(f->ended_message);
	t->ended_code = f->ended_code;
}

void
kube_pod_update(struct kube_pod *pod, const struct kube_event *ev, const struct kube_pod_fields *f)
{
	pod->is_gone = false;
	take_health(pod, f);
	take_address(pod, ev, f);
	take_problem(pod, ev, f);
	take_trouble(pod, f);
	if (pod->workload->images.n == 0)
		kube_event_images(ev, &pod->workload->images);
	set_text(&pod->cost.shown, f->cost);
	set_text(&pod->cost.ours, f->cost_ours);
	kube_workload_changed(pod->workload);
}

bool
kube_pod_is_serving(const struct kube_pod *pod)
{
	return !pod->is_deleting && (pod->is_answering || (pod->is_ready && pod->has_probe));
}

bool
kube_pods_are_serving(const struct kube_workload *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->pods, node, tmp)
		if (kube_pod_is_serving(container_of(node, struct kube_pod, node)))
			return true;
	return false;
}
