#include "common/conf.h"

#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf_names.h"
#include "common/conf_text.h"
#include "common/hmap.h"
#include "common/strbuf.h"
#include "common/text.h"

/* libconfuse builds a tree of its own that knows no lines and costs 50 KB a service.
 * So ours is built from its callbacks, and each of its sections is dropped as it ends.
 * It calls nobody when a section begins: but it parses defaults then, and BEGIN is an
 * option with one. */
#define BEGIN "\1"
#define DEPTH_MAX 8
#define STRANGERS_MAX CONF_ERRORS_TOLD
#define WORK_MAX ((size_t)64 << 20) /* bytes that may be parsed, all runs together */

/* It stops at the first name that it does not know: each is remembered, told to it as
 * something to step over, and the text is parsed again. */
struct stranger {
	char *name;
	unsigned where;				     /* in what it stands */
	enum { AS_VALUE, AS_TITLED, AS_PLAIN } form; /* tried in this order */
	unsigned like;				     /* a section: what to expect in it */
};

struct reader {
	const char *text;
	size_t text_n;
	struct conf_errors *errors;
	size_t errors_n; /* that were there before the parser */
	struct stranger strangers[STRANGERS_MAX];
	size_t strangers_n;
	size_t work;
	bool must_retry, is_failed;
	bool is_cut; /* an end of file in the middle was told */

	struct conf_section *open[DEPTH_MAX]; /* from the file itself inward */
	bool is_strange[DEPTH_MAX];	      /* to be dropped at its end */
	size_t depth;
	bool is_ignored;	/* the texts that come now: their key was set before */
	const struct key *last; /* key that last got a text */
};

static struct reader *current; /* libconfuse's callbacks carry no argument */

/* --- the tree --- */

static void
value_fini(struct conf_value *v)
{
	size_t i;

	for (i = 0; i < v->n; i++)
		free(v->texts[i]);
	free(v->texts);
	free(v->lines);
}

