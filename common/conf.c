#include "common/conf.h"

#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/strbuf.h"

#define FILE_MAX ((size_t)8 << 20)
#define UNKNOWN_MAX 64 /* unknown names that one run can step over */

/* --- errors --- */

static int
by_line(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;
	const char *xc = strchr(x, ':'), *yc = strchr(y, ':');
	long xl = xc == NULL ? 0 : strtol(xc + 1, NULL, 10);
	long yl = yc == NULL ? 0 : strtol(yc + 1, NULL, 10);

	return xl < yl ? -1 : xl > yl;
}

void
conf_error(struct settings_errors *errors, const char *file, unsigned line, const char *fmt, ...)
{
	struct strbuf b;
	va_list args;
	char text[1024];

	if (errors->n == CONF_ERRORS_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	strbuf_init(&b, 0);
	strbuf_adds(&b, file);
	if (line > 0)
		strbuf_addf(&b, ":%u", line);
	strbuf_addf(&b, ": %s", text);
	errors->lines = xrealloc(errors->lines, (errors->n + 1) * sizeof *errors->lines);
	errors->lines[errors->n++] = strbuf_take(&b);
	qsort(errors->lines, errors->n, sizeof *errors->lines, by_line);
}

/* --- the file as text --- */

static char *
read_file(const char *file, size_t *n, struct settings_errors *errors)
{
	FILE *f = fopen(file, "re");
	char *text = xmalloc(FILE_MAX + 1);
	int code = errno;

	*n = f == NULL ? 0 : fread(text, 1, FILE_MAX + 1, f);
	code = f == NULL ? code : errno;
	if (f == NULL || ferror(f)) {
		conf_error(errors, file, 0, "cannot be read: %s", strerror(code));
		free(text);
		text = NULL;
	} else if (*n > FILE_MAX) {
		conf_error(errors, file, 0, "is larger than %zu MiB", FILE_MAX >> 20);
		free(text);
		text = NULL;
	}
	if (f != NULL)
		fclose(f);
	return text;
}

/* What the parser would stumble over without a word. */
static bool
is_clean(const char *text, size_t n, const char *file, struct settings_errors *errors)
{
	unsigned line = 1;
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)text[i];

		if (ch == '\n')
			line++;
		else if ((ch < 0x20 && ch != '\t' && ch != '\r') || ch == 0x7f) {
			conf_error(errors, file, line,
				   "expected text, got a byte of value %u (0x%02x)", ch, ch);
			return false;
		}
	}
	return true;
}

/* Where a string or comment that begins at i ends; i where none begins. */
static size_t
skip_comment(const char *s, size_t n, size_t i)
{
	const char *end = NULL;

	if (s[i] == '#' || (s[i] == '/' && i + 1 < n && s[i + 1] == '/'))
		end = memchr(s + i, '\n', n - i);
	else if (s[i] == '/' && i + 1 < n && s[i + 1] == '*') {
		end = memmem(s + i + 2, n - i - 2, "*/", 2);
		end = end == NULL ? NULL : end + 2;
	} else {
		return i;
	}
	return end == NULL ? n : (size_t)(end - s);
}

/* Sections that are never closed, which libconfuse takes for closed at the end. */
static bool
is_balanced(const char *s, size_t n, const char *file, struct settings_errors *errors)
{
	unsigned line = 1, depth = 0, opened[16] = {0};
	char quote = '\0';
	size_t i = 0;

	while (i < n) {
		size_t end = quote != '\0' ? i : skip_comment(s, n, i);

		if (end > i) {
			for (; i < end; i++)
				line += s[i] == '\n';
			continue;
		}
		if (s[i] == '\n')
			line++;
		else if (quote != '\0' && s[i] == '\\')
			i++;
		else if (quote != '\0')
			quote = s[i] == quote ? '\0' : quote;
		else if (s[i] == '"' || s[i] == '\'')
			quote = s[i];
		else if (s[i] == '{' && ++depth <= ARRAY_LEN(opened))
			opened[depth - 1] = line;
		else if (s[i] == '}' && depth > 0)
			depth--;
		i++;
	}
	if (depth == 0 || quote != '\0')
		return true;
	conf_error(errors, file, opened[MIN(depth, ARRAY_LEN(opened)) - 1],
		   "expected a \"}\" for the \"{\" of this line, got the end of the file");
	return false;
}

/* libconfuse puts environment variables in place of ${NAME} in double quotes: a
 * backslash before each $ turns that off.  A BOM and carriage returns go. */
