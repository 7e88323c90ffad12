#include "common/settings.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/conf.h"
#include "common/hmap.h"
#include "common/strbuf.h"

/* --- the table --- */

#define BASE_TOP struct settings
#define BASE_ACTIVATOR struct activator_conf
#define BASE_AUTOSCALER struct autoscaler_conf
#define BASE_SERVICE struct service_conf
#define BASE_LIMITS struct limits
#define BASE_SCALING struct scaling
#define BASE_LAUNCH struct launch
#define BASE_TRAFFIC struct traffic_conf
#define BASE_RULE struct rule_conf
#define BASE_SCHEDULE struct schedule

const struct key settings_keys[] = {
#define KEY(name, type, where, group, member, fallback, min, max, enums, doc)                      \
	{#name, KEY_##type, where, fallback, min, max, enums, doc,                                 \
	 offsetof(BASE_##group, member), GROUP_##group},
#include "common/keys.def"
#undef KEY
};
const size_t settings_keys_n = ARRAY_LEN(settings_keys);

const struct key *
settings_key_find(const char *name, unsigned where)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++)
		if ((settings_keys[i].where & where) != 0 &&
		    strcmp(settings_keys[i].name, name) == 0)
			return &settings_keys[i];
	return NULL;
}

/* --- texts to values --- */

struct unit {
	const char *name;
	double factor;
};

/* A number and a unit; the unit may be missing where `bare` says what it is then. */
static int
parse_number(const char *text, const struct unit *units, size_t n, double *out)
{
	char *end;
	size_t i;

	if ((*text < '0' || *text > '9') && *text != '.')
		return -1;
	errno = 0;
	*out = strtod(text, &end);
	if (errno != 0 || end == text)
		return -1;
	while (*end == ' ')
		end++;
	for (i = 0; i < n; i++)
		if (strcasecmp(end, units[i].name) == 0) {
			*out *= units[i].factor;
			return 0;
		}
	return -1;
}

static int
parse_duration(const char *text, double *out)
{
	static const struct unit units[] = {{"us", 1e3},   {"ms", 1e6},     {"s", 1e9},
					    {"m", 60e9},   {"min", 60e9},   {"h", 3600e9},
					    {"d", 86400e9}};

	if (strcmp(text, "0") == 0) {
		*out = 0;
		return 0;
	}
	return parse_number(text, units, ARRAY_LEN(units), out);
}

static int
parse_size(const char *text, double *out)
{
	static const struct unit units[] = {
		{"", 1},	 {"B", 1},	    {"k", 1024},	{"KiB", 1024},
		{"M", 1048576},	 {"MiB", 1048576},  {"G", 1073741824.0}, {"GiB", 1073741824.0},
		{"kB", 1000},	 {"MB", 1e6},	    {"GB", 1e9}};

	return parse_number(text, units, ARRAY_LEN(units), out);
}

