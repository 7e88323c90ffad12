#include "autoscaler/kubernetes/kube_facts.h"

#include "autoscaler/knative/kn.h"
#include "autoscaler/kubernetes/kube_pod.h"
#include "autoscaler/kubernetes/kube_workload.h"
#include "common/file.h"
#include "common/strbuf.h"

static void
add_text(struct strbuf *to, const char *text)
{
	strbuf_addf(to, "\n%s", text == NULL ? "" : text);
}

/* Of several pods that are in trouble the first counts, as with Knative. */
static void
take_trouble(const struct kube_pod_trouble *t, struct kn_revision_facts *f)
{
	f->unscheduled = t->unscheduled;
	f->waiting_reason = t->waiting_reason;
	f->waiting_message = t->waiting_message;
	f->ended_reason = t->ended_reason;
	f->ended_message = t->ended_message;
	f->ended_code = t->ended_code;
}

static void
fill(const struct kube_workload *w, struct kn_revision_facts *f)
{
	bool has_trouble = false;
	struct list_node *node, *tmp;

	*f = (struct kn_revision_facts){.actual = -1, .desired = -1, .ready = -1};
	f->is_known = w->is_known_once && w->replicas.exists;
	if (!f->is_known)
		return;
	f->ready = 0;
	LIST_FOREACH(&w->pods, node, tmp) {
		const struct kube_pod *pod = container_of(node, struct kube_pod, node);

		f->ready += kube_pod_is_serving(pod);
		f->unasked += pod->is_ready && !pod->is_deleting && !kube_pod_is_serving(pod);
		if (has_trouble || pod->trouble == NULL || pod->is_deleting)
			continue;
		has_trouble = true;
		take_trouble(pod->trouble, f);
	}
	f->most_ready = MAX(w->most_ready, f->ready);
	f->images = w->images.v;
	f->images_n = w->images.n;
	f->actual = f->ready;
	f->desired = (int32_t)MIN(kube_replicas_current(&w->replicas), (uint32_t)INT32_MAX);
}

bool
kube_facts_get(const struct kube_workloads *all, const char *ns, const char *deployment,
	       struct kn_revision_facts *f)
{
	const struct kube_workload *w = kube_workloads_find(all, "apps", "Deployment", ns,
							    deployment);

	*f = (struct kn_revision_facts){.actual = -1, .desired = -1, .ready = -1};
	if (w != NULL)
		fill(w, f);
	return w != NULL;
}

bool
kube_facts_have_changed(struct kube_workload *w)
{
	struct kn_revision_facts f;
	struct strbuf text;
	uint64_t digest;
	size_t i;

	fill(w, &f);
	w->most_ready = f.most_ready; /* 0 where the object is gone */
	strbuf_init(&text, 0);
	strbuf_addf(&text, "%d %d %d %d %d %d %lld", f.is_known, f.actual, f.desired, f.ready,
		    f.most_ready, f.unasked, (long long)f.ended_code);
	add_text(&text, f.unscheduled);
	add_text(&text, f.waiting_reason);
	add_text(&text, f.waiting_message);
	add_text(&text, f.ended_reason);
	add_text(&text, f.ended_message);
	for (i = 0; i < f.images_n; i++)
		add_text(&text, f.images[i]);
	digest = file_digest(text.data, text.len);
	strbuf_fini(&text);
	if (digest == w->facts_digest)
		return false;
	w->facts_digest = digest;
	return true;
}
