/* rollouts - carries out the rollouts of the stored services: once a second it gathers the facts of
 * each one that is active, asks rollout_judge.h what to do, and does it in the store.
 *
 * While a rollout is active, the instances that the new revision needs for its percent, and soon
 * for its next one, are kept there whatever the load says; and on its last step one instance of
 * each revision that it may have to go back to. What it remembers beside the store is begun anew
 * after a restart: a step goes on with the time that it has had, and counts requests from then on.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_ROLLOUTS_H
#define AUTOSCALER_ROLLOUTS_H

#include "autoscaler/facts.h"
#include "autoscaler/rollout_question.h"
#include "autoscaler/versions/rollout_judge.h"

struct jput;
struct msg_stats;
struct rollouts; /* opaque */
struct stored_service;

struct rollouts_ops {
	struct facts (*facts)(void *arg);
	/* The store has changed. */
	void (*stored)(void *arg);
};

/* All borrowed until rollouts_free(). */
NODISCARD struct rollouts *rollouts_new(const struct rollouts_ops *, struct reconcile *, void *arg);
void rollouts_free(struct rollouts **);

void rollouts_tick(struct rollouts *); /* each second */

/* As driver_ops.judge.  The requests of these revisions are counted from the first question on, and
 * of each step from the first question with its percent. */
enum rollout_verdict rollouts_judge(struct rollouts *, const struct rollout_question *, char **why);

/* An activator, by its id, has connected; has sent a report; its link is down. */
void rollouts_link_up(struct rollouts *);
void rollouts_report(struct rollouts *, const char *activator, const struct msg_stats *);
void rollouts_link_down(struct rollouts *, const char *activator);

/* How much of its step's time a rollout that is active has had, ns. */
int64_t rollouts_spent(const struct rollouts *, const struct stored_service *);
/* What it waits for, for people, borrowed until the next tick; "": it has ended, or begins. */
const char *rollouts_why(const struct rollouts *, const struct stored_service *);
/* The members of a JSON object that show the rollout of the service, which has one. */
void rollouts_put(const struct rollouts *, const struct stored_service *, struct jput *);
/* How many have ended so since this process began. */
uint64_t rollouts_ended(const struct rollouts *, enum rollout_state);
/* Is it held by more than time? */
bool rollouts_is_held(const struct rollouts *, const struct stored_service *);

#endif
