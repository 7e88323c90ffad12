/* limiter_impl - what the files of the limiter share: limiter.c (slots, the queue and permits, for
 * the workers), limiter_uses.c (max_requests) and limiter_control.c (what the main thread says).
 * Functions named _locked are called with the revision's mutex held; limiter.c says how slots are
 * taken without it. */
#ifndef ACTIVATOR_LIMITER_IMPL_H
#define ACTIVATOR_LIMITER_IMPL_H

#include "activator/limiter.h"

/* --- limiter.c --- */
/* Set the flag `news` of the revision, and let the main thread hear of it (on_demand). */
void limiter_post_news(struct revision *, _Atomic bool *news);
/* A flag of rev->waiting, WAITING_*. */
void limiter_flag_locked(struct revision *, uint32_t flag, bool is_set);
/* Does share hear of each slot and connection that is given back? */
void limiter_watch_locked(struct revision *, bool is_watched);
/* Let share know how many requests are parked. */
void limiter_count_parked_locked(struct revision *);
/* The head of the queue, or NULL. */
struct waiter *limiter_head_locked(const struct revision *);
uint32_t limiter_open_instances_locked(const struct revision *);
bool limiter_is_pacing_locked(const struct revision *);
/* w leaves the queue: with a slot of inst, which is w's now, or refused where inst is NULL. */
void limiter_grant_locked(struct revision *, struct waiter *w, struct instance *inst,
			  bool is_paced);
/* Slots that are free go to the head of the queue. */
void limiter_grant_all_locked(struct revision *);
/* Free permits go to those that wait for one, the oldest first. */
void limiter_grant_permits_locked(struct instance *);

/* --- limiter_uses.c --- */
/* A slot of inst was taken: so is a use. */
void limiter_use_locked(struct revision *, struct instance *);
/* A use is given back. */
void limiter_unuse_locked(struct revision *, struct instance *);
/* The uses of all instances may have changed. */
void limiter_apply_uses_locked(struct revision *);

#endif
