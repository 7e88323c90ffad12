/* knative - Knative's controllers, as the driver sees them: it opens them, takes services from
 *them, and tells them what is in no object.
 *
 *	asking		does Knative Serving itself run in this cluster?  Its webhook says so; then
 *			nothing is watched and nothing written, and the question is asked again
 *			each 5 min
 *	listing		all kinds are listed; until each is, nothing is written
 *	at work
 *
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KNATIVE_H
#define AUTOSCALER_KNATIVE_KNATIVE_H

#include "autoscaler/rollout_question.h"
#include "common/base.h"

struct kn_claims;
struct kn_revision_facts;
struct kn_controllers; /* opaque */
struct kube_namespaces;
struct kube_recorder;
struct kube_watch_shared;
struct service_conf;
struct settings;

/* All are borrowed. */
struct knative_conf {
	struct kube_watch_shared *shared;
	struct kube_recorder *recorder;
	struct kube_namespaces *namespaces; /* nothing is read or written in others */
	const struct settings *settings;    /* until knative_use() */
	/* As kn_facts.revision. */
	bool (*revision)(const char *ns, const char *deployment, struct kn_revision_facts *,
			 void *arg);
	/* As kn_facts.verdict; NULL: there is no judge. */
	enum rollout_verdict (*judge)(const struct rollout_question *, char **why, void *arg);
	/* knative_services() would return something else; called from the loop. */
	void (*on_services)(void *arg);
	void *arg;
};

NODISCARD struct kn_controllers *knative_open(const struct knative_conf *);
void knative_close(struct kn_controllers **);
/* Other settings are in effect, after kube_namespaces_use(). */
void knative_use(struct kn_controllers *, const struct settings *);
/* The namespaces have changed. */
void knative_use_namespaces(struct kn_controllers *);
/* Does this process write?  It does until it is called. */
void knative_set_writer(struct kn_controllers *, bool);

/* The *n services, less those of whose claims one is taken.  serial: of this call; greater than
 * that of each before.  Borrowed until the second call after this one.  NULL: not known yet. */
const struct service_conf *knative_services(struct kn_controllers *, const struct settings *,
					    const struct kn_claims *, uint64_t serial, size_t *n);
/* What knative_services() has returned up to this serial is in use in all activators. */
void knative_routed(struct kn_controllers *, uint64_t serial);
/* The facts of a Deployment have changed. */
void knative_deployment_changed(struct kn_controllers *, const char *ns, const char *name);
/* As kube_watch_reconnect(). */
void knative_reconnect(struct kn_controllers *, int64_t since_ns);

#endif
