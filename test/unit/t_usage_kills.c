/* The usage journal against what truly ran, over kills.
 *
 * A process with a ledger is told of instances and requests, in a time of its own, while its disk
 * fills up and has room again, syncs fail, and the wall clock steps.  It is killed: at any moment
 *by its parent, or after any byte of a write.  The next one goes on with the same journal, and with
 * the instances that still run.  What truly ran is in memory that outlives them.  At the end /usage
 * must have, for each revision and hour,
 *	at least	what was written when the process saw that all was written
 *	at most		what ran while one of these processes observed it.
 * A process that ends in order loses nothing.
 *
 * USAGE_KILLS: how many are killed; USAGE_SEED: another course of events. */
#include "unit.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "autoscaler/usage/ledger.h"
#include "common/clk.h"
#include "common/jget.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"

#define REVISIONS 3
#define INSTANCES 4
#define HOURS 4096
#define HOUR_FIRST INT64_C(498000) /* of the wall clock, in 2026 */
#define HOUR_NS (3600 * CLK_S)
#define WRITE_EVERY (11 * CLK_S) /* longer than that of the ledger */

static const char *const names[REVISIONS] = {"a/v1", "a/v2", "b/v1"};

/* What a revision has used in an hour. */
struct used {
	double requests, answered, refused, bytes_out, cold_starts, cold_wait_s, instance_s, starts;
};
#define USED_N (sizeof(struct used) / sizeof(double))
static const char *const used_names[USED_N] = {"requests",   "answered_2xx", "refused_queue_full",
					       "bytes_out",  "cold_starts",  "cold_wait_s",
					       "instance_s", "starts"};

struct instance {
	uint64_t n; /* 0: none */
	int64_t started_ns;
};

/* Outlives the processes. */
static struct world {
	_Atomic int64_t now_ns, wall_ns;
	uint32_t random;
	uint64_t instances_n;
	struct instance instances[REVISIONS][INSTANCES];
	struct used ran[REVISIONS][HOURS];     /* while a process observed it */
	struct used written[REVISIONS][HOURS]; /* of that, when the process saw that all was */
	struct used lost[REVISIONS][HOURS];    /* at most, by processes that were killed */
	double unobserved_s;		       /* instance-seconds while there was no process */
	_Atomic bool is_full;		       /* the disk */
	_Atomic int64_t bytes_left; /* of writes, until the process is killed; < 0: by its parent */
	_Atomic uint64_t syncs, full, failed_syncs, torn;
	uint64_t steps, checks, orderly;
} * world;

static char *dir;

/* --- the disk --- */

static bool
is_file(int fd)
{
	struct stat st;

	return world != NULL && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static ssize_t
put(int fd, const void *data, size_t n)
{
	return (ssize_t)syscall(SYS_write, fd, data, n);
}

/* Any call of the program, in place of the C library's. */
ssize_t
write(int fd, const void *data, size_t n)
{
	int64_t left;

	if (!is_file(fd))
		return put(fd, data, n);
	if (atomic_load(&world->is_full)) {
		world->full++;
		if (n > 1 && put(fd, data, n / 3) == (ssize_t)(n / 3) && n / 3 > 0)
			return (ssize_t)(n / 3); /* and the next call gets nothing */
		errno = ENOSPC;
		return -1;
	}
	left = atomic_load(&world->bytes_left);
	if (left < 0)
		return put(fd, data, n);
	if ((size_t)left < n) {
		world->torn++;
		if (put(fd, data, (size_t)left) >= 0)
			kill(getpid(), SIGKILL);
	}
	atomic_store(&world->bytes_left, left - (int64_t)n);
	return put(fd, data, n);
}

/* The page cache outlives a process, so nothing needs to reach the disk. */
int
fdatasync(int fd)
{
	(void)fd;
	if (world != NULL && ++world->syncs % 50 == 0) {
		world->failed_syncs++;
		errno = EIO;
		return -1;
	}
	return 0;
}

int
fsync(int fd)
{
	return fdatasync(fd);
}

/* --- time --- */

static int64_t
now(void)
{
	return world->now_ns;
}

static int64_t
wall(void)
{
	return world->wall_ns;
}

/* 0 to n - 1. */
static uint32_t
pick(uint32_t n)
{
	world->random = world->random * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)(world->random >> 8) * n) >> 24);
}

