/* hours - what each account used in each hour, in memory: what the journal holds, and the
 * hours that have ended since.  When they take more memory than the conf file allows, the oldest
 * hour goes.  Pure.  Thread: the owner; several threads may read while none writes. */
#ifndef AUTOSCALER_USAGE_HOURS_H
#define AUTOSCALER_USAGE_HOURS_H

#include "autoscaler/usage/account.h"
#include "autoscaler/usage/amounts.h"

/* The memory that one hour of one account takes at most with n amounts that are not 0, and an
 * account besides its hours. */
#define HOURS_ROW_BYTES(n) (56 + 8 * (uint64_t)(n))
#define HOURS_ACCOUNT_BYTES 800

struct hours; /* opaque */

NODISCARD struct hours *hours_new(uint64_t bytes_max);
void hours_free(struct hours **);

/* hour: since the epoch, UTC. */
void hours_add(struct hours *, int64_t hour, const struct account *, const struct amounts *);
/* Add all of *from, which is freed. */
void hours_merge(struct hours *into, struct hours **from);

/* Call fn for each row of the hours from `from` to before `upto`, all rows of one account one
 * after another, with the same pointer. */
typedef void hours_fn(int64_t hour, const struct account *, const struct amounts *, void *arg);
void hours_each(const struct hours *, int64_t from, int64_t upto, hours_fn *, void *arg);

size_t hours_rows(const struct hours *);
/* How many rows went because they took too much memory. */
uint64_t hours_dropped(const struct hours *);

#endif
