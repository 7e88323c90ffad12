#include "autoscaler/import/import_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_values.h"
#include "common/settings_units.h"
#include "common/settings_value.h"
#include "common/text.h"

/* --- what is said --- */

static void
put_note(struct import *imp, const struct import_object *o, struct kube_node at, const char *path,
	 const char *text)
{
	char *line = xasprintf("%s:%u: %s%s%s", o->origin,
			       kube_node_line(at.at == NULL ? o->root : at), path,
			       path[0] == '\0' ? "" : ": ", text);

	text_make_printable(line);
	strbuf_addf(&imp->notes, "%s\n", line);
	free(line);
}

void
import_note(struct import *imp, const struct import_object *o, struct kube_node at,
	    const char *path, const char *fmt, ...)
{
	char text[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	put_note(imp, o, at, path, text);
}

void
import_fail(struct import *imp, const struct import_object *o, struct kube_node at,
	    const char *path, const char *fmt, ...)
{
	char text[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	put_note(imp, o, at, path, text);
	imp->is_partial = true;
}

/* --- settings --- */

struct import_service *
import_add_service(struct import *imp, const struct import_object *from, const char *ns,
		   const char *name)
{
	struct import_service *s = xcalloc(1, sizeof *s);

	s->from = from;
	s->ns = ns;
	s->name = ns == NULL ? xstrdup(name) : xasprintf("%s.%s", ns, name);
	strbuf_init(&s->after, 0);
	imp->services = xrealloc(imp->services, (imp->services_n + 1) * sizeof *imp->services);
	imp->services[imp->services_n++] = s;
	return s;
}

static struct import_setting *
find_setting(const struct import_service *s, const char *section, const char *key)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (strcmp(s->v[i].key->name, key) == 0 && text_equal(s->v[i].section, section))
			return &s->v[i];
	return NULL;
}

bool
import_has(const struct import_service *s, const char *key)
{
	return find_setting(s, NULL, key) != NULL;
}

static unsigned
where_of(const char *section)
{
	if (section == NULL)
		return IN_SERVICE | IN_REVISION;
	return strncmp(section, "rule.", 5) == 0 ? IN_RULE : IN_SCHEDULE;
}

static void
add_text(struct str_list *l, const char *text, bool is_list)
{
	if (!is_list)
		str_list_fini(l);
	l->v = xrealloc(l->v, (l->n + 2) * sizeof *l->v);
	l->v[l->n++] = xstrdup(text);
	l->v[l->n] = NULL;
}

static bool
has_text(const struct str_list *l, const char *text)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->v[i], text) == 0)
			return true;
	return false;
}

bool
import_set(struct import *imp, struct import_service *s, struct kube_node at, const char *path,
	   const char *section, const char *key, const char *text)
{
	const struct key *k = settings_key_find(key, where_of(section));
	struct import_setting *setting = find_setting(s, section, key);
	struct err e = {0};

	CHECK(k != NULL);
	if (text == NULL) {
		import_fail(imp, s->from, at, path, "expected one value, for the key %s", key);
		return false;
	}
	if (value_check(k, text, &e) < 0) {
		import_fail(imp, s->from, at, path, "the key %s takes another value: %s", key,
			    e.text);
		return false;
	}
	if (imp->form == IMPORT_ANNOTATIONS && s->ns != NULL && value_is_list(k) &&
	    strchr(text, ',') != NULL) {
		import_fail(imp, s->from, at, path,
			    "the key %s of an annotation takes no comma within an element, as in "
			    "\"%s\": see --as conf",
			    key, text);
		return false;
	}
	if (setting == NULL) {
		s->v = xrealloc(s->v, (s->n + 1) * sizeof *s->v);
		setting = &s->v[s->n++];
		*setting = (struct import_setting){.section = text_copy(section), .key = k};
	}
	/* The elements of `command` may repeat; hosts may not. */
	if (!value_is_list(k) || k->group == GROUP_LAUNCH || !has_text(&setting->texts, text))
		add_text(&setting->texts, text, value_is_list(k));
	return true;
}

void
import_default(struct import *imp, struct import_service *s, const char *key, const char *text)
{
	if (!import_has(s, key))
		(void)import_set(imp, s, s->from->root, "", NULL, key, text);
}

bool
import_set_duration(struct import *imp, struct import_service *s, struct kube_node at,
		    const char *path, const char *key, const char *text)
{
	int64_t ns = 0;
	struct strbuf value;
	bool is_set;

	if (text == NULL || kn_value_duration(text, &ns) < 0) {
		import_fail(imp, s->from, at, path, "expected a duration such as 90s, got \"%s\"",
			    text == NULL ? "" : text);
		return false;
	}
	strbuf_init(&value, 0);
	units_format(KEY_DURATION, (double)ns, &value);
	is_set = import_set(imp, s, at, path, NULL, key, strbuf_str(&value));
	strbuf_fini(&value);
	return is_set;
}

bool
import_set_seconds(struct import *imp, struct import_service *s, struct kube_node at,
		   const char *path, const char *key, const char *text)
{
	int64_t seconds;
	char duration[40];

	if (text == NULL || kn_value_int(text, 0, INT32_MAX, &seconds) < 0) {
		import_fail(imp, s->from, at, path, "expected a number of seconds, got \"%s\"",
			    text == NULL ? "" : text);
		return false;
	}
	snprintf(duration, sizeof duration, "%llds", (long long)seconds);
	return import_set_duration(imp, s, at, path, key, duration);
}

