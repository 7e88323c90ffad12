#include "activator/drains.h"

#include <stdlib.h>
#include <string.h>

#include "activator/limiter.h"

struct drain_token {
	struct list_node node;
	char *token;
	struct revision *rev;  /* a reference, or NULL */
	struct instance *inst; /* a reference, or NULL */
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

/* Does another token keep the same revision or instance closed? */
static bool
is_shared(const struct drains *d, const struct drain_token *x)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->all, node, tmp) {
		const struct drain_token *other = container_of(node, struct drain_token, node);

		if (other != x && other->rev == x->rev && other->inst == x->inst)
			return true;
	}
	return false;
}

static void
resume(struct drains *d, struct drain_token *x)
{
	if (is_shared(d, x))
		drop(d, x);
	else if (x->rev != NULL) {
		struct revision *rev = revision_ref(x->rev);

		drop(d, x);
		limiter_resume(rev);
		revision_unref(&rev);
	} else {
		struct instance *inst = instance_ref(x->inst);

		drop(d, x);
		limiter_open(inst, SLOTS_DRAIN);
		instance_unref(&inst);
	}
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

/* Does anything that x closed still exist? */
static bool
closes_something(const struct drain_token *x)
{
	uint32_t i;

	if (x->inst != NULL)
		return x->inst->is_listed;
	for (i = 0; i < x->rev->set->n; i++) /* only this thread changes set */
		if (instance_is_closed_by(x->rev->set->v[i], SLOTS_REV_DRAIN))
			return true;
	return false;
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
		if (x->is_done && !closes_something(x))
			drop(d, x);
	}
	return pending;
}
