/* handover: the messages between two activators, and what is refused. */
#include "test/unit/unit.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/handover.h"
#include "test/unit/loopback.h"

static void
pair(int ends[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static void
close_pair(const int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

static size_t
open_fds(void)
{
	size_t n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* One record with the descriptor `fd` n times, as a broken or an evil peer would send it. */
static void
send_raw(int to, const char *text, size_t n_text, int fd, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(253 * sizeof(int))];
	} control;
	struct iovec part = {.iov_base = (char *)(uintptr_t)text, .iov_len = n_text};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *c;
	size_t i;

	memset(&control, 0, sizeof control);
	if (n > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof fd);
	}
	assert_int_equal(sendmsg(to, &msg, 0), n_text);
}

/* What comes of this text with n descriptors: "" if it can be read. */
static const char *
reading(const char *text, size_t n)
{
	static struct err e;
	struct handover_msg m;
	size_t before = open_fds();
	int ends[2];

	pair(ends);
	e = (struct err){0};
	send_raw(ends[0], text, strlen(text), STDIN_FILENO, n);
	if (handover_receive(ends[1], &m, &e) == 0)
		e.text[0] = '\0';
	else
		assert_true(e.text[0] != '\0');
	handover_msg_fini(&m);
	close_pair(ends);
	assert_int_equal(open_fds(), before); /* whatever came, nothing stays open */
	return e.text;
}

static void
begin(void **state)
{
	struct handover_msg sent = {.type = HANDOVER_BEGIN,
				    .sockets_n = 700,
				    .part = 2,
				    .elders = {17},
				    .elders_n = 1,
				    .has_tickets = true,
				    .rotated_ns = 5000000000,
				    .fds = {0, 1, 2},
				    .fds_n = 3},
			    got;
	struct err e;
	int ends[2];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof sent.tickets; i++)
		((unsigned char *)&sent.tickets)[i] = (unsigned char)(i * 7);
	pair(ends);
	assert_int_equal(handover_send(ends[0], &sent, &e), 0);
	assert_int_equal(handover_receive(ends[1], &got, &e), 0);
	assert_int_equal(got.type, HANDOVER_BEGIN);
	assert_int_equal(got.protocol, HANDOVER_PROTOCOL);
	assert_int_equal(got.pid, getpid());
	assert_int_equal(got.sockets_n, 700);
	assert_int_equal(got.part, 2);
	assert_int_equal(got.elders_n, 1);
	assert_int_equal(got.elders[0], 17);
	assert_true(got.has_tickets);
	assert_memory_equal(&got.tickets, &sent.tickets, sizeof sent.tickets);
	assert_true(got.rotated_ns == sent.rotated_ns);
	assert_int_equal(got.fds_n, 3);
	for (i = 0; i < 3; i++)
		assert_true(fcntl(got.fds[i], F_GETFD) & FD_CLOEXEC);
	handover_msg_fini(&got);
	assert_int_equal(handover_receive(ends[1], &got, &e), -1);
	assert_int_equal(e.code, EAGAIN);
	close(ends[0]);
	assert_int_equal(handover_receive(ends[1], &got, &e), -1);
	assert_int_equal(e.code, EPIPE);
	close(ends[1]);
}

static void
sockets(void **state)
{
	struct handover_msg sent = {.type = HANDOVER_SOCKETS, .fds_n = HANDOVER_FDS_MOST}, got;
	struct err e;
	int ends[2];
	size_t i;

	(void)state;
	for (i = 0; i < sent.fds_n; i++)
		sent.is_foreign[i] = i % 3 == 0;
	pair(ends);
	assert_int_equal(handover_send(ends[0], &sent, &e), 0);
	assert_int_equal(handover_receive(ends[1], &got, &e), 0);
	assert_int_equal(got.fds_n, HANDOVER_FDS_MOST);
	for (i = 0; i < got.fds_n; i++)
		assert_int_equal(got.is_foreign[i], i % 3 == 0);
	handover_msg_fini(&got);
	close_pair(ends);
}

