#include "autoscaler/control.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autoscaler/explain.h"
#include "autoscaler/facts.h"
#include "autoscaler/metrics.h"
#include "autoscaler/reconcile/hub.h"
#include "autoscaler/reconcile/learned.h"
#include "autoscaler/reload.h"
#include "autoscaler/services.h"
#include "autoscaler/status.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"

#define LOCK_NAME "autoscaler.lock"
#define TICK CLK_S
#define SAVE_EVERY (60 * CLK_S) /* what was learned */
#define LEAVE_PATIENCE (2 * CLK_S)

struct autoscaler {
	struct loop *loop;
	char *id; /* unique to this process, also after a restart within one tick */
	int lock_fd;
	int64_t started_ns;
	struct services *services;
	struct driver *platform, *addresses; /* NULL once closed */
	struct reconcile *reconcile;
	struct learned *learned;
	int64_t saved_ns;
	struct hub *hub;
	struct admin *admin;
	struct loop_timer tick;
	int64_t next_tick_ns;
	bool is_listening, is_stopping;
	int64_t linger_ns; /* told to stop, and needed until then at most; 0: not told */
	uint64_t reloads, reload_failures;
};

/* --- messages --- */

static void
send_message(uint64_t peer, const struct msg *m, void *arg)
{
	struct autoscaler *c = arg;
	struct hub_peer *p;

	if (c->hub == NULL)
		return;
	if (peer == 0) {
		hub_send_all(c->hub, m);
		return;
	}
	p = hub_find(c->hub, peer);
	if (p != NULL)
		hub_send(p, m);
}

static const struct reconcile_ops reconcile_ops = {.send = send_message};

static void
line_to_one(const char *text, size_t n, void *arg)
{
	hub_send_line(arg, text, n);
}

static void
line_to_all(const char *text, size_t n, void *arg)
{
	const struct autoscaler *c = arg;

	if (c->hub != NULL)
		hub_send_line_all(c->hub, text, n);
}

static void
on_activator(struct hub_peer *p, void *arg)
{
	struct autoscaler *c = arg;

	log_info(NULL, "activator connected", "activator=%s", p->id);
	services_describe(c->services, line_to_one, p);
	reconcile_peer_up(c->reconcile, p->serial, p->id);
}

static void
on_message(struct hub_peer *p, const struct msg *m, void *arg)
{
	struct autoscaler *c = arg;

	reconcile_message(c->reconcile, p->serial, m);
}

static void
on_gone(struct hub_peer *p, const char *why, void *arg)
{
	struct autoscaler *c = arg;

	log_warn(NULL, "activator gone", "activator=%s why=%s", p->id, why);
	reconcile_peer_down(c->reconcile, p->serial);
}

static const struct hub_ops hub_ops = {on_activator, on_message, on_gone};

/* --- drivers --- */

static void
on_view(const struct driver_view *view, void *arg)
{
	struct autoscaler *c = arg;

	reconcile_view(c->reconcile, view);
}

static void
on_services(void *arg)
{
	struct autoscaler *c = arg;

	if (!c->is_stopping)
		services_found(c->services);
}

static void
on_closed(struct driver **dp, struct autoscaler *c)
{
	*dp = NULL;
	if (c->platform == NULL && c->addresses == NULL)
		loop_stop(c->loop);
}

static void
on_platform_closed(void *arg)
{
	struct autoscaler *c = arg;

	on_closed(&c->platform, c);
}

static void
on_addresses_closed(void *arg)
{
	struct autoscaler *c = arg;

	on_closed(&c->addresses, c);
}

static uint32_t
load(const char *id, void *arg)
{
	const struct autoscaler *c = arg;

	return reconcile_load(c->reconcile, id);
}

static const struct driver_ops platform_ops = {on_view, on_platform_closed, on_services, load};
static const struct driver_ops addresses_ops = {on_view, on_addresses_closed, on_services, load};

static const struct driver_class *const classes[] = {
	[DRIVER_PROCESS] = &driver_process,
	[DRIVER_KUBERNETES] = &driver_kubernetes,
};

static int
open_drivers(struct autoscaler *c, struct err *e)
{
	const struct settings *s = services_settings(c->services);
	const struct driver_class *class = classes[s->autoscaler.driver];

	c->platform = class->open(c->loop, s, &platform_ops, c, e);
	if (c->platform == NULL)
		return err_prefix(e, "driver %s", class->name);
	c->addresses = driver_addresses.open(c->loop, s, &addresses_ops, c, e);
	return c->addresses == NULL ? -1 : 0;
}

