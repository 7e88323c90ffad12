/* The keys of Knative's ConfigMaps: where each goes, what it is where it is not given, and its
 * bounds.  Where Knative checks nothing, the bounds are those of the key of ours that it sets. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "autoscaler/knative/kn_config_impl.h"
#include "autoscaler/knative/kn_domain.h"
#include "autoscaler/knative/kn_values.h"
#include "common/strbuf.h"
#include "common/text.h"

#define SECOND 1000000000.0
#define HOUR (3600 * SECOND)
#define LONGEST (365 * 24 * HOUR)
#define INT_MOST 2147483647.0
#define TARGET_LEAST 0.01

enum form {
	FORM_BOOL,
	FORM_INT,      /* int32_t */
	FORM_LONG,     /* int64_t */
	FORM_NUMBER,   /* double */
	FORM_DURATION, /* int64_t of ns */
	FORM_SECONDS,  /* int64_t of s, of a duration */
	FORM_WORD,     /* an enum: the index in `words`, whatever the case of letters */
	FORM_TEXT,     /* char *, as are the next two */
	FORM_QUANTITY,
	FORM_TEMPLATE, /* of Go: its braces are closed */
};

struct config_key {
	enum kn_config_map map;
	const char *name;
	const char *old; /* an older spelling; NULL: none */
	enum form form;
	size_t at;	      /* in struct kn_config */
	const char *standard; /* NULL: 0, or no text */
	double least, most;   /* base units */
	const char *expected;
	const char *const *words;
	bool may_be_disabled;	  /* the word "disabled" is KN_GC_DISABLED */
	bool is_in_whole_seconds; /* of a FORM_DURATION */
};

static const char *const flag_words[] = {"Disabled", "Enabled", "Allowed", NULL};
static const char *const links_words[] = {"false", "true", "default", NULL};
static const char *const protocol_words[] = {"Enabled", "Redirected", "Disabled", NULL};
static const char *const affinity_words[] = {"none", "prefer-spread-revision-over-nodes", NULL};

#define KEY(map_, name_, form_, member_, standard_, ...)                                           \
	{                                                                                          \
		.map = (map_), .name = (name_), .form = (form_),                                   \
		.at = offsetof(struct kn_config, member_), .standard = (standard_), __VA_ARGS__    \
	}
#define RANGE(least_, most_, expected_) .least = (least_), .most = (most_), .expected = (expected_)
#define ANY_COUNT RANGE(0, INT_MOST, "a whole number of 0 or more")
#define ANY_SECONDS RANGE(0, INT_MOST, "a number of seconds, 0 or more")
#define ANY_TARGET RANGE(TARGET_LEAST, 1e6, "a number of 0.01 to 1000000")
#define ANY_RATE RANGE(1.01, 1e6, "a number of 1.01 to 1000000")
#define WORDS(words_, expected_) .words = (words_), .expected = (expected_)
#define A_BOOL .expected = "true or false"
#define A_QUANTITY .expected = "a quantity such as 100m or 1.5Gi"
#define A_TEMPLATE .expected = "a template such as {{.Name}}"
#define A_TEXT .expected = "a text"
#define OLD(old_) .old = (old_)

