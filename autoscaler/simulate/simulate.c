#include "autoscaler/simulate/simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/brain/decide.h"
#include "autoscaler/simulate/sim_brain.h"
#include "autoscaler/simulate/sim_fleet.h"
#include "autoscaler/simulate/sim_load.h"
#include "common/clk.h"
#include "common/jput.h"
#include "common/settings_value.h"
#include "common/strbuf.h"

#define REST (60 * CLK_S) /* for instances to go, after all windows and delays */
#define TIMELINE_CHUNK ((size_t)64 << 10)

enum { OPT_SIMULATE = 256, OPT_REVISION, OPT_START_TIME, OPT_PRESET, OPT_TIMELINE };

const struct option simulate_options[] = {{"simulate", required_argument, NULL, OPT_SIMULATE},
					  {"revision", required_argument, NULL, OPT_REVISION},
					  {"start-time", required_argument, NULL, OPT_START_TIME},
					  {"preset", required_argument, NULL, OPT_PRESET},
					  {"timeline", required_argument, NULL, OPT_TIMELINE},
					  {NULL, 0, NULL, 0}};

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

static int
play(struct run *r, const char *file, struct err *e)
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
	}
	return 0;
}

/* --- the result --- */

static void
put_waits(struct jput *j, const struct sim_wait *w)
{
	jput_object(j, "added_wait_ms");
	jput_double(j, "p50", sim_wait_quantile(w, 0.5));
	jput_double(j, "p90", sim_wait_quantile(w, 0.9));
	jput_double(j, "p99", sim_wait_quantile(w, 0.99));
	jput_double(j, "max", (double)w->most_ns / CLK_MS);
	jput_double(j, "mean", sim_wait_mean(w));
	jput_object_end(j);
}

static void
put_result(const struct run *r, struct strbuf *out)
{
	const struct sim_totals *t = sim_fleet_totals(r->fleet);
	struct jput j;

	jput_init(&j, out);
	jput_object(&j, NULL);
	jput_double(&j, "instance_seconds", t->instance_s);
	jput_u64(&j, "requests", t->requests);
	jput_u64(&j, "cold_starts", t->cold_starts);
	put_waits(&j, sim_fleet_waits(r->fleet));
	jput_u64(&j, "peak_instances", t->peak_instances);
	jput_u64(&j, "decisions", r->decisions);
	jput_double(&j, "last_answer_ms", (double)t->last_answer_ns / CLK_MS);
	jput_double(&j, "instance_seconds_to_last_answer", t->last_answer_instance_s);
	jput_object_end(&j);
	strbuf_adds(out, "\n");
}

/* --- the arguments --- */

static int
parse_start(const char *arg, struct simulate_args *a)
{
	static const struct key key = {.name = "start-time",
				       .type = KEY_DURATION,
				       .min = 0,
				       .max = 86400e9,
				       .offset = offsetof(struct simulate_args, start_ns)};
	struct err e;
	char *text = xstrdup(arg);
	int rc = value_check(&key, text, &e);

	if (rc == 0)
		value_set(&key, a, &text, 1);
	free(text);
	return rc;
}

int
simulate_option(int val, const char *arg, void *ctx)
{
	struct simulate_args *a = ctx;

	switch (val) {
	case OPT_SIMULATE:
		a->trace = arg;
		return 0;
	case OPT_REVISION:
		a->revision = arg;
		return 0;
	case OPT_TIMELINE:
		a->timeline = arg;
		return 0;
	case OPT_START_TIME:
		return parse_start(arg, a);
	case OPT_PRESET:
		a->is_knative = strcmp(arg, "knative") == 0;
		return a->is_knative ? 0 : -1;
	default:
		return -1;
	}
}

static const struct revision_conf *
find_revision(const struct settings *s, const char *name, struct err *e)
{
	size_t i, k;

	if (name == NULL) {
		err_set(e, 0, "--simulate needs --revision SERVICE/REVISION");
		return NULL;
	}
	for (i = 0; i < s->services_n; i++)
		for (k = 0; k < s->services[i].revisions_n; k++)
			if (strcmp(s->services[i].revisions[k].full_name, name) == 0)
				return &s->services[i].revisions[k];
	err_set(e, 0, "%s: there is no revision \"%s\"", s->file, name);
	return NULL;
}

/* How many requests at once an instance works on at full speed: the target, if the target
 * counts requests at once. */
static double
capacity(const struct revision_conf *conf)
{
	if (conf->scaling.metric == METRIC_RPS)
		return UINT32_MAX;
	return decide_total(&conf->scaling, conf->limits.container_concurrency, 0);
}

static void
open_run(struct run *r, const struct simulate_args *a, const struct settings *s,
	 const struct revision_conf *conf)
{
	const struct scaling *by = &conf->scaling;
	struct sim_brain as = {.conf = conf, .max_instances = settings_max_instances(s)};
	struct sim_fleet_conf fleet = {
		.container_concurrency = conf->limits.container_concurrency,
		.capacity = capacity(conf),
		.start_ns = a->start_ns,
	};

	r->class = a->is_knative ? &sim_knative : &sim_ours;
	as.class = r->class;
	fleet.pace = r->class->pace(conf);
	as.fleet = r->fleet = sim_fleet_new(&fleet);
	r->brain = r->class->open(&as, 0);
	r->wanted = r->class->wanted(r->brain);
	r->rest_ns = by->stable_window + by->scale_to_zero_grace + by->retention +
		     by->scale_down_delay + REST;
}

int
simulate_run(const struct simulate_args *a, const struct settings *s, struct strbuf *out,
	     struct err *e)
{
	const struct revision_conf *conf = find_revision(s, a->revision, e);
	struct run r = {.load = NULL};
	int rc = -1;

	if (conf == NULL)
		return -1;
	if (conf->launch.addresses.n > 0)
		return err_set(e, 0, "%s:%u: revision \"%s\" has addresses, it is never scaled",
			       s->file, conf->line, a->revision);
	strbuf_init(&r.rows, 0);
	r.load = sim_load_open(a->trace, e);
	if (r.load != NULL && open_timeline(&r, a->timeline, e) == 0) {
		open_run(&r, a, s, conf);
		rc = play(&r, a->timeline, e);
		if (rc == 0)
			put_result(&r, out);
		r.class->close(r.brain);
	}
	if (close_timeline(&r, a->timeline, rc == 0 ? e : NULL) < 0)
		rc = -1;
	sim_fleet_free(&r.fleet);
	sim_load_close(&r.load);
	strbuf_fini(&r.rows);
	return rc;
}
