#include "autoscaler/knative/kn_json.h"

#include <stdarg.h>
#include <string.h>

static json_t *
at_path(const json_t *from, va_list path)
{
	json_t *at = (json_t *)(uintptr_t)from;
	const char *key;

	while (at != NULL && (key = va_arg(path, const char *)) != NULL)
		at = json_object_get(at, key);
	return at;
}

json_t *
kn_json_at(const json_t *from, ...)
{
	va_list path;
	json_t *at;

	va_start(path, from);
	at = at_path(from, path);
	va_end(path);
	return at;
}

const char *
kn_json_text(const json_t *from, ...)
{
	const char *text;
	va_list path;

	va_start(path, from);
	text = json_string_value(at_path(from, path));
	va_end(path);
	return text == NULL ? "" : text;
}

int64_t
kn_json_number(const json_t *object, const char *key, int64_t otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

static bool
is_nothing(const json_t *value)
{
	const json_t *member;
	const char *key;

	if (value == NULL || json_is_null(value))
		return true;
	if (json_is_string(value))
		return json_string_length(value) == 0;
	if (json_is_array(value))
		return json_array_size(value) == 0;
	if (!json_is_object(value))
		return false;
	KN_EACH_MEMBER(value, key, member)
	if (!is_nothing(member))
		return false;
	(void)key;
	return true;
}

/* Whether each member of a is equal to that of b. */
static bool
covers(const json_t *a, const json_t *b)
{
	const json_t *member;
	const char *key;

	KN_EACH_MEMBER(a, key, member)
	if (!kn_json_equal(member, json_object_get(b, key)))
		return false;
	return true;
}

static bool
arrays_equal(const json_t *a, const json_t *b)
{
	size_t i;

	if (json_array_size(a) != json_array_size(b))
		return false;
	for (i = 0; i < json_array_size(a); i++)
		if (!kn_json_equal(json_array_get(a, i), json_array_get(b, i)))
			return false;
	return true;
}

bool
kn_json_equal(const json_t *a, const json_t *b)
{
	if (is_nothing(a) || is_nothing(b))
		return is_nothing(a) && is_nothing(b);
	if (json_is_object(a) && json_is_object(b))
		return covers(a, b) && covers(b, a);
	if (json_is_array(a) && json_is_array(b))
		return arrays_equal(a, b);
	if (json_is_number(a) && json_is_number(b))
		return json_number_value(a) == json_number_value(b);
	return json_equal((json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b) != 0;
}

json_t *
kn_json_child(json_t *object, const char *key)
{
	json_t *child = json_object_get(object, key);

	if (!json_is_object(child)) {
		child = json_object();
		kn_json_set(object, key, child);
	}
	return child;
}

void
kn_json_set(json_t *object, const char *key, json_t *value)
{
	if (value == NULL)
		(void)json_object_del(object, key);
	else
		CHECK(json_object_set_new(object, key, value) == 0);
}

void
kn_json_set_text(json_t *object, const char *key, const char *text)
{
	kn_json_set(object, key, text == NULL || *text == '\0' ? NULL : json_string(text));
}

void
kn_json_set_number(json_t *object, const char *key, int64_t value)
{
	kn_json_set(object, key, json_integer(value));
}

void
kn_json_merge_texts(json_t *to, const json_t *from)
{
	const json_t *value;
	const char *key;

	KN_EACH_MEMBER(from, key, value)
	if (json_is_string(value))
		kn_json_set(to, key, json_string(json_string_value(value)));
}

bool
kn_json_has_texts(const json_t *object, const json_t *texts)
{
	const json_t *value;
	const char *key;

	KN_EACH_MEMBER(texts, key, value)
	if (!json_equal(json_object_get(object, key), value))
		return false;
	return true;
}

json_t *
kn_json_copy(const json_t *value)
{
	return value == NULL ? NULL : json_deep_copy(value);
}
