/* tls: a stream keeps what an io promises: all bytes, in order, their end told from a cut; what a
 * client or an instance may ask of it is bounded; handshakes are bounded in number and time. */
#include "test/unit/tls_world.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "activator/net/io_stream.h"
#include "activator/net/tls_impl.h"
#include "activator/revision.h"
#include "common/addr.h"
#include "common/clk.h"
#include "common/loop.h"
#include "common/ref.h"

static void
bytes_pass_both_ways(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(versions); i++) {
		struct world *w = make();
		struct side *s = add_side(w, 0);
		char seen[64];

		SSL_set_max_proto_version(s->peer, versions[i]);
		SSL_set_alpn_protos(s->peer, (const unsigned char *)"\x08http/1.1", 9);
		assert_true(io_is_encrypted(&s->io));
		assert_true(shake_hands(s));
		assert_string_equal(io_protocol(&s->io), "http/1.1");
		peer_says(s, "question");
		assert_int_equal(s->got_n, 8);
		assert_memory_equal(s->got, "question", 8);
		assert_int_equal(say(s, "answer"), 0);
		assert_int_equal(peer_read(s, seen, sizeof seen), 6);
		assert_memory_equal(seen, "answer", 6);
		assert_int_equal(counted(w, 0, (enum tls_version)i, TLS_FULL), 1);
		assert_null(tls_client_subject(&s->io));
		end(&w);
	}
}

static void
no_common_protocol_is_a_failure(void **state)
{
	struct world *w = make();
	struct side *alpn = add_side(w, 0), *none = add_side(w, 0);

	(void)state;
	SSL_set_alpn_protos(alpn->peer, (const unsigned char *)"\x05other", 6);
	assert_false(shake_hands(alpn));
	assert_int_equal(alpn->end, IO_ERROR);
	assert_true(shake_hands(none));
	assert_null(io_protocol(&none->io));
	assert_int_equal(counted(w, 0, TLS_VERSION_NONE, TLS_FAILED), 1);
	assert_int_equal(atomic_load(&tls_counters(w->tls[0])->under_way), 0);
	end(&w);
}

/* Records of one byte each, read in pieces of one byte: nothing stays behind. */
static void
small_records_and_small_reads(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	int i;

	(void)state;
	assert_true(shake_hands(s));
	s->read_size = 1;
	for (i = 0; i < 100; i++)
		assert_int_equal(SSL_write(s->peer, "x", 1), 1);
	loop_once(w->loop, true);
	assert_int_equal(s->got_n, 100);
	assert_false(s->io.can_read);
	assert_int_equal(SSL_write(s->peer, "many bytes of one record", 24), 24);
	loop_once(w->loop, true);
	assert_int_equal(s->got_n, 124);
	assert_int_equal(s->end, IO_NOTHING);
	end(&w);
}

/* More than the socket takes, in pieces that do not fit records, is taken in whole. */
static void
much_is_written_in_order(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	size_t sizes[] = {10, 20000, 0, 3, 500000, 1, 16384}, n = 0, i, k;
	struct iovec iov[ARRAY_LEN(sizes)];
	char *all, *seen;

	(void)state;
	assert_true(shake_hands(s));
	for (i = 0; i < ARRAY_LEN(sizes); i++)
		n += sizes[i];
	all = xmalloc(n);
	seen = xmalloc(n);
	for (k = 0; k < n; k++)
		all[k] = (char)(k * 7 + k / 251);
	for (i = 0, k = 0; i < ARRAY_LEN(sizes); k += sizes[i++])
		iov[i] = (struct iovec){.iov_base = all + k, .iov_len = sizes[i]};
	assert_int_equal(io_write_deferred(&s->io, iov, ARRAY_LEN(iov), 1), 0);
	assert_true(io_is_blocked(&s->io));
	for (k = 0, i = 0; k < n && i < 10000; i++) {
		k += (size_t)peer_read(s, seen + k, n - k);
		loop_once(w->loop, true);
	}
	assert_int_equal(k, n);
	assert_memory_equal(seen, all, n);
	assert_false(io_is_blocked(&s->io));
	free(all);
	free(seen);
	end(&w);
}

