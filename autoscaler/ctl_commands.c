#include "autoscaler/ctl_commands.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl_audit.h"
#include "autoscaler/ctl_export.h"
#include "autoscaler/ctl_logs.h"
#include "autoscaler/ctl_rollouts.h"
#include "autoscaler/ctl_target.h"
#include "autoscaler/ctl_usage.h"
#include "autoscaler/ctl_versions.h"
#include "autoscaler/ctl_views.h"
#include "autoscaler/explain.h"
#include "autoscaler/reconcile/hub.h"
#include "autoscaler/services.h"
#include "common/clk.h"
#include "common/jput.h"
#include "common/list.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/strbuf.h"

#define LOOK_EVERY (50 * CLK_MS) /* at the revisions that a request waits for */

struct ctl_commands {
	struct loop *loop;
	const struct ctl_backend *backend;
	void *arg;
	struct list jobs; /* struct job */
	struct ctl_logs *logs;
	struct ctl_audits *audits;
	uint64_t tokens;
};

/* What a job waits for. */
enum goal { GOAL_RESULTS, GOAL_AWAKE, GOAL_ASLEEP, GOAL_ROLLOUT, GOAL_ROUTED };

/* An activator that was sent a command. */
struct asked_activator {
	uint64_t peer;
	char *id;
	bool is_answered;
};

/* A request that is not answered at once. */
struct job {
	struct list_node node;
	struct ctl_commands *all;
	struct ctl_request *request;
	enum goal goal;
	/* GOAL_AWAKE, GOAL_ASLEEP: by name, as they may vanish */
	struct str_list revisions;
	struct loop_timer timer;
	/* GOAL_RESULTS */
	char *token;
	struct asked_activator *asked;
	size_t asked_n, done_n, failed_n;
	char *summary; /* what the autoscaler itself has done */
	/* GOAL_ROLLOUT */
	uint64_t rollout;
	/* GOAL_ROUTED: the end of the request is held */
	int64_t generation;
};

static struct facts
facts_of(const struct ctl_commands *c)
{
	return c->backend->facts(c->arg);
}

/* --- jobs --- */

static void on_look(void *arg);

static struct job *
job_new(struct ctl_commands *c, struct ctl_request *r, enum goal goal)
{
	struct job *job = xcalloc(1, sizeof *job);

	*job = (struct job){.all = c, .request = r, .goal = goal};
	loop_timer_init(&job->timer, c->loop, on_look, job);
	list_push(&c->jobs, &job->node);
	ctl_set_state(r, job);
	return job;
}

static void
job_free(struct job *job)
{
	size_t i;

	ctl_set_state(job->request, NULL);
	list_remove(&job->all->jobs, &job->node);
	loop_timer_fini(&job->timer);
	str_list_fini(&job->revisions);
	for (i = 0; i < job->asked_n; i++)
		free(job->asked[i].id);
	free(job->asked);
	free(job->token);
	free(job->summary);
	free(job);
}

/* --- to show --- */

static void
put_service(struct ctl_request *r, const struct facts *f, const struct service_conf *service,
	    bool is_whole)
{
	ctl_put_service(ctl_line(r, "service"), f, service, is_whole);
	ctl_line_end(r);
}

static void
on_list(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);
	const char *name = ctl_asked(r)->name;
	const struct service_conf *service;
	size_t i;

	if (name != NULL && (service = services_find(f.services, name)) == NULL) {
		ctl_target_refuse(r, &f, name);
		return;
	}
	for (i = 0; i < services_n(f.services); i++) {
		service = services_at(f.services, i);
		if (name == NULL || strcmp(service->name, name) == 0)
			put_service(r, &f, service, false);
	}
	if (!services_are_complete(f.services))
		ctl_done(r, CTL_OK, NULL, "services from annotations are not known yet");
	else if (services_n(f.services) == 0)
		ctl_done(
			r, CTL_OK, NULL,
			"there is no service yet: activatorctl deploy --help shows how to make one");
	else
		ctl_done(r, CTL_OK, NULL, "%s", "");
}

static void
on_describe(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);
	struct ctl_target t;

	if (ctl_target_find(r, &f, &t) < 0)
		return;
	put_service(r, &f, t.service, true);
	ctl_done(r, CTL_OK, NULL, "%s", "");
}

static void
on_status(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);

	ctl_put_status(ctl_line(r, "status"), &f);
	ctl_line_end(r);
	ctl_done(r, CTL_OK, NULL, "%s", "");
}

