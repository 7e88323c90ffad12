#include "common/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/append_file.h"
#include "common/audit_lines.h"
#include "common/clk.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"
#include "common/task.h"
#include "common/text.h"

#define QUEUE_MAX ((size_t)8 << 20) /* bytes of records that wait, in both lists */
#define BATCH_MAX ((size_t)256 << 10)
#define SYNC_EVERY (200 * CLK_MS)
#define RETRY (5 * CLK_S)
#define SETTLE_MOST (100 * CLK_MS)
#define STOP_MOST (5 * CLK_S)
#define LOOK_STOP_MOST (1 * CLK_S) /* it only reads */

struct pending_record {
	struct list_node node;
	size_t n;
	char text[];
};

struct audit {
	struct loop *loop;
	const char *program;
	const struct audit_ops *ops;
	void *arg;
	pthread_t thread;

	/* the loop's */
	char *path;	 /* NULL: it is off, or was never on … */
	bool has_thread; /* … without a thread */
	uint64_t max_bytes;
	char *run; /* with which the ids of this process begin */
	uint64_t entries;
	char *move_path; /* NULL: none; where the next intent goes */
	struct append_file move;
	bool is_look_due;	 /* once more, when the task has ended */
	struct task *task;	 /* looks for intents without an outcome; NULL: it has ended … */
	char *left_path;	 /* … in this file … */
	struct audit_left *left; /* … and has found these */
	size_t left_n;

	/* the thread's */
	struct append_file file;
	char *file_path;
	struct list taken; /* struct pending_record: to be written, or written in part */
	bool is_cut;	   /* the last line in the file has no end */
	bool is_failing;
	bool is_unsynced, is_sync_failing;
	uint64_t unsynced; /* records in the file that are neither synced nor counted as lost */
	int64_t synced_ns; /* the last attempt */
	uint64_t told;	   /* lost records that the file tells of */

	/* shared: mutex lock */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* for the thread: put, next_path, must_reopen or is_stopping */
	pthread_cond_t settled; /* for the loop: all is written, or it fails; or is_ended */
	struct list put;	/* struct pending_record */
	size_t queued_bytes;	/* of `put` and `taken` */
	uint64_t waiting;	/* records that are put and not written */
	char *next_path;	/* NULL: it stays; … */
	struct append_file next;
	size_t before_next; /* … so many records of `put` still go to the file before */
	bool must_reopen, is_stopping, is_ended;
	bool is_stuck;	/* the last write failed, or audit_settle() has waited for it in vain */
	bool is_outage; /* the log says that records cannot be written, or are lost */
	uint64_t lost_before; /* the outage */

	/* atomics */
	_Atomic uint64_t written, lost;
};

/* --- outages --- */

/* True: it is new, and the caller logs it. */
static bool
begin_outage_locked(struct audit *a)
{
	bool is_new = !a->is_outage;

	if (is_new)
		a->lost_before = atomic_load(&a->lost);
	a->is_outage = true;
	return is_new;
}

/* The thread cannot write. */
static void
note_failure(struct audit *a, int code)
{
	bool is_new;

	pthread_mutex_lock(&a->lock);
	is_new = begin_outage_locked(a);
	a->is_stuck = true;
	pthread_cond_signal(&a->settled);
	pthread_mutex_unlock(&a->lock);
	a->is_failing = true;
	if (is_new)
		log_warn(NULL, "cannot write the audit", "file=%s retry_s=%lld err=%s",
			 a->file_path, (long long)(RETRY / CLK_S), strerror(code));
}

static void
note_success(struct audit *a, size_t n)
{
	bool was = false;
	uint64_t lost = 0;

	atomic_fetch_add(&a->written, n);
	pthread_mutex_lock(&a->lock);
	a->waiting -= n;
	a->is_stuck = false;
	if (a->is_outage && a->waiting == 0) {
		was = true;
		lost = atomic_load(&a->lost) - a->lost_before;
		a->is_outage = false;
	}
	if (a->waiting == 0)
		pthread_cond_signal(&a->settled);
	pthread_mutex_unlock(&a->lock);
	a->is_failing = false;
	if (was)
		log_info(NULL, "the audit is written again", "file=%s lost_records=%llu",
			 a->file_path, (unsigned long long)lost);
}

