#include "autoscaler/usage/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "autoscaler/usage/hours.h"
#include "autoscaler/usage/record.h"
#include "common/file.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/strbuf.h"

#define DIR_NAME "usage"
#define SUFFIX ".journal"
#define FILE_MAX ((size_t)1 << 30)	  /* a larger file is not read */
#define COMPACT_AT ((uint64_t)256 << 10)  /* the size at which a file is rewritten first */
#define COMPACT_MIN ((uint64_t)128 << 10) /* a smaller file is not worth rewriting … */
#define ROOM_PART 16 /* … but when it is full, if that may free this part of it */
#define DAY_S 86400

struct journal {
	char *dir, *run;
	uint32_t days_max;
	uint64_t bytes_max;
	int64_t day; /* of the open file */
	int fd;	     /* -1: none is open */
	uint64_t size;
	uint64_t other_bytes; /* of the other files, as far as is known */
	uint64_t compact_at;  /* the size at which the open file is rewritten */
	uint64_t compacted; /* its size when it was rewritten because it was full; 0: it was not */
};

struct journal *
journal_new(const struct journal_conf *conf)
{
	struct journal *j = xcalloc(1, sizeof *j);

	j->dir = xasprintf("%s/" DIR_NAME, conf->state_dir);
	j->run = xstrdup(conf->run);
	j->days_max = MAX(conf->days_max, 1u);
	j->bytes_max = conf->bytes_max;
	j->fd = -1;
	return j;
}

static void
close_file(struct journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
}

void
journal_free(struct journal **jp)
{
	struct journal *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	close_file(j);
	free(j->run);
	free(j->dir);
	free(j);
}

/* --- names --- */

static char *
path_of(const struct journal *j, int64_t day, const char *suffix)
{
	time_t seconds = (time_t)(day * DAY_S);
	struct tm tm;
	char name[32];

	gmtime_r(&seconds, &tm);
	strftime(name, sizeof name, "%Y-%m-%d", &tm);
	return xasprintf("%s/%s" SUFFIX "%s", j->dir, name, suffix);
}

/* The day of a file's name, or -1: it is none that path_of() makes (strptime(3) takes 2026-2-31,
 * too). */
static int64_t
day_of(const char *name)
{
	struct tm tm = {.tm_mday = 0};
	char same[32];
	time_t seconds = strptime(name, "%Y-%m-%d", &tm) == NULL ? -1 : timegm(&tm);

	if (seconds < 0 || strftime(same, sizeof same, "%Y-%m-%d" SUFFIX, &tm) == 0 ||
	    strcmp(same, name) != 0)
		return -1;
	return seconds / DAY_S;
}

struct day_file {
	int64_t day;
	uint64_t bytes;
};

static int
by_day(const void *a, const void *b)
{
	int64_t x = ((const struct day_file *)a)->day, y = ((const struct day_file *)b)->day;

	return (x > y) - (x < y);
}

/* The files, oldest first, the caller's to free.  Files of other names are ignored. */
static struct day_file *
list_files(const struct journal *j, size_t *n)
{
	struct day_file *v = NULL;
	DIR *dir = opendir(j->dir);
	struct dirent *entry;
	struct stat st;
	size_t cap = 0;

	*n = 0;
	if (dir == NULL && errno != ENOENT)
		log_warn(NULL, "cannot read the folder of usage", "folder=%s err=%s", j->dir,
			 strerror(errno));
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		int64_t day = day_of(entry->d_name);

		if (day < 0 || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (*n == cap) {
			cap = MAX(cap * 2, (size_t)16);
			v = xrealloc(v, cap * sizeof *v);
		}
		v[(*n)++] = (struct day_file){day, (uint64_t)st.st_size};
	}
	if (dir != NULL)
		closedir(dir);
	if (*n > 1)
		qsort(v, *n, sizeof *v, by_day);
	return v;
}

/* --- reading a file --- */

/* The records of a file; of each part the last one. */
struct day_records {
	struct hmap parts; /* run and part → struct usage_record */
	size_t lines, broken, broken_first;
	struct err why; /* of the first broken one */
};

static void
take_line(struct day_records *d, const char *line, size_t n)
{
	struct usage_record *r = xcalloc(1, sizeof *r), *old = r;
	struct err e;
	char *key;

	d->lines++;
	if (record_decode(r, line, n, &e) == 0) {
		key = xasprintf("%llu %s", (unsigned long long)r->part, r->run);
		old = hmap_put(&d->parts, key, r);
		free(key);
	} else if (d->broken++ == 0) {
		d->broken_first = d->lines;
		d->why = e;
	}
	if (old != NULL) {
		record_fini(old);
		free(old);
	}
}

