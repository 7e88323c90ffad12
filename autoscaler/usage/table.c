#include "autoscaler/usage/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clk.h"
#include "common/hmap.h"
#include "common/jput.h"
#include "common/strbuf.h"
#include "common/text.h"

#define HOUR_S 3600
#define SECONDS_MAX INT64_C(253402300799) /* the end of the year 9999 */
#define DERIVED 8
#define DERIVED_PRICED 5 /* of these, the last ones */
#define LINE_TYPE "type" /* the member that tells one line of table_write_lines() from another */

/* The words of enum table_of. */
static const char *const ofs[] = {"total", "service", "revision", "owner", "cost_center"};

/* What is computed for each row besides its amounts; the last ones only with a price. */
static const char *const derived_names[DERIVED] = {
	"always_peak_s",   "saved_one_s",      "saved_peak_s",	 "cost",
	"always_one_cost", "always_peak_cost", "saved_one_cost", "saved_peak_cost"};

/* A row of the answer. */
struct cell {
	int64_t begin; /* of its hour, day or month, in seconds since the epoch */
	char *name;    /* what it is added up to; "": the total, or what has none */
	struct amounts amounts;
	double always_peak_s; /* each account with its peak of instances at all times */
};

/* What an account uses in the hour that is not over yet. */
struct live {
	size_t names;		/* where those of its account begin in table.names */
	struct account account; /* the same, once is_indexed */
	int64_t hour;
	struct amounts amounts;
};

struct table {
	struct table_query query;
	struct hmap map;     /* begin and name → struct cell */
	struct cell **cells; /* the same */
	size_t n, cap;
	struct live *lives; /* all that were added … */
	size_t lives_n, lives_cap;
	struct strbuf names; /* of their accounts, each ended by a NUL */
	struct hmap waiting; /* … and account_key() → those that are not in the cells yet, once
			      * table_add() or table_end() was called: is_indexed */
	bool is_indexed;

	/* The account whose rows are being added, and what they add up to in one cell: its peak
	 * there is known when the next cell begins. */
	const struct account *account;
	char *name; /* what it is added up to */
	int64_t begin;
	struct amounts sum;
	bool is_pending; /* sum is not in the cell yet */

	int64_t last_day, last_month; /* since the epoch; the seconds that its month began at */
};

/* --- the query --- */

static int
read_time(const char *text, int64_t *seconds)
{
	struct tm tm = {.tm_mday = 1}, given;
	char *end;
	long long n;

	if (text[strspn(text, "0123456789")] == '\0' && text[0] != '\0') {
		n = strtoll(text, NULL, 10);
		*seconds = n;
		return n <= SECONDS_MAX ? 0 : -1;
	}
	end = strptime(text, "%Y-%m-%d", &tm);
	if (end != NULL && *end == 'T')
		end = strptime(end, strlen(end) > strlen("T00:00Z") ? "T%H:%M:%SZ" : "T%H:%MZ",
			       &tm);
	if (end == NULL || *end != '\0')
		return -1;
	given = tm;
	*seconds = timegm(&tm);
	if (tm.tm_mday != given.tm_mday) /* there is no such day, as 2026-02-31 */
		return -1;
	return *seconds >= 0 && *seconds <= SECONDS_MAX ? 0 : -1;
}

static int
parse_time(const char *name, const char *text, int64_t *seconds, struct err *e)
{
	if (text == NULL || read_time(text, seconds) == 0)
		return 0;
	return err_set(e, 0,
		       "%s: expected a time such as 2026-11-30, 2026-11-30T07:00:00Z or seconds "
		       "since 1970, got \"%s\"",
		       name, text);
}

static int
parse_word(struct table_query *q, const char *word, size_t n)
{
	static const char *const spans[] = {"month", "day", "hour"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(spans); i++)
		if (text_is(word, n, spans[i])) {
			q->span = (enum table_span)(TABLE_MONTH + i);
			return 0;
		}
	for (i = 0; i < ARRAY_LEN(ofs); i++)
		if (text_is(word, n, ofs[i])) {
			q->of = (enum table_of)i;
			return 0;
		}
	return -1;
}

static int
parse_by(struct table_query *q, const char *by, struct err *e)
{
	const char *at = by;
	size_t n;

	for (; by != NULL; at += n + 1) {
		n = strcspn(at, ",");
		if (parse_word(q, at, n) < 0)
			return err_set(
				e, 0,
				"by: expected hour, day or month, and total, service, "
				"revision, owner or cost_center, with commas between, got \"%s\"",
				by);
		if (at[n] == '\0')
			break;
	}
	return 0;
}

