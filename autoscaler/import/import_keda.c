/* KEDA's HTTP add-on (http.keda.sh; read at 59b2f6a115): HTTPScaledObject v1alpha1, and
 * InterceptorRoute v1beta1 with the ScaledObject that its user has written for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/import/import_impl.h"
#include "autoscaler/knative/kn_values.h"
#include "common/text.h"

#define GROUP "http.keda.sh/"

static const char no_timeout[] = "24h"; /* the longest one */

static const char *
text_of(struct kube_node map, const char *key)
{
	return kube_node_text(kube_node_member(map, key));
}

/* --- hosts, paths and headers --- */

static void
take_hosts(struct import *imp, struct import_service *s, struct kube_node list, const char *path)
{
	size_t i;

	for (i = 0; i < kube_node_size(list); i++) {
		struct kube_node at = kube_node_element(list, i);
		const char *host = kube_node_text(at);

		if (host != NULL)
			(void)import_set(imp, s, at, path, NULL, "hosts", host);
	}
}

static void
take_path_prefixes(struct import *imp, struct import_service *s, struct kube_node list,
		   const char *path)
{
	size_t i;

	for (i = 0; i < kube_node_size(list); i++) {
		struct kube_node at = kube_node_element(list, i);
		const char *prefix = kube_node_text(at);

		if (prefix != NULL)
			(void)import_set(imp, s, at, path, NULL, "paths", prefix);
	}
}

/* The values of {value: …} in a list. */
static void
take_path_values(struct import *imp, struct import_service *s, struct kube_node list,
		 const char *path)
{
	size_t i;

	for (i = 0; i < kube_node_size(list); i++) {
		struct kube_node at = kube_node_element(list, i);

		if (text_of(at, "value") != NULL)
			(void)import_set(imp, s, at, path, NULL, "paths", text_of(at, "value"));
	}
}

static void
take_headers(struct import *imp, struct import_service *s, struct kube_node list, const char *path)
{
	size_t i;

	for (i = 0; i < kube_node_size(list); i++) {
		struct kube_node at = kube_node_element(list, i);
		const char *name = text_of(at, "name"), *value = text_of(at, "value");

		if (import_has(s, "match_header")) {
			import_note(imp, s->from, at, path,
				    "no equal: a service matches one header field, and takes "
				    "requests whatever %s they have",
				    name == NULL ? "field" : name);
		} else if (name != NULL && value == NULL) {
			import_note(
				imp, s->from, at, path,
				"no equal: a service cannot ask for a field %s of any value, and "
				"takes requests without it, too",
				name);
		} else if (name != NULL) {
			(void)import_set(imp, s, at, path, NULL, "match_header", name);
			(void)import_set(imp, s, at, path, NULL, "match_value", value);
		}
	}
}

/* --- what is scaled, and by what --- */

static void
take_min(struct import *imp, struct import_service *s, struct kube_node at, const char *path)
{
	const char *text = kube_node_text(at);

	if (text != NULL && strcmp(text, "0") != 0)
		(void)import_set(imp, s, at, path, NULL, "min_scale", text);
}

static void
take_max(struct import *imp, struct import_service *s, struct kube_node at, const char *path)
{
	const char *text = kube_node_text(at);

	if (text != NULL)
		(void)import_set(imp, s, at, path, NULL, "max_scale", text);
}

static void
take_cooldown(struct import *imp, struct import_service *s, struct kube_node at, const char *path)
{
	(void)import_set_seconds(imp, s, at, path, "scale_to_zero_grace", kube_node_text(at));
}

static void
take_pending(struct import *imp, struct import_service *s, struct kube_node at, const char *path)
{
	if (!import_has(s, "target"))
		(void)import_set(imp, s, at, path, NULL, "target", kube_node_text(at));
}

static void
take_replicas(struct import *imp, struct import_service *s, struct kube_node map, const char *path)
{
	static const struct import_field fields[] = {{"min", take_min, NULL, NULL},
						     {"max", take_max, NULL, NULL}};

	import_walk(imp, s, map, path, fields, ARRAY_LEN(fields));
}

