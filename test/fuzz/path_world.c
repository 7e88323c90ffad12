#include "test/fuzz/path_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/bounds.h"
#include "activator/conn.h"
#include "activator/limiter.h"
#include "activator/upstream.h"
#include "common/clk.h"
#include "test/unit/loopback.h"

#define SOCKETS 1000 /* max_sockets, unless a step makes sockets scarce */

/* Rounds in a row in which the worker has turns while no peer sends, receives or leaves: what
 * all buffers between hold is moved in fewer. */
#define ALONE_MOST 300

#define ROUNDS_MOST 50000 /* until all floods have arrived through the least buffers */
#define READ_LEAST 16384  /* bytes of a turn, where there are more */
#define TRIES_MOST 4	  /* of one request, at instances that close at once */

static struct {
	struct settings *settings;
	struct worker_conf *worker_conf;
	struct activator_conf conf;
	struct bounds bounds;
	struct loop *control;
	int client_listener, instance_listener;
	struct addr client_addr, instance_addr;
	int64_t now;
	bool is_roomy;	/* sockets that are opened now have the buffers of the system */
	uint64_t moves; /* what peers have done: sent, received, left */
	uint64_t moved; /* bytes of that */
} own;

struct path_world world;
struct peer clients[CLIENTS], peers[PEERS];
size_t peers_n;

static int64_t
now(void)
{
	return own.now;
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
	struct limits limits = own.conf.limits;

	(void)ctx;
	if (world.rev[i] == NULL)
		world.rev[i] = revision_new(name, 1, own.control, NULL, NULL);
	if (i == 1) {
		limits.container_concurrency = 1;
		limits.half_close = true;
	}
	revision_set_limits(world.rev[i], &limits);
	return revision_ref(world.rev[i]);
}

/* Where the buffers are smaller than a segment, the kernel would send after a time only. */
static void
use_small_segments(int fd)
{
	static const int size = 536;

	CHECK(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &size, sizeof size) == 0);
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

	world.inst[i] = instance_new(world.rev[i], i == 0 ? "i-0" : "i-1", &own.instance_addr);
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

void
make_world(const char *text, uint64_t max_stream_bytes)
{
	struct settings_errors errors;
	struct err e;

	own.now = CLK_S;
	clk_replace(now);
	signal(SIGPIPE, SIG_IGN); /* as in daemon.c: io_submit(2) has no MSG_NOSIGNAL */
	log_open(LOG_ERROR, LOG_LOGFMT, "fuzz");
	own.settings = settings_load_bytes("fuzz.conf", text, strlen(text), &errors);
	CHECK(own.settings != NULL);
	own.settings->activator.limits.upstream_idle_timeout = CLK_S * 60;
	own.conf = own.settings->activator;
	own.worker_conf = worker_conf_new(&own.settings);
	own.bounds = (struct bounds){.max_connections = 100,
				     .max_sockets = SOCKETS,
				     .max_parked = CLIENTS - 1,
				     .max_parked_bytes = 1 << 20,
				     .max_stream_bytes = max_stream_bytes};
	CHECK(bounds_open(&own.bounds, &e) == 0);
	own.control = loop_new(&e);
	world.w = worker_new(0, 1, own.worker_conf, &own.bounds, own.control, &ops, NULL, &e);
	CHECK(own.control != NULL && world.w != NULL);
	inbox_set_current(&world.w->inbox);
	own.client_listener = loopback_listen(SOCK_NONBLOCK, 100, &own.client_addr);
	own.instance_listener = loopback_listen(SOCK_NONBLOCK, 100, &own.instance_addr);
	use_small_segments(own.instance_listener);
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

void
peer_send(struct peer *p, const void *data, size_t n)
{
	if (p->fd < 0 || p->has_left)
		return;
	strbuf_add(&p->sent, data, n);
}

/* Send and receive what is possible now.  True: there was something. */
bool
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
			own.moved += (uint64_t)n;
		}
		has_moved = n > 0;
	}
	if (p->is_deaf || p->is_eof || p->is_reset)
		return has_moved;
	n = recv(p->fd, buf, sizeof buf, 0);
	if (n > 0) {
		strbuf_add(&p->got, buf, (size_t)n);
		own.moved += (uint64_t)n;
	}
	p->is_eof = n == 0 && !p->is_failed;
	p->is_reset = (n < 0 && errno != EAGAIN) || (n == 0 && p->is_failed);
	return has_moved || n >= 0 || p->is_reset;
}

