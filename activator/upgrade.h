/* upgrade - the older side of an upgrade: starts the binary that is now on disk, hands over the
 * sockets that listen, and gives way once the new process is ready.  If that fails in any way
 * before, this process goes on as if nothing had happened.  (handover.h: the messages; takeover.h:
 * the newer side.)
 *
 * SIGUSR2 and the control socket begin one.
 * Thread: main. */
#ifndef ACTIVATOR_UPGRADE_H
#define ACTIVATOR_UPGRADE_H

#include <sys/types.h>

#include "activator/bounds.h"

struct elders;
struct loop;
struct tls_ticket_keys;
struct upgrade; /* opaque; upgrade.c */

/* What is handed over, as it is when the upgrade begins. */
struct upgrade_sockets; /* opaque; upgrade.c */
/* A socket that listens.  fd is copied. */
void upgrade_add_socket(struct upgrade_sockets *, int fd, bool is_foreign);

struct upgrade_ops {
	/* May an upgrade begin?  NULL, or the reason why not. */
	const char *(*refusal)(void *arg);
	/* Call upgrade_add_socket() for each socket that listens. */
	void (*sockets)(struct upgrade_sockets *, void *arg);
	/* The keys of session tickets, and when the newest was made.  False: there are none. */
	bool (*tickets)(struct tls_ticket_keys *, int64_t *rotated_ns, void *arg);
	/* The new process accepts: accept no more, and end when all requests have. */
	void (*on_replaced)(pid_t, void *arg);
	/* The new process, a child of this one, was killed or has failed after it had taken over,
	 * and no process lives to which it had given way. */
	void (*on_successor_lost)(void *arg);
};

struct upgrade_counts {
	uint64_t replaced, failed, refused;
};

/* argv: of this process.  All are borrowed. */
struct upgrade *upgrade_new(struct loop *, char *const *argv, struct bounds *, struct elders *,
			    const struct upgrade_ops *, void *arg);
/* A new process that has not taken over yet is killed, and done is called. */
void upgrade_free(struct upgrade **);

/* Begin.  done is called from the loop with why NULL, if this process was replaced, or with why
 * not; it may be NULL.  timeout_ns: how long the new process may take until it is ready.
 * -1 with err: the upgrade is refused, and done is not called.  The caller need not log: either
 * was logged. */
NODISCARD int upgrade_begin(struct upgrade *, int64_t timeout_ns,
			    void (*done)(const char *why, void *arg), void *done_arg, struct err *);
/* This process is about to end: a new process that has not taken over yet is killed. */
void upgrade_cancel(struct upgrade *, const char *why);
bool upgrade_is_under_way(const struct upgrade *);
struct upgrade_counts upgrade_counts(const struct upgrade *);

#endif
