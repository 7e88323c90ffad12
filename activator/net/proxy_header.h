/* proxy_header - the header of the PROXY protocol, versions 1 and 2.  A proxy that passes bytes on
 * begins a connection with it, and names the client that the connection is for.
 *
 * Source: W. Tarreau, "The PROXY protocol, versions 1 & 2" (doc/proxy-protocol.txt of HAProxy).
 * Section 2.1 is the line of version 1, 2.2 the binary form of version 2, 2.2.3 its checksum,
 * 2.2.6 what it says of TLS.
 * The parser keeps no state: whenever bytes have come, it gets all bytes from the first one on.
 * Thread: any. */
#ifndef ACTIVATOR_NET_PROXY_HEADER_H
#define ACTIVATOR_NET_PROXY_HEADER_H

#include "common/addr.h"

enum proxy_header_result {
	PROXY_HEADER_WHOLE,
	PROXY_HEADER_PARTIAL,	/* right so far, more bytes are to come */
	PROXY_HEADER_ABSENT,	/* the bytes are not the beginning of a header */
	PROXY_HEADER_MALFORMED, /* they are, but break the protocol */
	PROXY_HEADER_TOO_LONG
};

/* Whose connection it is. */
enum proxy_header_origin {
	PROXY_HEADER_CLIENT,	/* of a client with an address, maybe that of a Unix socket */
	PROXY_HEADER_ANONYMOUS, /* of a client whose address the proxy does not say */
	PROXY_HEADER_PROXY	/* of the proxy itself, such as for a health check (LOCAL) */
};

struct proxy_header {
	size_t size; /* in bytes; what stands behind them is the client's */
	enum proxy_header_origin origin;
	struct addr client; /* PROXY_HEADER_CLIENT; a Unix socket without its path */
	bool is_tls;	    /* PROXY_HEADER_CLIENT: the client speaks TLS with the proxy */
};

/* Parse the header at the front of buf[0..n), which may have `most` bytes.  *h is set only if it
 * is PROXY_HEADER_WHOLE. */
enum proxy_header_result proxy_header_parse(struct proxy_header *h, const char *buf, size_t n,
					    size_t most);

#endif
