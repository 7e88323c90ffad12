#include "autoscaler/simulate/simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/simulate/sim_compare.h"
#include "autoscaler/simulate/sim_run.h"
#include "common/clk.h"
#include "common/conf_errors.h"
#include "common/jput.h"
#include "common/settings_value.h"
#include "common/strbuf.h"

enum {
	OPT_SIMULATE = 256,
	OPT_REVISION,
	OPT_START_TIME,
	OPT_PRESET,
	OPT_TIMELINE,
	OPT_COMPARE,
	OPT_WAIT_COSTS,
	OPT_FROM_DAY,
	OPT_SWEEP,
	OPT_SVG
};

#define WAIT_COST_MOST 1e6
#define DAY_MOST 400

static const double default_wait_costs[] = {10, 100};

const struct option simulate_options[] = {{"simulate", required_argument, NULL, OPT_SIMULATE},
					  {"revision", required_argument, NULL, OPT_REVISION},
					  {"start-time", required_argument, NULL, OPT_START_TIME},
					  {"preset", required_argument, NULL, OPT_PRESET},
					  {"timeline", required_argument, NULL, OPT_TIMELINE},
					  {"compare", no_argument, NULL, OPT_COMPARE},
					  {"wait-costs", required_argument, NULL, OPT_WAIT_COSTS},
					  {"from-day", required_argument, NULL, OPT_FROM_DAY},
					  {"sweep", required_argument, NULL, OPT_SWEEP},
					  {"svg", required_argument, NULL, OPT_SVG},
					  {NULL, 0, NULL, 0}};

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
put_result(const struct sim_outcome *o, struct strbuf *out)
{
	const struct sim_totals *t = &o->totals;
	struct jput j;

	jput_init(&j, out);
	jput_object(&j, NULL);
	jput_double(&j, "instance_seconds", t->instance_s);
	jput_u64(&j, "requests", t->requests);
	jput_u64(&j, "cold_starts", t->cold_starts);
	put_waits(&j, &o->waits);
	jput_u64(&j, "peak_instances", t->peak_instances);
	jput_u64(&j, "decisions", o->decisions);
	jput_double(&j, "last_answer_ms", (double)t->last_answer_ns / CLK_MS);
	jput_double(&j, "instance_seconds_to_last_answer", t->last_answer_instance_s);
	jput_object_end(&j);
	strbuf_adds(out, "\n");
}

/* --- the arguments --- */

static int
parse_start(const char *arg, struct simulate_args *a, struct err *e)
{
	static const struct key key = {.name = "start-time",
				       .type = KEY_DURATION,
				       .min = 0,
				       .max = 86400e9,
				       .offset = offsetof(struct simulate_args, start_ns)};
	char *text = xstrdup(arg);
	int rc = value_check(&key, text, e);

	if (rc == 0)
		value_set(&key, a, &text, 1);
	free(text);
	return rc == 0 ? 0 : err_prefix(e, "--start-time");
}

static int
read_wait_costs(const char *arg, struct simulate_args *a)
{
	char *end;

	for (a->wait_costs_n = 0; a->wait_costs_n < ARRAY_LEN(a->wait_costs); arg = end + 1) {
		double cost = strtod(arg, &end);

		if (end == arg || !(cost >= 0 && cost <= WAIT_COST_MOST))
			return -1;
		a->wait_costs[a->wait_costs_n++] = cost;
		if (*end == '\0')
			return 0;
		if (*end != ',')
			return -1;
	}
	return -1;
}

static int
parse_wait_costs(const char *arg, struct simulate_args *a, struct err *e)
{
	if (read_wait_costs(arg, a) == 0)
		return 0;
	return err_set(e, 0,
		       "--wait-costs: expected 1 to %zu numbers from 0 to %.0f with commas between "
		       "them, got %s",
		       ARRAY_LEN(a->wait_costs), WAIT_COST_MOST, CONF_QUOTED(arg));
}

