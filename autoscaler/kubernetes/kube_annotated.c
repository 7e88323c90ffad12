#include "autoscaler/kubernetes/kube_annotated.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_claims.h"
#include "common/hmap.h"
#include "common/list.h"
#include "common/strbuf.h"
#include "common/text.h"

struct annotated_object {
	struct list_node node;
	struct kube_object o;
	char *key;
	bool is_seen;		   /* while its kind and namespace are told of anew */
	bool is_dirty;		   /* `next` is not made of what it is now */
	struct service_conf *next; /* as it wants to be now; NULL: held already, or wrong */
	struct service_conf *held; /* as it holds; NULL: it does not */
	char *why;		   /* refused; NULL: not */
	bool is_told;
};

struct retired {
	struct service_conf **v;
	size_t n;
	struct service_conf *array; /* that was handed out */
};

struct kube_annotated {
	struct list entries;
	struct hmap by_key;
	const struct settings *settings; /* that `next` was made with; only compared */
	struct retired now, before;	 /* replaced since the last call, and before it */
	struct service_conf *array;
};

/* --- the set --- */

static char *
key_of(enum kube_object_kind kind, const char *ns, const char *name)
{
	return xasprintf("%s/%s/%s", kube_object_kind_name(kind), ns, name);
}

struct kube_annotated *
kube_annotated_new(void)
{
	struct kube_annotated *f = xcalloc(1, sizeof *f);

	list_init(&f->entries);
	hmap_init(&f->by_key);
	return f;
}

/* To be freed when nobody can have it any more. */
static void
retire(struct kube_annotated *f, struct service_conf **sp)
{
	if (*sp == NULL)
		return;
	f->now.v = xrealloc(f->now.v, (f->now.n + 1) * sizeof *f->now.v);
	f->now.v[f->now.n++] = *sp;
	*sp = NULL;
}

static void
retired_free(struct retired *r)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		settings_service_free(&r->v[i]);
	free(r->v);
	free(r->array);
	*r = (struct retired){.n = 0};
}

static void
entry_free(struct kube_annotated *f, struct annotated_object *e)
{
	list_remove(&f->entries, &e->node);
	hmap_remove(&f->by_key, e->key);
	settings_service_free(&e->next);
	retire(f, &e->held);
	kube_object_fini(&e->o);
	free(e->why);
	free(e->key);
	free(e);
}

void
kube_annotated_free(struct kube_annotated **fp)
{
	struct kube_annotated *f = *fp;
	struct list_node *node, *tmp;

	*fp = NULL;
	if (f == NULL)
		return;
	LIST_FOREACH(&f->entries, node, tmp)
		entry_free(f, container_of(node, struct annotated_object, node));
	retired_free(&f->before);
	retired_free(&f->now);
	hmap_fini(&f->by_key);
	free(f->array);
	free(f);
}

static bool
is_claim(const struct annotated_object *e)
{
	return kube_annotations_claim(e->o.annotations, e->o.annotations_n);
}

/* A Deployment came, went, or changed: the Services beside it may select another one.
 * True: there is an annotated one. */
static bool
touch_services(struct kube_annotated *f, const struct annotated_object *of)
{
	struct list_node *node, *tmp;
	bool is_any = false;

	LIST_FOREACH(&f->entries, node, tmp) {
		struct annotated_object *e = container_of(node, struct annotated_object, node);

		if (of->o.kind != KUBE_DEPLOYMENT || e->o.kind != KUBE_SERVICE || !is_claim(e) ||
		    strcmp(e->o.ns, of->o.ns) != 0)
			continue;
		e->is_dirty = is_any = true;
	}
	return is_any;
}

static struct annotated_object *
entry_new(struct kube_annotated *f, char *key)
{
	struct annotated_object *e = xcalloc(1, sizeof *e);

	e->key = key;
	list_push(&f->entries, &e->node);
	hmap_put(&f->by_key, key, e);
	return e;
}

