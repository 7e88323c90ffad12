#include "common/metric_groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL "revision"

void
metric_groups_init(struct metric_groups *g, bool is_by_service)
{
	*g = (struct metric_groups){.is_by_service = is_by_service};
	hmap_init(&g->by_name);
}

static void
group_fini(struct metric_group *group)
{
	free(group->name);
	free(group->v);
}

void
metric_groups_fini(struct metric_groups *g)
{
	size_t i;

	for (i = 0; i < g->n; i++)
		group_fini(&g->v[i]);
	free(g->v);
	hmap_fini(&g->by_name);
}

static struct metric_group *
add_group(struct metric_groups *g, const char *name, size_t n)
{
	if (g->n == g->cap) {
		g->cap = MAX(g->cap * 2, (size_t)64);
		g->v = xrealloc(g->v, g->cap * sizeof *g->v);
	}
	g->v[g->n] = (struct metric_group){.name = xstrndup(name, n), .is_idle = true};
	return &g->v[g->n++];
}

static struct metric_group *
group_of_service(struct metric_groups *g, const char *name, size_t n)
{
	uintptr_t index = (uintptr_t)hmap_find_n(&g->by_name, name, n);
	struct metric_group *group;

	if (index > 0)
		return &g->v[index - 1];
	group = add_group(g, name, n);
	hmap_put(&g->by_name, group->name, (void *)g->n);
	return group;
}

void
metric_groups_add(struct metric_groups *g, const char *name, void *revision, bool is_idle)
{
	struct metric_group *group = g->is_by_service
					     ? group_of_service(g, name, strcspn(name, "/"))
					     : add_group(g, name, strlen(name));

	group->v = xrealloc(group->v, (group->n + 1) * sizeof *group->v);
	group->v[group->n++] = revision;
	group->is_idle &= is_idle;
}

void
metric_groups_drop_idle(struct metric_groups *g)
{
	size_t i, n = 0;

	for (i = 0; i < g->n; i++)
		if (g->v[i].is_idle)
			group_fini(&g->v[i]);
		else
			g->v[n++] = g->v[i];
	g->n = n;
}

const struct metric_def *
metric_groups_head(struct metric_groups *g, struct strbuf *b, const struct metric_def *def)
{
	metric_head(b, def);
	if (!g->is_by_service)
		return def;
	CHECK(strncmp(def->labels, LABEL, strlen(LABEL)) == 0);
	snprintf(g->labels, sizeof g->labels, "service%s", def->labels + strlen(LABEL));
	g->def = *def;
	g->def.labels = g->labels;
	return &g->def;
}
