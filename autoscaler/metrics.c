#include "autoscaler/metrics.h"

#include <stdlib.h>

#include "autoscaler/facts.h"
#include "autoscaler/reconcile/hub.h"
#include "autoscaler/reconcile/swaps.h"
#include "autoscaler/rollouts.h"
#include "autoscaler/services.h"
#include "autoscaler/usage/ledger.h"
#include "autoscaler/versions/store.h"
#include "common/audit.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/metric_groups.h"
#include "common/strbuf.h"

enum metric_id {
#define METRIC(id, type, name, labels, help) M_##id,
#include "autoscaler/metrics.def"
#undef METRIC
	METRICS_N
};

static const struct metric_def defs[] = {
#define METRIC(id, type, name, labels, help) {METRIC_##type, name, labels, help},
#include "autoscaler/metrics.def"
#undef METRIC
};

/* A metric of one sample without labels. */
static void
put_one(struct strbuf *b, enum metric_id id, double value)
{
	metric_head(b, &defs[id]);
	metric_sample(b, &defs[id], NULL, value);
}

static void
put_process(struct strbuf *b, const struct facts *f)
{
	const char *const labels[] = {daemon_version, f->driver};

	metric_head(b, &defs[M_INFO]);
	metric_sample(b, &defs[M_INFO], labels, 1);
	put_one(b, M_UPTIME, (double)(clk_now() - f->started_ns) / CLK_S);
	put_one(b, M_LOG_LOST, (double)log_lost());
	put_one(b, M_ACTIVATORS, (double)hub_activators(f->hub));
	put_one(b, M_PEERS_DROPPED, (double)hub_dropped(f->hub));
	put_one(b, M_SERVICES_GENERATION, (double)f->generation);
	put_one(b, M_ROUTED_GENERATION, (double)f->swaps->routed);
	put_one(b, M_SWAPS_OVERDUE, (double)f->swaps->overdue);
	put_one(b, M_CONTROL_REQUESTS, (double)f->control_requests);
	put_one(b, M_RELOADS, (double)f->reloads.done);
	put_one(b, M_UPGRADE_FAILURES, (double)f->upgrade_failures);
	put_one(b, M_RELOAD_FAILURES, (double)f->reloads.failed);
	put_one(b, M_CONFIG_READ, (double)f->reloads.read_ns / (double)CLK_S);
	put_one(b, M_CONFIG_DIFFERS, f->reloads.is_file_other);
	put_one(b, M_MAX_INSTANCES, f->max_instances);
	if (f->has_lease) {
		put_one(b, M_LEADER, f->is_leader);
		put_one(b, M_LEADER_TERM, (double)f->term);
	}
	put_one(b, M_WATCHERS, (double)f->watchers);
}

static void
put_journal(struct strbuf *b, const struct ledger *l)
{
	struct ledger_counts c;

	ledger_counts(l, &c);
	put_one(b, M_USAGE_RECORDS, (double)c.written);
	put_one(b, M_USAGE_LOST, (double)c.lost);
	put_one(b, M_USAGE_WAITING, (double)c.waiting);
	put_one(b, M_USAGE_BROKEN, (double)c.broken);
	put_one(b, M_USAGE_ROWS, (double)c.rows);
	put_one(b, M_USAGE_DROPPED, (double)c.dropped);
}

static void
put_owners(struct strbuf *b, const struct reconcile *r)
{
	static const enum metric_id ids[] = {M_OWNER_MAX, M_OWNER_INSTANCES, M_OWNER_WANTED};
	struct reconcile_owner o;
	size_t i, at = 0;

	if (!reconcile_next_owner(r, &at, &o))
		return;
	for (i = 0; i < ARRAY_LEN(ids); i++) {
		metric_head(b, &defs[ids[i]]);
		for (at = 0; reconcile_next_owner(r, &at, &o);) {
			const char *labels[] = {o.name};
			double values[] = {o.max_instances, (double)o.instances, (double)o.wanted};

			metric_sample(b, &defs[ids[i]], labels, values[i]);
		}
	}
}

static void
put_audit(struct strbuf *b, const struct audit *a)
{
	struct audit_counts c;

	audit_count(a, &c);
	put_one(b, M_AUDIT_RECORDS, (double)c.written);
	put_one(b, M_AUDIT_LOST, (double)c.lost);
}