int
table_query_parse(struct table_query *q, const char *from, const char *to, const char *by,
		  int64_t wall_ns, struct err *e)
{
	int64_t now_s = MAX(wall_ns / CLK_S, 0), from_s = now_s - now_s % (24 * HOUR_S);
	int64_t to_s = now_s;

	*q = (struct table_query){.of = TABLE_REVISION};
	if (parse_time("from", from, &from_s, e) < 0 || parse_time("to", to, &to_s, e) < 0 ||
	    parse_by(q, by, e) < 0)
		return -1;
	if (to_s < from_s)
		return err_set(e, 0, "to: expected a time after from, got \"%s\"",
			       to == NULL ? "now" : to);
	q->from = from_s / HOUR_S;
	q->upto = (to_s + HOUR_S - 1) / HOUR_S;
	return 0;
}

/* --- adding up --- */

struct table *
table_new(const struct table_query *q)
{
	struct table *t = xcalloc(1, sizeof *t);

	t->query = *q;
	t->last_day = -1;
	hmap_init(&t->map);
	hmap_init(&t->waiting);
	strbuf_init(&t->names, 0);
	return t;
}

void
table_free(struct table **tp)
{
	struct table *t = *tp;
	size_t i;

	*tp = NULL;
	if (t == NULL)
		return;
	strbuf_fini(&t->names);
	free(t->lives);
	for (i = 0; i < t->n; i++) {
		free(t->cells[i]->name);
		free(t->cells[i]);
	}
	free(t->cells);
	free(t->name);
	hmap_fini(&t->waiting);
	hmap_fini(&t->map);
	free(t);
}

static int64_t
month_of(struct table *t, int64_t day)
{
	time_t seconds = (time_t)(day * 24 * HOUR_S);
	struct tm tm;

	if (day == t->last_day)
		return t->last_month;
	gmtime_r(&seconds, &tm);
	tm.tm_mday = 1;
	t->last_day = day;
	t->last_month = timegm(&tm);
	return t->last_month;
}

/* In seconds since the epoch. */
static int64_t
begin_of(struct table *t, int64_t hour)
{
	switch (t->query.span) {
	case TABLE_ALL:
		return t->query.from * HOUR_S;
	case TABLE_MONTH:
		return month_of(t, hour / 24);
	case TABLE_DAY:
		return (hour - hour % 24) * HOUR_S;
	case TABLE_HOUR:
		break;
	}
	return hour * HOUR_S;
}

/* What the account is added up to, the caller's to free. */
static char *
name_of(const struct table_query *q, const struct account *a)
{
	switch (q->of) {
	case TABLE_SERVICE:
		return xstrndup(a->revision, strcspn(a->revision, "/"));
	case TABLE_REVISION:
		return xstrdup(a->revision);
	case TABLE_OWNER:
		return xstrdup(a->owner);
	case TABLE_COST_CENTER:
		return xstrdup(a->cost_center);
	case TABLE_TOTAL:
		break;
	}
	return xstrdup("");
}

static struct cell *
cell_of(struct table *t, int64_t begin, const char *name)
{
	char *key = xasprintf("%lld %s", (long long)begin, name);
	struct cell *c = hmap_find(&t->map, key);

	if (c == NULL) {
		c = xcalloc(1, sizeof *c);
		c->begin = begin;
		c->name = xstrdup(name);
		if (t->n == t->cap) {
			t->cap = MAX(t->cap * 2, (size_t)64);
			t->cells = xrealloc(t->cells, t->cap * sizeof(struct cell *));
		}
		t->cells[t->n++] = c;
		hmap_put(&t->map, key, c);
	}
	free(key);
	return c;
}

/* The peaks of several accounts need not be at the same time: always-on instances of each would
 * be their sum. */
static void
flush(struct table *t)
{
	struct cell *c;

	if (!t->is_pending || table_is_too_long(t))
		return;
	c = cell_of(t, t->begin, t->name);
	c->always_peak_s += t->sum.peak * t->sum.observed_s;
	amounts_add(&c->amounts, &t->sum);
	t->is_pending = false;
}

static void
add(struct table *t, int64_t hour, const struct amounts *a)
{
	int64_t begin = begin_of(t, hour);

	if (t->is_pending && begin != t->begin)
		flush(t);
	if (!t->is_pending)
		t->sum = (struct amounts){.peak = 0};
	t->is_pending = true;
	t->begin = begin;
	amounts_add(&t->sum, a);
}

