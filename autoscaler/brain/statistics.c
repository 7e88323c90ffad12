#include "autoscaler/brain/statistics.h"

#include <math.h>

#define MOMENTS_KEEP 0.95 /* weight of older samples, with each new one … */
#define LINE_KEEP 0.98	  /* … and of the points of the line */
#define VARIED 0.2	  /* deviation of the logarithm of a throughput that has varied */
#define SIGNIFICANT 2.0	  /* standard errors of the line's slope */
#define NOISY_POINTS 20	  /* points that the line needs where work is noisy */

void
moments_add(struct moments *m, double latency_s)
{
	double y = log(latency_s);

	m->n = m->n * MOMENTS_KEEP + 1;
	m->sum = m->sum * MOMENTS_KEEP + y;
	m->squares = m->squares * MOMENTS_KEEP + y * y;
}

double
moments_mean(const struct moments *m)
{
	return m->sum / m->n;
}

double
moments_variance(const struct moments *m)
{
	double mean = moments_mean(m);

	return m->n < 2 ? 0 : MAX(m->squares / m->n - mean * mean, 0) * m->n / (m->n - 1);
}

void
regression_add(struct regression *l, double throughput, double latency_s)
{
	double x = log(throughput), y = log(latency_s);

	l->n = l->n * LINE_KEEP + 1;
	l->x = l->x * LINE_KEEP + x;
	l->y = l->y * LINE_KEEP + y;
	l->xx = l->xx * LINE_KEEP + x * x;
	l->xy = l->xy * LINE_KEEP + x * y;
	l->yy = l->yy * LINE_KEEP + y * y;
}

/* Requests that take longer raise concurrency as much as load does.  But only load comes with
 * throughput: where throughput has varied, latency must have risen with it, by more than chance
 * explains.  Where it has not varied, nothing can be told: then a step down is worth trying if its
 * effect would show. */
bool
regression_may_be_load(const struct regression *l, bool is_noisy)
{
	double xx, xy, yy, rest;

	if (l->n < (is_noisy ? NOISY_POINTS : 3))
		return !is_noisy;
	xx = l->xx / l->n - l->x * l->x / l->n / l->n;
	xy = l->xy / l->n - l->x * l->y / l->n / l->n;
	yy = l->yy / l->n - l->y * l->y / l->n / l->n;
	if (xx < VARIED * VARIED)
		return !is_noisy;
	rest = MAX(yy - xy * xy / xx, 1e-6);
	return xy > 0 && xy / sqrt(xx) > SIGNIFICANT * sqrt(rest / (l->n - 2));
}
