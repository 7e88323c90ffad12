/* The ring between a worker and the thread of the access log, and what that thread does when nobody
 * takes its lines. */
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "activator/access/access_log.h"
#include "activator/access/access_sink.h"
#include "common/clk.h"
#include "common/log.h"

#define WAIT_NS (60 * CLK_S)

/* --- the ring --- */

/* "NUMBER xxx…\n"; false: there is no room. */
static bool
put_line(struct access_ring *r, unsigned number, size_t n)
{
	char *to = access_ring_reserve(r, n + 100);
	char text[32];
	size_t len;

	if (to == NULL)
		return false;
	len = (size_t)snprintf(text, sizeof text, "%u ", number);
	memset(to, 'x', n);
	memcpy(to, text, len);
	to[n - 1] = '\n';
	access_ring_commit(r, n);
	return true;
}

/* Take n bytes, which are whole lines with the next numbers.  Returns the next one. */
static unsigned
take_lines(struct access_ring *r, unsigned next)
{
	struct iovec iov[2];
	size_t total = 0;
	int i, n = access_ring_peek(r, iov);

	for (i = 0; i < n; i++) {
		const char *at = iov[i].iov_base, *end = at + iov[i].iov_len;

		total += iov[i].iov_len;
		while (at < end) {
			assert_int_equal(strtoul(at, NULL, 10), next++);
			at = memchr(at, '\n', (size_t)(end - at));
			assert_non_null(at++);
		}
	}
	if (total > 0)
		access_ring_drop(r, total);
	return next;
}

static void
lines_come_out_as_they_went_in(void **state)
{
	unsigned in = 0, out = 0, full = 0, i;
	struct access_ring r;
	uint32_t seed = 7;

	(void)state;
	access_ring_init(&r, 1000);
	for (i = 0; i < 100000; i++) {
		seed = seed * 1664525 + 1013904223;
		if (put_line(&r, in, 20 + (seed >> 8) % 150))
			in++;
		else
			full++;
		if ((seed >> 20) % 8 == 0 || (seed >> 24) % 16 < 2)
			out = take_lines(&r, out);
	}
	assert_int_equal(take_lines(&r, out), in);
	assert_true(full > 1000 && in > 10000);
	assert_int_equal(atomic_load(&r.lines), in);
	assert_null(access_ring_reserve(&r, 1001));
	access_ring_fini(&r);
}

static void
lines_may_be_dropped_in_parts(void **state)
{
	struct access_ring r;
	struct iovec iov[2];
	unsigned i;
	size_t got = 0;

	(void)state;
	access_ring_init(&r, 400);
	assert_true(put_line(&r, 1, 200)); /* [0, 200) */
	access_ring_drop(&r, 200);
	assert_true(put_line(&r, 2, 90)); /* [200, 290) */
	assert_true(put_line(&r, 3, 50)); /* of the next lap: its reservation does not fit */
	assert_int_equal(access_ring_peek(&r, iov), 2);
	assert_int_equal(iov[0].iov_len, 90);
	assert_int_equal(iov[1].iov_len, 50);
	for (i = 0; i < 139; i++) {
		access_ring_drop(&r, 1);
		got = access_ring_peek(&r, iov) > 0 ? iov[0].iov_len : 0;
	}
	assert_int_equal(got, 1);
	assert_int_equal(*(const char *)iov[0].iov_base, '\n');
	access_ring_drop(&r, 1);
	assert_int_equal(access_ring_peek(&r, iov), 0);
	access_ring_fini(&r);
}

struct other {
	struct access_ring ring;
	unsigned n;
};

static void *
put_many(void *arg)
{
	struct other *o = arg;
	unsigned i = 0;

	while (i < o->n)
		if (put_line(&o->ring, i, 30 + i % 97))
			i++;
		else
			sched_yield();
	return NULL;
}

static void
two_threads_share_a_ring(void **state)
{
	struct other o = {.n = 50000};
	unsigned next = 0;
	pthread_t thread;

	(void)state;
	access_ring_init(&o.ring, 4096);
	assert_int_equal(pthread_create(&thread, NULL, put_many, &o), 0);
	while (next < o.n) {
		unsigned before = next;

		next = take_lines(&o.ring, next);
		if (next == before)
			sched_yield();
	}
	pthread_join(thread, NULL);
	access_ring_fini(&o.ring);
}

/* --- the thread --- */

static struct access_log *
open_log(const char *spec, uint64_t max_bytes)
{
	struct access_sink *sink;
	struct access_log *l;
	struct err e;

	sink = access_sink_open(spec, max_bytes, &e);
	if (sink == NULL)
		print_error("%s\n", e.text);
	assert_non_null(sink);
	l = access_log_new(ACCESS_LINES, 1, &sink, &e);
	assert_non_null(l);
	return l;
}

