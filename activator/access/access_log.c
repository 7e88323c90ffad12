#include "activator/access/access_log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "activator/access/access_sink.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/metric.h"

#define RING_SIZE ((size_t)1 << 20)
#define HURRY ((size_t)128 << 10) /* bytes in a ring for which the thread writes at once */
#define RETRY_MS 1000		 /* after a failure, and with a collector twice as long each time */
#define STOP_MOST (2 * CLK_S)	 /* for what is left at the end */
#define REPORT_EACH (10 * CLK_S) /* lines that are lost */

/* For the log of the program. */
static const struct words {
	const char *fails, *works, *lost, *left;
} words[] = {
	[ACCESS_LINES] = {"cannot write the access log", "the access log is written again",
			  "access log lines lost",
			  "the disk is too slow: exiting without the last access log lines"},
	[ACCESS_SPANS] = {"cannot send spans to the collector", "the collector takes spans again",
			  "spans lost",
			  "the collector is too slow: exiting without the last spans"},
};

struct access_log {
	/* immutable */
	const struct words *words;
	struct access_ring *rings;
	unsigned rings_n;
	int wake_fd;
	pthread_t thread;

	/* the thread's */
	struct access_sink *sink;
	bool is_failing;
	int gather_ms;	   /* the next pause while lines come … */
	int retry_ms;	   /* … and after a failure */
	uint64_t reported; /* lost lines */
	int64_t reported_ns;

	/* atomics */
	_Atomic bool is_asleep; /* the thread waits for a line, for as long as it takes */
	_Atomic uint64_t undelivered;

	/* shared: mutex lock */
	pthread_mutex_t lock;
	pthread_cond_t ended;
	struct access_sink *next_sink; /* NULL: none */
	bool must_reopen, is_stopping, is_ended;
};

static void
wake(const struct access_log *l)
{
	const uint64_t one = 1;

	/* It fails only if the thread has been woken very often, and has not looked yet. */
	(void)!write(l->wake_fd, &one, sizeof one);
}

/* --- the thread --- */

static uint64_t
lost_lines(const struct access_log *l)
{
	struct access_counts counts;

	access_log_count(l, &counts);
	return counts.lost;
}

static void
report_lost(struct access_log *l, bool is_last)
{
	uint64_t lost = lost_lines(l);
	int64_t now = clk_now();

	if (lost == l->reported ||
	    (!is_last && l->reported_ns != 0 && now - l->reported_ns < REPORT_EACH))
		return;
	log_warn(NULL, l->words->lost, "count=%llu since_start=%llu to=%s",
		 (unsigned long long)(lost - l->reported), (unsigned long long)lost,
		 access_sink_name(l->sink));
	l->reported = lost;
	l->reported_ns = now;
}

static void
note_failure(struct access_log *l)
{
	if (!l->is_failing)
		log_warn(NULL, l->words->fails, "to=%s retry_ms=%d err=%s",
			 access_sink_name(l->sink), RETRY_MS, access_sink_why(l->sink));
	l->retry_ms = l->is_failing ? MIN(2 * l->retry_ms, access_sink_retry_most_ms(l->sink))
				    : RETRY_MS;
	l->is_failing = true;
}

static void
note_success(struct access_log *l)
{
	if (l->is_failing)
		log_info(NULL, l->words->works, "to=%s", access_sink_name(l->sink));
	l->is_failing = false;
}

enum drained {
	DRAINED_NOTHING, /* the rings were empty */
	DRAINED_ALL,
	DRAINED_BLOCKED, /* the other side takes no more */
	DRAINED_FAILED,
};

/* Write what one ring has now.  What the worker adds meanwhile waits for the other rings. */
static enum drained
drain_ring(struct access_log *l, struct access_ring *r)
{
	enum drained result = DRAINED_NOTHING;
	struct iovec iov[2];
	int n = access_ring_peek(r, iov);
	ssize_t left = 0;
	int i;

	for (i = 0; i < n; i++)
		left += (ssize_t)iov[i].iov_len;
	for (; left > 0; n = access_ring_peek(r, iov)) {
		uint64_t dropped;
		ssize_t taken = access_sink_write(l->sink, iov, n, &dropped);

		if (taken < 0)
			return errno == EAGAIN || errno == ENOBUFS ? DRAINED_BLOCKED
								   : DRAINED_FAILED;
		metric_add(&l->undelivered, dropped);
		access_ring_drop(r, (size_t)taken);
		left -= taken;
		result = DRAINED_ALL;
	}
	return result;
}

