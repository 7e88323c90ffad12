/* libFuzzer: the whole request path (worker, conn, xfer, relay, upstream) between clients and
 * instances that do what the input says, on real sockets, with a clock that the input sets.
 *
 * The input is a list of steps: a byte for the action, a byte for its amount or object, and
 * for some actions the bytes to send.  After each step, or after several that then fall into
 * one round, the worker runs until nothing happens any more.  At the end:
 *
 *   client    has got whole responses to its requests in their order, or a connection that
 *             was visibly cut.  No response ends early with a clean end, and none belongs to
 *             another request: the target of a request is a mark that its response repeats.
 *   instance  has got requests that each parse as one message, and no POST more often than
 *             the client sent it
 *   worker    holds no connection, slot or parked request
 *
 * At any time the worker has turns (io_round.h) only because of what peers do: a socket that
 * has turns and moves nothing would keep a core busy.
 */
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/clk.h"
#include "test/fuzz/path_seen.h"
#include "test/fuzz/path_world.h"

#define MUCH 100000
#define MUCH_MAX (3 * MUCH) /* by one peer: more than all small buffers between hold */
#define FLOOD (4 << 20)
#define FLOOD_MAX (2 * FLOOD) /* by one peer: more than all buffers between hold */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_raw; /* bytes of the input were sent, which may imitate a mark */

/* --- steps --- */

static const char *const requests[] = {
	"GET / HTTP/1.1\r\nHost: any\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: one\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: any\r\nContent-Length: 5\r\n\r\nhello",
	"POST / HTTP/1.1\r\nHost: one\r\nContent-Length: 5\r\n\r\nhel",
	"POST / HTTP/1.1\r\nHost: any\r\nTransfer-Encoding: chunked\r\nTrailer: x-a\r\n\r\n",
	"3\r\nabc\r\n",
	"0\r\nX-A: 1\r\n\r\n",
	"HEAD / HTTP/1.1\r\nHost: any\r\n\r\n",
	"GET / HTTP/1.0\r\nHost: one\r\n\r\n",
	"GET / HTTP/1.0\r\nHost: any\r\nConnection: keep-alive\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: any\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: one\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nearly",
	"PUT / HTTP/1.1\r\nHost: one\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: any\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: any\r\nMax-Forwards: 1\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n",
};

static const char upload[] = "POST / HTTP/1.1\r\nHost: any\r\nContent-Length: 1000000000\r\n\r\n";

static const char *const responses[] = {
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-a\r\n\r\n",
	"3\r\nabc\r\n",
	"0\r\nX-A: 1\r\n\r\n",
	"HTTP/1.1 200 OK\r\n\r\nall",
	"HTTP/1.1 100 Continue\r\n\r\n",
	"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
	"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nbird",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n",
	"HTTP/1.1 500 No\r\nContent-Length: 0\r\nKeep-Alive: timeout=1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Le",
};

/* Send the request, with a mark as its target. */
static void
ask(struct peer *c, const char *text)
{
	const char *target = strstr(text, " / ");
	const char mark[MARK] = {(char)('0' + (c - clients)), (char)('A' + c->asked_n)};

	if (target == NULL) {
		peer_send(c, text, strlen(text));
		return;
	}
	target += 2;
	peer_send(c, text, (size_t)(target - text));
	peer_send(c, mark, MARK);
	peer_send(c, target, strlen(target));
	c->asked_n++;
}

/* Has the peer bytes to read?  Then it does not know the request that it answers. */
static bool
has_unread(const struct peer *p)
{
	int n = 0;

	return p->fd >= 0 && ioctl(p->fd, FIONREAD, &n) == 0 && n > 0;
}

/* Send the response, which begins with the mark of its request. */
static void
answer(struct peer *p, const char *text)
{
	const char *fields = strstr(text, "\r\n") + 2;
	char mark[MARK];

	seen_last_mark(&p->got, mark);
	if (!has_unread(p) && mark[0] != '\0' && strncmp(text, "HTTP/", 5) == 0) {
		peer_send(p, text, (size_t)(fields - text));
		peer_send(p, "X-Mark: ", 8);
		peer_send(p, mark, MARK);
		peer_send(p, "\r\n", 2);
		text = fields;
	}
	peer_send(p, text, strlen(text));
}