static int
parse_bool(const char *text, bool *out)
{
	static const char *const yes[] = {"yes", "true", "on", "1"};
	static const char *const no[] = {"no", "false", "off", "0"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*out = strcasecmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -1;
}

/* The place of text in "a|b|c", or -1. */
static int
parse_enum(const char *text, const char *enums)
{
	size_t n = strlen(text);
	int i = 0;

	while (enums != NULL) {
		size_t len = strcspn(enums, "|");

		if (len == n && strncmp(enums, text, n) == 0)
			return i;
		enums = enums[len] == '|' ? enums + len + 1 : NULL;
		i++;
	}
	return -1;
}

static const char *
example_of(const struct key *k)
{
	switch (k->type) {
	case KEY_BOOL:
		return "yes or no";
	case KEY_UINT:
		return "a whole number";
	case KEY_NUMBER:
		return "a number";
	case KEY_DURATION:
		return "a duration like \"500ms\", \"30s\" or \"5m\"";
	case KEY_SIZE:
	case KEY_SIZE32:
		return "a size like \"64KiB\" or \"1MiB\"";
	case KEY_ADDRESS:
	case KEY_ADDRESSES:
		return "an address like \"127.0.0.1:8080\" or \"[::1]:8080\"";
	case KEY_NETWORKS:
		return "a network like \"10.0.0.0/8\"";
	case KEY_PROBE:
		return "\"tcp\", \"readiness\" or a path like \"/healthz\"";
	case KEY_PORTS:
		return "a range of ports like \"20000-29999\"";
	default:
		return "text";
	}
}

static int
expected(struct err *e, const struct key *k, const char *text)
{
	if (k->type == KEY_ENUM) {
		char choices[128];
		size_t i, n = strlen(k->enums);

		snprintf(choices, sizeof choices, "%s", k->enums);
		for (i = 0; i < n && i < sizeof choices; i++)
			choices[i] = choices[i] == '|' ? ' ' : choices[i];
		return err_set(e, 0, "%s: expected one of: %s; got \"%s\"", k->name, choices, text);
	}
	return err_set(e, 0, "%s: expected %s, got \"%s\"", k->name, example_of(k), text);
}

static void
bound_text(const struct key *k, double v, char text[32])
{
	if (k->type == KEY_DURATION)
		snprintf(text, 32, v >= 1e9 ? "%gs" : "%gms", v >= 1e9 ? v / 1e9 : v / 1e6);
	else
		snprintf(text, 32, "%.10g", v);
}

static int
check_bounds(const struct key *k, double v, const char *text, struct err *e)
{
	char min[32], max[32];

	if (k->min >= k->max || (v >= k->min && v <= k->max))
		return 0;
	bound_text(k, k->min, min);
	bound_text(k, k->max, max);
	return err_set(e, 0, "%s: expected %s to %s, got \"%s\"", k->name, min, max, text);
}

static int
set_numeric(const struct key *k, void *at, const char *text, struct err *e)
{
	static const struct unit plain[] = {{"", 1}, {"%", 1}};
	double v = 0;
	int rc = k->type == KEY_DURATION ? parse_duration(text, &v)
		 : k->type == KEY_SIZE || k->type == KEY_SIZE32
			 ? parse_size(text, &v)
			 : parse_number(text, plain, k->type == KEY_NUMBER ? 2 : 1, &v);

	if (rc < 0 || (k->type == KEY_UINT && v != (double)(uint64_t)v))
		return expected(e, k, text);
	if (check_bounds(k, v, text, e) < 0)
		return -1;
	switch (k->type) {
	case KEY_DURATION:
		*(int64_t *)at = (int64_t)v;
		break;
	case KEY_SIZE:
		*(uint64_t *)at = (uint64_t)v;
		break;
	case KEY_NUMBER:
		*(double *)at = v;
		break;
	default:
		*(uint32_t *)at = (uint32_t)v;
	}
	return 0;
}

static void
str_list_free(struct str_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct str_list){0};
}

static void
str_list_copy(struct str_list *to, char *const *v, size_t n)
{
	size_t i;

	to->n = n;
	to->v = xcalloc(n + 1, sizeof *to->v);
	for (i = 0; i < n; i++)
		to->v[i] = xstrdup(v[i]);
}

static int
set_list(const struct key *k, struct str_list *at, char *const *texts, size_t n, struct err *e)
{
	struct addr_net net;
	struct addr addr;
	size_t i;

	for (i = 0; i < n; i++) {
		if ((k->type == KEY_ADDRESSES && addr_parse(&addr, texts[i], NULL) < 0) ||
		    (k->type == KEY_NETWORKS && addr_net_parse(&net, texts[i], NULL) < 0))
			return expected(e, k, texts[i]);
		if (texts[i][0] == '\0' && strcmp(k->name, "command") == 0)
			return err_set(e, 0, "%s: expected no empty argument, got \"\"", k->name);
	}
	str_list_free(at);
	str_list_copy(at, texts, n);
	return 0;
}

static int
set_string(char **at, const char *text)
{
	free(*at);
	*at = xstrdup(text);
	return 0;
}

