/* keeper - the process that the instances hang on.
 *
 * Why a process of its own: an instance must outlive a killed autoscaler (requests
 * go on), but must not outlive everything (no orphans, whatever dies).  Children of
 * the autoscaler could do only one of both.  So the autoscaler runs its own binary
 * once more as this small process, which does nothing but hold: it is parent and
 * subreaper of all instances, reads their pipes (else they would block, or die of
 * SIGPIPE, with their reader), knows their ids, ports and groups, and tells whichever
 * autoscaler connects to keeper.sock in state_dir.
 *
 *   autoscaler killed   instances go on; what they write is kept (the last 64 KiB of
 *                       each); none back within orphan_timeout: all are ended
 *   keeper killed       its children get SIGKILL from the kernel (PR_SET_PDEATHSIG);
 *                       what they forked is found by its group and its mark in the
 *                       environment, and killed by the autoscaler, or the next one
 *   both killed         as before: when the next autoscaler starts.  Where a control
 *                       group can be made (cgroup.h) nothing escapes that; else a
 *                       process that left its group and wiped its environment does
 *
 * It ends when it is told to leave and nothing is left, and with its last instance
 * while no autoscaler is there.  It holds keeper.lock in state_dir as long as it
 * lives (the descriptor is handed down by who starts it): one keeper at a time.
 * Thread: single, so that the death signal of its children, which is bound to the
 * thread that forks, means the process.  It never blocks.
 *
 * Room: autoscaler/keeper is the process that instances hang on, and what deals with
 * processes: spawning them, reading their output, control groups, the process table.  It
 * may use common/ alone.  It never decides when an instance is started or stopped: the
 * autoscaler's driver `process` tells it. */
#ifndef AUTOSCALER_KEEPER_KEEPER_H
#define AUTOSCALER_KEEPER_KEEPER_H

#include "common/err.h"

#define KEEPER_SOCKET "keeper.sock"
#define KEEPER_LOCK "keeper.lock"
#define KEEPER_CGROUP "keeper.cgroup"	  /* path of the control group, if there is one */
#define KEEPER_CGROUP_NAME "activator-%s" /* the last part of that path; of keeper_mark() */

/* First thing in main(): `if (keeper_is_asked(argc, argv)) return keeper_main(argc, argv);` */
bool keeper_is_asked(int argc, char **argv);
int keeper_main(int argc, char **argv);

/* Run this very binary as a keeper.  lock_fd is daemon_lock()'s, borrowed; the keeper
 * holds it from then on.  *ready_fd, the caller's, ends (reads 0 bytes) when it listens
 * or has failed.  The pid; -1 with err. */
NODISCARD pid_t keeper_start(const char *state_dir, int lock_fd, int log_level, int log_format,
			     int *ready_fd, struct err *);

/* The keeper's work, in the process that keeper_main() has prepared: listen in state_dir
 * (whose keeper_mark() is given), close ready_fd, and return when it is over.  -1 with err:
 * it cannot begin. */
NODISCARD int keeper_run(const char *state_dir, const char *mark, int ready_fd, struct err *);

/* What marks all that belongs to state_dir: by what the folder is, not by its name,
 * which is not the same in every container.  The caller's to free; NULL with err. */
NODISCARD char *keeper_mark(const char *state_dir, struct err *);

#endif
