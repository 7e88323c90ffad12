/* ctl_server - the control socket, to which `activatorctl` connects.  A connection is one request:
 * the peer says hello with the role `control` and sends one line, `request`; the server answers
 * with lines of any number, and ends with `done` (activator-protocol(7)).
 *
 * It serves root, the autoscaler's own user, and the members of control_group.  Connections, the
 * length of a request, and the time that each may take are bounded.  It calls back from the loop
 * only, never from inside a call, but for ctl_ops.on_gone, which ctl_done() never causes.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_SERVER_H
#define AUTOSCALER_CTL_SERVER_H

#include "common/audit_record.h"
#include "common/str_list.h"

struct ctl_server; /* opaque */
struct jput;
struct loop;

/* How a request ends: the exit status of activatorctl. */
#define CTL_STATUSES(X)                                                                            \
	X(OK, ok)                                                                                  \
	X(FAILED, failed)	/* it could not be done */                                         \
	X(USAGE, usage)		/* the request makes no sense */                                   \
	X(NOT_FOUND, not_found) /* no service or revision has the name */                          \
	X(TIMEOUT, timeout)	/* it is still under way */
enum ctl_status {
#define X(id, name) CTL_##id,
	CTL_STATUSES(X)
#undef X
};

/* A request under way.  It lives until on_gone, or until ctl_done() was called and the peer has
 * closed the connection. */
struct ctl_request;

/* What the peer has asked for; borrowed from the request. */
struct ctl_asked {
	const char *command;	 /* "list" */
	const char *name;	 /* of a service or revision; NULL: none */
	const char *state;	 /* that `wait` waits for; NULL: none */
	const char *text;	 /* services as the text of a conf file; NULL: none */
	struct str_list options; /* "KEY=VALUE", of the command */
	bool is_waiting;	 /* the answer comes once it is done; else once it has begun */
	int64_t timeout_ns;	 /* after which the request ends with CTL_TIMEOUT */
};

struct ctl_ops {
	/* A request has come.  The answer may come now or later. */
	void (*on_request)(struct ctl_request *, const struct ctl_asked *, void *arg);
	/* The peer has left or has broken the protocol, or time is over, before ctl_done(). */
	void (*on_gone)(struct ctl_request *, void *arg);
};

/* Listen at path.  id: the autoscaler's, for the hello.  Borrowed until ctl_server_close(). */
NODISCARD struct ctl_server *ctl_server_open(struct loop *, const char *path, const char *id,
					     const struct ctl_ops *, void *arg, struct err *);
/* Close all connections; on_gone comes for each request that is not done. */
void ctl_server_close(struct ctl_server **);
/* Serve the members of this group, too; NULL: of none. */
NODISCARD int ctl_server_set_group(struct ctl_server *, const char *group, struct err *);
/* Requests so far. */
uint64_t ctl_server_requests(const struct ctl_server *);

/* What the command keeps between two calls; it belongs to the command. */
void ctl_set_state(struct ctl_request *, void *);
void *ctl_state(const struct ctl_request *);
const struct ctl_asked *ctl_asked(const struct ctl_request *);
/* The i-th option of that key, or NULL. */
const char *ctl_option(const struct ctl_request *, const char *key, size_t i);
int64_t ctl_since_ns(const struct ctl_request *); /* clk_now() when it came */
/* Who has asked, for the audit; borrowed from the request. */
struct audit_by ctl_by(const struct ctl_request *);

/* Send a line of that type: ctl_line_end() behind the members that the caller puts. */
struct jput *ctl_line(struct ctl_request *, const char *type);
void ctl_line_end(struct ctl_request *);
/* Send a whole line that the caller has made. */
void ctl_send_line(struct ctl_request *, const char *text, size_t n);
/* Bytes that wait for the peer to read them. */
size_t ctl_queued(const struct ctl_request *);
/* Send what goes on, if text differs from the last one, or that was a second ago. */
void ctl_progress(struct ctl_request *, const char *text);
/* End the request.  message: what was done, or why not, in one line.  next: what the operator can
 * do next; NULL: nothing. */
void ctl_done(struct ctl_request *, enum ctl_status, const char *next, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* Keep the end that ctl_done() gives the request from now on, until ctl_release() sends it.  Until
 * then on_gone may come; when the time of the request is over, the end is sent, too. */
void ctl_hold(struct ctl_request *);
void ctl_release(struct ctl_request *);

#endif
