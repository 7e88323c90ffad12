/* import_impl - what the files of this room share.  Thread: any. */
#ifndef AUTOSCALER_IMPORT_IMPORT_IMPL_H
#define AUTOSCALER_IMPORT_IMPORT_IMPL_H

#include "autoscaler/import/import.h"
#include "autoscaler/kube/kube_yaml.h"
#include "common/settings_keys.h"
#include "common/str_list.h"
#include "common/strbuf.h"

/* An object of a file; its strings are borrowed from the file's text. */
struct import_object {
	const char *origin;
	struct kube_node root;
	const char *api, *kind, *ns, *name; /* "" where it has none */
};

struct import_setting {
	char *section; /* "rule.NAME" or "schedule.NAME"; NULL: of the service itself */
	const struct key *key;
	struct str_list texts; /* one, unless the key holds a list */
};

struct import_service {
	const struct import_object *from;
	char *name; /* in a conf file */
	const char *ns;
	char *annotated; /* "deployment/NAME" or "service/NAME"; NULL: nothing can be */
	char *workload;	 /* the value of the key deployment or workload; NULL: unknown */
	struct import_setting *v;
	size_t n;
	struct strbuf after; /* what to do once requests go to the activator: commands */
	bool is_partial;     /* it lacks something without which it is no service */
};

struct import {
	enum import_form form;
	char *ns;
	struct kube_yaml **files;
	char **origins;
	size_t files_n;
	struct import_object *objects;
	size_t objects_n;
	struct import_service **services;
	size_t services_n;
	struct strbuf notes;
	bool is_partial;
	/* Of Sablier as a whole, from its conf file or its command line; NULL: its defaults. */
	char *session_duration, *blocking_timeout;
};

/* --- what is said --- */

/* A line about a field of an object. */
void import_note(struct import *, const struct import_object *, struct kube_node at,
		 const char *path, const char *fmt, ...) PRINTF_LIKE(5, 6);
/* As import_note(), where the user has to do something by hand. */
void import_fail(struct import *, const struct import_object *, struct kube_node at,
		 const char *path, const char *fmt, ...) PRINTF_LIKE(5, 6);

/* --- services --- */

struct import_service *import_add_service(struct import *, const struct import_object *from,
					  const char *ns, const char *name);
/* Set a key, or add an element to its list.  A value that the key does not take, or none (NULL), is
 * said, at `at` of `path`, and false is returned. */
bool import_set(struct import *, struct import_service *, struct kube_node at, const char *path,
		const char *section, const char *key, const char *text);
bool import_has(const struct import_service *, const char *key);
/* Set the key unless it is set. */
void import_default(struct import *, struct import_service *, const char *key, const char *text);
/* As import_set(), of a duration as Go writes it. */
bool import_set_duration(struct import *, struct import_service *, struct kube_node at,
			 const char *path, const char *key, const char *text);
/* As import_set(), of a number of seconds. */
bool import_set_seconds(struct import *, struct import_service *, struct kube_node at,
			const char *path, const char *key, const char *text);
/* The service scales this object of Kubernetes. */
void import_set_target(struct import *, struct import_service *, struct kube_node at,
		       const char *path, const char *api, const char *kind, const char *name);

/* --- objects --- */

/* The object of this kind; api: the beginning of its apiVersion; NULL: any. */
const struct import_object *import_find(const struct import *, const char *api, const char *kind,
					const char *ns, const char *name);
/* The Deployment whose pods a Service selects; NULL: none is in the files. */
const struct import_object *import_selected(const struct import *,
					    const struct import_object *service);
/* Set the key port to the port of the pods, of a port of a Service by number or by name.  The
 * Service may be in no file. */
void import_set_port(struct import *, struct import_service *, struct kube_node at,
		     const char *path, const char *service, const char *port, bool is_name);

/* --- walking fields --- */

typedef void import_field_fn(struct import *, struct import_service *, struct kube_node value,
			     const char *path);

struct import_field {
	const char *name;
	import_field_fn *take; /* NULL: it is not taken */
	const char *why;       /* and this is said of it; NULL: nothing */
	const char *silent;    /* but not if its text is this */
};

/* Call take for each field of a map, and say what is not taken, or not known. */
void import_walk(struct import *, struct import_service *, struct kube_node map, const char *path,
		 const struct import_field *fields, size_t n);

/* Append the section of a conf file. */
void import_put_service(struct strbuf *, const struct import_service *);
/* Say what of the services the conf file would not take. */
void import_check(struct import *);

/* Append a word as a shell takes it. */
void import_put_word(struct strbuf *, const char *text);

/* The member b of the member a. */
struct kube_node import_member(struct kube_node, const char *a, const char *b);
/* "PATH.NAME", the caller's. */
NODISCARD char *import_path(const char *path, const char *name);

/* --- kinds of objects --- */

void import_keda(struct import *, const struct import_object *);
bool import_is_keda(const struct import_object *);
void import_sablier(struct import *, const struct import_object *);
bool import_is_sablier(const struct import_object *);
/* The conf file of Sablier itself. */
void import_sablier_conf(struct import *, const struct import_object *);
void import_compose(struct import *, const struct import_object *);

/* Say what an option of Sablier's command line sets for all services. */
void import_sablier_option(struct import *, const char *option);
/* What labels say, those of Sablier's without "sablier.". */
struct import_label {
	const char *name, *text;
	struct kube_node at;
};
void import_sablier_labels(struct import *, struct import_service *, const struct import_label *,
			   size_t n);
/* What its labels leave to Sablier's conf file. */
void import_sablier_defaults(struct import *, struct import_service *);

/* Hosts, paths and port by which requests reach a Service of Kubernetes. */
void import_routes_to(struct import *, struct import_service *, const char *service);
/* Those of a rule of Traefik: Host(`a`) && PathPrefix(`/b`). */
void import_traefik_rule(struct import *, struct import_service *, struct kube_node at,
			 const char *path, const char *rule);

#endif
