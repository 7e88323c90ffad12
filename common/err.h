/* err - an error: text for a person, and a code for a program.
 * A lower layer fills it and returns -1; the layer that decides what to do logs it, once.
 * The text reads `cannot <verb> <object>: <cause>`.  Thread: any. */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include "common/base.h"

struct err {
	int code;	/* an errno value, or 0 where none fits */
	char text[500]; /* not empty once set */
};

/* Fill e and return -1, for `return err_set(e, …)`.  e may be NULL. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As err_set(), with errno as the code and `: strerror(errno)` behind the text. */
int err_errno(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Put `prefix: ` before the text.  Returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
