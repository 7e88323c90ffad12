/* log_fd - writes log lines to standard error and never blocks: a log collector that does not
 * read, or Ctrl-S in a terminal, must not stop an event loop.
 * Thread: any; the lines of several threads do not mix. */
#ifndef COMMON_LOG_FD_H
#define COMMON_LOG_FD_H

#include "common/base.h"

/* Write n bytes, at most PIPE_BUF (4096), which a pipe takes whole or not at all.
 * False: standard error has no room for them, or nothing can read it any more. */
NODISCARD bool log_fd_write(const char *text, size_t n);

/* Open /dev/null for each of the descriptors 0, 1 and 2 that is closed, so that none of them
 * becomes a socket that log lines or a child's output go into.  To be called before anything
 * else opens a descriptor. */
void log_fd_reserve_standard(void);

#endif
