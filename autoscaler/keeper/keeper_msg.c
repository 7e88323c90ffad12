#include "autoscaler/keeper/keeper_msg.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/strbuf.h"

static const char *const type_names[] = {
	[KEEPER_HELLO] = "hello",	[KEEPER_INSTANCE] = "instance",
	[KEEPER_SYNCED] = "synced",	[KEEPER_START] = "start",
	[KEEPER_STARTED] = "started",	[KEEPER_FAILED] = "failed",
	[KEEPER_STOP] = "stop",		[KEEPER_ANSWERED] = "answered",
	[KEEPER_ENDED] = "ended",	[KEEPER_GONE] = "gone",
	[KEEPER_OUTPUT] = "output",	[KEEPER_DROPPED] = "dropped",
	[KEEPER_LEAVE] = "leave",	[KEEPER_STOP_FAILED] = "stop_failed",
	[KEEPER_LOG] = "log",		[KEEPER_READ] = "read",
	[KEEPER_READ_END] = "read_end",
};

enum kind {
	KIND_STRING,
	KIND_OPTIONAL,
	KIND_STRINGS,
	KIND_OPTIONAL_STRINGS,
	KIND_INT,
	KIND_OPTIONAL_INT, /* 0: it is missing */
	KIND_BOOL
};

#define T(type) (1u << KEEPER_##type)
#define WITH_ID                                                                                    \
	(T(INSTANCE) | T(START) | T(STARTED) | T(FAILED) | T(STOP) | T(ANSWERED) | T(ENDED) |      \
	 T(GONE) | T(OUTPUT) | T(DROPPED) | T(STOP_FAILED))

/* Which types have a member: encoding, decoding and checking all go by this table. */
static const struct wire_member {
	const char *name;
	enum kind kind;
	unsigned types;
	size_t offset;
	int64_t min, max; /* KIND_INT */
} members[] = {
#define M(kind, name, types, ...)                                                                  \
	{                                                                                          \
#name, KIND_##kind, types, offsetof(struct keeper_msg, name), __VA_ARGS__          \
	}
	M(INT, protocol, T(HELLO), 0, INT32_MAX),
	M(INT, pid, T(HELLO) | T(INSTANCE) | T(STARTED), 1, INT32_MAX),
	M(INT, orphan_timeout_ms, T(HELLO), 0, INT64_MAX / 1000000),
	M(STRING, id, WITH_ID, 0, 0),
	M(STRING, revision, T(INSTANCE) | T(START), 0, 0),
	M(INT, port, T(INSTANCE) | T(START), 1, UINT16_MAX),
	M(INT, phase, T(INSTANCE), PHASE_RUNNING, PHASE_ENDED),
	M(BOOL, answered, T(INSTANCE), 0, 0),
	M(INT, started_ns, T(INSTANCE) | T(STARTED), 0, INT64_MAX),
	M(INT, status, T(INSTANCE) | T(ENDED), 0, INT32_MAX),
	M(STRINGS, argv, T(START), 0, 0),
	M(STRINGS, env, T(START), 0, 0),
	M(OPTIONAL, directory, T(START), 0, 0),
	M(OPTIONAL, user, T(START), 0, 0),
	M(OPTIONAL, launch, T(START) | T(INSTANCE), 0, 0),
	M(OPTIONAL_STRINGS, stop_argv, T(START), 0, 0),
	M(OPTIONAL, pid_file, T(START), 0, 0),
	M(INT, stop_timeout_ms, T(START), 0, INT64_MAX / 1000000),
	M(STRING, text, T(FAILED) | T(OUTPUT) | T(STOP_FAILED), 0, 0),
	M(INT, lines, T(DROPPED), 0, INT64_MAX),
	M(INT, log_level, T(LOG), LOG_TRACE, LOG_ERROR),
	M(INT, log_format, T(LOG), LOG_LOGFMT, LOG_TEXT),
	M(OPTIONAL_INT, output_bytes, T(HELLO), 0, INT64_MAX),
	M(OPTIONAL_INT, output_bytes_total, T(HELLO), 0, INT64_MAX),
	M(OPTIONAL_INT, epoch, T(HELLO), 0, INT64_MAX),
	M(STRINGS, revisions, T(READ), 0, 0),
	M(INT, token, T(READ) | T(READ_END), 1, INT64_MAX),
	M(INT, after, T(READ), 0, INT64_MAX),
	M(INT, since_ms, T(READ), 0, INT64_MAX),
	M(OPTIONAL_INT, token, T(OUTPUT), 0, INT64_MAX),
	M(OPTIONAL, revision, T(OUTPUT), 0, 0),
	M(OPTIONAL_INT, seq, T(OUTPUT), 0, INT64_MAX),
	M(OPTIONAL_INT, wall_ms, T(OUTPUT), 0, INT64_MAX),
#undef M
};

