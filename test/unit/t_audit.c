/* audit, audit_record, audit_lines and append_file: what is written, what a full or slow disk
 * costs, and what is found of it afterwards. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/append_file.h"
#include "common/audit.h"
#include "common/audit_lines.h"
#include "common/clk.h"
#include "common/file.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"

static _Atomic bool no_cancel;

/* The last sync of each of the first files. */
static struct sync {
	_Atomic ino_t ino;
	_Atomic off_t size;
} syncs[16];
static _Atomic bool is_sync_broken;

/* In place of that of the C library. */
int
fdatasync(int fd)
{
	struct stat st;
	size_t i;

	if (is_sync_broken) {
		errno = EIO;
		return -1;
	}
	if (fstat(fd, &st) < 0)
		return -1;
	for (i = 0; i < ARRAY_LEN(syncs); i++) {
		if (syncs[i].ino != 0 && syncs[i].ino != st.st_ino)
			continue;
		syncs[i].ino = st.st_ino;
		syncs[i].size = st.st_size;
		break;
	}
	return 0;
}

struct world {
	struct loop *loop;
	char *folder, *path, *old;
	struct audit *audit;
	struct audit_left *left;
	size_t left_n;
	bool has_left;
};

static void
on_left(struct audit_left *v, size_t n, void *arg)
{
	struct world *w = arg;

	audit_left_free(&w->left, w->left_n);
	w->left = v;
	w->left_n = n;
	w->has_left = true;
}

static const struct audit_ops ops = {.left = on_left};

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct err e;

	log_open(LOG_INFO, LOG_LOGFMT, "t");
	w->loop = loop_new(&e);
	assert_non_null(w->loop);
	w->folder = unit_dir();
	w->path = xasprintf("%s/audit", w->folder);
	w->old = xasprintf("%s.1", w->path);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	audit_close(&w->audit);
	audit_left_free(&w->left, w->left_n);
	loop_free(&w->loop);
	unlink(w->path);
	unlink(w->old);
	assert_int_equal(rmdir(w->folder), 0);
	free(w->old);
	free(w->path);
	free(w->folder);
	free(w);
	return 0;
}

static void
open_audit(struct world *w, const char *path, uint64_t max_bytes)
{
	const struct audit_conf conf = {.path = path, .max_bytes = max_bytes, .program = "t"};
	struct err e;

	w->audit = audit_open(w->loop, &conf, &ops, w, &e);
	assert_non_null(w->audit);
}

static void
await_left(struct world *w)
{
	while (!w->has_left)
		loop_once(w->loop, false);
	w->has_left = false;
}

static const struct audit_change change = {
	.subject = {.kind = AUDIT_SCALE, .service = "a", .revision = "a/v1"},
	.by = {.kind = AUDIT_BY_RULE, .name = "idle", .why = "no \"requests\""},
	.from = {.is_known = true, .n = 2},
	.to = {.is_known = true, .n = 0}};

/* So many changes, each done. */
static void
make(struct world *w, int n)
{
	struct audit_entry entry;

	for (; n > 0; n--) {
		audit_intent(w->audit, &entry, &change);
		audit_outcome(w->audit, &entry, AUDIT_DONE, NULL, AUDIT_NUMBER(0));
		assert_string_equal(entry.id, "");
	}
}

static char *
text_of(const char *path)
{
	struct err e;

	return file_read(path, (size_t)1 << 24, NULL, &e);
}

static size_t
count(const char *text, const char *part)
{
	size_t n = 0;

	for (; text != NULL && (text = strstr(text, part)) != NULL; text++)
		n++;
	return n;
}

static size_t
count_in(const char *path, const char *part)
{
	char *text = text_of(path);
	size_t n = count(text, part);

	free(text);
	return n;
}

/* So many records, whatever the disk takes for them. */
static void
await_written(struct world *w, uint64_t n)
{
	struct audit_counts counts;

	do {
		audit_settle(w->audit);
		audit_count(w->audit, &counts);
		usleep(100);
	} while (counts.written < n);
}

/* --- the lines */

static void
expect_line(const struct strbuf *line, const char *text)
{
	assert_string_equal(strbuf_str(line), text);
}

#define BEGIN "{\"time\":\"2026-11-30T19:40:00.000001Z\",\"id\":\"x-1\",\"event\":"

