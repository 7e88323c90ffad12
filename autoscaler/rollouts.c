#include "autoscaler/rollouts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/commit.h"
#include "autoscaler/judged.h"
#include "autoscaler/reconcile/hub.h"
#include "autoscaler/services.h"
#include "autoscaler/versions/evidence.h"
#include "autoscaler/versions/store.h"
#include "common/clk.h"
#include "common/hmap.h"
#include "common/jput.h"
#include "common/log.h"
#include "common/strbuf.h"
#include "common/text.h"

#define AHEAD (10 * CLK_S)    /* before a step is over, the instances of the next one are started */
#define PATIENCE (60 * CLK_S) /* a rollout that is held for so long is worth a line in the log */

/* A rollout that is active. */
struct running {
	uint64_t id;
	struct rollout_watch watch;
	enum rollout_state state; /* at the last look */
	int64_t began_ns;	  /* this process looks at it since then */
	struct rollout_facts facts;
	enum rollout_act act;
	char *why;
	int64_t held_ns; /* since then it is held; 0: it is not */
	bool is_held_noted;
};

struct rollouts {
	const struct rollouts_ops *ops;
	struct reconcile *reconcile;
	void *arg;
	struct evidence *evidence;
	struct judged *judged; /* Knative's */
	int64_t generation;    /* of the services whose revisions it knows */
	struct hmap running;   /* service → struct running */
	uint64_t links;
	uint64_t ended[ROLLOUT_STATES_N];
};

struct rollouts *
rollouts_new(const struct rollouts_ops *ops, struct reconcile *reconcile, void *arg)
{
	struct rollouts *r = xcalloc(1, sizeof *r);

	r->ops = ops;
	r->reconcile = reconcile;
	r->arg = arg;
	r->evidence = evidence_new();
	r->judged = judged_new();
	hmap_init(&r->running);
	return r;
}

static void
running_free(struct running *run)
{
	if (run == NULL)
		return;
	free(run->why);
	free(run);
}

void
rollouts_free(struct rollouts **rp)
{
	struct rollouts *r = *rp;
	size_t at = 0;
	void *value;

	*rp = NULL;
	if (r == NULL)
		return;
	while (hmap_next(&r->running, &at, NULL, &value))
		running_free(value);
	hmap_fini(&r->running);
	judged_free(&r->judged);
	evidence_free(&r->evidence);
	free(r);
}

/* --- the revisions --- */

static struct scaled_revision *
find_scaled(const struct facts *f, const struct stored_service *s, const char *revision)
{
	char *name = xasprintf("%s/%s", s->name, revision);
	struct scaled_revision *rev = reconcile_find(f->reconcile, name);

	free(name);
	return rev;
}

static void
keep_stored(struct rollouts *r, const struct version_store *store)
{
	size_t i, k;

	for (i = 0; store != NULL && i < version_store_n(store); i++) {
		const struct stored_service *s = version_store_at(store, i);

		for (k = 0; k < s->n; k++) {
			char *name = xasprintf("%s/%s", s->name, s->v[k].name);

			evidence_keep(r->evidence, name);
			free(name);
		}
	}
}

/* Those of Knative's objects: a rollout of any may be judged. */
static void
keep_knative(struct rollouts *r, const struct services *services)
{
	size_t i, k;

	for (i = 0; i < services_n(services); i++) {
		const struct service_conf *s = services_at(services, i);

		for (k = 0; s->knative != NULL && k < s->revisions_n; k++)
			evidence_keep(r->evidence, s->revisions[k].full_name);
	}
}

/* Tell the evidence which revisions there are, if that has changed. */
static void
update_evidence(struct rollouts *r, const struct facts *f)
{
	if (r->generation == services_generation(f->services))
		return;
	r->generation = services_generation(f->services);
	evidence_begin(r->evidence);
	keep_stored(r, f->store);
	keep_knative(r, f->services);
	evidence_end(r->evidence);
}

void
rollouts_link_up(struct rollouts *r)
{
	r->links++;
}

void
rollouts_report(struct rollouts *r, const char *activator, const struct msg_stats *s)
{
	const struct facts f = r->ops->facts(r->arg);

	update_evidence(r, &f);
	evidence_report(r->evidence, activator, s, clk_now());
}

void
rollouts_link_down(struct rollouts *r, const char *activator)
{
	r->links++;
	evidence_down(r->evidence, activator);
}

/* --- what is needed --- */

