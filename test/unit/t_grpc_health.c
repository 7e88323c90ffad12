/* h2_ask and grpc_health: a request over HTTP/2 and the answers that servers give to it, as raw
 * frames; and the messages of the health check of gRPC. */
#include "test/unit/unit.h"

#include "common/grpc_health.h"
#include "common/h2_ask.h"

#define SETTINGS "\0\0\0\4\0\0\0\0\0"
/* :status 200, content-type and grpc-status by the static table or as literals without Huffman */
#define HEAD_200 "\0\0\1\1\4\0\0\0\1\x88"
#define HEAD_404 "\0\0\1\1\5\0\0\0\1\x8d"
#define SERVING "\0\0\7\0\0\0\0\0\1\0\0\0\0\2\x08\1"
#define TRAILERS(ok) "\0\0\x0f\1\5\0\0\0\1\x10\x0bgrpc-status\1" ok
#define TRAILERS_ONLY(ok) "\0\0\x10\1\5\0\0\0\1\x88\x10\x0bgrpc-status\1" ok
#define RESET(code) "\0\0\4\3\0\0\0\0\1\0\0\0" code
#define GOAWAY "\0\0\x08\7\0\0\0\0\0\0\0\0\1\0\0\0\0"
#define PING                                                                                       \
	"\0\0\x08\6\0\0\0\0\0"                                                                     \
	"12345678"

/* All that it sends now. */
static size_t
take(struct h2_ask *h, char *out, size_t room, bool *is_good)
{
	const char *data;
	size_t n = 0;
	ssize_t got;

	while ((got = h2_ask_send(h, &data)) > 0) {
		assert_true(n + (size_t)got <= room);
		memcpy(out + n, data, (size_t)got);
		n += (size_t)got;
	}
	*is_good = got == 0;
	return n;
}

