/* services - which services there are: it joins those of the conf file, those of the store
 * (activatorctl) and those that the driver finds by itself (annotations), hands their revisions to
 * the reconciler and to the drivers, and describes them to the activators.
 *
 * It owns the settings.  After a reload it keeps the settings that were in effect before, and those
 * before them, until no instance is left of the revisions that only they name: the reconciler
 * drains these revisions before it stops them. Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_SERVICES_H
#define AUTOSCALER_SERVICES_H

#include "common/base.h"

struct audit;
struct driver;
struct learned;
struct reconcile;
struct services; /* opaque */
struct settings;
struct version_store;

/* Takes one line of the description, borrowed. */
typedef void services_line_fn(const char *text, size_t n, void *arg);

/* What services works with, borrowed. */
struct services_parts {
	struct reconcile *reconcile;
	struct learned *learned;
	struct version_store *store; /* NULL: it cannot be read */
	struct audit *audit;	     /* NULL: off */
	struct driver *platform, *addresses;
	services_line_fn *send_all; /* sends a line to every connected activator */
	/* Have the limits of all connected activators our defaults? */
	bool (*have_defaults)(void *arg);
	/* The lines of a whole description were sent to them. */
	void (*described)(int64_t generation, void *arg);
	void *arg;
};

/* settings is taken over; they are the ones that the drivers are to be opened with, and
 * live until services_free(). */
NODISCARD struct services *services_new(struct settings **);
/* Only after the drivers are closed. */
void services_free(struct services **);

/* The settings in effect; borrowed until the next services_adopt(). */
const struct settings *services_settings(const struct services *);

/* Begin: apply the settings for the first time. */
void services_start(struct services *, const struct services_parts *);
/* The driver has found other services: apply the settings again. */
void services_found(struct services *);
/* The driver has taken over instances of these revisions (full names), which are not configured:
 * apply the settings again, with these revisions as ones that are leaving. */
void services_unconfigured(struct services *, const char *const *revisions, size_t n);
/* The store has other services: apply the settings again, with them. */
void services_stored(struct services *);
/* Go over to new settings, which are taken over. */
void services_adopt(struct services *, struct settings *);
/* To be called each second: free the earlier settings once their last revision is empty. */
void services_tick(struct services *);

/* False: the driver has not reported yet which services it finds.  Until then nothing is
 * described, because activators would take some of the services for all: they park requests,
 * or keep what an earlier autoscaler described. */
bool services_are_complete(const struct services *);
/* Describe the services to one activator.  is_brief: its limits have our defaults.  False: nothing,
 * while they are not complete. */
bool services_describe(const struct services *, bool is_brief, services_line_fn *, void *arg);

/* The i-th service, i < services_n(); borrowed until the services change. */
const struct service_conf *services_at(const struct services *, size_t i);
const struct service_conf *services_find(const struct services *, const char *name); /* or NULL */
/* Where its description comes from. */
enum services_source {
	SERVICES_OF_FILE,
	SERVICES_OF_STORE,
	SERVICES_OF_KNATIVE,
	SERVICES_FOUND /* annotations */
};
enum services_source services_source_of(const struct services *, const struct service_conf *);
/* Call fn for each revision, those that are leaving included. */
struct revision_conf;
struct service_conf;
typedef void services_revision_fn(const struct service_conf *, const struct revision_conf *,
				  void *arg);
void services_each_revision(const struct services *, services_revision_fn *, void *arg);

/* Every activator that counts uses this generation: tell the driver. */
void services_routed(struct services *, int64_t generation);

size_t services_n(const struct services *);
/* Counts the descriptions. */
int64_t services_generation(const struct services *);

#endif
