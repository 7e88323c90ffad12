/* driver_process - instances are processes of this machine, children of a keeper (keeper.h).
 * The driver decides on which port an instance runs, when the next one may start after a
 * crash, and when a revision has failed.  The keeper forks, stops and reports. */
#include "autoscaler/driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/keeper/command.h"
#include "autoscaler/process/instance_check.h"
#include "autoscaler/process/process_impl.h"
#include "autoscaler/process/usage.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/random.h"

#define PORT_RETRY_FIRST_NS (5 * CLK_MS)
#define PORT_RETRY_MOST_NS (500 * CLK_MS)
#define SHUT_DOWN_SLACK_NS (3 * CLK_S) /* for the keeper, beyond the longest stop_timeout */

static struct process_driver *
of(struct driver *d)
{
	return container_of(d, struct process_driver, driver);
}

/* --- views --- */

static struct msg_failure
failure_of(const struct process_driver *d, struct fleet *f)
{
	const char *outage = d->keeper == NULL ? NULL : keeper_client_outage(d->keeper);
	int64_t left = MAX(f->crash.until_ns - clk_now(), 0);

	if (outage != NULL)
		return (struct msg_failure){.reason = (char *)(uintptr_t) "no_keeper",
					    .message = (char *)(uintptr_t)outage,
					    .retry_after_ms = 1000,
					    .is_outage = true};
	if (fleet_has_ready(f))
		return (struct msg_failure){.reason = NULL};
	if (f->is_waiting_for_port)
		return (struct msg_failure){.reason = (char *)(uintptr_t) "no_port",
					    .message = (char *)(uintptr_t)d->no_port,
					    .retry_after_ms = 1000,
					    .is_parking = true};
	if (!f->crash.is_failed)
		return (struct msg_failure){.reason = NULL};
	return (struct msg_failure){.reason = f->crash.reason,
				    .message = f->crash.message,
				    .retry_after_ms = (left + CLK_MS - 1) / CLK_MS};
}

static void
publish(struct process_driver *d, struct fleet *f)
{
	struct driver_view v = fleet_view(f, d->is_synced);
	struct msg_failure failure = failure_of(d, f);

	f->is_dirty = false;
	v.failure = failure.reason == NULL ? NULL : &failure;
	d->driver.ops->on_view(&v, d->driver.arg);
}

/* The revision is no longer configured, and its last instance is gone. */
static bool
is_obsolete(const struct process_driver *d, const struct fleet *f)
{
	return d->has_revisions && f->conf == NULL && f->members.n == 0;
}

static void
drop_fleet(struct process_driver *d, struct fleet *f)
{
	list_remove(&d->fleets, &f->node);
	hmap_remove(&d->by_name, f->revision);
	fleet_free(&f);
}

static int64_t
heard_since(const struct process_driver *d)
{
	return d->driver.ops->heard_since == NULL ? 1 : d->driver.ops->heard_since(d->driver.arg);
}

static void
set_due_timer(struct process_driver *d)
{
	struct list_node *node, *tmp;
	int64_t first = INT64_MAX;

	LIST_FOREACH(&d->fleets, node, tmp) {
		int64_t due = fleet_due_ns(container_of(node, struct fleet, node), heard_since(d));

		first = due == 0 ? first : MIN(first, due);
	}
	if (first != INT64_MAX)
		loop_timer_set(&d->due_timer, MAX(first - clk_now(), 0));
}

static void finish_close(struct process_driver *);

static void
on_flush(void *arg)
{
	struct process_driver *d = arg;
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->fleets, node, tmp) {
		struct fleet *f = container_of(node, struct fleet, node);

		if (f->is_dirty)
			publish(d, f);
		if (is_obsolete(d, f))
			drop_fleet(d, f);
	}
	set_due_timer(d);
	if (d->is_closing && d->keeper == NULL)
		finish_close(d);
}

/* Stop the members whose start has taken too long: a program may hang in it. */
static void
stop_overdue(struct process_driver *d, struct fleet *f, int64_t now)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->members, node, tmp) {
		struct member *m = container_of(node, struct member, node);
		int64_t deadline = fleet_start_deadline(m, heard_since(d));

		if (deadline != 0 && deadline <= now)
			process_overdue(d, m);
	}
}

/* No activator has said that they have had a request. */
static void
end_doubtful(struct process_driver *d, struct fleet *f, int64_t now)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->members, node, tmp) {
		struct member *m = container_of(node, struct member, node);

		if (m->verdict_ns != 0 && m->verdict_ns <= now)
			process_end(d, m);
	}
}

