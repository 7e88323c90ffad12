#include "autoscaler/reconcile/scaled.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/brain/window.h"
#include "autoscaler/reconcile/peers.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/random.h"
#include "common/text.h"

/* An instance is waited for so many start-up times. */
#define START_PATIENCE 3
#define ASSUMED_START_S 10.0 /* start-up time while none was seen */
#define CLEARED_WITHIN_S 1.0 /* after a start its queue is assumed to be answered within it */
#define NEWEST_S 1	     /* the span of decide_view.newest */
/* So many starts at once are not known to slow each other down before they were tried. */
#define TRUSTED_EACH_CORE 4
#define TRUSTED_ELSEWHERE 64u

#define DRY_RETRY (5 * CLK_S) /* how long a refusal by dry_run holds after an `activate` */

void
scaled_counts_add(struct scaled_counts *into, const struct scaled_counts *from)
{
	size_t i;

	into->activations += from->activations;
	into->failures += from->failures;
	into->drains_done += from->drains_done;
	into->drains_taken_back += from->drains_taken_back;
	into->held_backs += from->held_backs;
	for (i = 0; i < ENDED_N; i++)
		into->ended[i] += from->ended[i];
	metric_hist_merge(&into->cold_starts, &from->cold_starts);
}

const char *
ended_reason_name(enum ended_reason why)
{
	static const char *const names[] = {
		[ENDED_SCALE_DOWN] = "scale_down",     [ENDED_REPLACED] = "replaced",
		[ENDED_MAX_LIFETIME] = "max_lifetime", [ENDED_MAX_REQUESTS] = "max_requests",
		[ENDED_BY_ITSELF] = "by_itself",
	};

	CHECK(why < ENDED_N);
	return names[why];
}

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
	rev->load = &rev->own_load;
	rev->starts_trusted = TRUSTED_ELSEWHERE;
	hold_init(&rev->hold);
	instances_init(&rev->instances);
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
	rev->conf = conf; /* the old one is not valid any more */
	brain_set_conf(rev->brain, conf);
	rev->hold.is_on &= conf->launch.foreign_scale == FOREIGN_RESPECT;
	rev->dryrun.is_begun &= conf->scaling.dry_run;
	if (rev->dry_until_ns != 0 && !conf->scaling.dry_run) {
		rev->dry_until_ns = 0;
		rev->is_changed = true;
	}
}

/* --- starts --- */

static void
count_starting(struct scaled_revision *rev, int64_t now_ns)
{
	uint32_t n = 0;
	size_t i;

	if (!rev->is_external)
		n = instances_live(&rev->instances) - instances_ready(&rev->instances);
	starts_load_add(rev->load, (int64_t)n - rev->load_part, now_ns);
	rev->load_part = n;
	for (i = 0; i < rev->instances.n; i++) {
		struct scaled_instance *at = &rev->instances.v[i];

		if (at->starts_mark_s < 0 && at->seen_ns == now_ns && !at->is_timed)
			at->starts_mark_s = starts_load_integral_s(rev->load, now_ns);
	}
}

static void
learn_start(struct scaled_revision *rev, const struct scaled_instance *i, int64_t took_ns,
	    int64_t now_ns)
{
	double seen_s = (double)(now_ns - i->seen_ns) / CLK_S;

	if (i->starts_mark_s < 0 || seen_s <= 0)
		return;
	starts_add(&rev->starts,
		   MAX((starts_load_integral_s(rev->load, now_ns) - i->starts_mark_s) / seen_s, 1),
		   (double)took_ns / CLK_S);
}

void
scaled_start_on(struct scaled_revision *rev, struct starts_load *load, double cores, int64_t now_ns)
{
	struct starts_load *to = load == NULL ? &rev->own_load : load;
	size_t i;

	rev->starts_trusted = load == NULL ? TRUSTED_ELSEWHERE
					   : (uint32_t)MAX(TRUSTED_EACH_CORE * cores, 1);
	if (to == rev->load)
		return;
	starts_load_add(rev->load, -(int64_t)rev->load_part, now_ns);
	starts_load_add(to, rev->load_part, now_ns);
	rev->load = to;
	for (i = 0; i < rev->instances.n; i++) /* their marks are of the other load */
		rev->instances.v[i].starts_mark_s = -1;
}

