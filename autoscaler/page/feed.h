/* feed - what the status page shows, as items: each has a name, and a JSON object as its text.
 * The items are kept in the order in which they have changed last, each with the serial number of
 * that change.  So a watcher needs to remember one number, the serial of the last item that it was
 * sent: what has a higher one has changed since.  A watcher that is slow, or stays away for a
 * while, gets the newest text of each such item, and never sees those in between; it costs no
 * memory here.
 * An item that is gone stays as a mark, so that watchers hear of it; of the oldest marks too many
 * are forgotten, and a watcher that has not heard of these begins anew.
 * Pure.  Thread: the owner. */
#ifndef AUTOSCALER_PAGE_FEED_H
#define AUTOSCALER_PAGE_FEED_H

#include "common/list.h"

struct feed; /* opaque */

#define FEED_GONE_MAX 1024 /* marks of items that are gone */

struct feed_item {
	struct list_node node; /* in the order of serial */
	char *name;
	char *text; /* NULL: the item is gone */
	size_t len;
	uint64_t serial; /* from 1 */
	uint64_t pass;	 /* the last one that has put it */
};

NODISCARD struct feed *feed_new(void);
void feed_free(struct feed **);

/* Forget all items; watchers that have heard of any begin anew. */
void feed_clear(struct feed *);

/* A pass: feed_put() is called for each item that there is.  Items that it is not called for until
 * feed_end() are gone.  Without feed_end() before the next feed_begin() none of them is. */
void feed_begin(struct feed *);
void feed_put(struct feed *, const char *name, const char *text, size_t n);
void feed_end(struct feed *);

/* The items, those that are gone included, and the newest serial; 0: there was none. */
size_t feed_n(const struct feed *);
uint64_t feed_serial(const struct feed *);
/* Must a watcher that was sent everything up to this serial begin anew, at 0?  began: feed_serial()
 * when it began at 0; it was sent no item that had gone by then, so it needs none of those marks.
 */
bool feed_is_forgotten(const struct feed *, uint64_t serial, uint64_t began);
/* The first item that has changed after this serial, and the one after that; NULL: there is none.
 * Borrowed until the feed changes. */
const struct feed_item *feed_after(const struct feed *, uint64_t serial);
const struct feed_item *feed_next(const struct feed *, const struct feed_item *);

#endif
