/* base, err, list, strbuf, text, file, backoff, clk. */
#include "test/unit/unit.h"

#include <errno.h>

#include "common/backoff.h"
#include "common/clk.h"
#include "common/err.h"
#include "common/file.h"
#include "common/list.h"
#include "common/strbuf.h"
#include "common/text.h"

static void
break_check(void *arg)
{
	CHECK(arg != NULL);
}

static void
check_aborts_and_says_where(void **state)
{
	(void)state;
	unit_expect_abort(break_check, NULL);
	assert_int_equal(unit_status_of(break_check, state), 0);
}

static void
exhaust(void *arg)
{
	volatile size_t too_much = SIZE_MAX / 2;

	(void)arg;
	free(xmalloc(too_much));
}

static void
out_of_memory_aborts(void **state)
{
	(void)state;
#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
	!defined(__SANITIZE_THREAD__) /* the sanitisers refuse it themselves */
	unit_expect_abort(exhaust, NULL);
#else
	(void)exhaust;
#endif
}

static void
err_texts(void **state)
{
	struct err e = {.code = 1};
	char longer[sizeof e.text + 50];

	(void)state;
	assert_int_equal(err_set(&e, 7, "cannot %s", "fly"), -1);
	assert_string_equal(e.text, "cannot fly");
	assert_int_equal(e.code, 7);
	assert_int_equal(err_prefix(&e, "bird %d", 3), -1);
	assert_string_equal(e.text, "bird 3: cannot fly");
	assert_int_equal(e.code, 7);
	errno = ENOENT;
	assert_int_equal(err_errno(&e, "cannot open %s", "x"), -1);
	assert_string_equal(e.text, "cannot open x: No such file or directory");
	assert_int_equal(e.code, ENOENT);
	assert_int_equal(err_set(NULL, 1, "no error wanted"), -1);
	assert_int_equal(err_errno(NULL, "no error wanted"), -1);
	assert_int_equal(err_prefix(NULL, "no error wanted"), -1);

	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	err_set(&e, 0, "%s", longer);
	assert_int_equal(strlen(e.text), sizeof e.text - 1);
	err_prefix(&e, "%s", longer);
	assert_int_equal(strlen(e.text), sizeof e.text - 1);
	err_set(&e, 0, "short");
	err_prefix(&e, "%.*s", (int)sizeof e.text - 4, longer);
	assert_int_equal(strlen(e.text), sizeof e.text - 1);
}

struct thing {
	int id;
	struct list_node node;
};

static void
ids(const struct list *l, char *out)
{
	struct list_node *node, *tmp;

	*out = '\0';
	LIST_FOREACH(l, node, tmp)
		sprintf(out + strlen(out), "%d", container_of(node, struct thing, node)->id);
}

static void
list_keeps_order_and_count(void **state)
{
	struct thing t[6] = {{.id = 0}, {.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}, {.id = 5}};
	struct list a, b;
	struct list_node *node, *tmp;
	char text[16];

	(void)state;
	list_init(&a);
	list_init(&b);
	assert_true(list_empty(&a));
	assert_null(list_first(&a));
	assert_null(list_pop(&a));
	list_push(&a, &t[1].node);
	list_push(&a, &t[2].node);
	list_push_head(&a, &t[0].node);
	list_push(&b, &t[4].node);
	list_push(&b, &t[5].node);
	list_insert_before(&b, &t[4].node, &t[3].node);
	list_splice(&a, &b);
	assert_int_equal(a.n, 6);
	assert_int_equal(b.n, 0);
	assert_true(list_empty(&b));
	ids(&a, text);
	assert_string_equal(text, "012345");
	list_splice(&a, &b);
	assert_int_equal(a.n, 6);
	LIST_FOREACH(&a, node, tmp) /* the body may remove the node */
		if (container_of(node, struct thing, node)->id % 2 == 0)
			list_remove(&a, node);
	ids(&a, text);
	assert_string_equal(text, "135");
	assert_false(list_linked(&t[0].node));
	assert_true(list_linked(&t[1].node));
	assert_ptr_equal(list_pop(&a), &t[1].node);
	assert_int_equal(a.n, 2);
}

static void
push_twice(void *arg)
{
	struct list *l = arg;
	struct list_node *node = list_first(l);

	list_push(l, node);
}

static void
remove_twice(void *arg)
{
	struct list *l = arg;
	struct list_node *node = list_pop(l);

	list_remove(l, node);
}