/* --- the driver's view --- */

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
	CHECK(list_empty(&rev->drains) && !list_linked(&rev->active) &&
	      !list_linked(&rev->marked) && !list_linked(&rev->planning));
	starts_load_add(rev->load, -(int64_t)rev->load_part, clk_now());
	decide_state_free(&rev->decide);
	brain_free(&rev->brain);
	why_fini(&rev->why);
	failure_free(&rev->failure);
	hold_fini(&rev->hold);
	free(rev->held_back);
	scale_audit_fini(&rev->audit);
	instances_fini(&rev->instances);
	window_free(&rev->window);
	reports_fini(&rev->reports);
	free(rev->name);
	free(rev);
}

static void
take_failure(struct scaled_revision *rev, const struct msg_failure *f, int64_t now_ns)
{
	if (f != NULL && (rev->failure == NULL || rev->failure->is_parking != f->is_parking))
		rev->counts.failures++;
	failure_free(&rev->failure);
	if (f == NULL)
		return;
	rev->failure = xcalloc(1, sizeof *rev->failure);
	rev->failure->reason = xstrdup(f->reason);
	rev->failure->message = xstrdup(f->message);
	rev->failure->retry_after_ms = f->retry_after_ms;
	rev->failure->is_parking = f->is_parking;
	rev->failure->is_outage = f->is_outage;
	rev->failed_ns = now_ns;
}

bool
scaled_shows(const struct scaled_revision *rev, const struct driver_view *view)
{
	/* A failure always makes a difference: its time to retry has moved on. */
	return rev->is_known == view->is_known && rev->failure == NULL && view->failure == NULL &&
	       rev->overruled_n == view->overruled_n && rev->hold.is_current == view->is_held &&
	       rev->scale == view->scale &&
	       (!view->is_held || text_equal(rev->hold.by, view->held_by)) &&
	       instances_are(&rev->instances, view->v, view->n);
}

static void
log_scaled(const struct scaled_revision *rev, uint32_t from, uint32_t to)
{
	const char *rule = decide_rule_name(rev->sent_rule);

	if (to == 0)
		log_info(NULL, "scaled to zero", "revision=%s from=%u rule=%s", scaled_name(rev),
			 from, rule);
	else
		log_info(NULL, "scaled", "revision=%s from=%u to=%u rule=%s", scaled_name(rev),
			 from, to, rule);
}

/* If the platform stores the scale, it has set the number that the driver was asked for only when
 * it shows that number. */
static void
take_scale(struct scaled_revision *rev, const struct driver_view *view, int64_t now_ns)
{
	if (view->has_scale && rev->has_scale && rev->is_adopted && !view->is_held &&
	    view->scale != rev->scale && view->scale == rev->scale_sent)
		log_scaled(rev, rev->scale, view->scale);
	rev->has_scale = view->has_scale;
	rev->scale = view->scale;
	if (view->overruled_n > rev->overruled_n && rev->is_adopted)
		scale_audit_overruled(rev, view->held_by, view->overruled_scale);
	rev->overruled_n = view->overruled_n;
	hold_take(&rev->hold, view->is_held, view->scale, view->held_by, now_ns, random_u32());
}

/* Instances that are gone without having been stopped have ended by themselves. */
static void
count_ended(struct scaled_revision *rev, const struct driver_view *view)
{
	const struct instances *in = &rev->instances;
	size_t i, j, at = 0;

	for (i = 0; i < in->n; i++) {
		if (in->v[i].state == INSTANCE_STOPPING || in->v[i].is_stop_sent)
			continue;
		for (j = 0; j < view->n; j++, at++) {
			at = at < view->n ? at : 0;
			if (strcmp(view->v[at].id, in->v[i].id) == 0)
				break;
		}
		rev->counts.ended[ENDED_BY_ITSELF] += j == view->n;
	}
}

static void
mark_adopted(struct scaled_revision *rev)
{
	size_t i;

	for (i = 0; i < rev->instances.n && !rev->is_adopted; i++)
		rev->instances.v[i].is_adopted = true;
}

