/* output: lines, their rate, and what is kept while the autoscaler is away. */
#include "test/unit/unit.h"

#include "autoscaler/keeper/output.h"
#include "common/clk.h"

struct taker {
	struct strbuf text; /* the lines, each followed by | */
	size_t lines, longest;
	bool is_full;
};

static bool
take(const char *line, size_t n, void *arg)
{
	struct taker *t = arg;

	if (t->is_full)
		return false;
	(void)strbuf_add(&t->text, line, n);
	(void)strbuf_adds(&t->text, "|");
	t->lines++;
	t->longest = MAX(t->longest, n);
	return true;
}

static void
feed(struct output *o, struct taker *t, const char *text)
{
	output_feed(o, text, strlen(text), 0, take, t);
}

static void
cuts_into_lines_wherever_reads_end(void **state)
{
	static const char text[] = "one\n\ntwo\r\nthree\n";
	size_t cut;

	(void)state;
	for (cut = 0; cut < sizeof text; cut++) {
		struct taker t = {.lines = 0};
		struct output o;

		output_init(&o, 0);
		output_feed(&o, text, cut, 0, take, &t);
		output_feed(&o, text + cut, sizeof text - 1 - cut, 0, take, &t);
		output_end(&o, 0, take, &t);
		assert_string_equal(strbuf_str(&t.text), "one||two|three|");
		strbuf_fini(&t.text);
		output_fini(&o);
	}
}

static void
what_was_begun_is_a_line_at_the_end(void **state)
{
	struct taker t = {.lines = 0};
	struct output o;

	(void)state;
	output_init(&o, 0);
	feed(&o, &t, "done\nhalf");
	assert_string_equal(strbuf_str(&t.text), "done|");
	output_end(&o, 0, take, &t);
	output_end(&o, 0, take, &t);
	assert_string_equal(strbuf_str(&t.text), "done|half|");
	strbuf_fini(&t.text);
	output_fini(&o);
}

static void
a_long_line_comes_in_pieces_and_whole(void **state)
{
	size_t n = 3 * OUTPUT_LINE_MAX + 5;
	char *text = xmalloc(n + 1);
	struct taker t = {.lines = 0};
	struct output o;

	(void)state;
	memset(text, 'x', n);
	text[n] = '\0';
	output_init(&o, 0);
	feed(&o, &t, text);
	feed(&o, &t, "\n");
	assert_int_equal(t.lines, 4);
	assert_int_equal(t.longest, OUTPUT_LINE_MAX);
	assert_int_equal(t.text.len, n + 4);
	text[OUTPUT_LINE_MAX] = '\0';
	feed(&o, &t, text); /* exactly full: no empty line follows */
	feed(&o, &t, "\n");
	assert_int_equal(t.lines, 5);
	free(text);
	strbuf_fini(&t.text);
	output_fini(&o);
}

static void
rate_is_bounded_and_counted(void **state)
{
	struct taker t = {.lines = 0};
	struct output o;
	int i;

	(void)state;
	output_init(&o, 0);
	for (i = 0; i < 2 * OUTPUT_BURST; i++)
		feed(&o, &t, "x\n");
	assert_int_equal(t.lines, OUTPUT_BURST);
	assert_int_equal(output_take_dropped(&o), OUTPUT_BURST);
	assert_int_equal(output_take_dropped(&o), 0);
	for (i = 0; i < OUTPUT_BURST; i++)
		output_feed(&o, "x\n", 2, CLK_S, take, &t); /* a second later */
	assert_int_equal(t.lines, OUTPUT_BURST + OUTPUT_RATE);
	strbuf_fini(&t.text);
	output_fini(&o);
}

static void
a_taker_without_room_leaves_out(void **state)
{
	struct taker t = {.is_full = true};
	struct output o;

	(void)state;
	output_init(&o, 0);
	feed(&o, &t, "a\nb\n");
	t.is_full = false;
	feed(&o, &t, "c\n");
	assert_string_equal(strbuf_str(&t.text), "c|");
	assert_int_equal(output_take_dropped(&o), 2);
	strbuf_fini(&t.text);
	output_fini(&o);
}

static void
held_lines_come_later_in_order(void **state)
{
	struct taker t = {.lines = 0};
	struct output o;

	(void)state;
	output_init(&o, 0);
	feed(&o, &t, "a\n");
	output_hold(&o);
	feed(&o, &t, "b\nc\nbeg");
	assert_string_equal(strbuf_str(&t.text), "a|");
	output_release(&o, take, &t);
	feed(&o, &t, "un\n");
	assert_string_equal(strbuf_str(&t.text), "a|b|c|begun|");
	output_hold(&o);
	output_release(&o, take, &t); /* no line was kept */
	assert_string_equal(strbuf_str(&t.text), "a|b|c|begun|");
	strbuf_fini(&t.text);
	output_fini(&o);
}

static void
only_the_last_of_it_is_kept(void **state)
{
	struct taker t = {.lines = 0};
	struct output o;
	unsigned i, total = 100000;
	char line[32];

	(void)state;
	output_init(&o, 0);
	output_hold(&o);
	for (i = 0; i < total; i++) {
		snprintf(line, sizeof line, "%07u\n", i);
		feed(&o, &t, line);
		assert_true(o.tail.len <= 2 * OUTPUT_TAIL + OUTPUT_LINE_MAX);
	}
	output_release(&o, take, &t);
	assert_int_equal(t.text.len, OUTPUT_TAIL);
	assert_int_equal(t.lines, OUTPUT_TAIL / 8);
	assert_string_equal(t.text.data + t.text.len - 8, "0099999|");
	assert_int_equal(output_take_dropped(&o), total - OUTPUT_TAIL / 8);
	strbuf_fini(&t.text);
	output_fini(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_into_lines_wherever_reads_end),
		cmocka_unit_test(what_was_begun_is_a_line_at_the_end),
		cmocka_unit_test(a_long_line_comes_in_pieces_and_whole),
		cmocka_unit_test(rate_is_bounded_and_counted),
		cmocka_unit_test(a_taker_without_room_leaves_out),
		cmocka_unit_test(held_lines_come_later_in_order),
		cmocka_unit_test(only_the_last_of_it_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
