/* driver_process - instances are processes of this machine, held by a keeper.
 * This side decides: how many, on which port, whether once more after an end, and
 * when a failure is one.  The keeper (keeper.h) only holds and tells. */
#include "autoscaler/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "autoscaler/command.h"
#include "autoscaler/fleet.h"
#include "autoscaler/keeper_client.h"
#include "autoscaler/ports.h"
#include "autoscaler/usage.h"
#include "common/clk.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/loop.h"

#define LEAVE_SLACK_NS (5 * CLK_S) /* beyond the longest stop_timeout */

struct process_driver {
	struct driver driver;
	struct loop *loop;
	const struct settings *settings;
	struct keeper_client *keeper;
	bool is_synced;	      /* the keeper has told all that it has */
	bool has_revisions;   /* set_revisions() has been called */
	bool is_closing;
	struct list fleets;
	struct hmap by_name;  /* struct fleet */
	struct hmap by_id;    /* struct member */
	struct ports ports;
	uint8_t taken[(UINT16_MAX + 1) / 8]; /* ports of members */
	char boot[16];	      /* makes ids differ from those of an autoscaler before us */
	uint64_t started;     /* instances, ever: the other half of an id */
	struct loop_timer flush_timer; /* views are due */
	struct loop_timer wake_timer;  /* a back-off is over */
	struct loop_timer usage_timer;
};

static uint32_t
random_u32(void)
{
	uint32_t n = 0;

	if (getrandom(&n, sizeof n, GRND_NONBLOCK) < 0)
		n = (uint32_t)clk_now();
	return n;
}

static struct process_driver *
of(struct driver *d)
{
	return container_of(d, struct process_driver, driver);
}

static void
touch(struct process_driver *d, struct fleet *f)
{
	f->is_dirty = true;
	loop_timer_set(&d->flush_timer, 0);
}

/* --- members --- */

static void
take_port(struct process_driver *d, uint16_t port, bool is_taken)
{
	uint8_t bit = (uint8_t)(1 << port % 8);

	if (is_taken)
		d->taken[port / 8] |= bit;
	else
		d->taken[port / 8] &= (uint8_t)~bit;
}

static struct member *
add_member(struct process_driver *d, struct fleet *f, const char *id, uint16_t port)
{
	struct member *m = fleet_add(f, id, port);

	hmap_put(&d->by_id, id, m);
	take_port(d, port, true);
	touch(d, f);
	if (!loop_timer_pending(&d->usage_timer))
		loop_timer_set(&d->usage_timer, CLK_S);
	return m;
}

static void
remove_member(struct process_driver *d, struct member *m)
{
	struct fleet *f = m->fleet;

	hmap_remove(&d->by_id, m->id);
	take_port(d, m->port, false);
	fleet_remove(f, &m);
	touch(d, f);
}

static struct fleet *
get_fleet(struct process_driver *d, const char *revision)
{
	struct fleet *f = hmap_find(&d->by_name, revision);

	if (f != NULL)
		return f;
	f = fleet_new(revision);
	list_push(&d->fleets, &f->node);
	hmap_put(&d->by_name, revision, f);
	return f;
}

/* --- start and stop --- */

struct port_query {
	const struct process_driver *d;
	uint16_t avoided;
};

static bool
is_port_free(uint16_t port, void *arg)
{
	const struct port_query *q = arg;

	return port != q->avoided && (q->d->taken[port / 8] & 1 << port % 8) == 0 &&
	       ports_can_bind(port);
}

static char *
new_id(struct process_driver *d, const struct fleet *f)
{
	char *id = xasprintf("%s-%s-%llu", f->revision, d->boot, (unsigned long long)++d->started);
	char *at;

	for (at = id; *at != '\0'; at++)
		if (*at == '/')
			*at = '-';
	return id;
}

/* As seen from us: the keeper may have been started elsewhere. */
static char *
absolute_directory(const char *directory)
{
	char *cwd, *path;

	if (directory != NULL && directory[0] == '/')
		return xstrdup(directory);
	cwd = getcwd(NULL, 0);
	if (cwd == NULL)
		return directory == NULL ? NULL : xstrdup(directory);
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
		.argv = command_arguments(l->command.v, port),
		.env = command_environment(environ, l->environment.v, port, id, mark),
		.directory = absolute_directory(l->directory),
		.user = l->user == NULL ? NULL : xstrdup(l->user),
		.stop_timeout_ms = l->stop_timeout / CLK_MS,
	};
	int rc = keeper_client_send(d->keeper, &m, e);

	keeper_msg_fini(&m);
	return rc < 0 ? err_prefix(e, "cannot start %s", l->command.v[0]) : 0;
}

