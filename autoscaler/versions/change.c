#include "autoscaler/versions/change.h"

#include <string.h>

#include "common/strbuf.h"
#include "common/text.h"

/* By its whole name: "latest" is none here. */
static const struct stored_revision *
find(const struct stored_service *s, const char *name)
{
	size_t i;

	for (i = 0; s != NULL && i < s->n; i++)
		if (strcmp(s->v[i].name, name) == 0)
			return &s->v[i];
	return NULL;
}

static const char *
comma(const struct strbuf *out, size_t begin)
{
	return out->len > begin ? ", " : "";
}

/* Revisions of one that the other has not. */
static void
put_missing(const struct stored_service *from, const struct stored_service *other, const char *what,
	    size_t begin, struct strbuf *out)
{
	size_t i;

	for (i = 0; from != NULL && i < from->n; i++)
		if (find(other, from->v[i].name) == NULL)
			strbuf_addf(out, "%s%s %s", comma(out, begin), from->v[i].name, what);
}

static void
put_percents(const struct stored_service *old, const struct stored_service *new, size_t begin,
	     struct strbuf *out)
{
	size_t i;

	for (i = 0; i < new->n; i++) {
		const struct stored_revision *was = find(old, new->v[i].name);
		uint32_t percent = was == NULL ? 0 : was->percent;

		if (percent != new->v[i].percent)
			strbuf_addf(out, "%s%s from %u%% to %u%%", comma(out, begin),
				    new->v[i].name, percent, new->v[i].percent);
	}
}

static const struct stored_revision *
find_tag(const struct stored_service *s, const char *tag)
{
	size_t i;

	for (i = 0; s != NULL && i < s->n; i++)
		if (text_equal(s->v[i].tag, tag))
			return &s->v[i];
	return NULL;
}

static void
put_tags(const struct stored_service *old, const struct stored_service *new, size_t begin,
	 struct strbuf *out)
{
	const struct stored_revision *was;
	size_t i;

	for (i = 0; i < new->n; i++) {
		const struct stored_revision *r = &new->v[i];

		was = r->tag == NULL ? NULL : find_tag(old, r->tag);
		if (r->tag != NULL && (was == NULL || strcmp(was->name, r->name) != 0))
			strbuf_addf(out, "%stag %s to %s", comma(out, begin), r->tag, r->name);
	}
	for (i = 0; old != NULL && i < old->n; i++)
		if (old->v[i].tag != NULL && find_tag(new, old->v[i].tag) == NULL)
			strbuf_addf(out, "%stag %s is removed", comma(out, begin), old->v[i].tag);
}

void
change_put(const struct stored_service *old, const struct stored_service *new, struct strbuf *out)
{
	size_t begin = out->len;

	put_missing(new, old, "is new", begin, out);
	put_missing(old, new, "is removed", begin, out);
	put_percents(old, new, begin, out);
	put_tags(old, new, begin, out);
	if (old != NULL && strcmp(old->body, new->body) != 0)
		strbuf_addf(out, "%skeys of the service", comma(out, begin));
}
