/* Which hosts and paths lead to a Service of Kubernetes: Ingress, HTTPRoute, and Traefik's
 * IngressRoute and labels. */
#include <stdlib.h>
#include <string.h>

#include "autoscaler/import/import_impl.h"
#include "common/text.h"

static const char *
text_of(struct kube_node map, const char *key)
{
	return kube_node_text(kube_node_member(map, key));
}

static void
add_host(struct import *imp, struct import_service *s, struct kube_node at, const char *path,
	 const char *host)
{
	(void)import_set(imp, s, at, path, NULL, "hosts", host == NULL ? "*" : host);
}

static void
add_path(struct import *imp, struct import_service *s, struct kube_node at, const char *path,
	 const char *prefix)
{
	if (prefix != NULL && strcmp(prefix, "/") != 0)
		(void)import_set(imp, s, at, path, NULL, "paths", prefix);
}

static void
set_port(struct import *imp, struct import_service *s, struct kube_node number,
	 struct kube_node name, const char *path, const char *service)
{
	bool is_name = kube_node_text(number) == NULL;
	struct kube_node at = is_name ? name : number;

	if (kube_node_text(at) != NULL && !import_has(s, "port"))
		import_set_port(imp, s, at, path, service, kube_node_text(at), is_name);
}

/* --- Ingress --- */

static void
take_backend(struct import *imp, struct import_service *s, struct kube_node backend,
	     const char *path, const char *service)
{
	struct kube_node port = kube_node_member(kube_node_member(backend, "service"), "port");

	set_port(imp, s, kube_node_member(port, "number"), kube_node_member(port, "name"), path,
		 service);
}

static bool
is_backend(struct kube_node backend, const char *service)
{
	return text_equal(text_of(kube_node_member(backend, "service"), "name"), service);
}

static void
take_ingress(struct import *imp, struct import_service *s, struct kube_node spec,
	     const char *service)
{
	struct kube_node rules = kube_node_member(spec, "rules");
	struct kube_node fallback = kube_node_member(spec, "defaultBackend");
	size_t i, k;

	for (i = 0; i < kube_node_size(rules); i++) {
		struct kube_node rule = kube_node_element(rules, i);
		struct kube_node paths = kube_node_member(kube_node_member(rule, "http"), "paths");

		for (k = 0; k < kube_node_size(paths); k++) {
			struct kube_node at = kube_node_element(paths, k);
			struct kube_node backend = kube_node_member(at, "backend");

			if (!is_backend(backend, service))
				continue;
			add_host(imp, s, rule, "spec.rules", text_of(rule, "host"));
			add_path(imp, s, at, "spec.rules", text_of(at, "path"));
			take_backend(imp, s, backend, "spec.rules", service);
		}
	}
	if (is_backend(fallback, service)) {
		add_host(imp, s, fallback, "spec.defaultBackend", NULL);
		take_backend(imp, s, fallback, "spec.defaultBackend", service);
	}
}

/* --- HTTPRoute --- */

static bool
names_service(struct kube_node list, const char *service, struct kube_node *port)
{
	size_t i;

	for (i = 0; i < kube_node_size(list); i++)
		if (text_equal(text_of(kube_node_element(list, i), "name"), service)) {
			*port = kube_node_member(kube_node_element(list, i), "port");
			return true;
		}
	return false;
}

static void
take_http_route(struct import *imp, struct import_service *s, struct kube_node spec,
		const char *service)
{
	struct kube_node hosts = kube_node_member(spec, "hostnames");
	struct kube_node rules = kube_node_member(spec, "rules"), port;
	size_t i, k;

	for (i = 0; i < kube_node_size(rules); i++) {
		struct kube_node rule = kube_node_element(rules, i);
		struct kube_node matches = kube_node_member(rule, "matches");

		if (!names_service(kube_node_member(rule, "backendRefs"), service, &port))
			continue;
		for (k = 0; k < kube_node_size(hosts); k++)
			add_host(imp, s, hosts, "spec.hostnames",
				 kube_node_text(kube_node_element(hosts, k)));
		if (kube_node_size(hosts) == 0)
			add_host(imp, s, rule, "spec.rules", NULL);
		for (k = 0; k < kube_node_size(matches); k++) {
			struct kube_node at = kube_node_element(matches, k);

			add_path(imp, s, at, "spec.rules",
				 text_of(kube_node_member(at, "path"), "value"));
		}
		set_port(imp, s, port, (struct kube_node){0}, "spec.rules", service);
	}
}

