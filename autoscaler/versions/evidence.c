#include "autoscaler/versions/evidence.h"

#include <stdlib.h>
#include <string.h>

#include "common/hmap.h"
#include "common/list.h"
#include "common/msg.h"

#define DOWN_MAX 16 /* activators without a link that are remembered, the newest */

struct evidence {
	struct hmap revisions; /* name → struct counted */
	struct list reporters; /* struct reporter; those without a link first, the oldest first */
	size_t down_n;
};

/* An activator. */
struct reporter {
	struct list_node node;
	char *id;
	bool is_down;
	bool is_known;	  /* a whole report of it has come: what it had counted before is known */
	struct hmap last; /* revision → struct tally: its newest report */
};

struct counted {
	bool is_kept;	   /* within evidence_begin() … evidence_end() */
	struct tally *sum; /* NULL: nothing yet */
};

struct evidence *
evidence_new(void)
{
	struct evidence *e = xcalloc(1, sizeof *e);

	hmap_init(&e->revisions);
	list_init(&e->reporters);
	return e;
}

static void
counted_free(struct counted *c)
{
	if (c != NULL)
		free(c->sum);
	free(c);
}

static void
fini_values(struct hmap *map)
{
	size_t at = 0;
	void *value;

	while (hmap_next(map, &at, NULL, &value))
		free(value);
	hmap_fini(map);
}

static void
reporter_free(struct evidence *e, struct reporter *r)
{
	e->down_n -= r->is_down;
	list_remove(&e->reporters, &r->node);
	fini_values(&r->last);
	free(r->id);
	free(r);
}

void
evidence_free(struct evidence **ep)
{
	struct evidence *e = *ep;
	struct list_node *node, *tmp;
	size_t at = 0;
	void *value;

	*ep = NULL;
	if (e == NULL)
		return;
	LIST_FOREACH(&e->reporters, node, tmp)
		reporter_free(e, container_of(node, struct reporter, node));
	while (hmap_next(&e->revisions, &at, NULL, &value))
		counted_free(value);
	hmap_fini(&e->revisions);
	free(e);
}

/* --- the revisions --- */

void
evidence_begin(struct evidence *e)
{
	size_t at = 0;
	void *value;

	while (hmap_next(&e->revisions, &at, NULL, &value))
		((struct counted *)value)->is_kept = false;
}

void
evidence_keep(struct evidence *e, const char *revision)
{
	struct counted *c = hmap_find(&e->revisions, revision);

	if (c == NULL) {
		c = xcalloc(1, sizeof *c);
		hmap_put(&e->revisions, revision, c);
	}
	c->is_kept = true;
}

static void
forget(struct evidence *e, const char *revision)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&e->reporters, node, tmp)
		free(hmap_remove(&container_of(node, struct reporter, node)->last, revision));
	counted_free(hmap_remove(&e->revisions, revision));
}

void
evidence_end(struct evidence *e)
{
	const char *name;
	size_t at = 0;
	void *value;
	char *copy;

	while (hmap_next(&e->revisions, &at, &name, &value))
		if (!((struct counted *)value)->is_kept) {
			copy = xstrdup(name); /* the key goes with its entry */
			forget(e, copy);
			free(copy);
		}
}

/* --- reports --- */

static struct reporter *
find_reporter(const struct evidence *e, const char *id)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&e->reporters, node, tmp) {
		struct reporter *r = container_of(node, struct reporter, node);

		if (strcmp(r->id, id) == 0)
			return r;
	}
	return NULL;
}

/* The activator has a link: it stands behind all that have none. */
static struct reporter *
reporter_up(struct evidence *e, const char *id)
{
	struct reporter *r = find_reporter(e, id);

	if (r != NULL && !r->is_down)
		return r;
	if (r == NULL) {
		r = xcalloc(1, sizeof *r);
		r->id = xstrdup(id);
		hmap_init(&r->last);
	} else {
		list_remove(&e->reporters, &r->node);
		e->down_n--;
	}
	r->is_down = false;
	list_push(&e->reporters, &r->node);
	return r;
}

static void
take(struct counted *c, struct reporter *r, const char *revision, const struct tally *now)
{
	struct tally *last = hmap_find(&r->last, revision), added = *now;
	bool is_first = last == NULL;

	if (is_first) {
		last = xcalloc(1, sizeof *last);
		hmap_put(&r->last, revision, last);
	}
	/* An activator that has forgotten the revision meanwhile counts from 0 again. */
	if (!tally_is_below(now, last))
		tally_subtract(&added, last);
	*last = *now;
	if (is_first && !r->is_known)
		return;
	if (c->sum == NULL)
		c->sum = xcalloc(1, sizeof *c->sum);
	tally_join(c->sum, &added);
}

void
evidence_report(struct evidence *e, const char *activator, const struct msg_stats *s)
{
	struct reporter *r = reporter_up(e, activator);
	size_t i;

	for (i = 0; i < s->n; i++) {
		struct counted *c = s->v[i].tally == NULL ? NULL
							  : hmap_find(&e->revisions, s->v[i].name);

		if (c != NULL)
			take(c, r, s->v[i].name, s->v[i].tally);
	}
	if (!s->is_partial)
		r->is_known = true;
}

void
evidence_down(struct evidence *e, const char *activator)
{
	struct reporter *r = find_reporter(e, activator);
	struct list_node *node, *tmp;

	if (r == NULL || r->is_down)
		return;
	r->is_down = true;
	e->down_n++;
	/* Behind those that have been down for longer. */
	list_remove(&e->reporters, &r->node);
	LIST_FOREACH(&e->reporters, node, tmp)
		if (!container_of(node, struct reporter, node)->is_down)
			break;
	list_insert_before(&e->reporters, node, &r->node);
	if (e->down_n > DOWN_MAX)
		reporter_free(e, container_of(list_first(&e->reporters), struct reporter, node));
}

void
evidence_add(const struct evidence *e, const char *revision, struct tally *sum)
{
	const struct counted *c = hmap_find(&e->revisions, revision);

	if (c != NULL && c->sum != NULL)
		tally_join(sum, c->sum);
}
