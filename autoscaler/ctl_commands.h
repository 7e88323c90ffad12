/* ctl_commands - what activatorctl can ask for at the control socket: to show services and the
 * autoscaler, to reload and upgrade, to wake, to put to sleep, and to wait for that.  `reload` and
 * `upgrade` are passed on to the activators over their links, and each answers (msg.h, `command`).
 * What changes the services is answered once the activators route by it.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_COMMANDS_H
#define AUTOSCALER_CTL_COMMANDS_H

#include "autoscaler/ctl_server.h"
#include "autoscaler/facts.h"

struct ctl_commands; /* opaque */
struct settings_errors;

struct ctl_backend {
	struct facts (*facts)(void *arg);
	/* Wake a revision, or put it to sleep (reconcile.h). */
	int (*wake)(struct scaled_revision *, const struct audit_peer *, struct err *, void *arg);
	int (*sleep)(struct scaled_revision *, const struct audit_peer *, struct err *, void *arg);
	/* Reload the autoscaler's own settings.  -1: nothing has changed, and errors has a line for
	 * each mistake. */
	int (*reload)(const struct audit_by *, struct settings_errors *errors, void *arg);
	/* The store has changed.  Returns the generation of the services that has the change, for
	 * ctl_commands_routed(); 0: it is not waited for. */
	int64_t (*stored)(void *arg);
};

/* All borrowed until ctl_commands_free(). */
NODISCARD struct ctl_commands *ctl_commands_new(struct loop *, const struct ctl_backend *,
						void *arg);
/* After ctl_server_close(). */
void ctl_commands_free(struct ctl_commands **);

/* For ctl_server_open(); arg: the ctl_commands. */
extern const struct ctl_ops ctl_commands_ops;

/* An activator has answered a command; the link of an activator is gone. */
void ctl_commands_result(struct ctl_commands *, uint64_t peer, const char *token, bool is_done,
			 const char *text);
void ctl_commands_peer_down(struct ctl_commands *, uint64_t peer);
/* The activators route by this generation of the services, or none is waited for any more. */
void ctl_commands_routed(struct ctl_commands *, int64_t generation);

/* As driver_ops.on_output and on_output_end. */
void ctl_commands_output(struct ctl_commands *, const struct driver_output *);
void ctl_commands_output_end(struct ctl_commands *, uint64_t token);

#endif