static void
list_misuse_aborts(void **state)
{
	struct thing t = {.id = 1};
	struct list l;

	(void)state;
	list_init(&l);
	list_push(&l, &t.node);
	unit_expect_abort(push_twice, &l);
	unit_expect_abort(remove_twice, &l);
}

static void
strbuf_grows_and_stops(void **state)
{
	struct strbuf b;
	char *text;
	int i;

	(void)state;
	strbuf_init(&b, 10);
	assert_string_equal(strbuf_str(&b), "");
	assert_int_equal(strbuf_adds(&b, "12345"), 0);
	assert_int_equal(strbuf_addf(&b, "%d", 678901), -1);
	assert_string_equal(strbuf_str(&b), "12345");
	assert_int_equal(strbuf_addf(&b, "%d", 67890), 0);
	assert_int_equal(strbuf_add(&b, "x", 1), -1);
	assert_int_equal(strbuf_add(&b, "", 0), 0);
	strbuf_consume(&b, 4);
	assert_string_equal(strbuf_str(&b), "567890");
	strbuf_consume(&b, 0);
	text = strbuf_take(&b);
	assert_string_equal(text, "567890");
	free(text);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.ceil, 10);
	text = strbuf_take(&b);
	assert_string_equal(text, "");
	free(text);
	strbuf_fini(&b);

	strbuf_init(&b, 0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(strbuf_addf(&b, "%0300d", i),
				 0); /* longer than the buffer on the stack */
	assert_int_equal(b.len, 300000);
	assert_memory_equal(b.data + 299700, "000", 3);
	assert_string_equal(b.data + 299997, "999");
	strbuf_clear(&b);
	assert_string_equal(strbuf_str(&b), "");
	memcpy(strbuf_reserve(&b, 3), "abc", 4);
	b.len += 3;
	assert_string_equal(strbuf_str(&b), "abc");
	strbuf_fini(&b);
	strbuf_fini(&b);
}

static void
backoff_doubles_to_its_most(void **state)
{
	const int64_t steps[] = {10, 20, 40, 80, 100, 100, 100};
	struct backoff b;
	size_t i;

	(void)state;
	backoff_init(&b, 10 * CLK_MS, 100 * CLK_MS);
	for (i = 0; i < ARRAY_LEN(steps); i++)
		assert_int_equal(backoff_next(&b, UINT32_MAX), steps[i] * CLK_MS);
	backoff_reset(&b);
	for (i = 0; i < ARRAY_LEN(steps); i++)
		assert_int_equal(backoff_next(&b, 0), steps[i] * CLK_MS / 2);
	for (i = 0; i < 100000; i++) { /* a long outage does not overflow */
		int64_t ns = backoff_next(&b, (uint32_t)i * 2654435761u);

		assert_in_range(ns, 50 * CLK_MS, 100 * CLK_MS);
	}
	backoff_reset(&b);
	assert_int_equal(backoff_next(&b, UINT32_MAX), 10 * CLK_MS);
}

static int64_t
stopped_clock(void)
{
	return 42;
}

static void
clock_can_be_replaced(void **state)
{
	int64_t before = clk_now();

	(void)state;
	assert_true(before > 0 && clk_now() >= before);
	assert_true(clk_wall() > INT64_C(1600000000) * CLK_S);
	clk_replace(stopped_clock);
	assert_int_equal(clk_now(), 42);
	clk_replace(NULL);
	assert_true(clk_now() >= before);
}

static void
texts_may_be_absent(void **state)
{
	char *text = NULL, *copy;

	(void)state;
	assert_true(text_equal(NULL, NULL));
	assert_false(text_equal(NULL, ""));
	assert_false(text_equal("", NULL));
	assert_true(text_equal("a", "a"));
	assert_false(text_equal("a", "A"));
	assert_true(text_is("GET /", 3, "GET"));
	assert_false(text_is("GET /", 4, "GET") || text_is("GE", 2, "GET") ||
		     text_is("get", 3, "GET"));
	assert_null(text_copy(NULL));
	text_replace(&text, "one two");
	text_replace(&text, text + 4); /* a part of the old text */
	assert_string_equal(text, "two");
	copy = text_lower_copy("ABc-\xc4 rest", 5);
	assert_string_equal(copy, "abc-\xc4");
	free(copy);
	text_replace(&text, NULL);
	assert_null(text);
}

