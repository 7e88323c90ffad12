#include "autoscaler/knative/kn_spec.h"

#include <math.h>
#include <string.h>

#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_values.h"

/* How members are compared, by their names, wherever they stand. */
enum compare {
	BY_MEMBER,
	AS_METADATA,   /* the labels and annotations that are wanted are there */
	AS_MAP,	       /* each of the two has all that the other has */
	AS_QUANTITY,   /* "0.5" is "500m" */
	AS_QUANTITIES, /* a map of quantities */
};

/* Members that the API server fills in with this value, or (NULL) not at all. */
static const struct {
	const char *name;
	const char *value; /* of a member that is absent, as JSON */
	enum compare compare;
} members[] = {
	/* of a Deployment's spec */
	{"minReadySeconds", NULL, BY_MEMBER},
	{"paused", NULL, BY_MEMBER},
	{"maxSurge", "\"25%\"", BY_MEMBER},
	{"metadata", NULL, AS_METADATA},
	/* of a pod's */
	{"activeDeadlineSeconds", NULL, BY_MEMBER},
	{"affinity", NULL, BY_MEMBER},
	{"automountServiceAccountToken", NULL, BY_MEMBER},
	{"dnsConfig", NULL, BY_MEMBER},
	{"dnsPolicy", "\"ClusterFirst\"", BY_MEMBER},
	{"enableServiceLinks", "true", BY_MEMBER},
	{"hostAliases", NULL, BY_MEMBER},
	{"hostIPC", NULL, BY_MEMBER},
	{"hostNetwork", NULL, BY_MEMBER},
	{"hostPID", NULL, BY_MEMBER},
	{"hostname", NULL, BY_MEMBER},
	{"imagePullSecrets", NULL, BY_MEMBER},
	{"initContainers", NULL, BY_MEMBER},
	{"nodeName", NULL, BY_MEMBER},
	{"nodeSelector", NULL, AS_MAP},
	{"priorityClassName", NULL, BY_MEMBER},
	{"restartPolicy", "\"Always\"", BY_MEMBER},
	{"runtimeClassName", NULL, BY_MEMBER},
	{"schedulerName", "\"default-scheduler\"", BY_MEMBER},
	{"serviceAccountName", NULL, BY_MEMBER},
	{"shareProcessNamespace", NULL, BY_MEMBER},
	{"subdomain", NULL, BY_MEMBER},
	{"tolerations", NULL, BY_MEMBER},
	{"topologySpreadConstraints", NULL, BY_MEMBER},
	{"volumes", NULL, BY_MEMBER},
	{"sizeLimit", NULL, AS_QUANTITY},
	/* of a container */
	{"args", NULL, BY_MEMBER},
	{"command", NULL, BY_MEMBER},
	{"env", NULL, BY_MEMBER},
	{"envFrom", NULL, BY_MEMBER},
	{"lifecycle", NULL, BY_MEMBER},
	{"limits", NULL, AS_QUANTITIES},
	{"livenessProbe", NULL, BY_MEMBER},
	{"ports", NULL, BY_MEMBER},
	{"readinessProbe", NULL, BY_MEMBER},
	{"requests", NULL, AS_QUANTITIES},
	{"resources", NULL, BY_MEMBER},
	{"securityContext", NULL, BY_MEMBER},
	{"startupProbe", NULL, BY_MEMBER},
	{"stdin", NULL, BY_MEMBER},
	{"stdinOnce", NULL, BY_MEMBER},
	{"terminationMessagePath", "\"/dev/termination-log\"", BY_MEMBER},
	{"tty", NULL, BY_MEMBER},
	{"volumeDevices", NULL, BY_MEMBER},
	{"volumeMounts", NULL, BY_MEMBER},
	{"workingDir", NULL, BY_MEMBER},
	{"hostPort", NULL, BY_MEMBER},
	/* of a probe */
	{"exec", NULL, BY_MEMBER},
	{"grpc", NULL, BY_MEMBER},
	{"httpGet", NULL, BY_MEMBER},
	{"httpHeaders", NULL, BY_MEMBER},
	{"tcpSocket", NULL, BY_MEMBER},
	{"failureThreshold", "3", BY_MEMBER},
	{"initialDelaySeconds", NULL, BY_MEMBER},
	{"periodSeconds", "10", BY_MEMBER},
	{"scheme", "\"HTTP\"", BY_MEMBER},
	{"successThreshold", "1", BY_MEMBER},
	{"timeoutSeconds", "1", BY_MEMBER},
	/* of a Service's spec */
	{"externalIPs", NULL, BY_MEMBER},
	{"selector", NULL, AS_MAP},
};

