/* link: framing, bounds, reconnecting, and when it calls back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/link.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"

#define PATIENCE (10 * CLK_S)

/* One side of a link, and the callbacks that it got. */
struct side {
	struct link *link;
	unsigned ups, downs, lines;
	size_t last_n;
	struct strbuf text; /* the lines, each followed by '|' */
	struct err why;
	unsigned accepts_at, cuts_at; /* so many lines: link_accept_peer(), link_cut() in on_line */
	bool cuts_at_line;	      /* link_cut() in on_line */
	bool frees_at_line;	      /* link_free() in on_line */
	bool frees_at_down;
	bool is_inside; /* a function of link is being called */
};

struct world {
	char dir[64], path[100];
	struct loop *loop;
	struct link_server *server;
	struct loop_timer tick;
	struct side near, far; /* near dials, far is accepted */
};

static void
on_up(struct link *l, void *arg)
{
	struct side *s = arg;

	assert_false(s->is_inside);
	s->link = l;
	s->ups++;
}

static void
on_line(struct link *l, char *line, size_t n, void *arg)
{
	struct side *s = arg;

	assert_false(s->is_inside);
	assert_int_equal(line[n], '\0');
	s->lines++;
	s->last_n = n;
	if (n < 100)
		strbuf_addf(&s->text, "%s|", line);
	if (s->lines == s->accepts_at)
		link_accept_peer(l);
	if (s->cuts_at_line || s->lines == s->cuts_at)
		link_cut(l, "rule %d broken", 7);
	if (s->frees_at_line)
		link_free(&s->link);
}

static void
on_down(struct link *l, const struct err *why, void *arg)
{
	struct side *s = arg;

	assert_false(s->is_inside);
	assert_false(link_is_up(l));
	s->downs++;
	s->why = *why;
	if (s->frees_at_down)
		link_free(&s->link);
}

static const struct link_ops ops = {on_up, on_line, on_down};

static void
on_accept(struct link *l, void *arg)
{
	struct world *w = arg;

	link_set_arg(l, &w->far);
	assert_ptr_equal(link_arg(l), &w->far);
	w->far.link = l;
}

static void
on_tick(void *arg)
{
	struct world *w = arg;

	loop_timer_set(&w->tick, 5 * CLK_MS); /* so that a round waits for 5 ms at most */
}

