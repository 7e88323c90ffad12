#include "autoscaler/usage/account.h"

#include <stdlib.h>

void
account_init(struct account *a, const char *revision, const char *owner, const char *cost_center)
{
	a->revision = xstrdup(revision);
	a->owner = xstrdup(owner == NULL ? "" : owner);
	a->cost_center = xstrdup(cost_center == NULL ? "" : cost_center);
}

void
account_fini(struct account *a)
{
	free(a->revision);
	free(a->owner);
	free(a->cost_center);
	*a = (struct account){NULL, NULL, NULL};
}

/* No name of the conf file has a newline. */
char *
account_key(const struct account *a)
{
	return xasprintf("%s\n%s\n%s", a->revision, a->owner, a->cost_center);
}
