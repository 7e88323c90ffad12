/* kn_world - a cluster in memory for the handlers of autoscaler/knative: an API server that keeps
 * objects, a machine that reconciles them until nothing changes, a garbage collector, and a
 * kubelet that runs the pods of Deployments.
 *
 * A test says what users do, lets the world run, and looks at what has become of it.  The world
 * fails the test where a plan does what a server would refuse: a write with an old
 * resourceVersion, a create of what exists, a write that changes nothing; or where no end comes.
 *
 * What pods do follows from the image of the serving container: "…missing…" cannot be pulled,
 * "…crash…" ends with code 3, "…huge…" finds no node, any other one is ready at once. */
#ifndef TEST_UNIT_KN_WORLD_H
#define TEST_UNIT_KN_WORLD_H

#include "test/unit/unit.h"

#include <jansson.h>

#include "autoscaler/knative/kn.h"

struct kn_world {
	struct kn_cache *cache;
	struct kn_config *config;
	struct settings *settings; /* with a local listener */
	struct kn_handlers handlers;
	struct kn_facts facts;
	int64_t wall_s, now_ns;
	int kubernetes_minor;

	json_t *store[KN_KINDS_N]; /* "NS/NAME" to the object as the server has it */
	json_t *failures;	   /* "KIND NS/NAME" to {status, reason, message} */
	unsigned long uid, rv;
	unsigned writes_n; /* of plans, so far */
	unsigned dies_at; /* after so many writes the process is killed and begins anew; 0: never */

	/* What a test can set. */
	bool has_kubelet;     /* true at first; else Deployments stay without pods */
	bool is_routed;	      /* what facts.is_routed says; true at first */
	bool is_pulling;      /* what cannot be pulled is being tried again */
	const char *image_id; /* what runs in user-container; NULL: not known */
	const char *quota;    /* "…exceeded quota…": no pod can be created; NULL */
	/* Refuse a write; NULL: carry it out. */
	const char *(*refuse)(const struct kn_world *, const struct kn_write *);
	int refuse_status;
	int32_t most_ready; /* pods that were ready before the handler was called */
	int32_t desired; /* replicas that the autoscaler wants of every Deployment; -1: as they are
			  */
};

void kn_world_open(struct kn_world *);
void kn_world_close(struct kn_world *);

/* A user creates the object, or changes it to that: metadata and spec; the status stays.  text:
 * JSON without apiVersion; namespace "default" unless it says one. */
void kn_world_apply(struct kn_world *, enum kn_kind, const char *text);
/* A user deletes it; what it owns goes with it. */
void kn_world_delete(struct kn_world *, enum kn_kind, const char *name);
/* Likewise in the foreground: it stays, with a deletionTimestamp, until kn_world_collect(). */
void kn_world_delete_foreground(struct kn_world *, enum kn_kind, const char *name);
/* What is being deleted goes. */
void kn_world_collect(struct kn_world *);
/* A merge patch to the object (with status: also to that), as somebody else's write. */
void kn_world_patch(struct kn_world *, enum kn_kind, const char *name, const char *text);

/* Reconcile, and let pods start, until nothing changes any more. */
void kn_world_run(struct kn_world *);
/* Time passes; then kn_world_run(). */
void kn_world_wait(struct kn_world *, int64_t seconds);

/* The object in namespace "default"; borrowed until the next write.  NULL: there is none. */
json_t *kn_world_get(const struct kn_world *, enum kn_kind, const char *name);
size_t kn_world_count(const struct kn_world *, enum kn_kind);
/* A condition as "Status Reason: Message", reason and message only if there are some; borrowed
 * until the next call but seven.  "": there is no such condition. */
const char *kn_world_condition(const struct kn_world *, enum kn_kind, const char *name,
			       const char *type);
/* A line for each object, sorted: kind, name, generations, Ready, and what Knative's labels say.
 * For free(). */
char *kn_world_summary(const struct kn_world *);

#endif
