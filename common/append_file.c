#include "common/append_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/log.h"

#define ROTATE_AGAIN (60 * CLK_S) /* after a rotation that failed */
#define LOOK_EACH CLK_S
#define LOCK_MOST (5 * CLK_S) /* how long another process may lock a full file */

void
append_file_init(struct append_file *f, const char *what, const char *path, uint64_t max_bytes)
{
	*f = (struct append_file){.what = what, .path = path, .fd = -1, .max_bytes = max_bytes};
}

void
append_file_close(struct append_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

int
append_file_open(struct append_file *f, struct err *e)
{
	int fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		      0640);
	struct stat st;

	if (fd < 0 && errno != ENXIO) /* a pipe without a reader */
		return err_errno(e, "cannot open %s", f->path);
	if (fd >= 0 && fstat(fd, &st) < 0) {
		err_errno(e, "cannot open %s", f->path);
		close(fd);
		return -1;
	}
	if (f->fd >= 0 && f->leave != NULL)
		f->leave(f->arg);
	append_file_close(f);
	f->fd = fd;
	f->is_regular = fd >= 0 && S_ISREG(st.st_mode);
	f->bytes = f->is_regular ? (uint64_t)st.st_size : 0;
	f->rotate_from_ns = 0;
	f->locked_from_ns = 0;
	f->is_reopen_failing = false;
	return 0;
}

void
append_file_wrote(struct append_file *f, uint64_t n)
{
	f->bytes += n;
}

bool
append_file_is_torn(const struct append_file *f)
{
	int fd = f->is_regular && f->bytes > 0 ? open(f->path, O_RDONLY | O_CLOEXEC) : -1;
	char last = '\n';

	if (fd < 0)
		return false;
	if (pread(fd, &last, 1, (off_t)f->bytes - 1) != 1)
		last = '\n';
	close(fd);
	return last != '\n';
}

bool
append_file_has_changed(struct append_file *f)
{
	struct stat st;

	if (f->fd < 0 || !f->is_regular || fstat(f->fd, &st) < 0 ||
	    (uint64_t)st.st_size == f->bytes)
		return false;
	f->bytes = (uint64_t)st.st_size;
	return true;
}

/* --- rotating --- */

/* Another process may write to the same file, and may have renamed it already. */
static bool
is_still_named(const struct append_file *f)
{
	struct stat here, there;

	return fstat(f->fd, &here) == 0 && stat(f->path, &there) == 0 &&
	       here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

static int
rename_file(const struct append_file *f, struct err *e)
{
	struct stat st;
	char *old;
	int rc;

	/* A rename would move the link alone, be it /dev/stdout. */
	if (lstat(f->path, &st) == 0 && S_ISLNK(st.st_mode))
		return err_set(e, 0, "it is a symbolic link");
	old = xasprintf("%s.1", f->path);
	rc = rename(f->path, old);
	if (rc < 0)
		err_errno(e, "cannot rename it to %s", old);
	free(old);
	return rc;
}

/* Lock the file against the rotation by another process.  False: another one is at it, or (with
 * err) there are no locks here.  Each process that may read the file can lock it for good: after a
 * while the rotation goes on without the lock. */
static bool
lock(struct append_file *f, struct err *e)
{
	int64_t now = clk_now();

	if (flock(f->fd, LOCK_EX | LOCK_NB) == 0) {
		f->locked_from_ns = 0;
		return true;
	}
	if (errno != EWOULDBLOCK) {
		err_errno(e, "cannot lock it");
		return false;
	}
	if (f->locked_from_ns == 0)
		f->locked_from_ns = now;
	if (now - f->locked_from_ns < LOCK_MOST)
		return false;
	if (!f->is_rotation_failing)
		log_warn(NULL, "another process keeps a file of lines locked: rotating it anyway",
			 "what=%s file=%s", f->what, f->path);
	return true;
}

/* True: another file is open.  If it fails, the lines go on into the file that is open. */
static bool
rotate(struct append_file *f)
{
	struct err e = {0};
	struct stat st;

	/* Another program may have emptied the file. */
	if (fstat(f->fd, &st) == 0 && (uint64_t)st.st_size < f->max_bytes) {
		f->bytes = (uint64_t)st.st_size;
		f->locked_from_ns = 0;
		return false;
	}
	if (lock(f, &e)) {
		if ((!is_still_named(f) || rename_file(f, &e) == 0) &&
		    append_file_open(f, &e) == 0) {
			f->is_rotation_failing = false;
			return true;
		}
		(void)flock(f->fd, LOCK_UN);
	} else if (e.text[0] == '\0') {
		return false;
	}
	f->rotate_from_ns = clk_now() + ROTATE_AGAIN;
	if (!f->is_rotation_failing)
		log_warn(NULL, "cannot rotate a file of lines: it grows beyond its bound",
			 "what=%s file=%s retry_s=%lld err=%s", f->what, f->path,
			 (long long)(ROTATE_AGAIN / CLK_S), e.text);
	f->is_rotation_failing = true;
	return false;
}

/* Does the name stand for another file by now, or is the file deleted?  A file that was renamed
 * stays in use until there is a new one: the program that renamed it makes that. */
static bool
is_replaced(const struct append_file *f)
{
	struct stat here, there;

	if (is_still_named(f) || fstat(f->fd, &here) < 0)
		return false;
	return stat(f->path, &there) == 0 ? S_ISREG(there.st_mode)
					  : errno == ENOENT && here.st_nlink == 0;
}

/* After an upgrade the old process gets no signal to reopen the file, and writes for as long as its
 * connections last. */
static bool
follow_name(struct append_file *f)
{
	int64_t now = clk_now();
	struct err e;

	if (now < f->look_from_ns)
		return false;
	f->look_from_ns = now + LOOK_EACH;
	if (!is_replaced(f))
		return false;
	if (append_file_open(f, &e) == 0)
		return true;
	if (!f->is_reopen_failing)
		log_warn(NULL, "cannot reopen a file of lines: the file was replaced",
			 "what=%s file=%s err=%s", f->what, f->path, e.text);
	f->is_reopen_failing = true;
	return false;
}

bool
append_file_turn(struct append_file *f)
{
	bool is_other;

	if (f->fd < 0 || !f->is_regular)
		return false;
	is_other = follow_name(f);
	if (f->max_bytes > 0 && f->bytes >= f->max_bytes && clk_now() >= f->rotate_from_ns)
		is_other = rotate(f) || is_other;
	return is_other;
}
