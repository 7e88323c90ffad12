/* keeper_msg: the messages between the autoscaler and its keeper. */
#include "test/unit/unit.h"

#include "autoscaler/keeper/keeper_msg.h"
#include "common/strbuf.h"

static struct keeper_msg
there_and_back(const struct keeper_msg *m)
{
	struct keeper_msg back;
	struct strbuf line;
	struct err e = {0};

	strbuf_init(&line, 0);
	keeper_msg_encode(m, &line);
	assert_null(memchr(line.data, '\n', line.len));
	if (keeper_msg_decode(&back, line.data, line.len, &e) < 0)
		fail_msg("%s: %s", line.data, e.text);
	strbuf_fini(&line);
	assert_int_equal(back.type, m->type);
	return back;
}

static void
a_start_survives_any_bytes(void **state)
{
	char every[256], id[] = "a-v1-x-1", revision[] = "a/v1", user[] = "nobody";
	char prog[] = "prog", empty[] = "", odd[] = "\xff\xc3(\x80\xe2\x82";
	char *argv[] = {prog, empty, odd, every, NULL}, *env[] = {odd, NULL};
	struct keeper_msg m = {.type = KEEPER_START,
			       .id = id,
			       .revision = revision,
			       .port = 20001,
			       .argv = {argv, 4},
			       .env = {env, 1},
			       .user = user,
			       .launch = user,
			       .stop_argv = {argv, 2},
			       .pid_file = odd,
			       .stop_timeout_ms = 1500},
			  back;
	unsigned i;

	(void)state;
	for (i = 0; i < 255; i++)
		every[i] = (char)(i + 1);
	every[255] = '\0';
	back = there_and_back(&m);
	assert_string_equal(back.id, id);
	assert_string_equal(back.revision, revision);
	assert_int_equal(back.port, 20001);
	assert_int_equal(back.stop_timeout_ms, 1500);
	assert_string_equal(back.user, user);
	assert_null(back.directory);
	assert_string_equal(back.launch, user);
	assert_string_equal(back.pid_file, odd);
	assert_int_equal(back.stop_argv.n, 2);
	for (i = 0; i < 4; i++)
		assert_string_equal(back.argv.v[i], argv[i]);
	assert_null(back.argv.v[4]);
	assert_string_equal(back.env.v[0], odd);
	assert_null(back.env.v[1]);
	keeper_msg_fini(&back);
}

static void
log_settings_have_bounds(void **state)
{
	struct keeper_msg m = {.type = KEEPER_LOG, .log_level = 4, .log_format = 2},
			  back = there_and_back(&m);
	static const char bad[] = "{\"type\":\"log\",\"log_level\":5,\"log_format\":0}";
	struct err e;

	(void)state;
	assert_int_equal(back.log_level, 4);
	assert_int_equal(back.log_format, 2);
	keeper_msg_fini(&back);
	assert_int_equal(keeper_msg_decode(&back, bad, strlen(bad), &e), -1);
	keeper_msg_fini(&back);
}

static void
instance_survives(void **state)
{
	char id[] = "i", revision[] = "a/v1";
	struct keeper_msg m = {.type = KEEPER_INSTANCE,
			       .id = id,
			       .revision = revision,
			       .port = 1,
			       .pid = 4000000,
			       .phase = PHASE_ENDED,
			       .answered = true,
			       .started_ns = INT64_MAX,
			       .status = 11},
			  back = there_and_back(&m);

	(void)state;
	assert_int_equal(back.pid, 4000000);
	assert_int_equal(back.phase, PHASE_ENDED);
	assert_true(back.answered);
	assert_int_equal(back.started_ns, INT64_MAX);
	assert_int_equal(back.status, 11);
	keeper_msg_fini(&back);
}

static void
all_types_survive(void **state)
{
	char text[] = "t";
	int type;

	(void)state;
	for (type = KEEPER_UNKNOWN + 1; type <= KEEPER_READ_END; type++) {
		struct keeper_msg m = {.type = (enum keeper_msg_type)type,
				       .id = text,
				       .revision = text,
				       .text = text,
				       .pid = 1,
				       .token = 1,
				       .seq = INT64_MAX,
				       .port = 1},
				  back = there_and_back(&m);

		assert_int_equal(back.seq, type == KEEPER_OUTPUT ? INT64_MAX : 0);
		keeper_msg_fini(&back);
	}
}

static void
mistakes_are_named(void **state)
{
	static const struct {
		const char *line, *text;
	} rows[] = {
		{"", "cannot decode a line"},
		{"[]", "no object"},
		{"{\"type\":\"gone\"}", "cannot decode gone: $.id is missing or wrong"},
		{"{\"type\":\"gone\",\"id\":7}", "cannot decode gone: $.id is missing or wrong"},
		{"{\"type\":\"gone\",\"id\":\"\xe2\x82\xac\"}", "$.id is missing or wrong"},
		{"{\"type\":\"ended\",\"id\":\"i\",\"status\":-1}", "$.status is missing or wrong"},
		{"{\"type\":\"ended\",\"id\":\"i\",\"status\":1.5}",
		 "$.status is missing or wrong"},
		{"{\"type\":\"start\",\"id\":\"i\",\"revision\":\"r\",\"port\":65536}",
		 "$.port is missing or wrong"},
		{"{\"type\":\"start\",\"id\":\"i\",\"revision\":\"r\",\"port\":1,\"argv\":[1]}",
		 "$.argv is missing or wrong"},
		{"{\"type\":\"start\",\"id\":\"i\",\"revision\":\"r\",\"port\":1,\"argv\":\"x\"}",
		 "$.argv is missing or wrong"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct keeper_msg m;
		struct err e = {0};

		assert_int_equal(keeper_msg_decode(&m, rows[i].line, strlen(rows[i].line), &e), -1);
		if (strstr(e.text, rows[i].text) == NULL)
			fail_msg("%s: %s", rows[i].line, e.text);
		keeper_msg_fini(&m);
	}
}

static void
later_versions_are_not_a_mistake(void **state)
{
	static const char *const lines[] = {"{\"type\":\"later\",\"x\":[{}]}", "{}",
					    "{\"type\":1}"};
	static const char gone[] = "{\"type\":\"gone\",\"id\":\"i\",\"more\":{\"a\":1}}";
	struct keeper_msg m;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(lines); i++) {
		assert_int_equal(keeper_msg_decode(&m, lines[i], strlen(lines[i]), &e), 0);
		assert_int_equal(m.type, KEEPER_UNKNOWN);
		keeper_msg_fini(&m);
	}
	assert_int_equal(keeper_msg_decode(&m, gone, strlen(gone), &e), 0);
	assert_int_equal(m.type, KEEPER_GONE);
	keeper_msg_fini(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_survives_any_bytes),
		cmocka_unit_test(log_settings_have_bounds),
		cmocka_unit_test(instance_survives),
		cmocka_unit_test(all_types_survive),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(later_versions_are_not_a_mistake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
