#include "common/settings_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/hmap.h"
#include "common/settings_claims.h"
#include "common/settings_form.h"
#include "common/strbuf.h"

#define REPORT(ld, line, ...) conf_error(&(ld)->errors, line, __VA_ARGS__)

static unsigned
line_of(const struct conf_section *s, const char *key)
{
	const struct conf_value *v = conf_find(s, key);

	return v == NULL ? s->line : v->line;
}

/* Was a mistake in the value of this key reported?  Then it is not compared with others. */
static bool
is_bad(const struct conf_section *s, const char *key)
{
	const struct conf_value *v = conf_find(s, key);

	return v != NULL && v->is_bad;
}

static void
check_name(struct loader *ld, const struct conf_section *s, const char *kind)
{
	if (!form_is_name(s->title))
		REPORT(ld, s->line,
		       "%s: expected a name of at most 63 letters, digits, \"-\", \"_\" and \".\", "
		       "got %s",
		       kind, CONF_QUOTED(s->title));
}

/* --- activator and autoscaler --- */

struct bound_address {
	const char *key, *section, *text;
	unsigned line; /* 0: a default */
};

/* a and b: an address, or an entry of listen. */
static bool
is_same_address(const char *a, const char *b)
{
	struct listen_spec x, y;

	if (listen_spec_parse(&x, a, NULL) < 0 || listen_spec_parse(&y, b, NULL) < 0)
		return false;
	return (addr_is_unix(&x.addr) || addr_port(&x.addr) != 0) && addr_equal(&x.addr, &y.addr);
}

/* Report it in the line of one that the file sets; the other may be a default. */
static void
report_address(struct loader *ld, const struct bound_address *a, const struct bound_address *b)
{
	const struct bound_address *shown = b->line > 0 ? b : a, *other = shown == a ? b : a;
	char line[32] = "by default";

	if (other->line > 0)
		snprintf(line, sizeof line, "in line %u", other->line);
	REPORT(ld, shown->line, "%s: expected an address of its own, got %s, which %s of %s has %s",
	       shown->key, CONF_QUOTED(shown->text), other->key, other->section, line);
}

static void
add_address(struct loader *ld, struct bound_address *all, size_t *n, struct bound_address a)
{
	size_t i;

	for (i = 0; i < *n; i++)
		if (is_same_address(all[i].text, a.text)) {
			report_address(ld, &all[i], &a);
			return;
		}
	all[(*n)++] = a;
}

/* The line of a key; 0: it has its default. */
static unsigned
process_line(const struct conf_section *s, const char *key)
{
	return conf_find(s, key) == NULL ? 0 : line_of(s, key);
}

static void
check_listener(struct loader *ld, const struct listen_spec *spec, const char *text, unsigned line)
{
	if (spec->is_proxy && ld->s->activator.trusted_proxies.n == 0 &&
	    !is_bad(ld->activator, "trusted_proxies"))
		REPORT(ld, line,
		       "listen: expected trusted_proxies too, which name those that may send a PROXY "
		       "protocol header, got %s alone",
		       CONF_QUOTED(text));
	if (spec->is_tls && conf_section_count(ld->activator, IN_CERTIFICATE) == 0)
		REPORT(ld, line, "listen: expected a certificate section for %s, got none",
		       CONF_QUOTED(text));
}

static void
check_certificates(struct loader *ld)
{
	const struct activator_conf *a = &ld->s->activator;
	size_t i;

	for (i = 0; i < a->certificates_n; i++) {
		const struct conf_section *s = conf_section_at(ld->activator, IN_CERTIFICATE, i);

		check_name(ld, s, "certificate");
		if (a->certificates[i].chain == NULL && !is_bad(s, "chain"))
			REPORT(ld, s->line, "certificate %s: expected chain, got none",
			       CONF_QUOTED(s->title));
		if (a->certificates[i].client_ca == NULL && !is_bad(s, "client_ca") &&
		    conf_find(s, "client_certificate") != NULL)
			REPORT(ld, line_of(s, "client_certificate"),
			       "client_certificate: expected client_ca too, got none");
	}
}

static void
check_owners(struct loader *ld)
{
	size_t i;

	for (i = 0; i < ld->s->owners_n; i++)
		if (!form_is_account(ld->s->owners[i].name))
			REPORT(ld, ld->s->owners[i].line,
			       "owner: expected 1 to 63 letters, digits and \"-_.@/\", got %s",
			       CONF_QUOTED(ld->s->owners[i].name));
}

