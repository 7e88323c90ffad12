#include "autoscaler/kube/kube_config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "common/file.h"
#include "common/jput.h"
#include "common/strbuf.h"
#include "common/text.h"

#define FILE_MOST ((size_t)1 << 20)

/* --- files --- */

char *
kube_config_read_token(const char *file, struct err *e)
{
	static const char space[] = " \t\r\n";
	size_t n, skip, len;
	char *text = file_read(file, FILE_MOST, &n, e), *token;

	if (text == NULL)
		return NULL;
	skip = strspn(text, space);
	len = strcspn(text + skip, space);
	token = xstrndup(text + skip, len);
	if (len == 0 || text[skip + len + strspn(text + skip + len, space)] != '\0') {
		(void)err_set(e, 0, "cannot use %s: expected one token", file);
		free(token);
		token = NULL;
	}
	free(text);
	return token;
}

/* --- base64 --- */

static int
digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The decoded text, the caller's; NULL: s is no base64, or encodes a NUL. */
static char *
decode_base64(const char *s)
{
	char *out = xmalloc(strlen(s) + 1);
	unsigned bits = 0, have = 0;
	size_t n = 0;

	for (; *s != '\0' && *s != '='; s++) {
		int digit = digit_of(*s);

		if (*s == '\n' || *s == '\r' || *s == ' ')
			continue;
		if (digit < 0)
			break;
		bits = bits << 6 | (unsigned)digit;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		out[n++] = (char)(bits >> have & 0xff);
	}
	out[n] = '\0';
	if (n > 0 && s[strspn(s, "=\n\r ")] == '\0' && strlen(out) == n)
		return out;
	free(out);
	return NULL;
}

/* The caller's. */
static char *
encode_base64(const char *text, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	char *out = xmalloc((n + 2) / 3 * 4 + 1), *to = out;
	size_t i, k;

	for (i = 0; i < n; i += 3) {
		uint32_t bits = 0;

		for (k = 0; k < 3; k++)
			bits = bits << 8 | (i + k < n ? (unsigned char)text[i + k] : 0);
		for (k = 0; k < 4; k++)
			*to++ = i + k > n ? '=' : digits[bits >> (18 - 6 * k) & 63];
	}
	*to = '\0';
	return out;
}

/* --- YAML --- */

struct doc {
	yaml_document_t yaml;
	const char *origin;
};

/* The value of a key; NULL: there is none. */
static yaml_node_t *
member(struct doc *d, const yaml_node_t *map, const char *key)
{
	yaml_node_pair_t *p;

	if (map == NULL || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		const yaml_node_t *k = yaml_document_get_node(&d->yaml, p->key);
		yaml_node_t *v = yaml_document_get_node(&d->yaml, p->value);

		if (k->type == YAML_SCALAR_NODE &&
		    strcmp((const char *)k->data.scalar.value, key) == 0)
			return v;
	}
	return NULL;
}

/* The text of a key, borrowed; NULL: there is none, or it is empty or null. */
static const char *
text_of(struct doc *d, const yaml_node_t *map, const char *key)
{
	const yaml_node_t *v = member(d, map, key);
	const char *text;

	if (v == NULL || v->type != YAML_SCALAR_NODE)
		return NULL;
	text = (const char *)v->data.scalar.value;
	if (v->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    (strcmp(text, "null") == 0 || strcmp(text, "~") == 0))
		return NULL;
	return text[0] == '\0' ? NULL : text;
}

static bool
is_true(struct doc *d, const yaml_node_t *map, const char *key)
{
	const char *text = text_of(d, map, key);

	return text != NULL && strcmp(text, "true") == 0;
}

/* The member `inner` of the element of `list` whose name is `name`. */
static const yaml_node_t *
named(struct doc *d, const char *list, const char *name, const char *inner, struct err *e)
{
	const yaml_node_t *v = member(d, yaml_document_get_root_node(&d->yaml), list);
	yaml_node_item_t *i;

	if (v != NULL && v->type == YAML_SEQUENCE_NODE)
		for (i = v->data.sequence.items.start; i < v->data.sequence.items.top; i++) {
			const yaml_node_t *at = yaml_document_get_node(&d->yaml, *i);
			const char *text = text_of(d, at, "name");

			if (text != NULL && strcmp(text, name) == 0 && member(d, at, inner) != NULL)
				return member(d, at, inner);
		}
	(void)err_set(e, 0, "%s: no %s named \"%s\" in %s", d->origin, inner, name, list);
	return NULL;
}

