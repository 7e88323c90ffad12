/* io: a stream between socket and user, as TLS is one: bytes that are pending inside it, what is
 * written through it, and its end. */
#include "test/unit/io_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/net/io_stream.h"
#include "common/loop.h"

/* It inverts the bits of each byte, and sends records: a byte with the size, then the bytes.  A
 * record of no bytes is the end.  A record is given only when all of it has come. */
struct inverter {
	struct io_stream stream;
	char in[512], out[512]; /* what has come of a record; what it holds and is not read */
	size_t in_n, out_at, out_n;
	bool is_handshake_over, has_ended, is_shut;
};

static int inverters_n;

static struct inverter *
inverter_of(const struct io *io)
{
	return container_of(io->stream, struct inverter, stream);
}

static bool
inverter_has_pending(const struct io *io)
{
	const struct inverter *v = inverter_of(io);

	return v->out_n > 0 || (v->in_n > 0 && v->in_n > (unsigned char)v->in[0]);
}

/* Take one record out of what has come. */
static bool
open_record(struct inverter *v)
{
	size_t n = (unsigned char)v->in[0], i;

	if (v->in_n == 0 || v->in_n < 1 + n)
		return false;
	for (i = 0; i < n; i++)
		v->out[i] = (char)~v->in[1 + i];
	v->out_at = 0;
	v->out_n = n;
	v->has_ended = n == 0;
	v->in_n -= 1 + n;
	memmove(v->in, v->in + 1 + n, v->in_n);
	return true;
}

static ssize_t
inverter_read(struct io *io, void *buf, size_t n)
{
	struct inverter *v = inverter_of(io);
	ssize_t got;

	while (v->out_n == 0 && !open_record(v)) {
		got = io_socket_read(io, v->in + v->in_n, sizeof v->in - v->in_n);
		if (got <= 0)
			return got == IO_EOF ? IO_ERROR : got; /* cut off */
		v->in_n += (size_t)got;
	}
	if (v->has_ended)
		return IO_EOF;
	n = MIN(n, v->out_n);
	memcpy(buf, v->out + v->out_at, n);
	v->out_at += n;
	v->out_n -= n;
	return (ssize_t)n;
}

static int
inverter_write(struct io *io, const struct iovec *iov, int n, bool may_defer, uint32_t token)
{
	char record[256];
	struct iovec out = {.iov_base = record, .iov_len = 1};

	for (; n > 0; n--, iov++) {
		const char *at = iov->iov_base, *end = at + iov->iov_len;

		while (at < end)
			record[out.iov_len++] = (char)~*at++;
	}
	record[0] = (char)(out.iov_len - 1);
	return may_defer ? io_socket_write_deferred(io, &out, 1, token)
			 : io_socket_write(io, &out, 1);
}

static int
inverter_finish_connect(struct io *io)
{
	struct inverter *v = inverter_of(io);
	bool was_over = v->is_handshake_over;

	v->is_handshake_over = true;
	return was_over ? 0 : 1;
}

static void
inverter_shutdown(struct io *io)
{
	struct inverter *v = inverter_of(io);

	if (!v->is_shut)
		(void)!inverter_write(io, NULL, 0, false, 0); /* the peer may be gone */
	v->is_shut = true;
}

static void
inverter_free(struct io_stream *stream)
{
	inverters_n--;
	free(container_of(stream, struct inverter, stream));
}

static void
invert(struct side *s)
{
	static const struct io_stream_ops inverter_ops = {
		.read = inverter_read,
		.has_pending = inverter_has_pending,
		.write = inverter_write,
		.finish_connect = inverter_finish_connect,
		.shutdown = inverter_shutdown,
		.free = inverter_free,
	};
	struct inverter *v = xcalloc(1, sizeof *v);

	v->stream.ops = &inverter_ops;
	inverters_n++;
	io_set_stream(&s->io, &v->stream);
}

/* The peer sends a record. */
static void
send_record(struct side *s, const char *text)
{
	char record[256];
	size_t n = strlen(text), i;

	record[0] = (char)n;
	for (i = 0; i < n; i++)
		record[1 + i] = (char)~text[i];
	assert_int_equal(send(s->peer, record, 1 + n, MSG_NOSIGNAL), 1 + n);
}

static void
assert_record(struct side *s, const char *text)
{
	char seen[256];
	ssize_t n = recv(s->peer, seen, sizeof seen, MSG_DONTWAIT), i;

	assert_int_equal(n, 1 + strlen(text));
	assert_int_equal(seen[0], strlen(text));
	for (i = 1; i < n; i++)
		seen[i] = (char)~seen[i];
	assert_memory_equal(seen + 1, text, strlen(text));
}

/* The socket is drained, and yet there is something to read. */
static void
what_is_pending_in_a_stream_can_be_read(void **state)
{
	struct world *w = make(SIDES, false);
	char part[4];
	size_t i;

	(void)state;
	for (i = 0; i < w->n; i++) {
		invert(&w->sides[i]);
		w->sides[i].is_deaf = i == 0;
		send_record(&w->sides[i], "something");
	}
	loop_once(w->loop, true);
	for (i = 1; i < w->n; i++) {
		assert_int_equal(w->sides[i].got_n, 9);
		assert_memory_equal(w->sides[i].got, "something", 9);
		assert_false(w->sides[i].io.can_read);
	}
	for (i = 0; i < 9; i += sizeof part - 1) {
		assert_true(w->sides[0].io.can_read);
		assert_int_equal(io_read(&w->sides[0].io, part, 3), 3);
		assert_memory_equal(part, "something" + i, 3);
	}
	assert_int_equal(io_read(&w->sides[0].io, part, 3), IO_NOTHING);
	assert_false(w->sides[0].io.can_read);
	assert_true(io_is_quiet(&w->sides[0].io));
	end(&w);
	assert_int_equal(inverters_n, 0);
}

