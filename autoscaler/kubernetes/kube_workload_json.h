/* kube_workload_json - what the driver reads of a workload: replicas and who has set them,
 * selector, failures; and of its scale subresource. Strings are borrowed from the event, unless
 * they are owned.  Fields that are missing or of the wrong type read as empty. Pure.  Thread: any.
 */
#ifndef AUTOSCALER_KUBERNETES_KUBE_WORKLOAD_JSON_H
#define AUTOSCALER_KUBERNETES_KUBE_WORKLOAD_JSON_H

#include "common/err.h"

struct kube_author;
struct kube_event;

#define KUBE_SELECTOR_MOST ((size_t)64 << 10) /* bytes of a selector as text */

struct kube_workload_fields {
	int64_t replicas; /* spec.replicas; absent: 1, as the server's default is */
	char *selector;	  /* as text, for kube_selector_parse(); NULL: none.  Owned. */
	const char *failure_reason, *failure_message; /* condition ReplicaFailure; NULL */
	const char *failure_time;		      /* when it became true; NULL */
	int64_t pods_n; /* as its controller counts them, by status.replicas; -1: not known */
};
void kube_workload_fields_decode(const struct kube_event *, struct kube_workload_fields *);
void kube_workload_fields_fini(struct kube_workload_fields *);
/* Who has set the replicas last: of a kind that is not built in, through its scale. */
void kube_author_decode(const struct kube_event *, struct kube_author *);

struct kube_scale_fields {
	int64_t replicas;    /* absent: 0 */
	char *rv, *selector; /* owned; NULL: absent */
};
NODISCARD int kube_scale_fields_decode(struct kube_scale_fields *, const char *text, size_t n,
				       struct err *);
void kube_scale_fields_fini(struct kube_scale_fields *);

#endif
