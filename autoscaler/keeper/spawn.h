/* spawn - fork and exec of one instance, without waiting for it: the result of the exec is
 * read from a pipe, which a successful exec closes.
 * The child gets a session and a process group of its own (so that one signal reaches all of
 * it), /dev/null as stdin, one pipe as stdout and stderr, no other descriptor, default
 * signal handlers and limits, and SIGKILL when its parent dies (PR_SET_PDEATHSIG).
 * Thread: for processes with a single thread, because PDEATHSIG acts at the end of the
 * forking thread, and because the child allocates memory between fork and exec. */
#ifndef AUTOSCALER_KEEPER_SPAWN_H
#define AUTOSCALER_KEEPER_SPAWN_H

#include "common/err.h"

struct spawn {
	char *const *argv; /* argv[0] is looked up in the PATH of env */
	char *const *env;
	const char *directory; /* NULL: that of the keeper; a relative argv[0] is looked up in it */
	const char *user;      /* NULL: that of the keeper */
	int cgroup_fd;	       /* folder of its control group, borrowed; -1: none */
};

/* Fork.  Returns the pid, or -1 with err.  *output_fd and *result_fd are the caller's,
 * non-blocking and close-on-exec; result_fd is for spawn_result(). */
NODISCARD pid_t spawn_start(const struct spawn *, int *output_fd, int *result_fd, struct err *);

enum spawn_result {
	SPAWN_PENDING,	/* not known yet */
	SPAWN_EXECUTED, /* exec has succeeded */
	SPAWN_FAILED	/* it has not; err says why; the child ends by itself */
};
enum spawn_result spawn_result(int result_fd, const struct spawn *, struct err *);

#endif
