/* kube_annotations: a service out of annotations, and the mistakes in them. */
#include "unit.h"

#include "autoscaler/kube/kube_annotations.h"
#include "common/settings_value.h"
#include "common/strbuf.h"

#define MOST 6

static struct settings *
settings_of(const char *text)
{
	struct settings_errors errors;
	struct settings *s = settings_load_bytes("t.conf", text, strlen(text), &errors);

	assert_non_null(s);
	settings_errors_free(&errors);
	return s;
}

/* addresses: of the key listen. */
#define BASE_AT(addresses)                                                                         \
	"activator { idle_timeout = 9s listen = {" addresses "} }\n"                               \
	"autoscaler { driver = kubernetes max_scale = 8 max_instances = 7\n"                       \
	"failure_patience = 3s }\n"
#define BASE BASE_AT("\":8080\"")
#define BASE_LOCAL BASE_AT("\":8080 local\"") /* else visibility = local is a mistake */

struct annotations {
	const char *v[MOST][2]; /* name, value */
};

static struct service_conf *
service_of(const struct settings *base, const struct annotations *a, const char *port,
	   struct strbuf *why)
{
	struct kube_annotation v[MOST];
	size_t n = 0;

	for (; n < MOST && a->v[n][0] != NULL; n++)
		v[n] = (struct kube_annotation){(char *)(uintptr_t)a->v[n][0],
						(char *)(uintptr_t)a->v[n][1]};
	return kube_annotations_service(base, "shop.web", "shop/web", port, v, n, why);
}

/* --- mistakes: each is reported with its key --- */