static int
set_probe(const struct key *k, struct limits *l, const char *text, struct err *e)
{
	if (strcmp(text, "tcp") == 0)
		l->probe = PROBE_TCP;
	else if (strcmp(text, "readiness") == 0)
		l->probe = PROBE_READINESS;
	else if (text[0] == '/' && strpbrk(text, " \t#") == NULL)
		l->probe = PROBE_HTTP;
	else
		return expected(e, k, text);
	free(l->probe_path);
	l->probe_path = l->probe == PROBE_HTTP ? xstrdup(text) : NULL;
	return 0;
}

static int
set_ports(const struct key *k, struct autoscaler_conf *a, const char *text, struct err *e)
{
	unsigned first, last;
	char rest;

	if (sscanf(text, "%u-%u%c", &first, &last, &rest) != 2 || first < 1 || last > 65535 ||
	    first > last)
		return expected(e, k, text);
	a->port_first = first;
	a->port_last = last;
	return 0;
}

/* Put the texts into the struct of the key's group.  0, or -1: base is as it was. */
static int
set_value(const struct key *k, void *base, char *const *texts, size_t n, struct err *e)
{
	char *at = (char *)base + k->offset;
	const char *text = n > 0 ? texts[0] : "";
	struct addr addr;
	int choice;

	switch (k->type) {
	case KEY_BOOL:
		return parse_bool(text, (bool *)at) < 0 ? expected(e, k, text) : 0;
	case KEY_UINT:
	case KEY_NUMBER:
	case KEY_DURATION:
	case KEY_SIZE:
	case KEY_SIZE32:
		return set_numeric(k, at, text, e);
	case KEY_ADDRESS:
		if (text[0] != '\0' && addr_parse(&addr, text, NULL) < 0)
			return expected(e, k, text);
		return set_string((void *)at, text);
	case KEY_STRING:
		return set_string((void *)at, text);
	case KEY_ENUM:
		choice = parse_enum(text, k->enums);
		if (choice < 0)
			return expected(e, k, text);
		*(int *)(void *)at = choice;
		return 0;
	case KEY_LIST:
	case KEY_ADDRESSES:
	case KEY_NETWORKS:
		return set_list(k, (void *)at, texts, n, e);
	case KEY_PROBE:
		return set_probe(k, base, text, e);
	case KEY_PORTS:
		return set_ports(k, base, text, e);
	}
	return -1;
}

/* --- defaults and levels --- */

static void
set_defaults(enum key_group group, void *base)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++) {
		const struct key *k = &settings_keys[i];
		struct err e;
		char *text;

		if (k->group != group || k->fallback == NULL)
			continue;
		text = xstrdup(k->fallback);
		if (set_value(k, base, &text, 1, &e) < 0)
			CHECK(!"a default is valid");
		free(text);
	}
}

/* What a section sets of one group goes into base.  errors NULL: they were told when
 * the section itself was looked at. */
static void
apply(const struct conf_section *s, enum key_group group, void *base, const char *file,
      struct settings_errors *errors)
{
	size_t i;

	for (i = 0; s != NULL && i < s->values_n; i++) {
		const struct conf_value *v = &s->values[i];
		struct err e;

		if (v->key->group == group &&
		    set_value(v->key, base, v->texts, v->n, &e) < 0 && errors != NULL)
			conf_error(errors, file, v->line, "%s", e.text);
	}
}

void
limits_default(struct limits *l)
{
	*l = (struct limits){0};
	set_defaults(GROUP_LIMITS, l);
}

void
limits_copy(struct limits *to, const struct limits *from)
{
	*to = *from;
	if (from->probe_path != NULL)
		to->probe_path = xstrdup(from->probe_path);
}

void
limits_fini(struct limits *l)
{
	free(l->probe_path);
	l->probe_path = NULL;
}

static void
launch_fini(struct launch *l)
{
	str_list_free(&l->command);
	str_list_free(&l->environment);
	str_list_free(&l->addresses);
	free(l->directory);
	free(l->user);
	free(l->deployment);
	free(l->workload);
	free(l->port);
}

/* --- sections to structs --- */

struct loader {
	const char *file;
	struct settings_errors *errors;
	struct settings *s;
	const struct conf_section *activator, *autoscaler;
};

#define LOADER_ERROR(ld, line, ...) conf_error((ld)->errors, (ld)->file, line, __VA_ARGS__)

