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
	free(r->rejected);
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
	rollout_free(&s->rollout);
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
	s->rollout = rollout_copy(from->rollout);
	s->has_replaced_rollout = false;
	s->v = xcalloc(from->n + 1, sizeof *s->v);
	for (i = 0; i < from->n; i++) {
		s->v[i] = from->v[i];
		s->v[i].name = xstrdup(from->v[i].name);
		s->v[i].body = xstrdup(from->v[i].body);
		s->v[i].tag = text_copy(from->v[i].tag);
		s->v[i].rejected = text_copy(from->v[i].rejected);
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
	return r->percent > 0 || r->tag != NULL || r->is_tried || r->is_in_rollout;
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

/* --- rollouts --- */

void
model_mark_rollout(struct stored_service *s)
{
	bool is_active = rollout_is_active(s->rollout);
	size_t i;

	for (i = 0; i < s->n; i++)
		s->v[i].is_in_rollout = is_active && rollout_names(s->rollout, s->v[i].name);
}

static int
check_rollout(const struct stored_service *s, const char *to, struct err *e)
{
	const struct stored_revision *r = to == NULL && s->n > 0 ? &s->v[s->n - 1]
					  : to == NULL		 ? NULL
								 : stored_service_find(s, to);

	if (rollout_is_active(s->rollout))
		return err_set(e, EEXIST, "a rollout to \"%s\" is under way already",
			       s->rollout->to);
	if (r == NULL)
		return no_revision(s, to == NULL ? "latest" : to, e);
	if (r->percent == 100)
		return err_set(e, 0, "the revision \"%s\" has all of the traffic already", r->name);
	return 0;
}

/* The percents now, to go back to. */
static void
note_before(const struct stored_service *s, struct rollout *r)
{
	size_t i;

	r->before = xcalloc(s->n + 1, sizeof *r->before);
	for (i = 0; i < s->n; i++)
		if (s->v[i].percent > 0)
			r->before[r->before_n++] = (struct rollout_share){
				.revision = xstrdup(s->v[i].name),
				.percent = s->v[i].percent,
				.latest = MIN(s->v[i].latest, s->v[i].percent)};
}

int
model_rollout_begin(struct stored_service *s, const char *to, struct rollout_plan *plan,
		    int64_t now_s, struct err *e)
{
	struct rollout *r = rollout_new("");
	struct stored_revision *rev;
	size_t i, n = 0;

	r->plan = *plan;
	*plan = (struct rollout_plan){.over_ns = 0};
	if (check_rollout(s, to, e) < 0) {
		rollout_free(&r);
		return -1;
	}
	rev = to == NULL ? &s->v[s->n - 1] : stored_service_find(s, to);
	text_replace(&r->to, rev->name);
	for (i = 0; i < r->plan.steps_n; i++) /* what it has already is no step */
		if (r->plan.steps[i] > rev->percent)
			r->plan.steps[n++] = r->plan.steps[i];
	r->plan.steps_n = n;
	note_before(s, r);
	r->id = s->generation + 1;
	r->began_s = r->since_s = now_s;
	free(rev->rejected);
	rev->rejected = NULL;
	rollout_free(&s->rollout);
	s->rollout = r;
	model_mark_rollout(s);
	return 0;
}

/* The other revisions had nothing before, and have nothing.  Nothing follows `latest` meanwhile. */
static void
set_shares(struct stored_service *s, const char *to, uint32_t percent, const uint32_t *shares)
{
	const struct rollout *r = s->rollout;
	struct stored_revision *rev;
	size_t i;

	pin(s);
	for (i = 0; i < s->n; i++)
		s->v[i].percent = strcmp(s->v[i].name, to) == 0 ? percent : 0;
	for (i = 0; i < r->before_n; i++) {
		rev = stored_service_find(s, r->before[i].revision);
		if (rev != NULL)
			rev->percent = shares[i];
	}
}

void
model_rollout_step(struct stored_service *s, int64_t now_s)
{
	struct rollout *r = s->rollout;
	uint32_t *shares = xcalloc(r->before_n + 1, sizeof *shares), percent;

	percent = rollout_next_percent(r);
	CHECK(rollout_is_active(r) && percent > 0);
	rollout_split(r, percent, shares);
	set_shares(s, r->to, percent, shares);
	r->step++;
	r->spent_ns = 0;
	r->since_s = now_s;
	free(shares);
}

/* What followed `latest` before does so again: all of it at the revision that has all traffic now.
 */
static void
restore_latest(struct stored_service *s, const struct rollout *r, struct stored_revision *done)
{
	struct stored_revision *rev;
	size_t i;

	for (i = 0; i < r->before_n; i++) {
		rev = done != NULL ? done : stored_service_find(s, r->before[i].revision);
		if (rev != NULL)
			rev->latest += r->before[i].latest;
	}
}

static void
go_back(struct stored_service *s, const char *reason)
{
	const struct rollout *r = s->rollout;
	struct stored_revision *rev = stored_service_find(s, r->to);
	uint32_t *shares = xcalloc(r->before_n + 1, sizeof *shares);
	size_t i;

	for (i = 0; i < r->before_n; i++)
		shares[i] = r->before[i].percent;
	set_shares(s, "", 0, shares);
	restore_latest(s, r, NULL);
	if (rev != NULL)
		text_replace(&rev->rejected, reason);
	free(shares);
}

void
model_rollout_end(struct stored_service *s, enum rollout_state state, const char *reason,
		  int64_t now_s)
{
	struct rollout *r = s->rollout;

	CHECK(rollout_is_active(r));
	if (state == ROLLOUT_ABORTED)
		go_back(s, reason);
	else if (state == ROLLOUT_DONE)
		restore_latest(s, r, stored_service_find(s, r->to));
	r->state = state;
	r->ended_s = now_s;
	text_replace(&r->reason, reason);
	model_mark_rollout(s);
}

static bool
has_same_percents(const struct stored_service *a, const struct stored_service *b)
{
	const struct stored_revision *other;
	size_t i;

	for (i = 0; i < a->n; i++) {
		other = stored_service_find(b, a->v[i].name);
		if (a->v[i].percent != (other == NULL ? 0 : other->percent))
			return false;
	}
	return true;
}

void
model_by_hand(struct stored_service *now, const struct stored_service *before, const char *command,
	      int64_t now_s)
{
	bool is_moved = before != NULL &&
			!(has_same_percents(now, before) && has_same_percents(before, now));
	char *reason;
	size_t i;

	if (!is_moved)
		return;
	for (i = 0; i < now->n; i++)
		if (now->v[i].percent > 0) {
			free(now->v[i].rejected);
			now->v[i].rejected = NULL;
		}
	if (!rollout_is_active(now->rollout))
		return;
	reason = xasprintf("activatorctl %s has set the percents", command);
	model_rollout_end(now, ROLLOUT_REPLACED, reason, now_s);
	now->has_replaced_rollout = true;
	free(reason);
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
	if (r->is_in_rollout)
		return err_set(e, EBUSY, "the rollout to \"%s\" is not over", s->rollout->to);
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

/* It is active, or the newest, or deployed just now: a template that was deployed without traffic
 * may get some. */
static bool
is_needed(const struct stored_service *s, size_t i)
{
	return i + 1 == s->n || s->v[i].is_deployed || stored_revision_is_active(&s->v[i]);
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
	for (i = 0; i < s->n; i++)
		s->v[i].is_deployed = false;
	return removed;
}
