/* route: which host, path, field and tag lead to which revision, and that a look-up
 * costs the same with one service as with ten thousand. */
#include "test/unit/route_world.h"

#include "activator/revision.h"
#include "activator/route.h"
#include "activator/route_query.h"
#include "activator/rules.h"

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

/* --- tags with hosts of their own, and revisions of other services --- */

static void
test_hosts_of_tags(void **state)
{
	struct msg_service s[] = {
		split_service("shop", (struct str_list)LIST("shop.x", "shop.org"),
			      (struct msg_traffic[]){{.percent = 100, .tag = (char[]){"now"}},
						     {.tag = (char[]){"next"}},
						     {.tag = (char[]){"old"}}},
			      3),
		service("other", (struct str_list)LIST("taken.x"), (struct str_list){0}),
	};
	static const struct {
		const char *host, *everywhere, *local;
	} rows[] = {
		{"shop.x", "shop/v1", "shop/v1"},
		{"shop-next.x", "shop/v2", "shop/v2"},
		{"next.cluster", "none", "shop/v2"},
		/* it has hosts of its own */
		{"next-shop.x", "none", "none"},
		{"next-shop.org", "none", "none"},
		{"next-shop.cluster", "none", "none"},
		{"old.cluster", "none", "shop/v3"},
		{"old-shop.x", "none", "none"},
		/* it has none */
		{"now-shop.x", "shop/v1", "shop/v1"},
		{"now-shop.org", "shop/v1", "shop/v1"},
		{"now-shop.cluster", "none", "shop/v1"},
		/* a service goes before a tag */
		{"taken.x", "other/v1", "other/v1"},
	};
	struct routes *r;
	size_t i;

	(void)state;
	s[0].local_hosts = (struct str_list)LIST("shop.cluster");
	s[0].traffic[1].hosts = (struct str_list)LIST("shop-next.x", "taken.x");
	s[0].traffic[1].local_hosts = (struct str_list)LIST("next.cluster");
	s[0].traffic[2].local_hosts = (struct str_list)LIST("old.cluster");
	r = routes_new(s, ARRAY_LEN(s), &source);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_string_equal(ask(r, rows[i].host, "/", NULL), rows[i].everywhere);
		is_local = true;
		assert_string_equal(ask(r, rows[i].host, "/", NULL), rows[i].local);
		is_local = false;
	}
	routes_unref(&r);
	for (i = 0; i < ARRAY_LEN(s); i++)
		service_free(&s[i]);
}

static void
test_tags_that_are_split(void **state)
{
	struct msg_service s = split_service(
		"shop", (struct str_list)LIST("shop.x"),
		(struct msg_traffic[]){{.percent = 50},
				       {.percent = 30, .tag = (char[]){"next"}},
				       {.percent = 20, .tag = (char[]){"next"}}},
		3);
	struct fields none = {.name = {NULL}};
	struct routes *r = routes_new(&s, 1, &source);
	unsigned counts[4] = {0};
	uint64_t i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		struct route_match m = ask_with(r, "next-shop.x", "/", "GET", &none, "192.0.2.1",
						i * (UINT64_MAX / 1000));

		counts[revision_of(&m)[strlen("shop/v")] - '0']++;
	}
	assert_int_equal(counts[1], 0);
	assert_in_range(counts[2], 595, 605);
	assert_in_range(counts[3], 395, 405);
	routes_unref(&r);
	service_free(&s);
}

static void
test_revisions_of_other_services(void **state)
{
	struct msg_traffic traffic[] = {{.revision = (char[]){"gone/v7"}, .percent = 40},
					{.revision = (char[]){"shop/v1"}, .percent = 60}};
	struct msg_service s[] = {
		{.name = (char[]){"front"},
		 .hosts = (struct str_list)LIST("front.x"),
		 .traffic = traffic,
		 .traffic_n = ARRAY_LEN(traffic)},
		service("shop", (struct str_list){0}, (struct str_list){0}),
	};
	struct revision *rev = source.find(NULL, "shop/v1");
	struct routes *r = routes_new(s, ARRAY_LEN(s), &source);

	(void)state;
	assert_string_equal(ask(r, "front.x", "/", NULL), "shop/v1");
	assert_true(routes_leads_to(r, "front", rev));
	assert_false(routes_leads_to(r, "shop", rev)); /* it has no host */
	routes_unref(&r);
	revision_unref(&rev);
	service_free(&s[1]);
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
		cmocka_unit_test(test_hosts_of_tags),
		cmocka_unit_test(test_tags_that_are_split),
		cmocka_unit_test(test_revisions_of_other_services),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_rules_on_other_spellings),
		cmocka_unit_test(test_routes_on_other_spellings),
		cmocka_unit_test(test_several_fields),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_cost_is_the_table_s),
	};

	return cmocka_run_group_tests(tests, begin_revisions, end_revisions);
}
