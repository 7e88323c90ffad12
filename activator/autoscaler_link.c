#include "activator/autoscaler_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activator/access/access_log.h"
#include "activator/decision_span.h"
#include "activator/drains.h"
#include "activator/instance_reports.h"
#include "activator/limiter.h"
#include "activator/registry.h"
#include "activator/share_link.h"
#include "activator/stats.h"
#include "activator/worker.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/demand_report.h"
#include "common/lifelock.h"
#include "common/link.h"
#include "common/msg_limits.h"
#include "common/strbuf.h"

#define TICK CLK_S
#define DRAIN_POLL (5 * CLK_MS) /* how often a draining instance is looked at */

/* What the autoscaler is told of requests that wait for one revision; exists from the first of
 * them on.  rev->demand_tracker points to it. */
struct demand_tracker {
	struct autoscaler_link *al;
	struct revision *rev; /* a reference */
	struct list_node node;
	struct loop_timer timer;
	struct demand_report demand;
	bool is_wanted;			/* the autoscaler's newest message wants an instance */
	int64_t wake_ns;		/* since when demand.is_waking; 0: it is not */
	struct decision_span *decision; /* that starts instances; NULL: none */
};

struct autoscaler_link {
	struct loop *loop;
	struct link *link;
	struct registry *registry;
	struct worker *const *workers;
	unsigned workers_n;
	const struct autoscaler_link_ops *ops;
	void *arg;
	char *id; /* of this process, for `hello` */
	char *socket;
	int lock_fd;	/* lifelock of this process; -1: none */
	bool is_up;	/* the autoscaler's `hello` has come */
	uint64_t links; /* so many autoscalers have said hello */
	bool is_leaving;
	struct list trackers;
	struct drains drains;
	struct share_link shares;
	struct instance_reports reports;
	struct stats *stats;
	struct span_port spans;
	struct loop_timer tick, early, cleared, drain_timer;
	int64_t early_ns; /* since the wake, when the next early report is due; 0: none */
	void (*on_finished)(void *arg); /* NULL: autoscaler_link_finish() was not called */
	void *finished_arg;
	bool is_last_report; /* the report that is being collected is the last one */
	struct err
		refused; /* why there is no autoscaler, as last logged; "": there was one since */
};

static void
send_msg(const struct msg *m, void *arg)
{
	const struct autoscaler_link *al = arg;
	struct strbuf b;

	strbuf_init(&b, 0);
	msg_encode(m, &b);
	link_send(al->link, strbuf_str(&b), b.len);
	strbuf_fini(&b);
}

static void
send_line(const char *line, size_t n, void *arg)
{
	const struct autoscaler_link *al = arg;

	link_send(al->link, line, n);
}

/* --- answers to drains --- */

static void
answer(struct autoscaler_link *al, enum msg_type type, const char *token)
{
	struct msg m = {.type = type};

	m.u.drained.token = xstrdup(token); /* `busy` has the same members */
	send_msg(&m, al);
	free(m.u.drained.token);
}

static void
on_drained(const char *token, void *arg)
{
	answer(arg, MSG_DRAINED, token);
}

static void
poll_drains(void *arg)
{
	struct autoscaler_link *al = arg;

	if (drains_poll(&al->drains, on_drained, al) > 0)
		loop_timer_set(&al->drain_timer, DRAIN_POLL);
}

/* --- demand of revisions --- */

static bool
is_any_open(const struct revision *rev)
{
	return revision_first_open(rev) != NULL;
}

/* The parked requests, and one more if a client waits behind the waiting page. */
static uint32_t
demand_of(struct revision *rev)
{
	return limiter_parked_waking(rev) +
	       atomic_load_explicit(&rev->is_wake_requested, memory_order_relaxed);
}

static void
activate(struct demand_tracker *t)
{
	const struct msg m = {.type = MSG_ACTIVATE,
			      .u.activate = {.revision = t->rev->name,
					     .parked = t->demand.reported,
					     .seq = t->demand.seq}};

	send_msg(&m, t->al);
	activation_stamp(&t->rev->activation.signalled_ns);
}

