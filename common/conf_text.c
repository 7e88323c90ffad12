#include "common/conf_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/strbuf.h"

#define FILE_MAX ((size_t)16 << 20)
#define DEPTH_MAX 32

struct scan {
	const char *s;
	size_t n, i;
	unsigned line;
	struct strbuf out;
	struct conf_errors *errors;
	unsigned opened[DEPTH_MAX]; /* the lines of the braces that are open */
	size_t depth;
	unsigned long_string; /* the line of the first string of several lines; 0: none yet */
	size_t long_out;      /* bytes of `out` before that string */
	bool is_truncated;
};

static bool
is_at(const struct scan *sc, const char *what)
{
	size_t n = strlen(what);

	return sc->n - sc->i >= n && memcmp(sc->s + sc->i, what, n) == 0;
}

/* Copy n bytes to the output, and count their lines. */
static void
copy(struct scan *sc, size_t n)
{
	strbuf_add(&sc->out, sc->s + sc->i, n);
	while (n-- > 0)
		sc->line += sc->s[sc->i++] == '\n';
}

/* Skip n bytes, but copy the ends of lines among them. */
static void
skip(struct scan *sc, size_t n)
{
	for (; n > 0; n--)
		if (sc->s[sc->i] == '\n')
			copy(sc, 1);
		else
			sc->i++;
}

/* --- comments --- */

static void
scan_line_comment(struct scan *sc)
{
	const char *end = memchr(sc->s + sc->i, '\n', sc->n - sc->i);

	strbuf_adds(&sc->out, " ");
	skip(sc, end == NULL ? sc->n - sc->i : (size_t)(end - sc->s) - sc->i);
}

static void
scan_block_comment(struct scan *sc)
{
	const char *end = memmem(sc->s + sc->i + 2, sc->n - sc->i - 2, "*/", 2);

	if (end == NULL) {
		conf_error(sc->errors, sc->line,
			   "expected a \"*/\" that ends the comment of this line, got the end of "
			   "the file");
		sc->is_truncated = true;
	}
	strbuf_adds(&sc->out, " ");
	skip(sc, end == NULL ? sc->n - sc->i : (size_t)(end - sc->s) + 2 - sc->i);
}

/* --- strings --- */

/* The value of an escape \NNN or \xNN, or -1; *n: its length. */
static int
escape_value(const char *s, size_t left, size_t *n)
{
	static const char octal[] = "01234567", digits[] = "0123456789abcdefABCDEF";
	char text[8] = "";
	size_t run;

	memcpy(text, s, MIN(left, sizeof text - 1));
	if (text[1] == 'x') {
		run = MIN(strspn(text + 2, digits), (size_t)2);
		text[2 + run] = '\0';
		*n = 2 + run;
		return run == 0 ? 'x' : (int)strtol(text + 2, NULL, 16);
	}
	run = strspn(text + 1, "0123456789");
	*n = 1 + run;
	if (run > 3 || strspn(text + 1, octal) < run)
		return -1;
	text[1 + run] = '\0';
	return (int)strtol(text + 1, NULL, 8);
}

static void
scan_escape(struct scan *sc)
{
	char next = sc->i + 1 < sc->n ? sc->s[sc->i + 1] : '\0';
	size_t n = 2;
	int value = 1;

	if ((next >= '0' && next <= '9') || next == 'x')
		value = escape_value(sc->s + sc->i, sc->n - sc->i, &n);
	if (value >= 1 && value <= 255) {
		copy(sc, MIN(n, sc->n - sc->i));
		return;
	}
	conf_error(sc->errors, sc->line,
		   "expected an escape from \\001 to \\377 or \\x01 to \\xff, got %.*s", (int)n,
		   sc->s + sc->i);
	skip(sc, n);
}

/* A string that does not end: the missing quote is that of the first string of several lines,
 * or of this one.  The text ends before the former, because what follows it may be
 * anything. */
static void
unclosed_string(struct scan *sc, unsigned line, char quote, size_t out_n)
{
	char other[32] = "";

	if (sc->long_string > 0)
		snprintf(other, sizeof other, " or in line %u", line);
	conf_error(
		sc->errors, sc->long_string > 0 ? sc->long_string : line,
		"expected a closing %c for the string that begins in this line%s, got the end of the file",
		quote, other);
	sc->out.len = sc->long_string > 0 ? sc->long_out : out_n;
	sc->i = sc->n;
	sc->is_truncated = true;
}

static void
scan_string(struct scan *sc, char quote)
{
	size_t out_n = sc->out.len;
	unsigned line = sc->line;

	copy(sc, 1);
	while (sc->i < sc->n && sc->s[sc->i] != quote) {
		if (sc->s[sc->i] == '\\' && quote == '"') {
			scan_escape(sc);
		} else if (sc->s[sc->i] == '\\') {
			copy(sc, MIN((size_t)2, sc->n - sc->i));
		} else {
			if (quote == '"' && is_at(sc, "${"))
				strbuf_adds(&sc->out, "\\");
			copy(sc, 1);
		}
	}
	if (sc->i == sc->n) {
		unclosed_string(sc, line, quote, out_n);
		return;
	}
	copy(sc, 1);
	if (sc->line > line && sc->long_string == 0) {
		sc->long_string = line;
		sc->long_out = out_n;
	}
}

/* --- words and braces --- */

