#include "autoscaler/brain/starts.h"

#include <math.h>

#include "common/clk.h"

#define KEEP 0.97     /* weight of older starts, with each new one */
#define KNOWN_LEAST 4 /* starts, before they tell anything */
#define VARIED 0.1    /* deviation of the starts at once, as a share of their mean */
#define ERRORS 2.5    /* standard errors by which a slope may be too high */
#define GROWTH 4      /* … times as many at once as were tried */
#define WORTH_LEAST 2u

void
starts_load_add(struct starts_load *l, int64_t change, int64_t now_ns)
{
	if (change == 0)
		return;
	l->integral_s = starts_load_integral_s(l, now_ns);
	l->at_ns = now_ns;
	l->n = (uint32_t)MAX((int64_t)l->n + change, 0);
}

double
starts_load_integral_s(const struct starts_load *l, int64_t now_ns)
{
	return l->integral_s + l->n * (double)(now_ns - l->at_ns) / CLK_S;
}

void
starts_add(struct starts *s, double at_once, double took_s)
{
	s->n = s->n * KEEP + 1;
	s->x = s->x * KEEP + at_once;
	s->y = s->y * KEEP + took_s;
	s->xx = s->xx * KEEP + at_once * at_once;
	s->xy = s->xy * KEEP + at_once * took_s;
	s->yy = s->yy * KEEP + took_s * took_s;
	s->tried = MAX(s->tried * KEEP, at_once);
}

struct starts_model
starts_model(const struct starts *s)
{
	struct starts_model m = {.tried = s->tried};
	double mean_x, mean_y, xx, xy, yy, slope, rest, error;

	if (s->n < KNOWN_LEAST * 0.9)
		return m;
	mean_x = s->x / s->n;
	mean_y = s->y / s->n;
	xx = s->xx / s->n - mean_x * mean_x;
	xy = s->xy / s->n - mean_x * mean_y;
	yy = s->yy / s->n - mean_y * mean_y;
	if (xx < VARIED * VARIED * mean_x * mean_x)
		return m;
	slope = xy / xx;
	rest = MAX(yy - xy * slope, 1e-9);
	error = sqrt(rest / xx / MAX(s->n - 2, 1));
	m.each_s = MAX(slope - ERRORS * error, 0);
	m.fixed_s = MAX(mean_y - slope * mean_x, 0);
	return m;
}

void
starts_export(const struct starts *s, float out[STARTS_NUMBERS])
{
	const double v[STARTS_NUMBERS] = {s->n, s->x, s->y, s->xx, s->xy, s->yy, s->tried};
	size_t i;

	for (i = 0; i < STARTS_NUMBERS; i++)
		out[i] = (float)v[i];
}

void
starts_import(struct starts *s, const float in[STARTS_NUMBERS])
{
	*s = (struct starts){in[0], in[1], in[2], in[3], in[4], in[5], in[6]};
}

uint32_t
starts_worth(const struct starts_model *m, uint32_t needed, uint32_t trusted)
{
	double worth = MAX(ceil(GROWTH * m->tried), trusted);

	if (m->each_s > 0)
		worth = MIN(worth, ceil(MAX(sqrt(needed * m->fixed_s / m->each_s),
					    m->fixed_s / m->each_s)));
	return (uint32_t)MIN(MAX(worth, WORTH_LEAST), UINT32_MAX);
}
