/* sharing: which messages carry the slots of a revision with container_concurrency to activators,
 * and which activators get them.  t_share.c and t_share_model.c have the protocol itself. */
#include "test/unit/reconcile_world.h"

#include "autoscaler/reconcile/reconcile.h"
#include "autoscaler/shares/shares.h"

#include "common/clk.h"

static int
setup(void **state)
{
	world_setup(state);
	world.conf.limits.container_concurrency = 2;
	world.conf.limits.abort_timeout = 2 * CLK_S;
	set_services(1, 0);
	world.has_shares = true;
	world.n = 0;
	world.v[world.n++] = (struct fake_instance){.number = 1, .state = INSTANCE_READY};
	world.v[world.n++] = (struct fake_instance){.number = 2, .state = INSTANCE_STARTING};
	world.scale = 2;
	show_instances(NULL);
	reconcile_tail(world.r);
	forget_sent();
	return 0;
}

/* What the activator holds, in all. */
static void
holds(uint64_t peer, unsigned epoch, const char *instances)
{
	char line[400];

	snprintf(line, sizeof line,
		 "{\"type\":\"shares_held\",\"revision\":\"a/v1\",\"generation\":0,\"term\":1,"
		 "\"epoch\":%u,\"complete\":true,\"instances\":[%s]}",
		 epoch, instances);
	send_line(peer, line);
	reconcile_tail(world.r);
}

static void
wants(uint64_t peer, unsigned epoch, unsigned slots)
{
	char line[200];

	snprintf(line, sizeof line,
		 "{\"type\":\"want\",\"revision\":\"a/v1\",\"term\":1,\"epoch\":%u,\"slots\":%u,"
		 "\"oldest_ms\":5}",
		 epoch, slots);
	send_line(peer, line);
	reconcile_tail(world.r);
}

static unsigned
sent_to(uint64_t peer, const char *text)
{
	const char *line = strbuf_str(&world.out), *end;
	unsigned n = 0;

	for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		const char *at = strstr(line, text);

		n += line[0] == (char)('0' + peer) && at != NULL && at < end;
	}
	return n;
}

static void
connect_alone(uint64_t peer)
{
	connect_peer(peer);
	reconcile_tail(world.r);
	holds(peer, 0, "");
}

/* All slots come with the list of instances, after the first report, and with each new list. */
static void
one_alone_has_all_with_the_list(void **state)
{
	(void)state;
	connect_peer(1);
	reconcile_tail(world.r);
	assert_false(was_sent("\"instances\""));
	holds(1, 0, "");
	assert_int_equal(sent_to(1, "\"slots\":2"), 1);
	assert_true(was_sent("\"shares\":{\"term\":1,\"epoch\":1,\"limit\":2}"));
	assert_true(was_sent("\"id\":\"i1\",\"address\":\"127.0.0.1\",\"port\":20001,"
			     "\"state\":\"ready\",\"slots\":2},{\"id\":\"i2\""));
	forget_sent();
	world.v[world.n++] = (struct fake_instance){.number = 3, .state = INSTANCE_STARTING};
	world.scale = 3;
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_int_equal(sent_to(1, "\"instances\""), 1);
	assert_true(was_sent("\"id\":\"i3\",\"address\":\"127.0.0.1\",\"port\":20003,"
			     "\"state\":\"starting\",\"slots\":2}]"));
	assert_true(was_sent("\"state\":\"ready\"},")); /* its share stays */
}

/* What is being stopped is not offered. */
static void
stopping_instances_are_no_part_of_an_offer(void **state)
{
	(void)state;
	connect_alone(1);
	forget_sent();
	world.v[1].state = INSTANCE_STOPPING;
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_true(was_sent("\"port\":20002,\"state\":\"stopping\"}]"));
	assert_true(was_sent("\"shares\""));
}

/* The second one gets what the first one gives up. */
static void
slots_move(void **state)
{
	(void)state;
	connect_alone(1);
	connect_alone(2);
	assert_int_equal(sent_to(2, "\"slots\""), 0);
	assert_int_equal(sent_to(2, "\"shared\":true"), 1);
	forget_sent();
	wants(2, 1, 2);
	assert_true(sent_to(1, "\"recall_idle\":2") == 1);
	assert_int_equal(sent_to(2, "\"slots\""), 0);
	forget_sent();
	send_line(1, "{\"type\":\"shares_held\",\"revision\":\"a/v1\",\"generation\":0,\"term\":1,"
		     "\"epoch\":3,\"instances\":[{\"id\":\"i2\",\"slots\":0}]}");
	reconcile_tail(world.r);
	assert_int_equal(sent_to(2, "\"slots\":2"), 1);
}

