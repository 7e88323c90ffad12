#include "autoscaler/kube/kube_fields.h"

#include <jansson.h>
#include <string.h>

#include "common/text.h"

const char *
kube_field_text(const json_t *at, const char *key)
{
	return json_string_value(json_object_get(at, key));
}

const char *
kube_field_text_or_empty(const json_t *at, const char *key)
{
	const char *text = kube_field_text(at, key);

	return text == NULL ? "" : text;
}

bool
kube_field_is(const json_t *at, const char *key, const char *expected)
{
	return strcmp(kube_field_text_or_empty(at, key), expected) == 0;
}

int64_t
kube_field_number(const json_t *at, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(at, key);

	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

char *
kube_field_copy(const json_t *at, const char *key)
{
	return text_copy(kube_field_text(at, key));
}

json_t *
kube_json_parse(const char *text, size_t n, struct err *e)
{
	json_error_t why;
	json_t *doc = json_loadb(text, n, JSON_ALLOW_NUL, &why);

	/* Objects of kinds that are not built in may have integers above INT64_MAX.  Nothing that
	 * is read of them is a number. */
	if (doc == NULL && json_error_code(&why) == json_error_numeric_overflow)
		doc = json_loadb(text, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &why);
	if (doc == NULL)
		(void)err_set(e, 0, "invalid JSON: %s", why.text);
	return doc;
}
