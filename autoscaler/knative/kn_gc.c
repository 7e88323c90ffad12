#include "autoscaler/knative/kn_gc.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_time.h"

struct candidate {
	const struct kn_object *object;
	int64_t active_s; /* when it was active last */
};

static bool
may_go(const json_t *revision)
{
	const json_t *annotations = kn_json_at(revision, "metadata", "annotations", NULL);
	const char *state = kn_json_text(revision, "metadata", "labels", KN_LABEL_ROUTING_STATE,
					 NULL);

	return strcmp(state, KN_RESERVE) == 0 &&
	       strcasecmp(kn_json_text(annotations, KN_ANNOTATION_NO_GC, NULL), "true") != 0;
}

static int64_t
last_active_s(const struct kn_object *o, const json_t *revision)
{
	int64_t modified_s = kn_time_parse(kn_json_text(revision, "metadata", "annotations",
							KN_ANNOTATION_STATE_MODIFIED, NULL));

	return modified_s == -1 ? o->created_s : modified_s;
}

static int
compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->active_s != y->active_s)
		return x->active_s < y->active_s ? -1 : 1;
	return strcmp(x->object->name, y->object->name);
}

/* Those that may go, the longest inactive first; the caller's. */
static struct candidate *
find_candidates(const struct kn_context *ctx, const struct kn_object *configuration,
		const json_t *document, size_t *n)
{
	const char *ready = kn_json_text(document, "status", "latestReadyRevisionName", NULL);
	const char *created = kn_json_text(document, "status", "latestCreatedRevisionName", NULL);
	struct candidate *v = NULL;
	const struct kn_object *o = NULL;

	*n = 0;
	while ((o = kn_cache_next_owned(ctx->cache, KN_REVISION, configuration->uid, o)) != NULL) {
		json_t *revision;

		if (o->is_deleting || strcmp(o->name, ready) == 0 || strcmp(o->name, created) == 0)
			continue;
		revision = kn_object_json(o);
		if (may_go(revision)) {
			v = xrealloc(v, (*n + 1) * sizeof *v);
			v[(*n)++] = (struct candidate){o, last_active_s(o, revision)};
		}
		json_decref(revision);
	}
	if (*n > 0)
		qsort(v, *n, sizeof *v, compare);
	return v;
}

/* The time when it becomes stale; INT64_MAX: never. */
static int64_t
stale_s(const struct kn_gc_config *gc, const struct candidate *c)
{
	int64_t at_s = INT64_MIN;

	if (gc->retain_since_create_s == KN_GC_DISABLED &&
	    gc->retain_since_last_active_s == KN_GC_DISABLED)
		return INT64_MAX;
	if (gc->retain_since_create_s != KN_GC_DISABLED)
		at_s = c->object->created_s + gc->retain_since_create_s;
	if (gc->retain_since_last_active_s != KN_GC_DISABLED)
		at_s = MAX(at_s, c->active_s + gc->retain_since_last_active_s);
	return at_s;
}

/* Delete what is stale, but for `keep` Revisions; those that go are taken out of the list.
 * Returns how many remain. */
static size_t
delete_stale(const struct kn_context *ctx, struct candidate *v, size_t n, size_t keep,
	     struct kn_plan *plan)
{
	int64_t next_s = INT64_MAX, at_s;
	size_t i, left = 0;

	for (i = 0; i < n; i++) {
		at_s = stale_s(&ctx->config->gc, &v[i]);
		if (at_s <= ctx->wall_s && n - i + left > keep) {
			kn_plan_delete(plan, v[i].object);
			continue;
		}
		if (at_s > ctx->wall_s)
			next_s = MIN(next_s, at_s);
		v[left++] = v[i];
	}
	if (left > keep && next_s != INT64_MAX)
		kn_plan_again(plan, MIN(next_s - ctx->wall_s, 24 * 3600) * INT64_C(1000000000));
	return left;
}

void
kn_gc_collect(const struct kn_context *ctx, const struct kn_object *configuration,
	      const json_t *document, struct kn_plan *plan)
{
	const struct kn_gc_config *gc = &ctx->config->gc;
	size_t keep = (size_t)MAX(gc->min_non_active, 0), n, i;
	struct candidate *v;

	if (gc->retain_since_create_s == KN_GC_DISABLED &&
	    gc->retain_since_last_active_s == KN_GC_DISABLED &&
	    gc->max_non_active == KN_GC_DISABLED)
		return;
	v = find_candidates(ctx, configuration, document, &n);
	n = delete_stale(ctx, v, n, keep, plan);
	if (gc->max_non_active != KN_GC_DISABLED)
		for (i = 0; n - i > (size_t)gc->max_non_active && i < n; i++)
			kn_plan_delete(plan, v[i].object);
	free(v);
}
