#include "common/jget.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/strbuf.h"

#define PATH_BYTES_MAX 200 /* of the path in an error */

/* --- opening --- */

/* jansson parses recursively: bound the depth before it sees the text. */
static bool
is_too_deep(const char *text, size_t n)
{
	bool in_string = false;
	unsigned depth = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		char c = text[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '[') && ++depth > JGET_DEPTH_MAX)
			return true;
		else if (!in_string && (c == '}' || c == ']') && depth > 0)
			depth--;
	}
	return false;
}

struct json_t *
jget_open(const char *text, size_t n, struct jget *root, struct err *e)
{
	json_error_t why;
	json_t *json;

	if (is_too_deep(text, n)) {
		err_set(e, 0, "expected JSON nested at most %d deep", JGET_DEPTH_MAX);
		return NULL;
	}
	json = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (json == NULL) {
		err_set(e, 0, "cannot parse JSON: byte %d: %s", why.position, why.text);
		return NULL;
	}
	if (!json_is_object(json)) {
		err_set(e, 0, "expected a JSON object");
		json_decref(json);
		return NULL;
	}
	*root = (struct jget){.json = json};
	return json;
}

void
jget_close(struct json_t **jp)
{
	json_decref(*jp);
	*jp = NULL;
}

/* --- errors --- */

static void
add_path(struct strbuf *b, const struct jget *at)
{
	if (at->up == NULL) {
		strbuf_adds(b, "$");
		return;
	}
	add_path(b, at->up);
	if (at->key != NULL)
		strbuf_addf(b, ".%s", at->key);
	else
		strbuf_addf(b, "[%zu]", at->index);
}

int
jget_fail(const struct jget *at, const char *key, struct err *e, const char *fmt, ...)
{
	char what[200];
	struct strbuf path;
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof what, fmt, args);
	va_end(args);
	strbuf_init(&path, PATH_BYTES_MAX);
	add_path(&path, at);
	if (key != NULL)
		strbuf_addf(&path, ".%s", key);
	err_set(e, 0, "%s: %s", strbuf_str(&path), what);
	strbuf_fini(&path);
	return -1;
}

