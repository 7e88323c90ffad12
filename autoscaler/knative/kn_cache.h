/* kn_cache - the objects that watches have shown, and answers to our own writes.  Of what it hears
 * of an object the newest holds, by its resourceVersion, whatever comes first: an answer or the
 * watch. kn.h has what handlers read of it. No I/O.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_CACHE_H
#define AUTOSCALER_KNATIVE_KN_CACHE_H

#include "autoscaler/knative/kn.h"

/* An object has come or changed, or (is_gone) is about to be removed; it is borrowed for the call,
 * which calls nothing of the cache that changes it.  Where its controller has changed, it is called
 * for the object as it was, too. */
typedef void kn_cache_fn(const struct kn_object *, bool is_gone, void *arg);

/* on_change may be NULL. */
NODISCARD struct kn_cache *kn_cache_new(kn_cache_fn *on_change, void *arg);
void kn_cache_free(struct kn_cache **);

/* The object is like that.  True: this was news, and on_change was called. */
bool kn_cache_put(struct kn_cache *, enum kn_kind, const struct json_t *object);
/* The object with this uid (NULL: with any) exists no more.  True: as above. */
bool kn_cache_remove(struct kn_cache *, enum kn_kind, const char *ns, const char *name,
		     const char *uid);
/* The server has accepted to delete it. */
void kn_cache_set_deleting(struct kn_cache *, enum kn_kind, const char *ns, const char *name,
			   const char *uid);

/* A list of all objects of a kind in a namespace (NULL: in all) begins, and ends: those that were
 * not put in between are removed at its end, unless they are foreign. */
void kn_cache_list_begin(struct kn_cache *, enum kn_kind, const char *ns);
void kn_cache_list_end(struct kn_cache *, enum kn_kind, const char *ns);
/* Objects of these are watched no more: remove all of them. */
void kn_cache_clear(struct kn_cache *, enum kn_kind, const char *ns);

/* The object with this uid, of whatever kind; NULL: there is none. */
const struct kn_object *kn_cache_find_uid(const struct kn_cache *, const char *uid);
/* Greater than before whenever an object of the kind has changed. */
uint64_t kn_cache_changes(const struct kn_cache *, enum kn_kind);
/* How many objects there are. */
size_t kn_cache_count(const struct kn_cache *);

/* Is the resourceVersion a newer than b? */
bool kn_rv_is_newer(const char *a, const char *b);

#endif
