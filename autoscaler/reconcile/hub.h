/* hub - the autoscaler's end of the links: takes activators in, exchanges hellos,
 * turns lines into messages and messages into lines, and drops whoever breaks the
 * rules, with a line in the log that says how.  Knows nothing of revisions.
 * Thread: the autoscaler's only loop.  Upcalls come from the loop, never from inside
 * a call of ours. */
#ifndef AUTOSCALER_RECONCILE_HUB_H
#define AUTOSCALER_RECONCILE_HUB_H

#include "common/list.h"
#include "common/msg.h"

struct link;
struct loop;
struct hub;

/* One connected peer.  The fields are for reading. */
struct hub_peer {
	struct list_node node;
	struct hub *hub;
	struct link *link;
	uint64_t serial;    /* of the link: never used again */
	char *id;	    /* from its hello; NULL before it */
	char *version;	    /* from its hello; may stay NULL */
	enum msg_role role; /* once id is set */
	int64_t since_ns;   /* clk_now() of the connection */
	uint64_t lines;	    /* read from it */
};

struct hub_ops {
	/* An activator has said hello.  What is sent from here on follows our hello. */
	void (*on_activator)(struct hub_peer *, void *arg);
	/* A message of an activator, of a type that activators send. */
	void (*on_message)(struct hub_peer *, const struct msg *, void *arg);
	/* An activator is gone; the peer is freed after this. */
	void (*on_gone)(struct hub_peer *, const char *why, void *arg);
};

/* Listen at path (the lock of state_dir is held by the caller).  id: ours, for the
 * hello.  All arguments are borrowed until hub_close(). */
NODISCARD struct hub *hub_open(struct loop *, const char *path, const char *id,
			       const struct hub_ops *, void *arg, struct err *);
/* Close all links, without upcalls; nulls. */
void hub_close(struct hub **);

/* Activators that have said hello. */
size_t hub_activators(const struct hub *);
/* Walk them: NULL begins, NULL ends. */
struct hub_peer *hub_next_activator(struct hub *, struct hub_peer *);
struct hub_peer *hub_find(struct hub *, uint64_t serial); /* may be NULL */

/* Send one message (strings are borrowed for the call); to all: to every activator. */
void hub_send(struct hub_peer *, const struct msg *);
void hub_send_all(struct hub *, const struct msg *);
/* The same with a line that is encoded already. */
void hub_send_line(struct hub_peer *, const char *line, size_t n);
void hub_send_line_all(struct hub *, const char *line, size_t n);

/* How many peers were dropped for a broken rule so far. */
uint64_t hub_dropped(const struct hub *);

#endif
