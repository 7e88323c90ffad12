/* libFuzzer: the records of TLS between OpenSSL as a client and the streams of a listener, or
 * between OpenSSL as an instance and a stream to it, are cut, changed, repeated, left out, put into
 * another order, and mixed with other bytes, and the connection ends at any point (net/tls.c).
 *
 * The first byte says which side the stream is on and which version they speak.  Then come steps of
 * two bytes: what is done, to which of the connections; and how much or what of it.  Random
 * numbers are the same in every run.  At the end:
 *
 *   both      have read bytes that the other has written, in their order, from the first on
 *   both      have read all that was written before an end that the other meant, and have not
 *             taken any other end for one
 *   both      have read all, if nobody has meddled
 *   stream    has turns only because of what its peer does, and leaves no handshake under way */
#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_set_rand_method() */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/net/io_round.h"
#include "activator/net/io_stream.h"
#include "activator/net/tls.h"
#include "activator/net/tls_cert.h"
#include "activator/net/tls_session.h"
#include "activator/net/tls_state.h"
#include "activator/net/tls_trust.h"
#include "common/addr.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/strbuf.h"

#define SIDES 3
#define HANDSHAKES 2 /* at once */
#define STEPS_MOST 60
#define RECORD_HEAD 5
#define KEYS_MOST 16 /* new ones, of a peer that is not taken for an attacker */
#define MUCH 50000
#define SAID_MOST (4 * MUCH)
#define ROUNDS_MOST 20000
#define ALONE_MOST 50 /* rounds in a row in which streams have turns and no peer does anything */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct side {
	struct io io;
	SSL *peer; /* NULL: it is not open */
	int fd;	   /* the peer's */
	bool is_stream_open;
	struct strbuf up, down;	     /* records on their way: to the stream, to the peer */
	struct strbuf said, got;     /* what the peer has written, and the stream has read */
	struct strbuf wrote, heard;  /* what the stream has written, and the peer has read */
	bool has_meddled;	     /* with it: what follows need not arrive */
	bool is_shut, is_eof;	     /* the stream: wrote its end; read the peer's */
	bool is_peer_shut, is_heard; /* the peer: wrote its end; read the stream's */
	bool is_peer_failed, is_fin; /* the peer can do no more; FIN was sent to the stream */
	bool is_deaf;		     /* nothing is read from the stream's socket */
	unsigned keys_n;
};

static struct {
	struct loop *loop;
	struct io_round *round;
	struct tls *tls;
	struct activator_conf conf;
	struct tls_trust *trust;
	struct tls_session *kept; /* of instances */
	struct addr addr;
	SSL_CTX *client, *instance;
	int64_t now;
} world;

static struct side sides[SIDES];
static bool is_instance; /* the peers are instances */
static uint64_t moves;

/* --- numbers that are the same in every run --- */

static uint32_t seed;

static int
fill(unsigned char *buf, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		buf[i] = (unsigned char)(seed >> 24);
	}
	return 1;
}

static int
is_seeded(void)
{
	return 1;
}

/* Each step of a handshake takes half of the budget of a round. */
static int64_t
now(void)
{
	return world.now += CLK_MS / 4;
}

/* --- the world --- */

static char *folder;

static char *
path_of(const char *name)
{
	return xasprintf("%s/%s", folder, name);
}

static FILE *
create(const char *name)
{
	char *path = path_of(name);
	FILE *f = fopen(path, "w");

	CHECK(f != NULL);
	free(path);
	return f;
}

