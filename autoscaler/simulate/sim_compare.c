#include "autoscaler/simulate/sim_compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/simulate/sim_hindsight.h"
#include "autoscaler/simulate/sim_trace.h"
#include "common/clk.h"
#include "common/jput.h"
#include "common/settings_value.h"
#include "common/strbuf.h"

/* --- costs --- */

static struct sim_amount
sum_of(const struct sim_amount *days, size_t n, size_t from_day)
{
	struct sim_amount sum = {0, 0};
	size_t i;

	for (i = from_day; i < n; i++) {
		sum.instance_s += days[i].instance_s;
		sum.waited_s += days[i].waited_s;
	}
	return sum;
}

static double
cost_of(struct sim_amount a, double wait_cost)
{
	return a.instance_s + wait_cost * a.waited_s;
}

/* --- one row --- */

static void
put_rounded(struct jput *j, const char *key, double value)
{
	jput_double(j, key, round(1000 * value) / 1000);
}

struct comparison {
	const struct sim_compare_conf *conf;
	struct sim_hindsight *hindsight; /* NULL: the trace has clients, which wait for answers */
	double best[SIM_WAIT_COSTS];	 /* cost of the best fixed policy; 0: unknown */
	size_t days_n;			 /* of the longest simulation */
	struct jput j;
};

static void
put_days(struct jput *j, const struct sim_amount *days, size_t n, double wait_cost)
{
	size_t i;

	jput_array(j, "by_day");
	for (i = 0; i < n; i++)
		jput_double(j, NULL, round(10 * cost_of(days[i], wait_cost)) / 10);
	jput_array_end(j);
}

/* At the wait costs from `first` on, before `past`. */
static void
put_costs(struct comparison *c, const struct sim_amount *days, size_t n, size_t first, size_t past)
{
	struct sim_amount sum = sum_of(days, n, c->conf->from_day);
	size_t i;

	put_rounded(&c->j, "instance_seconds", sum.instance_s);
	put_rounded(&c->j, "waited_seconds", sum.waited_s);
	jput_array(&c->j, "costs");
	for (i = first; i < past; i++) {
		double cost = cost_of(sum, c->conf->wait_costs[i]);

		jput_object(&c->j, NULL);
		jput_double(&c->j, "wait_cost", c->conf->wait_costs[i]);
		put_rounded(&c->j, "cost", cost);
		if (c->best[i] > 0)
			put_rounded(&c->j, "of_best_fixed", cost / c->best[i]);
		put_days(&c->j, days, n, c->conf->wait_costs[i]);
		jput_object_end(&c->j);
	}
	jput_array_end(&c->j);
}

static void
put_outcome(struct comparison *c, const char *name, const struct sim_outcome *o, size_t first,
	    size_t past)
{
	jput_object(&c->j, NULL);
	jput_string(&c->j, "policy", name);
	put_costs(c, o->days, o->days_n, first, past);
	jput_u64(&c->j, "requests", o->totals.requests);
	jput_u64(&c->j, "cold_starts", o->totals.cold_starts);
	put_rounded(&c->j, "mean_wait_ms", sim_wait_mean(&o->waits));
	put_rounded(&c->j, "p99_wait_ms", sim_wait_quantile(&o->waits, 0.99));
	jput_u64(&c->j, "peak_instances", o->totals.peak_instances);
	jput_object_end(&c->j);
}

static int
simulate_one(struct comparison *c, const char *name, const struct sim_brain_class *class,
	     const struct revision_conf *revision, size_t first, size_t past, struct err *e)
{
	struct sim_run_conf run = c->conf->run;
	struct sim_outcome o;
	int rc;

	run.class = class;
	run.revision = revision;
	run.timeline = NULL;
	rc = sim_run(&run, &o, e);
	if (rc == 0)
		put_outcome(c, name, &o, first, past);
	sim_outcome_fini(&o);
	return rc;
}

/* --- all rows --- */

static int
simulate_all(struct comparison *c, struct err *e)
{
	const struct revision_conf *as = c->conf->run.revision;
	struct revision_conf fast = *as, slow, learned;
	size_t n = c->conf->wait_costs_n, i;

	fast.scaling.slow_brain = SLOW_OFF;
	fast.scaling.keep_warm = KEEP_WARM_FIXED;
	slow = learned = fast;
	slow.scaling.slow_brain = SLOW_ON;
	learned.scaling.keep_warm = KEEP_WARM_LEARNED;
	if (simulate_one(c, "configured", &sim_ours, as, 0, n, e) < 0 ||
	    simulate_one(c, "fast_brain", &sim_ours, &fast, 0, n, e) < 0 ||
	    simulate_one(c, "slow_brain", &sim_ours, &slow, 0, n, e) < 0)
		return -1;
	for (i = 0; i < n; i++) {
		learned.scaling.wait_cost = c->conf->wait_costs[i];
		if (simulate_one(c, "keep_warm", &sim_ours, &learned, i, i + 1, e) < 0)
			return -1;
	}
	return simulate_one(c, "knative", &sim_knative, as, 0, n, e);
}

