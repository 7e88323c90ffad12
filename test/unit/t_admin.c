/* admin: the answers to requests, and the requests that are refused. */
#include "test/unit/unit.h"

#include <errno.h>
#include <sys/socket.h>

#include "common/addr.h"
#include "common/admin.h"
#include "common/admin_stream.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"
#include "test/unit/loopback.h"

struct world {
	struct loop *loop;
	struct admin *admin;
	struct addr addr;
	const char *why; /* /readyz; NULL: ready */
	char answer[16384];
	struct admin_later *later[2]; /* that defer_for_long() has made */
	int later_n;
	struct admin_stream *stream; /* that begin_stream() has made; NULL: it was closed */
	size_t drained, closed;
};

static const char *
not_ready(void *arg)
{
	return ((struct world *)arg)->why;
}

static void
metrics(struct strbuf *b, void *arg)
{
	(void)arg;
	strbuf_adds(b, "up 1\n");
}

static void
echo(struct admin_request *req, void *arg)
{
	const char *q = req->param(req, "q");

	(void)arg;
	req->status = req->is_json_wanted ? 201 : 202;
	req->content_type = "text/x-echo";
	strbuf_addf(req->body, "%s q=%s", req->path, q == NULL ? "(none)" : q);
}

static void
answer_late(void *arg)
{
	struct admin_later *later = arg;
	struct strbuf body;

	strbuf_init(&body, 0);
	strbuf_adds(&body, "late");
	later->answer(later, 203, "text/x-late", &body);
	strbuf_fini(&body);
}

/* Answers at the tail of the loop's round. */
static void
defer(struct admin_request *req, void *arg)
{
	struct world *w = arg;

	loop_defer(w->loop, req->defer(req), answer_late);
}

/* Leaves the answer to the test. */
static void
defer_for_long(struct admin_request *req, void *arg)
{
	struct world *w = arg;

	w->later[w->later_n++] = req->defer(req);
}

static void
on_drained(struct admin_stream *s, void *arg)
{
	struct world *w = arg;

	assert_ptr_equal(s, w->stream);
	assert_int_equal(admin_stream_queued(s), 0);
	w->drained++;
}

static void
on_stream_closed(void *arg)
{
	struct world *w = arg;

	w->stream = NULL;
	w->closed++;
}

static const struct admin_stream_ops stream_ops = {on_drained, on_stream_closed};

static void
begin_stream(struct admin_request *req, void *arg)
{
	struct world *w = arg;

	if (req->is_head)
		return;
	req->add_field(req, "X-More", "yes");
	w->stream = req->stream(req, "text/event-stream", &stream_ops, w);
}

/* Says what it was asked with, and has a field of its own. */
static void
home(struct admin_request *req, void *arg)
{
	const char *tag = req->field(req, "if-none-match");

	(void)arg;
	req->add_field(req, "ETag", "\"1\"");
	req->cache_control = "no-cache";
	req->status = tag == NULL ? 200 : 304;
}

static const struct admin_ops ops = {.not_ready = not_ready, .metrics = metrics};

