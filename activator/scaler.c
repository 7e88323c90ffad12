#include "activator/scaler.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/link.h"
#include "common/strbuf.h"
#include "activator/demand.h"

#define STATS_PERIOD CLK_S
#define DRAIN_LOOK (5 * CLK_MS) /* how often an instance that is drained is looked at */

/* Our side of one revision's activation; hangs at rev->control. */
struct track {
	struct scaler *s;
	struct revision *rev; /* a reference */
	struct list_node node;
	struct loop_timer timer;
	struct demand demand;
	bool is_wanted; /* by the autoscaler's newest word */
};

/* A drain that is on.  Exactly one of rev and inst is set. */
struct token {
	struct list_node node;
	char *text;
	struct revision *rev;
	struct instance *inst;
	bool is_told; /* drained */
};

struct scaler {
	struct loop *loop;
	struct link *link;
	struct world *world;
	struct worker *const *workers;
	unsigned workers_n;
	const struct scaler_ops *ops;
	void *arg;
	uint64_t next_seq;
	struct list tracks, tokens;
	struct loop_timer stats_timer, drain_timer;
	/* the collection that runs */
	unsigned awaited;
	bool must_repeat;
	struct worker_period **periods;
};

static void
send_msg(struct scaler *s, const struct msg *m)
{
	struct strbuf b;

	if (!link_is_up(s->link))
		return;
	strbuf_init(&b, 0);
	msg_encode(m, &b);
	link_send(s->link, strbuf_str(&b), b.len);
	strbuf_fini(&b);
}

/* --- activation --- */

static void collect(struct scaler *s);

static bool
is_any_open(const struct revision *rev)
{
	struct list_node *node = rev->instances.head.next;

	for (; node != &rev->instances.head; node = node->next)
		if (instance_is_open(container_of(node, struct instance, node)))
			return true;
	return false;
}

static void
activate(struct track *t)
{
	struct activation *a = &t->rev->activation;
	const struct msg m = {.type = MSG_ACTIVATE,
			      .u.activate = {.revision = t->rev->name,
					     .parked = revision_parked(t->rev),
					     .seq = t->demand.seq}};

	send_msg(t->s, &m);
	if (atomic_load_explicit(&a->signalled_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(&a->signalled_ns, clk_now(), memory_order_relaxed);
}

static void
step(struct track *t)
{
	struct scaler *s = t->s;
	int64_t now = clk_now();
	const struct demand_facts facts = {.is_link_up = link_is_up(s->link),
					   .is_open = is_any_open(t->rev),
					   .is_wanted = t->is_wanted,
					   .parked = revision_parked(t->rev)};

	switch (demand_step(&t->demand, &facts, now)) {
	case DEMAND_ACTIVATE:
		activate(t);
		break;
	case DEMAND_TELL:
		collect(s);
		break;
	case DEMAND_NOTHING:
		break;
	}
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

		if (world_revision(s->world, t->rev->name) != t->rev &&
		    revision_parked(t->rev) == 0)
			track_free(s, t);
	}
}

/* A new activation's phases are measured from nothing. */
static void
begin_phases(struct revision *rev)
{
	struct activation *a = &rev->activation;

	atomic_store_explicit(&a->signalled_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&a->acked_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&a->connected_ns, 0, memory_order_relaxed);
	if (list_empty(&rev->instances))
		atomic_store_explicit(&a->addressed_ns, 0, memory_order_relaxed);
}

void
scaler_on_demand(struct scaler *s, struct revision *rev)
{
	struct track *t = track_of(s, rev);
	bool was_waking = t->demand.is_waking;

	if (!was_waking && !is_any_open(rev))
		begin_phases(rev);
	step(t);
	if (!was_waking && t->demand.is_waking)
		collect(s);
}

static void
step_all(struct scaler *s)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->tracks, node, tmp)
		step(container_of(node, struct track, node));
}

