#include "activator/net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "activator/net/tls_impl.h"
#include "activator/net/tls_stream.h"
#include "activator/net/tls_subject.h"
#include "common/addr.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metric.h"
#include "common/settings.h"

#define RECORD_MOST ((size_t)16 << 10) /* plaintext of a record */
#define SEALED_MOST ((size_t)80 << 10) /* ciphertext that is written at once */
#define STEPS_MOST 64		       /* handshakes that a round lets go on, whatever the budget */
#define READ_MOST ((size_t)256 << 10)  /* ciphertext that one read takes */
#define ANSWERS_MOST ((size_t)16 << 10) /* ciphertext that waits for room and answers messages */
#define MESSAGES_MOST 32		/* of a handshake, in one read and between data */

/* --- the socket, as OpenSSL sees it --- */

/* Requests begin with a letter, records of a handshake with 22. */
static bool
is_plain_http(char first)
{
	return (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z');
}

static void
note_abuse(struct tls_stream *s, enum tls_abuse abuse)
{
	if (!s->is_abusive && !s->is_client)
		metric_add(&s->tls->counters.abuses[abuse], 1);
	s->is_abusive = true;
}

/* OpenSSL has read or written a record or a message of a handshake. */
static void
on_message(int is_written, int version, int type, const void *data, size_t n, SSL *ssl, void *arg)
{
	struct tls_stream *s = arg;

	(void)version;
	(void)data;
	(void)n;
	if (is_written || type != SSL3_RT_HANDSHAKE || s->stream.is_handshaking)
		return;
	if (SSL_version(ssl) < TLS1_3_VERSION)
		note_abuse(s, TLS_ABUSE_RENEGOTIATION);
	else if (++s->messages_n > MESSAGES_MOST)
		note_abuse(s, TLS_ABUSE_MESSAGES);
}

/* The client has left before our first answer, so that no handshake can come of its ClientHello:
 * what that would cost is saved. */
static bool
has_left_early(const struct tls_stream *s)
{
	return s->io->is_hup && s->stream.is_handshaking && !s->has_answered && !s->is_client;
}

static int
bio_read(BIO *bio, char *buf, size_t n, size_t *got)
{
	struct tls_stream *s = BIO_get_data(bio);
	ssize_t r;

	BIO_clear_retry_flags(bio);
	if (s->is_abusive)
		return 0;
	if (s->given_n >= READ_MOST) { /* others have their turn first */
		io_yield(s->io);
		BIO_set_retry_read(bio);
		return 0;
	}
	r = io_socket_read(s->io, buf, n);
	if (r > 0) {
		s->given_n += (size_t)r;
		if (!s->stream.has_begun)
			s->is_plain = is_plain_http(buf[0]);
		s->stream.has_begun = true;
		*got = (size_t)r;
		if (!s->is_plain && has_left_early(s)) {
			s->end = IO_ERROR;
			s->end_errno = ECONNRESET;
			return 0;
		}
		return !s->is_plain;
	}
	if (r == IO_NOTHING) {
		BIO_set_retry_read(bio);
	} else {
		/* Without close_notify before it, the peer did not mean this end. */
		s->end_errno = r == IO_EOF ? ECONNRESET : errno;
		s->end = IO_ERROR;
	}
	return 0;
}

int
tls_flush_sealed(struct tls_stream *s, bool may_defer, uint32_t token)
{
	struct tls *t = s->tls;
	struct iovec iov = {.iov_base = t->sealed, .iov_len = t->sealed_n};

	t->sealed_n = 0;
	if (iov.iov_len == 0)
		return 0;
	return may_defer ? io_socket_write_deferred(s->io, &iov, 1, token)
			 : io_socket_write(s->io, &iov, 1);
}

static int
bio_write(BIO *bio, const char *data, size_t n, size_t *written)
{
	struct tls_stream *s = BIO_get_data(bio);
	struct tls *t = s->tls;
	struct iovec iov = {.iov_len = n};

	BIO_clear_retry_flags(bio);
	s->has_answered = true;
	if (s->is_reading) {
		s->answers_n = io_is_blocked(s->io) ? s->answers_n + n : 0;
		if (s->answers_n > ANSWERS_MOST)
			note_abuse(s, TLS_ABUSE_ANSWERS);
	}
	if (t->sealed_n + n > SEALED_MOST && tls_flush_sealed(s, false, 0) < 0)
		return 0;
	*written = n;
	if (n <= SEALED_MOST) {
		memcpy(t->sealed + t->sealed_n, data, n);
		t->sealed_n += n;
		return 1;
	}
	memcpy(&iov.iov_base, &data, sizeof data);
	return io_socket_write(s->io, &iov, 1) == 0;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *arg)
{
	(void)bio;
	(void)number;
	(void)arg;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *
make_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "io");

	CHECK(m != NULL && BIO_meth_set_read_ex(m, bio_read) == 1 &&
	      BIO_meth_set_write_ex(m, bio_write) == 1 && BIO_meth_set_ctrl(m, bio_ctrl) == 1);
	return m;
}

