#include "autoscaler/reconcile/scaledown.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/brain/victims.h"
#include "autoscaler/reconcile/renewal.h"
#include "common/clk.h"
#include "common/log.h"

/* A driver that stops an instance shows it as stopping within this time after it was asked to. */
#define KEPT_AFTER (500 * CLK_MS)

/* After a `busy` no other drain of the whole revision begins for this time: the activator's next
 * report comes within a second. */
#define BUSY_PAUSE (900 * CLK_MS)

/* Ending instances wait so long for one that does not get ready, if start_timeout is 0. */
#define UNREADY_PATIENCE (60 * CLK_S)

static struct drain_request *
drain_at(struct list_node *node)
{
	return container_of(node, struct drain_request, node);
}

/* Can d be taken back: the driver was not asked to stop yet, and the instance may stay. */
static bool
is_revocable(const struct drain_request *d)
{
	return d->state != DRAIN_ISSUED && !d->is_final;
}

void
scaledown_init(struct scaledown *s, const char *id, const struct peers *peers,
	       scaledown_send_fn *send, void *arg)
{
	*s = (struct scaledown){.peers = peers, .send = send, .arg = arg};
	drain_table_init(&s->drains, id);
}

void
scaledown_fini(struct scaledown *s)
{
	drain_table_fini(&s->drains);
}

/* --- drains begin and end --- */

static void
send_drain(struct scaledown *s, struct drain_request *d, uint64_t peer)
{
	struct scaled_revision *rev = d->owner;
	struct msg m = {.type = MSG_DRAIN, .u.drain = {.token = d->token}};

	if (d->instance != NULL)
		m.u.drain.instance = d->instance;
	else
		m.u.drain.revision = rev->name;
	s->send(peer, &m, s->arg);
}

static struct drain_request *
begin(struct scaledown *s, struct scaled_revision *rev, const char *instance)
{
	struct drain_request *d = drain_new(&s->drains, rev, instance, clk_now());
	size_t i;

	list_push(&rev->drains, &d->node);
	for (i = 0; i < s->peers->n; i++)
		drain_ask(d, s->peers->v[i].serial);
	send_drain(s, d, 0);
	rev->is_changed = true;
	log_debug(NULL, "drain begun", "revision=%s instance=%s token=%s", scaled_name(rev),
		  instance == NULL ? "all" : instance, d->token);
	return d;
}

/* The driver was asked to stop the instance (NULL: all), or will keep it. */
static void
set_stop_sent(struct scaled_revision *rev, const char *instance, bool is_sent)
{
	size_t i;

	for (i = 0; i < rev->instances.n; i++)
		if (instance == NULL || strcmp(rev->instances.v[i].id, instance) == 0)
			rev->instances.v[i].is_stop_sent = is_sent;
}

/* The driver is about to be asked to stop what was drained. */
static void
issue(struct scaled_revision *rev, struct drain_request *d, enum ended_reason why)
{
	rev->counts.drains_done++;
	rev->counts.ended[why] += d->instance != NULL ? 1 : instances_live(&rev->instances);
	drain_issue(d, clk_now());
	set_stop_sent(rev, d->instance, true);
}

/* Tell the activators that the drain is over: they open the instances that are still there. */
static void
end(struct scaledown *s, struct scaled_revision *rev, struct drain_request *d)
{
	struct msg m = {.type = MSG_RESUME, .u.resume = {.token = d->token}};

	s->send(0, &m, s->arg);
	rev->is_changed = true;
	set_stop_sent(rev, d->instance, false);
	list_remove(&rev->drains, &d->node);
	drain_free(&s->drains, &d);
}

static void
take_back(struct scaledown *s, struct scaled_revision *rev, struct drain_request *d,
	  const char *why)
{
	rev->counts.drains_taken_back++;
	log_debug(NULL, "drain taken back", "revision=%s token=%s why=%s", scaled_name(rev),
		  d->token, why);
	end(s, rev, d);
}

static size_t
count_revocable(struct scaled_revision *rev)
{
	struct list_node *node, *tmp;
	size_t n = 0;

	LIST_FOREACH(&rev->drains, node, tmp)
		n += is_revocable(drain_at(node));
	return n;
}

