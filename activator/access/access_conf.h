/* access_conf - how the requests of a revision are written to the access log, as the conf file says
 * it.  Immutable and counted.  Thread: any. */
#ifndef ACTIVATOR_ACCESS_ACCESS_CONF_H
#define ACTIVATOR_ACCESS_ACCESS_CONF_H

#include "activator/access/access_line.h"

struct limits;

struct access_conf {
	_Atomic uint32_t refs;
	struct access_format *format; /* NULL: JSON */
	uint32_t sample; /* of requests without an error or a cold start, one in so many */
	bool has_query;
	enum access_field {
		ACCESS_FIELD_OTHER,
		ACCESS_FIELD_REFERER,
		ACCESS_FIELD_USER_AGENT
	} fields[ACCESS_FIELDS_MAX]; /* those of the format */
	struct access_text route; /* of JSON: the members that name service and revision, if any */
	char *route_text;
};

/* revision: "service/revision"; NULL: for requests without a route.  NULL: there is no access log.
 * An access_log_format that is none (it came over the link from another version) counts as that of
 * combined. */
NODISCARD struct access_conf *access_conf_new(const struct limits *, const char *revision);
struct access_conf *access_conf_ref(struct access_conf *);
void access_conf_unref(struct access_conf **); /* the last one frees; *conf may be NULL */

#endif
