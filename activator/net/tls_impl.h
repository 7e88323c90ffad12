/* tls_impl - what the files of TLS share: a certificate, and what is said of an error of
 * OpenSSL.  Thread: any. */
#ifndef ACTIVATOR_NET_TLS_IMPL_H
#define ACTIVATOR_NET_TLS_IMPL_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "activator/net/tls_cert.h"
#include "activator/net/tls_state.h"
#include "activator/net/tls_trust.h"

struct tls_cert {
	_Atomic uint32_t refs;
	char *name;
	X509 *leaf;
	STACK_OF(X509) * issuers;
	EVP_PKEY *key;
	enum tls_kind kind;
	int64_t not_before, not_after;
	char **names;
	size_t names_n;
	/* Client certificates; NULL: none are asked for. */
	X509_STORE *client_store;
	STACK_OF(X509_NAME) * client_ca_names;
	bool is_client_required;
	uint64_t policy;
	/* A session is resumed only where this is equal: certificate and policy. */
	unsigned char context[32];
};

struct tls_trust {
	_Atomic uint32_t refs;
	char *name;	   /* that the certificate must have; NULL: the address */
	X509_STORE *store; /* of authorities: … */
	int authorities;   /* … so many, of a file; 0: those of the system */
	/* … of the certificate of the only one, or of the digests of all */
	char authorities_digest[TLS_CERT_DIGEST];
	char *source; /* the keys, and what stat(2) said of the files */
	X509 *leaf;   /* what is shown to the instance; NULL: nothing */
	STACK_OF(X509) * issuers;
	EVP_PKEY *key;
};

/* SHA-256 of a certificate, in hexadecimal digits; and such digits of a digest. */
void tls_digest(const X509 *, char out[TLS_CERT_DIGEST]);
void tls_put_digest(const unsigned char *digest, unsigned n, char out[TLS_CERT_DIGEST]);
/* The certificates of a file in PEM format, in its order; one at least.  NULL with err. */
STACK_OF(X509) * tls_read_certificates(const char *path, struct err *);
/* The key in a file, which has to fit the certificate.  -1 with err. */
NODISCARD int tls_read_key(const char *path, X509 *leaf, STACK_OF(X509) * issuers, EVP_PKEY **out,
			   struct err *);

/* Fill e from the oldest error in OpenSSL's queue of this thread, and empty the queue.
 * Returns -1. */
int tls_error(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
