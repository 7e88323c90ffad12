/* kn_machine, with an API server, a clock and timers that the test moves: what it writes, what it
 * does when a write fails, its answer is lost or the object has changed, and that it comes to rest.
 */
#include "test/unit/kn_machine_world.h"

#include "common/log.h"
#include "common/loop.h"

/* --- the handler: a Service has a Deployment of its name, and its status says how it is --- */

static void
put_state(const struct kn_object *o, struct kn_plan *plan, const char *state)
{
	kn_plan_status(plan, o, json_pack("{s:s}", "state", state));
}

static bool
says(const struct kn_object *o, const char *part)
{
	char *text = kn_object_text(o);
	bool is = strstr(text, part) != NULL;

	free(text);
	return is;
}

static void
handle(const struct kn_context *ctx, const struct kn_object *o, struct kn_plan *plan)
{
	const struct kn_object *d = kn_cache_find(ctx->cache, KN_DEPLOYMENT, o->ns, o->name);

	world.handled++;
	snprintf(world.failure, sizeof world.failure, "%s",
		 ctx->failure == NULL ? "" : ctx->failure->message);
	kn_plan_track(plan, KN_DEPLOYMENT, o->ns, o->name);
	if (world.wants_again)
		kn_plan_again(plan, 10 * CLK_S);
	if (d == NULL) {
		kn_plan_create(plan, KN_DEPLOYMENT, o->ns,
			       json_pack("{s:{s:s, s:{s:s}, s:[{s:s, s:b}]}}", "metadata", "name",
					 o->name, "labels", LABEL, o->name, "ownerReferences",
					 "uid", o->uid, "controller", 1));
		kn_plan_event(plan, false, "Created", "a Deployment");
		put_state(o, plan, "made");
	} else if (strcmp(d->owner_uid, o->uid) != 0) {
		put_state(o, plan, "NotOwned");
	} else if (d->is_foreign) {
		kn_plan_patch(plan, d,
			      json_pack("{s:{s:{s:s}}}", "metadata", "labels", LABEL, o->name));
	} else if (says(o, "\"restless\"")) {
		kn_plan_patch(plan, d,
			      json_pack("{s:{s:I}}", "spec", "patched", (json_int_t)world.handled));
	} else if (says(o, "\"vain\"")) {
		kn_plan_patch(plan, d, json_pack("{s:{s:i}}", "spec", "patched", 1));
		put_state(o, plan, "written");
	} else if (says(o, "\"doomed\"") && !d->is_deleting) {
		kn_plan_delete(plan, d);
	} else if (says(o, "\"cleared\"") && !d->is_deleting) {
		kn_plan_delete(plan, d);
		put_state(o, plan, "cleared");
	} else if (says(o, "\"patched\"") && !says(d, "\"patched\"")) {
		kn_plan_patch(plan, d, json_pack("{s:{s:i}}", "spec", "patched", 1));
		kn_plan_patch(plan, d, json_pack("{s:{s:i}}", "spec", "again", 1));
		put_state(o, plan, "patched");
	} else if (says(o, "\"passing\"")) {
		put_state(o, plan, world.state);
		if (world.is_passing)
			kn_plan_status_is_passing(plan);
	} else if (says(o, "\"routed\"")) {
		put_state(o, plan,
			  ctx->facts->is_routed(ctx->facts, o->ns, o->name) ? "in use" : "waits");
	}
}

static bool
no_revision(const struct kn_facts *f, const char *ns, const char *d, struct kn_revision_facts *out)
{
	(void)f, (void)ns, (void)d;
	*out = (struct kn_revision_facts){.actual = -1, .desired = -1, .ready = -1};
	return false;
}

static bool
is_due(enum kn_kind kind, const char *ns, const char *name, void *arg)
{
	(void)ns, (void)arg;
	return kind == KN_SERVICE && name[0] != '\0';
}

