/* hours and table: rows of hours in memory, and the answers made of them. */
#include "unit.h"

#include "autoscaler/usage/hours.h"
#include "autoscaler/usage/table.h"
#include "common/clk.h"
#include "common/strbuf.h"

#define NOON INT64_C(498876) /* 2026-11-29T12:00Z, in hours */
#define HEAD                                                                                       \
	"observed_s,instance_s,requests,completed,in_flight_s,parked_s,wakes,starts,cpu_s,"        \
	"memory_byte_s,measured_s,always_one_s,peak,bytes_in,bytes_out,cold_starts,cold_wait_s,"   \
	"cold_wait_max_s" ENDS ",always_peak_s,saved_one_s,saved_peak_s"
#define X(id, name) "," name
#define ENDS REQUEST_ENDS(X)
/* Of the columns from bytes_in to the last end. */
#define ZEROS "0,0,0,0,0," REQUEST_ENDS(ZERO)
#define ZERO(id, name) "0,"

static char a_v1[] = "a/v1", a_v2[] = "a/v2", b_v1[] = "b/v1", odd[] = "a/v\"1";
static char none[] = "", team[] = "team", other[] = "other", center[] = "4711";

#define PUT_N 5 /* amounts that are not 0 */
static void
put_for(struct hours *h, int64_t hour, const struct account *account, double instance_s,
	double peak)
{
	hours_add(h, hour, account,
		  &(struct amounts){.observed_s = 3600,
				    .instance_s = instance_s,
				    .requests = 1.5,
				    .always_one_s = 3600,
				    .peak = peak});
}

static void
put(struct hours *h, int64_t hour, char *revision, double instance_s, double peak)
{
	put_for(h, hour, &(struct account){revision, none, none}, instance_s, peak);
}

static void
to_table(int64_t hour, const struct account *account, const struct amounts *a, void *arg)
{
	table_add(arg, hour, account, a);
}

static char *
answer(const struct hours *h, const char *from, const char *to, const char *by, double price,
       bool is_json)
{
	struct table_query q;
	struct strbuf out;
	struct table *t;
	struct err e;

	if (table_query_parse(&q, from, to, by, (NOON * 3600 + 1) * CLK_S, &e) < 0)
		return xstrdup(e.text);
	q.price = price;
	strbuf_init(&out, 0);
	t = table_new(&q);
	hours_each(h, q.from, q.upto, to_table, t);
	table_end(t);
	assert_false(table_is_too_long(t));
	if (is_json)
		table_write_json(t, &out);
	else
		table_write_csv(t, &out);
	table_free(&t);
	return strbuf_take(&out);
}

static void
expect(const struct hours *h, const char *from, const char *to, const char *by, const char *text)
{
	char *got = answer(h, from, to, by, 0, false);

	assert_string_equal(got, text);
	free(got);
}

static struct hours *
three_days(void)
{
	struct hours *h = hours_new(UINT64_MAX);

	put(h, NOON, b_v1, 60, 1);
	put(h, NOON + 1, a_v1, 100, 2);
	put(h, NOON, a_v1, 50.25, 1);
	put(h, NOON, a_v2, 10, 3);
	put(h, NOON + 30, a_v1, 1000, 4);
	put(h, NOON - 30, b_v1, 5, 1);
	return h;
}

