/* notice - what a worker tells the main thread: each is posted to the control loop and
 * calls one of worker_ops there.  Thread: the worker's. */
#ifndef ACTIVATOR_NOTICE_H
#define ACTIVATOR_NOTICE_H

struct instance;
struct worker;

/* A connection to the instance failed: no request goes to it until a probe has found that
 * it answers (SLOTS_UNREADY). */
void notice_refused(struct worker *, struct instance *);
/* Requests wait for a connection to the instance, and idle ones count against its limit:
 * all workers are to close theirs. */
void notice_shed(struct worker *, struct instance *);
/* The worker has been told to drain, and has no connection left. */
void notice_drained(struct worker *);

#endif
