#include "autoscaler/knative/kn_service_conf.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "autoscaler/knative/kn_annotations.h"
#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_domain.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/kube/kube_annotations.h"
#include "common/conf_errors.h"
#include "common/conf_tree.h"
#include "common/settings.h"
#include "common/settings_value.h"
#include "common/strbuf.h"

char *
kn_service_conf_name(const char *ns, const char *name)
{
	return kube_annotations_name(ns, name);
}

bool
kn_service_conf_has(const struct kn_cache *cache, const struct kn_object *revision)
{
	char *name = kn_deployment_name(revision->name);
	const struct kn_object *deployment = kn_cache_find(cache, KN_DEPLOYMENT, revision->ns,
							   name);

	free(name);
	return !revision->is_deleting && !revision->is_foreign && deployment != NULL &&
	       !deployment->is_deleting && kn_is_owned(deployment, revision);
}

/* --- annotations of ours --- */

static void
free_annotations(struct kube_annotation *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(v[i].name);
		free(v[i].value);
	}
	free(v);
}

/* Is it a key of revisions?  Those of sections are named KIND.NAME.KEY. */
static bool
is_of_revision(const char *name)
{
	if (strchr(name, '.') != NULL)
		return strncmp(name, "schedule.", strlen("schedule.")) == 0;
	return settings_key_find(name, IN_REVISION) != NULL;
}

/* What is wrong with an annotation at its object, a Revision or a Route; NULL: nothing. */
static const char *
misplaced(const char *name, bool is_revision)
{
	static const char *const never[] = {"host", "hosts", "service", "visibility"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(never); i++)
		if (strcmp(name, never[i]) == 0)
			return "is not for Knative's objects";
	if (is_revision && !is_of_revision(name) && settings_key_find(name, IN_SERVICE) != NULL)
		return "is for the annotations of the Service, not of its template";
	if (!is_revision && is_of_revision(name))
		return "is for the annotations of the Service's template";
	return NULL;
}

/* Is it the controllers' own affair (kn_route.c)? */
static bool
is_of_rollout(const char *key)
{
	return strcmp(key, KN_ANNOTATION_ROLLOUT_STATE) == 0 ||
	       strcmp(key, KN_ANNOTATION_ABORT_IF) == 0 ||
	       strcmp(key, KN_ANNOTATION_MIN_REQUESTS) == 0;
}

/* The annotations of ours; the array is the caller's. */
static struct kube_annotation *
take_annotations(const json_t *document, bool is_revision, size_t *n, struct strbuf *mistakes)
{
	const json_t *all = kn_json_at(document, "metadata", "annotations", NULL), *value;
	struct kube_annotation *v = xcalloc(json_object_size(all) + 1, sizeof *v);
	const char *key, *wrong;

	*n = 0;
	KN_EACH_MEMBER(all, key, value)
	{
		const char *name = key + strlen(KUBE_ANNOTATION_PREFIX);

		if (strncmp(key, KUBE_ANNOTATION_PREFIX, strlen(KUBE_ANNOTATION_PREFIX)) != 0 ||
		    is_of_rollout(key) || !json_is_string(value))
			continue;
		wrong = misplaced(name, is_revision);
		if (wrong != NULL)
			strbuf_addf(mistakes, "%s%s: %s", mistakes->len > 0 ? "; " : "", name,
				    wrong);
		else
			v[(*n)++] = (struct kube_annotation){xstrdup(name),
							     xstrdup(json_string_value(value))};
	}
	return v;
}

/* --- one section --- */

/* The sections of a service with one revision, to be loaded by themselves: the hosts of a service,
 * and what else makes it whole, come later. */
static struct conf_section *
make_section(const char *service, const char *revision, const char *deployment)
{
	struct conf_section *s = conf_section_new(IN_SERVICE, service, 0), *sub;
	static const char host[] = "unrouted";

	conf_add_text(conf_add_value(s, settings_key_find("hosts", IN_SERVICE), 0), host,
		      strlen(host), 0);
	sub = conf_section_new(IN_REVISION, revision, 0);
	conf_add_text(conf_add_value(sub, settings_key_find("deployment", IN_REVISION), 0),
		      deployment, strlen(deployment), 0);
	(void)conf_insert_section(s, 0, &sub);
	return s;
}

