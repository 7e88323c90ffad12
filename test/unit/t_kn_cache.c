/* kn_cache and kn_plan: what holds of two reports of one object, lists, controllers, what is cut
 * off, and what the writes of a plan say. */
#include "test/unit/unit.h"

#include <jansson.h>

#include "autoscaler/knative/kn_cache.h"

struct changes {
	unsigned n, gone;
	char last[64];
};

static void
on_change(const struct kn_object *o, bool is_gone, void *arg)
{
	struct changes *c = arg;

	c->n++;
	c->gone += is_gone;
	snprintf(c->last, sizeof c->last, "%s", o->name);
}

/* The text has ' for ". */
static json_t *
json(const char *text)
{
	char *copy = xstrdup(text), *at;
	json_error_t why;
	json_t *doc;

	for (at = copy; *at != '\0'; at++)
		if (*at == '\'')
			*at = '"';
	doc = json_loads(copy, 0, &why);
	if (doc == NULL)
		fail_msg("%s: %s", why.text, copy);
	free(copy);
	return doc;
}

static bool
put(struct kn_cache *c, enum kn_kind kind, const char *text)
{
	json_t *doc = json(text);
	bool is_news = kn_cache_put(c, kind, doc);

	json_decref(doc);
	return is_news;
}

static bool
put_service(struct kn_cache *c, const char *name, const char *uid, const char *rv)
{
	char *text = xasprintf("{'metadata':{'namespace':'n','name':'%s','uid':'%s',"
			       "'resourceVersion':'%s','generation':3,"
			       "'creationTimestamp':'1970-01-01T00:01:40Z'}}",
			       name, uid, rv);
	bool is_news = put(c, KN_SERVICE, text);

	free(text);
	return is_news;
}

static void
test_newest_holds(void **state)
{
	struct changes changes = {.n = 0};
	struct kn_cache *c = kn_cache_new(on_change, &changes);
	const struct kn_object *o;

	(void)state;
	assert_true(put_service(c, "a", "u1", "9"));
	assert_false(put_service(c, "a", "u1", "9"));
	assert_true(put_service(c, "a", "u1", "10"));
	assert_false(put_service(c, "a", "u1", "9")); /* an answer that came late */
	assert_int_equal(changes.n, 2);
	o = kn_cache_find(c, KN_SERVICE, "n", "a");
	assert_string_equal(o->rv, "10");
	assert_string_equal(o->uid, "u1");
	assert_int_equal(o->generation, 3);
	assert_int_equal(o->created_s, 100);
	assert_string_equal(o->owner_uid, "");
	assert_false(o->is_deleting || o->is_foreign);
	assert_null(kn_cache_find(c, KN_ROUTE, "n", "a"));
	assert_ptr_equal(kn_cache_find_uid(c, "u1"), o);

	/* Another object of the name: the one before is reported as gone. */
	assert_true(put_service(c, "a", "u2", "11"));
	assert_int_equal(changes.gone, 1);
	assert_null(kn_cache_find_uid(c, "u1"));
	assert_false(kn_cache_remove(c, KN_SERVICE, "n", "a", "u1")); /* its DELETED comes late */
	assert_true(kn_cache_remove(c, KN_SERVICE, "n", "a", "u2"));
	assert_null(kn_cache_find(c, KN_SERVICE, "n", "a"));
	assert_int_equal(kn_cache_count(c), 0);
	kn_cache_free(&c);
}

static void
test_versions(void **state)
{
	(void)state;
	assert_true(kn_rv_is_newer("10", "9"));
	assert_false(kn_rv_is_newer("9", "10"));
	assert_false(kn_rv_is_newer("10", "10"));
	assert_false(kn_rv_is_newer("010", "10"));
	assert_true(kn_rv_is_newer("18446744073709551617", "18446744073709551616"));
	assert_true(kn_rv_is_newer("x2", "x1")); /* no numbers: another one is news */
	assert_false(kn_rv_is_newer("x1", "x1"));
	assert_true(kn_rv_is_newer("1", ""));
}

