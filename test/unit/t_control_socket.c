/* control_socket: where it is. */
#include "unit.h"

#include "common/control_socket.h"

static void
assert_path(const char *control, const char *socket, const char *path)
{
	char *got = control_socket_path(control, socket);

	assert_string_equal(got, path);
	free(got);
}

static void
it_is_beside_the_socket_of_the_link(void **state)
{
	(void)state;
	assert_path(NULL, "/run/activator/autoscaler.sock",
		    "/run/activator/autoscaler-control.sock");
	assert_path("", "s", "s-control.sock");
	assert_path(NULL, ".sock", ".sock-control.sock");
	assert_path("/run/ctl", "/run/activator/autoscaler.sock", "/run/ctl");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_beside_the_socket_of_the_link),
	};

	return cmocka_run_group_tests_name("control_socket", tests, NULL, NULL);
}