/* A revision has woken: send the next reports before the second is over.  If another one
 * wakes then, the first early report is not put off. */
static void
report_early(struct autoscaler_link *al)
{
	if (al->early_ns == DEMAND_REPORT_EARLY_NS)
		return;
	al->early_ns = DEMAND_REPORT_EARLY_NS;
	loop_timer_set(&al->early, DEMAND_REPORT_EARLY_NS);
}

/* The last request that a wake left parked has its slot.  A report now tells the autoscaler
 * how long that took, and that instances may be more than the load needs from here on. */
static void
report_cleared(struct autoscaler_link *al)
{
	if (al->early_ns > 0 && !loop_timer_pending(&al->cleared))
		loop_timer_set(&al->cleared, DEMAND_REPORT_CLEARED_NS);
}

static void
look_at_spans(struct demand_tracker *t)
{
	const struct autoscaler_link *al = t->al;

	activation_span_look(t->rev, &al->spans, demand_of(t->rev), t->wake_ns);
	decision_span_look(&t->decision, t->rev, &al->spans);
}

static void
note_wake(struct demand_tracker *t, int64_t now)
{
	if (t->demand.is_waking && t->wake_ns == 0)
		t->wake_ns = now;
	look_at_spans(t);
	if (!t->demand.is_waking)
		t->wake_ns = 0;
}

static void
step(struct demand_tracker *t)
{
	struct autoscaler_link *al = t->al;
	int64_t now = clk_now();
	struct demand_report_facts facts = {
		.is_link_up = al->is_up, .is_open = is_any_open(t->rev), .is_wanted = t->is_wanted};

	if (t->demand.is_waking && facts.is_open)
		report_early(al);
	if (facts.is_open && al->early_ns > 0)
		limiter_notify_when_empty(t->rev);
	facts.parked = demand_of(t->rev);
	if (t->demand.is_reporting && facts.parked == 0)
		report_cleared(al);
	switch (demand_report_step(&t->demand, &facts, now)) {
	case DEMAND_REPORT_ACTIVATE:
		activate(t);
		break;
	case DEMAND_REPORT_COUNT:
		stats_report_now(al->stats, t->rev);
		break;
	case DEMAND_REPORT_NOTHING:
		break;
	}
	note_wake(t, now);
	if (facts.is_open)
		atomic_store_explicit(&t->rev->is_wake_requested, false, memory_order_relaxed);
	if (t->demand.next_ns != INT64_MAX && facts.is_link_up)
		loop_timer_set(&t->timer, MAX(t->demand.next_ns - now, 0));
	else
		loop_timer_clear(&t->timer);
}

static void
on_tracker_timer(void *arg)
{
	step(arg);
}

static struct demand_tracker *
tracker_of(struct autoscaler_link *al, struct revision *rev)
{
	struct demand_tracker *t = rev->demand_tracker;

	if (t != NULL)
		return t;
	t = xcalloc(1, sizeof *t);
	t->al = al;
	t->rev = revision_ref(rev);
	loop_timer_init(&t->timer, al->loop, on_tracker_timer, t);
	list_push(&al->trackers, &t->node);
	rev->demand_tracker = t;
	return t;
}

static void
tracker_free(struct autoscaler_link *al, struct demand_tracker *t)
{
	decision_span_end(&t->decision, t->rev, &al->spans, false);
	list_remove(&al->trackers, &t->node);
	loop_timer_fini(&t->timer);
	t->rev->demand_tracker = NULL;
	revision_unref(&t->rev);
	free(t);
}

/* Of revisions that are not described any more, and for which no request waits. */
static void
drop_idle_trackers(struct autoscaler_link *al)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&al->trackers, node, tmp) {
		struct demand_tracker *t = container_of(node, struct demand_tracker, node);

		if (registry_find_revision(al->registry, t->rev->name) != t->rev &&
		    limiter_parked(t->rev) == 0) {
			look_at_spans(t);
			tracker_free(al, t);
		}
	}
}

