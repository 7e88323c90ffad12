/* file - a small file read as a whole: a certificate, a template, a file of /proc.
 * Blocks; never on the request path.  Thread: any. */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include <sys/stat.h>

#include "common/err.h"

/* The beginning of a path that stands for a file which systemd passes to the unit
 * (LoadCredential=): "credential:NAME" is the file NAME of $CREDENTIALS_DIRECTORY.  Both functions
 * know it. */
#define FILE_CREDENTIAL "credential:"

/* The bytes of the file at path with a NUL behind them, the caller's to free; *n: how
 * many there are (n may be NULL).  NULL with err: it cannot be read, or holds more than
 * max bytes (code EFBIG). */
NODISCARD char *file_read(const char *path, size_t max, size_t *n, struct err *);

/* Of n bytes (FNV-1a): it tells an edited file from the one before; it is no protection. */
uint64_t file_digest(const char *bytes, size_t n);

/* As stat(2). */
int file_stat(const char *path, struct stat *);

#endif
