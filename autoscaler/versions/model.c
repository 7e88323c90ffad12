#include "autoscaler/versions/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

/* --- life --- */

struct stored_service *
stored_service_new(const char *name)
{
	struct stored_service *s = xcalloc(1, sizeof *s);

	s->name = xstrdup(name);
	s->body = xstrdup("");
	s->next = 1;
	return s;
}

void
stored_revision_fini(struct stored_revision *r)
{
	free(r->name);
	free(r->body);
	free(r->tag);
}

void
stored_service_free(struct stored_service **sp)
{
	struct stored_service *s = *sp;
	size_t i;

	*sp = NULL;
	if (s == NULL)
		return;
	for (i = 0; i < s->n; i++)
		stored_revision_fini(&s->v[i]);
	free(s->v);
	free(s->name);
	free(s->body);
	free(s);
}

struct stored_service *
stored_service_copy(const struct stored_service *from)
{
	struct stored_service *s = xcalloc(1, sizeof *s);
	size_t i;

	*s = *from;
	s->name = xstrdup(from->name);
	s->body = xstrdup(from->body);
	s->v = xcalloc(from->n + 1, sizeof *s->v);
	for (i = 0; i < from->n; i++) {
		s->v[i] = from->v[i];
		s->v[i].name = xstrdup(from->v[i].name);
		s->v[i].body = xstrdup(from->v[i].body);
		s->v[i].tag = text_copy(from->v[i].tag);
	}
	return s;
}

/* "@latest", as kn has it, cannot be a name. */
static bool
is_latest_word(const char *revision)
{
	return strcmp(revision + (revision[0] == '@'), "latest") == 0;
}

static struct stored_revision *
find_latest(const struct stored_service *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].latest > 0)
			return &s->v[i];
	for (i = s->n; i-- > 0;)
		if (!s->v[i].is_tried || i == 0)
			return &s->v[i];
	return NULL;
}

struct stored_revision *
stored_service_find(const struct stored_service *s, const char *revision)
{
	size_t i;

	if (is_latest_word(revision))
		return find_latest(s);
	for (i = 0; i < s->n; i++)
		if (strcmp(s->v[i].name, revision) == 0)
			return &s->v[i];
	return NULL;
}

bool
stored_revision_is_active(const struct stored_revision *r)
{
	return r->percent > 0 || r->tag != NULL || r->is_tried;
}

static int
no_revision(const struct stored_service *s, const char *revision, struct err *e)
{
	return err_set(e, ENOENT, "the service \"%s\" has no revision \"%s\"", s->name, revision);
}

/* --- percents --- */

/* Nothing follows `latest` any more. */
static void
pin(struct stored_service *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		s->v[i].latest = 0;
}

/* What follows `latest` goes to the i-th revision.  False: nothing does. */
static bool
move_latest(struct stored_service *s, size_t i)
{
	struct stored_revision *from = find_latest(s), *to = &s->v[i];
	uint32_t percent = from == NULL ? 0 : MIN(from->latest, from->percent);

	if (percent == 0)
		return false;
	pin(s);
	from->percent -= percent;
	to->percent += percent;
	to->latest = percent;
	return true;
}

/* Let the others of `one` share what it leaves of 100, in their proportions.  What rounding leaves
 * over goes to the largest of them. */
static void
give(struct stored_service *s, size_t one, uint32_t percent)
{
	uint32_t sum = 0, given = 0, left = 100 - percent;
	size_t i, largest = one;

	pin(s);
	for (i = 0; i < s->n; i++)
		sum += i == one ? 0 : s->v[i].percent;
	for (i = 0; i < s->n; i++) {
		if (i == one)
			continue;
		if (largest == one || s->v[i].percent > s->v[largest].percent)
			largest = i;
		s->v[i].percent = sum == 0 ? 0 : s->v[i].percent * left / sum;
		given += s->v[i].percent;
	}
	s->v[one].percent = percent;
	if (sum > 0)
		s->v[largest].percent += left - given;
	else
		s->v[one].percent = 100; /* there is nothing else that could have it */
}

