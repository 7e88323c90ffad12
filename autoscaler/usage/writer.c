#include "autoscaler/usage/writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "autoscaler/usage/hours.h"
#include "autoscaler/usage/journal.h"
#include "autoscaler/usage/queue.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"

#define QUEUE_MAX ((size_t)32768) /* parts that wait to be written; twice, as below */
#define WRITE_MOST ((size_t)4096) /* records that are written together */
#define RETRY (5 * CLK_S)
#define STOP_MOST (5 * CLK_S)

struct writer {
	struct loop *loop;
	char *run;
	pthread_t thread;

	/* the loop's */
	writer_loaded_fn *loaded;
	void *arg;
	struct loop_mail mail; /* brings hours back */

	/* the thread's */
	struct journal *journal;
	struct hours *hours;
	struct queue *taken; /* what is to be written */
	bool is_failing;

	/* shared: mutex lock */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* for the thread: `put` or is_stopping */
	pthread_cond_t ended;	/* for writer_stop(): is_ended */
	struct queue *put;	/* what was put since the thread took the last */
	size_t taken_n;		/* at least as many as there are in `taken` */
	bool is_stopping, is_ended;
	bool is_outage;	      /* the log says that records cannot be written, or are lost */
	uint64_t lost_before; /* the outage */
	bool is_abandoned;    /* the loop ends before the thread: post nothing to it */

	/* atomics */
	_Atomic uint64_t written, lost, broken;
};

/* --- outages --- */

/* Records cannot be written, or are lost.  True: that is new, and the caller logs it. */
static bool
begin_outage(struct writer *w, size_t lost)
{
	uint64_t lost_before;
	bool is_new;

	pthread_mutex_lock(&w->lock);
	lost_before = atomic_fetch_add(&w->lost, lost);
	is_new = !w->is_outage;
	if (is_new)
		w->lost_before = lost_before;
	w->is_outage = true;
	pthread_mutex_unlock(&w->lock);
	return is_new;
}

/* Any thread. */
static void
lose_oldest(struct writer *w, size_t n)
{
	if (n > 0 && begin_outage(w, n))
		log_warn(NULL, "usage records are lost: the disk is too slow", "queued=%zu",
			 QUEUE_MAX);
}

/* True: an outage was on; *lost: records that it cost. */
static bool
end_outage(struct writer *w, uint64_t *lost)
{
	bool was;

	pthread_mutex_lock(&w->lock);
	was = w->is_outage;
	*lost = atomic_load(&w->lost) - w->lost_before;
	w->is_outage = false;
	pthread_mutex_unlock(&w->lock);
	return was;
}

/* --- the thread --- */

/* After a failure wait for RETRY, or until more is put, before the next attempt; the lock is
 * held. */
static void
pause_locked(struct writer *w)
{
	int64_t until = clk_now() + RETRY;
	struct timespec ts = {.tv_sec = until / CLK_S, .tv_nsec = until % CLK_S};

	if (!w->is_stopping && queue_n(w->put) == 0)
		pthread_cond_timedwait(&w->changed, &w->lock, &ts);
}

/* `taken` has changed. */
static void
note_taken(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	w->taken_n = queue_n(w->taken);
	pthread_mutex_unlock(&w->lock);
}

/* Wait until there are records to be written, in w->taken.  False: all are written, and the writer
 * stops. */
static bool
await_records(struct writer *w)
{
	struct queue *put = queue_new(QUEUE_MAX), *empty = put;

	pthread_mutex_lock(&w->lock);
	if (w->is_failing)
		pause_locked(w);
	while (queue_n(w->taken) == 0 && queue_n(w->put) == 0 && !w->is_stopping)
		pthread_cond_wait(&w->changed, &w->lock);
	put = w->put;
	w->put = empty;
	w->taken_n += queue_n(put);
	pthread_mutex_unlock(&w->lock);
	lose_oldest(w, queue_merge(w->taken, &put));
	note_taken(w);
	return queue_n(w->taken) > 0;
}

static bool
is_stopping(struct writer *w)
{
	bool is;

	pthread_mutex_lock(&w->lock);
	is = w->is_stopping;
	pthread_mutex_unlock(&w->lock);
	return is;
}

/* Would the same records fail again for ever?  Those behind them would then wait in vain. */
static bool
is_hopeless(struct writer *w, const struct err *e)
{
	return e->code == EFBIG || is_stopping(w);
}

static void
written(struct writer *w, size_t n)
{
	uint64_t lost;

	w->is_failing = false;
	atomic_fetch_add(&w->written, n);
	queue_drop(w->taken, n);
	note_taken(w);
	if (queue_n(w->taken) == 0 && end_outage(w, &lost))
		log_info(NULL, "usage is written again", "lost_records=%llu",
			 (unsigned long long)lost);
}

static void
failed(struct writer *w, size_t n, const struct err *e)
{
	bool is_lost = is_hopeless(w, e);

	w->is_failing = true;
	if (begin_outage(w, is_lost ? n : 0))
		log_warn(NULL, "cannot write usage", "retry_s=%lld err=%s",
			 (long long)(RETRY / CLK_S), e->text);
	if (is_lost)
		queue_drop(w->taken, n);
	note_taken(w);
}

