#include "autoscaler/knative/kn_output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_holders.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_refusals.h"
#include "autoscaler/knative/kn_revision.h"
#include "autoscaler/knative/kn_routing.h"
#include "autoscaler/knative/kn_service_conf.h"
#include "autoscaler/kube/kube_annotations.h"
#include "common/hmap.h"
#include "common/list.h"
#include "common/log.h"
#include "common/random.h"
#include "common/settings.h"
#include "common/strbuf.h"
#include "common/text.h"

/* A name for which there is a Configuration, a Route or both. */
struct kn_output_entry {
	struct list_node node;
	char *key; /* "NS/NAME" */
	char *ns, *name;
	bool is_seen;		     /* by the call under way */
	struct kn_service_parts now; /* of the call under way */
	int64_t created_s;	     /* of the older of both */
	bool is_made;
	uint64_t print;		     /* of what `conf` and `text` were made of */
	struct service_conf *conf;   /* without the hosts of DomainMappings */
	char *text;		     /* kn_service_conf_text() */
	uint64_t serial;	     /* of the call since which the text has been as it is */
	char *mistakes;		     /* in annotations of ours, as logged last; NULL: none */
	struct service_conf *served; /* in the array; NULL: its hosts are taken */
};

/* What of an object services depend on, so that it is decoded only when it has changed. */
struct kn_output_piece {
	char *rv;
	uint64_t print;
	struct str_list names; /* of a Route: the Revisions of its traffic */
	bool is_seen;	       /* by the call of kn_output_services() under way */
};

/* What a caller may still have borrowed. */
struct kn_output_retired {
	struct service_conf **v;
	size_t n;
	struct service_conf *array;
	size_t array_n;
};

struct kn_output {
	struct list outputs;
	struct hmap by_key; /* to struct kn_output_entry */
	struct kn_refusals refusals;
	struct kn_holders *holders;
	struct hmap pieces; /* by uid; of Routes and Revisions */
	uint64_t seed;	    /* of prints: users cannot make two objects look the same */
	struct kn_output_retired now, before; /* since the last call, and before it */
	struct service_conf *array;
	size_t array_n;
};

static char *
key_of(const char *ns, const char *name)
{
	return xasprintf("%s/%s", ns, name);
}

/* --- what was returned --- */

/* Free it at the second call of kn_output_services() from now. */
static void
retire(struct kn_output *o, struct service_conf **conf)
{
	if (*conf == NULL)
		return;
	o->now.v = xrealloc(o->now.v, (o->now.n + 1) * sizeof *o->now.v);
	o->now.v[o->now.n++] = *conf;
	*conf = NULL;
}

/* The array owns its lists of hosts and its arrays of traffic; all else is that of the services. */
static void
array_free(struct service_conf *array, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		str_list_fini(&array[i].hosts);
		free(array[i].traffic);
	}
	free(array);
}

static void
retired_free(struct kn_output_retired *r)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		settings_service_free(&r->v[i]);
	free(r->v);
	array_free(r->array, r->array_n);
	*r = (struct kn_output_retired){.n = 0};
}

/* --- pieces --- */

static void
piece_free(struct kn_output_piece *p)
{
	free(p->rv);
	str_list_fini(&p->names);
	free(p);
}

static void
drop_pieces(struct kn_output *o, bool all)
{
	size_t at = 0;
	const char *uid;
	void *value;

	while (hmap_next(&o->pieces, &at, &uid, &value)) {
		struct kn_output_piece *p = value;

		if (p->is_seen && !all) {
			p->is_seen = false;
			continue;
		}
		hmap_remove(&o->pieces, uid);
		piece_free(p);
	}
}