/* The drain of the whole revision that can be taken back, or NULL. */
static struct drain_request *
revision_drain(struct scaled_revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->drains, node, tmp)
		if (drain_at(node)->instance == NULL && is_revocable(drain_at(node)))
			return drain_at(node);
	return NULL;
}

void
scaledown_cancel(struct scaledown *s, struct scaled_revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->drains, node, tmp)
		if (is_revocable(drain_at(node)))
			take_back(s, rev, drain_at(node), "wanted again");
}

void
scaledown_end_all(struct scaledown *s, struct scaled_revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->drains, node, tmp)
		end(s, rev, drain_at(node));
}

/* --- to zero --- */

static void
take_back_instances(struct scaledown *s, struct scaled_revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->drains, node, tmp)
		if (drain_at(node)->instance != NULL && is_revocable(drain_at(node)))
			take_back(s, rev, drain_at(node), "the whole revision is drained");
}

static void
to_zero(struct scaledown *s, struct scaled_revision *rev)
{
	struct drain_request *d = revision_drain(rev);

	if (instances_live(&rev->instances) == 0) { /* there is nothing to drain */
		scaledown_cancel(s, rev);
		scaled_send_scale(rev, 0, NULL, 0);
	} else if (d == NULL && clk_now() >= rev->no_zero_before_ns) {
		take_back_instances(s, rev);
		begin(s, rev, NULL);
	} else if (d != NULL && d->state == DRAIN_DRAINED) {
		issue(rev, d, ENDED_SCALE_DOWN);
		scaled_send_scale(rev, 0, NULL, 0);
	}
}

/* --- to fewer --- */

static struct drain_request *
drain_of(struct scaled_revision *rev, const char *instance)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->drains, node, tmp) {
		struct drain_request *d = drain_at(node);

		if (d->instance != NULL && strcmp(d->instance, instance) == 0)
			return d;
	}
	return NULL;
}

/* Begin to drain n more instances. */
static void
drain_more(struct scaledown *s, struct scaled_revision *rev, size_t n)
{
	struct victim *v = xcalloc(rev->instances.n + 1, sizeof *v);
	size_t i, found = 0;

	for (i = 0; i < rev->instances.n; i++) {
		const struct scaled_instance *at = &rev->instances.v[i];

		if (!instances_is_lasting(at) || at->ending != ENDING_NOT ||
		    drain_of(rev, at->id) != NULL)
			continue;
		v[found++] = (struct victim){
			.id = at->id,
			.in_flight = reports_at_instance(&rev->reports, at->id),
			.is_leased = instances_is_leased(at, &rev->reports, clk_now()),
			.is_ready = instances_is_ready(at),
			.is_due = at->is_due,
			.removal_order = at->removal_order,
			.seen_ns = at->seen_ns};
	}
	victims_sort(v, found);
	for (i = 0; i < MIN(n, found); i++)
		begin(s, rev, v[i].id);
	free(v);
}

/* Take back n drains of instances, the newest first: of those that began together, these were the
 * last choice (victims.h). */
static void
drain_fewer(struct scaledown *s, struct scaled_revision *rev, size_t n)
{
	struct list_node *node = rev->drains.head.prev, *before;

	for (; n > 0 && node != &rev->drains.head; node = before) {
		before = node->prev;
		if (!is_revocable(drain_at(node)))
			continue;
		take_back(s, rev, drain_at(node), "wanted again");
		n--;
	}
}

/* Ask the driver to stop the instances that are drained. */
static void
issue_drained(struct scaled_revision *rev)
{
	const char **ids = xcalloc(rev->drains.n + 1, sizeof *ids);
	struct list_node *node, *tmp;
	size_t n = 0;

	LIST_FOREACH(&rev->drains, node, tmp) {
		struct drain_request *d = drain_at(node);

		if (d->state != DRAIN_DRAINED || d->is_final)
			continue;
		issue(rev, d, ENDED_SCALE_DOWN);
		ids[n++] = d->instance;
	}
	if (n > 0)
		scaled_send_scale(rev, rev->scale_sent - MIN((uint32_t)n, rev->scale_sent), ids, n);
	free(ids);
}

/* Instances that the driver was asked for and has not begun to start need no drain: ask it for
 * fewer.  Returns how many instances have to be drained. */
