#include "autoscaler/kubernetes/kube_failure.h"

#define BACKOFF_FIRST (INT64_C(1) * 1000000000)
#define BACKOFF_MOST (INT64_C(60) * 1000000000)

void
kube_failure_init(struct kube_failure *f)
{
	*f = (struct kube_failure){.until_ns = 0};
	backoff_init(&f->backoff, BACKOFF_FIRST, BACKOFF_MOST);
}

bool
kube_failure_is_failed(const struct kube_failure *f)
{
	return f->until_ns != 0;
}

bool
kube_failure_is_shown(const struct kube_failure *f)
{
	return f->until_ns != 0 || f->is_waiting;
}

static void
note_serving(struct kube_failure *f, bool is_serving, int64_t now_ns)
{
	if (f->serving_since_ns != 0 && now_ns - f->serving_since_ns >= KUBE_FAILURE_STEADY) {
		f->trouble_since_ns = 0;
		backoff_reset(&f->backoff);
	}
	if (!is_serving)
		f->serving_since_ns = 0;
	else if (f->serving_since_ns == 0)
		f->serving_since_ns = now_ns;
}

static bool
end_failure(struct kube_failure *f)
{
	bool was_failed = f->until_ns != 0;

	f->until_ns = 0;
	return was_failed;
}

bool
kube_failure_update(struct kube_failure *f, const struct kube_problem *problem, bool is_serving,
		    int64_t patience, int64_t now_ns, uint32_t random)
{
	bool is_present = problem != NULL && problem->kind != KUBE_PROBLEM_PAST;

	note_serving(f, is_serving, now_ns);
	f->due_ns = 0;
	f->is_waiting = false;
	if (problem == NULL && !is_serving)
		f->trouble_since_ns = 0;
	else if (is_present && f->trouble_since_ns == 0)
		f->trouble_since_ns = now_ns;
	if (is_serving)
		return end_failure(f);
	if (f->until_ns > now_ns)
		return false; /* it is known, and holds */
	if (!is_present)
		return end_failure(f); /* the next request is held again */
	if (now_ns - f->trouble_since_ns < patience) {
		if (patience != KUBE_FAILURE_NEVER)
			f->due_ns = f->trouble_since_ns + patience;
		f->is_waiting = problem->kind == KUBE_PROBLEM_PLACE;
		f->problem = *problem;
		return end_failure(f);
	}
	f->problem = *problem;
	f->until_ns = now_ns + backoff_next(&f->backoff, random);
	return true;
}

void
kube_failure_has_lasted(struct kube_failure *f, int64_t age_ns, int64_t now_ns)
{
	if (f->trouble_since_ns == 0)
		f->trouble_since_ns = MAX(now_ns - age_ns, 1);
}

int64_t
kube_failure_due(const struct kube_failure *f)
{
	return f->until_ns != 0 ? f->until_ns : f->due_ns;
}
