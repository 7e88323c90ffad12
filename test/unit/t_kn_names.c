/* kn_names, kn_json, kn_time and kn_conditions. */
#include "test/unit/unit.h"

#include "autoscaler/knative/kn_conditions.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_time.h"

#define F63 "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

static void
child_names(void **state)
{
	static const struct {
		const char *parent, *suffix, *name;
	} v[] = {
		{"asdf", "-deployment", "asdf-deployment"},
		{F63, "-deployment",
		 "ffffffffffffffffffff105d7597f637e83cc711605ac3ea4957-deployment"},
		{F63, "-deploy", "ffffffffffffffffffffffff105d7597f637e83cc711605ac3ea4957-deploy"},
		{F63, "", F63},
	};
	char *name;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		name = kn_child_name(v[i].parent, v[i].suffix);
		assert_string_equal(name, v[i].name);
		free(name);
	}
	/* The suffix alone is too long: its beginning fills up what the sum of both leaves. */
	name = kn_child_name("a", F63);
	assert_int_equal(strlen(name), 63);
	assert_memory_equal(name + 33, F63, 30);
	free(name);
	name = kn_revision_name("hello", 12);
	assert_string_equal(name, "hello-00012");
	free(name);
	name = kn_deployment_name("hello-00012");
	assert_string_equal(name, "hello-00012-deployment");
	free(name);
}

