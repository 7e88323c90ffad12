/* The copy of a head that may have to be sent again: from a pool, or exact-sized. */
#include "test/unit/unit.h"

#include <string.h>

#include "activator/headbuf.h"

static void
a_small_copy_uses_a_buffer_of_the_pool_again(void **state)
{
	struct headbuf_pool pool;
	struct headbuf h = {.data = NULL};
	char *first;

	(void)state;
	headbuf_pool_init(&pool);
	headbuf_set(&h, &pool, "GET / HTTP/1.1", 14);
	first = h.data;
	assert_memory_equal(h.data, "GET / HTTP/1.1", 14);
	headbuf_clear(&h, &pool);
	assert_null(h.data);
	headbuf_set(&h, &pool, "PUT / HTTP/1.1", 14);
	assert_ptr_equal(h.data, first);
	assert_memory_equal(h.data, "PUT / HTTP/1.1", 14);
	headbuf_clear(&h, &pool);
	headbuf_pool_fini(&pool);
}

static void
a_large_copy_is_not_of_the_pool(void **state)
{
	static char large[HEADBUF_SIZE + 1];
	struct headbuf_pool pool;
	struct headbuf h = {.data = NULL};

	(void)state;
	memset(large, 'x', sizeof large);
	headbuf_pool_init(&pool);
	headbuf_set(&h, &pool, large, sizeof large);
	assert_false(h.is_pooled);
	assert_memory_equal(h.data, large, sizeof large);
	headbuf_clear(&h, &pool);
	assert_true(list_empty(&pool.unused));
	headbuf_pool_fini(&pool);
}

static void
an_exact_copy_gives_its_buffer_back(void **state)
{
	struct headbuf_pool pool;
	struct headbuf h = {.data = NULL};

	(void)state;
	headbuf_pool_init(&pool);
	headbuf_set(&h, &pool, "HEAD / HTTP/1.1", 15);
	headbuf_set_exact(&h, &pool, h.data, 15);
	assert_false(h.is_pooled);
	assert_memory_equal(h.data, "HEAD / HTTP/1.1", 15);
	assert_int_equal(pool.unused.n, 1);
	headbuf_set_exact(&h, &pool, h.data, 15); /* of an exact one */
	assert_memory_equal(h.data, "HEAD / HTTP/1.1", 15);
	headbuf_clear(&h, &pool);
	assert_int_equal(pool.unused.n, 1);
	headbuf_pool_fini(&pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_small_copy_uses_a_buffer_of_the_pool_again),
		cmocka_unit_test(a_large_copy_is_not_of_the_pool),
		cmocka_unit_test(an_exact_copy_gives_its_buffer_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
