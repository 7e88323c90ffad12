#include "activator/stats.h"

#include <stdlib.h>
#include <string.h>

#include "activator/limiter.h"
#include "activator/registry.h"
#include "activator/worker.h"
#include "common/clk.h"
#include "common/hmap.h"
#include "common/request_counts.h"
#include "common/tally.h"

#define LINE_MOST ((size_t)256 << 10) /* bytes of one message, roughly */
#define STAT_BYTES 1536		      /* of one revision in it, without its name */
#define INSTANCE_BYTES 64	      /* of one instance in it, without its id */

struct sum {
	double load_s, waiting_s, latency_s;
	uint32_t peak, in_flight, parked;
	uint64_t requests, completed;
	struct cold_start cold_start; /* the last one; end_ns 0: there was none */
};

/* What was counted while there was no link. */
struct missed {
	uint64_t requests, completed;
};

struct stats {
	struct registry *registry;
	struct worker *const *workers;
	unsigned workers_n;
	const struct stats_ops *ops;
	void *arg;

	/* the collection that runs */
	unsigned awaited; /* workers that have not answered; 0: none runs */
	int64_t period_ns;
	struct hmap sums; /* revision name → struct sum */

	struct hmap missed; /* revision name → struct missed */
	struct hmap counts; /* revision name → struct request_counts, which no report has had */
	bool is_renewed;    /* the next report is the first on its link */

	/* the message that is being filled */
	struct msg_stat *v;
	size_t n, cap, bytes;
};

struct stats *
stats_new(struct registry *registry, struct worker *const *workers, unsigned workers_n,
	  const struct stats_ops *ops, void *arg)
{
	struct stats *s = xcalloc(1, sizeof *s);

	s->registry = registry;
	s->workers = workers;
	s->workers_n = workers_n;
	s->ops = ops;
	s->arg = arg;
	hmap_init(&s->sums);
	hmap_init(&s->missed);
	hmap_init(&s->counts);
	return s;
}

static void
forget_all(struct hmap *map)
{
	size_t at = 0;
	void *value;

	while (hmap_next(map, &at, NULL, &value))
		free(value);
	hmap_fini(map);
	hmap_init(map);
}

void
stats_free(struct stats **sp)
{
	struct stats *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	CHECK(s->awaited == 0);
	forget_all(&s->sums);
	hmap_fini(&s->sums);
	forget_all(&s->missed);
	hmap_fini(&s->missed);
	forget_all(&s->counts);
	hmap_fini(&s->counts);
	free(s->v);
	free(s);
}

/* --- one revision --- */

static double
busy_s(const struct instance *inst, int64_t now)
{
	int64_t until = atomic_load_explicit(&inst->busy_until, memory_order_relaxed);

	return until > now ? (double)(until - now) / (double)CLK_S : 0;
}

/* The instances of rev that are in use or said that they are busy; v has room for all. */
static size_t
list_instances(const struct revision *rev, struct msg_stat_instance *v, int64_t now)
{
	struct list_node *node, *tmp;
	size_t n = 0;

	LIST_FOREACH(&rev->instances, node, tmp) {
		const struct instance *inst = container_of(node, struct instance, node);
		struct msg_stat_instance one = {.id = inst->id,
						.in_flight = instance_in_flight(inst),
						.busy_s = busy_s(inst, now)};

		if (one.in_flight > 0 || one.busy_s > 0)
			v[n++] = one;
	}
	return n;
}

static struct msg_cold_start *
cold_start_of(const struct cold_start *c, int64_t now)
{
	struct msg_cold_start *m;
	size_t i;

	if (c->end_ns == 0)
		return NULL;
	m = xcalloc(1, sizeof *m);
	m->ago_ms = MIN(MAX((now - c->end_ns) / CLK_MS, INT64_C(0)), MSG_DELAY_MS_MAX);
	for (i = 0; i < COLD_PHASES_N; i++)
		m->phases_us[i] = (uint64_t)(c->phases_ns[i] / CLK_US);
	return m;
}

