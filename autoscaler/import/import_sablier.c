/* Sablier (read at ace263514d): the labels and annotations sablier.* of a Deployment or
 * StatefulSet, and its conf file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/import/import_impl.h"
#include "autoscaler/knative/kn_values.h"
#include "common/cron.h"
#include "common/text.h"

#define PREFIX "sablier."
#define DAY_MINUTES (24 * 60)
#define RUNNING "schedule.running"
#define STABLE_WINDOW (60 * INT64_C(1000000000)) /* its default */

/* --- Sablier as a whole --- */

void
import_sablier_option(struct import *imp, const char *option)
{
	static const char session[] = "--sessions.default-duration=";
	static const char blocking[] = "--strategy.blocking.default-timeout=";

	if (strncmp(option, session, strlen(session)) == 0)
		text_replace(&imp->session_duration, option + strlen(session));
	else if (strncmp(option, blocking, strlen(blocking)) == 0)
		text_replace(&imp->blocking_timeout, option + strlen(blocking));
}

void
import_sablier_conf(struct import *imp, const struct import_object *o)
{
	struct kube_node sessions = kube_node_member(o->root, "sessions");
	struct kube_node strategy = kube_node_member(o->root, "strategy");
	struct kube_node blocking = kube_node_member(strategy, "blocking");
	const char *duration = kube_node_text(kube_node_member(sessions, "default-duration"));
	const char *timeout = kube_node_text(kube_node_member(blocking, "default-timeout"));

	if (duration != NULL)
		text_replace(&imp->session_duration, duration);
	if (timeout != NULL)
		text_replace(&imp->blocking_timeout, timeout);
	if (kube_node_member(strategy, "dynamic").at != NULL)
		import_note(imp, o, kube_node_member(strategy, "dynamic"), "strategy.dynamic",
			    "no equal: themes; the key waiting_page of a service names a page of "
			    "yours, or is default");
}

/* An instance stays for the session after the last request: for scale_to_zero_grace, or for
 * stable_window if that is longer. */
void
import_sablier_defaults(struct import *imp, struct import_service *s)
{
	const char *session = imp->session_duration == NULL ? "5m" : imp->session_duration;
	struct kube_node at = s->from->root;
	int64_t ns;

	(void)import_set_duration(imp, s, at, "sessions.default-duration", "scale_to_zero_grace",
				  session);
	if (kn_value_duration(session, &ns) == 0 && ns < STABLE_WINDOW)
		(void)import_set_duration(imp, s, at, "sessions.default-duration", "stable_window",
					  session);
	if (imp->blocking_timeout != NULL)
		(void)import_set_duration(imp, s, at, "strategy.blocking.default-timeout",
					  "activation_timeout", imp->blocking_timeout);
}

/* --- labels --- */

/* "09:30" in minutes of the day; -1: it is none. */
static int
minutes_of(const char *text, size_t n)
{
	uint32_t hours, minutes;

	if (n != 5 || text[2] != ':' || !text_number(text, 2, 24, &hours) ||
	    !text_number(text + 3, 2, 59, &minutes) || hours * 60 + minutes > DAY_MINUTES)
		return -1;
	return (int)(hours * 60 + minutes);
}

static void
take_hours(struct import *imp, struct import_service *s, const struct import_label *hours,
	   const char *days)
{
	const char *dash = strchr(hours->text, '-');
	int from = dash == NULL ? -1 : minutes_of(hours->text, (size_t)(dash - hours->text));
	int to = dash == NULL ? -1 : minutes_of(dash + 1, strlen(dash + 1));
	char *cron, duration[20];
	struct cron parsed;
	struct err e;

	if (from < 0 || to < 0 || from == DAY_MINUTES) {
		import_fail(imp, s->from, hours->at, PREFIX "running-hours",
			    "expected HH:MM-HH:MM, got \"%s\"", hours->text);
		return;
	}
	snprintf(duration, sizeof duration, "%dm", to > from ? to - from : to - from + DAY_MINUTES);
	cron = xasprintf("%d %d * * %s", from % 60, from / 60, days == NULL ? "*" : days);
	if (cron_parse(&parsed, cron, &e) < 0) {
		import_fail(imp, s->from, hours->at, PREFIX "running-days",
			    "expected days such as Mon,Tue, got \"%s\"", days == NULL ? "" : days);
	} else {
		(void)import_set(imp, s, hours->at, PREFIX "running-hours", RUNNING, "cron", cron);
		(void)import_set(imp, s, hours->at, PREFIX "running-hours", RUNNING, "duration",
				 duration);
		import_note(
			imp, s->from, hours->at, PREFIX "running-hours",
			"the hours are of UTC, unless you set the key time_zone of the schedule "
			"\"running\"");
	}
	free(cron);
}

static const struct import_label *
find_label(const struct import_label *v, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return &v[i];
	return NULL;
}

