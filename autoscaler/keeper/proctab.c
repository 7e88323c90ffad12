#include "autoscaler/keeper/proctab.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/strbuf.h"

#define ENVIRON_MAX ((size_t)4 << 20) /* above the kernel's default limit */
#define ANCESTORS_MAX 4096	      /* /proc is not read at one instant: there may be loops */

int
proctab_parse(struct proctab_entry *p, const char *stat)
{
	const char *after = strrchr(stat, ')'); /* the name may contain blanks and brackets */
	unsigned long user, system;
	long waited_user, waited_system, pages;
	unsigned long long start;
	int pid, parent, group, session;
	double tick = (double)sysconf(_SC_CLK_TCK);
	char state;

	if (after == NULL || sscanf(stat, "%d", &pid) != 1)
		return -1;
	if (sscanf(after + 1,
		   " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld %*d %*d %*d %*d"
		   " %llu %*u %ld",
		   &state, &parent, &group, &session, &user, &system, &waited_user, &waited_system,
		   &start, &pages) != 10)
		return -1;
	*p = (struct proctab_entry){
		.pid = pid,
		.parent = parent,
		.group = group,
		.session = session,
		.is_zombie = state == 'Z' || state == 'X',
		.cpu_s = ((double)user + (double)system + (double)waited_user +
			  (double)waited_system) /
			 tick,
		.start_ticks = start,
		.memory_bytes = (uint64_t)MAX(pages, 0) * (uint64_t)sysconf(_SC_PAGESIZE),
	};
	return 0;
}

static int
read_stat(int proc_fd, const char *name, struct proctab_entry *p)
{
	char path[64], text[1024];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%.32s/stat", name);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1; /* it has ended meanwhile */
	n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	return proctab_parse(p, text);
}

/* All zero if the process does not exist. */
static struct proctab_entry
read_one(pid_t pid)
{
	struct proctab_entry p = {.pid = 0};
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[16];

	snprintf(name, sizeof name, "%d", (int)pid);
	if (fd < 0 || read_stat(fd, name, &p) < 0)
		p = (struct proctab_entry){.pid = 0};
	if (fd >= 0)
		close(fd);
	return p;
}

uint64_t
proctab_start_ticks(pid_t pid)
{
	return read_one(pid).start_ticks;
}

pid_t
proctab_parent(pid_t pid)
{
	return read_one(pid).parent;
}

static struct proctab_entry *
add(struct proctab *t)
{
	if (t->n == t->cap) {
		t->cap = t->cap == 0 ? 256 : t->cap * 2;
		t->v = xrealloc(t->v, t->cap * sizeof *t->v);
	}
	return &t->v[t->n];
}

static int
by_pid(const void *a, const void *b)
{
	pid_t x = ((const struct proctab_entry *)a)->pid;
	pid_t y = ((const struct proctab_entry *)b)->pid;

	return (x > y) - (x < y);
}

void
proctab_read(struct proctab *t)
{
	DIR *d = opendir("/proc");
	struct dirent *de;

	*t = (struct proctab){.n = 0};
	if (d == NULL)
		return;
	while ((de = readdir(d)) != NULL)
		if (de->d_name[0] >= '1' && de->d_name[0] <= '9' &&
		    read_stat(dirfd(d), de->d_name, add(t)) == 0)
			t->n++;
	closedir(d);
	if (t->n > 0)
		qsort(t->v, t->n, sizeof *t->v, by_pid);
}

void
proctab_fini(struct proctab *t)
{
	free(t->v);
	*t = (struct proctab){.n = 0};
}

struct proctab_entry *
proctab_find(const struct proctab *t, pid_t pid)
{
	struct proctab_entry key = {.pid = pid};

	return t->n == 0 ? NULL : bsearch(&key, t->v, t->n, sizeof *t->v, by_pid);
}

static pid_t
root_of(const struct proctab *t, const struct proctab_entry *p, pid_t parent)
{
	unsigned i;

	for (i = 0; p != NULL && i < ANCESTORS_MAX; i++) {
		if (p->parent == parent)
			return p->pid;
		p = proctab_find(t, p->parent);
	}
	return 0;
}

void
proctab_root(struct proctab *t, pid_t parent)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		t->v[i].root = root_of(t, &t->v[i], parent);
}

static void
read_environ(pid_t pid, struct strbuf *b)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	while (b->len < ENVIRON_MAX && (n = read(fd, strbuf_reserve(b, 4096), 4096)) > 0)
		b->len += (size_t)n;
	close(fd);
}

char *
proctab_env(pid_t pid, const char *name)
{
	size_t n = strlen(name), at = 0;
	char *value = NULL;
	struct strbuf b;

	strbuf_init(&b, 0);
	read_environ(pid, &b);
	strbuf_reserve(&b, 1)[0] = '\0'; /* the process may have overwritten the last NUL */
	while (at < b.len && value == NULL) {
		const char *entry = b.data + at;

		if (strncmp(entry, name, n) == 0 && entry[n] == '=')
			value = xstrdup(entry + n + 1);
		at += strlen(entry) + 1;
	}
	strbuf_fini(&b);
	return value;
}
