/* route_query - a request as routing and the rules see it: values, and a way to ask for a
 * header field, so that neither knows how a head was parsed.  Thread: the caller's. */
#ifndef ACTIVATOR_ROUTE_QUERY_H
#define ACTIVATOR_ROUTE_QUERY_H

#include "common/addr.h"

/* All borrowed. */
struct route_query {
	const char *host; /* without port, as the client wrote it (any case) */
	size_t host_n;
	const char *path; /* the path of the target, before '?' */
	size_t path_n;
	const char *method;
	size_t method_n;
	/* The value of a field by its lower-case name; NULL where there is none. */
	const char *(*field)(void *ctx, const char *name, size_t *n);
	void *ctx;
	const struct addr *client; /* the peer, or what a trusted proxy says it is */
	uint64_t random;	   /* for the split, where nothing is sticky */
};

#endif
