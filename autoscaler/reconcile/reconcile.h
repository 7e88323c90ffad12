/* reconcile - the control loop: keeps each revision at the number of instances that is wanted.
 *
 * Activators report requests (in flight, parked), instances that answer and drains that are
 * done; drivers show the instances that there are.  decide() says how many instances a revision
 * needs.  The reconciler asks the driver for these, and tells the activators about instances
 * and drains.
 *
 * In a round of the event loop
 *   - a message or a view is noted in its revision, which is marked if it has to be acted on in
 *     this round; an ordinary report waits for the next tick;
 *   - once a second reconcile_tick() marks all active revisions (scaled_is_active(): such as those
 *     with instances, reports, a schedule or a minimum), because averages change with time;
 *   - at the end reconcile_tail() goes through all marked revisions:
 *	1. adopt   a driver has shown the revision for the first time: take over its scale as
 *		   the number that we asked for.  Ask for it, too, unless it is 0: the driver
 *		   has no number from this process yet
 *	2. decide  decide(), and the bounds of its answer (wanted.h)
 *	3. share   if the revisions together claim more than max_instances, give each a part of
 *		   it (quota.h)
 *	4. act     note the decision; ask the driver for more instances, or drain some before
 *		   it is asked for fewer (scaledown.h); announce what has changed (announce.h)
 *	5. offer   give slots of instances to activators (sharing.h)
 * Four things do not wait for the end: an `activate` is decided on and acknowledged; a new
 * activator is sent the drains under way; `resume` is sent when a drain ends; a driver is told
 * which of its instances answer.
 *
 * The driver is asked for a number after all messages of the round were read, not once for each
 * message.  It may still get several calls for one revision: when the revision is adopted, and for
 * drained, unstarted and retired instances.
 *
 * The loop is level-triggered: each round compares what is wanted with what was asked for and
 * what there is.  If a message is lost, the next report or view makes up for it.
 * No I/O of its own; the time is clk_now().  Thread: the autoscaler's only loop.
 *
 * Room: autoscaler/reconcile changes the number of instances to the number that is wanted.  It
 * may use the brain, shares, the driver interface (driver.h) and common/.  It never knows which
 * driver it calls, and does no I/O but for the link (hub.c) and the file of learned.c.  Each of its
 * parts calls only those below it:
 *	catalog · learned		how services are described; what is kept over a restart
 *	reconcile			the round
 *	inbound · scaledown · quota	what is reported; drains; max_instances
 *	sharing				slots of instances given out to activators
 *	announce · past		what is sent to activators; counts of removed revisions
 *	scaled_set			all revisions
 *	scaled				one revision
 *	instances · wanted · peers · drain · hold	its parts, by themselves
 * hub, the autoscaler's end of the links, stands alone. */
#ifndef AUTOSCALER_RECONCILE_RECONCILE_H
#define AUTOSCALER_RECONCILE_RECONCILE_H

#include "autoscaler/reconcile/scaled.h"
#include "common/err.h"

struct reconcile;
struct shares;

struct reconcile_ops {
	/* Send to one activator, or (peer 0) to all. */
	void (*send)(uint64_t peer, const struct msg *, void *arg);
	/* As sharing_ops.holder_gone; may be NULL. */
	void (*holder_gone)(const char *id, void *arg);
	/* As sharing_ops.term_raised; may be NULL. */
	void (*term_raised)(uint64_t term, void *arg);
};

/* Settings that concern all revisions. */
struct reconcile_conf {
	uint32_t max_instances;		 /* 0: no bound */
	const struct owner_conf *owners; /* borrowed until the next reconcile_set() */
	size_t owners_n;
	int64_t share_quantum; /* ns */
	int64_t generation;    /* of the description that follows */
	/* of the machine that all instances share; 0: they do not share one, or it is unknown */
	double machine_cores, machine_memory; /* bytes */
};

/* One revision. */
struct reconcile_item {
	const struct revision_conf *conf; /* borrowed until the next reconcile_set() */
	struct driver *driver;		  /* borrowed */
	const char *owner;		  /* of its service; NULL: none */
	bool is_external; /* `addresses`: its instances run elsewhere and are not scaled */
	bool is_leaving;  /* the conf file does not name it any more: to be drained and stopped */
};

/* id: unique to this process, for the tokens of drains.  All borrowed. */
NODISCARD struct reconcile *reconcile_new(const struct reconcile_ops *, void *arg, const char *id);
void reconcile_free(struct reconcile **);
/* Before the first reconcile_set(): write changes of scale there; borrowed; NULL: nowhere. */
void reconcile_set_audit(struct reconcile *, struct audit *);

/* These are the revisions from now on.  What is known of a revision stays if its driver and its
 * is_external stay; else the revision is forgotten and begins anew.  Revisions that are not among
 * them are forgotten (the caller tells their drivers, by set_revisions()). */
void reconcile_set(struct reconcile *, const struct reconcile_conf *, const struct reconcile_item *,
		   size_t n);

/* True: each revision that is leaving has no instances and its driver was asked for none, or its
 * drain_timeout is over. */
