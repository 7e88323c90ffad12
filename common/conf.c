#include "common/conf.h"

#include <confuse.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf_names.h"
#include "common/conf_text.h"
#include "common/hmap.h"
#include "common/strbuf.h"

/* The tree that libconfuse builds has no lines, and takes 50 KB for a service.  So its
 * callbacks build a tree of ours, and each section of its own is dropped when it ends.
 * libconfuse has no callback for the beginning of a section, but it parses the defaults of
 * the section's options then: every section has the option BEGIN_OPTION with a default. */
#define BEGIN_OPTION "\1"
#define DEPTH_MAX 8
#define UNKNOWN_MAX CONF_ERRORS_SHOWN
#define WORK_MAX ((size_t)64 << 20) /* the most bytes that all runs of the parser may read */

/* A name that is no key or section of ours.  libconfuse stops at such a name.  So that the
 * rest of the file is checked too, the name is added to the options, and libconfuse parses
 * the text again: with the name as a key, then as a section with a title, then as one
 * without. */
struct unknown {
	char *name;
	unsigned where;				     /* IN_*: the section that contains it */
	enum { AS_VALUE, AS_TITLED, AS_PLAIN } form; /* how it is parsed in this run */
	unsigned like; /* IN_*: a section is parsed as one of this kind */
};

struct reader {
	const char *text;
	size_t text_n;
	struct conf_errors *errors;
	size_t errors_n; /* mistakes that conf_text had found */
	struct unknown unknown[UNKNOWN_MAX];
	size_t unknown_n;
	size_t work;
	bool must_retry, is_failed;
	bool is_truncated; /* conf_text has reported that the file ends too early */

	struct conf_section *open[DEPTH_MAX]; /* the open sections; the first is the root */
	bool is_unknown[DEPTH_MAX];	      /* the section is dropped at its end */
	size_t depth;
	bool is_ignored;	/* drop the texts of this key: it was set before */
	const struct key *last; /* the key that got the last text */
};

static struct reader *current; /* libconfuse's callbacks carry no argument */

static struct conf_value *
value_of(const struct conf_section *s, const struct key *key)
{
	size_t i;

	for (i = 0; i < s->values_n; i++)
		if (s->values[i].key == key)
			return &s->values[i];
	return NULL;
}

/* --- unknown names --- */

static struct unknown *
unknown_find(struct reader *r, const char *name, unsigned where)
{
	size_t i;

	for (i = 0; i < r->unknown_n; i++)
		if (r->unknown[i].where == where && strcmp(r->unknown[i].name, name) == 0)
			return &r->unknown[i];
	return NULL;
}

static void
unknown_add(struct reader *r, const char *name, unsigned where, unsigned line)
{
	const struct unknown *known = unknown_find(r, name, where);

	r->must_retry = r->unknown_n < UNKNOWN_MAX && r->work < WORK_MAX && known == NULL;
	r->is_failed = !r->must_retry;
	if (r->is_failed)
		conf_error_unknown(r->errors, line, name, where,
				   known != NULL && known->form != AS_VALUE);
	else
		r->unknown[r->unknown_n++] = (struct unknown){.name = xstrdup(name),
							      .where = where};
}

/* No `=` follows the name: parse it in its next form.  False: no form is left to try. */
static bool
unknown_reinterpret(struct reader *r, struct unknown *s, unsigned like)
{
	s->form++;
	s->like = like;
	r->must_retry = s->form <= AS_PLAIN && like != 0 && r->work < WORK_MAX;
	return r->must_retry;
}

/* --- the errors of libconfuse --- */

static unsigned
innermost(const struct reader *r)
{
	return r->open[r->depth - 1]->where;
}

static void
on_missing_equal(struct reader *r, unsigned line, const char *name)
{
	struct unknown *s = unknown_find(r, name, innermost(r));
	const struct conf_kind *like = conf_kind_nearest(name);
	size_t n = strlen(name);

	if (s != NULL && s->form == AS_VALUE &&
	    unknown_reinterpret(r, s, like == NULL ? 0 : like->where))
		return;
	r->is_failed = true;
	if (strcmp(name, "include") == 0)
		conf_error(r->errors, line, "include: expected all settings in one file");
	else if (n > 1 && name[n - 1] == ':')
		conf_error(r->errors, line, "%.*s: expected \"=\", got \":\"", (int)n - 1, name);
	else if (s != NULL && like == NULL)
		conf_error_unknown(r->errors, line, name, s->where, false);
	else
		conf_error(r->errors, line, "%s: expected \"=\" and a value",
			   conf_named(name, (char[CONF_QUOTE_MAX]){0}));
}

