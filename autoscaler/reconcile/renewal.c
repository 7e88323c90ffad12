#include "autoscaler/reconcile/renewal.h"

#include <math.h>

#include "common/clk.h"
#include "common/log.h"

#define JITTER 0.1 /* part of max_lifetime */

/* FNV-1a, whose low bits differ for ids that differ in the last character alone. */
static uint32_t
hash_of(const char *id)
{
	uint32_t h = UINT32_C(2166136261);

	for (; *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * UINT32_C(16777619);
	return h;
}

int64_t
renewal_lifetime(int64_t max_lifetime_ns, const char *id)
{
	double part = (double)(hash_of(id) % 1024) / 1024;

	return max_lifetime_ns - (int64_t)((double)max_lifetime_ns * JITTER * part);
}

/* --- due --- */

static bool
may_renew(const struct scaled_revision *rev)
{
	return rev->wanted.n > 0 && !rev->is_leaving && !rev->hold.is_on;
}

static bool
is_too_old(const struct scaled_revision *rev, const struct scaled_instance *i, int64_t now_ns)
{
	int64_t most = rev->conf->scaling.max_lifetime;
	int64_t since = i->started_ns != 0 ? i->started_ns : i->seen_ns;

	return most > 0 && now_ns - since >= renewal_lifetime(most, i->id);
}

static void
mark_due(struct scaled_revision *rev, struct scaled_instance *i, int64_t now_ns)
{
	bool was_too_old = i->is_too_old;

	if (i->ending != ENDING_NOT)
		return;
	i->is_too_old = i->removal_order == 0 && may_renew(rev) && is_too_old(rev, i, now_ns);
	i->is_due = i->is_too_old || (i->is_nearly_spent && !i->is_spent && may_renew(rev));
	if (i->is_too_old && !was_too_old)
		log_info(NULL, "instance is at the end of its lifetime, replacing it",
			 "revision=%s instance=%s age_s=%lld", scaled_name(rev), i->id,
			 (long long)((now_ns - i->started_ns) / CLK_S));
}

static uint32_t
most_surge(const struct scaled_revision *rev)
{
	return may_renew(rev) ? (uint32_t)ceil(rev->wanted.n * rev->conf->scaling.max_surge / 100)
			      : 0;
}

uint32_t
renewal_surge(const struct scaled_revision *rev)
{
	uint32_t due = 0;
	size_t i;

	for (i = 0; i < rev->instances.n; i++)
		due += instances_is_lasting(&rev->instances.v[i]) && rev->instances.v[i].is_due;
	return MIN(due, most_surge(rev));
}

/* --- ending --- */

uint32_t
renewal_ending(const struct instances *in, bool is_due_only)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < in->n; i++) {
		const struct scaled_instance *at = &in->v[i];

		n += instances_is_lasting(at) && at->ending != ENDING_NOT &&
		     (at->is_due || !is_due_only);
	}
	return n;
}

/* How many due instances may end now? */
static uint32_t
may_end(const struct scaled_revision *rev, uint32_t headroom)
{
	uint32_t ready = 0, starting = 0, ending = 0;
	bool can_surge = most_surge(rev) > 0 && MAX(headroom, rev->scale_sent) > rev->wanted.n;
	size_t i;

	for (i = 0; i < rev->instances.n; i++) {
		const struct scaled_instance *at = &rev->instances.v[i];

		if (!instances_is_lasting(at))
			continue;
		ending += at->ending != ENDING_NOT;
		ready += at->ending == ENDING_NOT && instances_is_ready(at);
		starting += at->ending == ENDING_NOT && !instances_is_ready(at);
	}
	if (ready > rev->wanted.n)
		return ready - rev->wanted.n;
	return !can_surge && ending == 0 && starting == 0 && ready == rev->wanted.n;
}

/* The due instance to end next: one that does not answer, or has the fewest requests. */
static struct scaled_instance *
next_to_end(struct scaled_revision *rev, int64_t now_ns)
{
	struct scaled_instance *best = NULL;
	uint32_t best_load = 0;
	size_t i;

	for (i = 0; i < rev->instances.n; i++) {
		struct scaled_instance *at = &rev->instances.v[i];
		uint32_t load = reports_at_instance(&rev->reports, at->id);

		if (!at->is_too_old || at->ending != ENDING_NOT || !instances_is_lasting(at) ||
		    !instances_is_ready(at) || instances_is_leased(at, &rev->reports, now_ns))
			continue;
		if (best == NULL || load < best_load) {
			best = at;
			best_load = load;
		}
	}
	return best;
}

void
renewal_mark(struct scaled_revision *rev, uint32_t headroom, int64_t now_ns)
{
	struct scaled_instance *at;
	uint32_t n;
	size_t i;

	for (i = 0; i < rev->instances.n; i++) {
		at = &rev->instances.v[i];
		mark_due(rev, at, now_ns);
		if (at->is_spent && at->ending == ENDING_NOT)
			at->ending = ENDING_REQUESTS;
	}
	if (!may_renew(rev))
		return;
	for (n = may_end(rev, headroom); n > 0 && (at = next_to_end(rev, now_ns)) != NULL; n--)
		at->ending = ENDING_LIFETIME;
}

/* --- platforms that store the scale --- */

#define STOP_PATIENCE (5 * CLK_S) /* then another pod has gone instead */

/* Instances that the driver was asked to stop, and does not show as stopping. */
static uint32_t
not_stopped(const struct scaled_revision *rev)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < rev->instances.n; i++) {
		const struct scaled_instance *at = &rev->instances.v[i];

		n += at->ending != ENDING_NOT && at->is_stop_sent && at->state != INSTANCE_STOPPING;
	}
	return n;
}

bool
renewal_must_wait(const struct scaled_revision *rev, uint32_t more, int64_t now_ns)
{
	uint32_t n = not_stopped(rev);

	return rev->has_scale && n > 0 && n + rev->ended_unstarted >= more &&
	       now_ns - rev->ended_ns < STOP_PATIENCE;
}

void
renewal_count_extra(struct scaled_revision *rev)
{
	uint32_t above = rev->scale_sent > rev->wanted.n ? rev->scale_sent - rev->wanted.n : 0;

	if (above == 0 && rev->has_scale && rev->scale_extra < 0 && not_stopped(rev) > 0)
		return; /* the driver will be asked for those that have ended */
	rev->scale_extra = (int32_t)MIN(rev->surge, above);
}
