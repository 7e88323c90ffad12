#include "autoscaler/usage/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/usage/hours.h"
#include "autoscaler/usage/journal.h"
#include "autoscaler/usage/meter.h"
#include "autoscaler/usage/table.h"
#include "autoscaler/usage/writer.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/strbuf.h"

#define WRITE_EVERY (10 * CLK_S)
#define IDLE_EVERY (300 * CLK_S) /* a revision of which only idle time has passed */
#define MEMORY_MAX ((uint64_t)8 << 20)	 /* for the hours, without a journal */

struct ledger {
	struct meter *meter;
	struct hours *hours;   /* of parts that have ended, and what was in the journal */
	struct writer *writer; /* NULL: there is no journal */
	bool is_loading;       /* the journal is being read */
	int64_t written_ns;
};

/* --- what the meter hands out --- */

static void
on_part(const struct meter_part *p, void *arg)
{
	struct ledger *l = arg;

	if (l->writer != NULL)
		writer_put(l->writer, p->part, p->hour, p->account, &p->amounts);
	if (p->is_final)
		hours_add(l->hours, p->hour, p->account, &p->amounts);
}

static void
advance(struct ledger *l)
{
	meter_advance(l->meter, clk_now(), clk_wall(), on_part, l);
}

/* --- life --- */

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
add_row(int64_t hour, const struct account *account, const struct amounts *a, void *arg)
{
	table_add(arg, hour, account, a);
}

static void
add_part(const struct meter_part *p, void *arg)
{
	table_add_live(arg, p->hour, p->account, &p->amounts);
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

static void
write_table(struct admin_request *req, struct table *t)
{
	if (table_is_too_long(t)) {
		refuse(req, 400,
		       "the answer is too long: ask for a shorter time, or by day or month");
		return;
	}
	req->content_type = format_of(req) == 1 ? "application/json" : "text/csv; charset=utf-8";
	if (format_of(req) == 1)
		table_write_json(t, req->body);
	else
		table_write_csv(t, req->body);
}

void
ledger_answer(struct ledger *l, struct admin_request *req, double price)
{
	struct table_query q;
	struct table *t;
	struct err e;

	if (l->is_loading) {
		refuse(req, 503, "the journal is still being read");
		return;
	}
	if (table_query_parse(&q, req->param(req, "from"), req->param(req, "to"),
			      req->param(req, "by"), clk_wall(), &e) < 0) {
		refuse(req, 400, e.text);
		return;
	}
	if (format_of(req) < 0) {
		refuse(req, 400, "format: expected json or csv");
		return;
	}
	q.price = price;
	t = table_new(&q);
	advance(l);
	meter_each(l->meter, add_part, t);
	hours_each(l->hours, q.from, q.upto, add_row, t);
	table_end(t);
	write_table(req, t);
	table_free(&t);
}

const struct amounts *
ledger_total(struct ledger *l, const char *revision)
{
	advance(l);
	return meter_total(l->meter, revision);
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
}