static void
check_retention(struct loader *ld)
{
	const struct autoscaler_conf *a = &ld->s->autoscaler;
	const char *key = conf_find(ld->autoscaler, "min_non_active_revisions") == NULL
				  ? "max_non_active_revisions"
				  : "min_non_active_revisions";

	if (a->min_non_active_revisions > a->max_non_active_revisions &&
	    !is_bad(ld->autoscaler, "min_non_active_revisions") &&
	    !is_bad(ld->autoscaler, "max_non_active_revisions"))
		REPORT(ld, process_line(ld->autoscaler, key),
		       "%s: expected min_non_active_revisions (%u) to be at most "
		       "max_non_active_revisions (%u)",
		       key, a->min_non_active_revisions, a->max_non_active_revisions);
}

void
check_processes(struct loader *ld)
{
	const struct activator_conf *a = &ld->s->activator;
	struct bound_address *all = xcalloc(a->listen.n + 2, sizeof *all);
	const struct conf_value *listen = conf_find(ld->activator, "listen");
	size_t n = 0, i;

	if (a->listen.n == 0)
		REPORT(ld, process_line(ld->activator, "listen"),
		       "listen: expected an address, got an empty list");
	for (i = 0; i < a->listen.n && (listen == NULL || !listen->is_bad); i++) {
		unsigned line = listen == NULL ? 0 : listen->lines[i];

		check_listener(ld, &a->listeners[i], a->listen.v[i], line);
		add_address(ld, all, &n,
			    (struct bound_address){"listen", "activator", a->listen.v[i], line});
	}
	add_address(ld, all, &n,
		    (struct bound_address){"admin", "activator", a->admin,
					   process_line(ld->activator, "admin")});
	add_address(ld, all, &n,
		    (struct bound_address){"admin", "autoscaler", ld->s->autoscaler.admin,
					   process_line(ld->autoscaler, "admin")});
	free(all);
	check_certificates(ld);
	check_retention(ld);
	check_owners(ld);
}

/* --- a service's own keys --- */

static void
check_hosts(struct loader *ld, const struct conf_section *s, const struct service_conf *svc)
{
	if (svc->hosts.n == 0 && !is_bad(s, "hosts"))
		REPORT(ld, line_of(s, "hosts"), "service %s: expected hosts, got none",
		       CONF_QUOTED(svc->name));
	if (svc->match_value != NULL && svc->match_header == NULL && !is_bad(s, "match_header"))
		REPORT(ld, line_of(s, "match_value"),
		       "match_value: expected match_header too, got none");
	if (svc->match_header != NULL && svc->match_value == NULL && !is_bad(s, "match_value"))
		REPORT(ld, line_of(s, "match_header"),
		       "match_header: expected match_value too, got none");
}

static void
check_visibility(struct loader *ld, const struct conf_section *s, const struct service_conf *svc)
{
	const struct activator_conf *a = &ld->s->activator;
	size_t i;

	if (svc->visibility != VISIBILITY_LOCAL || is_bad(ld->activator, "listen"))
		return;
	for (i = 0; i < a->listeners_n; i++)
		if (a->listeners[i].is_local)
			return;
	REPORT(ld, line_of(s, "visibility"),
	       "visibility: expected \"public\", since no address in listen has the word "
	       "\"local\", got \"local\"");
}

static void
check_answer(struct loader *ld, const struct conf_section *s, const struct rule_conf *rule)
{
	static const char *const answers[] = {"status", "body", "fields"};
	bool has_body = rule->status != 204 && rule->status != 304;
	size_t i;

	for (i = 0; i < ARRAY_LEN(answers) && rule->action != RULE_ANSWER; i++)
		if (conf_find(s, answers[i]) != NULL)
			REPORT(ld, line_of(s, answers[i]),
			       "%s: expected action = answer in this rule", answers[i]);
	if (rule->action == RULE_ANSWER && !has_body && rule->body != NULL)
		REPORT(ld, line_of(s, "body"), "body: expected none with status %u", rule->status);
}

static void
check_rules(struct loader *ld, const struct conf_section *s, const struct service_conf *svc)
{
	size_t i;

	for (i = 0; i < svc->rules_n; i++) {
		const struct conf_section *sub = conf_section_at(s, IN_RULE, i);
		const struct rule_conf *rule = &svc->rules[i];

		if (rule->contains != NULL && rule->header == NULL && !is_bad(sub, "header"))
			REPORT(ld, line_of(sub, "contains"),
			       "contains: expected header too, got none");
		if (!is_bad(sub, "action") && !is_bad(sub, "status"))
			check_answer(ld, sub, rule);
	}
}

