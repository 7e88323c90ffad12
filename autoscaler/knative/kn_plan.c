#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn.h"
#include "autoscaler/kube/kube_fields.h"

void
kn_plan_init(struct kn_plan *p)
{
	*p = (struct kn_plan){.writes_n = 0};
}

static void
write_fini(struct kn_write *w)
{
	json_decref(w->body);
	free(w->rv);
	free(w->uid);
	free(w->name);
	free(w->ns);
}

void
kn_plan_fini(struct kn_plan *p)
{
	size_t i;

	for (i = 0; i < p->writes_n; i++)
		write_fini(&p->writes[i]);
	for (i = 0; i < p->tracked_n; i++) {
		free(p->tracked[i].name);
		free(p->tracked[i].ns);
	}
	for (i = 0; i < p->notes_n; i++) {
		free(p->notes[i].message);
		free(p->notes[i].reason);
	}
	free(p->notes);
	free(p->tracked);
	free(p->writes);
	kn_plan_init(p);
}

static void
add(struct kn_plan *p, const struct kn_write *w)
{
	p->writes = xrealloc(p->writes, (p->writes_n + 1) * sizeof *p->writes);
	p->writes[p->writes_n++] = *w;
}

/* A write to an object that exists. */
static void
add_to(struct kn_plan *p, enum kn_verb verb, const struct kn_object *o, json_t *body)
{
	add(p, &(struct kn_write){.verb = verb,
				  .kind = o->kind,
				  .ns = xstrdup(o->ns),
				  .name = xstrdup(o->name),
				  .uid = xstrdup(o->uid),
				  .rv = xstrdup(o->rv),
				  .body = body});
}

/* metadata, which is made where there is none. */
static json_t *
metadata_of(json_t *object)
{
	json_t *meta = json_object_get(object, "metadata");

	if (json_is_object(meta))
		return meta;
	meta = json_object();
	json_object_set_new(object, "metadata", meta);
	return meta;
}

void
kn_plan_create(struct kn_plan *p, enum kn_kind kind, const char *ns, json_t *object)
{
	const struct kn_kind_names *k = kn_kind_names(kind);
	json_t *meta = metadata_of(object);

	json_object_set_new(object, "apiVersion", json_string(k->api_version));
	json_object_set_new(object, "kind", json_string(k->kind));
	json_object_set_new(meta, "namespace", json_string(ns));
	add(p, &(struct kn_write){.verb = KN_CREATE,
				  .kind = kind,
				  .ns = xstrdup(ns),
				  .name = xstrdup(kube_field_text_or_empty(meta, "name")),
				  .body = object});
}

void
kn_plan_replace(struct kn_plan *p, const struct kn_object *o, json_t *object)
{
	add_to(p, KN_REPLACE, o, object);
}

void
kn_plan_patch(struct kn_plan *p, const struct kn_object *o, json_t *patch)
{
	json_object_set_new(metadata_of(patch), "uid", json_string(o->uid));
	add_to(p, KN_PATCH, o, patch);
}

void
kn_plan_status(struct kn_plan *p, const struct kn_object *o, json_t *status)
{
	json_t *object = kn_object_json(o);

	if (json_equal(json_object_get(object, "status"), status)) {
		json_decref(object);
		json_decref(status);
		return;
	}
	json_object_set_new(object, "status", status);
	add_to(p, KN_PUT_STATUS, o, object);
}

void
kn_plan_status_is_passing(struct kn_plan *p)
{
	p->has_passing_status = p->writes_n > 0 && p->writes[p->writes_n - 1].verb == KN_PUT_STATUS;
}

void
kn_plan_drop_passing_status(struct kn_plan *p)
{
	CHECK(p->has_passing_status);
	write_fini(&p->writes[--p->writes_n]);
	p->has_passing_status = false;
}

void
kn_plan_delete(struct kn_plan *p, const struct kn_object *o)
{
	add_to(p, KN_DELETE, o, NULL);
}

void
kn_plan_track(struct kn_plan *p, enum kn_kind kind, const char *ns, const char *name)
{
	size_t i;

	for (i = 0; i < p->tracked_n; i++)
		if (p->tracked[i].kind == kind && strcmp(p->tracked[i].ns, ns) == 0 &&
		    strcmp(p->tracked[i].name, name) == 0)
			return;
	p->tracked = xrealloc(p->tracked, (p->tracked_n + 1) * sizeof *p->tracked);
	p->tracked[p->tracked_n++] = (struct kn_tracked){kind, xstrdup(ns), xstrdup(name)};
}

void
kn_plan_again(struct kn_plan *p, int64_t after_ns)
{
	int64_t after = MAX(after_ns, 1);

	p->again_ns = p->again_ns == 0 ? after : MIN(p->again_ns, after);
}

void
kn_plan_event(struct kn_plan *p, bool is_warning, const char *reason, const char *message)
{
	p->notes = xrealloc(p->notes, (p->notes_n + 1) * sizeof *p->notes);
	p->notes[p->notes_n++] = (struct kn_note){.after = p->writes_n,
						  .is_warning = is_warning,
						  .reason = xstrdup(reason),
						  .message = xstrdup(message)};
}
