#include "autoscaler/reconcile/scaled.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/brain/window.h"
#include "autoscaler/reconcile/drain.h"
#include "autoscaler/reconcile/peers.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/text.h"

#define CPU_SPAN (5 * CLK_S) /* over which the use of processors is measured, at least */
#define DRY_RETRY (5 * CLK_S)

const char *
scaled_name(const struct scaled_revision *rev)
{
	return rev->name;
}

static unsigned
span_s(const struct revision_conf *conf)
{
	return (unsigned)MAX((conf->scaling.stable_window + CLK_S - 1) / CLK_S, 1);
}

struct scaled_revision *
scaled_new(const struct revision_conf *conf, struct driver *driver, bool is_external)
{
	struct scaled_revision *rev = xcalloc(1, sizeof *rev);

	rev->name = xstrdup(conf->full_name);
	rev->conf = conf;
	rev->driver = driver;
	rev->is_external = is_external;
	rev->window_s = span_s(conf);
	rev->window = window_new(rev->window_s);
	rev->decide = decide_state_new();
	rev->brain = brain_new(conf);
	rev->cpu_cores = -1;
	reports_init(&rev->reports);
	list_init(&rev->drains);
	return rev;
}

void
scaled_reload(struct scaled_revision *rev, const struct revision_conf *conf)
{
	if (span_s(conf) != rev->window_s) {
		rev->window_s = span_s(conf);
		window_resize(rev->window, rev->window_s);
	}
	rev->conf = conf; /* the old one may be gone already */
	brain_set_conf(rev->brain, conf);
	rev->dryrun.is_begun &= conf->scaling.dry_run;
}

/* --- the driver's view --- */

static void
instances_free(struct scaled_instance *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(v[i].id);
		free(v[i].address);
		free(v[i].probe);
	}
	free(v);
}

static void
failure_free(struct msg_failure **fp)
{
	struct msg_failure *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	free(f->reason);
	free(f->message);
	free(f);
}

void
scaled_free(struct scaled_revision **rp)
{
	struct scaled_revision *rev = *rp;

	*rp = NULL;
	if (rev == NULL)
		return;
	CHECK(list_empty(&rev->drains) && !list_linked(&rev->active) && !list_linked(&rev->marked));
	decide_state_free(&rev->decide);
	brain_free(&rev->brain);
	why_fini(&rev->why);
	failure_free(&rev->failure);
	free(rev->held_back);
	instances_free(rev->v, rev->n);
	window_free(&rev->window);
	reports_fini(&rev->reports);
	free(rev->name);
	free(rev);
}

static void
take_instance(struct scaled_instance *to, const struct driver_instance *from,
	      const struct scaled_instance *before, int64_t now_ns)
{
	*to = (struct scaled_instance){.id = xstrdup(from->id),
				       .address = text_copy(from->address),
				       .probe = text_copy(from->probe),
				       .port = from->port,
				       .state = from->state,
				       .seen_ns = before != NULL ? before->seen_ns : now_ns,
				       /* ready when first seen: who knows since when */
				       .is_timed = from->state == INSTANCE_READY,
				       .started_ns = from->started_ns,
				       .goes_first = from->goes_first,
				       .cpu_s = from->cpu_s,
				       .cpu_mark_s = -1,
				       .memory_bytes = from->memory_bytes};
	if (before != NULL) {
		to->is_answering = before->is_answering;
		to->is_timed = before->is_timed;
		to->cpu_mark_s = before->cpu_mark_s;
		to->busy_until_ns = before->busy_until_ns;
	}
}

static void
take_failure(struct scaled_revision *rev, const struct msg_failure *f, int64_t now_ns)
{
	if (f != NULL && rev->failure == NULL)
		rev->failures++;
	failure_free(&rev->failure);
	if (f == NULL)
		return;
	rev->failure = xcalloc(1, sizeof *rev->failure);
	rev->failure->reason = xstrdup(f->reason);
	rev->failure->message = xstrdup(f->message);
	rev->failure->retry_after_ms = f->retry_after_ms;
	rev->failed_ns = now_ns;
}

static bool
is_same_instance(const struct scaled_instance *a, const struct driver_instance *b)
{
	return strcmp(a->id, b->id) == 0 && a->state == b->state && a->port == b->port &&
	       text_equal(a->address, b->address) && text_equal(a->probe, b->probe);
}