static const struct config_key config_keys[] = {
	KEY(KN_CONFIG_AUTOSCALER, "container-concurrency-target-default", FORM_NUMBER,
	    autoscaler.container_concurrency_target_default, "100", ANY_TARGET),
	KEY(KN_CONFIG_AUTOSCALER, "container-concurrency-target-percentage", FORM_NUMBER,
	    autoscaler.container_concurrency_target_percentage, "70",
	    RANGE(1e-6, 100, "a percentage above 0 up to 100")),
	KEY(KN_CONFIG_AUTOSCALER, "requests-per-second-target-default", FORM_NUMBER,
	    autoscaler.rps_target_default, "200", ANY_TARGET),
	KEY(KN_CONFIG_AUTOSCALER, "stable-window", FORM_DURATION, autoscaler.stable_window_ns,
	    "60s", RANGE(6 * SECOND, HOUR, "a duration of 6s to 1h in whole seconds"),
	    .is_in_whole_seconds = true),
	KEY(KN_CONFIG_AUTOSCALER, "panic-window-percentage", FORM_NUMBER,
	    autoscaler.panic_window_percentage, "10", RANGE(1, 100, "a percentage of 1 to 100")),
	KEY(KN_CONFIG_AUTOSCALER, "panic-threshold-percentage", FORM_NUMBER,
	    autoscaler.panic_threshold_percentage, "200",
	    RANGE(110, 1000, "a percentage of 110 to 1000")),
	KEY(KN_CONFIG_AUTOSCALER, "max-scale-up-rate", FORM_NUMBER, autoscaler.max_scale_up_rate,
	    "1000", ANY_RATE),
	KEY(KN_CONFIG_AUTOSCALER, "max-scale-down-rate", FORM_NUMBER,
	    autoscaler.max_scale_down_rate, "2", ANY_RATE),
	KEY(KN_CONFIG_AUTOSCALER, "enable-scale-to-zero", FORM_BOOL,
	    autoscaler.enable_scale_to_zero, "true", A_BOOL),
	KEY(KN_CONFIG_AUTOSCALER, "scale-to-zero-grace-period", FORM_DURATION,
	    autoscaler.scale_to_zero_grace_ns, "30s",
	    RANGE(1, 24 * HOUR, "a duration above 0 up to 24h")),
	KEY(KN_CONFIG_AUTOSCALER, "scale-to-zero-pod-retention-period", FORM_DURATION,
	    autoscaler.scale_to_zero_retention_ns, "0s",
	    RANGE(0, 24 * HOUR, "a duration of 0 to 24h")),
	KEY(KN_CONFIG_AUTOSCALER, "scale-down-delay", FORM_DURATION, autoscaler.scale_down_delay_ns,
	    "0s", RANGE(0, HOUR, "a duration of 0 to 1h in whole seconds"),
	    .is_in_whole_seconds = true),
	KEY(KN_CONFIG_AUTOSCALER, "allow-zero-initial-scale", FORM_BOOL,
	    autoscaler.allow_zero_initial_scale, "false", A_BOOL),
	KEY(KN_CONFIG_AUTOSCALER, "initial-scale", FORM_INT, autoscaler.initial_scale, "1",
	    ANY_COUNT),
	KEY(KN_CONFIG_AUTOSCALER, "min-scale", FORM_INT, autoscaler.min_scale, "0", ANY_COUNT),
	KEY(KN_CONFIG_AUTOSCALER, "max-scale", FORM_INT, autoscaler.max_scale, "0", ANY_COUNT),
	KEY(KN_CONFIG_AUTOSCALER, "max-scale-limit", FORM_INT, autoscaler.max_scale_limit, "0",
	    ANY_COUNT),
	KEY(KN_CONFIG_AUTOSCALER, "pod-autoscaler-class", FORM_TEXT,
	    autoscaler.pod_autoscaler_class, "kpa.autoscaling.knative.dev", A_TEXT),

	KEY(KN_CONFIG_DEFAULTS, "revision-timeout-seconds", FORM_LONG, defaults.revision_timeout_s,
	    "300", ANY_SECONDS),
	KEY(KN_CONFIG_DEFAULTS, "max-revision-timeout-seconds", FORM_LONG,
	    defaults.max_revision_timeout_s, "600", ANY_SECONDS),
	KEY(KN_CONFIG_DEFAULTS, "revision-response-start-timeout-seconds", FORM_LONG,
	    defaults.response_start_timeout_s, "-1", ANY_SECONDS),
	KEY(KN_CONFIG_DEFAULTS, "revision-idle-timeout-seconds", FORM_LONG, defaults.idle_timeout_s,
	    "0", ANY_SECONDS),
	KEY(KN_CONFIG_DEFAULTS, "revision-cpu-request", FORM_QUANTITY, defaults.cpu_request, NULL,
	    A_QUANTITY),
	KEY(KN_CONFIG_DEFAULTS, "revision-cpu-limit", FORM_QUANTITY, defaults.cpu_limit, NULL,
	    A_QUANTITY),
	KEY(KN_CONFIG_DEFAULTS, "revision-memory-request", FORM_QUANTITY, defaults.memory_request,
	    NULL, A_QUANTITY),
	KEY(KN_CONFIG_DEFAULTS, "revision-memory-limit", FORM_QUANTITY, defaults.memory_limit, NULL,
	    A_QUANTITY),
	KEY(KN_CONFIG_DEFAULTS, "revision-ephemeral-storage-request", FORM_QUANTITY,
	    defaults.ephemeral_storage_request, NULL, A_QUANTITY),
	KEY(KN_CONFIG_DEFAULTS, "revision-ephemeral-storage-limit", FORM_QUANTITY,
	    defaults.ephemeral_storage_limit, NULL, A_QUANTITY),
	KEY(KN_CONFIG_DEFAULTS, "container-name-template", FORM_TEMPLATE,
	    defaults.container_name_template, "user-container", A_TEMPLATE),
	KEY(KN_CONFIG_DEFAULTS, "init-container-name-template", FORM_TEMPLATE,
	    defaults.init_container_name_template, "init-container", A_TEMPLATE),
	KEY(KN_CONFIG_DEFAULTS, "container-concurrency", FORM_LONG, defaults.container_concurrency,
	    "0", ANY_COUNT),
	KEY(KN_CONFIG_DEFAULTS, "container-concurrency-max-limit", FORM_LONG,
	    defaults.container_concurrency_max_limit, "1000",
	    RANGE(1, INT_MOST, "a whole number of 1 or more")),
	KEY(KN_CONFIG_DEFAULTS, "allow-container-concurrency-zero", FORM_BOOL,
	    defaults.allow_container_concurrency_zero, "true", A_BOOL),
	KEY(KN_CONFIG_DEFAULTS, "enable-service-links", FORM_WORD, defaults.enable_service_links,
	    "false", WORDS(links_words, "true, false or default")),

	KEY(KN_CONFIG_DEPLOYMENT, "progress-deadline", FORM_SECONDS, deployment.progress_deadline_s,
	    "600s", OLD("progressDeadline"),
	    RANGE(SECOND, LONGEST, "a duration of 1s or more in whole seconds")),
	KEY(KN_CONFIG_DEPLOYMENT, "registries-skipping-tag-resolving", FORM_TEXT,
	    deployment.registries_skipping_tag_resolving, "kind.local,ko.local,dev.local",
	    OLD("registriesSkippingTagResolving"), A_TEXT),
	KEY(KN_CONFIG_DEPLOYMENT, "default-affinity-type", FORM_WORD, deployment.default_affinity,
	    "prefer-spread-revision-over-nodes",
	    WORDS(affinity_words, "none or prefer-spread-revision-over-nodes")),
	KEY(KN_CONFIG_GC, "retain-since-create-time", FORM_SECONDS, gc.retain_since_create_s, "48h",
	    RANGE(0, LONGEST, "a duration, or disabled"), .may_be_disabled = true),
	KEY(KN_CONFIG_GC, "retain-since-last-active-time", FORM_SECONDS,
	    gc.retain_since_last_active_s, "15h", RANGE(0, LONGEST, "a duration, or disabled"),
	    .may_be_disabled = true),
	KEY(KN_CONFIG_GC, "min-non-active-revisions", FORM_LONG, gc.min_non_active, "20",
	    ANY_COUNT),
	KEY(KN_CONFIG_GC, "max-non-active-revisions", FORM_LONG, gc.max_non_active, "1000",
	    RANGE(0, INT_MOST, "a whole number of 0 or more, or disabled"),
	    .may_be_disabled = true),

	KEY(KN_CONFIG_NETWORK, "domain-template", FORM_TEMPLATE, network.domain_template,
	    "{{.Name}}.{{.Namespace}}.{{.Domain}}", OLD("domainTemplate"), A_TEMPLATE),
	KEY(KN_CONFIG_NETWORK, "tag-template", FORM_TEMPLATE, network.tag_template,
	    "{{.Tag}}-{{.Name}}", OLD("tagTemplate"), A_TEMPLATE),
	KEY(KN_CONFIG_NETWORK, "default-external-scheme", FORM_TEXT,
	    network.default_external_scheme, "http", OLD("defaultExternalScheme"),
	    .expected = "http or https"),
	KEY(KN_CONFIG_NETWORK, "http-protocol", FORM_WORD, network.http_protocol, "Enabled",
	    OLD("httpProtocol"), WORDS(protocol_words, "Enabled, Redirected or Disabled")),
	KEY(KN_CONFIG_NETWORK, "rollout-duration", FORM_LONG, network.rollout_duration_s, "0",
	    OLD("rolloutDuration"), ANY_SECONDS),

#define X(member, key, flag)                                                                       \
	KEY(KN_CONFIG_FEATURES, key, FORM_WORD, features.member,                                   \
	    (flag) == KN_ENABLED   ? "Enabled"                                                     \
	    : (flag) == KN_ALLOWED ? "Allowed"                                                     \
				   : "Disabled",                                                   \
	    WORDS(flag_words, "Enabled, Allowed or Disabled")),
	KN_FEATURES(X)
#undef X
};

