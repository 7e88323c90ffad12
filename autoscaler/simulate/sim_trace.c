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
#define COLUMNS 4	 /* at most */
#define QUOTED_MOST 60	 /* bytes of a line that an error quotes */
#define TIME_MOST 3.2e10 /* ms: about a year */
#define WORK_MOST 8.64e7 /* ms: a day */
#define COUNT_MOST 1e8	 /* requests in a minute */
#define MINUTE_MOST 6e5	 /* about a year */
#define CLIENTS_MOST 1e6
#define ROUND_LEAST 1.0 /* ms, from one request of a client to its next one */

static const char by_request[] = "start_ms,duration_ms";
static const char by_minute[] = "minute,count,duration_ms";
static const char by_clients[] = "start_ms,clients,duration_ms,think_ms";

enum form { BY_REQUEST, BY_MINUTE, BY_CLIENTS };

/* The columns: which one has the duration of a request, and how many there are. */
static const struct {
	const char *header;
	int work, columns;
} forms[] = {[BY_REQUEST] = {by_request, 1, 2},
	     [BY_MINUTE] = {by_minute, 2, 3},
	     [BY_CLIENTS] = {by_clients, 2, 4}};

struct sim_trace {
	char *file;
	int fd;
	char *buffer; /* the bytes from at to n are not parsed yet */
	size_t at, n;
	unsigned line; /* number of the newest line */
	enum form form;
	bool has_clients; /* the newest line has some */
	double newest;	  /* first column of the newest line; -1: none */
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

/* Is something wrong with the numbers of a line?  NULL: no; else what was expected. */
static const char *
complaint(const struct sim_trace *t, const double v[COLUMNS])
{
	if (v[0] > (t->form == BY_MINUTE ? MINUTE_MOST : TIME_MOST))
		return "a time within a year";
	if (v[forms[t->form].work] > WORK_MOST)
		return "a duration_ms within a day";
	if (t->form == BY_MINUTE && (v[1] > COUNT_MOST || !is_whole(v[1]) || !is_whole(v[0])))
		return "a whole minute and a count up to 100000000";
	if (t->form == BY_CLIENTS && (v[1] > CLIENTS_MOST || !is_whole(v[1])))
		return "up to 1000000 clients";
	if (t->form == BY_CLIENTS && v[3] > WORK_MOST)
		return "a think_ms within a day";
	if (t->form == BY_CLIENTS && v[2] + v[3] < ROUND_LEAST)
		return "a duration_ms and a think_ms of together 1 ms at least";
	if (v[0] < t->newest || (t->form == BY_MINUTE && v[0] <= t->newest))
		return "lines in the order of time";
	return NULL;
}

static int
read_columns(struct sim_trace *t, double v[COLUMNS], struct err *e)
{
	const char *line, *expected;
	size_t n;
	int rc = next_line(t, &line, &n, e);

	if (rc <= 0)
		return rc;
	if (!parse_columns(line, n, v, forms[t->form].columns))
		return mistake(t, forms[t->form].header, line, n, e);
	expected = complaint(t, v);
	if (expected != NULL)
		return mistake(t, expected, line, n, e);
	t->newest = v[0];
	return 1;
}

double /* by xorshift64* */
sim_trace_draw(struct sim_trace *t)
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
	t->part = 1 - (1 - t->part) * pow(sim_trace_draw(t), 1.0 / (double)t->remaining--);
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
		if (t->form == BY_REQUEST) {
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

int
sim_trace_next_clients(struct sim_trace *t, struct sim_clients *c, struct err *e)
{
	double v[COLUMNS];
	int rc = read_columns(t, v, e);

	if (rc == 0 && t->has_clients)
		return err_set(e, 0, "%s:%u: expected a last line with 0 clients", t->file,
			       t->line);
	if (rc <= 0)
		return rc;
	t->has_clients = v[1] > 0;
	*c = (struct sim_clients){.at_ns = (int64_t)(v[0] * CLK_MS),
				  .n = (uint32_t)v[1],
				  .work_ns = (int64_t)(v[2] * CLK_MS),
				  .think_ns = (int64_t)(v[3] * CLK_MS)};
	return 1;
}

bool
sim_trace_has_clients(const struct sim_trace *t)
{
	return t->form == BY_CLIENTS;
}

static int
read_header(struct sim_trace *t, struct err *e)
{
	const char *line;
	size_t n, i;
	int rc = next_line(t, &line, &n, e);

	if (rc < 0)
		return -1;
	if (rc == 0)
		return err_set(e, 0,
			       "%s:1: expected the header \"%s\", \"%s\" or \"%s\", got nothing",
			       t->file, by_request, by_minute, by_clients);
	for (i = 0; i < ARRAY_LEN(forms); i++) {
		t->form = (enum form)i;
		if (text_is(line, n, forms[i].header))
			return 0;
	}
	return mistake(t,
		       "the header \"start_ms,duration_ms\", \"minute,count,duration_ms\" or "
		       "\"start_ms,clients,duration_ms,think_ms\"",
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
