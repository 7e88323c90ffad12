#include "autoscaler/brain/window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"

/* The sum of what all activators reported of one second (knative.md 2.2). */
struct bucket {
	int64_t second; /* monotonic; -1: empty */
	double concurrency, requests;
};

struct window {
	unsigned span_s;
	/* the first report after a whole span without one: */
	int64_t first;		/* its second; -1: none */
	int64_t first_ns;	/* when its period began */
	int64_t newest_ns;	/* the end of the newest report; -1: none */
	int64_t busy_end_ns;	/* the newest window_touch(); -1: none */
	struct bucket *buckets; /* ring of span_s + 1, by second */
};

static void
clear(struct window *w)
{
	unsigned i;

	w->first = w->newest_ns = w->busy_end_ns = -1;
	for (i = 0; i <= w->span_s; i++)
		w->buckets[i] = (struct bucket){.second = -1};
}

struct window *
window_new(unsigned span_s)
{
	struct window *w = xcalloc(1, sizeof *w);

	w->span_s = MAX(span_s, 1u);
	w->buckets = xcalloc(w->span_s + 1, sizeof *w->buckets);
	clear(w);
	return w;
}

void
window_free(struct window **wp)
{
	if (*wp != NULL)
		free((*wp)->buckets);
	free(*wp);
	*wp = NULL;
}

static struct bucket *
bucket_of(const struct window *w, int64_t second)
{
	return &w->buckets[second % (w->span_s + 1)];
}

void
window_resize(struct window *w, unsigned span_s)
{
	struct window *other = window_new(span_s);
	struct window old = *w;
	unsigned i;

	other->first = old.first;
	other->newest_ns = old.newest_ns;
	other->busy_end_ns = old.busy_end_ns;
	other->first_ns = old.first_ns;
	for (i = 0; i <= old.span_s; i++) {
		const struct bucket *b = &old.buckets[i];
		struct bucket *at;

		if (b->second < 0)
			continue;
		at = bucket_of(other, b->second);
		if (b->second > at->second)
			*at = *b;
	}
	*w = *other;
	free(old.buckets);
	free(other);
}

static struct bucket *
open_bucket(struct window *w, int64_t second)
{
	struct bucket *b = bucket_of(w, second);

	if (b->second > second)
		return NULL; /* a newer second has its place */
	if (b->second != second)
		*b = (struct bucket){.second = second};
	if (w->first < 0 || second < w->first)
		w->first = second;
	return b;
}

/* A report counts for each second that it covers, by its share of that second. */
void
window_add(struct window *w, int64_t now_ns, int64_t period_ns, double concurrency, double requests)
{
	int64_t period = MIN(MAX(period_ns, CLK_MS), (int64_t)w->span_s * CLK_S);
	int64_t at = now_ns - period;

	if (now_ns <= w->newest_ns - (int64_t)w->span_s * CLK_S)
		return; /* older than any average reaches */
	if (at - w->newest_ns >= (int64_t)w->span_s * CLK_S)
		w->first = -1; /* the data before that gap says nothing of now */
	if (w->first < 0 || w->first_ns > at)
		w->first_ns = at;
	w->newest_ns = MAX(w->newest_ns, now_ns);
	while (at < now_ns) {
		int64_t end = MIN((at / CLK_S + 1) * CLK_S, now_ns);
		struct bucket *b = open_bucket(w, at / CLK_S);

		if (b != NULL) {
			b->concurrency += concurrency * (double)(end - at) / (double)CLK_S;
			b->requests += requests * (double)(end - at) / (double)period;
		}
		at = end;
	}
}

void
window_touch(struct window *w, int64_t now_ns)
{
	w->busy_end_ns = MAX(w->busy_end_ns, now_ns);
}

int64_t
window_idle_ns(const struct window *w, int64_t now_ns)
{
	if (w->first < 0)
		return 0;
	return MAX(now_ns - MAX(w->busy_end_ns, w->first_ns), 0);
}

/* pkg/autoscaler/aggregation/max(1-0.0001^(1/n), 0.2) */
static double
coefficient(unsigned n)
{
	return MAX(1 - pow(0.0001, 1.0 / n), 0.2);
}

/* How much of a second was reported, ns: not all where the first report begins, or the newest
 * ends, within it. */
static double
covered(const struct window *w, int64_t second)
{
	int64_t from = MAX(second * CLK_S, w->first_ns);
	int64_t to = MIN((second + 1) * CLK_S, w->newest_ns);

	return MAX((double)(to - from), 0);
}

struct window_mean
window_mean(const struct window *w, int64_t now_ns, unsigned span_s, enum window_weighting how)
{
	struct window_mean m = {.is_known = false};
	int64_t now = now_ns / CLK_S - 1, at;
	unsigned span = MIN(span_s, w->span_s);
	int64_t before = MAX(now - (int64_t)span, -1);
	double weight = 0, factor = 1, step = how == WINDOW_EXPONENTIAL ? coefficient(span) : 0;

	/* From the newest reported second back over the span, but not beyond the begin of the
	 * clock.  The current second is not over, and counts only while there is no other. */
	for (at = now; at > before && bucket_of(w, at)->second != at; at--)
		;
	if (at == before && bucket_of(w, now + 1)->second == now + 1)
		at = now + 1;
	for (; at > before && at >= w->first; at--) {
		const struct bucket *b = bucket_of(w, at);

		m.seconds++;
		if (b->second == at) {
			m.is_known = true;
			m.concurrency += b->concurrency * factor;
			m.rps += b->requests * factor;
		}
		weight += factor * covered(w, at) / CLK_S;
		factor *= 1 - step;
	}
	m.is_known = m.is_known && weight > 0;
	if (m.is_known) {
		m.concurrency = round(m.concurrency / weight * 1e6) / 1e6;
		m.rps = round(m.rps / weight * 1e6) / 1e6;
	}
	return m;
}
