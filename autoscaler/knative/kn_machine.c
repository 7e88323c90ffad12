#include "autoscaler/knative/kn_machine.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_asking.h"
#include "autoscaler/knative/kn_buried.h"
#include "autoscaler/knative/kn_cache.h"
#include "autoscaler/knative/kn_foreign.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_time.h"
#include "autoscaler/knative/kn_vain.h"
#include "autoscaler/knative/kn_write.h"
#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_recorder.h"
#include "common/clk.h"
#include "common/hmap.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/text.h"

#define RUNNING_MOST 16 /* plans; kube_http sends half as many requests at a time */
#define ROUND_MOST (5 * CLK_MS)
/* A status on the way to another one is written once it has lasted for so long; while other objects
 * wait for their turn, for so many times as long. */
#define STATUS_PAUSE CLK_S
#define STATUS_PAUSES_MOST 10
#define BACKOFF_FIRST (100 * CLK_MS)
#define BACKOFF_MOST (30 * CLK_S)
/* Plans that write, for one object: so many at once, and one each second in the long run.  Making a
 * Service takes fewer than ten.  So a fight with somebody who changes back what we write, or one of
 * ours with ourselves, costs the API server little. */
#define PLANS_AT_ONCE 60
#define PLANS_EVERY CLK_S

/* A plan that runs. */
struct kn_run {
	struct kn_plan plan;
	size_t at;	  /* the write that is under way */
	size_t notes_at;  /* the first note that is not recorded */
	char **versions;  /* resourceVersion that the answer to each write gave; NULL: none */
	char *object_uid; /* of the object that the Events are about */
	struct kube_request *request;
	int64_t delete_again_ns; /* a delete has failed, and is tried again after that; 0: none */
};

/* An object that a handler is for. */
struct kn_item {
	struct list_node node; /* in machine.marked */
	struct kn_machine *m;
	enum kn_kind kind;
	char *ns, *name, *key;
	struct kn_run *run;	 /* NULL: its plan does not run */
	bool is_marked_by_other; /* while it runs: by something else than its own writes … */
	bool is_marked_by_self;	 /* … by these */
	int64_t passing_ns;	 /* its status has been on the way to another one since; 0: no */
	bool is_unrouted;	 /* its handler has heard of a Route that is not in use yet */
	struct list trackings;	 /* struct kn_tracking, by `of_item` */
	struct loop_timer timer;
	struct backoff backoff;
	struct kn_failure failure;
	bool has_failed;	/* failure holds */
	char *complaint;	/* what was logged of the last write that failed; NULL: none has */
	bool is_too_often;	/* its last plan was put off, which was logged */
	int64_t plans_until_ns; /* its plans are paid for until then (a leaky bucket) */
};

/* All that track one object, which need not exist. */
struct kn_trackers {
	struct list v; /* struct kn_tracking, by `of_object` */
	char key[];
};

struct kn_tracking {
	struct list_node of_item, of_object;
	struct kn_item *item;
	struct kn_trackers *trackers;
};

struct kn_machine {
	struct kn_machine_conf c;
	void (*on_change)(void *);
	void *arg;
	struct kn_cache *cache;
	struct hmap items;    /* "KIND NS/NAME" */
	struct list marked;   /* that do not run */
	struct hmap trackers; /* "KIND NS/NAME" */
	struct loop_timer round, change;
	size_t running_n;
	bool is_started, is_writer;
	int kubernetes_minor;
	struct kn_item *answering; /* whose write's answer is being put into the cache */
	struct kn_asking asking;   /* the facts */
	struct kn_facts facts;	   /* c.facts, by way of `asking` */
	struct kn_context context;
	struct kn_foreign *foreign;
	struct kn_clock clock;
	struct kn_buried buried;
	struct kn_vain vain;
};

/* --- marks --- */

static char *
key_of(enum kn_kind kind, const char *ns, const char *name)
{
	return xasprintf("%d %s/%s", (int)kind, ns, name);
}

static void on_item_timer(void *);

static struct kn_item *
item_new(struct kn_machine *m, enum kn_kind kind, const char *ns, const char *name, char *key)
{
	struct kn_item *i = xcalloc(1, sizeof *i);

	i->m = m;
	i->kind = kind;
	i->ns = xstrdup(ns);
	i->name = xstrdup(name);
	i->key = key;
	list_init(&i->trackings);
	backoff_init(&i->backoff, BACKOFF_FIRST, BACKOFF_MOST);
	loop_timer_init(&i->timer, m->c.loop, on_item_timer, i);
	hmap_put(&m->items, key, i);
	return i;
}

