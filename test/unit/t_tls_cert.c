/* tls_cert, tls_state: certificates are read with care and found by name; keys of tickets rotate;
 * and what the settings of TLS may say. */
#include "test/unit/tls_world.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "activator/net/tls_cert.h"

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
	};

	return cmocka_run_group_tests(tests, set_up_folder, remove_folder);
}