static struct used *
used_now(struct used (*v)[HOURS], size_t revision)
{
	int64_t hour = world->wall_ns / HOUR_NS - HOUR_FIRST;

	assert_true(hour >= 0 && hour < HOURS);
	return &v[revision][hour];
}

static size_t
running(size_t revision)
{
	size_t i, n = 0;

	for (i = 0; i < INSTANCES; i++)
		n += world->instances[revision][i].n != 0;
	return n;
}

/* Time passes; is_observed: by a process. */
static void
pass(int64_t ns, bool is_observed)
{
	size_t i;

	while (ns > 0) {
		int64_t step = MIN(ns, HOUR_NS - world->wall_ns % HOUR_NS);

		for (i = 0; i < REVISIONS; i++) {
			double ran_s = (double)running(i) * (double)step / CLK_S;

			if (is_observed)
				used_now(world->ran, i)->instance_s += ran_s;
			else
				world->unobserved_s += ran_s;
		}
		world->now_ns += step;
		world->wall_ns += step;
		ns -= step;
	}
}

/* The wall clock is set, by less than a minute or by days. */
static void
step_clock(void)
{
	int64_t by = pick(2) == 0 ? (int64_t)pick(60) * CLK_S : (int64_t)pick(60) * HOUR_NS;
	int64_t upto = world->wall_ns + (pick(2) == 0 ? by : -by);

	/* Within a few days, so that their files grow until they are rewritten. */
	if (llabs(upto / HOUR_NS - HOUR_FIRST - HOURS / 2) > 72)
		return;
	world->steps++;
	world->wall_ns = upto;
}

/* --- a process --- */

static void
show(struct ledger *l, size_t revision)
{
	struct driver_instance v[INSTANCES] = {{.id = NULL}};
	char ids[INSTANCES][24];
	struct driver_view view = {
		.revision = (char *)(uintptr_t)names[revision], .is_known = true, .v = v};
	size_t i;

	for (i = 0; i < INSTANCES; i++) {
		const struct instance *from = &world->instances[revision][i];

		if (from->n == 0)
			continue;
		snprintf(ids[i], sizeof ids[i], "i%llu", (unsigned long long)from->n);
		v[view.n++] = (struct driver_instance){.id = ids[i],
						       .state = INSTANCE_READY,
						       .started_ns = from->started_ns,
						       .cpu_s = -1};
	}
	ledger_view(l, &view);
}

static void
start_or_stop(struct ledger *l)
{
	size_t revision = pick(REVISIONS);
	struct instance *one = &world->instances[revision][pick(INSTANCES)];

	if (one->n == 0) {
		used_now(world->ran, revision)->starts++;
		*one = (struct instance){++world->instances_n, world->now_ns};
	} else {
		one->n = 0;
	}
	show(l, revision);
}

static void
report(struct ledger *l)
{
	size_t revision = pick(REVISIONS);
	struct request_counts counts = {.bytes_out = pick(1000000), .cold_starts = pick(3)};
	struct msg_stat s = {.name = (char *)(uintptr_t)names[revision], .counts = &counts};
	const struct msg m = {.type = MSG_STATS, .u.stats = {.period_ms = 1000, .v = &s, .n = 1}};
	struct used *ran = used_now(world->ran, revision);

	counts.ends[REQUEST_2XX] = pick(50);
	counts.ends[REQUEST_QUEUE_FULL] = pick(2);
	counts.requests = counts.ends[REQUEST_2XX] + counts.ends[REQUEST_QUEUE_FULL];
	counts.cold_wait_s = (double)counts.cold_starts / 4;
	ran->requests += (double)counts.requests;
	ran->answered += (double)counts.ends[REQUEST_2XX];
	ran->refused += (double)counts.ends[REQUEST_QUEUE_FULL];
	ran->bytes_out += (double)counts.bytes_out;
	ran->cold_starts += (double)counts.cold_starts;
	ran->cold_wait_s += counts.cold_wait_s;
	ledger_message(l, 1, &m);
}

static bool
is_all_written(const struct ledger *l)
{
	struct ledger_counts c;

	ledger_counts(l, &c);
	return c.waiting == 0;
}

#define TABLE_N (REVISIONS * HOURS * USED_N)

/* All that has run is written now, but for what earlier processes have lost. */
static void
note_written(const double *ran)
{
	double *written = (double *)world->written;
	const double *lost = (const double *)world->lost;
	size_t i;

	for (i = 0; i < TABLE_N; i++)
		written[i] = ran[i] - lost[i];
}

