#include "autoscaler/kubernetes/kube_failure.h"

#define BACKOFF_FIRST (INT64_C(1) * 1000000000)
#define BACKOFF_MOST (INT64_C(60) * 1000000000)

void
kube_failure_init(struct kube_failure *f)
{
	*f = (struct kube_failure){.problem_since_ns = 0};
	backoff_init(&f->backoff, BACKOFF_FIRST, BACKOFF_MOST);
}

bool
kube_failure_is_failed(const struct kube_failure *f)
{
	return f->until_ns != 0;
}

static bool
forgive(struct kube_failure *f)
{
	bool was_failed = f->until_ns != 0;

	f->problem_since_ns = f->until_ns = 0;
	backoff_reset(&f->backoff);
	return was_failed;
}

bool
kube_failure_update(struct kube_failure *f, const struct kube_problem *problem, bool is_answering,
		    int64_t patience, int64_t now_ns, uint32_t random)
{
	if (is_answering)
		return forgive(f);
	if (problem == NULL)
		f->problem_since_ns = 0;
	else if (f->problem_since_ns == 0)
		f->problem_since_ns = now_ns;
	if (f->until_ns > now_ns)
		return false; /* it is known, and holds */
	if (problem == NULL) {
		bool was_failed = f->until_ns != 0;

		f->until_ns = 0; /* the next request is held again; the back-off stays long */
		return was_failed;
	}
	if (f->until_ns == 0 && now_ns - f->problem_since_ns < patience)
		return false;
	f->problem = *problem;
	f->until_ns = now_ns + backoff_next(&f->backoff, random);
	return true;
}

void
kube_failure_has_lasted(struct kube_failure *f, int64_t age_ns, int64_t now_ns)
{
	if (f->problem_since_ns == 0)
		f->problem_since_ns = MAX(now_ns - age_ns, 1);
}

int64_t
kube_failure_due(const struct kube_failure *f, int64_t patience)
{
	if (f->until_ns != 0)
		return f->until_ns;
	return f->problem_since_ns == 0 ? 0 : f->problem_since_ns + patience;
}
