/* judged - rollouts of Knative's Routes, whose steps the controllers take: may one go on, by what
 * the requests of its revisions have come to (rollout_judge.h)?
 *
 * What is remembered of a rollout is begun anew after a restart, and forgotten once nobody asks.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_JUDGED_H
#define AUTOSCALER_JUDGED_H

#include "autoscaler/facts.h"
#include "autoscaler/rollout_question.h"
#include "autoscaler/versions/rollout_judge.h"

struct evidence;
struct judged; /* opaque */
struct scaled_revision;

NODISCARD struct judged *judged_new(void);
void judged_free(struct judged **);

/* As driver_ops.judge.  links: as rollout_facts.links. */
enum rollout_verdict judged_look(struct judged *, const struct rollout_question *,
				 const struct facts *, const struct evidence *, uint64_t links,
				 char **why);
/* Set failure or obstacle, if the new revision (NULL: there is none) could not be started since
 * then. */
void judged_failure(const struct scaled_revision *, int64_t since_ns, struct rollout_facts *);
/* Forget those that nobody asks for any more; each second. */
void judged_tick(struct judged *);

#endif
