#include "autoscaler/simulate/sim_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "autoscaler/brain/decide.h"
#include "autoscaler/simulate/sim_load.h"
#include "common/clk.h"
#include "common/strbuf.h"

#define REST (60 * CLK_S) /* for instances to go, after all windows and delays */
#define DAY (86400 * CLK_S)
#define TIMELINE_CHUNK ((size_t)64 << 10)

struct run {
	const struct sim_brain_class *class;
	struct sim_brain *brain;
	struct sim_fleet *fleet;
	struct sim_load *load;
	uint64_t answered; /* requests whose clients have heard of it */
	int64_t now;
	int64_t rest_ns; /* how long instances may outlast the last request */
	int64_t last_ns; /* when the last request came */
	/* at the last step of the brain */
	uint64_t seen;
	bool is_waiting;
	uint32_t wanted;
	uint64_t decisions;
	/* the timeline */
	FILE *timeline; /* NULL: none */
	struct strbuf rows;
	int64_t second; /* of the next row */
	struct sim_totals past;
	struct sim_totals day; /* at the begin of the day */
	double day_waited_s;
};

/* --- the timeline --- */

static int
flush_rows(struct run *r, const char *file, size_t keep, struct err *e)
{
	if (r->timeline == NULL || r->rows.len <= keep)
		return 0;
	if (fwrite(r->rows.data, 1, r->rows.len, r->timeline) != r->rows.len)
		return err_errno(e, "%s: cannot write", file);
	strbuf_clear(&r->rows);
	return 0;
}

static int
add_row(struct run *r, const char *file, struct err *e)
{
	const struct sim_totals *t = sim_fleet_totals(r->fleet);

	strbuf_addf(&r->rows, "%lld,%.3f,%u,%zu,%u,%s\n", (long long)r->second++,
		    t->flight_s + t->parked_s - r->past.flight_s - r->past.parked_s,
		    sim_fleet_parked(r->fleet), sim_fleet_n(r->fleet), r->wanted,
		    r->class->rule(r->brain));
	r->past = *t;
	return flush_rows(r, file, TIMELINE_CHUNK, e);
}

static int
open_timeline(struct run *r, const char *file, struct err *e)
{
	if (file == NULL)
		return 0;
	r->timeline = fopen(file, "we");
	if (r->timeline == NULL)
		return err_errno(e, "%s: cannot open", file);
	strbuf_adds(&r->rows, "second,concurrency,parked,instances,wanted,rule\n");
	return 0;
}

static int
close_timeline(struct run *r, const char *file, struct err *e)
{
	int rc = flush_rows(r, file, 0, e);

	if (r->timeline != NULL && fclose(r->timeline) != 0 && rc == 0)
		rc = err_errno(e, "%s: cannot write", file);
	r->timeline = NULL;
	return rc;
}

/* --- time --- */

static void
step_brain(struct run *r)
{
	uint32_t wanted;

	r->class->step(r->brain, r->now);
	r->seen = sim_fleet_changes(r->fleet);
	r->is_waiting = sim_fleet_parked(r->fleet) > 0;
	wanted = r->class->wanted(r->brain);
	r->decisions += wanted != r->wanted;
	r->wanted = wanted;
}

/* Send all requests that come by now. */
static int
arrive(struct run *r, struct err *e)
{
	uint64_t completed = sim_fleet_totals(r->fleet)->completed;
	struct sim_request request;
	int rc;

	sim_load_answered(r->load, completed - r->answered, r->now);
	r->answered = completed;
	while ((rc = sim_load_take(r->load, r->now, &request, e)) > 0) {
		r->last_ns = r->now;
		sim_fleet_request(r->fleet, &request);
	}
	return rc;
}

/* All requests are answered, and all instances are gone, or stay for good. */
static bool
is_done(const struct run *r)
{
	if (!sim_load_is_over(r->load) ||
	    sim_fleet_parked(r->fleet) + sim_fleet_in_flight(r->fleet) > 0)
		return false;
	return sim_fleet_n(r->fleet) == 0 ||
	       r->now - MAX(r->last_ns, sim_fleet_totals(r->fleet)->last_answer_ns) > r->rest_ns;
}

