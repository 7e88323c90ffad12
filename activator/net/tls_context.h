/* tls_context - what all handshakes of a worker with clients have in common: versions, ciphers,
 * groups, tickets; and what the ClientHello of each decides: certificate, policy, protocol.
 * The callbacks of OpenSSL for that run here.
 * Thread: the worker's. */
#ifndef ACTIVATOR_NET_TLS_CONTEXT_H
#define ACTIVATOR_NET_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "common/err.h"

struct activator_conf;
struct tls_state;

struct tls_context {
	SSL_CTX *ssl;
	EVP_CIPHER *ticket_cipher;
	struct tls_state *state;      /* a reference; NULL: none came yet */
	unsigned char protocols[256]; /* as the handshake has them */
	unsigned protocols_n;
};

/* What a ClientHello has decided: the app data of each SSL. */
struct tls_hello {
	bool is_known;	 /* the name that the client asked for was found */
	uint64_t policy; /* that the handshake enforces */
	char *host;	 /* the name that the client asked for; "": none; NULL: no hello came */
	bool is_allowed; /* requests for this host were allowed then */
};

/* protocols: for ALPN, the preferred first; NULL at the end.  The context must not move. */
NODISCARD int tls_context_init(struct tls_context *, const struct activator_conf *,
			       const char *const *protocols, struct err *);
void tls_context_fini(struct tls_context *);
/* What tls_context_init() makes of the conf, for tls_context_change().  It uses *c only as the
 * argument of callbacks: any thread may call it while c is in use. */
NODISCARD SSL_CTX *tls_context_prepare(struct tls_context *c, const struct activator_conf *,
				       struct err *);
/* Handshakes that begin from now on use ssl, which is taken over.  Those that are under way go on
 * with what they began with. */
void tls_context_change(struct tls_context *, SSL_CTX *ssl, const char *const *protocols);
/* What holds for connections to instances, too. */
void tls_context_set_common(SSL_CTX *);

#endif
