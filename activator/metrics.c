#include "activator/metrics.h"

#include "activator/accept.h"
#include "activator/access/access_log.h"
#include "activator/bounds.h"
#include "activator/certificates.h"
#include "activator/exemplars.h"
#include "activator/limiter.h"
#include "activator/net/tls.h"
#include "activator/outcome.h"
#include "activator/probe.h"
#include "activator/registry.h"
#include "activator/worker.h"
#include "common/audit.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/metric_groups.h"
#include "common/strbuf.h"

static const struct metric_def defs[] = {
#define METRIC(id, type, name, labels, help) {METRIC_##type, name, labels, help},
#include "activator/metrics.def"
#undef METRIC
};
enum {
#define METRIC(id, type, name, labels, help) M_##id,
#include "activator/metrics.def"
#undef METRIC
};

static uint64_t
get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
put(struct strbuf *b, int id, const char *label, double value)
{
	const char *labels[] = {label, NULL};

	metric_sample(b, &defs[id], labels, value);
}

static void
put_one(struct strbuf *b, int id, double value)
{
	metric_head(b, &defs[id]);
	put(b, id, NULL, value);
}

/* --- workers --- */

#define OF_WORKERS(id, member)                                                                     \
	{                                                                                          \
		M_##id, offsetof(struct worker_counters, member)                                   \
	}
static const struct {
	int id;
	size_t offset;
} of_workers[] = {
	OF_WORKERS(CONNECTIONS, connections),
	OF_WORKERS(ACCEPTED, accepted),
	OF_WORKERS(REFUSED, connections_refused),
	OF_WORKERS(TUNNELS_CUT, tunnels_cut),
	OF_WORKERS(UPSTREAMS, upstream_connections),
	OF_WORKERS(UPSTREAM_HANDSHAKES, upstream_handshakes),
	OF_WORKERS(UPSTREAM_RESUMPTIONS, upstream_resumptions),
	OF_WORKERS(UPSTREAM_HANDSHAKE_FAILURES, upstream_handshake_failures),
	OF_WORKERS(CONNECTS, upstream_connects),
	OF_WORKERS(REUSES, upstream_reuses),
	OF_WORKERS(UPSTREAM_H2, upstream_h2_connections),
	OF_WORKERS(UPSTREAM_H2_REFUSED, upstream_refused),
	OF_WORKERS(H2_CONNECTIONS, h2_connections),
	OF_WORKERS(H2_GLITCHES, h2_glitches),
};

/* The sum of a counter over all workers; offset: in struct worker_counters. */
static double
sum_of_workers(const struct metrics_source *s, size_t offset)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < s->workers_n; i++)
		sum += get((const void *)((const char *)worker_counters(s->workers[i]) + offset));
	return (double)sum;
}

static void
put_h2_ended(struct strbuf *b, const struct metrics_source *s)
{
	static const char *const labels[] = {
#define X(id, label) label,
		H2_ENDS(X)
#undef X
	};
	size_t i;
	unsigned k;

	metric_head(b, &defs[M_H2_ENDED]);
	for (i = 0; i < ARRAY_LEN(labels); i++) {
		uint64_t sum = 0;

		for (k = 0; k < s->workers_n; k++)
			sum += get(&worker_counters(s->workers[k])->h2_ended[i]);
		put(b, M_H2_ENDED, labels[i], (double)sum);
	}
}

static void
put_upstream_ended(struct strbuf *b, const struct metrics_source *s)
{
	static const char *const labels[] = {
#define X(id, label) label,
		UPSTREAM_ENDS(X)
#undef X
	};
	size_t i;

	metric_head(b, &defs[M_UPSTREAM_H2_ENDED]);
	for (i = 0; i < ARRAY_LEN(labels); i++)
		put(b, M_UPSTREAM_H2_ENDED, labels[i],
		    sum_of_workers(s, offsetof(struct worker_counters, upstream_ended[i])));
}

static void
put_workers(struct strbuf *b, const struct metrics_source *s)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(of_workers); i++)
		put_one(b, of_workers[i].id, sum_of_workers(s, of_workers[i].offset));
	metric_head(b, &defs[M_OUTCOMES]);
	for (i = 0; i < OUTCOMES_N; i++)
		put(b, M_OUTCOMES, outcome_reason((enum outcome)i),
		    sum_of_workers(s, offsetof(struct worker_counters, outcomes[i])));
	metric_head(b, &defs[M_PROXY_HEADERS]);
	for (i = 0; i < ACCEPT_HEADERS_N; i++)
		put(b, M_PROXY_HEADERS, accept_header_name((enum accept_header)i),
		    sum_of_workers(s, offsetof(struct worker_counters, proxy_headers[i])));
}