static void
on_demand_news(struct autoscaler_link *al, struct revision *rev)
{
	struct demand_tracker *t = tracker_of(al, rev);
	bool was_waking = t->demand.is_waking;

	if (!was_waking && !is_any_open(rev))
		activation_begin(&rev->activation, !list_empty(&rev->instances));
	demand_report_restart(&t->demand);
	step(t);
	if (was_waking || !t->demand.is_waking)
		return;
	if (rev->limits->v.max_requests == 1) /* this may be so for each request */
		log_debug(&rev->tag, "waking", "parked=%u", limiter_parked(rev));
	else
		log_info(&rev->tag, "waking", "parked=%u", limiter_parked(rev));
}

/* The autoscaler stops what is spent as soon as it hears that nothing is in flight there. */
static void
report_spent(struct autoscaler_link *al, struct revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->instances, node, tmp)
		instance_reports_spent(&al->reports, container_of(node, struct instance, node));
	poll_drains(al);
}

void
autoscaler_link_on_demand(struct autoscaler_link *al, struct revision *rev)
{
	if (atomic_exchange(&rev->is_demand_news, false))
		on_demand_news(al, rev);
	if (atomic_exchange(&rev->is_share_news, false))
		share_link_step(&al->shares, rev);
	if (atomic_exchange(&rev->is_spent_news, false))
		report_spent(al, rev);
}

static void
step_all(struct autoscaler_link *al)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&al->trackers, node, tmp)
		step(container_of(node, struct demand_tracker, node));
}

static void
tick_all(const struct autoscaler_link *al)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&al->trackers, node, tmp)
		limiter_tick(container_of(node, struct demand_tracker, node)->rev);
}

static void
on_activating(struct autoscaler_link *al, struct msg *m)
{
	struct revision *rev = registry_find_revision(al->registry, m->u.activating.revision);
	struct demand_tracker *t = rev == NULL ? NULL : rev->demand_tracker;

	if (t == NULL)
		return;
	t->is_wanted = m->u.activating.wanted > 0;
	if (demand_report_acked(&t->demand, m->u.activating.seq, clk_now())) {
		atomic_store_explicit(&rev->is_wake_requested, false, memory_order_relaxed);
		activation_stamp(&rev->activation.acked_ns);
	}
	step(t);
}

/* --- drains --- */

/* A revision or instance that the registry does not know has nothing in flight here: it is
 * drained.  One that is not described any more may still be at work. */
static void
on_drain(struct autoscaler_link *al, struct msg *m)
{
	const char *token = m->u.drain.token;
	struct revision *rev = NULL;
	struct instance *inst = NULL;

	if (m->u.drain.revision != NULL)
		rev = registry_find_known_revision(al->registry, m->u.drain.revision);
	else
		inst = registry_find_instance(al->registry, m->u.drain.instance);
	if (rev != NULL && !drains_revision(&al->drains, token, rev))
		answer(al, MSG_BUSY, token);
	else if (inst != NULL && !drains_instance(&al->drains, token, inst))
		loop_timer_set(&al->drain_timer, DRAIN_POLL);
	else
		answer(al, MSG_DRAINED, token);
}

/* --- every second --- */

static bool
may_report(void *arg)
{
	const struct autoscaler_link *al = arg;

	return al->is_up;
}

static void on_reported(void *arg);
static const struct stats_ops stats_ops = {
	.is_up = may_report, .send = send_msg, .on_reported = on_reported};

/* How fast the first responses come says how many more instances the parked requests need.
 * After 45, 90, 180, 360 and 720 ms: a report is at most twice as late as what it reports. */
static void
on_early(void *arg)
{
	struct autoscaler_link *al = arg;
	int64_t passed = al->early_ns;

	stats_collect(al->stats);
	al->early_ns = passed < DEMAND_REPORT_EARLY_LAST_NS ? passed * 2 : 0;
	if (al->early_ns > 0)
		loop_timer_set(&al->early, al->early_ns - passed);
}

static void
on_cleared(void *arg)
{
	const struct autoscaler_link *al = arg;

	stats_collect(al->stats);
}

