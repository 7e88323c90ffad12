#include "autoscaler/kube/kube_annotations.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/conf_names.h"
#include "common/conf_tree.h"
#include "common/settings_value.h"
#include "common/strbuf.h"

#define NAME_LONGEST 63
#define HOST "host" /* also means the key "hosts", as most services have one host */
#define SERVICE "service"

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

/* full is taken over. */
static char *
cut(char *full)
{
	char *shorter;

	if (strlen(full) <= NAME_LONGEST)
		return full;
	shorter = xasprintf("%.*s-%08x", NAME_LONGEST - 9, full, hash_of(full));
	free(full);
	return shorter;
}

char *
kube_annotations_name(const char *ns, const char *name)
{
	return cut(xasprintf("%s.%s", ns, name));
}

char *
kube_annotations_revision(const char *name)
{
	return cut(xstrdup(name));
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

const char *
kube_annotations_get(const struct kube_annotation *v, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return v[i].value;
	return NULL;
}

bool
kube_annotations_are_ours(const struct kube_annotation *v, size_t n)
{
	return kube_annotations_have_host(v, n) || kube_annotations_get(v, n, SERVICE) != NULL;
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

/* Text of such a user could look like the lines of other services. */
static bool
forges_lines(const struct key *k)
{
	return strcmp(k->name, "access_log_format") == 0;
}

/* A key that may stand in a service, and applies where a Deployment is scaled; NULL: none. */
static const struct key *
find_key(const char *name)
{
	static char any[] = "any";
	const struct launch pods = {.deployment = any};
	const struct key *k = settings_key_find(name, IN_SERVICE);

	if (k == NULL || names_file(k) || forges_lines(k) ||
	    (k->group == GROUP_LAUNCH && !launch_key_applies(k, &pods)))
		return NULL;
	return k;
}

/* Where the keys of an annotation go. */
struct annotation_target {
	struct conf_section *service;
	/* Of the revision: its section is looked for each time, as sections move when others are
	 * made. */
	const char *revision;
	bool is_joint;	     /* keys that are a revision's go there, not to the service */
	bool is_of_service;  /* keys that are only the service's are taken, … */
	bool is_of_revision; /* … and those that are a revision's */
};

static struct conf_section *need_section(struct conf_section *in, unsigned where,
					 const char *title);

/* NULL: a key of this kind is not taken. */
static struct conf_section *
section_for(const struct annotation_target *t, bool is_of_revision)
{
	if (!(is_of_revision && t->is_joint))
		return t->is_of_service ? t->service : NULL;
	return t->is_of_revision ? need_section(t->service, IN_REVISION, t->revision) : NULL;
}

static bool
is_about_joint(const struct annotation_target *t, const char *name)
{
	return t->is_joint && (strcmp(name, SERVICE) == 0 || strcmp(name, "percent") == 0 ||
			       strcmp(name, "tag") == 0);
}

static void
take_annotation(const struct annotation_target *t, const struct kube_annotation *a,
		struct conf_errors *errors)
{
	const struct key *k = find_key(strcmp(a->name, HOST) == 0 ? "hosts" : a->name);
	struct conf_section *s = t->service;

	if (is_about_joint(t, a->name))
		return;
	if (k != NULL) {
		s = section_for(t, (k->where & IN_REVISION) != 0);
		if (s == NULL)
			return;
	}
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
take_section_key(const struct annotation_target *t, const struct kube_annotation *a, unsigned line,
		 struct conf_errors *errors)
{
	struct conf_section *s;
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
		s = section_for(t, kind->where == IN_SCHEDULE);
		if (s != NULL && kind->where == IN_SCHEDULE && !t->is_joint)
			s = need_section(t->service, IN_REVISION, t->revision);
		if (s != NULL)
			set_value(need_section(s, kind->where, title), k, a->value, line);
		free(title);
	}
	free(kind_name);
}

/* --- the service --- */

static void
add_revision(struct conf_section *s, const char *revision, const char *deployment)
{
	set_value(need_section(s, IN_REVISION, revision),
		  settings_key_find("deployment", IN_REVISION), deployment, 0);
}

/* A mistake in the i-th of them bears the line IN_ANNOTATION + i. */
static void
take_all(const struct annotation_target *t, const struct kube_annotation *v, size_t n,
	 struct conf_errors *errors)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strchr(v[i].name, '.') != NULL)
			take_section_key(t, &v[i], IN_ANNOTATION + (unsigned)i, errors);
		else
			take_annotation(t, &v[i], errors);
}