static void
writes_go_through_a_stream(void **state)
{
	struct world *w = make(5, false);
	struct side *plain = &w->sides[0], *shared = &w->sides[1], *gone = &w->sides[2],
		    *shut = &w->sides[3], *cut = &w->sides[4];
	size_t i;

	(void)state;
	for (i = 1; i < w->n; i++)
		invert(&w->sides[i]);
	close(gone->peer);
	gone->peer = -1;
	for (i = 0; i < 3; i++)
		assert_int_equal(send_text(&w->sides[i], "answer"), 0);
	assert_true(io_is_deferred(&shared->io)); /* shares the call with the plain one */
	io_shutdown(&shut->io);
	assert_record(shut, ""); /* says that it is the end */
	assert_int_equal(send_text(cut, "answer"), 0);
	io_drop_unsent(&cut->io);
	io_shutdown(&cut->io);
	assert_seen(cut, ""); /* no end but that of the socket */
	assert_true(io_round_write(w->round));
	assert_seen(plain, "answer");
	assert_record(shared, "answer");
	assert_int_equal(gone->unsent_error, EPIPE);
	assert_int_equal(gone->unsent, strlen("answer"));
	assert_true(gone->io.is_cut);
	assert_false(shared->io.is_cut);
	end(&w);
}

/* Read all that the peer can; returns how many bytes, *has_ended: the end was among them. */
static size_t
drain_to_end(struct side *s, bool *has_ended)
{
	static char data[1 << 16];
	size_t n = 0;
	ssize_t got;

	while ((got = recv(s->peer, data, sizeof data, MSG_DONTWAIT)) > 0)
		n += (size_t)got;
	*has_ended = got == 0;
	return n;
}

/* What a socket has no room for goes before its end, be it the stream's or FIN. */
static void
an_end_waits_for_what_waits_for_room(void **state)
{
	static char much[1 << 21];
	struct iovec iov = {.iov_base = much, .iov_len = sizeof much};
	struct world *w = make(2, true);
	size_t i;

	(void)state;
	invert(&w->sides[1]);
	for (i = 0; i < w->n; i++) {
		struct side *s = &w->sides[i];
		size_t seen = 0, extra = i == 1 ? 1 : 0; /* the record that says the end */
		bool has_ended;

		assert_int_equal(io_socket_write(&s->io, &iov, 1), 0);
		assert_true(io_is_blocked(&s->io));
		io_shutdown(&s->io);
		while (io_is_blocked(&s->io)) {
			seen += drain_to_end(s, &has_ended);
			assert_false(has_ended);
			loop_once(w->loop, true);
			assert_true(io_flush(&s->io) >= 0);
		}
		seen += drain_to_end(s, &has_ended);
		assert_true(has_ended);
		assert_int_equal(seen, sizeof much + extra);
	}
	end(&w);
}

/* A close that is a clean end says so in the stream; an abort, and one that lost bytes, do not. */
static void
a_clean_close_ends_the_stream(void **state)
{
	struct world *w = make(3, false);
	size_t i;

	(void)state;
	for (i = 0; i < w->n; i++)
		invert(&w->sides[i]);
	assert_int_equal(send_text(&w->sides[2], "answer"), 0);
	io_drop_unsent(&w->sides[2].io);
	io_close(&w->sides[0].io, false);
	io_close(&w->sides[1].io, true);
	io_close(&w->sides[2].io, false);
	assert_record(&w->sides[0], "");
	assert_seen(&w->sides[2], "");
	end(&w);
}

static void
a_stream_tells_an_end_from_a_cut(void **state)
{
	struct world *w = make(3, false);
	struct side *ends = &w->sides[0], *cut = &w->sides[1], *connects = &w->sides[2];
	size_t i;

	(void)state;
	for (i = 0; i < w->n; i++)
		invert(&w->sides[i]);
	send_record(ends, "all");
	send_record(ends, "");
	send_record(cut, "not all");
	close(cut->peer);
	cut->peer = -1;
	loop_once(w->loop, true);
	assert_int_equal(ends->got_n, 3);
	assert_int_equal(ends->end, IO_EOF);
	assert_true(ends->io.is_hup);
	assert_int_equal(cut->got_n, 7);
	assert_int_equal(cut->end, IO_ERROR);
	assert_int_equal(io_finish_connect(&connects->io), 1);
	assert_int_equal(io_finish_connect(&connects->io), 0);
	end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_pending_in_a_stream_can_be_read),
		cmocka_unit_test(writes_go_through_a_stream),
		cmocka_unit_test(an_end_waits_for_what_waits_for_room),
		cmocka_unit_test(a_clean_close_ends_the_stream),
		cmocka_unit_test(a_stream_tells_an_end_from_a_cut),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