/* FNV-1a, over what came before. */
static void
print_text(uint64_t *print, const char *text)
{
	do
		*print = (*print ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	while (*text++ != '\0');
}

static void
print_number(uint64_t *print, uint64_t n)
{
	uint64_t h = (*print ^ n) * UINT64_C(0xff51afd7ed558ccd);

	*print = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
}

static void
print_json(uint64_t *print, const json_t *value)
{
	char *text = value == NULL
			     ? NULL
			     : json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

	print_text(print, text == NULL ? "" : text);
	free(text);
}

/* Those that settings depend on; Knative and its clients change others often. */
static void
print_annotations(uint64_t *print, const json_t *annotations)
{
	static const char *const prefixes[] = {KN_AUTOSCALING, KN_OURS, "networking.knative.dev/"};
	json_t *used = json_object();
	const json_t *value;
	const char *key;
	size_t i;

	KN_EACH_MEMBER(annotations, key, value)
	for (i = 0; i < ARRAY_LEN(prefixes); i++)
		if (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0 &&
		    strcmp(key, KN_ANNOTATION_ROLLOUT_STATE) != 0)
			kn_json_set(used, key, kn_json_copy(value));
	print_json(print, used);
	json_decref(used);
}

/* The Revisions that a Route sends requests to. */
static void
read_names(struct kn_output_piece *p, const json_t *route)
{
	const json_t *traffic = kn_json_at(route, "status", "traffic", NULL);
	size_t i;

	str_list_fini(&p->names);
	for (i = 0; i < json_array_size(traffic); i++)
		str_list_add(&p->names,
			     kn_json_text(json_array_get(traffic, i), "revisionName", NULL));
}

static void
read_piece(const struct kn_output *o, struct kn_output_piece *p, const struct kn_object *of)
{
	json_t *document = kn_object_json(of);

	p->print = o->seed;
	print_annotations(&p->print, kn_json_at(document, "metadata", "annotations", NULL));
	if (of->kind == KN_ROUTE) {
		print_json(&p->print, kn_json_at(document, "status", "url", NULL));
		print_json(&p->print, kn_json_at(document, "status", "traffic", NULL));
		read_names(p, document);
	} else {
		/* That it has been ready changes what it starts with, but only after a restart of
		 * this process, which has seen it now: no reason to describe all services again. */
		print_number(&p->print, (uint64_t)of->generation);
		print_text(&p->print, kn_json_text(document, "metadata", "labels",
						   KN_LABEL_CONFIGURATION, NULL));
		print_number(&p->print, strcmp(kn_routing_state(document), KN_RESERVE) == 0);
		print_number(&p->print, kn_revision_is_timed_out(document));
	}
	text_replace(&p->rv, of->rv);
	json_decref(document);
}

static struct kn_output_piece *
piece_of(struct kn_output *o, const struct kn_object *of)
{
	struct kn_output_piece *p = hmap_find(&o->pieces, of->uid);

	if (p == NULL) {
		p = xcalloc(1, sizeof *p);
		hmap_put(&o->pieces, of->uid, p);
	}
	if (!text_equal(p->rv, of->rv))
		read_piece(o, p, of);
	p->is_seen = true;
	return p;
}

/* --- life --- */

struct kn_output *
kn_output_new(void)
{
	struct kn_output *o = xcalloc(1, sizeof *o);

	list_init(&o->outputs);
	hmap_init(&o->by_key);
	kn_refusals_init(&o->refusals);
	o->holders = kn_holders_new();
	hmap_init(&o->pieces);
	o->seed = random_u64();
	return o;
}

static void
output_free(struct kn_output *o, struct kn_output_entry *one)
{
	list_remove(&o->outputs, &one->node);
	hmap_remove(&o->by_key, one->key);
	retire(o, &one->conf);
	free(one->text);
	free(one->mistakes);
	free(one->ns);
	free(one->name);
	free(one->key);
	free(one);
}

void
kn_output_free(struct kn_output **op)
{
	struct kn_output *o = *op;
	struct list_node *node, *tmp;

	*op = NULL;
	if (o == NULL)
		return;
	LIST_FOREACH(&o->outputs, node, tmp)
		output_free(o, container_of(node, struct kn_output_entry, node));
	drop_pieces(o, true);
	hmap_fini(&o->pieces);
	retired_free(&o->before);
	retired_free(&o->now);
	array_free(o->array, o->array_n);
	hmap_fini(&o->by_key);
	kn_refusals_fini(&o->refusals);
	kn_holders_free(&o->holders);
	free(o);
}

/* --- refusals --- */

const char *
kn_output_refusal(const struct kn_output *o, enum kn_kind kind, const char *ns, const char *name)
{
	return kn_refusals_find(&o->refusals, kind, ns, name);
}

bool
kn_output_next_refusal(struct kn_output *o, enum kn_kind *kind, const char **ns, const char **name)
{
	return kn_refusals_next(&o->refusals, kind, ns, name);
}

/* --- which there are --- */

/* Call fn for each Configuration and each Route, until it returns false. */
static bool
each_object(const struct kn_cache *cache, bool (*fn)(struct kn_output *, const struct kn_object *),
	    struct kn_output *o)
{
	static const enum kn_kind kinds[] = {KN_CONFIGURATION, KN_ROUTE};
	const struct kn_object *at;
	size_t i;

	for (i = 0; i < ARRAY_LEN(kinds); i++)
		for (at = NULL; (at = kn_cache_next(cache, kinds[i], NULL, at)) != NULL;)
			if (!at->is_deleting && !at->is_foreign && !fn(o, at))
				return false;
	return true;
}

static struct kn_output_entry *
find_output(const struct kn_output *o, const char *ns, const char *name)
{
	char *key = key_of(ns, name);
	struct kn_output_entry *one = hmap_find(&o->by_key, key);

	free(key);
	return one;
}

/* Note that it is there.  False: it was not there at the last kn_output_services(). */
static bool
see_known(struct kn_output *o, const struct kn_object *from)
{
	struct kn_output_entry *one = find_output(o, from->ns, from->name);

	if (one == NULL)
		return false;
	one->created_s = one->is_seen ? MIN(one->created_s, from->created_s) : from->created_s;
	one->is_seen = true;
	if (from->kind == KN_ROUTE)
		one->now.route = from;
	else
		one->now.configuration = from;
	return true;
}

static bool
see(struct kn_output *o, const struct kn_object *from)
{
	struct kn_output_entry *one;

	if (see_known(o, from))
		return true;
	one = xcalloc(1, sizeof *one);
	one->key = key_of(from->ns, from->name);
	one->ns = xstrdup(from->ns);
	one->name = xstrdup(from->name);
	one->now = (struct kn_service_parts){.ns = one->ns, .name = one->name};
	list_push(&o->outputs, &one->node);
	hmap_put(&o->by_key, one->key, one);
	return see_known(o, from);
}

static void
begin_seeing(struct kn_output *o)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&o->outputs, node, tmp) {
		struct kn_output_entry *one = container_of(node, struct kn_output_entry, node);

		one->is_seen = false;
		one->now = (struct kn_service_parts){.ns = one->ns, .name = one->name};
	}
}

