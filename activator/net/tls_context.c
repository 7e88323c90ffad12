#include "activator/net/tls_context.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "activator/net/tls.h"
#include "activator/net/tls_impl.h"
#include "activator/net/tls_subject.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/strbuf.h"

/* --- what a handshake asks for --- */

/* The name in the extension server_name (RFC 6066 3); NULL: there is none. */
static const char *
asked_name(SSL *ssl, size_t *n)
{
	const unsigned char *at;
	size_t size;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &at, &size) != 1 || size < 5 ||
	    at[2] != TLSEXT_NAMETYPE_host_name)
		return NULL;
	*n = (size_t)at[3] << 8 | at[4];
	return *n <= size - 5 ? (const char *)at + 5 : NULL;
}

static int
use_cert(SSL *ssl, const struct tls_cert *c)
{
	return SSL_use_cert_and_key(ssl, c->leaf, c->key, c->issuers, 1);
}

/* The handshake ends with an alert where the subject would not fit the field in which it is passed
 * on: a shortened one could name another client. */
static int
on_client_certificate(int is_good, X509_STORE_CTX *store)
{
	char *subject;
	size_t n;

	if (!is_good || X509_STORE_CTX_get_error_depth(store) > 0)
		return is_good;
	subject = tls_subject(X509_STORE_CTX_get_current_cert(store), &n);
	free(subject);
	if (n <= TLS_SUBJECT_MOST)
		return 1;
	log_warn_limited(NULL,
			 "client certificate refused: its subject is too long to be passed on",
			 "bytes=%zu most=%d", n, TLS_SUBJECT_MOST);
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

/* What the client must prove, and with which sessions it may go on. */
static int
use_policy(SSL *ssl, const struct tls_cert *c)
{
	int mode = SSL_VERIFY_NONE;

	if (SSL_set_session_id_context(ssl, c->context, sizeof c->context) != 1)
		return 0;
	if (c->client_store != NULL) {
		mode = SSL_VERIFY_PEER;
		if (c->is_client_required)
			mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
		SSL_set0_CA_list(ssl, SSL_dup_CA_list(c->client_ca_names));
		if (SSL_set1_verify_cert_store(ssl, c->client_store) != 1)
			return 0;
	}
	SSL_set_verify(ssl, mode, on_client_certificate);
	return 1;
}

/* Before anything else is made of the ClientHello: the certificates for its name, and the
 * policy. */
static int
on_client_hello(SSL *ssl, int *alert, void *arg)
{
	const struct tls_context *c = arg;
	struct tls_hello *hello = SSL_get_app_data(ssl);
	const struct tls_entry *entry;
	bool has_policy = false;
	const char *name;
	size_t i, n = 0;

	*alert = SSL_AD_INTERNAL_ERROR;
	if (c->state == NULL)
		return SSL_CLIENT_HELLO_ERROR;
	name = asked_name(ssl, &n);
	entry = tls_state_find(c->state, name == NULL ? "" : name, n, &hello->is_known);
	hello->policy = entry->policy;
	free(hello->host); /* after a HelloRetryRequest there is one already */
	hello->host = xstrndup(name == NULL ? "" : name, n);
	hello->is_allowed = tls_state_allows(c->state, hello->policy, hello->host, n);
	for (i = 0; i < TLS_KINDS; i++) {
		const struct tls_cert *cert = entry->certs[i];

		if (cert == NULL)
			continue;
		if (use_cert(ssl, cert) != 1 || (!has_policy && use_policy(ssl, cert) != 1))
			return SSL_CLIENT_HELLO_ERROR;
		has_policy = true;
	}
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* RFC 6066 3: say whether the name was used. */
static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	const struct tls_hello *hello = SSL_get_app_data(ssl);

	(void)alert;
	(void)arg;
	return hello->is_known ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static int
on_protocols(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
	     unsigned in_n, void *arg)
{
	const struct tls_context *c = arg;
	unsigned char *chosen;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, out_n, c->protocols, c->protocols_n, in, in_n) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2 */
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int
set_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
	struct tls_ticket_key copy = *key; /* the parameters are not const */
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, copy.mac, sizeof copy.mac),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end()};

	return EVP_MAC_CTX_set_params(mac, params);
}

