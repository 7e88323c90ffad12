#include "common/conf_tree.h"

#include <stdlib.h>
#include <string.h>

#include "common/text.h"

struct conf_section *
conf_section_new(unsigned where, const char *title, unsigned line)
{
	struct conf_section *s = xcalloc(1, sizeof *s);

	*s = (struct conf_section){.where = where, .title = text_copy(title), .line = line};
	return s;
}

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

struct conf_section *
conf_insert_section(struct conf_section *s, size_t i, struct conf_section **sub)
{
	CHECK(i <= s->sections_n);
	s->sections = xrealloc(s->sections, (s->sections_n + 1) * sizeof *s->sections);
	memmove(&s->sections[i + 1], &s->sections[i], (s->sections_n++ - i) * sizeof *s->sections);
	s->sections[i] = **sub;
	free(*sub);
	*sub = NULL;
	return &s->sections[i];
}

struct conf_value *
conf_add_value(struct conf_section *s, const struct key *key, unsigned line)
{
	s->values = xrealloc(s->values, (s->values_n + 1) * sizeof *s->values);
	s->values[s->values_n] = (struct conf_value){.key = key, .line = line};
	return &s->values[s->values_n++];
}

void
conf_add_text(struct conf_value *v, const char *text, size_t n, unsigned line)
{
	v->texts = xrealloc(v->texts, (v->n + 1) * sizeof *v->texts);
	v->lines = xrealloc(v->lines, (v->n + 1) * sizeof *v->lines);
	v->lines[v->n] = line;
	v->texts[v->n++] = xstrndup(text, n);
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
conf_section_count(const struct conf_section *s, unsigned where)
{
	size_t i, n = 0;

	for (i = 0; i < s->sections_n; i++)
		n += s->sections[i].where == where;
	return n;
}
