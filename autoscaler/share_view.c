#include "autoscaler/share_view.h"

#include "autoscaler/reconcile/reconcile.h"
#include "autoscaler/shares/shares.h"
#include "common/clk.h"
#include "common/jput.h"

/* The first that holds. */
static const char *
state_of(const struct reconcile *r, const struct shares_holder *h)
{
	if (h->is_dead)
		return "ended"; /* its slots are free abort_timeout later */
	if (!h->is_connected)
		return "disconnected";
	if (reconcile_is_silent(r, h->id))
		return "silent";
	if (h->is_leaving)
		return "leaving";
	return h->is_unknown ? "unreported" : "connected";
}

static void
put_slots(struct jput *j, const char *key, uint64_t slots)
{
	if (slots >= SHARE_ALL)
		jput_null(j, key);
	else
		jput_u64(j, key, slots);
}

static void
put_instances(struct jput *j, const struct shares *s, size_t holder)
{
	struct shares_slots slots;
	size_t i;

	jput_array(j, "instances");
	for (i = 0; shares_slots_at(s, holder, i, &slots); i++) {
		if (slots.share == 0 && slots.held == 0)
			continue;
		jput_object(j, NULL);
		jput_string(j, "id", slots.instance);
		put_slots(j, "share", slots.share);
		put_slots(j, "held", slots.held);
		jput_object_end(j);
	}
	jput_array_end(j);
}

static void
put_sums(struct jput *j, const struct shares *s, size_t holder, bool is_unknown)
{
	uint64_t share = 0, held = is_unknown ? SHARE_ALL : 0;
	struct shares_slots slots;
	size_t i;

	for (i = 0; shares_slots_at(s, holder, i, &slots); i++) {
		share += slots.share;
		held += slots.held;
	}
	put_slots(j, "share", share);
	put_slots(j, "held", held);
}

static void
put_holder(struct jput *j, const struct reconcile *r, const struct shares *s, size_t i,
	   const struct shares_holder *h)
{
	jput_object(j, NULL);
	jput_string(j, "id", h->id);
	jput_string(j, "state", state_of(r, h));
	put_sums(j, s, i, h->is_unknown);
	jput_u64(j, "recalled", h->recalled);
	jput_u64(j, "wants", h->wants);
	if (h->wants > 0)
		jput_double(j, "waits_s",
			    (double)((clk_now() - h->wants_since_ns) / CLK_MS) / 1000);
	put_instances(j, s, i);
	jput_object_end(j);
}

void
share_view_put(struct jput *j, const struct reconcile *r, const char *revision)
{
	const struct shares *s = reconcile_shares(r, revision);
	struct shares_holder h;
	size_t i;

	if (s == NULL)
		return;
	jput_object(j, "shares");
	jput_u64(j, "limit", shares_limit(s));
	jput_array(j, "activators");
	for (i = 0; shares_holder_at(s, i, &h); i++)
		put_holder(j, r, s, i, &h);
	jput_array_end(j);
	jput_object_end(j);
}