static void
put_lines(struct access_log *l, unsigned from, unsigned upto, size_t n)
{
	struct access_ring *r = access_log_ring(l, 0);

	for (; from < upto; from++)
		if (!put_line(r, from, n))
			atomic_fetch_add(&r->lost, 1);
	access_log_announce(l, r);
}

static size_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void
wait_for_size(const char *path, size_t n)
{
	int64_t until = clk_now() + WAIT_NS;

	while (size_of(path) != n) {
		assert_true(clk_now() < until);
		poll(NULL, 0, 1);
	}
}

static void
remove_all(char *dir, const char *const *names)
{
	for (; *names != NULL; names++) {
		char *path = xasprintf("%s/%s", dir, *names);

		unlink(path);
		free(path);
	}
	assert_int_equal(rmdir(dir), 0);
	free(dir);
}

static void
a_file_is_rotated_and_reopened(void *arg)
{
	static const char *const names[] = {"a", "a.1", "a.2", NULL};
	char *dir = unit_dir(), *path = xasprintf("%s/a", dir), *old = xasprintf("%s/a.1", dir);
	char *moved = xasprintf("%s/a.2", dir);
	struct access_log *l = open_log(path, 1000);
	int64_t until = clk_now() + WAIT_NS;

	(void)arg;
	put_lines(l, 0, 10, 100);
	wait_for_size(path, 1000);
	put_lines(l, 10, 12, 100); /* the file is full */
	wait_for_size(path, 200);
	assert_int_equal(size_of(old), 1000);
	assert_int_equal(rename(path, moved), 0);
	access_log_reopen(l);
	while (access(path, F_OK) != 0) {
		assert_true(clk_now() < until);
		poll(NULL, 0, 1);
	}
	put_lines(l, 12, 15, 100);
	wait_for_size(path, 300);
	assert_int_equal(size_of(moved), 200);
	access_log_free(&l);
	free(old);
	free(moved);
	free(path);
	remove_all(dir, names);
}

static void
files(void **state)
{
	char *text;

	(void)state;
	text = unit_stderr_of(a_file_is_rotated_and_reopened, NULL);
	assert_non_null(strstr(text, "msg=\"access log reopened\""));
	assert_null(strstr(text, "level=warn"));
	free(text);
}

static void
a_file_grows_on(void *arg)
{
	static const char *const names[] = {"a", NULL};
	char *dir = unit_dir(), *path = xasprintf("%s/a", dir), *old = xasprintf("%s/a.1", dir);
	struct access_log *l = open_log(path, 1000);

	(void)arg;
	assert_int_equal(mkdir(old, 0700), 0); /* no file takes its place */
	put_lines(l, 0, 10, 100);
	wait_for_size(path, 1000);
	put_lines(l, 10, 12, 100);
	wait_for_size(path, 1200);
	put_lines(l, 12, 14, 100);
	wait_for_size(path, 1400);
	access_log_free(&l);
	assert_int_equal(rmdir(old), 0);
	free(old);
	free(path);
	remove_all(dir, names);
}

static void
a_rotation_that_fails_costs_no_line(void **state)
{
	static const char message[] = "msg=\"cannot rotate a file of lines";
	char *text = unit_stderr_of(a_file_grows_on, NULL), *at;

	(void)state;
	at = strstr(text, message);
	assert_non_null(at);
	assert_null(strstr(at + 1, message));
	assert_null(strstr(text, "cannot write"));
	assert_null(strstr(text, "lines lost"));
	free(text);
}

static void
a_link_grows_on(void *arg)
{
	static const char *const names[] = {"a", "b", NULL};
	char *dir = unit_dir(), *path = xasprintf("%s/a", dir), *old = xasprintf("%s/a.1", dir);
	char *target = xasprintf("%s/b", dir);
	struct access_log *l;

	(void)arg;
	assert_int_equal(symlink(target, path), 0);
	l = open_log(path, 1000);
	put_lines(l, 0, 10, 100);
	wait_for_size(target, 1000);
	put_lines(l, 10, 12, 100);
	wait_for_size(target, 1200);
	assert_int_equal(access(old, F_OK), -1);
	access_log_free(&l);
	free(target);
	free(old);
	free(path);
	remove_all(dir, names);
}

static void
a_link_is_not_renamed(void **state)
{
	char *text = unit_stderr_of(a_link_grows_on, NULL);

	(void)state;
	assert_non_null(strstr(text, "it is a symbolic link"));
	free(text);
}

