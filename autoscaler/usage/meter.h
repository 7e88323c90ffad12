/* meter - adds up what each revision uses now, from what drivers show and activators report.
 *
 * Instances are integrated over the monotonic time from one event to the next, so that neither
 * their number between two ticks nor a step of the wall clock is lost.  The wall clock only says
 * to which hour the time belongs.  At the end of an hour the part that each revision has added up
 * is handed out as final, and another part begins.  If the wall clock is set to another hour, the
 * part ends then, too; so two parts may be of the same hour.  A step within the hour changes
 * nothing.
 * Pure: no I/O, and the time is an argument.  Thread: the autoscaler's only loop (ledger.c). */
#ifndef AUTOSCALER_USAGE_METER_H
#define AUTOSCALER_USAGE_METER_H

#include "autoscaler/driver.h"
#include "autoscaler/usage/account.h"
#include "autoscaler/usage/amounts.h"

struct meter; /* opaque */

/* now_ns: monotonic; wall_ns: since the epoch. */
NODISCARD struct meter *meter_new(int64_t now_ns, int64_t wall_ns);
void meter_free(struct meter **);

struct meter_part {
	uint64_t part; /* never used again by this meter */
	int64_t hour;  /* since the epoch, UTC */
	/* Borrowed for the call.  The same pointer is the same account in all calls that one
	 * call of the meter makes. */
	const struct account *account;
	struct amounts amounts; /* since the part began */
	bool is_final;
};
typedef void meter_fn(const struct meter_part *, void *arg);

/* Call it each second, and before each other call: all others use the time of the last
 * meter_advance().  When an hour is over, or the clock was set to another one, it calls fn for each
 * part that ends. */
void meter_advance(struct meter *, int64_t now_ns, int64_t wall_ns, meter_fn *, void *arg);

/* Which revisions there are: begin, add each, end.  Parts of those that are gone, or whose
 * account has changed, end with a call of fn.  What is reported within five minutes after a
 * revision has gone, or after the last such report, is a part of its own, which meter_advance() and
 * meter_write() end.
 * An external revision (`addresses`) has requests, but no instances of ours. */
void meter_revisions_begin(struct meter *);
void meter_revisions_add(struct meter *, const struct account *, bool is_external, meter_fn *,
			 void *arg);
void meter_revisions_end(struct meter *, meter_fn *, void *arg);

/* What is shown and reported; revisions that are not known are ignored.  peer: the link of the
 * activator that reports (hub_peer.serial). */
void meter_view(struct meter *, const struct driver_view *);
/* A request waits.  Counts a wake if no instance is there, or only stopping ones, and if no wake is
 * under way. */
void meter_activate(struct meter *, uint64_t peer, const char *revision);
void meter_stats(struct meter *, uint64_t peer, const struct msg_stats *);
/* The link is down.  The requests that wait at the activator may come back by another link: a wake
 * that is under way ends only when an activator reports next. */
void meter_peer_down(struct meter *, uint64_t peer);

/* Hand out each part that was not handed out for write_ns.  A part of which only idle time has
 * passed since then waits for idle_ns. */
void meter_write(struct meter *, int64_t write_ns, int64_t idle_ns, meter_fn *, void *arg);
/* Hand out all parts as they are, for reading. */
void meter_each(struct meter *, meter_fn *, void *arg);
/* When the revision last had instances or requests, as meter_advance() has the time; INT64_MIN: not
 * since the meter began to observe it. */
int64_t meter_active_ns(const struct meter *, const char *revision);
/* What the revision has used since the meter began to observe it; NULL: it is not known. */
const struct amounts *meter_total(struct meter *, const char *revision);
/* What removed revisions of the service have used since then; NULL: nothing, or it has no revision
 * any more. */
const struct amounts *meter_past(const struct meter *, const char *service);

#endif
