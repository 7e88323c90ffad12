/* keeper_client - the autoscaler's side of the keeper (keeper.h): it connects to the keeper
 * that runs or starts one, exchanges messages with it, and when the keeper dies, kills what
 * it left behind and starts another.
 * A keeper holds keeper.lock as long as it lives.  So the lock tells whether there is one:
 * two are never started, and one that is merely silent is never taken for dead.
 * Thread: the autoscaler's only loop.  Callbacks never run from inside a call. */
#ifndef AUTOSCALER_PROCESS_KEEPER_CLIENT_H
#define AUTOSCALER_PROCESS_KEEPER_CLIENT_H

#include "autoscaler/keeper/keeper_msg.h"

struct keeper_client; /* opaque */
struct loop;
struct settings;

struct keeper_client_ops {
	/* A keeper is connected; it reports its instances next (instance …, synced). */
	void (*on_up)(void *arg);
	void (*on_message)(const struct keeper_msg *, void *arg);
	/* The keeper has died, and all instances with it; how: in words, as far as is known.
	 * Another one is being started. */
	void (*on_dead)(const char *how, void *arg);
	/* keeper_client_outage() is not NULL any more. */
	void (*on_outage)(void *arg);
	/* Put the process groups of all known instances into v, which has room for max.
	 * Returns how many. */
	size_t (*groups)(pid_t *v, size_t max, void *arg);
	/* keeper_client_shut_down() is done: the keeper has exited, no instance is left. */
	void (*on_shut_down)(void *arg);
};

/* settings (state_dir, orphan_timeout, log_*) and ops are borrowed until
 * keeper_client_free(), settings until keeper_client_use_settings() at most.  NULL with err:
 * state_dir cannot be used. */
NODISCARD struct keeper_client *keeper_client_open(struct loop *, const struct settings *,
						   const struct keeper_client_ops *, void *arg,
						   struct err *);
/* Other settings, with the same state_dir, are in effect. */
void keeper_client_use_settings(struct keeper_client *, const struct settings *);
/* The keeper and its instances go on. */
void keeper_client_free(struct keeper_client **);

/* Why there has been no keeper for longer than a restart takes, for people; NULL: there is
 * one, or it is on its way. */
const char *keeper_client_outage(const struct keeper_client *);
pid_t keeper_client_pid(const struct keeper_client *); /* 0: not known */
bool keeper_client_is_connected(const struct keeper_client *);
/* Whose numbers the lines have that it keeps (keeper_msg.h, hello); 0: none is connected, or it is
 * of a version that keeps none. */
int64_t keeper_client_epoch(const struct keeper_client *);

/* Does nothing if no keeper is connected.  -1 with err: the message is too long. */
int keeper_client_send(struct keeper_client *, const struct keeper_msg *, struct err *);

/* Ask the keeper to stop all instances and to exit; on_shut_down() follows.  After most_ns
 * the keeper is killed, and its instances with it. */
void keeper_client_shut_down(struct keeper_client *, int64_t most_ns);

/* keeper_mark() of this state_dir: the value of COMMAND_KEEPER; borrowed. */
const char *keeper_client_mark(const struct keeper_client *);

#endif
