#include "activator/snapshot.h"

#include <stdlib.h>

struct snapshot *
snapshot_new(struct routes *routes)
{
	struct snapshot *s = xmalloc(sizeof *s);

	*s = (struct snapshot){.routes = routes, .users = 1};
	return s;
}

struct snapshot *
snapshot_ref(struct snapshot *s)
{
	s->users++;
	return s;
}

void
snapshot_unref(struct snapshot **sp)
{
	struct snapshot *s = *sp;

	*sp = NULL;
	if (s == NULL || --s->users > 0)
		return;
	routes_unref(&s->routes);
	free(s);
}
