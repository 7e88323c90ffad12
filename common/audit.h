/* audit - the record of what has changed the world, by whom, from what to what, and what came of
 * it: two lines of JSON for each change (audit_record.h), in a file that is only appended to.
 *
 * A thread of its own writes each record at once and syncs them in groups, so that no request waits
 * for a disk.  Records that the disk does not take wait, up to a bound; beyond it they are lost:
 * that is counted, and the log and the file itself say so.  Several processes may write to one
 * file.  When it has grown to its bound it is renamed to FILE.1, in place of the one before.
 *
 * A process that was killed leaves intents without an outcome.  The next one finds them at its
 * start, and ends each by what the world shows then.
 *
 * Each function but audit_move() takes NULL, and does nothing then.
 * Thread: the loop's. */
#ifndef COMMON_AUDIT_H
#define COMMON_AUDIT_H

#include "common/audit_record.h"

struct audit; /* opaque */
struct loop;

struct audit_ops {
	/* After audit_open() or audit_look(): the changes that processes have left without an
	 * outcome, v for audit_left_free().  Each of them needs audit_end_left(). */
	void (*left)(struct audit_left *v, size_t n, void *arg);
};

struct audit_conf {
	const char *path;    /* copied; NULL: the audit is off */
	uint64_t max_bytes;  /* 0: no bound */
	const char *program; /* "autoscaler"; borrowed */
};

/* NULL with err: the file cannot be opened, or no thread be started.  ops is borrowed. */
NODISCARD struct audit *audit_open(struct loop *, const struct audit_conf *,
				   const struct audit_ops *, void *arg, struct err *);
/* Write what is left, for a few seconds at most. */
void audit_close(struct audit **);
/* Go on in another file, or with another bound, from the next intent on.  path NULL: off.  What is
 * under way still gets its outcome.  The same file and bound: as audit_reopen().  -1 with err:
 * nothing has changed. */
NODISCARD int audit_move(struct audit *, const char *path, uint64_t max_bytes, struct err *);
void audit_reopen(struct audit *);	      /* the file may have been renamed */
const char *audit_path(const struct audit *); /* NULL: it is off */

/* A change under way.  The texts of its subject are borrowed until its outcome. */
struct audit_entry {
	char id[64]; /* "": none is under way */
	struct audit_subject subject;
	int64_t begun_ns;
};

/* Before the change: *entry is for its outcome. */
void audit_intent(struct audit *, struct audit_entry *entry, const struct audit_change *);
/* After it.  Nothing if no change is under way.  AUDIT_FAILED for a scale does not end it. */
void audit_outcome(struct audit *, struct audit_entry *, enum audit_result, const char *why,
		   struct audit_value now);
/* Both at once, for what others have done. */
void audit_note(struct audit *, const struct audit_change *);
/* Wait until what was put is in the file (not: on the disk), but 100 ms at most, and not again
 * until the disk has taken a record: for changes that wait for the disk anyway. */
void audit_settle(struct audit *);

/* Another process that writes to the file has ended: look for what it has left. */
void audit_look(struct audit *);
void audit_end_left(struct audit *, const struct audit_left *, enum audit_result, const char *why,
		    struct audit_value now);
void audit_left_free(struct audit_left **v, size_t n);

struct audit_counts {
	uint64_t written, lost;
};
void audit_count(const struct audit *, struct audit_counts *);

#endif
