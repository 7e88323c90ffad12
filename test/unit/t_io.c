/* io: who never runs dry gives the others of its loop their turn. */
#include "test/unit/unit.h"

#include <sys/socket.h>

#include "activator/io.h"
#include "common/loop.h"

struct side {
	struct io io;
	struct loop *loop;
	int turns;
	int other_at; /* the other's turns when this one had its first */
	struct side *other;
	bool is_greedy;
};

static void
on_ready(struct io *io)
{
	struct side *s = container_of(io, struct side, io);

	if (s->turns++ == 0)
		s->other_at = s->other->turns;
	if (s->is_greedy)
		io_yield(io, s->loop);
}

static void
open_side(struct side *s, struct loop *l, struct side *other, int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	s->loop = l;
	s->other = other;
	io_open(&s->io, l, fds[0], false, on_ready);
}

static void
a_turn_ends_with_a_yield(void **state)
{
	struct err e;
	struct loop *l = loop_new(&e);
	struct side greedy = {.is_greedy = true}, late = {.turns = 0};
	int a[2], b[2], i;

	(void)state;
	open_side(&greedy, l, &late, a);
	open_side(&late, l, &greedy, b);
	for (i = 0; i < 3; i++) /* both are writable: their first turn */
		loop_once(l, true);
	assert_true(greedy.turns >= 3);
	late.turns = 0;
	assert_int_equal(write(b[1], "x", 1), 1);
	i = greedy.turns;
	loop_once(l, true);
	loop_once(l, true);
	assert_int_equal(late.turns, 1);
	assert_in_range(late.other_at - i, 0, 2);
	io_close(&greedy.io, false); /* with its next turn outstanding */
	i = greedy.turns;
	loop_once(l, true);
	assert_int_equal(greedy.turns, i);
	io_close(&late.io, false);
	close(a[1]);
	close(b[1]);
	loop_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_turn_ends_with_a_yield)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
