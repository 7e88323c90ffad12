/* kn_annotations: bounds of autoscaling.knative.dev/…, and the keys that they become. */
#include "test/unit/unit.h"

#include <jansson.h>

#include "autoscaler/knative/kn_annotations.h"
#include "autoscaler/knative/kn_config.h"
#include "common/conf_errors.h"
#include "common/conf_tree.h"
#include "common/settings.h"
#include "common/strbuf.h"

#define A "autoscaling.knative.dev/"

static json_t *
doc(const char *text)
{
	json_t *o = json_loads(text, 0, NULL);

	assert_non_null(o);
	return o;
}

static void
what_is_refused(void **state)
{
	static const struct {
		const char *annotations, *why;
	} rows[] = {
		{"{}", ""},
		{"{\"" A "min-scale\":\"1\",\"" A "max-scale\":\"0\"}", ""},
		{"{\"" A "min-scale\":\"-1\"}", "expected 0 <= -1 <= 2147483647: " A "min-scale"},
		{"{\"" A "minScale\":\"many\"}", "invalid value: many: " A "minScale"},
		{"{\"" A "min-scale\":\"1\",\"" A "minScale\":\"many\"}", ""},
		{"{\"" A "min-scale\":\"3\",\"" A "max-scale\":\"2\"}",
		 "max-scale=2 is less than min-scale=3: " A "max-scale, " A "min-scale"},
		{"{\"" A "initial-scale\":\"0\"}",
		 "invalid value: " A "initial-scale=0 not allowed by cluster: " A "initial-scale"},
		{"{\"" A "activation-scale\":\"1\"}",
		 "activation-scale=1 must be greater than 1: " A "activation-scale"},
		{"{\"" A "target\":\"0.001\"}",
		 "target 0.001 should be at least 0.01: " A "target"},
		{"{\"" A "target-utilization-percentage\":\"101\"}",
		 "expected 1 <= 101 <= 100: " A "target-utilization-percentage"},
		{"{\"" A "target-burst-capacity\":\"-1\"}", ""},
		{"{\"" A "target-burst-capacity\":\"-0.5\"}",
		 "invalid value: -0.5: " A "target-burst-capacity"},
		{"{\"" A "window\":\"5s\"}", "expected 6s <= 5s <= 1h0m0s: " A "window"},
		{"{\"" A "window\":\"6500ms\"}",
		 "window=6500ms is not at second precision: " A "window"},
		{"{\"" A "metric\":\"cpu\"}", "invalid value: cpu: " A "metric"},
		{"{\"" A "metric\":\"cpu\",\"" A "class\":\"hpa.autoscaling.knative.dev\"}", ""},
		{"{\"" A "class\":\"other.knative.dev\"}",
		 "invalid value: other.knative.dev: " A "class"},
		{"{\"" A "class\":\"mine.example.com\",\"" A "metric\":\"moon\"}", ""},
		{"{\"" A "metric-aggregation-algorithm\":\"magic\"}",
		 "invalid value: magic: " A "metric-aggregation-algorithm"},
		{"{\"" A "unheard-of\":\"1\"}", ""},
		/* all of them, a line each */
		{"{\"" A "target\":\"x\",\"" A "window\":\"y\"}",
		 "invalid value: x: " A "target\ninvalid value: y: " A "window"},
	};
	struct kn_config *c = kn_config_new(NULL);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *annotations = doc(rows[i].annotations);
		struct strbuf why;

		strbuf_init(&why, 0);
		assert_int_equal(kn_annotations_check(c, annotations, &why), *rows[i].why == '\0');
		assert_string_equal(strbuf_str(&why), rows[i].why);
		strbuf_fini(&why);
		json_decref(annotations);
	}
	c->autoscaler.max_scale_limit = 5;
	for (i = 0; i < 2; i++) {
		json_t *annotations = doc(i == 0 ? "{\"" A "max-scale\":\"0\"}"
						 : "{\"" A "max-scale\":\"6\"}");
		struct strbuf why;

		strbuf_init(&why, 0);
		assert_false(kn_annotations_check(c, annotations, &why));
		assert_string_equal(strbuf_str(&why),
				    i == 0 ? "max-scale=0 (unlimited), must be less than 5: " A
					     "max-scale"
					   : "expected 1 <= 6 <= 5: " A "max-scale");
		strbuf_fini(&why);
		json_decref(annotations);
	}
	kn_config_free(&c);
}

static void
add(struct conf_section *s, unsigned where, const char *key, const char *text)
{
	conf_add_text(conf_add_value(s, settings_key_find(key, where), 0), text, strlen(text), 0);
}

