/* tls_trust - what a revision's instances have to prove when they are asked by TLS, and what is
 * proved to them: read from files and checked.  Immutable.
 * Thread: any; tls_trust_load() that of the control side, for it reads files. */
#ifndef ACTIVATOR_NET_TLS_TRUST_H
#define ACTIVATOR_NET_TLS_TRUST_H

#include "common/err.h"

struct limits;
struct tls_trust; /* opaque; tls_impl.h */

/* From the keys upstream_*.  NULL with err; *key names the key that has the mistake. */
NODISCARD struct tls_trust *tls_trust_load(const struct limits *, const char **key, struct err *);
/* The keys, and what stat(2) says of their files now; the caller's to free. */
char *tls_trust_source(const struct limits *);
/* Was it read from just that?  t may be NULL. */
bool tls_trust_is_from(const struct tls_trust *t, const char *source);
/* "authority sha256:…, certificate sha256:…" for people, the caller's to free; NULL of NULL. */
char *tls_trust_describe(const struct tls_trust *);
struct tls_trust *tls_trust_ref(struct tls_trust *);
void tls_trust_unref(struct tls_trust **); /* the last reference frees */

#endif
