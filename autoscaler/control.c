#include "autoscaler/control.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autoscaler/admin_pages.h"
#include "autoscaler/auditing.h"
#include "autoscaler/control_impl.h"
#include "autoscaler/ctl_commands.h"
#include "autoscaler/ctl_server.h"
#include "autoscaler/facts.h"
#include "autoscaler/metrics.h"
#include "autoscaler/reconcile/learned.h"
#include "autoscaler/relaunch.h"
#include "autoscaler/replicas/election.h"
#include "autoscaler/rollouts.h"
#include "autoscaler/services.h"
#include "autoscaler/status_feed.h"
#include "autoscaler/usage/ledger.h"
#include "autoscaler/versions/store.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/control_socket.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/reload.h"
#include "common/settings.h"
#include "common/watchdog.h"

#define LOCK_NAME "autoscaler.lock"
#define TICK CLK_S
#define CHORES_EVERY (5 * CLK_MS)
#define SAVE_EVERY (60 * CLK_S)	    /* how often what was learned is written to state_dir */
#define CLOSE_MOST (2 * CLK_S)	    /* how long drivers may take to close after a failed start */
#define REPORTS_MOST (300 * CLK_MS) /* how long the last reports of activators may take to come */

/* --- drivers --- */

static void
on_view(const struct driver_view *view, void *arg)
{
	struct autoscaler *a = arg;

	control_update_ledger(a);
	ledger_view(a->ledger, view);
	reconcile_view(a->reconcile, view);
}

static void
on_services(void *arg)
{
	struct autoscaler *a = arg;

	if (!a->is_stopping)
		services_found(a->services);
}

static void
on_unconfigured(const char *const *revisions, size_t n, void *arg)
{
	struct autoscaler *a = arg;

	if (!a->is_stopping)
		services_unconfigured(a->services, revisions, n);
}

static void
on_closed(struct driver **dp, struct autoscaler *a)
{
	*dp = NULL;
	if (a->platform == NULL && a->addresses == NULL)
		loop_stop(a->loop);
}

static void
on_platform_closed(void *arg)
{
	struct autoscaler *a = arg;

	on_closed(&a->platform, a);
}

static void
on_addresses_closed(void *arg)
{
	struct autoscaler *a = arg;

	on_closed(&a->addresses, a);
}

static uint32_t
load(const char *id, void *arg)
{
	const struct autoscaler *a = arg;

	return reconcile_load(a->reconcile, id);
}

static int64_t
heard_since(void *arg)
{
	const struct autoscaler *a = arg;

	return a->reconcile == NULL ? 0 : reconcile_heard_since(a->reconcile);
}

static void
on_output(const struct driver_output *o, void *arg)
{
	struct autoscaler *a = arg;

	if (a->ctl_commands != NULL)
		ctl_commands_output(a->ctl_commands, o);
}

static void
on_output_end(uint64_t token, void *arg)
{
	struct autoscaler *a = arg;

	if (a->ctl_commands != NULL)
		ctl_commands_output_end(a->ctl_commands, token);
}

static enum rollout_verdict
judge(const struct rollout_question *q, char **why, void *arg)
{
	const struct autoscaler *a = arg;

	return a->rollouts == NULL ? ROLLOUT_MUST_WAIT : rollouts_judge(a->rollouts, q, why);
}

static const struct driver_ops platform_ops = {.on_view = on_view,
					       .on_closed = on_platform_closed,
					       .on_services = on_services,
					       .on_unconfigured = on_unconfigured,
					       .load = load,
					       .heard_since = heard_since,
					       .withhold = control_withhold,
					       .judge = judge,
					       .on_output = on_output,
					       .on_output_end = on_output_end};
static const struct driver_ops addresses_ops = {
	.on_view = on_view, .on_closed = on_addresses_closed, .on_services = on_services};

static const struct driver_class *const classes[] = {
	[DRIVER_PROCESS] = &driver_process,
	[DRIVER_KUBERNETES] = &driver_kubernetes,
};