static void
lines_say_who_what_and_when(void **state)
{
	const struct audit_stamp stamp = {.id = "x-1",
					  .program = "t",
					  .pid = 7,
					  .wall_ns = INT64_C(1796067600) * CLK_S + CLK_US};
	struct audit_change c = change;
	struct strbuf line;

	(void)state;
	strbuf_init(&line, 0);
	audit_record_intent(&stamp, &c, &line);
	expect_line(&line,
		    BEGIN "\"intent\",\"program\":\"t\",\"pid\":7,\"kind\":\"scale\","
			  "\"service\":\"a\",\"revision\":\"a/v1\",\"by\":{\"kind\":\"rule\","
			  "\"name\":\"idle\",\"why\":\"no \\\"requests\\\"\"},"
			  "\"from\":2,\"to\":0}\n");
	strbuf_clear(&line);
	c = (struct audit_change){.subject = {.kind = AUDIT_ROUTE, .service = "a", .generation = 3},
				  .by = {.kind = AUDIT_BY_COMMAND,
					 .name = "traffic",
					 .peer = {.pid = 8, .uid = 0, .login_uid = 1000}},
				  .to = AUDIT_TEXT("v1 100%"),
				  .what = "w"};
	audit_record_intent(&stamp, &c, &line);
	expect_line(&line, BEGIN
		    "\"intent\",\"program\":\"t\",\"pid\":7,\"kind\":\"route\",\"service\":\"a\","
		    "\"generation\":3,\"by\":{\"kind\":\"command\",\"name\":\"traffic\",\"pid\":8,"
		    "\"uid\":0,\"login_uid\":1000},\"from\":null,\"to\":\"v1 100%\","
		    "\"what\":\"w\"}\n");
	strbuf_clear(&line);
	audit_record_outcome(&stamp, &c.subject,
			     &(struct audit_end){.result = AUDIT_FAILED,
						 .why = "no",
						 .took_ns = 1500 * CLK_US,
						 .is_after_restart = true},
			     &line);
	expect_line(&line, BEGIN "\"outcome\",\"program\":\"t\",\"pid\":7,\"kind\":\"route\","
				 "\"service\":\"a\",\"generation\":3,\"result\":\"failed\","
				 "\"why\":\"no\",\"took_ms\":1.5,\"after_restart\":true}\n");
	strbuf_fini(&line);
}

static void
only_whole_records_count(void **state)
{
	static const char *const broken[] = {
		"",
		"{}",
		"{\"time\":\"2026",
		"{\"time\":\"t\",\"id\":\"i\",\"event\":\"intent\"",
		"{\"time\":\"t\",\"id\":\"i\",\"event\":\"}",
		"x{\"time\":\"t\",\"id\":\"i\",\"event\":\"intent\"}",
	};
	static const char whole[] = "{\"time\":\"t\",\"id\":\"i\",\"event\":\"intent\"}";
	struct audit_mark m;
	struct audit_left l;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(broken); i++)
		assert_false(audit_record_mark(broken[i], strlen(broken[i]), &m));
	assert_true(audit_record_mark(whole, strlen(whole), &m));
	assert_true(m.is_intent && !m.is_outcome && m.id_n == 1);
	assert_int_equal(audit_record_parse(whole, strlen(whole), &l, &e), -1); /* no kind */
	assert_int_equal(audit_record_parse("{", 1, &l, &e), -1);
}

/* --- the file */

