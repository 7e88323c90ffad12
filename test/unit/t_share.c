/* The share protocol, step by step: which messages a situation takes, and what they say.
 * t_share_model.c runs the same two state machines through all that may happen.  Promise 3. */
#include "test/unit/unit.h"

#include "activator/share.h"
#include "autoscaler/shares/shares.h"

#define INSTANCES 4
#define QUANTUM 100
#define ABORT_TIMEOUT 1000

static const char *const ids[INSTANCES] = {"i0", "i1", "i2", "i3"};

struct peer { /* an activator */
	const char *id;
	struct share *share;
	uint32_t slots[INSTANCES], requests[INSTANCES], conns[INSTANCES];
	bool is_aside[INSTANCES];
	int offers, reports, wants; /* messages so far */
};

struct scene {
	struct shares *leader;
	int64_t now_ns;
	struct peer a, b;
};

static int
index_of(const char *id)
{
	return id[1] - '0';
}

static void
on_set_share(const char *id, uint32_t slots, void *arg)
{
	((struct peer *)arg)->slots[index_of(id)] = slots;
}

static struct share_use
on_use(const char *id, void *arg)
{
	const struct peer *p = arg;
	int i = index_of(id);

	return (struct share_use){.requests = p->requests[i],
				  .conns = MAX(p->conns[i], p->requests[i]),
				  .is_usable = !p->is_aside[i]};
}

static const struct share_ops ops = {.set_share = on_set_share, .use = on_use};

/* Pass on what p has to say.  False: nothing. */
static bool
speak(struct scene *t, struct peer *p)
{
	struct share_report r;
	struct share_want w;
	bool has_spoken = false;

	while (share_next_report(p->share, &r)) {
		p->reports++;
		has_spoken = true;
		shares_report(t->leader, p->id, &r, t->now_ns);
	}
	while (share_next_want(p->share, &w, t->now_ns)) {
		p->wants++;
		has_spoken = true;
		shares_want(t->leader, p->id, &w, t->now_ns);
	}
	return has_spoken;
}

/* The leader's next offer reaches its activator.  Returns it; NULL: there is none. */
static struct peer *
lead(struct scene *t)
{
	struct share_offer o;
	const char *id;
	struct peer *p;

	if (!shares_next_offer(t->leader, &id, &o, t->now_ns))
		return NULL;
	p = strcmp(id, t->a.id) == 0 ? &t->a : &t->b;
	p->offers++;
	assert_true(share_obey(p->share, &o));
	return p;
}

/* Pass on messages until there are none. */
static void
settle(struct scene *t)
{
	int i;

	for (i = 0; i < 100; i++) {
		bool has_moved = lead(t) != NULL;

		has_moved |= t->a.share != NULL && speak(t, &t->a);
		has_moved |= t->b.share != NULL && speak(t, &t->b);
		if (!has_moved)
			return;
	}
	fail_msg("messages never end");
}

static void
start_leader(struct scene *t, uint64_t term, const char *const *known, size_t n)
{
	struct shares_conf conf = {
		.term = term, .quantum_ns = QUANTUM, .abort_timeout_ns = ABORT_TIMEOUT};

	if (t->leader != NULL)
		shares_free(&t->leader);
	t->leader = shares_new(&conf, known, n);
}

static void
set_instances(struct scene *t, uint32_t limit, size_t n)
{
	shares_set(t->leader, limit, ids, n);
}

static void
start(struct peer *p, const char *id)
{
	*p = (struct peer){.id = id};
	p->share = share_new(&ops, p);
}

static void
connect_(struct scene *t, struct peer *p, uint64_t term)
{
	shares_up(t->leader, p->id, true);
	share_connected(p->share, term);
}

static void
end(struct peer *p, int i)
{
	p->requests[i]--;
	share_freed(p->share, ids[i]);
}