static void
section_fini(struct conf_section *s)
{
	size_t i;

	for (i = 0; i < s->values_n; i++)
		value_fini(&s->values[i]);
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

static struct conf_value *
value_of(const struct conf_section *s, const struct key *key)
{
	size_t i;

	for (i = 0; i < s->values_n; i++)
		if (s->values[i].key == key)
			return &s->values[i];
	return NULL;
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

struct conf_section *
conf_section_at(const struct conf_section *s, unsigned where, size_t n)
{
	size_t i;

	for (i = 0; i < s->sections_n; i++)
		if (s->sections[i].where == where && n-- == 0)
			return &s->sections[i];
	return NULL;
}

size_t
conf_sections(const struct conf_section *s, unsigned where)
{
	size_t i, n = 0;

	for (i = 0; i < s->sections_n; i++)
		n += s->sections[i].where == where;
	return n;
}

static struct conf_value *
value_add(struct conf_section *s, const struct key *key, unsigned line)
{
	s->values = xrealloc(s->values, (s->values_n + 1) * sizeof *s->values);
	s->values[s->values_n] = (struct conf_value){.key = key, .line = line};
	return &s->values[s->values_n++];
}

static void
value_add_text(struct conf_value *v, const char *text, unsigned line)
{
	v->texts = xrealloc(v->texts, (v->n + 1) * sizeof *v->texts);
	v->lines = xrealloc(v->lines, (v->n + 1) * sizeof *v->lines);
	v->lines[v->n] = line;
	v->texts[v->n++] = xstrdup(text);
}

/* --- names that are not known --- */

static struct stranger *
stranger_find(struct reader *r, const char *name, unsigned where)
{
	size_t i;

	for (i = 0; i < r->strangers_n; i++)
		if (r->strangers[i].where == where && strcmp(r->strangers[i].name, name) == 0)
			return &r->strangers[i];
	return NULL;
}

static void
stranger_add(struct reader *r, const char *name, unsigned where, unsigned line)
{
	const struct stranger *known = stranger_find(r, name, where);

	r->must_retry = r->strangers_n < STRANGERS_MAX && r->work < WORK_MAX && known == NULL;
	r->is_failed = !r->must_retry;
	if (r->is_failed)
		conf_tell_unknown(r->errors, line, name, where,
				  known != NULL && known->form != AS_VALUE);
	else
		r->strangers[r->strangers_n++] = (struct stranger){.name = xstrdup(name),
								   .where = where};
}

/* No `=` behind it: a section then, or a word too many.  False: nothing left to try. */
static bool
stranger_reform(struct reader *r, struct stranger *s, unsigned like)
{
	s->form++;
	s->like = like;
	r->must_retry = s->form <= AS_PLAIN && like != 0 && r->work < WORK_MAX;
	return r->must_retry;
}

/* --- what libconfuse says --- */

static unsigned
innermost(const struct reader *r)
{
	return r->open[r->depth - 1]->where;
}

static void
on_missing_equal(struct reader *r, unsigned line, const char *name)
{
	struct stranger *s = stranger_find(r, name, innermost(r));
	const struct conf_kind *like = conf_kind_nearest(name);
	size_t n = strlen(name);

	if (s != NULL && s->form == AS_VALUE &&
	    stranger_reform(r, s, like == NULL ? 0 : like->where))
		return;
	r->is_failed = true;
	if (strcmp(name, "include") == 0)
		conf_error(r->errors, line, "include: expected all settings in one file");
	else if (n > 1 && name[n - 1] == ':')
		conf_error(r->errors, line, "%.*s: expected \"=\", got \":\"", (int)n - 1, name);
	else if (s != NULL && like == NULL)
		conf_tell_unknown(r->errors, line, name, s->where, false);
	else
		conf_error(r->errors, line, "%s: expected \"=\" and a value",
			   conf_named(name, (char[CONF_QUOTE_MAX]){0}));
}

static void
on_missing_title(struct reader *r, unsigned line, const char *name)
{
	struct stranger *s = stranger_find(r, name, innermost(r));

	if (s != NULL && s->form == AS_TITLED && stranger_reform(r, s, s->like))
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
	if (stranger_find(r, name, innermost(r)) != NULL)
		conf_tell_unknown(r->errors, line, name, innermost(r), false);
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
	if (!r->is_cut)
		conf_error(r->errors, line, "expected a value, got the end of the file");
}

static void
on_stray_brace(struct reader *r, unsigned line, const char *unused)
{
	(void)unused;
	r->is_failed = true;
	conf_error(r->errors, line, "expected a key or a section, got a \"}\" that closes nothing");
}

/* It takes `|` and `=` in a name for a way to somewhere else. */
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
	stranger_add(r, name, innermost(r), line);
}

/* Its messages, as far as the name in them. */
static const struct {
	const char *begin;
	void (*tell)(struct reader *, unsigned line, const char *name);
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
		return; /* what follows the first is its consequence */
	vsnprintf(text, sizeof text, fmt, args);
	for (i = 0; i < ARRAY_LEN(messages); i++) {
		n = strlen(messages[i].begin);
		if (strncmp(text, messages[i].begin, n) == 0) {
			if (text[strlen(text) - 1] == '\'')
				text[strlen(text) - 1] = '\0';
			messages[i].tell(r, (unsigned)cfg->line, text + n);
			return;
		}
	}
	r->is_failed = true;
	conf_error(r->errors, (unsigned)cfg->line, "%s", text);
}

/* --- what libconfuse reads --- */

static int
on_begin(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	struct reader *r = current;
	const struct conf_kind *kind = conf_kind_find(cfg->name, innermost(r));
	struct stranger *strange = kind == NULL ? stranger_find(r, cfg->name, innermost(r)) : NULL;
	struct conf_section *s;

	(void)opt;
	*(const char **)result = text;
	CHECK(r->depth < DEPTH_MAX && (kind != NULL || strange != NULL));
	if (strange != NULL)
		conf_tell_unknown(r->errors, (unsigned)cfg->line, cfg->name, innermost(r), true);
	s = xcalloc(1, sizeof *s);
	s->where = kind != NULL ? kind->where : strange->like;
	s->title = text_copy(cfg->title);
	s->line = (unsigned)cfg->line;
	r->is_strange[r->depth] = strange != NULL;
	r->open[r->depth++] = s;
	r->last = NULL;
	return 0;
}

/* Called for each text; nvalues is 1 for the first behind an `=`. */
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
		conf_tell_unknown(r->errors, line, opt->name, s->where, false);
	else if (opt->nvalues == 1 && v != NULL)
		conf_error(r->errors, line, "%s: expected it once, but line %u sets it already",
			   opt->name, v->line);
	r->last = key;
	if (!r->is_ignored)
		value_add_text(v != NULL ? v : value_add(s, key, line), text, line);
	return 0;
}

