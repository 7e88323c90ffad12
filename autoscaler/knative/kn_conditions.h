/* kn_conditions - the conditions of a status, as Knative's clients expect them: sorted by type,
 * with Ready made of those that it depends on, and with a lastTransitionTime that changes only when
 * something else of the condition does.
 *
 * A handler opens the conditions of the status that the object has, sets those that it knows about,
 * and closes them: what was not set is as before.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_CONDITIONS_H
#define AUTOSCALER_KNATIVE_KN_CONDITIONS_H

#include <jansson.h>

#include "common/base.h"

#define KN_READY "Ready"

enum kn_truth { KN_UNKNOWN, KN_TRUE, KN_FALSE };

struct kn_conditions {
	const json_t *before;	       /* the status's list; borrowed */
	const char *const *dependents; /* what Ready depends on, and a NULL */
	json_t *by_type;	       /* what is set and what was: type to condition */
};

/* status: that of the object, which outlives c; NULL: it has none.  A dependent that the status has
 * not got is Unknown.  Conditions that are neither Ready nor a dependent have severity Info. */
void kn_conditions_open(struct kn_conditions *c, const json_t *status,
			const char *const *dependents);
/* reason, message: NULL or "": none.  Ready may be set only where it has no dependents. */
void kn_conditions_set(struct kn_conditions *, const char *type, enum kn_truth, const char *reason,
		       const char *message);
/* The list for status.conditions, the caller's.  c is finished. */
NODISCARD json_t *kn_conditions_close(struct kn_conditions *c, int64_t wall_s);

/* As it is now; Ready only where it has no dependents.  Unknown: also where there is none. */
enum kn_truth kn_conditions_truth(const struct kn_conditions *, const char *type);
bool kn_conditions_has(const struct kn_conditions *, const char *type);
const char *kn_conditions_reason(const struct kn_conditions *, const char *type);

/* A condition of a status; borrowed.  NULL: there is none. */
const json_t *kn_condition_find(const json_t *status, const char *type);
/* Unknown: also where there is none. */
enum kn_truth kn_condition_truth(const json_t *status, const char *type);

/* Of the newest generation, is the object (a document) Ready, or has it failed? */
bool kn_is_observed(const json_t *object);
bool kn_is_ready(const json_t *object);
bool kn_is_failed(const json_t *object);

#endif
