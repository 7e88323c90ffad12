/* control: the activator as a whole, with an autoscaler that the test plays.  When it closes,
 * what its workers reported last arrives before its receivers are freed. */
#include "test/unit/unit.h"

#include <sys/socket.h>
#include <sys/time.h>

#include "activator/control.h"
#include "common/clk.h"
#include "common/link.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/msg.h"
#include "common/strbuf.h"
#include "test/unit/loopback.h"

#define PATIENCE (10 * CLK_S)

struct world {
	char *dir, *socket;
	struct loop *loop;
	struct link_server *server;
	struct link *link; /* to the activator */
	struct loop_timer tick;
	struct settings *settings;
	struct addr listen, nowhere; /* nowhere: no process listens there */
	struct msg_instance inst;    /* the instance of the service */
	bool is_told;		     /* the activator has answered what we sent last */
	bool is_gone;
	/* what the activator has reported of the instance */
	bool has_answered, has_served;
	unsigned refusals;
};

static char program[] = "activator", *argv[] = {program, NULL};

static void
send_msg(struct world *w, const struct msg *m)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	msg_encode(m, &b);
	link_send(w->link, strbuf_str(&b), b.len);
	strbuf_fini(&b);
}

/* One service, "s", with one instance, which has one connection at a time.  Requests are parked
 * for 50 ms. */
static void
send_services(struct world *w)
{
	static char name[] = "s", revision[] = "s/v1", *host = name, token[] = "t";
	struct msg_traffic traffic = {.revision = revision, .percent = 100};
	struct msg_revision rev = {.instances = {.revision = revision,
						 .wanted = 1,
						 .is_known = true,
						 .v = &w->inst,
						 .n = 1}};
	struct msg m = {.type = MSG_SERVICE,
			.u.service = {.name = name,
				      .hosts = {.v = &host, .n = 1},
				      .waiting_page = name,
				      .traffic = &traffic,
				      .traffic_n = 1,
				      .revisions = &rev,
				      .revisions_n = 1}};

	limits_default(&rev.limits);
	rev.limits.activation_timeout = 50 * CLK_MS;
	rev.limits.container_concurrency = 1;
	rev.limits.upstream_idle_timeout = 100 * PATIENCE;
	send_msg(w, &(struct msg){.type = MSG_BEGIN, .u.begin.generation = 1});
	send_msg(w, &m);
	send_msg(w, &(struct msg){.type = MSG_END, .u.end = {.generation = 1, .services = 1}});
	/* Of an instance that it does not know: it answers at once. */
	send_msg(w,
		 &(struct msg){.type = MSG_DRAIN, .u.drain = {.token = token, .instance = token}});
	limits_fini(&rev.limits);
}

static void
on_up(struct link *l, void *arg)
{
	static char id[] = "autoscaler";

	(void)l;
	send_msg(arg,
		 &(struct msg){
			 .type = MSG_HELLO,
			 .u.hello = {.protocol = MSG_PROTOCOL, .role = ROLE_AUTOSCALER, .id = id}});
	send_services(arg);
}

static void
on_line(struct link *l, char *line, size_t n, void *arg)
{
	struct world *w = arg;
	struct msg m;
	struct err e;

	(void)l;
	assert_int_equal(msg_decode(&m, line, n, &e), 0);
	w->is_told = w->is_told || m.type == MSG_DRAINED;
	if (m.type == MSG_INSTANCE) {
		w->refusals += m.u.instance.state == INSTANCE_REFUSES;
		w->has_answered |= m.u.instance.state == INSTANCE_ANSWERS;
		w->has_served |= m.u.instance.has_served;
	}
	msg_fini(&m);
}

static void
on_down(struct link *l, const struct err *why, void *arg)
{
	struct world *w = arg;

	(void)l;
	(void)why;
	w->is_gone = true;
}

static const struct link_ops link_ops = {on_up, on_line, on_down};

static void
on_accept(struct link *l, void *arg)
{
	struct world *w = arg;

	w->link = l;
}

static void
on_tick(void *arg)
{
	struct world *w = arg;

	loop_timer_set(&w->tick, 5 * CLK_MS); /* so that a round waits for 5 ms at most */
}

static void
await(struct world *w, const bool *what)
{
	int64_t until = clk_now() + PATIENCE;

	while (!*what && clk_now() < until)
		loop_once(w->loop, false);
	assert_true(*what);
}

static void
load_settings(struct world *w)
{
	struct settings_errors errors;
	char listen[ADDR_TEXT];
	char *text = xasprintf("socket = \"%s\"\n"
			       "activator { listen = {\"%s\"} admin = \"\" workers = 1 }\n",
			       w->socket, addr_format(&w->listen, true, listen));

	w->settings = settings_load_bytes("t.conf", text, strlen(text), &errors);
	assert_non_null(w->settings);
	free(text);
}

