/* kn_vain - writes that have changed nothing: the API server, or an admission webhook, has dropped
 * or put back what they were about.  The same write to an object that is as it was would change
 * nothing again, so that it is left out until one of the two differs.
 * Pure.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_VAIN_H
#define AUTOSCALER_KNATIVE_KN_VAIN_H

#include "autoscaler/knative/kn.h"
#include "common/hmap.h"

struct kn_vain {
	struct hmap
		writes; /* "KIND NS/NAME PART" to the text of the object and the last such write */
};

void kn_vain_init(struct kn_vain *);
void kn_vain_fini(struct kn_vain *);

/* The write was carried out, and the object is as before.  True: it is the first of them, or
 * another one. */
bool kn_vain_add(struct kn_vain *, const struct kn_write *, const struct kn_object *);
/* Would the write to the object as it is (NULL: there is none) be in vain? */
bool kn_vain_has(const struct kn_vain *, const struct kn_write *, const struct kn_object *);
/* The object has gone. */
void kn_vain_forget(struct kn_vain *, const struct kn_object *);

#endif
