/* cgroup - a control group (v2) for each instance, where we may make some: then no
 * process of it can hide, whatever it makes of its session, its parent or its
 * environment, and what a killed keeper leaves behind is found by the next one.
 * Nothing depends on it: without (a read-only /sys/fs/cgroup is the rule in
 * containers) proctab finds all but those that hide on purpose.
 * No controller is used, so nothing is limited or accounted.
 * Thread: the owner.  Paths are the callers' to free. */
#ifndef AUTOSCALER_KEEPER_CGROUP_H
#define AUTOSCALER_KEEPER_CGROUP_H

#include "common/base.h"

/* Make a group below our own that bears `name`, and write its path into the file
 * `record`.  NULL where that cannot be. */
NODISCARD char *cgroup_open(const char *name, const char *record);
/* Remove it (what is still populated stays) and the record; nulls. */
void cgroup_close(char **dir, const char *record);

/* Make the group of an instance.  Returns its folder as a descriptor (close-on-exec),
 * the caller's: for clone3(CLONE_INTO_CGROUP).  -1 where that cannot be. */
NODISCARD int cgroup_add(const char *dir, const char *id);
void cgroup_remove(const char *dir, const char *id);

bool cgroup_is_populated(const char *dir, const char *id);
/* SIGTERM to all in it but the members of process group `except` (0: none). */
void cgroup_terminate(const char *dir, const char *id, pid_t except);
/* SIGKILL to all in it. */
void cgroup_kill(const char *dir, const char *id);

/* End all that is in the group that `record` tells of, if there is one and it bears `name`:
 * a record that was copied tells of somebody else's.  True: there was something. */
bool cgroup_kill_recorded(const char *record, const char *name);

#endif
