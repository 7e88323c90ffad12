/* schedule: which entries are active at the borders of their hours, over midnight, over both
 * changes of daylight saving time, and with a clock that goes back. */
#include "unit.h"

#include <time.h>

#include "autoscaler/brain/schedule.h"
#include "common/clk.h"

#define HOUR (3600 * CLK_S)

/* Seconds since the epoch of a UTC time. */
static int64_t
utc(int year, int month, int day, int hour, int minute, int second)
{
	struct tm tm = {.tm_year = year - 1900,
			.tm_mon = month - 1,
			.tm_mday = day,
			.tm_hour = hour,
			.tm_min = minute,
			.tm_sec = second};

	return timegm(&tm);
}

static char name[] = "office", name2[] = "noon";

static struct schedule
entry(const char *cron, const char *zone, int64_t duration, uint32_t min_scale)
{
	return (struct schedule){.name = name,
				 .cron = xstrdup(cron),
				 .time_zone = xstrdup(zone),
				 .duration = duration,
				 .min_scale = min_scale};
}

static void
drop(struct schedule *s)
{
	free(s->cron);
	free(s->time_zone);
}

/* 2024-05-13 is a Monday. */
static const struct {
	const char *cron, *zone;
	int64_t duration;
	int at[6];
	bool holds;
} cases[] = {
	{"0 8 * * mon-fri", "UTC", 10 * HOUR, {2024, 5, 13, 7, 59, 59}, false},
	{"0 8 * * mon-fri", "UTC", 10 * HOUR, {2024, 5, 13, 8, 0, 0}, true},
	{"0 8 * * mon-fri", "UTC", 10 * HOUR, {2024, 5, 13, 17, 59, 59}, true},
	{"0 8 * * mon-fri", "UTC", 10 * HOUR, {2024, 5, 13, 18, 0, 0}, false},
	{"0 8 * * mon-fri", "UTC", 10 * HOUR, {2024, 5, 12, 12, 0, 0}, false},
	/* the same in Berlin, two hours ahead in May, one in January */
	{"0 8 * * mon-fri", "Europe/Berlin", 10 * HOUR, {2024, 5, 13, 5, 59, 59}, false},
	{"0 8 * * mon-fri", "Europe/Berlin", 10 * HOUR, {2024, 5, 13, 6, 0, 0}, true},
	{"0 8 * * mon-fri", "Europe/Berlin", 10 * HOUR, {2024, 5, 13, 16, 0, 0}, false},
	{"0 8 * * mon-fri", "Europe/Berlin", 10 * HOUR, {2024, 1, 15, 6, 59, 59}, false},
	{"0 8 * * mon-fri", "Europe/Berlin", 10 * HOUR, {2024, 1, 15, 7, 0, 0}, true},
	/* Monday there, Sunday still in UTC */
	{"0 8 * * mon", "Pacific/Auckland", 1 * HOUR, {2024, 5, 12, 20, 30, 0}, true},
	/* over midnight, and over the end of a month */
	{"30 23 31 * *", "UTC", 2 * HOUR, {2024, 6, 1, 1, 29, 59}, true},
	{"30 23 31 * *", "UTC", 2 * HOUR, {2024, 6, 1, 1, 30, 0}, false},
	{"30 23 30 4 *", "UTC", 31 * 24 * HOUR, {2024, 5, 31, 23, 29, 0}, true},
	{"30 23 30 4 *", "UTC", 31 * 24 * HOUR, {2024, 5, 31, 23, 30, 0}, false},
	{"0 0 1 1 *", "UTC", 31 * 24 * HOUR, {2024, 1, 31, 12, 0, 0}, true},
	{"0 0 1 1 *", "UTC", 31 * 24 * HOUR, {2024, 7, 1, 12, 0, 0}, false},
	/* shorter than a minute, and one that begins every minute */
	{"0 8 * * *", "UTC", 10 * CLK_S, {2024, 5, 13, 8, 0, 9}, true},
	{"0 8 * * *", "UTC", 10 * CLK_S, {2024, 5, 13, 8, 0, 10}, false},
	{"* * * * *", "UTC", 60 * CLK_S, {2024, 5, 13, 3, 7, 59}, true},
	{"*/10 * * * *", "UTC", 60 * CLK_S, {2024, 5, 13, 3, 11, 0}, false},
	/* Berlin, 2024-03-31: 2:00 is 3:00, at 1:00 UTC; 2:30 begins then */
	{"30 2 * * *", "Europe/Berlin", 1 * HOUR, {2024, 3, 31, 0, 59, 59}, false},
	{"30 2 * * *", "Europe/Berlin", 1 * HOUR, {2024, 3, 31, 1, 0, 0}, true},
	{"30 2 * * *", "Europe/Berlin", 1 * HOUR, {2024, 3, 31, 1, 59, 59}, true},
	{"30 2 * * *", "Europe/Berlin", 1 * HOUR, {2024, 3, 31, 2, 0, 0}, false},
	/* 2024-10-27: 3:00 is 2:00, at 1:00 UTC; 2:30 is at 0:30 and at 1:30 */
	{"30 2 * * *", "Europe/Berlin", 1 * HOUR, {2024, 10, 27, 0, 29, 0}, false},
	{"30 2 * * *", "Europe/Berlin", 1 * HOUR, {2024, 10, 27, 1, 15, 0}, true},
	{"30 2 * * *", "Europe/Berlin", 1 * HOUR, {2024, 10, 27, 2, 15, 0}, true},
	{"30 2 * * *", "Europe/Berlin", 1 * HOUR, {2024, 10, 27, 2, 30, 0}, false},
	/* Lord Howe skips and repeats half an hour */
	{"0 1 * * *", "Australia/Lord_Howe", 12 * HOUR, {2024, 10, 6, 1, 0, 0}, true},
	{"0 1 * * *", "Australia/Lord_Howe", 12 * HOUR, {2024, 4, 7, 1, 0, 0}, true},
};