static void
on_activating(struct scaler *s, const struct msg *m)
{
	struct revision *rev = world_revision(s->world, m->u.activating.revision);
	struct track *t = rev == NULL ? NULL : rev->control;

	if (t == NULL)
		return;
	t->is_wanted = m->u.activating.wanted > 0;
	if (demand_acked(&t->demand, m->u.activating.seq, clk_now()) &&
	    atomic_load_explicit(&rev->activation.acked_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(&rev->activation.acked_ns, clk_now(), memory_order_relaxed);
	step(t);
}

/* --- stats --- */

/* One revision's figures, added up over the workers. */
static struct msg_stat *
stat_of(struct msg_stats *stats, const struct revision *rev)
{
	size_t i;

	for (i = 0; i < stats->n; i++)
		if (stats->v[i].name == rev->name)
			return &stats->v[i];
	stats->v = xrealloc(stats->v, (stats->n + 1) * sizeof *stats->v);
	stats->v[stats->n] = (struct msg_stat){.name = rev->name};
	return &stats->v[stats->n++];
}

static void
add_period(struct msg_stat *st, const struct shard_period *p)
{
	st->concurrency += p->concurrency;
	st->peak += p->peak;
	st->in_flight += p->in_flight;
	st->parked += p->parked;
	st->requests += p->requests;
	st->latency_ms += p->latency_s * 1000; /* a sum, until finish_stat() */
	st->completed += p->completed;
}

static void
finish_stat(struct msg_stat *st, const struct revision *rev, int64_t now)
{
	struct list_node *node = rev->instances.head.next;

	if (st->completed > 0)
		st->latency_ms /= (double)st->completed;
	st->v = xcalloc(rev->instances.n, sizeof *st->v);
	for (; node != &rev->instances.head; node = node->next) {
		struct instance *inst = container_of(node, struct instance, node);
		int64_t busy = atomic_load_explicit(&inst->busy_until, memory_order_relaxed);

		st->v[st->n++] = (struct msg_stat_instance){
			.id = inst->id,
			.in_flight = instance_in_flight(inst),
			.busy_s = busy > now ? (double)(busy - now) / 1e9 : 0,
		};
	}
}

static void
send_stats(struct scaler *s)
{
	struct msg m = {.type = MSG_STATS};
	struct msg_stats *stats = &m.u.stats;
	int64_t now = clk_now(), period = 0;
	unsigned i;
	size_t j;

	for (i = 0; i < s->workers_n; i++) {
		period = MAX(period, s->periods[i]->period_ns);
		for (j = 0; j < s->periods[i]->n; j++)
			add_period(stat_of(stats, s->periods[i]->v[j].rev), &s->periods[i]->v[j]);
	}
	stats->period_ms = MAX(period / CLK_MS, 1);
	for (j = 0; j < stats->n; j++) {
		struct revision *rev = world_revision(s->world, stats->v[j].name);

		if (rev != NULL)
			finish_stat(&stats->v[j], rev, now);
	}
	send_msg(s, &m);
	for (j = 0; j < stats->n; j++)
		free(stats->v[j].v);
	free(stats->v);
	for (i = 0; i < s->workers_n; i++)
		worker_period_free(&s->periods[i]);
}

static void
on_period(struct worker_period *p, void *arg)
{
	struct scaler *s = arg;

	s->periods[--s->awaited] = p;
	if (s->awaited > 0)
		return;
	send_stats(s);
	if (s->must_repeat) {
		s->must_repeat = false;
		collect(s);
	}
}

static void
collect(struct scaler *s)
{
	unsigned i;

	if (s->awaited > 0) { /* it may have passed by what is asked for now */
		s->must_repeat = true;
		return;
	}
	if (!link_is_up(s->link))
		return; /* the period goes on until somebody can hear of it */
	s->awaited = s->workers_n;
	for (i = 0; i < s->workers_n; i++)
		worker_post_collect(s->workers[i], on_period, s);
}

static void
on_stats_timer(void *arg)
{
	struct scaler *s = arg;

	loop_timer_set(&s->stats_timer, STATS_PERIOD);
	sweep_tracks(s);
	step_all(s);
	collect(s);
}

/* --- drains --- */

static void
answer(struct scaler *s, enum msg_type type, const char *token)
{
	struct msg m = {.type = type};

	m.u.drained.token = xstrdup(token); /* busy has the same shape */
	send_msg(s, &m);
	free(m.u.drained.token);
}

static void
token_free(struct scaler *s, struct token *t)
{
	list_remove(&s->tokens, &t->node);
	revision_unref(&t->rev);
	instance_unref(&t->inst);
	free(t->text);
	free(t);
}

static void
resume(struct scaler *s, struct token *t)
{
	if (t->rev != NULL)
		revision_reopen(t->rev);
	else
		instance_open_slots(t->inst, SLOTS_DRAIN);
	token_free(s, t);
}

static void
add_token(struct scaler *s, const char *text, struct revision *rev, struct instance *inst)
{
	struct token *t = xcalloc(1, sizeof *t);

	t->text = xstrdup(text);
	t->rev = rev == NULL ? NULL : revision_ref(rev);
	t->inst = inst == NULL ? NULL : instance_ref(inst);
	t->is_told = rev != NULL;
	list_push(&s->tokens, &t->node);
}

static void
look_at_drains(void *arg)
{
	struct scaler *s = arg;
	struct list_node *node, *tmp;
	bool is_any_left = false;

	LIST_FOREACH(&s->tokens, node, tmp) {
		struct token *t = container_of(node, struct token, node);

		if (t->is_told)
			continue;
		t->is_told = instance_in_flight(t->inst) == 0;
		if (t->is_told)
			answer(s, MSG_DRAINED, t->text);
		is_any_left |= !t->is_told;
	}
	if (is_any_left)
		loop_timer_set(&s->drain_timer, DRAIN_LOOK);
}

static void
drain_revision(struct scaler *s, const char *token, const char *name)
{
	struct revision *rev = world_revision(s->world, name);

	if (rev != NULL && !revision_try_close(rev)) {
		answer(s, MSG_BUSY, token);
		return;
	}
	if (rev != NULL)
		add_token(s, token, rev, NULL);
	answer(s, MSG_DRAINED, token);
}

static void
drain_instance(struct scaler *s, const char *token, const char *id)
{
	struct instance *inst = world_instance(s->world, id);

	if (inst == NULL) {
		answer(s, MSG_DRAINED, token);
		return;
	}
	instance_close_slots(inst, SLOTS_DRAIN);
	add_token(s, token, NULL, inst);
	look_at_drains(s);
}

static void
on_resume(struct scaler *s, const char *token)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->tokens, node, tmp) {
		struct token *t = container_of(node, struct token, node);

		if (strcmp(t->text, token) == 0)
			resume(s, t);
	}
}

