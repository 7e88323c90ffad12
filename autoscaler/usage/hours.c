#include "autoscaler/usage/hours.h"

#include <stdlib.h>
#include <string.h>

#include "common/hmap.h"

/* Most amounts of most hours are 0: a row holds the others alone. */
struct hours_row {
	int64_t hour;
	uint64_t has; /* 1 << i: amount i is in v … */
	double *v;    /* … in this order; NULL: none */
};

/* A series may have room for a quarter more rows than there are: see insert() and drop_first().
 * Of v, malloc(3) takes 32 bytes at least, and up to 16 more than it gives. */
_Static_assert(sizeof(struct hours_row) * 5 / 4 + 32 <= HOURS_ROW_BYTES(1), "HOURS_ROW_BYTES");
_Static_assert(AMOUNTS_N <= 64, "a bit for each amount");

/* The rows of one account, in the order of their hours. */
struct hours_series {
	struct account account;
	struct hours_row *v;
	size_t n, cap;
};

struct hours {
	struct hmap all; /* account_key() → struct hours_series */
	size_t rows;
	uint64_t bytes, bytes_max; /* by the two constants of hours.h */
	uint64_t dropped;
};

struct hours *
hours_new(uint64_t bytes_max)
{
	struct hours *h = xcalloc(1, sizeof *h);

	hmap_init(&h->all);
	h->bytes_max = bytes_max;
	return h;
}

static void
series_free(struct hours_series *s)
{
	size_t i;

	account_fini(&s->account);
	for (i = 0; i < s->n; i++)
		free(s->v[i].v);
	free(s->v);
	free(s);
}

void
hours_free(struct hours **hp)
{
	struct hours *h = *hp;
	size_t at = 0;
	void *value;

	*hp = NULL;
	if (h == NULL)
		return;
	while (hmap_next(&h->all, &at, NULL, &value))
		series_free(value);
	hmap_fini(&h->all);
	free(h);
}

/* --- rows --- */

static void
unpack(const struct hours_row *row, struct amounts *a)
{
	const double *from = row->v;
	uint64_t has;

	*a = (struct amounts){.peak = 0};
	for (has = row->has; has != 0; has &= has - 1)
		*amounts_at(a, (size_t)__builtin_ctzll(has)) = *from++;
}

static void
pack(struct hours_row *row, const struct amounts *a)
{
	size_t i, n = 0;

	row->has = 0;
	for (i = 0; i < AMOUNTS_N; i++)
		row->has |= (uint64_t)(amounts_get(a, i) != 0) << i;
	if (row->has == 0) {
		free(row->v);
		row->v = NULL;
		return;
	}
	row->v = xrealloc(row->v, (size_t)__builtin_popcountll(row->has) * sizeof *row->v);
	for (i = 0; i < AMOUNTS_N; i++)
		if (row->has & (uint64_t)1 << i)
			row->v[n++] = amounts_get(a, i);
}

static uint64_t
row_bytes(const struct hours_row *row)
{
	return HOURS_ROW_BYTES(__builtin_popcountll(row->has));
}

/* --- adding --- */

/* The number of rows of hours before `hour`. */
static size_t
rows_before(const struct hours_series *s, int64_t hour)
{
	size_t from = 0, upto = s->n;

	while (from < upto) {
		size_t middle = from + (upto - from) / 2;

		if (s->v[middle].hour < hour)
			from = middle + 1;
		else
			upto = middle;
	}
	return from;
}

static struct hours_row *
insert(struct hours_series *s, size_t at, int64_t hour)
{
	if (s->n == s->cap) {
		s->cap += s->cap / 8 + 1;
		s->v = xrealloc(s->v, s->cap * sizeof *s->v);
	}
	memmove(s->v + at + 1, s->v + at, (s->n - at) * sizeof *s->v);
	s->v[at] = (struct hours_row){.hour = hour};
	s->n++;
	return &s->v[at];
}

static int64_t
oldest_hour(const struct hours *h)
{
	int64_t oldest = INT64_MAX;
	size_t at = 0;
	void *value;

	while (hmap_next(&h->all, &at, NULL, &value))
		oldest = MIN(oldest, ((struct hours_series *)value)->v[0].hour);
	return oldest;
}

/* Drop the first row of a series, and the memory of rows that went. */
static void
drop_first(struct hours_series *s)
{
	free(s->v[0].v);
	s->n--;
	memmove(s->v, s->v + 1, s->n * sizeof *s->v);
	if (s->n > 0 && s->cap > s->n + s->n / 4 + 1) {
		s->cap = s->n;
		s->v = xrealloc(s->v, s->cap * sizeof *s->v);
	}
}

/* Drop the rows of the oldest hour; a series is never empty. */
static void
drop_oldest(struct hours *h)
{
	int64_t oldest = oldest_hour(h);
	const char *name;
	size_t at = 0;
	void *value;

	while (hmap_next(&h->all, &at, &name, &value)) {
		struct hours_series *s = value;

		if (s->v[0].hour != oldest)
			continue;
		h->rows--;
		h->bytes -= row_bytes(&s->v[0]);
		h->dropped++;
		drop_first(s);
		if (s->n > 0)
			continue;
		h->bytes -= HOURS_ACCOUNT_BYTES;
		hmap_remove(&h->all, name);
		series_free(s);
	}
}

static struct hours_series *
series_of(struct hours *h, const struct account *a)
{
	char *key = account_key(a);
	struct hours_series *s = hmap_find(&h->all, key);

	if (s == NULL) {
		s = xcalloc(1, sizeof *s);
		account_init(&s->account, a->revision, a->owner, a->cost_center);
		hmap_put(&h->all, key, s);
		h->bytes += HOURS_ACCOUNT_BYTES;
	}
	free(key);
	return s;
}

void
hours_add(struct hours *h, int64_t hour, const struct account *account, const struct amounts *a)
{
	struct hours_series *s = series_of(h, account);
	struct hours_row *row;
	struct amounts sum;
	size_t at;

	at = rows_before(s, hour);
	row = at < s->n && s->v[at].hour == hour ? &s->v[at] : NULL;
	if (row == NULL) {
		row = insert(s, at, hour);
		h->rows++;
		h->bytes += row_bytes(row);
	}
	unpack(row, &sum);
	amounts_add(&sum, a);
	h->bytes -= row_bytes(row);
	pack(row, &sum);
	h->bytes += row_bytes(row);
	while (h->bytes > h->bytes_max && h->rows > 0)
		drop_oldest(h);
}

static void
add_row(int64_t hour, const struct account *account, const struct amounts *a, void *arg)
{
	hours_add(arg, hour, account, a);
}

void
hours_merge(struct hours *into, struct hours **from)
{
	hours_each(*from, INT64_MIN, INT64_MAX, add_row, into);
	into->dropped += (*from)->dropped;
	hours_free(from);
}

/* --- reading --- */

void
hours_each(const struct hours *h, int64_t from, int64_t upto, hours_fn *fn, void *arg)
{
	size_t at = 0, i;
	void *value;

	while (hmap_next(&h->all, &at, NULL, &value)) {
		const struct hours_series *s = value;

		for (i = rows_before(s, from); i < s->n && s->v[i].hour < upto; i++) {
			struct amounts a;

			unpack(&s->v[i], &a);
			fn(s->v[i].hour, &s->account, &a, arg);
		}
	}
}

size_t
hours_rows(const struct hours *h)
{
	return h->rows;
}

uint64_t
hours_dropped(const struct hours *h)
{
	return h->dropped;
}
