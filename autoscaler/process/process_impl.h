/* process_impl - what the files of the driver `process` share.  Calls go one way:
 *   driver_process.c   the driver's class: it takes how many instances each revision is to
 *                      have, publishes what there is, and sets up the other two
 *   process_events.c   handles the messages of the keeper
 *   process_checks.c   finds instances that do not work any more, and replaces them
 *   process_scale.c    starts and stops instances until there are as many as asked for
 * Thread: the autoscaler's only loop.
 *
 * Room: autoscaler/process is the driver `process`: instances are programs of this machine.
 * It may use the keeper's messages and helpers (room keeper), the driver interface and
 * common/.  It never decides how many instances there should be, and never forks an
 * instance itself: the keeper does. */
#ifndef AUTOSCALER_PROCESS_PROCESS_IMPL_H
#define AUTOSCALER_PROCESS_PROCESS_IMPL_H

#include "autoscaler/driver.h"
#include "autoscaler/process/fleet.h"
#include "autoscaler/process/keeper_client.h"
#include "autoscaler/process/port_cursor.h"
#include "autoscaler/process/ports.h"
#include "common/backoff.h"
#include "common/hmap.h"
#include "common/loop.h"

struct process_driver {
	struct driver driver;
	struct loop *loop;
	const struct settings *settings;
	struct keeper_client *keeper; /* NULL: let go of, while the driver closes */
	bool is_synced;		      /* the keeper has reported all its instances */
	bool is_keeper_shutting_down; /* it stops all: start nothing until there is another */
	bool has_revisions;	      /* set_revisions() was called */
	bool is_closing;
	struct list fleets;
	struct hmap by_name; /* struct fleet, by revision */
	struct hmap by_id;   /* struct member, by instance id */
	struct ports ports;
	struct port_cursor port_cursor;
	uint8_t ports_in_use[(UINT16_MAX + 1) / 8]; /* a bit for each port of a member */
	char no_port[80];			    /* the message when none is free */
	struct backoff port_backoff;
	struct loop_timer port_timer;  /* set while a fleet waits for a port */
	char run_id[16];	       /* random: part of each instance id of this process */
	uint64_t started;	       /* instances started so far: the other part */
	struct loop_timer flush_timer; /* set while a fleet is dirty: its view is to be published */
	struct loop_timer due_timer;   /* set until fleet_due_ns() of the first fleet */
	struct loop_timer usage_timer;
};

/* --- process_scale.c --- */

/* The fleet of a revision; made if there is none yet. */
struct fleet *process_fleet(struct process_driver *, const char *revision);
struct member *process_add(struct process_driver *, struct fleet *, const char *id, uint16_t port);
void process_remove(struct process_driver *, struct member *);

/* Something of the fleet has changed: publish its view at the end of the round. */
void process_changed(struct process_driver *, struct fleet *);

/* Start and stop instances until there are as many as asked for, as far as that may be now. */
void process_reconcile(struct process_driver *, struct fleet *);
void process_stop(struct process_driver *, struct member *);
/* A start has failed; why: the message for people. */
void process_start_failed(struct process_driver *, struct fleet *, const char *why);
void process_end_checks(struct member *);
/* Drain the member, and stop it then; another one takes its place at once. */
void process_retire(struct process_driver *, struct member *);
/* It was not ready within start_timeout: stop it.  Its start has failed. */
void process_overdue(struct process_driver *, struct member *);
/* Send the keeper a message that has no member but an id. */
void process_send(struct process_driver *, enum keeper_msg_type, const struct member *);

/* --- process_checks.c --- */

/* The member is ready: check its liveness from now on, if the conf file says so. */
void process_check_liveness(struct process_driver *, struct member *);
/* An activator says that the member refuses connections: try it until it does not, or has done
 * so for refusal_timeout and is replaced. */
void process_check_refusal(struct process_driver *, struct member *);

/* --- process_events.c --- */

/* It is known now why the member has ended (member.verdict_ns), or it is time to decide that. Frees
 * it if it is gone.  The caller calls process_reconcile(). */
void process_end(struct process_driver *, struct member *);

/* The callbacks of keeper_client, with the driver as arg. */
void process_on_keeper_up(void *arg);
void process_on_keeper_message(const struct keeper_msg *, void *arg);
void process_on_keeper_dead(const char *how, void *arg);
size_t process_groups(pid_t *v, size_t max, void *arg);

#endif