/* The back-off of a fleet is over, and so is its failure; or a member has lived long enough to
 * be proven, or has been starting for too long. */
static void
on_due(void *arg)
{
	struct process_driver *d = arg;
	int64_t now = clk_now();
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->fleets, node, tmp) {
		struct fleet *f = container_of(node, struct fleet, node);
		int64_t due = fleet_due_ns(f, heard_since(d));

		if (due == 0 || due > now)
			continue;
		stop_overdue(d, f, now);
		end_doubtful(d, f, now);
		if (fleet_has_proven(f, now))
			crash_proven(&f->crash);
		(void)crash_wait(&f->crash, now); /* clears a failure whose time is over */
		process_changed(d, f);
		process_reconcile(d, f);
	}
	set_due_timer(d);
}

/* Start what has been waiting for a port. */
static void
on_port_retry(void *arg)
{
	struct process_driver *d = arg;
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->fleets, node, tmp) {
		struct fleet *f = container_of(node, struct fleet, node);

		if (f->is_waiting_for_port)
			process_reconcile(d, f);
	}
}

/* --- usage --- */

static void
take_sample(struct process_driver *d, struct member *m, const struct usage_sample *s)
{
	if (s->cpu_s < 0 || (s->cpu_s <= m->cpu_s && s->memory_bytes == m->memory_bytes))
		return;
	m->cpu_s = MAX(m->cpu_s, s->cpu_s); /* less, if a process ended and was not waited for */
	m->memory_bytes = s->memory_bytes;
	process_changed(d, m->fleet);
}

static void
on_usage(void *arg)
{
	struct process_driver *d = arg;
	struct usage_sample *v = xcalloc(d->by_id.n + 1, sizeof *v);
	size_t at = 0, n = 0, i;
	const char *id;
	void *member;

	while (hmap_next(&d->by_id, &at, &id, &member)) {
		struct member *m = member;

		if (m->pid != 0 && m->phase != MEMBER_ENDED)
			v[n++] = (struct usage_sample){.pid = m->pid, .owner = m};
	}
	if (d->by_id.n > 0)
		loop_timer_set(&d->usage_timer, usage_read(v, n, keeper_client_pid(d->keeper)));
	for (i = 0; i < n; i++)
		take_sample(d, v[i].owner, &v[i]);
	free(v);
}

/* --- the class --- */

static void
on_keeper_shut_down(void *arg)
{
	struct process_driver *d = arg;

	loop_timer_clear(&d->usage_timer);
	keeper_client_free(&d->keeper);
	loop_timer_set(&d->flush_timer, 0);
}

static void
on_keeper_outage(void *arg)
{
	struct process_driver *d = arg;
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->fleets, node, tmp)
		process_changed(d, container_of(node, struct fleet, node));
}

static const struct keeper_client_ops keeper_ops = {.on_up = process_on_keeper_up,
						    .on_message = process_on_keeper_message,
						    .on_dead = process_on_keeper_dead,
						    .on_outage = on_keeper_outage,
						    .groups = process_groups,
						    .on_shut_down = on_keeper_shut_down};

static void
open_ports(struct process_driver *d)
{
	const struct autoscaler_conf *a = &d->settings->autoscaler;
	uint32_t first = 0, last = 0;
	struct err e;
	unsigned n;

	if (ports_read_kernel(&first, &last, &e) < 0)
		log_warn(NULL, "cannot avoid ephemeral ports", "err=%s", e.text);
	ports_init(&d->ports, a->port_first, a->port_last, first, last);
	snprintf(d->no_port, sizeof d->no_port,
		 "cannot start an instance: no port of %u-%u is free", a->port_first, a->port_last);
	n = ports_overlap(a->port_first, a->port_last, first, last);
	if (n == 0)
		return;
	log_warn(NULL, "ports overlap with net.ipv4.ip_local_port_range",
		 "ports=%u-%u ip_local_port_range=%u-%u excluded=%u hint=%s", a->port_first,
		 a->port_last, first, last, d->ports.kernel_first != 0 ? n : 0,
		 "choose ports outside of it: outgoing connections may take them");
}

static void
process_use_settings(struct driver *driver, const struct settings *s)
{
	struct process_driver *d = of(driver);
	const struct autoscaler_conf *old = &d->settings->autoscaler, *new = &s->autoscaler;
	bool are_ports_new = old->port_first != new->port_first || old->port_last != new->port_last;

	d->settings = s;
	keeper_client_use_settings(d->keeper, s);
	if (are_ports_new)
		open_ports(d);
}

