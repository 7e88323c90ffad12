/* kn_asking - facts as handlers ask for them, and a note of what one has heard.
 * Thread: the owner. */
#ifndef AUTOSCALER_KNATIVE_KN_ASKING_H
#define AUTOSCALER_KNATIVE_KN_ASKING_H

#include "autoscaler/knative/kn.h"

struct kn_asking {
	const struct kn_facts *of; /* borrowed */
	bool is_unrouted;	   /* somebody has heard of a Route that is not in use yet */
};

/* The facts, which note; they live as long as kn_asking stays where it is. */
struct kn_facts kn_asking_facts(struct kn_asking *);

#endif