static void
put_hindsight(struct comparison *c, const char *name, const struct sim_policy *p, size_t first,
	      size_t past)
{
	struct sim_amount *days = xcalloc(c->days_n + 1, sizeof *days);

	sim_hindsight_days(c->hindsight, p, days, c->days_n);
	c->best[first] = p == NULL ? c->best[first]
				   : cost_of(sum_of(days, c->days_n, c->conf->from_day),
					     c->conf->wait_costs[first]);
	jput_object(&c->j, NULL);
	jput_string(&c->j, "policy", name);
	if (p != NULL) {
		put_rounded(&c->j, "back_after_s", p->back_after_s);
		put_rounded(&c->j, "kept_s", p->kept_s);
	}
	put_costs(c, days, c->days_n, first, past);
	jput_object_end(&c->j);
	free(days);
}

static void
put_all_hindsight(struct comparison *c)
{
	size_t i;

	if (c->hindsight == NULL)
		return;
	for (i = 0; i < c->conf->wait_costs_n; i++) {
		struct sim_policy p = sim_hindsight_best(c->hindsight, c->conf->wait_costs[i]);

		put_hindsight(c, "best_fixed", &p, i, i + 1);
	}
	put_hindsight(c, "clairvoyant", NULL, 0, c->conf->wait_costs_n);
}

static uint32_t
instances_most(const struct sim_run_conf *run)
{
	uint32_t scale = run->revision->scaling.max_scale;

	if (scale == 0 || run->max_instances == 0)
		return MAX(scale, run->max_instances);
	return MIN(scale, run->max_instances);
}

/* Clients that wait for their answers send other requests with other policies: for them nothing is
 * known in hindsight. */
static int
open_hindsight(struct comparison *c, struct err *e)
{
	const struct sim_run_conf *run = &c->conf->run;
	struct sim_trace *t = sim_trace_open(run->trace, e);
	bool has_clients = t != NULL && sim_trace_has_clients(t);

	if (t == NULL)
		return -1;
	sim_trace_close(&t);
	if (has_clients)
		return 0;
	c->hindsight = sim_hindsight_open(
		&(struct sim_hindsight_conf){.trace = run->trace,
					     .capacity = sim_capacity(run->revision),
					     .instances_most = instances_most(run),
					     .start_ns = run->start_ns,
					     .from_day = c->conf->from_day},
		e);
	c->days_n = c->hindsight == NULL ? 0 : sim_hindsight_days_n(c->hindsight);
	return c->hindsight == NULL ? -1 : 0;
}

int
sim_compare(const struct sim_compare_conf *conf, struct strbuf *out, struct err *e)
{
	struct comparison c = {.conf = conf};
	int rc = open_hindsight(&c, e);

	if (rc == 0) {
		jput_init(&c.j, out);
		jput_object(&c.j, NULL);
		jput_u64(&c.j, "from_day", conf->from_day + 1);
		jput_array(&c.j, "policies");
		put_all_hindsight(&c);
		rc = simulate_all(&c, e);
		jput_array_end(&c.j);
		jput_object_end(&c.j);
		strbuf_adds(out, "\n");
	}
	sim_hindsight_close(&c.hindsight);
	return rc;
}

/* --- one key with several values --- */

struct point {
	char *value;
	double instance_s, waited_s;
};

/* A copy of the revision with this value of the key, simulated. */
static int
simulate_value(const struct sim_compare_conf *conf, const struct key *key, const char *value,
	       struct point *p, struct strbuf *out, struct err *e)
{
	struct revision_conf revision = *conf->run.revision;
	struct sim_run_conf run = conf->run;
	struct sim_outcome o;
	char *text = xstrdup(value);
	int rc = value_check(key, text, e);

	if (rc < 0) {
		free(text);
		return err_prefix(e, "%s", key->name);
	}
	value_set(key, &revision.scaling, &text, 1);
	free(text);
	run.class = &sim_ours;
	run.revision = &revision;
	run.timeline = NULL;
	rc = sim_run(&run, &o, e);
	if (rc == 0) {
		struct sim_amount sum = sum_of(o.days, o.days_n, conf->from_day);

		*p = (struct point){xstrdup(value), sum.instance_s, sum.waited_s};
		strbuf_addf(out, "%s,%.3f,%.3f,%.3f,%.3f,%llu\n", value, sum.instance_s,
			    sum.waited_s, sim_wait_mean(&o.waits),
			    sim_wait_quantile(&o.waits, 0.99),
			    (unsigned long long)o.totals.cold_starts);
	}
	sim_outcome_fini(&o);
	return rc;
}

/* --- the picture --- */

#define WIDTH 640.0
#define HEIGHT 400.0
#define MARGIN 60.0

