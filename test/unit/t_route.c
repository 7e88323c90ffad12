/* route: which host, path, field and tag lead to which revision, how traffic is split, and that
 * a look-up costs the same with one service as with ten thousand. */
#include "test/unit/unit.h"

#include <math.h>

#include "activator/revision.h"
#include "activator/route.h"
#include "activator/route_query.h"
#include "activator/rules.h"
#include "common/hmap.h"

#define FIELDS 4
#define LIST(...)                                                                                  \
	{                                                                                          \
		.v = (char *[]){__VA_ARGS__, NULL}, .n = ARRAY_LEN(((char *[]){__VA_ARGS__}))      \
	}

/* --- services --- */

static struct hmap revisions;

static struct revision *
find_revision(void *ctx, const char *name)
{
	struct revision *rev = hmap_find(&revisions, name);

	(void)ctx;
	if (rev == NULL) {
		rev = revision_new(name, 1, NULL, NULL, NULL);
		hmap_put(&revisions, name, rev);
	}
	return revision_ref(rev);
}

static char *
page_of(void *ctx, const struct msg_service *s)
{
	(void)ctx;
	return xstrdup(s->waiting_page);
}

static const struct route_source source = {.find = find_revision, .page = page_of};

static void
forget_revisions(void)
{
	size_t at = 0;
	void *rev;

	while (hmap_next(&revisions, &at, NULL, &rev))
		revision_unref((struct revision **)&rev);
	hmap_fini(&revisions);
}

/* A service with one revision "NAME/v1". */
static struct msg_service
service(char *name, struct str_list hosts, struct str_list paths)
{
	struct msg_service s = {.name = name, .hosts = hosts, .paths = paths};

	s.revisions = xcalloc(1, sizeof *s.revisions);
	s.revisions_n = 1;
	s.revisions[0].instances.revision = xasprintf("%s/v1", name);
	limits_default(&s.revisions[0].limits);
	s.traffic = xcalloc(1, sizeof *s.traffic);
	s.traffic_n = 1;
	s.traffic[0] = (struct msg_traffic){.revision = s.revisions[0].instances.revision,
					    .percent = 100};
	return s;
}

static void
service_free(struct msg_service *s)
{
	size_t i;

	for (i = 0; i < s->revisions_n; i++) {
		limits_fini(&s->revisions[i].limits);
		free(s->revisions[i].instances.revision);
	}
	free(s->revisions);
	free(s->traffic);
}

/* Traffic over revisions "NAME/v1", "NAME/v2", … */
static struct msg_service
split_service(char *name, struct str_list hosts, const struct msg_traffic *traffic, size_t n)
{
	struct msg_service s = {.name = name, .hosts = hosts};
	size_t i;

	s.revisions = xcalloc(n, sizeof *s.revisions);
	s.traffic = xcalloc(n, sizeof *s.traffic);
	s.revisions_n = s.traffic_n = n;
	for (i = 0; i < n; i++) {
		limits_default(&s.revisions[i].limits);
		s.revisions[i].instances.revision = xasprintf("%s/v%zu", name, i + 1);
		s.traffic[i] = traffic[i];
		s.traffic[i].revision = s.revisions[i].instances.revision;
	}
	return s;
}

/* --- requests --- */

struct fields {
	const char *name[FIELDS], *value[FIELDS];
};

static const char *
field(void *ctx, const char *name, uint32_t *at, size_t *n)
{
	const struct fields *f = ctx;

	while (*at < FIELDS && f->name[*at] != NULL) {
		uint32_t i = (*at)++;

		if (strcmp(f->name[i], name) == 0) {
			*n = strlen(f->value[i]);
			return f->value[i];
		}
	}
	return NULL;
}

static bool is_local; /* what ask_with() asks comes in at a local listener */

static struct route_match
ask_with(const struct routes *r, const char *host, const char *path, const char *method,
	 struct fields *fields, const char *client, uint64_t random)
{
	struct route_match m;
	struct addr a;
	struct route_query q = {.is_local = is_local,
				.host = host,
				.host_n = strlen(host),
				.path = path,
				.path_n = strlen(path),
				.method = method,
				.method_n = strlen(method),
				.field = field,
				.ctx = fields,
				.client = &a,
				.random = random};