/* --- making --- */

struct tls *
tls_new(struct loop *loop, const struct activator_conf *conf, const struct tls_use *use,
	struct err *e)
{
	struct tls *t = xcalloc(1, sizeof *t);

	t->loop = loop;
	t->conf = conf;
	t->use = use;
	list_init(&t->silent);
	list_init(&t->queued);
	t->bio = make_bio_method();
	t->sealed = xmalloc(SEALED_MOST);
	t->plain = xmalloc(RECORD_MOST);
	if (tls_context_init(&t->ctx, conf, use->protocols, e) < 0)
		tls_free(&t);
	return t;
}

void
tls_free(struct tls **tp)
{
	struct tls *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	tls_context_fini(&t->ctx);
	SSL_CTX_free(t->client_ctx);
	BIO_meth_free(t->bio);
	free(t->sealed);
	free(t->plain);
	free(t);
}

struct tls_change {
	const struct activator_conf *conf;
	const struct tls_use *use;
	SSL_CTX *ssl;
};

struct tls_change *
tls_change_new(struct tls *t, const struct activator_conf *conf, const struct tls_use *use,
	       struct err *e)
{
	SSL_CTX *ssl = tls_context_prepare(&t->ctx, conf, e);
	struct tls_change *change;

	if (ssl == NULL)
		return NULL;
	change = xcalloc(1, sizeof *change);
	*change = (struct tls_change){.conf = conf, .use = use, .ssl = ssl};
	return change;
}

void
tls_change_free(struct tls_change **cp)
{
	struct tls_change *change = *cp;

	*cp = NULL;
	if (change == NULL)
		return;
	SSL_CTX_free(change->ssl);
	free(change);
}

void
tls_make_change(struct tls *t, struct tls_change **cp)
{
	struct tls_change *change = *cp;

	t->conf = change->conf;
	t->use = change->use;
	tls_context_change(&t->ctx, change->ssl, t->use->protocols);
	change->ssl = NULL;
	tls_change_free(cp);
}

void
tls_move_conf(struct tls *t, const struct activator_conf *conf)
{
	t->conf = conf;
}

void
tls_set_state(struct tls *t, struct tls_state *state)
{
	tls_state_unref(&t->ctx.state);
	t->ctx.state = state;
}

const struct tls_counters *
tls_counters(const struct tls *t)
{
	return &t->counters;
}

/* --- handshakes: whose turn it is --- */

static bool
is_waiting_for_turn(enum tls_place place)
{
	return place == TLS_QUEUED || place == TLS_ADMITTED;
}

static void
note_wait(struct tls_stream *s, enum tls_place next)
{
	if (is_waiting_for_turn(next) && !is_waiting_for_turn(s->place))
		s->queued_ns = clk_now();
	else if (!is_waiting_for_turn(next) && is_waiting_for_turn(s->place))
		s->waited_ns += clk_now() - s->queued_ns;
}