/* --- how its traffic is split --- */

static bool
has_revision(const struct service_conf *svc, const char *name)
{
	size_t i;

	for (i = 0; i < svc->revisions_n; i++)
		if (strcmp(svc->revisions[i].name, name) == 0)
			return true;
	return false;
}

static void
check_tags(struct loader *ld, const struct conf_section *s, const struct service_conf *svc)
{
	struct hmap seen;
	size_t i;

	hmap_init(&seen);
	for (i = 0; i < svc->traffic_n; i++) {
		struct conf_section *sub = conf_section_at(s, IN_TRAFFIC, i), *first;

		if (svc->traffic[i].tag == NULL)
			continue;
		first = hmap_put(&seen, svc->traffic[i].tag, sub);
		if (first != NULL)
			REPORT(ld, line_of(sub, "tag"),
			       "tag: expected a tag of its own, got \"%s\", which line %u has already",
			       svc->traffic[i].tag, line_of(first, "tag"));
	}
	hmap_fini(&seen);
}

static void
check_traffic(struct loader *ld, const struct conf_section *s, const struct service_conf *svc)
{
	const struct conf_section *first = conf_section_at(s, IN_TRAFFIC, 0);
	bool is_sure = true;
	uint64_t sum = 0;
	size_t i;

	if (first == NULL && svc->revisions_n > 1)
		REPORT(ld, s->line,
		       "service %s: expected traffic sections for its %zu revisions, got none",
		       CONF_QUOTED(svc->name), svc->revisions_n);
	if (first == NULL)
		return;
	for (i = 0; i < svc->traffic_n; i++) {
		const struct conf_section *sub = conf_section_at(s, IN_TRAFFIC, i);

		sum += svc->traffic[i].percent;
		is_sure = is_sure && !is_bad(sub, "percent");
		if (svc->traffic[i].latest > svc->traffic[i].percent && is_sure &&
		    !is_bad(sub, "latest"))
			REPORT(ld, line_of(sub, "latest"),
			       "latest: expected at most percent (%u), got \"%u\"",
			       svc->traffic[i].percent, svc->traffic[i].latest);
		if (!has_revision(svc, svc->traffic[i].revision))
			REPORT(ld, sub->line, "traffic: expected a revision of service %s, got %s",
			       CONF_QUOTED(svc->name), CONF_QUOTED(svc->traffic[i].revision));
	}
	if (sum != 100 && is_sure)
		REPORT(ld, first->line,
		       "service %s: expected traffic percents that sum to 100, got %u",
		       CONF_QUOTED(svc->name), (unsigned)sum);
	check_tags(ld, s, svc);
}

/* --- how a revision is started --- */

static const struct way {
	const char *key;
	bool process, kubernetes; /* with which drivers */
} ways[] = {
	{"command", true, false},
	{"addresses", true, true},
	{"deployment", false, true},
	{"workload", false, true},
};

bool
launch_key_applies(const struct key *k, const struct launch *l)
{
	static const char *const processes[] = {
		"directory",	   "environment",      "user",
		"stop_timeout",	   "refusal_timeout",  "liveness",
		"liveness_period", "liveness_timeout", "liveness_threshold",
		"stop_command",	   "pid_file"};
	static const char *const pods[] = {
		"port",		 "failure_patience", "unschedulable_patience",
		"foreign_scale", "foreign_hold",     "state_annotation"};
	bool is_pod = l->deployment != NULL || l->workload != NULL;
	size_t i;

	for (i = 0; i < ARRAY_LEN(processes); i++)
		if (strcmp(k->name, processes[i]) == 0)
			return l->command.n > 0;
	for (i = 0; i < ARRAY_LEN(pods); i++)
		if (strcmp(k->name, pods[i]) == 0)
			return is_pod;
	return true;
}

static void
check_way(struct loader *ld, const struct conf_section *s, const struct way *way,
	  const struct launch *l)
{
	bool is_kubernetes = ld->s->autoscaler.driver == DRIVER_KUBERNETES;
	size_t i;

	if (!(is_kubernetes ? way->kubernetes : way->process))
		REPORT(ld, line_of(s, way->key), "%s: expected driver = %s, got \"%s\"", way->key,
		       is_kubernetes ? "process" : "kubernetes",
		       is_kubernetes ? "kubernetes" : "process");
	for (i = 0; i < s->values_n; i++)
		if (s->values[i].key->group == GROUP_LAUNCH && !is_bad(s, way->key) &&
		    !launch_key_applies(s->values[i].key, l))
			REPORT(ld, s->values[i].line, "%s: has no effect together with %s",
			       s->values[i].key->name, way->key);
}

