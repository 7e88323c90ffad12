#include "autoscaler/kube/curlev.h"

#include <stdlib.h>

#include "common/clk.h"
#include "common/loop.h"

struct curlev {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer;  /* libcurl's */
	struct loop_timer report; /* transfers may have ended within curlev_add() */
	bool is_inside;		  /* libcurl runs: no transfer may be added or removed */
	long idle_most;		  /* idle connections to keep */
	long busy_n;		  /* transfers that run */
};

/* A descriptor that libcurl waits for. */
struct watch {
	struct curlev *c;
	struct loop_fd fd;
};

/* libcurl's bound on connections to keep counts those in use, too.  With as many watches as the
 * bound it would keep no idle one, and each request would open a connection. */
static void
count_busy(struct curlev *c, long change)
{
	c->busy_n += change;
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, c->busy_n + c->idle_most);
}

static void
report_ended(struct curlev *c)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
		CURL *easy = m->easy_handle;
		CURLcode result = m->data.result;
		struct curlev_transfer *t = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
		curlev_remove(c, easy);
		t->on_done(easy, result, t->arg);
	}
}

static void
run(struct curlev *c, curl_socket_t fd, int what)
{
	int running;

	CHECK(!c->is_inside);
	c->is_inside = true;
	CHECK(curl_multi_socket_action(c->multi, fd, what, &running) == CURLM_OK);
	c->is_inside = false;
}

static void
on_fd(int fd, short what, void *arg)
{
	struct watch *w = arg;
	struct curlev *c = w->c; /* libcurl may free w meanwhile */

	run(c, fd,
	    (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
	report_ended(c);
}

static void
on_timer(void *arg)
{
	struct curlev *c = arg;

	run(c, CURL_SOCKET_TIMEOUT, 0);
	report_ended(c);
}

static void
on_report(void *arg)
{
	report_ended(arg);
}

static int
on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *at)
{
	struct curlev *c = arg;
	struct watch *w = at;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w != NULL)
			loop_fd_clear(&w->fd);
		free(w);
		return 0;
	}
	if (w == NULL) {
		w = xcalloc(1, sizeof *w);
		w->c = c;
		loop_fd_init(&w->fd);
		curl_multi_assign(c->multi, fd, w);
	}
	loop_fd_set(&w->fd, c->loop, fd,
		    (short)((what & CURL_POLL_IN ? EV_READ : 0) |
			    (what & CURL_POLL_OUT ? EV_WRITE : 0)),
		    on_fd, w);
	return 0;
}

static int
on_curl_timer(CURLM *multi, long ms, void *arg)
{
	struct curlev *c = arg;

	(void)multi;
	if (ms < 0)
		loop_timer_clear(&c->timer);
	else
		loop_timer_set(&c->timer, ms * CLK_MS);
	return 0;
}

struct curlev *
curlev_new(struct loop *loop, long connections, struct err *e)
{
	struct curlev *c = xcalloc(1, sizeof *c);

	c->loop = loop;
	c->multi = curl_multi_init();
	if (c->multi == NULL) {
		(void)err_set(e, 0, "cannot set up libcurl");
		free(c);
		return NULL;
	}
	loop_timer_init(&c->timer, loop, on_timer, c);
	loop_timer_init(&c->report, loop, on_report, c);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	c->idle_most = connections;
	count_busy(c, 0);
	return c;
}

void
curlev_free(struct curlev **cp)
{
	struct curlev *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	CHECK(!c->is_inside);
	curl_multi_cleanup(c->multi); /* calls on_curl_socket() and on_curl_timer() */
	loop_timer_fini(&c->report);
	loop_timer_fini(&c->timer);
	free(c);
}

void
curlev_add(struct curlev *c, CURL *easy, struct curlev_transfer *t)
{
	CHECK(!c->is_inside);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	CHECK(curl_multi_add_handle(c->multi, easy) == CURLM_OK);
	count_busy(c, 1);
	run(c, CURL_SOCKET_TIMEOUT, 0);
	loop_timer_set(&c->report, 0);
}

void
curlev_remove(struct curlev *c, CURL *easy)
{
	CHECK(!c->is_inside);
	c->is_inside = true;
	CHECK(curl_multi_remove_handle(c->multi, easy) == CURLM_OK);
	c->is_inside = false;
	count_busy(c, -1);
}
