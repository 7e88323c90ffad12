/* route - finds the service of a request by its host, path and header fields, and the
 * revision by the service's traffic.
 *
 * All services are in one table.  A look-up costs the same with one service as with ten
 * thousand: it hashes the host, each wildcard that the host could match, and each prefix of
 * the path.  A table never changes; a new one replaces it as a whole.
 * Thread: built on the main thread, read by all workers. */
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
	struct revision_limits *limits; /* as of when the table was built; a reference */
};

/* What the request path needs of a service. */
struct route_service {
	char *name;
	char *waiting_page; /* the template of its page; NULL: none */
	bool redirect_https;
	bool has_knative_tag; /* Knative-Serving-Tag chooses, too */
};

struct route_match {
	const struct route_service *service;   /* NULL: no_route */
	const struct route_revision *revision; /* NULL if service is NULL */
	int action;			       /* RULE_* */
	const struct rule_conf *rule;	       /* the rule that matched; NULL: none, RULE_WAKE */
	const char *tag;		       /* that the host has chosen; NULL: none */
	size_t tag_n;	   /* the host is TAG-HOST: the size of "TAG-"; 0: it is not */
	bool is_default;   /* no tag has chosen the revision */
	unsigned lookups;  /* in hash tables, made for this match */
	bool is_by_path;   /* prefixes, of services or of rules, were compared with the path */
	bool is_ambiguous; /* origins may read the path in ways that lead to different matches */
};

/* From where routes_new() gets what the descriptions only name. */
struct route_source {
	/* The revision of this name, with its newest limits; the caller gets a reference.  NULL:
	 * no service has it. */
	struct revision *(*find)(void *ctx, const char *name);
	/* The template of a service's waiting page (msg_service.waiting_page is "default" or
	 * names a file), the caller's to free. */
	char *(*page)(void *ctx, const struct msg_service *);
	void *ctx;
};

/* Build a table of the services between `begin` and `end` of the link.
 *
 * A request goes to the service with the most specific host (the exact name, then the longest
 * `*.` wildcard, then `*`); among these, to the one with the longest path prefix; among these,
 * to the one whose header field matches, else to the one that asks for none.  Where none of
 * these matches, the next shorter prefix and then the next less specific host are tried.
 * Prefixes, of services and of rules, are compared with the normal form of the path (path.h).
 * If that service has the host among its local_hosts, and the request did not come in at a local
 * listener, there is no match: no other service answers in its place.
 * Each tag of a service also has the hosts that its traffic entry names; without any, a host
 * TAG-HOST for each exact host of the service.  A service that has that host itself goes before.
 * If two services ask for the same, the first has it, and a line is logged. */
NODISCARD struct routes *routes_new(const struct msg_service *services, size_t n,
				    const struct route_source *);
struct routes *routes_ref(struct routes *);
void routes_unref(struct routes **); /* the last reference frees */

void routes_find(const struct routes *, const struct route_query *, struct route_match *out);

/* Has the traffic of the service of that name an entry for the revision? */
bool routes_leads_to(const struct routes *, const char *service, const struct revision *);
/* A revision of that service, by percent.  NULL: no request is routed to it. */
const struct route_revision *routes_pick(const struct routes *, const char *name, uint64_t random,
					 const struct route_service **service);

#endif