static void
see_all(struct kn_output *o, const struct kn_cache *cache)
{
	struct list_node *node, *tmp;

	begin_seeing(o);
	(void)each_object(cache, see, o);
	LIST_FOREACH(&o->outputs, node, tmp) {
		struct kn_output_entry *one = container_of(node, struct kn_output_entry, node);

		if (!one->is_seen)
			output_free(o, one);
	}
}

static int
compare(const void *a, const void *b)
{
	const struct kn_output_entry *x = *(struct kn_output_entry *const *)a,
				     *y = *(struct kn_output_entry *const *)b;

	if (x->created_s != y->created_s)
		return x->created_s < y->created_s ? -1 : 1;
	return strcmp(x->key, y->key);
}

/* The oldest first; the array is the caller's. */
static struct kn_output_entry **
sorted(const struct kn_output *o)
{
	struct kn_output_entry **v = xcalloc(o->outputs.n + 1, sizeof(struct kn_output_entry *));
	struct list_node *node, *tmp;
	size_t n = 0;

	LIST_FOREACH(&o->outputs, node, tmp)
		v[n++] = container_of(node, struct kn_output_entry, node);
	qsort(v, n, sizeof(struct kn_output_entry *), compare);
	return v;
}

/* --- one service --- */

/* The names of DomainMappings that lead to the Route; of kn_holders_names(). */
static const struct str_list *
domains_of(const struct kn_output *o, const struct kn_service_parts *parts)
{
	static const struct str_list none;

	return parts->route == NULL ? &none : kn_holders_names(o->holders, parts->ns, parts->name);
}

