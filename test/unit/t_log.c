/* log: lines in each format, with values of all kinds. */
#include "test/unit/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/clk.h"
#include "common/log.h"

#define LINE_MOST 4096

/* The line from `from` on, which is behind its time, without the newline. */
static char *
line_of(void (*fn)(void *), void *arg, const char *from)
{
	char *text = unit_stderr_of(fn, arg), *at = strstr(text, from), *line;

	assert_non_null(at);
	assert_int_equal(text[strlen(text) - 1], '\n');
	text[strlen(text) - 1] = '\0';
	assert_null(strchr(text, '\n'));
	line = xstrdup(at);
	free(text);
	return line;
}

static void
expect(void (*fn)(void *), void *arg, const char *from, const char *line)
{
	char *got = line_of(fn, arg, from);

	assert_string_equal(got, line);
	free(got);
}

static void
write_kinds(void *arg)
{
	log_info(arg, "instance is ready", "id=%s ms=%" PRId64 " load=%.2f at=%s:%d big=%zu", "a-1",
		 INT64_C(-250), 0.5, "127.0.0.1", 80, SIZE_MAX);
}

static void
one_line_in_each_format(void **state)
{
	struct log_tag tag;

	(void)state;
	log_tag_set(&tag, "w=%d rev=%s", 2, "shop/v7");
	log_open(LOG_INFO, LOG_LOGFMT, "activator");
	expect(write_kinds, &tag, "level=",
	       "level=info program=activator w=2 rev=shop/v7 msg=\"instance is ready\" id=a-1 "
	       "ms=-250 load=0.50 at=127.0.0.1:80 big=18446744073709551615");
	log_open(LOG_INFO, LOG_JSON, "activator");
	expect(write_kinds, &tag, "\"level\"",
	       "\"level\":\"info\",\"program\":\"activator\",\"w\":2,\"rev\":\"shop/v7\","
	       "\"msg\":\"instance is ready\",\"id\":\"a-1\",\"ms\":-250,\"load\":0.50,"
	       "\"at\":\"127.0.0.1:80\",\"big\":18446744073709551615}");
	log_open(LOG_INFO, LOG_TEXT, "activator");
	expect(write_kinds, &tag, "activator",
	       "activator  instance is ready  w=2 rev=shop/v7 id=a-1 ms=-250 load=0.50 "
	       "at=127.0.0.1:80 big=18446744073709551615");
}

static void
write_bare(void *arg)
{
	(void)arg;
	log_error(NULL, "it broke", "");
}

static void
no_pairs(void **state)
{
	(void)state;
	log_open(LOG_INFO, LOG_LOGFMT, "p");
	expect(write_bare, NULL, "level=", "level=error program=p msg=\"it broke\"");
	log_open(LOG_INFO, LOG_JSON, "p");
	expect(write_bare, NULL, "\"level\"",
	       "\"level\":\"error\",\"program\":\"p\",\"msg\":\"it broke\"}");
	log_open(LOG_INFO, LOG_TEXT, "p");
	expect(write_bare, NULL, "p  ", "p  error: it broke");
}

static void
write_value(void *arg)
{
	log_warn(NULL, "m", "a=%s b=%d", (const char *)arg, 7);
}

static void
values_are_quoted_where_needed(void **state)
{
	static const struct {
		const char *value, *logfmt, *json;
	} rows[] = {
		{"plain-1.2/x:y", "plain-1.2/x:y", "\"plain-1.2/x:y\""},
		{"", "\"\"", "\"\""},
		{"two words", "\"two words\"", "\"two words\""},
		{"x b=9", "\"x b=9\"", "\"x b=9\""}, /* must not look like another pair */
		{"k=v", "\"k=v\"", "\"k=v\""},
		{"say \"hi\" \\", "\"say \\\"hi\\\" \\\\\"", "\"say \\\"hi\\\" \\\\\""},
		{"a\nb\r\tc", "\"a\\nb\\r\\tc\"", "\"a\\nb\\r\\tc\""},
		{"\x1b[31m\x7f", "\"\\x1b[31m\\x7f\"", "\"\\u001b[31m\\u007f\""},
		{"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x9a\x80",
		 "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x9a\x80\"",
		 "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x9a\x80\""},
		{"\xff\xc3", "\"\\xff\\xc3\"", "\"\\ufffd\\ufffd\""},
		{"\xed\xa0\x80", "\"\\xed\\xa0\\x80\"", "\"\\ufffd\\ufffd\\ufffd\""},
		{"\xc0\x80\xe0\x80\x80\xf5", "\"\\xc0\\x80\\xe0\\x80\\x80\\xf5\"",
		 "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\""},
		{"42", "42", "\"42\""}, /* %s is a string */
	};
	char line[256], value[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(value, sizeof value, "%s", rows[i].value);
		log_open(LOG_INFO, LOG_LOGFMT, "p");
		snprintf(line, sizeof line, "msg=\"m\" a=%s b=7", rows[i].logfmt);
		expect(write_value, value, "msg=", line);
		log_open(LOG_INFO, LOG_JSON, "p");
		snprintf(line, sizeof line, "\"msg\":\"m\",\"a\":%s,\"b\":7}", rows[i].json);
		expect(write_value, value, "\"msg\"", line);
	}
}

