/* kube_json - decodes the API server's JSON: events of a watch, items of a list, pods, workloads,
 * the scale subresource, discovery, and Status.  Only fields that the driver needs are read.
 *
 * An event owns its document; strings that are read from it are borrowed until
 * kube_event_fini().  Fields that are missing or of the wrong type read as empty: whatever
 * users write into their objects, it never ends the process.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_JSON_H
#define AUTOSCALER_KUBERNETES_KUBE_JSON_H

#include "common/err.h"

struct kube_author;

enum kube_event_type { KUBE_ADDED, KUBE_MODIFIED, KUBE_DELETED, KUBE_BOOKMARK, KUBE_ERROR };

#define KUBE_SELECTOR_MOST ((size_t)64 << 10) /* bytes of a selector as text */

struct kube_event {
	struct json_t *doc;
	const struct json_t *object;
	enum kube_event_type type;
	const char *name, *ns, *uid, *rv; /* "" where there is none */
	bool is_initial_end; /* a bookmark with k8s.io/initial-events-end: the list is complete */
	/* KUBE_ERROR: a Status */
	int64_t code;
	const char *reason, *message;
};

/* A line of a watch or, is_item, an item of a list, which is decoded as KUBE_ADDED.  0, or -1
 * with err: then the event owns nothing. */
NODISCARD int kube_event_decode(struct kube_event *, const char *text, size_t n, bool is_item,
				struct err *);
void kube_event_fini(struct kube_event *);

/* The name in the text of an object or event, for a message, also if it cannot be decoded: the
 * first "name" behind the first "metadata".  "": there is none. */
void kube_object_name(const char *text, size_t n, char *name, size_t size);

/* NULL: there is none.  Its type is that of kube_selector_matches(). */
const char *kube_event_label(const void *event, const char *key);
const char *kube_event_annotation(const struct kube_event *, const char *key);
/* Walk all annotations: `void *at = NULL; while (kube_event_next_annotation(e, &at, …))`. */
bool kube_event_next_annotation(const struct kube_event *, void **at, const char **key,
				const char **value);

/* --- pods --- */

/* Of two pods that a ReplicaSet's controller could delete, it deletes the one with less. */
#define KUBE_COST "controller.kubernetes.io/pod-deletion-cost"
/* Bears the same number where it is ours, of a pod that stays (kube_cost.h). */
#define KUBE_COST_OURS "activator.dev/pod-deletion-cost"

struct kube_pod_fields {
	const char *ip;			     /* NULL: none yet */
	const char *owner_kind, *owner_name; /* its controller, by ownerReferences; "": none */
	const char *cost, *cost_ours;	     /* KUBE_COST, KUBE_COST_OURS; NULL: none */
	bool is_deleting;
	bool is_over; /* phase Failed or Succeeded */
	bool is_ready;
	/* Not ready now, but was so after its containers were started last.  false where that was
	 * within one second: the API's times have no fractions. */
	bool was_ready;
	uint32_t restarts; /* of all its containers together */
	const char
		*unscheduled_message; /* NULL: the status does not say that it cannot be placed */
	/* The first container that is in trouble now or, where none is, the first that ended
	 * before and runs, or is being started, again.  NULL: there is none. */
	const char *trouble_container;
	bool is_trouble_past;
	const char *waiting_reason, *waiting_message; /* why it does not run; NULL: no reason */
	const char *ended_reason;		      /* how it ended: "Error"; NULL: it did not */
	int64_t ended_code;			      /* its exit status */
};
void kube_pod_fields_decode(const struct kube_event *, struct kube_pod_fields *);

/* The port that serves.  port: its number, its name, or NULL: the only containerPort, or the
 * one named "http".  0: there is none. */
uint16_t kube_event_port(const struct kube_event *, const char *port);
/* The probes of the container that serves at `port` (as for kube_event_port()), in the form of
 * msg_instance.probe: the startupProbe, until it has succeeded, then the readinessProbe.  "ready":
 * only the kubelet can run one of them; "tcp": there are none.  The caller's. */
NODISCARD char *kube_event_probe(const struct kube_event *, const char *port);
/* Since when the pod is not ready, as its condition says; NULL: it is, or does not say. */
const char *kube_event_unready_time(const struct kube_event *);
/* Whether that container has one of them, so that Ready says that it answers. */
bool kube_event_has_probe(const struct kube_event *, const char *port);

/* --- workloads --- */

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

/* From a time of an object (RFC 3339, UTC) to wall_ns, in ns; 0: it is not known, or ahead. */
int64_t kube_time_age(const char *time, int64_t wall_ns);

/* --- answers --- */

struct kube_scale_fields {
	int64_t replicas;    /* absent: 0 */
	char *rv, *selector; /* owned; NULL: absent */
};
NODISCARD int kube_scale_fields_decode(struct kube_scale_fields *, const char *text, size_t n,
				       struct err *);
void kube_scale_fields_fini(struct kube_scale_fields *);

/* What a credentials plug-in prints. */
struct kube_credential {
	char *token;		 /* bearer; NULL: none */
	char *cert, *key;	 /* PEM; NULL: none */
	int64_t expires_wall_ns; /* clk_wall() at which it expires; 0: it does not say */
};
/* api_version: that of the kubeconfig, which the output must have.  0, or -1 with err: then
 * nothing is owned. */
NODISCARD int kube_credential_decode(struct kube_credential *, const char *text, size_t n,
				     const char *api_version, struct err *);
void kube_credential_fini(struct kube_credential *);

/* metadata of a list: resourceVersion and continue, the caller's; NULL: absent. */
NODISCARD int kube_list_decode(const char *text, size_t n, char **rv, char **next, struct err *);

/* A Status: reason ("Forbidden") and message, the caller's; NULL: absent, or text is no Status.
 * retry_s: details.retryAfterSeconds, or 0. */
void kube_status_decode(const char *text, size_t n, char **reason, char **message,
			int64_t *retry_s);

/* The plural of a kind, out of an APIResourceList.  is_scaled: it has a scale subresource.  The
 * caller's; NULL: the list does not have it. */
NODISCARD char *kube_plural_decode(const char *text, size_t n, const char *kind, bool *is_scaled);

#endif