static const struct {
	struct annotations a;
	const char *why;
} mistakes[] = {
	{{{{"host", "a b"}}},
	 "hosts: expected a host name without a port, \"*.NAME\" or \"*\", got \"a b\""},
	{{{{"host", ""}}},
	 "hosts: expected a host name without a port, \"*.NAME\" or \"*\", got \"\""},
	{{{{"host", "a,,b"}}},
	 "hosts: expected a host name without a port, \"*.NAME\" or \"*\", got \"\""},
	{{{{"host", "a"}, {"hosts", "b"}}}, "hosts: expected either this or host, got both"},
	{{{{"host", "a"}, {"max_scale", "many"}}},
	 "max_scale: expected a whole number, got \"many\""},
	{{{{"host", "a"}, {"stable_window", "2h"}}},
	 "stable_window: expected 1s to 1h, got \"2h\""},
	{{{{"host", "a"}, {"max_scal", "5"}}},
	 "max_scal: unknown key; did you mean \"max_scale\"?"},
	{{{{"host", "a"}, {"min_scale", "9"}}},
	 "min_scale: expected at most max_scale (8, line 2), got \"9\""},
	{{{{"host", "a"}, {"min_scale", "8"}}},
	 "min_scale: expected at most max_instances (7, line 2), got \"8\""},
	{{{{"host", "a"}, {"min_scale", "3"}, {"max_scale", "2"}}},
	 "min_scale: expected at most max_scale (2), got \"3\""},
	{{{{"host", "a"}, {"match_header", "x-region"}}},
	 "match_header: expected match_value too, got none"},
	{{{{"host", "a"}, {"visibility", "local"}}},
	 "visibility: expected \"public\", since no address in listen has the word \"local\", got "
	 "\"local\""},
	{{{{"host", "a"}, {"port", "99999"}}},
	 "port: expected a port's number or name, got \"99999\""},
	{{{{"host", "a"}, {"target", "apps/v1/Deployment/other/db"}}},
	 "target: expected a number, got \"apps/v1/Deployment/other/db\""},
	/* several at once */
	{{{{"host", "a"}, {"via", "perhaps"}, {"target", "ten"}}},
	 "via: expected yes or no, got \"perhaps\"; target: expected a number, got \"ten\""},
	/* keys of the operator */
	{{{{"host", "a"}, {"command", "/bin/sh"}}}, "command: is not for annotations"},
	{{{{"host", "a"}, {"deployment", "other/db"}}}, "deployment: is not for annotations"},
	{{{{"host", "a"}, {"workload", "v1/X/other/db"}}}, "workload: is not for annotations"},
	{{{{"host", "a"}, {"addresses", "10.0.0.1:80"}}}, "addresses: is not for annotations"},
	{{{{"host", "a"}, {"user", "root"}}}, "user: is not for annotations"},
	{{{{"host", "a"}, {"environment", "A=b"}}}, "environment: is not for annotations"},
	{{{{"host", "a"}, {"trusted_proxies", "0.0.0.0/0"}}},
	 "trusted_proxies: is not for annotations"},
	{{{{"host", "a"}, {"upstream_key", "/etc/activator/tls/www.key"}}},
	 "upstream_key: is not for annotations"},
	{{{{"host", "a"}, {"access_log_format", "127.0.0.1 $request"}}},
	 "access_log_format: is not for annotations"},
	{{{{"host", "a"}, {"waiting_page", "/etc/passwd"}}},
	 "waiting_page: expected \"default\", got \"/etc/passwd\""},
	/* in rules and schedules */
	{{{{"host", "a"}, {"rule.bots.action", "sleep"}, {"schedule.day.cron", "now"}}},
	 "schedule.day: cron: expected \"minute hour day month weekday\", like \"0 8 * * 1-5\", got "
	 "\"now\"; rule.bots: action: expected \"wake\", \"serve_only\" or \"answer\", got "
	 "\"sleep\""},
	{{{{"host", "a"}, {"rule.bots.acton", "wake"}}},
	 "rule.bots: acton: unknown key; did you mean \"action\"?"},
	{{{{"host", "a"}, {"rule.bots.contains", "bot"}}},
	 "rule.bots: contains: expected header too, got none"},
	{{{{"host", "a"}, {"schedule.day.duration", "1h"}}},
	 "schedule \"day\": expected cron, got none"},
	{{{{"host", "a"}, {"rule.action", "wake"}}}, "rule.action: expected rule.NAME.KEY"},
	{{{{"host", "a"}, {"rule..action", "wake"}}}, "rule..action: expected rule.NAME.KEY"},
	{{{{"host", "a"}, {"rule.", "wake"}}}, "rule.: expected rule.NAME.KEY"},
	{{{{"host", "a"}, {"role.bots.action", "wake"}}},
	 "role: unknown section; did you mean \"rule\" (in service)?"},
	{{{{"host", "a"}, {"traffic.v1.percent", "5"}}},
	 "traffic.v1.percent: is not for annotations"},
	{{{{"host", "a"}, {"revision.v2.target", "5"}}},
	 "revision.v2.target: is not for annotations"},
};

static void
mistakes_are_reported(void **state)
{
	struct settings *base = settings_of(BASE);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(mistakes); i++) {
		struct strbuf why;

		strbuf_init(&why, 0);
		assert_null(service_of(base, &mistakes[i].a, NULL, &why));
		assert_string_equal(strbuf_str(&why), mistakes[i].why);
		strbuf_fini(&why);
	}
	settings_free(&base);
}

/* Where an annotation and a value of the conf file do not go together, the mistake has the line of
 * that value, whatever other annotations there are. */
static void
a_mistake_may_have_its_line_in_the_conf_file(void **state)
{
	static const char *const why = "line 3 of the conf file: min_scale: expected at most "
				       "max_scale (2), got \"5\"";
	struct settings *base = settings_of(
		"activator {}\nautoscaler { driver = kubernetes\nmin_scale = 5 }\n");
	static const struct annotations v[] = {
		{{{"host", "a"}, {"max_scale", "2"}}},
		{{{"host", "a"}, {"max_scale", "2"}, {"via", "yes"}}},
		{{{"host", "a"}, {"max_scale", "2"}, {"rule.bots.action", "wake"}}},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct strbuf got;

		strbuf_init(&got, 0);
		assert_null(service_of(base, &v[i], NULL, &got));
		assert_string_equal(strbuf_str(&got), why);
		strbuf_fini(&got);
	}
	settings_free(&base);
}