static bool
is_routed(const struct kn_facts *f, const char *ns, const char *route)
{
	(void)f, (void)ns, (void)route;
	return world.is_routed;
}

static const char *
no_refusal(const struct kn_facts *f, enum kn_kind kind, const char *ns, const char *name)
{
	(void)f, (void)kind, (void)ns, (void)name;
	return NULL;
}

static void
on_change(void *arg)
{
	assert_null(arg);
	world.changes++;
}

static int
set_up(void **state)
{
	static const struct kn_handlers handlers = {.v = {[KN_SERVICE] = handle}};
	static const struct kn_facts facts = {
		.revision = no_revision, .is_routed = is_routed, .refusal = no_refusal};
	const struct kn_machine_conf conf = {.handlers = &handlers, .facts = &facts};

	(void)state;
	machine_world_open();
	world.machine = kn_machine_new(&conf, on_change, NULL);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	kn_machine_free(&world.machine);
	machine_world_close();
	return 0;
}

static void
add_service(const char *name, const char *spec)
{
	char *path = xasprintf(SERVICES "/%s", name);

	add(SERVICES, json_pack("{s:{s:s, s:s}, s:{s:i}}", "metadata", "namespace", "n", "name",
				name, "spec", spec, 1));
	watch(KN_SERVICE, path);
	free(path);
}

static const char *
state_of(const char *name)
{
	char *path = xasprintf(SERVICES "/%s", name);
	const json_t *object = hmap_find(&world.objects, path);

	free(path);
	return text_of(json_object_get(object, "status"), "state");
}

/* A user changes a Service, and the watch shows it. */
static void
edit(const char *name, const char *spec)
{
	char *path = xasprintf(SERVICES "/%s", name);
	json_t *copy = json_deep_copy(hmap_find(&world.objects, path));

	json_object_set_new(copy, "spec", json_pack("{s:i}", spec, 1));
	stamp(copy);
	store(path, copy);
	watch(KN_SERVICE, path);
	free(path);
}

/* --- tests --- */

static void
test_comes_to_rest(void **state)
{
	unsigned handled;

	(void)state;
	add_service("a", "plain");
	settle();
	assert_int_equal(world.writes, 0); /* not everything was listed */
	kn_machine_start(world.machine, 30);
	settle();
	assert_string_equal(state_of("a"), "made");
	assert_int_equal(world.writes, 2);
	assert_string_equal(world.notes, "Service Created 0 a Deployment;");
	/* The watch shows what the answers have said. */
	handled = world.handled;
	watch(KN_SERVICE, SERVICES "/a");
	watch(KN_DEPLOYMENT, DEPLOYMENTS "/a");
	pass(3600 * CLK_S);
	assert_int_equal(world.handled, handled);
	assert_int_equal(world.writes, 2);
	assert_int_equal(world.reads, 0);
	/* The object is known from the answer, without any watch. */
	assert_non_null(kn_cache_find(kn_machine_cache(world.machine), KN_DEPLOYMENT, "n", "a"));
	assert_true(world.changes > 0);
}

static void
become(const char *state, bool is_passing)
{
	world.state = state;
	world.is_passing = is_passing;
	kn_machine_mark(world.machine, KN_SERVICE, "n", "a");
	settle();
}

static void
test_a_state_that_does_not_last_is_not_written(void **state)
{
	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	settle();
	world.state = "one";
	world.is_passing = true;
	edit("a", "passing");
	settle();
	pass(CLK_S / 2);
	become("two", true);
	assert_string_equal(state_of("a"), "made");
	pass(CLK_S / 2);
	assert_string_equal(state_of("a"), "two");
	assert_int_equal(world.statuses, 2);
	become("three", true);
	become("good", false);
	assert_string_equal(state_of("a"), "good");
	pass(3600 * CLK_S);
	become("four", true);
	become("good", true); /* as it is */
	pass(3600 * CLK_S);
	become("five", true);
	assert_string_equal(state_of("a"), "good");
	pass(CLK_S);
	assert_string_equal(state_of("a"), "five");
	assert_int_equal(world.statuses, 4);
}