static void
put_why(struct ctl_request *r, const struct scaled_revision *rev)
{
	struct jput *j = ctl_line(r, "why");
	struct strbuf text;

	strbuf_init(&text, 0);
	explain_put_text(rev, &text);
	explain_put_members(rev, j);
	jput_string(j, "text", strbuf_str(&text));
	ctl_line_end(r);
	strbuf_fini(&text);
}

static void
on_why(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);
	struct str_list names = {.n = 0};
	const struct scaled_revision *rev;
	struct ctl_target t;
	size_t i;

	if (ctl_target_find(r, &f, &t) < 0)
		return;
	ctl_target_list(&t, false, &names);
	for (i = 0; i < names.n; i++)
		if ((rev = reconcile_find(f.reconcile, names.v[i])) != NULL)
			put_why(r, rev);
	str_list_fini(&names);
	ctl_done(r, CTL_OK, NULL, "%s", "");
}

/* --- to wake, to put to sleep, to wait --- */

static bool
is_reached(const struct scaled_revision *rev, enum goal goal)
{
	if (goal == GOAL_AWAKE)
		return instances_ready(&rev->instances) > 0;
	return rev->is_known && rev->instances.n == 0 && rev->scale_sent == 0;
}

/* Why a revision is not where the job wants it. */
static char *
phase_of(const struct scaled_revision *rev, enum goal goal)
{
	const char *name = scaled_name(rev);
	uint32_t requests = scaled_demand_now(rev);

	if (rev->failure != NULL)
		return xasprintf("%s: %s", name, rev->failure->message);
	if (!rev->is_known)
		return xasprintf("%s: its instances are not known yet", name);
	if (goal == GOAL_AWAKE && rev->held_back != NULL)
		return xasprintf("%s: held back: %s", name, rev->held_back);
	if (goal == GOAL_AWAKE && instances_live(&rev->instances) > 0)
		return xasprintf("%s: started, does not answer yet", name);
	if (goal == GOAL_AWAKE)
		return xasprintf("%s: %s", name, rev->scale_sent > 0 ? "starting" : "asleep");
	if (requests > 0)
		return xasprintf("%s: %u requests are in flight or parked", name, requests);
	if (!list_empty(&rev->drains))
		return xasprintf("%s: draining", name);
	return xasprintf("%s: %u instances are there (%s)", name, instances_live(&rev->instances),
			 decide_rule_text(rev->wanted.rule));
}

/* Has its start failed since the request came? */
static bool
has_failed(const struct job *job, const struct scaled_revision *rev)
{
	return job->goal == GOAL_AWAKE && rev->failure != NULL && !rev->failure->is_parking &&
	       rev->failed_ns >= ctl_since_ns(job->request);
}

static void
finish(struct job *job)
{
	struct ctl_request *r = job->request;
	const char *name = ctl_asked(r)->name,
		   *state = job->goal == GOAL_AWAKE ? "awake" : "asleep";
	long long ms = (clk_now() - ctl_since_ns(r)) / CLK_MS;

	job_free(job);
	ctl_done(r, CTL_OK, NULL, "%s is %s after %lld ms", name, state, ms);
}

static void
fail(struct job *job, const struct scaled_revision *rev)
{
	struct ctl_request *r = job->request;
	char *text = xasprintf("%s cannot start: %s", scaled_name(rev), rev->failure->message);
	char *next = xasprintf("activatorctl describe %s", scaled_name(rev));

	job_free(job);
	ctl_done(r, CTL_FAILED, next, "%s", text);
	free(next);
	free(text);
}

/* Look at the revisions: done, failed, or to be looked at again. */
static void
look(struct job *job)
{
	const struct facts f = facts_of(job->all);
	const struct scaled_revision *rev;
	char *phase;
	size_t i;

	for (i = 0; i < job->revisions.n; i++) {
		rev = reconcile_find(f.reconcile, job->revisions.v[i]);
		if (rev == NULL || is_reached(rev, job->goal))
			continue; /* one that was removed is not waited for */
		if (has_failed(job, rev)) {
			fail(job, rev);
			return;
		}
		phase = phase_of(rev, job->goal);
		ctl_progress(job->request, phase);
		free(phase);
		loop_timer_set(&job->timer, LOOK_EVERY);
		return;
	}
	finish(job);
}

static void
begin_waiting(struct ctl_commands *c, struct ctl_request *r, const struct ctl_target *t,
	      enum goal goal)
{
	struct job *job = job_new(c, r, goal);

