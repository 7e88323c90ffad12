#include "activator/control.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activator/autoscaler_link.h"
#include "activator/bounds.h"
#include "activator/certificates.h"
#include "activator/limiter.h"
#include "activator/metrics.h"
#include "activator/net/claim.h"
#include "activator/probe.h"
#include "activator/registry.h"
#include "activator/status.h"
#include "activator/worker.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"
#include "common/watchdog.h"

struct activator {
	struct loop *loop;
	const struct settings *settings;
	struct bounds bounds;
	struct claim *claim;
	struct worker **workers;
	unsigned workers_n, started_n, drained_n;
	struct certificates *certificates; /* NULL: the conf has none */
	struct prober *prober;
	struct registry *registry;
	struct autoscaler_link *link;
	struct admin *admin;
	struct watchdog *watchdog;   /* NULL: not started by systemd, or it wants none */
	unsigned echoes;	     /* of workers that watchdog waits for */
	struct loop_timer end_timer; /* end of drain_timeout, then of LAST_RESPONSES */
	bool is_draining;	     /* a first SIGTERM has come */
	bool is_ending;		     /* drain_timeout is over */
	int64_t started_ns;
};

/* --- news from the limiter, workers and prober --- */

static void
on_demand(struct revision *rev, void *arg)
{
	const struct activator *a = arg;

	autoscaler_link_on_demand(a->link, rev);
}

static void
on_refused(struct instance *inst, void *arg)
{
	struct activator *a = arg;

	if (registry_find_instance(a->registry, inst->id) == inst) {
		prober_refused(a->prober, inst);
		if (instance_is_closed_by(inst, SLOTS_UNREADY)) /* else it has answered since */
			autoscaler_link_on_instance(a->link, inst, INSTANCE_REFUSES);
	}
	instance_unref(&inst);
}

static void
on_served(struct instance *inst, void *arg)
{
	const struct activator *a = arg;

	if (registry_find_instance(a->registry, inst->id) == inst)
		autoscaler_link_on_served(a->link, inst);
	instance_unref(&inst);
}

static void
on_shed(struct instance *inst, void *arg)
{
	struct activator *a = arg;
	unsigned i;

	for (i = 0; i < a->started_n; i++)
		worker_post_shed(a->workers[i], inst);
	instance_unref(&inst);
}

static void
on_answers(struct instance *inst, void *arg)
{
	const struct activator *a = arg;

	autoscaler_link_on_instance(a->link, inst, INSTANCE_ANSWERS);
}

static const struct prober_ops prober_ops = {.on_answers = on_answers};

/* --- shutting down --- */

static void
on_drained(struct worker *w, void *arg)
{
	struct activator *a = arg;

	(void)w;
	if (++a->drained_n == a->started_n) {
		log_info(NULL, "all requests are finished", "");
		autoscaler_link_release(a->link);
		loop_stop(a->loop);
	}
}

#define LAST_RESPONSES (2500 * CLK_MS) /* for clients to read the refusals at the end */

static void
on_end(void *arg)
{
	struct activator *a = arg;
	unsigned i;

	if (a->is_ending) {
		loop_stop(a->loop);
		return;
	}
	a->is_ending = true;
	log_warn(NULL, "drain_timeout is over: refusing what is left", "");
	for (i = 0; i < a->started_n; i++)
		worker_post_end(a->workers[i]);
	loop_timer_set(&a->end_timer, LAST_RESPONSES);
}

static void
on_terminate(int signo, void *arg)
{
	struct activator *a = arg;
	unsigned i;

	if (a->is_draining) {
		log_warn(NULL, "second signal: ending at once", "signal=%s", strsignal(signo));
		loop_stop(a->loop);
		return;
	}
	log_info(NULL, "shutting down: finishing all requests", "signal=%s", strsignal(signo));
	a->is_draining = true;
	daemon_notify("STOPPING=1");
	autoscaler_link_leave(a->link);
	for (i = 0; i < a->started_n; i++)
		worker_post_drain(a->workers[i]);
	loop_timer_set(&a->end_timer, a->settings->activator.drain_timeout);
}

