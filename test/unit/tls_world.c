#include "test/unit/tls_world.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/net/io_round.h"
#include "activator/net/io_stream.h"
#include "activator/net/tls_cert.h"
#include "common/addr.h"
#include "common/loop.h"

/* --- certificates in files --- */

char *folder;

int
set_up_folder(void **state)
{
	(void)state;
	folder = unit_dir();
	return 0;
}

int
remove_folder(void **state)
{
	char *command = xasprintf("rm -rf '%s'", folder);

	(void)state;
	assert_int_equal(system(command), 0);
	free(command);
	free(folder);
	return 0;
}

EVP_PKEY *
new_key(bool is_rsa)
{
	return is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
}

FILE *
open_file(const char *name, const char *suffix, char **path)
{
	FILE *f;

	*path = xasprintf("%s/%s%s", folder, name, suffix);
	f = fopen(*path, "w");
	assert_non_null(f);
	return f;
}

static void
extend(X509 *x, X509V3_CTX *ctx, int what, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, ctx, what, value);

	assert_non_null(ext);
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
}

X509 *
new_cert(const char *subject, const char *names, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509V3_CTX ctx;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	if (subject[0] != '\0')
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)subject,
					   -1, -1, 0);
	X509_set_issuer_name(x, issuer == NULL ? name : X509_get_subject_name(issuer));
	X509V3_set_ctx(&ctx, issuer == NULL ? x : issuer, x, NULL, NULL, 0);
	if (names != NULL)
		extend(x, &ctx, NID_subject_alt_name, names);
	if (strcmp(subject, "authority") == 0)
		extend(x, &ctx, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(x, issuer_key == NULL ? key : issuer_key, EVP_sha256()) > 0);
	return x;
}

struct certificate_conf
new_pair(const char *name, const char *names, bool is_rsa)
{
	struct certificate_conf c = {.client_certificate = CLIENT_REQUIRED};
	EVP_PKEY *key = new_key(is_rsa);
	X509 *x = new_cert(name, names, key, NULL, NULL);
	FILE *f = open_file(name, ".pem", &c.chain);

	memcpy(&c.name, &name, sizeof name);
	assert_int_equal(PEM_write_X509(f, x), 1);
	fclose(f);
	f = open_file(name, ".key", &c.key);
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
	return c;
}

void
free_pair(struct certificate_conf *c)
{
	free(c->chain);
	free(c->key);
	free(c->client_ca);
}

struct tls_cert *
load(const char *name, const char *names, bool is_rsa)
{
	struct certificate_conf c = new_pair(name, names, is_rsa);
	struct tls_cert *cert;
	const char *key;
	struct err e = {0};

	cert = tls_cert_load(&c, &key, &e);
	assert_string_equal(e.text, "");
	assert_non_null(cert);
	free_pair(&c);
	return cert;
}

struct tls_ticket_keys
new_keys(void)
{
	struct tls_ticket_keys keys = {0};

	assert_int_equal(tls_ticket_keys_rotate(&keys), 0);
	assert_int_equal(tls_ticket_keys_rotate(&keys), 0);
	return keys;
}

/* --- streams --- */

static void
on_ready(struct io *io)
{
	struct side *s = container_of(io, struct side, io);

	if (s->is_client && io_is_handshaking(io) && io_finish_connect(io) != 0)
		return;
	if (io_is_blocked(io) && io->can_write)
		assert_true(io_flush(io) >= 0);
	while (!s->is_deaf && io_is_open(io)) {
		ssize_t got = io_read(io, s->got + s->got_n,
				      MIN(s->read_size, GOT_MOST - s->got_n));

		if (got < 0) {
			s->end = got;
			s->end_errno = errno;
		}
		if (got <= 0)
			break;
		s->got_n += (size_t)got;
	}
}

static bool
never(struct io *io)
{
	(void)io;
	return false;
}

static bool
always(struct io *io)
{
	(void)io;
	return true;
}

static void
on_unsent(struct io *io, uint32_t token, int error)
{
	(void)io;
	(void)token;
	(void)error;
}

static const struct io_ops io_ops = {.on_ready = on_ready,
				     .is_new_work = never,
				     .is_small_read_next = always,
				     .on_unsent = on_unsent};

static void
on_tail(void *arg)
{
	struct world *w = arg;

	io_round_run(w->round);
	io_round_write(w->round);
}

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct world *w = SSL_get_app_data(ssl);

	SSL_SESSION_free(w->session);
	w->session = session;
	return 1;
}

static const char *const protocols[] = {"h2", "http/1.1", NULL};
const struct tls_use unit_tls_use = {.protocols = protocols, .plain_answer = "speak TLS\n"};

void
set_state(struct world *w)
{
	struct tls_state *s = tls_state_new(w->certs, w->certs_n, &w->keys);
	size_t i;

	for (i = 0; i < ARRAY_LEN(w->tls); i++)
		tls_set_state(w->tls[i], tls_state_ref(s));
	tls_state_unref(&s);
}

