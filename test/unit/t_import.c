/* import: what KEDA's objects and Sablier's labels become, and what is said of the rest. */
#include "test/unit/unit.h"

#include <stdlib.h>

#include "autoscaler/import/import.h"
#include "common/strbuf.h"

struct outcome {
	char *text, *notes;
	bool is_partial;
	size_t services;
};

static struct outcome
import(enum import_form form, const char *yaml)
{
	struct import *imp = import_new(form, "default");
	struct err e = {0};
	struct outcome o;
	struct strbuf out;

	if (import_add(imp, "f", yaml, strlen(yaml), &e) < 0)
		fail_msg("%s", e.text);
	import_run(imp);
	strbuf_init(&out, 0);
	import_write(imp, &out);
	o = (struct outcome){.text = strbuf_take(&out),
			     .notes = xstrdup(import_notes(imp)),
			     .is_partial = import_is_partial(imp),
			     .services = import_services(imp)};
	import_free(&imp);
	return o;
}

static void
outcome_fini(struct outcome *o)
{
	free(o->text);
	free(o->notes);
}

static void
assert_import(enum import_form form, const char *yaml, bool is_partial, const char *text,
	      const char *notes)
{
	struct outcome o = import(form, yaml);

	assert_string_equal(o.notes, notes);
	assert_string_equal(o.text, text);
	assert_int_equal(o.is_partial, is_partial);
	outcome_fini(&o);
}

/* A note, whatever else is said. */
static void
assert_note(const char *yaml, const char *note)
{
	struct outcome o = import(IMPORT_CONF, yaml);

	if (strstr(o.notes, note) == NULL)
		fail_msg("expected %s, got %s", note, o.notes);
	outcome_fini(&o);
}

/* A line of the text. */
static void
assert_line(enum import_form form, const char *yaml, const char *line)
{
	struct outcome o = import(form, yaml);

	if (strstr(o.text, line) == NULL)
		fail_msg("expected %s, got %s", line, o.text);
	outcome_fini(&o);
}

/* --- HTTPScaledObject --- */

#define HTTP_SCALED_OBJECT(spec)                                                                   \
	"apiVersion: http.keda.sh/v1alpha1\nkind: HTTPScaledObject\n"                              \
	"metadata: {name: app, namespace: shop}\nspec:\n" spec

static const char http_scaled_object[] = HTTP_SCALED_OBJECT(
	"  hosts: [shop.example.com, '*.shop.example.com']\n"
	"  pathPrefixes: [/api]\n"
	"  headers: [{name: x-kind, value: blue}, {name: x-other, value: a}]\n"
	"  scaleTargetRef: {name: app, service: app-http, port: 80}\n"
	"  replicas: {min: 1, max: 10}\n"
	"  scalingMetric: {requestRate: {targetValue: 20, window: 1m30s, granularity: 5s}}\n"
	"  scaledownPeriod: 60\n"
	"  timeouts: {conditionWait: 20s, responseHeader: 500ms}\n"
	"  coldStartTimeoutFailoverRef: {service: other, port: 80}\n"
	"  colour: red\n"
	"---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: app-http, namespace: shop}\n"
	"spec: {ports: [{port: 80, targetPort: 8080}], selector: {app: app}}\n");

#define SAID_OF_HTTP_SCALED_OBJECT                                                                 \
	"f:7: spec.headers: no equal: a service matches one header field, and takes requests "     \
	"whatever x-other they have\n"                                                             \
	"f:10: spec.scalingMetric.requestRate.granularity: no equal: a second, always\n"           \
	"f:13: spec.coldStartTimeoutFailoverRef: no equal: a request that waits longer than "      \
	"activation_timeout gets 504\n"                                                            \
	"f:14: spec.colour: not known here, and ignored\n"

