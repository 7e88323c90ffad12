/* keeper - the process that is the parent of all instances of the driver `process`.
 *
 * Why it exists: an instance must outlive an autoscaler that was killed, so that requests
 * go on, but it must not outlive everything: no process may be left behind, whatever dies.
 * Children of the autoscaler itself could do only one of the two.  So the autoscaler
 * executes its own binary once more, as this small second process.
 *
 * What it does:
 *   - It forks and executes an instance when the autoscaler asks for one, and stops it
 *     when the autoscaler asks for that.
 *   - It is the parent of the instances and the subreaper (prctl(2)) of what they start:
 *     a process that loses its parent becomes a child of the keeper.
 *   - It reads what instances write to stdout and stderr.  Without a reader they would
 *     block on a full pipe, or die of SIGPIPE.  It keeps the last lines of each revision
 *     (logbook.h), and sends them to an autoscaler that asks.
 *   - It remembers id, revision, port and pid of each instance, and reports them to every
 *     autoscaler that connects to keeper.sock in state_dir (keeper_msg.h: the protocol).
 * The autoscaler decides how many instances run, and what a crash means.  The keeper stops
 * instances of its own accord in one case: no autoscaler connects within orphan_timeout.
 *
 *   if this dies   then
 *   autoscaler     The instances run on, and the keeper holds the last 64 KiB of what each
 *                  writes.  The next autoscaler adopts them.  If none connects within
 *                  orphan_timeout, the keeper stops all instances and exits.
 *   keeper         The kernel sends SIGKILL to the keeper's children (PR_SET_PDEATHSIG).
 *                  The autoscaler finds what these had started, by process group and by a
 *                  mark in the environment, kills it, and starts another keeper.
 *   both           The next autoscaler does the same when it starts.  Nothing escapes it
 *                  where a control group can be made (cgroup.h); elsewhere a process
 *                  that has left its group and cleared its environment escapes.
 *
 * The keeper exits when it has no instance, and either shuts down (asked by a message or SIGTERM,
 * or after orphan_timeout) or has no autoscaler connected.  After its start it waits 30 s for the
 * first hello.  It holds keeper.lock in state_dir as long as it lives, so there is one keeper at a
 * time: the autoscaler takes the lock and hands the descriptor down.
 *
 * Thread: one.  PR_SET_PDEATHSIG acts when the forking thread ends; with a single thread
 * that is the end of the process.  The keeper never blocks.
 *
 * Room: autoscaler/keeper is that process, and all code that deals with processes: how one
 * is spawned, its output, control groups, the process table.  It may use common/ alone.  It
 * never decides when an instance starts or stops: the driver `process` does. */
#ifndef AUTOSCALER_KEEPER_KEEPER_H
#define AUTOSCALER_KEEPER_KEEPER_H

#include "common/err.h"

#define KEEPER_SOCKET "keeper.sock"
#define KEEPER_LOCK "keeper.lock"
#define KEEPER_CGROUP "keeper.cgroup"	  /* file with the path of the control group */
#define KEEPER_CGROUP_NAME "activator-%s" /* its last component; filled with keeper_mark() */

/* For the first line of main(): if argv asks for a keeper, return keeper_main(argc, argv). */
bool keeper_is_asked(int argc, char **argv);
int keeper_main(int argc, char **argv);

/* Execute this binary as a keeper.  lock_fd is from daemon_lock() and borrowed: the keeper
 * gets a copy of it, and so the lock.  *ready_fd is the caller's; it reads end of file once
 * the keeper listens or has failed.  Returns the pid; -1 with err. */
NODISCARD pid_t keeper_start(const char *state_dir, int lock_fd, int log_level, int log_format,
			     int *ready_fd, struct err *);

/* The keeper's work, in the process that keeper_main() has prepared: listen in state_dir
 * (mark: its keeper_mark()), close ready_fd, return when the keeper is to exit.  -1 with
 * err: it cannot listen. */
NODISCARD int keeper_run(const char *state_dir, const char *mark, int ready_fd, struct err *);

/* The mark of everything that belongs to state_dir: its device and inode number, because
 * its name may differ from container to container.  Processes carry it in their
 * environment, the control group in its name.  The caller's to free; NULL with err. */
NODISCARD char *keeper_mark(const char *state_dir, struct err *);

#endif
