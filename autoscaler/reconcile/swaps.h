/* swaps - which generation of the services each activator routes by.
 *
 * A generation is routed once every activator that is waited for has said so (`swapped`).  Waited
 * for is each one that is connected and not leaving, and for SWAPS_PATIENCE each one whose link is
 * lost while its process may still serve clients.  One that is connected and does not swap within
 * SWAPS_PATIENCE is overdue: the caller drops its link, and it is waited for no longer until it has
 * swapped.
 * An activator of an earlier version cannot say it: what it was sent counts as routed.
 * Pure: the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_RECONCILE_SWAPS_H
#define AUTOSCALER_RECONCILE_SWAPS_H

#include "common/base.h"

struct swapper; /* swaps.c */

#define SWAPS_PATIENCE (INT64_C(10) * 1000000000)

struct swaps {
	struct swapper *v;
	size_t n;
	int64_t routed;	  /* the newest generation that is routed; 0: none */
	uint64_t overdue; /* how often one was */
};

void swaps_init(struct swaps *);
void swaps_fini(struct swaps *);

/* An activator that an earlier autoscaler has known may be serving clients. */
void swaps_expect(struct swaps *, const char *id, int64_t now_ns);
/* A link is up.  can_report: it sends `swapped`. */
void swaps_up(struct swaps *, uint64_t serial, const char *id, bool can_report, int64_t now_ns);
/* This generation was described to it; serial 0: to all that are connected. */
void swaps_sent(struct swaps *, uint64_t serial, int64_t generation, int64_t now_ns);
/* It has swapped.  False: it was not sent that generation. */
NODISCARD bool swaps_swapped(struct swaps *, uint64_t serial, int64_t generation, int64_t now_ns);
void swaps_leaving(struct swaps *, uint64_t serial);
void swaps_down(struct swaps *, uint64_t serial, int64_t now_ns);
/* The process of that activator has ended. */
void swaps_ended(struct swaps *, const char *id);

/* Each second, until it returns false: an activator that has become overdue, and the generation
 * that it does not use. */
bool swaps_take_overdue(struct swaps *, int64_t now_ns, uint64_t *serial, int64_t *generation);

/* The generation that this activator uses, by its newest report; 0: none. */
int64_t swaps_used(const struct swaps *, uint64_t serial);
/* Is an activator waited for, connected or not? */
bool swaps_is_waiting(const struct swaps *);

#endif