static void
a_file_that_was_emptied_is_not_rotated(void **state)
{
	static const char *const names[] = {"a", NULL};
	char *dir = unit_dir(), *path = xasprintf("%s/a", dir);
	struct access_log *l = open_log(path, 1000);

	(void)state;
	put_lines(l, 0, 10, 100);
	wait_for_size(path, 1000);
	assert_int_equal(truncate(path, 0), 0); /* as logrotate does it with copytruncate */
	put_lines(l, 10, 12, 100);
	wait_for_size(path, 200);
	access_log_free(&l);
	free(path);
	remove_all(dir, names); /* there is no a.1 */
}

static void
a_file_that_is_replaced_is_opened(void **state)
{
	static const char *const names[] = {"a", "a.old", NULL};
	char *dir = unit_dir(), *path = xasprintf("%s/a", dir);
	char *moved = xasprintf("%s/a.old", dir);
	struct access_log *l = open_log(path, 0);
	int64_t until = clk_now() + WAIT_NS;
	unsigned n;
	int fd;

	(void)state;
	put_lines(l, 0, 1, 100);
	wait_for_size(path, 100);
	assert_int_equal(rename(path, moved), 0);
	fd = open(path, O_WRONLY | O_CREAT, 0600); /* by the new process of an upgrade */
	assert_true(fd >= 0);
	close(fd);
	for (n = 1; size_of(path) == 0; n++) {
		assert_true(clk_now() < until);
		put_lines(l, n, n + 1, 100);
		poll(NULL, 0, 10);
	}
	access_log_free(&l);
	assert_int_equal(size_of(path) + size_of(moved), 100 * n);
	free(moved);
	free(path);
	remove_all(dir, names);
}

/* Read whole lines until there are n, with rising numbers. */
static void
read_lines(int fd, size_t n)
{
	size_t have = 0, lines = 0;
	char buf[65536];
	long last = -1;

	while (lines < n) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char *at = buf, *end;
		ssize_t got;

		assert_int_equal(poll(&p, 1, WAIT_NS / CLK_MS), 1);
		got = read(fd, buf + have, sizeof buf - have);
		assert_true(got > 0);
		have += (size_t)got;
		while ((end = memchr(at, '\n', have - (size_t)(at - buf))) != NULL) {
			long number = strtol(at, NULL, 10);

			assert_true(number > last);
			last = number;
			lines++;
			at = end + 1;
		}
		have -= (size_t)(at - buf);
		memmove(buf, at, have);
	}
}

static void
fill_a_pipe(void *arg)
{
	static const char *const names[] = {"p", NULL};
	char *dir = unit_dir(), *path = xasprintf("%s/p", dir);
	char *rotated = xasprintf("%s/p.1", dir);
	struct access_counts counts;
	struct access_log *l;
	int reader;

	(void)arg;
	assert_int_equal(mkfifo(path, 0600), 0);
	l = open_log(path, 1000); /* it has no reader yet */
	reader = open(path, O_RDONLY | O_NONBLOCK);
	assert_true(reader >= 0);
	put_lines(l, 0, 30000, 100); /* more than ring and pipe hold */
	access_log_count(l, &counts);
	assert_true(counts.lost > 0 && counts.lines + counts.lost == 30000);
	read_lines(reader, counts.lines);
	close(reader);
	access_log_free(&l);
	assert_int_equal(access(rotated, F_OK), -1); /* only a regular file is renamed */
	free(rotated);
	free(path);
	remove_all(dir, names);
}

static void
a_pipe_that_nobody_reads_costs_lines_alone(void **state)
{
	char *text = unit_stderr_of(fill_a_pipe, NULL);

	(void)state;
	assert_non_null(strstr(text, "msg=\"access log lines lost\""));
	free(text);
}

/* A full pipe without a reader that cannot be opened once more. */
static void
a_broken_stdout_is_no_full_one(void **state)
{
	static const char *const names[] = {"p", NULL};
	char *dir = unit_dir(), *path = xasprintf("%s/p", dir);
	struct iovec iov = {.iov_base = (char[]){"x\n"}, .iov_len = 2};
	int before = dup(STDOUT_FILENO), reader, writer, code;
	struct access_sink *s;
	uint64_t dropped;
	ssize_t taken;
	struct err e;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	writer = open(path, O_WRONLY | O_NONBLOCK);
	while (write(writer, (char[4096]){0}, 4096) > 0)
		;
	assert_int_equal(fcntl(writer, F_SETFL, 0), 0);
	close(reader);
	fflush(stdout);
	dup2(writer, STDOUT_FILENO);
	s = access_sink_open("stdout", 0, &e);
	taken = s != NULL ? access_sink_write(s, &iov, 1, &dropped) : 0;
	code = errno;
	access_sink_free(&s);
	dup2(before, STDOUT_FILENO);
	close(before);
	close(writer);
	free(path);
	remove_all(dir, names);
	assert_int_equal(taken, -1);
	assert_int_equal(code, EPIPE);
}

