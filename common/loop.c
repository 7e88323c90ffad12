#include "common/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/log.h"

#define SIGNALS_MAX 16
#define WATCH_AGAIN (100 * CLK_MS) /* after the kernel has refused to watch a descriptor */

struct deferred {
	void *ptr;
	void (*fn)(void *);
};

struct signal_watch {
	struct event *ev;
	void (*fn)(int, void *);
	void *arg;
};

struct loop {
	struct event_base *base;
	bool is_running;
	bool is_wait_skipped; /* by loop_skip_wait(), for the next round */
	uint64_t rounds;
	atomic_bool is_stopped;

	/* The mailbox, a stack: any thread pushes a mail, the loop takes all of them at once. */
	_Atomic(struct loop_mail *) mail;
	int wake_fd;
	struct event wake_ev;

	struct deferred *deferred;
	size_t deferred_at; /* the first that is not called yet */
	size_t deferred_n, deferred_cap;
	void (*tail_fn)(void *);
	void *tail_arg;

	struct list refused; /* of struct loop_fd, which the kernel does not watch yet */
	struct loop_timer watch_again;

	struct signal_watch signals[SIGNALS_MAX];
	size_t signals_n;
};

static void
run_mail(struct loop *l)
{
	struct loop_mail *newest = atomic_exchange_explicit(&l->mail, NULL, memory_order_acq_rel);
	struct loop_mail *oldest = NULL;

	while (newest != NULL) { /* reverse the stack: fn runs in the order of posting */
		struct loop_mail *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest != NULL) {
		struct loop_mail *next = oldest->next;

		oldest->fn(oldest);
		oldest = next;
	}
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof n) < 0 && errno != EAGAIN && errno != EINTR)
		CHECK(!"eventfd readable");
	run_mail(arg);
}

static void on_watch_again(void *loop);

/* libevent would write to standard error, past our log.  The caller of a libevent function
 * that has failed reports the failure, with what it means: this is more for a developer. */
static void
on_libevent_log(int severity, const char *text)
{
	if (severity >= EVENT_LOG_ERR) /* the process ends after this */
		log_error(NULL, "error in the event loop", "err=%s", text);
	else
		log_debug(NULL, "message of the event loop", "text=%s", text);
}

static struct loop *
new_with(int flags, struct err *e)
{
	struct event_config *cfg = event_config_new();
	struct loop *l = xcalloc(1, sizeof *l);

	CHECK(cfg != NULL);
	event_set_log_callback(on_libevent_log);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | flags);
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->base != NULL && l->wake_fd >= 0)
		event_assign(&l->wake_ev, l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	if (l->base == NULL || l->wake_fd < 0 || event_add(&l->wake_ev, NULL) < 0) {
		err_errno(e, "cannot make an event loop");
		if (l->base != NULL)
			event_base_free(l->base);
		if (l->wake_fd >= 0)
			close(l->wake_fd);
		free(l);
		return NULL;
	}
	list_init(&l->refused);
	loop_timer_init(&l->watch_again, l, on_watch_again, l);
	return l;
}

struct loop *
loop_new(struct err *e)
{
	return new_with(0, e);
}

struct loop *
loop_new_precise(struct err *e)
{
	return new_with(EVENT_BASE_FLAG_PRECISE_TIMER, e);
}

static void
run_tail(struct loop *l)
{
	if (l->tail_fn != NULL)
		l->tail_fn(l->tail_arg);
	/* fn may defer more calls, and may settle the loop: each call is made once. */
	while (l->deferred_at < l->deferred_n) {
		struct deferred d = l->deferred[l->deferred_at++];

		d.fn(d.ptr);
	}
	l->deferred_at = l->deferred_n = 0;
}

void
loop_settle(struct loop *l)
{
	while (atomic_load_explicit(&l->mail, memory_order_acquire) != NULL ||
	       l->deferred_at < l->deferred_n) {
		run_mail(l);
		run_tail(l);
	}
}

