#include "autoscaler/kubernetes/kube_echo.h"

#define DOUBLINGS 5u

bool
kube_echo_update(struct kube_echo *e, bool is_missing, int64_t now_ns)
{
	if (!is_missing) {
		*e = (struct kube_echo){.since_ns = 0};
		return false;
	}
	if (e->since_ns == 0) {
		e->since_ns = now_ns;
		e->due_ns = now_ns + KUBE_ECHO_PATIENCE;
	}
	if (now_ns < e->due_ns)
		return false;
	e->tries++;
	e->due_ns = now_ns + (KUBE_ECHO_PATIENCE << MIN(e->tries, DOUBLINGS));
	return true;
}

int64_t
kube_echo_wait(const struct kube_echo *e, int64_t now_ns)
{
	return e->since_ns == 0 ? 0 : MAX(e->due_ns - now_ns, 1);
}
