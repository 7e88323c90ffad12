/* renewal - which instances of a revision end although as many are wanted, and are replaced: those
 * that have become older than max_lifetime, and those that have had max_requests.
 *
 *	due	Another instance is to be started in its place: while it is there, the driver is
 *		asked for more than is wanted (the surge), as far as max_surge and max_instances
 *		allow it.
 *	ending	It gets no new requests, is drained, and is stopped then, whatever number is wanted.
 *		One that is too old is ending once the others that are ready are as many as wanted.
 *		If no surge is possible, one is ending at a time, and the one in its place starts
 *		afterwards.  One that is spent (it has had max_requests) is ending at once.  It was
 *		due before that, if max_requests is at least eight.
 *
 * An instance that works in the background (x-activator-busy) does not end before it is done. While
 * another client holds the scale, nothing is replaced.  Of a StatefulSet nothing is replaced
 *either: the platform chooses which pod goes. No I/O but the log; the time is an argument.  Thread:
 *the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_RENEWAL_H
#define AUTOSCALER_RECONCILE_RENEWAL_H

#include "autoscaler/reconcile/scaled.h"

/* How old an instance becomes: max_lifetime less up to a tenth of it, which its id decides, so
 * that it is the same after a restart of the autoscaler. */
int64_t renewal_lifetime(int64_t max_lifetime_ns, const char *id);

/* Mark what is due and what is ending.  headroom: the most that the driver may be asked for
 * (quota.h).  To be called whenever the revision is acted on. */
void renewal_mark(struct scaled_revision *, uint32_t headroom, int64_t now_ns);

/* How many more than are wanted the driver is to be asked for. */
uint32_t renewal_surge(const struct scaled_revision *);

/* Instances that are ending: all, or only those that are due. */
uint32_t renewal_ending(const struct instances *, bool is_due_only);

/* Where the platform stores the scale, it must have seen the lower number before it sees a higher
 * one again: else it would stop nothing.  So must the driver be asked for `more` later, once it
 * shows that it stops what it was asked to stop?  No, if more is wanted than these. */
bool renewal_must_wait(const struct scaled_revision *, uint32_t more, int64_t now_ns);
/* Work out scaled_revision.scale_extra, after the driver was asked. */
void renewal_count_extra(struct scaled_revision *);

#endif
