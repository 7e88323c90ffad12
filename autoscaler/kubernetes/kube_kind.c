#include "autoscaler/kubernetes/kube_kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_json.h"
#include "common/clk.h"
#include "common/list.h"
#include "common/loop.h"
#include "common/text.h"

#define DISCOVERY_FIRST (500 * CLK_MS)
#define DISCOVERY_MOST (30 * CLK_S)

struct kube_kinds {
	struct loop *loop;
	struct kube_http *http;
	kube_kind_fn *on_change;
	void *arg;
	struct list all; /* struct kind */
};

struct kind {
	struct kube_kind shown;
	struct list_node node;
	struct kube_kinds *kinds;
	struct kube_request *request;
	struct loop_timer retry;
	struct backoff backoff;
};

static const struct {
	const char *group, *version, *name, *plural;
} built_in[] = {
	{"apps", "v1", "Deployment", "deployments"},
	{"apps", "v1", "StatefulSet", "statefulsets"},
	{"apps", "v1", "ReplicaSet", "replicasets"},
};

/* --- discovery --- */

static void
changed(struct kind *k)
{
	k->kinds->on_change(&k->shown, k->kinds->arg);
}

static void
take_refusal(struct kind *k, const struct kube_answer *a)
{
	struct kube_kind *s = &k->shown;
	char why[600];

	if (a->status == 200 || a->status == 404)
		snprintf(why, sizeof why, "the server has no kind %s with a scale in %s%s%s",
			 s->name, s->group, s->group[0] == '\0' ? "" : "/", s->version);
	else
		kube_http_explain(a, "get", s->path, s->group, "", why, sizeof why);
	text_replace(&s->error, why);
	changed(k);
}

static void
on_answer(const struct kube_answer *a, void *arg)
{
	struct kind *k = arg;
	struct kube_kind *s = &k->shown;
	bool is_scaled = false;

	k->request = NULL;
	if (a->status == 200)
		s->plural = kube_plural_decode(a->body, a->n, s->name, &is_scaled);
	if (s->plural != NULL && is_scaled) {
		text_replace(&s->error, NULL);
		changed(k);
		return;
	}
	text_replace(&s->plural, NULL);
	loop_timer_set(&k->retry, kube_http_delay(&k->backoff, a));
	if (a->status != 0 && a->status != 429 && a->status < 500)
		take_refusal(k, a);
}

static const struct kube_call_ops call_ops = {.on_done = on_answer};

static void
discover(struct kind *k)
{
	const struct kube_call call = {.method = "GET",
				       .path = k->shown.path,
				       .priority = KUBE_NORMAL,
				       .timeout = KUBE_CALL_TIMEOUT};

	k->request = kube_http_call(k->kinds->http, &call, &call_ops, k);
}

static void
on_retry(void *arg)
{
	discover(arg);
}

/* --- the set --- */

static void
set_built_in(struct kube_kind *s)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(built_in); i++)
		if (strcmp(built_in[i].group, s->group) == 0 &&
		    strcmp(built_in[i].version, s->version) == 0 &&
		    strcmp(built_in[i].name, s->name) == 0) {
			s->is_built_in = true;
			s->plural = xstrdup(built_in[i].plural);
		}
}

static struct kind *
kind_new(struct kube_kinds *kinds, const char *group, const char *version, const char *name)
{
	struct kind *k = xcalloc(1, sizeof *k);

	k->kinds = kinds;
	k->shown.group = xstrdup(group);
	k->shown.version = xstrdup(version);
	k->shown.name = xstrdup(name);
	k->shown.path = group[0] == '\0' ? xasprintf("/api/%s", version)
					 : xasprintf("/apis/%s/%s", group, version);
	k->shown.has_ordinals = strcmp(name, "StatefulSet") == 0;
	backoff_init(&k->backoff, DISCOVERY_FIRST, DISCOVERY_MOST);
	loop_timer_init(&k->retry, kinds->loop, on_retry, k);
	list_push(&kinds->all, &k->node);
	set_built_in(&k->shown);
	if (k->shown.plural == NULL)
		discover(k);
	return k;
}

const struct kube_kind *
kube_kinds_get(struct kube_kinds *kinds, const char *group, const char *version, const char *name)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&kinds->all, node, tmp) {
		const struct kube_kind *s = &container_of(node, struct kind, node)->shown;

		if (strcmp(s->group, group) == 0 && strcmp(s->version, version) == 0 &&
		    strcmp(s->name, name) == 0)
			return s;
	}
	return &kind_new(kinds, group, version, name)->shown;
}

struct kube_kinds *
kube_kinds_new(struct loop *loop, struct kube_http *http, kube_kind_fn *on_change, void *arg)
{
	struct kube_kinds *kinds = xcalloc(1, sizeof *kinds);

	kinds->loop = loop;
	kinds->http = http;
	kinds->on_change = on_change;
	kinds->arg = arg;
	list_init(&kinds->all);
	return kinds;
}

static void
kind_free(struct kind *k)
{
	list_remove(&k->kinds->all, &k->node);
	kube_http_cancel(&k->request);
	loop_timer_fini(&k->retry);
	free(k->shown.error);
	free(k->shown.plural);
	free(k->shown.path);
	free(k->shown.name);
	free(k->shown.version);
	free(k->shown.group);
	free(k);
}

void
kube_kinds_free(struct kube_kinds **kp)
{
	struct kube_kinds *kinds = *kp;
	struct list_node *node, *tmp;

	*kp = NULL;
	if (kinds == NULL)
		return;
	LIST_FOREACH(&kinds->all, node, tmp)
		kind_free(container_of(node, struct kind, node));
	free(kinds);
}
