/* child - one instance, as the keeper has it: the first process, the pipe with its output,
 * and what is left of it after its end.
 * Phases: running; stopping (SIGTERM was sent, or stop_command runs; SIGKILL follows after
 * stop_timeout); ended
 * (the first process is reaped; other processes of the instance may be left: they are
 * terminated, and killed after stop_timeout, too).  The keeper frees the child when no
 * process of the instance is left.
 * Thread: the keeper's only one.  Callbacks run from the loop; from inside a call only in
 * child_reaped(), child_end_leftovers(), child_release() and child_free(). */
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
	/* A line of output.  False: there is no room for it, it is dropped. */
	bool (*on_line)(struct child *, const char *line, size_t n, void *arg);
	/* Each such line, whether there is room for it or not, and also while lines are held. */
	void (*on_kept_line)(struct child *, const char *line, size_t n, void *arg);
	void (*on_dropped)(struct child *, uint64_t lines, void *arg);
	/* stop_timeout is over after its end: look for its leftovers now. */
	void (*on_overdue)(struct child *, void *arg);
	/* Its stop_command has failed, and SIGTERM was sent. */
	void (*on_stop_failed)(struct child *, const char *why, void *arg);
	/* The process that its pid_file names is the first process from now on. */
	void (*on_followed)(struct child *, void *arg);
	/* It is not, so the instance has ended. */
	void (*on_not_followed)(struct child *, void *arg);
};

struct child {
	struct list_node node; /* in the keeper's list */
	struct loop *loop;
	const struct child_ops *ops;
	void *arg;
	struct keeper_msg start; /* the message that asked for it */
	const char *cgroup;	 /* folder of the keeper's control group; NULL: none */
	pid_t pid;		 /* of the first process, its group and its session; or of the
				  * process that pid_file has named */
	enum keeper_phase phase;
	bool is_executed;		/* exec has succeeded */
	bool has_failed;		/* exec has failed; failure says why */
	bool answered;			/* the autoscaler has said that it answers */
	bool is_overdue;		/* stop_timeout is over: SIGKILL from now on */
	bool is_group_terminated;	/* SIGTERM was sent to its process group */
	bool are_leftovers_terminated;	/* SIGTERM was sent to what was left after its end */
	bool is_followed;		/* pid is that of pid_file */
	struct stop_command *stopper;	/* NULL: none runs */
	struct loop_timer follow_timer; /* set while a process is awaited in pid_file, … */
	int64_t follow_until_ns;	/* … until then; pid has been reaped already */
	int status;			/* wait(2), from PHASE_ENDED on */
	int64_t started_ns;
	uint64_t start_ticks; /* the same in the unit of proctab.h */
	struct err failure;
	int output_fd, result_fd; /* -1: closed */
	struct loop_fd output_ev, result_ev;
	struct output output;
	struct loop_timer stop_timer;
	struct loop_timer dropped_timer;
};

/* Start the instance that m asks for (a KEEPER_START; taken over, also on error), in a
 * control group below cgroup (borrowed; NULL: in none).  NULL with err: fork has failed. */
NODISCARD struct child *child_new(struct loop *, struct keeper_msg *m, const char *cgroup,
				  const struct child_ops *, void *arg, struct err *);
void child_free(struct child **);

/* In the list `all` of struct child; NULL: not there. */
struct child *child_find(const struct list *all, const char *id);
struct child *child_find_pid(const struct list *all, pid_t);

/* Run its stop_command; without one, send SIGTERM to its process group.  SIGKILL follows after
 * stop_timeout.  Idempotent. */
void child_stop(struct child *);

/* The child whose stop_command has that pid; NULL: there is none. */
struct child *child_find_stopper(const struct list *all, pid_t);
void child_stopper_reaped(struct child *, int status);

/* waitpid() has reaped its first process.  True: it has gone into the background, and the
 * process that pid_file names takes its place, now or soon: on_followed() or
 * on_not_followed() comes. */
bool child_follow(struct child *, int status);
/* … else it has ended: read the rest of its output. */
void child_reaped(struct child *, int status);

/* Terminate what is left of an ended instance: `left` are the processes that were found in
 * the process table, and its control group may know of more.  The first call sends SIGTERM;
 * once the child is overdue, each call sends SIGKILL.  False: nothing is left. */
bool child_end_leftovers(struct child *, const struct proctab_entry *const *left, size_t n);

/* Hold its output lines, because no autoscaler is connected; pass them on again. */
void child_hold(struct child *);
void child_release(struct child *);

#endif
