#include "activator/http/knative.h"

#include "activator/http/fields.h"
#include "activator/http/request.h"
#include "common/text.h"

#define KUBELET_AGENT "kube-probe/"

/* Equal but for case, and for '_' in place of '-'. */
static bool
is_name(const char *name, size_t n, const char *lower)
{
	size_t i;

	for (i = 0; i < n && lower[i] != '\0'; i++)
		if ((name[i] == '_' ? '-' : name[i] | 32) != lower[i])
			return false;
	return i == n && lower[i] == '\0';
}

bool
knative_is_inner(const char *name, size_t n)
{
	static const char *const inner[] = {"k-network-hash",
					    "k-proxy-request",
					    "k-original-host",
					    "knative-serving-revision",
					    "knative-serving-namespace",
					    "knative-serving-default-route"};
	size_t i;

	if (n < 2 || (name[0] | 32) != 'k')
		return false;
	for (i = 0; i < ARRAY_LEN(inner); i++)
		if (is_name(name, n, inner[i]))
			return true;
	return false;
}

bool
knative_is_tag(const char *name, size_t n)
{
	return is_name(name, n, "knative-serving-tag");
}

static bool
is_of_kubelet(const struct h1_head *h)
{
	size_t n;
	const char *agent = request_field(h, "user-agent", &n), *probe;

	if (agent != NULL && n >= sizeof KUBELET_AGENT - 1 &&
	    field_is(agent, sizeof KUBELET_AGENT - 1, KUBELET_AGENT))
		return true;
	probe = request_field(h, "k-kubelet-probe", &n);
	return probe != NULL && n > 0;
}

enum knative_probe
knative_probe_of(const struct h1_head *h, bool is_grpc, const char **value, size_t *n)
{
	const char *probe = request_field(h, "k-network-probe", n);

	*value = NULL;
	if (probe == NULL || *n == 0)
		return !is_grpc && is_of_kubelet(h) ? KNATIVE_PROBE_KUBELET : KNATIVE_NO_PROBE;
	if (text_is(probe, *n, "queue"))
		return KNATIVE_PROBE_QUEUE;
	if (text_is(probe, *n, "activator"))
		return KNATIVE_PROBE_ACTIVATOR;
	*value = probe;
	if (!text_is(probe, *n, "probe"))
		return KNATIVE_PROBE_UNKNOWN;
	*value = request_field(h, "k-network-hash", n);
	if (*value != NULL && *n == 0)
		*value = NULL;
	return KNATIVE_PROBE_ROUTE;
}
