#include "common/settings.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/settings_impl.h"
#include "common/settings_value.h"
#include "common/text.h"

#define FILE_MOST ((size_t)64 << 20) /* more than a conf file may have */
#define INSTANCES_PER_CORE 8	     /* with driver process, if max_instances is 0 */

/* --- each value by itself --- */

/* The key target has two meanings: a number is the concurrency to aim for, and a name like
 * "apps/v1/Deployment/default/hello" is the workload. */
static void
move_target(struct conf_section *s)
{
	size_t i;

	for (i = 0; i < s->values_n; i++)
		if (strcmp(s->values[i].key->name, "target") == 0 && s->values[i].n == 1 &&
		    strchr(s->values[i].texts[0], '/') != NULL)
			s->values[i].key = settings_key_find("workload", IN_REVISION);
}

static void
check_value(struct conf_errors *errors, struct conf_value *v)
{
	struct err e;
	size_t i;

	if (v->is_bad)
		return;
	if (!value_is_list(v->key) && v->n != 1) {
		conf_error(errors, v->line, "%s: expected one value, got %s", v->key->name,
			   v->n == 0 ? "an empty list" : "a list");
		v->is_bad = true;
		return;
	}
	for (i = 0; i < v->n; i++)
		if (value_check(v->key, v->texts[i], &e) < 0) {
			conf_error(errors, v->lines[i], "%s: %s", v->key->name, e.text);
			v->is_bad = true;
		}
}

static void
check_values(struct conf_errors *errors, struct conf_section *s)
{
	size_t i;

	if (s->where == IN_REVISION)
		move_target(s);
	for (i = 0; i < s->values_n; i++)
		check_value(errors, &s->values[i]);
	for (i = 0; i < s->sections_n; i++)
		check_values(errors, &s->sections[i]);
}

/* --- levels --- */

/* Set in base, the struct of a group, what a section sets of that group. */
static void
apply(const struct conf_section *s, enum key_group group, void *base,
      struct settings_origins *origins)
{
	size_t i;

	for (i = 0; s != NULL && i < s->values_n; i++) {
		const struct conf_value *v = &s->values[i];

		if (v->key->group != group || v->is_bad)
			continue;
		value_set(v->key, base, v->texts, v->n);
		if (origins != NULL)
			settings_origins_put(origins,
					     (struct settings_origin){v->key, s->where, v->line});
	}
}

/* The struct of a group in activator or autoscaler, from which revisions inherit. */
static const void *
process_level(const struct settings *s, enum key_group group)
{
	if (group == GROUP_LIMITS)
		return &s->activator.limits;
	if (group == GROUP_SCALING)
		return &s->autoscaler.scaling;
	CHECK(group == GROUP_LAUNCH);
	return &s->autoscaler.launch;
}

/* Fill the struct of a group of a revision, from the outermost level to the innermost. */
static void
inherit(enum key_group group, const struct settings *process, const struct conf_section *service,
	const struct conf_section *s, void *base, struct settings_origins *origins)
{
	size_t i;

	value_copy_group(group, base, process_level(process, group));
	for (i = 0; i < process->origins.n; i++)
		if (process->origins.v[i].key->group == group)
			settings_origins_put(origins, process->origins.v[i]);
	apply(service, group, base, origins);
	apply(s, group, base, origins);
}

void
limits_default(struct limits *l)
{
	*l = (struct limits){0};
	value_defaults(GROUP_LIMITS, l);
}

void
limits_copy(struct limits *to, const struct limits *from)
{
	*to = (struct limits){0};
	value_copy_group(GROUP_LIMITS, to, from);
}

void
limits_fini(struct limits *l)
{
	value_fini_group(GROUP_LIMITS, l);
}

void
rule_conf_copy(struct rule_conf *to, const struct rule_conf *from)
{
	*to = (struct rule_conf){.name = text_copy(from->name)};
	value_copy_group(GROUP_RULE, to, from);
}

void
rule_conf_fini(struct rule_conf *r)
{
	value_fini_group(GROUP_RULE, r);
	text_replace(&r->name, NULL);
}

/* --- sections to structs --- */

static void
load_schedules(const struct conf_section *s, struct revision_conf *r)
{
	size_t i;

	r->schedules_n = conf_section_count(s, IN_SCHEDULE);
	r->schedules = xcalloc(MAX(r->schedules_n, (size_t)1), sizeof *r->schedules);
	for (i = 0; i < r->schedules_n; i++) {
		const struct conf_section *sub = conf_section_at(s, IN_SCHEDULE, i);

		r->schedules[i].name = xstrdup(sub->title);
		value_defaults(GROUP_SCHEDULE, &r->schedules[i]);
		apply(sub, GROUP_SCHEDULE, &r->schedules[i], NULL);
	}
}

