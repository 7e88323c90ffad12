/* learned - keeps in state_dir what was learned of each revision, over a restart of the
 * autoscaler: idle times, the slow brain's target, response and start-up times, and that
 * initial_scale was reached.  Without it, days of observation would be lost, and a target that
 * falls back to the configured one for a minute overloads instances for a minute.
 * The file has one JSON object a line.  Lines that cannot be read are left out, and the log
 * says so.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_LEARNED_H
#define AUTOSCALER_RECONCILE_LEARNED_H

#include "autoscaler/reconcile/reconcile.h"

struct learned; /* opaque */

/* Read the file that the last autoscaler wrote.  Never fails: there may be none. */
NODISCARD struct learned *learned_open(const char *state_dir);
void learned_close(struct learned **);

/* Hand what was read to the revisions that did not get it yet. */
void learned_teach(struct learned *, const struct reconcile *);
/* Replace the file by what the revisions know now.  What was read of a revision that has not
 * appeared is kept for a week.  Of thousands of revisions that takes seconds: so it can be done in
 * steps.  learned_save_begin() drops a save that is under way; learned_save_some() returns whether
 * there is more to do; learned_save() does all at once. */
void learned_save_begin(struct learned *, const struct reconcile *);
bool learned_save_some(struct learned *, const struct reconcile *);
void learned_save(struct learned *, const struct reconcile *);

#endif
