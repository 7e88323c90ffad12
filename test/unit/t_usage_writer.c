/* queue and writer: what waits to be written, and what the log says when the disk fails. */
#include "unit.h"

#include "autoscaler/usage/hours.h"
#include "autoscaler/usage/journal.h"
#include "autoscaler/usage/queue.h"
#include "autoscaler/usage/writer.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"

#define HOUR INT64_C(498876) /* 2026-11-29T12:00Z */

static char name[] = "a/v1", none[] = "", run[] = "r";
static const struct account account = {name, none, none};

/* --- the queue --- */

static size_t
put(struct queue *q, uint64_t part, int64_t hour, double requests)
{
	return queue_put(q, part, hour, &account, &(struct amounts){.requests = requests});
}

/* Are the first lines these: parts and requests?  Drops them. */
static void
expect(struct queue *q, size_t most, int64_t day, const char *const *parts, size_t n)
{
	const char *at;
	struct strbuf text;
	int64_t got_day;
	size_t i;

	strbuf_init(&text, 0);
	assert_int_equal(queue_encode(q, most, run, &got_day, &text), n);
	assert_int_equal(got_day, day);
	at = strbuf_str(&text);
	for (i = 0; i < n; i++) {
		const char *end = strchr(at, '\n'), *found = strstr(at, parts[i]);

		assert_true(found != NULL && found < end);
		at = end + 1;
	}
	assert_string_equal(at, "");
	strbuf_fini(&text);
	queue_drop(q, n);
}

#define EXPECT(q, most, day, ...)                                                                  \
	do {                                                                                       \
		static const char *const parts[] = {__VA_ARGS__};                                  \
		expect(q, most, day, parts, ARRAY_LEN(parts));                                     \
	} while (0)

static void
the_newest_record_of_a_part_waits(void **state)
{
	struct queue *q = queue_new(10);

	(void)state;
	assert_int_equal(put(q, 1, HOUR, 11), 0);
	assert_int_equal(put(q, 2, HOUR, 12), 0);
	assert_int_equal(put(q, 1, HOUR, 13), 0);
	assert_int_equal(put(q, 3, HOUR + 24, 14), 0);
	assert_int_equal(queue_n(q), 3);
	EXPECT(q, 1, HOUR / 24,
	       "\"part\":2,\"hour\":498876,\"revision\":\"a/v1\",\"requests\":12}");
	EXPECT(q, 9, HOUR / 24,
	       "\"part\":1,\"hour\":498876,\"revision\":\"a/v1\",\"requests\":13}");
	EXPECT(q, 9, HOUR / 24 + 1, "\"part\":3,");
	assert_int_equal(queue_n(q), 0);
	queue_free(&q);
}

static void
the_oldest_record_goes(void **state)
{
	struct queue *q = queue_new(3), *newer = queue_new(3);
	uint64_t part;

	(void)state;
	for (part = 1; part <= 3; part++)
		assert_int_equal(put(q, part, HOUR, 1), 0);
	assert_int_equal(put(q, 1, HOUR, 2), 0); /* it is the newest now */
	assert_int_equal(put(q, 4, HOUR, 1), 1);
	assert_int_equal(put(newer, 3, HOUR, 7), 0);
	assert_int_equal(put(newer, 5, HOUR, 1), 0);
	assert_int_equal(queue_merge(q, &newer), 1);
	assert_null(newer);
	EXPECT(q, 9, HOUR / 24, "\"part\":4,", "\"part\":3,", "\"part\":5,");
	queue_free(&q);
}

/* --- the writer --- */

static char *dir, *folder;
static struct loop *loop;
static struct writer *writer;

static void
on_loaded(struct hours *hours, void *arg)
{
	(void)arg;
	hours_free(&hours);
}

static int
setup(void **state)
{
	struct hours *hours = hours_new(UINT64_MAX);
	struct journal *journal;
	struct err e;

	(void)state;
	dir = unit_dir();
	folder = xasprintf("%s/usage", dir);
	journal = journal_new(&(struct journal_conf){dir, run, 90, 1 << 20});
	loop = loop_new(&e);
	writer = writer_start(loop, run, &journal, &hours, on_loaded, NULL, &e);
	assert_non_null(writer);
	return 0;
}

static int
teardown(void **state)
{
	char *command = xasprintf("rm -rf '%s'", dir);

	(void)state;
	assert_null(writer);
	loop_free(&loop);
	assert_int_equal(system(command), 0);
	free(command);
	free(folder);
	free(dir);
	return 0;
}

/* How often standard error, which is a file, has the text. */
static int
heard(const char *text)
{
	static char all[16384];
	ssize_t n = pread(STDERR_FILENO, all, sizeof all - 1, 0);
	const char *at = all;
	int found = 0;

	assert_true(n >= 0);
	all[n] = '\0';
	while ((at = strstr(at, text)) != NULL) {
		found++;
		at++;
	}
	return found;
}

static void
await(const char *text, int n)
{
	while (heard(text) < n)
		usleep(1000);
}

/* Each day is another file, which has to be opened. */
static void
write_day(int64_t day)
{
	writer_put(writer, (uint64_t)day, day * 24, &account, &(struct amounts){.requests = 1});
	writer_flush(writer);
}

static void
block(void)
{
	assert_int_equal(close(open(folder, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600)), 0);
}

static void
two_outages(void *arg)
{
	char *aside = xasprintf("%s/aside", dir);

	(void)arg;
	block();
	write_day(20000);
	await("cannot write usage", 1);
	write_day(20000); /* fails in silence, or not at all */
	assert_int_equal(unlink(folder), 0);
	write_day(20001);
	await("usage is written again", 1);
	while (writer_written(writer) < 2) /* the outage may end before the second is there */
		usleep(1000);
	assert_int_equal(rename(folder, aside), 0);
	block();
	write_day(20002);
	await("cannot write usage", 2);
	writer_stop(&writer);
	free(aside);
}

/* Each has one line at its beginning and one at its end. */
static void
an_outage_has_a_beginning_and_an_end(void **state)
{
	char *log;

	(void)state;
	log = unit_stderr_of(two_outages, NULL);
	assert_non_null(strstr(log, "msg=\"usage is written again\" lost_records=0"));
	assert_non_null(strstr(log, "msg=\"usage could not be written\" lost_records=1"));
	assert_null(strstr(strstr(strstr(log, "cannot write") + 1, "cannot write") + 1,
			   "cannot write"));
	free(log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_record_of_a_part_waits),
		cmocka_unit_test(the_oldest_record_goes),
		cmocka_unit_test_setup_teardown(an_outage_has_a_beginning_and_an_end, setup,
						teardown),
	};

	log_open(LOG_INFO, LOG_LOGFMT, "t_usage_writer");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