static const char *
kind_name(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

static int
fail_kind(const struct jget *at, const char *key, const json_t *got, const char *expected,
	  struct err *e)
{
	if (got == NULL)
		return jget_fail(at, key, e, "expected %s, got nothing", expected);
	return jget_fail(at, key, e, "expected %s, got %s", expected, kind_name(got));
}

/* --- members --- */

/* The member, or NULL; *is_absent_ok: it is missing, and may be. */
static const json_t *
member(const struct jget *at, const char *key, enum jget_need need, bool *is_absent_ok)
{
	const json_t *json = json_object_get(at->json, key);

	*is_absent_ok = need == JGET_MAY && (json == NULL || json_is_null(json));
	return json;
}

int
jget_bool(const struct jget *at, const char *key, enum jget_need need, bool *out, struct err *e)
{
	bool is_absent_ok;
	const json_t *json = member(at, key, need, &is_absent_ok);

	if (is_absent_ok)
		return 0;
	if (!json_is_boolean(json))
		return fail_kind(at, key, json, "a boolean", e);
	*out = json_is_true(json);
	return 0;
}

int
jget_i64(const struct jget *at, const char *key, enum jget_need need, int64_t min, int64_t max,
	 int64_t *out, struct err *e)
{
	bool is_absent_ok;
	const json_t *json = member(at, key, need, &is_absent_ok);
	int64_t value;

	if (is_absent_ok)
		return 0;
	if (!json_is_integer(json))
		return fail_kind(at, key, json, "a whole number", e);
	value = json_integer_value(json);
	if (value < min || value > max)
		return jget_fail(at, key, e, "expected %lld to %lld, got %lld", (long long)min,
				 (long long)max, (long long)value);
	*out = value;
	return 0;
}

int
jget_u64(const struct jget *at, const char *key, enum jget_need need, uint64_t *out, struct err *e)
{
	int64_t value = -1;

	if (jget_i64(at, key, need, 0, INT64_MAX, &value, e) < 0)
		return -1;
	if (value >= 0)
		*out = (uint64_t)value;
	return 0;
}

int
jget_u32(const struct jget *at, const char *key, enum jget_need need, uint32_t *out, struct err *e)
{
	int64_t value = -1;

	if (jget_i64(at, key, need, 0, UINT32_MAX, &value, e) < 0)
		return -1;
	if (value >= 0)
		*out = (uint32_t)value;
	return 0;
}

int
jget_double(const struct jget *at, const char *key, enum jget_need need, double min, double max,
	    double *out, struct err *e)
{
	bool is_absent_ok;
	const json_t *json = member(at, key, need, &is_absent_ok);
	double value;

	if (is_absent_ok)
		return 0;
	if (!json_is_number(json))
		return fail_kind(at, key, json, "a number", e);
	value = json_number_value(json);
	if (!isfinite(value) || value < min || value > max)
		return jget_fail(at, key, e, "expected %g to %g, got %g", min, max, value);
	*out = value;
	return 0;
}

int
jget_string(const struct jget *at, const char *key, enum jget_need need, char **out, struct err *e)
{
	bool is_absent_ok;
	const json_t *json = member(at, key, need, &is_absent_ok);

	if (is_absent_ok)
		return 0;
	if (!json_is_string(json))
		return fail_kind(at, key, json, "a string", e);
	*out = xstrdup(json_string_value(json));
	return 0;
}

static int
fail_word(const struct jget *at, const char *key, const char *got, const char *const *words,
	  size_t n, struct err *e)
{
	struct strbuf all;
	size_t i;
	int rc;

	strbuf_init(&all, 0);
	for (i = 0; i < n; i++)
		strbuf_addf(&all, "%s\"%s\"", i == 0 ? "" : i + 1 == n ? " or " : ", ", words[i]);
	rc = jget_fail(at, key, e, "expected %s, got \"%.40s\"", strbuf_str(&all), got);
	strbuf_fini(&all);
	return rc;
}

int
jget_word(const struct jget *at, const char *key, enum jget_need need, const char *const *words,
	  size_t n, int *out, struct err *e)
{
	bool is_absent_ok;
	const json_t *json = member(at, key, need, &is_absent_ok);
	size_t i;

	if (is_absent_ok)
		return 0;
	if (!json_is_string(json))
		return fail_kind(at, key, json, "a string", e);
	for (i = 0; i < n; i++) {
		if (strcmp(words[i], json_string_value(json)) == 0) {
			*out = (int)i;
			return 0;
		}
	}
	return fail_word(at, key, json_string_value(json), words, n, e);
}

int
jget_object(const struct jget *at, const char *key, enum jget_need need, struct jget *out,
	    struct err *e)
{
	bool is_absent_ok;
	const json_t *json = member(at, key, need, &is_absent_ok);

	*out = (struct jget){.up = at, .key = key};
	if (is_absent_ok)
		return 0;
	if (!json_is_object(json))
		return fail_kind(at, key, json, "an object", e);
	out->json = json;
	return 0;
}

int
jget_array(const struct jget *at, const char *key, enum jget_need need, struct jget *out, size_t *n,
	   struct err *e)
{
	bool is_absent_ok;
	const json_t *json = member(at, key, need, &is_absent_ok);

	*out = (struct jget){.up = at, .key = key};
	*n = 0;
	if (is_absent_ok)
		return 0;
	if (!json_is_array(json))
		return fail_kind(at, key, json, "an array", e);
	out->json = json;
	*n = json_array_size(json);
	return 0;
}

int
jget_element(const struct jget *array, size_t i, struct jget *out, struct err *e)
{
	*out = (struct jget){.json = json_array_get(array->json, i), .up = array, .index = i};
	if (!json_is_object(out->json))
		return fail_kind(out, NULL, out->json, "an object", e);
	return 0;
}

int
jget_element_string(const struct jget *array, size_t i, const char **out, struct err *e)
{
	struct jget at = {.json = json_array_get(array->json, i), .up = array, .index = i};

	if (!json_is_string(at.json))
		return fail_kind(&at, NULL, at.json, "a string", e);
	*out = json_string_value(at.json);
	return 0;
}

int
jget_element_u64(const struct jget *array, size_t i, uint64_t *out, struct err *e)
{
	struct jget at = {.json = json_array_get(array->json, i), .up = array, .index = i};
	json_int_t value;

	if (!json_is_integer(at.json))
		return fail_kind(&at, NULL, at.json, "a whole number", e);
	value = json_integer_value(at.json);
	if (value < 0)
		return jget_fail(&at, NULL, e, "expected 0 or more, got %lld", (long long)value);
	*out = (uint64_t)value;
	return 0;
}
