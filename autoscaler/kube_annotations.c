#include "autoscaler/kube_annotations.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/conf.h"
#include "common/conf_names.h"
#include "common/settings_value.h"
#include "common/strbuf.h"

#define NAME_LONGEST 63
#define HOST "host" /* what `hosts` is called by people with one */

/* --- names --- */

/* FNV-1a: the same for the same name, today and after a restart. */
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
kube_annotations_claim(const struct kube_annotation *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (is_host(&v[i]))
			return true;
	return false;
}

/* --- values --- */

static struct conf_value *
add_value(struct conf_section *s, const struct key *k)
{
	s->values = xrealloc(s->values, (s->values_n + 1) * sizeof *s->values);
	s->values[s->values_n] = (struct conf_value){.key = k};
	return &s->values[s->values_n++];
}

/* What stands between white space. */
static void
add_text(struct conf_value *v, const char *text, size_t n)
{
	size_t left = strspn(text, " \t\r\n");

	for (left = MIN(left, n); n > left && strchr(" \t\r\n", text[n - 1]) != NULL;)
		n--;
	v->texts = xrealloc(v->texts, (v->n + 1) * sizeof *v->texts);
	v->lines = xrealloc(v->lines, (v->n + 1) * sizeof *v->lines);
	v->lines[v->n] = 0;
	v->texts[v->n++] = xstrndup(text + left, n - left);
}

/* A list is split at commas. */
static void
set_value(struct conf_section *s, const struct key *k, const char *text)
{
	struct conf_value *v = add_value(s, k);
	size_t n;

	for (; value_is_list(k) && (n = strcspn(text, ","), text[n] == ','); text += n + 1)
		add_text(v, text, n);
	add_text(v, text, strlen(text));
}

/* Of a service, and of use where a Deployment is scaled. */
static const struct key *
find_key(const char *name)
{
	static char any[] = "any";
	const struct launch pods = {.deployment = any};
	const struct key *k = settings_key_find(name, IN_SERVICE);

	if (k == NULL || (k->group == GROUP_LAUNCH && !launch_key_applies(k, &pods)))
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
		conf_tell_unknown(errors, 0, a->name, IN_SERVICE, false);
	else if (conf_find(s, k->name) != NULL)
		conf_error(errors, 0, "hosts: expected either this or " HOST ", got both");
	else if (strcmp(k->name, "waiting_page") == 0 && strcmp(a->value, "default") != 0)
		/* Who may write an annotation may not read the activator's files. */
		conf_error(errors, 0, "waiting_page: expected \"default\", got %s",
			   CONF_QUOTED(a->value));
	else
		set_value(s, k, a->value);
}

/* --- the service --- */

static void
add_revision(struct conf_section *s, const char *deployment, const char *port)
{
	const struct key *port_key = settings_key_find("port", IN_SERVICE);
	struct conf_section *r = xcalloc(1, sizeof *r);

	*r = (struct conf_section){.where = IN_REVISION,
				   .title = xstrdup(KUBE_ANNOTATION_REVISION)};
	set_value(r, settings_key_find("deployment", IN_REVISION), deployment);
	if (port != NULL && conf_find(s, port_key->name) == NULL)
		set_value(s, port_key, port);
	s->sections = r;
	s->sections_n = 1;
}

static void
add_mistakes(const struct conf_errors *errors, struct strbuf *why)
{
	size_t i;

	for (i = 0; i < errors->n; i++)
		strbuf_addf(why, "%s%s", i == 0 ? "" : "; ", errors->v[i].text);
}

struct service_conf *
kube_annotations_service(const struct settings *base, const char *name, const char *deployment,
			 const char *port, const struct kube_annotation *v, size_t n,
			 struct strbuf *why)
{
	struct conf_section *s = xcalloc(1, sizeof *s);
	struct conf_errors errors = {.file = name};
	struct service_conf *svc = NULL;
	size_t i;

	*s = (struct conf_section){.where = IN_SERVICE, .title = xstrdup(name)};
	for (i = 0; i < n; i++)
		take_annotation(s, &v[i], &errors);
	add_revision(s, deployment, port);
	svc = settings_found(base, s, &errors);
	if (svc != NULL && errors.n > 0)
		settings_found_free(&svc);
	add_mistakes(&errors, why);
	conf_errors_cut(&errors, 0);
	free(errors.v);
	conf_free(&s);
	return svc;
}

/* --- who may claim what --- */

/* The host that an allowance means in that namespace; the caller's. */
static char *
expand(const char *pattern, const char *ns)
{
	static const char mark[] = "{namespace}";
	const char *at = strstr(pattern, mark);

	if (at == NULL)
		return xstrdup(pattern);
	return xasprintf("%.*s%s%s", (int)(at - pattern), pattern, ns, at + sizeof mark - 1);
}

/* *.NAME stands for all below it, and for itself. */
static bool
covers(const char *pattern, const char *host)
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
	yes = covers(pattern, host);
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
