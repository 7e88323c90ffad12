/* listen_spec - one entry of the key listen: an address, and behind it words that say how its
 * clients speak and which services they reach, as in "10.0.0.1:8443 proxy tls".
 * Thread: any; immutable once parsed. */
#ifndef COMMON_LISTEN_SPEC_H
#define COMMON_LISTEN_SPEC_H

#include "common/addr.h"

struct listen_spec {
	struct addr addr;
	char text[ADDR_TEXT]; /* the address, for messages */
	bool is_tls;	      /* a connection begins with a TLS handshake */
	bool is_proxy; /* before all else, with a PROXY protocol header that names the client */
	bool is_local; /* services with visibility = local are served here, too */
};

/* The address comes first, then the words in any order, each of them once.  -1: "expected …,
 * got …". */
NODISCARD int listen_spec_parse(struct listen_spec *, const char *text, struct err *);

#endif