static void
test_cuts_off(void **state)
{
	struct kn_cache *c = kn_cache_new(NULL, NULL);
	const struct kn_object *o;
	json_t *doc;
	char *text;

	(void)state;
	put(c, KN_SERVICE,
	    "{'metadata':{'namespace':'n','name':'a','uid':'u','resourceVersion':'1',"
	    "'managedFields':[{'manager':'kubectl'}],'annotations':{'x':'1',"
	    "'kubectl.kubernetes.io/last-applied-configuration':'{}'}},'spec':{'big':1}}");
	o = kn_cache_find(c, KN_SERVICE, "n", "a");
	text = kn_object_text(o);
	assert_null(strstr(text, "managedFields"));
	assert_null(strstr(text, "last-applied"));
	assert_int_equal(text[strlen(text) - 1], '}');
	free(text);
	doc = kn_object_json(o);
	assert_string_equal(
		json_string_value(json_object_get(
			json_object_get(json_object_get(doc, "metadata"), "annotations"), "x")),
		"1");
	json_decref(doc);
	kn_cache_free(&c);
}

/* Objects that are packed with one base, and with bases of others. */
static void
test_keeps_what_objects_say(void **state)
{
	struct kn_cache *c = kn_cache_new(NULL, NULL);
	const struct kn_object *o = NULL;
	unsigned i, n = 0;

	(void)state;
	for (i = 0; i < 60; i++) {
		char *text = xasprintf(
			"{'metadata':{'namespace':'n','name':'a%u','uid':'u%u','resourceVersion':'%u'},"
			"'spec':{'a':'the text that they share','b':%u,'c':'%0*d'}}",
			i % 20, i % 20, i + 1, i, i % 3 == 0 ? 300 : 1, (int)i);

		assert_true(put(c, KN_SERVICE, text));
		free(text);
	}
	while ((o = kn_cache_next(c, KN_SERVICE, NULL, o)) != NULL) {
		json_t *doc = kn_object_json(o);

		i = 40 + n++;
		assert_int_equal(
			json_integer_value(json_object_get(json_object_get(doc, "spec"), "b")), i);
		json_decref(doc);
	}
	assert_int_equal(n, 20);
	kn_cache_free(&c);
}

static void
test_lists(void **state)
{
	struct changes changes = {.n = 0};
	struct kn_cache *c = kn_cache_new(on_change, &changes);

	(void)state;
	put_service(c, "a", "u1", "1");
	put_service(c, "b", "u2", "2");
	put(c, KN_SERVICE,
	    "{'metadata':{'namespace':'m','name':'c','uid':'u3','resourceVersion':'3'}}");
	kn_cache_list_begin(c, KN_SERVICE, "n");
	assert_false(put_service(c, "b", "u2", "2"));
	put_service(c, "d", "u4", "9"); /* created while the list was read */
	kn_cache_list_end(c, KN_SERVICE, "n");
	assert_null(kn_cache_find(c, KN_SERVICE, "n", "a"));
	assert_int_equal(changes.gone, 1);
	assert_non_null(kn_cache_find(c, KN_SERVICE, "n", "b"));
	assert_non_null(kn_cache_find(c, KN_SERVICE, "m", "c"));
	assert_non_null(kn_cache_find(c, KN_SERVICE, "n", "d"));
	kn_cache_clear(c, KN_SERVICE, NULL);
	assert_int_equal(kn_cache_count(c), 0);
	assert_int_equal(changes.gone, 4);
	kn_cache_free(&c);
}

/* A cluster that was restored from a backup counts on from a lower version. */
static void
test_restored(void **state)
{
	struct changes changes = {.n = 0};
	struct kn_cache *c = kn_cache_new(on_change, &changes);

	(void)state;
	put_service(c, "a", "u1", "900");
	put_service(c, "b", "u2", "901");
	kn_cache_list_begin(c, KN_SERVICE, NULL);
	assert_true(put_service(c, "a", "u1", "10"));
	assert_true(put_service(c, "b", "u2", "902")); /* an answer comes before the list has it */
	assert_false(put_service(c, "b", "u2", "901"));
	kn_cache_list_end(c, KN_SERVICE, NULL);
	assert_string_equal(kn_cache_find(c, KN_SERVICE, "n", "a")->rv, "10");
	assert_string_equal(kn_cache_find(c, KN_SERVICE, "n", "b")->rv, "902");
	assert_true(put_service(c, "a", "u1", "11"));
	assert_false(put_service(c, "a", "u1", "9"));
	kn_cache_free(&c);
}

