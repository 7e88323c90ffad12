#include "autoscaler/knative/kn_cache.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_pack.h"
#include "autoscaler/kube/kube_fields.h"
#include "autoscaler/kube/kube_json.h"
#include "common/hmap.h"
#include "common/list.h"

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"
#define WELL_PACKED 3 /* a text is so many times as long as what it is packed to */

/* All objects of one kind with one controller. */
struct kn_family {
	struct list members; /* struct kn_entry, by `kin` */
	char key[];	     /* "KIND UID" */
};

struct kn_entry {
	struct kn_object o;
	struct list_node node;	  /* of its kind */
	struct list_node kin;	  /* in its family */
	struct kn_family *family; /* NULL: it has no controller */
	bool is_listed;		  /* the list that is being read has it */
	struct kn_pack_base *base;
	const uint8_t *packed;
	size_t packed_n, n; /* n: of the text */
	char strings[];	    /* that o and packed point to */
};

struct kn_cache {
	kn_cache_fn *on_change;
	void *arg;
	struct list kinds[KN_KINDS_N];
	/* For the next object of a kind: the last one that was not much like the one before. */
	struct kn_pack_base *bases[KN_KINDS_N];
	struct hmap by_name[KN_KINDS_N]; /* "NAMESPACE/NAME" */
	struct hmap by_uid;
	struct hmap families;
	uint64_t changes[KN_KINDS_N];
};

static const struct kn_entry *
entry_of(const struct kn_object *o)
{
	return (const struct kn_entry *)(const void *)o; /* its first member */
}

struct kn_cache *
kn_cache_new(kn_cache_fn *on_change, void *arg)
{
	struct kn_cache *c = xcalloc(1, sizeof *c);
	size_t i;

	c->on_change = on_change;
	c->arg = arg;
	for (i = 0; i < KN_KINDS_N; i++) {
		list_init(&c->kinds[i]);
		hmap_init(&c->by_name[i]);
	}
	hmap_init(&c->by_uid);
	hmap_init(&c->families);
	return c;
}

static void
changed(struct kn_cache *c, const struct kn_object *o, bool is_gone)
{
	c->changes[o->kind]++;
	if (c->on_change != NULL)
		c->on_change(o, is_gone, c->arg);
}

/* --- an entry --- */

/* A copy of the object without what is cut off; the caller's. */
static json_t *
trim(const json_t *object)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)object);
	json_t *meta = json_copy(json_object_get(copy, "metadata")), *notes;

	CHECK(copy != NULL);
	if (!json_is_object(meta)) {
		json_decref(meta);
		return copy;
	}
	json_object_del(meta, "managedFields");
	notes = json_object_get(meta, "annotations");
	if (json_object_get(notes, LAST_APPLIED) != NULL) {
		notes = json_copy(notes);
		json_object_del(notes, LAST_APPLIED);
		json_object_set_new(meta, "annotations", notes);
	}
	json_object_set_new(copy, "metadata", meta);
	return copy;
}

static const char *
controller_uid(const json_t *meta)
{
	const json_t *owners = json_object_get(meta, "ownerReferences");
	size_t i;

	for (i = 0; i < json_array_size(owners); i++)
		if (json_is_true(json_object_get(json_array_get(owners, i), "controller")))
			return kube_field_text_or_empty(json_array_get(owners, i), "uid");
	return "";
}

/* Does a watch of this kind show the object? */
static bool
is_watched(enum kn_kind kind, const json_t *meta)
{
	const struct kn_kind_names *k = kn_kind_names(kind);

	return k->label == NULL ||
	       kube_field_text(json_object_get(meta, "labels"), k->label) != NULL;
}

/* The next n bytes of the strings. */
static void *
append(char **at, const void *from, size_t n)
{
	char *copy = *at;

	memcpy(copy, from, n);
	*at += n;
	return copy;
}

/* With the base of its kind; of a text that is packed badly a new base is made.  The caller's. */
static uint8_t *
pack(struct kn_pack_base **base, const char *text, size_t n, size_t *packed_n)
{
	uint8_t *packed = *base == NULL ? NULL : kn_pack(*base, text, n, packed_n);

	if (packed != NULL && *packed_n < n / WELL_PACKED)
		return packed;
	free(packed);
	kn_pack_base_unref(base);
	*base = kn_pack_base_new(text, n);
	return kn_pack(*base, text, n, packed_n);
}