static void
by_what_is_asked_for(void **state)
{
	struct hours *h = three_days();

	(void)state;
	expect(h, NULL, NULL, NULL,
	       "begin,revision," HEAD "\r\n"
	       "2026-11-29T00:00:00Z,a/v1,3600,50.25,1.5,0,0,0,0,0,,,0,3600,1," ZEROS
	       "3600,3549.75,3549.75\r\n"
	       "2026-11-29T00:00:00Z,a/v2,3600,10,1.5,0,0,0,0,0,,,0,3600,3," ZEROS
	       "10800,3590,10790\r\n"
	       "2026-11-29T00:00:00Z,b/v1,3600,60,1.5,0,0,0,0,0,,,0,3600,1," ZEROS
	       "3600,3540,3540\r\n");
	expect(h, "2026-11-29", "2026-12-01", "service",
	       "begin,service," HEAD "\r\n"
	       "2026-11-29T00:00:00Z,a,14400,1160.25,6,0,0,0,0,0,,,0,14400,4," ZEROS
	       "54000,13239.75,52839.75\r\n"
	       "2026-11-29T00:00:00Z,b,3600,60,1.5,0,0,0,0,0,,,0,3600,1," ZEROS
	       "3600,3540,3540\r\n");
	expect(h, "0", "4000000000", "total,day",
	       "begin," HEAD "\r\n"
	       "2026-11-28T00:00:00Z,3600,5,1.5,0,0,0,0,0,,,0,3600,1," ZEROS "3600,3595,3595\r\n"
	       "2026-11-29T00:00:00Z,14400,220.25,6,0,0,0,0,0,,,0,14400,3," ZEROS
	       "28800,14179.75,28579.75\r\n"
	       "2026-11-30T00:00:00Z,3600,1000,1.5,0,0,0,0,0,,,0,3600,4," ZEROS
	       "14400,2600,13400\r\n");
	expect(h, "2026-11-28T06:00Z", "2026-11-28T06:59:59Z", "revision,hour",
	       "begin,revision," HEAD "\r\n"
	       "2026-11-28T06:00:00Z,b/v1,3600,5,1.5,0,0,0,0,0,,,0,3600,1," ZEROS
	       "3600,3595,3595\r\n");
	expect(h, "2026-01-01", "2027-01-01", "month,total",
	       "begin," HEAD "\r\n"
	       "2026-11-01T00:00:00Z,21600,1225.25,9,0,0,0,0,0,,,0,21600,4," ZEROS
	       "61200,20374.75,59974.75\r\n");
	hours_free(&h);
}

/* The peak of a revision counts for each owner that it has had. */
static void
by_owner_and_cost_center(void **state)
{
	struct hours *h = hours_new(UINT64_MAX);

	(void)state;
	put_for(h, NOON, &(struct account){a_v1, team, center}, 10, 1);
	put_for(h, NOON, &(struct account){a_v2, team, none}, 20, 2);
	put_for(h, NOON, &(struct account){a_v1, other, none}, 40, 4);
	put_for(h, NOON, &(struct account){b_v1, none, center}, 80, 8);
	expect(h, NULL, NULL, "owner",
	       "begin,owner," HEAD "\r\n"
	       "2026-11-29T00:00:00Z,,3600,80,1.5,0,0,0,0,0,,,0,3600,8," ZEROS
	       "28800,3520,28720\r\n"
	       "2026-11-29T00:00:00Z,other,3600,40,1.5,0,0,0,0,0,,,0,3600,4," ZEROS
	       "14400,3560,14360\r\n"
	       "2026-11-29T00:00:00Z,team,7200,30,3,0,0,0,0,0,,,0,7200,2," ZEROS
	       "10800,7170,10770\r\n");
	expect(h, NULL, NULL, "cost_center,hour",
	       "begin,cost_center," HEAD "\r\n"
	       "2026-11-29T12:00:00Z,,7200,60,3,0,0,0,0,0,,,0,7200,4," ZEROS "21600,7140,21540\r\n"
	       "2026-11-29T12:00:00Z,4711,7200,90,3,0,0,0,0,0,,,0,7200,8," ZEROS
	       "32400,7110,32310\r\n");
	hours_free(&h);
}

