/* ports - which port of this machine the next instance gets: from a random place
 * of the range on, the first that no instance of ours holds and that can be bound.
 * Never one that the kernel gives to outgoing connections: whoever dials such a
 * port while nobody listens there may end up connected to himself.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_PROCESS_PORTS_H
#define AUTOSCALER_PROCESS_PORTS_H

#include "common/err.h"

struct ports {
	uint16_t first, last;		    /* both included */
	uint16_t kernel_first, kernel_last; /* ephemeral: left out; 0, 0: none */
};

/* kernel_*: the ephemeral range (0, 0: unknown).  Where it covers the whole range,
 * nothing is left out: better a risk, which ports_overlap() tells, than no port. */
void ports_init(struct ports *, uint32_t first, uint32_t last, uint32_t kernel_first,
		uint32_t kernel_last);

/* How many ports of first..last are ephemeral. */
unsigned ports_overlap(uint32_t first, uint32_t last, uint32_t kernel_first, uint32_t kernel_last);

/* net.ipv4.ip_local_port_range, as the kernel has it now. */
NODISCARD int ports_read_kernel(uint32_t *first, uint32_t *last, struct err *);

/* The first port from a random place on for which is_free() says yes; 0: none. */
uint16_t ports_pick(const struct ports *, uint32_t random,
		    bool (*is_free)(uint16_t port, void *arg), void *arg);

/* Whether a program could listen there, on whatever address: bound for a moment to
 * the wildcard of both families, and without SO_REUSEADDR, because a program that
 * does not set it fails on connections of a predecessor in TIME_WAIT. */
bool ports_can_bind(uint16_t port);

#endif
