/* kube_report - what the driver writes on a workload's object for people to read: the annotation
 * KUBE_STATE (kube_state.h), and Events about a failed start, about another client that holds the
 * scale, about a pod that is Ready and refuses connections, and about a wake after a long time.
 *
 * The annotation is written when the state has changed and has lasted for a moment: a cold start
 * that is shorter gets no PATCH of ours in its way.  An Event whose cause is that of the one
 * before is not repeated for a while.  A revision with dry_run gets neither.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_REPORT_H
#define AUTOSCALER_KUBERNETES_KUBE_REPORT_H

#include "common/base.h"

struct kube_workload;

/* Compare what holds with what the object says, and write the difference.  Returns after how
 * long it is to be called again although nothing happens; 0: never. */
int64_t kube_report_step(struct kube_workload *);
void kube_report_cancel(struct kube_workload *);

/* A PATCH has set the replicas from 0 to n, after asleep_ns (0: not known). */
void kube_report_woken(struct kube_workload *, uint32_t n, int64_t asleep_ns);

#endif
