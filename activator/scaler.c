#include "activator/scaler.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activator/drains.h"
#include "activator/limiter.h"
#include "activator/stats.h"
#include "activator/world.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/demand_report.h"
#include "common/link.h"
#include "common/strbuf.h"

#define TICK CLK_S
#define DRAIN_LOOK (5 * CLK_MS) /* how often an instance that is drained is looked at */

/* Our side of one revision's activation; hangs at rev->control. */
struct track {
	struct scaler *s;
	struct revision *rev; /* a reference */
	struct list_node node;
	struct loop_timer timer;
	struct demand_report demand;
	bool is_wanted; /* by the autoscaler's newest word */
};

struct scaler {
	struct loop *loop;
	struct link *link;
	struct world *world;
	struct worker *const *workers;
	unsigned workers_n;
	const struct scaler_ops *ops;
	void *arg;
	char *id;   /* of this process, as hello says it */
	bool is_up; /* the other side has said hello, too */
	struct list tracks;
	struct drains drains;
	struct stats *stats;
	struct loop_timer tick, early, cleared, drain_timer;
	int64_t early_ns; /* how long after the wake the next early report is due; 0: none is */
	struct log_limit refusals;
};

static void
send_msg(const struct msg *m, void *arg)
{
	const struct scaler *s = arg;
	struct strbuf b;

	if (s->link == NULL) /* we leave, and a round of reports was under way */
		return;
	strbuf_init(&b, 0);
	msg_encode(m, &b);
	link_send(s->link, strbuf_str(&b), b.len);
	strbuf_fini(&b);
}

/* --- activation --- */

static bool
is_any_open(const struct revision *rev)
{
	struct list_node *node = rev->instances.head.next;

	for (; node != &rev->instances.head; node = node->next)
		if (instance_is_open(container_of(node, struct instance, node)))
			return true;
	return false;
}

/* Parked requests, and those whose clients wait without being parked. */
static uint32_t
waiting_for(struct revision *rev)
{
	return limiter_parked_waking(rev) +
	       atomic_load_explicit(&rev->is_wake_requested, memory_order_relaxed);
}

static void
activate(struct track *t)
{
	const struct msg m = {.type = MSG_ACTIVATE,
			      .u.activate = {.revision = t->rev->name,
					     .parked = t->demand.reported,
					     .seq = t->demand.seq}};

	send_msg(&m, t->s);
	activation_stamp(&t->rev->activation.signalled_ns);
}

static void
tell_instance(struct scaler *s, struct instance *inst, enum instance_health word)
{
	const struct msg m = {.type = MSG_INSTANCE, .u.instance = {.id = inst->id, .state = word}};

	send_msg(&m, s);
}

/* Somebody has woken: the next reports come without waiting for the second.  The first
 * one is not put off by others that wake. */
static void
report_early(struct scaler *s)
{
	if (s->early_ns == DEMAND_REPORT_EARLY_NS)
		return;
	s->early_ns = DEMAND_REPORT_EARLY_NS;
	loop_timer_set(&s->early, DEMAND_REPORT_EARLY_NS);
}

/* All that a wake had left waiting is on its way: what that took is known, and what is more
 * than it takes from here on can go. */
static void
report_cleared(struct scaler *s)
{
	if (s->early_ns > 0 && !loop_timer_pending(&s->cleared))
		loop_timer_set(&s->cleared, DEMAND_REPORT_CLEARED_NS);
}

static void
step(struct track *t)
{
	struct scaler *s = t->s;
	int64_t now = clk_now();
	struct demand_report_facts facts = {
		.is_link_up = s->is_up, .is_open = is_any_open(t->rev), .is_wanted = t->is_wanted};

	if (t->demand.is_waking && facts.is_open)
		report_early(s);
	if (facts.is_open && s->early_ns > 0)
		limiter_notify_when_empty(t->rev);
	facts.parked = waiting_for(t->rev);
	if (t->demand.is_reporting && facts.parked == 0)
		report_cleared(s);
	switch (demand_report_step(&t->demand, &facts, now)) {
	case DEMAND_REPORT_ACTIVATE:
		activate(t);
		break;
	case DEMAND_REPORT_COUNT:
		stats_tell(s->stats, t->rev);
		break;
	case DEMAND_REPORT_NOTHING:
		break;
	}
	if (facts.is_open)
		atomic_store_explicit(&t->rev->is_wake_requested, false, memory_order_relaxed);
	if (t->demand.next_ns != INT64_MAX && facts.is_link_up)
		loop_timer_set(&t->timer, MAX(t->demand.next_ns - now, 0));
	else
		loop_timer_clear(&t->timer);
}

static void
on_track_timer(void *arg)
{
	step(arg);
}

static struct track *
track_of(struct scaler *s, struct revision *rev)
{
	struct track *t = rev->control;

	if (t != NULL)
		return t;
	t = xcalloc(1, sizeof *t);
	t->s = s;
	t->rev = revision_ref(rev);
	loop_timer_init(&t->timer, s->loop, on_track_timer, t);
	list_push(&s->tracks, &t->node);
	rev->control = t;
	return t;
}