/* The last row of the account was added.  Add the one that still grows, too, if there is one. */
static void
end_account(struct table *t)
{
	char *key = t->account == NULL ? NULL : account_key(t->account);
	struct live *live = key == NULL ? NULL : hmap_remove(&t->waiting, key);

	free(key);
	if (live != NULL)
		add(t, live->hour, &live->amounts);
	flush(t);
	t->account = NULL;
}

static void
begin_account(struct table *t, const struct account *account)
{
	end_account(t);
	t->account = account;
	free(t->name);
	t->name = name_of(&t->query, account);
}

static bool
is_asked_for(const struct table *t, int64_t hour)
{
	return hour >= t->query.from && hour < t->query.upto;
}

void
table_add_live(struct table *t, int64_t hour, const struct account *account,
	       const struct amounts *a)
{
	struct live *live;

	CHECK(!t->is_indexed);
	if (!is_asked_for(t, hour))
		return;
	if (t->lives_n == t->lives_cap) {
		t->lives_cap = MAX(t->lives_cap * 2, (size_t)64);
		t->lives = xrealloc(t->lives, t->lives_cap * sizeof *t->lives);
	}
	live = &t->lives[t->lives_n++];
	*live = (struct live){.names = t->names.len, .hour = hour, .amounts = *a};
	strbuf_add(&t->names, account->revision, strlen(account->revision) + 1);
	strbuf_add(&t->names, account->owner, strlen(account->owner) + 1);
	strbuf_add(&t->names, account->cost_center, strlen(account->cost_center) + 1);
}

static void
index_lives(struct table *t)
{
	size_t i;

	if (t->is_indexed)
		return;
	t->is_indexed = true;
	for (i = 0; i < t->lives_n; i++) {
		struct live *live = &t->lives[i];
		char *revision = t->names.data + live->names;
		char *owner = revision + strlen(revision) + 1, *key;

		live->account = (struct account){revision, owner, owner + strlen(owner) + 1};
		key = account_key(&live->account);
		CHECK(hmap_put(&t->waiting, key, live) == NULL);
		free(key);
	}
}

void
table_add(struct table *t, int64_t hour, const struct account *account, const struct amounts *a)
{
	if (!is_asked_for(t, hour))
		return;
	index_lives(t);
	if (account != t->account)
		begin_account(t, account);
	add(t, hour, a);
}

static int
compare(const void *a, const void *b)
{
	const struct cell *x = *(struct cell *const *)a, *y = *(struct cell *const *)b;

	return x->begin != y->begin ? (x->begin > y->begin ? 1 : -1) : strcmp(x->name, y->name);
}

void
table_end(struct table *t)
{
	size_t at = 0;
	void *value;

	index_lives(t);
	end_account(t);
	while (hmap_next(&t->waiting, &at, NULL, &value)) { /* they have no earlier rows */
		const struct live *live = value;

		begin_account(t, &live->account);
		t->account = NULL; /* it is in the map still */
		add(t, live->hour, &live->amounts);
		flush(t);
	}
	if (t->n > 1)
		qsort(t->cells, t->n, sizeof(struct cell *), compare);
}

bool
table_is_too_long(const struct table *t)
{
	return t->n > TABLE_ROWS_MAX;
}

/* --- writing --- */

