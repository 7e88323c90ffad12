#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/accounts.h"
#include "autoscaler/admin_pages.h"
#include "autoscaler/control_impl.h"
#include "autoscaler/ctl_commands.h"
#include "autoscaler/rollouts.h"
#include "autoscaler/services.h"
#include "autoscaler/status_feed.h"
#include "autoscaler/usage/ledger.h"
#include "common/clk.h"
#include "common/link.h"
#include "common/log.h"

void
control_update_ledger(struct autoscaler *a)
{
	accounts_update(a->ledger, a->services, &a->ledger_generation);
}

/* --- what the reconciler and the list of activators ask for --- */

static void
send_message(uint64_t peer, const struct msg *m, void *arg)
{
	struct autoscaler *a = arg;
	struct hub_peer *p;

	if (a->hub == NULL)
		return;
	if (peer == 0) {
		hub_send_all(a->hub, m);
		return;
	}
	p = hub_find(a->hub, peer);
	if (p != NULL)
		hub_send(p, m);
}

static void
on_holder_gone(const char *id, void *arg)
{
	struct autoscaler *a = arg;

	activators_forget(a->activators, id);
}

static void
on_term_raised(uint64_t term, void *arg)
{
	struct autoscaler *a = arg;

	activators_raise_term(a->activators, term);
	if (a->hub == NULL)
		return;
	hub_set_term(a->hub, term);
	hub_cut_all(a->hub, "a higher term of shares begins");
}

const struct reconcile_ops control_reconcile_ops = {
	.send = send_message, .holder_gone = on_holder_gone, .term_raised = on_term_raised};

static void
on_dead(const char *id, void *arg)
{
	struct autoscaler *a = arg;

	log_debug(NULL, "process of an activator has ended", "activator=%s", id);
	swaps_ended(&a->swaps, id);
	reconcile_holder_dead(a->reconcile, id);
}

const struct activators_ops control_activators_ops = {.on_dead = on_dead};

/* --- services --- */

static void
line_to_one(const char *text, size_t n, void *arg)
{
	hub_send_line(arg, text, n);
}

void
control_send_line(const char *text, size_t n, void *arg)
{
	const struct autoscaler *a = arg;

	if (a->hub != NULL)
		hub_send_line_all(a->hub, text, n);
}

bool
control_have_defaults(void *arg)
{
	const struct autoscaler *a = arg;

	return a->hub == NULL || hub_have_defaults(a->hub);
}

void
control_described(int64_t generation, void *arg)
{
	struct autoscaler *a = arg;

	swaps_sent(&a->swaps, 0, generation, clk_now());
}

/* --- swaps --- */

/* No: the autoscaler ends and reads what activators have sent; revisions name closed drivers. */
static bool
has_drivers(const struct autoscaler *a)
{
	return a->platform != NULL && a->addresses != NULL;
}

void
control_expect_swaps(struct autoscaler *a, const char *const *ids, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		swaps_expect(&a->swaps, ids[i], clk_now());
}

void
control_check_swaps(struct autoscaler *a)
{
	int64_t generation;
	uint64_t serial;

	while (swaps_take_overdue(&a->swaps, clk_now(), &serial, &generation)) {
		struct hub_peer *p = hub_find(a->hub, serial);
		char why[120];

		snprintf(why, sizeof why,
			 "it does not route by generation %lld of the services after %d s, and is "
			 "waited for no longer",
			 (long long)generation, (int)(SWAPS_PATIENCE / CLK_S));
		if (p != NULL)
			hub_cut(p, why); /* on_activator_down() logs it */
	}
}

void
control_report_routed(struct autoscaler *a)
{
	if (!has_drivers(a))
		return;
	if (a->routed != a->swaps.routed) {
		a->routed = a->swaps.routed;
		log_debug(NULL, "services routed", "generation=%lld", (long long)a->routed);
		services_routed(a->services, a->routed);
		ctl_commands_routed(a->ctl_commands, a->routed);
	}
	if (!swaps_is_waiting(&a->swaps)) /* no activator is left to wait for */
		ctl_commands_routed(a->ctl_commands, INT64_MAX);
}

static void
on_swapped(struct autoscaler *a, struct hub_peer *p, int64_t generation)
{
	if (!swaps_swapped(&a->swaps, p->serial, generation, clk_now()))
		hub_cut(p, "it has swapped to services that were not sent");
}

/* --- links --- */

static int
on_activator_up(struct hub_peer *p, void *arg, struct err *e)
{
	struct autoscaler *a = arg;

	if (activators_up(a->activators, p->id, p->pid, link_peer_pidfd(p->link), e) < 0)
		return -1;
	log_info(NULL, "activator connected", "activator=%s pid=%d uid=%d", p->id, (int)p->pid,
		 (int)p->uid);
	rollouts_link_up(a->rollouts);
	if (has_drivers(a)) {
		swaps_up(&a->swaps, p->serial, p->id, p->has_swaps, clk_now());
		if (services_describe(a->services, p->has_defaults, line_to_one, p))
			swaps_sent(&a->swaps, p->serial, services_generation(a->services),
				   clk_now());
		reconcile_peer_up(a->reconcile, p->serial, p->id, p->has_shares, p->has_spans);
	}
	return 0;
}

static void
on_message(struct hub_peer *p, const struct msg *m, void *arg)
{
	struct autoscaler *a = arg;

	if (m->type == MSG_RESULT) {
		ctl_commands_result(a->ctl_commands, p->serial, m->u.result.token,
				    m->u.result.is_done, m->u.result.text);
		return;
	}
	if (m->type == MSG_SWAPPED) {
		on_swapped(a, p, m->u.swapped.generation);
		return;
	}
	if (m->type == MSG_LEAVING)
		swaps_leaving(&a->swaps, p->serial);
	control_update_ledger(a);
	ledger_message(a->ledger, p->serial, m);
	if (m->type == MSG_STATS) {
		rollouts_report(a->rollouts, p->id, &m->u.stats);
		status_feed_report(admin_pages_feed(a->pages), &m->u.stats);
	}
	if (has_drivers(a))
		reconcile_message(a->reconcile, p->serial, m);
}

/* Has the activator another link? */
static bool
has_another(const struct autoscaler *a, const struct hub_peer *gone)
{
	struct hub_peer *p = NULL;

	while ((p = hub_next_activator(a->hub, p)) != NULL)
		if (p != gone && strcmp(p->id, gone->id) == 0)
			return true;
	return false;
}

static void
on_activator_down(struct hub_peer *p, const char *why, void *arg)
{
	struct autoscaler *a = arg;

	if (p->is_leaving)
		log_info(NULL, "activator has left", "activator=%s", p->id);
	else
		log_warn(NULL, "activator disconnected", "activator=%s why=%s", p->id, why);
	swaps_down(&a->swaps, p->serial, clk_now());
	ctl_commands_peer_down(a->ctl_commands, p->serial);
	ledger_peer_down(a->ledger, p->serial);
	if (!has_another(a, p))
		rollouts_link_down(a->rollouts, p->id);
	reconcile_peer_down(a->reconcile, p->serial);
	if (!has_another(a, p))
		activators_down(a->activators, p->id);
}

const struct hub_ops control_hub_ops = {on_activator_up, on_message, on_activator_down};