static void
on_missing_title(struct reader *r, unsigned line, const char *name)
{
	struct unknown *s = unknown_find(r, name, innermost(r));

	if (s != NULL && s->form == AS_TITLED && unknown_reinterpret(r, s, s->like))
		return;
	r->is_failed = true;
	conf_error(r->errors, line, "%s: expected a name in quotes after it, like %s \"v1\" {",
		   name, name);
}

static void
on_missing_brace(struct reader *r, unsigned line, const char *name)
{
	const struct conf_kind *k = conf_kind_find(name, innermost(r));

	r->is_failed = true;
	if (unknown_find(r, name, innermost(r)) != NULL)
		conf_error_unknown(r->errors, line, name, innermost(r), false);
	else if (k != NULL && k->has_title)
		conf_error(r->errors, line, "%s: expected \"{\" after its name", name);
	else
		conf_error(r->errors, line, "%s: expected \"{\" after it", name);
}

/* `key = key = value`: the first has no value. */
static bool
on_missing_value(struct reader *r, unsigned line)
{
	const struct conf_section *s = r->open[r->depth - 1];
	struct conf_value *v = r->last == NULL ? NULL : value_of(s, r->last);

	if (v == NULL || v->n == 0 || settings_key_find(v->texts[v->n - 1], ~0u) == NULL)
		return false;
	conf_error(r->errors, line, "%s: expected a value, got the key \"%s\"", v->key->name,
		   v->texts[v->n - 1]);
	v->is_bad = true;
	return true;
}

static void
on_unexpected(struct reader *r, unsigned line, const char *token)
{
	const char *key = r->last == NULL ? NULL : r->last->name;

	r->is_failed = true;
	if (strcmp(token, "=") == 0 && on_missing_value(r, line))
		return;
	if (strpbrk(token, "{}()=,+") == NULL && key != NULL)
		conf_error(r->errors, line, "%s: expected \",\" or \"}\" in its list, got %s", key,
			   CONF_QUOTED(token));
	else
		conf_error(r->errors, line, "expected a key, a value or a section, got \"%s\"",
			   token);
}

static void
on_premature_end(struct reader *r, unsigned line, const char *unused)
{
	(void)unused;
	r->is_failed = true;
	if (!r->is_truncated)
		conf_error(r->errors, line, "expected a value, got the end of the file");
}

static void
on_stray_brace(struct reader *r, unsigned line, const char *unused)
{
	(void)unused;
	r->is_failed = true;
	conf_error(r->errors, line, "expected a key or a section, got a \"}\" that closes nothing");
}

/* libconfuse takes `|` and `=` in a name for a path to another section. */
static void
on_odd_name(struct reader *r, unsigned line, const char *unused)
{
	(void)unused;
	r->is_failed = true;
	conf_error(r->errors, line, "expected the name of a key or a section");
}

static void
on_unknown_name(struct reader *r, unsigned line, const char *name)
{
	unknown_add(r, name, innermost(r), line);
}

/* Its messages, up to the name that they contain. */
static const struct {
	const char *begin;
	void (*report)(struct reader *, unsigned line, const char *name);
} messages[] = {
	{"no such option '", on_unknown_name},
	{"no sub-section", on_odd_name},
	{"missing equal sign after option '", on_missing_equal},
	{"missing title for section '", on_missing_title},
	{"missing opening brace for section '", on_missing_brace},
	{"unexpected token '", on_unexpected},
	{"unexpected closing brace", on_stray_brace},
	{"premature end of file", on_premature_end},
};

static void
on_error(cfg_t *cfg, const char *fmt, va_list args)
{
	struct reader *r = current;
	char text[512];
	size_t i, n;

	if (r->must_retry || r->is_failed)
		return; /* later errors may be consequences of the first */
	vsnprintf(text, sizeof text, fmt, args);
	for (i = 0; i < ARRAY_LEN(messages); i++) {
		n = strlen(messages[i].begin);
		if (strncmp(text, messages[i].begin, n) == 0) {
			if (text[strlen(text) - 1] == '\'')
				text[strlen(text) - 1] = '\0';
			messages[i].report(r, (unsigned)cfg->line, text + n);
			return;
		}
	}
	r->is_failed = true;
	conf_error(r->errors, (unsigned)cfg->line, "%s", text);
}

/* --- the values and sections that libconfuse reads --- */

