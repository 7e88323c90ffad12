#include "autoscaler/brain/brain.h"

#include <stdlib.h>

#include "autoscaler/brain/gradient.h"
#include "autoscaler/brain/idleness.h"
#include "autoscaler/brain/schedule.h"
#include "autoscaler/brain/surplus.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/strbuf.h"

struct brain {
	const struct revision_conf *conf;
	struct gradient *gradient;   /* slow_brain = observe or on */
	struct idleness *idleness;   /* keep_warm = learned */
	struct surplus *surplus;     /* likewise, once the load has needed two instances */
	struct schedules *schedules; /* NULL: the conf file has none */
	/* since the last tick: has an activator reported, and was there a request */
	bool was_reported, was_busy;
};

struct brain *
brain_new(const struct revision_conf *conf)
{
	struct brain *b = xcalloc(1, sizeof *b);

	brain_set_conf(b, conf);
	return b;
}

static void
set_schedules(struct brain *b)
{
	struct err e;

	schedules_free(&b->schedules);
	if (b->conf->schedules_n == 0)
		return;
	b->schedules = schedules_new(b->conf->schedules, b->conf->schedules_n, &e);
	if (e.text[0] != '\0')
		log_error(NULL, "a schedule entry never holds", "revision=%s err=%s",
			  b->conf->full_name, e.text);
}

void
brain_set_conf(struct brain *b, const struct revision_conf *conf)
{
	const struct scaling *s = &conf->scaling;
	bool is_slow = s->slow_brain != SLOW_OFF && s->metric == METRIC_CONCURRENCY;

	b->conf = conf;
	if (!is_slow)
		gradient_free(&b->gradient);
	else if (b->gradient == NULL)
		b->gradient = gradient_new();
	if (s->keep_warm != KEEP_WARM_LEARNED) {
		idleness_free(&b->idleness);
		surplus_free(&b->surplus);
	} else if (b->idleness == NULL) {
		b->idleness = idleness_new();
	}
	set_schedules(b);
}

void
brain_free(struct brain **bp)
{
	struct brain *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	gradient_free(&b->gradient);
	idleness_free(&b->idleness);
	surplus_free(&b->surplus);
	schedules_free(&b->schedules);
	free(b);
}

/* --- observations --- */

/* When within the period of a report were the first request and the end of the last?  With one
 * request at a time it was busy for concurrency x period: to the end of the period, if one is in
 * flight then; from its begin, if none has arrived; else in the middle, for want of a
 * better guess. */
static void
note_use(struct brain *b, const struct msg_stat *s, int64_t period_ns, int64_t now_ns)
{
	int64_t idle_ns = (int64_t)(MAX(1 - s->concurrency, 0) * (double)period_ns);
	bool is_from_begin = s->requests == 0, is_to_end = s->in_flight + s->parked > 0;
	int64_t from = now_ns - period_ns, upto = now_ns;

	if (!is_from_begin)
		from += is_to_end ? idle_ns : idle_ns / 2;
	if (!is_to_end)
		upto -= is_from_begin ? idle_ns : idle_ns / 2;
	idleness_used(b->idleness, s->requests, from, upto);
}

void
brain_report(struct brain *b, const struct msg_stat *s, int64_t period_ns, int64_t now_ns)
{
	bool is_busy = s->requests > 0 || s->in_flight > 0 || s->parked > 0 || s->concurrency > 0;

	b->was_reported = true;
	b->was_busy |= is_busy;
	if (b->idleness != NULL && is_busy)
		note_use(b, s, period_ns, now_ns);
	if (b->gradient != NULL && period_ns > 0)
		gradient_report(b->gradient, s->concurrency, s->waiting, (double)s->completed,
				s->latency_ms / 1000, (double)period_ns / CLK_S);
}

static void
set_price(struct brain *b, double start_s)
{
	const struct scaling *s = &b->conf->scaling;
	const struct idle_price price = {.start_s = start_s,
					 .wait_cost = s->wait_cost,
					 .least_s = (double)s->keep_least / CLK_S};
	int64_t window = MAX(s->stable_window, s->scale_to_zero_grace);

	if (s->retention > 0)
		window = MAX(window, s->stable_window + s->retention);
	idleness_set_price(b->idleness, &price, (double)window / CLK_S);
}

void
brain_tick(struct brain *b, const struct brain_facts *f, int64_t now_ns)
{
	double each = MAX(f->ready, 1u);
	struct gradient_facts g = {
		.configured = decide_total(&b->conf->scaling, b->conf->limits.container_concurrency,
					   0),
		.most = b->conf->limits.container_concurrency,
		.is_applied = b->conf->scaling.slow_brain == SLOW_ON,
		.step_ns = b->conf->scaling.stable_window,
		.ready = f->ready,
		.reporters = f->reporters,
		.cpu_cores = f->cpu_cores < 0 ? -1 : f->cpu_cores / each,
		.memory_bytes = f->memory_bytes / each,
		.machine_cores = f->machine_cores,
		.machine_used = f->machine_used,
		.machine_memory = f->machine_memory,
	};

	if (b->idleness != NULL)
		set_price(b, f->start_s);
	if (b->idleness != NULL && b->was_reported && !b->was_busy) /* silence is not idleness */
		idleness_unused(b->idleness);
	b->was_reported = b->was_busy = false;
	if (b->gradient != NULL)
		gradient_tick(b->gradient, &g, now_ns);
}

