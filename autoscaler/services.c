#include "autoscaler/services.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autoscaler/reconcile/catalog.h"
#include "autoscaler/reconcile/learned.h"
#include "autoscaler/route_audit.h"
#include "autoscaler/versions/document.h"
#include "autoscaler/versions/store.h"
#include "common/conf.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/settings_claims.h"

/* The services of the store, as settings. */
struct stored_set {
	struct service_conf **v;
	size_t n;
};

/* Until a generation is routed: the number of what the driver has found (services_serial()). */
struct unrouted {
	int64_t generation;
	uint64_t serial;
};

struct services {
	struct services_parts parts;
	struct settings *first;	  /* what the drivers were opened with */
	struct settings *current; /* in effect; may be `first` */
	/* In effect before, the newest last: those that have revisions which are leaving.  Their
	 * number is that of changes in a short time. */
	struct settings **previous;
	size_t previous_n;
	struct stored_set stored;	   /* of the store */
	struct stored_set stored_previous; /* likewise */
	/* A service for each revision that was not configured when the driver took over its
	 * instances, until they are gone. */
	struct stored_set unconfigured;
	struct catalog catalog;
	struct route_audit *routes; /* NULL until services_start() */
	bool is_found_change;	    /* the driver has found other services */
	bool is_complete;
	int64_t generation;
	struct unrouted *unrouted; /* the newest last */
	size_t unrouted_n;
};

struct services *
services_new(struct settings **settings)
{
	struct services *s = xcalloc(1, sizeof *s);

	s->first = s->current = *settings;
	*settings = NULL;
	return s;
}

const struct settings *
services_settings(const struct services *s)
{
	return s->current;
}

/* --- the services of the store --- */

static void
stored_free(struct stored_set *set)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		settings_service_free(&set->v[i]);
	free(set->v);
	*set = (struct stored_set){.n = 0};
}

/* A service that is stored may not fit any more: a later version has other keys, or the conf file
 * has changed what it builds on. */
static struct service_conf *
load_one(const struct services *s, const struct stored_service *stored)
{
	struct settings_errors errors = {NULL, 0};
	struct service_conf *conf = document_load(stored, s->current, &errors);
	size_t i;

	for (i = 0; i < errors.n; i++)
		log_error(NULL, "a stored service cannot be used", "service=%s at=%s", stored->name,
			  errors.lines[i]);
	settings_errors_free(&errors);
	return conf;
}

static const struct service_conf *
find_of_file(const struct services *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->current->services_n; i++)
		if (strcmp(s->current->services[i].name, name) == 0)
			return &s->current->services[i];
	return NULL;
}

static bool
is_claimed(const char *claim, void *arg)
{
	return hmap_find(arg, claim) != NULL;
}

static bool
add_claim(const char *claim, void *arg)
{
	if (hmap_find(arg, claim) == NULL)
		hmap_put(arg, claim, arg);
	return false;
}

/* A host with a path is one service's: the conf file may have got it since it was stored. */
static void
add_stored(struct services *s, struct service_conf *conf, struct hmap *claims)
{
	if (settings_each_claim(conf, is_claimed, claims)) {
		log_error(NULL,
			  "a stored service cannot be used: another one has a host and path of it",
			  "service=%s", conf->name);
		settings_service_free(&conf);
		return;
	}
	settings_each_claim(conf, add_claim, claims);
	s->stored.v[s->stored.n++] = conf;
}

static void
load_stored(struct services *s)
{
	struct version_store *store = s->parts.store;
	size_t n = store == NULL ? 0 : version_store_n(store), i;
	struct hmap claims;

	s->stored = (struct stored_set){.v = xcalloc(n + 1, sizeof *s->stored.v)};
	if (n == 0)
		return;
	hmap_init(&claims);
	for (i = 0; i < s->current->services_n; i++)
		settings_each_claim(&s->current->services[i], add_claim, &claims);
	for (i = 0; i < n; i++) {
		struct service_conf *conf = load_one(s, version_store_at(store, i));

		if (conf != NULL && find_of_file(s, conf->name) != NULL) {
			log_warn(NULL, "a stored service is not used: the conf file has its name",
				 "service=%s", conf->name);
			settings_service_free(&conf);
		} else if (conf != NULL) {
			add_stored(s, conf, &claims);
		}
	}
	hmap_fini(&claims);
}