static void
draw_axes(struct strbuf *svg, const char *key, double most_x, double most_y)
{
	strbuf_addf(svg,
		    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"%g\" "
		    "font-family=\"sans-serif\" font-size=\"12\">\n"
		    "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
		    "<path d=\"M%g %gV%gH%g\" fill=\"none\" stroke=\"black\"/>\n",
		    WIDTH, HEIGHT, MARGIN, MARGIN / 2, HEIGHT - MARGIN, WIDTH - MARGIN / 2);
	strbuf_addf(
		svg,
		"<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">instance-seconds, by %s</text>\n"
		"<text x=\"16\" y=\"%g\" text-anchor=\"middle\" transform=\"rotate(-90 16 %g)\">"
		"seconds waited</text>\n",
		WIDTH / 2, HEIGHT - MARGIN / 3, key, HEIGHT / 2, HEIGHT / 2);
	strbuf_addf(svg,
		    "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">%.6g</text>\n"
		    "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">%.6g</text>\n"
		    "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">0</text>\n",
		    WIDTH - MARGIN / 2, HEIGHT - MARGIN + 16, most_x, MARGIN - 4, MARGIN / 2 + 10,
		    most_y, MARGIN - 4, HEIGHT - MARGIN + 14);
}

static void
draw(const char *key, const struct point *v, size_t n, struct strbuf *svg)
{
	double most_x = 1e-9, most_y = 1e-9;
	size_t i;

	for (i = 0; i < n; i++) {
		most_x = MAX(most_x, v[i].instance_s);
		most_y = MAX(most_y, v[i].waited_s);
	}
	draw_axes(svg, key, most_x, most_y);
	strbuf_adds(svg, "<polyline fill=\"none\" stroke=\"steelblue\" points=\"");
	for (i = 0; i < n; i++)
		strbuf_addf(svg, "%.1f,%.1f ",
			    MARGIN + v[i].instance_s / most_x * (WIDTH - 1.5 * MARGIN),
			    HEIGHT - MARGIN - v[i].waited_s / most_y * (HEIGHT - 1.5 * MARGIN));
	strbuf_adds(svg, "\"/>\n");
	for (i = 0; i < n; i++) {
		double x = MARGIN + v[i].instance_s / most_x * (WIDTH - 1.5 * MARGIN);
		double y = HEIGHT - MARGIN - v[i].waited_s / most_y * (HEIGHT - 1.5 * MARGIN);

		strbuf_addf(svg,
			    "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"steelblue\"/>"
			    "<text x=\"%.1f\" y=\"%.1f\">%s</text>\n",
			    x, y, x + 5, y - 5, v[i].value);
	}
	strbuf_adds(svg, "</svg>\n");
}

static int
write_picture(const char *file, const char *key, const struct point *v, size_t n, struct err *e)
{
	FILE *f = fopen(file, "we");
	struct strbuf svg;
	int rc = 0;

	if (f == NULL)
		return err_errno(e, "%s: cannot open", file);
	strbuf_init(&svg, 0);
	draw(key, v, n, &svg);
	if (fwrite(svg.data, 1, svg.len, f) != svg.len)
		rc = err_errno(e, "%s: cannot write", file);
	if (fclose(f) != 0 && rc == 0)
		rc = err_errno(e, "%s: cannot write", file);
	strbuf_fini(&svg);
	return rc;
}

static int
find_key(const char *sweep, const struct key **key, struct err *e)
{
	const char *equals = strchr(sweep, '=');
	char *name = equals == NULL ? NULL : xstrndup(sweep, (size_t)(equals - sweep));

	*key = name == NULL ? NULL : settings_key_find(name, IN_REVISION);
	free(name);
	if (*key == NULL || (*key)->group != GROUP_SCALING || value_is_list(*key))
		return err_set(e, 0,
			       "--sweep: expected KEY=VALUE,VALUE… with a key of scaling, got "
			       "\"%s\"",
			       sweep);
	return 0;
}

int
sim_sweep(const struct sim_compare_conf *conf, const char *sweep, const char *svg,
	  struct strbuf *out, struct err *e)
{
	const struct key *key;
	struct point *v = NULL;
	const char *at, *comma;
	size_t n = 0;
	int rc = find_key(sweep, &key, e);

	if (rc < 0)
		return -1;
	strbuf_addf(out,
		    "%s,instance_seconds,waited_seconds,mean_wait_ms,p99_wait_ms,cold_starts\n",
		    key->name);
	for (at = strchr(sweep, '=') + 1; rc == 0; at = comma + 1) {
		char *value;

		comma = strchrnul(at, ',');
		value = xstrndup(at, (size_t)(comma - at));
		v = xrealloc(v, (n + 1) * sizeof *v);
		rc = simulate_value(conf, key, value, &v[n], out, e);
		free(value);
		n += rc == 0;
		if (*comma == '\0')
			break;
	}
	if (rc == 0 && svg != NULL)
		rc = write_picture(svg, key->name, v, n, e);
	for (; n > 0; n--)
		free(v[n - 1].value);
	free(v);
	return rc;
}
