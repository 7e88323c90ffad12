#include "activator/control.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activator/access/access_log.h"
#include "activator/access/access_sink.h"
#include "activator/autoscaler_link.h"
#include "activator/bounds.h"
#include "activator/certificates.h"
#include "activator/control_impl.h"
#include "activator/elders.h"
#include "activator/limiter.h"
#include "activator/metrics.h"
#include "activator/net/tls_state.h"
#include "activator/probe.h"
#include "activator/registry.h"
#include "activator/status.h"
#include "activator/takeover.h"
#include "activator/upgrade.h"
#include "activator/worker.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/inherited.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/reload.h"
#include "common/strbuf.h"
#include "common/watchdog.h"

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

static uint64_t
tunnels_cut(const struct activator *a)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < a->workers_n; i++)
		n += atomic_load_explicit(&worker_counters(a->workers[i])->tunnels_cut,
					  memory_order_relaxed);
	return n;
}

static void
on_finished(void *arg)
{
	struct activator *a = arg;

	loop_stop(a->loop); /* what was sent is written at the end of this round */
}

static void
on_drained(struct worker *w, void *arg)
{
	struct activator *a = arg;

	(void)w;
	if (++a->drained_n == a->started_n) {
		log_info(NULL, "all requests are finished", "tunnels_cut=%llu",
			 (unsigned long long)tunnels_cut(a));
		autoscaler_link_finish(a->link, on_finished, a);
	}
}

#define LAST_RESPONSES (2500 * CLK_MS) /* for clients to read the refusals at the end */

/* This process was replaced: end what may go on for ever.  Requests go on, within their own time
 * limits. */
static void
cut_what_waits(struct activator *a, const char *why)
{
	unsigned i;

	log_info(NULL, "closing upgraded and idle connections", "why=%s", why);
	for (i = 0; i < a->started_n; i++) {
		worker_post_end_tunnels(a->workers[i]);
		worker_post_drain(a->workers[i]);
	}
}