/* Seal a ticket, or open one.  1: with the current key; 2: likewise, or with the one before, and
 * the client gets a new ticket; 0: with none that is known; -1: error.  Clients of TLS 1.3 use a
 * ticket once (RFC 8446 C.4), and so get a new one each time. */
static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	  EVP_MAC_CTX *mac, int is_sealing)
{
	const struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct tls_ticket_keys *keys = tls_state_keys(c->state);
	int i;

	if (is_sealing) {
		const struct tls_ticket_key *key = &keys->v[0];

		memcpy(name, key->name, sizeof key->name);
		return RAND_bytes(iv, EVP_CIPHER_get_iv_length(c->ticket_cipher)) == 1 &&
				       EVP_EncryptInit_ex2(cipher, c->ticket_cipher, key->cipher,
							   iv, NULL) == 1 &&
				       set_mac(mac, key) == 1
			       ? 1
			       : -1;
	}
	for (i = 0; i < TLS_TICKET_KEYS; i++) {
		const struct tls_ticket_key *key = &keys->v[i];

		if (memcmp(name, key->name, sizeof key->name) != 0)
			continue;
		return EVP_DecryptInit_ex2(cipher, c->ticket_cipher, key->cipher, iv, NULL) == 1 &&
				       set_mac(mac, key) == 1
			       ? (SSL_version(ssl) == TLS1_3_VERSION ? 2 : i + 1)
			       : -1;
	}
	return 0;
}

/* A session holds the certificate that its client has shown, and each session that follows it
 * holds the same one: it is resumed for as long as that certificate is valid.  Else the handshake
 * is a full one, and the client has to show another. */