static void
take_window(struct import *imp, struct import_service *s, struct kube_node at, const char *path)
{
	(void)import_set_duration(imp, s, at, path, "stable_window", kube_node_text(at));
}

static void
take_target(struct import *imp, struct import_service *s, struct kube_node at, const char *path)
{
	(void)import_set(imp, s, at, path, NULL, "target", kube_node_text(at));
}

static void
take_rate(struct import *imp, struct import_service *s, struct kube_node map, const char *path)
{
	static const struct import_field fields[] = {
		{"targetValue", take_target, NULL, NULL},
		{"window", take_window, NULL, NULL},
		{"granularity", NULL, "no equal: a second, always", "1s"}};

	(void)import_set(imp, s, map, path, NULL, "metric", "rps");
	import_walk(imp, s, map, path, fields, ARRAY_LEN(fields));
	import_default(imp, s, "target", "100");
}

static void
take_concurrency(struct import *imp, struct import_service *s, struct kube_node map,
		 const char *path)
{
	static const struct import_field fields[] = {{"targetValue", take_target, NULL, NULL}};

	import_walk(imp, s, map, path, fields, ARRAY_LEN(fields));
}

static void
take_metric(struct import *imp, struct import_service *s, struct kube_node map, const char *path)
{
	static const struct import_field both[] = {
		{"concurrency", take_concurrency, NULL, NULL},
		{"requestRate", NULL,
		 "no equal: a service scales by one metric; that is "
		 "concurrency, whose target is taken",
		 NULL}};
	static const struct import_field either[] = {{"concurrency", take_concurrency, NULL, NULL},
						     {"requestRate", take_rate, NULL, NULL}};
	bool has_both = kube_node_member(map, "concurrency").at != NULL &&
			kube_node_member(map, "requestRate").at != NULL;

	import_walk(imp, s, map, path, has_both ? both : either, 2);
}

/* --- timeouts --- */

static void
take_timeout(struct import *imp, struct import_service *s, struct kube_node at, const char *path,
	     const char *key)
{
	const char *text = kube_node_text(at);
	int64_t ns;

	if (text != NULL && kn_value_duration(text, &ns) == 0 && ns == 0 &&
	    strcmp(key, "request_timeout") != 0) {
		import_note(imp, s->from, at, path,
			    "0 stands for no limit: the key %s gets its longest value, %s", key,
			    no_timeout);
		(void)import_set(imp, s, at, path, NULL, key, no_timeout);
		return;
	}
	(void)import_set_duration(imp, s, at, path, key, text);
}

static void
take_readiness(struct import *imp, struct import_service *s, struct kube_node at, const char *path)
{
	take_timeout(imp, s, at, path, "activation_timeout");
}

static void
take_response_header(struct import *imp, struct import_service *s, struct kube_node at,
		     const char *path)
{
	take_timeout(imp, s, at, path, "response_timeout");
}

static void
take_request(struct import *imp, struct import_service *s, struct kube_node at, const char *path)
{
	take_timeout(imp, s, at, path, "request_timeout");
}

static void
take_timeouts(struct import *imp, struct import_service *s, struct kube_node map, const char *path)
{
	static const struct import_field fields[] = {
		{"conditionWait", take_readiness, NULL, NULL},
		{"readiness", take_readiness, NULL, NULL},
		{"responseHeader", take_response_header, NULL, NULL},
		{"request", take_request, NULL, NULL}};

	import_walk(imp, s, map, path, fields, ARRAY_LEN(fields));
}

/* --- both kinds --- */

/* Port or portName of a reference to a Service. */
static void
take_port(struct import *imp, struct import_service *s, struct kube_node ref, const char *path)
{
	struct kube_node port = kube_node_member(ref, "port");
	struct kube_node name = kube_node_member(ref, "portName");
	const char *service = text_of(ref, "service");
	bool is_name = kube_node_text(port) == NULL;
	struct kube_node at = is_name ? name : port;

	if (service == NULL)
		import_fail(imp, s->from, ref, path, "expected a service");
	else if (kube_node_text(at) != NULL)
		import_set_port(imp, s, at, path, service, kube_node_text(at), is_name);
}

