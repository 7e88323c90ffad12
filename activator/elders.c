#include "activator/elders.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "activator/handover.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"

struct elder {
	struct list_node node;
	struct elders *all;
	pid_t pid;
	int pidfd;
	struct loop_fd watch;
};

struct elders {
	struct loop *loop;
	struct bounds *bounds;
	void (*on_ended)(pid_t, void *arg);
	void *arg;
	struct list list; /* of struct elder */
	char text[64];
};

struct elders *
elders_new(struct loop *loop, struct bounds *bounds, void (*on_ended)(pid_t, void *), void *arg)
{
	struct elders *all = xcalloc(1, sizeof *all);

	*all = (struct elders){.loop = loop, .bounds = bounds, .on_ended = on_ended, .arg = arg};
	list_init(&all->list);
	return all;
}

static void
forget(struct elder *e)
{
	list_remove(&e->all->list, &e->node);
	loop_fd_clear(&e->watch);
	close(e->pidfd);
	free(e);
}

void
elders_free(struct elders **ap)
{
	struct elders *all = *ap;
	struct list_node *node, *tmp;

	*ap = NULL;
	if (all == NULL)
		return;
	LIST_FOREACH(&all->list, node, tmp)
		forget(container_of(node, struct elder, node));
	free(all);
}

static void
on_pidfd(int fd, short what, void *arg)
{
	struct elder *e = arg;
	struct elders *all = e->all;
	pid_t pid = e->pid;

	(void)fd;
	(void)what;
	forget(e);
	bounds_clear(all->bounds, pid);
	log_info(NULL, "an older activator has ended", "pid=%d older=%zu", (int)pid, all->list.n);
	if (all->on_ended != NULL)
		all->on_ended(pid, all->arg);
}

void
elders_add(struct elders *all, pid_t pid, int pidfd)
{
	struct elder *e = xcalloc(1, sizeof *e);

	e->all = all;
	e->pid = pid;
	e->pidfd = pidfd;
	list_push(&all->list, &e->node);
	loop_fd_init(&e->watch);
	loop_fd_set(&e->watch, all->loop, pidfd, EV_READ, on_pidfd, e);
}

size_t
elders_count(const struct elders *all)
{
	return all->list.n;
}

const char *
elders_text(struct elders *all)
{
	struct list_node *node, *tmp;
	size_t n = 0;

	all->text[0] = '\0';
	LIST_FOREACH(&all->list, node, tmp)
		n += (size_t)snprintf(all->text + n, sizeof all->text - n, "%s%d",
				      n == 0 ? "" : ", ",
				      (int)container_of(node, struct elder, node)->pid);
	return all->text;
}

void
elders_put(const struct elders *all, struct handover_msg *m)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->list, node, tmp) {
		const struct elder *e = container_of(node, struct elder, node);

		CHECK(m->elders_n < BOUNDS_OLD_MOST && m->fds_n < HANDOVER_FDS_MOST);
		m->elders[m->elders_n++] = e->pid;
		m->fds[m->fds_n++] = e->pidfd;
	}
}