static void
test_many(void **state)
{
	unsigned i;
	char name[16];

	(void)state;
	kn_machine_start(world.machine, 30);
	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "s%u", i);
		add_service(name, "plain");
	}
	settle();
	assert_int_equal(world.creates, 300);
	assert_int_equal(world.statuses, 300);
	assert_int_equal(world.writes, 600);
	assert_true(world.most <= 16);
}

/* The create was carried out, but its answer was lost: what is there is ours. */
static void
test_lost_answer(void **state)
{
	(void)state;
	kn_machine_start(world.machine, 30);
	world.fault = LOST_AFTER;
	add_service("a", "plain");
	settle();
	assert_string_equal(state_of("a"), "");
	assert_string_equal(world.notes, "");
	pass(CLK_S);
	assert_int_equal(world.creates, 1);
	assert_int_equal(world.reads, 1); /* after AlreadyExists */
	assert_non_null(kn_cache_find(kn_machine_cache(world.machine), KN_DEPLOYMENT, "n", "a"));
	pass(3600 * CLK_S);
	assert_int_equal(world.creates, 1);
	assert_int_equal(world.reads, 1);
}

static void
test_lost_request(void **state)
{
	(void)state;
	kn_machine_start(world.machine, 30);
	world.fault = LOST_BEFORE;
	add_service("a", "plain");
	settle();
	assert_int_equal(world.creates, 0);
	pass(CLK_S);
	assert_int_equal(world.creates, 1);
	assert_string_equal(state_of("a"), "made");
	assert_string_equal(world.failure, "");
}

/* An object that is not ours is in the way; it goes; ours is made. */
static void
test_foreign(void **state)
{
	unsigned reads;

	(void)state;
	kn_machine_start(world.machine, 30);
	add(DEPLOYMENTS, json_pack("{s:{s:s, s:s}}", "metadata", "namespace", "n", "name", "a"));
	add_service("a", "plain");
	settle();
	assert_string_equal(state_of("a"), "NotOwned");
	assert_string_equal(world.failure, "");
	pass(20 * CLK_S);
	assert_int_equal(world.reads, 1);
	assert_int_equal(world.creates, 0);
	pass(20 * CLK_S);
	assert_int_equal(world.reads, 2);
	json_decref(hmap_remove(&world.objects, DEPLOYMENTS "/a"));
	pass(40 * CLK_S);
	assert_int_equal(world.creates, 1);
	assert_string_equal(state_of("a"), "made");
	/* It is not asked for any more. */
	reads = world.reads;
	pass(3600 * CLK_S);
	assert_int_equal(world.reads, reads);
}

/* Nothing waits for the foreign object any more: it is forgotten. */
static void
test_foreign_forgotten(void **state)
{
	(void)state;
	kn_machine_start(world.machine, 30);
	add(DEPLOYMENTS, json_pack("{s:{s:s, s:s}}", "metadata", "namespace", "n", "name", "a"));
	add_service("a", "plain");
	settle();
	watch_gone(KN_SERVICE, SERVICES "/a");
	pass(60 * CLK_S);
	assert_int_equal(kn_cache_count(kn_machine_cache(world.machine)), 0);
}

/* A failure is shown to the handler, tried again after a back-off, and at once after a change. */
static void
test_failure(void **state)
{
	unsigned handled, writes;

	(void)state;
	kn_machine_start(world.machine, 30);
	world.fault = REFUSED;
	add_service("a", "plain");
	settle();
	assert_int_equal(world.writes, 1);
	pass(100 * CLK_MS);
	assert_int_equal(world.writes, 2);
	assert_string_equal(world.failure, "no");
	pass(600 * CLK_S);
	writes = world.writes;
	assert_in_range(writes, 15, 60); /* up to 30 s, less up to a half */
	handled = world.handled;
	world.fault = NONE;
	edit("a", "other");
	settle();
	assert_int_equal(world.handled, handled + 2); /* that time, and after its own writes */
	assert_string_equal(state_of("a"), "made");
	assert_string_equal(world.failure, "");
}