/* What holds where an object says nothing. */
static void
set_defaults(struct import *imp, struct import_service *s)
{
	if (!import_has(s, "hosts")) {
		import_note(imp, s->from, s->from->root, "",
			    "names no host: the service gets each one that no other service has");
		import_default(imp, s, "hosts", "*");
	}
	import_default(imp, s, "target", "100");
	import_default(imp, s, "target_utilization", "100");
	import_default(imp, s, "max_scale", "100");
	import_default(imp, s, "scale_to_zero_grace", "5m");
}

static void
add_deletion(struct import_service *s, const char *what, const char *name)
{
	strbuf_adds(&s->after, "kubectl -n ");
	import_put_word(&s->after, s->ns);
	strbuf_addf(&s->after, " delete %s/", what);
	import_put_word(&s->after, name);
	strbuf_adds(&s->after, "\n");
}

/* The ScaledObject of KEDA that names this object in a trigger by `key`; NULL: none. */
static const struct import_object *
find_scaled_object(const struct import *imp, const struct import_object *o, const char *key)
{
	size_t i, k;

	for (i = 0; i < imp->objects_n; i++) {
		const struct import_object *x = &imp->objects[i];
		struct kube_node triggers = kube_node_member(kube_node_member(x->root, "spec"),
							     "triggers");

		if (strcmp(x->kind, "ScaledObject") != 0 || strcmp(x->ns, o->ns) != 0)
			continue;
		for (k = 0; k < kube_node_size(triggers); k++) {
			struct kube_node at = kube_node_element(triggers, k);

			if (text_equal(text_of(kube_node_member(at, "metadata"), key), o->name))
				return x;
		}
	}
	return NULL;
}

/* --- ScaledObject --- */

static void
take_scale_target(struct import *imp, struct import_service *s, struct kube_node ref,
		  const char *path)
{
	const char *api = text_of(ref, "apiVersion"), *kind = text_of(ref, "kind");
	const char *name = text_of(ref, "name");

	if (name == NULL)
		import_fail(imp, s->from, ref, path, "expected the name of what is scaled");
	else
		import_set_target(imp, s, ref, path, api == NULL ? "apps/v1" : api,
				  kind == NULL ? "Deployment" : kind, name);
}

static void
take_triggers(struct import *imp, struct import_service *s, struct kube_node list, const char *path)
{
	size_t i;

	for (i = 0; i < kube_node_size(list); i++) {
		struct kube_node at = kube_node_element(list, i);
		const char *type = text_of(at, "type");

		if (type != NULL && strcmp(type, "external-push") != 0)
			import_note(imp, s->from, at, path,
				    "no equal: a service scales by its requests alone, not by %s",
				    type);
	}
}

/* path names the file and line by itself where the ScaledObject is in another file: notes are
 * about that object. */
static void
take_scaled_object(struct import *imp, struct import_service *s, const struct import_object *x)
{
	static const struct import_field fields[] = {
		{"scaleTargetRef", take_scale_target, NULL, NULL},
		{"minReplicaCount", take_min, NULL, NULL},
		{"maxReplicaCount", take_max, NULL, NULL},
		{"cooldownPeriod", take_cooldown, NULL, NULL},
		{"initialCooldownPeriod", NULL, "no equal: see the key initial_scale", "0"},
		{"idleReplicaCount", NULL, "no equal: an idle service has min_scale instances",
		 "0"},
		{"pollingInterval", NULL, NULL, NULL}, /* requests are seen as they come */
		{"triggers", take_triggers, NULL, NULL},
		{"fallback", NULL, "no equal: nothing is scaled on missing data", NULL},
		{"advanced", NULL, "no equal: see the keys max_scale_up_rate, scale_down_delay",
		 NULL}};
	const struct import_object *from = s->from;

	s->from = x;
	import_walk(imp, s, kube_node_member(x->root, "spec"), "spec", fields, ARRAY_LEN(fields));
	s->from = from;
	add_deletion(s, "scaledobjects.keda.sh", x->name);
}

