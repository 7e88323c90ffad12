#include "autoscaler/keeper/leftovers.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "autoscaler/keeper/child.h"
#include "autoscaler/keeper/command.h"
#include "autoscaler/keeper/proctab.h"

static struct child *
by_group(const struct list *all, const struct proctab_entry *p)
{
	struct child *c = child_find_pid(all, p->session);

	return c != NULL ? c : child_find_pid(all, p->group);
}

static struct child *
by_environment(const struct list *all, const struct proctab_entry *p)
{
	char *id = proctab_env(p->pid, COMMAND_INSTANCE);
	struct child *c = id == NULL ? NULL : child_find(all, id);

	free(id);
	return c;
}

/* The only child that had started when p began; NULL: there is none, or more than one. */
static struct child *
by_age(const struct list *all, const struct proctab_entry *p)
{
	struct list_node *node, *tmp;
	struct child *only = NULL;

	LIST_FOREACH(all, node, tmp) {
		struct child *c = container_of(node, struct child, node);

		if (c->start_ticks > p->start_ticks)
			continue;
		if (only != NULL)
			return NULL;
		only = c;
	}
	return only;
}

/* The child that p belongs to; root is the ancestor of p (or p itself) that is a child of the
 * keeper.  A daemon that made a session of its own still has the instance's id in its
 * environment.  If it cleared that as well, the age is all that is left to go by. */
static struct child *
owner(const struct list *all, const struct proctab_entry *p, const struct proctab_entry *root)
{
	struct child *c = by_group(all, p);

	c = c != NULL ? c : by_group(all, root);
	c = c != NULL ? c : by_environment(all, p);
	c = c != NULL ? c : by_environment(all, root);
	return c != NULL ? c : by_age(all, p);
}

/* Put the leftovers of c, one of `all`, into left, which has room for t->n.  Returns how
 * many.  Descendants of a first process that still runs are no leftovers: it may stop them
 * itself. */
static size_t
leftovers_of(const struct list *all, const struct child *c, const struct proctab *t,
	     const struct proctab_entry **left)
{
	size_t n = 0, i;

	for (i = 0; i < t->n; i++) {
		const struct proctab_entry *p = &t->v[i];
		const struct proctab_entry *root = p->root == 0 ? NULL : proctab_find(t, p->root);
		const struct child *parent = child_find_pid(all, p->root);

		if (p->is_zombie || root == NULL ||
		    (parent != NULL && parent->phase != PHASE_ENDED))
			continue;
		if (owner(all, p, root) == c)
			left[n++] = p;
	}
	return n;
}

static bool
end_leftovers(const struct list *all, struct child *c, const struct proctab *t)
{
	const struct proctab_entry **left = xcalloc(t->n + 1, sizeof *left);
	bool is_any_left = child_end_leftovers(c, left, leftovers_of(all, c, t, left));

	free(left);
	return is_any_left;
}

bool
leftovers_sweep(const struct list *all, void (*on_none)(struct child *, void *arg), void *arg)
{
	struct list_node *node, *tmp;
	bool is_any_left = false;
	struct proctab t;

	proctab_read(&t);
	proctab_root(&t, getpid());
	LIST_FOREACH(all, node, tmp) {
		struct child *c = container_of(node, struct child, node);

		if (c->phase != PHASE_ENDED)
			continue;
		if (end_leftovers(all, c, &t))
			is_any_left = true;
		else
			on_none(c, arg);
	}
	proctab_fini(&t);
	return is_any_left;
}

void
leftovers_kill_all(void)
{
	struct proctab t;
	size_t i;

	proctab_read(&t);
	proctab_root(&t, getpid());
	for (i = 0; i < t.n; i++)
		if (t.v[i].root != 0 && !t.v[i].is_zombie)
			kill(t.v[i].pid, SIGKILL);
	proctab_fini(&t);
}
