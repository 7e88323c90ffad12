/* kube_replicas - the replicas of one workload: how many are wanted, what the last PATCH set,
 * what the watch shows, and whether another client has changed them.
 *
 * Once a PATCH is answered, its number counts until the watch shows it: what the watch shows
 * before that is older.  A number that is newer than our PATCH and not ours comes from another
 * client (an HPA, kubectl, GitOps).  A number that the object says our field manager set is ours,
 * whichever of our processes has sent it.  foreign_scale says what then happens:
 *  - respect: it stays until the reconciler, to which it was shown (kube_replicas_shown()), wants
 *    another number; or until it wants zero, or more than zero where there are none;
 *  - overrule: ours is set again, after a back-off that doubles each time.  Two clients of
 *    which neither gives way then make one change in a quarter of an hour, not in each second.
 * Pure: the time (monotonic ns) and random numbers are arguments. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_REPLICAS_H
#define AUTOSCALER_KUBERNETES_KUBE_REPLICAS_H

#include "common/backoff.h"

#define KUBE_RV_MOST 128 /* bytes of a resourceVersion */

/* Which field manager set the replicas last, as managedFields says.  Servers before 1.22 do not
 * record who writes to the scale subresource. */
struct kube_author {
	char manager[64]; /* "": it does not say */
	char time[32];	  /* RFC 3339, in whole seconds */
	bool by_scale;	  /* through the scale subresource */
};

struct kube_replicas {
	bool is_overruling; /* foreign_scale = overrule */
	bool has_wanted;    /* `wanted` was set once */
	uint32_t wanted;
	/* what the watch shows */
	bool exists; /* the workload is there */
	uint32_t observed;
	char observed_rv[KUBE_RV_MOST];
	struct kube_author author;
	bool is_author_known; /* `author` has set `observed`; false: it is older than that */
	/* our last PATCH */
	bool is_patching;     /* not answered yet */
	bool is_patch_unsure; /* it failed, but the server may have carried it out */
	uint32_t asked;	      /* what it is to set */
	uint32_t patched;     /* what the last one that was answered has set */
	bool is_unconfirmed;  /* answered, but the watch has not shown it yet */
	bool was_unconfirmed; /* likewise when the list that is being read began */
	char patched_rv[KUBE_RV_MOST];
	/* another client's change */
	bool is_held;		 /* it is respected */
	bool is_held_shown;	 /* kube_replicas_shown() was called since then */
	int64_t overrule_at_ns;	 /* not before; 0: at once */
	int64_t overruled_at_ns; /* the last time; 0: never */
	uint64_t overruled_n;	 /* so many times, … */
	uint32_t overruled;	 /* … and the number of the last time */
	int64_t retry_at_ns;	 /* after a PATCH that failed: not before */
	struct backoff overrule, retry;
};

void kube_replicas_init(struct kube_replicas *, bool is_overruling);

/* n replicas are wanted from now on. */
void kube_replicas_want(struct kube_replicas *, uint32_t n);

/* --- what the watch shows --- */

/* A number, by the watch or by a GET, and what that object says of its author.  True: another
 * client has changed it. */
bool kube_replicas_observe(struct kube_replicas *, uint32_t replicas, const char *rv,
			   const struct kube_author *, int64_t now_ns, uint32_t random);
/* The number that was observed first was set through the scale by another client lately: respect
 * it, as the process before this one did.  False: it is ours, or the object does not say. */
bool kube_replicas_hold(struct kube_replicas *);
/* The workload is not there. */
void kube_replicas_gone(struct kube_replicas *);
/* A list begins.  What it shows counts, even if its version is lower than ones seen before: a
 * cluster that was restored from a backup counts on from there. */
void kube_replicas_list_begin(struct kube_replicas *);
/* The list is complete: a PATCH that was answered before it began is part of it. */
void kube_replicas_list_end(struct kube_replicas *);

/* How many there are, as far as is known. */
uint32_t kube_replicas_current(const struct kube_replicas *);
/* The reconciler has been shown how many there are, and whether they are held. */
void kube_replicas_shown(struct kube_replicas *);
/* The field manager that has set them; NULL: the object does not say. */
const char *kube_replicas_author(const struct kube_replicas *);

/* --- PATCH --- */

/* True: *n is to be set now.  Else *wait_ns says when to ask again; 0: once something has
 * changed. */
bool kube_replicas_due(const struct kube_replicas *, int64_t now_ns, uint32_t *n, int64_t *wait_ns);
void kube_replicas_patch_sent(struct kube_replicas *, uint32_t n);
/* The server has set n, which is version rv of the object.  True: another client has changed
 * it since. */
bool kube_replicas_patch_done(struct kube_replicas *, uint32_t n, const char *rv, int64_t now_ns,
			      uint32_t random);
/* The server has refused, or has not answered.  Not again before `delay` has passed. */
void kube_replicas_patch_failed(struct kube_replicas *, int64_t now_ns, int64_t delay);
/* The cause of the failure is over: do not wait for the rest of the delay. */
void kube_replicas_retry_now(struct kube_replicas *);

/* Whether version a is older than b; false where one of them is no number. */
bool kube_rv_is_older(const char *a, const char *b);

#endif