/* Keys of Knative's that have no equal here: there is no sidecar, no choice between ways through
 * or past the activator, no other ingress, no look-up of images in registries, and no claim on a
 * domain.  A star matches anything. */
static const struct {
	enum kn_config_map map;
	const char *name;
} no_equal[] = {
	{KN_CONFIG_AUTOSCALER, "target-burst-capacity"},
	{KN_CONFIG_AUTOSCALER, "activator-capacity"},
	{KN_CONFIG_DEPLOYMENT, "digest-resolution-timeout"},
	{KN_CONFIG_DEPLOYMENT, "digestResolutionTimeout"},
	{KN_CONFIG_DEPLOYMENT, "queue-sidecar-*"},
	{KN_CONFIG_DEPLOYMENT, "queueSidecar*"},
	{KN_CONFIG_DEPLOYMENT, "concurrency-state-endpoint"},
	{KN_CONFIG_DEPLOYMENT, "concurrencyStateEndpoint"},
	{KN_CONFIG_DEPLOYMENT, "runtime-class-name"},
	{KN_CONFIG_DEPLOYMENT, "pod-is-always-schedulable"},
	{KN_CONFIG_FEATURES, "kubernetes.podspec-dryrun"},
	{KN_CONFIG_FEATURES, "kubernetes.podspec-hostipc"},
	{KN_CONFIG_FEATURES, "kubernetes.podspec-hostnetwork"},
	{KN_CONFIG_FEATURES, "kubernetes.podspec-hostpid"},
	{KN_CONFIG_FEATURES, "kubernetes.podspec-persistent-volume-write"},
	{KN_CONFIG_FEATURES, "kubernetes.podspec-shareprocessnamespace"},
	{KN_CONFIG_FEATURES, "queueproxy.*"},
	{KN_CONFIG_NETWORK, "autocreate-cluster-domain-claims"},
	{KN_CONFIG_NETWORK, "autocreateClusterDomainClaims"},
	{KN_CONFIG_NETWORK, "ingress-class"},
	{KN_CONFIG_NETWORK, "ingress.class"},
	{KN_CONFIG_NETWORK, "certificate-class"},
	{KN_CONFIG_NETWORK, "certificate.class"},
	{KN_CONFIG_NETWORK, "auto-tls"},
	{KN_CONFIG_NETWORK, "autoTLS"},
	{KN_CONFIG_NETWORK, "external-domain-tls"},
	{KN_CONFIG_NETWORK, "cluster-local-domain-tls"},
	{KN_CONFIG_NETWORK, "system-internal-tls"},
	{KN_CONFIG_NETWORK, "internal-encryption"},
	{KN_CONFIG_NETWORK, "enable-mesh-pod-addressability"},
	{KN_CONFIG_NETWORK, "mesh-compatibility-mode"},
	{KN_CONFIG_NETWORK, "namespace-wildcard-cert-selector"},
};