/* --- every key that may stand in a service has its annotation --- */

static bool
is_for_processes(const struct key *k)
{
	static const char *const names[] = {
		"directory",	   "environment",      "user",
		"stop_timeout",	   "refusal_timeout",  "liveness",
		"liveness_period", "liveness_timeout", "liveness_threshold",
		"stop_command",	   "pid_file"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], k->name) == 0)
			return true;
	return false;
}

/* A value other than the default. */
static const char *
example_of(const struct key *k)
{
	static const struct {
		const char *key, *value;
	} others[] = {{"hosts", "b"},
		      {"paths", "/api"},
		      {"match_header", "x"},
		      {"match_value", "y"},
		      {"sticky", "cookie:a"},
		      {"waiting_page", "default"},
		      {"probe", "/healthz"},
		      {"port", "http"},
		      {"min_scale", "2"},
		      {"initial_scale", "2"},
		      {"activation_scale", "2"},
		      {"max_head", "2KiB"},
		      {"max_fields", "50"},
		      {"requests_per_connection", "7"}};
	size_t i;

	for (i = 0; i < ARRAY_LEN(others); i++)
		if (strcmp(others[i].key, k->name) == 0)
			return others[i].value;
	switch (k->type) {
	case KEY_BOOL:
		return strcmp(k->fallback, "yes") == 0 ? "no" : "yes";
	case KEY_ENUM:
		return strrchr(k->enums, '|') + 1;
	case KEY_DURATION:
		return "77s";
	case KEY_PERCENT:
		return k->max > 100 ? "150" : "33";
	default:
		return "3";
	}
}

static const void *
group_of(const struct service_conf *svc, enum key_group group)
{
	switch (group) {
	case GROUP_SERVICE:
		return svc;
	case GROUP_LIMITS:
		return &svc->revisions[0].limits;
	case GROUP_SCALING:
		return &svc->revisions[0].scaling;
	default:
		return &svc->revisions[0].launch;
	}
}

/* The key has the same value as an annotation as it has in the conf file. */
static void
check_same(const struct settings *base, const struct key *k)
{
	bool is_pair = strcmp(k->name, "match_header") == 0 || strcmp(k->name, "match_value") == 0;
	struct annotations a = {{{strcmp(k->name, "hosts") == 0 ? "via" : "host", "b"},
				 {k->name, example_of(k)},
				 {is_pair ? "match_header" : NULL, "x"}}};
	char *text = xasprintf(BASE_LOCAL
			       "service \"shop.web\" { hosts = {\"b\"}\n%s = \"%s\"\n%s\n"
			       "revision \"v1\" { deployment = \"shop/web\" } }\n",
			       strcmp(k->name, "hosts") == 0 ? "via" : k->name,
			       strcmp(k->name, "hosts") == 0 ? "no" : example_of(k),
			       is_pair ? strcmp(k->name, "match_header") == 0 ? "match_value = y"
									      : "match_header = x"
				       : "");
	struct settings *file = settings_of(text);
	struct strbuf why, one, other;
	struct service_conf *svc;

	if (strcmp(k->name, "hosts") == 0)
		a.v[0][1] = "no";
	if (strcmp(k->name, "match_header") == 0)
		a.v[2][0] = "match_value", a.v[2][1] = "y";
	strbuf_init(&why, 0);
	strbuf_init(&one, 0);
	strbuf_init(&other, 0);
	svc = service_of(base, &a, NULL, &why);
	assert_string_equal(strbuf_str(&why), "");
	assert_non_null(svc);
	assert_true(value_format(k, group_of(svc, k->group), &one));
	assert_true(value_format(k, group_of(&file->services[0], k->group), &other));
	assert_string_equal(strbuf_str(&one), strbuf_str(&other));
	settings_service_free(&svc);
	strbuf_fini(&other);
	strbuf_fini(&one);
	strbuf_fini(&why);
	settings_free(&file);
	free(text);
}

