#include "activator/timeq.h"

#include "common/clk.h"

static void on_time(void *arg);

void
timeq_init(struct timeq *q, struct loop *loop)
{
	size_t i;

	*q = (struct timeq){.tick = clk_now() / TIMEQ_TICK};
	for (i = 0; i < TIMEQ_SLOTS; i++)
		list_init(&q->slots[i]);
	loop_timer_init(&q->timer, loop, on_time, q);
}

void
timeq_fini(struct timeq *q)
{
	CHECK(q->n == 0);
	loop_timer_fini(&q->timer);
}

static size_t
slot_of(int64_t tick)
{
	return (size_t)(tick % TIMEQ_SLOTS);
}

static void
unlink_entry(struct timeq *q, struct timeq_entry *e)
{
	size_t slot = slot_of(e->tick);

	list_remove(&q->slots[slot], &e->node);
	q->n--;
	if (list_empty(&q->slots[slot]))
		q->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

static void
arm(struct timeq *q, int64_t tick)
{
	q->armed_tick = tick;
	loop_timer_set(&q->timer, MAX((tick + 1) * TIMEQ_TICK - clk_now(), 0));
}

void
timeq_move(struct timeq *q, struct timeq_entry *e, int64_t at_ns)
{
	/* Not in a tick that was run already.  A limit beyond one turn fires early, and is set
	 * again. */
	int64_t tick = MAX(at_ns / TIMEQ_TICK, q->tick + 1);
	size_t slot;

	tick = MIN(tick, q->tick + TIMEQ_SLOTS - 1);
	if (list_linked(&e->node)) {
		if (e->tick <= tick) { /* soon enough as it is */
			e->at_ns = at_ns;
			return;
		}
		unlink_entry(q, e);
	}
	slot = slot_of(tick);
	e->tick = tick;
	e->at_ns = at_ns;
	list_push(&q->slots[slot], &e->node);
	q->used[slot / 64] |= UINT64_C(1) << (slot % 64);
	q->n++;
	if (q->armed_tick == 0 || tick < q->armed_tick)
		arm(q, tick);
}

void
timeq_clear(struct timeq *q, struct timeq_entry *e)
{
	if (list_linked(&e->node))
		unlink_entry(q, e);
}

/* The tick of the first slot in use after q->tick, or 0. */
static int64_t
next_tick(const struct timeq *q)
{
	int64_t i;

	if (q->n == 0)
		return 0;
	for (i = 1; i < TIMEQ_SLOTS;) {
		size_t slot = slot_of(q->tick + i);
		uint64_t word = q->used[slot / 64] >> (slot % 64);

		if (word != 0)
			return q->tick + i + __builtin_ctzll(word);
		i += 64 - (int64_t)(slot % 64);
	}
	CHECK(!"an entry is in some slot");
	return 0;
}

static void
run_slot(struct timeq *q, size_t slot, int64_t now)
{
	struct list_node *node;

	/* What fn sets goes into another slot: the tick of this one is q->tick. */
	while ((node = list_first(&q->slots[slot])) != NULL) {
		struct timeq_entry *e = container_of(node, struct timeq_entry, node);

		unlink_entry(q, e);
		e->fn(e, now);
	}
}

static void
on_time(void *arg)
{
	struct timeq *q = arg;

	q->fired_ns = clk_now();
}

void
timeq_run(struct timeq *q)
{
	int64_t now = q->fired_ns, last, tick;

	if (now == 0)
		return;
	q->fired_ns = 0;
	last = now / TIMEQ_TICK - 1;
	q->armed_tick = 0;
	while ((tick = next_tick(q)) != 0 && tick <= last) {
		q->tick = tick;
		run_slot(q, slot_of(tick), now);
	}
	q->tick = MAX(q->tick, last);
	tick = next_tick(q);
	if (tick != 0)
		arm(q, tick);
}
