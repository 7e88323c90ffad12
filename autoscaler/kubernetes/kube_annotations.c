#include "autoscaler/kubernetes/kube_annotations.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/conf_names.h"
#include "common/conf_tree.h"
#include "common/settings_value.h"
#include "common/strbuf.h"

#define NAME_LONGEST 63
#define HOST "host" /* also means the key "hosts", as most services have one host */

/* --- names --- */

/* FNV-1a: of one name always the same, also after a restart. */
static uint32_t
hash_of(const char *text)
{
	uint32_t h = 2166136261u;

	for (; *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * 16777619u;
	return h;
}

char *
kube_annotations_name(const char *ns, const char *name)
{
	char *full = xasprintf("%s.%s", ns, name), *cut;

	if (strlen(full) <= NAME_LONGEST)
		return full;
	cut = xasprintf("%.*s-%08x", NAME_LONGEST - 9, full, hash_of(full));
	free(full);
	return cut;
}

static bool
is_host(const struct kube_annotation *a)
{
	return strcmp(a->name, HOST) == 0 || strcmp(a->name, "hosts") == 0;
}

bool
kube_annotations_have_host(const struct kube_annotation *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (is_host(&v[i]))
			return true;
	return false;
}

/* --- values --- */

/* One element, without the white space around it. */
static void
add_text(struct conf_value *v, const char *text, size_t n)
{
	size_t skip = strspn(text, " \t\r\n");

	for (skip = MIN(skip, n); n > skip && strchr(" \t\r\n", text[n - 1]) != NULL;)
		n--;
	conf_add_text(v, text + skip, n - skip, v->line);
}

/* The elements of a list have commas between them. */
static void
set_value(struct conf_section *s, const struct key *k, const char *text, unsigned line)
{
	struct conf_value *v = conf_add_value(s, k, line);
	size_t n;

	for (; value_is_list(k) && (n = strcspn(text, ","), text[n] == ','); text += n + 1)
		add_text(v, text, n);
	add_text(v, text, strlen(text));
}

/* A user who may write annotations may not read files of the activator, nor use its keys. */
static bool
names_file(const struct key *k)
{
	return strcmp(k->name, "upstream_ca") == 0 ||
	       strcmp(k->name, "upstream_certificate") == 0 || strcmp(k->name, "upstream_key") == 0;
}

/* A key that may stand in a service, and applies where a Deployment is scaled; NULL: none. */
static const struct key *
find_key(const char *name)
{
	static char any[] = "any";
	const struct launch pods = {.deployment = any};
	const struct key *k = settings_key_find(name, IN_SERVICE);

	if (k == NULL || names_file(k) ||
	    (k->group == GROUP_LAUNCH && !launch_key_applies(k, &pods)))
		return NULL;
	return k;
}

static void
take_annotation(struct conf_section *s, const struct kube_annotation *a, struct conf_errors *errors)
{
	const struct key *k = find_key(strcmp(a->name, HOST) == 0 ? "hosts" : a->name);

	if (k == NULL && settings_key_find(a->name, ~0u) != NULL)
		conf_error(errors, 0, "%s: is not for annotations", a->name);
	else if (k == NULL)
		conf_error_unknown(errors, 0, a->name, IN_SERVICE, false);
	else if (conf_find(s, k->name) != NULL)
		conf_error(errors, 0, "hosts: expected either this or " HOST ", got both");
	else if (strcmp(k->name, "waiting_page") == 0 && strcmp(a->value, "default") != 0)
		conf_error(errors, 0, "waiting_page: expected \"default\", got %s",
			   CONF_QUOTED(a->value));
	else
		set_value(s, k, a->value, 0);
}

/* --- rules and schedules: KIND.NAME.KEY is a key of the section KIND "NAME" --- */

/* That section in `in`, made where there is none.  Annotations have no order: sections come in
 * the order of their names. */
static struct conf_section *
need_section(struct conf_section *in, unsigned where, const char *title)
{
	struct conf_section *new;
	size_t i;

	for (i = 0; i < in->sections_n; i++) {
		struct conf_section *at = &in->sections[i];
		int order = at->where == where ? strcmp(at->title, title) : -1;

		if (order == 0)
			return at;
		if (order > 0)
			break;
	}
	new = conf_section_new(where, title, 0);
	return conf_insert_section(in, i, &new);
}

/* A mistake in the i-th annotation bears the line IN_ANNOTATION + i.  A lower line is one of the
 * conf file, where a value there and an annotation do not go together. */
#define IN_ANNOTATION (UINT_MAX / 2 + 1)

/* line: what its mistakes bear. */
static void
take_section_key(struct conf_section *s, const struct kube_annotation *a, unsigned line,
		 struct conf_errors *errors)
{
	char *kind_name = xstrndup(a->name, strcspn(a->name, "."));
	const char *key_name = strrchr(a->name, '.') + 1, *title_at = strchr(a->name, '.') + 1;
	const struct conf_kind *kind = conf_kind_find(kind_name, ~0u);
	const struct key *k = kind == NULL ? NULL : settings_key_find(key_name, kind->where);
	char *title;

	if (kind == NULL) {
		conf_error_unknown(errors, 0, kind_name, IN_SERVICE, true);
	} else if (kind->where != IN_RULE && kind->where != IN_SCHEDULE) {
		conf_error(errors, 0, "%s: is not for annotations", a->name);
	} else if (title_at + 1 >= key_name) {
		conf_error(errors, 0, "%s: expected %s.NAME.KEY", a->name, kind_name);
	} else if (k == NULL) {
		conf_error_unknown(errors, line, key_name, kind->where, false);
	} else {
		title = xstrndup(title_at, (size_t)(key_name - 1 - title_at));
		set_value(need_section(kind->where == IN_RULE ? s : &s->sections[0], kind->where,
				       title),
			  k, a->value, line);
		free(title);
	}
	free(kind_name);
}

/* --- the service --- */

static void
add_revision(struct conf_section *s, const char *deployment)
{
	set_value(need_section(s, IN_REVISION, KUBE_ANNOTATION_REVISION),
		  settings_key_find("deployment", IN_REVISION), deployment, 0);
}

static void
add_port(struct conf_section *s, const char *port)
{
	const struct key *k = settings_key_find("port", IN_SERVICE);

	if (port != NULL && conf_find(s, k->name) == NULL)
		set_value(s, k, port, 0);
}

/* Add the errors to why, by the names of the annotations v. */
static void
add_mistakes(const struct conf_errors *errors, const struct kube_annotation *v, struct strbuf *why)
{
	size_t i;

	for (i = 0; i < errors->n; i++) {
		const struct conf_mistake *m = &errors->v[i];
		const char *name;

		strbuf_adds(why, i == 0 ? "" : "; ");
		if (m->line >= IN_ANNOTATION) {
			name = v[m->line - IN_ANNOTATION].name;
			strbuf_addf(why, "%.*s: ", (int)(strrchr(name, '.') - name), name);
		} else if (m->line > 0) {
			strbuf_addf(why, "line %u of the conf file: ", m->line);
		}
		strbuf_adds(why, m->text);
	}
}

struct service_conf *
kube_annotations_service(const struct settings *base, const char *name, const char *deployment,
			 const char *port, const struct kube_annotation *v, size_t n,
			 struct strbuf *why)
{
	struct conf_section *s = conf_section_new(IN_SERVICE, name, 0);
	struct conf_errors errors = {.file = name};
	struct service_conf *svc = NULL;
	size_t i;

	add_revision(s, deployment);
	for (i = 0; i < n; i++)
		if (strchr(v[i].name, '.') != NULL)
			take_section_key(s, &v[i], IN_ANNOTATION + (unsigned)i, &errors);
		else
			take_annotation(s, &v[i], &errors);
	add_port(s, port);
	svc = settings_load_service(base, s, &errors);
	if (svc != NULL && errors.n > 0)
		settings_service_free(&svc);
	add_mistakes(&errors, v, why);
	conf_errors_cut(&errors, 0);
	free(errors.v);
	conf_free(&s);
	return svc;
}

/* --- allow_hosts: which namespace may claim which hosts --- */

/* The pattern with {namespace} replaced; the caller's. */
static char *
expand(const char *pattern, const char *ns)
{
	static const char mark[] = "{namespace}";
	const char *at = strstr(pattern, mark);

	if (at == NULL)
		return xstrdup(pattern);
	return xasprintf("%.*s%s%s", (int)(at - pattern), pattern, ns, at + sizeof mark - 1);
}

/* "*.NAME" allows all hosts below NAME, and the host "*.NAME" itself. */
static bool
matches(const char *pattern, const char *host)
{
	size_t n = strlen(pattern), h = strlen(host);

	if (strcmp(pattern, "*") == 0 || strcasecmp(pattern, host) == 0)
		return true;
	return pattern[0] == '*' && h > n - 1 && strcasecmp(host + h - (n - 1), pattern + 1) == 0;
}

static bool
is_allowed(const char *allowance, const char *ns, const char *host)
{
	size_t n = strcspn(allowance, "=");
	char *pattern;
	bool yes;

	if (!(n == 1 && allowance[0] == '*') && (strlen(ns) != n || strncmp(ns, allowance, n) != 0))
		return false;
	pattern = expand(allowance + n + 1, ns);
	yes = matches(pattern, host);
	free(pattern);
	return yes;
}

const char *
kube_annotations_denied(const struct settings *s, const char *ns, const struct service_conf *svc)
{
	const struct str_list *allow = &s->autoscaler.allow_hosts;
	size_t i, k;

	for (i = 0; i < svc->hosts.n && allow->n > 0; i++) {
		for (k = 0; k < allow->n; k++)
			if (is_allowed(allow->v[k], ns, svc->hosts.v[i]))
				break;
		if (k == allow->n)
			return svc->hosts.v[i];
	}
	return NULL;
}
