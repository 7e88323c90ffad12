#include "autoscaler/brain/idleness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/strbuf.h"

#define BIN_NS (60 * CLK_S)
#define BIN_S 60.0
#define HEAD 0.05 /* percentiles */
#define TAIL 0.99
#define MARGIN 0.1	/* so much earlier than the head, and later than the tail */
#define CV_LEAST 2.0	/* least coefficient of variation of the counts: else they tell nothing */
#define BEYOND_MOST 0.5 /* share of idle times that are longer than all bins */
#define TIMES_LEAST 10
#define TIMES_MOST 1000 /* beyond, all counts are halved */

struct idleness {
	uint32_t bins[IDLENESS_BINS];
	uint32_t sum, beyond;
	int64_t since_ns; /* is_idle: since when; else the last use, 0: unknown */
	bool is_idle;
	/* derived from the bins */
	enum idleness_pattern pattern;
	double cv;
	size_t head, tail; /* bins */
};

struct idleness *
idleness_new(void)
{
	return xcalloc(1, sizeof(struct idleness));
}

void
idleness_free(struct idleness **ip)
{
	free(*ip);
	*ip = NULL;
}

/* --- the histogram --- */

static double
variation(const struct idleness *i)
{
	double mean = (double)i->sum / IDLENESS_BINS, squares = 0;
	size_t k;

	for (k = 0; k < IDLENESS_BINS; k++)
		squares += (i->bins[k] - mean) * (i->bins[k] - mean);
	return i->sum == 0 ? 0 : sqrt(squares / (IDLENESS_BINS - 1)) / mean;
}

/* The first bin that, with all before it, has this share of all. */
static size_t
percentile(const struct idleness *i, double share)
{
	uint64_t sum = 0;
	size_t k;

	for (k = 0; k < IDLENESS_BINS - 1; k++) {
		sum += i->bins[k];
		if ((double)sum >= share * i->sum)
			break;
	}
	return k;
}

static void
classify(struct idleness *i)
{
	uint32_t all = i->sum + i->beyond;

	i->cv = variation(i);
	i->head = percentile(i, HEAD);
	i->tail = percentile(i, TAIL);
	if (all < TIMES_LEAST)
		i->pattern = IDLENESS_FEW;
	else if (i->beyond >= BEYOND_MOST * all)
		i->pattern = IDLENESS_BEYOND;
	else if (i->cv < CV_LEAST)
		i->pattern = IDLENESS_SPREAD;
	else
		i->pattern = i->head == 0 ? IDLENESS_KEEP : IDLENESS_RETURN;
}

static void
halve(struct idleness *i)
{
	size_t k;

	i->sum = 0;
	for (k = 0; k < IDLENESS_BINS; k++) {
		i->bins[k] = (i->bins[k] + 1) / 2;
		i->sum += i->bins[k];
	}
	i->beyond = (i->beyond + 1) / 2;
}

static void
add(struct idleness *i, int64_t idle_ns)
{
	if (idle_ns / BIN_NS < IDLENESS_BINS) {
		i->bins[idle_ns / BIN_NS]++;
		i->sum++;
	} else {
		i->beyond++;
	}
	if (i->sum + i->beyond > TIMES_MOST)
		halve(i);
	classify(i);
}

void
idleness_note(struct idleness *i, bool is_busy, int64_t now_ns)
{
	if (!is_busy) {
		if (!i->is_idle && i->since_ns != 0) {
			i->is_idle = true;
			i->since_ns = now_ns;
		}
		return;
	}
	if (i->is_idle)
		add(i, MAX(now_ns - i->since_ns, 0));
	i->is_idle = false;
	i->since_ns = now_ns;
}

/* --- advice --- */

struct idleness_advice
idleness_advise(const struct idleness *i, double start_s, int64_t now_ns)
{
	struct idleness_advice a = {.pattern = i->pattern,
				    .is_learned = i->pattern >= IDLENESS_KEEP};
	double idle_s = (double)(now_ns - i->since_ns) / CLK_S;

	if (!a.is_learned)
		return a;
	a.upto_s = (double)(i->tail + 1) * BIN_S * (1 + MARGIN);
	if (a.pattern == IDLENESS_RETURN)
		a.from_s = MAX((double)i->head * BIN_S * (1 - MARGIN) - MAX(start_s, 0), 0);
	a.is_warm = i->is_idle && idle_s >= a.from_s && idle_s < a.upto_s;
	return a;
}

void
idleness_explain(const struct idleness *i, double start_s, int64_t now_ns, struct strbuf *out)
{
	struct idleness_advice a = idleness_advise(i, start_s, now_ns);
	uint32_t all = i->sum + i->beyond;

	switch (a.pattern) {
	case IDLENESS_FEW:
		strbuf_addf(out,
			    "%u idle times are known, %d are needed: keep_warm = fixed applies",
			    all, TIMES_LEAST);
		break;
	case IDLENESS_SPREAD:
		strbuf_addf(out,
			    "%u idle times are spread too evenly over %d min (variation %.1f, "
			    "%.0f is needed): keep_warm = fixed applies",
			    i->sum, IDLENESS_BINS, i->cv, CV_LEAST);
		break;
	case IDLENESS_BEYOND:
		strbuf_addf(out,
			    "%u of %u idle times are longer than %d min: keep_warm = fixed applies",
			    i->beyond, all, IDLENESS_BINS);
		break;
	case IDLENESS_KEEP:
		strbuf_addf(out,
			    "99 %% of %u idle times are shorter than %zu min: the last instance "
			    "stays for %.1f min after a request",
			    i->sum, i->tail + 1, a.upto_s / BIN_S);
		break;
	case IDLENESS_RETURN:
		strbuf_addf(out,
			    "nearly all of %u idle times are %zu to %zu min long: the last "
			    "instance is stopped after a request, and one runs again from %.1f to "
			    "%.1f min after it",
			    i->sum, i->head, i->tail + 1, a.from_s / BIN_S, a.upto_s / BIN_S);
		break;
	}
}

/* --- kept over a restart --- */

void
idleness_export(const struct idleness *i, struct idleness_data *d, int64_t now_ns)
{
	memcpy(d->bins, i->bins, sizeof d->bins);
	d->beyond = i->beyond;
	d->idle_ns = i->is_idle ? now_ns - i->since_ns : -1;
}

void
idleness_import(struct idleness *i, const struct idleness_data *d, int64_t now_ns)
{
	size_t k;

	memcpy(i->bins, d->bins, sizeof i->bins);
	i->beyond = d->beyond;
	i->sum = 0;
	for (k = 0; k < IDLENESS_BINS; k++)
		i->sum += i->bins[k];
	i->is_idle = d->idle_ns >= 0;
	i->since_ns = i->is_idle ? now_ns - d->idle_ns : 0;
	classify(i);
}
