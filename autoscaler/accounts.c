#include "autoscaler/accounts.h"

#include "autoscaler/services.h"
#include "autoscaler/usage/ledger.h"
#include "common/settings.h"

static void
add(const struct service_conf *service, const struct revision_conf *rev, void *arg)
{
	ledger_revisions_add(arg, rev->full_name, service->owner, service->cost_center,
			     rev->launch.addresses.n > 0);
}

void
accounts_update(struct ledger *ledger, const struct services *services, int64_t *generation)
{
	if (*generation == services_generation(services))
		return;
	*generation = services_generation(services);
	ledger_revisions_begin(ledger);
	services_each_revision(services, add, ledger);
	ledger_revisions_end(ledger);
}