static void
write_numbers(void *arg)
{
	double zero = 0;

	(void)arg;
	log_info(NULL, "m", "a=%f b=%f c=%05d d=%x e=%u%% f=%g g=%.*f h=%dms", 0 / zero, 1 / zero,
		 42, 255u, 3u, 1e300, 1, 2.25, 9);
}

static void
only_numbers_are_numbers_in_json(void **state)
{
	(void)state;
	log_open(LOG_INFO, LOG_JSON, "p");
	expect(write_numbers, NULL, "\"b\"",
	       "\"b\":\"inf\",\"c\":\"00042\",\"d\":\"ff\",\"e\":\"3%\",\"f\":1e+300,"
	       "\"g\":2.2,\"h\":\"9ms\"}");
}

static void
long_lines_are_cut_and_stay_whole(void **state)
{
	static char value[3 * LINE_MOST];
	static const char *const units[] = {"x", "\"", "\x01", "\xff", "\xe2\x82\xac", " y"};
	size_t i, n, u;

	(void)state;
	for (u = 0; u < ARRAY_LEN(units); u++)
		for (n = LINE_MOST - 120; n < LINE_MOST + 20; n++) {
			size_t len = strlen(units[u]);
			json_t *json;
			char *text;

			for (i = 0; i + len <= n; i += len)
				memcpy(value + i, units[u], len);
			value[i] = '\0';
			log_open(LOG_INFO, LOG_JSON, "p");
			text = unit_stderr_of(write_value, value);
			assert_true(strlen(text) <= LINE_MOST);
			json = json_loads(text, 0, NULL);
			assert_non_null(json);
			json_decref(json);
			free(text);
			log_open(LOG_INFO, LOG_LOGFMT, "p");
			text = unit_stderr_of(write_value, value);
			assert_true(strlen(text) <= LINE_MOST);
			assert_int_equal(text[strlen(text) - 1], '\n');
			free(text);
		}
	memset(value, 'x', sizeof value - 1);
	log_open(LOG_INFO, LOG_LOGFMT, "p");
	{
		char *text = unit_stderr_of(write_value, value);

		assert_string_equal(text + strlen(text) - 6, "x...\"\n");
		free(text);
	}
}

static void
write_levels(void *arg)
{
	(void)arg;
	log_trace(NULL, "t", "");
	log_debug(NULL, "d", "");
	log_info(NULL, "i", "");
	log_warn(NULL, "w", "");
	log_error(NULL, "e", "");
}

static void
levels_below_are_silent(void **state)
{
	char *text;

	(void)state;
	log_open(LOG_WARN, LOG_LOGFMT, "p");
	text = unit_stderr_of(write_levels, NULL);
	assert_null(strstr(text, "msg=\"i\""));
	assert_non_null(strstr(text, "msg=\"w\""));
	assert_non_null(strstr(text, "msg=\"e\""));
	free(text);
}

static void
errno_is_kept(void **state)
{
	char *text;

	(void)state;
	log_open(LOG_INFO, LOG_LOGFMT, "p");
	errno = EXDEV;
	text = unit_stderr_of(write_bare, NULL);
	free(text);
	close(-1);
	errno = EXDEV;
	log_at(LOG_DEBUG, NULL, "silent", "");
	assert_int_equal(errno, EXDEV);
}

static int64_t fake_now;

static int64_t
fake_clock(void)
{
	return fake_now;
}

static void
write_limited(void *arg)
{
	const int *times = arg;
	int i;

	for (i = 0; i < *times; i++)
		log_warn_limited(NULL, "too often", "i=%d", i);
}

static size_t
lines_in(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static void
what_traffic_causes_is_limited(void **state)
{
	int many = 1000, one = 1;
	char *text;

	(void)state;
	log_open(LOG_INFO, LOG_LOGFMT, "p");
	clk_replace(fake_clock);
	fake_now = 5 * CLK_S;
	text = unit_stderr_of(write_limited, &many);
	assert_int_equal(lines_in(text), 10);
	free(text);
	fake_now = 6 * CLK_S;
	text = unit_stderr_of(write_limited, &one);
	assert_int_equal(lines_in(text), 2);
	assert_non_null(strstr(text, "msg=\"log lines dropped\" message=\"too often\" count=990"));
	free(text);
	fake_now = 7 * CLK_S;
	text = unit_stderr_of(write_limited, &one);
	assert_int_equal(lines_in(text), 1);
	free(text);
	clk_replace(NULL);
}

static void *
write_many(void *arg)
{
	int i;

	for (i = 0; i < 200; i++)
		log_info(NULL, "from a thread", "who=%s i=%d", (const char *)arg, i);
	return NULL;
}

static void
write_from_threads(void *arg)
{
	static char names[4][8] = {"one", "two", "three", "four"};
	pthread_t threads[4];
	size_t i;

	(void)arg;
	for (i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, names[i]), 0);
	for (i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
}

static void
lines_of_threads_are_never_torn(void **state)
{
	char *text, *line, *rest;
	size_t n = 0;

	(void)state;
	log_open(LOG_INFO, LOG_JSON, "p");
	text = unit_stderr_of(write_from_threads, NULL);
	for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		json_t *json = json_loads(line, 0, NULL);

		assert_non_null(json);
		json_decref(json);
		n++;
	}
	assert_int_equal(n, 800);
	free(text);
}

