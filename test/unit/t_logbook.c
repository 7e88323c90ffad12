/* logbook: which of the lines of instances are kept, and which of them are read. */
#include "test/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "autoscaler/keeper/logbook.h"
#include "common/strbuf.h"

static void
take(const struct logbook_line *line, void *arg)
{
	struct strbuf *out = arg;

	assert_int_equal(strlen(line->text), line->n);
	strbuf_addf(out, "%llu %s %s %s|", (unsigned long long)line->seq, line->revision, line->id,
		    line->text);
}

/* What is kept of the revisions "a" and "b". */
static void
assert_lines(const struct logbook *b, uint64_t after, int64_t since_ms, size_t bytes_max,
	     const char *text)
{
	char *names[] = {(char[]){"a"}, (char[]){"missing"}, (char[]){"b"}};
	struct str_list revisions = {names, ARRAY_LEN(names)};
	struct strbuf out;

	strbuf_init(&out, 0);
	logbook_each(b, &revisions, after, since_ms, bytes_max, take, &out);
	assert_string_equal(strbuf_str(&out), text);
	strbuf_fini(&out);
}

static void
add(struct logbook *b, const char *revision, const char *text, int64_t wall_ms)
{
	(void)logbook_add(b, revision, "i", text, strlen(text), wall_ms);
}

static void
lines_of_several_revisions_come_in_their_order(void **state)
{
	struct logbook *b = logbook_new(10000, 100000);

	(void)state;
	add(b, "a", "one", 100);
	add(b, "b", "two", 200);
	add(b, "other", "three", 300);
	add(b, "a", "", 400);
	assert_lines(b, 0, 0, 1000, "1 a i one|2 b i two|4 a i |");
	assert_lines(b, 1, 0, 1000, "2 b i two|4 a i |");
	assert_lines(b, 4, 0, 1000, "");
	assert_lines(b, 0, 200, 1000, "2 b i two|4 a i |");
	assert_lines(b, 0, 0, 5, "2 b i two|4 a i |"); /* the last ones that fit */
	assert_lines(b, 0, 0, 4, "4 a i |");
	assert_lines(b, 0, 0, 0, "");
	logbook_free(&b);
	assert_null(b);
	logbook_free(&b);
}

static void
the_oldest_lines_of_a_revision_go_first(void **state)
{
	struct logbook *b = logbook_new(4000, 1000000);
	struct strbuf out;
	char *names[] = {(char[]){"a"}};
	struct str_list revisions = {names, 1};
	char text[20];
	int i;

	(void)state;
	for (i = 1; i <= 5000; i++) {
		snprintf(text, sizeof text, "%d", i);
		add(b, "a", text, i);
		assert_true(logbook_bytes(b) <= 4200);
	}
	assert_true(logbook_bytes(b) > 1900);
	strbuf_init(&out, 0);
	logbook_each(b, &revisions, 0, 0, 100000, take, &out);
	assert_non_null(strstr(strbuf_str(&out), "5000 a i 5000|"));
	assert_non_null(strstr(strbuf_str(&out), "4990 a i 4990|4991 a i 4991|"));
	assert_null(strstr(strbuf_str(&out), "4000 a i 4000|"));
	strbuf_fini(&out);
	logbook_set_bounds(b, 0, 1000000);
	assert_lines(b, 0, 0, 1000, "");
	add(b, "a", "none is kept", 1);
	assert_lines(b, 0, 0, 1000, "");
	logbook_free(&b);
}

static void
all_together_are_bounded(void **state)
{
	struct logbook *b = logbook_new(1000, 20000);
	char name[20];
	int i;

	(void)state;
	add(b, "a", "old", 1);
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "r%d", i);
		add(b, name, "line", 2);
		if (i % 10 == 0)
			add(b, "b", "again", 3);
		assert_true(logbook_bytes(b) <= 20000);
	}
	assert_lines(b, 0, 3, 10, "1092 b i again|");
	assert_lines(b, 0, 0, 0, "");
	assert_true(logbook_bytes(b) > 15000);
	logbook_set_bounds(b, 1000, 100);
	assert_true(logbook_bytes(b) <= 100);
	logbook_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_several_revisions_come_in_their_order),
		cmocka_unit_test(the_oldest_lines_of_a_revision_go_first),
		cmocka_unit_test(all_together_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
