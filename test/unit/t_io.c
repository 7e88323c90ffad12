/* io: a socket that always has data gives others their turn; sockets that share a system call
 * read and send the same as each alone. */
#include "test/unit/unit.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "activator/net/batch.h"
#include "activator/net/io_stream.h"
#include "common/loop.h"
#include "test/unit/loopback.h"

#define SIDES 12
#define ROOM (2 * IO_AHEAD + 1) /* more than is read ahead of a turn */

struct side {
	struct io io;
	int peer;
	int turns;
	int other_at; /* turns of the other side when this one had its first */
	struct side *other;
	bool is_greedy, is_deaf, closes_other, is_waiting;
	char got[4 * IO_AHEAD];
	size_t got_n;
	ssize_t end; /* the result of the last read, if it was no byte */
	int unsent_n, unsent_error;
	uint32_t unsent; /* the token */
};

struct world {
	struct loop *loop;
	struct io_round *round;
	struct side sides[SIDES];
	size_t n;
};

static void
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

static const struct io_ops ops = {.on_ready = on_ready,
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

/* n sides, after the turns that they get for becoming writable. */
static struct world *
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
		assert_int_equal(io_open(&s->io, w->round, fds[0], false, &ops), 0);
	}
	loop_once(w->loop, true);
	return w;
}

static void
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

static void
give(struct side *s, const char *data, size_t n)
{
	assert_int_equal(write(s->peer, data, n), n);
}

/* The text of side i: one of a few lengths, with bytes that differ by position. */
static size_t
content(size_t i, char *data)
{
	static const size_t sizes[] = {1, 300, IO_AHEAD - 1, IO_AHEAD, IO_AHEAD + 1, ROOM};
	size_t n = sizes[i % (sizeof sizes / sizeof *sizes)], k;

	for (k = 0; k < n; k++)
		data[k] = (char)('a' + (i + k) % 26);
	return n;
}

static void
assert_got(const struct side *s, size_t i)
{
	char data[ROOM];
	size_t n = content(i, data);

	assert_int_equal(s->got_n, n);
	assert_memory_equal(s->got, data, n);
}

static void
give_all(struct world *w)
{
	char data[ROOM];
	size_t i;

	for (i = 0; i < w->n; i++)
		give(&w->sides[i], data, content(i, data));
}

static void
a_turn_ends_with_a_yield(void **state)
{
	struct world *w = make(2, false);
	struct side *greedy = &w->sides[0], *late = &w->sides[1];
	int i;

	(void)state;
	greedy->is_greedy = true;
	greedy->other = late;
	late->other = greedy;
	give(greedy, "x", 1);
	for (i = 0; i < 3; i++)
		loop_once(w->loop, true);
	assert_true(greedy->turns >= 3);
	late->turns = 0;
	give(late, "x", 1);
	i = greedy->turns;
	loop_once(w->loop, true);
	loop_once(w->loop, true);
	assert_int_equal(late->turns, 1);
	assert_in_range(late->other_at - i, 0, 2);
	io_close(&greedy->io, false); /* while its next turn is due */
	i = greedy->turns;
	loop_once(w->loop, true);
	assert_int_equal(greedy->turns, i);
	end(&w);
}

/* --- reads that share a system call --- */

static void
each_reads_its_own(bool is_plain)
{
	struct world *w = make(SIDES, is_plain);
	size_t i;

	give_all(w);
	loop_once(w->loop, true);
	for (i = 0; i < w->n; i++) {
		assert_got(&w->sides[i], i);
		assert_int_equal(w->sides[i].end, IO_NOTHING);
	}
	for (i = 0; i < w->n; i++) /* all is read, so that the next bytes are an edge again */
		give(&w->sides[i], "!", 1);
	loop_once(w->loop, true);
	for (i = 0; i < w->n; i++)
		assert_int_equal(w->sides[i].got[w->sides[i].got_n - 1], '!');
	end(&w);
}

static void
many_read_as_one(void **state)
{
	(void)state;
	each_reads_its_own(true);
	each_reads_its_own(false);
}

