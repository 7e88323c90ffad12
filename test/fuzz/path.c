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
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/bounds.h"
#include "activator/conn.h"
#include "activator/limiter.h"
#include "activator/upstream.h"
#include "common/clk.h"
#include "common/strbuf.h"
#include "test/fuzz/path_seen.h"
#include "test/unit/loopback.h"

#define CLIENTS 3
#define PEERS 32     /* connections to instances in one run */
#define SOCKETS 1000 /* max_sockets, unless a step makes sockets scarce */
#define MUCH 100000
#define MUCH_MAX (3 * MUCH) /* by one peer: more than all small buffers between hold */
#define FLOOD (4 << 20)
#define FLOOD_MAX (2 * FLOOD) /* by one peer: more than all buffers between hold */

/* Rounds in a row in which the worker has turns while no peer sends, receives or leaves: what
 * all buffers between hold is moved in fewer. */
#define ALONE_MOST 300

#define ROUNDS_MOST 50000 /* until all floods have arrived through the least buffers */
#define READ_LEAST 16384  /* bytes of a turn, where there are more */
#define TRIES_MOST 4	  /* of one request, at instances that close at once */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One end of a connection, whose bytes the input determines. */
struct peer {
	int fd; /* -1: none, or closed */
	struct strbuf sent, got;
	size_t taken; /* bytes of `sent` that the socket has accepted */
	bool is_eof, is_reset, is_failed, is_deaf, has_left;
	unsigned asked_n; /* requests with marks, of a client */
};

static struct {
	struct settings *settings;
	struct worker_conf *worker_conf;
	struct activator_conf conf;
	struct bounds bounds;
	struct loop *control;
	struct worker *w;
	struct revision *rev[2]; /* without a limit; with container_concurrency 1 */
	struct instance *inst[2];
	int client_listener, instance_listener;
	struct addr client_addr, instance_addr;
	int64_t now;
} world;

static struct peer clients[CLIENTS], peers[PEERS];
static size_t peers_n;
static bool is_roomy;  /* sockets that are opened now have the buffers of the system */
static uint64_t moves; /* what peers have done: sent, received, left */
static uint64_t moved; /* bytes of that */
static bool is_raw;    /* bytes of the input were sent, which may imitate a mark */

static int64_t
now(void)
{
	return world.now;
}

/* --- the world --- */

static void
on_refused(struct instance *inst, void *arg)
{
	(void)arg;
	instance_unref(&inst);
}

static void
on_served(struct instance *inst, void *arg)
{
	(void)arg;
	instance_unref(&inst);
}

static void
on_shed(struct instance *inst, void *arg)
{
	(void)arg;
	upstream_shed_excess(world.w, inst);
	instance_unref(&inst);
}

static void
on_drained(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
}

static const struct worker_ops ops = {.on_refused = on_refused,
				      .on_served = on_served,
				      .on_drained = on_drained,
				      .on_shed = on_shed};

static struct revision *
find_revision(void *ctx, const char *name)
{
	int i = strcmp(name, "one/v1") == 0;
	struct limits limits = world.conf.limits;

	(void)ctx;
	if (world.rev[i] == NULL)
		world.rev[i] = revision_new(name, 1, world.control, NULL, NULL);
	if (i == 1) {
		limits.container_concurrency = 1;
		limits.half_close = true;
	}
	revision_set_limits(world.rev[i], &limits);
	return revision_ref(world.rev[i]);
}

static void
describe(struct msg_service *s, struct msg_revision *rev, char *name, char *revision, char **host)
{
	*s = (struct msg_service){
		.name = name, .hosts = {.v = host, .n = 1}, .revisions = rev, .revisions_n = 1};
	rev->instances.revision = revision;
}

static void
publish(int i, uint32_t limit)
{
	struct instance_set *set;
	struct limiter_update wish = {.wanted = 1, .container_concurrency = limit};

	world.inst[i] = instance_new(world.rev[i], i == 0 ? "i-0" : "i-1", &world.instance_addr);
	limiter_open(world.inst[i], SLOTS_UNREADY);
	set = instance_set_new(&world.inst[i], 1);
	worker_post_set(world.w, world.rev[i], set);
	limiter_update(world.rev[i], set, &wish);
}

static void
make_routes(void)
{
	static char names[2][4] = {"any", "one"}, revisions[2][8] = {"any/v1", "one/v1"};
	static char *hosts[2] = {names[0], names[1]};
	static const struct route_source source = {.find = find_revision};
	struct msg_service services[2];
	struct msg_revision revs[2] = {{.instances = {.wanted = 1}}};
	struct routes *routes;
	int i;

	for (i = 0; i < 2; i++)
		describe(&services[i], &revs[i], names[i], revisions[i], &hosts[i]);
	routes = routes_new(services, 2, &source);
	worker_post_routes(world.w, routes, NULL, NULL);
	routes_unref(&routes);
	publish(0, 0);
	publish(1, 1);
}

