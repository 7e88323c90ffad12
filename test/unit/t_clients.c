/* clients: the connections of each client address are counted, up to a limit. */
#include "test/unit/unit.h"

#include "activator/clients.h"

static void
each_address_has_its_own_bound(void **state)
{
	struct clients c;

	(void)state;
	clients_init(&c, 2);
	assert_true(clients_enter(&c, "10.0.0.1"));
	assert_true(clients_enter(&c, "10.0.0.1"));
	assert_false(clients_enter(&c, "10.0.0.1"));
	assert_true(clients_enter(&c, "10.0.0.2"));
	clients_leave(&c, "10.0.0.1");
	assert_true(clients_enter(&c, "10.0.0.1"));
	assert_false(clients_enter(&c, "10.0.0.1"));
	clients_fini(&c);
}

static void
an_address_that_left_is_forgotten(void **state)
{
	struct clients c;

	(void)state;
	clients_init(&c, 1);
	assert_true(clients_enter(&c, "::1"));
	assert_int_equal(c.connections.n, 1);
	clients_leave(&c, "::1");
	assert_int_equal(c.connections.n, 0);
	clients_fini(&c);
}

static void
another_bound_counts_anew(void **state)
{
	struct clients c;

	(void)state;
	clients_init(&c, 0);
	assert_true(clients_enter(&c, "10.0.0.1"));
	assert_true(clients_enter(&c, "10.0.0.1"));
	clients_restart(&c, 1); /* there are more by now */
	clients_add(&c, "10.0.0.1");
	clients_add(&c, "10.0.0.1");
	assert_false(clients_enter(&c, "10.0.0.1"));
	clients_leave(&c, "10.0.0.1");
	assert_false(clients_enter(&c, "10.0.0.1"));
	clients_leave(&c, "10.0.0.1");
	assert_true(clients_enter(&c, "10.0.0.1"));
	clients_restart(&c, 0);
	clients_leave(&c, "10.0.0.1");
	assert_int_equal(c.connections.n, 0);
	clients_fini(&c);
}

static void
without_a_bound_nothing_is_counted(void **state)
{
	struct clients c;
	int i;

	(void)state;
	clients_init(&c, 0);
	for (i = 0; i < 1000; i++)
		assert_true(clients_enter(&c, "10.0.0.1"));
	assert_int_equal(c.connections.n, 0);
	clients_leave(&c, "10.0.0.1");
	clients_fini(&c);
}

static void
clients_without_an_ip_address_are_not_counted(void **state)
{
	struct clients c;
	int i;

	(void)state;
	clients_init(&c, 1);
	for (i = 0; i < 10; i++) {
		assert_true(clients_enter(&c, "unix:"));
		assert_true(clients_enter(&c, "unknown"));
	}
	assert_int_equal(c.connections.n, 0);
	clients_leave(&c, "unix:");
	clients_leave(&c, "unknown");
	clients_fini(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_address_has_its_own_bound),
		cmocka_unit_test(an_address_that_left_is_forgotten),
		cmocka_unit_test(another_bound_counts_anew),
		cmocka_unit_test(without_a_bound_nothing_is_counted),
		cmocka_unit_test(clients_without_an_ip_address_are_not_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
