#include "autoscaler/usage/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/usage/hours.h"
#include "autoscaler/usage/journal.h"
#include "autoscaler/usage/meter.h"
#include "autoscaler/usage/query.h"
#include "autoscaler/usage/table.h"
#include "autoscaler/usage/writer.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/list.h"
#include "common/log.h"
#include "common/strbuf.h"

#define WRITE_EVERY (10 * CLK_S)
#define IDLE_EVERY (300 * CLK_S) /* a revision of which only idle time has passed */
#define ASKS_MAX 16
#define MEMORY_MAX ((uint64_t)8 << 20) /* for the hours, without a journal */

/* A request for /usage that waits for its answer. */
struct ask {
	struct list_node node;
	struct admin_later *later; /* NULL: done and arg */
	ledger_done_fn *done;	   /* NULL: the asker has gone */
	void *arg;
	struct table_query query;
	enum query_format format;
};

/* A part that has ended while a query runs. */
struct ended {
	struct list_node node;
	int64_t hour;
	struct account account;
	struct amounts amounts;
};

struct ledger {
	struct loop *loop;
	struct meter *meter;
	struct hours *hours;   /* of parts that have ended, and what was in the journal; not
				* changed while a query runs */
	struct query *query;   /* NULL: none runs; else for the first of asks */
	struct list asks;      /* in the order of their arrival */
	struct list ended;     /* for hours, when the query is over */
	struct writer *writer; /* NULL: there is no journal */
	bool is_loading;       /* the journal is being read */
	int64_t written_ns;
};

/* --- what the meter hands out --- */

static void
keep_ended(struct ledger *l, const struct meter_part *p)
{
	struct ended *x = xcalloc(1, sizeof *x);

	x->hour = p->hour;
	x->amounts = p->amounts;
	account_init(&x->account, p->account->revision, p->account->owner, p->account->cost_center);
	list_push(&l->ended, &x->node);
}

/* The query is over. */
static void
add_ended(struct ledger *l)
{
	struct list_node *node;

	while ((node = list_pop(&l->ended)) != NULL) {
		struct ended *x = container_of(node, struct ended, node);

		hours_add(l->hours, x->hour, &x->account, &x->amounts);
		account_fini(&x->account);
		free(x);
	}
}

static void
on_part(const struct meter_part *p, void *arg)
{
	struct ledger *l = arg;

	if (l->writer != NULL)
		writer_put(l->writer, p->part, p->hour, p->account, &p->amounts);
	if (p->is_final && l->query != NULL)
		keep_ended(l, p);
	else if (p->is_final)
		hours_add(l->hours, p->hour, p->account, &p->amounts);
}

static void
advance(struct ledger *l)
{
	meter_advance(l->meter, clk_now(), clk_wall(), on_part, l);
}

/* --- life --- */

static void refuse_asks(struct ledger *);

static void
on_loaded(struct hours *hours, void *arg)
{
	struct ledger *l = arg;
	struct hours *fresh = l->hours;

	l->is_loading = false;
	l->hours = hours;
	hours_merge(l->hours, &fresh); /* the smaller one into the larger one */
}

static void
start_writer(struct ledger *l, struct loop *loop, const struct ledger_conf *conf,
	     uint64_t memory_max)
{
	struct journal *journal = journal_new(&(struct journal_conf){.state_dir = conf->state_dir,
								     .run = conf->run,
								     .days_max = conf->days_max,
								     .bytes_max = conf->bytes_max});
	struct hours *read = hours_new(memory_max);
	struct err e;

	l->writer = writer_start(loop, conf->run, &journal, &read, on_loaded, l, &e);
	l->is_loading = l->writer != NULL;
	if (l->writer == NULL)
		log_error(NULL, "usage is kept in memory alone", "err=%s", e.text);
}

