#include "autoscaler/knative/kn_annotations.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_revision.h"
#include "autoscaler/knative/kn_routing.h"
#include "autoscaler/knative/kn_values.h"
#include "common/conf_tree.h"
#include "common/settings.h"
#include "common/strbuf.h"

#define SECOND INT64_C(1000000000)
#define HOUR (3600 * SECOND)
#define SCALE_MOST INT32_MAX
#define NO_STALL_S 86400 /* the longest stall_timeout */
#define RATE_MOST 1000000.0

/* --- annotations --- */

enum annotation_type { TYPE_SCALE, TYPE_NUMBER, TYPE_DURATION, TYPE_WORD };

/* With either spelling; the first counts. */
static const struct annotation {
	const char *name, *other; /* behind the prefix; other: NULL: there is none */
	enum annotation_type type;
	double min, max; /* of durations: in s */
	const char *words;
} annotations_known[] = {
	{"min-scale", "minScale", TYPE_SCALE, 0, SCALE_MOST, NULL},
	{"max-scale", "maxScale", TYPE_SCALE, 0, SCALE_MOST, NULL},
	{"initial-scale", "initialScale", TYPE_SCALE, 0, SCALE_MOST, NULL},
	{"activation-scale", NULL, TYPE_SCALE, 2, SCALE_MOST, NULL},
	{"target", NULL, TYPE_NUMBER, 0.01, HUGE_VAL, NULL},
	{"target-utilization-percentage", "targetUtilizationPercentage", TYPE_NUMBER, 1, 100, NULL},
	{"target-burst-capacity", "targetBurstCapacity", TYPE_NUMBER, -1, HUGE_VAL, NULL},
	{"window", NULL, TYPE_DURATION, 6, 3600, NULL},
	{"panic-window-percentage", "panicWindowPercentage", TYPE_NUMBER, 1, 100, NULL},
	{"panic-threshold-percentage", "panicThresholdPercentage", TYPE_NUMBER, 110, 1000, NULL},
	{"scale-down-delay", "scaleDownDelay", TYPE_DURATION, 0, 3600, NULL},
	{"scale-to-zero-pod-retention-period", "scaleToZeroPodRetentionPeriod", TYPE_DURATION, 0,
	 3600, NULL},
	{"metric-aggregation-algorithm", "metricAggregationAlgorithm", TYPE_WORD, 0, 0,
	 "linear|weighted-exponential|weightedExponential"},
};

/* The text of one; NULL: it is not there.  *key: as it is spelt there. */
static const char *
text_of(const json_t *annotations, const struct annotation *a, char key[128])
{
	const json_t *value;

	snprintf(key, 128, KN_AUTOSCALING "%s", a->name);
	value = json_object_get(annotations, key);
	if (!json_is_string(value) && a->other != NULL) {
		snprintf(key, 128, KN_AUTOSCALING "%s", a->other);
		value = json_object_get(annotations, key);
	}
	return json_string_value(value);
}

static bool
is_word(const char *text, const char *words)
{
	size_t n = strlen(text);

	for (;; words++) {
		size_t word_n = strcspn(words, "|");

		if (word_n == n && strncmp(words, text, n) == 0)
			return true;
		words += word_n;
		if (*words == '\0')
			return false;
	}
}

/* A number; of durations in s. -1: the text is none, or has fractions where it may not. */
static int
parse(const struct annotation *a, const char *text, double *value)
{
	int64_t whole = 0;

	if (a->type == TYPE_NUMBER)
		return kn_value_number(text, value);
	if (a->type == TYPE_WORD)
		return is_word(text, a->words) ? 0 : -1;
	if (a->type == TYPE_SCALE ? kn_value_int(text, INT64_MIN, INT64_MAX, &whole) < 0
				  : kn_value_duration(text, &whole) < 0)
		return -1;
	*value = a->type == TYPE_SCALE ? (double)whole : (double)whole / (double)SECOND;
	return 0;
}

static bool
is_within(const struct annotation *a, double value)
{
	if (strcmp(a->name, "target-burst-capacity") == 0 && value > -1 && value < 0)
		return false;
	return a->type == TYPE_WORD || (value >= a->min && value <= a->max);
}

static const struct annotation *
find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(annotations_known); i++)
		if (strcmp(annotations_known[i].name, name) == 0)
			return &annotations_known[i];
	CHECK(!"the annotation is in the table");
	return NULL;
}

/* False: it is not there, or wrong. */
static bool
get(const json_t *annotations, const char *name, double *value)
{
	const struct annotation *a = find(name);
	char key[128];
	const char *text = text_of(annotations, a, key);
	double found = 0;

	if (text == NULL || parse(a, text, &found) < 0 || !is_within(a, found))
		return false;
	*value = found;
	return true;
}

