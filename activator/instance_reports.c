#include "activator/instance_reports.h"

#include "activator/limiter.h"
#include "activator/registry.h"
#include "activator/worker.h"

void
instance_reports_health(const struct instance_reports *r, struct instance *inst,
			enum instance_health health)
{
	const struct msg m = {.type = MSG_INSTANCE,
			      .u.instance = {.id = inst->id,
					     .state = health,
					     .uses = limiter_uses(inst),
					     .has_served = atomic_load(&inst->has_served)}};

	if (r->link != 0)
		r->send(&m, r->arg);
}

/* Report what is known of the instance.  Of one that is closed until a probe succeeds, or until the
 * platform finds it ready, there is nothing to report: earlier answers prove nothing. */
static void
report_known(const struct instance_reports *r, struct instance *inst)
{
	if (inst->is_set_aside)
		instance_reports_health(r, inst, INSTANCE_REFUSES);
	else if (!instance_is_closed_by(inst, SLOTS_UNREADY))
		instance_reports_health(r, inst, INSTANCE_ANSWERS);
}

/* Of one that is closed, repeat the state that was reported last. */
void
instance_reports_work(const struct instance_reports *r, struct instance *inst)
{
	if (inst->is_set_aside || !instance_is_closed_by(inst, SLOTS_UNREADY))
		report_known(r, inst);
	else
		instance_reports_health(r, inst,
					inst->is_answering ? INSTANCE_ANSWERS : INSTANCE_REFUSES);
}

void
instance_reports_spent(const struct instance_reports *r, struct instance *inst)
{
	uint32_t uses = limiter_uses(inst);
	unsigned i;

	if (uses > 0 && inst->spent_reported == SPENT_ALL) { /* a request was not sent there */
		inst->spent_reported = SPENT_NOT;
		instance_reports_work(r, inst);
	}
	if (uses > inst->rev->limits->v.max_requests / LIMITER_LAST_USES ||
	    inst->spent_reported >= (uses == 0 ? SPENT_ALL : SPENT_NEARLY))
		return;
	inst->spent_reported = uses == 0 ? SPENT_ALL : SPENT_NEARLY;
	log_debug(&inst->tag, "instance nears max_requests", "left=%u in_flight=%u", uses,
		  instance_in_flight(inst));
	for (i = 0; i < r->workers_n && uses == 0; i++)
		worker_post_shed(r->workers[i], inst);
	instance_reports_work(r, inst);
}

/* What a new autoscaler may not know of the instance. */
static void
report_again(const struct instance_reports *r, struct instance *inst)
{
	if (inst->spent_reported != SPENT_NOT)
		instance_reports_work(r, inst);
	else if (inst->is_set_aside || atomic_load(&inst->has_served) ||
		 (inst->is_answering && inst->state == INSTANCE_STARTING))
		report_known(r, inst);
}

static void
report_all_again(const struct instance_reports *r, const struct revision *rev)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rev->instances, node, tmp)
		report_again(r, container_of(node, struct instance, node));
}

void
instance_reports_all(const struct instance_reports *r)
{
	struct revision *rev;
	size_t at = 0;

	while ((rev = registry_next_revision(r->registry, &at)) != NULL)
		report_all_again(r, rev);
}

/* An autoscaler that had just started has ignored what was reported of instances that it did not
 * know yet: report all of it after the first list of each link, and instances that are spent as
 * long as it lists them. */
void
instance_reports_listed(const struct instance_reports *r, struct revision *rev)
{
	struct list_node *node, *tmp;

	if (rev->listed_link != r->link) {
		rev->listed_link = r->link;
		report_all_again(r, rev);
		return;
	}
	LIST_FOREACH(&rev->instances, node, tmp) {
		struct instance *inst = container_of(node, struct instance, node);

		if (inst->spent_reported == SPENT_ALL && inst->state != INSTANCE_STOPPING)
			instance_reports_work(r, inst);
	}
}
