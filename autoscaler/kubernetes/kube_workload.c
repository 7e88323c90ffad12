#include "autoscaler/kubernetes/kube_workload.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kubernetes/kube_kind.h"
#include "autoscaler/kubernetes/kube_selector.h"
#include "autoscaler/kubernetes/kube_workload_json.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/random.h"
#include "common/settings.h"
#include "common/text.h"

#define STATE_RETRY_FIRST CLK_S
#define STATE_RETRY_MOST (60 * CLK_S)

/* --- the set --- */

void
kube_workloads_init(struct kube_workloads *all, struct loop *loop, struct kube_http *http,
		    struct kube_kinds *kinds, struct kube_recorder *recorder,
		    const struct driver *driver, void (*on_reconcile)(void *), void *arg)
{
	*all = (struct kube_workloads){
		.loop = loop, .http = http, .kinds = kinds, .recorder = recorder, .driver = driver};
	list_init(&all->all);
	list_init(&all->changed);
	hmap_init(&all->by_revision);
	hmap_init(&all->by_object);
	hmap_init(&all->pods);
	loop_timer_init(&all->reconcile, loop, on_reconcile, arg);
}

void
kube_workloads_fini(struct kube_workloads *all)
{
	CHECK(list_empty(&all->all));
	free(all->state_refusal);
	loop_timer_fini(&all->reconcile);
	hmap_fini(&all->pods);
	hmap_fini(&all->by_object);
	hmap_fini(&all->by_revision);
}

/* "apps/Deployment/default/hello"; the caller's. */
static char *
object_key(const char *group, const char *kind, const char *ns, const char *name)
{
	return xasprintf("%s/%s/%s/%s", group, kind, ns, name);
}

struct kube_workload *
kube_workloads_find(const struct kube_workloads *all, const char *group, const char *kind,
		    const char *ns, const char *name)
{
	char *key = object_key(group, kind, ns, name);
	struct kube_workload *w = hmap_find(&all->by_object, key);

	free(key);
	return w;
}

void
kube_workloads_watch_pods(struct kube_workloads *all)
{
	if (!all->is_pod_watch_due)
		all->pod_watch_due_ns = clk_now();
	all->is_pod_watch_due = true;
	loop_timer_set(&all->reconcile, 0);
}

void
kube_workload_changed(struct kube_workload *w)
{
	if (list_linked(&w->changed))
		return;
	list_push(&w->all->changed, &w->changed);
	loop_timer_set(&w->all->reconcile, 0);
}

/* --- a workload --- */

/* The object that the settings name by "group/version/Kind/namespace/name", or without the group
 * where that is the core group. */
struct reference {
	char *text; /* the others point into it */
	const char *group, *version, *kind, *ns, *name;
};

static void
reference_init(struct reference *r, const struct launch *l)
{
	char *parts[5] = {NULL}, *at;
	size_t n = 0;

	r->text = l->workload != NULL ? xstrdup(l->workload)
				      : xasprintf("apps/v1/Deployment/%s", l->deployment);
	for (at = r->text; at != NULL && n < ARRAY_LEN(parts);)
		parts[n++] = strsep(&at, "/");
	CHECK(n >= 4 && at == NULL); /* settings_form has checked it */
	r->group = n == 5 ? parts[0] : "";
	r->version = parts[n - 4];
	r->kind = parts[n - 3];
	r->ns = parts[n - 2];
	r->name = parts[n - 1];
}

static void
on_timer(void *arg)
{
	kube_workload_changed(arg);
}

struct kube_workload *
kube_workload_new(struct kube_workloads *all, const struct revision_conf *conf)
{
	struct kube_workload *w = xcalloc(1, sizeof *w);
	struct reference r;
	char *key;

	reference_init(&r, &conf->launch);
	w->all = all;
	w->revision = xstrdup(conf->full_name);
	w->conf = conf;
	w->kind = kube_kinds_get(all->kinds, r.group, r.version, r.kind);
	w->ns = xstrdup(r.ns);
	w->name = xstrdup(r.name);
	kube_replicas_init(&w->replicas, conf->launch.foreign_scale == FOREIGN_OVERRULE);
	kube_failure_init(&w->failure);
	w->patch_failure = w->counted_n = -1;
	backoff_init(&w->report.retry, STATE_RETRY_FIRST, STATE_RETRY_MOST);
	list_init(&w->pods);
	loop_timer_init(&w->timer, all->loop, on_timer, w);
	list_push(&all->all, &w->node);
	hmap_put(&all->by_revision, w->revision, w);
	key = object_key(r.group, r.kind, r.ns, r.name);
	hmap_put(&all->by_object, key, w);
	free(key);
	free(r.text);
	return w;
}

static void
report_fini(struct kube_report *r)
{
	free(r->sent);
	free(r->refusing.cause);
	free(r->held.cause);
	free(r->failing.cause);
	free(r->cause);
	free(r->shown_rv);
	free(r->shown);
	free(r->uid);
}

void
kube_workload_free(struct kube_workload *w)
{
	struct kube_workloads *all = w->all;
	char *key = object_key(w->kind->group, w->kind->name, w->ns, w->name);

	CHECK(list_empty(&w->pods) && w->patch == NULL && w->get == NULL &&
	      w->report.request == NULL);
	loop_timer_fini(&w->timer);
	if (list_linked(&w->changed))
		list_remove(&all->changed, &w->changed);
	list_remove(&all->all, &w->node);
	hmap_remove(&all->by_revision, w->revision);
	hmap_remove(&all->by_object, key);
	free(key);
	kube_selector_free(&w->selector);
	report_fini(&w->report);
	str_list_fini(&w->images);
	free(w->view);
	free(w->problem);
	free(w->scale_error);
	free(w->port);
	free(w->name);
	free(w->ns);
	free(w->revision);
	free(w);
}

