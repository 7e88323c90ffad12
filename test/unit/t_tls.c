/* tls: certificates are found by name and read with care; a stream keeps what an io promises:
 * all bytes, in order, their end told from a cut; handshakes are bounded in number and time. */
#include "test/unit/unit.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "activator/net/io_stream.h"
#include "activator/net/tls.h"
#include "activator/net/tls_cert.h"
#include "activator/net/tls_impl.h"
#include "activator/net/tls_session.h"
#include "activator/net/tls_state.h"
#include "activator/net/tls_trust.h"
#include "activator/revision.h"
#include "common/addr.h"
#include "common/clk.h"
#include "common/loop.h"
#include "common/ref.h"
#include "common/settings.h"

/* --- certificates in files --- */

static char *folder;

static int
set_up_folder(void **state)
{
	(void)state;
	folder = unit_dir();
	return 0;
}

static int
remove_folder(void **state)
{
	char *command = xasprintf("rm -rf '%s'", folder);

	(void)state;
	assert_int_equal(system(command), 0);
	free(command);
	free(folder);
	return 0;
}

static EVP_PKEY *
new_key(bool is_rsa)
{
	return is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
}

static FILE *
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

/* A certificate for these names ("DNS:a,DNS:b"; NULL: none), signed by issuer, or by itself. */
static X509 *
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

/* Files NAME.pem and NAME.key. */
static struct certificate_conf
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

static void
free_pair(struct certificate_conf *c)
{
	free(c->chain);
	free(c->key);
	free(c->client_ca);
}

static struct tls_cert *
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

static struct tls_ticket_keys
new_keys(void)
{
	struct tls_ticket_keys keys = {0};

	assert_int_equal(tls_ticket_keys_rotate(&keys), 0);
	assert_int_equal(tls_ticket_keys_rotate(&keys), 0);
	return keys;
}

static const char *
found(const struct tls_state *s, const char *host, enum tls_kind kind)
{
	bool is_known;
	const struct tls_cert *c = tls_state_find(s, host, strlen(host), &is_known)->certs[kind];

	return c == NULL ? "" : tls_cert_name(c);
}

static void
names_are_found(void **state)
{
	static const struct {
		const char *host, *cert;
	} cases[] = {
		{"a.example", "a"},	      {"A.EXAMPLE", "a"},
		{"a.example.", "a"},	      {"x.w.example", "wild"},
		{"y.x.w.example", "first"},   {"w.example", "first"},
		{"exact.w.example", "exact"}, {"", "first"},
		{"unknown", "first"},	      {".w.example", "first"},
		{"b.example", "a"},
	};
	struct tls_cert *certs[] = {load("first", "DNS:first.example", false),
				    load("a", "DNS:a.example,DNS:B.example", false),
				    load("wild", "DNS:*.w.example", false),
				    load("exact", "DNS:exact.w.example", false)};
	const struct tls_ticket_keys keys = new_keys();
	struct tls_state *s = tls_state_new(certs, ARRAY_LEN(certs), &keys);
	const struct tls_cert *unused;
	char longest[300];
	const char *name;
	bool is_known;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(found(s, cases[i].host, TLS_EC), cases[i].cert);
	memset(longest, 'a', sizeof longest);
	tls_state_find(s, longest, sizeof longest, &is_known);
	assert_false(is_known);
	assert_false(tls_state_clash(s, &unused, &name));
	assert_true(tls_state_allows(s, 0, "unknown", 7)); /* no policies differ */
	tls_state_unref(&s);
	for (i = 0; i < ARRAY_LEN(certs); i++)
		tls_cert_unref(&certs[i]);
}

static void
a_name_has_a_certificate_of_each_kind(void **state)
{
	struct tls_cert *certs[] = {load("ec", "DNS:a.example", false),
				    load("rsa", "DNS:a.example", true),
				    load("late", "DNS:late.example,DNS:a.example", false)};
	const struct tls_ticket_keys keys = new_keys();
	struct tls_state *s = tls_state_new(certs, ARRAY_LEN(certs), &keys);
	const struct tls_cert *unused;
	const char *name;
	size_t i;

	(void)state;
	assert_string_equal(found(s, "a.example", TLS_EC), "ec");
	assert_string_equal(found(s, "a.example", TLS_RSA), "rsa");
	assert_string_equal(found(s, "unknown.example", TLS_RSA), "rsa");
	assert_true(tls_state_clash(s, &unused, &name));
	assert_string_equal(tls_cert_name(unused), "late");
	assert_string_equal(name, "a.example");
	tls_state_unref(&s);
	for (i = 0; i < ARRAY_LEN(certs); i++)
		tls_cert_unref(&certs[i]);
}

static void
assert_refused(const struct certificate_conf *c, const char *key, const char *text)
{
	const char *seen;
	struct err e;

	assert_null(tls_cert_load(c, &seen, &e));
	assert_string_equal(seen, key);
	if (strstr(e.text, text) == NULL)
		fail_msg("expected \"%s\" in \"%s\"", text, e.text);
}

static void
pairs_with_mistakes_are_refused(void **state)
{
	struct certificate_conf a = new_pair("one", "DNS:a", false),
				b = new_pair("two", "DNS:b", false), c;
	EVP_PKEY *key = new_key(false);
	FILE *f;

	(void)state;
	c = a;
	c.key = b.key;
	assert_refused(&c, "key", "does not fit");
	c.key = NULL; /* then the chain has to hold it */
	assert_refused(&c, "chain", "private key");
	c.key = a.chain;
	assert_refused(&c, "key", "private key");
	c = a;
	c.chain = a.key;
	assert_refused(&c, "chain", "certificate");
	c.chain = folder;
	assert_refused(&c, "chain", "cannot read");
	c = a;
	c.client_ca = a.key;
	assert_refused(&c, "client_ca", "certificate");
	f = open_file("three", ".key", &c.key);
	assert_int_equal(
		PEM_write_PKCS8PrivateKey(f, key, EVP_aes_256_cbc(), "secret", 6, NULL, NULL), 1);
	fclose(f);
	c.client_ca = NULL;
	assert_refused(&c, "key", "it is encrypted");
	free(c.key);
	EVP_PKEY_free(key);
	free_pair(&a);
	free_pair(&b);
}

