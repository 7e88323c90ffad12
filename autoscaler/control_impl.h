/* control_impl - what the parts of control share: control.c (the life of the process, drivers,
 * signals), control_links.c (the links to the activators) and control_lease.c (the Lease).
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CONTROL_IMPL_H
#define AUTOSCALER_CONTROL_IMPL_H

#include "autoscaler/activators.h"
#include "autoscaler/control.h"
#include "autoscaler/reconcile/hub.h"
#include "autoscaler/reconcile/reconcile.h"
#include "autoscaler/reconcile/swaps.h"
#include "common/loop.h"

struct admin;
struct admin_pages;
struct auditing;
struct ctl_commands;
struct ctl_server;
struct driver;
struct election;
struct learned;
struct ledger;
struct relaunch;
struct reload;
struct rollouts;
struct services;
struct version_store;
struct watchdog;

struct autoscaler {
	struct loop *loop;
	char *id; /* differs from that of every earlier process */
	int lock_fd;
	struct election *election; /* NULL: no other autoscaler decides */
	uint64_t term;		   /* under which this one holds the Lease; 0: not yet */
	bool is_deposed;	   /* another holds the Lease */
	int64_t started_ns;
	struct services *services;
	struct driver *platform, *addresses; /* NULL once closed */
	struct reconcile *reconcile;
	struct activators *activators;
	struct learned *learned;
	struct auditing *auditing;
	struct ledger *ledger;
	int64_t ledger_generation; /* of the services that the ledger knows */
	int64_t saved_ns;
	struct hub *hub;
	struct swaps swaps;
	int64_t routed;		     /* generation that was reported as routed last */
	struct version_store *store; /* NULL: it cannot be read */
	struct rollouts *rollouts;
	struct ctl_commands *ctl_commands;
	struct ctl_server *ctl; /* NULL: the control socket could not be opened */
	struct admin *admin;
	struct admin_pages *pages; /* of admin */
	struct watchdog *watchdog; /* NULL: not started by systemd, or it wants none */
	struct loop_timer tick;
	struct loop_timer round; /* to the next round that reconcile_next_ns() asks for */
	int64_t next_tick_ns;
	struct loop_timer chores; /* set: plans are due, or learned.json is being written */
	struct relaunch *relaunch;
	bool is_relaunched; /* another program takes this one's place */
	bool is_started;    /* else control_lead() waits */
	bool is_listening, is_stopping;
	const char *stop_signal;
	int64_t linger_ns; /* stop at this time, or once no request is parked; 0: no signal came */
	struct reload *reload;
};

/* --- control_lease.c --- */

/* Wait until this autoscaler holds the Lease, if there is to be one.  -1 with err; ECANCELED: a
 * signal ended the wait. */
NODISCARD int control_lead(struct autoscaler *, struct err *);
/* driver_ops.withhold; arg: the struct autoscaler. */
const char *control_withhold(void *arg);
/* All writes have ended: release the Lease. */
void control_stop_leading(struct autoscaler *);

/* --- control_links.c --- */

/* arg: the struct autoscaler. */
extern const struct hub_ops control_hub_ops;
extern const struct reconcile_ops control_reconcile_ops;
extern const struct activators_ops control_activators_ops;

/* The ledger learns of the services of the newest generation. */
void control_update_ledger(struct autoscaler *);
/* services_parts: a line for all activators; and that a whole description was sent to them. */
void control_send_line(const char *text, size_t n, void *arg);
bool control_have_defaults(void *arg);
void control_described(int64_t generation, void *arg);

/* Wait also for the activators that an earlier autoscaler has known. */
void control_expect_swaps(struct autoscaler *, const char *const *ids, size_t n);
/* Each second: drop the links of activators that do not route by what was sent. */
void control_check_swaps(struct autoscaler *);
/* At the end of each round: report what has come to be routed. */
void control_report_routed(struct autoscaler *);

#endif
