/* kube_workload - the workload of a revision: the object whose scale the driver sets (a
 * Deployment, or any kind with a scale subresource), and all that is known of it.
 *
 * This is the state that the files of the driver share; each block of fields names the file that
 * writes it.  A file calls only files below it in this list:
 *
 *  driver_kubernetes   the class; reconciles workloads that have changed
 *  kube_services       services that come from annotations
 *  kube_view           a workload's instances and failure, as the reconciler sees them
 *  kube_scale          GET and PATCH of the scale subresource
 *  kube_report         the annotation with the state, and Events
 *  kube_deletion_cost  pod-deletion-costs, before a scale-down
 *  kube_collection     watches on workloads
 *  kube_pods, kube_pod watches on their pods
 *  kube_workload       this state; below it kube_kind and the room autoscaler/kube
 *
 * A change is passed upwards as a mark.  The upcalls of a watch come from within libcurl, where
 * no request may be begun or cancelled: they note what the event says, and mark the workload
 * (kube_workload_changed()).  At the end of the round of the loop the class reconciles
 * each marked workload once.
 * Thread: the autoscaler's only loop.
 *
 * Room: autoscaler/kubernetes is the driver `kubernetes`: instances are pods, and the
 * number of them is the scale of a workload.  It may use the client of the API server
 * (autoscaler/kube), the driver interface (driver.h) and common/.  It never decides how many
 * instances there should be. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_WORKLOAD_H
#define AUTOSCALER_KUBERNETES_KUBE_WORKLOAD_H

#include "autoscaler/driver.h"
#include "autoscaler/kubernetes/kube_cost.h"
#include "autoscaler/kubernetes/kube_echo.h"
#include "autoscaler/kubernetes/kube_failure.h"
#include "autoscaler/kubernetes/kube_replicas.h"
#include "autoscaler/kubernetes/kube_state.h"
#include "common/hmap.h"
#include "common/list.h"
#include "common/loop.h"
#include "common/str_list.h"

struct kube_collection;
struct kube_event;
struct kube_http;
struct kube_kind;
struct kube_kinds;
struct kube_recorder;
struct kube_request;
struct kube_selector;
struct launch;
struct revision_conf;

/* All workloads, and what they share. */
struct kube_workloads {
	struct loop *loop;
	struct kube_http *http;
	struct kube_kinds *kinds;
	struct kube_recorder *recorder;
	const struct driver *driver; /* whose ops are called */
	struct list all;
	struct hmap by_revision;
	struct hmap by_object;
	struct hmap pods;	       /* by uid: struct kube_pod of all workloads */
	struct list changed;	       /* marked workloads */
	bool is_pod_watch_due;	       /* selectors have changed: kube_pods_watch() is due … */
	int64_t pod_watch_due_ns;      /* … since then */
	struct loop_timer reconcile;   /* runs out at the end of the round */
	uint64_t replicas_by_others_n; /* changes of replicas by other clients */
	char *state_refusal; /* why the annotation with the state could not be set, as logged last
			      */
};

/* An Event that was recorded. */
struct kube_report_event {
	char *cause; /* NULL: none was */
	int64_t at_ns;
};

struct kube_report {
	/* kube_workload.c: what the object says */
	char *uid;
	char *shown;	      /* the annotation; NULL: there is none */
	char *shown_rv;	      /* of the last PATCH: events of older versions do not count */
	int64_t zero_wall_ns; /* there have been no replicas since then; 0: not known, or there are
			       */
	/* kube_report.c */
	enum kube_state state;
	char *cause; /* as cause_of() says */
	int64_t since_ns;
	struct kube_report_event failing, held, refusing;
	struct kube_request *request;
	char *sent; /* what it is to set */
	struct backoff retry;
	int64_t retry_at_ns;
};

struct kube_workload {
	struct list_node node, changed;
	struct kube_workloads *all;

	/* driver_kubernetes.c */
	char *revision;
	const struct revision_conf *conf; /* borrowed until the next set_revisions() */
	char *port;			  /* the settings by which pods were read last … */
	int probe;			  /* … and this, too */
	bool is_configured;		  /* set_revisions() names it */
	struct loop_timer timer;
	uint64_t facts_digest; /* kube_facts.c */
	int32_t most_ready;    /* kube_facts.c: pods, at once, since the object exists */
	const struct kube_kind *kind;
	char *ns, *name;