static void
much_is_read_in_order(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	size_t n = 1000000, k, at = 0;
	char *all = xmalloc(n);

	(void)state;
	assert_true(shake_hands(s));
	s->read_size = 5000;
	SSL_set_mode(s->peer, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	for (k = 0; k < n; k++)
		all[k] = (char)(k * 11 + k / 253);
	while (at < n) {
		int sent = SSL_write(s->peer, all + at, (int)(n - at));

		at += sent > 0 ? (size_t)sent : 0;
		loop_once(w->loop, true);
	}
	loop_once(w->loop, true);
	assert_int_equal(s->got_n, n);
	assert_memory_equal(s->got, all, n);
	free(all);
	end(&w);
}

static void
an_end_is_told_from_a_cut(void **state)
{
	struct world *w = make();
	struct side *ends = add_side(w, 0), *cut = add_side(w, 0), *closes = add_side(w, 0);
	char seen[16];

	(void)state;
	assert_true(shake_hands(ends) && shake_hands(cut) && shake_hands(closes));
	assert_int_equal(SSL_write(ends->peer, "all", 3), 3);
	SSL_shutdown(ends->peer);
	shutdown(ends->peer_fd, SHUT_WR);
	loop_once(w->loop, true);
	assert_int_equal(ends->got_n, 3);
	assert_int_equal(ends->end, IO_EOF);
	assert_int_equal(SSL_write(cut->peer, "part", 4), 4);
	shutdown(cut->peer_fd, SHUT_WR);
	loop_once(w->loop, true);
	assert_int_equal(cut->got_n, 4);
	assert_int_equal(cut->end, IO_ERROR);
	assert_int_equal(cut->end_errno, ECONNRESET);
	/* And the other way round. */
	assert_int_equal(say(closes, "bye"), 0);
	io_close(&closes->io, false);
	assert_int_equal(peer_read(closes, seen, sizeof seen), 3);
	assert_int_equal(SSL_get_error(closes->peer, 0), SSL_ERROR_ZERO_RETURN);
	io_close(&ends->io, true);
	assert_int_equal(peer_read(ends, seen, sizeof seen), 0);
	assert_int_not_equal(SSL_get_error(ends->peer, 0), SSL_ERROR_ZERO_RETURN);
	end(&w);
}

/* A new key, which the peer may send at any time, is no byte. */
static void
unasked_records_are_no_bytes(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);

	(void)state;
	assert_true(shake_hands(s));
	s->is_deaf = true;
	assert_int_equal(SSL_key_update(s->peer, SSL_KEY_UPDATE_REQUESTED), 1);
	assert_int_equal(SSL_do_handshake(s->peer), 1);
	loop_once(w->loop, true);
	assert_true(s->io.can_read);
	assert_true(io_is_quiet(&s->io));
	assert_int_equal(SSL_write(s->peer, "x", 1), 1);
	loop_once(w->loop, true);
	assert_false(io_is_quiet(&s->io));
	end(&w);
}

static void
renegotiation_is_refused(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);

	(void)state;
	SSL_set_max_proto_version(s->peer, TLS1_2_VERSION);
	assert_true(shake_hands(s));
	assert_int_equal(SSL_renegotiate(s->peer), 1);
	assert_false(shake_hands(s));
	assert_int_equal(s->end, IO_ERROR);
	assert_int_equal(s->end_errno, EPROTO);
	assert_int_equal(abuses(w, TLS_ABUSE_RENEGOTIATION), 1);
	end(&w);
}