	assert_int_equal(addr_set(&a, client, 1234, NULL), 0);
	routes_find(r, &q, &m);
	return m;
}

static const char *
revision_of(const struct route_match *m)
{
	return m->service == NULL ? "none" : m->revision->rev->name;
}

static const char *
ask(const struct routes *r, const char *host, const char *path, struct fields *fields)
{
	struct fields none = {.name = {NULL}};
	struct route_match m = ask_with(r, host, path, "GET", fields == NULL ? &none : fields,
					"192.0.2.1", 0);

	return revision_of(&m);
}

static size_t
tag_size(const struct routes *r, const char *host)
{
	struct fields none = {.name = {NULL}};

	return ask_with(r, host, "/", "GET", &none, "192.0.2.1", 0).tag_n;
}

/* --- hosts and paths --- */

static void
test_hosts_and_paths(void **state)
{
	struct msg_service s[] = {
		service("exact", (struct str_list)LIST("shop.example.com", "Shop.Example.NET."),
			(struct str_list){0}),
		service("api", (struct str_list)LIST("shop.example.com"),
			(struct str_list)LIST("/api/", "/deep/er/still")),
		service("v2", (struct str_list)LIST("shop.example.com"),
			(struct str_list)LIST("/api/v2")),
		service("near", (struct str_list)LIST("*.eu.example.com"), (struct str_list){0}),
		service("far", (struct str_list)LIST("*.example.com"), (struct str_list)LIST("/")),
		service("rest", (struct str_list)LIST("*"), (struct str_list)LIST("/public")),
		service("only", (struct str_list)LIST("only.example.org"),
			(struct str_list)LIST("/public/only")),
	};
	static const struct {
		const char *host, *path, *revision;
	} rows[] = {
		{"shop.example.com", "/", "exact/v1"},
		{"SHOP.example.COM", "/x", "exact/v1"},
		{"shop.example.com.", "/x", "exact/v1"},
		{"shop.example.net", "", "exact/v1"},
		{"shop.example.com", "*", "exact/v1"},
		{"shop.example.com", "/api", "api/v1"},
		{"shop.example.com", "/api/", "api/v1"},
		{"shop.example.com", "/api/x/y/z", "api/v1"},
		{"shop.example.com", "/apix", "exact/v1"},
		{"shop.example.com", "/API", "exact/v1"},
		{"shop.example.com", "/api/v2", "v2/v1"},
		{"shop.example.com", "/api/v2/", "v2/v1"},
		{"shop.example.com", "/api/v2/x", "v2/v1"},
		{"shop.example.com", "/api/v22", "api/v1"},
		{"shop.example.com", "/deep/er", "exact/v1"},
		{"shop.example.com", "/deep/er/still/more", "api/v1"},
		{"a.eu.example.com", "/", "near/v1"},
		{"a.b.eu.example.com", "/", "near/v1"},
		{"eu.example.com", "/", "far/v1"},
		{"A.B.Example.Com", "/", "far/v1"},
		{"example.com", "/", "none"},
		{".example.com", "/", "none"},
		{"x.example.org", "/", "none"},
		{"x.example.org", "/public", "rest/v1"},
		{"x.example.org", "/public/only", "rest/v1"},
		{"only.example.org", "/public/only", "only/v1"},
		{"only.example.org", "/public/other", "rest/v1"},
		{"only.example.org", "/", "none"},
		{"", "/public/", "rest/v1"},
		{"*", "/", "none"},
		{"*.example.com", "/", "far/v1"},
		{"[::1]", "/public", "rest/v1"},
	};
	struct routes *r = routes_new(s, ARRAY_LEN(s), &source);
	char host[400];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(ask(r, rows[i].host, rows[i].path, NULL), rows[i].revision);
	memset(host, 'a', sizeof host);
	strcpy(host + sizeof host - 13, ".example.com");
	assert_string_equal(ask(r, host, "/public", NULL),
			    "rest/v1"); /* a host longer than any name */
	routes_unref(&r);
	for (i = 0; i < ARRAY_LEN(s); i++)
		service_free(&s[i]);
}