/* The requests of the driver to the API of its platform, if it has one. */
static void
put_platform(struct strbuf *b, struct driver *d)
{
	struct driver_counts c;

	if (d == NULL || d->class->counts == NULL)
		return;
	d->class->counts(d, &c);
	put_one(b, M_PLATFORM_REQUESTS, (double)c.requests);
	put_one(b, M_PLATFORM_ERRORS, (double)c.errors);
	put_one(b, M_PLATFORM_REFUSALS, (double)c.refusals);
	put_one(b, M_PLATFORM_EVENTS, (double)c.events);
	put_one(b, M_PLATFORM_LISTS, (double)c.lists);
	put_one(b, M_PLATFORM_WATCHES, (double)c.watches);
	put_one(b, M_PLATFORM_FOREIGN, (double)c.foreign);
}

static void
put_decisions(struct strbuf *b, const struct reconcile *r)
{
	const uint64_t *n = reconcile_decisions(r);
	size_t i;

	metric_head(b, &defs[M_DECISIONS]);
	for (i = 0; i < DECIDE_RULES_N; i++) {
		const char *labels[] = {decide_rule_name((enum decide_rule)i)};

		metric_sample(b, &defs[M_DECISIONS], labels, (double)n[i]);
	}
}

/* One revision, and what its metrics need, computed once for all of them. */
struct row {
	const char *name;
	struct scaled_revision *rev; /* NULL: the removed ones of a service */
	struct decide_view view;
	const struct scaled_counts *counts;
	struct amounts used; /* since this process began to observe it */
};

/* How the numbers of several revisions become one. */
enum fold {
	FOLD_SUM,
	FOLD_MOST,
	FOLD_NONE, /* not at all: the metric is about one revision */
};

static enum fold
fold_of(enum metric_id id)
{
	switch (id) {
	case M_PANICKING:
	case M_FAILING:
	case M_HELD_BACK:
	case M_LEASE:
		return FOLD_MOST;
	case M_TARGET:
	case M_PROPOSED:
		return FOLD_NONE;
	default:
		return FOLD_SUM;
	}
}

static double
used_of(const struct amounts *a, enum metric_id id)
{
	switch (id) {
	case M_INSTANCE_SECONDS:
		return a->instance_s;
	case M_ALWAYS_ONE_SECONDS:
		return a->always_one_s;
	case M_REQUESTS:
		return a->requests;
	case M_PARKED_SECONDS:
		return a->parked_s;
	case M_WAKES:
		return a->wakes;
	case M_COLD_STARTS:
		return a->cold_starts;
	case M_COLD_WAIT:
		return a->cold_wait_s;
	case M_CPU_SECONDS:
		return a->cpu_s;
	case M_MEMORY_SECONDS:
		return a->memory_byte_s;
	default:
		CHECK(!"a metric of one revision");
	}
	return 0;
}

static double
value_of(const struct row *row, enum metric_id id)
{
	const struct decide_view *view = &row->view;
	const struct scaled_revision *rev = row->rev;

	switch (id) {
	case M_WANTED:
		return rev->wanted.n;
	case M_READY:
		return view->ready;
	case M_STARTING:
		return view->starting;
	case M_STABLE:
		return view->stable;
	case M_PANIC:
		return view->panic;
	case M_PANICKING:
		return rev->decided.is_panicking;
	case M_TARGET:
		return rev->decided.target;
	case M_PARKED:
		return view->parked;
	case M_IN_FLIGHT:
		return view->in_flight;
	case M_ACTIVATIONS:
		return (double)row->counts->activations;
	case M_FAILURES:
		return (double)row->counts->failures;
	case M_FAILING:
		return rev->failure != NULL;
	case M_HELD_BACK:
		return rev->held_back != NULL;
	case M_HELD_BACKS:
		return (double)row->counts->held_backs;
	case M_PROPOSED:
		return brain_proposal(rev->brain);
	case M_LEASE:
		return MAX(view->busy_lease_s, 0);
	case M_CPU:
		return rev->instances.cpu_cores;
	case M_WOULD_WANT:
		return rev->dryrun.n;
	case M_WOULD_START:
		return (double)rev->dryrun.started;
	case M_WOULD_STOP:
		return (double)rev->dryrun.stopped;
	case M_WOULD_WAIT:
		return (double)rev->dryrun.cold_starts;
	case M_REAL_SECONDS:
		return rev->dryrun.real_s;
	case M_BOOK_SECONDS:
		return rev->dryrun.virtual_s;
	default:
		return used_of(&row->used, id);
	}
}

/* Has it no other fact than what was counted? */
static bool
is_count(enum metric_id id)
{
	return id == M_ACTIVATIONS || id == M_FAILURES || id == M_HELD_BACKS ||
	       (id >= M_INSTANCE_SECONDS && id <= M_MEMORY_SECONDS);
}