static size_t
count(const struct conf_section *s, unsigned where)
{
	size_t i, n = 0;

	for (i = 0; i < s->sections_n; i++)
		n += s->sections[i].where == where;
	return n;
}

static const struct conf_section *
nth(const struct conf_section *s, unsigned where, size_t n)
{
	size_t i;

	for (i = 0; s != NULL && i < s->sections_n; i++)
		if (s->sections[i].where == where && n-- == 0)
			return &s->sections[i];
	return NULL;
}

static unsigned
line_of(const struct conf_section *s, const char *key)
{
	const struct conf_value *v = conf_find(s, key);

	return v == NULL ? s->line : v->line;
}

/* `target = "apps/v1/Deployment/default/hello"` names the workload; a number is the
 * target of scaling. */
static void
move_target(struct conf_section *s)
{
	size_t i;

	for (i = 0; i < s->values_n; i++)
		if (strcmp(s->values[i].key->name, "target") == 0 && s->values[i].n == 1 &&
		    strchr(s->values[i].texts[0], '/') != NULL)
			s->values[i].key = settings_key_find("workload", IN_REVISION);
}

static bool
is_name(const char *s)
{
	size_t n = strlen(s), i;

	for (i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
		      (s[i] >= '0' && s[i] <= '9') || strchr("-_.", s[i]) != NULL))
			return false;
	return n > 0 && n <= 63;
}

static void
check_name(struct loader *ld, const struct conf_section *s, const char *what)
{
	if (!is_name(s->title))
		LOADER_ERROR(ld, s->line,
			     "%s \"%s\": expected a name of letters, digits, \"-\", \"_\" and \".\" "
			     "of at most 63",
			     what, s->title);
}

static void
check_launch(struct loader *ld, const struct conf_section *s, const struct revision_conf *r)
{
	const struct launch *l = &r->launch;
	int ways = (l->command.n > 0) + (l->addresses.n > 0) + (l->deployment != NULL) +
		   (l->workload != NULL);
	bool is_kubernetes = ld->s->autoscaler.driver == DRIVER_KUBERNETES;

	if (ways != 1)
		LOADER_ERROR(ld, s->line,
			     "revision \"%s\": expected exactly one of command, addresses, "
			     "deployment and workload, got %s",
			     r->name, ways == 0 ? "none" : "several");
	else if (is_kubernetes ? l->command.n > 0 : l->deployment != NULL || l->workload != NULL)
		LOADER_ERROR(ld, line_of(s, is_kubernetes ? "command" : "deployment"),
			     "revision \"%s\": expected %s with driver \"%s\"", r->name,
			     is_kubernetes ? "deployment, workload or addresses"
					   : "command or addresses",
			     is_kubernetes ? "kubernetes" : "process");
	if (l->deployment != NULL &&
	    (strchr(l->deployment, '/') == NULL || strchr(l->deployment, '/') == l->deployment))
		LOADER_ERROR(ld, line_of(s, "deployment"),
			     "deployment: expected \"namespace/name\", got \"%s\"", l->deployment);
}

static void
check_scaling(struct loader *ld, const struct conf_section *s, const struct revision_conf *r)
{
	const struct scaling *c = &r->scaling;

	if (c->max_scale > 0 && c->min_scale > c->max_scale)
		LOADER_ERROR(ld, line_of(s, conf_find(s, "min_scale") != NULL ? "min_scale"
									      : "max_scale"),
			     "revision \"%s\": expected min_scale of at most max_scale (%u), got %u",
			     r->name, c->max_scale, c->min_scale);
	if (c->max_scale > 0 && c->initial_scale > c->max_scale)
		LOADER_ERROR(ld, line_of(s, "initial_scale"),
			     "revision \"%s\": expected initial_scale of at most max_scale (%u), "
			     "got %u",
			     r->name, c->max_scale, c->initial_scale);
}

static void
check_environment(struct loader *ld, const struct conf_section *s, const struct launch *l)
{
	size_t i;

	for (i = 0; i < l->environment.n; i++)
		if (strchr(l->environment.v[i], '=') == NULL || l->environment.v[i][0] == '=')
			LOADER_ERROR(ld, line_of(s, "environment"),
				     "environment: expected \"NAME=value\", got \"%s\"",
				     l->environment.v[i]);
}