/* --- kubeconfig --- */

/* A path, which is relative to the folder of the kubeconfig; the caller's. */
static char *
resolve(const char *origin, const char *file)
{
	const char *slash = strrchr(origin, '/');

	if (file[0] == '/' || slash == NULL)
		return xstrdup(file);
	return xasprintf("%.*s/%s", (int)(slash - origin), origin, file);
}

/* KEY-data takes precedence over KEY, as in kubectl. */
static int
take_pem(struct doc *d, const yaml_node_t *map, const char *key, char **file, char **pem,
	 struct err *e)
{
	char *data_key = xasprintf("%s-data", key);
	const char *data = text_of(d, map, data_key), *name = text_of(d, map, key);

	free(data_key);
	if (data != NULL) {
		*pem = decode_base64(data);
		if (*pem == NULL)
			return err_set(e, 0, "%s: %s-data: expected base64 of PEM text", d->origin,
				       key);
	} else if (name != NULL) {
		*file = resolve(d->origin, name);
		if (access(*file, R_OK) < 0)
			return err_errno(e, "%s: %s: cannot read %s", d->origin, key, *file);
	}
	return 0;
}

static int
take_cluster(struct kube_config *c, struct doc *d, const yaml_node_t *cluster, struct err *e)
{
	const char *server = text_of(d, cluster, "server");
	const char *name = text_of(d, cluster, "tls-server-name");
	const char *proxy = text_of(d, cluster, "proxy-url");
	size_t n;

	if (server == NULL)
		return err_set(e, 0, "%s: the cluster has no server", d->origin);
	if (strncmp(server, "https://", 8) != 0)
		return err_set(e, 0, "%s: server: expected https://…, got \"%s\"", d->origin,
			       server);
	if (is_true(d, cluster, "insecure-skip-tls-verify"))
		return err_set(e, 0,
			       "%s: insecure-skip-tls-verify: the server is always verified; name "
			       "its certificate-authority",
			       d->origin);
	for (n = strlen(server); n > 8 && server[n - 1] == '/'; n--)
		;
	c->server = xstrndup(server, n);
	c->server_name = text_copy(name);
	c->proxy = text_copy(proxy);
	return take_pem(d, cluster, "certificate-authority", &c->ca_file, &c->ca_pem, e);
}

/* Credentials that are not supported. */
static int
refuse_unsupported(struct doc *d, const yaml_node_t *user, struct err *e)
{
	static const struct {
		const char *key, *hint;
	} others[] = {
		{"auth-provider",
		 "plug-ins of this kind are no longer part of Kubernetes; use exec, "
		 "a token, a tokenFile or a client certificate"},
		{"username", "API servers no longer accept passwords; use a token or a client "
			     "certificate"},
		{"as", "impersonation is not supported; use the credentials of that user"},
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(others); i++)
		if (member(d, user, others[i].key) != NULL)
			return err_set(e, 0, "%s: user: %s: %s", d->origin, others[i].key,
				       others[i].hint);
	return 0;
}

/* --- exec: the credentials plug-in --- */

#define EXEC_GROUP "client.authentication.k8s.io/"
#define DEPTH_MOST 32 /* of what a plug-in gets of the cluster's extension */

/* The elements of a list; NULL: there is none. */
static yaml_node_item_t *
elements(struct doc *d, const yaml_node_t *map, const char *key, yaml_node_item_t **end)
{
	const yaml_node_t *v = member(d, map, key);

	if (v == NULL || v->type != YAML_SEQUENCE_NODE)
		return *end = NULL;
	*end = v->data.sequence.items.top;
	return v->data.sequence.items.start;
}

static int
take_argv(struct doc *d, const yaml_node_t *exec, struct kube_exec_conf *x, struct err *e)
{
	yaml_node_item_t *end, *i = elements(d, exec, "args", &end);
	char **v = xcalloc((size_t)(end - i) + 1, sizeof *v);
	size_t n = 0;
	int rc = 0;

	v[n++] = x->command;
	for (; i < end && rc == 0; i++) {
		const yaml_node_t *at = yaml_document_get_node(&d->yaml, *i);

		if (at->type == YAML_SCALAR_NODE)
			v[n++] = (char *)at->data.scalar.value;
		else
			rc = err_set(e, 0, "%s: user: exec: args: expected texts", d->origin);
	}
	str_list_set(&x->argv, v, n);
	free(v);
	return rc;
}

