#include "activator/net/tls_cert.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "activator/net/tls_impl.h"
#include "common/file.h"
#include "common/ref.h"
#include "common/settings.h"
#include "common/text.h"

#define FILE_MOST ((size_t)1 << 20)
#define NAME_MOST 253

int
tls_error(struct err *e, const char *fmt, ...)
{
	unsigned long code = ERR_get_error();
	const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	ERR_clear_error();
	if (reason == NULL)
		return err_set(e, 0, "%s", text);
	return err_set(e, 0, "%s: %s", text, reason);
}

/* --- files --- */

/* A file in memory, to be read as PEM; NULL with err. */
static BIO *
open_file(const char *path, char **bytes, struct err *e)
{
	size_t n;

	*bytes = file_read(path, FILE_MOST, &n, e);
	return *bytes == NULL ? NULL : BIO_new_mem_buf(*bytes, (int)n);
}

static void
close_file(BIO *bio, char *bytes, size_t n)
{
	BIO_free(bio);
	if (bytes != NULL) /* it may have held a key */
		OPENSSL_cleanse(bytes, n);
	free(bytes);
}

/* Never ask on a terminal. */
static int
on_passphrase(char *buf, int size, int is_writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)is_writing;
	*(bool *)arg = true;
	return -1;
}

STACK_OF(X509) * tls_read_certificates(const char *path, struct err *e)
{
	STACK_OF(X509) *all = sk_X509_new_null();
	char *bytes;
	BIO *bio = open_file(path, &bytes, e);
	X509 *one;

	CHECK(all != NULL);
	ERR_clear_error();
	while (bio != NULL && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		CHECK(sk_X509_push(all, one) > 0);
		/*
		 * OpenSSL decodes the extensions at the first use and keeps them in the
		 * certificate.  Do it here, before workers share the certificate.  A handshake
		 * refuses a certificate whose extensions are invalid.
		 */
		(void)X509_check_purpose(one, -1, 0);
	}
	if (bio != NULL && (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE ||
			    sk_X509_num(all) == 0)) {
		tls_error(e, "cannot read a certificate in %s", path);
		sk_X509_pop_free(all, X509_free);
		all = NULL;
	} else if (bio == NULL) {
		sk_X509_pop_free(all, X509_free);
		all = NULL;
	}
	ERR_clear_error();
	close_file(bio, bytes, bytes == NULL ? 0 : strlen(bytes));
	return all;
}

static EVP_PKEY *
read_key(const char *path, struct err *e)
{
	bool is_encrypted = false;
	char *bytes;
	BIO *bio = open_file(path, &bytes, e);
	EVP_PKEY *key;

	if (bio == NULL) {
		free(bytes);
		return NULL;
	}
	ERR_clear_error();
	key = PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, &is_encrypted);
	if (is_encrypted)
		err_set(e, 0, "cannot read the key in %s: it is encrypted", path);
	else if (key == NULL)
		tls_error(e, "cannot read a private key in %s", path);
	ERR_clear_error();
	close_file(bio, bytes, strlen(bytes));
	return key;
}

/* Does the key belong to the certificate, and may OpenSSL use both?  It refuses keys and
 * signatures that are too weak. */
static int
check_pair(const char *path, X509 *leaf, EVP_PKEY *key, STACK_OF(X509) * issuers, struct err *e)
{
	static SSL_CTX *judge; /* made once: it takes longer than the check */

	ERR_clear_error();
	if (X509_check_private_key(leaf, key) != 1) {
		ERR_clear_error();
		return err_set(e, 0, "the key in %s does not fit the certificate", path);
	}
	if (judge == NULL)
		judge = SSL_CTX_new(TLS_server_method());
	CHECK(judge != NULL);
	if (SSL_CTX_use_cert_and_key(judge, leaf, key, issuers, 1) != 1)
		return tls_error(e, "the certificate cannot be used");
	return 0;
}

int
tls_read_key(const char *path, X509 *leaf, STACK_OF(X509) * issuers, EVP_PKEY **out, struct err *e)
{
	*out = read_key(path, e);
	return *out == NULL ? -1 : check_pair(path, leaf, *out, issuers, e);
}

/* --- what the certificate says --- */

static int64_t
time_of(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void
add_name(struct tls_cert *c, const ASN1_STRING *s)
{
	const char *text = (const char *)ASN1_STRING_get0_data(s);
	size_t n = (size_t)ASN1_STRING_length(s);

	if (n == 0 || n > NAME_MOST || memchr(text, '\0', n) != NULL)
		return;
	c->names = xrealloc(c->names, (c->names_n + 1) * sizeof *c->names);
	c->names[c->names_n++] = text_lower_copy(text, n);
}

static void
read_names(struct tls_cert *c)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
	int i;

	for (i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		if (name->type == GEN_DNS)
			add_name(c, name->d.dNSName);
	}
	GENERAL_NAMES_free(all);
}

static enum tls_kind
kind_of(const EVP_PKEY *key)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
	case EVP_PKEY_RSA_PSS:
		return TLS_RSA;
	case EVP_PKEY_EC:
		return TLS_EC;
	default:
		return TLS_OTHER;
	}
}

