/* journal - the usage records on disk: state_dir/usage/YYYY-MM-DD.journal, one file for each day
 * (UTC), one line for each record.
 *
 * Records are appended and synced.  A record that was torn by a crash, or that does not agree with
 * its checksum, is skipped when the file is read, and the log says how many were.  A file in which
 * most records are outdated by later ones is rewritten with the others: under another name, which
 * then replaces it, so that a crash leaves one file or the other.  The oldest files are removed
 * when there are too many days or bytes.
 * It blocks on the disk: never on the loop's thread.  Thread: the owner, one at a time. */
#ifndef AUTOSCALER_USAGE_JOURNAL_H
#define AUTOSCALER_USAGE_JOURNAL_H

#include "common/err.h"

struct hours;
struct journal; /* opaque */

struct journal_conf {
	const char *state_dir;
	const char *run;    /* the id of this process, as in its records */
	uint32_t days_max;  /* files that are kept */
	uint64_t bytes_max; /* of all files together */
};

/* Touches no file yet; what conf points to is copied. */
NODISCARD struct journal *journal_new(const struct journal_conf *);
void journal_free(struct journal **);

/* Read all files into hours; what cannot be read is logged.  Returns how many records are broken; a
 * file that cannot be read counts as one.  To be called before the first journal_append(). */
size_t journal_load(struct journal *, struct hours *);

/* Append n bytes, which are whole records of that day (since the epoch), and sync them.  0, or -1
 * with err: then none of them is in the file. */
NODISCARD int journal_append(struct journal *, int64_t day, const char *records, size_t n,
			     struct err *);

#endif