static void
an_end_and_a_reset_are_found(void **state)
{
	struct world *w = make(6, false);
	struct side *ended = &w->sides[0], *reset = &w->sides[1], *last = &w->sides[2];

	(void)state;
	/* Closing with unread bytes is a reset. */
	assert_int_equal(io_write(&reset->io, &(struct iovec){.iov_base = "x", .iov_len = 1}, 1),
			 0);
	give_all(w);
	close(reset->peer);
	reset->peer = -1;
	close(ended->peer);
	ended->peer = -1;
	assert_int_equal(shutdown(last->peer, SHUT_WR), 0);
	loop_once(w->loop, true);
	assert_got(ended, 0);
	assert_int_equal(ended->end, IO_EOF);
	assert_true(ended->io.is_hup);
	assert_got(last, 2);
	assert_int_equal(last->end, IO_EOF);
	assert_got(reset, 1);
	io_expect_more(&reset->io); /* as a reader that waits for more */
	read_all(reset);
	assert_int_equal(reset->end, IO_ERROR);
	assert_got(&w->sides[3], 3);
	end(&w);
}

static void
bytes_not_read_are_kept(void **state)
{
	struct world *w = make(SIDES, false);
	struct side *deaf = &w->sides[1];
	size_t i;

	(void)state;
	deaf->is_deaf = true;
	give_all(w);
	loop_once(w->loop, true);
	assert_int_equal(deaf->got_n, 0);
	for (i = 0; i < w->n; i++) /* other sides use its part of the buffer */
		if (&w->sides[i] != deaf)
			give(&w->sides[i], "another", 7);
	loop_once(w->loop, true);
	assert_true(deaf->io.can_read);
	read_all(deaf);
	assert_got(deaf, 1);
	deaf->got_n = 0;
	give(deaf, "more", 4);
	give(&w->sides[2], "more", 4); /* so that there is more than one to read */
	loop_once(w->loop, true);
	give(deaf, "more", 4); /* comes after the bytes that are kept */
	loop_once(w->loop, true);
	read_all(deaf);
	read_all(deaf);
	assert_int_equal(deaf->got_n, 8);
	end(&w);
}

static void
a_closed_io_has_no_turn(void **state)
{
	struct world *w = make(SIDES, false);

	(void)state;
	w->sides[2].closes_other = true;
	w->sides[2].other = &w->sides[5];
	w->sides[5].turns = 0;
	give_all(w);
	loop_once(w->loop, true);
	assert_int_equal(w->sides[5].turns, 0);
	assert_int_equal(w->sides[5].got_n, 0);
	assert_got(&w->sides[6], 6);
	end(&w);
}

static void
new_work_runs_after_work_in_progress(void **state)
{
	struct world *w = make(2, false);
	struct side *first = &w->sides[0], *second = &w->sides[1];

	(void)state;
	first->is_waiting = true;
	first->other = second;
	first->turns = second->turns = 0;
	give(first, "x", 1);
	give(second, "x", 1);
	loop_once(w->loop, true);
	assert_int_equal(first->turns, 1);
	assert_int_equal(first->other_at, 1);
	end(&w);
}

/* --- sending --- */

static int
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

static void
assert_seen(struct side *s, const char *text)
{
	char seen[64];
	ssize_t n = recv(s->peer, seen, sizeof seen - 1, MSG_DONTWAIT);

	seen[MAX(n, 0)] = '\0';
	assert_string_equal(seen, text);
}

static void
deferred_writes_leave_with_the_round(void **state)
{
	struct world *w = make(SIDES, false);
	char text[SIDES][32];
	size_t i;

	(void)state;
	for (i = 0; i < w->n; i++) {
		snprintf(text[i], sizeof text[i], "answer %zu", i);
		assert_int_equal(send_text(&w->sides[i], text[i]), 0);
		assert_seen(&w->sides[i], "");
	}
	assert_false(io_round_write(w->round));
	for (i = 0; i < w->n; i++) {
		assert_seen(&w->sides[i], text[i]);
		assert_int_equal(w->sides[i].unsent_n, 0);
	}
	assert_false(io_round_write(w->round));
	assert_seen(&w->sides[0], "");
	end(&w);
}