/* A process begins. */
static void
note_lost(void)
{
	const double *ran = (const double *)world->ran, *written = (const double *)world->written;
	double *lost = (double *)world->lost;
	size_t i;

	for (i = 0; i < TABLE_N; i++)
		lost[i] = ran[i] - written[i];
}

/* Wait until all that has happened is written, and remember it. */
static void
check(struct ledger *l)
{
	static double ran[TABLE_N];
	int i;

	memcpy(ran, world->ran, sizeof ran);
	for (i = 0; i < 2; i++) { /* so that no part is too young to be written */
		pass(WRITE_EVERY, true);
		ledger_tick(l);
	}
	for (i = 0; !is_all_written(l); i++) {
		usleep(100);
		if (i % 100 == 99) { /* after a failure the thread waits for more to write */
			pass(WRITE_EVERY, true);
			ledger_tick(l);
		}
	}
	world->checks++;
	note_written(ran);
}

static void
happen(struct ledger *l)
{
	uint32_t what = pick(100);

	if (what < 40)
		report(l);
	else if (what < 60)
		start_or_stop(l);
	else if (what < 62)
		step_clock();
	else if (what < 64)
		atomic_store(&world->is_full, !atomic_load(&world->is_full));
	else if (what < 68 && !atomic_load(&world->is_full))
		check(l);
	pass((int64_t)pick(4000) * CLK_MS, true);
	ledger_tick(l);
}

static struct ledger *
open_ledger(struct loop *loop, const char *run)
{
	struct ledger *l = ledger_open(loop, &(struct ledger_conf){.state_dir = dir,
								   .run = run,
								   .days_max = 3660,
								   .bytes_max = 1 << 28});
	size_t i;

	ledger_revisions_begin(l);
	for (i = 0; i < REVISIONS; i++)
		ledger_revisions_add(l, names[i], NULL, NULL, false);
	ledger_revisions_end(l);
	return l;
}

/* events: after so many it ends in order; 0: never. */
static void
live(const char *run, unsigned events)
{
	struct err e;
	struct loop *loop = loop_new(&e);
	struct ledger *l = open_ledger(loop, run);
	unsigned i;

	note_lost();
	for (i = 0; i < REVISIONS; i++)
		show(l, i);
	for (i = 0; events == 0 || i < events; i++)
		happen(l);
	atomic_store(&world->is_full, false);
	check(l); /* what fails while it ends would be lost */
	ledger_close(&l);
	note_written((const double *)world->ran);
	world->orderly++;
	_exit(0);
}