/* What settings of a service depend on, of the ConfigMaps. */
static void
print_config(uint64_t *print, const struct kn_config *c)
{
	const struct kn_autoscaler_config *a = &c->autoscaler;
	struct strbuf out;

	strbuf_init(&out, 0);
	strbuf_addf(&out, "%g %g %g %lld %g %g %g %g %d %lld %lld %lld %d %d %d %d %d %d %s ",
		    a->container_concurrency_target_default,
		    a->container_concurrency_target_percentage, a->rps_target_default,
		    (long long)a->stable_window_ns, a->panic_window_percentage,
		    a->panic_threshold_percentage, a->max_scale_up_rate, a->max_scale_down_rate,
		    a->enable_scale_to_zero, (long long)a->scale_to_zero_grace_ns,
		    (long long)a->scale_to_zero_retention_ns, (long long)a->scale_down_delay_ns,
		    a->allow_zero_initial_scale, (int)a->initial_scale, (int)a->activation_scale,
		    (int)a->min_scale, (int)a->max_scale, (int)a->max_scale_limit,
		    a->pod_autoscaler_class);
	strbuf_addf(&out, "%lld %d %d %s %s\n", (long long)c->defaults.revision_timeout_s,
		    (int)c->network.http_protocol, (int)c->features.tag_header_based_routing,
		    c->network.tag_template, c->cluster_domain);
	print_text(print, strbuf_str(&out));
	strbuf_fini(&out);
}

static uint64_t
print_base(const struct kn_output *o, const struct kn_output_input *in)
{
	uint64_t print = o->seed;

	print_number(&print, (uintptr_t)in->settings);
	print_config(&print, in->config);
	return print;
}

static void
print_route(struct kn_output *o, const struct kn_output_input *in,
	    const struct kn_service_parts *parts, uint64_t *print)
{
	const struct kn_output_piece *p = piece_of(o, parts->route);
	const struct str_list *domains = domains_of(o, parts);
	size_t i;

	print_text(print, parts->route->uid);
	print_number(print, p->print);
	for (i = 0; i < p->names.n; i++) {
		const struct kn_object *r = kn_cache_find(in->cache, KN_REVISION, parts->ns,
							  p->names.v[i]);

		print_number(print, r != NULL && kn_service_conf_has(in->cache, r));
	}
	for (i = 0; i < domains->n; i++)
		print_text(print, domains->v[i]);
}

/* Changes whenever the service could.  base: print_base(). */
static uint64_t
print_of(struct kn_output *o, const struct kn_output_input *in,
	 const struct kn_service_parts *parts, uint64_t base)
{
	const struct kn_object *r = NULL;
	uint64_t print = base;

	if (parts->route != NULL)
		print_route(o, in, parts, &print);
	while (parts->configuration != NULL &&
	       (r = kn_cache_next_owned(in->cache, KN_REVISION, parts->configuration->uid, r)) !=
		       NULL) {
		print_text(&print, r->uid);
		print_number(&print, piece_of(o, r)->print);
		print_number(&print, kn_service_conf_has(in->cache, r));
	}
	return print;
}

static void
log_mistakes(struct kn_output_entry *one, const struct strbuf *mistakes)
{
	const char *text = mistakes->len == 0 ? NULL : strbuf_str(mistakes);

	if (text != NULL && !text_equal(one->mistakes, text))
		log_warn(NULL, "annotations of Knative's objects not used", "service=%s/%s err=%s",
			 one->ns, one->name, text);
	text_replace(&one->mistakes, text);
}

