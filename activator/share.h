/* share - the activator's side of the share protocol, for one revision: how many slots of each
 * instance this activator may use, and what it reports to the leading autoscaler
 * (common/shares.h says which messages there are; autoscaler/shares/ is the other side).
 *
 * Rules:
 *  - An instance's share is 0 until an offer raises it.
 *  - A share is lowered at once.  What is in use above the share stays in use, is counted as held,
 *    and is reported as it falls.
 *  - A recall is paid with idle slots: whole idle instances first.  recall_idle leaves as many as
 *    there are parked requests (they wait for an instance that is starting); recall_due does not.
 *    What is left is paid with the next slots that fall free, recall_due before parked requests
 *    get them.
 *  - A raise needs no report: the leader counts what it has offered as held.  So an activator that
 *    is alone, and has all slots, sends nothing while instances come and requests run.
 *  - Without an autoscaler everything stays as it is.
 *
 * It is a pure state machine: no clock, no I/O.  The caller puts in what it reads from the link
 * and what happens to slots, and then draws reports and wants, as long as the link is up.
 * The use of instances is asked for by share_ops.
 *
 * A caller with several threads has two duties.  set_share() must stop new requests and new
 * connections above the share before it returns, so that use(), which is called next, can only
 * fall afterwards.  And share_freed() must be called before a parked request gets the slot.
 * Thread: the owner, or whoever holds the lock that the owner has chosen. */
#ifndef ACTIVATOR_SHARE_H
#define ACTIVATOR_SHARE_H

#include "common/shares.h"

struct share; /* opaque */

/* How much of an instance is in use now. */
struct share_use {
	uint32_t requests; /* in flight: slots taken */
	uint32_t conns;	   /* connections open or being opened, idle and the prober's included */
	/* Its idle slots will serve parked requests: it answers, or it is starting.  Not so while
	 * it refuses connections. */
	bool is_usable;
	bool is_known; /* the instance is there */
};

/* Neither calls back. */
struct share_ops {
	/* From now on take no slot, and open no connection, if `slots` are in use.  SHARE_ALL: no
	 * limit.  Where fewer are allowed than before, idle connections above are closed soon. */
	void (*set_share)(const char *id, uint32_t slots, void *arg);
	struct share_use (*use)(const char *id, void *arg);
};

/* ops and arg are borrowed until share_free(). */
NODISCARD struct share *share_new(const struct share_ops *, void *arg);
void share_free(struct share **);

/* --- the link --- */
/* A link is up, and its autoscaler's hello named this term.  A complete report is to be sent,
 * which is also the part of our own hello about shares.  If the term is new, offers of lower
 * terms are ignored from now on. */
void share_connected(struct share *, uint64_t term);
/* This activator is about to end, and uses no slots any more but those in use now: give up all
 * shares. */
void share_release(struct share *);
/* The link is down: nothing is given up any more, as no other activator could get it. */
void share_disconnected(struct share *);
/* The autoscaler counts no shares of the revision, as it knows none or there is no limit
 * (SHARE_ALL): all instances in its list (ids, n) may be used without regard to other activators.
 * Call it with each new list.  Nothing is to be reported; a complete report must follow
 * (share_connected()) before the first offer is obeyed, or the offer must ask for one. */
void share_unshared(struct share *, uint32_t limit, const char *const *ids, size_t n);
/* Obey an offer.  False: its (term, epoch) is not new, and nothing has changed. */
bool share_obey(struct share *, const struct share_offer *);

/* --- uses (max_requests) --- */
/* An instance ends after so many requests; 0: it does not.  From here on instances are given up
 * whole.  If it did not before, those that are held have all of these requests left. */
void share_set_max_requests(struct share *, uint32_t max_requests);
/* Requests that may still be sent there; 0: it is spent; SHARE_NO_USES: they are not counted. */
uint32_t share_uses(const struct share *, const char *id);
/* A request is about to be sent there; it must not be spent.  Returns what is left. */
uint32_t share_use(struct share *, const char *id);
/* That request was not sent. */
void share_unuse(struct share *, const char *id);

/* --- slots --- */
/* Must share_set_parked() be called when requests park or are parked no more? */
bool share_needs_parked(const struct share *);
/* So many requests are parked, the oldest since since_ns (any clock, that of share_next_want()). */
void share_set_parked(struct share *, uint32_t parked, int64_t since_ns);
/* A request at the instance has ended, or a connection to it was closed, and no parked request
 * has the slot yet.  Needed only if share_is_watching(); harmless otherwise.  Where more is in use
 * than the share, each fall has something to report (share_next_report()). */
void share_freed(struct share *, const char *id);
/* Must share_freed() be called: is a recall owed? */
bool share_is_watching(const struct share *);
uint32_t share_of(const struct share *, const char *id); /* its share; 0: not known */

/* --- what is to be sent; draw until false, while the link is up --- */
/* The items are borrowed until the next call of any function here. */
NODISCARD bool share_next_report(struct share *, struct share_report *);
NODISCARD bool share_next_want(struct share *, struct share_want *, int64_t now_ns);

#endif
