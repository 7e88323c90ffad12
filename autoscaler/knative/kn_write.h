/* kn_write - one write of a plan: the request that carries it out, and what its answer means.
 *
 *	200..299		done; what it answers is the object now
 *	DELETE 404		done: it is gone already
 *	CREATE AlreadyExists	the object is read, whosever it is: the answer to an earlier try
 *				may have been lost
 *	Conflict		the object is read: it has changed, or is another one of the name
 *	404 but to a CREATE	the object is read: it has gone, and leaves the cache
 *	all other		failed
 *
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_WRITE_H
#define AUTOSCALER_KNATIVE_KN_WRITE_H

#include "autoscaler/knative/kn.h"

struct kube_answer;
struct kube_call_ops;
struct kube_http;
struct kube_request;

/* Send it.  rv: the resourceVersion that it bears, where its verb has one. */
struct kube_request *kn_write_send(struct kube_http *, const struct kn_write *, const char *rv,
				   const struct kube_call_ops *, void *arg);
/* Read one object. */
struct kube_request *kn_read_send(struct kube_http *, enum kn_kind, const char *ns,
				  const char *name, const struct kube_call_ops *, void *arg);

enum kn_outcome { KN_DONE, KN_READ_AGAIN, KN_FAILED };

/* *object: what the answer says the object is now, the caller's; NULL: it does not say. */
enum kn_outcome kn_write_outcome(const struct kn_write *, const struct kube_answer *,
				 struct json_t **object);
/* The object of an answer; NULL: there is none. */
NODISCARD struct json_t *kn_answer_object(const struct kube_answer *);

/* "create", as rights name it. */
const char *kn_verb_name(enum kn_verb);
/* What messages say of a failed write: its verb, its object and the answer.  The caller's. */
NODISCARD char *kn_write_explain(const struct kn_write *, const struct kube_answer *);

#endif