/* An address whose port was free a moment ago. */
static void
free_address(struct addr *a, char text[ADDR_TEXT])
{
	close(loopback_bind(0, a));
	addr_format(a, true, text);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	char text[ADDR_TEXT];
	const char *const addrs[] = {text, NULL};
	struct err e;

	log_open(LOG_ERROR, LOG_LOGFMT, "t");
	w->loop = loop_new(&e);
	free_address(&w->addr, text);
	w->admin = admin_open(w->loop, addrs, NULL, &ops, w, &e);
	assert_non_null(w->admin);
	admin_add_page(w->admin, "/echo", echo, w);
	admin_add_page(w->admin, "/late", defer, w);
	admin_add_page(w->admin, "/long", defer_for_long, w);
	admin_add_page(w->admin, "/stream", begin_stream, w);
	admin_add_page(w->admin, "/home", home, w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	admin_close(&w->admin);
	admin_close(&w->admin);
	loop_free(&w->loop);
	free(w);
	return 0;
}

/* Send head and read the answer until the connection is closed. */
static const char *
ask(struct world *w, const char *head)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int64_t until = clk_now() + 10 * CLK_S;
	size_t n = 0;
	ssize_t got = -1;

	assert_int_equal(connect(fd, (const struct sockaddr *)&w->addr.ss, w->addr.len), 0);
	assert_int_equal(send(fd, head, strlen(head), MSG_NOSIGNAL), strlen(head));
	while (got != 0 && clk_now() < until) {
		loop_once(w->loop, true);
		got = recv(fd, w->answer + n, sizeof w->answer - 1 - n, MSG_DONTWAIT);
		if (got < 0 && errno != EAGAIN)
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	assert_true(got == 0 || errno == ECONNRESET);
	w->answer[n] = '\0';
	close(fd);
	return w->answer;
}

static void
expect(struct world *w, const char *request, int status, const char *part)
{
	char *head = xasprintf("%s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", request);
	char line[32];
	const char *answer = ask(w, head);

	snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
	if (strncmp(answer, line, strlen(line)) != 0 || strstr(answer, part) == NULL)
		fail_msg("%s: expected %d and \"%s\", got: %s", request, status, part, answer);
	free(head);
}

static void
pages(void **state)
{
	struct world *w = *state;

	expect(w, "GET /healthz", 200, "\r\n\r\nok\n");
	expect(w, "GET /readyz", 200, "\r\n\r\nok\n");
	w->why = "waiting for the autoscaler";
	expect(w, "GET /readyz", 503, "\r\n\r\nwaiting for the autoscaler\n");
	w->why = NULL;
	expect(w, "GET /metrics", 200, "Content-Type: text/plain; version=0.0.4");
	expect(w, "GET /metrics", 200, "\r\n\r\nup 1\n");
	expect(w, "GET /", 200,
	       "\r\n\r\n/\n/healthz\n/readyz\n/metrics\n/echo\n/late\n/long\n/stream\n/home\n");
	expect(w, "GET /nothing", 404, "no such page");
	expect(w, "GET /metrics/", 404, "no such page");
}

static void
parameters(void **state)
{
	struct world *w = *state;

	expect(w, "GET /echo", 202, "\r\n\r\n/echo q=(none)");
	expect(w, "GET /echo?q=a%20b%2Fc&z=1", 202, "\r\n\r\n/echo q=a b/c");
	expect(w, "GET /echo?q=1", 202, "Content-Type: text/x-echo");
	expect(w, "GET /echo?=&=", 400, "malformed query");
	admin_page_params(w->admin, "/echo", (const char *const[]){"q", "revision", NULL});
	expect(w, "GET /echo?q=1", 202, "\r\n\r\n/echo q=1");
	expect(w, "GET /echo", 202, "\r\n\r\n/echo q=(none)");
	expect(w, "GET /echo?q=1&revison=x", 400,
	       "unknown parameter \"revison\"; did you mean revision?\n");
	expect(w, "GET /echo?zone%0a=x", 400,
	       "unknown parameter \"zone%0a\"; expected one of: q, revision\n");
	assert_non_null(strstr(ask(w, "GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
				      "accept: text/html, application/json\r\n\r\n"),
			       "HTTP/1.1 201 "));
}

static void
fields(void **state)
{
	struct world *w = *state;

	expect(w, "GET /home", 200, "ETag: \"1\"\r\n");
	expect(w, "GET /home", 200, "Cache-Control: no-cache\r\n");
	expect(w, "GET /echo", 202, "Cache-Control: no-store\r\n");
	expect(w, "GET /home HTTP/1.1\r\nIf-None-Match: \"1\"\r\nx:", 304, "ETag: \"1\"\r\n");
	assert_null(strstr(w->answer, "Content-Length"));
	assert_null(strstr(w->answer, "\r\nContent-Type"));
}

static void
browsers_are_sent_home(void **state)
{
	struct world *w = *state;

	admin_set_home(w->admin, "/home");
	expect(w, "GET /", 200, "\r\n\r\n/\n/healthz\n");
	expect(w, "GET /", 200, "Vary: Accept\r\n");
	expect(w, "GET / HTTP/1.1\r\nAccept: */*\r\nx:", 200, "\r\n\r\n/\n/healthz\n");
	expect(w, "GET / HTTP/1.1\r\nAccept: text/html,*/*;q=0.8\r\nx:", 302, "Location: home\r\n");
}

static void
only_get_and_head(void **state)
{
	struct world *w = *state;

	expect(w, "POST /metrics", 405, "Allow: GET, HEAD");
	expect(w, "DELETE /echo", 405, "Allow: GET, HEAD");
	expect(w, "POST /nothing", 404, "");
	expect(w, "HEAD /healthz", 200, "Content-Length: 3\r\n");
	assert_null(strstr(w->answer, "ok\n"));
}

static void
too_much_is_refused(void **state)
{
	struct world *w = *state;
	char *head = xmalloc(20000);

	memset(head, 'x', 20000);
	memcpy(head, "GET /healthz HTTP/1.1\r\nconnection: close\r\nx: ", 45);
	strcpy(head + 19000, "\r\n\r\n");
	assert_null(strstr(ask(w, head), " 200 "));
	free(head);
	assert_null(strstr(ask(w, "GET /healthz HTTP/1.1\r\ncontent-length: 99999\r\n"
				  "connection: close\r\n\r\n"),
			   " 200 "));
	assert_null(strstr(ask(w, "\r\n\r\nnonsense\r\n\r\n"), " 200 "));
	expect(w, "GET /healthz", 200, "ok");
}

static void
an_answer_may_come_later(void **state)
{
	struct world *w = *state;

	expect(w, "GET /late", 203, "\r\n\r\nlate");
	expect(w, "GET /late", 203, "Content-Type: text/x-late");
	expect(w, "HEAD /late", 203, "Content-Length: 4\r\n");
}

static int
connect_to(struct world *w)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&w->addr.ss, w->addr.len), 0);
	return fd;
}

