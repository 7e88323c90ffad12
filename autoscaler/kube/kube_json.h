/* kube_json - decodes the API server's JSON, whatever kind of object it is about: events of a
 * watch, items of a list, Status, discovery, and times.
 *
 * An event owns its document; strings that are read from it are borrowed until
 * kube_event_fini().  Fields that are missing or of the wrong type read as empty: whatever
 * users write into their objects, it never ends the process.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KUBE_KUBE_JSON_H
#define AUTOSCALER_KUBE_KUBE_JSON_H

#include "common/err.h"

/* Each of our writes bears it (?fieldManager=), so that managedFields tells them from those of
 * others. */
#define KUBE_FIELD_MANAGER "activator"

enum kube_event_type { KUBE_ADDED, KUBE_MODIFIED, KUBE_DELETED, KUBE_BOOKMARK, KUBE_ERROR };

struct kube_event {
	struct json_t *doc;
	const struct json_t *object;
	enum kube_event_type type;
	const char *name, *ns, *uid, *rv; /* "" where there is none */
	bool is_initial_end; /* a bookmark with k8s.io/initial-events-end: the list is complete */
	/* KUBE_ERROR: a Status */
	int64_t code;
	const char *reason, *message;
};

/* A line of a watch or, is_item, an item of a list, which is decoded as KUBE_ADDED.  0, or -1
 * with err: then the event owns nothing. */
NODISCARD int kube_event_decode(struct kube_event *, const char *text, size_t n, bool is_item,
				struct err *);
void kube_event_fini(struct kube_event *);

/* The name in the text of an object or event, for a message, also if it cannot be decoded: the
 * first "name" behind the first "metadata".  "": there is none. */
void kube_object_name(const char *text, size_t n, char *name, size_t size);

const struct json_t *kube_event_meta(const struct kube_event *); /* metadata; NULL: none */
/* NULL: there is none.  Its type is that of kube_selector_matches(). */
const char *kube_event_label(const void *event, const char *key);
const char *kube_event_annotation(const struct kube_event *, const char *key);
/* Walk all annotations: `void *at = NULL; while (kube_event_next_annotation(e, &at, …))`. */
bool kube_event_next_annotation(const struct kube_event *, void **at, const char **key,
				const char **value);

/* From a time of an object (RFC 3339, UTC) to wall_ns, in ns; 0: it is not known, or ahead. */
int64_t kube_time_age(const char *time, int64_t wall_ns);
/* RFC 3339, in whole seconds since 1970; 0: it is no such time, or NULL. */
int64_t kube_time_parse(const char *time);

/* --- answers --- */

/* What a credentials plug-in prints. */
struct kube_credential {
	char *token;		 /* bearer; NULL: none */
	char *cert, *key;	 /* PEM; NULL: none */
	int64_t expires_wall_ns; /* clk_wall() at which it expires; 0: it does not say */
};
/* api_version: that of the kubeconfig, which the output must have.  0, or -1 with err: then
 * nothing is owned. */
NODISCARD int kube_credential_decode(struct kube_credential *, const char *text, size_t n,
				     const char *api_version, struct err *);
void kube_credential_fini(struct kube_credential *);

/* metadata of a list: resourceVersion and continue, the caller's; NULL: absent. */
NODISCARD int kube_list_decode(const char *text, size_t n, char **rv, char **next, struct err *);

/* A Status: reason ("Forbidden") and message, the caller's; NULL: absent, or text is no Status.
 * retry_s: details.retryAfterSeconds, or 0. */
void kube_status_decode(const char *text, size_t n, char **reason, char **message,
			int64_t *retry_s);

/* The plural of a kind, out of an APIResourceList.  is_scaled: it has a scale subresource.  The
 * caller's; NULL: the list does not have it. */
NODISCARD char *kube_plural_decode(const char *text, size_t n, const char *kind, bool *is_scaled);

#endif
