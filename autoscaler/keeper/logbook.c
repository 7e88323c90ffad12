#include "autoscaler/keeper/logbook.h"

#include <stdlib.h>
#include <string.h>

#include "common/hmap.h"
#include "common/list.h"
#include "common/strbuf.h"

#define HALVES 2

/* In front of the id and the text of each line, each of which ends with a NUL. */
struct line_head {
	uint64_t seq;
	int64_t wall_ms;
	uint32_t id_n, n;
};

/* The lines of a revision.  New ones go to the younger half, until it holds half of what the
 * revision may; then the older half is dropped, and the younger one becomes the older one. */
struct shelf {
	struct list_node node; /* the one that was written to last is the last of the list */
	char *revision;
	struct strbuf older, younger;
};

struct logbook {
	struct hmap by_revision; /* struct shelf */
	struct list shelves;
	size_t bytes, bytes_each, bytes_all;
	uint64_t seq; /* of the last line */
};

struct logbook *
logbook_new(size_t bytes_each, size_t bytes_all)
{
	struct logbook *b = xcalloc(1, sizeof *b);

	hmap_init(&b->by_revision);
	list_init(&b->shelves);
	logbook_set_bounds(b, bytes_each, bytes_all);
	return b;
}

static void
shelf_free(struct logbook *b, struct shelf *s)
{
	b->bytes -= s->older.len + s->younger.len + sizeof *s;
	list_remove(&b->shelves, &s->node);
	hmap_remove(&b->by_revision, s->revision);
	strbuf_fini(&s->older);
	strbuf_fini(&s->younger);
	free(s->revision);
	free(s);
}

void
logbook_free(struct logbook **bp)
{
	struct logbook *b = *bp;
	struct list_node *node, *tmp;

	*bp = NULL;
	if (b == NULL)
		return;
	LIST_FOREACH(&b->shelves, node, tmp)
		shelf_free(b, container_of(node, struct shelf, node));
	hmap_fini(&b->by_revision);
	free(b);
}

/* --- bounds --- */

static void
drop_older(struct logbook *b, struct shelf *s)
{
	b->bytes -= s->older.len;
	strbuf_fini(&s->older);
	s->older = s->younger;
	strbuf_init(&s->younger, 0);
}

/* Drop the lines of the revision that has been silent for the longest. */
static void
drop_silent(struct logbook *b)
{
	struct shelf *s = container_of(list_first(&b->shelves), struct shelf, node);

	drop_older(b, s);
	if (s->older.len == 0)
		shelf_free(b, s);
}

static void
trim(struct logbook *b)
{
	while (b->bytes > b->bytes_all && !list_empty(&b->shelves))
		drop_silent(b);
}

void
logbook_set_bounds(struct logbook *b, size_t bytes_each, size_t bytes_all)
{
	struct list_node *node, *tmp;

	b->bytes_each = bytes_each;
	b->bytes_all = bytes_all;
	LIST_FOREACH(&b->shelves, node, tmp) {
		struct shelf *s = container_of(node, struct shelf, node);

		while (s->older.len + s->younger.len > bytes_each)
			drop_older(b, s);
	}
	trim(b);
}

/* --- lines --- */

static struct shelf *
need_shelf(struct logbook *b, const char *revision)
{
	struct shelf *s = hmap_find(&b->by_revision, revision);

	if (s != NULL) {
		list_remove(&b->shelves, &s->node);
		list_push(&b->shelves, &s->node);
		return s;
	}
	s = xcalloc(1, sizeof *s);
	s->revision = xstrdup(revision);
	strbuf_init(&s->older, 0);
	strbuf_init(&s->younger, 0);
	list_push(&b->shelves, &s->node);
	hmap_put(&b->by_revision, revision, s);
	b->bytes += sizeof *s;
	return s;
}

uint64_t
logbook_add(struct logbook *b, const char *revision, const char *id, const char *text, size_t n,
	    int64_t wall_ms)
{
	struct line_head head = {.seq = ++b->seq,
				 .wall_ms = wall_ms,
				 .id_n = (uint32_t)strlen(id),
				 .n = (uint32_t)n};
	size_t bytes = sizeof head + head.id_n + 1 + n + 1;
	struct shelf *s;

	if (bytes > b->bytes_each / HALVES)
		return b->seq; /* lines of this length do not fit, or none is to be kept */
	s = need_shelf(b, revision);
	if (s->younger.len + bytes > b->bytes_each / HALVES)
		drop_older(b, s);
	strbuf_add(&s->younger, &head, sizeof head);
	strbuf_add(&s->younger, id, head.id_n + 1);
	strbuf_add(&s->younger, text, n);
	strbuf_add(&s->younger, "", 1);
	b->bytes += bytes;
	trim(b);
	return b->seq;
}

/* --- reading --- */

/* Of the lines that are asked for. */
struct line_search {
	struct logbook_line *v;
	size_t n, cap;
	uint64_t after;
	int64_t since_ms;
};

static void
search_half(struct line_search *search, const char *revision, const struct strbuf *half)
{
	const char *at = half->data, *end = at == NULL ? NULL : at + half->len;

	while (at != end) {
		struct line_head head;
		const char *id = at + sizeof head;

		memcpy(&head, at, sizeof head);
		at = id + head.id_n + 1 + head.n + 1;
		if (head.seq <= search->after || head.wall_ms < search->since_ms)
			continue;
		if (search->n == search->cap) {
			search->cap = MAX(2 * search->cap, (size_t)256);
			search->v = xrealloc(search->v, search->cap * sizeof *search->v);
		}
		search->v[search->n++] = (struct logbook_line){.seq = head.seq,
							       .wall_ms = head.wall_ms,
							       .revision = revision,
							       .id = id,
							       .text = id + head.id_n + 1,
							       .n = head.n};
	}
}

static int
by_seq(const void *a, const void *b)
{
	const struct logbook_line *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* The first of the last lines that have bytes_max bytes together. */
static size_t
first_within(const struct line_search *search, size_t bytes_max)
{
	size_t i = search->n, bytes = 0;

	while (i > 0 && (bytes += search->v[i - 1].n + 1) <= bytes_max)
		i--;
	return i;
}

void
logbook_each(const struct logbook *b, const struct str_list *revisions, uint64_t after,
	     int64_t since_ms, size_t bytes_max, logbook_fn *fn, void *arg)
{
	struct line_search search = {.after = after, .since_ms = since_ms};
	size_t i;

	for (i = 0; i < revisions->n; i++) {
		const struct shelf *s = hmap_find(&b->by_revision, revisions->v[i]);

		if (s != NULL) {
			search_half(&search, s->revision, &s->older);
			search_half(&search, s->revision, &s->younger);
		}
	}
	if (search.n > 0)
		qsort(search.v, search.n, sizeof *search.v, by_seq);
	for (i = first_within(&search, bytes_max); i < search.n; i++)
		fn(&search.v[i], arg);
	free(search.v);
}

size_t
logbook_bytes(const struct logbook *b)
{
	return b->bytes;
}
