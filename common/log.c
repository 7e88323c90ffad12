#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/log_fd.h"
#include "common/text.h"

/* PIPE_BUF on Linux: a pipe may split up a longer write. */
#define LINE_BYTES 4096
#define TAIL_BYTES 8 /* kept free for the end of a line that was cut: ..." } newline */
#define PAIRS_MAX 32
#define FORMAT_MAX 512 /* bytes of the format of the pairs, a constant in the source */

static atomic_int min_level = LOG_INFO, format = LOG_LOGFMT;
static char program_name[32]; /* set by log_open(), before any thread starts */
static bool is_journal;	      /* likewise */

/* Lines that standard error had no room for: in all, and since that was last reported. */
static _Atomic uint64_t lost, unreported;

static const char *const level_names[] = {"trace", "debug", "info", "warn", "error"};
static const char *const priorities[] = {"<7>", "<7>", "<6>", "<4>", "<3>"}; /* of syslog(3) */

/* A line under construction; what does not fit into it is cut. */
struct line {
	enum log_format format; /* as of its beginning */
	char text[LINE_BYTES];
	size_t n;
	const char *gap; /* what stands before the next pair */
	bool is_cut;
};

/* One `key=value`; value as vsnprintf() wrote it, not quoted yet. */
struct pair {
	const char *key;
	size_t key_n;
	const char *value;
	size_t value_n;
	bool is_number; /* its conversion writes a number: %d, %f … */
};

void
log_change(enum log_level level, enum log_format fmt)
{
	atomic_store_explicit(&min_level, (int)level, memory_order_relaxed);
	atomic_store_explicit(&format, (int)fmt, memory_order_relaxed);
}

/* systemd.exec(5), JOURNAL_STREAM: device and inode of the socket that leads to the journal.  The
 * variable is inherited by programs whose standard error is something else. */
static bool
leads_to_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (stream == NULL || fstat(fd, &st) < 0)
		return false;
	snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(own, stream) == 0;
}

const char *
log_priority(enum log_level level)
{
	return leads_to_journal(STDERR_FILENO) ? priorities[level] : "";
}

void
log_open(enum log_level level, enum log_format fmt, const char *program)
{
	log_change(level, fmt);
	is_journal = leads_to_journal(STDERR_FILENO);
	snprintf(program_name, sizeof program_name, "%s", program);
}

bool
log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

void
log_tag_set(struct log_tag *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(t->text, sizeof t->text, fmt, args);
	va_end(args);
}

/* Add all of s or nothing, so that no escape sequence is cut in two. */
static bool
put(struct line *l, const char *s, size_t n)
{
	if (l->is_cut || l->n + n > sizeof l->text - TAIL_BYTES) {
		l->is_cut = true;
		return false;
	}
	memcpy(l->text + l->n, s, n);
	l->n += n;
	return true;
}

static bool
puts_line(struct line *l, const char *s)
{
	return put(l, s, strlen(s));
}

/* Add s to a line that may be full: TAIL_BYTES are kept for it. */
static void
put_tail(struct line *l, const char *s)
{
	size_t n = strlen(s);

	CHECK(n <= sizeof l->text - l->n);
	memcpy(l->text + l->n, s, n);
	l->n += n;
}

static bool
put_escaped(struct line *l, unsigned char c)
{
	char text[8];
	size_t n;

	switch (c) {
	case '"':
		return put(l, "\\\"", 2);
	case '\\':
		return put(l, "\\\\", 2);
	case '\n':
		return put(l, "\\n", 2);
	case '\r':
		return put(l, "\\r", 2);
	case '\t':
		return put(l, "\\t", 2);
	default:
		break;
	}
	if (l->format != LOG_JSON)
		n = (size_t)snprintf(text, sizeof text, "\\x%02x", c);
	else if (c >= 0x80)
		n = (size_t)snprintf(text, sizeof text, "\\ufffd"); /* JSON has no bytes */
	else
		n = (size_t)snprintf(text, sizeof text, "\\u%04x", c);
	return put(l, text, n);
}

static void
put_quoted(struct line *l, const char *s, size_t n)
{
	const unsigned char *at = (const unsigned char *)s;

	if (!put(l, "\"", 1))
		return;
	while (n > 0) {
		size_t len = text_utf8_length((const char *)at, n);
		bool is_plain = len > 1 || (len == 1 && at[0] >= 0x20 && at[0] != 0x7f &&
					    at[0] != '"' && at[0] != '\\');

		if (!(is_plain ? put(l, (const char *)at, len) : put_escaped(l, at[0])))
			break;
		len = MAX(len, 1);
		at += len;
		n -= len;
	}
	put_tail(l, l->is_cut ? "...\"" : "\"");
}

static bool
needs_quotes(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
			return true;
	}
	return n == 0;
}

static size_t
digits(const char *s, size_t n, size_t at)
{
	size_t from = at;

	while (at < n && s[at] >= '0' && s[at] <= '9')
		at++;
	return at - from;
}

