#include "autoscaler/knative/kn_rollout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_json.h"

#define SECOND INT64_C(1000000000)
#define REVISIONS_MOST 100 /* each has 1 % at least */

/* --- values --- */

static void
part_fini(struct kn_rollout_part *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		free(p->revisions[i].name);
	free(p->revisions);
	free(p->configuration);
	free(p->tag);
	free(p->rejected);
	free(p->why);
	*p = (struct kn_rollout_part){.n = 0};
}

void
kn_rollout_fini(struct kn_rollout *r)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		part_fini(&r->v[i]);
	free(r->v);
	*r = (struct kn_rollout){.n = 0};
}

static struct kn_rollout_part *
find_part(const struct kn_rollout *r, const char *configuration, const char *tag)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (strcmp(r->v[i].configuration, configuration) == 0 &&
		    strcmp(r->v[i].tag, tag) == 0)
			return &r->v[i];
	return NULL;
}

static struct kn_rollout_part *
add_part(struct kn_rollout *r, const char *configuration, const char *tag)
{
	struct kn_rollout_part *p;

	r->v = xrealloc(r->v, (r->n + 1) * sizeof *r->v);
	p = &r->v[r->n++];
	*p = (struct kn_rollout_part){.configuration = xstrdup(configuration), .tag = xstrdup(tag)};
	return p;
}

/* As the newest. */
static void
add_revision(struct kn_rollout_part *p, const char *name, int64_t percent)
{
	p->revisions = xrealloc(p->revisions, (p->n + 1) * sizeof *p->revisions);
	p->revisions[p->n++] = (struct kn_rollout_revision){xstrdup(name), percent};
}

static void
remove_revision(struct kn_rollout_part *p, size_t i)
{
	free(p->revisions[i].name);
	p->n--;
	memmove(&p->revisions[i], &p->revisions[i + 1], (p->n - i) * sizeof *p->revisions);
}

/* Leave out Revisions without a percentage, but for the newest. */
static void
remove_empty(struct kn_rollout_part *p)
{
	size_t i = 0;

	while (i + 1 < p->n)
		if (p->revisions[i].percent <= 0)
			remove_revision(p, i);
		else
			i++;
}

/* --- the split before --- */

/* False: the document does not fit. */
static bool
read_part(struct kn_rollout *r, const json_t *from)
{
	const json_t *revisions = kn_json_at(from, "revisions", NULL);
	const json_t *steps = kn_json_at(from, "stepParams", NULL);
	const json_t *rejected = kn_json_at(from, "rejected", NULL);
	struct kn_rollout_part *p = add_part(r, kn_json_text(from, "configurationName", NULL),
					     kn_json_text(from, "tag", NULL));
	int64_t sum = 0;
	size_t i;

	p->percent = kn_json_number(from, "percent", -1);
	p->started_ns = kn_json_number(steps, "starttime", 0);
	p->next_ns = kn_json_number(steps, "nextStepTime", 0);
	p->step_ns = kn_json_number(steps, "stepDuration", 0);
	p->step = kn_json_number(steps, "stepSize", 0);
	if (json_object_get(rejected, "revisionName") != NULL) {
		p->rejected = xstrdup(kn_json_text(rejected, "revisionName", NULL));
		p->why = xstrdup(kn_json_text(rejected, "why", NULL));
	}
	if (json_array_size(revisions) == 0 || json_array_size(revisions) > REVISIONS_MOST)
		return false;
	for (i = 0; i < json_array_size(revisions); i++) {
		const json_t *one = json_array_get(revisions, i);
		int64_t percent = kn_json_number(one, "percent", -1);

		if (percent < 0 || percent > 100)
			return false;
		add_revision(p, kn_json_text(one, "revisionName", NULL), percent);
		sum += percent;
	}
	return sum == p->percent && sum <= 100 && p->started_ns >= 0 && p->next_ns >= 0 &&
	       p->step_ns >= 0 && p->step >= 0 && p->step <= 100;
}

static bool
read_text(struct kn_rollout *r, const char *text)
{
	json_t *doc = text == NULL ? NULL : json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const json_t *parts = kn_json_at(doc, "configurations", NULL);
	bool is_good = json_array_size(parts) > 0;
	size_t i;

	for (i = 0; i < json_array_size(parts) && is_good; i++)
		is_good = read_part(r, json_array_get(parts, i));
	json_decref(doc);
	if (!is_good)
		kn_rollout_fini(r);
	return is_good;
}

static bool
exists(const struct kn_cache *cache, const char *ns, const char *revision)
{
	const struct kn_object *o = kn_cache_find(cache, KN_REVISION, ns, revision);

	return o != NULL && !o->is_foreign && !o->is_deleting;
}

