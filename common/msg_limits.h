/* msg_limits - `limits` of a revision as an object of its keys, driven by the table
 * of keys (settings_keys, group GROUP_LIMITS).  Durations travel as whole
 * milliseconds, rounded up, under `key_ms`; the rest under the plain name.
 * Thread: any. */
#ifndef COMMON_MSG_LIMITS_H
#define COMMON_MSG_LIMITS_H

#include "common/err.h"
#include "common/settings.h"

struct jget;
struct jput;

void msg_limits_put(struct jput *, const struct limits *);

/* Read what is there into l, which holds the defaults for what is not.  0, or -1
 * with err; l is to be freed by limits_fini() in both cases. */
NODISCARD int msg_limits_get(const struct jget *, struct limits *l, struct err *);

#endif