/* A leader of term 1, and activator a, which is alone and so has all slots of n instances. */
static void
open_scene(struct scene *t, uint32_t limit, size_t n)
{
	*t = (struct scene){.now_ns = 1};
	start_leader(t, 1, NULL, 0);
	set_instances(t, limit, n);
	start(&t->a, "a");
	start(&t->b, "b");
	connect_(t, &t->a, 1);
	settle(t);
}

static void
close_scene(struct scene *t)
{
	if (t->a.share != NULL)
		share_free(&t->a.share);
	if (t->b.share != NULL)
		share_free(&t->b.share);
	shares_free(&t->leader);
}

/* One activator alone pays one report and one offer for its link, one offer for each change of
 * the list, and nothing while requests come and go. */
static void
alone_pays_nothing(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 2, 1);
	assert_int_equal(t.a.reports, 1);
	assert_int_equal(t.a.offers, 1);
	assert_int_equal(t.a.slots[0], 2);
	assert_false(share_is_watching(t.a.share));

	set_instances(&t, 2, 3);
	settle(&t);
	assert_int_equal(t.a.offers, 2);
	assert_int_equal(t.a.slots[2], 2);
	t.a.requests[0] = t.a.requests[1] = t.a.requests[2] = 2;
	share_set_parked(t.a.share, 5, t.now_ns);
	settle(&t);
	assert_int_equal(t.a.reports, 1);
	assert_int_equal(t.a.wants, 0);
	assert_int_equal(t.a.offers, 2);
	assert_int_equal(shares_next_ns(t.leader, t.now_ns), INT64_MAX);
	close_scene(&t);
}

/* want → offer to the one that has an idle slot → its report → offer: two round trips. */
static void
idle_slot_moves_in_two_round_trips(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 2, 1);
	t.a.requests[0] = 1;
	connect_(&t, &t.b, 1);
	settle(&t);
	assert_int_equal(t.b.slots[0], 0);

	share_set_parked(t.b.share, 1, t.now_ns);
	assert_true(speak(&t, &t.b));
	assert_ptr_equal(lead(&t), &t.a);
	assert_int_equal(t.a.slots[0], 1);
	assert_null(lead(&t));
	assert_true(speak(&t, &t.a));
	assert_ptr_equal(lead(&t), &t.b);
	assert_int_equal(t.b.slots[0], 1);
	close_scene(&t);
}

static void
whole_instance_moves_first(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 3, 3);
	t.a.requests[0] = t.a.requests[1] = 1;
	connect_(&t, &t.b, 1);
	share_set_parked(t.b.share, 2, t.now_ns);
	settle(&t);
	assert_int_equal(t.b.slots[2], 3);
	assert_int_equal(t.a.slots[0], 3);
	assert_int_equal(t.a.slots[1], 3);
	assert_int_equal(t.a.slots[2], 0);
	close_scene(&t);
}

/* With one slot, activators that both have parked requests get it in turn. */
static void
contended_slot_stays_for_a_quantum(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 1, 1);
	t.a.requests[0] = 1;
	share_set_parked(t.a.share, 9, t.now_ns);
	connect_(&t, &t.b, 1);
	share_set_parked(t.b.share, 9, t.now_ns);
	settle(&t);
	t.now_ns += QUANTUM - 2;
	settle(&t);
	end(&t.a, 0);
	settle(&t);
	assert_int_equal(t.a.slots[0], 1); /* not yet */
	t.a.requests[0] = 1;
	t.now_ns = shares_next_ns(t.leader, t.now_ns);
	settle(&t);
	assert_int_equal(t.a.slots[0], 1); /* busy */
	assert_true(share_is_watching(t.a.share));
	end(&t.a, 0);
	assert_int_equal(t.a.slots[0], 0);
	settle(&t);
	assert_int_equal(t.b.slots[0], 1);
	close_scene(&t);
}