/* What is shown of the activator at i. */
static void
assert_holder(size_t i, const char *id, uint32_t share, uint32_t held, uint32_t recalled,
	      uint32_t wants)
{
	const struct shares *s = reconcile_shares(world.r, "a/v1");
	uint32_t share_sum = 0, held_sum = 0;
	struct shares_slots slots;
	struct shares_holder h;
	size_t k;

	assert_true(shares_holder_at(s, i, &h));
	assert_string_equal(h.id, id);
	assert_int_equal(h.recalled, recalled);
	assert_int_equal(h.wants, wants);
	for (k = 0; shares_slots_at(s, i, k, &slots); k++) {
		share_sum += slots.share;
		held_sum += slots.held;
	}
	assert_int_equal(k, 2);
	assert_int_equal(share_sum, share);
	assert_int_equal(held_sum, held);
}

static void
who_holds_what(void **state)
{
	struct shares_holder h;

	(void)state;
	assert_null(reconcile_shares(world.r, "b/v1"));
	assert_int_equal(shares_limit(reconcile_shares(world.r, "a/v1")), 2);
	connect_peer(1);
	assert_true(shares_holder_at(reconcile_shares(world.r, "a/v1"), 0, &h));
	assert_true(h.is_connected && h.is_unknown);
	reconcile_tail(world.r);
	holds(1, 0, "");
	connect_alone(2);
	wants(2, 1, 2);
	assert_holder(0, "act-1", 4, 4, 2, 0);
	assert_holder(1, "act-2", 0, 0, 0, 2);
	assert_false(shares_holder_at(reconcile_shares(world.r, "a/v1"), 2, &h));
	send_line(1, "{\"type\":\"shares_held\",\"revision\":\"a/v1\",\"generation\":0,\"term\":1,"
		     "\"epoch\":3,\"instances\":[{\"id\":\"i2\",\"slots\":0}]}");
	reconcile_tail(world.r);
	assert_holder(0, "act-1", 2, 2, 0, 0);
	assert_holder(1, "act-2", 2, 2, 0, 2);
	reconcile_peer_down(world.r, 1);
	assert_true(shares_holder_at(reconcile_shares(world.r, "a/v1"), 0, &h));
	assert_false(h.is_connected || h.is_unknown || h.is_dead);
	assert_holder(0, "act-1", 2, 2, 0, 0);
}

static void
older_activators_get_all_or_nothing(void **state)
{
	(void)state;
	connect_alone(1);
	world.has_shares = false;
	connect_peer(2);
	reconcile_tail(world.r);
	seconds(3);
	assert_int_equal(sent_to(2, "\"instances\""), 0);
	assert_int_equal(sent_to(0, "\"instances\""), 0); /* nor by a message to all */
	lose_peer(1);
	seconds(3);
	assert_int_equal(sent_to(2, "\"instances\""), 0); /* the other one may be at work */
	reconcile_holder_dead(world.r, "act-1");
	seconds(3);
	assert_int_equal(sent_to(2, "\"port\":20001"), 1);
	assert_int_equal(sent_to(2, "\"shares\""), 0);
	/* From now on it may use all, so that no other gets any. */
	forget_sent();
	world.has_shares = true;
	connect_alone(3);
	seconds(3);
	assert_int_equal(sent_to(3, "\"slots\""), 0);
	reconcile_holder_dead(world.r, "act-2");
	lose_peer(2);
	seconds(3);
	assert_int_equal(sent_to(3, "\"slots\":2"), 1);
}

/* A revision that is removed and comes back: reports from before do not count. */
static void
reports_of_an_earlier_description_are_ignored(void **state)
{
	const struct reconcile_conf conf = {.generation = 7};
	const struct reconcile_item item = {.conf = &world.conf, .driver = &world.driver};

	(void)state;
	connect_alone(1);
	reconcile_set(world.r, &conf, NULL, 0);
	reconcile_set(world.r, &conf, &item, 1);
	show_instances(NULL);
	forget_sent();
	holds(1, 1, "{\"id\":\"i1\",\"slots\":2}");
	assert_int_equal(sent_to(1, "\"shares\""), 0);
	send_line(1, "{\"type\":\"shares_held\",\"revision\":\"a/v1\",\"generation\":7,\"term\":1,"
		     "\"epoch\":1,\"complete\":true,\"instances\":[{\"id\":\"i1\",\"slots\":1}]}");
	reconcile_tail(world.r);
	assert_int_equal(sent_to(1, "\"epoch\":2,"), 1); /* higher than all before */
}