static char *
prepare(const char *s, size_t n)
{
	struct strbuf b;
	bool is_quoted = false;
	size_t i = n >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

	strbuf_init(&b, 0);
	while (i < n) {
		size_t end = is_quoted ? i : skip_comment(s, n, i);

		if (end > i) {
			strbuf_add(&b, s + i, end - i);
			i = end;
			continue;
		}
		if (s[i] == '"')
			is_quoted = !is_quoted;
		else if (is_quoted && s[i] == '\\' && i + 1 < n)
			strbuf_add(&b, &s[i++], 1);
		else if (is_quoted && s[i] == '$')
			strbuf_adds(&b, "\\");
		if (s[i] != '\r')
			strbuf_add(&b, &s[i], 1);
		i++;
	}
	strbuf_adds(&b, "\n");
	return strbuf_take(&b);
}

/* --- the parser --- */

static const struct {
	const char *name;
	unsigned where, parent;
	bool has_title;
} kinds[] = {
	{"activator", IN_ACTIVATOR, IN_TOP, false},   {"autoscaler", IN_AUTOSCALER, IN_TOP, false},
	{"service", IN_SERVICE, IN_TOP, true},	      {"traffic", IN_TRAFFIC, IN_SERVICE, true},
	{"rule", IN_RULE, IN_SERVICE, true},	      {"revision", IN_REVISION, IN_SERVICE, true},
	{"schedule", IN_SCHEDULE, IN_REVISION, true},
};

/* libconfuse stops at the first name it does not know: each is remembered, told to it
 * as a name to step over, and the file read again. */
struct unknown {
	char *name;
	unsigned where;
};

struct reader {
	const char *file;
	struct settings_errors *errors;
	struct unknown unknown[UNKNOWN_MAX];
	size_t unknown_n;
	bool must_retry, is_failed;
	/* lines of the values that were set in this run: a hash by address, at most half
	 * full, so that a file of many services does not cost the square of them */
	struct line {
		const cfg_opt_t *opt; /* NULL: free */
		unsigned line, calls;
	} * lines;
	size_t lines_n, lines_cap; /* a power of two */
};

static struct reader *current; /* libconfuse's callbacks carry no argument; main thread only */

static unsigned
where_of(const char *section)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, section) == 0)
			return kinds[i].where;
	return IN_TOP;
}

static const char *
name_of(unsigned where)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(kinds); i++)
		if ((kinds[i].where & where) != 0)
			return kinds[i].name;
	return "the top level";
}

/* Levenshtein's distance, cut at 3. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[64], n = (unsigned)strlen(b), i, j;

	if (n >= ARRAY_LEN(row) || strlen(a) >= ARRAY_LEN(row))
		return 3;
	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 1; a[i - 1] != '\0'; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (j = 1; j <= n; j++) {
			unsigned above = row[j];

			row[j] = MIN(MIN(row[j], row[j - 1]) + 1,
				     diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return MIN(row[n], 3);
}

static const char *
nearest(const char *name, unsigned where)
{
	const char *best = NULL;
	unsigned least = 3;
	size_t i;

	for (i = 0; i < settings_keys_n; i++)
		if ((settings_keys[i].where & where) != 0 &&
		    distance(name, settings_keys[i].name) < least) {
			best = settings_keys[i].name;
			least = distance(name, best);
		}
	for (i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].parent == where && distance(name, kinds[i].name) < least) {
			best = kinds[i].name;
			least = distance(name, best);
		}
	return best;
}

static void
tell_unknown(struct reader *r, unsigned line, const char *name, unsigned where)
{
	const char *near = nearest(name, where), *section = name_of(where);
	const struct key *elsewhere = settings_key_find(name, ~0u);

	if (elsewhere != NULL)
		conf_error(r->errors, r->file, line, "%s: may not stand in %s, but in %s", name,
			   section, name_of(elsewhere->where));
	else if (near != NULL)
		conf_error(r->errors, r->file, line, "%s: no such key in %s; the nearest is \"%s\"",
			   name, section, near);
	else
		conf_error(r->errors, r->file, line, "%s: no such key in %s", name, section);
}

static void
learn_unknown(struct reader *r, unsigned where, unsigned line, const char *name)
{
	tell_unknown(r, line, name, where);
	r->must_retry = r->unknown_n < UNKNOWN_MAX;
	r->is_failed = !r->must_retry;
	if (r->must_retry)
		r->unknown[r->unknown_n++] = (struct unknown){.name = xstrdup(name),
							      .where = where};
}

static bool
is_stepped_over(const struct reader *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->unknown_n; i++)
		if (strcmp(r->unknown[i].name, name) == 0)
			return true;
	return false;
}

static void
on_error(cfg_t *cfg, const char *fmt, va_list args)
{
	static const char no_option[] = "no such option '";
	static const char no_equal[] = "missing equal sign after option '";
	struct reader *r = current;
	char text[512];

	if (r->must_retry || r->is_failed)
		return; /* what follows the first is its consequence */
	vsnprintf(text, sizeof text, fmt, args);
	if (strncmp(text, no_option, sizeof no_option - 1) == 0) {
		char *name = text + sizeof no_option - 1;

		name[strcspn(name, "'")] = '\0';
		learn_unknown(r, where_of(cfg->name), (unsigned)cfg->line, name);
		return;
	}
	r->is_failed = true;
	if (strncmp(text, no_equal, sizeof no_equal - 1) == 0) {
		char *name = text + sizeof no_equal - 1;

		name[strcspn(name, "'")] = '\0';
		if (is_stepped_over(r, name)) /* a section of an unknown name: told already */
			return;
		conf_error(r->errors, r->file, (unsigned)cfg->line,
			   "%s: expected \"=\" and a value", name);
		return;
	}
	conf_error(r->errors, r->file, (unsigned)cfg->line, "%s", text);
}

