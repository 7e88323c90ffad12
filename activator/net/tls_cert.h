/* tls_cert - a certificate with its chain and key, read from files and checked, for the clients
 * that ask for one of its names.  Immutable.
 * Thread: any; tls_cert_load() that of the control side, for it reads files, and so may block. */
#ifndef ACTIVATOR_NET_TLS_CERT_H
#define ACTIVATOR_NET_TLS_CERT_H

#include "common/err.h"

struct certificate_conf;
struct tls_cert; /* opaque; tls_impl.h */

/* Read the files that conf names.  NULL with err; *key names the key of the conf whose file
 * has the mistake. */
NODISCARD struct tls_cert *tls_cert_load(const struct certificate_conf *, const char **key,
					 struct err *);
struct tls_cert *tls_cert_ref(struct tls_cert *);
void tls_cert_unref(struct tls_cert **); /* the last reference frees */

/* The name of its section in the conf. */
const char *tls_cert_name(const struct tls_cert *);
/* Seconds since the epoch at which it begins or ceases to be valid. */
int64_t tls_cert_not_before(const struct tls_cert *);
int64_t tls_cert_not_after(const struct tls_cert *);
/* SHA-256 of the certificate, as hexadecimal digits. */
#define TLS_CERT_DIGEST 65
void tls_cert_digest(const struct tls_cert *, char out[TLS_CERT_DIGEST]);
/* Its DNS names, in lower case; some may begin with "*.". */
size_t tls_cert_names(const struct tls_cert *, const char *const **names);

#endif