static void
printable_text_has_no_control_characters(void **state)
{
	static const char *const cases[][2] = {
		{"", ""},
		{"a\tb \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
		 "a\tb \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"red \033[31m\a\r\n\x7f end", "red ?[31m???? end"},
		{"\xc2\x80 \xc2\x9b"
		 "31m \xc2\x9f \xc2\xa0",
		 "? ?31m ? \xc2\xa0"},
		{"\x9b"
		 "31m \xff \xc2",
		 "?31m ? ?"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = xstrdup(cases[i][0]);

		text_make_printable(text);
		assert_string_equal(text, cases[i][1]);
		free(text);
	}
}

static void
numbers_are_digits_alone(void **state)
{
	static const char *const wrong[] = {"",
					    "-1",
					    "+1",
					    " 1",
					    "1 ",
					    "0x1",
					    "256",
					    "4294967296",
					    "18446744073709551616",
					    "99999999999999999999999999"};
	uint32_t n = 7;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(text_number(wrong[i], strlen(wrong[i]), 255, &n));
	assert_int_equal(n, 7);
	assert_true(text_number("255", 3, 255, &n));
	assert_int_equal(n, 255);
	assert_true(text_number("0008", 4, 255, &n));
	assert_int_equal(n, 8);
	assert_true(text_number("12:80", 2, 255, &n)); /* what follows is not looked at */
	assert_int_equal(n, 12);
	assert_true(text_number("4294967295", 10, UINT32_MAX, &n));
	assert_int_equal(n, UINT32_MAX);
	assert_false(text_number("4294967296", 10, UINT32_MAX, &n));
}

static void
files_are_read_as_a_whole(void **state)
{
	char *dir = unit_dir(), *path = xasprintf("%s/file", dir), *text;
	struct err e;
	size_t n = 7;
	int fd;

	(void)state;
	assert_null(file_read(path, 100, &n, &e));
	assert_int_equal(e.code, ENOENT);
	assert_non_null(strstr(e.text, path));
	assert_null(file_read(dir, 100, &n, &e));
	assert_int_equal(e.code, EISDIR);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	text = file_read(path, 100, &n, &e);
	assert_string_equal(text, "");
	assert_int_equal(n, 0);
	free(text);
	assert_int_equal(write(fd, "a\0bc", 4), 4);
	text = file_read(path, 4, &n, NULL);
	assert_int_equal(n, 4);
	assert_memory_equal(text, "a\0bc", 5);
	free(text);
	assert_null(file_read(path, 3, NULL, &e));
	assert_int_equal(e.code, EFBIG);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	free(path);
	free(dir);
}

/* What systemd passes by LoadCredential=. */
static void
credentials_are_files(void **state)
{
	char *dir = unit_dir(), *path = xasprintf("%s/www.key", dir), *text;
	struct stat st;
	struct err e;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(write(fd, "key", 3), 3);
	close(fd);
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_null(file_read("credential:www.key", 100, NULL, &e));
	assert_non_null(strstr(e.text, "LoadCredential=www.key:FILE"));
	assert_int_equal(file_stat("credential:www.key", &st), -1);
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	text = file_read("credential:www.key", 100, NULL, &e);
	assert_string_equal(text, "key");
	free(text);
	assert_int_equal(file_stat("credential:www.key", &st), 0);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(file_stat(path, &st), 0);
	assert_null(file_read("credential:other", 100, NULL, &e));
	assert_int_equal(e.code, ENOENT);
	assert_null(file_read("credential:../www.key", 100, NULL, &e));
	assert_null(file_read("credential:a/b", 100, NULL, &e));
	assert_null(file_read("credential:", 100, NULL, &e));
	assert_int_equal(e.code, EINVAL);
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	free(path);
	free(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_aborts_and_says_where),
		cmocka_unit_test(out_of_memory_aborts),
		cmocka_unit_test(err_texts),
		cmocka_unit_test(list_keeps_order_and_count),
		cmocka_unit_test(list_misuse_aborts),
		cmocka_unit_test(strbuf_grows_and_stops),
		cmocka_unit_test(texts_may_be_absent),
		cmocka_unit_test(printable_text_has_no_control_characters),
		cmocka_unit_test(numbers_are_digits_alone),
		cmocka_unit_test(files_are_read_as_a_whole),
		cmocka_unit_test(credentials_are_files),
		cmocka_unit_test(backoff_doubles_to_its_most),
		cmocka_unit_test(clock_can_be_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