/* Where opt is, or would be put. */
static struct line *
find_line(const struct reader *r, const cfg_opt_t *opt)
{
	uint64_t hash = (uint64_t)(uintptr_t)opt * UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(hash >> 32) & (r->lines_cap - 1);

	while (r->lines[i].opt != NULL && r->lines[i].opt != opt)
		i = (i + 1) & (r->lines_cap - 1);
	return &r->lines[i];
}

static void
grow_lines(struct reader *r)
{
	struct reader wider = {.lines_cap = r->lines_cap == 0 ? 64 : r->lines_cap * 2};
	size_t i;

	wider.lines = xcalloc(wider.lines_cap, sizeof *wider.lines);
	for (i = 0; i < r->lines_cap; i++)
		if (r->lines[i].opt != NULL)
			*find_line(&wider, r->lines[i].opt) = r->lines[i];
	free(r->lines);
	r->lines = wider.lines;
	r->lines_cap = wider.lines_cap;
}

static void
forget_lines(struct reader *r)
{
	free(r->lines);
	r->lines = NULL;
	r->lines_n = r->lines_cap = 0;
}

/* Called for each value, and once more behind the last of a list. */
static int
on_value(cfg_t *cfg, cfg_opt_t *opt)
{
	struct reader *r = current;
	unsigned most = (opt->flags & CFGF_LIST) != 0 ? opt->nvalues + 1 : 1;
	struct line *at;

	if (r->lines_n * 2 >= r->lines_cap)
		grow_lines(r);
	at = find_line(r, opt);
	if (at->opt == NULL) {
		*at = (struct line){.opt = opt, .line = (unsigned)cfg->line};
		r->lines_n++;
	}
	if (++at->calls == most + 1)
		conf_error(r->errors, r->file, (unsigned)cfg->line,
			   "%s: stands here again; it was set in line %u", opt->name, at->line);
	return 0;
}

/* --- what libconfuse is told to expect --- */

static cfg_opt_t *
options_of(const struct reader *r, unsigned where)
{
	size_t n = 0, i;
	cfg_opt_t *opts = xcalloc(settings_keys_n + ARRAY_LEN(kinds) + UNKNOWN_MAX + 1,
				  sizeof *opts);

	for (i = 0; i < settings_keys_n; i++) {
		const struct key *k = &settings_keys[i];
		bool is_list = k->type == KEY_LIST || k->type == KEY_ADDRESSES ||
			       k->type == KEY_NETWORKS;

		if ((k->where & where) == 0)
			continue;
		opts[n] = is_list ? (cfg_opt_t)CFG_STR_LIST(k->name, NULL, CFGF_NODEFAULT)
				  : (cfg_opt_t)CFG_STR(k->name, NULL, CFGF_NODEFAULT);
		opts[n++].validcb = on_value;
	}
	for (i = 0; i < r->unknown_n; i++)
		if (r->unknown[i].where == where)
			opts[n++] = (cfg_opt_t)CFG_STR_LIST(r->unknown[i].name, NULL,
							    CFGF_NODEFAULT);
	for (i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].parent == where)
			opts[n++] = (cfg_opt_t)CFG_SEC(
				kinds[i].name, options_of(r, kinds[i].where),
				kinds[i].has_title ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES
						   : CFGF_NONE);
	opts[n] = (cfg_opt_t)CFG_END();
	return opts;
}

static void
options_free(cfg_opt_t *opts)
{
	cfg_opt_t *o;

	for (o = opts; o->name != NULL; o++)
		if (o->type == CFGT_SEC)
			options_free(o->subopts);
	free(opts);
}

/* --- the tree --- */

static unsigned
line_of(const struct reader *r, const cfg_opt_t *opt)
{
	return r->lines_cap == 0 ? 0 : find_line(r, opt)->line;
}