void
scaled_take_view(struct scaled_revision *rev, const struct driver_view *view, int64_t now_ns)
{
	scaled_note_short(rev, now_ns);
	count_ended(rev, view);
	instances_take(&rev->instances, view->v, view->n, now_ns);
	mark_adopted(rev);
	count_starting(rev, now_ns);
	rev->is_known = view->is_known;
	take_scale(rev, view, now_ns);
	if (instances_ready(&rev->instances) == 0)
		timing_not_answering(&rev->timing);
	take_failure(rev, view->failure, now_ns);
}

/* --- kinds --- */

bool
scaled_is_dry(const struct scaled_revision *rev)
{
	return rev->conf->scaling.dry_run;
}

bool
scaled_is_driven(const struct scaled_revision *rev)
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
	return scaled_is_dry(rev) ? rev->dryrun.n : rev->wanted.n;
}

const char *
scaled_state_name(const struct scaled_revision *rev)
{
	if (rev->is_external)
		return instances_ready(&rev->instances) > 0 ? "awake" : "external";
	if (!rev->is_known)
		return "unknown";
	if (instances_ready(&rev->instances) > 0)
		return "awake";
	if (rev->failure != NULL && !rev->failure->is_parking)
		return "failing";
	if (instances_live(&rev->instances) > 0 || rev->scale_sent > 0)
		return "starting";
	return rev->instances.n > 0 ? "stopping" : "asleep";
}

const char *
scaled_holder(const struct scaled_revision *rev)
{
	return hold_holder(&rev->hold);
}

int64_t
scaled_time_start(struct scaled_revision *rev, struct scaled_instance *i, int64_t now_ns)
{
	int64_t took;

	if (!instances_is_ready(i))
		return -1;
	count_starting(rev, now_ns);
	timing_answering(&rev->timing, now_ns);
	if (i->is_timed)
		return -1;
	i->is_timed = true;
	if (i->started_ns == 0)
		return 0;
	took = MAX(now_ns - i->started_ns, 1);
	timing_started(&rev->timing, took);
	learn_start(rev, i, took, now_ns);
	metric_hist_add(&rev->counts.cold_starts, took);
	return took;
}

/* --- reports --- */

/* The response time of a report, without the time that requests waited for one another.  They do
 * so when more are in flight than the instances are meant to carry; but the requests that were
 * completed cannot have taken more than the capacity that there was: instances x requests at
 * once x period. */
static double
latency_in(const struct scaled_revision *rev, const struct msg_stat *s, int64_t period_ns)
{
	double total = decide_total(&rev->conf->scaling, rev->conf->limits.container_concurrency,
				    0);
	double capacity_s = total * MAX(instances_ready(&rev->instances), 1u) * (double)period_ns /
			    CLK_S;

	if (rev->conf->scaling.metric == METRIC_RPS || period_ns == 0)
		return s->latency_ms / 1000;
	return MIN(s->latency_ms / 1000, capacity_s / (double)s->completed);
}

/* Do requests wait for instances that were asked for and do not answer yet?  One that takes much
 * longer than usual may never answer: it is not waited for. */
static bool
is_short(const struct scaled_revision *rev, int64_t now_ns)
{
	uint32_t ready = instances_ready(&rev->instances);
	double start_s = timing_start_s(&rev->timing);
	double patience_s = START_PATIENCE * (start_s < 0 ? ASSUMED_START_S : start_s);

	if (ready == 0)
		return true;
	return ready < rev->scale_sent && (double)(now_ns - rev->raised_ns) < patience_s * CLK_S;
}

/* More instances are about to be asked for. */
static void
note_raise(struct scaled_revision *rev, int64_t now_ns)
{
	if (instances_ready(&rev->instances) == 0)
		rev->short_demand = 0;
	else if (!is_short(rev, now_ns))
		rev->short_demand = scaled_demand_now(rev);
	rev->raised_ns = now_ns;
	hold_raised(&rev->hold);
}

void
scaled_note_short(struct scaled_revision *rev, int64_t now_ns)
{
	if (!is_short(rev, now_ns))
		return;
	rev->short_ns = now_ns;
	rev->is_clearing = true;
}

/* Instances have started: are the requests that waited for them still being answered?  decide()
 * asks for so many instances that this takes about half of a start-up time. */