/* A spreadsheet would compute such a cell. */
static void
no_cell_is_a_formula(void **state)
{
	char names[][16] = {"@team", "-1+1", "=A1", "+a", "\ta", "a=b", "a"};
	struct hours *h = hours_new(UINT64_MAX);
	char *text;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++)
		put_for(h, NOON, &(struct account){a_v1, names[i], none}, 1, 1);
	text = answer(h, "0", NULL, "owner", 0, false);
	assert_non_null(strstr(text, "Z,\"'@team\",3600,"));
	assert_non_null(strstr(text, "Z,\"'-1+1\",3600,"));
	assert_non_null(strstr(text, "Z,\"'=A1\",3600,"));
	assert_non_null(strstr(text, "Z,\"'+a\",3600,"));
	assert_non_null(strstr(text, "Z,\"'\ta\",3600,"));
	assert_non_null(strstr(text, "Z,a=b,3600,"));
	assert_non_null(strstr(text, "Z,a,3600,"));
	free(text);
	text = answer(h, "0", NULL, "owner", 0, true);
	assert_non_null(strstr(text, "\"owner\":\"@team\","));
	free(text);
	hours_free(&h);
}

static void
json_with_costs(void **state)
{
	struct hours *h = hours_new(UINT64_MAX);
	char *got;

	(void)state;
	put(h, NOON, odd, 1800, 2);
	got = answer(h, NULL, NULL, NULL, 0.5, true);
	assert_string_equal(
		got, "{\"from\":\"2026-11-29T00:00:00Z\",\"to\":\"2026-11-29T13:00:00Z\","
		     "\"instance_hour_price\":0.5,\"rows\":[{\"begin\":\"2026-11-29T00:00:00Z\","
		     "\"revision\":\"a/v\\\"1\",\"observed_s\":3600,\"instance_s\":1800,"
		     "\"requests\":1.5,\"completed\":0,\"in_flight_s\":0,\"parked_s\":0,"
		     "\"wakes\":0,\"starts\":0,"
		     "\"measured_s\":0,\"always_one_s\":3600,\"peak\":2,\"bytes_in\":0,"
		     "\"bytes_out\":0,\"cold_starts\":0,\"cold_wait_s\":0,"
		     "\"cold_wait_max_s\":0,\"always_peak_s\":7200,\"saved_one_s\":1800,"
		     "\"saved_peak_s\":5400,\"cost\":0.25,\"always_one_cost\":0.5,"
		     "\"always_peak_cost\":1,\"saved_one_cost\":0.25,"
		     "\"saved_peak_cost\":0.75}]}\n");
	free(got);
	got = answer(h, NULL, NULL, NULL, 2, false);
	assert_non_null(strstr(got, ",always_peak_s,saved_one_s,saved_peak_s,cost,always_one_cost,"
				    "always_peak_cost,saved_one_cost,saved_peak_cost\r\n"));
	assert_non_null(strstr(got, ",\"a/v\"\"1\",3600,")); /* RFC 4180 */
	assert_non_null(strstr(got, ",7200,1800,5400,1,2,4,1,3\r\n"));
	free(got);
	hours_free(&h);
}

/* CPU and memory are there where the driver measured them; ends where there were any. */
static void
what_the_driver_does_not_know(void **state)
{
	struct amounts a = {.instance_s = 2, .measured_s = 2, .cold_wait_max_s = 0.5};
	struct hours *h = hours_new(UINT64_MAX);
	char *got;

	(void)state;
	a.ends[REQUEST_QUEUE_FULL] = 3;
	hours_add(h, NOON, &(struct account){a_v1, none, none}, &a);
	got = answer(h, NULL, NULL, NULL, 0, true);
	assert_non_null(strstr(got, "\"cpu_s\":0,\"memory_byte_s\":0,\"measured_s\":2,"));
	assert_non_null(strstr(got, "\"cold_wait_max_s\":0.5,\"refused_queue_full\":3,\"always"));
	free(got);
	got = answer(h, NULL, NULL, NULL, 0, false);
	assert_non_null(strstr(got, ",0,2,0,0,0,0,0,0,0,0,2,0,0,"));
	free(got);
	hours_free(&h);
}