static void
add_port(struct conf_section *s, const char *port)
{
	const struct key *k = settings_key_find("port", IN_SERVICE);

	if (port != NULL && conf_find(s, k->name) == NULL)
		set_value(s, k, port, 0);
}

/* Add the errors to why, by the names of the n annotations v. */
void
kube_annotations_explain(const struct conf_errors *errors, const struct kube_annotation *v,
			 size_t n, struct strbuf *why)
{
	size_t i;

	for (i = 0; i < errors->n; i++) {
		const struct conf_mistake *m = &errors->v[i];
		const char *name;

		strbuf_adds(why, i == 0 ? "" : "; ");
		if (m->line >= IN_ANNOTATION && m->line - IN_ANNOTATION >= n) {
			; /* of another object */
		} else if (m->line >= IN_ANNOTATION) {
			name = v[m->line - IN_ANNOTATION].name;
			strbuf_addf(why, "%.*s: ", (int)(strrchr(name, '.') - name), name);
		} else if (m->line > 0) {
			strbuf_addf(why, "line %u of the conf file: ", m->line);
		}
		strbuf_adds(why, m->text);
	}
}

/* s and the errors are freed. */
static struct service_conf *
load(const struct settings *base, struct conf_section *s, struct conf_errors *errors,
     const struct kube_annotation *v, size_t n, struct strbuf *why)
{
	struct service_conf *svc = settings_load_service(base, s, errors);

	if (svc != NULL && errors->n > 0)
		settings_service_free(&svc);
	kube_annotations_explain(errors, v, n, why);
	conf_errors_cut(errors, 0);
	free(errors->v);
	conf_free(&s);
	return svc;
}

struct service_conf *
kube_annotations_service(const struct settings *base, const char *name, const char *deployment,
			 const char *port, const struct kube_annotation *v, size_t n,
			 struct strbuf *why)
{
	struct conf_section *s = conf_section_new(IN_SERVICE, name, 0);
	const struct annotation_target t = {
		.service = s, .revision = KUBE_ANNOTATION_REVISION, .is_of_service = true};
	struct conf_errors errors = {.file = name};

	add_revision(s, KUBE_ANNOTATION_REVISION, deployment);
	take_all(&t, v, n, &errors);
	add_port(s, port);
	return load(base, s, &errors, v, n, why);
}

void
kube_annotations_add(struct conf_section *service, const char *revision, bool is_of_revision,
		     const struct kube_annotation *v, size_t n, struct conf_errors *errors)
{
	const struct annotation_target t = {.service = service,
					    .revision = revision,
					    .is_joint = true,
					    .is_of_service = !is_of_revision,
					    .is_of_revision = is_of_revision};

	take_all(&t, v, n, errors);
}

/* --- a joint service --- */

static void
add_traffic(struct conf_section *s, const struct kube_part *part, uint32_t percent)
{
	char text[16];

	snprintf(text, sizeof text, "%u", (unsigned)percent);
	set_value(need_section(s, IN_TRAFFIC, part->revision),
		  settings_key_find("percent", IN_TRAFFIC), text, 0);
	if (part->tag != NULL)
		set_value(need_section(s, IN_TRAFFIC, part->revision),
			  settings_key_find("tag", IN_TRAFFIC), part->tag, 0);
}