static int
take_env(struct doc *d, const yaml_node_t *exec, struct kube_exec_conf *x, struct err *e)
{
	yaml_node_item_t *end, *i = elements(d, exec, "env", &end);
	char **v = xcalloc((size_t)(end - i) + 1, sizeof *v);
	size_t n = 0, k;
	int rc = 0;

	for (; i < end && rc == 0; i++) {
		const yaml_node_t *at = yaml_document_get_node(&d->yaml, *i);
		const char *name = text_of(d, at, "name"), *value = text_of(d, at, "value");

		if (name != NULL && strchr(name, '=') == NULL)
			v[n++] = xasprintf("%s=%s", name, value == NULL ? "" : value);
		else
			rc = err_set(e, 0, "%s: user: exec: env: expected a name and a value",
				     d->origin);
	}
	str_list_set(&x->env, v, n);
	for (k = 0; k < n; k++)
		free(v[k]);
	free(v);
	return rc;
}

/* A plain scalar as the core schema of YAML reads it. */
static void
put_scalar(struct jput *j, const char *key, const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;
	char *end;
	double number = strtod(text, &end);

	if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		jput_string(j, key, text);
	else if (text[0] == '\0' || strcmp(text, "null") == 0 || strcmp(text, "~") == 0)
		jput_null(j, key);
	else if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
		jput_bool(j, key, text[0] == 't');
	else if (*end == '\0' && strspn(text, "+-.0123456789eE") == strlen(text))
		jput_double(j, key, number);
	else
		jput_string(j, key, text);
}

/* YAML's aliases can form a ring: what lies too deep is left out. */
static void
put_node(struct doc *d, struct jput *j, const char *key, const yaml_node_t *node, unsigned depth)
{
	yaml_node_pair_t *p;
	yaml_node_item_t *i;

	if (node == NULL || depth > DEPTH_MOST) {
		jput_null(j, key);
	} else if (node->type == YAML_SCALAR_NODE) {
		put_scalar(j, key, node);
	} else if (node->type == YAML_SEQUENCE_NODE) {
		jput_array(j, key);
		for (i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++)
			put_node(d, j, NULL, yaml_document_get_node(&d->yaml, *i), depth + 1);
		jput_array_end(j);
	} else {
		jput_object(j, key);
		for (p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
			const yaml_node_t *name = yaml_document_get_node(&d->yaml, p->key);

			if (name->type == YAML_SCALAR_NODE)
				put_node(d, j, (const char *)name->data.scalar.value,
					 yaml_document_get_node(&d->yaml, p->value), depth + 1);
		}
		jput_object_end(j);
	}
}

/* The extension of the cluster that is meant for the plug-in. */
static const yaml_node_t *
extension_of(struct doc *d, const yaml_node_t *cluster)
{
	yaml_node_item_t *end, *i = elements(d, cluster, "extensions", &end);

	for (; i < end; i++) {
		const yaml_node_t *at = yaml_document_get_node(&d->yaml, *i);
		const char *name = text_of(d, at, "name");

		if (name != NULL && strcmp(name, EXEC_GROUP "exec") == 0)
			return member(d, at, "extension");
	}
	return NULL;
}

/* certificate-authority-data as the file has it, or as it would have it; the caller's. */
static char *
authority_of(const struct kube_config *c, struct doc *d, const yaml_node_t *cluster)
{
	const char *data = text_of(d, cluster, "certificate-authority-data");
	char *text, *encoded;
	size_t n;

	if (data != NULL || c->ca_file == NULL)
		return text_copy(data);
	text = file_read(c->ca_file, FILE_MOST, &n, NULL);
	encoded = text == NULL ? NULL : encode_base64(text, n);
	free(text);
	return encoded;
}