static void
on_tick(void *arg)
{
	struct autoscaler_link *al = arg;

	loop_timer_set(&al->tick, TICK);
	drop_idle_trackers(al);
	registry_forget_unused(al->registry);
	step_all(al);
	tick_all(al);
	poll_drains(al);
	stats_collect(al->stats);
}

/* --- the link --- */

/* For an autoscaler that cannot see this process.  Not at the start: the folder of the socket is
 * the autoscaler's. */
static void
hold_lock(struct autoscaler_link *al)
{
	if (al->lock_fd >= 0)
		return;
	al->lock_fd = lifelock_hold(al->socket, al->id);
	if (al->lock_fd < 0)
		log_debug(NULL, "cannot lock a file beside the socket of the autoscaler",
			  "socket=%s id=%s err=%s", al->socket, al->id, strerror(errno));
}

static void
on_up(struct link *l, void *arg)
{
	struct autoscaler_link *al = arg;
	char *version = xstrdup(daemon_version);
	const struct msg m = {.type = MSG_HELLO,
			      .u.hello = {.protocol = MSG_PROTOCOL,
					  .role = ROLE_ACTIVATOR,
					  .id = al->id,
					  .version = version,
					  .has_shares = true,
					  .has_commands = true,
					  .has_spans = al->spans.log != NULL,
					  .has_swaps = true,
					  .defaults = msg_limits_digest()}};

	(void)l;
	hold_lock(al); /* before the autoscaler looks at it */
	send_msg(&m, al);
	free(version);
}

static void
send_leaving(struct autoscaler_link *al)
{
	const struct msg m = {.type = MSG_LEAVING};

	if (al->is_up && al->is_leaving)
		send_msg(&m, al);
}

void
autoscaler_link_leave(struct autoscaler_link *al)
{
	al->is_leaving = true;
	send_leaving(al);
}

void
autoscaler_link_finish(struct autoscaler_link *al, void (*done)(void *), void *arg)
{
	share_link_release(&al->shares);
	al->on_finished = done;
	al->finished_arg = arg;
	/* One that is under way may have asked a worker before its last request ended. */
	al->is_last_report = !stats_is_collecting(al->stats);
	if (al->is_last_report)
		stats_collect(al->stats);
}

void
autoscaler_link_stop(struct autoscaler_link *al)
{
	stats_stop(al->stats);
}

static void
on_reported(void *arg)
{
	struct autoscaler_link *al = arg;

	if (al->on_finished == NULL)
		return;
	if (al->is_last_report) {
		al->on_finished(al->finished_arg);
		return;
	}
	al->is_last_report = true;
	stats_collect(al->stats);
}

static void
on_hello(struct autoscaler_link *al, struct msg *m)
{
	const struct msg_hello *h = &m->u.hello;

	if (h->protocol != MSG_PROTOCOL) {
		link_cut(al->link, "its protocol version is %d, expected %d", h->protocol,
			 MSG_PROTOCOL);
		return;
	}
	if (h->role != ROLE_AUTOSCALER) {
		link_cut(al->link, "it is not an autoscaler");
		return;
	}
	al->is_up = true;
	al->reports.link = ++al->links;
	stats_renew(al->stats);
	share_link_up(&al->shares, h->has_shares ? h->term : 0);
	log_info(NULL, "autoscaler connected", "autoscaler=%s shares_term=%llu", h->id,
		 (unsigned long long)al->shares.term);
	send_leaving(al);
	step_all(al);
}

static void
on_down(struct link *l, const struct err *why, void *arg)
{
	struct autoscaler_link *al = arg;

	(void)l;
	if (al->is_up)
		log_warn(NULL, "link to the autoscaler lost; requests to running instances go on",
			 "err=%s", why->text);
	else if (strcmp(why->text, al->refused.text) != 0)
		log_warn(NULL, "cannot connect to the autoscaler", "err=%s", why->text);
	if (!al->is_up)
		al->refused = *why;
	al->is_up = false;
	al->reports.link = 0;
	registry_forget_swaps(al->registry);
	share_link_down(&al->shares);
	drains_resume_all(&al->drains);
	step_all(al);
}