static struct kn_entry *
entry_new(struct kn_cache *c, enum kn_kind kind, const json_t *object)
{
	const json_t *meta = json_object_get(object, "metadata");
	const char *const texts[] = {
		kube_field_text_or_empty(meta, "namespace"), kube_field_text_or_empty(meta, "name"),
		kube_field_text_or_empty(meta, "uid"),
		kube_field_text_or_empty(meta, "resourceVersion"), controller_uid(meta)};
	const char *copies[ARRAY_LEN(texts)];
	json_t *trimmed = trim(object);
	char *text = json_dumps(trimmed, JSON_COMPACT), *at;
	size_t size = 0, i, n, packed_n;
	struct kn_entry *e;
	uint8_t *packed;

	CHECK(text != NULL);
	n = strlen(text);
	packed = pack(&c->bases[kind], text, n, &packed_n);
	for (i = 0; i < ARRAY_LEN(texts); i++)
		size += strlen(texts[i]) + 1;
	e = xmalloc(sizeof *e + size + packed_n);
	*e = (struct kn_entry){.is_listed = true,
			       .base = kn_pack_base_ref(c->bases[kind]),
			       .packed_n = packed_n,
			       .n = n};
	at = e->strings;
	for (i = 0; i < ARRAY_LEN(texts); i++)
		copies[i] = append(&at, texts[i], strlen(texts[i]) + 1);
	e->packed = append(&at, packed, packed_n);
	e->o = (struct kn_object){
		.kind = kind,
		.ns = copies[0],
		.name = copies[1],
		.uid = copies[2],
		.rv = copies[3],
		.owner_uid = copies[4],
		.generation = kube_field_number(meta, "generation", 0),
		.created_s = kube_time_parse(kube_field_text(meta, "creationTimestamp")),
		.is_deleting = kube_field_text(meta, "deletionTimestamp") != NULL,
		.is_foreign = !is_watched(kind, meta)};
	free(packed);
	free(text);
	json_decref(trimmed);
	return e;
}

static void
entry_free(struct kn_entry *e)
{
	kn_pack_base_unref(&e->base);
	free(e);
}

char *
kn_object_text(const struct kn_object *o)
{
	const struct kn_entry *e = entry_of(o);

	return kn_unpack(e->base, e->packed, e->packed_n, e->n);
}

json_t *
kn_object_json(const struct kn_object *o)
{
	char *text = kn_object_text(o);
	json_t *json = kube_json_parse(text, entry_of(o)->n, NULL);

	CHECK(json != NULL); /* it is text that entry_new() has made */
	free(text);
	return json;
}

/* --- the indexes --- */

static char *
name_key(const char *ns, const char *name)
{
	return xasprintf("%s/%s", ns, name);
}

static struct kn_entry *
find(const struct kn_cache *c, enum kn_kind kind, const char *ns, const char *name)
{
	char *key = name_key(ns, name);
	struct kn_entry *e = hmap_find(&c->by_name[kind], key);

	free(key);
	return e;
}

static char *
family_key(enum kn_kind kind, const char *owner_uid)
{
	return xasprintf("%d %s", (int)kind, owner_uid);
}

static struct kn_family *
find_family(const struct kn_cache *c, enum kn_kind kind, const char *owner_uid)
{
	char *key = family_key(kind, owner_uid);
	struct kn_family *f = hmap_find(&c->families, key);

	free(key);
	return f;
}

/* In the place of the one before, where that is of the same family. */
static void
join_family(struct kn_cache *c, struct kn_entry *e, struct kn_entry *before)
{
	char *key;
	struct kn_family *f;

	if (e->o.owner_uid[0] == '\0')
		return;
	key = family_key(e->o.kind, e->o.owner_uid);
	f = hmap_find(&c->families, key);
	if (f == NULL) {
		f = xmalloc(sizeof *f + strlen(key) + 1);
		list_init(&f->members);
		memcpy(f->key, key, strlen(key) + 1);
		hmap_put(&c->families, key, f);
	}
	free(key);
	if (before != NULL && before->family == f)
		list_insert_before(&f->members, &before->kin, &e->kin);
	else
		list_push(&f->members, &e->kin);
	e->family = f;
}

