#include "autoscaler/kubernetes/kube_state.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_problem.h"

static const char *const names[] = {"", "asleep", "starting", "awake", "held", "failing"};

enum kube_state
kube_state_of(const struct kube_state_facts *f)
{
	if (!f->is_known)
		return KUBE_UNKNOWN;
	if (f->failure != NULL)
		return KUBE_FAILING;
	if (f->replicas == 0)
		return KUBE_ASLEEP;
	if (f->is_held)
		return KUBE_HELD;
	return f->is_serving ? KUBE_AWAKE : KUBE_STARTING;
}

char *
kube_state_text(enum kube_state state, const struct kube_problem *failure)
{
	if (state != KUBE_FAILING)
		return xstrdup(names[state]);
	return xasprintf("%s: %s: %s", names[state], failure->reason, failure->message);
}

bool
kube_state_is(const char *annotation, enum kube_state state, const struct kube_problem *failure)
{
	char *text;
	bool is_same;

	if (annotation == NULL)
		return state == KUBE_UNKNOWN;
	if (state != KUBE_FAILING)
		return strcmp(annotation, names[state]) == 0;
	text = xasprintf("%s: %s:", names[state], failure->reason);
	is_same = strncmp(annotation, text, strlen(text)) == 0;
	free(text);
	return is_same;
}