static struct driver *
process_open(struct loop *loop, const struct settings *s, const struct driver_ops *ops, void *arg,
	     struct err *e)
{
	struct process_driver *d = xcalloc(1, sizeof *d);

	d->driver = (struct driver){.class = &driver_process, .ops = ops, .arg = arg};
	d->loop = loop;
	d->settings = s;
	list_init(&d->fleets);
	hmap_init(&d->by_name);
	hmap_init(&d->by_id);
	snprintf(d->run_id, sizeof d->run_id, "%08x", random_u32());
	d->keeper = keeper_client_open(loop, s, &keeper_ops, d, e);
	if (d->keeper == NULL) {
		free(d);
		return NULL;
	}
	open_ports(d);
	port_cursor_init(&d->port_cursor, s->state_dir);
	loop_timer_init(&d->flush_timer, loop, on_flush, d);
	loop_timer_init(&d->due_timer, loop, on_due, d);
	backoff_init(&d->port_backoff, PORT_RETRY_FIRST_NS, PORT_RETRY_MOST_NS);
	loop_timer_init(&d->port_timer, loop, on_port_retry, d);
	loop_timer_init(&d->usage_timer, loop, on_usage, d);
	return &d->driver;
}

/* Another command proves nothing and has failed at nothing yet.  Without a command (the revision
 * was not configured when its instances were taken over) nothing is compared. */
static void
set_launch(struct fleet *f)
{
	const struct launch *l = &f->conf->launch;
	char *before = f->launch;
	uint32_t n;

	if (l->command.n == 0)
		return;
	f->launch = command_digest(&l->command, &l->environment, l->directory, l->user);
	if (before != NULL && strcmp(before, f->launch) != 0) {
		crash_init(&f->crash);
		f->avoided_port = 0;
	}
	free(before);
	n = fleet_outdated(f);
	if (n > 0)
		log_info(NULL, "what the revision is started with has changed, replacing instances",
			 "revision=%s instances=%u", f->revision, n);
}

static void
set_conf(struct process_driver *d, struct fleet *f, const struct revision_conf *conf)
{
	struct list_node *node, *tmp;

	f->conf = conf;
	set_launch(f);
	LIST_FOREACH(&f->members, node, tmp) {
		struct member *m = container_of(node, struct member, node);

		if (m->liveness != NULL || m->is_ready)
			process_check_liveness(d, m);
	}
}

static void
process_set_revisions(struct driver *driver, const struct revision_conf *const *v, size_t n)
{
	struct process_driver *d = of(driver);
	struct list_node *node, *tmp;
	size_t i;

	d->has_revisions = true;
	for (i = 0; i < n; i++)
		if (v[i]->launch.addresses.n == 0)
			set_conf(d, process_fleet(d, v[i]->full_name), v[i]);
	LIST_FOREACH(&d->fleets, node, tmp) {
		struct fleet *f = container_of(node, struct fleet, node);

		for (i = 0; i < n && f->conf != v[i]; i++)
			;
		if (i == n && (f->conf != NULL || d->is_synced)) {
			f->conf = NULL;
			fleet_set_scale(f, 0, NULL, 0);
		}
		process_changed(d, f);
		process_reconcile(d, f);
	}
}

static void
process_set_scale(struct driver *driver, const char *revision, uint32_t n,
		  const char *const *victims, size_t victims_n)
{
	struct process_driver *d = of(driver);
	struct fleet *f = hmap_find(&d->by_name, revision);

	if (f == NULL || f->conf == NULL)
		return;
	fleet_set_scale(f, n, victims, victims_n);
	process_reconcile(d, f);
}

static void
process_instance_answers(struct driver *driver, const char *id)
{
	struct process_driver *d = of(driver);
	struct member *m = hmap_find(&d->by_id, id);

	if (m == NULL || m->is_ready || d->is_closing)
		return;
	m->is_ready = true;
	if (m->ready_ns == 0) {
		m->ready_ns = clk_now();
		process_send(d, KEEPER_ANSWERED, m);
		log_debug(&m->tag, "instance answers", "after_ms=%lld",
			  (long long)((m->ready_ns - m->started_ns) / CLK_MS));
	}
	instance_check_free(&m->refusal);
	process_check_liveness(d, m);
	process_changed(d, m->fleet);
	process_reconcile(d, m->fleet);
}