static void
leave_family(struct kn_cache *c, struct kn_entry *e)
{
	struct kn_family *f = e->family;

	if (f == NULL)
		return;
	list_remove(&f->members, &e->kin);
	e->family = NULL;
	if (!list_empty(&f->members))
		return;
	hmap_remove(&c->families, f->key);
	free(f);
}

static void
forget_uid(struct kn_cache *c, const struct kn_entry *e)
{
	if (hmap_find(&c->by_uid, e->o.uid) == e)
		hmap_remove(&c->by_uid, e->o.uid);
}

static void
remove_entry(struct kn_cache *c, struct kn_entry *e)
{
	char *key = name_key(e->o.ns, e->o.name);

	list_remove(&c->kinds[e->o.kind], &e->node);
	leave_family(c, e);
	hmap_remove(&c->by_name[e->o.kind], key);
	forget_uid(c, e);
	free(key);
	entry_free(e);
}

/* In the place of the one before, if there is one: an object that changes keeps its place. */
static void
add_entry(struct kn_cache *c, struct kn_entry *e, struct kn_entry *before)
{
	char *key = name_key(e->o.ns, e->o.name);

	join_family(c, e, before);
	if (before != NULL) {
		list_insert_before(&c->kinds[e->o.kind], &before->node, &e->node);
		remove_entry(c, before);
	} else {
		list_push(&c->kinds[e->o.kind], &e->node);
	}
	hmap_put(&c->by_name[e->o.kind], key, e);
	if (e->o.uid[0] != '\0')
		hmap_put(&c->by_uid, e->o.uid, e);
	free(key);
}

/* --- changes --- */

bool
kn_rv_is_newer(const char *a, const char *b)
{
	size_t an, bn;

	if (a[strspn(a, "0123456789")] != '\0' || b[strspn(b, "0123456789")] != '\0')
		return strcmp(a, b) != 0; /* no number: all that can be said */
	a += strspn(a, "0");
	b += strspn(b, "0");
	an = strlen(a);
	bn = strlen(b);
	return an != bn ? an > bn : strcmp(a, b) > 0;
}

/* The first that is heard of an object since a list began counts, even if its version is lower: a
 * cluster that was restored from a backup counts on from there. */
static bool
is_old(const struct kn_entry *e, const char *rv)
{
	return strcmp(rv, e->o.rv) == 0 || (e->is_listed && !kn_rv_is_newer(rv, e->o.rv));
}

bool
kn_cache_put(struct kn_cache *c, enum kn_kind kind, const json_t *object)
{
	const json_t *meta = json_object_get(object, "metadata");
	const char *rv = kube_field_text_or_empty(meta, "resourceVersion");
	struct kn_entry *before = find(c, kind, kube_field_text_or_empty(meta, "namespace"),
				       kube_field_text_or_empty(meta, "name")),
			*e;

	if (before != NULL && is_old(before, rv)) {
		before->is_listed = true;
		return false;
	}
	e = entry_new(c, kind, object);
	if (before != NULL) {
		/* The answer to a DELETE may come before the watch shows what it has changed. */
		e->o.is_deleting |= before->o.is_deleting && strcmp(e->o.uid, before->o.uid) == 0;
		if (strcmp(before->o.uid, e->o.uid) != 0 ||
		    strcmp(before->o.owner_uid, e->o.owner_uid) != 0)
			changed(c, &before->o, strcmp(before->o.uid, e->o.uid) != 0);
	}
	add_entry(c, e, before);
	changed(c, &e->o, false);
	return true;
}

static void
drop(struct kn_cache *c, struct kn_entry *e)
{
	changed(c, &e->o, true);
	remove_entry(c, e);
}