/* An empty list calls nobody. */
static void
add_empty_lists(struct conf_section *s, const cfg_t *cfg)
{
	const cfg_opt_t *o;

	for (o = cfg->opts; o->name != NULL; o++) {
		const struct key *key = settings_key_find(o->name, s->where);

		if (o->type == CFGT_STR && (o->flags & CFGF_MODIFIED) != 0 && o->nvalues == 0 &&
		    key != NULL && value_of(s, key) == NULL)
			value_add(s, key, s->line);
	}
}

/* The innermost open section goes into the one around it. */
static void
close_section(struct reader *r)
{
	struct conf_section *s = r->open[--r->depth], *parent = r->open[r->depth - 1];

	if (r->is_strange[r->depth]) {
		section_fini(s);
	} else {
		parent->sections = xrealloc(parent->sections, (parent->sections_n + 1) * sizeof *s);
		parent->sections[parent->sections_n++] = *s;
	}
	free(s);
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

/* --- what libconfuse is told to expect --- */

enum level { LEVEL_FILE, LEVEL_SECTION, LEVEL_STRANGE };

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

/* Any key may be given as a list, so that the parser goes on and we can say what is
 * wrong with it. */
static cfg_opt_t *
options_of(const struct reader *r, unsigned where, enum level level)
{
	enum level inner = MAX(level, LEVEL_SECTION);
	size_t n = 0, i;
	cfg_opt_t *opts = xcalloc(settings_keys_n + conf_kinds_n + STRANGERS_MAX + 2, sizeof *opts);

	if (level != LEVEL_FILE)
		opts[n++] = (cfg_opt_t)CFG_STR_LIST_CB(BEGIN, "{x}", CFGF_NONE, on_begin);
	for (i = 0; i < settings_keys_n; i++)
		if ((settings_keys[i].where & where) != 0)
			opts[n++] = (cfg_opt_t)CFG_STR_LIST_CB(settings_keys[i].name, NULL,
							       CFGF_NODEFAULT, on_text);
	for (i = 0; i < conf_kinds_n; i++)
		if (conf_kinds[i].parent == where)
			opts[n++] = section_option(r, conf_kinds[i].name, conf_kinds[i].where,
						   conf_kinds[i].has_title, inner);
	for (i = 0; i < r->strangers_n; i++) {
		const struct stranger *s = &r->strangers[i];

		if (s->where != where || (s->form != AS_VALUE && level == LEVEL_STRANGE))
			continue; /* one in another would make them many */
		opts[n++] = s->form == AS_VALUE
				    ? (cfg_opt_t)CFG_STR_LIST_CB(s->name, NULL, CFGF_NODEFAULT,
								 on_text)
				    : section_option(r, s->name, s->like, s->form == AS_TITLED,
						     LEVEL_STRANGE);
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

/* --- the runs --- */

/* One run of the parser; what it read is in r->open[0]. */
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
		root = xcalloc(1, sizeof *root);
		root->where = IN_TOP;
		r->open[0] = root;
		r->depth = 1;
		r->last = NULL;
		parse(r);
	} while (r->must_retry);
	current = NULL;
	while (r->strangers_n > 0)
		free(r->strangers[--r->strangers_n].name);
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

/* Sections of one kind and name, which libconfuse lets pass: only the first counts. */
static void
check_twice(struct conf_section *s, struct conf_errors *errors)
{
	struct hmap seen;
	size_t i;

	hmap_init(&seen);
	for (i = 0; i < s->sections_n; i++) {
		struct conf_section *sub = &s->sections[i], *first;
		const char *kind = kind_name(sub->where);
		char *name = sub->title == NULL ? xstrdup(kind)
						: xasprintf("%s \"%s\"", kind, sub->title);

		check_twice(sub, errors);
		first = hmap_put(&seen, name, sub);
		if (first != NULL) {
			conf_error(errors, sub->line,
				   "%s: expected it once, but line %u has it already", name,
				   first->line);
			hmap_put(&seen, name, first);
			sub->where = IN_NOTHING;
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
			   .is_cut = t->is_cut};
	struct conf_section *root = NULL;

	*is_whole = false;
	if (t->data != NULL) {
		root = parse_all(&r);
		*is_whole = !r.is_failed && !t->is_cut;
		check_twice(root, errors);
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
