/* h2: heads of HTTP/2 become heads of HTTP/1.1 that mean the same, and what is no request (RFC 9113
 * 8) is reset.  The heads are written by hand, so that they may be wrong. */
#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "activator/http/h2.h"
#include "activator/http/websocket.h"

#define END_STREAM 1
#define ACK 1
#define END_HEADERS 4
#define DATA 0
#define HEADERS 1
#define RST_STREAM 3
#define SETTINGS 4
#define PING 6
#define GOAWAY 7
#define WINDOW_UPDATE 8

struct world {
	struct h2_shared *shared;
	struct h2 *h2;
	char text[4096]; /* of the last head */
	bool is_end, is_too_large;
	char ws_key[25];
	char body[256], trailers[256];
	int heads, ends, closed, glitches, heads_sent;
	uint32_t code;
	const char *out; /* the body of the response */
	size_t out_n;
	/* frames that came: the last of each type */
	int frames[16];
	uint32_t value[16]; /* the first four bytes of their payload */
};

/* --- what the session reports --- */

static void *
on_head(void *arg, int32_t id, const struct h2_head *h)
{
	struct world *t = arg;

	(void)id;
	t->heads++;
	t->is_end = h->is_end;
	t->is_too_large = h->text == NULL;
	memcpy(t->ws_key, h->ws_key, sizeof t->ws_key);
	if (h->text != NULL)
		snprintf(t->text, sizeof t->text, "%s", h->text);
	free(h->text);
	return t;
}

static void
on_data(void *arg, void *stream, const char *data, size_t n)
{
	struct world *t = arg;

	assert_ptr_equal(stream, t);
	strncat(t->body, data, n);
}

static void
on_end(void *arg, void *stream, char *trailers)
{
	struct world *t = arg;

	(void)stream;
	t->ends++;
	if (trailers != NULL)
		snprintf(t->trailers, sizeof t->trailers, "%s", trailers);
	free(trailers);
}

static void
on_closed(void *arg, void *stream, uint32_t code)
{
	struct world *t = arg;

	(void)stream;
	t->closed++;
	t->code = code;
}

static size_t
on_ready(void *arg, void *stream, size_t n, enum h2_left *left)
{
	struct world *t = arg;
	size_t got = MIN(n, t->out_n);

	assert_ptr_equal(stream, t);
	*left = t->out_n == got ? H2_END : H2_MORE;
	return got;
}

static void
on_read(void *arg, void *stream, char *buf, size_t n)
{
	struct world *t = arg;

	assert_ptr_equal(stream, t);
	assert_true(n <= t->out_n);
	memcpy(buf, t->out, n);
	t->out += n;
	t->out_n -= n;
}

static void
on_glitch(void *arg)
{
	((struct world *)arg)->glitches++;
}

static void
nothing(void *arg)
{
	(void)arg;
}

static void
on_head_sent(void *arg, void *stream)
{
	struct world *t = arg;

	assert_ptr_equal(stream, t);
	t->heads_sent++;
}

static uint64_t
on_random(void *arg)
{
	(void)arg;
	return UINT64_C(0x0706050403020100);
}

static bool
may_send_on(void *arg, void *stream)
{
	(void)arg;
	(void)stream;
	return false;
}

static const struct h2_ops ops = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_closed = on_closed,
	.ready = on_ready,
	.read = on_read,
	.on_glitch = on_glitch,
	.on_head_sent = on_head_sent,
	.may_send_on = may_send_on,
	.on_progress = nothing,
	.on_pong = nothing,
	.random = on_random,
};

/* --- the client --- */

static size_t
put_frame(char *out, int type, int flags, uint32_t id, const char *payload, size_t n)
{
	char head[9] = {(char)(n >> 16),  (char)(n >> 8),  (char)n,
			(char)type,	  (char)flags,	   (char)(id >> 24),
			(char)(id >> 16), (char)(id >> 8), (char)id};

	memcpy(out, head, 9);
	memcpy(out + 9, payload, n);
	return n + 9;
}