/* --- time and signals --- */

static void
save_learned(struct autoscaler *c, bool is_due)
{
	if (!is_due)
		return;
	c->saved_ns = clk_now();
	learned_save(c->learned, c->reconcile);
}

static void
stop(struct autoscaler *c)
{
	c->is_stopping = true;
	daemon_notify("STOPPING=1");
	loop_timer_clear(&c->tick);
	reconcile_retire(c->reconcile);
	save_learned(c, true);
	c->platform->class->close(c->platform, true);
	c->addresses->class->close(c->addresses, true);
}

/* Somebody is parked: without us his instance, started as it is, would not be found. */
static bool
is_waited_for(const struct autoscaler *c)
{
	const struct scaled_revision *rev;
	size_t at = 0;

	if (c->platform->class->is_owner || hub_activators(c->hub) == 0)
		return false;
	while ((rev = reconcile_next(c->reconcile, &at)) != NULL)
		if (reports_parked(&rev->reports) > 0)
			return true;
	return false;
}

static void
on_tick(void *arg)
{
	struct autoscaler *c = arg;
	int64_t now = clk_now();

	/* Not from here on, but from when it was due: seconds do not drift.  Whoever was
	 * stopped for a while does not make up for it. */
	c->next_tick_ns = MAX(c->next_tick_ns + TICK, now);
	loop_timer_set(&c->tick, c->next_tick_ns - now);
	reconcile_tick(c->reconcile);
	save_learned(c, now - c->saved_ns >= SAVE_EVERY);
	if (c->linger_ns != 0 && (now >= c->linger_ns || !is_waited_for(c))) {
		stop(c);
		return;
	}
	services_tick(c->services);
}

static void
on_tail(void *arg)
{
	struct autoscaler *c = arg;

	reconcile_tail(c->reconcile);
}

static void
on_stop(int signo, void *arg)
{
	struct autoscaler *c = arg;

	if (c->is_stopping) {
		log_warn(NULL, "asked twice, leaving at once", "signal=%s", strsignal(signo));
		loop_stop(c->loop);
		return;
	}
	if (c->linger_ns == 0 && is_waited_for(c)) {
		c->linger_ns = clk_now() + services_settings(c->services)->autoscaler.drain_timeout;
		log_info(NULL, "stopping when nobody is parked any more", "signal=%s",
			 strsignal(signo));
		return;
	}
	log_info(NULL, "stopping", "signal=%s", strsignal(signo));
	stop(c);
}

static void
on_reload(int signo, void *arg)
{
	struct autoscaler *c = arg;
	const struct settings *now = services_settings(c->services);
	struct settings *new;

	(void)signo;
	if (c->is_stopping)
		return;
	new = reload_read(now->file, now);
	if (new == NULL) {
		c->reload_failures++;
		return;
	}
	services_adopt(c->services, new);
	c->reloads++;
	log_info(NULL, "conf file reloaded", "file=%s services=%zu generation=%lld", new->file,
		 new->services_n, (long long)services_generation(c->services));
}

static int
watch_signals(struct autoscaler *c, struct err *e)
{
	if (loop_signal(c->loop, SIGTERM, on_stop, c, e) < 0 ||
	    loop_signal(c->loop, SIGINT, on_stop, c, e) < 0 ||
	    loop_signal(c->loop, SIGHUP, on_reload, c, e) < 0)
		return -1;
	return 0;
}

/* --- admin --- */

static const char *
not_ready(void *arg)
{
	const struct autoscaler *c = arg;

	if (c->is_stopping || c->linger_ns != 0)
		return "stopping";
	if (!c->is_listening)
		return "not listening yet";
	if (!services_are_complete(c->services))
		return "services from annotations are not known yet";
	return reconcile_is_known(c->reconcile) ? NULL
						: "the driver does not know the instances yet";
}

static struct facts
facts_of(const struct autoscaler *c)
{
	const struct settings *s = services_settings(c->services);

	return (struct facts){.id = c->id,
			      .started_ns = c->started_ns,
			      .generation = services_generation(c->services),
			      .reloads = c->reloads,
			      .reload_failures = c->reload_failures,
			      .max_instances = settings_max_instances(s),
			      .driver = classes[s->autoscaler.driver]->name,
			      .platform = c->platform,
			      .reconcile = c->reconcile,
			      .hub = c->hub,
			      .is_stopping = c->is_stopping};
}