/* --- TLS --- */

static void
put_handshakes(struct strbuf *b, const struct metrics_source *s)
{
	static const char *const versions[TLS_VERSIONS] = {"1.2", "1.3", ""};
	static const char *const outcomes[TLS_OUTCOMES_N] = {
#define X(id, name) name,
		TLS_OUTCOMES(X)
#undef X
	};
	uint64_t under_way = 0;
	size_t v, o;
	unsigned k;

	metric_head(b, &defs[M_HANDSHAKES]);
	for (v = 0; v < TLS_VERSIONS; v++)
		for (o = 0; o < TLS_OUTCOMES_N; o++) {
			const char *labels[] = {versions[v], outcomes[o], NULL};
			bool has_version = o == TLS_FULL || o == TLS_RESUMED;
			uint64_t sum = 0;

			if (has_version != (v != TLS_VERSION_NONE))
				continue;
			for (k = 0; k < s->workers_n; k++)
				sum += get(&worker_tls_counters(s->workers[k])->handshakes[v][o]);
			metric_sample(b, &defs[M_HANDSHAKES], labels, (double)sum);
		}
	for (k = 0; k < s->workers_n; k++)
		under_way += get(&worker_tls_counters(s->workers[k])->under_way);
	put_one(b, M_UNDER_WAY, (double)under_way);
}

static void
put_abuses(struct strbuf *b, const struct metrics_source *s)
{
	static const char *const reasons[TLS_ABUSES_N] = {
#define X(id, name) name,
		TLS_ABUSES(X)
#undef X
	};
	size_t i;
	unsigned k;

	metric_head(b, &defs[M_ABUSES]);
	for (i = 0; i < TLS_ABUSES_N; i++) {
		uint64_t sum = 0;

		for (k = 0; k < s->workers_n; k++)
			sum += get(&worker_tls_counters(s->workers[k])->abuses[i]);
		put(b, M_ABUSES, reasons[i], (double)sum);
	}
}

static void
put_tls(struct strbuf *b, const struct metrics_source *s)
{
	const char *name;
	double days;
	size_t at = 0;

	if (s->certificates == NULL)
		return;
	put_handshakes(b, s);
	put_abuses(b, s);
	metric_head(b, &defs[M_EXPIRY]);
	while (certificates_next(s->certificates, &at, &name, &days))
		put(b, M_EXPIRY, name, days);
	put_one(b, M_CERTIFICATE_FAILURES, (double)certificates_failures(s->certificates));
}

/* --- revisions --- */

/* How an instance is counted: open, or the most final reason for which it is closed. */
enum count_as {
	COUNT_OPEN,
	COUNT_STARTING,
	COUNT_SET_ASIDE,
	COUNT_DRAINING,
	COUNT_STOPPING,
	COUNT_N
};
static const char *const count_names[COUNT_N] = {"open", "starting", "set_aside", "draining",
						 "stopping"};

static enum count_as
count_as(const struct instance *inst)
{
	if (instance_is_closed_by(inst, SLOTS_STOPPING))
		return COUNT_STOPPING;
	if (instance_is_closed_by(inst, SLOTS_DRAIN | SLOTS_REV_DRAIN))
		return COUNT_DRAINING;
	if (instance_is_closed_by(inst, SLOTS_UNREADY))
		return inst->is_set_aside ? COUNT_SET_ASIDE : COUNT_STARTING;
	return COUNT_OPEN;
}

static double
in_flight_of(struct revision *rev)
{
	struct list_node *node, *tmp;
	uint32_t n = 0;

	LIST_FOREACH(&rev->instances, node, tmp)
		n += instance_in_flight(container_of(node, struct instance, node));
	return n;
}

static double
parked_of(struct revision *rev)
{
	return limiter_parked(rev);
}

/* The sum over the revisions of a group. */
static double
sum_of(const struct metric_group *group, double (*one)(struct revision *))
{
	double sum = 0;
	size_t i;

	for (i = 0; i < group->n; i++)
		sum += one(group->v[i]);
	return sum;
}

/* The same of a counter that each worker has; offset: in struct shard. */
static double
sum_of_shards(const struct metric_group *group, size_t offset)
{
	uint64_t sum = 0;
	unsigned k;
	size_t i;

	for (i = 0; i < group->n; i++) {
		const struct revision *rev = group->v[i];

		for (k = 0; k < rev->workers_n; k++)
			sum += get((const void *)((const char *)&rev->shards[k] + offset));
	}
	return (double)sum;
}

