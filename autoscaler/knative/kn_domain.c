#include "autoscaler/knative/kn_domain.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "common/strbuf.h"
#include "common/text.h"

#define LABEL_LONGEST 63
#define HOST_LONGEST 253
#define CLUSTER_LOCAL "cluster-local"

/* --- names --- */

/* A label of a host name. */
static bool
is_label(const char *text, size_t n)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t i;

	if (n == 0 || n > LABEL_LONGEST || text[0] == '-' || text[n - 1] == '-')
		return false;
	for (i = 0; i < n; i++)
		if (strchr(letters, text[i]) == NULL)
			return false;
	return true;
}

bool
kn_domain_is_host(const char *host)
{
	size_t n;

	if (strlen(host) > HOST_LONGEST)
		return false;
	for (;; host += n + 1) {
		n = strcspn(host, ".");
		if (!is_label(host, n))
			return false;
		if (host[n] == '\0')
			return true;
	}
}

/* --- templates --- */

/* What a template may use. */
struct template_values {
	const char *name, *ns, *domain, *tag; /* NULL: the template may not use it */
	const json_t *annotations, *labels;
};

static const char *
skip_space(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

/* The member "NAME" of annotations or labels; a missing one is "", as in Go.  NULL: the
 * expression is no such look-up. */
static const char *
look_up(const struct template_values *v, const char *map, size_t map_n, const char *key,
	size_t key_n)
{
	const json_t *from = text_is(map, map_n, "Annotations") ? v->annotations : v->labels;
	char *name;
	const char *value;

	if (v->tag != NULL ||
	    (!text_is(map, map_n, "Annotations") && !text_is(map, map_n, "Labels")))
		return NULL;
	name = xstrndup(key, key_n);
	value = kn_json_text(from, name, NULL);
	free(name);
	return value;
}

/* index .Annotations "KEY" */
static const char *
evaluate_index(const struct template_values *v, const char *at, size_t n)
{
	const char *end = at + n, *map, *key;
	char quote;
	size_t map_n, key_n;

	map = skip_space(at);
	if (map >= end || *map != '.')
		return NULL;
	map++;
	map_n = strcspn(map, " \t\r\n\"`");
	key = skip_space(map + map_n);
	if (key >= end || (*key != '"' && *key != '`'))
		return NULL;
	quote = *key++;
	key_n = strcspn(key, quote == '"' ? "\"" : "`");
	if (key + key_n + 1 != end)
		return NULL;
	return look_up(v, map, map_n, key, key_n);
}

/* .Name or .Annotations.KEY */
static const char *
evaluate_field(const struct template_values *v, const char *at, size_t n)
{
	const struct {
		const char *name, *value;
	} fields[] = {
		{"Name", v->name}, {"Namespace", v->ns}, {"Domain", v->domain}, {"Tag", v->tag}};
	const char *dot = memchr(at, '.', n);
	size_t i;

	for (i = 0; i < ARRAY_LEN(fields); i++)
		if (text_is(at, n, fields[i].name))
			return fields[i].value;
	if (dot == NULL)
		return NULL;
	return look_up(v, at, (size_t)(dot - at), dot + 1, n - (size_t)(dot - at) - 1);
}

/* The value of the n bytes between the braces, without white space around them; NULL: it is
 * something that is not supported. */
static const char *
evaluate(const struct template_values *v, const char *at, size_t n)
{
	static const char index[] = "index ";

	if (n > 1 && at[0] == '.')
		return evaluate_field(v, at + 1, n - 1);
	if (n > sizeof index && strncmp(at, index, sizeof index - 1) == 0)
		return evaluate_index(v, at + sizeof index - 1, n - (sizeof index - 1));
	return NULL;
}

static void
trim_end(struct strbuf *out)
{
	while (out->len > 0 && strchr(" \t\r\n", out->data[out->len - 1]) != NULL)
		out->data[--out->len] = '\0';
}

/* Append what a Go template makes of the values: texts and {{expressions}} of the fields, of
 * Annotations and of Labels.  -1: why says what it cannot be. */
static int
expand(const char *template, const struct template_values *v, struct strbuf *out,
       struct strbuf *why)
{
	const char *at = template, *open, *close;

	while ((open = strstr(at, "{{")) != NULL) {
		const char *from = open + 2, *value, *to;
		bool is_trim;

		close = strstr(from, "}}");
		strbuf_add(out, at, (size_t)(open - at));
		if (close == NULL) {
			strbuf_addf(why, "template %s: expected \"}}\"", template);
			return -1;
		}
		to = close;
		if (from[0] == '-' && strchr(" \t\r\n", from[1]) != NULL) {
			trim_end(out);
			from++;
		}
		is_trim = to - 2 >= from && to[-1] == '-' && strchr(" \t\r\n", to[-2]) != NULL;
		to -= is_trim;
		from = skip_space(from);
		while (to > from && strchr(" \t\r\n", to[-1]) != NULL)
			to--;
		value = from > to ? NULL : evaluate(v, from, (size_t)(to - from));
		if (value == NULL) {
			strbuf_addf(why, "template %s: %.*s cannot be evaluated", template,
				    (int)(close + 2 - open), open);
			return -1;
		}
		strbuf_adds(out, value);
		at = is_trim ? skip_space(close + 2) : close + 2;
	}
	strbuf_adds(out, at);
	return 0;
}

int
kn_domain_check(const char *template, bool is_of_tags, struct strbuf *why)
{
	const struct template_values of_tags = {.name = "name", .tag = "tag"};
	const struct template_values of_hosts = {.name = "name", .ns = "ns", .domain = "domain"};
	struct strbuf out;
	int rc;

	strbuf_init(&out, 0);
	rc = expand(template, is_of_tags ? &of_tags : &of_hosts, &out, why);
	strbuf_fini(&out);
	return rc;
}

/* --- the names of a Route --- */

bool
kn_domain_labels_are_local(const json_t *labels)
{
	return strcmp(kn_json_text(labels, KN_LABEL_VISIBILITY, NULL), CLUSTER_LOCAL) == 0;
}

bool
kn_domain_is_local(const struct kn_config *c, const json_t *labels)
{
	const char *domain = kn_config_domain(c, labels);

	return kn_domain_labels_are_local(labels) ||
	       (strncmp(domain, "svc.", 4) == 0 && strcmp(domain + 4, c->cluster_domain) == 0);
}

char *
kn_domain_name(const struct kn_config *c, const char *route, const char *tag, struct strbuf *why)
{
	const struct template_values v = {.name = route, .tag = tag};
	struct strbuf name;

	/* A name with dots could be that of a Route of another namespace. */
	if (!is_label(route, strlen(route))) {
		strbuf_addf(why,
			    "invalid name \"%s\": expected at most %d characters of a-z, 0-9 and "
			    "\"-\"",
			    route, LABEL_LONGEST);
		return NULL;
	}
	if (tag[0] == '\0')
		return xstrdup(route);
	strbuf_init(&name, 0);
	if (expand(c->network.tag_template, &v, &name, why) < 0) {
		strbuf_fini(&name);
		return NULL;
	}
	if (!is_label(strbuf_str(&name), name.len)) {
		strbuf_addf(why,
			    "invalid name \"%s\" of tag \"%s\": expected at most %d characters "
			    "of a-z, 0-9 and \"-\"",
			    strbuf_str(&name), tag, LABEL_LONGEST);
		strbuf_fini(&name);
		return NULL;
	}
	return strbuf_take(&name);
}

char *
kn_domain_local_host(const struct kn_config *c, const char *ns, const char *name)
{
	return xasprintf("%s.%s.svc.%s", name, ns, c->cluster_domain);
}

char *
kn_domain_host(const struct kn_config *c, const json_t *metadata, const char *name, bool is_local,
	       struct strbuf *why)
{
	const struct template_values v = {
		.name = name,
		.ns = kn_json_text(metadata, "namespace", NULL),
		.domain = kn_config_domain(c, kn_json_at(metadata, "labels", NULL)),
		.annotations = kn_json_at(metadata, "annotations", NULL),
		.labels = kn_json_at(metadata, "labels", NULL)};
	struct strbuf host;

	if (is_local)
		return kn_domain_local_host(c, v.ns, name);
	strbuf_init(&host, 0);
	if (expand(c->network.domain_template, &v, &host, why) < 0) {
		strbuf_fini(&host);
		return NULL;
	}
	if (!kn_domain_is_host(strbuf_str(&host))) {
		strbuf_addf(why,
			    "invalid domain name \"%s\": expected labels of at most %d characters "
			    "of a-z, 0-9 and \"-\", with dots between",
			    strbuf_str(&host), LABEL_LONGEST);
		strbuf_fini(&host);
		return NULL;
	}
	return strbuf_take(&host);
}

char *
kn_domain_url(const struct kn_config *c, const char *host, bool is_local)
{
	return xasprintf("%s://%s", is_local ? "http" : c->network.default_external_scheme, host);
}

const char *
kn_domain_url_host(const char *url)
{
	const char *at = strstr(url, "://");

	return at == NULL ? url : at + 3;
}