void
loop_free(struct loop **lp)
{
	struct loop *l = *lp;
	size_t i;

	*lp = NULL;
	if (l == NULL)
		return;
	CHECK(!l->is_running);
	loop_settle(l);
	for (i = 0; i < l->signals_n; i++)
		event_free(l->signals[i].ev);
	loop_timer_fini(&l->watch_again);
	event_del(&l->wake_ev);
	close(l->wake_fd);
	event_base_free(l->base);
	free(l->deferred);
	free(l);
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

void
loop_once(struct loop *l, bool nowait)
{
	nowait = nowait || l->is_wait_skipped;
	l->is_wait_skipped = false;
	l->rounds++;
	event_base_loop(l->base, EVLOOP_ONCE | (nowait ? EVLOOP_NONBLOCK : 0));
	run_tail(l);
}

void
loop_run(struct loop *l)
{
	l->is_running = true;
	while (!atomic_load_explicit(&l->is_stopped, memory_order_acquire))
		loop_once(l, false);
	l->is_running = false;
}

uint64_t
loop_round(const struct loop *l)
{
	return l->rounds;
}

static void
wake(struct loop *l)
{
	uint64_t one = 1;

	while (write(l->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

void
loop_stop(struct loop *l)
{
	atomic_store_explicit(&l->is_stopped, true, memory_order_release);
	wake(l);
}

void
loop_post(struct loop *l, struct loop_mail *m)
{
	struct loop_mail *head = atomic_load_explicit(&l->mail, memory_order_relaxed);

	do
		m->next = head;
	while (!atomic_compare_exchange_weak_explicit(&l->mail, &head, m, memory_order_acq_rel,
						      memory_order_relaxed));
	if (head == NULL)
		wake(l);
}

struct called {
	struct loop_mail mail;
	void (*fn)(void *);
	void *arg;
};

static void
on_call(struct loop_mail *m)
{
	struct called *c = container_of(m, struct called, mail);

	c->fn(c->arg);
	free(c);
}

void
loop_call(struct loop *l, void (*fn)(void *), void *arg)
{
	struct called *c = xmalloc(sizeof *c);

	*c = (struct called){.mail.fn = on_call, .fn = fn, .arg = arg};
	loop_post(l, &c->mail);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	t->fn(t->arg);
}

void
loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(void *), void *arg)
{
	t->loop = l;
	t->fn = fn;
	t->arg = arg;
	evtimer_assign(&t->ev, l->base, on_timer, t);
}

void
loop_timer_set(struct loop_timer *t, int64_t delay_ns)
{
	int64_t us = MAX(delay_ns, 0) / CLK_US + (delay_ns > 0 && delay_ns % CLK_US != 0);
	struct timeval tv = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};

	CHECK(event_add(&t->ev, &tv) == 0); /* fails for want of memory alone */
}

void
loop_timer_clear(struct loop_timer *t)
{
	event_del(&t->ev);
}

bool
loop_timer_pending(const struct loop_timer *t)
{
	return event_pending(&t->ev, EV_TIMEOUT, NULL) != 0;
}

void
loop_timer_fini(struct loop_timer *t)
{
	if (t->loop != NULL)
		event_del(&t->ev);
	t->loop = NULL;
}

static void
on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *f = arg;

	f->fn(fd, what, f->arg);
}

void
loop_fd_init(struct loop_fd *f)
{
	*f = (struct loop_fd){.is_added = false};
}

static void
watch_later(struct loop *l)
{
	log_warn_limited(NULL, "the kernel watches no more descriptors, trying again", "err=%s",
			 strerror(errno));
	if (!loop_timer_pending(&l->watch_again))
		loop_timer_set(&l->watch_again, WATCH_AGAIN);
}

void
loop_fd_set(struct loop_fd *f, struct loop *l, int fd, short what, void (*fn)(int, short, void *),
	    void *arg)
{
	loop_fd_clear(f);
	f->fn = fn;
	f->arg = arg;
	f->loop = l;
	f->is_added = true;
	event_assign(&f->ev, l->base, fd, (short)(what | EV_PERSIST), on_fd, f);
	if (event_add(&f->ev, NULL) < 0) {
		list_push(&l->refused, &f->refused);
		watch_later(l);
	}
}

static void
on_watch_again(void *arg)
{
	struct loop *l = arg;
	struct list_node *node, *tmp;

	LIST_FOREACH(&l->refused, node, tmp)
		if (event_add(&container_of(node, struct loop_fd, refused)->ev, NULL) == 0)
			list_remove(&l->refused, node);
	if (!list_empty(&l->refused))
		watch_later(l);
}

void
loop_fd_clear(struct loop_fd *f)
{
	if (list_linked(&f->refused))
		list_remove(&f->loop->refused, &f->refused);
	else if (f->is_added)
		event_del(&f->ev);
	f->is_added = false;
}

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct signal_watch *s = arg;

	(void)what;
	s->fn((int)signo, s->arg);
}

int
loop_signal(struct loop *l, int signo, void (*fn)(int, void *), void *arg, struct err *e)
{
	struct signal_watch *s = &l->signals[l->signals_n];

	CHECK(l->signals_n < SIGNALS_MAX);
	s->fn = fn;
	s->arg = arg;
	s->ev = evsignal_new(l->base, signo, on_signal, s);
	if (s->ev == NULL || event_add(s->ev, NULL) < 0) {
		err_errno(e, "cannot watch signal %d", signo);
		if (s->ev != NULL)
			event_free(s->ev);
		return -1;
	}
	l->signals_n++;
	return 0;
}

void
loop_defer(struct loop *l, void *ptr, void (*fn)(void *))
{
	if (l->deferred_n == l->deferred_cap) {
		l->deferred_cap = l->deferred_cap == 0 ? 64 : l->deferred_cap * 2;
		l->deferred = xrealloc(l->deferred, l->deferred_cap * sizeof *l->deferred);
	}
	l->deferred[l->deferred_n++] = (struct deferred){.ptr = ptr, .fn = fn};
}

void
loop_on_tail(struct loop *l, void (*fn)(void *), void *arg)
{
	l->tail_fn = fn;
	l->tail_arg = arg;
}

void
loop_skip_wait(struct loop *l)
{
	l->is_wait_skipped = true;
}
