/* child - one instance in the keeper's hands: its first process, its pipe, its end.
 * States: running, stopping (SIGTERM sent, SIGKILL when stop_timeout is over), ended
 * (its first process is reaped; others of it may be left and are ended too, in the
 * same time).  It is gone when none is left.
 * Thread: the keeper's only one.  Upcalls come from the loop, never from inside a
 * call, but for kept_reaped(), kept_is_left() and kept_release(). */
#ifndef AUTOSCALER_KEEPER_CHILD_H
#define AUTOSCALER_KEEPER_CHILD_H

#include "autoscaler/keeper/keeper_msg.h"
#include "autoscaler/keeper/output.h"
#include "common/list.h"
#include "common/loop.h"

struct kept;
struct proctab_entry;

struct kept_ops {
	void (*on_started)(struct kept *, void *arg);
	/* False: there is no room for it now. */
	bool (*on_line)(struct kept *, const char *line, size_t n, void *arg);
	void (*on_left_out)(struct kept *, uint64_t lines, void *arg);
	/* Its deadline is over, and processes of it may be left: look for them. */
	void (*on_overdue)(struct kept *, void *arg);
};

struct kept {
	struct list_node node; /* keeper's */
	struct loop *loop;
	const struct kept_ops *ops;
	void *arg;
	struct keeper_msg start; /* what it was started with */
	const char *cgroup;	 /* the keeper's folder; NULL: none */
	pid_t pid;		 /* first process; group and session bear its number */
	enum keeper_phase phase;
	bool is_executed;   /* the program has taken over from our code */
	bool has_failed;    /* the exec has failed; failure says why */
	bool answered;	    /* set by the autoscaler */
	bool is_overdue;    /* SIGKILL from now on */
	bool is_group_told; /* its group was sent SIGTERM */
	bool is_left_told;  /* what was left of it after its end was sent SIGTERM */
	int status;	    /* wait(2), from PHASE_ENDED on */
	int64_t started_ns;
	uint64_t start_ticks; /* the same as the kernel has it (proctab.h) */
	struct err failure;
	int output_fd, word_fd; /* -1: closed */
	struct loop_fd output_ev, word_ev;
	struct output output;
	struct loop_timer stop_timer;
	struct loop_timer left_out_timer;
};

/* Start what m (a KEEPER_START; taken, also on error) says, in a group below cgroup
 * (borrowed; NULL: in none).  NULL: not even a fork. */
NODISCARD struct kept *kept_new(struct loop *, struct keeper_msg *m, const char *cgroup,
				const struct kept_ops *, void *arg, struct err *);
void kept_free(struct kept **);

/* Among `all` (struct kept); NULL: none. */
struct kept *kept_find(const struct list *all, const char *id);
struct kept *kept_find_pid(const struct list *all, pid_t);

/* SIGTERM to its group; SIGKILL when stop_timeout is over.  Idempotent. */
void kept_stop(struct kept *);

/* waitpid() has reaped its first process. */
void kept_reaped(struct kept *, int status);

/* Whether anything of it is left after its end: `left` are the processes that were
 * found, its control group may know of more.  The first time they are asked to end,
 * when it is overdue they are killed. */
bool kept_is_left(struct kept *, const struct proctab_entry *const *left, size_t n);

/* Nobody is there to take its lines / somebody is again. */
void kept_hold(struct kept *);
void kept_release(struct kept *);

#endif
