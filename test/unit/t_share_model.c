/* The share protocol under a model checker (share_model.h): SEEDS interleavings without a
 * failure, and, so that the checker is known to look, each planted fault found within
 * FAULT_SEEDS.  SHARE_SEED=N runs seed N alone and prints its steps; SHARE_SEEDS=N runs N seeds.
 * Promise 3. */
#include "test/unit/unit.h"

#include "activator/share.h"
#include "autoscaler/shares/shares.h"
#include "test/unit/share_model.h"
#include "test/unit/share_steps.h"
#include "test/unit/share_walk.h"

#define SEEDS 2000	/* of 1500 steps: 3 million */
#define FAULT_SEEDS 200 /* all but one are found within 10 */

static uint64_t
from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* A CHECK that fails ends the process: name the seed. */
static uint64_t running;

static void
on_abort(int signal)
{
	(void)signal;
	printf("seed %llu: a CHECK failed; SHARE_SEED=%llu prints its steps\n",
	       (unsigned long long)running, (unsigned long long)running);
	fflush(stdout);
}

static void
run_seed(uint64_t seed, struct share_model_result *result)
{
	running = seed;
	share_model_run(seed, FAULT_NONE, NULL, result);
	if (result->failure[0] == '\0')
		return;
	printf("seed %llu, step %llu: %s\n", (unsigned long long)seed,
	       (unsigned long long)result->steps, result->failure);
	share_model_run(seed, FAULT_NONE, stdout, result);
	fail_msg("seed %llu: %s", (unsigned long long)seed, result->failure);
}

static void
interleavings(void **state)
{
	uint64_t alone = from_environment("SHARE_SEED", 0);
	uint64_t seed, seeds = from_environment("SHARE_SEEDS", SEEDS), steps = 0;
	struct share_model_result result;

	(void)state;
	signal(SIGABRT, on_abort);
	if (alone > 0) {
		running = alone;
		share_model_run(alone, FAULT_NONE, stdout, &result);
		assert_string_equal(result.failure, "");
		return;
	}
	for (seed = 1; seed <= seeds; seed++) {
		run_seed(seed, &result);
		steps += result.steps;
	}
	print_message("%llu seeds, %llu steps\n", (unsigned long long)seeds,
		      (unsigned long long)steps);
	signal(SIGABRT, SIG_DFL);
}

static void
planted_faults(void **state)
{
	int fault;

	(void)state;
	for (fault = FAULT_NONE + 1; fault < FAULT_N; fault++) {
		struct share_model_result result = {.steps = 0};
		uint64_t seed;

		for (seed = 1; seed <= FAULT_SEEDS && result.failure[0] == '\0'; seed++)
			share_model_run(seed, (enum share_fault)fault, NULL, &result);
		if (result.failure[0] == '\0')
			fail_msg("not found in %d seeds: %s", FAULT_SEEDS,
				 share_fault_name((enum share_fault)fault));
		print_message("seed %llu: %s: %s\n", (unsigned long long)seed - 1,
			      share_fault_name((enum share_fault)fault), result.failure);
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