static void
format_time(int64_t seconds, char text[32])
{
	time_t at = (time_t)seconds;
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static size_t
derived_n(const struct table *t)
{
	return t->query.price > 0 ? DERIVED : DERIVED - DERIVED_PRICED;
}

static double
derived_at(const struct table *t, const struct cell *c, size_t i)
{
	double price_s = t->query.price / HOUR_S, ran_s = c->amounts.instance_s;
	double saved_one_s = MAX(c->amounts.always_one_s - ran_s, 0);
	double saved_peak_s = MAX(c->always_peak_s - ran_s, 0);
	const double values[DERIVED] = {c->always_peak_s,
					saved_one_s,
					saved_peak_s,
					ran_s * price_s,
					c->amounts.always_one_s * price_s,
					c->always_peak_s * price_s,
					saved_one_s * price_s,
					saved_peak_s * price_s};

	return values[i];
}

static const char *
name_title(const struct table *t)
{
	return ofs[t->query.of];
}

/* A spreadsheet takes a text that begins like a formula for one: an apostrophe before it, within
 * quotes, makes it a text (OWASP, "CSV Injection"). */
static void
put_csv_text(struct strbuf *out, const char *text)
{
	bool is_formula = text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;

	if (!is_formula && text[strcspn(text, ",\"\r\n")] == '\0') {
		strbuf_adds(out, text);
		return;
	}
	strbuf_adds(out, is_formula ? "\"'" : "\"");
	for (; *text != '\0'; text++)
		strbuf_addf(out, "%s%c", *text == '"' ? "\"" : "", *text);
	strbuf_adds(out, "\"");
}

/* Is amount i known?  The driver may know nothing of CPU and memory. */
static bool
is_known(const struct cell *c, size_t i)
{
	return c->amounts.measured_s > 0 || !amounts_is_measured(i);
}

static void
put_csv_number(struct strbuf *out, double value)
{
	strbuf_adds(out, ",");
	strbuf_add_number(out, amounts_round(value));
}

static void
put_csv_head(const struct table *t, struct strbuf *out)
{
	size_t i;

	strbuf_adds(out, "begin");
	if (t->query.of != TABLE_TOTAL)
		strbuf_addf(out, ",%s", name_title(t));
	for (i = 0; i < AMOUNTS_N; i++)
		strbuf_addf(out, ",%s", amounts_name(i));
	for (i = 0; i < derived_n(t); i++)
		strbuf_addf(out, ",%s", derived_names[i]);
	strbuf_adds(out, "\r\n");
}

static void
put_csv_cell(const struct table *t, const struct cell *c, struct strbuf *out)
{
	char begin[32];
	size_t i;

	format_time(c->begin, begin);
	strbuf_adds(out, begin);
	if (t->query.of != TABLE_TOTAL) {
		strbuf_adds(out, ",");
		put_csv_text(out, c->name);
	}
	for (i = 0; i < AMOUNTS_N; i++)
		if (is_known(c, i))
			put_csv_number(out, amounts_get(&c->amounts, i));
		else
			strbuf_adds(out, ",");
	for (i = 0; i < derived_n(t); i++)
		put_csv_number(out, derived_at(t, c, i));
	strbuf_adds(out, "\r\n");
}

void
table_write_csv(const struct table *t, struct strbuf *out)
{
	size_t i;

	put_csv_head(t, out);
	for (i = 0; i < t->n; i++)
		put_csv_cell(t, t->cells[i], out);
}

/* type NULL: none. */
static void
put_json_cell(const struct table *t, const struct cell *c, const char *type, struct jput *j)
{
	char begin[32];
	size_t i;

	format_time(c->begin, begin);
	jput_object(j, NULL);
	jput_string_if(j, LINE_TYPE, type);
	jput_string(j, "begin", begin);
	if (t->query.of != TABLE_TOTAL)
		jput_string(j, name_title(t), c->name);
	for (i = 0; i < AMOUNTS_N; i++)
		if (is_known(c, i) && (amounts_get(&c->amounts, i) != 0 || !amounts_is_end(i)))
			jput_double(j, amounts_name(i), amounts_round(amounts_get(&c->amounts, i)));
	for (i = 0; i < derived_n(t); i++)
		jput_double(j, derived_names[i], amounts_round(derived_at(t, c, i)));
	jput_object_end(j);
}

static void
put_json_span(const struct table *t, struct jput *j)
{
	char from[32], upto[32];

	format_time(t->query.from * HOUR_S, from);
	format_time(t->query.upto * HOUR_S, upto);
	jput_string(j, "from", from);
	jput_string(j, "to", upto);
	if (t->query.price > 0)
		jput_double(j, "instance_hour_price", t->query.price);
	if (t->query.broken > 0)
		jput_u64(j, "broken_records", t->query.broken);
	if (t->query.dropped > 0)
		jput_u64(j, "dropped_rows", t->query.dropped);
}

void
table_write_lines(const struct table *t, struct strbuf *out)
{
	struct jput j;
	size_t i;

	jput_init(&j, out);
	jput_object(&j, NULL);
	jput_string(&j, LINE_TYPE, "usage_span");
	put_json_span(t, &j);
	jput_object_end(&j);
	for (i = 0; i < t->n; i++) {
		strbuf_adds(out, "\n");
		jput_init(&j, out);
		put_json_cell(t, t->cells[i], "usage", &j);
	}
	strbuf_adds(out, "\n");
}

void
table_write_json(const struct table *t, struct strbuf *out)
{
	struct jput j;
	size_t i;

	jput_init(&j, out);
	jput_object(&j, NULL);
	put_json_span(t, &j);
	jput_array(&j, "rows");
	for (i = 0; i < t->n; i++)
		put_json_cell(t, t->cells[i], NULL, &j);
	jput_array_end(&j);
	jput_object_end(&j);
	strbuf_adds(out, "\n");
}
