/* kn_json - parts of objects as documents: reading them by a path, comparing and changing them.
 * What is missing reads as NULL or "", whatever of the path is missing or has another type.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_JSON_H
#define AUTOSCALER_KNATIVE_KN_JSON_H

#include <jansson.h>

#include "common/base.h"

#define KN_PATH __attribute__((sentinel))

/* The value at the path, which is keys of objects and a NULL; borrowed.  NULL: there is none. */
json_t *kn_json_at(const json_t *, ...) KN_PATH;
/* The string there, borrowed; "": there is none. */
const char *kn_json_text(const json_t *, ...) KN_PATH;

/* A whole number, or `otherwise`. */
int64_t kn_json_number(const json_t *, const char *key, int64_t otherwise);

/* Equal as Kubernetes compares: null, "", [] and an object of nothing else count as absent. */
bool kn_json_equal(const json_t *, const json_t *);

/* The member, an object, which is made where it is missing; borrowed. */
json_t *kn_json_child(json_t *object, const char *key);
/* Set a string; NULL or "": remove the member. */
void kn_json_set_text(json_t *object, const char *key, const char *text);
void kn_json_set_number(json_t *object, const char *key, int64_t value);
/* Set a member, which is taken over; NULL: remove the member. */
void kn_json_set(json_t *object, const char *key, json_t *value);
/* Copies, which share nothing, of the members of `from` that are strings, over those of `to`. */
void kn_json_merge_texts(json_t *to, const json_t *from);
/* Has the object all members of `texts`, with these values? */
bool kn_json_has_texts(const json_t *object, const json_t *texts);

/* A copy that shares nothing; NULL of NULL. */
NODISCARD json_t *kn_json_copy(const json_t *);

/* EACH_MEMBER (const char *key, const json_t *value, of an object or NULL). */
#define KN_EACH_MEMBER(object, key, value)                                                         \
	for (void *each_ = json_object_iter((json_t *)(uintptr_t)(object));                        \
	     each_ != NULL && ((key) = json_object_iter_key(each_), true) &&                       \
	     ((value) = json_object_iter_value(each_), true);                                      \
	     each_ = json_object_iter_next((json_t *)(uintptr_t)(object), each_))

#endif
