#include "activator/control.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activator/limiter.h"
#include "activator/metrics.h"
#include "activator/net/claim.h"
#include "activator/probe.h"
#include "activator/scaler.h"
#include "activator/status.h"
#include "activator/world.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/loop.h"

struct control {
	struct loop *loop;
	const struct settings *settings;
	struct bounds bounds;
	struct worker **workers;
	unsigned workers_n, started_n, drained_n;
	struct prober *prober;
	struct world *world;
	struct scaler *scaler;
	struct admin *admin;
	struct loop_timer end_timer; /* of the drain time, and of what comes after it */
	bool is_draining, is_ending;
	int64_t started_ns;
};

static struct control *the_control; /* the demand mail carries no argument of its own */

/* --- what workers and prober say --- */

static void
on_demand(struct loop_mail *mail)
{
	struct revision *rev = limiter_demand_taken(mail);

	if (the_control != NULL && the_control->scaler != NULL)
		scaler_on_demand(the_control->scaler, rev);
	revision_unref(&rev);
}

static void
on_refused(struct instance *inst, void *arg)
{
	struct control *c = arg;

	if (c->world != NULL && world_instance(c->world, inst->id) == inst) {
		prober_refused(c->prober, inst);
		scaler_on_instance(c->scaler, inst, INSTANCE_REFUSES);
	}
	instance_unref(&inst);
}

static void
on_shed(struct instance *inst, void *arg)
{
	struct control *c = arg;
	unsigned i;

	for (i = 0; i < c->started_n; i++)
		worker_post_shed(c->workers[i], inst);
	instance_unref(&inst);
}

static void
on_answers(struct instance *inst, void *arg)
{
	struct control *c = arg;

	if (c->scaler != NULL)
		scaler_on_instance(c->scaler, inst, INSTANCE_ANSWERS);
}

static const struct prober_ops prober_ops = {.on_answers = on_answers};

/* --- leaving --- */

static void
on_drained(struct worker *w, void *arg)
{
	struct control *c = arg;

	(void)w;
	if (++c->drained_n == c->started_n) {
		log_info(NULL, "drained", "");
		loop_stop(c->loop);
	}
}

#define LAST_WORDS (2500 * CLK_MS) /* for what is refused at the end to be read */

static void
on_end(void *arg)
{
	struct control *c = arg;
	unsigned i;

	if (c->is_ending) {
		loop_stop(c->loop);
		return;
	}
	c->is_ending = true;
	log_warn(NULL, "drain time is over", "");
	for (i = 0; i < c->started_n; i++)
		worker_post_end(c->workers[i]);
	loop_timer_set(&c->end_timer, LAST_WORDS);
}

static void
on_terminate(int signo, void *arg)
{
	struct control *c = arg;
	unsigned i;

	if (c->is_draining) {
		log_warn(NULL, "told twice, leaving at once", "signal=%s", strsignal(signo));
		loop_stop(c->loop);
		return;
	}
	log_info(NULL, "draining", "signal=%s", strsignal(signo));
	c->is_draining = true;
	daemon_notify("STOPPING=1");
	for (i = 0; i < c->started_n; i++)
		worker_post_drain(c->workers[i]);
	loop_timer_set(&c->end_timer, c->settings->activator.drain_timeout);
}

static void
on_hangup(int signo, void *arg)
{
	(void)signo;
	(void)arg;
	log_info(NULL,
		 "nothing to reload here: services come from the autoscaler; a change of "
		 "activator {} needs a restart",
		 "");
}

static const struct worker_ops worker_ops = {
	.on_refused = on_refused, .on_drained = on_drained, .on_shed = on_shed};

/* --- the admin endpoint --- */

static const char *
not_ready(void *arg)
{
	const struct control *c = arg;

	if (c->is_draining)
		return "shutting down";
	return world_is_described(c->world) ? NULL : "the autoscaler has not sent the services yet";
}

static struct metrics_source
source_of(const struct control *c)
{
	return (struct metrics_source){
		.workers = c->workers,
		.workers_n = c->workers_n,
		.world = c->world,
		.bounds = &c->bounds,
		.prober = c->prober,
		.started_ns = c->started_ns,
		.is_link_up = scaler_is_up(c->scaler),
		.is_draining = c->is_draining,
	};
}

static void
render_metrics(struct strbuf *b, void *arg)
{
	const struct metrics_source source = source_of(arg);

	metrics_render(b, &source);
}

