#include "autoscaler/replicas/lease_json.h"

#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "autoscaler/kube/kube_fields.h"
#include "common/clk.h"

#define DURATION_MOST_S INT64_C(3600)

void
lease_json_read(const json_t *object, struct lease_object *out)
{
	const json_t *meta = json_object_get(object, "metadata");
	const json_t *spec = json_object_get(object, "spec");
	int64_t transitions = kube_field_number(spec, "leaseTransitions", 0);
	int64_t duration_s = kube_field_number(spec, "leaseDurationSeconds", 0);

	*out = (struct lease_object){.version = kube_field_text_or_empty(meta, "resourceVersion"),
				     .holder = kube_field_text_or_empty(spec, "holderIdentity"),
				     .transitions = (uint64_t)MAX(transitions, 0),
				     .duration_ns = MIN(MAX(duration_s, 0), DURATION_MOST_S) *
						    CLK_S};
}

/* MicroTime of Kubernetes: RFC 3339 with six digits behind the second. */
static void
write_time(char *text, size_t size, int64_t wall_ns)
{
	time_t s = (time_t)(wall_ns / CLK_S);
	char second[32];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(second, sizeof second, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, size, "%s.%06dZ", second, (int)(wall_ns % CLK_S / CLK_US));
}

char *
lease_json_body(const struct lease_request *r, const char *name, int64_t duration_ns,
		int64_t wall_ns)
{
	bool is_released = r->holder[0] == '\0';
	char now[48], *body;
	json_t *spec, *doc;

	write_time(now, sizeof now, wall_ns);
	spec = json_pack("{s:s, s:I, s:s, s:I}", "holderIdentity", r->holder,
			 "leaseDurationSeconds",
			 (json_int_t)(is_released ? 1 : (duration_ns + CLK_S - 1) / CLK_S),
			 "renewTime", now, "leaseTransitions", (json_int_t)r->transitions);
	CHECK(spec != NULL);
	if (r->is_taken && !is_released)
		json_object_set_new(spec, "acquireTime", json_string(now));
	if (r->verb == LEASE_CREATE)
		doc = json_pack("{s:s, s:s, s:{s:s}, s:o}", "apiVersion", "coordination.k8s.io/v1",
				"kind", "Lease", "metadata", "name", name, "spec", spec);
	else
		doc = json_pack("{s:{s:s}, s:o}", "metadata", "resourceVersion", r->version, "spec",
				spec);
	CHECK(doc != NULL);
	body = json_dumps(doc, JSON_COMPACT);
	CHECK(body != NULL);
	json_decref(doc);
	return body;
}
