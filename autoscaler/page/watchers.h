/* watchers - the clients of /events: each gets the items of the feed as server-sent events, first
 * all of them, then those that change.
 *
 * Events, all of JSON:
 *	hello	an object of the caller's; what the client has of an earlier stream is void
 *	items	a list of items, and of {"gone":NAME} for those that are gone
 *	anew	{}: all that the client has is void; all items follow
 *	beat	{"now_ms":…}: nothing has changed; sent so that a client notices a dead connection
 *
 * Their number is bounded, and so is what is queued for each: one event of at most WATCHERS_EVENT
 * bytes (or one item, if that is longer).  The next one is made when the client has taken that.
 * Thread: the loop's.
 *
 * Room: autoscaler/page is what the status page needs beside the facts: its files, and the stream
 * by which it hears of changes.  It may use common/.  It knows nothing of revisions (status_feed.c
 * makes the items), and changes nothing.
 *	watchers	the streams
 *	feed		the items; pure
 *	assets		the page itself: page.html, page.css, *.js, icon.svg, as they are */
#ifndef AUTOSCALER_PAGE_WATCHERS_H
#define AUTOSCALER_PAGE_WATCHERS_H

#include "common/base.h"

struct admin_request;
struct feed;
struct watchers; /* opaque */

#define WATCHERS_MAX 32
#define WATCHERS_EVENT ((size_t)64 << 10)

/* feed: borrowed. */
NODISCARD struct watchers *watchers_new(const struct feed *);
/* Only after admin_close(). */
void watchers_free(struct watchers **);

size_t watchers_n(const struct watchers *);
/* Answer by a stream that begins with `hello`, a JSON object.  False: there are too many. */
bool watchers_add(struct watchers *, struct admin_request *, const char *hello);
/* The feed has changed. */
void watchers_send(struct watchers *);
/* Nothing may have changed for a while. */
void watchers_beat(struct watchers *);

#endif