static void
mark_item(struct kn_item *i)
{
	struct kn_machine *m = i->m;

	if (i->run != NULL && i == m->answering) {
		i->is_marked_by_self = true;
	} else if (i->run != NULL) {
		i->is_marked_by_other = true;
	} else if (!list_linked(&i->node)) {
		/* What follows from a write goes first: of many objects that are made at once some
		 * are Ready early then, in place of all at the end. */
		if (m->answering != NULL)
			list_push_head(&m->marked, &i->node);
		else
			list_push(&m->marked, &i->node);
		if (!loop_timer_pending(&m->round))
			loop_timer_set(&m->round, 0);
	}
}

static void
mark(struct kn_machine *m, enum kn_kind kind, const char *ns, const char *name)
{
	struct kn_item *i;
	char *key;

	if (m->c.handlers->v[kind] == NULL)
		return;
	key = key_of(kind, ns, name);
	i = hmap_find(&m->items, key);
	if (i == NULL)
		i = item_new(m, kind, ns, name, key);
	else
		free(key);
	mark_item(i);
}

static void
mark_owner(struct kn_machine *m, const struct kn_object *o)
{
	const struct kn_object *owner = kn_cache_find_uid(m->cache, o->owner_uid);

	if (owner != NULL)
		mark(m, owner->kind, owner->ns, owner->name);
}

static void
mark_trackers(struct kn_machine *m, enum kn_kind kind, const char *ns, const char *name)
{
	char *key = key_of(kind, ns, name);
	struct kn_trackers *t = hmap_find(&m->trackers, key);
	struct list_node *node, *tmp;

	free(key);
	if (t == NULL)
		return;
	LIST_FOREACH(&t->v, node, tmp)
		mark_item(container_of(node, struct kn_tracking, of_object)->item);
}

/* May be called from within libcurl. */
static void
on_cache_change(const struct kn_object *o, bool is_gone, void *arg)
{
	struct kn_machine *m = arg;

	if (is_gone) {
		kn_buried_add(&m->buried, o);
		kn_vain_forget(&m->vain, o);
	}
	mark(m, o->kind, o->ns, o->name);
	mark_owner(m, o);
	mark_trackers(m, o->kind, o->ns, o->name);
	if (o->is_foreign && !is_gone)
		kn_foreign_follow(m->foreign);
	if (!loop_timer_pending(&m->change))
		loop_timer_set(&m->change, 0);
}

static void
on_change_due(void *arg)
{
	struct kn_machine *m = arg;

	m->on_change(m->arg);
}

void
kn_machine_mark(struct kn_machine *m, enum kn_kind kind, const char *ns, const char *name)
{
	if (kn_cache_find(m->cache, kind, ns, name) != NULL)
		mark(m, kind, ns, name);
}

void
kn_machine_mark_all(struct kn_machine *m)
{
	enum kn_kind kind;

	for (kind = 0; kind < KN_KINDS_N; kind++) {
		const struct kn_object *o = NULL;

		while ((o = kn_cache_next(m->cache, kind, NULL, o)) != NULL)
			mark(m, kind, o->ns, o->name);
	}
}

void
kn_machine_mark_deployment(struct kn_machine *m, const char *ns, const char *name)
{
	const struct kn_object *o = kn_cache_find(m->cache, KN_DEPLOYMENT, ns, name);

	if (o == NULL)
		return;
	mark_owner(m, o);
	mark_trackers(m, KN_DEPLOYMENT, ns, name);
}

void
kn_machine_mark_unrouted(struct kn_machine *m,
			 bool (*is_due)(enum kn_kind, const char *ns, const char *name, void *arg),
			 void *arg)
{
	size_t at = 0;
	void *value;

	while (hmap_next(&m->items, &at, NULL, &value)) {
		struct kn_item *i = value;

		if (i->is_unrouted && is_due(i->kind, i->ns, i->name, arg))
			mark_item(i);
	}
}

/* --- what is tracked --- */

static void
tracking_free(struct kn_tracking *t)
{
	struct kn_trackers *of = t->trackers;
	struct kn_machine *m = t->item->m;

	list_remove(&t->item->trackings, &t->of_item);
	list_remove(&of->v, &t->of_object);
	free(t);
	if (!list_empty(&of->v))
		return;
	hmap_remove(&m->trackers, of->key);
	free(of);
}

static void
untrack(struct kn_item *i)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&i->trackings, node, tmp)
		tracking_free(container_of(node, struct kn_tracking, of_item));
}

