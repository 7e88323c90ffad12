/* kn_machine - reconciles the objects that are marked: calls the handler of their kind, and carries
 * out the plan that it makes.
 *
 *	at rest		-> marked	the object, one that it controls or one that it tracks has
 *					changed; its time has come
 *	marked		-> running	in a round, while fewer than RUNNING_MOST plans run
 *	running		-> at rest	all writes of its plan have succeeded, or it has none
 *	running		-> marked	… and something has changed meanwhile
 *	running		-> backing off	a write has failed; it is marked again after 0.1 s, doubling
 *to 30 s, or when something changes
 *
 * Rounds are bounded in time: thousands of objects never keep the loop from other work.
 * Nothing is reconciled before kn_machine_start(), nor while this process is not the writer.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_MACHINE_H
#define AUTOSCALER_KNATIVE_KN_MACHINE_H

#include "autoscaler/knative/kn.h"

struct kn_machine; /* opaque */
struct kube_http;
struct kube_recorder;
struct loop;

/* All are borrowed. */
struct kn_machine_conf {
	struct loop *loop;
	struct kube_http *http;
	struct kube_recorder *recorder;
	const struct kn_handlers *handlers;
	const struct kn_config *config;
	const struct kn_facts *facts;
	const struct settings *settings; /* until kn_machine_use() */
};

/* on_change: the cache has changed, once at the end of a round of the loop. */
NODISCARD struct kn_machine *kn_machine_new(const struct kn_machine_conf *,
					    void (*on_change)(void *), void *arg);
/* Cancels what runs. */
void kn_machine_free(struct kn_machine **);

/* The cache that it keeps; what is put there marks. */
struct kn_cache *kn_machine_cache(struct kn_machine *);

/* Everything was listed once.  kubernetes_minor: of the server's version 1.N; 0: unknown. */
void kn_machine_start(struct kn_machine *, int kubernetes_minor);
/* Does this process write?  It does until it is called. */
void kn_machine_set_writer(struct kn_machine *, bool);
void kn_machine_use(struct kn_machine *, const struct settings *);

/* Something that is in no object of the cache has changed: of all objects; of one; of the Revision
 * of a Deployment; of the objects that heard that facts.is_routed was false, where is_due says so.
 */
void kn_machine_mark_all(struct kn_machine *);
void kn_machine_mark(struct kn_machine *, enum kn_kind, const char *ns, const char *name);
void kn_machine_mark_deployment(struct kn_machine *, const char *ns, const char *name);
void kn_machine_mark_unrouted(struct kn_machine *,
			      bool (*is_due)(enum kn_kind, const char *ns, const char *name,
					     void *arg),
			      void *arg);

/* A context as handlers get it, for kn_output; borrowed until the next call. */
const struct kn_context *kn_machine_context(struct kn_machine *);

#endif