static void
order_is_kept(void **state)
{
	struct world *w = make(5, false);
	struct side *twice = &w->sides[0], *mixed = &w->sides[1], *closed = &w->sides[2],
		    *shut = &w->sides[3], *flushed = &w->sides[4];
	char seen[8];

	(void)state;
	assert_int_equal(send_text(twice, "first "), 0);
	assert_int_equal(send_text(twice, "second"), 0);
	assert_int_equal(send_text(mixed, "first "), 0);
	assert_int_equal(
		io_write(&mixed->io, &(struct iovec){.iov_base = "second", .iov_len = 6}, 1), 0);
	assert_int_equal(send_text(closed, "last words"), 0);
	io_close(&closed->io, false);
	assert_int_equal(send_text(shut, "last words"), 0);
	io_shutdown(&shut->io);
	assert_int_equal(send_text(flushed, "now"), 0);
	assert_int_equal(io_flush_deferred(&flushed->io), 0);
	assert_seen(flushed, "now");
	assert_false(io_round_write(w->round));
	assert_seen(twice, "first second");
	assert_seen(mixed, "first second");
	assert_seen(closed, "last words");
	assert_seen(shut, "last words");
	assert_int_equal(recv(shut->peer, seen, sizeof seen, 0), 0);
	assert_seen(flushed, "");
	end(&w);
}

static size_t
fill(struct side *s)
{
	static char much[65536];
	size_t n = 0;

	while (!io_is_blocked(&s->io)) {
		assert_int_equal(io_write(&s->io,
					  &(struct iovec){.iov_base = much, .iov_len = sizeof much},
					  1),
				 0);
		n += sizeof much;
	}
	return n;
}

static size_t
drain(struct side *s, char *tail, size_t tail_n)
{
	static char seen[65536 + 64];
	size_t n = 0;
	ssize_t got;

	while ((got = recv(s->peer, seen, sizeof seen, MSG_DONTWAIT)) > 0) {
		n += (size_t)got;
		if ((size_t)got >= tail_n)
			memcpy(tail, seen + got - tail_n, tail_n);
		while (io_is_blocked(&s->io) && io_flush(&s->io) == 0 && !s->io.can_write)
			s->io.can_write = true; /* as after an edge */
	}
	return n;
}

static void
a_write_that_falls_short_is_reported(void **state)
{
	struct world *w = make(5, false);
	struct side *full = &w->sides[0], *gone = &w->sides[1];
	char tail[4] = {0};
	size_t n, i;

	(void)state;
	n = fill(full);
	while (io_is_blocked(&full->io)) { /* until only the kernel's buffers are full */
		char some[4096];
		ssize_t got = recv(full->peer, some, sizeof some, 0);

		assert_true(got > 0);
		n -= (size_t)got;
		full->io.can_write = true;
		assert_true(io_flush(&full->io) >= 0);
	}
	for (i = 0; send(full->io.fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1; i++)
		;
	n += i;
	close(gone->peer);
	gone->peer = -1;
	for (i = 0; i < w->n; i++)
		assert_int_equal(send_text(&w->sides[i], "tail"), 0);
	assert_true(io_round_write(w->round));
	assert_int_equal(full->unsent_n, 1);
	assert_int_equal(full->unsent_error, 0);
	assert_true(io_is_blocked(&full->io));
	assert_false(full->io.can_write);
	assert_int_equal(gone->unsent_n, 1);
	assert_int_equal(gone->unsent_error, EPIPE);
	assert_int_equal(gone->unsent, strlen("tail"));
	for (i = 2; i < w->n; i++)
		assert_seen(&w->sides[i], "tail");
	full->io.can_write = true;
	assert_int_equal(drain(full, tail, sizeof tail), n + 4);
	assert_memory_equal(tail, "tail", 4);
	end(&w);
}

/* As at fs.epoll.max_user_watches: epoll does not take the descriptor of a regular file. */
static void
a_descriptor_that_is_not_watched_stays_the_callers(void **state)
{
	struct world *w = make(0, false);
	int fd = memfd_create("t_io", MFD_CLOEXEC);
	struct io io;

	(void)state;
	errno = 0;
	assert_int_equal(io_open(&io, w->round, fd, false, &ops), -1);
	assert_int_equal(errno, EPERM);
	assert_false(io_is_open(&io));
	assert_int_equal(close(fd), 0);
	end(&w);
}

/* --- one system call --- */

/* A bad descriptor fails alone, at any position in the call. */
static void
one_that_fails_fails_alone(void **state)
{
	struct batch *b = batch_new(true);
	size_t bad;

	(void)state;
	for (bad = 0; bad < 6; bad++) {
		struct batch_op all[6];
		char data[6][8] = {{0}};
		int fds[6][2];
		size_t i;

		for (i = 0; i < 6; i++) {
			assert_int_equal(
				socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds[i]), 0);
			if (i % 2 == 0)
				assert_int_equal(write(fds[i][1], "hello", 5), 5);
			else
				strcpy(data[i], "there");
			all[i] = (struct batch_op){.fd = i == bad ? -1 : fds[i][0],
						   .is_write = i % 2 == 1,
						   .data = data[i],
						   .n = 5 + (i % 2 == 0)};
		}
		batch_run(b, all, 6);
		for (i = 0; i < 6; i++) {
			assert_int_equal(all[i].result, i == bad ? -EBADF : 5);
			if (i % 2 == 0 && i != bad)
				assert_string_equal(data[i], "hello");
			close(fds[i][0]);
			close(fds[i][1]);
		}
	}
	batch_free(&b);
}

