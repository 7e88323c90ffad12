#include "autoscaler/reconcile/swaps.h"

#include <stdlib.h>
#include <string.h>

#define PASSED_OVER_MOST 64 /* without a link; bounds memory */

struct swapper {
	char *id;
	uint64_t serial; /* of its link; 0: it has none */
	bool can_report, is_leaving;
	bool is_passed_over; /* was overdue, and has not swapped since */
	int64_t sent, used;  /* generations of this autoscaler */
	/* Of one that is connected: since when it has made no progress, where used < sent.  Else
	 * since when it is gone. */
	int64_t since_ns;
};

void
swaps_init(struct swaps *s)
{
	*s = (struct swaps){.n = 0};
}

void
swaps_fini(struct swaps *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		free(s->v[i].id);
	free(s->v);
	*s = (struct swaps){.n = 0};
}

static struct swapper *
find(const struct swaps *s, uint64_t serial)
{
	size_t i;

	for (i = 0; serial != 0 && i < s->n; i++)
		if (s->v[i].serial == serial)
			return &s->v[i];
	return NULL;
}

static struct swapper *
find_id(const struct swaps *s, const char *id)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (strcmp(s->v[i].id, id) == 0)
			return &s->v[i];
	return NULL;
}

static void
forget(struct swaps *s, struct swapper *a)
{
	free(a->id);
	s->n--;
	memmove(a, a + 1, (size_t)(s->v + s->n - a) * sizeof *a);
}

static struct swapper *
add(struct swaps *s, const char *id, int64_t now_ns)
{
	struct swapper *a;

	s->v = xrealloc(s->v, (s->n + 1) * sizeof *s->v);
	a = &s->v[s->n++];
	*a = (struct swapper){.id = xstrdup(id), .since_ns = now_ns};
	return a;
}

/* --- what is routed --- */

static bool
is_waited_for(const struct swapper *a)
{
	return !a->is_leaving && !a->is_passed_over;
}

static bool
is_any_connected(const struct swaps *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].serial != 0 && is_waited_for(&s->v[i]))
			return true;
	return false;
}

bool
swaps_is_waiting(const struct swaps *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (is_waited_for(&s->v[i]))
			return true;
	return false;
}

/* It never falls: an activator that connects, and has to swap first, takes nothing back. */
static void
update(struct swaps *s)
{
	int64_t least = INT64_MAX;
	size_t i;

	if (!is_any_connected(s))
		return;
	for (i = 0; i < s->n; i++)
		if (is_waited_for(&s->v[i]))
			least = MIN(least, s->v[i].used);
	s->routed = MAX(s->routed, least);
}

/* --- links --- */

void
swaps_expect(struct swaps *s, const char *id, int64_t now_ns)
{
	if (find_id(s, id) == NULL)
		(void)add(s, id, now_ns);
}

void
swaps_up(struct swaps *s, uint64_t serial, const char *id, bool can_report, int64_t now_ns)
{
	struct swapper *a = find_id(s, id);

	if (a == NULL)
		a = add(s, id, now_ns);
	a->serial = serial;
	a->can_report = can_report;
	a->is_leaving = false;
	a->sent = a->used = 0;
	a->since_ns = now_ns;
}

static void
note_sent(struct swapper *a, int64_t generation, int64_t now_ns)
{
	if (a->used == a->sent)
		a->since_ns = now_ns;
	a->sent = generation;
	if (!a->can_report)
		a->used = generation;
}

void
swaps_sent(struct swaps *s, uint64_t serial, int64_t generation, int64_t now_ns)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].serial != 0 && (serial == 0 || s->v[i].serial == serial))
			note_sent(&s->v[i], generation, now_ns);
	update(s);
}

bool
swaps_swapped(struct swaps *s, uint64_t serial, int64_t generation, int64_t now_ns)
{
	struct swapper *a = find(s, serial);

	if (a == NULL)
		return true; /* it has a newer link */
	if (generation > a->sent)
		return false;
	a->used = MAX(a->used, generation);
	a->since_ns = now_ns;
	a->is_passed_over = false;
	update(s);
	return true;
}

void
swaps_leaving(struct swaps *s, uint64_t serial)
{
	struct swapper *a = find(s, serial);

	if (a == NULL)
		return;
	a->is_leaving = true;
	update(s);
}

/* Those that were passed over are remembered, so that one that comes back is not waited for. */
static void
bound_passed_over(struct swaps *s)
{
	struct swapper *oldest = NULL;
	size_t i, n = 0;

	for (i = 0; i < s->n; i++) {
		struct swapper *a = &s->v[i];

		if (a->serial != 0 || !a->is_passed_over)
			continue;
		if (oldest == NULL || a->since_ns < oldest->since_ns)
			oldest = a;
		n++;
	}
	if (n > PASSED_OVER_MOST)
		forget(s, oldest);
}

void
swaps_down(struct swaps *s, uint64_t serial, int64_t now_ns)
{
	struct swapper *a = find(s, serial);

	if (a == NULL)
		return;
	a->serial = 0;
	a->since_ns = now_ns;
	if (a->is_leaving)
		forget(s, a);
	bound_passed_over(s);
	update(s);
}

void
swaps_ended(struct swaps *s, const char *id)
{
	struct swapper *a = find_id(s, id);

	if (a == NULL)
		return;
	forget(s, a);
	update(s);
}

/* --- overdue --- */

/* Those that were connected and have not come back in time: what they route by is not known. */
static void
forget_lost(struct swaps *s, int64_t now_ns)
{
	size_t i;

	for (i = s->n; i > 0; i--) {
		struct swapper *a = &s->v[i - 1];

		if (a->serial == 0 && !a->is_passed_over && now_ns - a->since_ns >= SWAPS_PATIENCE)
			forget(s, a);
	}
	update(s);
}

bool
swaps_take_overdue(struct swaps *s, int64_t now_ns, uint64_t *serial, int64_t *generation)
{
	size_t i;

	forget_lost(s, now_ns);
	for (i = 0; i < s->n; i++) {
		struct swapper *a = &s->v[i];

		if (a->serial == 0 || a->is_leaving || a->used == a->sent ||
		    now_ns - a->since_ns < SWAPS_PATIENCE)
			continue;
		a->is_passed_over = true;
		a->since_ns = now_ns; /* if its link does not end, it is taken again later */
		s->overdue++;
		*serial = a->serial;
		*generation = a->sent;
		update(s);
		return true;
	}
	return false;
}

int64_t
swaps_used(const struct swaps *s, uint64_t serial)
{
	const struct swapper *a = find(s, serial);

	return a == NULL ? 0 : a->used;
}
