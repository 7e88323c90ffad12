#include "autoscaler/kubernetes/kube_annotated.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_claims.h"
#include "common/hmap.h"
#include "common/list.h"
#include "common/strbuf.h"
#include "common/text.h"

struct annotated {
	struct list_node node;
	struct kube_object o;
	char *key;
	bool is_listed;			/* the list that is being read has it */
	bool is_candidate_due;		/* `candidate` is not made of what the object says now */
	struct service_conf *candidate; /* what it asks for now; NULL: that is active, or wrong */
	struct service_conf *active;	/* the service that holds; NULL: none */
	char *refusal;			/* why the candidate does not hold; NULL: it does */
	bool is_reported;		/* kube_annotated_next_refusal() has returned it */
};

/* What a caller may still have borrowed. */
struct retired {
	struct service_conf **v;
	size_t n;
	struct service_conf *array; /* that was returned */
};

struct kube_annotated {
	struct list objects; /* struct annotated, those without annotations included */
	struct hmap by_key;
	const struct settings *settings; /* of the last call; compared, never read */
	struct retired now, before;	 /* since the last call, and before it */
	struct service_conf *array;	 /* that was returned last */
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
	struct kube_annotated *a = xcalloc(1, sizeof *a);

	list_init(&a->objects);
	hmap_init(&a->by_key);
	return a;
}

/* Free it at the second call of kube_annotated_services() from now: until then a caller may have
 * borrowed it. */
static void
retire(struct kube_annotated *a, struct service_conf **sp)
{
	if (*sp == NULL)
		return;
	a->now.v = xrealloc(a->now.v, (a->now.n + 1) * sizeof *a->now.v);
	a->now.v[a->now.n++] = *sp;
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
annotated_free(struct kube_annotated *a, struct annotated *e)
{
	list_remove(&a->objects, &e->node);
	hmap_remove(&a->by_key, e->key);
	settings_service_free(&e->candidate);
	retire(a, &e->active);
	kube_object_fini(&e->o);
	free(e->refusal);
	free(e->key);
	free(e);
}

void
kube_annotated_free(struct kube_annotated **ap)
{
	struct kube_annotated *a = *ap;
	struct list_node *node, *tmp;

	*ap = NULL;
	if (a == NULL)
		return;
	LIST_FOREACH(&a->objects, node, tmp)
		annotated_free(a, container_of(node, struct annotated, node));
	retired_free(&a->before);
	retired_free(&a->now);
	hmap_fini(&a->by_key);
	free(a->array);
	free(a);
}

static bool
names_host(const struct annotated *e)
{
	return kube_annotations_have_host(e->o.annotations, e->o.annotations_n);
}

/* A Deployment came, went, or changed: an annotated Service of its namespace may select another
 * one now.  True: there is such a Service. */
static bool
invalidate_services(struct kube_annotated *a, const struct annotated *of)
{
	struct list_node *node, *tmp;
	bool is_any = false;

	LIST_FOREACH(&a->objects, node, tmp) {
		struct annotated *e = container_of(node, struct annotated, node);

		if (of->o.kind != KUBE_DEPLOYMENT || e->o.kind != KUBE_SERVICE || !names_host(e) ||
		    strcmp(e->o.ns, of->o.ns) != 0)
			continue;
		e->is_candidate_due = is_any = true;
	}
	return is_any;
}

static struct annotated *
annotated_new(struct kube_annotated *a, char *key)
{
	struct annotated *e = xcalloc(1, sizeof *e);

	e->key = key;
	list_push(&a->objects, &e->node);
	hmap_put(&a->by_key, key, e);
	return e;
}

/* It is another object of the same name now, which inherits nothing. */
static void
forget(struct kube_annotated *a, struct annotated *e)
{
	retire(a, &e->active);
	settings_service_free(&e->candidate);
	free(e->refusal);
	e->refusal = NULL;
}

bool
kube_annotated_put(struct kube_annotated *a, struct kube_object *o)
{
	char *key = key_of(o->kind, o->ns, o->name);
	struct annotated *e = hmap_find(&a->by_key, key);
	bool named_host = e != NULL && names_host(e);

	if (e == NULL) {
		e = annotated_new(a, key);
	} else {
		free(key);
		e->is_listed = true;
		if (kube_object_equal(&e->o, o)) {
			kube_object_fini(o);
			return false;
		}
		if (!text_equal(e->o.uid, o->uid))
			forget(a, e);
	}
	kube_object_fini(&e->o);
	e->o = *o;
	*o = (struct kube_object){.ns = NULL};
	e->is_listed = e->is_candidate_due = true;
	return invalidate_services(a, e) | names_host(e) | named_host;
}

static bool
drop(struct kube_annotated *a, struct annotated *e)
{
	bool is_change = invalidate_services(a, e) | names_host(e);

	annotated_free(a, e);
	return is_change;
}

bool
kube_annotated_remove(struct kube_annotated *a, enum kube_object_kind kind, const char *ns,
		      const char *name)
{
	char *key = key_of(kind, ns, name);
	struct annotated *e = hmap_find(&a->by_key, key);

	free(key);
	return e != NULL && drop(a, e);
}

void
kube_annotated_list_begin(struct kube_annotated *a, enum kube_object_kind kind, const char *ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&a->objects, node, tmp) {
		struct annotated *e = container_of(node, struct annotated, node);

		if (e->o.kind == kind && strcmp(e->o.ns, ns) == 0)
			e->is_listed = false;
	}
}

