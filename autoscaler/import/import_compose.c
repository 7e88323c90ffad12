/* Sablier's labels in a Compose file.  A container becomes a program of this machine that
 * `docker run` starts, with the port that the autoscaler chooses. */
#include <stdlib.h>
#include <string.h>

#include "autoscaler/import/import_impl.h"
#include "common/text.h"

#define PREFIX "sablier."
#define TRAEFIK "traefik.http."

/* A service of the file while it is translated. */
struct container {
	struct import *imp;
	struct import_service *s;
	struct kube_node node;
	struct import_label *labels; /* all of them */
	char **texts;		     /* that the labels point to */
	size_t labels_n;
};

/* --- labels --- */

/* "KEY=VALUE" in a list, or KEY: VALUE in a map; the key, the caller's, and where the value is. */
static char *
pair_of(struct kube_node map, size_t i, const char **value)
{
	const char *key = kube_node_text(kube_node_key(map, i));
	const char *text = kube_node_text(kube_node_element(map, i)), *equals;

	*value = text == NULL ? "" : text;
	if (kube_node_type(map) == KUBE_NODE_MAP)
		return xstrdup(key == NULL ? "" : key);
	equals = strchr(*value, '=');
	if (equals == NULL) {
		key = *value;
		*value = "";
		return xstrdup(key);
	}
	key = *value;
	*value = equals + 1;
	return xstrndup(key, (size_t)(equals - key));
}

/* ${NAME:-default} and ${NAME-default} become their defaults, $$ a dollar; the caller's.  A
 * variable without a default stays, and is said. */
static char *
interpolate(struct import *imp, const struct import_object *from, struct kube_node at,
	    const char *text)
{
	struct strbuf out;
	size_t n, name;

	strbuf_init(&out, 0);
	for (; *text != '\0'; text += n) {
		n = strcspn(text, "$");
		strbuf_add(&out, text, n);
		if (text[n] == '\0')
			break;
		text += n;
		n = 1;
		if (text[1] == '$') {
			strbuf_adds(&out, "$");
			n = 2;
			continue;
		}
		if (text[1] == '{' && strchr(text, '}') != NULL) {
			n = strcspn(text, "}") + 1;
			name = strcspn(text, ":-}");
			if (text[name] == ':')
				name++;
			if (text[name] == '-') {
				strbuf_add(&out, text + name + 1, n - name - 2);
				continue;
			}
		}
		import_fail(imp, from, at, "",
			    "put the value of the variable in place of it: \"%.*s\"",
			    (int)MIN(n + 20, strlen(text)), text);
		strbuf_add(&out, text, n);
	}
	return strbuf_take(&out);
}

static char *
value_of(struct container *c, struct kube_node at, const char *text)
{
	return interpolate(c->imp, c->s->from, at, text);
}

static void
read_labels(struct container *c)
{
	struct kube_node map = kube_node_member(c->node, "labels");
	size_t n = kube_node_size(map), i;
	const char *value;

	c->labels = xcalloc(n + 1, sizeof *c->labels);
	c->texts = xcalloc(2 * n + 1, sizeof *c->texts);
	for (i = 0; i < n; i++) {
		struct kube_node at = kube_node_element(map, i);

		c->texts[2 * i] = pair_of(map, i, &value);
		c->texts[2 * i + 1] = value_of(c, at, value);
		c->labels[i] = (struct import_label){
			.name = c->texts[2 * i], .text = c->texts[2 * i + 1], .at = at};
	}
	c->labels_n = n;
}

static void
free_labels(struct container *c)
{
	size_t i;

	for (i = 0; i < 2 * c->labels_n; i++)
		free(c->texts[i]);
	free(c->texts);
	free(c->labels);
}

static bool
is_managed(struct kube_node service)
{
	struct kube_node map = kube_node_member(service, "labels");
	const char *value;
	size_t i;

	for (i = 0; i < kube_node_size(map); i++) {
		char *key = pair_of(map, i, &value);
		bool is = strcmp(key, PREFIX "enable") == 0 && strcmp(value, "true") == 0;

		free(key);
		if (is)
			return true;
	}
	return false;
}

static bool
ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/* Traefik's labels name the host, and maybe the port. */
static void
take_traefik(struct container *c, const char **port)
{
	size_t i;

	for (i = 0; i < c->labels_n; i++) {
		const struct import_label *l = &c->labels[i];

		if (strncmp(l->name, TRAEFIK, strlen(TRAEFIK)) != 0)
			continue;
		if (ends_in(l->name, ".rule"))
			import_traefik_rule(c->imp, c->s, l->at, l->name, l->text);
		else if (ends_in(l->name, ".loadbalancer.server.port"))
			*port = l->text;
	}
}