static void
mistakes_say_what_is_expected(void **state)
{
	static const char *const times[] = {"",
					    "x",
					    "2026-13-01",
					    "2026-11-29x",
					    "2026-11-29T07",
					    "2026-11-29T07:00:00",
					    "-1",
					    "99999999999999999999",
					    "253402300800"};
	struct hours *h = hours_new(UINT64_MAX);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(times); i++) {
		char *got = answer(h, times[i], NULL, NULL, 0, false);

		assert_non_null(strstr(got, "from: expected a time such as 2026-11-30"));
		free(got);
	}
	expect(h, "2026-11-29", "2026-11-28", NULL,
	       "to: expected a time after from, got \"2026-11-28\"");
	expect(h, NULL, NULL, "revision,week",
	       "by: expected hour, day or month, and total, service, revision, owner or "
	       "cost_center, with commas between, got \"revision,week\"");
	expect(h, NULL, NULL, "",
	       "by: expected hour, day or month, and total, service, revision, owner or "
	       "cost_center, with commas between, got \"\"");
	hours_free(&h);
}

static void
count(int64_t hour, const struct account *account, const struct amounts *a, void *arg)
{
	(void)hour;
	(void)account;
	*(double *)arg += a->instance_s;
}

static void
take(int64_t hour, const struct account *account, const struct amounts *a, void *arg)
{
	(void)hour;
	(void)account;
	*(struct amounts *)arg = *a;
}

static void
the_oldest_hours_go(void **state)
{
	const uint64_t bytes = 4 * HOURS_ROW_BYTES(PUT_N) + 3 * HOURS_ACCOUNT_BYTES;
	struct hours *h = hours_new(bytes), *more = hours_new(bytes);
	double sum = 0;

	(void)state;
	put(h, 10, a_v1, 1, 1);
	put(h, 10, b_v1, 2, 1);
	put(h, 11, a_v1, 4, 1);
	put(h, 12, a_v1, 8, 1);
	put(h, 11, a_v1, 16, 1);
	assert_int_equal(hours_rows(h), 4);
	put(h, 13, a_v2, 32, 1);
	assert_int_equal(hours_rows(h), 3);
	assert_int_equal(hours_dropped(h), 2);
	hours_each(h, INT64_MIN, INT64_MAX, count, &sum);
	assert_true(sum == 4 + 8 + 16 + 32);
	put(more, 12, a_v1, 64, 1);
	put(more, 9, odd, 128, 1);
	hours_merge(h, &more);
	assert_null(more);
	assert_int_equal(hours_rows(h), 4);
	put(h, 8, odd, 256, 1); /* older than all others */
	assert_int_equal(hours_rows(h), 4);
	sum = 0;
	hours_each(h, 9, 13, count, &sum);
	assert_true(sum == 4 + 8 + 16 + 64 + 128);
	hours_free(&h);
}

/* An amount that becomes known makes its row larger; all amounts come back as they were. */
static void
rows_hold_what_is_not_0(void **state)
{
	struct hours *h = hours_new(2 * HOURS_ROW_BYTES(AMOUNTS_N) + HOURS_ACCOUNT_BYTES);
	const struct account one = {a_v1, team, none};
	struct amounts all = {.peak = 0}, seen = {.peak = 0};
	size_t i;

	(void)state;
	hours_add(h, 1, &one, &all);
	for (i = 0; i < AMOUNTS_N; i++) {
		struct amounts a = {.peak = 0};

		*amounts_at(&a, i) = *amounts_at(&all, i) = (double)i + 0.5;
		hours_add(h, 1, &one, &a);
	}
	hours_each(h, 1, 2, take, &seen);
	assert_memory_equal(&seen, &all, sizeof all);
	hours_add(h, 2, &one, &all);
	assert_int_equal(hours_rows(h), 2);
	hours_add(h, 3, &one, &(struct amounts){.requests = 1});
	assert_int_equal(hours_rows(h), 2);
	assert_int_equal(hours_dropped(h), 1);
	hours_free(&h);
}

