/* reconcile_impl - what reconcile*.c and scaledown.c share.  For these alone. */
#ifndef AUTOSCALER_RECONCILE_RECONCILE_IMPL_H
#define AUTOSCALER_RECONCILE_RECONCILE_IMPL_H

#include "autoscaler/reconcile/drain.h"
#include "autoscaler/reconcile/reconcile.h"

struct reconcile_peer {
	uint64_t serial;
	char *id;
	uint64_t report;      /* number of the report that it is telling */
	int64_t since_ns;     /* of its link */
	int64_t reported_ns;  /* when the last one was complete; 0: none yet */
	bool is_silence_told; /* in the log */
};

/* An activator that vanished: it counts as busy until it is back or a stable window
 * has passed. */
struct reconcile_ghost {
	uint64_t serial;
	char *id;
	int64_t gone_ns;
};

struct reconcile {
	const struct reconcile_ops *ops;
	void *arg;
	struct reconcile_conf conf;
	int64_t started_ns;
	bool is_retired;
	int64_t longest_window; /* of all revisions, ns */

	struct hmap by_name;	 /* full name → struct scaled_revision */
	struct hmap by_instance; /* id → struct scaled_revision */
	struct list active;	 /* revision.active */
	struct list dirty;	 /* revision.dirty */
	uint64_t claim_total;	 /* wanted.claim of all revisions */
	uint64_t sent_total;	 /* scale_sent of all revisions */
	double used_cores;	 /* by all instances, of late */
	size_t load_at;		 /* where reconcile_load() goes on: drivers ask in their order */
	bool is_tight;		 /* the claims do not fit under max_instances */
	bool is_share_due;	 /* one of them has changed */

	struct drain_table drains;
	struct reconcile_peer *peers;
	size_t peers_n;
	struct reconcile_ghost *ghosts;
	size_t ghosts_n;
};

/* Act on it at the tail; is_undecided: decide() first. */
void reconcile_mark(struct reconcile *, struct scaled_revision *, bool is_undecided);
/* Ask decide(), and bound its answer by what holds beside it. */
void reconcile_decide(struct reconcile *, struct scaled_revision *);
/* Tell the driver, and the log. */
void reconcile_tell(struct reconcile *, struct scaled_revision *, uint32_t n,
		    const char *const *victims, size_t victims_n);
/* What bounds what is wanted of rev (wanted.h). */
struct wanted_facts reconcile_facts(const struct reconcile *, const struct scaled_revision *,
				    int64_t now_ns);
/* The claim of rev is another one than before. */
void reconcile_note_claim(struct reconcile *, const struct scaled_revision *,
			  const struct wanted *before);
/* What rev may have of max_instances until it is shared out again. */
uint32_t reconcile_allotted(const struct reconcile *, const struct scaled_revision *);
/* At the tail: who gets what where they do not. */
void reconcile_share(struct reconcile *);
/* How many of those wanted its driver may be told now. */
uint32_t reconcile_room(const struct reconcile *, const struct scaled_revision *);
/* Before it is acted on: do requests wait, and nothing may be started for them? */
void reconcile_note_held_back(const struct reconcile *, struct scaled_revision *);
/* A driver was told of less: others may be waiting for that. */
void reconcile_room_made(struct reconcile *);

/* Forget where its instances are found. */
void reconcile_unmap(struct reconcile *, struct scaled_revision *);

struct reconcile_peer *reconcile_find_peer(struct reconcile *, uint64_t serial); /* or NULL */
/* Silence is not idleness: false while an activator that may have something in flight
 * is not heard, or none is there. */
bool reconcile_may_shrink(const struct reconcile *, const struct scaled_revision *, int64_t now_ns);
/* Each second: who vanished long ago, who says nothing. */
void reconcile_watch_peers(struct reconcile *, int64_t now_ns);

#endif