static void
test_fields(void **state)
{
	struct msg_service s[] = {
		service("all", (struct str_list)LIST("h"), (struct str_list){0}),
		service("beta", (struct str_list)LIST("h"), (struct str_list){0}),
		service("gamma", (struct str_list)LIST("h"), (struct str_list){0}),
		service("mobile", (struct str_list)LIST("h"), (struct str_list){0}),
		service("beta-x", (struct str_list)LIST("h"), (struct str_list)LIST("/x")),
	};
	struct fields beta = {{"x-version"}, {"beta"}}, gamma = {{"x-version"}, {"gamma"}},
		      other = {{"x-version"}, {"delta"}},
		      both = {{"x-version", "x-client"}, {"beta", "mobile"}},
		      mobile = {{"x-client"}, {"mobile"}};
	struct routes *r;
	size_t i;

	(void)state;
	s[1].match_header = s[2].match_header = s[4].match_header = (char[]){"X-Version"};
	s[1].match_value = s[4].match_value = (char[]){"beta"};
	s[2].match_value = (char[]){"gamma"};
	s[3].match_header = (char[]){"x-client"};
	s[3].match_value = (char[]){"mobile"};
	r = routes_new(s, ARRAY_LEN(s), &source);
	assert_string_equal(ask(r, "h", "/", NULL), "all/v1");
	assert_string_equal(ask(r, "h", "/", &beta), "beta/v1");
	assert_string_equal(ask(r, "h", "/", &gamma), "gamma/v1");
	assert_string_equal(ask(r, "h", "/", &other), "all/v1");
	assert_string_equal(ask(r, "h", "/", &both), "beta/v1");
	assert_string_equal(ask(r, "h", "/", &mobile), "mobile/v1");
	assert_string_equal(ask(r, "h", "/x", &beta), "beta-x/v1");
	assert_string_equal(ask(r, "h", "/x", &gamma),
			    "gamma/v1"); /* only the service with the shorter path matches */
	assert_string_equal(ask(r, "h", "/x", NULL), "all/v1");
	routes_unref(&r);
	for (i = 0; i < ARRAY_LEN(s); i++)
		service_free(&s[i]);
}

static void
test_first_has_it(void **state)
{
	struct msg_service s[] = {
		service("one", (struct str_list)LIST("h"), (struct str_list){0}),
		service("two", (struct str_list)LIST("H", "two"), (struct str_list)LIST("/")),
	};
	struct routes *r = routes_new(s, ARRAY_LEN(s), &source), *again = routes_ref(r);

	(void)state;
	assert_string_equal(ask(r, "h", "/", NULL), "one/v1");
	assert_string_equal(ask(r, "two", "/", NULL), "two/v1");
	routes_unref(&r);
	assert_string_equal(ask(again, "two", "/", NULL), "two/v1");
	routes_unref(&again);
	service_free(&s[0]);
	service_free(&s[1]);
}

/* --- tags --- */

static void
test_tags(void **state)
{
	struct msg_service s[] = {
		split_service("shop", (struct str_list)LIST("shop.x", "*.shops.x"),
			      (struct msg_traffic[]){{.percent = 100},
						     {.percent = 0, .tag = (char[]){"next"}},
						     {.percent = 0, .tag = (char[]){"old"}}},
			      3),
		service("own", (struct str_list)LIST("old-shop.x"), (struct str_list){0}),
	};
	struct fields next = {{"x-activator-tag"}, {"next"}}, nope = {{"x-activator-tag"}, {"n"}};
	struct routes *r = routes_new(s, ARRAY_LEN(s), &source);

	(void)state;
	assert_string_equal(ask(r, "shop.x", "/", NULL), "shop/v1");
	assert_string_equal(ask(r, "shop.x", "/", &next), "shop/v2");
	assert_string_equal(ask(r, "a.shops.x", "/", &next), "shop/v2");
	assert_string_equal(ask(r, "shop.x", "/", &nope), "shop/v1");
	assert_string_equal(ask(r, "next-shop.x", "/a/b", NULL), "shop/v2");
	assert_string_equal(ask(r, "NEXT-shop.x", "/", &nope), "shop/v2");
	assert_string_equal(ask(r, "old-shop.x", "/", NULL), "own/v1");
	assert_int_equal(tag_size(r, "next-shop.x"), 5);
	assert_int_equal(tag_size(r, "old-shop.x"), 0);
	assert_int_equal(tag_size(r, "shop.x"), 0);
	routes_unref(&r);
	service_free(&s[0]);
	service_free(&s[1]);
}

