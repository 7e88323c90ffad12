/* registry: revisions are the same by name and instances by id for as long as anything uses
 * them, whatever the autoscaler describes in the meantime. */
#include "test/unit/unit.h"

#include "activator/drains.h"
#include "activator/limiter.h"
#include "activator/probe.h"
#include "activator/registry.h"
#include "common/loop.h"
#include "common/msg.h"
#include "common/text.h"

struct world {
	struct loop *loop;
	struct prober *prober;
	struct registry *registry;
	struct drains drains;
};

static void
on_answers(struct instance *inst, void *arg)
{
	(void)inst;
	(void)arg;
}

static const struct prober_ops prober_ops = {.on_answers = on_answers};

/* The message `instances`: one instance with this id, or none if id is NULL. */
static void
list(struct world *w, const char *revision, const char *id, const char *address)
{
	struct msg_instance m = {.id = text_copy(id),
				 .address = text_copy(address),
				 .port = 1,
				 .state = INSTANCE_READY};
	struct msg_instances all = {.revision = xstrdup(revision),
				    .wanted = 1,
				    .is_known = true,
				    .v = &m,
				    .n = id != NULL};

	registry_update_instances(w->registry, &all);
	free(all.revision);
	free(m.id);
	free(m.address);
}

/* A table with n services: none, or one with two revisions of container_concurrency 1. */
static void
describe(struct world *w, int64_t generation, uint32_t n)
{
	static const char *const names[] = {"s/v1", "s/v2"};
	struct msg_service s = {.name = xstrdup("s"), .revisions_n = ARRAY_LEN(names)};
	size_t i;

	s.hosts.v = xcalloc(1, sizeof(char *));
	s.hosts.v[s.hosts.n++] = xstrdup("s.x");
	s.revisions = xcalloc(s.revisions_n, sizeof *s.revisions);
	for (i = 0; i < s.revisions_n; i++) {
		limits_default(&s.revisions[i].limits);
		s.revisions[i].limits.container_concurrency = 1;
		s.revisions[i].instances.revision = xstrdup(names[i]);
	}
	registry_begin(w->registry);
	if (n > 0)
		registry_add_service(w->registry, &s);
	assert_int_equal(registry_end(w->registry, generation, n, NULL), 0);
	msg_fini(&(struct msg){.type = MSG_SERVICE, .u.service = s}); /* what was not taken */
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);

	w->loop = loop_new(NULL);
	w->prober = prober_new(w->loop, NULL, &prober_ops, w);
	w->registry = registry_new(w->loop, NULL, 0, w->prober, NULL, NULL);
	drains_init(&w->drains);
	describe(w, 1, 1);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	drains_fini(&w->drains);
	registry_free(&w->registry);
	prober_free(&w->prober);
	loop_free(&w->loop);
	free(w);
	return 0;
}

/* A request in flight at the instance with this id; the caller has the reference of a
 * connection. */
static struct instance *
begin_request(struct world *w, const char *id)
{
	struct instance *inst = registry_find_instance(w->registry, id);

	assert_true(slots_try_take(&inst->slots));
	return instance_ref(inst);
}

static void
end_request(struct instance *inst)
{
	limiter_give_back(inst);
	instance_unref(&inst);
}

static void
test_an_instance_is_the_same_when_it_returns(void **state)
{
	struct world *w = *state;
	struct instance *inst;

	list(w, "s/v1", "a", "127.0.0.1");
	inst = begin_request(w, "a");
	list(w, "s/v1", NULL, NULL);
	assert_false(instance_is_open(inst));
	registry_forget_unused(w->registry);
	list(w, "s/v1", "a", "127.0.0.1");
	assert_ptr_equal(registry_find_instance(w->registry, "a"), inst);
	assert_true(instance_is_open(inst));
	assert_false(slots_try_take(&inst->slots)); /* container_concurrency = 1 */
	list(w, "s/v1", "a", NULL);		    /* no address for a moment */
	assert_false(instance_is_open(inst));
	list(w, "s/v1", "a", "127.0.0.1");
	assert_ptr_equal(registry_find_instance(w->registry, "a"), inst);
	assert_int_equal(instance_in_flight(inst), 1);
	end_request(inst);
}

static void
test_an_unused_instance_is_forgotten(void **state)
{
	struct world *w = *state;
	struct instance *inst;

	list(w, "s/v1", "a", "127.0.0.1");
	inst = begin_request(w, "a");
	list(w, "s/v1", NULL, NULL);
	registry_forget_unused(w->registry);
	assert_ptr_equal(registry_find_instance(w->registry, "a"), inst);
	end_request(inst);
	registry_forget_unused(w->registry);
	assert_null(registry_find_instance(w->registry, "a"));
}