static int
open_drivers(struct autoscaler *a, struct err *e)
{
	const struct settings *s = services_settings(a->services);
	const struct driver_class *class = classes[s->autoscaler.driver];

	a->platform = class->open(a->loop, s, &platform_ops, a, e);
	if (a->platform == NULL)
		return err_prefix(e, "driver %s", class->name);
	a->addresses = driver_addresses.open(a->loop, s, &addresses_ops, a, e);
	return a->addresses == NULL ? -1 : 0;
}

/* --- time and signals --- */

/* One revision's plans at a time, and a few revisions of the file: with thousands of them both
 * take seconds, in which requests are not to wait for their activation. */
static void
on_chores(void *arg)
{
	struct autoscaler *a = arg;
	bool is_planning = reconcile_plan(a->reconcile);
	bool is_saving = learned_save_some(a->learned, a->reconcile);

	if (is_planning || is_saving)
		loop_timer_set(&a->chores, CHORES_EVERY);
}

static void
begin_chores(struct autoscaler *a, int64_t now_ns)
{
	if (now_ns - a->saved_ns >= SAVE_EVERY) {
		a->saved_ns = now_ns;
		learned_save_begin(a->learned, a->reconcile);
	}
	if (!loop_timer_pending(&a->chores))
		on_chores(a);
}

static void
stop(struct autoscaler *a)
{
	const struct audit_by by = {.kind = AUDIT_BY_SIGNAL, .name = a->stop_signal};

	a->is_stopping = true;
	daemon_notify("STOPPING=1");
	loop_timer_clear(&a->tick);
	loop_timer_clear(&a->chores);
	reconcile_freeze(a->reconcile);
	reconcile_note_stop(a->reconcile, &by);
	learned_save(a->learned, a->reconcile);
	a->platform->class->close(a->platform, true);
	a->addresses->class->close(a->addresses, true);
}

/* Requests are parked, and the driver does not own its instances (kubernetes).  Without an
 * autoscaler the activator would not hear of the instance that starts for them. */
static bool
is_needed(const struct autoscaler *a)
{
	return !a->platform->class->is_owner && hub_activators(a->hub) > 0 &&
	       reconcile_has_parked(a->reconcile);
}

static void
on_tick(void *arg)
{
	struct autoscaler *a = arg;
	int64_t now = clk_now();

	/* From the time that this tick was due, so that seconds do not drift.  A process that
	 * was stopped for a while does not make up for the ticks that it missed. */
	a->next_tick_ns = MAX(a->next_tick_ns + TICK, now);
	loop_timer_set(&a->tick, a->next_tick_ns - now);
	control_update_ledger(a);
	ledger_tick(a->ledger);
	reconcile_tick(a->reconcile);
	rollouts_tick(a->rollouts);
	auditing_tick(a->auditing);
	control_check_swaps(a);
	begin_chores(a, now);
	if (a->linger_ns != 0 && (now >= a->linger_ns || !is_needed(a))) {
		stop(a);
		return;
	}
	services_tick(a->services);
}

static void
on_tail(void *arg)
{
	struct autoscaler *a = arg;
	int64_t next;

	reconcile_tail(a->reconcile);
	control_report_routed(a);
	next = reconcile_next_ns(a->reconcile);
	if (next == INT64_MAX)
		loop_timer_clear(&a->round);
	else
		loop_timer_set(&a->round, MAX(next - clk_now(), 0));
}

/* The tail of this round does what is due. */
static void
on_round(void *arg)
{
	(void)arg;
}