/* The length of a word, which ends at a blank, quote, brace, bracket, comma, `=` or `#`. */
static size_t
word_length(const struct scan *sc)
{
	size_t i = sc->i;

	while (i < sc->n && memchr(" \t\r\n\"'{}()=,#", sc->s[i], 13) == NULL)
		i++;
	return i - sc->i;
}

static void
scan_word(struct scan *sc)
{
	size_t n = word_length(sc), plain = 0;
	bool is_appended = sc->s[sc->i + n - 1] == '+' && sc->i + n < sc->n &&
			   sc->s[sc->i + n] == '=';
	bool has_variable = sc->i + n < sc->n && sc->s[sc->i + n] == '{' && n > 0 &&
			    sc->s[sc->i + n - 1] == '$';

	n -= is_appended; /* `key+=` */
	while (plain < n && sc->s[sc->i + plain] != '*' && sc->s[sc->i + plain] != '+')
		plain++;
	if (plain == n && !has_variable) {
		copy(sc, n);
		return;
	}
	if (has_variable) {
		const char *end = memchr(sc->s + sc->i + n, '}',
					 MIN(sc->n - sc->i - n, (size_t)64));

		n = end == NULL ? n + 1 : (size_t)(end - sc->s) + 1 - sc->i;
	}
	conf_error(sc->errors, sc->line, "expected quotes around %.*s", (int)MIN(n, (size_t)64),
		   sc->s + sc->i);
	strbuf_adds(&sc->out, "_");
	skip(sc, n);
}

static void
scan_brace(struct scan *sc)
{
	if (sc->s[sc->i] == '{') {
		if (sc->depth < DEPTH_MAX)
			sc->opened[sc->depth] = sc->line;
		sc->depth++;
	} else if (sc->depth > 0) {
		sc->depth--;
	}
	copy(sc, 1);
}

static void
scan_one(struct scan *sc)
{
	char ch = sc->s[sc->i];

	if (ch == '#' || is_at(sc, "//"))
		scan_line_comment(sc);
	else if (is_at(sc, "/*"))
		scan_block_comment(sc);
	else if (ch == '"' || ch == '\'')
		scan_string(sc, ch);
	else if (ch == '{' || ch == '}')
		scan_brace(sc);
	else if (is_at(sc, "+="))
		copy(sc, 2);
	else if (word_length(sc) == 0)
		copy(sc, 1);
	else
		scan_word(sc);
}

/* Is it text?  False: a mistake was added. */
static bool
is_text(const char *s, size_t n, struct conf_errors *errors)
{
	unsigned line = 1;
	size_t i;

	if (n >= 2 && (memcmp(s, "\xff\xfe", 2) == 0 || memcmp(s, "\xfe\xff", 2) == 0)) {
		conf_error(errors, 1, "expected UTF-8, got UTF-16");
		return false;
	}
	for (i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)s[i];

		line += ch == '\n';
		if ((ch < 0x20 && memchr("\t\n\r", ch, 3) == NULL) || ch == 0x7f) {
			conf_error(errors, line, "expected text, got a byte of value 0x%02x", ch);
			return false;
		}
	}
	return true;
}

/* Turn each CR LF into LF, in place.  Returns the new length. */
static size_t
drop_returns(char *s, size_t n)
{
	size_t from, to = 0;

	for (from = 0; from < n; from++)
		if (s[from] != '\r' || from + 1 == n || s[from + 1] != '\n')
			s[to++] = s[from];
	return to;
}

static void
scan_all(struct scan *sc)
{
	while (sc->i < sc->n)
		scan_one(sc);
	if (sc->depth > 0 && !sc->is_truncated) {
		conf_error(
			sc->errors, sc->opened[MIN(sc->depth, (size_t)DEPTH_MAX) - 1],
			"expected a \"}\" that closes the \"{\" of this line, got the end of the file");
		sc->is_truncated = true;
	}
	strbuf_adds(&sc->out, " "); /* libconfuse cannot read an empty text */
}

void
conf_text_make(struct conf_text *t, const char *bytes, size_t n, struct conf_errors *errors)
{
	struct scan sc = {.line = 1, .errors = errors};
	char *copied;

	*t = (struct conf_text){0};
	if (!is_text(bytes, n, errors))
		return;
	copied = xstrndup(bytes, n);
	sc.s = copied;
	sc.n = drop_returns(copied, n);
	sc.i = is_at(&sc, "\xef\xbb\xbf") ? 3 : 0;
	strbuf_init(&sc.out, 0);
	scan_all(&sc);
	t->n = sc.out.len;
	t->is_truncated = sc.is_truncated;
	t->data = strbuf_take(&sc.out);
	free(copied);
}

void
conf_text_read(struct conf_text *t, struct conf_errors *errors)
{
	struct err e;
	size_t n;
	char *bytes = file_read(errors->file, FILE_MAX, &n, &e);

	*t = (struct conf_text){0};
	if (bytes != NULL)
		conf_text_make(t, bytes, n, errors);
	else if (e.code == EFBIG)
		conf_error(errors, 0, "expected at most %zu MiB", FILE_MAX >> 20);
	else
		conf_error(errors, 0, "cannot be read: %s", strerror(e.code));
	free(bytes);
}

void
conf_text_fini(struct conf_text *t)
{
	free(t->data);
	*t = (struct conf_text){0};
}
