/* task: its end, where it is cancelled from the tail of a round, and where the disk holds it up. */
#include "unit.h"

#include <semaphore.h>

#include "common/clk.h"
#include "common/loop.h"
#include "common/task.h"

struct world {
	struct loop *loop;
	struct task *task;
	sem_t may_end;
	bool saw_cancel;
	unsigned done, cancelled, deferred;
};

static void
setup(struct world *w)
{
	struct err e;

	*w = (struct world){.loop = loop_new(&e)};
	assert_non_null(w->loop);
	sem_init(&w->may_end, 0, 0);
}

static void
on_run(void *arg, const _Atomic bool *cancel)
{
	struct world *w = arg;

	while (sem_wait(&w->may_end) < 0)
		;
	w->saw_cancel = *cancel;
}

static void
on_done(void *arg)
{
	struct world *w = arg;

	w->done++;
	w->task = NULL;
}

static void
on_cancelled(void *arg)
{
	struct world *w = arg;

	w->cancelled++;
	w->task = NULL;
}

static const struct task_ops ops = {.run = on_run, .done = on_done, .cancelled = on_cancelled};

static void
start(struct world *w)
{
	struct err e;

	w->task = task_start(w->loop, &ops, w, &e);
	assert_non_null(w->task);
}

static void
its_end_is_reported(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	start(&w);
	sem_post(&w.may_end);
	while (w.task != NULL)
		loop_once(w.loop, false);
	assert_int_equal(w.done, 1);
	assert_int_equal(w.cancelled, 0);
	assert_false(w.saw_cancel);
	loop_free(&w.loop);
}

static void
count(void *arg)
{
	((struct world *)arg)->deferred++;
}

static void
cancel(void *arg)
{
	struct world *w = arg;

	w->deferred++;
	task_cancel(w->task);
}

/* The thread ends after the cancel alone: a cancel that waited would wait for ever. */
static void
a_cancel_waits_for_nothing(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	start(&w);
	loop_defer(w.loop, &w, count);
	loop_defer(w.loop, &w, cancel);
	loop_defer(w.loop, &w, count);
	loop_skip_wait(w.loop);
	loop_once(w.loop, true);
	assert_int_equal(w.deferred, 3);
	assert_int_equal(w.cancelled, 0);
	sem_post(&w.may_end);
	while (w.task != NULL)
		loop_once(w.loop, false);
	assert_int_equal(w.cancelled, 1);
	assert_int_equal(w.done, 0);
	assert_true(w.saw_cancel);
	loop_free(&w.loop);
}

static void
a_stop_calls_neither(void **state)
{
	struct world w;
	unsigned i;

	(void)state;
	setup(&w);
	for (i = 0; i < 20; i++) { /* the thread's mail is on its way, or not */
		start(&w);
		sem_post(&w.may_end);
		if (i % 2 == 0)
			usleep(1000);
		assert_true(task_stop(&w.task, clk_now() + 600 * CLK_S));
		assert_null(w.task);
	}
	loop_free(&w.loop);
	assert_int_equal(w.done + w.cancelled, 0);
}

static void
stop_while_it_is_held(void *arg)
{
	struct world w;

	(void)arg;
	setup(&w);
	start(&w);
	if (task_stop(&w.task, clk_now() + CLK_MS))
		_exit(1);
	loop_free(&w.loop);
	sem_post(&w.may_end); /* it ends without its loop, or the process before it */
	usleep(1000);
}

static void
a_stop_does_not_wait_for_ever(void **state)
{
	(void)state;
	assert_int_equal(unit_status_of(stop_while_it_is_held, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_end_is_reported),
		cmocka_unit_test(a_cancel_waits_for_nothing),
		cmocka_unit_test(a_stop_calls_neither),
		cmocka_unit_test(a_stop_does_not_wait_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
