/* spawn - fork and exec of one instance, without ever waiting for it: what became
 * of the exec is read from a pipe that the exec itself closes.
 * The child gets a session and a process group of its own (so that all of it can be
 * signalled), /dev/null as stdin, one pipe as stdout and stderr, no other descriptor,
 * default signals, and the death of its parent as SIGKILL (PR_SET_PDEATHSIG).
 * Thread: a process with a single one (PDEATHSIG is bound to the thread that
 * forks, and the child allocates between fork and exec). */
#ifndef AUTOSCALER_KEEPER_SPAWN_H
#define AUTOSCALER_KEEPER_SPAWN_H

#include "common/err.h"

struct spawn {
	char *const *argv; /* argv[0] is looked up in the PATH of env */
	char *const *env;
	const char *directory; /* NULL: ours.  A relative argv[0] starts there */
	const char *user;      /* NULL: ours */
	int cgroup_fd;	       /* folder of a control group, borrowed; -1: none */
};

/* Fork.  The pid, or -1.  *output_fd and *result_fd are the caller's, non-blocking and
 * close-on-exec; result_fd is for spawn_result(). */
NODISCARD pid_t spawn_start(const struct spawn *, int *output_fd, int *result_fd, struct err *);

enum spawn_result {
	SPAWN_PENDING,	/* nothing said yet */
	SPAWN_EXECUTED, /* the program has been executed */
	SPAWN_FAILED	/* it has not; err says why; the child ends by itself */
};
enum spawn_result spawn_result(int result_fd, const struct spawn *, struct err *);

#endif
