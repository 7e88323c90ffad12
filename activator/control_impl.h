/* control_impl - what the parts of control share: control.c (the life of the process, signals,
 * upgrades), control_reload.c (what the conf file asks for, at the start and after a reload) and
 * control_audit.c.
 * Thread: main. */
#ifndef ACTIVATOR_CONTROL_IMPL_H
#define ACTIVATOR_CONTROL_IMPL_H

#include "activator/bounds.h"
#include "activator/certificates.h"
#include "activator/control.h"
#include "activator/net/listen_set.h"
#include "activator/worker_conf.h"
#include "common/loop.h"
#include "common/reload.h"

struct access_log;
struct access_sink;
struct admin;
struct autoscaler_link;
struct elders;
struct prober;
struct registry;
struct upgrade;
struct watchdog;
struct worker;

struct activator {
	struct loop *loop;
	struct worker_conf *conf; /* the newest */
	struct reload *reload;
	struct audit *audit;
	struct bounds bounds;
	struct listen_set *listen_set;
	struct access_log *access_log;
	struct access_log *spans; /* NULL: no collector */
	struct worker **workers;
	unsigned workers_n, started_n, drained_n;
	struct certificates *certificates; /* NULL: the conf has none */
	struct prober *prober;
	struct registry *registry;
	struct autoscaler_link *link;
	struct admin *admin;
	struct watchdog *watchdog; /* NULL: not started by systemd, or it wants none */
	unsigned echoes;	   /* of workers that watchdog waits for */
	struct elders *elders;
	struct upgrade *upgrade;
	struct takeover *takeover;     /* NULL: no upgrade has started this process */
	struct loop_timer end_timer;   /* end of drain_timeout, then of LAST_RESPONSES */
	struct loop_timer trust_timer; /* of looks at the files that upstream_tls names */
	pid_t successor;	       /* that has taken over */
	unsigned accepting_n;	       /* workers that may still accept, though it has */
	bool is_waiting;	       /* to take over: nothing is accepted yet */
	bool is_given_up;	       /* it must not take over */
	bool is_draining;	       /* accepts no more: SIGTERM has come, or it was replaced */
	bool is_replaced;	       /* a newer process accepts in its place */
	bool is_terminating;	       /* a first SIGTERM has come */
	bool is_ending;		       /* drain_timeout is over after SIGTERM */
	int64_t started_ns;
};

static inline const struct settings *
settings_of(const struct activator *a)
{
	return a->conf->settings;
}

/* New certificates go to the workers. */
extern const struct certificates_ops control_certificates_ops;

/* --- control_audit.c --- */

NODISCARD int control_open_audit(struct activator *, struct err *);
/* As audit_move(), to the file of these settings. */
NODISCARD int control_move_audit(struct activator *, const struct settings *, struct err *);

/* Use the files that the keys upstream_* name, where they have changed. */
void control_check_trust(const struct activator *);

/* --- control_reload.c --- */

void control_set_bounds(struct bounds *, const struct activator_conf *);
/* inherited: sockets that are open already; NULL: none. */
struct listen_conf control_listen_conf(const struct settings *, unsigned workers_n,
				       struct inherited *inherited);
NODISCARD struct access_sink *control_open_access_sink(const struct settings *, struct err *);
/* arg: the struct activator. */
extern const struct reload_ops control_reload_ops;

#endif
