/* sharing - the slots of all revisions with container_concurrency, given out to the activators
 * (autoscaler/shares): one `struct shares` for each such revision, kept from the revision's first
 * limit to the description that does not name it any more.
 *
 * An activator that knows shares is sent `instances` of these revisions with an offer, and only
 * after it has reported what it holds; one that does not is sent them only while no other
 * activator holds anything.
 *
 * A revision that is removed and comes back has another `struct shares`, to which the offers and
 * reports of the one before mean nothing.  So its offers have higher epochs than all before, and
 * it heeds only reports that were made after the activator had read the new description
 * (`generation`).
 * The time is clk_now().  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_SHARING_H
#define AUTOSCALER_RECONCILE_SHARING_H

#include "autoscaler/reconcile/scaled_set.h"

struct shares;
struct sharing; /* opaque */

struct sharing_ops {
	/* Send to one activator. */
	void (*send)(uint64_t peer, const struct msg *, void *arg);
	/* This dead activator holds nothing any more: its id need not be kept.  NULL: ids are
	 * not kept. */
	void (*holder_gone)(const char *id, void *arg);
	/* An activator has obeyed a later leader, of which no record is left.  This leader has the
	 * term from now on, which is higher.  Keep it, and cut all links: the next hellos name it.
	 * NULL: links stay. */
	void (*term_raised)(uint64_t term, void *arg);
};

/* All borrowed. */
NODISCARD struct sharing *sharing_new(const struct scaled_set *, const struct sharing_ops *,
				      void *arg);
void sharing_free(struct sharing **);
/* Before anything else: this leader's term, and the activators that may hold something from
 * before (ids, n).  has_record: they are all that there are; else the autoscaler before has kept
 * no record, or it is lost. */
void sharing_begin(struct sharing *, uint64_t term, bool has_record, const char *const *ids,
		   size_t n);

/* --- the revisions --- */
/* The revisions that sharing_describe() names from here to sharing_end_set() are all that there
 * are.  generation: of the description that is sent of them. */
void sharing_begin_set(struct sharing *, int64_t generation, int64_t quantum_ns);
/* True: its limit has changed, and activators have to learn of it. */
bool sharing_describe(struct sharing *, const struct scaled_revision *);
void sharing_end_set(struct sharing *);
/* For reading; NULL: the revision has no limit. */
const struct shares *sharing_find(const struct sharing *, const char *revision);
/* Does the revision have a limit: does only sharing_flush() send its instances? */
bool sharing_has(const struct sharing *, const char *revision);

/* --- activators --- */
void sharing_peer_up(struct sharing *, uint64_t peer, const char *id, bool has_shares);
void sharing_peer_down(struct sharing *, uint64_t peer);
/* The process has ended.  Its slots are free abort_timeout later. */
void sharing_dead(struct sharing *, const char *id);
void sharing_held(struct sharing *, uint64_t peer, const struct msg_shares_held *);
void sharing_want(struct sharing *, uint64_t peer, const struct msg_want *);
void sharing_leaving(struct sharing *, uint64_t peer);

/* --- what is sent --- */
/* The revision, whose instances are known, has changed.  True: sharing_flush() sends it. */
NODISCARD bool sharing_publish(struct sharing *, const struct scaled_revision *);
/* With max_requests: may no activator send a request to the instance any more? */
bool sharing_is_spent(const struct sharing *, const char *revision, const char *instance);
/* At the end of each round. */
void sharing_flush(struct sharing *);
/* When sharing_flush() has to be called though nothing has happened; INT64_MAX: never. */
int64_t sharing_next_ns(const struct sharing *);
void sharing_tick(struct sharing *); /* each second */

#endif
