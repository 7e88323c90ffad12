#include "unit.h"

#include "common/cron.h"

static const struct {
	const char *text;
	const char *error; /* NULL: no mistake */
	struct cron c;
} cases[] = {
	{"0 8 * * 1-5", NULL, {1, 1u << 8, 0xfffffffe, 0x1ffe, 0x3e, true, false}},
	{"*/15 0-23/6 1,15 jan,DEC sun",
	 NULL,
	 {1 | 1ull << 15 | 1ull << 30 | 1ull << 45, 1 | 1u << 6 | 1u << 12 | 1u << 18,
	  1u << 1 | 1u << 15, 1u << 1 | 1u << 12, 1, false, false}},
	{" 5/20\t* * * 7 ",
	 NULL,
	 {1ull << 5 | 1ull << 25 | 1ull << 45, 0xffffff, 0xfffffffe, 0x1ffe, 1, true, false}},
	{"* * * * mon-fri,0",
	 NULL,
	 {0xfffffffffffffff, 0xffffff, 0xfffffffe, 0x1ffe, 0x3f, true, false}},
	{"", "cannot read the minute of \"\"", {0}},
	{"60 * * * *", "cannot read the minute of \"60 * * * *\"", {0}},
	{"* 24 * * *", "cannot read the hour of \"* 24 * * *\"", {0}},
	{"* * 0 * *", "cannot read the day of \"* * 0 * *\"", {0}},
	{"* * * 13 *", "cannot read the month of \"* * * 13 *\"", {0}},
	{"* * * * 8", "cannot read the weekday of \"* * * * 8\"", {0}},
	{"5-4 * * * *", "cannot read the minute of \"5-4 * * * *\"", {0}},
	{"*/0 * * * *", "cannot read the minute of \"*/0 * * * *\"", {0}},
	{"1,,2 * * * *", "cannot read the minute of \"1,,2 * * * *\"", {0}},
	{"1, * * * *", "cannot read the minute of \"1, * * * *\"", {0}},
	{"1x * * * *", "cannot read the minute of \"1x * * * *\"", {0}},
	{"jan * * * *", "cannot read the minute of \"jan * * * *\"", {0}},
	{"* * * *", "cannot read the weekday of \"* * * *\"", {0}},
	{"* * * * * *", "cannot read \"* * * * * *\": more than five fields", {0}},
};

static void
expressions(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = {0};
		struct cron c;

		assert_int_equal(cron_parse(&c, cases[i].text, &e),
				 cases[i].error == NULL ? 0 : -1);
		assert_string_equal(e.text, cases[i].error == NULL ? "" : cases[i].error);
		if (cases[i].error != NULL)
			continue;
		assert_int_equal(c.minutes, cases[i].c.minutes);
		assert_int_equal(c.hours, cases[i].c.hours);
		assert_int_equal(c.days, cases[i].c.days);
		assert_int_equal(c.months, cases[i].c.months);
		assert_int_equal(c.weekdays, cases[i].c.weekdays);
		assert_int_equal(c.any_day, cases[i].c.any_day);
		assert_int_equal(c.any_weekday, cases[i].c.any_weekday);
	}
}

/* 8:30 on Friday the 13th, and on days near it. */
static void
matching(void **state)
{
	static const struct {
		const char *text;
		int mday, wday;
		bool matches;
	} days[] = {
		{"30 8 13 * fri", 13, 5, true}, {"30 8 13 * fri", 12, 5, true},
		{"30 8 13 * fri", 13, 4, true}, {"30 8 13 * fri", 12, 4, false},
		{"30 8 * * fri", 12, 5, true},	{"30 8 * * fri", 13, 4, false},
		{"30 8 13 * *", 13, 4, true},	{"30 8 13 * *", 12, 5, false},
		{"31 8 * * *", 13, 5, false},	{"30 9 * * *", 13, 5, false},
		{"30 8 * 1 *", 13, 5, false},	{"30 8 * 2 *", 13, 5, true},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(days); i++) {
		struct tm t = {.tm_min = 30,
			       .tm_hour = 8,
			       .tm_mday = days[i].mday,
			       .tm_mon = 1,
			       .tm_wday = days[i].wday};
		struct cron c;

		assert_int_equal(cron_parse(&c, days[i].text, NULL), 0);
		assert_int_equal(cron_matches(&c, &t), days[i].matches);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expressions),
		cmocka_unit_test(matching),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