/* So that few bytes find no room. */
static void
limit_buffer(int fd, int which, int size)
{
	if (!own.is_roomy)
		setsockopt(fd, SOL_SOCKET, which, &size, sizeof size);
}

void
client_open(struct peer *p)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), other;
	struct addr peer = {.len = sizeof peer.ss};

	CHECK(fd >= 0);
	use_small_segments(fd);
	limit_buffer(fd, SO_RCVBUF, 1);
	if (connect(fd, (struct sockaddr *)&own.client_addr.ss, own.client_addr.len) < 0)
		CHECK(errno == EINPROGRESS);
	other = accept4(own.client_listener, (struct sockaddr *)&peer.ss, &peer.len, SOCK_NONBLOCK);
	CHECK(other >= 0);
	limit_buffer(other, SO_SNDBUF, 1);
	send_at_once(other);
	peer_open(p, fd);
	CHECK(conn_open(world.w, other, &peer, false, own.conf.listeners) == 0);
}

/* The worker's connection with this client; NULL: the worker has closed it. */
static const struct conn *
conn_of(const struct peer *client)
{
	struct addr addr = {.len = sizeof addr.ss};
	struct list_node *node, *tmp;

	CHECK(getsockname(client->fd, (struct sockaddr *)&addr.ss, &addr.len) == 0);
	LIST_FOREACH(&world.w->conns, node, tmp) {
		const struct conn *conn = container_of(node, struct conn, node);

		if (addr_equal(&conn->peer, &addr))
			return conn;
	}
	return NULL;
}

bool
is_arriving(const struct peer *client)
{
	static const int on = 1;
	const struct conn *conn = conn_of(client);
	int unacked = 0;

	if (conn == NULL)
		return true; /* the end, at least */
	/* Acknowledge now what has arrived. */
	CHECK(setsockopt(client->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on) == 0);
	CHECK(ioctl(conn->io.fd, SIOCOUTQ, &unacked) == 0);
	return unacked > 0;
}

