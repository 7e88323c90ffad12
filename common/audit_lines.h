/* audit_lines - reads the files of the audit: FILE.1, then FILE.  A line that is no whole record,
 * as a crash may leave one, is skipped and counted.
 * Blocks on the disk: never on a loop's thread.  Thread: any. */
#ifndef COMMON_AUDIT_LINES_H
#define COMMON_AUDIT_LINES_H

#include "common/audit_record.h"

struct strbuf;

/* The intents of a program without an outcome, the caller's to free, each by audit_left_fini(); but
 * not those whose ids begin with `run` or are those of a process that runs.  What cannot be read is
 * logged.  cancel: set by another thread if the answer is not needed any more. */
NODISCARD struct audit_left *audit_lines_left(const char *path, const char *program,
					      const char *run, const _Atomic bool *, size_t *n);

/* The id of a process for its records, unique on this machine; the caller's to free. */
NODISCARD char *audit_lines_run(int64_t wall_ns);

struct audit_search {
	const char *paths[2]; /* NULL: none */
	const char *name;     /* of a service or revision; NULL: any */
	int64_t since_ns;     /* wall clock */
	size_t bytes_max;     /* beyond that the oldest lines go */
};
struct audit_found {
	size_t lines, left_out, broken;
};
/* Append the lines of the files, in the order of their times.  A file that is not there has none.
 * -1 with err: a file cannot be read. */
NODISCARD int audit_lines_find(const struct audit_search *, const _Atomic bool *, struct strbuf *,
			       struct audit_found *, struct err *);

#endif
