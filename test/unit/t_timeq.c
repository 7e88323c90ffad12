/* timeq: limits fire after the events of their round, and those that come while a round takes long
 * fire after the events of the next one. */
#include "test/unit/unit.h"

#include "activator/timeq.h"
#include "common/clk.h"

static int64_t fake_ns = 1000 * CLK_S;

static int64_t
fake_clock(void)
{
	return fake_ns;
}

struct limit {
	struct timeq_entry entry;
	int64_t fired_ns; /* 0: not yet */
};

static void
on_limit(struct timeq_entry *e, int64_t now)
{
	container_of(e, struct limit, entry)->fired_ns = now;
}

/* Until the timer fires. */
static void
run_loop(struct loop *loop, const struct timeq *q)
{
	while (q->fired_ns == 0)
		loop_once(loop, false);
}

static void
what_comes_while_a_round_takes_long_is_seen_first(void **state)
{
	struct limit first = {.entry = {.fn = on_limit}}, second = first;
	struct timeq *q = xcalloc(1, sizeof *q);
	struct loop *loop;
	struct err e;

	(void)state;
	clk_replace(fake_clock);
	loop = loop_new(&e);
	timeq_init(q, loop);
	timeq_set(q, &first.entry, fake_ns + TIMEQ_TICK);
	timeq_set(q, &second.entry, fake_ns + CLK_S);
	timeq_run(q);
	assert_int_equal(first.fired_ns, 0);
	fake_ns += 4 * TIMEQ_TICK;
	run_loop(loop, q);
	fake_ns += 2 * CLK_S; /* the thread does not run */
	timeq_run(q);
	assert_int_equal(first.fired_ns, fake_ns - 2 * CLK_S);
	assert_int_equal(second.fired_ns, 0);
	run_loop(loop, q);
	timeq_run(q);
	assert_int_equal(second.fired_ns, fake_ns);
	timeq_fini(q);
	loop_free(&loop);
	clk_replace(NULL);
	free(q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_while_a_round_takes_long_is_seen_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
