/* ledger - what each revision has used, and what that has saved: kept over restarts, and answered
 * at /usage on the admin endpoint.
 *
 * The events of drivers and activators go to the meter.  Each ten seconds what has changed goes to
 * the journal, by the writer's thread; what is left of a killed autoscaler lacks that time.  Of a
 * revision that is idle, without instances, it may lack the last five minutes of observed_s and
 * always_one_s.  Hours that are over stay in memory, from where /usage is answered.
 * Thread: the autoscaler's only loop.
 *
 * Room: autoscaler/usage keeps the books of what ran.  It may use the driver's views (driver.h) and
 * common/.  It decides nothing and starts nothing, and it never makes the loop wait for a disk.
 * Each of its parts calls only those below it:
 *	ledger			the whole
 *	query			an answer, in a thread
 *	meter · writer · table	what is used now; the thread of the journal; the answer
 *	journal			files
 *	queue			what waits to be written
 *	hours · record		rows in memory; lines on disk
 *	amounts · account	what is counted; for whom */
#ifndef AUTOSCALER_USAGE_LEDGER_H
#define AUTOSCALER_USAGE_LEDGER_H

#include "autoscaler/driver.h"
#include "autoscaler/usage/amounts.h"

struct admin_request;
struct ledger; /* opaque */
struct strbuf;

struct ledger_conf {
	const char *state_dir;
	const char *run;    /* differs from that of every earlier process */
	uint32_t days_max;  /* that the journal keeps; 0: there is no journal */
	uint64_t bytes_max; /* of the journal; the hours in memory take half as much at most */
};

/* Begins to read the journal.  Never fails: if no thread can be started, the log says so, and
 * usage is kept in memory alone.  What conf points to is copied. */
NODISCARD struct ledger *ledger_open(struct loop *, const struct ledger_conf *);
/* Writes all that is left. */
void ledger_close(struct ledger **);

/* Which revisions there are: begin, add each, end.  owner, cost_center: NULL: none. */
void ledger_revisions_begin(struct ledger *);
void ledger_revisions_add(struct ledger *, const char *revision, const char *owner,
			  const char *cost_center, bool is_external);
void ledger_revisions_end(struct ledger *);

void ledger_view(struct ledger *, const struct driver_view *);
/* What an activator sends; only `activate` and `stats` matter.  peer: its link. */
void ledger_message(struct ledger *, uint64_t peer, const struct msg *);
void ledger_peer_down(struct ledger *, uint64_t peer);
void ledger_tick(struct ledger *); /* each second */

/* /usage.  price: of an instance-hour; 0: unknown.  The answer comes later, in the order of the
 * requests. */
extern const char *const ledger_params[]; /* for admin_page_params() */
void ledger_answer(struct ledger *, struct admin_request *, double price);
/* The same for another asker than the admin endpoint, by the parameters of /usage (each may be
 * NULL): done() comes later, once, with the lines of table_write_lines(), or with why not.  -1 with
 * err: it cannot be asked. */
typedef void ledger_done_fn(const char *why, const struct strbuf *lines, void *arg);
struct ledger_ask {
	const char *from, *to, *by;
	double price;
	ledger_done_fn *done;
	void *arg;
};
NODISCARD int ledger_ask(struct ledger *, const struct ledger_ask *, struct err *);
/* The asker with that arg has gone: done() does not come.  False: it has asked for nothing. */
bool ledger_forget(struct ledger *, const void *arg);
/* When the revision last had instances or requests, by clk_now(); INT64_MIN: not since this process
 * began to observe it. */
int64_t ledger_active_ns(const struct ledger *, const char *revision);
/* What the revision has used since this process began to observe it; NULL: it is not known. */
const struct amounts *ledger_total(struct ledger *, const char *revision);
/* The same of the removed revisions of a service that has others; NULL: nothing. */
const struct amounts *ledger_past(const struct ledger *, const char *service);

struct ledger_counts {
	uint64_t written, lost; /* records of the journal */
	uint64_t broken;	/* when it was read: they are not in the answers */
	uint64_t waiting;	/* to be written */
	uint64_t rows;		/* in memory: one for each hour and revision */
	uint64_t dropped;	/* rows that went because there were too many */
};
void ledger_counts(const struct ledger *, struct ledger_counts *);

#endif
