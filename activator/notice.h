/* notice - what a worker reports to the main thread: each call posts mail to the control
 * loop, where one of struct worker_ops is called.  Thread: the worker's. */
#ifndef ACTIVATOR_NOTICE_H
#define ACTIVATOR_NOTICE_H

struct instance;
struct worker;

/* The instance refused a connection or reset one: close its slots (SLOTS_UNREADY) until a
 * probe has found that it answers. */
void notice_refused(struct worker *, struct instance *);
/* The first response of the instance has begun (instance.has_served). */
void notice_served(struct worker *, struct instance *);
/* A request waits for a connection to the instance, and idle ones use up its limit: all
 * workers are to close theirs. */
void notice_shed(struct worker *, struct instance *);
/* The worker drains, and its last connection has ended. */
void notice_drained(struct worker *);

#endif
