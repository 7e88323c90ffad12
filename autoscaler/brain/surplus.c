#include "autoscaler/brain/surplus.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/strbuf.h"

#define GAP_LEAST (2 * CLK_S) /* less is a number that varies by one from second to second */
#define GAPS_LEAST 3	      /* that have to be known, of all levels together */
#define LEVEL_HALF 100	      /* gaps after which an older one counts half */
#define POOL_HALF 400
/* Without the instance a queue grows for as long as the start takes, and each request waits for all
 * before it: more than the requests that it would carry, by this factor at most. */
#define QUEUE_MOST 10

static const float stays_s[SURPLUS_STAYS] = {5, 15, 30, 60, 120, 240, 480, 960, 1920, 3840};

struct costs {
	float v[SURPLUS_STAYS]; /* of each stay, over the gaps that are known */
};

struct surplus {
	struct costs pool; /* of all levels */
	float pool_n;	   /* how many gaps */
	struct costs levels[SURPLUS_LEVELS];
	/* When the load needed the level last; 0: never, or longer ago than any stay. */
	int64_t needed_ns[SURPLUS_LEVELS];
	struct surplus_gap {
		int64_t end_ns; /* 0: none */
		float gap_s, waited_s;
	} gaps[SURPLUS_LEVELS]; /* that are over, while a start would not be */
	int64_t last_ns;
	float start_s; /* the newest; < 0: unknown */
};

struct surplus *
surplus_new(void)
{
	struct surplus *s = xcalloc(1, sizeof *s);

	s->start_s = -1;
	return s;
}

void
surplus_free(struct surplus **sp)
{
	free(*sp);
	*sp = NULL;
}

/* The least number of instances of the level. */
static uint32_t
least_of(size_t level)
{
	uint32_t octave;

	if (level < 7)
		return (uint32_t)level + 2;
	octave = 8u << (level - 7) / 4;
	return octave + ((uint32_t)(level - 7) % 4 + 1) * (octave / 4);
}

/* --- gaps --- */

static void
add(struct costs *c, double gap_s, double miss, double half)
{
	const double keep = exp2(-1 / half);
	size_t j;

	for (j = 0; j < SURPLUS_STAYS; j++) {
		double stay = (double)stays_s[j];
		double cost = MIN(gap_s, stay) + (gap_s > stay ? miss : 0);

		c->v[j] = (float)((double)c->v[j] * keep + cost);
	}
}

/* miss: what an instance that is missing at the end of the gap costs. */
static void
note_gap(struct surplus *s, size_t level, double gap_s, double miss)
{
	add(&s->levels[level], gap_s, miss, LEVEL_HALF);
	add(&s->pool, gap_s, miss, POOL_HALF);
	s->pool_n = (float)((double)s->pool_n * exp2(-1.0 / POOL_HALF) + 1);
}

/* For so long requests would wait if the level were missing, over the time since the last call.  A
 * request that finds no place waits for the rest of the start; so do those behind it, where a start
 * takes longer than a request. */
static double
waiting(const struct surplus_price *p, uint32_t instances, double rest_s, double step_s)
{
	double each = MAX(p->each, 1.0);
	double excess = MIN(MAX(p->requests - each * (instances - 1), 0.0), each);
	double queue = p->latency_s > 0 ? MIN(MAX(rest_s / p->latency_s, 1.0), QUEUE_MOST) : 1;

	return excess * queue * step_s;
}

static void
follow_gap(struct surplus *s, size_t level, const struct surplus_price *p, int64_t now_ns)
{
	struct surplus_gap *g = &s->gaps[level];
	double rest_s = p->start_s - (double)(now_ns - g->end_ns) / CLK_S;

	g->waited_s += (float)waiting(p, least_of(level), MAX(rest_s, 0.0),
				      (double)(now_ns - s->last_ns) / CLK_S);
	if (rest_s > 0)
		return;
	note_gap(s, level, (double)g->gap_s, p->start_s + p->wait_cost * (double)g->waited_s);
	g->end_ns = 0;
}

static void
note_level(struct surplus *s, size_t level, bool is_needed, int64_t now_ns)
{
	const double longest = (double)stays_s[SURPLUS_STAYS - 1];
	int64_t gap_ns = now_ns - s->needed_ns[level];
	struct surplus_gap *g = &s->gaps[level];

	if (s->needed_ns[level] != 0 && is_needed && gap_ns > GAP_LEAST && g->end_ns == 0)
		*g = (struct surplus_gap){.end_ns = now_ns,
					  .gap_s = (float)((double)gap_ns / CLK_S)};
	if (is_needed) {
		s->needed_ns[level] = now_ns;
	} else if (s->needed_ns[level] != 0 && (double)gap_ns > longest * CLK_S) {
		note_gap(s, level, longest, 0);
		s->needed_ns[level] = 0;
	}
}

void
surplus_needed(struct surplus *s, uint32_t instances, const struct surplus_price *p, int64_t now_ns)
{
	size_t i;

	s->start_s = (float)p->start_s;
	for (i = 0; p->start_s >= 0 && i < SURPLUS_LEVELS; i++) {
		if (s->gaps[i].end_ns != 0)
			follow_gap(s, i, p, now_ns);
		note_level(s, i, least_of(i) <= instances, now_ns);
	}
	s->last_ns = now_ns;
}

/* --- stays --- */

static double
stay_of(const struct surplus *s, size_t level)
{
	double least = INFINITY, stay = 0;
	size_t j;

	if (s->pool_n < GAPS_LEAST)
		return MAX((double)s->start_s, 0);
	for (j = 0; j < SURPLUS_STAYS; j++) {
		double cost = (double)s->levels[level].v[j] + (double)(s->pool.v[j] / s->pool_n);

		if (cost < least) {
			least = cost;
			stay = (double)stays_s[j];
		}
	}
	return stay;
}

uint32_t
surplus_kept(const struct surplus *s, int64_t now_ns)
{
	size_t i = SURPLUS_LEVELS;

	while (i-- > 0)
		if (s->needed_ns[i] != 0 &&
		    (double)(now_ns - s->needed_ns[i]) < stay_of(s, i) * CLK_S)
			return least_of(i);
	return 0;
}

void
surplus_explain(const struct surplus *s, struct strbuf *out)
{
	size_t i, end, named = 0;

	if (s->pool_n < GAPS_LEAST)
		return;
	for (i = 0; i < SURPLUS_LEVELS; i = end) {
		const double stay = stay_of(s, i);

		for (end = i + 1; end < SURPLUS_LEVELS && s->needed_ns[end] != 0 &&
				  stay_of(s, end) <= stay && stay_of(s, end) >= stay;
		     end++)
			;
		if (s->needed_ns[i] == 0)
			continue;
		strbuf_addf(out,
			    named++ == 0 ? "; of several, beyond what the load needs: " : ", ");
		strbuf_addf(out, "up to %u stay %.0f s", least_of(end - 1), stay);
	}
}

/* --- kept over a restart --- */

void
surplus_export(const struct surplus *s, float out[SURPLUS_NUMBERS])
{
	out[0] = s->pool_n;
	memcpy(out + 1, s->pool.v, sizeof s->pool.v);
	memcpy(out + 1 + SURPLUS_STAYS, s->levels, sizeof s->levels);
}

void
surplus_import(struct surplus *s, const float in[SURPLUS_NUMBERS])
{
	s->pool_n = in[0];
	memcpy(s->pool.v, in + 1, sizeof s->pool.v);
	memcpy(s->levels, in + 1 + SURPLUS_STAYS, sizeof s->levels);
}