int
model_set_traffic(struct stored_service *s, const struct model_traffic *v, size_t n, struct err *e)
{
	const struct stored_revision *latest = find_latest(s);
	struct stored_revision *r;
	uint64_t sum = 0;
	unsigned has_latest = 0;
	size_t i;

	for (i = 0; i < n; i++)
		sum += v[i].percent;
	if (sum != 100)
		return err_set(e, 0, "the percents sum to %llu, expected 100",
			       (unsigned long long)sum);
	for (i = 0; i < n; i++)
		if (stored_service_find(s, v[i].revision) == NULL)
			return no_revision(s, v[i].revision, e);
		else if (v[i].latest > v[i].percent || (v[i].latest > 0 && has_latest++))
			return err_set(e, 0,
				       "latest: expected a part of the percent of one revision");
	pin(s);
	for (i = 0; i < s->n; i++)
		s->v[i].percent = 0;
	for (i = 0; i < n; i++) {
		bool is_latest = is_latest_word(v[i].revision);

		r = is_latest ? &s->v[latest - s->v] : stored_service_find(s, v[i].revision);
		r->percent += v[i].percent;
		r->latest += is_latest ? v[i].percent : v[i].latest;
	}
	return 0;
}

int
model_set_tag(struct stored_service *s, const char *revision, const char *tag, struct err *e)
{
	struct stored_revision *r = revision == NULL ? NULL : stored_service_find(s, revision);
	bool is_found = false;
	size_t i;

	if (revision != NULL && r == NULL)
		return no_revision(s, revision, e);
	for (i = 0; i < s->n; i++)
		if (text_equal(s->v[i].tag, tag)) {
			free(s->v[i].tag);
			s->v[i].tag = NULL;
			is_found = true;
		}
	if (r == NULL)
		return is_found ? 0
				: err_set(e, ENOENT, "the service \"%s\" has no tag \"%s\"",
					  s->name, tag);
	text_replace(&r->tag, tag);
	return 0;
}

/* --- to deploy --- */

static struct stored_revision *
find_equal(const struct stored_service *s, const struct model_deploy *d)
{
	size_t i;

	for (i = s->n; i-- > 0;)
		if (strcmp(s->v[i].body, d->body) == 0 &&
		    (d->revision == NULL || strcmp(s->v[i].name, d->revision) == 0))
			return &s->v[i];
	return NULL;
}

static char *
next_name(struct stored_service *s)
{
	char *name;

	for (;;) {
		name = xasprintf("%s-%05u", s->name, s->next++);
		if (stored_service_find(s, name) == NULL)
			return name;
		free(name); /* the operator has named one like that */
	}
}

static struct stored_revision *
add_revision(struct stored_service *s, const struct model_deploy *d)
{
	struct stored_revision *r;

	s->v = xrealloc(s->v, (s->n + 1) * sizeof *s->v);
	r = &s->v[s->n];
	*r = (struct stored_revision){.created_s = d->now_s};
	r->name = d->revision != NULL ? xstrdup(d->revision) : next_name(s);
	r->body = xstrdup(d->body);
	s->n++;
	return r;
}

static int
check_deploy(const struct stored_service *s, const struct model_deploy *d, struct err *e)
{
	if (d->percent != MODEL_ALL && d->percent != MODEL_KEEP &&
	    (d->percent < 0 || d->percent > 100))
		return err_set(e, 0, "expected a percent of 0 to 100, got %d", d->percent);
	if (d->revision != NULL && is_latest_word(d->revision))
		return err_set(e, 0, "\"latest\" stands for the newest revision: use another name");
	if (d->revision != NULL && stored_service_find(s, d->revision) != NULL)
		return err_set(e, EEXIST,
			       "the revision \"%s\" exists with another template, and a revision "
			       "never changes: use another name",
			       d->revision);
	if (s->n >= MODEL_REVISIONS_MAX)
		return err_set(e, 0, "the service has %d revisions: delete some of them first",
			       MODEL_REVISIONS_MAX);
	return 0;
}