int64_t
tls_waited(const struct io *io)
{
	const struct tls_stream *s = tls_stream_of(io);

	return s->waited_ns + (is_waiting_for_turn(s->place) ? clk_now() - s->queued_ns : 0);
}

static void
move_to(struct tls_stream *s, enum tls_place place)
{
	struct tls *t = s->tls;

	if (s->place == TLS_SILENT || s->place == TLS_QUEUED)
		list_remove(s->place == TLS_SILENT ? &t->silent : &t->queued, &s->node);
	note_wait(s, place);
	s->place = place;
	if (place == TLS_SILENT || place == TLS_QUEUED)
		list_push(place == TLS_SILENT ? &t->silent : &t->queued, &s->node);
}

/* How many steps the budget of a round is expected to allow. */
static size_t
steps_allowed(const struct tls *t)
{
	int64_t n = t->conf->tls_handshake_budget / MAX(t->step_ns, 1);

	return (size_t)MIN(MAX(n, 1), STEPS_MOST);
}

/* At the end of a round: those that have a turn in the next one. */
static void
admit(void *arg)
{
	struct tls *t = arg;
	size_t n = steps_allowed(t);

	t->is_admitting = false;
	while (n-- > 0 && !list_empty(&t->queued)) {
		struct tls_stream *s = container_of(list_first(&t->queued), struct tls_stream,
						    node);

		move_to(s, TLS_ADMITTED);
		io_yield(s->io);
	}
}

/* Those that are admitted call this again in their turn, so that others follow. */
static void
admit_at_end_of_round(struct tls *t)
{
	if (t->is_admitting || list_empty(&t->queued))
		return;
	t->is_admitting = true;
	loop_defer(t->loop, t, admit);
}

/* May a handshake go on in this round? */
static bool
may_step(struct tls_stream *s)
{
	struct tls *t = s->tls;

	if (t->round != loop_round(t->loop)) {
		t->round = loop_round(t->loop);
		t->spent_ns = 0;
	}
	if (s->place == TLS_ADMITTED)
		return true;
	return list_empty(&t->queued) && t->spent_ns < t->conf->tls_handshake_budget &&
	       s->place != TLS_QUEUED;
}

bool
tls_may_step(struct tls_stream *s)
{
	bool may = may_step(s);

	if (!may && s->place != TLS_QUEUED)
		move_to(s, TLS_QUEUED);
	if (!may)
		admit_at_end_of_round(s->tls);
	return may;
}

/* A handshake has gone on, for so long. */
static void
note_step(struct tls *t, int64_t ns)
{
	t->spent_ns += ns;
	t->step_ns += (ns - t->step_ns) / 8;
	admit_at_end_of_round(t);
}

void
tls_wait_for_peer(struct tls_stream *s)
{
	move_to(s, TLS_SILENT);
}

/* --- handshakes: how they end --- */

static enum tls_version
version_of(const SSL *ssl)
{
	switch (SSL_version(ssl)) {
	case TLS1_2_VERSION:
		return TLS_VERSION_1_2;
	case TLS1_3_VERSION:
		return TLS_VERSION_1_3;
	default:
		return TLS_VERSION_NONE;
	}
}

void
tls_end_handshake(struct tls_stream *s, enum tls_outcome outcome)
{
	struct tls *t = s->tls;
	enum tls_version v = outcome == TLS_FULL || outcome == TLS_RESUMED ? version_of(s->ssl)
									   : TLS_VERSION_NONE;

	move_to(s, TLS_NOWHERE);
	s->stream.is_handshaking = false;
	metric_add(&t->counters.under_way, (uint64_t)-1);
	if (!s->is_client)
		metric_add(&t->counters.handshakes[v][outcome], 1);
}