struct ledger *
ledger_open(struct loop *loop, const struct ledger_conf *conf)
{
	struct ledger *l = xcalloc(1, sizeof *l);
	uint64_t memory_max = conf->days_max == 0 ? MEMORY_MAX : conf->bytes_max / 2;

	l->loop = loop;
	list_init(&l->asks);
	list_init(&l->ended);
	l->meter = meter_new(clk_now(), clk_wall());
	l->hours = hours_new(memory_max);
	l->written_ns = clk_now();
	if (conf->days_max > 0)
		start_writer(l, loop, conf, memory_max);
	return l;
}

void
ledger_close(struct ledger **lp)
{
	struct ledger *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	query_cancel(&l->query);
	refuse_asks(l);
	add_ended(l);
	advance(l);
	meter_write(l->meter, 0, 0, on_part, l);
	writer_stop(&l->writer);
	meter_free(&l->meter);
	hours_free(&l->hours);
	free(l);
}

/* --- events --- */

void
ledger_revisions_begin(struct ledger *l)
{
	advance(l);
	meter_revisions_begin(l->meter);
}

void
ledger_revisions_add(struct ledger *l, const char *revision, const char *owner,
		     const char *cost_center, bool is_external)
{
	struct account account;

	account_init(&account, revision, owner, cost_center);
	meter_revisions_add(l->meter, &account, is_external, on_part, l);
	account_fini(&account);
}

void
ledger_revisions_end(struct ledger *l)
{
	meter_revisions_end(l->meter, on_part, l);
}

void
ledger_view(struct ledger *l, const struct driver_view *view)
{
	advance(l);
	meter_view(l->meter, view);
}

void
ledger_message(struct ledger *l, uint64_t peer, const struct msg *m)
{
	if (m->type != MSG_ACTIVATE && m->type != MSG_STATS)
		return;
	advance(l);
	if (m->type == MSG_ACTIVATE)
		meter_activate(l->meter, peer, m->u.activate.revision);
	else
		meter_stats(l->meter, peer, &m->u.stats);
}

void
ledger_peer_down(struct ledger *l, uint64_t peer)
{
	meter_peer_down(l->meter, peer);
}

void
ledger_tick(struct ledger *l)
{
	int64_t now = clk_now();

	advance(l);
	if (l->writer == NULL)
		return;
	if (now - l->written_ns >= WRITE_EVERY) {
		l->written_ns = now;
		meter_write(l->meter, WRITE_EVERY / 2, IDLE_EVERY, on_part, l);
	}
	writer_flush(l->writer);
}

/* --- reading --- */

static void
add_part(const struct meter_part *p, void *arg)
{
	table_add_live(arg, p->hour, p->account, &p->amounts);
}

static void on_answer(int status, const char *content_type, const struct strbuf *, void *);

/* Begin the query for the first of asks.  -1 with err. */
static int
begin_query(struct ledger *l, const struct ask *ask, struct err *e)
{
	struct table *t = table_new(&ask->query);

	advance(l);
	meter_each(l->meter, add_part, t);
	l->query = query_start(l->loop, l->hours, ask->query.from, ask->query.upto, &t, ask->format,
			       on_answer, l, e);
	return l->query == NULL ? -1 : 0;
}

/* Answer the first of asks. */
static void
answer(struct ledger *l, int status, const char *content_type, const struct strbuf *body)
{
	struct list_node *node = list_pop(&l->asks);
	struct ask *ask = container_of(node, struct ask, node);

	if (ask->later != NULL)
		ask->later->answer(ask->later, status, content_type, body);
	else if (ask->done != NULL)
		ask->done(status == 200 ? NULL : strbuf_str(body), body, ask->arg);
	free(ask);
}

static void
refuse_first(struct ledger *l, const char *why)
{
	struct strbuf body;

	strbuf_init(&body, 0);
	strbuf_addf(&body, "%s\n", why);
	answer(l, 503, "text/plain; charset=utf-8", &body);
	strbuf_fini(&body);
}

static void
refuse_asks(struct ledger *l)
{
	while (!list_empty(&l->asks))
		refuse_first(l, "the autoscaler is stopping");
}

/* If no query runs, begin the next one. */
static void
next_query(struct ledger *l)
{
	struct err e;

	while (l->query == NULL && !list_empty(&l->asks))
		if (begin_query(l, container_of(list_first(&l->asks), struct ask, node), &e) < 0)
			refuse_first(l, e.text);
}

