#include "autoscaler/control.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autoscaler/explain.h"
#include "autoscaler/metrics.h"
#include "autoscaler/reconcile/hub.h"
#include "autoscaler/reconcile/learned.h"
#include "autoscaler/reload.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/loop.h"

#define LOCK_NAME "autoscaler.lock"
#define TICK CLK_S
#define SAVE_EVERY (60 * CLK_S) /* what was learned */
#define LEAVE_PATIENCE (2 * CLK_S)

struct control {
	struct loop *loop;
	char *id; /* unique to this process, also after a restart within one tick */
	int lock_fd;
	int64_t started_ns;
	struct settings *first;	   /* what the drivers were opened with */
	struct settings *settings; /* what holds now; may be `first` */
	struct settings *leaving;  /* what held before, while something of it still runs */
	struct driver *platform, *addresses; /* NULL once closed */
	struct reconcile *reconcile;
	struct learned *learned;
	int64_t saved_ns;
	struct catalog catalog;
	bool is_catalog_whole; /* the driver has told what it finds, too */
	int64_t generation;
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
	struct control *c = arg;
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
	hub_send_line_all(arg, text, n);
}

static void
on_activator(struct hub_peer *p, void *arg)
{
	struct control *c = arg;

	log_info(NULL, "activator connected", "activator=%s", p->id);
	if (c->is_catalog_whole)
		catalog_describe(&c->catalog, c->reconcile, c->generation, line_to_one, p);
	reconcile_peer_up(c->reconcile, p->serial, p->id);
}

static void
on_message(struct hub_peer *p, const struct msg *m, void *arg)
{
	struct control *c = arg;

	reconcile_message(c->reconcile, p->serial, m);
}

static void
on_gone(struct hub_peer *p, const char *why, void *arg)
{
	struct control *c = arg;

	log_warn(NULL, "activator gone", "activator=%s why=%s", p->id, why);
	reconcile_peer_down(c->reconcile, p->serial);
}

static const struct hub_ops hub_ops = {on_activator, on_message, on_gone};

/* --- services --- */

static void
tell_driver(struct driver *d, const struct reconcile_item *items, size_t n)
{
	const struct revision_conf **v = xcalloc(n + 1, sizeof *v);
	size_t i, found = 0;

	for (i = 0; i < n; i++)
		if (items[i].driver == d)
			v[found++] = items[i].conf;
	d->class->set_revisions(d, v, found);
	free(v);
}

/* With driver process all instances share this machine. */
static void
measure_machine(const struct settings *s, struct reconcile_conf *conf)
{
	if (s->autoscaler.driver != DRIVER_PROCESS)
		return;
	conf->machine_cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
	conf->machine_memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
}

/* Make what `settings` and the driver name the services that there are. */
static void
apply_services(struct control *c)
{
	struct reconcile_conf conf = {.max_instances = settings_max_instances(c->settings),
				      .drain_timeout = c->settings->autoscaler.drain_timeout};
	const struct service_conf *found = NULL;
	struct reconcile_item *items;
	size_t found_n = 0, n;

	measure_machine(c->settings, &conf);
	if (c->platform->class->services != NULL)
		found = c->platform->class->services(c->platform, c->settings, &found_n);
	c->is_catalog_whole = c->platform->class->services == NULL || found != NULL;
	catalog_fini(&c->catalog);
	catalog_init(&c->catalog, c->settings->services, c->settings->services_n, found, found_n);
	if (c->leaving != NULL && c->platform->class->is_owner)
		catalog_keep_leaving(&c->catalog, c->leaving->services, c->leaving->services_n,
				     c->reconcile);
	items = catalog_items(&c->catalog, c->platform, c->addresses, &n);
	reconcile_set(c->reconcile, &conf, items, n);
	learned_teach(c->learned, c->reconcile);
	tell_driver(c->platform, items, n);
	tell_driver(c->addresses, items, n);
	free(items);
	c->generation++;
	/* Half of the services would be taken for all: until then activators park, or keep
	 * what an autoscaler before us has said. */
	if (c->hub != NULL && c->is_catalog_whole)
		catalog_describe(&c->catalog, c->reconcile, c->generation, line_to_all, c->hub);
}

