/* kube_collection - watches on workloads.  A collection, as in the API, is all objects of one
 * kind in one namespace.  Revisions name objects in it; kube_services.c needs all of it, for
 * annotations.  One watch serves all of these: if only one object is needed it watches that
 * one, else the whole collection.
 *
 * Each event about a revision's workload goes to kube_workload.c, and each event whatever it is
 * about to the observer, where one is set.
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

/* Between begin and end kube_collection_need() is called for each collection that is needed.
 * kube_collections_end() frees all others, and begins or changes watches. */
void kube_collections_begin(struct kube_collections *);
void kube_collections_end(struct kube_collections *);
/* The collection, made where there is none.  is_whole: all of its objects are needed, not only
 * those that revisions name.  Borrowed until a kube_collections_end() that frees it. */
struct kube_collection *kube_collection_need(struct kube_collections *, const struct kube_kind *,
					     const char *ns, bool is_whole);

/* At the next kube_collections_end() the watch begins with a new list, for a workload or an
 * observer that has not seen the objects listed before. */
void kube_collection_relist(struct kube_collection *);

/* Set the observer: it gets the upcalls of the watch, too (the rules of kube_watch.h hold).
 * ops NULL: there is none any more.  A new arg also relists. */
void kube_collection_observe(struct kube_collection *, const struct kube_watch_ops *, void *arg);
bool kube_collection_is_observed_by(const struct kube_collection *, const void *arg);

/* Its objects have been listed once. */
bool kube_collection_is_synced(const struct kube_collection *);
/* Why it cannot be read; NULL: it can. */
const char *kube_collection_error(const struct kube_collection *);

/* Each collection that can be read has been listed once. */
bool kube_collections_are_synced(const struct kube_collections *);

/* The plural or the error of a kind has changed. */
void kube_collections_kind_changed(struct kube_collections *, const struct kube_kind *);
/* As kube_watch_suspect(). */
void kube_collection_suspect(struct kube_collection *, int64_t since_ns);
/* As kube_watch_reconnect(), for all of them. */
void kube_collections_reconnect(struct kube_collections *, int64_t since_ns);

#endif