static int
on_begin(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	struct reader *r = current;
	const struct conf_kind *kind = conf_kind_find(cfg->name, innermost(r));
	struct unknown *unknown = kind == NULL ? unknown_find(r, cfg->name, innermost(r)) : NULL;
	struct conf_section *s;

	(void)opt;
	*(const char **)result = text;
	CHECK(r->depth < DEPTH_MAX && (kind != NULL || unknown != NULL));
	if (unknown != NULL)
		conf_error_unknown(r->errors, (unsigned)cfg->line, cfg->name, innermost(r), true);
	s = conf_section_new(kind != NULL ? kind->where : unknown->like, cfg->title,
			     (unsigned)cfg->line);
	r->is_unknown[r->depth] = unknown != NULL;
	r->open[r->depth++] = s;
	r->last = NULL;
	return 0;
}

/* Called for each text; opt->nvalues is 1 for the first text after an `=`. */
static int
on_text(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	struct reader *r = current;
	struct conf_section *s = r->open[r->depth - 1];
	const struct key *key = settings_key_find(opt->name, s->where);
	struct conf_value *v = key == NULL ? NULL : value_of(s, key);
	unsigned line = (unsigned)cfg->line;

	*(const char **)result = text;
	if (opt->nvalues == 1)
		r->is_ignored = key == NULL || v != NULL;
	if (opt->nvalues == 1 && key == NULL)
		conf_error_unknown(r->errors, line, opt->name, s->where, false);
	else if (opt->nvalues == 1 && v != NULL)
		conf_error(r->errors, line, "%s: expected it once, but line %u sets it already",
			   opt->name, v->line);
	r->last = key;
	if (!r->is_ignored)
		conf_add_text(v != NULL ? v : conf_add_value(s, key, line), text, strlen(text),
			      line);
	return 0;
}

/* Add the keys whose list is empty: libconfuse calls on_text() for none of these. */
static void
add_empty_lists(struct conf_section *s, const cfg_t *cfg)
{
	const cfg_opt_t *o;

	for (o = cfg->opts; o->name != NULL; o++) {
		const struct key *key = settings_key_find(o->name, s->where);

		if (o->type == CFGT_STR && (o->flags & CFGF_MODIFIED) != 0 && o->nvalues == 0 &&
		    key != NULL && value_of(s, key) == NULL)
			conf_add_value(s, key, s->line);
	}
}

/* Move the innermost open section into the one that contains it. */
static void
close_section(struct reader *r)
{
	struct conf_section *s = r->open[--r->depth], *parent = r->open[r->depth - 1];

	if (r->is_unknown[r->depth])
		conf_free(&s);
	else
		conf_insert_section(parent, parent->sections_n, &s);
	r->last = NULL;
}

static int
on_end(cfg_t *cfg, cfg_opt_t *opt)
{
	unsigned last = cfg_opt_size(opt) - 1;

	(void)cfg;
	add_empty_lists(current->open[current->depth - 1], cfg_opt_getnsec(opt, last));
	close_section(current);
	cfg_opt_rmnsec(opt, last);
	return 0;
}

/* --- the options that libconfuse accepts --- */

enum level { LEVEL_FILE, LEVEL_SECTION, LEVEL_UNKNOWN };

static cfg_opt_t *options_of(const struct reader *, unsigned where, enum level);

static cfg_opt_t
section_option(const struct reader *r, const char *name, unsigned where, bool has_title,
	       enum level level)
{
	cfg_opt_t o = CFG_SEC(name, options_of(r, where, level),
			      CFGF_MULTI | (has_title ? CFGF_TITLE : 0));

	o.validcb = on_end;
	return o;
}

/* Every key is declared as a list, so that a list where one value is expected does not stop
 * the parser; settings.c reports it. */