/* Under contention shares go to an even split. */
static void
contention_splits_evenly(void **state)
{
	struct scene t;
	int i;

	(void)state;
	open_scene(&t, 8, 1);
	t.a.requests[0] = 8;
	share_set_parked(t.a.share, 20, t.now_ns);
	connect_(&t, &t.b, 1);
	share_set_parked(t.b.share, 20, t.now_ns);
	settle(&t);
	t.now_ns += QUANTUM;
	settle(&t);
	for (i = 0; i < 8; i++) {
		end(&t.a, 0);
		if (t.a.requests[0] < t.a.slots[0])
			t.a.requests[0]++;
		settle(&t);
	}
	assert_int_equal(t.a.slots[0], 4);
	assert_int_equal(t.b.slots[0], 4);
	close_scene(&t);
}

/* What an activator holds by a tunnel does not keep it from getting slots that move. */
static void
tunnel_is_no_capacity(void **state)
{
	struct scene t;
	int i, served_n = 0;

	(void)state;
	open_scene(&t, 1, 2);
	t.a.requests[0] = 1; /* and stays */
	connect_(&t, &t.b, 1);
	share_set_parked(t.b.share, 5, t.now_ns);
	settle(&t);
	assert_int_equal(t.b.slots[1], 1);
	share_set_parked(t.a.share, 5, t.now_ns);
	for (i = 0; i < 40; i++) {
		t.a.requests[1] = t.a.slots[1];
		t.b.requests[1] = t.b.slots[1];
		settle(&t);
		t.now_ns += QUANTUM;
		settle(&t);
		served_n += t.a.requests[1] == 1;
		if (t.a.requests[1] == 1)
			end(&t.a, 1);
		if (t.b.requests[1] == 1)
			end(&t.b, 1);
		settle(&t);
	}
	assert_true(served_n >= 5 && served_n <= 35);
	close_scene(&t);
}

/* What is in use above a lowered share is held until it falls: connections, too. */
static void
use_above_a_share_is_held(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 3, 1);
	t.a.requests[0] = 1;
	t.a.conns[0] = 3;
	set_instances(&t, 1, 1);
	settle(&t);
	assert_int_equal(t.a.slots[0], 1);
	assert_int_equal(shares_bound(t.leader, "i0"), 3);
	t.a.conns[0] = 2;
	share_freed(t.a.share, "i0");
	settle(&t);
	assert_int_equal(shares_bound(t.leader, "i0"), 2);

	connect_(&t, &t.b, 1);
	share_set_parked(t.b.share, 1, t.now_ns);
	t.a.requests[0] = 0;
	settle(&t);
	assert_int_equal(t.a.slots[0], 0);
	assert_int_equal(t.b.slots[0], 0); /* two idle connections are still open */
	t.a.conns[0] = 0;
	share_freed(t.a.share, "i0");
	settle(&t);
	assert_int_equal(t.b.slots[0], 1);
	close_scene(&t);
}

/* An instance that left the list is accounted for when it returns. */
static void
instance_that_returns_is_accounted(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 2, 1);
	t.a.requests[0] = 2;
	set_instances(&t, 2, 0);
	settle(&t);
	assert_int_equal(t.a.slots[0], 0);
	assert_int_equal(shares_bound(t.leader, "i0"), 2);
	connect_(&t, &t.b, 1);
	share_set_parked(t.b.share, 2, t.now_ns);
	set_instances(&t, 2, 1);
	settle(&t);
	assert_int_equal(t.b.slots[0], 0);
	end(&t.a, 0);
	settle(&t);
	assert_int_equal(t.b.slots[0], 1);
	end(&t.a, 0);
	settle(&t);
	assert_int_equal(t.b.slots[0], 2);
	close_scene(&t);
}

