/* schedule - the `schedule` entries of one revision: which of them hold at a wall clock time.
 * An entry begins at each minute that its cron expression matches in its time zone, and holds
 * for its duration.  A minute that is skipped when the clocks go forward begins when they have
 * been put forward; one that occurs twice when they go back begins twice.
 * Pure but for the opening of time zones.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_SCHEDULE_H
#define AUTOSCALER_BRAIN_SCHEDULE_H

#include "common/settings.h"

struct schedules; /* opaque */

/* v is borrowed.  An entry whose time zone cannot be opened never holds; err says which, and
 * is empty if there is none. */
NODISCARD struct schedules *schedules_new(const struct schedule *v, size_t n, struct err *);
void schedules_free(struct schedules **);

struct schedule_now {
	uint32_t min_scale; /* the highest of the entries that hold; 0: none holds */
	const char *name;   /* of that entry; NULL: none holds */
};
/* Evaluates the entries once a minute; other calls cost nothing. */
struct schedule_now schedules_at(struct schedules *, int64_t wall_ns);

#endif