static void
start_failed(struct process_driver *d, struct fleet *f, const char *why)
{
	crash_start_failed(&f->crash, why, clk_now(), random_u32());
	log_warn(NULL, "instance not started", "revision=%s err=%s retry_after_ms=%lld",
		 f->revision, why, (long long)(crash_wait(&f->crash, clk_now()) / CLK_MS));
	touch(d, f);
}

static int
start_one(struct process_driver *d, struct fleet *f, struct err *e)
{
	struct port_query q = {.d = d, .avoided = f->avoided_port};
	uint16_t port = ports_pick(&d->ports, random_u32(), is_port_free, &q);
	char *id;
	int rc;

	if (f->conf->launch.command.n == 0)
		return err_set(e, 0, "cannot start an instance: the revision has no command");
	if (port == 0)
		return err_set(e, 0, "cannot start an instance: no port of %u-%u is free",
			       d->ports.first, d->ports.last);
	id = new_id(d, f);
	rc = ask_start(d, f, id, port, e);
	if (rc == 0)
		add_member(d, f, id, port)->started_ns = clk_now();
	free(id);
	return rc;
}

static void
ask(struct process_driver *d, enum keeper_msg_type type, const struct member *m)
{
	(void)keeper_client_send(d->keeper, &(struct keeper_msg){.type = type, .id = m->id}, NULL);
}

static void
stop_one(struct process_driver *d, struct member *m)
{
	m->phase = MEMBER_STOPPING;
	log_debug(&m->tag, "instance stopping", "pid=%d", (int)m->pid);
	ask(d, KEEPER_STOP, m);
	touch(d, m->fleet);
}

/* Bring what there is nearer to the wish. */
static void
reconcile(struct process_driver *d, struct fleet *f)
{
	uint32_t live = fleet_live(f);
	struct err e;

	if (!d->is_synced || d->is_closing || !f->has_wish)
		return;
	for (; live > f->wish; live--)
		stop_one(d, fleet_next_victim(f));
	for (; f->conf != NULL && live < fleet_due(f); live++) {
		if (crash_wait(&f->crash, clk_now()) > 0)
			return; /* the wake timer is set with the next flush */
		if (start_one(d, f, &e) < 0)
			start_failed(d, f, e.text);
	}
}

/* --- views --- */

static struct msg_failure
failure_of(const struct process_driver *d, struct fleet *f)
{
	const char *trouble = d->keeper == NULL ? NULL : keeper_client_trouble(d->keeper);
	int64_t left = MAX(f->crash.until_ns - clk_now(), 0);

	if (trouble != NULL)
		return (struct msg_failure){.reason = (char *)(uintptr_t) "no_keeper",
					    .message = (char *)(uintptr_t)trouble,
					    .retry_after_ms = 1000};
	if (!f->crash.is_failed || fleet_has_ready(f))
		return (struct msg_failure){.reason = NULL};
	return (struct msg_failure){.reason = f->crash.reason,
				    .message = f->crash.message,
				    .retry_after_ms = (left + CLK_MS - 1) / CLK_MS};
}

static void
show(struct process_driver *d, struct fleet *f)
{
	struct driver_view v = fleet_view(f, d->is_synced);
	struct msg_failure failure = failure_of(d, f);

	f->is_dirty = false;
	v.failure = failure.reason == NULL ? NULL : &failure;
	d->driver.ops->on_view(&v, d->driver.arg);
}

/* The revision has left the file, and its last instance the machine. */
static bool
is_over(const struct process_driver *d, const struct fleet *f)
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

static void
plan_wake(struct process_driver *d)
{
	struct list_node *node, *tmp;
	int64_t first = INT64_MAX;

	LIST_FOREACH(&d->fleets, node, tmp) {
		const struct fleet *f = container_of(node, struct fleet, node);

		if (f->crash.until_ns != 0)
			first = MIN(first, f->crash.until_ns);
	}
	if (first != INT64_MAX)
		loop_timer_set(&d->wake_timer, MAX(first - clk_now(), 0));
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
			show(d, f);
		if (is_over(d, f))
			drop_fleet(d, f);
	}
	plan_wake(d);
	if (d->is_closing && d->keeper == NULL)
		finish_close(d);
}