bool reconcile_leaving_done(const struct reconcile *);
/* Is the revision leaving, and its drain_timeout over? */
bool reconcile_leaving_is_late(const struct reconcile *, const char *full_name);
/* Is that so of one that may still have instances? */
bool reconcile_any_is_late(const struct reconcile *);

/* An activator is connected and has been sent all services.  It is sent the drains that are
 * under way.  id is copied.  has_shares: it knows shares (common/shares.h).  has_spans: it makes a
 * span of each decision that starts instances; one such activator is told of each of them. */
void reconcile_peer_up(struct reconcile *, uint64_t peer, const char *id, bool has_shares,
		       bool has_spans);
/* The link of an activator is down.  If the activator has another link, its old reports are
 * dropped.  Else what it had in flight counts for one stable window more, and nothing is scaled
 * down meanwhile (peers.h). */
void reconcile_peer_down(struct reconcile *, uint64_t peer);
/* Before the first reconcile_set(): as sharing_begin(). */
void reconcile_begin_shares(struct reconcile *, uint64_t term, bool has_record,
			    const char *const *ids, size_t n);
/* The process of an activator has ended. */
void reconcile_holder_dead(struct reconcile *, const char *id);
/* What it sends: activate, stats, instance, drained, busy, shares_held, want or leaving. */
void reconcile_message(struct reconcile *, uint64_t peer, const struct msg *);
/* What an operator asks for by hand: one instance at least, which stays as one does that requests
 * have waited for; or none, as soon as no request is in flight, until the next request comes.
 * Returns -1 with err where the revision is not scaled, is leaving, or (sleep) is in use.  The peer
 * is the operator's process, for the audit. */
NODISCARD int reconcile_wake(struct reconcile *, struct scaled_revision *,
			     const struct audit_peer *, struct err *);
NODISCARD int reconcile_sleep(struct reconcile *, struct scaled_revision *,
			      const struct audit_peer *, struct err *);
/* What a rollout keeps, whatever the load says: so many instances at least, 0: none. */
void reconcile_warm(struct reconcile *, struct scaled_revision *, uint32_t n);
/* What a driver shows. */
void reconcile_view(struct reconcile *, const struct driver_view *);

/* The autoscaler is about to exit.  From now on nothing is decided or acknowledged, and no driver
 * is asked for instances.  Activators still learn what drivers show. */
void reconcile_freeze(struct reconcile *);
/* … and the drivers that own their instances are about to stop all of them. */
void reconcile_note_stop(struct reconcile *, const struct audit_by *);

void reconcile_tick(struct reconcile *); /* each second */
/* Let the brain of one revision plan anew (brain.h), if one waits for that.  Returns whether
 * others wait: the caller does other work in between, so that many plans delay nothing else. */
bool reconcile_plan(struct reconcile *);
void reconcile_tail(struct reconcile *); /* at the end of each round */
/* When a round is due though nothing has happened (clk_now()); INT64_MAX: with the next tick. */
int64_t reconcile_next_ns(const struct reconcile *);

/* --- for reading --- */
/* Are its slots given out to activators one by one?  Then its instances are not a part of the
 * description that all of them get. */
bool reconcile_is_shared(const struct reconcile *, const char *name);
/* `size_t at = 0; while (reconcile_next_owner(r, &at, &owner)) …`: the owners with a bound. */
struct reconcile_owner {
	const char *name;
	uint32_t max_instances;
	uint64_t instances; /* that drivers were asked for */
	uint64_t wanted;    /* that there would be without a bound */
};
bool reconcile_next_owner(const struct reconcile *, size_t *at, struct reconcile_owner *);
/* Its shares (shares.h); NULL: it has no container_concurrency. */
const struct shares *reconcile_shares(const struct reconcile *, const char *name);
/* Is the activator connected, and reports nothing? */
bool reconcile_is_silent(const struct reconcile *, const char *id);
/* How many were made by each rule, DECIDE_RULES_N; of revisions that are gone, too. */
const uint64_t *reconcile_decisions(const struct reconcile *);
/* What removed revisions of a service that has others have counted; NULL: none was removed. */
const struct scaled_counts *reconcile_past(const struct reconcile *, const char *service);
struct scaled_revision *reconcile_find(const struct reconcile *,
				       const char *name); /* may be NULL */
/* `size_t at = 0; while ((rev = reconcile_next(r, &at)) != NULL) …` */
struct scaled_revision *reconcile_next(const struct reconcile *, size_t *at);
/* Drivers have shown all revisions.  Those of `addresses` do not count: a name that cannot be
 * resolved is no reason for the whole autoscaler not to be ready. */
bool reconcile_is_known(const struct reconcile *);
/* Are requests parked, by the last reports? */
bool reconcile_has_parked(const struct reconcile *);
/* As driver_ops.load; 0 for an instance that is not known. */
uint32_t reconcile_load(struct reconcile *, const char *id);
int64_t reconcile_heard_since(const struct reconcile *); /* as driver_ops.heard_since */

#endif
