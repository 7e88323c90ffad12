/* loop: timers, descriptors, signals, mail of many threads, and deferred calls. */
#include "test/unit/unit.h"

#include <pthread.h>

#include "common/clk.h"
#include "common/loop.h"

#define THREADS 8
#define MAILS 5000

static struct loop *
made_by(struct loop *(*make)(struct err *))
{
	struct err e;
	struct loop *l = make(&e);

	assert_non_null(l);
	return l;
}

static struct loop *
new_loop(void)
{
	return made_by(loop_new);
}

struct tick {
	struct loop_timer timer;
	struct loop *loop;
	int fired, again;
	int64_t at;
	int *order, place;
};

static void
on_tick(void *arg)
{
	struct tick *t = arg;

	t->fired++;
	t->at = clk_now();
	if (t->order != NULL)
		t->place = ++*t->order;
	if (t->again-- > 0)
		loop_timer_set(&t->timer, CLK_MS);
	else
		loop_stop(t->loop);
}

static void
fire_once_for_each_set(struct loop *l)
{
	struct tick t = {.loop = l, .again = 3};
	int64_t start = clk_now();

	loop_timer_init(&t.timer, l, on_tick, &t);
	assert_false(loop_timer_pending(&t.timer));
	loop_timer_set(&t.timer, 20 * CLK_MS);
	assert_true(loop_timer_pending(&t.timer));
	loop_run(l);
	assert_int_equal(t.fired, 4);
	assert_true(t.at - start >= 23 * CLK_MS);
	assert_false(loop_timer_pending(&t.timer));
	loop_timer_fini(&t.timer);
	loop_timer_fini(&t.timer);
	loop_free(&l);
	assert_null(l);
	loop_free(&l);
}

static void
can_be_replaced_and_cleared(struct loop *l)
{
	int order = 0;
	struct tick late = {.loop = l, .order = &order},
		    soon = {.loop = l, .order = &order, .again = 1};
	struct tick never = {.loop = l}, past = {.loop = l, .order = &order, .again = 1};

	loop_timer_init(&late.timer, l, on_tick, &late);
	loop_timer_init(&soon.timer, l, on_tick, &soon);
	loop_timer_init(&never.timer, l, on_tick, &never);
	loop_timer_init(&past.timer, l, on_tick, &past);
	loop_timer_set(&never.timer, CLK_MS);
	loop_timer_set(&late.timer, CLK_MS); /* replaced by a later one */
	loop_timer_set(&late.timer, 60 * CLK_MS);
	loop_timer_set(&soon.timer, 3600 * CLK_S); /* replaced by an earlier one */
	loop_timer_set(&soon.timer, 20 * CLK_MS);
	loop_timer_set(&past.timer, -CLK_S);
	loop_timer_clear(&never.timer);
	soon.again = past.again = 1000; /* they keep ticking until `late` stops the loop */
	loop_run(l);
	assert_int_equal(never.fired, 0);
	assert_int_equal(late.fired, 1);
	assert_true(soon.fired >= 1 && past.fired >= 1);
	loop_timer_fini(&soon.timer);
	loop_timer_fini(&past.timer);
	loop_timer_fini(&late.timer);
	loop_timer_fini(&never.timer);
	loop_free(&l);
}

static void
timers_fire_once_for_each_set(void **state)
{
	(void)state;
	fire_once_for_each_set(made_by(loop_new));
	fire_once_for_each_set(made_by(loop_new_precise));
}

static void
timers_can_be_replaced_and_cleared(void **state)
{
	(void)state;
	can_be_replaced_and_cleared(made_by(loop_new));
	can_be_replaced_and_cleared(made_by(loop_new_precise));
}

struct letter {
	struct loop_mail mail;
	struct world *world;
	unsigned thread, number;
};

struct world {
	struct loop *loop;
	pthread_t loop_thread;
	unsigned next[THREADS]; /* the number that must come next */
	unsigned got;
	bool is_mixed_up;
};

static void
on_letter(struct loop_mail *m)
{
	struct letter *letter = container_of(m, struct letter, mail);
	struct world *w = letter->world;

	w->is_mixed_up |= letter->number != w->next[letter->thread]++;
	w->is_mixed_up |= !pthread_equal(pthread_self(), w->loop_thread);
	if (++w->got == THREADS * MAILS)
		loop_stop(w->loop);
	free(letter);
}

struct poster {
	struct world *world;
	unsigned thread;
	pthread_t id;
};

