/* route_query - a request as routing and the rules see it: values, and a way to ask for a
 * header field, so that neither knows how a head was parsed.  Thread: the caller's. */
#ifndef ACTIVATOR_ROUTE_QUERY_H
#define ACTIVATOR_ROUTE_QUERY_H

#include "common/addr.h"

/* All borrowed. */
struct route_query {
	const char *host; /* without port, letters as the client sent them */
	size_t host_n;
	const char *path; /* the path of the target, before '?', as it was sent */
	size_t path_n;
	const char *method;
	size_t method_n;
	/* The next value of a field, by its name in lower case; NULL: the request has no more.
	 * *at starts at 0. */
	const char *(*field)(void *ctx, const char *name, uint32_t *at, size_t *n);
	void *ctx;
	bool is_local;		   /* it came in at a listener with is_local */
	const struct addr *client; /* the peer, or the client that a trusted proxy names */
	uint64_t random;	   /* chooses the revision of a client that is not sticky */
};

#endif