static void
write_some(struct writer *w)
{
	struct strbuf text;
	int64_t day;
	struct err e;
	size_t n;

	strbuf_init(&text, 0);
	n = queue_encode(w->taken, WRITE_MOST, w->run, &day, &text);
	if (journal_append(w->journal, day, text.data, text.len, &e) == 0)
		written(w, n);
	else
		failed(w, n, &e);
	strbuf_fini(&text);
}

static void *
run(void *arg)
{
	struct writer *w = arg;
	uint64_t lost;

	atomic_store(&w->broken, journal_load(w->journal, w->hours));
	pthread_mutex_lock(&w->lock);
	if (!w->is_abandoned)
		loop_post(w->loop, &w->mail);
	pthread_mutex_unlock(&w->lock);
	while (await_records(w))
		write_some(w);
	if (end_outage(w, &lost))
		log_warn(NULL, "usage could not be written", "lost_records=%llu",
			 (unsigned long long)lost);
	pthread_mutex_lock(&w->lock);
	w->is_ended = true;
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* --- the loop --- */

static void
on_mail(struct loop_mail *mail)
{
	struct writer *w = container_of(mail, struct writer, mail);
	struct hours *hours = w->hours;

	w->hours = NULL;
	w->loaded(hours, w->arg);
}

static void
init_shared(struct writer *w)
{
	pthread_condattr_t attr;

	w->put = queue_new(QUEUE_MAX);
	w->taken = queue_new(QUEUE_MAX);
	CHECK(pthread_mutex_init(&w->lock, NULL) == 0);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* that of clk_now() */
	CHECK(pthread_cond_init(&w->changed, &attr) == 0);
	CHECK(pthread_cond_init(&w->ended, &attr) == 0);
	pthread_condattr_destroy(&attr);
}

static void
writer_free(struct writer *w)
{
	queue_free(&w->put);
	queue_free(&w->taken);
	journal_free(&w->journal);
	hours_free(&w->hours);
	free(w->run);
	pthread_cond_destroy(&w->ended);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

struct writer *
writer_start(struct loop *loop, const char *run_id, struct journal **journal, struct hours **hours,
	     writer_loaded_fn *loaded, void *arg, struct err *e)
{
	struct writer *w = xcalloc(1, sizeof *w);
	sigset_t all, old;
	int code;

	w->loop = loop;
	w->run = xstrdup(run_id);
	w->loaded = loaded;
	w->arg = arg;
	w->mail.fn = on_mail;
	w->journal = *journal;
	w->hours = *hours;
	*journal = NULL;
	*hours = NULL;
	init_shared(w);
	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (code == 0)
		return w;
	writer_free(w);
	err_set(e, code, "cannot start the thread that writes usage: %s", strerror(code));
	return NULL;
}

/* False: the disk holds the thread up. */
static bool
end_thread(struct writer *w)
{
	int64_t until = clk_now() + STOP_MOST;
	struct timespec ts = {.tv_sec = until / CLK_S, .tv_nsec = until % CLK_S};
	bool is_ended;
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	w->is_stopping = true;
	pthread_cond_signal(&w->changed);
	while (!w->is_ended && rc == 0)
		rc = pthread_cond_timedwait(&w->ended, &w->lock, &ts);
	is_ended = w->is_ended;
	w->is_abandoned = !is_ended;
	pthread_mutex_unlock(&w->lock);
	if (is_ended)
		pthread_join(w->thread, NULL);
	return is_ended;
}

void
writer_stop(struct writer **wp)
{
	struct writer *w = *wp;
	bool is_ended;

	*wp = NULL;
	if (w == NULL)
		return;
	writer_flush(w);
	is_ended = end_thread(w);
	loop_settle(w->loop); /* what the thread has posted */
	if (is_ended)
		writer_free(w);
	else /* the thread still uses it */
		log_warn(NULL, "the disk is too slow: exiting without the last usage records",
			 "waited_s=%lld", (long long)(STOP_MOST / CLK_S));
}

void
writer_put(struct writer *w, uint64_t part, int64_t hour, const struct account *account,
	   const struct amounts *a)
{
	size_t lost;

	pthread_mutex_lock(&w->lock);
	lost = queue_put(w->put, part, hour, account, a);
	pthread_mutex_unlock(&w->lock);
	lose_oldest(w, lost);
}

void
writer_flush(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	if (queue_n(w->put) > 0)
		pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

size_t
writer_waiting(struct writer *w)
{
	size_t n;

	pthread_mutex_lock(&w->lock);
	n = queue_n(w->put) + w->taken_n;
	pthread_mutex_unlock(&w->lock);
	return n;
}

uint64_t
writer_written(const struct writer *w)
{
	return atomic_load(&w->written);
}

uint64_t
writer_broken(const struct writer *w)
{
	return atomic_load(&w->broken);
}

uint64_t
writer_lost(const struct writer *w)
{
	return atomic_load(&w->lost);
}