/* --- local hosts --- */

static void
test_local_hosts(void **state)
{
	struct msg_service s[] = {
		split_service("shop", (struct str_list)LIST("shop.x"),
			      (struct msg_traffic[]){{.percent = 100},
						     {.percent = 0, .tag = (char[]){"next"}}},
			      2),
		service("internal", (struct str_list){0}, (struct str_list)LIST("/internal")),
		service("wide", (struct str_list){0}, (struct str_list){0}),
		service("rest", (struct str_list)LIST("*"), (struct str_list){0}),
	};
	static const struct {
		const char *host, *path, *everywhere, *local;
	} rows[] = {
		{"shop.x", "/", "shop/v1", "shop/v1"},
		{"next-shop.x", "/", "shop/v2", "shop/v2"},
		{"shop.cluster", "/", "none", "shop/v1"},
		{"next-shop.cluster", "/", "none", "shop/v2"},
		/* No other service answers in the place of one that is local. */
		{"shop.x", "/internal/x", "none", "internal/v1"},
		{"shop.x", "/internals", "shop/v1", "shop/v1"},
		{"a.wide.x", "/", "none", "wide/v1"},
		{"b.x", "/", "rest/v1", "rest/v1"},
	};
	struct routes *r;
	size_t i;

	(void)state;
	s[0].local_hosts = (struct str_list)LIST("shop.cluster");
	s[1].local_hosts = (struct str_list)LIST("shop.x");
	s[2].local_hosts = (struct str_list)LIST("*.wide.x");
	r = routes_new(s, ARRAY_LEN(s), &source);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_string_equal(ask(r, rows[i].host, rows[i].path, NULL), rows[i].everywhere);
		is_local = true;
		assert_string_equal(ask(r, rows[i].host, rows[i].path, NULL), rows[i].local);
		is_local = false;
	}
	routes_unref(&r);
	for (i = 0; i < ARRAY_LEN(s); i++)
		service_free(&s[i]);
}

/* --- the split --- */

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

/* --- rules --- */

static void
test_rules(void **state)
{
	struct rule_conf rules[] = {
		{.action = RULE_ANSWER,
		 .paths = LIST("/healthz"),
		 .methods = LIST("GET", "HEAD"),
		 .status = 204},
		{.action = RULE_SERVE_ONLY,
		 .header = (char[]){"User-Agent"},
		 .contains = (char[]){"uptime"}},
		{.action = RULE_SERVE_ONLY, .header = (char[]){"Sec-Purpose"}},
		{.action = RULE_WAKE,
		 .clients = LIST("192.0.2.0/24", "2001:db8::/32"),
		 .paths = LIST("/in/")},
		{.action = RULE_SERVE_ONLY, .paths = LIST("/in", "/bots")},
	};
	static struct fields none, bot = {{"user-agent"}, {"Better UpTime Bot"}},
				   person = {{"user-agent"}, {"Mozilla/5.0"}},
				   prefetch = {{"sec-purpose"}, {"prefetch"}};
	static const struct {
		const char *method, *path, *client;
		struct fields *fields;
		int rule; /* index, -1: none */
	} rows[] = {
		{"GET", "/", "192.0.2.1", &none, -1},
		{"GET", "/healthz", "192.0.2.1", &none, 0},
		{"HEAD", "/healthz/deep", "192.0.2.1", &none, 0},
		{"POST", "/healthz", "192.0.2.1", &none, -1},
		{"get", "/healthz", "192.0.2.1", &none, -1},
		{"GET", "/healthzz", "192.0.2.1", &none, -1},
		{"GET", "/", "192.0.2.1", &bot, 1},
		{"GET", "/", "192.0.2.1", &person, -1},
		{"GET", "/", "192.0.2.1", &prefetch, 2},
		{"GET", "/in/x", "192.0.2.9", &none, 3},
		{"GET", "/in/x", "::ffff:192.0.2.9", &none, 3},
		{"GET", "/in", "2001:db8::1", &none, 3},
		{"GET", "/in", "203.0.113.1", &none, 4},
		{"GET", "/bots/x", "192.0.2.9", &none, 4},
	};
	struct msg_service s = service("s", (struct str_list)LIST("h"), (struct str_list){0});
	struct routes *r;
	size_t i;

	(void)state;
	s.rules = rules;
	s.rules_n = ARRAY_LEN(rules);
	r = routes_new(&s, 1, &source);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct route_match m = ask_with(r, "h", rows[i].path, rows[i].method,
						rows[i].fields, rows[i].client, 0);

		assert_non_null(m.service);
		if (rows[i].rule < 0) {
			assert_null(m.rule);
			assert_int_equal(m.action, RULE_WAKE);
			continue;
		}
		assert_non_null(m.rule);
		assert_int_equal(m.action, rules[rows[i].rule].action);
		assert_int_equal(m.rule->paths.n, rules[rows[i].rule].paths.n);
		assert_int_equal(m.rule->clients.n, rules[rows[i].rule].clients.n);
	}
	routes_unref(&r);
	service_free(&s);
}

