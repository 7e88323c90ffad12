#include "common/metric.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/clk.h"
#include "common/strbuf.h"

/* The upper bounds of the buckets, in seconds. */
static const double bounds[METRIC_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
					      0.25,  0.5,    1,	    2.5,  5,	 10,   15,
					      20,    30,     60,    120,  300,	 600};

/* Of the thread that writes: an argument of each call would be the same from the first to the last
 * line of a text. */
static _Thread_local enum metric_form form;

void
metric_set_form(enum metric_form f)
{
	form = f;
}

enum metric_form
metric_form(void)
{
	return form;
}

void
metric_end(struct strbuf *b)
{
	if (form == METRIC_OPENMETRICS)
		strbuf_adds(b, "# EOF\n");
}

/* Append a help text, or a label value.  In the latter quotes are escaped, too; OpenMetrics escapes
 * them in both. */
static void
add_escaped(struct strbuf *b, const char *s, bool has_quotes)
{
	for (; *s != '\0'; s++) {
		if (*s == '\\')
			strbuf_adds(b, "\\\\");
		else if (*s == '\n')
			strbuf_adds(b, "\\n");
		else if (has_quotes && *s == '"')
			strbuf_adds(b, "\\\"");
		else
			strbuf_add(b, s, 1);
	}
}

void
metric_head(struct strbuf *b, const struct metric_def *def)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	static const char total[] = "_total";
	int n = (int)strlen(def->name);

	/* The name of a counter's family; OpenMetrics adds _total to that of its samples alone. */
	if (form == METRIC_OPENMETRICS && def->type == METRIC_COUNTER &&
	    n > (int)sizeof total - 1 &&
	    strcmp(def->name + n - (int)(sizeof total - 1), total) == 0)
		n -= (int)sizeof total - 1;
	strbuf_addf(b, "# HELP %.*s ", n, def->name);
	add_escaped(b, def->help, form == METRIC_OPENMETRICS);
	strbuf_addf(b, "\n# TYPE %.*s %s\n", n, def->name, types[def->type]);
}

static void
add_value(struct strbuf *b, double value)
{
	if (isnan(value))
		strbuf_adds(b, "NaN");
	else if (isinf(value))
		strbuf_adds(b, value > 0 ? "+Inf" : "-Inf");
	else
		strbuf_add_number(b, value);
}

/* Append `name{label="value",…,le="…"} `; le NULL: without it. */
static void
add_series(struct strbuf *b, const struct metric_def *def, const char *suffix,
	   const char *const *labels, const char *le)
{
	const char *name = def->labels;
	char mark = '{';
	size_t i;

	strbuf_adds(b, def->name);
	strbuf_adds(b, suffix);
	for (i = 0; *name != '\0'; i++, mark = ',') {
		size_t n = strcspn(name, ",");

		strbuf_addf(b, "%c%.*s=\"", mark, (int)n, name);
		add_escaped(b, labels[i], true);
		strbuf_adds(b, "\"");
		name += n + (name[n] == ',');
	}
	if (le != NULL) {
		strbuf_addf(b, "%cle=\"%s\"", mark, le);
		mark = ',';
	}
	strbuf_adds(b, mark == '{' ? " " : "} ");
}

void
metric_sample(struct strbuf *b, const struct metric_def *def, const char *const *labels,
	      double value)
{
	CHECK(def->type != METRIC_HISTOGRAM);
	add_series(b, def, "", labels, NULL);
	add_value(b, value);
	strbuf_adds(b, "\n");
}

size_t
metric_hist_bucket(int64_t ns)
{
	double seconds = (double)ns / (double)CLK_S;
	size_t i = 0;

	while (i < METRIC_BUCKETS && seconds > bounds[i])
		i++;
	return i;
}

void
metric_hist_add(struct metric_hist *h, int64_t ns)
{
	metric_add(&h->bucket[metric_hist_bucket(ns)], 1);
	metric_add(&h->sum_us, (uint64_t)(MAX(ns, 0) / CLK_US));
}

void
metric_hist_collect(struct metric_hist_sum *into, const struct metric_hist *from)
{
	size_t i;

	for (i = 0; i <= METRIC_BUCKETS; i++)
		into->bucket[i] += atomic_load_explicit(&from->bucket[i], memory_order_relaxed);
	into->sum_us += atomic_load_explicit(&from->sum_us, memory_order_relaxed);
}

void
metric_hist_merge(struct metric_hist *into, const struct metric_hist *from)
{
	struct metric_hist_sum sum = {.sum_us = 0};
	size_t i;

	metric_hist_collect(&sum, from);
	for (i = 0; i <= METRIC_BUCKETS; i++)
		metric_add(&into->bucket[i], sum.bucket[i]);
	metric_add(&into->sum_us, sum.sum_us);
}

/* The upper bound of a bucket; in OpenMetrics a number that is whole has a point. */
static const char *
format_bound(size_t i, char le[32])
{
	int n;

	if (i == METRIC_BUCKETS)
		return "+Inf";
	n = snprintf(le, 32, "%g", bounds[i]);
	if (form == METRIC_OPENMETRICS && strchr(le, '.') == NULL)
		snprintf(le + n, 32 - (size_t)n, ".0");
	return le;
}

static void
add_exemplar(struct strbuf *b, const struct metric_exemplar *e)
{
	strbuf_addf(b, " # {trace_id=\"%.*s\"} ", METRIC_TRACE, e->trace);
	add_value(b, e->value);
	strbuf_addf(b, " %.3f", e->wall_s);
}

void
metric_hist_sample(struct strbuf *b, const struct metric_def *def, const char *const *labels,
		   const struct metric_hist_sum *sum, const struct metric_exemplar *exemplars)
{
	uint64_t count = 0;
	char le[32];
	size_t i;

	CHECK(def->type == METRIC_HISTOGRAM);
	for (i = 0; i <= METRIC_BUCKETS; i++) {
		count += sum->bucket[i];
		add_series(b, def, "_bucket", labels, format_bound(i, le));
		strbuf_addf(b, "%llu", (unsigned long long)count);
		if (form == METRIC_OPENMETRICS && exemplars != NULL &&
		    exemplars[i].trace[0] != '\0')
			add_exemplar(b, &exemplars[i]);
		strbuf_adds(b, "\n");
	}
	add_series(b, def, "_sum", labels, NULL);
	add_value(b, (double)sum->sum_us / 1e6);
	strbuf_adds(b, "\n");
	add_series(b, def, "_count", labels, NULL);
	strbuf_addf(b, "%llu\n", (unsigned long long)count);
}