static int
setup(void **state)
{
	static char id[] = "i", address[] = "127.0.0.1";
	struct world *w = xcalloc(1, sizeof *w);
	struct err e;

	log_open(LOG_ERROR, LOG_LOGFMT, "t_control");
	signal(SIGPIPE, SIG_IGN);
	w->dir = unit_dir();
	w->socket = xasprintf("%s/socket", w->dir);
	w->loop = loop_new_precise(&e);
	loop_timer_init(&w->tick, w->loop, on_tick, w);
	on_tick(w);
	close(loopback_bind(0, &w->listen));
	close(loopback_bind(0, &w->nowhere));
	w->inst = (struct msg_instance){.id = id,
					.address = address,
					.port = addr_port(&w->nowhere),
					.state = INSTANCE_READY};
	load_settings(w);
	w->server = link_listen(w->loop, w->socket, &link_ops, on_accept, w, &e);
	assert_non_null(w->server);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	link_server_free(&w->server);
	loop_timer_fini(&w->tick);
	loop_free(&w->loop);
	settings_free(&w->settings);
	rmdir(w->dir);
	free(w->dir);
	free(w->socket);
	free(w);
	return 0;
}

static void
send_text(int fd, const char *text)
{
	ssize_t n = (ssize_t)strlen(text);

	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
}

static int
send_request(const struct world *w)
{
	struct timeval most = {.tv_sec = PATIENCE / CLK_S};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
	assert_int_equal(connect(fd, (const struct sockaddr *)&w->listen.ss, w->listen.len), 0);
	send_text(fd, "GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n");
	return fd;
}

static int
read_status(int fd)
{
	char answer[64] = {0};

	assert_true(recv(fd, answer, sizeof answer - 1, MSG_WAITALL) > 12);
	close(fd);
	return (int)strtol(answer + sizeof "HTTP/1.1", NULL, 10);
}

static void
what_workers_report_last_arrives(void **state)
{
	struct world *w = *state;
	struct activator *a;
	struct err e;

	a = control_open(w->loop, &w->settings, argv, NULL, &e);
	assert_non_null(a);
	await(w, &w->is_told);
	/* the control loop does not run until the answer has come */
	assert_int_equal(read_status(send_request(w)) / 100, 5);
	assert_int_equal(w->refusals, 0); /* the worker's mail lies on the control loop */
	assert_int_equal(control_close(&a), 0);
	await(w, &w->is_gone);
	assert_int_equal(w->refusals, 1);
}

/* The instance answers one request.  Returns its connection, which is idle now. */
static int
serve(struct world *w, int listener)
{
	struct timeval most = {.tv_sec = PATIENCE / CLK_S};
	int client = send_request(w), fd;
	char request[1024];

	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	assert_true(recv(fd, request, sizeof request, 0) > 0);
	send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(read_status(client), 200);
	return fd;
}

/* The autoscaler ends.  The next one shows the instance in this state. */
static void
restart_autoscaler(struct world *w, enum instance_state state, char *probe)
{
	struct err e;

	link_server_free(&w->server);
	w->inst.state = state;
	w->inst.probe = probe;
	w->is_told = w->has_answered = w->has_served = false;
	w->server = link_listen(w->loop, w->socket, &link_ops, on_accept, w, &e);
	assert_non_null(w->server);
	await(w, &w->is_told);
}

/* A new autoscaler hears that an instance answers, unless that has to be found out anew. */
static void
what_has_served_is_reported_again_while_it_is_open(void **state)
{
	static char ready[] = "ready";
	struct world *w = *state;
	struct activator *a;
	struct err e;
	int listener = loopback_listen(0, 8, &w->nowhere), fd;

	w->inst.port = addr_port(&w->nowhere);
	a = control_open(w->loop, &w->settings, argv, NULL, &e);
	assert_non_null(a);
	await(w, &w->is_told);
	fd = serve(w, listener);
	restart_autoscaler(w, INSTANCE_READY, NULL);
	assert_true(w->has_answered && w->has_served);
	restart_autoscaler(w, INSTANCE_STARTING, ready);
	assert_false(w->has_answered);
	assert_int_equal(control_close(&a), 0);
	await(w, &w->is_gone);
	close(fd);
	close(listener);
}

/* An idle connection, the only one that the limit allows, does not keep the prober from finding
 * out. */
static void
an_instance_that_is_no_longer_ready_is_probed_beside_idle_connections(void **state)
{
	struct world *w = *state;
	struct activator *a;
	struct err e;
	int listener = loopback_listen(0, 8, &w->nowhere), fd;

	w->inst.port = addr_port(&w->nowhere);
	a = control_open(w->loop, &w->settings, argv, NULL, &e);
	assert_non_null(a);
	await(w, &w->is_told);
	fd = serve(w, listener);
	restart_autoscaler(w, INSTANCE_STARTING, NULL);
	await(w, &w->has_answered);
	assert_true(w->has_served);
	assert_int_equal(control_close(&a), 0);
	await(w, &w->is_gone);
	close(fd);
	close(listener);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_has_served_is_reported_again_while_it_is_open,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			an_instance_that_is_no_longer_ready_is_probed_beside_idle_connections,
			setup, teardown),
		cmocka_unit_test_setup_teardown(what_workers_report_last_arrives, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