/* --- the thread: writing --- */

/* So that a new file is still there after a power failure. */
static void
sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL   ? xstrdup(".")
		       : slash == path ? xstrdup("/")
				       : xstrndup(path, (size_t)(slash - path));
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		if (fsync(fd) < 0)
			log_debug(NULL, "cannot sync a folder", "path=%s err=%s", folder,
				  strerror(errno));
		close(fd);
	}
	free(folder);
}

/* The kernel may have dropped what it could not bring to the disk, and the next sync succeeds then
 * nevertheless: these records count as lost. */
static void
note_sync_failure(struct audit *a, int code)
{
	atomic_fetch_add(&a->lost, a->unsynced);
	a->unsynced = 0;
	if (!a->is_sync_failing)
		log_warn(NULL, "cannot sync the audit: its last records may be lost",
			 "file=%s retry_s=%lld err=%s", a->file_path, (long long)(RETRY / CLK_S),
			 strerror(code));
	a->is_sync_failing = true;
}

static void
sync_file(struct audit *a)
{
	a->synced_ns = clk_now();
	/* A pipe and the like cannot be synced. */
	if (a->file.fd >= 0 && fdatasync(a->file.fd) < 0 && errno != EINVAL && errno != EROFS) {
		note_sync_failure(a, errno);
		return;
	}
	if (a->is_sync_failing)
		log_info(NULL, "the audit is synced again", "file=%s", a->file_path);
	a->is_unsynced = a->is_sync_failing = false;
	a->unsynced = 0;
}

static int64_t
next_sync(const struct audit *a)
{
	return a->synced_ns + (a->is_sync_failing ? RETRY : SYNC_EVERY);
}

/* What the file has taken must be on the disk before another file takes its place: no sync reaches
 * it later. */
static void
leave_file(void *arg)
{
	struct audit *a = arg;

	if (a->is_unsynced)
		sync_file(a);
	a->is_unsynced = false;
}

static void
note_open(struct audit *a)
{
	a->file.leave = leave_file;
	a->file.arg = a;
	a->is_cut = append_file_is_torn(&a->file);
	sync_folder(a->file_path);
}

static size_t
queued_size(size_t text_n)
{
	return sizeof(struct pending_record) + text_n;
}

static void
drop_written(struct audit *a, size_t n)
{
	size_t i, bytes = 0;

	for (i = 0; i < n; i++) {
		struct pending_record *r = container_of(list_pop(&a->taken), struct pending_record,
							node);

		bytes += queued_size(r->n);
		free(r);
	}
	pthread_mutex_lock(&a->lock);
	a->queued_bytes -= bytes;
	pthread_mutex_unlock(&a->lock);
}

#define RECORDS_MAX 1024 /* in one write */

/* What is written at once. */
struct audit_batch {
	struct strbuf text;
	size_t n, ends[RECORDS_MAX]; /* the i-th record ends there in the text */
	uint64_t lost;		     /* it tells of so many lost records … */
	size_t lost_end;	     /* … before this place */
};

/* Say in the file that records are missing before those that follow. */
static void
put_lost(const struct audit *a, struct audit_batch *b)
{
	const struct audit_stamp stamp = {
		.id = "", .program = a->program, .pid = getpid(), .wall_ns = clk_wall()};

	b->lost = atomic_load(&a->lost);
	if (b->lost != a->told)
		audit_record_lost(&stamp, b->lost - a->told, &b->text);
	b->lost_end = b->text.len;
}

/* The first records as text, `most` at most. */
static void
encode(struct audit *a, size_t most, struct audit_batch *b)
{
	struct list_node *node, *tmp;
	const struct pending_record *r;

	b->n = 0;
	strbuf_init(&b->text, 0);
	if (a->is_cut)
		strbuf_adds(&b->text, "\n");
	put_lost(a, b);
	LIST_FOREACH(&a->taken, node, tmp) {
		if (b->n == MIN(most, (size_t)RECORDS_MAX) || b->text.len > BATCH_MAX)
			break;
		r = container_of(node, struct pending_record, node);
		strbuf_add(&b->text, r->text, r->n);
		b->ends[b->n++] = b->text.len;
	}
}