/* How many instances of its own kind the load of a revision needs, not rounded. */
static double
needed_for_load(const struct scaled_revision *rev)
{
	const struct decide_view *v = &rev->view;
	double load = scaled_demand_now(rev);

	if (rev->decided.target <= 0)
		return rev->wanted.n;
	if (v->has_stable)
		load = MAX(v->stable, v->has_panic ? v->panic : 0);
	return load / rev->decided.target;
}

/* The instances that the new revision needs for a percent of what all of them have to do now.  One
 * at least, so that a revision that cannot start gets nothing. */
static uint32_t
needed_for(const struct facts *f, const struct stored_service *s, uint32_t percent)
{
	const struct rollout *r = s->rollout;
	const struct scaled_revision *to = find_scaled(f, s, r->to), *rev;
	double sum = to == NULL ? 0 : needed_for_load(to), n;
	size_t i;

	if (to == NULL || to->is_external)
		return 1;
	for (i = 0; i < r->before_n; i++) {
		rev = strcmp(r->before[i].revision, r->to) == 0
			      ? NULL
			      : find_scaled(f, s, r->before[i].revision);
		if (rev != NULL)
			sum += needed_for_load(rev);
	}
	n = ceil(sum * percent / 100 - 0.01);
	if (to->conf->scaling.max_scale > 0)
		n = MIN(n, (double)to->conf->scaling.max_scale);
	if (to->wanted.rule == DECIDE_MAX_INSTANCES ||
	    to->wanted.rule == DECIDE_OWNER) /* it gets more as the load moves to it */
		n = MIN(n, (double)to->wanted.n);
	return (uint32_t)MAX(n, 1.0);
}

static void
warm(struct rollouts *r, const struct facts *f, const struct stored_service *s,
     const char *revision, uint32_t n)
{
	struct scaled_revision *rev = find_scaled(f, s, revision);

	if (rev != NULL)
		reconcile_warm(r->reconcile, rev, n);
}

static void
warm_all(struct rollouts *r, const struct facts *f, const struct stored_service *s,
	 const struct running *run)
{
	const struct rollout *ro = s->rollout;
	int64_t left = rollout_step_ns(ro) -
		       rollout_watch_spent(ro, &run->watch, run->facts.now_ns);
	uint32_t percent = rollout_percent(ro), next = rollout_next_percent(ro);
	size_t i;

	for (i = 0; i < ro->before_n; i++)
		warm(r, f, s, ro->before[i].revision, percent == 100 ? 1 : 0);
	if (next > 0 && (ro->step == 0 || (ro->state == ROLLOUT_RUNNING && left < AHEAD)))
		percent = next;
	warm(r, f, s, ro->to, needed_for(f, s, percent));
}

static void
cool_all(struct rollouts *r, const struct facts *f, const struct stored_service *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		warm(r, f, s, s->v[i].name, 0);
}

/* --- the facts --- */

static void
add_figures(const struct rollouts *r, const struct stored_service *s, const char *revision,
	    struct rollout_figures *sum)
{
	char *name = xasprintf("%s/%s", s->name, revision);

	evidence_add(r->evidence, name, &sum->tally);
	sum->open += evidence_open(r->evidence, name);
	free(name);
}

static void
gather(const struct rollouts *r, const struct facts *f, const struct stored_service *s,
       struct running *run)
{
	const struct rollout *ro = s->rollout;
	const struct scaled_revision *to = find_scaled(f, s, ro->to);
	struct rollout_facts *facts = &run->facts;
	size_t i;

	*facts = (struct rollout_facts){
		.now_ns = clk_now(),
		.links = r->links,
		.has_links = f->hub != NULL && hub_activators(f->hub) > 0,
		.ready = to == NULL ? 0 : instances_ready(&to->instances),
		.needed = needed_for(f, s, rollout_next_percent(ro)),
	};
	judged_failure(to, run->began_ns, facts);
	evidence_times(r->evidence, &facts->oldest_report_ns, &facts->newest_report_ns);
	add_figures(r, s, ro->to, &facts->new);
	for (i = 0; i < ro->before_n; i++)
		if (strcmp(ro->before[i].revision, ro->to) != 0)
			add_figures(r, s, ro->before[i].revision, &facts->old);
}

/* --- what is done --- */

static void
log_step(const struct stored_service *s)
{
	const struct rollout *ro = s->rollout;

	switch (ro->state) {
	case ROLLOUT_ABORTED:
		log_warn(NULL, "rollout aborted, the percents are as before",
			 "service=%s revision=%s at_percent=%u why=%s", s->name, ro->to,
			 rollout_percent(ro), ro->reason);
		break;
	case ROLLOUT_DONE:
		log_info(NULL, "rollout done", "service=%s revision=%s", s->name, ro->to);
		break;
	default:
		log_info(NULL, "rollout takes a step", "service=%s revision=%s percent=%u", s->name,
			 ro->to, rollout_percent(ro));
	}
}

