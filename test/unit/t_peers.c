/* peers: activators that connect, vanish, return and fall silent, and whether all are heard. */
#include "unit.h"

#include "autoscaler/reconcile/peers.h"
#include "common/clk.h"
#include "common/log.h"

#define WINDOW (60 * CLK_S)

static struct peers p;
static int64_t now;

static int
setup(void **state)
{
	(void)state;
	log_open(LOG_ERROR, LOG_LOGFMT, "t_peers");
	now = 1000 * CLK_S;
	peers_init(&p);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	peers_fini(&p);
	return 0;
}

static void
none_is_not_all(void **state)
{
	(void)state;
	assert_false(peers_all_heard(&p, WINDOW, now));
	peers_up(&p, 1, "act-1", now);
	assert_true(peers_all_heard(&p, WINDOW, now)); /* it has some seconds to report */
}

/* However short the window. */
static void
one_that_vanished_has_a_while_to_come_back(void **state)
{
	(void)state;
	peers_up(&p, 1, "act-1", now);
	peers_up(&p, 2, "act-2", now);
	assert_true(peers_all_heard(&p, CLK_S, now));
	assert_true(peers_down(&p, 2, now));
	now += 2 * CLK_S;
	peers_tick(&p, CLK_S, now);
	assert_false(peers_all_heard(&p, CLK_S, now));
	now += PEERS_PATIENCE - 2 * CLK_S;
	peers_reported(peers_find(&p, 1), now);
	assert_true(peers_all_heard(&p, CLK_S, now));
}

static void
one_that_is_silent_is_not_heard_until_it_reports(void **state)
{
	(void)state;
	peers_up(&p, 1, "act-1", now);
	peers_up(&p, 2, "act-2", now);
	now += 4 * CLK_S;
	peers_reported(peers_find(&p, 1), now);
	now += 4 * CLK_S;
	assert_false(peers_all_heard(&p, WINDOW, now));
	peers_tick(&p, WINDOW, now);
	assert_true(peers_find(&p, 2)->is_silence_logged);
	assert_false(peers_find(&p, 1)->is_silence_logged);
	peers_reported(peers_find(&p, 2), now);
	assert_true(peers_all_heard(&p, WINDOW, now));
	assert_int_equal(peers_find(&p, 2)->report, 2);
}

static void
one_that_vanished_counts_for_a_window(void **state)
{
	uint64_t serial;
	bool is_back;

	(void)state;
	peers_up(&p, 1, "act-1", now);
	peers_up(&p, 2, "act-2", now);
	assert_true(peers_down(&p, 2, now));
	assert_null(peers_find(&p, 2));
	assert_false(peers_all_heard(&p, WINDOW, now));
	assert_false(peers_take_forgotten(&p, &serial, &is_back));
	now += WINDOW;
	peers_reported(peers_find(&p, 1), now);
	assert_true(peers_all_heard(&p, WINDOW, now));
	assert_false(peers_all_heard(&p, 2 * WINDOW, now)); /* for a revision with a longer one */
	peers_tick(&p, WINDOW, now);
	assert_true(peers_take_forgotten(&p, &serial, &is_back));
	assert_int_equal(serial, 2);
	assert_false(is_back);
	assert_false(peers_take_forgotten(&p, &serial, &is_back));
}

static void
one_that_is_back_by_its_id_has_not_vanished(void **state)
{
	uint64_t serial;
	bool is_back;

	(void)state;
	peers_up(&p, 1, "act-1", now);
	assert_true(peers_down(&p, 1, now));
	peers_up(&p, 2, "act-1", now);
	assert_true(peers_take_forgotten(&p, &serial, &is_back));
	assert_int_equal(serial, 1);
	assert_true(is_back);
	assert_true(peers_all_heard(&p, WINDOW, now));
	peers_up(&p, 3, "act-1", now); /* before the end of its older link is noticed */
	assert_false(peers_down(&p, 2, now));
	assert_true(peers_all_heard(&p, WINDOW, now));
}

static void
those_that_vanished_are_bounded(void **state)
{
	unsigned i, forgotten = 0;
	uint64_t serial;
	char id[20];
	bool is_back;

	(void)state;
	for (i = 1; i <= 200; i++) {
		snprintf(id, sizeof id, "act-%u", i);
		peers_up(&p, i, id, now);
		peers_down(&p, i, now);
		while (peers_take_forgotten(&p, &serial, &is_back)) {
			assert_int_equal(serial, ++forgotten); /* the oldest */
			assert_false(is_back);
		}
	}
	assert_in_range(p.vanished_n, 1, 64);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(none_is_not_all),
		T(one_that_vanished_has_a_while_to_come_back),
		T(one_that_is_silent_is_not_heard_until_it_reports),
		T(one_that_vanished_counts_for_a_window),
		T(one_that_is_back_by_its_id_has_not_vanished),
		T(those_that_vanished_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
