/* kube_split: objects come out complete, in whatever pieces the bytes come in. */
#include "test/unit/unit.h"

#include "autoscaler/kube/kube_split.h"

static bool
note(enum kube_piece piece, const char *text, size_t n, void *arg)
{
	static const char letters[] = {
		[KUBE_EVENT] = 'e', [KUBE_ITEM] = 'i', [KUBE_LIST_METADATA] = 'm'};

	assert_int_equal(strlen(text), n);
	strbuf_addf(arg, "%c%s;", letters[piece], text);
	return strstr(text, "STOP") == NULL;
}

/* Feed text in pieces of `step` bytes. */
static int
feed(enum kube_form form, const char *text, size_t step, struct strbuf *out, bool *is_complete)
{
	size_t n = strlen(text), at;
	struct kube_split s;
	int rc = 0;

	kube_split_init(&s, form);
	for (at = 0; at < n && rc == 0; at += step)
		rc = kube_split_feed(&s, text + at, MIN(step, n - at), note, out);
	*is_complete = kube_split_is_complete(&s);
	kube_split_fini(&s);
	return rc;
}

static const struct {
	enum kube_form form;
	const char *text, *pieces;
	bool is_complete;
} rows[] = {
	{KUBE_LINES, "{\"a\":1}\n{\"b\":\"\xc3\xa4\"}\n", "e{\"a\":1};e{\"b\":\"\xc3\xa4\"};",
	 true},
	{KUBE_LINES, "\n\n{}\n", "e{};", true},
	{KUBE_LINES, "{}\n{\"ha", "e{};", false},
	{KUBE_LINES, "", "", true},
	{KUBE_LIST, "{\"kind\":\"L\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[]}",
	 "m{\"resourceVersion\":\"7\"};", true},
	{KUBE_LIST, "{\"items\":[{\"a\":{\"b\":[1,{}]}},{}],\"metadata\":{}}\n",
	 "i{\"a\":{\"b\":[1,{}]}};i{};m{};", true},
	/* brackets and quotes within strings; items that is no list; items and metadata within an
	 * object */
	{KUBE_LIST, "{\"items\": [ {\"x\":\"]}\\\"{\"} ] }", "i{\"x\":\"]}\\\"{\"};", true},
	{KUBE_LIST, "{\"a\":\"items\",\"b\":[{}],\"items\":{\"c\":[{}]}}", "", true},
	{KUBE_LIST, "{\"items\":[{\"metadata\":{\"items\":[{}]}}]}",
	 "i{\"metadata\":{\"items\":[{}]}};", true},
	{KUBE_LIST, "{\"items\":[{},{\"a\"", "i{};", false},
	{KUBE_LIST, "{\"items\":[{}]", "i{};", false},
	{KUBE_LIST, "", "", false},
};

static void
objects_do_not_depend_on_the_pieces(void **state)
{
	size_t i, step;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		for (step = 1; step < 80; step++) {
			struct strbuf out;
			bool is_complete;

			strbuf_init(&out, 0);
			assert_int_equal(feed(rows[i].form, rows[i].text, step, &out, &is_complete),
					 0);
			assert_string_equal(strbuf_str(&out), rows[i].pieces);
			assert_int_equal(is_complete, rows[i].is_complete);
			strbuf_fini(&out);
		}
}

static void
a_callback_can_stop_it(void **state)
{
	struct strbuf out;
	bool is_complete;

	(void)state;
	strbuf_init(&out, 0);
	assert_int_equal(feed(KUBE_LINES, "{}\nSTOP\n{}\n", 100, &out, &is_complete), -1);
	assert_string_equal(strbuf_str(&out), "e{};eSTOP;");
	strbuf_clear(&out);
	assert_int_equal(feed(KUBE_LIST, "{\"items\":[{\"STOP\":1},{}]}", 100, &out, &is_complete),
			 -1);
	assert_string_equal(strbuf_str(&out), "i{\"STOP\":1};");
	assert_int_equal(feed(KUBE_LIST, "{}{}", 100, &out, &is_complete), -1); /* behind the end */
	strbuf_fini(&out);
}

static void
an_object_has_a_largest_size(void **state)
{
	char *text = xmalloc(KUBE_OBJECT_MOST + 10);
	struct strbuf out;
	bool is_complete;

	(void)state;
	strbuf_init(&out, 0);
	memset(text, 'x', KUBE_OBJECT_MOST + 10);
	text[1 << 20] = '\n';
	text[(1 << 20) + 1] = '\0';
	assert_int_equal(feed(KUBE_LINES, text, 1000, &out, &is_complete), 0);
	assert_int_equal(out.len, (1 << 20) + 2);
	memset(text, 'x', KUBE_OBJECT_MOST + 10);
	text[KUBE_OBJECT_MOST + 9] = '\0';
	assert_int_equal(feed(KUBE_LINES, text, 60000, &out, &is_complete), -1);
	strbuf_fini(&out);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_do_not_depend_on_the_pieces),
		cmocka_unit_test(a_callback_can_stop_it),
		cmocka_unit_test(an_object_has_a_largest_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
