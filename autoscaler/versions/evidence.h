/* evidence - what the requests of each stored revision have come to (common/tally.h), summed over
 * all activators, since this process began.
 *
 * Each activator reports its own counts since it began.  What is added here is the difference to
 * its report before, so that a lost line, a broken link and a restarted activator neither lose nor
 * repeat a request.  What an activator counted before this process heard of it does not count.
 * Pure: no clock, no I/O.  Thread: the owner. */
#ifndef AUTOSCALER_VERSIONS_EVIDENCE_H
#define AUTOSCALER_VERSIONS_EVIDENCE_H

#include "common/tally.h"

struct evidence; /* opaque */
struct msg_stats;

NODISCARD struct evidence *evidence_new(void);
void evidence_free(struct evidence **);

/* These are the revisions ("service/revision") from now on; all others are forgotten. */
void evidence_begin(struct evidence *);
void evidence_keep(struct evidence *, const char *revision);
void evidence_end(struct evidence *);

/* An activator, by its id, has sent a report; its link is down, and it may come back. */
void evidence_report(struct evidence *, const char *activator, const struct msg_stats *,
		     int64_t now_ns);
void evidence_down(struct evidence *, const char *activator);

/* Add what is known of a revision to *sum. */
void evidence_add(const struct evidence *, const char *revision, struct tally *sum);
/* Its requests that were in flight or parked at the last whole reports of the activators that have
 * a link.  Reports ahead of their time do not count: they have no tally. */
uint32_t evidence_open(const struct evidence *, const char *revision);
/* When the oldest and the newest of those last whole reports came.  Both are 0 if there is none, or
 * if a report has come in part: then the tallies are newer than the open requests. */
void evidence_times(const struct evidence *, int64_t *oldest_ns, int64_t *newest_ns);

#endif
