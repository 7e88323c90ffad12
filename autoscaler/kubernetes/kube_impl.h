/* kube_impl - what the files of the driver `kubernetes` share:
 *  driver_kubernetes.c  the class: wishes come in, views go out
 *  kube_collection.c         the workloads: which kinds, in which namespaces, what they show
 *  kube_space.c         the pods of a namespace, and whose they are
 *  kube_act.c           what is changed in the cluster: the scale
 *  kube_deletion_cost.c … and, before it is less, the pod-deletion-cost
 *
 * What watches tell is noted where it comes (inside libcurl, where nothing may be
 * called) and acted on in kube_flush(), once a round for each revision that it concerns.
 *
 * Services that are found by annotations (kube_services.c): kube_collection_need() with is_whole
 * makes a collection (all objects of one kind in one namespace) be watched whole, and each event of
 * it goes to collection->ops, if set, besides the revision that names the object. Thread: the
 * autoscaler's only loop.
 *
 * Room: autoscaler/kubernetes is the driver `kubernetes`: instances are pods, and the
 * number of them is the scale of a workload.  It may use the driver interface (driver.h)
 * and common/; libcurl and the JSON of the API server are seen nowhere else.  It never
 * decides how many instances there should be. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_IMPL_H
#define AUTOSCALER_KUBERNETES_KUBE_IMPL_H

#include "autoscaler/driver.h"
#include "autoscaler/kubernetes/kube_config.h"
#include "autoscaler/kubernetes/kube_cost.h"
#include "autoscaler/kubernetes/kube_failure.h"
#include "autoscaler/kubernetes/kube_http.h"
#include "autoscaler/kubernetes/kube_replicas.h"
#include "autoscaler/kubernetes/kube_selector.h"
#include "autoscaler/kubernetes/kube_services.h"
#include "autoscaler/kubernetes/kube_watch.h"
#include "common/hmap.h"
#include "common/list.h"
#include "common/loop.h"

#define KUBE_CALL_TIMEOUT INT64_C(5000000000)
#define KUBE_MERGE_PATCH "application/merge-patch+json"

struct kube_driver {
	struct driver driver;
	struct loop *loop;
	const struct settings *settings;
	struct kube_config config;
	struct kube_http *http;
	struct kube_watch_shared shared;
	struct list workloads; /* struct kube_workload */
	struct hmap by_name;   /* revision → workload */
	struct hmap by_object; /* kube_object_key() → workload */
	struct hmap by_uid;    /* struct kube_pod */
	struct list kinds, collections, spaces;
	struct list dirty;		/* workloads to be acted on and shown */
	struct kube_services *services; /* NULL: no annotations are looked at */
	struct loop_timer flush;
	bool is_plan_due;    /* what pods are watched may have changed … */
	int64_t plan_due_ns; /* … since then */
	bool is_closing;
	uint64_t foreign_n; /* changes by other hands */
};

/* A kind of workload.  Kinds that the server has named once stay. */
struct kube_kind {
	struct list_node node;
	struct kube_driver *d;
	char *group, *version, *name; /* "apps", "v1", "Deployment" */
	char *path;		      /* "/apis/apps/v1" */
	char *plural;		      /* NULL: not known yet */
	bool is_plain;		      /* replicas and selector stand in the object itself */
	char *trouble; /* it cannot be used, and why; NULL: it can, or that is not known */
	struct kube_request *request;
	struct loop_timer again;
	struct backoff backoff;
};

struct kube_collection_ops {
	void (*on_event)(const struct kube_event *, void *arg);
	void (*on_sync)(void *arg); /* as those of kube_watch */
	void (*on_synced)(void *arg);
	void (*on_trouble)(void *arg); /* they cannot be read */
};

/* All objects of one kind in one namespace that we have to do with. */
struct kube_collection {
	struct list_node node;
	struct kube_driver *d;
	struct kube_kind *kind;
	char *ns;
	bool is_needed, is_whole; /* while needs are gathered */
	bool is_stale;		  /* somebody new wants to know what has been told already */
	struct kube_watch *watch; /* NULL: its kind is not known yet */
	bool is_synced;		  /* has been told whole once */
	uint64_t epoch;		  /* counts the times that it was told */
	char *trouble;
	const struct kube_collection_ops *ops; /* NULL: nobody else wants to know */
	void *arg;
};

/* The pods of one namespace. */
struct kube_space {
	struct list_node node;
	struct kube_driver *d;
	char *ns;
	struct kube_stream **streams;
	size_t n;
};

/* Those of them that one selector holds. */
struct kube_stream {
	struct kube_space *space;
	char *labels;
	struct kube_watch *watch;
	bool is_synced;
	uint64_t epoch;
	char *trouble;
};

