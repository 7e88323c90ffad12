#include "common/audit_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/file.h"
#include "common/hmap.h"
#include "common/jget.h"
#include "common/log.h"
#include "common/strbuf.h"

#define STEP ((size_t)64 << 10)
#define LINE_MAX_BYTES ((size_t)64 << 10) /* a longer one is none of ours */
#define STAT_MAX 4096
#define OPEN_TRIES 10 /* while the file is being rotated */

/* --- a file --- */

typedef void line_fn(const char *line, size_t n, void *arg);

/* Hand over the whole lines in b, and drop them. */
static void
take_lines(struct strbuf *b, line_fn *fn, void *arg)
{
	const char *at = b->data, *end = b->data + b->len, *eol;

	for (; at < end && (eol = memchr(at, '\n', (size_t)(end - at))) != NULL; at = eol + 1)
		if (eol > at)
			fn(at, (size_t)(eol - at), arg);
	strbuf_consume(b, (size_t)(at - b->data));
	if (b->len > LINE_MAX_BYTES) { /* its end is handed over, and is no record */
		fn(b->data, b->len, arg);
		strbuf_clear(b);
	}
}

/* 0: all of it, or there is no such file; -1 with errno. */
static int
read_lines(int fd, const _Atomic bool *cancel, line_fn *fn, void *arg)
{
	struct strbuf b;
	ssize_t n = 1;

	strbuf_init(&b, 0);
	while (n > 0 && !atomic_load_explicit(cancel, memory_order_relaxed)) {
		n = read(fd, strbuf_reserve(&b, STEP), STEP);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0) {
			b.len += (size_t)n;
			take_lines(&b, fn, arg);
		}
	}
	if (n == 0 && b.len > 0)
		fn(b.data, b.len, arg); /* it may be torn */
	strbuf_fini(&b);
	return n < 0 ? -1 : 0;
}

/* -1: there is no such file, or (with err) it cannot be read. */
static int
open_file(const char *path, struct stat *st, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 && errno != ENOENT)
		return err_errno(e, "cannot read %s", path);
	if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))) { /* nothing is kept there */
		close(fd);
		fd = -1;
	}
	return fd;
}