/* -1 with errno: the file takes nothing. */
static ssize_t
write_text(struct audit *a, const struct strbuf *text)
{
	struct err e = {0};
	ssize_t taken;

	if (a->file.fd < 0 && (append_file_open(&a->file, &e) < 0 || a->file.fd < 0)) {
		errno = e.code != 0 ? e.code : ENXIO;
		return -1;
	}
	do
		taken = write(a->file.fd, text->data, text->len);
	while (taken < 0 && errno == EINTR);
	if (taken <= 0)
		return taken;
	append_file_wrote(&a->file, (uint64_t)taken);
	a->is_cut = text->data[taken - 1] != '\n';
	a->is_unsynced = true;
	return taken;
}

/* Write the first records, `most` at most.  False: the file takes no more now. */
static bool
write_some(struct audit *a, size_t most)
{
	struct audit_batch b;
	ssize_t taken;
	size_t done = 0;
	int code;

	if (append_file_turn(&a->file))
		note_open(a);
	else if (append_file_has_changed(&a->file))
		a->is_cut = append_file_is_torn(&a->file);
	encode(a, most, &b);
	taken = write_text(a, &b.text);
	code = taken < 0 ? errno : ENOSPC;
	strbuf_fini(&b.text);
	while (taken > 0 && done < b.n && b.ends[done] <= (size_t)taken)
		done++;
	if (taken > 0 && (size_t)taken >= b.lost_end)
		a->told = b.lost;
	drop_written(a, done);
	a->unsynced += done;
	if (done > 0)
		note_success(a, done);
	if (done < b.n)
		note_failure(a, code);
	return done == b.n;
}

/* --- the thread: what it is asked for --- */

/* The first `before` records belong to the file that is open. */
static void
change_file(struct audit *a, char *path, struct append_file *next, size_t before)
{
	size_t after = a->taken.n - before;

	while (a->taken.n > after && write_some(a, a->taken.n - after))
		;
	a->is_failing = false; /* the next file may take what this one did not */
	leave_file(a);
	append_file_close(&a->file);
	free(a->file_path);
	a->file_path = path;
	a->file = *next;
	a->file.path = path;
	note_open(a);
}

static void
reopen(struct audit *a)
{
	struct err e;

	if (append_file_open(&a->file, &e) == 0)
		note_open(a);
	else
		log_error(NULL, "cannot reopen the audit", "err=%s", e.text);
}

static bool
is_asked_locked(const struct audit *a)
{
	return a->next_path != NULL || a->must_reopen || a->is_stopping;
}

/* INT64_MAX: until there is something to do. */
static void
wait_until_locked(struct audit *a, int64_t until_ns)
{
	struct timespec ts = {.tv_sec = until_ns / CLK_S, .tv_nsec = until_ns % CLK_S};

	if (until_ns == INT64_MAX)
		pthread_cond_wait(&a->changed, &a->lock);
	else
		pthread_cond_timedwait(&a->changed, &a->lock, &ts);
}

/* Wait for records, until the next sync, or after a failure until the next attempt. */
static void
wait_locked(struct audit *a)
{
	int64_t until = INT64_MAX;

	if (a->is_failing)
		until = clk_now() + RETRY;
	else if (a->is_unsynced)
		until = next_sync(a);
	while (!is_asked_locked(a) && clk_now() < until &&
	       (a->is_failing || (a->taken.n == 0 && a->put.n == 0)))
		wait_until_locked(a, until);
}

