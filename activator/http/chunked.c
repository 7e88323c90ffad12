#include "activator/http/chunked.h"

#include <stdlib.h>
#include <string.h>

#include "activator/http/fields.h"
#include "common/strbuf.h"

enum state {
	SIZE,	    /* the first digit of a chunk size */
	SIZE_MORE,  /* further digits */
	NAME_FIRST, /* after the ";" of an extension */
	NAME,
	NAME_BLANK, /* blanks after a name: "=" or ";" must follow */
	VALUE_FIRST,
	VALUE,
	QUOTED,
	ESCAPED, /* after a backslash */
	QUOTED_END,
	BLANK, /* blanks after a size or a value: ";" must follow */
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	LINE, /* of the trailers; an empty one is the end */
	LINE_LF,
	DONE,
};

struct chunked {
	enum state state;
	uint64_t left;		       /* of the chunk, in bytes */
	size_t overhead, max_overhead; /* bytes other than data, less what data made up for */
	uint32_t fields, max_fields;   /* of the trailers */
	struct strbuf line, trailers;
	struct strbuf announced; /* values of the Trailer fields, as one list */
	bool keeps_all;		 /* trailers that are not announced, too */
};

struct chunked *
chunked_new(const struct h1_head *h, size_t max_overhead, uint32_t max_fields)
{
	struct chunked *c = xcalloc(1, sizeof *c);
	uint32_t i;

	c->max_overhead = max_overhead;
	c->max_fields = max_fields;
	strbuf_init(&c->line, max_overhead);
	strbuf_init(&c->trailers, max_overhead);
	strbuf_init(&c->announced, 0);
	for (i = 0; i < h->n; i++)
		if (h->fields[i].id == FIELD_TRAILER) {
			strbuf_add(&c->announced, h->fields[i].value, h->fields[i].value_n);
			strbuf_adds(&c->announced, ",");
		}
	return c;
}

void
chunked_free(struct chunked **cp)
{
	struct chunked *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	strbuf_fini(&c->line);
	strbuf_fini(&c->trailers);
	strbuf_fini(&c->announced);
	free(c);
}

/* --- trailers --- */

/* A proxy alone sets it, in heads: as a trailer it is dropped. */
static bool
is_of_proxies(enum field_id id)
{
	return id == FIELD_X_ACTIVATOR || id == FIELD_X_FORWARDED || id == FIELD_PROXY;
}

/* One line, without its CRLF.  -1: it is no field, one that must not be a trailer, or one too
 * many. */
static int
take_line(struct chunked *c)
{
	const char *line = strbuf_str(&c->line);
	const char *colon = memchr(line, ':', c->line.len);
	size_t n = c->line.len, name_n = colon == NULL ? 0 : (size_t)(colon - line);
	size_t at = name_n + 1;
	enum field_id id;
	int rc = 0;

	if (++c->fields > c->max_fields || !field_is_token(line, name_n))
		return -1;
	id = field_id(line, name_n);
	if (id != FIELD_OTHER && !is_of_proxies(id)) /* RFC 9110 6.5.1 */
		return -1;
	while (at < n && (line[at] == ' ' || line[at] == '\t'))
		at++;
	while (n > at && (line[n - 1] == ' ' || line[n - 1] == '\t'))
		n--;
	if (!field_is_text(line + at, n - at))
		return -1;
	if (id == FIELD_OTHER && (c->keeps_all || field_list_names(strbuf_str(&c->announced),
								   c->announced.len, line, name_n)))
		rc = strbuf_addf(&c->trailers, "%.*s: %.*s\r\n", (int)name_n, line, (int)(n - at),
				 line + at);
	strbuf_clear(&c->line);
	return rc;
}

/* --- sizes and extensions --- */

static int
hex_digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 32;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* After a size, the name of an extension, or its value. */
static int
after_word(struct chunked *c, char ch, enum state blank)
{
	switch (ch) {
	case '\r':
		c->state = SIZE_LF;
		return 0;
	case ';':
		c->state = NAME_FIRST;
		return 0;
	case ' ':
	case '\t':
		c->state = blank;
		return 0;
	default:
		return -1;
	}
}

static int
on_size(struct chunked *c, char ch)
{
	int digit = hex_digit(ch);

	if (digit < 0)
		return c->state == SIZE ? -1 : after_word(c, ch, BLANK);
	if (c->left >> 59 != 0)
		return -1; /* above INT64_MAX: see field_number() */
	c->left = c->left << 4 | (unsigned)digit;
	c->state = SIZE_MORE;
	return 0;
}

