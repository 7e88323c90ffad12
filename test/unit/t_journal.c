/* journal: what is written is read again, whatever happens to the last record, to any byte, to the
 * process, or to the disk. */
#include "unit.h"

#include <math.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "autoscaler/usage/hours.h"
#include "autoscaler/usage/journal.h"
#include "autoscaler/usage/record.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/strbuf.h"

#define DAY INT64_C(20787) /* 2026-11-30 */
#define PATH "%s/usage/2026-11-30.journal"
#define BYTES_MAX ((uint64_t)1 << 30)

static char *dir, *path;

static int
setup(void **state)
{
	(void)state;
	dir = unit_dir();
	path = xasprintf(PATH, dir);
	return 0;
}

static int
teardown(void **state)
{
	char *command = xasprintf("rm -rf '%s'", dir);

	(void)state;
	assert_int_equal(system(command), 0);
	free(command);
	free(dir);
	free(path);
	return 0;
}

static struct journal *
journal_of(const char *run, uint32_t days_max, uint64_t bytes_max)
{
	return journal_new(&(struct journal_conf){dir, run, days_max, bytes_max});
}

/* A record of the day's hour `hour` with so many requests. */
static void
add_record(struct strbuf *out, const char *run, uint64_t part, int64_t day, int64_t hour,
	   const char *revision, double requests)
{
	char *r = xstrdup(run), *name = xstrdup(revision), owner[] = "team", none[] = "";
	const struct usage_record record = {.run = r,
					    .part = part,
					    .hour = day * 24 + hour,
					    .account = {name, owner, none},
					    .amounts = {.requests = requests, .peak = 2}};

	record_encode(&record, out);
	free(r);
	free(name);
}

static int
append(struct journal *j, const char *run, uint64_t part, int64_t day, double requests)
{
	struct strbuf text;
	struct err e;
	int rc;

	strbuf_init(&text, 0);
	add_record(&text, run, part, day, 7, "a/v1", requests);
	rc = journal_append(j, day, text.data, text.len, &e);
	strbuf_fini(&text);
	return rc;
}

static void
add_requests(int64_t hour, const struct account *account, const struct amounts *a, void *arg)
{
	(void)hour;
	assert_string_equal(account->revision, "a/v1");
	assert_string_equal(account->owner, "team");
	assert_string_equal(account->cost_center, "");
	*(double *)arg += a->requests;
}

/* What another process finds: the requests of all records. */
static double
loaded(void)
{
	struct hours *hours = hours_new(UINT64_MAX);
	struct journal *j = journal_of("reader", 90, BYTES_MAX);
	double sum = 0;

	journal_load(j, hours);
	hours_each(hours, INT64_MIN, INT64_MAX, add_requests, &sum);
	hours_free(&hours);
	journal_free(&j);
	return sum;
}

static char *
read_file(size_t *n)
{
	FILE *f = fopen(path, "re");
	char *text = xcalloc(1, 1 << 20);

	assert_non_null(f);
	*n = fread(text, 1, 1 << 20, f);
	fclose(f);
	return text;
}

static void
write_file(const char *text, size_t n)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* --- order --- */

