/* tls_subject - what a client's certificate says of its owner, as text that can stand in a header
 * field.  Thread: any. */
#ifndef ACTIVATOR_NET_TLS_SUBJECT_H
#define ACTIVATOR_NET_TLS_SUBJECT_H

#include <openssl/x509.h>

#include "common/base.h"

#define TLS_SUBJECT_MOST 1024 /* bytes that are passed on */

/* The subject as in RFC 4514, only ASCII; where it is empty, the first alternative name: "URI:" or
 * else "DNS:" and the name, as certificates of SPIFFE have it.  NULL: there is none of these that
 * can stand in a field, or the subject is longer than TLS_SUBJECT_MOST.  *n: the bytes of the
 * subject.  The caller's to free. */
NODISCARD char *tls_subject(X509 *, size_t *n);

#endif
