/* leftovers - the processes that an instance has left behind when its first process ended.
 * The keeper is the subreaper of its instances, so each leftover descends from the keeper.
 * Which instance one belongs to follows from its session, its process group, its
 * environment, or the same of its oldest ancestor below the keeper.
 * Thread: the keeper's only one. */
#ifndef AUTOSCALER_KEEPER_LEFTOVERS_H
#define AUTOSCALER_KEEPER_LEFTOVERS_H

#include "common/base.h"

struct child;
struct list;

/* Read the process table once, and terminate what the ended ones of `all` (struct child)
 * have left (child_end_leftovers()).  on_none: nothing is left of this child; the callback
 * may take it off the list.  True: something is left of another one. */
bool leftovers_sweep(const struct list *all, void (*on_none)(struct child *, void *arg), void *arg);

/* Send SIGKILL to every descendant of the keeper: before it exits. */
void leftovers_kill_all(void);

#endif
