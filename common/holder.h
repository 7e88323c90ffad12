/* holder - which process listens at an address, for the message "address in use".  Reads
 * /proc; only root sees processes of other users.  Thread: any.  Slow, because it looks at
 * every process: for start-up only. */
#ifndef COMMON_HOLDER_H
#define COMMON_HOLDER_H

#include "common/addr.h"

#define HOLDER_TEXT 64

/* Write "process 123 (nginx)" into buf, or "another process" if /proc does not tell.
 * Returns buf. */
const char *holder_of(const struct addr *, char buf[HOLDER_TEXT]);

/* Write "process 123 (nginx)" into buf for the process pid.  Returns buf. */
const char *holder_name(long pid, char buf[HOLDER_TEXT]);

#endif