static void
on_stop(int signo, void *arg)
{
	struct autoscaler *a = arg;

	if (a->is_relaunched) { /* the loop is at its end, and the drivers leave the instances */
		a->is_relaunched = false;
		auditing_upgrade_failed(a->auditing, "stopped instead");
		log_info(NULL, "stopping instead of the upgrade", "signal=%s", strsignal(signo));
		return;
	}
	if (a->is_stopping) {
		log_warn(NULL, "second signal, exiting at once", "signal=%s", strsignal(signo));
		loop_stop(a->loop);
		return;
	}
	a->stop_signal = signo == SIGINT ? "SIGINT" : "SIGTERM";
	if (!a->is_started) { /* control_lead() waits */
		a->is_stopping = true;
		return;
	}
	if (a->linger_ns == 0 && is_needed(a)) {
		a->linger_ns = clk_now() +
			       services_settings(a->services)->autoscaler.launch.drain_timeout;
		log_info(NULL, "stopping once no request is parked", "signal=%s", strsignal(signo));
		return;
	}
	log_info(NULL, "stopping", "signal=%s", strsignal(signo));
	stop(a);
}

/* Let the members of control_group use the control socket. */
static void
set_control_group(struct autoscaler *a)
{
	struct err e;

	if (a->ctl != NULL &&
	    ctl_server_set_group(a->ctl, services_settings(a->services)->control_group, &e) < 0)
		log_error(NULL, "the control socket stays closed to the group", "err=%s", e.text);
}

static const struct settings *
reload_current(void *arg)
{
	const struct autoscaler *a = arg;

	return services_settings(a->services);
}

static const char *
reload_refusal(void *arg)
{
	const struct autoscaler *a = arg;

	if (!a->is_started)
		return "the autoscaler has not started yet";
	return a->is_stopping ? "the autoscaler is stopping" : NULL;
}

static int
reload_adopt(struct settings **settings, struct settings_errors *errors, void *arg)
{
	struct autoscaler *a = arg;
	const struct settings *s = *settings;
	const char *const addrs[] = {s->autoscaler.admin, NULL};
	struct admin_change *change;
	struct err e;

	change = admin_change_new(a->admin, addrs, &e);
	if (change == NULL)
		settings_err_at(s, "admin", IN_AUTOSCALER, &e);
	if (change == NULL || auditing_adopt(a->auditing, s, &e) < 0) {
		settings_errors_add(errors, e.text);
		admin_change_free(&change);
		return -1;
	}
	admin_change_make(&change);
	services_adopt(a->services, *settings);
	*settings = NULL;
	set_control_group(a);
	return 0;
}

static const struct reload_ops reload_ops = {
	.current = reload_current, .refusal = reload_refusal, .adopt = reload_adopt};

static void
on_hangup(int signo, void *arg)
{
	const struct audit_by by = {.kind = AUDIT_BY_SIGNAL, .name = "SIGHUP"};
	const struct autoscaler *a = arg;

	(void)signo;
	(void)reload_now(a->reload, &by, NULL); /* it logs the outcome */
}

/* --- upgrading --- */

/* The instances stay as they are, and wait for the next autoscaler. */
static const char *
on_checked(void *arg)
{
	struct autoscaler *a = arg;

	if (a->is_stopping || a->linger_ns != 0)
		return "the autoscaler is stopping";
	a->is_relaunched = true;
	learned_save(a->learned, a->reconcile);
	loop_stop(a->loop);
	return NULL;
}

/* It is not: this process goes on.  Else the next program ends the entry. */
static void
on_upgrade_over(const char *why, void *arg)
{
	const struct autoscaler *a = arg;

	if (why != NULL)
		auditing_upgrade_failed(a->auditing, why);
}

static void
on_upgrade(int signo, void *arg)
{
	struct autoscaler *a = arg;
	struct err e;
	bool is_first;

	(void)signo;
	if (!a->is_started || a->is_stopping || a->linger_ns != 0) {
		log_error(NULL, "the upgrade is refused", "why=%s",
			  a->is_started ? "the autoscaler is stopping"
					: "the autoscaler has not started yet");
		return;
	}
	is_first = auditing_upgrade(a->auditing, "SIGUSR2");
	if (relaunch_begin(a->relaunch, on_upgrade_over, a, &e) < 0 && is_first) /* it logs why */
		on_upgrade_over(e.text, a);
}

