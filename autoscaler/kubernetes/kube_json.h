/* kube_json - what an API server says, as typed facts: events of a watch, items of a list,
 * pods, workloads, the scale subresource, discovery, and its refusals.  Takes only what
 * the driver needs; all else in the objects is passed over.
 *
 * An event owns its document; the strings that are taken from it are borrowed until
 * kube_event_fini().  Members that are missing or of the wrong type read as empty:
 * an object that somebody else wrote is never a reason to end.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_JSON_H
#define AUTOSCALER_KUBERNETES_KUBE_JSON_H

#include "common/err.h"

enum kube_event_type { KUBE_ADDED, KUBE_MODIFIED, KUBE_DELETED, KUBE_BOOKMARK, KUBE_ERROR };

#define KUBE_SELECTOR_MOST ((size_t)64 << 10) /* bytes of a selector as text */

struct kube_event {
	struct json_t *doc;
	const struct json_t *object;
	enum kube_event_type type;
	const char *name, *ns, *uid, *rv; /* "" where there is none */
	bool is_initial_end;		  /* a bookmark: all that there was has been told */
	/* KUBE_ERROR: a Status */
	int64_t code;
	const char *reason, *message;
};

/* A line of a watch, or (is_item) an item of a list, which reads as KUBE_ADDED.  0, or -1
 * with err: e owns nothing then. */
NODISCARD int kube_event_decode(struct kube_event *, const char *text, size_t n, bool is_item,
				struct err *);
void kube_event_fini(struct kube_event *);

/* NULL where it is not there.  Fit for kube_selector_matches(). */
const char *kube_event_label(const void *event, const char *key);
const char *kube_event_annotation(const struct kube_event *, const char *key);
/* Walk all annotations: `void *at = NULL; while (kube_event_next_annotation(e, &at, …))`. */
bool kube_event_next_annotation(const struct kube_event *, void **at, const char **key,
				const char **value);

/* --- pods --- */

/* What a ReplicaSet's controller goes by when there are to be fewer: the lowest first. */
#define KUBE_COST "controller.kubernetes.io/pod-deletion-cost"
/* The same number where it is one of ours, of a pod that stays (kube_cost.h). */
#define KUBE_COST_OURS "activator.dev/pod-deletion-cost"

struct kube_pod_fields {
	const char *ip;			     /* NULL: none yet */
	const char *owner_kind, *owner_name; /* of its controller; "" */
	const char *cost, *cost_ours;	     /* values of the two below; NULL: none */
	bool is_deleting;
	bool is_over; /* it has ended and will not come back */
	bool is_ready;
	uint32_t restarts; /* of its containers, together */
	/* why it does not run; NULL: nothing is said */
	const char *waiting_reason, *waiting_message; /* of a container that waits */
	const char *unscheduled_message;
	const char *ended_reason; /* of a container's last end: OOMKilled, Error */
	int64_t ended_code;
	const char *ended_container;
};
void kube_pod_fields_decode(const struct kube_event *, struct kube_pod_fields *);

/* Where it serves: port is a number, a name, or NULL (the only port that is declared, or
 * the one that is called "http").  0: there is none. */
uint16_t kube_event_port(const struct kube_event *, const char *port);
/* How its own readinessProbe is asked, in the form of msg_instance.probe: of the container
 * that serves at `port` (as for kube_event_port()).  "ready" where only the platform can
 * ask; "tcp" where there is none.  The caller's. */
NODISCARD char *kube_event_probe(const struct kube_event *, const char *port);
/* Whether that container has a readinessProbe at all: Ready means something then. */
bool kube_event_has_probe(const struct kube_event *, const char *port);

/* --- workloads --- */

struct kube_workload_fields {
	int64_t replicas;    /* spec.replicas; absent: 1, as the server's default is */
	char *selector;	     /* as text, for kube_selector_parse(); NULL: none.  Owned. */
	const char *manager; /* who set the replicas last; NULL: unknown */
	const char *failure_reason, *failure_message; /* condition ReplicaFailure; NULL */
};
void kube_workload_fields_decode(const struct kube_event *, struct kube_workload_fields *);
void kube_workload_fields_fini(struct kube_workload_fields *);

/* --- answers to requests --- */

struct kube_scale_fields {
	int64_t replicas;    /* absent: 0 */
	char *rv, *selector; /* owned; NULL where not said */
};
NODISCARD int kube_scale_fields_decode(struct kube_scale_fields *, const char *text, size_t n,
				       struct err *);
void kube_scale_fields_fini(struct kube_scale_fields *);

/* metadata of a list: the strings are the caller's; NULL where not said. */
NODISCARD int kube_list_decode(const char *text, size_t n, char **rv, char **next, struct err *);

/* A refusal (kind Status): reason ("Forbidden") and message, the caller's; NULL where
 * text is none.  retry_s: details.retryAfterSeconds, or 0. */
void kube_status_decode(const char *text, size_t n, char **reason, char **message,
			int64_t *retry_s);

/* What kind is called in paths: an APIResourceList is searched.  is_scaled: it has a scale
 * subresource.  The caller's; NULL: it is not there. */
NODISCARD char *kube_plural_decode(const char *text, size_t n, const char *kind, bool *is_scaled);

#endif
