/* access_log - the thread that writes the access log, and what it shares with the workers: a ring
 * for each, and where the lines go.
 *
 * A worker puts a line into its ring, and at the end of its round announces what it has put: that
 * wakes the thread if the thread waits for lines, or if the ring fills up.  Otherwise the thread
 * gathers lines for a moment and writes them in one system call.  Nothing that the thread waits for
 * (a full disk, a pipe that nobody reads, a socket that is gone) holds a worker up: lines that find
 * no room in a ring are counted as lost, and the program's log says how many.
 *
 * Thread: main, but for access_log_announce().
 *
 * Room: activator/access makes the lines of the access log and the spans of requests, and writes
 * them.  Its files take values and bytes.  They may use common/, the names of phases
 * (activation.h), and what activator/http has for writing into a buffer; they know no request, no
 * connection and no worker. */
#ifndef ACTIVATOR_ACCESS_ACCESS_LOG_H
#define ACTIVATOR_ACCESS_ACCESS_LOG_H

#include "activator/access/access_ring.h"
#include "common/err.h"

struct access_log; /* opaque */
struct access_sink;

/* What the lines are. */
enum access_lines { ACCESS_LINES, ACCESS_SPANS };

/* With a ring for each of n workers.  NULL with err: no thread could be started.  Takes over the
 * sink. */
NODISCARD struct access_log *access_log_new(enum access_lines, unsigned n, struct access_sink **,
					    struct err *);
/* The workers have ended.  Writes what is left, unless that takes too long. */
void access_log_free(struct access_log **);

/* The ring of a worker, borrowed. */
struct access_ring *access_log_ring(struct access_log *, unsigned worker);

/* What waits, and what comes from now on, goes to this sink, which is taken over. */
void access_log_set_sink(struct access_log *, struct access_sink **);
/* The file may have been renamed: open it again by its name. */
void access_log_reopen(struct access_log *);

struct access_counts {
	uint64_t lines, lost, left_out;
};
void access_log_count(const struct access_log *, struct access_counts *);

/* The worker, at the end of a round: its ring has lines. */
void access_log_announce(struct access_log *, struct access_ring *);

#endif
