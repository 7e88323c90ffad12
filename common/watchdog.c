#include "common/watchdog.h"

#include <stdlib.h>

#include "common/daemon.h"
#include "common/log.h"
#include "common/loop.h"

#define TIMES 3 /* in the time of systemd */

struct watchdog {
	struct loop_timer timer;
	int64_t every_ns;
	void (*ask)(void *arg);
	void *arg;
	bool is_asked; /* and not answered yet */
};

static void
on_timer(void *arg)
{
	struct watchdog *w = arg;

	loop_timer_set(&w->timer, w->every_ns);
	if (w->is_asked) {
		log_error(NULL, "a thread does not answer; systemd will end this process", "");
		return;
	}
	w->is_asked = true;
	if (w->ask == NULL)
		watchdog_alive(w);
	else
		w->ask(w->arg);
}

struct watchdog *
watchdog_new(struct loop *loop, void (*ask)(void *), void *arg)
{
	int64_t within_ns = daemon_watchdog_ns();
	struct watchdog *w;

	if (within_ns == 0)
		return NULL;
	w = xcalloc(1, sizeof *w);
	w->every_ns = within_ns / TIMES;
	w->ask = ask;
	w->arg = arg;
	loop_timer_init(&w->timer, loop, on_timer, w);
	loop_timer_set(&w->timer, 0);
	return w;
}

void
watchdog_free(struct watchdog **wp)
{
	struct watchdog *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	loop_timer_fini(&w->timer);
	free(w);
}

void
watchdog_alive(struct watchdog *w)
{
	w->is_asked = false;
	daemon_notify_alive();
}
