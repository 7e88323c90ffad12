/* claim - refuses to start where another process listens on one of our addresses.
 *
 * Each address is bound once without SO_REUSEPORT and closed again, before the workers
 * bind it with SO_REUSEPORT.  Without this check a second activator could bind the same
 * address, and the kernel would give each of the two a part of the clients.
 * Thread: main, before the first worker is made. */
#ifndef ACTIVATOR_NET_CLAIM_H
#define ACTIVATOR_NET_CLAIM_H

#include "common/settings.h"

/* 0, or -1: *err names the address and the process that holds it. */
NODISCARD int claim_addresses(const struct str_list *addresses, struct err *);

#endif
