/* process_impl - what the files of the driver `process` share.  Calls go one way:
 *   driver_process.c   the class: scales come in, views go out; sets the other two up
 *   process_events.c   what the keeper reports, and what follows from it
 *   process_scale.c    starts and stops instances until there are as many as asked for
 * Thread: the autoscaler's only loop.
 *
 * Room: autoscaler/process is the driver `process`: instances are programs of this machine.
 * It may use the keeper's messages and helpers (room keeper), the driver interface and
 * common/.  It never decides how many instances there should be, and never forks a
 * program itself: the keeper does. */
#ifndef AUTOSCALER_PROCESS_PROCESS_IMPL_H
#define AUTOSCALER_PROCESS_PROCESS_IMPL_H

#include "autoscaler/driver.h"
#include "autoscaler/process/fleet.h"
#include "autoscaler/process/keeper_client.h"
#include "autoscaler/process/ports.h"
#include "common/hmap.h"
#include "common/loop.h"

struct process_driver {
	struct driver driver;
	struct loop *loop;
	const struct settings *settings;
	struct keeper_client *keeper; /* NULL: closing, and it is no longer ours */
	bool is_synced;		      /* the keeper has told all that it has */
	bool is_keeper_shutting_down; /* it ends all: nothing is started until there is another */
	bool has_revisions;	      /* set_revisions() has been called */
	bool is_closing;
	struct list fleets;
	struct hmap by_name; /* struct fleet */
	struct hmap by_id;   /* struct member */
	struct ports ports;
	uint8_t ports_in_use[(UINT16_MAX + 1) / 8]; /* ports of members */
	char run_id[16];	       /* makes ids differ from those of an autoscaler before us */
	uint64_t started;	       /* instances, ever: the other half of an id */
	struct loop_timer flush_timer; /* views are due */
	struct loop_timer backoff_timer; /* a back-off is over */
	struct loop_timer usage_timer;
};

/* --- process_scale.c --- */

/* The fleet of a revision, made where there is none. */
struct fleet *process_fleet(struct process_driver *, const char *revision);
struct member *process_add(struct process_driver *, struct fleet *, const char *id, uint16_t port);
void process_remove(struct process_driver *, struct member *);

/* Something of the fleet has changed: its view goes out at the end of the round. */
void process_changed(struct process_driver *, struct fleet *);

/* Start and stop instances until there are as many as asked for, as far as that may be now. */
void process_reconcile(struct process_driver *, struct fleet *);
void process_stop(struct process_driver *, struct member *);
/* A start has come to nothing. */
void process_start_failed(struct process_driver *, struct fleet *, const char *why);
/* Send a message that has nothing but an id. */
void process_send(struct process_driver *, enum keeper_msg_type, const struct member *);

/* --- process_events.c --- */

/* What keeper_client calls, with the driver as arg. */
void process_on_keeper_up(void *arg);
void process_on_keeper_message(const struct keeper_msg *, void *arg);
void process_on_keeper_dead(const char *how, void *arg);
size_t process_groups(pid_t *v, size_t max, void *arg);

#endif