static double
number(const json_t *annotations, const char *name, double otherwise)
{
	(void)get(annotations, name, &otherwise);
	return otherwise;
}

static int32_t
scale(const json_t *annotations, const char *name, int32_t otherwise)
{
	return (int32_t)number(annotations, name, otherwise);
}

/* In ns. */
static int64_t
duration(const json_t *annotations, const char *name, int64_t otherwise)
{
	double s;

	return get(annotations, name, &s) ? (int64_t)(s * (double)SECOND) : otherwise;
}

/* --- their bounds --- */

static void
refuse(struct strbuf *why, const char *text)
{
	strbuf_addf(why, "%s%s", why->len > 0 ? "\n" : "", text);
}

static void
refuse_bounds(struct strbuf *why, const struct annotation *a, const char *text, const char *key)
{
	char line[512];

	if (strcmp(a->name, "activation-scale") == 0)
		snprintf(line, sizeof line, "activation-scale=%s must be greater than 1: %s", text,
			 key);
	else if (strcmp(a->name, "target") == 0)
		snprintf(line, sizeof line, "target %s should be at least 0.01: %s", text, key);
	else if (a->type == TYPE_DURATION)
		snprintf(line, sizeof line, "expected %gs <= %s <= 1h0m0s: %s", a->min, text, key);
	else if (isinf(a->max))
		snprintf(line, sizeof line, "invalid value: %s: %s", text, key);
	else
		snprintf(line, sizeof line, "expected %.0f <= %s <= %.0f: %s", a->min, text, a->max,
			 key);
	refuse(why, line);
}

static void
check_one(const struct annotation *a, const json_t *annotations, struct strbuf *why)
{
	char key[128], line[512];
	const char *text = text_of(annotations, a, key);
	double value = 0;

	if (text == NULL)
		return;
	if (parse(a, text, &value) < 0) {
		snprintf(line, sizeof line, "invalid value: %.200s: %s", text, key);
		refuse(why, line);
	} else if (!is_within(a, value)) {
		refuse_bounds(why, a, text, key);
	} else if (a->type == TYPE_DURATION && value != floor(value)) {
		snprintf(line, sizeof line, "%s=%.200s is not at second precision: %s", a->name,
			 text, key);
		refuse(why, line);
	}
}

static void
check_class(const json_t *annotations, struct strbuf *why)
{
	static const char domain[] = ".knative.dev";
	const char *class = kn_json_text(annotations, KN_AUTOSCALING "class", NULL);
	size_t n = strlen(class);
	char line[512];

	if (n <= strlen(domain) || strcmp(class + n - strlen(domain), domain) != 0 ||
	    strcmp(class, "kpa.autoscaling.knative.dev") == 0 ||
	    strcmp(class, "hpa.autoscaling.knative.dev") == 0)
		return;
	snprintf(line, sizeof line, "invalid value: %.200s: %sclass", class, KN_AUTOSCALING);
	refuse(why, line);
}

/* Of other autoscalers any metric is accepted. */
static void
check_metric(const struct kn_config *c, const json_t *annotations, struct strbuf *why)
{
	const char *metric = kn_json_text(annotations, KN_AUTOSCALING "metric", NULL);
	char line[512];

	if (metric[0] == '\0' || kn_annotations_is_foreign(c, annotations) ||
	    strcmp(metric, "concurrency") == 0 || strcmp(metric, "rps") == 0)
		return;
	snprintf(line, sizeof line, "invalid value: %.200s: %smetric", metric, KN_AUTOSCALING);
	refuse(why, line);
}

static void
check_scales(const struct kn_config *c, const json_t *annotations, struct strbuf *why)
{
	int32_t limit = c->autoscaler.max_scale_limit;
	double min = 0, max = 0, initial = 1;
	bool has_min = get(annotations, "min-scale", &min);
	bool has_max = get(annotations, "max-scale", &max);
	char line[512];

	if (has_min && has_max && max > 0 && max < min) {
		snprintf(line, sizeof line, "max-scale=%.0f is less than min-scale=%.0f: %s, %s",
			 max, min, KN_AUTOSCALING "max-scale", KN_AUTOSCALING "min-scale");
		refuse(why, line);
	}
	if (has_max && limit > 0 && max == 0) {
		snprintf(line, sizeof line,
			 "max-scale=0 (unlimited), must be less than %d: %smax-scale", (int)limit,
			 KN_AUTOSCALING);
		refuse(why, line);
	} else if (has_max && limit > 0 && max > limit) {
		snprintf(line, sizeof line, "expected 1 <= %.0f <= %d: %smax-scale", max,
			 (int)limit, KN_AUTOSCALING);
		refuse(why, line);
	}
	if (get(annotations, "initial-scale", &initial) && initial == 0 &&
	    !c->autoscaler.allow_zero_initial_scale)
		refuse(why,
		       "invalid value: " KN_AUTOSCALING
		       "initial-scale=0 not allowed by cluster: " KN_AUTOSCALING "initial-scale");
}