static const struct {
	int id;
	size_t offset;
} counters[] = {
	{M_REQUESTS, offsetof(struct shard, requests)},
	{M_RETRIES, offsetof(struct shard, retries)},
	{M_BYTES_IN, offsetof(struct shard, bytes_in)},
	{M_BYTES_OUT, offsetof(struct shard, bytes_out)},
	{M_COLD, offsetof(struct shard, cold_starts)},
};

/* The newest exemplars of a histogram over all revisions of the group; number: which of theirs. */
static void
collect_exemplars(const struct metrics_source *s, const struct metric_group *group, unsigned number,
		  struct metric_exemplar out[METRIC_BUCKETS + 1])
{
	size_t i;
	unsigned k;

	for (i = 0; i < group->n; i++) {
		const struct revision *rev = group->v[i];
		uint64_t series = exemplars_series(rev->name, number);

		for (k = 0; k < s->workers_n; k++)
			worker_collect_exemplars(s->workers[k], series, out);
	}
}

/* A histogram of revisions. */
struct hist {
	const struct metric_def *def;
	size_t offset; /* in struct shard */
	const char *phase;
	unsigned number; /* for its exemplars */
};

static void
put_hist(struct strbuf *b, const struct metrics_source *s, const struct metric_group *group,
	 const struct hist *h)
{
	const char *labels[] = {group->name, h->phase, NULL};
	struct metric_exemplar exemplars[METRIC_BUCKETS + 1] = {{.value = 0}};
	struct metric_hist_sum sum = {.sum_us = 0};
	size_t i, k;

	for (i = 0; i < group->n; i++) {
		const struct revision *rev = group->v[i];

		for (k = 0; k < rev->workers_n; k++)
			metric_hist_collect(
				&sum, (const void *)((const char *)&rev->shards[k] + h->offset));
	}
	for (i = 0; i <= METRIC_BUCKETS && sum.bucket[i] == 0; i++)
		;
	if (i > METRIC_BUCKETS) /* an empty histogram of each idle revision would fill pages */
		return;
	if (metric_form() == METRIC_OPENMETRICS)
		collect_exemplars(s, group, h->number, exemplars);
	metric_hist_sample(b, h->def, labels, &sum, exemplars);
}

/* Has it had no request for a while, and has it no instance? */
static bool
is_idle(struct revision *rev)
{
	return list_empty(&rev->instances) && limiter_parked(rev) == 0 &&
	       (rev->active_ns == 0 || clk_now() - rev->active_ns > METRIC_IDLE_AFTER);
}

static void
list_groups(struct metric_groups *g, const struct metrics_source *s)
{
	struct revision *rev;
	size_t at = 0;

	metric_groups_init(g, s->is_by_service);
	while ((rev = s->is_by_service ? registry_next_counted(s->registry, &at)
				       : registry_next_revision(s->registry, &at)) != NULL)
		metric_groups_add(g, rev->name, rev, is_idle(rev));
	if (!s->has_idle)
		metric_groups_drop_idle(g);
}

static void
put_family(struct strbuf *b, struct metric_groups *g, int id, double (*one)(struct revision *))
{
	const struct metric_def *def = metric_groups_head(g, b, &defs[id]);
	size_t i;

	for (i = 0; i < g->n; i++) {
		const char *labels[] = {g->v[i].name, NULL};

		metric_sample(b, def, labels, sum_of(&g->v[i], one));
	}
}

static void
put_counters(struct strbuf *b, struct metric_groups *g)
{
	size_t i, k;

	for (k = 0; k < ARRAY_LEN(counters); k++) {
		const struct metric_def *def = metric_groups_head(g, b, &defs[counters[k].id]);

		for (i = 0; i < g->n; i++) {
			const char *labels[] = {g->v[i].name, NULL};

			metric_sample(b, def, labels, sum_of_shards(&g->v[i], counters[k].offset));
		}
	}
}

static void
count_instances(struct revision *rev, unsigned counts[COUNT_N])
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->instances, node, tmp)
		counts[count_as(container_of(node, struct instance, node))]++;
}

static void
put_instances(struct strbuf *b, struct metric_groups *g)
{
	const struct metric_def *def = metric_groups_head(g, b, &defs[M_INSTANCES]);
	size_t i, k;

	for (i = 0; i < g->n; i++) {
		unsigned counts[COUNT_N] = {0};

		for (k = 0; k < g->v[i].n; k++)
			count_instances(g->v[i].v[k], counts);
		for (k = 0; k < COUNT_N; k++) {
			const char *labels[] = {g->v[i].name, count_names[k], NULL};

			metric_sample(b, def, labels, counts[k]);
		}
	}
}

static void
put_hists(struct strbuf *b, const struct metrics_source *s, struct metric_groups *g, int id,
	  size_t offset, unsigned number)
{
	const struct hist h = {metric_groups_head(g, b, &defs[id]), offset, NULL, number};
	size_t i;

	for (i = 0; i < g->n; i++)
		put_hist(b, s, &g->v[i], &h);
}

