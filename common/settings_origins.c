#include "common/settings_origins.h"

#include <string.h>

void
settings_origins_put(struct settings_origins *o, struct settings_origin origin)
{
	size_t i = 0;

	while (i < o->n && o->v[i].key != origin.key)
		i++;
	if (i == o->n) {
		o->v = xrealloc(o->v, (o->n + 1) * sizeof *o->v);
		o->n++;
	}
	o->v[i] = origin;
}

const struct settings_origin *
settings_origins_find(const struct settings_origins *o, const struct key *key)
{
	size_t i;

	for (i = 0; i < o->n; i++)
		if (o->v[i].key == key)
			return &o->v[i];
	return NULL;
}

unsigned
settings_origins_line(const struct settings_origins *o, const char *key, unsigned otherwise)
{
	size_t i;

	for (i = 0; i < o->n; i++)
		if (strcmp(o->v[i].key->name, key) == 0)
			return o->v[i].line;
	return otherwise;
}
