/* leftovers - which processes an instance has left behind.  Ours are all that descend
 * from this process, the keeper, which adopts whoever loses its parent (subreaper);
 * whose each is tells its ancestor, its session, its group or its environment.
 * Thread: the keeper's only one. */
#ifndef AUTOSCALER_KEEPER_LEFTOVERS_H
#define AUTOSCALER_KEEPER_LEFTOVERS_H

#include "common/base.h"

struct child;
struct list;
struct proctab;
struct proctab_entry;

/* Put what is left of c, one of `all` (struct child), into left, which has room for
 * t->n; how many.  t is read, and its roots are set by our pid.  Descendants of a first
 * process that lives are not left: they are that one's to end. */
size_t leftovers_of(const struct list *all, const struct child *c, const struct proctab *t,
		    const struct proctab_entry **left);

/* SIGKILL to all that is left of anyone: when the keeper ends. */
void leftovers_kill_all(void);

#endif
