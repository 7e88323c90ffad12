/* kube_exec - credentials by a program: the plug-in that `exec` in a kubeconfig names, run as
 * kubectl runs it.  It prints an ExecCredential with a token, a client certificate, or both.
 *
 * The plug-in is run at the start, again some time before the credential expires, and when the
 * server has refused the credential.  While the last credential is good, it stays in use.  A run
 * that fails is repeated after a back-off.  A run that takes too long is ended with its process
 * group.  The loop never waits for it.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBE_KUBE_EXEC_H
#define AUTOSCALER_KUBE_KUBE_EXEC_H

#include "common/base.h"

#define KUBE_EXEC_TIMEOUT (INT64_C(30) * 1000000000) /* of one run, ns */

struct kube_credential;
struct kube_exec; /* opaque */
struct kube_exec_conf;
struct loop;

/* Begins the first run.  conf is borrowed.  on_change(arg): a run has ended; never called from
 * within a call. */
NODISCARD struct kube_exec *kube_exec_open(struct loop *, const struct kube_exec_conf *,
					   int64_t timeout, void (*on_change)(void *arg),
					   void *arg);
void kube_exec_close(struct kube_exec **); /* ends a run */

/* The credential, borrowed until a run ends.  NULL: there is none that is good, and a run is
 * under way or will follow; on_change says when to ask again. */
const struct kube_credential *kube_exec_get(struct kube_exec *);

/* The number of the credential: counts the runs that were successful. */
uint64_t kube_exec_number(const struct kube_exec *);
/* The server has refused the credential of that number: it is good no longer. */
void kube_exec_refused(struct kube_exec *, uint64_t number);

#endif
