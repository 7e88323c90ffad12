#include "autoscaler/usage/meter.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/hmap.h"

#define HOUR_NS (3600 * CLK_S)
#define GONE_NS (300 * CLK_S) /* requests of a removed revision that end later are not counted */

/* An instance, for the CPU time that it uses from one view to the next. */
struct mark {
	char *id;
	double cpu_s; /* counted up to here; < 0: counting begins at the next number of a view */
};

struct gauge {
	struct account account;
	int64_t opened_ns;	   /* from when on it counts */
	bool is_external, is_seen; /* is_seen: within meter_revisions_begin() … _end() */

	/* what the driver showed last */
	struct mark *marks;
	size_t n;
	size_t live;	 /* of these, not stopping */
	size_t measured; /* of these, with known CPU time and memory */
	double memory_bytes;

	/* A wake was counted.  Since then no instance has become ready, and requests have waited at
	 * an activator without a break. */
	bool is_waking;
	uint64_t *waiting; /* is_waking: the activators at which they wait, as reported last */
	size_t waiting_n;

	/* the part */
	uint64_t part;
	struct amounts amounts;
	int64_t integrated_ns; /* the instances are in amounts up to here */
	bool is_changed;       /* by more than idle time, since it was handed out */
	int64_t active_ns;     /* when it last changed so; INT64_MIN: never */
	int64_t written_ns;    /* when that was */
	int64_t gone_ns;       /* in gone: when it was removed */

	struct amounts before; /* of the parts that have ended */
	struct amounts total;  /* for meter_total() */
};

struct meter {
	struct hmap gauges; /* by revision */
	struct hmap gone;   /* likewise: of revisions that were removed, for GONE_NS since their
			     * last report … */
	struct hmap past;   /* … and their sums after it, by service: while it has revisions */
	int64_t now_ns, hour;
	uint64_t parts;
};

struct past_sum {
	char *service;
	struct amounts amounts;
	bool is_seen;
};

static int64_t
hour_of(int64_t wall_ns)
{
	return MAX(wall_ns, 0) / HOUR_NS;
}

struct meter *
meter_new(int64_t now_ns, int64_t wall_ns)
{
	struct meter *m = xcalloc(1, sizeof *m);

	hmap_init(&m->gauges);
	hmap_init(&m->gone);
	hmap_init(&m->past);
	m->now_ns = now_ns;
	m->hour = hour_of(wall_ns);
	return m;
}

static void
marks_free(struct mark *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(v[i].id);
	free(v);
}

static void
gauge_free(struct gauge *g)
{
	marks_free(g->marks, g->n);
	account_fini(&g->account);
	free(g->waiting);
	free(g);
}

static void
past_free(struct past_sum *past)
{
	free(past->service);
	free(past);
}

/* NULL: the service has none. */
static struct past_sum *
past_of(const struct meter *m, const char *revision)
{
	return hmap_find_n(&m->past, revision, strcspn(revision, "/"));
}

/* The revision is removed: what it has used is past. */
static void
keep_sums(struct meter *m, const struct gauge *g)
{
	struct past_sum *past = past_of(m, g->account.revision);

	if (past == NULL) {
		past = xcalloc(1, sizeof *past);
		past->service = xstrndup(g->account.revision, strcspn(g->account.revision, "/"));
		hmap_put(&m->past, past->service, past);
	}
	amounts_add(&past->amounts, &g->before);
}

void
meter_free(struct meter **mp)
{
	struct meter *m = *mp;
	size_t at = 0;
	void *value;

	*mp = NULL;
	if (m == NULL)
		return;
	while (hmap_next(&m->gauges, &at, NULL, &value))
		gauge_free(value);
	hmap_fini(&m->gauges);
	at = 0;
	while (hmap_next(&m->gone, &at, NULL, &value))
		gauge_free(value);
	hmap_fini(&m->gone);
	for (at = 0; hmap_next(&m->past, &at, NULL, &value);)
		past_free(value);
	hmap_fini(&m->past);
	free(m);
}

static struct gauge *
next(const struct meter *m, size_t *at)
{
	void *value;

	return hmap_next(&m->gauges, at, NULL, &value) ? value : NULL;
}

/* --- time --- */

/* By more than idle time. */
static void
note_change(struct gauge *g, int64_t now_ns)
{
	g->is_changed = true;
	g->active_ns = now_ns;
}

static void
integrate(struct gauge *g, int64_t upto_ns)
{
	double s = (double)(upto_ns - g->integrated_ns) / CLK_S;
	struct amounts *a = &g->amounts;

	if (s <= 0)
		return;
	g->integrated_ns = upto_ns;
	a->observed_s += s;
	if (g->is_external)
		return;
	a->instance_s += (double)g->n * s;
	a->measured_s += (double)g->measured * s;
	a->memory_byte_s += g->memory_bytes * s;
	a->always_one_s += (double)MAX(g->n, (size_t)1) * s;
	if (g->n > 0)
		note_change(g, upto_ns);
}

