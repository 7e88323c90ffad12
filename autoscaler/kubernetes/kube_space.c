/* kube_space - the pods of a namespace: which of them are watched, whose they are, and
 * what an activator has to know of them.
 * Memory of a pod: struct kube_pod, its name, uid and address, and its collection in by_uid:
 * under 1 KiB, whatever the object says; with probe = readiness as much as its probe needs
 * besides (at most 4 KiB), and while it is in trouble 600 bytes for saying so. */
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_impl.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/text.h"

#define SELECTOR_LONGEST 3000 /* bytes of a query that every proxy lets pass, encoded */
#define TEXT_LONGEST 253      /* of a name or annotation that is kept */

/* Set text; true: it was another one. */
static bool
set_text(char **to, const char *text)
{
	if (text_equal(*to, text))
		return false;
	free(*to);
	*to = text == NULL ? NULL : xstrndup(text, TEXT_LONGEST);
	return true;
}

/* --- whose it is --- */

static struct kube_workload *
find_object(struct kube_space *s, const char *group, const char *kind, const char *name)
{
	char *key = kube_object_key(group, kind, s->ns, name);
	struct kube_workload *f = hmap_find(&s->d->by_object, key);

	free(key);
	return f;
}

/* The Deployment that a ReplicaSet belongs to, by its name and the hash in its pods'
 * labels; NULL: it is none of a Deployment's.  The caller's. */
static char *
deployment_of(const struct kube_event *ev, const struct kube_pod_fields *p)
{
	const char *hash = kube_event_label(ev, "pod-template-hash");
	size_t n = strlen(p->owner_name), h = hash == NULL ? 0 : strlen(hash);

	if (h == 0 || n < h + 2 || strcmp(p->owner_name + n - h, hash) != 0 ||
	    p->owner_name[n - h - 1] != '-')
		return NULL;
	return xstrndup(p->owner_name, n - h - 1);
}

/* By selector alone: for owners that are not of the common kinds, or unknown.  With
 * is_common false, only workloads of other kinds are asked. */
static struct kube_workload *
find_by_labels(struct kube_space *s, const struct kube_event *ev, bool is_common)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->d->workloads, node, tmp) {
		struct kube_workload *f = container_of(node, struct kube_workload, node);

		if (f->selector != NULL && strcmp(f->ns, s->ns) == 0 &&
		    (is_common || !f->collection->kind->is_plain) &&
		    kube_selector_matches(f->selector, kube_event_label, ev))
			return f;
	}
	return NULL;
}

/* Two workloads may select the same pods, so that who owns it is asked first. */
static struct kube_workload *
owner_of(struct kube_space *s, const struct kube_event *ev, const struct kube_pod_fields *p)
{
	bool is_set = strcmp(p->owner_kind, "ReplicaSet") == 0;
	char *deployment = is_set ? deployment_of(ev, p) : NULL;
	struct kube_workload *f = NULL;

	if (deployment != NULL)
		f = find_object(s, "apps", "Deployment", deployment);
	if (f == NULL && p->owner_kind[0] != '\0')
		f = find_object(s, "apps", p->owner_kind, p->owner_name);
	if (f == NULL)
		f = find_by_labels(s, ev, is_set ? deployment == NULL : p->owner_kind[0] == '\0');
	free(deployment);
	return f != NULL && f->selector != NULL &&
			       kube_selector_matches(f->selector, kube_event_label, ev)
		       ? f
		       : NULL;
}

/* --- pods --- */

void
kube_pod_free(struct kube_pod *m)
{
	kube_touch(m->workload);
	list_remove(&m->workload->pods, &m->node);
	hmap_remove(&m->workload->d->by_uid, m->uid);
	kube_http_cancel(&m->request);
	free(m->trouble);
	free(m->cost_before);
	free(m->cost_ours);
	free(m->cost);
	free(m->probe);
	free(m->ip);
	free(m->name);
	free(m->uid);
	free(m);
}

bool
kube_pod_is_serving(const struct kube_pod *m)
{
	return !m->is_deleting && (m->is_answering || (m->is_ready && m->has_probe));
}

static uint32_t
ordinal_of(const struct kube_workload *f, const char *name)
{
	const char *dash = strrchr(name, '-');

	if (strcmp(f->kind, "StatefulSet") != 0 || dash == NULL)
		return 0;
	return (uint32_t)strtoul(dash + 1, NULL, 10);
}

static struct kube_pod *
pod_new(struct kube_workload *f, const struct kube_event *ev)
{
	struct kube_pod *m = xcalloc(1, sizeof *m);

	m->workload = f;
	m->uid = xstrndup(ev->uid, TEXT_LONGEST);
	m->name = xstrndup(ev->name, TEXT_LONGEST);
	m->ordinal = ordinal_of(f, ev->name);
	/* One that was there before us has started who knows when. */
	m->started_ns = f->is_pods_known ? clk_now() : 0;
	list_push(&f->pods, &m->node);
	hmap_put(&f->d->by_uid, m->uid, m);
	return m;
}

