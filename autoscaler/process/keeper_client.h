/* keeper_client - the autoscaler's end towards its keeper: finds the one that is
 * there or starts one, speaks with it, and when it dies ends what it left behind
 * and starts another.  Who holds keeper.lock tells whether one lives; so two are
 * never started, and none is declared dead that is only silent.
 * Thread: the autoscaler's only loop.  No upcall from inside a call. */
#ifndef AUTOSCALER_PROCESS_KEEPER_CLIENT_H
#define AUTOSCALER_PROCESS_KEEPER_CLIENT_H

#include "autoscaler/keeper/keeper_msg.h"

struct keeper_client; /* opaque */
struct loop;
struct settings;

struct keeper_client_ops {
	/* A keeper is there; what it has follows (instance …, synced). */
	void (*on_up)(void *arg);
	void (*on_message)(const struct keeper_msg *, void *arg);
	/* It has ended, and all instances with it; how says how, as far as is known.
	 * Another one is on its way. */
	void (*on_dead)(const char *how, void *arg);
	/* keeper_client_outage() is no longer NULL. */
	void (*on_outage)(void *arg);
	/* Add the groups (their leaders' pids) of the instances known to v; how many. */
	size_t (*groups)(pid_t *v, size_t max, void *arg);
	/* keeper_client_shut_down(): it has ended, nothing is left. */
	void (*on_shut_down)(void *arg);
};

/* settings (state_dir, orphan_timeout, log_*) and ops are borrowed until
 * keeper_client_free().  -1 with err only where state_dir cannot be used. */
NODISCARD struct keeper_client *keeper_client_open(struct loop *, const struct settings *,
						   const struct keeper_client_ops *, void *arg,
						   struct err *);
/* The instances stay with the keeper. */
void keeper_client_free(struct keeper_client **);

/* Why there is none, where that lasts longer than a restart takes; NULL: all well. */
const char *keeper_client_outage(const struct keeper_client *);
pid_t keeper_client_pid(const struct keeper_client *); /* 0: none is known */

/* Does nothing where none is up.  -1 where the message is too long for the link. */
int keeper_client_send(struct keeper_client *, const struct keeper_msg *, struct err *);

/* Let it end all instances, and itself; on_shut_down when that is done.  It is killed,
 * and its instances with it, if that takes longer than most_ns. */
void keeper_client_shut_down(struct keeper_client *, int64_t most_ns);

/* How instances of this state_dir are marked (COMMAND_KEEPER); borrowed. */
const char *keeper_client_mark(const struct keeper_client *);

#endif
