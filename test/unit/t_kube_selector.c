/* kube_selector: selectors parsed, matched against labels, and joined into few. */
#include "test/unit/unit.h"

#include "autoscaler/kubernetes/kube_selector.h"

/* Labels as "a=1,b=2". */
static const char *
label(const void *ctx, const char *key)
{
	static char value[64];
	const char *at = ctx;
	size_t n = strlen(key);

	for (; at != NULL; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, key, n) == 0 && at[n] == '=') {
			snprintf(value, sizeof value, "%.*s", (int)strcspn(at + n + 1, ","),
				 at + n + 1);
			return value;
		}
	}
	return NULL;
}

static void
matches(void **state)
{
	static const struct {
		const char *text, *labels;
		bool expected;
	} v[] = {
		{"app=web", "app=web,tier=a", true},
		{"app=web", "app=webby", false},
		{"app=web", "tier=a", false},
		{"app==web", "app=web", true},
		{"app=web,tier=b", "app=web,tier=a", false},
		{"app!=web", "app=api", true},
		{"app!=web", "tier=a", true}, /* as on the server */
		{"app!=web", "app=web", false},
		{"app in (web, api)", "app=api", true},
		{"app in (web,api)", "app=db", false},
		{"app notin (web)", "app=api", true},
		{"tier,!canary", "tier=x", true},
		{"tier,!canary", "tier=x,canary=1", false},
		{"inside=1,not=2", "inside=1,not=2", true}, /* keys that begin like operators */
		{"example.com/app=web", "example.com/app=web", true},
		{"app=", "app=", true},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct kube_selector *s = kube_selector_parse(v[i].text, NULL);

		assert_non_null(s);
		assert_string_equal(kube_selector_text(s), v[i].text);
		if (kube_selector_matches(s, label, v[i].labels) != v[i].expected)
			fail_msg("%s on %s", v[i].text, v[i].labels);
		kube_selector_free(&s);
	}
}

static void
mistakes(void **state)
{
	static const char *const v[] = {"",	 ",",	     "=a",   "a in (b", "a in b",
					"a=b c", "a=b,,c=d", "a(b)", "!",	"a in (b)c=d"};
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++)
		if (kube_selector_parse(v[i], &e) != NULL)
			fail_msg("accepted: \"%s\"", v[i]);
}

static void
covers(void **state)
{
	static const struct {
		const char *texts[5];
		size_t longest;
		const char *expected; /* joined by ; */
	} v[] = {
		{{"app=a"}, 100, "app=a"},
		{{"app=a", "app=b"}, 100, "app in (a,b)"},
		{{"app=a,tier=x", "app=b,tier=x"}, 100, "app in (a,b)"},
		{{"app=b", "app=a", "app=b,v=2"}, 100, "app in (a,b)"},
		{{"app=a", "name=b"}, 100, "app=a;name=b"},
		{{"app=a", "app=b", "!x", "name=c"}, 100, "!x;app in (a,b);name=c"},
		{{"app in (a,b)", "app=c"}, 100, "app in (a,b,c)"},
		{{"app=aaaaaaaaaa", "app=bbbbbbbbbb"}, 20, "app"},
		{{NULL}, 100, ""},
	};
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		const struct kube_selector *selects[5];
		char out[200] = "", **texts;
		size_t n = 0, texts_n;

		for (; n < 5 && v[i].texts[n] != NULL; n++)
			selects[n] = kube_selector_parse(v[i].texts[n], NULL);
		texts = kube_selector_cover(selects, n, v[i].longest, &texts_n);
		for (j = 0; j < texts_n; j++) {
			snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s",
				 j == 0 ? "" : ";", texts[j]);
			free(texts[j]);
		}
		free(texts);
		assert_string_equal(out, v[i].expected);
		for (j = 0; j < n; j++) {
			struct kube_selector *s = (struct kube_selector *)(uintptr_t)selects[j];

			kube_selector_free(&s);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(covers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
