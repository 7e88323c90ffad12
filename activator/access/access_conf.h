/* access_conf - how the requests of a revision are written to the access log, as the conf file says
 * it.  Immutable.  Thread: any. */
#ifndef ACTIVATOR_ACCESS_ACCESS_CONF_H
#define ACTIVATOR_ACCESS_ACCESS_CONF_H

#include "activator/access/access_line.h"

struct limits;

struct access_conf {
	uint32_t serial;	      /* of no other one: which fields of a head a note has */
	struct access_format *format; /* NULL: JSON */
	uint32_t sample; /* of requests without an error or a cold start, one in so many */
	bool has_query;
	struct access_text route; /* of JSON: the members that name service and revision, if any */
	char *route_text;
};

/* revision: "service/revision"; NULL: for requests without a route.  NULL: there is no access log.
 * An access_log_format that is none (it came over the link from another version) counts as that of
 * combined. */
NODISCARD struct access_conf *access_conf_new(const struct limits *, const char *revision);
void access_conf_free(struct access_conf **);

#endif
