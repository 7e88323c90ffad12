/* kube_cost: of which pods a scale-down writes the cost, and of how many. */
#include "test/unit/unit.h"

#include "autoscaler/kubernetes/kube_cost.h"

#define S INT64_C(1000000000)

static void
costs_of_another_client_are_recognised(void **state)
{
	static const struct {
		const char *cost, *ours;
		bool is_ours;
		uint32_t shown;
	} v[] = {
		{NULL, NULL, true, 0},
		{NULL, "7", true, 0}, /* another client has removed it */
		{"7", "7", true, 7},
		{"2000000", "2000000", true, 2000000},
		{"7", NULL, false, 0},
		{"8", "7", false, 0}, /* another client has changed it */
		{"-2147483647", NULL, false, 0},
		{"-5", "-5", false, 0},
		{"", "", false, 0},
		{"99999999999", "99999999999", false, 0},
		{"1e3", "1e3", false, 0},
	};
	uint32_t shown;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		shown = 99;
		assert_int_equal(kube_cost_is_ours(v[i].cost, v[i].ours, &shown), v[i].is_ours);
		assert_int_equal(shown, v[i].shown);
	}
}

static void
the_furthest_from_its_number_is_picked_first(void **state)
{
	struct kube_cost_candidate v[] = {{NULL, 0, 0}, {NULL, 3, 3}, {NULL, 0, 1},
					  {NULL, 9, 2}, {NULL, 0, 5}, {NULL, 5, 0}};

	(void)state;
	assert_int_equal(kube_cost_pick(v, ARRAY_LEN(v), 100), 4);
	assert_int_equal(v[0].shown, 9);
	assert_int_equal(v[1].wanted, 5);
	assert_int_equal(v[2].shown, 5);
	assert_int_equal(v[3].wanted, 1);
	assert_int_equal(kube_cost_pick(v, ARRAY_LEN(v), 2), 2);
	assert_int_equal(kube_cost_pick(v, ARRAY_LEN(v), 0), 0);
	assert_int_equal(kube_cost_pick(v, 0, 2), 0);
}

/* A thousand pods, each with another number of requests. */
static void
of_many_the_busiest_are_picked(void **state)
{
	struct kube_cost_candidate v[1000];
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++)
		v[i] = (struct kube_cost_candidate){.wanted = (uint32_t)(i * 7 % 1000)};
	n = kube_cost_pick(v, ARRAY_LEN(v), KUBE_COST_BURST);
	assert_int_equal(n, KUBE_COST_BURST);
	for (i = 0; i < n; i++)
		assert_int_equal(v[i].wanted, 999 - i);
}

static void
a_budget_is_used_up_and_fills_again(void **state)
{
	struct kube_cost_budget b = {0};
	int64_t now = 1000 * S;

	(void)state;
	assert_int_equal(kube_cost_budget_left(&b, now), KUBE_COST_BURST);
	kube_cost_budget_spend(&b, 0, now);
	assert_int_equal(kube_cost_budget_left(&b, now), KUBE_COST_BURST);
	kube_cost_budget_spend(&b, KUBE_COST_BURST, now);
	assert_int_equal(kube_cost_budget_left(&b, now), 0);
	assert_int_equal(kube_cost_budget_left(&b, now + KUBE_COST_INTERVAL - 1), 0);
	assert_int_equal(kube_cost_budget_left(&b, now + KUBE_COST_INTERVAL), 1);
	kube_cost_budget_spend(&b, 1, now + KUBE_COST_INTERVAL);
	assert_int_equal(kube_cost_budget_left(&b, now + KUBE_COST_INTERVAL), 0);
	assert_int_equal(
		kube_cost_budget_left(&b, now + KUBE_COST_INTERVAL * (KUBE_COST_BURST + 1)),
		KUBE_COST_BURST);
	assert_int_equal(kube_cost_budget_left(&b, now + 3600 * S), KUBE_COST_BURST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(costs_of_another_client_are_recognised),
		cmocka_unit_test(the_furthest_from_its_number_is_picked_first),
		cmocka_unit_test(of_many_the_busiest_are_picked),
		cmocka_unit_test(a_budget_is_used_up_and_fills_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