/* A pod that is an instance. */
struct kube_pod {
	struct list_node node; /* workload's */
	struct kube_workload *workload;
	struct kube_stream *stream; /* that tells of it; NULL: its stream has ended */
	uint64_t epoch;
	char *uid, *name;
	char *ip;    /* NULL: none yet */
	char *probe; /* as msg_instance.probe; NULL: as the limits say */
	uint16_t port;
	bool is_gone; /* to be freed at the end of the round */
	bool is_deleting, is_ready, has_probe;
	bool is_answering; /* an activator says so, of the containers that run now */
	uint32_t restarts;
	uint32_t ordinal;	      /* of a StatefulSet's; else 0 */
	int64_t started_ns;	      /* 0: it was there before us */
	char *cost;		      /* pod-deletion-cost, as the watch shows it; NULL: none */
	char *cost_ours;	      /* … and what we set last for one that stays; NULL: none */
	char *cost_before;	      /* what stood there before the mark of those that go */
	struct kube_request *request; /* that sets the cost */
	bool is_victim;		      /* if any goes, it shall */
	bool is_cost_asked, is_cost_refused; /* the mark */
	bool is_marking, is_staying;	     /* what `request` sets: the mark; a stay's cost */
	struct kube_trouble *trouble;	     /* NULL: none */
};

struct kube_workload {
	struct list_node node;
	struct list_node dirty;
	struct kube_driver *d;
	char *revision;
	const struct revision_conf *conf; /* borrowed until the next set_revisions() */
	char *port;			  /* copies of what pods were read by */
	int probe;
	bool is_named; /* set_revisions() has it */
	bool is_known_once;
	char *group, *version, *kind, *ns, *name;
	struct kube_collection *collection;
	uint64_t epoch;			/* of the collection, when it was last told of */
	struct kube_selector *selector; /* NULL: not known yet */
	bool is_planned;		/* its pods are watched */
	bool is_pods_known;		/* … and have been told whole once */
	struct kube_replicas replicas;
	struct kube_trouble trouble;	   /* the workload's own */
	struct kube_trouble patch_trouble; /* the server refuses what we ask */
	struct kube_failure failure;
	struct list pods;
	struct kube_request *patch;
	int64_t patch_ns;	  /* when it was sent */
	bool is_unanswered;	  /* the last one */
	struct kube_request *get; /* of the scale, where the object does not tell */
	bool is_get_due;
	int64_t get_ns; /* not before */
	int64_t costs_ns,
		marked_ns; /* since when marks, and then the rest, are waited for; 0: not */
	bool is_weighed;   /* for the scale-down that is wished, those that stay have been */
	struct kube_cost_budget cost_budget;
	struct loop_timer timer;
	struct driver_instance *view;
	size_t view_n;
};

/* --- driver_kubernetes.c --- */
/* It is to be acted on and shown at the end of the round. */
void kube_touch(struct kube_workload *);
/* Pods to be watched may have changed. */
void kube_plan_later(struct kube_driver *);

/* --- kube_collection.c --- */
/* "apps/Deployment/default/hello"; the caller's. */
NODISCARD char *kube_object_key(const char *group, const char *kind, const char *ns,
				const char *name);
/* The collection of such objects, made where there is none.  is_whole: all of its objects are
 * wanted, not only those that revisions name. */
struct kube_collection *kube_collection_need(struct kube_driver *, const char *group,
					     const char *version, const char *kind, const char *ns,
					     bool is_whole);
/* Before and after needs are gathered anew: what nobody needed in between is dropped, and
 * the watches are made what they should be. */
void kube_collections_begin(struct kube_driver *);
void kube_collections_end(struct kube_driver *);
void kube_collections_free(struct kube_driver *);
/* Ask for the scale of a workload that does not show it itself, if that is due; as
 * kube_act(). */
int64_t kube_collection_get_scale(struct kube_workload *);

/* --- kube_space.c --- */
/* Watch the pods of all workloads whose selectors are known, and no others. */
void kube_spaces_plan(struct kube_driver *);
void kube_spaces_free(struct kube_driver *);
void kube_pod_free(struct kube_pod *);
/* What keeps the pods of f from being seen; NULL: nothing. */
const char *kube_space_trouble(const struct kube_workload *);
bool kube_pod_is_serving(const struct kube_pod *); /* it answers, or is sure to */

/* --- kube_act.c --- */
/* Go on towards what is wished.  Nanoseconds until it wants to be called again; 0: not
 * for the time's sake. */
int64_t kube_act(struct kube_workload *);
void kube_act_stop(struct kube_workload *);

/* --- kube_deletion_cost.c --- */
/* Before n are set: how long costs are still waited for, ns; 0: set n now. */
int64_t kube_deletion_cost_wait(struct kube_workload *, uint32_t n, int64_t now);
/* It has been set, or is not to be any more: nothing is waited for, and of the pods that
 * stay no more are written. */
void kube_deletion_cost_stop(struct kube_workload *);
/* Once nobody is to go any more, whoever was to is as good as any again. */
void kube_deletion_cost_settle(struct kube_workload *);

#endif
