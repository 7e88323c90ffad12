#include "autoscaler/knative/kn_config.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config_impl.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/strbuf.h"
#include "common/text.h"

struct kn_config_state {
	char *texts[KN_CONFIG_MAPS_N]; /* of each ConfigMap, what was taken last; NULL: nothing */
	struct hmap logged;	       /* "NAME KEY" of keys that do not hold */
};

/* What each ConfigMap fills. */
static const struct {
	const char *name;
	size_t at, size;
} maps[KN_CONFIG_MAPS_N] = {
#define MAP(member) offsetof(struct kn_config, member), sizeof((struct kn_config *)0)->member
	[KN_CONFIG_AUTOSCALER] = {"config-autoscaler", MAP(autoscaler)},
	[KN_CONFIG_DEFAULTS] = {"config-defaults", MAP(defaults)},
	[KN_CONFIG_DEPLOYMENT] = {"config-deployment", MAP(deployment)},
	[KN_CONFIG_FEATURES] = {"config-features", MAP(features)},
	[KN_CONFIG_GC] = {"config-gc", MAP(gc)},
	[KN_CONFIG_NETWORK] = {"config-network", MAP(network)},
	[KN_CONFIG_DOMAIN] = {"config-domain", MAP(domain)},
#undef MAP
};

/* --- the struct --- */

/* The domain of "search … svc.DOMAIN …"; the caller's. */
static char *
find_cluster_domain(const char *resolv_conf)
{
	static const char space[] = " \t", standard[] = "cluster.local";
	const char *at;
	size_t n;

	for (at = resolv_conf; at != NULL && *at != '\0'; at += strcspn(at, "\n")) {
		at += strspn(at, "\n");
		if (strncmp(at, "search", 6) != 0 || strchr(space, at[6]) == NULL)
			continue;
		for (at += 6; *at != '\0' && *at != '\n'; at += n) {
			at += strspn(at, space);
			n = strcspn(at, " \t\r\n");
			if (n > 4 && strncmp(at, "svc.", 4) == 0)
				return xstrndup(at + 4, n - 4 - (at[n - 1] == '.'));
			if (at[n] == '\r')
				n++;
		}
	}
	return xstrdup(standard);
}

/* Every key has Knative's default; kn_config_check() was not called. */
static struct kn_config *
make(const char *cluster_domain)
{
	struct kn_config *c = xcalloc(1, sizeof *c);

	c->cluster_domain = xstrdup(cluster_domain);
	c->state = xcalloc(1, sizeof *c->state);
	hmap_init(&c->state->logged);
	kn_config_set_defaults(c);
	kn_config_domain_init(&c->domain);
	kn_config_domain_finish(&c->domain, c->cluster_domain);
	return c;
}

struct kn_config *
kn_config_new(const char *resolv_conf)
{
	char *domain = find_cluster_domain(resolv_conf);
	struct kn_config *c = make(domain);
	size_t i;

	for (i = 0; i < KN_CONFIG_DOMAIN; i++)
		CHECK(kn_config_check(c, (enum kn_config_map)i, NULL) == 0);
	free(domain);
	return c;
}

void
kn_config_free(struct kn_config **config)
{
	struct kn_config *c = *config;
	size_t i;

	if (c == NULL)
		return;
	*config = NULL;
	kn_config_free_values(c);
	kn_config_domain_fini(&c->domain);
	for (i = 0; i < KN_CONFIG_MAPS_N; i++)
		free(c->state->texts[i]);
	hmap_fini(&c->state->logged);
	free(c->state);
	free(c->cluster_domain);
	free(c);
}

/* KN_CONFIG_MAPS_N: none. */
static enum kn_config_map
find_map(const char *name)
{
	size_t i;

	for (i = 0; i < KN_CONFIG_MAPS_N; i++)
		if (strcmp(maps[i].name, name) == 0)
			break;
	return (enum kn_config_map)i;
}

bool
kn_config_is_read(const char *name)
{
	return find_map(name) < KN_CONFIG_MAPS_N;
}

/* --- reading a ConfigMap --- */

void
kn_config_notes_fini(struct kn_config_notes *n)
{
	str_list_fini(&n->no_equal);
	str_list_fini(&n->unknown);
}

static void
add_key(struct str_list *l, const char *key)
{
	l->v = xrealloc(l->v, (l->n + 2) * sizeof *l->v);
	l->v[l->n++] = xstrdup(key);
	l->v[l->n] = NULL;
}

static int
take_key(struct kn_config *c, enum kn_config_map map, const char *key, const char *text,
	 struct kn_config_notes *notes)
{
	if (map == KN_CONFIG_DOMAIN)
		return kn_config_domain_take(&c->domain, key, text, &notes->mistake);
	switch (kn_config_take_key(c, map, key, text, &notes->mistake)) {
	case KN_KEY_TAKEN:
		return 0;
	case KN_KEY_NO_EQUAL:
		add_key(&notes->no_equal, key);
		return 0;
	case KN_KEY_UNKNOWN:
		add_key(&notes->unknown, key);
		return 0;
	default:
		return -1;
	}
}

