#include "common/task.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/loop.h"

struct task {
	struct loop *loop;
	const struct task_ops *ops;
	void *arg;
	pthread_t thread;
	struct loop_mail mail; /* from the thread, at its end */
	_Atomic bool is_cancelled;
};

static void *
run(void *arg)
{
	struct task *t = arg;

	t->ops->run(t->arg, &t->is_cancelled);
	loop_post(t->loop, &t->mail);
	return NULL;
}

static void
on_mail(struct loop_mail *mail)
{
	struct task *t = container_of(mail, struct task, mail);
	const struct task_ops *ops = t->ops;
	void *arg = t->arg;

	if (atomic_load(&t->is_cancelled))
		return; /* task_cancel() frees it */
	pthread_join(t->thread, NULL);
	free(t);
	ops->done(arg);
}

struct task *
task_start(struct loop *loop, const struct task_ops *ops, void *arg, struct err *e)
{
	struct task *t = xcalloc(1, sizeof *t);
	sigset_t all, old;
	int code;

	t->loop = loop;
	t->ops = ops;
	t->arg = arg;
	t->mail.fn = on_mail;
	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&t->thread, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (code == 0)
		return t;
	free(t);
	err_set(e, code, "cannot start a thread: %s", strerror(code));
	return NULL;
}

void
task_cancel(struct task **tp)
{
	struct task *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	atomic_store(&t->is_cancelled, true);
	pthread_join(t->thread, NULL);
	loop_settle(t->loop); /* its mail */
	free(t);
}