bool
kube_workload_is(const struct kube_workload *w, const struct launch *l)
{
	struct reference r;
	bool is_same;

	reference_init(&r, l);
	is_same = strcmp(w->kind->group, r.group) == 0 &&
		  strcmp(w->kind->version, r.version) == 0 && strcmp(w->kind->name, r.kind) == 0 &&
		  strcmp(w->ns, r.ns) == 0 && strcmp(w->name, r.name) == 0;
	free(r.text);
	return is_same;
}

/* --- what the API server says of it --- */

void
kube_workload_set_selector(struct kube_workload *w, const char *text)
{
	struct err e;

	if (text == NULL ||
	    (w->selector != NULL && strcmp(kube_selector_text(w->selector), text) == 0))
		return;
	kube_selector_free(&w->selector);
	w->selector = kube_selector_parse(text, &e);
	if (w->selector == NULL)
		log_warn(NULL, "cannot parse the selector of a workload", "revision=%s err=%s",
			 w->revision, e.text);
	w->is_selector_used = false;
	kube_workloads_watch_pods(w->all);
}

/* Another client had set the replicas before this process began: is its foreign_hold not over? */
static bool
is_recent(const struct kube_workload *w)
{
	int64_t hold = w->conf->launch.foreign_hold,
		age = kube_time_age(w->author.time, clk_wall());

	return hold == 0 || (age > 0 && age < hold);
}

static void
hold_first(struct kube_workload *w)
{
	if (w->replicas.observed == 0 || !is_recent(w) || !kube_replicas_hold(&w->replicas))
		return;
	log_info(NULL, "another client has set the replicas lately",
		 "revision=%s workload=%s/%s replicas=%u by=%s since=%s", w->revision, w->ns,
		 w->name, w->replicas.observed, w->author.manager, w->author.time);
}

/* Note since when there are no replicas: of an object that is new here, since its author has set
 * them, where it names one. */
static void
note_zero(struct kube_workload *w, bool is_first)
{
	int64_t wall = clk_wall(), age;

	if (kube_replicas_current(&w->replicas) > 0) {
		w->report.zero_wall_ns = 0;
	} else if (is_first) {
		age = kube_time_age(w->author.time, wall);
		w->report.zero_wall_ns = age == 0 ? 0 : wall - age;
	} else if (w->report.zero_wall_ns == 0) {
		w->report.zero_wall_ns = wall;
	}
}

void
kube_workload_set_replicas(struct kube_workload *w, int64_t replicas, const char *rv)
{
	uint32_t before = kube_replicas_current(&w->replicas);
	uint32_t n = (uint32_t)MIN(MAX(replicas, 0), UINT32_MAX);
	bool is_first = !w->replicas.exists;

	if (kube_replicas_observe(&w->replicas, n, rv, &w->author, clk_now(), random_u32()))
		kube_workload_scaled_by_other(w, before);
	if (is_first)
		hold_first(w);
	note_zero(w, is_first);
}

void
kube_workload_scaled_by_other(struct kube_workload *w, uint32_t before)
{
	const char *author = kube_replicas_author(&w->replicas);

	w->all->replicas_by_others_n++;
	log_warn(NULL, "another client changed the replicas",
		 "revision=%s workload=%s/%s from=%u to=%u wanted=%u by=%s foreign_scale=%s",
		 w->revision, w->ns, w->name, before, w->replicas.observed, w->replicas.wanted,
		 author == NULL ? "unknown" : author,
		 w->replicas.is_overruling ? "overrule" : "respect");
}

static void
drop_problem(struct kube_workload *w)
{
	free(w->problem);
	w->problem = NULL;
}

/* Few workloads have one, and it is large. */
static void
take_problem(struct kube_workload *w, const struct kube_workload_fields *fields)
{
	struct kube_problem p = {.age_ns = 0};

	drop_problem(w);
	if (!kube_problem_of_workload(fields, &p))
		return;
	w->problem = xmalloc(sizeof *w->problem);
	*w->problem = p;
	w->problem->age_ns = kube_time_age(fields->failure_time, clk_wall());
}

void
kube_workload_gone(struct kube_workload *w)
{
	kube_replicas_gone(&w->replicas);
	w->counted_n = -1;
	text_replace(&w->report.shown_rv, NULL);
	drop_problem(w);
	kube_workload_changed(w);
}

void
kube_workload_observe(struct kube_workload *w, const struct kube_event *ev)
{
	struct kube_workload_fields fields;

	kube_workload_changed(w);
	text_replace(&w->report.uid, ev->uid);
	if (w->report.shown_rv == NULL || !kube_rv_is_older(ev->rv, w->report.shown_rv))
		text_replace(&w->report.shown, kube_event_annotation(ev, KUBE_STATE));
	kube_author_decode(ev, &w->author);
	if (!w->kind->is_built_in) {
		w->is_get_due = true; /* only the server knows which field has the replicas */
		return;
	}
	kube_workload_fields_decode(ev, &fields);
	take_problem(w, &fields);
	w->counted_n = fields.pods_n;
	kube_workload_set_selector(w, fields.selector);
	kube_workload_set_replicas(w, fields.replicas, ev->rv);
	kube_workload_fields_fini(&fields);
}
