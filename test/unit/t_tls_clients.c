/* tls: what clients have shown: their certificates, and sessions, which any worker resumes, but not
 * under another certificate, authority or time than they were made with. */
#include "test/unit/tls_world.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "activator/net/tls_cert.h"
#include "activator/net/tls_impl.h"
#include "common/loop.h"

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
	assert_null(tls_change_new(w->tls[0], &wrong, &unit_tls_use, &e));
	assert_non_null(strstr(e.text, "tls_ciphers: "));
	conf.tls_min_version = TLS_1_3;
	change = tls_change_new(w->tls[0], &conf, &unit_tls_use, &e);
	assert_non_null(change);
	tls_change_free(&change); /* not made: nothing has changed */
	change = tls_change_new(w->tls[0], &conf, &unit_tls_use, &e);
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

/* --- certificates --- */

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_worker_resumes_for_two_generations),
		cmocka_unit_test(settings_change_beside_connections),
		cmocka_unit_test(client_certificates_are_verified),
		cmocka_unit_test(a_changed_authority_ends_connections),
		cmocka_unit_test(an_empty_subject_has_a_substitute),
		cmocka_unit_test(sessions_stay_with_their_certificate),
		cmocka_unit_test(an_expired_certificate_is_not_resumed),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, set_up_folder, remove_folder);
}
