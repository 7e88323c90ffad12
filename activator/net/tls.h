/* tls - TLS over the sockets of one worker: a stream (io_stream.h) for each encrypted
 * connection, by OpenSSL.
 *
 * OpenSSL reads and writes through a BIO of ours: it reads by io_socket_read(), which knows what
 * was read ahead, and what it writes in one call is collected and written as one, by
 * io_socket_write_deferred() where the caller may defer: so ciphertext shares system calls as
 * plain bytes do.  What the socket does not take is kept as ciphertext (io.h).
 *
 * Handshakes take a thousand times as long as anything else that a worker does.  In each round of
 * the loop they get a budget of time, at least one step of one handshake; those that are left
 * wait for the next rounds, in order.  Established connections have their turns in between.
 * How many handshakes may be under way is bounded: for a further one, the oldest that waits for
 * its client fails, or the new one if none waits.  Handshakes with instances have the same budget
 * and bound, in a tls of their own; who connects asks tls_is_crowded().
 *
 * After the handshake a client may send messages that carry no data, such as KeyUpdate, and
 * OpenSSL would read and answer them for as long as they come.  So a read ends after some
 * ciphertext, and a client that sends many such messages loses its connection; one that asks
 * for a renegotiation loses it at once.
 * Thread: the loop's. */
#ifndef ACTIVATOR_NET_TLS_H
#define ACTIVATOR_NET_TLS_H

#include <stdatomic.h>

#include "activator/net/io.h"
#include "common/err.h"

struct activator_conf;
struct addr;
struct tls; /* opaque; tls.c.  One for each loop */
struct tls_session;
struct tls_state;
struct tls_trust;

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3, TLS_VERSION_NONE, TLS_VERSIONS };

/* How handshakes end. */
#define TLS_OUTCOMES(X)                                                                            \
	X(FULL, "full")	      /* with a new session */                                             \
	X(RESUMED, "resumed") /* with a session that the client had */                             \
	X(FAILED, "failed")   /* a mistake in the protocol, or nothing that both ends speak */     \
	X(UNTRUSTED,                                                                               \
	  "client_certificate") /* none where one is required, or one that is refused */           \
	X(CLOSED, "closed")	/* the connection ended first, or the time was over */             \
	X(CROWDED, "crowded")	/* there were too many at once */                                  \
	X(PLAIN, "plain_http")	/* the client does not speak TLS, but HTTP */

enum tls_outcome {
#define X(id, name) TLS_##id,
	TLS_OUTCOMES(X)
#undef X
		TLS_OUTCOMES_N
};

/* Why an established connection was ended for what its client sent beside data. */
#define TLS_ABUSES(X)                                                                              \
	X(RENEGOTIATION, "renegotiation")                                                          \
	X(MESSAGES, "messages") /* too many messages of a handshake, such as KeyUpdate */          \
	X(ANSWERS, "answers")	/* too many answers to such messages, which it did not read */

enum tls_abuse {
#define X(id, name) TLS_ABUSE_##id,
	TLS_ABUSES(X)
#undef X
		TLS_ABUSES_N
};

struct tls_counters {
	_Atomic uint64_t handshakes[TLS_VERSIONS][TLS_OUTCOMES_N];
	_Atomic uint64_t under_way; /* handshakes, now */
	_Atomic uint64_t abuses[TLS_ABUSES_N];
};

/* What the user of TLS decides. */
struct tls_use {
	const char *const *protocols; /* for ALPN, the preferred first; NULL at the end */
	const char *plain_answer;     /* to a client that speaks plain HTTP */
};

/* conf and use are borrowed. */
NODISCARD struct tls *tls_new(struct loop *, const struct activator_conf *, const struct tls_use *,
			      struct err *);
void tls_free(struct tls **); /* all its streams are freed */

/* A change of the settings.  Preparing it finds the mistakes, and can be done by any thread while
 * the tls is in use; NULL with err. */
struct tls_change;
NODISCARD struct tls_change *tls_change_new(struct tls *, const struct activator_conf *,
					    const struct tls_use *, struct err *);
void tls_change_free(struct tls_change **); /* it is not made */
/* Make it: handshakes that begin from now on go by it. */
void tls_make_change(struct tls *, struct tls_change **);
/* The same conf is at another place from now on, or has changed in nothing that concerns a tls
 * without clients. */
void tls_move_conf(struct tls *, const struct activator_conf *);
/* Handshakes use this from now on.  Takes the reference. */
void tls_set_state(struct tls *, struct tls_state *);
const struct tls_counters *tls_counters(const struct tls *);

/* Check what the conf says of versions, ciphers and groups.  -1 with err; *key: which key. */
NODISCARD int tls_check(const struct activator_conf *, const char **key, struct err *);

/* The peer of this io, just accepted, speaks TLS. */
void tls_accept(struct tls *, struct io *);
/* The peer of this io, at that address, is to be asked by TLS.  io_finish_connect() goes on until
 * the handshake is over; it fails with EPROTO if the two cannot agree, and a line says why.
 * is_h2: by HTTP/2, which the peer has to choose by ALPN; else by HTTP/1.1.  kept: where the newest
 * session of the peer is kept for its next connection (tls_session.h); trust, addr and *kept
 * outlive the io then.  NULL: nowhere. */
void tls_connect(struct tls *, struct io *, const struct tls_trust *, const struct addr *,
		 bool is_h2, struct tls_session **kept);
/* For how long the handshake, which may be over, has waited for its turn so far.  The io is
 * encrypted. */
int64_t tls_waited(const struct io *);
/* Are as many handshakes under way as there may be? */
bool tls_is_crowded(const struct tls *);

/* The subject of the certificate that the client has proved to own, as in RFC 4514, or where it is
 * empty, the first alternative name: "URI:" or else "DNS:" and the name.  NULL: the certificate
 * has none of these, the client has shown none, or the io is not encrypted. */
const char *tls_client_subject(const struct io *);
/* Why the handshake with an instance has failed; static.  NULL: that is not known. */
const char *tls_failure(const struct io *);
/* Was the handshake one with a session that the peer had given before? */
bool tls_is_resumed(const struct io *);
/* Do requests for a host belong on a connection? */
enum tls_fit {
	TLS_FITS,
	/* They did when its handshake was made, for this host; since then clients must prove
	 * something else than this one has. */
	TLS_OUTDATED,
	TLS_MISDIRECTED /* clients of the host must prove something else */
};
/* TLS_FITS where the io is not encrypted. */
enum tls_fit tls_fit(const struct io *, const char *host, size_t n);
/* Must clients that make this handshake now prove something else than this one has? */
bool tls_is_outdated(const struct io *);

#endif
