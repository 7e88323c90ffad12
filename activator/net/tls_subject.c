#include "activator/net/tls_subject.h"

#include <openssl/bio.h>
#include <openssl/x509v3.h>

/* As "URI:spiffe://a/b" or "DNS:a".  NULL: it cannot stand in a field. */
static char *
text_of_name(const GENERAL_NAME *name)
{
	const ASN1_IA5STRING *value = name->d.ia5;
	const char *text = (const char *)ASN1_STRING_get0_data(value);
	int n = ASN1_STRING_length(value), i;

	if (n == 0 || n > TLS_SUBJECT_MOST - 4)
		return NULL;
	for (i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return NULL;
	return xasprintf("%s:%.*s", name->type == GEN_URI ? "URI" : "DNS", n, text);
}

/* The first subject alternative name of this type that can stand in a field; NULL: none. */
static char *
first_name(const GENERAL_NAMES *all, int type)
{
	char *text = NULL;
	int i;

	for (i = 0; text == NULL && i < sk_GENERAL_NAME_num(all); i++)
		if (sk_GENERAL_NAME_value(all, i)->type == type)
			text = text_of_name(sk_GENERAL_NAME_value(all, i));
	return text;
}

static char *
alternative_subject(X509 *cert)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	char *text = first_name(all, GEN_URI);

	if (text == NULL)
		text = first_name(all, GEN_DNS);
	GENERAL_NAMES_free(all);
	return text;
}

char *
tls_subject(X509 *cert, size_t *n)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *subject = NULL;
	long size;

	CHECK(bio != NULL);
	X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
	size = BIO_get_mem_data(bio, &text);
	*n = (size_t)MAX(size, 0);
	if (*n == 0)
		subject = alternative_subject(cert);
	else if (*n <= TLS_SUBJECT_MOST)
		subject = xstrndup(text, *n);
	BIO_free(bio);
	return subject;
}
