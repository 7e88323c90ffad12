/* link - a Unix stream socket that carries lines: framing, bounds, reconnect.
 * Knows nothing of what a line says (common/msg.h does).  A peer that sends a
 * line over LINK_LINE_MAX, or does not read until the queue towards it passes
 * LINK_QUEUE_MAX, is cut.
 * Thread: the loop's.  Callbacks are never made from inside a call of ours but
 * link_cut()'s on_down, which comes at the tail of the round. */
#ifndef COMMON_LINK_H
#define COMMON_LINK_H

#include "common/err.h"

#define LINK_LINE_MAX ((size_t)1 << 20)	  /* bytes, newline included (DESIGN 7) */
#define LINK_QUEUE_MAX ((size_t)64 << 20) /* bytes waiting to be written */

struct loop;
struct link;	    /* one end of one connection (or, dialling, of a series of them) */
struct link_server; /* a listening socket */

struct link_ops {
	/* A connection stands.  Send the hello here. */
	void (*on_up)(struct link *, void *arg);
	/* One line without its newline, NUL-terminated at line[n]; borrowed. */
	void (*on_line)(struct link *, char *line, size_t n, void *arg);
	/* It is gone, why says how.  A dialled link tries again by itself; an
	 * accepted one is freed after this returns. */
	void (*on_down)(struct link *, const struct err *why, void *arg);
};

/* Connect to the socket at path and keep doing so: 10 ms doubling to 1 s.  ops and
 * path are borrowed until link_free(). */
NODISCARD struct link *link_dial(struct loop *, const char *path, const struct link_ops *,
				 void *arg);
/* Close without on_down; nulls. */
void link_free(struct link **);

bool link_is_up(const struct link *);
/* Queue one line (the newline is added here) and write what can be written.  Does
 * nothing on a link that is down.  data must hold no newline. */
void link_send(struct link *, const char *data, size_t n);
/* Bytes that wait to be written: for senders whose lines may be left out. */
size_t link_queued(const struct link *);
/* Break the connection because the peer broke the rules (or we leave). */
void link_cut(struct link *, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* What link_server callbacks hang on an accepted link. */
void link_set_arg(struct link *, void *arg);
void *link_arg(const struct link *);

/* Listen at path, mode 0660.  Whoever calls holds the lock that makes removing a
 * stale socket safe (common/daemon.h): a socket at path that nobody serves is removed;
 * one that somebody serves, under another lock, is an error (EADDRINUSE).
 * on_accept hands out each accepted link before its on_up; it may link_set_arg(). */
NODISCARD struct link_server *link_listen(struct loop *, const char *path, const struct link_ops *,
					  void (*on_accept)(struct link *, void *arg), void *arg,
					  struct err *);
/* Stop listening and remove the socket; accepted links are closed without on_down. */
void link_server_free(struct link_server **);

#endif
