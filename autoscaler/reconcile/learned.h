/* learned - what was learned of each revision, kept in state_dir over a restart of ours:
 * idle times, the slow brain's target, response and start-up times, and that it is not
 * new (initial_scale).  Days of watching
 * would be lost else, and a target that falls back to the configured one for a minute is
 * a minute of overload.  One JSON object a line; what cannot be read is left out, and the
 * log says so.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_LEARNED_H
#define AUTOSCALER_RECONCILE_LEARNED_H

#include "autoscaler/reconcile/reconcile.h"

struct learned; /* opaque */

/* Read what the one before left.  Never fails: nothing may be there. */
NODISCARD struct learned *learned_open(const char *state_dir);
void learned_close(struct learned **);

/* Hand it to the revisions that have not had it yet. */
void learned_teach(struct learned *, const struct reconcile *);
/* Write what they know now, in place of what was there.  What was read of revisions that
 * have not appeared is kept for a week. */
void learned_save(struct learned *, const struct reconcile *);

#endif
