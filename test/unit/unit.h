/* unit - for all unit tests: cmocka with the headers that it needs, and helpers that catch
 * standard error, expect an abort, or make a folder. */
#ifndef TEST_UNIT_UNIT_H
#define TEST_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base.h"

/* Returns what fn(arg) writes to standard error, NUL-terminated, for free(). */
static inline char *
unit_stderr_of(void (*fn)(void *arg), void *arg)
{
	int saved = dup(STDERR_FILENO), fd = memfd_create("stderr", MFD_CLOEXEC);
	off_t n;
	char *text;

	assert_true(saved >= 0 && fd >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND),
			 0); /* else threads would overwrite each other */
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	fn(arg);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	n = lseek(fd, 0, SEEK_END);
	text = xcalloc(1, (size_t)n + 1);
	assert_int_equal(pread(fd, text, (size_t)n, 0), n);
	close(fd);
	return text;
}

/* Run fn(arg) in a child process without standard error.  Returns its wait status. */
static inline int
unit_status_of(void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		signal(SIGABRT, SIG_DFL);
		dup2(null, STDERR_FILENO);
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static inline void
unit_expect_abort(void (*fn)(void *arg), void *arg)
{
	int status = unit_status_of(fn, arg);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* Make a folder for a test, below $TMPDIR or /tmp.  The caller removes it and frees the
 * path. */
static inline char *
unit_dir(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path = xasprintf("%s/activator-unit-XXXXXX", tmp == NULL ? "/tmp" : tmp);

	assert_non_null(mkdtemp(path));
	return path;
}

#endif