static void
make_world(void)
{
	static const char text[] = "log_level = \"error\"\n"
				   "activator { max_head = 2KiB max_fields = 20 }\n";
	struct settings_errors errors;
	struct err e;

	world.now = CLK_S;
	clk_replace(now);
	signal(SIGPIPE, SIG_IGN); /* as in daemon.c: io_submit(2) has no MSG_NOSIGNAL */
	log_open(LOG_ERROR, LOG_LOGFMT, "fuzz");
	world.settings = settings_load_bytes("fuzz.conf", text, sizeof text - 1, &errors);
	CHECK(world.settings != NULL);
	world.settings->activator.limits.upstream_idle_timeout = CLK_S * 60;
	world.conf = world.settings->activator;
	world.worker_conf = worker_conf_new(&world.settings);
	world.bounds = (struct bounds){.max_connections = 100,
				       .max_sockets = SOCKETS,
				       .max_parked = CLIENTS - 1,
				       .max_parked_bytes = 1 << 20};
	CHECK(bounds_open(&world.bounds, &e) == 0);
	world.control = loop_new(&e);
	world.w = worker_new(0, 1, world.worker_conf, &world.bounds, world.control, &ops, NULL, &e);
	CHECK(world.control != NULL && world.w != NULL);
	inbox_set_current(&world.w->inbox);
	world.client_listener = loopback_listen(SOCK_NONBLOCK, 100, &world.client_addr);
	world.instance_listener = loopback_listen(SOCK_NONBLOCK, 100, &world.instance_addr);
	make_routes();
}

/* --- peers --- */

/* Set TCP_NODELAY, as the activator does on its sockets, so that what a step sends has arrived
 * before the next step. */
static void
send_at_once(int fd)
{
	static const int on = 1;

	CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
}

static void
peer_open(struct peer *p, int fd)
{
	*p = (struct peer){.fd = fd};
	send_at_once(fd);
	strbuf_init(&p->sent, 0);
	strbuf_init(&p->got, 0);
}

/* Close with a reset, so that no socket lingers in the kernel until the next run. */
static void
peer_close(struct peer *p)
{
	struct linger reset = {.l_onoff = 1};

	if (p->fd < 0)
		return;
	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(p->fd);
	p->fd = -1;
}

static void
peer_free(struct peer *p)
{
	peer_close(p);
	strbuf_fini(&p->sent);
	strbuf_fini(&p->got);
}

static void
peer_send(struct peer *p, const void *data, size_t n)
{
	if (p->fd < 0 || p->has_left)
		return;
	strbuf_add(&p->sent, data, n);
}

/* Send and receive what is possible now.  True: there was something. */
static bool
peer_move(struct peer *p)
{
	char buf[65536];
	bool has_moved = false;
	ssize_t n;

	if (p->fd < 0)
		return false;
	if (p->taken < p->sent.len && !p->has_left) {
		n = send(p->fd, p->sent.data + p->taken, p->sent.len - p->taken, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN) {
			p->taken = p->sent.len;
			p->is_failed = true; /* a reset was reported and consumed */
		} else if (n > 0) {
			p->taken += (size_t)n;
			moved += (uint64_t)n;
		}
		has_moved = n > 0;
	}
	if (p->is_deaf || p->is_eof || p->is_reset)
		return has_moved;
	n = recv(p->fd, buf, sizeof buf, 0);
	if (n > 0) {
		strbuf_add(&p->got, buf, (size_t)n);
		moved += (uint64_t)n;
	}
	p->is_eof = n == 0 && !p->is_failed;
	p->is_reset = (n < 0 && errno != EAGAIN) || (n == 0 && p->is_failed);
	return has_moved || n >= 0 || p->is_reset;
}

/* So that few bytes find no room. */
static void
limit_buffer(int fd, int which, int size)
{
	if (!is_roomy)
		setsockopt(fd, SOL_SOCKET, which, &size, sizeof size);
}