static void
check_launch(struct loader *ld, const struct conf_section *s, const struct revision_conf *r)
{
	const struct way *way = NULL, *second = NULL;
	bool is_empty = false;
	size_t i;

	for (i = 0; i < ARRAY_LEN(ways); i++) {
		const struct conf_value *v = conf_find(s, ways[i].key);

		is_empty = is_empty || (v != NULL && v->n == 0);
		if (v != NULL && way != NULL)
			second = &ways[i];
		else if (v != NULL)
			way = &ways[i];
	}
	if (way == NULL)
		REPORT(ld, s->line,
		       "revision %s: expected one of command, addresses, deployment and workload, "
		       "got none",
		       CONF_QUOTED(r->name));
	else if (second != NULL)
		REPORT(ld, line_of(s, second->key),
		       "%s: expected one of command, addresses, deployment and workload, got %s in "
		       "line %u too",
		       second->key, way->key, line_of(s, way->key));
	else if (is_empty)
		REPORT(ld, line_of(s, way->key),
		       "%s: expected at least one value, got an empty list", way->key);
	else
		check_way(ld, s, way, &r->launch);
	if (r->limits.probe == PROBE_READINESS && way != NULL && second == NULL &&
	    !(way->kubernetes && !way->process))
		REPORT(ld, settings_origins_line(&r->origins, "probe", s->line),
		       "probe: expected \"auto\", \"tcp\", \"grpc\" or a path together with %s, got "
		       "\"readiness\"",
		       way->key);
}

/* A default of an outer section is for the revisions that use TLS. */
static void
check_no_upstream_tls(struct loader *ld, const struct revision_conf *r)
{
	static const char *const names[] = {"upstream_ca", "upstream_name", "upstream_certificate",
					    "upstream_key"};
	size_t i, k;

	for (i = 0; i < r->origins.n; i++)
		for (k = 0; k < ARRAY_LEN(names); k++)
			if (r->origins.v[i].where == IN_REVISION &&
			    strcmp(r->origins.v[i].key->name, names[k]) == 0)
				REPORT(ld, r->origins.v[i].line,
				       "%s: expected upstream_tls = yes too, got no", names[k]);
}

/* No certificate can have the address of a Unix socket. */
static void
check_upstream_name(struct loader *ld, const struct conf_section *s, const struct revision_conf *r)
{
	size_t i;

	for (i = 0; r->limits.upstream_name == NULL && i < r->launch.addresses.n; i++)
		if (strncmp(r->launch.addresses.v[i], "unix:", 5) == 0) {
			REPORT(ld, settings_origins_line(&r->origins, "addresses", s->line),
			       "addresses: expected upstream_name together with upstream_tls and "
			       "%s, got none",
			       CONF_QUOTED(r->launch.addresses.v[i]));
			return;
		}
}

static void
check_upstream_tls(struct loader *ld, const struct conf_section *s, const struct revision_conf *r)
{
	const struct limits *l = &r->limits;

	if (l->upstream_tls)
		check_upstream_name(ld, s, r);
	else
		check_no_upstream_tls(ld, r);
	if (l->upstream_key != NULL && l->upstream_certificate == NULL)
		REPORT(ld, settings_origins_line(&r->origins, "upstream_key", s->line),
		       "upstream_key: expected upstream_certificate too, got none");
}

static void
check_environment(struct loader *ld, const struct conf_section *s)
{
	const struct conf_value *v = conf_find(s, "environment");
	struct hmap seen;
	size_t i;

	hmap_init(&seen);
	for (i = 0; v != NULL && !v->is_bad && i < v->n; i++) {
		char *name = xstrndup(v->texts[i], strcspn(v->texts[i], "="));

		if (hmap_put(&seen, name, v->texts[i]) != NULL)
			REPORT(ld, v->lines[i],
			       "environment: expected each name once, got %s again",
			       CONF_QUOTED(name));
		free(name);
	}
	hmap_fini(&seen);
}

/* --- how it is scaled --- */

/* ", line 7"; "" if the key comes from no file. */
#define ORIGIN_TEXT 32
static const char *
origin_text(const struct revision_conf *r, const char *key, char out[ORIGIN_TEXT])
{
	unsigned line = settings_origins_line(&r->origins, key, r->line);

	snprintf(out, ORIGIN_TEXT, line > 0 ? ", line %u" : "", line);
	return out;
}