	/* kube_collection.c, kube_workload.c: what the object says */
	struct kube_collection *collection; /* that it belongs to; set by driver_kubernetes.c */
	uint64_t list_seq;		    /* number of the collection's last list that had it */
	struct kube_selector *selector;	    /* NULL: not known yet */
	struct kube_replicas replicas;
	struct kube_author author;    /* of the replicas, as the object names it */
	struct kube_problem *problem; /* as its controller reports it; NULL: there is none */

	/* kube_pods.c */
	struct list pods;	/* struct kube_pod */
	int64_t counted_n;	/* as the workload's controller counts them; -1: not known */
	bool is_selector_used;	/* kube_pods_watch() has seen it: its pods are watched */
	bool are_pods_complete; /* they have been listed once */

	/* kube_pod.c: what the first pod ran that said it (kube_event_images()) */
	struct str_list images;

	/* kube_scale.c */
	struct kube_request *patch;
	int64_t patch_ns;	  /* when it was sent */
	int64_t asleep_ns;	  /* for how long there were no replicas then; 0: not known */
	bool is_patch_unanswered; /* the last one brought no answer */
	int patch_failure;	  /* status of the failure that was logged; -1: none */
	struct kube_problem *scale_error; /* why the server refuses GET or PATCH; NULL: it does not
					   */
	struct kube_request *get;	  /* of kinds that are not built in */
	bool is_get_due;
	int64_t get_at_ns; /* not before */

	/* driver_kubernetes.c: what the watches have to show */
	struct kube_echo scale_echo, pods_echo;

	/* kube_deletion_cost.c */
	int64_t going_since_ns;	  /* waiting for the costs of pods that go; 0: not */
	int64_t staying_since_ns; /* waiting for those of pods that stay; 0: not */
	bool is_staying_written;  /* costs of pods that stay were sent for this scale-down */
	struct kube_cost_budget cost_budget;

	/* kube_view.c */
	bool is_known_once;
	struct kube_failure failure;
	struct driver_instance *view;

	struct kube_report report;
};

/* All are borrowed.  on_reconcile is called at the end of a round in which a mark was set. */
void kube_workloads_init(struct kube_workloads *, struct loop *, struct kube_http *,
			 struct kube_kinds *, struct kube_recorder *, const struct driver *,
			 void (*on_reconcile)(void *), void *arg);
void kube_workloads_fini(struct kube_workloads *);

/* The workload that is this object; NULL: no revision names it. */
struct kube_workload *kube_workloads_find(const struct kube_workloads *, const char *group,
					  const char *kind, const char *ns, const char *name);

/* Mark that selectors, or settings by which pods are read, have changed: kube_pods_watch() is
 * due. */
void kube_workloads_watch_pods(struct kube_workloads *);

NODISCARD struct kube_workload *kube_workload_new(struct kube_workloads *,
						  const struct revision_conf *);
/* Its pods and requests must be gone. */
void kube_workload_free(struct kube_workload *);

/* Whether it is the workload that these settings name. */
bool kube_workload_is(const struct kube_workload *, const struct launch *);

/* Mark it: the class reconciles it at the end of the round. */
void kube_workload_changed(struct kube_workload *);

/* The shorter of two times to wait, of which 0 means no time at all. */
static inline int64_t
kube_workload_sooner(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* --- what the API server says of the object --- */

/* The watch shows it.  Marks it. */
void kube_workload_observe(struct kube_workload *, const struct kube_event *);
/* It does not exist.  Marks it. */
void kube_workload_gone(struct kube_workload *);
/* By the object, or by its scale.  text NULL: it has no selector.  These do not mark it. */
void kube_workload_set_selector(struct kube_workload *, const char *text);
void kube_workload_set_replicas(struct kube_workload *, int64_t replicas, const char *rv);
/* Count and log that another client has changed the replicas, which were `before`. */
void kube_workload_scaled_by_other(struct kube_workload *, uint32_t before);

#endif