static SSL_TICKET_RETURN
on_opened_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_n,
		 SSL_TICKET_STATUS status, void *arg)
{
	X509 *cert;

	(void)ssl;
	(void)name;
	(void)name_n;
	(void)arg;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	cert = SSL_SESSION_get0_peer(session);
	if (cert != NULL && X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* --- settings --- */

/* Is it a name of our list of ciphers for TLS 1.3? */
static bool
is_suite(const char *name)
{
	return strncmp(name, "TLS_", 4) == 0;
}

/* Set one name alone, to see whether it is known: among others OpenSSL passes over it. */
static bool
is_known_cipher(SSL_CTX *ctx, const char *name)
{
	const char *bare = name + strspn(name, "!+-");

	if (is_suite(name))
		return SSL_CTX_set_ciphersuites(ctx, name) == 1;
	return bare[0] == '@' || SSL_CTX_set_cipher_list(ctx, bare) == 1;
}

static void
append(struct strbuf *list, const char *name)
{
	strbuf_addf(list, "%s%s", list->len == 0 ? "" : ":", name);
}

static int
set_ciphers(SSL_CTX *ctx, const char *names, struct err *e)
{
	char *copy = xstrdup(names), *rest = copy, *name;
	struct strbuf suites, others;
	int rc = 0;

	strbuf_init(&suites, 0);
	strbuf_init(&others, 0);
	while (rc == 0 && (name = strsep(&rest, ":")) != NULL) {
		append(is_suite(name) ? &suites : &others, name);
		if (!is_known_cipher(ctx, name))
			rc = err_set(e, 0, "expected ciphers that OpenSSL knows, got \"%s\"", name);
	}
	if (rc == 0 &&
	    (SSL_CTX_set_ciphersuites(ctx, suites.len > 0 ? strbuf_str(&suites)
							  : TLS_DEFAULT_CIPHERSUITES) != 1 ||
	     SSL_CTX_set_cipher_list(ctx, others.len > 0 ? strbuf_str(&others) : "DEFAULT") != 1))
		rc = err_set(e, 0, "expected ciphers that OpenSSL can use, got \"%s\"", names);
	ERR_clear_error();
	strbuf_fini(&suites);
	strbuf_fini(&others);
	free(copy);
	return rc;
}

static int
set_groups(SSL_CTX *ctx, const char *names, struct err *e)
{
	char *copy = xstrdup(names), *rest = copy, *name;
	int rc = 0;

	while (rc == 0 && (name = strsep(&rest, ":")) != NULL)
		if (SSL_CTX_set1_groups_list(ctx, name) != 1)
			rc = err_set(e, 0, "expected groups that OpenSSL knows, got \"%s\"", name);
	if (rc == 0 && SSL_CTX_set1_groups_list(ctx, names) != 1)
		rc = err_set(e, 0, "expected groups that OpenSSL can use, got \"%s\"", names);
	ERR_clear_error();
	free(copy);
	return rc;
}

static int
set_up(SSL_CTX *ctx, const struct activator_conf *conf, const char **key, struct err *e)
{
	int version = conf->tls_min_version == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;

	*key = "tls_min_version";
	if (SSL_CTX_set_min_proto_version(ctx, version) != 1)
		return tls_error(e, "cannot be set");
	*key = "tls_ciphers";
	if (set_ciphers(ctx, conf->tls_ciphers, e) < 0)
		return -1;
	*key = "tls_groups";
	return set_groups(ctx, conf->tls_groups, e);
}

int
tls_check(const struct activator_conf *conf, const char **key, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int rc;

	CHECK(ctx != NULL);
	rc = set_up(ctx, conf, key, e);
	SSL_CTX_free(ctx);
	return rc;
}

static void
list_protocols(struct tls_context *c, const char *const *p)
{
	c->protocols_n = 0;
	for (; *p != NULL; p++) {
		size_t n = strlen(*p);

		CHECK(n < 256 && c->protocols_n + 1 + n <= sizeof c->protocols);
		c->protocols[c->protocols_n++] = (unsigned char)n;
		memcpy(c->protocols + c->protocols_n, *p, n);
		c->protocols_n += (unsigned)n;
	}
}

static void
set_callbacks(SSL_CTX *ssl, struct tls_context *c)
{
	SSL_CTX_set_app_data(ssl, c);
	SSL_CTX_set_client_hello_cb(ssl, on_client_hello, c);
	SSL_CTX_set_tlsext_servername_callback(ssl, on_server_name);
	SSL_CTX_set_alpn_select_cb(ssl, on_protocols, c);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
	SSL_CTX_set_session_ticket_cb(ssl, NULL, on_opened_ticket, NULL);
}

void
tls_context_set_common(SSL_CTX *ssl)
{
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	/* Sessions are in tickets alone: any worker can resume them, and they take no memory. */
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS); /* idle connections have no buffers */
	SSL_CTX_set_read_ahead(ssl, 1); /* header and body of a record in one read */
}

SSL_CTX *
tls_context_prepare(struct tls_context *c, const struct activator_conf *conf, struct err *e)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
	const char *key;

	CHECK(ssl != NULL);
	set_callbacks(ssl, c);
	tls_context_set_common(ssl);
	SSL_CTX_set_timeout(ssl, (long)(conf->tls_ticket_rotation / CLK_S));
	if (set_up(ssl, conf, &key, e) == 0)
		return ssl;
	err_prefix(e, "%s", key);
	SSL_CTX_free(ssl);
	return NULL;
}

void
tls_context_change(struct tls_context *c, SSL_CTX *ssl, const char *const *protocols)
{
	SSL_CTX_free(c->ssl); /* each handshake has a reference of its own */
	c->ssl = ssl;
	list_protocols(c, protocols);
}

int
tls_context_init(struct tls_context *c, const struct activator_conf *conf,
		 const char *const *protocols, struct err *e)
{
	c->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	CHECK(c->ticket_cipher != NULL);
	list_protocols(c, protocols);
	c->ssl = tls_context_prepare(c, conf, e);
	return c->ssl == NULL ? -1 : 0;
}

void
tls_context_fini(struct tls_context *c)
{
	SSL_CTX_free(c->ssl);
	EVP_CIPHER_free(c->ticket_cipher);
	tls_state_unref(&c->state);
}
