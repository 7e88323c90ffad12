#include "common/msg_limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/file.h"
#include "common/jget.h"
#include "common/jput.h"
#include "common/settings_form.h"
#include "common/strbuf.h"
#include "common/text.h"

#define KEY_NAME_MAX 80
#define WORD_MAX 40

static const char *
wire_name(const struct key *k, char buf[KEY_NAME_MAX])
{
	snprintf(buf, KEY_NAME_MAX, "%s%s", k->name, k->type == KEY_DURATION ? "_ms" : "");
	return buf;
}

static bool
is_limit(const struct key *k)
{
	return k->group == GROUP_LIMITS;
}

/* --- put --- */

/* The i-th word of "a|b|c". */
static const char *
enum_word(const char *enums, int i, char buf[WORD_MAX])
{
	const char *at = enums;

	for (; i > 0 && at != NULL; i--) {
		at = strchr(at, '|');
		at = at == NULL ? NULL : at + 1;
	}
	CHECK(at != NULL);
	snprintf(buf, WORD_MAX, "%.*s", (int)strcspn(at, "|"), at);
	return buf;
}

static const char *
probe_text(const struct limits *l)
{
	switch (l->probe) {
	case PROBE_HTTP:
	case PROBE_GRPC:
		return l->probe_text;
	case PROBE_READINESS:
		return "readiness";
	default: /* PROBE_AUTO: the messages about pods say how each of them is probed */
		return "tcp";
	}
}

static void
put_key(struct jput *j, const struct key *k, const struct limits *l)
{
	const void *at = (const char *)l + k->offset;
	char name[KEY_NAME_MAX], word[WORD_MAX];

	wire_name(k, name);
	switch (k->type) {
	case KEY_BOOL:
		jput_bool(j, name, *(const bool *)at);
		break;
	case KEY_UINT:
	case KEY_PERCENT32:
	case KEY_SIZE32:
		jput_u64(j, name, *(const uint32_t *)at);
		break;
	case KEY_NUMBER:
	case KEY_PERCENT:
		jput_double(j, name, *(const double *)at);
		break;
	case KEY_DURATION:
		jput_i64(j, name, (*(const int64_t *)at + CLK_MS - 1) / CLK_MS);
		break;
	case KEY_SIZE:
		jput_u64(j, name, *(const uint64_t *)at);
		break;
	case KEY_STRING:
	case KEY_ADDRESS:
		jput_string_if(j, name, *(char *const *)at);
		break;
	case KEY_ENUM:
		jput_string(j, name, enum_word(k->enums, *(const int *)at, word));
		break;
	case KEY_PROBE:
		jput_string(j, name, probe_text(l));
		break;
	case KEY_LIST:
	case KEY_LISTEN:
	case KEY_ENDPOINTS:
	case KEY_NETWORKS:
	case KEY_PORTS:
		CHECK(!"a limit of this type has no form on the link");
	}
}

/* Constant from main() on. */
static struct limits defaults;
static int64_t digest;

__attribute__((constructor)) static void
fill_defaults(void)
{
	struct strbuf text;
	size_t i;

	limits_default(&defaults);
	strbuf_init(&text, 0);
	for (i = 0; i < settings_keys_n; i++)
		if (is_limit(&settings_keys[i]))
			strbuf_addf(&text, "%s=%s\n", settings_keys[i].name,
				    settings_keys[i].fallback == NULL ? ""
								      : settings_keys[i].fallback);
	digest = (int64_t)(file_digest(text.data, text.len) >> 1) | 1;
	strbuf_fini(&text);
}

int64_t
msg_limits_digest(void)
{
	return digest;
}

/* A probe is always said: what goes over the link is not what the key says. */
static bool
is_default(const struct key *k, const struct limits *l)
{
	const void *at = (const char *)l + k->offset, *by = (const char *)&defaults + k->offset;

	switch (k->type) {
	case KEY_BOOL:
		return *(const bool *)at == *(const bool *)by;
	case KEY_UINT:
	case KEY_PERCENT32:
	case KEY_SIZE32:
		return *(const uint32_t *)at == *(const uint32_t *)by;
	case KEY_NUMBER:
	case KEY_PERCENT:
		return memcmp(at, by, sizeof(double)) == 0;
	case KEY_DURATION:
	case KEY_SIZE:
		return memcmp(at, by, sizeof(int64_t)) == 0;
	case KEY_ENUM:
		return *(const int *)at == *(const int *)by;
	case KEY_STRING:
	case KEY_ADDRESS:
		return text_equal(*(char *const *)at, *(char *const *)by);
	default:
		return false;
	}
}

void
msg_limits_put(struct jput *j, const struct limits *l, bool is_brief)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++)
		if (is_limit(&settings_keys[i]) && !(is_brief && is_default(&settings_keys[i], l)))
			put_key(j, &settings_keys[i], l);
}

/* --- get --- */

