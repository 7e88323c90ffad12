/* usage - CPU and memory of the instances, read from /proc: an instance is its first process,
 * all descendants of it, and all processes of its session.  Read at most once a second, and
 * for at most a hundredth of the time, however many processes the machine has.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_PROCESS_USAGE_H
#define AUTOSCALER_PROCESS_USAGE_H

#include "common/base.h"

struct usage_sample {
	pid_t pid;    /* of the first process */
	void *owner;  /* the caller's */
	double cpu_s; /* < 0: it does not exist */
	uint64_t memory_bytes;
};

/* Fill in cpu_s and memory_bytes of v, and sort v by pid; keeper is the parent of them all.
 * Returns how many ns to wait before the next call. */
int64_t usage_read(struct usage_sample *v, size_t n, pid_t keeper);

#endif
