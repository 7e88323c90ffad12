/* queue - the usage records that wait to be written: of each part (record.h) the newest one alone,
 * since it holds all that the older ones of its part hold.  When there are more parts than the
 * queue takes, the record that was put first goes.
 * Pure.  Thread: the owner. */
#ifndef AUTOSCALER_USAGE_QUEUE_H
#define AUTOSCALER_USAGE_QUEUE_H

#include "autoscaler/usage/account.h"
#include "autoscaler/usage/amounts.h"

struct queue; /* opaque */
struct strbuf;

NODISCARD struct queue *queue_new(size_t most);
void queue_free(struct queue **);
size_t queue_n(const struct queue *);

/* Put a record behind all others; all is copied.  Returns how many records went to make room. */
NODISCARD size_t queue_put(struct queue *, uint64_t part, int64_t hour, const struct account *,
			   const struct amounts *);
/* Put all of *newer, which is freed, behind the others.  Returns how many went to make room. */
NODISCARD size_t queue_merge(struct queue *, struct queue **newer);

/* Append the first records, `most` at most, as lines of this run, as far as they are of one day
 * (since the epoch).  Returns how many they are. */
NODISCARD size_t queue_encode(const struct queue *, size_t most, char *run, int64_t *day,
			      struct strbuf *);
void queue_drop(struct queue *, size_t n); /* the first n */

#endif
