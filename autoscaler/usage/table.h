/* table - the answer to "who used how much": rows of hours, added up by what is asked for, with
 * what always-on instances would have used, as CSV (RFC 4180) or JSON.
 * Pure.  Thread: the owner. */
#ifndef AUTOSCALER_USAGE_TABLE_H
#define AUTOSCALER_USAGE_TABLE_H

#include "autoscaler/usage/account.h"
#include "autoscaler/usage/amounts.h"
#include "common/err.h"

#define TABLE_ROWS_MAX 50000

struct strbuf;

enum table_span { TABLE_ALL, TABLE_MONTH, TABLE_DAY, TABLE_HOUR };
enum table_of { TABLE_TOTAL, TABLE_SERVICE, TABLE_REVISION, TABLE_OWNER, TABLE_COST_CENTER };

struct table_query {
	int64_t from, upto; /* hours since the epoch; `upto` is not included */
	enum table_span span;
	enum table_of of;
	double price; /* of an instance-hour; 0: unknown */
	/* What the answer lacks: records of the journal that cannot be read, and hours that went
	 * from memory. */
	uint64_t broken, dropped;
};

/* Read the parameters of a request; each may be NULL.
 * from, to: "2026-11-30", "2026-11-30T07:00:00Z" or seconds since the epoch, rounded to whole
 * hours outwards; from is the beginning of today and to is now where they are missing.
 * by: "hour", "day" or "month" and "total", "service", "revision", "owner" or "cost_center", with
 * commas between.
 * 0, or -1 with err, which says what was expected. */
NODISCARD int table_query_parse(struct table_query *, const char *from, const char *to,
				const char *by, int64_t wall_ns, struct err *);

struct table; /* opaque */

NODISCARD struct table *table_new(const struct table_query *);
void table_free(struct table **);
/* Call in this order: (1) table_add_live() for the row of the running hour that still grows, at
 * most once for each account; (2) table_add() for each other row, all rows of an account one after
 * another and with the same pointer; (3) table_end().  Rows of hours that are not asked for are
 * ignored.  table_add_live() makes a copy alone; the other functions may take long. */
void table_add_live(struct table *, int64_t hour, const struct account *, const struct amounts *);
void table_add(struct table *, int64_t hour, const struct account *, const struct amounts *);
void table_end(struct table *);
/* It has more than TABLE_ROWS_MAX rows, and is not complete. */
bool table_is_too_long(const struct table *);
void table_write_csv(const struct table *, struct strbuf *);
void table_write_json(const struct table *, struct strbuf *);
/* An object to a line: one with from, to and the price, and one for each row, each with the member
 * `type`: "usage_span", "usage". */
void table_write_lines(const struct table *, struct strbuf *);

#endif