static char *
exec_info(const struct kube_config *c, struct doc *d, const yaml_node_t *cluster,
	  const char *api_version, bool has_cluster)
{
	char *ca = has_cluster ? authority_of(c, d, cluster) : NULL;
	struct strbuf out;
	struct jput j;

	strbuf_init(&out, 0);
	jput_init(&j, &out);
	jput_object(&j, NULL);
	jput_string(&j, "kind", "ExecCredential");
	jput_string(&j, "apiVersion", api_version);
	jput_object(&j, "spec");
	if (has_cluster) {
		jput_object(&j, "cluster");
		jput_string(&j, "server", c->server);
		jput_string_if(&j, "tls-server-name", c->server_name);
		jput_string_if(&j, "certificate-authority-data", ca);
		jput_string_if(&j, "proxy-url", c->proxy);
		if (extension_of(d, cluster) != NULL)
			put_node(d, &j, "config", extension_of(d, cluster), 0);
		jput_object_end(&j);
	}
	jput_bool(&j, "interactive", false);
	jput_object_end(&j);
	jput_object_end(&j);
	free(ca);
	return strbuf_take(&out);
}

/* There is no terminal: a plug-in that needs one is refused, as kubectl does without one. */
static int
check_mode(struct doc *d, const yaml_node_t *exec, bool is_required, struct err *e)
{
	const char *mode = text_of(d, exec, "interactiveMode");

	if (mode == NULL ? !is_required
			 : strcmp(mode, "Never") == 0 || strcmp(mode, "IfAvailable") == 0)
		return 0;
	return err_set(
		e, 0, "%s: user: exec: interactiveMode: expected Never or IfAvailable, got %s%s",
		d->origin, mode == NULL ? "none" : mode,
		mode != NULL && strcmp(mode, "Always") == 0 ? " (there is no terminal)" : "");
}

static int
take_exec(struct kube_config *c, struct doc *d, const yaml_node_t *cluster, const yaml_node_t *exec,
	  struct err *e)
{
	const char *version = text_of(d, exec, "apiVersion");
	const char *command = text_of(d, exec, "command");
	bool is_v1 = version != NULL && strcmp(version, EXEC_GROUP "v1") == 0;
	struct kube_exec_conf *x;

	if (!is_v1 && (version == NULL || strcmp(version, EXEC_GROUP "v1beta1") != 0))
		return err_set(e, 0,
			       "%s: user: exec: apiVersion: expected " EXEC_GROUP
			       "v1 or " EXEC_GROUP "v1beta1, got %s",
			       d->origin, version == NULL ? "none" : version);
	if (command == NULL)
		return err_set(e, 0, "%s: user: exec: expected a command", d->origin);
	if (check_mode(d, exec, is_v1, e) < 0)
		return -1;
	x = c->exec = xcalloc(1, sizeof *x);
	x->api_version = xstrdup(version);
	x->command = strchr(command, '/') == NULL ? xstrdup(command) : resolve(d->origin, command);
	x->hint = text_copy(text_of(d, exec, "installHint"));
	x->info = exec_info(c, d, cluster, version, is_true(d, exec, "provideClusterInfo"));
	return take_argv(d, exec, x, e) < 0 ? -1 : take_env(d, exec, x, e);
}

static void
exec_free(struct kube_exec_conf *x)
{
	if (x == NULL)
		return;
	free(x->hint);
	free(x->info);
	str_list_fini(&x->env);
	str_list_fini(&x->argv);
	free(x->command);
	free(x->api_version);
	free(x);
}

static int
take_user(struct kube_config *c, struct doc *d, const yaml_node_t *cluster, const yaml_node_t *user,
	  struct err *e)
{
	const yaml_node_t *exec = member(d, user, "exec");

	const char *token = text_of(d, user, "token"), *file = text_of(d, user, "tokenFile");

	if (refuse_unsupported(d, user, e) < 0)
		return -1;
	if (file != NULL) /* takes precedence over token, as in kubectl */
		c->token_file = resolve(d->origin, file);
	else if (token != NULL)
		c->token = xstrdup(token);
	if (take_pem(d, user, "client-certificate", &c->cert_file, &c->cert_pem, e) < 0 ||
	    take_pem(d, user, "client-key", &c->key_file, &c->key_pem, e) < 0)
		return -1;
	if ((c->cert_file == NULL && c->cert_pem == NULL) !=
	    (c->key_file == NULL && c->key_pem == NULL))
		return err_set(e, 0, "%s: user: client-certificate and client-key go together",
			       d->origin);
	/* Credentials in the file take precedence, as in kubectl. */
	if (exec == NULL || c->token != NULL || c->token_file != NULL || c->cert_file != NULL ||
	    c->cert_pem != NULL)
		return 0;
	return take_exec(c, d, cluster, exec, e);
}