static void
track(struct kn_item *i, const struct kn_tracked *what)
{
	struct kn_tracking *t = xcalloc(1, sizeof *t);
	char *key = key_of(what->kind, what->ns, what->name);
	struct kn_trackers *of = hmap_find(&i->m->trackers, key);

	if (of == NULL) {
		of = xmalloc(sizeof *of + strlen(key) + 1);
		list_init(&of->v);
		memcpy(of->key, key, strlen(key) + 1);
		hmap_put(&i->m->trackers, key, of);
	}
	free(key);
	t->item = i;
	t->trackers = of;
	list_push(&i->trackings, &t->of_item);
	list_push(&of->v, &t->of_object);
}

/* --- a plan that runs --- */

static void
failure_clear(struct kn_item *i)
{
	free(i->failure.name);
	free(i->failure.reason);
	free(i->failure.message);
	i->failure = (struct kn_failure){.status = 0};
	i->has_failed = false;
}

static void
run_free(struct kn_item *i)
{
	struct kn_run *run = i->run;
	size_t k;

	if (run == NULL)
		return;
	i->run = NULL;
	i->m->running_n--;
	kube_http_cancel(&run->request);
	for (k = 0; k < run->plan.writes_n; k++)
		free(run->versions[k]);
	kn_plan_fini(&run->plan);
	free(run->versions);
	free(run->object_uid);
	free(run);
}

/* Record the Events that wait for the writes before `at` alone. */
static void
record_notes(struct kn_item *i)
{
	const struct kn_kind_names *k = kn_kind_names(i->kind);
	struct kn_run *run = i->run;
	const char *slash = strchr(k->api_version, '/');

	for (; run->notes_at < run->plan.notes_n; run->notes_at++) {
		const struct kn_note *note = &run->plan.notes[run->notes_at];
		const struct kube_involved involved = {.group = k->group,
						       .version = slash == NULL ? k->api_version
										: slash + 1,
						       .kind = k->kind,
						       .ns = i->ns,
						       .name = i->name,
						       .uid = run->object_uid};

		if (note->after > run->at)
			return;
		kube_recorder_add(i->m->c.recorder, &involved, note->is_warning, note->reason,
				  note->message);
	}
}

/* It runs no more.  by_self: do its own writes count as changes, too? */
static void
stop(struct kn_item *i, bool by_self)
{
	bool is_due = i->is_marked_by_other || (by_self && i->is_marked_by_self);

	run_free(i);
	i->is_marked_by_other = i->is_marked_by_self = false;
	if (is_due)
		mark_item(i);
	if (!list_empty(&i->m->marked) && !loop_timer_pending(&i->m->round))
		loop_timer_set(&i->m->round, 0);
}

static void
succeed(struct kn_item *i)
{
	int64_t again = i->run->plan.again_ns, delay = i->run->delete_again_ns;

	failure_clear(i);
	if (delay == 0) {
		backoff_reset(&i->backoff);
		text_replace(&i->complaint, NULL);
	} else {
		again = again == 0 ? delay : MIN(again, delay);
	}
	if (again != 0)
		loop_timer_set(&i->timer, again);
	stop(i, true);
}

/* Another try after the back-off, or when something else changes. */
static void
back_off(struct kn_item *i, const struct kube_answer *a)
{
	loop_timer_set(&i->timer, kube_http_delay(&i->backoff, a));
	stop(i, false);
}

/* One line for failures in a row that are the same. */
static void
complain(struct kn_item *i, const struct kube_answer *a)
{
	char *text = kn_write_explain(&i->run->plan.writes[i->run->at], a);

	if (!text_equal(i->complaint, text))
		log_warn(NULL, "cannot reconcile an object", "kind=%s object=%s/%s err=%s",
			 kn_kind_names(i->kind)->kind, i->ns, i->name, text);
	text_replace(&i->complaint, text);
	free(text);
}

static void
fail(struct kn_item *i, const struct kube_answer *a)
{
	const struct kn_write *w = &i->run->plan.writes[i->run->at];

	complain(i, a);
	failure_clear(i);
	i->failure = (struct kn_failure){.verb = w->verb,
					 .kind = w->kind,
					 .name = xstrdup(w->name),
					 .status = a->status,
					 .reason = xstrdup(a->reason),
					 .message = xstrdup(a->message)};
	i->has_failed = true;
	back_off(i, a);
}

static void step(struct kn_item *);

