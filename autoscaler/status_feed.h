/* status_feed - /events on the admin endpoint: what the status page shows, as items that are sent
 * again whenever they change (page/watchers.h).  The items are objects with a member `k`:
 *	process		the autoscaler itself, and the activators that are connected
 *	service		a service: hosts, source, owner, its rollout
 *	revision	a revision: state, traffic, instances, load, the decision in effect and why,
 *			what holds it back, its failure
 *	decision	one of the last decisions over all revisions
 *	cold		one of the last cold starts, with its phases
 *
 * While there are watchers, all items are made anew again and again; this is a pass.  It is done in
 * slices, so that requests do not wait for it, and passes are so far apart that they take a
 * fiftieth of the time at most.  Without watchers nothing is made but notes of cold starts.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_STATUS_FEED_H
#define AUTOSCALER_STATUS_FEED_H

#include "autoscaler/facts.h"

struct admin;
struct loop;
struct msg_stats;
struct status_feed; /* opaque */

/* facts: as they are now. */
NODISCARD struct status_feed *status_feed_new(struct loop *, struct facts (*facts)(void *arg),
					      void *arg);
/* Only after admin_close(). */
void status_feed_free(struct status_feed **);

/* Add /events, and the page that shows it. */
void status_feed_add_pages(struct status_feed *, struct admin *);
/* Cold starts that an activator reports. */
void status_feed_report(struct status_feed *, const struct msg_stats *);
size_t status_feed_watchers(const struct status_feed *);

#endif