static int
take_all(struct kube_config *c, struct doc *d, struct err *e)
{
	const yaml_node_t *root = yaml_document_get_root_node(&d->yaml), *context;
	const yaml_node_t *of_cluster, *of_user;
	const char *current = text_of(d, root, "current-context"), *cluster, *user;

	if (current == NULL)
		return err_set(e, 0, "%s: no current-context", d->origin);
	context = named(d, "contexts", current, "context", e);
	if (context == NULL)
		return -1;
	cluster = text_of(d, context, "cluster");
	user = text_of(d, context, "user");
	if (cluster == NULL || user == NULL)
		return err_set(e, 0, "%s: context \"%s\": expected a cluster and a user", d->origin,
			       current);
	of_cluster = named(d, "clusters", cluster, "cluster", e);
	if (of_cluster == NULL || take_cluster(c, d, of_cluster, e) < 0)
		return -1;
	of_user = named(d, "users", user, "user", e);
	return of_user == NULL ? -1 : take_user(c, d, of_cluster, of_user, e);
}

int
kube_config_parse(struct kube_config *c, const char *origin, const char *text, size_t n,
		  struct err *e)
{
	struct doc d = {.origin = origin};
	yaml_parser_t parser;
	int rc = -1;

	*c = (struct kube_config){.origin = xstrdup(origin)};
	CHECK(yaml_parser_initialize(&parser));
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
	if (!yaml_parser_load(&parser, &d.yaml)) {
		(void)err_set(e, 0, "%s:%zu: %s", origin, parser.problem_mark.line + 1,
			      parser.problem == NULL ? "no YAML" : parser.problem);
	} else {
		rc = take_all(c, &d, e);
		yaml_document_delete(&d.yaml);
	}
	yaml_parser_delete(&parser);
	return rc;
}

int
kube_config_account(struct kube_config *c, const char *host, const char *port, const char *dir,
		    struct err *e)
{
	bool is_v6 = strchr(host, ':') != NULL;
	char *token;

	*c = (struct kube_config){.origin = xstrdup("the pod's service account")};
	c->server = xasprintf("https://%s%s%s:%s", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
			      port == NULL ? "443" : port);
	c->token_file = xasprintf("%s/token", dir);
	c->ca_file = xasprintf("%s/ca.crt", dir);
	token = kube_config_read_token(c->token_file, e);
	if (token == NULL)
		return -1;
	free(token);
	return access(c->ca_file, R_OK) < 0 ? err_errno(e, "cannot read %s", c->ca_file) : 0;
}

static int
load_file(struct kube_config *c, const char *path, struct err *e)
{
	size_t n;
	char *text = file_read(path, FILE_MOST, &n, e);
	int rc;

	if (text == NULL)
		return -1;
	rc = kube_config_parse(c, path, text, n, e);
	free(text);
	return rc;
}

int
kube_config_load(struct kube_config *c, const char *path, struct err *e)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *named_file = getenv("KUBECONFIG");

	*c = (struct kube_config){.origin = NULL};
	if (path != NULL)
		return load_file(c, path, e);
	if (host != NULL && host[0] != '\0')
		return kube_config_account(c, host, getenv("KUBERNETES_SERVICE_PORT"),
					   KUBE_ACCOUNT_DIR, e);
	if (named_file == NULL || named_file[0] == '\0')
		return err_set(e, 0,
			       "no cluster: not in a pod (KUBERNETES_SERVICE_HOST), and neither "
			       "kubeconfig nor $KUBECONFIG names a file");
	if (strchr(named_file, ':') != NULL)
		return err_set(e, 0,
			       "$KUBECONFIG names several files: join them by `kubectl config view "
			       "--minify --flatten`");
	return load_file(c, named_file, e);
}

void
kube_config_fini(struct kube_config *c)
{
	exec_free(c->exec);
	free(c->key_pem);
	free(c->key_file);
	free(c->cert_pem);
	free(c->cert_file);
	free(c->token);
	free(c->token_file);
	free(c->ca_pem);
	free(c->ca_file);
	free(c->proxy);
	free(c->server_name);
	free(c->server);
	free(c->origin);
	*c = (struct kube_config){.origin = NULL};
}
