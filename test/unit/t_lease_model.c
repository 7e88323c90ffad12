/* Leader election under a model checker (lease_model.h): SEEDS interleavings without a failure,
 * and, so that the checker is known to look, each planted fault found within FAULT_SEEDS.
 * LEASE_SEED=N runs seed N alone and prints its steps; LEASE_SEEDS=N runs N seeds. */
#include "test/unit/unit.h"

#include "autoscaler/replicas/lease.h"
#include "test/unit/lease_model.h"

#define SEEDS 150 /* of 3000 steps, and what happens between them */
#define FAULT_SEEDS 100

static uint64_t
from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void
interleavings(void **state)
{
	uint64_t alone = from_environment("LEASE_SEED", 0);
	uint64_t seed, seeds = from_environment("LEASE_SEEDS", SEEDS), leaders = 0;
	struct lease_model_result result;
	int64_t wait_ns = 0;

	(void)state;
	if (alone > 0) {
		lease_model_run(alone, LEASE_FAULT_NONE, stdout, &result);
		assert_string_equal(result.failure, "");
		return;
	}
	for (seed = 1; seed <= seeds; seed++) {
		lease_model_run(seed, LEASE_FAULT_NONE, NULL, &result);
		if (result.failure[0] != '\0')
			fail_msg("seed %llu, step %llu: %s", (unsigned long long)seed,
				 (unsigned long long)result.steps, result.failure);
		leaders += result.leaders;
		wait_ns = wait_ns > result.wait_ns ? wait_ns : result.wait_ns;
	}
	print_message("%llu seeds, %llu leaders, at most %.1f s without one\n",
		      (unsigned long long)seeds, (unsigned long long)leaders,
		      (double)wait_ns / 1e9);
}

static void
planted_faults(void **state)
{
	int fault;

	(void)state;
	for (fault = LEASE_FAULT_NONE + 1; fault < LEASE_FAULT_N; fault++) {
		struct lease_model_result result = {.steps = 0};
		uint64_t seed;

		for (seed = 1; seed <= FAULT_SEEDS && result.failure[0] == '\0'; seed++)
			lease_model_run(seed, (enum lease_fault)fault, NULL, &result);
		if (result.failure[0] == '\0')
			fail_msg("not found in %d seeds: %s", FAULT_SEEDS,
				 lease_fault_name((enum lease_fault)fault));
		print_message("seed %llu: %s: %s\n", (unsigned long long)seed - 1,
			      lease_fault_name((enum lease_fault)fault), result.failure);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interleavings),
		cmocka_unit_test(planted_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