static void
on_hangup(int signo, void *arg)
{
	const struct activator *a = arg;

	(void)signo;
	if (a->certificates != NULL)
		certificates_reload(a->certificates);
	log_info(
		NULL,
		"no settings to reload: services come from the autoscaler; a change of activator {} "
		"needs a restart",
		"");
}

static const struct worker_ops worker_ops = {.on_refused = on_refused,
					     .on_served = on_served,
					     .on_drained = on_drained,
					     .on_shed = on_shed};

/* --- systemd --- */

static void
on_echo(void *arg)
{
	struct activator *a = arg;

	if (--a->echoes == 0)
		watchdog_alive(a->watchdog);
}

static void
ask_workers(void *arg)
{
	struct activator *a = arg;
	unsigned i;

	a->echoes = a->started_n;
	for (i = 0; i < a->started_n; i++)
		worker_post_echo(a->workers[i], on_echo, a);
}

/* --- certificates --- */

static void
on_tls_state(struct tls_state *state, void *arg)
{
	const struct activator *a = arg;
	unsigned i;

	for (i = 0; i < a->workers_n; i++)
		worker_post_tls(a->workers[i], state);
}

static const struct certificates_ops certificates_ops = {.on_state = on_tls_state};

/* --- the admin endpoint --- */

static const char *
not_ready(void *arg)
{
	const struct activator *a = arg;

	if (a->is_draining)
		return "shutting down";
	return registry_is_described(a->registry) ? NULL
						  : "the autoscaler has not sent the services yet";
}

