#include "autoscaler/reconcile/scaled_set.h"

void
scaled_set_init(struct scaled_set *s)
{
	hmap_init(&s->by_name);
	hmap_init(&s->by_instance);
	list_init(&s->active);
	list_init(&s->marked);
	list_init(&s->planning);
}

void
scaled_set_fini(struct scaled_set *s)
{
	CHECK(s->by_name.n == 0 && s->by_instance.n == 0);
	hmap_fini(&s->by_instance);
	hmap_fini(&s->by_name);
}

void
scaled_set_add(struct scaled_set *s, struct scaled_revision *rev)
{
	CHECK(hmap_put(&s->by_name, scaled_name(rev), rev) == NULL);
}

/* Another revision may have taken an instance's id over by now. */
static void
unmap_instances(struct scaled_set *s, struct scaled_revision *rev)
{
	size_t i;

	for (i = 0; i < rev->instances.n; i++)
		if (hmap_find(&s->by_instance, rev->instances.v[i].id) == rev)
			hmap_remove(&s->by_instance, rev->instances.v[i].id);
}

void
scaled_set_remove(struct scaled_set *s, struct scaled_revision *rev)
{
	unmap_instances(s, rev);
	if (list_linked(&rev->active))
		list_remove(&s->active, &rev->active);
	if (list_linked(&rev->marked))
		list_remove(&s->marked, &rev->marked);
	if (list_linked(&rev->planning))
		list_remove(&s->planning, &rev->planning);
	CHECK(hmap_remove(&s->by_name, scaled_name(rev)) == rev);
	scaled_free(&rev);
}

struct scaled_revision *
scaled_set_find(const struct scaled_set *s, const char *name)
{
	return hmap_find(&s->by_name, name);
}

struct scaled_revision *
scaled_set_find_instance(const struct scaled_set *s, const char *id)
{
	return hmap_find(&s->by_instance, id);
}

struct scaled_revision *
scaled_set_next(const struct scaled_set *s, size_t *at)
{
	const char *key;
	void *value;

	return hmap_next(&s->by_name, at, &key, &value) ? value : NULL;
}

void
scaled_set_mark_to_act(struct scaled_set *s, struct scaled_revision *rev)
{
	if (!list_linked(&rev->marked))
		list_push(&s->marked, &rev->marked);
	if (!list_linked(&rev->active))
		list_push(&s->active, &rev->active);
}

void
scaled_set_mark_undecided(struct scaled_set *s, struct scaled_revision *rev)
{
	rev->is_undecided = true;
	scaled_set_mark_to_act(s, rev);
}

void
scaled_set_mark_to_plan(struct scaled_set *s, struct scaled_revision *rev)
{
	if (!list_linked(&rev->planning))
		list_push(&s->planning, &rev->planning);
}

void
scaled_set_mark_active(struct scaled_set *s)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->active, node, tmp)
		scaled_set_mark_undecided(s, container_of(node, struct scaled_revision, active));
}

void
scaled_set_take_view(struct scaled_set *s, struct scaled_revision *rev,
		     const struct driver_view *view, int64_t now_ns)
{
	size_t i;

	unmap_instances(s, rev);
	scaled_take_view(rev, view, now_ns);
	for (i = 0; i < rev->instances.n; i++)
		hmap_put(&s->by_instance, rev->instances.v[i].id, rev);
}