static void
on_metrics(struct strbuf *out, void *arg)
{
	struct facts f = facts_of(arg);

	metrics_write(out, &f);
}

static void
on_status(struct admin_request *req, void *arg)
{
	struct facts f = facts_of(arg);

	status_answer(req, &f);
}

static void
on_why(struct admin_request *req, void *arg)
{
	struct facts f = facts_of(arg);

	explain_answer(req, &f);
}

static const struct admin_ops admin_ops = {.not_ready = not_ready, .metrics = on_metrics};

static int
open_admin(struct autoscaler *c, struct err *e)
{
	const char *const addrs[] = {services_settings(c->services)->autoscaler.admin, NULL};

	if (addrs[0] == NULL || addrs[0][0] == '\0')
		return 0;
	c->admin = admin_open(c->loop, addrs, &admin_ops, c, e);
	if (c->admin == NULL)
		return err_prefix(e, "admin");
	admin_add_page(c->admin, "/status", on_status, c);
	admin_add_page(c->admin, "/why", on_why, c);
	return 0;
}

/* --- life --- */

/* Everything in the order in which it may be needed; the socket last, so that nobody
 * finds us half made. */
static int
open_all(struct autoscaler *c, struct err *e)
{
	const struct settings *s = services_settings(c->services);

	c->lock_fd = daemon_lock(s->state_dir, LOCK_NAME, e);
	if (c->lock_fd < 0 || watch_signals(c, e) < 0 || open_admin(c, e) < 0)
		return -1;
	c->reconcile = reconcile_new(&reconcile_ops, c, c->id);
	c->learned = learned_open(s->state_dir);
	c->saved_ns = clk_now();
	if (open_drivers(c, e) < 0)
		return -1;
	services_start(c->services, &(struct services_parts){.reconcile = c->reconcile,
							     .learned = c->learned,
							     .platform = c->platform,
							     .addresses = c->addresses,
							     .send_all = line_to_all,
							     .arg = c});
	c->hub = hub_open(c->loop, s->socket, c->id, &hub_ops, c, e);
	return c->hub == NULL ? -1 : 0;
}

static void
on_patience(void *arg)
{
	*(bool *)arg = true;
}

/* What could not be opened as a whole leaves in order, instances untouched. */
static void
leave_drivers(struct autoscaler *c)
{
	struct loop_timer patience;
	bool is_over = false;

	if (c->is_stopping)
		return; /* asked twice: they are closing already, and nobody waits */
	c->is_stopping = true;
	loop_timer_init(&patience, c->loop, on_patience, &is_over);
	loop_timer_set(&patience, LEAVE_PATIENCE);
	if (c->platform != NULL)
		c->platform->class->close(c->platform, false);
	if (c->addresses != NULL)
		c->addresses->class->close(c->addresses, false);
	while (!is_over && (c->platform != NULL || c->addresses != NULL))
		loop_once(c->loop, false);
	loop_timer_fini(&patience);
}

struct autoscaler *
control_open(struct loop *loop, struct settings **settings, struct err *e)
{
	struct autoscaler *c = xcalloc(1, sizeof *c);
	const struct settings *s;

	c->loop = loop;
	c->id = xasprintf("s%x-%llx", (unsigned)getpid(), (unsigned long long)clk_wall() / 1000);
	c->lock_fd = -1;
	c->started_ns = clk_now();
	c->services = services_new(settings);
	s = services_settings(c->services);
	loop_timer_init(&c->tick, loop, on_tick, c);
	if (open_all(c, e) < 0) {
		control_close(&c);
		return NULL;
	}
	c->is_listening = true;
	c->next_tick_ns = clk_now();
	on_tick(c);
	loop_on_tail(loop, on_tail, c);
	log_info(NULL, "autoscaler runs", "socket=%s driver=%s services=%zu admin=%s", s->socket,
		 c->platform->class->name, services_n(c->services),
		 s->autoscaler.admin == NULL ? "none" : s->autoscaler.admin);
	daemon_notify("READY=1");
	return c;
}

void
control_close(struct autoscaler **cp)
{
	struct autoscaler *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	loop_on_tail(c->loop, NULL, NULL);
	loop_timer_fini(&c->tick);
	leave_drivers(c);
	hub_close(&c->hub);
	admin_close(&c->admin);
	reconcile_free(&c->reconcile);
	learned_close(&c->learned);
	services_free(&c->services);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	free(c->id);
	free(c);
}
