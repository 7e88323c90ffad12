/* tls_state - what handshakes need and what changes while the activator runs: the certificates
 * by name, and the keys of session tickets.  Immutable: the control side makes a new one, and
 * each worker uses it from then on.
 *
 * A certificate is found by the name that a client asks for (SNI): by one that is equal, else by
 * a "*." that stands for its first label.  Either is one look into a hash map, so ten thousand
 * certificates cost a handshake no more than ten do.
 * Thread: any. */
#ifndef ACTIVATOR_NET_TLS_STATE_H
#define ACTIVATOR_NET_TLS_STATE_H

#include "common/base.h"

struct tls_cert;
struct tls_state; /* opaque; tls_state.c */

/* The kinds of keys.  A name may have a certificate of each: the client's capabilities decide. */
enum tls_kind { TLS_RSA, TLS_EC, TLS_OTHER, TLS_KINDS };

/* The certificates of one name. */
struct tls_entry {
	struct tls_cert *certs[TLS_KINDS]; /* NULL: none of that kind */
	uint64_t policy;		   /* what clients must prove; 0: nothing */
};

/* A key of session tickets. */
struct tls_ticket_key {
	unsigned char name[16], cipher[32], mac[32];
};
#define TLS_TICKET_KEYS 2 /* the current one, and the one before */
struct tls_ticket_keys {
	struct tls_ticket_key v[TLS_TICKET_KEYS];
};

/* Make a new current key, and keep the one before; the oldest is gone.  -1: there are no random
 * numbers. */
NODISCARD int tls_ticket_keys_rotate(struct tls_ticket_keys *);

/* Takes a reference to each certificate.  The first one is that of clients that ask for no name,
 * or for an unknown one.  Where two of one kind have a name, the first has it. */
NODISCARD struct tls_state *tls_state_new(struct tls_cert *const *certs, size_t n,
					  const struct tls_ticket_keys *);
struct tls_state *tls_state_ref(struct tls_state *);
void tls_state_unref(struct tls_state **);

/* The certificates for a host name, which may have any case and a dot at its end.  Never NULL.
 * *is_known: the name was found. */
const struct tls_entry *tls_state_find(const struct tls_state *, const char *host, size_t n,
				       bool *is_known);
/* May a client that has proven what this policy asks send requests for the host?  Where the
 * policies of the certificates differ, a host that none of them names is for clients that have
 * proven the most: those of the only policy that asks for a proof.  If several ask for different
 * ones, no client may. */
bool tls_state_allows(const struct tls_state *, uint64_t policy, const char *host, size_t n);
const struct tls_ticket_keys *tls_state_keys(const struct tls_state *);

/* Of two certificates with one name and kind of key, the one that does not get it, and the name;
 * false: there are no such pairs. */
NODISCARD bool tls_state_clash(const struct tls_state *, const struct tls_cert **,
			       const char **name);

#endif
