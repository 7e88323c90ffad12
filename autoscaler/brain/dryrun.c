#include "autoscaler/brain/dryrun.h"

#include "common/clk.h"

#define START_S 1.0 /* start-up time while it is unknown */

void
dryrun_begin(struct dryrun *d, uint32_t real, int64_t now_ns)
{
	d->is_begun = true;
	d->n = d->older = d->real = real;
	d->ready_ns = d->counted_ns = now_ns;
}

static uint32_t
ready(const struct dryrun *d, int64_t now_ns)
{
	return now_ns >= d->ready_ns ? d->n : MIN(d->older, d->n);
}

void
dryrun_fill(const struct dryrun *d, struct decide_view *view, int64_t now_ns)
{
	view->ready = ready(d, now_ns);
	view->starting = d->n - view->ready;
	view->scale = d->n;
	view->is_held = view->is_replacing = false;
	if (view->ready > 0)
		return;
	/* The real instances serve, or have served, requests that would be parked. */
	view->parked = MAX(view->parked + view->in_flight, (uint32_t)d->was_used);
	view->in_flight = 0;
	view->is_activation_pending |= view->parked > 0;
}

void
dryrun_take(struct dryrun *d, const struct decide_view *view, uint32_t wanted, int64_t now_ns)
{
	double start_s = view->start_s < 0 ? START_S : view->start_s;
	uint32_t before = ready(d, now_ns);

	dryrun_count(d, d->real, now_ns);
	if (wanted > d->n) {
		d->started += wanted - d->n;
		d->cold_starts += d->n == 0 && view->parked > 0;
		d->older = before;
		d->ready_ns = now_ns + (int64_t)(start_s * CLK_S);
	} else {
		d->stopped += d->n - wanted;
	}
	d->n = wanted;
	d->was_used = false;
}

void
dryrun_count(struct dryrun *d, uint32_t real, int64_t now_ns)
{
	double passed_s = (double)(now_ns - d->counted_ns) / CLK_S;

	d->real_s += d->real * passed_s;
	d->virtual_s += d->n * passed_s;
	d->real = real;
	d->counted_ns = now_ns;
}
