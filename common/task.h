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
	/* The same in place of done(), after task_cancel().  NULL: it is never called. */
	void (*cancelled)(void *arg);
};

/* ops and arg are borrowed until done() or cancelled().  NULL with err: no thread could be started.
 */
NODISCARD struct task *task_start(struct loop *, const struct task_ops *, void *arg, struct err *);
/* Call cancelled() in place of done(), once run() has returned.  It waits for nothing: the disk may
 * hold the thread up. */
void task_cancel(struct task *);
/* For the shutdown: wait until run() has returned, and call neither.  False: it has not until that
 * time (clk_now()), and ops and arg stay borrowed for good. */
NODISCARD bool task_stop(struct task **, int64_t until_ns);

#endif