/* What was to go stays for now, and the plan goes on.  Of several that stay the first is logged. */
static void
skip_delete(struct kn_item *i, const struct kube_answer *a)
{
	if (i->run->delete_again_ns == 0) {
		complain(i, a);
		i->run->delete_again_ns = kube_http_delay(&i->backoff, a);
	}
	i->run->at++;
	step(i);
}

/* Put what a server has answered into the cache.  True: it was news. */
static bool
take_object(struct kn_machine *m, enum kn_kind kind, const json_t *object)
{
	const json_t *meta = json_object_get(object, "metadata");
	const char *uid = json_string_value(json_object_get(meta, "uid"));
	const char *rv = json_string_value(json_object_get(meta, "resourceVersion"));

	return !kn_buried_has(&m->buried, uid, rv) && kn_cache_put(m->cache, kind, object);
}

/* The version that the plan's last write to this object has given it, else that which was read. */
static const char *
version_for(const struct kn_run *run)
{
	const struct kn_write *w = &run->plan.writes[run->at];
	size_t k;

	for (k = run->at; k > 0; k--) {
		const struct kn_write *before = &run->plan.writes[k - 1];

		if (before->kind == w->kind && strcmp(before->ns, w->ns) == 0 &&
		    strcmp(before->name, w->name) == 0 && run->versions[k - 1] != NULL)
			return run->versions[k - 1];
	}
	return w->rv;
}

static bool
is_vain(const struct kn_machine *m, const struct kn_write *w)
{
	return kn_vain_has(&m->vain, w, kn_cache_find(m->cache, w->kind, w->ns, w->name));
}

/* The plan's last write was carried out, and the object has the version that it had before. */
static void
note_vain(struct kn_item *i)
{
	const struct kn_write *w = &i->run->plan.writes[i->run->at];
	const struct kn_object *o = kn_cache_find(i->m->cache, w->kind, w->ns, w->name);

	if (o != NULL && kn_vain_add(&i->m->vain, w, o))
		log_warn(NULL, "the API server leaves an object as it is, it is written no more",
			 "verb=%s kind=%s object=%s/%s for=%s/%s", kn_verb_name(w->verb),
			 kn_kind_names(w->kind)->kind, w->ns, w->name, i->ns, i->name);
}

static void on_write_answer(const struct kube_answer *, void *);
static const struct kube_call_ops write_ops = {.on_done = on_write_answer};

static void
step(struct kn_item *i)
{
	struct kn_run *run = i->run;

	while (run->at < run->plan.writes_n && is_vain(i->m, &run->plan.writes[run->at]))
		run->at++;
	record_notes(i);
	if (run->at == run->plan.writes_n)
		succeed(i);
	else if (!i->m->is_writer)
		stop(i, false);
	else
		run->request = kn_write_send(i->m->c.http, &run->plan.writes[run->at],
					     version_for(run), &write_ops, i);
}

static void
on_read_answer(const struct kube_answer *a, void *arg)
{
	struct kn_item *i = arg;
	struct kn_machine *m = i->m;
	const struct kn_write *w = &i->run->plan.writes[i->run->at];
	json_t *object = a->status == 200 ? kn_answer_object(a) : NULL;
	bool is_news = false;

	i->run->request = NULL;
	m->answering = i;
	if (object != NULL)
		is_news = take_object(m, w->kind, object);
	else if (a->status == 404)
		is_news = kn_cache_remove(m->cache, w->kind, w->ns, w->name, w->uid);
	m->answering = NULL;
	json_decref(object);
	if (!is_news) {
		back_off(i, a);
		return;
	}
	i->is_marked_by_other = true; /* by what was read: there is more to do at once */
	stop(i, false);
}

static const struct kube_call_ops read_ops = {.on_done = on_read_answer};

/* It was carried out; object: what the answer says it is now; NULL: nothing. */
static void
take_write(struct kn_item *i, const json_t *object)
{
	struct kn_machine *m = i->m;
	struct kn_run *run = i->run;
	const struct kn_write *w = &run->plan.writes[run->at];
	const json_t *meta = json_object_get(object, "metadata");

	m->answering = i;
	if (object != NULL) {
		if (w->verb != KN_CREATE && w->verb != KN_DELETE &&
		    strcmp(kn_json_text(meta, "resourceVersion", NULL), version_for(run)) == 0)
			note_vain(i);
		run->versions[run->at] = xstrdup(
			json_string_value(json_object_get(meta, "resourceVersion")));
		take_object(m, w->kind, object);
	}
	if (w->verb == KN_DELETE)
		kn_cache_set_deleting(m->cache, w->kind, w->ns, w->name, w->uid);
	m->answering = NULL;
	log_debug(NULL, "object written", "verb=%s kind=%s object=%s/%s for=%s/%s",
		  kn_verb_name(w->verb), kn_kind_names(w->kind)->kind, w->ns, w->name, i->ns,
		  i->name);
	run->at++;
	step(i);
}