int
kn_config_mistake(struct err *e, const char *key, const char *expected, const char *text)
{
	return err_set(e, 0, "%s: expected %s, got \"%.200s\"", key, expected, text);
}

/* --- one value --- */

static void *
value_at(struct kn_config *c, const struct config_key *k)
{
	return (char *)c + k->at;
}

static int
set_word(void *to, const char *const *words, const char *text)
{
	int i;

	for (i = 0; words[i] != NULL; i++)
		if (strcasecmp(words[i], text) == 0) {
			memcpy(to, &(unsigned){(unsigned)i}, sizeof(unsigned));
			return 0;
		}
	return -1;
}

/* Each {{ is followed by its }}, with something between. */
static bool
is_template(const char *text)
{
	const char *end;

	for (; (text = strstr(text, "{{")) != NULL; text = end + 2) {
		end = strstr(text, "}}");
		if (end == NULL || end == text + 2)
			return false;
	}
	return true;
}

/* The bounds are checked only where is_checked: what is not given may be outside. */
static int
set_number(void *to, const struct config_key *k, const char *text, bool is_checked)
{
	double number = 0;
	int64_t whole = 0;
	bool is_double = k->form == FORM_NUMBER;
	bool is_duration = k->form == FORM_DURATION || k->form == FORM_SECONDS;

	if (k->may_be_disabled && strcasecmp(text, "disabled") == 0) {
		*(int64_t *)to = KN_GC_DISABLED;
		return 0;
	}
	if (is_double	  ? kn_value_number(text, &number) < 0
	    : is_duration ? kn_value_duration(text, &whole) < 0
			  : kn_value_int(text, -(int64_t)INT_MOST, (int64_t)INT_MOST, &whole) < 0)
		return -1;
	number = is_double ? number : (double)whole;
	if (is_checked && !(number >= k->least && number <= k->most))
		return -1;
	if ((k->is_in_whole_seconds || (k->form == FORM_SECONDS && !k->may_be_disabled)) &&
	    fmod(number, SECOND) != 0)
		return -1;
	if (is_double)
		*(double *)to = number;
	else if (k->form == FORM_INT)
		*(int32_t *)to = (int32_t)whole;
	else
		*(int64_t *)to = k->form == FORM_SECONDS ? whole / (int64_t)SECOND : whole;
	return 0;
}

