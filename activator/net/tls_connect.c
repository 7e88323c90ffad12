/* Connections to instances. */
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#include "activator/net/tls_impl.h"
#include "activator/net/tls_session.h"
#include "activator/net/tls_stream.h"
#include "common/addr.h"
#include "common/clk.h"

/* The instance has given a session for the next connection. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_hello *hello = SSL_get_app_data(ssl);
	struct tls_stream *s = container_of(hello, struct tls_stream, hello);

	if (s->kept == NULL)
		return 0; /* OpenSSL drops it */
	tls_session_keep(s->kept, session, s->trust, s->addr, s->is_h2);
	return 1;
}

static SSL_CTX *
client_ctx(struct tls *t)
{
	if (t->client_ctx != NULL)
		return t->client_ctx;
	t->client_ctx = SSL_CTX_new(TLS_client_method());
	CHECK(t->client_ctx != NULL &&
	      SSL_CTX_set_min_proto_version(t->client_ctx, TLS1_2_VERSION) == 1);
	tls_context_set_common(t->client_ctx);
	SSL_CTX_set_verify(t->client_ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(t->client_ctx,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(t->client_ctx, on_session);
	return t->client_ctx;
}

/* What the certificate has to name. */
static int
expect_name(SSL *ssl, const struct tls_trust *trust, const struct addr *addr)
{
	char text[ADDR_IP_TEXT];

	if (trust->name == NULL)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl),
						     addr_format_host(addr, text));
	return SSL_set1_host(ssl, trust->name) == 1 &&
	       SSL_set_tlsext_host_name(ssl, trust->name) == 1;
}

/* Offer a session of an earlier connection: then the instance proves by it what it has proved
 * there. */
static void
offer_session(struct tls_stream *s)
{
	SSL_SESSION *session = s->kept == NULL
				       ? NULL
				       : tls_session_take(s->kept, s->trust, s->addr, s->is_h2);

	if (session == NULL)
		return;
	(void)SSL_set_session(s->ssl, session); /* else it is a full handshake */
	SSL_SESSION_free(session);
}

void
tls_connect(struct tls *t, struct io *io, const struct tls_trust *trust, const struct addr *addr,
	    bool is_h2, struct tls_session **kept)
{
	static const unsigned char http1[] = "\x08http/1.1", http2[] = "\x02h2";
	struct tls_stream *s = tls_stream_new(t, io, client_ctx(t));

	s->is_client = true;
	SSL_set_connect_state(s->ssl);
	s->is_h2 = is_h2;
	s->trust = trust;
	s->addr = addr;
	s->kept = kept;
	CHECK(SSL_set_alpn_protos(s->ssl, is_h2 ? http2 : http1,
				  is_h2 ? sizeof http2 - 1 : sizeof http1 - 1) == 0);
	/* An address that no certificate can name, of a Unix socket, fails like a wrong name. */
	if (SSL_set1_verify_cert_store(s->ssl, trust->store) != 1 ||
	    expect_name(s->ssl, trust, addr) != 1 ||
	    (trust->leaf != NULL &&
	     SSL_use_cert_and_key(s->ssl, trust->leaf, trust->key, trust->issuers, 1) != 1))
		SSL_set1_host(s->ssl, "invalid");
	else
		offer_session(s);
	ERR_clear_error();
}

/* --- the handshake --- */

/* Why an instance's certificate is refused, or what OpenSSL says of the handshake. */
static const char *
reason_of(const struct tls_stream *s)
{
	long code = SSL_get_verify_result(s->ssl);
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (code != X509_V_OK)
		return X509_verify_cert_error_string(code);
	if (s->end != 0 || reason == NULL)
		return "the instance closed the connection within the TLS handshake: does it speak "
		       "TLS?";
	return reason;
}

/* Has the instance chosen HTTP/2, where it has to?  RFC 9113 3.2. */
static bool
is_protocol_right(const struct tls_stream *s)
{
	const unsigned char *name;
	unsigned n;

	SSL_get0_alpn_selected(s->ssl, &name, &n);
	return !s->is_h2 || (n == 2 && memcmp(name, "h2", 2) == 0);
}

int
tls_finish_connect(struct io *io)
{
	struct tls_stream *s = tls_stream_of(io);
	int rc, code;

	if (!s->stream.is_handshaking)
		return 0;
	if (!tls_may_step(s))
		return 1;
	rc = tls_step(s, &code);
	if (code != 0) {
		tls_end_handshake(s, TLS_CLOSED);
		tls_fail(s, code);
	} else if (rc == 1 && is_protocol_right(s)) {
		tls_end_handshake(s, SSL_session_reused(s->ssl) ? TLS_RESUMED : TLS_FULL);
		return 0;
	} else if (rc == 1) {
		s->failure = "the instance does not offer HTTP/2 (ALPN)";
		tls_end_handshake(s, TLS_FAILED);
		tls_fail(s, EPROTO);
	} else if (SSL_get_error(s->ssl, rc) == SSL_ERROR_WANT_READ) {
		tls_wait_for_peer(s);
		return 1;
	} else {
		s->failure = reason_of(s);
		tls_end_handshake(s, s->end == IO_ERROR ? TLS_CLOSED : TLS_FAILED);
		tls_fail(s, EPROTO);
		ERR_clear_error();
	}
	errno = s->end_errno;
	return -1;
}

const char *
tls_failure(const struct io *io)
{
	return io_is_encrypted(io) ? tls_stream_of(io)->failure : NULL;
}

bool
tls_is_resumed(const struct io *io)
{
	return io_is_encrypted(io) && SSL_session_reused(tls_stream_of(io)->ssl);
}