bool
scaled_shows(const struct scaled_revision *rev, const struct driver_view *view)
{
	size_t i;

	/* A failure's time to retry has moved on in any case. */
	if (rev->is_known != view->is_known || rev->n != view->n || rev->failure != NULL ||
	    view->failure != NULL || rev->is_held != view->is_held ||
	    (view->is_held && rev->scale != view->scale))
		return false;
	for (i = 0; i < rev->n; i++)
		if (!is_same_instance(&rev->v[i], &view->v[i]))
			return false;
	return true;
}

void
scaled_take_view(struct scaled_revision *rev, const struct driver_view *view, int64_t now_ns)
{
	struct scaled_instance *v = view->n == 0 ? NULL : xcalloc(view->n, sizeof *v);
	size_t i, at = 0;

	for (i = 0; i < view->n; i++)
		take_instance(&v[i], &view->v[i], scaled_find_from(rev, &at, view->v[i].id),
			      now_ns);
	instances_free(rev->v, rev->n);
	rev->v = v;
	rev->n = view->n;
	rev->is_known = view->is_known;
	rev->has_scale = view->has_scale;
	rev->scale = view->scale;
	rev->is_used_in_hold &= rev->is_held && view->is_held;
	rev->is_held = view->is_held;
	if (scaled_ready(rev) == 0)
		timing_not_answering(&rev->timing);
	take_failure(rev, view->failure, now_ns);
}

struct scaled_instance *
scaled_find(const struct scaled_revision *rev, const char *id)
{
	size_t at = 0;

	return scaled_find_from(rev, &at, id);
}

struct scaled_instance *
scaled_find_from(const struct scaled_revision *rev, size_t *at, const char *id)
{
	size_t i, n;

	for (n = 0, i = *at; n < rev->n; n++, i++) {
		i = i < rev->n ? i : 0;
		if (strcmp(rev->v[i].id, id) != 0)
			continue;
		*at = i + 1;
		return &rev->v[i];
	}
	return NULL;
}

bool
scaled_is_ready(const struct scaled_instance *i)
{
	return i->state == INSTANCE_READY || (i->state == INSTANCE_STARTING && i->is_answering);
}

uint32_t
scaled_ready(const struct scaled_revision *rev)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < rev->n; i++)
		n += scaled_is_ready(&rev->v[i]);
	return n;
}

uint32_t
scaled_live(const struct scaled_revision *rev)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < rev->n; i++)
		n += rev->v[i].state != INSTANCE_STOPPING;
	return n;
}

uint32_t
scaled_starting(const struct scaled_revision *rev)
{
	return scaled_live(rev) - scaled_ready(rev);
}

bool
scaled_is_dry(const struct scaled_revision *rev)
{
	return rev->conf->scaling.dry_run;
}

bool
scaled_is_ours(const struct scaled_revision *rev)
{
	return rev->is_known && !rev->is_external && !scaled_is_dry(rev);
}

bool
scaled_is_decided(const struct scaled_revision *rev)
{
	return !rev->is_external || scaled_is_dry(rev);
}

void
scaled_refuse_dry(struct scaled_revision *rev, int64_t now_ns)
{
	if (!scaled_is_dry(rev) || rev->is_external)
		return;
	rev->dry_until_ns = now_ns + DRY_RETRY;
	rev->is_changed = true;
}

uint32_t
scaled_wanted(const struct scaled_revision *rev)
{
	return scaled_is_dry(rev) ? rev->dryrun.has : rev->wanted.n;
}

int64_t
scaled_time_start(struct scaled_revision *rev, struct scaled_instance *i, int64_t now_ns)
{
	int64_t took;

	if (!scaled_is_ready(i))
		return -1;
	timing_answering(&rev->timing, now_ns);
	if (i->is_timed)
		return -1;
	i->is_timed = true;
	if (i->started_ns == 0)
		return 0;
	took = MAX(now_ns - i->started_ns, 1);
	timing_started(&rev->timing, took);
	metric_hist_add(&rev->cold_starts, took);
	return took;
}

/* --- reports --- */

/* What a request takes of an instance.  Where more were in flight than the instances are
 * meant to carry, they have waited for one another: no request can have taken more than
 * there was of the instances for each. */
