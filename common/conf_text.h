/* conf_text - prepares the text of a conf file for libconfuse, which by itself miscounts
 * lines after comments, replaces ${NAME} by environment variables, refuses a NUL byte
 * without a message, drops a bare `*`, and accepts a section that is never closed.  The
 * prepared text has the same lines.
 * Thread: any. */
#ifndef COMMON_CONF_TEXT_H
#define COMMON_CONF_TEXT_H

#include "common/conf_errors.h"

struct conf_text {
	char *data; /* NUL-terminated; NULL: no text could be read, and an error was added */
	size_t n;
	bool is_truncated; /* it ends within a string, a comment or a section: an error was added */
};

/* Read and prepare the file that errors->file names. */
void conf_text_read(struct conf_text *, struct conf_errors *);
/* Prepare these n bytes. */
void conf_text_make(struct conf_text *, const char *bytes, size_t n, struct conf_errors *);
void conf_text_fini(struct conf_text *);

#endif