static void
accept_instances(void)
{
	struct list_node *node, *tmp;
	int fd;

	while (peers_n < PEERS &&
	       (fd = accept4(own.instance_listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
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
	uint64_t before = own.moves;
	size_t i;

	for (i = 0; i < CLIENTS; i++)
		own.moves += peer_move(&clients[i]);
	for (i = 0; i < peers_n; i++)
		own.moves += peer_move(&peers[i]);
	return own.moves > before;
}

/* No event may come any more: what waits for a time needs a timer. */
static void
check_timers(void)
{
	const struct worker *w = world.w;

	CHECK(w->paused.n == 0 || loop_timer_pending(&w->paused_timer));
	CHECK((w->starved.n == 0 && w->crowded.n == 0) || loop_timer_pending(&w->starved_timer));
}

void
settle(void)
{
	int quiet = 0, alone = 0, rounds = 0;

	while (quiet < 2) {
		bool has_moved = peers_move();
		uint64_t turns = io_round_turns(world.w->round);

		world.w->now = own.now;
		loop_once(world.w->loop, true);
		check_timers();
		loop_once(own.control, true);
		accept_instances();
		turns = io_round_turns(world.w->round) - turns;
		alone = turns == 0 || has_moved ? 0 : alone + 1;
		CHECK(alone < ALONE_MOST && rounds++ < ROUNDS_MOST);
		quiet = turns > 0 || has_moved ? 0 : quiet + 1;
	}
}

/* Advance the clock and run what is due, though no real time has passed. */
void
pass_time(int64_t ns)
{
	int i;

	own.now += ns;
	if (loop_timer_pending(&world.w->timeq.timer))
		event_active(&world.w->timeq.timer.ev, EV_TIMEOUT, 1);
	if (loop_timer_pending(&world.w->starved_timer))
		event_active(&world.w->starved_timer.ev, EV_TIMEOUT, 1);
	if (loop_timer_pending(&world.w->paused_timer))
		event_active(&world.w->paused_timer.ev, EV_TIMEOUT, 1);
	for (i = 0; i < 2; i++) {
		struct shard *s = &world.rev[i]->shards[0];

		if (s->has_timer && loop_timer_pending(&s->deadline_timer))
			event_active(&s->deadline_timer.ev, EV_TIMEOUT, 1);
	}
}

/* --- what steps do --- */

void
leave(struct peer *p, unsigned how)
{
	if (p->fd < 0)
		return;
	own.moves++;
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
	if (connect(fd, (struct sockaddr *)&own.instance_addr.ss, own.instance_addr.len) < 0)
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
		instance_move(inst, &own.instance_addr);
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

	limiter_set_failure(rev, &f, own.now);
}

/* What the control thread does to a revision, or a shortage of descriptors. */
void
set_world(unsigned how)
{
	int i = how / 4 % 2;

	switch (how / 8) {
	case 15:
		own.bounds.max_sockets = CLIENTS;
		break;
	case 14:
		own.bounds.max_sockets = SOCKETS;
		break;
	case 13:
		offer_connection(world.inst[i]);
		break;
	case 12:
		fail(world.rev[i], (how & 4) != 0);
		break;
	case 11:
		limiter_set_failure(world.rev[i], NULL, own.now);
		break;
	case 10:
		own.is_roomy = (how & 4) != 0;
		break;
	default:
		set_instance(world.inst[i], how % 4);
		break;
	}
}

/* --- a run --- */

void
run_steps(const uint8_t *data, size_t size, const struct run *run)
{
	size_t n;

	for (n = 0; size > 0 && n < run->most && peers_n < PEERS; n++) {
		bool is_joined = data[0] / run->joined % 2 == 1;
		size_t used = run->step(data, size);

		used = MIN(used, size); /* after step(): MIN evaluates its arguments twice */
		data += used;
		size -= used;
		if (!is_joined)
			run->settle();
	}
}

/* A turn follows from what a peer did; where that was many bytes, several do. */
void
check_work(void)
{
	static uint64_t turns_before, moves_before, moved_before;
	uint64_t turns = io_round_turns(world.w->round);

	CHECK(turns - turns_before <=
	      100 + 4 * (own.moves - moves_before) + (own.moved - moved_before) / READ_LEAST);
	turns_before = turns;
	moves_before = own.moves;
	moved_before = own.moved;
}

static void
check_left_over(void)
{
	int i;

	CHECK(world.w->conns.n == 0 && world.w->busy_n == 0 && world.w->unrouted.n == 0);
	CHECK(bounds_parked(&own.bounds) == 0);
	CHECK(bounds_parked_bytes(&own.bounds) == 0);
	CHECK(bounds_stream_bytes(&own.bounds) == 0);
	for (i = 0; i < 2; i++) {
		struct limiter_count count;
		struct shard *s = &world.rev[i]->shards[0];

		limiter_count(world.rev[i], &count);
		CHECK(count.queued == 0 && count.slots == 0);
		CHECK(count.permits_queued == 0 && count.conns == 0);
		CHECK(s->in_flight == 0 && s->parked_n == 0);
	}
}

bool
has_parked(void)
{
	return world.rev[0]->shards[0].parked_n > 0 || world.rev[1]->shards[0].parked_n > 0;
}

void
close_peers(void)
{
	int fd;

	while (peers_n > 0)
		peer_free(&peers[--peers_n]);
	while ((fd = accept4(own.instance_listener, NULL, NULL, 0)) >= 0)
		close(fd);
}

void
restore_world(void)
{
	int i;

	own.bounds.max_sockets = SOCKETS;
	for (i = 0; i < 2; i++) {
		limiter_set_failure(world.rev[i], NULL, own.now);
		set_instance(world.inst[i], 3);
		set_instance(world.inst[i], 1);
		atomic_store(&world.inst[i]->busy_until, 0);
	}
}

void
clean_up(void)
{
	size_t i;

	for (i = 0; i < CLIENTS; i++)
		peer_close(&clients[i]);
	settle();
	close_peers();
	restore_world();
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
void
forget_peers(void)
{
	size_t i;

	for (i = 0; i < CLIENTS; i++)
		peer_free(&clients[i]);
	for (i = 0; i < peers_n; i++)
		peer_free(&peers[i]);
	peers_n = 0;
	own.is_roomy = false;
}