static void
the_last_record_of_a_part_counts(void **state)
{
	struct journal *j = journal_of("r1", 90, BYTES_MAX);
	struct stat st;

	(void)state;
	assert_true(loaded() == 0);
	assert_int_equal(append(j, "r1", 1, DAY, 3), 0);
	assert_int_equal(append(j, "r1", 1, DAY, 5), 0);
	assert_int_equal(append(j, "r1", 2, DAY, 10), 0);
	journal_free(&j);
	j = journal_of("r2", 90, BYTES_MAX);
	assert_int_equal(append(j, "r2", 1, DAY, 100), 0);
	journal_free(&j);
	assert_true(loaded() == 115);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
old_days_go(void **state)
{
	struct journal *j = journal_of("r", 3, BYTES_MAX);
	int64_t i;

	(void)state;
	for (i = 0; i < 6; i++)
		assert_int_equal(append(j, "r", 1, DAY + i, 1), 0);
	assert_true(loaded() == 3);
	/* The clock was wrong: the file that is being written stays, and so do the newest. */
	assert_int_equal(append(j, "r", 2, 0, 10), 0);
	assert_true(loaded() == 13);
	assert_int_equal(append(j, "r", 1, DAY + 6, 1), 0);
	assert_true(loaded() == 3);
	journal_free(&j);
}

static void
bytes_are_bounded(void **state)
{
	struct journal *j = journal_of("r", 90, 1000);
	int64_t i;

	(void)state;
	for (i = 0; i < 6; i++)
		assert_int_equal(append(j, "r", 1, DAY + i, 1), 0);
	assert_true(loaded() == 6);
	for (i = 1; append(j, "r", (uint64_t)i, DAY + 5, 1) == 0; i++)
		assert_true(i < 100);
	assert_true(loaded() == (double)(i - 1));	      /* the other days have made room */
	assert_int_equal(append(j, "r", 1, DAY + 6, 100), 0); /* … and this one does for the next */
	assert_true(loaded() == 100);
	journal_free(&j);
}

/* Before records are refused, outdated ones go, though most are not. */
static void
a_full_file_is_rewritten(void **state)
{
	struct journal *j = journal_of("r", 90, 100 << 10);
	double requests;
	uint64_t part = 0;

	(void)state;
	while (part < 600) /* some 70 KiB that stay */
		assert_int_equal(append(j, "r", ++part, DAY, 1), 0);
	for (requests = 2; requests < 600; requests++)
		assert_int_equal(append(j, "r", part, DAY, requests), 0);
	assert_true(loaded() == 599 + 599);
	while (append(j, "r", ++part, DAY, 1) == 0) /* now nothing is outdated */
		assert_true(part < 2000);
	assert_in_range(part, 700, 1500);
	assert_true(loaded() == 599 + (double)part - 1 - 600 + 599);
	journal_free(&j);
}

/* 20,000 records of 40 parts are 40 records in the end. */
static void
a_file_of_outdated_records_is_rewritten(void **state)
{
	struct journal *j = journal_of("r", 90, BYTES_MAX);
	struct strbuf text;
	struct stat st;
	struct err e;
	uint64_t i, k;

	(void)state;
	assert_int_equal(append(j, "earlier", 1, DAY, 1000), 0);
	assert_int_equal(append(j, "earlier", 2, DAY, 1000), 0);
	strbuf_init(&text, 0);
	for (i = 1; i <= 500; i++) {
		for (k = 0; k < 40; k++)
			add_record(&text, "r", k, DAY, (int64_t)(k % 24), "a/v1", (double)i);
		assert_int_equal(journal_append(j, DAY, text.data, text.len, &e), 0);
		strbuf_clear(&text);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_in_range(st.st_size, 1000, 300 << 10);
	assert_true(loaded() == 2000 + 40 * 500);
	assert_int_equal(append(j, "r", 0, DAY + 1, 7), 0); /* and when its day is over */
	assert_int_equal(stat(path, &st), 0);
	assert_true(loaded() == 2000 + 40 * 500 + 7);
	strbuf_fini(&text);
	journal_free(&j);
}

/* --- damage --- */

/* Three records each of two parts; returns the text. */
static char *
six_records(size_t *n)
{
	struct journal *j = journal_of("r", 90, BYTES_MAX);
	int i;

	for (i = 1; i <= 3; i++) {
		assert_int_equal(append(j, "r", 1, DAY, i), 0);
		assert_int_equal(append(j, "r", 2, DAY, 10 * i), 0);
	}
	journal_free(&j);
	return read_file(n);
}

static void
load_into(void *arg)
{
	*(double *)arg = loaded();
}

/* Cut off after each byte, written on, and read. */
static void
a_torn_record_costs_only_itself(void **state)
{
	static const double sums[] = {0, 1, 11, 12, 22, 23, 33};
	size_t n, cut, lines = 0;
	char *text;

	(void)state;
	text = six_records(&n);
	for (cut = 0; cut <= n; cut++) {
		/* all of a line but its newline is a whole record */
		size_t whole = lines + (cut < n && text[cut] == '\n');
		struct journal *j;
		double sum = -1;
		char *log;

		write_file(text, cut);
		log = unit_stderr_of(load_into, &sum);
		assert_true(sum == sums[whole]);
		assert_int_equal(strstr(log, "skipped broken records") != NULL,
				 cut > 0 && text[cut - 1] != '\n' && whole == lines);
		free(log);
		j = journal_of("r2", 90, BYTES_MAX);
		assert_int_equal(append(j, "r2", 1, DAY, 1000), 0);
		journal_free(&j);
		free(unit_stderr_of(load_into, &sum));
		assert_true(sum == sums[whole] + 1000);
		lines += cut < n && text[cut] == '\n';
	}
	assert_true(n > 500);
	free(text);
}

/* Is it what some of the records say: of each part one of the three, or none? */
static bool
is_possible(double sum)
{
	int a, b;

	for (a = 0; a <= 3; a++)
		for (b = 0; b <= 3; b++)
			if (sum == a + 10 * b)
				return true;
	return false;
}

static void
flipped_bits_are_noticed(void **state)
{
	size_t n, at;
	char *text;

	(void)state;
	text = six_records(&n);
	for (at = 0; at < n * 8; at += 3) {
		double sum = -1;
		char *log;

		text[at / 8] ^= (char)(1 << at % 8);
		write_file(text, n);
		text[at / 8] ^= (char)(1 << at % 8);
		log = unit_stderr_of(load_into, &sum);
		assert_true(is_possible(sum) && sum >= 22); /* two of the last are enough */
		assert_true(strstr(log, "skipped broken records") != NULL || sum == 33);
		free(log);
	}
	assert_true(n * 8 / 3 > 1000);
	free(text);
}

/* Another program may have written them, checksum and all. */
static void
names_that_no_service_has_are_skipped(void **state)
{
	static const char *const wrong[] = {"",	       "a",	"/v1",	  "a/",	   "a/v1/x",
					    "=1+1/v1", "a/v 1", "a/v1\n", "-a/v1", "\xc3\xa4/v1"};
	struct journal *j = journal_of("r", 90, BYTES_MAX);
	struct strbuf text;
	struct err e;
	double sum = -1;
	char *log;
	size_t i;

	(void)state;
	strbuf_init(&text, 0);
	add_record(&text, "r", 100, DAY, 7, "a/v1", 1);
	for (i = 0; i < ARRAY_LEN(wrong); i++)
		add_record(&text, "r", i, DAY, 7, wrong[i], 1);
	assert_int_equal(journal_append(j, DAY, text.data, text.len, &e), 0);
	log = unit_stderr_of(load_into, &sum);
	assert_true(sum == 1);
	assert_non_null(strstr(log, "broken=10 of=11"));
	assert_non_null(strstr(log, "expected SERVICE/REVISION"));
	free(log);
	strbuf_fini(&text);
	journal_free(&j);
}

static void
other_files_do_no_harm(void **state)
{
	char *other = xasprintf("%s/usage/2026-12-01.journal", dir);
	char *odd = xasprintf("%s/usage/notes.txt", dir);
	double sum;
	char *log;

	(void)state;
	free(six_records(&(size_t){0}));
	assert_int_equal(mkdir(odd, 0700), 0);
	assert_int_equal(symlink("/dev/zero", other), 0);
	assert_true(loaded() == 33);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0)), 0);
	log = unit_stderr_of(load_into, &sum);
	assert_true(sum == 33);
	free(log);
	free(other);
	free(odd);
}

