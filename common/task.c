#include "common/task.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clk.h"
#include "common/loop.h"

struct task {
	struct loop *loop;
	const struct task_ops *ops;
	void *arg;
	pthread_t thread;
	struct loop_mail mail; /* from the thread, at its end */
	_Atomic bool is_cancelled;
	bool is_arg_taken; /* the loop's: by task_stop() */

	/* shared: mutex lock */
	pthread_mutex_t lock;
	pthread_cond_t ended;	  /* for task_stop(): is_ended */
	bool is_ended, is_mailed; /* run() has returned; its mail is on its way */
	bool is_mail_unwanted;
};

static void *
run(void *arg)
{
	struct task *t = arg;

	t->ops->run(t->arg, &t->is_cancelled);
	pthread_mutex_lock(&t->lock);
	t->is_ended = true;
	t->is_mailed = !t->is_mail_unwanted;
	if (t->is_mailed)
		loop_post(t->loop, &t->mail);
	pthread_cond_signal(&t->ended);
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static void
task_free(struct task *t)
{
	pthread_cond_destroy(&t->ended);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static void
on_mail(struct loop_mail *mail)
{
	struct task *t = container_of(mail, struct task, mail);
	const struct task_ops *ops = t->ops;
	void *arg = t->arg;
	bool is_cancelled = atomic_load(&t->is_cancelled), is_arg_taken = t->is_arg_taken;

	pthread_join(t->thread, NULL);
	task_free(t);
	if (is_arg_taken)
		return;
	if (is_cancelled)
		ops->cancelled(arg);
	else
		ops->done(arg);
}

static struct task *
task_new(struct loop *loop, const struct task_ops *ops, void *arg)
{
	struct task *t = xcalloc(1, sizeof *t);
	pthread_condattr_t attr;

	t->loop = loop;
	t->ops = ops;
	t->arg = arg;
	t->mail.fn = on_mail;
	CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* that of clk_now() */
	CHECK(pthread_cond_init(&t->ended, &attr) == 0);
	pthread_condattr_destroy(&attr);
	return t;
}

struct task *
task_start(struct loop *loop, const struct task_ops *ops, void *arg, struct err *e)
{
	struct task *t = task_new(loop, ops, arg);
	sigset_t all, old;
	int code;

	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&t->thread, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (code == 0)
		return t;
	task_free(t);
	err_set(e, code, "cannot start a thread: %s", strerror(code));
	return NULL;
}

void
task_cancel(struct task *t)
{
	atomic_store(&t->is_cancelled, true);
}

bool
task_stop(struct task **tp, int64_t until_ns)
{
	struct task *t = *tp;
	struct timespec ts = {.tv_sec = until_ns / CLK_S, .tv_nsec = until_ns % CLK_S};
	bool is_ended, is_mailed;
	int rc = 0;

	*tp = NULL;
	if (t == NULL)
		return true;
	atomic_store(&t->is_cancelled, true);
	t->is_arg_taken = true;
	pthread_mutex_lock(&t->lock);
	t->is_mail_unwanted = true; /* the loop may be freed before the thread ends */
	while (!t->is_ended && rc == 0)
		rc = pthread_cond_timedwait(&t->ended, &t->lock, &ts);
	is_ended = t->is_ended;
	is_mailed = t->is_mailed;
	pthread_mutex_unlock(&t->lock);
	if (!is_ended) {
		pthread_detach(t->thread);
	} else if (!is_mailed) { /* or its mail frees it */
		pthread_join(t->thread, NULL);
		task_free(t);
	}
	return is_ended;
}
