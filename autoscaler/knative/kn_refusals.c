#include "autoscaler/knative/kn_refusals.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/text.h"

struct refusal {
	struct list_node node;
	char *key, *ns, *name;
	enum kn_kind kind;
	char *why;	  /* NULL: it is served again */
	bool is_reported; /* kn_refusals_next() has returned it */
	bool is_current;  /* found by the description under way */
};

static char *
key_of(enum kn_kind kind, const char *ns, const char *name)
{
	return xasprintf("%s %s/%s", kn_kind_names(kind)->kind, ns, name);
}

void
kn_refusals_init(struct kn_refusals *l)
{
	list_init(&l->list);
	hmap_init(&l->by_key);
}

static void
refusal_free(struct kn_refusals *l, struct refusal *r)
{
	list_remove(&l->list, &r->node);
	hmap_remove(&l->by_key, r->key);
	free(r->key);
	free(r->ns);
	free(r->name);
	free(r->why);
	free(r);
}

void
kn_refusals_fini(struct kn_refusals *l)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&l->list, node, tmp)
		refusal_free(l, container_of(node, struct refusal, node));
	hmap_fini(&l->by_key);
}

void
kn_refusals_add(struct kn_refusals *l, enum kn_kind kind, const char *ns, const char *name,
		const char *why)
{
	char *key = key_of(kind, ns, name);
	struct refusal *r = hmap_find(&l->by_key, key);

	if (r == NULL) {
		r = xcalloc(1, sizeof *r);
		r->key = xstrdup(key);
		r->ns = xstrdup(ns);
		r->name = xstrdup(name);
		r->kind = kind;
		list_push(&l->list, &r->node);
		hmap_put(&l->by_key, key, r);
	}
	if (!r->is_current && !text_equal(r->why, why)) {
		log_warn(NULL, "a host of Knative's objects is not served",
			 "kind=%s object=%s/%s err=%s", kn_kind_names(kind)->kind, ns, name, why);
		r->is_reported = false;
		text_replace(&r->why, why);
	}
	r->is_current = true;
	free(key);
}

void
kn_refusals_end(struct kn_refusals *l)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&l->list, node, tmp) {
		struct refusal *r = container_of(node, struct refusal, node);

		if (!r->is_current && r->why != NULL) {
			r->is_reported = false;
			text_replace(&r->why, NULL);
		} else if (!r->is_current && r->is_reported) {
			refusal_free(l, r);
			continue;
		}
		r->is_current = false;
	}
}

const char *
kn_refusals_find(const struct kn_refusals *l, enum kn_kind kind, const char *ns, const char *name)
{
	char *key = key_of(kind, ns, name);
	const struct refusal *r = hmap_find(&l->by_key, key);

	free(key);
	return r == NULL ? NULL : r->why;
}

bool
kn_refusals_next(struct kn_refusals *l, enum kn_kind *kind, const char **ns, const char **name)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&l->list, node, tmp) {
		struct refusal *r = container_of(node, struct refusal, node);

		if (r->is_reported)
			continue;
		r->is_reported = true;
		*kind = r->kind;
		*ns = r->ns;
		*name = r->name;
		return true;
	}
	return false;
}
