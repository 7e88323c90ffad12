#include "autoscaler/kubernetes/kube_selector.h"

#include <stdlib.h>
#include <string.h>

#include "common/hmap.h"
#include "common/strbuf.h"

enum op { OP_IN, OP_NOT_IN, OP_EXISTS, OP_NOT_EXISTS };

struct requirement {
	char *key;
	enum op op;
	char **values;
	size_t n;
};

struct kube_selector {
	char *text;
	struct requirement *v;
	size_t n;
};

/* --- parsing --- */

static void
requirement_fini(struct requirement *r)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		free(r->values[i]);
	free(r->values);
	free(r->key);
}

void
kube_selector_free(struct kube_selector **sp)
{
	struct kube_selector *s = *sp;
	size_t i;

	*sp = NULL;
	if (s == NULL)
		return;
	for (i = 0; i < s->n; i++)
		requirement_fini(&s->v[i]);
	free(s->v);
	free(s->text);
	free(s);
}

static const char *
skip_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./"

/* A key or a value, the caller's; *s moves past it and the blanks behind it. */
static char *
take_name(const char **s)
{
	size_t n = strspn(*s, NAME_BYTES);
	char *name = xstrndup(*s, n);

	*s = skip_blanks(*s + n);
	return name;
}

static void
add_value(struct requirement *r, char *value)
{
	r->values = xrealloc(r->values, (r->n + 1) * sizeof *r->values);
	r->values[r->n++] = value;
}

static bool
take_word(const char **s, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*s, word, n) != 0 || strchr(NAME_BYTES, (*s)[n]) != NULL)
		return false;
	*s = skip_blanks(*s + n);
	return true;
}

/* "(a,b)" */
static bool
take_values(struct requirement *r, const char **s)
{
	if (**s != '(')
		return false;
	do {
		*s = skip_blanks(*s + 1);
		add_value(r, take_name(s));
	} while (**s == ',');
	if (**s != ')')
		return false;
	*s = skip_blanks(*s + 1);
	return true;
}

/* The operator behind a key, and its values. */
static bool
take_op(struct requirement *r, const char **s)
{
	if (take_word(s, "in"))
		return take_values(r, s);
	if (take_word(s, "notin")) {
		r->op = OP_NOT_IN;
		return take_values(r, s);
	}
	if (**s == '!' && (*s)[1] == '=')
		r->op = OP_NOT_IN;
	else if (**s != '=') {
		r->op = OP_EXISTS;
		return true;
	}
	*s = skip_blanks(*s + strspn(*s, "!="));
	add_value(r, take_name(s));
	return true;
}

static bool
take_requirement(struct requirement *r, const char **s)
{
	*s = skip_blanks(*s);
	if (**s == '!') {
		*s = skip_blanks(*s + 1);
		r->op = OP_NOT_EXISTS;
	}
	r->key = take_name(s);
	if (r->key[0] == '\0')
		return false;
	return r->op == OP_NOT_EXISTS || take_op(r, s);
}

struct kube_selector *
kube_selector_parse(const char *text, struct err *e)
{
	struct kube_selector *s = xcalloc(1, sizeof *s);
	const char *at = text;
	bool is_right;

	s->text = xstrdup(text);
	do {
		s->v = xrealloc(s->v, (s->n + 1) * sizeof *s->v);
		s->v[s->n] = (struct requirement){.op = OP_IN};
		is_right = take_requirement(&s->v[s->n++], &at);
	} while (is_right && *at == ',' && *++at != '\0');
	if (is_right && *at == '\0')
		return s;
	(void)err_set(e, 0, "expected a label selector, got \"%s\"", text);
	kube_selector_free(&s);
	return NULL;
}

const char *
kube_selector_text(const struct kube_selector *s)
{
	return s->text;
}

/* --- matching --- */

static bool
has_value(const struct requirement *r, const char *value)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (strcmp(r->values[i], value) == 0)
			return true;
	return false;
}

static bool
requirement_matches(const struct requirement *r, const char *value)
{
	switch (r->op) {
	case OP_IN:
		return value != NULL && has_value(r, value);
	case OP_NOT_IN:
		return value == NULL || !has_value(r, value);
	case OP_EXISTS:
		return value != NULL;
	default:
		return value == NULL;
	}
}