static bool
names_file(const struct key *k)
{
	return strncmp(k->name, "upstream_", 9) == 0 &&
	       (strstr(k->name, "_ca") != NULL || strstr(k->name, "_cert") != NULL ||
		strstr(k->name, "_key") != NULL);
}

static void
each_key_has_an_annotation(void **state)
{
	struct settings *base = settings_of(BASE_LOCAL);
	size_t i, n = 0;

	(void)state;
	for (i = 0; i < settings_keys_n; i++) {
		if ((settings_keys[i].where & IN_SERVICE) == 0 ||
		    is_for_processes(&settings_keys[i]) || names_file(&settings_keys[i]) ||
		    strcmp(settings_keys[i].name, "access_log_format") == 0)
			continue;
		check_same(base, &settings_keys[i]);
		n++;
	}
	assert_true(n > 40);
	settings_free(&base);
}

/* --- keys without an annotation are as in the conf file --- */

static void
levels(void **state)
{
	static const struct annotations a = {{{"host", " Hello.example.com , *.b.example.com"},
					      {"target", " 12 "},
					      {"keep_warm", "learned"},
					      {"wait_cost", "10"}}};
	struct settings *base = settings_of(BASE);
	struct strbuf why;
	struct service_conf *svc;
	const struct revision_conf *r;

	(void)state;
	strbuf_init(&why, 0);
	svc = service_of(base, &a, "http", &why);
	settings_free(&base); /* the service borrows nothing of it */
	assert_non_null(svc);
	assert_string_equal(svc->name, "shop.web");
	assert_int_equal(svc->hosts.n, 2);
	assert_string_equal(svc->hosts.v[0], "Hello.example.com");
	assert_string_equal(svc->hosts.v[1], "*.b.example.com");
	assert_int_equal(svc->traffic_n, 1);
	assert_int_equal(svc->traffic[0].percent, 100);
	r = &svc->revisions[0];
	assert_string_equal(r->full_name, "shop.web/v1");
	assert_string_equal(r->launch.deployment, "shop/web");
	assert_string_equal(r->launch.port, "http");
	assert_int_equal(r->launch.failure_patience, INT64_C(3000000000));
	assert_int_equal(r->limits.idle_timeout, INT64_C(9000000000));
	assert_int_equal(r->scaling.max_scale, 8);
	assert_true(r->scaling.target == 12);
	assert_true(r->scaling.keep_warm == KEEP_WARM_LEARNED && r->scaling.wait_cost == 10);
	settings_service_free(&svc);
	strbuf_fini(&why);
}

/* --- rules and schedules: in the order of their names --- */

static void
sections(void **state)
{
	static const struct annotations a = {{{"host", "a"},
					      {"rule.2.x.paths", "/a, /b"},
					      {"schedule.day.min_scale", "3"},
					      {"rule.1.action", "serve_only"},
					      {"rule.2.x.header", "user-agent"},
					      {"schedule.day.cron", "0 8,9 * * mon-fri"}}};
	struct settings *base = settings_of(BASE);
	struct strbuf why;
	struct service_conf *svc;

	(void)state;
	strbuf_init(&why, 0);
	svc = service_of(base, &a, NULL, &why);
	assert_string_equal(strbuf_str(&why), "");
	assert_non_null(svc);
	assert_int_equal(svc->rules_n, 2);
	assert_string_equal(svc->rules[0].name, "1");
	assert_string_equal(svc->rules[1].name, "2.x");
	assert_int_equal(svc->rules[1].paths.n, 2);
	assert_string_equal(svc->rules[1].paths.v[1], "/b");
	assert_string_equal(svc->rules[1].header, "user-agent");
	assert_int_equal(svc->revisions_n, 1);
	assert_int_equal(svc->revisions[0].schedules_n, 1);
	assert_string_equal(svc->revisions[0].schedules[0].name, "day");
	assert_int_equal(svc->revisions[0].schedules[0].min_scale, 3);
	settings_service_free(&svc);
	strbuf_fini(&why);
	settings_free(&base);
}

