/* kube_state - the state of a workload in a word, for people and for `kubectl wait`: the
 * annotation KUBE_STATE on the object.
 *
 *  asleep	no replicas: a request starts it
 *  starting	replicas, and no pod that answers yet
 *  awake	a pod answers
 *  held	another client has set the replicas, which is respected
 *  failing: REASON: MESSAGE	it cannot be started, and why
 *
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_STATE_H
#define AUTOSCALER_KUBERNETES_KUBE_STATE_H

#include "common/base.h"

struct kube_problem;

#define KUBE_STATE "activator.dev/state"

enum kube_state {
	KUBE_UNKNOWN, /* it does not exist, or has not been read */
	KUBE_ASLEEP,
	KUBE_STARTING,
	KUBE_AWAKE,
	KUBE_HELD,
	KUBE_FAILING
};

struct kube_state_facts {
	bool is_known;
	uint32_t replicas;
	bool is_held;
	bool is_serving;		    /* a pod answers */
	const struct kube_problem *failure; /* NULL: it has not failed */
};
enum kube_state kube_state_of(const struct kube_state_facts *);

/* The text of the annotation; the caller's.  failure: of KUBE_FAILING. */
NODISCARD char *kube_state_text(enum kube_state, const struct kube_problem *failure);

/* Whether an annotation (NULL: there is none) says this.  Of a failure its reason counts, not its
 * message, which names another pod after each try. */
bool kube_state_is(const char *annotation, enum kube_state, const struct kube_problem *failure);

#endif