/* Files for the name a.example, signed by itself. */
static void
make_pair(EVP_PKEY **key, X509 **x)
{
	X509_NAME *name;
	X509V3_CTX ctx;
	X509_EXTENSION *names;
	FILE *f;

	*key = EVP_EC_gen("P-256");
	*x = X509_new();
	CHECK(*key != NULL && *x != NULL && X509_set_version(*x, 2) == 1);
	ASN1_INTEGER_set(X509_get_serialNumber(*x), 1);
	X509_gmtime_adj(X509_getm_notBefore(*x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(*x), 86400 * 365);
	X509_set_pubkey(*x, *key);
	name = X509_get_subject_name(*x);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"a", -1, -1, 0);
	X509_set_issuer_name(*x, name);
	X509V3_set_ctx(&ctx, *x, *x, NULL, NULL, 0);
	names = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, "DNS:a.example");
	CHECK(names != NULL && X509_add_ext(*x, names, -1) == 1);
	X509_EXTENSION_free(names);
	CHECK(X509_sign(*x, *key, EVP_sha256()) > 0);
	f = create("a.pem");
	CHECK(PEM_write_X509(f, *x) == 1 && fclose(f) == 0);
	f = create("a.key");
	CHECK(PEM_write_PrivateKey(f, *key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
}

static void
remove_files(void)
{
	char *chain = path_of("a.pem"), *key = path_of("a.key");

	CHECK(unlink(chain) == 0 && unlink(key) == 0 && rmdir(folder) == 0);
	free(chain);
	free(key);
	free(folder);
}

static struct tls_state *
make_state(void)
{
	char name[] = "a";
	struct certificate_conf c = {
		.name = name, .chain = path_of("a.pem"), .key = path_of("a.key")};
	struct limits limits = {.upstream_tls = true, .upstream_ca = c.chain};
	char upstream_name[] = "a.example";
	struct tls_ticket_keys keys;
	struct tls_cert *cert;
	struct tls_state *state;
	const char *key;
	struct err e;

	limits.upstream_name = upstream_name;
	cert = tls_cert_load(&c, &key, &e);
	world.trust = tls_trust_load(&limits, &key, &e);
	CHECK(cert != NULL && world.trust != NULL);
	CHECK(tls_ticket_keys_rotate(&keys) == 0 && tls_ticket_keys_rotate(&keys) == 0);
	state = tls_state_new(&cert, 1, &keys);
	tls_cert_unref(&cert);
	free(c.chain);
	free(c.key);
	return state;
}

static void
on_tail(void *arg)
{
	(void)arg;
	io_round_run(world.round);
	io_round_write(world.round);
}

static void
make_world(void)
{
	static const RAND_METHOD same = {.bytes = fill, .pseudorand = fill, .status = is_seeded};
	static const char *const protocols[] = {"h2", "http/1.1", NULL};
	static const struct tls_use use = {.protocols = protocols, .plain_answer = "TLS\n"};
	static char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256", groups[] = "X25519:prime256v1";
	char template[] = "/tmp/fuzz_tls.XXXXXX";
	EVP_PKEY *key;
	struct err e;
	X509 *x;

	CHECK(RAND_set_rand_method(&same) == 1);
	log_open(LOG_ERROR, LOG_LOGFMT, "fuzz");
	clk_replace(now);
	CHECK(mkdtemp(template) != NULL && addr_set(&world.addr, "127.0.0.1", 1, NULL) == 0);
	folder = xstrdup(template);
	make_pair(&key, &x);
	world.conf = (struct activator_conf){.tls_min_version = TLS_1_2,
					     .tls_handshakes = HANDSHAKES,
					     .tls_handshake_budget = CLK_MS,
					     .tls_ticket_rotation = CLK_S * 3600,
					     .tls_ciphers = ciphers,
					     .tls_groups = groups};
	world.loop = loop_new(&e);
	world.round = io_round_new(world.loop, true);
	loop_on_tail(world.loop, on_tail, NULL);
	world.tls = tls_new(world.loop, &world.conf, &use, &e);
	CHECK(world.tls != NULL);
	tls_set_state(world.tls, make_state());
	world.client = SSL_CTX_new(TLS_client_method());
	world.instance = SSL_CTX_new(TLS_server_method());
	CHECK(SSL_CTX_use_cert_and_key(world.instance, x, key, NULL, 1) == 1);
	X509_free(x);
	EVP_PKEY_free(key);
	remove_files();
}

/* --- the stream's user --- */

static struct side *
side_of(struct io *io)
{
	return container_of(io, struct side, io);
}

static void
close_stream(struct side *s, bool abort)
{
	if (s->is_stream_open)
		io_close(&s->io, abort);
	s->is_stream_open = false;
	s->is_shut |= !abort;
}

static void
read_stream(struct side *s)
{
	char buf[5000];
	ssize_t n;

	while (s->is_stream_open && !s->is_eof && (n = io_read(&s->io, buf, sizeof buf)) != 0) {
		if (n == IO_ERROR)
			close_stream(s, true);
		else if (n == IO_EOF)
			s->is_eof = true;
		else
			strbuf_add(&s->got, buf, (size_t)n);
	}
}

static void
on_ready(struct io *io)
{
	struct side *s = side_of(io);

	if (is_instance && io_is_handshaking(io)) {
		int rc = io_finish_connect(io);

		if (rc < 0)
			close_stream(s, true);
		if (rc != 0)
			return;
	}
	if (io_is_blocked(io) && io->can_write && io_flush(io) < 0)
		close_stream(s, true);
	else
		read_stream(s);
}

static bool
never(struct io *io)
{
	(void)io;
	return false;
}

static bool
is_small(struct io *io)
{
	return side_of(io) == &sides[0];
}

static void
on_unsent(struct io *io, uint32_t token, int error)
{
	CHECK(token == 7);
	if (error != 0)
		io_yield(io);
}

static const struct io_ops ops = {.on_ready = on_ready,
				  .is_new_work = never,
				  .is_small_read_next = is_small,
				  .on_unsent = on_unsent};

static void
stream_writes(struct side *s, size_t n)
{
	static const char bytes[MUCH] = "from the stream";
	struct iovec iov[2] = {{.iov_len = MIN(n, 100)}, {.iov_len = n - MIN(n, 100)}};
	const char *first = bytes, *second = bytes + iov[0].iov_len;
	int rc;

	if (!s->is_stream_open || s->is_shut || io_is_handshaking(&s->io) ||
	    s->wrote.len >= SAID_MOST)
		return;
	memcpy(&iov[0].iov_base, &first, sizeof first);
	memcpy(&iov[1].iov_base, &second, sizeof second);
	strbuf_add(&s->wrote, bytes, n);
	rc = n % 2 == 0 ? io_write(&s->io, iov, 2) : io_write_deferred(&s->io, iov, 2, 7);
	if (rc < 0)
		close_stream(s, true);
}

static void
stream_ends(struct side *s)
{
	if (!s->is_stream_open || io_is_handshaking(&s->io))
		return;
	io_shutdown(&s->io);
	s->is_shut = true;
}

/* --- the peer --- */

/* What OpenSSL has written is on its way. */
static void
take_records(struct side *s)
{
	char buf[20000];
	int n;

	while ((n = BIO_read(SSL_get_wbio(s->peer), buf, sizeof buf)) > 0) {
		strbuf_add(&s->up, buf, (size_t)n);
		moves++;
	}
}

static void
note_peer_end(struct side *s, int rc)
{
	switch (SSL_get_error(s->peer, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		break;
	case SSL_ERROR_ZERO_RETURN:
		s->is_heard = true;
		break;
	default:
		s->is_peer_failed = true;
	}
}

static void
peer_reads(struct side *s)
{
	char buf[20000];
	size_t n;
	int rc;

	if (s->peer == NULL || s->is_peer_failed)
		return;
	ERR_clear_error();
	rc = SSL_do_handshake(s->peer);
	if (rc == 1)
		while ((rc = SSL_read_ex(s->peer, buf, sizeof buf, &n)) == 1)
			strbuf_add(&s->heard, buf, n);
	note_peer_end(s, rc);
	take_records(s);
}

static void
peer_writes(struct side *s, size_t n)
{
	static const char bytes[MUCH] = "from the peer";
	size_t written;

	if (s->is_peer_failed || s->is_peer_shut || !SSL_is_init_finished(s->peer) || n == 0 ||
	    s->said.len >= SAID_MOST)
		return;
	ERR_clear_error();
	/* The write may be refused while a renegotiation waits. */
	if (SSL_write_ex(s->peer, bytes, n, &written) == 1)
		strbuf_add(&s->said, bytes, n);
	else
		s->is_peer_failed = true;
	take_records(s);
}

static void
peer_changes_keys(struct side *s, unsigned how)
{
	if (s->is_peer_failed || s->is_peer_shut || !SSL_is_init_finished(s->peer))
		return;
	ERR_clear_error();
	if (SSL_version(s->peer) < TLS1_3_VERSION) {
		s->has_meddled = true; /* such a client is cut off */
		(void)SSL_renegotiate(s->peer);
	} else {
		(void)SSL_key_update(s->peer, how % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED
							   : SSL_KEY_UPDATE_NOT_REQUESTED);
		s->has_meddled |= ++s->keys_n > KEYS_MOST;
	}
	peer_reads(s);
}

static void
peer_ends(struct side *s)
{
	if (s->is_peer_failed || !SSL_is_init_finished(s->peer))
		return;
	ERR_clear_error();
	s->is_peer_shut |= SSL_shutdown(s->peer) >= 0;
	take_records(s);
}

/* --- what is between --- */

/* The size of the first record of what is on its way, or of what there is of it. */
static size_t
record_size(const struct strbuf *b)
{
	const uint8_t *head = (const uint8_t *)b->data;

	if (b->len < RECORD_HEAD)
		return b->len;
	return MIN((size_t)RECORD_HEAD + ((size_t)head[3] << 8 | head[4]), b->len);
}

static void
put(struct strbuf *b, const struct strbuf *parts, size_t n)
{
	size_t i;

	strbuf_clear(b);
	for (i = 0; i < n; i++)
		strbuf_add(b, strbuf_str(&parts[i]), parts[i].len);
}

/* Change the bytes that are on their way.  more: bytes of the input. */
static void
meddle(struct side *s, struct strbuf *b, unsigned what, unsigned how, const uint8_t *more,
       size_t more_n)
{
	size_t first = record_size(b), second;
	struct strbuf parts[3]; /* the first record, the second, and the rest */
	size_t i;

	s->has_meddled = true;
	for (i = 0; i < ARRAY_LEN(parts); i++)
		strbuf_init(&parts[i], 0);
	strbuf_add(&parts[2], strbuf_str(b) + first, b->len - first);
	second = record_size(&parts[2]);
	strbuf_add(&parts[0], strbuf_str(b), first);
	strbuf_add(&parts[1], strbuf_str(b) + first, second);
	strbuf_clear(&parts[2]);
	strbuf_add(&parts[2], strbuf_str(b) + first + second, b->len - first - second);
	switch (what) {
	case 0:
		if (first > 0)
			parts[0].data[how % first] ^= (char)(1 << how % 8);
		break;
	case 1: /* without the first record */
		strbuf_clear(&parts[0]);
		break;
	case 2: /* twice */
		strbuf_add(&parts[0], strbuf_str(b), first);
		break;
	case 3: { /* in the other order */
		struct strbuf swapped = parts[0];

		parts[0] = parts[1];
		parts[1] = swapped;
		break;
	}
	case 4: /* its end is missing */
		strbuf_clear(&parts[0]);
		strbuf_add(&parts[0], strbuf_str(b), first - MIN(first, (size_t)how));
		break;
	case 5: /* one byte of its head is another */
		if (first >= RECORD_HEAD)
			parts[0].data[how % RECORD_HEAD] = (char)(more_n > 0 ? more[0] : how);
		break;
	default: /* behind other bytes */
		strbuf_clear(&parts[0]);
		strbuf_add(&parts[0], more, more_n);
		strbuf_add(&parts[0], strbuf_str(b), first);
	}
	put(b, parts, ARRAY_LEN(parts));
	for (i = 0; i < ARRAY_LEN(parts); i++)
		strbuf_fini(&parts[i]);
}

/* Pass on n bytes at most.  True: there were some. */
static bool
pass_up(struct side *s, size_t n)
{
	ssize_t sent;

	if (s->fd < 0 || s->up.len == 0 || s->is_fin)
		return false;
	sent = send(s->fd, s->up.data, MIN(n, s->up.len), MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		strbuf_clear(&s->up);
	if (sent <= 0)
		return false;
	strbuf_consume(&s->up, (size_t)sent);
	return true;
}

static bool
pass_down(struct side *s, size_t n)
{
	if (s->peer == NULL || s->down.len == 0)
		return false;
	n = MIN(n, s->down.len);
	CHECK(BIO_write(SSL_get_rbio(s->peer), s->down.data, (int)n) == (int)n);
	strbuf_consume(&s->down, n);
	peer_reads(s);
	return true;
}

static bool
take_down(struct side *s)
{
	char buf[65536];
	ssize_t n;

	if (s->fd < 0 || s->is_deaf)
		return false;
	n = recv(s->fd, buf, sizeof buf, 0);
	if (n > 0)
		strbuf_add(&s->down, buf, (size_t)n);
	return n > 0;
}

/* The peer's end of the connection: the stream gets no more. */
static void
cut(struct side *s, unsigned how)
{
	if (s->fd < 0)
		return;
	moves++;
	s->has_meddled = true;
	if (how % 2 == 0) {
		while (pass_up(s, SIZE_MAX))
			;
		shutdown(s->fd, SHUT_WR);
		s->is_fin = true;
	} else {
		close(s->fd);
		s->fd = -1;
	}
}

/* Let the rounds run until nothing happens any more.  passes: what waits is passed on. */
static void
settle(bool passes)
{
	int quiet = 0, alone = 0, rounds = 0;

	while (quiet < 2) {
		uint64_t turns = io_round_turns(world.round), before = moves;
		size_t i;

		loop_once(world.loop, true);
		for (i = 0; i < SIDES; i++) {
			moves += take_down(&sides[i]);
			if (!passes)
				continue;
			moves += pass_up(&sides[i], SIZE_MAX);
			moves += pass_down(&sides[i], SIZE_MAX);
		}
		turns = io_round_turns(world.round) - turns;
		alone = turns == 0 || moves > before ? 0 : alone + 1;
		CHECK(alone < ALONE_MOST && rounds++ < ROUNDS_MOST);
		quiet = turns == 0 && moves == before ? quiet + 1 : 0;
	}
}

/* --- steps --- */

static void
side_open(struct side *s, int version)
{
	static const int small = 1;
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	s->fd = fds[1];
	s->peer = SSL_new(is_instance ? world.instance : world.client);
	CHECK(s->peer != NULL && SSL_set_max_proto_version(s->peer, version) == 1);
	SSL_set_bio(s->peer, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	CHECK(io_open(&s->io, world.round, fds[0], false, &ops) == 0);
	s->is_stream_open = true;
	if (is_instance) {
		SSL_set_accept_state(s->peer);
		tls_connect(world.tls, &s->io, world.trust, &world.addr, false, &world.kept);
		io_yield(&s->io);
	} else {
		SSL_set_connect_state(s->peer);
		tls_accept(world.tls, &s->io);
	}
	peer_reads(s);
}

static void
side_init(struct side *s)
{
	*s = (struct side){.fd = -1};
	strbuf_init(&s->up, 0);
	strbuf_init(&s->down, 0);
	strbuf_init(&s->said, 0);
	strbuf_init(&s->got, 0);
	strbuf_init(&s->wrote, 0);
	strbuf_init(&s->heard, 0);
}

static void
side_fini(struct side *s)
{
	close_stream(s, true);
	SSL_free(s->peer);
	if (s->fd >= 0)
		close(s->fd);
	strbuf_fini(&s->up);
	strbuf_fini(&s->down);
	strbuf_fini(&s->said);
	strbuf_fini(&s->got);
	strbuf_fini(&s->wrote);
	strbuf_fini(&s->heard);
}

/* Pass on a few bytes at a time, with rounds between. */
static void
trickle(struct side *s, unsigned how)
{
	int i;

	for (i = 0; i < 64; i++) {
		moves += pass_up(s, 1 + how % 16) + pass_down(s, 1 + how % 16);
		settle(false);
	}
}

/* Do one step from data[0..size).  Returns how many bytes it used. */
static size_t
step(const uint8_t *data, size_t size, int version)
{
	unsigned what = data[0] % 24, how = size > 1 ? data[1] : 0;
	struct side *s = &sides[data[0] / 24 % SIDES];
	const uint8_t *more = data + MIN(size, 2);
	size_t more_n = MIN((size_t)how, size - MIN(size, 2));

	if (s->peer == NULL)
		side_open(s, version);
	moves++;
	switch (what) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
	case 5:
		meddle(s, how < 128 ? &s->up : &s->down, what, how % 128, more, more_n);
		break;
	case 6:
		meddle(s, &s->up, what, how, more, more_n);
		return 2 + more_n;
	case 7:
		meddle(s, &s->down, what, how, more, more_n);
		return 2 + more_n;
	case 8:
	case 9:
		trickle(s, how);
		break;
	case 10:
	case 11:
		peer_writes(s, how);
		break;
	case 12:
		peer_writes(s, MUCH);
		break;
	case 13:
		peer_changes_keys(s, how);
		break;
	case 14:
		peer_ends(s);
		break;
	case 15:
		cut(s, how);
		break;
	case 16:
	case 17:
		stream_writes(s, how);
		break;
	case 18:
		stream_writes(s, MUCH);
		break;
	case 19:
		stream_ends(s);
		break;
	case 20:
		s->has_meddled = true;
		close_stream(s, how % 2 == 0);
		break;
	case 21:
		s->is_deaf = !s->is_deaf;
		break;
	case 22: /* one way alone */
		moves += how % 2 == 0 ? pass_up(s, SIZE_MAX) : pass_down(s, SIZE_MAX);
		break;
	default:
		settle(true);
	}
	return 2;
}

/* --- a run --- */

static bool
is_prefix(const struct strbuf *part, const struct strbuf *all)
{
	return part->len <= all->len && memcmp(strbuf_str(part), strbuf_str(all), part->len) == 0;
}

static uint64_t
outcomes(enum tls_outcome o)
{
	const struct tls_counters *c = tls_counters(world.tls);

	return atomic_load(&c->handshakes[TLS_VERSION_NONE][o]);
}

static void
check_side(const struct side *s, bool is_crowded)
{
	CHECK(is_prefix(&s->got, &s->said) && is_prefix(&s->heard, &s->wrote));
	if (s->is_eof)
		CHECK(s->is_peer_shut && s->got.len == s->said.len);
	if (s->is_heard)
		CHECK(s->is_shut && s->heard.len == s->wrote.len);
	if (s->peer == NULL || s->has_meddled || is_crowded)
		return;
	CHECK(s->is_shut || s->is_stream_open);
	if (s->is_stream_open)
		CHECK(!io_is_handshaking(&s->io) && s->got.len == s->said.len);
	CHECK(s->heard.len == s->wrote.len || s->is_shut);
}

static void
run(const uint8_t *data, size_t size, int version)
{
	uint64_t crowded = outcomes(TLS_CROWDED);
	size_t i;
	int steps;

	for (steps = 0; size > 0 && steps < STEPS_MOST; steps++) {
		bool is_joined = data[0] >= 24 * SIDES * 2; /* in one round with the next */
		size_t used = step(data, size, version);

		used = MIN(used, size); /* after step(): MIN evaluates its arguments twice */
		data += used;
		size -= used;
		if (!is_joined)
			settle(false);
	}
	for (i = 0; i < SIDES; i++)
		sides[i].is_deaf = false;
	settle(true);
	for (i = 0; i < SIDES; i++)
		check_side(&sides[i], outcomes(TLS_CROWDED) > crowded);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t i;

	if (size == 0)
		return 0;
	if (world.loop == NULL)
		make_world();
	seed = 1;
	is_instance = data[0] % 2 == 1;
	for (i = 0; i < SIDES; i++)
		side_init(&sides[i]);
	run(data + 1, size - 1, data[0] / 2 % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION);
	for (i = 0; i < SIDES; i++)
		side_fini(&sides[i]);
	tls_session_free(&world.kept);
	loop_once(world.loop, true);
	CHECK(atomic_load(&tls_counters(world.tls)->under_way) == 0);
	ERR_clear_error();
	return 0;
}