bool
kn_annotations_check(const struct kn_config *c, const json_t *annotations, struct strbuf *why)
{
	size_t before = why->len, i;

	check_class(annotations, why);
	for (i = 0; i < ARRAY_LEN(annotations_known); i++)
		check_one(&annotations_known[i], annotations, why);
	check_metric(c, annotations, why);
	check_scales(c, annotations, why);
	return why->len == before;
}

bool
kn_annotations_is_foreign(const struct kn_config *c, const json_t *annotations)
{
	const char *class = kn_json_text(annotations, KN_AUTOSCALING "class", NULL);

	if (class[0] == '\0')
		class = c->autoscaler.pod_autoscaler_class;
	return strcmp(class, "kpa.autoscaling.knative.dev") != 0;
}

/* --- what they ask for --- */

static int32_t
initial_scale(const struct kn_config *c, const json_t *annotations)
{
	int32_t initial = scale(annotations, "initial-scale", c->autoscaler.initial_scale);

	return initial == 0 && !c->autoscaler.allow_zero_initial_scale ? 1 : initial;
}

/* 0: none. */
static int32_t
max_scale(const struct kn_config *c, const json_t *annotations)
{
	int32_t max = scale(annotations, "max-scale", c->autoscaler.max_scale);
	int32_t limit = c->autoscaler.max_scale_limit;

	return limit > 0 && (max == 0 || max > limit) ? limit : max;
}

/* --- keys --- */

/* A Revision, and the section that it fills. */
struct filling {
	const struct kn_config *c;
	const json_t *revision, *annotations;
	struct conf_section *to;
};

static void
put(const struct filling *f, const char *name, const char *text)
{
	const struct key *k = settings_key_find(name, IN_REVISION);

	CHECK(k != NULL);
	if (conf_find(f->to, name) == NULL)
		conf_add_text(conf_add_value(f->to, k, 0), text, strlen(text), 0);
}

static void
put_number(const struct filling *f, const char *name, double value)
{
	struct strbuf text;

	strbuf_init(&text, 0);
	strbuf_add_number(&text, value);
	put(f, name, strbuf_str(&text));
	strbuf_fini(&text);
}

static void
put_duration(const struct filling *f, const char *name, int64_t ns)
{
	char text[32];

	snprintf(text, sizeof text, "%lldus", (long long)(ns / 1000));
	put(f, name, text);
}

static void
put_bool(const struct filling *f, const char *name, bool value)
{
	put(f, name, value ? "yes" : "no");
}

/* A whole number of the spec; 0 where it is missing. */
static int64_t
spec_number(const struct filling *f, const char *name)
{
	return kn_json_number(kn_json_at(f->revision, "spec", NULL), name, 0);
}

/* Is the port that serves named so? */
static bool
has_port_named(const struct filling *f, const char *name)
{
	const json_t *containers = kn_json_at(f->revision, "spec", "containers", NULL);
	size_t i;

	for (i = 0; i < json_array_size(containers); i++) {
		const json_t *ports = kn_json_at(json_array_get(containers, i), "ports", NULL);

		if (json_array_size(ports) > 0)
			return strcmp(kn_json_text(json_array_get(ports, 0), "name", NULL), name) ==
			       0;
	}
	return false;
}

static int64_t
least_above_0(int64_t a, int64_t b)
{
	return a <= 0 ? b : b <= 0 ? a : MIN(a, b);
}

/* timeoutSeconds, responseStartTimeoutSeconds and idleTimeoutSeconds bound the time to the head of
 * a response, and the life of an upgraded connection; a response that has begun is not cut. */
static void
fill_timeouts(const struct filling *f)
{
	int64_t whole = spec_number(f, "timeoutSeconds");
	int64_t start = spec_number(f, "responseStartTimeoutSeconds");
	int64_t idle = spec_number(f, "idleTimeoutSeconds"), least;

	if (whole <= 0)
		whole = f->c->defaults.revision_timeout_s;
	least = least_above_0(whole, least_above_0(start, idle));
	put_duration(f, "response_start_timeout", least * SECOND);
	put_duration(f, "response_timeout", least * SECOND);
	put_duration(f, "activation_timeout", least * SECOND);
	put_duration(f, "stall_timeout", (idle > 0 ? idle : NO_STALL_S) * SECOND);
	put_duration(f, "tunnel_max_lifetime", least * SECOND);
	if (idle > 0)
		put_duration(f, "tunnel_timeout", idle * SECOND);
	put_duration(f, "drain_timeout", whole * SECOND);
	put_duration(f, "request_timeout", 0);
}