static int
set_value(struct kn_config *c, const struct config_key *k, const char *text, bool is_checked)
{
	void *to = value_at(c, k);
	double quantity;

	switch (k->form) {
	case FORM_BOOL:
		return kn_value_bool(text, to);
	case FORM_WORD:
		return set_word(to, k->words, text);
	case FORM_QUANTITY:
	case FORM_TEMPLATE:
	case FORM_TEXT:
		if (k->form == FORM_QUANTITY ? kn_value_quantity(text, &quantity) == -1
					     : k->form == FORM_TEMPLATE && !is_template(text))
			return -1;
		text_replace(to, text);
		return 0;
	default:
		return set_number(to, k, text, is_checked);
	}
}

void
kn_config_set_defaults(struct kn_config *c)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(config_keys); i++)
		if (config_keys[i].standard != NULL)
			CHECK(set_value(c, &config_keys[i], config_keys[i].standard, false) == 0);
	c->autoscaler.activation_scale = 1;
}

void
kn_config_free_values(struct kn_config *c)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(config_keys); i++) {
		const struct config_key *k = &config_keys[i];

		if (k->form == FORM_TEXT || k->form == FORM_QUANTITY || k->form == FORM_TEMPLATE)
			text_replace(value_at(c, k), NULL);
	}
}

/* --- all keys --- */

/* NULL: none. */
static const struct config_key *
find_key(enum kn_config_map map, const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(config_keys); i++) {
		const struct config_key *k = &config_keys[i];

		if (k->map == map && (strcmp(k->name, name) == 0 || text_equal(k->old, name)))
			return k;
	}
	return NULL;
}

static bool
has_no_equal(enum kn_config_map map, const char *name)
{
	size_t i, n;

	for (i = 0; i < ARRAY_LEN(no_equal); i++) {
		if (no_equal[i].map != map)
			continue;
		n = strcspn(no_equal[i].name, "*");
		if (no_equal[i].name[n] == '*' ? strncmp(name, no_equal[i].name, n) == 0
					       : strcmp(name, no_equal[i].name) == 0)
			return true;
	}
	return false;
}

enum kn_config_key
kn_config_take_key(struct kn_config *c, enum kn_config_map map, const char *key, const char *text,
		   struct err *e)
{
	const struct config_key *k = find_key(map, key);

	if (k == NULL)
		return has_no_equal(map, key) ? KN_KEY_NO_EQUAL : KN_KEY_UNKNOWN;
	if (set_value(c, k, text, true) == 0)
		return KN_KEY_TAKEN;
	(void)kn_config_mistake(e, key, k->expected, text);
	return KN_KEY_WRONG;
}

const char *
kn_config_new_spelling(enum kn_config_map map, const char *key)
{
	const struct config_key *k = find_key(map, key);

	return k != NULL && text_equal(k->old, key) ? k->name : NULL;
}

/* --- what keys mean together --- */

