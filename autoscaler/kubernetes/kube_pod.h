/* kube_pod - a pod that is an instance of a revision: where it serves, and whether it does.
 * Memory: this struct, name, uid and address, and an entry in the map by uid take less than
 * 1 KiB, whatever the object says.  The text of its probes is kept, too (at most 8 KiB), and while
 * something keeps it from running less than 5 KiB that say what.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_POD_H
#define AUTOSCALER_KUBERNETES_KUBE_POD_H

#include "common/base.h"
#include "common/list.h"

struct kube_event;
struct kube_pod_fields;
struct kube_pod_watch;
struct kube_problem;
struct kube_request;
struct kube_workload;

/* Its pod-deletion-cost.  kube_deletion_cost.c writes all of it but `shown` and `ours`. */
struct kube_pod_cost {
	char *shown;  /* KUBE_COST, by the watch; NULL: there is none */
	char *ours;   /* KUBE_COST_OURS, likewise */
	char *before; /* what `shown` was before the mark */
	struct kube_request *request;
	bool is_marking; /* `request` sets the mark of a pod that goes, or takes it off */
	bool is_staying; /* `request` sets the cost of a pod that stays */
	bool is_mark_sent, is_mark_refused;
};

/* What its status says of what keeps it from running, as it says it. */
struct kube_pod_trouble {
	char *unscheduled; /* the scheduler's message; NULL: it is not waiting for a node */
	/* Of a container that waits to run, and of how one ended; NULL: there is none. */
	char *waiting_reason, *waiting_message;
	char *ended_reason, *ended_message;
	int64_t ended_code;
};

struct kube_pod {
	struct list_node node; /* the workload's pods */
	struct kube_workload *workload;
	struct kube_pod_watch *watch; /* that showed it last; NULL: that watch has ended */
	uint64_t list_seq;	      /* number of the watch's last list that had it */
	char *uid, *name;
	char *ip;    /* NULL: none yet */
	char *probe; /* as msg_instance.probe; NULL: as the limits say */
	uint16_t port;
	bool is_gone; /* it is freed at the end of the round */
	bool is_deleting, is_ready, has_probe;
	bool is_unready;   /* it was Ready, and is not Ready any more */
	bool is_answering; /* an activator has said so since its containers were started */
	/* Since when it refuses connections, as an activator says; 0: it does not. */
	int64_t refused_ns;
	bool is_refusal_seen; /* kube_report.c has dealt with it */
	uint32_t restarts;
	uint32_t ordinal;   /* where its kind has ordinals; else 0 */
	int64_t started_ns; /* 0: not known: it was there before the driver */
	bool is_victim;	    /* set_scale() names it: it goes if any pod goes */
	struct kube_pod_cost cost;
	struct kube_problem *problem;	  /* that keeps it from running; NULL: none */
	struct kube_pod_trouble *trouble; /* likewise, in the status's words */
};

/* A pod of w that was not known before; kube_pod_update() fills in the rest. */
struct kube_pod *kube_pod_new(struct kube_workload *w, const struct kube_event *);
/* Cancels its request, hence never from within an upcall of a watch. */
void kube_pod_free(struct kube_pod *);

/* What the object says now. */
void kube_pod_update(struct kube_pod *, const struct kube_event *, const struct kube_pod_fields *);
/* It is deleted, has ended, or belongs to another workload. */
void kube_pod_gone(struct kube_pod *);
/* Free the pods of a workload that are gone. */
void kube_pod_free_gone(struct kube_workload *);

/* It answers requests, as an activator or its readinessProbe says. */
bool kube_pod_is_serving(const struct kube_pod *);
bool kube_pods_are_serving(const struct kube_workload *); /* one of them, at least */

#endif
