#include "common/zone.h"

#include <stdlib.h>
#include <string.h>

#include "common/file.h"

#define FOLDER "/usr/share/zoneinfo"
#define FILE_MAX ((size_t)1 << 20)
#define HEADER_BYTES 44
#define DAY_S INT64_C(86400)
#define OFFSET_MAX (26 * 3600) /* RFC 9636 3.2 */

/* When daylight saving time begins or ends, in one of the three forms of a POSIX TZ string. */
struct turn {
	enum { TURN_MONTH, TURN_JULIAN, TURN_DAY } form; /* Mm.w.d, Jn, n */
	int month, week, day;
	int32_t time_s; /* of the day, by the clock that holds before */
};

/* The rule after the last transition in the file. */
struct future {
	bool is_there, has_dst;
	int32_t std, dst; /* offsets, seconds to the east */
	struct turn begin, end;
};

struct zone {
	int64_t *at; /* the times of n transitions, rising */
	int32_t *to; /* the offset from each on */
	size_t n;
	int32_t first; /* the offset before the first transition */
	struct future future;
};

/* --- the file --- */

struct input {
	const unsigned char *at;
	size_t left;
};

/* The next n bytes, or NULL. */
static const unsigned char *
take(struct input *in, size_t n)
{
	const unsigned char *at = in->at;

	if (n > in->left)
		return NULL;
	in->at += n;
	in->left -= n;
	return at;
}