static void
fill_target(const struct filling *f)
{
	const struct kn_autoscaler_config *a = &f->c->autoscaler;
	bool is_rps = strcmp(kn_json_text(f->annotations, KN_AUTOSCALING "metric", NULL), "rps") ==
		      0;
	double limit = (double)spec_number(f, "containerConcurrency");
	double target = is_rps	    ? a->rps_target_default
			: limit > 0 ? limit
				    : a->container_concurrency_target_default;

	target = number(f->annotations, "target", target);
	if (!is_rps && limit > 0)
		target = MIN(target, limit);
	put(f, "metric", is_rps ? "rps" : "concurrency");
	put_number(f, "target", target);
	put_number(f, "target_utilization",
		   number(f->annotations, "target-utilization-percentage",
			  a->container_concurrency_target_percentage));
	put_number(f, "container_concurrency", limit);
}

static void
fill_windows(const struct filling *f)
{
	const struct kn_autoscaler_config *a = &f->c->autoscaler;
	const struct annotation *algorithm = find("metric-aggregation-algorithm");
	char key[128];
	const char *text = text_of(f->annotations, algorithm, key);

	put_duration(f, "stable_window", duration(f->annotations, "window", a->stable_window_ns));
	put_number(f, "panic_window_percentage",
		   number(f->annotations, "panic-window-percentage", a->panic_window_percentage));
	put_number(f, "panic_threshold_percentage",
		   number(f->annotations, "panic-threshold-percentage",
			  a->panic_threshold_percentage));
	put(f, "aggregation", text != NULL && text[0] == 'w' ? "weighted_exponential" : "linear");
	put_duration(f, "scale_down_delay",
		     duration(f->annotations, "scale-down-delay", a->scale_down_delay_ns));
	put_duration(f, "scale_to_zero_grace", a->scale_to_zero_grace_ns);
	put_number(f, "max_scale_up_rate", MIN(a->max_scale_up_rate, RATE_MOST));
}

/* The least and the most instances.  A Revision that no Route names keeps none, and goes down as
 * fast as it can. */
static void
fill_scales(const struct filling *f, uint32_t max_instances)
{
	const struct kn_autoscaler_config *a = &f->c->autoscaler;
	bool is_reserve = strcmp(kn_routing_state(f->revision), KN_RESERVE) == 0;
	bool is_kept = !is_reserve && !kn_revision_is_timed_out(f->revision);
	bool is_new = is_kept && !kn_revision_is_initialized(f->revision);
	int32_t max = max_scale(f->c, f->annotations), most = max > 0 ? max : SCALE_MOST;
	int32_t min = scale(f->annotations, "min-scale", f->c->autoscaler.min_scale);
	int32_t initial = initial_scale(f->c, f->annotations);
	int32_t first = scale(f->annotations, "activation-scale", MAX(a->activation_scale, 1));

	if (max_instances > 0 && (uint32_t)most > max_instances)
		most = (int32_t)max_instances;
	most = MIN(most, 1000000); /* bound of the keys */
	put_number(f, "max_scale", MIN(max, 1000000));
	put_number(f, "min_scale", is_kept ? MIN(min, most) : 0);
	put_number(f, "initial_scale", is_new ? MIN(initial, most) : 0);
	put_number(f, "activation_scale", MIN(first, most));
	put_bool(f, "enable_scale_to_zero", a->enable_scale_to_zero);
	put_duration(f, "retention",
		     is_reserve ? 0
				: duration(f->annotations, "scale-to-zero-pod-retention-period",
					   a->scale_to_zero_retention_ns));
	put_number(f, "max_scale_down_rate",
		   is_reserve ? RATE_MOST : MIN(a->max_scale_down_rate, RATE_MOST));
}

void
kn_annotations_fill(const struct kn_config *c, const struct settings *settings,
		    const json_t *revision, struct conf_section *to)
{
	const struct filling f = {
		.c = c,
		.revision = revision,
		.annotations = kn_json_at(revision, "metadata", "annotations", NULL),
		.to = to};

	put(&f, "port", "user-port");
	put(&f, "protocol", has_port_named(&f, "h2c") ? "h2c" : "http1");
	put_bool(&f, "knative_headers", true);
	put_bool(&f, "state_annotation", false); /* the Revision's status says it */
	fill_timeouts(&f);
	fill_target(&f);
	fill_windows(&f);
	fill_scales(&f, settings->autoscaler.max_instances);
	put_bool(&f, "dry_run", kn_annotations_is_foreign(c, f.annotations));
}
