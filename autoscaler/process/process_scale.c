/* process_scale - carries out the scale of a revision: whether an instance may start now,
 * on which port and with what arguments, and which instance stops first. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "autoscaler/keeper/command.h"
#include "autoscaler/process/instance_check.h"
#include "autoscaler/process/process_impl.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/random.h"
#include "common/text.h"

void
process_changed(struct process_driver *d, struct fleet *f)
{
	f->is_dirty = true;
	loop_timer_set(&d->flush_timer, 0);
}

/* --- members --- */

static void
mark_port(struct process_driver *d, uint16_t port, bool is_taken)
{
	uint8_t bit = (uint8_t)(1 << port % 8);

	if (is_taken)
		d->ports_in_use[port / 8] |= bit;
	else
		d->ports_in_use[port / 8] &= (uint8_t)~bit;
}

struct member *
process_add(struct process_driver *d, struct fleet *f, const char *id, uint16_t port)
{
	struct member *m = fleet_add(f, id, port);

	m->added_ns = clk_now();
	hmap_put(&d->by_id, id, m);
	mark_port(d, port, true);
	process_changed(d, f);
	if (!loop_timer_pending(&d->usage_timer))
		loop_timer_set(&d->usage_timer, CLK_S);
	return m;
}

void
process_end_checks(struct member *m)
{
	instance_check_free(&m->refusal);
	instance_check_free(&m->liveness);
}

void
process_remove(struct process_driver *d, struct member *m)
{
	struct fleet *f = m->fleet;

	process_end_checks(m);
	hmap_remove(&d->by_id, m->id);
	mark_port(d, m->port, false);
	fleet_remove(f, &m);
	process_changed(d, f);
	if (loop_timer_pending(&d->port_timer))
		loop_timer_set(&d->port_timer, 0); /* the port may be what another one waits for */
}

struct fleet *
process_fleet(struct process_driver *d, const char *revision)
{
	struct fleet *f = hmap_find(&d->by_name, revision);

	if (f != NULL)
		return f;
	f = fleet_new(revision);
	f->driver = d;
	list_push(&d->fleets, &f->node);
	hmap_put(&d->by_name, revision, f);
	return f;
}

/* --- start and stop --- */

struct port_query {
	const struct process_driver *d;
	uint16_t avoided;
	enum ports_use least;
};

static bool
is_acceptable(uint16_t port, void *arg)
{
	const struct port_query *q = arg;

	return port != q->avoided && (q->d->ports_in_use[port / 8] & 1 << port % 8) == 0 &&
	       ports_use(port) >= q->least;
}

/* A free port; if there is none, one that lingers; and if the only one is the one where the last
 * member ended before it was ready, that one.  0: no port can be used. */
static uint16_t
pick_port(struct process_driver *d, const struct fleet *f)
{
	struct port_query q = {.d = d, .avoided = f->avoided_port, .least = PORTS_FREE};
	uint32_t place = d->port_cursor.at;
	uint16_t port = ports_pick(&d->ports, place, is_acceptable, &q);

	q.least = PORTS_LINGERING;
	if (port == 0)
		port = ports_pick(&d->ports, place, is_acceptable, &q);
	q.avoided = 0;
	if (port == 0 && f->avoided_port != 0)
		port = ports_pick(&d->ports, place, is_acceptable, &q);
	if (port != 0)
		port_cursor_advance(&d->port_cursor, ports_steps(&d->ports, place, port),
				    ports_n(&d->ports));
	return port;
}

static char *
new_id(struct process_driver *d, const struct fleet *f)
{
	char *id = xasprintf("%s-%s-%llu", f->revision, d->run_id,
			     (unsigned long long)++d->started);
	char *at;

	for (at = id; *at != '\0'; at++)
		if (*at == '/')
			*at = '-';
	return id;
}

/* Relative to our working directory: that of the keeper may be another one, if another
 * autoscaler started it.  The caller's to free; NULL: that of the keeper. */
static char *
absolute_directory(const char *directory)
{
	char *cwd, *path;

	if (directory != NULL && directory[0] == '/')
		return xstrdup(directory);
	cwd = getcwd(NULL, 0);
	if (cwd == NULL)
		return text_copy(directory);
	if (directory == NULL)
		return cwd;
	path = xasprintf("%s/%s", cwd, directory);
	free(cwd);
	return path;
}

static int
ask_start(struct process_driver *d, const struct fleet *f, const char *id, uint16_t port,
	  struct err *e)
{
	const struct launch *l = &f->conf->launch;
	const char *mark = keeper_client_mark(d->keeper);
	struct keeper_msg m = {
		.type = KEEPER_START,
		.id = xstrdup(id),
		.revision = xstrdup(f->revision),
		.port = port,
		.argv = command_arguments(&l->command, port),
		.env = command_environment(environ, &l->environment, port, id, mark),
		.directory = absolute_directory(l->directory),
		.user = text_copy(l->user),
		.stop_timeout_ms = l->stop_timeout / CLK_MS,
		.launch = text_copy(f->launch),
		.stop_argv = command_arguments(&l->stop_command, port),
		.pid_file = l->pid_file == NULL ? NULL : command_fill(l->pid_file, port),
	};
	int rc = keeper_client_send(d->keeper, &m, e);