static bool
is_clearing(const struct scaled_revision *rev, int64_t now_ns)
{
	double clear_s = MIN(timing_start_s(&rev->timing) / 2, CLEARED_WITHIN_S);

	return rev->is_clearing && (double)(now_ns - rev->short_ns) < MAX(clear_s, 0) * CLK_S;
}

uint32_t
scaled_demand_now(const struct scaled_revision *rev)
{
	return reports_parked(&rev->reports) + reports_in_flight(&rev->reports);
}

/* The concurrency of a report, in flight and parked.  Parked requests are demand: with a hard
 * limit, clients that wait for their answers send no more than is answered, and only the queue
 * shows how much more instances would get.  But a request that waits for an instance to start is
 * no load on an instance.  So while instances are short, and while the requests that waited for
 * them are answered, the queue counts for no more than it was when the instances were asked for;
 * with none ready, for no more than the requests that arrived would take (Little's law).  Parked
 * requests beyond that count as backlog (decide.c). */
static double
load_concurrency(const struct scaled_revision *rev, const struct msg_stat *s, int64_t period_ns,
		 int64_t now_ns)
{
	double latency_s = MAX(timing_latency_s(&rev->timing), 0);
	double load = (double)s->requests * latency_s / ((double)period_ns / CLK_S);
	double part = (double)(s->parked + s->in_flight) / MAX(scaled_demand_now(rev), 1u);

	if (rev->short_ns < now_ns - period_ns && !is_clearing(rev, now_ns))
		return s->concurrency;
	load = MAX(load, rev->short_demand * part);
	return MIN(s->concurrency, MAX(s->concurrency - s->waiting, load));
}

void
scaled_report(struct scaled_revision *rev, const struct msg_stat *s, int64_t period_ns,
	      int64_t now_ns)
{
	bool is_waiting = period_ns > 0 && s->in_flight > 0 && s->completed == 0;

	scaled_note_short(rev, now_ns);
	brain_report(rev->brain, s, period_ns, now_ns);
	rev->dryrun.was_used |= s->requests > 0;
	if (s->completed > 0)
		timing_completed(&rev->timing, latency_in(rev, s, period_ns), s->completed);
	timing_outstanding(&rev->timing, scaled_demand_now(rev), is_waiting, now_ns);
	if (period_ns > 0)
		window_add(rev->window, now_ns, period_ns,
			   load_concurrency(rev, s, period_ns, now_ns), (double)s->requests);
	rev->is_clearing = is_clearing(rev, now_ns) && reports_parked(&rev->reports) > 0;
}

/* --- each second --- */

void
scaled_tick(struct scaled_revision *rev, const struct scaled_machine *m, int64_t now_ns)
{
	struct brain_facts f = {.ready = instances_ready(&rev->instances),
				.reporters = m->activators,
				.machine_cores = m->cores,
				.machine_used = m->used_cores,
				.machine_memory = m->memory_bytes,
				.start_s = timing_start_s(&rev->timing)};

	instances_measure_cpu(&rev->instances, now_ns);
	f.cpu_cores = rev->instances.cpu_cores;
	f.memory_bytes = instances_memory_bytes(&rev->instances);
	brain_tick(rev->brain, &f, now_ns);
	if (rev->dryrun.is_begun)
		dryrun_count(&rev->dryrun, instances_live(&rev->instances), now_ns);
}

/* --- what decide() sees --- */

/* With max_requests: while an instance starts in place of one that has ended, it takes no requests.
 * By Little's law so many do so at any time. */
static double
renewals(const struct scaled_revision *rev, double rps)
{
	double start_s = MAX(timing_start_s(&rev->timing), 0);
	uint32_t most = rev->conf->limits.max_requests;

	return most == 0 ? 0 : rps / most * start_s * 100 / rev->conf->scaling.target_utilization;
}

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
	struct window_mean newest = window_mean(rev->window, now_ns, NEWEST_S, WINDOW_LINEAR);

	view->has_stable = stable.is_known;
	view->has_panic = panic.is_known;
	view->stable = s->metric == METRIC_RPS ? stable.rps : stable.concurrency;
	view->panic = s->metric == METRIC_RPS ? panic.rps : panic.concurrency;
	view->newest = s->metric == METRIC_RPS ? newest.rps : newest.concurrency;
	view->renewals = renewals(rev, stable.rps);
	view->panic_renewals = renewals(rev, panic.rps);
}

