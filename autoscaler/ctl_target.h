/* ctl_target - the service or revision that a request of activatorctl names.  What does not exist
 * is answered with the nearest name. Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_TARGET_H
#define AUTOSCALER_CTL_TARGET_H

#include "common/base.h"

struct ctl_request;
struct facts;
struct service_conf;
struct str_list;

/* What NAME or NAME/REVISION stands for; borrowed from the services and the request. */
struct ctl_target {
	const struct service_conf *service;
	const char *revision; /* NULL: all */
};

/* Find what the request names.  -1: there is no such thing, and the request is done. */
NODISCARD int ctl_target_find(struct ctl_request *, const struct facts *, struct ctl_target *);
/* The same, also of a revision of the store that has neither traffic nor a tag. */
NODISCARD int ctl_target_find_any(struct ctl_request *, const struct facts *, struct ctl_target *);
/* End the request: there is no service of that name. */
void ctl_target_refuse(struct ctl_request *, const struct facts *, const char *name);

/* The full names of the revisions of a target that may have instances; of a whole service those
 * with traffic alone, if with_traffic. */
void ctl_target_list(const struct ctl_target *, bool with_traffic, struct str_list *out);

#endif