/* s is freed.  NULL: mistakes gets what is wrong. */
static struct service_conf *
load(const struct settings *base, struct conf_section *s, struct conf_errors *errors,
     const struct kube_annotation *v, size_t n, struct strbuf *mistakes)
{
	struct service_conf *conf = settings_load_service(base, s, errors);

	if (conf != NULL && errors->n > 0)
		settings_service_free(&conf);
	if (errors->n > 0) {
		strbuf_adds(mistakes, mistakes->len > 0 ? "; " : "");
		kube_annotations_explain(errors, v, n, mistakes);
	}
	conf_errors_cut(errors, 0);
	free(errors->v);
	conf_free(&s);
	return conf;
}

/* A service with this Revision alone; NULL: its annotations of ours (v) have mistakes. */
static struct service_conf *
load_revision(const struct kn_output_input *in, const char *service,
	      const struct kn_object *revision, const json_t *document,
	      const struct kube_annotation *v, size_t n, struct strbuf *mistakes)
{
	char *name = kn_deployment_name(revision->name);
	char *deployment = xasprintf("%s/%s", revision->ns, name);
	char *title = kube_annotations_revision(revision->name);
	struct conf_section *s = make_section(service, title, deployment);
	struct conf_errors errors = {.file = service};

	kube_annotations_add(s, title, true, v, n, &errors);
	kn_annotations_fill(in->config, in->settings, document, conf_section_at(s, IN_REVISION, 0));
	free(title);
	free(deployment);
	free(name);
	return load(in->settings, s, &errors, v, n, mistakes);
}

/* --- the Revisions --- */

/* Move the only revision of `from` into conf. */
static void
move_revision(struct service_conf *conf, struct service_conf **from)
{
	conf->revisions = xrealloc(conf->revisions,
				   (conf->revisions_n + 1) * sizeof *conf->revisions);
	conf->revisions[conf->revisions_n++] = (*from)->revisions[0];
	(*from)->revisions_n = 0;
	settings_service_free(from);
}

static void
add_revision(const struct kn_output_input *in, const struct kn_object *revision,
	     struct service_conf *conf, struct strbuf *mistakes)
{
	json_t *document = kn_object_json(revision);
	size_t n, before = mistakes->len;
	struct kube_annotation *v = take_annotations(document, true, &n, mistakes);
	struct service_conf *one = load_revision(in, conf->name, revision, document, v, n,
						 mistakes);

	if (one == NULL) {
		struct strbuf unused;

		strbuf_init(&unused, 0);
		one = load_revision(in, conf->name, revision, document, NULL, 0, &unused);
		if (one == NULL) /* what Knative says of it and the conf file do not go together */
			strbuf_addf(mistakes, "; %s", strbuf_str(&unused));
		strbuf_fini(&unused);
	}
	if (mistakes->len > before)
		strbuf_addf(mistakes, " (Revision %s)", revision->name);
	if (one != NULL)
		move_revision(conf, &one);
	free_annotations(v, n);
	json_decref(document);
}

static void
add_revisions(const struct kn_output_input *in, const struct kn_object *configuration,
	      struct service_conf *conf, struct strbuf *mistakes)
{
	const struct kn_object *revision = NULL;

	while ((revision = kn_cache_next_owned(in->cache, KN_REVISION, configuration->uid,
					       revision)) != NULL)
		if (kn_service_conf_has(in->cache, revision))
			add_revision(in, revision, conf, mistakes);
}

/* --- the Route --- */

static struct service_conf *
new_service(const char *name)
{
	struct service_conf *conf = xcalloc(1, sizeof *conf);

	conf->name = xstrdup(name);
	value_defaults(GROUP_SERVICE, conf);
	return conf;
}

/* The keys of a service that the Route's annotations set, on a service without anything else. */
static struct service_conf *
load_service(const struct kn_output_input *in, const char *name, const json_t *route,
	     struct strbuf *mistakes)
{
	static const char yes[] = "yes";
	const struct key *tag_header = settings_key_find("knative_tag_header", IN_SERVICE);
	struct conf_section *s = make_section(name, "none", "none/none");
	struct conf_errors errors = {.file = name};
	struct service_conf *conf;
	size_t n;
	struct kube_annotation *v = take_annotations(route, false, &n, mistakes);

	kube_annotations_add(s, "none", false, v, n, &errors);
	if (in->config->features.tag_header_based_routing != KN_DISABLED &&
	    conf_find(s, tag_header->name) == NULL)
		conf_add_text(conf_add_value(s, tag_header, 0), yes, strlen(yes), 0);
	conf = load(in->settings, s, &errors, v, n, mistakes);
	free_annotations(v, n);
	return conf != NULL ? conf : new_service(name);
}