/* Change the stored service as the act says; false: it could not be stored, and stays as it is. */
static bool
store(const struct facts *f, const struct stored_service *old, enum rollout_act act,
      const char *why)
{
	struct stored_service *s = stored_service_copy(old);
	char *name = xstrdup(old->name); /* `old` goes once `s` is stored */
	int64_t now_s = clk_wall() / CLK_S;
	const struct audit_by by = {.kind = AUDIT_BY_ROLLOUT,
				    .name = old->rollout->to,
				    .why = why[0] == '\0' ? "the step before is over" : why};
	struct err e = {0};
	bool is_stored;

	if (act == ROLLOUT_STEP)
		model_rollout_step(s, now_s);
	else
		model_rollout_end(s, act == ROLLOUT_FINISH ? ROLLOUT_DONE : ROLLOUT_ABORTED,
				  act == ROLLOUT_FINISH ? NULL : why, now_s);
	model_note_activity(s, now_s);
	is_stored = commit_put(f, AUDIT_ROLLOUT, &by, &s, &e) == 0;
	if (is_stored)
		log_step(version_store_find(f->store, name));
	else
		log_warn_limited(NULL, "cannot store the step of a rollout, it is tried again",
				 "service=%s err=%s", name, e.text);
	free(name);
	return is_stored;
}

/* A hold that lasts is logged once. */
static void
note_hold(const struct stored_service *s, struct running *run)
{
	if (run->act != ROLLOUT_HOLD || s->rollout->state == ROLLOUT_PAUSED) {
		run->held_ns = 0;
		run->is_held_noted = false;
		return;
	}
	if (run->held_ns == 0)
		run->held_ns = run->facts.now_ns;
	if (run->is_held_noted || run->facts.now_ns - run->held_ns < PATIENCE)
		return;
	run->is_held_noted = true;
	log_warn(NULL, "rollout is held", "service=%s revision=%s percent=%u why=%s", s->name,
		 s->rollout->to, rollout_percent(s->rollout), run->why);
}

/* The time of its step that was over when this process, or the state, began: at most the whole
 * step, also if the wall clock was set forward. */
static int64_t
stored_spent(const struct rollout *ro)
{
	int64_t step_ns = rollout_step_ns(ro), passed_s = clk_wall() / CLK_S - ro->since_s;

	if (ro->state != ROLLOUT_RUNNING || passed_s <= 0)
		return ro->spent_ns;
	if (passed_s > step_ns / CLK_S)
		return step_ns;
	return MIN(ro->spent_ns + passed_s * CLK_S, step_ns);
}

static struct running *
find_running(const struct rollouts *r, const struct stored_service *s)
{
	struct running *run = hmap_find(&r->running, s->name);

	return run != NULL && s->rollout != NULL && run->id == s->rollout->id ? run : NULL;
}

static void
forget(struct rollouts *r, const char *service)
{
	running_free(hmap_remove(&r->running, service));
}

static struct running *
begin(struct rollouts *r, const struct stored_service *s)
{
	struct running *run = xcalloc(1, sizeof *run);

	forget(r, s->name); /* an earlier one */
	*run = (struct running){.id = s->rollout->id,
				.state = s->rollout->state,
				.began_ns = clk_now(),
				.why = xstrdup("")};
	hmap_put(&r->running, s->name, run);
	return run;
}

/* A look at one rollout.  True: the store has changed. */
static bool
look(struct rollouts *r, const struct facts *f, const struct stored_service *s)
{
	struct running *run = find_running(r, s);
	const struct rollout *ro = s->rollout;
	struct strbuf why;
	bool is_stored = false;

	if (run == NULL)
		run = begin(r, s);
	gather(r, f, s, run);
	if (!run->watch.is_begun) {
		rollout_watch_begin(&run->watch, &run->facts, stored_spent(ro));
	} else if (run->state != ro->state) { /* paused, or gone on with */
		run->watch.spent_ns = ro->spent_ns;
		run->watch.since_ns = run->facts.now_ns;
	}
	run->state = ro->state;
	warm_all(r, f, s, run);
	strbuf_init(&why, 0);
	run->act = rollout_look(ro, &run->watch, &run->facts, &why);
	text_replace(&run->why, strbuf_str(&why));
	strbuf_fini(&why);
	note_hold(s, run);
	if (run->act == ROLLOUT_STEP || run->act == ROLLOUT_FINISH || run->act == ROLLOUT_GO_BACK)
		is_stored = store(f, s, run->act, run->why);
	if (is_stored)
		run->watch.is_begun = false;
	return is_stored;
}