static int
parse_day(const char *arg, struct simulate_args *a, struct err *e)
{
	char *end;
	long day = strtol(arg, &end, 10);

	if (end == arg || *end != '\0' || day < 1 || day > DAY_MOST)
		return err_set(e, 0, "--from-day: expected 1 to %d, got %s", DAY_MOST,
			       CONF_QUOTED(arg));
	a->from_day = (size_t)day - 1;
	return 0;
}

static int
parse_preset(const char *arg, struct simulate_args *a, struct err *e)
{
	a->is_knative = strcmp(arg, "knative") == 0;
	return a->is_knative
		       ? 0
		       : err_set(e, 0, "--preset: expected \"knative\", got %s", CONF_QUOTED(arg));
}

int
simulate_option(int val, const char *arg, void *ctx, struct err *e)
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
		return parse_start(arg, a, e);
	case OPT_COMPARE:
		a->is_compare = true;
		return 0;
	case OPT_WAIT_COSTS:
		return parse_wait_costs(arg, a, e);
	case OPT_FROM_DAY:
		return parse_day(arg, a, e);
	case OPT_SWEEP:
		a->sweep = arg;
		return 0;
	case OPT_SVG:
		a->svg = arg;
		return 0;
	case OPT_PRESET:
		return parse_preset(arg, a, e);
	default:
		return err_set(e, 0, "unknown option");
	}
}

int
simulate_check(const struct simulate_args *a, struct err *e)
{
	bool is_one = !a->is_compare && a->sweep == NULL;

	if (a->trace == NULL &&
	    (a->revision != NULL || a->timeline != NULL || a->is_knative || !is_one ||
	     a->svg != NULL || a->wait_costs_n > 0 || a->from_day > 0))
		return err_set(e, 0, "the options of a simulation need --simulate TRACE");
	if (a->is_compare && a->sweep != NULL)
		return err_set(e, 0, "--compare and --sweep exclude each other");
	if (!is_one && (a->timeline != NULL || a->is_knative))
		return err_set(e, 0, "%s has no effect together with %s",
			       a->timeline != NULL ? "--timeline" : "--preset",
			       a->is_compare ? "--compare" : "--sweep");
	if (a->svg != NULL && a->sweep == NULL)
		return err_set(e, 0, "--svg needs --sweep");
	if (a->wait_costs_n > 0 && !a->is_compare)
		return err_set(e, 0, "--wait-costs needs --compare");
	if (a->from_day > 0 && is_one)
		return err_set(e, 0, "--from-day needs --compare or --sweep");
	return 0;
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

static int
run_several(const struct simulate_args *a, const struct sim_run_conf *run, struct strbuf *out,
	    struct err *e)
{
	struct sim_compare_conf c = {.run = *run, .from_day = a->from_day};

	c.wait_costs_n = a->wait_costs_n > 0 ? a->wait_costs_n : ARRAY_LEN(default_wait_costs);
	memcpy(c.wait_costs, a->wait_costs_n > 0 ? a->wait_costs : default_wait_costs,
	       c.wait_costs_n * sizeof *c.wait_costs);
	return a->sweep != NULL ? sim_sweep(&c, a->sweep, a->svg, out, e) : sim_compare(&c, out, e);
}

int
simulate_run(const struct simulate_args *a, const struct settings *s, struct strbuf *out,
	     struct err *e)
{
	const struct revision_conf *conf = find_revision(s, a->revision, e);
	struct sim_run_conf run = {.trace = a->trace,
				   .timeline = a->timeline,
				   .class = a->is_knative ? &sim_knative : &sim_ours,
				   .revision = conf,
				   .max_instances = settings_max_instances(s),
				   .start_ns = a->start_ns};
	struct sim_outcome o;
	int rc;

	if (conf == NULL)
		return -1;
	if (conf->launch.addresses.n > 0)
		return err_set(e, 0, "%s:%u: revision \"%s\" has addresses, it is never scaled",
			       s->file, conf->line, a->revision);
	if (a->is_compare || a->sweep != NULL)
		return run_several(a, &run, out, e);
	rc = sim_run(&run, &o, e);
	if (rc == 0)
		put_result(&o, out);
	sim_outcome_fini(&o);
	return rc;
}
