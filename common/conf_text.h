/* conf_text - a conf file's bytes, made into a text that libconfuse reads as people
 * mean it, line for line the same.  Left to itself it loses count of lines at comments,
 * puts environment variables in place of ${NAME}, refuses a NUL byte without a word,
 * drops a bare `*`, and takes a section that is never closed for closed.
 * Thread: any. */
#ifndef COMMON_CONF_TEXT_H
#define COMMON_CONF_TEXT_H

#include "common/conf_errors.h"

struct conf_text {
	char *data; /* NUL-terminated; NULL: nothing can be read, an error was added */
	size_t n;
	bool is_cut; /* ends early, or sections are not closed: told already */
};

void conf_text_read(struct conf_text *, struct conf_errors *);
/* As conf_text_read(), of n bytes at hand. */
void conf_text_make(struct conf_text *, const char *bytes, size_t n, struct conf_errors *);
void conf_text_fini(struct conf_text *);

#endif
