#include "autoscaler/reconcile/hold.h"

#include <stdlib.h>

#include "common/clk.h"
#include "common/text.h"

#define RAISE_FIRST (10 * CLK_S)
#define RAISE_MOST (900 * CLK_S)
#define RAISE_CALM (1800 * CLK_S) /* without a change by the other client: the back-off ends */

void
hold_init(struct hold *h)
{
	*h = (struct hold){.is_on = false};
	backoff_init(&h->raise, RAISE_FIRST, RAISE_MOST);
}

void
hold_fini(struct hold *h)
{
	free(h->by);
	h->by = NULL;
}

/* The other client has set another number. */
static void
take_change(struct hold *h, uint32_t scale, int64_t now_ns, uint32_t random)
{
	if (h->is_raised) { /* it took back what we had asked for */
		if (h->lowered_ns != 0 && now_ns - h->lowered_ns > RAISE_CALM)
			backoff_reset(&h->raise);
		h->raise_at_ns = now_ns + backoff_next(&h->raise, random);
		h->lowered_ns = now_ns;
	}
	h->is_raised = false;
	h->is_on = true;
	h->n = scale;
	h->since_ns = now_ns;
}

void
hold_take(struct hold *h, bool is_held, uint32_t scale, const char *by, int64_t now_ns,
	  uint32_t random)
{
	bool was_current = h->is_current;

	h->is_current = is_held;
	if (is_held) {
		if (!was_current || scale != h->n)
			take_change(h, scale, now_ns, random);
		text_replace(&h->by, by);
	} else if (scale < h->n) {
		h->is_on = h->is_raised = false; /* it was set lower by us, or is gone */
	}
}

bool
hold_expire(struct hold *h, int64_t for_ns, int64_t used_ns, int64_t now_ns)
{
	if (!h->is_on || for_ns == 0 || now_ns - MAX(h->since_ns, used_ns) < for_ns)
		return false;
	h->is_on = h->is_raised = false;
	return true;
}

bool
hold_may_raise(const struct hold *h, int64_t now_ns)
{
	return h->n == 0 || now_ns >= h->raise_at_ns;
}

void
hold_raised(struct hold *h)
{
	h->is_raised = h->is_on;
	h->is_current = false;
	h->is_on = h->is_on && h->n > 0; /* a revision that was woken is not held at zero */
}

const char *
hold_holder(const struct hold *h)
{
	if (!h->is_on)
		return NULL;
	return h->by == NULL ? "another client" : h->by;
}