bool
kube_selector_matches(const struct kube_selector *s,
		      const char *(*label)(const void *ctx, const char *key), const void *ctx)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (!requirement_matches(&s->v[i], label(ctx, s->v[i].key)))
			return false;
	return true;
}

/* --- joining --- */

/* The selectors that have a requirement on one key. */
struct group {
	size_t selectors; /* how many */
	char **values;
	size_t n;
};

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sort, and free those that occur twice; returns how many are left. */
static size_t
sort_texts(char **v, size_t n)
{
	size_t i, unique_n = 0;

	if (n > 1)
		qsort(v, n, sizeof *v, compare_texts);
	for (i = 0; i < n; i++) {
		if (unique_n > 0 && strcmp(v[unique_n - 1], v[i]) == 0)
			free(v[i]);
		else
			v[unique_n++] = v[i];
	}
	return unique_n;
}

static void
count_keys(struct hmap *groups, const struct kube_selector *const *v, size_t v_n)
{
	size_t i, j;

	for (i = 0; i < v_n; i++)
		for (j = 0; j < v[i]->n; j++) {
			struct group *g = hmap_find(groups, v[i]->v[j].key);

			if (v[i]->v[j].op != OP_IN)
				continue;
			if (g == NULL) {
				g = xcalloc(1, sizeof *g);
				hmap_put(groups, v[i]->v[j].key, g);
			}
			g->selectors++;
		}
}

/* The requirement of s whose key most other selectors have, too; NULL: it shares none. */
static const struct requirement *
best_requirement(const struct hmap *groups, const struct kube_selector *s)
{
	const struct requirement *best = NULL;
	size_t most = 1, i;

	for (i = 0; i < s->n; i++) {
		const struct group *g = hmap_find(groups, s->v[i].key);

		if (s->v[i].op != OP_IN || g->selectors < most ||
		    (best != NULL && g->selectors == most && strcmp(s->v[i].key, best->key) >= 0))
			continue;
		best = &s->v[i];
		most = g->selectors;
	}
	return most > 1 ? best : NULL;
}

static void
join(struct group *g, const struct requirement *r)
{
	size_t i;

	g->values = xrealloc(g->values, (g->n + r->n) * sizeof *g->values);
	for (i = 0; i < r->n; i++)
		g->values[g->n++] = xstrdup(r->values[i]);
}

/* "key in (…)", or "key"; frees the values of the group. */
static char *
group_text(const char *key, struct group *g, size_t longest)
{
	struct strbuf out;
	bool fits;
	size_t i;

	strbuf_init(&out, longest);
	g->n = sort_texts(g->values, g->n);
	fits = strbuf_addf(&out, "%s in (", key) == 0;
	for (i = 0; i < g->n; i++) {
		fits = fits && strbuf_addf(&out, "%s%s", i == 0 ? "" : ",", g->values[i]) == 0;
		free(g->values[i]);
	}
	fits = fits && strbuf_adds(&out, ")") == 0;
	free(g->values);
	if (fits)
		return strbuf_take(&out);
	strbuf_fini(&out);
	return xstrdup(key);
}

char **
kube_selector_cover(const struct kube_selector *const *v, size_t v_n, size_t longest, size_t *n)
{
	char **texts = xcalloc(v_n + 1, sizeof *texts);
	struct hmap groups;
	const char *key;
	void *value;
	size_t i, at = 0;

	*n = 0;
	hmap_init(&groups);
	count_keys(&groups, v, v_n);
	for (i = 0; i < v_n; i++) {
		const struct requirement *r = best_requirement(&groups, v[i]);

		if (r != NULL)
			join(hmap_find(&groups, r->key), r);
		else
			texts[(*n)++] = xstrdup(v[i]->text);
	}
	while (hmap_next(&groups, &at, &key, &value)) {
		struct group *g = value;

		if (g->n > 0)
			texts[(*n)++] = group_text(key, g, longest);
		free(g);
	}
	hmap_fini(&groups);
	*n = sort_texts(texts, *n);
	return texts;
}