static void
one_entry(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct schedule conf = entry(cases[i].cron, cases[i].zone, cases[i].duration, 3);
		struct err e;
		struct schedules *s = schedules_new(&conf, 1, &e);
		const int *at = cases[i].at;
		struct schedule_now now = schedules_at(
			s, utc(at[0], at[1], at[2], at[3], at[4], at[5]) * CLK_S);

		assert_string_equal(e.text, "");
		if (now.min_scale != (cases[i].holds ? 3u : 0u))
			fail_msg("case %zu: %s in %s, %d-%02d-%02d %02d:%02d:%02d: %u", i,
				 cases[i].cron, cases[i].zone, at[0], at[1], at[2], at[3], at[4],
				 at[5], now.min_scale);
		assert_int_equal(now.name != NULL, cases[i].holds);
		schedules_free(&s);
		drop(&conf);
	}
}

/* Second by second over two days, compared with the definition; then backwards. */
static void
every_second(void **state)
{
	struct schedule conf[2] = {entry("15 9,21 * * *", "America/New_York", 90 * 60 * CLK_S, 2),
				   entry("0 12 * * *", "UTC", 2 * HOUR, 5)};
	int64_t begin = utc(2024, 7, 1, 0, 0, 0), t;
	struct err e;
	struct schedules *s = schedules_new(conf, 2, &e);

	(void)state;
	conf[1].name = name2;
	for (t = begin + 86400; t < begin + 3 * 86400; t++) {
		int64_t here = (t - begin) % 86400;
		/* 9:15 and 21:15 there are 13:15 and 1:15 */
		bool office = (here >= 4500 && here < 9900) || (here >= 47700 && here < 53100);
		bool noon = here >= 43200 && here < 50400;
		struct schedule_now now = schedules_at(s, t * CLK_S + 5);

		assert_int_equal(now.min_scale, noon ? 5 : office ? 2 : 0);
		if (noon || office)
			assert_string_equal(now.name, noon ? name2 : name);
	}
	for (; t > begin + 86400; t -= 61) {
		int64_t here = (t - begin) % 86400;
		bool noon = here >= 43200 && here < 50400;

		assert_int_equal(schedules_at(s, t * CLK_S).min_scale == 5, noon);
	}
	schedules_free(&s);
	drop(&conf[0]);
	drop(&conf[1]);
}

static void
a_zone_that_is_not_there(void **state)
{
	struct schedule conf[2] = {entry("* * * * *", "No/Where", HOUR, 2),
				   entry("* * * * *", "UTC", HOUR, 1)};
	struct err e;
	struct schedules *s = schedules_new(conf, 2, &e);

	(void)state;
	assert_string_equal(e.text, "schedule \"office\": cannot read "
				    "/usr/share/zoneinfo/No/Where: No such file or directory");
	assert_int_equal(schedules_at(s, 0).min_scale, 1); /* the other entry is active */
	schedules_free(&s);
	drop(&conf[0]);
	drop(&conf[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_entry),
		cmocka_unit_test(every_second),
		cmocka_unit_test(a_zone_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