static void
on_end(void *arg)
{
	struct activator *a = arg;
	unsigned i;

	if (!a->is_terminating) {
		cut_what_waits(a, "drain_timeout is over");
		return;
	}
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

	if (a->is_terminating) {
		log_warn(NULL, "second signal: ending at once", "signal=%s", strsignal(signo));
		loop_stop(a->loop);
		return;
	}
	log_info(NULL, "shutting down: finishing all requests", "signal=%s", strsignal(signo));
	a->is_draining = a->is_terminating = true;
	upgrade_cancel(a->upgrade, "this activator was told to end");
	if (!a->is_replaced)
		daemon_notify("STOPPING=1");
	autoscaler_link_leave(a->link);
	for (i = 0; i < a->started_n; i++)
		worker_post_drain(a->workers[i]);
	listen_set_release(a->listen_set);
	loop_timer_set(&a->end_timer, settings_of(a)->activator.drain_timeout);
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

	if (--a->echoes == 0 && a->watchdog != NULL)
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

static void
on_trust_check(void *arg)
{
	struct activator *a = arg;

	loop_timer_set(&a->trust_timer, settings_of(a)->activator.certificate_check);
	control_check_trust(a);
}

static struct audit *
get_audit(void *arg)
{
	const struct activator *a = arg;

	return a->audit;
}

const struct certificates_ops control_certificates_ops = {.on_state = on_tls_state,
							  .audit = get_audit};

/* --- the admin endpoint --- */

#define SWAP_PATIENCE (10 * CLK_S) /* of a worker, whose rounds take milliseconds */

static const char *
not_ready(void *arg)
{
	const struct activator *a = arg;
	int64_t since_ns;

	if (a->is_replaced)
		return "replaced by an upgrade";
	if (a->is_draining)
		return "shutting down";
	if (!registry_is_described(a->registry))
		return "the autoscaler has not sent the services yet";
	since_ns = registry_swapping_since(a->registry);
	if (since_ns != 0 && clk_now() - since_ns >= SWAP_PATIENCE)
		return "a worker hangs: it does not use the newest services";
	return NULL;
}

static struct metrics_source
source_of(const struct activator *a)
{
	struct reload_counts reloads;

	reload_count(a->reload, &reloads);
	return (struct metrics_source){
		.reloads = reloads,
		.workers = a->workers,
		.workers_n = a->workers_n,
		.registry = a->registry,
		.bounds = &a->bounds,
		.certificates = a->certificates,
		.prober = a->prober,
		.started_ns = a->started_ns,
		.is_link_up = autoscaler_link_is_up(a->link),
		.is_draining = a->is_draining,
		.upgrades = upgrade_counts(a->upgrade),
		.elders_n = elders_count(a->elders),
		.access_log = a->access_log,
		.spans = a->spans,
		.audit = a->audit,
		.is_by_service = settings_of(a)->metrics_by == METRICS_BY_SERVICE,
		.has_idle = settings_of(a)->metrics_idle,
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

	status_answer(r, &source);
}

static const struct admin_ops admin_ops = {.not_ready = not_ready, .metrics = render_metrics};

static void
announce(struct activator *a)
{
	daemon_notify("READY=1");
	a->watchdog = watchdog_new(a->loop, ask_workers, a);
}

static void
on_described(void *arg)
{
	struct activator *a = arg;

	log_info(NULL, "ready: the services are known", "");
	if (a->is_waiting)
		takeover_ready(a->takeover);
	else
		announce(a);
}

static void
reload_for_ctl(struct activator *a, const char *token, const struct audit_by *by)
{
	struct settings_errors errors = {NULL, 0};
	bool is_done = control_reload(a, by, &errors) == 0;

	autoscaler_link_result(a->link, token, is_done,
			       is_done ? "the conf file is in effect" : errors.lines[0]);
	settings_errors_free(&errors);
}

/* An upgrade that activatorctl has asked for. */
struct asked_upgrade {
	struct activator *a;
	char *token;
};

static void
on_upgrade_over(const char *why, void *arg)
{
	struct asked_upgrade *asked = arg;

	autoscaler_link_result(asked->a->link, asked->token, why == NULL,
			       why == NULL ? "a new activator has taken over" : why);
	free(asked->token);
	free(asked);
}

static void
upgrade_for_ctl(struct activator *a, const char *token, const struct audit_by *by)
{
	struct asked_upgrade *asked = xcalloc(1, sizeof *asked);
	struct err e = {0};

	*asked = (struct asked_upgrade){.a = a, .token = xstrdup(token)};
	if (control_upgrade(a, by, on_upgrade_over, asked, &e) < 0)
		on_upgrade_over(e.text, asked);
}

/* activatorctl has asked for it, by way of the autoscaler. */
static void
on_command(const char *token, const struct audit_by *by, void *arg)
{
	struct activator *a = arg;

	if (strcmp(by->name, "reload") == 0) {
		reload_for_ctl(a, token, by);
	} else if (strcmp(by->name, "upgrade") == 0) {
		upgrade_for_ctl(a, token, by);
	} else {
		autoscaler_link_result(a->link, token, false,
				       "this version of the activator does not know the command");
	}
}

static const struct autoscaler_link_ops autoscaler_link_ops = {.on_described = on_described,
							       .on_command = on_command};

/* --- what the conf asks for --- */

static int
open_listeners(struct activator *a, struct inherited *inherited, struct err *e)
{
	const struct listen_conf conf = control_listen_conf(settings_of(a), a->workers_n,
							    inherited);

	a->listen_set = listen_set_new(&conf, NULL, e);
	if (a->listen_set == NULL)
		return -1;
	/* A socket that listens gets a part of the clients of its address at once.  While this
	 * process may still fail, they belong to the older one. */
	if (a->is_waiting)
		return 0;
	listen_set_settle(a->listen_set);
	return listen_set_start(a->listen_set, e);
}

static int
load_certificates(struct activator *a, struct err *e)
{
	struct tls_ticket_keys keys;
	struct tls_state *state;
	int64_t rotated_ns;

	if (settings_of(a)->activator.certificates_n == 0)
		return 0;
	a->certificates = certificates_new(a->loop, settings_of(a), NULL, &control_certificates_ops,
					   a, e);
	if (a->certificates == NULL)
		return -1;
	if (a->takeover != NULL && takeover_tickets(a->takeover, &keys, &rotated_ns)) {
		certificates_adopt_tickets(a->certificates, &keys, rotated_ns);
		explicit_bzero(&keys, sizeof keys);
	}
	certificates_start(a->certificates);
	state = certificates_state(a->certificates);
	on_tls_state(state, a);
	tls_state_unref(&state);
	return 0;
}

static int
open_access_log(struct activator *a, struct err *e)
{
	struct access_sink *sink = control_open_access_sink(settings_of(a), e);

	if (sink == NULL)
		return -1;
	a->access_log = access_log_new(ACCESS_LINES, a->workers_n, &sink, e);
	if (a->access_log == NULL || settings_of(a)->activator.trace_collector == NULL)
		return a->access_log == NULL ? -1 : 0;
	sink = access_sink_open_collector(settings_of(a)->activator.trace_collector,
					  settings_of(a)->activator.trace_collector_ca);
	a->spans = access_log_new(ACCESS_SPANS, a->workers_n + 1, &sink, e); /* one is main's */
	return a->spans == NULL ? -1 : 0;
}

static int
make_workers(struct activator *a, struct err *e)
{
	unsigned i;

	a->workers = xcalloc(a->workers_n, sizeof(struct worker *));
	for (i = 0; i < a->workers_n; i++) {
		a->workers[i] = worker_new(i, a->workers_n, a->conf, &a->bounds, a->loop,
					   &worker_ops, a, e);
		if (a->workers[i] == NULL)
			return -1;
		worker_set_access_log(a->workers[i], a->access_log, a->spans);
		if (!a->is_waiting)
			worker_post_listen(a->workers[i], a->listen_set);
	}
	if (load_certificates(a, e) < 0)
		return -1;
	for (; a->started_n < a->workers_n; a->started_n++)
		if (worker_start(a->workers[a->started_n], e) < 0)
			return -1;
	return 0;
}

/* --- reloading --- */

int
control_reload(struct activator *a, const struct audit_by *by, struct settings_errors *errors)
{
	return reload_now(a->reload, by, errors);
}

static void
on_hangup(int signo, void *arg)
{
	const struct audit_by by = {.kind = AUDIT_BY_SIGNAL, .name = "SIGHUP"};

	(void)signo;
	(void)control_reload(arg, &by, NULL); /* it logs the outcome */
}

/* A program such as logrotate has renamed the file of the access log, or of the audit. */
static void
on_reopen(int signo, void *arg)
{
	const struct activator *a = arg;

	(void)signo;
	access_log_reopen(a->access_log);
	audit_reopen(a->audit);
}

/* --- upgrading --- */

static const char *
upgrade_refusal(void *arg)
{
	const struct activator *a = arg;

	if (a->is_terminating)
		return "the activator is shutting down";
	return a->is_waiting ? "this activator has not taken over itself yet" : NULL;
}

static void
add_admin_socket(int fd, void *arg)
{
	upgrade_add_socket(arg, fd, false);
}

static void
upgrade_sockets(struct upgrade_sockets *s, void *arg)
{
	const struct activator *a = arg;
	size_t place = 0, at = 0;
	bool is_foreign;
	int fd;

	while (listen_set_each(a->listen_set, &place, &at, &fd, &is_foreign))
		upgrade_add_socket(s, fd, is_foreign);
	admin_each_socket(a->admin, add_admin_socket, s);
}

static bool
upgrade_tickets(struct tls_ticket_keys *keys, int64_t *rotated_ns, void *arg)
{
	const struct activator *a = arg;

	if (a->certificates == NULL)
		return false;
	certificates_tickets(a->certificates, keys, rotated_ns);
	return true;
}

static void
close_admin_sockets(struct activator *a)
{
	static const char *const none[] = {NULL};
	struct err e;
	struct admin_change *change = admin_change_new(a->admin, none, &e);

	CHECK(change != NULL); /* it opens nothing */
	admin_change_make(&change);
}

static void
on_stopped_accepting(void *arg)
{
	struct activator *a = arg;

	if (--a->accepting_n == 0)
		log_info(NULL, "a new activator has taken over; this one finishes its requests",
			 "pid=%d", (int)a->successor);
}

static void
on_replaced(pid_t pid, void *arg)
{
	struct activator *a = arg;
	char state[64];
	unsigned i;

	a->is_replaced = a->is_draining = true;
	snprintf(state, sizeof state, "MAINPID=%d\nWATCHDOG=1", (int)pid);
	daemon_notify(state);
	watchdog_free(&a->watchdog);
	listen_set_pass_on(a->listen_set);
	listen_set_release(a->listen_set);
	close_admin_sockets(a);
	autoscaler_link_leave(a->link);
	a->successor = pid;
	a->accepting_n = a->started_n;
	for (i = 0; i < a->started_n; i++) {
		worker_post_replaced(a->workers[i]);
		worker_post_echo(a->workers[i], on_stopped_accepting, a);
	}
	loop_timer_set(&a->end_timer, settings_of(a)->activator.drain_timeout);
}

/* A supervisor such as systemd notices the end of a process only once its parent, this one, has
 * ended as well, and starts another one then: be quick. */
static void
on_successor_lost(void *arg)
{
	struct activator *a = arg;

	if (a->is_terminating)
		return;
	loop_timer_clear(&a->end_timer);
	cut_what_waits(a, "the activator that has taken over has ended");
}

static const struct upgrade_ops upgrade_ops = {.refusal = upgrade_refusal,
					       .sockets = upgrade_sockets,
					       .tickets = upgrade_tickets,
					       .on_replaced = on_replaced,
					       .on_successor_lost = on_successor_lost};

static void
on_upgrade(int signo, void *arg)
{
	const struct audit_by by = {.kind = AUDIT_BY_SIGNAL, .name = "SIGUSR2"};
	struct err e;

	(void)signo;
	(void)!control_upgrade(arg, &by, NULL, NULL, &e); /* it logs the outcome */
}

/* --- taking over --- */

static void
on_go(void *arg)
{
	struct activator *a = arg;
	struct err e;
	unsigned i;

	if (a->is_draining)
		return;
	a->is_waiting = false;
	listen_set_settle(a->listen_set);
	if (listen_set_start(a->listen_set, &e) < 0)
		log_error(NULL, "cannot listen at an address that was free before", "err=%s",
			  e.text);
	for (i = 0; i < a->started_n; i++)
		worker_post_listen(a->workers[i], a->listen_set);
	admin_resume(a->admin);
	takeover_accepting(a->takeover);
	log_info(NULL, "this activator has taken over", "pid=%d older=%s", (int)getpid(),
		 elders_text(a->elders));
	if (registry_is_described(a->registry))
		announce(a);
}

static void
on_given_up(void *arg)
{
	struct activator *a = arg;

	a->is_given_up = true;
	loop_stop(a->loop);
}

static const struct takeover_ops takeover_ops = {.on_go = on_go, .on_given_up = on_given_up};

static void
on_elder_ended(pid_t pid, void *arg)
{
	const struct activator *a = arg;

	audit_look(a->audit);
	if (a->takeover != NULL)
		takeover_on_ended(a->takeover, pid);
}

/* --- starting and stopping --- */

static int
watch_signals(struct activator *a, struct err *e)
{
	return loop_signal(a->loop, SIGTERM, on_terminate, a, e) < 0 ||
			       loop_signal(a->loop, SIGINT, on_terminate, a, e) < 0 ||
			       loop_signal(a->loop, SIGHUP, on_hangup, a, e) < 0 ||
			       loop_signal(a->loop, SIGUSR1, on_reopen, a, e) < 0 ||
			       loop_signal(a->loop, SIGUSR2, on_upgrade, a, e) < 0
		       ? -1
		       : 0;
}

static int
open_admin(struct activator *a, struct inherited *inherited, struct err *e)
{
	const char *const addresses[] = {settings_of(a)->activator.admin, NULL};

	a->admin = admin_open(a->loop, addresses, inherited, &admin_ops, a, e);
	if (a->admin == NULL)
		return -1;
	if (a->is_waiting)
		admin_pause(a->admin);
	admin_add_page(a->admin, "/status", answer_status, a);
	admin_page_params(a->admin, "/status", status_params);
	return 0;
}

static void
log_started(const struct activator *a)
{
	const struct str_list *listen = &settings_of(a)->activator.listen;
	struct strbuf all;
	size_t i;

	strbuf_init(&all, 0);
	for (i = 0; i < listen->n; i++)
		strbuf_addf(&all, "%s%s", i == 0 ? "" : ", ", listen->v[i]);
	log_info(NULL, "activator started", "listen=%s workers=%u max_connections=%u",
		 strbuf_str(&all), a->workers_n, a->bounds.max_connections);
	strbuf_fini(&all);
}

/* Receive what is open already, if anything is. */
static int
receive(struct activator *a, struct inherited *to, struct err *e)
{
	if (a->takeover == NULL)
		return inherited_add_environment(to, e) < 0 ? -1 : bounds_open(&a->bounds, e);
	return takeover_receive(a->takeover, to, e) < 0
		       ? -1
		       : takeover_bounds(a->takeover, &a->bounds, e);
}

static int
open_sockets(struct activator *a, struct err *e)
{
	struct inherited *inherited = inherited_new();
	int rc = receive(a, inherited, e);

	control_set_bounds(&a->bounds, &settings_of(a)->activator);
	if (rc == 0 && (open_listeners(a, inherited, e) < 0 || watch_signals(a, e) < 0 ||
			open_admin(a, inherited, e) < 0))
		rc = -1;
	inherited_warn_left(inherited);
	inherited_free(&inherited);
	return rc;
}

struct activator *
control_open(struct loop *loop, struct settings **settings, char *const *argv,
	     struct takeover *takeover, struct err *e)
{
	struct activator *a = xcalloc(1, sizeof *a);
	const struct settings *s = *settings;

	a->loop = loop;
	a->conf = worker_conf_new(settings);
	a->reload = reload_new(loop, IN_ACTIVATOR, &control_reload_ops, a);
	a->started_ns = clk_now();
	a->workers_n = s->activator.workers > 0 ? s->activator.workers
						: (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	loop_timer_init(&a->end_timer, loop, on_end, a);
	loop_timer_init(&a->trust_timer, loop, on_trust_check, a);
	loop_timer_set(&a->trust_timer, settings_of(a)->activator.certificate_check);
	a->takeover = takeover;
	a->is_waiting = takeover != NULL;
	a->elders = elders_new(loop, &a->bounds, on_elder_ended, a);
	a->upgrade = upgrade_new(loop, argv, &a->bounds, a->elders, &upgrade_ops, a);
	if (open_sockets(a, e) < 0 || open_access_log(a, e) < 0 || control_open_audit(a, e) < 0 ||
	    make_workers(a, e) < 0) {
		(void)control_close(&a);
		return NULL;
	}
	a->prober = prober_new(loop, a->conf, &prober_ops, a);
	a->registry = registry_new(loop, a->workers, a->workers_n, a->prober, on_demand, a);
	a->link = autoscaler_link_new(loop, s->socket, a->registry, a->workers, a->workers_n,
				      &autoscaler_link_ops, a);
	autoscaler_link_set_spans(a->link, a->spans, a->workers_n);
	log_started(a);
	if (takeover != NULL)
		takeover_start(takeover, loop, a->elders, &takeover_ops, a);
	return a;
}

/* The senders stop first, then their last mail arrives, and only then the receivers are freed. */
int
control_close(struct activator **ap)
{
	struct activator *a = *ap;
	int rc = a->is_given_up ? 1 : 0;
	unsigned i;

	*ap = NULL;
	upgrade_free(&a->upgrade);
	admin_close(&a->admin);
	if (a->link != NULL)
		autoscaler_link_stop(a->link);
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
	access_log_free(&a->access_log);
	access_log_free(&a->spans);
	listen_set_free(&a->listen_set);
	elders_free(&a->elders);
	bounds_close(&a->bounds);
	audit_close(&a->audit);
	reload_free(&a->reload);
	worker_conf_unref(&a->conf);
	loop_timer_fini(&a->end_timer);
	loop_timer_fini(&a->trust_timer);
	free(a);
	return rc;
}
