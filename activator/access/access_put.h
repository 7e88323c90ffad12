/* access_put - writes numbers, times and texts of a line of the access log into a buffer whose size
 * the caller has ensured.  Each call returns where the next part goes.
 *
 * A worker calls these for each request, so they are made for what is usual: small numbers, the
 * second of the line before, and texts without a byte that needs an escape.  Pure.  Thread: any. */
#ifndef ACTIVATOR_ACCESS_ACCESS_PUT_H
#define ACTIVATOR_ACCESS_ACCESS_PUT_H

#include "activator/access/access_text.h"
#include "activator/http/put.h"
#include "common/clk.h"

/* --- numbers --- */

extern const char access_put_pairs[]; /* "00" to "99" */

static inline char *
put_2_digits(char *out, unsigned n)
{
	return put(out, access_put_pairs + (size_t)2 * n, 2);
}

static inline char *
put_3_digits(char *out, unsigned n)
{
	*out = (char)('0' + n / 100);
	return put_2_digits(out + 1, n % 100);
}

char *access_put_big(char *out, uint64_t n);

static inline char *
put_number(char *out, uint64_t n)
{
	if (n >= 1000)
		return access_put_big(out, n);
	if (n >= 100)
		return put_3_digits(out, (unsigned)n);
	if (n >= 10)
		return put_2_digits(out, (unsigned)n);
	*out = (char)('0' + n);
	return out + 1;
}

/* Thousandths of a unit, as "1.234". */
static inline char *
put_thousandths(char *out, uint64_t n)
{
	out = put_number(out, n / 1000);
	*out++ = '.';
	return put_3_digits(out, (unsigned)(n % 1000));
}

static inline char *
put_ms(char *out, int64_t ns)
{
	return put_thousandths(out, (uint64_t)MAX(ns, INT64_C(0)) / CLK_US);
}

static inline char *
put_s(char *out, int64_t ns)
{
	return put_thousandths(out, (uint64_t)MAX(ns, INT64_C(0)) / CLK_MS);
}

/* --- time --- */

#define ACCESS_ISO_SIZE (sizeof "2026-11-30T16:11:44.123Z" - 1)

char *access_put_iso(char *out, int64_t wall_ns, struct access_clock *);
char *access_put_local(char *out, int64_t wall_ns, struct access_clock *);

/* --- text --- */

/* As it stands within the quotes of JSON. */
char *access_put_json(char *out, const struct access_text *);
/* As it stands in a format: \xHH for what needs an escape. */
char *access_put_text(char *out, const struct access_text *);
/* The most bytes that either takes.  (A text is cut only if it is long: then its mark has room.) */
#define ACCESS_ESCAPED ((size_t)6) /* \u00XX: the most for one byte */
static inline size_t
access_text_room(const struct access_text *t)
{
	return ACCESS_ESCAPED * MIN(t->n, ACCESS_TEXT_MAX + 1);
}

#endif
