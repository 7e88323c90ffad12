/* pages: what is got is full of zeroes, and takes no memory while it holds nothing else. */
#include "test/unit/unit.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/pages.h"

#define PAGES 600 /* more than two chunks */
#define PAGES_PER_CHUNK 256

static bool
is_empty(const char *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGES_SIZE - 1) == 0;
}

/* Has it memory? */
static bool
is_resident(void *page)
{
	unsigned char in_core;

	assert_int_equal(mincore(page, PAGES_SIZE, &in_core), 0);
	return (in_core & 1) != 0;
}

static void
pages_are_used_again(void **state)
{
	static char *got[PAGES];
	struct pages p;
	size_t i, round;
	int other;

	(void)state;
	pages_init(&p);
	if (sysconf(_SC_PAGESIZE) != (long)PAGES_SIZE) {
		assert_null(pages_get(&p));
		pages_fini(&p);
		return;
	}
	for (round = 0; round < 3; round++) {
		for (i = 0; i < PAGES; i++) {
			got[i] = pages_get(&p);
			assert_true(is_empty(got[i]));
			memset(got[i], (int)i % 255 + 1, PAGES_SIZE);
		}
		for (i = 0; i < PAGES; i++)
			assert_int_equal(got[i][PAGES_SIZE - 1], (char)(i % 255 + 1));
		for (i = 0; i < PAGES; i++)
			assert_true(pages_put(&p, got[i]));
	}
	assert_int_equal(p.chunks_n, 3);
	assert_false(pages_put(&p, &other));
	assert_false(pages_put(&p, p.chunks[0] + 1));
	pages_fini(&p);
}

static void
an_empty_page_has_no_memory(void **state)
{
	struct pages p;
	char *page;

	(void)state;
	pages_init(&p);
	page = pages_get(&p);
	if (page != NULL) {
		page[PAGES_SIZE - 1] = 1;
		pages_trim(page);
		assert_int_equal(page[PAGES_SIZE - 1], 1);
		page[PAGES_SIZE - 1] = 0;
		assert_true(is_resident(page));
		pages_trim(page);
		assert_false(is_resident(page));
		assert_true(is_empty(page));
		page[7] = 1;
		pages_trim(page);
		assert_true(is_resident(page));
		assert_true(pages_put(&p, page));
	}
	pages_fini(&p);
}

static size_t
count_resident(const struct pages *p)
{
	size_t i, n = 0;

	for (i = 0; i < PAGES_PER_CHUNK; i++)
		n += is_resident(p->chunks[0] + i * PAGES_SIZE);
	return n;
}

static void
few_unused_pages_keep_their_memory(void **state)
{
	static char *got[PAGES_PER_CHUNK];
	static const size_t uses[] = {200, PAGES_KEPT, 1, PAGES_KEPT + 1, 130, PAGES_KEPT};
	struct pages p;
	size_t i, use;

	(void)state;
	pages_init(&p);
	for (use = 0; p.is_possible && use < ARRAY_LEN(uses); use++) {
		for (i = 0; i < uses[use]; i++) {
			got[i] = pages_get(&p);
			assert_true(is_empty(got[i]));
			got[i][0] = 1;
		}
		for (i = 0; i < uses[use]; i++)
			assert_true(pages_put(&p, got[i]));
		assert_int_equal(p.chunks_n, 1);
		assert_int_equal(count_resident(&p), PAGES_KEPT);
	}
	pages_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_used_again),
		cmocka_unit_test(an_empty_page_has_no_memory),
		cmocka_unit_test(few_unused_pages_keep_their_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