static uint32_t
drop_unstarted(struct scaled_revision *rev, uint32_t excess)
{
	uint32_t live = instances_live(&rev->instances);
	uint32_t unstarted = rev->scale_sent > live ? rev->scale_sent - live : 0;
	uint32_t n = MIN(unstarted, excess);

	if (n > 0)
		scaled_send_scale(rev, rev->scale_sent - n, NULL, 0);
	return excess - n;
}

static void
to_fewer(struct scaledown *s, struct scaled_revision *rev, uint32_t n)
{
	struct drain_request *zero = revision_drain(rev);
	uint32_t staying; /* when all drains are done */
	uint32_t going = renewal_ending(&rev->instances, false);

	if (zero != NULL)
		take_back(s, rev, zero, "wanted again");
	issue_drained(rev);
	/* n has a place for each due instance that is ending, as far as the surge goes. */
	n -= MIN(MIN(renewal_ending(&rev->instances, true), rev->surge), n);
	going += (uint32_t)count_revocable(rev);
	staying = rev->scale_sent - MIN(going, rev->scale_sent);
	if (staying > n)
		drain_more(s, rev, drop_unstarted(rev, staying - n));
	else if (staying < n)
		drain_fewer(s, rev, n - staying);
}

void
scaledown_to(struct scaledown *s, struct scaled_revision *rev, uint32_t n)
{
	CHECK(n <= rev->scale_sent);
	if (n == 0)
		to_zero(s, rev);
	else
		to_fewer(s, rev, n);
}

/* --- what is replaced --- */

/* Each instance that is retired or ending has a drain, which is never taken back.  That holds also
 * for an instance that was being drained before. */
static void
drain_replaced(struct scaledown *s, struct scaled_revision *rev)
{
	size_t i;

	for (i = 0; i < rev->instances.n; i++) {
		const struct scaled_instance *at = &rev->instances.v[i];
		struct drain_request *d;

		if ((!at->is_retired && at->ending == ENDING_NOT) || at->state == INSTANCE_STOPPING)
			continue;
		d = drain_of(rev, at->id);
		if (d == NULL)
			d = begin(s, rev, at->id);
		d->is_final |= d->state != DRAIN_ISSUED;
	}
}

/* Have all activators drained it, and was the driver not asked to stop it yet? */
static bool
is_drained(struct scaled_revision *rev, const struct scaled_instance *at)
{
	const struct drain_request *d = drain_of(rev, at->id);

	return d != NULL && d->state == DRAIN_DRAINED;
}

/* Instances that the driver was asked for and that are not there. */
static uint32_t
count_unstarted(const struct scaled_revision *rev)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < rev->instances.n; i++)
		n += instances_is_lasting(&rev->instances.v[i]);
	return rev->scale_sent - MIN(n, rev->scale_sent);
}

/* Where the platform stores the scale, it chooses which instances a lower one stops.  If there are
 * fewer than it says, it stops none; and whatever they cost, those that are not ready go before all
 * others. */
static bool
can_end(struct scaled_revision *rev)
{
	size_t i;

	for (i = 0; rev->has_scale && i < rev->instances.n; i++) {
		const struct scaled_instance *at = &rev->instances.v[i];

		if (!instances_is_lasting(at))
			continue;
		if (at->ending == ENDING_NOT && at->state != INSTANCE_READY)
			return false;
		if (at->ending == ENDING_UNREADY && !at->is_stop_sent && !is_drained(rev, at))
			return false; /* it ends together with those that waited for it */
	}
	return !rev->has_scale || rev->is_short_end || count_unstarted(rev) == 0;
}

/* Have ending instances that are drained waited long enough?  They have if the others do not get
 * ready within start_timeout; or at once, if none is ready and the driver says why none starts: an
 * ending one may hold the room that the others need. */
static bool
has_waited(struct scaled_revision *rev, int64_t now_ns)
{
	int64_t most = rev->conf->launch.start_timeout;
	bool is_any = false;
	size_t i;

	for (i = 0; i < rev->instances.n && !is_any; i++) {
		const struct scaled_instance *at = &rev->instances.v[i];

		is_any = at->ending != ENDING_NOT && at->ending != ENDING_UNREADY &&
			 !at->is_retired && is_drained(rev, at);
	}
	if (!is_any)
		rev->held_back_ns = 0;
	else if (rev->held_back_ns == 0)
		rev->held_back_ns = now_ns;
	return is_any && ((rev->failure != NULL && instances_usable(&rev->instances, true) == 0) ||
			  now_ns - rev->held_back_ns >= (most == 0 ? UNREADY_PATIENCE : most));
}

