#include "common/conf_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/loop.h"

#define SETTLE (200 * CLK_MS)	/* how long the folder must have been quiet … */
#define SETTLE_MOST (2 * CLK_S) /* … but no longer than this from the first event on */
#define LOOK_AGAIN CLK_S	/* for a folder that is gone */
#define EVENTS                                                                                     \
	(IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF |   \
	 IN_MOVE_SELF | IN_ONLYDIR)
#define LINK "..data/"

struct conf_watch {
	struct loop *loop;
	char *folder;
	int fd, watch; /* watch: -1: the folder is gone */
	struct loop_fd readable;
	struct loop_timer settle, again;
	int64_t first_ns; /* of the events that are not reported yet; 0: there are none */
	void (*on_change)(void *);
	void *arg;
};

bool
conf_watch_is_mounted(const char *file)
{
	char target[sizeof LINK];
	ssize_t n = readlink(file, target, sizeof target - 1);

	return n >= (ssize_t)strlen(LINK) && strncmp(target, LINK, strlen(LINK)) == 0;
}

static void
note_event(struct conf_watch *w)
{
	int64_t now = clk_now(), left;

	if (w->first_ns == 0)
		w->first_ns = now;
	left = w->first_ns + SETTLE_MOST - now;
	loop_timer_set(&w->settle, MAX(MIN(left, SETTLE), 0));
}

static void
on_settled(void *arg)
{
	struct conf_watch *w = arg;

	w->first_ns = 0;
	w->on_change(w->arg);
}

static void
add_watch(struct conf_watch *w)
{
	w->watch = inotify_add_watch(w->fd, w->folder, EVENTS);
}

/* The folder was removed, or renamed: look for another one of its name. */
static void
lose_watch(struct conf_watch *w)
{
	if (w->watch >= 0)
		(void)inotify_rm_watch(w->fd, w->watch); /* it may be gone already */
	w->watch = -1;
	loop_timer_set(&w->again, LOOK_AGAIN);
}

static void
on_again(void *arg)
{
	struct conf_watch *w = arg;

	add_watch(w);
	if (w->watch < 0)
		loop_timer_set(&w->again, LOOK_AGAIN);
	else
		note_event(w);
}

static void
on_readable(int fd, short what, void *arg)
{
	struct conf_watch *w = arg;
	_Alignas(struct inotify_event) char buf[4096];
	bool is_lost = false;
	ssize_t n;

	(void)what;
	while ((n = read(fd, buf, sizeof buf)) > 0) {
		const char *at = buf;

		while (at < buf + n) {
			struct inotify_event e;

			memcpy(&e, at, sizeof e);
			is_lost |= e.wd == w->watch &&
				   (e.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0;
			at += sizeof e + e.len;
		}
		note_event(w);
	}
	if (is_lost)
		lose_watch(w);
}

struct conf_watch *
conf_watch_new(struct loop *loop, const char *file, void (*on_change)(void *), void *arg,
	       struct err *e)
{
	struct conf_watch *w = xcalloc(1, sizeof *w);
	const char *slash = strrchr(file, '/');

	w->loop = loop;
	w->on_change = on_change;
	w->arg = arg;
	w->folder = slash == NULL ? xstrdup(".")
				  : xstrndup(file, MAX((size_t)(slash - file), (size_t)1));
	loop_timer_init(&w->settle, loop, on_settled, w);
	loop_timer_init(&w->again, loop, on_again, w);
	loop_fd_init(&w->readable);
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd >= 0)
		add_watch(w);
	if (w->fd < 0 || w->watch < 0) {
		err_errno(e, "cannot watch the folder %s", w->folder);
		conf_watch_free(&w);
		return NULL;
	}
	loop_fd_set(&w->readable, loop, w->fd, EV_READ, on_readable, w);
	return w;
}

void
conf_watch_free(struct conf_watch **wp)
{
	struct conf_watch *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	loop_fd_clear(&w->readable);
	loop_timer_fini(&w->settle);
	loop_timer_fini(&w->again);
	if (w->fd >= 0)
		close(w->fd);
	free(w->folder);
	free(w);
}
