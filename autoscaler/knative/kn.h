/* kn - what all files of this room share: the objects as the cluster has them, what a handler
 * may read, and the plan of writes that it makes.
 *
 * A cache has each object that the watches show.  An event marks its object, its controller, and
 * the objects that track it.  The machine reconciles a marked object: the handler of its kind reads
 * the context and adds writes to a plan, which the machine then carries out, one write after
 * another.  A handler does no I/O and keeps nothing: the state is in the cluster, so that an
 * autoscaler that is killed at any point is followed by one that goes on.
 *
 *  knative         what the driver sees of the room
 *  kn_machine      marks, rounds, plans that run, back-off
 *  kn_write        one write: its request, and what its answer means
 *  kn_watches      watches on all kinds
 *  kn_foreign      objects that no watch shows
 *  kn_itself       is Knative Serving itself there?
 *  kn_output       services for the activators
 *  kn_holders      which DomainMapping has a name that several ask for
 *  kn_service, kn_configuration, kn_revision, kn_route, kn_domain_mapping    handlers
 *  kn_cache, kn_plan, kn_kind, kn_config    what handlers read and make
 *  kn_spec         whether somebody has edited what we have made
 *
 * Thread: the autoscaler's only loop.
 *
 * Room: autoscaler/knative is the controllers of Knative's objects (serving.knative.dev): from
 * them come services and Deployments, and into them go statuses.  It may use the client of the API
 * server (autoscaler/kube), the driver interface (driver.h) and common/.  It never decides how many
 * instances there should be, and never writes into the spec of an object that a user has made. */
#ifndef AUTOSCALER_KNATIVE_KN_H
#define AUTOSCALER_KNATIVE_KN_H

#include "autoscaler/rollout_question.h"

struct json_t;
struct kn_cache;
struct kn_config;
struct settings;

enum kn_kind {
	KN_SERVICE, /* serving.knative.dev/v1 */
	KN_CONFIGURATION,
	KN_REVISION,
	KN_ROUTE,
	KN_DOMAIN_MAPPING, /* serving.knative.dev/v1beta1 */
	KN_DEPLOYMENT,	   /* apps/v1, with the label serving.knative.dev/revision */
	KN_PLACEHOLDER,	   /* v1 Service, with the label serving.knative.dev/route */
	KN_CONFIG_MAP,	   /* v1, in the namespace knative-serving */
	KN_KINDS_N
};

/* How the API calls a kind. */
struct kn_kind_names {
	const char *api_version; /* "apps/v1" */
	const char *group;	 /* "apps"; "": core */
	const char *kind;	 /* "Deployment" */
	const char *plural;	 /* "deployments" */
	const char *label;	 /* objects with it are watched; NULL: all are */
	const char *ns;		 /* only those of this namespace are watched; NULL: of all */
};
const struct kn_kind_names *kn_kind_names(enum kn_kind);

/* --- objects --- */

/* An object as the cluster has it.  It is kept as packed text (kn_pack.h), not as a document, so
 * that thousands of them stay small.  metadata.managedFields and kubectl's last-applied annotation
 * are cut off: replace (kn_plan_replace()) only objects that we have made, and patch those of
 * users. */
struct kn_object {
	enum kn_kind kind;
	const char *ns, *name, *uid, *rv;
	int64_t generation, created_s; /* created_s: since 1970 */
	const char *owner_uid;	       /* of its controller, by ownerReferences; "": none */
	bool is_deleting;	       /* it has a deletionTimestamp, or our DELETE has succeeded */
	/* The watch does not show it, as it has not got the label: it was fetched since it was in
	 * the way of a create.  It is fetched again each 30 s, until it is gone.  It may still be
	 * ours (kn_is_owned()), if somebody has taken the label off. */
	bool is_foreign;
};

/* Its JSON, and that as a document; both are new, and the caller's. */
NODISCARD char *kn_object_text(const struct kn_object *);
NODISCARD struct json_t *kn_object_json(const struct kn_object *);

/* The object; NULL: there is none. */
const struct kn_object *kn_cache_find(const struct kn_cache *, enum kn_kind, const char *ns,
				      const char *name);
/* The object after prev (NULL: the first) of a kind in a namespace (NULL: in all), or of a kind and
 * with this controller; in the order in which they came.  NULL: there is none. */
const struct kn_object *kn_cache_next(const struct kn_cache *, enum kn_kind, const char *ns,
				      const struct kn_object *prev);
const struct kn_object *kn_cache_next_owned(const struct kn_cache *, enum kn_kind,
					    const char *owner_uid, const struct kn_object *prev);

/* --- facts that are not in objects --- */

/* What a Deployment's pods are and say.  Strings are borrowed until the next call. */
struct kn_revision_facts {
	bool is_known;			/* the driver has seen its pods */
	int32_t actual, desired, ready; /* instances; -1: unknown */
	int32_t most_ready; /* so many have been ready at once, as far as is remembered */
	int32_t unasked;    /* that run, and of which no activator has said whether they answer */
	const char *unscheduled; /* the scheduler's message, where a pod cannot be placed; NULL */
	/* Of a container that waits to run, and of how one ended; NULL: there is none. */
	const char *waiting_reason, *waiting_message;
	const char *ended_reason, *ended_message;
	int64_t ended_code;
	/* A name of a container and the imageID that runs in it, and so on; n strings. */
	char *const *images;
	size_t images_n;
};

