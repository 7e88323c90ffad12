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
#define DERIVED 4

/* The words of enum table_of. */
static const char *const ofs[] = {"total", "service", "revision", "owner", "cost_center"};

/* What is computed for each row besides its amounts; the last three only with a price. */
static const char *const derived_names[DERIVED] = {"always_peak_s", "cost", "always_one_cost",
						   "always_peak_cost"};

struct cell {
	struct account account; /* of a cell of table.accounts alone */
	int64_t begin;		/* of its hour, day or month, in seconds since the epoch */
	/* of the account, or of what it is added up to; "": the total, or what has none */
	char *name;
	struct amounts amounts;
	double always_peak_s; /* each revision with its peak of instances at all times */
};

struct cells {
	struct hmap map; /* begin and name → struct cell */
	struct cell **v; /* the same */
	size_t n, cap;
};

struct table {
	struct table_query query;
	struct cells accounts; /* peaks are known only for each account */
	bool is_too_long;
	/* the last row, as rows of one revision follow one another */
	struct cell *last;
	const struct account *last_account;
	int64_t last_day, last_month; /* since the epoch; the seconds that its month began at */
};

/* --- the query --- */

static int
read_time(const char *text, int64_t *seconds)
{
	struct tm tm = {.tm_mday = 1};
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
	*seconds = timegm(&tm);
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

static void
cells_init(struct cells *cs)
{
	*cs = (struct cells){.n = 0};
	hmap_init(&cs->map);
}

static void
cells_fini(struct cells *cs)
{
	size_t i;

	for (i = 0; i < cs->n; i++) {
		account_fini(&cs->v[i]->account);
		free(cs->v[i]->name);
		free(cs->v[i]);
	}
	free(cs->v);
	hmap_fini(&cs->map);
}

/* The cell of that key, which has the name and its beginning; account NULL: none. */
static struct cell *
cell_of(struct cells *cs, int64_t begin, const char *key_name, const struct account *account)
{
	char *key = xasprintf("%lld %s", (long long)begin, key_name);
	struct cell *c = hmap_find(&cs->map, key);

	if (c == NULL) {
		c = xcalloc(1, sizeof *c);
		c->begin = begin;
		c->name = xstrdup(key_name);
		if (account != NULL)
			account_init(&c->account, account->revision, account->owner,
				     account->cost_center);
		if (cs->n == cs->cap) {
			cs->cap = MAX(cs->cap * 2, (size_t)64);
			cs->v = xrealloc(cs->v, cs->cap * sizeof(struct cell *));
		}
		cs->v[cs->n++] = c;
		hmap_put(&cs->map, key, c);
	}
	free(key);
	return c;
}

struct table *
table_new(const struct table_query *q)
{
	struct table *t = xcalloc(1, sizeof *t);

	t->query = *q;
	t->last_day = -1;
	cells_init(&t->accounts);
	return t;
}

void
table_free(struct table **tp)
{
	struct table *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	cells_fini(&t->accounts);
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

void
table_add(struct table *t, int64_t hour, const struct account *account, const struct amounts *a)
{
	int64_t begin;

	if (hour < t->query.from || hour >= t->query.upto || t->is_too_long)
		return;
	begin = begin_of(t, hour);
	if (t->last == NULL || t->last->begin != begin || t->last_account != account) {
		char *key = account_key(account);

		t->last = cell_of(&t->accounts, begin, key, account);
		free(key);
	}
	t->last_account = account;
	amounts_add(&t->last->amounts, a);
	t->is_too_long = t->accounts.n > TABLE_ROWS_MAX;
}

bool
table_is_too_long(const struct table *t)
{
	return t->is_too_long;
}

static int
compare(const void *a, const void *b)
{
	const struct cell *x = *(struct cell *const *)a, *y = *(struct cell *const *)b;

	return x->begin != y->begin ? (x->begin > y->begin ? 1 : -1) : strcmp(x->name, y->name);
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

/* The rows of the answer, sorted, for cells_fini(). */
static void
fold(const struct table *t, struct cells *out)
{
	size_t i;

	cells_init(out);
	for (i = 0; i < t->accounts.n; i++) {
		const struct cell *from = t->accounts.v[i];
		char *name = name_of(&t->query, &from->account);
		struct cell *to = cell_of(out, from->begin, name, NULL);

		free(name);
		/* The peaks of several revisions need not be at the same time: their sum is what
		 * always-on instances of each would be. */
		to->always_peak_s += from->amounts.peak * from->amounts.observed_s;
		amounts_add(&to->amounts, &from->amounts);
	}
	if (out->n > 1)
		qsort(out->v, out->n, sizeof(struct cell *), compare);
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
	return t->query.price > 0 ? DERIVED : 1;
}

static double
derived_at(const struct table *t, const struct cell *c, size_t i)
{
	double price_s = t->query.price / HOUR_S;
	const double values[DERIVED] = {c->always_peak_s, c->amounts.instance_s * price_s,
					c->amounts.always_one_s * price_s,
					c->always_peak_s * price_s};

	return values[i];
}

static const char *
name_title(const struct table *t)
{
	return ofs[t->query.of];
}

static void
put_csv_text(struct strbuf *out, const char *text)
{
	if (text[strcspn(text, ",\"\r\n")] == '\0') {
		strbuf_adds(out, text);
		return;
	}
	strbuf_adds(out, "\"");
	for (; *text != '\0'; text++)
		strbuf_addf(out, "%s%c", *text == '"' ? "\"" : "", *text);
	strbuf_adds(out, "\"");
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
		put_csv_number(out, amounts_get(&c->amounts, i));
	for (i = 0; i < derived_n(t); i++)
		put_csv_number(out, derived_at(t, c, i));
	strbuf_adds(out, "\r\n");
}

void
table_write_csv(struct table *t, struct strbuf *out)
{
	struct cells cells;
	size_t i;

	fold(t, &cells);
	put_csv_head(t, out);
	for (i = 0; i < cells.n; i++)
		put_csv_cell(t, cells.v[i], out);
	cells_fini(&cells);
}

static void
put_json_cell(const struct table *t, const struct cell *c, struct jput *j)
{
	char begin[32];
	size_t i;

	format_time(c->begin, begin);
	jput_object(j, NULL);
	jput_string(j, "begin", begin);
	if (t->query.of != TABLE_TOTAL)
		jput_string(j, name_title(t), c->name);
	for (i = 0; i < AMOUNTS_N; i++)
		jput_double(j, amounts_name(i), amounts_round(amounts_get(&c->amounts, i)));
	for (i = 0; i < derived_n(t); i++)
		jput_double(j, derived_names[i], amounts_round(derived_at(t, c, i)));
	jput_object_end(j);
}

void
table_write_json(struct table *t, struct strbuf *out)
{
	struct cells cells;
	char from[32], upto[32];
	struct jput j;
	size_t i;

	fold(t, &cells);
	format_time(t->query.from * HOUR_S, from);
	format_time(t->query.upto * HOUR_S, upto);
	jput_init(&j, out);
	jput_object(&j, NULL);
	jput_string(&j, "from", from);
	jput_string(&j, "to", upto);
	if (t->query.price > 0)
		jput_double(&j, "instance_hour_price", t->query.price);
	jput_array(&j, "rows");
	for (i = 0; i < cells.n; i++)
		put_json_cell(t, cells.v[i], &j);
	jput_array_end(&j);
	jput_object_end(&j);
	strbuf_adds(out, "\n");
	cells_fini(&cells);
}
