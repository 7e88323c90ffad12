/* kn_config: Knative's ConfigMaps, what they may say, and what holds where they have a mistake. */
#include "test/unit/unit.h"

#include <jansson.h>
#include <stdlib.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_values.h"

#define S INT64_C(1000000000)

static const char resolv_conf[] = "# a comment\nnameserver 10.96.0.10\n"
				  "search shop.svc.corp.example. svc.corp.example. corp.example\n"
				  "options ndots:5\n";

/* Take a ConfigMap whose data are this JSON. */
static enum kn_config_change
take(struct kn_config *c, const char *name, const char *data, struct kn_config_notes *notes)
{
	json_t *json = data == NULL ? NULL : json_loads(data, 0, NULL);
	enum kn_config_change change;

	assert_true(data == NULL || json != NULL);
	change = kn_config_take(c, name, json, notes);
	json_decref(json);
	return change;
}

static void
assert_taken(struct kn_config *c, const char *name, const char *data)
{
	struct kn_config_notes notes;
	enum kn_config_change change = take(c, name, data, &notes);

	if (change != KN_CONFIG_CHANGED)
		fail_msg("%s %s: %s", name, data, notes.mistake.text);
	assert_int_equal(notes.unknown.n, 0);
	kn_config_notes_fini(&notes);
}

static void
assert_refused(const char *name, const char *data, const char *mistake)
{
	struct kn_config *c = kn_config_new(NULL);
	struct kn_config_notes notes;

	assert_int_equal(take(c, name, data, &notes), KN_CONFIG_REFUSED);
	assert_string_equal(notes.mistake.text, mistake);
	kn_config_notes_fini(&notes);
	kn_config_free(&c);
}

static const char *
domain_of(const struct kn_config *c, const char *labels)
{
	json_t *json = labels == NULL ? NULL : json_loads(labels, 0, NULL);
	const char *domain = kn_config_domain(c, json);

	json_decref(json);
	return domain;
}

/* --- defaults --- */

static void
without_config_maps_knatives_defaults_hold(void **state)
{
	struct kn_config *c = kn_config_new(NULL);

	(void)state;
	assert_true(c->autoscaler.container_concurrency_target_default == 100);
	assert_true(c->autoscaler.container_concurrency_target_percentage == 70);
	assert_true(c->autoscaler.rps_target_default == 200);
	assert_int_equal(c->autoscaler.stable_window_ns, 60 * S);
	assert_int_equal(c->autoscaler.scale_to_zero_grace_ns, 30 * S);
	assert_true(c->autoscaler.enable_scale_to_zero);
	assert_false(c->autoscaler.allow_zero_initial_scale);
	assert_int_equal(c->autoscaler.initial_scale, 1);
	assert_int_equal(c->autoscaler.activation_scale, 1);
	assert_string_equal(c->autoscaler.pod_autoscaler_class, "kpa.autoscaling.knative.dev");
	assert_int_equal(c->defaults.revision_timeout_s, 300);
	assert_int_equal(c->defaults.max_revision_timeout_s, 600);
	assert_int_equal(c->defaults.response_start_timeout_s, 300);
	assert_int_equal(c->defaults.idle_timeout_s, 0);
	assert_null(c->defaults.cpu_request);
	assert_string_equal(c->defaults.container_name_template, "user-container");
	assert_int_equal(c->defaults.container_concurrency_max_limit, 1000);
	assert_true(c->defaults.allow_container_concurrency_zero);
	assert_int_equal(c->defaults.enable_service_links, KN_LINKS_OFF);
	assert_int_equal(c->deployment.progress_deadline_s, 600);
	assert_string_equal(c->deployment.registries_skipping_tag_resolving,
			    "kind.local,ko.local,dev.local");
	assert_int_equal(c->deployment.default_affinity, KN_AFFINITY_SPREAD_OVER_NODES);
	assert_int_equal(c->gc.retain_since_create_s, 48 * 3600);
	assert_int_equal(c->gc.retain_since_last_active_s, 15 * 3600);
	assert_int_equal(c->gc.min_non_active, 20);
	assert_int_equal(c->gc.max_non_active, 1000);
	assert_string_equal(c->network.tag_template, "{{.Tag}}-{{.Name}}");
	assert_string_equal(c->network.default_external_scheme, "http");
	assert_int_equal(c->features.multi_container, KN_ENABLED);
	assert_int_equal(c->features.tag_header_based_routing, KN_DISABLED);
	assert_string_equal(domain_of(c, NULL), "svc.cluster.local");
	kn_config_free(&c);
}