/* name is borrowed. */
static struct msg_stat
stat_of_sum(const char *name, const struct sum *sum, int64_t period_ns)
{
	double period_s = (double)MAX(period_ns, 1) / CLK_S;

	return (struct msg_stat){
		.name = (char *)(uintptr_t)name,
		.concurrency = MAX(sum->load_s, 0) / period_s,
		.waiting = MAX(sum->waiting_s, 0) / period_s,
		.peak = sum->peak,
		.requests = sum->requests,
		.parked = sum->parked,
		.in_flight = sum->in_flight,
		.latency_ms = sum->completed > 0
				      ? MAX(sum->latency_s, 0) * 1e3 / (double)sum->completed
				      : 0,
		.completed = sum->completed,
	};
}

static struct msg_stat
stat_of(const struct revision *rev, const struct sum *sum, int64_t period_ns, int64_t now)
{
	struct msg_stat stat = stat_of_sum(rev->name, sum, period_ns);

	stat.v = xcalloc(rev->instances.n, sizeof *stat.v);
	stat.n = list_instances(rev, stat.v, now);
	stat.cold_start = cold_start_of(&sum->cold_start, now);
	return stat;
}

static struct tally *
tally_copy(const struct tally *t)
{
	struct tally *copy = t == NULL ? NULL : xcalloc(1, sizeof *copy);

	if (copy != NULL)
		*copy = *t;
	return copy;
}

/* Add what has ended at one worker. */
static void
join_tally(struct revision *rev, const struct tally *t)
{
	if (t == NULL)
		return;
	if (rev->tally == NULL)
		rev->tally = xcalloc(1, sizeof *rev->tally);
	tally_join(rev->tally, t);
}

/* --- a report --- */

static void
send_line(struct stats *s, bool is_partial)
{
	struct msg m = {.type = MSG_STATS,
			.u.stats = {.period_ms = s->period_ns / CLK_MS,
				    .is_partial = is_partial,
				    .v = s->v,
				    .n = s->n}};
	size_t i;

	s->ops->send(&m, s->arg);
	for (i = 0; i < s->n; i++) {
		free(s->v[i].v);
		free(s->v[i].tally);
		free(s->v[i].counts);
		free(s->v[i].cold_start);
	}
	s->n = s->bytes = 0;
}

static void
add_stat(struct stats *s, const struct msg_stat *stat)
{
	size_t i, bytes = STAT_BYTES + strlen(stat->name);

	for (i = 0; i < stat->n; i++)
		bytes += INSTANCE_BYTES + strlen(stat->v[i].id);
	if (s->n > 0 && s->bytes + bytes > LINE_MOST)
		send_line(s, true);
	if (s->n == s->cap) {
		s->cap = MAX(s->cap * 2, (size_t)16);
		s->v = xrealloc(s->v, s->cap * sizeof *s->v);
	}
	s->v[s->n++] = *stat;
	s->bytes += bytes;
}

/* There is no link. */
static void
keep_missed(struct stats *s)
{
	const char *name;
	size_t at = 0;
	void *value;

	while (hmap_next(&s->sums, &at, &name, &value)) {
		const struct sum *sum = value;
		struct missed *m = hmap_find(&s->missed, name);

		if (sum->requests == 0 && sum->completed == 0)
			continue;
		if (m == NULL) {
			m = xcalloc(1, sizeof *m);
			hmap_put(&s->missed, name, m);
		}
		m->requests += sum->requests;
		m->completed += sum->completed;
	}
}

/* What was in flight or has ended at revisions that are no longer described.  What is there now is
 * nothing that instances are wanted for. */
static void
add_gone(struct stats *s)
{
	const char *name;
	size_t at = 0;
	void *value;

	while (hmap_next(&s->sums, &at, &name, &value)) {
		struct msg_stat stat = stat_of_sum(name, value, s->period_ns);

		if (registry_find_revision(s->registry, name) != NULL)
			continue;
		stat.parked = stat.in_flight = 0;
		stat.counts = hmap_remove(&s->counts, name);
		if (stat.concurrency > 0 || stat.counts != NULL)
			add_stat(s, &stat);
	}
	for (at = 0; hmap_next(&s->counts, &at, &name, &value);) {
		struct msg_stat stat = {.name = (char *)(uintptr_t)name,
					.counts = xcalloc(1, sizeof *stat.counts)};

		*stat.counts = *(const struct request_counts *)value;
		add_stat(s, &stat);
	}
}