static void
load_schedules(struct loader *ld, const struct conf_section *s, struct revision_conf *r)
{
	size_t i;

	r->schedules_n = count(s, IN_SCHEDULE);
	r->schedules = xcalloc(r->schedules_n, sizeof *r->schedules);
	for (i = 0; i < r->schedules_n; i++) {
		const struct conf_section *sub = nth(s, IN_SCHEDULE, i);

		set_defaults(GROUP_SCHEDULE, &r->schedules[i]);
		apply(sub, GROUP_SCHEDULE, &r->schedules[i], ld->file, ld->errors);
		if (r->schedules[i].cron == NULL)
			LOADER_ERROR(ld, sub->line, "schedule \"%s\": expected a cron expression",
				     sub->title);
	}
}

static void
load_revision(struct loader *ld, const struct conf_section *service, struct conf_section *s,
	      const char *service_name, struct revision_conf *r)
{
	move_target(s);
	check_name(ld, s, "revision");
	r->name = xstrdup(s->title);
	r->full_name = xasprintf("%s/%s", service_name, s->title);
	r->line = s->line;
	set_defaults(GROUP_LIMITS, &r->limits);
	apply(ld->activator, GROUP_LIMITS, &r->limits, ld->file, NULL);
	apply(service, GROUP_LIMITS, &r->limits, ld->file, NULL);
	apply(s, GROUP_LIMITS, &r->limits, ld->file, ld->errors);
	set_defaults(GROUP_SCALING, &r->scaling);
	apply(ld->autoscaler, GROUP_SCALING, &r->scaling, ld->file, NULL);
	apply(service, GROUP_SCALING, &r->scaling, ld->file, NULL);
	apply(s, GROUP_SCALING, &r->scaling, ld->file, ld->errors);
	set_defaults(GROUP_LAUNCH, &r->launch);
	apply(ld->autoscaler, GROUP_LAUNCH, &r->launch, ld->file, NULL);
	apply(service, GROUP_LAUNCH, &r->launch, ld->file, NULL);
	apply(s, GROUP_LAUNCH, &r->launch, ld->file, ld->errors);
	load_schedules(ld, s, r);
	check_launch(ld, s, r);
	check_scaling(ld, s, r);
	check_environment(ld, s, &r->launch);
}

static void
load_rules(struct loader *ld, const struct conf_section *s, struct service_conf *svc)
{
	size_t i, j;

	svc->rules_n = count(s, IN_RULE);
	svc->rules = xcalloc(svc->rules_n, sizeof *svc->rules);
	for (i = 0; i < svc->rules_n; i++) {
		const struct conf_section *sub = nth(s, IN_RULE, i);
		struct rule_conf *rule = &svc->rules[i];

		set_defaults(GROUP_RULE, rule);
		apply(sub, GROUP_RULE, rule, ld->file, ld->errors);
		for (j = 0; j < rule->paths.n; j++)
			if (rule->paths.v[j][0] != '/')
				LOADER_ERROR(ld, line_of(sub, "paths"),
					     "paths: expected a path that begins with \"/\", got "
					     "\"%s\"",
					     rule->paths.v[j]);
		for (j = 0; j < rule->fields.n; j++)
			if (strstr(rule->fields.v[j], ": ") == NULL ||
			    strpbrk(rule->fields.v[j], "\r\n") != NULL)
				LOADER_ERROR(ld, line_of(sub, "fields"),
					     "fields: expected \"name: value\", got \"%s\"",
					     rule->fields.v[j]);
	}
}

static bool
is_host(const char *h)
{
	size_t i;

	if (strcmp(h, "*") == 0)
		return true;
	if (strncmp(h, "*.", 2) == 0)
		h += 2;
	for (i = 0; h[i] != '\0'; i++)
		if (!((h[i] >= 'a' && h[i] <= 'z') || (h[i] >= 'A' && h[i] <= 'Z') ||
		      (h[i] >= '0' && h[i] <= '9') || strchr("-_.[]:", h[i]) != NULL))
			return false;
	return i > 0 && i <= 253 && (h[0] == '[' || strchr(h, ':') == NULL);
}