void
import_set_target(struct import *imp, struct import_service *s, struct kube_node at,
		  const char *path, const char *api, const char *kind, const char *name)
{
	free(s->annotated);
	free(s->workload);
	s->annotated = NULL;
	if (strcmp(kind, "Deployment") == 0) {
		s->annotated = xasprintf("deployment/%s", name);
		s->workload = xasprintf("%s/%s", s->ns, name);
		return;
	}
	s->workload = xasprintf("%s/%s/%s/%s", api, kind, s->ns, name);
	if (imp->form == IMPORT_ANNOTATIONS)
		import_fail(imp, s->from, at, path,
			    "annotations make services of Deployments alone: a %s belongs into the "
			    "conf file (--as conf)",
			    kind);
}

/* --- objects --- */

const struct import_object *
import_find(const struct import *imp, const char *api, const char *kind, const char *ns,
	    const char *name)
{
	size_t i;

	for (i = 0; i < imp->objects_n; i++) {
		const struct import_object *o = &imp->objects[i];

		if (strcmp(o->kind, kind) == 0 && strcmp(o->ns, ns) == 0 &&
		    strcmp(o->name, name) == 0 &&
		    (api == NULL || strncmp(o->api, api, strlen(api)) == 0))
			return o;
	}
	return NULL;
}

static bool
selects(struct kube_node selector, struct kube_node labels)
{
	size_t n = kube_node_size(selector), i;

	for (i = 0; i < n; i++) {
		const char *key = kube_node_text(kube_node_key(selector, i));
		const char *value = kube_node_text(kube_node_element(selector, i));
		const char *label = key == NULL ? NULL
						: kube_node_text(kube_node_member(labels, key));

		if (value == NULL || !text_equal(value, label))
			return false;
	}
	return n > 0;
}

struct kube_node
import_member(struct kube_node n, const char *a, const char *b)
{
	return kube_node_member(kube_node_member(n, a), b);
}

const struct import_object *
import_selected(const struct import *imp, const struct import_object *service)
{
	struct kube_node selector = import_member(service->root, "spec", "selector");
	size_t i;

	for (i = 0; i < imp->objects_n; i++) {
		const struct import_object *o = &imp->objects[i];
		struct kube_node pod = import_member(o->root, "spec", "template");

		if (strcmp(o->kind, "Deployment") == 0 && strcmp(o->ns, service->ns) == 0 &&
		    selects(selector, import_member(pod, "metadata", "labels")))
			return o;
	}
	return NULL;
}

/* The port of a Service, by its number or name. */
static struct kube_node
port_of(const struct import_object *service, const char *port, bool is_name)
{
	struct kube_node ports = import_member(service->root, "spec", "ports");
	size_t i;

	for (i = 0; i < kube_node_size(ports); i++) {
		struct kube_node at = kube_node_element(ports, i);
		const char *text = kube_node_text(kube_node_member(at, is_name ? "name" : "port"));

		if (text_equal(text, port))
			return at;
	}
	return (struct kube_node){0};
}

void
import_set_port(struct import *imp, struct import_service *s, struct kube_node at, const char *path,
		const char *service, const char *port, bool is_name)
{
	const struct import_object *o = import_find(imp, "v1", "Service", s->ns, service);
	struct kube_node entry;
	const char *target;

	if (o == NULL && is_name) {
		import_note(imp, s->from, at, path,
			    "the Service \"%s\" is in no file: the pods' only port is used, or "
			    "the one named http, unless you set the key port",
			    service);
		return;
	}
	if (o == NULL) {
		import_note(imp, s->from, at, path,
			    "the Service \"%s\" is in no file: its port %s is taken for the "
			    "pods' port, too",
			    service, port);
		(void)import_set(imp, s, at, path, NULL, "port", port);
		return;
	}
	entry = port_of(o, port, is_name);
	target = kube_node_text(kube_node_member(entry, "targetPort"));
	if (entry.at == NULL)
		import_fail(imp, s->from, at, path, "the Service \"%s\" has no port \"%s\"",
			    service, port);
	else if (target != NULL || !is_name)
		(void)import_set(imp, s, at, path, NULL, "port", target != NULL ? target : port);
	else
		(void)import_set(imp, s, at, path, NULL, "port",
				 kube_node_text(kube_node_member(entry, "port")));
}

/* --- walking fields --- */

char *
import_path(const char *path, const char *name)
{
	return path[0] == '\0' ? xstrdup(name) : xasprintf("%s.%s", path, name);
}

void
import_walk(struct import *imp, struct import_service *s, struct kube_node map, const char *path,
	    const struct import_field *fields, size_t n)
{
	size_t i, k;

	for (i = 0; i < kube_node_size(map); i++) {
		struct kube_node value = kube_node_element(map, i);
		const char *name = kube_node_text(kube_node_key(map, i));
		const char *text = kube_node_text(value);
		char *at = import_path(path, name == NULL ? "" : name);

		for (k = 0; k < n && (name == NULL || strcmp(fields[k].name, name) != 0); k++)
			;
		if (k == n)
			import_note(imp, s->from, value, at, "not known here, and ignored");
		else if (fields[k].take != NULL && (text != NULL || kube_node_size(value) > 0))
			fields[k].take(imp, s, value, at);
		else if (fields[k].take == NULL && fields[k].why != NULL &&
			 !(text != NULL && text_equal(fields[k].silent, text)))
			import_note(imp, s->from, value, at, "%s", fields[k].why);
		free(at);
	}
}
