/* tls_world - certificates in files of a folder, and streams of TLS: two workers' tls, with
 * connections of clients and to instances, whose other ends are SSLs that the test plays. */
#ifndef TEST_UNIT_TLS_WORLD_H
#define TEST_UNIT_TLS_WORLD_H

#include "test/unit/unit.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "activator/net/io.h"
#include "activator/net/tls.h"
#include "activator/net/tls_session.h"
#include "activator/net/tls_state.h"
#include "activator/net/tls_trust.h"
#include "common/settings.h"

/* --- certificates in files --- */
extern char *folder; /* from set_up_folder() to remove_folder() */
int set_up_folder(void **state);
int remove_folder(void **state);
EVP_PKEY *new_key(bool is_rsa);
/* NAME and SUFFIX in the folder; *path is the caller's. */
FILE *open_file(const char *name, const char *suffix, char **path);
/* A certificate for these names ("DNS:a,DNS:b"; NULL: none), signed by issuer, or by itself. */
X509 *new_cert(const char *subject, const char *names, EVP_PKEY *key, X509 *issuer,
	       EVP_PKEY *issuer_key);
/* Files NAME.pem and NAME.key. */
struct certificate_conf new_pair(const char *name, const char *names, bool is_rsa);
void free_pair(struct certificate_conf *c);
/* The certificate of a new pair. */
struct tls_cert *load(const char *name, const char *names, bool is_rsa);
/* Of tickets, in two generations. */
struct tls_ticket_keys new_keys(void);

/* --- streams --- */
#define SIDES_MOST 16
#define GOT_MOST ((size_t)1 << 22)

struct side {
	struct io io;
	SSL *peer;
	int peer_fd;
	size_t read_size; /* of one read */
	char *got;
	size_t got_n;
	ssize_t end; /* IO_EOF or IO_ERROR, once a read has found it */
	int end_errno;
	bool is_deaf;
	bool is_client; /* the peer is an instance */
	struct world *world;
};

struct world {
	struct loop *loop;
	struct io_round *round;
	struct tls *tls[2]; /* of two workers */
	struct activator_conf conf;
	struct tls_ticket_keys keys;
	struct tls_cert *certs[4];
	size_t certs_n;
	SSL_CTX *client;
	SSL_SESSION *session; /* the newest ticket that a client got */
	struct side sides[SIDES_MOST];
	size_t n;
};

extern const struct tls_use unit_tls_use;

struct world *make(void);
void end(struct world **wp);
/* Handshakes use w->certs and w->keys from now on. */
void set_state(struct world *w);
/* A connection of a client to worker `at`. */
struct side *add_side(struct world *w, size_t at);
/* What an instance speaks TLS with, by this version at most; *trust: what it proves. */
SSL_CTX *new_instance(int version, struct tls_trust **trust);
/* A connection to it, at port 1 of this machine. */
struct side *add_instance(struct world *w, SSL_CTX *ctx, const struct tls_trust *trust,
			  struct tls_session **kept);
/* Let both ends work until the handshake is over.  False: it failed. */
bool shake_hands(struct side *s);
/* What the client can read now. */
ssize_t peer_read(struct side *s, char *buf, size_t n);
void peer_says(struct side *s, const char *text);
int say(struct side *s, const char *text);
uint64_t counted(const struct world *w, size_t at, enum tls_version v, enum tls_outcome o);
uint64_t abuses(const struct world *w, enum tls_abuse a);

#endif