static void
ticket_keys_rotate(void **state)
{
	struct tls_ticket_keys keys = new_keys(), before = keys;

	(void)state;
	assert_int_equal(tls_ticket_keys_rotate(&keys), 0);
	assert_memory_equal(&keys.v[1], &before.v[0], sizeof keys.v[1]);
	assert_memory_not_equal(&keys.v[0], &before.v[0], sizeof keys.v[0]);
}

/* --- streams --- */

#define SIDES_MOST 16

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

#define GOT_MOST ((size_t)1 << 22)

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
static const struct tls_use use = {.protocols = protocols, .plain_answer = "speak TLS\n"};

static void
set_state(struct world *w)
{
	struct tls_state *s = tls_state_new(w->certs, w->certs_n, &w->keys);
	size_t i;

	for (i = 0; i < ARRAY_LEN(w->tls); i++)
		tls_set_state(w->tls[i], tls_state_ref(s));
	tls_state_unref(&s);
}

static struct world *
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
		w->tls[i] = tls_new(w->loop, &w->conf, &use, &e);
		assert_string_equal(e.text, "");
	}
	set_state(w);
	w->client = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(w->client,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(w->client, on_session);
	return w;
}

static void
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

/* A connection of a client to worker `at`. */
static struct side *
add_side(struct world *w, size_t at)
{
	struct side *s = open_side(w, w->client);

	SSL_set_connect_state(s->peer);
	tls_accept(w->tls[at], &s->io);
	return s;
}

/* What an instance speaks TLS with, by this version at most; *trust: what it proves. */
static SSL_CTX *
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

/* A connection to it, at port 1 of this machine. */
static struct side *
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

/* Let both ends work until the handshake is over.  False: it failed. */
static bool
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

/* What the client can read now. */
static ssize_t
peer_read(struct side *s, char *buf, size_t n)
{
	size_t got = 0, one;

	ERR_clear_error();
	while (got < n && SSL_read_ex(s->peer, buf + got, n - got, &one) == 1)
		got += one;
	return (ssize_t)got;
}

static void
peer_says(struct side *s, const char *text)
{
	assert_int_equal(SSL_write(s->peer, text, (int)strlen(text)), strlen(text));
	loop_once(s->world->loop, true);
}

static int
say(struct side *s, const char *text)
{
	struct iovec iov = {.iov_len = strlen(text)};
	int rc;

	memcpy(&iov.iov_base, &text, sizeof text);
	rc = io_write_deferred(&s->io, &iov, 1, 7);
	loop_once(s->world->loop, true);
	return rc;
}

static uint64_t
counted(const struct world *w, size_t at, enum tls_version v, enum tls_outcome o)
{
	return atomic_load(&tls_counters(w->tls[at])->handshakes[v][o]);
}

static uint64_t
abuses(const struct world *w, enum tls_abuse a)
{
	return atomic_load(&tls_counters(w->tls[0])->abuses[a]);
}

static void
bytes_pass_both_ways(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(versions); i++) {
		struct world *w = make();
		struct side *s = add_side(w, 0);
		char seen[64];

		SSL_set_max_proto_version(s->peer, versions[i]);
		SSL_set_alpn_protos(s->peer, (const unsigned char *)"\x08http/1.1", 9);
		assert_true(io_is_encrypted(&s->io));
		assert_true(shake_hands(s));
		assert_string_equal(io_protocol(&s->io), "http/1.1");
		peer_says(s, "question");
		assert_int_equal(s->got_n, 8);
		assert_memory_equal(s->got, "question", 8);
		assert_int_equal(say(s, "answer"), 0);
		assert_int_equal(peer_read(s, seen, sizeof seen), 6);
		assert_memory_equal(seen, "answer", 6);
		assert_int_equal(counted(w, 0, (enum tls_version)i, TLS_FULL), 1);
		assert_null(tls_client_subject(&s->io));
		end(&w);
	}
}

static void
no_common_protocol_is_a_failure(void **state)
{
	struct world *w = make();
	struct side *alpn = add_side(w, 0), *none = add_side(w, 0);

	(void)state;
	SSL_set_alpn_protos(alpn->peer, (const unsigned char *)"\x05other", 6);
	assert_false(shake_hands(alpn));
	assert_int_equal(alpn->end, IO_ERROR);
	assert_true(shake_hands(none));
	assert_null(io_protocol(&none->io));
	assert_int_equal(counted(w, 0, TLS_VERSION_NONE, TLS_FAILED), 1);
	assert_int_equal(atomic_load(&tls_counters(w->tls[0])->under_way), 0);
	end(&w);
}

/* Records of one byte each, read in pieces of one byte: nothing stays behind. */
static void
small_records_and_small_reads(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	int i;

	(void)state;
	assert_true(shake_hands(s));
	s->read_size = 1;
	for (i = 0; i < 100; i++)
		assert_int_equal(SSL_write(s->peer, "x", 1), 1);
	loop_once(w->loop, true);
	assert_int_equal(s->got_n, 100);
	assert_false(s->io.can_read);
	assert_int_equal(SSL_write(s->peer, "many bytes of one record", 24), 24);
	loop_once(w->loop, true);
	assert_int_equal(s->got_n, 124);
	assert_int_equal(s->end, IO_NOTHING);
	end(&w);
}

