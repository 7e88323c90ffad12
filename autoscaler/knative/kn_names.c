#include "autoscaler/knative/kn_names.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_values.h"
#include "common/strbuf.h"

#define NAME_MAX_LEN 63 /* of a label of DNS */
#define MD5_LEN 16
#define HEX_LEN (2 * MD5_LEN)
#define HEAD_LEN (NAME_MAX_LEN - HEX_LEN)

static void
md5_hex(const char *text, char out[HEX_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	EVP_MD *md5 = EVP_MD_fetch(NULL, "MD5", "-fips"); /* it makes a name, and secures nothing */
	unsigned char sum[EVP_MAX_MD_SIZE];
	size_t i;

	CHECK(md5 != NULL);
	CHECK(EVP_Digest(text, strlen(text), sum, NULL, md5, NULL) == 1);
	EVP_MD_free(md5);
	for (i = 0; i < MD5_LEN; i++) {
		out[2 * i] = digits[sum[i] >> 4];
		out[2 * i + 1] = digits[sum[i] & 15];
	}
	out[HEX_LEN] = '\0';
}

/* For a suffix that leaves no room for the beginning of parent: the sum is of both, and the suffix
 * fills up what is free. */
static char *
name_by_both(const char *parent, const char *suffix)
{
	char *both = xasprintf("%s%s", parent, suffix), hex[HEX_LEN + 1], *name;
	int free_n = NAME_MAX_LEN - HEX_LEN - (int)MIN(strlen(parent), (size_t)HEAD_LEN);
	size_t n;

	md5_hex(both, hex);
	free(both);
	name = xasprintf("%.*s%s%.*s", HEAD_LEN, parent, hex, free_n, suffix);
	for (n = strlen(name); n > 0 && strchr("-.", name[n - 1]) != NULL; n--)
		name[n - 1] = '\0';
	return name;
}

char *
kn_child_name(const char *parent, const char *suffix)
{
	size_t suffix_n = strlen(suffix);
	char hex[HEX_LEN + 1];

	if (strlen(parent) + suffix_n <= NAME_MAX_LEN)
		return xasprintf("%s%s", parent, suffix);
	if (suffix_n >= HEAD_LEN)
		return name_by_both(parent, suffix);
	md5_hex(parent, hex);
	return xasprintf("%.*s%s%s", (int)(HEAD_LEN - suffix_n), parent, hex, suffix);
}

char *
kn_deployment_name(const char *revision)
{
	return kn_child_name(revision, "-deployment");
}

char *
kn_revision_name(const char *configuration, int64_t generation)
{
	char suffix[32];

	(void)snprintf(suffix, sizeof suffix, "-%05lld", (long long)generation);
	return kn_child_name(configuration, suffix);
}

int64_t
kn_revision_generation(const json_t *revision)
{
	int64_t generation = 0;

	if (kn_value_int(kn_json_text(revision, "metadata", "labels", KN_LABEL_GENERATION, NULL), 1,
			 INT64_MAX, &generation) == -1)
		return 0;
	return generation;
}

json_t *
kn_owner_references(const struct kn_object *controller)
{
	const struct kn_kind_names *kind = kn_kind_names(controller->kind);
	json_t *list = json_pack("[{s:s, s:s, s:s, s:s, s:b, s:b}]", "apiVersion",
				 kind->api_version, "kind", kind->kind, "name", controller->name,
				 "uid", controller->uid, "controller", 1, "blockOwnerDeletion", 1);

	CHECK(list != NULL);
	return list;
}

bool
kn_is_owned(const struct kn_object *o, const struct kn_object *controller)
{
	return strcmp(o->owner_uid, controller->uid) == 0;
}

/* Is its controller another object of this kind and name? */
static bool
is_namesakes(const json_t *document, const struct kn_object *controller)
{
	const json_t *owners = kn_json_at(document, "metadata", "ownerReferences", NULL);
	const struct kn_kind_names *k = kn_kind_names(controller->kind);
	size_t i;

	for (i = 0; i < json_array_size(owners); i++) {
		const json_t *owner = json_array_get(owners, i);

		if (json_is_true(json_object_get(owner, "controller")))
			return strcmp(kn_json_text(owner, "apiVersion", NULL), k->api_version) ==
				       0 &&
			       strcmp(kn_json_text(owner, "kind", NULL), k->kind) == 0 &&
			       strcmp(kn_json_text(owner, "name", NULL), controller->name) == 0 &&
			       strcmp(kn_json_text(owner, "uid", NULL), controller->uid) != 0;
	}
	return false;
}

bool
kn_is_leaving(const struct kn_object *o, const struct kn_object *controller)
{
	json_t *document;
	bool is;

	if (o->is_deleting || o->owner_uid[0] == '\0')
		return o->is_deleting;
	document = kn_object_json(o);
	is = is_namesakes(document, controller);
	json_decref(document);
	return is;
}

char *
kn_not_owned_message(enum kn_kind kind, const char *name)
{
	return xasprintf("There is an existing %s \"%s\" that we do not own.",
			 kind == KN_PLACEHOLDER ? "placeholder Service" : kn_kind_names(kind)->kind,
			 name);
}

bool
kn_names_has(const char *list, const char *name)
{
	size_t n = strlen(name), entry_n;

	for (; *list != '\0'; list += entry_n + (list[entry_n] == ',')) {
		entry_n = strcspn(list, ",");
		if (entry_n == n && memcmp(list, name, n) == 0)
			return true;
	}
	return false;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of the list but `without`, and `with` (each may be NULL), sorted, each once. */
static char *
change_names(const char *list, const char *with, const char *without)
{
	char *copy = xstrdup(list), **names = xcalloc(strlen(list) + 2, sizeof *names);
	char *at = copy, *name;
	struct strbuf out;
	size_t n = 0, i;

	while ((name = strsep(&at, ",")) != NULL)
		if (*name != '\0' && (without == NULL || strcmp(name, without) != 0))
			names[n++] = name;
	if (with != NULL)
		names[n++] = (char *)(uintptr_t)with;
	qsort(names, n, sizeof *names, compare_names);
	strbuf_init(&out, 0);
	for (i = 0; i < n; i++)
		if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
			(void)strbuf_addf(&out, "%s%s", i == 0 ? "" : ",", names[i]);
	free(names);
	free(copy);
	return strbuf_take(&out);
}

char *
kn_names_with(const char *list, const char *name)
{
	return change_names(list, name, NULL);
}

char *
kn_names_without(const char *list, const char *name)
{
	return change_names(list, NULL, name);
}
