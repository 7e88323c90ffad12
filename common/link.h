/* link - lines over a Unix stream socket: framing, bounds, reconnecting.  msg.h says what a line
 * means.  The link cuts a peer that sends a line longer than LINK_LINE_MAX, or that reads so
 * slowly that more than LINK_QUEUE_MAX bytes wait for it.
 * Thread: the loop's.  No function here calls back before it returns: on_accept, on_up and on_line
 * come in events, on_down at the tail of a round.  A callback may call link_free(), but not
 * link_server_free(). */
#ifndef COMMON_LINK_H
#define COMMON_LINK_H

#include <sys/types.h>

#include "common/err.h"

#define LINK_LINE_MAX ((size_t)1 << 20)	  /* bytes, newline included */
#define LINK_QUEUE_MAX ((size_t)64 << 20) /* bytes waiting to be written */

struct loop;
struct link;	    /* an accepted connection, or one that link_dial() keeps renewing */
struct link_server; /* a listening socket */

struct link_ops {
	/* The connection is established: the place to send the hello. */
	void (*on_up)(struct link *, void *arg);
	/* A line of n bytes without its newline; line[n] is NUL.  Borrowed. */
	void (*on_line)(struct link *, char *line, size_t n, void *arg);
	/* The connection has ended; why tells the reason.  A dialled link reconnects by
	 * itself; an accepted one is freed after this call. */
	void (*on_down)(struct link *, const struct err *why, void *arg);
};

/* Connect to the socket at path, and again whenever that fails or the connection ends, after
 * 10 ms, doubling to 1 s.  The delay begins anew only after link_accept_peer(): else a peer that
 * accepts connections but is of no use would get 100 of them in a second.  ops and path are
 * borrowed until link_free(). */
NODISCARD struct link *link_dial(struct loop *, const char *path, const struct link_ops *,
				 void *arg);
/* Close the link, without on_down, and set *lp to NULL. */
void link_free(struct link **lp);

bool link_is_up(const struct link *);
/* The peer is the right one: its hello, and what else the caller asks for, was in order.  The
 * next back-off begins anew, unless link_cut() ends this connection after all. */
void link_accept_peer(struct link *);
/* Queue a line, which must contain no newline.  The link adds a newline at its end, and writes the
 * lines of a round together at the tail.  Does nothing while the link is down. */
void link_send(struct link *, const char *data, size_t n);
/* Bytes that wait to be written: for senders that skip lines when the peer is slow. */
size_t link_queued(const struct link *);
/* End the connection; fmt becomes the reason that on_down gets. */
void link_cut(struct link *, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The process at the other end, as the kernel knew it when it connected or listened; -1 each:
 * unknown. */
void link_peer_process(const struct link *, pid_t *pid, uid_t *uid);
/* A pidfd of that process, the caller's to close; -1: the kernel gives none (before Linux 6.5).  It
 * names that process for certain, while its number may be another's by now. */
NODISCARD int link_peer_pidfd(const struct link *);
/* The arg of the link's callbacks: on_accept may give each accepted link one of its own. */
void link_set_arg(struct link *, void *arg);
void *link_arg(const struct link *);

/* Listen at path, mode 0660, as unix_socket_listen() does.  on_accept is called for each
 * accepted link before its on_up. */
NODISCARD struct link_server *link_listen(struct loop *, const char *path, const struct link_ops *,
					  void (*on_accept)(struct link *, void *arg), void *arg,
					  struct err *);
/* link_listen() for processes of our own user and of root: mode 0600, and the uid of each peer is
 * checked, too, as the mode may be changed.  (The keeper's socket.) */
NODISCARD struct link_server *link_listen_private(struct loop *, const char *path,
						  const struct link_ops *,
						  void (*on_accept)(struct link *, void *arg),
						  void *arg, struct err *);
/* Of link_listen_private(): let the members of a group connect, too; (gid_t)-1: not any longer.  An
 * error leaves the socket as it is. */
NODISCARD int link_server_allow_group(struct link_server *, gid_t, struct err *);
/* Put the descriptors of the accepted connections, at most max, into fds.  Returns how many. */
size_t link_server_fds(const struct link_server *, int *fds, size_t max);
/* At the end of a server, outside of the loop's rounds: send nothing more on the accepted links,
 * and deliver what their peers have sent until each has closed its end, for ns at most.  A peer
 * that loses its link has no other way to know what was read. */
void link_server_finish(struct link_server *, int64_t ns);
/* Stop listening, remove the socket, and close the accepted links without on_down. */
void link_server_free(struct link_server **);

#endif
