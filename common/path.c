#include "common/path.h"

#include <stdlib.h>
#include <string.h>

/* Where a byte makes a path other than plain.  A table, because each byte of nearly every path
 * that is compared with prefixes is looked up in it. */
enum { NOWHERE, ANYWHERE, BEHIND_SLASH };
static const uint8_t not_plain[256] = {
	['%'] = ANYWHERE,     [';'] = ANYWHERE,	    ['\\'] = ANYWHERE,
	['/'] = BEHIND_SLASH, ['.'] = BEHIND_SLASH,
};

bool
path_is_plain(const char *path, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		uint8_t where = not_plain[(unsigned char)path[i]];

		if (where != NOWHERE && (where == ANYWHERE || (i > 0 && path[i - 1] == '/')))
			return false;
	}
	return true;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that is encoded at s, or -1: none is. */
static int
encoded(const char *s, size_t n)
{
	if (n < 3 || s[0] != '%' || hex(s[1]) < 0 || hex(s[2]) < 0)
		return -1;
	return hex(s[1]) << 4 | hex(s[2]);
}

/* Decode once, in place; %2F only if with_slash says so.  Returns the new size, which is n if
 * there was nothing to decode. */
static size_t
decode(char *s, size_t n, bool with_slash)
{
	size_t from = 0, to = 0;

	while (from < n) {
		int c = encoded(s + from, n - from);

		if (c < 0 || (c == '/' && !with_slash)) {
			s[to++] = s[from++];
		} else {
			s[to++] = (char)c;
			from += 3;
		}
	}
	return to;
}

static size_t
decode_times(char *s, size_t n, bool with_slash, unsigned times)
{
	while (times-- > 0)
		n = decode(s, n, with_slash);
	return n;
}

static bool
has(const char *s, size_t n, const char *part)
{
	return memmem(s, n, part, strlen(part)) != NULL;
}

void
path_examine(struct path_doubts *d, const char *path, size_t n, char *buf)
{
	size_t after;

	*d = (struct path_doubts){0};
	memcpy(buf, path, n);
	for (; d->depth <= PATH_DEPTH_MAX; n = after, d->depth++) {
		after = decode(buf, n, false);
		if (after == n)
			break;
	}
	if (has(buf, n, "%2f") || has(buf, n, "%2F")) {
		d->mask |= PATH_SLASH;
		d->depth++; /* for the slash itself */
	}
	if (memchr(buf, '\\', n) != NULL)
		d->mask |= PATH_BACKSLASH;
	if (memchr(buf, ';', n) != NULL)
		d->mask |= PATH_PARAMS;
	if (memchr(buf, '\0', n) != NULL)
		d->mask |= PATH_NUL;
	if (has(buf, n, "..") && (has(buf, n, "//") || d->mask != 0))
		d->mask |= PATH_EMPTY;
}

/* The end of the segment that begins at s[at]. */
static size_t
segment_end(const char *s, size_t at, size_t n, unsigned reading)
{
	while (at < n && s[at] != '/' && !(s[at] == '\\' && (reading & PATH_BACKSLASH) != 0))
		at++;
	return at;
}

static size_t
without_last_segment(const char *s, size_t n)
{
	while (n > 0 && s[n - 1] != '/')
		n--;
	return n > 0 ? n - 1 : 0;
}

static size_t
without_empty_segments(char *s, size_t n)
{
	size_t from, to = 0;

	for (from = 0; from < n; from++)
		if (s[from] != '/' || (from + 1 < n && s[from + 1] != '/'))
			s[to++] = s[from];
	return to;
}

/* Remove dot segments and empty ones, in place: what is written is never ahead of what is read,
 * because each segment has its separator before it. */
static size_t
normalize(char *s, size_t n, unsigned reading)
{
	size_t at = 0, to = 0, end;

	for (; at < n; at = end) {
		size_t begin = at + 1, len;
		const void *params;

		end = segment_end(s, begin, n, reading);
		len = end - begin;
		params = (reading & PATH_PARAMS) != 0 ? memchr(s + begin, ';', len) : NULL;
		if (params != NULL)
			len = (size_t)((const char *)params - (s + begin));
		if (len == 0 && (reading & PATH_EMPTY) == 0)
			continue;
		if (len == 1 && s[begin] == '.')
			continue;
		if (len == 2 && s[begin] == '.' && s[begin + 1] == '.') {
			to = without_last_segment(s, to);
			continue;
		}
		s[to++] = '/';
		memmove(s + to, s + begin, len);
		to += len;
	}
	return without_empty_segments(s, to);
}

size_t
path_read(const char *path, size_t n, unsigned reading, unsigned depth, char *out)
{
	const void *nul;

	memcpy(out, path, n);
	n = decode_times(out, n, (reading & PATH_SLASH) != 0, depth);
	nul = (reading & PATH_NUL) != 0 ? memchr(out, '\0', n) : NULL;
	if (nul != NULL)
		n = (size_t)((const char *)nul - out);
	return normalize(out, n, reading);
}

char *
path_prefix(const char *path)
{
	size_t n = strlen(path);
	char *out = xmalloc(n + 1);

	out[path_read(path, n, 0, 1, out)] = '\0';
	return out;
}

bool
path_is_prefix(const char *path)
{
	size_t n = strlen(path), len;
	char *buf = xmalloc(n + 1);
	struct path_doubts d;
	bool is_right;

	path_examine(&d, path, n, buf);
	memcpy(buf, path, n);
	len = decode(buf, n, false);
	len -= len > 0 && buf[len - 1] == '/';
	is_right = d.mask == 0 && d.depth <= 1 && strchr(path, '*') == NULL &&
		   path_read(path, n, 0, 1, buf) == len;
	free(buf);
	return is_right;
}