static struct meter_part
part_of(const struct meter *m, const struct gauge *g, bool is_final)
{
	return (struct meter_part){.part = g->part,
				   .hour = m->hour,
				   .account = &g->account,
				   .amounts = g->amounts,
				   .is_final = is_final};
}

static void
begin_part(struct meter *m, struct gauge *g)
{
	g->part = ++m->parts;
	g->amounts = (struct amounts){.peak = (double)g->n};
	g->is_changed = g->n > 0;
	g->written_ns = m->now_ns;
}

static void
end_part(struct meter *m, struct gauge *g, meter_fn *fn, void *arg)
{
	struct meter_part p = part_of(m, g, true);

	fn(&p, arg);
	amounts_add(&g->before, &g->amounts);
}

/* End all parts at upto_ns, and begin others in `hour`: it has begun, or the clock was set. */
static void
turn(struct meter *m, int64_t upto_ns, int64_t hour, meter_fn *fn, void *arg)
{
	struct gauge *g;
	size_t at = 0;

	while ((g = next(m, &at)) != NULL) {
		integrate(g, upto_ns);
		end_part(m, g, fn, arg);
		begin_part(m, g);
	}
	m->hour = hour;
}

/* Hand out what has ended at revisions that were removed. */
static void
end_gone(struct meter *m, meter_fn *fn, void *arg)
{
	struct past_sum *past;
	size_t at = 0;
	void *value;

	while (hmap_next(&m->gone, &at, NULL, &value)) {
		struct gauge *g = value;

		if (g->is_changed) {
			past = past_of(m, g->account.revision);
			if (past != NULL)
				amounts_add(&past->amounts, &g->amounts);
			end_part(m, g, fn, arg);
			begin_part(m, g);
		}
		if (m->now_ns - MAX(g->gone_ns, g->active_ns) >= GONE_NS) {
			hmap_remove(&m->gone, g->account.revision);
			gauge_free(g);
		}
	}
}

void
meter_advance(struct meter *m, int64_t now_ns, int64_t wall_ns, meter_fn *fn, void *arg)
{
	int64_t from_wall_ns = wall_ns - (now_ns - m->now_ns), upto = hour_of(wall_ns);

	end_gone(m, fn, arg);
	if (hour_of(from_wall_ns) != m->hour) /* the clock was set */
		turn(m, m->now_ns, hour_of(from_wall_ns), fn, arg);
	while (m->hour < upto)
		turn(m, now_ns - (wall_ns - (m->hour + 1) * HOUR_NS), m->hour + 1, fn, arg);
	m->now_ns = now_ns;
}

/* --- revisions --- */

void
meter_revisions_begin(struct meter *m)
{
	struct gauge *g;
	size_t at = 0;

	while ((g = next(m, &at)) != NULL)
		g->is_seen = false;
}

static struct gauge *
gauge_new(struct meter *m, const struct account *a)
{
	struct gauge *g = xcalloc(1, sizeof *g);

	account_init(&g->account, a->revision, a->owner, a->cost_center);
	g->opened_ns = g->integrated_ns = m->now_ns;
	g->active_ns = INT64_MIN;
	begin_part(m, g);
	hmap_put(&m->gauges, a->revision, g);
	return g;
}

/* What was used until now is the former owner's. */
static void
take_account(struct meter *m, struct gauge *g, const struct account *a, meter_fn *fn, void *arg)
{
	if (strcmp(g->account.owner, a->owner) == 0 &&
	    strcmp(g->account.cost_center, a->cost_center) == 0)
		return;
	end_part(m, g, fn, arg);
	begin_part(m, g);
	account_fini(&g->account);
	account_init(&g->account, a->revision, a->owner, a->cost_center);
}

void
meter_revisions_add(struct meter *m, const struct account *a, bool is_external, meter_fn *fn,
		    void *arg)
{
	struct gauge *g = hmap_find(&m->gauges, a->revision);

	if (g == NULL)
		g = gauge_new(m, a);
	integrate(g, m->now_ns);
	take_account(m, g, a, fn, arg);
	g->is_external = is_external;
	g->is_seen = true;
}

/* Requests at it may still end. */
static void
keep_gone(struct meter *m, struct gauge *g)
{
	struct gauge *former = hmap_find(&m->gone, g->account.revision);

	marks_free(g->marks, g->n);
	g->marks = NULL;
	g->n = g->live = g->measured = 0;
	g->memory_bytes = 0;
	g->is_waking = false;
	g->gone_ns = m->now_ns;
	keep_sums(m, g);
	begin_part(m, g);
	if (former != NULL) {
		amounts_add(&g->amounts, &former->amounts);
		g->is_changed = former->is_changed;
		hmap_remove(&m->gone, g->account.revision);
		gauge_free(former);
	}
	hmap_put(&m->gone, g->account.revision, g);
}