static void
each_change_is_two_lines(void **state)
{
	struct world *w = *state;
	struct audit_counts counts;
	struct stat st;

	open_audit(w, w->path, 0);
	make(w, 100);
	audit_settle(w->audit);
	audit_close(&w->audit);
	assert_int_equal(count_in(w->path, "\"intent\""), 100);
	assert_int_equal(count_in(w->path, "\"outcome\""), 100);
	assert_int_equal(stat(w->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	audit_count(NULL, &counts);
	assert_int_equal(counts.lost, 0);
}

static void
no_audit_does_nothing(void **state)
{
	struct world *w = *state;

	make(w, 3); /* NULL */
	open_audit(w, NULL, 0);
	assert_null(audit_path(w->audit));
	make(w, 3);
	audit_settle(w->audit);
	audit_close(&w->audit);
	assert_int_equal(access(w->path, F_OK), -1);
}

static void
a_file_that_cannot_be_opened_is_an_error(void **state)
{
	struct world *w = *state;
	const struct audit_conf conf = {.path = "/no/such/folder/audit", .program = "t"};
	struct err e;

	assert_null(audit_open(w->loop, &conf, &ops, w, &e));
	assert_non_null(strstr(e.text, "/no/such/folder/audit"));
	open_audit(w, w->path, 0);
	assert_int_equal(audit_move(w->audit, "/no/such/folder/audit", 0, &e), -1);
	make(w, 1);
	audit_close(&w->audit);
	assert_int_equal(count_in(w->path, "\"outcome\""), 1);
}

static void
it_goes_off_and_on_and_elsewhere(void **state)
{
	struct world *w = *state;
	char *other = xasprintf("%s/other", w->folder);
	struct audit_entry entry;
	struct err e;

	open_audit(w, NULL, 0);
	assert_int_equal(audit_move(w->audit, w->path, 0, &e), 0);
	audit_intent(w->audit, &entry, &change);
	audit_settle(w->audit);
	assert_int_equal(audit_move(w->audit, NULL, 0, &e), 0);
	make(w, 1);
	audit_outcome(w->audit, &entry, AUDIT_DONE, NULL, AUDIT_NUMBER(0));
	audit_settle(w->audit);
	assert_int_equal(audit_move(w->audit, w->path, 0, &e), 0);
	audit_intent(w->audit, &entry, &change);
	assert_int_equal(audit_move(w->audit, other, 0, &e), 0);
	audit_outcome(w->audit, &entry, AUDIT_DONE, NULL, AUDIT_NUMBER(0));
	make(w, 1);
	audit_close(&w->audit);
	assert_int_equal(count_in(w->path, "\"intent\""), 2);
	assert_int_equal(count_in(w->path, "\"outcome\""), 2);
	assert_int_equal(count_in(other, "\"intent\""), 1);
	assert_int_equal(count_in(other, "\"outcome\""), 1);
	unlink(other);
	free(other);
}

static void
a_full_file_is_renamed(void **state)
{
	struct world *w = *state;
	struct stat st;
	int i;

	open_audit(w, w->path, 1000);
	for (i = 0; i < 50; i++) {
		make(w, 1);
		await_written(w, 2 * ((uint64_t)i + 1));
	}
	audit_close(&w->audit);
	assert_int_equal(stat(w->old, &st), 0);
	assert_true(st.st_size >= 1000 && st.st_size < 3000);
	assert_true(count_in(w->path, "\"outcome\"") < 10);
}

static void
rotate_a_locked_file(void *arg)
{
	struct world *w = arg;
	struct append_file f;
	struct err e;
	int other;

	append_file_init(&f, "t", w->path, 4);
	assert_int_equal(append_file_open(&f, &e), 0);
	assert_int_equal(write(f.fd, "1234\n", 5), 5);
	append_file_wrote(&f, 5);
	other = open(w->path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(other, LOCK_EX), 0);
	assert_false(append_file_turn(&f)); /* it may be about to rotate the file */
	assert_true(f.locked_from_ns > 0);
	f.locked_from_ns -= 10 * CLK_S;
	assert_true(append_file_turn(&f));
	assert_int_equal(f.locked_from_ns, 0);
	assert_int_equal(count_in(w->old, "1234"), 1);
	assert_int_equal(count_in(w->path, "1234"), 0);
	append_file_close(&f);
	close(other);
}

static void
a_reader_cannot_stop_the_rotation(void **state)
{
	char *log = unit_stderr_of(rotate_a_locked_file, *state);

	assert_int_equal(count(log, "keeps a file of lines locked"), 1);
	free(log);
}

static void
expect_synced(const char *path)
{
	struct stat st;
	size_t i;

	assert_int_equal(stat(path, &st), 0);
	for (i = 0; i < ARRAY_LEN(syncs) && syncs[i].ino != st.st_ino; i++)
		;
	assert_true(i < ARRAY_LEN(syncs));
	assert_int_equal(syncs[i].size, st.st_size);
}

static void
a_file_is_synced_before_it_is_left(void **state)
{
	struct world *w = *state;
	int i;

	for (i = 0; i < (int)ARRAY_LEN(syncs); i++)
		syncs[i].ino = 0;
	open_audit(w, w->path, 0);
	for (i = 1; i <= 10; i++) {
		make(w, 1);
		await_written(w, 2 * (uint64_t)i);
	}
	assert_int_equal(rename(w->path, w->old), 0);
	audit_reopen(w->audit);
	audit_close(&w->audit);
	expect_synced(w->old);
	open_audit(w, w->path, 1);
	make(w, 1);
	await_written(w, 2);
	make(w, 1); /* the file before is renamed */
	audit_close(&w->audit);
	expect_synced(w->old);
	expect_synced(w->path);
}

static void
break_the_sync(void *arg)
{
	struct world *w = arg;
	struct audit_counts counts;

	is_sync_broken = true;
	open_audit(w, w->path, 0);
	make(w, 1);
	do {
		audit_count(w->audit, &counts);
		usleep(100);
	} while (counts.lost < 1);
	make(w, 1);
	await_written(w, 4);
	is_sync_broken = false;
	audit_close(&w->audit);
}

static void
a_sync_that_fails_is_tried_again_and_its_records_are_lost(void **state)
{
	struct world *w = *state;
	char *log = unit_stderr_of(break_the_sync, w);

	assert_int_equal(count(log, "cannot sync the audit"), 1);
	assert_int_equal(count(log, "the audit is synced again"), 1);
	assert_int_equal(count(log, "cannot write the audit"), 0);
	free(log);
	assert_true(count_in(w->path, "\"event\":\"lost\"") >= 1);
	assert_int_equal(count_in(w->path, "\"outcome\""), 2);
}

static void
a_torn_line_ends_before_the_next(void **state)
{
	struct world *w = *state;
	FILE *f = fopen(w->path, "w");
	char *text;

	fputs("{\"time\":\"20", f);
	fclose(f);
	open_audit(w, w->path, 0);
	make(w, 1);
	audit_close(&w->audit);
	text = text_of(w->path);
	assert_non_null(strstr(text, "{\"time\":\"20\n{\"time\":\"2"));
	free(text);
}

/* --- a disk that takes no more */

static void
write_beyond_a_limit(void *arg)
{
	struct world *w = arg;
	struct rlimit before, limit;
	struct audit_counts counts;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = 1000; /* as a full disk, it takes a part of a line */
	open_audit(w, w->path, 0);
	setrlimit(RLIMIT_FSIZE, &limit);
	make(w, 20);
	await_written(w, 1);
	audit_settle(w->audit); /* until it fails */
	audit_count(w->audit, &counts);
	assert_true(counts.written < 40);
	setrlimit(RLIMIT_FSIZE, &before);
	audit_close(&w->audit); /* it tries once more */
}

static void
what_a_full_disk_has_cut_is_written_again(void **state)
{
	struct world *w = *state;
	char *log = unit_stderr_of(write_beyond_a_limit, w);
	struct audit_found found;
	struct strbuf lines;
	struct err e;

	assert_int_equal(count(log, "cannot write the audit"), 1);
	assert_int_equal(count(log, "the audit is written again"), 1);
	free(log);
	strbuf_init(&lines, 0);
	assert_int_equal(audit_lines_find(&(struct audit_search){.paths = {w->path},
								 .bytes_max = (size_t)1 << 20},
					  &no_cancel, &lines, &found, &e),
			 0);
	assert_int_equal(found.lines, 40);
	assert_true(found.broken <= 1); /* the line that was cut, and has its whole after it */
	strbuf_fini(&lines);
}

static size_t
found_in(const struct world *w, size_t *broken)
{
	struct audit_search search = {.paths = {w->path}, .bytes_max = (size_t)1 << 20};
	struct audit_found found;
	struct strbuf lines;
	struct err e;

	strbuf_init(&lines, 0);
	assert_int_equal(audit_lines_find(&search, &no_cancel, &lines, &found, &e), 0);
	strbuf_fini(&lines);
	*broken = found.broken;
	return found.lines;
}

/* As between the rename of a rotation and the new file. */
static void
a_file_with_both_names_is_read_once(void **state)
{
	struct world *w = *state;
	size_t broken;

	open_audit(w, w->path, 0);
	make(w, 5);
	audit_close(&w->audit);
	assert_int_equal(link(w->path, w->old), 0);
	assert_int_equal(found_in(w, &broken), 10);
	assert_int_equal(unlink(w->path), 0);
	assert_int_equal(found_in(w, &broken), 10);
	assert_int_equal(broken, 0);
}

static void
put_text(const struct world *w, const char *text)
{
	FILE *f = fopen(w->path, "a");

	fputs(text, f);
	fclose(f);
}

static void
records_torn_by_another_process_cost_no_other_record(void **state)
{
	struct world *w = *state;
	size_t broken;

	open_audit(w, w->path, 0);
	make(w, 1);
	audit_settle(w->audit);
	while (count_in(w->path, "outcome") != 1)
		audit_settle(w->audit);
	put_text(w,
		 "{\"time\":\"2026-11-30T19:40:00.000000Z\",\"id\":\"1\",\"event\":\"outcome\",");
	make(w, 1);
	audit_close(&w->audit);
	assert_int_equal(found_in(w, &broken), 4);
	assert_int_equal(broken, 1);
	/* Both in one line. */
	put_text(w,
		 "{\"time\":\"2026-11-30T19:40:00.000000Z\",\"id\":\"1\",\"event\":\"outcome\",");
	put_text(w,
		 "{\"time\":\"2026-11-30T19:40:00.000000Z\",\"id\":\"2\",\"event\":\"intent\"}\n");
	/* Its middle is lost. */
	put_text(
		w,
		"{\"time\":\"2026-11-30T19:40:00.000000Z\",\"id\":\"3\",\"event\":\"intent\",,}\n");
	assert_int_equal(found_in(w, &broken), 4);
	assert_int_equal(broken, 3);
}

static void
fill_the_queue(void *arg)
{
	struct world *w = arg;
	struct audit_counts counts;

	open_audit(w, "/dev/full", 0);
	make(w, 50000);
	audit_settle(w->audit); /* it does not wait for what fails */
	audit_count(w->audit, &counts);
	assert_int_equal(counts.written, 0);
	assert_true(counts.lost > 0 && counts.lost < 100000);
	audit_close(&w->audit);
}

static void
a_queue_has_a_bound(void **state)
{
	char *log = unit_stderr_of(fill_the_queue, *state);

	assert_int_equal(
		count(log, "cannot write the audit") + count(log, "audit records are lost"), 1);
	assert_int_equal(count(log, "the audit could not be written"), 1);
	free(log);
}

#define MOVES 5
#define CHANGES 20000 /* between two moves: more than the queue holds */

static void
move_with_a_full_queue(void *arg)
{
	struct world *w = arg;
	struct audit_counts counts;
	struct err e;
	int i;

	assert_int_equal(symlink("/dev/full", w->path), 0);
	open_audit(w, "/dev/full", 0);
	for (i = 0; i < MOVES; i++) {
		assert_int_equal(audit_move(w->audit, i % 2 == 0 ? w->path : "/dev/full", 0, &e),
				 0);
		make(w, CHANGES);
		assert_int_equal(audit_move(w->audit, audit_path(w->audit), 0, &e), 0);
	}
	audit_count(w->audit, &counts);
	/* A record has more than 100 bytes, and 8 MiB of them wait at most. */
	assert_true(counts.lost > 2 * MOVES * CHANGES - (8 << 20) / 100);
	audit_close(&w->audit);
}

static void
the_bound_of_the_queue_holds_over_moves(void **state)
{
	free(unit_stderr_of(move_with_a_full_queue, *state));
}

static void
lose_and_go_on(void *arg)
{
	struct world *w = arg;
	struct err e;

	open_audit(w, "/dev/full", 0);
	make(w, 50000);
	assert_int_equal(audit_move(w->audit, w->path, 0, &e), 0);
	make(w, 1);
	audit_close(&w->audit);
}

static void
the_file_tells_of_lost_records(void **state)
{
	struct world *w = *state;
	char *log = unit_stderr_of(lose_and_go_on, w);

	assert_int_equal(count_in(w->path, "\"event\":\"lost\""), 1);
	assert_true(count_in(w->path, "\"event\":\"intent\"") > 1000);
	free(log);
}

/* --- what was left */

static void
put_line(const struct world *w, const char *id, const char *event, const char *program)
{
	FILE *f = fopen(w->path, "a");

	fprintf(f,
		"{\"time\":\"2026-11-30T19:40:00.000000Z\",\"id\":\"%s\",\"event\":\"%s\","
		"\"program\":\"%s\",\"pid\":1,\"kind\":\"scale\",\"service\":\"a\","
		"\"revision\":\"a/v1\",\"to\":3}\n",
		id, event, program);
	fclose(f);
}

static void
intents_of_processes_that_have_ended_are_found(void **state)
{
	struct world *w = *state;
	char *own = audit_lines_run(clk_wall()), *parent;
	char text[512], *at;
	unsigned long long start;
	FILE *f;

	/* The parent runs, and its start is known. */
	snprintf(text, sizeof text, "/proc/%d/stat", (int)getppid());
	f = fopen(text, "r");
	assert_non_null(fgets(text, sizeof text, f));
	fclose(f);
	at = strrchr(text, ')');
	assert_int_equal(sscanf(at,
				") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
				"%*d %*d %*d %llu",
				&start),
			 1);
	parent = xasprintf("%x-%llx-1-1", (unsigned)getppid(), start);
	put_line(w, "0-1-1-1", "intent", "t"); /* no such process */
	put_line(w, "0-1-1-2", "intent", "t");
	put_line(w, "0-1-1-2", "outcome", "t");
	put_line(w, "0-1-1-3", "intent", "another program");
	put_line(w, parent, "intent", "t");
	snprintf(text, sizeof text, "%s-1", own); /* this process, before an execve */
	put_line(w, text, "intent", "t");
	f = fopen(w->path, "a");
	fputs("garbage\n", f);
	fclose(f);
	open_audit(w, w->path, 0);
	await_left(w);
	assert_int_equal(w->left_n, 2);
	assert_int_equal(w->left[0].to, 3);
	assert_string_equal(w->left[0].revision, "a/v1");
	audit_end_left(w->audit, &w->left[0], AUDIT_DONE, NULL, AUDIT_NUMBER(3));
	audit_end_left(w->audit, &w->left[1], AUDIT_UNKNOWN, "why", AUDIT_NUMBER(3));
	make(w, 1);
	audit_close(&w->audit);
	open_audit(w, w->path, 0);
	await_left(w);
	assert_int_equal(w->left_n, 0);
	free(parent);
	free(own);
}

static void
a_killed_process_leaves_its_intent(void **state)
{
	struct world *w = *state;
	struct audit_entry entry;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		open_audit(w, w->path, 0);
		make(w, 10);
		audit_intent(w->audit, &entry, &change);
		audit_settle(w->audit);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	open_audit(w, w->path, 0);
	await_left(w);
	assert_int_equal(w->left_n, 1);
	assert_int_equal(w->left[0].kind, AUDIT_SCALE);
	audit_look(w->audit);
	await_left(w);
	assert_int_equal(w->left_n, 1);
}

/* --- searching */

static size_t
found_by(const struct world *w, const char *name, int64_t since_ns, size_t bytes_max,
	 struct audit_found *found)
{
	const struct audit_search search = {.paths = {w->path, w->old},
					    .name = name,
					    .since_ns = since_ns,
					    .bytes_max = bytes_max};
	struct strbuf lines;
	struct err e;
	size_t n;

	strbuf_init(&lines, 0);
	assert_int_equal(audit_lines_find(&search, &no_cancel, &lines, found, &e), 0);
	n = count(strbuf_str(&lines), "\n");
	strbuf_fini(&lines);
	return n;
}

static void
lines_are_found_by_name_and_time(void **state)
{
	struct world *w = *state;
	int64_t day = 86400 * CLK_S, then = INT64_C(1796067600) * CLK_S; /* of put_line() */
	struct audit_found found;
	int i;

	for (i = 0; i < 10; i++)
		put_line(w, "0-1-1-1", "intent", "t");
	assert_int_equal(found_by(w, NULL, 0, 1000000, &found), 10);
	assert_int_equal(found_by(w, "a", 0, 1000000, &found), 10);
	assert_int_equal(found_by(w, "a/v1", then, 1000000, &found), 10);
	assert_int_equal(found_by(w, "a/v2", 0, 1000000, &found), 0);
	assert_int_equal(found_by(w, NULL, then + day, 1000000, &found), 0);
	assert_int_equal(found_by(w, NULL, 0, 500, &found) + found.left_out, 10);
	assert_true(found.left_out > 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_say_who_what_and_when, setup, teardown),
		cmocka_unit_test_setup_teardown(only_whole_records_count, setup, teardown),
		cmocka_unit_test_setup_teardown(each_change_is_two_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(no_audit_does_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_that_cannot_be_opened_is_an_error, setup,
						teardown),
		cmocka_unit_test_setup_teardown(it_goes_off_and_on_and_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_file_is_renamed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reader_cannot_stop_the_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_is_synced_before_it_is_left, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_sync_that_fails_is_tried_again_and_its_records_are_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(a_torn_line_ends_before_the_next, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_full_disk_has_cut_is_written_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_file_with_both_names_is_read_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			records_torn_by_another_process_cost_no_other_record, setup, teardown),
		cmocka_unit_test_setup_teardown(a_queue_has_a_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(the_bound_of_the_queue_holds_over_moves, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_file_tells_of_lost_records, setup, teardown),
		cmocka_unit_test_setup_teardown(intents_of_processes_that_have_ended_are_found,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_killed_process_leaves_its_intent, setup,
						teardown),
		cmocka_unit_test_setup_teardown(lines_are_found_by_name_and_time, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
