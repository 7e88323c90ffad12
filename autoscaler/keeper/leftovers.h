/* leftovers - which processes an instance has left behind.  Ours are all that descend
 * from this process, the keeper, which adopts whoever loses its parent (subreaper);
 * whose each is tells its ancestor, its session, its group or its environment.
 * Thread: the keeper's only one. */
#ifndef AUTOSCALER_KEEPER_LEFTOVERS_H
#define AUTOSCALER_KEEPER_LEFTOVERS_H

#include "common/base.h"

struct child;
struct list;

/* Look once, in the process table, for what the ended ones of `all` (struct child) have
 * left, and end it (child_has_leftovers()).  on_none: nothing is left of this one; the
 * callback may take it off the list.  True: something is left of another one. */
bool leftovers_sweep(const struct list *all, void (*on_none)(struct child *, void *arg), void *arg);

/* SIGKILL to all that is left of anyone: when the keeper ends. */
void leftovers_kill_all(void);

#endif