static void
copy_value(const struct reader *r, struct conf_section *s, cfg_opt_t *opt)
{
	struct conf_value *v;
	unsigned i;

	s->values = xrealloc(s->values, (s->values_n + 1) * sizeof *s->values);
	v = &s->values[s->values_n++];
	*v = (struct conf_value){.key = settings_key_find(opt->name, s->where),
				 .line = line_of(r, opt),
				 .texts = xcalloc(opt->nvalues, sizeof *v->texts),
				 .n = opt->nvalues};
	for (i = 0; i < opt->nvalues; i++) {
		const char *text = cfg_opt_getnstr(opt, i);

		v->texts[i] = xstrdup(text == NULL ? "" : text);
	}
	if (s->line == 0 || v->line < s->line)
		s->line = v->line;
}

static void copy_section(const struct reader *r, struct conf_section *s, cfg_t *cfg,
			 unsigned where);

static void
copy_sections(const struct reader *r, struct conf_section *s, cfg_opt_t *opt)
{
	unsigned i;

	for (i = 0; i < opt->nvalues; i++) {
		struct conf_section *sub;

		s->sections = xrealloc(s->sections, (s->sections_n + 1) * sizeof *s->sections);
		sub = &s->sections[s->sections_n++];
		copy_section(r, sub, cfg_opt_getnsec(opt, i), where_of(opt->name));
		if (s->line == 0 || (sub->line > 0 && sub->line < s->line))
			s->line = sub->line;
	}
}

static void
copy_section(const struct reader *r, struct conf_section *s, cfg_t *cfg, unsigned where)
{
	cfg_opt_t *o;

	*s = (struct conf_section){.where = where};
	if (cfg->title != NULL)
		s->title = xstrdup(cfg->title);
	for (o = cfg->opts; o->name != NULL; o++) {
		if (o->type == CFGT_SEC)
			copy_sections(r, s, o);
		else if (line_of(r, o) > 0 && settings_key_find(o->name, where) != NULL)
			copy_value(r, s, o);
	}
}

static void
section_fini(struct conf_section *s)
{
	size_t i, j;

	for (i = 0; i < s->values_n; i++) {
		for (j = 0; j < s->values[i].n; j++)
			free(s->values[i].texts[j]);
		free(s->values[i].texts);
	}
	for (i = 0; i < s->sections_n; i++)
		section_fini(&s->sections[i]);
	free(s->values);
	free(s->sections);
	free(s->title);
}

void
conf_free(struct conf_section **sp)
{
	if (*sp != NULL)
		section_fini(*sp);
	free(*sp);
	*sp = NULL;
}

const struct conf_value *
conf_find(const struct conf_section *s, const char *key)
{
	size_t i;

	for (i = 0; s != NULL && i < s->values_n; i++)
		if (strcmp(s->values[i].key->name, key) == 0)
			return &s->values[i];
	return NULL;
}

/* One run of the parser.  NULL: look at must_retry. */
static struct conf_section *
parse(struct reader *r, const char *text)
{
	cfg_opt_t *opts = options_of(r, IN_TOP);
	cfg_t *cfg = cfg_init(opts, CFGF_NONE);
	struct conf_section *root = NULL;
	int rc;

	CHECK(cfg != NULL);
	r->must_retry = r->is_failed = false;
	forget_lines(r);
	cfg_set_error_function(cfg, on_error);
	rc = cfg_parse_buf(cfg, text);
	if (rc != CFG_SUCCESS && !r->must_retry && !r->is_failed)
		conf_error(r->errors, r->file, (unsigned)cfg->line, "cannot be parsed");
	if (rc == CFG_SUCCESS) {
		root = xcalloc(1, sizeof *root);
		copy_section(r, root, cfg, IN_TOP);
	}
	cfg_free(cfg);
	options_free(opts);
	return root;
}

static struct conf_section *
parse_all(struct reader *r, const char *text)
{
	struct conf_section *root;
	size_t i;

	current = r;
	do
		root = parse(r, text);
	while (root == NULL && r->must_retry);
	current = NULL;
	for (i = 0; i < r->unknown_n; i++)
		free(r->unknown[i].name);
	forget_lines(r);
	return root;
}

struct conf_section *
conf_read(const char *file, struct settings_errors *errors)
{
	struct reader r = {.file = file, .errors = errors};
	struct conf_section *root = NULL;
	size_t n;
	char *text = read_file(file, &n, errors), *prepared;

	if (text == NULL)
		return NULL;
	if (is_clean(text, n, file, errors) && is_balanced(text, n, file, errors)) {
		prepared = prepare(text, n);
		root = parse_all(&r, prepared);
		free(prepared);
	}
	free(text);
	return root;
}