static void
an_http_scaled_object_becomes_annotations(void **state)
{
	(void)state;
	assert_import(IMPORT_ANNOTATIONS, http_scaled_object, false,
		      "# HTTPScaledObject shop/app (f:1)\n"
		      "kubectl -n shop annotate --overwrite deployment/app \\\n"
		      "    'activator.dev/hosts=shop.example.com,*.shop.example.com' \\\n"
		      "    activator.dev/paths=/api \\\n"
		      "    activator.dev/match_header=x-kind \\\n"
		      "    activator.dev/match_value=blue \\\n"
		      "    activator.dev/port=8080 \\\n"
		      "    activator.dev/min_scale=1 \\\n"
		      "    activator.dev/max_scale=10 \\\n"
		      "    activator.dev/metric=rps \\\n"
		      "    activator.dev/target=20 \\\n"
		      "    activator.dev/stable_window=90s \\\n"
		      "    activator.dev/scale_to_zero_grace=1m \\\n"
		      "    activator.dev/activation_timeout=20s \\\n"
		      "    activator.dev/response_timeout=500ms \\\n"
		      "    activator.dev/target_utilization=100\n"
		      "# Once requests go to the activator:\n"
		      "# kubectl -n shop delete httpscaledobjects.http.keda.sh/app\n",
		      SAID_OF_HTTP_SCALED_OBJECT);
}

static void
an_http_scaled_object_becomes_a_section_of_the_conf_file(void **state)
{
	(void)state;
	assert_import(IMPORT_CONF, http_scaled_object, false,
		      "# HTTPScaledObject shop/app (f:1)\n"
		      "service \"shop.app\" {\n"
		      "    hosts = {\"shop.example.com\", \"*.shop.example.com\"}\n"
		      "    paths = {\"/api\"}\n"
		      "    match_header = \"x-kind\"\n"
		      "    match_value = \"blue\"\n"
		      "    revision \"v1\" {\n"
		      "        deployment = \"shop/app\"\n"
		      "        port = \"8080\"\n"
		      "        min_scale = 1\n"
		      "        max_scale = 10\n"
		      "        metric = \"rps\"\n"
		      "        target = 20\n"
		      "        stable_window = 90s\n"
		      "        scale_to_zero_grace = 1m\n"
		      "        activation_timeout = 20s\n"
		      "        response_timeout = 500ms\n"
		      "        target_utilization = 100\n"
		      "    }\n"
		      "}\n"
		      "# Once requests go to the activator:\n"
		      "# kubectl -n shop delete httpscaledobjects.http.keda.sh/app\n",
		      SAID_OF_HTTP_SCALED_OBJECT);
}

static void
kedas_defaults_are_taken(void **state)
{
	(void)state;
	assert_import(IMPORT_ANNOTATIONS,
		      HTTP_SCALED_OBJECT("  hosts: [a.b]\n  scaleTargetRef: {name: app, service: "
					 "app, portName: http}\n"),
		      false,
		      "# HTTPScaledObject shop/app (f:1)\n"
		      "kubectl -n shop annotate --overwrite deployment/app \\\n"
		      "    activator.dev/host=a.b \\\n"
		      "    activator.dev/target=100 \\\n"
		      "    activator.dev/target_utilization=100 \\\n"
		      "    activator.dev/max_scale=100 \\\n"
		      "    activator.dev/scale_to_zero_grace=5m\n"
		      "# Once requests go to the activator:\n"
		      "# kubectl -n shop delete httpscaledobjects.http.keda.sh/app\n",
		      "f:6: spec.scaleTargetRef: the Service \"app\" is in no file: the pods' only "
		      "port is used, or the one named http, unless you set the key port\n");
	assert_note(HTTP_SCALED_OBJECT("  scaleTargetRef: {name: app, service: a, port: 80}\n"),
		    "f:1: names no host: the service gets each one that no other service has\n");
	assert_line(IMPORT_CONF,
		    HTTP_SCALED_OBJECT("  scaleTargetRef: {name: app, service: a, port: 80}\n"),
		    "    hosts = {\"*\"}\n");
}

