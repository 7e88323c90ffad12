/* rules - which requests may wake a service: an ordered list of conditions on method, path,
 * one header field and the client's network.  The first rule whose conditions all hold says
 * what is done with the request.
 * Pure; immutable once made.  Thread: any. */
#ifndef ACTIVATOR_RULES_H
#define ACTIVATOR_RULES_H

#include "common/settings.h"

struct rules; /* opaque */
struct route_query;

/* Copies n rules.  A network that cannot be parsed matches nothing; the check of the conf file
 * refuses such a network, so it comes only over a link of another version. */
NODISCARD struct rules *rules_new(const struct rule_conf *, size_t n);
void rules_free(struct rules **);

/* Does any of them look at the path? */
bool rules_have_paths(const struct rules *);

/* The first rule that matches, borrowed, or NULL.  Prefixes are compared with the path of the
 * query as it stands: to be right, it is in normal form (path.h), but for a slash at its end. */
const struct rule_conf *rules_find(const struct rules *, const struct route_query *);

/* Is path at or below prefix?  "/a" and "/a/b" are below "/a", "/ab" is not.  The prefix has no
 * slash at its end; "" has all paths below it. */
bool rules_is_below(const char *path, size_t path_n, const char *prefix, size_t prefix_n);

#endif