static void
dead_activator_is_waited_for(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 2, 1);
	t.a.requests[0] = 2;
	connect_(&t, &t.b, 1);
	share_set_parked(t.b.share, 1, t.now_ns);
	settle(&t);
	share_free(&t.a.share);
	shares_down(t.leader, "a");
	t.now_ns += 100 * ABORT_TIMEOUT; /* silence is not death */
	settle(&t);
	shares_dead(t.leader, "a", t.now_ns);
	assert_int_equal(shares_next_ns(t.leader, t.now_ns), t.now_ns + ABORT_TIMEOUT);
	t.now_ns += ABORT_TIMEOUT - 1;
	settle(&t);
	assert_int_equal(t.b.slots[0], 0);
	assert_true(shares_knows(t.leader, "a"));
	t.now_ns++;
	settle(&t);
	assert_int_equal(t.b.slots[0], 2);
	assert_false(shares_knows(t.leader, "a"));
	close_scene(&t);
}

/* An activator that was taken for dead comes back: what it holds counts again. */
static void
dead_activator_comes_back(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 3, 1);
	t.a.requests[0] = 1;
	connect_(&t, &t.b, 1);
	settle(&t);
	shares_down(t.leader, "a");
	shares_dead(t.leader, "a", t.now_ns);
	share_disconnected(t.a.share);
	shares_up(t.leader, "a", true); /* and it has not reported yet */
	t.now_ns += 2 * ABORT_TIMEOUT;
	share_set_parked(t.b.share, 1, t.now_ns);
	assert_true(speak(&t, &t.b));
	assert_null(lead(&t));
	assert_int_equal(t.b.slots[0], 0);
	share_connected(t.a.share, 1);
	settle(&t);
	assert_int_equal(t.b.slots[0], 1);
	assert_int_equal(t.a.slots[0], 2);
	close_scene(&t);
}

/* An activator that is leaving gives up what is idle, gets no more than it wants, and leaves
 * nothing behind. */
static void
leaving_activator_leaves_nothing(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 2, 2);
	t.a.requests[0] = 1;
	shares_leaving(t.leader, "a");
	settle(&t);
	assert_int_equal(t.a.slots[0] + t.a.slots[1], 1);
	share_set_parked(t.a.share, 1, t.now_ns); /* it is alone, and yet has to want */
	settle(&t);
	assert_int_equal(t.a.slots[0] + t.a.slots[1], 2);
	share_set_parked(t.a.share, 0, t.now_ns);
	end(&t.a, 0);
	share_release(t.a.share);
	settle(&t);
	assert_int_equal(t.a.slots[0] + t.a.slots[1], 0);
	shares_dead(t.leader, "a", t.now_ns);
	connect_(&t, &t.b, 1);
	settle(&t);
	assert_int_equal(t.b.slots[0] + t.b.slots[1], 4);
	close_scene(&t);
}

/* After a restart of the leader nothing is given out beyond what was reported, until each
 * activator on record was heard.  What each has stays. */
static void
new_leader_waits_for_the_known(void **state)
{
	static const char *const known[] = {"a", "b"};
	struct scene t;

	(void)state;
	open_scene(&t, 4, 1);
	connect_(&t, &t.b, 1);
	t.a.requests[0] = 1;
	share_set_parked(t.b.share, 1, t.now_ns);
	settle(&t);
	assert_int_equal(t.a.slots[0], 3);
	assert_int_equal(t.b.slots[0], 1);

	start_leader(&t, 2, known, 2);
	set_instances(&t, 4, 2);
	connect_(&t, &t.b, 2);
	share_set_parked(t.b.share, 5, t.now_ns);
	settle(&t);
	assert_int_equal(t.b.slots[0], 1);
	assert_int_equal(t.b.slots[1], 0);
	assert_int_equal(shares_bound(t.leader, "i0"), SHARE_ALL);
	connect_(&t, &t.a, 2);
	settle(&t);
	assert_int_equal(t.b.slots[1], 4);
	assert_int_equal(t.a.slots[0] + t.b.slots[0], 4);
	close_scene(&t);
}