static int
watch_signals(struct autoscaler *a, struct err *e)
{
	if (loop_signal(a->loop, SIGTERM, on_stop, a, e) < 0 ||
	    loop_signal(a->loop, SIGINT, on_stop, a, e) < 0 ||
	    loop_signal(a->loop, SIGHUP, on_hangup, a, e) < 0 ||
	    loop_signal(a->loop, SIGUSR2, on_upgrade, a, e) < 0)
		return -1;
	daemon_release_signals(); /* the program before may have held them */
	return 0;
}

/* --- admin --- */

static const char *
not_ready(void *arg)
{
	const struct autoscaler *a = arg;

	if (a->is_stopping || a->linger_ns != 0)
		return "stopping";
	if (!a->is_listening)
		return "not listening yet";
	if (!services_are_complete(a->services))
		return "services from annotations are not known yet";
	return reconcile_is_known(a->reconcile) ? NULL
						: "the driver does not know the instances yet";
}

static struct facts
facts_of(const struct autoscaler *a)
{
	const struct settings *s = services_settings(a->services);
	struct reload_counts reloads;

	reload_count(a->reload, &reloads);
	return (struct facts){
		.id = a->id,
		.started_ns = a->started_ns,
		.generation = services_generation(a->services),
		.reloads = reloads,
		.control_requests = a->ctl == NULL ? 0 : ctl_server_requests(a->ctl),
		.max_instances = settings_max_instances(s),
		.driver = classes[s->autoscaler.driver]->name,
		.platform = a->platform,
		.services = a->services,
		.store = a->store,
		.reconcile = a->reconcile,
		.hub = a->hub,
		.swaps = &a->swaps,
		.ledger = a->ledger,
		.audit = auditing_audit(a->auditing),
		.rollouts = a->rollouts,
		.watchers = a->pages == NULL ? 0 : status_feed_watchers(admin_pages_feed(a->pages)),
		.is_by_service = s->metrics_by == METRICS_BY_SERVICE,
		.has_idle = s->metrics_idle,
		.is_stopping = a->is_stopping,
		.has_lease = a->election != NULL,
		.is_leader = a->election != NULL && election_may_decide(a->election),
		.term = a->election == NULL ? 0 : election_term(a->election),
		.upgrade_failures = a->relaunch == NULL ? 0 : relaunch_failures(a->relaunch)};
}

static struct facts
get_facts(void *arg)
{
	return facts_of(arg);
}

static void
on_metrics(struct strbuf *out, void *arg)
{
	struct facts f = facts_of(arg);

	metrics_write(out, &f);
}

static const struct admin_ops admin_ops = {.not_ready = not_ready, .metrics = on_metrics};

static int
open_admin(struct autoscaler *a, struct err *e)
{
	const char *const addrs[] = {services_settings(a->services)->autoscaler.admin, NULL};

	a->admin = admin_open(a->loop, addrs, NULL, &admin_ops, a, e);
	if (a->admin == NULL)
		return err_prefix(e, "admin");
	a->pages = admin_pages_new(a->loop, a->admin, get_facts, a);
	return 0;
}

/* --- activatorctl --- */

static int
wake(struct scaled_revision *rev, const struct audit_peer *peer, struct err *e, void *arg)
{
	struct autoscaler *a = arg;

	return reconcile_wake(a->reconcile, rev, peer, e);
}

static int
put_to_sleep(struct scaled_revision *rev, const struct audit_peer *peer, struct err *e, void *arg)
{
	struct autoscaler *a = arg;

	return reconcile_sleep(a->reconcile, rev, peer, e);
}

static int
reload_for_ctl(const struct audit_by *by, struct settings_errors *errors, void *arg)
{
	const struct autoscaler *a = arg;

	return reload_now(a->reload, by, errors);
}

static void
on_stored(void *arg)
{
	struct autoscaler *a = arg;

	services_stored(a->services);
}

static int64_t
stored_for_ctl(void *arg)
{
	struct autoscaler *a = arg;

	services_stored(a->services);
	return services_are_complete(a->services) && swaps_is_waiting(&a->swaps)
		       ? services_generation(a->services)
		       : 0;
}

