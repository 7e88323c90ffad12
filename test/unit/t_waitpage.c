/* waitpage: which requests get the waiting page, and its text. */
#include "test/unit/unit.h"

#include "activator/waitpage.h"
#include "common/strbuf.h"

#define CHROME                                                                                     \
	"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

struct ask {
	const char *method, *accept, *mode, *purpose, *with;
	bool is_wanted;
};

static const char *page; /* x-activator-page */

static const char *
field(void *ctx, const char *name, size_t *n)
{
	const struct ask *a = ctx;
	const char *value = NULL;

	if (strcmp(name, "accept") == 0)
		value = a->accept;
	else if (strcmp(name, "sec-fetch-mode") == 0)
		value = a->mode;
	else if (strcmp(name, "sec-purpose") == 0)
		value = a->purpose;
	else if (strcmp(name, "x-requested-with") == 0)
		value = a->with;
	else if (strcmp(name, "x-activator-page") == 0)
		value = page;
	*n = value == NULL ? 0 : strlen(value);
	return value;
}

static void
test_which_requests_get_the_page(void **state)
{
	struct ask rows[] = {
		{"GET", CHROME, "navigate", NULL, NULL, true},
		{"GET", NULL, "navigate", NULL, NULL, true},
		{"GET", CHROME, "Navigate", NULL, NULL, true},
		{"GET", CHROME, NULL, NULL, NULL, true}, /* an older browser */
		{"GET", "text/html", NULL, NULL, NULL, true},
		{"GET", "text/html;level=1;q=0.5, application/json;q=0.4", NULL, NULL, NULL, true},
		{"GET", "application/json, text/html; q=1", NULL, NULL, NULL, true},
		{"HEAD", CHROME, "navigate", NULL, NULL, false},
		{"POST", CHROME, "navigate", NULL, NULL, false},
		{"get", CHROME, "navigate", NULL, NULL, false},
		{"GET", CHROME, "navigate", "prefetch;prerender", NULL, false},
		{"GET", CHROME, "cors", NULL, NULL, false},
		{"GET", CHROME, "no-cors", NULL, NULL, false},
		{"GET", CHROME, "same-origin", NULL, NULL, false},
		{"GET", CHROME, "websocket", NULL, NULL, false},
		{"GET", CHROME, NULL, NULL, "XMLHttpRequest", false},
		{"GET", NULL, NULL, NULL, NULL, false},
		{"GET", "", NULL, NULL, NULL, false},
		{"GET", "*/*", NULL, NULL, NULL, false}, /* curl, wget, most programs */
		{"GET", "text/*", NULL, NULL, NULL, false},
		{"GET", "application/json", NULL, NULL, NULL, false},
		{"GET", "application/json, text/html;q=0.9", NULL, NULL, NULL, false},
		{"GET", "application/json, text/html; q=0.9", NULL, NULL, NULL, false},
		{"GET", "application/json, text/plain, */*", NULL, NULL, NULL, false},
		{"GET", "text/html;q=0", NULL, NULL, NULL, false},
		{"GET", "text/html;q=0.000", NULL, NULL, NULL, false},
		{"GET", "text/htmlx", NULL, NULL, NULL, false},
		{"GET", "text/html;q=", NULL, NULL, NULL, true},
		{"GET", "text/html;", NULL, NULL, NULL, true},
		{"GET", ",,, text/html ,", NULL, NULL, NULL, true},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (waitpage_is_wanted(rows[i].method, strlen(rows[i].method), field, &rows[i]) !=
		    rows[i].is_wanted)
			fail_msg("row %zu: %s %s", i, rows[i].method, rows[i].accept);
}

/* The page fetches its own text by a request with x-activator-page; other requests of it wait
 * for the service. */
static void
test_itself(void **state)
{
	struct ask get = {"GET", "*/*", "same-origin", NULL, NULL, false};

	(void)state;
	page = "words";
	assert_true(waitpage_is_wanted("GET", 3, field, &get));
	assert_false(waitpage_is_wanted("HEAD", 4, field, &get));
	page = NULL;
	assert_false(waitpage_is_wanted("GET", 3, field, &get));
}

static char *
render(const char *template, const struct waitpage_view *v)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	waitpage_render(&b, template, v);
	return strbuf_take(&b);
}

static void
test_text(void **state)
{
	struct waitpage_view v = {.service = "shop",
				  .host = "a<b>&\"'\x01.exampleREST",
				  .host_n = 16,
				  .expected_ms = 2500,
				  .elapsed_ms = 40,
				  .retry_s = 3};
	static const struct {
		const char *template, *text;
	} rows[] = {
		{"", ""},
		{"plain", "plain"},
		{"{{service}}", "shop"},
		{"<{{host}}>", "<a&lt;b&gt;&amp;&quot;&#39; .example>"},
		{"{{expected_ms}}/{{elapsed_ms}}/{{retry_s}}", "2500/40/3"},
		{"{{expected}}", "This usually takes about 3 seconds."},
		{"[{{held_back}}]", "[]"},
		{"{{nothing}} {{service}}", "{{nothing}} shop"},
		{"{{{{service}}}}", "{{shop}}"},
		{"a {{service", "a {{service"},
		{"function () {{ return {} }}", "function () {{ return {} }}"},
	};
	size_t i;
	char *text;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		text = render(rows[i].template, &v);
		assert_string_equal(text, rows[i].text);
		free(text);
	}
	v.held_back = "max_instances = 2 is \"reached\"";
	text = render("{{expected}} [{{held_back}}]", &v);
	assert_string_equal(
		text, "It has to wait for its turn: max_instances = 2 is &quot;reached&quot;. "
		      "[max_instances = 2 is &quot;reached&quot;]");
	free(text);
	v.held_back = NULL;
	v.expected_ms = 0;
	text = render("[{{expected}}]", &v);
	assert_string_equal(text, "[]");
	free(text);
	v.expected_ms = 400;
	text = render("{{expected}}", &v);
	assert_string_equal(text, "This usually takes about 1 second.");
	free(text);
	v.expected_ms = 290000;
	text = render("{{expected}}", &v);
	assert_string_equal(text, "This usually takes about 5 minutes.");
	free(text);
}

/* The default page is small, and loads nothing from other servers. */
static void
test_default_page(void **state)
{
	struct waitpage_view v = {.service = "shop",
				  .host = "shop.example",
				  .host_n = 12,
				  .expected_ms = 2500,
				  .elapsed_ms = 40,
				  .retry_s = 3};
	char *text = render(waitpage_default, &v);

	(void)state;
	assert_true(strlen(text) < 5000);
	assert_null(strstr(text, "{{"));
	assert_null(strstr(text, "http://"));
	assert_null(strstr(text, "https://"));
	assert_non_null(strstr(text, "<title>Starting shop.example</title>"));
	assert_non_null(strstr(text, "width=device-width"));
	assert_non_null(strstr(text, "http-equiv=\"refresh\" content=\"3\""));
	assert_non_null(strstr(text, "expected = 2500"));
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_requests_get_the_page),
		cmocka_unit_test(test_itself),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_default_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
