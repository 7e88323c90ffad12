/* tls_session - what an instance has given for the next handshake with it to cost less: a session
 * of TLS 1.2, or a ticket of TLS 1.3, and for which connections it may be used. Thread: its
 * owner's. */
#ifndef ACTIVATOR_NET_TLS_SESSION_H
#define ACTIVATOR_NET_TLS_SESSION_H

#include "common/base.h"

struct addr;
struct ssl_session_st; /* SSL_SESSION */
struct tls_session;    /* opaque, heap */
struct tls_trust;

/* In the place of *kept, which may be NULL.  Takes the session: it came from an instance at that
 * address, which has proved what the trust asks for. */
void tls_session_keep(struct tls_session **kept, struct ssl_session_st *, const struct tls_trust *,
		      const struct addr *, bool is_h2);
/* For a connection to that address that asks for the same.  The caller's to free; NULL: there is
 * none.  A ticket is used once (RFC 8446 C.4), a session until it is as old as OpenSSL's timeout.
 */
NODISCARD struct ssl_session_st *tls_session_take(struct tls_session **kept,
						  const struct tls_trust *, const struct addr *,
						  bool is_h2);
void tls_session_free(struct tls_session **);

#endif