static void
put_phases(struct strbuf *b, const struct metrics_source *s, struct metric_groups *g)
{
	static const char *const phases[] = {
#define X(id, name) name,
		COLD_PHASES(X)
#undef X
	};
	const struct metric_def *def = metric_groups_head(g, b, &defs[M_COLD_PHASE]);
	size_t i;
	unsigned k;

	for (i = 0; i < g->n; i++)
		for (k = 0; k < COLD_PHASES_N; k++) {
			const struct hist h = {
				def, offsetof(struct shard, cold) + k * sizeof(struct metric_hist),
				phases[k], EXEMPLAR_COLD + k};

			put_hist(b, s, &g->v[i], &h);
		}
}

static void
put_revisions(struct strbuf *b, const struct metrics_source *s)
{
	struct metric_groups g;

	list_groups(&g, s);
	put_counters(b, &g);
	put_family(b, &g, M_PARKED, parked_of);
	put_family(b, &g, M_IN_FLIGHT, in_flight_of);
	put_instances(b, &g);
	put_hists(b, s, &g, M_DURATION, offsetof(struct shard, duration), EXEMPLAR_DURATION);
	put_hists(b, s, &g, M_PARKED_FOR, offsetof(struct shard, parked_for), EXEMPLAR_PARKED_FOR);
	put_phases(b, s, &g);
	metric_groups_fini(&g);
}

static void
put_upgrades(struct strbuf *b, const struct metrics_source *s)
{
	metric_head(b, &defs[M_UPGRADES]);
	put(b, M_UPGRADES, "replaced", (double)s->upgrades.replaced);
	put(b, M_UPGRADES, "failed", (double)s->upgrades.failed);
	put(b, M_UPGRADES, "refused", (double)s->upgrades.refused);
	put_one(b, M_ELDERS, (double)s->elders_n);
	put_one(b, M_ELDER_CONNECTIONS, (double)bounds_connections_elsewhere(s->bounds));
}

static void
put_audit(struct strbuf *b, const struct audit *a)
{
	struct audit_counts counts;

	audit_count(a, &counts);
	put_one(b, M_AUDIT_RECORDS, (double)counts.written);
	put_one(b, M_AUDIT_LOST, (double)counts.lost);
}

static void
put_access_log(struct strbuf *b, const struct metrics_source *s)
{
	struct access_counts counts;

	access_log_count(s->access_log, &counts);
	metric_head(b, &defs[M_ACCESS_LOG]);
	put(b, M_ACCESS_LOG, "written", (double)counts.lines);
	put(b, M_ACCESS_LOG, "left_out", (double)counts.left_out);
	put(b, M_ACCESS_LOG, "lost", (double)counts.lost);
	if (s->spans == NULL)
		return;
	access_log_count(s->spans, &counts);
	metric_head(b, &defs[M_SPANS]);
	put(b, M_SPANS, "sent", (double)counts.lines);
	put(b, M_SPANS, "lost", (double)counts.lost);
}

void
metrics_render(struct strbuf *b, const struct metrics_source *s)
{
	metric_head(b, &defs[M_INFO]);
	put(b, M_INFO, daemon_version, 1);
	put_one(b, M_WORKERS, s->workers_n);
	put_one(b, M_UPTIME, (double)(clk_now() - s->started_ns) / (double)CLK_S);
	put_one(b, M_LOG_LOST, (double)log_lost());
	put_audit(b, s->audit);
	put_one(b, M_RELOADS, (double)s->reloads.done);
	put_one(b, M_RELOAD_FAILURES, (double)s->reloads.failed);
	put_one(b, M_CONFIG_READ, (double)s->reloads.read_ns / (double)CLK_S);
	put_one(b, M_CONFIG_DIFFERS, s->reloads.is_file_other);
	put_one(b, M_LINK, s->is_link_up);
	put_one(b, M_GENERATION, (double)registry_generation(s->registry));
	put_one(b, M_PROBED, (double)prober_probed(s->prober));
	put_one(b, M_PROBES, (double)prober_probes(s->prober));
	put_access_log(b, s);
	put_upgrades(b, s);
	put_workers(b, s);
	put_one(b, M_PARKED_ALL, (double)bounds_parked(s->bounds));
	put_one(b, M_PARKED_BYTES, (double)bounds_parked_bytes(s->bounds));
	put_tls(b, s);
	put_h2_ended(b, s);
	put_upstream_ended(b, s);
	put_one(b, M_STREAM_BYTES, (double)bounds_stream_bytes(s->bounds));
	put_revisions(b, s);
}
