/* slab: the objects that it gives out, and that it reuses those given back. */
#include "test/unit/unit.h"

#include <string.h>

#include "common/slab.h"

#define MANY 1000

static void
objects_are_zeroed_aligned_and_apart(void **state)
{
	static char *v[MANY];
	struct slab s;
	int i, round;

	(void)state;
	slab_init(&s, 100);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < MANY; i++) {
			static const char zeros[100];

			v[i] = slab_get(&s);
			assert_memory_equal(v[i], zeros, sizeof zeros);
#ifndef __SANITIZE_ADDRESS__
			assert_int_equal((uintptr_t)v[i] % 64, 0);
#endif
			memset(v[i], i & 0xff, 100);
		}
		for (i = 0; i < MANY; i++) {
			assert_int_equal((unsigned char)v[i][0], i & 0xff);
			assert_int_equal((unsigned char)v[i][99], i & 0xff);
			slab_put(&s, v[i]);
		}
	}
	slab_fini(&s);
}

static void
what_was_given_back_is_used_again(void **state)
{
	struct slab s;
	struct slab_block *blocks;
	void *v[300];
	int i, round;

	(void)state;
	slab_init(&s, 1000);
	for (i = 0; i < 300; i++)
		v[i] = slab_get(&s);
	blocks = s.blocks;
	for (round = 0; round < 3; round++) {
		for (i = round; i < 300; i += 3)
			slab_put(&s, v[i]);
		for (i = round; i < 300; i += 3)
			v[i] = slab_get(&s);
	}
	assert_ptr_equal(s.blocks, blocks);
	assert_int_equal(s.used, 300);
	for (i = 0; i < 300; i++)
		slab_put(&s, v[i]);
	slab_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_zeroed_aligned_and_apart),
		cmocka_unit_test(what_was_given_back_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