/* Take out what make_section() has put in. */
static void
empty(struct service_conf *conf)
{
	struct service_conf *rest = xcalloc(1, sizeof *rest);

	rest->revisions = conf->revisions;
	rest->revisions_n = conf->revisions_n;
	rest->traffic = conf->traffic;
	rest->traffic_n = conf->traffic_n;
	conf->revisions = NULL;
	conf->traffic = NULL;
	conf->revisions_n = conf->traffic_n = 0;
	settings_service_free(&rest);
	str_list_fini(&conf->hosts);
}

/* The names by which clients in the cluster reach one of the Route's placeholders. */
static void
add_local_hosts(const struct kn_output_input *in, const char *ns, const char *name,
		struct str_list *l)
{
	str_list_take(l, xasprintf("%s.%s", name, ns));
	str_list_take(l, xasprintf("%s.%s.svc", name, ns));
	str_list_take(l, kn_domain_local_host(in->config, ns, name));
}

/* Is the host one that clients in the cluster alone reach? */
static bool
is_local(const struct kn_output_input *in, const char *host)
{
	size_t n = strlen(host), suffix = strlen(".svc.") + strlen(in->config->cluster_domain);

	return n > suffix && strncmp(host + n - suffix, ".svc.", strlen(".svc.")) == 0 &&
	       strcmp(host + n - strlen(in->config->cluster_domain), in->config->cluster_domain) ==
		       0;
}

/* The hosts of a name of the Route, which has this URL. */
static void
add_hosts(const struct kn_output_input *in, const char *ns, const char *name, const char *url,
	  struct str_list *hosts, struct str_list *local_hosts)
{
	const char *host = kn_domain_url_host(url);

	if (host[0] != '\0' && !is_local(in, host))
		str_list_take(hosts, xstrdup(host));
	add_local_hosts(in, ns, name, local_hosts);
}

/* The Revision that gets the traffic of an entry of the status, if it is served; NULL: it is not.
 */
static const struct kn_object *
find_revision(const struct kn_output_input *in, const char *ns, const char *name)
{
	const struct kn_object *o = kn_cache_find(in->cache, KN_REVISION, ns, name);

	return o != NULL && kn_service_conf_has(in->cache, o) ? o : NULL;
}

static bool
has_revision(const struct service_conf *conf, const char *name)
{
	size_t i;

	for (i = 0; i < conf->revisions_n; i++)
		if (strcmp(conf->revisions[i].name, name) == 0)
			return true;
	return false;
}

static void
add_traffic(const struct kn_output_input *in, const struct kn_service_parts *parts,
	    const json_t *entry, struct service_conf *conf)
{
	const char *tag = kn_json_text(entry, "tag", NULL);
	int64_t percent = kn_json_number(entry, "percent", 0);
	const struct kn_object *revision = find_revision(in, parts->ns,
							 kn_json_text(entry, "revisionName", NULL));
	json_t *document = revision == NULL ? NULL : kn_object_json(revision);
	const char *configuration = kn_json_text(document, "metadata", "labels",
						 KN_LABEL_CONFIGURATION, NULL);
	bool is_own = strcmp(configuration, parts->name) == 0;
	char *revision_name = revision == NULL ? NULL : kube_annotations_revision(revision->name);
	struct strbuf unused;
	struct traffic_conf *t;
	char *name;

	/* The Configuration may be gone before the Route and the Revision are. */
	if (configuration[0] != '\0' && (!is_own || has_revision(conf, revision_name))) {
		conf->traffic = xrealloc(conf->traffic,
					 (conf->traffic_n + 1) * sizeof *conf->traffic);
		t = &conf->traffic[conf->traffic_n++];
		*t = (struct traffic_conf){.revision = revision_name,
					   .percent = (uint32_t)MIN(MAX(percent, 0), 100)};
		revision_name = NULL;
		if (!is_own)
			t->service = kn_service_conf_name(parts->ns, configuration);
		strbuf_init(&unused, 0);
		name = tag[0] == '\0' ? NULL
				      : kn_domain_name(in->config, parts->name, tag, &unused);
		if (name != NULL) {
			t->tag = xstrdup(tag);
			add_hosts(in, parts->ns, name, kn_json_text(entry, "url", NULL), &t->hosts,
				  &t->local_hosts);
		}
		free(name);
		strbuf_fini(&unused);
	}
	free(revision_name);
	json_decref(document);
}

