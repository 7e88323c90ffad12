#include "autoscaler/knative/kn_conditions.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_time.h"

static const char *
truth_name(enum kn_truth truth)
{
	return truth == KN_TRUE ? "True" : truth == KN_FALSE ? "False" : "Unknown";
}

static enum kn_truth
truth_of(const json_t *condition)
{
	const char *status = kn_json_text(condition, "status", NULL);

	return strcmp(status, "True") == 0    ? KN_TRUE
	       : strcmp(status, "False") == 0 ? KN_FALSE
					      : KN_UNKNOWN;
}

static const json_t *
find_in(const json_t *list, const char *type)
{
	size_t i;

	for (i = 0; i < json_array_size(list); i++)
		if (strcmp(kn_json_text(json_array_get(list, i), "type", NULL), type) == 0)
			return json_array_get(list, i);
	return NULL;
}

const json_t *
kn_condition_find(const json_t *status, const char *type)
{
	return find_in(kn_json_at(status, "conditions", NULL), type);
}

enum kn_truth
kn_condition_truth(const json_t *status, const char *type)
{
	return truth_of(kn_condition_find(status, type));
}

bool
kn_is_observed(const json_t *object)
{
	int64_t generation = kn_json_number(kn_json_at(object, "metadata", NULL), "generation", 0);

	return kn_json_number(kn_json_at(object, "status", NULL), "observedGeneration", -1) ==
	       generation;
}

bool
kn_is_ready(const json_t *object)
{
	return kn_is_observed(object) &&
	       kn_condition_truth(kn_json_at(object, "status", NULL), KN_READY) == KN_TRUE;
}

bool
kn_is_failed(const json_t *object)
{
	return kn_is_observed(object) &&
	       kn_condition_truth(kn_json_at(object, "status", NULL), KN_READY) == KN_FALSE;
}

static bool
is_dependent(const struct kn_conditions *c, const char *type)
{
	const char *const *d;

	for (d = c->dependents; *d != NULL; d++)
		if (strcmp(*d, type) == 0)
			return true;
	return false;
}

static void
put(struct kn_conditions *c, const char *type, enum kn_truth truth, const char *reason,
    const char *message)
{
	json_t *condition = json_object();

	kn_json_set_text(condition, "type", type);
	kn_json_set_text(condition, "status", truth_name(truth));
	kn_json_set_text(condition, "reason", reason);
	kn_json_set_text(condition, "message", message);
	if (strcmp(type, KN_READY) != 0 && !is_dependent(c, type))
		kn_json_set_text(condition, "severity", "Info");
	kn_json_set(c->by_type, type, condition);
}

void
kn_conditions_open(struct kn_conditions *c, const json_t *status, const char *const *dependents)
{
	const char *const *d;
	size_t i;

	*c = (struct kn_conditions){.before = kn_json_at(status, "conditions", NULL),
				    .dependents = dependents,
				    .by_type = json_object()};
	CHECK(c->by_type != NULL);
	for (i = 0; i < json_array_size(c->before); i++) {
		const json_t *old = json_array_get(c->before, i);
		const char *type = kn_json_text(old, "type", NULL);

		if (*type != '\0')
			put(c, type, truth_of(old), kn_json_text(old, "reason", NULL),
			    kn_json_text(old, "message", NULL));
	}
	for (d = dependents; *d != NULL; d++)
		if (json_object_get(c->by_type, *d) == NULL)
			put(c, *d, KN_UNKNOWN, NULL, NULL);
	if (json_object_get(c->by_type, KN_READY) == NULL)
		put(c, KN_READY, KN_UNKNOWN, NULL, NULL);
}

void
kn_conditions_set(struct kn_conditions *c, const char *type, enum kn_truth truth,
		  const char *reason, const char *message)
{
	CHECK(c->dependents[0] == NULL || strcmp(type, KN_READY) != 0);
	put(c, type, truth, reason, message);
}

enum kn_truth
kn_conditions_truth(const struct kn_conditions *c, const char *type)
{
	return truth_of(json_object_get(c->by_type, type));
}

bool
kn_conditions_has(const struct kn_conditions *c, const char *type)
{
	return json_object_get(c->by_type, type) != NULL;
}

const char *
kn_conditions_reason(const struct kn_conditions *c, const char *type)
{
	return kn_json_text(json_object_get(c->by_type, type), "reason", NULL);
}

/* Give a condition its time: that from before, if all else is as it was then. */
static void
stamp(struct kn_conditions *c, json_t *condition, const char *now)
{
	const json_t *old = find_in(c->before, kn_json_text(condition, "type", NULL));
	const char *since = kn_json_text(old, "lastTransitionTime", NULL);

	if (*since != '\0') {
		kn_json_set_text(condition, "lastTransitionTime", since);
		if (kn_json_equal(condition, old))
			return;
	}
	kn_json_set_text(condition, "lastTransitionTime", now);
}

/* The dependent that says what Ready is: of those that are False, or else Unknown, the one that
 * changed last.  NULL: all are True. */
static const json_t *
find_unhappy(const struct kn_conditions *c)
{
	const json_t *worst = NULL;
	const char *const *d;

	for (d = c->dependents; *d != NULL; d++) {
		const json_t *one = json_object_get(c->by_type, *d);
		enum kn_truth truth = truth_of(one);

		if (truth == KN_TRUE)
			continue;
		if (worst == NULL || (truth_of(worst) == KN_UNKNOWN && truth == KN_FALSE) ||
		    (truth == truth_of(worst) &&
		     strcmp(kn_json_text(one, "lastTransitionTime", NULL),
			    kn_json_text(worst, "lastTransitionTime", NULL)) > 0))
			worst = one;
	}
	return worst;
}

static void
make_ready(struct kn_conditions *c)
{
	const json_t *unhappy = find_unhappy(c);

	if (unhappy == NULL)
		put(c, KN_READY, KN_TRUE, NULL, NULL);
	else
		put(c, KN_READY, truth_of(unhappy), kn_json_text(unhappy, "reason", NULL),
		    kn_json_text(unhappy, "message", NULL));
}

static int
compare_types(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *
sorted(json_t *by_type)
{
	size_t n = json_object_size(by_type), i = 0;
	const char **types = xcalloc(n + 1, sizeof *types);
	json_t *list = json_array();
	const json_t *value;
	const char *type;

	KN_EACH_MEMBER(by_type, type, value)
	types[i++] = type;
	(void)value;
	qsort(types, n, sizeof *types, compare_types);
	for (i = 0; i < n; i++)
		CHECK(json_array_append(list, json_object_get(by_type, types[i])) == 0);
	free(types);
	return list;
}

json_t *
kn_conditions_close(struct kn_conditions *c, int64_t wall_s)
{
	char now[KN_TIME_SIZE];
	const json_t *value;
	const char *type;
	json_t *list;

	(void)kn_time_format(wall_s, now);
	KN_EACH_MEMBER(c->by_type, type, value)
	stamp(c, (json_t *)(uintptr_t)value, now);
	(void)type;
	if (c->dependents[0] != NULL) {
		make_ready(c);
		stamp(c, json_object_get(c->by_type, KN_READY), now);
	}
	list = sorted(c->by_type);
	json_decref(c->by_type);
	c->by_type = NULL;
	return list;
}