static void
serve(struct world *w)
{
	struct err e;

	w->server = link_listen(w->loop, w->path, &ops, on_accept, w, &e);
	assert_non_null(w->server);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct err e;

	log_open(LOG_ERROR, LOG_LOGFMT, "t_link");
	signal(SIGPIPE, SIG_IGN);
	strcpy(w->dir, "/tmp/t_link.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof w->path, "%s/socket", w->dir);
	w->loop = loop_new(&e);
	loop_timer_init(&w->tick, w->loop, on_tick, w);
	on_tick(w);
	strbuf_init(&w->near.text, 0);
	strbuf_init(&w->far.text, 0);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	link_free(&w->near.link);
	link_server_free(&w->server);
	loop_timer_fini(&w->tick);
	loop_free(&w->loop);
	strbuf_fini(&w->near.text);
	strbuf_fini(&w->far.text);
	rmdir(w->dir);
	free(w);
	return 0;
}

/* Run rounds until cond holds. */
#define WAIT(w, cond)                                                                              \
	do {                                                                                       \
		int64_t until_ = clk_now() + PATIENCE;                                             \
		while (!(cond)) {                                                                  \
			assert_true(clk_now() < until_);                                           \
			loop_once((w)->loop, false);                                               \
		}                                                                                  \
	} while (0)

static void
rest(struct world *w, int64_t ns)
{
	int64_t until = clk_now() + ns;

	while (clk_now() < until)
		loop_once(w->loop, false);
}

/* A plain blocking client of the server. */
static int
raw_connect(struct world *w)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(to.sun_path, sizeof to.sun_path, "%s", w->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	WAIT(w, w->far.ups > 0);
	return fd;
}

static void
raw_send(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void
send_text(struct side *s, const char *text)
{
	s->is_inside = true;
	link_send(s->link, text, strlen(text));
	s->is_inside = false;
}

static void
lines_pass_both_ways_in_order(void **state)
{
	struct world *w = *state;
	pid_t pid;
	uid_t uid;

	serve(w);
	w->near.is_inside = true;
	w->near.link = link_dial(w->loop, w->path, &ops, &w->near);
	w->near.is_inside = false;
	WAIT(w, w->near.ups == 1 && w->far.ups == 1);
	link_peer_process(w->far.link, &pid, &uid);
	assert_int_equal(pid, getpid());
	assert_int_equal(uid, geteuid());
	send_text(&w->near, "one");
	send_text(&w->near, "");
	send_text(&w->near, "three");
	send_text(&w->far, "answer");
	WAIT(w, w->far.lines == 3 && w->near.lines == 1);
	assert_string_equal(w->far.text.data, "one||three|");
	assert_string_equal(w->near.text.data, "answer|");
}

static void
half_lines_wait_for_their_rest(void **state)
{
	struct world *w = *state;
	int fd;

	serve(w);
	fd = raw_connect(w);
	raw_send(fd, "{\"a\"");
	rest(w, 20 * CLK_MS);
	assert_int_equal(w->far.lines, 0);
	raw_send(fd, ":1}\n{\"b\":2}\n{\"c");
	WAIT(w, w->far.lines == 2);
	raw_send(fd, "\"}\n");
	WAIT(w, w->far.lines == 3);
	assert_string_equal(w->far.text.data, "{\"a\":1}|{\"b\":2}|{\"c\"}|");
	close(fd);
	WAIT(w, w->far.downs == 1);
	assert_string_equal(w->far.why.text, "the peer closed the connection");
}

static void
a_peer_that_dies_within_a_line_is_reported(void **state)
{
	struct world *w = *state;
	int fd;

	serve(w);
	fd = raw_connect(w);
	raw_send(fd, "half");
	close(fd);
	WAIT(w, w->far.downs == 1);
	assert_int_equal(w->far.lines, 0);
	assert_string_equal(w->far.why.text, "the peer closed the connection within a line");
}

/* Write n bytes of 'x', then end, while the loop runs. */
static void
pour(struct world *w, int fd, size_t n, const char *end)
{
	static char block[1 << 16];
	size_t done = 0;

	memset(block, 'x', sizeof block);
	while (done < n && w->far.downs == 0) {
		ssize_t k = send(fd, block, MIN(sizeof block, n - done),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (k > 0)
			done += (size_t)k;
		else if (errno != EAGAIN)
			return;
		loop_once(w->loop, true);
	}
	send(fd, end, strlen(end), MSG_NOSIGNAL);
}

static void
what_a_peer_has_sent_before_it_closed_is_delivered(void **state)
{
	struct world *w = *state;
	int fd;

	serve(w);
	fd = raw_connect(w);
	raw_send(fd, "last\nwords\n");
	close(fd);
	send_text(&w->far, "too late"); /* is written, and fails, before the socket is read */
	loop_settle(w->loop);
	assert_string_equal(strbuf_str(&w->far.text), "last|words|");
	assert_int_equal(w->far.downs, 1);
}

static void
the_longest_line_passes_and_one_more_byte_does_not(void **state)
{
	struct world *w = *state;
	int fd;

	serve(w);
	fd = raw_connect(w);
	pour(w, fd, LINK_LINE_MAX - 1, "\n");
	WAIT(w, w->far.lines == 1);
	assert_int_equal(w->far.last_n, LINK_LINE_MAX - 1);
	assert_int_equal(w->far.downs, 0);
	pour(w, fd, LINK_LINE_MAX, "\n");
	WAIT(w, w->far.downs == 1);
	assert_int_equal(w->far.lines, 1);
	assert_string_equal(w->far.why.text, "the peer sent a line longer than 1048575 bytes");
	close(fd);
}

static void
a_line_without_end_is_cut_while_it_grows(void **state)
{
	struct world *w = *state;
	int fd;

	serve(w);
	fd = raw_connect(w);
	pour(w, fd, 64 * LINK_LINE_MAX, "");
	WAIT(w, w->far.downs == 1);
	close(fd);
}

static void
a_peer_that_does_not_read_is_cut(void **state)
{
	static char line[1 << 18];
	struct world *w = *state;
	unsigned i;
	int fd;

	serve(w);
	fd = raw_connect(w);
	memset(line, 'y', sizeof line);
	for (i = 0; i < 300 && link_is_up(w->far.link); i++) {
		w->far.is_inside = true;
		link_send(w->far.link, line, sizeof line);
		w->far.is_inside = false;
	}
	assert_in_range(i, 255, 260); /* 64 MiB, and what the kernel buffers */
	WAIT(w, w->far.downs == 1);
	assert_non_null(strstr(w->far.why.text, "does not read"));
	close(fd);
}

static void
what_a_slow_reader_gets_is_whole(void **state)
{
	static char line[100000], got[70000];
	struct world *w = *state;
	size_t total = 0, i;
	int fd;

	serve(w);
	fd = raw_connect(w);
	for (i = 0; i < 50; i++) {
		memset(line, 'a' + (int)(i % 26), sizeof line);
		link_send(w->far.link, line, sizeof line);
	}
	while (total < 50 * (sizeof line + 1)) {
		ssize_t n = recv(fd, got, sizeof got, MSG_DONTWAIT);
		ssize_t k;

		loop_once(w->loop, true);
		for (k = 0; k < n; k++, total++) {
			size_t at = total % (sizeof line + 1);

			assert_int_equal(got[k],
					 at == sizeof line
						 ? '\n'
						 : 'a' + (int)(total / (sizeof line + 1) % 26));
		}
	}
	close(fd);
}

static void
an_overlong_line_is_not_sent(void **state)
{
	struct world *w = *state;
	char *line = xmalloc(LINK_LINE_MAX);
	int fd;

	serve(w);
	fd = raw_connect(w);
	memset(line, 'z', LINK_LINE_MAX);
	log_open(LOG_ERROR + 1, LOG_LOGFMT, "t_link");
	link_send(w->far.link, line, LINK_LINE_MAX);
	assert_true(link_is_up(w->far.link));
	raw_send(fd, "still here\n");
	WAIT(w, w->far.lines == 1);
	free(line);
	close(fd);
}

static void
cut_says_why_at_the_tail_and_once(void **state)
{
	struct world *w = *state;
	int fd;

	serve(w);
	fd = raw_connect(w);
	w->far.cuts_at_line = true;
	raw_send(fd, "a\nb\nc\n");
	WAIT(w, w->far.downs == 1);
	assert_int_equal(w->far.lines, 1); /* nothing after the cut */
	assert_string_equal(w->far.why.text, "rule 7 broken");
	rest(w, 20 * CLK_MS);
	assert_int_equal(w->far.downs, 1);
	close(fd);
}

static void
freed_in_a_callback_nothing_follows(void **state)
{
	struct world *w = *state;
	int fd;

	serve(w);
	fd = raw_connect(w);
	w->far.frees_at_line = true;
	raw_send(fd, "a\nb\n");
	WAIT(w, w->far.link == NULL);
	rest(w, 20 * CLK_MS);
	assert_int_equal(w->far.lines, 1);
	assert_int_equal(w->far.downs, 0);
	assert_int_equal(recv(fd, &(char){0}, 1, MSG_DONTWAIT), 0); /* the connection is closed */
	close(fd);
}

static void
freed_in_on_down_it_does_not_dial_again(void **state)
{
	struct world *w = *state;

	serve(w);
	w->near.link = link_dial(w->loop, w->path, &ops, &w->near);
	WAIT(w, w->near.ups == 1 && w->far.ups == 1);
	w->near.frees_at_down = true;
	link_free(&w->far.link);
	WAIT(w, w->near.downs == 1);
	rest(w, 100 * CLK_MS);
	assert_int_equal(w->near.ups, 1);
}

static void
dials_until_there_is_a_server_and_again_after_it(void **state)
{
	struct world *w = *state;
	int64_t begun;

	w->near.link = link_dial(w->loop, w->path, &ops, &w->near);
	rest(w, 50 * CLK_MS);
	assert_int_equal(w->near.ups, 0);
	serve(w);
	begun = clk_now();
	WAIT(w, w->near.ups == 1 && w->far.ups == 1);
	assert_in_range(clk_now() - begun, 0, 2 * CLK_S);
	w->near.accepts_at = 1;
	send_text(&w->far, "hello");
	WAIT(w, w->near.lines == 1);

	link_server_free(&w->server);
	WAIT(w, w->near.downs == 1);
	assert_int_equal(w->far.downs, 0); /* closed without on_down */
	send_text(&w->near, "lost");	   /* dropped: the link is down */
	serve(w);
	begun = clk_now();
	WAIT(w, w->near.ups == 2 && w->far.ups == 2);
	assert_in_range(clk_now() - begun, 0, 2 * CLK_S);
	rest(w, 20 * CLK_MS);
	assert_int_equal(w->far.lines, 0);
}

static unsigned
ups_within(struct world *w, int64_t ns)
{
	unsigned before = w->near.ups;

	rest(w, ns);
	return w->near.ups - before;
}

static void
cutter(struct link *l, void *arg)
{
	(void)arg;
	link_cut(l, "go away");
}

static void
a_server_that_cuts_at_once_is_not_hammered(void **state)
{
	static const struct link_ops rude = {cutter, on_line, on_down};
	struct world *w = *state;
	struct err e;

	w->server = link_listen(w->loop, w->path, &rude, on_accept, w, &e);
	w->near.link = link_dial(w->loop, w->path, &ops, &w->near);
	rest(w, 1500 * CLK_MS); /* 10 + 20 + … + 640 ms at most */
	assert_in_range(ups_within(w, CLK_S), 0, 3);
}

/* A server that says two lines to each client. */
static void
greet(struct link *l, void *arg)
{
	(void)arg;
	link_send(l, "hello", 5);
	link_send(l, "services", 8);
}

static const struct link_ops greeting = {greet, on_line, on_down};

/* Connect until the near side has cut the connection so many times. */
static void
be_cut(struct world *w, unsigned times)
{
	struct err e;

	w->server = link_listen(w->loop, w->path, &greeting, on_accept, w, &e);
	assert_non_null(w->server);
	w->near.link = link_dial(w->loop, w->path, &ops, &w->near);
	for (; times > 0; times--) {
		unsigned downs = w->near.downs;

		WAIT(w, w->near.downs > downs);
		w->near.lines = 0;
	}
}

/* The sixth delay is 10 ms, doubled five times; half of it may be left to chance. */
#define SIXTH_MIN (160 * CLK_MS)

static int64_t
next_delay(struct world *w)
{
	unsigned ups = w->near.ups;
	int64_t begun = clk_now();

	WAIT(w, w->near.ups > ups);
	return clk_now() - begun;
}

static void
lines_of_a_peer_that_is_refused_do_not_reset_the_back_off(void **state)
{
	struct world *w = *state;

	w->near.cuts_at = 1;
	be_cut(w, 6);
	assert_true(next_delay(w) >= SIXTH_MIN);
}

static void
a_peer_that_is_cut_after_it_was_accepted_does_not_reset_the_back_off(void **state)
{
	struct world *w = *state;

	w->near.accepts_at = 1;
	w->near.cuts_at = 2;
	be_cut(w, 6);
	assert_true(next_delay(w) >= SIXTH_MIN);
}

static unsigned accepts_n, accepts_refused; /* calls of accept4(2); the last of them that fails */

/* In place of the C library's: a firewall, for example, may refuse (EPERM). */
int
accept4(int fd, struct sockaddr *peer, socklen_t *n, int flags)
{
	if (++accepts_n <= accepts_refused) {
		errno = EPERM;
		return -1;
	}
	return (int)syscall(SYS_accept4, fd, peer, n, flags);
}

static void
a_connection_that_cannot_be_accepted_waits(void **state)
{
	struct world *w = *state;
	int i;

	serve(w);
	accepts_n = 0;
	accepts_refused = UINT_MAX;
	w->near.link = link_dial(w->loop, w->path, &ops, &w->near);
	WAIT(w, w->near.ups == 1 && accepts_n > 0);
	accepts_n = 0;
	for (i = 0; i < 20; i++) /* the event is level-triggered */
		loop_once(w->loop, true);
	accepts_refused = 0;
	assert_in_range(accepts_n, 0, 2);
	WAIT(w, w->far.ups == 1);
}

static void
a_killed_peer_is_noticed(void **state)
{
	struct world *w = *state;
	int status;
	pid_t pid;

	serve(w);
	pid = fork();
	if (pid == 0) {
		struct sockaddr_un to = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		snprintf(to.sun_path, sizeof to.sun_path, "%s", w->path);
		if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
		    send(fd, "x\n", 2, 0) == 2)
			pause();
		_exit(1);
	}
	WAIT(w, w->far.lines == 1);
	kill(pid, SIGKILL);
	WAIT(w, w->far.downs == 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void
a_server_that_finishes_gets_what_its_peers_send_until_they_see_its_end(void **state)
{
	struct world *w = *state;
	pid_t child;
	int fd;

	serve(w);
	fd = raw_connect(w);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		char byte;

		(void)!write(fd, "one\n", 4);
		while (read(fd, &byte, 1) > 0)
			;
		_exit(write(fd, "two\n", 4) == 4 ? 0 : 1);
	}
	close(fd);
	link_server_finish(w->server, PATIENCE);
	assert_string_equal(w->far.text.data, "one|two|");
	assert_int_equal(waitpid(child, NULL, 0), child);
	link_server_free(&w->server);
	loop_settle(w->loop);
	assert_int_equal(w->far.downs, 0);
}

static void
a_server_that_finishes_waits_for_no_peer_for_ever(void **state)
{
	struct world *w = *state;
	int fd;

	serve(w);
	fd = raw_connect(w);
	raw_send(fd, "one\n");
	link_server_finish(w->server, 20 * CLK_MS);
	assert_string_equal(w->far.text.data, "one|");
	close(fd);
}

static void
the_socket_has_its_mode_and_goes_with_the_server(void **state)
{
	struct world *w = *state;
	struct stat st;

	serve(w);
	assert_int_equal(stat(w->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	link_server_free(&w->server);
	assert_int_equal(stat(w->path, &st), -1);
}

static void
a_private_socket_is_its_owners_alone(void **state)
{
	struct world *w = *state;
	struct stat st;
	struct err e;

	w->server = link_listen_private(w->loop, w->path, &ops, on_accept, w, &e);
	assert_non_null(w->server);
	assert_int_equal(stat(w->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

/* The tests run as root, or as the socket's owner: both may connect to any private socket.  That a
 * member of the group may, and another user may not, is tested with both programs. */
static void
a_private_socket_opens_to_a_group(void **state)
{
	struct world *w = *state;
	struct stat st;
	struct err e;

	w->server = link_listen_private(w->loop, w->path, &ops, on_accept, w, &e);
	assert_non_null(w->server);
	assert_int_equal(link_server_allow_group(w->server, getgid(), &e), 0);
	assert_int_equal(stat(w->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(st.st_gid, getgid());
	assert_int_equal(link_server_allow_group(w->server, (gid_t)-1, &e), 0);
	assert_int_equal(stat(w->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	unlink(w->path);
	assert_int_equal(link_server_allow_group(w->server, getgid(), &e), -1);
}

static void
a_stale_socket_is_replaced_but_nothing_else(void **state)
{
	struct world *w = *state;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct err e;

	snprintf(at.sun_path, sizeof at.sun_path, "%s", w->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	close(fd);
	serve(w);
	link_server_free(&w->server);

	fclose(fopen(w->path, "w"));
	assert_null(link_listen(w->loop, w->path, &ops, on_accept, w, &e));
	assert_non_null(strstr(e.text, "not a socket"));
	unlink(w->path);
}

static void
a_socket_that_is_served_is_left_alone(void **state)
{
	struct world *w = *state;
	struct err e = {0};

	serve(w);
	assert_null(link_listen(w->loop, w->path, &ops, on_accept, w, &e));
	assert_int_equal(e.code, EADDRINUSE);
	assert_non_null(strstr(e.text, "another process listens there"));
	assert_int_equal(access(w->path, F_OK), 0);
}

static void
a_path_that_does_not_fit_is_refused(void **state)
{
	struct world *w = *state;
	char path[300];
	struct err e;

	memset(path, 'p', sizeof path);
	path[sizeof path - 1] = '\0';
	assert_null(link_listen(w->loop, path, &ops, on_accept, w, &e));
	assert_non_null(strstr(e.text, "expected a socket path of 1 to 107 bytes, got 299"));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(lines_pass_both_ways_in_order),
		T(half_lines_wait_for_their_rest),
		T(a_peer_that_dies_within_a_line_is_reported),
		T(what_a_peer_has_sent_before_it_closed_is_delivered),
		T(the_longest_line_passes_and_one_more_byte_does_not),
		T(a_line_without_end_is_cut_while_it_grows),
		T(a_peer_that_does_not_read_is_cut),
		T(what_a_slow_reader_gets_is_whole),
		T(an_overlong_line_is_not_sent),
		T(cut_says_why_at_the_tail_and_once),
		T(freed_in_a_callback_nothing_follows),
		T(freed_in_on_down_it_does_not_dial_again),
		T(dials_until_there_is_a_server_and_again_after_it),
		T(a_server_that_cuts_at_once_is_not_hammered),
		T(lines_of_a_peer_that_is_refused_do_not_reset_the_back_off),
		T(a_peer_that_is_cut_after_it_was_accepted_does_not_reset_the_back_off),
		T(a_connection_that_cannot_be_accepted_waits),
		T(a_killed_peer_is_noticed),
		T(a_server_that_finishes_gets_what_its_peers_send_until_they_see_its_end),
		T(a_server_that_finishes_waits_for_no_peer_for_ever),
		T(the_socket_has_its_mode_and_goes_with_the_server),
		T(a_private_socket_is_its_owners_alone),
		T(a_private_socket_opens_to_a_group),
		T(a_stale_socket_is_replaced_but_nothing_else),
		T(a_socket_that_is_served_is_left_alone),
		T(a_path_that_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