static void *
post_many(void *arg)
{
	struct poster *p = arg;
	unsigned i;

	for (i = 0; i < MAILS; i++) {
		struct letter *letter = xmalloc(sizeof *letter);

		*letter = (struct letter){.mail = {.fn = on_letter},
					  .world = p->world,
					  .thread = p->thread,
					  .number = i};
		loop_post(p->world->loop, &letter->mail);
	}
	return NULL;
}

static void
mail_of_many_threads_comes_in_order(void **state)
{
	struct world w = {.loop = new_loop(), .loop_thread = pthread_self()};
	struct poster posters[THREADS];
	unsigned i;

	(void)state;
	for (i = 0; i < THREADS; i++) {
		posters[i] = (struct poster){.world = &w, .thread = i};
		assert_int_equal(pthread_create(&posters[i].id, NULL, post_many, &posters[i]), 0);
	}
	loop_run(w.loop);
	for (i = 0; i < THREADS; i++)
		pthread_join(posters[i].id, NULL);
	assert_int_equal(w.got, THREADS * MAILS);
	assert_false(w.is_mixed_up);
	loop_free(&w.loop);
}

static void
count_up(void *arg)
{
	++*(int *)arg;
}

struct again {
	struct loop *loop;
	int left;
};

static void
call_again(void *arg)
{
	struct again *a = arg;

	if (a->left-- > 0)
		loop_call(a->loop, call_again, a);
	else
		loop_stop(a->loop);
}

static void
a_call_may_post_to_its_own_loop(void **state)
{
	struct again a = {.loop = new_loop(), .left = 100};

	(void)state;
	loop_call(a.loop, call_again, &a);
	loop_run(a.loop);
	assert_int_equal(a.left, -1);
	loop_free(&a.loop);
}

static void
mail_left_in_the_box_is_delivered_at_the_end(void **state)
{
	struct loop *l = new_loop();
	int n = 0;

	(void)state;
	loop_call(l, count_up, &n);
	loop_call(l, count_up, &n);
	loop_free(&l);
	assert_int_equal(n, 2);
}

struct tail {
	struct loop *loop;
	int freed, tails, freed_at_return;
};

static void
on_free(void *ptr)
{
	struct tail *t = ptr;

	if (++t->freed == 1)
		loop_defer(t->loop, t, on_free); /* freeing one may free another */
}

static void
on_tail(void *arg)
{
	struct tail *t = arg;

	t->tails++;
}

static void
defer(void *arg)
{
	struct tail *t = arg;

	loop_defer(t->loop, t, on_free);
	t->freed_at_return = t->freed;
}

static void
on_tail_twice(void *arg)
{
	struct tail *t = arg;

	if (++t->tails == 1)
		loop_skip_wait(t->loop);
}

static void
a_tail_with_more_to_do_is_not_kept_waiting(void **state)
{
	struct loop *l = new_loop();
	struct tail t = {.loop = l};

	(void)state;
	loop_on_tail(l, on_tail_twice, &t);
	loop_once(l, true);
	loop_once(l, false); /* would wait for ever, since nothing is due */
	assert_int_equal(t.tails, 2);
	loop_free(&l);
}

struct chain {
	struct loop *loop;
	unsigned n, freed;
};

static void
on_chain_end(void *arg)
{
	struct chain *c = arg;

	c->freed++;
}

static void
on_chain(void *arg)
{
	struct chain *c = arg;

	if (++c->n < 3)
		loop_call(c->loop, on_chain, c);
	loop_defer(c->loop, c, on_chain_end);
}

static void
on_late(void *arg)
{
	bool *is_over = arg;

	*is_over = true;
}

static void
settling_delivers_all_mail_but_no_event(void **state)
{
	struct chain c = {.loop = new_loop()};
	struct loop_timer timer;
	bool is_over = false;

	(void)state;
	loop_timer_init(&timer, c.loop, on_late, &is_over);
	loop_timer_set(&timer, 0);
	loop_call(c.loop, on_chain, &c);
	loop_settle(c.loop);
	assert_int_equal(c.n, 3);
	assert_int_equal(c.freed, 3);
	assert_false(is_over);
	loop_timer_fini(&timer);
	loop_free(&c.loop);
}

static void
on_settle(void *arg)
{
	struct chain *c = arg;

	c->n++;
	loop_defer(c->loop, c, on_chain_end);
	loop_settle(c->loop);
}

static void
settling_within_the_tail_repeats_no_call(void **state)
{
	struct chain c = {.loop = new_loop()};

	(void)state;
	loop_defer(c.loop, &c, on_chain_end);
	loop_defer(c.loop, &c, on_settle);
	loop_defer(c.loop, &c, on_chain_end);
	loop_settle(c.loop);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.freed, 3);
	loop_free(&c.loop);
}

