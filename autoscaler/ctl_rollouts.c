#include "autoscaler/ctl_rollouts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl_versions.h"
#include "autoscaler/facts.h"
#include "autoscaler/rollouts.h"
#include "autoscaler/versions/store.h"
#include "common/clk.h"
#include "common/jput.h"
#include "common/log.h"
#include "common/settings_units.h"
#include "common/text.h"

#define STEPS_DEFAULT "1,10,50,100"
#define OVER_MOST (30 * 86400 * CLK_S)

static int64_t
now_s(void)
{
	return clk_wall() / CLK_S;
}

/* --- what is asked for --- */

static int
read_over(const char *text, struct rollout_plan *p, struct err *e)
{
	double ns = 0;

	if (text == NULL || units_parse(KEY_DURATION, text, &ns) < 0 || ns < (double)CLK_S ||
	    ns > (double)OVER_MOST)
		return err_set(e, 0, "--over: expected a duration of 1s to 30d, got %s",
			       text == NULL ? "none" : text);
	p->over_ns = (int64_t)ns;
	return 0;
}

static int
read_plan(const struct ctl_request *r, struct rollout_plan *p, struct err *e)
{
	const char *steps = ctl_option(r, "steps", 0), *least = ctl_option(r, "min_requests", 0);
	const char *text;
	uint32_t n;
	size_t i;

	if (read_over(ctl_option(r, "over", 0), p, e) < 0)
		return -1;
	if (rollout_steps_parse(p, steps == NULL ? STEPS_DEFAULT : steps, e) < 0)
		return err_prefix(e, "--steps");
	for (i = 0; (text = ctl_option(r, "abort_if", i)) != NULL; i++)
		if (rollout_bound_add(p, text, e) < 0)
			return err_prefix(e, "--abort-if");
	p->min_requests = p->bounds_n > 0 ? ROLLOUT_MIN_REQUESTS : 0;
	if (least == NULL)
		return 0;
	if (!text_number(least, strlen(least), 1000000000, &n))
		return err_set(e, 0, "--min-requests: expected a number, got \"%s\"", least);
	p->min_requests = n;
	return 0;
}

static void
plan_fini(struct rollout_plan *p)
{
	while (p->bounds_n > 0)
		free(p->bounds[--p->bounds_n].text);
}

/* --- to change --- */

static int
begin(struct ctl_request *r, struct stored_service *s, struct err *e)
{
	struct rollout_plan plan = {.over_ns = 0};
	int rc = read_plan(r, &plan, e);

	if (rc == 0)
		rc = model_rollout_begin(s, ctl_option(r, "to", 0), &plan, now_s(), e);
	else
		e->code = EINVAL; /* a mistake in the request */
	plan_fini(&plan);
	return rc;
}

static int
expect_active(const struct stored_service *s, struct err *e)
{
	return rollout_is_active(s->rollout)
		       ? 0
		       : err_set(e, 0, "no rollout of \"%s\" is under way", s->name);
}

static int
change(struct ctl_request *r, const struct facts *f, const char *action, struct stored_service *s,
       struct err *e)
{
	if (strcmp(action, "start") == 0)
		return begin(r, s, e);
	if (expect_active(s, e) < 0)
		return -1;
	if (strcmp(action, "abort") == 0) {
		model_rollout_end(s, ROLLOUT_ABORTED, "an operator has aborted it", now_s());
		return 0;
	}
	s->rollout->spent_ns = rollouts_spent(f->rollouts, s);
	s->rollout->since_s = now_s();
	s->rollout->state = strcmp(action, "pause") == 0 ? ROLLOUT_PAUSED : ROLLOUT_RUNNING;
	return 0;
}

/* --- to show --- */

static void
put_rollout(struct ctl_request *r, const struct facts *f, const struct stored_service *s)
{
	struct jput *j = ctl_line(r, "rollout");

	jput_string(j, "service", s->name);
	rollouts_put(f->rollouts, s, j);
	ctl_line_end(r);
}

static void
report(struct ctl_request *r, const struct stored_service *s, const char *action)
{
	const struct rollout *ro = s->rollout;

	if (strcmp(action, "start") == 0)
		ctl_done(r, CTL_OK, NULL, "the rollout of %s to %s has begun: %zu steps", s->name,
			 ro->to, ro->plan.steps_n);
	else if (strcmp(action, "pause") == 0)
		ctl_done(r, CTL_OK, NULL, "the rollout of %s stays at %u%%", s->name,
			 rollout_percent(ro));
	else if (strcmp(action, "resume") == 0)
		ctl_done(r, CTL_OK, NULL, "the rollout of %s goes on at %u%%", s->name,
			 rollout_percent(ro));
	else
		ctl_done(r, CTL_OK, NULL,
			 "the rollout of %s is aborted: the percents are as before", s->name);
}

