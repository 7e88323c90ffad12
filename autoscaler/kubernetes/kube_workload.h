/* kube_workload - a revision's workload: the object whose scale the driver sets (a Deployment,
 * or any kind with a scale subresource), and what is known of it.
 *
 * This is the state that the files of the driver share; each block of fields says which file
 * writes it.  Calls go one way, from the top to the bottom:
 *
 *  driver_kubernetes   the class: it is told what is wanted, and reconciles what has changed
 *  kube_services       services out of annotations
 *  kube_view           what the driver shows of a workload: its instances, its failure
 *  kube_scale          GET and PATCH of the scale subresource
 *  kube_deletion_cost  which pods are to go first, written before a scale-down
 *  kube_collection     watches on workloads
 *  kube_pods, kube_pod watches on their pods
 *  kube_workload       the shared state; kube_kind, kube_watch, kube_http below it
 *
 * News goes up by a mark.  Watch events come from within libcurl, where no request may be
 * begun or cancelled: whoever takes one writes down what it says and marks the workload
 * (kube_workload_changed()).  The class reconciles each marked workload once, when the events
 * of this round of the loop are over.
 * Thread: the autoscaler's only loop.
 *
 * Room: autoscaler/kubernetes is the driver `kubernetes`: instances are pods, and the
 * number of them is the scale of a workload.  It may use the driver interface (driver.h)
 * and common/; libcurl and the JSON of the API server are seen nowhere else.  It never
 * decides how many instances there should be. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_WORKLOAD_H
#define AUTOSCALER_KUBERNETES_KUBE_WORKLOAD_H

#include "autoscaler/driver.h"
#include "autoscaler/kubernetes/kube_cost.h"
#include "autoscaler/kubernetes/kube_failure.h"
#include "autoscaler/kubernetes/kube_replicas.h"
#include "common/hmap.h"
#include "common/list.h"
#include "common/loop.h"

struct kube_collection;
struct kube_event;
struct kube_http;
struct kube_kind;
struct kube_kinds;
struct kube_request;
struct kube_selector;
struct launch;
struct revision_conf;

/* All workloads, and what they share. */
struct kube_workloads {
	struct loop *loop;
	struct kube_http *http;
	struct kube_kinds *kinds;
	const struct driver *driver; /* whose ops are called */
	struct list all;
	struct hmap by_revision;
	struct hmap by_object;
	struct hmap pods;	       /* by uid: struct kube_pod of all workloads */
	struct list changed;	       /* workloads to be reconciled at the end of the round */
	bool is_pod_watch_due;	       /* selectors have changed: pods must be watched anew … */
	int64_t pod_watch_due_ns;      /* … since then */
	struct loop_timer reconcile;   /* the end of the round */
	uint64_t replicas_by_others_n; /* changes of replicas by other clients */
};

struct kube_workload {
	struct list_node node, changed;
	struct kube_workloads *all;

	/* driver_kubernetes.c */
	char *revision;
	const struct revision_conf *conf; /* borrowed until the next set_revisions() */
	char *port;			  /* copies of what pods were read by */
	int probe;
	bool is_configured; /* set_revisions() names it */
	struct loop_timer timer;
	const struct kube_kind *kind;
	char *ns, *name;

	/* kube_collection.c: what the object says */
	struct kube_collection *collection; /* that has it */
	uint64_t list_seq;		    /* number of the collection's last list that had it */
	struct kube_selector *selector;	    /* NULL: not known yet */
	struct kube_replicas replicas;
	struct kube_problem problem; /* that its controller reports */

	/* kube_pods.c */
	struct list pods;	/* struct kube_pod */
	bool is_selector_used;	/* its pods are watched */
	bool are_pods_complete; /* … and all of them have been seen once */

	/* kube_scale.c */
	struct kube_request *patch;
	int64_t patch_ns;		 /* when it was sent */
	bool is_patch_unanswered;	 /* the last one brought no answer */
	struct kube_problem scale_error; /* the server refuses GET or PATCH of the scale */
	struct kube_request *get;	 /* where the object does not show its replicas */
	bool is_get_due;
	int64_t get_at_ns; /* not before */

	/* kube_deletion_cost.c */
	int64_t going_since_ns;	  /* the costs of pods that go are waited for; 0: they are not */
	int64_t staying_since_ns; /* then those of pods that stay */
	bool is_staying_written;  /* pods that stay got theirs for the scale-down that is wanted */
	struct kube_cost_budget cost_budget;

	/* kube_view.c */
	bool is_known_once;
	struct kube_failure failure;
	struct driver_instance *view;
};

/* All are borrowed.  on_reconcile: at the end of a round in which something was marked. */
void kube_workloads_init(struct kube_workloads *, struct loop *, struct kube_http *,
			 struct kube_kinds *, const struct driver *, void (*on_reconcile)(void *),
			 void *arg);
void kube_workloads_fini(struct kube_workloads *);

/* The workload that is this object; NULL: none is. */
struct kube_workload *kube_workloads_find(const struct kube_workloads *, const char *group,
					  const char *kind, const char *ns, const char *name);

/* Selectors, or what is read of pods, have changed: the class has pods watched anew. */
void kube_workloads_watch_pods(struct kube_workloads *);

NODISCARD struct kube_workload *kube_workload_new(struct kube_workloads *,
						  const struct revision_conf *);
/* Its pods and requests must be gone. */
void kube_workload_free(struct kube_workload *);

/* Whether it is the workload that these settings name. */
bool kube_workload_is(const struct kube_workload *, const struct launch *);

/* The class is to reconcile it at the end of the round. */
void kube_workload_changed(struct kube_workload *);

/* The shorter of two times to wait, of which 0 means no time at all. */
static inline int64_t
kube_workload_sooner(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* --- what the API server says of the object; each of these marks it where it must be --- */

/* It is there, as the watch shows it. */
void kube_workload_observe(struct kube_workload *, const struct kube_event *);
/* It is not there. */
void kube_workload_gone(struct kube_workload *);
/* Out of the object, or of its scale; text NULL: it says nothing of a selector.  manager:
 * the field manager that set the replicas, or NULL. */
void kube_workload_set_selector(struct kube_workload *, const char *text);
void kube_workload_set_replicas(struct kube_workload *, int64_t replicas, const char *rv,
				const char *manager);

#endif
