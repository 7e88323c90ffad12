#include "autoscaler/reconcile/announce.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/reconcile/drain.h"
#include "common/clk.h"

static bool
is_draining(const struct scaled_revision *rev, const char *id)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->drains, node, tmp) {
		const char *instance = container_of(node, struct drain_request, node)->instance;

		if (instance != NULL && strcmp(instance, id) == 0)
			return true;
	}
	return false;
}

/* An instance that is being drained gets nothing new, as if it were stopping. */
static void
fill_instance(const struct scaled_revision *rev, const struct scaled_instance *from,
	      struct msg_instance *to)
{
	*to = (struct msg_instance){.id = from->id,
				    .address = from->address,
				    .port = from->port,
				    .alternate = from->alternate,
				    .probe = from->probe,
				    .uses = SHARE_NO_USES,
				    .state = is_draining(rev, from->id) ? INSTANCE_STOPPING
									: from->state};
}

/* Why no instance is started; reason NULL: nothing prevents it. */
static struct msg_failure
failure_of(const struct scaled_revision *rev, int64_t now_ns)
{
	static char dry_run[] = "dry_run", max_instances[] = "max_instances";
	static char message[] = "dry_run = yes: nothing is started, and no instance runs";
	struct msg_failure f = {.reason = NULL};

	if (rev->failure != NULL) {
		f = *rev->failure;
		f.retry_after_ms -= (now_ns - rev->failed_ns) / CLK_MS;
		f.retry_after_ms = MAX(f.retry_after_ms, 0);
	} else if (instances_live(&rev->instances) > 0) {
		return f;
	} else if (now_ns < rev->dry_until_ns) {
		f = (struct msg_failure){.reason = dry_run,
					 .message = message,
					 .retry_after_ms = (rev->dry_until_ns - now_ns) / CLK_MS};
	} else if (rev->held_back != NULL) {
		f = (struct msg_failure){
			.reason = max_instances, .message = rev->held_back, .is_parking = true};
	}
	return f;
}

void
announce_fill(const struct scaled_revision *rev, struct msg_instances *m, int64_t now_ns)
{
	const struct instances *in = &rev->instances;
	struct msg_failure f = failure_of(rev, now_ns);
	double start_ms = MAX(timing_start_s(&rev->timing), 0) * 1000;
	size_t i;

	*m = (struct msg_instances){.revision = rev->name,
				    .wanted = rev->wanted.n,
				    .target = rev->decided.total,
				    .is_known = rev->is_known,
				    .is_external = rev->is_external,
				    .n = in->n,
				    /* bounded, since a larger one is a broken message */
				    .cold_start_ms = (int64_t)MIN(start_ms, MSG_DELAY_MS_MAX)};
	m->v = in->n == 0 ? NULL : xcalloc(in->n, sizeof *m->v);
	for (i = 0; i < in->n; i++)
		fill_instance(rev, &in->v[i], &m->v[i]);
	if (f.reason == NULL)
		return;
	m->failure = xmalloc(sizeof *m->failure);
	*m->failure = f;
}

void
announce_fini(struct msg_instances *m)
{
	free(m->failure);
	free(m->v);
	m->failure = NULL;
	m->v = NULL;
	m->n = 0;
}
