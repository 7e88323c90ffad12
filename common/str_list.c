#include "common/str_list.h"

#include <stdlib.h>
#include <string.h>

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

bool
str_list_equal(const struct str_list *a, const struct str_list *b)
{
	size_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
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