/* False: the thread is to end. */
static bool
obey(struct audit *a)
{
	struct append_file next;
	bool must_reopen, is_stopping;
	size_t before;
	char *path;

	pthread_mutex_lock(&a->lock);
	wait_locked(a);
	is_stopping = a->is_stopping;
	path = a->next_path;
	before = a->taken.n + a->before_next;
	if (a->taken.n == 0 || is_stopping || path != NULL)
		list_splice(&a->taken, &a->put);
	next = a->next;
	a->next_path = NULL;
	a->before_next = 0;
	must_reopen = a->must_reopen;
	a->must_reopen = false;
	pthread_mutex_unlock(&a->lock);
	if (path != NULL)
		change_file(a, path, &next, before);
	if (must_reopen)
		reopen(a);
	return !is_stopping;
}

static void
count_rest(struct audit *a)
{
	atomic_fetch_add(&a->lost, a->taken.n);
	if (a->taken.n > 0)
		log_warn(NULL, "the audit could not be written", "file=%s lost_records=%zu",
			 a->file_path, a->taken.n);
	drop_written(a, a->taken.n);
}

static void *
run(void *arg)
{
	struct audit *a = arg;

	note_open(a);
	while (obey(a)) {
		while (a->taken.n > 0 && write_some(a, SIZE_MAX))
			;
		if (a->is_unsynced && clk_now() >= next_sync(a))
			sync_file(a);
	}
	while (a->taken.n > 0 && write_some(a, SIZE_MAX))
		;
	if (a->is_unsynced)
		sync_file(a);
	count_rest(a);
	pthread_mutex_lock(&a->lock);
	a->is_ended = true;
	pthread_cond_signal(&a->settled);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* --- putting --- */

static void
put(struct audit *a, const struct strbuf *text)
{
	struct pending_record *r = xmalloc(sizeof *r + text->len);
	bool is_full, is_new = false;

	*r = (struct pending_record){.n = text->len};
	memcpy(r->text, text->data, text->len);
	pthread_mutex_lock(&a->lock);
	is_full = a->queued_bytes + queued_size(text->len) > QUEUE_MAX;
	if (is_full) {
		atomic_fetch_add(&a->lost, 1);
		is_new = begin_outage_locked(a);
	} else {
		list_push(&a->put, &r->node);
		a->queued_bytes += queued_size(text->len);
		a->waiting++;
		pthread_cond_signal(&a->changed);
	}
	pthread_mutex_unlock(&a->lock);
	if (is_full)
		free(r);
	if (is_new)
		log_warn(NULL, "audit records are lost: the disk is too slow", "file=%s",
			 a->path == NULL ? "" : a->path);
}

static struct audit_stamp
stamp_of(const struct audit *a, const char *id)
{
	return (struct audit_stamp){
		.id = id, .program = a->program, .pid = getpid(), .wall_ns = clk_wall()};
}

/* What is put from now on goes to the file of audit_move(). */
static void
begin_move(struct audit *a)
{
	pthread_mutex_lock(&a->lock);
	if (a->next_path != NULL)
		append_file_close(&a->next);
	free(a->next_path);
	a->next_path = a->move_path;
	a->next = a->move;
	a->before_next = a->put.n;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->lock);
	a->move_path = NULL;
}

void
audit_intent(struct audit *a, struct audit_entry *entry, const struct audit_change *c)
{
	struct audit_stamp stamp;
	struct strbuf text;

	*entry = (struct audit_entry){.subject = c->subject};
	if (a == NULL || a->path == NULL)
		return;
	if (a->move_path != NULL)
		begin_move(a);
	snprintf(entry->id, sizeof entry->id, "%s-%llu", a->run, (unsigned long long)++a->entries);
	entry->begun_ns = clk_now();
	stamp = stamp_of(a, entry->id);
	strbuf_init(&text, 0);
	audit_record_intent(&stamp, c, &text);
	put(a, &text);
	strbuf_fini(&text);
}

static void
put_outcome(struct audit *a, const char *id, const struct audit_subject *subject,
	    const struct audit_end *end)
{
	const struct audit_stamp stamp = stamp_of(a, id);
	struct strbuf text;

	strbuf_init(&text, 0);
	audit_record_outcome(&stamp, subject, end, &text);
	put(a, &text);
	strbuf_fini(&text);
}