/* --- client certificates --- */

/* A digest over parts. */
static void
digest_of(unsigned char out[32], const void *a, size_t a_n, const void *b, size_t b_n)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned n = 0;

	CHECK(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
	      EVP_DigestUpdate(md, a, a_n) == 1 && EVP_DigestUpdate(md, b, b_n) == 1 &&
	      EVP_DigestFinal_ex(md, out, &n) == 1 && n == 32);
	EVP_MD_CTX_free(md);
}

static void
add_client_ca(struct tls_cert *c, X509 *ca)
{
	X509_NAME *name = X509_NAME_dup(X509_get_subject_name(ca));
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n;

	CHECK(name != NULL && sk_X509_NAME_push(c->client_ca_names, name) > 0 &&
	      X509_STORE_add_cert(c->client_store, ca) == 1 &&
	      X509_digest(ca, EVP_sha256(), digest, &n) == 1);
	digest_of(c->context, c->context, sizeof c->context, digest, n);
}

static int
read_client_ca(struct tls_cert *c, const char *path, struct err *e)
{
	STACK_OF(X509) *all = tls_read_certificates(path, e);
	int i;

	if (all == NULL)
		return -1;
	c->client_store = X509_STORE_new();
	c->client_ca_names = sk_X509_NAME_new_null();
	CHECK(c->client_store != NULL && c->client_ca_names != NULL);
	for (i = 0; i < sk_X509_num(all); i++)
		add_client_ca(c, sk_X509_value(all, i));
	sk_X509_pop_free(all, X509_free);
	return 0;
}

/* The policy is what clients must prove; a session belongs to it and to one certificate. */
static void
identify(struct tls_cert *c)
{
	digest_of(c->context, c->context, sizeof c->context, &c->is_client_required,
		  sizeof c->is_client_required);
	if (c->client_store != NULL)
		memcpy(&c->policy, c->context, sizeof c->policy);
	digest_of(c->context, c->context, sizeof c->context, c->name, strlen(c->name));
}

/* --- loading --- */

static int
load(struct tls_cert *c, const struct certificate_conf *conf, const char **key, struct err *e)
{
	const char *key_file = conf->key == NULL ? conf->chain : conf->key;

	*key = "chain";
	c->issuers = tls_read_certificates(conf->chain, e);
	if (c->issuers == NULL)
		return -1;
	c->leaf = sk_X509_shift(c->issuers);
	c->not_before = time_of(X509_get0_notBefore(c->leaf));
	c->not_after = time_of(X509_get0_notAfter(c->leaf));
	read_names(c);
	if (conf->key != NULL)
		*key = "key";
	if (tls_read_key(key_file, c->leaf, c->issuers, &c->key, e) < 0)
		return -1;
	c->kind = kind_of(c->key);
	*key = "client_ca";
	if (conf->client_ca != NULL && read_client_ca(c, conf->client_ca, e) < 0)
		return -1;
	c->is_client_required = conf->client_certificate == CLIENT_REQUIRED;
	identify(c);
	return 0;
}

struct tls_cert *
tls_cert_load(const struct certificate_conf *conf, const char **key, struct err *e)
{
	struct tls_cert *c = xcalloc(1, sizeof *c);

	ref_init(&c->refs);
	c->name = xstrdup(conf->name);
	if (load(c, conf, key, e) < 0)
		tls_cert_unref(&c);
	return c;
}

struct tls_cert *
tls_cert_ref(struct tls_cert *c)
{
	ref_add(&c->refs);
	return c;
}

void
tls_cert_unref(struct tls_cert **cp)
{
	struct tls_cert *c = *cp;

	*cp = NULL;
	if (c == NULL || !ref_drop(&c->refs))
		return;
	X509_STORE_free(c->client_store);
	sk_X509_NAME_pop_free(c->client_ca_names, X509_NAME_free);
	while (c->names_n > 0)
		free(c->names[--c->names_n]);
	free(c->names);
	EVP_PKEY_free(c->key);
	sk_X509_pop_free(c->issuers, X509_free);
	X509_free(c->leaf);
	free(c->name);
	free(c);
}

const char *
tls_cert_name(const struct tls_cert *c)
{
	return c->name;
}

int64_t
tls_cert_not_before(const struct tls_cert *c)
{
	return c->not_before;
}

void
tls_put_digest(const unsigned char *digest, unsigned n, char out[TLS_CERT_DIGEST])
{
	unsigned i;

	out[0] = '\0';
	for (i = 0; i < MIN(n, (TLS_CERT_DIGEST - 1) / 2u); i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void
tls_digest(const X509 *cert, char out[TLS_CERT_DIGEST])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (X509_digest(cert, EVP_sha256(), bytes, &n) != 1)
		n = 0;
	tls_put_digest(bytes, n, out);
}

void
tls_cert_digest(const struct tls_cert *c, char out[TLS_CERT_DIGEST])
{
	tls_digest(c->leaf, out);
}

int64_t
tls_cert_not_after(const struct tls_cert *c)
{
	return c->not_after;
}

size_t
tls_cert_names(const struct tls_cert *c, const char *const **names)
{
	*names = (const char *const *)c->names;
	return c->names_n;
}