static void
check_hosts(struct loader *ld, const struct conf_section *s, const struct service_conf *svc)
{
	size_t i;

	if (svc->hosts.n == 0)
		LOADER_ERROR(ld, s->line, "service \"%s\": expected hosts, got none", svc->name);
	for (i = 0; i < svc->hosts.n; i++)
		if (!is_host(svc->hosts.v[i]))
			LOADER_ERROR(ld, line_of(s, "hosts"),
				     "hosts: expected a host name without port, \"*.name\" or \"*\", "
				     "got \"%s\"",
				     svc->hosts.v[i]);
	for (i = 0; i < svc->paths.n; i++)
		if (svc->paths.v[i][0] != '/' || strpbrk(svc->paths.v[i], " ?#") != NULL)
			LOADER_ERROR(ld, line_of(s, "paths"),
				     "paths: expected a path that begins with \"/\", got \"%s\"",
				     svc->paths.v[i]);
	if (svc->sticky != NULL && strncmp(svc->sticky, "cookie:", 7) != 0 &&
	    strncmp(svc->sticky, "header:", 7) != 0)
		LOADER_ERROR(ld, line_of(s, "sticky"),
			     "sticky: expected \"cookie:NAME\" or \"header:NAME\", got \"%s\"",
			     svc->sticky);
	if (svc->match_value != NULL && svc->match_header == NULL)
		LOADER_ERROR(ld, line_of(s, "match_value"),
			     "match_value: expected match_header beside it");
}

static bool
has_revision(const struct service_conf *svc, const char *name)
{
	size_t i;

	for (i = 0; i < svc->revisions_n; i++)
		if (strcmp(svc->revisions[i].name, name) == 0)
			return true;
	return false;
}

static bool
is_tag(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > 0 && n <= 63 && s[n] == '\0' && s[0] != '-' && s[n - 1] != '-';
}

static void
check_traffic(struct loader *ld, const struct conf_section *s, const struct service_conf *svc)
{
	uint32_t sum = 0;
	size_t i, j;

	for (i = 0; i < svc->traffic_n; i++) {
		const struct traffic_conf *t = &svc->traffic[i];
		const struct conf_section *sub = nth(s, IN_TRAFFIC, i);

		sum += t->percent;
		if (!has_revision(svc, t->revision))
			LOADER_ERROR(ld, sub->line,
				     "traffic \"%s\": expected a revision of service \"%s\", which "
				     "has none of this name",
				     t->revision, svc->name);
		if (t->tag != NULL && !is_tag(t->tag))
			LOADER_ERROR(ld, line_of(sub, "tag"),
				     "tag: expected a DNS label (a-z, 0-9, \"-\"), got \"%s\"", t->tag);
		for (j = 0; j < i && t->tag != NULL; j++)
			if (svc->traffic[j].tag != NULL && strcmp(svc->traffic[j].tag, t->tag) == 0)
				LOADER_ERROR(ld, line_of(sub, "tag"),
					     "tag: \"%s\" stands at two revisions", t->tag);
	}
	if (sum != 100)
		LOADER_ERROR(ld, nth(s, IN_TRAFFIC, 0)->line,
			     "service \"%s\": expected percents that sum to 100, got %u", svc->name,
			     sum);
}

static void
load_traffic(struct loader *ld, const struct conf_section *s, struct service_conf *svc)
{
	size_t i, n = count(s, IN_TRAFFIC);

	svc->traffic_n = MAX(n, (size_t)1);
	svc->traffic = xcalloc(svc->traffic_n, sizeof *svc->traffic);
	for (i = 0; i < n; i++) {
		const struct conf_section *sub = nth(s, IN_TRAFFIC, i);

		svc->traffic[i].revision = xstrdup(sub->title);
		apply(sub, GROUP_TRAFFIC, &svc->traffic[i], ld->file, ld->errors);
	}
	if (n > 0) {
		check_traffic(ld, s, svc);
	} else if (svc->revisions_n == 1) {
		svc->traffic[0].revision = xstrdup(svc->revisions[0].name);
		svc->traffic[0].percent = 100;
	} else {
		svc->traffic[0].revision = xstrdup("");
		LOADER_ERROR(ld, s->line,
			     "service \"%s\": expected traffic, since it has %zu revisions",
			     svc->name, svc->revisions_n);
	}
}