static void
freeing_waits_for_the_tail(void **state)
{
	struct loop *l = new_loop();
	struct tail t = {.loop = l};

	(void)state;
	loop_on_tail(l, on_tail, &t);
	loop_call(l, defer, &t);
	loop_once(l, true);
	assert_int_equal(t.freed_at_return, 0);
	assert_int_equal(t.freed, 2);
	assert_int_equal(t.tails, 1);
	loop_once(l, true);
	assert_int_equal(t.freed, 2);
	assert_int_equal(t.tails, 2);
	loop_defer(l, &t, on_free);
	loop_free(&l);
	assert_int_equal(t.freed, 3);
}

struct heard {
	struct loop *loop;
	int signo, reads;
	short what;
};

static void
on_signal(int signo, void *arg)
{
	struct heard *h = arg;

	h->signo = signo;
	loop_stop(h->loop);
}

static void
signals_are_events(void **state)
{
	struct heard h = {.loop = new_loop()};
	struct err e;

	(void)state;
	assert_int_equal(loop_signal(h.loop, SIGUSR1, on_signal, &h, &e), 0);
	raise(SIGUSR1);
	loop_run(h.loop);
	assert_int_equal(h.signo, SIGUSR1);
	loop_free(&h.loop);
}

static void
on_pipe(int fd, short what, void *arg)
{
	struct heard *h = arg;
	char c;

	h->what = what;
	h->reads += read(fd, &c, 1) == 1;
}

static void
descriptors_are_watched(void **state)
{
	struct heard h = {.loop = new_loop()};
	struct loop_fd watch;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	loop_fd_init(&watch);
	loop_fd_clear(&watch);
	loop_fd_set(&watch, h.loop, fds[0], EV_READ, on_pipe, &h);
	assert_int_equal(write(fds[1], "ab", 2), 2);
	loop_once(h.loop, true);
	loop_once(h.loop, true); /* level-triggered: the second byte is reported again */
	assert_int_equal(h.reads, 2);
	assert_int_equal(h.what, EV_READ);
	loop_fd_clear(&watch);
	assert_int_equal(write(fds[1], "c", 1), 1);
	loop_once(h.loop, true);
	assert_int_equal(h.reads, 2);
	close(fds[0]);
	close(fds[1]);
	loop_free(&h.loop);
}

/* As at fs.epoll.max_user_watches: epoll refuses the descriptor for a while.  Here it is closed,
 * and opened later. */
static void
a_descriptor_that_is_refused_is_watched_later(void **state)
{
	struct heard h = {.loop = new_loop()};
	struct loop_fd watch, gone;
	int fds[2], late;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	late = dup(fds[0]);
	close(late);
	loop_fd_init(&watch);
	loop_fd_init(&gone);
	loop_fd_set(&watch, h.loop, late, EV_READ, on_pipe, &h);
	loop_fd_set(&gone, h.loop, late, EV_READ, on_pipe, &h);
	loop_fd_clear(&gone);
	assert_int_equal(write(fds[1], "a", 1), 1);
	loop_once(h.loop, true);
	assert_int_equal(h.reads, 0);
	assert_int_equal(dup2(fds[0], late), late);
	while (h.reads == 0)
		loop_once(h.loop, false);
	assert_int_equal(h.reads, 1);
	loop_fd_clear(&watch);
	close(late);
	close(fds[0]);
	close(fds[1]);
	loop_free(&h.loop);
}

static void *
stop_from_afar(void *arg)
{
	loop_stop(arg);
	return NULL;
}

static void
any_thread_may_stop_a_loop(void **state)
{
	struct loop *l = new_loop();
	pthread_t id;

	(void)state;
	assert_int_equal(pthread_create(&id, NULL, stop_from_afar, l), 0);
	loop_run(l);
	pthread_join(id, NULL);
	loop_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_once_for_each_set),
		cmocka_unit_test(timers_can_be_replaced_and_cleared),
		cmocka_unit_test(mail_of_many_threads_comes_in_order),
		cmocka_unit_test(a_call_may_post_to_its_own_loop),
		cmocka_unit_test(mail_left_in_the_box_is_delivered_at_the_end),
		cmocka_unit_test(settling_delivers_all_mail_but_no_event),
		cmocka_unit_test(settling_within_the_tail_repeats_no_call),
		cmocka_unit_test(freeing_waits_for_the_tail),
		cmocka_unit_test(a_tail_with_more_to_do_is_not_kept_waiting),
		cmocka_unit_test(signals_are_events),
		cmocka_unit_test(descriptors_are_watched),
		cmocka_unit_test(a_descriptor_that_is_refused_is_watched_later),
		cmocka_unit_test(any_thread_may_stop_a_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