static void
without_a_limit_there_are_no_offers(void **state)
{
	(void)state;
	connect_alone(1);
	forget_sent();
	world.conf.limits.container_concurrency = 0;
	set_services(1, 0);
	reconcile_tail(world.r);
	assert_true(sent_to(0, "\"instances\"") > 0);
	assert_false(was_sent("\"shares\""));
	forget_sent();
	world.conf.limits.container_concurrency = 3;
	set_services(1, 0);
	reconcile_tail(world.r);
	assert_int_equal(sent_to(0, "\"instances\""), 0);
	/* It may have any number in use, and is asked. */
	assert_int_equal(sent_to(1, "\"asking\":true"), 1);
}

/* A world that begins with these activators known from before (n; has_record), with one instance of
 * a revision of this limit. */
static void
restart(bool has_record, const char *const *known, size_t n, uint32_t limit)
{
	begin_world(0);
	world.conf.limits.container_concurrency = limit;
	reconcile_set(world.r, &(struct reconcile_conf){.generation = 0}, NULL, 0);
	reconcile_begin_shares(world.r, 1, has_record, known, n);
	set_services(1, 0);
	world.v[world.n++] = (struct fake_instance){.number = 1, .state = INSTANCE_READY};
	world.scale = 1;
	forget_sent();
}

static void
connect_older(uint64_t peer)
{
	world.has_shares = false;
	connect_peer(peer);
	reconcile_tail(world.r);
	world.has_shares = true;
}

static const char may_use[] = "\"state\":\"ready\"", may_not_use[] = "\"state\":\"stopping\"";

/* Each of them may hold everything: the first one wins, and the other one is stopped. */
static void
one_of_two_older_ones_goes_on_after_a_restart(void **state)
{
	static const char *const known[] = {"act-1", "act-2"};

	(void)state;
	restart(true, known, 2, 2);
	show_instances(NULL);
	connect_older(2);
	assert_int_equal(sent_to(2, "\"instances\""), 0); /* the other one may be at work */
	connect_older(1);
	seconds(2);
	assert_int_equal(sent_to(1, may_use), 1);
	assert_int_equal(sent_to(2, may_use), 0);
	assert_int_equal(sent_to(2, may_not_use), 1);
	reconcile_holder_dead(world.r, "act-1");
	lose_peer(1);
	seconds(3);
	assert_int_equal(sent_to(2, may_use), 1);
}

static void
one_of_two_older_ones_gets_a_new_revision(void **state)
{
	const struct reconcile_conf conf = {.generation = 7};

	(void)state;
	reconcile_set(world.r, &conf, NULL, 0);
	connect_older(1);
	connect_older(2);
	forget_sent();
	set_services(1, 0);
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_int_equal(sent_to(1, may_use) + sent_to(2, may_use), 1);
}

/* While there was no limit they were given all instances; was_limited: there was one before. */
static void
check_new_limit(bool was_limited)
{
	restart(true, NULL, 0, was_limited ? 2 : 0);
	show_instances(NULL);
	world.conf.limits.container_concurrency = 0;
	set_services(1, 0);
	connect_older(1);
	connect_peer(2);
	reconcile_tail(world.r);
	world.conf.limits.container_concurrency = 3;
	set_services(1, 0);
	reconcile_tail(world.r);
	forget_sent();
	holds(2, 0, "");
	seconds(2);
	assert_int_equal(sent_to(2, "\"slots\":3"), 0);
	assert_int_equal(sent_to(1, may_not_use), 0);
	reconcile_holder_dead(world.r, "act-1");
	lose_peer(1);
	seconds(3);
	assert_int_equal(sent_to(2, "\"slots\":3"), 1);
}

static void
a_new_limit_finds_older_ones_with_everything(void **state)
{
	(void)state;
	check_new_limit(false);
	check_new_limit(true);
}

/* The autoscaler before kept no record, and its activators may use the instances that it left. */
static void
without_a_record_older_ones_have_adopted_instances(void **state)
{
	(void)state;
	restart(false, NULL, 0, 2);
	show_instances(NULL);
	connect_older(1);
	connect_alone(2);
	seconds(2);
	assert_int_equal(sent_to(1, may_use), 1);
	assert_int_equal(sent_to(2, "\"slots\":2"), 0);
	restart(false, NULL, 0, 2); /* it connects before the driver shows the instances */
	connect_older(1);
	connect_alone(2);
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_int_equal(sent_to(2, "\"slots\":2"), 0);
}

/* An older one was taken for dead, and comes back: it may use all that it was sent. */
static void
one_that_was_not_dead_comes_back(void **state)
{
	(void)state;
	restart(true, NULL, 0, 2);
	show_instances(NULL);
	connect_older(1);
	lose_peer(1);
	reconcile_holder_dead(world.r, "act-1");
	connect_alone(2);
	forget_sent();
	connect_older(1);
	seconds(4);
	assert_int_equal(sent_to(2, "\"slots\":2"), 0);
	assert_string_equal(world.gone, "");
}