struct kn_facts {
	/* False: the driver does not scale this Deployment (yet). */
	bool (*revision)(const struct kn_facts *, const char *ns, const char *deployment,
			 struct kn_revision_facts *);
	/* Is what the cache now says of this Route, its hosts and its split, in use in every
	 * connected activator that is not draining? */
	bool (*is_routed)(const struct kn_facts *, const char *ns, const char *route);
	/* Has any activator said what it uses, since this process has started?  Before that what
	 * statuses say of it holds.  NULL: yes. */
	bool (*is_confirmed)(const struct kn_facts *);
	/* May a rollout go on?  why, the caller's: why it has to end, or what is wrong with the
	 * question.  NULL: there is no judge. */
	enum rollout_verdict (*verdict)(const struct kn_facts *, const struct rollout_question *,
					char **why);
	/* Why a Route or a DomainMapping is not, or not all of it: a host of it is another
	 * service's, for instance.  NULL: nothing is in its way.  Borrowed for the call of the
	 * handler. */
	const char *(*refusal)(const struct kn_facts *, enum kn_kind, const char *ns,
			       const char *name);
	void *arg;
};

/* --- plans --- */

enum kn_verb { KN_CREATE, KN_REPLACE, KN_PATCH, KN_PUT_STATUS, KN_DELETE };

struct kn_write {
	enum kn_verb verb;
	enum kn_kind kind;
	char *ns, *name;
	char *uid, *rv;	     /* of the object that was read; NULL: KN_CREATE */
	struct json_t *body; /* NULL: KN_DELETE */
};

struct kn_tracked {
	enum kn_kind kind;
	char *ns, *name;
};

/* An Event to be recorded about the object, once the first `after` writes have succeeded. */
struct kn_note {
	size_t after;
	bool is_warning;
	char *reason, *message;
};

struct kn_plan {
	struct kn_write *writes;
	size_t writes_n;
	struct kn_tracked *tracked;
	size_t tracked_n;
	struct kn_note *notes;
	size_t notes_n;
	int64_t again_ns; /* 0: no kn_plan_again() */
	/* The last write is a status that is on the way to another one:
	 * kn_plan_status_is_passing().
	 */
	bool has_passing_status;
};

void kn_plan_init(struct kn_plan *);
void kn_plan_fini(struct kn_plan *);

/* The writes of a plan are carried out in the order of these calls.  One that fails ends the plan;
 * the object is then reconciled again, with the failure in its context.  A delete that fails does
 * not: what is too much may stay for a while.  The rest is carried out, and the object is
 * reconciled again without a failure in its context.  A document that is passed is taken over.  Of
 * an object that an earlier write of the plan has changed, the resourceVersion of that write's
 * answer is sent. */

/* The object has metadata.name, and gets apiVersion, kind and metadata.namespace. */
void kn_plan_create(struct kn_plan *, enum kn_kind, const char *ns, struct json_t *object);
/* Put the whole object in place of the one that was read (by its resourceVersion). */
void kn_plan_replace(struct kn_plan *, const struct kn_object *, struct json_t *object);
/* A merge patch of metadata or spec, to the object as it was read (by uid and resourceVersion). */
void kn_plan_patch(struct kn_plan *, const struct kn_object *, struct json_t *patch);
/* Does nothing if the object has this status already. */
void kn_plan_status(struct kn_plan *, const struct kn_object *, struct json_t *status);
/* The status that was added, as the last write: nothing waits for it, and others will follow.  It
 * is written only if it lasts for a while.  Does nothing if none was added. */
void kn_plan_status_is_passing(struct kn_plan *);
/* Take such a status away again. */
void kn_plan_drop_passing_status(struct kn_plan *);
/* In the background, only if it still has its uid.  That it is gone already is a success. */
void kn_plan_delete(struct kn_plan *, const struct kn_object *);

/* Reconcile this object, too, when that one comes, changes or goes.  Each reconcile sets anew what
 * is tracked.  Objects whose controller this one is need not be tracked. */
void kn_plan_track(struct kn_plan *, enum kn_kind, const char *ns, const char *name);
/* Reconcile it again after that time; of several calls the shortest counts. */
void kn_plan_again(struct kn_plan *, int64_t after_ns);
/* Record an Event on the object, once the writes that were added before have succeeded. */
void kn_plan_event(struct kn_plan *, bool is_warning, const char *reason, const char *message);

/* --- handlers --- */

/* What the last plan of this object failed with. */
struct kn_failure {
	enum kn_verb verb; /* of the write that failed */
	enum kn_kind kind; /* of its object */
	char *name;
	int status; /* HTTP; 0: no answer */
	char *reason, *message;
};

/* What a handler may read; borrowed for the call. */
struct kn_context {
	const struct kn_cache *cache;
	const struct kn_config *config;
	const struct kn_facts *facts;
	const struct settings *settings;
	const struct kn_failure *failure; /* NULL: none */
	int64_t wall_s;			  /* since 1970, by kn_clock */
	int64_t now_ns;			  /* clk_now() */
	int kubernetes_minor;		  /* of the server's version 1.N; 0: unknown */
};

/* Add to the plan what is to be written for the object.  It is not called for objects that are
 * being deleted. */
typedef void kn_handler(const struct kn_context *, const struct kn_object *, struct kn_plan *);

/* NULL: objects of this kind are not reconciled by themselves. */
struct kn_handlers {
	kn_handler *v[KN_KINDS_N];
};

#endif