/* Does the name of its port say that its instances speak HTTP/2?  So Kubernetes has it, where a
 * Service has no appProtocol. */
static bool
port_speaks_h2c(const struct revision_conf *r)
{
	const char *port = r->launch.port;

	return port != NULL && (strcmp(port, "h2c") == 0 || strcmp(port, "grpc") == 0);
}

static bool
says_protocol(const struct revision_conf *r)
{
	size_t i;

	for (i = 0; i < r->origins.n; i++)
		if (strcmp(r->origins.v[i].key->name, "protocol") == 0 &&
		    (r->origins.v[i].where == IN_REVISION || r->origins.v[i].where == IN_SERVICE))
			return true;
	return false;
}

#define TARGET_DEFAULT                                                                             \
	100 /* requests at once that an instance without a limit is meant to carry                 \
	     */

/* As many requests at once as an instance gets in its life; so the target stays what it would be.
 */
static void
bound_by_max_requests(struct revision_conf *r)
{
	uint32_t most = r->limits.max_requests;

	if (r->launch.addresses.n > 0)
		most = r->limits.max_requests = 0;
	if (most == 0)
		return;
	if (r->limits.container_concurrency == 0 && r->scaling.target <= 0 &&
	    most > TARGET_DEFAULT && r->scaling.metric == METRIC_CONCURRENCY)
		r->scaling.target = TARGET_DEFAULT;
	if (r->limits.container_concurrency == 0 || r->limits.container_concurrency > most)
		r->limits.container_concurrency = most;
}

static void
load_revision(const struct loader *ld, const struct conf_section *service,
	      const struct conf_section *s, struct revision_conf *r)
{
	r->name = xstrdup(s->title);
	r->full_name = xasprintf("%s/%s", service->title, s->title);
	r->line = s->line;
	inherit(GROUP_LIMITS, ld->s, service, s, &r->limits, &r->origins);
	inherit(GROUP_SCALING, ld->s, service, s, &r->scaling, &r->origins);
	inherit(GROUP_LAUNCH, ld->s, service, s, &r->launch, &r->origins);
	if (port_speaks_h2c(r) && !says_protocol(r))
		r->limits.protocol = PROTOCOL_H2C;
	bound_by_max_requests(r);
	load_schedules(s, r);
}

static void
load_rules(const struct conf_section *s, struct service_conf *svc)
{
	size_t i;

	svc->rules_n = conf_section_count(s, IN_RULE);
	svc->rules = xcalloc(MAX(svc->rules_n, (size_t)1), sizeof *svc->rules);
	for (i = 0; i < svc->rules_n; i++) {
		const struct conf_section *sub = conf_section_at(s, IN_RULE, i);

		svc->rules[i].name = xstrdup(sub->title);
		value_defaults(GROUP_RULE, &svc->rules[i]);
		apply(sub, GROUP_RULE, &svc->rules[i], NULL);
	}
}

/* Without `traffic` sections a single revision gets all requests. */
static void
load_traffic(const struct conf_section *s, struct service_conf *svc)
{
	size_t i, n = conf_section_count(s, IN_TRAFFIC);

	svc->traffic_n = n > 0 ? n : svc->revisions_n == 1;
	svc->traffic = xcalloc(MAX(svc->traffic_n, (size_t)1), sizeof *svc->traffic);
	for (i = 0; i < n; i++) {
		const struct conf_section *sub = conf_section_at(s, IN_TRAFFIC, i);

		svc->traffic[i].revision = xstrdup(sub->title);
		value_defaults(GROUP_TRAFFIC, &svc->traffic[i]);
		apply(sub, GROUP_TRAFFIC, &svc->traffic[i], NULL);
	}
	if (n == 0 && svc->revisions_n == 1)
		svc->traffic[0] = (struct traffic_conf){.revision = xstrdup(svc->revisions[0].name),
							.percent = 100};
}

static void
load_service(struct loader *ld, const struct conf_section *s, struct service_conf *svc)
{
	size_t i;

	svc->name = xstrdup(s->title);
	svc->line = s->line;
	value_defaults(GROUP_SERVICE, svc);
	apply(s, GROUP_SERVICE, svc, &svc->origins);
	load_rules(s, svc);
	svc->revisions_n = conf_section_count(s, IN_REVISION);
	svc->revisions = xcalloc(MAX(svc->revisions_n, (size_t)1), sizeof *svc->revisions);
	for (i = 0; i < svc->revisions_n; i++)
		load_revision(ld, s, conf_section_at(s, IN_REVISION, i), &svc->revisions[i]);
	load_traffic(s, svc);
	check_service(ld, s, svc);
}

