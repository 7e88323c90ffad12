/* route: how the traffic of a service is split over its revisions, and which clients stay with
 * theirs. */
#include "test/unit/route_world.h"

#include <math.h>
#include <string.h>

#include "activator/route.h"

/* xorshift64*, as in worker.c. */
static uint64_t
next_random(uint64_t *x)
{
	*x ^= *x >> 12;
	*x ^= *x << 25;
	*x ^= *x >> 27;
	return *x * UINT64_C(2685821657736338717);
}

static void
test_split_is_unbiased(void **state)
{
	static const uint32_t percents[] = {90, 7, 3};
	struct msg_service s = split_service(
		"s", (struct str_list)LIST("h"),
		(struct msg_traffic[]){{.percent = 90}, {.percent = 7}, {.percent = 3}}, 3);
	struct routes *r = routes_new(&s, 1, &source);
	struct fields none = {.name = {NULL}};
	uint64_t x = 42;
	unsigned counts[3] = {0}, i, n = 100000;

	(void)state;
	for (i = 0; i < n; i++) {
		struct route_match m = ask_with(r, "h", "/", "GET", &none, "192.0.2.1",
						next_random(&x));

		counts[revision_of(&m)[3] - '1']++;
	}
	for (i = 0; i < 3; i++) { /* within five standard deviations */
		double p = percents[i] / 100.0, expected = n * p;
		double off = counts[i] - expected;

		assert_true(off * off < 25 * expected * (1 - p));
	}
	routes_unref(&r);
	service_free(&s);
}

static void
test_split_is_deterministic(void **state)
{
	struct msg_service s = split_service(
		"s", (struct str_list)LIST("h"),
		(struct msg_traffic[]){{.percent = 25}, {.percent = 0}, {.percent = 75}}, 3);
	struct routes *r = routes_new(&s, 1, &source);
	static const struct {
		uint64_t random;
		const char *revision;
	} rows[] = {
		{0, "s/v1"},
		{UINT64_MAX / 4, "s/v1"},
		{UINT64_MAX / 4 + 2, "s/v3"},
		{UINT64_MAX, "s/v3"},
	};
	struct fields none = {.name = {NULL}};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct route_match m = ask_with(r, "h", "/", "GET", &none, "192.0.2.1",
						rows[i].random);

		assert_string_equal(revision_of(&m), rows[i].revision);
	}
	routes_unref(&r);
	service_free(&s);
}

static void
test_sticky(void **state)
{
	struct msg_service s[2] = {
		split_service("c", (struct str_list)LIST("c"),
			      (struct msg_traffic[]){{.percent = 50}, {.percent = 50}}, 2),
		split_service("f", (struct str_list)LIST("f"),
			      (struct msg_traffic[]){{.percent = 50}, {.percent = 50}}, 2),
	};
	struct routes *r, *wider;
	unsigned i, first = 0, stay = 0;
	uint64_t x = 7;

	(void)state;
	s[0].sticky = (char[]){"cookie:sid"};
	s[1].sticky = (char[]){"header:X-User"};
	r = routes_new(s, 2, &source);
	s[0].traffic[0].percent = 60;
	s[0].traffic[1].percent = 40;
	wider = routes_new(s, 2, &source);
	for (i = 0; i < 1000; i++) {
		char cookie[64], user[32], before[16];
		struct fields f = {{"cookie", "cookie", "x-user"}, {"a=b", cookie, user}};
		struct route_match m;

		snprintf(cookie, sizeof cookie, "a=sid; xsid=1; sid=u%u; b=2", i);
		snprintf(user, sizeof user, "u%u", i);
		m = ask_with(r, "c", "/", "GET", &f, "192.0.2.1", next_random(&x));
		snprintf(before, sizeof before, "%s", revision_of(&m));
		first += strcmp(before, "c/v1") == 0;
		m = ask_with(r, "c", "/", "GET", &f, "192.0.2.1", next_random(&x));
		assert_string_equal(revision_of(&m), before);
		m = ask_with(wider, "c", "/", "GET", &f, "192.0.2.1", next_random(&x));
		stay += strcmp(revision_of(&m), before) == 0;
		/* a client of the revision whose percent grew stays with it */
		assert_false(before[3] == '1' && revision_of(&m)[3] == '2');
		m = ask_with(r, "f", "/", "GET", &f, "192.0.2.1", next_random(&x));
		snprintf(before, sizeof before, "%s", revision_of(&m));
		m = ask_with(r, "f", "/", "GET", &f, "192.0.2.1", next_random(&x));
		assert_string_equal(revision_of(&m), before);
	}
	assert_in_range(first, 400, 600);
	assert_in_range(stay, 850, 950);
	routes_unref(&r);
	routes_unref(&wider);
	service_free(&s[0]);
	service_free(&s[1]);
}

