/* activators - the activators that may hold slots (reconcile/sharing.h), and whether their
 * processes have ended.
 *
 * state_dir/activators.json has the id and the process of each one that has ever connected, until
 * its process has ended and it holds nothing any more; and the term of the autoscaler that wrote
 * it.  So the next autoscaler knows which activators may be using slots before they connect.
 *
 * The kernel says when a process ends (pidfd).  One that the kernel shows no longer by its number,
 * as one in a container of its own after a restart of the autoscaler, holds a lock beside the
 * socket for its lifetime (common/lifelock.h).  Without that lock, too, it counts as ended when it
 * has not been connected for UNSEEN_PATIENCE. Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_ACTIVATORS_H
#define AUTOSCALER_ACTIVATORS_H

#include <sys/types.h>

#include "common/err.h"

struct activators; /* opaque */
struct loop;

struct activators_ops {
	/* The process has ended.  Called from the loop only. */
	void (*on_dead)(const char *id, void *arg);
};

/* Read the file, and write it with the term of this autoscaler.  The caller holds the lock of
 * state_dir.  Errors are logged: then this autoscaler's term comes from the clock alone. */
NODISCARD struct activators *activators_open(struct loop *, const char *state_dir,
					     const char *socket, const struct activators_ops *,
					     void *arg);
void activators_close(struct activators **);

/* A higher term holds from now on; it is on disk, as far as that is possible. */
void activators_raise_term(struct activators *, uint64_t term);
uint64_t activators_term(const struct activators *); /* higher than those of all before */
/* Has the file still to be written, since the last try failed? */
bool activators_is_dirty(const struct activators *);
/* Has an earlier autoscaler left a file that could be read? */
bool activators_has_record(const struct activators *);
/* All that are known: ids, n of them; the array is the caller's, the strings are borrowed until
 * the next call. */
NODISCARD const char **activators_ids(const struct activators *, size_t *n);

/* An activator has connected.  pid: -1 or 0: the kernel does not show it.  pidfd: of its process,
 * is taken over; -1: none.  Returns once it is on disk.  -1 with err: its process, which has one id
 * for its lifetime, has sent too many. */
NODISCARD int activators_up(struct activators *, const char *id, pid_t pid, int pidfd,
			    struct err *);
void activators_down(struct activators *, const char *id);
/* It holds nothing any more, and its process has ended. */
void activators_forget(struct activators *, const char *id);

#endif