/* --- the link --- */

static void
on_up(struct link *l, void *arg)
{
	struct scaler *s = arg;
	char *id = xasprintf("%ld-%lld", (long)getpid(), (long long)clk_now());
	const struct msg m = {.type = MSG_HELLO,
			      .u.hello = {.protocol = MSG_PROTOCOL, .role = ROLE_ACTIVATOR, .id = id}};

	(void)l;
	send_msg(s, &m);
	free(id);
	log_info(NULL, "autoscaler connected", "");
	step_all(s);
}

static void
on_down(struct link *l, const struct err *why, void *arg)
{
	struct scaler *s = arg;
	struct list_node *node, *tmp;

	(void)l;
	log_warn(NULL, "autoscaler is away; what runs goes on", "err=%s", why->text);
	LIST_FOREACH(&s->tokens, node, tmp)
		resume(s, container_of(node, struct token, node));
	step_all(s);
}

static void
on_instances(struct scaler *s, const struct msg_instances *m)
{
	struct revision *rev;

	world_instances(s->world, m);
	rev = world_revision(s->world, m->revision);
	if (rev != NULL && rev->control != NULL) {
		struct track *t = rev->control;

		t->is_wanted = m->wanted > 0;
		step(t);
	}
}

static void
on_end(struct scaler *s, const struct msg *m)
{
	bool was_described = world_is_described(s->world);
	struct err e;

	if (world_end(s->world, m->u.end.services, &e) < 0) {
		link_cut(s->link, "%s", e.text);
		return;
	}
	if (!was_described)
		s->ops->on_described(s->arg);
	step_all(s);
}

