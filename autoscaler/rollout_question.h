/* rollout_question - what the controllers of Knative ask about a rollout of a Route: may it take
 * its next step, by what the requests of its new Revision have come to?
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_ROLLOUT_QUESTION_H
#define AUTOSCALER_ROLLOUT_QUESTION_H

#include "common/base.h"

/* All borrowed for the call. */
struct rollout_question {
	const char *key;      /* of the rollout: the same in each step */
	const char *revision; /* "SERVICE/REVISION", the new one */
	char *const *others;  /* likewise, those that have the rest of the requests */
	size_t others_n;
	uint32_t percent;	  /* that the new one has: changes with each step */
	const char *abort_if;	  /* bounds (versions/rollout.h), with commas between */
	const char *min_requests; /* that it answers in each step; "": the usual number */
};

enum rollout_verdict {
	ROLLOUT_MAY_GO,
	ROLLOUT_MUST_WAIT,
	ROLLOUT_MUST_END /* it is aborted, and the requests go back */
};

#endif
