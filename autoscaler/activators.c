#include "autoscaler/activators.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "autoscaler/keeper/proctab.h"
#include "common/clk.h"
#include "common/file.h"
#include "common/jget.h"
#include "common/jput.h"
#include "common/lifelock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"

#define FILE_NAME "activators.json"
#define FILE_MOST ((size_t)16 << 20)
#define BOOT_FILE "/proc/sys/kernel/random/boot_id"
#define BOOT_MOST 64
#define UNSEEN_PATIENCE (5 * CLK_S)
#define LOOK_EVERY (50 * CLK_MS) /* at the lock of one that is not connected */
#define RETRY CLK_S
/* Ids that one process may send before it ends, or all processes without a number. */
#define IDS_OF_A_PROCESS 64
#define IDS_WITHOUT_PROCESS 1024

struct known_activator {
	struct list_node node;
	struct activators *all;
	char *id;
	pid_t pid; /* 0: the kernel does not show its number */
	uint64_t start_ticks;
	bool is_connected;
	bool has_ended;
	bool has_lock; /* pid is 0: it holds a lock beside the socket */
	int fd;	       /* pidfd; -1: none */
	struct loop_fd watch;
	struct loop_timer timer; /* without a pidfd: to its end */
};

struct activators {
	struct loop *loop;
	const struct activators_ops *ops;
	void *arg;
	char *path, *path_new, *dir, *socket;
	char *boot; /* of this machine; "": unknown */
	uint64_t term;
	struct list known; /* of struct known_activator */
	bool has_record;
	bool is_dirty;		 /* the file is older than `known` */
	struct loop_timer retry; /* to write it */
	bool is_failure_logged;
};

static void on_timer(void *arg);

static struct known_activator *
at(struct list_node *node)
{
	return container_of(node, struct known_activator, node);
}

static struct known_activator *
find(const struct activators *a, const char *id)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&a->known, node, tmp)
		if (strcmp(at(node)->id, id) == 0)
			return at(node);
	return NULL;
}

/* --- the file --- */

static void
put_all(const struct activators *a, struct strbuf *out)
{
	struct list_node *node, *tmp;
	struct jput j;

	jput_init(&j, out);
	jput_object(&j, NULL);
	jput_u64(&j, "term", a->term);
	jput_string(&j, "boot", a->boot);
	jput_array(&j, "activators");
	LIST_FOREACH(&a->known, node, tmp) {
		jput_object(&j, NULL);
		jput_string(&j, "id", at(node)->id);
		jput_i64(&j, "pid", at(node)->pid);
		jput_u64(&j, "start_ticks", at(node)->start_ticks);
		jput_bool(&j, "lock", at(node)->has_lock);
		jput_object_end(&j);
	}
	jput_array_end(&j);
	jput_object_end(&j);
	strbuf_adds(out, "\n");
}

static int
write_synced(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), code;
	ssize_t put = 0;

	if (fd < 0)
		return -1;
	while (n > 0 && (put = write(fd, text, n)) > 0) {
		text += put;
		n -= (size_t)put;
	}
	put = n > 0 || fdatasync(fd) < 0 ? -1 : 0;
	code = errno;
	close(fd);
	errno = code;
	return (int)put;
}

static void
sync_folder(const struct activators *a)
{
	int fd = open(a->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (fsync(fd) < 0)
		log_debug(NULL, "cannot sync a folder", "path=%s err=%s", a->dir, strerror(errno));
	close(fd);
}

/* While the process runs its number is no other's. */
static uint64_t
start_ticks_of(pid_t pid, int pidfd)
{
	uint64_t ticks = pid > 0 ? proctab_start_ticks(pid) : 0;

	return pidfd < 0 || pidfd_send_signal(pidfd, 0, NULL, 0) == 0 ? ticks : 0;
}

/* There were no descriptors to read it with, perhaps. */
static void
read_missing_ticks(struct activators *a)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&a->known, node, tmp) {
		struct known_activator *k = at(node);

		if (k->start_ticks == 0 && !k->has_ended)
			k->start_ticks = start_ticks_of(k->pid, k->fd);
	}
}

