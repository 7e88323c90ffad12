/* segments: what a client or an instance sends is judged by its bytes, however the network cuts
 * them; and bytes that may be of another protocol are not taken for a request. */
#include "test/unit/conn_world.h"

#include <errno.h>
#include <sys/socket.h>

#include "activator/conn.h"
#include "common/clk.h"
#include "common/strbuf.h"

#define STEP 61 /* between the places where a text is cut; no divisor of the limits */
#define WORKER "activator { batch = no max_head = 2KiB max_fields = 20 }"

static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void
hear_all(int fd, struct strbuf *b, bool *is_eof)
{
	char buf[8192];
	ssize_t got;

	while ((got = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0)
		strbuf_add(b, buf, (size_t)got);
	*is_eof = got == 0;
}

/* The instance answers each request that has come. */
static void
answer_all(struct world *t, struct strbuf *got)
{
	size_t before;

	do {
		bool is_eof;

		rounds(t);
		before = got->len;
		if (t->served < 0)
			return;
		hear_all(t->served, got, &is_eof);
		if (got->len > before)
			(void)!send(t->served, ok, strlen(ok), MSG_NOSIGNAL);
		if (!is_eof)
			continue;
		close(t->served);
		t->served = -1;
	} while (got->len > before);
}

/* Send text[0..n) with a pause at `cut`; 1: after each byte.  What the worker does not read
 * before it has an answer, waits for that. */
static void
send_cut(struct world *t, int fd, const char *text, size_t n, size_t cut, struct strbuf *got)
{
	size_t at = 0;

	while (at < n) {
		size_t size = cut == 1 ? 1 : at == 0 ? MIN(MAX(cut, 1), n) : n - at;
		ssize_t sent = send(fd, text + at, size, MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			return; /* what came before is refused */
		if (sent > 0)
			at += (size_t)sent;
		loop_once(t->w->loop, true);
		if (sent < 0)
			answer_all(t, got);
	}
	rounds(t);
}

/* The statuses of responses, such as "200 431", and " end" if the connection is closed. */
static char *
statuses(const char *text, bool is_eof)
{
	struct strbuf b;
	char *s;

	strbuf_init(&b, 0);
	for (; (text = strstr(text, "HTTP/1.1 ")) != NULL; text += 12)
		strbuf_addf(&b, "%s%.3s", b.len == 0 ? "" : " ", text + 9);
	if (is_eof)
		strbuf_adds(&b, " end");
	s = xstrdup(strbuf_str(&b));
	strbuf_fini(&b);
	return s;
}

/* What becomes of requests that come with a pause at `cut`; `got` is what the instance gets. */
static char *
verdict(const char *text, uint32_t service_max_head, size_t cut, struct strbuf *got)
{
	struct world *t = make_unrouted(WORKER);
	struct strbuf heard;
	bool is_eof;
	char *s;

	t->service_max_head = service_max_head;
	make_routes(t);
	strbuf_init(&heard, 0);
	connect_client(t);
	send_cut(t, t->client, text, strlen(text), cut, got);
	answer_all(t, got);
	hear_all(t->client, &heard, &is_eof);
	s = statuses(strbuf_str(&heard), is_eof);
	strbuf_fini(&heard);
	end(&t);
	return s;
}

static void
expect_cut(const char *text, uint32_t service_max_head, size_t cut, const char *expected)
{
	struct strbuf got;
	char *s;

	strbuf_init(&got, 0);
	s = verdict(text, service_max_head, cut, &got);
	if (strcmp(s, expected) != 0)
		fail_msg("cut at %zu: \"%s\" instead of \"%s\" for\n%.200s", cut, s, expected,
			 text);
	free(s);
	strbuf_fini(&got);
}

/* text is the caller's no more. */
static void
expect(char *text, uint32_t service_max_head, const char *expected)
{
	const char *head_end = strstr(text, "\r\n\r\n");
	size_t cut;

	for (cut = 0; cut < strlen(text); cut += STEP)
		expect_cut(text, service_max_head, cut, expected);
	expect_cut(text, service_max_head, 1, expected);
	expect_cut(text, service_max_head, strlen(text), expected);
	if (head_end != NULL)
		expect_cut(text, service_max_head, (size_t)(head_end - text) + 4, expected);
	free(text);
}

/* A GET whose head has n bytes, behind `before`. */
static char *
get_of(const char *before, size_t n)
{
	static const char begin[] = "GET / HTTP/1.1\r\nHost: s\r\nX: ";
	char *first = xasprintf("%s%s", before, begin);
	char *text = padded(first, 'x', n - strlen(begin) - 4, "\r\n\r\n");

	free(first);
	return text;
}

#define KIB4 4096
#define POST "POST / HTTP/1.1\r\nHost: s\r\n"

static void
heads_of_requests(void **state)
{
	(void)state;
	expect(get_of("", 2048), KIB4, "200");
	expect(get_of("", 2049), KIB4, "431 end");
	expect(padded("GET /", 'x', 2043, " HTTP/1.1\r\nHost: s\r\n\r\n"), KIB4, "414 end");
	expect(get_of("", 1025), 1024, "431 end");
	/* Behind a body, more than a head may be read at once. */
	expect(get_of(POST "Content-Length: 5\r\n\r\nhello", 2048), KIB4, "200 200");
	expect(get_of(POST "Content-Length: 5\r\n\r\nhello", 2049), KIB4, "200 431 end");
	expect(padded(POST "Content-Length: 5\r\n\r\nhelloGET /", 'x', 2043,
		      " HTTP/1.1\r\nHost: s\r\n\r\n"),
	       KIB4, "200 414 end");
}

#define CHUNKED POST "Transfer-Encoding: chunked\r\nTrailer: x\r\n\r\n"

static void
chunk_lines_and_trailers_of_requests(void **state)
{
	(void)state;
	expect(padded(CHUNKED "1;a=", 'b', 1000, "\r\nx\r\n0\r\n\r\n"), 1024, "200");
	expect(padded(CHUNKED "1;a=", 'b', 1030, "\r\nx\r\n0\r\n\r\n"), 1024, "400 end");
	expect(padded(CHUNKED "1;a=", 'b', 3000, "\r\nx\r\n0\r\n\r\n"), KIB4, "200");
	expect(padded(CHUNKED "1;a=", 'b', 4100, "\r\nx\r\n0\r\n\r\n"), KIB4, "400 end");
	expect(padded(CHUNKED "0\r\nX: ", 'y', 1000, "\r\n\r\n"), 1024, "200");
	expect(padded(CHUNKED "0\r\nX: ", 'y', 1030, "\r\n\r\n"), 1024, "400 end");
}

/* What a client gets of a response that comes with a pause at `cut`: is it whole? */
static bool
is_whole(const char *text, uint32_t service_max_head, size_t cut)
{
	struct world *t = make_unrouted(WORKER);
	struct strbuf heard;
	bool is_eof, is_ok;

	t->service_max_head = service_max_head;
	make_routes(t);
	strbuf_init(&heard, 0);
	connect_client(t);
	ask(t, POST "Content-Length: 0\r\n\r\n");
	send_cut(t, t->served, text, strlen(text), cut, NULL);
	hear_all(t->client, &heard, &is_eof);
	is_ok = strstr(strbuf_str(&heard), "HTTP/1.1 200 OK\r\n") != NULL &&
		strncmp(strbuf_str(&heard) + heard.len - 5, "0\r\n\r\n", 5) == 0;
	assert_int_equal(is_eof, !is_ok);
	strbuf_fini(&heard);
	end(&t);
	return is_ok;
}

/* text is the caller's no more. */
static void
expect_response(char *text, uint32_t service_max_head, bool expected)
{
	size_t cut;

	for (cut = 0; cut < strlen(text); cut += STEP)
		assert_int_equal(is_whole(text, service_max_head, cut), expected);
	assert_int_equal(is_whole(text, service_max_head, 1), expected);
	assert_int_equal(is_whole(text, service_max_head, strlen(text)), expected);
	free(text);
}

#define CHUNKS "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define FIELDS "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"

static void
responses(void **state)
{
	(void)state;
	expect_response(padded(CHUNKS "1;a=", 'b', 1000, "\r\nx\r\n0\r\n\r\n"), 1024, true);
	expect_response(padded(CHUNKS "1;a=", 'b', 1030, "\r\nx\r\n0\r\n\r\n"), 1024, false);
	expect_response(padded(CHUNKS "1;a=", 'b', 3000, "\r\nx\r\n0\r\n\r\n"), KIB4, true);
	expect_response(padded(CHUNKS "1;a=", 'b', 4100, "\r\nx\r\n0\r\n\r\n"), KIB4, false);
	expect_response(padded(CHUNKS "0\r\nX: ", 'y', 1000, "\r\n\r\n"), 1024, true);
	expect_response(padded(CHUNKS "0\r\nX: ", 'y', 1030, "\r\n\r\n"), 1024, false);
	expect_response(padded(FIELDS "X: ", 'y', 4000, "\r\n\r\n0\r\n\r\n"), KIB4, true);
	expect_response(padded(FIELDS "X: ", 'y', 4100, "\r\n\r\n0\r\n\r\n"), KIB4, false);
}

#define NEXT "GET /next HTTP/1.1\r\nHost: s\r\n\r\n"
#define UPGRADE "GET / HTTP/1.1\r\nHost: s\r\nConnection: upgrade\r\nUpgrade: "

static void
expect_no_next(const char *text, const char *expected)
{
	struct strbuf got;
	char *s;

	strbuf_init(&got, 0);
	s = verdict(text, 0, 0, &got);
	assert_string_equal(s, expected);
	assert_null(strstr(strbuf_str(&got), "/next"));
	free(s);
	strbuf_fini(&got);
}

/* They may be for a tunnel (RFC 9110 9.3.6, 7.8) that the client hoped for. */
static void
bytes_of_another_protocol_are_no_request(void **state)
{
	(void)state;
	expect_no_next("CONNECT s:80 HTTP/1.1\r\nHost: s\r\n\r\n" NEXT, "501 end");
	expect_no_next("CONNECT s:80 HTTP/1.1\r\nHost: s\r\nContent-Length: 1\r\n\r\nx" NEXT,
		       "501 end");
	expect_no_next(UPGRADE "x\r\n\r\n" NEXT, "200 end");
	expect_no_next(UPGRADE "h2c\r\n\r\n" NEXT, "200 end");
	expect_no_next("GET / HTTP/1.1\r\nHost: none\r\nUpgrade: x\r\n\r\n" NEXT, "404 end");
}

/* Bytes behind an upgrade that was declined, after the head of the response. */
static void
late_bytes_behind_a_declined_upgrade(void **state)
{
	struct world *t = make(WORKER);
	struct strbuf heard;
	bool is_eof;

	(void)state;
	strbuf_init(&heard, 0);
	connect_client(t);
	ask(t, UPGRADE "x\r\n\r\n");
	say(t->served, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
	rounds(t);
	say(t->client, NEXT);
	rounds(t);
	say(t->served, "ok");
	rounds(t);
	hear_all(t->client, &heard, &is_eof);
	assert_non_null(strstr(strbuf_str(&heard), "\r\n\r\nok"));
	assert_true(is_eof);
	strbuf_fini(&heard);
	end(&t);
}

/* A client that waits for the answer keeps its connection. */
static void
a_request_after_a_declined_upgrade(void **state)
{
	struct world *t = make(WORKER);
	struct strbuf got, heard;
	bool is_eof;
	char *s;

	(void)state;
	strbuf_init(&got, 0);
	strbuf_init(&heard, 0);
	connect_client(t);
	say(t->client, UPGRADE "h2c\r\n\r\n");
	answer_all(t, &got);
	say(t->client, NEXT);
	answer_all(t, &got);
	hear_all(t->client, &heard, &is_eof);
	s = statuses(strbuf_str(&heard), is_eof);
	assert_string_equal(s, "200 200");
	free(s);
	strbuf_fini(&got);
	strbuf_fini(&heard);
	end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_of_requests),
		cmocka_unit_test(chunk_lines_and_trailers_of_requests),
		cmocka_unit_test(responses),
		cmocka_unit_test(bytes_of_another_protocol_are_no_request),
		cmocka_unit_test(late_bytes_behind_a_declined_upgrade),
		cmocka_unit_test(a_request_after_a_declined_upgrade),
	};

	signal(SIGPIPE, SIG_IGN);
	clk_replace(now);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
