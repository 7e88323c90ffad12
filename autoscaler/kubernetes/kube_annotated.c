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
	uint64_t changed;		/* the higher, the later the object has changed */
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
	uint64_t changes;
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
is_ours(const struct annotated *e)
{
	return kube_annotations_are_ours(e->o.annotations, e->o.annotations_n);
}

/* The joint service that a Deployment is a part of; NULL: none. */
static const char *
joint_of(const struct annotated *e)
{
	return e->o.kind != KUBE_DEPLOYMENT
		       ? NULL
		       : kube_annotations_get(e->o.annotations, e->o.annotations_n, "service");
}

static bool
is_joint_with(const struct annotated *e, const char *ns, const char *service)
{
	return joint_of(e) != NULL && strcmp(joint_of(e), service) == 0 && strcmp(e->o.ns, ns) == 0;
}

/* A part of a joint service came, went, or changes: the service is to be made again. */
static void
invalidate_joint(struct kube_annotated *a, const struct annotated *of)
{
	struct list_node *node, *tmp;

	if (joint_of(of) == NULL)
		return;
	LIST_FOREACH(&a->objects, node, tmp) {
		struct annotated *e = container_of(node, struct annotated, node);

		if (e != of && is_joint_with(e, of->o.ns, joint_of(of)))
			e->is_candidate_due = true;
	}
}

/* A part of a joint service goes: nothing says by whom. */
static void
forget_authors(struct kube_annotated *a, const struct annotated *of)
{
	struct list_node *node, *tmp;

	if (joint_of(of) == NULL)
		return;
	LIST_FOREACH(&a->objects, node, tmp) {
		struct annotated *e = container_of(node, struct annotated, node);

		if (is_joint_with(e, of->o.ns, joint_of(of)))
			text_replace(&e->o.author, NULL);
	}
}