static void
save(struct activators *a)
{
	struct strbuf text;

	read_missing_ticks(a);
	strbuf_init(&text, 0);
	put_all(a, &text);
	a->is_dirty = false;
	if (write_synced(a->path_new, text.data, text.len) < 0 ||
	    rename(a->path_new, a->path) < 0) {
		if (!a->is_failure_logged)
			log_error(NULL,
				  "cannot write which activators may hold slots: the limits of "
				  "instances may not hold after a restart",
				  "file=%s err=%s", a->path, strerror(errno));
		a->is_failure_logged = a->is_dirty = true;
		loop_timer_set(&a->retry, RETRY);
	} else {
		sync_folder(a);
		a->is_failure_logged = false;
	}
	strbuf_fini(&text);
}

static void
on_retry(void *arg)
{
	struct activators *a = arg;

	if (a->is_dirty)
		save(a);
}

static struct known_activator *
add(struct activators *a, const char *id, pid_t pid, uint64_t start_ticks)
{
	struct known_activator *k = xcalloc(1, sizeof *k);

	*k = (struct known_activator){
		.all = a, .id = xstrdup(id), .pid = pid, .start_ticks = start_ticks};
	k->fd = -1;
	loop_fd_init(&k->watch);
	loop_timer_init(&k->timer, a->loop, on_timer, k);
	list_push(&a->known, &k->node);
	return k;
}

static int
read_one(struct activators *a, const struct jget *j, struct err *e)
{
	int64_t pid = 0;
	uint64_t ticks = 0;
	char *id = NULL;
	bool has_lock = false;
	int rc = -1;

	if (jget_string(j, "id", JGET_MUST, &id, e) == 0 &&
	    jget_i64(j, "pid", JGET_MUST, 0, INT32_MAX, &pid, e) == 0 &&
	    jget_u64(j, "start_ticks", JGET_MUST, &ticks, e) == 0 &&
	    jget_bool(j, "lock", JGET_MAY, &has_lock, e) == 0) {
		/* Without its start time another process may have the number by now. */
		add(a, id, ticks > 0 ? (pid_t)pid : 0, ticks)->has_lock = has_lock;
		rc = 0;
	}
	free(id);
	return rc;
}

static int
read_list(struct activators *a, const struct jget *root, struct err *e)
{
	struct jget list, one;
	size_t i, n;

	if (jget_array(root, "activators", JGET_MUST, &list, &n, e) < 0)
		return -1;
	for (i = 0; i < n; i++)
		if (jget_element(&list, i, &one, e) < 0 || read_one(a, &one, e) < 0)
			return -1;
	return 0;
}

/* After a boot all processes of before have ended. */
static int
read_text(struct activators *a, const char *text, size_t n, struct err *e)
{
	struct jget root;
	struct json_t *json = jget_open(text, n, &root, e);
	char *boot = NULL;
	int rc;

	if (json == NULL)
		return -1;
	rc = jget_u64(&root, "term", JGET_MUST, &a->term, e);
	if (rc == 0)
		rc = jget_string(&root, "boot", JGET_MUST, &boot, e);
	if (rc == 0 && strcmp(boot, a->boot) == 0)
		rc = read_list(a, &root, e);
	free(boot);
	jget_close(&json);
	return rc;
}

static void
read_file(struct activators *a)
{
	size_t n;
	struct err e = {0};
	char *text = file_read(a->path, FILE_MOST, &n, &e);

	if (text == NULL && e.code == ENOENT)
		return;
	a->has_record = text != NULL && read_text(a, text, n, &e) == 0;
	if (!a->has_record)
		log_error(NULL,
			  "cannot read which activators may hold slots: the limits of instances "
			  "may not hold until all activators have connected",
			  "file=%s err=%s", a->path, e.text);
	free(text);
}

