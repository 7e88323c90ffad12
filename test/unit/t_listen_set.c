/* listen_set: the next set shares the sockets of the addresses that stay, and a set that cannot be
 * made leaves nothing behind. */
#include "activator/net/listen_set.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "test/unit/loopback.h"
#include "test/unit/unit.h"

#define WORKERS 2

static struct listen_spec
spec(const char *text)
{
	struct listen_spec s;
	struct err e;

	assert_int_equal(listen_spec_parse(&s, text, &e), 0);
	return s;
}

/* A spec of a TCP address that is free. */
static struct listen_spec
free_spec(const char *ip)
{
	struct addr a;
	char text[32];

	close(loopback_bind(0, &a));
	snprintf(text, sizeof text, "%s:%u", ip, (unsigned)addr_port(&a));
	return spec(text);
}

static struct listen_set *
made(const struct listen_spec *v, size_t n, mode_t mode, const struct listen_set *before)
{
	const struct listen_conf conf = {.v = v, .n = n, .mode = mode, .workers_n = WORKERS};
	struct err e;
	struct listen_set *set = listen_set_new(&conf, before, &e);

	assert_non_null(set);
	assert_int_equal(listen_set_start(set, &e), 0);
	return set;
}

static bool
is_served(const struct listen_spec *s)
{
	int fd = socket(s->addr.ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = connect(fd, (const struct sockaddr *)&s->addr.ss, s->addr.len);

	close(fd);
	return rc == 0;
}

/* The sockets of a worker; the references are dropped. */
static size_t
sockets_of(const struct listen_set *set, unsigned worker, struct listen_socket *out[8])
{
	struct listen_use *uses;
	size_t i, n = listen_set_of_worker(set, worker, &uses);

	assert_true(n <= 8);
	for (i = 0; i < n; i++) {
		out[i] = uses[i].socket;
		listen_socket_unref(&uses[i].socket);
	}
	free(uses);
	return n;
}

static void
addresses_that_stay_keep_their_sockets(void **state)
{
	struct listen_spec both[] = {free_spec("127.0.0.1"), free_spec("127.0.0.1")};
	struct listen_set *old = made(both, 2, 0600, NULL), *next;
	struct listen_socket *before[8], *after[8];

	(void)state;
	assert_int_equal(sockets_of(old, 1, before), 2);
	next = made(&both[1], 1, 0600, old);
	listen_set_free(&old);
	assert_int_equal(sockets_of(next, 1, after), 1);
	assert_ptr_equal(before[1], after[0]);
	assert_false(is_served(&both[0]));
	assert_true(is_served(&both[1]));
	listen_set_free(&next);
	assert_false(is_served(&both[1]));
}

static void
a_worker_keeps_its_sockets_open(void **state)
{
	struct listen_spec one = free_spec("127.0.0.1");
	struct listen_set *set = made(&one, 1, 0600, NULL);
	struct listen_use *uses;
	size_t n = listen_set_of_worker(set, 0, &uses);

	(void)state;
	assert_int_equal(n, 1);
	listen_set_release(set);
	assert_true(is_served(&one));
	listen_socket_unref(&uses[0].socket);
	assert_false(is_served(&one));
	free(uses);
	listen_set_free(&set);
}

static void
a_set_that_cannot_be_made_changes_nothing(void **state)
{
	struct addr taken;
	int holder = loopback_listen(0, 1, &taken);
	char text[ADDR_TEXT];
	struct listen_spec v[] = {free_spec("127.0.0.1"), free_spec("127.0.0.1"),
				  spec(addr_format(&taken, true, text))};
	struct listen_set *old = made(v, 1, 0600, NULL);
	const struct listen_conf conf = {.v = v, .n = 3, .workers_n = WORKERS};
	struct err e;

	(void)state;
	assert_null(listen_set_new(&conf, old, &e));
	assert_int_equal(e.code, EADDRINUSE);
	assert_non_null(strstr(e.text, text));
	assert_non_null(strstr(e.text, "held by"));
	assert_true(is_served(&v[0]));
	assert_false(is_served(&v[1]));
	close(holder);
	listen_set_free(&old);
}

static void
a_wildcard_can_follow_an_address(void **state)
{
	struct listen_spec one = free_spec("127.0.0.1"), all;
	struct listen_set *old = made(&one, 1, 0600, NULL), *next;
	char text[32];

	(void)state;
	snprintf(text, sizeof text, "0.0.0.0:%u", (unsigned)addr_port(&one.addr));
	all = spec(text);
	next = made(&all, 1, 0600, old);
	listen_set_free(&old);
	assert_true(is_served(&one));
	listen_set_free(&next);
	assert_false(is_served(&one));
}

static void
a_unix_socket_stays_and_goes(void **state)
{
	char folder[] = "/tmp/t_listen_set.XXXXXX", text[64];
	struct listen_spec at, other = free_spec("127.0.0.1");
	struct listen_set *old, *next;
	struct listen_socket *before[8], *after[8];
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(text, sizeof text, "unix:%s/s", folder);
	at = spec(text);
	old = made(&at, 1, 0600, NULL);
	assert_int_equal(sockets_of(old, 0, before), 1);
	assert_int_equal(sockets_of(old, 1, after), 1);
	assert_ptr_equal(before[0], after[0]); /* all workers accept from one */
	next = made(&at, 1, 0666, old);
	listen_set_settle(next);
	listen_set_free(&old);
	assert_int_equal(lstat(text + 5, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	assert_true(is_served(&at));
	old = next;
	next = made(&other, 1, 0666, old);
	assert_true(is_served(&at));
	listen_set_free(&old);
	assert_int_equal(lstat(text + 5, &st), -1);
	listen_set_free(&next);
	rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_that_stay_keep_their_sockets),
		cmocka_unit_test(a_worker_keeps_its_sockets_open),
		cmocka_unit_test(a_set_that_cannot_be_made_changes_nothing),
		cmocka_unit_test(a_wildcard_can_follow_an_address),
		cmocka_unit_test(a_unix_socket_stays_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