/* An offer that is late, or of an earlier leader, changes nothing. */
static void
old_offers_are_ignored(void **state)
{
	struct share_item item = {.id = "i0", .slots = 7};
	struct share_offer o = {.term = 1, .epoch = 2, .limit = 9, .v = &item, .n = 1};
	struct peer p;

	(void)state;
	start(&p, "a");
	share_connected(p.share, 1);
	assert_true(share_obey(p.share, &o));
	assert_false(share_obey(p.share, &o));
	o.epoch = 1;
	item.slots = 8;
	assert_false(share_obey(p.share, &o));
	share_connected(p.share, 2);
	o.epoch = 100;
	assert_false(share_obey(p.share, &o));
	assert_int_equal(share_of(p.share, "i0"), 7);
	o.term = 2;
	o.epoch = 1;
	assert_true(share_obey(p.share, &o));
	assert_int_equal(share_of(p.share, "i0"), 8);
	share_free(&p.share);
}

static void
deposed_leader_is_silent(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 2, 1);
	share_connected(t.a.share, 2);
	assert_true(speak(&t, &t.a));
	assert_true(shares_higher_term(t.leader) > 0);
	set_instances(&t, 2, 2);
	assert_null(lead(&t));
	close_scene(&t);
}

/* An activator that is older than the feature counts as holding all of everything. */
static void
older_activator_holds_all(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 2, 1);
	shares_up(t.leader, "old", false);
	assert_false(shares_may_use_all(t.leader, "old"));
	t.a.requests[0] = 0;
	shares_dead(t.leader, "a", t.now_ns);
	t.now_ns += ABORT_TIMEOUT;
	settle(&t);
	assert_true(shares_may_use_all(t.leader, "old"));
	connect_(&t, &t.b, 1);
	share_set_parked(t.b.share, 1, t.now_ns);
	settle(&t);
	assert_int_equal(t.b.slots[0], 0);
	shares_dead(t.leader, "old", t.now_ns);
	t.now_ns += ABORT_TIMEOUT;
	settle(&t);
	assert_int_equal(t.b.slots[0], 2);
	close_scene(&t);
}

/* An autoscaler that is older than the feature: everything may be used. */
static void
older_autoscaler_shares_nothing(void **state)
{
	struct share_report r;
	struct peer p;

	(void)state;
	start(&p, "a");
	share_unshared(p.share, 3, ids, 2);
	assert_int_equal(p.slots[1], 3);
	share_unshared(p.share, 3, ids, 1);
	assert_int_equal(p.slots[1], 0);
	share_connected(p.share, 1);
	assert_true(share_next_report(p.share, &r));
	assert_int_equal(r.n, 1);
	assert_int_equal(r.v[0].slots, 3);
	share_free(&p.share);
}

/* Without a limit nothing is said about shares.  When one is set, what is in use is counted. */
static void
limit_appears(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, SHARE_ALL, 1);
	connect_(&t, &t.b, 1);
	settle(&t);
	assert_int_equal(t.a.slots[0], SHARE_ALL);
	assert_int_equal(t.b.slots[0], SHARE_ALL);
	assert_int_equal(t.a.reports + t.b.reports, 2);
	t.a.requests[0] = 5;
	set_instances(&t, 4, 1);
	settle(&t);
	assert_int_equal(t.a.slots[0], 2);
	assert_int_equal(t.b.slots[0], 2);
	assert_int_equal(shares_bound(t.leader, "i0"), 7);
	close_scene(&t);
}

/* max_requests is set while two share an instance: one of them gets all requests, the other gives
 * its slots up. */
static void
uses_appear(void **state)
{
	const struct shares_instance v = {.id = ids[0], .is_listed = true, .uses = 0};
	struct scene t;

	(void)state;
	open_scene(&t, 4, 1);
	connect_(&t, &t.b, 1);
	share_set_parked(t.b.share, 3, t.now_ns);
	settle(&t);
	assert_true(t.a.slots[0] > 0 && t.b.slots[0] > 0);
	share_set_max_requests(t.a.share, 10);
	share_set_max_requests(t.b.share, 10);
	shares_set_instances(t.leader, 4, 10, &v, 1);
	settle(&t);
	assert_true((t.a.slots[0] > 0) != (t.b.slots[0] > 0));
	assert_int_equal(share_uses(t.a.slots[0] > 0 ? t.a.share : t.b.share, ids[0]), 10);
	assert_false(shares_is_spent(t.leader, ids[0]));
	close_scene(&t);
}