static void
test_conflict(void **state)
{
	json_t *copy;

	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	settle();
	/* Another client changes the Deployment, and the watch is behind. */
	copy = json_deep_copy(hmap_find(&world.objects, DEPLOYMENTS "/a"));
	json_object_set_new(copy, "spec", json_pack("{s:i}", "by-other", 1));
	stamp(copy);
	store(DEPLOYMENTS "/a", copy);
	edit("a", "patched");
	settle();
	assert_int_equal(world.reads, 1);
	assert_string_equal(state_of("a"), "patched");
	copy = json_object_get(hmap_find(&world.objects, DEPLOYMENTS "/a"), "spec");
	assert_non_null(json_object_get(copy, "by-other"));
	assert_non_null(json_object_get(copy, "patched"));
	assert_non_null(json_object_get(copy, "again")); /* the second patch of the same plan */
}

/* What is written to has gone, and the watch is behind: that is no failure. */
static void
test_gone(void **state)
{
	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	settle();
	json_decref(hmap_remove(&world.objects, DEPLOYMENTS "/a"));
	edit("a", "patched");
	settle();
	assert_int_equal(world.reads, 1);
	assert_int_equal(world.creates, 2);
	assert_string_equal(world.failure, "");
}

/* The answer to a write arrives after the watch has shown that the object has gone. */
static void
test_buried(void **state)
{
	struct kube_request *r;
	json_t *made;

	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	world.fault = NONE;
	while (list_empty(&world.requests)) {
		struct loop_timer
			*t = container_of(list_first(&world.timers), struct test_timer, node)->t;

		loop_timer_clear(t);
		t->fn(t->arg);
	}
	r = container_of(list_first(&world.requests), struct kube_request, node);
	made = add(DEPLOYMENTS, json_loads(r->body, 0, NULL));
	json_incref(made);
	watch(KN_DEPLOYMENT, DEPLOYMENTS "/a");
	watch_gone(KN_DEPLOYMENT, DEPLOYMENTS "/a");
	answer(r, 201, made, "");
	json_decref(made);
	assert_null(kn_cache_find(kn_machine_cache(world.machine), KN_DEPLOYMENT, "n", "a"));
	settle();
	assert_non_null(kn_cache_find(kn_machine_cache(world.machine), KN_DEPLOYMENT, "n", "a"));
	assert_int_equal(world.creates, 1);
}

/* Somebody takes off the label by which our object is watched: it is found, and gets it back. */
static void
test_label_taken_off(void **state)
{
	json_t *copy;
	const struct kn_object *d;

	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	settle();
	copy = json_deep_copy(hmap_find(&world.objects, DEPLOYMENTS "/a"));
	json_object_del(json_object_get(copy, "metadata"), "labels");
	stamp(copy);
	store(DEPLOYMENTS "/a", copy);
	kn_cache_remove(kn_machine_cache(world.machine), KN_DEPLOYMENT, "n", "a", NULL);
	pass(10 * CLK_S);
	d = kn_cache_find(kn_machine_cache(world.machine), KN_DEPLOYMENT, "n", "a");
	assert_non_null(d);
	assert_false(d->is_foreign);
	assert_string_equal(state_of("a"), "made");
	assert_string_equal(world.failure, "");
	assert_int_equal(world.creates, 1);
}