static bool
is_redirected(const struct kn_output_input *in, const json_t *route)
{
	const json_t *annotations = kn_json_at(route, "metadata", "annotations", NULL);
	const char *given = kn_json_text(annotations, "networking.knative.dev/http-protocol", NULL);

	if (given[0] == '\0')
		given = kn_json_text(annotations, "networking.knative.dev/httpOption", NULL);
	if (given[0] != '\0')
		return strcasecmp(given, "redirected") == 0;
	return in->config->network.http_protocol == KN_HTTP_REDIRECTED;
}

static void
add_route(const struct kn_output_input *in, const struct kn_service_parts *parts,
	  const json_t *route, struct service_conf *conf)
{
	const json_t *status = kn_json_at(route, "status", NULL);
	const json_t *traffic = kn_json_at(status, "traffic", NULL);
	const char *url = kn_json_text(status, "url", NULL);
	size_t i;

	if (json_array_size(traffic) == 0)
		return;
	add_hosts(in, parts->ns, parts->name, url, &conf->hosts, &conf->local_hosts);
	/* Only where there is a certificate, which the scheme says. */
	conf->redirect_https |= strncmp(url, "https:", 6) == 0 && is_redirected(in, route);
	for (i = 0; i < json_array_size(traffic); i++)
		add_traffic(in, parts, json_array_get(traffic, i), conf);
}

/* "NS/KIND/NAME" of what users change: the Service that owns both, or the Route or Configuration
 * itself; the caller's. */
static char *
changed_object(const struct kn_service_parts *parts)
{
	const struct kn_object *o = parts->route != NULL ? parts->route : parts->configuration;
	const char *kind = o == NULL || o->owner_uid[0] != '\0' ? "service"
			   : o == parts->route			? "route"
								: "configuration";

	return xasprintf("%s/%s/%s", parts->ns, kind, parts->name);
}

struct service_conf *
kn_service_conf_make(const struct kn_output_input *in, const struct kn_service_parts *parts,
		     struct strbuf *mistakes)
{
	json_t *route = parts->route == NULL ? NULL : kn_object_json(parts->route);
	char *name = kn_service_conf_name(parts->ns, parts->name);
	struct service_conf *conf = load_service(in, name, route, mistakes);

	empty(conf);
	conf->knative = changed_object(parts);
	if (parts->configuration != NULL)
		add_revisions(in, parts->configuration, conf, mistakes);
	if (route != NULL)
		add_route(in, parts, route, conf);
	json_decref(route);
	free(name);
	return conf;
}

/* --- what is used of a Route --- */

static void
put_entry(const struct kn_output_input *in, const char *ns, const json_t *entry, struct strbuf *out)
{
	const char *revision = kn_json_text(entry, "revisionName", NULL);

	strbuf_addf(out, "%s%s %lld %s %s\n", find_revision(in, ns, revision) == NULL ? "-" : "",
		    revision, (long long)kn_json_number(entry, "percent", 0),
		    kn_json_text(entry, "tag", NULL), kn_json_text(entry, "url", NULL));
}

void
kn_service_conf_text(const struct kn_output_input *in, const struct kn_service_parts *parts,
		     const struct str_list *domains, struct strbuf *out)
{
	json_t *route;
	const json_t *traffic;
	size_t i;

	if (parts->route == NULL)
		return;
	route = kn_object_json(parts->route);
	traffic = kn_json_at(route, "status", "traffic", NULL);
	strbuf_addf(out, "%s\n", kn_json_text(route, "status", "url", NULL));
	for (i = 0; i < json_array_size(traffic); i++)
		put_entry(in, parts->ns, json_array_get(traffic, i), out);
	for (i = 0; i < domains->n; i++)
		strbuf_addf(out, "%s\n", domains->v[i]);
	json_decref(route);
}

struct service_conf *
kn_service_conf_claim(const char *name, const struct str_list *hosts,
		      const struct str_list *local_hosts)
{
	struct service_conf *conf = new_service(name);

	str_list_set(&conf->hosts, hosts->v, hosts->n);
	str_list_set(&conf->local_hosts, local_hosts->v, local_hosts->n);
	return conf;
}
