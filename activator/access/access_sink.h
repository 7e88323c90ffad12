/* access_sink - where the lines of the access log go: a file, standard output, or a socket of
 * syslog.
 *
 * No write waits for a reader: a pipe that nobody reads, a terminal that is stopped and a socket
 * without room give EAGAIN.  (A disk may take its time.)  A file that has grown to max_bytes is
 * renamed to FILE.1, in place of the one before, and begun anew.  A symbolic link is not: its file
 * grows on.  Where another file takes the name of the one that is open, the sink opens it within a
 * second.
 * Thread: the owner's; access_sink_open() and access_sink_free() any. */
#ifndef ACTIVATOR_ACCESS_ACCESS_SINK_H
#define ACTIVATOR_ACCESS_ACCESS_SINK_H

#include <sys/uio.h>

#include "common/err.h"

struct access_sink; /* opaque */

/* spec: "stdout", "unix:/dev/log", or a path.  max_bytes: of a file; 0: no bound.  A socket or a
 * pipe that is not there yet is no mistake: it is opened once it is.  NULL with err. */
NODISCARD struct access_sink *access_sink_open(const char *spec, uint64_t max_bytes, struct err *);
/* Spans, to a collector: see access_otlp.h. */
NODISCARD struct access_sink *access_sink_open_collector(const char *url, const char *ca);
void access_sink_free(struct access_sink **);

/* Open the file again by its name: it may have been renamed.  -1 with err: the one that was open
 * stays in use. */
NODISCARD int access_sink_reopen(struct access_sink *, struct err *);

/* What was written to `before` goes on here: not within a line. */
void access_sink_follow(struct access_sink *, const struct access_sink *before);

/* Write whole lines, as far as that goes without waiting.  Returns how many bytes were taken; -1
 * with errno: none.  A line may be taken in part: the rest of it comes first in the next call.
 * *dropped: lines that were taken and not delivered: one that is too long for a message of syslog,
 * or the rest of one whose beginning went to a file that is not open any more. */
NODISCARD ssize_t access_sink_write(struct access_sink *, const struct iovec *iov, int n,
				    uint64_t *dropped);

/* After -1, with the same errno: why. */
const char *access_sink_why(const struct access_sink *);
/* How long lines are gathered for one write, at first and while they come without a pause, and the
 * longest pause after failures. */
int access_sink_gather_ms(const struct access_sink *);
int access_sink_gather_most_ms(const struct access_sink *);
int access_sink_retry_most_ms(const struct access_sink *);

/* After EAGAIN: when it can be written to again, poll(2) says so of this descriptor; -1: nothing
 * says so. */
int access_sink_fd(const struct access_sink *);

/* As it was opened. */
const char *access_sink_name(const struct access_sink *);

#endif
