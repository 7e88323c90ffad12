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
	struct hmap open; /* revision → struct open: its newest report that was not early */
	bool is_midway;	  /* a part of a report has come, and its end has not */
	uint64_t reports; /* whole ones */
	int64_t whole_ns; /* the last whole one over this link came then; 0: none */
};

struct open {
	uint64_t report; /* reporter.reports before the report that has it */
	uint32_t n;
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
	fini_values(&r->open);
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

	LIST_FOREACH(&e->reporters, node, tmp) {
		struct reporter *r = container_of(node, struct reporter, node);

		free(hmap_remove(&r->last, revision));
		free(hmap_remove(&r->open, revision));
	}
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
		hmap_init(&r->open);
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

static void
take_open(struct reporter *r, const struct msg_stat *s)
{
	struct open *open = hmap_find(&r->open, s->name);

	if (open == NULL) {
		open = xcalloc(1, sizeof *open);
		hmap_put(&r->open, s->name, open);
	}
	*open = (struct open){.report = r->reports, .n = s->in_flight + s->parked};
}

void
evidence_report(struct evidence *e, const char *activator, const struct msg_stats *s,
		int64_t now_ns)
{
	struct reporter *r = reporter_up(e, activator);
	bool is_early = s->is_partial && s->period_ms == 0;
	size_t i;

	for (i = 0; i < s->n; i++) {
		struct counted *c = hmap_find(&e->revisions, s->v[i].name);

		if (c != NULL && s->v[i].tally != NULL)
			take(c, r, s->v[i].name, s->v[i].tally);
		if (c != NULL && !is_early)
			take_open(r, &s->v[i]);
	}
	if (!is_early)
		r->is_midway = s->is_partial;
	if (s->is_partial)
		return;
	r->is_known = true;
	r->reports++;
	r->whole_ns = now_ns;
}

void
evidence_down(struct evidence *e, const char *activator)
{
	struct reporter *r = find_reporter(e, activator);
	struct list_node *node, *tmp;

	if (r == NULL || r->is_down)
		return;
	r->is_down = true;
	r->is_midway = false;
	r->whole_ns = 0;
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

uint32_t
evidence_open(const struct evidence *e, const char *revision)
{
	struct list_node *node, *tmp;
	uint32_t n = 0;

	LIST_FOREACH(&e->reporters, node, tmp) {
		const struct reporter *r = container_of(node, struct reporter, node);
		const struct open *open = r->whole_ns == 0 ? NULL : hmap_find(&r->open, revision);

		/* A revision that the last whole report does not name has none there. */
		if (open != NULL && open->report + 1 == r->reports)
			n += open->n;
	}
	return n;
}

void
evidence_times(const struct evidence *e, int64_t *oldest_ns, int64_t *newest_ns)
{
	struct list_node *node, *tmp;

	*oldest_ns = *newest_ns = 0;
	LIST_FOREACH(&e->reporters, node, tmp) {
		const struct reporter *r = container_of(node, struct reporter, node);

		if (r->is_midway) {
			*oldest_ns = *newest_ns = 0;
			return;
		}
		if (r->whole_ns == 0)
			continue;
		*newest_ns = MAX(*newest_ns, r->whole_ns);
		*oldest_ns = *oldest_ns == 0 ? r->whole_ns : MIN(*oldest_ns, r->whole_ns);
	}
}
