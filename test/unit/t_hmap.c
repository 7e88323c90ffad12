/* hmap compared with a plain array, through growth and removals. */
#include "test/unit/unit.h"

#include "common/hmap.h"

#define KEYS 2000

static void
name(char *out, unsigned i)
{
	sprintf(out, "key-%u", i);
}

static void
finds_what_was_put(void **state)
{
	int values[3];
	struct hmap m;

	(void)state;
	hmap_init(&m);
	assert_null(hmap_find(&m, "a"));
	assert_null(hmap_remove(&m, "a"));
	assert_null(hmap_put(&m, "a", &values[0]));
	assert_null(hmap_put(&m, "", &values[1]));
	assert_null(hmap_put(&m, "ab", &values[2]));
	assert_ptr_equal(hmap_find(&m, "a"), &values[0]);
	assert_ptr_equal(hmap_find(&m, ""), &values[1]);
	assert_ptr_equal(hmap_find_n(&m, "abc", 2), &values[2]);
	assert_ptr_equal(hmap_find_n(&m, "abc", 1), &values[0]);
	assert_null(hmap_find(&m, "abc"));
	assert_ptr_equal(hmap_put(&m, "a", &values[2]), &values[0]);
	assert_int_equal(m.n, 3);
	assert_ptr_equal(hmap_remove(&m, "a"), &values[2]);
	assert_null(hmap_find(&m, "a"));
	assert_int_equal(m.n, 2);
	hmap_fini(&m);
	assert_null(hmap_find(&m, "ab"));
	hmap_fini(&m);
}

static void
key_of_any_length(void **state)
{
	char key[64] = "";
	struct hmap m;
	size_t i;

	(void)state;
	hmap_init(&m);
	for (i = 0; i < sizeof key - 1; i++) {
		assert_null(hmap_put(&m, key, &key[i]));
		key[i] = 'x';
	}
	memset(key, 0, sizeof key);
	for (i = 0; i < sizeof key - 1; i++) {
		assert_ptr_equal(hmap_find(&m, key), &key[i]);
		key[i] = 'x';
	}
	hmap_fini(&m);
}

static void
same_as_an_array(void **state)
{
	static bool is_there[KEYS];
	uint32_t random = 1;
	struct hmap m;
	char key[32];
	size_t n = 0;
	unsigned i;

	(void)state;
	hmap_init(&m);
	for (i = 0; i < 200000; i++) {
		unsigned k;

		random = random * 1664525 + 1013904223;
		k = (random >> 8) % KEYS;
		name(key, k);
		if (random >> 31) {
			assert_int_equal(hmap_put(&m, key, &is_there[k]) != NULL, is_there[k]);
			n += !is_there[k];
			is_there[k] = true;
		} else {
			assert_int_equal(hmap_remove(&m, key) != NULL, is_there[k]);
			n -= is_there[k];
			is_there[k] = false;
		}
		assert_int_equal(m.n, n);
	}
	assert_true(m.cap <= 4 * KEYS); /* removed entries do not make it grow */
	for (i = 0; i < KEYS; i++) {
		name(key, i);
		assert_ptr_equal(hmap_find(&m, key), is_there[i] ? &is_there[i] : NULL);
	}
	hmap_fini(&m);
}

static void
walk_sees_each_once_and_may_remove(void **state)
{
	int seen[100] = {0};
	struct hmap m;
	const char *key;
	void *value;
	char text[32];
	size_t at = 0, n = 0;
	unsigned i;

	(void)state;
	hmap_init(&m);
	assert_false(hmap_next(&m, &at, &key, &value));
	for (i = 0; i < 100; i++) {
		name(text, i);
		assert_null(hmap_put(&m, text, &seen[i]));
	}
	for (at = 0; hmap_next(&m, &at, &key, &value); n++) {
		int *count = value;

		name(text, (unsigned)(count - seen));
		assert_string_equal(key, text);
		++*count;
		if (n % 2 == 0)
			assert_ptr_equal(hmap_remove(&m, text), value);
	}
	assert_int_equal(n, 100);
	assert_int_equal(m.n, 50);
	for (i = 0; i < 100; i++)
		assert_int_equal(seen[i], 1);
	hmap_fini(&m);
}

static void
maps_differ_in_their_seeds(void **state)
{
	struct hmap a, b;

	(void)state;
	hmap_init(&a);
	hmap_init(&b);
	assert_true(a.seed != b.seed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_put),
		cmocka_unit_test(key_of_any_length),
		cmocka_unit_test(same_as_an_array),
		cmocka_unit_test(walk_sees_each_once_and_may_remove),
		cmocka_unit_test(maps_differ_in_their_seeds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
