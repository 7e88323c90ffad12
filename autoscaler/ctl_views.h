/* ctl_views - services, revisions and the autoscaler itself as activatorctl shows them: members of
 * JSON objects.  activatorctl(1) lists them; members are added, and never change their meaning.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_VIEWS_H
#define AUTOSCALER_CTL_VIEWS_H

#include "common/base.h"

struct facts;
struct jput;
struct service_conf;

/* is_whole: with the instances and settings of each revision. */
void ctl_put_service(struct jput *, const struct facts *, const struct service_conf *,
		     bool is_whole);
void ctl_put_status(struct jput *, const struct facts *);

#endif