static void
write_in_vain(void *arg)
{
	json_t *copy;
	unsigned writes;
	int i;

	(void)arg;
	log_open(LOG_WARN, LOG_LOGFMT, "t_kn_machine");
	world.is_stubborn = true;
	writes = world.writes;
	for (i = 0; i < 100; i++) {
		edit("a", "vain");
		settle();
	}
	assert_string_equal(state_of("a"), "written");
	assert_int_equal(world.writes, writes + 2); /* the patch, and the status */
	/* Once the object differs, it is tried again. */
	copy = json_deep_copy(hmap_find(&world.objects, DEPLOYMENTS "/a"));
	json_object_set_new(copy, "spec", json_pack("{s:i}", "edited", 1));
	stamp(copy);
	store(DEPLOYMENTS "/a", copy);
	watch(KN_DEPLOYMENT, DEPLOYMENTS "/a");
	settle();
	assert_int_equal(world.writes, writes + 3);
	world.is_stubborn = false;
	edit("a", "vain");
	settle();
	assert_int_equal(world.writes, writes + 3);
	log_open(LOG_ERROR, LOG_LOGFMT, "t_kn_machine");
}

/* The server, or a webhook, undoes what is written: that is tried once, and logged. */
static void
test_in_vain(void **state)
{
	char *log, *at;

	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	settle();
	log = unit_stderr_of(write_in_vain, NULL);
	at = strstr(log, "leaves an object as it is");
	assert_non_null(at);
	assert_null(strstr(log, "again and again"));
	free(log);
}

/* A handler that is never content writes once a second, no more. */
static void
test_again_and_again(void **state)
{
	unsigned writes;

	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	settle();
	edit("a", "restless");
	settle();
	pass(CLK_S);
	writes = world.writes;
	assert_in_range(writes, 50, 70);
	pass(100 * CLK_S);
	assert_in_range(world.writes - writes, 90, 110);
	edit("a", "plain");
	settle();
	writes = world.writes;
	pass(100 * CLK_S);
	assert_int_equal(world.writes, writes);
}

static void
test_delete(void **state)
{
	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	settle();
	edit("a", "doomed");
	settle();
	assert_null(hmap_find(&world.objects, DEPLOYMENTS "/a"));
	assert_true(kn_cache_find(kn_machine_cache(world.machine), KN_DEPLOYMENT, "n", "a")
			    ->is_deleting);
	assert_int_equal(world.writes, 3);
}

/* What cannot be deleted stays, and the plan goes on; it is tried again after a back-off. */
static void
delete_in_vain(void *arg)
{
	(void)arg;
	log_open(LOG_WARN, LOG_LOGFMT, "t_kn_machine");
	world.fault = DELETE_REFUSED;
	edit("a", "cleared");
	settle();
	pass(600 * CLK_S);
	log_open(LOG_ERROR, LOG_LOGFMT, "t_kn_machine");
}

static void
test_delete_refused(void **state)
{
	char *log, *at;
	unsigned writes;

	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	settle();
	log = unit_stderr_of(delete_in_vain, NULL);
	assert_string_equal(state_of("a"), "cleared");
	assert_string_equal(world.failure, "");
	writes = world.writes;
	assert_in_range(writes, 15, 60);
	at = strstr(log, "cannot delete deployments n/a: 422");
	assert_non_null(at);
	assert_null(strstr(at + 1, "cannot delete"));
	free(log);
	world.fault = NONE;
	pass(30 * CLK_S);
	assert_null(hmap_find(&world.objects, DEPLOYMENTS "/a"));
	writes = world.writes;
	pass(100 * CLK_S);
	assert_int_equal(world.writes, writes);
}

/* What it deletes is gone already. */
static void
test_delete_gone(void **state)
{
	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	settle();
	json_decref(hmap_remove(&world.objects, DEPLOYMENTS "/a"));
	edit("a", "doomed");
	settle();
	assert_int_equal(world.writes, 3);
	pass(60 * CLK_S);
	assert_int_equal(world.writes, 3);
}