/* --- whether it has ended --- */

static void
unwatch(struct known_activator *k)
{
	loop_timer_fini(&k->timer);
	loop_fd_clear(&k->watch);
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
}

static void
on_ended(struct known_activator *k)
{
	struct activators *a = k->all;

	k->has_ended = true;
	loop_timer_clear(&k->timer);
	loop_fd_clear(&k->watch);
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	lifelock_remove(a->socket, k->id);
	a->ops->on_dead(k->id, a->arg);
}

static void
on_process_ended(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	on_ended(arg);
}

/* fd: a pidfd of the process, taken over. */
static void
watch_by(struct known_activator *k, int fd)
{
	loop_timer_clear(&k->timer);
	k->fd = fd;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	loop_fd_set(&k->watch, k->all->loop, fd, EV_READ, on_process_ended, k);
}

static void
watch_process(struct known_activator *k)
{
	uint64_t ticks = k->start_ticks;
	int fd;

	k->fd = pidfd_open(k->pid, 0);
	if (k->fd < 0 && errno == ESRCH) {
		on_ended(k);
		return;
	}
	if (k->fd >= 0 && k->start_ticks > 0)
		ticks = proctab_start_ticks(k->pid);
	if (k->fd >= 0 && ticks == k->start_ticks) {
		fd = k->fd;
		k->fd = -1;
		watch_by(k, fd);
		return;
	}
	if (k->fd >= 0 && ticks != 0) { /* another process has this number by now */
		on_ended(k);
		return;
	}
	/* There are no descriptors, perhaps: that says nothing of the process. */
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	loop_timer_set(&k->timer, RETRY);
}

/* The kernel does not show it, and it is not connected. */
static void
look_at_lock(struct known_activator *k)
{
	switch (lifelock_look(k->all->socket, k->id)) {
	case LIFELOCK_FREE:
		on_ended(k);
		break;
	case LIFELOCK_HELD:
		loop_timer_set(&k->timer, LOOK_EVERY);
		break;
	case LIFELOCK_UNKNOWN:
		k->has_lock = false;
		loop_timer_set(&k->timer, UNSEEN_PATIENCE);
		break;
	}
}

static void
on_timer(void *arg)
{
	struct known_activator *k = arg;

	if (k->pid > 0) {
		watch_process(k);
	} else if (k->is_connected) {
		return;
	} else if (k->has_lock) {
		look_at_lock(k);
	} else {
		log_warn(NULL, "activator does not come back, its process counts as ended",
			 "activator=%s", k->id);
		on_ended(k);
	}
}

/* By the timer, since it may be found dead at once. */
static void
watch(struct known_activator *k)
{
	if (k->pid > 0 || k->has_lock)
		loop_timer_set(&k->timer, 0);
	else if (!k->is_connected)
		loop_timer_set(&k->timer, UNSEEN_PATIENCE);
}

/* --- life --- */

static char *
read_boot(void)
{
	struct err e;
	char *text = file_read(BOOT_FILE, BOOT_MOST, NULL, &e);

	if (text == NULL)
		return xstrdup("");
	text[strcspn(text, "\n")] = '\0';
	return text;
}

struct activators *
activators_open(struct loop *loop, const char *state_dir, const char *socket,
		const struct activators_ops *ops, void *arg)
{
	struct activators *a = xcalloc(1, sizeof *a);
	struct list_node *node, *tmp;

	*a = (struct activators){.loop = loop, .ops = ops, .arg = arg};
	list_init(&a->known);
	loop_timer_init(&a->retry, loop, on_retry, a);
	a->socket = xstrdup(socket);
	a->dir = xstrdup(state_dir);
	a->path = xasprintf("%s/%s", state_dir, FILE_NAME);
	a->path_new = xasprintf("%s/%s.new", state_dir, FILE_NAME);
	a->boot = read_boot();
	read_file(a);
	/* The clock makes up for a file that is lost. */
	a->term = MAX(a->term + 1, (uint64_t)(clk_wall() / CLK_MS));
	save(a);
	LIST_FOREACH(&a->known, node, tmp)
		watch(at(node));
	return a;
}