/* More than the socket takes, in pieces that do not fit records, is taken in whole. */
static void
much_is_written_in_order(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	size_t sizes[] = {10, 20000, 0, 3, 500000, 1, 16384}, n = 0, i, k;
	struct iovec iov[ARRAY_LEN(sizes)];
	char *all, *seen;

	(void)state;
	assert_true(shake_hands(s));
	for (i = 0; i < ARRAY_LEN(sizes); i++)
		n += sizes[i];
	all = xmalloc(n);
	seen = xmalloc(n);
	for (k = 0; k < n; k++)
		all[k] = (char)(k * 7 + k / 251);
	for (i = 0, k = 0; i < ARRAY_LEN(sizes); k += sizes[i++])
		iov[i] = (struct iovec){.iov_base = all + k, .iov_len = sizes[i]};
	assert_int_equal(io_write_deferred(&s->io, iov, ARRAY_LEN(iov), 1), 0);
	assert_true(io_is_blocked(&s->io));
	for (k = 0, i = 0; k < n && i < 10000; i++) {
		k += (size_t)peer_read(s, seen + k, n - k);
		loop_once(w->loop, true);
	}
	assert_int_equal(k, n);
	assert_memory_equal(seen, all, n);
	assert_false(io_is_blocked(&s->io));
	free(all);
	free(seen);
	end(&w);
}

static void
much_is_read_in_order(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	size_t n = 1000000, k, at = 0;
	char *all = xmalloc(n);

	(void)state;
	assert_true(shake_hands(s));
	s->read_size = 5000;
	SSL_set_mode(s->peer, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	for (k = 0; k < n; k++)
		all[k] = (char)(k * 11 + k / 253);
	while (at < n) {
		int sent = SSL_write(s->peer, all + at, (int)(n - at));

		at += sent > 0 ? (size_t)sent : 0;
		loop_once(w->loop, true);
	}
	loop_once(w->loop, true);
	assert_int_equal(s->got_n, n);
	assert_memory_equal(s->got, all, n);
	free(all);
	end(&w);
}

static void
an_end_is_told_from_a_cut(void **state)
{
	struct world *w = make();
	struct side *ends = add_side(w, 0), *cut = add_side(w, 0), *closes = add_side(w, 0);
	char seen[16];

	(void)state;
	assert_true(shake_hands(ends) && shake_hands(cut) && shake_hands(closes));
	assert_int_equal(SSL_write(ends->peer, "all", 3), 3);
	SSL_shutdown(ends->peer);
	shutdown(ends->peer_fd, SHUT_WR);
	loop_once(w->loop, true);
	assert_int_equal(ends->got_n, 3);
	assert_int_equal(ends->end, IO_EOF);
	assert_int_equal(SSL_write(cut->peer, "part", 4), 4);
	shutdown(cut->peer_fd, SHUT_WR);
	loop_once(w->loop, true);
	assert_int_equal(cut->got_n, 4);
	assert_int_equal(cut->end, IO_ERROR);
	assert_int_equal(cut->end_errno, ECONNRESET);
	/* And the other way round. */
	assert_int_equal(say(closes, "bye"), 0);
	io_close(&closes->io, false);
	assert_int_equal(peer_read(closes, seen, sizeof seen), 3);
	assert_int_equal(SSL_get_error(closes->peer, 0), SSL_ERROR_ZERO_RETURN);
	io_close(&ends->io, true);
	assert_int_equal(peer_read(ends, seen, sizeof seen), 0);
	assert_int_not_equal(SSL_get_error(ends->peer, 0), SSL_ERROR_ZERO_RETURN);
	end(&w);
}

/* No edge tells of bytes that came together with the last message of the handshake. */
static void
bytes_behind_a_handshake_are_read(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(versions); i++) {
		struct world *w = make();
		struct tls_trust *trust;
		SSL_CTX *ctx = new_instance(versions[i], &trust);
		struct side *s = add_instance(w, ctx, trust, NULL);
		int n;

		for (n = 0; n < 50 && SSL_do_handshake(s->peer) != 1; n++)
			loop_once(w->loop, true);
		peer_says(s, "settings");
		assert_int_equal(s->got_n, 8);
		assert_int_equal(s->end, IO_NOTHING);
		end(&w);
		SSL_CTX_free(ctx);
		tls_trust_unref(&trust);
	}
}

/* Is the handshake of a further connection one with the session that was kept? */
static bool
is_resumed(struct world *w, SSL_CTX *ctx, const struct tls_trust *trust, struct tls_session **kept)
{
	struct side *s = add_instance(w, ctx, trust, kept);

	assert_true(shake_hands(s));
	peer_says(s, "tickets come before this");
	assert_int_equal(s->got_n, 24);
	assert_int_equal(SSL_session_reused(s->peer), tls_is_resumed(&s->io));
	return tls_is_resumed(&s->io);
}

/* A further connection to an instance resumes its session, if the instance has to prove the same.
 */
static void
sessions_of_instances_are_resumed(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(versions); i++) {
		struct world *w = make();
		struct tls_session *kept = NULL;
		struct tls_trust *trust, *other;
		SSL_CTX *ctx = new_instance(versions[i], &trust), *again;

		assert_false(is_resumed(w, ctx, trust, &kept));
		assert_non_null(kept);
		assert_true(is_resumed(w, ctx, trust, &kept));
		assert_true(is_resumed(w, ctx, trust, &kept)); /* the ticket is a new one */
		again = new_instance(versions[i], &other);
		assert_false(is_resumed(w, again, other, &kept));
		assert_true(is_resumed(w, again, other, &kept));
		assert_false(is_resumed(w, ctx, trust, &kept));
		tls_session_free(&kept);
		assert_false(is_resumed(w, ctx, trust, &kept));
		tls_session_free(&kept);
		end(&w);
		SSL_CTX_free(ctx);
		SSL_CTX_free(again);
		tls_trust_unref(&trust);
		tls_trust_unref(&other);
	}
}