static bool
has(const struct keeper_msg *m, const struct wire_member *f)
{
	return (f->types & (1u << m->type)) != 0;
}

/* --- bytes and JSON strings --- */

static json_t *
json_bytes(const char *s, size_t n)
{
	struct strbuf b;
	json_t *j;
	size_t i;

	strbuf_init(&b, 0);
	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		char two[2] = {(char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))};

		if (c < 0x80)
			(void)strbuf_add(&b, c == 0 ? "?" : &s[i], 1);
		else
			(void)strbuf_add(&b, two, 2);
	}
	j = json_stringn(strbuf_str(&b), b.len);
	CHECK(j != NULL);
	strbuf_fini(&b);
	return j;
}

/* The bytes, the caller's to free; NULL: a code point is not the value of a byte. */
static char *
bytes_of(const json_t *j)
{
	const unsigned char *s = (const unsigned char *)json_string_value(j);
	char *bytes = xmalloc(json_string_length(j) + 1), *to = bytes;

	for (; *s != '\0'; s++) {
		if (*s < 0x80) {
			*to++ = (char)*s;
		} else if (*s == 0xc2 || *s == 0xc3) { /* jansson has checked what follows */
			*to++ = (char)((*s & 3) << 6 | (s[1] & 0x3f));
			s++;
		} else {
			free(bytes);
			return NULL;
		}
	}
	*to = '\0';
	return bytes;
}

/* --- one member --- */

static json_t *
encode_strings(const struct str_list *l)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < l->n; i++)
		json_array_append_new(array, json_bytes(l->v[i], strlen(l->v[i])));
	return array;
}

static json_t *
encode_member(const struct wire_member *f, const void *at)
{
	char *const *s = at;

	switch (f->kind) {
	case KIND_STRING:
		CHECK(*s != NULL);
		return json_bytes(*s, strlen(*s));
	case KIND_OPTIONAL:
		return *s == NULL ? NULL : json_bytes(*s, strlen(*s));
	case KIND_STRINGS:
		return encode_strings(at);
	case KIND_OPTIONAL_STRINGS:
		return ((const struct str_list *)at)->n == 0 ? NULL : encode_strings(at);
	case KIND_INT:
		return json_integer(*(const int64_t *)at);
	case KIND_OPTIONAL_INT:
		return *(const int64_t *)at == 0 ? NULL : json_integer(*(const int64_t *)at);
	case KIND_BOOL:
		return json_boolean(*(const bool *)at);
	}
	return NULL;
}

static int
decode_strings(const json_t *array, struct str_list *out)
{
	size_t n = json_array_size(array);

	if (!json_is_array(array))
		return -1;
	out->v = xcalloc(n + 1, sizeof *out->v);
	while (out->n < n) {
		const json_t *j = json_array_get(array, out->n);
		char *s = json_is_string(j) ? bytes_of(j) : NULL;

		if (s == NULL)
			return -1;
		out->v[out->n++] = s;
	}
	return 0;
}

