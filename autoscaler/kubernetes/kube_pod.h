/* kube_pod - a pod that is an instance of a revision, and what an activator has to know of it.
 * Memory of a pod: this struct, its name, uid and address, and its entry in the map by uid:
 * under 1 KiB, whatever the object says; with probe = readiness as much as its probe needs
 * besides (at most 4 KiB), and while something keeps it from running 600 bytes to say what.
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

/* Its pod-deletion-cost; kube_deletion_cost.c writes these, but the first two. */
struct kube_pod_cost {
	char *shown;		      /* by the watch; NULL: there is none */
	char *ours;		      /* what we set last while it was to stay; NULL: nothing */
	char *before;		      /* what stood there before it was marked to go first */
	struct kube_request *request; /* sets one of the two: */
	bool is_marking;	      /* the mark of those that go first */
	bool is_staying;	      /* the cost of one that stays */
	bool is_mark_sent, is_mark_refused;
};

struct kube_pod {
	struct list_node node; /* the workload's pods */
	struct kube_workload *workload;
	struct kube_pod_watch *watch; /* that shows it; NULL: it has ended */
	uint64_t list_seq;	      /* number of the watch's last list that had it */
	char *uid, *name;
	char *ip;    /* NULL: none yet */
	char *probe; /* as msg_instance.probe; NULL: as the limits say */
	uint16_t port;
	bool is_gone; /* freed at the end of the round */
	bool is_deleting, is_ready, has_probe;
	bool is_answering; /* an activator says so, of the containers that run now */
	uint32_t restarts;
	uint32_t ordinal;   /* where its kind has ordinals; else 0 */
	int64_t started_ns; /* 0: not known, it was there before us */
	bool is_victim;	    /* if any pod goes, this one should */
	struct kube_pod_cost cost;
	struct kube_problem *problem; /* that keeps it from running; NULL: none */
};

/* A pod of w that was not known before; kube_pod_update() fills in the rest. */
struct kube_pod *kube_pod_new(struct kube_workload *w, const struct kube_event *);
/* Cancels its request: never from within a watch's upcall. */
void kube_pod_free(struct kube_pod *);

/* What the object says now. */
void kube_pod_update(struct kube_pod *, const struct kube_event *, const struct kube_pod_fields *);
/* The object is no more, or no instance any more. */
void kube_pod_gone(struct kube_pod *);
/* Free those that are gone. */
void kube_pod_free_gone(struct kube_workload *);

/* It answers: an activator says so, or a readiness probe of its own does. */
bool kube_pod_is_serving(const struct kube_pod *);

#endif