static int64_t
next_ns(const struct run *r)
{
	int64_t at = MIN(r->class->next_ns(r->brain), sim_fleet_next_ns(r->fleet));

	at = MIN(at, (r->second + 1) * CLK_S);
	return MAX(MIN(at, sim_load_next_ns(r->load)), r->now);
}

/* A day of the trace is over. */
static void
add_day(struct run *r, struct sim_outcome *o)
{
	const struct sim_totals *t = sim_fleet_totals(r->fleet);
	double waited_s = sim_fleet_waits(r->fleet)->sum_ns / CLK_S;

	o->days = xrealloc(o->days, (o->days_n + 1) * sizeof *o->days);
	o->days[o->days_n++] = (struct sim_amount){t->instance_s - r->day.instance_s,
						   waited_s - r->day_waited_s};
	r->day = *t;
	r->day_waited_s = waited_s;
}

static int
play(struct run *r, const char *file, struct sim_outcome *o, struct err *e)
{
	while (!is_done(r)) {
		r->now = next_ns(r);
		sim_fleet_advance(r->fleet, r->now);
		if (arrive(r, e) < 0)
			return -1;
		if (r->now >= r->class->next_ns(r->brain) ||
		    sim_fleet_changes(r->fleet) != r->seen ||
		    (sim_fleet_parked(r->fleet) > 0) != r->is_waiting)
			step_brain(r);
		if (r->now >= (r->second + 1) * CLK_S && add_row(r, file, e) < 0)
			return -1;
		if (r->now >= (int64_t)(o->days_n + 1) * DAY)
			add_day(r, o);
	}
	add_day(r, o);
	return 0;
}

/* --- the simulation --- */

/* The target, if it counts requests at once. */
double
sim_capacity(const struct revision_conf *conf)
{
	if (conf->scaling.metric == METRIC_RPS)
		return UINT32_MAX;
	return decide_total(&conf->scaling, conf->limits.container_concurrency, 0);
}

static void
open_run(struct run *r, const struct sim_run_conf *c)
{
	const struct revision_conf *conf = c->revision;
	const struct scaling *by = &conf->scaling;
	struct sim_brain as = {.class = c->class, .conf = conf, .max_instances = c->max_instances};
	struct sim_fleet_conf fleet = {
		.container_concurrency = conf->limits.container_concurrency,
		.capacity = sim_capacity(conf),
		.pace = c->class->pace(conf),
		.start_ns = c->start_ns,
	};

	r->class = c->class;
	as.fleet = r->fleet = sim_fleet_new(&fleet);
	r->brain = r->class->open(&as, 0);
	r->wanted = r->class->wanted(r->brain);
	r->rest_ns = by->stable_window + by->scale_to_zero_grace + by->retention +
		     by->scale_down_delay + REST;
}

int
sim_run(const struct sim_run_conf *c, struct sim_outcome *o, struct err *e)
{
	struct run r = {.load = NULL};
	int rc = -1;

	*o = (struct sim_outcome){.days_n = 0};
	strbuf_init(&r.rows, 0);
	r.load = sim_load_open(c->trace, e);
	if (r.load != NULL && open_timeline(&r, c->timeline, e) == 0) {
		open_run(&r, c);
		rc = play(&r, c->timeline, o, e);
		r.class->close(r.brain);
		o->totals = *sim_fleet_totals(r.fleet);
		o->waits = *sim_fleet_waits(r.fleet);
		o->decisions = r.decisions;
	}
	if (close_timeline(&r, c->timeline, rc == 0 ? e : NULL) < 0)
		rc = -1;
	sim_fleet_free(&r.fleet);
	sim_load_close(&r.load);
	strbuf_fini(&r.rows);
	return rc;
}

void
sim_outcome_fini(struct sim_outcome *o)
{
	free(o->days);
	o->days = NULL;
	o->days_n = 0;
}