/* How long from now on an instance is kept because requests have waited for it.  Requests that
 * waited count as activity until the instance is ready, even if they have timed out: else a
 * start that takes longer than activation_timeout would be stopped before any client could come
 * back for it; what was learned makes this longer, never shorter.  A start that takes longer than
 * start_timeout counts no more. */
static double
awaited_s(const struct scaled_revision *rev, double learned_keep_s, int64_t now_ns)
{
	const struct scaling *s = &rev->conf->scaling;
	int64_t timeout = rev->conf->launch.start_timeout;
	double keep_s = (double)MAX(s->stable_window, s->scale_to_zero_grace) / CLK_S;

	keep_s = MAX(keep_s, learned_keep_s);
	if (rev->is_woken && (timeout == 0 || now_ns - rev->woken_ns < timeout))
		return keep_s;
	if (rev->is_woken || rev->awaited_ns == 0)
		return 0;
	/* It was used since it was ready: what was learned says how long it stays. */
	if (learned_keep_s >= 0 && window_idle_ns(rev->window, now_ns) < now_ns - rev->awaited_ns)
		return 0;
	return MAX(keep_s - (double)(now_ns - rev->awaited_ns) / CLK_S, 0);
}

void
scaled_fill_view(const struct scaled_revision *rev, struct decide_view *view, bool has_just_started,
		 int64_t now_ns)
{
	*view = (struct decide_view){
		.ready = instances_usable(&rev->instances, true),
		.starting = instances_usable(&rev->instances, false),
		.scale = scaled_scale(rev),
		.is_held = rev->hold.is_on,
		.held = rev->hold.is_on ? rev->hold.n : 0,
		.is_replacing = rev->has_scale || rev->conf->limits.max_requests > 0,
		.parked = reports_parked(&rev->reports),
		.in_flight = reports_in_flight(&rev->reports),
		.container_concurrency = rev->conf->limits.container_concurrency,
		.idle_s = (double)window_idle_ns(rev->window, now_ns) / CLK_S,
		.arrivals = reports_arrivals(&rev->reports),
		.steady_arrivals = reports_steady_arrivals(&rev->reports),
		.latency_s = timing_latency_s(&rev->timing),
		.waited_s = reports_in_flight(&rev->reports) == 0 ? 0
								  : timing_waited_s(&rev->timing),
		.start_s = timing_start_s(&rev->timing),
		.starts = starts_model(&rev->starts),
		.starts_trusted = rev->starts_trusted,
		.starting_elsewhere = rev->load->n - rev->load_part,
		.busy_lease_s = instances_lease_s(&rev->instances, &rev->reports, now_ns),
		.has_just_started = has_just_started,
		.adopted = rev->adopted,
	};
	view->is_activation_pending = reports_activation_pending(&rev->reports) && view->ready == 0;
	fill_averages(rev, view, now_ns);
	brain_fill(rev->brain, view, now_ns, clk_wall());
	view->awaited_s = awaited_s(rev, view->learned_keep_s, now_ns);
	if (rev->dryrun.is_begun)
		dryrun_fill(&rev->dryrun, view, now_ns);
}

/* --- what is wanted of it, and asked for --- */

void
scaled_expire_hold(struct scaled_revision *rev, int64_t now_ns)
{
	int64_t used_ns = now_ns - window_idle_ns(rev->window, now_ns);

	if (hold_expire(&rev->hold, rev->conf->launch.foreign_hold, used_ns, now_ns))
		log_info(NULL, "scale of another client is respected no longer",
			 "revision=%s scale=%u by=%s foreign_hold_s=%lld", scaled_name(rev),
			 rev->hold.n, rev->hold.by == NULL ? "unknown" : rev->hold.by,
			 (long long)(rev->conf->launch.foreign_hold / CLK_S));
}

void
scaled_wake(struct scaled_revision *rev, int64_t now_ns)
{
	rev->is_asleep = false;
	rev->wake_ns = now_ns;
}

void
scaled_sleep(struct scaled_revision *rev)
{
	rev->wake_ns = 0;
	rev->is_asleep = true;
}