static void
drop_settings(struct control *c, struct settings *s)
{
	if (s != c->first && s != c->settings)
		settings_free(&s);
}

/* What is leaving has left. */
static void
end_leaving(struct control *c)
{
	struct settings *past = c->leaving;

	c->leaving = NULL;
	apply_services(c);
	drop_settings(c, past);
}

/* Go over to new settings.  What they name no more is emptied before it is stopped; if
 * something was leaving already, its time is over. */
static void
adopt_settings(struct control *c, struct settings *new)
{
	struct settings *past = c->leaving;

	c->leaving = c->settings;
	c->settings = new;
	apply_services(c);
	if (past != NULL)
		drop_settings(c, past);
	if (c->catalog.leaving_n == 0) {
		past = c->leaving;
		c->leaving = NULL;
		drop_settings(c, past);
	}
}

/* --- drivers --- */

static void
on_view(const struct driver_view *view, void *arg)
{
	struct control *c = arg;

	reconcile_view(c->reconcile, view);
}

static void
on_services(void *arg)
{
	struct control *c = arg;

	if (!c->is_stopping)
		apply_services(c);
}

static void
on_closed(struct driver **dp, struct control *c)
{
	*dp = NULL;
	if (c->platform == NULL && c->addresses == NULL)
		loop_stop(c->loop);
}

static void
on_platform_closed(void *arg)
{
	struct control *c = arg;

	on_closed(&c->platform, c);
}

static void
on_addresses_closed(void *arg)
{
	struct control *c = arg;

	on_closed(&c->addresses, c);
}

static uint32_t
load(const char *id, void *arg)
{
	const struct control *c = arg;

	return reconcile_load(c->reconcile, id);
}

static const struct driver_ops platform_ops = {on_view, on_platform_closed, on_services, load};
static const struct driver_ops addresses_ops = {on_view, on_addresses_closed, on_services, load};

static const struct driver_class *const classes[] = {
	[DRIVER_PROCESS] = &driver_process,
	[DRIVER_KUBERNETES] = &driver_kubernetes,
};

static int
open_drivers(struct control *c, struct err *e)
{
	const struct driver_class *class = classes[c->first->autoscaler.driver];

	c->platform = class->open(c->loop, c->first, &platform_ops, c, e);
	if (c->platform == NULL)
		return err_prefix(e, "driver %s", class->name);
	c->addresses = driver_addresses.open(c->loop, c->first, &addresses_ops, c, e);
	return c->addresses == NULL ? -1 : 0;
}

/* --- time and signals --- */

static void
save_learned(struct control *c, bool is_due)
{
	if (!is_due)
		return;
	c->saved_ns = clk_now();
	learned_save(c->learned, c->reconcile);
}

static void
stop(struct control *c)
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
is_waited_for(const struct control *c)
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
	struct control *c = arg;
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
	if (c->leaving != NULL && reconcile_has_left(c->reconcile))
		end_leaving(c);
}

static void
on_tail(void *arg)
{
	struct control *c = arg;

	reconcile_tail(c->reconcile);
}

static void
on_stop(int signo, void *arg)
{
	struct control *c = arg;

	if (c->is_stopping) {
		log_warn(NULL, "asked twice, leaving at once", "signal=%s", strsignal(signo));
		loop_stop(c->loop);
		return;
	}
	if (c->linger_ns == 0 && is_waited_for(c)) {
		c->linger_ns = clk_now() + c->settings->autoscaler.drain_timeout;
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
	struct control *c = arg;
	struct settings *new;

	(void)signo;
	if (c->is_stopping)
		return;
	new = reload_read(c->settings->file, c->settings);
	if (new == NULL) {
		c->reload_failures++;
		return;
	}
	adopt_settings(c, new);
	c->reloads++;
	log_info(NULL, "conf file reloaded", "file=%s services=%zu generation=%lld", new->file,
		 new->services_n, (long long)c->generation);
}

static int
watch_signals(struct control *c, struct err *e)
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
	const struct control *c = arg;

	if (c->is_stopping || c->linger_ns != 0)
		return "stopping";
	if (!c->is_listening)
		return "not listening yet";
	if (!c->is_catalog_whole)
		return "services from annotations are not known yet";
	return reconcile_is_known(c->reconcile) ? NULL : "the driver has not seen the world yet";
}

