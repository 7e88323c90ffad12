/* activation - when the phases of a revision's activation ended.  The log line of a cold start,
 * its histograms and its server-timing are made of these times.
 * Thread: the main thread writes, workers read, relaxed: a time that is seen late only moves
 * some of it from one phase to the next. */
#ifndef ACTIVATOR_ACTIVATION_H
#define ACTIVATOR_ACTIVATION_H

#include <stdatomic.h>

#include "common/base.h"

/* The phases of a cold start; each ends with what it is named after. */
#define COLD_PHASES(X)                                                                             \
	X(SIGNAL, "signal")	    /* `activate` was sent to the autoscaler */                    \
	X(ACK, "ack")		    /* the autoscaler acknowledged it */                           \
	X(ADDRESS, "address")	    /* an instance has an address */                               \
	X(CONNECT, "connect")	    /* an instance answers */                                      \
	X(SEND, "send")		    /* the request's head was sent */                              \
	X(FIRST_BYTE, "first_byte") /* the response head came */
enum cold_phase {
#define X(id, name) COLD_##id,
	COLD_PHASES(X)
#undef X
		COLD_PHASES_N
};

/* clk_now() at which the first four phases of the newest activation ended; 0: not yet. */
struct activation {
	_Atomic int64_t signalled_ns, acked_ns, addressed_ns, connected_ns;
};

/* A new activation begins.  If there is an instance already, the phase of the address is over. */
void activation_begin(struct activation *, bool has_instance);
/* A phase has ended now, unless it had ended before. */
void activation_stamp(_Atomic int64_t *end_ns);

#endif
