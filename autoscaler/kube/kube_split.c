#include "autoscaler/kube/kube_split.h"

#include <string.h>

#include "common/text.h"

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
kube_split_is_complete(const struct kube_split *s)
{
	return s->form == KUBE_LIST ? s->is_over : s->buf.len == 0;
}

/* Hand over the piece, which is complete. */
static int
emit(struct kube_split *s, enum kube_piece piece, kube_split_fn *fn, void *arg)
{
	bool go_on = fn(piece, strbuf_str(&s->buf), s->buf.len, arg);

	/* A large object must not hold its memory as long as the watch lasts. */
	if (s->buf.cap > 64 << 10) {
		strbuf_fini(&s->buf);
		strbuf_init(&s->buf, KUBE_OBJECT_MOST);
	} else {
		strbuf_clear(&s->buf);
	}
	return go_on ? 0 : -1;
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
		if (s->buf.len > 0 && emit(s, KUBE_EVENT, fn, arg) < 0)
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
	return text_is(s->key, s->key_n, name);
}

/* Count an opening bracket.  True: a piece begins with it. */
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

/* Count a closing bracket.  True: a piece ends with it. */
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

enum mark { NOTHING, PIECE_BEGINS, PIECE_ENDS, BEHIND_THE_END };

/* What a byte outside of strings means. */
static enum mark
outside_string(struct kube_split *s, char c)
{
	switch (c) {
	case '"':
		s->in_string = true;
		if (s->depth == 1 && s->key_n == 0)
			s->is_key = true;
		return NOTHING;
	case ',':
		if (s->depth == 1)
			s->key_n = 0;
		return NOTHING;
	case '{':
	case '[':
		if (s->is_over)
			return BEHIND_THE_END;
		return opens_piece(s, c) ? PIECE_BEGINS : NOTHING;
	case '}':
	case ']':
		return closes_piece(s) ? PIECE_ENDS : NOTHING;
	default:
		return NOTHING;
	}
}

static int
feed_list(struct kube_split *s, const char *data, size_t n, kube_split_fn *fn, void *arg)
{
	size_t i, begin = 0;

	for (i = 0; i < n; i++) {
		enum mark mark = NOTHING;

		if (s->in_string)
			in_string(s, data[i]);
		else
			mark = outside_string(s, data[i]);
		if (mark == BEHIND_THE_END)
			return -1;
		if (mark == PIECE_BEGINS)
			begin = i;
		if (mark != PIECE_ENDS)
			continue;
		if (strbuf_add(&s->buf, data + begin, i + 1 - begin) < 0 ||
		    emit(s, s->piece, fn, arg) < 0)
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