void
audit_outcome(struct audit *a, struct audit_entry *entry, enum audit_result result, const char *why,
	      struct audit_value now)
{
	const struct audit_end end = {
		.result = result, .why = why, .now = now, .took_ns = clk_now() - entry->begun_ns};

	if (a == NULL || entry->id[0] == '\0')
		return;
	put_outcome(a, entry->id, &entry->subject, &end);
	if (result != AUDIT_FAILED || entry->subject.kind != AUDIT_SCALE)
		entry->id[0] = '\0';
}

void
audit_note(struct audit *a, const struct audit_change *c)
{
	struct audit_entry entry;

	audit_intent(a, &entry, c);
	audit_outcome(a, &entry, AUDIT_DONE, NULL, c->to);
}

void
audit_end_left(struct audit *a, const struct audit_left *l, enum audit_result result,
	       const char *why, struct audit_value now)
{
	const struct audit_subject subject = {.kind = l->kind,
					      .service = l->service,
					      .revision = l->revision,
					      .object = l->object,
					      .generation = l->generation};
	const struct audit_end end = {
		.result = result, .why = why, .now = now, .took_ns = -1, .is_after_restart = true};

	if (a != NULL && a->has_thread)
		put_outcome(a, l->id, &subject, &end);
}

void
audit_left_free(struct audit_left **v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		audit_left_fini(&(*v)[i]);
	free(*v);
	*v = NULL;
}

void
audit_settle(struct audit *a)
{
	int64_t until = clk_now() + SETTLE_MOST;
	struct timespec ts = {.tv_sec = until / CLK_S, .tv_nsec = until % CLK_S};
	int rc = 0;

	if (a == NULL)
		return;
	pthread_mutex_lock(&a->lock);
	while (a->waiting > 0 && !a->is_stuck && rc == 0)
		rc = pthread_cond_timedwait(&a->settled, &a->lock, &ts);
	if (rc == ETIMEDOUT) /* one wait for each outage, not for each change */
		a->is_stuck = true;
	pthread_mutex_unlock(&a->lock);
}

/* --- what was left --- */

static void
find_left(void *arg, const _Atomic bool *cancel)
{
	struct audit *a = arg;

	a->left = audit_lines_left(a->left_path, a->program, a->run, cancel, &a->left_n);
}

static void
on_left(void *arg)
{
	struct audit *a = arg;
	struct audit_left *v = a->left;
	size_t n = a->left_n;

	a->task = NULL;
	a->left = NULL;
	a->left_n = 0;
	a->ops->left(v, n, a->arg);
	if (a->is_look_due)
		audit_look(a);
}

static const struct task_ops left_ops = {.run = find_left, .done = on_left};

void
audit_look(struct audit *a)
{
	struct err e;

	if (a == NULL || a->path == NULL)
		return;
	a->is_look_due = a->task != NULL;
	if (a->task != NULL)
		return;
	text_replace(&a->left_path, a->path);
	a->task = task_start(a->loop, &left_ops, a, &e);
	if (a->task == NULL)
		log_warn(NULL, "changes that were cut short stay open in the audit", "err=%s",
			 e.text);
}

/* --- life --- */

static void
init_shared(struct audit *a)
{
	pthread_condattr_t attr;

	list_init(&a->put);
	list_init(&a->taken);
	CHECK(pthread_mutex_init(&a->lock, NULL) == 0);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* that of clk_now() */
	CHECK(pthread_cond_init(&a->changed, &attr) == 0);
	CHECK(pthread_cond_init(&a->settled, &attr) == 0);
	pthread_condattr_destroy(&attr);
}

static void
audit_free(struct audit *a)
{
	append_file_close(&a->file);
	if (a->next_path != NULL)
		append_file_close(&a->next);
	if (a->move_path != NULL)
		append_file_close(&a->move);
	free(a->next_path);
	free(a->move_path);
	free(a->file_path);
	pthread_cond_destroy(&a->settled);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
	free(a->left_path);
	free(a->path);
	free(a->run);
	free(a);
}

static int
start_thread(struct audit *a, struct err *e)
{
	sigset_t all, old;
	int code;

	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&a->thread, NULL, run, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	a->has_thread = code == 0;
	return code == 0 ? 0
			 : err_set(e, code, "cannot start the thread of the audit: %s",
				   strerror(code));
}

