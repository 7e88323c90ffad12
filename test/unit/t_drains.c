/* drains: test-and-close of revisions, drains of instances, and the end of each token. */
#include "test/unit/unit.h"

#include "activator/drains.h"
#include "activator/limiter.h"

struct world {
	struct revision *rev;
	struct instance *a, *b;
	struct drains drains;
	char drained[100];
};

static void
publish(struct world *w, struct instance *const *v, uint32_t n)
{
	limiter_update(w->rev, instance_set_new(v, n), &(struct limiter_update){.wanted = n});
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct addr addr;

	assert_int_equal(addr_set(&addr, "127.0.0.1", 1, NULL), 0);
	w->rev = revision_new("s/v1", 1, NULL, NULL, NULL);
	w->a = instance_new(w->rev, "a", &addr);
	w->b = instance_new(w->rev, "b", &addr);
	w->a->is_listed = w->b->is_listed = true;
	publish(w, (struct instance *[]){w->a, w->b}, 2);
	limiter_open(w->a, SLOTS_UNREADY);
	limiter_open(w->b, SLOTS_UNREADY);
	drains_init(&w->drains);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	drains_fini(&w->drains);
	publish(w, NULL, 0);
	instance_unref(&w->a);
	instance_unref(&w->b);
	revision_unref(&w->rev);
	free(w);
	return 0;
}

static void
on_done(const char *token, void *arg)
{
	struct world *w = arg;

	strcat(w->drained, token);
}

/* Take a slot of inst, which is a or b. */
static void
take(struct world *w, struct instance *inst)
{
	struct instance_set *only = instance_set_new(&inst, 1);

	assert_ptr_equal(limiter_try_take(w->rev, only, 0), inst);
	instance_set_unref(&only);
}

static void
test_revision(void **state)
{
	struct world *w = *state;

	assert_true(drains_revision(&w->drains, "1", w->rev));
	assert_false(instance_is_open(w->a) || instance_is_open(w->b));
	drains_resume(&w->drains, "none");
	assert_false(instance_is_open(w->a));
	drains_resume(&w->drains, "1");
	assert_true(instance_is_open(w->a) && instance_is_open(w->b));
	take(w, w->b);
	assert_false(drains_revision(&w->drains, "2", w->rev));
	assert_true(instance_is_open(w->a) && instance_is_open(w->b));
	limiter_give_back(w->b);
	assert_true(drains_revision(&w->drains, "3", w->rev));
	drains_resume_all(&w->drains); /* as when the link is lost */
	assert_true(instance_is_open(w->a) && instance_is_open(w->b));
}

static void
test_instance(void **state)
{
	struct world *w = *state;

	assert_true(drains_instance(&w->drains, "1", w->a));
	assert_false(instance_is_open(w->a));
	take(w, w->b);
	assert_false(drains_instance(&w->drains, "2", w->b));
	assert_int_equal(drains_poll(&w->drains, on_done, w), 1);
	assert_string_equal(w->drained, "");
	limiter_give_back(w->b);
	assert_int_equal(drains_poll(&w->drains, on_done, w), 0);
	assert_string_equal(w->drained, "2");
	assert_int_equal(drains_poll(&w->drains, on_done, w), 0);
	assert_string_equal(w->drained, "2"); /* once */
	drains_resume(&w->drains, "2");
	assert_true(instance_is_open(w->b));
	assert_false(instance_is_open(w->a));
}

/* A drain of a revision that is refused or cancelled does not open an instance that is drained
 * by itself. */
static void
test_both(void **state)
{
	struct world *w = *state;

	assert_true(drains_instance(&w->drains, "1", w->a));
	take(w, w->b);
	assert_false(drains_revision(&w->drains, "2", w->rev));
	assert_false(instance_is_open(w->a));
	assert_true(instance_is_open(w->b));
	limiter_give_back(w->b);
	assert_true(drains_revision(&w->drains, "3", w->rev));
	drains_resume(&w->drains, "3");
	assert_false(instance_is_open(w->a));
	assert_true(instance_is_open(w->b));
	drains_resume(&w->drains, "1");
	assert_true(instance_is_open(w->a));
}

/* Two tokens for one instance: it opens with the end of the last. */
static void
test_shared(void **state)
{
	struct world *w = *state;

	assert_true(drains_revision(&w->drains, "1", w->rev));
	assert_true(drains_revision(&w->drains, "2", w->rev));
	drains_resume(&w->drains, "1");
	assert_false(instance_is_open(w->a));
	drains_resume(&w->drains, "2");
	assert_true(instance_is_open(w->a));
	assert_true(drains_instance(&w->drains, "3", w->a));
	assert_true(drains_instance(&w->drains, "4", w->a));
	drains_resume(&w->drains, "4");
	assert_false(instance_is_open(w->a));
	drains_resume(&w->drains, "3");
	assert_true(instance_is_open(w->a));
}

/* A token lasts until it is resumed, whatever becomes of what it closed.  A new instance is not
 * closed by an earlier drain. */
static void
test_tokens_last(void **state)
{
	struct world *w = *state;
	struct instance *c;

	assert_true(drains_revision(&w->drains, "1", w->rev));
	assert_true(drains_instance(&w->drains, "2", w->a));
	c = instance_new(w->rev, "c", &instance_address(w->a)->addr);
	limiter_open(c, SLOTS_UNREADY);
	w->a->is_listed = w->b->is_listed = false;
	publish(w, &c, 1);
	assert_true(instance_is_open(c));
	drains_poll(&w->drains, on_done, w);
	assert_string_equal(w->drained, "");
	assert_false(instance_is_open(w->a) || instance_is_open(w->b));
	drains_resume(&w->drains, "1"); /* also of those that are not listed now */
	assert_true(instance_is_open(w->b) && !instance_is_open(w->a));
	drains_resume(&w->drains, "2");
	assert_true(instance_is_open(w->a));
	assert_int_equal(w->drains.all.n, 0);
	instance_unref(&c);
}

/* A drain of a revision that is refused does not open what an earlier one keeps closed. */
static void
test_refused_beside_earlier(void **state)
{
	struct world *w = *state;
	struct instance *c;

	assert_true(drains_revision(&w->drains, "1", w->rev));
	c = instance_new(w->rev, "c", &instance_address(w->a)->addr);
	c->is_listed = true;
	publish(w, (struct instance *[]){w->a, w->b, c}, 3);
	limiter_open(c, SLOTS_UNREADY);
	take(w, c);
	assert_false(drains_revision(&w->drains, "2", w->rev));
	assert_false(instance_is_open(w->a) || instance_is_open(w->b));
	assert_true(instance_is_open(c));
	limiter_give_back(c);
	drains_resume(&w->drains, "1");
	assert_true(instance_is_open(w->a) && instance_is_open(w->b));
	instance_unref(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_revision, setup, teardown),
		cmocka_unit_test_setup_teardown(test_instance, setup, teardown),
		cmocka_unit_test_setup_teardown(test_both, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tokens_last, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_beside_earlier, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
