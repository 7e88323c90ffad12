#include "autoscaler/kubernetes/kube_split.h"

#include <string.h>

void
kube_split_init(struct kube_split *s, enum kube_form form)
{
	*s = (struct kube_split){.form = form};
	strbuf_init(&s->buf, KUBE_OBJECT_MOST);
}

void
kube_split_fini(struct kube_split *s)
{
	strbuf_fini(&s->buf);
}

bool
kube_split_is_whole(const struct kube_split *s)
{
	return s->form == KUBE_LIST ? s->is_over : s->buf.len == 0;
}

/* The piece is whole. */
static int
tell(struct kube_split *s, enum kube_piece piece, kube_split_fn *fn, void *arg)
{
	bool is_wanted = fn(piece, strbuf_str(&s->buf), s->buf.len, arg);

	/* One large object must not hold its memory for the life of a watch. */
	if (s->buf.cap > 64 << 10) {
		strbuf_fini(&s->buf);
		strbuf_init(&s->buf, KUBE_OBJECT_MOST);
	} else {
		strbuf_clear(&s->buf);
	}
	return is_wanted ? 0 : -1;
}

static int
feed_lines(struct kube_split *s, const char *data, size_t n, kube_split_fn *fn, void *arg)
{
	while (n > 0) {
		const char *end = memchr(data, '\n', n);
		size_t len = end == NULL ? n : (size_t)(end - data);

		if (strbuf_add(&s->buf, data, len) < 0)
			return -1;
		if (end == NULL)
			return 0;
		if (s->buf.len > 0 && tell(s, KUBE_EVENT, fn, arg) < 0)
			return -1;
		data = end + 1;
		n -= len + 1;
	}
	return 0;
}

/* --- lists --- */

static void
in_string(struct kube_split *s, char c)
{
	if (s->is_escaped) {
		s->is_escaped = false;
	} else if (c == '\\') {
		s->is_escaped = true;
	} else if (c == '"') {
		s->in_string = s->is_key = false;
		return;
	}
	if (s->is_key && s->key_n < sizeof s->key - 1)
		s->key[s->key_n++] = c;
}

static bool
is_key(const struct kube_split *s, const char *name)
{
	return s->key_n == strlen(name) && memcmp(s->key, name, s->key_n) == 0;
}

/* Does a piece begin with this bracket, which has been counted? */
static bool
opens_piece(struct kube_split *s, char c)
{
	s->depth++;
	if (s->depth == 2 && c == '[' && is_key(s, "items"))
		s->in_items = true;
	if (s->piece_depth != 0 || c != '{')
		return false;
	if (s->depth == 2 && is_key(s, "metadata"))
		s->piece = KUBE_LIST_METADATA;
	else if (s->depth == 3 && s->in_items)
		s->piece = KUBE_ITEM;
	else
		return false;
	s->piece_depth = s->depth;
	return true;
}

/* Does a piece end with this bracket? */
static bool
closes_piece(struct kube_split *s)
{
	bool is_end = s->piece_depth != 0 && s->depth == s->piece_depth;

	if (s->depth > 0)
		s->depth--;
	if (s->depth < 2)
		s->in_items = false;
	s->is_over = s->depth == 0;
	if (is_end)
		s->piece_depth = 0;
	return is_end;
}

/* Outside of strings.  -1, 0; 1: a piece begins at this byte; 2: one ends with it. */
static int
at_structure(struct kube_split *s, char c)
{
	switch (c) {
	case '"':
		s->in_string = true;
		if (s->depth == 1 && s->key_n == 0)
			s->is_key = true;
		return 0;
	case ',':
		if (s->depth == 1)
			s->key_n = 0;
		return 0;
	case '{':
	case '[':
		return s->is_over ? -1 : opens_piece(s, c);
	case '}':
	case ']':
		return closes_piece(s) ? 2 : 0;
	default:
		return 0;
	}
}

static int
feed_list(struct kube_split *s, const char *data, size_t n, kube_split_fn *fn, void *arg)
{
	size_t i, begin = 0;

	for (i = 0; i < n; i++) {
		int what = 0;

		if (s->in_string)
			in_string(s, data[i]);
		else
			what = at_structure(s, data[i]);
		if (what < 0)
			return -1;
		if (what == 1)
			begin = i;
		if (what != 2)
			continue;
		if (strbuf_add(&s->buf, data + begin, i + 1 - begin) < 0 ||
		    tell(s, s->piece, fn, arg) < 0)
			return -1;
	}
	return s->piece_depth == 0 ? 0 : strbuf_add(&s->buf, data + begin, n - begin);
}

int
kube_split_feed(struct kube_split *s, const char *data, size_t n, kube_split_fn *fn, void *arg)
{
	return s->form == KUBE_LINES ? feed_lines(s, data, n, fn, arg)
				     : feed_list(s, data, n, fn, arg);
}
