/* kn_traffic - resolves the traffic of a Route: from its targets, which name Configurations and
 * Revisions, to Revisions that are Ready.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_TRAFFIC_H
#define AUTOSCALER_KNATIVE_KN_TRAFFIC_H

#include "autoscaler/knative/kn.h"
#include "autoscaler/knative/kn_conditions.h"

/* A target of a Route, or a part of one while a new Revision is rolled out. */
struct kn_target {
	char *tag;	     /* "": none */
	char *revision;	     /* the Revision that gets the requests */
	char *configuration; /* that has the Revision; "": unknown */
	int64_t percent;
	bool is_latest; /* it follows the newest Ready Revision of its Configuration */
};

struct kn_targets {
	struct kn_target *v;
	size_t n;
};
void kn_targets_fini(struct kn_targets *);
/* The strings are copied. */
void kn_targets_add(struct kn_targets *, const struct kn_target *);

/* Why a Route cannot be resolved; what the condition AllTrafficAssigned says. */
struct kn_traffic_problem {
	enum kn_truth truth; /* KN_UNKNOWN: it may pass, or KN_FALSE */
	const char *reason;
	char *message; /* NULL: there is no problem */
};

/* Resolve spec.traffic of a Route (its document), whose targets are tracked.  Targets with the
 * same tag and Revision are one.  -1: *problem says why not, and its message is the caller's. */
NODISCARD int kn_traffic_resolve(const struct kn_context *, const struct json_t *route,
				 struct kn_plan *, struct kn_targets *,
				 struct kn_traffic_problem *);

/* Read status.traffic of a Route: the targets as they were resolved last.  The Configuration of
 * each is looked for in the cache. */
void kn_traffic_of_status(const struct kn_cache *, const char *ns, const struct json_t *status,
			  struct kn_targets *);

#endif