static void
show(struct ctl_request *r, const struct facts *f, const struct stored_service *s, uint64_t *id)
{
	if (s->rollout == NULL) {
		ctl_done(r, CTL_FAILED, "activatorctl rollout --help",
			 "there was no rollout of \"%s\"", s->name);
		return;
	}
	if (strcmp(ctl_asked(r)->state, "wait") == 0) { /* for the newest one, ended or not */
		*id = s->rollout->id;
		return;
	}
	put_rollout(r, f, s);
	ctl_done(r, CTL_OK, NULL, "%s", "");
}

static bool
is_action(const char *action)
{
	static const char *const all[] = {"start", "status", "wait", "pause", "resume", "abort"};
	size_t i;

	for (i = 0; action != NULL && i < ARRAY_LEN(all); i++)
		if (strcmp(action, all[i]) == 0)
			return true;
	return false;
}

/* s is taken over. */
static bool
carry_out(struct ctl_request *r, const struct facts *f, const char *action,
	  struct stored_service *s, uint64_t *id)
{
	char *name = xstrdup(s->name);
	bool is_waiting = ctl_asked(r)->is_waiting && strcmp(action, "start") == 0;
	const struct stored_service *now;
	struct err e = {0};
	bool is_done = false;

	if (change(r, f, action, s, &e) < 0) {
		stored_service_free(&s);
		if (e.code == EINVAL)
			ctl_done(r, CTL_USAGE, "activatorctl rollout --help", "%s", e.text);
		else
			ctl_versions_refuse(r, &e);
	} else {
		is_done = ctl_versions_commit(r, f, s);
	}
	if (is_done) {
		now = version_store_find(f->store, name);
		log_info(NULL, "rollout changed by an operator",
			 "service=%s revision=%s action=%s percent=%u", name, now->rollout->to,
			 action, rollout_percent(now->rollout));
		if (is_waiting)
			*id = now->rollout->id;
		else
			report(r, now, action);
	}
	free(name);
	return is_done;
}

bool
ctl_rollouts_change(struct ctl_request *r, const struct facts *f, uint64_t *id)
{
	const struct ctl_asked *asked = ctl_asked(r);
	struct stored_service *s;

	*id = 0;
	if (!is_action(asked->state) || asked->name == NULL || strchr(asked->name, '/') != NULL) {
		ctl_done(r, CTL_USAGE, "activatorctl rollout --help",
			 "expected the name of a service, or status, wait, pause, resume or abort "
			 "before it");
		return false;
	}
	s = ctl_versions_copy(r, f, asked->name);
	if (s == NULL)
		return false;
	if (strcmp(asked->state, "status") != 0 && strcmp(asked->state, "wait") != 0)
		return carry_out(r, f, asked->state, s, id);
	show(r, f, s, id);
	stored_service_free(&s);
	return false;
}

/* --- to wait --- */

/* "10%: the next step in 20 s" */
static char *
phase_of(const struct facts *f, const struct stored_service *s)
{
	const char *why = rollouts_why(f->rollouts, s);

	return xasprintf("%s %u%%%s%s", s->rollout->to, rollout_percent(s->rollout),
			 why[0] == '\0' ? "" : ": ", why);
}

bool
ctl_rollouts_is_over(const struct ctl_request *r, const struct facts *f, uint64_t id,
		     enum ctl_status *status, char **message)
{
	const char *name = ctl_asked(r)->name;
	const struct stored_service *s = version_store_find(f->store, name);
	const struct rollout *ro = s == NULL ? NULL : s->rollout;

	*status = CTL_FAILED;
	if (ro == NULL) {
		*message = xasprintf("the service \"%s\" is deleted", name);
	} else if (ro->id != id) {
		*message = xasprintf("another rollout of \"%s\" has begun", name);
	} else if (rollout_is_active(ro)) {
		*message = phase_of(f, s);
		return false;
	} else if (ro->state == ROLLOUT_DONE) {
		*status = CTL_OK;
		*message = xasprintf("%s has 100%% of the traffic", ro->to);
	} else if (ro->state == ROLLOUT_ABORTED) {
		*message = xasprintf(
			"the rollout to %s is aborted at %u%%, and the percents are as "
			"before: %s",
			ro->to, rollout_percent(ro), ro->reason);
	} else {
		*message = xasprintf("the rollout to %s has ended at %u%%: %s", ro->to,
				     rollout_percent(ro), ro->reason);
	}
	return true;
}