/* The first file. */
static int
start(struct audit *a, const char *path, uint64_t max_bytes, struct err *e)
{
	a->file_path = xstrdup(path);
	append_file_init(&a->file, "audit", a->file_path, max_bytes);
	if (append_file_open(&a->file, e) == 0 && start_thread(a, e) == 0) {
		a->path = xstrdup(path);
		a->max_bytes = max_bytes;
		return 0;
	}
	append_file_close(&a->file);
	free(a->file_path);
	a->file_path = NULL;
	return -1;
}

struct audit *
audit_open(struct loop *loop, const struct audit_conf *conf, const struct audit_ops *ops, void *arg,
	   struct err *e)
{
	struct audit *a = xcalloc(1, sizeof *a);

	a->loop = loop;
	a->program = conf->program;
	a->ops = ops;
	a->arg = arg;
	a->run = audit_lines_run(clk_wall());
	a->file.fd = -1;
	init_shared(a);
	if (conf->path == NULL)
		return a;
	if (start(a, conf->path, conf->max_bytes, e) < 0) {
		audit_free(a);
		return NULL;
	}
	audit_look(a);
	return a;
}

/* False: the disk holds the thread up. */
static bool
end_thread(struct audit *a)
{
	int64_t until = clk_now() + STOP_MOST;
	struct timespec ts = {.tv_sec = until / CLK_S, .tv_nsec = until % CLK_S};
	bool is_ended;
	int rc = 0;

	pthread_mutex_lock(&a->lock);
	a->is_stopping = true;
	pthread_cond_signal(&a->changed);
	while (!a->is_ended && rc == 0)
		rc = pthread_cond_timedwait(&a->settled, &a->lock, &ts);
	is_ended = a->is_ended;
	pthread_mutex_unlock(&a->lock);
	if (is_ended)
		pthread_join(a->thread, NULL);
	return is_ended;
}

void
audit_close(struct audit **ap)
{
	struct audit *a = *ap;
	bool is_looking, is_ended;

	*ap = NULL;
	if (a == NULL)
		return;
	is_looking = !task_stop(&a->task, clk_now() + LOOK_STOP_MOST);
	if (!is_looking)
		audit_left_free(&a->left, a->left_n);
	is_ended = !a->has_thread || end_thread(a);
	if (is_ended && !is_looking) /* else a thread still uses it */
		audit_free(a);
	if (!is_ended)
		log_warn(NULL, "the disk is too slow: exiting without the last audit records",
			 "waited_s=%lld", (long long)(STOP_MOST / CLK_S));
}

int
audit_move(struct audit *a, const char *path, uint64_t max_bytes, struct err *e)
{
	struct append_file next;
	char *copy;

	if (path == NULL) {
		text_replace(&a->path, NULL);
		return 0;
	}
	if (!a->has_thread)
		return start(a, path, max_bytes, e);
	if (a->path != NULL && strcmp(a->path, path) == 0 && a->max_bytes == max_bytes) {
		audit_reopen(a);
		return 0;
	}
	copy = xstrdup(path);
	append_file_init(&next, "audit", copy, max_bytes);
	if (append_file_open(&next, e) < 0) {
		free(copy);
		return -1;
	}
	text_replace(&a->path, path);
	a->max_bytes = max_bytes;
	if (a->move_path != NULL)
		append_file_close(&a->move);
	free(a->move_path);
	a->move_path = copy;
	a->move = next;
	return 0;
}

void
audit_reopen(struct audit *a)
{
	if (a == NULL || !a->has_thread)
		return;
	pthread_mutex_lock(&a->lock);
	a->must_reopen = true;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

const char *
audit_path(const struct audit *a)
{
	return a == NULL ? NULL : a->path;
}

void
audit_count(const struct audit *a, struct audit_counts *c)
{
	*c = (struct audit_counts){0};
	if (a == NULL)
		return;
	c->written = atomic_load(&a->written);
	c->lost = atomic_load(&a->lost);
}
