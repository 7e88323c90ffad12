#include "autoscaler/services.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autoscaler/reconcile/catalog.h"
#include "autoscaler/reconcile/learned.h"
#include "common/settings.h"

struct services {
	struct services_parts parts;
	struct settings *first;	   /* what the drivers were opened with */
	struct settings *current;  /* in effect; may be `first` */
	struct settings *previous; /* in effect before, while a revision of them is leaving */
	struct catalog catalog;
	bool is_complete;
	int64_t generation;
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
	const struct settings *now = s->current, *before = s->previous;
	const struct driver_class *class = s->parts.platform->class;
	const struct service_conf *found = NULL;
	size_t found_n = 0;

	if (class->services != NULL)
		found = class->services(s->parts.platform, now, &found_n);
	s->is_complete = class->services == NULL || found != NULL;
	catalog_fini(&s->catalog);
	catalog_init(&s->catalog, now->services, now->services_n, found, found_n);
	if (before != NULL && class->is_owner)
		catalog_keep_leaving(&s->catalog, before->services, before->services_n,
				     s->parts.reconcile);
}

static void
apply(struct services *s)
{
	const struct services_parts *p = &s->parts;
	struct reconcile_conf conf = {.max_instances = settings_max_instances(s->current),
				      .drain_timeout = s->current->autoscaler.drain_timeout,
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
	services_describe(s, p->send_all, p->arg);
}

void
services_start(struct services *s, const struct services_parts *parts)
{
	s->parts = *parts;
	apply(s);
}

void
services_found(struct services *s)
{
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
drop_previous(struct services *s)
{
	struct settings *old = s->previous;

	s->previous = NULL;
	drop(s, old);
}

/* If revisions of still earlier settings are leaving, they are no longer waited for. */
void
services_adopt(struct services *s, struct settings *settings)
{
	struct settings *old = s->previous;

	s->previous = s->current;
	s->current = settings;
	apply(s);
	if (old != NULL)
		drop(s, old);
	if (s->catalog.leaving_n == 0)
		drop_previous(s);
}

void
services_tick(struct services *s)
{
	struct settings *old = s->previous;

	if (old == NULL || !reconcile_leaving_done(s->parts.reconcile))
		return;
	s->previous = NULL;
	apply(s);
	drop(s, old);
}

void
services_free(struct services **sp)
{
	struct services *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	catalog_fini(&s->catalog);
	if (s->previous != NULL)
		drop_previous(s);
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

void
services_describe(const struct services *s, services_line_fn *line, void *arg)
{
	if (s->is_complete)
		catalog_describe(&s->catalog, s->parts.reconcile, s->generation, line, arg);
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

bool
services_is_of_file(const struct services *s, const struct service_conf *service)
{
	const struct settings *now = s->current;
	size_t i;

	for (i = 0; i < now->services_n; i++)
		if (&now->services[i] == service)
			return true;
	return false;
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