static void
the_other_messages(void **state)
{
	char why[] = "a.conf:3: listn: unknown key";
	const struct handover_msg all[] = {{.type = HANDOVER_READY},
					   {.type = HANDOVER_FAILED, .reason = why},
					   {.type = HANDOVER_GO},
					   {.type = HANDOVER_ACCEPTING}};
	struct handover_msg got;
	struct err e;
	int ends[2];
	size_t i;

	(void)state;
	pair(ends);
	for (i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(handover_send(ends[0], &all[i], &e), 0);
		assert_int_equal(handover_receive(ends[1], &got, &e), 0);
		assert_int_equal(got.type, all[i].type);
		if (all[i].type == HANDOVER_FAILED)
			assert_string_equal(got.reason, why);
		handover_msg_fini(&got);
	}
	close_pair(ends);
}

#define BEGIN(more)                                                                                    \
	"{\"type\":\"begin\",\"protocol\":1,\"version\":\"9\",\"pid\":7,\"sockets\":1,\"part\":1" more \
	"}"

static void
what_cannot_be_read(void **state)
{
	static char longest[HANDOVER_BYTES_MOST + 100];
	static const struct {
		const char *text;
		size_t fds;
		const char *why; /* a part of it; "": it can be read */
	} rows[] = {
		{BEGIN(",\"elders\":[],\"later\":{}"), 2, ""},
		/* half a message */
		{"{\"type\":\"begin\",\"protocol\":1,\"vers", 2, ""},
		{"", 0, ""},
		{"{}", 1, "type"},
		{"{\"type\":\"end\"}", 0, "type"},
		{"[]", 0, "object"},
		/* another protocol, whatever else it says */
		{"{\"type\":\"begin\",\"protocol\":2,\"version\":\"0.9\"}", 3,
		 "version 0.9 speaks protocol 2 of the hand-over, expected 1"},
		{"{\"type\":\"ready\",\"protocol\":0}", 0, "expected 1"},
		{"{\"type\":\"ready\"}", 0, "protocol"},
		{"{\"type\":\"ready\",\"protocol\":1,\"pid\":0}", 0, "pid"},
		/* too many descriptors, and too few */
		{BEGIN(",\"elders\":[]"), 3, "expected 2 descriptors, got 3"},
		{BEGIN(",\"elders\":[]"), 1, "expected 2 descriptors, got 1"},
		{BEGIN(",\"elders\":[{\"pid\":1},{\"pid\":2},{\"pid\":3}]"), 5,
		 "expected 2 at most"},
		{BEGIN(",\"elders\":[{}]"), 3, "pid"},
		{"{\"type\":\"sockets\",\"sockets\":[{\"foreign\":true}]}", 201,
		 "more descriptors"},
		{"{\"type\":\"sockets\",\"sockets\":[{\"foreign\":true}]}", 253,
		 "more descriptors"},
		{"{\"type\":\"sockets\",\"sockets\":[{\"foreign\":true}]}", 2,
		 "expected 1 descriptors"},
		{"{\"type\":\"sockets\",\"sockets\":[{\"foreign\":1}]}", 1, "foreign"},
		{"{\"type\":\"go\"}", 1, "no descriptors with go"},
		{"{\"type\":\"failed\"}", 0, "reason"},
		{BEGIN(",\"elders\":[],\"tickets\":[\"00\",\"11\"]"), 2, "keys of"},
		{BEGIN(",\"elders\":[],\"tickets\":[\"00\"]"), 2, "expected 2 keys"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const char *why;

		if (rows[i].text[0] == '\0')
			continue;
		why = reading(rows[i].text, rows[i].fds);
		if (i == 0)
			assert_string_equal(why, "");
		else
			assert_true(why[0] != '\0');
		if (strstr(why, rows[i].why) == NULL)
			fail_msg("%s: expected \"%s\", got \"%s\"", rows[i].text, rows[i].why, why);
	}
	memset(longest, 'x', sizeof longest - 1);
	assert_non_null(strstr(reading(longest, 1), "too long"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begin),
		cmocka_unit_test(sockets),
		cmocka_unit_test(the_other_messages),
		cmocka_unit_test(what_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
