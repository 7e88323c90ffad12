/* task - one call in a thread of its own, for work that blocks on a disk or takes long; its end is
 * reported to the loop that has begun it.
 * Thread: the loop's, but for run(). */
#ifndef COMMON_TASK_H
#define COMMON_TASK_H

#include "common/err.h"

struct loop;
struct task; /* opaque */

struct task_ops {
	/* In the thread.  It may end early once *cancel is true. */
	void (*run)(void *arg, const _Atomic bool *cancel);
	/* On the loop, after run() has returned; the task is freed by then. */
	void (*done)(void *arg);
};

/* ops and arg are borrowed until done().  NULL with err: no thread could be started. */
NODISCARD struct task *task_start(struct loop *, const struct task_ops *, void *arg, struct err *);
/* Wait until run() has returned; done() is not called. */
void task_cancel(struct task **);

#endif
