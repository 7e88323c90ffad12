/* kube_echo - whether the watches show what must have happened.
 *
 * A connection can stay open while nothing comes over it any more (a proxy, a server that hangs).
 * The watch would end only after WATCH_STALL.  But the driver knows of changes that a watch must
 * show: its own PATCH, and pods that the workload's status counts.  If one of them has been
 * missing for KUBE_ECHO_PATIENCE, the watches that have been silent since then are suspect, and
 * everything is listed again.  The pause before the next suspicion doubles each time, for what is
 * missing may have another reason.
 * Pure: the time (monotonic ns) is an argument. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_ECHO_H
#define AUTOSCALER_KUBERNETES_KUBE_ECHO_H

#include "common/base.h"

#define KUBE_ECHO_PATIENCE (INT64_C(3) * 1000000000)

struct kube_echo {
	int64_t since_ns; /* something has been missing since then; 0: nothing is */
	int64_t due_ns;	  /* the next suspicion */
	unsigned tries;
};

/* Whether something is missing now.  True: the watches are suspect that have been silent since
 * since_ns. */
bool kube_echo_update(struct kube_echo *, bool is_missing, int64_t now_ns);
/* In how many ns to update it again although nothing happens; 0: never. */
int64_t kube_echo_wait(const struct kube_echo *, int64_t now_ns);

#endif
