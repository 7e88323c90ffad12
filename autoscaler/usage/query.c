#include "autoscaler/usage/query.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/usage/hours.h"
#include "autoscaler/usage/table.h"
#include "common/loop.h"
#include "common/strbuf.h"

#define ANSWER_MAX ((size_t)64 << 20)

struct query {
	struct loop *loop;
	pthread_t thread;
	const struct hours *hours;
	int64_t from, upto;
	enum query_format format;
	query_done_fn *done;
	void *arg;
	struct loop_mail mail;	   /* from the thread, at its end */
	_Atomic bool is_cancelled; /* by the loop */

	/* the thread's, until its mail has come */
	struct table *table;
	struct strbuf body;
	const char *content_type;
	int status;
};

/* --- the thread --- */

static void
add_row(int64_t hour, const struct account *account, const struct amounts *a, void *arg)
{
	struct query *q = arg;

	if (!atomic_load_explicit(&q->is_cancelled, memory_order_relaxed))
		table_add(q->table, hour, account, a);
}

static void
write_answer(struct query *q)
{
	if (table_is_too_long(q->table)) {
		q->status = 400;
		strbuf_adds(&q->body, "the answer is too long: ask for a shorter time, or by day "
				      "or month\n");
		return;
	}
	q->status = 200;
	q->content_type = q->format == QUERY_CSV ? "text/csv; charset=utf-8" : "application/json";
	if (q->format == QUERY_LINES)
		table_write_lines(q->table, &q->body);
	else if (q->format == QUERY_JSON)
		table_write_json(q->table, &q->body);
	else
		table_write_csv(q->table, &q->body);
}

static void *
run(void *arg)
{
	struct query *q = arg;

	hours_each(q->hours, q->from, q->upto, add_row, q);
	if (!atomic_load(&q->is_cancelled)) {
		table_end(q->table);
		write_answer(q);
	}
	table_free(&q->table); /* of many rows, which takes time as well */
	loop_post(q->loop, &q->mail);
	return NULL;
}

/* --- the loop --- */

static void
query_free(struct query *q)
{
	table_free(&q->table);
	strbuf_fini(&q->body);
	free(q);
}

static void
on_mail(struct loop_mail *mail)
{
	struct query *q = container_of(mail, struct query, mail);

	if (atomic_load(&q->is_cancelled))
		return; /* query_cancel() frees it */
	pthread_join(q->thread, NULL);
	q->done(q->status, q->content_type, &q->body, q->arg);
	query_free(q);
}

struct query *
query_start(struct loop *loop, const struct hours *hours, int64_t from, int64_t upto,
	    struct table **table, enum query_format format, query_done_fn *done, void *arg,
	    struct err *e)
{
	struct query *q = xcalloc(1, sizeof *q);
	sigset_t all, old;
	int code;

	q->loop = loop;
	q->hours = hours;
	q->from = from;
	q->upto = upto;
	q->format = format;
	q->done = done;
	q->arg = arg;
	q->mail.fn = on_mail;
	q->table = *table;
	*table = NULL;
	q->content_type = "text/plain; charset=utf-8";
	strbuf_init(&q->body, ANSWER_MAX);
	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&q->thread, NULL, run, q);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (code == 0)
		return q;
	query_free(q);
	err_set(e, code, "cannot start the thread that adds up usage: %s", strerror(code));
	return NULL;
}

void
query_cancel(struct query **qp)
{
	struct query *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	atomic_store(&q->is_cancelled, true);
	pthread_join(q->thread, NULL);
	loop_settle(q->loop); /* its mail */
	query_free(q);
}