static double
latency_in(const struct scaled_revision *rev, const struct msg_stat *s, int64_t period_ns)
{
	double total = decide_total(&rev->conf->scaling, rev->conf->limits.container_concurrency,
				    0);
	double room_s = total * MAX(scaled_ready(rev), 1u) * (double)period_ns / CLK_S;

	if (rev->conf->scaling.metric == METRIC_RPS || period_ns == 0)
		return s->latency_ms / 1000;
	return MIN(s->latency_ms / 1000, room_s / (double)s->completed);
}

/* Concurrency as it would be with instances enough.  To wait for a start is no work for an
 * instance: what is parked counts for no more than the requests that came would take
 * (Little's law), and is the backlog's business else. */
static double
unparked_concurrency(const struct scaled_revision *rev, const struct msg_stat *s, int64_t period_ns)
{
	double latency_s = MAX(timing_latency_s(&rev->timing), 0);
	double load = (double)s->requests * latency_s / ((double)period_ns / CLK_S);

	return MIN(s->concurrency, MAX(s->concurrency - s->waiting, load));
}

uint32_t
scaled_demand_now(const struct scaled_revision *rev)
{
	return reports_parked(&rev->reports) + reports_in_flight(&rev->reports);
}

void
scaled_report(struct scaled_revision *rev, const struct msg_stat *s, int64_t period_ns,
	      int64_t now_ns)
{
	bool is_waiting = period_ns > 0 && s->in_flight > 0 && s->completed == 0;

	brain_report(rev->brain, s, period_ns);
	rev->dryrun.was_asked |= s->requests > 0;
	if (s->completed > 0)
		timing_completed(&rev->timing, latency_in(rev, s, period_ns), s->completed);
	timing_outstanding(&rev->timing, scaled_demand_now(rev), is_waiting, now_ns);
	if (period_ns > 0)
		window_add(rev->window, now_ns, period_ns, unparked_concurrency(rev, s, period_ns),
			   (double)s->requests);
}

/* --- each second --- */

/* Is it known what it has used since all were looked at last?  Of one that was there long
 * before then, and was not looked at (it was adopted), only what it has used in its life. */
static bool
is_measured(const struct scaled_instance *at, int64_t marked_ns)
{
	return at->cpu_s >= 0 && (at->cpu_mark_s >= 0 || at->started_ns >= marked_ns - CPU_SPAN);
}

/* Processors in use, on average since they were looked at last. */
static void
measure_cpu(struct scaled_revision *rev, int64_t now_ns)
{
	double used_s = 0, passed_s = (double)(now_ns - rev->cpu_marked_ns) / CLK_S;
	bool is_known = rev->cpu_marked_ns != 0 && rev->n > 0;
	size_t i;

	if (now_ns - rev->cpu_marked_ns < CPU_SPAN)
		return;
	for (i = 0; i < rev->n; i++) {
		struct scaled_instance *at = &rev->v[i];

		is_known &= is_measured(at, rev->cpu_marked_ns);
		used_s += MAX(at->cpu_s - MAX(at->cpu_mark_s, 0), 0);
		at->cpu_mark_s = at->cpu_s;
	}
	rev->cpu_cores = is_known ? used_s / passed_s : -1;
	rev->cpu_marked_ns = now_ns;
}

void
scaled_tick(struct scaled_revision *rev, const struct scaled_machine *m, int64_t now_ns)
{
	struct brain_facts f = {.ready = scaled_ready(rev),
				.reporters = m->activators,
				.machine_cores = m->cores,
				.machine_used = m->used_cores,
				.machine_memory = m->memory_bytes};
	size_t i;

	measure_cpu(rev, now_ns);
	f.cpu_cores = rev->cpu_cores;
	for (i = 0; i < rev->n; i++)
		f.memory_bytes += (double)rev->v[i].memory_bytes;
	brain_tick(rev->brain, &f, now_ns);
	if (rev->dryrun.is_begun)
		dryrun_count(&rev->dryrun, scaled_live(rev), now_ns);
}

/* --- busy leases --- */

void
scaled_keep_leases(struct scaled_revision *rev, uint64_t peer)
{
	size_t i;

	for (i = 0; i < rev->n; i++) {
		struct scaled_instance *at = &rev->v[i];
		int64_t until = reports_lease_ns(&rev->reports, peer, at->id);

		at->busy_until_ns = MAX(at->busy_until_ns, until);
	}
}