static void
mistakes_are_said_with_their_lines(void **state)
{
	static const char *const v[][2] = {
		{HTTP_SCALED_OBJECT("  hosts: [a]\n"), "f:5: spec: expected a scaleTargetRef\n"},
		{HTTP_SCALED_OBJECT("  hosts: [a]\n  scaleTargetRef: {name: a, service: a, port: "
				    "80}\n  scaledownPeriod: soon\n"),
		 "f:7: spec.scaledownPeriod: expected a number of seconds, got \"soon\"\n"},
		{HTTP_SCALED_OBJECT("  hosts: [a]\n  scaleTargetRef: {name: a, service: a, port: "
				    "80}\n  timeouts: {conditionWait: 20}\n"),
		 "f:7: spec.timeouts.conditionWait: expected a duration such as 90s, got \"20\"\n"},
		{HTTP_SCALED_OBJECT("  hosts: [a]\n  scaleTargetRef: {name: a, service: a, port: "
				    "80}\n  replicas: {min: many}\n"),
		 "f:7: spec.replicas.min: the key min_scale takes another value: "},
		{HTTP_SCALED_OBJECT("  hosts: [a]\n  scaleTargetRef: {name: a, service: a, port: "
				    "80}\n  replicas: {min: 5, max: 2}\n"),
		 "f:1: the result is no service: "},
		{HTTP_SCALED_OBJECT("  hosts: [a]\n  scaleTargetRef: {name: a, service: a, port: "
				    "80}\n  targetPendingRequests: {a: b}\n"),
		 "f:7: spec.targetPendingRequests: expected one value, for the key target\n"},
		{HTTP_SCALED_OBJECT(
			 "  hosts: [a]\n  scaleTargetRef: {name: a, service: a, portName: x}\n---\n"
			 "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\n"
			 "spec: {ports: [{name: x}]}\n"),
		 "f:6: spec.scaleTargetRef: expected one value, for the key port\n"},
		{"a: b\n",
		 "f:1: expected an object of Kubernetes with a kind, a Compose file, or the "
		 "conf file of Sablier\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct outcome o = import(IMPORT_CONF, v[i][0]);

		if (strstr(o.notes, v[i][1]) == NULL)
			fail_msg("expected %s, got %s", v[i][1], o.notes);
		assert_true(o.is_partial);
		outcome_fini(&o);
	}
}

static void
other_objects_are_passed_over(void **state)
{
	(void)state;
	assert_import(IMPORT_ANNOTATIONS,
		      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\n---\n"
		      "# a comment\n",
		      false, "", "");
}

static void
a_stateful_set_belongs_into_the_conf_file(void **state)
{
	static const char yaml[] = HTTP_SCALED_OBJECT(
		"  hosts: [a]\n  scaleTargetRef: {name: db, kind: StatefulSet, apiVersion: apps/v1, "
		"service: a, port: 80}\n");
	struct outcome o = import(IMPORT_ANNOTATIONS, yaml);

	(void)state;
	assert_non_null(strstr(o.notes, "a StatefulSet belongs into the conf file (--as conf)"));
	assert_null(strstr(o.text, "annotate"));
	assert_true(o.is_partial);
	outcome_fini(&o);
	assert_line(IMPORT_CONF, yaml, "        workload = \"apps/v1/StatefulSet/shop/db\"\n");
}

/* What an object is named cannot become a command. */
static void
words_are_quoted_for_the_shell(void **state)
{
	struct outcome o = import(
		IMPORT_ANNOTATIONS,
		"apiVersion: http.keda.sh/v1alpha1\nkind: HTTPScaledObject\n"
		"metadata: {name: \"a\\nrm -rf /\", namespace: \"b; rm x\"}\n"
		"spec: {hosts: [a], scaleTargetRef: {name: \"$(rm y)'z\", service: a, port: 80}}\n");

	(void)state;
	assert_non_null(strstr(o.text, "kubectl -n 'b; rm x' annotate --overwrite "
				       "'deployment/$(rm y)'\\''z' \\\n"));
	assert_null(strstr(o.text, "\nrm"));
	outcome_fini(&o);
}

/* --- InterceptorRoute --- */

#define INTERCEPTOR_ROUTE(spec)                                                                    \
	"apiVersion: http.keda.sh/v1beta1\nkind: InterceptorRoute\n"                               \
	"metadata: {name: app}\nspec:\n  target: {service: app, port: 80}\n" spec
#define SCALED_OBJECT                                                                              \
	"---\napiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: scale}\nspec:\n"  \
	"  scaleTargetRef: {name: app-v1}\n  maxReplicaCount: 7\n  cooldownPeriod: 120\n"          \
	"  triggers:\n  - {type: external-push, metadata: {interceptorRoute: app}}\n"              \
	"  - {type: cron, metadata: {timezone: UTC}}\n"

static void
an_interceptor_route_is_joined_with_its_scaled_object(void **state)
{
	(void)state;
	assert_import(
		IMPORT_ANNOTATIONS,
		INTERCEPTOR_ROUTE(
			"  rules: [{hosts: [a.b], paths: [{value: /x}]}]\n"
			"  scalingMetric: {concurrency: {targetValue: 5}, requestRate: {targetValue: 9}}\n"
			"  timeouts: {readiness: 0s, request: 0s, responseHeader: 1m}\n")
			SCALED_OBJECT,
		false,
		"# InterceptorRoute default/app (f:1)\n"
		"kubectl -n default annotate --overwrite deployment/app-v1 \\\n"
		"    activator.dev/port=80 \\\n"
		"    activator.dev/host=a.b \\\n"
		"    activator.dev/paths=/x \\\n"
		"    activator.dev/target=5 \\\n"
		"    activator.dev/activation_timeout=24h \\\n"
		"    activator.dev/request_timeout=0 \\\n"
		"    activator.dev/response_timeout=1m \\\n"
		"    activator.dev/max_scale=7 \\\n"
		"    activator.dev/scale_to_zero_grace=2m \\\n"
		"    activator.dev/target_utilization=100\n"
		"# Once requests go to the activator:\n"
		"# kubectl -n default delete scaledobjects.keda.sh/scale\n"
		"# kubectl -n default delete interceptorroutes.http.keda.sh/app\n",
		"f:5: spec.target: the Service \"app\" is in no file: its port 80 is taken for the "
		"pods' port, too\n"
		"f:7: spec.scalingMetric.requestRate: no equal: a service scales by one metric; that "
		"is concurrency, whose target is taken\n"
		"f:8: spec.timeouts.readiness: 0 stands for no limit: the key activation_timeout gets "
		"its longest value, 24h\n"
		"f:19: spec.triggers: no equal: a service scales by its requests alone, not by cron\n");
}

static void
without_a_deployment_the_service_is_annotated(void **state)
{
	static const char yaml[] = INTERCEPTOR_ROUTE(
		"  rules: [{hosts: [a.b]}]\n  scalingMetric: {concurrency: {targetValue: 5}}\n");

	(void)state;
	assert_line(IMPORT_ANNOTATIONS, yaml,
		    "kubectl -n default annotate --overwrite service/app \\\n");
	assert_line(IMPORT_CONF, yaml, "# service \"default.app\" {\n");
	assert_note(yaml, "f:5: spec.target: expected a file with the Service and its Deployment");
}

static void
rules_go_together_where_one_service_can_have_them(void **state)
{
	static const struct {
		const char *rules, *hosts, *paths, *note; /* NULL: none */
	} v[] = {
		{"  rules: [{hosts: [a]}, {hosts: [b]}]\n", "hosts = {\"a\", \"b\"}", NULL, NULL},
		{"  rules: [{hosts: [a], paths: [{value: /x}]}, {hosts: [a], paths: [{value: /y}]}]\n",
		 "hosts = {\"a\"}", "paths = {\"/x\", \"/y\"}", NULL},
		{"  rules: [{hosts: [a], paths: [{value: /x}]}, {hosts: [b], paths: [{value: /y}]}]\n",
		 "hosts = {\"a\"}", "paths = {\"/x\"}", "f:6: spec.rules[1]: no equal: "},
		{"  rules: [{hosts: [a], paths: [{value: /x}]}, {hosts: [a]}]\n", "hosts = {\"a\"}",
		 "paths = {\"/x\"}", "f:6: spec.rules[1]: no equal: "},
		{"  rules: [{hosts: [a]}, {hosts: [b], headers: [{name: x, value: y}]}]\n",
		 "hosts = {\"a\"}", NULL, "f:6: spec.rules[1]: no equal: "},
		{"  rules: [{hosts: [a], headers: [{name: x}]}]\n", "hosts = {\"a\"}", NULL,
		 "a service cannot ask for a field x of any value"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		char *yaml = xasprintf("%s%s%s", INTERCEPTOR_ROUTE(""), v[i].rules, SCALED_OBJECT);
		struct outcome o = import(IMPORT_CONF, yaml);

		assert_non_null(strstr(o.text, v[i].hosts));
		if (v[i].paths == NULL)
			assert_null(strstr(o.text, "paths"));
		else
			assert_non_null(strstr(o.text, v[i].paths));
		if (v[i].note != NULL && strstr(o.notes, v[i].note) == NULL)
			fail_msg("expected %s, got %s", v[i].note, o.notes);
		if (v[i].note == NULL)
			assert_null(strstr(o.notes, "spec.rules"));
		outcome_fini(&o);
		free(yaml);
	}
}

static void
static_routes_become_rules(void **state)
{
	static const char yaml[] = INTERCEPTOR_ROUTE(
		"  rules: [{hosts: [a]}]\n"
		"  staticRoutes:\n"
		"  - rules: [{paths: [{value: /ok}]}, {headers: [{name: x, value: y}]}]\n"
		"    responseMode: Always\n"
		"    response: {statusCode: 201, body: \"it's\", headers: {x-a: b}}\n"
		"  - rules: [{paths: [{value: /metrics}]}]\n"
		"    response: {statusCode: 503}\n") SCALED_OBJECT;

	(void)state;
	assert_line(IMPORT_CONF, yaml,
		    "    rule \"static-1-1\" {\n"
		    "        action = \"answer\"\n"
		    "        paths = {\"/ok\"}\n"
		    "        status = 201\n"
		    "        body = \"it's\"\n"
		    "        fields = {\"x-a: b\"}\n"
		    "    }\n"
		    "    rule \"static-1-2\" {\n"
		    "        action = \"answer\"\n"
		    "        header = \"x\"\n"
		    "        contains = \"y\"\n"
		    "        status = 201\n"
		    "        body = \"it's\"\n"
		    "        fields = {\"x-a: b\"}\n"
		    "    }\n"
		    "    rule \"static-2-1\" {\n"
		    "        action = \"serve_only\"\n"
		    "        paths = {\"/metrics\"}\n"
		    "    }\n");
	assert_line(IMPORT_ANNOTATIONS, yaml,
		    "    'activator.dev/rule.static-1-1.body=it'\\''s' \\\n");
	assert_note(yaml, "f:11: spec.staticRoutes[1]: no equal: ");
}

static void
an_interceptor_route_comes_before_an_http_scaled_object(void **state)
{
	struct outcome o = import(
		IMPORT_ANNOTATIONS,
		INTERCEPTOR_ROUTE(
			"  rules: [{hosts: [a]}]\n") "---\n"
						     "apiVersion: http.keda.sh/v1alpha1\nkind: HTTPScaledObject\nmetadata: {name: app}\n"
						     "spec: {hosts: [a], scaleTargetRef: {name: a, service: a, port: 80}}\n");

	(void)state;
	assert_int_equal(o.services, 1);
	assert_non_null(strstr(o.notes, "f:8: an InterceptorRoute has the same name"));
	outcome_fini(&o);
}

/* --- Sablier --- */

#define SABLIER(more)                                                                              \
	"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n"                          \
	"  labels: {sablier.enable: \"true\", sablier.group: ours, sablier.active.replicas: "      \
	"\"2\"}\n"                                                                                 \
	"  annotations:\n    sablier.running-hours: 22:00-06:30\n"                                 \
	"    sablier.running-days: Mon,Tue\n    sablier.active.replicas: \"3\"\n"                  \
	"spec: {template: {metadata: {labels: {app: web}}}}\n"                                     \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n"                              \
	"spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}\n"        \
	"---\n" more

#define SAID_OF_SABLIER                                                                            \
	"f:5: sablier.group: no equal: a service starts when a request for it comes, not with "    \
	"its group\n"                                                                              \
	"f:7: sablier.running-hours: the hours are of UTC, unless you set the key time_zone of "   \
	"the schedule \"running\"\n"

static void
sabliers_labels_become_annotations(void **state)
{
	(void)state;
	assert_import(
		IMPORT_ANNOTATIONS,
		SABLIER("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\n"
			"spec: {rules: [{host: a.b, http: {paths: [{path: /, backend: {service: "
			"{name: web, port: {number: 80}}}}, {path: /x, backend: {service: {name: "
			"other, port: {number: 80}}}}]}}]}\n"
			"---\nsessions: {default-duration: 30s}\n"
			"strategy: {blocking: {default-timeout: 2m}}\n"),
		false,
		"# Deployment default/web (f:1)\n"
		"kubectl -n default annotate --overwrite deployment/web \\\n"
		"    activator.dev/host=a.b \\\n"
		"    activator.dev/port=8080 \\\n"
		"    activator.dev/activation_scale=3 \\\n"
		"    'activator.dev/schedule.running.cron=0 22 * * Mon,Tue' \\\n"
		"    activator.dev/schedule.running.duration=510m \\\n"
		"    activator.dev/scale_to_zero_grace=30s \\\n"
		"    activator.dev/stable_window=30s \\\n"
		"    activator.dev/activation_timeout=2m\n"
		"# Once requests go to the activator:\n"
		"# kubectl -n default label deployment/web sablier.enable-\n",
		SAID_OF_SABLIER);
}

static void
hosts_are_found_in_routes(void **state)
{
	static const char *const v[][2] = {
		{SABLIER("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
			 "metadata: {name: r}\nspec: {hostnames: [a.b], rules: [{backendRefs: [{name: "
			 "web, port: 80}], matches: [{path: {value: /x}}]}]}\n"),
		 "activator.dev/host=a.b \\\n    activator.dev/paths=/x \\\n    "
		 "activator.dev/port=8080 "},
		{SABLIER("apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {name: r}\n"
			 "spec: {routes: [{match: \"(Host(`a.b`) || Host('c.d'))\", services: [{name: "
			 "web, port: http}]}]}\n"),
		 "activator.dev/hosts=a.b,c.d \\\n    activator.dev/port=8080 "},
		{SABLIER("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\n"
			 "spec: {defaultBackend: {service: {name: web, port: {name: http}}}}\n"),
		 "'activator.dev/host=*' \\\n    activator.dev/port=8080 "},
		{SABLIER(""), "# kubectl -n default annotate --overwrite deployment/web \\\n"
			      "#     activator.dev/host=HOST \\\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++)
		assert_line(IMPORT_ANNOTATIONS, v[i][0], v[i][1]);
	assert_note(SABLIER(""), "f:1: no Ingress, HTTPRoute or IngressRoute of the files leads to "
				 "it: put its host in place of HOST\n");
}

static void
rules_of_traefik_that_have_no_equal_are_said(void **state)
{
	static const char *const rules[] = {"Host(`a.b`) && !Path(`/x`)",
					    "HostRegexp(`.*`)",
					    "Host(`a.b`) || PathPrefix(`/x`)",
					    "Host(`a",
					    "(",
					    "Host(",
					    ""};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rules); i++) {
		char *yaml = xasprintf("%sapiVersion: traefik.io/v1\nkind: IngressRoute\n"
				       "metadata: {name: r}\nspec: {routes: [{match: \"%s\", "
				       "services: [{name: web, port: 80}]}]}\n",
				       SABLIER(""), rules[i]);
		struct outcome o = import(IMPORT_ANNOTATIONS, yaml);

		assert_true(o.is_partial);
		outcome_fini(&o);
		free(yaml);
	}
}

static void
wrong_hours_are_said(void **state)
{
	static const char *const v[] = {"9-17",	       "09:00",	      "09:00-25:00",
					"24:00-09:00", "09:0a-10:00", "-09:00"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		char *yaml = xasprintf("kind: Deployment\napiVersion: apps/v1\nmetadata: {name: a, "
				       "labels: {sablier.enable: 'true'}, annotations: "
				       "{sablier.running-hours: '%s'}}\n",
				       v[i]);
		char *note = xasprintf("f:3: sablier.running-hours: expected HH:MM-HH:MM, got "
				       "\"%s\"\n",
				       v[i]);

		assert_note(yaml, note);
		free(note);
		free(yaml);
	}
}

static void
a_compose_file_becomes_a_conf_file(void **state)
{
	(void)state;
	assert_import(
		IMPORT_ANNOTATIONS,
		"services:\n"
		"  sablier:\n"
		"    image: ${SABLIER_IMAGE:-sablierapp/sablier:latest}\n"
		"    command: [start, --sessions.default-duration=30s]\n"
		"  web:\n"
		"    image: example/web:${TAG:-1.0}\n"
		"    command: serve --title \"a b\" $$HOME\n"
		"    environment: {MODE: test}\n"
		"    volumes: [./data:/data]\n"
		"    ports: ['127.0.0.1:8080:80/tcp']\n"
		"    restart: unless-stopped\n"
		"    healthcheck: {test: [CMD, true]}\n"
		"    labels:\n"
		"    - sablier.enable=true\n"
		"    - sablier.idle.replicas=1\n"
		"    - traefik.http.routers.web.rule=Host(`a.localhost`) && PathPrefix(`/x`)\n"
		"  other: {image: example/other}\n",
		false,
		"# web (f)\n"
		"service \"web\" {\n"
		"    hosts = {\"a.localhost\"}\n"
		"    paths = {\"/x\"}\n"
		"    revision \"v1\" {\n"
		"        command = {\"docker\", \"run\", \"--rm\", \"--publish\", "
		"\"127.0.0.1:$PORT:80\", \"--env\", \"MODE=test\", \"--volume\", "
		"\"./data:/data\", \"example/web:1.0\", \"serve\", \"--title\", \"a b\", "
		"\"$HOME\"}\n"
		"        max_scale = 1\n"
		"        min_scale = 1\n"
		"        scale_to_zero_grace = 30s\n"
		"        stable_window = 30s\n"
		"    }\n"
		"}\n",
		"f:12: web.healthcheck: no equal: an instance gets requests once its port is open; "
		"see the key probe\n");
}

static void
a_container_that_lacks_something_is_written_as_a_comment(void **state)
{
	(void)state;
	assert_line(IMPORT_CONF,
		    "services:\n  web: {image: \"a:${TAG}\", labels: {sablier.enable: \"true\"}}\n",
		    "# service \"web\" {\n");
	assert_note("services:\n  web: {image: \"a:${TAG}\", labels: {sablier.enable: \"true\"}}\n",
		    "f:2: web: expected a port: ports, expose or a label of Traefik\n");
	assert_note("services:\n  web: {image: \"a:${TAG}\", labels: {sablier.enable: \"true\"}}\n",
		    "f:2: put the value of the variable in place of it: \"${TAG}\"\n");
	assert_note(
		"services:\n  web: {image: a, ports: [80], labels: {sablier.enable: \"true\"}}\n",
		"f:2: web: no label of Traefik names its host: it is web.localhost");
}

/* --- files --- */

static void
lists_are_read_and_text_that_is_no_yaml_is_refused(void **state)
{
	struct import *imp = import_new(IMPORT_CONF, "default");
	struct err e = {0};

	(void)state;
	assert_line(
		IMPORT_ANNOTATIONS,
		"{\"kind\":\"List\",\"apiVersion\":\"v1\",\"items\":[{\"kind\":"
		"\"HTTPScaledObject\",\"apiVersion\":\"http.keda.sh/v1alpha1\",\"metadata\":{"
		"\"name\":\"a\"},\"spec\":{\"hosts\":[\"h\"],\"scaleTargetRef\":{\"name\":\"d\","
		"\"service\":\"s\",\"port\":80}}}]}",
		"annotate --overwrite deployment/d");
	assert_int_equal(import_add(imp, "f", "a: [\n", 5, &e), -1);
	assert_string_equal(e.text, "f:2: did not find expected node content");
	assert_int_equal(import_add(imp, "f", "\xff", 1, &e), -1);
	assert_int_equal(import_add(imp, "f", "", 0, &e), 0);
	/* An alias that contains itself. */
	assert_int_equal(import_add(imp, "f", "kind: &a [*a]\nspec: *a\n", 23, &e), 0);
	import_run(imp);
	import_free(&imp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_http_scaled_object_becomes_annotations),
		cmocka_unit_test(an_http_scaled_object_becomes_a_section_of_the_conf_file),
		cmocka_unit_test(kedas_defaults_are_taken),
		cmocka_unit_test(mistakes_are_said_with_their_lines),
		cmocka_unit_test(other_objects_are_passed_over),
		cmocka_unit_test(a_stateful_set_belongs_into_the_conf_file),
		cmocka_unit_test(words_are_quoted_for_the_shell),
		cmocka_unit_test(an_interceptor_route_is_joined_with_its_scaled_object),
		cmocka_unit_test(without_a_deployment_the_service_is_annotated),
		cmocka_unit_test(rules_go_together_where_one_service_can_have_them),
		cmocka_unit_test(static_routes_become_rules),
		cmocka_unit_test(an_interceptor_route_comes_before_an_http_scaled_object),
		cmocka_unit_test(sabliers_labels_become_annotations),
		cmocka_unit_test(hosts_are_found_in_routes),
		cmocka_unit_test(rules_of_traefik_that_have_no_equal_are_said),
		cmocka_unit_test(wrong_hours_are_said),
		cmocka_unit_test(a_compose_file_becomes_a_conf_file),
		cmocka_unit_test(a_container_that_lacks_something_is_written_as_a_comment),
		cmocka_unit_test(lists_are_read_and_text_that_is_no_yaml_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
