/* control_lease - the leader among several autoscalers, with the key lease_name: control_open()
 * waits here until this one holds the Lease, and only then opens what decides and writes.
 * Thread: the autoscaler's only loop. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autoscaler/control_impl.h"
#include "autoscaler/metrics.h"
#include "autoscaler/replicas/election.h"
#include "autoscaler/services.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/settings.h"

#define RELEASE_MOST (2 * CLK_S)

/* --- waiting --- */

static const char *
why_waiting(void *arg)
{
	const struct autoscaler *a = arg;

	return a->is_stopping ? "stopping" : "waiting for the Lease, which another may hold";
}

static void
on_waiting_metrics(struct strbuf *out, void *arg)
{
	(void)arg;
	metrics_write_waiting(out);
}

static const struct admin_ops waiting_ops = {.not_ready = why_waiting,
					     .metrics = on_waiting_metrics};

static void
on_change(void *arg)
{
	struct autoscaler *a = arg;
	uint64_t term = election_term(a->election);

	if (a->term == 0 || a->is_stopping)
		return;
	/* It may come back under the same term, as long as nobody else has held the Lease.
	 * Another term may come after another leader, too: what it has done is read anew. */
	if (election_standing(a->election) != LEASE_FOLLOWS && (term == 0 || term == a->term))
		return;
	log_error(NULL, "the Lease was lost: exiting", "holder=%s", election_holder(a->election));
	a->is_deposed = true;
	loop_stop(a->loop);
}

static const struct election_ops election_ops = {.on_change = on_change};

/* No other process has it: process ids of containers are alike, and hosts have one after the
 * other. */
static char *
identity(const struct autoscaler *a)
{
	char host[256] = "";

	(void)gethostname(host, sizeof host - 1);
	return xasprintf("%s_%s", host, a->id);
}

static int
open_election(struct autoscaler *a, struct err *e)
{
	const struct settings *s = services_settings(a->services);
	const char *slash = strchr(s->autoscaler.lease_name, '/');
	char *ns = xasprintf("%.*s", (int)(slash - s->autoscaler.lease_name),
			     s->autoscaler.lease_name);
	char *id = identity(a);
	const struct election_conf conf = {
		.kubeconfig = s->autoscaler.kubeconfig, .ns = ns, .name = slash + 1, .id = id};

	a->election = election_open(a->loop, &conf, &election_ops, a, e);
	free(id);
	free(ns);
	return a->election == NULL ? err_prefix(e, "lease_name") : 0;
}

int
control_lead(struct autoscaler *a, struct err *e)
{
	const struct settings *s = services_settings(a->services);
	const char *const addrs[] = {s->autoscaler.admin, NULL};
	struct admin *admin;

	if (s->autoscaler.driver != DRIVER_KUBERNETES || s->autoscaler.lease_name == NULL)
		return 0;
	admin = admin_open(a->loop, addrs, NULL, &waiting_ops, a, e);
	if (admin == NULL)
		return err_prefix(e, "admin");
	if (open_election(a, e) < 0) {
		admin_close(&admin);
		return -1;
	}
	log_info(NULL, "waiting for the Lease", "lease=%s", s->autoscaler.lease_name);
	while (!a->is_stopping && !election_may_decide(a->election))
		loop_once(a->loop, false);
	admin_close(&admin);
	if (a->is_stopping)
		return err_set(e, ECANCELED, "stopped while another autoscaler decides");
	a->term = election_term(a->election);
	return 0;
}

/* --- leading --- */

const char *
control_withhold(void *arg)
{
	const struct autoscaler *a = arg;

	return a->election == NULL || election_may_decide(a->election)
		       ? NULL
		       : "not sent, as the Lease could not be renewed in time";
}

void
control_stop_leading(struct autoscaler *a)
{
	if (a->election == NULL)
		return;
	/* Closing drivers may have writes under way: then the Lease runs out. */
	if (!a->is_deposed && a->platform == NULL)
		election_release(a->election, RELEASE_MOST);
	election_close(&a->election);
}