static int
take_data(struct kn_config *c, enum kn_config_map map, json_t *data, struct kn_config_notes *notes)
{
	const char *key, *newer;
	json_t *value;

	json_object_foreach(data, key, value)
	{
		newer = kn_config_new_spelling(map, key);
		if (newer != NULL && json_object_get(data, newer) != NULL)
			continue;
		if (!json_is_string(value))
			return err_set(&notes->mistake, 0, "%s: expected a text", key);
		if (take_key(c, map, key, json_string_value(value), notes) < 0)
			return -1;
	}
	if (map == KN_CONFIG_DOMAIN)
		kn_config_domain_finish(&c->domain, c->cluster_domain);
	return kn_config_check(c, map, &notes->mistake);
}

static void
swap(struct kn_config *a, struct kn_config *b, enum kn_config_map map)
{
	size_t n = maps[map].size;
	char *x = (char *)a + maps[map].at, *y = (char *)b + maps[map].at, *hold = xmalloc(n);

	memcpy(hold, x, n);
	memcpy(x, y, n);
	memcpy(y, hold, n);
	free(hold);
}

/* The data without Knative's examples, "_example"; the caller's. */
static json_t *
without_examples(const json_t *data)
{
	json_t *copy = json_object(), *value;
	const char *key;

	/* jansson has no iterator over const objects. */
	json_object_foreach(json_is_object(data) ? (json_t *)(uintptr_t)data : NULL, key, value)
	{
		if (key[0] != '_')
			CHECK(json_object_set(copy, key, value) == 0);
	}
	return copy;
}

static enum kn_config_change
take(struct kn_config *c, enum kn_config_map map, json_t *data, struct kn_config_notes *notes)
{
	char *text = json_dumps(data, JSON_COMPACT | JSON_SORT_KEYS);
	struct kn_config *next;
	bool is_taken;

	CHECK(text != NULL);
	if (text_equal(c->state->texts[map], text) ||
	    (c->state->texts[map] == NULL && json_object_size(data) == 0)) {
		free(text);
		return KN_CONFIG_SAME;
	}
	free(c->state->texts[map]);
	c->state->texts[map] = text;
	next = make(c->cluster_domain);
	if (map == KN_CONFIG_DOMAIN) {
		kn_config_domain_fini(&next->domain);
		kn_config_domain_init(&next->domain);
	}
	is_taken = take_data(next, map, data, notes) == 0;
	if (is_taken)
		swap(c, next, map);
	kn_config_free(&next);
	return is_taken ? KN_CONFIG_CHANGED : KN_CONFIG_REFUSED;
}

enum kn_config_change
kn_config_take(struct kn_config *c, const char *name, const json_t *data,
	       struct kn_config_notes *notes)
{
	enum kn_config_map map = find_map(name);
	enum kn_config_change change;
	json_t *copy;

	*notes = (struct kn_config_notes){0};
	CHECK(map < KN_CONFIG_MAPS_N);
	copy = without_examples(data);
	change = take(c, map, copy, notes);
	json_decref(copy);
	return change;
}

/* --- the log --- */

/* The keys of the list that were not logged before, with commas between; the caller's to free. */
static char *
not_logged(struct kn_config *c, const char *name, const struct str_list *keys)
{
	struct strbuf out;
	size_t i;

	strbuf_init(&out, 0);
	for (i = 0; i < keys->n; i++) {
		char *id = xasprintf("%s %s", name, keys->v[i]);

		if (hmap_put(&c->state->logged, id, c) == NULL)
			strbuf_addf(&out, "%s%s", out.len > 0 ? "," : "", keys->v[i]);
		free(id);
	}
	return strbuf_take(&out);
}

bool
kn_config_apply(struct kn_config *c, const char *name, const json_t *data)
{
	struct kn_config_notes notes;
	enum kn_config_change change = kn_config_take(c, name, data, &notes);
	char *no_equal = not_logged(c, name, &notes.no_equal);
	char *unknown = not_logged(c, name, &notes.unknown);

	if (change == KN_CONFIG_REFUSED)
		log_warn(NULL, "a ConfigMap of Knative has a mistake: what it said before holds on",
			 "configmap=%s/%s mistake=%s", KN_CONFIG_NAMESPACE, name,
			 notes.mistake.text);
	if (change == KN_CONFIG_CHANGED)
		log_info(NULL, "took a ConfigMap of Knative", "configmap=%s/%s",
			 KN_CONFIG_NAMESPACE, name);
	if (no_equal[0] != '\0')
		log_info(NULL, "keys of a ConfigMap of Knative have no equal here, and are ignored",
			 "configmap=%s/%s keys=%s", KN_CONFIG_NAMESPACE, name, no_equal);
	if (unknown[0] != '\0')
		log_warn(NULL, "a ConfigMap of Knative has unknown keys, which are ignored",
			 "configmap=%s/%s keys=%s", KN_CONFIG_NAMESPACE, name, unknown);
	free(no_equal);
	free(unknown);
	kn_config_notes_fini(&notes);
	return change == KN_CONFIG_CHANGED;
}
