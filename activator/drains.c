#include "activator/drains.h"

#include <stdlib.h>
#include <string.h>

#include "activator/limiter.h"

struct drain_token {
	struct list_node node;
	char *token;
	struct revision *rev;	  /* a reference, or NULL … */
	struct instance_set *set; /* … with what the drain closed */
	struct instance *inst;	  /* a reference, or NULL */
	bool is_done;
};

void
drains_init(struct drains *d)
{
	list_init(&d->all);
}

void
drains_fini(struct drains *d)
{
	drains_resume_all(d);
}

static struct drain_token *
add(struct drains *d, const char *token)
{
	struct drain_token *x = xcalloc(1, sizeof *x);

	x->token = xstrdup(token);
	list_push(&d->all, &x->node);
	return x;
}

static void
drop(struct drains *d, struct drain_token *x)
{
	list_remove(&d->all, &x->node);
	instance_unref(&x->inst);
	instance_set_unref(&x->set);
	revision_unref(&x->rev);
	free(x->token);
	free(x);
}

bool
drains_revision(struct drains *d, const char *token, struct revision *rev)
{
	struct drain_token *x;

	if (!limiter_try_drain(rev))
		return false;
	x = add(d, token);
	x->rev = revision_ref(rev);
	x->set = instance_set_ref(rev->set); /* only this thread changes rev->set */
	x->is_done = true;
	return true;
}

bool
drains_instance(struct drains *d, const char *token, struct instance *inst)
{
	struct drain_token *x = add(d, token);

	limiter_close(inst, SLOTS_DRAIN);
	x->inst = instance_ref(inst);
	x->is_done = instance_in_flight(inst) == 0;
	return x->is_done;
}

/* Does another token keep inst closed: as the instance, or, for the drain of a revision, as one
 * of its set? */
static bool
is_shared(const struct drains *d, const struct drain_token *x, const struct instance *inst)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->all, node, tmp) {
		const struct drain_token *other = container_of(node, struct drain_token, node);

		if (other == x || other->rev != x->rev)
			continue;
		if (x->rev == NULL ? other->inst == inst : instance_set_holds(other->set, inst))
			return true;
	}
	return false;
}

static void
resume_revision(struct drains *d, const struct drain_token *x)
{
	struct instance **v = xcalloc(x->set->n, sizeof(struct instance *));
	struct instance_set *set;
	uint32_t i, n = 0;

	for (i = 0; i < x->set->n; i++)
		if (!is_shared(d, x, x->set->v[i]))
			v[n++] = x->set->v[i];
	set = instance_set_new(v, n);
	free(v);
	limiter_resume(x->rev, set);
	instance_set_unref(&set);
}

static void
resume(struct drains *d, struct drain_token *x)
{
	if (x->rev != NULL)
		resume_revision(d, x);
	else if (!is_shared(d, x, x->inst))
		limiter_open(x->inst, SLOTS_DRAIN);
	drop(d, x);
}

void
drains_resume(struct drains *d, const char *token)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->all, node, tmp) {
		struct drain_token *x = container_of(node, struct drain_token, node);

		if (strcmp(x->token, token) == 0) {
			resume(d, x);
			return;
		}
	}
}

void
drains_resume_all(struct drains *d)
{
	struct list_node *node;

	while ((node = list_first(&d->all)) != NULL)
		resume(d, container_of(node, struct drain_token, node));
}

size_t
drains_poll(struct drains *d, void (*fn)(const char *token, void *arg), void *arg)
{
	struct list_node *node, *tmp;
	size_t pending = 0;

	LIST_FOREACH(&d->all, node, tmp) {
		struct drain_token *x = container_of(node, struct drain_token, node);

		if (!x->is_done && instance_in_flight(x->inst) == 0) {
			x->is_done = true;
			fn(x->token, arg);
		}
		pending += !x->is_done;
	}
	return pending;
}
