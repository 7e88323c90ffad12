/* ports - which port the next instance gets: from a place of the configured range on
 * (port_cursor.h), the first that no other instance has and that can be bound.
 * Never an ephemeral port, which the kernel gives to outgoing connections: a client that
 * connects to such a port while no program listens there may end up connected to itself.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_PROCESS_PORTS_H
#define AUTOSCALER_PROCESS_PORTS_H

#include "common/err.h"

struct ports {
	uint16_t first, last;		    /* both included */
	uint16_t kernel_first, kernel_last; /* ephemeral ports, excluded; 0, 0: none */
};

/* kernel_*: the ephemeral range (0, 0: unknown).  If it covers the whole range, no port is
 * excluded: better some risk than no port.  ports_overlap() tells. */
void ports_init(struct ports *, uint32_t first, uint32_t last, uint32_t kernel_first,
		uint32_t kernel_last);

/* How many ports of first to last are ephemeral. */
unsigned ports_overlap(uint32_t first, uint32_t last, uint32_t kernel_first, uint32_t kernel_last);

/* net.ipv4.ip_local_port_range, as the kernel has it now. */
NODISCARD int ports_read_kernel(uint32_t *first, uint32_t *last, struct err *);

/* How many ports the range has, ephemeral ones included. */
uint32_t ports_n(const struct ports *);

/* The first port for which is_free() is true, from the place on: a number of any size, modulo
 * ports_n().  0: none. */
uint16_t ports_pick(const struct ports *, uint32_t place, bool (*is_free)(uint16_t port, void *arg),
		    void *arg);

/* How many places, from this one on, lead to the place behind the port. */
uint32_t ports_steps(const struct ports *, uint32_t place, uint16_t port);

enum ports_use {
	PORTS_IN_USE,
	/* Connections of an earlier program are left, most likely in TIME_WAIT.  A program that
	 * sets SO_REUSEADDR, as servers do, can listen. */
	PORTS_LINGERING,
	PORTS_FREE
};

/* Whether a program could listen on the port, on any address.  Binds it for a moment, to the
 * wildcard address of both families. */
enum ports_use ports_use(uint16_t port);

#endif
