/* cgroup - a control group (version 2) for each instance, where the system lets us make one.
 * No process can leave it unnoticed, whatever it does with its session, its parent or its
 * environment, and the next keeper finds there what a killed one has left.
 * The keeper works without it, too: in most containers /sys/fs/cgroup is read-only.  Then
 * proctab finds all leftovers but those that hide on purpose.
 * No controller is used, so nothing is limited or accounted.
 * Thread: the owner.  Paths are the caller's to free. */
#ifndef AUTOSCALER_KEEPER_CGROUP_H
#define AUTOSCALER_KEEPER_CGROUP_H

#include "common/base.h"

/* Make the group `name` below the group of this process, and write its path into the file
 * `record`.  Returns the path; NULL: the system does not let us. */
NODISCARD char *cgroup_open(const char *name, const char *record);
/* Remove the group (unless it has processes still) and the record; sets *dir to NULL. */
void cgroup_close(char **dir, const char *record);

/* Make the group of instance `id` below dir.  Returns a descriptor of its folder, for
 * clone3(CLONE_INTO_CGROUP), close-on-exec and the caller's; -1: it cannot be made. */
NODISCARD int cgroup_add(const char *dir, const char *id);
void cgroup_remove(const char *dir, const char *id);

bool cgroup_is_populated(const char *dir, const char *id);
/* Send SIGTERM to all processes in it but those of process group `except` (0: to all). */
void cgroup_terminate(const char *dir, const char *id, pid_t except);
/* Send SIGKILL to all processes in it. */
void cgroup_kill(const char *dir, const char *id);

/* Kill all processes in the group whose path is in the file `record`, if that group exists
 * and is called `name`: a copy of another state_dir has the record of another group.
 * True: there was a process. */
bool cgroup_kill_recorded(const char *record, const char *name);

#endif