/* While a client waits, others are answered; what it sends besides is not read yet.  A client may
 * leave, or the endpoint may be closed, before the answer. */
static void
nothing_waits_for_a_late_answer(void **state)
{
	static const char twice[] = "GET /long HTTP/1.1\r\nhost: x\r\n\r\n"
				    "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
	struct world *w = *state;
	int waiting = connect_to(w), leaving = connect_to(w);
	char text[1024] = "";
	size_t n = 0;
	ssize_t got;

	w->later_n = 0;
	assert_int_equal(send(waiting, twice, strlen(twice), 0), strlen(twice));
	while (w->later_n < 1)
		loop_once(w->loop, true);
	assert_int_equal(send(leaving, twice, strlen(twice), 0), strlen(twice));
	while (w->later_n < 2)
		loop_once(w->loop, true);
	close(leaving);
	expect(w, "GET /healthz", 200, "ok");
	answer_late(w->later[1]);
	answer_late(w->later[0]);
	while (strstr(text, "\r\n\r\nok\n") == NULL) {
		loop_once(w->loop, true);
		got = recv(waiting, text + n, sizeof text - 1 - n, MSG_DONTWAIT);
		assert_true(got > 0 || (got < 0 && errno == EAGAIN));
		n += got > 0 ? (size_t)got : 0;
		text[n] = '\0';
	}
	assert_memory_equal(text, "HTTP/1.1 203 ", 13);
	w->later_n = 0;
	assert_int_equal(send(waiting, twice, strlen(twice), 0), strlen(twice));
	while (w->later_n < 1)
		loop_once(w->loop, true);
	admin_close(&w->admin);
	answer_late(w->later[0]);
	close(waiting);
}

/* Begin a stream, and receive its head. */
static int
watch(struct world *w)
{
	static const char head[] = "GET /stream HTTP/1.1\r\nhost: x\r\n\r\n";
	int fd = connect_to(w);
	ssize_t got = -1;

	assert_int_equal(send(fd, head, strlen(head), 0), strlen(head));
	while (w->stream == NULL || got <= 0) {
		loop_once(w->loop, true);
		got = recv(fd, w->answer, sizeof w->answer - 1, MSG_DONTWAIT);
	}
	w->answer[got] = '\0';
	return fd;
}

static void
a_stream_goes_on(void **state)
{
	struct world *w = *state;
	int fd = watch(w);
	ssize_t got = -1;

	assert_memory_equal(w->answer, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(w->answer, "X-More: yes\r\n"));
	assert_non_null(strstr(w->answer, "Content-Type: text/event-stream\r\n"));
	assert_non_null(strstr(w->answer, "Cache-Control: no-store\r\n"));
	w->drained = w->closed = 0;
	admin_stream_send(w->stream, "one", 3);
	while (got < 0 || w->drained == 0) {
		loop_once(w->loop, true);
		if (got < 0)
			got = recv(fd, w->answer, sizeof w->answer, MSG_DONTWAIT);
	}
	assert_int_equal(got, 8);
	assert_memory_equal(w->answer, "3\r\none\r\n", 8);
	expect(w, "GET /healthz", 200, "ok"); /* others are answered meanwhile */
	close(fd);
	while (w->closed == 0)
		loop_once(w->loop, true);
	expect(w, "HEAD /stream", 200, "Content-Length: 0\r\n");
}

