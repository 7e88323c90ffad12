/* balance - chooses the instance of a request.  Without a limit, or with one above 3, it takes
 * the less loaded of two random instances (Mitzenmacher, "The Power of Two Choices in Randomized
 * Load Balancing").  With a limit of 1 to 3 it takes the first that has a free slot, so that idle
 * instances stay idle and can be stopped.  The limit is container_concurrency, whatever this
 * activator's share of it.
 * Thread: any; lock-free. */
#ifndef ACTIVATOR_BALANCE_H
#define ACTIVATOR_BALANCE_H

#include "common/base.h"

#define BALANCE_PACKED_MOST 3 /* the highest limit with which instances are filled one by one */

struct instance;
struct instance_set;

/* Takes a slot of an instance of set and returns the instance, borrowed from set; NULL: no slot
 * is free. */
NODISCARD struct instance *balance_take(const struct instance_set *set, uint32_t random);

#endif
