/* shares - the leader's side of the share protocol, for one revision: it gives out how many slots
 * of each instance each activator may use.  common/shares.h says which messages there are;
 * activator/share.h is the other side.
 *
 * It is a pure state machine: no clock, no I/O.  The caller puts in what it reads from links, what
 * the driver lists, which activators are dead, and the time; then it draws offers.  Each call
 * names an activator by its id, which is that of its process: a restarted activator is another.
 *
 * What the caller promises:
 *  - The id of an activator is on stable storage before shares_up() names it for the first time,
 *    and stays there until shares_knows() is false.  The next leader passes all these ids to
 *    shares_new(), so that it waits for each of them; it reads them after this one has stopped
 *    writing.
 *  - Each leader's term is higher than the terms of all before, and the one before has stopped
 *    deciding: only its offers may still be on their way.
 *  - What an activator sends is passed on only if it comes by the activator's newest link, the one
 *    that the last shares_up() announced, and in the order in which it was sent.
 *  - An activator is called dead only if its process has ended, and then nothing of it is passed
 *    on.  (If it comes back nevertheless, it counts as holding all until it reports.)
 *
 * Room: autoscaler/shares gives out slots to activators: holdings is what they may hold, and
 * keeps every share safe; allot is the policy; shares is the protocol.  Everything here is
 * pure, so that a model checker (test/unit/t_share_model.c) runs it through every kind of
 * interleaving.  It may use common/ alone; it knows no link, no driver and no clock.
 * Thread: the owner. */
#ifndef AUTOSCALER_SHARES_SHARES_H
#define AUTOSCALER_SHARES_SHARES_H

#include "common/shares.h"

struct shares; /* opaque */

/* An instance that there is. */
struct shares_instance {
	const char *id;
	bool is_listed; /* to activators: else it is draining, or stopping */
	/* With max_requests: requests that may still be sent there, as far as no activator has been
	 * offered it by this leader.  Of an instance from before this leader that is not known, so
	 * it is 0; activators report what they hold. */
	uint32_t uses;
};

struct shares_conf {
	uint64_t term;		  /* from 1 */
	uint64_t epoch;		  /* offers have higher epochs */
	int64_t quantum_ns;	  /* share_quantum: under contention a share stays so long */
	int64_t abort_timeout_ns; /* so long the slots of a dead activator stay in use */
};

/* known: the ids on stable storage (n).  Each may hold everything until it reports or is dead. */
NODISCARD struct shares *shares_new(const struct shares_conf *, const char *const *known, size_t n);
void shares_free(struct shares **);
/* Other times hold from now on; term and epoch stay. */
void shares_configure(struct shares *, const struct shares_conf *);

/* --- what the driver and the settings say --- */
/* These instances (ids, n) are listed to activators from now on, with this container_concurrency;
 * SHARE_ALL: no limit, and each activator may use everything.  Before the first call nothing is
 * offered.  The ids are copied. */
void shares_set(struct shares *, uint32_t limit, const char *const *ids, size_t n);
/* The same with max_requests (0: none), and with instances that are not listed, but may be again.
 */
void shares_set_instances(struct shares *, uint32_t limit, uint32_t max_requests,
			  const struct shares_instance *v, size_t n);

/* --- activators --- */
/* A link is up.  has_shares: its hello names the feature.  No offer is made to the activator until
 * a complete report under this leader's term has come by this link. */
void shares_up(struct shares *, const char *id, bool has_shares);
/* The link is down: what the activator holds stays its own. */
void shares_down(struct shares *, const char *id);
/* The activator accepts no new requests: it gets slots for its parked requests alone. */
void shares_leaving(struct shares *, const char *id);
/* The process has ended.  Its slots are free abort_timeout later, or at once if it had none. */
void shares_dead(struct shares *, const char *id, int64_t now_ns);
/* Ids that are not known, and terms other than this leader's, change nothing; a complete report
 * with a higher term, or with this term and a higher epoch than was offered, says that another
 * leads: nothing is offered any more (shares_higher_term()). */
void shares_report(struct shares *, const char *id, const struct share_report *, int64_t now_ns);
void shares_want(struct shares *, const char *id, const struct share_want *, int64_t now_ns);
/* May an activator that knows no shares (has_shares was false) be sent instances?  It uses all
 * slots of what it is sent.  True only if no other activator holds anything; from then on no
 * other gets anything, until this one is dead. */
NODISCARD bool shares_may_use_all(struct shares *, const char *id);
/* The activator knows no shares, and may use everything: an earlier leader, or a time without a
 * limit, may have let it. */
void shares_assume_all(struct shares *, const char *id);
/* If several activators that know no shares may use everything, and no other activator holds
 * anything, they would keep the instances from each other for ever.  True: this one may be sent
 * instances, as the first of them.  The others are to be stopped (shares_must_stop()); until
 * their requests have ended, more than the limit may be in use. */
NODISCARD bool shares_break_tie(struct shares *, const char *id);
/* Must the activator, which knows no shares, be sent that no instance may be used, because
 * another activator uses the instances? */
bool shares_must_stop(const struct shares *, const char *id);
/* Forget the dead activators whose slots are free by now.  Each shares_next_offer() does so, too;
 * call it each second where that is not called. */
void shares_bury(struct shares *, int64_t now_ns);

/* --- what is to be sent --- */
/* The next offer, and the id of the activator that it is for; false: none is due.  All of it is
 * borrowed until the next call of any function here.  Call it until it returns false, after other
 * calls and when shares_next_ns() is over. */
NODISCARD bool shares_next_offer(struct shares *, const char **id, struct share_offer *,
				 int64_t now_ns);
/* When to call shares_next_offer() again if nothing happens; INT64_MAX: never. */
int64_t shares_next_ns(const struct shares *, int64_t now_ns);

/* --- for reading --- */
/* The highest term of another leader, not below this one's, that a complete report has named; 0:
 * none. */
uint64_t shares_higher_term(const struct shares *);
/* The highest epoch of all offers. */
uint64_t shares_epoch(const struct shares *);
/* Does the activator count: is it connected, or may it hold something? */
bool shares_knows(const struct shares *, const char *id);
/* Slots that may be in use at an instance, by all activators together; SHARE_ALL: unknown. */
uint32_t shares_bound(const struct shares *, const char *instance);
uint32_t shares_limit(const struct shares *); /* as shares_set() was told; 0: not yet */

/* An activator that holds slots, or may; strings are borrowed until the next call of a function
 * that changes anything. */
struct shares_holder {
	const char *id;
	bool is_connected, is_leaving, is_dead;
	bool is_unknown;	/* what it holds: it has not reported, or knows no shares */
	uint32_t recalled;	/* slots that it is asked to give up */
	uint32_t wants;		/* slots that its parked requests lack … */
	int64_t wants_since_ns; /* … the oldest of them since then */
};
/* The activator at i, from 0; false: there are no more. */
bool shares_holder_at(const struct shares *, size_t i, struct shares_holder *);

struct shares_slots {
	const char *instance;
	uint32_t share; /* of this activator; SHARE_ALL: all that there are */
	uint32_t held;	/* at most: what it uses, or may use until it obeys the last offer */
};
/* What the activator at `holder` has of the instance at i; false: there are no more. */
bool shares_slots_at(const struct shares *, size_t holder, size_t i, struct shares_slots *);
/* With max_requests: may no activator send a request to the instance any more? */
bool shares_is_spent(const struct shares *, const char *instance);

#endif
