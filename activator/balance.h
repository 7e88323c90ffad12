/* balance - which instance a request goes to (DESIGN 5): without a limit, or with one
 * above 3, the less loaded of two at random (Mitzenmacher, "The Power of Two Choices in
 * Randomized Load Balancing"); with a limit of 1 to 3 the first that has room, so that
 * idle instances stay idle and can be taken away.
 * Thread: any; lock-free. */
#ifndef ACTIVATOR_BALANCE_H
#define ACTIVATOR_BALANCE_H

#include "common/base.h"

struct instance;
struct instance_set;

/* Take a slot of one instance of set, or NULL where none is free.  The instance is
 * borrowed from set. */
NODISCARD struct instance *balance_take(const struct instance_set *set, uint32_t random);

#endif