static void
send_frame(struct world *t, int type, int flags, uint32_t id, const char *payload, size_t n)
{
	char buf[8192];

	assert_true(n + 9 <= sizeof buf);
	assert_int_equal(h2_feed(t->h2, buf, put_frame(buf, type, flags, id, payload, n)), 0);
}

/* fields: "name=value;name=value…", each a literal that is not indexed (RFC 7541 6.2.2). */
static void
send_head(struct world *t, uint32_t id, const char *fields, int flags)
{
	char block[8192];
	size_t n = 0;

	while (*fields != '\0') {
		size_t name_n = 1 + strcspn(fields + 1, "=");
		size_t value_n = strcspn(fields + name_n + 1, ";");

		assert_true(name_n < 127 && value_n < 127);
		block[n++] = 0;
		block[n++] = (char)name_n;
		memcpy(block + n, fields, name_n);
		n += name_n;
		block[n++] = (char)value_n;
		memcpy(block + n, fields + name_n + 1, value_n);
		n += value_n;
		fields += name_n + 1 + value_n;
		fields += *fields == ';';
	}
	send_frame(t, HEADERS, END_HEADERS | flags, id, block, n);
}

/* Take what the server has to send, and note it. */
static void
take_frames(struct world *t)
{
	static char buf[1 << 16];
	ssize_t n = h2_write(t->h2, buf, sizeof buf);
	size_t at = 0;

	assert_true(n >= 0);
	while (at < (size_t)n) {
		const unsigned char *f = (const unsigned char *)buf + at;
		size_t size = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];

		t->frames[f[3]]++;
		if (size >= 4)
			t->value[f[3]] = (uint32_t)f[9] << 24 | (uint32_t)f[10] << 16 |
					 (uint32_t)f[11] << 8 | f[12];
		at += 9 + size;
	}
}

static struct world *
make(uint32_t header_list)
{
	const struct h2_conf conf = {
		.streams = 10, .window = 1000, .conn_window = 1 << 20, .header_list = header_list};
	struct world *t = xcalloc(1, sizeof *t);

	t->shared = h2_shared_new();
	t->h2 = h2_new(&conf, t->shared, &ops, t);
	assert_int_equal(h2_feed(t->h2, H2_PREFACE, strlen(H2_PREFACE)), 0);
	send_frame(t, SETTINGS, 0, 0, "", 0);
	take_frames(t);
	send_frame(t, SETTINGS, ACK, 0, "", 0);
	t->glitches = 0;
	memset(t->frames, 0, sizeof t->frames);
	return t;
}

static void
end(struct world **tp)
{
	h2_free(&(*tp)->h2);
	h2_shared_free(&(*tp)->shared);
	free(*tp);
	*tp = NULL;
}

#define GET ":method=GET;:scheme=http;:authority=a;:path=/"
#define POST ":method=POST;:scheme=http;:authority=a;:path=/"
#define CONNECT ":method=CONNECT;:scheme=http;:authority=a;:path=/c;:protocol="