static void
track_free(struct scaler *s, struct track *t)
{
	list_remove(&s->tracks, &t->node);
	loop_timer_fini(&t->timer);
	t->rev->control = NULL;
	revision_unref(&t->rev);
	free(t);
}

/* A revision that nobody describes any more and nobody waits for. */
static void
sweep_tracks(struct scaler *s)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->tracks, node, tmp) {
		struct track *t = container_of(node, struct track, node);

		if (world_revision(s->world, t->rev->name) != t->rev && limiter_parked(t->rev) == 0)
			track_free(s, t);
	}
}

void
scaler_on_demand(struct scaler *s, struct revision *rev)
{
	struct track *t = track_of(s, rev);
	bool was_waking = t->demand.is_waking;

	if (!was_waking && !is_any_open(rev))
		activation_begin(&rev->activation, !list_empty(&rev->instances));
	demand_report_restart(&t->demand);
	step(t);
	if (!was_waking && t->demand.is_waking)
		log_info(&rev->tag, "waking", "parked=%u", limiter_parked(rev));
}

static void
step_all(struct scaler *s)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->tracks, node, tmp)
		step(container_of(node, struct track, node));
}

static void
tick_all(const struct scaler *s)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->tracks, node, tmp)
		limiter_tick(container_of(node, struct track, node)->rev);
}