static int64_t
three_hours_later(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (ts.tv_sec + 3 * 60 * 60) * CLK_S;
}

/* OpenSSL gives a session of TLS 1.2 two hours. */
static void
old_sessions_of_instances_are_not_used(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(versions); i++) {
		struct world *w = make();
		struct tls_session *kept = NULL;
		struct tls_trust *trust;
		SSL_CTX *ctx = new_instance(versions[i], &trust);
		struct addr addr = {0};

		assert_int_equal(addr_set(&addr, "127.0.0.1", 1, NULL), 0);
		assert_false(is_resumed(w, ctx, trust, &kept));
		assert_non_null(kept);
		clk_replace(three_hours_later);
		assert_null(tls_session_take(&kept, trust, &addr, false));
		clk_replace(NULL);
		assert_null(kept);
		end(&w);
		SSL_CTX_free(ctx);
		tls_trust_unref(&trust);
	}
}

static void
replace(const char *path, const char *by)
{
	char *command = xasprintf("cp '%s' '%s.new' && mv '%s.new' '%s'", by, path, path, path);

	assert_int_equal(system(command), 0);
	free(command);
}

/* Limits that come while the certificate is replaced, and its key is not yet, leave in use what was
 * read before; so do two looks at such files.  With the key, both are read. */
static void
half_replaced_files_are_not_used(void **state)
{
	struct certificate_conf pair = new_pair("activator", "DNS:activator.example", false),
				next = new_pair("next", "DNS:activator.example", false);
	struct limits limits = {.upstream_tls = true,
				.upstream_ca = pair.chain,
				.upstream_certificate = pair.chain,
				.upstream_key = pair.key};
	struct revision *rev = revision_new("s/v1", 1, NULL, NULL, NULL);
	struct tls_trust *trust, *used;

	(void)state;
	revision_set_limits(rev, &limits);
	trust = atomic_load(&rev->limits->trust);
	assert_non_null(trust);
	used = revision_limits_trust_ref(rev->limits);
	assert_ptr_equal(used, trust);
	replace(pair.chain, next.chain);
	revision_set_limits(rev, &limits);
	assert_ptr_equal(atomic_load(&rev->limits->trust), trust);
	revision_check_trust(rev);
	revision_check_trust(rev);
	assert_ptr_equal(atomic_load(&rev->limits->trust), trust);
	replace(pair.key, next.key);
	revision_check_trust(rev);
	assert_ptr_equal(atomic_load(&rev->limits->trust), trust);
	revision_check_trust(rev);
	assert_non_null(atomic_load(&rev->limits->trust));
	assert_ptr_not_equal(atomic_load(&rev->limits->trust), trust);
	assert_true(ref_is_single(&used->refs)); /* what was replaced goes with its last user */
	tls_trust_unref(&used);
	limits.upstream_ca = next.chain;
	trust = tls_trust_ref(atomic_load(&rev->limits->trust));
	revision_set_limits(rev, &limits);
	assert_ptr_not_equal(atomic_load(&rev->limits->trust), trust);
	tls_trust_unref(&trust);
	revision_unref(&rev);
	free_pair(&pair);
	free_pair(&next);
}

/* Handshakes with instances have the budget of handshakes, and are counted. */
static void
handshakes_with_instances_share_a_budget(void **state)
{
	struct world *w = make();
	struct tls_trust *trust;
	SSL_CTX *ctx = new_instance(TLS1_3_VERSION, &trust);
	struct side *sides[4];
	size_t i, done = 0, before, rounds;

	(void)state;
	w->conf.tls_handshake_budget = 0;
	for (i = 0; i < ARRAY_LEN(sides); i++) {
		assert_false(tls_is_crowded(w->tls[0]));
		sides[i] = add_instance(w, ctx, trust, NULL);
	}
	assert_true(tls_is_crowded(w->tls[0]));
	for (rounds = 0; done < ARRAY_LEN(sides) && rounds < 20; rounds++) {
		before = done;
		loop_once(w->loop, true);
		for (i = 0, done = 0; i < ARRAY_LEN(sides); i++) {
			char byte;

			done += recv(sides[i]->peer_fd, &byte, 1, MSG_PEEK) == 1;
		}
		assert_true(done <= before + 1);
	}
	assert_int_equal(done, ARRAY_LEN(sides));
	for (i = 0; i < ARRAY_LEN(sides); i++) { /* each waited for its turn, not for its peer */
		int64_t waited = tls_waited(&sides[i]->io);

		assert_true(waited > 0);
		assert_int_equal(tls_waited(&sides[i]->io), waited);
	}
	for (i = 0; i < ARRAY_LEN(sides); i++)
		assert_true(shake_hands(sides[i]));
	assert_int_equal(atomic_load(&tls_counters(w->tls[0])->under_way), 0);
	end(&w);
	SSL_CTX_free(ctx);
	tls_trust_unref(&trust);
}

/* A new key, which the peer may send at any time, is no byte. */
static void
unasked_records_are_no_bytes(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);

	(void)state;
	assert_true(shake_hands(s));
	s->is_deaf = true;
	assert_int_equal(SSL_key_update(s->peer, SSL_KEY_UPDATE_REQUESTED), 1);
	assert_int_equal(SSL_do_handshake(s->peer), 1);
	loop_once(w->loop, true);
	assert_true(s->io.can_read);
	assert_true(io_is_quiet(&s->io));
	assert_int_equal(SSL_write(s->peer, "x", 1), 1);
	loop_once(w->loop, true);
	assert_false(io_is_quiet(&s->io));
	end(&w);
}

static void
renegotiation_is_refused(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);

	(void)state;
	SSL_set_max_proto_version(s->peer, TLS1_2_VERSION);
	assert_true(shake_hands(s));
	assert_int_equal(SSL_renegotiate(s->peer), 1);
	assert_false(shake_hands(s));
	assert_int_equal(s->end, IO_ERROR);
	assert_int_equal(s->end_errno, EPROTO);
	assert_int_equal(abuses(w, TLS_ABUSE_RENEGOTIATION), 1);
	end(&w);
}