static char *
drain(int fd)
{
	char *text = xcalloc(1, 1 << 20);
	size_t n = 0;
	ssize_t got;

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while ((got = read(fd, text + n, (1 << 20) - 1 - n)) > 0)
		n += (size_t)got;
	return text;
}

#define UNREAD_LINES 1000

/* How many lines text says were lost.  A report is shorter than what was lost, and may fit
 * where that did not. */
static uint64_t
reported_in(const char *text)
{
	static const char report[] = "standard error was not read\" count=";
	uint64_t n = 0;

	while ((text = strstr(text, report)) != NULL) {
		text += sizeof report - 1;
		n += strtoull(text, NULL, 10);
	}
	return n;
}

static size_t
written_in(const char *text)
{
	size_t n = 0;

	while ((text = strstr(text, "nothing reads this")) != NULL) {
		text++;
		n++;
	}
	return n;
}

static void
write_unread(const int ends[2])
{
	int saved = dup(STDERR_FILENO), i, flags;
	uint64_t before = log_lost(), lost;
	char *text, *later;

	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	for (i = 0; i < UNREAD_LINES; i++)
		log_info(NULL, "nothing reads this", "i=%d fill=%0*d", i, 200, 0);
	flags = fcntl(STDERR_FILENO, F_GETFL);
	lost = log_lost() - before;
	text = drain(ends[0]);
	log_info(NULL, "there is room again", "");
	later = drain(ends[0]);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	assert_int_equal(flags & O_NONBLOCK, 0); /* others share this open file */
	assert_in_range(lost, 1, UNREAD_LINES - 1);
	assert_int_equal(written_in(text), UNREAD_LINES - lost);
	assert_int_equal(reported_in(text) + reported_in(later), lost);
	assert_non_null(strstr(later, "there is room again"));
	free(text);
	free(later);
	close(ends[0]);
	close(ends[1]);
}

static void
what_nothing_reads_is_lost_and_counted(void **state)
{
	int ends[2], size = 4096;

	(void)state;
	log_open(LOG_INFO, LOG_LOGFMT, "p");
	assert_int_equal(pipe(ends), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, size) >= size);
	write_unread(ends);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	write_unread(ends);
}

struct journal {
	enum log_format format;
	bool is_other; /* JOURNAL_STREAM names another socket */
};

static void
write_to_journal(void *arg)
{
	const struct journal *j = arg;
	struct stat st;
	char stream[64];

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino + j->is_other);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open(LOG_DEBUG, j->format, "p");
	log_debug(NULL, "m", "a=%d", 1);
	log_info(NULL, "m", "a=%d", 2);
	log_warn(NULL, "m", "a=%d", 3);
	log_error(NULL, "m", "a=%d", 4);
	assert_string_equal(log_priority(LOG_ERROR), j->is_other ? "" : "<3>");
	unsetenv("JOURNAL_STREAM");
}

static void
the_journal_gets_priorities(void **state)
{
	struct journal j = {LOG_LOGFMT, false};
	char *text = unit_stderr_of(write_to_journal, &j);

	(void)state;
	assert_string_equal(text, "<7>level=debug program=p msg=\"m\" a=1\n"
				  "<6>level=info program=p msg=\"m\" a=2\n"
				  "<4>level=warn program=p msg=\"m\" a=3\n"
				  "<3>level=error program=p msg=\"m\" a=4\n");
	free(text);
	j.format = LOG_TEXT;
	text = unit_stderr_of(write_to_journal, &j);
	assert_string_equal(text, "<7>p  debug: m  a=1\n<6>p  m  a=2\n"
				  "<4>p  warning: m  a=3\n<3>p  error: m  a=4\n");
	free(text);
	j.format = LOG_JSON; /* for programs that read it from the journal: they need the time */
	text = unit_stderr_of(write_to_journal, &j);
	assert_memory_equal(text, "<7>{\"ts\":\"", 10);
	free(text);
	j = (struct journal){LOG_LOGFMT, true};
	text = unit_stderr_of(write_to_journal, &j);
	assert_memory_equal(text, "ts=", 3);
	free(text);
	log_open(LOG_INFO, LOG_LOGFMT, "p");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line_in_each_format),
		cmocka_unit_test(no_pairs),
		cmocka_unit_test(values_are_quoted_where_needed),
		cmocka_unit_test(only_numbers_are_numbers_in_json),
		cmocka_unit_test(long_lines_are_cut_and_stay_whole),
		cmocka_unit_test(levels_below_are_silent),
		cmocka_unit_test(errno_is_kept),
		cmocka_unit_test(what_traffic_causes_is_limited),
		cmocka_unit_test(lines_of_threads_are_never_torn),
		cmocka_unit_test(what_nothing_reads_is_lost_and_counted),
		cmocka_unit_test(the_journal_gets_priorities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