/* --- routed --- */

/* What the driver has found is in the new generation. */
static void
note_unrouted(struct services *s)
{
	const struct driver_class *class = s->parts.platform->class;
	uint64_t serial;

	if (class->routed == NULL)
		return;
	serial = class->services_serial(s->parts.platform);
	if (s->unrouted_n > 0 && s->unrouted[s->unrouted_n - 1].serial == serial)
		return; /* routed with that one */
	s->unrouted = xrealloc(s->unrouted, (s->unrouted_n + 1) * sizeof *s->unrouted);
	s->unrouted[s->unrouted_n++] = (struct unrouted){.generation = s->generation,
							 .serial = serial};
}

void
services_routed(struct services *s, int64_t generation)
{
	struct driver *d = s->parts.platform;
	uint64_t serial = 0;
	size_t n = 0;

	while (n < s->unrouted_n && s->unrouted[n].generation <= generation)
		serial = s->unrouted[n++].serial;
	if (n == 0)
		return;
	s->unrouted_n -= n;
	memmove(s->unrouted, s->unrouted + n, s->unrouted_n * sizeof *s->unrouted);
	d->class->routed(d, serial);
}

/* --- apply --- */

static void
set_driver_revisions(struct driver *d, const struct reconcile_item *items, size_t n)
{
	const struct revision_conf **v = xcalloc(n + 1, sizeof *v);
	size_t i, found = 0;

	for (i = 0; i < n; i++)
		if (items[i].driver == d)
			v[found++] = items[i].conf;
	d->class->set_revisions(d, v, found);
	free(v);
}

/* With the driver `process` all instances share this machine. */
static void
measure_machine(const struct settings *settings, struct reconcile_conf *conf)
{
	if (settings->autoscaler.driver != DRIVER_PROCESS)
		return;
	conf->machine_cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
	conf->machine_memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
}

static void
join(struct services *s)
{
	const struct settings *now = s->current;
	const struct driver_class *class = s->parts.platform->class;
	const struct service_conf *found = NULL;
	size_t found_n = 0, i;

	if (class->services != NULL)
		found = class->services(s->parts.platform, now, &found_n);
	s->is_complete = class->services == NULL || found != NULL;
	if (found != NULL)
		route_audit_begin(s->routes, found, found_n, s->is_found_change);
	s->is_found_change = false;
	catalog_fini(&s->catalog);
	catalog_init(&s->catalog, now->services, now->services_n, s->stored.v, s->stored.n, found,
		     found_n);
	for (i = s->previous_n; i > 0 && class->is_owner; i--)
		catalog_keep_leaving(&s->catalog, s->previous[i - 1]->services,
				     s->previous[i - 1]->services_n, s->parts.reconcile);
	for (i = s->stored_previous.n; i > 0 && class->is_owner; i--)
		catalog_keep_leaving(&s->catalog, s->stored_previous.v[i - 1], 1,
				     s->parts.reconcile);
	for (i = 0; i < s->unconfigured.n; i++)
		catalog_keep_leaving(&s->catalog, s->unconfigured.v[i], 1, NULL);
}

static void
apply(struct services *s)
{
	const struct services_parts *p = &s->parts;
	struct reconcile_conf conf = {.max_instances = settings_max_instances(s->current),
				      .owners = s->current->owners,
				      .owners_n = s->current->owners_n,
				      .share_quantum = s->current->autoscaler.share_quantum,
				      .generation = s->generation + 1};
	struct reconcile_item *items;
	size_t n;

	measure_machine(s->current, &conf);
	join(s);
	items = catalog_items(&s->catalog, p->platform, p->addresses, &n);
	reconcile_set(p->reconcile, &conf, items, n);
	learned_teach(p->learned, p->reconcile);
	set_driver_revisions(p->platform, items, n);
	set_driver_revisions(p->addresses, items, n);
	free(items);
	s->generation++;
	if (!services_describe(s, p->have_defaults(p->arg), p->send_all, p->arg))
		return;
	route_audit_end(s->routes);
	note_unrouted(s);
	p->described(s->generation, p->arg);
}

void
services_start(struct services *s, const struct services_parts *parts)
{
	s->parts = *parts;
	s->routes = route_audit_new(parts->audit);
	load_stored(s);
	apply(s);
}

