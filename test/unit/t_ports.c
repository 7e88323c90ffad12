/* ports: which port the next instance gets. */
#include "test/unit/unit.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "autoscaler/process/port_cursor.h"
#include "autoscaler/process/ports.h"
#include "test/unit/loopback.h"

static bool
is_any(uint16_t port, void *arg)
{
	(void)port;
	(void)arg;
	return true;
}

static bool
is_this(uint16_t port, void *arg)
{
	return port == *(const uint16_t *)arg;
}

static bool
count_calls(uint16_t port, void *arg)
{
	(void)port;
	++*(unsigned *)arg;
	return false;
}

static void
starts_at_the_place(void **state)
{
	struct ports p;

	(void)state;
	ports_init(&p, 20000, 29999, 32768, 60999);
	assert_int_equal(ports_pick(&p, 0, is_any, NULL), 20000);
	assert_int_equal(ports_pick(&p, 9999, is_any, NULL), 29999);
	assert_int_equal(ports_pick(&p, 10001, is_any, NULL), 20001);
	assert_in_range(ports_pick(&p, UINT32_MAX, is_any, NULL), 20000, 29999);
}

static void
finds_the_only_free_one_from_anywhere(void **state)
{
	struct ports p;
	uint16_t free_one = 20007;
	uint32_t from;

	(void)state;
	ports_init(&p, 20000, 20019, 0, 0);
	for (from = 0; from < 40; from++)
		assert_int_equal(ports_pick(&p, from, is_this, &free_one), free_one);
}

static void
none_free_is_asked_once_each(void **state)
{
	struct ports p;
	unsigned calls = 0;

	(void)state;
	ports_init(&p, 20000, 20019, 0, 0);
	assert_int_equal(ports_pick(&p, 5, count_calls, &calls), 0);
	assert_int_equal(calls, 20);
}

static void
leaves_out_ephemeral_ports(void **state)
{
	struct ports p;
	uint32_t from;

	(void)state;
	ports_init(&p, 32760, 32780, 32768, 60999);
	for (from = 0; from < 21; from++)
		assert_in_range(ports_pick(&p, from, is_any, NULL), 32760, 32767);
}

static void
a_range_all_ephemeral_is_used_all_the_same(void **state)
{
	struct ports p;

	(void)state;
	ports_init(&p, 40000, 40001, 32768, 60999);
	assert_int_equal(ports_pick(&p, 1, is_any, NULL), 40001);
}

static void
overlap_is_counted(void **state)
{
	static const struct {
		uint32_t first, last, kernel_first, kernel_last;
		unsigned n;
	} rows[] = {
		{20000, 29999, 32768, 60999, 0},    {20000, 29999, 29999, 60999, 1},
		{20000, 29999, 1024, 65535, 10000}, {20000, 29999, 1024, 20000, 1},
		{20000, 29999, 21000, 21009, 10},   {20000, 29999, 0, 0, 0},
		{20000, 29999, 1024, 19999, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(ports_overlap(rows[i].first, rows[i].last, rows[i].kernel_first,
					       rows[i].kernel_last),
				 rows[i].n);
}

static void
reads_the_kernels_range(void **state)
{
	uint32_t first = 0, last = 0;
	struct err e;

	(void)state;
	assert_int_equal(ports_read_kernel(&first, &last, &e), 0);
	assert_true(first > 0 && first <= last && last <= 65535);
}

/* A port that is bound for one address is not free for the wildcard address. */
static void
a_port_in_use_cannot_be_bound(void **state)
{
	struct addr at;
	int fd = loopback_listen(0, 1, &at);

	(void)state;
	assert_int_equal(ports_use(addr_port(&at)), PORTS_IN_USE);
	close(fd);
	assert_int_equal(ports_use(addr_port(&at)), PORTS_FREE);
}

/* Servers set SO_REUSEADDR, so a connection in TIME_WAIT does not keep them from the port. */
static void
a_port_in_time_wait_lingers(void **state)
{
	int yes = 1, listener, client = socket(AF_INET, SOCK_STREAM, 0), served;
	struct addr at;
	char end;

	(void)state;
	listener = loopback_bind(0, &at);
	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&at.ss, at.len), 0);
	served = accept(listener, NULL, NULL);
	assert_true(served >= 0);
	close(served); /* the side that closes first is in TIME_WAIT */
	assert_int_equal(read(client, &end, 1), 0);
	close(client);
	assert_int_equal(ports_use(addr_port(&at)), PORTS_IN_USE);
	close(listener);
	assert_int_equal(ports_use(addr_port(&at)), PORTS_LINGERING);
}

/* The next autoscaler goes on behind all ports that this one has given, also if it was killed; and
 * at that very place if it ended in order. */
static void
the_cursor_goes_on(void **state)
{
	char *dir = unit_dir(), *file = xasprintf("%s/ports", dir);
	struct port_cursor c, killed;
	struct ports p;
	uint32_t begun, i;

	(void)state;
	ports_init(&p, 20000, 29999, 0, 0);
	port_cursor_init(&c, dir);
	begun = c.at;
	for (i = 1; i <= 1000; i++) {
		uint16_t port = ports_pick(&p, c.at, is_any, NULL);

		port_cursor_advance(&c, ports_steps(&p, c.at, port), ports_n(&p));
		assert_int_equal(c.at, begun + i);
		port_cursor_init(&killed, dir);
		assert_in_range(killed.at - begun, i, i + 200);
		free(killed.path);
	}
	port_cursor_fini(&c);
	port_cursor_init(&c, dir);
	assert_int_equal(c.at, begun + 1000);
	port_cursor_fini(&c);
	unlink(file);
	rmdir(dir);
	free(file);
	free(dir);
}

static void
steps_lead_behind_the_port(void **state)
{
	struct ports p;

	(void)state;
	ports_init(&p, 20000, 20019, 0, 0);
	assert_int_equal(ports_steps(&p, 5, 20005), 1);
	assert_int_equal(ports_steps(&p, 5, 20004), 20);
	assert_int_equal(ports_steps(&p, 45, 20006), 2);
	assert_int_equal(ports_steps(&p, UINT32_MAX, 20000 + UINT32_MAX % 20), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_at_the_place),
		cmocka_unit_test(finds_the_only_free_one_from_anywhere),
		cmocka_unit_test(none_free_is_asked_once_each),
		cmocka_unit_test(leaves_out_ephemeral_ports),
		cmocka_unit_test(a_range_all_ephemeral_is_used_all_the_same),
		cmocka_unit_test(overlap_is_counted),
		cmocka_unit_test(reads_the_kernels_range),
		cmocka_unit_test(a_port_in_use_cannot_be_bound),
		cmocka_unit_test(a_port_in_time_wait_lingers),
		cmocka_unit_test(the_cursor_goes_on),
		cmocka_unit_test(steps_lead_behind_the_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