static int
decode_string(const json_t *j, char **out)
{
	*out = json_is_string(j) ? bytes_of(j) : NULL;
	return *out == NULL ? -1 : 0;
}

static int
decode_int(const struct wire_member *f, const json_t *j, int64_t *out)
{
	*out = json_integer_value(j);
	return json_is_integer(j) && *out >= f->min && *out <= f->max ? 0 : -1;
}

static int
decode_member(const struct wire_member *f, const json_t *j, void *at)
{
	switch (f->kind) {
	case KIND_STRING:
		return decode_string(j, at);
	case KIND_OPTIONAL:
		return j == NULL ? 0 : decode_string(j, at);
	case KIND_STRINGS:
		return decode_strings(j, at);
	case KIND_OPTIONAL_STRINGS:
		return j == NULL ? 0 : decode_strings(j, at);
	case KIND_INT:
		return decode_int(f, j, at);
	case KIND_OPTIONAL_INT:
		return j == NULL ? 0 : decode_int(f, j, at);
	case KIND_BOOL:
		*(bool *)at = json_is_true(j);
		return json_is_boolean(j) ? 0 : -1;
	}
	return -1;
}

/* --- whole messages --- */

void
keeper_msg_encode(const struct keeper_msg *m, struct strbuf *out)
{
	json_t *o = json_object();
	char *text;
	size_t i;

	CHECK(m->type != KEEPER_UNKNOWN);
	json_object_set_new(o, "type", json_string(type_names[m->type]));
	for (i = 0; i < ARRAY_LEN(members); i++) {
		const struct wire_member *f = &members[i];
		json_t *j = has(m, f) ? encode_member(f, (const char *)m + f->offset) : NULL;

		if (j != NULL)
			json_object_set_new(o, f->name, j);
	}
	text = json_dumps(o, JSON_COMPACT);
	CHECK(text != NULL);
	(void)strbuf_adds(out, text); /* the caller checks the length against its limit */
	free(text);
	json_decref(o);
}

static enum keeper_msg_type
type_of(const char *name)
{
	size_t i;

	for (i = 1; name != NULL && i < ARRAY_LEN(type_names); i++)
		if (strcmp(name, type_names[i]) == 0)
			return (enum keeper_msg_type)i;
	return KEEPER_UNKNOWN;
}

static int
decode_members(struct keeper_msg *m, const json_t *o, struct err *e)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(members); i++) {
		const struct wire_member *f = &members[i];

		if (has(m, f) &&
		    decode_member(f, json_object_get(o, f->name), (char *)m + f->offset) < 0)
			return err_set(e, 0, "cannot decode %s: $.%s is missing or wrong",
				       type_names[m->type], f->name);
	}
	return 0;
}

int
keeper_msg_decode(struct keeper_msg *m, const char *line, size_t n, struct err *e)
{
	json_error_t je;
	json_t *o = json_loadb(line, n, JSON_REJECT_DUPLICATES, &je);
	int rc;

	*m = (struct keeper_msg){.type = KEEPER_UNKNOWN};
	if (!json_is_object(o)) {
		json_decref(o);
		return err_set(e, 0, "cannot decode a line: %s", o == NULL ? je.text : "no object");
	}
	m->type = type_of(json_string_value(json_object_get(o, "type")));
	rc = decode_members(m, o, e);
	json_decref(o);
	return rc;
}

void
keeper_msg_fini(struct keeper_msg *m)
{
	free(m->id);
	free(m->revision);
	free(m->directory);
	free(m->user);
	free(m->text);
	free(m->launch);
	free(m->pid_file);
	str_list_fini(&m->argv);
	str_list_fini(&m->env);
	str_list_fini(&m->stop_argv);
	str_list_fini(&m->revisions);
	*m = (struct keeper_msg){.type = KEEPER_UNKNOWN};
}