static int
check_autoscaler(struct kn_autoscaler_config *a, struct err *e)
{
	double *percentage = &a->container_concurrency_target_percentage;
	int32_t least = a->max_scale_limit > 0 ? 1 : 0;

	if (*percentage <= 1) /* a fraction, which Knative takes as well */
		*percentage *= 100;
	if (*percentage / 100 * a->container_concurrency_target_default < TARGET_LEAST)
		return err_set(e, 0,
			       "container-concurrency-target-percentage: expected at least 0.01 of "
			       "container-concurrency-target-default with it, got %g%% of %g",
			       *percentage, a->container_concurrency_target_default);
	if (a->initial_scale == 0 && !a->allow_zero_initial_scale)
		return err_set(e, 0,
			       "initial-scale: expected 1 or more where allow-zero-initial-scale "
			       "is false, got \"0\"");
	if (a->max_scale < least || (least > 0 && a->max_scale > a->max_scale_limit))
		return err_set(e, 0, "max-scale: expected 1 to %d, the max-scale-limit, got \"%d\"",
			       a->max_scale_limit, a->max_scale);
	if (a->max_scale > 0 && a->min_scale > a->max_scale)
		return err_set(e, 0, "min-scale: expected 0 to %d, the max-scale, got \"%d\"",
			       a->max_scale, a->min_scale);
	return 0;
}

static int
check_defaults(struct kn_defaults_config *d, struct err *e)
{
	if (d->response_start_timeout_s < 0)
		d->response_start_timeout_s = d->revision_timeout_s;
	if (d->revision_timeout_s > d->max_revision_timeout_s)
		return err_set(e, 0,
			       "revision-timeout-seconds: expected at most %lld, the "
			       "max-revision-timeout-seconds, got \"%lld\"",
			       (long long)d->max_revision_timeout_s,
			       (long long)d->revision_timeout_s);
	if (d->response_start_timeout_s > d->revision_timeout_s)
		return err_set(e, 0,
			       "revision-response-start-timeout-seconds: expected at most %lld, "
			       "the revision-timeout-seconds, got \"%lld\"",
			       (long long)d->revision_timeout_s,
			       (long long)d->response_start_timeout_s);
	if (d->idle_timeout_s > d->revision_timeout_s)
		return err_set(e, 0,
			       "revision-idle-timeout-seconds: expected at most %lld, the "
			       "revision-timeout-seconds, got \"%lld\"",
			       (long long)d->revision_timeout_s, (long long)d->idle_timeout_s);
	if (d->container_concurrency > d->container_concurrency_max_limit)
		return err_set(e, 0,
			       "container-concurrency: expected at most %lld, the "
			       "container-concurrency-max-limit, got \"%lld\"",
			       (long long)d->container_concurrency_max_limit,
			       (long long)d->container_concurrency);
	return 0;
}

/* Whether a host comes of it that can be is seen with each Route. */
static int
check_template(const char *key, const char *template, bool is_of_tags, struct err *e)
{
	struct strbuf why;
	int rc = 0;

	strbuf_init(&why, 0);
	if (kn_domain_check(template, is_of_tags, &why) < 0)
		rc = err_set(e, 0, "%s: %s", key, strbuf_str(&why));
	strbuf_fini(&why);
	return rc;
}

static int
check_network(const struct kn_network_config *n, struct err *e)
{
	if (strcmp(n->default_external_scheme, "http") != 0 &&
	    strcmp(n->default_external_scheme, "https") != 0)
		return kn_config_mistake(e, "default-external-scheme", "http or https",
					 n->default_external_scheme);
	if (check_template("domain-template", n->domain_template, false, e) < 0)
		return -1;
	return check_template("tag-template", n->tag_template, true, e);
}

int
kn_config_check(struct kn_config *c, enum kn_config_map map, struct err *e)
{
	switch (map) {
	case KN_CONFIG_AUTOSCALER:
		return check_autoscaler(&c->autoscaler, e);
	case KN_CONFIG_DEFAULTS:
		return check_defaults(&c->defaults, e);
	case KN_CONFIG_GC:
		if (c->gc.max_non_active != KN_GC_DISABLED &&
		    c->gc.max_non_active < c->gc.min_non_active)
			return err_set(e, 0,
				       "max-non-active-revisions: expected at least %lld, the "
				       "min-non-active-revisions, got \"%lld\"",
				       (long long)c->gc.min_non_active,
				       (long long)c->gc.max_non_active);
		return 0;
	case KN_CONFIG_NETWORK:
		return check_network(&c->network, e);
	default:
		return 0;
	}
}