/* A path is judged as an origin will read it; where origins differ and the match would, too, it
 * is ambiguous. */
static void
test_rules_on_other_spellings(void **state)
{
	static const char *const
		same[] = {"/private",	  "/private/x",	     "/%70rivate/x",	      "//private/x",
			  "/./private/x", "/y/../private/x", "/private%20/../private"},
		*const ambiguous[] =
			{"/private%2fx",      "/x%2f..%2fprivate/y", "/%2570rivate",
			 "/private;a=b/x",    "/;/private",	     "/private%00",
			 "/x\\..\\private",   "/x/..;/private",	     "/y%2f..%2fprivate/%252e%252e",
			 "/%25%32%66private", "/y//../private",	     "/%252525252570rivate"},
		*const other[] = {"/",	  "/Private", "/privatex", "/x/private", "/a%2fb",
				  "/a;b", "/a%252fb", "/%",	   "/private/.."};
	struct rule_conf rules[] = {
		{.action = RULE_ANSWER, .paths = LIST("/priv%61te/"), .status = 403}};
	struct msg_service s = service("s", (struct str_list)LIST("h"), (struct str_list){0});
	struct fields none = {.name = {NULL}};
	struct route_match m;
	char path[2000] = "";
	struct routes *r;
	size_t i;

	(void)state;
	s.rules = rules;
	s.rules_n = 1;
	r = routes_new(&s, 1, &source);
	for (i = 0; i < ARRAY_LEN(same); i++) {
		m = ask_with(r, "h", same[i], "GET", &none, "192.0.2.1", 0);
		assert_true(m.rule != NULL && !m.is_ambiguous);
	}
	for (i = 0; i < ARRAY_LEN(ambiguous); i++)
		assert_true(
			ask_with(r, "h", ambiguous[i], "GET", &none, "192.0.2.1", 0).is_ambiguous);
	for (i = 0; i < ARRAY_LEN(other); i++) {
		m = ask_with(r, "h", other[i], "GET", &none, "192.0.2.1", 0);
		assert_true(m.service != NULL && m.rule == NULL && !m.is_ambiguous);
	}
	/* Readings cost time: a long path is not tried in all of them. */
	memset(path, 'x', sizeof path - 1);
	memcpy(path, "/a;", 3);
	assert_true(ask_with(r, "h", path, "GET", &none, "192.0.2.1", 0).is_ambiguous);
	path[2] = 'x';
	assert_false(ask_with(r, "h", path, "GET", &none, "192.0.2.1", 0).is_ambiguous);
	routes_unref(&r);
	s.rules_n = 0; /* where no path decides anything, any path passes */
	r = routes_new(&s, 1, &source);
	for (i = 0; i < ARRAY_LEN(ambiguous); i++) {
		m = ask_with(r, "h", ambiguous[i], "GET", &none, "192.0.2.1", 0);
		assert_true(m.service != NULL && !m.is_ambiguous);
	}
	routes_unref(&r);
	service_free(&s);
}

