/* file - a small file read as a whole: a certificate, a template, a file of /proc.
 * Blocks; never on the request path.  Thread: any. */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include "common/err.h"

/* The bytes of the file at path with a NUL behind them, the caller's to free; *n: how
 * many there are (n may be NULL).  NULL with err: it cannot be read, or holds more than
 * max bytes (code EFBIG). */
NODISCARD char *file_read(const char *path, size_t max, size_t *n, struct err *);

#endif