bool
brain_is_plan_due(const struct brain *b)
{
	return b->idleness != NULL && idleness_is_plan_due(b->idleness);
}

void
brain_plan(struct brain *b)
{
	if (b->idleness != NULL)
		idleness_make_plans(b->idleness);
}

/* --- what decide() sees of it --- */

/* Where idleness is learned, it replaces the fixed keys. */
static void
fill_idleness(const struct brain *b, struct decide_view *view, int64_t now_ns)
{
	struct idleness_advice a = idleness_advise(b->idleness, now_ns);

	if (!a.is_learned)
		return;
	view->is_learned_prewarm = a.is_warm;
	view->learned_keep_s = a.stay_s;
}

void
brain_fill(const struct brain *b, struct decide_view *view, int64_t now_ns, int64_t wall_ns)
{
	view->learned_keep_s = -1;
	if (b->gradient != NULL && b->conf->scaling.slow_brain == SLOW_ON)
		view->target_override = gradient_target(b->gradient);
	if (b->idleness != NULL)
		fill_idleness(b, view, now_ns);
	view->learned_surplus = b->surplus == NULL ? 0 : surplus_kept(b->surplus, now_ns);
	if (b->schedules != NULL)
		view->schedule_min = schedules_at(b->schedules, wall_ns).min_scale;
}

void
brain_decided(struct brain *b, const struct decide_view *v, const struct decide_out *o,
	      int64_t now_ns)
{
	const struct surplus_price price = {.start_s = v->start_s,
					    .wait_cost = b->conf->scaling.wait_cost,
					    .each = o->total,
					    .requests = (double)v->in_flight + v->parked,
					    .latency_s = v->latency_s};

	if (b->idleness == NULL || !o->is_known || (b->surplus == NULL && o->needed < 2))
		return;
	if (b->surplus == NULL)
		b->surplus = surplus_new();
	surplus_needed(b->surplus, o->needed, &price, now_ns);
}

/* --- for people --- */

double
brain_proposal(const struct brain *b)
{
	return b->gradient == NULL ? 0 : gradient_target(b->gradient);
}

void
brain_explain_target(const struct brain *b, struct strbuf *out)
{
	if (b->gradient != NULL)
		gradient_explain(b->gradient, out);
	else if (b->conf->scaling.slow_brain != SLOW_OFF)
		strbuf_adds(out,
			    "metric = rps: the slow brain proposes targets only for concurrency");
}

void
brain_explain_idleness(const struct brain *b, struct strbuf *out)
{
	if (b->idleness != NULL)
		idleness_explain(b->idleness, out);
	if (b->surplus != NULL)
		surplus_explain(b->surplus, out);
}

void
brain_explain_schedule(const struct brain *b, int64_t wall_ns, struct strbuf *out)
{
	struct schedule_now now = {.name = NULL};

	if (b->schedules == NULL)
		return;
	now = schedules_at(b->schedules, wall_ns);
	if (now.name == NULL)
		strbuf_adds(out, "none is in force");
	else
		strbuf_addf(out, "\"%s\" is in force: at least %u", now.name, now.min_scale);
}

/* --- kept over a restart --- */

bool
brain_export_idleness(const struct brain *b, struct idleness_data *d, int64_t now_ns)
{
	if (b->idleness == NULL)
		return false;
	idleness_export(b->idleness, d, now_ns);
	return true;
}

bool
brain_export_target(const struct brain *b, struct gradient_data *d, int64_t now_ns)
{
	if (b->gradient == NULL)
		return false;
	gradient_export(b->gradient, d, now_ns);
	return true;
}

void
brain_import_idleness(struct brain *b, const struct idleness_data *d, int64_t now_ns)
{
	if (b->idleness != NULL)
		idleness_import(b->idleness, d, now_ns);
}

void
brain_import_target(struct brain *b, const struct gradient_data *d, int64_t now_ns)
{
	if (b->gradient != NULL)
		gradient_import(b->gradient, d, now_ns);
}

bool
brain_export_surplus(const struct brain *b, float *out)
{
	if (b->surplus == NULL)
		return false;
	surplus_export(b->surplus, out);
	return true;
}

void
brain_import_surplus(struct brain *b, const float *in)
{
	if (b->idleness == NULL)
		return;
	if (b->surplus == NULL)
		b->surplus = surplus_new();
	surplus_import(b->surplus, in);
}