static void
names(void **state)
{
	static const char
		*const lengthy = "a-name-that-is-far-too-long-for-a-service-and-then-some-more";
	char *one = kube_annotations_name("default", "hello");
	char *two = kube_annotations_name("default", lengthy);
	char *three = kube_annotations_name("defaulu", lengthy);

	(void)state;
	assert_string_equal(one, "default.hello");
	assert_int_equal(strlen(two), 63);
	assert_memory_equal(two, "default.a-name", 14);
	assert_string_not_equal(two + 54, three + 54);
	free(three);
	free(two);
	free(one);
}

/* --- allow_hosts --- */

static const struct {
	const char *allow, *ns, *host;
	bool yes;
} claims[] = {
	{"", "a", "x.example.com", true},
	{"\"a=x.example.com\"", "a", "x.example.com", true},
	{"\"a=x.example.com\"", "a", "X.Example.COM", true},
	{"\"a=x.example.com\"", "b", "x.example.com", false},
	{"\"a=x.example.com\"", "aa", "x.example.com", false},
	{"\"a=x.example.com\"", "a", "y.x.example.com", false},
	{"\"a=*.example.com\"", "a", "y.x.example.com", true},
	{"\"a=*.example.com\"", "a", "*.example.com", true},
	{"\"a=*.example.com\"", "a", "*.x.example.com", true},
	{"\"a=*.example.com\"", "a", "example.com", false},
	{"\"a=*.example.com\"", "a", ".example.com", false},
	{"\"a=*.example.com\"", "a", "evilexample.com", false},
	{"\"a=*.example.com\"", "a", "*", false},
	{"\"a=*\"", "a", "*", true},
	{"\"a=*\"", "b", "x", false},
	{"\"*=*.{namespace}.example.com\"", "a", "x.a.example.com", true},
	{"\"*=*.{namespace}.example.com\"", "b", "x.a.example.com", false},
	{"\"*={namespace}.example.com\"", "b", "b.example.com", true},
	{"\"a=x\", \"b=y\"", "b", "y", true},
	{"\"a=x\", \"b=y\"", "b", "x", false},
};

static void
hosts_are_allowed_by_namespace(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(claims); i++) {
		char *text = xasprintf("autoscaler { driver = kubernetes allow_hosts = {%s} }",
				       claims[i].allow);
		struct settings *s = settings_of(text);
		char *hosts[] = {(char *)(uintptr_t) "*.z", (char *)(uintptr_t)claims[i].host};
		struct service_conf svc = {.hosts = {.v = hosts + 1, .n = 1}};
		const char *denied = kube_annotations_denied(s, claims[i].ns, &svc);

		assert_int_equal(denied == NULL, claims[i].yes);
		if (s->autoscaler.allow_hosts.n > 0) { /* each of them must be allowed */
			svc.hosts = (struct str_list){.v = hosts, .n = 2};
			denied = kube_annotations_denied(s, claims[i].ns, &svc);
			assert_int_equal(denied == NULL,
					 strcmp(claims[i].allow, "\"a=*\"") == 0 && claims[i].yes);
		}
		settings_free(&s);
		free(text);
	}
}

static void
invalid_values_of_allow_hosts(void **state)
{
	static const char *const wrong[] = {"a",     "=x",   "a=",	"A=x", "a=x y",
					    "a=b=c", "**=x", "a=*.*.x", "*a=x"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err e;

		assert_int_equal(
			value_check(settings_key_find("allow_hosts", IN_AUTOSCALER), wrong[i], &e),
			-1);
		assert_non_null(strstr(e.text, "expected \"NAMESPACE=HOST\""));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_are_reported),
		cmocka_unit_test(a_mistake_may_have_its_line_in_the_conf_file),
		cmocka_unit_test(each_key_has_an_annotation),
		cmocka_unit_test(levels),
		cmocka_unit_test(sections),
		cmocka_unit_test(names),
		cmocka_unit_test(hosts_are_allowed_by_namespace),
		cmocka_unit_test(invalid_values_of_allow_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