/* Another object of the same name: nothing of the first holds for it. */
static void
forget(struct kube_annotated *f, struct annotated_object *e)
{
	retire(f, &e->held);
	settings_service_free(&e->next);
	free(e->why);
	e->why = NULL;
}

bool
kube_annotated_put(struct kube_annotated *f, struct kube_object *o)
{
	char *key = key_of(o->kind, o->ns, o->name);
	struct annotated_object *e = hmap_find(&f->by_key, key);
	bool was_claim = e != NULL && is_claim(e);

	if (e == NULL) {
		e = entry_new(f, key);
	} else {
		free(key);
		e->is_seen = true;
		if (kube_object_equal(&e->o, o)) {
			kube_object_fini(o);
			return false;
		}
		if (!text_equal(e->o.uid, o->uid))
			forget(f, e);
	}
	kube_object_fini(&e->o);
	e->o = *o;
	*o = (struct kube_object){.ns = NULL};
	e->is_seen = e->is_dirty = true;
	return touch_services(f, e) | is_claim(e) | was_claim;
}

static bool
drop(struct kube_annotated *f, struct annotated_object *e)
{
	bool is_news = touch_services(f, e) | is_claim(e);

	entry_free(f, e);
	return is_news;
}

bool
kube_annotated_remove(struct kube_annotated *f, enum kube_object_kind kind, const char *ns,
		      const char *name)
{
	char *key = key_of(kind, ns, name);
	struct annotated_object *e = hmap_find(&f->by_key, key);

	free(key);
	return e != NULL && drop(f, e);
}

void
kube_annotated_list_begin(struct kube_annotated *f, enum kube_object_kind kind, const char *ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->entries, node, tmp) {
		struct annotated_object *e = container_of(node, struct annotated_object, node);

		if (e->o.kind == kind && strcmp(e->o.ns, ns) == 0)
			e->is_seen = false;
	}
}

bool
kube_annotated_list_end(struct kube_annotated *f, enum kube_object_kind kind, const char *ns)
{
	struct list_node *node, *tmp;
	bool is_news = false;

	LIST_FOREACH(&f->entries, node, tmp) {
		struct annotated_object *e = container_of(node, struct annotated_object, node);

		if (e->o.kind == kind && strcmp(e->o.ns, ns) == 0 && !e->is_seen)
			is_news |= drop(f, e);
	}
	return is_news;
}

/* --- what an object wants to be --- */

/* The only Deployment that a Service selects; NULL: why says so. */
static const struct kube_object *
selected(const struct kube_annotated *f, const struct annotated_object *e, struct strbuf *why)
{
	struct list_node *node, *tmp;
	const struct kube_object *found = NULL;

	LIST_FOREACH(&f->entries, node, tmp) {
		const struct kube_object *o = &container_of(node, struct annotated_object, node)->o;

		if (o->kind != KUBE_DEPLOYMENT || strcmp(o->ns, e->o.ns) != 0 ||
		    !kube_object_selects(&e->o, o))
			continue;
		if (found != NULL) {
			strbuf_addf(why, "its selector fits several Deployments: %s and %s",
				    found->name, o->name);
			return NULL;
		}
		found = o;
	}
	if (found == NULL)
		strbuf_adds(why, "its selector fits no Deployment");
	return found;
}

static void
make_next(struct kube_annotated *f, const struct settings *s, struct annotated_object *e,
	  struct strbuf *why)
{
	const struct kube_object *target = e->o.kind == KUBE_DEPLOYMENT ? &e->o
									: selected(f, e, why);
	char *name, *deployment;
	const char *host;

	if (target == NULL)
		return;
	name = kube_annotations_name(e->o.ns, e->o.name);
	deployment = xasprintf("%s/%s", target->ns, target->name);
	e->next = kube_annotations_service(s, name, deployment, e->o.port, e->o.annotations,
					   e->o.annotations_n, why);
	free(deployment);
	free(name);
	host = e->next == NULL ? NULL : kube_annotations_denied(s, e->o.ns, e->next);
	if (host != NULL) {
		strbuf_addf(why, "host %s may not be claimed from namespace %s (allow_hosts)", host,
			    e->o.ns);
		settings_service_free(&e->next);
	}
}

