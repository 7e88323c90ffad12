/* relaunch - the upgrade of the autoscaler: the binary that is on disk now takes the place of this
 * process by execve(2), with its pid, arguments and environment.  Instances hang on the keeper
 * process, and requests to them go on.
 *
 * Before, the binary has to check the conf file (-t) without a mistake: one that cannot be
 * executed, crashes or hangs takes nobody's place. Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RELAUNCH_H
#define AUTOSCALER_RELAUNCH_H

#include "common/err.h"

struct loop;
struct relaunch; /* opaque; relaunch.c */

/* argv: of this process.  on_checked: return NULL, close everything, and then call
 * relaunch_exec(); or return why the binary may not take this one's place any more. */
struct relaunch *relaunch_new(struct loop *, char *const *argv,
			      const char *(*on_checked)(void *arg), void *arg);
/* A check that is under way is ended, and done is called. */
void relaunch_free(struct relaunch **);

/* Begin.  done is called from the loop with why NULL, if the binary takes this one's place, or with
 * why not; it may be NULL.  -1 with err: it cannot begin, and done is not called.  Either is
 * logged.
 */
NODISCARD int relaunch_begin(struct relaunch *, void (*done)(const char *why, void *arg),
			     void *done_arg, struct err *);
uint64_t relaunch_failures(const struct relaunch *);

/* Returns only if it has failed, which is logged. */
void relaunch_exec(char *const *argv);

#endif