/* --- Traefik --- */

/* The arguments of a matcher, which are between back quotes, double or single ones. */
static const char *
take_arguments(struct import *imp, struct import_service *s, struct kube_node at, const char *path,
	       const char *name, size_t n, const char *arguments)
{
	const char *end;

	for (; *arguments != '\0' && *arguments != ')'; arguments = *end == '\0' ? end : end + 1) {
		char *text;

		end = arguments;
		if (strchr("`\"'", *arguments) == NULL)
			continue;
		end = strchr(arguments + 1, *arguments);
		if (end == NULL)
			return arguments + strlen(arguments);
		text = xstrndup(arguments + 1, (size_t)(end - arguments - 1));
		if (text_is(name, n, "Host"))
			add_host(imp, s, at, path, text);
		else if (text_is(name, n, "PathPrefix"))
			add_path(imp, s, at, path, text);
		free(text);
	}
	if (!text_is(name, n, "Host") && !text_is(name, n, "PathPrefix"))
		import_fail(imp, s->from, at, path,
			    "no equal: %.*s(…); hosts and path prefixes alone", (int)n, name);
	return arguments;
}

void
import_traefik_rule(struct import *imp, struct import_service *s, struct kube_node at,
		    const char *path, const char *rule)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	const char *text = rule;
	size_t n;

	if (strchr(rule, '!') != NULL ||
	    (strstr(rule, "||") != NULL && strstr(rule, "Path") != NULL))
		import_fail(imp, s->from, at, path,
			    "no equal: \"%s\" as a whole; each of its hosts goes with each of its "
			    "paths",
			    rule);
	while (*rule != '\0') {
		n = strspn(rule, letters);
		if (n > 0 && rule[n] == '(')
			rule = take_arguments(imp, s, at, path, rule, n, rule + n + 1);
		else
			rule += n + (rule[n] != '\0');
	}
	if (!import_has(s, "hosts"))
		import_note(imp, s->from, at, path, "names no host: \"%s\"", text);
}

static void
take_ingress_route(struct import *imp, struct import_service *s, struct kube_node spec,
		   const char *service)
{
	struct kube_node routes = kube_node_member(spec, "routes"), port;
	size_t i;

	for (i = 0; i < kube_node_size(routes); i++) {
		struct kube_node at = kube_node_element(routes, i);
		const char *match = text_of(at, "match"), *text;
		uint32_t number;

		if (match == NULL ||
		    !names_service(kube_node_member(at, "services"), service, &port))
			continue;
		import_traefik_rule(imp, s, at, "spec.routes", match);
		text = kube_node_text(port);
		if (text != NULL && text_number(text, strlen(text), 65535, &number))
			set_port(imp, s, port, (struct kube_node){0}, "spec.routes", service);
		else
			set_port(imp, s, (struct kube_node){0}, port, "spec.routes", service);
	}
}

/* --- all --- */

void
import_routes_to(struct import *imp, struct import_service *s, const char *service)
{
	static const struct {
		const char *kind;
		void (*take)(struct import *, struct import_service *, struct kube_node spec,
			     const char *service);
	} kinds[] = {{"Ingress", take_ingress},
		     {"HTTPRoute", take_http_route},
		     {"IngressRoute", take_ingress_route}};
	const struct import_object *from = s->from;
	size_t i, k;

	for (i = 0; i < imp->objects_n; i++)
		for (k = 0; k < ARRAY_LEN(kinds); k++) {
			const struct import_object *o = &imp->objects[i];

			if (strcmp(o->kind, kinds[k].kind) != 0 || strcmp(o->ns, s->ns) != 0)
				continue;
			s->from = o; /* what is said is about that object */
			kinds[k].take(imp, s, kube_node_member(o->root, "spec"), service);
			s->from = from;
		}
}