static void
holds_at(uint64_t peer, const char *term, const char *epoch, bool is_complete)
{
	char line[300];

	snprintf(line, sizeof line,
		 "{\"type\":\"shares_held\",\"revision\":\"a/v1\",\"generation\":0,\"term\":%s,"
		 "\"epoch\":%s,\"complete\":%s,\"instances\":[]}",
		 term, epoch, is_complete ? "true" : "false");
	send_line(peer, line);
	reconcile_tail(world.r);
}

static void
holds_under(uint64_t peer, const char *term, bool is_complete)
{
	holds_at(peer, term, "1", is_complete);
}

/* An activator has obeyed a leader of a higher term: this one takes a higher one still, and hears
 * all activators again. */
static void
a_higher_term_is_outbid(void **state)
{
	(void)state;
	connect_alone(1);
	holds_under(1, "5", false);		     /* no news of a term */
	holds_under(1, "4000000000000000000", true); /* no term that a leader can have */
	seconds(2);
	assert_int_equal(world.raised_term, 0);
	forget_sent();
	world.v[1].state = INSTANCE_STOPPING;
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_int_equal(sent_to(1, "\"shares\""), 1); /* it goes on */
	holds_under(1, "5", true);
	seconds(2);
	assert_int_equal(world.raised_term, 6);
	lose_peer(1);
	connect_peer(1);
	reconcile_tail(world.r);
	forget_sent();
	holds_under(1, "6", true);
	assert_int_equal(sent_to(1, "\"slots\":2"), 1);
	assert_int_equal(sent_to(1, "\"term\":6,"), 1);
}

/* An earlier leader could not note its term, and the clock has gone back since: this one has the
 * same.  Its offers would be taken for old ones. */
static void
another_one_of_the_same_term_is_outbid(void **state)
{
	(void)state;
	connect_alone(1);
	holds_at(1, "1", "1", true);
	seconds(2);
	assert_int_equal(world.raised_term, 0);
	holds_at(1, "1", "50", true);
	seconds(2);
	assert_int_equal(world.raised_term, 2);
}

/* Also while a revision has no limit any more. */
static void
dead_ones_are_forgotten(void **state)
{
	(void)state;
	connect_alone(1);
	world.conf.limits.container_concurrency = 0;
	set_services(1, 0);
	reconcile_holder_dead(world.r, "act-1");
	lose_peer(1);
	seconds(1);
	assert_string_equal(world.gone, "");
	seconds(2);
	assert_string_equal(world.gone, "act-1 ");
}

/* Those that an earlier autoscaler knew may hold everything. */
static void
nothing_is_given_before_all_known_ones_are_heard(void **state)
{
	static const char *const known[] = {"act-2"};

	(void)state;
	begin_world(0);
	world.conf.limits.container_concurrency = 2;
	world.has_shares = true;
	reconcile_set(world.r, &(struct reconcile_conf){.generation = 0}, NULL, 0);
	reconcile_begin_shares(world.r, 1, true, known, 1);
	set_services(1, 0);
	world.v[world.n++] = (struct fake_instance){.number = 1, .state = INSTANCE_READY};
	world.scale = 1;
	show_instances(NULL);
	connect_alone(1);
	assert_int_equal(sent_to(1, "\"slots\""), 0);
	connect_peer(2);
	holds(2, 0, "{\"id\":\"i1\",\"slots\":1}");
	assert_int_equal(sent_to(2, "\"slots\":2"), 1); /* the rest goes where the first one is */
	assert_int_equal(sent_to(1, "\"slots\""), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_alone_has_all_with_the_list, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(stopping_instances_are_no_part_of_an_offer, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(slots_move, setup, world_teardown),
		cmocka_unit_test_setup_teardown(who_holds_what, setup, world_teardown),
		cmocka_unit_test_setup_teardown(older_activators_get_all_or_nothing, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(reports_of_an_earlier_description_are_ignored,
						setup, world_teardown),
		cmocka_unit_test_setup_teardown(without_a_limit_there_are_no_offers, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(one_of_two_older_ones_goes_on_after_a_restart,
						setup, world_teardown),
		cmocka_unit_test_setup_teardown(one_of_two_older_ones_gets_a_new_revision, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_new_limit_finds_older_ones_with_everything, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(without_a_record_older_ones_have_adopted_instances,
						setup, world_teardown),
		cmocka_unit_test_setup_teardown(one_that_was_not_dead_comes_back, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_higher_term_is_outbid, setup, world_teardown),
		cmocka_unit_test_setup_teardown(another_one_of_the_same_term_is_outbid, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(dead_ones_are_forgotten, setup, world_teardown),
		cmocka_unit_test_setup_teardown(nothing_is_given_before_all_known_ones_are_heard,
						setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
