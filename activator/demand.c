#include "activator/demand.h"

#include "common/clk.h"

#define RETRY_FIRST (100 * CLK_MS)
#define RETRY_MOST CLK_S
#define TELL_FIRST (20 * CLK_MS)
#define TELL_EVERY (100 * CLK_MS)
#define FRESH CLK_S

static enum demand_act
activate(struct demand *d, const struct demand_facts *f, int64_t now)
{
	int64_t wait = RETRY_FIRST << MIN(d->tries, 10u);

	d->tries++;
	d->seq++;
	d->is_acked = false;
	d->told = f->parked;
	d->sent_ns = now;
	d->next_ns = now + MIN(wait, RETRY_MOST);
	return DEMAND_ACTIVATE;
}

static enum demand_act
tell(struct demand *d, const struct demand_facts *f, bool is_due, int64_t now)
{
	d->next_ns = now + d->tell_gap;
	d->tell_gap = MIN(d->tell_gap * 2, TELL_EVERY);
	if (f->parked <= d->told && !is_due)
		return DEMAND_NOTHING;
	d->told = f->parked;
	return DEMAND_TELL;
}

static enum demand_act
step_acked(struct demand *d, const struct demand_facts *f, int64_t now)
{
	if (!f->is_wanted && now < d->sent_ns + TELL_EVERY) {
		d->next_ns = d->sent_ns + TELL_EVERY;
		return DEMAND_NOTHING;
	}
	if (!f->is_wanted) {
		d->tries = UINT16_MAX; /* the longest wait from here on */
		return activate(d, f, now);
	}
	return tell(d, f, false, now);
}

/* Nothing is asked for; on a new link all is told anew. */
static enum demand_act
step_open(struct demand *d, const struct demand_facts *f, int64_t now)
{
	if (d->is_waking)
		d->open_ns = now;
	else if (!d->is_telling)
		d->told = 0;
	if (!d->is_telling) {
		d->tell_gap = TELL_FIRST;
		d->next_ns = now + TELL_FIRST;
	}
	d->is_telling = true;
	d->is_waking = d->is_acked = false;
	d->tries = 0;
	if (!f->is_link_up || now < d->next_ns)
		return DEMAND_NOTHING;
	return tell(d, f, d->open_ns > 0 && now - d->open_ns <= FRESH, now);
}

enum demand_act
demand_step(struct demand *d, const struct demand_facts *f, int64_t now)
{
	if (f->parked == 0) {
		d->is_waking = d->is_acked = d->is_telling = false;
		d->tries = 0;
		d->next_ns = INT64_MAX;
		return DEMAND_NOTHING;
	}
	if (f->is_open)
		return step_open(d, f, now);
	d->is_telling = false;
	if (!d->is_waking) {
		d->is_waking = true;
		d->next_ns = now;
	}
	if (!f->is_link_up) { /* due at once on the next one; it knows of nothing */
		d->is_acked = false;
		d->tries = 0;
		d->next_ns = now;
		return DEMAND_NOTHING;
	}
	d->next_ns = MIN(d->next_ns, now + RETRY_MOST);
	if (now < d->next_ns)
		return DEMAND_NOTHING;
	return d->is_acked ? step_acked(d, f, now) : activate(d, f, now);
}

void
demand_anew(struct demand *d)
{
	if (!d->is_waking || !d->is_acked)
		return;
	d->is_acked = false;
	d->next_ns = d->sent_ns + RETRY_FIRST;
}

bool
demand_acked(struct demand *d, uint64_t seq, int64_t now)
{
	if (!d->is_waking || seq != d->seq)
		return false;
	d->is_acked = true;
	d->tell_gap = TELL_FIRST;
	d->next_ns = now + (d->tries > 10 ? RETRY_MOST : TELL_FIRST);
	d->tries = 0;
	return true;
}