/* --- who comes first --- */

static int
compare(const void *a, const void *b)
{
	const struct annotated_object *x = *(struct annotated_object *const *)a,
				      *y = *(struct annotated_object *const *)b;
	int order = strcmp(x->o.created, y->o.created);

	return order != 0 ? order : strcmp(x->key, y->key);
}

/* Those that claim something, the oldest first; the array is the caller's. */
static struct annotated_object **
sorted(const struct kube_annotated *f, size_t *n)
{
	struct annotated_object **v = xcalloc(f->entries.n + 1, sizeof(struct annotated_object *));
	struct list_node *node, *tmp;

	*n = 0;
	LIST_FOREACH(&f->entries, node, tmp) {
		struct annotated_object *e = container_of(node, struct annotated_object, node);

		if (is_claim(e))
			v[(*n)++] = e;
	}
	qsort(v, *n, sizeof(struct annotated_object *), compare);
	return v;
}

static void
set_why(struct annotated_object *e, const struct strbuf *why)
{
	const char *text = why->len == 0 ? NULL : strbuf_str(why);

	if (text_equal(e->why, text))
		return;
	text_replace(&e->why, text);
	e->is_told = false;
}

/* What it wants, or else what it had: if nobody before it has that already. */
static void
settle(struct kube_annotated *f, const struct settings *s, struct annotated_object *e,
       struct kube_claims *claims)
{
	struct strbuf why;

	strbuf_init(&why, 0);
	if (e->is_dirty) {
		settings_service_free(&e->next);
		make_next(f, s, e, &why);
		e->is_dirty = e->next == NULL; /* so that what is wrong is said again */
	}
	if (e->next != NULL && !kube_claims_taken(claims, e->next, &why)) {
		retire(f, &e->held);
		e->held = e->next;
		e->next = NULL;
	} else if (e->held != NULL &&
		   kube_claims_taken(claims, e->held, why.len > 0 ? NULL : &why)) {
		retire(f, &e->held);
		e->is_dirty = true; /* once it is free again */
	}
	if (e->held != NULL)
		kube_claims_put(claims, e->held, e->key);
	set_why(e, &why);
	strbuf_fini(&why);
}

/* With other settings everything is looked at anew; what lost its claim is dropped. */
static void
refresh(struct kube_annotated *f, const struct settings *s)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->entries, node, tmp) {
		struct annotated_object *e = container_of(node, struct annotated_object, node);

		e->is_dirty |= s != f->settings;
		if (is_claim(e))
			continue;
		retire(f, &e->held);
		settings_service_free(&e->next);
		free(e->why);
		e->why = NULL;
	}
	f->settings = s;
}

const struct service_conf *
kube_annotated_services(struct kube_annotated *f, const struct settings *s, size_t *n)
{
	struct kube_claims claims;
	struct annotated_object **v;
	size_t i, all;

	retired_free(&f->before);
	f->before = f->now;
	f->before.array = f->array;
	f->now = (struct retired){.n = 0};
	refresh(f, s);
	kube_claims_init(&claims, s->services, s->services_n);
	v = sorted(f, &all);
	f->array = xcalloc(all + 1, sizeof *f->array);
	*n = 0;
	for (i = 0; i < all; i++) {
		settle(f, s, v[i], &claims);
		if (v[i]->held != NULL)
			f->array[(*n)++] = *v[i]->held;
	}
	free(v);
	kube_claims_fini(&claims);
	return f->array;
}

bool
kube_annotated_next_refusal(struct kube_annotated *f, struct kube_refusal *r)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->entries, node, tmp) {
		struct annotated_object *e = container_of(node, struct annotated_object, node);

		if (e->why == NULL || e->is_told)
			continue;
		e->is_told = true;
		*r = (struct kube_refusal){.object = &e->o, .why = e->why};
		return true;
	}
	return false;
}
