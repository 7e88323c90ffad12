/* hub - the autoscaler's end of the links: accepts connections, exchanges `hello`, and turns
 * lines into messages and back.  The hub cuts off a peer that breaks a rule of the protocol, and
 * logs which rule.  It ignores messages of an unknown type: a later version may send them.  It
 * knows nothing of revisions.
 * It calls back from the loop only, never from inside a call.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_HUB_H
#define AUTOSCALER_RECONCILE_HUB_H

#include "common/list.h"
#include "common/msg.h"

struct link;
struct loop;
struct hub;

/* A connected peer.  The fields are for reading. */
struct hub_peer {
	struct list_node node;
	struct hub *hub;
	struct link *link;
	uint64_t serial;    /* of the link; never used again */
	char *id;	    /* from its hello; NULL before it */
	char *version;	    /* from its hello; may stay NULL */
	bool has_shares;    /* from its hello: it knows shares (common/shares.h) */
	bool has_commands;  /* from its hello: it carries out `command` */
	bool has_spans;	    /* from its hello: it makes a span of `scaling` */
	bool has_swaps;	    /* from its hello: it sends `swapped` */
	bool has_defaults;  /* from its hello: its limits have our defaults */
	bool is_leaving;    /* it has sent `leaving`: it accepts no new requests */
	bool is_activator;  /* on_activator has taken it */
	enum msg_role role; /* once id is set */
	pid_t pid;	    /* of the process that connected, as the kernel says … */
	uid_t uid;	    /* … and the user that it ran as; (pid_t)-1, (uid_t)-1: unknown */
	int64_t since_ns;   /* clk_now() of the connection */
	uint64_t lines;	    /* received */
};

struct hub_ops {
	/* An activator has said hello.  Our hello was sent before.  -1 with err: it is dropped,
	 * and on_gone does not follow. */
	int (*on_activator)(struct hub_peer *, void *arg, struct err *);
	/* An activator has sent a message, of a type that activators send. */
	void (*on_message)(struct hub_peer *, const struct msg *, void *arg);
	/* The link of an activator is gone; the peer is freed after this.  If the activator has
	 * said hello on a newer link, on_activator of that link came before. */
	void (*on_gone)(struct hub_peer *, const char *why, void *arg);
};

/* Listen at path; the caller holds the lock of state_dir.  id: the autoscaler's, for the hello.
 * All arguments are borrowed until hub_close(). */
NODISCARD struct hub *hub_open(struct loop *, const char *path, const char *id,
			       const struct hub_ops *, void *arg, struct err *);
/* Before hub_close(), outside of the loop's rounds: link_server_finish(). */
void hub_finish(struct hub *, int64_t ns);
/* Close all links, without callbacks; nulls. */
void hub_close(struct hub **);

/* The hello says that shares are given out, under this term. */
void hub_set_term(struct hub *, uint64_t term);

/* End the link, or all; peers connect again. */
void hub_cut(struct hub_peer *, const char *why);
void hub_cut_all(struct hub *, const char *why);

/* How many activators have said hello. */
size_t hub_activators(const struct hub *);
/* Walk them: NULL begins, NULL ends. */
struct hub_peer *hub_next_activator(struct hub *, struct hub_peer *);
struct hub_peer *hub_find(struct hub *, uint64_t serial); /* may be NULL */

/* Have all activators our defaults of the limits? */
bool hub_have_defaults(struct hub *);

/* Send a message to one peer, or to every activator. */
void hub_send(struct hub_peer *, const struct msg *);
void hub_send_all(struct hub *, const struct msg *);
/* The same with a message that is encoded already. */
void hub_send_line(struct hub_peer *, const char *line, size_t n);
void hub_send_line_all(struct hub *, const char *line, size_t n);

/* How many peers were cut off so far because they broke a rule. */
uint64_t hub_dropped(const struct hub *);

#endif
