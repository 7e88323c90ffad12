/* kube_pod_json - what the driver reads of a pod: its address, owner, containers, and probes.
 * Strings are borrowed from the event.  Fields that are missing or of the wrong type read as empty.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_POD_JSON_H
#define AUTOSCALER_KUBERNETES_KUBE_POD_JSON_H

#include "common/base.h"

struct kube_event;
struct str_list;

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
	const char *ended_message;		      /* what it has left to be read; "": nothing */
	int64_t ended_code;			      /* its exit status */
};
void kube_pod_fields_decode(const struct kube_event *, struct kube_pod_fields *);

/* Once the pod says of each container what it runs: its name and the imageID, and so on, in place
 * of what the list has. */
void kube_event_images(const struct kube_event *, struct str_list *);

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

#endif