static void
on_activating(struct scaler *s, struct msg *m)
{
	struct revision *rev = world_revision(s->world, m->u.activating.revision);
	struct track *t = rev == NULL ? NULL : rev->control;

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

static void
answer(struct scaler *s, enum msg_type type, const char *token)
{
	struct msg m = {.type = type};

	m.u.drained.token = xstrdup(token); /* busy has the same shape */
	send_msg(&m, s);
	free(m.u.drained.token);
}

static void
on_drained(const char *token, void *arg)
{
	answer(arg, MSG_DRAINED, token);
}

static void
look_at_drains(void *arg)
{
	struct scaler *s = arg;

	if (drains_poll(&s->drains, on_drained, s) > 0)
		loop_timer_set(&s->drain_timer, DRAIN_LOOK);
}

/* What we do not know has nothing in flight here. */
static void
on_drain(struct scaler *s, struct msg *m)
{
	const char *token = m->u.drain.token;
	struct revision *rev = NULL;
	struct instance *inst = NULL;

	if (m->u.drain.revision != NULL)
		rev = world_revision(s->world, m->u.drain.revision);
	else
		inst = world_instance(s->world, m->u.drain.instance);
	if (rev != NULL && !drains_revision(&s->drains, token, rev))
		answer(s, MSG_BUSY, token);
	else if (inst != NULL && !drains_instance(&s->drains, token, inst))
		loop_timer_set(&s->drain_timer, DRAIN_LOOK);
	else
		answer(s, MSG_DRAINED, token);
}

/* --- every second --- */

static void
send_stats(const struct msg *m, void *arg)
{
	const struct scaler *s = arg;

	if (s->is_up)
		send_msg(m, arg);
}

static const struct stats_ops stats_ops = {.send = send_stats};

/* How fast the first answers come says how many more instances what is parked needs: told
 * after 45, 90, 180, 360 and 720 ms, so at most twice as late as they come. */
static void
on_early(void *arg)
{
	struct scaler *s = arg;
	int64_t passed = s->early_ns;

	stats_collect(s->stats);
	s->early_ns = passed < DEMAND_REPORT_EARLY_LAST_NS ? passed * 2 : 0;
	if (s->early_ns > 0)
		loop_timer_set(&s->early, s->early_ns - passed);
}

static void
on_cleared(void *arg)
{
	const struct scaler *s = arg;

	stats_collect(s->stats);
}

static void
on_tick(void *arg)
{
	struct scaler *s = arg;

	loop_timer_set(&s->tick, TICK);
	sweep_tracks(s);
	step_all(s);
	tick_all(s);
	look_at_drains(s);
	stats_collect(s->stats);
}

/* --- the link --- */

static void
on_up(struct link *l, void *arg)
{
	struct scaler *s = arg;
	char *version = xstrdup(daemon_version);
	const struct msg m = {.type = MSG_HELLO,
			      .u.hello = {.protocol = MSG_PROTOCOL,
					  .role = ROLE_ACTIVATOR,
					  .id = s->id,
					  .version = version}};

	(void)l;
	send_msg(&m, s);
	free(version);
}

static void
on_hello(struct scaler *s, struct msg *m)
{
	const struct msg_hello *h = &m->u.hello;

	if (h->protocol != MSG_PROTOCOL || h->role != ROLE_AUTOSCALER) {
		link_cut(s->link, "expected an autoscaler of protocol %d", MSG_PROTOCOL);
		return;
	}
	s->is_up = true;
	log_info(NULL, "autoscaler connected", "autoscaler=%s", h->id);
	step_all(s);
}

static void
on_down(struct link *l, const struct err *why, void *arg)
{
	struct scaler *s = arg;

	(void)l;
	if (s->is_up)
		log_warn(NULL, "autoscaler is away; what runs goes on", "err=%s", why->text);
	else if (log_allow(&s->refusals, 1, "no autoscaler"))
		log_warn(NULL, "no autoscaler", "err=%s", why->text);
	s->is_up = false;
	drains_resume_all(&s->drains);
	step_all(s);
}

/* A new autoscaler has not heard which instances answer. */
static void
tell_answering(struct scaler *s)
{
	struct list_node *node, *tmp;
	struct revision *rev;
	size_t at = 0;

	while ((rev = world_next(s->world, &at)) != NULL)
		LIST_FOREACH(&rev->instances, node, tmp) {
			struct instance *inst = container_of(node, struct instance, node);

			if (inst->is_answering && inst->state == INSTANCE_STARTING)
				tell_instance(s, inst, INSTANCE_ANSWERS);
		}
}

static void
on_begin(struct scaler *s, struct msg *m)
{
	(void)m;
	world_begin(s->world);
}

static void
on_service(struct scaler *s, struct msg *m)
{
	world_service(s->world, &m->u.service);
}

static void
on_end(struct scaler *s, struct msg *m)
{
	bool was_described = world_is_described(s->world);
	struct err e;

	if (world_end(s->world, m->u.end.generation, m->u.end.services, &e) < 0) {
		link_cut(s->link, "%s", e.text);
		return;
	}
	log_info(NULL, "services swapped", "generation=%lld services=%u",
		 (long long)m->u.end.generation, m->u.end.services);
	tell_answering(s);
	step_all(s);
	if (!was_described)
		s->ops->on_described(s->arg);
}

static void
on_instances(struct scaler *s, struct msg *m)
{
	const struct msg_instances *word = &m->u.instances;
	struct revision *rev = world_revision(s->world, word->revision);

	world_instances(s->world, word);
	if (rev != NULL && rev->control != NULL) {
		struct track *t = rev->control;

		t->is_wanted = word->wanted > 0;
		step(t);
	}
}

static void
on_resume(struct scaler *s, struct msg *m)
{
	drains_resume(&s->drains, m->u.resume.token);
}

/* What an autoscaler says.  The rest is not for us. */
static void (*const handlers[])(struct scaler *, struct msg *) = {
	[MSG_HELLO] = on_hello, [MSG_BEGIN] = on_begin,		[MSG_SERVICE] = on_service,
	[MSG_END] = on_end,	[MSG_INSTANCES] = on_instances, [MSG_ACTIVATING] = on_activating,
	[MSG_DRAIN] = on_drain, [MSG_RESUME] = on_resume,
};

static void
dispatch(struct scaler *s, struct msg *m)
{
	if (m->type == MSG_UNKNOWN) /* of a later version */
		return;
	if (m->type >= ARRAY_LEN(handlers) || handlers[m->type] == NULL)
		link_cut(s->link, "an autoscaler does not send %s", msg_type_name(m->type));
	else if (!s->is_up && m->type != MSG_HELLO)
		link_cut(s->link, "%s came before hello", msg_type_name(m->type));
	else
		handlers[m->type](s, m);
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
scaler_on_instance(struct scaler *s, struct instance *inst, enum instance_health word)
{
	struct revision *rev = inst->rev;

	inst->is_answering = word == INSTANCE_ANSWERS;
	if (rev->control != NULL)
		step(rev->control);
	if (!s->is_up)
		return;
	tell_instance(s, inst, word);
	if (word == INSTANCE_ANSWERS)
		stats_tell(s->stats, rev);
}

bool
scaler_is_up(const struct scaler *s)
{
	return s->is_up;
}

struct scaler *
scaler_new(struct loop *loop, const char *path, struct world *world, struct worker *const *workers,
	   unsigned workers_n, const struct scaler_ops *ops, void *arg)
{
	struct scaler *s = xcalloc(1, sizeof *s);

	s->loop = loop;
	s->world = world;
	s->ops = ops;
	s->arg = arg;
	s->id = xasprintf("%ld-%llx", (long)getpid(), (unsigned long long)clk_wall());
	list_init(&s->tracks);
	drains_init(&s->drains);
	s->stats = stats_new(world, workers, workers_n, &stats_ops, s);
	loop_timer_init(&s->tick, loop, on_tick, s);
	loop_timer_init(&s->early, loop, on_early, s);
	loop_timer_init(&s->cleared, loop, on_cleared, s);
	loop_timer_init(&s->drain_timer, loop, look_at_drains, s);
	s->link = link_dial(loop, path, &link_ops, s);
	loop_timer_set(&s->tick, TICK);
	return s;
}

void
scaler_free(struct scaler **sp)
{
	struct scaler *s = *sp;
	struct list_node *node, *tmp;

	*sp = NULL;
	if (s == NULL)
		return;
	link_free(&s->link);
	while (stats_is_collecting(s->stats))
		loop_once(s->loop, false);
	loop_timer_fini(&s->tick);
	loop_timer_fini(&s->early);
	loop_timer_fini(&s->cleared);
	loop_timer_fini(&s->drain_timer);
	stats_free(&s->stats);
	drains_fini(&s->drains);
	LIST_FOREACH(&s->tracks, node, tmp)
		track_free(s, container_of(node, struct track, node));
	free(s->id);
	free(s);
}