struct service_conf *
kube_annotations_joint(const struct settings *base, const char *name,
		       const struct kube_part *leader, const struct kube_part *const *parts,
		       const uint32_t *percents, size_t n, struct strbuf *why)
{
	struct conf_section *s = conf_section_new(IN_SERVICE, name, 0);
	struct annotation_target t = {.service = s, .is_joint = true};
	struct conf_errors errors = {.file = name};
	size_t i;

	t.is_of_service = true;
	take_all(&t, leader->v, leader->n, &errors);
	if (n > 1 || parts[0] != leader)
		conf_errors_cut(&errors, 0); /* they are reported for the leader alone */
	t.is_of_service = false;
	t.is_of_revision = true;
	for (i = 0; i < n; i++) {
		t.revision = parts[i]->revision;
		add_revision(s, t.revision, parts[i]->deployment);
		add_traffic(s, parts[i], percents[i]);
		if (parts[i] == leader && n == 1)
			conf_errors_cut(&errors, 0); /* each would come twice */
		take_all(&t, parts[i]->v, parts[i]->n, &errors);
	}
	return load(base, s, &errors, parts[0]->v, n == 1 ? parts[0]->n : 0, why);
}

/* Is the annotation about the service, not about one revision? */
static bool
is_of_service(const struct kube_annotation *a)
{
	const struct key *k = find_key(is_host(a) ? "hosts" : a->name);

	if (strchr(a->name, '.') != NULL)
		return strncmp(a->name, "rule.", strlen("rule.")) == 0;
	return k != NULL && (k->where & IN_REVISION) == 0;
}

bool
kube_annotations_agree(const struct kube_part *leader, const char *leader_name,
		       const struct kube_part *part, struct strbuf *why)
{
	const char *value;
	size_t i;

	for (i = 0; i < part->n; i++) {
		const struct kube_annotation *a = &part->v[i];

		if (!is_of_service(a))
			continue;
		value = kube_annotations_get(leader->v, leader->n, a->name);
		if (value != NULL && strcmp(value, a->value) == 0)
			continue;
		strbuf_addf(why,
			    "%s: expected what Deployment %s has, which is the oldest of the "
			    "service that names a host (%s), got \"%s\"",
			    a->name, leader_name, value == NULL ? "none" : value, a->value);
		return false;
	}
	return true;
}

bool
kube_annotations_split(const int *given, size_t n, uint32_t *percents, uint32_t *sum)
{
	size_t rest = n, largest = 0, i;
	uint32_t left = 100;

	*sum = 0;
	for (i = 0; i < n; i++) {
		*sum += given[i] < 0 ? 0 : (uint32_t)given[i];
		percents[i] = given[i] < 0 ? 0 : (uint32_t)given[i];
		if (given[i] < 0 && rest == n)
			rest = i;
	}
	if (rest < n && *sum <= 100) {
		percents[rest] = 100 - *sum;
		*sum = 100;
	}
	if (*sum == 100)
		return true;
	for (i = 0; i < n; i++) {
		if (percents[i] > percents[largest])
			largest = i;
	}
	for (i = 0; i<n && * sum> 0; i++) {
		percents[i] = percents[i] * 100 / *sum;
		left -= percents[i];
	}
	percents[largest] += left; /* what rounding leaves; all, if none was given any */
	return false;
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

bool
kube_annotations_may_claim(const struct settings *s, const char *ns, const char *host)
{
	const struct str_list *allow = &s->autoscaler.allow_hosts;
	size_t i;

	for (i = 0; i < allow->n; i++)
		if (is_allowed(allow->v[i], ns, host))
			return true;
	return allow->n == 0;
}

const char *
kube_annotations_denied(const struct settings *s, const char *ns, const struct service_conf *svc)
{
	size_t i;

	for (i = 0; i < svc->hosts.n; i++)
		if (!kube_annotations_may_claim(s, ns, svc->hosts.v[i]))
			return svc->hosts.v[i];
	return NULL;
}
