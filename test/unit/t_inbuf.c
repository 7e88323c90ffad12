/* inbuf: bytes that were read and not consumed, borrowed within an event and owned after. */
#include "test/unit/unit.h"

#include <string.h>

#include "activator/inbuf.h"

static char buf[16];

static struct inbuf
borrow(const char *text)
{
	size_t n = strlen(text);

	memcpy(buf, text, n);
	return (struct inbuf){.data = buf, .n = (uint32_t)n, .is_borrowed = true};
}

static void
assert_holds(const struct inbuf *in, const char *text)
{
	assert_int_equal(in->n, strlen(text));
	assert_memory_equal(in->data, text, in->n);
}

static void
kept_bytes_survive_the_shared_buffer(void **state)
{
	struct inbuf in = borrow("abcdef");

	(void)state;
	inbuf_consume(&in, 2);
	assert_ptr_equal(in.data, buf + 2);
	inbuf_keep(&in);
	memset(buf, 'x', sizeof buf);
	assert_holds(&in, "cdef");
	inbuf_consume(&in, 3);
	assert_holds(&in, "f");
	inbuf_consume(&in, 1);
	assert_int_equal(in.n, 0);
	assert_null(in.data);
}

static void
bytes_not_consumed_move_to_the_front(void **state)
{
	struct inbuf in = borrow("abcdef");

	(void)state;
	inbuf_consume(&in, 4);
	inbuf_move(&in, buf);
	assert_ptr_equal(in.data, buf);
	assert_holds(&in, "ef");
	inbuf_keep(&in);
	inbuf_move(&in, buf);
	assert_true(in.is_borrowed);
	assert_holds(&in, "ef");
	inbuf_clear(&in);
	assert_int_equal(in.n, 0);
}

static void
nothing_left_costs_no_memory(void **state)
{
	struct inbuf in = borrow("ab");

	(void)state;
	inbuf_consume(&in, 2);
	inbuf_keep(&in);
	assert_null(in.data);
	assert_false(in.is_borrowed);
	inbuf_move(&in, buf);
	assert_int_equal(in.n, 0);
	inbuf_clear(&in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_bytes_survive_the_shared_buffer),
		cmocka_unit_test(bytes_not_consumed_move_to_the_front),
		cmocka_unit_test(nothing_left_costs_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