static void
send_raw(struct peer *p, const uint8_t *data, size_t n)
{
	is_raw = true;
	peer_send(p, data, n);
}

static void
send_much(struct peer *p, bool is_flood)
{
	static char much[FLOOD];

	memset(much, 'x', sizeof much);
	if (p->sent.len < (is_flood ? FLOOD_MAX : MUCH_MAX))
		peer_send(p, much, is_flood ? FLOOD : MUCH);
}

/* Do one step from data[0..size).  Returns how many bytes it used. */
static size_t
step(const uint8_t *data, size_t size)
{
	unsigned what = data[0] % 12, how = size > 1 ? data[1] : 0;
	struct peer *c = &clients[data[0] / 12 % CLIENTS];
	struct peer *p = &peers[peers_n == 0 ? 0 : peers_n - 1 - data[0] / 12 % MIN(peers_n, 3)];
	size_t n = MIN((size_t)how, size > 2 ? size - 2 : 0);

	if (what < 6 && c->fd < 0 && !c->has_left)
		client_open(c);
	switch (what) {
	case 0:
		send_raw(c, data + 2, n);
		return 2 + n;
	case 1:
	case 2:
		ask(c, requests[how % ARRAY_LEN(requests)]);
		break;
	case 3:
		leave(c, how);
		break;
	case 4:
		(how % 4 < 2 ? c : p)->is_deaf = how % 2 == 0;
		break;
	case 5:
		if (how % 8 == 6)
			ask(c, upload);
		else
			send_much(c, how % 8 == 7);
		break;
	case 6:
		send_raw(p, data + 2, n);
		return 2 + n;
	case 7:
	case 8:
		answer(p, responses[how % ARRAY_LEN(responses)]);
		break;
	case 9:
		leave(p, how);
		break;
	case 10:
		if (how % 2 == 0)
			set_world(how / 2);
		else
			send_much(p, how / 2 % 8 == 7);
		break;
	default:
		pass_time(CLK_MS << how % 18);
		break;
	}
	return 2;
}

/* --- a run --- */

static void
check_seen(void)
{
	unsigned posts = 0, given = 0;
	size_t i;

	for (i = 0; i < CLIENTS; i++) {
		struct seen seen;

		seen_by_client(&seen, &clients[i].sent, &clients[i].got, clients[i].is_eof, is_raw);
		posts += seen.posts;
	}
	for (i = 0; i < peers_n; i++)
		given += seen_by_instance(&peers[i].got);
	CHECK(given <= posts);
}

/* Check that requests reach instances, without which the fuzzing would find nothing. */
static void
check_world(void)
{
	static const char wanted[] = "HTTP/1.1 200 OK\r\nX-Mark: 0A\r\n";

	client_open(&clients[0]);
	ask(&clients[0], requests[0]);
	settle();
	CHECK(peers_n == 1);
	answer(&peers[0], responses[0]);
	settle();
	CHECK(clients[0].got.len > strlen(wanted) &&
	      memcmp(clients[0].got.data, wanted, strlen(wanted)) == 0);
	clean_up();
	forget_peers();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t i;

	for (i = 0; i < CLIENTS; i++)
		clients[i] = (struct peer){.fd = -1};
	if (world.w == NULL) {
		/* Clients that go on with HTTP/2 are for the fuzzer h2: they get no memory. */
		make_world("log_level = \"error\"\n"
			   "activator { max_head = 2KiB max_fields = 20 }\n",
			   0);
		check_world();
	}
	run_steps(data, size, &(struct run){60, 12 * CLIENTS, step, settle});
	for (i = 0; i < CLIENTS; i++)
		clients[i].is_deaf = false;
	for (i = 0; i < peers_n; i++)
		peers[i].is_deaf = false;
	settle();
	check_seen();
	clean_up();
	check_work();
	forget_peers();
	is_raw = false;
	return 0;
}