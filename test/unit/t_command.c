/* command: the arguments and the environment of an instance. */
#include "test/unit/unit.h"

#include "autoscaler/keeper/command.h"

static void
port_is_filled_in(void **state)
{
	static const struct {
		const char *arg, *filled;
	} rows[] = {
		{"$PORT", "20001"},
		{"${PORT}", "20001"},
		{":$PORT", ":20001"},
		{"127.0.0.1:${PORT}/x", "127.0.0.1:20001/x"},
		{"$PORT$PORT", "2000120001"},
		{"$PORT,${PORT}", "20001,20001"},
		{"$PORTS", "$PORTS"},
		{"$PORT_X", "$PORT_X"},
		{"$PORT2", "$PORT2"},
		{"${PORTS}", "${PORTS}"},
		{"${PORT", "${PORT"},
		{"$$PORT", "$20001"},
		{"$HOME", "$HOME"},
		{"$", "$"},
		{"", ""},
		{"PORT", "PORT"},
		{"${PORT}x", "20001x"},
		{"$PORT-$PORT.", "20001-20001."},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		char *filled = command_fill(rows[i].arg, 20001);

		assert_string_equal(filled, rows[i].filled);
		free(filled);
	}
}

static void
arguments_keep_their_order_and_number(void **state)
{
	char a[] = "prog", b[] = "", c[] = "-p$PORT";
	char *words[] = {a, b, c};
	const struct str_list command = {words, ARRAY_LEN(words)};
	struct str_list l = command_arguments(&command, 7);

	(void)state;
	assert_int_equal(l.n, 3);
	assert_string_equal(l.v[0], "prog");
	assert_string_equal(l.v[1], "");
	assert_string_equal(l.v[2], "-p7");
	assert_null(l.v[3]);
	str_list_fini(&l);
}

static const char *
value_of(char **env, const char *name)
{
	const char *found = NULL;
	size_t n = strlen(name);

	for (; *env != NULL; env++) {
		if (strncmp(*env, name, n) != 0 || (*env)[n] != '=')
			continue;
		assert_null(found); /* only once */
		found = *env + n + 1;
	}
	return found;
}

static void
the_process_id_is_filled_in(void **state)
{
	char kill[] = "kill", pid[] = "$MAINPID", both[] = "x${MAINPID}y$MAINPIDS $PORT";
	char *v[] = {kill, pid, both};
	const struct str_list command = {v, 3};
	struct str_list l = command_arguments_pid(&command, 42);

	(void)state;
	assert_string_equal(l.v[0], "kill");
	assert_string_equal(l.v[1], "42");
	assert_string_equal(l.v[2], "x42y$MAINPIDS $PORT");
	str_list_fini(&l);
}

static void
environment_is_layered(void **state)
{
	char path[] = "PATH=/bin", a[] = "A=1", notify[] = "NOTIFY_SOCKET=/x", port[] = "PORT=9",
	     mark[] = "ACTIVATOR_INSTANCE=outer", empty[] = "EMPTY=", fds[] = "LISTEN_FDS=3",
	     journal[] = "JOURNAL_STREAM=8:1234";
	char *inherited[] = {path, a, notify, port, mark, empty, fds, journal, NULL};
	char a2[] = "A=2", a3[] = "A=3", b[] = "B=x=y", port2[] = "PORT=1", mine[] = "LISTEN_FDS=0";
	char *more[] = {a2, a3, b, port2, mine};
	const struct str_list extra = {more, ARRAY_LEN(more)};
	struct str_list l = command_environment(inherited, &extra, 20001, "a-v1-x-1", "1:2");

	(void)state;
	assert_string_equal(value_of(l.v, "PATH"), "/bin");
	assert_string_equal(value_of(l.v, "A"), "3"); /* the last one wins */
	assert_string_equal(value_of(l.v, "B"), "x=y");
	assert_string_equal(value_of(l.v, "EMPTY"), "");
	assert_string_equal(value_of(l.v, "PORT"), "20001");
	assert_string_equal(value_of(l.v, "ACTIVATOR_INSTANCE"), "a-v1-x-1");
	assert_string_equal(value_of(l.v, "ACTIVATOR_KEEPER"), "1:2");
	assert_null(value_of(l.v, "NOTIFY_SOCKET")); /* is not inherited */
	assert_null(value_of(l.v, "JOURNAL_STREAM"));
	assert_string_equal(value_of(l.v, "LISTEN_FDS"), "0"); /* set in the conf file */
	str_list_fini(&l);
}

static void
nothing_inherited_nothing_extra(void **state)
{
	char *none[] = {NULL};
	const struct str_list nothing = {0};
	struct str_list l = command_environment(none, &nothing, 1, "i", "m");

	(void)state;
	assert_int_equal(l.n, 3);
	assert_string_equal(l.v[0], "PORT=1");
	assert_null(l.v[3]);
	str_list_fini(&l);
}

static void
digests_differ_where_anything_does(void **state)
{
	char a[] = "a", b[] = "b", ab[] = "ab", empty[] = "";
	char *one[] = {ab}, *two[] = {a, b}, *three[] = {a, b, empty};
	const struct str_list none = {0}, l1 = {one, 1}, l2 = {two, 2}, l3 = {three, 3};
	char *digests[] = {
		command_digest(&l1, &none, NULL, NULL), command_digest(&l2, &none, NULL, NULL),
		command_digest(&l3, &none, NULL, NULL), command_digest(&none, &l1, NULL, NULL),
		command_digest(&l1, &none, "a", NULL),	command_digest(&l1, &none, NULL, "a"),
		command_digest(&l1, &l1, NULL, NULL),
	};
	char *again = command_digest(&l1, &none, NULL, NULL);
	size_t i, j;

	(void)state;
	assert_string_equal(digests[0], again);
	free(again);
	for (i = 0; i < ARRAY_LEN(digests); i++)
		for (j = 0; j < i; j++)
			assert_string_not_equal(digests[i], digests[j]);
	for (i = 0; i < ARRAY_LEN(digests); i++)
		free(digests[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_is_filled_in),
		cmocka_unit_test(arguments_keep_their_order_and_number),
		cmocka_unit_test(the_process_id_is_filled_in),
		cmocka_unit_test(environment_is_layered),
		cmocka_unit_test(nothing_inherited_nothing_extra),
		cmocka_unit_test(digests_differ_where_anything_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
