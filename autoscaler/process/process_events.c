/* process_events - the messages of the keeper: what they change in the fleets, and which
 * start, stop or failure follows. */
#include <stdio.h>
#include <stdlib.h>

#include "autoscaler/process/process_impl.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/random.h"
#include "common/text.h"

static enum member_phase
phase_of(const struct keeper_msg *k)
{
	switch (k->phase) {
	case PHASE_STOPPING:
		return MEMBER_STOPPING;
	case PHASE_ENDED:
		return MEMBER_ENDED;
	default:
		return MEMBER_RUNNING;
	}
}

/* The keeper reports an instance that it has.  Our last messages may have been lost with the last
 * link: if the keeper does not know, say again that the instance answers, and stop it again. */
static void
on_instance(struct process_driver *d, const struct keeper_msg *k)
{
	struct member *m = hmap_find(&d->by_id, k->id);
	bool is_stopped = m != NULL && m->phase == MEMBER_STOPPING;
	bool was_ready = m != NULL && m->ready_ns != 0;

	if (m == NULL)
		m = process_add(d, process_fleet(d, k->revision), k->id, (uint16_t)k->port);
	if (m->pid > 0 && m->pid != (pid_t)k->pid)
		log_info(&m->tag, "instance has gone into the background", "pid=%d pid_before=%d",
			 (int)k->pid, (int)m->pid);
	m->is_reported = true;
	text_replace(&m->launch, k->launch);
	m->pid = (pid_t)k->pid;
	m->started_ns = k->started_ns;
	m->phase = phase_of(k);
	if (was_ready && !k->answered)
		process_send(d, KEEPER_ANSWERED, m);
	/* An earlier autoscaler saw it answer, when is not known: ready from its start on. */
	if (!was_ready && k->answered) {
		m->is_ready = true;
		m->ready_ns = MAX(k->started_ns, 1);
	}
	if (is_stopped && m->phase == MEMBER_RUNNING)
		process_stop(d, m);
	if (m->is_ready && m->phase == MEMBER_RUNNING)
		process_check_liveness(d, m);
	process_changed(d, m->fleet);
}

static void
remove_unreported(struct process_driver *d, struct fleet *f)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->members, node, tmp) {
		struct member *m = container_of(node, struct member, node);

		if (!m->is_reported)
			process_remove(d, m);
	}
}

static void
all_changed(struct process_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->fleets, node, tmp)
		process_changed(d, container_of(node, struct fleet, node));
}

static void
reconcile_all(struct process_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->fleets, node, tmp)
		process_reconcile(d, container_of(node, struct fleet, node));
}

static bool
is_unconfigured(const struct process_driver *d, const struct fleet *f)
{
	return d->has_revisions && f->conf == NULL && f->members.n > 0;
}

/* The conf file no longer names these revisions, and may have changed while no autoscaler ran.
 * Activators may still send requests to their instances: so have them drained first. */
static void
report_unconfigured(struct process_driver *d)
{
	const char **v = xcalloc(d->fleets.n + 1, sizeof *v);
	struct list_node *node, *tmp;
	size_t n = 0;

	LIST_FOREACH(&d->fleets, node, tmp) {
		struct fleet *f = container_of(node, struct fleet, node);

		if (!is_unconfigured(d, f) || f->has_scale)
			continue;
		log_info(NULL, "revision is no longer in the conf file, stopping its instances",
			 "revision=%s instances=%zu", f->revision, f->members.n);
		v[n++] = f->revision;
	}
	if (n > 0 && d->driver.ops->on_unconfigured != NULL)
		d->driver.ops->on_unconfigured(v, n, d->driver.arg);
	free(v);
}

/* Nothing else would set its scale, so stop its instances. */
static void
stop_unconfigured(const struct process_driver *d, struct fleet *f)
{
	if (is_unconfigured(d, f))
		fleet_set_scale(f, 0, NULL, 0);
}

static void
on_synced(struct process_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->fleets, node, tmp)
		remove_unreported(d, container_of(node, struct fleet, node));
	report_unconfigured(d);
	LIST_FOREACH(&d->fleets, node, tmp)
		stop_unconfigured(d, container_of(node, struct fleet, node));
	if (d->by_id.n > 0)
		log_info(NULL, "instances adopted", "count=%zu", d->by_id.n);
	d->is_synced = true;
	all_changed(d);
	reconcile_all(d);
}

/* Its instances end after a request: what is said of each is for debugging alone. */
static bool
is_function(const struct fleet *f)
{
	return f->conf != NULL && f->conf->limits.max_requests == 1;
}