/* The protocol that was chosen, one of use->protocols. */
static const char *
chosen_protocol(const struct tls_stream *s)
{
	const char *const *p;
	const unsigned char *name;
	unsigned n;

	SSL_get0_alpn_selected(s->ssl, &name, &n);
	for (p = s->tls->use->protocols; n > 0 && *p != NULL; p++)
		if (strlen(*p) == n && memcmp(*p, name, n) == 0)
			return *p;
	return NULL;
}

void
tls_fail(struct tls_stream *s, int code)
{
	s->has_failed = true;
	s->end = IO_ERROR;
	s->end_errno = code;
}

/* A client that speaks plain HTTP gets an answer.  What it has sent is read, since closing with
 * unread bytes would send a reset, which can overtake the answer. */
static void
answer_plain(struct tls_stream *s)
{
	const char *text = s->tls->use->plain_answer;
	struct iovec iov = {.iov_len = strlen(text)};
	char rest[4096];
	int turn = 0;

	memcpy(&iov.iov_base, &text, sizeof text);
	if (io_socket_write(s->io, &iov, 1) < 0)
		return;
	shutdown(s->io->fd, SHUT_WR);
	while (turn++ < 16 && io_socket_read(s->io, rest, sizeof rest) > 0)
		s->io->can_read = true;
}

static bool
is_about_client_certificate(void)
{
	switch (ERR_GET_REASON(ERR_peek_last_error())) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return true;
	default:
		return false;
	}
}

static void
handshake_failed(struct tls_stream *s)
{
	if (s->is_plain) {
		tls_end_handshake(s, TLS_PLAIN);
		answer_plain(s);
		tls_fail(s, EPROTO);
	} else if (s->end == IO_ERROR) {
		tls_end_handshake(s, TLS_CLOSED);
		tls_fail(s, s->end_errno);
	} else {
		tls_end_handshake(s, is_about_client_certificate() ? TLS_UNTRUSTED : TLS_FAILED);
		tls_fail(s, EPROTO);
	}
	ERR_clear_error();
}

static void
handshake_done(struct tls_stream *s)
{
	X509 *cert = SSL_get0_peer_certificate(s->ssl);
	size_t n;

	if (cert != NULL)
		s->subject = tls_subject(cert, &n);
	s->stream.protocol = chosen_protocol(s);
	tls_end_handshake(s, SSL_session_reused(s->ssl) ? TLS_RESUMED : TLS_FULL);
}

int
tls_step(struct tls_stream *s, int *code)
{
	int64_t began = clk_now();
	int rc;

	ERR_clear_error();
	s->given_n = 0;
	rc = SSL_do_handshake(s->ssl);
	*code = tls_flush_sealed(s, false, 0) < 0 ? errno : 0;
	note_step(s->tls, clk_now() - began);
	return rc;
}

/* Go on with the handshake, as far as what has come allows it. */
static void
step(struct tls_stream *s)
{
	int code, rc = tls_step(s, &code);

	if (code != 0 && rc == 1) {
		tls_end_handshake(s, TLS_CLOSED);
		tls_fail(s, code);
	} else if (rc == 1) {
		handshake_done(s);
	} else if (SSL_get_error(s->ssl, rc) == SSL_ERROR_WANT_READ) {
		tls_wait_for_peer(s);
	} else {
		handshake_failed(s);
	}
}

/* Is the handshake over?  If not, more has to come, or its turn. */
static bool
handshake(struct tls_stream *s)
{
	if (tls_may_step(s))
		step(s);
	return !s->stream.is_handshaking;
}

/* --- the stream --- */