static void
test_foreign(void **state)
{
	struct kn_cache *c = kn_cache_new(NULL, NULL);

	(void)state;
	put(c, KN_DEPLOYMENT,
	    "{'metadata':{'namespace':'n','name':'a','uid':'u1','resourceVersion':'1'}}");
	put(c, KN_DEPLOYMENT,
	    "{'metadata':{'namespace':'n','name':'b','uid':'u2','resourceVersion':'1',"
	    "'labels':{'serving.knative.dev/revision':'b'}}}");
	assert_true(kn_cache_find(c, KN_DEPLOYMENT, "n", "a")->is_foreign);
	assert_false(kn_cache_find(c, KN_DEPLOYMENT, "n", "b")->is_foreign);
	kn_cache_list_begin(c, KN_DEPLOYMENT, NULL);
	kn_cache_list_end(c, KN_DEPLOYMENT, NULL);
	assert_non_null(kn_cache_find(c, KN_DEPLOYMENT, "n", "a")); /* no list has it */
	assert_null(kn_cache_find(c, KN_DEPLOYMENT, "n", "b"));
	kn_cache_free(&c);
}

static bool
put_owned(struct kn_cache *c, const char *name, const char *uid, const char *rv, const char *owner)
{
	char *text = xasprintf(
		"{'metadata':{'namespace':'n','name':'%s','uid':'%s','resourceVersion':'%s',"
		"'ownerReferences':[{'uid':'other'},{'uid':'%s','controller':true}]}}",
		name, uid, rv, owner);
	bool is_news = put(c, KN_REVISION, text);

	free(text);
	return is_news;
}

static void
test_walks(void **state)
{
	struct changes changes = {.n = 0};
	struct kn_cache *c = kn_cache_new(on_change, &changes);
	const struct kn_object *o;

	(void)state;
	put_owned(c, "r1", "u1", "1", "c1");
	put_owned(c, "r2", "u2", "2", "c1");
	put_owned(c, "r3", "u3", "3", "c2");
	put_owned(c, "r1", "u1", "4", "c1"); /* it keeps its place */
	o = kn_cache_next_owned(c, KN_REVISION, "c1", NULL);
	assert_string_equal(o->name, "r1");
	assert_string_equal(o->rv, "4");
	o = kn_cache_next_owned(c, KN_REVISION, "c1", o);
	assert_string_equal(o->name, "r2");
	assert_null(kn_cache_next_owned(c, KN_REVISION, "c1", o));
	assert_null(kn_cache_next_owned(c, KN_ROUTE, "c1", NULL));

	o = kn_cache_next(c, KN_REVISION, "n", NULL);
	assert_string_equal(o->name, "r1");
	o = kn_cache_next(c, KN_REVISION, NULL, o);
	assert_string_equal(o->name, "r2");
	assert_null(kn_cache_next(c, KN_REVISION, "m", NULL));

	/* Another controller: the object is reported as it was, too. */
	changes.n = 0;
	put_owned(c, "r2", "u2", "5", "c2");
	assert_int_equal(changes.n, 2);
	assert_int_equal(changes.gone, 0);
	o = kn_cache_next_owned(c, KN_REVISION, "c1", NULL);
	assert_null(kn_cache_next_owned(c, KN_REVISION, "c1", o));
	kn_cache_free(&c);
}

static void
test_deleting(void **state)
{
	struct kn_cache *c = kn_cache_new(NULL, NULL);

	(void)state;
	put_service(c, "a", "u1", "1");
	kn_cache_set_deleting(c, KN_SERVICE, "n", "a", "u0");
	assert_false(kn_cache_find(c, KN_SERVICE, "n", "a")->is_deleting);
	kn_cache_set_deleting(c, KN_SERVICE, "n", "a", "u1");
	assert_true(kn_cache_find(c, KN_SERVICE, "n", "a")->is_deleting);
	put_service(c, "a", "u1", "2"); /* the watch is behind */
	assert_true(kn_cache_find(c, KN_SERVICE, "n", "a")->is_deleting);
	put_service(c, "a", "u2", "3");
	assert_false(kn_cache_find(c, KN_SERVICE, "n", "a")->is_deleting);
	put(c, KN_SERVICE,
	    "{'metadata':{'namespace':'n','name':'a','uid':'u2','resourceVersion':'4',"
	    "'deletionTimestamp':'2026-01-01T00:00:00Z'}}");
	assert_true(kn_cache_find(c, KN_SERVICE, "n", "a")->is_deleting);
	kn_cache_free(&c);
}