static void
load_service(struct loader *ld, const struct conf_section *s, struct service_conf *svc)
{
	struct limits limits;
	struct scaling scaling = {0};
	struct launch launch = {0};
	size_t i;

	check_name(ld, s, "service");
	svc->name = xstrdup(s->title);
	svc->line = s->line;
	set_defaults(GROUP_SERVICE, svc);
	apply(s, GROUP_SERVICE, svc, ld->file, ld->errors);
	/* Once, for what is wrong with them; their worth is in load_revision(). */
	limits_default(&limits);
	apply(s, GROUP_LIMITS, &limits, ld->file, ld->errors);
	apply(s, GROUP_SCALING, &scaling, ld->file, ld->errors);
	apply(s, GROUP_LAUNCH, &launch, ld->file, ld->errors);
	limits_fini(&limits);
	launch_fini(&launch);
	check_hosts(ld, s, svc);
	load_rules(ld, s, svc);
	svc->revisions_n = count(s, IN_REVISION);
	svc->revisions = xcalloc(svc->revisions_n, sizeof *svc->revisions);
	if (svc->revisions_n == 0)
		LOADER_ERROR(ld, s->line, "service \"%s\": expected a revision, got none", svc->name);
	for (i = 0; i < svc->revisions_n; i++) {
		const struct conf_section *sub = nth(s, IN_REVISION, i);

		load_revision(ld, s, &s->sections[sub - s->sections], svc->name,
			      &svc->revisions[i]);
	}
	if (svc->revisions_n > 0)
		load_traffic(ld, s, svc);
}

/* The same host and path in two services, unless a header tells them apart. */
static void
check_overlaps(struct loader *ld, const struct conf_section *root)
{
	struct hmap seen;
	struct strbuf key;
	size_t i, h, p;

	hmap_init(&seen);
	strbuf_init(&key, 0);
	for (i = 0; i < ld->s->services_n; i++) {
		struct service_conf *svc = &ld->s->services[i];

		for (h = 0; h < svc->hosts.n; h++)
			for (p = 0; p < MAX(svc->paths.n, (size_t)1); p++) {
				struct service_conf *other;
				const char *path = svc->paths.n > 0 ? svc->paths.v[p] : "/";
				char *ch;

				strbuf_clear(&key);
				strbuf_addf(&key, "%s %s %s=%s", svc->hosts.v[h], path,
					    svc->match_header == NULL ? "" : svc->match_header,
					    svc->match_value == NULL ? "" : svc->match_value);
				for (ch = key.data; *ch != ' '; ch++)
					*ch = *ch >= 'A' && *ch <= 'Z' ? (char)(*ch | 32) : *ch;
				other = hmap_put(&seen, key.data, svc);
				if (other != NULL)
					LOADER_ERROR(ld, line_of(nth(root, IN_SERVICE, i), "hosts"),
						     "service \"%s\": expected a host and path of "
						     "its own, got \"%s%s\", which service \"%s\" "
						     "(line %u) has",
						     svc->name, svc->hosts.v[h], path, other->name,
						     other->line);
			}
	}
	strbuf_fini(&key);
	hmap_fini(&seen);
}

static void
load_processes(struct loader *ld)
{
	struct settings *s = ld->s;
	struct scaling scaling = {0};
	struct launch launch = {0};

	set_defaults(GROUP_ACTIVATOR, &s->activator);
	apply(ld->activator, GROUP_ACTIVATOR, &s->activator, ld->file, ld->errors);
	set_defaults(GROUP_LIMITS, &s->activator.limits);
	apply(ld->activator, GROUP_LIMITS, &s->activator.limits, ld->file, ld->errors);
	if (s->activator.listen.n == 0)
		LOADER_ERROR(ld, ld->activator == NULL ? 0 : line_of(ld->activator, "listen"),
			     "listen: expected an address, got none");
	set_defaults(GROUP_AUTOSCALER, &s->autoscaler);
	apply(ld->autoscaler, GROUP_AUTOSCALER, &s->autoscaler, ld->file, ld->errors);
	apply(ld->autoscaler, GROUP_SCALING, &scaling, ld->file, ld->errors);
	apply(ld->autoscaler, GROUP_LAUNCH, &launch, ld->file, ld->errors);
	launch_fini(&launch);
}