static void
make(struct kn_output *o, const struct kn_output_input *in, struct kn_output_entry *one,
     uint64_t serial)
{
	struct strbuf mistakes, text;

	strbuf_init(&mistakes, 0);
	strbuf_init(&text, 0);
	retire(o, &one->conf);
	one->conf = kn_service_conf_make(in, &one->now, &mistakes);
	log_mistakes(one, &mistakes);
	kn_service_conf_text(in, &one->now, domains_of(o, &one->now), &text);
	if (!text_equal(one->text, strbuf_str(&text))) {
		text_replace(&one->text, strbuf_str(&text));
		one->serial = serial;
	}
	one->is_made = true;
	strbuf_fini(&text);
	strbuf_fini(&mistakes);
}

/* May activators serve it? */
static bool
has_listener(const struct settings *s, const struct service_conf *conf)
{
	size_t i;

	if (conf->hosts.n > 0 || conf->local_hosts.n == 0)
		return true;
	for (i = 0; i < s->activator.listeners_n; i++)
		if (s->activator.listeners[i].is_local)
			return true;
	return false;
}

/* --- hosts that more than one wants --- */

/* Add one service, as it holds, to the array. */
static struct service_conf *
put(struct kn_output *o, const struct kn_output_entry *one)
{
	struct service_conf *to = &o->array[o->array_n++];
	const struct service_conf *from = one->conf;
	size_t i;

	*to = *from;
	to->hosts = (struct str_list){.n = 0};
	str_list_set(&to->hosts, from->hosts.v, from->hosts.n);
	to->traffic = xcalloc(from->traffic_n + 1, sizeof *to->traffic);
	for (i = 0; i < from->traffic_n; i++)
		to->traffic[i] = from->traffic[i];
	return to;
}

/* The Route's own hosts, and all else that is the service's alone. */
static void
claim_service(struct kn_output *o, const struct kn_output_input *in, const struct kn_claims *claims,
	      struct kn_output_entry *one)
{
	char *owner = xasprintf("Route %s/%s", one->ns, one->name);
	char *why = has_listener(in->settings, one->conf)
			    ? claims->take(claims, one->conf, owner)
			    : xstrdup("no address of the key listen has the word local, which a "
				      "cluster-local Route needs");

	one->served = why == NULL ? put(o, one) : NULL;
	if (why != NULL)
		kn_refusals_add(&o->refusals, KN_ROUTE, one->ns, one->name, why);
	free(why);
	free(owner);
}

/* NULL, or why it cannot have a host of these; the caller's.  The lists are only read. */
static char *
claim_hosts(const struct kn_claims *claims, const char *owner, const struct str_list *hosts,
	    const struct str_list *local_hosts)
{
	struct service_conf *claim = kn_service_conf_claim(owner, hosts, local_hosts);
	char *why = claims->take(claims, claim, owner);

	settings_service_free(&claim);
	return why;
}

/* A tag whose host is another's is no tag. */
static void
claim_tags(struct kn_output *o, const struct kn_claims *claims, const struct kn_output_entry *one)
{
	size_t i;

	for (i = 0; i < one->served->traffic_n; i++) {
		struct traffic_conf *t = &one->served->traffic[i];
		char *owner, *why, *text;

		if (t->tag == NULL)
			continue;
		owner = xasprintf("tag %s of Route %s/%s", t->tag, one->ns, one->name);
		why = claim_hosts(claims, owner, &t->hosts, &t->local_hosts);
		if (why != NULL) {
			text = xasprintf("tag %s: %s", t->tag, why);
			kn_refusals_add(&o->refusals, KN_ROUTE, one->ns, one->name, text);
			free(text);
			t->tag = NULL;
			t->hosts = t->local_hosts = (struct str_list){.n = 0};
		}
		free(why);
		free(owner);
	}
}

static void
claim_domain(struct kn_output *o, const struct kn_claims *claims, const struct kn_output_entry *one,
	     const char *domain)
{
	static const struct str_list none;
	char *v[] = {(char *)(uintptr_t)domain, NULL};
	const struct str_list hosts = {v, 1};
	char *owner = xasprintf("DomainMapping %s/%s", one->ns, domain);
	char *why = claim_hosts(claims, owner, &hosts, &none);

	if (why == NULL)
		str_list_add(&one->served->hosts, domain);
	else
		kn_refusals_add(&o->refusals, KN_DOMAIN_MAPPING, one->ns, domain, why);
	free(why);
	free(owner);
}

