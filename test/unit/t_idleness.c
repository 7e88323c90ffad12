/* idleness, the hybrid histogram policy, with chosen idle times: each pattern and its limits,
 * the advice at each time, and the same after a restart. */
#include "unit.h"

#include "autoscaler/brain/idleness.h"
#include "common/clk.h"
#include "common/strbuf.h"

#define MINUTE (60 * CLK_S)

static int64_t now;

/* A request of one second, and then none for idle_ns. */
static void
request(struct idleness *i, int64_t idle_ns)
{
	idleness_note(i, true, now);
	now += CLK_S;
	idleness_note(i, true, now);
	idleness_note(i, false, now);
	now += idle_ns;
}

static char *
sentence(const struct idleness *i)
{
	struct strbuf out;

	strbuf_init(&out, 0);
	idleness_explain(i, -1, now, &out);
	return strbuf_take(&out);
}

/* Idle times of these minutes, repeated `times` times. */
static const struct {
	int minutes[12], n, times;
	enum idleness_pattern pattern;
	double from_s, upto_s; /* with a start-up time of 2 s */
	const char *sentence;
} cases[] = {
	{{0},
	 1,
	 9,
	 IDLENESS_FEW,
	 0,
	 0,
	 "9 idle times are known, 10 are needed: keep_warm = fixed applies"},
	{{0},
	 1,
	 10,
	 IDLENESS_KEEP,
	 0,
	 66,
	 "99 % of 10 idle times are shorter than 1 min: the last instance stays for 1.1 min after a "
	 "request"},
	{{30},
	 1,
	 10,
	 IDLENESS_RETURN,
	 1618,
	 2046,
	 "nearly all of 10 idle times are 30 to 31 min long: the last instance is stopped after a "
	 "request, and one runs again from 27.0 to 34.1 min after it"},
	/* one in ten ends at once: it must stay up */
	{{30, 30, 30, 30, 30, 30, 30, 30, 30, 0}, 10, 10, IDLENESS_KEEP, 0, 2046, NULL},
	/* the 5th percentile has an outlier below it, the 99th one above */
	{{10, 11, 12}, 3, 40, IDLENESS_RETURN, 538, 858, NULL},
	{{239}, 1, 20, IDLENESS_RETURN, 12904, 15840, NULL},
	{{240},
	 1,
	 20,
	 IDLENESS_BEYOND,
	 0,
	 0,
	 "20 of 20 idle times are longer than 240 min: keep_warm = fixed applies"},
	{{10, 600}, 2, 10, IDLENESS_BEYOND, 0, 0, NULL}, /* half of them */
	{{10, 10, 600}, 3, 10, IDLENESS_RETURN, 538, 726, NULL},
};

static void
patterns(void **state)
{
	size_t c;

	(void)state;
	for (c = 0; c < ARRAY_LEN(cases); c++) {
		struct idleness *i = idleness_new();
		struct idleness_advice a;
		int k, t;
		char *text;

		for (t = 0; t < cases[c].times; t++)
			for (k = 0; k < cases[c].n; k++)
				request(i, cases[c].minutes[k] * MINUTE + CLK_S);
		idleness_note(i, true, now); /* ends the last idle time */
		a = idleness_advise(i, 2, now);
		assert_int_equal(a.pattern, cases[c].pattern);
		assert_int_equal(a.is_learned, cases[c].pattern >= IDLENESS_KEEP);
		assert_false(a.is_warm); /* it is not idle */
		assert_true(a.from_s > cases[c].from_s - 0.01 && a.from_s < cases[c].from_s + 0.01);
		assert_true(a.upto_s > cases[c].upto_s - 0.01 && a.upto_s < cases[c].upto_s + 0.01);
		text = sentence(i);
		if (cases[c].sentence != NULL)
			assert_string_equal(text, cases[c].sentence);
		free(text);
		idleness_free(&i);
	}
}