static const struct {
	const char *fields;
	int flags;
	const char *text; /* NULL: the stream is reset */
} heads[] = {
	{GET, END_STREAM, "GET / HTTP/1.1\r\nhost: a\r\n\r\n"},
	{GET ";x=1;y=", END_STREAM, "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\ny: \r\n\r\n"},
	{GET ";cookie=a=1;x=2;cookie=b=2", END_STREAM,
	 "GET / HTTP/1.1\r\nhost: a\r\nx: 2\r\ncookie: a=1; b=2\r\n\r\n"},
	{GET ";host=A", END_STREAM, "GET / HTTP/1.1\r\nhost: a\r\n\r\n"},
	{GET ";host=b", END_STREAM, NULL},
	{":method=GET;:scheme=http;:path=/;host=b", END_STREAM,
	 "GET / HTTP/1.1\r\nhost: b\r\n\r\n"},
	{POST, 0, "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"},
	{POST ";content-length=3", 0, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n"},
	{POST ";content-length=0", END_STREAM,
	 "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"},
	{POST, END_STREAM, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"},
	{POST ";content-length=3", END_STREAM, NULL},
	{GET ";te=trailers", END_STREAM, "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n"},
	{GET ";te=gzip", END_STREAM, NULL},
	{GET ";connection=x", END_STREAM, NULL},
	{GET ";transfer-encoding=chunked", 0, NULL},
	{GET ";X=1", END_STREAM, NULL},
	{GET ";x y=1", END_STREAM, NULL},
	{GET ";x=1\r\n", END_STREAM, NULL},
	{GET ";x= 1", END_STREAM, NULL},
	{GET ";:x=1", END_STREAM, NULL},
	{":method=G T;:scheme=http;:authority=a;:path=/", END_STREAM, NULL},
	{":method=GET;:scheme=http;:authority=a;:path=/ x", END_STREAM, NULL},
	{":method=GET;:scheme=http;:authority=a b;:path=/", END_STREAM, NULL},
	{":method=OPTIONS;:scheme=http;:authority=a;:path=*", END_STREAM,
	 "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n"},
	{":method=CONNECT;:authority=a:1", 0,
	 "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\ntransfer-encoding: chunked\r\n\r\n"},
	{CONNECT "websocket;sec-websocket-key=x;sec-websocket-version=13", 0,
	 "GET /c HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\nconnection: upgrade\r\n"
	 "upgrade: websocket\r\nsec-websocket-key: AAECAwQFBgcAAQIDBAUGBw==\r\n\r\n"},
	{CONNECT "other", 0, "CONNECT a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"},
};

static void
heads_become_heads_of_http_1(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(heads); i++) {
		struct world *t = make(65536);

		send_head(t, 1, heads[i].fields, heads[i].flags);
		take_frames(t);
		if (heads[i].text == NULL) {
			if (t->frames[RST_STREAM] != 1 || t->value[RST_STREAM] != H2_PROTOCOL_ERROR)
				fail_msg("not reset: %s", heads[i].fields);
			assert_int_equal(t->heads, 0);
			if (t->glitches != 1)
				fail_msg("%d glitches: %s", t->glitches, heads[i].fields);
		} else {
			if (t->frames[RST_STREAM] != 0)
				fail_msg("reset: %s", heads[i].fields);
			assert_string_equal(t->text, heads[i].text);
			assert_int_equal(t->is_end, heads[i].flags & END_STREAM);
		}
		end(&t);
	}
}

static void
bodies_and_trailers(void **state)
{
	struct world *t = make(65536);

	(void)state;
	send_head(t, 1, POST, 0);
	send_frame(t, DATA, 0, 1, "abc", 3);
	assert_string_equal(t->body, "abc");
	send_head(t, 1, "x-sum=7", END_STREAM);
	assert_int_equal(t->ends, 1);
	assert_string_equal(t->trailers, "x-sum: 7\r\n");
	end(&t);
}

/* The stream's window opens by what was consumed; the connection's at once. */
static void
windows(void **state)
{
	char body[1000] = {0};
	struct world *t = make(65536);

	(void)state;
	send_head(t, 1, POST, 0);
	send_frame(t, DATA, 0, 1, body, sizeof body);
	take_frames(t);
	assert_int_equal(t->frames[WINDOW_UPDATE], 0);
	h2_consumed(t->h2, 1, 600);
	take_frames(t);
	assert_int_equal(t->frames[WINDOW_UPDATE], 1);
	assert_int_equal(t->value[WINDOW_UPDATE], 600);
	h2_set_window(t->h2, 1, 5000);
	take_frames(t);
	assert_int_equal(t->value[WINDOW_UPDATE], 4000);
	end(&t);
}

static void
responses(void **state)
{
	static const char fields[] = "Content-Type: text/plain\r\nX:1\r\n";
	struct world *t = make(65536);

	(void)state;
	t->out = "hello";
	t->out_n = 5;
	send_head(t, 1, GET, END_STREAM);
	assert_int_equal(h2_respond(t->h2, 1, 200, fields, strlen(fields), true), 0);
	take_frames(t);
	assert_int_equal(t->frames[HEADERS], 1);
	assert_int_equal(t->frames[DATA], 1);
	assert_int_equal(t->closed, 1);
	assert_int_equal(t->code, H2_NO_ERROR);
	end(&t);
}

/* A response that ends before its request tells the client to stop (RFC 9113 8.1). */
static void
a_request_that_is_answered_early_is_stopped(void **state)
{
	static const char fields[] = "x: 1\r\n";
	struct world *t = make(65536);

	(void)state;
	send_head(t, 1, POST, 0);
	assert_int_equal(h2_respond(t->h2, 1, 413, fields, strlen(fields), false), 0);
	take_frames(t);
	assert_int_equal(t->frames[RST_STREAM], 1);
	assert_int_equal(t->value[RST_STREAM], H2_NO_ERROR);
	assert_int_equal(t->glitches, 0);
	end(&t);
}

static void
heads_are_bounded(void **state)
{
	struct world *t = make(1024);
	char fields[2048] = GET;
	int i;

	(void)state;
	for (i = 0; i < 30; i++)
		strcat(fields, ";x-a=1");
	send_head(t, 1, fields, END_STREAM);
	assert_true(t->is_too_large);
	end(&t);
}

static void
glitches(void **state)
{
	struct world *t = make(65536);

	(void)state;
	send_frame(t, PING, 0, 0, "12345678", 8);
	send_frame(t, SETTINGS, 0, 0, "", 0);
	send_frame(t, WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
	send_head(t, 1, POST, 0);
	send_frame(t, DATA, 0, 1, "", 0);
	send_frame(t, PING, ACK, 0, "12345678", 8); /* answers no PING */
	assert_int_equal(t->glitches, 5);
	send_frame(t, WINDOW_UPDATE, 0, 0, "\0\1\0\0", 4);
	send_frame(t, DATA, 0, 1, "x", 1);
	assert_int_equal(t->glitches, 5);
	end(&t);
}

static void
an_orderly_end_has_two_goaways(void **state)
{
	struct world *t = make(65536);

	(void)state;
	send_head(t, 1, GET, END_STREAM);
	h2_begin_goaway(t->h2);
	take_frames(t);
	assert_int_equal(t->frames[GOAWAY], 1);
	assert_int_equal(t->value[GOAWAY], 0x7fffffff);
	assert_int_equal(t->frames[PING], 1);
	send_head(t, 3, GET, END_STREAM);
	assert_int_equal(t->heads, 2);
	h2_goaway(t->h2);
	take_frames(t);
	assert_int_equal(t->frames[GOAWAY], 2);
	assert_int_equal(t->value[GOAWAY], 3);
	assert_false(h2_is_over(t->h2));
	h2_reset(t->h2, 1, H2_CANCEL);
	h2_reset(t->h2, 3, H2_CANCEL);
	take_frames(t);
	assert_true(h2_is_over(t->h2));
	assert_int_equal(h2_error(t->h2), H2_NO_ERROR);
	end(&t);
}

static void
what_breaks_the_rules_ends_the_connection(void **state)
{
	struct world *t = make(65536);

	(void)state;
	send_frame(t, DATA, 0, 1, "x", 1);
	take_frames(t);
	assert_int_equal(t->frames[GOAWAY], 1);
	assert_int_equal(h2_error(t->h2), H2_PROTOCOL_ERROR);
	assert_true(h2_is_over(t->h2));
	end(&t);
}

/* --- WebSocket --- */

static void
the_key_is_answered(void **state)
{
	static const char key[] = "dGhlIHNhbXBsZSBub25jZQ=="; /* RFC 6455 1.3 */
	static struct h1_head head;
	static const char good[] = "HTTP/1.1 101 X\r\nA: b\r\n"
				   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	static const char bad[] = "HTTP/1.1 101 X\r\n"
				  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOoA\r\n\r\n";
	static const char none[] = "HTTP/1.1 101 X\r\nA: b\r\n\r\n";

	(void)state;
	assert_int_equal(h1_parse_response(&head, good, strlen(good), 10), H1_OK);
	assert_true(websocket_is_accepted(&head, key));
	assert_int_equal(h1_parse_response(&head, bad, strlen(bad), 10), H1_OK);
	assert_false(websocket_is_accepted(&head, key));
	assert_int_equal(h1_parse_response(&head, none, strlen(none), 10), H1_OK);
	assert_false(websocket_is_accepted(&head, key));
}

static void
the_answer_is_dropped(void **state)
{
	char fields[] = "A: b\r\nSec-WebSocket-Accept: x\r\nC: d\r\n";
	char none[] = "A: b\r\n";

	(void)state;
	assert_int_equal(websocket_drop_accept(fields, strlen(fields)), 12);
	assert_memory_equal(fields, "A: b\r\nC: d\r\n", 12);
	assert_int_equal(websocket_drop_accept(none, strlen(none)), 6);
	assert_int_equal(websocket_drop_accept(none, 0), 0);
}

/* --- two connections that use the same memory --- */

#define ROOM (1 << 20)

/* A connection that is to answer two requests: heads that take a frame CONTINUATION, and bodies. */
static void
begin_answers(struct world *t, struct h2_shared *shared, char c)
{
	const struct h2_conf conf = {
		.streams = 10, .window = 1000, .conn_window = 1 << 20, .header_list = 65536};
	static char body[40000], fields[40000];
	char grant[4] = {0x7f, 0, 0, 0};
	size_t i, n = 0;

	memset(body, c, sizeof body);
	t->h2 = h2_new(&conf, shared, &ops, t);
	assert_int_equal(h2_feed(t->h2, H2_PREFACE, strlen(H2_PREFACE)), 0);
	send_frame(t, SETTINGS, 0, 0, "", 0);
	send_frame(t, WINDOW_UPDATE, 0, 0, grant, sizeof grant);
	for (i = 0; i < 2; i++) {
		send_head(t, (int)(1 + 2 * i), GET, END_STREAM);
		for (n = 0; n < 30000;)
			n += (size_t)snprintf(fields + n, sizeof fields - n, "x-%c-%zu: %zu\r\n", c,
					      n, n * 7919);
		assert_int_equal(h2_respond(t->h2, (int)(1 + 2 * i), 200, fields, n, true), 0);
	}
	t->out = body;
	t->out_n = sizeof body;
}

/* Append a few of its frames. */
static bool
write_some(struct world *t, char *to, size_t *n)
{
	ssize_t got = h2_write(t->h2, to + *n, H2_WRITE_LEAST + 100);

	assert_true(got >= 0);
	*n += (size_t)got;
	assert_true(*n < ROOM - H2_WRITE_LEAST - 100);
	return got > 0;
}

static void
connections_share_memory(void **state)
{
	struct h2_shared *shared = h2_shared_new();
	struct world alone = {0}, a = {0}, b = {0};
	char *expected = xcalloc(1, ROOM), *got = xcalloc(1, ROOM), *other = xcalloc(1, ROOM);
	size_t expected_n = 0, got_n = 0, other_n = 0;
	bool goes_on = true;

	(void)state;
	begin_answers(&alone, shared, 'a');
	while (write_some(&alone, expected, &expected_n))
		;
	h2_free(&alone.h2);
	assert_true(expected_n > 60000);
	begin_answers(&b, shared, 'b');
	begin_answers(&a, shared, 'a');
	while (goes_on) {
		goes_on = write_some(&a, got, &got_n);
		goes_on |= write_some(&b, other, &other_n);
	}
	assert_int_equal(got_n, expected_n);
	assert_memory_equal(got, expected, got_n);
	assert_true(other_n > 60000);
	h2_free(&a.h2);
	h2_free(&b.h2);
	h2_shared_free(&shared);
	free(expected);
	free(got);
	free(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_become_heads_of_http_1),
		cmocka_unit_test(bodies_and_trailers),
		cmocka_unit_test(windows),
		cmocka_unit_test(responses),
		cmocka_unit_test(a_request_that_is_answered_early_is_stopped),
		cmocka_unit_test(heads_are_bounded),
		cmocka_unit_test(glitches),
		cmocka_unit_test(an_orderly_end_has_two_goaways),
		cmocka_unit_test(what_breaks_the_rules_ends_the_connection),
		cmocka_unit_test(the_key_is_answered),
		cmocka_unit_test(the_answer_is_dropped),
		cmocka_unit_test(connections_share_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
