#include "autoscaler/knative/kn_write.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_fields.h"
#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_json.h"
#include "common/clk.h"

#define CALL_TIMEOUT (10 * CLK_S)

static const struct {
	const char *method, *right;
} verbs[] = {
	[KN_CREATE] = {"POST", "create"},   [KN_REPLACE] = {"PUT", "update"},
	[KN_PATCH] = {"PATCH", "patch"},    [KN_PUT_STATUS] = {"PUT", "update"},
	[KN_DELETE] = {"DELETE", "delete"},
};

const char *
kn_verb_name(enum kn_verb verb)
{
	return verbs[verb].right;
}

/* "/apis/apps/v1/namespaces/NS/deployments"; the caller's. */
static char *
collection_path(enum kn_kind kind, const char *ns)
{
	const struct kn_kind_names *k = kn_kind_names(kind);

	return xasprintf("/%s/%s/namespaces/%s/%s", k->group[0] == '\0' ? "api" : "apis",
			 k->api_version, ns, k->plural);
}

static char *
write_path(const struct kn_write *w)
{
	char *at = collection_path(w->kind, w->ns);
	char *path = xasprintf("%s%s%s%s?fieldManager=" KUBE_FIELD_MANAGER, at,
			       w->verb == KN_CREATE ? "" : "/", w->verb == KN_CREATE ? "" : w->name,
			       w->verb == KN_PUT_STATUS ? "/status" : "");

	free(at);
	return path;
}

static json_t *
delete_options(const struct kn_write *w)
{
	return json_pack("{s:s, s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "DeleteOptions",
			 "propagationPolicy", "Background", "preconditions", "uid", w->uid);
}

/* The caller's. */
static char *
write_body(const struct kn_write *w, const char *rv)
{
	json_t *body = w->verb == KN_DELETE ? delete_options(w) : json_incref(w->body);
	char *text;

	if (w->verb != KN_CREATE && w->verb != KN_DELETE)
		json_object_set_new(json_object_get(body, "metadata"), "resourceVersion",
				    json_string(rv));
	text = json_dumps(body, JSON_COMPACT);
	CHECK(text != NULL);
	json_decref(body);
	return text;
}

struct kube_request *
kn_write_send(struct kube_http *http, const struct kn_write *w, const char *rv,
	      const struct kube_call_ops *ops, void *arg)
{
	char *path = write_path(w), *body = write_body(w, rv);
	const struct kube_call call = {.method = verbs[w->verb].method,
				       .path = path,
				       .type = w->verb == KN_PATCH ? KUBE_MERGE_PATCH
								   : "application/json",
				       .body = body,
				       .priority = KUBE_NORMAL,
				       .timeout = CALL_TIMEOUT};
	struct kube_request *r = kube_http_call(http, &call, ops, arg);

	free(body);
	free(path);
	return r;
}

struct kube_request *
kn_read_send(struct kube_http *http, enum kn_kind kind, const char *ns, const char *name,
	     const struct kube_call_ops *ops, void *arg)
{
	char *at = collection_path(kind, ns), *path = xasprintf("%s/%s", at, name);
	const struct kube_call call = {
		.method = "GET", .path = path, .priority = KUBE_NORMAL, .timeout = CALL_TIMEOUT};
	struct kube_request *r = kube_http_call(http, &call, ops, arg);

	free(path);
	free(at);
	return r;
}

json_t *
kn_answer_object(const struct kube_answer *a)
{
	json_t *object = kube_json_parse(a->body, a->n, NULL);
	const json_t *meta = json_object_get(object, "metadata");

	if (kube_field_text_or_empty(meta, "uid")[0] != '\0' &&
	    kube_field_text_or_empty(meta, "resourceVersion")[0] != '\0')
		return object;
	json_decref(object); /* a Status */
	return NULL;
}

enum kn_outcome
kn_write_outcome(const struct kn_write *w, const struct kube_answer *a, json_t **object)
{
	*object = NULL;
	if (a->status >= 200 && a->status < 300) {
		*object = kn_answer_object(a);
		return KN_DONE;
	}
	if (w->verb == KN_DELETE && a->status == 404)
		return KN_DONE;
	/* Of what is being deleted some goes before the watches say so. */
	if (a->status == 409 || (a->status == 404 && w->verb != KN_CREATE))
		return KN_READ_AGAIN;
	return KN_FAILED;
}

char *
kn_write_explain(const struct kn_write *w, const struct kube_answer *a)
{
	const struct kn_kind_names *k = kn_kind_names(w->kind);
	char *resource = xasprintf("%s%s", k->plural, w->verb == KN_PUT_STATUS ? "/status" : "");
	char why[600], *text;

	kube_http_explain(a, kn_verb_name(w->verb), resource, k->group, w->ns, why, sizeof why);
	text = xasprintf("cannot %s %s %s/%s: %s", kn_verb_name(w->verb), resource, w->ns, w->name,
			 why);
	free(resource);
	return text;
}