static int
on_extension(struct chunked *c, char ch)
{
	bool is_blank = ch == ' ' || ch == '\t', is_token = field_is_token(&ch, 1);

	switch (c->state) {
	case NAME_FIRST:
	case NAME:
	case NAME_BLANK:
		if (is_token && c->state != NAME_BLANK)
			c->state = NAME;
		else if (ch == '=' && c->state != NAME_FIRST)
			c->state = VALUE_FIRST;
		else if (c->state == NAME)
			return after_word(c, ch, NAME_BLANK);
		else if (ch == ';' && c->state == NAME_BLANK)
			c->state = NAME_FIRST;
		else
			return is_blank ? 0 : -1;
		return 0;
	case VALUE_FIRST:
		if (ch == '"')
			c->state = QUOTED;
		else if (is_token)
			c->state = VALUE;
		else
			return is_blank ? 0 : -1;
		return 0;
	case VALUE:
		return is_token ? 0 : after_word(c, ch, BLANK);
	case BLANK:
		if (ch == ';')
			c->state = NAME_FIRST;
		return ch == ';' || is_blank ? 0 : -1;
	default:
		return -1;
	}
}

static int
on_quoted(struct chunked *c, char ch)
{
	if (c->state == QUOTED_END)
		return after_word(c, ch, BLANK);
	if (!field_is_text(&ch, 1))
		return -1;
	if (c->state == ESCAPED)
		c->state = QUOTED;
	else if (ch == '"')
		c->state = QUOTED_END;
	else if (ch == '\\')
		c->state = ESCAPED;
	return 0;
}

/* --- the body --- */

static int
expect(struct chunked *c, char ch, char wanted, enum state next)
{
	c->state = next;
	return ch == wanted ? 0 : -1;
}

static int
on_line(struct chunked *c, char ch)
{
	if (ch != '\r')
		return field_is_text(&ch, 1) ? strbuf_add(&c->line, &ch, 1) : -1;
	c->state = LINE_LF;
	return 0;
}

static int
on_line_end(struct chunked *c, char ch)
{
	if (ch != '\n')
		return -1;
	if (c->line.len == 0) {
		c->state = DONE;
		return 0;
	}
	c->state = LINE;
	return take_line(c);
}

/* One byte that is not data. */
static int
step(struct chunked *c, char ch)
{
	switch (c->state) {
	case SIZE:
	case SIZE_MORE:
		return on_size(c, ch);
	case QUOTED:
	case ESCAPED:
	case QUOTED_END:
		return on_quoted(c, ch);
	case SIZE_LF:
		return expect(c, ch, '\n', c->left > 0 ? DATA : LINE);
	case DATA_CR:
		return expect(c, ch, '\r', DATA_LF);
	case DATA_LF:
		return expect(c, ch, '\n', SIZE);
	case LINE:
		return on_line(c, ch);
	case LINE_LF:
		return on_line_end(c, ch);
	default:
		return on_extension(c, ch);
	}
}

/* A byte of a chunk size, an extension or a trailer.  Counting byte by byte makes the result
 * independent of how the peer's segments cut the body. */
static int
count_overhead(struct chunked *c)
{
	return ++c->overhead > c->max_overhead ? -1 : 0;
}

ssize_t
chunked_feed(struct chunked *c, char *buf, size_t n, size_t *data_n)
{
	size_t at = 0, out = 0;

	CHECK(c->state != DONE);
	while (at < n && c->state != DONE) {
		if (c->state == DATA) {
			size_t len = (size_t)MIN((uint64_t)(n - at), c->left);

			memmove(buf + out, buf + at, len);
			at += len;
			out += len;
			c->left -= len;
			c->overhead -= MIN(c->overhead, len * 8);
			if (c->left == 0)
				c->state = DATA_CR;
		} else if (count_overhead(c) < 0 || step(c, buf[at++]) < 0) {
			return -1;
		}
	}
	*data_n = out;
	return (ssize_t)at;
}

char *
chunked_judge_trailers(const char *trailers, size_t most, uint32_t max_fields)
{
	static const struct h1_head none;
	struct chunked *c = chunked_new(&none, most, max_fields);
	size_t n = strlen(trailers), i;
	char *kept = NULL;

	c->state = LINE;
	c->keeps_all = true;
	for (i = 0; i < n; i++)
		if (count_overhead(c) < 0 || step(c, trailers[i]) < 0 || c->state == DONE)
			break;
	if (i == n && c->state == LINE)
		kept = strbuf_take(&c->trailers);
	chunked_free(&c);
	return kept;
}

bool
chunked_done(const struct chunked *c)
{
	return c->state == DONE;
}

const char *
chunked_trailers(const struct chunked *c)
{
	return strbuf_str(&c->trailers);
}