static void
on_write_answer(const struct kube_answer *a, void *arg)
{
	struct kn_item *i = arg;
	const struct kn_write *w = &i->run->plan.writes[i->run->at];
	json_t *object;

	i->run->request = NULL;
	switch (kn_write_outcome(w, a, &object)) {
	case KN_DONE:
		take_write(i, object);
		break;
	case KN_READ_AGAIN:
		i->run->request = kn_read_send(i->m->c.http, w->kind, w->ns, w->name, &read_ops, i);
		break;
	case KN_FAILED:
		if (w->verb == KN_DELETE)
			skip_delete(i, a);
		else
			fail(i, a);
		break;
	}
	json_decref(object);
}

/* --- reconciling --- */

const struct kn_context *
kn_machine_context(struct kn_machine *m)
{
	int64_t now = clk_now();

	m->context = (struct kn_context){.cache = m->cache,
					 .config = m->c.config,
					 .facts = &m->facts,
					 .settings = m->c.settings,
					 .wall_s = kn_clock_ns(&m->clock, clk_wall(), now) / CLK_S,
					 .now_ns = now,
					 .kubernetes_minor = m->kubernetes_minor};
	return &m->context;
}

static void
item_free(struct kn_item *i)
{
	run_free(i);
	untrack(i);
	failure_clear(i);
	free(i->complaint);
	if (list_linked(&i->node))
		list_remove(&i->m->marked, &i->node);
	loop_timer_fini(&i->timer);
	hmap_remove(&i->m->items, i->key);
	free(i->key);
	free(i->name);
	free(i->ns);
	free(i);
}

/* Is there anything to be sent? */
static bool
has_work(const struct kn_item *i)
{
	size_t k;

	for (k = 0; k < i->run->plan.writes_n; k++)
		if (!is_vain(i->m, &i->run->plan.writes[k]))
			return true;
	return false;
}

/* May a plan that writes run now?  Else the object is looked at again as soon as one may. */
static bool
may_write(struct kn_item *i, int64_t now_ns)
{
	int64_t until = MAX(i->plans_until_ns, now_ns), ahead = until - now_ns;

	if (ahead < PLANS_AT_ONCE * PLANS_EVERY) {
		i->plans_until_ns = until + PLANS_EVERY;
		if (ahead < PLANS_EVERY)
			i->is_too_often = false;
		return true;
	}
	if (!i->is_too_often)
		log_warn(NULL,
			 "an object is written again and again: from now on at most once a second",
			 "kind=%s object=%s/%s", kn_kind_names(i->kind)->kind, i->ns, i->name);
	i->is_too_often = true;
	loop_timer_set(&i->timer, ahead - (PLANS_AT_ONCE - 1) * PLANS_EVERY);
	return false;
}

/* Many states of a status follow one another while an object becomes ready: leave those out that do
 * not last. */
static void
put_off_status(struct kn_item *i, int64_t now_ns)
{
	struct kn_plan *plan = &i->run->plan;
	int64_t lasts_ns;

	/* An Event of the plan may tell of the status: it waits for no other write. */
	if (!plan->has_passing_status || (plan->writes_n == 1 && plan->notes_n > 0)) {
		i->passing_ns = 0;
		return;
	}
	if (i->passing_ns == 0)
		i->passing_ns = now_ns;
	lasts_ns = now_ns - i->passing_ns;
	if (lasts_ns >= STATUS_PAUSES_MOST * STATUS_PAUSE ||
	    (lasts_ns >= STATUS_PAUSE && list_empty(&i->m->marked))) {
		i->passing_ns = 0;
		return;
	}
	kn_plan_drop_passing_status(plan);
	kn_plan_again(plan, lasts_ns < STATUS_PAUSE ? STATUS_PAUSE - lasts_ns : STATUS_PAUSE);
}