static const struct ctl_backend ctl_backend = {.facts = get_facts,
					       .wake = wake,
					       .sleep = put_to_sleep,
					       .reload = reload_for_ctl,
					       .stored = stored_for_ctl};

static const struct rollouts_ops rollouts_ops = {.facts = get_facts, .stored = on_stored};

/* Without the store all else works. */
static void
open_store(struct autoscaler *a)
{
	struct err e;

	a->store = version_store_open(services_settings(a->services)->state_dir, &e);
	if (a->store == NULL)
		log_error(NULL, "the services that activatorctl made cannot be read", "err=%s",
			  e.text);
}

/* Without the control socket all else works: that it cannot be opened is no reason not to start. */
static void
open_ctl(struct autoscaler *a)
{
	const struct settings *s = services_settings(a->services);
	char *path = control_socket_path(s->control_socket, s->socket);
	struct err e;

	a->ctl_commands = ctl_commands_new(a->loop, &ctl_backend, a);
	a->ctl = ctl_server_open(a->loop, path, a->id, &ctl_commands_ops, a->ctl_commands, &e);
	if (a->ctl == NULL)
		log_error(NULL, "activatorctl cannot be used", "err=%s", e.text);
	set_control_group(a);
	free(path);
}

/* --- life --- */

static void
begin_shares(struct autoscaler *a)
{
	size_t n;
	const char **ids = activators_ids(a->activators, &n);

	reconcile_begin_shares(a->reconcile, activators_term(a->activators),
			       activators_has_record(a->activators), ids, n);
	control_expect_swaps(a, ids, n);
	free(ids);
}

/* Open each part before the parts that need it; the socket last, so that no activator
 * connects to half an autoscaler. */
static int
open_all(struct autoscaler *a, struct err *e)
{
	const struct settings *s = services_settings(a->services);

	a->lock_fd = daemon_lock(s->state_dir, LOCK_NAME, e);
	if (a->lock_fd < 0 || watch_signals(a, e) < 0 || control_lead(a, e) < 0)
		return -1;
	a->is_started = true;
	if (open_admin(a, e) < 0)
		return -1;
	a->auditing = auditing_open(a->loop, s, get_facts, a, e);
	if (a->auditing == NULL)
		return -1;
	auditing_set_reload(a->auditing, a->reload);
	a->reconcile = reconcile_new(&control_reconcile_ops, a, a->id);
	reconcile_set_audit(a->reconcile, auditing_audit(a->auditing));
	a->activators = activators_open(a->loop, s->state_dir, s->socket, &control_activators_ops,
					a);
	begin_shares(a);
	a->learned = learned_open(s->state_dir);
	a->ledger = ledger_open(a->loop, &(struct ledger_conf){
						 .state_dir = s->state_dir,
						 .run = a->id,
						 .days_max = s->autoscaler.usage_days,
						 .bytes_max = s->autoscaler.usage_max_bytes,
					 });
	a->saved_ns = clk_now();
	open_store(a);
	auditing_set_store(a->auditing, a->store);
	a->rollouts = rollouts_new(&rollouts_ops, a->reconcile, a);
	if (open_drivers(a, e) < 0)
		return -1;
	services_start(a->services, &(struct services_parts){.reconcile = a->reconcile,
							     .learned = a->learned,
							     .store = a->store,
							     .audit = auditing_audit(a->auditing),
							     .platform = a->platform,
							     .addresses = a->addresses,
							     .send_all = control_send_line,
							     .have_defaults = control_have_defaults,
							     .described = control_described,
							     .arg = a});
	a->hub = hub_open(a->loop, s->socket, a->id, &control_hub_ops, a, e);
	if (a->hub == NULL)
		return -1;
	hub_set_term(a->hub, activators_term(a->activators));
	open_ctl(a);
	return 0;
}

static void
on_close_timeout(void *arg)
{
	*(bool *)arg = true;
}

/* Another program takes this one's place.  From here on signals wait for it: without a handler they
 * would end it, or be lost.  Those that came before are handled now. */