static void
the_clusters_domain_is_found(void **state)
{
	static const struct {
		const char *text, *domain;
	} v[] = {
		{resolv_conf, "corp.example"},
		{"search\tsvc.k8s\n", "k8s"},
		{"search a.b svc.k8s.\r\nsearch x\n", "k8s"},
		{"search example.com\n", "cluster.local"},
		{"searching svc.k8s\n", "cluster.local"},
		{"search svc.\n", "cluster.local"},
		{"search", "cluster.local"},
		{"search ", "cluster.local"},
		{"", "cluster.local"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct kn_config *c = kn_config_new(v[i].text);

		assert_string_equal(c->cluster_domain, v[i].domain);
		kn_config_free(&c);
	}
}

/* --- what ConfigMaps say --- */

static void
keys_are_taken(void **state)
{
	struct kn_config *c = kn_config_new(NULL);

	(void)state;
	assert_taken(c, "config-autoscaler",
		     "{\"container-concurrency-target-percentage\":\"0.5\","
		     "\"stable-window\":\"1m30s\",\"scale-down-delay\":\"15m\","
		     "\"allow-zero-initial-scale\":\"True\",\"initial-scale\":\"0\","
		     "\"max-scale\":\"3\",\"max-scale-limit\":\"5\",\"enable-scale-to-zero\":\"f\","
		     "\"scale-to-zero-grace-period\":\"1.5s\",\"_example\":\"stable-window: 1\"}");
	assert_true(c->autoscaler.container_concurrency_target_percentage == 50);
	assert_int_equal(c->autoscaler.stable_window_ns, 90 * S);
	assert_int_equal(c->autoscaler.scale_down_delay_ns, 900 * S);
	assert_int_equal(c->autoscaler.scale_to_zero_grace_ns, 3 * S / 2);
	assert_int_equal(c->autoscaler.initial_scale, 0);
	assert_int_equal(c->autoscaler.max_scale, 3);
	assert_int_equal(c->autoscaler.max_scale_limit, 5);
	assert_false(c->autoscaler.enable_scale_to_zero);
	assert_taken(c, "config-defaults",
		     "{\"revision-timeout-seconds\":\"60\",\"revision-cpu-request\":\"400m\","
		     "\"revision-memory-limit\":\"1.5Gi\",\"enable-service-links\":\"default\","
		     "\"container-name-template\":\"c-{{.Name}}\"}");
	assert_int_equal(c->defaults.revision_timeout_s, 60);
	assert_int_equal(c->defaults.response_start_timeout_s, 60);
	assert_string_equal(c->defaults.cpu_request, "400m");
	assert_string_equal(c->defaults.memory_limit, "1.5Gi");
	assert_null(c->defaults.memory_request);
	assert_int_equal(c->defaults.enable_service_links, KN_LINKS_OF_CLUSTER);
	assert_string_equal(c->defaults.container_name_template, "c-{{.Name}}");
	assert_taken(c, "config-gc",
		     "{\"retain-since-create-time\":\"disabled\",\"retain-since-last-active-time\":"
		     "\"1h\",\"min-non-active-revisions\":\"0\",\"max-non-active-revisions\":"
		     "\"Disabled\"}");
	assert_int_equal(c->gc.retain_since_create_s, KN_GC_DISABLED);
	assert_int_equal(c->gc.retain_since_last_active_s, 3600);
	assert_int_equal(c->gc.max_non_active, KN_GC_DISABLED);
	assert_taken(c, "config-features",
		     "{\"tag-header-based-routing\":\"enabled\",\"multi-container\":\"ALLOWED\"}");
	assert_int_equal(c->features.tag_header_based_routing, KN_ENABLED);
	assert_int_equal(c->features.multi_container, KN_ALLOWED);
	kn_config_free(&c);
}

static void
both_spellings_are_taken_and_the_newer_one_wins(void **state)
{
	struct kn_config *c = kn_config_new(NULL);

	(void)state;
	assert_taken(
		c, "config-network",
		"{\"domainTemplate\":\"{{.Name}}.{{.Domain}}\",\"httpProtocol\":\"redirected\","
		"\"rollout-duration\":\"60\",\"rolloutDuration\":\"wrong\"}");
	assert_string_equal(c->network.domain_template, "{{.Name}}.{{.Domain}}");
	assert_int_equal(c->network.http_protocol, KN_HTTP_REDIRECTED);
	assert_int_equal(c->network.rollout_duration_s, 60);
	assert_taken(c, "config-deployment",
		     "{\"progressDeadline\":\"2m\",\"registriesSkippingTagResolving\":\"\","
		     "\"default-affinity-type\":\"none\"}");
	assert_string_equal(c->deployment.registries_skipping_tag_resolving, "");
	assert_int_equal(c->deployment.progress_deadline_s, 120);
	assert_int_equal(c->deployment.default_affinity, KN_AFFINITY_NONE);
	kn_config_free(&c);
}

static void
a_route_gets_the_domain_that_selects_it_best(void **state)
{
	struct kn_config *c = kn_config_new(resolv_conf);

	(void)state;
	assert_taken(c, "config-domain",
		     "{\"example.org\":\"selector:\\n  app: nonprofit\\n\","
		     "\"prod.example.org\":\"selector:\\n  app: nonprofit\\n  stage: prod\\n\","
		     "\"b.example.com\":\"\",\"a.example.com\":\"selector: {}\"}");
	assert_int_equal(c->domain.n, 4);
	assert_string_equal(domain_of(c, NULL), "a.example.com");
	assert_string_equal(domain_of(c, "{\"app\":\"shop\"}"), "a.example.com");
	assert_string_equal(domain_of(c, "{\"app\":\"nonprofit\"}"), "example.org");
	assert_string_equal(domain_of(c, "{\"app\":\"nonprofit\",\"stage\":\"prod\",\"x\":\"y\"}"),
			    "prod.example.org");
	assert_taken(c, "config-domain", "{\"example.org\":\"selector:\\n  app: nonprofit\\n\"}");
	assert_string_equal(domain_of(c, NULL), "svc.corp.example");
	assert_taken(c, "config-domain", NULL);
	assert_int_equal(c->domain.n, 1);
	assert_string_equal(c->domain.v[0].name, "svc.corp.example");
	kn_config_free(&c);
}

static void
a_deleted_config_map_stands_for_its_defaults(void **state)
{
	struct kn_config *c = kn_config_new(NULL);
	struct kn_config_notes notes;

	(void)state;
	assert_taken(c, "config-gc", "{\"min-non-active-revisions\":\"7\"}");
	assert_taken(c, "config-gc", NULL);
	assert_int_equal(c->gc.min_non_active, 20);
	assert_int_equal(take(c, "config-gc", "{}", &notes), KN_CONFIG_SAME);
	kn_config_free(&c);
}

/* --- mistakes --- */

static void
a_mistake_is_named_with_what_was_expected(void **state)
{
	(void)state;
	assert_refused("config-autoscaler", "{\"stable-window\":\"5s\"}",
		       "stable-window: expected a duration of 6s to 1h in whole seconds, got "
		       "\"5s\"");
	assert_refused("config-autoscaler", "{\"stable-window\":\"6500ms\"}",
		       "stable-window: expected a duration of 6s to 1h in whole seconds, got "
		       "\"6500ms\"");
	assert_refused("config-autoscaler", "{\"max-scale-up-rate\":\"1\"}",
		       "max-scale-up-rate: expected a number of 1.01 to 1000000, got \"1\"");
	assert_refused("config-autoscaler", "{\"enable-scale-to-zero\":\"yes\"}",
		       "enable-scale-to-zero: expected true or false, got \"yes\"");
	assert_refused("config-autoscaler", "{\"initial-scale\":\"0\"}",
		       "initial-scale: expected 1 or more where allow-zero-initial-scale is false, "
		       "got \"0\"");
	assert_refused("config-autoscaler", "{\"max-scale-limit\":\"5\"}",
		       "max-scale: expected 1 to 5, the max-scale-limit, got \"0\"");
	assert_refused("config-autoscaler", "{\"min-scale\":\"-1\"}",
		       "min-scale: expected a whole number of 0 or more, got \"-1\"");
	assert_refused("config-autoscaler",
		       "{\"container-concurrency-target-percentage\":\"1.5\","
		       "\"container-concurrency-target-default\":\"0.05\"}",
		       "container-concurrency-target-percentage: expected at least 0.01 of "
		       "container-concurrency-target-default with it, got 1.5% of 0.05");
	assert_refused("config-defaults", "{\"revision-timeout-seconds\":\"700\"}",
		       "revision-timeout-seconds: expected at most 600, the "
		       "max-revision-timeout-seconds, got \"700\"");
	assert_refused("config-defaults", "{\"revision-cpu-limit\":\"1 core\"}",
		       "revision-cpu-limit: expected a quantity such as 100m or 1.5Gi, got \"1 "
		       "core\"");
	assert_refused("config-defaults", "{\"container-concurrency\":\"1001\"}",
		       "container-concurrency: expected at most 1000, the "
		       "container-concurrency-max-limit, got \"1001\"");
	assert_refused("config-deployment", "{\"progress-deadline\":\"1500ms\"}",
		       "progress-deadline: expected a duration of 1s or more in whole seconds, got "
		       "\"1500ms\"");
	assert_refused("config-gc", "{\"max-non-active-revisions\":\"1\"}",
		       "max-non-active-revisions: expected at least 20, the "
		       "min-non-active-revisions, got \"1\"");
	assert_refused("config-network", "{\"domain-template\":\"{{.Name}.x\"}",
		       "domain-template: expected a template such as {{.Name}}, got "
		       "\"{{.Name}.x\"");
	assert_refused(
		"config-network", "{\"domain-template\":\"{{if .Name}}a{{end}}\"}",
		"domain-template: template {{if .Name}}a{{end}}: {{if .Name}} cannot be evaluated");
	assert_refused("config-network", "{\"tag-template\":\"{{.Domain}}\"}",
		       "tag-template: template {{.Domain}}: {{.Domain}} cannot be evaluated");
	assert_refused("config-network", "{\"default-external-scheme\":\"ftp\"}",
		       "default-external-scheme: expected http or https, got \"ftp\"");
	assert_refused("config-features", "{\"multi-container\":\"on\"}",
		       "multi-container: expected Enabled, Allowed or Disabled, got \"on\"");
	assert_refused("config-domain", "{\"Example.com\":\"\"}",
		       "expected a domain such as example.com for a key, got \"Example.com\"");
	assert_refused("config-domain", "{\"example.com\":\"selector: [a]\"}",
		       "example.com: expected \"selector:\" with labels, or nothing, got "
		       "\"selector: [a]\"");
	assert_refused("config-gc", "{\"min-non-active-revisions\":7}",
		       "min-non-active-revisions: expected a text");
}

static void
a_mistake_changes_nothing(void **state)
{
	struct kn_config *c = kn_config_new(NULL);
	struct kn_config_notes notes;

	(void)state;
	assert_taken(c, "config-domain", "{\"example.com\":\"\"}");
	assert_taken(c, "config-gc", "{\"min-non-active-revisions\":\"7\"}");
	assert_int_equal(take(c, "config-domain", "{\"a.com\":\"\",\"b.com\":\"{\"}", &notes),
			 KN_CONFIG_REFUSED);
	assert_non_null(strstr(notes.mistake.text, "b.com:"));
	kn_config_notes_fini(&notes);
	assert_int_equal(
		take(c, "config-gc",
		     "{\"min-non-active-revisions\":\"8\",\"max-non-active-revisions\":\"7\"}",
		     &notes),
		KN_CONFIG_REFUSED);
	kn_config_notes_fini(&notes);
	assert_string_equal(domain_of(c, NULL), "example.com");
	assert_int_equal(c->gc.min_non_active, 7);
	assert_taken(c, "config-gc", "{\"min-non-active-revisions\":\"8\"}");
	assert_int_equal(c->gc.min_non_active, 8);
	kn_config_free(&c);
}

static void
apply_twice(void *arg)
{
	static const char *const texts[] = {
		"{\"ingress-class\":\"kourier\",\"rollout-durations\":\"1\"}",
		"{\"ingress-class\":\"contour\",\"auto-tls\":\"Enabled\"}",
		"{\"ingress-class\":\"contour\",\"rollout-duration\":\"1s\"}"};
	struct kn_config *c = arg;
	size_t i;

	for (i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *json = json_loads(texts[i], 0, NULL);

		assert_int_equal(kn_config_apply(c, "config-network", json), i < 2);
		assert_false(kn_config_apply(c, "config-network", json));
		json_decref(json);
	}
}

static size_t
count(const char *text, const char *part)
{
	size_t n = 0;

	for (; (text = strstr(text, part)) != NULL; text++)
		n++;
	return n;
}

static void
what_does_not_hold_is_logged_once(void **state)
{
	struct kn_config *c = kn_config_new(NULL);
	char *log = unit_stderr_of(apply_twice, c);

	(void)state;
	assert_int_equal(count(log, "ingress-class"), 1);
	assert_int_equal(count(log, "auto-tls"), 1);
	assert_int_equal(count(log, "unknown keys"), 1);
	assert_int_equal(count(log, "keys=rollout-durations"), 1);
	assert_int_equal(count(log, "has a mistake"), 1);
	assert_non_null(strstr(log, "configmap=knative-serving/config-network"));
	free(log);
	kn_config_free(&c);
}

static void
only_knatives_config_maps_are_read(void **state)
{
	(void)state;
	assert_true(kn_config_is_read("config-autoscaler"));
	assert_true(kn_config_is_read("config-domain"));
	assert_false(kn_config_is_read("config-observability"));
	assert_false(kn_config_is_read("kube-root-ca.crt"));
}

/* --- values --- */

static void
durations_are_read_as_go_reads_them(void **state)
{
	static const struct {
		const char *text;
		int64_t ns; /* -1: none */
	} v[] = {
		{"0", 0},
		{"0s", 0},
		{"1h30m", 5400 * S},
		{"1.5s", 3 * S / 2},
		{".5m", 30 * S},
		{"5.s", 5 * S},
		{"100ms", S / 10},
		{"3us", 3000},
		{"3\302\265s", 3000},
		{"7ns", 7},
		{"+2s", 2 * S},
		{"-2s", -2 * S},
		{"", -1},
		{"60", -1},
		{"s", -1},
		{".s", -1},
		{"1d", -1},
		{"1 s", -1},
		{"1e5s", -1},
		{"-", -1},
		{"9999999999h", -1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		int64_t ns = -1;
		int rc = kn_value_duration(v[i].text, &ns);

		assert_int_equal(rc, v[i].ns == -1 ? -1 : 0);
		assert_int_equal(ns, v[i].ns);
	}
}

static void
quantities_and_numbers_are_recognised(void **state)
{
	static const struct {
		const char *text;
		double value;
	} quantities[] = {{"1", 1},	     {"0.5", 0.5},    {"700m", 0.7}, {"1.5Gi", 0x1.8p30},
			  {"2e3", 2000},     {"1E-2", 0.01},  {"+5k", 5000}, {".5", 0.5},
			  {"128Mi", 0x1p27}, {"5.", 5},	      {"-1", -1},    {"1E", 1e18},
			  {"3n", 3e-9},	     {"250u", 250e-6}};
	static const char *const others[] = {"",   "Gi", "1 Gi", "1gi",	 "1mi",
					     "1e", "e3", ".",	 "1.2.3"};
	double number = 7;
	bool is;
	int64_t whole;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(quantities); i++)
		assert_true(kn_value_quantity(quantities[i].text, &number) == 0 &&
			    number == quantities[i].value);
	number = 7;
	for (i = 0; i < ARRAY_LEN(others); i++)
		assert_true(kn_value_quantity(others[i], &number) == -1 && number == 7);
	assert_int_equal(kn_value_number("1e3", &number), 0);
	assert_true(number == 1000);
	assert_int_equal(kn_value_number("0x10", &number), -1);
	assert_int_equal(kn_value_number("inf", &number), -1);
	assert_int_equal(kn_value_number("1e999", &number), -1);
	assert_int_equal(kn_value_number("", &number), -1);
	assert_int_equal(kn_value_int("+5", 0, 9, &whole), 0);
	assert_int_equal(whole, 5);
	assert_int_equal(kn_value_int("10", 0, 9, &whole), -1);
	assert_int_equal(kn_value_int(" 5", 0, 9, &whole), -1);
	assert_int_equal(kn_value_int("99999999999999999999", 0, INT64_MAX, &whole), -1);
	assert_int_equal(kn_value_bool("TRUE", &is), 0);
	assert_true(is);
	assert_int_equal(kn_value_bool("tRUE", &is), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_config_maps_knatives_defaults_hold),
		cmocka_unit_test(the_clusters_domain_is_found),
		cmocka_unit_test(keys_are_taken),
		cmocka_unit_test(both_spellings_are_taken_and_the_newer_one_wins),
		cmocka_unit_test(a_route_gets_the_domain_that_selects_it_best),
		cmocka_unit_test(a_deleted_config_map_stands_for_its_defaults),
		cmocka_unit_test(a_mistake_is_named_with_what_was_expected),
		cmocka_unit_test(a_mistake_changes_nothing),
		cmocka_unit_test(what_does_not_hold_is_logged_once),
		cmocka_unit_test(only_knatives_config_maps_are_read),
		cmocka_unit_test(durations_are_read_as_go_reads_them),
		cmocka_unit_test(quantities_and_numbers_are_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