static void
touch_all(struct process_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->fleets, node, tmp)
		touch(d, container_of(node, struct fleet, node));
}

static void
reconcile_all(struct process_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->fleets, node, tmp)
		reconcile(d, container_of(node, struct fleet, node));
}

/* Some back-off is over: its failure with it. */
static void
on_wake(void *arg)
{
	struct process_driver *d = arg;
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->fleets, node, tmp) {
		struct fleet *f = container_of(node, struct fleet, node);

		if (f->crash.until_ns == 0 || crash_wait(&f->crash, clk_now()) > 0)
			continue;
		touch(d, f);
		reconcile(d, f);
	}
	plan_wake(d);
}

/* --- what they use --- */

static void
take_sample(struct process_driver *d, struct member *m, const struct usage_sample *s)
{
	if (s->cpu_s < 0 || (s->cpu_s <= m->cpu_s && s->memory_bytes == m->memory_bytes))
		return;
	m->cpu_s = MAX(m->cpu_s, s->cpu_s); /* what ended unwaited-for has been used all the same */
	m->memory_bytes = s->memory_bytes;
	touch(d, m->fleet);
}

static void
on_usage(void *arg)
{
	struct process_driver *d = arg;
	struct usage_sample *v = xcalloc(d->by_id.n + 1, sizeof *v);
	struct hmap by_pid;
	size_t at = 0, n = 0, i;
	const char *id;
	void *member;
	char key[16];

	hmap_init(&by_pid);
	while (hmap_next(&d->by_id, &at, &id, &member)) {
		struct member *m = member;

		if (m->pid == 0 || m->phase == MEMBER_ENDED)
			continue;
		v[n++].pid = m->pid;
		snprintf(key, sizeof key, "%d", (int)m->pid);
		hmap_put(&by_pid, key, m);
	}
	if (d->by_id.n > 0)
		loop_timer_set(&d->usage_timer, usage_read(v, n, keeper_client_pid(d->keeper)));
	for (i = 0; i < n; i++) {
		snprintf(key, sizeof key, "%d", (int)v[i].pid);
		take_sample(d, hmap_find(&by_pid, key), &v[i]);
	}
	hmap_fini(&by_pid);
	free(v);
}

/* --- what the keeper tells --- */

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

/* It has one.  What we wanted of it while the link was down is said again. */
static void
take_instance(struct process_driver *d, const struct keeper_msg *k)
{
	struct member *m = hmap_find(&d->by_id, k->id);
	bool is_stopped = m != NULL && m->phase == MEMBER_STOPPING;
	bool was_ready = m != NULL && m->was_ready;

	if (m == NULL)
		m = add_member(d, get_fleet(d, k->revision), k->id, (uint16_t)k->port);
	m->is_seen = true;
	m->pid = (pid_t)k->pid;
	m->started_ns = k->started_ns;
	m->phase = phase_of(k);
	m->was_ready = was_ready || k->answered;
	if (was_ready && !k->answered)
		ask(d, KEEPER_ANSWERED, m);
	if (is_stopped && m->phase == MEMBER_RUNNING)
		stop_one(d, m);
	touch(d, m->fleet);
}

static void
forget_unseen(struct process_driver *d, struct fleet *f)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->members, node, tmp) {
		struct member *m = container_of(node, struct member, node);

		if (!m->is_seen)
			remove_member(d, m);
	}
}

static void
take_synced(struct process_driver *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->fleets, node, tmp)
		forget_unseen(d, container_of(node, struct fleet, node));
	if (d->by_id.n > 0)
		log_info(NULL, "instances adopted", "count=%zu", d->by_id.n);
	d->is_synced = true;
	touch_all(d);
	reconcile_all(d);
}

static void
take_started(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	m->pid = (pid_t)k->pid;
	m->started_ns = k->started_ns;
	if (m->phase == MEMBER_STARTING)
		m->phase = MEMBER_RUNNING;
	log_info(&m->tag, "instance started", "revision=%s port=%u pid=%d", m->fleet->revision,
		 m->port, (int)m->pid);
	touch(d, m->fleet);
}

