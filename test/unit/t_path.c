/* path: the normal form of a path, its readings, and which paths have more than one. */
#include "test/unit/unit.h"

#include "common/path.h"

#define ALL (PATH_SLASH | PATH_BACKSLASH | PATH_PARAMS | PATH_NUL)

static void
expect(const char *path, unsigned reading, unsigned depth, const char *normal)
{
	char *out = xmalloc(strlen(path) + 1);

	out[path_read(path, strlen(path), reading, depth, out)] = '\0';
	assert_string_equal(out, normal);
	free(out);
}

static void
test_normal_form(void **state)
{
	static const struct {
		const char *path, *normal;
	} rows[] = {
		{"", ""},
		{"/", ""},
		{"/a/", "/a"},
		{"/a/b", "/a/b"},
		{"//a///b//", "/a/b"},
		{"/./a/./b/.", "/a/b"},
		{"/../a/../../b", "/b"},
		{"/a/b/..", "/a"},
		{"/a//../b", "/b"},
		{"/.a/..b/c..", "/.a/..b/c.."},
		{"/%70rivate", "/private"},
		{"/%2e/%2E%2e/a", "/a"},
		{"/a%20b%", "/a b%"},
		{"/%zz%4", "/%zz%4"},
		{"/a%2fb", "/a%2fb"},
		{"/a%252fb", "/a%2fb"},
		{"/a;b\\c", "/a;b\\c"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].path, 0, 1, rows[i].normal);
}

static void
test_readings(void **state)
{
	(void)state;
	expect("/a%2fb", PATH_SLASH, 1, "/a/b");
	expect("/x%2f..%2Fa", PATH_SLASH, 1, "/a");
	expect("/x%5c..\\a", PATH_BACKSLASH, 1, "/a");
	expect("/a;x=1/b;y", PATH_PARAMS, 1, "/a/b");
	expect("/x/..;/a", PATH_PARAMS, 1, "/a");
	expect("/a/b%00c/d", PATH_NUL, 1, "/a/b");
	expect("/%2561", 0, 1, "/%61");
	expect("/%2561", 0, 2, "/a");
	expect("/x%252f..%252fa", ALL, 2, "/a");
	expect("/x//../a", PATH_EMPTY, 1, "/x/a");
}

static void
test_doubts(void **state)
{
	static const struct {
		const char *path;
		unsigned mask, depth;
		bool is_plain;
	} rows[] = {
		{"/", 0, 0, true},
		{"/a/b.c/-_~!$&'()*+,=:@", 0, 0, true},
		{"/.well-known", 0, 0, false},
		{"//a", 0, 0, false},
		{"/%61", 0, 1, false},
		{"/a%2Fb", PATH_SLASH, 1, false},
		{"/a%252Fb", PATH_SLASH, 2, false},
		{"/a\\b", PATH_BACKSLASH, 0, false},
		{"/a%5Cb", PATH_BACKSLASH, 1, false},
		{"/a;b", PATH_PARAMS, 0, false},
		{"/a%00", PATH_NUL, 1, false},
		{"/a//../b", PATH_EMPTY, 0, false},
		{"/a%2f..", PATH_SLASH | PATH_EMPTY, 1, false},
		{"/%2561", 0, 2, false},
		{"/%2525252525252561", 0, PATH_DEPTH_MAX + 1, false},
	};
	char buf[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct path_doubts d;

		path_examine(&d, rows[i].path, strlen(rows[i].path), buf);
		assert_int_equal(d.mask, rows[i].mask);
		assert_int_equal(d.depth, rows[i].depth);
		assert_int_equal(path_is_plain(rows[i].path, strlen(rows[i].path)),
				 rows[i].is_plain);
	}
}

static void
test_prefixes(void **state)
{
	static const char *const right[] = {"/",    "/api",  "/api/", "/.well-known/x",
					    "/%61", "/a%20b"},
				 *const wrong[] = {"/api/*", "/a//b",	 "//",	 "/a/../b",
						   "/./a",   "/a\\b",	 "/a;b", "/a%2fb",
						   "/%252e", "/%2e%2e/a"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(right); i++)
		assert_true(path_is_prefix(right[i]));
	for (i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(path_is_prefix(wrong[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_normal_form),
		cmocka_unit_test(test_readings),
		cmocka_unit_test(test_doubts),
		cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
