#include "test/unit/io_world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/loop.h"

void
read_all(struct side *s)
{
	for (;;) {
		ssize_t got = io_read(&s->io, s->got + s->got_n, sizeof s->got - s->got_n);

		if (got <= 0) {
			s->end = got;
			return;
		}
		s->got_n += (size_t)got;
	}
}

static void
on_ready(struct io *io)
{
	struct side *s = container_of(io, struct side, io);

	if (s->turns++ == 0 && s->other != NULL)
		s->other_at = s->other->turns;
	if (s->is_greedy)
		io_yield(io);
	if (s->closes_other)
		io_close(&s->other->io, false);
	if (!s->is_deaf)
		read_all(s);
}

static bool
is_new_work(struct io *io)
{
	return container_of(io, struct side, io)->is_waiting;
}

static bool
is_small_read_next(struct io *io)
{
	(void)io;
	return true;
}

static void
on_unsent(struct io *io, uint32_t token, int error)
{
	struct side *s = container_of(io, struct side, io);

	s->unsent_n++;
	s->unsent_error = error;
	s->unsent = token;
}

const struct io_ops unit_io_ops = {.on_ready = on_ready,
				   .is_new_work = is_new_work,
				   .is_small_read_next = is_small_read_next,
				   .on_unsent = on_unsent};

static void
on_tail(void *arg)
{
	struct world *w = arg;

	io_round_run(w->round);
	io_round_write(w->round);
}

struct world *
make(size_t n, bool is_plain)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct err e;

	w->loop = loop_new(&e);
	assert_non_null(w->loop);
	w->round = io_round_new(w->loop, !is_plain);
	loop_on_tail(w->loop, on_tail, w);
	for (w->n = 0; w->n < n; w->n++) {
		struct side *s = &w->sides[w->n];
		int fds[2];

		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
		s->peer = fds[1];
		assert_int_equal(io_open(&s->io, w->round, fds[0], false, &unit_io_ops), 0);
	}
	loop_once(w->loop, true);
	return w;
}

void
end(struct world **wp)
{
	struct world *w = *wp;
	size_t i;

	*wp = NULL;
	for (i = 0; i < w->n; i++) {
		io_close(&w->sides[i].io, false);
		if (w->sides[i].peer >= 0)
			close(w->sides[i].peer);
	}
	loop_free(&w->loop);
	io_round_free(&w->round);
	free(w);
}

int
send_text(struct side *s, const char *text)
{
	struct iovec iov[2];
	size_t half = strlen(text) / 2;
	char copy[64];

	strcpy(copy, text); /* freed before it is sent */
	iov[0] = (struct iovec){.iov_base = copy, .iov_len = half};
	iov[1] = (struct iovec){.iov_base = copy + half, .iov_len = strlen(text) - half};
	return io_write_deferred(&s->io, iov, 2, (uint32_t)strlen(text));
}

void
assert_seen(struct side *s, const char *text)
{
	char seen[64];
	ssize_t n = recv(s->peer, seen, sizeof seen - 1, MSG_DONTWAIT);

	seen[MAX(n, 0)] = '\0';
	assert_string_equal(seen, text);
}
