#include "autoscaler/knative/kn_vain.h"

#include <jansson.h>
#include <stdlib.h>

#include "autoscaler/knative/kn_json.h"
#include "common/text.h"

void
kn_vain_init(struct kn_vain *v)
{
	hmap_init(&v->writes);
}

void
kn_vain_fini(struct kn_vain *v)
{
	size_t at = 0;
	void *text;

	while (hmap_next(&v->writes, &at, NULL, &text))
		free(text);
	hmap_fini(&v->writes);
}

static char *
key_of(enum kn_kind kind, const char *ns, const char *name, bool is_status)
{
	return xasprintf("%d %s/%s%s", (int)kind, ns, name, is_status ? " status" : "");
}

static char *
key_of_write(const struct kn_write *w)
{
	return key_of(w->kind, w->ns, w->name, w->verb == KN_PUT_STATUS);
}

static void
add_copy(json_t *list, const json_t *value)
{
	CHECK(json_array_append_new(list, value == NULL ? json_null() : kn_json_copy(value)) == 0);
}

/* What the answer to the write follows from, but for the status of an object whose spec is written.
 * The caller's. */
static char *
text_of(const struct kn_write *w, const struct kn_object *o)
{
	const json_t *metadata = json_object_get(w->body, "metadata");
	json_t *present = kn_object_json(o), *list = json_array();
	char *text;

	if (w->verb == KN_PUT_STATUS) {
		add_copy(list, json_object_get(w->body, "status"));
		add_copy(list, json_object_get(present, "status"));
	} else {
		add_copy(list, json_object_get(w->body, "spec"));
		add_copy(list, json_object_get(metadata, "labels"));
		add_copy(list, json_object_get(metadata, "annotations"));
		add_copy(list, json_object_get(present, "spec"));
		add_copy(list, kn_json_at(present, "metadata", "labels", NULL));
		add_copy(list, kn_json_at(present, "metadata", "annotations", NULL));
	}
	text = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS);
	CHECK(text != NULL);
	json_decref(list);
	json_decref(present);
	return text;
}

bool
kn_vain_add(struct kn_vain *v, const struct kn_write *w, const struct kn_object *o)
{
	char *key = key_of_write(w), *text = text_of(w, o), *before;
	bool is_news;

	before = hmap_put(&v->writes, key, text);
	is_news = !text_equal(before, text);
	free(before);
	free(key);
	return is_news;
}

bool
kn_vain_has(const struct kn_vain *v, const struct kn_write *w, const struct kn_object *o)
{
	char *key = key_of_write(w), *text;
	const char *before = hmap_find(&v->writes, key);
	bool has;

	free(key);
	if (before == NULL || o == NULL || w->body == NULL || w->verb == KN_CREATE)
		return false;
	text = text_of(w, o);
	has = text_equal(before, text);
	free(text);
	return has;
}

void
kn_vain_forget(struct kn_vain *v, const struct kn_object *o)
{
	bool is_status = false;

	do {
		char *key = key_of(o->kind, o->ns, o->name, is_status);

		free(hmap_remove(&v->writes, key));
		free(key);
		is_status = !is_status;
	} while (is_status);
}