/* As fast as the stream reads them, and without reading answers. */
static size_t
ask_for_keys(struct side *s, int how)
{
	size_t sent;

	for (sent = 0; sent < 1000 && s->end == 0; sent++) {
		if (SSL_key_update(s->peer, how) != 1 || SSL_do_handshake(s->peer) != 1)
			break;
		loop_once(s->world->loop, true);
	}
	return sent;
}

static void
key_updates_without_data_are_refused(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0), *much = add_side(w, 0);
	int i;

	(void)state;
	assert_true(shake_hands(s) && shake_hands(much));
	for (i = 0; i < 100; i++) { /* with data, any number is right */
		assert_int_equal(SSL_key_update(s->peer, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		peer_says(s, "x");
	}
	assert_int_equal(s->got_n, 100);
	assert_int_equal(ask_for_keys(s, SSL_KEY_UPDATE_NOT_REQUESTED), 33);
	assert_int_equal(s->end, IO_ERROR);
	assert_int_equal(s->end_errno, EPROTO);
	assert_int_equal(abuses(w, TLS_ABUSE_MESSAGES), 1);
	/* Or with data, but all at once. */
	for (i = 0; i < 100; i++) {
		assert_int_equal(SSL_key_update(much->peer, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_write(much->peer, "x", 1), 1);
	}
	loop_once(w->loop, true);
	assert_int_equal(much->end_errno, EPROTO);
	assert_int_equal(abuses(w, TLS_ABUSE_MESSAGES), 2);
	end(&w);
}

/* A client that takes nothing and asks for answers: what waits for it is bounded. */
static void
unread_answers_are_bounded(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	char *fill = xcalloc(1, 1 << 20);
	struct iovec iov = {.iov_base = fill, .iov_len = 1 << 20};
	size_t before;
	int i;

	(void)state;
	assert_true(shake_hands(s));
	assert_int_equal(io_write(&s->io, &iov, 1), 0);
	assert_true(io_is_blocked(&s->io));
	before = s->io.out.n;
	for (i = 0; i < 5000 && s->end == 0; i++) {
		assert_int_equal(SSL_key_update(s->peer, SSL_KEY_UPDATE_REQUESTED), 1);
		peer_says(s, "x");
	}
	assert_int_equal(s->end_errno, EPROTO);
	assert_int_equal(abuses(w, TLS_ABUSE_ANSWERS), 1);
	assert_in_range(s->io.out.n, before, before + (32 << 10));
	free(fill);
	end(&w);
}

/* More ciphertext than one read takes: the rest is there for the next one. */
static void
a_read_takes_a_bounded_amount(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	int size = 512 << 10, i;
	size_t n = 0, one;
	char *all = xcalloc(1, 16384);
	ssize_t got;

	(void)state;
	assert_true(shake_hands(s));
	s->is_deaf = true;
	SSL_set_mode(s->peer, SSL_MODE_ENABLE_PARTIAL_WRITE);
	setsockopt(s->peer_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	while (SSL_write_ex(s->peer, all, 16384, &one) == 1)
		n += one;
	loop_once(w->loop, true);
	got = io_read(&s->io, s->got, GOT_MOST);
	assert_in_range(got, 1, (256 + 17) << 10);
	s->got_n = (size_t)got;
	s->is_deaf = false;
	for (i = 0; i < 1000 && s->got_n < n; i++)
		loop_once(w->loop, true);
	assert_true(s->got_n >= n);
	assert_int_equal(s->end, 0);
	free(all);
	end(&w);
}

static void
plain_http_gets_an_answer(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	char seen[64];

	(void)state;
	assert_int_equal(write(s->peer_fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	loop_once(w->loop, true);
	assert_int_equal(s->end, IO_ERROR);
	assert_int_equal(read(s->peer_fd, seen, sizeof seen), strlen(use.plain_answer));
	assert_memory_equal(seen, use.plain_answer, strlen(use.plain_answer));
	assert_int_equal(counted(w, 0, TLS_VERSION_NONE, TLS_PLAIN), 1);
	end(&w);
}

/* --- sessions --- */

/* Connect to a worker and get a ticket. */
static void
get_ticket(struct world *w, size_t at)
{
	struct side *s = add_side(w, at);
	char byte;

	assert_true(shake_hands(s));
	(void)peer_read(s, &byte, 1); /* tickets come behind the handshake */
	assert_non_null(w->session);
}

/* Connect to a worker with that ticket.  Was the session resumed? */
static bool
resumes(struct world *w, size_t at)
{
	struct side *s = add_side(w, at);

	assert_int_equal(SSL_set_session(s->peer, w->session), 1);
	assert_true(shake_hands(s));
	return SSL_session_reused(s->peer);
}

static void
any_worker_resumes_for_two_generations(void **state)
{
	struct world *w = make();

	(void)state;
	get_ticket(w, 0);
	assert_true(resumes(w, 1));
	assert_int_equal(counted(w, 1, TLS_VERSION_1_3, TLS_RESUMED), 1);
	get_ticket(w, 0);
	assert_int_equal(tls_ticket_keys_rotate(&w->keys), 0);
	set_state(w);
	assert_true(resumes(w, 1));
	get_ticket(w, 0);
	assert_int_equal(tls_ticket_keys_rotate(&w->keys), 0);
	assert_int_equal(tls_ticket_keys_rotate(&w->keys), 0);
	set_state(w);
	assert_false(resumes(w, 0));
	end(&w);
}

/* --- other settings --- */

/* What is established or under way goes on, and so do tickets; new handshakes go by the new
 * settings. */
static void
settings_change_beside_connections(void **state)
{
	struct world *w = make();
	struct activator_conf conf = w->conf, wrong = w->conf;
	static char unknown[] = "NO-SUCH-CIPHER";
	struct side *before = add_side(w, 0), *under_way = add_side(w, 0), *after;
	struct tls_change *change;
	struct err e;

	(void)state;
	SSL_set_max_proto_version(under_way->peer, TLS1_2_VERSION);
	(void)SSL_do_handshake(under_way->peer);
	loop_once(w->loop, true);
	assert_true(shake_hands(before));
	get_ticket(w, 0);
	wrong.tls_ciphers = unknown;
	assert_null(tls_change_new(w->tls[0], &wrong, &use, &e));
	assert_non_null(strstr(e.text, "tls_ciphers: "));
	conf.tls_min_version = TLS_1_3;
	change = tls_change_new(w->tls[0], &conf, &use, &e);
	assert_non_null(change);
	tls_change_free(&change); /* not made: nothing has changed */
	change = tls_change_new(w->tls[0], &conf, &use, &e);
	tls_make_change(w->tls[0], &change);
	assert_true(resumes(w, 0));
	assert_true(shake_hands(under_way));
	peer_says(before, "still here");
	assert_int_equal(before->got_n, strlen("still here"));
	after = add_side(w, 0);
	SSL_set_max_proto_version(after->peer, TLS1_2_VERSION);
	assert_false(shake_hands(after));
	tls_move_conf(w->tls[0], &w->conf);
	end(&w);
}

/* --- client certificates --- */

static enum tls_fit
fit(const struct side *s, const char *host)
{
	return tls_fit(&s->io, host, strlen(host));
}

static void
client_certificates_are_verified(void **state)
{
	struct world *w = make();
	struct certificate_conf conf = new_pair("private", "DNS:private.example", false);
	EVP_PKEY *ca_key = new_key(false), *key = new_key(false);
	X509 *ca = new_cert("authority", NULL, ca_key, NULL, NULL),
	     *x = new_cert("alice, \r\n", NULL, key, ca, ca_key);
	struct side *good, *none, *public;
	const char *which;
	struct err e = {0};
	FILE *f = open_file("ca", ".pem", &conf.client_ca);

	(void)state;
	PEM_write_X509(f, ca);
	PEM_write_X509(f, ca); /* twice is once */
	fclose(f);
	w->certs[w->certs_n++] = tls_cert_load(&conf, &which, &e);
	assert_string_equal(e.text, "");
	set_state(w);
	good = add_side(w, 0);
	none = add_side(w, 0);
	public = add_side(w, 0);
	SSL_set_tlsext_host_name(good->peer, "private.example");
	SSL_set_tlsext_host_name(none->peer, "private.example");
	SSL_set_max_proto_version(none->peer, TLS1_2_VERSION);
	SSL_use_certificate(good->peer, x);
	SSL_use_PrivateKey(good->peer, key);
	assert_true(shake_hands(good));
	assert_false(shake_hands(none));
	assert_true(shake_hands(public));
	assert_string_equal(tls_client_subject(&good->io), "CN=alice\\, \\0D\\0A");
	assert_null(tls_client_subject(&public->io));
	assert_int_equal(counted(w, 0, TLS_VERSION_NONE, TLS_UNTRUSTED), 1);
	/* A host of another policy is not served. */
	assert_int_equal(fit(good, "private.example"), TLS_FITS);
	assert_int_equal(fit(good, "first.example"), TLS_MISDIRECTED);
	assert_int_equal(fit(public, "PRIVATE.example."), TLS_MISDIRECTED);
	assert_int_equal(fit(public, "first.example"), TLS_FITS);
	/* A host that no certificate names is for clients that have proven all that is asked. */
	assert_int_equal(fit(good, "other.example"), TLS_FITS);
	assert_int_equal(fit(public, "other.example"), TLS_MISDIRECTED);
	assert_int_equal(fit(public, "127.0.0.1"), TLS_MISDIRECTED);
	assert_int_equal(fit(public, ""), TLS_MISDIRECTED);
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	free_pair(&conf);
	end(&w);
}

/* Write the certificate of an authority into the file of client_ca, and load the pair. */
static struct tls_cert *
load_with_ca(struct certificate_conf *conf, X509 *ca)
{
	struct err e = {0};
	const char *which;
	struct tls_cert *c;
	FILE *f;

	free(conf->client_ca);
	f = open_file(conf->name, ".ca", &conf->client_ca);
	PEM_write_X509(f, ca);
	fclose(f);
	c = tls_cert_load(conf, &which, &e);
	assert_string_equal(e.text, "");
	return c;
}

static void
an_empty_subject_has_a_substitute(void **state)
{
	static const struct {
		const char *names, *subject; /* NULL: none */
	} cases[] = {
		{"DNS:a.example,URI:spiffe://example/a,URI:spiffe://b", "URI:spiffe://example/a"},
		{"DNS:a.example,DNS:b.example", "DNS:a.example"},
		{"URI:spiffe://a b,DNS:b.example", "DNS:b.example"},
		{"email:a@example", NULL},
		{NULL, NULL},
	};
	struct certificate_conf conf = new_pair("private", "DNS:private.example", false);
	EVP_PKEY *ca_key = new_key(false), *key = new_key(false);
	X509 *ca = new_cert("authority", NULL, ca_key, NULL, NULL);
	struct world *w = make();
	size_t i;

	(void)state;
	w->certs[w->certs_n++] = load_with_ca(&conf, ca);
	set_state(w);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		X509 *x = new_cert("", cases[i].names, key, ca, ca_key);
		struct side *s = add_side(w, 0);

		SSL_set_tlsext_host_name(s->peer, "private.example");
		SSL_use_certificate(s->peer, x);
		SSL_use_PrivateKey(s->peer, key);
		assert_true(shake_hands(s));
		if (cases[i].subject == NULL)
			assert_null(tls_client_subject(&s->io));
		else
			assert_string_equal(tls_client_subject(&s->io), cases[i].subject);
		X509_free(x);
	}
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	free_pair(&conf);
	end(&w);
}

/* A client with this certificate connects to private.example, with the ticket that it has got
 * last, and gets another.  Was the session resumed? */
static bool
resumes_with(struct world *w, int version, X509 *x, EVP_PKEY *key)
{
	struct side *s = add_side(w, 0);
	char byte;

	SSL_set_max_proto_version(s->peer, version);
	SSL_set_tlsext_host_name(s->peer, "private.example");
	SSL_use_certificate(s->peer, x);
	SSL_use_PrivateKey(s->peer, key);
	if (w->session != NULL)
		assert_int_equal(SSL_set_session(s->peer, w->session), 1);
	assert_true(shake_hands(s));
	(void)peer_read(s, &byte, 1);
	assert_non_null(w->session);
	assert_string_equal(tls_client_subject(&s->io), "CN=alice");
	return SSL_session_reused(s->peer);
}

/* A full handshake does not look at the time here, so that the certificate can expire. */
static void
an_expired_certificate_is_not_resumed(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	EVP_PKEY *ca_key = new_key(false), *key = new_key(false);
	X509 *ca = new_cert("authority", NULL, ca_key, NULL, NULL),
	     *x = new_cert("alice", NULL, key, ca, ca_key);
	X509 *old = X509_dup(x);
	size_t i;

	(void)state;
	X509_gmtime_adj(X509_getm_notAfter(old), -60);
	assert_true(X509_sign(old, ca_key, EVP_sha256()) > 0);
	for (i = 0; i < ARRAY_LEN(versions); i++) {
		struct world *w = make();
		struct certificate_conf conf = new_pair("private", "DNS:private.example", false);

		w->certs[w->certs_n++] = load_with_ca(&conf, ca);
		X509_STORE_set_flags(w->certs[1]->client_store, X509_V_FLAG_NO_CHECK_TIME);
		set_state(w);
		assert_false(resumes_with(w, versions[i], x, key));
		assert_true(resumes_with(w, versions[i], x, key));
		SSL_SESSION_free(w->session);
		w->session = NULL;
		assert_false(resumes_with(w, versions[i], old, key));
		assert_false(resumes_with(w, versions[i], old, key));
		free_pair(&conf);
		end(&w);
	}
	X509_free(old);
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
}

/* A changed client_ca lets open connections end without an error. */
static void
a_changed_authority_ends_connections(void **state)
{
	struct world *w = make();
	struct certificate_conf conf = new_pair("private", "DNS:private.example", false),
				third = new_pair("third", "DNS:third.example", false);
	EVP_PKEY *ca_key = new_key(false), *key = new_key(false);
	X509 *ca = new_cert("authority", NULL, ca_key, NULL, NULL),
	     *next = new_cert("authority", NULL, key, NULL, NULL),
	     *x = new_cert("alice", NULL, key, ca, ca_key);
	struct side *s, *public;

	(void)state;
	w->certs[w->certs_n++] = load_with_ca(&conf, ca);
	set_state(w);
	s = add_side(w, 0);
	public = add_side(w, 0);
	SSL_set_tlsext_host_name(s->peer, "Private.example");
	SSL_use_certificate(s->peer, x);
	SSL_use_PrivateKey(s->peer, key);
	assert_true(shake_hands(s) && shake_hands(public));
	assert_int_equal(fit(s, "private.example"), TLS_FITS);
	assert_false(tls_is_outdated(&s->io));
	/* With a third policy, a host that no certificate names is served to none. */
	w->certs[w->certs_n++] = load_with_ca(&third, next);
	set_state(w);
	assert_int_equal(fit(s, "private.example"), TLS_FITS);
	assert_int_equal(fit(s, "other.example"), TLS_MISDIRECTED);
	/* The authority changes. */
	tls_cert_unref(&w->certs[1]);
	w->certs[1] = load_with_ca(&conf, next);
	set_state(w);
	assert_int_equal(fit(s, "private.example"), TLS_OUTDATED);
	assert_true(tls_is_outdated(&s->io));
	assert_int_equal(fit(s, "third.example"), TLS_MISDIRECTED);
	assert_int_equal(fit(public, "private.example"), TLS_MISDIRECTED);
	assert_int_equal(fit(public, "first.example"), TLS_FITS);
	assert_false(tls_is_outdated(&public->io));
	X509_free(x);
	X509_free(ca);
	X509_free(next);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	free_pair(&conf);
	free_pair(&third);
	end(&w);
}

/* A session of one certificate opens no other. */
static void
sessions_stay_with_their_certificate(void **state)
{
	struct world *w = make();
	struct side *s;

	(void)state;
	w->certs[w->certs_n++] = load("second", "DNS:second.example", false);
	set_state(w);
	get_ticket(w, 0);
	assert_true(resumes(w, 0));
	get_ticket(w, 0);
	s = add_side(w, 0);
	SSL_set_tlsext_host_name(s->peer, "second.example");
	SSL_set_session(s->peer, w->session);
	assert_true(shake_hands(s));
	assert_false(SSL_session_reused(s->peer));
	end(&w);
}

/* --- bounds --- */

static void
the_oldest_silent_handshake_makes_room(void **state)
{
	struct world *w = make();
	struct side *sides[5];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(sides); i++)
		sides[i] = add_side(w, 0); /* one more than tls_handshakes */
	loop_once(w->loop, true);
	loop_once(w->loop, true);
	assert_int_equal(sides[0]->end, IO_ERROR);
	assert_int_equal(sides[0]->end_errno, ETIMEDOUT);
	for (i = 1; i < ARRAY_LEN(sides); i++)
		assert_int_equal(sides[i]->end, IO_NOTHING);
	assert_int_equal(counted(w, 0, TLS_VERSION_NONE, TLS_CROWDED), 1);
	assert_true(shake_hands(sides[4]));
	end(&w);
}

/* A client that does not take what its handshake writes counts as silent. */
static void
a_blocked_handshake_makes_room(void **state)
{
	struct world *w = make();
	struct side *first = add_side(w, 0);
	char *fill = xcalloc(1, 1 << 20);
	struct iovec iov = {.iov_base = fill, .iov_len = 1 << 20};
	size_t i;

	(void)state;
	assert_int_equal(io_socket_write(&first->io, &iov, 1), 0); /* as a huge certificate */
	SSL_do_handshake(first->peer);
	loop_once(w->loop, true);
	assert_true(io_is_blocked(&first->io));
	for (i = 0; i < 4; i++)
		add_side(w, 0);
	assert_false(io_is_handshaking(&first->io));
	assert_false(io_is_blocked(&first->io));
	loop_once(w->loop, true);
	loop_once(w->loop, true);
	assert_int_equal(first->end, IO_ERROR);
	assert_int_equal(first->end_errno, ETIMEDOUT);
	assert_int_equal(atomic_load(&tls_counters(w->tls[0])->under_way), 4);
	free(fill);
	end(&w);
}

/* With no budget at all, each round lets one handshake go on. */
static void
handshakes_share_a_budget(void **state)
{
	struct world *w = make();
	struct side *sides[4];
	size_t i, done = 0, before, rounds;

	(void)state;
	w->conf.tls_handshake_budget = 0;
	for (i = 0; i < ARRAY_LEN(sides); i++) {
		sides[i] = add_side(w, 0);
		SSL_do_handshake(sides[i]->peer); /* all have sent their ClientHello */
	}
	for (rounds = 0; done < ARRAY_LEN(sides) && rounds < 20; rounds++) {
		before = done;
		loop_once(w->loop, true);
		for (i = 0, done = 0; i < ARRAY_LEN(sides); i++) {
			char byte;

			done += recv(sides[i]->peer_fd, &byte, 1, MSG_PEEK) == 1;
		}
		assert_true(done <= before + 1);
	}
	assert_int_equal(done, ARRAY_LEN(sides));
	for (i = 0; i < ARRAY_LEN(sides); i++)
		assert_true(shake_hands(sides[i]));
	end(&w);
}

static void
settings_are_checked(void **state)
{
	static const struct {
		const char *ciphers, *groups, *key; /* NULL: all is right */
	} cases[] = {
		{"ECDHE-RSA-AES128-GCM-SHA256", "X25519", NULL},
		{"TLS_AES_128_GCM_SHA256", "X25519", NULL},
		{"TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256:!aNULL", "X25519", NULL},
		{"HIGH:@SECLEVEL=2", "prime256v1:X25519", NULL},
		{"ECDHE-RSA-AES128-GCM-SHA256:NO-SUCH", "X25519", "tls_ciphers"},
		{"TLS_NO_SUCH", "X25519", "tls_ciphers"},
		{"ECDHE-RSA-AES128-GCM-SHA256", "X25519:nothing", "tls_groups"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct activator_conf conf = {.tls_ciphers = xstrdup(cases[i].ciphers),
					      .tls_groups = xstrdup(cases[i].groups)};
		const char *key;
		struct err e = {0};
		int rc = tls_check(&conf, &key, &e);

		if (cases[i].key == NULL)
			assert_string_equal(e.text, "");
		assert_int_equal(rc, cases[i].key == NULL ? 0 : -1);
		if (rc < 0)
			assert_string_equal(key, cases[i].key);
		free(conf.tls_ciphers);
		free(conf.tls_groups);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found),
		cmocka_unit_test(a_name_has_a_certificate_of_each_kind),
		cmocka_unit_test(pairs_with_mistakes_are_refused),
		cmocka_unit_test(ticket_keys_rotate),
		cmocka_unit_test(settings_are_checked),
		cmocka_unit_test(bytes_pass_both_ways),
		cmocka_unit_test(no_common_protocol_is_a_failure),
		cmocka_unit_test(small_records_and_small_reads),
		cmocka_unit_test(much_is_written_in_order),
		cmocka_unit_test(much_is_read_in_order),
		cmocka_unit_test(an_end_is_told_from_a_cut),
		cmocka_unit_test(bytes_behind_a_handshake_are_read),
		cmocka_unit_test(sessions_of_instances_are_resumed),
		cmocka_unit_test(old_sessions_of_instances_are_not_used),
		cmocka_unit_test(half_replaced_files_are_not_used),
		cmocka_unit_test(handshakes_with_instances_share_a_budget),
		cmocka_unit_test(unasked_records_are_no_bytes),
		cmocka_unit_test(renegotiation_is_refused),
		cmocka_unit_test(key_updates_without_data_are_refused),
		cmocka_unit_test(unread_answers_are_bounded),
		cmocka_unit_test(a_read_takes_a_bounded_amount),
		cmocka_unit_test(plain_http_gets_an_answer),
		cmocka_unit_test(any_worker_resumes_for_two_generations),
		cmocka_unit_test(settings_change_beside_connections),
		cmocka_unit_test(client_certificates_are_verified),
		cmocka_unit_test(a_changed_authority_ends_connections),
		cmocka_unit_test(an_empty_subject_has_a_substitute),
		cmocka_unit_test(sessions_stay_with_their_certificate),
		cmocka_unit_test(an_expired_certificate_is_not_resumed),
		cmocka_unit_test(the_oldest_silent_handshake_makes_room),
		cmocka_unit_test(a_blocked_handshake_makes_room),
		cmocka_unit_test(handshakes_share_a_budget),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, set_up_folder, remove_folder);
}