/* Let a seccomp filter refuse io_submit(2), but not io_setup(2). */
static void
forbid_submit(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_submit, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static void
aio_that_does_not_work_is_not_used(void **state)
{
	struct batch *b = batch_new(false);
	int status;
	pid_t pid;

	(void)state;
	assert_false(batch_is_shared(b));
	batch_free(&b);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		forbid_submit();
		b = batch_new(true);
		_exit(batch_is_shared(b));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- a stream between socket and user --- */

/* It inverts the bits of each byte, and sends records: a byte with the size, then the bytes.  A
 * record of no bytes is the end.  A record is given only when all of it has come. */
struct inverter {
	struct io_stream stream;
	char in[512], out[512]; /* what has come of a record; what it holds and is not read */
	size_t in_n, out_at, out_n;
	bool is_handshake_over, has_ended, is_shut;
};

static int inverters_n;

static struct inverter *
inverter_of(const struct io *io)
{
	return container_of(io->stream, struct inverter, stream);
}

static bool
inverter_has_pending(const struct io *io)
{
	const struct inverter *v = inverter_of(io);

	return v->out_n > 0 || (v->in_n > 0 && v->in_n > (unsigned char)v->in[0]);
}

/* Take one record out of what has come. */
static bool
open_record(struct inverter *v)
{
	size_t n = (unsigned char)v->in[0], i;

	if (v->in_n == 0 || v->in_n < 1 + n)
		return false;
	for (i = 0; i < n; i++)
		v->out[i] = (char)~v->in[1 + i];
	v->out_at = 0;
	v->out_n = n;
	v->has_ended = n == 0;
	v->in_n -= 1 + n;
	memmove(v->in, v->in + 1 + n, v->in_n);
	return true;
}

static ssize_t
inverter_read(struct io *io, void *buf, size_t n)
{
	struct inverter *v = inverter_of(io);
	ssize_t got;

	while (v->out_n == 0 && !open_record(v)) {
		got = io_socket_read(io, v->in + v->in_n, sizeof v->in - v->in_n);
		if (got <= 0)
			return got == IO_EOF ? IO_ERROR : got; /* cut off */
		v->in_n += (size_t)got;
	}
	if (v->has_ended)
		return IO_EOF;
	n = MIN(n, v->out_n);
	memcpy(buf, v->out + v->out_at, n);
	v->out_at += n;
	v->out_n -= n;
	return (ssize_t)n;
}

static int
inverter_write(struct io *io, const struct iovec *iov, int n, bool may_defer, uint32_t token)
{
	char record[256];
	struct iovec out = {.iov_base = record, .iov_len = 1};

	for (; n > 0; n--, iov++) {
		const char *at = iov->iov_base, *end = at + iov->iov_len;

		while (at < end)
			record[out.iov_len++] = (char)~*at++;
	}
	record[0] = (char)(out.iov_len - 1);
	return may_defer ? io_socket_write_deferred(io, &out, 1, token)
			 : io_socket_write(io, &out, 1);
}

static int
inverter_finish_connect(struct io *io)
{
	struct inverter *v = inverter_of(io);
	bool was_over = v->is_handshake_over;

	v->is_handshake_over = true;
	return was_over ? 0 : 1;
}

static void
inverter_shutdown(struct io *io)
{
	struct inverter *v = inverter_of(io);

	if (!v->is_shut)
		(void)!inverter_write(io, NULL, 0, false, 0); /* the peer may be gone */
	v->is_shut = true;
}

static void
inverter_free(struct io_stream *stream)
{
	inverters_n--;
	free(container_of(stream, struct inverter, stream));
}

static void
invert(struct side *s)
{
	static const struct io_stream_ops inverter_ops = {
		.read = inverter_read,
		.has_pending = inverter_has_pending,
		.write = inverter_write,
		.finish_connect = inverter_finish_connect,
		.shutdown = inverter_shutdown,
		.free = inverter_free,
	};
	struct inverter *v = xcalloc(1, sizeof *v);

	v->stream.ops = &inverter_ops;
	inverters_n++;
	io_set_stream(&s->io, &v->stream);
}

/* The peer sends a record. */
static void
send_record(struct side *s, const char *text)
{
	char record[256];
	size_t n = strlen(text), i;

	record[0] = (char)n;
	for (i = 0; i < n; i++)
		record[1 + i] = (char)~text[i];
	assert_int_equal(send(s->peer, record, 1 + n, MSG_NOSIGNAL), 1 + n);
}

static void
assert_record(struct side *s, const char *text)
{
	char seen[256];
	ssize_t n = recv(s->peer, seen, sizeof seen, MSG_DONTWAIT), i;

	assert_int_equal(n, 1 + strlen(text));
	assert_int_equal(seen[0], strlen(text));
	for (i = 1; i < n; i++)
		seen[i] = (char)~seen[i];
	assert_memory_equal(seen + 1, text, strlen(text));
}

/* The socket is drained, and yet there is something to read. */
static void
what_is_pending_in_a_stream_can_be_read(void **state)
{
	struct world *w = make(SIDES, false);
	char part[4];
	size_t i;

	(void)state;
	for (i = 0; i < w->n; i++) {
		invert(&w->sides[i]);
		w->sides[i].is_deaf = i == 0;
		send_record(&w->sides[i], "something");
	}
	loop_once(w->loop, true);
	for (i = 1; i < w->n; i++) {
		assert_int_equal(w->sides[i].got_n, 9);
		assert_memory_equal(w->sides[i].got, "something", 9);
		assert_false(w->sides[i].io.can_read);
	}
	for (i = 0; i < 9; i += sizeof part - 1) {
		assert_true(w->sides[0].io.can_read);
		assert_int_equal(io_read(&w->sides[0].io, part, 3), 3);
		assert_memory_equal(part, "something" + i, 3);
	}
	assert_int_equal(io_read(&w->sides[0].io, part, 3), IO_NOTHING);
	assert_false(w->sides[0].io.can_read);
	assert_true(io_is_quiet(&w->sides[0].io));
	end(&w);
	assert_int_equal(inverters_n, 0);
}

static void
writes_go_through_a_stream(void **state)
{
	struct world *w = make(5, false);
	struct side *plain = &w->sides[0], *shared = &w->sides[1], *gone = &w->sides[2],
		    *shut = &w->sides[3], *cut = &w->sides[4];
	size_t i;

	(void)state;
	for (i = 1; i < w->n; i++)
		invert(&w->sides[i]);
	close(gone->peer);
	gone->peer = -1;
	for (i = 0; i < 3; i++)
		assert_int_equal(send_text(&w->sides[i], "answer"), 0);
	assert_true(io_is_deferred(&shared->io)); /* shares the call with the plain one */
	io_shutdown(&shut->io);
	assert_record(shut, ""); /* says that it is the end */
	assert_int_equal(send_text(cut, "answer"), 0);
	io_drop_unsent(&cut->io);
	io_shutdown(&cut->io);
	assert_seen(cut, ""); /* no end but that of the socket */
	assert_true(io_round_write(w->round));
	assert_seen(plain, "answer");
	assert_record(shared, "answer");
	assert_int_equal(gone->unsent_error, EPIPE);
	assert_int_equal(gone->unsent, strlen("answer"));
	assert_true(gone->io.is_cut);
	assert_false(shared->io.is_cut);
	end(&w);
}

/* Read all that the peer can; returns how many bytes, *has_ended: the end was among them. */
static size_t
drain_to_end(struct side *s, bool *has_ended)
{
	static char data[1 << 16];
	size_t n = 0;
	ssize_t got;

	while ((got = recv(s->peer, data, sizeof data, MSG_DONTWAIT)) > 0)
		n += (size_t)got;
	*has_ended = got == 0;
	return n;
}

/* What a socket has no room for goes before its end, be it the stream's or FIN. */
static void
an_end_waits_for_what_waits_for_room(void **state)
{
	static char much[1 << 21];
	struct iovec iov = {.iov_base = much, .iov_len = sizeof much};
	struct world *w = make(2, true);
	size_t i;

	(void)state;
	invert(&w->sides[1]);
	for (i = 0; i < w->n; i++) {
		struct side *s = &w->sides[i];
		size_t seen = 0, extra = i == 1 ? 1 : 0; /* the record that says the end */
		bool has_ended;

		assert_int_equal(io_socket_write(&s->io, &iov, 1), 0);
		assert_true(io_is_blocked(&s->io));
		io_shutdown(&s->io);
		while (io_is_blocked(&s->io)) {
			seen += drain_to_end(s, &has_ended);
			assert_false(has_ended);
			loop_once(w->loop, true);
			assert_true(io_flush(&s->io) >= 0);
		}
		seen += drain_to_end(s, &has_ended);
		assert_true(has_ended);
		assert_int_equal(seen, sizeof much + extra);
	}
	end(&w);
}

/* A close that is a clean end says so in the stream; an abort, and one that lost bytes, do not. */
static void
a_clean_close_ends_the_stream(void **state)
{
	struct world *w = make(3, false);
	size_t i;

	(void)state;
	for (i = 0; i < w->n; i++)
		invert(&w->sides[i]);
	assert_int_equal(send_text(&w->sides[2], "answer"), 0);
	io_drop_unsent(&w->sides[2].io);
	io_close(&w->sides[0].io, false);
	io_close(&w->sides[1].io, true);
	io_close(&w->sides[2].io, false);
	assert_record(&w->sides[0], "");
	assert_seen(&w->sides[2], "");
	end(&w);
}

static void
a_stream_tells_an_end_from_a_cut(void **state)
{
	struct world *w = make(3, false);
	struct side *ends = &w->sides[0], *cut = &w->sides[1], *connects = &w->sides[2];
	size_t i;

	(void)state;
	for (i = 0; i < w->n; i++)
		invert(&w->sides[i]);
	send_record(ends, "all");
	send_record(ends, "");
	send_record(cut, "not all");
	close(cut->peer);
	cut->peer = -1;
	loop_once(w->loop, true);
	assert_int_equal(ends->got_n, 3);
	assert_int_equal(ends->end, IO_EOF);
	assert_true(ends->io.is_hup);
	assert_int_equal(cut->got_n, 7);
	assert_int_equal(cut->end, IO_ERROR);
	assert_int_equal(io_finish_connect(&connects->io), 1);
	assert_int_equal(io_finish_connect(&connects->io), 0);
	end(&w);
}

/* A child that has not executed its program yet has a copy of each descriptor. */
static void
a_peer_notices_a_close_though_a_copy_is_open(void **state)
{
	struct world *w = make(0, true);
	struct addr at;
	int listener = loopback_listen(SOCK_CLOEXEC, 2, &at), i;

	(void)state;
	for (i = 0; i < 2; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), copy = dup(fd), peer;
		struct io io;
		char byte;

		assert_int_equal(connect(fd, (const struct sockaddr *)&at.ss, at.len), 0);
		peer = accept(listener, NULL, NULL);
		assert_int_equal(io_open(&io, w->round, fd, false, &ops), 0);
		io.closes_at_once = true;
		io_close(&io, i == 1);
		assert_int_equal(recv(peer, &byte, 1, MSG_DONTWAIT), i == 0 ? 0 : -1);
		if (i == 1)
			assert_int_equal(errno, ECONNRESET);
		close(copy);
		close(peer);
	}
	close(listener);
	end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_ends_with_a_yield),
		cmocka_unit_test(many_read_as_one),
		cmocka_unit_test(an_end_and_a_reset_are_found),
		cmocka_unit_test(bytes_not_read_are_kept),
		cmocka_unit_test(a_closed_io_has_no_turn),
		cmocka_unit_test(new_work_runs_after_work_in_progress),
		cmocka_unit_test(deferred_writes_leave_with_the_round),
		cmocka_unit_test(order_is_kept),
		cmocka_unit_test(a_write_that_falls_short_is_reported),
		cmocka_unit_test(a_descriptor_that_is_not_watched_stays_the_callers),
		cmocka_unit_test(one_that_fails_fails_alone),
		cmocka_unit_test(what_is_pending_in_a_stream_can_be_read),
		cmocka_unit_test(writes_go_through_a_stream),
		cmocka_unit_test(an_end_waits_for_what_waits_for_room),
		cmocka_unit_test(a_clean_close_ends_the_stream),
		cmocka_unit_test(a_stream_tells_an_end_from_a_cut),
		cmocka_unit_test(a_peer_notices_a_close_though_a_copy_is_open),
		cmocka_unit_test(aio_that_does_not_work_is_not_used),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