static void
take_label(struct import *imp, struct import_service *s, const struct import_label *l)
{
	static const struct {
		const char *name, *key, *silent, *why;
	} known[] = {
		{"enable", NULL, NULL, NULL},
		{"running-hours", NULL, NULL, NULL}, /* taken together */
		{"running-days", NULL, NULL, NULL},
		{"active.replicas", "activation_scale", "1", NULL},
		{"idle.replicas", "min_scale", "0", NULL},
		{"group", NULL, "default",
		 "no equal: a service starts when a request for it comes, not with its group"},
		{"anti-affinity", NULL, NULL, "no equal: no service is stopped for another one"},
		{"ready-after", NULL, NULL,
		 "no equal: an instance gets requests once it answers; the key probe says what it is "
		 "asked"},
		{"ready-on-start", NULL, "false",
		 "no equal: an instance gets requests once it answers"},
		{"idle.", NULL, NULL, "no equal: limits of an instance stay as they are"},
		{"active.", NULL, NULL, "no equal: limits of an instance stay as they are"},
	};
	char *path = xasprintf(PREFIX "%s", l->name);
	size_t i, n;

	for (i = 0; i < ARRAY_LEN(known); i++) {
		n = strlen(known[i].name);
		if (strcmp(known[i].name, l->name) == 0 ||
		    (known[i].name[n - 1] == '.' && strncmp(known[i].name, l->name, n) == 0))
			break;
	}
	if (i == ARRAY_LEN(known))
		import_note(imp, s->from, l->at, path, "not known here, and ignored");
	else if (text_equal(known[i].silent, l->text))
		;
	else if (known[i].key != NULL)
		(void)import_set(imp, s, l->at, path, NULL, known[i].key, l->text);
	else if (known[i].why != NULL)
		import_note(imp, s->from, l->at, path, "%s", known[i].why);
	free(path);
}

void
import_sablier_labels(struct import *imp, struct import_service *s, const struct import_label *v,
		      size_t n)
{
	const struct import_label *hours = find_label(v, n, "running-hours");
	const struct import_label *days = find_label(v, n, "running-days");
	size_t i;

	for (i = 0; i < n; i++)
		take_label(imp, s, &v[i]);
	if (hours != NULL)
		take_hours(imp, s, hours, days == NULL ? NULL : days->text);
}

/* --- Deployment and StatefulSet --- */

static struct kube_node
metadata_of(const struct import_object *o, const char *which)
{
	return kube_node_member(kube_node_member(o->root, "metadata"), which);
}

bool
import_is_sablier(const struct import_object *o)
{
	return text_equal(
		kube_node_text(kube_node_member(metadata_of(o, "labels"), PREFIX "enable")),
		"true");
}

/* Add those of Sablier's in map to v, but those that `over` has as well. */
static void
add_labels(struct import_label *v, size_t *n, struct kube_node map, struct kube_node over)
{
	size_t i;

	for (i = 0; i < kube_node_size(map); i++) {
		struct kube_node at = kube_node_element(map, i);
		const char *key = kube_node_text(kube_node_key(map, i));
		const char *text = kube_node_text(at);

		if (key == NULL || text == NULL || strncmp(key, PREFIX, strlen(PREFIX)) != 0 ||
		    kube_node_member(over, key).at != NULL)
			continue;
		v[(*n)++] = (struct import_label){
			.name = key + strlen(PREFIX), .text = text, .at = at};
	}
}

/* The Services of the files that select its pods, and what leads to them. */
static void
take_routes(struct import *imp, struct import_service *s, const struct import_object *o)
{
	size_t i;

	for (i = 0; i < imp->objects_n; i++)
		if (strcmp(imp->objects[i].kind, "Service") == 0 &&
		    import_selected(imp, &imp->objects[i]) == o)
			import_routes_to(imp, s, imp->objects[i].name);
	if (!import_has(s, "hosts")) {
		import_fail(
			imp, o, o->root, "",
			"no Ingress, HTTPRoute or IngressRoute of the files leads to it: put its "
			"host in place of HOST");
		(void)import_set(imp, s, o->root, "", NULL, "hosts", "HOST");
		s->is_partial = true;
	}
}

void
import_sablier(struct import *imp, const struct import_object *o)
{
	struct kube_node labels = metadata_of(o, "labels");
	struct kube_node annotations = metadata_of(o, "annotations");
	size_t most = kube_node_size(labels) + kube_node_size(annotations), n = 0;
	struct import_label *v = xcalloc(most + 1, sizeof *v);
	struct import_service *s;

	if (strcmp(o->kind, "Deployment") != 0 && strcmp(o->kind, "StatefulSet") != 0) {
		import_fail(imp, o, o->root, "kind",
			    "no equal: a %s is not scaled by a number of replicas", o->kind);
		free(v);
		return;
	}
	s = import_add_service(imp, o, o->ns, o->name);
	import_set_target(imp, s, o->root, "kind", o->api, o->kind, o->name);
	take_routes(imp, s, o);
	add_labels(v, &n, labels, annotations);
	add_labels(v, &n, annotations, (struct kube_node){0});
	import_sablier_labels(imp, s, v, n);
	import_sablier_defaults(imp, s);
	strbuf_adds(&s->after, "kubectl -n ");
	import_put_word(&s->after, s->ns);
	strbuf_addf(&s->after, " label %s/", o->kind[0] == 'D' ? "deployment" : "statefulset");
	import_put_word(&s->after, o->name);
	strbuf_adds(&s->after, " sablier.enable-\n");
	free(v);
}