static void
client_open(struct peer *p)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), other;
	struct addr peer = {.len = sizeof peer.ss};

	CHECK(fd >= 0);
	limit_buffer(fd, SO_RCVBUF, 1);
	if (connect(fd, (struct sockaddr *)&world.client_addr.ss, world.client_addr.len) < 0)
		CHECK(errno == EINPROGRESS);
	other = accept4(world.client_listener, (struct sockaddr *)&peer.ss, &peer.len,
			SOCK_NONBLOCK);
	CHECK(other >= 0);
	limit_buffer(other, SO_SNDBUF, 1);
	send_at_once(other);
	peer_open(p, fd);
	CHECK(conn_open(world.w, other, &peer, false, world.conf.listeners) == 0);
}

static void
accept_instances(void)
{
	struct list_node *node, *tmp;
	int fd;

	while (peers_n < PEERS &&
	       (fd = accept4(world.instance_listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		limit_buffer(fd, SO_RCVBUF, 8192);
		peer_open(&peers[peers_n++], fd);
		LIST_FOREACH(&world.w->upstreams, node, tmp)
			limit_buffer(container_of(node, struct upstream, node)->io.fd, SO_SNDBUF,
				     1);
	}
}

/* All peers send and receive what is possible now.  True: there was something. */
static bool
peers_move(void)
{
	uint64_t before = moves;
	size_t i;

	for (i = 0; i < CLIENTS; i++)
		moves += peer_move(&clients[i]);
	for (i = 0; i < peers_n; i++)
		moves += peer_move(&peers[i]);
	return moves > before;
}

/* Run until nothing happens any more. */
static void
settle(void)
{
	int quiet = 0, alone = 0, rounds = 0;

	while (quiet < 2) {
		bool has_moved = peers_move();
		uint64_t turns = io_round_turns(world.w->round);

		world.w->now = world.now;
		loop_once(world.w->loop, true);
		loop_once(world.control, true);
		accept_instances();
		turns = io_round_turns(world.w->round) - turns;
		alone = turns == 0 || has_moved ? 0 : alone + 1;
		CHECK(alone < ALONE_MOST && rounds++ < ROUNDS_MOST);
		quiet = turns > 0 || has_moved ? 0 : quiet + 1;
	}
}

/* Advance the clock and run what is due, though no real time has passed. */
static void
pass_time(int64_t ns)
{
	int i;

	world.now += ns;
	if (loop_timer_pending(&world.w->timeq.timer))
		event_active(&world.w->timeq.timer.ev, EV_TIMEOUT, 1);
	if (loop_timer_pending(&world.w->starved_timer))
		event_active(&world.w->starved_timer.ev, EV_TIMEOUT, 1);
	for (i = 0; i < 2; i++) {
		struct shard *s = &world.rev[i]->shards[0];

		if (s->has_timer && loop_timer_pending(&s->deadline_timer))
			event_active(&s->deadline_timer.ev, EV_TIMEOUT, 1);
	}
}

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

static void
leave(struct peer *p, unsigned how)
{
	if (p->fd < 0)
		return;
	moves++;
	if (how % 2 == 0) {
		peer_move(p); /* after the bytes that it sent in this round */
		shutdown(p->fd, SHUT_WR);
		p->has_left = true;
	} else {
		if (how % 4 == 1)
			settle();
		else
			peer_move(p); /* the bytes of this round, and the reset at once */
		peer_close(p);
		p->has_left = p->is_reset = true;
	}
}

/* As the prober does: offer its connection to the first waiter. */
static void
offer_connection(struct instance *inst)
{
	int fd;

	if (!instance_is_closed_by(inst, SLOTS_UNREADY) || !limiter_try_permit(inst))
		return;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK(fd >= 0);
	send_at_once(fd);
	if (connect(fd, (struct sockaddr *)&world.instance_addr.ss, world.instance_addr.len) < 0)
		CHECK(errno == EINPROGRESS);
	if (!limiter_open_with_fd(inst, fd)) {
		close(fd);
		limiter_permit_back(inst);
	}
}

/* Set whether the instance is listed and reachable. */
static void
set_instance(struct instance *inst, unsigned how)
{
	struct addr addr;

	switch (how) {
	case 0:
		limiter_close(inst, SLOTS_UNREADY);
		break;
	case 1:
		limiter_open(inst, SLOTS_UNREADY);
		break;
	case 2:
		CHECK(addr_set(&addr, "127.0.0.1", 1, NULL) == 0);
		instance_move(inst, &addr);
		break;
	default:
		instance_move(inst, &world.instance_addr);
		break;
	}
}

/* For a second the driver reports a failure. */
static void
fail(struct revision *rev, bool is_parking)
{
	char reason[] = "start_failed", message[] = "no";
	const struct msg_failure f = {
		.reason = reason,
		.message = message,
		.retry_after_ms = CLK_S / CLK_MS,
		.is_parking = is_parking,
	};

	limiter_set_failure(rev, &f, world.now);
}

/* What the control thread does to a revision, or a shortage of descriptors. */
static void
set_world(unsigned how)
{
	int i = how / 4 % 2;

	switch (how / 8) {
	case 15:
		world.bounds.max_sockets = CLIENTS;
		break;
	case 14:
		world.bounds.max_sockets = SOCKETS;
		break;
	case 13:
		offer_connection(world.inst[i]);
		break;
	case 12:
		fail(world.rev[i], (how & 4) != 0);
		break;
	case 11:
		limiter_set_failure(world.rev[i], NULL, world.now);
		break;
	case 10:
		is_roomy = (how & 4) != 0;
		break;
	default:
		set_instance(world.inst[i], how % 4);
		break;
	}
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

/* A turn follows from what a peer did; where that was many bytes, several do. */
static void
check_work(void)
{
	static uint64_t turns_before, moves_before, moved_before;
	uint64_t turns = io_round_turns(world.w->round);

	CHECK(turns - turns_before <=
	      100 + 4 * (moves - moves_before) + (moved - moved_before) / READ_LEAST);
	turns_before = turns;
	moves_before = moves;
	moved_before = moved;
}

static void
check_left_over(void)
{
	int i;

	CHECK(world.w->conns.n == 0 && world.w->busy_n == 0 && world.w->unrouted.n == 0);
	CHECK(bounds_parked(&world.bounds) == 0);
	CHECK(bounds_parked_bytes(&world.bounds) == 0);
	for (i = 0; i < 2; i++) {
		struct limiter_count count;
		struct shard *s = &world.rev[i]->shards[0];

		limiter_count(world.rev[i], &count);
		CHECK(count.queued == 0 && count.slots == 0);
		CHECK(count.permits_queued == 0 && count.conns == 0);
		CHECK(s->in_flight == 0 && s->parked_n == 0);
	}
}

static void
close_peers(void)
{
	int fd;

	while (peers_n > 0)
		peer_free(&peers[--peers_n]);
	while ((fd = accept4(world.instance_listener, NULL, NULL, 0)) >= 0)
		close(fd);
}

/* Close all peers; the worker must release all that it holds for them. */
static void
clean_up(void)
{
	size_t i;

	for (i = 0; i < CLIENTS; i++)
		peer_close(&clients[i]);
	settle();
	close_peers();
	world.bounds.max_sockets = SOCKETS;
	for (i = 0; i < 2; i++) {
		limiter_set_failure(world.rev[i], NULL, world.now);
		set_instance(world.inst[i], 3);
		set_instance(world.inst[i], 1);
		atomic_store(&world.inst[i]->busy_until, 0);
	}
	pass_time(0);
	settle();
	for (i = 0; i < 2; i++)
		upstream_shed(world.w, world.inst[i]);
	/* A client that was reset together with its request is noticed when it gets its response:
	 * the request may be tried again before. */
	for (i = 0; i < TRIES_MOST; i++) {
		close_peers();
		settle();
	}
	check_left_over();
}

static void
check_seen(void)
{
	unsigned posts = 0, given = 0;
	size_t i;

	for (i = 0; i < CLIENTS; i++)
		posts += seen_by_client(&clients[i].sent, &clients[i].got, clients[i].is_eof,
					is_raw);
	for (i = 0; i < peers_n; i++)
		given += seen_by_instance(&peers[i].got);
	CHECK(given <= posts);
}

static void
forget_peers(void)
{
	size_t i;

	for (i = 0; i < CLIENTS; i++)
		peer_free(&clients[i]);
	for (i = 0; i < peers_n; i++)
		peer_free(&peers[i]);
	peers_n = 0;
	is_raw = is_roomy = false;
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
	size_t i, steps;

	for (i = 0; i < CLIENTS; i++)
		clients[i] = (struct peer){.fd = -1};
	if (world.w == NULL) {
		make_world();
		check_world();
	}
	for (steps = 0; size > 0 && steps < 60 && peers_n < PEERS; steps++) {
		bool is_joined = data[0] / (12 * CLIENTS) % 2 ==
				 1; /* in one round with the next step */
		size_t used = step(data, size);

		used = MIN(used, size); /* after step(): MIN evaluates its arguments twice */
		data += used;
		size -= used;
		if (!is_joined)
			settle();
	}
	for (i = 0; i < CLIENTS; i++)
		clients[i].is_deaf = false;
	for (i = 0; i < peers_n; i++)
		peers[i].is_deaf = false;
	settle();
	check_seen();
	clean_up();
	check_work();
	forget_peers();
	return 0;
}