bool
kn_cache_remove(struct kn_cache *c, enum kn_kind kind, const char *ns, const char *name,
		const char *uid)
{
	struct kn_entry *e = find(c, kind, ns, name);

	if (e == NULL || (uid != NULL && strcmp(uid, e->o.uid) != 0))
		return false;
	drop(c, e);
	return true;
}

void
kn_cache_set_deleting(struct kn_cache *c, enum kn_kind kind, const char *ns, const char *name,
		      const char *uid)
{
	struct kn_entry *e = find(c, kind, ns, name);

	if (e != NULL && strcmp(e->o.uid, uid) == 0)
		e->o.is_deleting = true;
	c->changes[kind]++;
}

static bool
is_of(const struct kn_entry *e, const char *ns)
{
	return ns == NULL || strcmp(e->o.ns, ns) == 0;
}

void
kn_cache_list_begin(struct kn_cache *c, enum kn_kind kind, const char *ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&c->kinds[kind], node, tmp) {
		struct kn_entry *e = container_of(node, struct kn_entry, node);

		if (is_of(e, ns))
			e->is_listed = e->o.is_foreign;
	}
}

void
kn_cache_list_end(struct kn_cache *c, enum kn_kind kind, const char *ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&c->kinds[kind], node, tmp) {
		struct kn_entry *e = container_of(node, struct kn_entry, node);

		if (is_of(e, ns) && !e->is_listed)
			drop(c, e);
	}
}

void
kn_cache_clear(struct kn_cache *c, enum kn_kind kind, const char *ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&c->kinds[kind], node, tmp) {
		struct kn_entry *e = container_of(node, struct kn_entry, node);

		if (is_of(e, ns))
			drop(c, e);
	}
}

void
kn_cache_free(struct kn_cache **cp)
{
	struct kn_cache *c = *cp;
	struct list_node *node, *tmp;
	size_t i;

	*cp = NULL;
	if (c == NULL)
		return;
	for (i = 0; i < KN_KINDS_N; i++) {
		LIST_FOREACH(&c->kinds[i], node, tmp)
			remove_entry(c, container_of(node, struct kn_entry, node));
		hmap_fini(&c->by_name[i]);
		kn_pack_base_unref(&c->bases[i]);
	}
	hmap_fini(&c->families);
	hmap_fini(&c->by_uid);
	free(c);
}

/* --- reading --- */

const struct kn_object *
kn_cache_find(const struct kn_cache *c, enum kn_kind kind, const char *ns, const char *name)
{
	const struct kn_entry *e = find(c, kind, ns, name);

	return e == NULL ? NULL : &e->o;
}

const struct kn_object *
kn_cache_find_uid(const struct kn_cache *c, const char *uid)
{
	const struct kn_entry *e = uid[0] == '\0' ? NULL : hmap_find(&c->by_uid, uid);

	return e == NULL ? NULL : &e->o;
}

const struct kn_object *
kn_cache_next(const struct kn_cache *c, enum kn_kind kind, const char *ns,
	      const struct kn_object *prev)
{
	const struct list *l = &c->kinds[kind];
	struct list_node *node = prev == NULL ? l->head.next : entry_of(prev)->node.next;

	for (; node != &l->head; node = node->next) {
		const struct kn_entry *e = container_of(node, struct kn_entry, node);

		if (is_of(e, ns))
			return &e->o;
	}
	return NULL;
}

const struct kn_object *
kn_cache_next_owned(const struct kn_cache *c, enum kn_kind kind, const char *owner_uid,
		    const struct kn_object *prev)
{
	const struct kn_family *f = prev == NULL ? find_family(c, kind, owner_uid)
						 : entry_of(prev)->family;
	struct list_node *node;

	if (f == NULL)
		return NULL;
	node = prev == NULL ? f->members.head.next : entry_of(prev)->kin.next;
	if (node == &f->members.head)
		return NULL;
	return &container_of(node, struct kn_entry, kin)->o;
}

uint64_t
kn_cache_changes(const struct kn_cache *c, enum kn_kind kind)
{
	return c->changes[kind];
}

size_t
kn_cache_count(const struct kn_cache *c)
{
	size_t i, n = 0;

	for (i = 0; i < KN_KINDS_N; i++)
		n += c->kinds[i].n;
	return n;
}