static struct metrics_source
source_of(const struct activator *a)
{
	return (struct metrics_source){
		.workers = a->workers,
		.workers_n = a->workers_n,
		.registry = a->registry,
		.bounds = &a->bounds,
		.certificates = a->certificates,
		.prober = a->prober,
		.started_ns = a->started_ns,
		.is_link_up = autoscaler_link_is_up(a->link),
		.is_draining = a->is_draining,
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
	struct activator *a = arg;

	log_info(NULL, "ready: the services are known", "");
	daemon_notify("READY=1");
	a->watchdog = watchdog_new(a->loop, ask_workers, a);
}

/* activatorctl has asked for it, by way of the autoscaler. */
static void
on_command(const char *token, const char *command, void *arg)
{
	struct activator *a = arg;

	if (strcmp(command, "reload") == 0) {
		on_hangup(SIGHUP, a);
		autoscaler_link_result(a->link, token, true,
				       a->certificates == NULL
					       ? "nothing to reload"
					       : "the files of the certificates are read again");
	} else {
		autoscaler_link_result(a->link, token, false,
				       "this version of the activator does not know the command");
	}
}

static const struct autoscaler_link_ops autoscaler_link_ops = {.on_described = on_described,
							       .on_command = on_command};

/* --- starting and stopping --- */

static void
set_bounds(struct activator *a)
{
	const struct activator_conf *conf = &a->settings->activator;
	size_t fds = daemon_raise_nofile();
	size_t reserve = MIN((size_t)conf->fd_reserve, fds / 2);
	size_t most = conf->max_connections > 0 ? conf->max_connections : fds - reserve;

	a->bounds.max_connections = (uint32_t)MIN(most, fds);
	a->bounds.max_sockets = (uint32_t)(fds - MIN(MAX(reserve / 4, (size_t)64), fds / 4));
	a->bounds.max_parked = conf->max_parked > 0 ? conf->max_parked : (uint32_t)MIN(most, fds);
	a->bounds.max_parked_bytes = conf->max_parked_bytes;
	a->bounds.max_stream_bytes = conf->max_stream_bytes;
}

static int
make_workers(struct activator *a, struct err *e)
{
	const struct activator_conf *conf = &a->settings->activator;
	unsigned i;

	a->workers = xcalloc(a->workers_n, sizeof(struct worker *));
	for (i = 0; i < a->workers_n; i++) {
		a->workers[i] = worker_new(i, a->workers_n, conf, &a->bounds, a->loop, &worker_ops,
					   a, e);
		if (a->workers[i] == NULL || worker_listen(a->workers[i], a->claim, e) < 0)
			return -1;
	}
	claim_release(a->claim);
	if (conf->certificates_n > 0) {
		a->certificates = certificates_new(a->loop, a->settings, &certificates_ops, a, e);
		if (a->certificates == NULL)
			return -1;
	}
	for (; a->started_n < a->workers_n; a->started_n++)
		if (worker_start(a->workers[a->started_n], e) < 0)
			return -1;
	return 0;
}

static int
watch_signals(struct activator *a, struct err *e)
{
	return loop_signal(a->loop, SIGTERM, on_terminate, a, e) < 0 ||
			       loop_signal(a->loop, SIGINT, on_terminate, a, e) < 0 ||
			       loop_signal(a->loop, SIGHUP, on_hangup, a, e) < 0
		       ? -1
		       : 0;
}

static int
open_admin(struct activator *a, struct err *e)
{
	const char *addresses[] = {a->settings->activator.admin, NULL};

	if (addresses[0] == NULL || addresses[0][0] == '\0')
		return 0;
	a->admin = admin_open(a->loop, addresses, &admin_ops, a, e);
	if (a->admin == NULL)
		return -1;
	admin_add_page(a->admin, "/status", answer_status, a);
	return 0;
}

static mode_t
mode_of(const struct settings *s)
{
	return (mode_t)strtoul(s->activator.listen_mode, NULL, 8);
}

static void
log_started(const struct activator *a)
{
	const struct str_list *listen = &a->settings->activator.listen;
	struct strbuf all;
	size_t i;

	strbuf_init(&all, 0);
	for (i = 0; i < listen->n; i++)
		strbuf_addf(&all, "%s%s", i == 0 ? "" : ", ", listen->v[i]);
	log_info(NULL, "activator started", "listen=%s workers=%u max_connections=%u",
		 strbuf_str(&all), a->workers_n, a->bounds.max_connections);
	strbuf_fini(&all);
}

struct activator *
control_open(struct loop *loop, const struct settings *s, struct err *e)
{
	struct activator *a = xcalloc(1, sizeof *a);

	a->loop = loop;
	a->settings = s;
	a->started_ns = clk_now();
	a->workers_n = s->activator.workers > 0 ? s->activator.workers
						: (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	loop_timer_init(&a->end_timer, loop, on_end, a);
	if (bounds_open(&a->bounds, e) < 0) {
		control_close(&a);
		return NULL;
	}
	set_bounds(a);
	a->claim = claim_new(s->activator.listeners, s->activator.listeners_n, mode_of(s), e);
	if (a->claim == NULL || watch_signals(a, e) < 0 || open_admin(a, e) < 0 ||
	    make_workers(a, e) < 0) {
		control_close(&a);
		return NULL;
	}
	a->prober = prober_new(loop, &s->activator, &prober_ops, a);
	a->registry = registry_new(loop, a->workers, a->workers_n, a->prober, on_demand, a);
	a->link = autoscaler_link_new(loop, s->socket, a->registry, a->workers, a->workers_n,
				      &autoscaler_link_ops, a);
	log_started(a);
	return a;
}

/* The senders stop first, then their last mail arrives, and only then the receivers are freed. */
void
control_close(struct activator **ap)
{
	struct activator *a = *ap;
	unsigned i;

	*ap = NULL;
	admin_close(&a->admin);
	for (i = 0; i < a->started_n; i++)
		worker_stop(a->workers[i]);
	loop_settle(a->loop);
	watchdog_free(&a->watchdog);
	autoscaler_link_free(&a->link);
	registry_free(&a->registry);
	prober_free(&a->prober);
	certificates_free(&a->certificates);
	for (i = 0; a->workers != NULL && i < a->workers_n; i++)
		worker_free(&a->workers[i]);
	free(a->workers);
	claim_free(&a->claim);
	bounds_close(&a->bounds);
	loop_timer_fini(&a->end_timer);
	free(a);
}