/* max_instances of the file if it holds for r, else 0.  The default is not checked: it depends
 * on the machine, and whether a file has a mistake must not. */
static uint32_t
max_instances_for(const struct loader *ld, const struct revision_conf *r)
{
	bool is_counted = r->launch.addresses.n == 0 && !r->scaling.dry_run;

	return is_counted ? ld->s->autoscaler.max_instances : 0;
}

static unsigned
max_instances_line(const struct loader *ld)
{
	return settings_origins_line(&ld->s->origins, "max_instances", 0);
}

/* A key asks for so many instances of r: its limits must allow them. */
static void
check_max(struct loader *ld, const struct revision_conf *r, const char *key, unsigned line,
	  uint32_t value)
{
	uint32_t max = r->scaling.max_scale, of_all = max_instances_for(ld, r);
	char where[ORIGIN_TEXT];

	if (max > 0 && value > max)
		REPORT(ld, line, "%s: expected at most max_scale (%u%s), got \"%u\"", key, max,
		       origin_text(r, "max_scale", where), value);
	else if (of_all > 0 && value > of_all)
		REPORT(ld, line, "%s: expected at most max_instances (%u, line %u), got \"%u\"",
		       key, of_all, max_instances_line(ld), value);
}

static void
check_scale(struct loader *ld, const struct conf_section *s, const struct revision_conf *r,
	    const char *key, uint32_t value)
{
	unsigned otherwise = settings_origins_line(&r->origins, "max_scale", s->line);

	check_max(ld, r, key, settings_origins_line(&r->origins, key, otherwise), value);
}

static void
check_schedules(struct loader *ld, const struct conf_section *s, const struct revision_conf *r)
{
	size_t i;

	for (i = 0; i < r->schedules_n; i++) {
		const struct conf_section *sub = conf_section_at(s, IN_SCHEDULE, i);

		if (r->schedules[i].cron == NULL && !is_bad(sub, "cron"))
			REPORT(ld, sub->line, "schedule %s: expected cron, got none",
			       CONF_QUOTED(sub->title));
		check_max(ld, r, "min_scale", line_of(sub, "min_scale"), r->schedules[i].min_scale);
		if (r->launch.addresses.n > 0)
			REPORT(ld, sub->line, "schedule %s: has no effect together with addresses",
			       CONF_QUOTED(sub->title));
	}
}

/* As with Knative. */
#define TARGET_MIN 0.01

static void
check_scaling(struct loader *ld, const struct conf_section *s, const struct revision_conf *r)
{
	const struct scaling *c = &r->scaling;

	check_scale(ld, s, r, "min_scale", c->min_scale);
	check_scale(ld, s, r, "initial_scale", c->initial_scale);
	check_scale(ld, s, r, "activation_scale", c->activation_scale);
	if (c->target > 0 && c->target < TARGET_MIN)
		REPORT(ld, settings_origins_line(&r->origins, "target", s->line),
		       "target: expected 0 or at least %g, got \"%g\"", TARGET_MIN, c->target);
	check_schedules(ld, s, r);
}

/* In the revision itself; where the service has it, it means those that can be replaced. */
static void
check_max_requests(struct loader *ld, const struct conf_section *s, const struct revision_conf *r)
{
	const char *workload = r->launch.workload;
	const struct conf_value *v = conf_find(s, "max_requests");

	if (v != NULL && v->n > 0 && strcmp(v->texts[0], "0") != 0 && r->launch.addresses.n > 0)
		REPORT(ld, line_of(s, "max_requests"),
		       "max_requests: has no effect together with addresses");
	if (r->limits.max_requests > 0 && workload != NULL &&
	    strstr(workload, "/StatefulSet/") != NULL)
		REPORT(ld, settings_origins_line(&r->origins, "max_requests", s->line),
		       "max_requests: expected 0 together with a StatefulSet, got %u: which of its "
		       "pods ends cannot be chosen",
		       r->limits.max_requests);
}

