/* proctab - the processes of this machine at an instant, from /proc: who descends
 * from whom, in which group and session, and what each has used.
 * Reading it costs some 15 us a process: callers bound how often.
 * Thread: the owner. */
#ifndef AUTOSCALER_KEEPER_PROCTAB_H
#define AUTOSCALER_KEEPER_PROCTAB_H

#include "common/base.h"

struct proctab_entry {
	pid_t pid, parent, group, session;
	bool is_zombie;
	double cpu_s;	       /* its own and that of children it has waited for */
	uint64_t memory_bytes; /* resident */
	uint64_t start_ticks;  /* when it began, in clock ticks since boot: who is older */
	pid_t root;	       /* by proctab_root(): 0: none */
};

struct proctab {
	struct proctab_entry *v; /* sorted by pid */
	size_t n, cap;
};

/* Empty where /proc cannot be read. */
void proctab_read(struct proctab *);
void proctab_fini(struct proctab *);

struct proctab_entry *proctab_find(const struct proctab *, pid_t);

/* Set .root of all entries: the ancestor (or the process itself) whose parent is
 * `parent`; 0 for processes that do not descend from it. */
void proctab_root(struct proctab *, pid_t parent);

/* One process, from the text of its stat file.  -1 where it is not one. */
NODISCARD int proctab_parse(struct proctab_entry *, const char *stat);

/* When a process began, as in the table; 0: it is not there. */
uint64_t proctab_start_ticks(pid_t);

/* The value of `name` in its environment as it was at exec, the caller's to free; NULL
 * where it has none, may not be read or has been overwritten. */
NODISCARD char *proctab_env(pid_t, const char *name);

#endif
