#include "autoscaler/knative/kn_status.h"

#include <jansson.h>
#include <string.h>

#include "autoscaler/knative/kn_json.h"

void
kn_status_open(struct kn_status *s, const struct kn_object *o, json_t *document,
	       const char *const *dependents)
{
	const json_t *present = kn_json_at(document, "status", NULL);

	*s = (struct kn_status){.document = document};
	s->status = json_is_object(present) ? kn_json_copy(present) : json_object();
	kn_json_set_number(s->status, "observedGeneration", o->generation);
	kn_conditions_open(&s->conditions, present, dependents);
}

static void
move_last_first(struct kn_plan *plan)
{
	struct kn_write last = plan->writes[plan->writes_n - 1];
	size_t i;

	memmove(plan->writes + 1, plan->writes, (plan->writes_n - 1) * sizeof *plan->writes);
	plan->writes[0] = last;
	for (i = 0; i < plan->notes_n; i++)
		plan->notes[i].after++;
}

/* Is the object as ready as it was, of the same generation, and is the rest of the difference
 * nothing that another handler reads?  An object without conditions is not ready yet.  A failure
 * is shown at once.  Of Configurations others read all, and of Services nothing. */
static bool
is_passing(enum kn_kind kind, const json_t *object, const json_t *next)
{
	static const char *const read[] = {"traffic", "annotations", "latestReadyRevisionName"};
	const json_t *was = kn_json_at(object, "status", NULL);
	const json_t *is = kn_json_at(next, "status", NULL);
	bool is_first = json_object_get(was, "conditions") == NULL;
	enum kn_truth truth = kn_condition_truth(is, KN_READY);
	size_t i;

	if (kind == KN_CONFIGURATION || truth == KN_FALSE ||
	    truth != kn_condition_truth(was, KN_READY) || (!is_first && !kn_is_observed(object)))
		return false;
	for (i = 0; kind != KN_SERVICE && i < ARRAY_LEN(read); i++)
		if (!kn_json_equal(json_object_get(was, read[i]), json_object_get(is, read[i])))
			return false;
	return true;
}

void
kn_status_close(struct kn_status *s, const struct kn_context *ctx, const struct kn_object *o,
		struct kn_plan *plan)
{
	size_t before = plan->writes_n;

	kn_json_set(s->status, "conditions", kn_conditions_close(&s->conditions, ctx->wall_s));
	kn_plan_status(plan, o, s->status);
	s->status = NULL;
	if (plan->writes_n == before)
		return;
	if (ctx->failure != NULL)
		move_last_first(plan);
	else if (is_passing(o->kind, s->document, plan->writes[before].body))
		kn_plan_status_is_passing(plan);
}

void
kn_status_copy(struct kn_status *s, const json_t *from, const char *const *fields)
{
	for (; *fields != NULL; fields++)
		kn_json_set(s->status, *fields, kn_json_copy(json_object_get(from, *fields)));
}

bool
kn_status_is_routed(const struct kn_status *s, const struct kn_facts *f, const char *ns,
		    const char *route, const char *type)
{
	if (f->is_routed(f, ns, route))
		return true;
	return f->is_confirmed != NULL && !f->is_confirmed(f) && kn_is_observed(s->document) &&
	       kn_condition_truth(kn_json_at(s->document, "status", NULL), type) == KN_TRUE;
}

bool
kn_failure_is_refusal(const struct kn_failure *failure, enum kn_kind kind)
{
	return failure != NULL && failure->kind == kind && failure->status >= 400 &&
	       failure->status < 500 && failure->status != 409 && failure->status != 429;
}

char *
kn_failure_explain(const struct kn_failure *failure)
{
	static const char *const verbs[] = {[KN_CREATE] = "create",
					    [KN_REPLACE] = "update",
					    [KN_PATCH] = "patch",
					    [KN_PUT_STATUS] = "update the status of",
					    [KN_DELETE] = "delete"};

	return xasprintf("cannot %s %s \"%s\": %s", verbs[failure->verb],
			 kn_kind_names(failure->kind)->kind, failure->name, failure->message);
}