/* Its containers are other ones now, or do not serve: who answered before need not. */
static void
take_health(struct kube_pod *m, const struct kube_pod_fields *p)
{
	if (p->restarts != m->restarts || (m->is_ready && !p->is_ready))
		m->is_answering = false;
	m->restarts = p->restarts;
	m->is_ready = p->is_ready;
	m->is_deleting |= p->is_deleting;
}

static void
take_where(struct kube_pod *m, const struct kube_event *ev, const struct kube_pod_fields *p)
{
	const struct revision_conf *conf = m->workload->conf;
	bool is_asked = conf->limits.probe == PROBE_READINESS;

	set_text(&m->ip, p->ip);
	m->port = kube_pod_port(ev, conf->launch.port);
	m->has_probe = kube_pod_has_probe(ev, conf->launch.port);
	free(m->probe);
	m->probe = is_asked ? kube_pod_probe(ev, conf->launch.port) : NULL;
}

static void
take_trouble(struct kube_pod *m, const struct kube_pod_fields *p)
{
	struct kube_trouble t;

	if (m->ip != NULL && m->port == 0) {
		snprintf(t.reason, sizeof t.reason, "NoPort");
		snprintf(t.message, sizeof t.message,
			 "pod %s: which port serves? Set port (%s), or declare one containerPort",
			 m->name,
			 m->workload->conf->launch.port == NULL ? "not set"
								: m->workload->conf->launch.port);
	} else if (!kube_failure_of_pod(p, m->name, &t)) {
		free(m->trouble);
		m->trouble = NULL;
		return;
	}
	if (m->trouble == NULL)
		m->trouble = xmalloc(sizeof *m->trouble);
	*m->trouble = t;
}

/* It is freed at the end of the round: here, nothing may be cancelled. */
static void
forget(struct kube_pod *m)
{
	m->is_gone = true;
	kube_touch(m->workload);
}

static void
take_pod(struct kube_stream *st, const struct kube_event *ev)
{
	struct kube_pod *m = hmap_find(&st->space->d->by_uid, ev->uid);
	struct kube_workload *f;
	struct kube_pod_fields p;

	kube_pod_decode(ev, &p);
	f = owner_of(st->space, ev, &p);
	if (m != NULL && (f != m->workload || p.is_over))
		forget(m);
	if (f == NULL || p.is_over || (m != NULL && f != m->workload))
		return;
	if (m == NULL)
		m = pod_new(f, ev);
	m->is_gone = false;
	m->stream = st;
	m->epoch = st->epoch;
	take_health(m, &p);
	take_where(m, ev, &p);
	take_trouble(m, &p);
	set_text(&m->cost, p.cost);
	set_text(&m->cost_ours, p.cost_ours);
	kube_touch(f);
}

/* --- what the watches tell --- */

static void
on_sync(void *arg)
{
	((struct kube_stream *)arg)->epoch++;
}

static void
on_event(const struct kube_event *ev, void *arg)
{
	struct kube_stream *st = arg;
	struct kube_pod *m;

	if (ev->type != KUBE_DELETED) {
		take_pod(st, ev);
		return;
	}
	m = hmap_find(&st->space->d->by_uid, ev->uid);
	if (m != NULL && m->stream == st)
		forget(m);
}

static void
touch_all(struct kube_space *s, bool is_known)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->d->workloads, node, tmp) {
		struct kube_workload *f = container_of(node, struct kube_workload, node);

		if (strcmp(f->ns, s->ns) != 0)
			continue;
		if (is_known && f->is_planned)
			f->is_pods_known = true;
		kube_touch(f);
	}
}

static bool
is_whole(const struct kube_space *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (!s->streams[i]->is_synced)
			return false;
	return true;
}

/* What st has not told of in this epoch is gone; with is_orphan, also what no stream
 * tells of any more. */
static void
sweep(struct kube_space *s, const struct kube_stream *st, bool is_orphan)
{
	struct list_node *node, *tmp, *node2, *tmp2;

	LIST_FOREACH(&s->d->workloads, node, tmp) {
		struct kube_workload *f = container_of(node, struct kube_workload, node);

		if (strcmp(f->ns, s->ns) != 0)
			continue;
		LIST_FOREACH(&f->pods, node2, tmp2) {
			struct kube_pod *m = container_of(node2, struct kube_pod, node);

			if (m->stream == NULL ? is_orphan
					      : m->stream == st && m->epoch != st->epoch)
				forget(m);
		}
	}
}

static void
on_synced(void *arg)
{
	struct kube_stream *st = arg;

	st->is_synced = true;
	sweep(st->space, st, is_whole(st->space));
	touch_all(st->space, is_whole(st->space));
}