static void
run(struct kn_item *i, const struct kn_object *o)
{
	struct kn_machine *m = i->m;
	struct kn_context ctx = *kn_machine_context(m);
	size_t k;

	ctx.failure = i->has_failed ? &i->failure : NULL;
	i->run = xcalloc(1, sizeof *i->run);
	m->running_n++;
	i->run->object_uid = xstrdup(o->uid);
	kn_plan_init(&i->run->plan);
	m->asking.is_unrouted = false;
	m->c.handlers->v[i->kind](&ctx, o, &i->run->plan);
	i->is_unrouted = m->asking.is_unrouted;
	put_off_status(i, ctx.now_ns);
	untrack(i);
	for (k = 0; k < i->run->plan.tracked_n; k++)
		track(i, &i->run->plan.tracked[k]);
	i->run->versions = xcalloc(i->run->plan.writes_n + 1, sizeof *i->run->versions);
	if (!has_work(i) || may_write(i, ctx.now_ns))
		step(i);
	else
		stop(i, false);
}

static void
reconcile(struct kn_item *i)
{
	const struct kn_object *o = kn_cache_find(i->m->cache, i->kind, i->ns, i->name);

	loop_timer_clear(&i->timer);
	if (o == NULL)
		item_free(i);
	else if (!o->is_deleting)
		run(i, o);
}

static void
on_round(void *arg)
{
	struct kn_machine *m = arg;
	int64_t until = clk_now() + ROUND_MOST;

	while (m->is_started && m->is_writer && m->running_n < RUNNING_MOST &&
	       !list_empty(&m->marked)) {
		reconcile(container_of(list_pop(&m->marked), struct kn_item, node));
		if (clk_now() < until)
			continue;
		if (!list_empty(&m->marked))
			loop_timer_set(&m->round, 0);
		return;
	}
}

static void
on_item_timer(void *arg)
{
	mark_item(arg);
}

/* --- foreign objects --- */

static bool
is_tracked(const struct kn_object *o, void *arg)
{
	const struct kn_machine *m = arg;
	char *key = key_of(o->kind, o->ns, o->name);
	bool is = hmap_find(&m->trackers, key) != NULL;

	free(key);
	return is;
}

static void
on_foreign_read(enum kn_kind kind, const json_t *object, void *arg)
{
	(void)take_object(arg, kind, object);
}

static const struct kn_foreign_ops foreign_ops = {is_tracked, on_foreign_read};

/* --- life --- */

struct kn_cache *
kn_machine_cache(struct kn_machine *m)
{
	return m->cache;
}

static void
wake(struct kn_machine *m)
{
	if (!list_empty(&m->marked))
		loop_timer_set(&m->round, 0);
}

void
kn_machine_start(struct kn_machine *m, int kubernetes_minor)
{
	m->is_started = true;
	m->kubernetes_minor = kubernetes_minor;
	wake(m);
}

void
kn_machine_set_writer(struct kn_machine *m, bool is_writer)
{
	if (is_writer && !m->is_writer)
		kn_machine_mark_all(m); /* plans that ran were left unfinished */
	m->is_writer = is_writer;
	wake(m);
}

void
kn_machine_use(struct kn_machine *m, const struct settings *settings)
{
	m->c.settings = settings;
	kn_machine_mark_all(m);
}

struct kn_machine *
kn_machine_new(const struct kn_machine_conf *c, void (*on_change)(void *), void *arg)
{
	struct kn_machine *m = xcalloc(1, sizeof *m);

	m->c = *c;
	m->on_change = on_change;
	m->arg = arg;
	m->is_writer = true;
	m->asking.of = m->c.facts;
	m->facts = kn_asking_facts(&m->asking);
	m->cache = kn_cache_new(on_cache_change, m);
	hmap_init(&m->items);
	hmap_init(&m->trackers);
	kn_buried_init(&m->buried);
	kn_vain_init(&m->vain);
	list_init(&m->marked);
	loop_timer_init(&m->round, c->loop, on_round, m);
	loop_timer_init(&m->change, c->loop, on_change_due, m);
	m->foreign = kn_foreign_new(c->loop, c->http, m->cache, &foreign_ops, m);
	return m;
}

void
kn_machine_free(struct kn_machine **mp)
{
	struct kn_machine *m = *mp;
	void *item;
	size_t at = 0;

	*mp = NULL;
	if (m == NULL)
		return;
	while (hmap_next(&m->items, &at, NULL, &item))
		item_free(item);
	kn_foreign_free(&m->foreign);
	loop_timer_fini(&m->change);
	loop_timer_fini(&m->round);
	kn_cache_free(&m->cache);
	kn_vain_fini(&m->vain);
	kn_buried_fini(&m->buried);
	hmap_fini(&m->trackers);
	hmap_fini(&m->items);
	free(m);
}