static void
leave_a_pipe(void *arg)
{
	static const char *const names[] = {"p", NULL};
	char *dir = unit_dir(), *path = xasprintf("%s/p", dir);
	struct access_log *l;
	int reader;

	(void)arg;
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	l = open_log(path, 0);
	put_lines(l, 0, 2000, 100); /* more than a pipe holds */
	access_log_free(&l);
	close(reader);
	free(path);
	remove_all(dir, names);
}

static void
the_end_does_not_wait_for_a_reader(void **state)
{
	char *text = unit_stderr_of(leave_a_pipe, NULL);

	(void)state;
	assert_non_null(strstr(text, "msg=\"access log lines lost\""));
	free(text);
}

static void
fill_a_disk(void *arg)
{
	static const char *const names[] = {"a", NULL};
	const struct rlimit small = {5050, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
	char *dir = unit_dir(), *path = xasprintf("%s/a", dir);
	struct access_log *l;

	(void)arg;
	l = open_log(path, 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	put_lines(l, 0, 100, 100);
	wait_for_size(path, 5050); /* within a line */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	wait_for_size(path, 10000); /* the line goes on */
	access_log_free(&l);
	free(path);
	remove_all(dir, names);
}

static void
a_disk_that_is_full_holds_lines_back(void **state)
{
	char *text = unit_stderr_of(fill_a_disk, NULL);

	(void)state;
	assert_non_null(strstr(text, "msg=\"cannot write the access log\""));
	assert_non_null(strstr(text, "msg=\"the access log is written again\""));
	assert_null(strstr(text, "lines lost"));
	free(text);
}

/* --- syslog --- */

static int
open_syslog(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

static void
expect_message(int fd, unsigned number)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char message[1024], *at;
	ssize_t n;

	assert_int_equal(poll(&p, 1, WAIT_NS / CLK_MS), 1);
	n = recv(fd, message, sizeof message - 1, 0);
	assert_true(n > 0);
	message[n] = '\0';
	assert_memory_equal(message, "<190>", 5);
	at = strstr(message, " activator[");
	assert_non_null(at);
	at = strstr(at, "]: ");
	assert_non_null(at);
	assert_int_equal(strtoul(at + 3, NULL, 10), number);
	assert_int_equal(message[n - 1], 'x'); /* without the newline */
}

static void
talk_to_syslog(void *arg)
{
	static const char *const names[] = {"s", NULL};
	char *dir = unit_dir(), *path = xasprintf("%s/s", dir), *spec = xasprintf("unix:%s", path);
	struct access_log *l = open_log(spec, 0); /* there is no socket yet */
	unsigned i;
	int fd;

	(void)arg;
	put_lines(l, 0, 1, 100);
	fd = open_syslog(path);
	expect_message(fd, 0); /* it was kept */
	put_lines(l, 1, 101, 100);
	for (i = 1; i < 101; i++)
		expect_message(fd, i);
	close(fd); /* syslog starts again */
	unlink(path);
	put_lines(l, 101, 102, 100);
	fd = open_syslog(path);
	expect_message(fd, 101);
	access_log_free(&l);
	close(fd);
	free(path);
	free(spec);
	remove_all(dir, names);
}

static void
each_line_is_a_message_of_syslog(void **state)
{
	char *text = unit_stderr_of(talk_to_syslog, NULL);

	(void)state;
	assert_null(strstr(text, "lines lost"));
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_out_as_they_went_in),
		cmocka_unit_test(lines_may_be_dropped_in_parts),
		cmocka_unit_test(two_threads_share_a_ring),
		cmocka_unit_test(files),
		cmocka_unit_test(a_rotation_that_fails_costs_no_line),
		cmocka_unit_test(a_link_is_not_renamed),
		cmocka_unit_test(a_file_that_was_emptied_is_not_rotated),
		cmocka_unit_test(a_file_that_is_replaced_is_opened),
		cmocka_unit_test(a_pipe_that_nobody_reads_costs_lines_alone),
		cmocka_unit_test(a_broken_stdout_is_no_full_one),
		cmocka_unit_test(the_end_does_not_wait_for_a_reader),
		cmocka_unit_test(a_disk_that_is_full_holds_lines_back),
		cmocka_unit_test(each_line_is_a_message_of_syslog),
	};

	log_open(LOG_INFO, LOG_LOGFMT, "t_access_log");
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