/* What a client sends meanwhile is not kept; what it does not read stays queued, and is no more
 * than what was sent.  The endpoint may be closed in the middle of it. */
static void
a_stream_is_bounded(void **state)
{
	struct world *w = *state;
	int fd = watch(w), i;
	char much[65536];
	size_t taken = 0;
	ssize_t got;

	memset(much, 'x', sizeof much);
	for (i = 0; i < 2000; i++) {
		got = send(fd, much, sizeof much, MSG_DONTWAIT | MSG_NOSIGNAL);
		taken += got > 0 ? (size_t)got : 0;
		loop_once(w->loop, true);
	}
	assert_true(taken < (size_t)32 << 20); /* sockets have room for some of it */
	assert_non_null(w->stream);
	w->drained = w->closed = 0;
	while (admin_stream_queued(w->stream) == 0) {
		admin_stream_send(w->stream, much, sizeof much);
		loop_once(w->loop, true);
	}
	assert_true(admin_stream_queued(w->stream) <= sizeof much + 16);
	admin_close(&w->admin);
	assert_int_equal(w->closed, 1);
	close(fd);
}

static void
an_address_in_use_is_named(void **state)
{
	struct world *w = *state;
	char text[ADDR_TEXT], spare[ADDR_TEXT], expected[64];
	const char *const addrs[] = {spare, addr_format(&w->addr, true, text), NULL};
	const char *const wrong[] = {"nowhere:1", NULL};
	struct addr a;
	struct err e;

	free_address(&a, spare);
	assert_null(admin_open(w->loop, addrs, NULL, &ops, w, &e));
	assert_non_null(strstr(e.text, text));
	snprintf(expected, sizeof expected, "in use by process %ld (t_admin)", (long)getpid());
	assert_non_null(strstr(e.text, expected));
	assert_null(admin_open(w->loop, wrong, NULL, &ops, w, &e));
	assert_non_null(strstr(e.text, "nowhere"));
}

static bool
is_open(const struct addr *a)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int rc = connect(fd, (const struct sockaddr *)&a->ss, a->len);

	close(fd);
	return rc == 0;
}

/* One address stays, one goes, one comes; a change that cannot be made changes nothing. */
static void
addresses_change(void **state)
{
	struct world *w = *state;
	char first[ADDR_TEXT], second[ADDR_TEXT], third[ADDR_TEXT], all[ADDR_TEXT];
	struct addr a, b;
	const char *const none[] = {"", NULL};
	const char *const two[] = {addr_format(&w->addr, true, first), second, NULL};
	const char *const other[] = {first, third, NULL};
	const char *const taken[] = {"nowhere:1", NULL};
	const char *const wide[] = {all, NULL};
	struct admin_change *change;
	struct err e;

	free_address(&a, second);
	free_address(&b, third);
	snprintf(all, sizeof all, "0.0.0.0:%u", (unsigned)addr_port(&w->addr));
	change = admin_change_new(w->admin, two, &e);
	assert_non_null(change);
	admin_change_make(&change);
	assert_true(is_open(&a));
	assert_null(admin_change_new(w->admin, taken, &e));
	change = admin_change_new(w->admin, other, &e);
	assert_non_null(change);
	admin_change_free(&change);
	assert_true(is_open(&a));
	assert_false(is_open(&b));
	change = admin_change_new(w->admin, other, &e);
	admin_change_make(&change);
	assert_false(is_open(&a));
	assert_true(is_open(&b));
	expect(w, "GET /healthz", 200, "ok");
	change = admin_change_new(w->admin, none, &e);
	admin_change_make(&change);
	assert_false(is_open(&w->addr));
	change = admin_change_new(w->admin, two, &e);
	admin_change_make(&change);
	change = admin_change_new(w->admin, wide, &e); /* beside our own socket of the port */
	assert_non_null(change);
	admin_change_make(&change);
	expect(w, "GET /healthz", 200, "ok");
	change = admin_change_new(w->admin, two, &e);
	assert_non_null(change);
	admin_change_make(&change);
	expect(w, "GET /healthz", 200, "ok");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages),
		cmocka_unit_test(parameters),
		cmocka_unit_test(fields),
		cmocka_unit_test(a_stream_goes_on),
		cmocka_unit_test(only_get_and_head),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(an_answer_may_come_later),
		cmocka_unit_test(an_address_in_use_is_named),
		cmocka_unit_test(addresses_change),
		cmocka_unit_test(browsers_are_sent_home),
		cmocka_unit_test_setup_teardown(nothing_waits_for_a_late_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stream_is_bounded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
