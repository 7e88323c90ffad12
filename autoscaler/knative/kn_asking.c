#include "autoscaler/knative/kn_asking.h"

static bool
revision(const struct kn_facts *f, const char *ns, const char *deployment,
	 struct kn_revision_facts *out)
{
	const struct kn_asking *a = f->arg;

	return a->of->revision(a->of, ns, deployment, out);
}

static bool
is_routed(const struct kn_facts *f, const char *ns, const char *route)
{
	struct kn_asking *a = f->arg;
	bool is = a->of->is_routed(a->of, ns, route);

	a->is_unrouted |= !is;
	return is;
}

static bool
is_confirmed(const struct kn_facts *f)
{
	const struct kn_asking *a = f->arg;

	return a->of->is_confirmed == NULL || a->of->is_confirmed(a->of);
}

static enum rollout_verdict
verdict(const struct kn_facts *f, const struct rollout_question *q, char **why)
{
	const struct kn_asking *a = f->arg;

	return a->of->verdict(a->of, q, why);
}

static const char *
refusal(const struct kn_facts *f, enum kn_kind kind, const char *ns, const char *name)
{
	const struct kn_asking *a = f->arg;

	return a->of->refusal(a->of, kind, ns, name);
}

struct kn_facts
kn_asking_facts(struct kn_asking *a)
{
	return (struct kn_facts){.revision = revision,
				 .is_routed = is_routed,
				 .is_confirmed = is_confirmed,
				 .verdict = a->of->verdict == NULL ? NULL : verdict,
				 .refusal = refusal,
				 .arg = a};
}