/* Whatever an object of a user says, it ends no process. */
static void
test_nonsense(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{'metadata':7}",
		"{'metadata':{'annotations':[],'ownerReferences':7,'labels':'x'}}",
		"{'metadata':{'ownerReferences':[1,{'controller':true}]}}",
		"{'metadata':{'annotations':{'kubectl.kubernetes.io/last-applied-configuration':1}}}",
		"[]",
	};
	struct kn_cache *c = kn_cache_new(NULL, NULL);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(texts); i++)
		put(c, KN_PLACEHOLDER, texts[i]);
	kn_cache_free(&c);
}

/* --- plans --- */

static const char *
text_at(const json_t *j, const char *a, const char *b)
{
	const char *text = json_string_value(json_object_get(json_object_get(j, a), b));

	return text == NULL ? "" : text;
}

static void
test_plan(void **state)
{
	struct kn_cache *c = kn_cache_new(NULL, NULL);
	const struct kn_object *o;
	struct kn_plan p;

	(void)state;
	put(c, KN_SERVICE,
	    "{'metadata':{'namespace':'n','name':'a','uid':'u1','resourceVersion':'7'},"
	    "'spec':{'s':1},'status':{'x':1}}");
	o = kn_cache_find(c, KN_SERVICE, "n", "a");
	kn_plan_init(&p);
	kn_plan_create(&p, KN_DEPLOYMENT, "n", json("{'metadata':{'name':'d'}}"));
	kn_plan_event(&p, false, "Created", "made");
	kn_plan_patch(&p, o, json("{'metadata':{'labels':{'l':null}}}"));
	kn_plan_status(&p, o, json("{'x':1}")); /* as it is */
	kn_plan_status(&p, o, json("{'x':2}"));
	kn_plan_delete(&p, o);
	kn_plan_track(&p, KN_ROUTE, "n", "a");
	kn_plan_track(&p, KN_ROUTE, "n", "a");
	kn_plan_again(&p, 20);
	kn_plan_again(&p, 10);
	kn_plan_again(&p, 30);

	assert_int_equal(p.writes_n, 4);
	assert_int_equal(p.writes[0].verb, KN_CREATE);
	assert_string_equal(p.writes[0].name, "d");
	assert_string_equal(text_at(p.writes[0].body, "metadata", "namespace"), "n");
	assert_string_equal(json_string_value(json_object_get(p.writes[0].body, "apiVersion")),
			    "apps/v1");
	assert_string_equal(json_string_value(json_object_get(p.writes[0].body, "kind")),
			    "Deployment");
	assert_int_equal(p.writes[1].verb, KN_PATCH);
	assert_string_equal(text_at(p.writes[1].body, "metadata", "uid"), "u1");
	assert_string_equal(p.writes[1].rv, "7");
	assert_int_equal(p.writes[2].verb, KN_PUT_STATUS);
	assert_non_null(json_object_get(p.writes[2].body, "spec"));
	assert_int_equal(p.writes[3].verb, KN_DELETE);
	assert_null(p.writes[3].body);
	assert_int_equal(p.notes_n, 1);
	assert_int_equal(p.notes[0].after, 1);
	assert_int_equal(p.tracked_n, 1);
	assert_int_equal(p.again_ns, 10);
	kn_plan_fini(&p);
	kn_cache_free(&c);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest_holds), cmocka_unit_test(test_versions),
		cmocka_unit_test(test_cuts_off),     cmocka_unit_test(test_keeps_what_objects_say),
		cmocka_unit_test(test_lists),	     cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_restored),     cmocka_unit_test(test_walks),
		cmocka_unit_test(test_deleting),     cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
