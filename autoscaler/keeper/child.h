/* child - one instance in the keeper's hands: its first process, its pipe, its end.
 * States: running, stopping (SIGTERM sent, SIGKILL when stop_timeout is over), ended
 * (its first process is reaped; others of it may be left and are ended too, in the
 * same time).  It is gone when none is left.
 * Thread: the keeper's only one.  Upcalls come from the loop, never from inside a
 * call, but for child_reaped(), child_has_leftovers() and child_release(). */
#ifndef AUTOSCALER_KEEPER_CHILD_H
#define AUTOSCALER_KEEPER_CHILD_H

#include "autoscaler/keeper/keeper_msg.h"
#include "autoscaler/keeper/output.h"
#include "common/list.h"
#include "common/loop.h"

struct child;
struct proctab_entry;

struct child_ops {
	void (*on_started)(struct child *, void *arg);
	/* False: there is no room for it now. */
	bool (*on_line)(struct child *, const char *line, size_t n, void *arg);
	void (*on_dropped)(struct child *, uint64_t lines, void *arg);
	/* Its deadline is over, and processes of it may be left: look for them. */
	void (*on_overdue)(struct child *, void *arg);
};

struct child {
	struct list_node node; /* keeper's */
	struct loop *loop;
	const struct child_ops *ops;
	void *arg;
	struct keeper_msg start; /* what it was started with */
	const char *cgroup;	 /* the keeper's folder; NULL: none */
	pid_t pid;		 /* first process; group and session bear its number */
	enum keeper_phase phase;
	bool is_executed;	       /* the program has taken over from our code */
	bool has_failed;	       /* the exec has failed; failure says why */
	bool answered;		       /* set by the autoscaler */
	bool is_overdue;	       /* SIGKILL from now on */
	bool is_group_terminated;      /* its group was sent SIGTERM */
	bool are_leftovers_terminated; /* what was left of it after its end was sent SIGTERM */
	int status;		       /* wait(2), from PHASE_ENDED on */
	int64_t started_ns;
	uint64_t start_ticks; /* the same as the kernel has it (proctab.h) */
	struct err failure;
	int output_fd, result_fd; /* -1: closed */
	struct loop_fd output_ev, result_ev;
	struct output output;
	struct loop_timer stop_timer;
	struct loop_timer dropped_timer;
};

/* Start what m (a KEEPER_START; taken, also on error) says, in a group below cgroup
 * (borrowed; NULL: in none).  NULL: not even a fork. */
NODISCARD struct child *child_new(struct loop *, struct keeper_msg *m, const char *cgroup,
				  const struct child_ops *, void *arg, struct err *);
void child_free(struct child **);

/* Among `all` (struct child); NULL: none. */
struct child *child_find(const struct list *all, const char *id);
struct child *child_find_pid(const struct list *all, pid_t);

/* SIGTERM to its group; SIGKILL when stop_timeout is over.  Idempotent. */
void child_stop(struct child *);

/* waitpid() has reaped its first process. */
void child_reaped(struct child *, int status);

/* Whether anything of it is left after its end: `left` are the processes that were
 * found, its control group may know of more.  The first time they are asked to end,
 * when it is overdue they are killed. */
bool child_has_leftovers(struct child *, const struct proctab_entry *const *left, size_t n);

/* Nobody is there to take its lines / somebody is again. */
void child_hold(struct child *);
void child_release(struct child *);

#endif