/* Slots that an activator cannot use, because its connections are refused, do not go to and fro. */
static void
unusable_slots_go_to_others(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 2, 1);
	t.a.is_aside[0] = true;
	share_set_parked(t.a.share, 3, t.now_ns);
	connect_(&t, &t.b, 1);
	share_set_parked(t.b.share, 2, t.now_ns);
	settle(&t);
	assert_int_equal(t.b.slots[0], 2);
	t.b.is_aside[0] = true;
	settle(&t);
	close_scene(&t);
}

/* Slots of an instance that is starting serve the requests that are parked for it.  When their
 * clients leave, others get the slots. */
static void
slots_of_starting_instance_are_kept(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 2, 1);
	share_set_parked(t.a.share, 2, t.now_ns);
	connect_(&t, &t.b, 1);
	settle(&t);
	assert_int_equal(t.a.wants, 0); /* they have their slots */
	share_set_parked(t.b.share, 2, t.now_ns);
	settle(&t);
	assert_int_equal(t.a.slots[0], 2);
	share_set_parked(t.a.share, 1, t.now_ns);
	settle(&t);
	assert_int_equal(t.b.slots[0], 1);
	share_set_parked(t.a.share, 0, t.now_ns);
	settle(&t);
	assert_int_equal(t.b.slots[0], 2);
	close_scene(&t);
}

static void
lose_offer(struct scene *t)
{
	struct share_offer lost;
	const char *id;

	assert_true(shares_next_offer(t->leader, &id, &lost, t->now_ns));
}

/* While there is no limit, the leader forgets an instance that leaves.  If the offer that says so
 * is lost, the activator keeps its share there, which the leader finds again. */
static void
share_from_before_a_limit_is_found(void **state)
{
	struct scene t;

	(void)state;
	open_scene(&t, 2, 2);
	set_instances(&t, SHARE_ALL, 1);
	lose_offer(&t);
	set_instances(&t, 2, 1);
	lose_offer(&t);
	set_instances(&t, 2, 2);
	lose_offer(&t);
	shares_down(t.leader, "a");
	connect_(&t, &t.a, 1);
	connect_(&t, &t.b, 1);
	share_set_parked(t.b.share, 4, t.now_ns);
	settle(&t);
	assert_int_equal(t.b.slots[0] + t.b.slots[1], 4);
	close_scene(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone_pays_nothing),
		cmocka_unit_test(idle_slot_moves_in_two_round_trips),
		cmocka_unit_test(whole_instance_moves_first),
		cmocka_unit_test(contended_slot_stays_for_a_quantum),
		cmocka_unit_test(contention_splits_evenly),
		cmocka_unit_test(tunnel_is_no_capacity),
		cmocka_unit_test(use_above_a_share_is_held),
		cmocka_unit_test(instance_that_returns_is_accounted),
		cmocka_unit_test(dead_activator_is_waited_for),
		cmocka_unit_test(dead_activator_comes_back),
		cmocka_unit_test(leaving_activator_leaves_nothing),
		cmocka_unit_test(new_leader_waits_for_the_known),
		cmocka_unit_test(old_offers_are_ignored),
		cmocka_unit_test(deposed_leader_is_silent),
		cmocka_unit_test(older_activator_holds_all),
		cmocka_unit_test(older_autoscaler_shares_nothing),
		cmocka_unit_test(limit_appears),
		cmocka_unit_test(uses_appear),
		cmocka_unit_test(unusable_slots_go_to_others),
		cmocka_unit_test(slots_of_starting_instance_are_kept),
		cmocka_unit_test(share_from_before_a_limit_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