/* It is not ready any more, whatever it was. */
static void
process_instance_refuses(struct driver *driver, const char *id)
{
	struct process_driver *d = of(driver);
	struct member *m = hmap_find(&d->by_id, id);

	if (m == NULL || !m->is_ready || m->verdict_ns != 0 || d->is_closing)
		return;
	m->is_ready = false;
	process_check_refusal(d, m);
	process_changed(d, m->fleet);
}

static void
process_instance_served(struct driver *driver, const char *id)
{
	struct process_driver *d = of(driver);
	struct member *m = hmap_find(&d->by_id, id);
	struct fleet *f = m == NULL ? NULL : m->fleet;

	if (m == NULL || m->has_served || d->is_closing)
		return;
	m->has_served = true;
	crash_proven(&f->crash);
	if (m->verdict_ns != 0)
		process_end(d, m);
	process_changed(d, f);
	process_reconcile(d, f);
}

static int
process_read_output(struct driver *driver, const struct str_list *revisions, uint64_t token,
		    uint64_t epoch, uint64_t after, int64_t since_ms, struct err *e)
{
	struct process_driver *d = of(driver);
	bool is_connected = d->keeper != NULL && keeper_client_is_connected(d->keeper);
	uint64_t now = is_connected ? (uint64_t)keeper_client_epoch(d->keeper) : 0;
	/* Lines of another keeper than that one are all new. */
	const struct keeper_msg m = {.type = KEEPER_READ,
				     .revisions = *revisions,
				     .token = (int64_t)token,
				     .after = epoch == now ? (int64_t)after : 0,
				     .since_ms = since_ms};

	if (!is_connected)
		return err_set(e, EAGAIN, "the keeper process is not connected");
	if (now == 0)
		return err_set(e, ENOTSUP,
			       "the keeper process is of a version that keeps no output");
	return keeper_client_send(d->keeper, &m, e);
}

static void
process_instance_spent(struct driver *driver, const char *id, bool is_spent)
{
	struct process_driver *d = of(driver);
	struct member *m = hmap_find(&d->by_id, id);
	struct fleet *f;

	if (m == NULL)
		return;
	f = m->fleet;
	m->is_spent = is_spent;
	if (!is_spent || m->verdict_ns == 0 || d->is_closing)
		return;
	process_end(d, m);
	process_reconcile(d, f);
}

static int64_t
longest_stop(const struct process_driver *d)
{
	struct list_node *node, *tmp;
	int64_t longest = 0;

	LIST_FOREACH(&d->fleets, node, tmp) {
		const struct fleet *f = container_of(node, struct fleet, node);

		if (f->conf != NULL)
			longest = MAX(longest, f->conf->launch.stop_timeout);
	}
	return longest;
}

static void
process_close(struct driver *driver, bool stop_all)
{
	struct process_driver *d = of(driver);
	const char *id;
	void *member;
	size_t at = 0;

	d->is_closing = true;
	if (!stop_all) {
		on_keeper_shut_down(d);
		return;
	}
	while (hmap_next(&d->by_id, &at, &id, &member))
		if (((struct member *)member)->phase < MEMBER_STOPPING)
			process_stop(d, member);
	keeper_client_shut_down(d->keeper, longest_stop(d) + SHUT_DOWN_SLACK_NS);
}

static void
finish_close(struct process_driver *d)
{
	struct list_node *node, *tmp;
	const char *id;
	void *member;
	size_t at = 0;

	d->driver.ops->on_closed(d->driver.arg);
	while (hmap_next(&d->by_id, &at, &id, &member))
		process_end_checks(member);
	LIST_FOREACH(&d->fleets, node, tmp)
		drop_fleet(d, container_of(node, struct fleet, node));
	port_cursor_fini(&d->port_cursor);
	loop_timer_fini(&d->usage_timer);
	loop_timer_fini(&d->port_timer);
	loop_timer_fini(&d->due_timer);
	loop_timer_fini(&d->flush_timer);
	hmap_fini(&d->by_id);
	hmap_fini(&d->by_name);
	free(d);
}

const struct driver_class driver_process = {
	.name = "process",
	.is_owner = true,
	.open = process_open,
	.use_settings = process_use_settings,
	.set_revisions = process_set_revisions,
	.set_scale = process_set_scale,
	.instance_answers = process_instance_answers,
	.instance_refuses = process_instance_refuses,
	.instance_served = process_instance_served,
	.instance_spent = process_instance_spent,
	.close = process_close,
	.read_output = process_read_output,
};