static void
on_started(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	m->pid = (pid_t)k->pid;
	m->started_ns = k->started_ns;
	if (m->phase == MEMBER_STARTING)
		m->phase = MEMBER_RUNNING;
	if (is_function(m->fleet))
		log_debug(&m->tag, "instance started", "port=%u pid=%d", m->port, (int)m->pid);
	else
		log_info(&m->tag, "instance started", "revision=%s port=%u pid=%d",
			 m->fleet->revision, m->port, (int)m->pid);
	process_changed(d, m->fleet);
}

static void
on_failed(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	struct fleet *f = m->fleet;
	bool is_stopped = m->phase == MEMBER_STOPPING || d->is_keeper_shutting_down;

	process_remove(d, m);
	if (!is_stopped) /* a keeper that shuts down refuses to start: that is no failure */
		process_start_failed(d, f, k->text);
	process_reconcile(d, f);
}

static void
on_unexpected_end(struct process_driver *d, struct member *m, const char *how, int64_t lived_ns)
{
	enum crash_stage stage = fleet_stage(m, clk_now());
	struct fleet *f = m->fleet;

	if (stage == CRASH_STARTING)
		f->avoided_port = m->port;
	crash_ended(&f->crash, stage, lived_ns, how, clk_now(), random_u32());
	log_warn(&m->tag, "instance ended by itself",
		 "how=%s was_ready=%d had_served=%d lived_ms=%lld failed=%d retry_after_ms=%lld",
		 how, m->ready_ns != 0, m->has_served, (long long)(lived_ns / CLK_MS),
		 f->crash.is_failed, (long long)(crash_wait(&f->crash, clk_now()) / CLK_MS));
	(void)d;
}

/* An activator says within this time that an instance has had a request. */
#define WORD_OF_REQUEST (1 * CLK_S)

/* After its last request it may end by itself, and as it likes.  A function that exits without a
 * failure, as it has answered, may have done so before the activator says that it is spent. */
static bool
has_ended_in_order(const struct member *m, int status)
{
	if (m->phase == MEMBER_STOPPING)
		return is_function(m->fleet);
	return m->is_spent || (is_function(m->fleet) && m->has_served && status == 0);
}

/* A function has exited without a failure: did it have its request?  The activator may say so a
 * moment later. */
static bool
is_doubtful(const struct member *m, int status)
{
	return is_function(m->fleet) && m->phase == MEMBER_RUNNING && m->ready_ns != 0 &&
	       status == 0 && !has_ended_in_order(m, status);
}

static bool
has_pid_file(const struct member *m)
{
	return m->fleet->conf != NULL && m->fleet->conf->launch.pid_file != NULL;
}

static void
note_end(struct process_driver *d, struct member *m, int status)
{
	int64_t lived_ns = clk_now() - m->started_ns;
	char how[80];

	crash_describe(status, how, sizeof how);
	if (status == 0 && fleet_stage(m, clk_now()) != CRASH_PROVEN &&
	    m->phase != MEMBER_STOPPING) /* most likely it made itself a daemon */
		snprintf(how, sizeof how, "exited with status 0 (%s)",
			 has_pid_file(m) ? "and no process of it is in pid_file"
					 : "it must stay in the foreground");
	if (has_ended_in_order(m, status))
		log_debug(&m->tag, "instance ended after its last request", "how=%s lived_ms=%lld",
			  how, (long long)(lived_ns / CLK_MS));
	else if (m->phase == MEMBER_STOPPING)
		log_info(&m->tag, "instance stopped", "how=%s lived_ms=%lld", how,
			 (long long)(lived_ns / CLK_MS));
	else
		on_unexpected_end(d, m, how, lived_ns);
	m->phase = MEMBER_ENDED;
	process_end_checks(m);
	process_changed(d, m->fleet);
}

void
process_end(struct process_driver *d, struct member *m)
{
	m->verdict_ns = 0;
	note_end(d, m, m->status);
	if (m->is_gone)
		process_remove(d, m);
}

static void
on_ended(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	if (is_doubtful(m, (int)k->status)) {
		m->status = (int)k->status;
		m->verdict_ns = clk_now() + WORD_OF_REQUEST;
		process_end_checks(m);
		process_changed(d, m->fleet); /* sets due_timer */
		return;
	}
	note_end(d, m, (int)k->status);
	process_reconcile(d, m->fleet);
}

static void
on_gone(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	(void)k;
	if (m->verdict_ns != 0)
		m->is_gone = true;
	else
		process_remove(d, m);
}

