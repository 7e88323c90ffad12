/* usage - what the instances use, read from /proc: CPU and memory of a process and
 * all that descend from it or are of its session.  Read at most once a second, and
 * at most for a hundredth of the time, however many processes the machine has.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_PROCESS_USAGE_H
#define AUTOSCALER_PROCESS_USAGE_H

#include "common/base.h"

struct usage_sample {
	pid_t pid;
	void *owner;  /* the caller's; goes with it */
	double cpu_s; /* < 0: it is not there */
	uint64_t memory_bytes;
};

/* Fill in v, which is put in the order of pids; keeper is the parent of them all.
 * Returns how long to wait before the next call, ns. */
int64_t usage_read(struct usage_sample *v, size_t n, pid_t keeper);

#endif
