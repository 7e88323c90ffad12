/* holder - who listens at an address, for the message "address in use".  Reads
 * /proc; sees other users' processes only as root.  Thread: any; slow (walks all
 * processes), so for start-up only. */
#ifndef COMMON_HOLDER_H
#define COMMON_HOLDER_H

#include "common/addr.h"

#define HOLDER_TEXT 64

/* "process 123 (nginx)" into buf, or "another process" where that cannot be seen.
 * Returns buf. */
const char *holder_of(const struct addr *, char buf[HOLDER_TEXT]);

/* "process 123 (nginx)" for a process that is known.  Returns buf. */
const char *holder_name(long pid, char buf[HOLDER_TEXT]);

#endif
