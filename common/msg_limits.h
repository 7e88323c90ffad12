/* msg_limits - the limits of a revision as a JSON object, made from the table of keys
 * (GROUP_LIMITS), so that a new key needs no code here.  A duration is a whole number of
 * milliseconds, rounded up, and named `KEY_ms`; other keys have their own names.
 * Thread: any. */
#ifndef COMMON_MSG_LIMITS_H
#define COMMON_MSG_LIMITS_H

#include "common/err.h"
#include "common/settings.h"

struct jget;
struct jput;

/* is_brief: leave out what is at its default, for a reader with the same msg_limits_digest(). */
void msg_limits_put(struct jput *, const struct limits *, bool is_brief);

/* Stands for the names and defaults of all limits that this program knows; from 1. */
int64_t msg_limits_digest(void);

/* Read the keys that the object has into l; the others keep the value that they have in l.
 * 0, or -1 with err; limits_fini() frees l in both cases. */
NODISCARD int msg_limits_get(const struct jget *, struct limits *l, struct err *);

#endif