/* A read has come to an end. */
static void
note_end(struct tls_stream *s)
{
	switch (SSL_get_error(s->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
		s->is_drained = true;
		break;
	case SSL_ERROR_ZERO_RETURN: /* close_notify */
		s->end = IO_EOF;
		break;
	default:
		tls_fail(s, s->end == IO_ERROR ? s->end_errno : EPROTO);
	}
	ERR_clear_error();
}

static size_t
read_records(struct tls_stream *s, char *buf, size_t n)
{
	size_t got = 0, one;

	ERR_clear_error();
	s->is_drained = false;
	s->is_reading = true;
	s->given_n = 0;
	while (got < n) {
		if (SSL_read_ex(s->ssl, buf + got, n - got, &one) != 1) {
			note_end(s);
			break;
		}
		got += one;
		if (!s->io->can_read && !s->is_abusive && !SSL_has_pending(s->ssl)) {
			s->is_drained = true; /* another call would find nothing */
			break;
		}
	}
	s->is_reading = false;
	if (got > 0)
		s->messages_n = 0;
	/* What was read may have asked for an answer, such as a new key. */
	if (tls_flush_sealed(s, false, 0) < 0 && s->end == 0)
		tls_fail(s, errno);
	return got;
}

static ssize_t
tls_read(struct io *io, void *buf, size_t n)
{
	struct tls_stream *s = tls_stream_of(io);
	size_t got = 0;

	if (s->stream.is_handshaking && !handshake(s))
		return IO_NOTHING;
	if (s->end == 0)
		got = read_records(s, buf, n);
	if (got > 0 || s->end == 0)
		return (ssize_t)got;
	s->is_end_read = true;
	errno = s->end_errno;
	return s->end;
}

static bool
tls_has_pending(const struct io *io)
{
	const struct tls_stream *s = tls_stream_of(io);

	if (s->stream.is_handshaking)
		return false;
	if (s->end != 0)
		return !s->is_end_read;
	return !s->is_drained && SSL_has_pending(s->ssl);
}

/* Make one record of what stands at *iov, of small pieces if it is not large enough alone.
 * Advances *iov and *n. */
static int
seal_next(struct tls_stream *s, struct iovec *first, const struct iovec **iov, int *n)
{
	char *plain = s->tls->plain;
	size_t size = 0, written;

	if (first->iov_len >= RECORD_MOST || *n == 1) {
		char *at = first->iov_base;

		size = MIN(first->iov_len, RECORD_MOST);
		first->iov_base = at + size;
		first->iov_len -= size;
		if (first->iov_len == 0 && --*n > 0)
			*first = *++*iov;
		return size == 0 || SSL_write_ex(s->ssl, at, size, &written) == 1 ? 0 : -1;
	}
	while (*n > 0 && size < RECORD_MOST) {
		size_t piece = MIN(first->iov_len, RECORD_MOST - size);

		memcpy(plain + size, first->iov_base, piece);
		size += piece;
		first->iov_base = (char *)first->iov_base + piece;
		first->iov_len -= piece;
		if (first->iov_len == 0 && --*n > 0)
			*first = *++*iov;
	}
	return size == 0 || SSL_write_ex(s->ssl, plain, size, &written) == 1 ? 0 : -1;
}

static int
tls_write(struct io *io, const struct iovec *iov, int n, bool may_defer, uint32_t token)
{
	struct tls_stream *s = tls_stream_of(io);
	struct iovec first;

	if (s->stream.is_handshaking || s->has_failed || s->is_shut) {
		errno = EPIPE;
		return -1;
	}
	if (n == 0)
		return 0;
	ERR_clear_error();
	for (first = *iov; n > 0;)
		if (seal_next(s, &first, &iov, &n) < 0) {
			s->has_failed = true;
			s->tls->sealed_n = 0;
			ERR_clear_error();
			errno = io->is_cut ? errno : EPROTO;
			return -1;
		}
	return tls_flush_sealed(s, may_defer, token);
}

static void
tls_shutdown(struct io *io)
{
	struct tls_stream *s = tls_stream_of(io);

	if (s->stream.is_handshaking || s->has_failed || s->is_shut)
		return;
	s->is_shut = true;
	ERR_clear_error();
	SSL_shutdown(s->ssl);
	ERR_clear_error();
	(void)tls_flush_sealed(s, false, 0);
}

static void
tls_stream_free(struct io_stream *stream)
{
	struct tls_stream *s = container_of(stream, struct tls_stream, stream);

	if (s->stream.is_handshaking)
		tls_end_handshake(s, TLS_CLOSED);
	admit_at_end_of_round(s->tls); /* it may have been admitted */
	SSL_free(s->ssl);
	free(s->hello.host);
	free(s->subject);
	free(s);
}

static const struct io_stream_ops ops = {
	.read = tls_read,
	.has_pending = tls_has_pending,
	.write = tls_write,
	.finish_connect = tls_finish_connect,
	.shutdown = tls_shutdown,
	.free = tls_stream_free,
};

/* --- accepting --- */

/* End a handshake, whatever it waits for; its owner reads that in its next turn, which must not
 * wait for room. */
static void
evict(struct tls_stream *s)
{
	tls_end_handshake(s, TLS_CROWDED);
	tls_fail(s, ETIMEDOUT);
	io_drop_unsent(s->io);
	io_yield(s->io);
}

struct tls_stream *
tls_stream_new(struct tls *t, struct io *io, SSL_CTX *ctx)
{
	struct tls_stream *s = xcalloc(1, sizeof *s);
	BIO *bio = BIO_new(t->bio);

	s->stream.ops = &ops;
	s->stream.is_handshaking = true;
	s->tls = t;
	s->io = io;
	s->ssl = SSL_new(ctx);
	CHECK(s->ssl != NULL && bio != NULL);
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(s->ssl, bio, bio);
	SSL_set_app_data(s->ssl, &s->hello);
	SSL_set_msg_callback(s->ssl, on_message);
	SSL_set_msg_callback_arg(s->ssl, s);
	io_set_stream(io, &s->stream);
	metric_add(&t->counters.under_way, 1);
	return s;
}

bool
tls_is_crowded(const struct tls *t)
{
	return atomic_load_explicit(&t->counters.under_way, memory_order_relaxed) >=
	       t->conf->tls_handshakes;
}

void
tls_accept(struct tls *t, struct io *io)
{
	bool is_full = tls_is_crowded(t);
	struct tls_stream *s = tls_stream_new(t, io, t->ctx.ssl);

	SSL_set_accept_state(s->ssl);
	move_to(s, TLS_SILENT);
	if (is_full) /* the oldest; it may be this one */
		evict(container_of(list_first(&t->silent), struct tls_stream, node));
}

/* --- what it has shown --- */

const char *
tls_client_subject(const struct io *io)
{
	return io_is_encrypted(io) ? tls_stream_of(io)->subject : NULL;
}

static bool
is_same_host(const char *a, size_t a_n, const char *b, size_t b_n)
{
	if (a_n > 0 && a[a_n - 1] == '.')
		a_n--;
	if (b_n > 0 && b[b_n - 1] == '.')
		b_n--;
	return a_n > 0 && a_n == b_n && strncasecmp(a, b, a_n) == 0;
}

enum tls_fit
tls_fit(const struct io *io, const char *host, size_t n)
{
	const struct tls_stream *s;
	const struct tls_hello *h;

	if (!io_is_encrypted(io))
		return TLS_FITS;
	s = tls_stream_of(io);
	h = &s->hello;
	if (tls_state_allows(s->tls->ctx.state, h->policy, host, n))
		return TLS_FITS;
	return h->policy != 0 && h->is_allowed && is_same_host(host, n, h->host, strlen(h->host))
		       ? TLS_OUTDATED
		       : TLS_MISDIRECTED;
}

bool
tls_is_outdated(const struct io *io)
{
	const struct tls_stream *s;
	const struct tls_hello *h;

	if (!io_is_encrypted(io))
		return false;
	s = tls_stream_of(io);
	h = &s->hello;
	return h->is_allowed &&
	       !tls_state_allows(s->tls->ctx.state, h->policy, h->host, strlen(h->host));
}