/* Of services that have no revision any more. */
static void
drop_past(struct meter *m)
{
	const struct gauge *g;
	size_t at = 0;
	void *value;

	while (hmap_next(&m->past, &at, NULL, &value))
		((struct past_sum *)value)->is_seen = false;
	for (at = 0; (g = next(m, &at)) != NULL;) {
		struct past_sum *past = hmap_find_n(&m->past, g->account.revision,
						    strcspn(g->account.revision, "/"));

		if (past != NULL)
			past->is_seen = true;
	}
	for (at = 0; hmap_next(&m->past, &at, NULL, &value);) {
		struct past_sum *past = value;

		if (past->is_seen)
			continue;
		hmap_remove(&m->past, past->service);
		past_free(past);
	}
}

void
meter_revisions_end(struct meter *m, meter_fn *fn, void *arg)
{
	struct gauge *g;
	size_t at = 0;

	while ((g = next(m, &at)) != NULL) {
		if (g->is_seen)
			continue;
		integrate(g, m->now_ns);
		end_part(m, g, fn, arg);
		hmap_remove(&m->gauges, g->account.revision);
		keep_gone(m, g);
	}
	drop_past(m);
}

/* --- wakes --- */

static void
end_wake(struct gauge *g)
{
	g->is_waking = false;
	g->waiting_n = 0;
}

static void
remove_waiting(struct gauge *g, uint64_t peer)
{
	size_t i;

	for (i = 0; i < g->waiting_n; i++)
		if (g->waiting[i] == peer) {
			g->waiting[i] = g->waiting[--g->waiting_n];
			return;
		}
}

static void
add_waiting(struct gauge *g, uint64_t peer)
{
	remove_waiting(g, peer);
	g->waiting = xrealloc(g->waiting, (g->waiting_n + 1) * sizeof *g->waiting);
	g->waiting[g->waiting_n++] = peer;
}

void
meter_activate(struct meter *m, uint64_t peer, const char *revision)
{
	struct gauge *g = hmap_find(&m->gauges, revision);

	if (g == NULL || g->is_external || (g->live > 0 && !g->is_waking))
		return;
	if (!g->is_waking) {
		g->is_waking = true;
		note_change(g, m->now_ns);
		g->amounts.wakes++;
	}
	add_waiting(g, peer);
}

/* While a wake is under way: so many requests are parked at the activator. */
static void
note_parked(struct gauge *g, uint64_t peer, uint32_t parked)
{
	if (parked > 0) {
		add_waiting(g, peer);
		return;
	}
	remove_waiting(g, peer);
	if (g->waiting_n == 0) /* the clients that waited are gone */
		end_wake(g);
}

void
meter_peer_down(struct meter *m, uint64_t peer)
{
	struct gauge *g;
	size_t at = 0;

	while ((g = next(m, &at)) != NULL)
		remove_waiting(g, peer);
}

/* --- instances --- */

static bool
is_measured(const struct driver_instance *i)
{
	return i->cpu_s >= 0 && i->memory_bytes > 0;
}

/* The instance of this id, from *at on and round: drivers show instances in about the same order
 * each time. */
static struct mark *
find_mark(const struct gauge *g, size_t *at, const char *id)
{
	size_t i, n;

	for (n = 0, i = *at; n < g->n; n++, i++) {
		i = i < g->n ? i : 0;
		if (strcmp(g->marks[i].id, id) != 0)
			continue;
		*at = i + 1;
		return &g->marks[i];
	}
	return NULL;
}

/* If an instance is older than the gauge, an earlier gauge may have counted its start and its CPU
 * time: count only what it uses from now on. */
static struct mark
mark_new(struct gauge *g, const struct driver_instance *i)
{
	bool is_new = i->started_ns >= g->opened_ns;

	g->amounts.starts += is_new;
	return (struct mark){.id = xstrdup(i->id), .cpu_s = is_new ? 0 : -1};
}

static void
count_cpu(struct gauge *g, struct mark *mark, const struct driver_instance *i)
{
	if (i->cpu_s < 0)
		return;
	if (mark->cpu_s >= 0)
		g->amounts.cpu_s += MAX(i->cpu_s - mark->cpu_s, 0);
	mark->cpu_s = MAX(mark->cpu_s, i->cpu_s);
}