/* --- HTTPScaledObject --- */

static void
take_http_target(struct import *imp, struct import_service *s, struct kube_node ref,
		 const char *path)
{
	take_scale_target(imp, s, ref, path);
	take_port(imp, s, ref, path);
}

static void
take_http_scaled_object(struct import *imp, const struct import_object *o)
{
	static const struct import_field fields[] = {
		{"hosts", take_hosts, NULL, NULL},
		{"pathPrefixes", take_path_prefixes, NULL, NULL},
		{"headers", take_headers, NULL, NULL},
		{"scaleTargetRef", take_http_target, NULL, NULL},
		{"scalingMetric", take_metric, NULL, NULL},
		{"replicas", take_replicas, NULL, NULL},
		{"targetPendingRequests", take_pending, NULL, NULL},
		{"scaledownPeriod", take_cooldown, NULL, NULL},
		{"initialCooldownPeriod", NULL, "no equal: see the key initial_scale", "0"},
		{"timeouts", take_timeouts, NULL, NULL},
		{"coldStartTimeoutFailoverRef", NULL,
		 "no equal: a request that waits longer than activation_timeout gets 504", NULL}};
	const struct import_object *scaled = find_scaled_object(imp, o, "httpScaledObject");
	struct kube_node spec = kube_node_member(o->root, "spec");
	struct import_service *s = import_add_service(imp, o, o->ns, o->name);

	import_walk(imp, s, spec, "spec", fields, ARRAY_LEN(fields));
	if (scaled != NULL)
		take_scaled_object(imp, s, scaled);
	if (s->workload == NULL)
		import_fail(imp, o, spec, "spec", "expected a scaleTargetRef");
	set_defaults(imp, s);
	add_deletion(s, "httpscaledobjects.http.keda.sh", o->name);
}

/* --- InterceptorRoute --- */

static bool
same_node(struct kube_node a, struct kube_node b)
{
	size_t n = kube_node_size(a), i;
	static const char *const members[] = {"name", "value"};
	size_t k;

	if (kube_node_size(b) != n)
		return false;
	for (i = 0; i < n; i++) {
		struct kube_node x = kube_node_element(a, i), y = kube_node_element(b, i);

		if (!text_equal(kube_node_text(x), kube_node_text(y)))
			return false;
		for (k = 0; k < ARRAY_LEN(members); k++)
			if (!text_equal(text_of(x, members[k]), text_of(y, members[k])))
				return false;
	}
	return true;
}

static bool
same_member(struct kube_node a, struct kube_node b, const char *key)
{
	return same_node(kube_node_member(a, key), kube_node_member(b, key));
}

/* Does one of both name none, so that it takes all? */
static bool
one_takes_all(struct kube_node a, struct kube_node b, const char *key)
{
	return (kube_node_size(kube_node_member(a, key)) == 0) !=
	       (kube_node_size(kube_node_member(b, key)) == 0);
}

/* A service takes each of its hosts with each of its paths: rules go together only where they
 * differ in one of both. */
static void
take_rules(struct import *imp, struct import_service *s, struct kube_node list, const char *path)
{
	static const struct import_field fields[] = {{"hosts", take_hosts, NULL, NULL},
						     {"paths", take_path_values, NULL, NULL},
						     {"headers", take_headers, NULL, NULL}};
	static const struct import_field more[] = {{"hosts", take_hosts, NULL, NULL},
						   {"paths", take_path_values, NULL, NULL},
						   {"headers", NULL, NULL, NULL}};
	struct kube_node first = kube_node_element(list, 0);
	bool same_hosts = true, same_paths = true;
	size_t i;

	for (i = 0; i < kube_node_size(list); i++) {
		struct kube_node at = kube_node_element(list, i);
		char *where = xasprintf("%s[%zu]", path, i);
		bool hosts = same_hosts && same_member(at, first, "hosts");
		bool paths = same_paths && same_member(at, first, "paths");

		if (!same_member(at, first, "headers") || (!hosts && !paths) ||
		    one_takes_all(at, first, "hosts") || one_takes_all(at, first, "paths")) {
			import_fail(imp, s->from, at, where,
				    "no equal: one Deployment is one service, which takes each of "
				    "its hosts with each of its paths, and one header field");
		} else {
			import_walk(imp, s, at, where, i == 0 ? fields : more, ARRAY_LEN(fields));
			same_hosts = hosts;
			same_paths = paths;
		}
		free(where);
	}
}