/* --- death --- */

#define KILL_PARTS 600 /* some 70 KiB at a time, so that the file is rewritten often */

/* Appends for ever; counts in *done how often. */
static void
append_for_ever(uint64_t *done, const char *run)
{
	struct journal *j = journal_of(run, 90, BYTES_MAX);
	struct strbuf text;
	struct err e;
	uint64_t i, k;

	strbuf_init(&text, 0);
	for (i = 1;; i++) {
		strbuf_clear(&text);
		for (k = 0; k < KILL_PARTS; k++)
			add_record(&text, run, k, DAY, 7, "a/v1", (double)i);
		if (journal_append(j, DAY, text.data, text.len, &e) < 0)
			_exit(1);
		__atomic_store_n(done, i, __ATOMIC_SEQ_CST);
	}
}

static void
kill_one(uint64_t *done, const char *run, useconds_t after_us)
{
	pid_t pid;
	int status;

	*done = 0;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		append_for_ever(done, run);
	while (__atomic_load_n(done, __ATOMIC_SEQ_CST) == 0)
		usleep(100);
	usleep(after_us);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* What was appended is there after a kill at any moment, and no more than one batch besides.  Set
 * JOURNAL_KILLS for more of them. */
static void
a_killed_process_loses_nothing_that_was_appended(void **state)
{
	const char *wanted = getenv("JOURNAL_KILLS");
	long i, kills = wanted == NULL ? 30 : strtol(wanted, NULL, 10);
	uint64_t *done = mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t random = 1;
	double before = 0;

	(void)state;
	assert_true(done != MAP_FAILED);
	for (i = 0; i < kills; i++) {
		char *run = xasprintf("r%ld", i);
		double sum = -1;

		random = random * 1664525 + 1013904223;
		kill_one(done, run, random >> 18);
		free(unit_stderr_of(load_into, &sum));
		assert_true(sum >= before + (double)(*done * KILL_PARTS));
		assert_true(sum <= before + (double)((*done + 1) * KILL_PARTS));
		before = sum;
		free(run);
	}
	munmap(done, sizeof *done);
}

/* --- the disk --- */

static void
limit_files(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that takes only a part of a record: nothing of it stays, and later ones are whole. */
static void
a_full_disk_leaves_whole_records(void **state)
{
	struct journal *j = journal_of("r", 90, BYTES_MAX);
	char *text;
	size_t n;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(append(j, "r", 1, DAY, 1), 0);
	free(read_file(&n));
	limit_files(n + 40);
	assert_int_equal(append(j, "r", 1, DAY, 2), -1);
	assert_int_equal(append(j, "r", 1, DAY, 3), -1);
	limit_files(RLIM_INFINITY);
	assert_true(loaded() == 1);
	assert_int_equal(append(j, "r", 1, DAY, 4), 0);
	text = read_file(&n);
	assert_null(strstr(text, "\n\n"));
	free(text);
	assert_true(loaded() == 4);
	journal_free(&j);
}

static void
no_folder_can_be_made(void **state)
{
	char *blocker = xasprintf("%s/usage", dir);
	struct journal *j = journal_of("r", 90, BYTES_MAX);

	(void)state;
	assert_int_equal(close(open(blocker, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	assert_int_equal(append(j, "r", 1, DAY, 1), -1);
	assert_int_equal(unlink(blocker), 0);
	assert_int_equal(append(j, "r", 1, DAY, 1), 0);
	assert_true(loaded() == 1);
	journal_free(&j);
	free(blocker);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_last_record_of_a_part_counts),
		TEST(old_days_go),
		TEST(bytes_are_bounded),
		TEST(a_full_file_is_rewritten),
		TEST(a_file_of_outdated_records_is_rewritten),
		TEST(a_torn_record_costs_only_itself),
		TEST(flipped_bits_are_noticed),
		TEST(names_that_no_service_has_are_skipped),
		TEST(other_files_do_no_harm),
		TEST(a_killed_process_loses_nothing_that_was_appended),
		TEST(a_full_disk_leaves_whole_records),
		TEST(no_folder_can_be_made),
	};

	log_open(LOG_WARN, LOG_LOGFMT, "t_journal");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
