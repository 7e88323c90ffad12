/* route - from host, path and fields to a service and a revision of it.  One table
 * of all services, immutable, swapped as a whole: a lookup costs the same with one
 * service and with ten thousand (hash of the host, of each wildcard suffix, then of
 * each path prefix that ends on a segment border).
 * Thread: built on the main thread, read by all workers; never changed. */
#ifndef ACTIVATOR_ROUTE_H
#define ACTIVATOR_ROUTE_H

#include "common/base.h"

struct msg_service;
struct revision;
struct revision_limits;
struct route_query;
struct rule_conf;
struct routes; /* opaque */

struct route_revision {
	struct revision *rev;		/* a reference */
	struct revision_limits *limits; /* that held when the table was built; a reference */
};

/* The request path reads what stands here; route.c keeps more behind it. */
struct route_service {
	char *name;
	char *waiting_page; /* NULL: none; else the page's template text */
};

struct route_match {
	const struct route_service *service;   /* NULL: no_route */
	const struct route_revision *revision; /* NULL only where service is */
	int action;			       /* RULE_* */
	const struct rule_conf *rule;	       /* that matched; NULL: none did, RULE_WAKE */
	unsigned probes;		       /* look-ups in tables: what the answer cost */
};

/* Where routes_new() gets what the descriptions only name. */
struct route_source {
	/* The shared object of a revision, with its newest limits; a new reference. */
	struct revision *(*find)(void *ctx, const char *name);
	/* The text of a service's waiting page ("default", or a file), the caller's to
	 * free, or NULL: none. */
	char *(*page)(void *ctx, const struct msg_service *);
	void *ctx;
};

/* Build from what came between begin and end.
 *
 * What wins: the most specific host (exact, then the longest `*.` wildcard, then `*`),
 * then the longest path prefix, then a service whose header matches over one that asks
 * for none.  A service that fails on path or header leaves the request to the next.
 * `tag-name.host` is made of every exact host and tag, where no service has that host
 * for itself.  Two services that ask for the same: the first has it, and a line is
 * logged. */
NODISCARD struct routes *routes_new(const struct msg_service *services, size_t n,
				    const struct route_source *);
struct routes *routes_ref(struct routes *);
void routes_unref(struct routes **); /* the last reference frees */

void routes_find(const struct routes *, const struct route_query *, struct route_match *out);

#endif