static const struct admin_ops admin_ops = {.not_ready = not_ready, .metrics = metrics_write};

static int
open_admin(struct control *c, struct err *e)
{
	const char *const addrs[] = {c->settings->autoscaler.admin, NULL};

	if (addrs[0] == NULL || addrs[0][0] == '\0')
		return 0;
	c->admin = admin_open(c->loop, addrs, &admin_ops, c, e);
	if (c->admin == NULL)
		return err_prefix(e, "admin");
	admin_route(c->admin, "/status", status_answer, c);
	admin_route(c->admin, "/why", explain_answer, c);
	return 0;
}

struct control_facts
control_facts(const struct control *c)
{
	return (struct control_facts){.id = c->id,
				      .started_ns = c->started_ns,
				      .generation = c->generation,
				      .reloads = c->reloads,
				      .reload_failures = c->reload_failures,
				      .max_instances = settings_max_instances(c->settings),
				      .driver = classes[c->first->autoscaler.driver]->name,
				      .platform = c->platform,
				      .reconcile = c->reconcile,
				      .hub = c->hub,
				      .is_stopping = c->is_stopping};
}

/* --- life --- */

/* Everything in the order in which it may be needed; the socket last, so that nobody
 * finds us half made. */
static int
open_all(struct control *c, struct err *e)
{
	c->lock_fd = daemon_lock(c->settings->state_dir, LOCK_NAME, e);
	if (c->lock_fd < 0 || watch_signals(c, e) < 0 || open_admin(c, e) < 0)
		return -1;
	c->reconcile = reconcile_new(&reconcile_ops, c, c->id);
	c->learned = learned_open(c->settings->state_dir);
	c->saved_ns = clk_now();
	if (open_drivers(c, e) < 0)
		return -1;
	apply_services(c);
	c->hub = hub_open(c->loop, c->settings->socket, c->id, &hub_ops, c, e);
	return c->hub == NULL ? -1 : 0;
}

static void
on_patience(void *arg)
{
	*(bool *)arg = true;
}

/* What could not be opened as a whole leaves in order, instances untouched. */
static void
leave_drivers(struct control *c)
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

struct control *
control_open(struct loop *loop, struct settings **settings, struct err *e)
{
	struct control *c = xcalloc(1, sizeof *c);

	c->loop = loop;
	c->id = xasprintf("s%x-%llx", (unsigned)getpid(), (unsigned long long)clk_wall() / 1000);
	c->lock_fd = -1;
	c->started_ns = clk_now();
	c->first = c->settings = *settings;
	*settings = NULL;
	loop_timer_init(&c->tick, loop, on_tick, c);
	if (open_all(c, e) < 0) {
		control_close(&c);
		return NULL;
	}
	c->is_listening = true;
	c->next_tick_ns = clk_now();
	on_tick(c);
	loop_on_tail(loop, on_tail, c);
	log_info(NULL, "autoscaler runs", "socket=%s driver=%s services=%zu admin=%s",
		 c->settings->socket, c->platform->class->name, c->catalog.n,
		 c->settings->autoscaler.admin == NULL ? "none" : c->settings->autoscaler.admin);
	daemon_notify("READY=1");
	return c;
}

void
control_close(struct control **cp)
{
	struct control *c = *cp;

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
	catalog_fini(&c->catalog);
	if (c->leaving != NULL)
		drop_settings(c, c->leaving);
	if (c->settings != c->first)
		settings_free(&c->settings);
	settings_free(&c->first);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	free(c->id);
	free(c);
}
