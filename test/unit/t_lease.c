/* autoscaler/replicas/lease: which requests a replica sends, and from when until when it leads. */
#include "test/unit/unit.h"

#include "autoscaler/replicas/lease.h"
#include "common/clk.h"

#define AT(seconds) ((int64_t)((seconds)*1e9))

static const struct lease_conf conf = {
	.id = "a", .duration_ns = 5 * CLK_S, .renew_ns = CLK_S, .decide_ns = 3 * CLK_S};

static struct lease_object
object(const char *version, const char *holder, uint64_t transitions)
{
	return (struct lease_object){.version = version,
				     .holder = holder,
				     .transitions = transitions,
				     .duration_ns = 5 * CLK_S};
}

/* The next request is due at exactly that time, or is due already because of what was seen then. */
static struct lease_request
expect(struct lease *l, int64_t now, enum lease_verb verb, const char *version, const char *holder,
       uint64_t transitions)
{
	struct lease_request r;
	int64_t due = lease_next_ns(l);

	assert_true(due == now || due == INT64_MIN);
	assert_true(lease_next(l, now, &r));
	assert_int_equal(r.verb, verb);
	assert_string_equal(r.version, version);
	assert_string_equal(r.holder, holder);
	assert_int_equal(r.transitions, transitions);
	assert_int_equal(lease_next_ns(l), INT64_MAX); /* one at a time */
	return r;
}

static void
done(struct lease *l, const char *version, const char *holder, uint64_t transitions, int64_t now)
{
	const struct lease_object o = object(version, holder, transitions);

	lease_answered(l, LEASE_DONE, &o, 0, now);
}

/* A new replica that has read a Lease of another at `now`. */
static struct lease *
follower(int64_t now)
{
	struct lease *l = lease_new(&conf);
	struct lease_request r;

	assert_int_equal(lease_standing(l, now), LEASE_UNKNOWN);
	assert_true(lease_next(l, now, &r));
	assert_int_equal(r.verb, LEASE_READ);
	done(l, "7", "b", 4, now);
	assert_int_equal(lease_standing(l, now), LEASE_FOLLOWS);
	assert_string_equal(lease_holder(l), "b");
	assert_int_equal(lease_holder_term(l), 4);
	assert_true(lease_is_renewed_by_other(l, now));
	return l;
}

/* One that leads under term 5, by a request sent at 5 s, with the version 8. */
static struct lease *
leader(void)
{
	struct lease *l = follower(0);

	assert_true(expect(l, AT(5), LEASE_UPDATE, "7", "a", 5).is_taken);
	done(l, "8", "a", 5, AT(5.1));
	assert_int_equal(lease_standing(l, AT(5.1)), LEASE_LEADS);
	assert_int_equal(lease_term(l), 5);
	return l;
}

static void
first_of_all(void **state)
{
	struct lease *l = lease_new(&conf);
	struct lease_request r;

	(void)state;
	assert_true(lease_next(l, AT(1), &r));
	lease_answered(l, LEASE_ABSENT, NULL, 0, AT(1));
	expect(l, AT(1), LEASE_CREATE, "", "a", 1);
	done(l, "1", "a", 1, AT(1.1));
	/* Somebody may have deleted a Lease. */
	assert_int_equal(lease_standing(l, AT(2)), LEASE_WAITS);
	expect(l, AT(2), LEASE_UPDATE, "1", "a", 1);
	done(l, "2", "a", 1, AT(2));
	expect(l, AT(3), LEASE_UPDATE, "2", "a", 1);
	done(l, "3", "a", 1, AT(3));
	expect(l, AT(4), LEASE_UPDATE, "3", "a", 1);
	done(l, "4", "a", 1, AT(4));
	assert_false(lease_may_decide(l, AT(6.1) - 1));
	assert_true(lease_may_decide(l, AT(6.1)));
	lease_free(&l);
}

static void
takes_an_unchanged_lease(void **state)
{
	struct lease *l = follower(0);
	struct lease_object o = object("8", "b", 4);

	(void)state;
	lease_saw(l, &o, AT(4)); /* renewed */
	assert_int_equal(lease_next_ns(l), AT(9));
	lease_saw(l, &o, AT(6)); /* the same */
	assert_false(lease_is_renewed_by_other(l, AT(9)));
	expect(l, AT(9), LEASE_UPDATE, "8", "a", 5);
	lease_answered(l, LEASE_CONFLICT, NULL, 0, AT(9)); /* renewed once more, or taken */
	expect(l, AT(9), LEASE_READ, "", "", 0);
	done(l, "9", "c", 5, AT(9));
	assert_int_equal(lease_standing(l, AT(9)), LEASE_FOLLOWS);
	expect(l, AT(14), LEASE_UPDATE, "9", "a", 6);
	done(l, "10", "a", 6, AT(14));
	assert_true(lease_may_decide(l, AT(14)));
	lease_free(&l);
}

static void
heeds_the_duration_of_the_holder(void **state)
{
	struct lease *l = follower(0);
	struct lease_object o = object("8", "b", 4);

	(void)state;
	o.duration_ns = 60 * CLK_S;
	lease_saw(l, &o, AT(1));
	expect(l, AT(61), LEASE_UPDATE, "8", "a", 5);
	lease_free(&l);
}

static void
decides_from_the_sending(void **state)
{
	struct lease *l = leader();
	struct lease_request r;

	(void)state;
	assert_true(lease_may_decide(l, AT(8) - 1));
	assert_false(lease_may_decide(l, AT(8)));
	expect(l, AT(6), LEASE_UPDATE, "8", "a", 5);
	done(l, "9", "a", 5, AT(8.5)); /* slow */
	assert_true(lease_may_decide(l, AT(9) - 1));
	assert_false(lease_may_decide(l, AT(9)));
	assert_int_equal(lease_standing(l, AT(9)), LEASE_WAITS);
	/* Nobody has taken it: it leads on. */
	assert_true(lease_next(l, AT(9), &r)); /* due since 7 s */
	done(l, "10", "a", 5, AT(9));
	assert_int_equal(lease_standing(l, AT(9)), LEASE_LEADS);
	lease_free(&l);
}

