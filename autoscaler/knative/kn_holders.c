#include "autoscaler/knative/kn_holders.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_cache.h"
#include "autoscaler/knative/kn_domain_mapping.h"
#include "autoscaler/knative/kn_refusals.h"
#include "common/hmap.h"
#include "common/settings.h"
#include "common/text.h"

/* What is decoded of a DomainMapping, so that it is decoded only when it has changed. */
struct kn_decoded {
	char *rv;
	char *route; /* NULL: it leads to no Route */
	bool is_mistaken;
	bool is_seen;
};

/* One that does not hold its name. */
struct loser {
	char *ns, *name, *why;
};

struct kn_holders {
	struct hmap mappings; /* by uid */
	struct hmap by_route; /* "NS/ROUTE" to struct str_list */
	struct loser *losers;
	size_t losers_n;
	bool is_made;
	uint64_t changes;		 /* kn_cache_changes() when it was made */
	const struct settings *settings; /* only compared */
};

struct kn_holders *
kn_holders_new(void)
{
	struct kn_holders *h = xcalloc(1, sizeof *h);

	hmap_init(&h->mappings);
	hmap_init(&h->by_route);
	return h;
}

static void
forget(struct kn_holders *h)
{
	size_t at = 0, i;
	void *value;

	while (hmap_next(&h->by_route, &at, NULL, &value)) {
		str_list_fini(value);
		free(value);
	}
	hmap_fini(&h->by_route);
	hmap_init(&h->by_route);
	for (i = 0; i < h->losers_n; i++) {
		free(h->losers[i].ns);
		free(h->losers[i].name);
		free(h->losers[i].why);
	}
	free(h->losers);
	h->losers = NULL;
	h->losers_n = 0;
}

/* Forget those that were not seen since the last call, or all. */
static void
drop_mappings(struct kn_holders *h, bool all)
{
	size_t at = 0;
	const char *uid;
	void *value;

	while (hmap_next(&h->mappings, &at, &uid, &value)) {
		struct kn_decoded *m = value;

		if (m->is_seen && !all) {
			m->is_seen = false;
			continue;
		}
		hmap_remove(&h->mappings, uid);
		free(m->rv);
		free(m->route);
		free(m);
	}
}

void
kn_holders_free(struct kn_holders **hp)
{
	struct kn_holders *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	forget(h);
	drop_mappings(h, true);
	hmap_fini(&h->mappings);
	hmap_fini(&h->by_route);
	free(h);
}

static struct kn_decoded *
mapping_of(struct kn_holders *h, const struct kn_object *o)
{
	struct kn_decoded *m = hmap_find(&h->mappings, o->uid);
	json_t *document;

	if (m == NULL) {
		m = xcalloc(1, sizeof *m);
		hmap_put(&h->mappings, o->uid, m);
	}
	if (!text_equal(m->rv, o->rv)) {
		document = kn_object_json(o);
		text_replace(&m->rv, o->rv);
		text_replace(&m->route, kn_domain_mapping_route(document));
		json_decref(document);
	}
	m->is_seen = true;
	return m;
}

/* why is taken over. */
static void
add_loser(struct kn_holders *h, const struct kn_object *o, char *why)
{
	h->losers = xrealloc(h->losers, (h->losers_n + 1) * sizeof *h->losers);
	h->losers[h->losers_n++] = (struct loser){xstrdup(o->ns), xstrdup(o->name), why};
}

static void
add_name(struct kn_holders *h, const struct kn_object *o, const char *route)
{
	char *key = xasprintf("%s/%s", o->ns, route);
	struct str_list *l = hmap_find(&h->by_route, key);

	if (l == NULL) {
		l = xcalloc(1, sizeof *l);
		hmap_put(&h->by_route, key, l);
	}
	str_list_add(l, o->name);
	free(key);
}

/* The one that holds each name. */
static void
find_holders(struct kn_holders *h, const struct kn_output_input *in, struct hmap *by_name)
{
	const struct kn_object *o = NULL, *other;

	while ((o = kn_cache_next(in->cache, KN_DOMAIN_MAPPING, NULL, o)) != NULL) {
		char *why;

		if (o->is_deleting)
			continue;
		why = kn_domain_mapping_mistake(in->config, in->settings, o);
		mapping_of(h, o)->is_mistaken = why != NULL;
		if (why != NULL) {
			add_loser(h, o, why);
			continue;
		}
		other = hmap_find(by_name, o->name);
		if (other == NULL || kn_domain_mapping_goes_before(o, other))
			hmap_put(by_name, o->name, (void *)(uintptr_t)o);
	}
}

static void
make(struct kn_holders *h, const struct kn_output_input *in)
{
	const struct kn_object *o = NULL, *holder;
	struct hmap by_name;

	hmap_init(&by_name);
	find_holders(h, in, &by_name);
	while ((o = kn_cache_next(in->cache, KN_DOMAIN_MAPPING, NULL, o)) != NULL) {
		const struct kn_decoded *m = hmap_find(&h->mappings, o->uid);

		if (o->is_deleting || m->is_mistaken)
			continue;
		holder = hmap_find(&by_name, o->name);
		if (holder != o)
			add_loser(h, o, kn_domain_mapping_in_use(holder));
		else if (m->route != NULL)
			add_name(h, o, m->route);
	}
	hmap_fini(&by_name);
}

void
kn_holders_update(struct kn_holders *h, const struct kn_output_input *in)
{
	uint64_t changes = kn_cache_changes(in->cache, KN_DOMAIN_MAPPING);

	if (h->is_made && h->changes == changes && h->settings == in->settings)
		return;
	forget(h);
	make(h, in);
	drop_mappings(h, false);
	h->is_made = true;
	h->changes = changes;
	h->settings = in->settings;
}

const struct str_list *
kn_holders_names(const struct kn_holders *h, const char *ns, const char *route)
{
	static const struct str_list none;
	char *key = xasprintf("%s/%s", ns, route);
	const struct str_list *l = hmap_find(&h->by_route, key);

	free(key);
	return l == NULL ? &none : l;
}

void
kn_holders_refuse(const struct kn_holders *h, struct kn_refusals *refusals)
{
	size_t i;

	for (i = 0; i < h->losers_n; i++)
		kn_refusals_add(refusals, KN_DOMAIN_MAPPING, h->losers[i].ns, h->losers[i].name,
				h->losers[i].why);
}