void
check_service(struct loader *ld, const struct conf_section *s, const struct service_conf *svc)
{
	size_t i;

	check_name(ld, s, "service");
	check_hosts(ld, s, svc);
	check_visibility(ld, s, svc);
	check_rules(ld, s, svc);
	check_environment(ld, s);
	if (svc->revisions_n == 0)
		REPORT(ld, s->line, "service %s: expected a revision, got none",
		       CONF_QUOTED(svc->name));
	for (i = 0; i < svc->revisions_n; i++) {
		const struct conf_section *sub = conf_section_at(s, IN_REVISION, i);

		check_name(ld, sub, "revision");
		check_launch(ld, sub, &svc->revisions[i]);
		check_environment(ld, sub);
		check_upstream_tls(ld, sub, &svc->revisions[i]);
		check_scaling(ld, sub, &svc->revisions[i]);
		check_max_requests(ld, sub, &svc->revisions[i]);
	}
	if (svc->revisions_n > 0)
		check_traffic(ld, s, svc);
}

/* --- services and revisions among one another --- */

struct path_claim {
	const struct service_conf *service;
	unsigned line;
};

static void
claim_path(struct loader *ld, struct hmap *seen, const struct service_conf *svc, const char *host,
	   const char *path, unsigned line)
{
	char *key = settings_claim_path(svc, host, path);
	struct path_claim *mine = xmalloc(sizeof *mine), *other;

	*mine = (struct path_claim){svc, line};
	other = hmap_put(seen, key, mine);
	free(key);
	if (other == NULL)
		return;
	REPORT(ld, line,
	       "service %s: expected a host and path of its own, got \"%s%s\", which service %s "
	       "(line %u) has already",
	       CONF_QUOTED(svc->name), host, strcmp(path, "/") == 0 ? "" : path,
	       CONF_QUOTED(other->service->name), other->line);
	free(other);
}

static void
claim_paths(struct loader *ld, struct hmap *seen, const struct service_conf *svc,
	    const struct conf_section *s)
{
	const struct conf_value *hosts = conf_find(s, "hosts");
	size_t i, j;

	if (hosts == NULL || hosts->is_bad || is_bad(s, "paths") || is_bad(s, "match_header") ||
	    is_bad(s, "match_value"))
		return;
	for (i = 0; i < hosts->n; i++)
		for (j = 0; j < MAX(svc->paths.n, (size_t)1); j++)
			claim_path(ld, seen, svc, hosts->texts[i],
				   svc->paths.n == 0 ? "/" : svc->paths.v[j], hosts->lines[i]);
}

/* Two revisions may not scale one workload. */
static void
claim_workloads(struct loader *ld, struct hmap *seen, struct service_conf *svc)
{
	size_t i;

	for (i = 0; i < svc->revisions_n; i++) {
		struct revision_conf *r = &svc->revisions[i], *other;
		const char *key = r->launch.deployment != NULL ? "deployment" : "workload";
		char *name = settings_claim_workload(&r->launch);

		if (name == NULL)
			continue;
		other = hmap_put(seen, name, r);
		if (other != NULL)
			REPORT(ld, settings_origins_line(&r->origins, key, r->line),
			       "%s: expected a workload of its own, got %s, which revision %s (line %u) has already",
			       key, CONF_QUOTED(name), CONF_QUOTED(other->full_name), other->line);
		free(name);
	}
}

/* All min_scale together must fit into max_instances, since they hold at any time. */
static void
add_min_scale(struct loader *ld, uint64_t *sum, const struct service_conf *svc)
{
	size_t i;

	for (i = 0; i < svc->revisions_n; i++) {
		const struct revision_conf *r = &svc->revisions[i];
		uint32_t min = r->scaling.min_scale, max = max_instances_for(ld, r);

		if (max == 0 || min > max)
			continue; /* not limited by it, or reported already */
		if (*sum <= max && *sum + min > max)
			REPORT(ld, settings_origins_line(&r->origins, "min_scale", r->line),
			       "min_scale: expected at most max_instances (%u, line %u) over all "
			       "revisions, got \"%u\" in addition to %llu of other revisions",
			       max, max_instances_line(ld), min, (unsigned long long)*sum);
		*sum += min;
	}
}

void
check_shared(struct loader *ld)
{
	struct hmap paths, workloads;
	uint64_t min_sum = 0;
	const char *key;
	size_t i, at = 0;
	void *claim;

	hmap_init(&paths);
	hmap_init(&workloads);
	for (i = 0; i < ld->root->sections_n; i++)
		if (ld->root->sections[i].where == IN_SERVICE) {
			struct service_conf *svc = &ld->s->services[at++];

			claim_paths(ld, &paths, svc, &ld->root->sections[i]);
			claim_workloads(ld, &workloads, svc);
			add_min_scale(ld, &min_sum, svc);
		}
	for (at = 0; hmap_next(&paths, &at, &key, &claim);)
		free(claim);
	hmap_fini(&paths);
	hmap_fini(&workloads);
}