/* What Revisions that are gone had goes to the newest of the others. */
static void
leave_out_gone(struct kn_rollout_part *p, const struct kn_cache *cache, const char *ns)
{
	int64_t freed = 0;
	size_t i = 0;

	while (i < p->n)
		if (exists(cache, ns, p->revisions[i].name)) {
			i++;
		} else {
			freed += p->revisions[i].percent;
			remove_revision(p, i);
		}
	if (p->n > 0)
		p->revisions[p->n - 1].percent += freed;
}

void
kn_rollout_before(struct kn_rollout *r, const char *annotation, const struct kn_cache *cache,
		  const char *ns, const struct kn_targets *last)
{
	size_t i;

	*r = (struct kn_rollout){.n = 0};
	if (!read_text(r, annotation))
		for (i = 0; i < last->n; i++) {
			const struct kn_target *t = &last->v[i];
			struct kn_rollout_part *p = find_part(r, t->configuration, t->tag);

			if (!t->is_latest || t->configuration[0] == '\0')
				continue;
			if (p == NULL)
				p = add_part(r, t->configuration, t->tag);
			add_revision(p, t->revision, t->percent);
			p->percent += t->percent;
		}
	for (i = 0; i < r->n; i++)
		leave_out_gone(&r->v[i], cache, ns);
}

/* --- steps --- */

/* The newest Revision's 1 % is in use: the time that this took says how long a step is at least.
 */
static void
plan_steps(struct kn_rollout_part *p, int64_t duration_s, int64_t now_ns)
{
	double took = ceil((double)(now_ns - p->started_ns) / (double)SECOND);
	double least = fmax(1, took), rest = fmax(1, (double)duration_s - least);
	double steps = fmax(1, fmin(rest / least, (double)(p->percent - 1)));

	p->step = (int64_t)fmax(1, round((double)(p->percent - 1) / steps));
	p->step_ns = (int64_t)(rest / steps * (double)SECOND);
	p->next_ns = now_ns + p->step_ns;
}

/* The percentage of the target has changed: the newest gains, the oldest lose first. */
static void
set_percent(struct kn_rollout_part *p, int64_t percent)
{
	int64_t less = p->percent - percent;
	size_t i;

	if (less < 0)
		p->revisions[p->n - 1].percent -= less;
	for (i = 0; i < p->n && less > 0; i++) {
		int64_t taken = less < p->revisions[i].percent ? less : p->revisions[i].percent;

		p->revisions[i].percent -= taken;
		less -= taken;
	}
	p->percent = percent;
	remove_empty(p);
}

/* The newest Revision gets `size` more, from the newest of the older ones that has any. */
static void
move(struct kn_rollout_part *p, int64_t size)
{
	size_t i = p->n - 1;

	while (size > 0 && i > 0) {
		struct kn_rollout_revision *from = &p->revisions[--i];
		int64_t taken = size < from->percent ? size : from->percent;

		from->percent -= taken;
		p->revisions[p->n - 1].percent += taken;
		size -= taken;
	}
	remove_empty(p);
}

static void
end(struct kn_rollout_part *p)
{
	p->started_ns = p->next_ns = p->step_ns = p->step = 0;
}

static void
begin(struct kn_rollout_part *p, const char *revision, int64_t now_ns)
{
	add_revision(p, revision, 0);
	move(p, 1);
	end(p);
	p->started_ns = now_ns;
}

static void
forgive(struct kn_rollout_part *p)
{
	free(p->rejected);
	free(p->why);
	p->rejected = p->why = NULL;
}

/* The newest Revision gives back what it has.  All goes to the oldest: those between have not come
 * to the end of their own rollouts, which nothing would go on with. */
static void
reject(struct kn_rollout_part *p)
{
	free(p->rejected);
	p->rejected = xstrdup(p->revisions[p->n - 1].name);
	while (p->n > 1) {
		p->revisions[0].percent += p->revisions[p->n - 1].percent;
		remove_revision(p, p->n - 1);
	}
	end(p);
}

static bool
is_rejected(const struct kn_rollout_part *p, const char *revision)
{
	return p->rejected != NULL && strcmp(p->rejected, revision) == 0;
}

/* p is the part before, and becomes the part now. */
static void
step_part(struct kn_rollout_part *p, const struct kn_target *goal, int64_t duration_s, bool is_used,
	  int64_t now_ns)
{
	if (p->n > 1 && is_used && p->started_ns > 0 && p->step_ns == 0)
		plan_steps(p, duration_s, now_ns);
	p->next_ns = MIN(p->next_ns, now_ns + p->step_ns); /* written by a clock that was ahead */
	if (p->n > 1 && p->verdict == ROLLOUT_MUST_END)
		reject(p);
	if (p->percent != goal->percent)
		set_percent(p, goal->percent);
	if (is_rejected(p, goal->revision))
		return;
	forgive(p);
	if (strcmp(p->revisions[p->n - 1].name, goal->revision) != 0)
		begin(p, goal->revision, now_ns);
	else if (p->n > 1 && p->next_ns > 0 && now_ns >= p->next_ns &&
		 p->verdict == ROLLOUT_MAY_GO) {
		move(p, p->step);
		p->next_ns = now_ns + p->step_ns;
	}
	if (p->n == 1)
		end(p);
}