/* An account takes memory, too: many that have one hour each are bounded as well. */
static void
accounts_are_bounded(void **state)
{
	const int64_t n = 50;
	struct hours *h = hours_new((uint64_t)n * (HOURS_ROW_BYTES(PUT_N) + HOURS_ACCOUNT_BYTES));
	int64_t i;

	(void)state;
	for (i = 0; i < 10 * n; i++) {
		char name[32];

		snprintf(name, sizeof name, "a/v%lld", (long long)i);
		put(h, i, name, 1, 1);
		assert_int_equal(hours_rows(h), MIN(i + 1, n));
	}
	for (i = 0; i < 1000; i++) /* one account may have all the hours */
		put(h, 1000 + i, a_v1, 1, 1);
	assert_in_range(hours_rows(h), n * 9, n * 10);
	hours_free(&h);
}

/* The hour that is not over belongs to the day of the hours before it, with one peak. */
static void
the_present_hour(void **state)
{
	struct table_query q = {.upto = NOON + 100, .span = TABLE_DAY, .of = TABLE_OWNER};
	const struct account one = {a_v1, team, none}, two = {a_v2, team, none},
			     three = {b_v1, other, none};
	const struct amounts live = {.observed_s = 60, .requests = 3, .peak = 5};
	struct hours *h = hours_new(UINT64_MAX);
	struct table *t = table_new(&q);
	struct strbuf out;

	(void)state;
	put_for(h, NOON - 24, &one, 7, 7);
	put_for(h, NOON, &one, 1, 1);
	table_add_live(t, NOON + 1, &one, &live);
	table_add_live(t, NOON + 1, &two, &live);
	table_add_live(t, NOON + 1, &three, &live);
	table_add_live(t, NOON + 100, &(struct account){odd, none, none}, &live);
	hours_each(h, q.from, q.upto, to_table, t);
	table_end(t);
	strbuf_init(&out, 0);
	table_write_csv(t, &out);
	assert_string_equal(strbuf_str(&out),
			    "begin,owner," HEAD "\r\n"
			    "2026-11-28T00:00:00Z,team,3600,7,1.5,0,0,0,0,0,,,0,3600,7," ZEROS
			    "25200,3593,25193\r\n"
			    "2026-11-29T00:00:00Z,other,60,0,3,0,0,0,0,0,,,0,0,5," ZEROS
			    "300,0,300\r\n"
			    "2026-11-29T00:00:00Z,team,3720,1,7.5,0,0,0,0,0,,,0,3600,5," ZEROS
			    "18600,3599,18599\r\n");
	strbuf_fini(&out);
	table_free(&t);
	hours_free(&h);
}

static bool
is_too_long(int64_t rows)
{
	struct table_query q = {.upto = 100000, .span = TABLE_HOUR, .of = TABLE_REVISION};
	const struct amounts a = {.requests = 1};
	const struct account account = {a_v1, none, none};
	struct table *t = table_new(&q);
	bool is_long;
	int64_t i;

	for (i = 0; i < rows; i++)
		table_add(t, i, &account, &a);
	table_end(t);
	is_long = table_is_too_long(t);
	table_free(&t);
	return is_long;
}

static void
a_very_long_answer_is_refused(void **state)
{
	(void)state;
	assert_false(is_too_long(TABLE_ROWS_MAX));
	assert_true(is_too_long(TABLE_ROWS_MAX + 1));
	assert_true(is_too_long(TABLE_ROWS_MAX + 1000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_what_is_asked_for),
		cmocka_unit_test(by_owner_and_cost_center),
		cmocka_unit_test(no_cell_is_a_formula),
		cmocka_unit_test(json_with_costs),
		cmocka_unit_test(mistakes_say_what_is_expected),
		cmocka_unit_test(the_oldest_hours_go),
		cmocka_unit_test(rows_hold_what_is_not_0),
		cmocka_unit_test(what_the_driver_does_not_know),
		cmocka_unit_test(accounts_are_bounded),
		cmocka_unit_test(the_present_hour),
		cmocka_unit_test(a_very_long_answer_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
