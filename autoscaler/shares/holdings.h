/* holdings - the account of one revision's slots: how many of each instance each activator may be
 * using, as far as the leader can know.
 *
 * A holder is an activator that may hold slots: it is connected, or was, and is not known to be
 * dead.  For each holder and instance the account has
 *	value	the most that its share is once the holder has obeyed every offer sent
 *	bound	the most that the holder may hold now, whichever offers have reached it
 * so that bound >= value.  The rule that makes shares safe, and that no policy can break, is in
 * holdings_raise(): a share is raised only while the bounds of all holders add up to no more than
 * the limit.  A bound falls only by what the holder reports, and ends with the holder.
 *
 * A holder that has not reported under this leader's term may hold everything: an earlier leader
 * may have offered it any share, and such an offer may reach it until it knows the new term.
 * Slots that it may hold are nobody else's.
 *
 * Uses.  With max_requests each instance has so many uses, and one holder alone has a share of it,
 * and with that share all uses that are left.  It is raised from 0 only while the bounds of all
 * holders are 0.  So when a holder's bound has fallen to 0, what it has sent there is final, and
 * what is left can be given to the next holder.  What a holder had that has died is lost: the
 * instance is spent.
 *
 * Pure: no clock, no I/O.  Thread: the owner. */
#ifndef AUTOSCALER_SHARES_HOLDINGS_H
#define AUTOSCALER_SHARES_HOLDINGS_H

#include "autoscaler/shares/shares.h"
#include "common/hmap.h"
#include "common/shares.h"

struct holdings_entry { /* one holder at one instance */
	uint32_t value;
	uint32_t bound;
	uint64_t value_epoch; /* of the offer that named value */
	uint64_t lower_epoch; /* of the last offer that lowered the share */
	bool is_unsent;	      /* value has changed since the last offer */
	int64_t given_up_ns;  /* when it last reported less than value; 0: never */

	/* with max_requests */
	bool has_uses;	     /* from the raise that gave them, until bound is 0 */
	bool is_going;	     /* has given up a part, and so gives all of it up, until then */
	bool is_uses_unsent; /* the next offer names them */
	uint32_t given;	     /* uses, when its share was raised from 0 … */
	uint32_t given_at;   /* … and `used` was this */
	uint32_t used;	     /* requests that it has sent there, as it reported */
};

struct holdings_instance {
	char *id;
	bool is_listed;
	bool is_marked;			   /* for holdings_list() alone */
	const struct share_item *reported; /* for holdings_report() alone */
	bool is_there;	 /* with max_requests: remember it, although it may not be listed */
	bool is_counted; /* with max_requests: `uses` is known */
	uint32_t uses;	 /* that no holder has */
	uint32_t free;	 /* the limit less all bounds; set by holdings_count_free() */
	struct holdings_entry *v; /* one for each holder, at its index */
};

struct holdings_holder {
	char *id;
	size_t index; /* in holdings.holders, and of its entries */

	/* what is known of it */
	bool is_connected;
	bool has_shares; /* its hello names the feature */
	bool has_all;	 /* without has_shares: it may use all of everything; else nothing */
	bool is_allowed; /* without has_shares: this leader has said that it may */
	bool is_heard;	 /* it has sent a complete report under this term */
	bool is_synced;	 /* it has sent one on its present link, so it may be sent offers */
	bool is_leaving; /* it accepts no new requests */
	int64_t dead_ns; /* when it was known to be dead; -1: it is not */

	/* what it was offered */
	uint64_t epoch;	      /* of the last offer */
	uint64_t exact_epoch; /* without a complete report after this offer it may hold all */
	bool is_exact;	      /* that report has come */
	bool is_offer_due;
	bool is_shared;			  /* as the last offer said */
	uint32_t recall_idle, recall_due; /* asked for, and not reported as given up */
	uint64_t recall_epoch;
	int64_t turn_ns; /* when it got its first slot, or recall_due last asked it for some */

	/* what it wants */
	uint32_t want;
	int64_t want_since_ns;
	uint64_t raise_epoch; /* of the last offer that raised a share */
	uint64_t
		raised; /* slots by which shares were raised, since the want that was sent before */

	uint64_t total; /* slots of listed instances, by value; set by holdings_count_free() */
};

struct holdings {
	/* Slots of each instance.  SHARE_ALL: any number, and nothing is accounted.  0: neither
	 * limit nor instances are known yet. */
	uint32_t limit;
	uint32_t max_requests; /* 0: uses are not counted */
	uint64_t epoch; /* the highest that was offered to any holder, or before there were any */
	struct holdings_holder **holders;
	size_t holders_n, holders_cap;
	struct holdings_instance **v;
	size_t n, cap;
	struct hmap by_id; /* instances */
};

void holdings_init(struct holdings *);
void holdings_fini(struct holdings *);

/* --- holders --- */
/* Until it reports, a new holder counts as holding all (has_shares).  id is copied. */
struct holdings_holder *holdings_add_holder(struct holdings *, const char *id);
struct holdings_holder *holdings_find_holder(const struct holdings *,
					     const char *id); /* may be NULL */
/* It holds nothing any more. */
void holdings_remove_holder(struct holdings *, struct holdings_holder *);
/* Does it hold nothing, for certain? */
bool holdings_is_empty_handed(const struct holdings *, const struct holdings_holder *);

/* --- instances and limit --- */
/* These instances are there; others are forgotten when nothing is held of them.  Those that are
 * listed may be used from now on; shares of all others are lowered to 0. */
void holdings_list(struct holdings *, const struct shares_instance *v, size_t n);
/* From now on requests are counted, or (0) not. */
void holdings_set_max_requests(struct holdings *, uint32_t);
void holdings_set_limit(struct holdings *, uint32_t limit);

/* --- shares --- */
/* Lower the share of h to slots, which are not more than its value. */
void holdings_lower(struct holdings *, struct holdings_holder *, struct holdings_instance *,
		    uint32_t slots);
/* With max_requests another holder may have the instance: then the share of h is not raised. */
bool holdings_may_raise(const struct holdings *, const struct holdings_holder *,
			const struct holdings_instance *);
/* Raise the share of h by slots above its bound.  slots is at most inst->free. */
void holdings_raise(struct holdings *, struct holdings_holder *, struct holdings_instance *,
		    uint32_t slots);
/* The bounds of all holders together; SHARE_ALL: unknown. */
uint32_t holdings_bound_of(const struct holdings *, const char *instance);
/* With max_requests: has the instance no use left?  That of its holder counts as far as the
 * holder's first report under this leader said that it has none. */
bool holdings_is_spent(const struct holdings *, const char *instance);
/* Set holdings_instance.free and holdings_holder.total, from bounds and values. */
void holdings_count_free(struct holdings *);

/* --- messages --- */
/* Fill in an offer to h: epoch, limit, items; items has room for all instances.  What it says
 * counts as sent.  Term, recalls and is_shared are the caller's. */
void holdings_offer(struct holdings *, struct holdings_holder *, struct share_offer *,
		    struct share_item *items);
/* What h reports under this term. */
void holdings_report(struct holdings *, struct holdings_holder *, const struct share_report *,
		     int64_t now_ns);

#endif