/* Is it a number by RFC 8259?  "nan", "inf", "007" and "0x1f" are not. */
static bool
is_json_number(const char *s, size_t n)
{
	size_t at = n > 0 && s[0] == '-', more = digits(s, n, at);

	if (more == 0 || (more > 1 && s[at] == '0'))
		return false;
	at += more;
	if (at < n && s[at] == '.') {
		more = digits(s, n, at + 1);
		if (more == 0)
			return false;
		at += 1 + more;
	}
	if (at < n && (s[at] == 'e' || s[at] == 'E')) {
		at++;
		at += at < n && (s[at] == '+' || s[at] == '-');
		more = digits(s, n, at);
		if (more == 0)
			return false;
		at += more;
	}
	return at == n;
}

static void
put_json_pair(struct line *l, const struct pair *p)
{
	size_t before = l->n;

	puts_line(l, ",\"");
	put(l, p->key, p->key_n);
	puts_line(l, "\":");
	if (!p->is_number || !is_json_number(p->value, p->value_n))
		put_quoted(l, p->value, p->value_n);
	else if (!put(l, p->value, p->value_n))
		l->n = before;
}

static void
put_text_pair(struct line *l, const struct pair *p)
{
	puts_line(l, l->gap);
	l->gap = " ";
	put(l, p->key, p->key_n);
	puts_line(l, "=");
	if (!needs_quotes(p->value, p->value_n) && put(l, p->value, p->value_n))
		return;
	l->is_cut = false; /* write as much of a long value as fits */
	put_quoted(l, p->value, p->value_n);
}

static void
put_pair(struct line *l, const struct pair *p)
{
	if (l->is_cut || l->n + p->key_n + TAIL_BYTES > sizeof l->text - TAIL_BYTES)
		l->is_cut = true;
	else if (l->format == LOG_JSON)
		put_json_pair(l, p);
	else
		put_text_pair(l, p);
}

/* The values of a tag need no quotes: "w=2 c=18". */
static void
put_tag(struct line *l, const struct log_tag *tag)
{
	const char *at = tag == NULL ? "" : tag->text;

	while (*at != '\0') {
		size_t n = strcspn(at, " "), key_n = strcspn(at, "=");

		if (key_n < n)
			put_pair(l, &(struct pair){at, key_n, at + key_n + 1, n - key_n - 1, true});
		at += n;
		at += strspn(at, " ");
	}
}

/* Does fmt, the format of one value, write a number and nothing else? */
static bool
is_number_format(const char *fmt, size_t n)
{
	size_t i;

	if (n < 2 || fmt[0] != '%' || strchr("diufFeEgG", fmt[n - 1]) == NULL)
		return false;
	for (i = 1; i < n - 1; i++)
		if (strchr("-+ #0123456789.*hlLjzt", fmt[i]) == NULL)
			return false;
	return true;
}

/* Read the next pair of a format, which begins at `at`: its key, and whether its value is a
 * number.  Returns where it ends. */
static size_t
next_pair(const char *fmt, size_t at, struct pair *p)
{
	size_t n = strcspn(fmt + at, " ");

	p->key = fmt + at;
	p->key_n = strcspn(fmt + at, "=");
	CHECK(p->key_n < n);
	p->is_number = is_number_format(fmt + at + p->key_n + 1, n - p->key_n - 1);
	return at + n;
}

/* Format fmt into raw and find where each value lies there.  The end of a value is found by
 * formatting fmt up to it, so that no byte of a value can be taken for a separator. */
static size_t
split_pairs(struct pair pairs[PAIRS_MAX], char *raw, size_t size, const char *fmt, va_list args)
{
	char prefix[FORMAT_MAX];
	size_t at = 0, done = 0, n = 0, blanks;
	va_list again;
	int len;

	CHECK(strlen(fmt) < sizeof prefix);
	memcpy(prefix, fmt, strlen(fmt) + 1);
	for (blanks = strspn(fmt, " "); fmt[at + blanks] != '\0'; blanks = strspn(fmt + at, " ")) {
		struct pair *p = &pairs[n++];

		CHECK(n <= PAIRS_MAX);
		done += blanks;
		at = next_pair(fmt, at + blanks, p);
		prefix[at] = '\0';
		va_copy(again, args);
		len = vsnprintf(raw, size, prefix, again);
		va_end(again);
		CHECK(len >= 0);
		prefix[at] = fmt[at];
		p->value = raw + MIN(done + p->key_n + 1, size - 1);
		done = (size_t)len;
		p->value_n = (size_t)(raw + MIN(done, size - 1) - p->value);
	}
	return n;
}