bool
kube_annotated_list_end(struct kube_annotated *a, enum kube_object_kind kind, const char *ns)
{
	struct list_node *node, *tmp;
	bool is_change = false;

	LIST_FOREACH(&a->objects, node, tmp) {
		struct annotated *e = container_of(node, struct annotated, node);

		if (e->o.kind == kind && strcmp(e->o.ns, ns) == 0 && !e->is_listed)
			is_change |= drop(a, e);
	}
	return is_change;
}

/* --- what an object asks for --- */

/* The one Deployment that a Service selects; NULL: why says that there is none, or several. */
static const struct kube_object *
selected(const struct kube_annotated *a, const struct annotated *e, struct strbuf *why)
{
	struct list_node *node, *tmp;
	const struct kube_object *found = NULL;

	LIST_FOREACH(&a->objects, node, tmp) {
		const struct kube_object *o = &container_of(node, struct annotated, node)->o;

		if (o->kind != KUBE_DEPLOYMENT || strcmp(o->ns, e->o.ns) != 0 ||
		    !kube_object_selects(&e->o, o))
			continue;
		if (found != NULL) {
			strbuf_addf(why, "its selector matches several Deployments: %s and %s",
				    found->name, o->name);
			return NULL;
		}
		found = o;
	}
	if (found == NULL)
		strbuf_adds(why, "its selector matches no Deployment");
	return found;
}

static void
make_candidate(struct kube_annotated *a, const struct settings *s, struct annotated *e,
	       struct strbuf *why)
{
	const struct kube_object *target = e->o.kind == KUBE_DEPLOYMENT ? &e->o
									: selected(a, e, why);
	char *name, *deployment;
	const char *host;

	if (target == NULL)
		return;
	name = kube_annotations_name(e->o.ns, e->o.name);
	deployment = xasprintf("%s/%s", target->ns, target->name);
	e->candidate = kube_annotations_service(s, name, deployment, e->o.port, e->o.annotations,
						e->o.annotations_n, why);
	free(deployment);
	free(name);
	host = e->candidate == NULL ? NULL : kube_annotations_denied(s, e->o.ns, e->candidate);
	if (host != NULL) {
		strbuf_addf(why, "host %s may not be claimed from namespace %s (allow_hosts)", host,
			    e->o.ns);
		settings_service_free(&e->candidate);
	}
}