	ctl_target_list(t, goal == GOAL_AWAKE, &job->revisions);
	look(job);
}

/* Ask the reconciler, for each revision of the target.  -1: the request is done. */
static int
ask_each(struct ctl_commands *c, struct ctl_request *r, const struct ctl_target *t,
	 int (*ask)(struct scaled_revision *, const struct audit_peer *, struct err *, void *),
	 bool with_traffic)
{
	const struct audit_by by = ctl_by(r);
	const struct facts f = facts_of(c);
	struct str_list names = {.n = 0};
	struct scaled_revision *rev;
	struct err e = {0};
	int rc = 0;
	size_t i;

	ctl_target_list(t, with_traffic, &names);
	for (i = 0; i < names.n && rc == 0; i++)
		if ((rev = reconcile_find(f.reconcile, names.v[i])) != NULL)
			rc = ask(rev, &by.peer, &e, c->arg);
	str_list_fini(&names);
	if (rc < 0)
		ctl_done(r, CTL_FAILED, NULL, "%s", e.text);
	return rc;
}

static void
on_wake(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);
	struct ctl_target t;

	if (ctl_target_find(r, &f, &t) < 0 || ask_each(c, r, &t, c->backend->wake, true) < 0)
		return;
	if (ctl_asked(r)->is_waiting)
		begin_waiting(c, r, &t, GOAL_AWAKE);
	else
		ctl_done(r, CTL_OK, NULL, "%s is being started", ctl_asked(r)->name);
}

static void
on_sleep(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);
	struct ctl_target t;

	if (ctl_target_find(r, &f, &t) < 0 || ask_each(c, r, &t, c->backend->sleep, false) < 0)
		return;
	if (ctl_asked(r)->is_waiting)
		begin_waiting(c, r, &t, GOAL_ASLEEP);
	else
		ctl_done(r, CTL_OK, NULL, "%s is being stopped", ctl_asked(r)->name);
}

static void
on_wait(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);
	const char *state = ctl_asked(r)->state;
	struct ctl_target t;

	if (ctl_target_find(r, &f, &t) < 0)
		return;
	if (state == NULL || strcmp(state, "awake") == 0)
		begin_waiting(c, r, &t, GOAL_AWAKE);
	else if (strcmp(state, "asleep") == 0)
		begin_waiting(c, r, &t, GOAL_ASLEEP);
	else
		ctl_done(r, CTL_USAGE, NULL, "expected awake or asleep, got \"%s\"", state);
}

/* --- to reload and upgrade: passed on to the activators --- */

static void
put_result(struct ctl_request *r, const char *program, bool is_done, const char *text)
{
	struct jput *j = ctl_line(r, "result");

	jput_string(j, "program", program);
	jput_bool(j, "done", is_done);
	jput_string(j, "text", text);
	ctl_line_end(r);
}

static void
put_activator_result(struct job *job, const struct asked_activator *a, bool is_done,
		     const char *text)
{
	char *program = xasprintf("activator %s", a->id);

	put_result(job->request, program, is_done, text);
	free(program);
	job->done_n += is_done;
	job->failed_n += !is_done;
}

/* Have all activators answered? */
static void
look_at_results(struct job *job)
{
	struct ctl_request *r = job->request;
	size_t failed = job->failed_n;
	char *summary;

	if (job->done_n + failed < job->asked_n) {
		ctl_progress(r, "waiting for the activators");
		loop_timer_set(&job->timer, LOOK_EVERY);
		return;
	}
	summary = job->summary;
	job->summary = NULL;
	if (failed > 0)
		ctl_done(r, CTL_FAILED, NULL, "%s; not done by %zu of %zu activator%s", summary,
			 failed, job->asked_n, job->asked_n == 1 ? "" : "s");
	else
		ctl_done(r, CTL_OK, NULL, "%s; done by %zu activator%s", summary, job->asked_n,
			 job->asked_n == 1 ? "" : "s");
	job_free(job);
	free(summary);
}

/* Walk the activators that carry out commands: one that is leaving would refuse each. */
static struct hub_peer *
next_staying(struct hub *h, struct hub_peer *p)
{
	do
		p = hub_next_activator(h, p);
	while (p != NULL && p->is_leaving);
	return p;
}

