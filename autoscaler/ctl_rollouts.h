/* ctl_rollouts - the command `rollout` of activatorctl: to begin a rollout, to show it, to pause
 * it, to go on with it and to abort it.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_ROLLOUTS_H
#define AUTOSCALER_CTL_ROLLOUTS_H

#include "autoscaler/ctl_server.h"

struct facts;

/* Carry out what the request asks for, and end it, unless it is to wait: then *id is the rollout to
 * wait for, else 0.  True: the store has changed. */
NODISCARD bool ctl_rollouts_change(struct ctl_request *, const struct facts *, uint64_t *id);

/* Has the rollout that the request waits for ended?  True: *status and *message (the caller's) say
 * how.  False: *message says what it waits for. */
NODISCARD bool ctl_rollouts_is_over(const struct ctl_request *, const struct facts *, uint64_t id,
				    enum ctl_status *status, char **message);

#endif