void
services_found(struct services *s)
{
	s->is_found_change = true;
	apply(s);
}

/* --- revisions that are not configured --- */

/* A service with this revision alone, which can start nothing; NULL: the name has another form. */
static struct service_conf *
unconfigured_service(const struct services *s, const char *full_name)
{
	const char *slash = strrchr(full_name, '/');
	struct settings_errors lines = {NULL, 0};
	struct conf_errors errors = {.file = full_name};
	struct service_conf *conf = NULL;
	struct conf_section *root;
	char *text;

	if (slash == NULL)
		return NULL;
	text = xasprintf("service \"%.*s\" { hosts = {\"unconfigured\"}"
			 " revision \"%s\" { command = {\"true\"} } }\n",
			 (int)(slash - full_name), full_name, slash + 1);
	root = document_parse(full_name, text, strlen(text), &lines);
	if (root != NULL) {
		conf = settings_load_service(s->current, conf_section_at(root, IN_SERVICE, 0),
					     &errors);
		conf_errors_move(&errors, &lines);
	}
	if (conf != NULL)
		str_list_fini(&conf->revisions[0].launch.command);
	else
		log_error(NULL, "instances of a revision that is not configured are not drained",
			  "revision=%s err=%s", full_name, lines.n == 0 ? "" : lines.lines[0]);
	settings_errors_free(&lines);
	conf_free(&root);
	free(text);
	return conf;
}

void
services_unconfigured(struct services *s, const char *const *revisions, size_t n)
{
	struct stored_set *to = &s->unconfigured;
	size_t i;

	to->v = xrealloc(to->v, (to->n + n + 1) * sizeof(struct service_conf *));
	for (i = 0; i < n; i++) {
		struct service_conf *conf = unconfigured_service(s, revisions[i]);

		if (conf != NULL)
			to->v[to->n++] = conf;
	}
	apply(s);
}

/* --- from one settings to the next --- */

static void
drop(struct services *s, struct settings *old)
{
	if (old != s->first && old != s->current)
		settings_free(&old);
}

static void
drop_all(struct services *s, struct settings **v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		drop(s, v[i]);
	free(v);
}

static void
keep_settings(struct services *s)
{
	s->previous = xrealloc(s->previous, (s->previous_n + 1) * sizeof *s->previous);
	s->previous[s->previous_n++] = s->current;
}

/* What is in effect of the store is so no longer. */
static void
keep_stored(struct services *s)
{
	struct stored_set *to = &s->stored_previous;
	size_t i;

	to->v = xrealloc(to->v, (to->n + s->stored.n + 1) * sizeof *to->v);
	for (i = 0; i < s->stored.n; i++)
		to->v[to->n++] = s->stored.v[i];
	free(s->stored.v);
	s->stored = (struct stored_set){.n = 0};
}

static bool
is_leaving(const struct services *s, const struct service_conf *service)
{
	size_t i;

	for (i = 0; i < s->catalog.leaving_n; i++)
		if (s->catalog.leaving[i].service == service)
			return true;
	return false;
}

static bool
has_leaving(const struct services *s, const struct settings *old)
{
	size_t i;

	for (i = 0; i < old->services_n; i++)
		if (is_leaving(s, &old->services[i]))
			return true;
	return false;
}

/* Free those that have no revision which is leaving. */
static void
drop_settings(struct services *s)
{
	size_t i, n = 0;

	for (i = 0; i < s->previous_n; i++)
		if (has_leaving(s, s->previous[i]))
			s->previous[n++] = s->previous[i];
		else
			drop(s, s->previous[i]);
	s->previous_n = n;
}

static void
drop_stored(struct services *s)
{
	struct stored_set *from = &s->stored_previous;
	size_t i, n = 0;

	for (i = 0; i < from->n; i++)
		if (is_leaving(s, from->v[i]))
			from->v[n++] = from->v[i];
		else
			settings_service_free(&from->v[i]);
	from->n = n;
}

static void
use_settings(struct driver *d, const struct settings *settings)
{
	if (d->class->use_settings != NULL)
		d->class->use_settings(d, settings);
}

