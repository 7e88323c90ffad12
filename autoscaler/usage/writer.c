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
#include "autoscaler/usage/record.h"
#include "common/clk.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"

#define QUEUE_MAX ((size_t)32768) /* records that wait to be written */
#define RETRY (5 * CLK_S)
#define STOP_MOST (5 * CLK_S)

/* Records of one day that are written together. */
struct writer_batch {
	struct list_node node;
	int64_t day;
	struct usage_record *v; /* their run is borrowed from the writer */
	size_t n, cap;
	struct strbuf text; /* the same as lines, once the thread has made them */
};

struct writer {
	struct loop *loop;
	char *run;
	pthread_t thread;

	/* the loop's */
	struct writer_batch *filling; /* NULL: nothing was put since the last flush */
	writer_loaded_fn *loaded;
	void *arg;
	struct loop_mail mail; /* brings hours back */

	/* the thread's */
	struct journal *journal;
	struct hours *hours;
	bool is_failing;

	/* shared: mutex lock */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* for the thread: queue or is_stopping */
	pthread_cond_t ended;	/* for writer_stop(): is_ended */
	struct list queue;	/* of batches */
	size_t queued;		/* records in them, those being written included */
	bool is_stopping, is_ended;
	bool is_abandoned; /* the loop ends before the thread: post nothing to it */

	/* atomics */
	_Atomic uint64_t written, lost;
};

static void
batch_free(struct writer_batch *b)
{
	size_t i;

	for (i = 0; i < b->n; i++)
		account_fini(&b->v[i].account);
	free(b->v);
	strbuf_fini(&b->text);
	free(b);
}

/* --- the thread --- */

/* Wait until there is a batch, which stays in the queue, or, after a failure, until it is time to
 * try again.  NULL: all is written, and the writer stops. */
static struct writer_batch *
await_batch(struct writer *w)
{
	struct list_node *node;

	pthread_mutex_lock(&w->lock);
	if (w->is_failing && !w->is_stopping) {
		int64_t until = clk_now() + RETRY;
		struct timespec ts = {.tv_sec = until / CLK_S, .tv_nsec = until % CLK_S};

		pthread_cond_timedwait(&w->changed, &w->lock, &ts);
	}
	while (list_empty(&w->queue) && !w->is_stopping)
		pthread_cond_wait(&w->changed, &w->lock);
	node = list_first(&w->queue);
	pthread_mutex_unlock(&w->lock);
	return node == NULL ? NULL : container_of(node, struct writer_batch, node);
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

static void
done_with(struct writer *w, struct writer_batch *b)
{
	pthread_mutex_lock(&w->lock);
	list_remove(&w->queue, &b->node);
	w->queued -= b->n;
	pthread_mutex_unlock(&w->lock);
	batch_free(b);
}

/* Would the same records fail again for ever?  Those behind them would then wait in vain. */
static bool
is_hopeless(struct writer *w, const struct err *e)
{
	return e->code == EFBIG || is_stopping(w);
}

static void
lose(struct writer *w, struct writer_batch *b)
{
	atomic_fetch_add(&w->lost, b->n);
	done_with(w, b);
}

static void
write_batch(struct writer *w, struct writer_batch *b)
{
	struct err e;
	size_t i;

	if (b->text.len == 0)
		for (i = 0; i < b->n; i++)
			record_encode(&b->v[i], &b->text);
	if (journal_append(w->journal, b->day, b->text.data, b->text.len, &e) == 0) {
		if (w->is_failing)
			log_info(NULL, "usage is written again", "lost_records=%llu",
				 (unsigned long long)atomic_load(&w->lost));
		w->is_failing = false;
		atomic_fetch_add(&w->written, b->n);
		done_with(w, b);
		return;
	}
	if (!w->is_failing)
		log_warn(NULL, "cannot write usage", "retry_s=%lld err=%s",
			 (long long)(RETRY / CLK_S), e.text);
	w->is_failing = true;
	if (is_hopeless(w, &e))
		lose(w, b);
}

static void *
run(void *arg)
{
	struct writer *w = arg;
	struct writer_batch *b;

	journal_load(w->journal, w->hours);
	pthread_mutex_lock(&w->lock);
	if (!w->is_abandoned)
		loop_post(w->loop, &w->mail);
	pthread_mutex_unlock(&w->lock);
	while ((b = await_batch(w)) != NULL)
		write_batch(w, b);
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

	list_init(&w->queue);
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
	struct list_node *node;

	while ((node = list_pop(&w->queue)) != NULL)
		batch_free(container_of(node, struct writer_batch, node));
	if (w->filling != NULL)
		batch_free(w->filling);
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
	struct writer_batch *b = w->filling;
	struct usage_record *r;

	if (b != NULL && b->day != hour / 24)
		writer_flush(w);
	if (w->filling == NULL) {
		w->filling = xcalloc(1, sizeof *w->filling);
		w->filling->day = hour / 24;
		strbuf_init(&w->filling->text, 0);
	}
	b = w->filling;
	if (b->n == b->cap) {
		b->cap = MAX(b->cap * 2, (size_t)16);
		b->v = xrealloc(b->v, b->cap * sizeof *b->v);
	}
	r = &b->v[b->n++];
	*r = (struct usage_record){.run = w->run, .part = part, .hour = hour, .amounts = *a};
	account_init(&r->account, account->revision, account->owner, account->cost_center);
}

void
writer_flush(struct writer *w)
{
	struct writer_batch *b = w->filling;
	bool is_full;

	if (b == NULL)
		return;
	w->filling = NULL;
	pthread_mutex_lock(&w->lock);
	is_full = w->queued > 0 && w->queued + b->n > QUEUE_MAX;
	if (!is_full) {
		list_push(&w->queue, &b->node);
		w->queued += b->n;
		pthread_cond_signal(&w->changed);
	}
	pthread_mutex_unlock(&w->lock);
	if (!is_full)
		return;
	if (atomic_fetch_add(&w->lost, b->n) == 0)
		log_warn(NULL, "usage records are lost, the disk is too slow or full",
			 "records=%zu queued=%zu", b->n, QUEUE_MAX);
	batch_free(b);
}

uint64_t
writer_written(const struct writer *w)
{
	return atomic_load(&w->written);
}

uint64_t
writer_lost(const struct writer *w)
{
	return atomic_load(&w->lost);
}
