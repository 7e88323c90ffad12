/* rules - who may wake a service: an ordered list of conditions over method, path,
 * one field and the client's network; the first that matches says what happens.
 * Pure; immutable once made.  Thread: any. */
#ifndef ACTIVATOR_RULES_H
#define ACTIVATOR_RULES_H

#include "common/settings.h"

struct rules; /* opaque */
struct route_query;

/* A copy of n rules.  A network that cannot be read matches nothing (the conf file's
 * checker has refused it before). */
NODISCARD struct rules *rules_new(const struct rule_conf *, size_t n);
void rules_free(struct rules **);

/* The first that matches, borrowed from rules, or NULL. */
const struct rule_conf *rules_find(const struct rules *, const struct route_query *);

/* Is `prefix` (no slash at its end, "" for all) a prefix of path that ends on a segment
 * border: "/a" of "/a" and "/a/b", not of "/ab". */
bool rules_is_below(const char *path, size_t path_n, const char *prefix, size_t prefix_n);

#endif
