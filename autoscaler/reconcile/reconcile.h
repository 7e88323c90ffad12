/* reconcile - keeps every revision at what is wanted of it: takes what activators and
 * drivers say, asks decide(), and acts, by the driver and by messages.
 *
 * Nothing happens inside the calls that bring news: they note it, and reconcile_tail()
 * at the end of the round decides and acts once for each revision concerned, however
 * many messages spoke of it.  Only the acknowledgement of an `activate` leaves at once.
 *
 * No I/O of its own; the time is clk_now().  Thread: the autoscaler's only loop.
 *
 * Room: autoscaler/reconcile leads from what is wanted to what is: it merges what activators
 * and drivers report, asks the brain, and tells drivers and activators.  It may use the
 * brain, the driver interface (driver.h) and common/.  It never knows which driver it
 * speaks to, and never does I/O itself but for the link (hub.c) and learned.c's file. */
#ifndef AUTOSCALER_RECONCILE_RECONCILE_H
#define AUTOSCALER_RECONCILE_RECONCILE_H

#include "autoscaler/reconcile/scaled.h"
#include "common/err.h"

struct reconcile;

struct reconcile_ops {
	/* To one activator, or, peer 0, to all of them. */
	void (*send)(uint64_t peer, const struct msg *, void *arg);
};

/* The part of the settings that is not a revision's. */
struct reconcile_conf {
	uint32_t max_instances; /* over all revisions; 0: no ceiling */
	int64_t drain_timeout;	/* of one instance, ns */
	double machine_cores;	/* that all instances share; 0: they do not, or it is unknown */
	double machine_memory;	/* bytes; 0 likewise */
};

/* One revision that there is to be. */
struct reconcile_item {
	const struct revision_conf *conf; /* borrowed until the next reconcile_set() */
	struct driver *driver;		  /* borrowed */
	bool is_external;
	bool is_leaving; /* no longer named: to be emptied and stopped */
};

/* id: unique to this process, for the tokens.  All borrowed. */
NODISCARD struct reconcile *reconcile_new(const struct reconcile_ops *, void *arg, const char *id);
void reconcile_free(struct reconcile **);

/* The revisions that there are from now on.  Those that were there already keep all
 * that is known of them; those that are gone are forgotten (their driver is told by
 * its set_revisions(), not by us). */
void reconcile_set(struct reconcile *, const struct reconcile_conf *, const struct reconcile_item *,
		   size_t n);

/* Every revision that is leaving has no instance left, or has had drain_timeout. */
bool reconcile_has_left(const struct reconcile *);

/* An activator is there and has been told of all services: it is asked for the drains
 * that are under way.  id is copied. */
void reconcile_peer_up(struct reconcile *, uint64_t peer, const char *id);
void reconcile_peer_down(struct reconcile *, uint64_t peer);
/* What it says: activate, stats, instance, drained, busy. */
void reconcile_message(struct reconcile *, uint64_t peer, const struct msg *);
/* What a driver says. */
void reconcile_view(struct reconcile *, const struct driver_view *);

/* We leave: nothing is decided or acknowledged any more; what drivers say is passed on. */
void reconcile_retire(struct reconcile *);

void reconcile_tick(struct reconcile *); /* each second */
void reconcile_tail(struct reconcile *); /* at the end of each round */

/* --- to be looked at --- */
struct scaled_revision *reconcile_find(const struct reconcile *,
				       const char *name); /* may be NULL */
/* `size_t at = 0; while ((rev = reconcile_next(r, &at)) != NULL) …` */
struct scaled_revision *reconcile_next(const struct reconcile *, size_t *at);
bool reconcile_is_known(const struct reconcile *); /* every driver has seen the world */
/* As driver_ops.load; 0 where it is not known. */
uint32_t reconcile_load(struct reconcile *, const char *id);

#endif
