#include "common/str_list.h"

#include <stdlib.h>

void
str_list_set(struct str_list *l, char *const *v, size_t n)
{
	size_t i;

	str_list_fini(l);
	l->n = n;
	l->v = n == 0 ? NULL : xcalloc(n + 1, sizeof *l->v);
	for (i = 0; i < n; i++)
		l->v[i] = xstrdup(v[i]);
}

void
str_list_take(struct str_list *l, char *text)
{
	l->v = xrealloc(l->v, (l->n + 2) * sizeof *l->v);
	l->v[l->n++] = text;
	l->v[l->n] = NULL;
}

void
str_list_add(struct str_list *l, const char *text)
{
	str_list_take(l, xstrdup(text));
}

void
str_list_fini(struct str_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct str_list){0};
}