static void
load_process(struct loader *ld, const struct conf_section *s, enum key_group group, void *base)
{
	value_defaults(group, base);
	apply(s, group, base, &ld->s->origins);
}

static void
load_listeners(struct activator_conf *a)
{
	size_t i;

	a->listeners_n = a->listen.n;
	a->listeners = xcalloc(MAX(a->listeners_n, (size_t)1), sizeof *a->listeners);
	for (i = 0; i < a->listeners_n; i++)
		CHECK(listen_spec_parse(&a->listeners[i], a->listen.v[i], NULL) == 0);
}

static void
load_certificates(struct loader *ld)
{
	struct activator_conf *a = &ld->s->activator;
	size_t i;

	if (ld->activator == NULL)
		return;
	a->certificates_n = conf_section_count(ld->activator, IN_CERTIFICATE);
	a->certificates = xcalloc(MAX(a->certificates_n, (size_t)1), sizeof *a->certificates);
	for (i = 0; i < a->certificates_n; i++) {
		struct certificate_conf *c = &a->certificates[i];
		const struct conf_section *s = conf_section_at(ld->activator, IN_CERTIFICATE, i);

		c->name = xstrdup(s->title);
		c->line = s->line;
		value_defaults(GROUP_CERTIFICATE, c);
		apply(s, GROUP_CERTIFICATE, c, &c->origins);
	}
}

static void
load_owners(struct loader *ld)
{
	struct settings *s = ld->s;
	size_t i;

	s->owners_n = conf_section_count(ld->root, IN_OWNER);
	s->owners = xcalloc(MAX(s->owners_n, (size_t)1), sizeof *s->owners);
	for (i = 0; i < s->owners_n; i++) {
		const struct conf_section *section = conf_section_at(ld->root, IN_OWNER, i);
		struct owner_conf *o = &s->owners[i];

		o->name = xstrdup(section->title);
		o->line = section->line;
		value_defaults(GROUP_OWNER, o);
		apply(section, GROUP_OWNER, o, &o->origins);
	}
}

static void
load_processes(struct loader *ld)
{
	struct settings *s = ld->s;

	load_process(ld, ld->root, GROUP_TOP, s);
	load_process(ld, ld->activator, GROUP_ACTIVATOR, &s->activator);
	load_listeners(&s->activator);
	load_process(ld, ld->activator, GROUP_LIMITS, &s->activator.limits);
	load_certificates(ld);
	load_process(ld, ld->autoscaler, GROUP_AUTOSCALER, &s->autoscaler);
	load_process(ld, ld->autoscaler, GROUP_SCALING, &s->autoscaler.scaling);
	load_process(ld, ld->autoscaler, GROUP_LAUNCH, &s->autoscaler.launch);
	load_owners(ld);
	check_processes(ld);
}

static void
load_all(struct loader *ld, const char *file)
{
	struct settings *s = xcalloc(1, sizeof *s);
	size_t i, at = 0;

	ld->s = s;
	ld->activator = conf_section_at(ld->root, IN_ACTIVATOR, 0);
	ld->autoscaler = conf_section_at(ld->root, IN_AUTOSCALER, 0);
	s->file = xstrdup(file);
	load_processes(ld);
	s->services_n = conf_section_count(ld->root, IN_SERVICE);
	s->services = xcalloc(MAX(s->services_n, (size_t)1), sizeof *s->services);
	for (i = 0; i < ld->root->sections_n; i++)
		if (ld->root->sections[i].where == IN_SERVICE)
			load_service(ld, &ld->root->sections[i], &s->services[at++]);
	check_shared(ld);
}

/* After a mistake in the syntax only single values are checked: a part of a file cannot show
 * whether settings agree with one another. */
static struct settings *
load(struct loader *ld, struct conf_section *root, bool is_whole, struct settings_errors *errors)
{
	const char *file = ld->errors.file;

	ld->root = root;
	if (root != NULL)
		check_values(&ld->errors, root);
	if (root != NULL && is_whole)
		load_all(ld, file);
	conf_free(&root);
	malloc_trim(0); /* the tree was ten times as large as the settings */
	if (ld->errors.n > 0)
		settings_free(&ld->s);
	conf_errors_move(&ld->errors, errors);
	CHECK((ld->s == NULL) == (errors->n > 0));
	return ld->s;
}

struct settings *
settings_load(const char *file, struct settings_errors *errors)
{
	struct loader ld = {.errors = {.file = file}};
	struct conf_section *root;
	struct settings *s;
	bool is_whole;
	struct err e;
	size_t n;
	char *bytes = file_read(file, FILE_MOST, &n, &e);

	if (bytes == NULL) { /* conf_read() says why */
		root = conf_read(&ld.errors, &is_whole);
		return load(&ld, root, is_whole, errors);
	}
	s = settings_load_bytes(file, bytes, n, errors);
	free(bytes);
	return s;
}