static void
take_sablier(struct container *c)
{
	struct import_label *v = xcalloc(c->labels_n + 1, sizeof *v);
	size_t n = 0, i;

	for (i = 0; i < c->labels_n; i++) {
		if (strncmp(c->labels[i].name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		v[n] = c->labels[i];
		v[n++].name += strlen(PREFIX);
	}
	import_sablier_labels(c->imp, c->s, v, n);
	import_sablier_defaults(c->imp, c->s);
	free(v);
}

/* --- the command --- */

static void
add_word(struct container *c, struct kube_node at, const char *text)
{
	(void)import_set(c->imp, c->s, at, "", NULL, "command", text);
}

static void
add_option(struct container *c, struct kube_node at, const char *option, const char *text)
{
	char *value = value_of(c, at, text);

	add_word(c, at, option);
	add_word(c, at, value);
	free(value);
}

/* The words of a text, as a shell separates them, without anything else that a shell does. */
static void
add_shell_words(struct container *c, struct kube_node at, const char *text)
{
	struct strbuf word;
	bool is_word = false;
	char quote = '\0';

	strbuf_init(&word, 0);
	for (; *text != '\0'; text++) {
		if (quote != '\0' ? *text == quote : *text == '"' || *text == '\'') {
			quote = quote != '\0' ? '\0' : *text;
			is_word = true;
		} else if (quote == '\0' && strchr(" \t\n", *text) != NULL) {
			if (is_word)
				add_word(c, at, strbuf_str(&word));
			strbuf_clear(&word);
			is_word = false;
		} else {
			if (*text == '\\' && quote != '\'' && text[1] != '\0')
				text++;
			strbuf_add(&word, text, 1);
			is_word = true;
		}
	}
	if (is_word)
		add_word(c, at, strbuf_str(&word));
	strbuf_fini(&word);
}

/* From the i-th word on; of a text all. */
static void
add_words(struct container *c, struct kube_node n, size_t from)
{
	const char *text = kube_node_text(n);
	size_t i;

	if (text != NULL && from == 0) {
		char *value = value_of(c, n, text);

		add_shell_words(c, n, value);
		free(value);
	}
	for (i = from; i < kube_node_size(n); i++) {
		struct kube_node at = kube_node_element(n, i);
		const char *element = kube_node_text(at);
		char *value = value_of(c, at, element == NULL ? "" : element);

		add_word(c, at, value);
		free(value);
	}
}

/* "8080:80", "127.0.0.1:8080:80/tcp" or {target: 80}: the container's port, the caller's. */
static char *
container_port(struct kube_node at)
{
	const char *text = kube_node_text(at), *colon;

	if (text == NULL)
		text = kube_node_text(kube_node_member(at, "target"));
	if (text == NULL)
		return NULL;
	colon = strrchr(text, ':');
	text = colon == NULL ? text : colon + 1;
	return xstrndup(text, strcspn(text, "/"));
}

static char *
find_port(struct container *c, const char *labelled)
{
	struct kube_node ports = kube_node_member(c->node, "ports");
	struct kube_node expose = kube_node_member(c->node, "expose");

	if (labelled != NULL)
		return xstrdup(labelled);
	if (kube_node_size(ports) > 1)
		import_note(
			c->imp, c->s->from, ports, "ports",
			"only the first of them gets requests, and none is published otherwise");
	if (kube_node_size(ports) > 0)
		return container_port(kube_node_element(ports, 0));
	return container_port(kube_node_element(expose, 0));
}

static void
add_environment(struct container *c)
{
	struct kube_node map = kube_node_member(c->node, "environment");
	const char *value;
	size_t i;

	for (i = 0; i < kube_node_size(map); i++) {
		struct kube_node at = kube_node_element(map, i);
		char *key = pair_of(map, i, &value);
		char *text = xasprintf("%s=%s", key, value);

		add_option(c, at, "--env", text);
		free(text);
		free(key);
	}
}

/* Each text of a list, or the only one. */
static void
add_options(struct container *c, const char *field, const char *option)
{
	struct kube_node n = kube_node_member(c->node, field);
	size_t i;

	if (kube_node_text(n) != NULL)
		add_option(c, n, option, kube_node_text(n));
	for (i = 0; i < kube_node_size(n); i++) {
		struct kube_node at = kube_node_element(n, i);

		if (kube_node_text(at) != NULL)
			add_option(c, at, option, kube_node_text(at));
		else
			import_fail(c->imp, c->s->from, at, field,
				    "not taken: add an option %s of docker run to command", option);
	}
}

static void
add_image(struct container *c, const char *image)
{
	char *value = value_of(c, kube_node_member(c->node, "image"), image);

	add_word(c, c->node, value);
	free(value);
}

static void
add_command(struct container *c, const char *image, const char *port)
{
	struct kube_node entrypoint = kube_node_member(c->node, "entrypoint");
	char *publish = xasprintf("127.0.0.1:$PORT:%s", port);
	const char *first = kube_node_text(
		kube_node_size(entrypoint) > 0 ? kube_node_element(entrypoint, 0) : entrypoint);
	size_t i;
	const char *words[] = {"docker", "run", "--rm", "--publish", publish};
	static const struct {
		const char *field, *option;
	} options[] = {
		{"env_file", "--env-file"},    {"volumes", "--volume"},	  {"user", "--user"},
		{"working_dir", "--workdir"},  {"cap_add", "--cap-add"},  {"devices", "--device"},
		{"extra_hosts", "--add-host"}, {"platform", "--platform"}};

	for (i = 0; i < ARRAY_LEN(words); i++)
		add_word(c, c->node, words[i]);
	add_environment(c);
	for (i = 0; i < ARRAY_LEN(options); i++)
		add_options(c, options[i].field, options[i].option);
	if (first != NULL)
		add_option(c, entrypoint, "--entrypoint", first);
	add_image(c, image);
	if (kube_node_type(entrypoint) == KUBE_NODE_LIST)
		add_words(c, entrypoint, 1);
	add_words(c, kube_node_member(c->node, "command"), 0);
	free(publish);
}

/* --- fields --- */

static void
say_others(struct container *c)
{
	static const struct import_field fields[] = {
		{"image", NULL, NULL, NULL},
		{"labels", NULL, NULL, NULL},
		{"command", NULL, NULL, NULL},
		{"entrypoint", NULL, NULL, NULL},
		{"environment", NULL, NULL, NULL},
		{"env_file", NULL, NULL, NULL},
		{"volumes", NULL, NULL, NULL},
		{"user", NULL, NULL, NULL},
		{"working_dir", NULL, NULL, NULL},
		{"cap_add", NULL, NULL, NULL},
		{"devices", NULL, NULL, NULL},
		{"extra_hosts", NULL, NULL, NULL},
		{"platform", NULL, NULL, NULL},
		{"ports", NULL, NULL, NULL},
		{"expose", NULL, NULL, NULL},
		{"container_name", NULL, NULL, NULL}, /* each instance has a name of its own */
		{"restart", NULL, NULL, NULL},	      /* the autoscaler starts instances */
		{"build", NULL, "build the image before: nothing is built", NULL},
		{"healthcheck", NULL,
		 "no equal: an instance gets requests once its port is open; see the key probe",
		 NULL},
		{"depends_on", NULL, "no equal: what it needs must run, or be a service, too",
		 NULL},
		{"networks", NULL,
		 "not taken: add --network to command, as `docker network ls` shows its name",
		 NULL},
		{"deploy", NULL, "not taken: see the keys max_scale and min_scale", NULL},
	};

	import_walk(c->imp, c->s, c->node, c->s->name, fields, ARRAY_LEN(fields));
}

static void
take_container(struct import *imp, const struct import_object *o, const char *name,
	       struct kube_node node)
{
	struct container c = {.imp = imp, .node = node};
	const char *image = kube_node_text(kube_node_member(node, "image")), *labelled = NULL;
	char *host, *port;

	c.s = import_add_service(imp, o, NULL, name);
	read_labels(&c);
	take_traefik(&c, &labelled);
	if (!import_has(c.s, "hosts")) {
		host = xasprintf("%s.localhost", name);
		import_note(imp, o, node, name,
			    "no label of Traefik names its host: it is %s, unless you change it",
			    host);
		import_default(imp, c.s, "hosts", host);
		free(host);
	}
	port = find_port(&c, labelled);
	if (image == NULL || port == NULL) {
		import_fail(imp, o, node, name, "expected %s",
			    image == NULL ? "an image"
					  : "a port: ports, expose or a label of Traefik");
		c.s->is_partial = true;
	}
	add_command(&c, image == NULL ? "IMAGE" : image, port == NULL ? "PORT" : port);
	import_default(imp, c.s, "max_scale", "1"); /* as there was one container */
	take_sablier(&c);
	say_others(&c);
	free(port);
	free_labels(&c);
}

/* The options of Sablier itself. */
static void
take_options(struct import *imp, struct kube_node service)
{
	struct kube_node command = kube_node_member(service, "command");
	const char *image = kube_node_text(kube_node_member(service, "image"));
	size_t i;

	if (image == NULL || strstr(image, "sablierapp/sablier") == NULL)
		return;
	for (i = 0; i < kube_node_size(command); i++) {
		const char *text = kube_node_text(kube_node_element(command, i));

		if (text != NULL)
			import_sablier_option(imp, text);
	}
}

void
import_compose(struct import *imp, const struct import_object *o)
{
	struct kube_node services = kube_node_member(o->root, "services");
	size_t i;

	for (i = 0; i < kube_node_size(services); i++)
		take_options(imp, kube_node_element(services, i));
	for (i = 0; i < kube_node_size(services); i++) {
		const char *name = kube_node_text(kube_node_key(services, i));
		struct kube_node at = kube_node_element(services, i);

		if (name != NULL && is_managed(at))
			take_container(imp, o, name, at);
	}
}