/* What is not ready ends too, and others start in its place later: so the platform, which takes it
 * first, also takes those that have waited. */
static void
end_unready(struct scaled_revision *rev)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < rev->instances.n; i++) {
		struct scaled_instance *at = &rev->instances.v[i];

		if (!instances_is_lasting(at) || at->ending != ENDING_NOT ||
		    at->state == INSTANCE_READY)
			continue;
		at->ending = ENDING_UNREADY;
		n++;
	}
	rev->is_short_end = count_unstarted(rev) > 0;
	rev->held_back_ns = 0;
	if (n > 0 || rev->is_short_end)
		log_warn(NULL, "instances do not get ready, replacing them with those that end",
			 "revision=%s unready=%u not_there=%u", scaled_name(rev), n,
			 count_unstarted(rev));
}

static enum ended_reason
reason_of(enum instance_ending ending)
{
	switch (ending) {
	case ENDING_REQUESTS:
		return ENDED_MAX_REQUESTS;
	case ENDING_LIFETIME:
		return ENDED_MAX_LIFETIME;
	default:
		return ENDED_REPLACED;
	}
}

/* The retired (is_retired) or ending instances that are drained: their ids go into v.  *older_n:
 * those before them in v, which the driver was asked to stop earlier and has not stopped. */
static size_t
issue_replaced(struct scaled_revision *rev, bool is_retired, const char **v, size_t *older_n)
{
	struct list_node *node, *tmp;
	size_t n = 0, i;

	*older_n = 0;
	for (i = 0; i < rev->instances.n && !is_retired; i++) {
		const struct scaled_instance *at = &rev->instances.v[i];

		if (at->ending != ENDING_NOT && at->is_stop_sent && at->state != INSTANCE_STOPPING)
			v[(*older_n)++] = at->id;
	}
	LIST_FOREACH(&rev->drains, node, tmp) {
		struct drain_request *d = drain_at(node);
		const struct scaled_instance *at;

		if (!d->is_final || d->state != DRAIN_DRAINED)
			continue;
		at = instances_find(&rev->instances, d->instance);
		if ((at == NULL || at->is_retired || at->ending == ENDING_NOT) != is_retired)
			continue;
		issue(rev, d, is_retired ? ENDED_REPLACED : reason_of(at->ending));
		v[*older_n + n++] = d->instance;
	}
	return n;
}

void
scaledown_replace(struct scaledown *s, struct scaled_revision *rev)
{
	const char **ids;
	size_t n, older;

	drain_replaced(s, rev);
	if (!can_end(rev) && has_waited(rev, clk_now())) {
		end_unready(rev);
		drain_replaced(s, rev);
	}
	ids = xcalloc(rev->drains.n + rev->instances.n + 1, sizeof *ids);
	n = issue_replaced(rev, true, ids, &older);
	if (n > 0)
		rev->driver->class->set_scale(rev->driver, scaled_name(rev), rev->scale_sent, ids,
					      n);
	n = can_end(rev) ? issue_replaced(rev, false, ids, &older) : 0;
	if (n > 0) {
		rev->ended_unstarted = rev->is_short_end ? count_unstarted(rev) : 0;
		rev->held_back_ns = 0;
		rev->is_short_end = false;
		scaled_end(rev, ids, older + n, (uint32_t)n + rev->ended_unstarted);
	}
	free(ids);
}

/* --- activators --- */

struct scaled_revision *
scaledown_answer(struct scaledown *s, uint64_t peer, const char *token, bool is_busy)
{
	struct drain_request *d = drain_find(&s->drains, token);
	struct scaled_revision *rev;

	if (d == NULL || !drain_is_asked(d, peer)) {
		log_debug(NULL, "answer to a drain that is over, ignored", "token=%s", token);
		return NULL;
	}
	rev = d->owner;
	if (!is_busy)
		return drain_answer(d, peer) ? rev : NULL;
	if (d->instance != NULL || !is_revocable(d))
		return NULL;
	take_back(s, rev, d, "an activator is busy");
	rev->no_zero_before_ns = clk_now() + BUSY_PAUSE;
	return rev;
}