static struct h2_ask *
health(const char *name)
{
	struct h2_ask *h = grpc_health_new("http", "127.0.0.1:1", name, strlen(name));
	char sent[2048];
	bool is_good;

	assert_true(take(h, sent, sizeof sent, &is_good) > 24 && is_good);
	assert_memory_equal(sent, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	return h;
}

/* What the health check says to these bytes; NULL: SERVING. */
static const char *
problem_of(const char *bytes, size_t n)
{
	struct h2_ask *h = health("");
	const char *problem;
	char sent[2048];
	bool is_good = true;
	int rc = h2_ask_feed(h, bytes, n);

	take(h, sent, sizeof sent, &is_good);
	assert_true(rc < 0 || !is_good || h2_ask_is_over(h));
	problem = grpc_health_problem(h);
	h2_ask_free(&h);
	return problem;
}
#define PROBLEM(bytes) problem_of(bytes, sizeof(bytes) - 1)

static void
assert_has(const char *text, const char *part)
{
	assert_non_null(text);
	if (strstr(text, part) == NULL)
		fail_msg("expected %s in %s", part, text);
}

static void
answers(void **state)
{
	(void)state;
	assert_null(PROBLEM(SETTINGS HEAD_200 SERVING TRAILERS("0")));
	assert_has(PROBLEM(SETTINGS HEAD_200 "\0\0\7\0\0\0\0\0\1\0\0\0\0\2\x08\2" TRAILERS("0")),
		   "NOT_SERVING");
	assert_has(PROBLEM(SETTINGS HEAD_200 "\0\0\5\0\0\0\0\0\1\0\0\0\0\0" TRAILERS("0")),
		   "UNKNOWN");
	assert_has(PROBLEM(SETTINGS HEAD_200 SERVING TRAILERS("5")), "NOT_FOUND");
	assert_has(PROBLEM(SETTINGS TRAILERS_ONLY("5")), "NOT_FOUND");
	assert_has(PROBLEM(SETTINGS "\0\0\x11\1\5\0\0\0\1\x88\x10\x0bgrpc-status\2"
				    "12"),
		   "UNIMPLEMENTED");
	assert_has(PROBLEM(SETTINGS HEAD_200 SERVING TRAILERS("x")), "no grpc-status");
	assert_has(PROBLEM(SETTINGS HEAD_404), "other than 200");
	assert_has(PROBLEM(SETTINGS RESET("\7")), "refused");
	assert_has(PROBLEM(SETTINGS HEAD_200 RESET("\2")), "reset");
	assert_has(PROBLEM(SETTINGS HEAD_200 "\0\0\3\0\0\0\0\0\1\0\0\0" TRAILERS("0")),
		   "no HealthCheckResponse");
	assert_has(PROBLEM("HTTP/1.1 400 Bad Request\r\n\r\n"), "HTTP/1");
	assert_has(PROBLEM("SSH-2.0-OpenSSH_9.2p1\r\n"), "no HTTP/2");
	assert_has(PROBLEM(HEAD_200), "no HTTP/2"); /* RFC 9113 3.4: SETTINGS come first */
}

/* Frames between those of the answer are heeded or ignored, and bytes come in any pieces. */
static void
frames_in_pieces(void **state)
{
	static const char bytes[] = SETTINGS PING
		"\0\0\4\x08\0\0\0\0\0\0\1\0\0" /* WINDOW_UPDATE */
		"\0\0\3\xfa\0\0\0\0\0abc"      /* of no known type */
		"\0\0\5\1\4\0\0\0\1\x08\3"
		"103"				 /* an interim head */
		"\0\0\0\1\0\0\0\0\1"		 /* HEADERS, all of whose block is in … */
		"\0\0\1\x09\4\0\0\0\1\x88"	 /* … CONTINUATION */
		"\0\0\4\0\x08\0\0\0\1\1\0\0\0"	 /* DATA with padding … */
		"\0\0\5\0\0\0\0\0\1\0\0\2\x08\1" /* … in two frames */
		GOAWAY TRAILERS("0");
	struct h2_ask *h = health("");
	char sent[256];
	bool is_good;
	size_t i, n;

	(void)state;
	/* nghttp2 counts the pieces of a CONTINUATION against the attack of too many of them */
	for (i = 0; i < sizeof bytes - 1; i += 3)
		assert_int_equal(h2_ask_feed(h, bytes + i, MIN(sizeof bytes - 1 - i, 3)), 0);
	assert_true(h2_ask_is_over(h));
	assert_int_equal(h2_ask_status(h), 200);
	assert_null(grpc_health_problem(h));
	n = take(h, sent, sizeof sent, &is_good);
	assert_non_null(memmem(sent, n,
			       "\0\0\x08\6\1\0\0\0\0"
			       "12345678",
			       17)); /* PONG */
	h2_ask_free(&h);
}

/* The call for the service "a.B", its message in DATA. */
static void
the_request(void **state)
{
	struct h2_ask *h = grpc_health_new("http", "h:1", "a.B", 3);
	char sent[2048];
	bool is_good;
	size_t n = take(h, sent, sizeof sent, &is_good);

	(void)state;
	assert_non_null(memmem(sent, n,
			       "\0\0\x0a\0\1\0\0\0\1\0\0\0\0\5\x0a\3"
			       "a.B",
			       19));
	h2_ask_free(&h);
}

/* An answer without end: of its body no more than the window comes, and bytes are counted. */
static void
an_endless_answer_fails(void **state)
{
	static char ping[] = PING;
	struct h2_ask *h = health("");
	char sent[4096];
	bool is_good;
	int i, rc = 0;

	(void)state;
	assert_int_equal(h2_ask_feed(h, SETTINGS, sizeof SETTINGS - 1), 0);
	for (i = 0; i < 100000 && rc == 0; i++) {
		rc = h2_ask_feed(h, ping, sizeof ping - 1);
		take(h, sent, sizeof sent, &is_good);
	}
	assert_int_equal(rc, -1);
	assert_has(h2_ask_trouble(h), "too large");
	assert_false(h2_ask_is_over(h));
	h2_ask_free(&h);
}

static void
a_get(void **state)
{
	static const struct h2_ask_request r = {
		.method = "GET", .scheme = "http", .authority = "h:1", .path = "/up"};
	struct h2_ask *h = h2_ask_new(&r);
	char sent[2048];
	bool is_good;

	(void)state;
	take(h, sent, sizeof sent, &is_good);
	assert_int_equal(h2_ask_feed(h, SETTINGS HEAD_200, sizeof(SETTINGS HEAD_200) - 1), 0);
	assert_int_equal(h2_ask_status(h), 200);
	assert_false(h2_ask_is_over(h));
	assert_null(h2_ask_trouble(h));
	h2_ask_free(&h);
}

#define STATUS(text) grpc_health_status(text, sizeof(text) - 1)

static void
messages(void **state)
{
	(void)state;
	assert_int_equal(STATUS("\0\0\0\0\2\x08\1"), 1);
	assert_int_equal(STATUS("\0\0\0\0\0"), 0);
	assert_int_equal(STATUS("\0\0\0\0\3\x08\x81\0"), 1);
	/* fields that are not known, of each form; the last value counts */
	assert_int_equal(STATUS("\0\0\0\0\x18\x10\5\x19"
				"12345678"
				"\x22\2hi\x2d"
				"1234"
				"\x08\2\x08\1"),
			 1);
	assert_int_equal(STATUS(""), -1);
	assert_int_equal(STATUS("\0\0\0\0"), -1);
	assert_int_equal(STATUS("\1\0\0\0\2\x08\1"), -1); /* compressed */
	assert_int_equal(STATUS("\0\0\0\0\2\x08"), -1);	  /* short */
	assert_int_equal(STATUS("\0\0\0\0\1\x08\1"), -1); /* more behind it */
	assert_int_equal(STATUS("\0\0\0\0\1\x08"), -1);
	assert_int_equal(STATUS("\0\0\0\0\2\x22\5"), -1);
	assert_int_equal(STATUS("\0\0\0\0\1\x0b"), -1); /* a group */
	assert_int_equal(STATUS("\0\0\0\0\x0b\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),     cmocka_unit_test(frames_in_pieces),
		cmocka_unit_test(the_request), cmocka_unit_test(an_endless_answer_fails),
		cmocka_unit_test(a_get),       cmocka_unit_test(messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