static cfg_opt_t *
options_of(const struct reader *r, unsigned where, enum level level)
{
	enum level inner = MAX(level, LEVEL_SECTION);
	size_t n = 0, i;
	cfg_opt_t *opts = xcalloc(settings_keys_n + conf_kinds_n + UNKNOWN_MAX + 2, sizeof *opts);

	if (level != LEVEL_FILE)
		opts[n++] = (cfg_opt_t)CFG_STR_LIST_CB(BEGIN_OPTION, "{x}", CFGF_NONE, on_begin);
	for (i = 0; i < settings_keys_n; i++)
		if ((settings_keys[i].where & where) != 0)
			opts[n++] = (cfg_opt_t)CFG_STR_LIST_CB(settings_keys[i].name, NULL,
							       CFGF_NODEFAULT, on_text);
	for (i = 0; i < conf_kinds_n; i++)
		if (conf_kinds[i].parent == where)
			opts[n++] = section_option(r, conf_kinds[i].name, conf_kinds[i].where,
						   conf_kinds[i].has_title, inner);
	for (i = 0; i < r->unknown_n; i++) {
		const struct unknown *s = &r->unknown[i];

		if (s->where != where || (s->form != AS_VALUE && level == LEVEL_UNKNOWN))
			continue; /* no unknown section within another: the options would grow
				     without bound */
		opts[n++] = s->form == AS_VALUE
				    ? (cfg_opt_t)CFG_STR_LIST_CB(s->name, NULL, CFGF_NODEFAULT,
								 on_text)
				    : section_option(r, s->name, s->like, s->form == AS_TITLED,
						     LEVEL_UNKNOWN);
	}
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

/* --- running the parser --- */

/* Run the parser once; the tree is in r->open[0]. */
static void
parse(struct reader *r)
{
	cfg_opt_t *opts = options_of(r, IN_TOP, LEVEL_FILE);
	cfg_t *cfg = cfg_init(opts, CFGF_NONE);
	FILE *f = fmemopen((void *)(uintptr_t)r->text, r->text_n, "r");

	CHECK(cfg != NULL && f != NULL);
	r->must_retry = r->is_failed = false;
	r->work += r->text_n;
	conf_errors_cut(r->errors, r->errors_n);
	cfg_set_error_function(cfg, on_error);
	if (cfg_parse_fp(cfg, f) != CFG_SUCCESS && !r->must_retry && !r->is_failed) {
		r->is_failed = true;
		conf_error(r->errors, (unsigned)cfg->line, "cannot be parsed");
	}
	while (r->depth > 1)
		close_section(r);
	if (!r->is_failed)
		add_empty_lists(r->open[0], cfg);
	fclose(f);
	cfg_free(cfg);
	options_free(opts);
}

static struct conf_section *
parse_all(struct reader *r)
{
	struct conf_section *root = NULL;

	current = r;
	do {
		conf_free(&root);
		root = conf_section_new(IN_TOP, NULL, 0);
		r->open[0] = root;
		r->depth = 1;
		r->last = NULL;
		parse(r);
	} while (r->must_retry);
	current = NULL;
	while (r->unknown_n > 0)
		free(r->unknown[--r->unknown_n].name);
	return root;
}

static const char *
kind_name(unsigned where)
{
	size_t i;

	for (i = 0; conf_kinds[i].where != where; i++)
		;
	return conf_kinds[i].name;
}

/* Report sections that repeat an earlier one of their kind and name; libconfuse accepts
 * them.  Only the first counts. */
static void
check_repeated(struct conf_section *s, struct conf_errors *errors)
{
	struct hmap seen;
	size_t i;

	hmap_init(&seen);
	for (i = 0; i < s->sections_n; i++) {
		struct conf_section *sub = &s->sections[i], *first;
		const char *kind = kind_name(sub->where);
		char *name = sub->title == NULL ? xstrdup(kind)
						: xasprintf("%s \"%s\"", kind, sub->title);

		check_repeated(sub, errors);
		first = hmap_put(&seen, name, sub);
		if (first != NULL) {
			conf_error(errors, sub->line,
				   "%s: expected it once, but line %u has it already", name,
				   first->line);
			hmap_put(&seen, name, first);
			sub->where = IN_IGNORED;
		}
		free(name);
	}
	hmap_fini(&seen);
}

static struct conf_section *
read_text(struct conf_text *t, struct conf_errors *errors, bool *is_whole)
{
	struct reader r = {.text = t->data,
			   .text_n = t->n,
			   .errors = errors,
			   .errors_n = errors->n,
			   .is_truncated = t->is_truncated};
	struct conf_section *root = NULL;

	*is_whole = false;
	if (t->data != NULL) {
		root = parse_all(&r);
		*is_whole = !r.is_failed && !t->is_truncated;
		check_repeated(root, errors);
	}
	conf_text_fini(t);
	return root;
}

struct conf_section *
conf_read(struct conf_errors *errors, bool *is_whole)
{
	struct conf_text t;

	conf_text_read(&t, errors);
	return read_text(&t, errors, is_whole);
}

struct conf_section *
conf_read_bytes(const char *bytes, size_t n, struct conf_errors *errors, bool *is_whole)
{
	struct conf_text t;

	conf_text_make(&t, bytes, n, errors);
	return read_text(&t, errors, is_whole);
}