static const size_t unknown = ARRAY_LEN(members);

static size_t
find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(members); i++)
		if (strcmp(members[i].name, name) == 0)
			return i;
	return unknown;
}

/* Is it what the API server may leave out? */
static bool
is_empty(const json_t *value)
{
	return kn_json_equal(value, NULL) || json_is_false(value) ||
	       (json_is_number(value) && json_number_value(value) == 0);
}

/* Thousandths of its unit, as the API server rounds them up; -1: it is no quantity. */
static double
thousandths(const json_t *quantity)
{
	double value = json_number_value(quantity);

	if (json_is_string(quantity) &&
	    kn_value_quantity(json_string_value(quantity), &value) == -1)
		return -1;
	return ceil(value * 1000 * (1 - 1e-12));
}

static bool
is_same_quantity(const json_t *a, const json_t *b)
{
	double x = thousandths(a), y = thousandths(b);

	return fabs(x - y) <= 1e-12 * fabs(x);
}

static bool
has_quantities(const json_t *a, const json_t *b)
{
	const json_t *value;
	const char *name;

	KN_EACH_MEMBER(a, name, value)
	if (json_object_get(b, name) == NULL || !is_same_quantity(value, json_object_get(b, name)))
		return false;
	return true;
}

bool
kn_spec_has_metadata(const json_t *present, const json_t *wanted)
{
	return kn_json_has_texts(json_object_get(present, "labels"),
				 json_object_get(wanted, "labels")) &&
	       kn_json_has_texts(json_object_get(present, "annotations"),
				 json_object_get(wanted, "annotations"));
}

static bool
list_holds(const json_t *present, const json_t *wanted)
{
	size_t i;

	if (json_array_size(present) != json_array_size(wanted))
		return false;
	for (i = 0; i < json_array_size(wanted); i++)
		if (!kn_spec_holds(json_array_get(present, i), json_array_get(wanted, i)))
			return false;
	return true;
}

static bool
is_default(const json_t *present, const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
	bool is = kn_json_equal(present, value);

	CHECK(value != NULL);
	json_decref(value);
	return is;
}

/* A member that is not wanted, or is wanted to be nothing.  at: in members. */
static bool
member_is_absent(size_t at, const json_t *present, const json_t *wanted)
{
	const char *value = at == unknown ? NULL : members[at].value;

	if (is_empty(present))
		return true;
	if (at == unknown) /* 0 and false are wishes */
		return kn_json_equal(wanted, NULL);
	/* Of a number, 0 means the default. */
	return value != NULL && !json_is_false(wanted) && is_default(present, value);
}

static bool
member_holds(const char *name, const json_t *present, const json_t *wanted)
{
	size_t at = find(name);

	if (is_empty(wanted))
		return member_is_absent(at, present, wanted);
	switch (at == unknown ? BY_MEMBER : members[at].compare) {
	case AS_METADATA:
		return kn_spec_has_metadata(present, wanted);
	case AS_MAP:
		return kn_json_equal(present, wanted);
	case AS_QUANTITY:
		return is_same_quantity(present, wanted);
	case AS_QUANTITIES:
		return has_quantities(present, wanted) && has_quantities(wanted, present);
	case BY_MEMBER:
		break;
	}
	return kn_spec_holds(present, wanted);
}

static bool
object_holds(const json_t *present, const json_t *wanted)
{
	const json_t *value;
	const char *name;

	KN_EACH_MEMBER(wanted, name, value)
	if (!member_holds(name, json_object_get(present, name), value))
		return false;
	KN_EACH_MEMBER(present, name, value)
	if (json_object_get(wanted, name) == NULL && !member_holds(name, value, NULL))
		return false;
	return true;
}

bool
kn_spec_holds(const json_t *present, const json_t *wanted)
{
	if (json_is_object(present) && json_is_object(wanted))
		return object_holds(present, wanted);
	if (json_is_array(present) && json_is_array(wanted))
		return list_holds(present, wanted);
	return kn_json_equal(present, wanted);
}
