/* ceiling: how max_instances is shared among revisions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "autoscaler/brain/ceiling.h"

/* Share `most` out over the claims. */
static void
share(const uint32_t *claim, const uint32_t *has, uint32_t *got, size_t n, uint64_t most)
{
	struct ceiling_item v[16];
	size_t i;

	for (i = 0; i < n; i++)
		v[i] = (struct ceiling_item){.owner = &got[i], .claim = claim[i], .has = has[i]};
	ceiling_share(v, n, most);
	for (i = 0; i < n; i++)
		*(uint32_t *)v[i].owner = v[i].share;
}

static void
assert_share(const uint32_t *claim, const uint32_t *has, const uint32_t *expected, size_t n,
	     uint64_t most)
{
	uint32_t got[16];
	size_t i;

	share(claim, has, got, n, most);
	for (i = 0; i < n; i++)
		assert_int_equal(got[i], expected[i]);
}

#define U (const uint32_t[])

static void
a_small_claim_is_met(void **state)
{
	(void)state;
	assert_share(U{1, 2, 3}, U{0, 0, 0}, U{1, 2, 3}, 3, 6);
	assert_share(U{1, 20, 3}, U{0, 0, 0}, U{1, 6, 3}, 3, 10);
	assert_share(U{100, 1}, U{10, 0}, U{9, 1}, 2, 10); /* the smallest claim gets a share */
	assert_share(U{9, 9}, U{0, 0}, U{5, 5}, 2, 10);
	ceiling_share(NULL, 0, 5);
}

static void
the_rest_goes_to_the_largest(void **state)
{
	(void)state;
	assert_share(U{9, 9, 9}, U{1, 5, 2}, U{3, 4, 3}, 3, 10);
	assert_share(U{9, 9, 9}, U{1, 5, 2}, U{3, 4, 4}, 3, 11);
	assert_share(U{1, 1, 1}, U{0, 1, 1}, U{0, 1, 1}, 3, 2);
	assert_share(U{4, 4}, U{0, 0}, U{0, 0}, 2, 0);
}

/* The items, and the share that each gets. */
static void
assert_shares(struct ceiling_item *v, const uint32_t *expected, size_t n, uint64_t most)
{
	uint32_t got[16];
	size_t i;

	for (i = 0; i < n; i++)
		v[i].owner = &got[i];
	ceiling_share(v, n, most);
	for (i = 0; i < n; i++)
		*(uint32_t *)v[i].owner = v[i].share;
	for (i = 0; i < n; i++)
		assert_int_equal(got[i], expected[i]);
}

#define V (struct ceiling_item[])

static void
an_idle_revision_gives_way(void **state)
{
	(void)state;
	/* the third has requests: of the idle ones the one that was unused for longest gives way */
	assert_shares(V{{0, 1, 0, 1, 50, 0}, {0, 1, 0, 1, 20, 0}, {0, 1, 1, 0, 90, 0}}, U{1, 0, 1},
		      3, 2);
	/* all have requests: each keeps its instance */
	assert_shares(V{{0, 1, 1, 1, 50, 0}, {0, 1, 1, 1, 20, 0}, {0, 1, 1, 0, 10, 0}}, U{1, 1, 0},
		      3, 2);
	/* one instance for two with requests: the one whose requests came first */
	assert_shares(V{{0, 1, 1, 0, 50, 0}, {0, 1, 1, 0, 20, 0}, {0, 1, 0, 1, 90, 0}}, U{0, 1, 0},
		      3, 1);
	/* min_scale = 1 is kept; the instances beyond it go */
	assert_shares(V{{0, 3, 1, 3, 50, 0}, {0, 9, 9, 0, 90, 0}}, U{1, 4}, 2, 5);
	/* instances that no other revision needs stay */
	assert_shares(V{{0, 3, 0, 3, 50, 0}, {0, 2, 2, 0, 90, 0}}, U{2, 2}, 2, 4);
}

/* In random cases: no share exceeds its claim, the sum is the most that fits, and a revision
 * that gets less than it claims is at most one below every other. */
static void
it_is_fair(void **state)
{
	int round;

	(void)state;
	srandom(7);
	for (round = 0; round < 20000; round++) {
		uint32_t claim[16], has[16], got[16], highest = 0;
		size_t n = 1 + (size_t)random() % 16, i;
		uint64_t most = (uint64_t)random() % 60, sum = 0, claimed = 0;

		for (i = 0; i < n; i++) {
			claim[i] = (uint32_t)random() % 12;
			has[i] = (uint32_t)random() % 12;
			claimed += claim[i];
		}
		share(claim, has, got, n, most);
		for (i = 0; i < n; i++) {
			assert_true(got[i] <= claim[i]);
			sum += got[i];
			highest = got[i] > highest ? got[i] : highest;
		}
		assert_int_equal(sum, claimed < most ? claimed : most);
		for (i = 0; i < n; i++)
			assert_true(got[i] == claim[i] || got[i] + 1 >= highest);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_small_claim_is_met),
		cmocka_unit_test(the_rest_goes_to_the_largest),
		cmocka_unit_test(an_idle_revision_gives_way),
		cmocka_unit_test(it_is_fair),
	};

	return cmocka_run_group_tests_name("ceiling", tests, NULL, NULL);
}
