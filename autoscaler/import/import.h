/* import - turns what other platforms have into annotations or sections of the conf file: KEDA's
 * HTTPScaledObject and InterceptorRoute with the user's ScaledObject, and what Sablier's labels
 * say, on Kubernetes or in a Compose file.  What has no equal is said with file, line and field.
 *
 * Room: autoscaler/import is the importer of `activatorctl import`.  It reads texts and writes
 * texts: it asks no cluster, and changes nothing.
 *	import		the objects of all files, one after the other
 *	import_model	the services that are made of them, and what is said
 *	import_keda	HTTPScaledObject, InterceptorRoute
 *	import_sablier	labels on Deployments
 *	import_compose	labels in a Compose file
 *	import_route	which hosts and paths lead to an object: Ingress, HTTPRoute, Traefik's rules
 *	import_check	what keys and services may not be together
 *	import_write	annotations, conf file
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_IMPORT_IMPORT_H
#define AUTOSCALER_IMPORT_IMPORT_H

#include "common/err.h"

struct strbuf;

enum import_form { IMPORT_ANNOTATIONS, IMPORT_CONF };

struct import; /* opaque */

/* ns: of objects that name no namespace. */
NODISCARD struct import *import_new(enum import_form, const char *ns);
void import_free(struct import **);

/* Add the n bytes of a file of YAML or JSON; origin: its name for messages.  0, or -1 with err: it
 * is no YAML. */
NODISCARD int import_add(struct import *, const char *origin, const char *text, size_t n,
			 struct err *);
/* Translate all that was added; to be called once, before those below. */
void import_run(struct import *);

/* The services as commands of kubectl, or as a conf file. */
void import_write(const struct import *, struct strbuf *out);
/* What has no equal, and what is wrong: a line "FILE:LINE: FIELD: …" each; borrowed. */
const char *import_notes(const struct import *);
size_t import_services(const struct import *); /* how many were made */
/* Is there a service that could not be made as a whole, so that a note says what to do by hand? */
bool import_is_partial(const struct import *);

#endif
