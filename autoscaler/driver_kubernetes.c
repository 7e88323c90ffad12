/* driver_kubernetes - not there yet: says so when it is asked for (README, "What is not
 * there yet"), so that a conf file for a cluster can be written and checked. */
#include "autoscaler/driver.h"

static struct driver *
kubernetes_open(struct loop *loop, const struct settings *settings, const struct driver_ops *ops,
		void *arg, struct err *e)
{
	(void)loop;
	(void)settings;
	(void)ops;
	(void)arg;
	(void)err_set(e, 0, "driver \"kubernetes\" is not there yet; use \"process\", or name addresses");
	return NULL;
}

const struct driver_class driver_kubernetes = {.name = "kubernetes", .open = kubernetes_open};