static void
tries_again(void **state)
{
	struct lease *l = leader();

	(void)state;
	expect(l, AT(6), LEASE_UPDATE, "8", "a", 5);
	lease_answered(l, LEASE_FAILED, NULL, 0, AT(6.1));
	assert_true(lease_may_decide(l, AT(6.1)));
	expect(l, AT(7), LEASE_UPDATE, "8", "a", 5);
	lease_answered(l, LEASE_FAILED, NULL, 2 * CLK_S, AT(7.1)); /* Retry-After */
	expect(l, AT(9.1), LEASE_UPDATE, "8", "a", 5);
	/* The first of them was carried out. */
	lease_answered(l, LEASE_CONFLICT, NULL, 0, AT(9.2));
	expect(l, AT(9.2), LEASE_READ, "", "", 0);
	done(l, "9", "a", 5, AT(9.2));
	assert_int_equal(lease_standing(l, AT(9.2)), LEASE_WAITS);
	expect(l, AT(10.1), LEASE_UPDATE, "9", "a", 5);
	done(l, "10", "a", 5, AT(10.2));
	assert_int_equal(lease_standing(l, AT(10.2)), LEASE_LEADS);
	lease_free(&l);
}

static void
is_deposed(void **state)
{
	struct lease *l = leader();

	(void)state;
	/* Stopped for a minute. */
	assert_false(lease_may_decide(l, AT(65)));
	expect(l, AT(6), LEASE_UPDATE, "8", "a", 5);
	lease_answered(l, LEASE_CONFLICT, NULL, 0, AT(65));
	expect(l, AT(65), LEASE_READ, "", "", 0);
	done(l, "20", "b", 6, AT(65));
	assert_int_equal(lease_standing(l, AT(65)), LEASE_FOLLOWS);
	assert_int_equal(lease_term(l), 0);
	lease_free(&l);
}

static void
is_released(void **state)
{
	struct lease *l = leader(), *next = follower(0);
	struct lease_object o = object("9", "", 5);

	(void)state;
	lease_release(l, AT(6));
	assert_false(lease_may_decide(l, AT(6)));
	assert_false(lease_is_released(l));
	expect(l, AT(6), LEASE_UPDATE, "8", "", 5);
	done(l, "9", "", 5, AT(6));
	assert_true(lease_is_released(l));
	lease_saw(next, &o, AT(6));
	expect(next, AT(6), LEASE_UPDATE, "9", "a", 6);
	done(next, "10", "a", 6, AT(6));
	assert_true(lease_may_decide(next, AT(6)));
	lease_free(&l);
	lease_free(&next);
}

/* A follower has nothing to give up. */
static void
leaves(void **state)
{
	struct lease *l = follower(0);

	(void)state;
	lease_release(l, AT(1));
	assert_true(lease_is_released(l));
	assert_int_equal(lease_next_ns(l), INT64_MAX);
	lease_free(&l);
}

/* Whoever takes a released Lease decides at once, so that one just created is not released. */
static void
leaves_what_it_created(void **state)
{
	struct lease *l = lease_new(&conf);
	struct lease_request r;

	(void)state;
	assert_true(lease_next(l, 0, &r));
	lease_answered(l, LEASE_ABSENT, NULL, 0, 0);
	assert_true(lease_next(l, 0, &r));
	done(l, "1", "a", 1, 0);
	lease_release(l, AT(1));
	assert_true(lease_is_released(l));
	lease_free(&l);
}

static void
raises_its_term(void **state)
{
	struct lease *l = leader();

	(void)state;
	assert_false(lease_raise_term(l, LEASE_TERM_MOST));
	assert_true(lease_raise_term(l, 4));
	assert_true(lease_may_decide(l, AT(5.2)));
	expect(l, AT(6), LEASE_UPDATE, "8", "a", 5);
	assert_true(lease_raise_term(l, 9));
	assert_false(lease_may_decide(l, AT(6)));
	done(l, "9", "a", 5, AT(6.1)); /* under the old term */
	assert_false(lease_may_decide(l, AT(6.1)));
	assert_true(expect(l, AT(6.1), LEASE_UPDATE, "9", "a", 10).is_taken);
	done(l, "10", "a", 10, AT(6.2));
	assert_int_equal(lease_term(l), 10);
	lease_free(&l);
}

static void
is_deleted(void **state)
{
	struct lease *l = leader();

	(void)state;
	expect(l, AT(6), LEASE_UPDATE, "8", "a", 5);
	lease_answered(l, LEASE_ABSENT, NULL, 0, AT(6));
	assert_false(lease_may_decide(l, AT(6)));
	expect(l, AT(6), LEASE_CREATE, "", "a", 6); /* a higher term all the same */
	lease_answered(l, LEASE_CONFLICT, NULL, 0, AT(6));
	expect(l, AT(6), LEASE_READ, "", "", 0);
	lease_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_of_all),
		cmocka_unit_test(takes_an_unchanged_lease),
		cmocka_unit_test(heeds_the_duration_of_the_holder),
		cmocka_unit_test(decides_from_the_sending),
		cmocka_unit_test(tries_again),
		cmocka_unit_test(is_deposed),
		cmocka_unit_test(is_released),
		cmocka_unit_test(leaves),
		cmocka_unit_test(leaves_what_it_created),
		cmocka_unit_test(raises_its_term),
		cmocka_unit_test(is_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