	keeper_msg_fini(&m);
	return rc < 0 ? err_prefix(e, "cannot start %s", l->command.v[0]) : 0;
}

void
process_start_failed(struct process_driver *d, struct fleet *f, const char *why)
{
	crash_start_failed(&f->crash, why, clk_now(), random_u32());
	log_debug(NULL, "instance not started", "revision=%s err=%s retry_after_ms=%lld",
		  f->revision, why, (long long)(crash_wait(&f->crash, clk_now()) / CLK_MS));
	process_changed(d, f);
}

/* No port can be used now.  Other instances and other programs give ports back: try again soon,
 * and let requests wait meanwhile. */
static void
wait_for_port(struct process_driver *d, struct fleet *f)
{
	if (!f->is_waiting_for_port) {
		log_debug(NULL, "no port is free, waiting for one", "revision=%s ports=%u-%u",
			  f->revision, d->ports.first, d->ports.last);
		process_changed(d, f);
	}
	f->is_waiting_for_port = true;
	if (!loop_timer_pending(&d->port_timer))
		loop_timer_set(&d->port_timer, backoff_next(&d->port_backoff, random_u32()));
}

static void
end_wait_for_port(struct process_driver *d, struct fleet *f)
{
	if (!f->is_waiting_for_port)
		return;
	f->is_waiting_for_port = false;
	backoff_reset(&d->port_backoff);
	process_changed(d, f);
}

static int
start_at(struct process_driver *d, struct fleet *f, uint16_t port, struct err *e)
{
	char *id;
	int rc;

	if (f->conf->launch.command.n == 0)
		return err_set(e, 0, "cannot start an instance: the revision has no command");
	id = new_id(d, f);
	rc = ask_start(d, f, id, port, e);
	if (rc == 0) {
		struct member *m = process_add(d, f, id, port);

		m->started_ns = clk_now();
		m->launch = text_copy(f->launch);
	}
	free(id);
	return rc;
}

void
process_send(struct process_driver *d, enum keeper_msg_type type, const struct member *m)
{
	(void)keeper_client_send(d->keeper, &(struct keeper_msg){.type = type, .id = m->id}, NULL);
}

void
process_stop(struct process_driver *d, struct member *m)
{
	m->phase = MEMBER_STOPPING;
	process_end_checks(m);
	log_debug(&m->tag, "instance stopping", "pid=%d", (int)m->pid);
	process_send(d, KEEPER_STOP, m);
	process_changed(d, m->fleet);
}

void
process_overdue(struct process_driver *d, struct member *m)
{
	int64_t now = clk_now(), lived_ns = now - m->started_ns;
	struct fleet *f = m->fleet;
	char how[80];

	snprintf(how, sizeof how, "was stopped after %g s (start_timeout)",
		 (double)f->conf->launch.start_timeout / CLK_S);
	crash_ended(&f->crash, CRASH_STARTING, lived_ns, how, now, random_u32());
	log_warn(&m->tag, "instance not ready within start_timeout, stopping it",
		 "lived_ms=%lld failed=%d retry_after_ms=%lld", (long long)(lived_ns / CLK_MS),
		 f->crash.is_failed, (long long)(crash_wait(&f->crash, now) / CLK_MS));
	process_stop(d, m);
}

void
process_retire(struct process_driver *d, struct member *m)
{
	m->is_retired = true;
	process_end_checks(m);
	process_changed(d, m->fleet);
}

/* Stop the victims, and retired members; with a scale of 0 all of these were drained. */
static void
stop_drained(struct process_driver *d, struct fleet *f)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->members, node, tmp) {
		struct member *m = container_of(node, struct member, node);

		if (m->phase < MEMBER_STOPPING &&
		    (fleet_is_victim(m) || (m->is_retired && f->scale == 0)))
			process_stop(d, m);
	}
}

/* Replace what was started with another command.  A member that has never been ready, or that
 * was drained, is stopped; any other is drained first. */
static void
retire_outdated(struct process_driver *d, struct fleet *f)
{
	uint32_t n;

	for (n = fleet_excess(f); n > 0; n--) {
		struct member *m = fleet_next_victim(f, true);

		if (f->scale == 0 || m->ready_ns == 0 || fleet_is_victim(m))
			process_stop(d, m);
		else
			process_retire(d, m);
	}
}

/* Start members until there are `permitted`; as far as that may be now. */
static void
start_more(struct process_driver *d, struct fleet *f)
{
	uint32_t live = fleet_current(f);
	struct err e;
	uint16_t port;

	for (; f->conf != NULL && live < fleet_permitted(f, clk_now()); live++) {
		if (crash_wait(&f->crash, clk_now()) > 0)
			break; /* the next flush sets due_timer */
		port = pick_port(d, f);
		if (port == 0) {
			wait_for_port(d, f);
			return;
		}
		if (start_at(d, f, port, &e) < 0)
			process_start_failed(d, f, e.text);
	}
	end_wait_for_port(d, f);
}

void
process_reconcile(struct process_driver *d, struct fleet *f)
{
	uint32_t live;

	if (!d->is_synced || d->is_keeper_shutting_down || d->is_closing || !f->has_scale)
		return;
	stop_drained(d, f);
	for (live = fleet_current(f); live > f->scale; live--)
		process_stop(d, fleet_next_victim(f, false));
	retire_outdated(d, f);
	start_more(d, f);
}
