/* admin_pages - what the autoscaler adds to its admin endpoint (common/admin.h): /status, /why,
 * /usage, and the status page with its stream of events.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_ADMIN_PAGES_H
#define AUTOSCALER_ADMIN_PAGES_H

#include "autoscaler/facts.h"

struct admin;
struct admin_pages; /* opaque */
struct loop;
struct status_feed;

/* facts: as they are now; its ledger may be NULL while the autoscaler starts. */
NODISCARD struct admin_pages *admin_pages_new(struct loop *, struct admin *,
					      struct facts (*facts)(void *arg), void *arg);
/* Only after admin_close(). */
void admin_pages_free(struct admin_pages **);
/* Borrowed. */
struct status_feed *admin_pages_feed(struct admin_pages *);

#endif
