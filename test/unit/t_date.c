/* The Date field: the form of RFC 9110 5.6.7, formatted once a second. */
#include "test/unit/unit.h"

#include <string.h>

#include "activator/date.h"
#include "common/clk.h"

static int64_t at_ns;

static int64_t
now(void)
{
	return at_ns;
}

static void
it_has_the_form_of_the_rfc(void **state)
{
	static const struct {
		int64_t s;
		const char *text;
	} cases[] = {
		{784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* the RFC's own example */
		{951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
		{951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
		{4102444800, "Fri, 01 Jan 2100 00:00:00 GMT"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct date d = {.until = 0};

		at_ns = cases[i].s * CLK_S;
		assert_string_equal(date_text(&d, at_ns), cases[i].text);
		assert_int_equal(strlen(d.text), DATE_LEN);
	}
}

static void
it_changes_with_the_second(void **state)
{
	struct date d = {.until = 0};

	(void)state;
	at_ns = 784111777 * CLK_S + CLK_S / 4;
	assert_string_equal(date_text(&d, at_ns), "Sun, 06 Nov 1994 08:49:37 GMT");
	at_ns += CLK_S * 3 / 4 - 1;
	assert_string_equal(date_text(&d, at_ns), "Sun, 06 Nov 1994 08:49:37 GMT");
	at_ns += 1;
	assert_string_equal(date_text(&d, at_ns), "Sun, 06 Nov 1994 08:49:38 GMT");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_has_the_form_of_the_rfc),
		cmocka_unit_test(it_changes_with_the_second),
	};

	clk_replace(now);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
