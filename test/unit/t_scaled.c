/* scaled: the CPU and memory of a revision's instances. */
#include "unit.h"

#include <math.h>

#include "autoscaler/reconcile/scaled.h"
#include "common/clk.h"

#define FROM (1000000 * CLK_S)

static char short_name[] = "v1", full_name[] = "a/v1", id[] = "i1", address[] = "127.0.0.1";
static const struct revision_conf conf = {
	.name = short_name, .full_name = full_name, .scaling = {.stable_window = 60 * CLK_S}};
static struct driver driver;

/* Each second the driver shows the instance with the CPU time that it has used, then a tick. */
static void
run(struct scaled_revision *rev, int64_t started_ns, int from_s, int to_s, double cpu_s,
    double each_s)
{
	const struct scaled_machine machine = {.cores = 4};

	for (; from_s < to_s; from_s++, cpu_s += each_s) {
		const struct driver_instance i = {.id = id,
						  .address = address,
						  .port = 80,
						  .state = INSTANCE_READY,
						  .started_ns = started_ns,
						  .cpu_s = cpu_s};
		const struct driver_view view = {
			.revision = full_name, .is_known = true, .v = &i, .n = 1};

		scaled_take_view(rev, &view, FROM + from_s * CLK_S);
		scaled_tick(rev, &machine, FROM + from_s * CLK_S);
		assert_true(rev->instances.cpu_cores < 1); /* never more */
	}
}

/* CPU time that an adopted instance used earlier is not counted as recent. */
static void
an_adopted_instance_has_not_used_its_life_at_once(void **state)
{
	struct scaled_revision *rev = scaled_new(&conf, &driver, false);
	const struct scaled_machine machine = {.cores = 4};

	(void)state;
	scaled_tick(rev, &machine, FROM);
	run(rev, FROM - 86400 * CLK_S, 1, 2, -1, 0); /* not known yet */
	run(rev, FROM - 86400 * CLK_S, 2, 20, 5000, 0.5);
	assert_true(fabs(rev->instances.cpu_cores - 0.5) < 1e-6);
	scaled_free(&rev);
}

static void
one_that_has_begun_since_counts_whole(void **state)
{
	struct scaled_revision *rev = scaled_new(&conf, &driver, false);
	const struct scaled_machine machine = {.cores = 4};

	(void)state;
	scaled_tick(rev, &machine, FROM);
	run(rev, FROM + CLK_S, 1, 2, -1, 0);
	run(rev, FROM + CLK_S, 2, 6, 0.5, 0.5);
	assert_true(fabs(rev->instances.cpu_cores - 0.4) < 1e-6); /* 2 s in 5 */
	scaled_free(&rev);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_adopted_instance_has_not_used_its_life_at_once),
		cmocka_unit_test(one_that_has_begun_since_counts_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