static void
on_answer(int status, const char *content_type, const struct strbuf *body, void *arg)
{
	struct ledger *l = arg;

	l->query = NULL;
	add_ended(l);
	answer(l, status, content_type, body);
	next_query(l);
}

static void
refuse(struct admin_request *req, int status, const char *why)
{
	req->status = status;
	strbuf_addf(req->body, "%s\n", why);
}

/* 1: JSON, 0: CSV; -1: neither is asked for. */
static int
format_of(struct admin_request *req)
{
	const char *format = req->param(req, "format");

	if (format == NULL)
		return req->is_json_wanted;
	if (strcmp(format, "json") == 0)
		return 1;
	return strcmp(format, "csv") == 0 ? 0 : -1;
}

const char *const ledger_params[] = {"from", "to", "by", "format", NULL};

/* 0: it may be asked; else the status, with err. */
static int
check_ask(const struct ledger *l, struct table_query *q, const char *from, const char *to,
	  const char *by, struct err *e)
{
	if (l->is_loading) {
		err_set(e, 0, "the journal is still being read");
		return 503;
	}
	if (table_query_parse(q, from, to, by, clk_wall(), e) < 0)
		return 400;
	if (l->asks.n == ASKS_MAX) {
		err_set(e, 0, "too many requests for usage at a time");
		return 503;
	}
	return 0;
}

static struct ask *
add_ask(struct ledger *l, const struct table_query *q, enum query_format format)
{
	struct ask *ask = xcalloc(1, sizeof *ask);
	struct ledger_counts counts;

	ledger_counts(l, &counts);
	ask->query = *q;
	ask->query.broken = counts.broken;
	ask->query.dropped = counts.dropped;
	ask->format = format;
	list_push(&l->asks, &ask->node);
	return ask;
}

void
ledger_answer(struct ledger *l, struct admin_request *req, double price)
{
	struct table_query q;
	struct err e;
	int status = check_ask(l, &q, req->param(req, "from"), req->param(req, "to"),
			       req->param(req, "by"), &e);

	if (status != 0) {
		refuse(req, status, e.text);
		return;
	}
	if (format_of(req) < 0) {
		refuse(req, 400, "format: expected json or csv");
		return;
	}
	q.price = price;
	add_ask(l, &q, format_of(req) == 1 ? QUERY_JSON : QUERY_CSV)->later = req->defer(req);
	next_query(l);
}

int
ledger_ask(struct ledger *l, const struct ledger_ask *a, struct err *e)
{
	struct table_query q;
	struct ask *ask;

	if (check_ask(l, &q, a->from, a->to, a->by, e) != 0)
		return -1;
	q.price = a->price;
	ask = add_ask(l, &q, QUERY_LINES);
	ask->done = a->done;
	ask->arg = a->arg;
	next_query(l);
	return 0;
}

bool
ledger_forget(struct ledger *l, const void *arg)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&l->asks, node, tmp) {
		struct ask *ask = container_of(node, struct ask, node);

		if (ask->done != NULL && ask->arg == arg) {
			ask->done = NULL;
			return true;
		}
	}
	return false;
}

int64_t
ledger_active_ns(const struct ledger *l, const char *revision)
{
	return meter_active_ns(l->meter, revision);
}

const struct amounts *
ledger_total(struct ledger *l, const char *revision)
{
	advance(l);
	return meter_total(l->meter, revision);
}

const struct amounts *
ledger_past(const struct ledger *l, const char *service)
{
	return meter_past(l->meter, service);
}

void
ledger_counts(const struct ledger *l, struct ledger_counts *c)
{
	*c = (struct ledger_counts){.rows = hours_rows(l->hours),
				    .dropped = hours_dropped(l->hours)};
	if (l->writer == NULL)
		return;
	c->written = writer_written(l->writer);
	c->lost = writer_lost(l->writer);
	c->broken = writer_broken(l->writer);
	c->waiting = writer_waiting(l->writer);
}