struct world *
make(void)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct err e = {0};
	size_t i;

	w->conf = (struct activator_conf){
		.tls_min_version = TLS_1_2,
		.tls_handshakes = 4,
		.tls_handshake_budget = 1000000000,
		.tls_ticket_rotation = INT64_C(3600000000000),
	};
	w->conf.tls_ciphers = xstrdup("ECDHE-ECDSA-AES128-GCM-SHA256");
	w->conf.tls_groups = xstrdup("X25519:prime256v1");
	w->loop = loop_new(&e);
	w->round = io_round_new(w->loop, true);
	loop_on_tail(w->loop, on_tail, w);
	w->keys = new_keys();
	w->certs[w->certs_n++] = load("first", "DNS:first.example", false);
	for (i = 0; i < ARRAY_LEN(w->tls); i++) {
		w->tls[i] = tls_new(w->loop, &w->conf, &unit_tls_use, &e);
		assert_string_equal(e.text, "");
	}
	set_state(w);
	w->client = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(w->client,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(w->client, on_session);
	return w;
}

void
end(struct world **wp)
{
	struct world *w = *wp;
	size_t i;

	*wp = NULL;
	for (i = 0; i < w->n; i++) {
		io_close(&w->sides[i].io, false);
		SSL_free(w->sides[i].peer);
		if (w->sides[i].peer_fd >= 0)
			close(w->sides[i].peer_fd);
		free(w->sides[i].got);
	}
	loop_free(&w->loop);
	for (i = 0; i < ARRAY_LEN(w->tls); i++)
		tls_free(&w->tls[i]);
	io_round_free(&w->round);
	SSL_SESSION_free(w->session);
	SSL_CTX_free(w->client);
	for (i = 0; i < w->certs_n; i++)
		tls_cert_unref(&w->certs[i]);
	free(w->conf.tls_ciphers);
	free(w->conf.tls_groups);
	free(w);
}

/* A connection; its peer does nothing yet. */
static struct side *
open_side(struct world *w, SSL_CTX *peer)
{
	struct side *s = &w->sides[w->n++];
	int fds[2];

	assert_true(w->n <= SIDES_MOST);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	s->world = w;
	s->got = xmalloc(GOT_MOST);
	s->read_size = GOT_MOST;
	s->peer_fd = fds[1];
	assert_int_equal(io_open(&s->io, w->round, fds[0], false, &io_ops), 0);
	s->peer = SSL_new(peer);
	SSL_set_app_data(s->peer, w);
	SSL_set_fd(s->peer, fds[1]);
	return s;
}

struct side *
add_side(struct world *w, size_t at)
{
	struct side *s = open_side(w, w->client);

	SSL_set_connect_state(s->peer);
	tls_accept(w->tls[at], &s->io);
	return s;
}

SSL_CTX *
new_instance(int version, struct tls_trust **trust)
{
	struct certificate_conf pair = new_pair("instance", "DNS:instance.example", false);
	char name[] = "instance.example";
	const struct limits limits = {
		.upstream_tls = true, .upstream_ca = pair.chain, .upstream_name = name};
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	const char *key;
	struct err e;

	assert_int_equal(SSL_CTX_use_certificate_file(ctx, pair.chain, SSL_FILETYPE_PEM), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, pair.key, SSL_FILETYPE_PEM), 1);
	SSL_CTX_set_max_proto_version(ctx, version);
	*trust = tls_trust_load(&limits, &key, &e);
	assert_non_null(*trust);
	free_pair(&pair);
	return ctx;
}

struct side *
add_instance(struct world *w, SSL_CTX *ctx, const struct tls_trust *trust,
	     struct tls_session **kept)
{
	static struct addr addr;
	struct side *s = open_side(w, ctx);

	assert_int_equal(addr_set(&addr, "127.0.0.1", 1, NULL), 0);
	s->is_client = true;
	SSL_set_accept_state(s->peer);
	tls_connect(w->tls[0], &s->io, trust, &addr, false, kept);
	io_yield(&s->io);
	return s;
}

bool
shake_hands(struct side *s)
{
	int i;

	for (i = 0; i < 50; i++) {
		int rc = SSL_do_handshake(s->peer);

		loop_once(s->world->loop, true);
		if (rc == 1 && !io_is_handshaking(&s->io))
			return s->end == 0;
		if (rc != 1 && SSL_get_error(s->peer, rc) != SSL_ERROR_WANT_READ)
			return false;
	}
	return false;
}

ssize_t
peer_read(struct side *s, char *buf, size_t n)
{
	size_t got = 0, one;

	ERR_clear_error();
	while (got < n && SSL_read_ex(s->peer, buf + got, n - got, &one) == 1)
		got += one;
	return (ssize_t)got;
}

void
peer_says(struct side *s, const char *text)
{
	assert_int_equal(SSL_write(s->peer, text, (int)strlen(text)), strlen(text));
	loop_once(s->world->loop, true);
}

int
say(struct side *s, const char *text)
{
	struct iovec iov = {.iov_len = strlen(text)};
	int rc;

	memcpy(&iov.iov_base, &text, sizeof text);
	rc = io_write_deferred(&s->io, &iov, 1, 7);
	loop_once(s->world->loop, true);
	return rc;
}

uint64_t
counted(const struct world *w, size_t at, enum tls_version v, enum tls_outcome o)
{
	return atomic_load(&tls_counters(w->tls[at])->handshakes[v][o]);
}

uint64_t
abuses(const struct world *w, enum tls_abuse a)
{
	return atomic_load(&tls_counters(w->tls[0])->abuses[a]);
}
