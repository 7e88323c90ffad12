/* scaled_set - all revisions that are scaled, found by name or by an instance's id; and which of
 * them have to be decided on each second (active) or acted on in this round (marked), or wait
 * for plans of their brain (planning).
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_SCALED_SET_H
#define AUTOSCALER_RECONCILE_SCALED_SET_H

#include "autoscaler/reconcile/scaled.h"
#include "common/hmap.h"

struct scaled_set {
	struct hmap by_name;	 /* full name → struct scaled_revision */
	struct hmap by_instance; /* id → struct scaled_revision */
	struct list active;	 /* scaled_revision.active */
	struct list marked;	 /* scaled_revision.marked */
	struct list planning;	 /* scaled_revision.planning; first come, first served */
};

void scaled_set_init(struct scaled_set *);
void scaled_set_fini(struct scaled_set *); /* must be empty */

void scaled_set_add(struct scaled_set *, struct scaled_revision *);
/* Remove it from the set, and free it. */
void scaled_set_remove(struct scaled_set *, struct scaled_revision *);

struct scaled_revision *scaled_set_find(const struct scaled_set *, const char *name); /* or NULL */
/* The revision that has this instance, or NULL. */
struct scaled_revision *scaled_set_find_instance(const struct scaled_set *, const char *id);
/* `size_t at = 0; while ((rev = scaled_set_next(s, &at)) != NULL) …` */
struct scaled_revision *scaled_set_next(const struct scaled_set *, size_t *at);

/* Decide on it at the end of this round, and act on it. */
void scaled_set_mark_undecided(struct scaled_set *, struct scaled_revision *);
/* Act on it at the end of this round, by the last decision. */
void scaled_set_mark_to_act(struct scaled_set *, struct scaled_revision *);
void scaled_set_mark_active(struct scaled_set *); /* all active ones, as undecided */
/* Its brain is to plan anew, in its turn. */
void scaled_set_mark_to_plan(struct scaled_set *, struct scaled_revision *);

/* Take the driver's view of a revision, and find the revision by these instances from now on. */
void scaled_set_take_view(struct scaled_set *, struct scaled_revision *, const struct driver_view *,
			  int64_t now_ns);

#endif
