/* ledger: the books outlive the process, and the loop never waits for the disk. */
#include "unit.h"

#include <sys/stat.h>
#include <time.h>

#include "autoscaler/usage/ledger.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"

static char a_v1[] = "a/v1", id[] = "i";
static char *dir;
static struct loop *loop;
static const char *params[3]; /* by, format, from */

static const char *
param(struct admin_request *req, const char *name)
{
	static const char *const names[] = {"by", "format", "from"};
	size_t i;

	(void)req;
	for (i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return params[i];
	return NULL;
}

/* A request for /usage. */
struct asked {
	struct admin_later later;
	bool is_deferred;
	int status;
	char *text; /* NULL: there is no answer yet */
};

static struct asked *asking; /* within begin() */

static void
on_answer(struct admin_later *later, int status, const char *content_type,
	  const struct strbuf *body)
{
	struct asked *a = container_of(later, struct asked, later);

	assert_null(a->text);
	assert_non_null(content_type);
	a->status = status;
	a->text = xstrdup(strbuf_str(body));
}

static struct admin_later *
defer(struct admin_request *req)
{
	(void)req;
	asking->is_deferred = true;
	asking->later.answer = on_answer;
	return &asking->later;
}

static void
begin(struct ledger *l, struct asked *a)
{
	struct strbuf body;
	struct admin_request req = {.param = param, .defer = defer, .body = &body, .status = 200};

	*a = (struct asked){.status = 0};
	asking = a;
	strbuf_init(&body, 0);
	ledger_answer(l, &req, 0);
	if (!a->is_deferred) {
		a->status = req.status;
		a->text = strbuf_take(&body);
	}
	strbuf_fini(&body);
}

static void
await(struct asked *a)
{
	while (a->text == NULL)
		loop_once(loop, false);
}

/* The status of /usage; its text is in *out, for free(). */
static int
ask(struct ledger *l, char **out)
{
	struct asked a;

	begin(l, &a);
	await(&a);
	*out = a.text;
	return a.status;
}

static void
expect(struct ledger *l, int status, const char *part)
{
	char *text;

	assert_int_equal(ask(l, &text), status);
	assert_non_null(strstr(text, part));
	free(text);
}

static struct ledger *
ledger_of(const char *run, uint32_t days_max)
{
	struct ledger *l = ledger_open(loop, &(struct ledger_conf){.state_dir = dir,
								   .run = run,
								   .days_max = days_max,
								   .bytes_max = 1 << 20});

	ledger_revisions_begin(l);
	ledger_revisions_add(l, a_v1, "team", NULL, false);
	ledger_revisions_add(l, "b/v1", NULL, NULL, false);
	ledger_revisions_end(l);
	return l;
}

static void
wait_loaded(struct ledger *l)
{
	char *text;

	while (ask(l, &text) == 503) {
		free(text);
		loop_once(loop, false);
	}
	free(text);
}

static void
report(struct ledger *l, uint64_t requests)
{
	struct msg_stat s = {.name = a_v1, .requests = requests};
	const struct msg m = {.type = MSG_STATS, .u.stats = {.period_ms = 1000, .v = &s, .n = 1}};

	ledger_message(l, 1, &m);
}

static void
wake(struct ledger *l)
{
	struct driver_instance i = {
		.id = id, .state = INSTANCE_READY, .started_ns = clk_now(), .cpu_s = -1};
	const struct driver_view view = {.revision = a_v1, .is_known = true, .v = &i, .n = 1};
	const struct msg m = {.type = MSG_ACTIVATE, .u.activate = {.revision = a_v1}};

	ledger_message(l, 1, &m);
	ledger_view(l, &view);
}

static int
setup(void **state)
{
	struct err e;

	(void)state;
	dir = unit_dir();
	loop = loop_new(&e);
	assert_non_null(loop);
	params[0] = "total";
	params[1] = "json";
	params[2] = "0";
	return 0;
}

static int
teardown(void **state)
{
	char *command = xasprintf("rm -rf '%s'", dir);

	(void)state;
	loop_free(&loop);
	assert_int_equal(system(command), 0);
	free(command);
	free(dir);
	return 0;
}

static void
the_books_outlive_the_process(void **state)
{
	struct ledger *l = ledger_of("r1", 90);

	(void)state;
	expect(l, 503, "the journal is still being read");
	report(l, 5);
	wake(l);
	wait_loaded(l);
	expect(l, 200, "\"requests\":5,");
	report(l, 2);
	params[0] = "revision";
	expect(l, 200, "\"revision\":\"a/v1\",");
	expect(l, 200, "\"revision\":\"b/v1\",");
	params[0] = "total";
	expect(l, 200, "\"wakes\":1,\"starts\":1,");
	assert_true(ledger_total(l, a_v1)->requests == 7);
	ledger_close(&l);

	l = ledger_of("r2", 90);
	wait_loaded(l);
	expect(l, 200, "\"requests\":7,");
	expect(l, 200, "\"wakes\":1,\"starts\":1,");
	params[0] = "revision";
	expect(l, 200, "\"revision\":\"a/v1\",");
	expect(l, 200, "\"revision\":\"b/v1\",");
	params[0] = "owner";
	expect(l, 200, "\"owner\":\"team\",");
	params[0] = "cost_center";
	expect(l, 200, "\"cost_center\":\"\",");
	assert_true(ledger_total(l, a_v1)->requests == 0); /* since the start of this process */
	params[2] = "x";
	expect(l, 400, "from: expected a time");
	ledger_close(&l);
}

static void
without_a_journal_memory_is_all(void **state)
{
	char *folder = xasprintf("%s/usage", dir);
	struct ledger_counts c;
	struct ledger *l = ledger_of("r1", 0);

	(void)state;
	report(l, 5);
	ledger_tick(l);
	expect(l, 200, "\"requests\":5,");
	ledger_counts(l, &c);
	assert_int_equal(c.written + c.lost, 0);
	ledger_close(&l);
	assert_int_equal(access(folder, F_OK), -1);
	free(folder);
}

static void
close_it(void *arg)
{
	ledger_close(arg);
}

/* A journal that cannot be written costs its records, which is said, and nothing else. */
static void
what_the_disk_does_not_take_is_lost_and_told(void **state)
{
	char *blocker = xasprintf("%s/usage", dir), *log;
	struct ledger *l;

	(void)state;
	assert_int_equal(close(open(blocker, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	l = ledger_of("r1", 90);
	wait_loaded(l);
	report(l, 5);
	ledger_tick(l);
	expect(l, 200, "\"requests\":5,");
	log = unit_stderr_of(close_it, &l);
	assert_non_null(strstr(log, "msg=\"cannot write usage\""));
	free(log);
	free(blocker);
}

#define MANY 600 /* revisions, whose records fill a pipe */

/* The journal of today, and of tomorrow if that begins meanwhile, is a pipe that nothing reads. */
static void
block_the_disk(void)
{
	char *folder = xasprintf("%s/usage", dir);
	int i;

	assert_int_equal(mkdir(folder, 0700), 0);
	for (i = 0; i < 2; i++) {
		time_t at = (time_t)(clk_wall() / CLK_S) + i * 86400;
		struct tm tm;
		char name[32], *path;

		gmtime_r(&at, &tm);
		strftime(name, sizeof name, "%Y-%m-%d.journal", &tm);
		path = xasprintf("%s/%s", folder, name);
		assert_int_equal(mkfifo(path, 0600), 0);
		free(path);
	}
	free(folder);
}

static void
add_many(struct ledger *l)
{
	int i;

	ledger_revisions_begin(l);
	for (i = 0; i < MANY; i++) {
		char name[16];

		snprintf(name, sizeof name, "s%d/v1", i);
		ledger_revisions_add(l, name, NULL, NULL, false);
	}
	ledger_revisions_end(l); /* a/v1 is gone, which ends its part */
}

/* A write(2) that never returns holds up the thread, and neither a wake nor the exit. */
static void
a_disk_that_hangs_holds_up_nothing(void **state)
{
	struct ledger *l;
	char *log;
	int i;

	(void)state;
	block_the_disk();
	l = ledger_of("r1", 90);
	wait_loaded(l);
	for (i = 0; i < 2; i++) {
		add_many(l);
		ledger_revisions_begin(l);
		ledger_revisions_add(l, a_v1, "team", NULL, false);
		ledger_revisions_end(l); /* their parts are final, and go to the thread */
		ledger_tick(l);
	}
	report(l, 5);
	wake(l);
	expect(l, 200, "\"requests\":5,");
	log = unit_stderr_of(close_it, &l);
	assert_non_null(strstr(log, "exiting without"));
	free(log);
}

static void
end_parts(struct ledger *l)
{
	ledger_revisions_begin(l);
	ledger_revisions_end(l);
}

/* What ends while an answer is computed is counted once, in that answer and in the next one. */
static void
an_answer_is_of_one_moment(void **state)
{
	struct ledger *l = ledger_of("r1", 0);
	struct asked first, second;

	(void)state;
	report(l, 5);
	begin(l, &first);
	assert_null(first.text); /* the loop goes on meanwhile */
	end_parts(l);
	begin(l, &second);
	await(&second);
	assert_non_null(first.text); /* in the order of the requests */
	assert_non_null(strstr(first.text, "\"requests\":5,"));
	assert_non_null(strstr(second.text, "\"requests\":5,"));
	free(first.text);
	free(second.text);
	ledger_close(&l);
}

#define ASKS 20

static void
too_many_requests_are_refused(void **state)
{
	struct ledger *l = ledger_of("r1", 0);
	struct asked v[ASKS];
	int i, refused = 0, stopped = 0;

	(void)state;
	for (i = 0; i < ASKS; i++)
		begin(l, &v[i]);
	for (i = 0; i < ASKS; i++)
		refused += v[i].text != NULL && v[i].status == 503;
	assert_int_equal(refused, ASKS - 16);
	await(&v[3]);
	assert_int_equal(v[3].status, 200);
	end_parts(l);
	ledger_close(&l);
	for (i = 0; i < ASKS; i++) {
		assert_non_null(v[i].text);
		stopped += strstr(v[i].text, "stopping") != NULL;
		free(v[i].text);
	}
	assert_in_range(stopped, 1, 12);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_books_outlive_the_process),
		TEST(without_a_journal_memory_is_all),
		TEST(what_the_disk_does_not_take_is_lost_and_told),
		TEST(a_disk_that_hangs_holds_up_nothing),
		TEST(an_answer_is_of_one_moment),
		TEST(too_many_requests_are_refused),
	};

	log_open(LOG_WARN, LOG_LOGFMT, "t_ledger");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
