/* cold_phases - the phases of a cold start, which activators measure and report. */
#ifndef COMMON_COLD_PHASES_H
#define COMMON_COLD_PHASES_H

/* Each ends with what it is named after. */
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

#endif