/* --- which of them hold --- */

static int
compare(const void *a, const void *b)
{
	const struct annotated *x = *(struct annotated *const *)a,
			       *y = *(struct annotated *const *)b;
	int order = strcmp(x->o.created, y->o.created);

	return order != 0 ? order : strcmp(x->key, y->key);
}

/* Objects that name a host, the oldest first; the array is the caller's. */
static struct annotated **
sorted(const struct kube_annotated *a, size_t *n)
{
	struct annotated **v = xcalloc(a->objects.n + 1, sizeof(struct annotated *));
	struct list_node *node, *tmp;

	*n = 0;
	LIST_FOREACH(&a->objects, node, tmp) {
		struct annotated *e = container_of(node, struct annotated, node);

		if (names_host(e))
			v[(*n)++] = e;
	}
	qsort(v, *n, sizeof(struct annotated *), compare);
	return v;
}

static void
set_why(struct annotated *e, const struct strbuf *why)
{
	const char *text = why->len == 0 ? NULL : strbuf_str(why);

	if (text_equal(e->refusal, text))
		return;
	text_replace(&e->refusal, text);
	e->is_reported = false;
}

/* Its candidate becomes active if no object before it has claimed the same; else what was active
 * stays so, on the same condition. */
static void
settle(struct kube_annotated *a, const struct settings *s, struct annotated *e,
       struct kube_claims *claims)
{
	struct strbuf why;

	strbuf_init(&why, 0);
	if (e->is_candidate_due) {
		settings_service_free(&e->candidate);
		make_candidate(a, s, e, &why);
		e->is_candidate_due = e->candidate == NULL; /* so that its mistake is found again */
	}
	if (e->candidate != NULL && !kube_claims_taken(claims, e->candidate, &why)) {
		retire(a, &e->active);
		e->active = e->candidate;
		e->candidate = NULL;
	} else if (e->active != NULL &&
		   kube_claims_taken(claims, e->active, why.len > 0 ? NULL : &why)) {
		retire(a, &e->active);
		e->is_candidate_due = true; /* it may be free at the next call */
	}
	if (e->active != NULL)
		kube_claims_put(claims, e->active, e->key);
	set_why(e, &why);
	strbuf_fini(&why);
}

/* With other settings all candidates are made again.  An object that has lost its host
 * annotation has no service. */
static void
refresh(struct kube_annotated *a, const struct settings *s)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&a->objects, node, tmp) {
		struct annotated *e = container_of(node, struct annotated, node);

		e->is_candidate_due |= s != a->settings;
		if (names_host(e))
			continue;
		retire(a, &e->active);
		settings_service_free(&e->candidate);
		free(e->refusal);
		e->refusal = NULL;
	}
	a->settings = s;
}

const struct service_conf *
kube_annotated_services(struct kube_annotated *a, const struct settings *s, size_t *n)
{
	struct kube_claims claims;
	struct annotated **v;
	size_t i, all;

	retired_free(&a->before);
	a->before = a->now;
	a->before.array = a->array;
	a->now = (struct retired){.n = 0};
	refresh(a, s);
	kube_claims_init(&claims, s->services, s->services_n);
	v = sorted(a, &all);
	a->array = xcalloc(all + 1, sizeof *a->array);
	*n = 0;
	for (i = 0; i < all; i++) {
		settle(a, s, v[i], &claims);
		if (v[i]->active != NULL)
			a->array[(*n)++] = *v[i]->active;
	}
	free(v);
	kube_claims_fini(&claims);
	return a->array;
}

bool
kube_annotated_next_refusal(struct kube_annotated *a, struct kube_refusal *r)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&a->objects, node, tmp) {
		struct annotated *e = container_of(node, struct annotated, node);

		if (e->refusal == NULL || e->is_reported)
			continue;
		e->is_reported = true;
		*r = (struct kube_refusal){.object = &e->o, .why = e->refusal};
		return true;
	}
	return false;
}