/* As fast as the stream reads them, and without reading answers. */
static size_t
ask_for_keys(struct side *s, int how)
{
	size_t sent;

	for (sent = 0; sent < 1000 && s->end == 0; sent++) {
		if (SSL_key_update(s->peer, how) != 1 || SSL_do_handshake(s->peer) != 1)
			break;
		loop_once(s->world->loop, true);
	}
	return sent;
}

static void
key_updates_without_data_are_refused(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0), *much = add_side(w, 0);
	int i;

	(void)state;
	assert_true(shake_hands(s) && shake_hands(much));
	for (i = 0; i < 100; i++) { /* with data, any number is right */
		assert_int_equal(SSL_key_update(s->peer, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		peer_says(s, "x");
	}
	assert_int_equal(s->got_n, 100);
	assert_int_equal(ask_for_keys(s, SSL_KEY_UPDATE_NOT_REQUESTED), 33);
	assert_int_equal(s->end, IO_ERROR);
	assert_int_equal(s->end_errno, EPROTO);
	assert_int_equal(abuses(w, TLS_ABUSE_MESSAGES), 1);
	/* Or with data, but all at once. */
	for (i = 0; i < 100; i++) {
		assert_int_equal(SSL_key_update(much->peer, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_write(much->peer, "x", 1), 1);
	}
	loop_once(w->loop, true);
	assert_int_equal(much->end_errno, EPROTO);
	assert_int_equal(abuses(w, TLS_ABUSE_MESSAGES), 2);
	end(&w);
}

/* A client that takes nothing and asks for answers: what waits for it is bounded. */
static void
unread_answers_are_bounded(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	char *fill = xcalloc(1, 1 << 20);
	struct iovec iov = {.iov_base = fill, .iov_len = 1 << 20};
	size_t before;
	int i;

	(void)state;
	assert_true(shake_hands(s));
	assert_int_equal(io_write(&s->io, &iov, 1), 0);
	assert_true(io_is_blocked(&s->io));
	before = s->io.out.n;
	for (i = 0; i < 5000 && s->end == 0; i++) {
		assert_int_equal(SSL_key_update(s->peer, SSL_KEY_UPDATE_REQUESTED), 1);
		peer_says(s, "x");
	}
	assert_int_equal(s->end_errno, EPROTO);
	assert_int_equal(abuses(w, TLS_ABUSE_ANSWERS), 1);
	assert_in_range(s->io.out.n, before, before + (32 << 10));
	free(fill);
	end(&w);
}

/* More ciphertext than one read takes: the rest is there for the next one. */
static void
a_read_takes_a_bounded_amount(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	int size = 512 << 10, i;
	size_t n = 0, one;
	char *all = xcalloc(1, 16384);
	ssize_t got;

	(void)state;
	assert_true(shake_hands(s));
	s->is_deaf = true;
	SSL_set_mode(s->peer, SSL_MODE_ENABLE_PARTIAL_WRITE);
	setsockopt(s->peer_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	while (SSL_write_ex(s->peer, all, 16384, &one) == 1)
		n += one;
	loop_once(w->loop, true);
	got = io_read(&s->io, s->got, GOT_MOST);
	assert_in_range(got, 1, (256 + 17) << 10);
	s->got_n = (size_t)got;
	s->is_deaf = false;
	for (i = 0; i < 1000 && s->got_n < n; i++)
		loop_once(w->loop, true);
	assert_true(s->got_n >= n);
	assert_int_equal(s->end, 0);
	free(all);
	end(&w);
}

static void
plain_http_gets_an_answer(void **state)
{
	struct world *w = make();
	struct side *s = add_side(w, 0);
	char seen[64];

	(void)state;
	assert_int_equal(write(s->peer_fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	loop_once(w->loop, true);
	assert_int_equal(s->end, IO_ERROR);
	assert_int_equal(read(s->peer_fd, seen, sizeof seen), strlen(unit_tls_use.plain_answer));
	assert_memory_equal(seen, unit_tls_use.plain_answer, strlen(unit_tls_use.plain_answer));
	assert_int_equal(counted(w, 0, TLS_VERSION_NONE, TLS_PLAIN), 1);
	end(&w);
}

/* --- instances --- */

/* No edge tells of bytes that came together with the last message of the handshake. */
static void
bytes_behind_a_handshake_are_read(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(versions); i++) {
		struct world *w = make();
		struct tls_trust *trust;
		SSL_CTX *ctx = new_instance(versions[i], &trust);
		struct side *s = add_instance(w, ctx, trust, NULL);
		int n;

		for (n = 0; n < 50 && SSL_do_handshake(s->peer) != 1; n++)
			loop_once(w->loop, true);
		peer_says(s, "settings");
		assert_int_equal(s->got_n, 8);
		assert_int_equal(s->end, IO_NOTHING);
		end(&w);
		SSL_CTX_free(ctx);
		tls_trust_unref(&trust);
	}
}

/* Is the handshake of a further connection one with the session that was kept? */
static bool
is_resumed(struct world *w, SSL_CTX *ctx, const struct tls_trust *trust, struct tls_session **kept)
{
	struct side *s = add_instance(w, ctx, trust, kept);

	assert_true(shake_hands(s));
	peer_says(s, "tickets come before this");
	assert_int_equal(s->got_n, 24);
	assert_int_equal(SSL_session_reused(s->peer), tls_is_resumed(&s->io));
	return tls_is_resumed(&s->io);
}

/* A further connection to an instance resumes its session, if the instance has to prove the same.
 */
static void
sessions_of_instances_are_resumed(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(versions); i++) {
		struct world *w = make();
		struct tls_session *kept = NULL;
		struct tls_trust *trust, *other;
		SSL_CTX *ctx = new_instance(versions[i], &trust), *again;

		assert_false(is_resumed(w, ctx, trust, &kept));
		assert_non_null(kept);
		assert_true(is_resumed(w, ctx, trust, &kept));
		assert_true(is_resumed(w, ctx, trust, &kept)); /* the ticket is a new one */
		again = new_instance(versions[i], &other);
		assert_false(is_resumed(w, again, other, &kept));
		assert_true(is_resumed(w, again, other, &kept));
		assert_false(is_resumed(w, ctx, trust, &kept));
		tls_session_free(&kept);
		assert_false(is_resumed(w, ctx, trust, &kept));
		tls_session_free(&kept);
		end(&w);
		SSL_CTX_free(ctx);
		SSL_CTX_free(again);
		tls_trust_unref(&trust);
		tls_trust_unref(&other);
	}
}

static int64_t
three_hours_later(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (ts.tv_sec + 3 * 60 * 60) * CLK_S;
}

/* OpenSSL gives a session of TLS 1.2 two hours. */
static void
old_sessions_of_instances_are_not_used(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(versions); i++) {
		struct world *w = make();
		struct tls_session *kept = NULL;
		struct tls_trust *trust;
		SSL_CTX *ctx = new_instance(versions[i], &trust);
		struct addr addr = {0};

		assert_int_equal(addr_set(&addr, "127.0.0.1", 1, NULL), 0);
		assert_false(is_resumed(w, ctx, trust, &kept));
		assert_non_null(kept);
		clk_replace(three_hours_later);
		assert_null(tls_session_take(&kept, trust, &addr, false));
		clk_replace(NULL);
		assert_null(kept);
		end(&w);
		SSL_CTX_free(ctx);
		tls_trust_unref(&trust);
	}
}

static void
replace(const char *path, const char *by)
{
	char *command = xasprintf("cp '%s' '%s.new' && mv '%s.new' '%s'", by, path, path, path);

	assert_int_equal(system(command), 0);
	free(command);
}

/* As the activator does, each time that it looks at the files. */
static void
look_at_files(struct revision *rev)
{
	struct err e;

	if (revision_check_trust(rev) && revision_use_changed_trust(rev, &e) < 0)
		assert_true(e.text[0] != '\0'); /* half of a pair */
}

/* Limits that come while the certificate is replaced, and its key is not yet, leave in use what was
 * read before; so do two looks at such files.  With the key, both are read. */
static void
half_replaced_files_are_not_used(void **state)
{
	struct certificate_conf pair = new_pair("activator", "DNS:activator.example", false),
				next = new_pair("next", "DNS:activator.example", false);
	struct limits limits = {.upstream_tls = true,
				.upstream_ca = pair.chain,
				.upstream_certificate = pair.chain,
				.upstream_key = pair.key};
	struct revision *rev = revision_new("s/v1", 1, NULL, NULL, NULL);
	struct tls_trust *trust, *used;

	(void)state;
	revision_set_limits(rev, &limits);
	trust = atomic_load(&rev->limits->trust);
	assert_non_null(trust);
	used = revision_limits_trust_ref(rev->limits);
	assert_ptr_equal(used, trust);
	replace(pair.chain, next.chain);
	revision_set_limits(rev, &limits);
	assert_ptr_equal(atomic_load(&rev->limits->trust), trust);
	look_at_files(rev);
	look_at_files(rev);
	assert_ptr_equal(atomic_load(&rev->limits->trust), trust);
	replace(pair.key, next.key);
	look_at_files(rev);
	assert_ptr_equal(atomic_load(&rev->limits->trust), trust);
	look_at_files(rev);
	assert_non_null(atomic_load(&rev->limits->trust));
	assert_ptr_not_equal(atomic_load(&rev->limits->trust), trust);
	assert_true(ref_is_single(&used->refs)); /* what was replaced goes with its last user */
	tls_trust_unref(&used);
	limits.upstream_ca = next.chain;
	trust = tls_trust_ref(atomic_load(&rev->limits->trust));
	revision_set_limits(rev, &limits);
	assert_ptr_not_equal(atomic_load(&rev->limits->trust), trust);
	tls_trust_unref(&trust);
	revision_unref(&rev);
	free_pair(&pair);
	free_pair(&next);
}

/* --- bounds --- */

/* Each round lets one handshake go on, until all these peers have got bytes. */
static void
assert_one_a_round(struct world *w, struct side *const *sides, size_t n)
{
	size_t i, done = 0, before, rounds;

	for (rounds = 0; done < n && rounds < 20; rounds++) {
		before = done;
		loop_once(w->loop, true);
		for (i = 0, done = 0; i < n; i++) {
			char byte;

			done += recv(sides[i]->peer_fd, &byte, 1, MSG_PEEK) == 1;
		}
		assert_true(done <= before + 1);
	}
	assert_int_equal(done, n);
}

static void
the_oldest_silent_handshake_makes_room(void **state)
{
	struct world *w = make();
	struct side *sides[5];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(sides); i++)
		sides[i] = add_side(w, 0); /* one more than tls_handshakes */
	loop_once(w->loop, true);
	loop_once(w->loop, true);
	assert_int_equal(sides[0]->end, IO_ERROR);
	assert_int_equal(sides[0]->end_errno, ETIMEDOUT);
	for (i = 1; i < ARRAY_LEN(sides); i++)
		assert_int_equal(sides[i]->end, IO_NOTHING);
	assert_int_equal(counted(w, 0, TLS_VERSION_NONE, TLS_CROWDED), 1);
	assert_true(shake_hands(sides[4]));
	end(&w);
}

/* A client that does not take what its handshake writes counts as silent. */
static void
a_blocked_handshake_makes_room(void **state)
{
	struct world *w = make();
	struct side *first = add_side(w, 0);
	char *fill = xcalloc(1, 1 << 20);
	struct iovec iov = {.iov_base = fill, .iov_len = 1 << 20};
	size_t i;

	(void)state;
	assert_int_equal(io_socket_write(&first->io, &iov, 1), 0); /* as a huge certificate */
	SSL_do_handshake(first->peer);
	loop_once(w->loop, true);
	assert_true(io_is_blocked(&first->io));
	for (i = 0; i < 4; i++)
		add_side(w, 0);
	assert_false(io_is_handshaking(&first->io));
	assert_false(io_is_blocked(&first->io));
	loop_once(w->loop, true);
	loop_once(w->loop, true);
	assert_int_equal(first->end, IO_ERROR);
	assert_int_equal(first->end_errno, ETIMEDOUT);
	assert_int_equal(atomic_load(&tls_counters(w->tls[0])->under_way), 4);
	free(fill);
	end(&w);
}

/* With no budget at all, each round lets one handshake go on. */
static void
handshakes_share_a_budget(void **state)
{
	struct world *w = make();
	struct side *sides[4];
	size_t i;

	(void)state;
	w->conf.tls_handshake_budget = 0;
	for (i = 0; i < ARRAY_LEN(sides); i++) {
		sides[i] = add_side(w, 0);
		SSL_do_handshake(sides[i]->peer); /* all have sent their ClientHello */
	}
	assert_one_a_round(w, sides, ARRAY_LEN(sides));
	for (i = 0; i < ARRAY_LEN(sides); i++)
		assert_true(shake_hands(sides[i]));
	end(&w);
}

/* Handshakes with instances have the budget of handshakes, and are counted. */
static void
handshakes_with_instances_share_a_budget(void **state)
{
	struct world *w = make();
	struct tls_trust *trust;
	SSL_CTX *ctx = new_instance(TLS1_3_VERSION, &trust);
	struct side *sides[4];
	size_t i;

	(void)state;
	w->conf.tls_handshake_budget = 0;
	for (i = 0; i < ARRAY_LEN(sides); i++) {
		assert_false(tls_is_crowded(w->tls[0]));
		sides[i] = add_instance(w, ctx, trust, NULL);
	}
	assert_true(tls_is_crowded(w->tls[0]));
	assert_one_a_round(w, sides, ARRAY_LEN(sides));
	for (i = 0; i < ARRAY_LEN(sides); i++) { /* each waited for its turn, not for its peer */
		int64_t waited = tls_waited(&sides[i]->io);

		assert_true(waited > 0);
		assert_int_equal(tls_waited(&sides[i]->io), waited);
	}
	for (i = 0; i < ARRAY_LEN(sides); i++)
		assert_true(shake_hands(sides[i]));
	assert_int_equal(atomic_load(&tls_counters(w->tls[0])->under_way), 0);
	end(&w);
	SSL_CTX_free(ctx);
	tls_trust_unref(&trust);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_pass_both_ways),
		cmocka_unit_test(no_common_protocol_is_a_failure),
		cmocka_unit_test(small_records_and_small_reads),
		cmocka_unit_test(much_is_written_in_order),
		cmocka_unit_test(much_is_read_in_order),
		cmocka_unit_test(an_end_is_told_from_a_cut),
		cmocka_unit_test(bytes_behind_a_handshake_are_read),
		cmocka_unit_test(sessions_of_instances_are_resumed),
		cmocka_unit_test(old_sessions_of_instances_are_not_used),
		cmocka_unit_test(half_replaced_files_are_not_used),
		cmocka_unit_test(handshakes_with_instances_share_a_budget),
		cmocka_unit_test(unasked_records_are_no_bytes),
		cmocka_unit_test(renegotiation_is_refused),
		cmocka_unit_test(key_updates_without_data_are_refused),
		cmocka_unit_test(unread_answers_are_bounded),
		cmocka_unit_test(a_read_takes_a_bounded_amount),
		cmocka_unit_test(plain_http_gets_an_answer),
		cmocka_unit_test(the_oldest_silent_handshake_makes_room),
		cmocka_unit_test(a_blocked_handshake_makes_room),
		cmocka_unit_test(handshakes_share_a_budget),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, set_up_folder, remove_folder);
}