static void
take_cold_start(struct import *imp, struct import_service *s, struct kube_node map,
		const char *path)
{
	static const struct import_field fields[] = {
		{"fallback", NULL,
		 "no equal: a request that waits longer than activation_timeout gets 504", NULL},
		{"placeholder", NULL, NULL, NULL}};
	struct kube_node placeholder = kube_node_member(map, "placeholder");

	if (placeholder.at != NULL) {
		import_note(
			imp, s->from, placeholder, path,
			"the waiting page of ours is in place of this response: browsers get it, "
			"other clients wait; a page of your own needs the conf file (waiting_page)");
		(void)import_set(imp, s, placeholder, path, NULL, "waiting_page", "default");
	}
	import_walk(imp, s, map, path, fields, ARRAY_LEN(fields));
}

/* The response of a rule that answers by itself. */
static void
set_answer(struct import *imp, struct import_service *s, struct kube_node response,
	   const char *path, const char *rule)
{
	struct kube_node headers = kube_node_member(response, "headers");
	struct kube_node status = kube_node_member(response, "statusCode");
	struct kube_node body = kube_node_member(response, "body");
	size_t i;

	if (kube_node_text(status) != NULL)
		(void)import_set(imp, s, status, path, rule, "status", kube_node_text(status));
	if (kube_node_text(body) != NULL)
		(void)import_set(imp, s, body, path, rule, "body", kube_node_text(body));
	if (kube_node_member(response, "bodyFromConfigMap").at != NULL)
		import_fail(imp, s->from, response, path,
			    "no equal: bodyFromConfigMap; copy the text into the key body");
	for (i = 0; i < kube_node_size(headers); i++) {
		const char *name = kube_node_text(kube_node_key(headers, i));
		const char *value = kube_node_text(kube_node_element(headers, i));
		char *field = xasprintf("%s: %s", name == NULL ? "" : name,
					value == NULL ? "" : value);

		(void)import_set(imp, s, headers, path, rule, "fields", field);
		free(field);
	}
}

static void
take_static_rule(struct import *imp, struct import_service *s, struct kube_node at,
		 const char *path, const char *rule)
{
	struct kube_node paths = kube_node_member(at, "paths");
	struct kube_node headers = kube_node_member(at, "headers");
	struct kube_node header = kube_node_element(headers, 0);
	size_t i;

	for (i = 0; i < kube_node_size(paths); i++) {
		struct kube_node value = kube_node_element(paths, i);

		if (text_of(value, "value") != NULL)
			(void)import_set(imp, s, value, path, rule, "paths",
					 text_of(value, "value"));
	}
	if (kube_node_member(at, "hosts").at != NULL)
		import_note(imp, s->from, at, path,
			    "no equal: a rule holds for all hosts of its service");
	if (text_of(header, "name") != NULL)
		(void)import_set(imp, s, header, path, rule, "header", text_of(header, "name"));
	if (text_of(header, "value") != NULL)
		(void)import_set(imp, s, header, path, rule, "contains", text_of(header, "value"));
	if (kube_node_size(headers) > 1)
		import_note(imp, s->from, headers, path,
			    "no equal: a rule looks at one header field, the first");
}

/* Each matching rule of each becomes a rule of ours: requests that match neither wake the service
 * nor keep it awake. */