/* Some metrics exist only for some revisions; CPU and memory only where the driver knows them. */
static bool
has_value(const struct row *row, enum metric_id id)
{
	if (row->rev == NULL && !is_count(id))
		return false;
	if (id >= M_WOULD_WANT && id <= M_BOOK_SECONDS)
		return scaled_is_dry(row->rev);
	if (id == M_CPU_SECONDS || id == M_MEMORY_SECONDS)
		return row->used.measured_s > 0;
	return id != M_PROPOSED || row->rev->conf->scaling.slow_brain != SLOW_OFF;
}

/* The number of a group: of one revision its own; else of those that have one that is known (-1 is
 * not). */
static bool
fold(const struct metric_group *group, enum metric_id id, double *value)
{
	bool has = false;
	size_t i;

	*value = 0;
	for (i = 0; i < group->n; i++) {
		const struct row *row = group->v[i];
		double v;

		if (!has_value(row, id))
			continue;
		v = value_of(row, id);
		if (!has || *value < 0)
			*value = v;
		else if (v >= 0)
			*value = fold_of(id) == FOLD_SUM ? *value + v : MAX(*value, v);
		has = true;
	}
	return has;
}

/* One metric: a sample for each revision or service. */
static void
put_family(struct strbuf *b, struct metric_groups *g, enum metric_id id)
{
	const struct metric_def *def;
	size_t i;

	if (g->is_by_service && fold_of(id) == FOLD_NONE)
		return;
	def = metric_groups_head(g, b, &defs[id]);
	for (i = 0; i < g->n; i++) {
		const char *labels[] = {g->v[i].name};
		double value;

		if (fold(&g->v[i], id, &value))
			metric_sample(b, def, labels, value);
	}
}

/* The ends of requests that there were. */
static void
put_ends(struct strbuf *b, struct metric_groups *g)
{
	const struct metric_def *def = metric_groups_head(g, b, &defs[M_ENDS]);
	size_t i, k, end;

	for (i = 0; i < g->n; i++)
		for (end = 0; end < REQUEST_ENDS_N; end++) {
			const char *labels[] = {g->v[i].name,
						request_end_name((enum request_end)end)};
			double sum = 0;

			for (k = 0; k < g->v[i].n; k++)
				sum += ((const struct row *)g->v[i].v[k])->used.ends[end];
			if (sum > 0)
				metric_sample(b, def, labels, sum);
		}
}

static void
put_drains(struct strbuf *b, struct metric_groups *g)
{
	const struct metric_def *def = metric_groups_head(g, b, &defs[M_DRAINS]);
	size_t i, k;

	for (i = 0; i < g->n; i++) {
		const char *done[] = {g->v[i].name, "done"};
		const char *back[] = {g->v[i].name, "taken_back"};
		uint64_t done_n = 0, back_n = 0;

		for (k = 0; k < g->v[i].n; k++) {
			const struct scaled_counts *c = ((struct row *)g->v[i].v[k])->counts;

			done_n += c->drains_done;
			back_n += c->drains_taken_back;
		}
		metric_sample(b, def, done, (double)done_n);
		metric_sample(b, def, back, (double)back_n);
	}
}

static void
put_ended(struct strbuf *b, struct metric_groups *g)
{
	const struct metric_def *def = metric_groups_head(g, b, &defs[M_ENDED]);
	size_t i, k, reason;

	for (i = 0; i < g->n; i++)
		for (reason = 0; reason < ENDED_N; reason++) {
			const char *labels[] = {g->v[i].name,
						ended_reason_name((enum ended_reason)reason)};
			uint64_t n = 0;

			for (k = 0; k < g->v[i].n; k++)
				n += ((struct row *)g->v[i].v[k])->counts->ended[reason];
			metric_sample(b, def, labels, (double)n);
		}
}

static void
put_cold_starts(struct strbuf *b, struct metric_groups *g)
{
	const struct metric_def *def = metric_groups_head(g, b, &defs[M_COLD_START]);
	size_t i, k;

	for (i = 0; i < g->n; i++) {
		const char *labels[] = {g->v[i].name};
		struct metric_hist_sum sum = {{0}, 0};
		uint64_t starts = 0;

		for (k = 0; k < g->v[i].n; k++)
			metric_hist_collect(&sum,
					    &((struct row *)g->v[i].v[k])->counts->cold_starts);
		for (k = 0; k <= METRIC_BUCKETS; k++)
			starts += sum.bucket[k];
		if (starts > 0)
			metric_hist_sample(b, def, labels, &sum, NULL);
	}
}

/* Has it had no instance and no request for a while, and is nothing wanted or wrong? */
static bool
is_idle(const struct row *row, const struct ledger *l, int64_t now)
{
	const struct scaled_revision *rev = row->rev;
	int64_t active_ns = ledger_active_ns(l, scaled_name(rev));

	return rev->wanted.n == 0 && row->view.ready + row->view.starting == 0 &&
	       row->view.parked + row->view.in_flight == 0 && rev->failure == NULL &&
	       rev->held_back == NULL &&
	       (active_ns == INT64_MIN || now - active_ns > METRIC_IDLE_AFTER);
}

