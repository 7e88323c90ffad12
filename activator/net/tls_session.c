#include "activator/net/tls_session.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "activator/net/tls_trust.h"
#include "common/addr.h"
#include "common/clk.h"

struct tls_session {
	SSL_SESSION *session;
	struct tls_trust *trust; /* a reference: no other one can have its place in memory */
	struct addr addr;
	bool is_h2;
	int64_t received_ns;
};

void
tls_session_keep(struct tls_session **kept, SSL_SESSION *session, const struct tls_trust *trust,
		 const struct addr *addr, bool is_h2)
{
	struct tls_session *s;

	tls_session_free(kept);
	s = xcalloc(1, sizeof *s);
	s->session = session;
	s->trust = tls_trust_ref((struct tls_trust *)(uintptr_t)trust);
	s->addr = *addr;
	s->is_h2 = is_h2;
	s->received_ns = clk_now();
	*kept = s;
}

/* Its instance's certificate is not looked at again: is it valid still?  And OpenSSL leaves the age
 * of a session of TLS 1.2 to its user. */
static bool
is_valid(const struct tls_session *s)
{
	const X509 *cert = SSL_SESSION_get0_peer(s->session);

	return SSL_SESSION_is_resumable(s->session) == 1 &&
	       clk_now() - s->received_ns < SSL_SESSION_get_timeout(s->session) * CLK_S &&
	       cert != NULL && X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

static bool
is_for(const struct tls_session *s, const struct tls_trust *trust, const struct addr *addr,
       bool is_h2)
{
	return s->trust == trust && s->is_h2 == is_h2 && s->addr.len == addr->len &&
	       memcmp(&s->addr.ss, &addr->ss, addr->len) == 0;
}

SSL_SESSION *
tls_session_take(struct tls_session **kept, const struct tls_trust *trust, const struct addr *addr,
		 bool is_h2)
{
	SSL_SESSION *session;

	if (*kept == NULL)
		return NULL;
	if (!is_for(*kept, trust, addr, is_h2) || !is_valid(*kept)) {
		tls_session_free(kept);
		return NULL;
	}
	session = (*kept)->session;
	SSL_SESSION_up_ref(session);
	if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
		tls_session_free(kept);
	return session;
}

void
tls_session_free(struct tls_session **kept)
{
	struct tls_session *s = *kept;

	*kept = NULL;
	if (s == NULL)
		return;
	SSL_SESSION_free(s->session);
	tls_trust_unref(&s->trust);
	free(s);
}