bool
scaled_is_leased(const struct scaled_revision *rev, const struct scaled_instance *i, int64_t now_ns)
{
	return MAX(reports_lease_ns(&rev->reports, 0, i->id), i->busy_until_ns) > now_ns;
}

/* Seconds that are left of the longest lease. */
static double
busy_lease_s(const struct scaled_revision *rev, int64_t now_ns)
{
	double longest = reports_busy_s(&rev->reports, now_ns);
	size_t i;

	for (i = 0; i < rev->n; i++)
		longest = MAX(longest, (double)(rev->v[i].busy_until_ns - now_ns) / CLK_S);
	return longest;
}

/* --- what decide() sees --- */

static void
fill_averages(const struct scaled_revision *rev, struct decide_view *view, int64_t now_ns)
{
	const struct scaling *s = &rev->conf->scaling;
	enum window_weighting by = s->aggregation == AGGREGATION_WEIGHTED_EXPONENTIAL
					   ? WINDOW_EXPONENTIAL
					   : WINDOW_LINEAR;
	unsigned stable_s = rev->window_s;
	unsigned panic_s = (unsigned)MAX(stable_s * s->panic_window_percentage / 100, 1);
	struct window_mean stable = window_mean(rev->window, now_ns, stable_s, by);
	struct window_mean panic = window_mean(rev->window, now_ns, panic_s, by);

	view->has_stable = stable.is_known;
	view->has_panic = panic.is_known;
	view->stable = s->metric == METRIC_RPS ? stable.rps : stable.concurrency;
	view->panic = s->metric == METRIC_RPS ? panic.rps : panic.concurrency;
}

void
scaled_fill_view(const struct scaled_revision *rev, struct decide_view *view, bool is_restarting,
		 int64_t now_ns)
{
	*view = (struct decide_view){
		.ready = scaled_ready(rev),
		.starting = scaled_starting(rev),
		.parked = reports_parked(&rev->reports),
		.in_flight = reports_in_flight(&rev->reports),
		.container_concurrency = rev->conf->limits.container_concurrency,
		.idle_s = (double)window_idle_ns(rev->window, now_ns) / CLK_S,
		.arrivals = reports_arrivals(&rev->reports),
		.latency_s = timing_latency_s(&rev->timing),
		.waited_s = reports_in_flight(&rev->reports) == 0 ? 0
								  : timing_waited_s(&rev->timing),
		.start_s = timing_start_s(&rev->timing),
		.busy_lease_s = busy_lease_s(rev, now_ns),
		.is_restarting = is_restarting,
		.adopted = rev->adopted,
	};
	view->is_asked = reports_is_asked(&rev->reports) && view->ready == 0;
	fill_averages(rev, view, now_ns);
	brain_fill(rev->brain, view, now_ns, clk_wall());
	if (rev->dryrun.is_begun)
		dryrun_fill(&rev->dryrun, view, now_ns);
}

/* --- what is wanted of it, and asked for --- */

static struct wanted_facts
wanted_facts(const struct scaled_revision *rev, const struct peers *peers, int64_t now_ns)
{
	const struct scaling *s = &rev->conf->scaling;
	bool is_dry = scaled_is_dry(rev);

	return (struct wanted_facts){
		.scaling = s,
		.view = &rev->view,
		.has = is_dry ? rev->dryrun.has : rev->scale_sent,
		.is_leaving = rev->is_leaving,
		.is_asked = reports_is_asked(&rev->reports),
		.is_heard = peers_all_heard(peers, s->stable_window, now_ns),
		.is_dry = is_dry,
	};
}

uint32_t
scaled_claim(struct scaled_revision *rev, const struct peers *peers, int64_t now_ns)
{
	const struct wanted_facts f = wanted_facts(rev, peers, now_ns);

	return wanted_claim(&rev->wanted, &rev->decided, &f);
}

bool
scaled_allot(struct scaled_revision *rev, uint32_t allotted, const struct peers *peers,
	     int64_t now_ns)
{
	const struct wanted_facts f = wanted_facts(rev, peers, now_ns);

	if (!wanted_allot(&rev->wanted, allotted, &f))
		return false;
	rev->is_changed = true;
	return true;
}

