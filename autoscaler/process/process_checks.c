/* process_checks - finds members that were ready and do not work any more, and replaces them:
 * those that fail the liveness checks of the conf file, and those that refuse every connection.
 * An activator reports a refusal once; since activators come and go, the driver sees for itself
 * whether it lasts. */
#include <string.h>

#include "autoscaler/process/instance_check.h"
#include "autoscaler/process/process_impl.h"
#include "common/clk.h"
#include "common/log.h"

#define REFUSAL_PERIOD CLK_S /* from one try to the next, and how long one may take */
#define LIMITED_TRIES 2	     /* once refusal_timeout is over */

static struct process_driver *
driver_of(const struct member *m)
{
	return m->fleet->driver;
}

static void
replace(struct member *m)
{
	struct process_driver *d = driver_of(m);

	process_retire(d, m);
	process_reconcile(d, m->fleet);
}

/* A connect by the driver resets the count of failures, and no more: only an activator says that
 * the instance answers. */
static void
on_alive(void *arg)
{
	(void)arg;
}

static void
on_liveness_failed(const char *why, void *arg)
{
	struct member *m = arg;

	log_warn(&m->tag, "instance failed its liveness checks, replacing it", "why=%s", why);
	replace(m);
}

/* With all slots in use the check may wait behind the requests. */
static bool
does_liveness_timeout_count(void *arg)
{
	const struct member *m = arg;
	const struct driver *d = &driver_of(m)->driver;
	uint32_t slots = m->fleet->conf == NULL ? 0 : m->fleet->conf->limits.container_concurrency;

	return slots == 0 || d->ops->load == NULL || d->ops->load(m->id, d->arg) < slots;
}

void
process_check_liveness(struct process_driver *d, struct member *m)
{
	static const struct instance_check_ops ops = {
		.on_success = on_alive,
		.on_failed = on_liveness_failed,
		.does_timeout_count = does_liveness_timeout_count};
	const struct launch *l = m->fleet->conf == NULL ? NULL : &m->fleet->conf->launch;
	struct instance_check_spec spec = {.port = m->port};

	instance_check_free(&m->liveness);
	if (l == NULL || l->liveness == NULL || m->is_retired || m->phase != MEMBER_RUNNING)
		return;
	spec.question = strcmp(l->liveness, "tcp") == 0 ? NULL : l->liveness;
	spec.first_ns = spec.period_ns = l->liveness_period;
	spec.timeout_ns = l->liveness_timeout;
	spec.threshold = l->liveness_threshold;
	m->liveness = instance_check_new(d->loop, &spec, &ops, m);
}

static void
on_refusal_lasts(const char *why, void *arg)
{
	struct member *m = arg;

	log_warn(&m->tag, "instance has refused every connection for refusal_timeout, replacing it",
		 "why=%s", why);
	replace(m);
}

void
process_check_refusal(struct process_driver *d, struct member *m)
{
	static const struct instance_check_ops ops = {.on_success = on_alive,
						      .on_failed = on_refusal_lasts};
	const struct revision_conf *conf = m->fleet->conf;
	struct instance_check_spec spec = {
		.port = m->port, .period_ns = REFUSAL_PERIOD, .timeout_ns = REFUSAL_PERIOD};

	if (m->refusal != NULL || conf == NULL || m->is_retired || m->phase != MEMBER_RUNNING)
		return;
	spec.threshold = 1 + (uint32_t)(conf->launch.refusal_timeout / REFUSAL_PERIOD);
	/* An instance with container_concurrency has no connection to spare for a try.  The
	 * activator that has its slots tries it all the time. */
	if (conf->limits.container_concurrency > 0) {
		spec.first_ns = conf->launch.refusal_timeout;
		spec.threshold = LIMITED_TRIES;
	}
	m->refusal = instance_check_new(d->loop, &spec, &ops, m);
}