static void
test_object_deleting(void **state)
{
	json_t *copy;

	(void)state;
	add_service("a", "plain");
	copy = json_deep_copy(hmap_find(&world.objects, SERVICES "/a"));
	json_object_set_new(meta_of(copy), "deletionTimestamp",
			    json_string("2026-01-01T00:00:00Z"));
	stamp(copy);
	store(SERVICES "/a", copy);
	watch(KN_SERVICE, SERVICES "/a");
	kn_machine_start(world.machine, 30);
	settle();
	assert_int_equal(world.handled, 0);
	assert_int_equal(world.writes, 0);
}

static void
test_writer(void **state)
{
	(void)state;
	kn_machine_set_writer(world.machine, false);
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	settle();
	assert_int_equal(world.handled, 0);
	kn_machine_set_writer(world.machine, true);
	settle();
	assert_string_equal(state_of("a"), "made");
}

/* A process that is no writer any more ends its plan, and goes on with it later. */
static void
test_writer_lost(void **state)
{
	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	while (list_empty(&world.requests)) {
		struct loop_timer
			*t = container_of(list_first(&world.timers), struct test_timer, node)->t;

		loop_timer_clear(t);
		t->fn(t->arg);
	}
	kn_machine_set_writer(world.machine, false);
	settle();
	assert_int_equal(world.writes, 1);
	kn_machine_set_writer(world.machine, true);
	settle();
	assert_int_equal(world.creates, 1);
}

static void
test_again_and_routed(void **state)
{
	unsigned handled;

	(void)state;
	kn_machine_start(world.machine, 30);
	add_service("a", "plain");
	add_service("b", "plain");
	settle();
	edit("a", "routed");
	settle();
	assert_string_equal(state_of("a"), "waits");
	handled = world.handled;
	world.is_routed = true;
	kn_machine_mark_unrouted(world.machine, is_due, NULL); /* a alone waits */
	settle();
	assert_string_equal(state_of("a"), "in use");
	assert_int_equal(world.handled, handled + 2);
	kn_machine_mark_unrouted(world.machine, is_due, NULL);
	settle();
	assert_int_equal(world.handled, handled + 2);

	world.wants_again = true;
	kn_machine_mark(world.machine, KN_SERVICE, "n", "b");
	settle();
	handled = world.handled;
	pass(10 * CLK_S);
	assert_int_equal(world.handled, handled + 1);
	kn_machine_mark_deployment(world.machine, "n", "b");
	settle();
	assert_int_equal(world.handled, handled + 2);
	kn_machine_mark_all(world.machine);
	settle();
	assert_int_equal(world.handled, handled + 4);
}

/* Deadlines are neither over at once nor further away, whatever is done to the machine's clock. */
static void
test_clock(void **state)
{
	int64_t before = kn_machine_context(world.machine)->wall_s;

	(void)state;
	world.wall_step = 600 * CLK_S;
	world.now += 10 * CLK_S;
	assert_in_range(kn_machine_context(world.machine)->wall_s, before + 10, before + 12);
	world.wall_step = -600 * CLK_S;
	world.now += 10 * CLK_S;
	assert_in_range(kn_machine_context(world.machine)->wall_s, before + 19, before + 21);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_comes_to_rest),
		TEST(test_many),
		TEST(test_lost_answer),
		TEST(test_lost_request),
		TEST(test_foreign),
		TEST(test_foreign_forgotten),
		TEST(test_failure),
		TEST(test_conflict),
		TEST(test_buried),
		TEST(test_label_taken_off),
		TEST(test_again_and_again),
		TEST(test_gone),
		TEST(test_in_vain),
		TEST(test_delete),
		TEST(test_delete_gone),
		TEST(test_delete_refused),
		TEST(test_object_deleting),
		TEST(test_writer),
		TEST(test_writer_lost),
		TEST(test_again_and_routed),
		TEST(test_a_state_that_does_not_last_is_not_written),
		TEST(test_clock),
	};

	log_open(LOG_ERROR, LOG_LOGFMT, "t_kn_machine");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
