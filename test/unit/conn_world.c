#include "test/unit/conn_world.h"

#include <sys/socket.h>

#include "activator/limiter.h"
#include "common/clk.h"
#include "test/unit/loopback.h"

#define ROUNDS 20 /* enough for everything that can happen to happen */

int64_t at_ns;

int64_t
now(void)
{
	return at_ns;
}

static void
on_instance(struct instance *inst, void *arg)
{
	(void)arg;
	instance_unref(&inst);
}

static void
on_drained(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
}

static struct revision *
find_revision(void *ctx, const char *name)
{
	struct world *t = ctx;

	struct limits limits = t->conf.limits;

	if (t->rev == NULL)
		t->rev = revision_new(name, 1, t->control, NULL, NULL);
	if (t->service_max_head > 0)
		limits.max_head = t->service_max_head;
	revision_set_limits(t->rev, &limits);
	return revision_ref(t->rev);
}

void
make_routes(struct world *t)
{
	static char name[] = "s", revision[] = "s/v1", *host = name;
	const struct route_source source = {.find = find_revision, .ctx = t};
	struct msg_revision rev = {.instances.revision = revision};
	struct msg_service service = {
		.name = name, .hosts = {.v = &host, .n = 1}, .revisions = &rev, .revisions_n = 1};
	struct routes *routes = routes_new(&service, 1, &source);
	struct instance_set *set;

	worker_post_routes(t->w, routes, NULL, NULL);
	routes_unref(&routes);
	t->inst = instance_new(t->rev, "i-0", &t->inst_addr);
	limiter_open(t->inst, SLOTS_UNREADY);
	set = instance_set_new(&t->inst, 1);
	worker_post_set(t->w, t->rev, set);
	limiter_update(t->rev, set,
		       &(struct limiter_update){
			       .wanted = 1,
			       .container_concurrency = t->conf.limits.container_concurrency,
		       });
}

struct world *
make_unrouted(const char *text)
{
	static const struct worker_ops ops = {.on_refused = on_instance,
					      .on_served = on_instance,
					      .on_drained = on_drained,
					      .on_shed = on_instance};
	struct world *t = xcalloc(1, sizeof *t);
	struct settings_errors errors;
	struct err e;

	at_ns = CLK_S;
	t->settings = settings_load_bytes("t.conf", text, strlen(text), &errors);
	assert_non_null(t->settings);
	t->conf = t->settings->activator;
	t->worker_conf = worker_conf_new(&t->settings);
	t->bounds = (struct bounds){.max_connections = 100,
				    .max_sockets = 100,
				    .max_parked = 10,
				    .max_parked_bytes = 1 << 20,
				    .max_stream_bytes = 1 << 20};
	assert_int_equal(bounds_open(&t->bounds, &e), 0);
	t->control = loop_new(&e);
	t->w = worker_new(0, 1, t->worker_conf, &t->bounds, t->control, &ops, NULL, &e);
	assert_non_null(t->w);
	inbox_set_current(&t->w->inbox);
	t->listener = loopback_listen(SOCK_NONBLOCK, 10, &t->inst_addr);
	t->client = t->served = -1;
	return t;
}

struct world *
make(const char *text)
{
	struct world *t = make_unrouted(text);

	make_routes(t);
	return t;
}

void
rounds(struct world *t)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		loop_once(t->w->loop, true);
		loop_once(t->control, true);
		if (t->served < 0)
			t->served = accept4(t->listener, NULL, NULL, SOCK_NONBLOCK);
	}
}

void
pass_time(struct world *t, int64_t ns)
{
	at_ns += ns;
	event_active(&t->w->timeq.timer.ev, EV_TIMEOUT, 1);
}

void
end(struct world **tp)
{
	struct world *t = *tp;

	*tp = NULL;
	close(t->client);
	close(t->served);
	close(t->listener);
	rounds(t);
	assert_int_equal(t->w->conns.n, 0);
	worker_free(&t->w);
	inbox_set_current(NULL);
	loop_once(t->control, true);
	limiter_update(t->rev, instance_set_new(NULL, 0), &(struct limiter_update){.wanted = 0});
	instance_unref(&t->inst);
	revision_unref(&t->rev);
	loop_free(&t->control);
	worker_conf_unref(&t->worker_conf);
	bounds_close(&t->bounds);
	free(t);
}

struct conn *
connect_client(struct world *t)
{
	struct addr peer = t->inst_addr;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	t->client = fds[0];
	assert_int_equal(conn_open(t->w, fds[1], &peer, false, t->conf.listeners), 0);
	return container_of(list_first(&t->w->conns), struct conn, node);
}

struct conn *
connect_over_tcp(struct world *t)
{
	static const int small = 1;
	struct addr peer = t->inst_addr;
	int fd;

	t->client = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(t->client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	assert_int_equal(connect(t->client, (struct sockaddr *)&t->inst_addr.ss, t->inst_addr.len),
			 0);
	fd = accept4(t->listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	assert_int_equal(conn_open(t->w, fd, &peer, false, t->conf.listeners), 0);
	return container_of(list_first(&t->w->conns), struct conn, node);
}

void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

size_t
hear(int fd, char *text, size_t size, bool *is_eof)
{
	size_t n = 0;
	ssize_t got;

	text[0] = '\0';
	while ((got = recv(fd, text, size - 1, 0)) > 0) {
		text[got] = '\0';
		n += (size_t)got;
	}
	*is_eof = got == 0;
	return n;
}

void
ask(struct world *t, const char *request)
{
	say(t->client, request);
	rounds(t);
	assert_true(t->served >= 0);
}

char *
padded(const char *text, char byte, size_t n, const char *end_text)
{
	size_t len = strlen(text);
	char *s = xmalloc(len + n + strlen(end_text) + 1);

	memcpy(s, text, len);
	memset(s + len, byte, n);
	memcpy(s + len + n, end_text, strlen(end_text) + 1);
	return s;
}

void
reset_on_close(int fd)
{
	static const struct linger reset = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}