/* Each length from 0 to 239 minutes equally often: no pattern. */
static void
even_spread(void **state)
{
	struct idleness *i = idleness_new();
	char *text;
	int k;

	(void)state;
	for (k = 0; k < 480; k++)
		request(i, k % 240 * MINUTE);
	idleness_note(i, true, now);
	assert_int_equal(idleness_advise(i, -1, now).pattern, IDLENESS_SPREAD);
	text = sentence(i);
	assert_string_equal(text, "480 idle times are spread too evenly over 240 min (variation "
				  "0.0, 2 is needed): keep_warm = fixed applies");
	free(text);
	idleness_free(&i);
}

static void
warm_when(void **state)
{
	struct idleness *i = idleness_new();
	int64_t since;
	int s;

	(void)state;
	for (s = 0; s < 20; s++)
		request(i, 30 * MINUTE + CLK_S);
	idleness_note(i, true, now);
	idleness_note(i, false, now);
	since = now;
	for (s = 0; s < 3000; s++) {
		bool is_warm = idleness_advise(i, 20, since + s * CLK_S).is_warm;

		/* 27 minutes less the start-up time; 31 and a tenth more */
		if (s != 1600 && s != 2046) /* the borders themselves are not whole seconds */
			assert_int_equal(is_warm, s > 1600 && s < 2046);
	}
	idleness_free(&i);
}

static void
before_the_first_request_nothing_is_idle(void **state)
{
	struct idleness *i = idleness_new();
	struct idleness_data d;

	(void)state;
	idleness_note(i, false, now);
	now += 40 * MINUTE;
	idleness_note(i, true, now);
	idleness_export(i, &d, now);
	assert_int_equal(d.bins[40], 0);
	assert_true(d.idle_ns < 0);
	idleness_free(&i);
}

/* Old idle times count less than new ones. */
static void
habits_change(void **state)
{
	struct idleness *i = idleness_new();
	int k;

	(void)state;
	for (k = 0; k < 3000; k++)
		request(i, 10 * MINUTE);
	for (k = 0; k < 9000; k++)
		request(i, 100 * MINUTE);
	idleness_note(i, true, now);
	assert_true(idleness_advise(i, 0, now).from_s > 89 * 60); /* no longer 10 */
	idleness_free(&i);
}

static void
over_a_restart(void **state)
{
	struct idleness *a = idleness_new(), *b = idleness_new();
	struct idleness_data d, again;
	int k;

	(void)state;
	for (k = 0; k < 20; k++)
		request(a, k % 4 == 0 ? 500 * MINUTE : 30 * MINUTE);
	idleness_export(a, &d, now);
	assert_int_equal(d.bins[30], 14); /* the last idle time has not ended */
	assert_int_equal(d.beyond, 5);
	assert_true(d.idle_ns == 30 * MINUTE);
	now += 7 * CLK_S;
	d.idle_ns += 7 * CLK_S;
	idleness_import(b, &d, now);
	for (k = 0; k < 3000; k += 7) {
		int64_t t = now + k * CLK_S;

		assert_int_equal(idleness_advise(a, 1, t).is_warm,
				 idleness_advise(b, 1, t).is_warm);
	}
	idleness_note(b, true, now);
	idleness_export(b, &again, now);
	assert_int_equal(again.bins[30], 15);
	d.idle_ns = -1; /* unknown: it is not counted; the next one is */
	idleness_import(b, &d, now);
	idleness_note(b, true, now);
	idleness_note(b, false, now);
	idleness_note(b, true, now + 3 * MINUTE);
	idleness_export(b, &again, now);
	assert_int_equal(again.bins[30], 14);
	assert_int_equal(again.bins[3], 1);
	idleness_free(&a);
	idleness_free(&b);
}

static int
setup(void **state)
{
	(void)state;
	now = 1000 * CLK_S;
	return 0;
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		T(patterns),	  T(even_spread),
		T(warm_when),	  T(before_the_first_request_nothing_is_idle),
		T(habits_change), T(over_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
