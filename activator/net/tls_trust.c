#include "activator/net/tls_trust.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activator/net/tls_impl.h"
#include "common/file.h"
#include "common/ref.h"
#include "common/settings.h"
#include "common/strbuf.h"
#include "common/text.h"

/* The authorities of the system are many: all revisions share them. */
static X509_STORE *
system_authorities(void)
{
	static X509_STORE *store; /* of the control side's thread; never freed */

	if (store == NULL && (store = X509_STORE_new()) != NULL)
		(void)X509_STORE_set_default_paths(store); /* none: nothing is trusted */
	CHECK(store != NULL && X509_STORE_up_ref(store) == 1);
	ERR_clear_error();
	return store;
}

static void
digest_authorities(struct tls_trust *t, STACK_OF(X509) * all)
{
	char one[TLS_CERT_DIGEST];
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	EVP_MD_CTX *ctx;
	int i;

	t->authorities = sk_X509_num(all);
	if (t->authorities == 1) {
		tls_digest(sk_X509_value(all, 0), t->authorities_digest);
		return;
	}
	ctx = EVP_MD_CTX_new();
	CHECK(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	for (i = 0; i < t->authorities; i++) {
		tls_digest(sk_X509_value(all, i), one);
		CHECK(EVP_DigestUpdate(ctx, one, strlen(one)) == 1);
	}
	CHECK(EVP_DigestFinal_ex(ctx, bytes, &n) == 1);
	EVP_MD_CTX_free(ctx);
	tls_put_digest(bytes, n, t->authorities_digest);
}

char *
tls_trust_describe(const struct tls_trust *t)
{
	char leaf[TLS_CERT_DIGEST];
	struct strbuf b;

	if (t == NULL)
		return NULL;
	strbuf_init(&b, 0);
	if (t->authorities == 0)
		strbuf_adds(&b, "authorities of the system");
	else if (t->authorities == 1)
		strbuf_addf(&b, "authority sha256:%s", t->authorities_digest);
	else
		strbuf_addf(&b, "%d authorities sha256:%s", t->authorities, t->authorities_digest);
	if (t->leaf != NULL) {
		tls_digest(t->leaf, leaf);
		strbuf_addf(&b, ", certificate sha256:%s", leaf);
	}
	return strbuf_take(&b);
}

static int
load_authorities(struct tls_trust *t, const char *path, struct err *e)
{
	STACK_OF(X509) * all;
	int i;

	t->store = path == NULL ? system_authorities() : X509_STORE_new();
	CHECK(t->store != NULL);
	if (path == NULL)
		return 0;
	all = tls_read_certificates(path, e);
	if (all == NULL)
		return -1;
	for (i = 0; i < sk_X509_num(all); i++)
		CHECK(X509_STORE_add_cert(t->store, sk_X509_value(all, i)) == 1);
	digest_authorities(t, all);
	sk_X509_pop_free(all, X509_free);
	return 0;
}

static int
load(struct tls_trust *t, const struct limits *l, const char **key, struct err *e)
{
	*key = "upstream_ca";
	if (load_authorities(t, l->upstream_ca, e) < 0)
		return -1;
	t->name = text_copy(l->upstream_name);
	if (l->upstream_certificate == NULL)
		return 0;
	*key = "upstream_certificate";
	t->issuers = tls_read_certificates(l->upstream_certificate, e);
	if (t->issuers == NULL)
		return -1;
	t->leaf = sk_X509_shift(t->issuers);
	*key = "upstream_key";
	return tls_read_key(l->upstream_key == NULL ? l->upstream_certificate : l->upstream_key,
			    t->leaf, t->issuers, &t->key, e);
}

static void
add_source(struct strbuf *b, const char *path)
{
	struct stat st = {0};

	if (path != NULL)
		(void)file_stat(path, &st); /* reading it will say what is wrong */
	strbuf_addf(b, "%s %llu %llu %lld %lld.%ld %lld.%ld\n", path == NULL ? "" : path,
		    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
		    (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
		    (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

char *
tls_trust_source(const struct limits *l)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_addf(&b, "%s\n", l->upstream_name == NULL ? "" : l->upstream_name);
	add_source(&b, l->upstream_ca);
	add_source(&b, l->upstream_certificate);
	add_source(&b, l->upstream_key);
	return strbuf_take(&b);
}

bool
tls_trust_is_from(const struct tls_trust *t, const char *source)
{
	return t != NULL && text_equal(t->source, source);
}

struct tls_trust *
tls_trust_load(const struct limits *l, const char **key, struct err *e)
{
	struct tls_trust *t = xcalloc(1, sizeof *t);

	ref_init(&t->refs);
	t->source = tls_trust_source(l);
	if (load(t, l, key, e) < 0)
		tls_trust_unref(&t);
	return t;
}

struct tls_trust *
tls_trust_ref(struct tls_trust *t)
{
	ref_add(&t->refs);
	return t;
}

void
tls_trust_unref(struct tls_trust **tp)
{
	struct tls_trust *t = *tp;

	*tp = NULL;
	if (t == NULL || !ref_drop(&t->refs))
		return;
	X509_STORE_free(t->store);
	EVP_PKEY_free(t->key);
	sk_X509_pop_free(t->issuers, X509_free);
	X509_free(t->leaf);
	free(t->name);
	free(t->source);
	free(t);
}