static void
on_begin(struct autoscaler_link *al, struct msg *m)
{
	(void)m;
	registry_begin(al->registry);
}

static void
on_service(struct autoscaler_link *al, struct msg *m)
{
	registry_add_service(al->registry, &m->u.service);
}

static void
on_end(struct autoscaler_link *al, struct msg *m)
{
	bool was_described = registry_is_described(al->registry);
	struct err e;

	if (registry_end(al->registry, m->u.end.generation, m->u.end.services, &e) < 0) {
		link_cut(al->link, "%s", e.text);
		return;
	}
	link_accept_peer(al->link); /* the autoscaler has sent all that is needed of it */
	al->refused.text[0] = '\0';
	log_info(NULL, "new services in use", "generation=%lld services=%u",
		 (long long)m->u.end.generation, m->u.end.services);
	share_link_described(&al->shares);
	instance_reports_all(&al->reports);
	step_all(al);
	if (!was_described)
		al->ops->on_described(al->arg);
}

/* All workers route by what that `end` has ended. */
static void
on_swapped(int64_t generation, void *arg)
{
	struct autoscaler_link *al = arg;
	const struct msg m = {.type = MSG_SWAPPED, .u.swapped = {.generation = generation}};

	if (al->is_up)
		send_msg(&m, al);
}

static void
on_instances(struct autoscaler_link *al, struct msg *m)
{
	const struct msg_instances *update = &m->u.instances;
	struct revision *rev = registry_find_revision(al->registry, update->revision);

	registry_update_instances(al->registry, update);
	if (rev != NULL) {
		share_link_step(&al->shares, rev);
		if (update->is_known)
			instance_reports_listed(&al->reports, rev);
	}
	if (rev != NULL && rev->demand_tracker != NULL) {
		struct demand_tracker *t = rev->demand_tracker;

		t->is_wanted = update->wanted > 0;
		step(t);
	}
}

static void
on_scaling(struct autoscaler_link *al, struct msg *m)
{
	struct revision *rev = registry_find_revision(al->registry, m->u.scaling.revision);
	struct demand_tracker *t;

	if (rev == NULL || al->spans.log == NULL)
		return;
	t = tracker_of(al, rev);
	decision_span_end(&t->decision, rev, &al->spans, true);
	t->decision = decision_span_begin(rev, &m->u.scaling);
}

static void
on_resume(struct autoscaler_link *al, struct msg *m)
{
	drains_resume(&al->drains, m->u.resume.token);
}

static void
on_command(struct autoscaler_link *al, struct msg *m)
{
	const struct audit_by by = {.kind = AUDIT_BY_COMMAND,
				    .name = m->u.command.command,
				    .peer = {.pid = (pid_t)m->u.command.pid,
					     .uid = m->u.command.uid,
					     .login_uid = m->u.command.login_uid}};

	al->ops->on_command(m->u.command.token, &by, al->arg);
}

void
autoscaler_link_result(struct autoscaler_link *al, const char *token, bool is_done,
		       const char *text)
{
	char *to = xstrdup(token), *line = xstrdup(text);
	const struct msg m = {.type = MSG_RESULT,
			      .u.result = {.token = to, .is_done = is_done, .text = line}};

	if (al->is_up)
		send_msg(&m, al);
	free(to);
	free(line);
}

/* The messages of an autoscaler; any other is a mistake of the peer's. */
static void (*const handlers[])(struct autoscaler_link *, struct msg *) = {
	[MSG_HELLO] = on_hello,		[MSG_BEGIN] = on_begin,
	[MSG_SERVICE] = on_service,	[MSG_END] = on_end,
	[MSG_INSTANCES] = on_instances, [MSG_ACTIVATING] = on_activating,
	[MSG_DRAIN] = on_drain,		[MSG_RESUME] = on_resume,
	[MSG_COMMAND] = on_command,	[MSG_SCALING] = on_scaling,
};