static void
report(struct stats *s)
{
	static const struct sum nothing;
	int64_t now = clk_now();
	struct revision *rev;
	size_t at = 0;

	while ((rev = registry_next_revision(s->registry, &at)) != NULL) {
		const struct sum *sum = hmap_find(&s->sums, rev->name);
		const struct missed *missed = hmap_find(&s->missed, rev->name);
		struct msg_stat stat = stat_of(rev, sum == NULL ? &nothing : sum, s->period_ns,
					       now);

		if (missed != NULL) {
			stat.missed_requests = missed->requests;
			stat.missed_completed = missed->completed;
		}
		stat.counts = hmap_remove(&s->counts, rev->name);
		if (sum == NULL && missed == NULL && stat.n == 0 && stat.counts == NULL &&
		    !(s->is_renewed && rev->tally != NULL)) {
			free(stat.v);
			continue;
		}
		stat.tally = tally_copy(rev->tally);
		add_stat(s, &stat);
	}
	add_gone(s);
	send_line(s, false);
	s->is_renewed = false;
	forget_all(&s->missed);
	forget_all(&s->counts);
}

/* --- a collection --- */

static void
keep_counts(struct stats *s, struct shard_period *p)
{
	struct request_counts *sum = hmap_find(&s->counts, p->rev->name);

	if (p->counts == NULL)
		return;
	if (sum != NULL) {
		request_counts_join(sum, p->counts);
		return;
	}
	hmap_put(&s->counts, p->rev->name, p->counts);
	p->counts = NULL;
}

static void
add_period(struct stats *s, struct shard_period *p)
{
	struct sum *sum = hmap_find(&s->sums, p->rev->name);

	if (sum == NULL) {
		sum = xcalloc(1, sizeof *sum);
		hmap_put(&s->sums, p->rev->name, sum);
	}
	sum->load_s += p->load_s;
	sum->waiting_s += p->waiting_s;
	sum->latency_s += p->latency_s;
	sum->peak += p->peak;
	sum->in_flight += p->in_flight;
	sum->parked += p->parked;
	sum->requests += p->requests;
	sum->completed += p->completed;
	p->rev->active_ns = clk_now();
	join_tally(p->rev, p->tally);
	keep_counts(s, p);
	if (p->cold_start != NULL && p->cold_start->end_ns > sum->cold_start.end_ns)
		sum->cold_start = *p->cold_start;
}

static void
on_collected(struct worker_period *p, void *arg)
{
	struct stats *s = arg;
	size_t i;

	for (i = 0; i < p->n; i++)
		add_period(s, &p->v[i]);
	s->period_ns = MAX(s->period_ns, p->period_ns);
	worker_period_free(&p);
	if (--s->awaited > 0)
		return;
	if (s->ops->is_up(s->arg))
		report(s);
	else
		keep_missed(s);
	forget_all(&s->sums);
	s->ops->on_reported(s->arg);
}

bool
stats_is_collecting(const struct stats *s)
{
	return s->awaited > 0;
}

void
stats_stop(struct stats *s)
{
	s->workers_n = 0;
}

void
stats_renew(struct stats *s)
{
	s->is_renewed = true;
}

void
stats_collect(struct stats *s)
{
	unsigned i;

	if (s->awaited > 0)
		return;
	s->awaited = s->workers_n;
	s->period_ns = 0;
	for (i = 0; i < s->workers_n; i++)
		worker_post_collect(s->workers[i], on_collected, s);
}

void
stats_report_now(struct stats *s, struct revision *rev)
{
	struct sum sum = {.parked = limiter_parked_waking(rev)};
	struct msg m = {.type = MSG_STATS, .u.stats = {.is_partial = true, .n = 1}};
	struct msg_stat stat = stat_of(rev, &sum, 0, clk_now());
	size_t i;

	if (!s->ops->is_up(s->arg)) {
		free(stat.v);
		return;
	}
	for (i = 0; i < stat.n; i++)
		stat.in_flight += stat.v[i].in_flight;
	stat.concurrency = stat.peak = stat.parked + stat.in_flight;
	m.u.stats.v = &stat;
	s->ops->send(&m, s->arg);
	free(stat.v);
}
