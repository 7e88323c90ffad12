#include "common/access_format.h"

#include <stdlib.h>
#include <string.h>

#include "common/conf_names.h"
#include "common/text.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
#define NAME_MAX_BYTES 80

const char access_format_combined[] =
	"$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent "
	"\"$http_referer\" \"$http_user_agent\"";

static const char *const names[] = {
#define X(id, name) name,
	ACCESS_VARIABLES(X)
#undef X
};

/* --- one variable --- */

static int
fail_unknown(const char *name, struct err *e)
{
	const char *nearest = conf_word_nearest(name, names, ARRAY_LEN(names));

	if (nearest == NULL)
		return err_set(e, 0,
			       "expected a variable such as $remote_addr or $http_user_agent, "
			       "got \"$%s\"",
			       name);
	return err_set(e, 0, "expected a variable, got \"$%s\"; did you mean \"$%s\"?", name,
		       nearest);
}

/* The place of the header field `name` among those of the format, in the form of HTTP: x_real_ip
 * is x-real-ip. */
static int
add_field(struct access_format *f, const char *name, uint32_t *place, struct err *e)
{
	char *field = text_lower_copy(name, strlen(name)), *at;
	char **all;
	size_t i;

	for (at = field; *at != '\0'; at++)
		if (*at == '_')
			*at = '-';
	for (i = 0; i < f->fields.n && strcmp(f->fields.v[i], field) != 0; i++)
		;
	*place = (uint32_t)i;
	if (i < f->fields.n || i == ACCESS_FIELDS_MAX) {
		free(field);
		return i < f->fields.n ? 0
				       : err_set(e, 0, "expected at most %d different $http_…",
						 ACCESS_FIELDS_MAX);
	}
	all = xrealloc(f->fields.v, (f->fields.n + 1) * sizeof *all);
	all[f->fields.n++] = field;
	f->fields.v = all;
	return 0;
}

static int
set_variable(struct access_format *f, struct access_piece *piece, const char *name, struct err *e)
{
	size_t i;

	if (strncmp(name, "http_", 5) == 0 && name[5] != '\0') {
		piece->variable = ACCESS_FIELD;
		return add_field(f, name + 5, &piece->field, e);
	}
	for (i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0) {
			piece->variable = (enum access_variable)(ACCESS_FIELD + 1 + i);
			return 0;
		}
	return fail_unknown(name, e);
}

/* --- the whole --- */

/* Read the variable that begins at *at, behind its `$`; *at moves behind it. */
static int
read_variable(struct access_format *f, struct access_piece *piece, const char **at, struct err *e)
{
	bool is_braced = **at == '{';
	const char *start = *at + is_braced;
	size_t n = strspn(start, LETTERS);
	char name[NAME_MAX_BYTES];

	if (n == 0 || n >= sizeof name)
		return err_set(e, 0,
			       "expected the name of a variable behind \"$\"; $$ stands for "
			       "the sign itself");
	if (is_braced && start[n] != '}')
		return err_set(e, 0, "expected \"}\" behind \"${%.*s\"", (int)n, start);
	memcpy(name, start, n);
	name[n] = '\0';
	*at = start + n + is_braced;
	return set_variable(f, piece, name, e);
}

static struct access_piece *
add_piece(struct access_format *f)
{
	f->pieces = xrealloc(f->pieces, (f->n + 1) * sizeof *f->pieces);
	f->pieces[f->n] = (struct access_piece){.variable = ACCESS_LITERAL};
	return &f->pieces[f->n++];
}

static int
read_pieces(struct access_format *f, struct err *e)
{
	const char *at = f->text;
	struct access_piece *piece;

	while (*at != '\0') {
		size_t n = strcspn(at, "$");

		if (n == 0 && at[1] == '$') { /* the second sign is the literal */
			n = 1;
			at++;
		}
		if (n > 0) {
			piece = add_piece(f);
			piece->text = at;
			piece->n = n;
			f->literals_n += n;
			at += n;
			continue;
		}
		at++;
		if (read_variable(f, add_piece(f), &at, e) < 0)
			return -1;
	}
	return 0;
}

static bool
is_early(enum access_variable v)
{
	switch (v) {
	case ACCESS_LITERAL:
	case ACCESS_FIELD:
	case ACCESS_REMOTE_ADDR:
	case ACCESS_PEER_ADDR:
	case ACCESS_REMOTE_USER:
	case ACCESS_REQUEST:
	case ACCESS_REQUEST_METHOD:
	case ACCESS_REQUEST_URI:
	case ACCESS_PATH:
	case ACCESS_ARGS:
	case ACCESS_HOST:
	case ACCESS_SCHEME:
	case ACCESS_SERVER_PROTOCOL:
	case ACCESS_CONNECTION_REQUESTS:
	case ACCESS_REQUEST_ID:
	case ACCESS_TRACE_ID:
	case ACCESS_WORKER:
	case ACCESS_PID:
		return true;
	default:
		return false;
	}
}

/* A run of literals alone is none. */
static void
find_runs(struct access_format *f)
{
	size_t i, end;

	for (i = 0; i < f->n; i = MAX(end, i + 1)) {
		bool has_variable = false;

		for (end = i; end < f->n && is_early(f->pieces[end].variable); end++)
			has_variable |= f->pieces[end].variable != ACCESS_LITERAL;
		if (has_variable)
			f->pieces[i].early_n = (uint32_t)(end - i);
	}
}

struct access_format *
access_format_new(const char *text, struct err *e)
{
	struct access_format *f;
	const unsigned char *at;

	for (at = (const unsigned char *)text; *at >= ' ' || *at == '\t'; at++)
		;
	if (*at != '\0' || text[0] == '\0') {
		err_set(e, 0, "expected a line of text with variables such as $status");
		return NULL;
	}
	f = xcalloc(1, sizeof *f);
	f->text = xstrdup(text);
	f->is_combined = strcmp(text, access_format_combined) == 0;
	if (read_pieces(f, e) < 0)
		access_format_free(&f);
	else
		find_runs(f);
	return f;
}

void
access_format_free(struct access_format **fp)
{
	struct access_format *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	str_list_fini(&f->fields);
	free(f->pieces);
	free(f->text);
	free(f);
}
