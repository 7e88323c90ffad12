/* feed: what a watcher hears of that has remembered a serial, whatever happened meanwhile. */
#include "test/unit/unit.h"

#include "autoscaler/page/feed.h"
#include "common/hmap.h"

static void
put(struct feed *f, const char *name, const char *text)
{
	feed_put(f, name, text, strlen(text));
}

/* What has changed after the serial, as "name=text name=gone". */
static void
expect(const struct feed *f, uint64_t serial, const char *expected)
{
	const struct feed_item *item = feed_after(f, serial);
	char text[512] = "";
	size_t n = 0;
	uint64_t last = serial;

	for (; item != NULL; item = feed_next(f, item)) {
		assert_true(item->serial > last);
		last = item->serial;
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%s=%s", n > 0 ? " " : "",
				      item->name, item->text == NULL ? "gone" : item->text);
	}
	assert_string_equal(text, expected);
	if (expected[0] != '\0')
		assert_int_equal(last, feed_serial(f));
}

static void
only_what_has_changed(void **state)
{
	struct feed *f = feed_new();
	uint64_t serial;

	(void)state;
	expect(f, 0, "");
	feed_begin(f);
	put(f, "a", "1");
	put(f, "b", "1");
	put(f, "c", "1");
	feed_end(f);
	expect(f, 0, "a=1 b=1 c=1");
	serial = feed_serial(f);
	expect(f, serial, "");
	feed_begin(f);
	put(f, "a", "2");
	put(f, "b", "1");
	put(f, "c", "1");
	put(f, "d", "1");
	feed_end(f);
	expect(f, serial, "a=2 d=1");
	expect(f, 0, "b=1 c=1 a=2 d=1");
	feed_begin(f); /* two changes of one item are one */
	put(f, "a", "3");
	put(f, "b", "1");
	put(f, "c", "1");
	put(f, "d", "1");
	feed_end(f);
	expect(f, serial, "d=1 a=3");
	feed_free(&f);
	feed_free(&f);
}

static void
what_is_gone_and_comes_back(void **state)
{
	struct feed *f = feed_new();
	uint64_t serial;

	(void)state;
	feed_begin(f);
	put(f, "a", "1");
	put(f, "b", "1");
	feed_end(f);
	serial = feed_serial(f);
	feed_begin(f);
	put(f, "b", "1");
	feed_end(f);
	expect(f, serial, "a=gone");
	assert_false(feed_is_forgotten(f, serial, 0));
	feed_begin(f);
	put(f, "a", "1");
	put(f, "b", "1");
	feed_end(f);
	expect(f, serial, "a=gone a=1");
	feed_begin(f); /* begun anew: what the first half has put counts for nothing */
	put(f, "a", "1");
	feed_begin(f);
	put(f, "b", "2");
	feed_end(f);
	expect(f, feed_serial(f) - 2, "b=2 a=gone");
	feed_free(&f);
}

/* A watcher that has not heard of marks that were forgotten begins anew; memory is bounded. */
static void
too_many_are_gone(void **state)
{
	struct feed *f = feed_new();
	uint64_t serial;
	char name[32];
	int i;

	(void)state;
	feed_begin(f);
	put(f, "stays", "1");
	put(f, "first", "1");
	feed_end(f);
	serial = feed_serial(f);
	for (i = 0; i < 3 * FEED_GONE_MAX; i++) {
		feed_begin(f);
		put(f, "stays", "1");
		snprintf(name, sizeof name, "n%d", i);
		put(f, name, "1");
		feed_end(f);
		assert_true(feed_n(f) <= FEED_GONE_MAX + 2);
	}
	assert_true(feed_is_forgotten(f, serial, 0));
	assert_false(feed_is_forgotten(f, 0, 0));
	assert_false(feed_is_forgotten(f, feed_serial(f), 0));
	serial = feed_serial(f);
	feed_clear(f);
	assert_true(feed_is_forgotten(f, serial, 0));
	assert_int_equal(feed_n(f), 0);
	feed_begin(f);
	put(f, "stays", "1");
	feed_end(f);
	assert_false(feed_is_forgotten(f, feed_serial(f), 0));
	expect(f, 0, "stays=1");
	feed_free(&f);
}

/* A watcher that takes one item at a time gets past items older than the marks that are forgotten;
 * it begins anew only for marks made after it began. */
static void
slow_watcher_of_old_items(void **state)
{
	enum { OLD = 300 };
	struct feed *f = feed_new();
	uint64_t serial = 0, began;
	const struct feed_item *item;
	char name[32];
	int round, i, sent = 0;

	(void)state;
	for (round = 0; round < FEED_GONE_MAX + 100; round++) {
		feed_begin(f);
		for (i = 0; i < OLD; i++) {
			snprintf(name, sizeof name, "old%d", i);
			put(f, name, "1");
		}
		snprintf(name, sizeof name, "n%d", round);
		put(f, name, "1");
		feed_end(f);
	}
	began = feed_serial(f);
	while ((item = feed_after(f, serial)) != NULL) {
		assert_false(feed_is_forgotten(f, serial, began));
		sent += item->text != NULL;
		serial = item->serial;
	}
	assert_int_equal(sent, OLD + 1);
	serial = feed_after(f, 0)->serial;
	for (round = 0; round < FEED_GONE_MAX + 100; round++) {
		feed_begin(f);
		snprintf(name, sizeof name, "m%d", round);
		put(f, name, "1");
		feed_end(f);
	}
	assert_true(feed_is_forgotten(f, serial, began));
	assert_true(feed_is_forgotten(f, began, began));
	feed_free(&f);
}

/* A watcher beside a plain map, through random changes: after each look it has the same. */
static void
agrees_with_a_map(void **state)
{
	enum { NAMES = 40 };
	struct feed *f = feed_new();
	int there[NAMES] = {0}, has[NAMES] = {0}, round, i;
	uint64_t seed = 7, serial = 0;

	(void)state;
	for (round = 0; round < 2000; round++) {
		const struct feed_item *item;

		feed_begin(f);
		for (i = 0; i < NAMES; i++) {
			char name[16], text[16];

			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
			if (seed >> 60 == 0)
				there[i] = (int)(seed >> 40 & 7);
			snprintf(name, sizeof name, "%d", i);
			snprintf(text, sizeof text, "%d", there[i]);
			if (there[i] > 0)
				put(f, name, text);
		}
		feed_end(f);
		if (round % 3 != 0)
			continue;
		if (feed_is_forgotten(f, serial, 0)) {
			memset(has, 0, sizeof has);
			serial = 0;
		}
		for (item = feed_after(f, serial); item != NULL; item = feed_next(f, item)) {
			has[strtol(item->name, NULL, 10)] = item->text == NULL
								    ? 0
								    : (int)strtol(item->text, NULL,
										  10);
			serial = item->serial;
		}
		assert_memory_equal(has, there, sizeof has);
	}
	feed_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_has_changed),
		cmocka_unit_test(what_is_gone_and_comes_back),
		cmocka_unit_test(too_many_are_gone),
		cmocka_unit_test(slow_watcher_of_old_items),
		cmocka_unit_test(agrees_with_a_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