static void
ask_activator(struct job *job, struct hub_peer *p, const char *command)
{
	struct asked_activator *a = &job->asked[job->asked_n++];
	const struct audit_by by = ctl_by(job->request);
	char *copy;

	*a = (struct asked_activator){.peer = p->serial, .id = xstrdup(p->id)};
	if (!p->has_commands) {
		a->is_answered = true;
		put_activator_result(job, a, false,
				     "it is of an earlier version: send it a signal instead");
		return;
	}
	copy = xstrdup(command);
	hub_send(p, &(struct msg){.type = MSG_COMMAND,
				  .u.command = {.token = job->token,
						.command = copy,
						.pid = by.peer.pid,
						.uid = by.peer.uid,
						.login_uid = by.peer.login_uid}});
	free(copy);
}

/* summary is taken over. */
static void
ask_activators(struct ctl_commands *c, struct ctl_request *r, const char *command, char *summary)
{
	const struct facts f = facts_of(c);
	struct job *job = job_new(c, r, GOAL_RESULTS);
	struct hub_peer *p = NULL;

	job->summary = summary;
	job->token = xasprintf("c%llu", (unsigned long long)++c->tokens);
	job->asked = xcalloc(hub_activators(f.hub) + 1, sizeof *job->asked);
	while ((p = next_staying(f.hub, p)) != NULL)
		ask_activator(job, p, command);
	look_at_results(job);
}

static void
on_reload(struct ctl_commands *c, struct ctl_request *r)
{
	struct settings_errors errors = {NULL, 0};
	const struct audit_by by = ctl_by(r);
	int rc = c->backend->reload(&by, &errors, c->arg);
	struct facts f = facts_of(c);
	size_t i;

	for (i = 0; i < errors.n; i++)
		put_result(r, "autoscaler", false, errors.lines[i]);
	settings_errors_free(&errors);
	if (rc < 0) {
		ctl_done(r, CTL_FAILED, "mend the conf file, then: activatorctl reload",
			 "not reloaded, nothing has changed");
		return;
	}
	ask_activators(c, r, "reload",
		       xasprintf("reloaded: %zu service%s", services_n(f.services),
				 services_n(f.services) == 1 ? "" : "s"));
}

static void
on_upgrade(struct ctl_commands *c, struct ctl_request *r)
{
	if (next_staying(facts_of(c).hub, NULL) == NULL)
		ctl_done(r, CTL_FAILED, "activatorctl status", "no activator is connected");
	else
		ask_activators(c, r, "upgrade", xstrdup("upgrade"));
}

/* Has the rollout ended? */
static void
look_at_rollout(struct job *job)
{
	const struct facts f = facts_of(job->all);
	struct ctl_request *r = job->request;
	enum ctl_status status;
	char *message, *next;

	if (!ctl_rollouts_is_over(r, &f, job->rollout, &status, &message)) {
		ctl_progress(r, message);
		loop_timer_set(&job->timer, LOOK_EVERY);
	} else {
		next = status == CTL_OK
			       ? NULL
			       : xasprintf("activatorctl rollout status %s", ctl_asked(r)->name);
		job_free(job);
		ctl_done(r, status, next, "%s", message);
		free(next);
	}
	free(message);
}

static void
on_look(void *arg)
{
	struct job *job = arg;

	if (job->goal == GOAL_RESULTS)
		look_at_results(job);
	else if (job->goal == GOAL_ROLLOUT)
		look_at_rollout(job);
	else
		look(job);
}

static struct asked_activator *
find_asked(struct job *job, uint64_t peer)
{
	size_t i;

	for (i = 0; i < job->asked_n; i++)
		if (job->asked[i].peer == peer && !job->asked[i].is_answered)
			return &job->asked[i];
	return NULL;
}

static void
take_result(struct job *job, uint64_t peer, bool is_done, const char *text)
{
	struct asked_activator *a = find_asked(job, peer);

	if (a == NULL)
		return;
	a->is_answered = true;
	put_activator_result(job, a, is_done, text);
	look_at_results(job);
}

void
ctl_commands_result(struct ctl_commands *c, uint64_t peer, const char *token, bool is_done,
		    const char *text)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&c->jobs, node, tmp) {
		struct job *job = container_of(node, struct job, node);

		if (job->token != NULL && strcmp(job->token, token) == 0)
			take_result(job, peer, is_done, text);
	}
}

void
ctl_commands_peer_down(struct ctl_commands *c, uint64_t peer)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&c->jobs, node, tmp) {
		struct job *job = container_of(node, struct job, node);

		if (job->goal == GOAL_RESULTS)
			take_result(job, peer, false, "it has disconnected");
	}
}

/* --- the store --- */

/* The end of the request is held until the activators route by the change: what its operator does
 * next may rely on it. */