/* What was woken stays as long as after requests have waited for it. */
void
scaled_expire_request(struct scaled_revision *rev, int64_t now_ns)
{
	int64_t timeout = rev->conf->launch.start_timeout;
	bool has_failed = rev->failure != NULL && !rev->failure->is_parking &&
			  rev->failed_ns > rev->wake_ns;

	if (rev->is_asleep &&
	    (scaled_demand_now(rev) > 0 || reports_activation_pending(&rev->reports)))
		rev->is_asleep = false;
	if (rev->wake_ns == 0)
		return;
	if (instances_ready(&rev->instances) > 0) {
		rev->wake_ns = 0;
		rev->awaited_ns = now_ns;
		window_touch(rev->window, now_ns);
	} else if (has_failed || (timeout > 0 && now_ns - rev->wake_ns >= timeout)) {
		rev->wake_ns = 0;
	}
}

static struct wanted_facts
wanted_facts(const struct scaled_revision *rev, const struct peers *peers, int64_t now_ns)
{
	const struct scaling *s = &rev->conf->scaling;
	bool is_dry = scaled_is_dry(rev);
	bool is_waited_for = rev->view.parked > 0 || reports_activation_pending(&rev->reports);

	return (struct wanted_facts){
		.scaling = s,
		.view = &rev->view,
		.has = is_dry ? rev->dryrun.n : scaled_scale(rev),
		.is_leaving = rev->is_leaving,
		.is_activation_pending = reports_activation_pending(&rev->reports),
		.is_woken = rev->wake_ns != 0,
		.warm = rev->warm,
		.is_asleep = rev->is_asleep,
		.is_heard = peers_all_heard(peers, s->stable_window, now_ns),
		.is_dry = is_dry,
		.is_held = rev->hold.is_on && !is_dry,
		.is_held_low = rev->hold.is_current &&
			       !(is_waited_for && hold_may_raise(&rev->hold, now_ns)),
		.held = rev->hold.n,
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
	uint32_t net = scaled_scale(rev); /* without the surge */
	/* It is asked for more only as instances are replaced. */
	bool is_refill = n > before && rev->wanted.n <= net;

	if (n > before && !is_refill)
		note_raise(rev, clk_now());
	if (n < net || (n > before && !is_refill))
		scale_audit_decided(rev, net, n < net ? n : MIN(n, rev->wanted.n));
	rev->scale_sent = n;
	rev->sent_rule = rev->wanted.rule;
	rev->driver->class->set_scale(rev->driver, scaled_name(rev), n, victims, victims_n);
	if (is_refill)
		log_debug(NULL, "scaled to replace instances", "revision=%s from=%u to=%u",
			  scaled_name(rev), before, n);
	else if (!rev->has_scale)
		log_scaled(rev, before, n);
}

uint32_t
scaled_scale(const struct scaled_revision *rev)
{
	return (uint32_t)MAX((int64_t)rev->scale_sent - rev->scale_extra, 0);
}

void
scaled_end(struct scaled_revision *rev, const char *const *ids, size_t n, uint32_t less)
{
	less = MIN(less, rev->scale_sent);
	rev->ended_ns = clk_now();
	rev->scale_sent -= less;
	rev->scale_extra -= (int32_t)less;
	rev->driver->class->set_scale(rev->driver, scaled_name(rev), rev->scale_sent, ids, n);
	log_debug(NULL, "instances end, to be replaced", "revision=%s instances=%zu first=%s",
		  scaled_name(rev), n, ids[0]);
}

bool
scaled_is_active(const struct scaled_revision *rev)
{
	if (rev->is_external && !scaled_is_dry(rev))
		return !list_empty(&rev->reports.all);
	return scaled_is_dry(rev) || rev->wanted.claim > 0 || rev->wanted.n > 0 ||
	       rev->scale_sent > 0 || rev->instances.n > 0 || !list_empty(&rev->drains) ||
	       !list_empty(&rev->reports.all) || rev->conf->scaling.min_scale > 0 ||
	       rev->conf->schedules_n > 0 || rev->wake_ns != 0 || rev->warm > 0 ||
	       rev->conf->scaling.keep_warm == KEEP_WARM_LEARNED;
}
