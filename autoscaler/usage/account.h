/* account - whom an amount is charged to: a revision, and the owner and the cost center that its
 * service names.  Pure.  Thread: any. */
#ifndef AUTOSCALER_USAGE_ACCOUNT_H
#define AUTOSCALER_USAGE_ACCOUNT_H

#include "common/base.h"

struct account {
	char *revision;		   /* "service/revision" */
	char *owner, *cost_center; /* "": none */
};

/* A copy, for account_fini(); owner and cost_center may be NULL for none. */
void account_init(struct account *, const char *revision, const char *owner,
		  const char *cost_center);
void account_fini(struct account *);

/* A text that only equal accounts have, the caller's to free. */
NODISCARD char *account_key(const struct account *);

#endif