static void
put_time(struct line *l)
{
	int64_t now = clk_wall();
	time_t second = (time_t)(now / CLK_S);
	char text[40];
	struct tm tm;
	size_t n;

	if (l->format == LOG_TEXT) {
		localtime_r(&second, &tm);
		n = strftime(text, sizeof text, "%H:%M:%S ", &tm);
	} else {
		gmtime_r(&second, &tm);
		n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
		n += (size_t)snprintf(text + n, sizeof text - n, ".%03dZ",
				      (int)(now % CLK_S / CLK_MS));
	}
	put(l, text, n);
}

/* All of the line that stands before the pairs. */
static void
put_head(struct line *l, enum log_level level, const struct log_tag *tag, const char *msg)
{
	static const char *const text_names[] = {"trace: ", "debug: ", "", "warning: ", "error: "};

	if (is_journal)
		puts_line(l, priorities[level]);
	switch (l->format) {
	case LOG_JSON:
		puts_line(l, "{\"ts\":\"");
		put_time(l);
		puts_line(l, "\",\"level\":\"");
		puts_line(l, level_names[level]);
		puts_line(l, "\",\"program\":");
		put_quoted(l, program_name, strlen(program_name));
		put_tag(l, tag);
		puts_line(l, ",\"msg\":");
		put_quoted(l, msg, strlen(msg));
		break;
	case LOG_LOGFMT:
		if (!is_journal) { /* which shows the time of each line */
			puts_line(l, "ts=");
			put_time(l);
			puts_line(l, " ");
		}
		puts_line(l, "level=");
		puts_line(l, level_names[level]);
		puts_line(l, " program=");
		puts_line(l, program_name);
		put_tag(l, tag);
		puts_line(l, " msg=");
		put_quoted(l, msg, strlen(msg));
		break;
	case LOG_TEXT:
		if (!is_journal)
			put_time(l);
		puts_line(l, program_name);
		puts_line(l, "  ");
		puts_line(l, text_names[level]);
		puts_line(l, msg);
		l->gap = "  ";
		put_tag(l, tag);
		break;
	}
}

/* Finish the line of one event.  l->text is not initialised: it has 4096 bytes. */
static void
build_line(struct line *l, enum log_level level, const struct log_tag *tag, const char *msg,
	   const char *fmt, va_list args)
{
	struct pair pairs[PAIRS_MAX];
	char raw[LINE_BYTES];
	size_t i, n;

	l->format = (enum log_format)atomic_load_explicit(&format, memory_order_relaxed);
	l->n = 0;
	l->gap = " ";
	l->is_cut = false;
	put_head(l, level, tag, msg);
	n = split_pairs(pairs, raw, sizeof raw, fmt, args);
	for (i = 0; i < n; i++)
		put_pair(l, &pairs[i]);
	put_tail(l, l->format == LOG_JSON ? "}\n" : "\n");
}

static bool PRINTF_LIKE(1, 2) write_lost(const char *fmt, ...)
{
	struct line l;
	va_list args;

	va_start(args, fmt);
	build_line(&l, LOG_WARN, NULL, "log lines lost: standard error was not read", fmt, args);
	va_end(args);
	return log_fd_write(l.text, l.n);
}

/* Say how many lines were lost as soon as there is room again.  Of several threads one says
 * so: it takes the count, and puts it back where there is still no room. */
static void
report_lost(void)
{
	uint64_t n = atomic_load_explicit(&unreported, memory_order_relaxed);

	if (n == 0 || (n = atomic_exchange(&unreported, 0)) == 0)
		return;
	if (!write_lost("count=%" PRIu64, n))
		atomic_fetch_add(&unreported, n);
}

void
log_write(enum log_level level, const struct log_tag *tag, const char *msg, const char *fmt, ...)
{
	struct line l;
	int saved = errno;
	va_list args;

	va_start(args, fmt);
	build_line(&l, level, tag, msg, fmt, args);
	va_end(args);
	report_lost();
	if (!log_fd_write(l.text, l.n)) {
		atomic_fetch_add(&lost, 1);
		atomic_fetch_add(&unreported, 1);
	}
	errno = saved;
}

uint64_t
log_lost(void)
{
	return atomic_load_explicit(&lost, memory_order_relaxed);
}

bool
log_allow(struct log_limit *l, uint32_t burst, const char *msg)
{
	int64_t now = clk_now() / CLK_S + 1; /* not 0, which l->second is at first */
	int64_t last = __atomic_load_n(&l->second, __ATOMIC_RELAXED);
	uint32_t dropped = 0;

	if (last != now && __atomic_compare_exchange_n(&l->second, &last, now, false,
						       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		dropped = __atomic_exchange_n(&l->dropped, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&l->n, 0, __ATOMIC_RELAXED);
	}
	if (dropped > 0)
		log_write(LOG_WARN, NULL, "log lines dropped", "message=%s count=%u", msg, dropped);
	if (__atomic_fetch_add(&l->n, 1, __ATOMIC_RELAXED) < burst)
		return true;
	__atomic_fetch_add(&l->dropped, 1, __ATOMIC_RELAXED);
	return false;
}
