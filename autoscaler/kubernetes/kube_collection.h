/* kube_collection - watches on workloads.  A collection is what the API calls so: all objects
 * of one kind in one namespace.  Revisions name objects in it, and services that come from
 * annotations (kube_services.c) may want all of it.  One watch serves them all: on the one
 * object that is named where it is only one, else on the whole collection.
 *
 * What an event says of a revision's workload goes to kube_workload.c; where an observer is
 * set it gets each event, too.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_COLLECTION_H
#define AUTOSCALER_KUBERNETES_KUBE_COLLECTION_H

#include "common/base.h"

struct kube_collection;	 /* opaque */
struct kube_collections; /* opaque */
struct kube_kind;
struct kube_watch_ops;
struct kube_watch_shared;
struct kube_workloads;

/* Both are borrowed. */
NODISCARD struct kube_collections *kube_collections_new(struct kube_watch_shared *,
							struct kube_workloads *);
void kube_collections_free(struct kube_collections **);

/* Say anew which collections are needed: between begin and end, kube_collection_need() for
 * each.  At the end those that were not needed are freed, and the watches are made what they
 * should be. */
void kube_collections_begin(struct kube_collections *);
void kube_collections_end(struct kube_collections *);
/* The collection, made where there is none.  is_whole: all objects of it are wanted, not
 * only those that revisions name.  Borrowed until a kube_collections_end() without it. */
struct kube_collection *kube_collection_need(struct kube_collections *, const struct kube_kind *,
					     const char *ns, bool is_whole);

/* The watch begins anew at the next kube_collections_end(): somebody needs all objects who
 * has not seen those that were listed before. */
void kube_collection_relist(struct kube_collection *);

/* Pass all that the watch says on to ops as well; these are upcalls of kube_watch.  NULL:
 * no more.  Another arg than before also relists. */
void kube_collection_observe(struct kube_collection *, const struct kube_watch_ops *, void *arg);
bool kube_collection_is_observed_by(const struct kube_collection *, const void *arg);

/* All objects have been listed once. */
bool kube_collection_is_synced(const struct kube_collection *);
/* Why it cannot be read; NULL: it can. */
const char *kube_collection_error(const struct kube_collection *);

/* Each collection has been listed once, as far as it can be read. */
bool kube_collections_are_synced(const struct kube_collections *);

/* Discovery has said something new of a kind. */
void kube_collections_kind_changed(struct kube_collections *, const struct kube_kind *);
/* As kube_watch_reconnect(), for all of them. */
void kube_collections_reconnect(struct kube_collections *, int64_t since_ns);

#endif
