#include "autoscaler/reconcile/wanted.h"

/* A revision that was used within this time counts as in use.  Activators report each second:
 * so long after a report with requests, one without any has come, even if it is late. */
#define IDLE_FROM_S 1.5

static void
set(struct wanted *w, uint32_t claim, enum decide_rule rule)
{
	w->claim = claim;
	w->claim_rule = rule;
}

/* In use, a revision needs its whole claim; idle, what its settings or a busy lease keep. */
static uint32_t
needed(uint32_t claim, const struct wanted_facts *f)
{
	const struct scaling *s = f->scaling;
	const struct decide_view *v = f->view;
	uint32_t least = MAX(MAX(s->min_scale, v->schedule_min), f->warm);

	if (v->in_flight + v->parked > 0 || v->is_activation_pending || f->is_woken ||
	    v->idle_s < IDLE_FROM_S)
		return claim;
	if (!s->enable_scale_to_zero || v->busy_lease_s > 0)
		least = MAX(least, 1u);
	return MIN(least, claim);
}

uint32_t
wanted_claim(struct wanted *w, const struct decide_out *decided, const struct wanted_facts *f)
{
	uint32_t requests = f->view->parked + f->view->in_flight, n;

	set(w, decided->is_known ? decided->wanted : f->has, decided->rule);
	if (f->is_leaving)
		set(w, requests > 0 ? f->has : 0, DECIDE_LEAVING);
	if (f->is_activation_pending && w->claim == 0)
		set(w, 1, DECIDE_IN_USE);
	if (f->is_woken && w->claim == 0)
		set(w, 1, DECIDE_WOKEN);
	if (w->claim < f->warm && !f->is_leaving)
		set(w, f->warm, DECIDE_ROLLOUT);
	if (f->is_asleep && requests == 0 && !f->is_activation_pending)
		set(w, 0, DECIDE_ASLEEP);
	if (w->claim < f->has && !f->is_heard)
		set(w, f->has, DECIDE_UNHEARD);
	w->need = f->is_dry ? 0 : needed(w->claim, f);
	if (f->is_held && (w->claim < f->held || f->is_held_low) && w->claim != f->held)
		set(w, f->held, DECIDE_HELD);
	w->need = MIN(w->need, w->claim);
	n = w->claim;
	if (f->is_dry)
		w->claim = 0;
	return n;
}

bool
wanted_allot(struct wanted *w, uint32_t allotted, const struct wanted_facts *f)
{
	uint32_t before = w->n;

	w->allotted = allotted;
	w->n = MIN(w->claim, allotted);
	w->rule = w->claim_rule;
	if (w->n < w->claim)
		w->rule = w->is_owner_bound ? DECIDE_OWNER : DECIDE_MAX_INSTANCES;
	if (w->n < f->has && !f->is_heard && !f->is_dry) {
		w->n = f->has;
		w->rule = DECIDE_UNHEARD;
	}
	if (f->is_held && w->n < f->held && !f->is_dry) {
		w->n = f->held;
		w->rule = DECIDE_HELD;
	}
	return w->n != before;
}

uint32_t
wanted_scale(const struct wanted *w, uint32_t scale_sent, uint32_t surge, uint32_t headroom)
{
	uint32_t n = w->n + surge;

	return n <= scale_sent ? n : MAX(MIN(n, headroom), scale_sent);
}