static void
close_file(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* FILE first: a rotation between the two leaves the same file in both, and it is tried again.  In
 * the other order a rotation would hide a whole file. */
static int
open_both(const char *path, const char *old_path, int *fd, int *old, struct err *e)
{
	struct stat st, old_st;
	unsigned i;

	*fd = *old = -1;
	for (i = 0; i < OPEN_TRIES; i++) {
		close_file(fd);
		close_file(old);
		*e = (struct err){0};
		*fd = open_file(path, &st, e);
		if (e->text[0] == '\0')
			*old = open_file(old_path, &old_st, e);
		if (e->text[0] != '\0') {
			close_file(fd);
			return -1;
		}
		if (*fd < 0 || *old < 0 || st.st_ino != old_st.st_ino || st.st_dev != old_st.st_dev)
			return 0;
	}
	close_file(old); /* a link to the same file */
	return 0;
}

/* FILE.1, then FILE. */
static int
each_line(const char *path, const _Atomic bool *cancel, line_fn *fn, void *arg, struct err *e)
{
	char *old_path = xasprintf("%s.1", path);
	int fd, old, rc = open_both(path, old_path, &fd, &old, e);

	if (rc == 0 && old >= 0 && read_lines(old, cancel, fn, arg) < 0)
		rc = err_errno(e, "cannot read %s", old_path);
	if (rc == 0 && fd >= 0 && read_lines(fd, cancel, fn, arg) < 0)
		rc = err_errno(e, "cannot read %s", path);
	close_file(&fd);
	close_file(&old);
	free(old_path);
	return rc;
}

/* --- processes --- */

/* When the process began, in clock ticks since the boot of the machine; 0: there is none. */
static unsigned long long
start_of(long pid)
{
	unsigned long long ticks = 0;
	char *path = xasprintf("/proc/%ld/stat", pid), *text, *at, state;

	text = file_read(path, STAT_MAX, NULL, NULL);
	at = text == NULL ? NULL : strrchr(text, ')'); /* the name before may hold anything */
	if (at == NULL ||
	    sscanf(at,
		   ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
		   "%*d %llu",
		   &state, &ticks) != 2 ||
	    state == 'Z')
		ticks = 0;
	free(text);
	free(path);
	return ticks;
}

char *
audit_lines_run(int64_t wall_ns)
{
	return xasprintf("%lx-%llx-%llx", (long)getpid(), start_of(getpid()),
			 (unsigned long long)wall_ns / CLK_US);
}

/* The id begins with that of a process.  A process that was replaced by another program (execve)
 * has ended. */
static bool
is_running(const char *id, size_t n)
{
	unsigned long long start;
	char *text = xstrndup(id, n);
	long pid = 0;
	bool is = sscanf(text, "%lx-%llx-", (unsigned long *)&pid, &start) == 2 && pid > 0 &&
		  pid != (long)getpid() && start != 0 && start_of(pid) == start;

	free(text);
	return is;
}

/* --- intents without an outcome --- */

struct left_search {
	const char *run;
	char *program;	  /* as it stands in a line */
	struct hmap open; /* id → the line */
	size_t broken;
};

static void
note_line(const char *line, size_t n, void *arg)
{
	struct left_search *s = arg;
	struct audit_mark m;
	char *id;

	if (!audit_record_mark(line, n, &m)) {
		s->broken++;
		return;
	}
	if (!m.is_intent && !m.is_outcome)
		return;
	id = xstrndup(m.id, m.id_n);
	if (m.is_outcome)
		free(hmap_remove(&s->open, id));
	else if (strncmp(id, s->run, strlen(s->run)) != 0 &&
		 memmem(line, n, s->program, strlen(s->program)) != NULL)
		free(hmap_put(&s->open, id, xstrndup(line, n)));
	free(id);
}

/* Those of processes that have ended. */
static struct audit_left *
collect_left(struct left_search *s, size_t *n)
{
	struct audit_left *v = xcalloc(s->open.n + 1, sizeof *v);
	const char *id;
	struct err e;
	size_t at = 0;
	void *line;

	*n = 0;
	while (hmap_next(&s->open, &at, &id, &line)) {
		if (!is_running(id, strlen(id)) &&
		    audit_record_parse(line, strlen(line), &v[*n], &e) == 0)
			++*n;
		free(line);
	}
	return v;
}

struct audit_left *
audit_lines_left(const char *path, const char *program, const char *run, const _Atomic bool *cancel,
		 size_t *n)
{
	struct left_search s = {.run = run, .program = xasprintf("\"program\":\"%s\"", program)};
	struct audit_left *v;
	struct err e = {0};

	hmap_init(&s.open);
	if (each_line(path, cancel, note_line, &s, &e) < 0)
		log_warn(NULL, "cannot read the audit: changes that were cut short stay open",
			 "err=%s", e.text);
	if (s.broken > 0)
		log_warn(NULL, "skipped broken records of the audit", "file=%s broken=%zu", path,
			 s.broken);
	v = collect_left(&s, n);
	free(s.program);
	hmap_fini(&s.open);
	return v;
}

/* --- searching --- */

struct found_line {
	char *text;
	size_t n, seq;
};

struct finding {
	const struct audit_search *search;
	char since[AUDIT_TIME_TEXT];
	char *service, *revision; /* as they stand in the line; NULL: any */
	struct found_line *v;	  /* … from `first` on */
	size_t n, cap, first, seq;
	size_t bytes;
	struct audit_found *found;
};

static bool
is_asked_for(const struct finding *f, const char *line, size_t n)
{
	if (f->service == NULL)
		return true;
	return memmem(line, n, f->service, strlen(f->service)) != NULL ||
	       memmem(line, n, f->revision, strlen(f->revision)) != NULL;
}

static void
drop_oldest(struct finding *f)
{
	struct found_line *l = &f->v[f->first++];

	f->bytes -= l->n;
	f->found->left_out++;
	free(l->text);
	l->text = NULL;
}

/* The mark alone does not tell: a disk may lose the middle of a line. */
static bool
is_object(const char *line, size_t n)
{
	struct jget root;
	struct err ignored;
	struct json_t *json = jget_open(line, n, &root, &ignored);

	if (json == NULL)
		return false;
	jget_close(&json);
	return true;
}

static void
find_line(const char *line, size_t n, void *arg)
{
	struct finding *f = arg;
	struct audit_mark m;

	if (!audit_record_mark(line, n, &m)) {
		f->found->broken++;
		return;
	}
	if (strncmp(m.time, f->since, MIN(m.time_n, sizeof f->since)) < 0 ||
	    !is_asked_for(f, line, n))
		return;
	if (!is_object(line, n)) {
		f->found->broken++;
		return;
	}
	if (f->n == f->cap) {
		f->cap = MAX(2 * f->cap, (size_t)64);
		f->v = xrealloc(f->v, f->cap * sizeof *f->v);
	}
	f->v[f->n++] = (struct found_line){.text = xstrndup(line, n), .n = n, .seq = f->seq++};
	f->bytes += n;
	while (f->bytes > f->search->bytes_max && f->first < f->n)
		drop_oldest(f);
}

static int
by_time(const void *va, const void *vb)
{
	const struct found_line *a = va, *b = vb;
	struct audit_mark x, y;
	int order;

	CHECK(audit_record_mark(a->text, a->n, &x) && audit_record_mark(b->text, b->n, &y));
	order = memcmp(x.time, y.time, MIN(x.time_n, y.time_n));
	return order != 0 ? order : (a->seq > b->seq) - (a->seq < b->seq);
}

int
audit_lines_find(const struct audit_search *search, const _Atomic bool *cancel, struct strbuf *out,
		 struct audit_found *found, struct err *e)
{
	struct finding f = {.search = search, .found = found};
	int rc = 0;
	size_t i;

	*found = (struct audit_found){0};
	audit_time_format(MAX(search->since_ns, 0), f.since);
	if (search->name != NULL) {
		f.service = xasprintf("\"service\":\"%s\"", search->name);
		f.revision = xasprintf("\"revision\":\"%s\"", search->name);
	}
	for (i = 0; i < ARRAY_LEN(search->paths) && rc == 0; i++)
		if (search->paths[i] != NULL)
			rc = each_line(search->paths[i], cancel, find_line, &f, e);
	found->lines = f.n - f.first;
	if (found->lines > 1)
		qsort(f.v + f.first, found->lines, sizeof *f.v, by_time);
	for (i = f.first; i < f.n; i++) {
		strbuf_add(out, f.v[i].text, f.v[i].n);
		strbuf_adds(out, "\n");
		free(f.v[i].text);
	}
	free(f.v);
	free(f.service);
	free(f.revision);
	return rc;
}
