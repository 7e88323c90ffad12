/* kube_replicas - the replicas of one workload: what is wished, what was patched, what our own
 * watch shows, and whose hand was on it last.
 *
 * A PATCH that was answered is believed until the watch has shown it: what the watch
 * tells meanwhile is older.  A number that is not the one we set, and newer than it,
 * is someone else's (an HPA, kubectl, GitOps):
 *  - respected: it stays, and our wishes between are not carried out, until we bring the
 *    workload to zero or wake it from there;
 *  - overruled: ours is set again, after a back-off that doubles with each time, so that
 *    two who do not give way end in one change a quarter of an hour, not in a fight.
 * Pure: the time (monotonic ns) and random numbers are arguments. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_REPLICAS_H
#define AUTOSCALER_KUBERNETES_KUBE_REPLICAS_H

#include "common/backoff.h"

#define KUBE_RV_MOST 128 /* bytes of a resourceVersion */

struct kube_replicas {
	bool is_overruling; /* foreign_scale = overrule */
	bool has_wanted;
	uint32_t wanted;
	/* what the watch shows */
	bool exists; /* it is there */
	uint32_t observed;
	char observed_rv[KUBE_RV_MOST];
	/* our last PATCH */
	bool is_patching;
	bool is_patch_unsure; /* it failed, and may have been carried out all the same */
	uint32_t patched;
	bool is_unconfirmed;  /* answered, and the watch has not shown it yet */
	bool was_unconfirmed; /* it was due when all began to be told anew */
	char patched_rv[KUBE_RV_MOST];
	/* another hand */
	bool is_held;
	int64_t overrule_at_ns;	 /* not before; 0: at once */
	int64_t overruled_at_ns; /* when last; 0: never */
	int64_t retry_at_ns;	 /* not before */
	struct backoff overrule, retry;
};

void kube_replicas_init(struct kube_replicas *, bool is_overruling);

/* n replicas from now on. */
void kube_replicas_want(struct kube_replicas *, uint32_t n);
/* What the watch, or a GET, shows.  True: another hand has been on it. */
bool kube_replicas_observe(struct kube_replicas *, uint32_t replicas, const char *rv,
			   int64_t now_ns, uint32_t random);
/* It is not there (any more). */
void kube_replicas_gone(struct kube_replicas *);
/* The whole is being told anew, from the server's newest: whatever its version, it holds
 * (a cluster that was restored counts from further back). */
void kube_replicas_list_begin(struct kube_replicas *);
/* … and has been: a PATCH that was answered before is in it. */
void kube_replicas_list_end(struct kube_replicas *);

/* What there is, as far as we know. */
uint32_t kube_replicas_current(const struct kube_replicas *);
/* True: set *n now.  Else *wait_ns says when to ask again; 0: when something happens. */
bool kube_replicas_due(const struct kube_replicas *, int64_t now_ns, uint32_t *n, int64_t *wait_ns);
void kube_replicas_patch_sent(struct kube_replicas *, uint32_t n);
/* The server has set n; rv is the object's since then.  True: another hand has been on it
 * already. */
bool kube_replicas_patch_done(struct kube_replicas *, uint32_t n, const char *rv, int64_t now_ns,
			      uint32_t random);
/* It has not, or we do not know; not again before `delay` has passed. */
void kube_replicas_patch_failed(struct kube_replicas *, int64_t now_ns, int64_t delay);
/* What made it fail is over: the rest of the delay is not waited for. */
void kube_replicas_retry_now(struct kube_replicas *);

/* Whether version a is older than b; versions that are no numbers never are. */
bool kube_rv_is_older(const char *a, const char *b);

#endif