static void
known_free(struct known_activator *k)
{
	list_remove(&k->all->known, &k->node);
	unwatch(k);
	free(k->id);
	free(k);
}

void
activators_close(struct activators **ap)
{
	struct activators *a = *ap;
	struct list_node *node, *tmp;

	*ap = NULL;
	if (a == NULL)
		return;
	LIST_FOREACH(&a->known, node, tmp)
		known_free(at(node));
	loop_timer_fini(&a->retry);
	free(a->dir);
	free(a->socket);
	free(a->path);
	free(a->path_new);
	free(a->boot);
	free(a);
}

void
activators_raise_term(struct activators *a, uint64_t term)
{
	a->term = MAX(a->term, term);
	save(a);
}

uint64_t
activators_term(const struct activators *a)
{
	return a->term;
}

bool
activators_is_dirty(const struct activators *a)
{
	return a->is_dirty;
}

bool
activators_has_record(const struct activators *a)
{
	return a->has_record;
}

const char **
activators_ids(const struct activators *a, size_t *n)
{
	const char **ids = xcalloc(a->known.n + 1, sizeof *ids);
	struct list_node *node, *tmp;

	*n = 0;
	LIST_FOREACH(&a->known, node, tmp)
		ids[(*n)++] = at(node)->id;
	return ids;
}

static size_t
count_ids(const struct activators *a, pid_t pid)
{
	struct list_node *node, *tmp;
	size_t n = 0;

	LIST_FOREACH(&a->known, node, tmp)
		n += at(node)->pid == pid;
	return n;
}

static int
check_new(const struct activators *a, pid_t pid, struct err *e)
{
	size_t most = pid > 0 ? IDS_OF_A_PROCESS : IDS_WITHOUT_PROCESS;

	if (count_ids(a, pid) < most)
		return 0;
	return err_set(e, 0, "process %d has sent %zu different ids, expected one", (int)pid, most);
}

static void
add_connected(struct activators *a, const char *id, pid_t pid, int pidfd)
{
	struct known_activator *k = add(a, id, pid, start_ticks_of(pid, pidfd));

	k->is_connected = true;
	k->has_lock = pid == 0 && lifelock_look(a->socket, id) == LIFELOCK_HELD;
	save(a);
	if (pid > 0 && k->start_ticks == 0) { /* the next autoscaler would not know the process */
		a->is_dirty = true;
		loop_timer_set(&a->retry, RETRY);
	}
}

int
activators_up(struct activators *a, const char *id, pid_t pid, int pidfd, struct err *e)
{
	struct known_activator *k = find(a, id);

	pid = MAX(pid, 0);
	if (k == NULL && check_new(a, pid, e) < 0) {
		if (pidfd >= 0)
			close(pidfd);
		return -1;
	}
	if (k == NULL)
		add_connected(a, id, pid, pidfd);
	k = find(a, id);
	k->is_connected = true;
	k->has_ended = false;
	if (pidfd >= 0 && k->fd < 0)
		watch_by(k, pidfd);
	else if (pidfd >= 0)
		close(pidfd);
	/* Its hello may have waited here for longer than it has lived. */
	if (k->fd < 0)
		watch(k);
	return 0;
}

void
activators_down(struct activators *a, const char *id)
{
	struct known_activator *k = find(a, id);

	if (k == NULL)
		return;
	k->is_connected = false;
	if (k->pid == 0 && k->fd < 0 && !k->has_ended)
		watch(k);
}

void
activators_forget(struct activators *a, const char *id)
{
	struct known_activator *k = find(a, id);

	if (k == NULL)
		return;
	known_free(k);
	save(a);
}