static void
take_instances(struct gauge *g, const struct driver_view *view)
{
	struct mark *marks = view->n == 0 ? NULL : xcalloc(view->n, sizeof *marks);
	size_t i, at = 0;

	g->live = g->measured = 0;
	g->memory_bytes = 0;
	for (i = 0; i < view->n; i++) {
		const struct driver_instance *from = &view->v[i];
		struct mark *old = find_mark(g, &at, from->id);

		marks[i] = old == NULL ? mark_new(g, from)
				       : (struct mark){xstrdup(from->id), old->cpu_s};
		count_cpu(g, &marks[i], from);
		g->live += from->state != INSTANCE_STOPPING;
		g->measured += is_measured(from);
		g->memory_bytes += is_measured(from) ? (double)from->memory_bytes : 0;
		if (from->state == INSTANCE_READY)
			end_wake(g);
	}
	marks_free(g->marks, g->n);
	g->marks = marks;
	g->n = view->n;
}

void
meter_view(struct meter *m, const struct driver_view *view)
{
	struct gauge *g = hmap_find(&m->gauges, view->revision);

	if (g == NULL || g->is_external || !view->is_known)
		return;
	integrate(g, m->now_ns);
	take_instances(g, view);
	g->amounts.peak = MAX(g->amounts.peak, (double)g->n);
	if (g->n > 0)
		note_change(g, m->now_ns);
}

/* --- requests --- */

static void
add_counts(struct amounts *a, const struct request_counts *c)
{
	size_t i;

	a->requests += (double)c->requests;
	for (i = 0; i < REQUEST_ENDS_N; i++)
		a->ends[i] += (double)c->ends[i];
	a->bytes_in += (double)c->bytes_in;
	a->bytes_out += (double)c->bytes_out;
	a->cold_starts += (double)c->cold_starts;
	a->cold_wait_s += c->cold_wait_s;
	a->cold_wait_max_s = MAX(a->cold_wait_max_s, c->cold_wait_max_s);
}

static void
add_stat(struct gauge *g, const struct msg_stat *s, int64_t period_ms, int64_t now_ns)
{
	double period_s = (double)period_ms / 1000;
	struct amounts *a = &g->amounts;

	if (s->counts != NULL)
		add_counts(a, s->counts);
	else /* nothing, or an older activator */
		a->requests += (double)s->requests + (double)s->missed_requests;
	a->completed += (double)s->completed + (double)s->missed_completed;
	a->parked_s += s->waiting * period_s;
	a->in_flight_s += MAX(s->concurrency - s->waiting, 0) * period_s;
	if (s->requests > 0 || s->completed > 0 || s->concurrency > 0 || s->missed_requests > 0 ||
	    s->missed_completed > 0 || s->counts != NULL)
		note_change(g, now_ns);
}

void
meter_stats(struct meter *m, uint64_t peer, const struct msg_stats *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		struct gauge *g = hmap_find(&m->gauges, s->v[i].name);

		if (g == NULL)
			g = hmap_find(&m->gone, s->v[i].name);
		if (g == NULL)
			continue;
		add_stat(g, &s->v[i], s->period_ms, m->now_ns);
		if (g->is_waking && s->period_ms > 0)
			note_parked(g, peer, s->v[i].parked);
	}
}

/* --- reading --- */

void
meter_write(struct meter *m, int64_t write_ns, int64_t idle_ns, meter_fn *fn, void *arg)
{
	struct gauge *g;
	size_t at = 0;

	end_gone(m, fn, arg);
	while ((g = next(m, &at)) != NULL) {
		struct meter_part p;

		if (m->now_ns - g->written_ns < (g->is_changed ? write_ns : idle_ns))
			continue;
		integrate(g, m->now_ns);
		p = part_of(m, g, false);
		fn(&p, arg);
		g->is_changed = g->n > 0;
		g->written_ns = m->now_ns;
	}
}

void
meter_each(struct meter *m, meter_fn *fn, void *arg)
{
	struct gauge *g;
	size_t at = 0;

	while ((g = next(m, &at)) != NULL) {
		struct meter_part p;

		integrate(g, m->now_ns);
		p = part_of(m, g, false);
		fn(&p, arg);
	}
}

int64_t
meter_active_ns(const struct meter *m, const char *revision)
{
	const struct gauge *g = hmap_find(&m->gauges, revision);

	return g == NULL ? INT64_MIN : g->active_ns;
}

const struct amounts *
meter_total(struct meter *m, const char *revision)
{
	struct gauge *g = hmap_find(&m->gauges, revision);

	if (g == NULL)
		return NULL;
	integrate(g, m->now_ns);
	g->total = g->before;
	amounts_add(&g->total, &g->amounts);
	return &g->total;
}

const struct amounts *
meter_past(const struct meter *m, const char *service)
{
	const struct past_sum *past = hmap_find(&m->past, service);

	return past == NULL ? NULL : &past->amounts;
}
