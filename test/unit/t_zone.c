/* zone: offsets of real zones compared with the C library's, single transitions, and damaged
 * files. */
#include "unit.h"

#include "common/zone.h"

#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

/* The offset by the C library, for the zone in TZ. */
static int32_t
libc_offset(int64_t utc_s)
{
	time_t t = (time_t)utc_s;
	struct tm tm;

	localtime_r(&t, &tm);
	return (int32_t)tm.tm_gmtoff;
}

static void
as_the_c_library_has_it(void **state)
{
	static const char *const names[] = {
		"UTC",
		"Europe/Berlin",
		"America/New_York",
		"Australia/Lord_Howe",
		"Asia/Kolkata",
		"America/Sao_Paulo",
		"Europe/Dublin",
		"Asia/Tokyo",
		"Pacific/Chatham",
		"Etc/GMT+5",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++) {
		struct err e = {0};
		struct zone *z = zone_open(names[i], &e);
		int64_t t;

		assert_string_equal(e.text, "");
		assert_non_null(z);
		setenv("TZ", names[i], 1);
		tzset();
		/* from 1995 to 2065, in steps of no round number */
		for (t = 788918400; t < 3000000000; t += 70001)
			if (zone_offset(z, t) != libc_offset(t))
				fail_msg("%s at %lld: %d, not %d", names[i], (long long)t,
					 zone_offset(z, t), libc_offset(t));
		zone_free(&z);
	}
	unsetenv("TZ");
	tzset();
}

/* A file without transitions, only with a TZ string, as slim databases have. */
static struct zone *
of_string(const char *text)
{
	char file[300] = {0};
	size_t n = 44;
	struct err e = {0};
	struct zone *z;

	memcpy(file, "TZif2", 5);
	file[39] = 1; /* one type, of offset 0, no transition */
	n += 6;
	memcpy(file + n, file, 44);
	n += 44 + 6;
	n += (size_t)snprintf(file + n, sizeof file - n, "\n%s\n", text);
	z = zone_parse(file, n, &e);
	assert_int_equal(z == NULL, e.text[0] != '\0');
	return z;
}

static void
strings(void **state)
{
	static const struct {
		const char *text;
		int64_t at;
		int32_t offset;
	} right[] = {
		{BERLIN, 1711846799, 3600}, /* 2024-03-31 00:59:59 UTC */
		{BERLIN, 1711846800, 7200}, /* 01:00:00 */
		{BERLIN, 1729990799, 7200}, /* 2024-10-27 00:59:59 UTC */
		{BERLIN, 1729990800, 3600}, /* 01:00:00 */
		{"NZST-12NZDT,M9.5.0,M4.1.0/3", 1704067200, 46800},
		{"NZST-12NZDT,M9.5.0,M4.1.0/3", 1719792000, 43200},
		{"IST-5:30", 0, 19800},
		{"<-03>3", 0, -10800},
		{"EST5EDT4,J60,J300/0", 1709251199 + 5 * 3600 + 2 * 3600, -18000}, /* leap year */
		{"EST5EDT4,J60,J300/0", 1709251200 + 5 * 3600 + 2 * 3600, -14400},
		{"AAA0BBB,59/0,300/0", 1709164799, 0}, /* 2024-02-28 23:59:59 */
		{"AAA0BBB,59/0,300/0", 1709164800, 3600},
		{"", 5, 0},
	};
	static const char *const wrong[] = {
		"CE-1",
		"CET",
		"CET-1CEST",
		"CET-1CEST,M3.5.0",
		"CET-1CEST,M13.5.0,M10.5.0",
		"CET-1CEST,M3.0.0,M10.5.0",
		"CET-1CEST,M3.5.0,M10.5.0/3x",
		"<03>-3",
		"CET-200",
		"CET-1:60",
		"CET-1CEST,M3.5,M10.5.0",
		"CET-1CEST,J366,J1",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(right); i++) {
		struct zone *z = of_string(right[i].text);

		assert_non_null(z);
		assert_int_equal(zone_offset(z, right[i].at), right[i].offset);
		zone_free(&z);
	}
	for (i = 0; i < ARRAY_LEN(wrong); i++)
		assert_null(of_string(wrong[i]));
}

static void
files_that_are_no_zone(void **state)
{
	struct err e;
	char *file = xcalloc(1, 100000);
	size_t n, i;
	FILE *f = fopen("/usr/share/zoneinfo/Europe/Berlin", "rb");

	(void)state;
	assert_null(zone_open("Europe/Berln", &e));
	assert_string_equal(e.text, "cannot read /usr/share/zoneinfo/Europe/Berln: "
				    "No such file or directory");
	assert_null(zone_open("Europe", &e));
	assert_null(zone_open("zone.tab", &e));
	assert_string_equal(
		e.text,
		"/usr/share/zoneinfo/zone.tab: expected a time zone file of version 2 or later");
	assert_non_null(f);
	n = fread(file, 1, 100000, f);
	fclose(f);
	for (i = 0; i + 1 < n; i++) {	    /* truncated at each byte */
		char *cut = xmalloc(i + 1); /* so that a sanitiser notices reads beyond it */
		struct zone *z;

		memcpy(cut, file, i);
		z = zone_parse(cut, i, &e);
		assert_null(z);
		free(cut);
	}
	free(file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_c_library_has_it),
		cmocka_unit_test(strings),
		cmocka_unit_test(files_that_are_no_zone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