/* Is the Revision one of those of a rollout that goes on, but not its newest?  A rollback to it is
 * no rollout. */
static bool
goes_back(const struct kn_rollout_part *p, const char *revision)
{
	size_t i;

	for (i = 0; i + 1 < p->n; i++)
		if (strcmp(p->revisions[i].name, revision) == 0)
			return true;
	return false;
}

/* Add to r how the target is split now. */
static void
step_target(struct kn_rollout *r, struct kn_rollout *before, const struct kn_target *goal,
	    int64_t duration_s, bool is_used, int64_t now_ns)
{
	struct kn_rollout_part *last = find_part(before, goal->configuration, goal->tag), *p;

	p = add_part(r, goal->configuration, goal->tag);
	if (last != NULL && last->n > 0 && last->percent > 0 &&
	    (is_rejected(last, goal->revision) ||
	     (duration_s > 0 && goal->percent > 1 && !goes_back(last, goal->revision)))) {
		struct kn_rollout_part empty = *p;

		*p = *last;
		*last = empty; /* so that each is freed once */
		step_part(p, goal, duration_s, is_used, now_ns);
		return;
	}
	p->percent = goal->percent;
	add_revision(p, goal->revision, goal->percent);
}

static void
add_split(struct kn_targets *out, const struct kn_target *goal, const struct kn_rollout_part *p)
{
	size_t i;

	for (i = 0; i < p->n; i++) {
		struct kn_target t = *goal;

		t.revision = p->revisions[i].name;
		t.percent = p->revisions[i].percent;
		kn_targets_add(out, &t);
	}
}

int64_t
kn_rollout_step(struct kn_rollout *r, struct kn_rollout *before, struct kn_targets *targets,
		int64_t duration_s, bool is_used, int64_t now_ns)
{
	struct kn_targets out = {.n = 0};
	int64_t next_ns = 0;
	size_t i;

	*r = (struct kn_rollout){.n = 0};
	for (i = 0; i < targets->n; i++) {
		const struct kn_target *goal = &targets->v[i];

		if (!goal->is_latest) {
			kn_targets_add(&out, goal);
			continue;
		}
		step_target(r, before, goal, duration_s, is_used, now_ns);
		add_split(&out, goal, &r->v[r->n - 1]);
		if (r->v[r->n - 1].n > 1 && r->v[r->n - 1].next_ns > 0 &&
		    (next_ns == 0 || r->v[r->n - 1].next_ns < next_ns))
			next_ns = r->v[r->n - 1].next_ns;
	}
	kn_targets_fini(targets);
	*targets = out;
	kn_rollout_fini(before);
	return next_ns;
}

bool
kn_rollout_is_going_on(const struct kn_rollout *r)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (r->v[i].n > 1)
			return true;
	return false;
}

const struct kn_rollout_part *
kn_rollout_rejected(const struct kn_rollout *r)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (r->v[i].rejected != NULL)
			return &r->v[i];
	return NULL;
}

void
kn_rollout_forgive(struct kn_rollout *r)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		forgive(&r->v[i]);
}

/* --- the text --- */

static json_t *
part_json(const struct kn_rollout_part *p)
{
	json_t *o = json_object(), *revisions = json_array(), *steps = json_object();
	size_t i;

	kn_json_set_text(o, "configurationName", p->configuration);
	kn_json_set_text(o, "tag", p->tag);
	kn_json_set_number(o, "percent", p->percent);
	for (i = 0; i < p->n; i++) {
		json_t *one = json_object();

		kn_json_set_text(one, "revisionName", p->revisions[i].name);
		kn_json_set_number(one, "percent", p->revisions[i].percent);
		CHECK(json_array_append_new(revisions, one) == 0);
	}
	kn_json_set(o, "revisions", revisions);
	kn_json_set_number(steps, "starttime", p->started_ns);
	kn_json_set_number(steps, "nextStepTime", p->next_ns);
	kn_json_set_number(steps, "stepDuration", p->step_ns);
	kn_json_set_number(steps, "stepSize", p->step);
	kn_json_set(o, "stepParams", steps);
	if (p->rejected != NULL)
		kn_json_set(o, "rejected",
			    json_pack("{s:s, s:s}", "revisionName", p->rejected, "why", p->why));
	return o;
}

char *
kn_rollout_format(const struct kn_rollout *r)
{
	json_t *doc = json_object(), *parts = json_array();
	char *text;
	size_t i;

	for (i = 0; i < r->n; i++)
		CHECK(json_array_append_new(parts, part_json(&r->v[i])) == 0);
	kn_json_set(doc, "configurations", parts);
	text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(doc);
	CHECK(text != NULL);
	return text;
}
