#include "activator/access/access_stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clk.h"

struct access_trust {
	SSL_CTX *ctx;
};

static const char *
openssl_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason == NULL ? "unknown cause" : reason;
}

struct access_trust *
access_trust_new(const char *ca, struct err *e)
{
	struct access_trust *t = xcalloc(1, sizeof *t);

	ERR_clear_error();
	t->ctx = SSL_CTX_new(TLS_client_method());
	CHECK(t->ctx != NULL);
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	/* A collector that closes without a close_notify has ended its answer. */
	SSL_CTX_set_options(t->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
	if (ca == NULL ? SSL_CTX_set_default_verify_paths(t->ctx)
		       : SSL_CTX_load_verify_locations(t->ctx, ca, NULL))
		return t;
	err_set(e, EINVAL, "cannot use the certificates of %s: %s", ca == NULL ? "the system" : ca,
		openssl_reason());
	access_trust_free(&t);
	return NULL;
}

void
access_trust_free(struct access_trust **tp)
{
	struct access_trust *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

int
access_stream_wait(int fd, short event, int64_t until_ns)
{
	struct pollfd p = {.fd = fd, .events = event};
	int64_t left = until_ns - clk_now();
	int rc;

	do
		rc = poll(&p, 1, (int)(MAX(left, 0) / CLK_MS));
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		errno = ETIMEDOUT;
	return rc > 0 ? 0 : -1;
}

/* OpenSSL wants to read or to write before the call is made again.  -1 with errno: it does not, or
 * the time is over. */
static int
wait_for_tls(struct access_stream *s, int rc, int64_t until_ns)
{
	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return access_stream_wait(s->fd, POLLIN, until_ns);
	case SSL_ERROR_WANT_WRITE:
		return access_stream_wait(s->fd, POLLOUT, until_ns);
	case SSL_ERROR_SYSCALL:
		if (errno == 0)
			errno = ECONNRESET;
		return -1;
	default:
		errno = EPROTO;
		return -1;
	}
}

/* The certificate must be of this host.  -1: OpenSSL cannot check one for it. */
static int
set_name(SSL *ssl, const char *host)
{
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1) /* it is an address */
		return 0;
	return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1 ? 0 : -1;
}

int
access_stream_begin(struct access_stream *s, int fd, const struct access_trust *trust,
		    const char *host, int64_t until_ns, struct err *e)
{
	long verified;
	int rc;

	*s = (struct access_stream){.fd = fd};
	if (trust == NULL)
		return 0;
	s->ssl = SSL_new(trust->ctx);
	CHECK(s->ssl != NULL && SSL_set_fd(s->ssl, fd) == 1);
	if (set_name(s->ssl, host) < 0) {
		err_set(e, EINVAL, "no certificate can be checked for %s", host);
		access_stream_end(s);
		errno = EINVAL;
		return -1;
	}
	do {
		ERR_clear_error();
		errno = 0;
		rc = SSL_connect(s->ssl);
		if (rc == 1)
			return 0;
	} while (wait_for_tls(s, rc, until_ns) == 0);
	rc = errno;
	verified = SSL_get_verify_result(s->ssl);
	err_set(e, rc, "the TLS handshake with %s has failed: %s", host,
		verified != X509_V_OK ? X509_verify_cert_error_string(verified)
		: rc == EPROTO	      ? openssl_reason()
				      : strerror(rc));
	access_stream_end(s);
	errno = rc;
	return -1;
}

void
access_stream_end(struct access_stream *s)
{
	SSL_free(s->ssl);
	s->ssl = NULL;
}

static int
send_tls(struct access_stream *s, const char *bytes, size_t n, int64_t until_ns)
{
	size_t at = 0, sent;

	while (at < n) {
		int rc;

		ERR_clear_error();
		errno = 0;
		rc = SSL_write_ex(s->ssl, bytes + at, n - at, &sent);
		if (rc == 1)
			at += sent;
		else if (wait_for_tls(s, rc, until_ns) < 0)
			return -1;
	}
	return 0;
}

int
access_stream_send(struct access_stream *s, const char *bytes, size_t n, int64_t until_ns)
{
	size_t at = 0;

	if (s->ssl != NULL)
		return send_tls(s, bytes, n, until_ns);
	while (at < n) {
		ssize_t sent = send(s->fd, bytes + at, n - at, MSG_NOSIGNAL);

		if (sent > 0)
			at += (size_t)sent;
		else if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		else if (access_stream_wait(s->fd, POLLOUT, until_ns) < 0)
			return -1;
	}
	return 0;
}

static ssize_t
recv_tls(struct access_stream *s, char *bytes, size_t n, int64_t until_ns)
{
	size_t got;
	int rc;

	do {
		ERR_clear_error();
		errno = 0;
		rc = SSL_read_ex(s->ssl, bytes, n, &got);
		if (rc == 1)
			return (ssize_t)got;
		if (SSL_get_error(s->ssl, rc) == SSL_ERROR_ZERO_RETURN)
			return 0;
	} while (wait_for_tls(s, rc, until_ns) == 0);
	return -1;
}

ssize_t
access_stream_recv(struct access_stream *s, char *bytes, size_t n, int64_t until_ns)
{
	ssize_t got;

	if (s->ssl != NULL)
		return recv_tls(s, bytes, n, until_ns);
	while ((got = recv(s->fd, bytes, n, 0)) < 0 && (errno == EAGAIN || errno == EINTR))
		if (access_stream_wait(s->fd, POLLIN, until_ns) < 0)
			return -1;
	return got;
}