static void
on_trouble(const char *why, void *arg)
{
	struct kube_stream *st = arg;

	if (why != NULL && st->trouble == NULL)
		log_warn(NULL, "pods cannot be watched", "namespace=%s err=%s", st->space->ns, why);
	text_replace(&st->trouble, why);
	touch_all(st->space, false);
}

static const struct kube_watch_ops watch_ops = {on_sync, on_event, on_synced, on_trouble};

const char *
kube_space_trouble(const struct kube_workload *f)
{
	struct list_node *node, *tmp;
	size_t i;

	LIST_FOREACH(&f->d->spaces, node, tmp) {
		const struct kube_space *s = container_of(node, struct kube_space, node);

		if (strcmp(s->ns, f->ns) != 0)
			continue;
		for (i = 0; i < s->n; i++)
			if (s->streams[i]->trouble != NULL)
				return s->streams[i]->trouble;
	}
	return NULL;
}

/* --- which are watched --- */

static struct kube_stream *
stream_new(struct kube_space *s, const char *labels)
{
	struct kube_stream *st = xcalloc(1, sizeof *st);
	const struct kube_watch_conf conf = {.group_path = "/api/v1",
					     .group = "",
					     .plural = "pods",
					     .ns = s->ns,
					     .labels = labels};

	st->space = s;
	st->labels = xstrdup(labels);
	st->watch = kube_watch_new(&s->d->shared, &conf, &watch_ops, st);
	return st;
}

/* Its pods stay until the others have told all that there is. */
static void
stream_free(struct kube_stream *st)
{
	struct list_node *node, *tmp, *node2, *tmp2;

	LIST_FOREACH(&st->space->d->workloads, node, tmp) {
		struct kube_workload *f = container_of(node, struct kube_workload, node);

		LIST_FOREACH(&f->pods, node2, tmp2) {
			struct kube_pod *m = container_of(node2, struct kube_pod, node);

			if (m->stream == st)
				m->stream = NULL;
		}
	}
	kube_watch_free(&st->watch);
	free(st->trouble);
	free(st->labels);
	free(st);
}

static void
space_set(struct kube_space *s, char **labels, size_t n)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		stream_free(s->streams[i]);
	free(s->streams);
	s->streams = n == 0 ? NULL : xcalloc(n, sizeof(struct kube_stream *));
	s->n = n;
	for (i = 0; i < n; i++)
		s->streams[i] = stream_new(s, labels[i]);
}

static void
space_free(struct kube_space *s)
{
	space_set(s, NULL, 0);
	list_remove(&s->d->spaces, &s->node);
	free(s->ns);
	free(s);
}

static bool
is_as_planned(const struct kube_space *s, char **labels, size_t n)
{
	size_t i;

	for (i = 0; i < n && n == s->n; i++)
		if (strcmp(s->streams[i]->labels, labels[i]) != 0)
			return false;
	return n == s->n;
}

/* Workloads that are new to it need what has been told, and dropped, once more. */
static void
plan(struct kube_space *s)
{
	const struct kube_selector **v = xcalloc(s->d->workloads.n + 1, sizeof *v);
	struct list_node *node, *tmp;
	size_t v_n = 0, n, i;
	bool is_new = false;
	char **labels;

	LIST_FOREACH(&s->d->workloads, node, tmp) {
		struct kube_workload *f = container_of(node, struct kube_workload, node);

		if (f->selector == NULL || strcmp(f->ns, s->ns) != 0)
			continue;
		v[v_n++] = f->selector;
		is_new |= !f->is_planned;
		f->is_planned = true;
	}
	labels = kube_selector_cover(v, v_n, SELECTOR_LONGEST, &n);
	if (is_new || !is_as_planned(s, labels, n))
		space_set(s, labels, n);
	for (i = 0; i < n; i++)
		free(labels[i]);
	free(labels);
	free(v);
	if (s->n == 0)
		space_free(s);
}

static struct kube_space *
find_space(struct kube_driver *d, const char *ns)
{
	struct list_node *node, *tmp;
	struct kube_space *s;

	LIST_FOREACH(&d->spaces, node, tmp) {
		s = container_of(node, struct kube_space, node);
		if (strcmp(s->ns, ns) == 0)
			return s;
	}
	s = xcalloc(1, sizeof *s);
	s->d = d;
	s->ns = xstrdup(ns);
	list_push(&d->spaces, &s->node);
	return s;
}

void
kube_spaces_plan(struct kube_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->workloads, node, tmp)
		find_space(d, container_of(node, struct kube_workload, node)->ns);
	LIST_FOREACH(&d->spaces, node, tmp)
		plan(container_of(node, struct kube_space, node));
}

void
kube_spaces_free(struct kube_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->spaces, node, tmp)
		space_free(container_of(node, struct kube_space, node));
}