static void
claim_domains(struct kn_output *o, const struct kn_claims *claims,
	      const struct kn_output_entry *one)
{
	const struct str_list *domains = domains_of(o, &one->now);
	size_t i;

	for (i = 0; i < domains->n; i++)
		claim_domain(o, claims, one, domains->v[i]);
}

static void
claim_all(struct kn_output *o, const struct kn_output_input *in, const struct kn_claims *claims)
{
	struct kn_output_entry **v = sorted(o);
	size_t i, n = o->outputs.n;

	for (i = 0; i < n; i++)
		claim_service(o, in, claims, v[i]);
	for (i = 0; i < n; i++)
		if (v[i]->served != NULL)
			claim_tags(o, claims, v[i]);
	for (i = 0; i < n; i++)
		if (v[i]->served != NULL)
			claim_domains(o, claims, v[i]);
	kn_holders_refuse(o->holders, &o->refusals);
	free(v);
}

/* --- all services --- */

static void
retire_array(struct kn_output *o)
{
	retired_free(&o->before);
	o->before = o->now;
	o->before.array = o->array;
	o->before.array_n = o->array_n;
	o->now = (struct kn_output_retired){.n = 0};
}

const struct service_conf *
kn_output_services(struct kn_output *o, const struct kn_output_input *in,
		   const struct kn_claims *claims, uint64_t serial, size_t *n)
{
	uint64_t base = print_base(o, in);
	struct list_node *node, *tmp;

	retire_array(o);
	kn_holders_update(o->holders, in);
	see_all(o, in->cache);
	LIST_FOREACH(&o->outputs, node, tmp) {
		struct kn_output_entry *one = container_of(node, struct kn_output_entry, node);
		uint64_t print = print_of(o, in, &one->now, base);

		if (!one->is_made || print != one->print)
			make(o, in, one, serial);
		one->print = print;
	}
	o->array = xcalloc(o->outputs.n + 1, sizeof *o->array);
	o->array_n = 0;
	claim_all(o, in, claims);
	drop_pieces(o, false);
	kn_refusals_end(&o->refusals);
	*n = o->array_n;
	return o->array;
}

bool
kn_output_is_current(struct kn_output *o, const struct kn_output_input *in)
{
	uint64_t base = print_base(o, in);
	struct list_node *node, *tmp;

	kn_holders_update(o->holders, in);
	begin_seeing(o);
	if (o->array == NULL || !each_object(in->cache, see_known, o))
		return false;
	LIST_FOREACH(&o->outputs, node, tmp) {
		const struct kn_output_entry *one = container_of(node, struct kn_output_entry,
								 node);

		if (!one->is_seen || print_of(o, in, &one->now, base) != one->print)
			return false;
	}
	return true;
}

uint64_t
kn_output_serial(const struct kn_output *o, const char *ns, const char *route)
{
	const struct kn_output_entry *one = find_output(o, ns, route);

	return one == NULL ? 0 : one->serial;
}

bool
kn_output_is_routed(struct kn_output *o, const struct kn_output_input *in, const char *ns,
		    const char *route, uint64_t serial)
{
	const struct kn_output_entry *one = find_output(o, ns, route);
	const struct kn_object *now = kn_cache_find(in->cache, KN_ROUTE, ns, route);
	struct kn_service_parts parts = {.ns = ns, .name = route, .route = now};
	struct strbuf text;
	bool is;

	if (one == NULL || now == NULL || one->text == NULL || one->serial > serial ||
	    one->served == NULL)
		return false;
	kn_holders_update(o->holders, in);
	strbuf_init(&text, 0);
	kn_service_conf_text(in, &parts, domains_of(o, &parts), &text);
	is = text_equal(one->text, strbuf_str(&text));
	strbuf_fini(&text);
	return is;
}