/* A whole number of `unit` base units, with the bounds that the conf file has. */
static int
get_whole(const struct jget *at, const struct key *k, const char *name, int64_t unit, int64_t limit,
	  int64_t *out, struct err *e)
{
	int64_t value = -1, min = 0, max = limit / unit;

	if (k->min < k->max) {
		min = (int64_t)ceil(k->min / (double)unit);
		max = (int64_t)MIN((double)max, ceil(k->max / (double)unit));
	}
	if (jget_i64(at, name, JGET_MAY, min, max, &value, e) < 0)
		return -1;
	if (value >= 0)
		*out = value * unit;
	return 0;
}

static int
get_u32(const struct jget *at, const struct key *k, const char *name, uint32_t *out, struct err *e)
{
	int64_t value = *out;

	if (get_whole(at, k, name, 1, UINT32_MAX, &value, e) < 0)
		return -1;
	*out = (uint32_t)value;
	return 0;
}

static int
get_u64(const struct jget *at, const struct key *k, const char *name, uint64_t *out, struct err *e)
{
	int64_t value = (int64_t)MIN(*out, (uint64_t)INT64_MAX);

	if (get_whole(at, k, name, 1, INT64_MAX, &value, e) < 0)
		return -1;
	*out = (uint64_t)value;
	return 0;
}

static int
get_number(const struct jget *at, const struct key *k, const char *name, double *out, struct err *e)
{
	bool is_bounded = k->min < k->max;

	return jget_double(at, name, JGET_MAY, is_bounded ? k->min : -HUGE_VAL,
			   is_bounded ? k->max : HUGE_VAL, out, e);
}

static int
get_string(const struct jget *at, const char *name, char **out, struct err *e)
{
	char *text = NULL;

	if (jget_string(at, name, JGET_MAY, &text, e) < 0)
		return -1;
	if (text != NULL) {
		free(*out);
		*out = text;
	}
	return 0;
}

static int
get_enum(const struct jget *at, const struct key *k, const char *name, int *out, struct err *e)
{
	char *text = NULL, word[WORD_MAX];
	const char *rest;
	int i, rc;

	if (jget_string(at, name, JGET_MAY, &text, e) < 0)
		return -1;
	if (text == NULL)
		return 0;
	for (i = 0, rest = k->enums; rest != NULL; i++) {
		if (strcmp(enum_word(k->enums, i, word), text) == 0) {
			*out = i;
			free(text);
			return 0;
		}
		rest = strchr(rest, '|');
		rest = rest == NULL ? NULL : rest + 1;
	}
	rc = jget_fail(at, name, e, "expected %s, got \"%.40s\"", k->enums, text);
	free(text);
	return rc;
}

static int
get_probe(const struct jget *at, const char *name, struct limits *l, struct err *e)
{
	char *text = NULL;
	int rc = 0;

	if (jget_string(at, name, JGET_MAY, &text, e) < 0)
		return -1;
	if (text == NULL)
		return 0;
	free(l->probe_text);
	l->probe_text = NULL;
	if (strcmp(text, "tcp") == 0) {
		l->probe = PROBE_TCP;
	} else if (strcmp(text, "readiness") == 0) {
		l->probe = PROBE_READINESS;
	} else if (text[0] == '/' || form_is_health_check(text)) {
		l->probe = text[0] == '/' ? PROBE_HTTP : PROBE_GRPC;
		l->probe_text = xstrdup(text);
	} else {
		rc = jget_fail(
			at, name, e,
			"expected \"tcp\", \"readiness\", \"grpc\", \"grpc:NAME\" or a path");
	}
	free(text);
	return rc;
}

static int
get_key(const struct jget *at, const struct key *k, struct limits *l, struct err *e)
{
	void *to = (char *)l + k->offset;
	char name[KEY_NAME_MAX];

	wire_name(k, name);
	switch (k->type) {
	case KEY_BOOL:
		return jget_bool(at, name, JGET_MAY, to, e);
	case KEY_UINT:
	case KEY_PERCENT32:
	case KEY_SIZE32:
		return get_u32(at, k, name, to, e);
	case KEY_NUMBER:
	case KEY_PERCENT:
		return get_number(at, k, name, to, e);
	case KEY_DURATION:
		return get_whole(at, k, name, CLK_MS, INT64_MAX, to, e);
	case KEY_SIZE:
		return get_u64(at, k, name, to, e);
	case KEY_STRING:
	case KEY_ADDRESS:
		return get_string(at, name, to, e);
	case KEY_ENUM:
		return get_enum(at, k, name, to, e);
	case KEY_PROBE:
		return get_probe(at, name, l, e);
	case KEY_LIST:
	case KEY_LISTEN:
	case KEY_ENDPOINTS:
	case KEY_NETWORKS:
	case KEY_PORTS:
		break;
	}
	CHECK(!"a limit of this type has no form on the link");
	return -1;
}

int
msg_limits_get(const struct jget *at, struct limits *l, struct err *e)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++)
		if (is_limit(&settings_keys[i]) && get_key(at, &settings_keys[i], l, e) < 0)
			return -1;
	return 0;
}