static uint32_t
be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t
be64(const unsigned char *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

struct header {
	char version;
	size_t isut, isstd, leap, times, types, chars;
};

static bool
take_header(struct input *in, struct header *h)
{
	const unsigned char *p = take(in, HEADER_BYTES);

	if (p == NULL || memcmp(p, "TZif", 4) != 0)
		return false;
	*h = (struct header){.version = (char)p[4],
			     .isut = be32(p + 20),
			     .isstd = be32(p + 24),
			     .leap = be32(p + 28),
			     .times = be32(p + 32),
			     .types = be32(p + 36),
			     .chars = be32(p + 40)};
	return h->isut <= 256 && h->isstd <= 256 && h->leap <= 1000 && h->times <= 10000 &&
	       h->types >= 1 && h->types <= 256 && h->chars <= 1000;
}

static bool
take_data(struct zone *z, struct input *in, const struct header *h)
{
	const unsigned char *at = take(in, h->times * 8), *index = take(in, h->times);
	const unsigned char *types = take(in, h->types * 6);
	size_t i;

	if (at == NULL || index == NULL || types == NULL ||
	    take(in, h->chars + h->leap * 12 + h->isstd + h->isut) == NULL)
		return false;
	z->at = xcalloc(h->times + 1, sizeof *z->at);
	z->to = xcalloc(h->times + 1, sizeof *z->to);
	z->n = h->times;
	z->first = (int32_t)be32(types);
	for (i = 0; i < h->times; i++) {
		if (index[i] >= h->types)
			return false;
		z->at[i] = be64(at + 8 * i);
		z->to[i] = (int32_t)be32(types + 6 * index[i]);
		if (abs(z->to[i]) > OFFSET_MAX || (i > 0 && z->at[i] <= z->at[i - 1]))
			return false;
	}
	return abs(z->first) <= OFFSET_MAX;
}

/* --- the TZ string at the end of the file --- */

static bool
skip_name(const char **at)
{
	size_t n;

	if (**at == '<') {
		n = strcspn(*at, ">");
		*at += n;
		return n >= 4 && *(*at)++ == '>';
	}
	n = strspn(*at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	*at += n;
	return n >= 3;
}

static bool
read_number(const char **at, int max, int *out)
{
	int n = 0;

	if (**at < '0' || **at > '9')
		return false;
	while (**at >= '0' && **at <= '9' && n < 10000)
		n = n * 10 + *(*at)++ - '0';
	*out = n;
	return n <= max;
}

/* [+-]hh[:mm[:ss]] */
static bool
read_time(const char **at, int32_t *out)
{
	int sign = **at == '-' ? -1 : 1, hours, minutes = 0, seconds = 0;

	*at += **at == '-' || **at == '+';
	if (!read_number(at, 167, &hours))
		return false;
	if (**at == ':' && (++*at, !read_number(at, 59, &minutes)))
		return false;
	if (**at == ':' && (++*at, !read_number(at, 59, &seconds)))
		return false;
	*out = sign * (hours * 3600 + minutes * 60 + seconds);
	return true;
}

static bool
read_turn(const char **at, struct turn *t)
{
	t->time_s = 2 * 3600;
	if (*(*at)++ != ',')
		return false;
	t->form = **at == 'M' ? TURN_MONTH : **at == 'J' ? TURN_JULIAN : TURN_DAY;
	*at += t->form != TURN_DAY;
	if (t->form != TURN_MONTH) {
		if (!read_number(at, 365, &t->day))
			return false;
	} else if (!read_number(at, 12, &t->month) || *(*at)++ != '.' ||
		   !read_number(at, 5, &t->week) || *(*at)++ != '.' ||
		   !read_number(at, 6, &t->day) || t->month < 1 || t->week < 1) {
		return false;
	}
	return **at != '/' || (++*at, read_time(at, &t->time_s));
}

/* Read "CET-1CEST,M3.5.0,M10.5.0/3"; "": the last transition holds for ever. */
static bool
read_future(struct future *f, const char *text)
{
	if (*text == '\0')
		return true;
	f->is_there = true;
	if (!skip_name(&text) || !read_time(&text, &f->std))
		return false;
	f->std = -f->std; /* in POSIX an offset to the west is positive */
	if (*text == '\0')
		return true;
	f->has_dst = true;
	if (!skip_name(&text))
		return false;
	f->dst = f->std + 3600;
	if (*text != ',') {
		if (!read_time(&text, &f->dst))
			return false;
		f->dst = -f->dst;
	}
	return read_turn(&text, &f->begin) && read_turn(&text, &f->end) && *text == '\0';
}

static bool
take_future(struct zone *z, struct input *in)
{
	const unsigned char *end;
	char text[128] = "";
	size_t n;

	if (in->left < 2 || *in->at != '\n')
		return false;
	take(in, 1);
	end = memchr(in->at, '\n', in->left);
	n = end == NULL ? sizeof text : (size_t)(end - in->at);
	if (n >= sizeof text)
		return false;
	memcpy(text, in->at, n);
	return read_future(&z->future, text);
}

struct zone *
zone_parse(const char *bytes, size_t n, struct err *e)
{
	struct input in = {.at = (const unsigned char *)bytes, .left = n};
	struct zone *z = xcalloc(1, sizeof *z);
	struct header h;

	/* Skip the first part, which is for readers of 32-bit times. */
	if (take_header(&in, &h) && h.version >= '2' &&
	    take(&in, h.times * 5 + h.types * 6 + h.chars + h.leap * 8 + h.isstd + h.isut) !=
		    NULL &&
	    take_header(&in, &h) && take_data(z, &in, &h) && take_future(z, &in))
		return z;
	err_set(e, 0, "expected a time zone file of version 2 or later");
	zone_free(&z);
	return NULL;
}

struct zone *
zone_open(const char *name, struct err *e)
{
	char *path, *bytes;
	struct zone *z = NULL;
	size_t n;

	if (strcmp(name, "UTC") == 0)
		return xcalloc(1, sizeof *z);
	path = xasprintf(FOLDER "/%s", name);
	bytes = file_read(path, FILE_MAX, &n, e);
	if (bytes != NULL && (z = zone_parse(bytes, n, e)) == NULL)
		err_prefix(e, "%s", path);
	free(bytes);
	free(path);
	return z;
}

void
zone_free(struct zone **zp)
{
	struct zone *z = *zp;

	*zp = NULL;
	if (z == NULL)
		return;
	free(z->at);
	free(z->to);
	free(z);
}

/* --- offsets --- */

static bool
is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01 to the first of a year. */
static int64_t
days_to_year(int64_t year)
{
	int64_t y = year - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

static int64_t
year_of(int64_t local_s)
{
	time_t t = (time_t)local_s;
	struct tm tm;

	gmtime_r(&t, &tm);
	return tm.tm_year + INT64_C(1900);
}

/* Days from the first of the year to the turn. */
static int64_t
day_of_turn(const struct turn *t, int64_t year)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
	int64_t first;
	int weekday, day, length;

	if (t->form == TURN_DAY)
		return t->day;
	if (t->form == TURN_JULIAN) /* without the 29th of February */
		return t->day - 1 + (is_leap(year) && t->day >= 60);
	first = before[t->month - 1] + (is_leap(year) && t->month > 2);
	length = before[t->month] - before[t->month - 1] + (is_leap(year) && t->month == 2);
	weekday = (int)((days_to_year(year) + first + 4) % 7); /* the epoch was a Thursday */
	day = (t->day - weekday + 7) % 7 + (t->week - 1) * 7;
	return first + (day >= length ? day - 7 : day);
}

static int32_t
future_offset(const struct future *f, int64_t utc_s)
{
	int64_t year, begin, end, midnight;

	if (!f->has_dst)
		return f->std;
	year = year_of(utc_s + f->std);
	midnight = days_to_year(year) * DAY_S;
	begin = midnight + day_of_turn(&f->begin, year) * DAY_S + f->begin.time_s - f->std;
	end = midnight + day_of_turn(&f->end, year) * DAY_S + f->end.time_s - f->dst;
	if (begin < end)
		return utc_s >= begin && utc_s < end ? f->dst : f->std;
	return utc_s >= end && utc_s < begin ? f->std : f->dst; /* southern hemisphere */
}

int32_t
zone_offset(const struct zone *z, int64_t utc_s)
{
	size_t low = 0, high = z->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (z->at[middle] <= utc_s)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == z->n && z->future.is_there)
		return future_offset(&z->future, utc_s);
	return low == 0 ? z->first : z->to[low - 1];
}
