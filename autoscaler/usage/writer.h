/* writer - the thread that reads the usage journal at the start and writes it from then on, so
 * that the event loop never waits for the disk.  Records that the disk does not take are kept and
 * tried again, the newest one of each part, up to a bound.  Beyond it the oldest are lost and
 * counted.  The log says when an outage begins, and at its end how many records were lost.
 * Thread: the loop's, except for what runs in its own. */
#ifndef AUTOSCALER_USAGE_WRITER_H
#define AUTOSCALER_USAGE_WRITER_H

#include "common/err.h"

struct account;
struct amounts;
struct hours;
struct journal;
struct loop;
struct writer; /* opaque */

/* Called once from the loop, when the journal has been read; hours is handed over. */
typedef void writer_loaded_fn(struct hours *, void *arg);

/* Start the thread; the journal is taken over; run: the id of this process, copied.  The journal is
 * read into *hours, which is taken over until it comes back by loaded().  NULL with err. */
NODISCARD struct writer *writer_start(struct loop *, const char *run, struct journal **,
				      struct hours **, writer_loaded_fn *loaded, void *arg,
				      struct err *);
/* Write what is left, for a few seconds at most, end the thread, and deliver loaded() if it did
 * not come yet. */
void writer_stop(struct writer **);

/* Add a record (record.h) of this run, in the place of the last one of its part; writer_flush()
 * wakes the thread.  All is copied; the thread makes a line of it. */
void writer_put(struct writer *, uint64_t part, int64_t hour, const struct account *,
		const struct amounts *);
void writer_flush(struct writer *);

/* Records that were written, that were lost, and that were broken when the journal was read. */
uint64_t writer_written(const struct writer *);
uint64_t writer_lost(const struct writer *);
uint64_t writer_broken(const struct writer *);
/* Records that wait to be written, and those that are being written. */
size_t writer_waiting(struct writer *);

#endif