/* The settings of a Revision as the conf file would have them; for settings_service_free(). */
static struct service_conf *
load(const struct kn_config *c, const struct settings *s, const char *revision)
{
	struct conf_section *service = conf_section_new(IN_SERVICE, "a", 0);
	struct conf_section *sub = conf_section_new(IN_REVISION, "r", 0);
	struct conf_errors errors = {.file = "a"};
	json_t *document = doc(revision);
	struct service_conf *conf;

	add(service, IN_SERVICE, "hosts", "a");
	add(sub, IN_REVISION, "deployment", "a/b");
	kn_annotations_fill(c, s, document, sub);
	(void)conf_insert_section(service, 0, &sub);
	conf = settings_load_service(s, service, &errors);
	assert_int_equal(errors.n, 0);
	assert_non_null(conf);
	free(errors.v);
	conf_free(&service);
	json_decref(document);
	return conf;
}

#define REVISION(labels, annotations, spec)                                                        \
	"{\"metadata\":{\"labels\":{" labels "},\"annotations\":{" annotations                     \
	"}},\"spec\":{" spec "}}"
#define S INT64_C(1000000000)

static void
what_becomes_of_them(void **state)
{
	static const char conf_text[] = "autoscaler { driver = kubernetes max_instances = 50\n"
					"min_scale = 9 target_utilization = 33 }\n";
	struct settings_errors errors;
	struct settings *s = settings_load_bytes("t", conf_text, strlen(conf_text), &errors);
	struct kn_config *c = kn_config_new(NULL);
	const struct revision_conf *r;
	struct service_conf *conf;

	(void)state;
	assert_non_null(s);
	settings_errors_free(&errors);
	conf = load(c, s, REVISION("", "", ""));
	r = &conf->revisions[0];
	assert_int_equal(r->scaling.min_scale, 0); /* Knative's defaults, not those of the file */
	assert_true(r->scaling.target_utilization == 70);
	assert_true(r->scaling.target == 100);
	assert_int_equal(r->scaling.initial_scale, 1);
	assert_int_equal(r->scaling.stable_window, 60 * S);
	assert_int_equal(r->limits.response_timeout, 300 * S);
	assert_int_equal(r->limits.activation_timeout, 300 * S);
	assert_int_equal(r->limits.stall_timeout, 86400 * S);
	assert_int_equal(r->limits.protocol, PROTOCOL_HTTP1);
	assert_false(r->scaling.dry_run);
	settings_service_free(&conf);

	conf = load(c, s,
		    REVISION("",
			     "\"" A "metric\":\"rps\",\"" A "initial-scale\":\"70\","
			     "\"" A "activation-scale\":\"60\",\"" A
			     "metric-aggregation-algorithm\":\"weightedExponential\","
			     "\"" A "scale-to-zero-pod-retention-period\":\"1m\"",
			     "\"timeoutSeconds\":100,\"responseStartTimeoutSeconds\":40,"
			     "\"idleTimeoutSeconds\":30"));
	r = &conf->revisions[0];
	assert_int_equal(r->scaling.metric, METRIC_RPS);
	assert_true(r->scaling.target == 200);
	assert_int_equal(r->scaling.initial_scale, 50); /* as max_instances allows */
	assert_int_equal(r->scaling.activation_scale, 50);
	assert_int_equal(r->scaling.aggregation, AGGREGATION_WEIGHTED_EXPONENTIAL);
	assert_int_equal(r->scaling.retention, 60 * S);
	assert_int_equal(r->limits.response_timeout, 30 * S);
	assert_int_equal(r->limits.stall_timeout, 30 * S);
	assert_int_equal(r->limits.tunnel_timeout, 30 * S);
	assert_int_equal(r->limits.tunnel_max_lifetime, 30 * S);
	assert_int_equal(r->limits.response_start_timeout, 30 * S);
	assert_int_equal(r->launch.drain_timeout, 100 * S);
	assert_true(r->limits.knative_headers);
	settings_service_free(&conf);

	/* No Route names it: it keeps nothing. */
	conf = load(c, s,
		    REVISION("\"serving.knative.dev/routingState\":\"reserve\"",
			     "\"" A "min-scale\":\"3\",\"" A "initial-scale\":\"2\",\"" A
			     "scale-to-zero-pod-retention-period\":\"1m\"",
			     ""));
	r = &conf->revisions[0];
	assert_int_equal(r->scaling.min_scale, 0);
	assert_int_equal(r->scaling.initial_scale, 0);
	assert_int_equal(r->scaling.retention, 0);
	settings_service_free(&conf);

	/* It had its instances once. */
	conf = load(c, s,
		    "{\"metadata\":{\"annotations\":{\"" A "min-scale\":\"2\"}},\"spec\":{},"
		    "\"status\":{\"annotations\":{\"activator.dev/scale-target-initialized\":"
		    "\"true\"}}}");
	r = &conf->revisions[0];
	assert_int_equal(r->scaling.initial_scale, 0);
	assert_int_equal(r->scaling.min_scale, 2);
	settings_service_free(&conf);

	/* Another autoscaler's. */
	conf = load(c, s, REVISION("", "\"" A "class\":\"hpa.autoscaling.knative.dev\"", ""));
	assert_true(conf->revisions[0].scaling.dry_run);
	settings_service_free(&conf);
	kn_config_free(&c);
	settings_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(what_becomes_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