/* Returns the wait status. */
static int
run_one(unsigned n)
{
	char *run = xasprintf("r%u", n);
	bool is_orderly = pick(10) == 0;
	bool is_torn = !is_orderly && pick(2) == 0;
	uint32_t after_us = pick(20000), events = 1 + pick(300);
	int status;
	pid_t pid;

	atomic_store(&world->bytes_left, is_torn ? (int64_t)pick(60000) : -1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		live(run, is_orderly ? events : 0);
	if (!is_orderly && !is_torn) {
		usleep(after_us);
		kill(pid, SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	free(run);
	return status;
}

/* --- the books --- */

struct books {
	struct used v[REVISIONS][HOURS];
	bool is_there;
};

static void
take_row(struct books *b, const struct jget *row, struct err *e)
{
	char *revision = NULL, *begin = NULL;
	double v[USED_N];
	struct tm tm = {.tm_mday = 0};
	size_t i, r;

	assert_int_equal(jget_string(row, "revision", JGET_MUST, &revision, e), 0);
	assert_int_equal(jget_string(row, "begin", JGET_MUST, &begin, e), 0);
	assert_non_null(strptime(begin, "%Y-%m-%dT%H:%M:%SZ", &tm));
	for (i = 0; i < USED_N; i++) {
		v[i] = 0;
		assert_int_equal(jget_double(row, used_names[i], JGET_MAY, 0, 1e18, &v[i], e), 0);
	}
	for (r = 0; strcmp(names[r], revision) != 0; r++)
		assert_true(r + 1 < REVISIONS);
	memcpy(&b->v[r][timegm(&tm) / 3600 - HOUR_FIRST], v, sizeof v);
	free(revision);
	free(begin);
}

static void
on_usage(const char *why, const struct strbuf *lines, void *arg)
{
	struct books *b = arg;
	const char *at = why == NULL ? lines->data : NULL, *end;
	struct err e;

	assert_null(why);
	b->is_there = true;
	for (; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		char *type = NULL;
		struct jget row;
		struct json_t *doc = jget_open(at, (size_t)(end - at), &row, &e);

		assert_non_null(doc);
		assert_int_equal(jget_string(&row, "type", JGET_MUST, &type, &e), 0);
		if (strcmp(type, "usage") == 0)
			take_row(b, &row, &e);
		free(type);
		jget_close(&doc);
	}
}

static void
read_books(struct books *b, struct ledger_counts *counts)
{
	struct err e;
	struct loop *loop = loop_new(&e);
	struct ledger *l = open_ledger(loop, "last");
	const struct ledger_ask ask = {
		.from = "0", .to = "2100-01-01", .by = "hour,revision", .done = on_usage, .arg = b};

	while (ledger_ask(l, &ask, &e) < 0) { /* the journal is being read */
		loop_once(loop, false);
		usleep(100);
	}
	while (!b->is_there)
		loop_once(loop, false);
	ledger_counts(l, counts);
	ledger_close(&l);
	loop_free(&loop);
}

/* What is written down is rounded to millionths, for each part. */
static bool
is_between(double least, double got, double most)
{
	double slack = 1e-3 + got * 1e-9;

	return got >= least - slack && got <= most + slack;
}

static void
compare(const struct books *b, double sums[3][USED_N])
{
	size_t r, h, i;

	for (r = 0; r < REVISIONS; r++)
		for (h = 0; h < HOURS; h++)
			for (i = 0; i < USED_N; i++) {
				double least = ((const double *)&world->written[r][h])[i];
				double got = ((const double *)&b->v[r][h])[i];
				double most = ((const double *)&world->ran[r][h])[i];

				sums[0][i] += least;
				sums[1][i] += got;
				sums[2][i] += most;
				if (!is_between(least, got, most))
					fail_msg("%s of %s in hour %zu: got %.6f, expected %.6f to "
						 "%.6f",
						 used_names[i], names[r], h, got, least, most);
			}
}

static void
print_sums(unsigned kills, double sums[3][USED_N], const struct ledger_counts *counts)
{
	size_t i;

	printf("%u processes, of which %llu ended in order and %llu were killed within a write; "
	       "%llu checks; the disk was full in %llu writes, %llu syncs failed, the wall clock stepped %llu times; "
	       "%llu broken records\n",
	       kills, (unsigned long long)world->orderly, (unsigned long long)world->torn,
	       (unsigned long long)world->checks, (unsigned long long)world->full,
	       (unsigned long long)world->failed_syncs, (unsigned long long)world->steps,
	       (unsigned long long)counts->broken);
	printf("%-20s %15s %15s %15s\n", "", "known written", "/usage", "truly ran");
	for (i = 0; i < USED_N; i++)
		printf("%-20s %15.0f %15.0f %15.0f\n", used_names[i], sums[0][i], sums[1][i],
		       sums[2][i]);
	printf("%-20s %47.0f\n", "instance_s while no process observed", world->unobserved_s);
}

static long
number_of(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtol(text, NULL, 10);
}

static void
usage_is_what_ran(void **state)
{
	unsigned n = (unsigned)number_of("USAGE_KILLS", 40), i;
	static struct books books;
	struct ledger_counts counts;
	double sums[3][USED_N] = {{0}};

	(void)state;
	world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_true(world != MAP_FAILED);
	world->now_ns = clk_now(); /* and ahead of it: threads wait by the true clock */
	world->wall_ns = (HOUR_FIRST + HOURS / 2) * HOUR_NS + 1800 * CLK_S;
	world->random = (uint32_t)number_of("USAGE_SEED", 1);
	clk_replace(now);
	clk_replace_wall(wall);
	for (i = 0; i < n; i++) {
		int status = run_one(i);

		assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL
						: WEXITSTATUS(status) == 0);
		pass((int64_t)pick(60000) * CLK_MS, false);
	}
	atomic_store(&world->is_full, false);
	atomic_store(&world->bytes_left, -1);
	read_books(&books, &counts);
	assert_int_equal(counts.dropped, 0);
	compare(&books, sums);
	print_sums(n, sums, &counts);
	clk_replace(NULL);
	munmap(world, sizeof *world);
	world = NULL;
}

static int
setup(void **state)
{
	(void)state;
	dir = unit_dir();
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
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(usage_is_what_ran, setup, teardown),
	};

	log_open(LOG_ERROR, LOG_LOGFMT, "t_usage_kills");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
