/* claim - one activator for each address: it is bound once without SO_REUSEPORT before
 * the workers bind it with, since with it a second activator would quietly get half of
 * the clients.  Thread: main, before any worker. */
#ifndef ACTIVATOR_NET_CLAIM_H
#define ACTIVATOR_NET_CLAIM_H

#include "common/settings.h"

/* 0, or -1 with who holds an address. */
NODISCARD int claim_addresses(const struct str_list *addresses, struct err *);

#endif