static void
take_failed(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	struct fleet *f = m->fleet;
	bool is_stopped = m->phase == MEMBER_STOPPING;

	remove_member(d, m);
	if (!is_stopped)
		start_failed(d, f, k->text);
	reconcile(d, f);
}

static void
ended_by_itself(struct process_driver *d, struct member *m, const char *how, int64_t lived_ns)
{
	struct fleet *f = m->fleet;

	if (!m->was_ready)
		f->avoided_port = m->port;
	crash_ended(&f->crash, m->was_ready, lived_ns, how, clk_now(), random_u32());
	log_warn(&m->tag, "instance ended by itself",
		 "how=%s was_ready=%d lived_ms=%lld failed=%d retry_after_ms=%lld", how,
		 m->was_ready, (long long)(lived_ns / CLK_MS), f->crash.is_failed,
		 (long long)(crash_wait(&f->crash, clk_now()) / CLK_MS));
	(void)d;
}

static void
take_ended(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	int64_t lived_ns = clk_now() - m->started_ns;
	char how[80];

	crash_describe((int)k->status, how, sizeof how);
	if (m->phase == MEMBER_STOPPING)
		log_info(&m->tag, "instance stopped", "how=%s lived_ms=%lld", how,
			 (long long)(lived_ns / CLK_MS));
	else
		ended_by_itself(d, m, how, lived_ns);
	m->phase = MEMBER_ENDED;
	touch(d, m->fleet);
	reconcile(d, m->fleet);
}

static void
take_gone(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	(void)k;
	remove_member(d, m);
}

static void
take_output(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	(void)d;
	log_info(&m->tag, "output", "line=%s", k->text);
}

static void
take_left_out(struct process_driver *d, struct member *m, const struct keeper_msg *k)
{
	(void)d;
	log_warn(&m->tag, "output left out", "lines=%lld", (long long)k->lines);
}

static void
on_keeper_message(const struct keeper_msg *k, void *arg)
{
	static void (*const take[])(struct process_driver *, struct member *,
				    const struct keeper_msg *) = {
		[KEEPER_STARTED] = take_started, [KEEPER_FAILED] = take_failed,
		[KEEPER_ENDED] = take_ended,	 [KEEPER_GONE] = take_gone,
		[KEEPER_OUTPUT] = take_output,	 [KEEPER_LEFT_OUT] = take_left_out,
	};
	struct process_driver *d = arg;
	struct member *m = k->id == NULL ? NULL : hmap_find(&d->by_id, k->id);

	if (k->type == KEEPER_INSTANCE)
		take_instance(d, k);
	else if (k->type == KEEPER_SYNCED)
		take_synced(d);
	else if (m != NULL && k->type < ARRAY_LEN(take) && take[k->type] != NULL)
		take[k->type](d, m, k);
}

static void
on_keeper_up(void *arg)
{
	struct process_driver *d = arg;
	const char *id;
	void *member;
	size_t at = 0;

	d->is_synced = false;
	while (hmap_next(&d->by_id, &at, &id, &member))
		((struct member *)member)->is_seen = false;
}

/* No end of theirs: it says nothing about the programs. */
static void
on_keeper_dead(void *arg)
{
	struct process_driver *d = arg;
	struct list_node *node, *tmp;

	if (d->by_id.n > 0 && !d->is_closing)
		log_error(NULL, "keeper has died, and its instances with it", "instances=%zu",
			  d->by_id.n);
	d->is_synced = false;
	LIST_FOREACH(&d->fleets, node, tmp) {
		struct fleet *f = container_of(node, struct fleet, node);
		struct list_node *at, *next;

		LIST_FOREACH(&f->members, at, next)
			remove_member(d, container_of(at, struct member, node));
		touch(d, f);
	}
}

static size_t
keeper_groups(pid_t *v, size_t max, void *arg)
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

static void
on_keeper_left(void *arg)
{
	struct process_driver *d = arg;

	loop_timer_clear(&d->usage_timer);
	keeper_client_free(&d->keeper);
	loop_timer_set(&d->flush_timer, 0);
}

static const struct keeper_client_ops keeper_ops = {.on_up = on_keeper_up,
						    .on_message = on_keeper_message,
						    .on_dead = on_keeper_dead,
						    .groups = keeper_groups,
						    .on_left = on_keeper_left};