static void
end_once_routed(struct ctl_commands *c, struct ctl_request *r, bool is_changed)
{
	int64_t generation = is_changed ? c->backend->stored(c->arg) : 0;

	if (generation == 0)
		ctl_release(r);
	else
		job_new(c, r, GOAL_ROUTED)->generation = generation;
}

void
ctl_commands_routed(struct ctl_commands *c, int64_t generation)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&c->jobs, node, tmp) {
		struct job *job = container_of(node, struct job, node);
		struct ctl_request *r = job->request;

		if (job->goal != GOAL_ROUTED || job->generation > generation)
			continue;
		job_free(job);
		ctl_release(r);
	}
}

static void
on_change(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);

	ctl_hold(r);
	end_once_routed(c, r, ctl_versions_change(r, &f));
}

static void
on_rollout(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);
	struct job *job;
	bool is_changed;
	uint64_t id;

	ctl_hold(r);
	is_changed = ctl_rollouts_change(r, &f, &id);
	if (id == 0) {
		end_once_routed(c, r, is_changed);
		return;
	}
	ctl_release(r);
	if (is_changed)
		(void)c->backend->stored(c->arg);
	job = job_new(c, r, GOAL_ROLLOUT);
	job->rollout = id;
	look_at_rollout(job);
}

static void
on_export(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);

	ctl_export(r, &f);
}

/* --- what was written down --- */

static void
on_usage(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);

	ctl_usage_begin(r, &f);
}

static void
on_audit(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);

	ctl_audit_begin(c->audits, r, &f);
}

static void
on_logs(struct ctl_commands *c, struct ctl_request *r)
{
	const struct facts f = facts_of(c);

	ctl_logs_begin(c->logs, r, &f);
}

void
ctl_commands_output(struct ctl_commands *c, const struct driver_output *o)
{
	ctl_logs_output(c->logs, o);
}

void
ctl_commands_output_end(struct ctl_commands *c, uint64_t token)
{
	const struct facts f = facts_of(c);

	ctl_logs_end(c->logs, f.platform, token);
}

/* --- all commands --- */

static const struct {
	const char *name;
	void (*run)(struct ctl_commands *, struct ctl_request *);
} commands[] = {
	{"list", on_list},     {"describe", on_describe}, {"status", on_status},
	{"why", on_why},       {"wake", on_wake},	  {"sleep", on_sleep},
	{"wait", on_wait},     {"reload", on_reload},	  {"upgrade", on_upgrade},
	{"deploy", on_change}, {"traffic", on_change},	  {"rollback", on_change},
	{"delete", on_change}, {"apply", on_change},	  {"export", on_export},
	{"logs", on_logs},     {"usage", on_usage},	  {"rollout", on_rollout},
	{"audit", on_audit},
};

static void
on_request(struct ctl_request *r, const struct ctl_asked *asked, void *arg)
{
	struct ctl_commands *c = arg;
	size_t i;

	if (facts_of(c).is_stopping) {
		ctl_done(r, CTL_FAILED, NULL, "the autoscaler is stopping");
		return;
	}
	for (i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, asked->command) == 0) {
			commands[i].run(c, r);
			return;
		}
	ctl_done(r, CTL_USAGE, "use the activatorctl of the autoscaler's version",
		 "the autoscaler does not know the command \"%s\"", asked->command);
}

static void
on_gone(struct ctl_request *r, void *arg)
{
	struct ctl_commands *c = arg;
	const struct facts f = facts_of(c);
	struct job *job;

	if (ctl_logs_gone(c->logs, r) || ctl_audit_gone(c->audits, r) || ctl_usage_gone(r, &f) ||
	    (job = ctl_state(r)) == NULL)
		return;
	job_free(job);
}

const struct ctl_ops ctl_commands_ops = {.on_request = on_request, .on_gone = on_gone};

struct ctl_commands *
ctl_commands_new(struct loop *loop, const struct ctl_backend *backend, void *arg)
{
	struct ctl_commands *c = xcalloc(1, sizeof *c);

	*c = (struct ctl_commands){.loop = loop, .backend = backend, .arg = arg};
	list_init(&c->jobs);
	c->logs = ctl_logs_new();
	c->audits = ctl_audits_new(loop);
	return c;
}

void
ctl_commands_free(struct ctl_commands **cp)
{
	struct ctl_commands *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	CHECK(list_empty(&c->jobs));
	ctl_logs_free(&c->logs);
	ctl_audits_free(&c->audits);
	free(c);
}