struct settings *
settings_load_bytes(const char *file, const char *bytes, size_t n, struct settings_errors *errors)
{
	struct loader ld = {.errors = {.file = file}};
	bool is_whole;
	struct conf_section *root = conf_read_bytes(bytes, n, &ld.errors, &is_whole);
	struct settings *s = load(&ld, root, is_whole, errors);

	if (s != NULL)
		s->digest = file_digest(bytes, n);
	return s;
}

/* --- freeing --- */

static void
revision_fini(struct revision_conf *r)
{
	size_t i;

	for (i = 0; i < r->schedules_n; i++) {
		value_fini_group(GROUP_SCHEDULE, &r->schedules[i]);
		free(r->schedules[i].name);
	}
	free(r->schedules);
	value_fini_group(GROUP_LAUNCH, &r->launch);
	limits_fini(&r->limits);
	free(r->origins.v);
	free(r->full_name);
	free(r->name);
}

static void
service_fini(struct service_conf *svc)
{
	size_t i;

	for (i = 0; i < svc->revisions_n; i++)
		revision_fini(&svc->revisions[i]);
	for (i = 0; i < svc->traffic_n; i++) {
		value_fini_group(GROUP_TRAFFIC, &svc->traffic[i]);
		str_list_fini(&svc->traffic[i].hosts);
		str_list_fini(&svc->traffic[i].local_hosts);
		free(svc->traffic[i].service);
		free(svc->traffic[i].revision);
	}
	for (i = 0; i < svc->rules_n; i++)
		rule_conf_fini(&svc->rules[i]);
	free(svc->revisions);
	free(svc->traffic);
	free(svc->rules);
	free(svc->knative);
	str_list_fini(&svc->local_hosts);
	value_fini_group(GROUP_SERVICE, svc);
	free(svc->origins.v);
	free(svc->name);
}

void
settings_service_free(struct service_conf **sp)
{
	struct service_conf *svc = *sp;

	*sp = NULL;
	if (svc == NULL)
		return;
	service_fini(svc);
	free(svc);
}

struct service_conf *
settings_load_service(const struct settings *base, struct conf_section *section,
		      struct conf_errors *errors)
{
	struct loader ld = {.errors = *errors, .s = (struct settings *)(uintptr_t)base};
	struct service_conf *svc = xcalloc(1, sizeof *svc);

	CHECK(section->where == IN_SERVICE);
	check_values(&ld.errors, section);
	load_service(&ld, section, svc);
	if (ld.errors.n > errors->n)
		settings_service_free(&svc);
	*errors = ld.errors;
	return svc;
}

static void
certificate_fini(struct certificate_conf *c)
{
	value_fini_group(GROUP_CERTIFICATE, c);
	free(c->origins.v);
	free(c->name);
}

static void
owner_fini(struct owner_conf *o)
{
	value_fini_group(GROUP_OWNER, o);
	free(o->origins.v);
	free(o->name);
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
	for (i = 0; i < s->owners_n; i++)
		owner_fini(&s->owners[i]);
	free(s->owners);
	for (i = 0; i < s->activator.certificates_n; i++)
		certificate_fini(&s->activator.certificates[i]);
	free(s->activator.certificates);
	value_fini_group(GROUP_ACTIVATOR, &s->activator);
	free(s->activator.listeners);
	limits_fini(&s->activator.limits);
	value_fini_group(GROUP_LAUNCH, &s->autoscaler.launch);
	value_fini_group(GROUP_AUTOSCALER, &s->autoscaler);
	value_fini_group(GROUP_TOP, s);
	free(s->origins.v);
	free(s->file);
	free(s);
}

void
settings_errors_add(struct settings_errors *errors, const char *line)
{
	errors->lines = xrealloc(errors->lines, (errors->n + 1) * sizeof *errors->lines);
	errors->lines[errors->n++] = xstrdup(line);
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

int
settings_err_at(const struct settings *s, const char *key, unsigned section, struct err *e)
{
	const struct settings_origin *o = settings_origins_find(&s->origins,
								settings_key_find(key, section));

	return o == NULL ? err_prefix(e, "%s: %s", s->file, key)
			 : err_prefix(e, "%s:%u: %s", s->file, o->line, key);
}

uint32_t
settings_max_instances(const struct settings *s)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (s->autoscaler.max_instances > 0 || s->autoscaler.driver != DRIVER_PROCESS)
		return s->autoscaler.max_instances;
	return (uint32_t)MAX(cores, 1) * INSTANCES_PER_CORE;
}