static void
dispatch(struct autoscaler_link *al, struct msg *m)
{
	if (m->type == MSG_UNKNOWN) /* a later version has it */
		return;
	if (m->type >= ARRAY_LEN(handlers) || handlers[m->type] == NULL)
		link_cut(al->link, "an autoscaler does not send %s", msg_type_name(m->type));
	else if (!al->is_up && m->type != MSG_HELLO)
		link_cut(al->link, "%s came before hello", msg_type_name(m->type));
	else
		handlers[m->type](al, m);
}

static void
on_line(struct link *l, char *line, size_t n, void *arg)
{
	struct msg m;
	struct err e;

	if (msg_decode(&m, line, n, &e) < 0)
		link_cut(l, "%s", e.text);
	else
		dispatch(arg, &m);
	msg_fini(&m);
}

static const struct link_ops link_ops = {.on_up = on_up, .on_line = on_line, .on_down = on_down};

void
autoscaler_link_on_instance(struct autoscaler_link *al, struct instance *inst,
			    enum instance_health health)
{
	struct revision *rev = inst->rev;

	inst->is_answering = health == INSTANCE_ANSWERS;
	share_link_instance(&al->shares, inst);
	if (rev->demand_tracker != NULL)
		step(rev->demand_tracker);
	if (!al->is_up)
		return;
	instance_reports_health(&al->reports, inst, health);
	if (health == INSTANCE_ANSWERS)
		stats_report_now(al->stats, rev);
}

void
autoscaler_link_on_served(struct autoscaler_link *al, struct instance *inst)
{
	instance_reports_work(&al->reports, inst);
}

bool
autoscaler_link_is_up(const struct autoscaler_link *al)
{
	return al->is_up;
}

void
autoscaler_link_set_spans(struct autoscaler_link *al, struct access_log *spans, unsigned ring)
{
	al->spans = (struct span_port){.log = spans,
				       .ring = spans == NULL ? NULL : access_log_ring(spans, ring)};
}

struct autoscaler_link *
autoscaler_link_new(struct loop *loop, const char *path, struct registry *registry,
		    struct worker *const *workers, unsigned workers_n,
		    const struct autoscaler_link_ops *ops, void *arg)
{
	struct autoscaler_link *al = xcalloc(1, sizeof *al);

	al->loop = loop;
	al->registry = registry;
	al->ops = ops;
	al->arg = arg;
	al->id = xasprintf("%ld-%llx", (long)getpid(), (unsigned long long)clk_wall());
	al->socket = xstrdup(path);
	al->lock_fd = -1;
	list_init(&al->trackers);
	drains_init(&al->drains);
	share_link_init(&al->shares, registry, send_line, al);
	al->reports = (struct instance_reports){.registry = registry,
						.workers = workers,
						.workers_n = workers_n,
						.send = send_msg,
						.arg = al};
	registry_on_swapped(registry, on_swapped, al);
	al->stats = stats_new(registry, workers, workers_n, &stats_ops, al);
	loop_timer_init(&al->tick, loop, on_tick, al);
	loop_timer_init(&al->early, loop, on_early, al);
	loop_timer_init(&al->cleared, loop, on_cleared, al);
	loop_timer_init(&al->drain_timer, loop, poll_drains, al);
	al->link = link_dial(loop, al->socket, &link_ops, al);
	loop_timer_set(&al->tick, TICK);
	return al;
}

void
autoscaler_link_free(struct autoscaler_link **alp)
{
	struct autoscaler_link *al = *alp;
	struct list_node *node, *tmp;

	*alp = NULL;
	if (al == NULL)
		return;
	registry_on_swapped(al->registry, NULL, NULL);
	link_free(&al->link);
	loop_timer_fini(&al->tick);
	loop_timer_fini(&al->early);
	loop_timer_fini(&al->cleared);
	loop_timer_fini(&al->drain_timer);
	stats_free(&al->stats);
	drains_fini(&al->drains);
	LIST_FOREACH(&al->trackers, node, tmp)
		tracker_free(al, container_of(node, struct demand_tracker, node));
	if (al->lock_fd >= 0)
		close(al->lock_fd);
	free(al->socket);
	free(al->id);
	free(al);
}