static void
lists_of_names(void **state)
{
	static const struct {
		const char *list, *with, *without; /* "b" */
	} v[] = {
		{"", "b", ""},		 {"b", "b", ""},	 {"a", "a,b", "a"},
		{"c,a", "a,b,c", "a,c"}, {"bb,b", "b,bb", "bb"}, {",a,,a", "a,b", "a"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		char *with = kn_names_with(v[i].list, "b"), *without;

		without = kn_names_without(v[i].list, "b");
		assert_string_equal(with, v[i].with);
		assert_string_equal(without, v[i].without);
		assert_true(kn_names_has(with, "b"));
		assert_false(kn_names_has(without, "b"));
		free(without);
		free(with);
	}
}

static void
equal_documents(void **state)
{
	static const struct {
		const char *a, *b;
		bool is_equal;
	} v[] = {
		{"{}", "{\"a\":null,\"b\":[],\"c\":{\"d\":\"\"}}", true},
		{"{\"a\":1}", "{\"a\":1.0,\"b\":{}}", true},
		{"{\"a\":0}", "{}", false},
		{"{\"a\":false}", "{}", false},
		{"{\"a\":[{\"b\":1,\"c\":null}]}", "{\"a\":[{\"b\":1}]}", true},
		{"{\"a\":[1,2]}", "{\"a\":[2,1]}", false},
		{"{\"a\":[1]}", "{\"a\":[1,2]}", false},
		{"{\"a\":\"1\"}", "{\"a\":1}", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		json_t *a = json_loads(v[i].a, 0, NULL), *b = json_loads(v[i].b, 0, NULL);

		assert_int_equal(kn_json_equal(a, b), v[i].is_equal);
		assert_int_equal(kn_json_equal(b, a), v[i].is_equal);
		json_decref(a);
		json_decref(b);
	}
	assert_true(kn_json_equal(NULL, NULL));
	assert_null(kn_json_at(NULL, "a", "b", NULL));
	assert_string_equal(kn_json_text(NULL, "a", NULL), "");
}

static void
times(void **state)
{
	char text[KN_TIME_SIZE];

	(void)state;
	assert_string_equal(kn_time_format(1764500000, text), "2025-11-30T10:53:20Z");
	assert_int_equal(kn_time_parse(text), 1764500000);
	assert_int_equal(kn_time_parse(""), -1);
	assert_int_equal(kn_time_parse("2025-11-30T10:53:20Zx"), -1);
	assert_int_equal(kn_time_parse("2025-11-30T10:53:20.5Z"), -1);
}

#define S INT64_C(1000000000)

static void
a_clock_that_does_not_step(void **state)
{
	struct kn_clock c = {0};
	const int64_t at = INT64_C(1764500000) * S;

	(void)state;
	assert_int_equal(kn_clock_ns(&c, at, 7 * S), at);
	assert_int_equal(kn_clock_ns(&c, at + 10 * S, 17 * S), at + 10 * S);
	/* Ahead by 10 minutes: 10 % faster until they are made good. */
	assert_int_equal(kn_clock_ns(&c, at + 611 * S, 18 * S), at + 11 * S + S / 10);
	assert_int_equal(kn_clock_ns(&c, at + 3611 * S, 3018 * S), at + 3311 * S + S / 10);
	assert_int_equal(kn_clock_ns(&c, at + 6611 * S, 6018 * S), at + 6611 * S);
	/* Back: slower, and never back. */
	assert_int_equal(kn_clock_ns(&c, at + 6312 * S, 6019 * S), at + 6612 * S - S / 10);
	assert_int_equal(kn_clock_ns(&c, at + 6312 * S, 6019 * S), at + 6612 * S - S / 10);
	assert_int_equal(kn_clock_ns(&c, at + 9312 * S, 9019 * S), at + 9312 * S);
	/* A clock that was never set. */
	assert_int_equal(kn_clock_ns(&c, at + 99312 * S, 9020 * S), at + 99312 * S);
}

/* --- conditions --- */

static const char *const two[] = {"A", "B", NULL};
static const char *const none[] = {NULL};

/* The status with the conditions of c, at a time. */
static json_t *
closed(struct kn_conditions *c, int64_t wall_s)
{
	return json_pack("{s:o}", "conditions", kn_conditions_close(c, wall_s));
}

static const char *
since(const json_t *status, const char *type)
{
	return kn_json_text(kn_condition_find(status, type), "lastTransitionTime", NULL);
}

static void
ready_follows_from_its_dependents(void **state)
{
	static const struct {
		enum kn_truth a, b, ready;
		const char *reason;
	} v[] = {
		{KN_TRUE, KN_TRUE, KN_TRUE, ""},	 {KN_TRUE, KN_UNKNOWN, KN_UNKNOWN, "Rb"},
		{KN_UNKNOWN, KN_TRUE, KN_UNKNOWN, "Ra"}, {KN_FALSE, KN_UNKNOWN, KN_FALSE, "Ra"},
		{KN_UNKNOWN, KN_FALSE, KN_FALSE, "Rb"},	 {KN_FALSE, KN_TRUE, KN_FALSE, "Ra"},
	};
	struct kn_conditions c;
	json_t *status;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		kn_conditions_open(&c, NULL, two);
		kn_conditions_set(&c, "A", v[i].a, "Ra", "Ma");
		kn_conditions_set(&c, "B", v[i].b, "Rb", NULL);
		kn_conditions_set(&c, "X", KN_FALSE, "Rx", NULL);
		status = closed(&c, 1);
		assert_int_equal(kn_condition_truth(status, KN_READY), v[i].ready);
		assert_string_equal(
			kn_json_text(kn_condition_find(status, KN_READY), "reason", NULL),
			v[i].reason);
		assert_string_equal(kn_json_text(kn_condition_find(status, "X"), "severity", NULL),
				    "Info");
		assert_string_equal(kn_json_text(kn_condition_find(status, "A"), "severity", NULL),
				    "");
		/* Sorted by type. */
		assert_string_equal(
			kn_json_text(json_array_get(json_object_get(status, "conditions"), 2),
				     "type", NULL),
			KN_READY);
		json_decref(status);
	}
}

static void
times_change_with_what_is_said(void **state)
{
	struct kn_conditions c;
	json_t *first, *second;

	(void)state;
	kn_conditions_open(&c, NULL, two);
	kn_conditions_set(&c, "A", KN_TRUE, NULL, NULL);
	first = closed(&c, 1000);
	assert_int_equal(kn_condition_truth(first, "B"), KN_UNKNOWN);

	/* Changed, and changed back: nothing is new. */
	kn_conditions_open(&c, first, two);
	kn_conditions_set(&c, "A", KN_FALSE, "x", NULL);
	kn_conditions_set(&c, "A", KN_TRUE, NULL, NULL);
	second = closed(&c, 2000);
	assert_true(json_equal(first, second));
	json_decref(second);

	kn_conditions_open(&c, first, two);
	kn_conditions_set(&c, "B", KN_UNKNOWN, "Why", NULL);
	second = closed(&c, 2000);
	assert_string_equal(since(second, "A"), "1970-01-01T00:16:40Z");
	assert_string_equal(since(second, "B"), "1970-01-01T00:33:20Z");
	assert_string_equal(since(second, KN_READY), "1970-01-01T00:33:20Z");
	json_decref(second);
	json_decref(first);
}

static void
the_latest_failure_is_ready_s(void **state)
{
	struct kn_conditions c;
	json_t *first, *second;

	(void)state;
	kn_conditions_open(&c, NULL, two);
	kn_conditions_set(&c, "A", KN_FALSE, "First", NULL);
	first = closed(&c, 1000);
	kn_conditions_open(&c, first, two);
	kn_conditions_set(&c, "B", KN_FALSE, "Second", NULL);
	second = closed(&c, 2000);
	assert_string_equal(kn_json_text(kn_condition_find(second, KN_READY), "reason", NULL),
			    "Second");
	json_decref(second);
	json_decref(first);
}

static void
ready_without_dependents(void **state)
{
	struct kn_conditions c;
	json_t *status;

	(void)state;
	kn_conditions_open(&c, NULL, none);
	status = closed(&c, 1000);
	assert_int_equal(kn_condition_truth(status, KN_READY), KN_UNKNOWN);
	assert_non_null(kn_condition_find(status, KN_READY));
	json_decref(status);
	kn_conditions_open(&c, NULL, none);
	kn_conditions_set(&c, KN_READY, KN_TRUE, NULL, NULL);
	status = closed(&c, 1000);
	assert_int_equal(kn_condition_truth(status, KN_READY), KN_TRUE);
	json_decref(status);
}

static void
only_the_present_generation_counts(void **state)
{
	json_t *object = json_loads("{\"metadata\":{\"generation\":2},\"status\":{"
				    "\"observedGeneration\":1,\"conditions\":[{\"type\":\"Ready\","
				    "\"status\":\"True\"}]}}",
				    0, NULL);

	(void)state;
	assert_false(kn_is_ready(object));
	kn_json_set_number(json_object_get(object, "status"), "observedGeneration", 2);
	assert_true(kn_is_ready(object));
	assert_false(kn_is_failed(object));
	assert_false(kn_is_ready(NULL));
	json_decref(object);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(child_names),
		cmocka_unit_test(lists_of_names),
		cmocka_unit_test(equal_documents),
		cmocka_unit_test(times),
		cmocka_unit_test(a_clock_that_does_not_step),
		cmocka_unit_test(ready_follows_from_its_dependents),
		cmocka_unit_test(times_change_with_what_is_said),
		cmocka_unit_test(the_latest_failure_is_ready_s),
		cmocka_unit_test(ready_without_dependents),
		cmocka_unit_test(only_the_present_generation_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