/* Go over to other settings or (NULL) only to what the store has now. */
static void
go_over(struct services *s, struct settings *settings)
{
	if (settings != NULL) {
		keep_settings(s);
		s->current = settings;
		use_settings(s->parts.platform, settings);
		use_settings(s->parts.addresses, settings);
	}
	keep_stored(s);
	load_stored(s);
	apply(s);
	drop_settings(s);
	drop_stored(s);
}

void
services_adopt(struct services *s, struct settings *settings)
{
	go_over(s, settings);
}

void
services_stored(struct services *s)
{
	go_over(s, NULL);
}

/* Nothing that is leaving is waited for any more. */
static void
forget_leaving(struct services *s)
{
	struct settings **old = s->previous;
	struct stored_set old_stored = s->stored_previous, unconfigured = s->unconfigured;
	size_t old_n = s->previous_n;

	s->previous = NULL;
	s->previous_n = 0;
	s->stored_previous = s->unconfigured = (struct stored_set){.n = 0};
	apply(s);
	drop_all(s, old, old_n);
	stored_free(&old_stored);
	stored_free(&unconfigured);
}

/* Likewise of those whose drain_timeout is over, while others have more time. */
static void
forget_late(struct services *s)
{
	struct stored_set *all = &s->unconfigured, late = {.n = 0};
	size_t i, kept = 0;

	late.v = xcalloc(all->n + 1, sizeof *late.v);
	for (i = 0; i < all->n; i++)
		if (reconcile_leaving_is_late(s->parts.reconcile,
					      all->v[i]->revisions[0].full_name))
			late.v[late.n++] = all->v[i];
		else
			all->v[kept++] = all->v[i];
	all->n = kept;
	apply(s);
	stored_free(&late);
}

void
services_tick(struct services *s)
{
	const struct reconcile *r = s->parts.reconcile;

	if (s->previous_n == 0 && s->stored_previous.n == 0 && s->unconfigured.n == 0)
		return;
	if (reconcile_leaving_done(r))
		forget_leaving(s);
	else if (reconcile_any_is_late(r))
		forget_late(s);
}

void
services_free(struct services **sp)
{
	struct services *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	route_audit_free(&s->routes);
	catalog_fini(&s->catalog);
	drop_all(s, s->previous, s->previous_n);
	stored_free(&s->stored_previous);
	stored_free(&s->unconfigured);
	stored_free(&s->stored);
	free(s->unrouted);
	if (s->current != s->first)
		settings_free(&s->current);
	settings_free(&s->first);
	free(s);
}

/* --- to be described --- */

bool
services_are_complete(const struct services *s)
{
	return s->is_complete;
}

bool
services_describe(const struct services *s, bool is_brief, services_line_fn *line, void *arg)
{
	if (s->is_complete)
		catalog_describe(&s->catalog, s->parts.reconcile, s->generation, is_brief, line,
				 arg);
	return s->is_complete;
}

void
services_each_revision(const struct services *s, services_revision_fn *fn, void *arg)
{
	const struct catalog *c = &s->catalog;
	size_t i, k;

	for (i = 0; i < c->n; i++)
		for (k = 0; k < c->services[i]->revisions_n; k++)
			fn(c->services[i], &c->services[i]->revisions[k], arg);
	for (i = 0; i < c->leaving_n; i++)
		fn(c->leaving[i].service, c->leaving[i].revision, arg);
}

const struct service_conf *
services_at(const struct services *s, size_t i)
{
	CHECK(i < s->catalog.n);
	return s->catalog.services[i];
}

const struct service_conf *
services_find(const struct services *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->catalog.n; i++)
		if (strcmp(s->catalog.services[i]->name, name) == 0)
			return s->catalog.services[i];
	return NULL;
}

enum services_source
services_source_of(const struct services *s, const struct service_conf *service)
{
	const struct settings *now = s->current;
	size_t i;

	for (i = 0; i < now->services_n; i++)
		if (&now->services[i] == service)
			return SERVICES_OF_FILE;
	for (i = 0; i < s->stored.n; i++)
		if (s->stored.v[i] == service)
			return SERVICES_OF_STORE;
	return service->knative != NULL ? SERVICES_OF_KNATIVE : SERVICES_FOUND;
}

size_t
services_n(const struct services *s)
{
	return s->catalog.n;
}

int64_t
services_generation(const struct services *s)
{
	return s->generation;
}
