/* schedule - the `schedule` sections of one revision: which of them hold at a time of the
 * wall clock.  One begins at each minute, in its own time zone, that its cron expression
 * matches, and holds for its duration.  A minute that the clocks skip in spring begins
 * when they have skipped it; one that they have twice in autumn begins twice.
 * Pure but for the opening of time zones.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_SCHEDULE_H
#define AUTOSCALER_BRAIN_SCHEDULE_H

#include "common/settings.h"

struct schedules; /* opaque */

/* v is borrowed.  An entry whose time zone cannot be opened never holds, and err says
 * so; err is empty where all is well. */
NODISCARD struct schedules *schedules_new(const struct schedule *v, size_t n, struct err *);
void schedules_free(struct schedules **);

struct schedule_now {
	uint32_t min_scale; /* the highest of those that hold; 0: none does */
	const char *name;   /* of that one; NULL */
};
/* Looks at the calendar once a minute; in between it costs nothing. */
struct schedule_now schedules_at(struct schedules *, int64_t wall_ns);

#endif