struct settings *
settings_load(const char *file, struct settings_errors *errors)
{
	struct conf_section *root;
	struct loader ld = {.file = file, .errors = errors};
	size_t i;

	*errors = (struct settings_errors){0};
	root = conf_read(file, errors);
	if (root == NULL)
		return NULL;
	ld.s = xcalloc(1, sizeof *ld.s);
	ld.s->file = xstrdup(file);
	ld.activator = nth(root, IN_ACTIVATOR, 0);
	ld.autoscaler = nth(root, IN_AUTOSCALER, 0);
	set_defaults(GROUP_TOP, ld.s);
	apply(root, GROUP_TOP, ld.s, file, errors);
	load_processes(&ld);
	ld.s->services_n = count(root, IN_SERVICE);
	ld.s->services = xcalloc(ld.s->services_n, sizeof *ld.s->services);
	for (i = 0; i < ld.s->services_n; i++)
		load_service(&ld, nth(root, IN_SERVICE, i), &ld.s->services[i]);
	check_overlaps(&ld, root);
	conf_free(&root);
	malloc_trim(0); /* the parser's tree is ten times what is kept of it */
	if (errors->n > 0)
		settings_free(&ld.s);
	return ld.s;
}

/* --- freeing --- */

static void
revision_fini(struct revision_conf *r)
{
	size_t i;

	for (i = 0; i < r->schedules_n; i++) {
		free(r->schedules[i].cron);
		free(r->schedules[i].time_zone);
	}
	free(r->schedules);
	launch_fini(&r->launch);
	limits_fini(&r->limits);
	free(r->full_name);
	free(r->name);
}

static void
rule_fini(struct rule_conf *rule)
{
	str_list_free(&rule->methods);
	str_list_free(&rule->paths);
	str_list_free(&rule->clients);
	str_list_free(&rule->fields);
	free(rule->header);
	free(rule->contains);
	free(rule->body);
}

static void
service_fini(struct service_conf *svc)
{
	size_t i;

	for (i = 0; i < svc->revisions_n; i++)
		revision_fini(&svc->revisions[i]);
	for (i = 0; i < svc->traffic_n; i++) {
		free(svc->traffic[i].revision);
		free(svc->traffic[i].tag);
	}
	for (i = 0; i < svc->rules_n; i++)
		rule_fini(&svc->rules[i]);
	free(svc->revisions);
	free(svc->traffic);
	free(svc->rules);
	str_list_free(&svc->hosts);
	str_list_free(&svc->paths);
	free(svc->match_header);
	free(svc->match_value);
	free(svc->sticky);
	free(svc->waiting_page);
	free(svc->name);
}

void
settings_free(struct settings **sp)
{
	struct settings *s = *sp;
	size_t i;

	*sp = NULL;
	if (s == NULL)
		return;
	for (i = 0; i < s->services_n; i++)
		service_fini(&s->services[i]);
	free(s->services);
	str_list_free(&s->activator.listen);
	str_list_free(&s->activator.trusted_proxies);
	free(s->activator.admin);
	limits_fini(&s->activator.limits);
	str_list_free(&s->autoscaler.namespaces);
	free(s->autoscaler.admin);
	free(s->autoscaler.kubeconfig);
	free(s->autoscaler.namespace_selector);
	free(s->socket);
	free(s->state_dir);
	free(s->file);
	free(s);
}

void
settings_errors_free(struct settings_errors *errors)
{
	size_t i;

	for (i = 0; i < errors->n; i++)
		free(errors->lines[i]);
	free(errors->lines);
	*errors = (struct settings_errors){0};
}