static void
report_output(const struct process_driver *d, const char *revision, const struct keeper_msg *k)
{
	const struct driver_output o = {.revision = revision,
					.id = k->id,
					.text = k->text,
					.lost = (uint64_t)k->lines,
					.wall_ms = k->wall_ms,
					.epoch = (uint64_t)keeper_client_epoch(d->keeper),
					.seq = (uint64_t)k->seq,
					.token = (uint64_t)k->token};

	if (d->driver.ops->on_output != NULL)
		d->driver.ops->on_output(&o, d->driver.arg);
}

/* token 0: as driver_ops.on_output_end. */
static void
report_output_end(const struct process_driver *d, uint64_t token)
{
	if (d->driver.ops->on_output_end != NULL)
		d->driver.ops->on_output_end(token, d->driver.arg);
}

static void
on_output(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	log_info(&m->tag, "output", "line=%s", k->text);
	report_output(d, m->fleet->revision, k);
}

static void
on_stop_failed(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	(void)d;
	log_warn(&m->tag, "stop_command failed, SIGTERM sent", "err=%s", k->text);
}

static void
on_dropped(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	log_warn(&m->tag, "output lines dropped", "lines=%lld", (long long)k->lines);
	report_output(d, m->fleet->revision, k);
}

/* The keeper stops its instances and exits.  Unless we asked for it, another process did.
 * Start nothing until the keeper is gone and another has taken its place. */
static void
on_leave(struct process_driver *d)
{
	if (!d->is_closing)
		log_warn(NULL, "keeper was asked by another process to exit, instances stop",
			 "instances=%zu", d->by_id.n);
	d->is_keeper_shutting_down = true;
}

void
process_on_keeper_message(const struct keeper_msg *k, void *arg)
{
	static void (*const handlers[])(struct process_driver *, struct member *,
					const struct keeper_msg *) = {
		[KEEPER_STARTED] = on_started,
		[KEEPER_FAILED] = on_failed,
		[KEEPER_ENDED] = on_ended,
		[KEEPER_GONE] = on_gone,
		[KEEPER_OUTPUT] = on_output,
		[KEEPER_DROPPED] = on_dropped,
		[KEEPER_STOP_FAILED] = on_stop_failed,
	};
	struct process_driver *d = arg;
	struct member *m = k->id == NULL ? NULL : hmap_find(&d->by_id, k->id);

	if (k->type == KEEPER_INSTANCE)
		on_instance(d, k);
	else if (k->type == KEEPER_SYNCED)
		on_synced(d);
	else if (k->type == KEEPER_LEAVE)
		on_leave(d);
	else if (k->type == KEEPER_OUTPUT && k->token != 0)
		report_output(d, k->revision, k);
	else if (k->type == KEEPER_READ_END)
		report_output_end(d, (uint64_t)k->token);
	else if (m != NULL && k->type < ARRAY_LEN(handlers) && handlers[k->type] != NULL)
		handlers[k->type](d, m, k);
}

void
process_on_keeper_up(void *arg)
{
	struct process_driver *d = arg;
	const char *id;
	void *member;
	size_t at = 0;

	d->is_synced = false;
	d->is_keeper_shutting_down = false;
	report_output_end(d, 0);
	while (hmap_next(&d->by_id, &at, &id, &member))
		((struct member *)member)->is_reported = false;
}

/* The instances died with the keeper: that says nothing about their programs, so it is no
 * crash. */
void
process_on_keeper_dead(const char *how, void *arg)
{
	struct process_driver *d = arg;
	struct list_node *node, *tmp;

	if (d->by_id.n > 0 && !d->is_closing && !d->is_keeper_shutting_down)
		log_error(NULL, "keeper died, and its instances with it", "instances=%zu how=%s",
			  d->by_id.n, how);
	d->is_synced = false;
	LIST_FOREACH(&d->fleets, node, tmp) {
		struct fleet *f = container_of(node, struct fleet, node);
		struct list_node *at, *next;

		LIST_FOREACH(&f->members, at, next)
			process_remove(d, container_of(at, struct member, node));
		process_changed(d, f);
	}
}

size_t
process_groups(pid_t *v, size_t max, void *arg)
{
	struct process_driver *d = arg;
	size_t at = 0, n = 0;
	const char *id;
	void *member;

	while (n < max && hmap_next(&d->by_id, &at, &id, &member))
		if (((struct member *)member)->pid > 0)
			v[n++] = ((struct member *)member)->pid;
	return n;
}