/* Those that ended by a command, or whose service is gone. */
static void
drop_ended(struct rollouts *r, const struct facts *f)
{
	const struct stored_service *s;
	const char *name;
	size_t at = 0;
	void *value;

	while (hmap_next(&r->running, &at, &name, &value)) {
		s = version_store_find(f->store, name);
		if (s != NULL && rollout_is_active(s->rollout))
			continue;
		if (s != NULL)
			cool_all(r, f, s);
		if (s != NULL && s->rollout != NULL)
			r->ended[s->rollout->state]++;
		running_free(hmap_remove(&r->running, name));
	}
}

/* The conf file may have a service of the same name, which comes first. */
static bool
is_in_effect(const struct facts *f, const struct stored_service *s)
{
	const struct service_conf *conf = services_find(f->services, s->name);

	return conf != NULL && services_source_of(f->services, conf) == SERVICES_OF_STORE;
}

void
rollouts_tick(struct rollouts *r)
{
	const struct facts f = r->ops->facts(r->arg);
	bool is_stored = false;
	size_t i;

	judged_tick(r->judged);
	if (f.store == NULL || f.is_stopping)
		return;
	update_evidence(r, &f);
	for (i = 0; i < version_store_n(f.store); i++) {
		const struct stored_service *s = version_store_at(f.store, i);

		if (rollout_is_active(s->rollout) && is_in_effect(&f, s))
			is_stored = look(r, &f, s) || is_stored;
	}
	drop_ended(r, &f);
	if (is_stored)
		r->ops->stored(r->arg);
}

enum rollout_verdict
rollouts_judge(struct rollouts *r, const struct rollout_question *q, char **why)
{
	const struct facts f = r->ops->facts(r->arg);

	update_evidence(r, &f);
	return judged_look(r->judged, q, &f, r->evidence, r->links, why);
}

/* --- for reading --- */

int64_t
rollouts_spent(const struct rollouts *r, const struct stored_service *s)
{
	const struct running *run = find_running(r, s);

	if (run == NULL || !run->watch.is_begun)
		return stored_spent(s->rollout);
	return MIN(rollout_watch_spent(s->rollout, &run->watch, clk_now()),
		   rollout_step_ns(s->rollout));
}

const char *
rollouts_why(const struct rollouts *r, const struct stored_service *s)
{
	const struct running *run = find_running(r, s);

	return run == NULL || !rollout_is_active(s->rollout) ? "" : run->why;
}

bool
rollouts_is_held(const struct rollouts *r, const struct stored_service *s)
{
	const struct running *run = find_running(r, s);

	return run != NULL && run->act == ROLLOUT_HOLD;
}

uint64_t
rollouts_ended(const struct rollouts *r, enum rollout_state state)
{
	return r->ended[state];
}

static void
put_side(struct jput *j, const char *key, const struct tally *t)
{
	jput_object(j, key);
	jput_u64(j, "requests", tally_counted(t));
	jput_u64(j, "answered", tally_answered(t));
	jput_u64(j, "errors", tally_errors(t));
	jput_double(j, "p50_ms", (double)(tally_quantile(t, 0.5) / CLK_US) / 1000);
	jput_double(j, "p99_ms", (double)(tally_quantile(t, 0.99) / CLK_US) / 1000);
	jput_object_end(j);
}

void
rollouts_put(const struct rollouts *r, const struct stored_service *s, struct jput *j)
{
	const struct running *run = find_running(r, s);
	struct tally new = {{0}, {0}}, old = {{0}, {0}};

	rollout_put(s->rollout, j);
	jput_u64(j, "percent", rollout_percent(s->rollout));
	if (!rollout_is_active(s->rollout))
		return;
	jput_u64(j, "next_percent", rollout_next_percent(s->rollout));
	jput_i64(j, "step_ms", rollout_step_ns(s->rollout) / CLK_MS);
	jput_i64(j, "step_spent_ms", rollouts_spent(r, s) / CLK_MS);
	jput_string(j, "waits_for", rollouts_why(r, s));
	jput_bool(j, "held", rollouts_is_held(r, s));
	if (run == NULL || !run->watch.is_begun)
		return;
	rollout_watch_seen(&run->watch, &run->facts, &new, &old);
	put_side(j, "new", &new);
	put_side(j, "old", &old);
}