struct stored_revision *
model_deploy(struct stored_service *s, const struct model_deploy *d, bool *is_new, struct err *e)
{
	struct stored_revision *r = find_equal(s, d);

	*is_new = r == NULL;
	if (r == NULL && check_deploy(s, d, e) < 0)
		return NULL;
	if (d->service_body != NULL)
		text_replace(&s->body, d->service_body);
	if (r == NULL)
		r = add_revision(s, d);
	if (d->percent == MODEL_ALL && move_latest(s, (size_t)(r - s->v)))
		; /* the rest of the route stays as it is */
	else if (d->percent != MODEL_KEEP || s->n == 1)
		give(s, (size_t)(r - s->v), d->percent < 0 ? 100 : (uint32_t)d->percent);
	if (d->tag != NULL && model_set_tag(s, r->name, d->tag, e) < 0)
		return NULL;
	return r;
}

/* --- to delete --- */

static void
remove_at(struct stored_service *s, size_t i)
{
	stored_revision_fini(&s->v[i]);
	memmove(&s->v[i], &s->v[i + 1], (s->n - i - 1) * sizeof *s->v);
	s->n--;
}

int
model_delete_revision(struct stored_service *s, const char *revision, struct err *e)
{
	const struct stored_revision *r = stored_service_find(s, revision);

	if (r == NULL)
		return no_revision(s, revision, e);
	if (r->percent > 0)
		return err_set(e, EBUSY, "the revision \"%s\" gets %u%% of the traffic", r->name,
			       r->percent);
	if (r->tag != NULL)
		return err_set(e, EBUSY, "the revision \"%s\" has the tag \"%s\"", r->name, r->tag);
	remove_at(s, (size_t)(r - s->v));
	return 0;
}

/* --- which revisions are kept --- */

void
model_note_activity(struct stored_service *s, int64_t now_s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		struct stored_revision *r = &s->v[i];

		if (stored_revision_is_active(r))
			r->inactive_s = 0;
		else if (r->inactive_s == 0)
			r->inactive_s = now_s;
	}
}

/* It is active, or the newest: a template that was deployed without traffic may get some. */
static bool
is_needed(const struct stored_service *s, size_t i)
{
	return i + 1 == s->n || stored_revision_is_active(&s->v[i]);
}

static bool
is_stale(const struct stored_revision *r, const struct model_retention *retention, int64_t now_s)
{
	int64_t create_s = retention->since_create_s, active_s = retention->since_active_s;

	if (create_s == 0 && active_s == 0)
		return false;
	if (create_s > 0 && now_s - r->created_s <= create_s)
		return false;
	return active_s == 0 || now_s - r->inactive_s >= active_s;
}

/* The revision that is not active for the longest, of those that are also stale (unless
 * retention is NULL).  s->n: there is none. */
static size_t
find_oldest(const struct stored_service *s, const struct model_retention *retention, int64_t now_s)
{
	size_t oldest = s->n, i;

	for (i = 0; i < s->n; i++) {
		const struct stored_revision *r = &s->v[i];

		if (is_needed(s, i) || (retention != NULL && !is_stale(r, retention, now_s)))
			continue;
		if (oldest == s->n || r->inactive_s < s->v[oldest].inactive_s)
			oldest = i;
	}
	return oldest;
}

size_t
model_collect(struct stored_service *s, const struct model_retention *retention, int64_t now_s)
{
	size_t idle = 0, removed = 0, i;

	for (i = 0; i < s->n; i++)
		idle += !is_needed(s, i);
	while (idle > 0) {
		if (idle > retention->most)
			i = find_oldest(s, NULL, now_s);
		else if (idle > retention->least)
			i = find_oldest(s, retention, now_s);
		else
			break;
		if (i == s->n)
			break;
		remove_at(s, i);
		idle--;
		removed++;
	}
	return removed;
}