/* Who has changed the service of e last, or one of those that make it; NULL: unknown. */
static const char *
author_of(const struct kube_annotated *a, const struct annotated *of)
{
	const struct annotated *last = of;
	struct list_node *node, *tmp;

	if (joint_of(of) == NULL)
		return of->o.author;
	LIST_FOREACH(&a->objects, node, tmp) {
		const struct annotated *e = container_of(node, struct annotated, node);

		if (is_joint_with(e, of->o.ns, joint_of(of)) && e->changed > last->changed)
			last = e;
	}
	return last->o.author;
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

		if (of->o.kind != KUBE_DEPLOYMENT || e->o.kind != KUBE_SERVICE || !is_ours(e) ||
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

/* Was it a part of a joint service, and will be none of that one?  It takes nothing along. */
static bool
leaves_joint(const struct annotated *e, const struct kube_object *o)
{
	return joint_of(e) != NULL &&
	       !text_equal(joint_of(e),
			   kube_annotations_get(o->annotations, o->annotations_n, "service"));
}

bool
kube_annotated_put(struct kube_annotated *a, struct kube_object *o)
{
	char *key = key_of(o->kind, o->ns, o->name);
	struct annotated *e = hmap_find(&a->by_key, key);
	bool was_ours = e != NULL && is_ours(e);

	if (e == NULL) {
		e = annotated_new(a, key);
	} else {
		free(key);
		e->is_listed = true;
		if (kube_object_equal(&e->o, o)) {
			kube_object_fini(o);
			return false;
		}
		if (!text_equal(e->o.uid, o->uid) || leaves_joint(e, o))
			forget(a, e);
	}
	if (e->o.ns != NULL)
		invalidate_joint(a, e); /* that it leaves */
	kube_object_fini(&e->o);
	e->o = *o;
	e->changed = ++a->changes;
	*o = (struct kube_object){.ns = NULL};
	e->is_listed = e->is_candidate_due = true;
	invalidate_joint(a, e);
	return invalidate_services(a, e) | is_ours(e) | was_ours;
}

static bool
drop(struct kube_annotated *a, struct annotated *e)
{
	bool is_change = invalidate_services(a, e) | is_ours(e);

	invalidate_joint(a, e);
	forget_authors(a, e);
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

/* Objects that name a host or a service, the oldest first; the array is the caller's. */
static struct annotated **
sorted(const struct kube_annotated *a, size_t *n)
{
	struct annotated **v = xcalloc(a->objects.n + 1, sizeof(struct annotated *));
	struct list_node *node, *tmp;

	*n = 0;
	LIST_FOREACH(&a->objects, node, tmp) {
		struct annotated *e = container_of(node, struct annotated, node);

		if (is_ours(e))
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
 * stays so, on the same condition.  Adds to why, why not. */
static void
choose(struct kube_annotated *a, struct annotated *e, struct kube_claims *claims,
       struct strbuf *why)
{
	if (e->candidate != NULL && !kube_claims_taken(claims, e->candidate, why)) {
		retire(a, &e->active);
		e->active = e->candidate;
		e->candidate = NULL;
	} else if (e->active != NULL &&
		   kube_claims_taken(claims, e->active, why->len > 0 ? NULL : why)) {
		retire(a, &e->active);
		e->is_candidate_due = true; /* it may be free at the next call */
	}
	if (e->active != NULL)
		kube_claims_put(claims, e->active, e->key);
}

static void
settle(struct kube_annotated *a, const struct settings *s, struct annotated *e,
       struct kube_claims *claims)
{
	struct strbuf why;

	strbuf_init(&why, 0);
	if (e->is_candidate_due) {
		settings_service_free(&e->candidate);
		if (kube_annotations_get(e->o.annotations, e->o.annotations_n, "service") == NULL)
			make_candidate(a, s, e, &why);
		else
			strbuf_adds(&why, "service: is for Deployments");
		e->is_candidate_due = e->candidate == NULL; /* so that its mistake is found again */
	}
	choose(a, e, claims, &why);
	set_why(e, &why);
	strbuf_fini(&why);
}

/* --- joint services --- */

/* A Deployment of a joint service. */
struct joint_member {
	struct annotated *e;
	struct kube_part part;
	int percent; /* -1: not given */
	bool is_good;
	struct strbuf why;
};

static int
compare_members(const void *a, const void *b)
{
	const struct joint_member *x = a, *y = b;

	return compare(&(const struct annotated *const){x->e},
		       &(const struct annotated *const){y->e});
}

/* The Deployments of the service of e, the oldest first; the array is the caller's. */
static struct joint_member *
members_of(const struct kube_annotated *a, const struct annotated *of, size_t *n)
{
	struct joint_member *v = xcalloc(a->objects.n + 1, sizeof *v);
	struct list_node *node, *tmp;

	*n = 0;
	LIST_FOREACH(&a->objects, node, tmp) {
		struct annotated *e = container_of(node, struct annotated, node);
		struct joint_member *m = &v[*n];
		const struct kube_object *o = &e->o;

		if (!is_joint_with(e, of->o.ns, joint_of(of)))
			continue;
		(*n)++;
		m->e = e;
		m->part = (struct kube_part){
			.revision = kube_annotations_revision(o->name),
			.deployment = xasprintf("%s/%s", o->ns, o->name),
			.percent = kube_annotations_get(o->annotations, o->annotations_n,
							"percent"),
			.tag = kube_annotations_get(o->annotations, o->annotations_n, "tag"),
			.v = o->annotations,
			.n = o->annotations_n};
		strbuf_init(&m->why, 0);
	}
	qsort(v, *n, sizeof *v, compare_members);
	return v;
}

static void
members_free(struct joint_member *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(v[i].part.revision);
		free(v[i].part.deployment);
		strbuf_fini(&v[i].why);
	}
	free(v);
}

static bool
read_percent(struct joint_member *m)
{
	const char *text = m->part.percent;
	uint32_t percent;

	m->percent = -1;
	if (text == NULL)
		return true;
	if (!text_number(text, strcspn(text, "%"), 100, &percent)) {
		strbuf_addf(&m->why, "percent: expected 0 to 100, got \"%s\"", text);
		return false;
	}
	m->percent = (int)percent;
	return true;
}

/* Has none of those that are good already the tag?  The leader, which is checked first, may be
 * younger. */
static bool
has_own_tag(struct joint_member *v, size_t n, size_t i)
{
	size_t k;

	for (k = 0; k < n; k++)
		if (k != i && v[k].is_good && v[i].part.tag != NULL &&
		    text_equal(v[k].part.tag, v[i].part.tag)) {
			strbuf_addf(&v[i].why, "tag: \"%s\" is that of Deployment %s, which %s",
				    v[i].part.tag, v[k].e->o.name,
				    k < i ? "is older" : "names the host");
			return false;
		}
	return true;
}

/* Would the service be in order, if it had this part alone? */
static bool
check_member(const struct settings *s, const char *name, const struct joint_member *leader,
	     struct joint_member *v, size_t n, size_t i)
{
	const struct kube_part *part = &v[i].part;
	struct service_conf *alone;

	if (!read_percent(&v[i]) || !has_own_tag(v, n, i) ||
	    !kube_annotations_agree(&leader->part, leader->e->o.name, part, &v[i].why))
		return false;
	alone = kube_annotations_joint(s, name, &leader->part, &part, &(const uint32_t){100}, 1,
				       &v[i].why);
	if (alone == NULL)
		return false;
	settings_service_free(&alone);
	return true;
}

/* The oldest member that names a host and has no mistake; NULL: there is none.  Checks all. */
static struct joint_member *
check_members(const struct settings *s, const char *name, struct joint_member *v, size_t n)
{
	struct joint_member *leader = NULL;
	size_t i;

	for (i = 0; i < n && leader == NULL; i++) {
		if (!kube_annotations_have_host(v[i].part.v, v[i].part.n))
			continue;
		v[i].is_good = check_member(s, name, &v[i], v, n, i);
		leader = v[i].is_good ? &v[i] : NULL;
	}
	for (i = 0; i < n && leader != NULL; i++)
		if (&v[i] != leader && v[i].why.len == 0)
			v[i].is_good = check_member(s, name, leader, v, n, i);
	return leader;
}

/* Is each revision of the service that holds still one of the members?  Others may have come. */
static bool
can_stay(const struct service_conf *active, const struct joint_member *v, size_t n)
{
	size_t i, k;

	for (i = 0; i < active->revisions_n; i++) {
		for (k = 0; k < n; k++)
			if (strcmp(active->revisions[i].name, v[k].part.revision) == 0)
				break;
		if (k == n)
			return false;
	}
	return true;
}

/* The service of the members that are good, unless the one that holds is to stay. */
static struct service_conf *
make_joint(const struct settings *s, const char *name, const struct service_conf *active,
	   struct joint_member *leader, struct joint_member *v, size_t n)
{
	const struct kube_part **parts = xcalloc(n, sizeof *parts);
	uint32_t *percents = xcalloc(n, sizeof *percents), sum;
	int *given = xcalloc(n, sizeof *given);
	struct service_conf *joint = NULL;
	bool is_split;
	size_t good = 0, i;

	for (i = 0; i < n; i++)
		if (v[i].is_good) {
			parts[good] = &v[i].part;
			given[good++] = v[i].percent;
		}
	is_split = kube_annotations_split(given, good, percents, &sum);
	if (active != NULL && good < n) {
		; /* it stays until the mistakes are corrected */
	} else if (!is_split && active != NULL && can_stay(active, v, n)) {
		strbuf_addf(
			&leader->why,
			"the percents of service %s sum to %u: the split before stays until they "
			"sum to 100",
			name, sum);
	} else {
		joint = kube_annotations_joint(s, name, &leader->part, parts, percents, good,
					       &leader->why);
		if (!is_split)
			strbuf_addf(&leader->why,
				    "the percents of service %s sum to %u, expected 100: its "
				    "Deployments share in proportion",
				    name, sum);
	}
	free(given);
	free(percents);
	free(parts);
	return joint;
}

/* Where the service that holds is kept: it moves to another leader. */
static void
hand_over(struct kube_annotated *a, const char *name, struct joint_member *leader,
	  struct joint_member *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct annotated *e = v[i].e;

		if (e->active != NULL && strcmp(e->active->name, name) != 0)
			retire(a, &e->active); /* its own, before it was a part */
		if (leader == NULL || e == leader->e)
			continue;
		settings_service_free(&e->candidate);
		if (leader->e->active == NULL) {
			leader->e->active = e->active;
			e->active = NULL;
		}
		retire(a, &e->active);
	}
}

static bool
is_any_due(const struct joint_member *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (v[i].e->is_candidate_due)
			return true;
	return false;
}

/* The one whose service holds now; NULL: none. */
static struct joint_member *
holder_of(struct joint_member *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (v[i].e->active != NULL || v[i].e->candidate != NULL)
			return &v[i];
	return NULL;
}

/* Make the candidate of a joint service anew.  NULL: it has no leader, and the oldest says why. */
static struct joint_member *
renew_joint(struct kube_annotated *a, const struct settings *s, const char *name,
	    struct joint_member *v, size_t n)
{
	struct joint_member *leader = check_members(s, name, v, n);
	const char *host;
	size_t i;

	hand_over(a, name, leader, v, n);
	for (i = 0; i < n; i++)
		v[i].e->is_candidate_due = false;
	if (leader == NULL) {
		if (v[0].why.len == 0)
			strbuf_addf(&v[0].why,
				    "service: no Deployment of it names a host and is in order");
		return holder_of(v, n);
	}
	settings_service_free(&leader->e->candidate);
	leader->e->candidate = make_joint(s, name, leader->e->active, leader, v, n);
	host = leader->e->candidate == NULL
		       ? NULL
		       : kube_annotations_denied(s, leader->e->o.ns, leader->e->candidate);
	if (host != NULL) {
		strbuf_addf(&leader->why,
			    "host %s may not be claimed from namespace %s (allow_hosts)", host,
			    leader->e->o.ns);
		settings_service_free(&leader->e->candidate);
	}
	return leader;
}

/* As settle(), for all Deployments of the service of e.  Returns the one that has the service. */
static struct annotated *
settle_joint(struct kube_annotated *a, const struct settings *s, const struct annotated *of,
	     struct kube_claims *claims)
{
	char *name = kube_annotations_name(of->o.ns, joint_of(of));
	size_t n, i;
	struct joint_member *v = members_of(a, of, &n), *holder;
	bool is_due = is_any_due(v, n);
	struct annotated *e;

	holder = is_due ? renew_joint(a, s, name, v, n) : holder_of(v, n);
	e = holder == NULL ? NULL : holder->e;
	if (e != NULL)
		choose(a, e, claims, &holder->why);
	for (i = 0; i < n; i++) {
		/* What is amiss is found again at each call. */
		v[i].e->is_candidate_due |= v[i].why.len > 0;
		set_why(v[i].e, &v[i].why);
	}
	members_free(v, n);
	free(name);
	return e;
}

/* Was the joint service of e settled already, with an older Deployment?  It is from now on. */
static bool
is_settled(struct hmap *settled, struct annotated *e)
{
	char *key = xasprintf("%s/%s", e->o.ns, joint_of(e));
	bool is = hmap_put(settled, key, e) != NULL;

	free(key);
	return is;
}

/* With other settings all candidates are made again.  An object that has lost its annotations has
 * no service. */
static void
refresh(struct kube_annotated *a, const struct settings *s)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&a->objects, node, tmp) {
		struct annotated *e = container_of(node, struct annotated, node);

		e->is_candidate_due |= s != a->settings;
		if (is_ours(e))
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
	struct hmap settled; /* joint services */
	struct annotated **v;
	size_t i, all;

	retired_free(&a->before);
	a->before = a->now;
	a->before.array = a->array;
	a->now = (struct retired){.n = 0};
	refresh(a, s);
	kube_claims_init(&claims, s->services, s->services_n);
	hmap_init(&settled);
	v = sorted(a, &all);
	a->array = xcalloc(all + 1, sizeof *a->array);
	*n = 0;
	for (i = 0; i < all; i++) {
		struct annotated *e = v[i];

		if (joint_of(e) == NULL)
			settle(a, s, e, &claims);
		else if (is_settled(&settled, e))
			continue;
		else
			e = settle_joint(a, s, e, &claims);
		if (e == NULL || e->active == NULL)
			continue;
		a->array[*n] = *e->active;
		a->array[(*n)++].changed_by = author_of(a, e);
	}
	free(v);
	hmap_fini(&settled);
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
