#include "autoscaler/import/import.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/import/import_impl.h"
#include "autoscaler/knative/kn_values.h"
#include "common/settings_units.h"
#include "common/settings_value.h"
#include "common/text.h"

#define DEPTH_MOST 3 /* Lists within Lists */

/* --- making and ending --- */

struct import *
import_new(enum import_form form, const char *ns)
{
	struct import *imp = xcalloc(1, sizeof *imp);

	imp->form = form;
	imp->ns = xstrdup(ns);
	strbuf_init(&imp->notes, 0);
	return imp;
}

static void
free_service(struct import_service *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		free(s->v[i].section);
		str_list_fini(&s->v[i].texts);
	}
	free(s->v);
	free(s->name);
	free(s->annotated);
	free(s->workload);
	strbuf_fini(&s->after);
	free(s);
}

void
import_free(struct import **import)
{
	struct import *imp = *import;
	size_t i;

	if (imp == NULL)
		return;
	*import = NULL;
	for (i = 0; i < imp->services_n; i++)
		free_service(imp->services[i]);
	free(imp->services);
	free(imp->objects);
	for (i = 0; i < imp->files_n; i++) {
		kube_yaml_free(&imp->files[i]);
		free(imp->origins[i]);
	}
	free(imp->files);
	free(imp->origins);
	strbuf_fini(&imp->notes);
	free(imp->session_duration);
	free(imp->blocking_timeout);
	free(imp->ns);
	free(imp);
}

/* --- what was made --- */

const char *
import_notes(const struct import *imp)
{
	return strbuf_str(&imp->notes);
}

size_t
import_services(const struct import *imp)
{
	return imp->services_n;
}

bool
import_is_partial(const struct import *imp)
{
	return imp->is_partial;
}

/* --- the stream --- */

static const char *
text_or(struct kube_node n, const char *otherwise)
{
	const char *text = kube_node_text(n);

	return text == NULL ? otherwise : text;
}

static void
add_object(struct import *imp, const char *origin, struct kube_node root, unsigned depth)
{
	struct kube_node items = kube_node_member(root, "items");
	const char *kind = text_or(kube_node_member(root, "kind"), "");
	size_t n = strlen(kind), i;

	if (kube_node_type(root) == KUBE_NODE_NONE ||
	    (kube_node_type(root) == KUBE_NODE_TEXT && kube_node_text(root) == NULL))
		return;
	if (n >= 4 && strcmp(kind + n - 4, "List") == 0 && depth < DEPTH_MOST &&
	    kube_node_type(items) == KUBE_NODE_LIST) {
		for (i = 0; i < kube_node_size(items); i++)
			add_object(imp, origin, kube_node_element(items, i), depth + 1);
		return;
	}
	imp->objects = xrealloc(imp->objects, (imp->objects_n + 1) * sizeof *imp->objects);
	imp->objects[imp->objects_n++] = (struct import_object){
		.origin = origin,
		.root = root,
		.api = text_or(kube_node_member(root, "apiVersion"), ""),
		.kind = kind,
		.ns = text_or(import_member(root, "metadata", "namespace"), imp->ns),
		.name = text_or(import_member(root, "metadata", "name"), "")};
}

int
import_add(struct import *imp, const char *origin, const char *text, size_t n, struct err *e)
{
	struct kube_yaml *y = kube_yaml_parse(text, n, origin, e);
	size_t i;

	if (y == NULL)
		return -1;
	imp->files = xrealloc(imp->files, (imp->files_n + 1) * sizeof(struct kube_yaml *));
	imp->origins = xrealloc(imp->origins, (imp->files_n + 1) * sizeof(char *));
	imp->files[imp->files_n] = y;
	imp->origins[imp->files_n] = xstrdup(origin);
	for (i = 0; i < kube_yaml_size(y); i++)
		add_object(imp, imp->origins[imp->files_n], kube_yaml_root(y, i), 0);
	imp->files_n++;
	return 0;
}

static bool
is_sablier_conf(const struct import_object *o)
{
	return o->kind[0] == '\0' && (kube_node_member(o->root, "sessions").at != NULL ||
				      kube_node_member(o->root, "strategy").at != NULL ||
				      kube_node_member(o->root, "provider").at != NULL);
}

static bool
is_compose(const struct import_object *o)
{
	return o->kind[0] == '\0' &&
	       kube_node_type(kube_node_member(o->root, "services")) == KUBE_NODE_MAP;
}

static void
translate(struct import *imp, const struct import_object *o)
{
	if (is_compose(o))
		import_compose(imp, o);
	else if (is_sablier_conf(o))
		; /* it was read before */
	else if (o->kind[0] == '\0')
		import_fail(imp, o, o->root, "",
			    "expected an object of Kubernetes with a kind, a Compose file, or the "
			    "conf file of Sablier");
	else if (import_is_keda(o))
		import_keda(imp, o);
	else if (import_is_sablier(o))
		import_sablier(imp, o);
}

void
import_run(struct import *imp)
{
	size_t i;

	for (i = 0; i < imp->objects_n; i++)
		if (is_sablier_conf(&imp->objects[i]))
			import_sablier_conf(imp, &imp->objects[i]);
	for (i = 0; i < imp->objects_n; i++)
		translate(imp, &imp->objects[i]);
	import_check(imp);
}