static enum drained
drain(struct access_log *l)
{
	enum drained result = DRAINED_NOTHING;
	unsigned i;

	for (i = 0; i < l->rings_n; i++) {
		enum drained one = drain_ring(l, &l->rings[i]);

		if (one == DRAINED_FAILED)
			note_failure(l);
		else if (one == DRAINED_ALL)
			note_success(l);
		if (one >= DRAINED_BLOCKED)
			return one;
		result = MAX(result, one);
	}
	return result;
}

static bool
has_lines(const struct access_log *l)
{
	unsigned i;

	for (i = 0; i < l->rings_n; i++)
		if (atomic_load(&l->rings[i].head) != atomic_load(&l->rings[i].tail))
			return true;
	return false;
}

/* A worker that sees its ring fill up wakes the thread once, not after each pass. */
static bool
must_hurry(const struct access_log *l)
{
	unsigned i;

	for (i = 0; i < l->rings_n; i++)
		if (atomic_load(&l->rings[i].head) - atomic_load(&l->rings[i].tail) >= HURRY / 2)
			return true;
	return false;
}

/* -1: for as long as it takes. */
static void
wait_for(struct access_log *l, int ms, bool is_blocked)
{
	struct pollfd p[2] = {{.fd = l->wake_fd, .events = POLLIN},
			      {.fd = is_blocked ? access_sink_fd(l->sink) : -1, .events = POLLOUT}};
	uint64_t n;

	if (poll(p, 2, ms) > 0 && p[0].revents != 0)
		(void)!read(l->wake_fd, &n, sizeof n);
}

static void
sleep_until_woken(struct access_log *l)
{
	atomic_store(&l->is_asleep, true);
	/* A worker puts a line before it looks at is_asleep. */
	if (!has_lines(l))
		wait_for(l, -1, false);
	atomic_store(&l->is_asleep, false);
}

static void
change_sink(struct access_log *l, struct access_sink *next)
{
	access_sink_follow(next, l->sink);
	access_sink_free(&l->sink);
	l->sink = next;
	l->is_failing = false;
}

static void
reopen(struct access_log *l)
{
	struct err e;

	if (access_sink_reopen(l->sink, &e) < 0)
		log_error(NULL, "cannot reopen the access log", "to=%s err=%s",
			  access_sink_name(l->sink), e.text);
	else
		log_info(NULL, "access log reopened", "to=%s", access_sink_name(l->sink));
}

/* What main asks for.  False: the thread is to end. */
static bool
obey(struct access_log *l)
{
	struct access_sink *next;
	bool must_reopen, is_stopping;

	pthread_mutex_lock(&l->lock);
	next = l->next_sink;
	must_reopen = l->must_reopen;
	is_stopping = l->is_stopping;
	l->next_sink = NULL;
	l->must_reopen = false;
	pthread_mutex_unlock(&l->lock);
	if (next != NULL)
		change_sink(l, next);
	if (must_reopen) {
		(void)drain(l);
		reopen(l);
	}
	return !is_stopping;
}

/* The workers have ended: write what is left, and wait for a reader only for a moment. */
static void
write_rest(struct access_log *l)
{
	int64_t until = clk_now() + STOP_MOST / 2;
	enum drained drained;

	while ((drained = drain(l)) >= DRAINED_BLOCKED && clk_now() < until)
		wait_for(l, 50, drained == DRAINED_BLOCKED);
}

static void
count_rest(struct access_log *l)
{
	struct iovec iov[2];
	unsigned i;

	for (i = 0; i < l->rings_n; i++) {
		int n = access_ring_peek(&l->rings[i], iov);

		while (n-- > 0) {
			const char *at = iov[n].iov_base, *end = at + iov[n].iov_len;

			while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL && at++ < end)
				metric_add(&l->undelivered, 1);
		}
	}
}

/* Lines come again and again: each pause is longer than the one before, since the thread costs the
 * same for one line as for many.  (The first line after a time without any was written at once.) */
static void
gather(struct access_log *l)
{
	wait_for(l, must_hurry(l) ? 0 : l->gather_ms, false);
	l->gather_ms = MIN(2 * l->gather_ms, access_sink_gather_most_ms(l->sink));
}

