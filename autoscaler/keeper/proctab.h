/* proctab - the process table of this machine, read from /proc: parent, group, session, and
 * what each process has used.  Reading takes some 15 us a process, so callers limit how
 * often they do it.  Thread: the owner. */
#ifndef AUTOSCALER_KEEPER_PROCTAB_H
#define AUTOSCALER_KEEPER_PROCTAB_H

#include "common/base.h"

struct proctab_entry {
	pid_t pid, parent, group, session;
	bool is_zombie;
	double cpu_s;	       /* its own and that of children it has waited for */
	uint64_t memory_bytes; /* resident */
	uint64_t start_ticks;  /* when it began, in clock ticks since boot */
	pid_t root;	       /* set by proctab_root() */
};

struct proctab {
	struct proctab_entry *v; /* sorted by pid */
	size_t n, cap;
};

/* Read the table; it stays empty if /proc cannot be read. */
void proctab_read(struct proctab *);
void proctab_fini(struct proctab *);

struct proctab_entry *proctab_find(const struct proctab *, pid_t);

/* Set root of all entries: the pid of the ancestor (or of the process itself) that is a
 * child of `parent`; 0 for processes that do not descend from it. */
void proctab_root(struct proctab *, pid_t parent);

/* Parse the text of /proc/PID/stat.  -1: it is not well-formed. */
NODISCARD int proctab_parse(struct proctab_entry *, const char *stat);

/* start_ticks of a process; 0: it does not exist. */
uint64_t proctab_start_ticks(pid_t);

pid_t proctab_parent(pid_t); /* 0: the process does not exist */

/* The value of `name` in the environment of a process as it was at exec, the caller's to
 * free.  NULL: it has none, we may not read it, or the process has overwritten it. */
NODISCARD char *proctab_env(pid_t, const char *name);

#endif
