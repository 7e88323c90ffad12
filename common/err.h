/* err - what went wrong, as text for a person and a code for a program.
 * Lower layers fill it and return -1; the layer that decides logs it, once.
 * Text reads `cannot <verb> <object>: <cause>`.  Thread: any. */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include "common/base.h"

struct err {
	int code;	/* an errno value, or 0 where none fits */
	char text[500]; /* never empty once set */
};

/* Fill e and return -1, so that `return err_set(e, …)` reads well.  A NULL e is
 * allowed: the caller does not want to know. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As err_set() with code errno and `: strerror(errno)` behind the text. */
int err_errno(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Put `prefix: ` before the text that is there.  Returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