static void
test_routes_on_other_spellings(void **state)
{
	struct rule_conf rules[] = {
		{.action = RULE_SERVE_ONLY, .header = "x"},
		{.action = RULE_ANSWER, .paths = LIST("/private"), .status = 403}};
	struct msg_service s[] = {
		service("all", (struct str_list)LIST("h"), (struct str_list){0}),
		service("api", (struct str_list)LIST("h"), (struct str_list)LIST("/api/v%31")),
		service("plain", (struct str_list)LIST("*.plain"), (struct str_list){0}),
		service("ruled", (struct str_list)LIST("*.ruled"), (struct str_list){0}),
	};
	struct fields none = {.name = {NULL}};
	struct route_match m;
	struct routes *r;

	(void)state;
	s[2].rules = &rules[0];
	s[2].rules_n = 1;
	s[3].rules = rules;
	s[3].rules_n = 2;
	r = routes_new(s, ARRAY_LEN(s), &source);
	assert_string_equal(ask(r, "h", "/api/v1", NULL), "api/v1");
	assert_string_equal(ask(r, "h", "//%61pi/./v1/", NULL), "api/v1");
	assert_string_equal(ask(r, "h", "/api/x/../v1/y", NULL), "api/v1");
	assert_string_equal(ask(r, "h", "/api/v1/..", NULL), "all/v1");
	assert_true(ask_with(r, "h", "/api%2fv1", "GET", &none, "192.0.2.1", 0).is_ambiguous);
	/* A path matters only to the services that ask for one, of those that the host has. */
	m = ask_with(r, "h.plain", "/%252525252570rivate", "GET", &none, "192.0.2.1", 0);
	assert_true(m.service != NULL && !m.is_by_path && !m.is_ambiguous);
	m = ask_with(r, "no", "/%252525252570rivate", "GET", &none, "192.0.2.1", 0);
	assert_true(m.service == NULL && !m.is_by_path && !m.is_ambiguous);
	m = ask_with(r, "h.ruled", "/%252525252570rivate", "GET", &none, "192.0.2.1", 0);
	assert_true(m.is_by_path && m.is_ambiguous);
	m = ask_with(r, "h.ruled", "//private", "GET", &none, "192.0.2.1", 0);
	assert_true(m.is_by_path && !m.is_ambiguous && m.rule != NULL);
	m = ask_with(r, "h", "/other", "GET", &none, "192.0.2.1", 0);
	assert_true(m.service != NULL && m.is_by_path && !m.is_ambiguous);
	routes_unref(&r);
	service_free(&s[0]);
	service_free(&s[1]);
	service_free(&s[2]);
	service_free(&s[3]);
}

/* Several fields of one name are one list. */
static void
test_several_fields(void **state)
{
	struct rule_conf rules[] = {{.action = RULE_SERVE_ONLY,
				     .header = (char[]){"User-Agent"},
				     .contains = (char[]){"bot"}}};
	struct msg_service s[] = {
		service("all", (struct str_list)LIST("h"), (struct str_list){0}),
		service("beta", (struct str_list)LIST("h"), (struct str_list){0}),
	};
	struct fields bots = {{"user-agent", "user-agent"}, {"", "a bot"}},
		      betas = {{"x-version", "x-version"}, {"", "beta"}};
	struct routes *r;

	(void)state;
	s[0].rules = rules;
	s[0].rules_n = 1;
	s[1].match_header = (char[]){"x-version"};
	s[1].match_value = (char[]){"beta"};
	r = routes_new(s, ARRAY_LEN(s), &source);
	assert_int_equal(ask_with(r, "h", "/", "GET", &bots, "192.0.2.1", 0).action,
			 RULE_SERVE_ONLY);
	assert_string_equal(ask(r, "h", "/", &betas), "beta/v1");
	routes_unref(&r);
	service_free(&s[0]);
	service_free(&s[1]);
}

