/* io: a socket that always has data gives others their turn; sockets that share a system call
 * read and send the same as each alone. */
#include "test/unit/io_world.h"

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
	assert_int_equal(io_open(&io, w->round, fd, false, &unit_io_ops), -1);
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
		assert_int_equal(io_open(&io, w->round, fd, false, &unit_io_ops), 0);
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
		cmocka_unit_test(a_peer_notices_a_close_though_a_copy_is_open),
		cmocka_unit_test(aio_that_does_not_work_is_not_used),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
