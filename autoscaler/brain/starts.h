/* starts - how much starts slow each other down, and how many at once are worth it.
 *
 * Instances that start on the same CPUs, disks or network share them: the more start at once, the
 * later the first one is ready, while the requests wait.  A start is modelled as
 *	fixed + each x (starts at once)
 * by weighted least squares over the newest starts.  If m instances are needed, and n start at
 * a time, all are ready after about (fixed + each x n) x (1 + m / n), which is least for
 * n = sqrt(m x fixed / each).  While starts are not known to slow each other down, four times as
 * many are begun as were tried before, or as many as are trusted without a trial.
 * Pure: the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_STARTS_H
#define AUTOSCALER_BRAIN_STARTS_H

#include "common/base.h"

/* How many starts there are, over time: of one revision, or of all that share a machine. */
struct starts_load {
	uint32_t n;
	int64_t at_ns;	   /* when n changed last */
	double integral_s; /* n over time, up to then */
};
void starts_load_add(struct starts_load *, int64_t change, int64_t now_ns);
/* The integral up to now: two of them make the average in between. */
double starts_load_integral_s(const struct starts_load *, int64_t now_ns);

/* What was learned of the starts of one revision.  All 0: nothing. */
struct starts {
	/* sums over starts, the newest weighing most: x is how many there were at once on average,
	 * y the time that one took */
	double n, x, y, xx, xy, yy;
	double tried; /* the most at once */
};
#define STARTS_NUMBERS 7 /* as float numbers, to be kept over a restart: */
void starts_export(const struct starts *, float out[STARTS_NUMBERS]);
void starts_import(struct starts *, const float in[STARTS_NUMBERS]);

/* A start took took_s, while there were at_once on average, itself included. */
void starts_add(struct starts *, double at_once, double took_s);

struct starts_model {
	double tried;	/* the most at once so far; 0: no start is known */
	double fixed_s; /* … of a start; only if each_s > 0 */
	double each_s;	/* what each start at once adds at least; 0: not known to add anything */
};
struct starts_model starts_model(const struct starts *);

/* How many starts at once are worth it, if so many instances are needed.  trusted: so many are
 * not known to be too many before they were tried. */
uint32_t starts_worth(const struct starts_model *, uint32_t needed, uint32_t trusted);

#endif
