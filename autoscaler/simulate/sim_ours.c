/* sim_ours - our own rules in a simulation: the reconciler as it is, between a modelled
 * activator (sim_activator) and a driver that scales the modelled instances (sim_fleet). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/brain/decide.h"
#include "autoscaler/reconcile/reconcile.h"
#include "autoscaler/simulate/sim_activator.h"
#include "autoscaler/simulate/sim_brain.h"
#include "autoscaler/simulate/sim_fleet.h"
#include "common/clk.h"

#define PEER 1
/* How long the autoscaler has run when the trace begins.  It makes the begin a Monday, 0:00
 * UTC, for schedules: 102 days after 1 January 1970, a Thursday. */
#define BEFORE (102 * 86400 * CLK_S)

struct ours {
	struct sim_brain brain;
	struct driver driver;
	struct revision_conf conf; /* as in the conf file, but never dry_run */
	struct reconcile *reconcile;
	struct scaled_revision *rev;
	struct sim_activator *activator;
	int64_t next_tick_ns;
	uint64_t seen; /* sim_fleet_changes() that the reconciler knows of */
};

static int64_t simulated_ns; /* the clock; there is one simulation at a time */

static int64_t
simulated(void)
{
	return simulated_ns;
}

static uint32_t
pace(const struct revision_conf *conf)
{
	double total = decide_total(&conf->scaling, conf->limits.container_concurrency, 0);

	return (uint32_t)ceil(total * conf->limits.release_burst);
}

/* --- the link --- */

static void
to_activator(uint64_t peer, const struct msg *m, void *arg)
{
	const struct ours *o = arg;

	(void)peer;
	sim_activator_receive(o->activator, m);
}

static void
to_autoscaler(const struct msg *m, void *arg)
{
	const struct ours *o = arg;

	reconcile_message(o->reconcile, PEER, m);
}

static const struct reconcile_ops reconcile_ops = {.send = to_activator};

/* --- the driver --- */

static struct ours *
ours_of_driver(struct driver *d)
{
	return container_of(d, struct ours, driver);
}

static void
set_scale(struct driver *d, const char *revision, uint32_t n, const char *const *victims,
	  size_t victims_n)
{
	(void)revision;
	sim_fleet_scale(ours_of_driver(d)->brain.fleet, n, victims, victims_n);
}

static void
instance_answers(struct driver *d, const char *id)
{
	(void)d;
	(void)id;
}

static const struct driver_class driver_class = {
	.name = "simulated", .set_scale = set_scale, .instance_answers = instance_answers};

static void
report_view(struct ours *o)
{
	struct sim_fleet *f = o->brain.fleet;
	size_t i, n = sim_fleet_n(f);
	struct driver_instance *v = xcalloc(n + 1, sizeof *v);
	struct driver_view view = {.revision = o->conf.full_name, .is_known = true, .v = v, .n = n};
	static const enum instance_state states[] = {[SIM_STARTING] = INSTANCE_STARTING,
						     [SIM_READY] = INSTANCE_READY,
						     [SIM_STOPPING] = INSTANCE_STOPPING};
	static char address[] = "127.0.0.1";

	for (i = 0; i < n; i++) {
		struct sim_instance at = *sim_fleet_at(f, i);

		v[i] = (struct driver_instance){.id = xstrdup(at.id),
						.address = address,
						.port = 1,
						.state = states[at.state],
						.started_ns = BEFORE + at.started_ns,
						.cpu_s = -1};
	}
	o->seen = sim_fleet_changes(f);
	reconcile_view(o->reconcile, &view);
	for (i = 0; i < n; i++)
		free(v[i].id);
	free(v);
}

/* --- the brain --- */

/* Pass on what reconciler, fleet and activator have for one another until nothing is left. */
static void
settle(struct ours *o)
{
	do {
		reconcile_tail(o->reconcile);
		if (sim_fleet_changes(o->brain.fleet) != o->seen)
			report_view(o);
	} while (sim_activator_answer_drain(o->activator) ||
		 sim_fleet_changes(o->brain.fleet) != o->seen);
	reconcile_tail(o->reconcile);
}

static void
step(struct sim_brain *b, int64_t now)
{
	struct ours *o = container_of(b, struct ours, brain);

	simulated_ns = BEFORE + now;
	if (sim_fleet_changes(b->fleet) != o->seen)
		report_view(o);
	sim_activator_step(o->activator, now);
	if (now >= o->next_tick_ns) {
		o->next_tick_ns += CLK_S;
		reconcile_tick(o->reconcile);
		while (reconcile_plan(o->reconcile))
			;
	}
	settle(o);
}

static int64_t
next_ns(struct sim_brain *b)
{
	struct ours *o = container_of(b, struct ours, brain);

	return MIN(sim_activator_next_ns(o->activator), o->next_tick_ns);
}

static uint32_t
wanted(struct sim_brain *b)
{
	return container_of(b, struct ours, brain)->rev->wanted.n;
}

static const char *
rule(struct sim_brain *b)
{
	return decide_rule_name(container_of(b, struct ours, brain)->rev->wanted.rule);
}

static struct sim_brain *
open_ours(const struct sim_brain *as, int64_t now)
{
	struct ours *o = xcalloc(1, sizeof *o);
	const struct reconcile_conf conf = {.max_instances = as->max_instances};
	struct reconcile_item item = {.conf = &o->conf, .driver = &o->driver};

	o->brain = *as;
	o->conf = *as->conf;
	o->conf.scaling.dry_run = false;
	o->conf.launch.drain_timeout = INT64_MAX;
	o->driver.class = &driver_class;
	o->next_tick_ns = now + CLK_S;
	o->activator = sim_activator_new(as->fleet, o->conf.full_name, to_autoscaler, o, now);
	simulated_ns = as->is_restart ? BEFORE + now : 0;
	clk_replace(simulated);
	o->reconcile = reconcile_new(&reconcile_ops, o, "simulated");
	simulated_ns = BEFORE + now;
	reconcile_set(o->reconcile, &conf, &item, 1);
	o->rev = reconcile_find(o->reconcile, o->conf.full_name);
	reconcile_peer_up(o->reconcile, PEER, "simulated", false, false);
	report_view(o);
	sim_activator_step(o->activator, now); /* as on every new link */
	settle(o);
	return &o->brain;
}

static void
close_ours(struct sim_brain *b)
{
	struct ours *o = container_of(b, struct ours, brain);

	sim_activator_free(&o->activator);
	reconcile_free(&o->reconcile);
	clk_replace(NULL);
	free(o);
}

const struct sim_brain_class sim_ours = {.pace = pace,
					 .open = open_ours,
					 .close = close_ours,
					 .step = step,
					 .next_ns = next_ns,
					 .wanted = wanted,
					 .rule = rule};
