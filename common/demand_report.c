#include "common/demand_report.h"

#define RETRY_FIRST (100 * CLK_MS)
#define RETRY_MOST CLK_S
#define REPORT_FIRST (20 * CLK_MS)
#define REPORT_EVERY (100 * CLK_MS)
#define FRESH CLK_S

static enum demand_report_act
activate(struct demand_report *d, const struct demand_report_facts *f, int64_t now)
{
	int64_t wait = RETRY_FIRST << MIN(d->tries, 10u);

	d->tries++;
	d->seq++;
	d->is_acked = false;
	d->reported = f->parked;
	d->sent_ns = now;
	d->next_ns = now + MIN(wait, RETRY_MOST);
	return DEMAND_REPORT_ACTIVATE;
}

static enum demand_report_act
report(struct demand_report *d, const struct demand_report_facts *f, bool is_due, int64_t now)
{
	d->next_ns = now + d->report_gap;
	d->report_gap = MIN(d->report_gap * 2, REPORT_EVERY);
	if (f->parked <= d->reported && !is_due)
		return DEMAND_REPORT_NOTHING;
	d->reported = f->parked;
	return DEMAND_REPORT_COUNT;
}

static enum demand_report_act
step_acked(struct demand_report *d, const struct demand_report_facts *f, int64_t now)
{
	if (!f->is_wanted && now < d->sent_ns + REPORT_EVERY) {
		d->next_ns = d->sent_ns + REPORT_EVERY;
		return DEMAND_REPORT_NOTHING;
	}
	if (!f->is_wanted) {
		d->tries = UINT16_MAX; /* from here on the longest wait */
		return activate(d, f, now);
	}
	return report(d, f, false, now);
}

/* An instance is open: no `activate`.  On a new link the whole report carries the count. */
static enum demand_report_act
step_open(struct demand_report *d, const struct demand_report_facts *f, int64_t now)
{
	if (d->is_waking)
		d->open_ns = now;
	else if (!d->is_reporting)
		d->reported = 0;
	if (!d->is_reporting) {
		d->report_gap = REPORT_FIRST;
		d->next_ns = now + REPORT_FIRST;
	}
	d->is_reporting = true;
	d->is_waking = d->is_acked = false;
	d->tries = 0;
	if (!f->is_link_up || now < d->next_ns)
		return DEMAND_REPORT_NOTHING;
	return report(d, f, d->open_ns > 0 && now - d->open_ns <= FRESH, now);
}

enum demand_report_act
demand_report_step(struct demand_report *d, const struct demand_report_facts *f, int64_t now)
{
	if (f->parked == 0) {
		d->is_waking = d->is_acked = d->is_reporting = false;
		d->tries = 0;
		d->next_ns = INT64_MAX;
		return DEMAND_REPORT_NOTHING;
	}
	if (f->is_open)
		return step_open(d, f, now);
	d->is_reporting = false;
	if (!d->is_waking) {
		d->is_waking = true;
		d->next_ns = now;
	}
	if (!f->is_link_up) { /* due at once on the next link */
		d->is_acked = false;
		d->tries = 0;
		d->next_ns = now;
		return DEMAND_REPORT_NOTHING;
	}
	d->next_ns = MIN(d->next_ns, now + RETRY_MOST);
	if (now < d->next_ns)
		return DEMAND_REPORT_NOTHING;
	return d->is_acked ? step_acked(d, f, now) : activate(d, f, now);
}

void
demand_report_restart(struct demand_report *d)
{
	if (!d->is_waking || !d->is_acked)
		return;
	d->is_acked = false;
	d->next_ns = d->sent_ns + RETRY_FIRST;
}

bool
demand_report_acked(struct demand_report *d, uint64_t seq, int64_t now)
{
	if (!d->is_waking || seq != d->seq)
		return false;
	d->is_acked = true;
	d->report_gap = REPORT_FIRST;
	d->next_ns = now + (d->tries > 10 ? RETRY_MOST : REPORT_FIRST);
	d->tries = 0;
	return true;
}