/* Requests that it was sent at its old address count against its limit. */
static void
test_an_instance_moves(void **state)
{
	struct world *w = *state;
	struct instance *inst;

	list(w, "s/v1", "a", "127.0.0.1");
	inst = begin_request(w, "a");
	list(w, "s/v1", "a", "127.0.0.2");
	assert_ptr_equal(registry_find_instance(w->registry, "a"), inst);
	assert_string_equal(instance_address(inst)->text, "127.0.0.2:1");
	assert_false(slots_try_take(&inst->slots));
	list(w, "s/v1", "a", "127.0.0.1"); /* and back: no third address */
	assert_string_equal(instance_address(inst)->text, "127.0.0.1:1");
	assert_null(instance_address(inst)->older->older);
	end_request(inst);
	assert_true(slots_try_take(&inst->slots));
	slots_give_back(&inst->slots);
}

/* An id that another revision has, listed or in use, is that revision's until it has no use
 * for it. */
static void
test_an_instance_changes_its_revision(void **state)
{
	struct world *w = *state;
	struct instance *inst;

	list(w, "s/v1", "a", "127.0.0.1");
	inst = begin_request(w, "a");
	list(w, "s/v2", "a", "127.0.0.1");
	list(w, "s/v1", NULL, NULL);
	registry_forget_unused(w->registry);
	assert_ptr_equal(registry_find_instance(w->registry, "a"), inst);
	end_request(inst);
	registry_forget_unused(w->registry);
	inst = registry_find_instance(w->registry, "a");
	assert_non_null(inst);
	assert_string_equal(inst->rev->name, "s/v2");
	assert_true(slots_try_take(&inst->slots));
	slots_give_back(&inst->slots);
}

static void
test_a_revision_is_the_same_when_it_is_described_again(void **state)
{
	struct world *w = *state;
	struct revision *rev = registry_find_revision(w->registry, "s/v1");
	struct instance *inst;
	size_t at = 0;

	list(w, "s/v1", "a", "127.0.0.1");
	inst = begin_request(w, "a");
	describe(w, 2, 0);
	registry_forget_unused(w->registry);
	assert_null(registry_find_revision(w->registry, "s/v1"));
	assert_null(registry_next_revision(w->registry, &at));
	assert_ptr_equal(registry_find_known_revision(w->registry, "s/v1"), rev);
	assert_null(registry_find_known_revision(w->registry, "s/v2"));
	describe(w, 3, 1);
	assert_ptr_equal(registry_find_revision(w->registry, "s/v1"), rev);
	list(w, "s/v1", "a", "127.0.0.1");
	assert_ptr_equal(registry_find_instance(w->registry, "a"), inst);
	assert_false(slots_try_take(&inst->slots));
	describe(w, 4, 0);
	end_request(inst);
	registry_forget_unused(w->registry);
	registry_forget_unused(w->registry); /* the revision after its instance */
	assert_null(registry_find_known_revision(w->registry, "s/v1"));
}

/* An instance that is not listed is drained when its requests have ended, and stays closed until
 * the drain is resumed, listed again or not. */
static void
test_drains_last(void **state)
{
	struct world *w = *state;
	struct instance *inst;
	struct revision *rev;

	list(w, "s/v1", "a", "127.0.0.1");
	inst = begin_request(w, "a");
	rev = inst->rev;
	list(w, "s/v1", NULL, NULL);
	assert_false(drains_revision(&w->drains, "1", rev));
	assert_false(drains_instance(&w->drains, "2", inst));
	end_request(inst);
	registry_forget_unused(w->registry);
	list(w, "s/v1", "a", "127.0.0.1");
	assert_false(instance_is_open(registry_find_instance(w->registry, "a")));
	drains_resume(&w->drains, "2");
	assert_true(instance_is_open(registry_find_instance(w->registry, "a")));

	assert_true(drains_revision(&w->drains, "3", rev));
	list(w, "s/v1", NULL, NULL);
	registry_forget_unused(w->registry);
	list(w, "s/v1", "a", "127.0.0.1");
	assert_false(instance_is_open(registry_find_instance(w->registry, "a")));
	list(w, "s/v1", NULL, NULL);
	drains_resume(&w->drains, "3");
	list(w, "s/v1", "a", "127.0.0.1");
	assert_true(instance_is_open(registry_find_instance(w->registry, "a")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_instance_is_the_same_when_it_returns, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_an_unused_instance_is_forgotten, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_an_instance_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_instance_changes_its_revision, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			test_a_revision_is_the_same_when_it_is_described_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drains_last, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
