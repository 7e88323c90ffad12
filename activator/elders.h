/* elders - the older activators that still finish their requests after an upgrade.  Each is known
 * by a pidfd, which the process before has handed over, so that its end is noticed for certain;
 * its part of the bounds is free from then on.
 * Thread: main. */
#ifndef ACTIVATOR_ELDERS_H
#define ACTIVATOR_ELDERS_H

#include <sys/types.h>

#include "activator/bounds.h"

struct elders; /* opaque; elders.c */
struct handover_msg;
struct loop;

/* bounds is borrowed.  on_ended may be NULL. */
struct elders *elders_new(struct loop *, struct bounds *, void (*on_ended)(pid_t, void *arg),
			  void *arg);
void elders_free(struct elders **);

/* pidfd becomes ours.  on_ended follows from the loop. */
void elders_add(struct elders *, pid_t, int pidfd);
size_t elders_count(const struct elders *);
/* The pid of each, as "12, 34"; borrowed until the next call. */
const char *elders_text(struct elders *);
/* Put all into a message, with their pidfds, which stay ours. */
void elders_put(const struct elders *, struct handover_msg *);

#endif