static void
records_fini(struct day_records *d)
{
	size_t at = 0;
	void *value;

	while (hmap_next(&d->parts, &at, NULL, &value)) {
		record_fini(value);
		free(value);
	}
	hmap_fini(&d->parts);
}

/* 0 with d for records_fini(), or -1 with err. */
static int
read_day(const char *path, struct day_records *d, struct err *e)
{
	size_t n = 0;
	char *text = file_read(path, FILE_MAX, &n, e);
	const char *at = text, *end;

	if (text == NULL)
		return -1;
	*d = (struct day_records){.lines = 0};
	hmap_init(&d->parts);
	for (; at < text + n; at = end + 1) {
		end = memchr(at, '\n', (size_t)(text + n - at));
		end = end == NULL ? text + n : end;
		if (end > at)
			take_line(d, at, (size_t)(end - at));
	}
	free(text);
	return 0;
}

/* --- rewriting a file --- */

static int
write_all(int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, text, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		text += put;
		n -= (size_t)put;
	}
	return 0;
}

static void
sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (fsync(fd) < 0)
		log_debug(NULL, "cannot sync a folder", "path=%s err=%s", dir, strerror(errno));
	close(fd);
}

static int
replace_file(const struct journal *j, int64_t day, const struct strbuf *text, struct err *e)
{
	char *path = path_of(j, day, ""), *path_new = path_of(j, day, ".new");
	int fd = open(path_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = -1;

	if (fd < 0 || write_all(fd, strbuf_str(text), text->len) < 0 || fdatasync(fd) < 0 ||
	    rename(path_new, path) < 0) {
		err_errno(e, "cannot rewrite %s", path);
		unlink(path_new);
	} else {
		sync_dir(j->dir);
		rc = 0;
	}
	if (fd >= 0)
		close(fd);
	free(path_new);
	free(path);
	return rc;
}

struct merged {
	struct strbuf *out;
	uint64_t part;
};

static void
put_merged(int64_t hour, const struct account *account, const struct amounts *a, void *arg)
{
	struct merged *m = arg;
	char run[] = "";
	const struct usage_record r = {
		.run = run, .part = ++m->part, .hour = hour, .account = *account, .amounts = *a};

	record_encode(&r, m->out);
}

/* The records of this run as they are, since later ones may replace them; those of all other runs
 * added up to one for each account and hour. */
static void
put_compacted(const struct journal *j, const struct day_records *d, struct strbuf *out)
{
	struct hours *others = hours_new(UINT64_MAX);
	struct merged m = {.out = out};
	size_t at = 0;
	void *value;

	while (hmap_next(&d->parts, &at, NULL, &value)) {
		const struct usage_record *r = value;

		if (strcmp(r->run, j->run) == 0)
			record_encode(r, out);
		else
			hours_add(others, r->hour, &r->account, &r->amounts);
	}
	hours_each(others, INT64_MIN, INT64_MAX, put_merged, &m);
	hours_free(&others);
}

/* Rewrite the file of a day, whose records are d, if that makes it shorter than `below`.  The file
 * is not open.  A failure is logged: the file stays as it is. */
static void
rewrite(const struct journal *j, const struct day_file *f, const struct day_records *d,
	uint64_t below)
{
	struct strbuf out;
	struct err e;

	strbuf_init(&out, 0);
	put_compacted(j, d, &out);
	if (out.len < below && replace_file(j, f->day, &out, &e) < 0)
		log_warn(NULL, "cannot rewrite the usage journal", "err=%s", e.text);
	strbuf_fini(&out);
}

/* --- loading --- */

/* into: NULL: only rewrite it.  below: as rewrite(); 0: do not.  Returns how many records are
 * broken. */
static size_t
load_day(const struct journal *j, const struct day_file *f, struct hours *into, uint64_t below)
{
	char *path = path_of(j, f->day, "");
	struct day_records d;
	struct err e;
	size_t at = 0;
	void *value;

	if (read_day(path, &d, &e) < 0) {
		log_warn(NULL, "cannot read the usage journal", "err=%s", e.text);
		free(path);
		return 1;
	}
	if (d.broken > 0)
		log_warn(NULL, "skipped broken records of the usage journal",
			 "file=%s broken=%zu of=%zu first_line=%zu err=%s", path, d.broken, d.lines,
			 d.broken_first, d.why.text);
	while (into != NULL && hmap_next(&d.parts, &at, NULL, &value)) {
		const struct usage_record *r = value;

		hours_add(into, r->hour, &r->account, &r->amounts);
	}
	if (below > 0)
		rewrite(j, f, &d, below);
	records_fini(&d);
	free(path);
	return d.broken;
}

/* A file is rewritten if most of its records are outdated. */
static uint64_t
half_of(const struct day_file *f)
{
	return f->bytes >= COMPACT_MIN ? f->bytes / 2 : 0;
}

size_t
journal_load(struct journal *j, struct hours *into)
{
	size_t n, i, broken = 0;
	struct day_file *files = list_files(j, &n);

	for (i = 0; i < n; i++)
		broken += load_day(j, &files[i], into, half_of(&files[i]));
	free(files);
	return broken;
}

/* --- bounds --- */

/* Remove the oldest files while there are too many, or more than bytes_max together with the next
 * n_bytes, but never the open one. */
static void
remove_old(struct journal *j, size_t n_bytes)
{
	size_t n, i;
	struct day_file *files = list_files(j, &n);
	uint64_t bytes = j->size + n_bytes;

	for (i = 0; i < n; i++)
		bytes += files[i].day == j->day ? 0 : files[i].bytes;
	for (i = 0; i < n && (n - i > j->days_max || bytes > j->bytes_max); i++) {
		char *path;

		if (files[i].day == j->day)
			continue;
		path = path_of(j, files[i].day, "");
		if (unlink(path) < 0)
			log_warn(NULL, "cannot remove an old usage journal", "file=%s err=%s", path,
				 strerror(errno));
		else
			log_info(NULL, "old usage journal removed", "file=%s", path);
		bytes -= files[i].bytes;
		free(path);
	}
	j->other_bytes = bytes - j->size - n_bytes;
	free(files);
}

/* --- appending --- */

/* A crash may have torn the last record: its line must end before the next one begins. */
static int
end_last_line(struct journal *j)
{
	char last;

	if (j->size == 0 || (pread(j->fd, &last, 1, (off_t)j->size - 1) == 1 && last == '\n'))
		return 0;
	if (write_all(j->fd, "\n", 1) < 0)
		return -1;
	j->size++;
	return 0;
}

static int
open_file(struct journal *j, int64_t day)
{
	char *path = path_of(j, day, "");
	struct stat st;

	mkdir(j->dir, 0700);
	j->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	free(path);
	j->day = day;
	if (j->fd < 0)
		return -1;
	if (fstat(j->fd, &st) < 0) {
		close_file(j);
		return -1;
	}
	j->size = (uint64_t)st.st_size;
	if (j->size == 0)
		sync_dir(j->dir);
	if (end_last_line(j) < 0) {
		close_file(j);
		return -1;
	}
	return 0;
}

/* Close the open file, rewrite it, and open the file of that day. */
static int
switch_file(struct journal *j, int64_t day)
{
	if (j->fd >= 0) {
		const struct day_file f = {j->day, j->size};

		close_file(j);
		load_day(j, &f, NULL, half_of(&f));
	}
	if (open_file(j, day) < 0)
		return -1;
	j->compact_at = MAX(2 * j->size, COMPACT_AT);
	j->compacted = 0;
	remove_old(j, 0);
	return 0;
}

static uint64_t
size_max(const struct journal *j)
{
	return MIN(j->bytes_max, (uint64_t)FILE_MAX);
}

/* The open file is full: drop its outdated records, unless that was done not long ago. */
static int
make_room(struct journal *j)
{
	const struct day_file f = {j->day, j->size};
	uint64_t least = size_max(j) / ROOM_PART;

	if (j->size < j->compacted + least)
		return 0;
	close_file(j);
	load_day(j, &f, NULL, j->size - least);
	if (open_file(j, f.day) < 0)
		return -1;
	j->compacted = j->size;
	return 0;
}

int
journal_append(struct journal *j, int64_t day, const char *records, size_t n, struct err *e)
{
	bool is_due = j->fd < 0 || j->day != day || j->size + n > j->compact_at;

	if (is_due && switch_file(j, day) < 0)
		return err_errno(e, "cannot open the usage journal in %s", j->dir);
	if (j->size + j->other_bytes + n > j->bytes_max)
		remove_old(j, n);
	if (j->size + n > size_max(j) && make_room(j) < 0)
		return err_errno(e, "cannot open the usage journal in %s", j->dir);
	if (j->size + n > size_max(j))
		return err_set(e, EFBIG,
			       "cannot write the usage journal: the records of this day "
			       "take more than usage_max_bytes, or 1 GiB");
	if (write_all(j->fd, records, n) == 0 && fdatasync(j->fd) == 0) {
		j->size += n;
		return 0;
	}
	err_errno(e, "cannot write the usage journal in %s", j->dir);
	if (ftruncate(j->fd, (off_t)j->size) < 0)
		close_file(j); /* the next open ends the line that was torn */
	return -1;
}
