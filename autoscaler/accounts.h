/* accounts - tells the ledger (usage/ledger.h) which revisions there are, and who pays for them.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_ACCOUNTS_H
#define AUTOSCALER_ACCOUNTS_H

#include "common/base.h"

struct ledger;
struct services;

/* If that has changed since *generation of the services, which is brought up to date. */
void accounts_update(struct ledger *, const struct services *, int64_t *generation);

#endif