static void
answer_status(struct admin_request *r, void *arg)
{
	const struct metrics_source source = source_of(arg);

	r->content_type = "application/json";
	status_render(r->body, &source, r->param(r, "revision"));
}

static const struct admin_ops admin_ops = {.not_ready = not_ready, .metrics = render_metrics};

static void
on_described(void *arg)
{
	(void)arg;
	log_info(NULL, "ready", "");
	daemon_notify("READY=1");
}

static const struct scaler_ops scaler_ops = {.on_described = on_described};

/* --- making it all --- */

static void
set_bounds(struct control *c)
{
	const struct activator_conf *a = &c->settings->activator;
	size_t fds = daemon_raise_nofile();
	size_t reserve = MIN((size_t)a->fd_reserve, fds / 2);
	size_t most = a->max_connections > 0 ? a->max_connections : fds - reserve;

	c->bounds.max_connections = (uint32_t)MIN(most, fds);
	c->bounds.max_sockets = (uint32_t)(fds - MIN(MAX(reserve / 4, (size_t)64), fds / 4));
	c->bounds.max_parked = a->max_parked > 0 ? a->max_parked : (uint32_t)MIN(most, fds);
	c->bounds.max_parked_bytes = a->max_parked_bytes;
}

static int
make_workers(struct control *c, struct err *e)
{
	const struct activator_conf *a = &c->settings->activator;
	unsigned i;

	c->workers = xcalloc(c->workers_n, sizeof(struct worker *));
	for (i = 0; i < c->workers_n; i++) {
		c->workers[i] = worker_new(i, c->workers_n, a, &c->bounds, c->loop, &worker_ops, c,
					   e);
		if (c->workers[i] == NULL)
			return -1;
	}
	for (; c->started_n < c->workers_n; c->started_n++)
		if (worker_start(c->workers[c->started_n], e) < 0)
			return -1;
	return 0;
}

static int
watch_signals(struct control *c, struct err *e)
{
	return loop_signal(c->loop, SIGTERM, on_terminate, c, e) < 0 ||
			       loop_signal(c->loop, SIGINT, on_terminate, c, e) < 0 ||
			       loop_signal(c->loop, SIGHUP, on_hangup, c, e) < 0
		       ? -1
		       : 0;
}

static int
open_admin(struct control *c, struct err *e)
{
	const char *addresses[] = {c->settings->activator.admin, NULL};

	if (addresses[0] == NULL || addresses[0][0] == '\0')
		return 0;
	c->admin = admin_open(c->loop, addresses, &admin_ops, c, e);
	if (c->admin == NULL)
		return -1;
	admin_add_page(c->admin, "/status", answer_status, c);
	return 0;
}

struct control *
control_open(struct loop *loop, const struct settings *s, struct err *e)
{
	struct control *c = xcalloc(1, sizeof *c);

	c->loop = loop;
	c->settings = s;
	c->started_ns = clk_now();
	c->workers_n = s->activator.workers > 0 ? s->activator.workers
						: (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	loop_timer_init(&c->end_timer, loop, on_end, c);
	set_bounds(c);
	the_control = c;
	if (claim_addresses(&s->activator.listen, e) < 0 || watch_signals(c, e) < 0 ||
	    open_admin(c, e) < 0 || make_workers(c, e) < 0) {
		control_close(&c);
		return NULL;
	}
	c->prober = prober_new(loop, &prober_ops, c);
	c->world = world_new(loop, c->workers, c->workers_n, c->prober, on_demand);
	c->scaler = scaler_new(loop, s->socket, c->world, c->workers, c->workers_n, &scaler_ops, c);
	log_info(NULL, "activator runs", "listen=%s workers=%u max_connections=%u",
		 s->activator.listen.v[0], c->workers_n, c->bounds.max_connections);
	return c;
}

void
control_close(struct control **cp)
{
	struct control *c = *cp;
	unsigned i;

	*cp = NULL;
	admin_close(&c->admin);
	scaler_free(&c->scaler);
	for (i = 0; i < c->started_n; i++)
		worker_stop(c->workers[i]);
	c->started_n = 0;
	for (i = 0; c->workers != NULL && i < c->workers_n; i++)
		worker_free(&c->workers[i]);
	free(c->workers);
	c->workers = NULL;
	c->workers_n = 0;
	loop_once(c->loop, true); /* what the workers said last */
	world_free(&c->world);
	prober_free(&c->prober);
	loop_timer_fini(&c->end_timer);
	the_control = NULL;
	free(c);
}