struct rows {
	struct row *v;
	size_t n, cap;
};

static struct row *
add_row(struct rows *rows, const char *name, const struct amounts *used)
{
	struct row *row;

	if (rows->n == rows->cap) {
		rows->cap = MAX(rows->cap * 2, (size_t)64);
		rows->v = xrealloc(rows->v, rows->cap * sizeof *rows->v);
	}
	row = &rows->v[rows->n++];
	*row = (struct row){.name = name};
	if (used != NULL)
		row->used = *used;
	return row;
}

/* What removed revisions have counted: the sums over a service do not fall. */
static void
add_past(struct rows *rows, const struct facts *f)
{
	static const struct scaled_counts none;
	size_t i;

	for (i = 0; i < services_n(f->services); i++) {
		const char *name = services_at(f->services, i)->name;
		const struct scaled_counts *counts = reconcile_past(f->reconcile, name);
		const struct amounts *used = ledger_past(f->ledger, name);

		if (counts != NULL || used != NULL)
			add_row(rows, name, used)->counts = counts == NULL ? &none : counts;
	}
}

/* Returns the rows that the groups point to, the caller's to free. */
static struct row *
list_groups(struct metric_groups *g, const struct facts *f)
{
	struct rows rows = {.n = 0};
	struct scaled_revision *rev;
	size_t at = 0, i;

	while ((rev = reconcile_next(f->reconcile, &at)) != NULL) {
		struct row *row = add_row(&rows, scaled_name(rev),
					  ledger_total(f->ledger, scaled_name(rev)));

		row->rev = rev;
		row->counts = &rev->counts;
		scaled_fill_view(rev, &row->view, false, clk_now());
	}
	if (f->is_by_service)
		add_past(&rows, f);
	metric_groups_init(g, f->is_by_service);
	for (i = 0; i < rows.n; i++)
		metric_groups_add(g, rows.v[i].name, &rows.v[i],
				  rows.v[i].rev == NULL ||
					  is_idle(&rows.v[i], f->ledger, clk_now()));
	if (!f->has_idle)
		metric_groups_drop_idle(g);
	return rows.v;
}

static void
put_revisions(struct strbuf *b, const struct facts *f)
{
	struct metric_groups g;
	struct row *rows = list_groups(&g, f);
	int id;

	for (id = M_WANTED; id <= M_MEMORY_SECONDS; id++)
		put_family(b, &g, (enum metric_id)id);
	put_ends(b, &g);
	put_drains(b, &g);
	put_ended(b, &g);
	put_cold_starts(b, &g);
	metric_groups_fini(&g);
	free(rows);
}

static void
put_rollouts(struct strbuf *b, const struct facts *f)
{
	static const enum rollout_state results[] = {ROLLOUT_DONE, ROLLOUT_ABORTED,
						     ROLLOUT_REPLACED};
	size_t n = f->store == NULL ? 0 : version_store_n(f->store), i;
	int id;

	metric_head(b, &defs[M_ROLLOUTS]);
	for (i = 0; i < ARRAY_LEN(results); i++) {
		const char *labels[] = {rollout_state_name(results[i])};

		metric_sample(b, &defs[M_ROLLOUTS], labels,
			      (double)rollouts_ended(f->rollouts, results[i]));
	}
	for (id = M_ROLLOUT_PERCENT; id <= M_ROLLOUT_HELD; id++) {
		metric_head(b, &defs[id]);
		for (i = 0; i < n; i++) {
			const struct stored_service *s = version_store_at(f->store, i);

			if (!rollout_is_active(s->rollout))
				continue;
			const char *labels[] = {s->name, s->rollout->to};

			metric_sample(b, &defs[id], labels,
				      id == M_ROLLOUT_PERCENT ? rollout_percent(s->rollout)
							      : rollouts_is_held(f->rollouts, s));
		}
	}
}

void
metrics_write_waiting(struct strbuf *b)
{
	put_one(b, M_LOG_LOST, (double)log_lost());
	put_one(b, M_LEADER, 0);
	put_one(b, M_LEADER_TERM, 0);
}

void
metrics_write(struct strbuf *b, const struct facts *f)
{
	put_process(b, f);
	put_journal(b, f->ledger);
	put_audit(b, f->audit);
	put_owners(b, f->reconcile);
	put_platform(b, f->platform);
	put_rollouts(b, f);
	put_decisions(b, f->reconcile);
	put_revisions(b, f);
}