static void
on_hello(struct scaler *s, const struct msg_hello *h)
{
	if (h->protocol != MSG_PROTOCOL || h->role != ROLE_AUTOSCALER)
		link_cut(s->link, "expected an autoscaler of protocol %d", MSG_PROTOCOL);
}

static void
dispatch(struct scaler *s, struct msg *m)
{
	switch (m->type) {
	case MSG_HELLO:
		on_hello(s, &m->u.hello);
		break;
	case MSG_BEGIN:
		world_begin(s->world);
		break;
	case MSG_SERVICE:
		world_service(s->world, &m->u.service);
		break;
	case MSG_END:
		on_end(s, m);
		break;
	case MSG_INSTANCES:
		on_instances(s, &m->u.instances);
		break;
	case MSG_ACTIVATING:
		on_activating(s, m);
		break;
	case MSG_DRAIN:
		if (m->u.drain.revision != NULL)
			drain_revision(s, m->u.drain.token, m->u.drain.revision);
		else
			drain_instance(s, m->u.drain.token, m->u.drain.instance);
		break;
	case MSG_RESUME:
		on_resume(s, m->u.resume.token);
		break;
	default: /* of a later version, or not for us */
		log_debug(NULL, "message ignored", "type=%s", msg_type_name(m->type));
	}
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
scaler_on_instance(struct scaler *s, const struct instance *inst, enum instance_word word)
{
	const struct msg m = {.type = MSG_INSTANCE, .u.instance = {.id = inst->id, .state = word}};

	send_msg(s, &m);
}

bool
scaler_is_up(const struct scaler *s)
{
	return link_is_up(s->link);
}

struct scaler *
scaler_new(struct loop *loop, const char *path, struct world *world, struct worker *const *workers,
	   unsigned workers_n, const struct scaler_ops *ops, void *arg)
{
	struct scaler *s = xcalloc(1, sizeof *s);

	s->loop = loop;
	s->world = world;
	s->workers = workers;
	s->workers_n = workers_n;
	s->ops = ops;
	s->arg = arg;
	s->periods = xcalloc(workers_n, sizeof(struct worker_period *));
	list_init(&s->tracks);
	list_init(&s->tokens);
	loop_timer_init(&s->stats_timer, loop, on_stats_timer, s);
	loop_timer_init(&s->drain_timer, loop, look_at_drains, s);
	s->link = link_dial(loop, path, &link_ops, s);
	loop_timer_set(&s->stats_timer, STATS_PERIOD);
	return s;
}

/* The workers may still answer a collection: nobody listens by then. */
void
scaler_free(struct scaler **sp)
{
	struct scaler *s = *sp;
	struct list_node *node, *tmp;

	*sp = NULL;
	if (s == NULL)
		return;
	while (s->awaited > 0)
		loop_once(s->loop, false);
	LIST_FOREACH(&s->tokens, node, tmp)
		resume(s, container_of(node, struct token, node));
	LIST_FOREACH(&s->tracks, node, tmp)
		track_free(s, container_of(node, struct track, node));
	loop_timer_fini(&s->stats_timer);
	loop_timer_fini(&s->drain_timer);
	link_free(&s->link);
	free(s->periods);
	free(s);
}
