/* kn_rollout - moves a Route's requests to a new Revision in steps, by Knative's algorithm
 * (serving.knative.dev/rollout-duration).
 *
 * Each target of a Route that follows the newest Revision of a Configuration, with more than 1 % of
 * the requests, is rolled out by itself.  The new Revision gets 1 %, from the newest of those
 * before it that has any.  Once that is in use, the time that it took says how long a step has to
 * be at least, and the steps follow from the duration.  Each step takes from the newest of the
 * older Revisions first.  A Revision that becomes Ready meanwhile begins the same again: the one
 * before it stops growing.
 *
 * Where requests are judged (verdict), no step is taken while the newest one has to wait, and one
 * that has to end gives its percent back to the one before it.
 *
 * The state is an annotation of the Route, and only while a rollout goes on: before it, the split
 * is what status.traffic says. Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_ROLLOUT_H
#define AUTOSCALER_KNATIVE_KN_ROLLOUT_H

#include "autoscaler/knative/kn_traffic.h"

struct kn_rollout_revision {
	char *name;
	int64_t percent; /* of the Route's requests */
};

/* How one target is rolled out. */
struct kn_rollout_part {
	char *configuration, *tag;
	int64_t percent;		       /* of all its Revisions together */
	struct kn_rollout_revision *revisions; /* the oldest first; several: it is going on */
	size_t n;
	/* In ns since 1970; 0: not known yet. */
	int64_t started_ns;	      /* the newest one got its first 1 % */
	int64_t next_ns;	      /* the next step */
	int64_t step_ns;	      /* from one step to the next */
	int64_t step;		      /* percent that moves with each */
	char *rejected, *why;	      /* a Revision that was given up, and why; NULL: none */
	enum rollout_verdict verdict; /* of its newest Revision, for the step that is due */
};

struct kn_rollout {
	struct kn_rollout_part *v;
	size_t n;
};
void kn_rollout_fini(struct kn_rollout *);

/* The split before: of the annotation's text, if it is one and fits; else (NULL, or it does not)
 * that of the targets as they were resolved last.  Revisions that exist no more are left out. */
void kn_rollout_before(struct kn_rollout *, const char *annotation, const struct kn_cache *,
		       const char *ns, const struct kn_targets *last);

/* The split for these targets, from the one before, which is consumed.  is_used: the split before
 * is in use in all activators.  targets become what status.traffic is to say: several entries for
 * a target that is rolled out.  Returns when the next step is due, in ns since 1970; 0: no step is
 * known. */
int64_t kn_rollout_step(struct kn_rollout *, struct kn_rollout *before, struct kn_targets *targets,
			int64_t duration_s, bool is_used, int64_t now_ns);

/* The state is to be kept although nothing goes on: a Revision was given up, and does not come back
 * until there is a newer one.  NULL: none was. */
const struct kn_rollout_part *kn_rollout_rejected(const struct kn_rollout *);
/* Forget which were given up. */
void kn_rollout_forgive(struct kn_rollout *);

/* Has a target several Revisions? */
bool kn_rollout_is_going_on(const struct kn_rollout *);

/* The text for the annotation; the caller's. */
NODISCARD char *kn_rollout_format(const struct kn_rollout *);

#endif