static void
take_static_routes(struct import *imp, struct import_service *s, struct kube_node list,
		   const char *path)
{
	size_t i, k;

	for (i = 0; i < kube_node_size(list); i++) {
		struct kube_node at = kube_node_element(list, i);
		struct kube_node rules = kube_node_member(at, "rules");
		bool is_always = text_equal(text_of(at, "responseMode"), "Always");
		char *where = xasprintf("%s[%zu]", path, i);

		for (k = 0; k < kube_node_size(rules); k++) {
			char *rule = xasprintf("rule.static-%zu-%zu", i + 1, k + 1);

			(void)import_set(imp, s, at, where, rule, "action",
					 is_always ? "answer" : "serve_only");
			take_static_rule(imp, s, kube_node_element(rules, k), where, rule);
			if (is_always)
				set_answer(imp, s, kube_node_member(at, "response"), where, rule);
			free(rule);
		}
		if (!is_always)
			import_note(
				imp, s->from, at, where,
				"no equal: while nothing runs, such a request gets 503 in place of "
				"this response");
		free(where);
	}
}

/* The Deployment behind the Service, or the Service itself, which may bear annotations, too. */
static void
take_route_target(struct import *imp, struct import_service *s, struct kube_node ref,
		  const char *path)
{
	const char *service = text_of(ref, "service");
	const struct import_object *o = service == NULL
						? NULL
						: import_find(imp, "v1", "Service", s->ns, service);
	const struct import_object *deployment = o == NULL ? NULL : import_selected(imp, o);

	take_port(imp, s, ref, path);
	if (deployment != NULL)
		import_set_target(imp, s, ref, path, deployment->api, deployment->kind,
				  deployment->name);
	else if (service != NULL)
		s->annotated = xasprintf("service/%s", service);
}

static void
take_interceptor_route(struct import *imp, const struct import_object *o)
{
	static const struct import_field fields[] = {
		{"target", take_route_target, NULL, NULL},
		{"rules", take_rules, NULL, NULL},
		{"scalingMetric", take_metric, NULL, NULL},
		{"timeouts", take_timeouts, NULL, NULL},
		{"coldStart", take_cold_start, NULL, NULL},
		{"staticRoutes", take_static_routes, NULL, NULL}};
	const struct import_object *scaled = find_scaled_object(imp, o, "interceptorRoute");
	struct kube_node spec = kube_node_member(o->root, "spec");
	struct import_service *s = import_add_service(imp, o, o->ns, o->name);

	import_walk(imp, s, spec, "spec", fields, ARRAY_LEN(fields));
	if (scaled != NULL)
		take_scaled_object(imp, s, scaled);
	else
		import_note(
			imp, o, o->root, "",
			"its ScaledObject is in no file: max_scale is 100, and the last instance "
			"stays for 5 minutes, which are KEDA's defaults");
	if (s->workload == NULL && imp->form == IMPORT_CONF)
		import_fail(imp, o, kube_node_member(spec, "target"), "spec.target",
			    "expected a file with the Service and its Deployment, or with the "
			    "ScaledObject: the conf file names the Deployment");
	set_defaults(imp, s);
	add_deletion(s, "interceptorroutes.http.keda.sh", o->name);
}

/* --- all --- */

bool
import_is_keda(const struct import_object *o)
{
	return strncmp(o->api, GROUP, strlen(GROUP)) == 0 &&
	       (strcmp(o->kind, "HTTPScaledObject") == 0 ||
		strcmp(o->kind, "InterceptorRoute") == 0);
}

void
import_keda(struct import *imp, const struct import_object *o)
{
	if (o->name[0] == '\0') {
		import_fail(imp, o, o->root, "metadata.name", "expected a name");
		return;
	}
	if (strcmp(o->kind, "InterceptorRoute") == 0) {
		take_interceptor_route(imp, o);
		return;
	}
	if (import_find(imp, GROUP, "InterceptorRoute", o->ns, o->name) != NULL) {
		import_note(imp, o, o->root, "",
			    "an InterceptorRoute has the same name, and comes before this one");
		return;
	}
	take_http_scaled_object(imp, o);
}