static void
hold_signals(struct autoscaler *a)
{
	daemon_hold_signals();
	loop_once(a->loop, true);
	if (!a->is_relaunched)
		daemon_release_signals();
}

/* After a failed start, or for an upgrade: close the drivers, and leave the instances as they are.
 */
static void
close_drivers(struct autoscaler *a)
{
	struct loop_timer timeout;
	bool is_over = false;

	if (a->is_stopping)
		return; /* after a second signal: they are closing, and we do not wait for them */
	a->is_stopping = true;
	loop_timer_init(&timeout, a->loop, on_close_timeout, &is_over);
	loop_timer_set(&timeout, CLOSE_MOST);
	if (a->platform != NULL)
		a->platform->class->close(a->platform, false);
	if (a->addresses != NULL)
		a->addresses->class->close(a->addresses, false);
	while (!is_over && (a->platform != NULL || a->addresses != NULL))
		loop_once(a->loop, false);
	loop_timer_fini(&timeout);
}

struct autoscaler *
control_open(struct loop *loop, struct settings **settings, char *const *argv, struct err *e)
{
	struct autoscaler *a = xcalloc(1, sizeof *a);
	const struct settings *s;

	a->loop = loop;
	a->id = xasprintf("s%x-%llx", (unsigned)getpid(), (unsigned long long)clk_wall() / 1000);
	a->lock_fd = -1;
	a->started_ns = clk_now();
	swaps_init(&a->swaps);
	a->services = services_new(settings);
	a->reload = reload_new(loop, IN_AUTOSCALER, &reload_ops, a);
	s = services_settings(a->services);
	loop_timer_init(&a->tick, loop, on_tick, a);
	loop_timer_init(&a->chores, loop, on_chores, a);
	loop_timer_init(&a->round, loop, on_round, a);
	a->relaunch = relaunch_new(loop, argv, on_checked, a);
	if (open_all(a, e) < 0) {
		(void)control_close(&a);
		return NULL;
	}
	a->is_listening = true;
	a->next_tick_ns = clk_now();
	on_tick(a);
	loop_on_tail(loop, on_tail, a);
	log_info(NULL, "autoscaler started", "socket=%s driver=%s services=%zu admin=%s", s->socket,
		 a->platform->class->name, services_n(a->services),
		 s->autoscaler.admin == NULL ? "none" : s->autoscaler.admin);
	daemon_notify("READY=1");
	a->watchdog = watchdog_new(a->loop, NULL, NULL);
	return a;
}

bool
control_close(struct autoscaler **ap)
{
	struct autoscaler *a = *ap;
	bool is_relaunched;

	*ap = NULL;
	if (a == NULL)
		return false;
	relaunch_free(&a->relaunch);
	loop_on_tail(a->loop, NULL, NULL);
	watchdog_free(&a->watchdog);
	loop_timer_fini(&a->chores);
	loop_timer_fini(&a->tick);
	loop_timer_fini(&a->round);
	close_drivers(a);
	if (a->is_relaunched)
		hold_signals(a);
	is_relaunched = a->is_relaunched;
	if (a->is_listening)
		hub_finish(a->hub, REPORTS_MOST); /* while what activators report has a receiver */
	ctl_server_close(&a->ctl);
	ctl_commands_free(&a->ctl_commands);
	rollouts_free(&a->rollouts);
	hub_close(&a->hub);
	admin_close(&a->admin);
	admin_pages_free(&a->pages);
	control_stop_leading(a); /* the drivers' writes have ended */
	loop_settle(a->loop);	 /* while what drivers report has a receiver */
	ledger_close(&a->ledger);
	activators_close(&a->activators);
	swaps_fini(&a->swaps);
	reconcile_free(&a->reconcile);
	auditing_close(&a->auditing);
	learned_close(&a->learned);
	reload_free(&a->reload);
	services_free(&a->services);
	version_store_close(&a->store);
	daemon_unlock(a->lock_fd);
	free(a->id);
	free(a);
	return is_relaunched;
}