/* The revision of each of n clients. */
static void
ask_sticky(const struct routes *r, unsigned n, char *got)
{
	uint64_t x = 7;
	unsigned i;

	for (i = 0; i < n; i++) {
		char cookie[32];
		struct fields f = {{"cookie"}, {cookie}};
		struct route_match m;

		snprintf(cookie, sizeof cookie, "sid=u%u", i);
		m = ask_with(r, "c", "/", "GET", &f, "192.0.2.1", next_random(&x));
		got[i] = revision_of(&m)[3];
	}
}

static unsigned
count_of(const char *got, unsigned n, char revision)
{
	unsigned count = 0, i;

	for (i = 0; i < n; i++)
		count += got[i] == revision;
	return count;
}

/* A rollout to any of three revisions: each client moves to it, once, or stays; and each revision
 * has its part, though percents are whole numbers. */
static void
test_sticky_in_a_rollout(void **state)
{
	enum { N = 5000 };
	static const struct {
		unsigned to;
		uint32_t percents[3]; /* before it */
	} all[] = {{0, {0, 33, 67}}, {1, {33, 0, 67}}, {2, {33, 67, 0}}, {1, {61, 9, 30}}};
	static const uint32_t steps[] = {10, 33, 50, 77, 99, 100};
	static char before[N], now[N];
	unsigned a, k, i;

	(void)state;
	for (a = 0; a < ARRAY_LEN(all); a++) {
		const uint32_t *old = all[a].percents;
		unsigned to = all[a].to;
		struct msg_service s = split_service("c", (struct str_list)LIST("c"),
						     (struct msg_traffic[]){{.percent = old[0]},
									    {.percent = old[1]},
									    {.percent = old[2]}},
						     3);
		struct routes *r;

		s.sticky = (char[]){"cookie:sid"};
		r = routes_new(&s, 1, &source);
		ask_sticky(r, N, before);
		routes_unref(&r);
		for (k = 0; k < ARRAY_LEN(steps); k++) {
			for (i = 0; i < 3; i++) {
				uint32_t rest = 100 - steps[k], others = 100 - old[to];

				s.traffic[i].weight = i == to ? steps[k] * others : old[i] * rest;
				s.traffic[i].percent = s.traffic[i].weight / others;
			}
			r = routes_new(&s, 1, &source);
			ask_sticky(r, N, now);
			routes_unref(&r);
			for (i = 0; i < N; i++)
				assert_true(now[i] == before[i] || now[i] == (char)('1' + to));
			for (i = 0; i < 3; i++) { /* five standard deviations */
				double part = s.traffic[i].weight / 100.0 / (100 - old[to]);
				double most = 5 * sqrt(N * part * (1 - part));
				double n = count_of(now, N, (char)('1' + i));

				assert_true(n >= N * part - most && n <= N * part + most);
			}
			memcpy(before, now, N);
		}
		service_free(&s);
	}
}

/* Two entries of one revision count together. */
static void
test_sticky_with_two_entries(void **state)
{
	enum { N = 4000 };
	static char one[N], two[N];
	struct msg_service s = split_service(
		"c", (struct str_list)LIST("c"),
		(struct msg_traffic[]){{.percent = 30}, {.percent = 70}, {.percent = 0}}, 3);
	struct routes *r;

	(void)state;
	s.sticky = (char[]){"cookie:sid"};
	r = routes_new(&s, 1, &source);
	ask_sticky(r, N, one);
	routes_unref(&r);
	s.traffic[1].percent = 20;
	s.traffic[2].percent = 50;
	s.traffic[2].revision = s.traffic[1].revision;
	r = routes_new(&s, 1, &source);
	ask_sticky(r, N, two);
	routes_unref(&r);
	assert_memory_equal(one, two, N);
	service_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_is_unbiased),
		cmocka_unit_test(test_split_is_deterministic),
		cmocka_unit_test(test_sticky),
		cmocka_unit_test(test_sticky_in_a_rollout),
		cmocka_unit_test(test_sticky_with_two_entries),
	};

	return cmocka_run_group_tests(tests, begin_revisions, end_revisions);
}
