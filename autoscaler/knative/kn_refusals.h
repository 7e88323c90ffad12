/* kn_refusals - which Routes and DomainMappings are not served, or not all of them, and why: kept
 * from one description of all services to the next, so that a change is logged, and told, once.
 * No I/O, but for the log.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_REFUSALS_H
#define AUTOSCALER_KNATIVE_KN_REFUSALS_H

#include "autoscaler/knative/kn.h"
#include "common/hmap.h"
#include "common/list.h"

struct kn_refusals {
	struct list list;
	struct hmap by_key;
};

void kn_refusals_init(struct kn_refusals *);
void kn_refusals_fini(struct kn_refusals *);

/* The object is refused by the description under way.  Of several reasons the first one is told. */
void kn_refusals_add(struct kn_refusals *, enum kn_kind, const char *ns, const char *name,
		     const char *why);
/* The description is made: objects that it has not refused are refused no more. */
void kn_refusals_end(struct kn_refusals *);

/* Why the object is refused; borrowed until the next description.  NULL: it is not. */
const char *kn_refusals_find(const struct kn_refusals *, enum kn_kind, const char *ns,
			     const char *name);
/* One whose reason has come, changed or gone since it was returned last; borrowed likewise.  false:
 * there is none. */
bool kn_refusals_next(struct kn_refusals *, enum kn_kind *, const char **ns, const char **name);

#endif