/* --- the class --- */

static void
open_ports(struct process_driver *d)
{
	const struct autoscaler_conf *a = &d->settings->autoscaler;
	uint32_t first = 0, last = 0;
	struct err e;
	unsigned n;

	if (ports_read_kernel(&first, &last, &e) < 0)
		log_warn(NULL, "ephemeral ports unknown", "err=%s", e.text);
	ports_init(&d->ports, a->port_first, a->port_last, first, last);
	n = ports_overlap(a->port_first, a->port_last, first, last);
	if (n == 0)
		return;
	log_warn(NULL, "ports overlap with net.ipv4.ip_local_port_range",
		 "ports=%u-%u ip_local_port_range=%u-%u left_out=%u hint=%s", a->port_first,
		 a->port_last, first, last, d->ports.kernel_first != 0 ? n : 0,
		 "choose ports outside of it: connections of this machine may take them");
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
	snprintf(d->boot, sizeof d->boot, "%08x", random_u32());
	d->keeper = keeper_client_open(loop, s, &keeper_ops, d, e);
	if (d->keeper == NULL) {
		free(d);
		return NULL;
	}
	open_ports(d);
	loop_timer_init(&d->flush_timer, loop, on_flush, d);
	loop_timer_init(&d->wake_timer, loop, on_wake, d);
	loop_timer_init(&d->usage_timer, loop, on_usage, d);
	return &d->driver;
}

static bool
is_same_list(const struct str_list *a, const struct str_list *b)
{
	size_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

static void
take_conf(struct fleet *f, const struct revision_conf *conf)
{
	const struct revision_conf *before = f->conf;

	f->conf = conf;
	if (before != NULL && f->members.n > 0 &&
	    (!is_same_list(&before->launch.command, &conf->launch.command) ||
	     !is_same_list(&before->launch.environment, &conf->launch.environment)))
		log_warn(NULL, "command of a revision has changed, new instances have it",
			 "revision=%s instances=%zu", f->revision, f->members.n);
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
			take_conf(get_fleet(d, v[i]->full_name), v[i]);
	LIST_FOREACH(&d->fleets, node, tmp) {
		struct fleet *f = container_of(node, struct fleet, node);

		for (i = 0; i < n && f->conf != v[i]; i++)
			;
		if (i == n) {
			f->conf = NULL;
			fleet_wish(f, 0, NULL, 0);
		}
		touch(d, f);
		reconcile(d, f);
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
	fleet_wish(f, n, victims, victims_n);
	reconcile(d, f);
}

static void
process_instance_answers(struct driver *driver, const char *id)
{
	struct process_driver *d = of(driver);
	struct member *m = hmap_find(&d->by_id, id);

	if (m == NULL || m->was_ready || d->is_closing)
		return;
	m->was_ready = true;
	crash_answered(&m->fleet->crash);
	ask(d, KEEPER_ANSWERED, m);
	log_info(&m->tag, "instance answers", "after_ms=%lld",
		 (long long)((clk_now() - m->started_ns) / CLK_MS));
	touch(d, m->fleet);
	reconcile(d, m->fleet);
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
		on_keeper_left(d);
		return;
	}
	while (hmap_next(&d->by_id, &at, &id, &member))
		if (((struct member *)member)->phase < MEMBER_STOPPING)
			stop_one(d, member);
	keeper_client_leave(d->keeper, longest_stop(d) + LEAVE_SLACK_NS);
}

static void
finish_close(struct process_driver *d)
{
	struct list_node *node, *tmp;

	d->driver.ops->on_closed(d->driver.arg);
	LIST_FOREACH(&d->fleets, node, tmp)
		drop_fleet(d, container_of(node, struct fleet, node));
	loop_timer_fini(&d->usage_timer);
	loop_timer_fini(&d->wake_timer);
	loop_timer_fini(&d->flush_timer);
	hmap_fini(&d->by_id);
	hmap_fini(&d->by_name);
	free(d);
}

const struct driver_class driver_process = {
	.name = "process",
	.open = process_open,
	.set_revisions = process_set_revisions,
	.set_scale = process_set_scale,
	.instance_answers = process_instance_answers,
	.close = process_close,
};
