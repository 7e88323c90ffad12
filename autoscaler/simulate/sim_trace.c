#include "autoscaler/simulate/sim_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/text.h"

#define BUFFER ((size_t)64 << 10)
#define LINE_MOST 200	 /* bytes; a correct line is shorter */
#define COLUMNS 3	 /* at most */
#define QUOTED_MOST 60	 /* bytes of a line that an error quotes */
#define TIME_MOST 3.2e10 /* ms: about a year */
#define WORK_MOST 8.64e7 /* ms: a day */
#define COUNT_MOST 1e8	 /* requests in a minute */
#define MINUTE_MOST 6e5	 /* about a year */

static const char by_request[] = "start_ms,duration_ms";
static const char by_minute[] = "minute,count,duration_ms";

struct sim_trace {
	char *file;
	int fd;
	char *buffer; /* the bytes from at to n are not parsed yet */
	size_t at, n;
	unsigned line; /* number of the newest line */
	bool is_by_minute;
	double newest; /* first column of the newest line; -1: none */
	/* the minute under way */
	double minute, part; /* part: how much of it has passed, 0 to 1 */
	uint64_t remaining;  /* requests still to come in it */
	int64_t work_ns;
	uint64_t random;
};

void
sim_trace_close(struct sim_trace **tp)
{
	struct sim_trace *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	if (t->fd >= 0)
		close(t->fd);
	free(t->buffer);
	free(t->file);
	free(t);
}

/* --- lines --- */

static int
refill(struct sim_trace *t, struct err *e)
{
	ssize_t got;

	memmove(t->buffer, t->buffer + t->at, t->n - t->at);
	t->n -= t->at;
	t->at = 0;
	do
		got = read(t->fd, t->buffer + t->n, BUFFER - t->n);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_errno(e, "%s: cannot read", t->file);
	t->n += (size_t)got;
	return got > 0;
}

/* Put the next line, without its newline, into *line and *n, valid until the next call: 1.
 * 0: end of file.  -1 with err. */
static int
next_line(struct sim_trace *t, const char **line, size_t *n, struct err *e)
{
	const char *end = memchr(t->buffer + t->at, '\n', t->n - t->at);
	int rc = 1;

	while (end == NULL && t->n - t->at <= LINE_MOST && (rc = refill(t, e)) > 0)
		end = memchr(t->buffer, '\n', t->n);
	if (rc < 0 || (end == NULL && t->n == t->at))
		return rc < 0 ? -1 : 0;
	t->line++;
	*line = t->buffer + t->at;
	*n = end != NULL ? (size_t)(end - *line) : t->n - t->at;
	t->at += *n + (end != NULL);
	if (*n > 0 && (*line)[*n - 1] == '\r')
		--*n;
	if (*n > LINE_MOST)
		return err_set(e, 0, "%s:%u: expected a short line, got more than %d bytes",
			       t->file, t->line, LINE_MOST);
	return 1;
}

/* An error that quotes the line, without characters that could control a terminal. */
static int
mistake(const struct sim_trace *t, const char *expected, const char *line, size_t n, struct err *e)
{
	char shown[QUOTED_MOST + 1];
	size_t i, most = MIN(n, (size_t)QUOTED_MOST);

	for (i = 0; i < most; i++)
		shown[i] = (char)(line[i] < ' ' || line[i] > '~' ? '?' : line[i]);
	shown[most] = '\0';
	return err_set(e, 0, "%s:%u: expected %s, got \"%s%s\"", t->file, t->line, expected, shown,
		       n > most ? "…" : "");
}

/* Parse digits, optionally followed by a point and digits.  Returns the end; NULL: none. */
static const char *
parse_number(const char *s, const char *end, double *value)
{
	double scale = 1;
	const char *begin = s;

	*value = 0;
	for (; s < end && *s >= '0' && *s <= '9'; s++)
		*value = *value * 10 + (*s - '0');
	if (s == begin || s == end || *s != '.')
		return s == begin ? NULL : s;
	for (begin = ++s; s < end && *s >= '0' && *s <= '9'; s++)
		*value += (*s - '0') * (scale /= 10);
	return s == begin ? NULL : s;
}