static void *
run(void *arg)
{
	struct access_log *l = arg;

	l->gather_ms = access_sink_gather_ms(l->sink);

	while (obey(l)) {
		switch (drain(l)) {
		case DRAINED_NOTHING:
			sleep_until_woken(l);
			l->gather_ms = access_sink_gather_ms(l->sink);
			break;
		case DRAINED_ALL:
			gather(l);
			break;
		case DRAINED_BLOCKED:
			wait_for(l, RETRY_MS, true);
			break;
		case DRAINED_FAILED:
			wait_for(l, l->retry_ms, false);
			break;
		}
		report_lost(l, false);
	}
	write_rest(l);
	count_rest(l);
	report_lost(l, true);
	pthread_mutex_lock(&l->lock);
	l->is_ended = true;
	pthread_cond_signal(&l->ended);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* --- the worker --- */

void
access_log_announce(struct access_log *l, struct access_ring *r)
{
	r->is_dirty = false;
	/* The line is put before is_asleep is read: sleep_until_woken() does the reverse. */
	atomic_thread_fence(memory_order_seq_cst);
	if (access_ring_waiting(r) < HURRY) {
		r->is_hurrying = false;
	} else if (!r->is_hurrying) {
		r->seen_tail = atomic_load_explicit(&r->tail, memory_order_acquire);
		r->is_hurrying = access_ring_waiting(r) >= HURRY;
		if (r->is_hurrying) {
			wake(l);
			return;
		}
	} else {
		r->seen_tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	}
	if (atomic_load_explicit(&l->is_asleep, memory_order_relaxed))
		wake(l);
}

/* --- main --- */

static int
start_thread(struct access_log *l, struct err *e)
{
	sigset_t all, old;
	int code;

	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&l->thread, NULL, run, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return code == 0 ? 0
			 : err_set(e, code, "cannot start the thread of the access log: %s",
				   strerror(code));
}

static void
destroy(struct access_log *l)
{
	unsigned i;

	for (i = 0; i < l->rings_n; i++)
		access_ring_fini(&l->rings[i]);
	access_sink_free(&l->sink);
	access_sink_free(&l->next_sink);
	pthread_cond_destroy(&l->ended);
	pthread_mutex_destroy(&l->lock);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	free(l->rings);
	free(l);
}

struct access_log *
access_log_new(enum access_lines what, unsigned n, struct access_sink **sink, struct err *e)
{
	struct access_log *l = xcalloc(1, sizeof *l);
	pthread_condattr_t attr;
	unsigned i;
	int rc;

	l->words = &words[what];
	l->rings = xaligned(64, n * sizeof *l->rings);
	for (; l->rings_n < n; l->rings_n++) {
		i = l->rings_n;
		access_ring_init(&l->rings[i], RING_SIZE);
	}
	l->sink = *sink;
	*sink = NULL;
	CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* that of clk_now() */
	CHECK(pthread_cond_init(&l->ended, &attr) == 0);
	pthread_condattr_destroy(&attr);
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = l->wake_fd < 0 ? err_errno(e, "cannot make an eventfd") : start_thread(l, e);
	if (rc == 0)
		return l;
	destroy(l);
	return NULL;
}

/* False: a disk holds the thread up. */
static bool
end_thread(struct access_log *l)
{
	int64_t until = clk_now() + STOP_MOST;
	struct timespec ts = {.tv_sec = until / CLK_S, .tv_nsec = until % CLK_S};
	bool is_ended;
	int rc = 0;

	pthread_mutex_lock(&l->lock);
	l->is_stopping = true;
	wake(l);
	while (!l->is_ended && rc == 0)
		rc = pthread_cond_timedwait(&l->ended, &l->lock, &ts);
	is_ended = l->is_ended;
	pthread_mutex_unlock(&l->lock);
	if (is_ended)
		pthread_join(l->thread, NULL);
	return is_ended;
}

void
access_log_free(struct access_log **lp)
{
	struct access_log *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	if (end_thread(l))
		destroy(l);
	else /* the thread still uses it */
		log_warn(NULL, l->words->left, "waited_s=%lld", (long long)(STOP_MOST / CLK_S));
}

struct access_ring *
access_log_ring(struct access_log *l, unsigned worker)
{
	CHECK(worker < l->rings_n);
	return &l->rings[worker];
}

void
access_log_set_sink(struct access_log *l, struct access_sink **sink)
{
	pthread_mutex_lock(&l->lock);
	access_sink_free(&l->next_sink);
	l->next_sink = *sink;
	*sink = NULL;
	pthread_mutex_unlock(&l->lock);
	wake(l);
}

void
access_log_reopen(struct access_log *l)
{
	pthread_mutex_lock(&l->lock);
	l->must_reopen = true;
	pthread_mutex_unlock(&l->lock);
	wake(l);
}

void
access_log_count(const struct access_log *l, struct access_counts *c)
{
	unsigned i;

	*c = (struct access_counts){
		.lost = atomic_load_explicit(&l->undelivered, memory_order_relaxed)};
	for (i = 0; i < l->rings_n; i++) {
		c->lines += atomic_load_explicit(&l->rings[i].lines, memory_order_relaxed);
		c->lost += atomic_load_explicit(&l->rings[i].lost, memory_order_relaxed);
		c->left_out += atomic_load_explicit(&l->rings[i].left_out, memory_order_relaxed);
	}
	c->lines -= atomic_load_explicit(&l->undelivered, memory_order_relaxed);
}
