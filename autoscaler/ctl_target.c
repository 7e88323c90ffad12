#include "autoscaler/ctl_target.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl_server.h"
#include "autoscaler/facts.h"
#include "autoscaler/services.h"
#include "autoscaler/versions/store.h"
#include "common/conf_names.h"
#include "common/settings.h"

/* "; did you mean NAME?", or nothing.  Owned by the caller. */
static char *
suggest_service(const struct services *services, const char *name)
{
	size_t n = services_n(services), i;
	const char **names = xcalloc(n + 1, sizeof *names);
	const char *nearest;
	char *text;

	for (i = 0; i < n; i++)
		names[i] = services_at(services, i)->name;
	nearest = conf_word_nearest(name, names, n);
	text = nearest == NULL ? xstrdup("activatorctl list shows all services")
			       : xasprintf("did you mean \"%s\"?", nearest);
	free(names);
	return text;
}

void
ctl_target_refuse(struct ctl_request *r, const struct facts *f, const char *name)
{
	char *next = suggest_service(f->services, name);

	ctl_done(r, CTL_NOT_FOUND, next, "there is no service \"%s\"", name);
	free(next);
}

static const struct revision_conf *
find_revision(const struct service_conf *service, const char *name)
{
	size_t i;

	for (i = 0; i < service->revisions_n; i++)
		if (strcmp(service->revisions[i].name, name) == 0)
			return &service->revisions[i];
	return NULL;
}

static void
refuse_revision(struct ctl_request *r, const struct service_conf *service, const char *name)
{
	const char **names = xcalloc(service->revisions_n + 1, sizeof *names), *nearest;
	char *next;
	size_t i;

	for (i = 0; i < service->revisions_n; i++)
		names[i] = service->revisions[i].name;
	nearest = conf_word_nearest(name, names, service->revisions_n);
	next = nearest == NULL
		       ? xasprintf("activatorctl revisions %s shows its revisions", service->name)
		       : xasprintf("did you mean \"%s/%s\"?", service->name, nearest);
	ctl_done(r, CTL_NOT_FOUND, next, "the service \"%s\" has no revision \"%s\"", service->name,
		 name);
	free(next);
	free(names);
}

/* A revision that is kept to go back to, of a service of the store. */
static bool
is_kept(const struct facts *f, const struct service_conf *service, const char *revision)
{
	const struct stored_service *stored = services_source_of(f->services, service) ==
							      SERVICES_OF_STORE
						      ? version_store_find(f->store, service->name)
						      : NULL;
	const char *at = stored == NULL || stored_service_find(stored, revision) == NULL
				 ? NULL
				 : stored_service_find(stored, revision)->name;

	return at != NULL && strcmp(at, revision) == 0;
}

static int
find(struct ctl_request *r, const struct facts *f, bool with_kept, struct ctl_target *t)
{
	const char *name = ctl_asked(r)->name, *slash;
	char *service;
	int rc = -1;

	if (name == NULL || name[0] == '\0') {
		ctl_done(r, CTL_USAGE, NULL, "expected the name of a service");
		return -1;
	}
	slash = strchr(name, '/');
	service = slash == NULL ? xstrdup(name) : xstrndup(name, (size_t)(slash - name));
	*t = (struct ctl_target){.service = services_find(f->services, service),
				 .revision = slash == NULL ? NULL : slash + 1};
	if (t->service == NULL)
		ctl_target_refuse(r, f, service);
	else if (t->revision != NULL && find_revision(t->service, t->revision) == NULL &&
		 !(with_kept && is_kept(f, t->service, t->revision)))
		refuse_revision(r, t->service, t->revision);
	else
		rc = 0;
	free(service);
	return rc;
}

int
ctl_target_find(struct ctl_request *r, const struct facts *f, struct ctl_target *t)
{
	return find(r, f, false, t);
}

int
ctl_target_find_any(struct ctl_request *r, const struct facts *f, struct ctl_target *t)
{
	return find(r, f, true, t);
}

static bool
has_traffic(const struct service_conf *service, const char *revision)
{
	size_t i;

	for (i = 0; i < service->traffic_n; i++)
		if (strcmp(service->traffic[i].revision, revision) == 0 &&
		    service->traffic[i].percent > 0)
			return true;
	return false;
}

void
ctl_target_list(const struct ctl_target *t, bool with_traffic, struct str_list *out)
{
	char **names = xcalloc(t->service->revisions_n + 1, sizeof *names);
	size_t i, n = 0;

	for (i = 0; i < t->service->revisions_n; i++) {
		const struct revision_conf *conf = &t->service->revisions[i];

		if (t->revision != NULL ? strcmp(conf->name, t->revision) == 0
					: !with_traffic || has_traffic(t->service, conf->name))
			names[n++] = conf->full_name;
	}
	str_list_set(out, names, n);
	free(names);
}