void
scaled_send_scale(struct scaled_revision *rev, uint32_t n, const char *const *victims,
		  size_t victims_n)
{
	uint32_t before = rev->scale_sent;
	const char *rule = decide_rule_name(rev->wanted.rule);

	rev->scale_sent = n;
	rev->driver->class->set_scale(rev->driver, scaled_name(rev), n, victims, victims_n);
	if (n == 0)
		log_info(NULL, "scaled to zero", "revision=%s from=%u rule=%s", scaled_name(rev),
			 before, rule);
	else
		log_info(NULL, "scaled", "revision=%s from=%u to=%u rule=%s", scaled_name(rev),
			 before, n, rule);
}

bool
scaled_is_active(const struct scaled_revision *rev)
{
	if (rev->is_external && !scaled_is_dry(rev))
		return !list_empty(&rev->reports.all);
	return scaled_is_dry(rev) || rev->wanted.claim > 0 || rev->wanted.n > 0 ||
	       rev->scale_sent > 0 || rev->n > 0 || !list_empty(&rev->drains) ||
	       !list_empty(&rev->reports.all) || rev->conf->scaling.min_scale > 0 ||
	       rev->conf->schedules_n > 0 || rev->conf->scaling.keep_warm == KEEP_WARM_LEARNED;
}

/* --- what activators are told --- */

/* An instance that is being drained gets nothing new, as if it were stopping. */
static bool
is_draining(struct scaled_revision *rev, const char *id)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->drains, node, tmp) {
		const char *instance = container_of(node, struct drain_request, node)->instance;

		if (instance != NULL && strcmp(instance, id) == 0)
			return true;
	}
	return false;
}

/* Why nothing is started although no driver has failed, or NULL. */
static struct msg_failure *
refusal(struct scaled_revision *rev, int64_t now_ns)
{
	static char dry_run[] = "dry_run", max_instances[] = "max_instances";
	static char message[] = "dry_run = yes: nothing is started, and no instance runs";
	struct msg_failure *f = &rev->failure_left;

	if (scaled_live(rev) > 0)
		return NULL;
	if (now_ns < rev->dry_until_ns)
		*f = (struct msg_failure){.reason = dry_run,
					  .message = message,
					  .retry_after_ms = (rev->dry_until_ns - now_ns) / CLK_MS};
	else if (rev->held_back != NULL)
		*f = (struct msg_failure){
			.reason = max_instances, .message = rev->held_back, .is_parking = true};
	else
		return NULL;
	return f;
}

static struct msg_failure *
failure_left(struct scaled_revision *rev, int64_t now_ns)
{
	int64_t passed_ms = (now_ns - rev->failed_ns) / CLK_MS;

	if (rev->failure == NULL)
		return refusal(rev, now_ns);
	rev->failure_left = *rev->failure;
	rev->failure_left.retry_after_ms = MAX(rev->failure->retry_after_ms - passed_ms, 0);
	return &rev->failure_left;
}

void
scaled_state(struct scaled_revision *rev, struct msg_instances *m, int64_t now_ns)
{
	double start_s = timing_start_s(&rev->timing);
	size_t i;

	*m = (struct msg_instances){
		.revision = rev->name,
		.wanted = rev->wanted.n,
		.target = rev->decided.total,
		.is_known = rev->is_known,
		.is_external = rev->is_external,
		.n = rev->n,
		.failure = failure_left(rev, now_ns),
		/* one that waited for days for room would make the whole
		 * message a wrong one */
		.cold_start_ms = (int64_t)MIN(MAX(start_s, 0) * 1000, (double)MSG_DELAY_MS_MAX)};
	m->v = rev->n == 0 ? NULL : xcalloc(rev->n, sizeof *m->v);
	for (i = 0; i < rev->n; i++) {
		const struct scaled_instance *from = &rev->v[i];

		m->v[i] = (struct msg_instance){
			.id = from->id,
			.address = from->address,
			.port = from->port,
			.probe = from->probe,
			.state = is_draining(rev, from->id) ? INSTANCE_STOPPING : from->state};
	}
}

void
scaled_state_fini(struct msg_instances *m)
{
	free(m->v);
	m->v = NULL;
	m->n = 0;
}