void
scaledown_peer_up(struct scaledown *s, struct scaled_revision *rev, uint64_t peer)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->drains, node, tmp) {
		drain_ask(drain_at(node), peer);
		send_drain(s, drain_at(node), peer);
	}
}

void
scaledown_peer_down(struct scaled_revision *rev, uint64_t peer)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->drains, node, tmp)
		drain_forget(drain_at(node), peer);
}

/* --- time --- */

static void
check_time(struct scaledown *s, struct scaled_revision *rev, struct drain_request *d, int64_t now)
{
	if (d->state != DRAIN_ASKED || now - d->begun_ns < rev->conf->launch.drain_timeout)
		return;
	if (d->instance != NULL) {
		log_warn(NULL, "instance not drained within drain_timeout, stopping it",
			 "revision=%s instance=%s", scaled_name(rev), d->instance);
		drain_give_up(d);
	} else {
		log_warn(NULL, "drain not answered within drain_timeout, taken back",
			 "revision=%s activators=%zu", scaled_name(rev), drain_owing(d));
		take_back(s, rev, d, "no answer");
	}
}

/* Is an instance that d closed still there, and not stopping? */
static bool
has_live(const struct scaled_revision *rev, const struct drain_request *d)
{
	size_t i;

	for (i = 0; i < rev->instances.n; i++) {
		const struct scaled_instance *at = &rev->instances.v[i];

		if (at->state == INSTANCE_STOPPING || at->seen_ns > d->issued_ns)
			continue;
		if (d->instance == NULL || strcmp(d->instance, at->id) == 0)
			return true;
	}
	return false;
}

/* Is an instance that d closed still there? */
static bool
is_there(const struct scaled_revision *rev, const struct drain_request *d)
{
	size_t i;

	for (i = 0; i < rev->instances.n; i++)
		if (rev->instances.v[i].seen_ns <= d->issued_ns &&
		    (d->instance == NULL || strcmp(d->instance, rev->instances.v[i].id) == 0))
			return true;
	return false;
}

/* Has the driver kept an instance that it was asked to stop?  It does if it was asked for more
 * before it had stopped the instance. */
static bool
is_kept(const struct scaled_revision *rev, const struct drain_request *d, int64_t now)
{
	return now - d->issued_ns >= KEPT_AFTER &&
	       instances_live(&rev->instances) <= rev->scale_sent && has_live(rev, d);
}

static void
check_issued(struct scaledown *s, struct scaled_revision *rev, struct drain_request *d, int64_t now)
{
	if (d->state != DRAIN_ISSUED)
		return;
	if (!is_there(rev, d)) {
		end(s, rev, d);
	} else if (is_kept(rev, d, now)) {
		log_info(NULL, "instance was not stopped, used again", "revision=%s instance=%s",
			 scaled_name(rev), d->instance == NULL ? "all" : d->instance);
		end(s, rev, d);
	}
}

void
scaledown_tick(struct scaledown *s, struct scaled_revision *rev)
{
	int64_t now = clk_now();
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->drains, node, tmp)
		check_time(s, rev, drain_at(node), now);
	LIST_FOREACH(&rev->drains, node, tmp)
		check_issued(s, rev, drain_at(node), now);
}

/* An instance that ends by itself needs no drain any more. */
static void
check_gone(struct scaledown *s, struct scaled_revision *rev, struct drain_request *d)
{
	const struct scaled_instance *at;

	if (d->instance == NULL || d->state == DRAIN_ISSUED)
		return;
	at = instances_find(&rev->instances, d->instance);
	if (at == NULL || at->state == INSTANCE_STOPPING)
		end(s, rev, d);
}

void
scaledown_view(struct scaledown *s, struct scaled_revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->drains, node, tmp)
		check_gone(s, rev, drain_at(node));
	LIST_FOREACH(&rev->drains, node, tmp) {
		struct drain_request *d = drain_at(node);

		if (d->state == DRAIN_ISSUED && !is_there(rev, d))
			end(s, rev, d);
	}
}