static void
test_below(void **state)
{
	(void)state;
	assert_true(rules_is_below("/a/b", 4, "/a", 2));
	assert_true(rules_is_below("/a", 2, "/a", 2));
	assert_true(rules_is_below("/a", 2, "", 0));
	assert_false(rules_is_below("/ab", 3, "/a", 2));
	assert_false(rules_is_below("/", 1, "/a", 2));
}

/* --- the cost of a look-up --- */

/* n services, each with a host, a wildcard and a path of its own, and another path below a
 * host that all share. */
static struct routes *
many(size_t n)
{
	static char shared[] = "shared";
	struct msg_service *s = xcalloc(n, sizeof *s);
	struct routes *r;
	size_t i;

	for (i = 0; i < n; i++) {
		char *hosts[] = {xasprintf("s%05zu.example.com", i),
				 xasprintf("*.s%05zu.example.com", i), shared, NULL};
		char *paths[] = {xasprintf("/p%05zu", i), NULL};

		s[i] = service(xasprintf("s%05zu", i), (struct str_list){0}, (struct str_list){0});
		s[i].hosts.v = xcalloc(4, sizeof(char *));
		memcpy(s[i].hosts.v, hosts, sizeof hosts);
		s[i].hosts.n = 3;
		s[i].paths.v = xcalloc(2, sizeof(char *));
		memcpy(s[i].paths.v, paths, sizeof paths);
		s[i].paths.n = 1;
	}
	r = routes_new(s, n, &source);
	for (i = 0; i < n; i++) {
		service_free(&s[i]);
		free(s[i].hosts.v[0]);
		free(s[i].hosts.v[1]);
		free(s[i].hosts.v);
		free(s[i].paths.v[0]);
		free(s[i].paths.v);
		free(s[i].name);
	}
	free(s);
	return r;
}

static void
test_cost(void **state)
{
	static const char *const asks[][3] = {
		{"s00000.example.com", "/p00000/x/y", "s00000/v1"},
		{"a.b.s00000.example.com", "/p00000", "s00000/v1"},
		{"shared", "/p00000/a/b/c/d/e/f", "s00000/v1"},
		{"nobody.example.org", "/a/b/c", "none"},
	};
	struct fields none = {.name = {NULL}};
	struct routes *one = many(1), *lots = many(10000);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(asks); i++) {
		struct route_match a = ask_with(one, asks[i][0], asks[i][1], "GET", &none,
						"192.0.2.1", 0);
		struct route_match b = ask_with(lots, asks[i][0], asks[i][1], "GET", &none,
						"192.0.2.1", 0);

		assert_string_equal(revision_of(&a), asks[i][2]);
		assert_string_equal(revision_of(&b), asks[i][2]);
		assert_int_equal(a.lookups, b.lookups);
		assert_in_range(b.lookups, 1, 6);
	}
	assert_string_equal(ask(lots, "shared", "/p09999/x", NULL), "s09999/v1");
	routes_unref(&one);
	routes_unref(&lots);
}

/* A path of many segments costs no more than the longest prefix of a service. */
static void
test_cost_is_the_table_s(void **state)
{
	struct fields none = {.name = {NULL}};
	struct routes *r = many(10);
	char path[16001];
	struct route_match m;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof path - 1; i++)
		path[i] = i % 2 == 0 ? '/' : 'a';
	path[i] = '\0';
	m = ask_with(r, "shared", path, "GET", &none, "192.0.2.1", 0);
	assert_null(m.service);
	assert_in_range(m.lookups, 1, 8);
	routes_unref(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts_and_paths),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_first_has_it),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_local_hosts),
		cmocka_unit_test(test_split_is_unbiased),
		cmocka_unit_test(test_split_is_deterministic),
		cmocka_unit_test(test_sticky),
		cmocka_unit_test(test_sticky_in_a_rollout),
		cmocka_unit_test(test_sticky_with_two_entries),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_rules_on_other_spellings),
		cmocka_unit_test(test_routes_on_other_spellings),
		cmocka_unit_test(test_several_fields),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_cost_is_the_table_s),
	};
	int failed;

	hmap_init(&revisions);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	forget_revisions();
	return failed;
}