/* Parse a line that consists of that many numbers, separated by commas. */
static bool
parse_columns(const char *line, size_t n, double v[COLUMNS], int columns)
{
	const char *at = line, *end = line + n;
	int i;

	for (i = 0; i < columns; i++) {
		if (i > 0 && (at == end || *at++ != ','))
			return false;
		at = parse_number(at, end, &v[i]);
		if (at == NULL)
			return false;
	}
	return at == end;
}

static bool
is_whole(double v)
{
	return v >= floor(v) && v <= floor(v);
}

/* --- requests --- */

static int
read_columns(struct sim_trace *t, double v[COLUMNS], struct err *e)
{
	const char *form = t->is_by_minute ? by_minute : by_request, *line;
	size_t n;
	int rc = next_line(t, &line, &n, e);

	if (rc <= 0)
		return rc;
	if (!parse_columns(line, n, v, t->is_by_minute ? 3 : 2))
		return mistake(t, form, line, n, e);
	if (v[0] > (t->is_by_minute ? MINUTE_MOST : TIME_MOST))
		return mistake(t, "a time within a year", line, n, e);
	if (v[t->is_by_minute ? 2 : 1] > WORK_MOST)
		return mistake(t, "a duration_ms within a day", line, n, e);
	if (t->is_by_minute && (v[1] > COUNT_MOST || !is_whole(v[1]) || !is_whole(v[0])))
		return mistake(t, "a whole minute and a count up to 100000000", line, n, e);
	if (v[0] < t->newest || (t->is_by_minute && v[0] <= t->newest))
		return mistake(t, "lines in the order of time", line, n, e);
	t->newest = v[0];
	return 1;
}

/* A random number in (0, 1], by xorshift64*: the same ones in every run. */
static double
draw(struct sim_trace *t)
{
	t->random ^= t->random >> 12;
	t->random ^= t->random << 25;
	t->random ^= t->random >> 27;
	return (double)((t->random * UINT64_C(2685821657736338717) >> 11) + 1) * 0x1p-53;
}

/* The earliest of `remaining` random times, uniform over the rest of the minute. */
static void
next_of_minute(struct sim_trace *t, struct sim_request *r)
{
	t->part = 1 - (1 - t->part) * pow(draw(t), 1.0 / (double)t->remaining--);
	r->at_ns = (int64_t)((t->minute + t->part) * 60 * CLK_S);
	r->work_ns = t->work_ns;
}

int
sim_trace_next(struct sim_trace *t, struct sim_request *r, struct err *e)
{
	double v[COLUMNS];
	int rc;

	while (t->remaining == 0) {
		rc = read_columns(t, v, e);
		if (rc <= 0)
			return rc;
		if (!t->is_by_minute) {
			*r = (struct sim_request){(int64_t)(v[0] * CLK_MS),
						  (int64_t)(v[1] * CLK_MS)};
			return 1;
		}
		t->minute = v[0];
		t->part = 0;
		t->remaining = (uint64_t)v[1];
		t->work_ns = (int64_t)(v[2] * CLK_MS);
	}
	next_of_minute(t, r);
	return 1;
}

static int
read_header(struct sim_trace *t, struct err *e)
{
	const char *line;
	size_t n;
	int rc = next_line(t, &line, &n, e);

	if (rc < 0)
		return -1;
	if (rc == 0)
		return err_set(e, 0, "%s:1: expected the header \"%s\" or \"%s\", got nothing",
			       t->file, by_request, by_minute);
	t->is_by_minute = text_is(line, n, by_minute);
	if (t->is_by_minute || text_is(line, n, by_request))
		return 0;
	return mistake(t, "the header \"start_ms,duration_ms\" or \"minute,count,duration_ms\"",
		       line, n, e);
}

struct sim_trace *
sim_trace_open(const char *file, struct err *e)
{
	struct sim_trace *t = xcalloc(1, sizeof *t);

	t->file = xstrdup(file);
	t->newest = -1;
	t->random = UINT64_C(0x9e3779b97f4a7c15);
	t->buffer = xmalloc(BUFFER);
	t->fd = open(file, O_RDONLY | O_CLOEXEC);
	if (t->fd < 0)
		err_errno(e, "%s: cannot open", file);
	else if (read_header(t, e) == 0)
		return t;
	sim_trace_close(&t);
	return NULL;
}
