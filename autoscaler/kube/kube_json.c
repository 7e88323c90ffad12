#include "autoscaler/kube/kube_json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "autoscaler/kube/kube_fields.h"
#include "common/clk.h"

/* --- events --- */

static int
type_of(const char *name)
{
	static const char *const names[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

static void
take_meta(struct kube_event *ev)
{
	const json_t *meta = json_object_get(ev->object, "metadata");
	const json_t *notes = json_object_get(meta, "annotations");

	ev->name = kube_field_text_or_empty(meta, "name");
	ev->ns = kube_field_text_or_empty(meta, "namespace");
	ev->uid = kube_field_text_or_empty(meta, "uid");
	ev->rv = kube_field_text_or_empty(meta, "resourceVersion");
	ev->is_initial_end = ev->type == KUBE_BOOKMARK &&
			     kube_field_is(notes, "k8s.io/initial-events-end", "true");
	ev->code = kube_field_number(ev->object, "code", 0);
	ev->reason = kube_field_text_or_empty(ev->object, "reason");
	ev->message = kube_field_text_or_empty(ev->object, "message");
}

int
kube_event_decode(struct kube_event *ev, const char *text, size_t n, bool is_item, struct err *e)
{
	int type = KUBE_ADDED;

	*ev = (struct kube_event){.doc = kube_json_parse(text, n, e)};
	if (ev->doc == NULL)
		return -1;
	ev->object = ev->doc;
	if (!is_item) {
		type = type_of(kube_field_text_or_empty(ev->doc, "type"));
		ev->object = json_object_get(ev->doc, "object");
	}
	if (type < 0 || !json_is_object(ev->object)) {
		kube_event_fini(ev);
		return err_set(e, 0, "expected an event with a type and an object");
	}
	ev->type = (enum kube_event_type)type;
	take_meta(ev);
	return 0;
}

void
kube_event_fini(struct kube_event *ev)
{
	json_decref(ev->doc);
	*ev = (struct kube_event){.doc = NULL};
}

void
kube_object_name(const char *text, size_t n, char *name, size_t size)
{
	static const char metadata[] = "\"metadata\"", key[] = "\"name\":\"";
	const char *end = text + n, *from = memmem(text, n, metadata, sizeof metadata - 1);
	size_t k = 0;

	name[0] = '\0';
	from = from == NULL ? NULL : memmem(from, (size_t)(end - from), key, sizeof key - 1);
	if (from == NULL)
		return;
	for (from += sizeof key - 1; from < end && *from != '"' && k + 1 < size; from++)
		name[k++] = *from;
	name[k] = '\0';
}

const json_t *
kube_event_meta(const struct kube_event *ev)
{
	return json_object_get(ev->object, "metadata");
}

const char *
kube_event_label(const void *event, const char *key)
{
	return kube_field_text(json_object_get(kube_event_meta(event), "labels"), key);
}

const char *
kube_event_annotation(const struct kube_event *ev, const char *key)
{
	return kube_field_text(json_object_get(kube_event_meta(ev), "annotations"), key);
}

bool
kube_event_next_annotation(const struct kube_event *ev, void **at, const char **key,
			   const char **value)
{
	json_t *all = json_object_get(kube_event_meta(ev), "annotations");

	do {
		*at = *at == NULL ? json_object_iter(all) : json_object_iter_next(all, *at);
		if (*at == NULL)
			return false;
		*key = json_object_iter_key(*at);
		*value = json_string_value(json_object_iter_value(*at));
	} while (*value == NULL);
	return true;
}

/* --- times --- */

/* RFC 3339, in whole seconds since 1970; 0: it is no such time. */
int64_t
kube_time_parse(const char *text)
{
	struct tm tm = {.tm_year = 0};
	const char *end = text == NULL ? NULL : strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t seconds = end == NULL ? 0 : (int64_t)timegm(&tm);
	unsigned hours, minutes;
	char sign, more;

	if (end == NULL)
		return 0;
	if (*end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (strcmp(end, "Z") == 0)
		return seconds;
	if (sscanf(end, "%c%2u:%2u%c", &sign, &hours, &minutes, &more) != 3 ||
	    (sign != '+' && sign != '-'))
		return 0;
	return seconds - (sign == '+' ? 1 : -1) * (int64_t)(hours * 3600 + minutes * 60);
}

int64_t
kube_time_age(const char *time, int64_t wall_ns)
{
	int64_t seconds = kube_time_parse(time);

	return seconds == 0 ? 0 : MAX(wall_ns - seconds * CLK_S, 0);
}

/* --- answers --- */

/* What is missing in an ExecCredential; NULL: nothing. */
static const char *
credential_mistake(const json_t *doc, const char *api_version, const struct kube_credential *c)
{
	if (!kube_field_is(doc, "kind", "ExecCredential"))
		return "expected kind ExecCredential";
	if (!kube_field_is(doc, "apiVersion", api_version))
		return "expected the apiVersion of the kubeconfig";
	if (c->token == NULL && c->cert == NULL)
		return "expected status.token or status.clientCertificateData";
	if ((c->cert == NULL) != (c->key == NULL))
		return "expected status.clientCertificateData together with clientKeyData";
	return NULL;
}

int
kube_credential_decode(struct kube_credential *c, const char *text, size_t n,
		       const char *api_version, struct err *e)
{
	json_t *doc = kube_json_parse(text, n, e);
	const json_t *status = json_object_get(doc, "status");
	const char *expires = kube_field_text(status, "expirationTimestamp"), *mistake;

	*c = (struct kube_credential){.token = NULL};
	if (doc == NULL)
		return -1;
	c->token = kube_field_copy(status, "token");
	c->cert = kube_field_copy(status, "clientCertificateData");
	c->key = kube_field_copy(status, "clientKeyData");
	c->expires_wall_ns = kube_time_parse(expires) * CLK_S;
	mistake = credential_mistake(doc, api_version, c);
	if (mistake == NULL && expires != NULL && c->expires_wall_ns == 0)
		mistake = "expected a time of RFC 3339 in status.expirationTimestamp";
	json_decref(doc);
	if (mistake == NULL)
		return 0;
	kube_credential_fini(c);
	return err_set(e, 0, "its output is no ExecCredential: %s", mistake);
}

void
kube_credential_fini(struct kube_credential *c)
{
	free(c->token);
	free(c->cert);
	free(c->key);
	*c = (struct kube_credential){.token = NULL};
}

int
kube_list_decode(const char *text, size_t n, char **rv, char **next, struct err *e)
{
	json_t *doc = kube_json_parse(text, n, e);

	*rv = *next = NULL;
	if (doc == NULL)
		return -1;
	*rv = kube_field_copy(doc, "resourceVersion");
	if (kube_field_text_or_empty(doc, "continue")[0] != '\0')
		*next = kube_field_copy(doc, "continue");
	json_decref(doc);
	return 0;
}

void
kube_status_decode(const char *text, size_t n, char **reason, char **message, int64_t *retry_s)
{
	json_t *doc = kube_json_parse(text, n, NULL);

	*reason = *message = NULL;
	*retry_s = 0;
	if (doc != NULL && kube_field_is(doc, "kind", "Status")) {
		*reason = kube_field_copy(doc, "reason");
		*message = kube_field_copy(doc, "message");
		*retry_s = kube_field_number(json_object_get(doc, "details"), "retryAfterSeconds",
					     0);
	}
	json_decref(doc);
}

char *
kube_plural_decode(const char *text, size_t n, const char *kind, bool *is_scaled)
{
	json_t *doc = kube_json_parse(text, n, NULL);
	const json_t *v = json_object_get(doc, "resources");
	char *plural = NULL, *scale;
	size_t i;

	*is_scaled = false;
	for (i = 0; i < json_array_size(v) && plural == NULL; i++) {
		const json_t *at = json_array_get(v, i);

		if (kube_field_is(at, "kind", kind) &&
		    strchr(kube_field_text_or_empty(at, "name"), '/') == NULL)
			plural = kube_field_copy(at, "name");
	}
	scale = plural == NULL ? NULL : xasprintf("%s/scale", plural);
	for (i = 0; i < json_array_size(v) && scale != NULL; i++)
		*is_scaled |= kube_field_is(json_array_get(v, i), "name", scale);
	free(scale);
	json_decref(doc);
	return plural;
}
