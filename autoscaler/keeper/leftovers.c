#include "autoscaler/keeper/leftovers.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "autoscaler/keeper/child.h"
#include "autoscaler/keeper/command.h"
#include "autoscaler/keeper/proctab.h"

static struct kept *
by_family(const struct list *all, const struct proctab_entry *p)
{
	struct kept *k = kept_find_pid(all, p->session);

	return k != NULL ? k : kept_find_pid(all, p->group);
}

static struct kept *
by_environment(const struct list *all, const struct proctab_entry *p)
{
	char *id = proctab_env(p->pid, COMMAND_INSTANCE);
	struct kept *k = id == NULL ? NULL : kept_find(all, id);

	free(id);
	return k;
}

/* The only one that was there when p began; NULL: none, or a choice. */
static struct kept *
by_age(const struct list *all, const struct proctab_entry *p)
{
	struct list_node *node, *tmp;
	struct kept *only = NULL;

	LIST_FOREACH(all, node, tmp) {
		struct kept *k = container_of(node, struct kept, node);

		if (k->start_ticks > p->start_ticks)
			continue;
		if (only != NULL)
			return NULL;
		only = k;
	}
	return only;
}

/* Whose p is; root is its ancestor (or itself) that has lost its parent to us.  A
 * process that has made a session of its own (a daemon) still has the mark in its
 * environment.  One that wiped that too can only be told where there is no choice. */
static struct kept *
owner(const struct list *all, const struct proctab_entry *p, const struct proctab_entry *root)
{
	struct kept *k = by_family(all, p);

	k = k != NULL ? k : by_family(all, root);
	k = k != NULL ? k : by_environment(all, p);
	k = k != NULL ? k : by_environment(all, root);
	return k != NULL ? k : by_age(all, p);
}

size_t
left_of(const struct list *all, const struct kept *k, const struct proctab *t,
	const struct proctab_entry **left)
{
	size_t n = 0, i;

	for (i = 0; i < t->n; i++) {
		const struct proctab_entry *p = &t->v[i];
		const struct proctab_entry *root = p->root == 0 ? NULL : proctab_find(t, p->root);
		const struct kept *parent = kept_find_pid(all, p->root);

		if (p->is_zombie || root == NULL ||
		    (parent != NULL && parent->phase != PHASE_ENDED))
			continue;
		if (owner(all, p, root) == k)
			left[n++] = p;
	}
	return n;
}

void
left_kill_all(void)
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
